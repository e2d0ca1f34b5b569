"""A conversation as OpenAI's chat completions carry it, whatever a client has put there. Reads; never raises."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from gateway.dialects.conversation import Call, Conversation, Message, Role, Said, text_of
from gateway.dialects.mending import decoded

T = TypeVar("T")
_ABSENT = msgspec.Raw(b"")
# With more tools than this it is quicker to decode the calls than to look for each name.
_FEW = 8
# Tools that are longer than this are read every time: so many bytes are compared, and kept, of each of the last few.
_LONGEST_KEPT = 64 * 1024
_END = 256
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_IMAGES = frozenset(("image_url", "image", "input_image"))


class _Message(msgspec.Struct, gc=False):
    """A message whose long fields are left as they are until somebody asks: the body is scanned once."""

    role: Any = None
    content: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT
    function_call: msgspec.Raw = _ABSENT
    tool_call_id: Any = None
    is_error: Any = None
    isError: Any = None


class _Part(msgspec.Struct, gc=False):
    """What is long and no text, such as an image in base64, is passed over."""

    type: Any = None
    text: Any = None
    is_error: Any = None
    isError: Any = None


class _Named(msgspec.Struct, gc=False):
    name: Any = None


class _Tool(msgspec.Struct, gc=False):
    # In all its shapes: function and custom tools, legacy functions, tools of the vendor's own.
    function: _Named | None = None
    custom: _Named | None = None
    name: Any = None
    type: Any = None


class _Request(msgspec.Struct):
    messages: list[_Message] | None = None
    tools: msgspec.Raw = _ABSENT
    functions: msgspec.Raw = _ABSENT


class _Loose(msgspec.Struct):
    # The same where something has another shape than it should.
    messages: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT
    functions: msgspec.Raw = _ABSENT


_request = msgspec.json.Decoder(_Request)
_loose = msgspec.json.Decoder(_Loose)
_message = msgspec.json.Decoder(_Message)
_tool = msgspec.json.Decoder(_Tool)
_tools = msgspec.json.Decoder(list[_Tool])
_content = msgspec.json.Decoder(str | list[_Part] | None)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def conversation(body: bytes) -> Conversation:
    messages, tools = _read(body)
    made: list[Message] = []
    for each in messages:
        if isinstance(each.role, str):
            id = each.tool_call_id
            made.append(_Lazy(_ROLES.get(each.role, "other"), id if isinstance(id, str) else "", raw=each))
    offered = [bytes(raw) for raw in tools if raw is not _ABSENT]
    named = tuple(name for raw in offered for name in offered_in(raw))
    return Conversation(made, named, sum(map(len, offered)))


class _Lazy(Message, kw_only=True, gc=False):
    raw: _Message

    def read(self) -> Said:
        raw = self.raw
        flags = [flag for flag in (raw.is_error, raw.isError) if flag is True or flag is False]
        flag = any(flags) if flags else None
        if raw.content is _ABSENT:
            return Said("", flag=flag)
        content = decoded(_content, raw.content)
        if isinstance(content, str):
            return Said(content, flag=flag)
        if content is None and bytes(raw.content) != b"null":  # a list with something else in it than parts
            return Said(text_of(_value(raw.content), "\n"), flag=flag)
        return _of_parts(content or [], flags)

    def calls(self, place: int) -> list[Call]:
        if isinstance(made := _value(self.raw.tool_calls), list) and made:
            return [_call(each, f"{place}.{number}") for number, each in enumerate(made) if isinstance(each, dict)]
        legacy = _value(self.raw.function_call)
        return [_call({"function": legacy}, f"{place}.0")] if isinstance(legacy, dict) else []

    def size_of_calls(self) -> int:
        """0 also for ``null``, ``[]`` and the like."""
        size = len(memoryview(self.raw.tool_calls)) + len(memoryview(self.raw.function_call))
        return size if size > len("nullnull") else 0

    def may_call(self, tools: Collection[str]) -> bool:
        """Is one of the names in the calls, or something that is spelled with escapes?"""
        raw = bytes(self.raw.tool_calls) or bytes(self.raw.function_call)
        return len(tools) > _FEW or b"\\u" in raw or any(msgspec.json.encode(tool)[1:-1] in raw for tool in tools)

    def parts(self) -> Iterable[msgspec.Raw]:
        return self.raw.content, self.raw.tool_calls, self.raw.function_call, msgspec.Raw(self.answers)


def _of_parts(parts: list[_Part], flags: list[bool]) -> Said:
    texts, images, files = [], 0, 0
    for part in parts:
        flags += [flag for flag in (part.is_error, part.isError) if isinstance(flag, bool)]
        if isinstance(part.text, str):
            texts.append(part.text)
        elif isinstance(part.type, str) and part.type in _IMAGES:
            images += 1
        else:
            files += 1
    return Said("\n".join(texts), images, files, any(flags) if flags else None)


def _read(body: bytes) -> tuple[list[_Message], tuple[msgspec.Raw, ...]]:
    if (request := decoded(_request, body)) is not None:
        return request.messages or [], (request.tools, request.functions)
    loose = decoded(_loose, body) or _Loose()
    items = (decoded(_message, item) for item in decoded(_list, loose.messages) or ())
    return [item for item in items if item], (loose.tools, loose.functions)


def _value(raw: msgspec.Raw) -> Any:
    return decoded(_any, raw) if raw is not _ABSENT else None


class Sent:
    """Tools as they were sent. Compared whole, but hashed by their end: that much of every body would take longer."""

    __slots__ = ("_hash", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw, self._hash = raw, hash((len(raw), raw[-_END:]))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sent) and self.raw == other.raw


def offered_in(raw: bytes) -> tuple[str, ...]:
    return _offered_again(Sent(raw)) if len(raw) <= _LONGEST_KEPT else _offered(raw)


@lru_cache(maxsize=32)
def _offered_again(sent: Sent) -> tuple[str, ...]:
    """Agents send the same tools with every request of a conversation."""
    return _offered(sent.raw)


def _offered(raw: bytes) -> tuple[str, ...]:
    """The names of the tools the model may call. A tool of the vendor's own has its type for a name."""
    tools = decoded(_tools, raw)
    if tools is None:
        tools = [tool for tool in (decoded(_tool, item) for item in decoded(_list, raw) or ()) if tool]
    named = ((tool.function or tool.custom or tool).name or tool.type for tool in tools)
    return tuple(name for name in named if isinstance(name, str))


def _call(made: dict[str, Any], place: str) -> Call:
    free = made.get("type") == "custom"
    inner = made.get("custom" if free else "function")
    said = inner if isinstance(inner, dict) else {}
    named, id = said.get("name"), made.get("id")
    arguments = None if free else said.get("arguments")
    return Call(
        id=id if isinstance(id, str) and id else place,
        tool=named if isinstance(named, str) else "",
        arguments=arguments,
        readable=is_object(arguments),
    )


def is_object(arguments: Any) -> bool:
    """Nothing at all is the empty object: some models call tools without parameters so."""
    if isinstance(arguments, str) and arguments.strip():
        return decoded(_object, arguments.encode(errors="replace")) is not None
    return arguments is None or isinstance(arguments, dict | str)
