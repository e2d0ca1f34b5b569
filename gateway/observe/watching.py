"""One reader of the live view's events: a bounded queue that forgets the oldest and says how many it forgot."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

# Events that wait for a slow reader.
MOST_WAITING = 256

Told = tuple[str, Mapping[str, Any]]
"""``request``, ``switch`` or ``missed`` (with how many: ``count``), and the fact."""


class Watcher:
    """``left`` is called once, when the reader closes. Not for several threads."""

    def __init__(self, filters: Mapping[str, Any], left: Callable[[Watcher], None]) -> None:
        self.filters, self._left = filters, left
        self._waiting: deque[Told] = deque()
        self._missed = 0
        self._there = asyncio.Event()

    def put(self, kind: str, fact: Mapping[str, Any]) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append((kind, fact))
        self._there.set()

    async def next(self, seconds: float) -> list[Told]:
        """All that waits, oldest first; nothing when nothing came for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._there.wait()
        except TimeoutError:
            return []
        self._there.clear()
        told, missed = list(self._waiting), self._missed
        self._waiting.clear()
        self._missed = 0
        return [("missed", {"count": missed}), *told] if missed else told

    def close(self) -> None:
        self._left(self)
