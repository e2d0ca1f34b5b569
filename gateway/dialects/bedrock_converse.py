"""Bedrock's Converse, spoken to AWS: what comes back.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and …_ConverseStream.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping

import msgspec

from gateway.chat import (
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
    Text,
    TextDelta,
    ToolCall,
    Usage,
)
from gateway.dialects.bedrock_request import SIGNED as SIGNED
from gateway.dialects.bedrock_request import encode_request as encode_request
from gateway.dialects.faults import garbled, read_error_object, read_exception
from gateway.dialects.usage import count
from gateway.errors import Fault
from gateway.event_stream import Messages

NAME = "bedrock_converse"
REFERS = ("s3://",)

# Answer ---------------------------------------------------------------------------------------------------------------


class _Said(msgspec.Struct):
    text: str = ""


class _Citations(msgspec.Struct):
    content: list[_Said] | None = None


class _Call(msgspec.Struct):
    toolUseId: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"")
    type: str | None = None


class _ThoughtText(msgspec.Struct):
    text: str | None = None
    signature: str | None = None


class _Thought(msgspec.Struct):
    """Whole answers have ``reasoningText`` with text and signature in it; streams bring the two by themselves."""

    reasoningText: _ThoughtText | None = None
    redactedContent: str | None = None
    text: str | None = None
    signature: str | None = None


class _Block(msgspec.Struct):
    text: str | None = None
    toolUse: _Call | None = None
    reasoningContent: _Thought | None = None
    citationsContent: _Citations | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None


class _Output(msgspec.Struct):
    message: _Message | None = None


class _Usage(msgspec.Struct):
    inputTokens: int | None = None
    outputTokens: int | None = None
    cacheReadInputTokens: int | None = None
    cacheWriteInputTokens: int | None = None


class _Answer(msgspec.Struct):
    output: _Output | None = None
    stopReason: str | None = None
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)

_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}

# What the vendor ran itself is not for the client to run.
_RAN_THERE = "server_tool_use"


def decode_answer(body: bytes, now: float) -> ChatResponse | Fault:
    """Blocks of tools that ran at the vendor, and citations, are passed over."""
    try:
        answer = _answer.decode(body)
        message = answer.output.message if answer.output else None
        if message is None or message.content is None:
            return read_error_object(msgspec.json.decode(body), body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a message: {error}", body)
    parts = tuple(part for block in message.content if (part := _part(block)) is not None)
    called = any(isinstance(part, ToolCall) for part in parts)
    return ChatResponse(
        choices=(Choice(parts, _reason(answer.stopReason, called)),),
        usage=_counted(answer.usage) if answer.usage else None,
    )


def _part(block: _Block) -> Part | None:
    if block.text:
        return Text(block.text)
    if block.toolUse is not None:
        call = block.toolUse
        arguments = bytes(call.input).decode(errors="replace")
        if call.type == _RAN_THERE:
            return None
        return ToolCall(call.toolUseId, call.name, "{}" if arguments in ("", "null") else arguments)
    if block.reasoningContent is not None:
        thought = block.reasoningContent
        read = thought.reasoningText or _ThoughtText()
        return _thought(read.text or "", read.signature, thought.redactedContent)
    if block.citationsContent is not None:
        said = "".join(each.text for each in block.citationsContent.content or ())
        return Text(said) if said else None
    return None


def _thought(text: str, signature: str | None, redacted: str | None) -> Reasoning | None:
    """Only Claude signs. Its redacted thoughts are text, in base64 once more; other makers' are bytes of their own."""
    if not (text or signature or redacted):
        return None
    if not redacted:
        return Reasoning(text, signature or None, None, SIGNED if signature else None)
    try:
        opaque = base64.b64decode(redacted, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return Reasoning(text, None, redacted, NAME)
    # The data of Claude's are a protobuf in base64, and begin as those do.
    if opaque.startswith("E"):
        return Reasoning(text, signature or None, opaque, SIGNED)
    return Reasoning(text, None, redacted, NAME)


def _reason(said: str | None, called: bool) -> FinishReason | None:
    if said is None:
        return None
    reason = _REASONS.get(said, "stop")
    # Clients look for calls by this word; some models say end_turn of anything.
    return "tool_calls" if called and reason == "stop" else reason


def _counted(usage: _Usage) -> Usage:
    # Cache reads and writes are counted outside inputTokens; the hub counts them inside. Thinking is inside output.
    read, written = count(usage.cacheReadInputTokens), count(usage.cacheWriteInputTokens)
    return Usage(
        input_tokens=count(usage.inputTokens) + read + written,
        output_tokens=count(usage.outputTokens),
        cached_tokens=read,
        cache_write_tokens=written,
    )


# Stream ---------------------------------------------------------------------------------------------------------------


class _CallPiece(msgspec.Struct):
    input: str = ""


class _Delta(msgspec.Struct):
    text: str | None = None
    toolUse: _CallPiece | None = None
    reasoningContent: _Thought | None = None


class _Start(msgspec.Struct):
    toolUse: _Call | None = None


class _BlockStart(msgspec.Struct):
    contentBlockIndex: int = 0
    start: _Start | None = None


class _BlockDelta(msgspec.Struct):
    contentBlockIndex: int = 0
    delta: _Delta | None = None


class _MessageStop(msgspec.Struct):
    stopReason: str | None = None


class _Metadata(msgspec.Struct):
    usage: _Usage | None = None


_block_start = msgspec.json.Decoder(_BlockStart)
_block_delta = msgspec.json.Decoder(_BlockDelta)
_message_stop = msgspec.json.Decoder(_MessageStop)
_metadata = msgspec.json.Decoder(_Metadata)


class Decoder:
    """One stream."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._places: dict[int, int] = {}
        """Blocks that are calls -> which call."""
        self._thoughts: list[str] | None = None
        """Of the run that is on."""
        self._signature: list[str] = []
        self._redacted: list[str] = []
        self._failed = False

    def feed(self, chunk: bytes, now: float) -> list[ChatEvent]:
        out: list[ChatEvent] = []
        for message in self._messages.feed(chunk):
            headers = message.headers
            read = _READ.get(headers.get(":event-type", ""))
            if read is not None:
                try:
                    read(self, message.payload, out)
                except (ValueError, RecursionError):
                    out.append(Damaged())
            elif headers.get(":message-type", "event") != "event":
                out.append(Failed(read_exception(headers, message.payload, now)))
        if self._messages.problem and not self._failed:
            self._failed = True
            out.append(Failed(garbled(self._messages.problem)))
        return out

    def end(self, now: float) -> list[ChatEvent]:
        return [Damaged()] if self._messages.pending else []

    def _block_began(self, payload: bytes, out: list[ChatEvent]) -> None:
        said = _block_start.decode(payload)
        self._seal(out)
        call = said.start.toolUse if said.start else None
        if call is not None and call.type != _RAN_THERE:
            place = self._places[said.contentBlockIndex] = len(self._places)
            out.append(CallBegan(place, call.toolUseId, call.name))

    def _block_went_on(self, payload: bytes, out: list[ChatEvent]) -> None:
        said = _block_delta.decode(payload)
        delta = said.delta
        if delta is None:
            return
        if delta.text is not None:
            if delta.text:
                if self._thoughts is not None:
                    self._seal(out)
                out.append(TextDelta(delta.text))
        elif delta.toolUse is not None:
            place = self._places.get(said.contentBlockIndex)
            if place is not None and delta.toolUse.input:
                out.append(CallDelta(place, delta.toolUse.input))
        elif delta.reasoningContent is not None:
            self._think(delta.reasoningContent, out)

    def _think(self, thought: _Thought, out: list[ChatEvent]) -> None:
        if self._thoughts is None:
            self._thoughts = []
        if thought.text:
            self._thoughts.append(thought.text)
            out.append(ReasoningDelta(thought.text))
        if thought.signature:
            self._signature.append(thought.signature)
        if thought.redactedContent:
            self._redacted.append(thought.redactedContent)

    def _seal(self, out: list[ChatEvent]) -> None:
        if self._thoughts is None:
            return
        thought = _thought("".join(self._thoughts), "".join(self._signature), "".join(self._redacted))
        self._thoughts, self._signature, self._redacted = None, [], []
        if thought is not None:
            out.append(ReasoningSealed(thought))

    def _block_ended(self, payload: bytes, out: list[ChatEvent]) -> None:
        self._seal(out)

    def _finished(self, payload: bytes, out: list[ChatEvent]) -> None:
        said = _message_stop.decode(payload)
        self._seal(out)
        if (reason := _reason(said.stopReason, bool(self._places))) is not None:
            out.append(Finished(reason))

    def _counted(self, payload: bytes, out: list[ChatEvent]) -> None:
        """The last event of all."""
        usage = _metadata.decode(payload).usage
        if usage is not None:
            out.append(Counted(_counted(usage)))
        out.append(Ended())


_READ: Mapping[str, Callable[[Decoder, bytes, list[ChatEvent]], None]] = {
    "contentBlockStart": Decoder._block_began,
    "contentBlockDelta": Decoder._block_went_on,
    "contentBlockStop": Decoder._block_ended,
    "messageStop": Decoder._finished,
    "metadata": Decoder._counted,
}


def stream_decoder() -> Decoder:
    return Decoder()
