"""The official OpenAI SDK as client: it gets the same meaning from every vendor, and each is called in its own way."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple
from unittest import mock

import httpx  # noqa: F401  (the SDK trips over one that the gateway is importing just then, in a thread of its own)
import openai
import pytest

from tests.dialects import validity
from tests.end_to_end.native import (
    ANTHROPIC,
    BEDROCK,
    COHERE,
    DATABRICKS_CLAUDE,
    GEMINI,
    MISTRAL,
    OLLAMA,
    OPENAI,
    OPENAI_IN_PARTS,
    SIGNATURE,
    TGI,
    Call,
    Family,
    Said,
)
from tests.end_to_end.replaying import Heard, Replaying, Reply, replaying
from tests.running import RunningGateway, running_gateway

KEY = "sk-native-Xq7vR2mB9"
AWS_KEYS = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": KEY, "api_key": None, "region": "us-east-1"}
VERSION = {"anthropic-version": "2023-06-01"}
SNOWFLAKE = {"x-snowflake-authorization-token-type": "PROGRAMMATIC_ACCESS_TOKEN"}
SHORT_TOKEN = "tid=short-lived"
VERTEX = "/projects/p-1/locations/global"


class Row(NamedTuple):
    """``auth``: a header and what it begins with. ``stream``: the path of streams, where they have their own."""

    family: Family
    model: str
    path: str
    stream: str = ""
    auth: tuple[str, str] = ("authorization", f"Bearer {KEY}")
    settings: dict[str, Any] = {}
    headers: dict[str, str] = {}


def vertex(**more: Any) -> dict[str, Any]:
    return {"vendor": "vertex", "project": "p-1", "location": "global", "ad_token": KEY, "api_key": None, **more}


GEMINI_PATH = "/v1beta/models/gemini-3-pro-preview"
VERTEX_GEMINI = f"/v1beta1{VERTEX}/publishers/google/models/gemini-3-pro-preview"
VERTEX_CLAUDE = f"/v1{VERTEX}/publishers/anthropic/models/claude-sonnet-4-5@20250929"
VERTEX_MISTRAL = f"/v1{VERTEX}/publishers/mistralai/models/mistral-medium-3"
NOVA = "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
ROWS: dict[str, Row] = {
    "anthropic": Row(ANTHROPIC, "claude-sonnet-4-5", "/v1/messages", auth=("x-api-key", KEY), headers=VERSION),
    "google": Row(
        GEMINI,
        "gemini-3-pro-preview",
        f"{GEMINI_PATH}:generateContent",
        f"{GEMINI_PATH}:streamGenerateContent?alt=sse",
        auth=("x-goog-api-key", KEY),
    ),
    "vertex-gemini": Row(
        GEMINI,
        "gemini-3-pro-preview",
        f"{VERTEX_GEMINI}:generateContent",
        f"{VERTEX_GEMINI}:streamGenerateContent?alt=sse",
        settings=vertex(),
    ),
    "vertex-claude": Row(
        ANTHROPIC,
        "claude-sonnet-4-5@20250929",
        f"{VERTEX_CLAUDE}:rawPredict",
        f"{VERTEX_CLAUDE}:streamRawPredict",
        settings=vertex(),
    ),
    "vertex-mistral": Row(
        MISTRAL,
        "mistral-medium-3",
        f"{VERTEX_MISTRAL}:rawPredict",
        f"{VERTEX_MISTRAL}:streamRawPredict",
        settings=vertex(),
    ),
    "vertex-openai": Row(
        OPENAI,
        "meta/llama-4-maverick-17b-128e-instruct-maas",
        f"/v1{VERTEX}/endpoints/openapi/chat/completions",
        settings=vertex(),
    ),
    "bedrock": Row(
        BEDROCK,
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        f"/model/{NOVA}/converse",
        f"/model/{NOVA}/converse-stream",
        settings={"region": "us-east-1"},
    ),
    "bedrock-signed": Row(
        BEDROCK,
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        f"/model/{NOVA}/converse",
        f"/model/{NOVA}/converse-stream",
        auth=("authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"),
        settings={"vendor": "bedrock", **AWS_KEYS},
    ),
    "cohere": Row(COHERE, "command-a-reasoning-08-2025", "/v2/chat"),
    "ollama": Row(OLLAMA, "qwen3", "/api/chat", settings={"dialect": "ollama_chat"}),
    "databricks": Row(OPENAI, "my endpoint", "/serving-endpoints/my%20endpoint/invocations"),
    "databricks-claude": Row(
        DATABRICKS_CLAUDE,
        "databricks-claude-sonnet-4-5",
        "/serving-endpoints/databricks-claude-sonnet-4-5/invocations",
        settings={"vendor": "databricks"},
    ),
    "databricks_v2": Row(OPENAI, "databricks-gpt-5", "/ai-gateway/mlflow/v1/chat/completions"),
    "databricks_v2-in-openais": Row(
        DATABRICKS_CLAUDE,
        "databricks-claude-sonnet-4-5",
        "/ai-gateway/mlflow/v1/chat/completions",
        settings={"vendor": "databricks_v2"},
    ),
    "databricks_v2-claude": Row(
        ANTHROPIC,
        "databricks-claude-sonnet-4-5",
        "/ai-gateway/anthropic/v1/messages",
        settings={"vendor": "databricks_v2", "dialect": "anthropic_messages"},
        headers=VERSION,
    ),
    "snowflake": Row(OPENAI, "llama4-maverick", "/api/v2/cortex/v1/chat/completions", headers=SNOWFLAKE),
    "snowflake-claude": Row(
        ANTHROPIC,
        "claude-4-sonnet",
        "/api/v2/cortex/v1/messages",
        settings={"vendor": "snowflake", "dialect": "anthropic_messages"},
        headers={**SNOWFLAKE, **VERSION},
    ),
    "sagemaker": Row(
        OPENAI_IN_PARTS,
        "my-endpoint",
        "/endpoints/my-endpoint/invocations",
        "/endpoints/my-endpoint/invocations-response-stream",
        auth=("authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"),
        settings=AWS_KEYS,
    ),
    "sagemaker-tgi": Row(
        TGI,
        "my-endpoint",
        "/endpoints/my-endpoint/invocations",
        "/endpoints/my-endpoint/invocations-response-stream",
        auth=("authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"),
        settings={"vendor": "sagemaker", "dialect": "tgi", **AWS_KEYS},
    ),
    "github_copilot": Row(
        OPENAI,
        "gpt-4.1",
        "/chat/completions",
        auth=("authorization", f"Bearer {SHORT_TOKEN}"),
        headers={"copilot-integration-id": "vscode-chat", "x-initiator": "user", "editor-version": "vscode/1.104.1"},
    ),
    "github_copilot-claude": Row(
        ANTHROPIC,
        "claude-sonnet-4.5",
        "/v1/messages",
        auth=("authorization", f"Bearer {SHORT_TOKEN}"),
        settings={"vendor": "github_copilot", "dialect": "anthropic_messages"},
        headers={"copilot-integration-id": "vscode-chat", "x-initiator": "user", **VERSION},
    ),
    "azure": Row(
        OPENAI,
        "gpt-4.1",
        "/openai/v1/chat/completions",
        auth=("api-key", KEY),
        settings={"vendor": "azure_openai"},
    ),
    "azure-claude": Row(
        ANTHROPIC,
        "claude-sonnet-4-5",
        "/anthropic/v1/messages",
        auth=("api-key", KEY),
        settings={"vendor": "azure_openai"},
        headers=VERSION,
    ),
    "minimax": Row(ANTHROPIC, "MiniMax-M2", "/anthropic/v1/messages", headers=VERSION),
    "zai": Row(OPENAI, "glm-4.6", "/api/paas/v4/chat/completions"),
    "zai-anthropic": Row(
        ANTHROPIC,
        "glm-4.6",
        "/api/anthropic/v1/messages",
        settings={"vendor": "zai", "dialect": "anthropic_messages"},
        headers=VERSION,
    ),
    "kimi": Row(ANTHROPIC, "kimi-for-coding", "/coding/v1/messages", headers=VERSION),
    "mistral": Row(MISTRAL, "mistral-medium-latest", "/v1/chat/completions"),
    "deepseek": Row(OPENAI, "deepseek-chat", "/chat/completions"),
    "openai": Row(OPENAI, "gpt-4.1", "/v1/chat/completions"),
}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"The {name}",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("weather", "time")
]
ASK: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How is Zürich?"}]
TEXT = Said(text="Grüezi! It is 21°C — sunny. 🌞", thought="Let me see: Zürich, now.", signature=SIGNATURE)
CALLS = Said(
    thought="Both are to be asked for.",
    signature=SIGNATURE,
    calls=(Call("call_Aa1Bb2Cc3", "weather", {"city": "Zürich", "days": [1, 2]}), Call("call_Dd4Ee5Ff6", "time", {})),
)
CUT = Said(text="It is", finish="length", cached=0, reasoning=0)


class Stand:
    def __init__(self, gateway: RunningGateway, vendor: Replaying) -> None:
        self.gateway, self.vendor = gateway, vendor
        self.client = openai.OpenAI(base_url=gateway.base_url, api_key="sk-client", max_retries=0, timeout=30)

    def says(self, family: Family, said: Said, stream: bool, piece: int | None = None) -> None:
        self.vendor.heard.clear()
        self.vendor.reply = family.reply(said, stream, piece)

    @property
    def heard(self) -> Heard:
        (one,) = self.vendor.heard
        return one


def provider(name: str, row: Row, url: str) -> dict[str, Any]:
    settings = {"vendor": name, "base_url": url, "api_key": KEY, **row.settings}
    return {key: value for key, value in settings.items() if value is not None}


@pytest.fixture(scope="module")
def stand(lane: bool) -> Iterator[Stand]:
    with ExitStack() as stack:
        vendor, github = stack.enter_context(replaying()), stack.enter_context(replaying())
        token = {"token": SHORT_TOKEN, "expires_at": time.time() + 1800, "refresh_in": 1500}
        github.listing = Reply(body=json.dumps(token).encode())
        exchange = {"GITHUB_COPILOT_TOKEN_URL": f"{github.url}/copilot_internal/v2/token"}
        stack.enter_context(mock.patch.dict(os.environ, exchange))
        config = {
            "providers": {name: provider(name, row, vendor.url) for name, row in ROWS.items()},
            "resilience": {"retries": 0, "breaker": {"consecutive": 1000, "min_requests": 1000}},
        }
        made = Stand(stack.enter_context(running_gateway(json.dumps(config))), vendor)
        stack.enter_context(made.client)
        yield made


class Ended(NamedTuple):
    """What the client has in the end."""

    text: str
    thought: str
    finish: str
    calls: list[tuple[str, str, Any]]
    usage: tuple[int, int, int, int]


def asked(stand: Stand, name: str, **more: Any) -> dict[str, Any]:
    return {"model": f"{name}/{ROWS[name].model}", "messages": ASK, **more}


def whole(stand: Stand, **request: Any) -> Ended:
    return ended(stand.client.chat.completions.create(**request))


def iterated(stand: Stand, **request: Any) -> Ended:
    """Chunk by chunk, as most agents do."""
    text, thought, finish, usage = "", "", "", None
    calls: dict[int, list[str]] = {}
    stream = stand.client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            thought += getattr(choice.delta, "reasoning_content", None) or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index, ["", "", ""])
                assert call.function is not None
                for at, piece in enumerate((call.id, call.function.name, call.function.arguments)):
                    known[at] += piece or ""
    made = [(call_id, tool, json.loads(arguments)) for call_id, tool, arguments in calls.values()]
    return Ended(text, thought, finish, made, counted(usage))


def helped(stand: Stand, **request: Any) -> Ended:
    """By the SDK's own helper, which puts the chunks together."""
    with stand.client.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
        for _ in stream:
            pass
        return ended(stream.get_final_completion())


def ended(answer: Any) -> Ended:
    choice = answer.choices[0]
    message = choice.message
    calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    thought = getattr(message, "reasoning_content", None) or ""
    return Ended(message.content or "", thought, choice.finish_reason, calls, counted(answer.usage))


def counted(usage: Any) -> tuple[int, int, int, int]:
    read = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    thought = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return usage.prompt_tokens, usage.completion_tokens, read or 0, thought or 0


def expected(family: Family, said: Said) -> Ended:
    return Ended(
        said.text,
        said.thought if "thought" in family.tells else "",
        said.reason,
        [(call.id, call.name, call.arguments) for call in said.calls],
        (
            said.prompt,
            said.completion,
            said.cached if "cached" in family.tells else 0,
            said.reasoning if "reasoning" in family.tells else 0,
        ),
    )


WAYS = {"whole": whole, "iterated": iterated, "helped": helped}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ROWS)
def test_what_the_client_gets(stand: Stand, name: str, way: str) -> None:
    family = ROWS[name].family
    for said in (TEXT, CALLS, CUT):
        if (said.calls and "calls" not in family.tells) or (said is CUT and way == "helped"):  # it raises then
            continue
        stand.says(family, said, stream=way != "whole", piece=None if way == "whole" else 11)
        got = WAYS[way](stand, **asked(stand, name, **({"tools": TOOLS} if said.calls else {})))
        if "no ids" in family.tells:
            assert len({call[0] for call in got.calls}) == len(said.calls)
            got = got._replace(calls=[(one.id, *call[1:]) for one, call in zip(said.calls, got.calls, strict=True)])
        assert got == expected(family, said)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", ROWS)
def test_how_the_vendor_is_called(stand: Stand, name: str, stream: bool) -> None:
    row = ROWS[name]
    stand.says(row.family, CUT, stream)
    answer = stand.client.chat.completions.create(**asked(stand, name, stream=stream))
    if stream:
        list(answer)
    heard = stand.heard
    assert heard.path == ((stream and row.stream) or row.path)
    header, begins = row.auth
    assert heard.headers[header].startswith(begins)
    assert {key: heard.headers[key] for key in row.headers} == row.headers
    signs = {"authorization", "x-api-key", "api-key", "x-goog-api-key"} & heard.headers.keys()
    assert signs == {header}
    assert "sk-client" not in str(heard)
    validity.check(row.family.dialect, heard.json)
