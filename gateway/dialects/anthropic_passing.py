"""Anthropic's Messages on their way through: what is looked at, and the little that is changed.

https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from gateway.chat import Facts, Operation
from gateway.dialects import openai_chat
from gateway.dialects.anthropic_answer import (
    THOUGHTS,
    Answer,
    Block,
    Event,
    answers,
    counted,
    events,
    reason_of,
)
from gateway.dialects.anthropic_clearing import with_legal_ids
from gateway.dialects.anthropic_names import user_of
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.glimpse import DAMAGED, FINISHED, CallPart, Glimpse, Whole
from gateway.dialects.mending import decoded, mended
from gateway.dialects.openai_chat import decode, model_of, short
from gateway.errors import Fault
from gateway.sse import Frame
from gateway.sse import event as framed

OPERATION: Operation = "chat"
RESUMES = False
CLOSING = framed(b'{"type":"message_stop"}', b"message_stop")
# Anthropic's own, and passed over by its SDKs before they look at what came before it:
# https://platform.claude.com/docs/en/build-with-claude/streaming#ping-events
KEEPALIVE = framed(b'{"type":"ping"}', b"ping")


# Request --------------------------------------------------------------------------------------------------------------


class _Config(msgspec.Struct):
    format: msgspec.Raw = msgspec.Raw(b"")
    effort: Any = None


class _Metadata(msgspec.Struct):
    user_id: Any = None


class _Peek(msgspec.Struct):
    """Fields that are only told, and decide nothing, must not make a request fail."""

    model: str | None = None
    stream: bool | None = None
    tools: list[msgspec.Raw] | None = None
    output_config: msgspec.Raw = msgspec.Raw(b"")
    output_format: msgspec.Raw = msgspec.Raw(b"")
    metadata: msgspec.Raw = msgspec.Raw(b"")
    max_tokens: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    stop_sequences: Any = None


_peek = msgspec.json.Decoder(_Peek)
_config = msgspec.json.Decoder(_Config)
_metadata = msgspec.json.Decoder(_Metadata)
_NOTHING = (b"", b"null")


def peek(body: bytes, named: str | None = None) -> Facts:
    """What routing needs, without decoding the conversation; ``named`` is the model when the body names none.

    Raises ``CallerError`` (400).
    """
    asked = decode(_peek, body)
    config = decoded(_config, asked.output_config) or _Config()
    user, session = user_of((decoded(_metadata, asked.metadata) or _Metadata()).user_id)
    return Facts(
        operation=OPERATION,
        model=model_of(asked.model, named),
        named=bool(asked.model),
        stream=bool(asked.stream),
        wants_usage=True,
        tools=bool(asked.tools),
        structured=any(bytes(each) not in _NOTHING for each in (config.format, asked.output_format)),
        size=len(body),
        session=short(session),
        user=short(user),
        parameters=_parameters(asked, config),
    )


_MOST_STOPS, _LONGEST_STOP = 4, 64


def _parameters(asked: _Peek, config: _Config) -> dict[str, Any]:
    numbers = {name: getattr(asked, name) for name in ("max_tokens", "temperature", "top_p", "top_k")}
    found: dict[str, Any] = {name: value for name, value in numbers.items() if _is_number(value)}
    if isinstance(stops := asked.stop_sequences, list) and stops:
        found["stop_sequences"] = [each[:_LONGEST_STOP] for each in stops[:_MOST_STOPS] if isinstance(each, str)]
    if effort := short(config.effort):
        found["reasoning.level"] = effort
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    """The same object with the vendor's deltas; every other field keeps its bytes and its place.

    Claude refuses ids of calls that others give; those who speak as Anthropic does know their own again.
    """
    if "claude" in model.lower():
        body = with_legal_ids(body)
    renamed = {"max_completion_tokens": "max_tokens", **rename} if max_tokens is not None else rename
    return openai_chat.rewrite(body, model, rename=renamed, drop=drop, max_tokens=max_tokens)


# Response -------------------------------------------------------------------------------------------------------------


def read_whole(body: bytes, now: float) -> Whole | Fault:
    """A whole answer, checked: a 200 that holds an error, or nothing readable, is a fault."""
    try:
        answer = answers.decode(body)
        if answer.content is None or answer.type == "error":
            if answer.type == "error" or bytes(answer.error) not in _NOTHING:
                return read_error_object(msgspec.json.decode(body), body, now)
            return garbled("the answer has no content", body)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a message: {error}", body)
    calls = [block for block in answer.content if block.type == "tool_use"]
    return Whole(
        usage=counted(answer.usage) if answer.usage else None,
        finish_reasons=(reason_of(answer.stop_reason, bool(calls)),),
        id=short(answer.id),
        model=short(answer.model),
        calls=tuple(
            CallPart(f"0.{place}", short(call.id) or "", short(call.name) or "", _input_of(call))
            for place, call in enumerate(calls)
        ),
    )


def spoken(body: bytes) -> str:
    """The text of a whole answer."""
    try:
        content = answers.decode(body).content or []
    except (ValueError, RecursionError):
        return ""
    return "".join(block.text or "" for block in content if block.type == "text")


def _input_of(block: Block) -> str:
    """The input of a call; nothing where it has only begun."""
    said = bytes(block.input).decode(errors="replace").strip()
    return "" if said == "null" else said


# Stream ---------------------------------------------------------------------------------------------------------------


class _PlainDelta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text_delta", "thinking_delta", "input_json_delta"]
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _PlainEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event that lets a block say more, and does nothing else."""

    type: Literal["content_block_delta"]
    index: int
    delta: _PlainDelta


_plain = msgspec.json.Decoder(_PlainEvent)


def skim(events: Sequence[bytes], calling: bool) -> list[str | None]:
    """Of each event the text it adds, "" for thoughts and the like; None: to be read with care."""
    return [_skimmed(data, calling) for data in events]


def _skimmed(data: bytes, calling: bool) -> str | None:
    try:
        delta = _plain.decode(data).delta
    except (ValueError, RecursionError):
        return None
    if delta.type == "text_delta":
        return delta.text or None
    if delta.type == "thinking_delta":
        return "" if delta.thinking else None
    return "" if calling and delta.partial_json else None


def glimpse(frame: Frame, now: float) -> Glimpse:
    """One event of the stream: is it output, is it the end, does it carry usage or an error?"""
    data = frame.data or b""
    if data == b"[DONE]":
        # Compatible vendors close as OpenAI does, some in the place of message_stop and some after it.
        return Glimpse()
    try:
        return _glimpsed(frame, data, now)
    except (ValueError, RecursionError):
        readable = mended(data)
        return DAMAGED if readable == data else glimpse(frame._replace(data=readable), now)


def _glimpsed(frame: Frame, data: bytes, now: float) -> Glimpse:
    try:
        event = events.decode(data)
    except msgspec.ValidationError:
        # JSON of a shape we do not know. Not ours to judge, unless it is an error.
        return _failed(data, now) if b'"error"' in data or frame.name == b"error" else _odd(data)
    match event.type or frame.name.decode(errors="replace"):
        case "content_block_delta":
            return _delta(event)
        case "content_block_start":
            return _start(event)
        case "message_start":
            message = event.message or Answer()
            usage = counted(message.usage) if message.usage else None
            return Glimpse(usage=usage, id=short(message.id), model=short(message.model))
        case "message_delta":
            reason = event.delta.stop_reason if event.delta else None
            usage = counted(event.usage) if event.usage else None
            return Glimpse(reasons={0: reason_of(reason, False)} if reason else {}, usage=usage)
        case "message_stop":
            return FINISHED
        case "content_block_stop" | "ping":
            return Glimpse()
    return _failed(data, now) if b'"error"' in data or frame.name == b"error" else Glimpse()


def _delta(event: Event) -> Glimpse:
    delta = event.delta
    if delta is None:
        return Glimpse()
    if delta.type == "text_delta":
        return Glimpse(output=bool(delta.text), text=delta.text or "")
    if delta.type == "input_json_delta":
        # Of a tool that runs at the vendor, too: what has not begun as a call is none.
        said = delta.partial_json or ""
        return Glimpse(output=bool(said), calls=(CallPart(f"0.{event.index}", arguments=said),))
    return Glimpse(output=True)


def _start(event: Event) -> Glimpse:
    block = event.content_block or Block()
    if block.type == "text":
        return Glimpse(output=bool(block.text), text=block.text or "")
    if block.type == "tool_use":
        begun = _input_of(block)
        call = CallPart(
            f"0.{event.index}", short(block.id) or "", short(block.name) or "", "" if begun == "{}" else begun
        )
        return Glimpse(output=True, tool=True, calls=(call,))
    return Glimpse(output=bool(block.thinking or block.data or block.type not in THOUGHTS))


def _odd(data: bytes) -> Glimpse:
    return Glimpse() if isinstance(msgspec.json.decode(data), dict) else DAMAGED


def _failed(data: bytes, now: float) -> Glimpse:
    said = msgspec.json.decode(data)
    if isinstance(said, dict) and (said.get("error") or said.get("type") == "error"):
        return Glimpse(fault=read_error_object(said, data, now))
    return Glimpse()


# Faults ---------------------------------------------------------------------------------------------------------------

_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""https://platform.claude.com/docs/en/api/errors"""

_TOO_LONG = "prompt is too long"


def error_body(error: Mapping[str, Any], status: int = 500) -> bytes:
    return msgspec.json.encode(_error(error, status))


def error_frame(error: Mapping[str, Any], status: int = 500, place: int = 0) -> bytes:
    """An error after the head has gone. No ``message_stop`` follows."""
    return framed(error_body(error, status), b"error")


def _error(error: Mapping[str, Any], status: int) -> dict[str, Any]:
    """Ours in Anthropic's shape: the type is one of its words, our other fields stand beside it."""
    code, message = error.get("code"), str(error.get("message") or "")
    if code == "context_length_exceeded" and _TOO_LONG not in message.lower():
        # Claude Code compacts the conversation when it reads these words.
        message = f"{_TOO_LONG}: {message}"
    beside = {name: value for name, value in error.items() if name not in ("type", "message", "request_id")}
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    said = {"type": kind, "message": message, **beside}
    if code:
        # Where Anthropic has its own codes: SDKs tell errors of one status apart by it.
        said["details"] = {"error_code": code}
    return {"type": "error", "error": said, "request_id": error.get("request_id")}
