"""Gemini's embeddings, several at once (``:batchEmbedContents``): https://ai.google.dev/api/embeddings

``gemini_embedding`` is one at a time, ``vertex_gemini_embeddings`` what Vertex makes of it. The model is in the path,
and Google's JSON takes every name in two spellings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.chat import Blob, Encoded, Facts, Modality, Operation, Text, Uri, Usage
from gateway.dialects import embedding_words as words
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.fields import elements, flag, mapping, object_of, string
from gateway.dialects.gemini import error_body as error_body
from gateway.dialects.gemini import error_frame as error_frame
from gateway.dialects.glimpse import Whole
from gateway.dialects.mending import decoded
from gateway.dialects.openai_chat import decode, fields_of, model_of
from gateway.dialects.openai_parts import Fields, wrong
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
from gateway.embedding import EmbeddingRequest, EmbeddingResponse, Input, Mixed
from gateway.errors import CallerError, Fault

NAME = "gemini_embeddings"
OPERATION: Operation = "embeddings"
FORMAT = NAME
RESUMES = False
REFERS = ("gs:", "https://generativelanguage.googleapis.com/")

# Passing through ------------------------------------------------------------------------------------------------------


class _Request(msgspec.Struct):
    model: str | None = None


class _Peek(msgspec.Struct):
    model: str | None = None
    requests: list[_Request] | None = None
    content: msgspec.Raw = msgspec.Raw(b"")


_peek = msgspec.json.Decoder(_Peek)
_list = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def peek(body: bytes, named: str | None = None) -> Facts:
    """Raises ``CallerError`` (400). The path's model goes before the body's, which only repeats it."""
    asked = decode(_peek, body)
    if not asked.requests and not asked.content:
        raise CallerError(400, "missing_input", "there is nothing to embed: requests is empty", param="requests")
    told = named or asked.model or next((each.model for each in asked.requests or () if each.model), None)
    model = model_of(None, told.removeprefix("models/") if told else None)
    return Facts(operation=OPERATION, model=model, named=False, size=len(body))


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    """Each of the requests repeats the name of the model, and has to."""
    asked, name = fields_of(body), _raw(_resource(model))
    if "requests" in asked:
        requests = [{**each, "model": name} for each in decoded(_list, asked["requests"]) or ()]
        asked["requests"] = _raw(requests)
    if "model" in asked:
        asked["model"] = name
    return msgspec.json.encode(asked)


def _resource(model: str) -> str:
    return model if "/" in model else f"models/{model}"


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


class _Vector(msgspec.Struct):
    values: list[float] | None = None


class _Counts(msgspec.Struct, rename="camel"):
    prompt_token_count: Any = None
    total_token_count: Any = None


class _Answer(msgspec.Struct, rename="camel"):
    embeddings: list[_Vector] | None = None
    embedding: _Vector | None = None
    usage_metadata: _Counts | None = None
    error: Any = None


_answer = msgspec.json.Decoder(_Answer)


def read_whole(body: bytes, now: float) -> Whole | Fault:
    read = decode_answer(body, now)
    return read if isinstance(read, Fault) else Whole(usage=read.usage)


# The client's side ----------------------------------------------------------------------------------------------------


def decode_request(body: bytes) -> EmbeddingRequest:
    """Raises ``CallerError`` (400)."""
    said = _camel(object_of(body))
    if "requests" not in said:
        return _request([said], "content", {})
    requests = elements(said, "requests")
    for number, each in enumerate(requests):
        if not isinstance(each, dict):
            raise wrong(f"requests[{number}]", "an object", each)
    words.counted(requests, "requests")
    return _request([_camel(each) for each in requests], "requests[{}].content", words.beyond(said, ("requests",)))


def _request(requests: list[Fields], places: str, beside: Fields) -> EmbeddingRequest:
    """One embedding for each request, all of one kind."""
    inputs = tuple(_input(each.get("content"), places.format(number)) for number, each in enumerate(requests))
    configs = [_config(each) for each in requests]
    said = configs[0]
    if differing := next((number for number, each in enumerate(configs) if each != said), None):
        told = "asks for another kind of vector than the first: this model takes requests that differ one by one"
        raise words.unsupported(f"requests[{differing}]", told)
    purpose = words.purpose_of(said.get("taskType"))
    read = ("outputDimensionality", "title", "autoTruncate", *(("taskType",) if purpose else ()))
    return EmbeddingRequest(
        model="",
        inputs=inputs,
        dimensions=words.dimensions(said, "outputDimensionality"),
        purpose=purpose,
        title=string(said, "title"),
        truncate=flag(said, "autoTruncate"),
        extra={**beside, **words.beyond(said, read)},
        names={"dimensions": "outputDimensionality", "purpose": "taskType", "truncate": "autoTruncate"},
        places=places,
    )


def _config(request: Fields) -> Fields:
    """What is asked of the vector: beside the content, as it was at first, or in an object of its own."""
    within = mapping(request, "embedContentConfig") or {}
    return {**words.beyond(request, ("content", "model", "embedContentConfig")), **_camel(within)}


def _camel(said: Fields) -> Fields:
    return {_SPELLINGS.get(name, name): value for name, value in said.items() if value is not None}


_SPELLINGS = {
    "task_type": "taskType",
    "output_dimensionality": "outputDimensionality",
    "auto_truncate": "autoTruncate",
    "embed_content_config": "embedContentConfig",
    "inline_data": "inlineData",
    "file_data": "fileData",
    "mime_type": "mimeType",
    "file_uri": "fileUri",
}


def _input(content: Any, place: str) -> Input:
    """1. A text. 2. Parts: texts and media."""
    if isinstance(content, str):
        return content
    parts = content.get("parts") if isinstance(content, dict) else None
    parts = [parts] if isinstance(parts, dict) else parts
    if not isinstance(parts, list) or not parts:
        raise wrong(place, "a content with parts", content)
    made = [_part(part, f"{place}.parts[{number}]") for number, part in enumerate(parts)]
    return made[0].content if len(made) == 1 and isinstance(made[0], Text) else Mixed(tuple(made))


def _part(said: Any, place: str) -> Text | Blob | Uri:
    part = _camel(said) if isinstance(said, dict) else {}
    if (text := string(part, "text", f"{place}.")) is not None:
        return Text(text)
    for name, within in (("inlineData", "data"), ("fileData", "fileUri")):
        data = _camel(mapping(part, name, f"{place}.") or {})
        where = f"{place}.{name}."
        mime, content = string(data, "mimeType", where), string(data, within, where)
        if content is not None and name == "fileData":
            return Uri(_modality(mime), content, mime)
        if content is not None and mime is not None:
            return Blob(_modality(mime), mime, content)
    raise wrong(place, "a part with a text, inlineData or fileData", said)


def _modality(mime: str | None) -> Modality:
    return _MODALITIES.get((mime or "").partition("/")[0], "document")


_MODALITIES: Mapping[str, Modality] = {"image": "image", "audio": "audio", "video": "video"}


def encode_answer(answer: EmbeddingResponse, *, id: str, model: str, created: int, asked: bytes) -> bytes:
    return msgspec.json.encode({"embeddings": [{"values": vector} for vector in answer.vectors], **usage_of(answer)})


def usage_of(answer: EmbeddingResponse) -> dict[str, Any]:
    if answer.usage is None:
        return {}
    tokens = answer.usage.input_tokens
    return {"usageMetadata": {"promptTokenCount": tokens, "totalTokenCount": tokens}}


# The vendor's side ----------------------------------------------------------------------------------------------------


def encode_request(request: EmbeddingRequest) -> Encoded:
    """Raises ``CallerError`` (400) for a text given as tokens."""
    config, dropped = config_of(request)
    dropped += request.said("truncate") + words.unknown(request.extra)
    model = _resource(request.model)
    requests = [{"model": model, "content": content, **config} for content in contents(request)]
    return Encoded(body={"requests": requests}, dropped=tuple(dropped))


def config_of(request: EmbeddingRequest) -> tuple[dict[str, Any], list[str]]:
    """What is asked of each vector, and what cannot be."""
    said = {
        "taskType": words.TASK_TYPES[request.purpose] if request.purpose else None,
        "title": request.title,
        "outputDimensionality": request.dimensions,
    }
    return {name: value for name, value in said.items() if value is not None}, request.said("user")


def contents(request: EmbeddingRequest) -> list[dict[str, Any]]:
    return [_content(each, request.place(number)) for number, each in enumerate(request.inputs)]


def _content(given: Input, place: str) -> dict[str, Any]:
    if isinstance(given, str):
        return {"parts": [{"text": given}]}
    if isinstance(given, Mixed):
        return {"parts": [_written(part) for part in given.parts]}
    raise words.unsupported(place, "is a text given as tokens, which Google does not embed")


def _written(part: Text | Blob | Uri) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.content}
    if isinstance(part, Blob):
        return {"inlineData": {"mimeType": part.mime_type, "data": part.content}}
    return {"fileData": {"fileUri": part.uri, **({"mimeType": part.mime_type} if part.mime_type else {})}}


def decode_answer(body: bytes, now: float) -> EmbeddingResponse | Fault:
    try:
        said = _answer.decode(body)
        if said.error:
            return read_error_object(msgspec.json.decode(body), body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not one of Gemini's embeddings: {error}", body)
    found = said.embeddings or ([said.embedding] if said.embedding else [])
    return words.answer([each.values or [] for each in found], body, usage=_counted(said.usage_metadata))


def _counted(said: _Counts | None) -> Usage | None:
    if said is None:
        return None
    return Usage(input_tokens=count(said.prompt_token_count) or count(said.total_token_count))
