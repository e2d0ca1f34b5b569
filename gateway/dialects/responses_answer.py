"""Answers of OpenAI's Responses, whole and streamed, read into the hub.

https://platform.openai.com/docs/api-reference/responses/object and …/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.chat import (
    Began,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Choice,
    Counted,
    Damaged,
    Ended,
    Failed,
    Finished,
    FinishReason,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
    Usage,
)
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.framed import FramedDecoder
from gateway.dialects.usage import read_usage as read_chat_usage
from gateway.errors import Fault
from gateway.sse import Frame

SIGNED = "openai"

# Answer ---------------------------------------------------------------------------------------------------------------


class Content(msgspec.Struct):
    """A part of a message or of a thought."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    logprobs: Any = None


class Item(msgspec.Struct):
    """What was put out: a message, a thought, a call; others are of tools that ran at the vendor."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    # Of items that are passed over they may be anything.
    arguments: Any = None
    input: Any = None
    content: list[Content] | None = None
    summary: list[Content] | None = None
    encrypted_content: str | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[Item] | None = None
    incomplete_details: _Incomplete | None = None
    error: msgspec.Raw = msgspec.Raw(b"")
    usage: Any = None


_response = msgspec.json.Decoder(Response)

_REASONS: Mapping[str, FinishReason] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "max_messages": "stop",
    "steered": "stop",
}
_UNDER_WAY = ("queued", "in_progress", "cancelled")

BETWEEN = "\n\n"
"""Messages of one answer, and the parts of a thought, are paragraphs; the parts of a message are one text."""


def decode_answer(body: bytes, now: float) -> ChatResponse | Fault:
    """Items of tools that ran at the vendor are passed over."""
    try:
        answer = _response.decode(body)
        if answer.status == "failed" or bytes(answer.error) not in (b"", b"null"):
            return failure(body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a response: {error}", body)
    if answer.output is None:
        return garbled("the answer has no output", body)
    if answer.status in _UNDER_WAY:
        return garbled(f"the answer is {answer.status}, not complete", body)
    parts = _parts(answer.output)
    called = any(isinstance(part, ToolCall) for part in parts)
    tokens = [each for item in answer.output for content in item.content or () for each in _logprobs(content)]
    return ChatResponse(
        id=answer.id or "",
        model=answer.model or "",
        choices=(
            Choice(tuple(parts), reason(answer, called), {"content": tokens, "refusal": None} if tokens else None),
        ),
        usage=read_usage(answer.usage),
    )


def failure(body: bytes, now: float) -> Fault:
    """What a body, or an event, says of its failure: under ``error``, under ``response.error``, or by itself."""
    said = msgspec.json.decode(body)
    inner = said.get("response") if isinstance(said, dict) else None
    for holder in (inner, said):
        if isinstance(holder, dict) and isinstance(error := holder.get("error"), dict):
            return read_error_object({"error": error}, body, now)
    if isinstance(said, dict) and said.get("type") == "error":
        said = {key: value for key, value in said.items() if key != "type"}
    elif isinstance(said, dict) and not said.get("error"):
        said = {"message": "the response failed, without a word why", "type": "server_error"}
    return read_error_object(said, body, now)


def reason(answer: Response, called: bool) -> FinishReason:
    """1. It was cut short, and why. 2. It called tools. 3. It was done."""
    cut = answer.incomplete_details.reason if answer.incomplete_details else None
    if answer.status == "incomplete" or cut:
        return _REASONS.get(cut or "", "length")
    return "tool_calls" if called else "stop"


def read_usage(said: Any) -> Usage | None:
    """As chat tells it, under other names: https://platform.openai.com/docs/api-reference/responses/object"""
    if not isinstance(said, dict):
        return None
    return read_chat_usage({**said, **{chat: said[own] for own, chat in _COUNTS.items() if own in said}})


_COUNTS: Mapping[str, str] = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}


def _parts(output: list[Item]) -> list[Part]:
    parts: list[Part] = []
    spoken = False
    for item in output:
        if item.type == "message":
            said = _spoken(item)
            texts = [at for at, part in enumerate(said) if isinstance(part, Text)]
            if texts and spoken:
                said[texts[0]] = Text(BETWEEN + said[texts[0]].content)
            spoken = spoken or bool(texts)
            parts += said
        elif item.type == "reasoning":
            if thought := _thought(thoughts_in(item), item.encrypted_content):
                parts.append(thought)
        elif item.type in CALLS:
            parts.append(ToolCall(item.call_id or item.id or "", item.name or "", arguments_of(item) or "{}"))
    return parts


CALLS = ("function_call", "custom_tool_call")


def _spoken(item: Item) -> list[Any]:
    said: list[Any] = []
    for content in item.content or ():
        if content.type == "refusal" and content.refusal:
            said.append(Refusal(content.refusal))
        elif content.type == "output_text" and content.text:
            said.append(Text(content.text))
    return said


def thoughts_in(item: Item) -> str:
    """Open models tell their thoughts themselves, OpenAI's a summary of them."""
    told = [each.text for each in item.content or () if each.text] or [
        each.text for each in item.summary or () if each.text
    ]
    return BETWEEN.join(told)


def _thought(text: str, opaque: str | None) -> Reasoning | None:
    """A text alone was signed by nobody."""
    return Reasoning(text, None, opaque or None, SIGNED if opaque else None) if text or opaque else None


def arguments_of(item: Item) -> str:
    """Of a call; the text for a custom tool is its one argument. Empty where nothing was said so far."""
    if item.type == "custom_tool_call":
        return "" if item.input is None else msgspec.json.encode({"input": item.input}).decode()
    if isinstance(item.arguments, str):
        return item.arguments
    return "" if item.arguments is None else msgspec.json.encode(item.arguments).decode()


def _logprobs(content: Content) -> list[Any]:
    return content.logprobs if isinstance(content.logprobs, list) else []


# Stream ---------------------------------------------------------------------------------------------------------------


class _Event(msgspec.Struct):
    type: str = ""
    output_index: int | None = None
    content_index: int = 0
    summary_index: int = 0
    delta: str | None = None
    arguments: Any = None
    input: Any = None
    item: Item | None = None
    response: Response | None = None


_event = msgspec.json.Decoder(_Event)


class _Open:
    """An item that has begun. ``place``: of a call; ``said``: some of it was told."""

    __slots__ = ("done", "kind", "part", "place", "said", "source", "texts")

    def __init__(self, kind: str, place: int = 0) -> None:
        self.kind, self.place = kind, place
        self.said = self.done = False
        self.texts: list[str] | None = None
        """What was thought; None once that is sealed, and for all but thoughts."""
        self.source, self.part = "", 0


class Decoder(FramedDecoder):
    """One stream. What no delta has told, the ends of items and of the answer tell."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[int, _Open] = {}
        """By its index: the ids of one item differ from event to event with some vendors (GitHub Copilot)."""
        self._last = 0
        """The index of the item that began last, for vendors that tell none."""
        self._calls = 0
        self._speaker: int | None = None
        """Whose text came last."""
        self._thinking: dict[int, _Open] = {}

    def read(self, frames: list[Frame], now: float) -> list[ChatEvent]:
        out: list[ChatEvent] = []
        for frame in frames:
            data = frame.data
            if not data:
                continue
            if data == b"[DONE]":  # OpenRouter and others close as chat does
                out.append(Ended())
                continue
            try:
                event = _event.decode(data)
                kind = event.type or frame.name.decode()
                if (read := _READ.get(kind)) is not None:
                    read(self, event, out)
                elif kind in ("error", "response.failed") or (not kind and b'"error"' in data):
                    out.append(Failed(failure(data, now)))
            except (ValueError, RecursionError):
                out.append(Damaged())
        return out

    def _began(self, event: _Event, out: list[ChatEvent]) -> None:
        answer = event.response or Response()
        out.append(Began(answer.id or "", answer.model or ""))

    def _index(self, event: _Event) -> int:
        return self._last if event.output_index is None else event.output_index

    # Items ------------------------------------------------------------------------------------------------------------

    def _item_began(self, event: _Event, out: list[ChatEvent]) -> None:
        if event.item is not None:
            index = len(self._open) if event.output_index is None else event.output_index
            self._begin(index, event.item, out)

    def _begin(self, index: int, item: Item, out: list[ChatEvent]) -> _Open | None:
        """None for what is passed over."""
        if item.type not in _KINDS:
            return None
        if index in self._open:
            return self._open[index]
        self._last = index
        opened = self._open[index] = _Open(item.type)
        if item.type in CALLS:
            self._settle(out)
            opened.place, self._calls = self._calls, self._calls + 1
            out.append(CallBegan(opened.place, item.call_id or item.id or "", item.name or ""))
        elif item.type == "reasoning":
            opened.texts = []
            self._thinking[index] = opened
        return opened

    def _item_ended(self, event: _Event, out: list[ChatEvent]) -> None:
        if event.item is not None:
            self._end_item(self._index(event), event.item, out)

    def _end_item(self, index: int, item: Item, out: list[ChatEvent]) -> None:
        opened = self._begin(index, item, out)
        if opened is None or opened.done or opened.kind != item.type:
            return
        opened.done = True
        if opened.kind in CALLS:
            self._end_call(opened, arguments_of(item), out)
        elif opened.kind == "reasoning":
            self._end_thought(index, opened, item, out)
        elif not opened.said:
            for part in _spoken(item):
                if isinstance(part, Text):
                    self._speak(index, part.content, out)
                else:
                    self._refuse(index, part.content, out)

    # Words ------------------------------------------------------------------------------------------------------------

    def _text(self, event: _Event, out: list[ChatEvent]) -> None:
        if event.delta:
            self._speak(self._index(event), event.delta, out)

    def _speak(self, index: int, text: str, out: list[ChatEvent]) -> None:
        self._settle(out)
        self._open.setdefault(index, _Open("message")).said = True
        if index != self._speaker:
            text = text if self._speaker is None else BETWEEN + text
            self._speaker = index
        out.append(TextDelta(text))

    def _refusal(self, event: _Event, out: list[ChatEvent]) -> None:
        if event.delta:
            self._refuse(self._index(event), event.delta, out)

    def _refuse(self, index: int, text: str, out: list[ChatEvent]) -> None:
        self._settle(out)
        self._open.setdefault(index, _Open("message")).said = True
        out.append(RefusalDelta(text))

    # Thoughts ---------------------------------------------------------------------------------------------------------

    def _summary(self, event: _Event, out: list[ChatEvent]) -> None:
        self._think(event, "summary", event.summary_index, out)

    def _reasoned(self, event: _Event, out: list[ChatEvent]) -> None:
        self._think(event, "content", event.content_index, out)

    def _think(self, event: _Event, source: str, part: int, out: list[ChatEvent]) -> None:
        """Where a vendor tells the thoughts and a summary besides, what came first counts."""
        opened = self._begin(self._index(event), Item("reasoning"), out)
        if opened is None or opened.texts is None or not event.delta or opened.source not in ("", source):
            return
        text = BETWEEN + event.delta if opened.texts and part != opened.part else event.delta
        opened.source, opened.part = source, part
        opened.texts.append(text)
        out.append(ReasoningDelta(text))

    def _end_thought(self, index: int, opened: _Open, item: Item, out: list[ChatEvent]) -> None:
        """1. Its text was sealed before. 2. No delta has told it. 3. It was told."""
        self._thinking.pop(index, None)
        texts, opened.texts = opened.texts, None
        if texts is None:
            text = ""
        elif not texts:
            text = thoughts_in(item)
            out += [ReasoningDelta(text)] if text else []
        else:
            text = "".join(texts)
        if thought := _thought(text, item.encrypted_content):
            out.append(ReasoningSealed(thought))

    def _settle(self, out: list[ChatEvent]) -> None:
        """Thoughts are over where something else begins, even if the vendor tells of their end later (OpenRouter)."""
        if not self._thinking:
            return
        for opened in self._thinking.values():
            if opened.texts:
                out.append(ReasoningSealed(Reasoning("".join(opened.texts))))
                opened.texts = None
        self._thinking = {}

    # Calls ------------------------------------------------------------------------------------------------------------

    def _arguments(self, event: _Event, out: list[ChatEvent]) -> None:
        opened = self._call(event)
        if opened is None or not event.delta:
            return
        piece = event.delta
        if opened.kind == "custom_tool_call":
            # A text that becomes the value in a JSON object.
            piece = ("" if opened.said else '{"input":"') + msgspec.json.encode(piece).decode()[1:-1]
        opened.said = True
        out.append(CallDelta(opened.place, piece))

    def _arguments_ended(self, event: _Event, out: list[ChatEvent]) -> None:
        if opened := self._call(event):
            opened.done = True
            self._end_call(opened, arguments_of(Item(opened.kind, arguments=event.arguments, input=event.input)), out)

    def _call(self, event: _Event) -> _Open | None:
        """The call that is being made."""
        opened = self._open.get(self._index(event))
        return opened if opened and opened.kind in CALLS and not opened.done else None

    def _end_call(self, opened: _Open, whole: str, out: list[ChatEvent]) -> None:
        if not opened.said:
            out.append(CallDelta(opened.place, whole or "{}"))
        elif opened.kind == "custom_tool_call":
            out.append(CallDelta(opened.place, '"}'))

    # The end ----------------------------------------------------------------------------------------------------------

    def _finished(self, event: _Event, out: list[ChatEvent]) -> None:
        answer = event.response or Response()
        told = {opened.kind for opened in self._open.values()}
        for index, item in enumerate(answer.output or ()):
            # What of its kind was told before may stand at another place there.
            if index in self._open or item.type not in told:
                self._end_item(index, item, out)
        for index, opened in tuple(self._open.items()):
            self._end_item(index, Item(opened.kind), out)
        if usage := read_usage(answer.usage):
            out.append(Counted(usage))
        if event.type == "response.incomplete":
            answer.status = "incomplete"
        out += (Finished(reason(answer, self._calls > 0)), Ended())


_KINDS = (*CALLS, "message", "reasoning")

_READ: Mapping[str, Callable[[Decoder, _Event, list[ChatEvent]], None]] = {
    "response.created": Decoder._began,
    "response.output_item.added": Decoder._item_began,
    "response.output_item.done": Decoder._item_ended,
    "response.output_text.delta": Decoder._text,
    "response.refusal.delta": Decoder._refusal,
    "response.reasoning_summary_text.delta": Decoder._summary,
    "response.reasoning_text.delta": Decoder._reasoned,
    "response.function_call_arguments.delta": Decoder._arguments,
    "response.function_call_arguments.done": Decoder._arguments_ended,
    "response.custom_tool_call_input.delta": Decoder._arguments,
    "response.custom_tool_call_input.done": Decoder._arguments_ended,
    "response.completed": Decoder._finished,
    "response.incomplete": Decoder._finished,
}


def stream_decoder() -> Decoder:
    return Decoder()
