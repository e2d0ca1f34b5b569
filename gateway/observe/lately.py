"""How one target's calls went in the last minutes: counts and sums in slices of time, latencies in narrow bins.

Memory is bounded whatever passes: sixty slices, each with a number per bin that was hit.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from gateway import events
from gateway.observe.record import Try
from gateway.observe.sightings import said_of, shown_time

# Seconds of a slice, and the windows shown.
SLICE = 5
WINDOWS = {"1m": 60, "5m": 300}
# A bin ends a tenth above the one before it, so a quantile is off by a twentieth at most.
_GROWTH = math.log(1.1)


class _Slice:
    __slots__ = ("bins", "failed", "first", "number", "seconds", "streams", "succeeded")

    def __init__(self, number: int) -> None:
        self.number = number
        self.succeeded = self.failed = self.streams = 0
        self.seconds = self.first = 0.0
        self.bins: dict[int, int] = {}


class Lately:
    """One target. ``moved``: its breaker's last change."""

    def __init__(self) -> None:
        self._slices: deque[_Slice] = deque(maxlen=max(WINDOWS.values()) // SLICE + 1)
        self._last_error: dict[str, Any] | None = None
        self.moved: events.BreakerMoved | None = None

    def failed(self, event: events.AttemptFailed, one: Try, content: bool) -> None:
        """What the caller brought about is none of the target's and is not counted. ``content``: as of ``said_of``."""
        if not (one.error_type or "").startswith("caller_"):
            self._slice(event.at).failed += 1
            self._last_error = _error(event, one, content)

    def succeeded(self, event: events.AttemptSucceeded, one: Try, stream: bool) -> None:
        slice = self._slice(event.at)
        slice.succeeded += 1
        slice.seconds += event.seconds
        bin = _bin(event.seconds)
        slice.bins[bin] = slice.bins.get(bin, 0) + 1
        if stream and one.output_at is not None:
            slice.streams += 1
            slice.first += max(0.0, one.output_at - one.started.at)

    def shown(self, now: float) -> dict[str, Any]:
        """Seconds are of the calls that succeeded; what cannot be said of no calls is None."""
        return {
            "lately": {name: self._window(now, seconds) for name, seconds in WINDOWS.items()},
            "last_error": self._last_error,
            "breaker_moved": _moved(self.moved, now),
        }

    def _slice(self, at: float) -> _Slice:
        """Of the moment; one that comes late is counted with the newest."""
        number = int(at / SLICE)
        if not self._slices or self._slices[-1].number < number:
            self._slices.append(_Slice(number))
        return self._slices[-1]

    def _window(self, now: float, seconds: float) -> dict[str, Any]:
        oldest = int(now / SLICE) - seconds // SLICE
        slices = [each for each in self._slices if each.number > oldest]
        succeeded, failed = sum(each.succeeded for each in slices), sum(each.failed for each in slices)
        streams = sum(each.streams for each in slices)
        return {
            "succeeded": succeeded,
            "failed": failed,
            "success_ratio": _ratio(succeeded, succeeded + failed),
            "mean_seconds": _ratio(sum(each.seconds for each in slices), succeeded),
            "p95_seconds": _quantile(slices, 0.95),
            "mean_ttft": _ratio(sum(each.first for each in slices), streams),
        }


def _bin(seconds: float) -> int:
    return math.ceil(math.log(max(seconds, 1e-4)) / _GROWTH)


def _quantile(slices: list[_Slice], share: float) -> float | None:
    bins: dict[int, int] = {}
    for each in slices:
        for bin, count in each.bins.items():
            bins[bin] = bins.get(bin, 0) + count
    left = math.ceil(sum(bins.values()) * share)
    for bin in sorted(bins):
        left -= bins[bin]
        if left <= 0:
            return round(math.exp((bin - 0.5) * _GROWTH), 4)
    return None


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _error(event: events.AttemptFailed, one: Try, content: bool) -> dict[str, Any]:
    fault = event.fault
    return {
        "time": shown_time(event.at),
        "request_id": event.exchange_id,
        "error_type": one.error_type,
        "fault": fault.kind.value,
        "status": fault.status,
        "message": said_of(fault, content),
    }


def _moved(moved: events.BreakerMoved | None, now: float) -> dict[str, Any] | None:
    """``lets_through_in``: seconds until an open breaker lets a first call through again."""
    if moved is None:
        return None
    return {
        "time": shown_time(moved.at),
        "from": moved.before,
        "to": moved.after,
        "succeeded": moved.succeeded,
        "failed": moved.failed,
        "lets_through_in": round(max(0.0, moved.at + moved.open_for - now), 1) if moved.open_for else None,
    }
