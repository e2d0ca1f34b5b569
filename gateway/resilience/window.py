"""Two counts over the last so many seconds, kept in slices: constant memory, however much passes."""

from __future__ import annotations

from collections import deque

SLICES = 12


class Window:
    """What is counted is forgotten after ``seconds``, a slice (a twelfth of it) at a time."""

    def __init__(self, seconds: float) -> None:
        self._slice = max(seconds / SLICES, 1e-6)
        # [slice number, first count, second count], oldest first.
        self._slices: deque[list[int]] = deque()

    def add(self, now: float, first: int = 0, second: int = 0) -> None:
        number = int(now / self._slice)
        if not self._slices or self._slices[-1][0] != number:
            self._forget(now)
            self._slices.append([number, 0, 0])
        latest = self._slices[-1]
        latest[1] += first
        latest[2] += second

    def counts(self, now: float) -> tuple[int, int]:
        self._forget(now)
        return sum(each[1] for each in self._slices), sum(each[2] for each in self._slices)

    def clear(self) -> None:
        self._slices.clear()

    def _forget(self, now: float) -> None:
        oldest = int(now / self._slice) - SLICES
        while self._slices and self._slices[0][0] <= oldest:
            self._slices.popleft()
