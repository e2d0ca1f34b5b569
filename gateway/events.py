"""Everything that can happen, in the order it can happen. The only thing telemetry ever sees."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from gateway.chat import Cost, Facts, Heard, Prompt, Repaired, Usage
from gateway.errors import Fault, Problem
from gateway.routing import Advice, Plan, Target
from gateway.trace_context import Trace

Outcome = Literal["ok", "error", "broken", "cancelled"]
"""What the client saw: an answer; an error instead of one; an answer that broke off; nothing, it had left."""

AttemptKind = Literal["primary", "retry", "fallback", "probe", "planner", "interpreter"]
"""The first; the same target again; another target; one that finds out whether a sick target is well again; any that
asks for a plan; any that asks what an answer means to call."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact, and when (epoch seconds). No part of one leads back to it: the garbage collector need not look."""

    at: float


class ExchangeEvent(Event, frozen=True, kw_only=True):
    """``exchange_id`` is what the client knows it by, and may give to several; ``span`` is its own alone."""

    exchange_id: str
    span: int = 0


class RequestReceived(ExchangeEvent, frozen=True, kw_only=True):
    """The head of a request is there. Every one of these is followed by one ``ExchangeFinished``."""

    route: str
    trace: Trace
    method: str = "POST"
    client: str | None = None
    """The caller's address."""
    user_agent: str | None = None


class RequestUnderstood(ExchangeEvent, frozen=True, kw_only=True):
    """The caller is known, and what it asks for."""

    dialect: str
    facts: Facts
    caller: str | None
    session: str | None
    parent: str | None = None
    """The session of the agent that has started this one."""
    prompt: Prompt | None = None
    body: bytes = b""
    """Content: whoever listens keeps none of it unless asked to."""


class PlanMade(ExchangeEvent, frozen=True, kw_only=True):
    plan: Plan


class StrategyCrashed(ExchangeEvent, frozen=True, kw_only=True):
    """A defect of a strategy: its references serve the request in the order written. Comes before ``PlanMade``."""

    model: str
    strategy: str
    traceback: str


class AttemptStarted(ExchangeEvent, frozen=True, kw_only=True):
    """A call is made. One of ``AttemptSucceeded``, ``AttemptFailed`` and ``AttemptAbandoned`` follows."""

    number: int
    target: Target
    url: str
    reason: str
    kind: AttemptKind = "primary"
    delay: float = 0.0
    """Seconds waited before it, and why: the vendor had asked for it, or of ourselves."""
    cause: Literal["retry_after", "backoff"] = "backoff"
    key: int = 1
    """Which of the provider's keys, from 1."""


class RequestReduced(ExchangeEvent, frozen=True, kw_only=True):
    """A target could not be told all of the request. ``dropped``: the client's names for what was left out."""

    number: int
    target: Target
    dropped: tuple[str, ...]


class OutputStarted(ExchangeEvent, frozen=True, kw_only=True):
    """An attempt has something for the client: the first output of a stream, or the whole answer."""

    number: int
    target: Target
    seconds: float
    """From the start of the attempt."""


class ToolCallsRepaired(ExchangeEvent, frozen=True, kw_only=True):
    """Calls of tools in an answer were not handed on as its model wrote them, or are not as their tools want them.

    Comes ahead of the end of the attempt, once.
    """

    number: int
    target: Target
    repairs: tuple[Repaired, ...]


class Spent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an attempt used, as far as its vendor has said."""

    usage: Usage | None = None
    cost: Cost | None = None


class AttemptSucceeded(ExchangeEvent, frozen=True, kw_only=True):
    """The whole answer was received."""

    number: int
    target: Target
    seconds: float
    spent: Spent = Spent()
    heard: Heard = Heard()
    limits: tuple[tuple[str, str], ...] = ()
    """The vendor's rate-limit headers."""


class AttemptFailed(ExchangeEvent, frozen=True, kw_only=True):
    number: int
    target: Target
    fault: Fault
    seconds: float
    after_output: bool = False
    spent: Spent = Spent()


class AttemptAbandoned(ExchangeEvent, frozen=True, kw_only=True):
    """An attempt without a verdict: the client left, or its own deadline passed."""

    number: int
    target: Target
    seconds: float
    spent: Spent = Spent()


class PlannerAnswered(ExchangeEvent, frozen=True, kw_only=True):
    """Planners were asked before the answer; their attempts, of the kind ``planner``, have all ended.

    A plan goes into the context; questions are the answer; when it ``failed`` the executor is alone.
    """

    advice: Advice
    target: Target | None
    """Who answered; None: nobody did."""
    seconds: float
    """All of it took."""
    why: str = ""
    """What is wrong with it, or was done to it, in our own words."""


class InterpreterAnswered(ExchangeEvent, frozen=True, kw_only=True):
    """Interpreters were asked what an answer in words means to call; their attempts, of the kind ``interpreter``, have
    all ended. ``failed``: nobody has said it, and the answer stands as it is."""

    number: int
    about: Target
    """The attempt that gave the answer, and whose it is."""
    target: Target | None
    """Who said it; None: nobody did."""
    repairs: tuple[Repaired, ...]
    failed: bool
    why: str
    """What went wrong, in our own words."""
    seconds: float
    """All of it took."""


class ExchangeFinished(ExchangeEvent, frozen=True, kw_only=True):
    """Exactly one per exchange, whatever happens. Its attempts have all ended before it."""

    model: str
    stream: bool
    outcome: Outcome
    status: int
    attempts: int
    seconds: float
    target: Target | None = None
    spent: Spent = Spent()
    """What the client was given, over all attempts that gave something, a planner's among them."""
    heard: Heard = Heard()
    window: int | None = None
    """The target's context window in tokens, where it is known."""
    begun: bool = False
    """Output has reached the client."""
    overhead: float = 0.0
    phases: Mapping[str, float] = {}
    """Seconds by what the gateway did in them."""
    skipped: int = 0
    fault: Fault | None = None
    code: str | None = None
    caller: str | None = None
    session: str | None = None


class RequestTurnedAway(ExchangeEvent, frozen=True, kw_only=True):
    """Refused at the door: a web page's request to a gateway without keys, or a path that nobody serves, which is how
    a wrong base URL shows. It never became an exchange."""

    code: str
    method: str = ""
    path: str = ""
    """Cut, and without its query."""

    @property
    def error_type(self) -> str:
        return f"policy_{self.code}" if self.code == "foreign_request" else f"caller_{self.code}"


class FeedbackGiven(Event, frozen=True, kw_only=True):
    """Somebody judges an answer: ``score`` is 0 (useless) to 1 (just right)."""

    exchange_id: str
    name: str
    score: float
    source: str
    comment: str | None = None


class HandlerCrashed(ExchangeEvent, frozen=True, kw_only=True):
    """A defect of ours: the exchange was answered with a 500."""

    traceback: str


class BreakerMoved(Event, frozen=True, kw_only=True):
    target: Target
    before: str
    after: str
    succeeded: int = 0
    failed: int = 0
    """Calls inside the breaker's window."""
    open_for: float = 0.0
    """Seconds until it lets the first call through again."""


class ProviderDemoted(Event, frozen=True, kw_only=True):
    """Too many of its calls failed: requests go to others first, but for a few trials."""

    provider: str
    error_rate: float
    calls: int
    """Inside the window, over all its targets."""
    hold: float = 0.0
    """Seconds for which it stays so at least."""


class ProviderRestored(Event, frozen=True, kw_only=True):
    """It has its place again. ``error_rate``: of the last ``calls`` that reached it."""

    provider: str
    error_rate: float
    calls: int
    seconds: float
    """How long it was demoted."""


StoreWhy = Literal["timeout", "unreachable", "refused", "garbled", "queue_full", "too_large", "closed"]


class StoreFailed(Event, frozen=True, kw_only=True):
    """What is kept of sessions could not be read or written; what is known here goes on."""

    store: str
    why: StoreWhy
    missed: int
    """Reads and writes that were not made since this was last told."""
    again: bool = False
    """It had failed before, and still does."""


class StoreRecovered(Event, frozen=True, kw_only=True):
    store: str
    seconds: float
    """For how long it had failed."""
    missed: int
    """As above."""


class SessionPinned(Event, frozen=True, kw_only=True):
    """An operator has chosen the model of a session, from its next request on; None: it is not chosen any more."""

    session: str
    model: str | None


class GatewayStarted(Event, frozen=True, kw_only=True):
    url: str
    source: str
    models: int = 0
    digest: str = ""
    """The first digits of the configuration's SHA-256."""


class GatewayStopped(Event, frozen=True, kw_only=True):
    """The last event. ``cut``: exchanges that were not waited for."""

    cut: int = 0


class LoopLooked(Event, frozen=True, kw_only=True):
    """The event loop was asked to wake at a certain moment; ``late`` is by how many seconds it was missed."""

    late: float


class ConfigReloaded(Event, frozen=True, kw_only=True):
    source: str
    digest: str = ""
    needs_restart: tuple[str, ...] = ()
    """Settings that changed but only take effect at the next start."""


class ConfigRefused(Event, frozen=True, kw_only=True):
    """A new configuration was not taken; the old one goes on."""

    source: str
    problems: tuple[Problem, ...]


class DrainStarted(Event, frozen=True, kw_only=True):
    running: int


class ListingFailed(Event, frozen=True, kw_only=True):
    provider: str
    fault: Fault


Observer = Callable[[Event], None]


def broadcast(observers: Iterable[Observer]) -> Observer:
    """One observer that tells all; the failure of one is logged and harms nobody."""
    listening = tuple(map(_guarded, observers))
    if len(listening) == 1:
        # Nearly always, and several times per request: nothing stands between.
        return listening[0]

    def emit(event: Event) -> None:
        for tell in listening:
            tell(event)

    return emit


def _guarded(observer: Observer) -> Observer:
    def tell(event: Event) -> None:
        try:
            observer(event)
        except Exception:
            logging.getLogger("gateway.events").exception("an observer failed on %s", type(event).__name__)

    return tell
