"""One target's circuit breaker: a table, a rolling window, and a clock handed in."""

from __future__ import annotations

import enum
from collections.abc import Callable

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

    Every change of state is told to ``moved``, also the one that asking ``allows`` brings about.

    A stream is released at its first output, so that a long one does not keep the probes of a half-open breaker.
    Times are seconds.
    """

    def __init__(
        self, settings: BreakerSettings, moved: Callable[[State, State], None] = lambda before, after: None
    ) -> None:
        self.settings = settings
        self._moved = moved
        self.state = State.CLOSED
        self.failed_at: float | None = None
        self.opened_at = 0.0
        self.closed_at: float | None = None
        self._consecutive = 0
        self._probing = 0
        self._proofs = 0
        # Grows with every change of state: what began under an older one is no probe of this one.
        self.generation = 0
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

    def begin(self) -> int:
        """The generation the call belongs to, to be handed back with its release and its verdict."""
        self._probing += self.state is State.HALF_OPEN
        return self.generation

    def release(self, generation: int | None = None) -> None:
        if self._probed(generation):
            self._probing = max(0, self._probing - 1)

    def succeed(self, now: float, generation: int | None = None) -> None:
        self._consecutive = 0
        self._window.add(now, first=1)
        if self._probed(generation):
            self._proofs += 1
            if self._proofs >= self.settings.close_after:
                self._move(Signal.PROVED, now)

    def fail(self, now: float, generation: int | None = None) -> None:
        self.failed_at = now
        self._consecutive += 1
        self._window.add(now, second=1)
        if self._probed(generation):
            self._move(Signal.FAILED, now)
        elif self._tripped(now):
            self._move(Signal.TRIPPED, now)

    def counts(self, now: float) -> tuple[int, int]:
        """Successes and failures inside the window."""
        return self._window.counts(now)

    def _probed(self, generation: int | None) -> bool:
        """Was it one of this half-open state's own probes? None: a call that begins and ends at once."""
        return self.state is State.HALF_OPEN and generation in (None, self.generation)

    def _tripped(self, now: float) -> bool:
        if self._consecutive >= self.settings.consecutive:
            return True
        good, bad = self._window.counts(now)
        return good + bad >= self.settings.min_requests and bad / (good + bad) >= self.settings.error_rate

    def _move(self, signal: Signal, now: float) -> None:
        moved = TRANSITIONS.get((self.state, signal))
        if moved is None:
            return
        before, self.state = self.state, moved
        self.generation += 1
        self._moved(before, moved)
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
