"""The thoughts in a Responses request that its vendor would not take, taken out before it is passed on."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.marks import MARK, is_marked
from gateway.dialects.replaying import Fitted
from gateway.dialects.responses_object import OURS

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])


class _Thought(msgspec.Struct):
    type: Any = None
    id: Any = None
    encrypted_content: Any = None


_thought = msgspec.json.Decoder(_Thought)
_item = msgspec.json.Decoder(dict[str, msgspec.Raw])
# In OpenAI's store a message and a call belong to the thought before them, and are refused by their ids without it.
_BOUND = (b'"message"', b'"function_call"', b'"custom_tool_call"')


def cleared(body: bytes, bare: bool) -> Fitted:
    """The request without the thoughts that another vendor, or nobody, has signed; ``bare``: without any.

    The same object where nothing is to be taken out.
    """
    if body.rfind(b'"reasoning"') < 0 or not (bare or any(body.rfind(mark) >= 0 for mark in _MARKS)):
        return Fitted(body)
    try:
        fields = _fields.decode(body)
        items = _list.decode(fields["input"])
    except (KeyError, ValueError, RecursionError):
        return Fitted(body)
    kept: list[Any] = []
    dropped: list[str] = []
    for place, raw in enumerate(items):
        if b'"reasoning"' in bytes(raw) and _is_foreign(raw, bare):
            dropped.append(f"input[{place}]")
        else:
            kept.append(raw)
    if not dropped:
        return Fitted(body)
    if bare:
        kept = [_unbound(raw) for raw in kept]
    return Fitted(msgspec.json.encode({**fields, "input": kept}), tuple(dropped))


_MARKS = (MARK.encode(), OURS.encode())


def _is_foreign(raw: msgspec.Raw, bare: bool) -> bool:
    """1. Marked as another's. 2. Ours by its id, its mark lost. 3. With nothing by which OpenAI could know it."""
    try:
        thought = _thought.decode(raw)
    except (ValueError, RecursionError):
        return False
    if thought.type != "reasoning":
        return False
    sealed, name = thought.encrypted_content, thought.id
    if bare or (isinstance(sealed, str) and is_marked(sealed)):
        return True
    return not sealed and (not name or (isinstance(name, str) and name.startswith(OURS)))


def _unbound(raw: msgspec.Raw) -> Any:
    if not any(kind in bytes(raw) for kind in _BOUND):
        return raw
    try:
        item = _item.decode(raw)
    except (ValueError, RecursionError):
        return raw
    if bytes(item.get("type", b"")) not in _BOUND or "id" not in item:
        return raw
    del item["id"]
    return item
