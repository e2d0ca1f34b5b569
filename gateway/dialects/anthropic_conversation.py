"""A conversation as Anthropic's Messages carry it, whatever a client has put there. Reads; never raises."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from gateway.dialects.anthropic_names import BILLING
from gateway.dialects.conversation import Call, Conversation, Message, Role, Said, text_of
from gateway.dialects.mending import decoded
from gateway.dialects.openai_conversation import offered_in

_ABSENT = msgspec.Raw(b"")
# With more tools than this it is quicker to decode the calls than to look for each name.
_FEW = 8
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
_TEXTS = ("text", "compaction")
# What is no content: thoughts, and what ran at the vendor.
_UNSAID = ("thinking", "redacted_thinking", "tool_use")


class _Message(msgspec.Struct, gc=False):
    role: Any = None
    content: msgspec.Raw = _ABSENT


class _Block(msgspec.Struct, gc=False):
    """What is long and no text, such as an image in base64, is passed over."""

    type: Any = None
    text: Any = None
    content: msgspec.Raw = _ABSENT
    tool_use_id: Any = None
    is_error: Any = None
    id: Any = None
    name: Any = None
    input: msgspec.Raw = _ABSENT


class _Request(msgspec.Struct):
    system: msgspec.Raw = _ABSENT
    messages: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT


_request = msgspec.json.Decoder(_Request)
_messages = msgspec.json.Decoder(list[_Message])
_message = msgspec.json.Decoder(_Message)
_content = msgspec.json.Decoder(str | list[_Block] | None)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_block = msgspec.json.Decoder(_Block)
_any = msgspec.json.Decoder()


def conversation(body: bytes) -> Conversation:
    request = decoded(_request, body) or _Request()
    made = [*_instructions(request.system)]
    for each in _of_list(request.messages):
        if isinstance(each.role, str):
            made += _of_message(_ROLES.get(each.role, "other"), each.content)
    tools = bytes(request.tools)
    return Conversation(made, offered_in(tools) if tools else (), len(tools))


def _of_list(raw: msgspec.Raw) -> Iterable[_Message]:
    if (messages := decoded(_messages, raw)) is not None:
        return messages
    return filter(None, (decoded(_message, each) for each in decoded(_list, raw) or ()))


def _instructions(system: msgspec.Raw) -> Iterator[Message]:
    """Without Claude Code's billing, which differs between requests that are the same otherwise."""
    if len(memoryview(system)) <= len(b"null"):
        return
    blocks = decoded(_list, system) if BILLING.encode() in bytes(system) else None
    kept = [each for each in blocks or () if BILLING.encode() not in bytes(each)]
    yield _Blocks("system", content=_joined(kept) if blocks else system)


def _joined(blocks: Sequence[msgspec.Raw]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(map(bytes, blocks)) + b"]")


def _of_message(role: Role, content: msgspec.Raw) -> Iterator[Message]:
    """Results first, each a message of its own, then what was said beside them."""
    blocks = decoded(_list, content) if role == "user" and b'"tool_result"' in bytes(content) else None
    if blocks is None:
        yield _Blocks(role, content=content)
        return
    rest = []
    for raw in blocks:
        block = decoded(_block, raw) if b'"tool_result"' in bytes(raw) else None
        if block is not None and block.type == "tool_result":
            id = block.tool_use_id
            yield _Result("tool", id if isinstance(id, str) else "", raw=raw, block=block)
        else:
            rest.append(raw)
    if rest:
        yield _Blocks(role, content=_joined(rest))


class _Quiet(Message, kw_only=True, gc=False):
    """A message that calls nothing."""

    def calls(self, place: int) -> list[Call]:
        return []

    def size_of_calls(self) -> int:
        return 0


class _Result(_Quiet, kw_only=True, gc=False):
    """A tool's result."""

    raw: msgspec.Raw
    block: _Block

    def read(self) -> Said:
        flag = self.block.is_error
        return _said(self.block.content)._replace(flag=flag if isinstance(flag, bool) else None)

    def parts(self) -> Iterable[msgspec.Raw]:
        return (self.raw,)


class _Blocks(Message, kw_only=True, gc=False):
    content: msgspec.Raw
    made: list[tuple[_Block, int]] | None = None
    """The calls, with the bytes each took."""

    def read(self) -> Said:
        return _said(self.content)

    def calls(self, place: int) -> list[Call]:
        return [_call(block, f"{place}.{number}") for number, (block, _) in enumerate(self._made())]

    def size_of_calls(self) -> int:
        return sum(size for _, size in self._made())

    def may_call(self, tools: Collection[str]) -> bool:
        """Is one of the names in the message, or something that is spelled with escapes?"""
        raw = bytes(self.content)
        return len(tools) > _FEW or b"\\u" in raw or any(msgspec.json.encode(tool)[1:-1] in raw for tool in tools)

    def parts(self) -> Iterable[msgspec.Raw]:
        return (self.content,)

    def _made(self) -> list[tuple[_Block, int]]:
        if self.made is None:
            calling = self.role == "assistant" and b'"tool_use"' in bytes(self.content)
            listed = (decoded(_list, self.content) or []) if calling else []
            found = ((decoded(_block, raw), len(memoryview(raw))) for raw in listed)
            self.made = [(block, size) for block, size in found if block and block.type == "tool_use"]
        return self.made


def _call(block: _Block, place: str) -> Call:
    given = decoded(_any, block.input) if block.input is not _ABSENT else None
    # No input at all is the empty one.
    return Call(
        id=block.id if isinstance(block.id, str) and block.id else place,
        tool=block.name if isinstance(block.name, str) else "",
        arguments=given,
        readable=given is None or isinstance(given, dict),
    )


def _said(raw: msgspec.Raw) -> Said:
    if raw is _ABSENT:
        return Said("")
    content = decoded(_content, raw)
    if isinstance(content, str):
        return Said(content)
    if content is None:
        # Nothing, or something that is no list of blocks.
        return Said(text_of(decoded(_any, raw), "\n"))
    texts, images, files = [], 0, 0
    for block in content:
        if isinstance(block.text, str):
            texts.append(block.text)
        elif block.type in _TEXTS and isinstance(text := decoded(_any, block.content), str):
            texts.append(text)
        elif block.type == "image":
            images += 1
        elif block.type not in _UNSAID:
            files += 1
    return Said("\n".join(texts), images, files)
