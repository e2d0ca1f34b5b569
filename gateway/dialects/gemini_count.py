"""Counting the tokens of contents, or of a whole request within ``generateContentRequest``: https://ai.google.dev/api/tokens"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import ChatRequest, Facts, Operation
from gateway.dialects import gemini as chat
from gateway.dialects.conversation import Conversation
from gateway.dialects.count_words import as_count, read_count
from gateway.dialects.gemini import error_body as error_body
from gateway.dialects.gemini import error_frame as error_frame
from gateway.dialects.glimpse import Whole
from gateway.dialects.openai_chat import fields_of
from gateway.dialects.replaying import Fitted
from gateway.dialects.unresumed import continuation as continuation
from gateway.dialects.unresumed import identity as identity
from gateway.dialects.unresumed import restamp as restamp
from gateway.dialects.unresumed import without_usage as without_usage
from gateway.dialects.unstreamed import CLOSING as CLOSING
from gateway.dialects.unstreamed import KEEPALIVE as KEEPALIVE
from gateway.dialects.unstreamed import glimpse as glimpse
from gateway.dialects.unstreamed import planning as planning
from gateway.dialects.unstreamed import skim as skim
from gateway.dialects.unstreamed import spoken as spoken
from gateway.dialects.unstreamed import with_cost as with_cost
from gateway.errors import Fault

NAME = "gemini_count"
OPERATION: Operation = "count_tokens"
FORMAT = chat.NAME
RESUMES = False

_WITHIN = ("generateContentRequest", "generate_content_request")


def peek(body: bytes, named: str | None = None) -> Facts:
    """Raises ``CallerError`` (400)."""
    asked = within(body)
    model = named or _model_of(asked)
    return as_count(chat.peek(asked, model))


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    """Contents as they are; with anything beside them they have to be within a request, which names its model."""
    asked = fields_of(body)
    if not asked.keys() - {"contents"}:
        return body
    resource = model if "/" in model else f"models/{model}"
    return msgspec.json.encode({_WITHIN[0]: {**fields_of(within(body)), "model": resource}})


def cleared(body: bytes, bare: bool) -> Fitted:
    asked = within(body)
    fitted = chat.cleared(asked, bare)
    return fitted._replace(body=body if fitted.body is asked else fitted.body)


def conversation(body: bytes) -> Conversation:
    return chat.conversation(within(body))


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    return chat.prepended(within(body), messages)


def noted(body: bytes, note: str) -> bytes | None:
    return chat.noted(within(body), note)


def read_whole(body: bytes, now: float) -> Whole | Fault:
    """Of a count no usage is told: nothing was used."""
    tokens = read_count(body, "totalTokens", now)
    return tokens if isinstance(tokens, Fault) else Whole()


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``CallerError`` (400)."""
    return chat.decode_request(within(body))


def count_body(tokens: int) -> bytes:
    return msgspec.json.encode({"totalTokens": tokens})


def within(body: bytes) -> bytes:
    """The request to be counted; the body itself where that is one, or cannot be read."""
    if not any(name.encode() in body for name in _WITHIN):
        return body
    try:
        asked = fields_of(body)
    except (ValueError, RecursionError):
        return body
    found = next((asked[name] for name in _WITHIN if name in asked), None)
    return bytes(found) if found is not None and bytes(found).startswith(b"{") else body


def _model_of(asked: bytes) -> str | None:
    try:
        said = _named.decode(asked).model
    except (ValueError, RecursionError):
        return None
    return said.removeprefix("models/") if isinstance(said, str) else None


class _Named(msgspec.Struct):
    model: Any = None


_named = msgspec.json.Decoder(_Named)
