"""OpenAI chat completions: https://platform.openai.com/docs/api-reference/chat"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from gateway.chat import LONGEST_NAME, Facts, Operation
from gateway.dialects.conversation import text_of as text_of
from gateway.dialects.mending import mended
from gateway.dialects.money import with_cost as with_cost
from gateway.dialects.openai_answer import encode_answer as encode_answer
from gateway.dialects.openai_answer import stream_encoder as stream_encoder
from gateway.dialects.openai_conversation import conversation as conversation
from gateway.dialects.openai_planning import noted as noted
from gateway.dialects.openai_planning import planning as planning
from gateway.dialects.openai_reading import decode_answer as decode_answer
from gateway.dialects.openai_reading import stream_decoder as stream_decoder
from gateway.dialects.openai_request import decode_request as decode_request
from gateway.dialects.openai_seen import glimpse as glimpse
from gateway.dialects.openai_seen import loosely_read
from gateway.dialects.openai_seen import read_whole as read_whole
from gateway.dialects.openai_seen import short as short
from gateway.dialects.openai_seen import spoken as spoken
from gateway.dialects.openai_skim import skim as skim
from gateway.dialects.openai_written import encode_request as encode_request
from gateway.dialects.replaying import Fitted
from gateway.dialects.usage import read_usage as read_usage
from gateway.errors import CallerError
from gateway.sse import DONE, Frame, comment, event

NAME = "openai_chat"
OPERATION: Operation = "chat"
FORMAT = NAME
RESUMES = True
CLOSING = DONE
KEEPALIVE = comment(b"keep-alive")
SIGNED: str | None = None
"""Nobody signs in OpenAI's own chat: thoughts go back as text, others' signed ones in OpenRouter's words beside it."""
REFERS = ("https://", "http://")
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


def cleared(body: bytes, bare: bool) -> Fitted:
    """Nothing: whose thoughts go where is told by the vendors' rows, as keys of messages."""
    return Fitted(body)


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
    fields = fields_of(body)
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


# Response: events of a stream, changed on their way -------------------------------------------------------------------

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
        chunk: dict[str, Any] = loosely_read(frame.data or b"")
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
        chunk = loosely_read(frame.data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return {key: chunk[key] for key in ("id", "created", "model", "system_fingerprint") if key in chunk}


# Faults ---------------------------------------------------------------------------------------------------------------


def error_body(error: Mapping[str, Any], status: int = 500) -> bytes:
    return msgspec.json.encode({"error": error})


def error_frame(error: Mapping[str, Any], status: int = 500, place: int = 0) -> bytes:
    """An error after the head has gone: an event the OpenAI SDKs raise on. No ``[DONE]`` follows."""
    return event(error_body(error))
