"""OpenAI's Responses: https://developers.openai.com/api/docs/api-reference/responses

The requests that are passed on, and our errors, are here; what is read into the hub and written from it, and what is
seen of answers, have modules of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from gateway.chat import Facts, Operation
from gateway.dialects.mending import decoded
from gateway.dialects.openai_chat import decode, fields_of, model_of
from gateway.dialects.openai_chat import rewrite as rewrite_as_chat
from gateway.dialects.openai_seen import short
from gateway.dialects.responses_answer import decode_answer as decode_answer
from gateway.dialects.responses_answer import stream_decoder as stream_decoder
from gateway.dialects.responses_asked import decode_request as decode_request
from gateway.dialects.responses_clearing import cleared as cleared
from gateway.dialects.responses_conversation import conversation as conversation
from gateway.dialects.responses_items import SIGNED as SIGNED
from gateway.dialects.responses_object import response_id, response_object, unasked
from gateway.dialects.responses_planning import noted as noted
from gateway.dialects.responses_planning import planning as planning
from gateway.dialects.responses_planning import prepended as prepended
from gateway.dialects.responses_seen import glimpse as glimpse
from gateway.dialects.responses_seen import read_whole as read_whole
from gateway.dialects.responses_seen import skim as skim
from gateway.dialects.responses_seen import spoken as spoken
from gateway.dialects.responses_seen import with_cost as with_cost
from gateway.dialects.responses_told import encode_answer as encode_answer
from gateway.dialects.responses_told import stream_encoder as stream_encoder
from gateway.dialects.responses_written import encode_request as encode_request
from gateway.dialects.unresumed import continuation as continuation
from gateway.dialects.unresumed import identity as identity
from gateway.dialects.unresumed import restamp as restamp
from gateway.dialects.unresumed import without_usage as without_usage
from gateway.sse import comment, event

NAME = "openai_responses"
OPERATION: Operation = "chat"
FORMAT = NAME
RESUMES = False
CLOSING = b""
KEEPALIVE = comment(b"keep-alive")
REFERS = ("https://", "http://")
"""Of what a vendor is sent: it fetches by itself."""


# Request --------------------------------------------------------------------------------------------------------------


class _Named(msgspec.Struct):
    type: Any = None
    effort: Any = None


class _Text(msgspec.Struct):
    format: _Named | None = None


_ABSENT = msgspec.Raw(b"")


class _Peek(msgspec.Struct):
    """Fields that are only told, and decide nothing, must not make a request fail."""

    model: str | None = None
    stream: bool | None = None
    tools: list[msgspec.Raw] | None = None
    text: msgspec.Raw = _ABSENT
    reasoning: msgspec.Raw = _ABSENT
    max_output_tokens: Any = None
    temperature: Any = None
    top_p: Any = None
    prompt_cache_key: Any = None
    metadata: msgspec.Raw = _ABSENT
    user: Any = None


_peek = msgspec.json.Decoder(_Peek)
_text = msgspec.json.Decoder(_Text)
_named = msgspec.json.Decoder(_Named)
_metadata = msgspec.json.Decoder(dict[str, Any])
_NUMBERS = {"max_output_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p"}


def peek(body: bytes, named: str | None = None) -> Facts:
    """What routing needs, without decoding the conversation; ``named`` is the model when the body names none.

    Raises ``CallerError`` (400).
    """
    asked = decode(_peek, body)
    form = (decoded(_text, asked.text) or _Text()).format
    return Facts(
        operation=OPERATION,
        model=model_of(asked.model, named),
        named=bool(asked.model),
        stream=bool(asked.stream),
        wants_usage=True,
        tools=bool(asked.tools),
        structured=bool(form and form.type not in (None, "text")),
        size=len(body),
        session=_session(asked),
        user=short(asked.user),
        parameters=_parameters(asked),
    )


def _parameters(asked: _Peek) -> dict[str, Any]:
    said = {name: getattr(asked, own) for own, name in _NUMBERS.items()}
    found = {name: value for name, value in said.items() if type(value) in (int, float)}
    if effort := short((decoded(_named, asked.reasoning) or _Named()).effort):
        found["reasoning.level"] = effort
    return found


def _session(asked: _Peek) -> str | None:
    """What the body calls the conversation, for clients that send no header for it."""
    metadata = (decoded(_metadata, asked.metadata) if asked.metadata is not _ABSENT else None) or {}
    named = (asked.prompt_cache_key, metadata.get("user_id"), metadata.get("session_id"), asked.user)
    return next(filter(None, map(short, named)), None)


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    """The same object with the vendor's deltas; every other field keeps its bytes and its place. Usage is always
    told."""
    written = rewrite_as_chat(body, model, rename=rename, drop=drop)
    return written if max_tokens is None else _capped(written, max_tokens, rename)


def _capped(body: bytes, limit: int, rename: Mapping[str, str]) -> bytes:
    fields = fields_of(body)
    name = rename.get("max_output_tokens", "max_output_tokens")
    if name in fields:
        with suppress(ValueError):
            limit = min(limit, msgspec.json.decode(fields[name], type=int))
    return msgspec.json.encode({**fields, name: limit})


# Faults ---------------------------------------------------------------------------------------------------------------


def error_body(error: Mapping[str, Any], status: int = 500) -> bytes:
    return msgspec.json.encode({"error": error})


def error_frame(error: Mapping[str, Any], status: int = 500, place: int = 0) -> bytes:
    """An error after the head has gone: two events, as OpenAI sends them.

    The SDKs raise on the first, for the ``error`` in it; Codex passes over that and acts on the code of the second:
    https://github.com/openai/codex/blob/main/codex-rs/codex-api/src/sse/responses.rs
    """
    said = {name: error.get(name) for name in ("code", "message", "param")}
    first = {"type": "error", "sequence_number": place, **said, "error": error}
    response = response_object(
        id=response_id(str(error.get("request_id") or "")),
        created=0,
        model=str(error.get("model") or ""),
        told=unasked(),
        status="failed",
        error={"code": _code(error, status), "message": error.get("message") or ""},
    )
    second = {"type": "response.failed", "sequence_number": place + 1, "response": response}
    return event(msgspec.json.encode(first), b"error") + event(msgspec.json.encode(second), b"response.failed")


_CODES = frozenset(("context_length_exceeded", "insufficient_quota", "invalid_prompt", "rate_limit_exceeded"))
"""OpenAI's own, by which clients decide whether to ask again."""


def _code(error: Mapping[str, Any], status: int) -> str:
    if (code := error.get("code")) in _CODES:
        return str(code)
    if status == 429:
        return "rate_limit_exceeded"
    return "server_error" if status >= 500 else "invalid_prompt"
