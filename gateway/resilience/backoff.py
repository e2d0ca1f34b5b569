"""How long to pause before the next try on the same target."""

from __future__ import annotations

from collections.abc import Callable

from gateway.resilience import Backoff


def pause(settings: Backoff, tries: int, jitter: Callable[[], float]) -> float:
    """Seconds before the next try when ``tries`` (at least one) have failed; ``jitter()`` is in [0, 1)."""
    whole = min(settings.max, settings.initial * settings.multiplier ** min(tries - 1, 64))
    match settings.jitter:
        case "none":
            return whole
        case "equal":
            return whole * (0.5 + 0.5 * jitter())
        case "full":
            return whole * jitter()
