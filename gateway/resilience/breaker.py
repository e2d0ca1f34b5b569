"""One target's circuit breaker: a table, a rolling window, and a clock handed in."""

from __future__ import annotations

import enum

from gateway.resilience import BreakerSettings
from gateway.resilience.window import Window


class State(enum.Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Signal(enum.Enum):
    TRIPPED = "too many failures"
    COOLED = "open long enough"
    PROVED = "enough probes succeeded"
    FAILED = "a probe failed"


TRANSITIONS = {
    (State.CLOSED, Signal.TRIPPED): State.OPEN,
    (State.OPEN, Signal.COOLED): State.HALF_OPEN,
    (State.HALF_OPEN, Signal.PROVED): State.CLOSED,
    (State.HALF_OPEN, Signal.FAILED): State.OPEN,
}


class Breaker:
    """``begin`` and ``release`` enclose the uncertain part of a probe; ``succeed`` or ``fail`` is a call's verdict.

    A stream is released at its first output, so that a long one does not keep the probes of a half-open breaker.
    Times are seconds.
    """

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self.state = State.CLOSED
        self.failed_at: float | None = None
        self.opened_at = 0.0
        self.closed_at: float | None = None
        self._consecutive = 0
        self._probing = 0
        self._proofs = 0
        self._window = Window(settings.window)

    def adopt(self, settings: BreakerSettings) -> None:
        """New settings; the state is kept, and what was counted if the window is as long as before."""
        if settings.window != self.settings.window:
            self._window = Window(settings.window)
        self.settings = settings

    def allows(self, now: float) -> bool:
        """May a call begin? Asking moves an open breaker that has cooled to half-open."""
        if self.state is State.OPEN and now - self.opened_at >= self.settings.open_for:
            self._move(Signal.COOLED, now)
        if self.state is State.HALF_OPEN:
            return self._probing < self.settings.probes
        return self.state is State.CLOSED

    def begin(self) -> bool:
        """True when the call is a probe: only probes are released."""
        probe = self.state is State.HALF_OPEN
        self._probing += probe
        return probe

    def release(self) -> None:
        self._probing = max(0, self._probing - 1)

    def succeed(self, now: float) -> None:
        self._consecutive = 0
        self._window.add(now, first=1)
        if self.state is State.HALF_OPEN:
            self._proofs += 1
            if self._proofs >= self.settings.close_after:
                self._move(Signal.PROVED, now)

    def fail(self, now: float) -> None:
        self.failed_at = now
        self._consecutive += 1
        self._window.add(now, second=1)
        if self.state is State.HALF_OPEN:
            self._move(Signal.FAILED, now)
        elif self._tripped(now):
            self._move(Signal.TRIPPED, now)

    def counts(self, now: float) -> tuple[int, int]:
        """Successes and failures inside the window."""
        return self._window.counts(now)

    def _tripped(self, now: float) -> bool:
        if self._consecutive >= self.settings.consecutive:
            return True
        good, bad = self._window.counts(now)
        return good + bad >= self.settings.min_requests and bad / (good + bad) >= self.settings.error_rate

    def _move(self, signal: Signal, now: float) -> None:
        moved = TRANSITIONS.get((self.state, signal))
        if moved is None:
            return
        self.state = moved
        self._probing = self._proofs = 0
        match moved:
            case State.OPEN:
                self.opened_at = now
            case State.CLOSED:
                # A fresh start: yesterday's failures must not trip it again at once.
                self._window.clear()
                self._consecutive = 0
                self.closed_at = now
            case State.HALF_OPEN:
                pass
