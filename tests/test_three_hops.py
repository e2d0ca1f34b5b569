"""One conversation, served by one vendor after another: each gets back what it signed itself, and nobody else's.

Whatever dialect the client speaks: it sends back what it was answered, as it came.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from gateway.chat import ChatResponse, Choice, Kept, Reasoning, Text, ToolCall
from gateway.dialects import DIALECTS, EGRESS, INGRESS
from gateway.tools import Care
from gateway.translate import Asked, Outgoing, Recall, translator
from gateway.vendors import VENDORS, Vendor
from gateway.vendors.openai import RESPONSES
from tests.corpus import case

Fields = dict[str, Any]


class Way(NamedTuple):
    """A vendor, a model of its, and who signs its thoughts."""

    vendor: Vendor
    model: str
    signer: str | None


WAYS = {
    "anthropic": Way(VENDORS["anthropic"], "claude-sonnet-4-5", "anthropic"),
    "bedrock": Way(VENDORS["bedrock"], "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic"),
    "google": Way(VENDORS["google"], "gemini-3-pro-preview", "gemini"),
    "responses": Way(RESPONSES, "gpt-5-codex", "openai"),
    "openai": Way(VENDORS["openai"], "gpt-5-mini", None),
}
FIRST = {
    # whoever has answered -> a signature of its own
    ("anthropic_messages", "tools"): "RXExbG9vbQ==",
    ("anthropic_messages", "unshown_thoughts"): "RXEyc2lsZW50",
    ("bedrock_converse", "tools"): "RXExbG9vbQ==",
    ("gemini", "tools"): "Z2VtaW5pMQ==",
    ("gemini", "signed_text"): "Z2VtaW5pMg==",
    ("openai_responses", "tools"): "gAAAAABo-first-seal==",
}
SIGNER = {
    "anthropic_messages": "anthropic",
    "bedrock_converse": "anthropic",
    "gemini": "gemini",
    "openai_responses": "openai",
}
FIRST_ASKED: dict[str, Fields] = {
    "anthropic_messages": {"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses": {"model": "m", "store": False, "input": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}


def sent_back(client: str, answer: Fields) -> Fields:
    """The next request: what was answered, as agents keep it, and a result for each call."""
    return {**FIRST_ASKED[client], **_KEEPERS[client](FIRST_ASKED[client], answer)}


def _by_anthropic(asked: Fields, answer: Fields) -> Fields:
    calls = [block["id"] for block in answer["content"] if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": each, "content": "so"} for each in calls]
    turn = {"role": "assistant", "content": answer["content"]}
    return {"messages": [*asked["messages"], turn, {"role": "user", "content": results or "Go on."}]}


def _by_codex(asked: Fields, answer: Fields) -> Fields:
    """It keeps no ids of thoughts."""
    said = [
        {key: value for key, value in item.items() if item["type"] != "reasoning" or key != "id"}
        for item in answer["output"]
    ]
    calls = [item["call_id"] for item in said if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": each, "output": "so"} for each in calls]
    return {"input": [*asked["input"], *said, *(results or [{"role": "user", "content": "Go on."}])]}


def _by_google(asked: Fields, answer: Fields) -> Fields:
    """It keeps no thoughts, but for the signatures of what came after them."""
    parts = [part for part in answer["candidates"][0]["content"]["parts"] if not part.get("thought")]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    results = [
        {"functionResponse": {"id": call["id"], "name": call["name"], "response": {"output": "so"}}} for call in calls
    ]
    turn = {"role": "model", "parts": parts}
    return {"contents": [*asked["contents"], turn, {"role": "user", "parts": results or [{"text": "Go on."}]}]}


_KEEPERS = {"anthropic_messages": _by_anthropic, "openai_responses": _by_codex, "gemini": _by_google}


def next_request(client: str, answer: ChatResponse, way: Way, recall: Recall = lambda call_id: None) -> Outgoing:
    dialect = DIALECTS[client]
    first = json.dumps(FIRST_ASKED[client]).encode()
    told = INGRESS[client].encode_answer(answer, id="x", model="m", created=0, asked=first)
    body = json.dumps(sent_back(client, json.loads(told))).encode()
    asked = Asked(body, dialect.peek(body, "m"), way.model, way.model, recall=recall)
    return translator(dialect, way.vendor).request(asked)


def remembered(answer: ChatResponse) -> Recall:
    parts = answer.choices[0].parts
    thoughts = tuple(part for part in parts if isinstance(part, Reasoning))
    kept = {part.id: Kept(thoughts, part.signature) for part in parts if isinstance(part, ToolCall)}
    return kept.get


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("first", FIRST, ids="-".join)
@pytest.mark.parametrize("client", FIRST_ASKED)
def test_each_vendor_gets_its_own_thoughts_and_no_others(client: str, first: tuple[str, str], way: Way):
    vendor, name = first
    answer = EGRESS[vendor].decode_answer(case(vendor, f"{name}.response.json"), 0.0)
    assert isinstance(answer, ChatResponse)
    made = next_request(client, answer, way, remembered(answer))
    sent = made.body.decode()
    assert "skein" not in sent
    assert "c2tlaW46" not in sent  # the same in base64
    assert (FIRST[first] in sent) == (SIGNER[vendor] == way.signer)
    if SIGNER[vendor] != way.signer and way.signer != "gemini":
        assert "signature" not in sent.lower()


IDS = ("functions.shell:0", "call_1", "t" * 300)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("client", FIRST_ASKED)
def test_ids_of_another_vendors_calls_are_legal_everywhere(client: str, way: Way):
    calls = tuple(ToolCall(each, "shell", "{}") for each in IDS)
    answer = ChatResponse(choices=(Choice((Text("I look."), *calls), "tool_calls"),))
    body = json.loads(next_request(client, answer, way).body)
    called, answered = ids_in(body)
    assert called == answered
    assert len(set(called)) == len(IDS)
    if way.signer == "anthropic":
        assert all(len(each) <= 256 and each.replace("_", "").replace("-", "").isalnum() for each in called)


def ids_in(body: Fields) -> tuple[list[str], list[str]]:
    """Of the calls, and of the results."""
    called: list[str] = []
    answered: list[str] = []

    def walk(said: Any) -> None:
        if isinstance(said, list):
            for each in said:
                walk(each)
        if not isinstance(said, dict):
            return
        answered.extend(said[key] for key in ("tool_use_id", "tool_call_id") if key in said)
        kind = said.get("type")
        if kind == "function_call_output":
            answered.append(said["call_id"])
        elif kind == "function_call":
            called.append(said["call_id"])
        elif kind == "tool_use" or (kind == "function" and "id" in said):
            called.append(said["id"])
        for key, value in said.items():
            if key in ("toolUse", "functionCall"):
                called.append(value.get("toolUseId") or value["id"])
            elif key in ("toolResult", "functionResponse"):
                answered.append(value.get("toolUseId") or value["id"])
            walk(value)

    walk(body)
    return called, answered


def test_the_vendor_that_names_its_calls_so_gets_its_own_names_back():
    answer = ChatResponse(choices=(Choice((ToolCall("functions.shell:0", "shell", "{}"),), "tool_calls"),))
    kimi = Way(VENDORS["kimi"], "kimi-k2-thinking", "kimi")
    called, answered = ids_in(json.loads(next_request("anthropic_messages", answer, kimi).body))
    assert called == answered == ["functions.shell:0"]


@pytest.mark.parametrize("client", FIRST_ASKED)
def test_openrouter_gets_the_signatures_of_calls_back_as_it_told_them(client: str):
    answer = ChatResponse(choices=(Choice((ToolCall("call_1", "look", "{}", "c2VhbA=="),), "tool_calls"),))
    way = Way(VENDORS["openrouter"], "google/gemini-3-pro-preview", "gemini")
    body = json.loads(next_request(client, answer, way, remembered(answer)).body)
    [said] = [each for each in body["messages"] if each["role"] == "assistant"]
    details = [{"type": "reasoning.encrypted", "data": "c2VhbA==", "id": "call_1", "format": "google-gemini-v1"}]
    assert said["reasoning_details"] == [{**each, "index": at} for at, each in enumerate(details)]
    read = EGRESS["openai_chat"].decode_answer(
        json.dumps({"choices": [{"message": said, "finish_reason": "tool_calls"}]}).encode(), 0.0
    )
    assert isinstance(read, ChatResponse)
    assert [part.signature for part in read.choices[0].parts if isinstance(part, ToolCall)] == ["c2VhbA=="]


# With repairs ---------------------------------------------------------------------------------------------------------

SHELL = {"name": "shell", "input_schema": {"type": "object", "properties": {}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
KIMI = VENDORS["kimi"]


def repaired(stream: bytes, *tools: Fields) -> bytes:
    """A stream of a vendor that speaks as the client does, its calls looked after."""
    asked = {**FIRST_ASKED["anthropic_messages"], "tools": tools, "stream": True}
    dialect, body = DIALECTS["anthropic_messages"], json.dumps(asked).encode()
    facts = dialect.peek(body)
    way = translator(dialect, KIMI, "x", Care(repair=True))
    way.request(Asked(body, facts, "kimi-k2", "kimi-k2"))
    passing = way.stream(facts, 0.0, keep_text=False)
    return passing.feed(stream, 0.0) + passing.end(0.0)


def test_thoughts_beside_calls_that_are_looked_after_stay_the_vendors_own():
    """They pass through on their way back: a mark on them would have them taken out."""
    out = repaired(case("anthropic_messages", "tools.stream.sse"), SHELL)
    assert b'"signature":"RXExbG9vbQ=="' in out
    assert b"skein:" not in out


def test_what_comes_of_tools_that_run_at_the_vendor_is_not_written_anew():
    stream = case("anthropic_messages", "odd_blocks.stream.sse")
    assert b"server_tool_use" in stream
    assert repaired(stream, SHELL, SEARCH) == repaired(stream)
    assert b"server_tool_use" in repaired(stream, SHELL, SEARCH)
