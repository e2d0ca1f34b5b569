"""Gemini's answers, whole and event by event: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from gateway.dialects.faults import BODY_KEPT, garbled, read_error_object
from gateway.dialects.framed import FramedDecoder
from gateway.dialects.gemini_contents import SIGNED
from gateway.dialects.mending import mended
from gateway.errors import Fault, FaultKind
from gateway.sse import Frame

# The wire -------------------------------------------------------------------------------------------------------------


class MadeCall(msgspec.Struct, gc=False):
    name: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"")
    id: str | None = None


class _Data(msgspec.Struct, gc=False, rename="camel"):
    mime_type: str | None = None
    data: str | None = None


class AnsweredPart(msgspec.Struct, rename="camel"):
    """Code that ran at Google's, and kinds we do not know, are passed over."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: MadeCall | None = None
    inline_data: _Data | None = None


class _Content(msgspec.Struct):
    parts: list[AnsweredPart] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: Any = None
    index: int | None = None
    logprobs_result: msgspec.Raw = msgspec.Raw(b"")


class _Tokens(msgspec.Struct, gc=False, rename="camel"):
    modality: Any = None
    token_count: int | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: list[_Tokens] | None = None
    candidates_tokens_details: list[_Tokens] | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: Any = None


class Answer(msgspec.Struct, rename="camel"):
    candidates: list[Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")

    @property
    def is_blocked(self) -> bool:
        """The prompt was refused: there are no candidates then, and the status is 200."""
        return not self.candidates and bool(self.prompt_feedback and self.prompt_feedback.block_reason)


_decoder = msgspec.json.Decoder(Answer)


def read_answer(data: bytes) -> Answer:
    """Raises ``ValueError`` or ``RecursionError``."""
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except ValueError:
        return _decoder.decode(mended(data))


# What it means --------------------------------------------------------------------------------------------------------

# https://ai.google.dev/api/generate-content#FinishReason. A stop that nobody knows yet is a stop.
FINISH_REASONS: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "ESCALATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
}
# The model's answer came to nothing, and another try may do better.
BROKEN = frozenset(
    (
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
    )
)


def finish_of(reason: str, called: bool) -> FinishReason:
    meant = FINISH_REASONS.get(reason, "stop")
    return "tool_calls" if called and meant == "stop" else meant


def came_to_nothing(candidate: Candidate, said: bool) -> Fault | None:
    """``OTHER`` is a fault where nothing was said."""
    reason = candidate.finish_reason
    if reason in BROKEN or (reason == "OTHER" and not said):
        message = f"the model's answer came to nothing: {reason}"
        if isinstance(candidate.finish_message, str):
            message += f": {candidate.finish_message[:BODY_KEPT]}"
        return Fault(kind=FaultKind.GARBLED, message=message, code=reason)
    return None


def usage_of(said: _Usage) -> Usage:
    """Thoughts are beside the candidates' tokens, cached ones inside the prompt's."""
    thoughts = _count(said.thoughts_token_count)
    return Usage(
        input_tokens=_count(said.prompt_token_count) + _count(said.tool_use_prompt_token_count),
        output_tokens=_count(said.candidates_token_count) + thoughts,
        cached_tokens=_count(said.cached_content_token_count),
        reasoning_tokens=thoughts,
        input_audio_tokens=_audio(said.prompt_tokens_details),
        output_audio_tokens=_audio(said.candidates_tokens_details),
    )


def _count(value: int | None) -> int:
    return value if value and 0 < value < 1 << 53 else 0


def _audio(details: list[_Tokens] | None) -> int:
    if not details:
        return 0
    return sum(_count(each.token_count) for each in details if each.modality == "AUDIO")


def arguments_of(call: MadeCall) -> str:
    args = bytes(call.args)
    # Raw: nobody has looked whether it is UTF-8.
    return msgspec.json.format(args, indent=-1).decode(errors="replace") if args.startswith(b"{") else "{}"


def text_of(part: AnsweredPart) -> str:
    """What a part says; made media as a Markdown link, which is all that a text can hold of it."""
    if part.text:
        return part.text
    media = part.inline_data
    if media is None or not media.data:
        return ""
    mime_type = media.mime_type or "application/octet-stream"
    return f"![{mime_type.partition('/')[0]}](data:{mime_type};base64,{media.data})"


class Ids:
    """Ids for calls that came without: the same whenever the same answer is read, and no other answer's."""

    def __init__(self) -> None:
        self._seed = b""

    def begin(self, answer: Answer, raw: bytes) -> None:
        self._seed = self._seed or (answer.response_id or "").encode() or sha256(raw).digest()

    def of(self, call: MadeCall, choice: int, place: int) -> str:
        return call.id or "call_" + sha256(b"%b.%d.%d" % (self._seed, choice, place)).hexdigest()[:24]


# Whole answers --------------------------------------------------------------------------------------------------------


def checked(body: bytes, now: float) -> Answer | Fault:
    """A 200 that holds an error, or nothing readable, is a fault."""
    try:
        answer = read_answer(body)
        if given(answer.error):
            return read_error_object(msgspec.json.decode(answer.error), body, now)
    except (ValueError, RecursionError) as error:
        return unreadable(error, body, now)
    return answer if answer.candidates or answer.is_blocked else garbled("the answer has no candidates", body)


def decode_answer(body: bytes, now: float) -> ChatResponse | Fault:
    answer = checked(body, now)
    if isinstance(answer, Fault):
        return answer
    ids = Ids()
    ids.begin(answer, body)
    choices = []
    for place, candidate in enumerate(answer.candidates or ()):
        parts = tuple(_parts(candidate, place, ids))
        if fault := came_to_nothing(candidate, bool(parts)):
            return fault
        called = any(isinstance(part, ToolCall) for part in parts)
        reason = finish_of(candidate.finish_reason, called) if candidate.finish_reason else None
        choices.append(Choice(parts, reason, _logprobs(candidate)))
    return ChatResponse(
        id=answer.response_id or "",
        model=answer.model_version or "",
        choices=tuple(choices) or (Choice((), "content_filter"),),
        usage=usage_of(answer.usage_metadata) if answer.usage_metadata else None,
    )


def _parts(candidate: Candidate, choice: int, ids: Ids) -> Iterator[Part]:
    thoughts: list[str] = []
    calls = 0
    for part in (candidate.content and candidate.content.parts) or ():
        signature = part.thought_signature
        if part.thought:
            thoughts.append(part.text or "")
            if signature:
                yield _sealed(thoughts, signature)
            continue
        if any(thoughts):
            yield _sealed(thoughts)
        if part.function_call and part.function_call.name:
            call = part.function_call
            yield ToolCall(ids.of(call, choice, calls), call.name or "", arguments_of(call), signature)
            calls += 1
            continue
        if text := text_of(part):
            yield Text(text)
        if signature:
            yield Reasoning(signature=signature, format=SIGNED)
    if any(thoughts):
        yield _sealed(thoughts)


def _sealed(thoughts: list[str], signature: str | None = None) -> Reasoning:
    content = "".join(thoughts)
    thoughts.clear()
    return Reasoning(content, signature=signature, format=SIGNED if signature else None)


class _Scored(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Top(msgspec.Struct):
    candidates: list[_Scored] | None = None


class _Logprobs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Scored] | None = None
    top_candidates: list[_Top] | None = None


def _logprobs(candidate: Candidate) -> dict[str, Any] | None:
    """As OpenAI tells them."""
    if not given(candidate.logprobs_result):
        return None
    try:
        said = msgspec.json.decode(candidate.logprobs_result, type=_Logprobs)
    except ValueError:
        return None
    tops = said.top_candidates or []
    return {
        "content": [
            {
                **_scored(chosen),
                "top_logprobs": [_scored(each) for each in (tops[place].candidates or ())] if place < len(tops) else [],
            }
            for place, chosen in enumerate(said.chosen_candidates or ())
        ],
        "refusal": None,
    }


def _scored(said: _Scored) -> dict[str, Any]:
    return {
        "token": said.token,
        "logprob": said.log_probability,
        "bytes": list(said.token.encode(errors="replace")),
    }


# Streams --------------------------------------------------------------------------------------------------------------


class _Run:
    """What one choice has said so far."""

    __slots__ = ("calls", "finished", "said", "thoughts")

    def __init__(self) -> None:
        self.thoughts: list[str] = []
        self.calls = 0
        self.said = False
        self.finished = False


class Decoder(FramedDecoder):
    """Each event is an answer of its own with what is new; its usage is of all so far; nothing says that it ends."""

    def __init__(self) -> None:
        super().__init__()
        self._ids = Ids()
        self._began = False
        self._runs: dict[int, _Run] = {}
        self._usage: _Usage | None = None

    def read(self, frames: list[Frame], now: float) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        for frame in frames:
            if frame.data:
                self._read(frame.data, now, events)
        return events

    def end(self, now: float) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        for frame in self._splitter.end():
            # A failing server may answer a stream with plain JSON.
            self._read(frame.data or frame.raw.strip(), now, events)
        for choice, run in self._runs.items():
            self._seal(run, choice, events)
        return events

    def _read(self, data: bytes, now: float, events: list[ChatEvent]) -> None:
        if data.strip() == b"[DONE]":  # some proxies add it
            return
        try:
            answer = read_answer(data)
            if given(answer.error):
                events.append(Failed(read_error_object(msgspec.json.decode(answer.error), data, now)))
                return
        except (ValueError, RecursionError):
            fault = error_in(data, now)
            events.append(Failed(fault) if fault else Damaged())
            return
        if not self._began and (answer.response_id or answer.model_version or answer.candidates):
            self._began = True
            self._ids.begin(answer, data)
            events.append(Began(answer.response_id or "", answer.model_version or ""))
        for place, candidate in enumerate(answer.candidates or ()):
            self._candidate(candidate, place if candidate.index is None else candidate.index, events)
        if answer.is_blocked and not any(run.finished for run in self._runs.values()):
            self._runs.setdefault(0, _Run()).finished = True
            events.append(Finished("content_filter"))
        if answer.usage_metadata:
            events.append(Counted(usage_of(answer.usage_metadata)))

    def _candidate(self, candidate: Candidate, choice: int, events: list[ChatEvent]) -> None:
        run = self._runs.get(choice)
        if run is None:
            run = self._runs[choice] = _Run()
        for part in (candidate.content and candidate.content.parts) or ():
            self._part(part, run, choice, events)
        if not candidate.finish_reason or run.finished:
            return
        self._seal(run, choice, events)
        run.finished = True
        if fault := came_to_nothing(candidate, run.said):
            events.append(Failed(fault))
        else:
            events.append(Finished(finish_of(candidate.finish_reason, run.calls > 0), choice))

    def _part(self, part: AnsweredPart, run: _Run, choice: int, events: list[ChatEvent]) -> None:
        signature = part.thought_signature
        if part.thought:
            if part.text:
                run.thoughts.append(part.text)
                events.append(ReasoningDelta(part.text, choice))
            if signature:
                events.append(ReasoningSealed(_sealed(run.thoughts, signature), choice))
            return
        call = part.function_call
        if call and call.name:
            self._seal(run, choice, events)
            run.said = True
            events.append(CallBegan(run.calls, self._ids.of(call, choice, run.calls), call.name, signature, choice))
            events.append(CallDelta(run.calls, arguments_of(call), choice))
            run.calls += 1
            return
        if text := text_of(part):
            self._seal(run, choice, events)
            run.said = True
            events.append(TextDelta(text, choice))
        if signature:
            self._seal(run, choice, events)
            events.append(ReasoningSealed(Reasoning(signature=signature, format=SIGNED), choice))

    def _seal(self, run: _Run, choice: int, events: list[ChatEvent]) -> None:
        if run.thoughts:
            events.append(ReasoningSealed(_sealed(run.thoughts), choice))


def stream_decoder() -> Decoder:
    return Decoder()


# Faults ---------------------------------------------------------------------------------------------------------------


def given(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null", b"{}", b"[]")


def error_in(data: bytes, now: float) -> Fault | None:
    """An error in a shape of its own: bare, or the one element of an array."""
    try:
        said = msgspec.json.decode(mended(data))
    except (ValueError, RecursionError):
        return None
    if isinstance(said, list) and said:
        said = said[0]
    return read_error_object(said, data, now) if isinstance(said, dict) and said.get("error") else None


def unreadable(error: Exception, body: bytes, now: float) -> Fault:
    return error_in(body, now) or garbled(f"the answer is not one of Gemini's: {error}", body)
