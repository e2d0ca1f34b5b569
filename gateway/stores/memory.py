"""Kept in this process: of too many, or too large ones, the oldest gives way, and a restart forgets all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

# Plans may be long: 10,000 of the longest would be a gigabyte.
MOST_BYTES = 64 * 2**20


class MemoryStore:
    def __init__(self, clock: Callable[[], float], seconds: float, most: int, most_bytes: int = MOST_BYTES) -> None:
        """``seconds``: how long something is kept that nobody asks for. ``most_bytes``: of all values together."""
        self._clock, self._seconds, self._most, self._most_bytes = clock, seconds, most, most_bytes
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0
        self.table: Mapping[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.look(key)

    async def several(self, keys: Sequence[str]) -> list[bytes | None]:
        return [await self.get(key) for key in keys]

    def look(self, key: str) -> bytes | None:
        found = self._taken(key)
        if found is None or self._clock() - found[0] > self._seconds:
            return None
        self._keep(key, found[1])
        return found[1]

    def put(self, key: str, value: bytes | None) -> None:
        self._taken(key)
        # One that has no room alone would only drive out all others.
        if value is None or len(value) > self._most_bytes:
            return
        self._keep(key, value)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._taken(next(iter(self._kept)))

    def enter(self, name: str, value: bytes | None) -> None:
        self.table = changed(self.table, name, value)

    def start(self) -> None:
        """Nothing to be done."""

    async def close(self) -> None:
        self._kept.clear()
        self._bytes = 0

    def _keep(self, key: str, value: bytes) -> None:
        self._kept[key] = (self._clock(), value)
        self._bytes += len(value)

    def _taken(self, key: str) -> tuple[float, bytes] | None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= len(found[1])
        return found


def changed(table: Mapping[str, bytes], name: str, value: bytes | None) -> Mapping[str, bytes]:
    """The table with one entry changed, or taken away by None."""
    rest = {key: each for key, each in table.items() if key != name}
    return rest if value is None else {**rest, name: value}
