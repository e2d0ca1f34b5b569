"""Ollama's own chat: requests as its client sends them, answers line by line."""

from __future__ import annotations

import json
from typing import Any

import httpx
import ollama
import pytest

from gateway.abilities import UNKNOWN, Abilities
from gateway.chat import (
    Began,
    Blob,
    Cache,
    CallBegan,
    CallDelta,
    ChatRequest,
    ChatResponse,
    Counted,
    Damaged,
    Ended,
    Failed,
    Finished,
    Message,
    Output,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Text,
    TextDelta,
    Thinking,
    Tool,
    ToolCall,
    ToolCallResponse,
    ToolChoice,
    Uri,
    Usage,
)
from gateway.dialects import INGRESS, ollama_chat
from gateway.errors import Fault, FaultKind

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER, CLOCK = Tool("weather", "Of a city", CITY), Tool("clock")
HI = (Message("user", (Text("hi"),)),)


def encoded(
    messages: tuple[Message, ...] = HI, able: Abilities = UNKNOWN, model: str = "qwen3:8b", **said: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    made = ollama_chat.encode_request(ChatRequest(model=model, messages=messages, **said), able)
    return made.body, made.dropped


def function(name: str, parameters: dict[str, Any] | None = None, **said: Any) -> dict[str, Any]:
    empty = {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, **said, "parameters": parameters or empty}}


# Request --------------------------------------------------------------------------------------------------------------

SAID: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    # what is said -> what the body has beside model and messages; what is dropped
    "nothing": ({}, {"stream": False}, ()),
    "a stream": ({"stream": True}, {"stream": True}, ()),
    "options": (
        {
            "max_tokens": 9,
            "temperature": 0.5,
            "top_p": 1.0,
            "top_k": 4,
            "seed": 0,
            "stop": ("a", "b"),
            "frequency_penalty": 0.1,
            "presence_penalty": -0.1,
        },
        {
            "stream": False,
            "options": {
                "num_predict": 9,
                "temperature": 0.5,
                "top_p": 1.0,
                "top_k": 4,
                "seed": 0,
                "stop": ["a", "b"],
                "frequency_penalty": 0.1,
                "presence_penalty": -0.1,
            },
        },
        (),
    ),
    "its own words": (
        {"seed": 1, "extra": {"options": {"num_ctx": 99, "seed": 2}, "keep_alive": "5m", "min_p": 0.1, "store": True}},
        {"stream": False, "options": {"seed": 2, "num_ctx": 99, "min_p": 0.1}, "keep_alive": "5m"},
        ("store",),
    ),
    "any JSON": ({"output": Output()}, {"stream": False, "format": "json"}, ()),
    "a schema": ({"output": Output(CITY, "city", strict=True)}, {"stream": False, "format": CITY}, ()),
    "tools": (
        {"tools": (WEATHER, CLOCK), "tool_choice": ToolChoice("auto")},
        {"stream": False, "tools": [function("weather", CITY, description="Of a city"), function("clock")]},
        (),
    ),
    "no tool is to be called": ({"tools": (CLOCK,), "tool_choice": ToolChoice("none")}, {"stream": False}, ()),
    "one tool is to be called": (
        {"tools": (WEATHER, CLOCK), "tool_choice": ToolChoice("named", ("clock",)), "parallel_tool_calls": False},
        {"stream": False, "tools": [function("clock")]},
        ("tool_choice", "parallel_tool_calls"),
    ),
    "a property that may be anything": (
        {"tools": (Tool("t", None, {"properties": {"a": True, "b": {"properties": {"c": True}}}}, True, Cache()),)},
        {"stream": False, "tools": [function("t", {"properties": {"a": {}, "b": {"properties": {"c": {}}}}})]},
        ("tools[0].function.strict", "tools[0].cache_control"),
    ),
    "thinking": ({"thinking": Thinking("high")}, {"stream": False, "think": True}, ()),
    "no thinking": ({"thinking": Thinking("none")}, {"stream": False, "think": False}, ()),
    "a budget": (
        {"thinking": Thinking(budget=99)},
        {"stream": False, "think": True},
        ("thinking.budget_tokens",),
    ),
    "logprobs": ({"logprobs": True, "top_logprobs": 2}, {"stream": False, "logprobs": True, "top_logprobs": 2}, ()),
    "logprobs of a stream": ({"logprobs": True, "stream": True}, {"stream": True}, ("logprobs",)),
    "what it has no words for": (
        {"choices": 2, "user": "u", "metadata": {"a": "b"}, "service_tier": "flex", "verbosity": "low"},
        {"stream": False},
        ("n", "user", "metadata", "service_tier", "verbosity"),
    ),
}


@pytest.mark.parametrize(("said", "body", "dropped"), SAID.values(), ids=SAID)
def test_what_is_said_of_the_answer(said: dict[str, Any], body: dict[str, Any], dropped: tuple[str, ...]):
    made, lost = encoded(**said)
    assert made == {"model": "qwen3:8b", "messages": [{"role": "user", "content": "hi"}], **body}
    assert lost == dropped


LEVELS = {"none": ("low", ("reasoning_effort",)), "minimal": ("low", ()), "medium": ("medium", ()), "max": ("high", ())}


@pytest.mark.parametrize(("effort", "level"), LEVELS.items())
def test_gpt_oss_thinks_by_levels(effort: str, level: tuple[str, tuple[str, ...]]):
    body, dropped = encoded(model="gpt-oss:20b", thinking=Thinking(effort))
    assert (body["think"], dropped) == level


def test_a_model_that_does_not_think_is_not_told_to():
    body, dropped = encoded(able=Abilities(thinking="none"), thinking=Thinking("low"))
    assert "think" not in body
    assert dropped == ("reasoning_effort",)


WINDOWS = {
    "nobody knows": (None, 10, None),
    "a small model": (8192, 10, 8192),
    "the usual": (131072, 10, 32768),
    "a talk that outgrows it": (131072, 120_000, 65536),
    "a long talk": (131072, 200_000, 131072),
    "longer": (1_000_000, 200_000, 131072),
    "longer than it can hold": (65536, 10**6, 65536),
}


@pytest.mark.parametrize(("window", "letters", "held"), WINDOWS.values(), ids=WINDOWS)
def test_the_window_holds_the_conversation(window: int | None, letters: int, held: int | None):
    body, _ = encoded((Message("user", (Text("x" * letters),)),), Abilities(window=window))
    assert body.get("options", {}).get("num_ctx") == held


MESSAGES: dict[str, tuple[tuple[Message, ...], list[dict[str, Any]], tuple[str, ...]]] = {
    "roles": (
        (Message("developer", (Text("a"),)), Message("user", (Text("b"), Text("c")), name="ann")),
        [{"role": "system", "content": "a"}, {"role": "user", "content": "b\nc"}],
        ("messages[1].name",),
    ),
    "images are bytes": (
        (
            Message(
                "user",
                (
                    Text("see", Cache()),
                    Blob("image", "image/png", "QUJD", detail="low"),
                    Uri("image", "https://e.com/a.png"),
                    Blob("document", "application/pdf", "QUJD"),
                ),
            ),
        ),
        [{"role": "user", "content": "see", "images": ["QUJD"]}],
        (
            "messages[0].content[0].cache_control",
            "messages[0].content[1].image_url.detail",
            "messages[0].content[2]",
            "messages[0].content[3]",
        ),
    ),
    "calls and results": (
        (
            Message("assistant", (Reasoning("hm"), Text("I look."), ToolCall("a", "weather", '{"city":"Oslo"}'))),
            Message("tool", (ToolCallResponse("a", "weather", (Text("1"), Blob("image", "image/png", "QQ=="))),)),
        ),
        [
            {
                "role": "assistant",
                "content": "I look.",
                "thinking": "hm",
                "tool_calls": [{"id": "a", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
            },
            {"role": "tool", "content": "1", "images": ["QQ=="], "tool_call_id": "a", "tool_name": "weather"},
        ],
        (),
    ),
    "odd arguments": (
        (Message("assistant", (ToolCall("a", "f", "{oops"), ToolCall("b", "f", "[1]"), ToolCall("c", "f", ""))),),
        [
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "a", "function": {"name": "f", "arguments": {"arguments": "{oops"}}},
                    {"id": "b", "function": {"name": "f", "arguments": {"arguments": [1]}}},
                    {"id": "c", "function": {"name": "f", "arguments": {}}},
                ],
            }
        ],
        (),
    ),
    "another's thoughts": (
        (Message("assistant", (Reasoning("hm", "sig", format="anthropic"), Text("b"))),),
        [{"role": "assistant", "content": "b"}],
        ("messages[0].reasoning_content",),
    ),
    "a result without a name": (
        (Message("tool", (ToolCallResponse("a", "", (Text("1"),)),)),),
        [{"role": "tool", "content": "1", "tool_call_id": "a"}],
        (),
    ),
}


@pytest.mark.parametrize(("messages", "written", "dropped"), MESSAGES.values(), ids=MESSAGES)
def test_messages(messages: tuple[Message, ...], written: list[dict[str, Any]], dropped: tuple[str, ...]):
    body, lost = encoded(messages)
    assert body["messages"] == written
    assert lost == dropped


# Response -------------------------------------------------------------------------------------------------------------


def line(**said: Any) -> dict[str, Any]:
    message = {"role": "assistant", **said}
    return {"model": "q", "created_at": "2026-11-21T12:00:00.123456789Z", "message": message, "done": False}


def last(**said: Any) -> dict[str, Any]:
    counted = {"total_duration": 9, "prompt_eval_count": 11, "eval_count": 4}
    return {**line(content=""), "done": True, "done_reason": "stop", **counted, **said}


def decoded(body: dict[str, Any]) -> ChatResponse:
    made = ollama_chat.decode_answer(json.dumps(body).encode(), 0.0)
    assert isinstance(made, ChatResponse)
    return made


WEATHERED = {"function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}}}


def test_parts_of_an_answer():
    message = {"content": "yes", "thinking": "hm", "tool_calls": [{"id": "a", **WEATHERED}], "new": 1}
    answer = decoded({**last(), "message": message})
    (choice,) = answer.choices
    assert choice.parts == (Reasoning("hm"), Text("yes"), ToolCall("a", "weather", '{"city": "Oslo"}'))
    assert choice.finish_reason == "tool_calls"
    assert answer.model == "q"
    assert answer.usage == Usage(input_tokens=11, output_tokens=4)


def test_a_call_without_an_id_is_given_one_of_its_own():
    calls = [WEATHERED, WEATHERED]
    here = decoded({**last(), "message": {"tool_calls": calls}}).choices[0].parts
    again = decoded({**last(), "message": {"tool_calls": calls}}).choices[0].parts
    later = decoded({**last(), "created_at": "later", "message": {"tool_calls": calls}}).choices[0].parts
    ids = [part.id for part in (*here, *later) if isinstance(part, ToolCall)]
    assert here == again
    assert len(set(ids)) == 4


FINISHES = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop", None: "stop"}


@pytest.mark.parametrize(("said", "reason"), FINISHES.items())
def test_finish_reasons(said: str | None, reason: str):
    assert decoded(last(done_reason=said)).choices[0].finish_reason == reason


def test_usage_may_be_missing():
    assert decoded(last(prompt_eval_count=None)).usage == Usage(output_tokens=4)
    assert decoded(last(prompt_eval_count=None, eval_count=None)).usage is None


NO_ANSWERS = {
    "an error in a 200": (b'{"error": "model requires more system memory"}', FaultKind.GARBLED),
    "an overload": (b'{"error": "server overloaded, please retry"}', FaultKind.OVERLOADED),
    "nothing": (b"{}", FaultKind.GARBLED),
    "no JSON": (b"<html>", FaultKind.GARBLED),
}


@pytest.mark.parametrize(("body", "kind"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer(body: bytes, kind: FaultKind):
    fault = ollama_chat.decode_answer(body, 0.0)
    assert isinstance(fault, Fault)
    assert fault.kind is kind


# Stream ---------------------------------------------------------------------------------------------------------------


def lines(*said: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in said)


BEGAN, COUNTED = Began("", "q"), Counted(Usage(input_tokens=11, output_tokens=4))
STREAMS: dict[str, tuple[bytes, list[Any]]] = {
    "text": (
        lines(line(content="He"), line(content="llo"), last()),
        [BEGAN, TextDelta("He"), TextDelta("llo"), COUNTED, Finished("stop"), Ended()],
    ),
    "thoughts and calls": (
        lines(
            line(content="", thinking="h"),
            line(content="", thinking="m"),
            line(content="", tool_calls=[{"id": "a", **WEATHERED}]),
            line(content="", tool_calls=[{"id": "b", "function": {"name": "clock"}}]),
            last(),
        ),
        [
            BEGAN,
            ReasoningDelta("h"),
            ReasoningDelta("m"),
            ReasoningSealed(Reasoning("hm")),
            CallBegan(0, "a", "weather"),
            CallDelta(0, '{"city": "Oslo"}'),
            CallBegan(1, "b", "clock"),
            CallDelta(1, "{}"),
            COUNTED,
            Finished("tool_calls"),
            Ended(),
        ],
    ),
    "thoughts alone": (
        lines(line(thinking="hm"), last(done_reason="length")),
        [BEGAN, ReasoningDelta("hm"), ReasoningSealed(Reasoning("hm")), COUNTED, Finished("length"), Ended()],
    ),
    "damage": (
        lines(line(content="He")) + b'{"oops\n\r\n[1]\n' + lines(last()),
        [BEGAN, TextDelta("He"), Damaged(), Damaged(), COUNTED, Finished("stop"), Ended()],
    ),
    "no last line feed": (lines(last())[:-1], [BEGAN, COUNTED, Finished("stop"), Ended()]),
    "cut off": (lines(line(content="He")), [BEGAN, TextDelta("He")]),
}


def read(stream: bytes, size: int) -> list[Any]:
    decoder = ollama_chat.stream_decoder()
    events: list[Any] = []
    for begin in range(0, len(stream), size):
        events += decoder.feed(stream[begin : begin + size], 0.0)
    return events + decoder.end(0.0)


@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_streams(stream: bytes, events: list[Any], size: int):
    assert read(stream, size) == events


def test_a_stream_that_fails():
    began, text, failed = read(lines(line(content="He"), {"error": "an error was encountered"}), 7)
    assert (began, text) == (BEGAN, TextDelta("He"))
    assert isinstance(failed, Failed)
    assert failed.fault.message == "an error was encountered"


def test_a_line_without_an_end_is_given_up():
    decoder = ollama_chat.stream_decoder()
    events = [event for _ in range(40) for event in decoder.feed(b"x" * 2**20, 0.0)]
    assert isinstance(events[0], Failed)


# Witnesses ------------------------------------------------------------------------------------------------------------

USER = {"role": "user", "content": "hi"}
CALLS = [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}]
IMAGE = [
    {"type": "text", "text": "see"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
]
ASKED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # OpenAI's words, the SDK's
    "plain": (
        {"max_tokens": 5, "stop": "x", "seed": 3},
        {"options": {"num_predict": 5, "stop": ["x"], "seed": 3}},
    ),
    "system": (
        {"messages": [{"role": "system", "content": "s"}, USER]},
        {"messages": [{"role": "system", "content": "s"}, USER]},
    ),
    "tools": (
        {
            "messages": [
                USER,
                {"role": "assistant", "content": "", "tool_calls": CALLS},
                {"role": "tool", "tool_call_id": "a", "content": "1"},
            ],
            "tools": [function("weather", CITY, description="Of a city")],
        },
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
                },
                {"role": "tool", "tool_name": "weather", "content": "1"},
            ],
            "tools": [function("weather", CITY, description="Of a city")],
        },
    ),
    "image": (
        {"messages": [{"role": "user", "content": IMAGE}]},
        {"messages": [{"role": "user", "content": "see", "images": ["aGVsbG8="]}]},
    ),
    "schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": CITY}}},
        {"format": CITY},
    ),
    "reasoning": ({"reasoning_effort": "low"}, {"think": True}),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), ASKED.values(), ids=ASKED)
def test_the_vendors_own_client_sends_the_same(ours: dict[str, Any], theirs: dict[str, Any], streamed: bool):
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=last())

    client = ollama.Client("http://localhost:11434", transport=httpx.MockTransport(answer))
    answered = client.chat(**{"model": "qwen3:8b", "messages": [USER], "stream": streamed, **theirs})
    list(answered)
    asked = {"model": "qwen3:8b", "messages": [USER], "stream": streamed, **ours}
    request = INGRESS["openai_chat"].decode_request(json.dumps(asked).encode())
    body = ollama_chat.encode_request(request, UNKNOWN).body
    assert without_ids(body) == without_nothing(json.loads(sent[0].content))
    assert sent[0].url.path == "/api/chat"


def without_ids(body: dict[str, Any]) -> dict[str, Any]:
    """Its client does not know the ids that its server does."""
    for message in body["messages"]:
        message.pop("tool_call_id", None)
        for each in message.get("tool_calls", ()):
            del each["id"]
    return body


def without_nothing(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value != [] or name == "messages"}
