"""Listings in the shapes their vendors document, read page by page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.listing_shapes import SHAPES, Listed, read_page, with_query

URL = "https://api.test/v1/models?limit=1000"


def read(shape: str, said: Any, url: str = URL) -> tuple[list[Listed], str | None]:
    page = read_page(json.dumps(said).encode(), shape, url)
    assert page is not None
    return list(page.models), page.next


OPENAI = [
    pytest.param({"object": "list", "data": [{"id": "gpt-5", "object": "model"}]}, [Listed("gpt-5")], id="openai"),
    pytest.param([{"id": "a/b", "type": "chat", "context_length": 8192}], [Listed("a/b", 8192)], id="together"),
    pytest.param({"models": [{"name": "qwen3:8b", "model": "qwen3:8b"}]}, [Listed("qwen3:8b")], id="ollama"),
    pytest.param(
        {"data": [{"id": "m", "context_window": 131072, "max_completion_tokens": 65536}]},
        [Listed("m", 131072, 65536)],
        id="groq",
    ),
    pytest.param({"data": [{"id": "m", "max_model_len": 32768}]}, [Listed("m", 32768)], id="vllm"),
    pytest.param(
        {"data": [{"id": "m", "meta": {"n_ctx": 4096, "n_ctx_train": 32768}}]}, [Listed("m", 4096)], id="llama"
    ),
    pytest.param(
        {
            "data": [
                {
                    "id": "mistral-large-2512",
                    "max_context_length": 262144,
                    "capabilities": {"completion_chat": True, "function_calling": True, "vision": False},
                }
            ]
        },
        [Listed("mistral-large-2512", 262144, able={"tools": True, "vision": False})],
        id="mistral",
    ),
    pytest.param(
        {
            "data": [
                {
                    "id": "openai/gpt-5",
                    "context_length": 400000,
                    "architecture": {"input_modalities": ["text", "image"]},
                    "top_provider": {"context_length": 400000, "max_completion_tokens": 128000},
                    "supported_parameters": ["tools", "reasoning", "structured_outputs"],
                }
            ]
        },
        [
            Listed(
                "openai/gpt-5",
                400000,
                128000,
                {"tools": True, "vision": True, "reasoning": True, "json_schema": True},
            )
        ],
        id="openrouter",
    ),
    pytest.param(
        {
            "data": [
                {
                    "id": "gpt-5-mini",
                    "capabilities": {
                        "limits": {"max_context_window_tokens": 264000, "max_output_tokens": 64000},
                        "supports": {"tool_calls": True, "vision": True, "structured_outputs": True},
                        "type": "chat",
                    },
                    "policy": {"state": "enabled"},
                },
                {"id": "claude-opus-5", "policy": {"state": "disabled"}},
            ]
        },
        [Listed("gpt-5-mini", 264000, 64000, {"tools": True, "vision": True, "json_schema": True})],
        id="github_copilot",
    ),
    pytest.param(
        {
            "data": [
                {
                    "id": "m",
                    "providers": [
                        {"context_length": 131072, "supports_tools": False},
                        {"context_length": 65536, "supports_tools": True},
                    ],
                }
            ]
        },
        [Listed("m", 65536, able={"tools": True})],
        id="huggingface",
    ),
    pytest.param(
        {
            "data": [
                {
                    "id": "m",
                    "model_spec": {
                        "availableContextTokens": 32768,
                        "capabilities": {"supportsFunctionCalling": True, "supportsVision": False},
                    },
                }
            ]
        },
        [Listed("m", 32768, able={"tools": True, "vision": False})],
        id="venice",
    ),
    pytest.param({"data": [{"id": 7}, {"object": "model"}, "x", None, {"id": ""}]}, [], id="rows that are none"),
    pytest.param(
        {"data": [{"id": "m", "context_length": "8k", "context_window": True, "max_model_len": 0, "capabilities": []}]},
        [Listed("m")],
        id="windows that are none",
    ),
    pytest.param({"data": [{"id": "m"}, {"id": "n"}, {"id": "m"}]}, [Listed("m"), Listed("n")], id="named twice"),
]


@pytest.mark.parametrize(("said", "found"), OPENAI)
def test_the_shape_of_openai_and_what_others_add_to_it(said: Any, found: list[Listed]):
    assert read("openai", said) == (found, None)


ANTHROPIC = {
    "data": [
        {
            "type": "model",
            "id": "claude-sonnet-5",
            "display_name": "Claude Sonnet 5",
            "max_input_tokens": 1000000,
            "max_tokens": 128000,
            "capabilities": {
                "image_input": {"supported": True},
                "structured_outputs": {"supported": True},
                "thinking": {"supported": True, "types": {"adaptive": {"supported": True}}},
            },
        }
    ],
    "has_more": True,
    "first_id": "claude-sonnet-5",
    "last_id": "claude-sonnet-5",
}
GEMINI = {
    "models": [
        {
            "name": "models/gemini-2.5-flash",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
            "thinking": True,
        },
        {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
        {"name": "models/new"},
    ],
    "nextPageToken": "Ch4= /x",
}
FOUNDATION = {
    "modelSummaries": [
        {
            "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "modelId": "amazon.nova-lite-v1:0",
            "inputModalities": ["TEXT", "IMAGE", "VIDEO"],
            "outputModalities": ["TEXT"],
            "inferenceTypesSupported": ["ON_DEMAND", "INFERENCE_PROFILE"],
        },
        {"modelId": "amazon.titan-image-generator-v2:0", "outputModalities": ["IMAGE"]},
        {
            "modelId": "anthropic.claude-sonnet-5-v1:0",
            "outputModalities": ["TEXT"],
            "inferenceTypesSupported": ["INFERENCE_PROFILE"],
        },
        {"modelId": "some.model"},
    ]
}
OWN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdef012345"
PROFILES = {
    "inferenceProfileSummaries": [
        {"inferenceProfileId": "us.anthropic.claude-sonnet-5-v1:0", "type": "SYSTEM_DEFINED", "status": "ACTIVE"},
        {"inferenceProfileId": "abcdef012345", "inferenceProfileArn": OWN, "type": "APPLICATION"},
    ],
    "nextToken": "n+1",
}
CONTROL = "https://bedrock.us-east-1.amazonaws.com"
PAGES = [
    pytest.param(
        "anthropic",
        URL,
        ANTHROPIC,
        [Listed("claude-sonnet-5", 1000000, 128000, {"vision": True, "reasoning": True, "json_schema": True})],
        f"{URL}&after_id=claude-sonnet-5",
        id="anthropic",
    ),
    pytest.param("anthropic", URL, ANTHROPIC | {"data": [], "has_more": False}, [], None, id="anthropic: the last"),
    pytest.param(
        "anthropic", URL, {"data": [{"id": "m", "max_tokens": 5}]}, [Listed("m", None, 5)], None, id="minimax"
    ),
    pytest.param(
        "gemini",
        "https://g.test/v1beta/models?pageSize=1000&pageToken=old",
        GEMINI,
        [Listed("gemini-2.5-flash", 1048576, 65536, {"reasoning": True}), Listed("new")],
        "https://g.test/v1beta/models?pageSize=1000&pageToken=Ch4%3D%20%2Fx",
        id="gemini",
    ),
    pytest.param(
        "vertex",
        "https://aiplatform.googleapis.com/v1beta1/publishers/google/models",
        {
            "publisherModels": [{"name": "publishers/google/models/gemini-2.5-pro", "versionId": "1"}],
            "nextPageToken": "2",
        },
        [Listed("gemini-2.5-pro")],
        "https://aiplatform.googleapis.com/v1beta1/publishers/google/models?pageToken=2",
        id="vertex",
    ),
    pytest.param(
        "bedrock",
        f"{CONTROL}/foundation-models?byOutputModality=TEXT",
        FOUNDATION,
        [Listed("amazon.nova-lite-v1:0", able={"vision": True}), Listed("some.model")],
        f"{CONTROL}/inference-profiles",
        id="bedrock: models, then profiles",
    ),
    pytest.param(
        "bedrock",
        f"{CONTROL}/inference-profiles",
        PROFILES,
        [Listed("us.anthropic.claude-sonnet-5-v1:0"), Listed(OWN)],
        f"{CONTROL}/inference-profiles?nextToken=n%2B1",
        id="bedrock: profiles",
    ),
    pytest.param(
        "bedrock", f"{CONTROL}/inference-profiles", {"inferenceProfileSummaries": []}, [], None, id="no profiles"
    ),
    pytest.param(
        "cohere",
        "https://api.cohere.com/v1/models?endpoint=chat",
        {
            "models": [
                {
                    "name": "command-a-03-2025",
                    "endpoints": ["chat"],
                    "context_length": 288000,
                    "features": ["json_schema", "tools"],
                },
                {"name": "embed-v4.0", "endpoints": ["embed", "classify"]},
            ],
            "next_page_token": "p2",
        },
        [
            Listed(
                "command-a-03-2025",
                288000,
                able={"tools": True, "json_schema": True},
            )
        ],
        "https://api.cohere.com/v1/models?endpoint=chat&page_token=p2",
        id="cohere",
    ),
    pytest.param(
        "databricks",
        "https://dbc.test/api/2.0/serving-endpoints",
        {
            "endpoints": [
                {"name": "databricks-claude-sonnet-5", "task": "llm/v1/chat", "state": {"ready": "READY"}},
                {"name": "databricks-gte-large-en", "task": "llm/v1/embeddings"},
                {"name": "my-agent"},
            ]
        },
        [Listed("databricks-claude-sonnet-5"), Listed("my-agent")],
        None,
        id="databricks",
    ),
    pytest.param("gemini", URL, {"data": [{"id": "gpt-5"}]}, [Listed("gpt-5")], None, id="a proxy in OpenAI's shape"),
    pytest.param("gemini", URL, {"models": [], "nextPageToken": ""}, [], None, id="gemini: nothing"),
]


@pytest.mark.parametrize(("shape", "url", "said", "found", "following"), PAGES)
def test_pages(shape: str, url: str, said: Any, found: list[Listed], following: str | None):
    assert read(shape, said, url) == (found, following)


def test_every_shape_has_a_page():
    assert set(SHAPES) == {"openai", *(case.values[0] for case in PAGES)}


@pytest.mark.parametrize("shape", [*SHAPES, "unheard-of"])
@pytest.mark.parametrize(
    "body", [b"", b"null", b"7", b'"x"', b"{}", b'{"error":{"message":"no"}}', b'{"data":{}}', b"<html>", b"[" * 20000]
)
def test_what_is_no_listing(shape: str, body: bytes):
    assert read_page(body, shape, URL) is None


def test_a_parameter_has_one_value():
    assert with_query("https://h/p", "a", "1/2") == "https://h/p?a=1%2F2"
    assert with_query("https://h/p?a=1&b=%20&ab=3", "a", "x") == "https://h/p?b=%20&ab=3&a=x"
