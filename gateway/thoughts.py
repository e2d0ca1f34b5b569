"""What models thought before they called a tool, kept for clients that do not send it back with the tool's result.

Anthropic, Gemini, DeepSeek and others refuse, or do worse, when a tool's result comes back without the reasoning that
led to the call. Kept in this process alone, for a while, by the caller and the call's id.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from gateway.chat import Kept

LIMIT = 64 * 2**20
"""Characters held at most; what was used longest ago goes first."""

# Kimi counts its calls from 0 in each conversation (``functions.shell:0``): such an id names a call within one alone.
_COUNTED = re.compile(r".*:[0-9]{1,9}", re.DOTALL)

_Key = tuple[str | None, str | None, str]


class Thoughts:
    """Bounded by size. One caller never sees what belongs to another, nor one conversation what belongs to another."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[_Key, Kept] = OrderedDict()

    def keep(self, caller: str | None, call_id: str, kept: Kept, session: str | None = None) -> None:
        key = _key(caller, call_id, session)
        before = self._forget(key)
        if before not in (None, kept) and session is None and _COUNTED.fullmatch(call_id):
            # Two conversations have this id, and nothing tells which of them will ask: neither is answered.
            kept = _NOBODYS
        size = _size(call_id, kept)
        if size > self._limit:
            return
        self._kept[key] = kept
        self._size += size
        while self._size > self._limit:
            self._forget(next(iter(self._kept)))

    def recall(self, caller: str | None, call_id: str, session: str | None = None) -> Kept | None:
        key = _key(caller, call_id, session)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return None if kept is _NOBODYS else kept

    def _forget(self, key: _Key) -> Kept | None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._size -= _size(key[2], kept)
        return kept


_NOBODYS = Kept()


def _key(caller: str | None, call_id: str, session: str | None) -> _Key:
    return (caller, session if _COUNTED.fullmatch(call_id) else None, call_id)


def _size(call_id: str, kept: Kept) -> int:
    thoughts = sum(len(each.content) + len(each.signature or "") + len(each.opaque or "") for each in kept.thoughts)
    return thoughts + len(kept.signature or "") + len(call_id) + 200
