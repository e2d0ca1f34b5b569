"""What Ollama answers, whole and line by line, read into the hub: https://docs.ollama.com/api/chat."""

from __future__ import annotations

from hashlib import sha256
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
    Text,
    TextDelta,
    ToolCall,
    Usage,
)
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.mending import mended
from gateway.dialects.usage import count
from gateway.errors import Fault


class Function(msgspec.Struct):
    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class Call(msgspec.Struct):
    id: str | None = None
    function: Function | None = None


class Said(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Answer(msgspec.Struct):
    """A whole answer, or one line of a stream."""

    model: str | None = None
    created_at: str | None = None
    message: Said | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: Any = None
    error: Any = None
    type: Any = None
    code: Any = None
    response: str | None = None
    thinking: str | None = None
    """These two where a prompt was answered, not a conversation."""

    @property
    def said(self) -> Said | None:
        if self.message is None and self.response is not None:
            return Said(content=self.response, thinking=self.thinking)
        return self.message


_answer = msgspec.json.Decoder(Answer)


def read(data: bytes) -> Answer:
    try:
        return _answer.decode(data)
    except (ValueError, RecursionError):
        return _answer.decode(mended(data))


def decode_answer(body: bytes, now: float) -> ChatResponse | Fault:
    try:
        said = read(body)
    except (ValueError, RecursionError):
        return garbled("the answer is not one of Ollama's", body)
    if said.error:
        return fault_of(said, body, now)
    if said.message is None:
        return garbled("the answer has no message", body)
    parts: list[Part] = []
    if said.message.thinking:
        parts.append(Reasoning(said.message.thinking))
    if said.message.content:
        parts.append(Text(said.message.content))
    calls = said.message.tool_calls or []
    parts += [_made(call, said, place) for place, call in enumerate(calls)]
    reason = reason_of(said.done_reason, bool(calls)) if said.done or said.done_reason else None
    logprobs = {"content": said.logprobs, "refusal": None} if isinstance(said.logprobs, list) else None
    choice = Choice(parts=tuple(parts), finish_reason=reason, logprobs=logprobs)
    return ChatResponse(model=said.model or "", choices=(choice,), usage=usage_of(said))


def _made(call: Call, said: Answer, place: int) -> ToolCall:
    function = call.function or Function()
    name, arguments = function.name or "", text_of(function.arguments)
    return ToolCall(id=call.id or _id(said, place, name, arguments), name=name, arguments=arguments)


def fault_of(said: Answer, raw: bytes, now: float) -> Fault:
    return read_error_object({"error": said.error, "type": said.type, "code": said.code}, raw, now)


def text_of(raw: msgspec.Raw) -> str:
    """Arguments are an object; where they came as text already, the text."""
    # Raw: nobody has looked whether it is UTF-8.
    data = bytes(raw)
    if data.startswith(b'"'):
        return str(msgspec.json.decode(mended(data))) or "{}"
    return data.decode(errors="replace") if data not in (b"", b"null") else "{}"


def _id(said: Answer, place: int, name: str, arguments: str) -> str:
    """Older servers give a call no id. The time, in nanoseconds, makes it another in every answer."""
    told = f"{said.model} {said.created_at} {place} {name} {arguments}"
    return f"call_{sha256(told.encode()).hexdigest()[:24]}"


def reason_of(said: str | None, called: bool) -> FinishReason:
    if said == "length":
        return "length"
    if said == "content_filter":  # as another gateway says it
        return "content_filter"
    return "tool_calls" if called else "stop"


def usage_of(said: Answer) -> Usage | None:
    """A prompt that was remembered whole is not counted by older servers."""
    if said.prompt_eval_count is None and said.eval_count is None:
        return None
    return Usage(input_tokens=count(said.prompt_eval_count), output_tokens=count(said.eval_count))


# Stream ---------------------------------------------------------------------------------------------------------------

LONGEST_LINE = 32 * 2**20


class Decoder:
    """One JSON object a line; the last one says ``done``. Calls come whole."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0
        self._began = False
        self._thought: list[str] = []
        self._calls = 0

    def feed(self, chunk: bytes, now: float) -> list[ChatEvent]:
        first, newline, others = chunk.partition(b"\n")
        self._rest.append(first)
        self._size += len(first)
        if self._size > LONGEST_LINE:
            return [Failed(garbled(f"a line of more than {LONGEST_LINE} bytes", b""))]
        if not newline:
            return []
        *lines, rest = (b"".join(self._rest), *others.split(b"\n"))
        self._rest, self._size = [rest], len(rest)
        events: list[ChatEvent] = []
        for line in lines:
            self._line(line, now, events)
        return events

    def end(self, now: float) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        self._line(b"".join(self._rest), now, events)
        self._rest = []
        return events

    def _line(self, line: bytes, now: float, events: list[ChatEvent]) -> None:
        if not line or line.isspace():
            return
        try:
            said = read(line)
        except (ValueError, RecursionError):
            events.append(Damaged())
            return
        if said.error:
            events.append(Failed(fault_of(said, line, now)))
            return
        if not self._began:
            self._began = True
            events.append(Began("", said.model or ""))
        if said.message:
            self._said(said.message, said, events)
        if said.done:
            self._done(said, events)

    def _said(self, message: Said, said: Answer, events: list[ChatEvent]) -> None:
        if message.thinking:
            self._thought.append(message.thinking)
            events.append(ReasoningDelta(message.thinking))
        if message.content:
            self._seal(events)
            events.append(TextDelta(message.content))
        for call in message.tool_calls or ():
            self._seal(events)
            made = _made(call, said, self._calls)
            events += (CallBegan(self._calls, made.id, made.name), CallDelta(self._calls, made.arguments))
            self._calls += 1

    def _seal(self, events: list[ChatEvent]) -> None:
        if self._thought:
            events.append(ReasoningSealed(Reasoning("".join(self._thought))))
            self._thought = []

    def _done(self, said: Answer, events: list[ChatEvent]) -> None:
        self._seal(events)
        if usage := usage_of(said):
            events.append(Counted(usage))
        events += (Finished(reason_of(said.done_reason, self._calls > 0)), Ended())


def stream_decoder() -> Decoder:
    return Decoder()
