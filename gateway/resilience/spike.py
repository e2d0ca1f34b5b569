"""One provider's error rate, over all its targets: while it is high, others are asked first, but for a few trials."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from gateway.resilience import SpikeSettings
from gateway.resilience.window import Window

# Where a share wavers about the threshold, a lucky run of trials comes sooner or later. Demoted again within so many
# holds, it is held for twice as long, so many times over at most: it is moved to and fro ever more rarely.
SOON = 10
MOST_DOUBLINGS = 5
# A trial is due when there has been none for this share of the hold, never of a doubled one, so that little traffic is
# no reason to stay demoted; with a hold that is next to nothing, after so many seconds.
DUE_AFTER, DUE_AFTER_LEAST = 0.5, 1.0
# Fewer trials prove it if all of them go well for so many holds, and for as long as the window. A provider with traffic
# enough to be demoted anew has had about eight by then: one that fails a quarter of its calls seldom gets there.
FEW, LONG = 3, 4


class Swing(msgspec.Struct, frozen=True):
    """A provider was demoted or restored: for which share of failures, of how many calls."""

    provider: str
    demoted: bool
    error_rate: float
    calls: int
    lasted: float = 0.0
    """Seconds for which it had been demoted."""


class Spike:
    """``succeed`` or ``fail`` is a call's verdict, and ``began`` when it began. Times are seconds of one clock.

    While demoted only what began since is counted: the last ``min_requests`` of it say whether the provider is well
    again, or fewer if they went well for long. They are calls that were made as trials, and all others that reached it.
    A swing is told to ``moved``.
    """

    def __init__(
        self,
        provider: str,
        settings: SpikeSettings,
        now: float,
        moved: Callable[[Swing], None] = lambda swing: None,
    ) -> None:
        """What began before ``now`` says nothing of this provider."""
        self.provider, self.settings, self._moved = provider, settings, moved
        self.demoted_at: float | None = None
        self.why = ""
        """The share of failures it was demoted for, in words."""
        self._restored_at: float | None = None
        self._swung_at = now
        self._held_until = 0.0
        self._doublings = 0
        self._window = Window(settings.window)
        self._trials: deque[bool] = deque()
        """The latest calls since it was demoted; True: failed."""
        self._failed = 0
        self._tried_at = now
        """When it was last given a trial, or reached by another call, while demoted."""
        self._well_for: tuple[int, float, float] | None = None
        """Trials since the last that failed: how many, when the first of them and the last of them began."""

    @property
    def hold(self) -> float:
        """Seconds for which it stays demoted at least, from the last time that the share was too high."""
        return self.settings.hold * (1 << self._doublings)

    @property
    def off(self) -> bool:
        return self.settings.error_rate >= 1

    def adopt(self, settings: SpikeSettings) -> None:
        """New settings; the state is kept, and what was counted if it is counted over as long a time as before."""
        if settings.window != self.settings.window:
            self._window = Window(settings.window)
        self.settings = settings
        self._shorten()

    def demotes(self, now: float) -> bool:
        """Are others to be asked first? Asking restores a provider that has proved itself and was held long enough."""
        if self.demoted_at is not None and (self.off or self._well(now)):
            self._restore(now)
        return self.demoted_at is not None

    def takes_trial(self, chance: float, now: float, *, begins: bool) -> bool:
        """Is this request to ask it in its place, to see how it is? ``chance`` is in [0, 1).

        1. None for too long: any request. 2. One that begins a conversation, by chance. 3. No other: a conversation
        that goes there and back leaves a cache behind both times.
        """
        due = now - self._tried_at >= max(DUE_AFTER * self.settings.hold, DUE_AFTER_LEAST)
        if not due and not (begins and chance < self.settings.trial):
            return False
        self._tried_at = now
        return True

    def succeed(self, began: float, now: float) -> None:
        if self._counted(began, now, failed=False):
            self.demotes(now)

    def fail(self, began: float, now: float) -> None:
        if not self._counted(began, now, failed=True) or self.off:
            return
        good, bad = self.counts(now)
        if good + bad < self.settings.min_requests or bad < self.settings.error_rate * (good + bad):
            return
        if self.demoted_at is None:
            self._demote(bad / (good + bad), good + bad, now)
        self._held_until = now + self.hold

    def counts(self, now: float) -> tuple[int, int]:
        """Successes and failures: inside the window, or of the trials while it is demoted."""
        if self.demoted_at is None:
            return self._window.counts(now)
        return len(self._trials) - self._failed, self._failed

    def _counted(self, began: float, now: float, *, failed: bool) -> bool:
        # A call that began before the last swing tells how the provider was then: a minute's timeouts may still come.
        if began < self._swung_at:
            return False
        if self.demoted_at is None:
            self._window.add(now, first=not failed, second=failed)
        else:
            self._trials.append(failed)
            self._failed += failed
            self._tried_at = max(self._tried_at, began)
            number, first, last = self._well_for or (0, began, began)
            self._well_for = None if failed else (number + 1, min(first, began), max(last, began))
            self._shorten()
        return True

    def _shorten(self) -> None:
        while len(self._trials) > self.settings.min_requests:
            self._failed -= self._trials.popleft()

    def _well(self, now: float) -> bool:
        calls = len(self._trials)
        proved = calls >= self.settings.min_requests and self._failed < self.settings.recover_below * calls
        return (proved or self._well_for_long()) and now >= self._held_until

    def _well_for_long(self) -> bool:
        number, first, last = self._well_for or (0, 0.0, 0.0)
        return number >= FEW and last - first >= max(LONG * self.hold, self.settings.window)

    def _demote(self, error_rate: float, calls: int, now: float) -> None:
        soon = self._restored_at is not None and now - self._restored_at < SOON * self.hold
        self._doublings = min(self._doublings + 1, MOST_DOUBLINGS) if soon else 0
        self.demoted_at = self._swung_at = self._tried_at = now
        self.why = f"error rate {round(error_rate * 100)} % of {self.provider} over {self.settings.window:g}s"
        self._trials.clear()
        self._failed, self._well_for = 0, None
        self._moved(Swing(self.provider, True, error_rate, calls))

    def _restore(self, now: float) -> None:
        calls, lasted = len(self._trials), now - (self.demoted_at or now)
        error_rate = self._failed / max(1, calls)
        self.demoted_at, self._swung_at, self._restored_at = None, now, now
        # A fresh start: what it was demoted for must not demote it again at once.
        self._window.clear()
        self._moved(Swing(self.provider, False, error_rate, calls, lasted))
