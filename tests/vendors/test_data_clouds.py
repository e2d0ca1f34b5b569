"""Cohere, Ollama, Snowflake and Databricks: where they are called, and what they are sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.chat import Kept, Reasoning
from gateway.credentials import by_key
from gateway.dialects import DIALECTS
from gateway.dialects.glimpse import Whole
from gateway.translate import Asked, PassThrough
from gateway.vendors import VENDORS, Account, Operation, base_from_host, routes

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings" / "snowflake"
CHAT = DIALECTS["openai_chat"]
D = "https://dbc-1.cloud.databricks.com"
S = "https://org-acc.snowflakecomputing.com"
CORTEX = "/api/v2/cortex/v1/chat/completions"
LOCAL = "http://127.0.0.1:9999"


def url(vendor: str, base: str | None, operation: Operation = "chat", model: str = "m", face: int | None = None) -> str:
    row = VENDORS[vendor] if face is None else VENDORS[vendor].faces[face]
    return routes(row, Account(base_url=base)).url(operation, model)


URLS = {
    # vendor, base as given, operation, face: URL
    ("cohere", None, "chat", None): "https://api.cohere.com/v2/chat",
    ("cohere", None, "models", None): "https://api.cohere.com/v1/models?endpoint=chat&page_size=1000",
    ("cohere", None, "embeddings", None): "https://api.cohere.com/v2/embed",
    ("cohere", "https://api.cohere.com/v2/chat", "chat", None): "https://api.cohere.com/v2/chat",
    ("cohere", LOCAL, "chat", None): LOCAL + "/v2/chat",
    ("cohere", LOCAL, "embeddings", None): LOCAL + "/v2/embed",
    ("ollama", None, "chat", None): "http://localhost:11434/v1/chat/completions",
    ("ollama", None, "chat", 0): "http://localhost:11434/api/chat",
    ("ollama", "http://h:11434/v1", "chat", 0): "http://h:11434/api/chat",
    ("ollama", "http://h:11434/v1", "models", 0): "http://h:11434/v1/models",
    ("ollama", "https://ollama.com", "chat", 0): "https://ollama.com/api/chat",
    ("snowflake", "org-acc", "chat", None): S + CORTEX,
    ("snowflake", "ORG-ACC", "chat", 0): S + "/api/v2/cortex/v1/messages",
    ("snowflake", "org_acc", "chat", None): S + CORTEX,
    ("snowflake", S + "/", "chat", None): S + CORTEX,
    ("snowflake", S + CORTEX, "chat", None): S + CORTEX,
    ("snowflake", S + "/api/v2/cortex/inference:complete", "chat", None): S + CORTEX,
    ("snowflake", "xy1.us-east-1", "chat", None): "https://xy1.us-east-1.snowflakecomputing.com" + CORTEX,
    ("snowflake", "xy1.east-us-2.azure", "chat", None): "https://xy1.east-us-2.azure.snowflakecomputing.com" + CORTEX,
    ("snowflake", "https://llm.corp.net/snow", "chat", None): "https://llm.corp.net/snow" + CORTEX,
    ("snowflake", "localhost", "chat", None): "http://localhost" + CORTEX,
    ("snowflake", "http://stand-in:8080", "chat", None): "http://stand-in:8080" + CORTEX,
    ("snowflake", LOCAL, "chat", None): LOCAL + CORTEX,
    ("databricks", D, "chat", None): D + "/serving-endpoints/m/invocations",
    ("databricks", D, "embeddings", None): D + "/serving-endpoints/m/invocations",
    ("databricks", D, "models", None): D + "/api/2.0/serving-endpoints",
    ("databricks", D + "/?o=123", "chat", None): D + "/serving-endpoints/m/invocations",
    ("databricks", D + "/serving-endpoints", "chat", None): D + "/serving-endpoints/m/invocations",
    ("databricks", D + "/serving-endpoints/ep%201/invocations", "chat", None): (
        D + "/serving-endpoints/ep%201/invocations"
    ),
    ("databricks", LOCAL, "chat", None): LOCAL + "/serving-endpoints/m/invocations",
    ("databricks_v2", D, "chat", None): D + "/ai-gateway/mlflow/v1/chat/completions",
    ("databricks_v2", D + "/ai-gateway/openai/v1", "chat", None): D + "/ai-gateway/mlflow/v1/chat/completions",
    ("databricks_v2", D + "/ai-gateway/mlflow/v1", "chat", 0): D + "/ai-gateway/anthropic/v1/messages",
    ("databricks_v2", D, "models", None): D + "/api/ai-gateway/v2/endpoints?page_size=1000",
}


@pytest.mark.parametrize(("given", "expected"), URLS.items(), ids=[" ".join(map(str, given)) for given in URLS])
def test_urls(given: tuple[str, str | None, Operation, int | None], expected: str):
    vendor, base, operation, face = given
    assert url(vendor, base, operation, face=face) == expected


@pytest.mark.parametrize("vendor", ["cohere", "ollama", "snowflake", "databricks", "databricks_v2"])
def test_a_base_is_understood_once(vendor: str):
    base = routes(VENDORS[vendor], Account(base_url="https://llm.corp.net/x")).base
    assert routes(VENDORS[vendor], Account(base_url=base)).base == base


def test_hosts():
    assert url("snowflake", base_from_host(VENDORS["snowflake"], "Org-Acc")) == S + CORTEX
    assert url("databricks", base_from_host(VENDORS["databricks"], D[8:])) == D + "/serving-endpoints/m/invocations"


def test_an_address_of_the_ai_gateway_is_another_vendors():
    with pytest.raises(ValueError, match="databricks_v2"):
        url("databricks", D + "/ai-gateway/mlflow/v1")


def test_claude_has_a_face_of_its_own_dialect():
    for vendor in ("snowflake", "databricks_v2"):
        face = VENDORS[vendor].faces[0]
        assert face.dialect == "anthropic_messages"
        assert face.headers["anthropic-version"] == "2023-06-01"
        assert not face.has("llama-4")
    assert VENDORS["snowflake"].faces[0].has("claude-sonnet-4-6")
    assert VENDORS["databricks_v2"].faces[0].has("databricks-claude-sonnet-4-6")


# What is sent ---------------------------------------------------------------------------------------------------------


def sent(vendor: str, model: str, kept: Kept | None = None, **said: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    body = json.dumps({"model": "x", **said}).encode()
    asked = Asked(body, CHAT.peek(body), model, model, recall=lambda id: kept)
    written = PassThrough(CHAT, VENDORS[vendor]).request(asked)
    return json.loads(written.body), written.dropped


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}
LENIENT = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_databricks_claude_is_asked_as_it_can_be():
    messages = [
        {"role": "developer", "content": "s"},
        {"role": "assistant", "content": "", "tool_calls": [CALL], "reasoning_content": "hm"},
        {"role": "assistant", "content": ""},
    ]
    body, dropped = sent("databricks", "databricks-claude-sonnet-4-6", messages=messages, tools=[TOOL])
    assert body == {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "assistant", "content": " ", "tool_calls": [CALL]},
            {"role": "assistant", "content": ""},
        ],
        "tools": [LENIENT],
    }
    assert dropped == ("messages[1].reasoning_content", "tools[0].function.strict")


def test_databricks_keeps_its_own_thoughts():
    said = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm", "signature": "s"}]}]
    body, _ = sent("databricks", "databricks-claude-opus-5", messages=[{"role": "assistant", "content": said}])
    assert body["messages"][0]["content"] == said


def test_databricks_gpt_may_be_strict():
    body, dropped = sent("databricks", "databricks-gpt-5-5", messages=[], tools=[TOOL])
    assert (body["tools"], dropped) == ([TOOL], ())


def test_the_ai_gateway_is_told_the_model():
    body, _ = sent("databricks_v2", "databricks-claude-sonnet-4-6", messages=[], tools=[TOOL])
    assert body == {"model": "databricks-claude-sonnet-4-6", "messages": [], "tools": [LENIENT]}


def test_embeddings_of_an_endpoint_name_no_model():
    dialect = DIALECTS["openai_embeddings"]
    body = b'{"model": "x", "input": ["hi"]}'
    written = PassThrough(dialect, VENDORS["databricks"]).request(Asked(body, dialect.peek(body), "gte", "gte"))
    assert json.loads(written.body) == {"input": ["hi"]}


def test_snowflake_has_but_the_newer_word_for_max_tokens():
    body, _ = sent("snowflake", "llama3.1-8b", messages=[], max_tokens=5)
    assert body == {"model": "llama3.1-8b", "messages": [], "max_completion_tokens": 5}


def test_snowflake_gets_claudes_thoughts_back():
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1"}]
    kept = Kept((Reasoning("hm", opaque=json.dumps(details), format="openrouter"),))
    messages = [{"role": "assistant", "content": None, "tool_calls": [CALL]}]
    body, _ = sent("snowflake", "claude-sonnet-4-6", kept, messages=messages)
    assert body["messages"][0]["reasoning_details"] == details


KEYS = {
    "a programmatic access token": ("eyJ.a.b", "Bearer eyJ.a.b"),
    "a session's": ('Snowflake Token="ver:1-x"', 'Snowflake Token="ver:1-x"'),
}


@pytest.mark.parametrize(("key", "value"), KEYS.values(), ids=KEYS)
def test_snowflakes_keys(key: str, value: str):
    signed = by_key("bearer", key)
    assert signed.headers == (("authorization", value),)
    assert key in signed.secrets


def test_snowflakes_recordings_pass():
    for file in sorted(RECORDINGS.glob("*.json")):
        recording = json.loads(file.read_bytes())
        body = recording["body"].encode()
        expected = recording["expect"]
        passing = PassThrough(CHAT, VENDORS["snowflake"])
        if recording["stream"]:
            facts = CHAT.peek(b'{"model": "m", "stream": true, "stream_options": {"include_usage": true}}')
            stream = passing.stream(facts, 0.0, keep_text=True)
            handed_on = b"".join(stream.feed(body[at : at + 7], 0.0) for at in range(0, len(body), 7)) + stream.end(0.0)
            assert handed_on == body
            assert (stream.done, stream.fault) == (True, None)
            assert "".join(stream.digest.text) == expected["text"]
            continue
        read = passing.whole(body, 0.0)
        assert isinstance(read, tuple)
        assert read[0] == body
        assert isinstance(read[1], Whole)
        assert [call.id for call in read[1].calls] == expected["call_ids"]
