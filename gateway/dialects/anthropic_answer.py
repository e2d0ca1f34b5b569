"""Answers as Anthropic's Messages have them, read: whole and streamed, https://platform.claude.com/docs/en/api/messages."""

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
from gateway.dialects.usage import count
from gateway.errors import Fault
from gateway.sse import Frame

SIGNED = "anthropic"

# Answer ---------------------------------------------------------------------------------------------------------------


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class AnswerUsage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class Block(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"")
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class StopDetails(msgspec.Struct):
    explanation: str | None = None


class Answer(msgspec.Struct):
    type: str = ""
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: AnswerUsage | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


answers = msgspec.json.Decoder(Answer)

_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def decode_answer(body: bytes, now: float) -> ChatResponse | Fault:
    """Blocks of tools that ran at the vendor, and citations, are passed over."""
    try:
        answer = answers.decode(body)
        if answer.content is None or answer.type == "error":
            said = msgspec.json.decode(body)
            if answer.type == "error" or bytes(answer.error) not in (b"", b"null"):
                return read_error_object(said, body, now)
            return garbled("the answer has no content", body)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a message: {error}", body)
    parts = [part for block in answer.content if (part := part_of(block)) is not None]
    explanation = answer.stop_details.explanation if answer.stop_details else None
    if answer.stop_reason == "refusal" and explanation:
        parts.append(Refusal(explanation))
    called = any(isinstance(part, ToolCall) for part in parts)
    return ChatResponse(
        id=answer.id or "",
        model=answer.model or "",
        choices=(Choice(tuple(parts), reason_of(answer.stop_reason, called)),),
        usage=counted(answer.usage) if answer.usage else None,
    )


def part_of(block: Block) -> Part | None:
    if block.type == "text":
        return Text(block.text) if block.text else None
    if block.type == "tool_use":
        arguments = bytes(block.input).decode(errors="replace")
        return ToolCall(block.id or "", block.name or "", "{}" if arguments in ("", "null") else arguments)
    return _thought(block.thinking or "", block.signature, block.data) if block.type in THOUGHTS else None


THOUGHTS = ("thinking", "redacted_thinking")


def _thought(text: str, signature: str | None, data: str | None) -> Reasoning | None:
    """A text alone was signed by nobody: compatible vendors think without signatures."""
    if not (text or signature or data):
        return None
    return Reasoning(text, signature or None, data or None, SIGNED if signature or data else None)


def reason_of(said: str | None, called: bool) -> FinishReason | None:
    if said is None:
        return None
    reason = _REASONS.get(said, "stop")
    # Clients look for calls by this word; compatible vendors say end_turn of anything.
    return "tool_calls" if called and reason == "stop" else reason


def counted(usage: AnswerUsage) -> Usage:
    # Anthropic counts cache reads and writes outside input_tokens; the hub, inside. Thinking is inside output.
    read, written = count(usage.cache_read_input_tokens), count(usage.cache_creation_input_tokens)
    details = usage.output_tokens_details
    return Usage(
        input_tokens=count(usage.input_tokens) + read + written,
        output_tokens=count(usage.output_tokens),
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(details.thinking_tokens) if details else 0,
    )


# Stream ---------------------------------------------------------------------------------------------------------------


class Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Answer | None = None
    usage: AnswerUsage | None = None


events = msgspec.json.Decoder(Event)


class _Open:
    """A block that has begun. ``place``: of a tool call; None for everything else."""

    __slots__ = ("begun", "data", "place", "said", "signature", "thoughts")

    def __init__(self, place: int | None = None, begun: str = "") -> None:
        self.place, self.begun, self.said = place, begun, False
        self.thoughts: list[str] | None = None
        self.signature: str | None = None
        self.data: str | None = None


class Decoder(FramedDecoder):
    """One stream."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[int, _Open] = {}
        self._calls = 0
        self._usage = AnswerUsage()

    def read(self, frames: list[Frame], now: float) -> list[ChatEvent]:
        out: list[ChatEvent] = []
        for frame in frames:
            data = frame.data
            if not data:
                continue
            if data == b"[DONE]":  # compatible vendors close as OpenAI does
                out.append(Ended())
                continue
            try:
                event = events.decode(data)
                read = _READ.get(event.type or frame.name.decode())
                if read is not None:
                    read(self, event, out)
                elif event.type == "error" or frame.name == b"error" or b'"error"' in data:
                    self._failed(data, now, out)
            except (ValueError, RecursionError):
                out.append(Damaged())
        return out

    def _began(self, event: Event, out: list[ChatEvent]) -> None:
        message = event.message or Answer()
        out.append(Began(message.id or "", message.model or ""))
        self._count(message.usage, out)

    def _count(self, usage: AnswerUsage | None, out: list[ChatEvent]) -> None:
        """Counts are cumulative and said in pieces; vendors that know the input only at the end begin with 0."""
        if usage is None:
            return
        known = self._usage
        for name in ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
            setattr(known, name, getattr(usage, name) or getattr(known, name))
        known.output_tokens_details = usage.output_tokens_details or known.output_tokens_details
        out.append(Counted(counted(known)))

    def _block_began(self, event: Event, out: list[ChatEvent]) -> None:
        block = event.content_block or Block()
        self._sealed(event.index, out)
        if block.type == "text":
            if block.text:
                out.append(TextDelta(block.text))
        elif block.type == "tool_use":
            # The input begins as {} and comes in fragments; compatible vendors send it whole right here.
            begun = bytes(block.input).decode(errors="replace").strip()
            self._open[event.index] = _Open(self._calls, "" if begun == "null" else begun)
            out.append(CallBegan(self._calls, block.id or "", block.name or ""))
            self._calls += 1
        elif block.type in THOUGHTS:
            opened = self._open[event.index] = _Open()
            opened.thoughts, opened.data = [], block.data
            opened.signature = block.signature
            if block.thinking:
                opened.thoughts.append(block.thinking)
                out.append(ReasoningDelta(block.thinking))

    def _block_went_on(self, event: Event, out: list[ChatEvent]) -> None:
        delta = event.delta
        if delta is None:
            return
        if delta.type == "text_delta":
            if delta.text:
                out.append(TextDelta(delta.text))
        elif (opened := self._open.get(event.index)) is None:
            return  # of a tool that runs at the vendor, or of a kind nobody knows yet
        elif opened.place is not None:
            if delta.partial_json:
                opened.said = True
                out.append(CallDelta(opened.place, delta.partial_json))
        elif opened.thoughts is not None:
            if delta.thinking:
                opened.thoughts.append(delta.thinking)
                out.append(ReasoningDelta(delta.thinking))
            if delta.signature:
                opened.signature = (opened.signature or "") + delta.signature

    def _block_ended(self, event: Event, out: list[ChatEvent]) -> None:
        self._sealed(event.index, out)

    def _sealed(self, index: int, out: list[ChatEvent]) -> None:
        opened = self._open.pop(index, None)
        if opened is None:
            return
        if opened.place is not None:
            if not opened.said:
                out.append(CallDelta(opened.place, opened.begun or "{}"))
        elif thought := _thought("".join(opened.thoughts or ()), opened.signature, opened.data):
            out.append(ReasoningSealed(thought))

    def _finished(self, event: Event, out: list[ChatEvent]) -> None:
        self._count(event.usage, out)
        delta = event.delta
        if delta is None or delta.stop_reason is None:
            return
        for index in tuple(self._open):
            self._sealed(index, out)
        if delta.stop_reason == "refusal" and delta.stop_details and delta.stop_details.explanation:
            out.append(RefusalDelta(delta.stop_details.explanation))
        out.append(Finished(reason_of(delta.stop_reason, self._calls > 0) or "stop"))

    def _ended(self, event: Event, out: list[ChatEvent]) -> None:
        out.append(Ended())

    def _failed(self, data: bytes, now: float, out: list[ChatEvent]) -> None:
        said: Any = msgspec.json.decode(data)
        if isinstance(said, dict) and (said.get("error") or said.get("type") == "error"):
            out.append(Failed(read_error_object(said, data, now)))


_READ: Mapping[str, Callable[[Decoder, Event, list[ChatEvent]], None]] = {
    "message_start": Decoder._began,
    "content_block_start": Decoder._block_began,
    "content_block_delta": Decoder._block_went_on,
    "content_block_stop": Decoder._block_ended,
    "message_delta": Decoder._finished,
    "message_stop": Decoder._ended,
}


def stream_decoder() -> Decoder:
    return Decoder()
