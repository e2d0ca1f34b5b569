"""What the dialects of embeddings have in common: reading fields, naming purposes, vectors as text."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import Blob, Text, Uri
from gateway.dialects.faults import garbled
from gateway.dialects.fields import whole
from gateway.dialects.openai_parts import Fields, wrong
from gateway.dialects.usage import count
from gateway.embedding import EmbeddingRequest, EmbeddingResponse, Input, Mixed, Purpose, Tokens
from gateway.errors import CallerError, Fault

MOST_INPUTS = 8192
"""Inputs of one request: four times as many as OpenAI takes."""

# Purposes -------------------------------------------------------------------------------------------------------------

# https://ai.google.dev/gemini-api/docs/embeddings#supported-task-types
TASK_TYPES: Mapping[Purpose, str] = {
    "query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
    "similarity": "SEMANTIC_SIMILARITY",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "question": "QUESTION_ANSWERING",
    "fact": "FACT_VERIFICATION",
    "code_query": "CODE_RETRIEVAL_QUERY",
}
# https://docs.cohere.com/reference/embed#request.body.input_type
INPUT_TYPES: Mapping[Purpose, str] = {
    "query": "search_query",
    "document": "search_document",
    "classification": "classification",
    "clustering": "clustering",
    # A question is what one searches by; likeness has no word of its own, and is what clusters are made by.
    "question": "search_query",
    "fact": "search_query",
    "code_query": "search_query",
    "similarity": "clustering",
}
_SPELLINGS: Mapping[str, Purpose] = {
    **{said.lower(): purpose for purpose, said in TASK_TYPES.items()},
    "search_query": "query",
    "search_document": "document",
    "query": "query",
    "document": "document",
    "passage": "document",
}


def purpose_of(said: Any) -> Purpose | None:
    """In the words of Google, Cohere, Voyage or NVIDIA; None for what is none of them."""
    return _SPELLINGS.get(said.lower()) if isinstance(said, str) else None


# Requests -------------------------------------------------------------------------------------------------------------


def dimensions(said: Fields, name: str = "dimensions") -> int | None:
    """Raises ``CallerError`` (400)."""
    value = whole(said, name)
    if value is not None and value < 1:
        raise CallerError(400, "invalid_value", f"{name} must be at least 1", param=name)
    return value


def beyond(said: Fields, names: Iterable[str]) -> Fields:
    """What is said beside these; null says nothing."""
    known_here = set(names)
    return {name: value for name, value in said.items() if name not in known_here and value is not None}


def texts(value: Any, name: str) -> tuple[str, ...]:
    """A text, or a list of texts. Raises ``CallerError`` (400)."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise wrong(name, "a string or an array of strings", value)
    for number, each in enumerate(value):
        if not isinstance(each, str):
            raise wrong(f"{name}[{number}]", "a string", each)
    return tuple(value)


def counted(inputs: Sequence[Input], name: str) -> tuple[Input, ...]:
    """There are some, and not too many. Raises ``CallerError`` (400)."""
    if not inputs:
        raise CallerError(400, "missing_input", f"there is nothing to embed: {name} is empty", param=name)
    if len(inputs) > MOST_INPUTS:
        said = f"{name} has {len(inputs)} inputs, at most {MOST_INPUTS} are taken at once"
        raise CallerError(400, "too_many_inputs", said, param=name)
    return tuple(inputs)


def plain_texts(request: EmbeddingRequest, who: str) -> list[str]:
    """The inputs, for a target that reads nothing but texts. Raises ``CallerError`` (400) naming what is none."""
    made = []
    for number, each in enumerate(request.inputs):
        text = plain_text(each)
        if text is None:
            kind = "a text given as tokens" if isinstance(each, Tokens) else "an input that is not text alone"
            raise unsupported(request.place(number), f"is {kind}, which {who} does not embed")
        made.append(text)
    return made


def plain_text(given: Input) -> str | None:
    """Several texts of one input are one text, as Google reads them."""
    if isinstance(given, str):
        return given
    if isinstance(given, Mixed) and all(isinstance(part, Text) for part in given.parts):
        return "".join(part.content for part in given.parts if isinstance(part, Text))
    return None


def unsupported(place: str, what: str) -> CallerError:
    return CallerError(400, "unsupported_input", f"{place} {what}", param=place)


def only_one(request: EmbeddingRequest, who: str) -> Input:
    """One call makes one vector. Raises ``CallerError`` (400) where more are asked for."""
    if len(request.inputs) > 1:
        said = f"asks for {len(request.inputs)} vectors, and {who} makes one in a call: send the inputs one by one"
        raise unsupported(request.places.partition("[")[0], said)
    return request.inputs[0]


def known(extra: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the fields beyond the hub that a target takes as they are."""
    return {name: extra[name] for name in names if extra.get(name) is not None}


def unknown(extra: Mapping[str, Any], names: Iterable[str] = ()) -> list[str]:
    """Those that it is not told."""
    return list(beyond(dict(extra), names))


# Media ----------------------------------------------------------------------------------------------------------------


def data_uri(part: Blob) -> str:
    return f"data:{part.mime_type};base64,{part.content}"


def image_of(uri: str) -> Blob | Uri:
    """An image by its URI, the image itself where that is a ``data:`` one."""
    head, comma, content = uri.partition(",")
    if head.startswith("data:") and comma and head.endswith(";base64"):
        return Blob("image", head[5:-7] or "image/png", content)
    return Uri("image", uri)


# Vectors --------------------------------------------------------------------------------------------------------------


def base64_of(vector: Sequence[float]) -> str:
    """Little-endian float32, as OpenAI's SDK reads them."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def vector_of(said: Any) -> list[float]:
    """A list of numbers, or base64 of them. Raises ``ValueError``."""
    if isinstance(said, str):
        try:
            packed = base64.b64decode(said, validate=True)
        except binascii.Error as error:
            raise ValueError(f"a vector is not base64: {error}") from None
        numbers = array("f")
        numbers.frombytes(packed)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()
    return msgspec.convert(said, list[float])


def tokens(said: Any) -> int:
    """A count of them, also where that is written with a point: ``6.0``."""
    return count(int(said)) if isinstance(said, float) and 0 < said < 1 << 53 else count(said)


def answer(vectors: Sequence[list[float]] | None, body: bytes, **told: Any) -> EmbeddingResponse | Fault:
    """What a vendor's answer says, or a fault where it has no vectors."""
    if not vectors or not all(vectors):
        return garbled("the answer has no embeddings", body)
    return EmbeddingResponse(vectors=tuple(vectors), **told)
