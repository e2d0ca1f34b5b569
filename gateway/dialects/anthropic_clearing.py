"""A request for Anthropic's Messages without what of other vendors it holds and Anthropic refuses.

Thoughts that another vendor has signed bear a mark (``marks``); calls have the ids that another vendor gave them.
Messages keep their bytes where nothing of it is in them.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.dialects.anthropic_turns import legal_id
from gateway.dialects.marks import MARK, is_marked
from gateway.dialects.replaying import Fitted

Fields = dict[str, Any]

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_messages = msgspec.json.Decoder(list[msgspec.Raw])
_MARKED = f'"{MARK}'.encode()
_THOUGHTS = (b'"thinking"', b'"redacted_thinking"')


def cleared(body: bytes, bare: bool) -> Fitted:
    """``bare``: without any thoughts at all. The same object where nothing changes, or where it cannot be read."""
    needles = _THOUGHTS if bare else (_MARKED,)
    # Bytes that are not there are missed more quickly from the end.
    if not any(body.rfind(needle) >= 0 for needle in needles):
        return Fitted(body)
    try:
        return _cleared(body, bare, needles)
    except (ValueError, RecursionError):
        return Fitted(body)


def _cleared(body: bytes, bare: bool, needles: tuple[bytes, ...]) -> Fitted:
    fields = _fields.decode(body)
    kept: list[Any] = []
    dropped: list[str] = []
    gap = False
    for place, raw in enumerate(_messages.decode(fields.get("messages", b"[]"))):
        message = _without(raw, bare, f"messages[{place}]", dropped) if _has(raw, needles) else raw
        if message is not None:
            kept += [message] if not (gap and kept) else _together(kept.pop(), message)
        gap = message is None
    if dropped or bare:
        dropped += _calmed(fields, kept)
    if not dropped:
        return Fitted(body)
    return Fitted(msgspec.json.encode({**fields, "messages": kept}), tuple(dropped))


def _has(raw: msgspec.Raw, needles: tuple[bytes, ...]) -> bool:
    said = bytes(raw)
    return any(needle in said for needle in needles)


def _without(raw: msgspec.Raw, bare: bool, where: str, dropped: list[str]) -> Any:
    """The message without such thoughts; None where it held nothing else."""
    message = msgspec.json.decode(raw)
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return raw
    gone = [place for place, block in enumerate(content) if _goes(block, bare)]
    if not gone:
        return raw
    dropped += [f"{where}.content[{place}]" for place in gone]
    left = [block for block in content if not _goes(block, bare)]
    return {**message, "content": left} if left else None


def _goes(block: Any, bare: bool) -> bool:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in ("thinking", "redacted_thinking"):
        return False
    signed = block.get("signature" if kind == "thinking" else "data")
    return bare or (isinstance(signed, str) and is_marked(signed))


def _calmed(fields: dict[str, msgspec.Raw], messages: list[Any]) -> list[str]:
    """With a budget to think, a turn that uses tools must begin with its thought: where that is gone there is no
    thinking until the next turn (https://platform.claude.com/docs/en/build-with-claude/extended-thinking)."""
    thinking = _object(fields.get("thinking"))
    if thinking.get("type") != "enabled" or not _goes_on_thoughtless(messages):
        return []
    del fields["thinking"]
    # Refused where nothing is thought: https://platform.claude.com/docs/en/build-with-claude/context-editing
    context = _object(fields.get("context_management"))
    edits = context.get("edits")
    if not isinstance(edits, list):
        return ["thinking"]
    left = [each for each in edits if not (isinstance(each, dict) and str(each.get("type")).startswith("clear_think"))]
    if len(left) == len(edits):
        return ["thinking"]
    fields["context_management"] = msgspec.Raw(msgspec.json.encode({**context, "edits": left}))
    return ["thinking", "context_management.edits"]


def _object(raw: msgspec.Raw | None) -> Fields:
    return _read(raw) if raw is not None else {}


def _goes_on_thoughtless(messages: list[Any]) -> bool:
    """Is a tool being used, by an assistant's turn that does not begin with a thought?"""
    results, first = 0, None
    for said in map(_read, reversed(messages)):
        blocks = _blocks(said.get("content"))
        kind = blocks[0].get("type") if blocks else None
        if said.get("role") == "user" and kind == "tool_result":
            results += 1
        elif said.get("role") == "assistant" and results:
            first = kind
        else:
            break
    return first is not None and first not in ("thinking", "redacted_thinking")


def _together(one: Any, other: Any) -> list[Any]:
    """Two messages between which one is gone. Of one role, they are one: vendors want the roles to alternate."""
    before, after = _read(one), _read(other)
    if before.get("role") != after.get("role"):
        return [one, other]
    return [{**before, "content": [*_blocks(before.get("content")), *_blocks(after.get("content"))]}]


def _read(message: Any) -> Fields:
    said = msgspec.json.decode(message) if isinstance(message, msgspec.Raw) else message
    return said if isinstance(said, dict) else {}


def _blocks(content: Any) -> list[Fields]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


# Ids of calls ---------------------------------------------------------------------------------------------------------

_ANSWERED = b'"tool_use_id"'
_LEGALLY = re.compile(rb'\s*:\s*"[a-zA-Z0-9_-]{1,256}"')


def with_legal_ids(body: bytes) -> bytes:
    """The request with other ids for the calls whose ids Anthropic would refuse ("String should match pattern
    '^[a-zA-Z0-9_-]+$'"): others call theirs ``functions.shell:0``. The same object where there is none."""
    if _all_legal(body):
        return body
    try:
        fields = _fields.decode(body)
        messages = [_renamed(raw) for raw in _messages.decode(fields["messages"])]
    except (KeyError, ValueError, RecursionError):
        return body
    return msgspec.json.encode({**fields, "messages": messages})


def _all_legal(body: bytes) -> bool:
    """Every call has a result: to look at those is enough."""
    at = body.find(_ANSWERED)
    while at >= 0:
        at += len(_ANSWERED)
        if _LEGALLY.match(body, at) is None:
            return False
        at = body.find(_ANSWERED, at)
    return True


def _renamed(raw: msgspec.Raw) -> Any:
    if b'"tool_' not in bytes(raw):
        return raw
    message = _read(raw)
    changed = False
    for block in message["content"] if isinstance(message.get("content"), list) else ():
        name = _ID_OF.get(str(block.get("type"))) if isinstance(block, dict) else None
        given = block.get(name) if name else None
        if name and isinstance(given, str) and (legal := legal_id(given)) != given:
            block[name], changed = legal, True
    return message if changed else raw


_ID_OF = {"tool_use": "id", "tool_result": "tool_use_id"}
