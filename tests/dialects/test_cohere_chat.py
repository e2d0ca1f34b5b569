"""Cohere's chat: what is asked in the hub's words comes out in Cohere's, and what Cohere answers in the hub's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cohere
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.abilities import UNKNOWN, Abilities, abilities
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
    Refusal,
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
from gateway.dialects import INGRESS, cohere_chat
from gateway.errors import Fault, FaultKind

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings" / "cohere"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("weather", "Of a city", CITY)
CLOCK = Tool("clock")
HI = (Message("user", (Text("hi"),)),)


def asked(messages: tuple[Message, ...] = HI, **said: Any) -> ChatRequest:
    return ChatRequest(model="command-x", messages=messages, **said)


def encoded(request: ChatRequest, able: Abilities = UNKNOWN) -> tuple[dict[str, Any], tuple[str, ...]]:
    made = cohere_chat.encode_request(request, able)
    return made.body, made.dropped


def function(name: str, parameters: dict[str, Any] | None = None, **said: Any) -> dict[str, Any]:
    empty = {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, **said, "parameters": parameters or empty}}


# Request --------------------------------------------------------------------------------------------------------------

SAID: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    # what is said -> what the body has beside model and messages; what is dropped
    "nothing": ({}, {}, ()),
    "a stream": ({"stream": True}, {"stream": True}, ()),
    "sampling": (
        {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7},
        {"max_tokens": 9, "temperature": 0.5, "p": 0.9, "k": 40, "seed": 7},
        (),
    ),
    "p has bounds": ({"top_p": 1.0, "top_k": 9000}, {"p": 0.99, "k": 500}, ()),
    "penalties within bounds": (
        {"frequency_penalty": 0.5, "presence_penalty": 1.5},
        {"frequency_penalty": 0.5, "presence_penalty": 1.0},
        ("presence_penalty",),
    ),
    "stops": ({"stop": tuple("abcdefg")}, {"stop_sequences": list("abcde")}, ("stop[5]", "stop[6]")),
    "logprobs": ({"logprobs": True, "top_logprobs": 3}, {"logprobs": True}, ("top_logprobs",)),
    "logprobs of a stream": ({"logprobs": True, "stream": True}, {"stream": True}, ("logprobs",)),
    "what it has no words for": (
        {"choices": 2, "user": "u", "metadata": {"a": "b"}, "service_tier": "flex", "verbosity": "low"},
        {},
        ("n", "user", "metadata", "service_tier", "verbosity"),
    ),
    "its own words": (
        {"extra": {"safety_mode": "OFF", "documents": ["d"], "logit_bias": {"1": 2}, "store": True}},
        {"safety_mode": "OFF", "documents": ["d"]},
        ("logit_bias", "store"),
    ),
    "any JSON": ({"output": Output()}, {"response_format": {"type": "json_object"}}, ()),
    "a schema": (
        {"output": Output(CITY, "city", strict=True)},
        {"response_format": {"type": "json_object", "schema": CITY}},
        (),
    ),
    "a schema that says more than it can": (
        {"output": Output({"type": "object", "properties": {"minimum": {"type": "integer", "minimum": 1}}})},
        {
            "response_format": {
                "type": "json_object",
                "schema": {"type": "object", "properties": {"minimum": {"type": "integer"}}},
            }
        },
        ("response_format.json_schema.schema",),
    ),
    "a schema beside tools": (
        {"output": Output(CITY), "tools": (WEATHER,)},
        {"tools": [function("weather", CITY, description="Of a city")]},
        ("response_format",),
    ),
    "tools": (
        {"tools": (WEATHER, CLOCK), "tool_choice": ToolChoice("auto"), "parallel_tool_calls": True},
        {"tools": [function("weather", CITY, description="Of a city"), function("clock")]},
        (),
    ),
    "no tool is to be called": (
        {"tools": (CLOCK,), "tool_choice": ToolChoice("none")},
        {"tools": [function("clock")], "tool_choice": "NONE"},
        (),
    ),
    "some tool is to be called": (
        {"tools": (CLOCK,), "tool_choice": ToolChoice("required"), "parallel_tool_calls": False},
        {"tools": [function("clock")], "tool_choice": "REQUIRED"},
        ("parallel_tool_calls",),
    ),
    "one tool is to be called": (
        {"tools": (WEATHER, CLOCK), "tool_choice": ToolChoice("named", ("clock",))},
        {"tools": [function("clock")], "tool_choice": "REQUIRED"},
        (),
    ),
    "one of these": (
        {"tools": (WEATHER, CLOCK), "tool_choice": ToolChoice("auto", ("clock",))},
        {"tools": [function("clock")]},
        (),
    ),
    "strict tools": (
        {"tools": (Tool("weather", None, CITY, strict=True),)},
        {"tools": [function("weather", CITY)], "strict_tools": True},
        (),
    ),
    "a strict tool among others": (
        {"tools": (CLOCK, Tool("weather", None, CITY, strict=True, cache=Cache()))},
        {"tools": [function("clock"), function("weather", CITY)]},
        ("tools[1].function.strict", "tools[1].cache_control"),
    ),
    "thinking off": ({"thinking": Thinking("none")}, {"thinking": {"type": "disabled"}}, ()),
    "little thinking": ({"thinking": Thinking("low")}, {"thinking": {"type": "enabled", "token_budget": 1024}}, ()),
    "much thinking": ({"thinking": Thinking("high")}, {"thinking": {"type": "enabled"}}, ()),
    "a budget": ({"thinking": Thinking(budget=300)}, {"thinking": {"type": "enabled", "token_budget": 300}}, ()),
    "a budget below the answer's": (
        {"thinking": Thinking(budget=300), "max_tokens": 200},
        {"thinking": {"type": "enabled", "token_budget": 100}, "max_tokens": 200},
        (),
    ),
    "a budget in its own words": (
        {"thinking": Thinking("medium"), "extra": {"thinking.token_budget": 77}},
        {"thinking": {"type": "enabled", "token_budget": 77}},
        (),
    ),
}


@pytest.mark.parametrize(("said", "body", "dropped"), SAID.values(), ids=SAID)
def test_what_is_said_of_the_answer(said: dict[str, Any], body: dict[str, Any], dropped: tuple[str, ...]):
    made, lost = encoded(asked(**said))
    assert made == {"model": "command-x", "messages": [{"role": "user", "content": "hi"}], **body}
    assert lost == dropped


def test_a_model_that_does_not_think_is_not_told_to():
    able = abilities("command-r-08-2024")
    assert encoded(asked(thinking=Thinking("high")), able)[1] == ("reasoning_effort",)
    assert encoded(asked(thinking=Thinking(budget=9)), able)[1] == ("thinking",)
    assert encoded(asked(thinking=Thinking("none")), able)[1] == ()


def call(id: str, name: str = "weather", arguments: str = '{"city":"Oslo"}') -> ToolCall:
    return ToolCall(id, name, arguments)


def answer(id: str, *texts: str) -> Message:
    return Message("tool", (ToolCallResponse(id, "weather", tuple(Text(each) for each in texts)),))


def called(*ids: str, **said: Any) -> dict[str, Any]:
    calls = [
        {"id": id, "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}} for id in ids
    ]
    return {"role": "assistant", **said, "tool_calls": calls}


def told(id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


USER = {"role": "user", "content": "hi"}
MESSAGES: dict[str, tuple[tuple[Message, ...], list[dict[str, Any]], tuple[str, ...]]] = {
    "roles": (
        (Message("developer", (Text("a"),)), *HI, Message("assistant", (Text("b"),)), Message("system", (Text("c"),))),
        [
            {"role": "system", "content": "a"},
            USER,
            {"role": "assistant", "content": "b"},
            {"role": "system", "content": "c"},
        ],
        (),
    ),
    "parts": (
        (
            Message(
                "user",
                (
                    Text("see"),
                    Blob("image", "image/png", "QUJD", detail="low"),
                    Uri("image", "https://e.com/a.png"),
                    Blob("document", "application/pdf", "QUJD"),
                    Text("this", Cache()),
                ),
                name="ann",
            ),
        ),
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}},
                    {"type": "text", "text": "this"},
                ],
            }
        ],
        ("messages[0].name", "messages[0].content[3]", "messages[0].content[4].cache_control"),
    ),
    "empty messages": (
        (Message("system", (Text(""),)), *HI, Message("assistant", ()), *HI),
        [USER, USER],
        ("messages[0]",),
    ),
    "a refusal is what was said": (
        (*HI, Message("assistant", (Refusal("No."),))),
        [USER, {"role": "assistant", "content": "No."}],
        (),
    ),
    "calls and results": (
        (*HI, Message("assistant", (call("a"), call("b"))), answer("b", "2"), answer("a", "1", "one")),
        [
            USER,
            called("a", "b"),
            told("b", "2"),
            told("a", [{"type": "text", "text": "1"}, {"type": "text", "text": "one"}]),
        ],
        (),
    ),
    "text beside calls is the plan": (
        (*HI, Message("assistant", (Text("I look."), call("a"))), answer("a", "")),
        [USER, called("a", tool_plan="I look."), told("a", "(empty)")],
        (),
    ),
    "its own thoughts and plan": (
        (
            *HI,
            Message(
                "assistant",
                (Reasoning("hm", format="cohere"), Reasoning(opaque="I look.", format="cohere"), call("a")),
            ),
            answer("a", "1"),
        ),
        [USER, called("a", tool_plan="I look.", content=[{"type": "thinking", "thinking": "hm"}]), told("a", "1")],
        (),
    ),
    "another's thoughts": (
        (*HI, Message("assistant", (Reasoning("hm", "sig", format="anthropic"), Reasoning("so"), Text("b")))),
        [USER, {"role": "assistant", "content": "b"}],
        ("messages[1].reasoning_content",),
    ),
    "a result that is missing": (
        (*HI, Message("assistant", (call("a"), call("b"))), answer("a", "1"), *HI),
        [USER, called("a", "b"), told("a", "1"), told("b", "No result."), USER],
        (),
    ),
    "a result that comes late": (
        (*HI, Message("assistant", (call("a"),)), *HI, answer("a", "1")),
        [USER, called("a"), told("a", "1"), USER],
        (),
    ),
    "a result without a call": (
        (answer("a", "1"), *HI),
        [{"role": "user", "content": "1"}, USER],
        (),
    ),
    "the same id again": (
        (
            *HI,
            Message("assistant", (call("a"),)),
            answer("a", "1"),
            Message("assistant", (call("a"),)),
            answer("a", "2"),
        ),
        [USER, called("a"), told("a", "1"), called("a"), told("a", "2")],
        (),
    ),
    "an image as a result": (
        (
            Message("assistant", (call("a"),)),
            Message("tool", (ToolCallResponse("a", "weather", (Blob("image", "image/png", "QQ=="),)),)),
        ),
        [called("a"), told("a", "(empty)")],
        ("messages[1].content[0]",),
    ),
}


@pytest.mark.parametrize(("messages", "written", "dropped"), MESSAGES.values(), ids=MESSAGES)
def test_messages(messages: tuple[Message, ...], written: list[dict[str, Any]], dropped: tuple[str, ...]):
    body, lost = encoded(asked(messages))
    assert body["messages"] == written
    assert lost == dropped


ARGUMENTS = {
    "an object": ('{"a": 1}', '{"a": 1}'),
    "nothing": ("", "{}"),
    "no JSON": ("{oops", '{"arguments":"{oops"}'),
    "no object": ("[1]", '{"arguments":[1]}'),
}


@pytest.mark.parametrize(("said", "written"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_are_an_object(said: str, written: str):
    body, _ = encoded(asked((Message("assistant", (call("a", arguments=said),)),)))
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == written


def test_names_of_tools_are_made_legal_and_known_again():
    tools = (Tool("my-tool"), Tool("my_tool"), Tool("my.tool"), Tool("2nd"))
    made = cohere_chat.encode_request(asked((*HI, Message("assistant", (call("a", "my.tool"),))), tools=tools), UNKNOWN)
    names = [tool["function"]["name"] for tool in made.body["tools"]]
    assert len(set(names)) == 4
    assert all(name.isidentifier() for name in names)
    assert [made.tool_names.get(name, name) for name in names] == ["my-tool", "my_tool", "my.tool", "2nd"]
    assert made.body["messages"][1]["tool_calls"][0]["function"]["name"] == names[2]


texts = st.text(max_size=5)
ids = st.sampled_from("abc")
parts = st.one_of(
    st.builds(Text, texts),
    st.builds(Reasoning, texts, format=st.sampled_from(["cohere", "gemini", None])),
    st.builds(ToolCall, ids, st.sampled_from(["weather", "a b"]), texts),
)
conversations = st.lists(
    st.one_of(
        st.builds(Message, st.sampled_from(["user", "assistant", "system"]), st.lists(parts, max_size=3).map(tuple)),
        st.builds(lambda id, text: answer(id, text), ids, texts),
    ),
    max_size=8,
).map(tuple)


@given(conversations)
def test_every_conversation_is_one_that_cohere_takes(messages: tuple[Message, ...]):
    body, _ = encoded(asked(messages))
    open_calls: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            assert message["content"]
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls
        calls = message.get("tool_calls", [])
        assert all(isinstance(json.loads(each["function"]["arguments"]), dict) for each in calls)
        open_calls = list({each["id"]: None for each in calls})
        assert calls or message["content"]
    assert not open_calls


# Response -------------------------------------------------------------------------------------------------------------


def whole(message: dict[str, Any], finish: str | None = "COMPLETE", **said: Any) -> bytes:
    return json.dumps({"id": "i", "message": message, "finish_reason": finish, **said}).encode()


def decoded(body: bytes) -> ChatResponse:
    made = cohere_chat.decode_answer(body, 0.0)
    assert isinstance(made, ChatResponse)
    return made


FINISHES = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
    "SOMETHING_NEW": "stop",
    None: None,
}


@pytest.mark.parametrize(("said", "reason"), FINISHES.items())
def test_finish_reasons(said: str | None, reason: str | None):
    assert decoded(whole({"content": "x"}, said)).choices[0].finish_reason == reason


def test_parts_of_an_answer():
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}, {"type": "new", "x": 1}]
    said = [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": ""}}]
    answer = decoded(whole({"content": blocks, "tool_plan": "I look.", "tool_calls": said, "citations": [{}]}))
    assert answer.id == "i"
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].parts == (
        Reasoning("hm", format="cohere"),
        Text("yes"),
        Reasoning(opaque="I look.", format="cohere"),
        ToolCall("a", "weather", "{}"),
    )


USAGES = {
    "tokens before what is billed": (
        {
            "billed_units": {"input_tokens": 5, "output_tokens": 3},
            "tokens": {"input_tokens": 71.0, "output_tokens": 418.0},
        },
        Usage(input_tokens=71, output_tokens=418),
    ),
    "what is billed, if that is all": (
        {"billed_units": {"input_tokens": 5, "output_tokens": 3}},
        Usage(input_tokens=5, output_tokens=3),
    ),
    "cached": (
        {"tokens": {"input_tokens": 71, "output_tokens": 4}, "cached_tokens": 64},
        Usage(input_tokens=71, output_tokens=4, cached_tokens=64),
    ),
    "nothing": ({}, None),
}


@pytest.mark.parametrize(("said", "usage"), USAGES.values(), ids=USAGES)
def test_usage(said: dict[str, Any], usage: Usage | None):
    assert decoded(whole({"content": "x"}, usage=said)).usage == usage


def test_logprobs_come_as_openai_has_them():
    said = [{"text": "é", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]}]
    assert decoded(whole({"content": "x"}, logprobs=said)).choices[0].logprobs == {
        "content": [{"token": "é", "logprob": -0.75, "bytes": [195, 169], "top_logprobs": []}],
        "refusal": None,
    }


NO_ANSWERS = {
    "an error in a 200": (b'{"id": "x", "message": "too many tokens: 9"}', FaultKind.CONTEXT_TOO_LONG),
    "it failed": (whole({"content": "x"}, "ERROR"), FaultKind.SERVER_ERROR),
    "it took too long": (whole({"content": "x"}, "TIMEOUT"), FaultKind.SERVER_ERROR),
    "nothing": (b"{}", FaultKind.GARBLED),
    "no object": (b"[]", FaultKind.GARBLED),
    "no JSON": (b"<html>", FaultKind.GARBLED),
}


@pytest.mark.parametrize(("body", "kind"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer(body: bytes, kind: FaultKind):
    fault = cohere_chat.decode_answer(body, 0.0)
    assert isinstance(fault, Fault)
    assert fault.kind is kind


# Stream ---------------------------------------------------------------------------------------------------------------


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events)


def content(kind: str, index: int = 0, **said: str) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": {"content": said}}}


def calling(kind: str, index: int = 0, **said: Any) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": {"tool_calls": said}}}


START = {
    "id": "i",
    "type": "message-start",
    "delta": {"message": {"role": "assistant", "content": [], "tool_calls": []}},
}
END = {
    "type": "message-end",
    "id": "i",
    "delta": {
        "finish_reason": "COMPLETE",
        "usage": {"tokens": {"input_tokens": 9, "output_tokens": 4}, "cached_tokens": 2},
    },
}
CALLED = {**END, "delta": {"finish_reason": "TOOL_CALL"}}
COUNTED = Counted(Usage(input_tokens=9, output_tokens=4, cached_tokens=2))
STREAMS: dict[str, tuple[bytes, list[Any]]] = {
    "text": (
        sse(
            START,
            content("content-start", type="text", text=""),
            content("content-delta", text="He"),
            content("content-delta", text="llo"),
            {"type": "citation-start", "index": 0, "delta": {"message": {"citations": {"start": 0}}}},
            {"type": "citation-end", "index": 0},
            {"type": "content-end", "index": 0},
            END,
        )
        + b"data: [DONE]\n\n",
        [Began("i", ""), TextDelta("He"), TextDelta("llo"), COUNTED, Finished("stop"), Ended()],
    ),
    "thoughts": (
        sse(
            START,
            content("content-start", type="thinking", thinking=""),
            content("content-delta", thinking="h"),
            content("content-delta", thinking="m"),
            {"type": "content-end", "index": 0},
            content("content-delta", 1, text="Yes"),
            END,
        ),
        [
            Began("i", ""),
            ReasoningDelta("h"),
            ReasoningDelta("m"),
            ReasoningSealed(Reasoning("hm", format="cohere")),
            TextDelta("Yes"),
            COUNTED,
            Finished("stop"),
            Ended(),
        ],
    ),
    "calls": (
        sse(
            START,
            {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I "}}},
            {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "look."}}},
            calling("tool-call-start", id="a", type="function", function={"name": "weather", "arguments": ""}),
            calling("tool-call-delta", function={"arguments": '{"city":'}),
            calling("tool-call-delta", function={"arguments": '"Oslo"}'}),
            {"type": "tool-call-end", "index": 0},
            calling("tool-call-start", 1, id="b", type="function", function={"name": "clock", "arguments": ""}),
            {"type": "tool-call-end", "index": 1},
            CALLED,
        ),
        [
            Began("i", ""),
            ReasoningSealed(Reasoning(opaque="I look.", format="cohere")),
            CallBegan(0, "a", "weather"),
            CallDelta(0, '{"city":'),
            CallDelta(0, '"Oslo"}'),
            CallBegan(1, "b", "clock"),
            CallDelta(1, "{}"),
            Finished("tool_calls"),
            Ended(),
        ],
    ),
    "what nobody knows": (
        sse(START, {"type": "news", "delta": []}) + b"data: {oops\n\ndata: [1]\n\n" + sse(END),
        [Began("i", ""), Damaged(), Damaged(), COUNTED, Finished("stop"), Ended()],
    ),
    "half a character": (
        b'event: content-delta\ndata: {"type":"content-delta","delta":{"message":{"content":{"text":"\\ud83d"}}}}\n\n',
        [TextDelta("\ufffd")],
    ),
    "cut off": (sse(START, content("content-delta", text="He")), [Began("i", ""), TextDelta("He")]),
    "an end that says nothing": (sse(START, {"type": "message-end"}), [Began("i", "")]),
}


def read(stream: bytes, size: int) -> list[Any]:
    decoder = cohere_chat.stream_decoder()
    events: list[Any] = []
    for begin in range(0, len(stream), size):
        events += decoder.feed(stream[begin : begin + size], 0.0)
    return events + decoder.end(0.0)


@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_streams(stream: bytes, events: list[Any], size: int):
    assert read(stream, size) == events


FAILURES = {
    "at the end": (sse({**END, "delta": {"finish_reason": "ERROR", "error": "boom"}}), FaultKind.SERVER_ERROR),
    "an event": (b'event: error\ndata: {"message": "boom", "status": 503}\n\n', FaultKind.OVERLOADED),
    "in place of an event": (b'data: {"id": "x", "message": "too many tokens"}\n\n', FaultKind.CONTEXT_TOO_LONG),
}


@pytest.mark.parametrize(("stream", "kind"), FAILURES.values(), ids=FAILURES)
def test_a_stream_that_fails(stream: bytes, kind: FaultKind):
    (event,) = read(stream, 7)
    assert isinstance(event, Failed)
    assert event.fault.kind is kind


def test_an_event_without_an_end_is_given_up():
    decoder = cohere_chat.stream_decoder()
    events = [event for _ in range(40) for event in decoder.feed(b"x" * 2**20, 0.0)]
    assert isinstance(events[0], Failed)


# Witnesses ------------------------------------------------------------------------------------------------------------


def test_recordings_are_asked_and_answered_as_they_were():
    for file in sorted(RECORDINGS.glob("*.json")):
        recording = json.loads(file.read_bytes())
        ingress = {"model": recording["model"], **recording["ingress"]}
        request = INGRESS["openai_chat"].decode_request(json.dumps(ingress).encode())
        body, dropped = encoded(request, abilities(recording["model"]))
        theirs = recording["recorded_request"]
        assert not dropped
        # What the client said otherwise is not in what OpenAI's request has of it.
        assert {**theirs, **body, "messages": None} == {**theirs, "messages": None}
        assert [bare(each) for each in body["messages"]] == [bare(each) for each in theirs["messages"]]
        answer, expected = decoded(recording["body"].encode()), recording["expect"]
        (choice,) = answer.choices
        calls = [part for part in choice.parts if isinstance(part, ToolCall)]
        assert "".join(part.content for part in choice.parts if isinstance(part, Text)) == expected["text"]
        assert [[call.name, json.loads(call.arguments)] for call in calls] == expected["calls"]
        assert [call.id for call in calls] == expected["call_ids"]
        assert choice.finish_reason == expected["finish"]
        assert answer.usage
        assert answer.usage.input_tokens == expected["prompt"][0]
        assert answer.usage.output_tokens == expected["completion"][0]


def bare(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if value is not None}


IMAGE = "data:image/png;base64,QUJD"
ASKED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # OpenAI's words, the SDK's
    "plain": ({"max_tokens": 5, "top_p": 0.5, "stop": ["x"]}, {"max_tokens": 5, "p": 0.5, "stop_sequences": ["x"]}),
    "system": (
        {"messages": [{"role": "developer", "content": "s"}, USER]},
        {"messages": [{"role": "system", "content": "s"}, USER]},
    ),
    "tools": (
        {
            "messages": [USER, called("a", "b", content=None), told("a", "1"), told("b", "2")],
            "tools": [function("weather", CITY)],
            "tool_choice": "required",
        },
        {
            "messages": [USER, called("a", "b"), told("a", "1"), told("b", "2")],
            "tools": [function("weather", CITY)],
            "tool_choice": "REQUIRED",
        },
    ),
    "image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}]},
    ),
    "schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": CITY, "strict": True}}},
        {"response_format": {"type": "json_object", "schema": CITY}},
    ),
    "reasoning": (
        {"reasoning_effort": "low"},
        {"thinking": {"type": "enabled", "token_budget": 1024}},
    ),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), ASKED.values(), ids=ASKED)
def test_the_vendors_own_client_sends_the_same(ours: dict[str, Any], theirs: dict[str, Any], streamed: bool):
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if streamed:
            return httpx.Response(200, content=b"", headers={"content-type": "text/event-stream"})
        return httpx.Response(200, json={"id": "i", "message": {"role": "assistant"}, "finish_reason": "COMPLETE"})

    client = cohere.ClientV2(api_key="k", httpx_client=httpx.Client(transport=httpx.MockTransport(answer)))
    said = {"model": "command-x", "messages": [USER], **theirs}
    list(client.chat_stream(**said)) if streamed else client.chat(**said)
    request = INGRESS["openai_chat"].decode_request(
        json.dumps({"model": "command-x", "messages": [USER], "stream": streamed, **ours}).encode()
    )
    body, _ = encoded(request)
    assert {"stream": False, **body} == json.loads(sent[0].content)
    assert (sent[0].method, str(sent[0].url)) == ("POST", "https://api.cohere.com/v2/chat")


def test_the_vendors_own_client_reads_the_same_streams():
    stream = STREAMS["calls"][0]
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, content=stream, headers={"content-type": "text/event-stream"})
    )
    client = cohere.ClientV2(api_key="k", httpx_client=httpx.Client(transport=transport))
    kinds = [event.type for event in client.chat_stream(model="m", messages=[])]
    assert len(kinds) == stream.count(b"data:")
