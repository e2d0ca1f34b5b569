"""Ollama's embeddings (``/api/embed``): https://docs.ollama.com/api/embed. ``ollama_embedding`` is the older call."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.chat import Encoded, Facts, Operation, Usage
from gateway.dialects import embedding_words as words
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.fields import flag, object_of, string
from gateway.dialects.glimpse import Whole
from gateway.dialects.ollama_chat import error_body as error_body
from gateway.dialects.ollama_chat import error_frame as error_frame
from gateway.dialects.openai_chat import decode, model_of, short
from gateway.dialects.openai_embeddings import rewrite as rewrite
from gateway.dialects.unresumed import continuation as continuation
from gateway.dialects.unresumed import identity as identity
from gateway.dialects.unresumed import restamp as restamp
from gateway.dialects.unresumed import without_usage as without_usage
from gateway.dialects.unstreamed import CLOSING as CLOSING
from gateway.dialects.unstreamed import KEEPALIVE as KEEPALIVE
from gateway.dialects.unstreamed import cleared as cleared
from gateway.dialects.unstreamed import conversation as conversation
from gateway.dialects.unstreamed import glimpse as glimpse
from gateway.dialects.unstreamed import noted as noted
from gateway.dialects.unstreamed import planning as planning
from gateway.dialects.unstreamed import prepended as prepended
from gateway.dialects.unstreamed import skim as skim
from gateway.dialects.unstreamed import spoken as spoken
from gateway.dialects.unstreamed import with_cost as with_cost
from gateway.dialects.usage import count
from gateway.embedding import EmbeddingRequest, EmbeddingResponse
from gateway.errors import CallerError, Fault

NAME = "ollama_embeddings"
OPERATION: Operation = "embeddings"
FORMAT = NAME
RESUMES = False
REFERS = ()

# Passing through ------------------------------------------------------------------------------------------------------


class _Peek(msgspec.Struct):
    model: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"")
    prompt: msgspec.Raw = msgspec.Raw(b"")


_peek = msgspec.json.Decoder(_Peek)


def peek(body: bytes, named: str | None = None) -> Facts:
    """Raises ``CallerError`` (400)."""
    asked = decode(_peek, body)
    if not asked.input and not asked.prompt:
        raise CallerError(400, "missing_input", "there is nothing to embed: input is missing", param="input")
    # What has no tag is the latest, and is known here without.
    model = model_of(asked.model, named).removesuffix(":latest")
    return Facts(operation=OPERATION, model=model, named=bool(asked.model), size=len(body))


class _Answer(msgspec.Struct):
    model: Any = None
    embeddings: list[list[float]] | None = None
    prompt_eval_count: Any = None
    error: Any = None


_answer = msgspec.json.Decoder(_Answer)


def read_whole(body: bytes, now: float) -> Whole | Fault:
    read = decode_answer(body, now)
    return read if isinstance(read, Fault) else Whole(usage=read.usage, model=read.model or None)


# The client's side ----------------------------------------------------------------------------------------------------


def decode_request(body: bytes) -> EmbeddingRequest:
    """Raises ``CallerError`` (400)."""
    said = object_of(body)
    name = "input" if "input" in said else "prompt"
    return EmbeddingRequest(
        model=string(said, "model") or "",
        inputs=words.counted(words.texts(said.get(name), name), name),
        dimensions=words.dimensions(said),
        truncate=flag(said, "truncate"),
        extra=words.beyond(said, ("model", name, "dimensions", "truncate")),
        places=f"{name}[{{}}]",
    )


def encode_answer(answer: EmbeddingResponse, *, id: str, model: str, created: int, asked: bytes) -> bytes:
    """Times are of the server's own work, in nanoseconds; what it was is not known."""
    counted = {"prompt_eval_count": answer.usage.input_tokens} if answer.usage else {}
    said = {"model": model, "embeddings": answer.vectors, "total_duration": 0, "load_duration": 0, **counted}
    return msgspec.json.encode(said)


# The vendor's side ----------------------------------------------------------------------------------------------------

_OWN = ("keep_alive", "options")


def encode_request(request: EmbeddingRequest) -> Encoded:
    """Raises ``CallerError`` (400) for what is not text."""
    body: dict[str, Any] = {"model": request.model, "input": words.plain_texts(request, "Ollama")}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.truncate is not None:
        body["truncate"] = request.truncate
    body |= words.known(request.extra, _OWN)
    dropped = request.said("purpose", "title", "user")
    return Encoded(body=body, dropped=(*dropped, *words.unknown(request.extra, _OWN)))


def decode_answer(body: bytes, now: float) -> EmbeddingResponse | Fault:
    try:
        said = _answer.decode(body)
        if said.error:
            return read_error_object({"error": said.error}, body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not one of Ollama's embeddings: {error}", body)
    tokens = count(said.prompt_eval_count)
    usage = Usage(input_tokens=tokens) if tokens else None
    return words.answer(said.embeddings, body, usage=usage, model=short(said.model) or "")
