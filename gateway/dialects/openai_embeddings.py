"""OpenAI's embeddings, which most vendors follow: https://platform.openai.com/docs/api-reference/embeddings"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.chat import Blob, Encoded, Facts, Operation, Text, Uri
from gateway.dialects import embedding_words as words
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.fields import object_of, string
from gateway.dialects.glimpse import Whole
from gateway.dialects.money import with_cost as with_cost
from gateway.dialects.openai_chat import decode, model_of, read_usage, short
from gateway.dialects.openai_chat import error_body as error_body
from gateway.dialects.openai_chat import error_frame as error_frame
from gateway.dialects.openai_chat import rewrite as rewritten
from gateway.dialects.openai_parts import wrong
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
from gateway.embedding import EmbeddingRequest, EmbeddingResponse, Input, Mixed, Tokens
from gateway.errors import CallerError, Fault

NAME = "openai_embeddings"
OPERATION: Operation = "embeddings"
FORMAT = NAME
RESUMES = False
REFERS = ()

# Passing through ------------------------------------------------------------------------------------------------------


class _Peek(msgspec.Struct):
    model: str | None = None
    user: Any = None
    input: msgspec.Raw = msgspec.Raw(b"")


class _Item(msgspec.Struct):
    embedding: Any = None
    index: Any = None


class _Answer(msgspec.Struct):
    id: Any = None
    model: Any = None
    data: list[msgspec.Raw] | None = None
    usage: Any = None
    error: Any = None


_peek = msgspec.json.Decoder(_Peek)
_answer = msgspec.json.Decoder(_Answer)
_item = msgspec.json.Decoder(_Item)


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


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    """Without a limit of tokens: nothing is generated."""
    return rewritten(body, model, rename=rename, drop=drop)


def read_whole(body: bytes, now: float) -> Whole | Fault:
    answer = _checked(body, now)
    if isinstance(answer, Fault):
        return answer
    return Whole(usage=read_usage(answer.usage), model=short(answer.model))


def _checked(body: bytes, now: float) -> _Answer | Fault:
    try:
        answer = _answer.decode(body)
        if answer.error:
            return read_error_object(msgspec.json.decode(body), body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a list of embeddings: {error}", body)
    if answer.data is None:
        return garbled("the answer has no data", body)
    return answer


# The client's side ----------------------------------------------------------------------------------------------------

# Beside OpenAI's own: what its clients send to Voyage, NVIDIA, Cohere and Google by way of it.
_PURPOSES = ("input_type", "task_type")
# The encoding is the answer's: it is read there.
_READ = ("model", "input", "dimensions", "user", "encoding_format")


def decode_request(body: bytes) -> EmbeddingRequest:
    """Raises ``CallerError`` (400)."""
    said = object_of(body)
    told = next((name for name in _PURPOSES if words.purpose_of(said.get(name))), "")
    truncate = said.get("truncate")
    read = [*_READ, told, *(("truncate",) if isinstance(truncate, bool) else ())]
    return EmbeddingRequest(
        model=string(said, "model") or "",
        inputs=_inputs(said.get("input")),
        dimensions=words.dimensions(said),
        purpose=words.purpose_of(said.get(told)),
        truncate=truncate if isinstance(truncate, bool) else None,
        user=string(said, "user"),
        extra=words.beyond(said, read),
        names={"purpose": told} if told else {},
    )


def _inputs(said: Any) -> tuple[Input, ...]:
    """1. A text. 2. A text as tokens. 3. Several of either, or with images in them."""
    if isinstance(said, str):
        return (said,)
    if not isinstance(said, list):
        raise wrong("input", "a string, an array of tokens, or an array of either", said)
    if said and all(type(each) is int for each in said):
        return (Tokens(tuple(said)),)
    return words.counted([_input(each, f"input[{number}]") for number, each in enumerate(said)], "input")


def _input(said: Any, place: str) -> Input:
    if isinstance(said, str):
        return said
    if isinstance(said, list) and said and all(type(each) is int for each in said):
        return Tokens(tuple(said))
    if isinstance(said, dict):
        parts = said["content"] if isinstance(said.get("content"), list) else [said]
        return Mixed(tuple(_part(part, place) for part in parts))
    raise wrong(place, "a string or an array of tokens", said)


def _part(said: Any, place: str) -> Text | Blob | Uri:
    """As a message's parts are written: Voyage's and OpenRouter's multimodal embeddings take them so."""
    kind = said.get("type") if isinstance(said, dict) else None
    content = said.get(kind) if isinstance(said, dict) and kind in ("text", "image_url") else None
    if kind == "text" and isinstance(content, str):
        return Text(content)
    url = content.get("url") if isinstance(content, dict) else content
    if kind == "image_url" and isinstance(url, str):
        return words.image_of(url)
    raise wrong(place, "a string, an array of tokens, or parts of the types text and image_url", said)


class _Asked(msgspec.Struct):
    encoding_format: Any = None


_asked = msgspec.json.Decoder(_Asked)


def encode_answer(answer: EmbeddingResponse, *, id: str, model: str, created: int, asked: bytes) -> bytes:
    """In base64 where that was asked for, as OpenAI's SDK does unless it is told otherwise."""
    packed = _wants_base64(asked)
    data = [
        {"object": "embedding", "index": number, "embedding": words.base64_of(vector) if packed else vector}
        for number, vector in enumerate(answer.vectors)
    ]
    tokens = answer.usage.input_tokens if answer.usage else 0
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": answer.model or model, "usage": usage})


def _wants_base64(asked: bytes) -> bool:
    try:
        return bool(_asked.decode(asked).encoding_format == "base64")
    except (ValueError, RecursionError):
        return False


# The vendor's side ----------------------------------------------------------------------------------------------------


def encode_request(request: EmbeddingRequest) -> Encoded:
    """Raises ``CallerError`` (400) for an input that is neither text nor tokens."""
    body: dict[str, Any] = {"model": request.model, "input": _written(request), "encoding_format": "float"}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user is not None:
        body["user"] = request.user
    dropped = request.said("purpose", "title", "truncate")
    return Encoded(body=body, dropped=(*dropped, *words.unknown(request.extra)))


def _written(request: EmbeddingRequest) -> list[Any]:
    if any(isinstance(each, Tokens) for each in request.inputs):
        return [_tokens(each, request.place(number)) for number, each in enumerate(request.inputs)]
    return words.plain_texts(request, "this API")


def _tokens(given: Input, place: str) -> Any:
    if isinstance(given, Tokens):
        return given.ids
    if (text := words.plain_text(given)) is not None:
        return text
    raise words.unsupported(place, "is an input that is not text alone, which this API does not embed")


def decode_answer(body: bytes, now: float) -> EmbeddingResponse | Fault:
    said = _checked(body, now)
    if isinstance(said, Fault):
        return said
    try:
        items = [_item.decode(each) for each in said.data or ()]
        places = [item.index for item in items]
        if sorted(place for place in places if type(place) is int) == list(range(len(items))):
            items.sort(key=lambda item: int(item.index))
        vectors = [words.vector_of(item.embedding) for item in items]
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a list of embeddings: {error}", body)
    told = {"usage": read_usage(said.usage), "id": short(said.id) or "", "model": short(said.model) or ""}
    return words.answer(vectors, body, **told)
