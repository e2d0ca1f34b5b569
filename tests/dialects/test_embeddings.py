"""Embeddings from every client's dialect into every vendor's, and back."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import httpx
import ollama
import openai
import pytest
from google import genai
from google.genai import types

from gateway.dialects import DIALECTS
from gateway.dialects.embeddings import EGRESS, INGRESS
from gateway.errors import CallerError, Fault, FaultKind
from gateway.translate import Asked, Embedding, Outgoing, PassThrough, Translator, translator
from gateway.vendors import VENDORS, Vendor

NOW = 1_700_000_000.0
PIXEL = "iVBORw0KGgo="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}


def row(name: str, embeds: str) -> Vendor:
    return next(each for each in (VENDORS[name], *VENDORS[name].faces) if each.embeds == embeds)


ROWS = {
    "openai": row("openai", "openai_embeddings"),
    "mistral": row("mistral", "openai_embeddings"),
    "google": row("google", "gemini_embeddings"),
    "vertex": row("vertex", "vertex_embeddings"),
    "vertex_gemini": row("vertex", "vertex_gemini_embeddings"),
    "bedrock": row("bedrock", "bedrock_embeddings"),
    "cohere": row("cohere", "cohere_embeddings"),
    "ollama": row("ollama", "ollama_embeddings"),
}


def sent(client: str, body: dict[str, Any], vendor: str, model: str = "m") -> tuple[Translator, Any, tuple[str, ...]]:
    made, out = asked(client, json.dumps(body).encode(), vendor, model)
    return made, json.loads(out.body), out.dropped


def asked(client: str, body: bytes, vendor: str, model: str) -> tuple[Translator, Outgoing]:
    made = translator(DIALECTS[client], ROWS[vendor], "r1")
    return made, made.request(Asked(body, DIALECTS[client].peek(body, "m"), "m", model))


OPENAI = {"model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 256, "user": "u"}
GEMINI = {
    "requests": [
        {"model": "models/m", "content": {"parts": [{"text": text}]}, "taskType": "RETRIEVAL_QUERY"} for text in "ab"
    ]
}
ARROWS: dict[str, tuple[str, dict[str, Any], str, str, Any, tuple[str, ...]]] = {
    "openai to google": (
        "openai_embeddings",
        OPENAI | {"input_type": "query"},
        "google",
        "gemini-embedding-001",
        {
            "requests": [
                {
                    "model": "models/gemini-embedding-001",
                    "content": {"parts": [{"text": text}]},
                    "taskType": "RETRIEVAL_QUERY",
                    "outputDimensionality": 256,
                }
                for text in "ab"
            ]
        },
        ("user",),
    ),
    "openai to vertex": (
        "openai_embeddings",
        OPENAI | {"truncate": False},
        "vertex",
        "text-embedding-005",
        {
            "instances": [{"content": "a"}, {"content": "b"}],
            "parameters": {"outputDimensionality": 256, "autoTruncate": False},
        },
        ("user",),
    ),
    "gemini to vertex's gemini": (
        "gemini_embeddings",
        GEMINI,
        "vertex_gemini",
        "gemini-embedding-001",
        {
            "requests": [
                {"content": {"parts": [{"text": text}]}, "embedContentConfig": {"taskType": "RETRIEVAL_QUERY"}}
                for text in "ab"
            ]
        },
        (),
    ),
    "openai to titan": (
        "openai_embeddings",
        {"model": "m", "input": "a", "dimensions": 256, "normalize": True},
        "bedrock",
        "amazon.titan-embed-text-v2:0",
        {"inputText": "a", "dimensions": 256, "normalize": True},
        (),
    ),
    "openai to titan's first version": (
        "openai_embeddings",
        {"model": "m", "input": ["a"], "dimensions": 256},
        "bedrock",
        "amazon.titan-embed-text-v1",
        {"inputText": "a"},
        ("dimensions",),
    ),
    "openai to titan of images": (
        "openai_embeddings",
        {"model": "m", "input": [{"content": [{"type": "text", "text": "a"}, IMAGE]}], "dimensions": 384},
        "bedrock",
        "amazon.titan-embed-image-v1",
        {"inputText": "a", "inputImage": PIXEL, "embeddingConfig": {"outputEmbeddingLength": 384}},
        (),
    ),
    "openai to nova": (
        "openai_embeddings",
        {"model": "m", "input": "a", "dimensions": 1024, "input_type": "clustering"},
        "bedrock",
        "amazon.nova-2-multimodal-embeddings-v1:0",
        {
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": "CLUSTERING",
                "embeddingDimension": 1024,
                "text": {"truncationMode": "END", "value": "a"},
            },
        },
        (),
    ),
    "openai to cohere at AWS": (
        "openai_embeddings",
        OPENAI | {"truncate": True},
        "bedrock",
        "us.cohere.embed-v4:0",
        {
            "texts": ["a", "b"],
            "embedding_types": ["float"],
            "input_type": "search_document",
            "output_dimension": 256,
            "truncate": "RIGHT",
        },
        ("user",),
    ),
    "openai to cohere's third version": (
        "openai_embeddings",
        OPENAI,
        "cohere",
        "embed-english-v3.0",
        {
            "model": "embed-english-v3.0",
            "texts": ["a", "b"],
            "embedding_types": ["float"],
            "input_type": "search_document",
        },
        ("user", "dimensions"),
    ),
    "gemini to cohere": (
        "gemini_embeddings",
        GEMINI,
        "cohere",
        "embed-v4.0",
        {"model": "embed-v4.0", "texts": ["a", "b"], "embedding_types": ["float"], "input_type": "search_query"},
        (),
    ),
    "an image to cohere": (
        "gemini_embedding",
        {"content": {"parts": [{"text": "a"}, {"inline_data": {"mime_type": "image/png", "data": PIXEL}}]}},
        "cohere",
        "embed-v4.0",
        {
            "model": "embed-v4.0",
            "inputs": [{"content": [{"type": "text", "text": "a"}, IMAGE]}],
            "embedding_types": ["float"],
            "input_type": "search_document",
        },
        (),
    ),
    "openai to ollama": (
        "openai_embeddings",
        OPENAI | {"options": {"num_ctx": 8192}, "service_tier": "flex", "input_type": None},
        "ollama",
        "nomic-embed-text",
        {"model": "nomic-embed-text", "input": ["a", "b"], "dimensions": 256, "options": {"num_ctx": 8192}},
        ("user", "service_tier"),
    ),
    "ollama to openai": (
        "ollama_embeddings",
        {"model": "m", "input": ["a", "b"], "truncate": True, "keep_alive": "5m", "dimensions": 8},
        "openai",
        "text-embedding-3-small",
        {"model": "text-embedding-3-small", "input": ["a", "b"], "encoding_format": "float", "dimensions": 8},
        ("truncate", "keep_alive"),
    ),
    "ollama's older call to ollama": (
        "ollama_embedding",
        {"model": "m", "prompt": "a"},
        "ollama",
        "nomic-embed-text",
        {"model": "nomic-embed-text", "input": ["a"]},
        (),
    ),
    "gemini to mistral": (
        "gemini_embedding",
        {"content": {"parts": [{"text": "a"}, {"text": "b"}]}, "output_dimensionality": 8, "title": "t"},
        "mistral",
        "mistral-embed",
        {"model": "mistral-embed", "input": ["ab"], "encoding_format": "float", "dimensions": 8},
        ("title",),
    ),
}


@pytest.mark.parametrize("name", ARROWS)
def test_each_vendor_is_asked_in_its_own_words(name: str) -> None:
    client, body, vendor, model, expected, dropped = ARROWS[name]
    made, written, lost = sent(client, body, vendor, model)
    assert isinstance(made, Embedding)
    assert written == expected
    assert lost == dropped


@pytest.mark.parametrize(
    ("client", "vendor", "body", "expected"),
    [
        (
            "openai_embeddings",
            "openai",
            {"model": "m", "input": [[1, 2]], "x": 1},
            {"model": "v", "input": [[1, 2]], "x": 1},
        ),
        (
            "gemini_embeddings",
            "google",
            {"requests": [{"content": {}, "x": 1}], "y": 2},
            {"requests": [{"content": {}, "x": 1, "model": "models/v"}], "y": 2},
        ),
        (
            "ollama_embeddings",
            "ollama",
            {"model": "m:latest", "input": "a", "x": 1},
            {"model": "v", "input": "a", "x": 1},
        ),
    ],
)
def test_who_speaks_the_same_is_sent_what_was_said(client: str, vendor: str, body: Any, expected: Any) -> None:
    made, written, lost = sent(client, body, vendor, "v")
    assert isinstance(made, PassThrough)
    assert not isinstance(made, Embedding)
    assert (written, lost) == (expected, ())


ANSWERS: dict[str, tuple[str, str, int, int | None]] = {
    "openai": (
        '{"object":"list","data":[{"index":1,"embedding":[3.0,4.5]},{"index":0,"embedding":"AACAPwAAAEA="}],'
        '"usage":{"prompt_tokens":7,"total_tokens":7}}',
        "openai",
        2,
        7,
    ),
    "google": (
        '{"embeddings":[{"values":[1.0,2.0]},{"values":[3.0,4.5]}],"usageMetadata":{"promptTokenCount":7}}',
        "google",
        2,
        7,
    ),
    "vertex": (
        '{"predictions":[{"embeddings":{"values":[1.0,2.0],"statistics":{"truncated":false,"token_count":3.0}}},'
        '{"embeddings":{"values":[3.0,4.5],"statistics":{"token_count":4}}}]}',
        "vertex",
        2,
        7,
    ),
    "titan": ('{"embedding":[1.0,2.0],"inputTextTokenCount":7,"embeddingsByType":{"float":[1,2]}}', "bedrock", 1, 7),
    "nova": ('{"embeddings":[{"embeddingType":"TEXT","embedding":[1.0,2.0]}]}', "bedrock", 1, None),
    "cohere at AWS": (
        '{"id":"x","embeddings":[[1.0,2.0],[3.0,4.5]],"response_type":"embeddings_floats","texts":["a","b"]}',
        "bedrock",
        2,
        None,
    ),
    "cohere at AWS, by type": (
        '{"id":"x","embeddings":{"float":[[1,2],[3,4.5]]},"response_type":"embeddings_by_type"}',
        "bedrock",
        2,
        None,
    ),
    "cohere": (
        '{"id":"x","embeddings":{"float":[[1.0,2.0],[3.0,4.5]]},"meta":{"billed_units":{"input_tokens":7}}}',
        "cohere",
        2,
        7,
    ),
    "ollama": ('{"model":"n","embeddings":[[1.0,2.0],[3.0,4.5]],"prompt_eval_count":7}', "ollama", 2, 7),
}


def answered(client: str, vendor: str, body: str, number: int = 2) -> Any:
    """The client's body; it asks in such a way that nobody is passed through."""
    request = {
        "openai_embeddings": {"model": "m", "input": ["a", "b"][:number]},
        "gemini_embeddings": {"requests": [{"content": {"parts": [{"text": "a"}]}}] * number},
        "gemini_embedding": {"content": {"parts": [{"text": "a"}]}},
        "ollama_embeddings": {"model": "m", "input": ["a", "b"][:number]},
        "ollama_embedding": {"model": "m", "prompt": "a"},
    }[client]
    made = Embedding(INGRESS[client], EGRESS[ROWS[vendor].embeds], ROWS[vendor], "r1")
    said = json.dumps(request).encode()
    model = "cohere.embed-v4" if vendor == "bedrock" else "v"
    made.request(Asked(said, DIALECTS[client].peek(said, "m"), "m", model))
    read = made.whole(body.encode(), NOW)
    return read if isinstance(read, Fault) else (json.loads(read[0]), read[1])


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("client", INGRESS)
def test_each_client_reads_the_vectors_of_each_vendor(name: str, client: str) -> None:
    body, vendor, number, tokens = ANSWERS[name]
    if number > 1 and client in ("gemini_embedding", "ollama_embedding"):
        assert answered(client, vendor, body).kind is FaultKind.GARBLED  # one was asked for
        return
    said, whole = answered(client, vendor, body, number)
    vectors = [[1.0, 2.0], [3.0, 4.5]][:number]
    assert {
        "openai_embeddings": lambda: [each["embedding"] for each in said["data"]],
        "gemini_embeddings": lambda: [each["values"] for each in said["embeddings"]],
        "gemini_embedding": lambda: [said["embedding"]["values"]],
        "ollama_embeddings": lambda: said["embeddings"],
        "ollama_embedding": lambda: [said["embedding"]],
    }[client]() == vectors
    assert (whole.usage.input_tokens if whole.usage else None) == tokens


BAD_ANSWERS = ("", "{", "[]", "null", "{}", '{"data":[]}', '{"data":[{"embedding":"!"}]}', '{"embeddings":[]}')
WORSE = ("[" * 5000, '{"embeddings":[[]]}', '{"predictions":[{}]}', '{"embedding":["a"]}')
WORST = ('{"data":[{"embedding":"AAA="}]}', '{"embeddings":[null]}', '{"embedding":{"values":[]}}')


@pytest.mark.parametrize("vendor", ROWS)
@pytest.mark.parametrize("body", [*BAD_ANSWERS, *WORSE, *WORST])
def test_an_answer_without_vectors_is_a_fault(vendor: str, body: str) -> None:
    read = answered("openai_embeddings", vendor, body, 1)
    assert isinstance(read, Fault)
    assert read.kind is FaultKind.GARBLED


def test_fewer_vectors_than_were_asked_for_are_a_fault() -> None:
    read = answered("openai_embeddings", "ollama", '{"embeddings":[[1.0]]}')
    assert isinstance(read, Fault)
    assert "2 embeddings were asked for, and 1 came" in read.message


MISTAKES: dict[str, tuple[str, str, str, str, str | None]] = {
    "no input": ("openai_embeddings", '{"model":"m"}', "ollama", "missing_input", "input"),
    "nothing in it": ("openai_embeddings", '{"model":"m","input":[]}', "ollama", "missing_input", "input"),
    "no text": ("openai_embeddings", '{"model":"m","input":["a",{"b":1}]}', "ollama", "invalid_type", "input[1]"),
    "a number": ("openai_embeddings", '{"model":"m","input":7}', "ollama", "invalid_type", "input"),
    "size": ("openai_embeddings", '{"model":"m","input":"a","dimensions":0}', "ollama", "invalid_value", "dimensions"),
    "tokens": ("openai_embeddings", '{"model":"m","input":[[1],[2]]}', "cohere", "unsupported_input", "input[0]"),
    "two for titan": ("openai_embeddings", '{"model":"m","input":["a","b"]}', "bedrock", "unsupported_input", "input"),
    "no JSON": ("openai_embeddings", "{", "ollama", "invalid_json", None),
    "an image": (
        "openai_embeddings",
        json.dumps({"model": "m", "input": ["a", IMAGE]}),
        "ollama",
        "unsupported_input",
        "input[1]",
    ),
    "no requests": ("gemini_embeddings", '{"requests":[]}', "openai", "missing_input", "requests"),
    "no content": ("gemini_embeddings", '{"requests":[{}]}', "openai", "invalid_type", "requests[0].content"),
    "no part": (
        "gemini_embeddings",
        '{"requests":[{"content":{"parts":[{"text":"a"},{}]}}]}',
        "openai",
        "invalid_type",
        "requests[0].content.parts[1]",
    ),
    "two kinds": (
        "gemini_embeddings",
        '{"requests":[{"content":"a"},{"content":"b","taskType":"CLUSTERING"}]}',
        "openai",
        "unsupported_input",
        "requests[1]",
    ),
    "ollama's input": ("ollama_embeddings", '{"model":"m","input":[1]}', "openai", "invalid_type", "input[0]"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place(name: str) -> None:
    client, body, vendor, code, param = MISTAKES[name]
    with pytest.raises(CallerError) as raised:
        asked(client, body.encode(), vendor, "m")
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, code, param)


def test_a_vector_in_base64_is_little_endian_float32() -> None:
    asked = b'{"input":"a","encoding_format":"base64"}'
    answer = EGRESS["ollama_embeddings"].decode_answer(b'{"embeddings":[[1.5,-2.0]]}', NOW)
    assert not isinstance(answer, Fault)
    said = json.loads(INGRESS["openai_embeddings"].encode_answer(answer, id="r", model="m", created=1, asked=asked))
    assert struct.unpack("<2f", base64.b64decode(said["data"][0]["embedding"])) == (1.5, -2.0)


# The official SDKs ----------------------------------------------------------------------------------------------------


def serve(client: str, vendor: str, said: str, seen: list[str]) -> httpx.MockTransport:
    """The gateway between an SDK and a vendor, without the network."""

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        made, _ = asked(client, request.content, vendor, "v")
        read = made.whole(said.encode(), NOW)
        assert not isinstance(read, Fault), read
        return httpx.Response(200, content=read[0], headers={"content-type": "application/json"})

    return httpx.MockTransport(answer)


def test_openais_sdk_reads_floats_out_of_base64() -> None:
    transport = serve("openai_embeddings", "google", ANSWERS["google"][0], [])
    client = openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=httpx.Client(transport=transport))
    made = client.embeddings.create(model="m", input=["a", "b"])
    assert [each.embedding for each in made.data] == [[1.0, 2.0], [3.0, 4.5]]
    assert made.usage.total_tokens == 7
    assert made.model == "m"


def test_googles_sdk_reads_vectors_of_another_vendor() -> None:
    seen: list[str] = []
    transport = serve("gemini_embeddings", "openai", ANSWERS["openai"][0], seen)
    options = types.HttpOptions(base_url="http://x", httpx_client=httpx.Client(transport=transport))
    client = genai.Client(api_key="k", http_options=options)
    config = types.EmbedContentConfig(output_dimensionality=2)
    made = client.models.embed_content(model="m", contents=["a", "b"], config=config)
    assert [each.values for each in made.embeddings or []] == [[1.0, 2.0], [3.0, 4.5]]
    assert [path.rpartition("/")[2] for path in seen] == ["m:batchEmbedContents"]


def test_ollamas_sdk_reads_vectors_of_another_vendor() -> None:
    client = ollama.Client("http://x")
    client._client = httpx.Client(
        transport=serve("ollama_embeddings", "cohere", ANSWERS["cohere"][0], []), base_url="http://x"
    )
    made = client.embed("m", ["a", "b"], truncate=True)
    assert made.embeddings == [[1.0, 2.0], [3.0, 4.5]]
    assert made.prompt_eval_count == 7
    client._client = httpx.Client(
        transport=serve("ollama_embedding", "bedrock", ANSWERS["titan"][0], []), base_url="http://x"
    )
    assert client.embeddings("m", "a").embedding == [1.0, 2.0]
