"""OpenAI embeddings, passed through: https://platform.openai.com/docs/api-reference/embeddings"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import Facts, Operation
from gateway.dialects.conversation import NO_CONVERSATION, Conversation
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.glimpse import Whole
from gateway.dialects.money import with_cost as with_cost
from gateway.dialects.openai_chat import decode, model_of, read_usage, short
from gateway.dialects.openai_chat import error_body as error_body
from gateway.dialects.openai_chat import error_frame as error_frame
from gateway.dialects.openai_chat import glimpse as glimpse
from gateway.dialects.openai_chat import rewrite as rewrite
from gateway.dialects.openai_skim import skim as skim
from gateway.errors import CallerError, Fault

NAME = "openai_embeddings"
OPERATION: Operation = "embeddings"


class _Peek(msgspec.Struct):
    model: str | None = None
    user: Any = None
    input: msgspec.Raw = msgspec.Raw(b"")


class _Answer(msgspec.Struct):
    model: Any = None
    data: list[msgspec.Raw] | None = None
    usage: Any = None
    error: Any = None


_peek = msgspec.json.Decoder(_Peek)
_answer = msgspec.json.Decoder(_Answer)


def peek(body: bytes, named: str | None = None) -> Facts:
    """Raises ``CallerError`` (400)."""
    asked = decode(_peek, body)
    if not asked.input:
        raise CallerError(400, "missing_input", "you must provide an input parameter", param="input")
    return Facts(
        operation=OPERATION,
        model=model_of(asked.model, named),
        named=bool(asked.model),
        size=len(body),
        session=short(asked.user),
        user=short(asked.user),
    )


def conversation(body: bytes) -> Conversation:
    return NO_CONVERSATION


def read_whole(body: bytes, now: float) -> Whole | Fault:
    try:
        answer = _answer.decode(body)
        if answer.error:
            return read_error_object(msgspec.json.decode(body), body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a list of embeddings: {error}", body)
    if answer.data is None:
        return garbled("the answer has no data", body)
    return Whole(usage=read_usage(answer.usage), model=short(answer.model))


def spoken(body: bytes) -> str:
    return ""


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """Embeddings have no messages: the request stays as it is."""
    return body


def planning(body: bytes, instructions: str, request: str) -> bytes | None:
    """Nothing in them can be planned."""
    return None


def noted(body: bytes, note: str) -> bytes | None:
    return None
