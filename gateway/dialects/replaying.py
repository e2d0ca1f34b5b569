"""The history of an OpenAI-shaped request made to fit a vendor: what it refuses taken out, thoughts it wants put in.

Only ever a look at some messages: the others keep their bytes, and a body in which nothing changes comes back as the
same object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec

from gateway.chat import Kept, Reasoning
from gateway.dialects.openai_parts import FORMATS, signature_of, thoughts_of

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])


Change = Callable[[dict[str, Any], str], bool]
"""Changes an object that stands somewhere, or says that there was nothing to change."""


class Fitted(NamedTuple):
    """A request, and what it could not keep by its place: ``messages[3].reasoning_content``."""

    body: bytes
    dropped: tuple[str, ...] = ()


def without_foreign(body: bytes, keys: frozenset[str]) -> Fitted:
    """The request without these keys in its messages, their parts and tool calls, and its tools; without parts of these
    types, too."""
    if not keys or _has_none(keys, body):
        return Fitted(body)
    needles, dropped = _quoted(keys), list[str]()

    def cut(message: dict[str, Any], where: str) -> bool:
        changed = _cut(message, keys, where, dropped)
        calls, content = message.get("tool_calls"), message.get("content")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            changed |= _cut(call, keys, f"{where}.tool_calls[{place}]", dropped)
        if not isinstance(content, list):
            return changed
        kept = []
        for place, part in enumerate(content):
            within = f"{where}.content[{place}]"
            if isinstance(part, dict) and isinstance(part.get("type"), str) and part["type"] in keys:
                dropped.append(within)
                continue
            changed |= _cut(part, keys, within, dropped)
            kept.append(part)
        if len(kept) < len(content):
            message["content"] = kept or (None if calls else "")
            changed = True
        return changed

    def cut_tool(tool: dict[str, Any], where: str) -> bool:
        return _cut(tool, keys, where, dropped)

    body = _changed(body, "messages", needles, cut)
    return Fitted(_changed(body, "tools", needles, cut_tool), tuple(dropped))


def _has_none(keys: frozenset[str], body: bytes) -> bool:
    """Is there none of them where they would be cut? False, too, for what is not written as usual."""
    try:
        _without(keys).decode(body)
    except (ValueError, RecursionError):
        return False
    return True


@lru_cache(maxsize=64)
def _without(keys: frozenset[str]) -> msgspec.json.Decoder[Any]:
    """Refuses a request that has one of the keys. Decoding it once is far quicker than looking for each of them."""
    never = Annotated[int, msgspec.Meta(gt=0, lt=0)]
    foreign = {f"foreign_{place}": key for place, key in enumerate(sorted(keys))}
    none = [(name, never, 0) for name in foreign]
    other = msgspec.defstruct("Other", none, rename=foreign)
    kind = Annotated[str, msgspec.Meta(pattern=f"^(?!({'|'.join(map(re.escape, foreign.values()))})$)")]
    part = msgspec.defstruct("Part", [*none, ("type", kind, "")], rename=foreign)
    fields: list[Any] = [("content", str | list[part] | None, None), ("tool_calls", list[other] | None, None)]  # type: ignore[valid-type]
    message = msgspec.defstruct("Message", [*none, *fields], rename=foreign)
    lists: list[Any] = [("messages", list[message], []), ("tools", list[other] | None, None)]  # type: ignore[valid-type]
    return msgspec.json.Decoder(msgspec.defstruct("Request", lists))


def _cut(holder: Any, keys: frozenset[str], where: str, dropped: list[str]) -> bool:
    if not isinstance(holder, dict) or not (found := holder.keys() & keys):
        return False
    for key in sorted(found):
        if holder.pop(key):
            dropped.append(f"{where}.{key}")
    return True


def with_roles(body: bytes, roles: Mapping[str, str]) -> bytes:
    """The request with other names for the roles that a vendor does not know."""
    needles = _quoted(roles)
    if not any(body.rfind(needle) >= 0 for needle in needles):
        return body

    def call(message: dict[str, Any], where: str) -> bool:
        role = message.get("role")
        if not isinstance(role, str) or role not in roles:
            return False
        message["role"] = roles[role]
        return True

    return _changed(body, "messages", needles, call)


def _quoted(names: Iterable[str]) -> tuple[bytes, ...]:
    """As keys and values stand in JSON: inside a text the quotation marks are escaped."""
    return tuple(f'"{name}"'.encode() for name in names)


# Thoughts put back ----------------------------------------------------------------------------------------------------

DETAILS = "reasoning_details"
OPENROUTER = "openrouter"
"""The format of thoughts that are kept as OpenRouter's own list, to go back to it as it came."""


def with_thoughts(body: bytes, keys: frozenset[str], recall: Callable[[str], Kept | None]) -> bytes:
    """The request with the thoughts that led to its tool calls, where the client left them out.

    1. As the client sent them, in another vendor's spelling. 2. As remembered. 3. Where nobody knows them (another
    vendor called the tools) a vendor that refuses a turn without thoughts gets some words in their place.
    """
    # Bytes that are not there are missed three times as quickly from the end.
    if body.rfind(b'"tool_calls"') < 0:
        return body

    def put(message: dict[str, Any], where: str) -> bool:
        calls = message.get("tool_calls")
        calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        if message.get("role") != "assistant":
            return False
        found = {key: _thought(key, message, calls, recall) for key in keys if not message.get(key)}
        message.update({key: value for key, value in found.items() if value})
        return any(found.values())

    return _changed(body, "messages", (b'"assistant"',), put)


def _thought(
    key: str, message: Mapping[str, Any], calls: list[dict[str, Any]], recall: Callable[[str], Kept | None]
) -> Any:
    ids = (call.get("id") for call in calls)
    kept = next((kept for each in ids if isinstance(each, str) and (kept := recall(each))), None)
    if key == DETAILS:
        own = (each.opaque for each in kept.thoughts if each.format == OPENROUTER) if kept else iter(())
        return next((msgspec.json.decode(each) for each in own if each), None) or _signatures(calls)
    sent, _ = thoughts_of(dict(message))
    known = (each.content for each in (sent or (kept.thoughts if kept else ())))
    return "".join(known) or _stand_in(message, calls)


def _signatures(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gemini's, of calls, as OpenRouter tells them and wants them back: by the call's id.
    https://openrouter.ai/docs/guides/best-practices/reasoning-tokens#preserving-reasoning-blocks"""
    signed = [(call["id"], data) for call in calls if isinstance(call.get("id"), str) and (data := signature_of(call))]
    return [
        {"type": "reasoning.encrypted", "data": data, "id": name, "format": FORMATS["gemini"], "index": at}
        for at, (name, data) in enumerate(signed)
    ]


# DeepSeek refuses tool turns without reasoning_content, and an empty one; the final answer of such a turn is one, too,
# and cannot be told from others here. The same words at every turn make it repeat them instead of answering, so these
# differ: https://api-docs.deepseek.com/guides/thinking_mode
def _stand_in(message: Mapping[str, Any], calls: list[dict[str, Any]]) -> str:
    functions = [function for call in calls if isinstance(function := call.get("function"), dict)]
    named = [f"{each.get('name')} {str(each.get('arguments') or '')[:200]}".strip() for each in functions]
    if named:
        return f"Next: {'; '.join(named)}"
    content = message.get("content")
    return f"To say: {content[:200]}" if isinstance(content, str) and content else ""


def remembered(deltas: Iterable[Mapping[str, Any]]) -> tuple[Reasoning, ...]:
    """What a model thought, from the keys of its messages that the vendor wants back: whole, or in pieces."""
    texts: list[str] = []
    details: list[dict[str, Any]] = []
    for delta in deltas:
        for key, value in delta.items():
            if key == DETAILS and isinstance(value, list):
                _join(details, value)
            elif isinstance(value, str):
                texts.append(value)
    opaque = msgspec.json.encode(details).decode() if details else None
    content = "".join(texts) or "".join(str(each.get("text") or each.get("summary") or "") for each in details)
    return (Reasoning(content, opaque=opaque, format=OPENROUTER if opaque else None),) if content or opaque else ()


def _join(details: list[dict[str, Any]], pieces: list[Any]) -> None:
    """The pieces of one thought have one index and follow each other."""
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        last = details[-1] if details else {}
        same = piece.get("index") is not None and (last.get("index"), last.get("type")) == (
            piece["index"],
            piece.get("type"),
        )
        if not same or (last.get("data") and piece.get("data")):
            details.append(dict(piece))
            continue
        for key, value in piece.items():
            if key in ("text", "summary") and isinstance(value, str) and isinstance(last.get(key), str):
                last[key] += value
            elif value is not None:
                last[key] = value


def _changed(body: bytes, name: str, needles: tuple[bytes, ...], change: Change) -> bytes:
    """The request with the elements of a list changed that hold one of the needles; as it came where none was, or where
    it cannot be read."""
    try:
        fields = _fields.decode(body)
        if name not in fields:
            return body
        elements: list[Any] = list(_list.decode(fields[name]))
        changed = False
        for place, raw in enumerate(elements):
            if any(needle in bytes(raw) for needle in needles):
                element = msgspec.json.decode(raw)
                if isinstance(element, dict) and change(element, f"{name}[{place}]"):
                    elements[place], changed = element, True
        return msgspec.json.encode({**fields, name: elements}) if changed else body
    except (ValueError, RecursionError):
        return body
