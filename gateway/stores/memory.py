"""Kept in this process: the oldest of too many gives way, and a restart forgets all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping


class MemoryStore:
    def __init__(self, clock: Callable[[], float], seconds: float, most: int) -> None:
        """``seconds``: how long something is kept that nobody asks for."""
        self._clock, self._seconds, self._most = clock, seconds, most
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self.table: Mapping[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.look(key)

    def look(self, key: str) -> bytes | None:
        found = self._kept.pop(key, None)
        if found is None or self._clock() - found[0] > self._seconds:
            return None
        self._kept[key] = (self._clock(), found[1])
        return found[1]

    def put(self, key: str, value: bytes | None) -> None:
        self._kept.pop(key, None)
        if value is None:
            return
        self._kept[key] = (self._clock(), value)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def enter(self, name: str, value: bytes | None) -> None:
        self.table = changed(self.table, name, value)

    def start(self) -> None:
        """Nothing to be done."""

    async def close(self) -> None:
        self._kept.clear()


def changed(table: Mapping[str, bytes], name: str, value: bytes | None) -> Mapping[str, bytes]:
    """The table with one entry changed, or taken away by None."""
    rest = {key: each for key, each in table.items() if key != name}
    return rest if value is None else {**rest, name: value}
