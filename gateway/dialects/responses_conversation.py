"""A conversation as Responses carry it, item by item, whatever a client has put there. Reads; never raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from gateway.dialects.conversation import Call, Conversation, Message, Role, Said, text_of
from gateway.dialects.mending import decoded
from gateway.dialects.openai_conversation import Sent, is_object
from gateway.dialects.responses_input import shell_text
from gateway.dialects.responses_tools import ACTIONS, full_name

_ABSENT = msgspec.Raw(b"")
_NULL = (b"", b"null")
# Tools that are longer than this are read every time: so many bytes are compared, and kept, of each of the last few.
_LONGEST_KEPT = 64 * 1024
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_IMAGES = frozenset(("input_image", "image_url", "image"))


class _Item(msgspec.Struct, gc=False):
    """An item whose long fields are left as they are until somebody asks: the body is scanned once."""

    type: Any = None
    role: Any = None
    call_id: Any = None
    id: Any = None
    name: Any = None
    namespace: Any = None
    status: Any = None
    is_error: Any = None
    content: msgspec.Raw = _ABSENT
    arguments: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    action: msgspec.Raw = _ABSENT
    operation: msgspec.Raw = _ABSENT
    output: msgspec.Raw = _ABSENT


class _Part(msgspec.Struct, gc=False):
    """What is long and no text, such as an image in base64, is passed over."""

    type: Any = None
    text: Any = None


class _Tool(msgspec.Struct, gc=False):
    type: Any = None
    name: Any = None
    tools: Any = None


class _Request(msgspec.Struct):
    input: str | list[_Item] | None = None
    instructions: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT


class _Loose(msgspec.Struct):
    # The same where something has another shape than it should.
    input: msgspec.Raw = _ABSENT
    instructions: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT


_request = msgspec.json.Decoder(_Request)
_loose = msgspec.json.Decoder(_Loose)
_item = msgspec.json.Decoder(_Item)
_content = msgspec.json.Decoder(str | list[_Part] | None)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_tools = msgspec.json.Decoder(list[_Tool])
_tool = msgspec.json.Decoder(_Tool)
_any = msgspec.json.Decoder()


def conversation(body: bytes) -> Conversation:
    """The items of one answer are one message; instructions are the first."""
    items, instructions, tools = _read(body)
    made: list[Message] = []
    if bytes(instructions) not in _NULL:
        made.append(_Spoken("system", raw=_Item(content=instructions)))
    made += _messages(items)
    raw = bytes(tools)
    named = _offered_again(Sent(raw)) if len(raw) <= _LONGEST_KEPT else _offered(raw)
    return Conversation(made, named, len(raw))


def _read(body: bytes) -> tuple[list[_Item], msgspec.Raw, msgspec.Raw]:
    if (request := decoded(_request, body)) is not None:
        said = request.input
        items = _alone(msgspec.json.encode(said)) if isinstance(said, str) else said or []
        return items, request.instructions, request.tools
    loose = decoded(_loose, body) or _Loose()
    read = (decoded(_item, raw) for raw in decoded(_list, loose.input) or ())
    return [item for item in read if item], loose.instructions, loose.tools


def _alone(text: bytes) -> list[_Item]:
    return [_Item(role="user", content=msgspec.Raw(text))]


def _messages(items: list[_Item]) -> Iterator[Message]:
    turn: list[_Item] = []
    for item in items:
        kind = item.type if isinstance(item.type, str) else "message"
        role = _ROLES.get(item.role) if isinstance(item.role, str) else None
        if (kind == "message" and role == "assistant") or _calls(item):
            turn.append(item)
            continue
        answers = kind in _RESULTS
        if not answers and (kind != "message" or role is None):
            # Thoughts, and what OpenAI's own tools did: nobody said that.
            continue
        if turn:
            yield _Turn("assistant", items=turn)
            turn = []
        yield _Result("tool", _id(item), raw=item) if answers else _Spoken(role or "other", raw=item)
    if turn:
        yield _Turn("assistant", items=turn)


_CALLS = frozenset(("function_call", "custom_tool_call", *(f"{kind}_call" for kind in ACTIONS)))
_RESULTS = frozenset(("function_call_output", "custom_tool_call_output", *(f"{kind}_call_output" for kind in ACTIONS)))


def _calls(item: _Item) -> bool:
    return isinstance(item.type, str) and item.type in _CALLS


def _id(item: _Item) -> str:
    """Of the call: a local shell's result has no other than its own."""
    named = (item.call_id, item.id if item.type == "local_shell_call_output" else None)
    return next((each for each in named if isinstance(each, str)), "")


class _Spoken(Message, kw_only=True, gc=False):
    raw: _Item

    def read(self) -> Said:
        return _said(self.raw.content)

    def calls(self, place: int) -> list[Call]:
        return []

    def size_of_calls(self) -> int:
        return 0

    def parts(self) -> Iterable[msgspec.Raw]:
        return (self.raw.content,)


class _Result(Message, kw_only=True, gc=False):
    raw: _Item

    def read(self) -> Said:
        flag = self.raw.is_error if isinstance(self.raw.is_error, bool) else None
        if self.raw.type == "shell_call_output":
            return Said(shell_text(_value(self.raw.output)), flag=flag)
        if self.raw.type == "apply_patch_call_output" and self.raw.status == "failed":
            flag = True
        return _said(self.raw.output)._replace(flag=flag)

    def calls(self, place: int) -> list[Call]:
        return []

    def size_of_calls(self) -> int:
        return 0

    def parts(self) -> Iterable[bytes | msgspec.Raw]:
        return self.raw.output, self.answers.encode(errors="replace")


class _Turn(Message, kw_only=True, gc=False):
    """All that one answer said and called."""

    items: list[_Item]

    def read(self) -> Said:
        said = [_said(item.content) for item in self.items if not _calls(item)]
        texts = "\n".join(each.text for each in said if each.text)
        return Said(texts, sum(each.images for each in said), sum(each.files for each in said))

    def calls(self, place: int) -> list[Call]:
        made = [item for item in self.items if _calls(item)]
        return [_call(item, f"{place}.{number}") for number, item in enumerate(made)]

    def size_of_calls(self) -> int:
        return sum(len(bytes(raw)) + 1 for item in self.items if _calls(item) for raw in _arguments(item))

    def parts(self) -> Iterable[bytes | msgspec.Raw]:
        for item in self.items:
            yield item.content
            for word in (item.name, item.call_id):
                yield word.encode(errors="replace") if isinstance(word, str) else b""
            yield from _arguments(item)


def _arguments(item: _Item) -> tuple[msgspec.Raw, ...]:
    return item.arguments, item.input, item.action, item.operation


def _call(item: _Item, place: str) -> Call:
    kind = item.type.removesuffix("_call")
    name = item.name if isinstance(item.name, str) else kind if kind in ACTIONS else ""
    is_free = kind == "custom_tool"
    raw = next((raw for raw in _arguments(item) if bytes(raw) not in _NULL), _ABSENT)
    arguments = None if is_free else _value(raw)
    call_id = item.call_id or item.id
    return Call(
        id=call_id if isinstance(call_id, str) and call_id else place,
        tool=full_name(item.namespace, name),
        arguments=arguments,
        readable=is_object(arguments),
    )


def _value(raw: msgspec.Raw) -> Any:
    return decoded(_any, raw) if bytes(raw) not in _NULL else None


def _said(raw: msgspec.Raw) -> Said:
    if bytes(raw) in _NULL:
        return Said("")
    content = decoded(_content, raw)
    if isinstance(content, str):
        return Said(content)
    if content is None:  # something else than parts
        value = _value(raw)
        return Said(text_of(value, "\n") or (bytes(raw).decode(errors="replace") if isinstance(value, dict) else ""))
    texts = [part.text for part in content if isinstance(part.text, str)]
    images = sum(1 for part in content if isinstance(part.type, str) and part.type in _IMAGES)
    return Said("\n".join(texts), images, len(content) - len(texts) - images)


@lru_cache(maxsize=32)
def _offered_again(sent: Sent) -> tuple[str, ...]:
    """Agents send the same tools with every request of a conversation."""
    return _offered(sent.raw)


def _offered(raw: bytes) -> tuple[str, ...]:
    """The names of the tools the model may call. A tool of the vendor's own has its type for a name."""
    tools = decoded(_tools, raw)
    if tools is None:
        tools = [tool for tool in (decoded(_tool, item) for item in decoded(_list, raw) or ()) if tool]
    return tuple(name for tool in tools for name in _names(tool))


def _names(tool: _Tool) -> Iterator[str]:
    if tool.type == "namespace":
        for inner in tool.tools if isinstance(tool.tools, list) else ():
            if isinstance(inner, dict) and isinstance(name := inner.get("name"), str):
                yield full_name(tool.name, name)
        return
    name = tool.name or tool.type
    if isinstance(name, str):
        yield name
