"""Cohere's answers, whole and streamed, read into the hub: https://docs.cohere.com/reference/chat-stream."""

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
    Text,
    TextDelta,
    ToolCall,
    Usage,
)
from gateway.dialects.faults import read_error_object
from gateway.dialects.framed import FramedDecoder
from gateway.dialects.mending import mended
from gateway.errors import Fault, FaultKind
from gateway.sse import Frame

SIGNED = "cohere"
"""Nothing is signed. But what was thought and planned before a call goes back as it came: it is part of the history."""

# Response -------------------------------------------------------------------------------------------------------------

_FINISH: Mapping[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "length",
}
_BROKEN = frozenset(("ERROR", "TIMEOUT"))


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Block(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | str | None = None
    tool_calls: list[_Call] | None = None
    tool_plan: str | None = None


class _Tokens(msgspec.Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None


class _Usage(msgspec.Struct):
    tokens: _Tokens | None = None
    billed_units: _Tokens | None = None
    cached_tokens: float | None = None


class _Answer(msgspec.Struct):
    id: str | None = None
    message: _Message | str | None = None
    finish_reason: str | None = None
    usage: _Usage | None = None
    logprobs: list[dict[str, Any]] | None = None


_answer = msgspec.json.Decoder(_Answer)


def decode_answer(body: bytes, now: float) -> ChatResponse | Fault:
    try:
        said = _answer.decode(body)
    except (ValueError, RecursionError):
        try:
            said = _answer.decode(mended(body))
        except (ValueError, RecursionError):
            return _no_answer(body, now)
    if not isinstance(said.message, _Message):
        return _no_answer(body, now)
    if said.finish_reason in _BROKEN:
        return _broken(f"the vendor ended the answer with finish_reason {said.finish_reason}", body)
    parts = _parts(said.message)
    reason = _reason(said.finish_reason, any(isinstance(part, ToolCall) for part in parts))
    choice = Choice(parts=parts, finish_reason=reason, logprobs=_logprobs(said.logprobs))
    return ChatResponse(id=said.id or "", choices=(choice,), usage=_usage(said.usage))


def _parts(message: _Message) -> tuple[Part, ...]:
    blocks = message.content or []
    if isinstance(blocks, str):
        blocks = [_Block(text=blocks)]
    parts: list[Part] = []
    for block in blocks:
        if block.thinking:
            parts.append(Reasoning(block.thinking, format=SIGNED))
        elif block.text:
            parts.append(Text(block.text))
    if message.tool_plan:
        parts.append(_plan(message.tool_plan))
    for place, call in enumerate(message.tool_calls or ()):
        function = call.function or _Function()
        name = function.name or ""
        parts.append(ToolCall(id=call.id or f"{name}_{place}", name=name, arguments=function.arguments or "{}"))
    return tuple(parts)


def _plan(text: str) -> Reasoning:
    """Said to nobody: not part of the answer's text, but wanted back beside the calls that it led to."""
    return Reasoning(opaque=text, format=SIGNED)


def _reason(said: str | None, called: bool) -> FinishReason | None:
    if said is None:
        return None
    reason = _FINISH.get(said, "stop")
    return "tool_calls" if called and reason == "stop" else reason


def _usage(said: _Usage | None) -> Usage | None:
    """``billed_units`` leave out what Cohere itself puts into the prompt."""
    counted = said and (said.tokens or said.billed_units)
    if not said or not counted:
        return None
    return Usage(
        input_tokens=_count(counted.input_tokens),
        output_tokens=_count(counted.output_tokens),
        cached_tokens=min(_count(said.cached_tokens), _count(counted.input_tokens)),
    )


def _count(said: float | None) -> int:
    return int(said) if said and 0 < said < 1 << 53 else 0


def _logprobs(said: list[dict[str, Any]] | None) -> Any:
    """As OpenAI has them. Cohere may give one text for several tokens: its probability is theirs together."""
    if not said:
        return None
    content = []
    for item in said:
        text, each = str(item.get("text") or ""), item.get("logprobs")
        numbers = [one for one in each if isinstance(one, int | float)] if isinstance(each, list) else []
        content.append({"token": text, "logprob": sum(numbers), "bytes": list(text.encode()), "top_logprobs": []})
    return {"content": content, "refusal": None}


# Stream ---------------------------------------------------------------------------------------------------------------


class _Start(msgspec.Struct, tag="message-start"):
    id: str | None = None


class _Content(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None


class _ContentMessage(msgspec.Struct):
    content: _Content | None = None


class _ContentDelta(msgspec.Struct):
    message: _ContentMessage | None = None


class _ContentStarted(msgspec.Struct, tag="content-start"):
    delta: _ContentDelta | None = None


class _ContentWentOn(msgspec.Struct, tag="content-delta"):
    delta: _ContentDelta | None = None


class _ContentEnded(msgspec.Struct, tag="content-end"):
    pass


class _PlanMessage(msgspec.Struct):
    tool_plan: str | None = None


class _PlanDelta(msgspec.Struct):
    message: _PlanMessage | None = None


class _Planned(msgspec.Struct, tag="tool-plan-delta"):
    delta: _PlanDelta | None = None


class _CallMessage(msgspec.Struct):
    tool_calls: _Call | None = None


class _CallIn(msgspec.Struct):
    message: _CallMessage | None = None


class _CallStarted(msgspec.Struct, tag="tool-call-start"):
    index: int = 0
    delta: _CallIn | None = None


class _CallWentOn(msgspec.Struct, tag="tool-call-delta"):
    index: int = 0
    delta: _CallIn | None = None


class _CallEnded(msgspec.Struct, tag="tool-call-end"):
    index: int = 0


class _EndDelta(msgspec.Struct):
    finish_reason: str | None = None
    usage: _Usage | None = None
    error: Any = None


class _End(msgspec.Struct, tag="message-end"):
    delta: _EndDelta | None = None


class _CitationStarted(msgspec.Struct, tag="citation-start"):
    pass


class _CitationEnded(msgspec.Struct, tag="citation-end"):
    pass


_event = msgspec.json.Decoder(
    _ContentWentOn
    | _CallWentOn
    | _Planned
    | _Start
    | _ContentStarted
    | _ContentEnded
    | _CallStarted
    | _CallEnded
    | _End
    | _CitationStarted
    | _CitationEnded
)


class _Open(msgspec.Struct):
    """A call under way."""

    place: int
    begun: bool = False
    """It has arguments."""


class Decoder(FramedDecoder):
    """Events to hub events. A run of thoughts, or of planning, ends where anything else begins."""

    def __init__(self) -> None:
        super().__init__()
        self._thought: list[str] = []
        self._planned: list[str] = []
        self._calls: dict[int, _Open] = {}
        self._begun = 0

    def read(self, frames: list[Frame], now: float) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        for frame in frames:
            data = frame.data
            if not data or data == b"[DONE]":
                continue
            try:
                said = _event.decode(data)
            except (ValueError, RecursionError):
                events += self._odd(frame, mended(data), now)
                continue
            _SAID[type(said)](self, said, events)
        return events

    def _odd(self, frame: Frame, data: bytes, now: float) -> list[ChatEvent]:
        """1. An error. 2. An event of a kind that is not known here. 3. Half a character, mended. 4. Damage."""
        try:
            said = msgspec.json.decode(data)
        except (ValueError, RecursionError):
            return [Damaged()]
        if not isinstance(said, dict):
            return [Damaged()]
        kind = said.get("type")
        if frame.name == b"error" or kind == "error" or (kind is None and (said.get("message") or said.get("error"))):
            return [Failed(read_error_object(said, data, now))]
        events: list[ChatEvent] = []
        if kind in _KINDS:
            try:
                read = _event.decode(data)
            except (ValueError, RecursionError):
                return [Damaged()]
            _SAID[type(read)](self, read, events)
        return events

    def _passed_over(self, said: Any, events: list[ChatEvent]) -> None:
        pass

    def _start(self, said: _Start, events: list[ChatEvent]) -> None:
        events.append(Began(said.id or "", ""))

    def _content(self, said: _ContentStarted | _ContentWentOn, events: list[ChatEvent]) -> None:
        content = said.delta and said.delta.message and said.delta.message.content
        if not content:
            return
        if content.thinking:
            self._thought.append(content.thinking)
            events.append(ReasoningDelta(content.thinking))
        if content.text:
            if self._thought or self._planned:
                self._seal(events)
            events.append(TextDelta(content.text))

    def _content_ended(self, said: _ContentEnded, events: list[ChatEvent]) -> None:
        self._seal(events)

    def _plan(self, said: _Planned, events: list[ChatEvent]) -> None:
        if said.delta and said.delta.message and said.delta.message.tool_plan:
            self._planned.append(said.delta.message.tool_plan)

    def _seal(self, events: list[ChatEvent]) -> None:
        if self._thought:
            events.append(ReasoningSealed(Reasoning("".join(self._thought), format=SIGNED)))
        if self._planned:
            events.append(ReasoningSealed(_plan("".join(self._planned))))
        self._thought, self._planned = [], []

    def _call_started(self, said: _CallStarted, events: list[ChatEvent]) -> None:
        self._seal(events)
        call = (said.delta and said.delta.message and said.delta.message.tool_calls) or _Call()
        function = call.function or _Function()
        name, place = function.name or "", self._begun
        self._begun += 1
        self._calls[said.index] = _Open(place)
        events.append(CallBegan(place, call.id or f"{name}_{place}", name))
        self._argued(said.index, function.arguments, events)

    def _call_went_on(self, said: _CallWentOn, events: list[ChatEvent]) -> None:
        call = said.delta and said.delta.message and said.delta.message.tool_calls
        if call and call.function:
            self._argued(said.index, call.function.arguments, events)

    def _argued(self, index: int, arguments: str | None, events: list[ChatEvent]) -> None:
        if arguments and (call := self._calls.get(index)):
            call.begun = True
            events.append(CallDelta(call.place, arguments))

    def _call_ended(self, said: _CallEnded, events: list[ChatEvent]) -> None:
        call = self._calls.pop(said.index, None)
        if call and not call.begun:
            events.append(CallDelta(call.place, "{}"))

    def _end(self, said: _End, events: list[ChatEvent]) -> None:
        delta = said.delta or _EndDelta()
        for index in list(self._calls):
            self._call_ended(_CallEnded(index), events)
        self._seal(events)
        if delta.error or delta.finish_reason in _BROKEN:
            message = f"the vendor ended the stream with finish_reason {delta.finish_reason}"
            events.append(Failed(_broken(f"{message}: {delta.error}" if delta.error else message, b"")))
            return
        if usage := _usage(delta.usage):
            events.append(Counted(usage))
        if reason := _reason(delta.finish_reason, self._begun > 0):
            events += (Finished(reason), Ended())


_SAID: Mapping[type[msgspec.Struct], Callable[[Decoder, Any, list[ChatEvent]], None]] = {
    _Start: Decoder._start,
    _ContentStarted: Decoder._content,
    _ContentWentOn: Decoder._content,
    _ContentEnded: Decoder._content_ended,
    _Planned: Decoder._plan,
    _CallStarted: Decoder._call_started,
    _CallWentOn: Decoder._call_went_on,
    _CallEnded: Decoder._call_ended,
    _CitationStarted: Decoder._passed_over,
    _CitationEnded: Decoder._passed_over,
    _End: Decoder._end,
}
_KINDS = frozenset(kind.__struct_config__.tag for kind in _SAID)


def stream_decoder() -> Decoder:
    return Decoder()


# Faults ---------------------------------------------------------------------------------------------------------------


def _broken(message: str, body: bytes) -> Fault:
    return Fault(kind=FaultKind.SERVER_ERROR, message=message, body=body[:2048].decode(errors="replace") or None)


def _no_answer(body: bytes, now: float) -> Fault:
    """A 200 that is an error (``{id, message}``), or nothing that can be read."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and (said.get("message") or said.get("error")):
        return read_error_object(said, body, now)
    return Fault(
        kind=FaultKind.GARBLED,
        message="the answer is not one of Cohere's",
        body=body[:2048].decode(errors="replace") or None,
    )
