"""Gemini's requests and answers on their way through: what is to be known of them, and the little that is changed.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, Literal

import msgspec

from gateway.abilities import abilities
from gateway.chat import Facts, Operation
from gateway.dialects.faults import read_error_object
from gateway.dialects.gemini_answer import (
    BROKEN,
    Answer,
    AnsweredPart,
    Candidate,
    arguments_of,
    came_to_nothing,
    checked,
    error_in,
    finish_of,
    given,
    read_answer,
    text_of,
    usage_of,
)
from gateway.dialects.gemini_contents import FOREIGN_CALL, SIGNED
from gateway.dialects.gemini_marks import MARKED, unmarked
from gateway.dialects.gemini_schema import spelled
from gateway.dialects.glimpse import DAMAGED, CallPart, Glimpse, Whole
from gateway.dialects.mending import mended
from gateway.dialects.openai_chat import decode, fields_of, model_of
from gateway.dialects.openai_seen import short
from gateway.dialects.replaying import Fitted
from gateway.errors import Fault
from gateway.sse import Frame, event

OPERATION: Operation = "chat"
Fields = dict[str, Any]
_ABSENT = msgspec.Raw(b"")

# Request --------------------------------------------------------------------------------------------------------------


class _Peek(msgspec.Struct):
    model: str | None = None
    tools: msgspec.Raw = _ABSENT
    generationConfig: dict[str, msgspec.Raw] | None = None
    generation_config: dict[str, msgspec.Raw] | None = None


_peek = msgspec.json.Decoder(_Peek)


def peek(body: bytes, named: str | None = None) -> Facts:
    """What routing needs, without decoding the conversation. ``named``: the model, which the path names, not the body.

    Raises ``CallerError`` (400).
    """
    asked = decode(_peek, body)
    generation = _Told(asked.generationConfig or asked.generation_config or {})
    choices = generation.count("candidateCount")
    return Facts(
        operation=OPERATION,
        model=model_of(named, (asked.model or "").removeprefix("models/")),
        named=False,
        wants_usage=True,
        tools=bytes(asked.tools) not in _NONE,
        structured=generation.said("responseMimeType") == "application/json" or generation.has(*_SCHEMAS),
        choices=choices if choices and choices > 0 else 1,
        size=len(body),
        parameters=_parameters(generation),
    )


_NONE = frozenset((b"", b"null", b"[]", b"{}"))
_SCHEMAS = ("responseSchema", "responseJsonSchema", "_responseJsonSchema")


class _Told:
    """A configuration whose names come in two spellings, each value read when somebody asks for it."""

    def __init__(self, fields: Mapping[str, msgspec.Raw]) -> None:
        self._fields = {spelled(name): raw for name, raw in fields.items() if bytes(raw) != b"null"}

    def has(self, *names: str) -> bool:
        return any(name in self._fields for name in names)

    def said(self, name: str) -> Any:
        """What a field says, or None where it cannot be read."""
        with suppress(KeyError, ValueError, RecursionError):
            return msgspec.json.decode(self._fields[name])
        return None

    def count(self, name: str) -> int | None:
        """Whole numbers may be strings."""
        with suppress(KeyError, ValueError):
            return msgspec.json.decode(self._fields[name], type=int, strict=False)
        return None


# As many stops as are told of other dialects; longer ones may be content.
_MOST_STOPS, _LONGEST_STOP = 4, 64
_NUMBERS = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
    "seed": "seed",
}


def _parameters(generation: _Told) -> Fields:
    found: Fields = {}
    if (limit := generation.count("maxOutputTokens")) is not None:
        found["max_tokens"] = limit
    for name, told in _NUMBERS.items():
        value = generation.said(name) if generation.has(name) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[told] = value
    stops = generation.said("stopSequences") if generation.has("stopSequences") else None
    if isinstance(stops, list) and stops:
        found["stop_sequences"] = [each[:_LONGEST_STOP] for each in stops[:_MOST_STOPS] if isinstance(each, str)]
    if (choices := generation.count("candidateCount")) not in (None, 1):
        found["choice.count"] = choices
    thinking = generation.said("thinkingConfig") if generation.has("thinkingConfig") else None
    if isinstance(thinking, dict) and (level := short(thinking.get("thinkingLevel", thinking.get("thinking_level")))):
        found["reasoning.level"] = level.lower()
    return found


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    """The same object with the vendor's deltas. The model is in the path, and usage is always told.

    Gemini 3 refuses calls without a signature, which another vendor's are: they get the documented stand-in.
    """
    fields = fields_of(body)
    changed = {rename.get(name, name): raw for name, raw in fields.items() if name not in drop and name != "model"}
    if max_tokens is not None:
        _cap(changed, max_tokens)
    # A model we do not know is taken for a new one.
    if abilities(model).thinking not in ("none", "budget") and _may_call(body):
        _sign_calls(changed)
    same = changed.keys() == fields.keys() and all(changed[name] is fields[name] for name in fields)
    return body if same else msgspec.json.encode(changed)


_CONFIGS = ("generationConfig", "generation_config")


def _cap(fields: dict[str, msgspec.Raw], limit: int) -> None:
    said = [name for name in _CONFIGS if bytes(fields.get(name, b"null")) != b"null"]
    name = said[0] if said else _CONFIGS[0]
    config = fields_of(bytes(fields[name])) if said else {}
    inner = "max_output_tokens" if "max_output_tokens" in config else "maxOutputTokens"
    asked = _Told({inner: config[inner]}).count("maxOutputTokens") if inner in config else None
    if asked is None or asked > limit:
        fields[name] = _raw({**config, inner: limit})


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _may_call(body: bytes) -> bool:
    return b'"functionCall"' in body or b'"function_call"' in body


class _Signable(msgspec.Struct):
    functionCall: msgspec.Raw = _ABSENT
    function_call: msgspec.Raw = _ABSENT
    thoughtSignature: msgspec.Raw = _ABSENT
    thought_signature: msgspec.Raw = _ABSENT

    @property
    def calls(self) -> bool:
        return not (bytes(self.functionCall) in _NONE and bytes(self.function_call) in _NONE)

    @property
    def is_signed(self) -> bool:
        return not (bytes(self.thoughtSignature) in _UNSIGNED and bytes(self.thought_signature) in _UNSIGNED)


_UNSIGNED = frozenset((b"", b"null", b'""'))


class _Turn(msgspec.Struct):
    role: str | None = None
    parts: list[_Signable] | None = None


_turns = msgspec.json.Decoder(list[_Turn])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_parts = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def _sign_calls(fields: dict[str, msgspec.Raw]) -> None:
    """Of the calls of one turn the first is signed, in whatever content it is. Nothing where it cannot be read."""
    try:
        unsigned = list(_unsigned(_turns.decode(fields["contents"])))
        if not unsigned:
            return
        contents: list[Any] = list(_list.decode(fields["contents"]))
        for place, at in unsigned:
            content = fields_of(bytes(contents[place]))
            parts = _parts.decode(content["parts"])
            parts[at]["thoughtSignature"] = _raw(FOREIGN_CALL)
            parts[at].pop("thought_signature", None)
            contents[place] = {**content, "parts": parts}
    except (KeyError, ValueError, RecursionError):
        return
    fields["contents"] = _raw(contents)


def _unsigned(turns: Sequence[_Turn]) -> Iterator[tuple[int, int]]:
    """(content, part) of each first call that nobody has signed."""
    called = False
    for place, turn in enumerate(turns):
        if turn.role != "model":
            called = False
            continue
        for at, part in enumerate(turn.parts or ()):
            if part.calls and not called:
                called = True
                if not part.is_signed:
                    yield place, at


# Thoughts of others ---------------------------------------------------------------------------------------------------


def cleared(body: bytes, bare: bool) -> Fitted:
    """The request without the signatures that are none of Gemini's; ``bare``: without any, and without any thoughts."""
    if not (_may_think(body) if bare else MARKED.encode() in body):
        return Fitted(body)
    try:
        fields = fields_of(body)
        contents: list[Any] = list(_list.decode(fields["contents"]))
        dropped: list[str] = []
        for place, raw in enumerate(contents):
            content = bytes(raw)
            if _may_think(content) if bare else MARKED.encode() in content:
                contents[place] = _bare(content, bare, f"contents[{place}]", dropped)
    except (KeyError, ValueError, RecursionError):
        return Fitted(body)
    return Fitted(msgspec.json.encode({**fields, "contents": contents}) if dropped else body, tuple(dropped))


def _may_think(body: bytes) -> bool:
    return any(name in body for name in (b'"thoughtSignature"', b'"thought_signature"', b'"thought"'))


def _bare(content: bytes, bare: bool, where: str, dropped: list[str]) -> Any:
    """A content without them. One that has said nothing else keeps a part, for without any it is refused."""
    said = fields_of(content)
    parts = msgspec.json.decode(said["parts"])
    kept: list[Any] = []
    foreign = bare
    for place, part in enumerate(parts):
        if not isinstance(part, dict):
            raise ValueError("a part is no object")
        for name in ("thoughtSignature", "thought_signature"):
            if isinstance(signature := part.get(name), str) and (bare or signature.startswith(MARKED)):
                foreign = True
                dropped.append(f"{where}.parts[{place}].{name}")
                _clear(part, name, None if bare else _own(signature))
        kept.append(part)
    if foreign:
        # They are of whoever signed what came after them.
        dropped += [f"{where}.parts[{place}]" for place, part in enumerate(parts) if part.get("thought") is True]
        kept = [part for part in kept if part.get("thought") is not True]
    kept = [part for part in kept if part not in ({"text": ""}, {})]
    return {**said, "parts": kept or [{"text": " "}]}


def _clear(part: Fields, name: str, own: str | None) -> None:
    if own:
        part[name] = own
    else:
        del part[name]


def _own(signature: str) -> str | None:
    """Gemini's own, where it was packed together with others'."""
    kept = unmarked(signature)
    if kept is None or kept.signature:
        return kept.signature if kept else None
    signed = [thought.signature for thought in kept.thoughts if thought.format == SIGNED]
    return signed[-1] if signed else None


# Whole answers --------------------------------------------------------------------------------------------------------


def read_whole(body: bytes, now: float) -> Whole | Fault:
    """A whole answer, checked: a 200 that holds an error, or nothing readable, is a fault."""
    answer = checked(body, now)
    if isinstance(answer, Fault):
        return answer
    calls: list[CallPart] = []
    signatures: dict[str, str] = {}
    reasons: list[str | None] = [] if answer.candidates else ["content_filter"]
    for place, candidate in enumerate(answer.candidates or ()):
        parts = _parts_in(candidate)
        if fault := came_to_nothing(candidate, any(map(_says, parts))):
            return fault
        calls += (made := _calls(parts, place))
        signatures |= _signatures(parts)
        reasons.append(finish_of(candidate.finish_reason, bool(made)) if candidate.finish_reason else None)
    return Whole(
        usage=usage_of(answer.usage_metadata) if answer.usage_metadata else None,
        finish_reasons=tuple(reasons),
        id=short(answer.response_id),
        model=short(answer.model_version),
        calls=tuple(calls),
        signatures=signatures,
    )


def spoken(body: bytes) -> str:
    """The text of a whole answer's first candidate."""
    try:
        candidates = read_answer(body).candidates
    except (ValueError, RecursionError):
        return ""
    return "".join(text_of(part) for part in _parts_in(candidates[0]) if not part.thought) if candidates else ""


def _parts_in(candidate: Candidate) -> list[AnsweredPart]:
    return (candidate.content and candidate.content.parts) or []


def _says(part: AnsweredPart) -> bool:
    """Something the model said, or did, in whatever way: a part without a text is of another kind."""
    return bool(part.text) or part.text is None


def _calls(parts: Sequence[AnsweredPart], choice: int) -> list[CallPart]:
    """Each is whole. Nothing numbers them over several events: the id tells them apart, or what they say."""
    found = []
    for part in parts:
        if (call := part.function_call) and call.name:
            place = call.id or sha256(b"%b %b" % (call.name.encode(), bytes(call.args))).hexdigest()[:24]
            found.append(
                CallPart(f"{choice}.{place}", short(call.id) or "", short(call.name) or "", arguments_of(call))
            )
    return found


def _signatures(parts: Sequence[AnsweredPart]) -> dict[str, str]:
    """By the calls' ids."""
    called = ((part.function_call, part.thought_signature) for part in parts)
    return {call.id: signature for call, signature in called if call and call.id and signature}


# Stream ---------------------------------------------------------------------------------------------------------------


def glimpse(frame: Frame, now: float) -> Glimpse:
    """One event of the stream: is it output, does it carry a finish reason, usage or an error? Nothing says the end.

    Google tells an error outside of all events: JSON, over some lines.
    """
    data = frame.data if frame.data is not None else frame.raw.strip()
    try:
        answer = read_answer(data)
        if given(answer.error):
            return Glimpse(fault=read_error_object(msgspec.json.decode(answer.error), data, now))
    except (ValueError, RecursionError):
        fault = error_in(data, now)
        return Glimpse(fault=fault) if fault else DAMAGED
    return _seen(answer, data)


def _seen(answer: Answer, data: bytes) -> Glimpse:
    output, text = False, ""
    calls: list[CallPart] = []
    reasons: dict[int, str | None] = {0: "content_filter"} if answer.is_blocked else {}
    for place, candidate in enumerate(answer.candidates or ()):
        choice = place if candidate.index is None else candidate.index
        parts = _parts_in(candidate)
        output = output or any(map(_says, parts))
        calls += (made := _calls(parts, choice))
        if choice == 0:
            text += "".join([text_of(part) for part in parts if not part.thought])
        if candidate.finish_reason in BROKEN and (fault := came_to_nothing(candidate, bool(parts))):
            return Glimpse(fault=fault)
        reasons[choice] = finish_of(candidate.finish_reason, bool(made)) if candidate.finish_reason else None
    return Glimpse(
        output=output,
        text=text,
        tool=bool(calls),
        calls=tuple(calls),
        reasons=reasons,
        usage=usage_of(answer.usage_metadata) if answer.usage_metadata else None,
        id=short(answer.response_id),
        model=short(answer.model_version),
    )


class _PlainPart(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: str
    thought: bool | None = None


class _PlainContent(msgspec.Struct, gc=False):
    parts: tuple[_PlainPart]


class _PlainCandidate(msgspec.Struct, gc=False):
    content: _PlainContent
    index: Literal[0] = 0
    finishReason: None = None


class _PlainAnswer(msgspec.Struct, gc=False):
    """An event that lets the first candidate say something: what fits in here means the same in ``read_answer``."""

    candidates: tuple[_PlainCandidate]
    usageMetadata: Any = None
    modelVersion: str | None = None
    responseId: str | None = None
    promptFeedback: Any = None
    error: None = None


_plain = msgspec.json.Decoder(_PlainAnswer)


def skim(events: Sequence[bytes], calling: bool) -> list[str | None]:
    """Of each event the text it adds to the first candidate, "" for thoughts; None: to be read with care.

    Usage is told again and again, of all so far: the last that is told is read, those before it are not missed.
    """
    read = _plain.decode
    said: list[str | None] = []
    counted = -1
    for place, data in enumerate(events):
        try:
            answer = read(data)
        except (ValueError, RecursionError):
            said.append(None)
            continue
        if answer.usageMetadata is not None:
            counted = place
        part = answer.candidates[0].content.parts[0]
        said.append(None if not part.text else "" if part.thought else part.text)
    if counted >= 0:
        said[counted] = None
    return said


# An answer that is gone on with, or priced ----------------------------------------------------------------------------

_SHARED = ("responseId", "modelVersion", "createTime")
_answer = msgspec.json.Decoder(dict[str, Any])


def _read(data: bytes) -> Fields:
    """Raises ``ValueError`` or ``RecursionError`` when it cannot be mended either."""
    try:
        return _answer.decode(data)
    except ValueError:
        return _answer.decode(mended(data))


def identity(frame: Frame) -> Fields:
    """The fields that all events of one answer share."""
    try:
        answer = _read(frame.data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return {name: answer[name] for name in _SHARED if name in answer}


def restamp(frame: Frame, first: Mapping[str, Any], text: str | None) -> bytes:
    """An event of a continuation, made to belong to the answer it continues.

    ``text`` replaces what the first candidate says where it is given (what was repeated is cut off).
    """
    try:
        answer = _read(frame.data or b"")
    except (ValueError, RecursionError):
        return frame.raw
    answer.update({name: first[name] for name in _SHARED if name in first and name in answer})
    for part in _texts(answer) if text is not None else ():
        part["text"], text = text, ""
    return event(msgspec.json.encode(answer))


def _texts(answer: Fields) -> list[Fields]:
    candidates = answer.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    content = first.get("content") if isinstance(first, dict) else None
    parts = content.get("parts") if isinstance(content, dict) else None
    found = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return [part for part in found if isinstance(part.get("text"), str) and part.get("thought") is not True]


def with_cost(body: bytes, cost: float) -> bytes:
    """An answer, or one event's data, whose ``usageMetadata`` also says ``cost``, in dollars.

    The same object comes back where there is nothing to add to, or where there is a cost already.
    """
    if not (math.isfinite(cost) and cost >= 0):
        return body
    try:
        fields = fields_of(body)
        usage = fields_of(bytes(fields["usageMetadata"]))
    except (KeyError, ValueError, RecursionError):
        return body
    if "cost" in usage:
        return body
    return msgspec.json.encode({**fields, "usageMetadata": {**usage, "cost": cost}})
