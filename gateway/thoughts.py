"""What models thought before they called a tool, kept for clients that do not send it back with the tool's result.

Anthropic, Gemini, DeepSeek and others refuse, or do worse, when a tool's result comes back without the reasoning that
led to the call. Kept in this process alone, for a while, by the caller and the call's id.
"""

from __future__ import annotations

from collections import OrderedDict

from gateway.chat import Kept

LIMIT = 64 * 2**20
"""Characters held at most; what was used longest ago goes first."""


class Thoughts:
    """Bounded by size. One caller never sees what belongs to another."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[tuple[str | None, str], Kept] = OrderedDict()

    def keep(self, caller: str | None, call_id: str, kept: Kept) -> None:
        self._forget((caller, call_id))
        size = _size(call_id, kept)
        if size > self._limit:
            return
        self._kept[caller, call_id] = kept
        self._size += size
        while self._size > self._limit:
            self._forget(next(iter(self._kept)))

    def recall(self, caller: str | None, call_id: str) -> Kept | None:
        kept = self._kept.get((caller, call_id))
        if kept is not None:
            self._kept.move_to_end((caller, call_id))
        return kept

    def _forget(self, key: tuple[str | None, str]) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._size -= _size(key[1], kept)


def _size(call_id: str, kept: Kept) -> int:
    thoughts = sum(len(each.content) + len(each.signature or "") + len(each.opaque or "") for each in kept.thoughts)
    return thoughts + len(kept.signature or "") + len(call_id) + 200
