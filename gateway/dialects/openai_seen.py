"""What is seen of OpenAI-shaped answers without reading them into the hub: calls, usage, reasons, errors, the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import FinishReason, Usage
from gateway.dialects.conversation import text_of
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.glimpse import DAMAGED, FINISHED, CallPart, Glimpse, Whole
from gateway.dialects.mending import mended
from gateway.dialects.replaying import remembered
from gateway.dialects.usage import read_usage
from gateway.errors import Fault, FaultKind
from gateway.sse import Frame

_LONGEST = 256


def short(value: Any) -> str | None:
    """A name of bounded length, or None for what is none."""
    return value[:_LONGEST] if isinstance(value, str) and value else None


# Whole answers --------------------------------------------------------------------------------------------------------


class WholeChoice(msgspec.Struct):
    finish_reason: Any = None
    message: msgspec.Raw = msgspec.Raw(b"")
    logprobs: msgspec.Raw = msgspec.Raw(b"")


class Answer(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[WholeChoice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None
    object: Any = None


answer_decoder = msgspec.json.Decoder(Answer)


def read_whole(body: bytes, now: float) -> Whole | Fault:
    """A whole answer, checked: a 200 that holds an error, or nothing readable, is a fault."""
    try:
        return _read_answer(body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a chat completion: {error}", body)


def _read_answer(body: bytes, now: float) -> Whole | Fault:
    answer = answer_decoder.decode(body)
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
        finish_reasons=tuple([reason_of(reason, False) for reason in reasons]),
        id=short(answer.id),
        model=short(answer.model),
    )
    return _with_calls(whole, answer.choices) if _may_call(body) else whole


def _with_calls(whole: Whole, choices: Sequence[WholeChoice]) -> Whole:
    messages = {place: object_in(each.message) for place, each in enumerate(choices) if _may_call(each.message)}
    calls = {place: _calls(message, place) for place, message in messages.items()}
    first = messages.get(0)
    return whole._replace(
        finish_reasons=tuple([reason_of(one.finish_reason, bool(calls.get(at))) for at, one in enumerate(choices)]),
        calls=tuple(part for parts in calls.values() for part in parts),
        thoughts=tuple(remembered((_wanted(first),))) if first is not None else (),
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
        choices = (answer_decoder.decode(body)).choices or [WholeChoice()]
    except (ValueError, RecursionError):
        return ""
    return text_of(object_in(choices[0].message).get("content"))


def _may_call(said: bytes | msgspec.Raw) -> bool:
    raw = bytes(said)
    return b'"tool_calls"' in raw or b'"function_call"' in raw


def object_in(raw: msgspec.Raw) -> dict[str, Any]:
    """Read for a look at it only: what cannot be read is nothing."""
    try:
        said = loosely_read(bytes(raw))
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


REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    # OpenAI, before there were tools.
    "function_call": "tool_calls",
    # Mistral, and vLLM's servers.
    "model_length": "length",
    "abort": "error",
    # Anthropic's and Gemini's words, which some gateways keep.
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    # Z.ai: https://docs.z.ai/api-reference/llm/chat-completion
    "sensitive": "content_filter",
    "network_error": "error",
    # DeepSeek: https://api-docs.deepseek.com/api/create-chat-completion
    "insufficient_system_resource": "error",
}
"""Whatever else a vendor says is an end like any other: ``eos``, ``end_turn``, ``COMPLETE``."""


def reason_of(said: Any, called: bool) -> FinishReason | None:
    """Why a choice ended, in the hub's words; None for null and "", which are no reason yet."""
    if not isinstance(said, str) or not said:
        return None
    reason = REASONS.get(said.lower(), "stop")
    # Clients look for calls by this word; with a tool that was forced OpenAI itself says stop.
    return "tool_calls" if called and reason == "stop" else reason


# Stream ---------------------------------------------------------------------------------------------------------------


class ChunkChoice(msgspec.Struct):
    index: int | None = 0
    delta: dict[str, Any] | None = None
    finish_reason: Any = None


class Chunk(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[ChunkChoice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")
    x_groq: msgspec.Raw = msgspec.Raw(b"")
    object: Any = None
    type: Any = None


chunk_decoder = msgspec.json.Decoder(Chunk)
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


def loosely_read(data: bytes) -> Any:
    """Raises ``ValueError`` or ``RecursionError`` when it cannot be mended either."""
    try:
        return msgspec.json.decode(data)
    except ValueError:
        return msgspec.json.decode(mended(data))


def _read_chunk(frame: Frame, data: bytes, now: float) -> Glimpse:
    try:
        chunk = chunk_decoder.decode(data)
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


def _read_choices(chunk: Chunk, data: bytes) -> Glimpse:
    output, tool, text = False, False, ""
    first: Mapping[str, Any] = {}
    calls: list[CallPart] = []
    reasons: dict[int, str | None] = {}
    if any(choice.finish_reason == "error" for choice in chunk.choices or ()):
        return Glimpse(
            fault=garbled("the vendor ended the stream with finish_reason error", data, FaultKind.SERVER_ERROR)
        )
    for choice in chunk.choices or ():
        reasons[choice.index or 0] = reason_of(choice.finish_reason, False)
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


def _of_groq(chunk: Chunk) -> dict[str, Any]:
    said = msgspec.json.decode(chunk.x_groq)
    return said if isinstance(said, dict) else {}


def _usage_of(chunk: Chunk) -> Usage | None:
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
