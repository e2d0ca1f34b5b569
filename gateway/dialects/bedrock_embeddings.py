"""Embedding models on Bedrock (``InvokeModel``), each maker's in its own words; the model is in the path.

Titan: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html and -image.html,
Cohere: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html,
Nova: https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.chat import Blob, Encoded, Text, Usage
from gateway.dialects import cohere_embeddings
from gateway.dialects import embedding_words as words
from gateway.dialects.faults import garbled
from gateway.dialects.usage import count
from gateway.embedding import EmbeddingRequest, EmbeddingResponse, Input, Mixed, Purpose
from gateway.errors import Fault

NAME = "bedrock_embeddings"
REFERS = ()

# Request --------------------------------------------------------------------------------------------------------------


def encode_request(request: EmbeddingRequest) -> Encoded:
    """Raises ``CallerError`` (400), also where several vectors are asked of a model that makes one in a call."""
    name = request.model.lower()
    write = next((write for mark, write in _WRITERS.items() if mark in name), _titan)
    return write(request)


def _cohere(request: EmbeddingRequest) -> Encoded:
    """One call has 96 texts at most; more are refused there."""
    body, dropped = cohere_embeddings.written(request, ("max_tokens",))
    if request.truncate is not None:
        cut = "END" if cohere_embeddings.is_of_v3(request.model) else "RIGHT"
        body["truncate"] = cut if request.truncate else "NONE"
    return Encoded(body=body, dropped=dropped)


def _titan_of_v1(request: EmbeddingRequest) -> Encoded:
    """It has no settings at all."""
    return _titan_text(request, {}, request.said("dimensions"))


def _titan(request: EmbeddingRequest) -> Encoded:
    said = words.known(request.extra, ("normalize",))
    if request.dimensions is not None:
        said["dimensions"] = request.dimensions
    return _titan_text(request, said, [])


def _titan_text(request: EmbeddingRequest, said: dict[str, Any], dropped: list[str]) -> Encoded:
    words.only_one(request, "Titan")
    body = {"inputText": words.plain_texts(request, "Titan")[0], **said}
    return Encoded(body=body, dropped=(*dropped, *_untold(request, said)))


def _titan_of_images(request: EmbeddingRequest) -> Encoded:
    body: dict[str, Any] = {}
    for part in _parts(words.only_one(request, "Titan"), request.place(0)):
        if isinstance(part, Text) and "inputText" not in body:
            body["inputText"] = part.content
        elif isinstance(part, Blob) and part.modality == "image" and "inputImage" not in body:
            body["inputImage"] = part.content
        else:
            raise words.unsupported(request.place(0), "is more than one text and one image, which is all Titan embeds")
    if request.dimensions is not None:
        body["embeddingConfig"] = {"outputEmbeddingLength": request.dimensions}
    return Encoded(body=body, dropped=tuple(_untold(request, {})))


_NOVA: Mapping[Purpose, str] = {
    "query": "GENERIC_RETRIEVAL",
    "document": "GENERIC_INDEX",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "similarity": "CLUSTERING",
    "question": "TEXT_RETRIEVAL",
    "fact": "TEXT_RETRIEVAL",
    "code_query": "TEXT_RETRIEVAL",
}


def _nova(request: EmbeddingRequest) -> Encoded:
    parts = _parts(words.only_one(request, "Nova"), request.place(0))
    if len(parts) != 1:
        raise words.unsupported(request.place(0), "is more than one text or image, and Nova embeds one at a time")
    said: dict[str, Any] = {"embeddingPurpose": _NOVA[request.purpose or "document"]}
    if request.dimensions is not None:
        said["embeddingDimension"] = request.dimensions
    part = parts[0]
    if isinstance(part, Text):
        cut = "NONE" if request.truncate is False else "END"
        said["text"] = {"truncationMode": cut, "value": part.content}
    elif isinstance(part, Blob) and part.modality in ("image", "audio", "video"):
        kind = part.mime_type.rpartition("/")[2]
        said[part.modality] = {"format": "jpeg" if kind == "jpg" else kind, "source": {"bytes": part.content}}
        if part.modality == "video":
            said["video"]["embeddingMode"] = "AUDIO_VIDEO_COMBINED"
    else:
        raise words.unsupported(request.place(0), "is of a kind that Nova does not embed")
    dropped = (*request.said("title", "user"), *words.unknown(request.extra))
    return Encoded(body={"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": said}, dropped=dropped)


_WRITERS: Mapping[str, Callable[[EmbeddingRequest], Encoded]] = {
    "cohere.": _cohere,
    "titan-embed-image": _titan_of_images,
    "titan-embed-text-v1": _titan_of_v1,
    "titan-embed-g1": _titan_of_v1,
    "nova": _nova,
}
"""What a model's name holds -> in whose words it is asked; Titan's second version stands for those we do not know."""


def _parts(given: Input, place: str) -> tuple[Any, ...]:
    if isinstance(given, str):
        return (Text(given),)
    if isinstance(given, Mixed):
        return given.parts
    raise words.unsupported(place, "is a text given as tokens, which Bedrock does not embed")


def _untold(request: EmbeddingRequest, said: Mapping[str, Any]) -> list[str]:
    return [*request.said("purpose", "title", "truncate", "user"), *words.unknown(request.extra, said)]


# Answer ---------------------------------------------------------------------------------------------------------------


class _Made(msgspec.Struct):
    embedding: list[float] | None = None


class _One(msgspec.Struct, rename="camel"):
    """Titan's, and Nova's."""

    embedding: list[float] | None = None
    embeddings: list[_Made] | None = None
    input_text_token_count: Any = None


_one = msgspec.json.Decoder(_One)


def decode_answer(body: bytes, now: float) -> EmbeddingResponse | Fault:
    """1. Titan. 2. Nova: a list of objects. 3. Cohere: lists of numbers, by type or bare."""
    try:
        said = _one.decode(body)
    except (ValueError, RecursionError):
        return cohere_embeddings.decode_answer(body, now)
    if said.embedding is not None:
        tokens = count(said.input_text_token_count)
        return words.answer([said.embedding], body, usage=Usage(input_tokens=tokens) if tokens else None)
    if said.embeddings is None:
        return garbled("the answer has no embeddings", body)
    return words.answer([each.embedding or [] for each in said.embeddings], body)
