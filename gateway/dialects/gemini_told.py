"""Answers as Gemini's clients read them: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse

Whole, and in events that are each an answer of its own with what is new. Thoughts are shown to whoever has asked for
them; signed ones also go into the signature of the part that follows (``gemini_marks``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import (
    Began,
    Blob,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Choice,
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
    Uri,
    Usage,
)
from gateway.dialects.gemini_asked import shows_thoughts
from gateway.dialects.gemini_contents import SIGNED, as_arguments, guessed
from gateway.dialects.gemini_marks import signature_of
from gateway.sse import event

Fields = dict[str, Any]

_encode = msgspec.json.Encoder().encode

REASONS: Mapping[FinishReason, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "error": "OTHER",
}


def encode_answer(answer: ChatResponse, *, id: str, model: str, created: int, asked: bytes = b"") -> bytes:
    """A whole answer. ``id``, ``model``: for the answer that does not name its own."""
    shows = shows_thoughts(asked)
    body: Fields = {"candidates": [_candidate(choice, place, shows) for place, choice in enumerate(answer.choices)]}
    if answer.usage is not None:
        body["usageMetadata"] = usage_of(answer.usage)
    return _encode({**body, "modelVersion": answer.model or model, "responseId": answer.id or id})


def _candidate(choice: Choice, place: int, shows: bool) -> Fields:
    parts = parts_of(choice.parts, shows)
    candidate: Fields = {}
    if parts or choice.finish_reason != "content_filter":
        # Google's own SDKs take a content without parts for none at all.
        candidate["content"] = {"parts": parts or [NOTHING], "role": "model"}
    if choice.finish_reason:
        candidate["finishReason"] = REASONS[choice.finish_reason]
    candidate["index"] = place
    if scored := _logprobs(choice.logprobs):
        candidate["logprobsResult"] = scored
    return candidate


NOTHING: Mapping[str, str] = {"text": ""}


def parts_of(parts: Sequence[Part], shows: bool) -> list[Fields]:
    found: list[Fields] = []
    thoughts: list[Reasoning] = []
    for part in parts:
        if isinstance(part, Reasoning):
            thoughts.append(part)
            if shows and part.content:
                found.append({"text": part.content, "thought": True})
            continue
        if written := _part(part):
            own = part.signature if isinstance(part, ToolCall) else None
            found.append(_signed(written, thoughts, own))
            thoughts = []
    # Gemini signs a text behind it; what others have thought last leads to nothing that anybody would go on from.
    if thoughts and thoughts[-1].format == SIGNED and (signature := signature_of(thoughts)):
        found.append({**NOTHING, "thoughtSignature": signature})
    return found


def _part(part: Part) -> Fields | None:
    match part:
        case Text(content=text) | Refusal(content=text):
            return {"text": text} if text else None
        case ToolCall():
            return _call(part.id, part.name, part.arguments)
        case Blob():
            return {"inlineData": {"mimeType": part.mime_type, "data": part.content}}
        case Uri():
            mime_type = part.mime_type or guessed(part.uri, part.modality)
            return {"fileData": {"mimeType": mime_type, "fileUri": part.uri}}
    return None


def _call(call_id: str, name: str, arguments: str) -> Fields:
    made: Fields = {"name": name, "args": as_arguments(arguments)}
    return {"functionCall": {"id": call_id, **made} if call_id else made}


def _signed(part: Fields, thoughts: Sequence[Reasoning], own: str | None = None) -> Fields:
    signature = signature_of(thoughts, own)
    return {**part, "thoughtSignature": signature} if signature else part


def usage_of(usage: Usage, cost: float | None = None) -> Fields:
    """Thoughts are beside the candidates' tokens; what was cached is inside the prompt's."""
    thoughts = min(usage.reasoning_tokens, usage.output_tokens)
    said: Fields = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - thoughts,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        said["cachedContentTokenCount"] = usage.cached_tokens
    if thoughts:
        said["thoughtsTokenCount"] = thoughts
    if usage.input_audio_tokens:
        said["promptTokensDetails"] = _by_modality(usage.input_tokens, usage.input_audio_tokens)
    if usage.output_audio_tokens:
        said["candidatesTokensDetails"] = _by_modality(usage.output_tokens - thoughts, usage.output_audio_tokens)
    if cost is not None:
        said["cost"] = cost
    return said


def _by_modality(tokens: int, audio: int) -> list[Fields]:
    rest = [{"modality": "TEXT", "tokenCount": tokens - audio}] if tokens > audio else []
    return [*rest, {"modality": "AUDIO", "tokenCount": audio}]


class _Score(msgspec.Struct):
    token: str = ""
    logprob: float = 0.0


class _Token(_Score):
    top_logprobs: list[_Score] = []


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


def _logprobs(said: Any) -> Fields | None:
    """As OpenAI tells them; nothing where they are told in another way."""
    try:
        tokens = msgspec.convert(said, _Logprobs | None)
    except ValueError:
        return None
    if tokens is None or not tokens.content:
        return None
    return {
        "chosenCandidates": [_scored(each) for each in tokens.content],
        "topCandidates": [{"candidates": [_scored(top) for top in each.top_logprobs]} for each in tokens.content],
    }


def _scored(said: _Score) -> Fields:
    return {"token": said.token, "logProbability": said.logprob}


# Stream ---------------------------------------------------------------------------------------------------------------


class _Call(msgspec.Struct, gc=False):
    """A call that is still being told. Gemini's clients read arguments whole."""

    id: str
    name: str
    signature: str | None
    thoughts: list[Reasoning]
    arguments: list[str] = []


class _Run(msgspec.Struct, gc=False):
    """What of one choice is still to be written."""

    thoughts: list[Reasoning] = []
    """Signed ones, for the next part."""
    calls: dict[int, _Call] = {}
    reason: str | None = None


_HEAD = b'data: {"candidates":[{"content":{"parts":['


class StreamEncoder:
    """An event per piece. Calls are written when the choice is finished: no earlier are their arguments sure to be
    whole. The last event has the finish reasons, and the usage."""

    def __init__(self, *, id: str, model: str, asked: bytes) -> None:
        self._id, self._model, self._asked = id, model, asked
        self.place = 0
        self._runs: dict[int, _Run] = {}
        self._tail = b""
        """What all events end with, once the answer has a name."""
        self._shows: bool | None = None

    def feed(self, event: ChatEvent) -> bytes:
        write = _WRITTEN.get(type(event))
        return write(self, event) if write else b""

    def end(self, usage: Usage | None, cost: float | None) -> bytes:
        calls = b"".join(self._calls(choice, run) for choice, run in self._runs.items())
        body: Fields = {
            "candidates": [self._ended(choice, run) for choice, run in sorted(self._runs.items())],
        }
        if usage is not None:
            body["usageMetadata"] = usage_of(usage, cost)
        self.place += 1
        return calls + event(_encode({**body, **self.identity()}))

    def _ended(self, choice: int, run: _Run) -> Fields:
        last = {**NOTHING}
        if run.thoughts and run.thoughts[-1].format == SIGNED:
            last = _signed(last, run.thoughts)
        candidate: Fields = {"content": {"parts": [last], "role": "model"}, "index": choice}
        return {**candidate, "finishReason": run.reason} if run.reason else candidate

    def identity(self) -> dict[str, Any]:
        return {"modelVersion": self._model, "responseId": self._id}

    def _run(self, choice: int) -> _Run:
        run = self._runs.get(choice)
        if run is None:
            run = self._runs[choice] = _Run()
        return run

    def _event(self, choice: int, parts: bytes) -> bytes:
        """``parts``: what is between the brackets."""
        self.place += 1
        if not self._tail:
            self._tail = b"}]," + _encode(self.identity())[1:] + b"\n\n"
        return b"".join((_HEAD, parts, b'],"role":"model"},"index":', b"%d" % choice, self._tail))

    def _began(self, event: Began) -> bytes:
        if not self.place:
            self._id, self._model = event.id or self._id, event.model or self._model
        return b""

    def _text(self, event: TextDelta | RefusalDelta) -> bytes:
        if not event.text:
            return b""
        run = self._run(event.choice)
        if not run.thoughts:
            return self._event(event.choice, b'{"text":' + _encode(event.text) + b"}")
        part = _signed({"text": event.text}, run.thoughts)
        run.thoughts = []
        return self._event(event.choice, _encode(part))

    def _thought(self, event: ReasoningDelta) -> bytes:
        self._run(event.choice)
        if self._shows is None:
            self._shows = shows_thoughts(self._asked)
        if not (self._shows and event.text):
            return b""
        return self._event(event.choice, b'{"text":' + _encode(event.text) + b',"thought":true}')

    def _sealed(self, event: ReasoningSealed) -> bytes:
        if event.part.signature or event.part.opaque:
            self._run(event.choice).thoughts.append(event.part)
        return b""

    def _call_began(self, event: CallBegan) -> bytes:
        run = self._run(event.choice)
        run.calls[event.place] = _Call(event.id, event.name, event.signature, run.thoughts)
        run.thoughts = []
        return b""

    def _call_went_on(self, event: CallDelta) -> bytes:
        if call := self._run(event.choice).calls.get(event.place):
            call.arguments.append(event.arguments)
        return b""

    def _finish(self, event: Finished) -> bytes:
        run = self._run(event.choice)
        run.reason = run.reason or REASONS[event.reason]
        return self._calls(event.choice, run)

    def _calls(self, choice: int, run: _Run) -> bytes:
        calls, run.calls = run.calls, {}
        if not calls:
            return b""
        written = (
            _signed(_call(call.id, call.name, "".join(call.arguments)), call.thoughts, call.signature)
            for _, call in sorted(calls.items())
        )
        return self._event(choice, b",".join(map(_encode, written)))


_WRITTEN: Mapping[type, Callable[[StreamEncoder, Any], bytes]] = {
    Began: StreamEncoder._began,
    TextDelta: StreamEncoder._text,
    RefusalDelta: StreamEncoder._text,
    ReasoningDelta: StreamEncoder._thought,
    ReasoningSealed: StreamEncoder._sealed,
    CallBegan: StreamEncoder._call_began,
    CallDelta: StreamEncoder._call_went_on,
    Finished: StreamEncoder._finish,
}


def stream_encoder(*, id: str, model: str, created: int, usage: bool, asked: bytes = b"") -> StreamEncoder:
    """Usage is always told."""
    return StreamEncoder(id=id, model=model, asked=asked)
