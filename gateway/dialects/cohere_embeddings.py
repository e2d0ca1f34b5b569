"""Cohere's embeddings, version 2: https://docs.cohere.com/reference/embed"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.chat import Blob, Encoded, Text, Uri, Usage
from gateway.dialects import embedding_words as words
from gateway.dialects.faults import garbled, read_error_object
from gateway.embedding import EmbeddingRequest, EmbeddingResponse, Input, Mixed
from gateway.errors import Fault

NAME = "cohere_embeddings"
REFERS = ()
"""Images are ``data:`` URIs."""

# Request --------------------------------------------------------------------------------------------------------------

USUAL = "search_document"
"""It has to be said since the third version; most of what is embedded is there to be found."""
OWN = ("max_tokens", "priority")


def encode_request(request: EmbeddingRequest) -> Encoded:
    """Raises ``CallerError`` (400) for inputs that are given as tokens."""
    body, dropped = written(request, OWN)
    if request.truncate is not None:
        body["truncate"] = "END" if request.truncate else "NONE"
    return Encoded(body={"model": request.model, **body}, dropped=dropped)


def written(request: EmbeddingRequest, own: Sequence[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """All but the model's name and the word for cutting off, which AWS has others for."""
    body: dict[str, Any] = {**_inputs(request), "embedding_types": ["float"]}
    body.setdefault("input_type", words.INPUT_TYPES[request.purpose] if request.purpose else USUAL)
    body |= words.known(request.extra, own)
    dropped = request.said("title", "user")
    if request.dimensions is not None:
        if is_of_v3(request.model):
            dropped += request.said("dimensions")
        else:
            body["output_dimension"] = request.dimensions
    return body, (*dropped, *words.unknown(request.extra, own))


def is_of_v3(model: str) -> bool:
    """Those have vectors of one size, and images that go alone."""
    return "-v3" in model


def _inputs(request: EmbeddingRequest) -> dict[str, Any]:
    """1. Texts. 2. Images alone, for the older models. 3. Texts and images mixed."""
    found = [words.plain_text(each) for each in request.inputs]
    if all(text is not None for text in found):
        return {"texts": found}
    if is_of_v3(request.model):
        images = [_image(each, request.place(number)) for number, each in enumerate(request.inputs)]
        return {"images": images, "input_type": "image"}
    return {"inputs": [{"content": _content(each, request.place(at))} for at, each in enumerate(request.inputs)]}


def _image(given: Input, place: str) -> str:
    parts = given.parts if isinstance(given, Mixed) else ()
    if len(parts) == 1 and isinstance(parts[0], Blob) and parts[0].modality == "image":
        return words.data_uri(parts[0])
    raise words.unsupported(place, "is not one image, which is all that this model embeds beside texts")


def _content(given: Input, place: str) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"type": "text", "text": given}]
    if isinstance(given, Mixed):
        return [_part(part, place) for part in given.parts]
    raise words.unsupported(place, "is a text given as tokens, which Cohere does not embed")


def _part(part: Text | Blob | Uri, place: str) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.content}
    if isinstance(part, Blob) and part.modality == "image":
        return {"type": "image_url", "image_url": {"url": words.data_uri(part)}}
    raise words.unsupported(place, f"holds {part.modality} that Cohere does not embed: only texts and images are")


# Answer ---------------------------------------------------------------------------------------------------------------


class _Vectors(msgspec.Struct):
    numbers: list[list[float]] | None = msgspec.field(default=None, name="float")


class _Billed(msgspec.Struct):
    input_tokens: Any = None
    image_tokens: Any = None


class _Meta(msgspec.Struct):
    billed_units: _Billed | None = None


class _Answer(msgspec.Struct):
    id: Any = None
    embeddings: _Vectors | list[list[float]] | None = None
    meta: _Meta | None = None
    error: Any = None


_answer = msgspec.json.Decoder(_Answer)


def decode_answer(body: bytes, now: float) -> EmbeddingResponse | Fault:
    """Vectors by their type, or the bare list that models at AWS answer where none was asked for."""
    try:
        said = _answer.decode(body)
        if said.error:
            return read_error_object(msgspec.json.decode(body), body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not one of Cohere's embeddings: {error}", body)
    found = said.embeddings.numbers if isinstance(said.embeddings, _Vectors) else said.embeddings
    made = said.id if isinstance(said.id, str) else ""
    return words.answer(found, body, usage=_usage(said.meta.billed_units if said.meta else None), id=made)


def _usage(said: _Billed | None) -> Usage | None:
    return (
        None if said is None else Usage(input_tokens=words.tokens(said.input_tokens) + words.tokens(said.image_tokens))
    )
