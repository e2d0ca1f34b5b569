"""Every recorded answer through the whole gateway: what the vendor is asked, and what an OpenAI client gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from tests.end_to_end.replaying import Replaying, recordings, replaying, reply_of
from tests.running import RunningGateway, running_gateway

KEY = "sk-recorded-Xq7vR2mB9"

# How each is configured, besides its address.
SETTINGS: dict[str, dict[str, Any]] = {
    "gemini": {"vendor": "google"},
    "vertex": {"vendor": "vertex", "project": "p", "location": "global", "ad_token": KEY, "api_key": None},
    "bedrock": {"vendor": "bedrock", "region": "us-east-1"},
    "azure": {"vendor": "azure_openai", "api_version": "2024-10-21"},
    "crusoe": {"vendor": "openai_compatible"},
}
# Where each is called for a chat, with {model} for its percent-encoded name; a stream, where that is elsewhere.
PATHS: dict[str, tuple[str, str]] = {
    "anthropic": ("/v1/messages", "/v1/messages"),
    "azure": ("/openai/deployments/{model}/chat/completions?api-version=2024-10-21",) * 2,
    "bedrock": ("/model/{model}/converse", "/model/{model}/converse-stream"),
    "cerebras": ("/v1/chat/completions",) * 2,
    "cohere": ("/v2/chat", "/v2/chat"),
    "crusoe": ("/v1/chat/completions",) * 2,
    "deepseek": ("/chat/completions",) * 2,
    "gemini": ("/v1beta/models/{model}:generateContent", "/v1beta/models/{model}:streamGenerateContent?alt=sse"),
    "groq": ("/openai/v1/chat/completions",) * 2,
    "huggingface": ("/v1/chat/completions",) * 2,
    "mistral": ("/v1/chat/completions",) * 2,
    "openai": ("/v1/chat/completions",) * 2,
    "openrouter": ("/api/v1/chat/completions",) * 2,
    "snowflake": ("/api/v2/cortex/v1/chat/completions",) * 2,
    "together": ("/v1/chat/completions",) * 2,
    "vertex": (
        "/v1beta1/projects/p/locations/global/publishers/google/models/{model}:generateContent",
        "/v1beta1/projects/p/locations/global/publishers/google/models/{model}:streamGenerateContent?alt=sse",
    ),
    "zai": ("/api/paas/v4/chat/completions",) * 2,
}
RECORDED = recordings(op="chat")


class Stand:
    def __init__(self, gateway: RunningGateway, vendor: Replaying) -> None:
        self.gateway, self.vendor = gateway, vendor
        self.client = httpx.Client(base_url=gateway.url, timeout=30)

    def ask(self, recording: dict[str, Any], piece: int | None = None) -> httpx.Response:
        self.vendor.heard.clear()
        self.vendor.reply = reply_of(recording, piece)
        asked = {**recording["ingress"], "model": f"{recording['vendor']}/{recording['model']}"}
        if recording["stream"]:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        return self.client.post("/v1/chat/completions", json=asked)


@pytest.fixture(scope="module")
def stand(lane: bool) -> Iterator[Stand]:
    with ExitStack() as stack:
        vendor = stack.enter_context(replaying())
        providers = {
            name: {
                key: value
                for key, value in {
                    "vendor": name,
                    "base_url": vendor.url,
                    "api_key": KEY,
                    **SETTINGS.get(name, {}),
                }.items()
                if value is not None
            }
            for name in PATHS
        }
        once = {"retries": 0, "breaker": {"consecutive": 1000, "min_requests": 1000}}
        config = {"providers": providers, "resilience": once}
        gateway = stack.enter_context(running_gateway(json.dumps(config)))
        made = Stand(gateway, vendor)
        stack.enter_context(made.client)
        yield made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "recording" in metafunc.fixturenames:
        cases = [pytest.param(each, id=each["id"]) for each in RECORDED]
        metafunc.parametrize("recording", cases or [None])


class Ended:
    """What an OpenAI client ends up with."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.finish: str | None = None
        self.calls: dict[Any, dict[str, str]] = {}
        self.usage: dict[str, Any] | None = None


def whole(said: dict[str, Any]) -> Ended:
    ended = Ended()
    for choice in said["choices"][:1]:
        message = choice["message"]
        ended.finish = choice["finish_reason"]
        take(ended, message)
    ended.usage = said.get("usage")
    return ended


def streamed(body: bytes) -> Ended:
    ended = Ended()
    said = [line.removeprefix("data:").strip() for line in body.decode().splitlines() if line.startswith("data:")]
    assert said[-1] == "[DONE]"
    for chunk in map(json.loads, said[:-1]):
        ended.usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or ended.usage
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0:
                take(ended, choice.get("delta") or {})
                ended.finish = choice.get("finish_reason") or ended.finish
    return ended


def take(ended: Ended, said: dict[str, Any]) -> None:
    content = said.get("content") or ""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    for part in parts:
        if part["type"] == "thinking":
            ended.reasoning += "".join(each.get("text", "") for each in part["thinking"])
        else:
            ended.text += part.get("text") or ""
    ended.reasoning += said.get("reasoning_content") or said.get("reasoning") or ""
    for place, call in enumerate(said.get("tool_calls") or ()):
        known = ended.calls.setdefault(call.get("index", place), {"id": "", "name": "", "arguments": ""})
        known["id"] += call.get("id") or ""
        known["name"] += call["function"].get("name") or ""
        known["arguments"] += call["function"].get("arguments") or ""


@pytest.mark.parametrize("piece", [None, 7], ids=["at once", "seven bytes at a time"])
def test_what_the_client_gets(stand: Stand, recording: dict[str, Any] | None, piece: int | None):
    if recording is None or (piece and not recording["stream"]):
        return
    reply, expect = stand.ask(recording, piece), recording["expect"]
    if "error" in expect:
        refused(reply, recording)
        return
    assert reply.status_code == 200, reply.text
    ended = streamed(reply.content) if recording["stream"] else whole(reply.json())
    assert ended.text == expect["text"]
    assert [[call["name"], json.loads(call["arguments"] or "{}")] for call in ended.calls.values()] == expect["calls"]
    assert [call["id"] for call in ended.calls.values() if call["id"]] == expect["call_ids"] or not all(
        expect["call_ids"]
    )
    assert ended.finish == expect["finish"]
    if expect["reasoning"] is not None:
        assert ended.reasoning == expect["reasoning"]
    counted(ended.usage, expect)


def refused(reply: httpx.Response, recording: dict[str, Any]) -> None:
    error, expect = reply.json()["error"], recording["expect"]
    if recording["status"] in (401, 403):
        # The vendor's no is to our own key, not to the client's.
        assert (reply.status_code, error["code"]) == (502, "upstream_auth")
        return
    assert reply.status_code == recording["status"]
    assert expect["error"] in error["message"] or expect["error"] in (error["type"], error["code"])


def counted(usage: dict[str, Any] | None, expect: dict[str, Any]) -> None:
    if not expect["prompt"]:
        return
    assert usage is not None
    assert usage["prompt_tokens"] in expect["prompt"]
    assert usage["completion_tokens"] in expect["completion"]
    if expect["cached"] is not None:
        assert ((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0) == expect["cached"]


def test_where_the_vendor_is_asked(stand: Stand, recording: dict[str, Any] | None):
    if recording is None:
        return
    stand.ask(recording)
    heard = stand.vendor.heard[0]
    wanted = PATHS[recording["vendor"]][recording["stream"]]
    path, _, query = heard.path.partition("?")
    assert unquote(path) == wanted.partition("?")[0].replace("{model}", recording["model"])
    assert query == wanted.partition("?")[2]
    assert KEY in " ".join(heard.headers.values())
    assert KEY not in urlsplit(heard.path).query
