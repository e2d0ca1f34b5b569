"""OpenAI chat completions: https://platform.openai.com/docs/api-reference/chat"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from gateway.chat import LONGEST_NAME, Facts, Operation, Usage
from gateway.dialects.conversation import text_of as text_of
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.glimpse import DAMAGED, FINISHED, CallPart, Glimpse, Whole
from gateway.dialects.mending import mended
from gateway.dialects.money import with_cost as with_cost
from gateway.dialects.openai_answer import encode_answer as encode_answer
from gateway.dialects.openai_answer import stream_encoder as stream_encoder
from gateway.dialects.openai_conversation import conversation as conversation
from gateway.dialects.openai_planning import noted as noted
from gateway.dialects.openai_planning import planning as planning
from gateway.dialects.openai_request import decode_request as decode_request
from gateway.dialects.openai_skim import skim as skim
from gateway.dialects.replaying import remembered
from gateway.dialects.usage import read_usage as read_usage
from gateway.errors import CallerError, Fault, FaultKind
from gateway.sse import Frame, event

NAME = "openai_chat"
OPERATION: Operation = "chat"
T = TypeVar("T")


# Request --------------------------------------------------------------------------------------------------------------


class _StreamOptions(msgspec.Struct):
    include_usage: Any = None


class _Format(msgspec.Struct):
    type: Any = None


_ABSENT = msgspec.Raw(b"")


class _Peek(msgspec.Struct):
    """Fields that are only told, and decide nothing, are looked at later: they must not make a request fail."""

    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[msgspec.Raw] | None = None
    functions: list[msgspec.Raw] | None = None
    response_format: _Format | None = None
    n: int | None = None
    max_tokens: msgspec.Raw = _ABSENT
    max_completion_tokens: msgspec.Raw = _ABSENT
    temperature: msgspec.Raw = _ABSENT
    top_p: msgspec.Raw = _ABSENT
    frequency_penalty: msgspec.Raw = _ABSENT
    presence_penalty: msgspec.Raw = _ABSENT
    seed: msgspec.Raw = _ABSENT
    stop: msgspec.Raw = _ABSENT
    reasoning_effort: msgspec.Raw = _ABSENT
    user: msgspec.Raw = _ABSENT
    prompt_cache_key: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT


_peek = msgspec.json.Decoder(_Peek)


def peek(body: bytes, named: str | None = None) -> Facts:
    """What routing needs, without decoding the conversation; ``named`` is the model when the body names none.

    Raises ``CallerError`` (400).
    """
    asked = decode(_peek, body)
    return Facts(
        operation=OPERATION,
        model=model_of(asked.model, named),
        named=bool(asked.model),
        stream=bool(asked.stream),
        wants_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        tools=bool(asked.tools or asked.functions),
        structured=bool(asked.response_format and asked.response_format.type not in (None, "text")),
        choices=asked.n or 1,
        size=len(body),
        session=_session(asked),
        user=short(_told(asked.user)),
        parameters=_parameters(asked),
    )


# Numbers and words that say how to answer. As many stops as OpenAI takes; longer ones may be content.
_MOST_STOPS, _LONGEST_STOP = 4, 64
_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")
_LONGEST = 256


def _parameters(asked: _Peek) -> dict[str, Any]:
    found: dict[str, Any] = {}
    limit = _told(asked.max_completion_tokens) or _told(asked.max_tokens)
    if isinstance(limit, int):
        found["max_tokens"] = limit
    for name in _NUMBERS:
        if (raw := getattr(asked, name)) is not _ABSENT and isinstance(value := _told(raw), int | float):
            found[name] = value
    if stop := _told(asked.stop):
        stops = stop if isinstance(stop, list) else [stop]
        found["stop_sequences"] = [each[:_LONGEST_STOP] for each in stops[:_MOST_STOPS] if isinstance(each, str)]
    if (asked.n or 1) != 1:
        found["choice.count"] = asked.n
    if effort := short(_told(asked.reasoning_effort)):
        found["reasoning.level"] = effort
    return found


def _told(raw: msgspec.Raw) -> Any:
    """What a field says, or None when it cannot be read."""
    if raw is _ABSENT:
        return None
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None


def _session(asked: _Peek) -> str | None:
    """What the body calls the conversation, for clients that send no header for it."""
    if asked.user is asked.prompt_cache_key is asked.metadata is _ABSENT:
        return None
    metadata = _told(asked.metadata)
    metadata = metadata if isinstance(metadata, dict) else {}
    user = metadata.get("user_id")
    named = (_told(asked.prompt_cache_key), _within(user) or user, metadata.get("session_id"), _told(asked.user))
    return next(filter(None, map(short, named)), None)


def _within(user: Any) -> Any:
    """Claude Code packs device and session into the user's id, as JSON."""
    if isinstance(user, str) and user.startswith("{"):
        with suppress(ValueError, RecursionError):
            packed = msgspec.json.decode(user)
            return packed.get("session_id") if isinstance(packed, dict) else None
    return None


def short(value: Any) -> str | None:
    """A name of bounded length, or None for what is none."""
    return value[:_LONGEST] if isinstance(value, str) and value else None


def model_of(asked: str | None, named: str | None) -> str:
    if not (asked or named):
        raise CallerError(400, "missing_model", "you must provide a model parameter", param="model")
    name = asked or named or ""
    if len(name) > LONGEST_NAME:
        said = f"a model's name has at most {LONGEST_NAME} characters, this one has {len(name)}"
        raise CallerError(400, "invalid_model", said, param="model")
    return name


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The body by a typed decoder, or a ``CallerError`` that says what is wrong with it and where."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        param = where.rstrip("`").lstrip(".") or None
        said = f"{param}: {what}" if param else f"the body must be a JSON object: {what}"
        raise CallerError(400, "invalid_type", said, param=param) from None
    except (ValueError, RecursionError) as error:  # a ValueError too: bytes that are not UTF-8
        raise CallerError(400, "invalid_json", f"the body is not valid JSON: {error}") from None


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_messages = msgspec.json.Decoder(list[msgspec.Raw] | None)


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    """The same object with the vendor's deltas; every other field keeps its bytes and its place."""
    asked = fields_of(body)
    if not (asked.keys().isdisjoint(drop) and asked.keys().isdisjoint(rename)):
        asked = _changed(asked, rename, drop)
    asked["model"] = _raw(model)
    if ask_usage:
        given = bytes(asked.get("stream_options", b""))
        options = fields_of(given) if given.lstrip().startswith(b"{") else {}
        asked["stream_options"] = _raw({**options, "include_usage": True})
    if max_tokens is not None:
        _cap(asked, rename.get("max_completion_tokens", "max_completion_tokens"), max_tokens)
    return msgspec.json.encode(asked)


def _changed(
    fields: Mapping[str, msgspec.Raw], rename: Mapping[str, str], drop: frozenset[str]
) -> dict[str, msgspec.Raw]:
    asked: dict[str, msgspec.Raw] = {}
    for name, value in fields.items():
        new = rename.get(name, name)
        # Said under both names, the vendor's own wins; null says nothing, and many clients send it.
        if name not in drop and (_is_null(asked.get(new)) or (new == name and not _is_null(value))):
            asked[new] = value
    return asked


def fields_of(body: bytes) -> dict[str, msgspec.Raw]:
    """The top level of a request, each value in its own bytes; half characters are mended first."""
    try:
        return _fields.decode(body)
    except UnicodeDecodeError:
        return _fields.decode(mended(body))


def _cap(asked: dict[str, msgspec.Raw], usual: str, limit: int) -> None:
    said = [key for key in ("max_tokens", "max_completion_tokens") if key in asked]
    name = next((key for key in said if not _is_null(asked[key])), said[0] if said else usual)
    with suppress(msgspec.DecodeError):
        limit = min(limit, msgspec.json.decode(asked[name], type=int)) if name in asked else limit
    asked[name] = _raw(limit)


def _is_null(value: msgspec.Raw | None) -> bool:
    """Nothing said, or said to be nothing."""
    return value is None or bytes(value) == b"null"


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """The request with more messages before its own. What cannot be read is left as it is, to be refused later."""
    try:
        fields = fields_of(body)
        own = _messages.decode(fields.get("messages", b"[]")) or []
    except (ValueError, RecursionError):
        return body
    return msgspec.json.encode({**fields, "messages": [*messages, *own]})


def continuation(body: bytes, delivered: str, prefill: Mapping[str, Any] | None) -> bytes:
    """A request that asks another model to go on where a text answer broke off."""
    fields = _fields.decode(body)
    messages: list[Any] = [*(_messages.decode(fields.get("messages", b"[]")) or ())]
    messages.append({"role": "assistant", "content": delivered, **(prefill or {})})
    if prefill is None:
        # Most OpenAI-shaped vendors do not continue an unfinished message by themselves.
        messages.append({"role": "user", "content": GO_ON})
    return msgspec.json.encode({**fields, "messages": messages})


GO_ON = (
    "Your last message was cut off by a technical fault. Continue it from exactly where it stops: begin with the very "
    "next character, repeat nothing of it, add no remark."
)


# Response -------------------------------------------------------------------------------------------------------------


class _WholeChoice(msgspec.Struct):
    finish_reason: Any = None
    message: msgspec.Raw = msgspec.Raw(b"")


class _Answer(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[_WholeChoice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None
    object: Any = None


_answer = msgspec.json.Decoder(_Answer)


def read_whole(body: bytes, now: float) -> Whole | Fault:
    """A whole answer, checked: a 200 that holds an error, or nothing readable, is a fault."""
    try:
        return _read_answer(body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a chat completion: {error}", body)


def _read_answer(body: bytes, now: float) -> Whole | Fault:
    answer = _answer.decode(body)
    if answer.error or (not answer.choices and answer.object == "error"):
        return read_error_object(msgspec.json.decode(body), body, now)
    if isinstance(answer.x_groq, dict) and answer.x_groq.get("error"):
        return read_error_object(answer.x_groq, body, now)
    if answer.choices is None:
        return _flat_error(body, now) or garbled("the answer has no choices", body)
    reasons = [choice.finish_reason for choice in answer.choices]
    if "error" in reasons:
        return garbled("the vendor ended the answer with finish_reason error", body, FaultKind.SERVER_ERROR)
    whole = Whole(
        usage=read_usage(answer.usage),
        finish_reasons=tuple([_reason(reason) for reason in reasons]),
        id=short(answer.id),
        model=short(answer.model),
    )
    return _with_calls(whole, answer.choices) if _may_call(body) else whole


def _with_calls(whole: Whole, choices: Sequence[_WholeChoice]) -> Whole:
    calling = [(place, _object(choice.message)) for place, choice in enumerate(choices) if _may_call(choice.message)]
    return whole._replace(
        calls=tuple(part for place, message in calling for part in _calls(message, place)),
        thoughts=tuple(part for place, message in calling if not place for part in remembered((_wanted(message),))),
    )


def _wanted(message: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in which vendors that want reasoning back have it."""
    return {key: message[key] for key in ("reasoning_content", "reasoning_details") if message.get(key)}


def arguments_of(function: Mapping[str, Any]) -> str:
    """A function's arguments as they were said, or nothing."""
    said = function.get("arguments")
    return said if isinstance(said, str) else ""


def spoken(body: bytes) -> str:
    """The text of a whole answer's first choice."""
    try:
        choices = (_answer.decode(body)).choices or [_WholeChoice()]
    except (ValueError, RecursionError):
        return ""
    return text_of(_object(choices[0].message).get("content"))


def _may_call(said: bytes | msgspec.Raw) -> bool:
    raw = bytes(said)
    return b'"tool_calls"' in raw or b'"function_call"' in raw


def _object(raw: msgspec.Raw) -> dict[str, Any]:
    """Read for a look at it only: what cannot be read is nothing."""
    try:
        said = _read(bytes(raw))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _calls(said: Mapping[str, Any], choice: int) -> list[CallPart]:
    """The tool calls of a message, or the pieces of them in a delta."""
    found = []
    calls = said.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, dict):
            continue
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        index = call.get("index")
        found.append(
            CallPart(
                f"{choice}.{index if isinstance(index, int) else place}",
                short(call.get("id")) or "",
                short(function.get("name")) or "",
                arguments_of(function),
            )
        )
    if isinstance(function := said.get("function_call"), dict) and any(function.values()):
        # The form before tools had ids: https://platform.openai.com/docs/api-reference/chat/object
        found.append(CallPart(f"{choice}.0", "", short(function.get("name")) or "", arguments_of(function)))
    return found


def _flat_error(body: bytes, now: float) -> Fault | None:
    """Some vendors put ``{code, message}`` into a 200."""
    said = msgspec.json.decode(body)
    looks = isinstance(said, dict) and (said.get("message") or said.get("detail"))
    return read_error_object(said, body, now) if looks else None


def _reason(value: Any) -> str | None:
    return value if isinstance(value, str) else None


# Stream ---------------------------------------------------------------------------------------------------------------


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: dict[str, Any] | None = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")
    x_groq: msgspec.Raw = msgspec.Raw(b"")
    object: Any = None
    type: Any = None


_chunk = msgspec.json.Decoder(_Chunk)
# Keys of a delta that are there before the model has said anything.
_SILENT_KEYS = frozenset(("role", "obfuscation"))


def glimpse(frame: Frame, now: float) -> Glimpse:
    """One event of the stream: is it output, is it the end, does it carry usage or an error?"""
    data = frame.data or b""
    if data.strip() == b"[DONE]":
        return FINISHED
    try:
        return _read_chunk(frame, data, now)
    except (ValueError, RecursionError):
        readable = mended(data)
        return DAMAGED if readable == data else glimpse(frame._replace(data=readable), now)


def _read(data: bytes) -> Any:
    """Raises ``ValueError`` or ``RecursionError`` when it cannot be mended either."""
    try:
        return msgspec.json.decode(data)
    except ValueError:
        return msgspec.json.decode(mended(data))


def _read_chunk(frame: Frame, data: bytes, now: float) -> Glimpse:
    try:
        chunk = _chunk.decode(data)
    except msgspec.ValidationError:
        # JSON of a shape we do not know: metadata of some vendor, or an error. Not ours to judge.
        return _odd(frame, data, now)
    if _given(chunk.error) or frame.name == b"error" or chunk.object == "error" or chunk.type == "error":
        return Glimpse(fault=read_error_object(msgspec.json.decode(data), data, now))
    if b'"error"' in bytes(chunk.x_groq) and (inner := _of_groq(chunk)).get("error"):
        return Glimpse(fault=read_error_object(inner, data, now))
    if not chunk.choices:
        if chunk.choices is None and not _given(chunk.usage) and (fault := _status_frame(data, now)):
            return Glimpse(fault=fault)
        return Glimpse(usage=_usage_of(chunk), bare=chunk.choices is not None)
    return _read_choices(chunk, data)


def _read_choices(chunk: _Chunk, data: bytes) -> Glimpse:
    output, tool, text = False, False, ""
    first: Mapping[str, Any] = {}
    calls: list[CallPart] = []
    reasons: dict[int, str | None] = {}
    for choice in chunk.choices or ():
        reasons[choice.index or 0] = _reason(choice.finish_reason)
        delta = choice.delta
        if delta and any(value for key, value in delta.items() if key not in _SILENT_KEYS):
            output = True
            if not choice.index:
                first = delta
            if delta.get("tool_calls") or delta.get("function_call"):
                tool = True
                calls += _calls(delta, choice.index or 0)
            if isinstance(said := delta.get("content"), str):
                text += said
    if "error" in reasons.values():
        return Glimpse(
            fault=garbled("the vendor ended the stream with finish_reason error", data, FaultKind.SERVER_ERROR)
        )
    return Glimpse(
        output=output,
        text=text,
        tool=tool,
        calls=tuple(calls),
        reasons=reasons,
        usage=_usage_of(chunk),
        id=short(chunk.id),
        model=short(chunk.model),
        delta=first,
    )


def _given(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null", b"{}", b"[]", b'""', b"false")


def _of_groq(chunk: _Chunk) -> dict[str, Any]:
    said = msgspec.json.decode(chunk.x_groq)
    return said if isinstance(said, dict) else {}


def _usage_of(chunk: _Chunk) -> Usage | None:
    if _given(chunk.usage):
        return read_usage(msgspec.json.decode(chunk.usage))
    if b'"usage"' in bytes(chunk.x_groq):
        return read_usage(_of_groq(chunk).get("usage"))
    return None


def _odd(frame: Frame, data: bytes, now: float) -> Glimpse:
    said = msgspec.json.decode(data)
    if not isinstance(said, dict):
        return DAMAGED
    if said.get("error") or frame.name == b"error":
        return Glimpse(fault=read_error_object(said, data, now))
    return Glimpse(output=bool(said.get("choices")))


def _status_frame(data: bytes, now: float) -> Fault | None:
    """``{"status": 503, "message": …}``, ``{"detail": …}`` or Snowflake's ``{"code", "message"}`` for a chunk."""
    said = msgspec.json.decode(data)
    codes = [said.get(key) for key in ("status", "statusCode", "status_code", "code")]
    is_status = any(isinstance(code, int) and 400 <= code < 600 for code in codes)
    if is_status or said.get("detail") or (said.get("message") and said.get("code")):
        return read_error_object(said, data, now)
    return None


NO_USAGE = b',"usage":null}'
"""As OpenAI ends every event but the last of a stream whose usage is asked for."""


def without_usage(frame: Frame) -> bytes:
    """The event without its ``usage``, null or not, for a client that did not ask for it."""
    data = frame.data or b""
    if data.endswith(NO_USAGE) and data.count(b'"usage"') == 1:
        return event(data[: -len(NO_USAGE)] + b"}")
    try:
        fields = _fields.decode(data)
    except ValueError:
        return frame.raw
    if fields.pop("usage", None) is None:
        return frame.raw
    return event(msgspec.json.encode(fields), frame.name)


def restamp(frame: Frame, first: Mapping[str, Any], text: str | None) -> bytes:
    """An event of a continuation, made to belong to the answer it continues: its id, its model, no second role.

    ``text`` replaces the content of the first choice where it is given (what was repeated is cut off).
    """
    try:
        chunk: dict[str, Any] = _read(frame.data or b"")
    except (ValueError, RecursionError):
        # Read well enough to be passed on, not to be written anew (a number such as 1e999).
        return frame.raw
    chunk.update(
        {key: first[key] for key in ("id", "created", "model", "system_fingerprint") if key in first and key in chunk}
    )
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict):
            delta.pop("role", None)
            if text is not None and "content" in delta:
                delta["content"] = text
    return event(msgspec.json.encode(chunk))


def identity(frame: Frame) -> dict[str, Any]:
    """The fields all events of one answer share."""
    try:
        chunk = _read(frame.data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return {key: chunk[key] for key in ("id", "created", "model", "system_fingerprint") if key in chunk}


# Faults ---------------------------------------------------------------------------------------------------------------


def error_body(error: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"error": error})


def error_frame(error: Mapping[str, Any]) -> bytes:
    """An error after the head has gone: an event the OpenAI SDKs raise on. No ``[DONE]`` follows."""
    return event(error_body(error))
