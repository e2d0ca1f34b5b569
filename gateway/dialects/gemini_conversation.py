"""A conversation as Gemini's clients carry it, for a look at it. Reads; never raises."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from gateway.dialects.conversation import NO_CONVERSATION, Call, Conversation, Message, Role, Said
from gateway.dialects.gemini_results import result_of
from gateway.dialects.gemini_schema import spelled, tidy
from gateway.dialects.mending import decoded

_ABSENT = msgspec.Raw(b"")
# With more tools than this it is quicker to decode the calls than to look for each name.
_FEW = 8


class _Part(msgspec.Struct, gc=False):
    """What is long is left as it is until somebody asks: the body is scanned once."""

    text: msgspec.Raw = _ABSENT
    thought: Any = None
    functionCall: msgspec.Raw = _ABSENT
    function_call: msgspec.Raw = _ABSENT
    functionResponse: msgspec.Raw = _ABSENT
    function_response: msgspec.Raw = _ABSENT
    inlineData: msgspec.Raw = _ABSENT
    inline_data: msgspec.Raw = _ABSENT
    fileData: msgspec.Raw = _ABSENT
    file_data: msgspec.Raw = _ABSENT

    @property
    def call(self) -> msgspec.Raw:
        return self.functionCall if self.functionCall is not _ABSENT else self.function_call

    @property
    def response(self) -> msgspec.Raw:
        return self.functionResponse if self.functionResponse is not _ABSENT else self.function_response

    @property
    def media(self) -> msgspec.Raw:
        held = (self.inlineData, self.inline_data, self.fileData, self.file_data)
        return next((raw for raw in held if raw is not _ABSENT), _ABSENT)


class _Content(msgspec.Struct):
    role: Any = None
    parts: list[_Part] | None = None


class _Named(msgspec.Struct):
    name: Any = None


class _Request(msgspec.Struct):
    contents: list[_Content] | None = None
    systemInstruction: _Content | str | None = None
    system_instruction: _Content | str | None = None
    tools: msgspec.Raw = _ABSENT


class _Media(msgspec.Struct):
    mimeType: Any = None
    mime_type: Any = None


class _Response(msgspec.Struct):
    response: Any = None
    parts: list[_Part] | None = None
    id: Any = None


_request = msgspec.json.Decoder(_Request)
_media = msgspec.json.Decoder(_Media)
_response = msgspec.json.Decoder(_Response)
_any = msgspec.json.Decoder()
_text = msgspec.json.Decoder(str)
_object = msgspec.json.Decoder(dict[str, Any])
_tools = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_declared = msgspec.json.Decoder(list[_Named])


def conversation(body: bytes) -> Conversation:
    request = decoded(_request, body) or _loosely(body)
    if request is None:
        return NO_CONVERSATION
    messages: list[Message] = []
    instruction = request.systemInstruction or request.system_instruction
    if isinstance(instruction, str):
        instruction = _Content(parts=[_Part(text=msgspec.Raw(msgspec.json.encode(instruction)))])
    if instruction:
        messages.append(_Spoken("system", said_in=instruction.parts or []))
    for content in request.contents or ():
        messages += _messages(content)
    return Conversation(messages, tuple(_offered(request.tools)), len(memoryview(request.tools)))


def _messages(content: _Content) -> Iterator[Message]:
    """Each result of a tool is a message of its own."""
    parts = content.parts or []
    if content.role == "model":
        yield _Spoken("assistant", said_in=parts)
        return
    role: Role = "user" if content.role in ("user", "function", None) else "other"
    rest = []
    for part in parts:
        if part.response is _ABSENT:
            rest.append(part)
            continue
        read = decoded(_response, part.response) or _Response()
        yield _Answered("tool", read.id if isinstance(read.id, str) else "", raw=part.response)
    if rest or not parts:
        yield _Spoken(role, said_in=rest)


class _Spoken(Message, kw_only=True, gc=False):
    said_in: list[_Part]

    def read(self) -> Said:
        """Thoughts are not what was said."""
        texts, images, files = [], 0, 0
        for part in self.said_in:
            if part.thought is True:
                continue
            if (text := decoded(_text, part.text)) is not None:
                texts.append(text)
            elif part.media is not _ABSENT:
                is_image = _is_image(part.media)
                images, files = images + is_image, files + (not is_image)
        # The pieces of one text: SDKs keep each event of a stream as a part.
        return Said(("" if self.role == "assistant" else "\n").join(texts), images, files)

    def calls(self, place: int) -> list[Call]:
        made = [part.call for part in self.said_in if part.call is not _ABSENT]
        return [_call(raw, f"{place}.{number}") for number, raw in enumerate(made)]

    def size_of_calls(self) -> int:
        return sum(len(memoryview(part.call)) for part in self.said_in)

    def may_call(self, tools: Collection[str]) -> bool:
        """Is one of the names in the calls, or something that is spelled with escapes?"""
        raw = b"".join(bytes(part.call) for part in self.said_in)
        return len(tools) > _FEW or b"\\u" in raw or any(msgspec.json.encode(tool)[1:-1] in raw for tool in tools)

    def parts(self) -> Iterable[msgspec.Raw]:
        for part in self.said_in:
            yield from (part.text, part.call, part.media)


class _Answered(Message, kw_only=True, gc=False):
    raw: msgspec.Raw

    def read(self) -> Said:
        read = decoded(_response, self.raw) or _Response()
        found = result_of(read.response)
        media = [part.media for part in read.parts or () if part.media is not _ABSENT]
        images = sum(map(_is_image, media))
        return Said(found.text, images, len(media) - images, True if found.failed else None)

    def calls(self, place: int) -> list[Call]:
        return []

    def size_of_calls(self) -> int:
        return 0

    def parts(self) -> Iterable[msgspec.Raw]:
        return (self.raw,)


def _is_image(raw: msgspec.Raw) -> bool:
    media = decoded(_media, raw) or _Media()
    return str(media.mimeType or media.mime_type).startswith("image/")


def _call(raw: msgspec.Raw, place: str) -> Call:
    said = decoded(_object, raw) or {}
    named, id, arguments = said.get("name"), said.get("id"), said.get("args")
    return Call(
        id=id if isinstance(id, str) and id else place,
        tool=named if isinstance(named, str) else "",
        arguments=arguments,
        readable=arguments is None or isinstance(arguments, dict),
    )


def _offered(raw: msgspec.Raw) -> Iterator[str]:
    """The names of the functions; a tool of Google's own has its kind for a name."""
    for tool in decoded(_tools, raw) or ():
        for name, held in tool.items():
            if spelled(name) == "functionDeclarations":
                yield from (each.name for each in decoded(_declared, held) or () if isinstance(each.name, str))
            else:
                yield spelled(name)


def _loosely(body: bytes) -> _Request | None:
    """The same where something has another shape than it should: contents or parts that are one instead of a list."""
    said = decoded(_object, body)
    if said is None:
        return None
    said = tidy(said)
    contents = [_shaped(each) for each in _listed(said.get("contents")) if isinstance(each, dict)]
    instruction = said.get("systemInstruction")
    if isinstance(instruction, dict):
        instruction = _shaped(instruction)
    elif not isinstance(instruction, str):
        instruction = None
    tidied = {"contents": contents, "systemInstruction": instruction, "tools": _listed(said.get("tools"))}
    return decoded(_request, msgspec.json.encode(tidied))


def _shaped(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "parts": [part for part in _listed(content.get("parts")) if isinstance(part, dict)]}


def _listed(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [] if said is None else [said]
