"""Vertex's own text embedding models (``:predict``):
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.chat import Encoded, Usage
from gateway.dialects import embedding_words as words
from gateway.dialects.faults import garbled, read_error_object
from gateway.embedding import EmbeddingRequest, EmbeddingResponse
from gateway.errors import Fault

NAME = "vertex_embeddings"
REFERS = ()


def encode_request(request: EmbeddingRequest) -> Encoded:
    """Raises ``CallerError`` (400) for what is not text."""
    said: dict[str, Any] = {"task_type": words.TASK_TYPES[request.purpose]} if request.purpose else {}
    if request.title:
        said["title"] = request.title
    body: dict[str, Any] = {"instances": [{"content": text, **said} for text in words.plain_texts(request, "Vertex")]}
    parameters = {"outputDimensionality": request.dimensions, "autoTruncate": request.truncate}
    if told := {name: value for name, value in parameters.items() if value is not None}:
        body["parameters"] = told
    return Encoded(body=body, dropped=(*request.said("user"), *words.unknown(request.extra)))


class _Statistics(msgspec.Struct):
    token_count: Any = None


class _Vector(msgspec.Struct):
    values: list[float] | None = None
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Vector


class _Answer(msgspec.Struct):
    predictions: list[_Prediction] | None = None
    error: Any = None


_answer = msgspec.json.Decoder(_Answer)


def decode_answer(body: bytes, now: float) -> EmbeddingResponse | Fault:
    try:
        said = _answer.decode(body)
        if said.error:
            return read_error_object(msgspec.json.decode(body), body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not one of Vertex's predictions: {error}", body)
    vectors = [each.embeddings for each in said.predictions or ()]
    return words.answer([each.values or [] for each in vectors], body, usage=_usage(vectors))


def _usage(vectors: list[_Vector]) -> Usage | None:
    """Each is counted by itself."""
    told = sum(words.tokens(each.statistics.token_count) for each in vectors if each.statistics)
    return Usage(input_tokens=told) if told else None
