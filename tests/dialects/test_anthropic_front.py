"""Anthropic's Messages at the front door: what clients ask, what they read, and what passes by."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.abilities import abilities
from gateway.chat import (
    Began,
    Blob,
    Cache,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatRequest,
    ChatResponse,
    Choice,
    Counted,
    File,
    Finished,
    Output,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolChoice,
    Uri,
    Usage,
)
from gateway.dialects import EGRESS, anthropic_messages, openai_chat
from gateway.dialects.conduct import judged
from gateway.dialects.faults import refuses_signatures
from gateway.errors import CallerError, Fault, FaultKind
from gateway.passing import Passing
from gateway.resilience.verdict import error_of_caller
from gateway.sse import Frame, Splitter
from gateway.transcoding import Naming, Transcoding
from tests.corpus import answers, case, cases, streams
from tests.dialects.conversations import Conversation, conversations

FRONT = anthropic_messages
NOW = 1_700_000_000.0
RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings" / "anthropic"
RECORDED = sorted(RECORDINGS.glob("*.json")) if RECORDINGS.exists() else []
GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.openai_chat-anthropic_messages.json"))
REQUESTS = cases("anthropic_messages", "request.json")
STREAMS = [pytest.param(stream, id=name) for name, stream in streams("anthropic_messages").items()]
VENDORS = ("bedrock_converse", "cohere_chat", "gemini", "ollama_chat", "openai_chat")
MODELS = {
    "anthropic_messages": "claude-sonnet-4-5",
    "bedrock_converse": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere_chat": "command-a-03-2025",
    "gemini": "gemini-3-pro-preview",
    "ollama_chat": "qwen3",
    "openai_chat": "gpt-5",
}


def asked(**fields: Any) -> bytes:
    return json.dumps(
        {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **fields}
    ).encode()


def read(**fields: Any) -> ChatRequest:
    return FRONT.decode_request(asked(**fields))


def of_corpus(name: str) -> ChatRequest:
    return FRONT.decode_request(case("anthropic_messages", f"{name}.request.json"))


def said(*blocks: Any, role: str = "user") -> tuple[Any, ...]:
    made = read(messages=[{"role": "user", "content": "hi"}, {"role": role, "content": list(blocks)}])
    return made.messages[-1].parts


# Requests -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", MODELS)
@pytest.mark.parametrize("body", REQUESTS)
def test_every_request_can_be_told_every_vendor(body: bytes, vendor: str):
    made = EGRESS[vendor].encode_request(FRONT.decode_request(body), abilities(MODELS[vendor]))
    assert json.dumps(made.body)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_requests_are_read(path: Path):
    body = json.dumps(json.loads(path.read_bytes())["recorded_request"]).encode()
    made = FRONT.decode_request(body)
    assert made.messages
    assert FRONT.peek(body).model == made.model
    assert FRONT.planning(body, "Plan.", "Now.") is not None


def test_claude_code_loses_only_what_no_other_vendor_has():
    request = of_corpus("claude_code")
    for vendor in ("openai_chat", "gemini"):
        made = EGRESS[vendor].encode_request(request, abilities(MODELS[vendor]))
        lost = {each for each in made.dropped if "reasoning" not in each and "cache_control" not in each}
        # Its billing; and what OpenAI's chat or Gemini have no word for: that a tool failed, and who asks.
        assert lost <= {"system[0]", "messages[2].role", "messages[5].is_error", "user"}, vendor
    assert [each.role for each in request.messages] == ["system", "user", "system", "assistant", "tool", "tool"]
    assert request.thinking == Thinking("high", None, adaptive=True)
    assert len(request.tools) == 24
    assert request.user == "d" * 64
    assert request.messages[0].parts[0] == Text(
        "You are Claude Code, Anthropic's official CLI for Claude.", Cache("1h")
    )


def test_a_title_is_asked_for_as_json():
    request = of_corpus("claude_code_title")
    assert request.output is not None
    assert request.output.schema is not None
    assert request.output.schema["required"] == ["title"]
    assert request.tools == ()


@pytest.mark.parametrize("vendor", MODELS)
def test_a_budget_above_the_limit_of_the_answer_is_no_obstacle(vendor: str):
    request = of_corpus("qwen_code")
    assert request.thinking == Thinking(None, 32000)
    made = EGRESS[vendor].encode_request(request, abilities(MODELS[vendor]))
    if vendor == "anthropic_messages":
        assert made.body["thinking"]["budget_tokens"] < made.body["max_tokens"]


def test_every_parameter():
    request = of_corpus("every_parameter")
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k) == (2000, 0.5, 0.9, 40)
    assert request.stop == ("END", "STOP")
    assert (request.service_tier, request.user, request.metadata) == ("default", "ann", None)
    assert request.tool_choice == ToolChoice("required")
    assert request.parallel_tool_calls is False
    assert (request.tools[0].strict, request.tools[0].cache) == (True, Cache())
    assert request.extra == {}


def test_results_come_first_each_on_its_own():
    request = read(
        messages=[
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "a", "name": "look", "input": {"at": 1}},
                    {"type": "tool_use", "id": "b", "name": "run", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "and be quick"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "b",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "no"},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                        ],
                    },
                    {"type": "tool_result", "tool_use_id": "a"},
                ],
            },
        ]
    )
    first, second, words = request.messages[-3:]
    assert (first.role, second.role, words.role) == ("tool", "tool", "user")
    result: Any = first.parts[0]
    assert (result.id, result.name, result.failed) == ("b", "run", True)
    assert result.parts == (Text("no"), Blob("image", "image/png", "AA=="))
    empty: Any = second.parts[0]
    assert (empty.id, empty.name, empty.failed, empty.parts) == ("a", "look", False, ())
    assert words.parts == (Text("and be quick"),)


def test_images_and_documents_in_all_their_forms():
    request = of_corpus("media")
    parts = request.messages[0].parts
    assert isinstance(parts[0], Blob)
    assert parts[1:4] == (
        Uri("image", "https://example.com/a.png"),
        File("image", "file_1"),
        Blob("document", "application/pdf", "JVBERi0xLjQK", "Report"),
    )
    assert parts[4] == Blob("document", "text/plain", "UGxhaW4gd29yZHMu")
    texts = [each.content for each in parts if isinstance(each, Text)]
    assert texts == [
        "Chunks", "One.", "Two.", "Skeins\nhttps://example.com/skeins", "Geese in flight.", "What are these?",
    ]  # fmt: skip
    assert request.extra == {"messages[0].content[5].citations": {"enabled": True}}


def test_thoughts_are_whose_they_are():
    thoughts = [
        part for message in of_corpus("thoughts").messages for part in message.parts if isinstance(part, Reasoning)
    ]
    assert thoughts == [
        Reasoning("Anthropic's.", "c2lnbmVk", None, "anthropic"),
        Reasoning("", None, "ZGF0YQ==", "anthropic"),
        Reasoning("Gemini's.", "R2VtaW5p", None, "gemini"),
        Reasoning("", None, "gAAAA", "openai"),
        Reasoning("Nobody's."),
    ]


def test_what_runs_at_the_vendor_is_named():
    request = of_corpus("server_tools")
    assert request.extra.keys() == {
        "container", "mcp_servers", "messages[1].content[0]", "messages[1].content[1]", "messages[2].content[0]",
        "tools[0]", "tools[1].defer_loading", "tools[2]", "tool_choice",
    }  # fmt: skip
    assert [tool.name for tool in request.tools] == ["look"]
    made = EGRESS["openai_chat"].encode_request(request, abilities("gpt-5"))
    assert set(made.dropped) >= request.extra.keys()


@pytest.mark.parametrize(
    ("fields", "thinking", "extra"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, Thinking(None, 4096), {}),
        ({"thinking": {"type": "enabled"}}, Thinking("medium"), {}),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, Thinking(adaptive=True), {}),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            Thinking(adaptive=True),
            {"thinking.display": "omitted"},
        ),
        ({"thinking": {"type": "disabled"}}, Thinking("none"), {}),
        (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
            Thinking("none"),
            {"output_config.effort": "low"},
        ),
        ({"thinking": {"type": "between_tools"}}, None, {"thinking": {"type": "between_tools"}}),
        ({"output_config": {"effort": "xhigh"}}, Thinking("xhigh"), {}),
        ({"thinking": None, "output_config": None}, None, {}),
        ({"output_config": {"task_budget": {"total": 5}}}, None, {"output_config.task_budget": {"total": 5}}),
    ],
)
def test_how_hard_to_think(fields: dict[str, Any], thinking: Thinking | None, extra: dict[str, Any]):
    request = read(**fields)
    assert request.thinking == thinking
    assert request.extra == extra


@pytest.mark.parametrize("name", ["output_format", "output_config"])
def test_the_form_of_the_answer_by_its_new_and_its_old_name(name: str):
    form = {"type": "json_schema", "schema": {"type": "object"}}
    request = read(**{name: {"format": form} if name == "output_config" else form})
    assert request.output == Output({"type": "object"}, strict=True)


@pytest.mark.parametrize(
    "field",
    [
        {"context_management": {"edits": []}},
        {"context_management": None},
        {"mcp_servers": []},
        {"service_tier": "auto"},
        {"speed": "standard"},
        {"betas": []},
        {"stop_sequences": []},
        {"system": ""},
        {"system": []},
    ],
)
def test_what_asks_for_nothing_is_not_reported(field: dict[str, Any]):
    request = read(**field)
    assert request.extra == {}
    assert [message.role for message in request.messages] == ["user"]
    assert request.service_tier is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [7]}, "messages[0]"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": ["text"]}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source.type"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]},
        "messages[0].content[0].source.data",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]}]},
        "messages[0].content[0]",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": "x"}]}]},
        "messages[0].content[0].input",
    ),
    ({"messages": [{"role": "assistant", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0]"),
    ({"system": 7}, "system"),
    ({"system": [{"type": "tool_result"}]}, "system[0]"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"stop_sequences": [1]}, "stop_sequences"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tool_choice": "auto"}, "tool_choice"),
    ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"thinking": "much"}, "thinking"),
    ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ({"metadata": "ann"}, "metadata"),
]


@pytest.mark.parametrize(("fields", "where"), WRONG, ids=[where for _, where in WRONG])
def test_what_is_wrong_is_told_with_its_place(fields: dict[str, Any], where: str):
    with pytest.raises(CallerError) as raised:
        read(**fields)
    assert raised.value.status == 400
    assert raised.value.param == where
    assert raised.value.message.startswith(where)


KINDS = ["text", "tool_use", "thinking", "tool_result", "image", "base64", "url", "assistant", "user", "enabled", "x"]
KEYS = [
    *("type", "text", "role", "content", "source", "id", "name", "input", "tool_use_id", "signature", "thinking"),
    *("data", "is_error", "user_id", "format", "media_type", "url", "edits"),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from([*KINDS, "skein::", "{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["model", "system", "messages", "tools", "tool_choice", "thinking", "metadata", "output_config", "stream"]
        ),
        VALUES | st.lists(VALUES, max_size=3),
    )
)
def test_nothing_but_a_refusal_comes_of_any_body(fields: dict[str, Any]):
    body = asked(**fields)
    for reading in (FRONT.decode_request, FRONT.peek):
        with suppress(CallerError):
            reading(body)
    conversation = FRONT.conversation(body)
    conversation.fingerprint()
    for place, message in enumerate(conversation.messages):
        message.said()
        message.calls(place)
        message.size_of_calls()
        message.may_call(["x"])
    FRONT.cleared(body, True)
    FRONT.cleared(body, False)
    FRONT.planning(body, "Plan.", "Now.")
    FRONT.noted(body, "Note.")
    FRONT.prepended(body, [{"role": "system", "content": "First."}])


# A look at a request --------------------------------------------------------------------------------------------------


def test_peek_tells_what_routing_needs():
    facts = FRONT.peek(case("anthropic_messages", "claude_code.request.json"))
    assert (facts.model, facts.stream, facts.wants_usage, facts.tools, facts.structured) == (
        "claude-opus-5", True, True, True, False,
    )  # fmt: skip
    assert facts.session == "6b1e2c4e-0f5d-4c7a-9d54-3f0d9a1c2b77"
    assert facts.user == "d" * 64
    assert facts.parameters == {"max_tokens": 64000, "reasoning.level": "high"}
    title = FRONT.peek(case("anthropic_messages", "claude_code_title.request.json"))
    assert (title.tools, title.structured, title.session) == (False, True, facts.session)
    assert FRONT.peek(asked(stop_sequences=["a"], top_k=5)).parameters == {
        "max_tokens": 100, "top_k": 5, "stop_sequences": ["a"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "user", "session"),
    [
        ({"user_id": "user_ab12_account_1f-2e_session_3c-4d"}, "user_ab12_account_1f-2e", "3c-4d"),
        ({"user_id": "user_ab12_account__session_3c-4d"}, "user_ab12", "3c-4d"),
        ({"user_id": '{"device_id":"d","account_uuid":"a","session_id":"s"}'}, "a", "s"),
        ({"user_id": '{"broken'}, '{"broken', '{"broken'),
        ({"user_id": "ann"}, "ann", "ann"),
        ({"user_id": 7}, None, None),
        ({}, None, None),
        ("no object", None, None),
        (None, None, None),
    ],
)
def test_who_asks_and_in_which_conversation(metadata: Any, user: str | None, session: str | None):
    facts = FRONT.peek(asked(metadata=metadata))
    assert (facts.user, facts.session) == (user, session)


def test_the_model_may_be_named_elsewhere():
    facts = FRONT.peek(json.dumps({"messages": []}).encode(), "claude")
    assert (facts.model, facts.named) == ("claude", False)
    with pytest.raises(CallerError, match="model"):
        FRONT.peek(b"{}")


def test_a_conversation_has_its_results_one_by_one():
    conversation = FRONT.conversation(case("anthropic_messages", "claude_code.request.json"))
    assert [each.role for each in conversation.messages] == ["system", "user", "system", "assistant", "tool", "tool"]
    calls = conversation.messages[3].calls(3)
    assert [(each.id, each.tool) for each in calls] == [("toolu_01Aa", "Read"), ("toolu_01Bb", "Bash")]
    assert calls[0].arguments == {"file_path": "/w/src/theme.ts"}
    assert [each.answers for each in conversation.messages[4:]] == ["toolu_01Aa", "toolu_01Bb"]
    assert conversation.messages[5].said().flag is True
    assert conversation.messages[3].said().text == "I'll read it."
    assert len(conversation.tools) == 24
    assert conversation.size_of_tools > 1000
    assert [(each.tool, each.outcome) for each in judged(conversation)] == [("Read", "ok"), ("Bash", "error")]


def test_the_billing_header_makes_no_other_conversation():
    one = case("anthropic_messages", "claude_code.request.json")
    other = one.replace(b"cc_version=2.1.197.a1b", b"cc_version=2.1.197.zzz")
    assert FRONT.conversation(one).fingerprint() == FRONT.conversation(other).fingerprint()
    assert FRONT.conversation(one).fingerprint() != FRONT.conversation(one.replace(b"dark", b"dim")).fingerprint()


def test_images_and_files_are_counted():
    (message,) = FRONT.conversation(case("anthropic_messages", "media.request.json")).messages
    assert message.said()[:3] == ("What are these?", 3, 4)


# Changes to a request -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", REQUESTS)
def test_a_rewrite_changes_the_model_and_nothing_else(body: bytes):
    assert json.loads(FRONT.rewrite(body, "other")) == {**json.loads(body), "model": "other"}


@pytest.mark.parametrize(("given", "limit", "sent"), [(100, 50, 50), (100, 500, 100), (None, 50, 50)])
def test_the_limit_is_the_lower_one(given: int | None, limit: int, sent: int):
    fields = {} if given is None else {"max_tokens": given}
    body = json.dumps({"model": "m", **fields, "messages": []}).encode()
    made = json.loads(FRONT.rewrite(body, "m", max_tokens=limit, drop=frozenset(("top_k",))))
    assert made == {"model": "m", "max_tokens": sent, "messages": []}


def test_marked_thoughts_do_not_go_to_the_vendor():
    body = case("anthropic_messages", "thoughts.request.json")
    made, dropped = FRONT.cleared(body, False)
    assert dropped == ("messages[3].content[0]", "messages[5].content[0]", "messages[7].content[0]", "thinking")
    sent = json.loads(made)
    assert b"skein:" not in made
    assert "thinking" not in sent
    assert sent["messages"][1] == json.loads(body)["messages"][1]
    # The message that held nothing else is gone, and those around it are one.
    assert [each["role"] for each in sent["messages"]] == ["user", "assistant"] * 3 + ["user"]
    assert [each["text"] for each in sent["messages"][4]["content"]] == ["More.", "And more."]


def test_bare_is_without_any_thoughts():
    made, dropped = FRONT.cleared(case("anthropic_messages", "thoughts.request.json"), True)
    kinds = {
        block["type"]
        for each in json.loads(made)["messages"]
        if isinstance(each["content"], list)
        for block in each["content"]
    }
    assert kinds == {"text", "tool_use", "tool_result"}
    assert dropped[:2] == ("messages[1].content[0]", "messages[1].content[1]")


def test_nothing_to_clear_is_the_same_object():
    for name in ("claude_code", "plain", "media"):
        body = case("anthropic_messages", f"{name}.request.json")
        assert FRONT.cleared(body, False).body is body
    quoted = asked(messages=[{"role": "user", "content": 'What is "skein:x" and "thinking"?'}])
    assert FRONT.cleared(quoted, False).body is quoted
    assert FRONT.cleared(quoted, True).body is quoted


def test_thinking_that_lost_its_thought_is_put_off_with_what_needs_it():
    body = asked(
        thinking={"type": "enabled", "budget_tokens": 1024},
        context_management={"edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]},
        messages=[
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "skein:gemini:eA=="},
                    {"type": "tool_use", "id": "a", "name": "x", "input": {}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "ok"}]},
        ],
    )
    made, dropped = FRONT.cleared(body, False)
    assert dropped == ("messages[1].content[0]", "thinking", "context_management.edits")
    assert json.loads(made)["context_management"] == {"edits": [{"type": "clear_tool_uses_20250919"}]}


def test_a_note_ends_the_instructions():
    for system, noted in (
        (None, "Note."),
        ("Be brief.", "Be brief.\n\nNote."),
        ([{"type": "text", "text": "A."}], [{"type": "text", "text": "A."}, {"type": "text", "text": "Note."}]),
    ):
        body = asked(**({} if system is None else {"system": system}))
        made = FRONT.noted(body, "Note.")
        assert made is not None
        assert json.loads(made) == {**json.loads(body), "system": noted}
    assert FRONT.noted(b"[]", "Note.") is None


def test_a_managed_prompt_stands_before_everything():
    before = [{"role": "system", "content": "First."}, {"role": "user", "content": "An example."}]
    for system, told in (
        ("Be brief.", "First.\n\nBe brief."),
        ([{"type": "text", "text": "A."}], [{"type": "text", "text": "First."}, {"type": "text", "text": "A."}]),
    ):
        made = json.loads(FRONT.prepended(asked(system=system), before))
        assert made["system"] == told
        assert [each["content"] for each in made["messages"]] == ["An example.", "hi"]


def test_a_plan_is_asked_for_without_tools():
    made = FRONT.planning(case("anthropic_messages", "claude_code.request.json"), "Plan it.", "Now.")
    assert made is not None
    plan = json.loads(made)
    assert plan.keys() == {"model", "stream", "max_tokens", "metadata", "system", "messages"}
    assert plan["system"].startswith("Plan it.\n\n<agent-instructions>\n")
    assert "- Bash: What Bash does.\n  {" in plan["system"]
    assert [each["role"] for each in plan["messages"]] == ["user", "assistant", "user"]
    assert plan["messages"][1]["content"].startswith("I'll read it.\n\n[called Read {")
    assert plan["messages"][2]["content"].startswith(
        "[Read answered]\n\nexport const theme = 'light'\n\n[Bash answered]"
    )
    assert plan["messages"][2]["content"].endswith("\n\nNow.")
    assert "I look at the theme" not in made.decode()


# Answers, read by Anthropic's own SDK ---------------------------------------------------------------------------------


def client(body: bytes, status: int = 200) -> anthropic.Anthropic:
    kind = "text/event-stream" if body.startswith(b"event:") else "application/json"
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(status, content=body, headers={"content-type": kind})
    )
    return anthropic.Anthropic(
        api_key="k", base_url="http://here", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def whole(body: bytes) -> Any:
    return client(body).messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])


def streamed(body: bytes) -> Any:
    with client(body).messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream:
        return stream.get_final_message()


def encoded(*parts: Any, reason: Any = "stop", usage: Usage | None = None) -> bytes:
    answer = ChatResponse(choices=(Choice(parts, reason),), usage=usage)
    return FRONT.encode_answer(answer, id="x1", model="asked", created=0, asked=b"")


def written(*events: ChatEvent, usage: Usage | None = None) -> bytes:
    encoder = FRONT.stream_encoder(id="x1", model="asked", created=0, usage=True, asked=b"")
    out = b"".join(encoder.feed(event) for event in events) + encoder.end(usage, None)
    in_order(out)
    assert encoder.place == len(Splitter().feed(out))
    return out


def in_order(out: bytes) -> list[dict[str, Any]]:
    """The events, which must be in the order that is documented, one block after the other."""
    events = []
    for frame in Splitter().feed(out):
        events.append(json.loads(frame.data or b"{}"))
        assert frame.raw.startswith(f"event: {events[-1]['type']}\ndata: ".encode())
    kinds = [each["type"] for each in events if each["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    place, opened, signed = -1, None, False
    for each in events[1:-2]:
        if each["type"] == "content_block_start":
            assert opened is None
            place, opened, signed = place + 1, each["content_block"]["type"], False
        elif each["type"] == "content_block_stop":
            assert opened is not None
            assert signed or opened != "thinking"
            opened = None
        else:
            assert each["type"] == "content_block_delta"
            assert DELTAS[opened or ""] in each["delta"] or "signature" in each["delta"]
            assert not signed
            signed = each["delta"]["type"] == "signature_delta"
        assert each["index"] == place
    assert opened is None
    return events


DELTAS = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}

USAGE = Usage(input_tokens=120, output_tokens=30, cached_tokens=80, cache_write_tokens=10, reasoning_tokens=12)


def test_a_whole_answer():
    message = whole(
        encoded(
            Reasoning("Hm.", "sig", None, "anthropic"),
            Reasoning("", None, "opaque", "anthropic"),
            Text("Hello."),
            ToolCall("call_1", "look", '{"at": [1, 2.50]}'),
            ToolCall("", "look", ""),
            reason="tool_calls",
            usage=USAGE,
        )
    )
    assert (message.id, message.model, message.role, message.type) == ("msg_x1", "asked", "assistant", "message")
    thinking, redacted, text, call, bare = message.content
    assert (thinking.thinking, thinking.signature, redacted.data, text.text) == ("Hm.", "sig", "opaque", "Hello.")
    assert (call.id, call.name, call.input) == ("call_1", "look", {"at": [1, 2.5]})
    assert bare.id.startswith("toolu_")
    assert bare.input == {}
    assert (message.stop_reason, message.stop_sequence) == ("tool_use", None)
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (30, 80, 10)
    assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (30, 12)


@pytest.mark.parametrize(
    ("reason", "parts", "stop"),
    [
        ("stop", (Text("a"),), "end_turn"),
        ("length", (Text("a"),), "max_tokens"),
        ("tool_calls", (ToolCall("a", "b"),), "tool_use"),
        ("stop", (ToolCall("a", "b"),), "tool_use"),
        ("content_filter", (), "refusal"),
        ("stop", (Refusal("No."),), "refusal"),
    ],
)
def test_why_an_answer_ends(reason: Any, parts: tuple[Any, ...], stop: str):
    message = whole(encoded(*parts, reason=reason))
    assert message.stop_reason == stop
    refused = [part.content for part in parts if isinstance(part, Refusal)]
    assert [message.stop_details.explanation] == refused if refused else message.stop_details is None


def test_foreign_thoughts_come_back_marked():
    thoughts = (
        Reasoning("Gemini's.", "R2VtaW5p", None, "gemini"),
        Reasoning("OpenAI's.", None, "gAAA:A", "openai"),
        Reasoning("", None, "gAAAA", "openai"),
        Reasoning("Nobody's."),
        Reasoning("Claude's.", "sig", None, "anthropic"),
    )
    content = json.loads(encoded(*thoughts))["content"]
    read_back = said(*content, role="assistant")
    assert read_back == thoughts
    body = asked(messages=[{"role": "assistant", "content": content}])
    assert json.loads(FRONT.cleared(body, False).body)["messages"] == [{"role": "assistant", "content": content[-1:]}]


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_answer_is_the_same_whole_and_streamed(vendor: str):
    for pair in answers(vendor):
        response, stream = pair.values
        assert isinstance(response, bytes)
        answer = EGRESS[vendor].decode_answer(response, NOW)
        assert isinstance(answer, ChatResponse)
        if len(answer.choices) > 1 or any(choice.finish_reason in (None, "error") for choice in answer.choices):
            continue
        body = FRONT.encode_answer(answer, id="x1", model="asked", created=0, asked=b"")
        encoder = FRONT.stream_encoder(id="x1", model="asked", created=0, usage=True, asked=b"")
        transcoding = Transcoding(EGRESS[vendor].stream_decoder(), encoder, Naming())
        assert isinstance(stream, bytes)
        out = transcoding.feed(stream, NOW) + transcoding.end(NOW)
        in_order(out)
        one, other = whole(body).to_dict(), streamed(out).to_dict()
        for message in (one, other):
            without_media(message["content"])
        assert same_texts(one["content"]) == same_texts(other["content"]), pair.id
        assert one["stop_reason"] == other["stop_reason"], pair.id
        assert one["usage"]["output_tokens"] == other["usage"]["output_tokens"]


def without_media(content: list[dict[str, Any]]) -> None:
    """Streams carry none."""
    content[:] = [block for block in content if block["type"] in ("text", "thinking", "redacted_thinking", "tool_use")]


def same_texts(content: list[dict[str, Any]]) -> list[Any]:
    """Texts that follow each other are one."""
    made: list[Any] = []
    for block in content:
        said = {key: value for key, value in block.items() if key != "id" or block["type"] != "tool_use"}
        if made and said["type"] == made[-1]["type"] == "text":
            made[-1]["text"] += said["text"]
        else:
            made.append(said)
    return made


@pytest.mark.parametrize("vendor", ["anthropic_messages", *VENDORS])
def test_what_was_written_is_read_as_it_was(vendor: str):
    for pair in answers(vendor):
        response = pair.values[0]
        assert isinstance(response, bytes)
        answer = EGRESS[vendor].decode_answer(response, NOW)
        assert isinstance(answer, ChatResponse)
        body = FRONT.encode_answer(answer, id="x1", model="asked", created=0, asked=b"")
        again = FRONT.decode_answer(body, NOW)
        assert isinstance(again, ChatResponse)
        assert FRONT.encode_answer(again, id="x1", model="asked", created=0, asked=b"") == body or vendor != FRONT.NAME
        assert (
            again.usage == answer.usage or answer.usage is None or answer.usage.cost or answer.usage.input_audio_tokens
        )


def test_a_stream():
    message = streamed(
        written(
            Began("msg_9", "claude"),
            Counted(Usage(input_tokens=100, cached_tokens=60)),
            ReasoningDelta("Let me "),
            ReasoningDelta("see."),
            ReasoningSealed(Reasoning("Let me see.", "sig", None, "anthropic")),
            TextDelta("Hel"),
            TextDelta("lo."),
            CallBegan(0, "call_1", "look"),
            CallDelta(0, '{"at"'),
            CallDelta(0, ": 1}"),
            CallBegan(1, "", "bare"),
            Finished("tool_calls"),
            Counted(USAGE),
            usage=USAGE,
        )
    )
    assert (message.id, message.model, message.stop_reason) == ("msg_9", "claude", "tool_use")
    thinking, text, call, bare = message.content
    assert (thinking.thinking, thinking.signature, text.text) == ("Let me see.", "sig", "Hello.")
    assert (call.id, call.name, call.input, bare.input) == ("call_1", "look", {"at": 1}, {})
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (30, 80)
    assert message.usage.output_tokens == 30


def test_an_empty_answer_is_one_all_the_same():
    message = streamed(written(Finished("stop")))
    assert (message.content, message.stop_reason, message.usage.output_tokens) == ([], "end_turn", 0)


def test_a_refusal_is_told_beside_the_reason():
    message = streamed(written(RefusalDelta("I "), RefusalDelta("won't."), Finished("stop")))
    assert (message.stop_reason, message.stop_details.explanation) == ("refusal", "I won't.")


def test_calls_made_side_by_side_come_one_after_the_other():
    calls: list[ChatEvent] = [CallBegan(0, "a", "one"), CallBegan(1, "b", "two")]
    pieces = [
        CallDelta(1, '{"x"'),
        CallDelta(0, '{"y": '),
        CallDelta(1, ": 1}"),
        CallDelta(0, "2}"),
        TextDelta("Then."),
    ]
    message = streamed(written(*calls, *pieces, Finished("tool_calls")))
    first, second, text = message.content
    assert (first.id, first.input, second.id, second.input, text.text) == ("a", {"y": 2}, "b", {"x": 1}, "Then.")


def test_the_next_call_is_live_as_soon_as_the_one_before_is_whole():
    encoder = FRONT.stream_encoder(id="x", model="m", created=0, usage=True, asked=b"")
    for event in (CallBegan(0, "a", "one"), CallBegan(1, "b", "two"), CallDelta(0, '{"y": 2}')):
        encoder.feed(event)
    assert b'"id":"b"' in encoder.feed(CallDelta(1, '{"x"'))
    assert b'\\"z\\"' in encoder.feed(CallDelta(1, ': "z"'))


def test_a_late_seal_is_not_lost():
    sealed = ReasoningSealed(Reasoning("Hm.", "R2Vt", None, "gemini"))
    message = streamed(written(ReasoningDelta("Hm."), TextDelta("So."), sealed, Finished("stop")))
    assert [block.type for block in message.content] == ["thinking", "text", "thinking"]
    assert [block.signature for block in message.content if block.type == "thinking"] == [
        "skein::",
        "skein:gemini:R2Vt",
    ]
    assert message.content[2].thinking == ""


def test_thoughts_that_cannot_be_read_are_blocks_of_their_own():
    own = ReasoningSealed(Reasoning("", None, "own", "anthropic"))
    foreign = ReasoningSealed(Reasoning("", None, "theirs", "openai"))
    shown = ReasoningSealed(Reasoning("Shown.", "sig", None, "anthropic"))
    message = streamed(written(own, foreign, shown, ReasoningDelta("More."), Finished("stop")))
    assert [block.to_dict() for block in message.content] == [
        {"type": "redacted_thinking", "data": "own"},
        {"type": "redacted_thinking", "data": "skein:openai::theirs"},
        {"type": "thinking", "thinking": "Shown.", "signature": "sig"},
        {"type": "thinking", "thinking": "More.", "signature": "skein::"},
    ]


EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, st.sampled_from(["", "a", 'b"\n', "é🧵"])),
        st.builds(ReasoningDelta, st.sampled_from(["", "hm"])),
        st.builds(
            ReasoningSealed,
            st.builds(
                Reasoning,
                st.sampled_from(["", "hm"]),
                st.sampled_from([None, "sig"]),
                st.sampled_from([None, "opaque"]),
                st.sampled_from([None, "anthropic", "gemini"]),
            ),
        ),
        st.builds(CallBegan, st.integers(0, 3), st.just("id"), st.just("tool")),
        st.builds(CallDelta, st.integers(0, 3), st.sampled_from(["", "{", "}", '"a":1', " "])),
        st.builds(TextDelta, st.just("other"), st.just(1)),
        st.builds(RefusalDelta, st.just("no")),
        st.just(Counted(USAGE)),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_the_order_of_events_holds_whatever_comes(events: list[ChatEvent]):
    begun: set[int] = set()
    fed: list[ChatEvent] = []
    for event in events:
        if isinstance(event, CallBegan):
            if event.place in begun:
                continue
            begun.add(event.place)
            event = CallBegan(event.place, f"id_{event.place}", "tool")
        fed.append(event)
    out = in_order(written(*fed, Finished("stop")))
    texts = "".join(each["delta"]["text"] for each in out if each.get("delta", {}).get("type") == "text_delta")
    assert texts == "".join(each.text for each in fed if isinstance(each, TextDelta) and not each.choice)
    calls = [each["content_block"]["id"] for each in out if each.get("content_block", {}).get("type") == "tool_use"]
    assert sorted(calls) == sorted(f"id_{place}" for place in begun)


# Answers on their way through -----------------------------------------------------------------------------------------


def passed(pieces: Iterable[bytes]) -> tuple[bytes, Passing]:
    passing = Passing(FRONT, keep_text=True)
    out = b"".join(passing.feed(piece, NOW) for piece in pieces)
    return out + passing.end(NOW), passing


@pytest.mark.parametrize("stream", STREAMS)
def test_what_is_told_of_a_stream_does_not_depend_on_how_it_is_cut(stream: bytes):
    at_once, once = passed([stream])
    for size in (1, 7, 100):
        out, passing = passed(stream[at : at + size] for at in range(0, len(stream), size))
        for name in ("usage", "reasons", "id", "model", "calls", "text", "tool", "output"):
            assert "".join(passing.digest.text) == "".join(once.digest.text)
            assert name == "text" or getattr(passing.digest, name) == getattr(once.digest, name), name
        assert (passing.fault, passing.done) == (once.fault, once.done)
        assert out == at_once


@pytest.mark.parametrize(("response", "stream"), answers("anthropic_messages"))
def test_a_stream_tells_what_the_whole_answer_tells(response: bytes, stream: bytes):
    told, (_, passing) = FRONT.read_whole(response, NOW), passed([stream])
    assert not isinstance(told, Fault)
    assert passing.digest.usage == told.usage
    assert (passing.digest.id, passing.digest.model) == (told.id, told.model)
    assert "".join(passing.digest.text) == FRONT.spoken(response)
    heard = [
        (each.id, each.tool, json.loads(each.arguments or "{}")) for each in passing.digest.heard(content=True).calls
    ]
    assert heard == [(each.id, each.tool, json.loads(each.arguments or "{}")) for each in told.calls]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_answers_pass_as_they_are(path: Path):
    record = json.loads(path.read_bytes())
    body = record["body"].encode()
    if record["status"] != 200:
        return
    if record["stream"]:
        out, passing = passed([body])
        assert out == body
        assert (passing.done, passing.fault, passing.digest.skipped) == (True, None, 0)
        assert passing.digest.usage is not None
        assert passing.digest.usage.output_tokens > 0
        assert passing.digest.id
    else:
        read_back = FRONT.read_whole(body, NOW)
        assert not isinstance(read_back, Fault)
        assert read_back.usage is not None


def test_a_vendor_that_forgets_to_close_is_closed_for():
    stream = case("anthropic_messages", "plain.stream.sse")
    cut = stream[: stream.index(b"event: message_stop")]
    out, passing = passed([cut])
    assert out == cut + FRONT.CLOSING
    assert passing.done
    assert streamed(out).stop_reason == "end_turn"
    out, passing = passed([cut[: cut.index(b"event: message_delta")]])
    assert not passing.complete
    assert b"message_stop" not in out


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', FaultKind.OVERLOADED),
        ('{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', FaultKind.RATE_LIMITED),
        ('{"type":"error","error":{"type":"api_error","message":"x"}}', FaultKind.SERVER_ERROR),
        (
            '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 2 > 1"}}',
            FaultKind.CONTEXT_TOO_LONG,
        ),
        ('{"error":{"message":"x","type":"server_error"}}', FaultKind.SERVER_ERROR),
    ],
)
def test_an_error_in_a_stream_is_a_fault(data: str, kind: FaultKind):
    seen = FRONT.glimpse(Frame(b"", data.encode(), b"error" if '"type":"error"' in data else b""), NOW)
    assert seen.fault is not None
    assert seen.fault.kind is kind


@pytest.mark.parametrize(
    ("data", "damaged"),
    [
        ('{"type":"content_block_delta","index":"x","delta":{}}', False),
        ('{"type":"something_new","index":0}', False),
        ('{"type":"ping"}', False),
        ("[DONE]", False),
        ("[]", True),
        ('{"type":"content_bl', True),
        ("", True),
    ],
)
def test_what_is_not_known_passes_and_what_cannot_be_read_does_not(data: str, damaged: bool):
    seen = FRONT.glimpse(Frame(b"", data.encode()), NOW)
    assert (seen.damaged, seen.output, seen.fault, seen.done) == (damaged, False, None, False)


@pytest.mark.parametrize("stream", STREAMS)
def test_to_skim_tells_what_a_look_tells(stream: bytes):
    for frame in Splitter().feed(stream):
        for calling in (True, False):
            (text,) = FRONT.skim([frame.data or b""], calling)
            if text is None:
                continue
            seen = FRONT.glimpse(frame, NOW)
            assert (seen.text, seen.output, seen.reasons, seen.usage, seen.done) == (text, True, {}, None, False)
            assert not seen.calls or calling


def test_an_error_for_an_answer_is_no_answer():
    read_back = FRONT.read_whole(b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}', NOW)
    assert isinstance(read_back, Fault)
    assert read_back.kind is FaultKind.OVERLOADED
    for body in (b"", b"{}", b"[]", b"<html>", b'{"content": 7}'):
        assert isinstance(FRONT.read_whole(body, NOW), Fault)


def test_the_cost_is_of_all_that_was_told():
    passing = Passing(FRONT)
    passing.price = lambda usage: usage.input_tokens + usage.output_tokens / 1000
    stream = case("anthropic_messages", "cached.stream.sse")
    out = passing.feed(stream, NOW) + passing.end(NOW)
    told = passing.digest.usage
    assert told is not None
    assert told.input_tokens
    costs = [
        data["usage"]["cost"] for frame in Splitter().feed(out) if "usage" in (data := json.loads(frame.data or b""))
    ]
    assert costs == [told.input_tokens + told.output_tokens / 1000]
    assert streamed(out).usage.output_tokens == told.output_tokens


def test_a_turn_that_began_without_a_thought_is_asked_again_without_thinking():
    message = (
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` "
        "is enabled, a final `assistant` message must start with a thinking block"
    )
    assert refuses_signatures(Fault(kind=FaultKind.BAD_REQUEST, message=message))
    turn = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "x", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}
    budget = {"type": "enabled", "budget_tokens": 1024}
    body = asked(thinking=budget, messages=[{"role": "user", "content": "go"}, turn, result])
    assert FRONT.cleared(body, False).body is body
    made, dropped = FRONT.cleared(body, True)
    assert dropped == ("thinking",)
    assert "thinking" not in json.loads(made)


# Errors ---------------------------------------------------------------------------------------------------------------


def error(status: int, code: str = "x", message: str = "It went wrong.") -> dict[str, Any]:
    return error_of_caller(CallerError(status, code, message), "req_1")


@pytest.mark.parametrize(
    ("status", "raised", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.RequestTooLargeError, "request_too_large"),
        (422, anthropic.UnprocessableEntityError, "invalid_request_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (502, anthropic.InternalServerError, "api_error"),
        (503, anthropic.ServiceUnavailableError, "overloaded_error"),
        (504, anthropic.DeadlineExceededError, "timeout_error"),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ],
)
def test_the_sdk_raises_what_it_would_raise_of_anthropic(status: int, raised: type[Exception], kind: str):
    with pytest.raises(raised) as info:
        client(FRONT.error_body(error(status), status), status).messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        )
    told: Any = info.value
    assert (told.type, told.api_message, told.error_code) == (kind, "It went wrong.", "x")
    assert told.body["error"]["origin"] == "caller"
    assert told.body["request_id"] == "req_1"


def test_an_error_in_the_middle_of_a_stream_is_raised():
    begun = written(TextDelta("Hel"), Finished("stop"))
    broken = begun[: begun.index(b"event: content_block_stop")] + FRONT.error_frame(error(529), 529, 3)
    with pytest.raises(anthropic.APIStatusError) as info:
        streamed(broken)
    assert info.value.type == "overloaded_error"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "This model's maximum context length is 5 tokens.",
            "prompt is too long: This model's maximum context length is 5 tokens.",
        ),
        ("prompt is too long: 205000 tokens > 200000 maximum", "prompt is too long: 205000 tokens > 200000 maximum"),
    ],
)
def test_a_full_window_is_told_as_agents_know_it(message: str, told: str):
    body = json.loads(FRONT.error_body(error(400, "context_length_exceeded", message), 400))
    assert body["error"]["message"] == told


def test_a_sign_of_life_may_come_before_the_first_event():
    assert streamed(FRONT.KEEPALIVE * 2 + written(TextDelta("Hi."), Finished("stop"))).content[0].text == "Hi."


# Laws -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name.partition(".")[0])
def test_what_we_ask_of_claude_is_read_as_it_was_meant(path: Path):
    said = json.loads(path.read_bytes())
    if "messages" in said.get("body", {}):
        assert again(said["body"]) == normal(said["body"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(conversation=conversations())
def test_any_conversation_is_read_as_it_was_meant(conversation: Conversation):
    request = {**conversation.request, "model": MODELS["anthropic_messages"]}
    hub = openai_chat.decode_request(json.dumps(request).encode())
    body = json.loads(json.dumps(FRONT.encode_request(hub, abilities(hub.model)).body))
    assert again(body) == normal(body)


def again(body: dict[str, Any]) -> dict[str, Any]:
    """Read by us and written by us once more."""
    hub = FRONT.decode_request(json.dumps(body).encode())
    made: dict[str, Any] = json.loads(json.dumps(FRONT.encode_request(hub, abilities(hub.model)).body))
    return made


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """Of several messages of an assistant in a row, which are one for Anthropic, the thoughts come first."""
    made: dict[str, Any] = json.loads(json.dumps(body))
    if made.get("service_tier") == "auto":
        # The default, which asks for nothing.
        del made["service_tier"]
    for message in made["messages"]:
        if isinstance(message["content"], list):
            message["content"].sort(key=lambda block: block["type"] not in ("thinking", "redacted_thinking"))
    return made
