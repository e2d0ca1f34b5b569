"""How many tokens a request has: asked of a vendor in its words, or estimated."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import types

from gateway.chat import Blob, ChatRequest, Message, Text, Tool
from gateway.dialects import DIALECTS, openai_chat
from gateway.dialects.counting import COUNTERS, COUNTS, estimate, estimated_answer
from gateway.errors import CallerError, Fault, FaultKind
from gateway.translate import Asked, Counting, PassThrough, Translator, translator
from gateway.vendors import VENDORS, Vendor

NOW = 1_700_000_000.0
TOOL_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}

REQUESTS: dict[str, dict[str, Any]] = {
    "anthropic_count": {
        "model": "m",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hello there"}],
        "tools": [{"name": "weather", "description": "Of a city", "input_schema": TOOL_SCHEMA}],
    },
    "gemini_count": {"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]},
    "responses_count": {
        "model": "m",
        "instructions": "Be brief.",
        "input": "Hello there",
        "tools": [{"type": "function", "name": "weather", "parameters": TOOL_SCHEMA}],
    },
}
FIELDS = {"anthropic_count": "input_tokens", "gemini_count": "totalTokens", "responses_count": "input_tokens"}


def row(name: str, dialect: str) -> Vendor:
    return next(each for each in (VENDORS[name], *VENDORS[name].faces) if each.dialect == dialect)


ROWS = {
    "anthropic": row("anthropic", "anthropic_messages"),
    "google": row("google", "gemini"),
    "vertex": row("vertex", "gemini"),
    "bedrock": row("bedrock", "bedrock_converse"),
    "openai": row("openai", "openai_responses"),
}
ANSWERS = {
    "anthropic": '{"input_tokens":42}',
    "google": '{"totalTokens":42,"promptTokensDetails":[]}',
    "vertex": '{"totalTokens":42,"totalBillableCharacters":9}',
    "bedrock": '{"inputTokens":42}',
    "openai": '{"object":"response.input_tokens","input_tokens":42}',
}
# What each vendor's call for a count knows, by its own documentation; what else is sent to it is a 400.
KNOWN = {
    "anthropic": {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"},
    "google": {"contents", "generateContentRequest"},
    "vertex": {"contents", "systemInstruction", "tools", "generationConfig"},
    "bedrock": {"input"},
    "openai": {"model", "input", "instructions", "tools", "tool_choice", "reasoning", "text"},
}


def asked(client: str, body: dict[str, Any], vendor: str) -> tuple[Translator, Any]:
    said = json.dumps(body).encode()
    made = translator(DIALECTS[client], ROWS[vendor], "r1")
    out = made.request(Asked(said, DIALECTS[client].peek(said, "m"), "m", "vendors-name"))
    return made, json.loads(out.body)


@pytest.mark.parametrize("vendor", ROWS)
@pytest.mark.parametrize("client", REQUESTS)
def test_each_vendor_counts_for_each_client(client: str, vendor: str) -> None:
    made, written = asked(client, REQUESTS[client], vendor)
    assert written.keys() <= KNOWN[vendor]
    assert "Hello there" in json.dumps(written)
    read = made.whole(ANSWERS[vendor].encode(), NOW)
    assert not isinstance(read, Fault)
    body, whole = read
    assert json.loads(body)[FIELDS[client]] == 42
    assert whole.usage is None  # nothing was used: a count costs nothing


@pytest.mark.parametrize(
    ("client", "vendor", "passed"),
    [
        ("anthropic_count", "anthropic", True),
        ("gemini_count", "google", True),
        ("responses_count", "openai", True),
        ("gemini_count", "vertex", False),  # it has a shape of its own
        ("anthropic_count", "bedrock", False),
    ],
)
def test_a_vendor_of_the_clients_dialect_is_sent_what_was_said(client: str, vendor: str, passed: bool) -> None:
    made, _ = asked(client, REQUESTS[client], vendor)
    assert isinstance(made, PassThrough)
    assert isinstance(made, Counting) is not passed


WRAPPED = {
    "generateContentRequest": {
        "model": "models/m",
        "contents": [{"role": "user", "parts": [{"text": "Hello there"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
    }
}


def test_google_is_told_all_of_a_request_within_one() -> None:
    _, same = asked("gemini_count", WRAPPED, "google")
    assert same["generateContentRequest"] == WRAPPED["generateContentRequest"] | {"model": "models/vendors-name"}
    _, beside = asked("gemini_count", WRAPPED["generateContentRequest"], "google")
    assert beside == same
    _, plain = asked("gemini_count", REQUESTS["gemini_count"], "google")
    assert plain == REQUESTS["gemini_count"]
    _, other = asked("anthropic_count", REQUESTS["anthropic_count"], "google")
    assert other["generateContentRequest"]["model"] == "models/vendors-name"
    assert other["generateContentRequest"]["systemInstruction"] == {"parts": [{"text": "Be brief."}]}


def test_a_request_within_another_reaches_other_vendors_too() -> None:
    _, written = asked("gemini_count", WRAPPED, "anthropic")
    assert written["model"] == "vendors-name"
    assert "Be brief." in json.dumps(written["system"])
    assert DIALECTS["gemini_count"].peek(json.dumps(WRAPPED).encode()).model == "m"


def test_bedrock_is_asked_with_the_words_of_converse() -> None:
    _, written = asked("anthropic_count", REQUESTS["anthropic_count"], "bedrock")
    converse = written["input"]["converse"]
    assert converse.keys() == {"messages", "system", "toolConfig"}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"input_tokens":"7","totalTokens":true}', "[" * 5000])
def test_an_answer_without_a_count_is_a_fault(name: str, body: str) -> None:
    read = COUNTS[name].read(body.encode(), NOW)
    assert isinstance(read, Fault)
    assert read.kind is FaultKind.GARBLED


@pytest.mark.parametrize("client", COUNTERS)
def test_a_count_is_not_taken_for_an_answer(client: str) -> None:
    facts = DIALECTS[client].peek(json.dumps(REQUESTS[client] | {"stream": True}).encode(), "m")
    assert (facts.operation, facts.stream, facts.parameters) == ("count_tokens", False, {})


# Estimates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", COUNTERS)
def test_an_estimate_comes_in_the_clients_words(client: str) -> None:
    said = json.loads(estimated_answer(COUNTERS[client].FORMAT, json.dumps(REQUESTS[client]).encode()))
    assert 4 < said[FIELDS[client]] < 60


@pytest.mark.parametrize("client", COUNTERS)
def test_what_cannot_be_read_is_not_estimated(client: str) -> None:
    with pytest.raises(CallerError):
        estimated_answer(COUNTERS[client].FORMAT, b'{"model":')


def of(text: str = "", model: str = "gpt-5", **fields: Any) -> int:
    return estimate(ChatRequest(model=model, messages=(Message("user", (Text(text),)),), **fields))


ENGLISH = "The quick brown fox jumps over the lazy dog, and nobody knows why it did. "  # 18 by o200k_base
CHINESE = "人工智能正在改变世界。"  # 7 by o200k_base, 11 by DeepSeek's older models
CODE = "def add(first: int, second: int) -> int:\n    return first + second\n"  # 18 by o200k_base


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [(ENGLISH, 16, 22), (CHINESE, 6, 12), (CODE, 14, 24), ("1234567890", 3, 5), ("Donaudampfschiffahrt", 3, 7)],
)
def test_a_text_is_about_as_many_tokens_as_tokenizers_make_of_it(text: str, least: int, most: int) -> None:
    assert 100 * least <= of(text * 100) - of() <= 100 * most


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, CODE])
def test_a_long_text_is_guessed_at_by_samples(text: str) -> None:
    short, long = (of(text * number) - of() for number in (500, 50_000))
    assert long / short == pytest.approx(100, rel=0.02)


def test_images_and_tools_count() -> None:
    image = Blob("image", "image/png", "A" * 4_000_000)
    seen = estimate(ChatRequest(model="gpt-5", messages=(Message("user", (image,)),)))
    assert 200 < seen - of() < 2000  # whatever the size of the file
    tool = Tool("weather", "Of a city", TOOL_SCHEMA)
    assert of(tools=(tool,)) > of() + 8
    assert of(tools=(tool,), model="claude-sonnet-4-5") > of(model="claude-sonnet-4-5") + 400


RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"
# Some were sent on with more than the client said (prompts of the vendor's own), which nobody can estimate.
_MOST_OFF = 0.25


def counted_by_anthropic(body: str) -> list[int]:
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    found = [re.search(rf'"{name}":\s*(\d+)', body) for name in names]
    return [sum(int(each[1]) for each in found if each)] if found[0] else []


def recorded() -> list[tuple[str, int, int]]:
    """Name, estimated and counted, of conversations of texts alone that are not very short."""
    found = []
    for file in sorted(RECORDINGS.glob("*/*.json")):
        said = json.loads(file.read_bytes())
        asked = said.get("ingress")
        if said["status"] != 200 or not asked or asked.get("tools") or "image" in said["features"]:
            continue
        counts = said["expect"]["prompt"] or counted_by_anthropic(said.get("body") or "")
        request = openai_chat.decode_request(json.dumps(asked | {"model": said["model"]}).encode())
        guess = estimate(request)
        if counts and max(counts) >= 50 and guess >= 50:
            found.append((file.stem, guess, min(counts, key=lambda each: abs(each - guess))))
    return found


def test_estimates_are_near_what_vendors_counted() -> None:
    if not (all_of_them := recorded()):
        pytest.skip("no recordings beside the repository")
    off = [(name, guess, counted) for name, guess, counted in all_of_them if abs(guess - counted) > 0.3 * counted]
    assert len(off) <= _MOST_OFF * len(all_of_them), off


# The official SDKs ----------------------------------------------------------------------------------------------------


def serve(client: str, vendor: str, library: Any = httpx) -> Any:
    """``library``: the SDKs are not built on the same one."""

    def answer(request: Any) -> Any:
        made, _ = asked(client, json.loads(request.content), vendor)
        read = made.whole(ANSWERS[vendor].encode(), NOW)
        assert not isinstance(read, Fault)
        return library.Response(200, content=read[0], headers={"content-type": "application/json"})

    return library.Client(transport=library.MockTransport(answer))


@pytest.mark.parametrize("vendor", ROWS)
def test_the_sdks_read_counts(vendor: str) -> None:
    of_anthropic = anthropic.Anthropic(
        api_key="k", base_url="http://x", http_client=serve("anthropic_count", vendor, httpx2)
    )
    messages: Any = [{"role": "user", "content": "Hello there"}]
    assert of_anthropic.messages.count_tokens(model="m", messages=messages).input_tokens == 42
    of_openai = openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=serve("responses_count", vendor))
    assert of_openai.responses.input_tokens.count(model="m", input="Hello there").input_tokens == 42
    options = types.HttpOptions(base_url="http://x", httpx_client=serve("gemini_count", vendor))
    of_google = genai.Client(api_key="k", http_options=options)
    assert of_google.models.count_tokens(model="m", contents="Hello there").total_tokens == 42
