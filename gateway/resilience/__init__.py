"""How hard to try: the settings of retries, timeouts, breakers and delivery (design.md §3)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gateway.units import Duration


class Backoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pause before try n on the same target: ``initial * multiplier**(n-1)``, at most ``max``."""

    initial: Duration = 0.5
    multiplier: Annotated[float, msgspec.Meta(ge=1)] = 2.0
    max: Duration = 8.0
    jitter: Literal["full", "equal", "none"] = "full"
    """full: anywhere below the pause; equal: the upper half; none: exactly the pause."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clocks of one attempt, in seconds."""

    connect: Duration = 5.0
    write: Duration = 60.0
    """Sending the request; a vendor that stops reading is as good as unreachable."""
    first_token: Duration = 60.0
    """From sending the request to the first output of a stream."""
    whole: Duration | None = None
    """The same for an answer that is not streamed, whose first byte comes when all of it is written.
    Unset: five times ``first_token``."""
    idle: Duration = 60.0
    """Silence in the middle of an answer; comments and empty events do not count as life."""
    total: Duration = 600.0


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    error_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    min_requests: Annotated[int, msgspec.Meta(ge=1)] = 10
    window: Duration = 60.0
    consecutive: Annotated[int, msgspec.Meta(ge=1)] = 5
    open_for: Duration = 30.0
    probes: Annotated[int, msgspec.Meta(ge=1)] = 1
    close_after: Annotated[int, msgspec.Meta(ge=1)] = 2


class SpikeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a provider, all its targets together, is asked after the others for its failures, and when it is back."""

    error_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.25
    """1 turns it off."""
    recover_below: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    min_requests: Annotated[int, msgspec.Meta(ge=1)] = 20
    """As many trials, the latest, say whether it is well again; fewer if all went well for long."""
    window: Duration = 60.0
    hold: Duration = 30.0
    """At least so long, from the last time that the rate was found too high."""
    trial: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    """The share of requests that ask it in its place all the same. Where a request is known to go on with a
    conversation, and where there is little traffic: one per half a ``hold``."""


class Resilience(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    retries: Annotated[int, msgspec.Meta(ge=0)] = 2
    """Further tries on the same target."""
    max_attempts: Annotated[int, msgspec.Meta(ge=1)] = 6
    """Over all targets."""
    backoff: Backoff = Backoff()
    max_wait: Duration = 10.0
    """A Retry-After longer than this moves on to the next target instead."""
    retry_budget: Annotated[float, msgspec.Meta(ge=0)] = 0.2
    """Retries per request over a rolling minute, per provider; never fewer than three."""
    timeouts: Timeouts = Timeouts()
    breaker: BreakerSettings = BreakerSettings()
    spike: SpikeSettings = SpikeSettings()
    on_broken_stream: Literal["error", "abort", "resume"] = "error"
    delivery: Literal["live", "held"] = "live"
    keepalive: Duration = 15.0
    """Silence towards a streaming client after which it gets a comment line; 0 turns that off."""
    on_refused: Literal["stop", "move_on"] = "stop"
    """A vendor's content policy refused: nobody else is asked, or the next target is."""
