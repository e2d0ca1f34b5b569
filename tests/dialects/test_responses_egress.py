"""OpenAI's Responses as vendors have it: what a chat becomes, and what its answers mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from gateway.abilities import abilities
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
    Encoded,
    Ended,
    Failed,
    File,
    Finished,
    Message,
    Output,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Refusal,
    RefusalDelta,
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
from gateway.dialects import openai_chat, openai_responses
from gateway.dialects.faults import refuses_signatures
from gateway.errors import Fault, FaultKind
from tests.corpus import case
from tests.dialects.validity import check

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"
NOW = 1_700_000_000.0
JSON = {"content-type": "application/json"}
HI = Message("user", (Text("hi"),))
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WHOLE_CITY = {**CITY, "required": ["city"], "additionalProperties": False}
WEATHER = Tool("weather", "What it is like.", CITY)
SEALED = Reasoning("I wonder", None, "gAAA", "openai")
CALL = ToolCall("call_1", "weather", '{"city":"Rome"}')


def encoded(*messages: Message, model: str = "gpt-5-codex", **fields: Any) -> Encoded:
    request = ChatRequest(model=model, messages=messages or (HI,), **fields)
    written = openai_responses.encode_request(request, abilities(model))
    check("openai_responses", json.loads(json.dumps(written.body)))
    return written


def items(*messages: Message, **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = encoded(*messages, **fields).body["input"]
    return found


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Any) -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def result(id: str = "call_1", *parts: Any, failed: bool = False) -> Message:
    texts = tuple(Text(part) if isinstance(part, str) else part for part in parts or ("sunny",))
    return Message("tool", (ToolCallResponse(id, "weather", texts, failed),))


def said(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(content)}


def told(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


# The conversation -----------------------------------------------------------------------------------------------------


def test_a_turn_with_tools():
    found = encoded(
        Message("system", (Text("Be brief."),)),
        Message("developer", (Text("And kind."),)),
        user("Weather in Rome?"),
        assistant(SEALED, "Let me look.", CALL),
        result(),
        assistant("Sunny."),
        user("Thanks"),
        tools=(WEATHER,),
    )
    assert found.body == {
        "model": "gpt-5-codex",
        "instructions": "Be brief.\n\nAnd kind.",
        "input": [
            said("user", told("Weather in Rome?")),
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "I wonder"}],
                "encrypted_content": "gAAA",
            },
            said("assistant", {"type": "output_text", "text": "Let me look."}),
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Rome"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
            said("assistant", {"type": "output_text", "text": "Sunny."}),
            said("user", told("Thanks")),
        ],
        "tools": [
            {
                "type": "function",
                "name": "weather",
                "description": "What it is like.",
                "parameters": CITY,
                "strict": False,
            }
        ],
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    assert found.dropped == ()


PNG = "iVBORw0KGgo="
SHOWN = {
    "image": (Blob("image", "image/png", PNG), {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}),
    "image at a URL": (Uri("image", "https://a/x.png"), {"type": "input_image", "image_url": "https://a/x.png"}),
    "image given before": (File("image", "file_1"), {"type": "input_image", "file_id": "file_1"}),
    "document": (
        Blob("document", "application/pdf", PNG),
        {"type": "input_file", "filename": "file.pdf", "file_data": f"data:application/pdf;base64,{PNG}"},
    ),
    "document with a name": (
        Blob("document", "text/csv", PNG, name="a.csv"),
        {"type": "input_file", "filename": "a.csv", "file_data": f"data:text/csv;base64,{PNG}"},
    ),
    "document at a URL": (Uri("document", "https://a/x.pdf"), {"type": "input_file", "file_url": "https://a/x.pdf"}),
    "document given before": (File("document", "file_1"), {"type": "input_file", "file_id": "file_1"}),
}


@pytest.mark.parametrize(("part", "block"), SHOWN.values(), ids=SHOWN)
def test_what_is_shown(part: Any, block: dict[str, Any]):
    """By a user and by a tool alike."""
    block = {**block, "detail": "auto"} if block["type"] == "input_image" else block
    assert items(user("See:", part)) == [said("user", told("See:"), block)]
    output = items(user("go"), assistant(CALL), result("call_1", "See:", part), tools=(WEATHER,))[-1]["output"]
    assert output == [told("See:"), block]


def test_what_cannot_be_shown_is_named():
    found = encoded(user("Hear:", Blob("audio", "audio/wav", PNG), Uri("video", "https://a/x.mp4")))
    assert found.body["input"] == [said("user", told("Hear:"))]
    assert found.dropped == ("messages[0].content[1]", "messages[0].content[2]")
    alone = encoded(user(Blob("audio", "audio/wav", PNG)))
    assert "left out" in alone.body["input"][0]["content"][0]["text"]


def test_the_detail_of_an_image_is_told():
    [message] = items(user(Blob("image", "image/png", PNG, detail="high")))
    assert message["content"][0]["detail"] == "high"


def test_thoughts_of_others_and_of_nobody_are_named_and_left_out():
    found = encoded(
        user("a"),
        assistant(Reasoning("mine"), Reasoning("theirs", "sig", None, "anthropic"), "b"),
        user("c"),
        assistant(SEALED),
        user("d"),
    )
    assert not [item for item in found.body["input"] if item["type"] == "reasoning"]
    # The last one led to nothing, and a thought without what follows it is refused.
    assert found.dropped == ("messages[1].reasoning_content", "messages[3].reasoning_content")


def test_every_call_is_answered_once_and_nothing_else_is():
    found = items(
        user("go"),
        assistant(ToolCall("0", "weather"), ToolCall("0", "weather"), ToolCall("2", "weather")),
        user("and?"),
        result("0", "first"),
        result("0", "second"),
        result("lost", "third"),
        tools=(WEATHER,),
    )
    outputs = [(each["call_id"], each["output"]) for each in found if each["type"] == "function_call_output"]
    assert [output for _, output in outputs] == ["first", "second", "No result: the call was interrupted."]
    assert len({call_id for call_id, _ in outputs}) == 3
    assert [each["content"] for each in found[-2:]] == [
        [told("and?")],
        [told("A result of the tool weather:"), told("third")],
    ]


def test_a_failed_result_is_named():
    assert encoded(user("go"), assistant(CALL), result(failed=True), tools=(WEATHER,)).dropped == (
        "messages[2].is_error",
    )


def test_long_ids_are_shortened_alike_for_the_call_and_its_result():
    long = "call_" + "x" * 200
    call, output = items(user("go"), assistant(ToolCall(long, "weather")), result(long), tools=(WEATHER,))[-2:]
    assert call["call_id"] == output["call_id"] != long


def test_a_conversation_of_instructions_alone_is_an_input():
    assert items(Message("system", (Text("Say hi."),))) == [said("system", told("Say hi."))]


def test_later_instructions_stay_where_they_were_said():
    found = encoded(user("a"), Message("developer", (Text("b"),)), user("c"))
    assert [item["role"] for item in found.body["input"]] == ["user", "developer", "user"]
    assert "instructions" not in found.body


# Tools ----------------------------------------------------------------------------------------------------------------

CHOICES = {
    "auto": (ToolChoice("auto"), "auto"),
    "none": (ToolChoice("none"), "none"),
    "required": (ToolChoice("required"), "required"),
    "one": (ToolChoice("named", ("weather",)), {"type": "function", "name": "weather"}),
    "one of two": (
        ToolChoice("named", ("weather", "time")),
        {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "weather"}, {"type": "function", "name": "time"}],
        },
    ),
    "one, if any": (
        ToolChoice("auto", ("time",)),
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "time"}]},
    ),
}


@pytest.mark.parametrize(("choice", "expected"), CHOICES.values(), ids=CHOICES)
def test_choices(choice: ToolChoice, expected: Any):
    found = encoded(tools=(WEATHER, Tool("time")), tool_choice=choice, parallel_tool_calls=False)
    assert found.body["tool_choice"] == expected
    assert found.body["parallel_tool_calls"] is False


def test_no_tools_no_choice():
    found = encoded(tool_choice=ToolChoice("required"), parallel_tool_calls=True)
    assert found.dropped == ("tool_choice",)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & found.body.keys()


def test_names_are_made_legal_and_known_again():
    found = encoded(user("go"), assistant(ToolCall("1", "my.tool")), result("1"), tools=(Tool("my.tool"),))
    [tool], call = found.body["tools"], found.body["input"][1]
    assert tool["name"] == call["name"]
    assert found.tool_names == {tool["name"]: "my.tool"}
    assert tool["parameters"] == {"type": "object", "properties": {}}


GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}}


def test_a_tool_that_takes_text_keeps_its_grammar():
    """As a client of chat writes it, through the hub."""
    custom = {"type": "custom", "custom": {"name": "patch", "description": "Patches.", "format": GRAMMAR}}
    call = {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": 'a "b"\n'}}
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
        "tools": [custom],
        "tool_choice": {"type": "custom", "custom": {"name": "patch"}},
    }
    request = openai_chat.decode_request(json.dumps(body).encode())
    found = openai_responses.encode_request(request, abilities("gpt-5-codex"))
    check("openai_responses", found.body)
    assert found.body["tools"] == [
        {
            "type": "custom",
            "name": "patch",
            "description": "Patches.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        }
    ]
    assert found.body["tool_choice"] == {"type": "custom", "name": "patch"}
    assert found.body["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": 'a "b"\n'},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
    ]
    assert found.dropped == ()


# How to answer --------------------------------------------------------------------------------------------------------

SETTINGS: dict[str, tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    # model, what the hub says, what is in the body, what is named
    "limit": ("gpt-4.1", {"max_tokens": 100}, {"max_output_tokens": 100}, ()),
    "too small a limit": ("gpt-4.1", {"max_tokens": 5}, {"max_output_tokens": 16}, ("max_tokens",)),
    "sampling": ("gpt-4.1", {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}, ()),
    "no sampling while thinking": ("gpt-5-codex", {"temperature": 0, "top_p": 1}, {}, ("temperature",)),
    "sampling without thinking": (
        "gpt-5.2",
        {"temperature": 0.5, "thinking": Thinking("none")},
        {"temperature": 0.5, "reasoning": {"effort": "none"}},
        (),
    ),
    "effort": ("gpt-5-codex", {"thinking": Thinking("high")}, {"reasoning": {"effort": "high"}}, ()),
    "the nearest effort": ("o3-pro", {"thinking": Thinking("max")}, {"reasoning": {"effort": "high"}}, ()),
    "the only effort": ("gpt-5-pro", {"thinking": Thinking("low")}, {"reasoning": {"effort": "high"}}, ()),
    "the newest efforts": ("gpt-6-sol", {"thinking": Thinking("max")}, {"reasoning": {"effort": "max"}}, ()),
    "an unknown model's own": ("m", {"thinking": Thinking("max")}, {"reasoning": {"effort": "max"}}, ()),
    "cannot but think": (
        "gpt-5-codex",
        {"thinking": Thinking("none")},
        {"reasoning": {"effort": "low"}},
        ("reasoning_effort",),
    ),
    "cannot think": ("gpt-4.1", {"thinking": Thinking("high")}, {}, ("reasoning_effort",)),
    "a budget": (
        "gpt-5-codex",
        {"thinking": Thinking(budget=4000)},
        {"reasoning": {"effort": "medium", "summary": "auto"}},
        (),
    ),
    "thoughts wanted": ("gpt-5-codex", {"thinking": Thinking(adaptive=True)}, {"reasoning": {"summary": "auto"}}, ()),
    "any JSON, and nobody speaks of it": (
        "gpt-4.1",
        {"output": Output()},
        {
            "input": [said("developer", told("Answer in JSON.")), said("user", told("hi"))],
            "text": {"format": {"type": "json_object"}},
        },
        (),
    ),
    "a promise that OpenAI does not make": (
        "gpt-4.1",
        {"output": Output(CITY, strict=True), "tools": (Tool("f", None, CITY, strict=True),)},
        {
            "tools": [{"type": "function", "name": "f", "parameters": CITY, "strict": False}],
            "text": {"format": {"type": "json_schema", "name": "answer", "schema": CITY, "strict": False}},
        },
        ("tools[0].function.strict", "response_format.json_schema.strict"),
    ),
    "a schema": (
        "gpt-4.1",
        {"output": Output(WHOLE_CITY, "my answer", "What it is.", True), "verbosity": "low"},
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "my_answer_acf8b9d3",
                    "schema": WHOLE_CITY,
                    "description": "What it is.",
                    "strict": True,
                },
                "verbosity": "low",
            }
        },
        (),
    ),
    "what it has no words for": (
        "gpt-4.1",
        {"stop": ("x",), "seed": 1, "frequency_penalty": 1, "presence_penalty": 1, "choices": 2, "top_k": 3},
        {},
        ("top_k", "stop", "seed", "frequency_penalty", "presence_penalty", "n"),
    ),
    "log probabilities": (
        "gpt-4.1",
        {"logprobs": True, "top_logprobs": 2},
        {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
        (),
    ),
    "no log probabilities in streams": (
        "gpt-4.1",
        {"logprobs": True, "top_logprobs": 2, "stream": True},
        {"stream": True},
        ("logprobs", "top_logprobs"),
    ),
    "who asks": (
        "gpt-4.1",
        {"user": "ann", "metadata": {"a": "b", "n": 1}, "service_tier": "standard_only"},
        {"user": "ann", "metadata": {"a": "b"}, "service_tier": "default"},
        ("metadata",),
    ),
    "its own": (
        "gpt-4.1",
        {"extra": {"prompt_cache_key": "k", "safety_identifier": "s", "truncation": "auto", "store": True}},
        {"prompt_cache_key": "k", "safety_identifier": "s", "truncation": "auto", "store": True},
        (),
    ),
    "others' own": (
        "gpt-4.1",
        {"extra": {"logit_bias": {"1": 2}, "stream_options": {"include_usage": True}, "tools[3]": {"type": "x"}}},
        {},
        ("logit_bias", "tools[3]"),
    ),
    "tools that run there": (
        "gpt-4.1",
        {"extra": {"tools[0]": {"type": "web_search"}}},
        {"tools": [{"type": "web_search"}]},
        (),
    ),
}


@pytest.mark.parametrize(("model", "fields", "expected", "dropped"), SETTINGS.values(), ids=SETTINGS)
def test_settings(model: str, fields: dict[str, Any], expected: dict[str, Any], dropped: tuple[str, ...]):
    found = encoded(model=model, **fields)
    always = {"model": model, "input": [said("user", told("hi"))], "store": False}
    thinks = [] if model in ("gpt-4.1", "m") and "thinking" not in fields else ["reasoning.encrypted_content"]
    if thinks and model != "gpt-4.1":
        always["include"] = thinks
    assert found.body == {**always, **expected}
    assert found.dropped == dropped


def test_a_long_name_of_a_user_is_told_by_its_digest():
    assert len(encoded(user="ann@" + "x" * 200, model="gpt-4.1").body["user"]) == 64


def test_marks_for_a_cache_are_named_once():
    marked = Message("system", (Text("s", Cache()),))
    found = encoded(marked, user(Text("a", Cache())), tools=(Tool("t", cache=Cache()),))
    assert found.dropped == ("cache_control",)


def test_the_official_client_sends_what_we_write():
    """What we write is what its types know: a request made of them by OpenAI's client is the same."""
    seen: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.content)
        return httpx2.Response(200, content=case("openai_responses", "tools.response.json"), headers=JSON)

    client = openai.OpenAI(
        api_key="k",
        base_url="http://vendor.example/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )
    body = encoded(user("go"), assistant(SEALED, CALL), result(), tools=(WEATHER,), thinking=Thinking("low")).body
    made = client.responses.create(**body)
    assert json.loads(seen[0]) == body
    assert [item.type for item in made.output] == ["reasoning", "message", "function_call", "function_call"]


# Answers --------------------------------------------------------------------------------------------------------------

TOOLS_PARTS = (
    Reasoning(
        "**Planning**\n\nTwo cities are asked for.\n\n**Calling**\n\nBoth at once.",
        None,
        "gAAAAABo-first-seal==",
        "openai",
    ),
    Text("Let me look."),
    ToolCall("call_A1", "get_weather", '{"city":"Zürich","unit":"c"}'),
    ToolCall("call_B2", "get_weather", '{"city":"Rome \\"old\\""}'),
)
ANSWERS: dict[str, tuple[tuple[Any, ...], str]] = {
    "plain": ((Text("Hallo, Wörld! 👋\nHow are you?"),), "stop"),
    "tools": (TOOLS_PARTS, "tool_calls"),
    "length": ((Text("One, two, thr"),), "length"),
    "filtered": ((Text("I was going to"),), "content_filter"),
    "refusal": ((Refusal("I'm sorry, I can't help with that."),), "stop"),
    "open_thoughts": ((Reasoning("They say hello. I greet them."), Text("Hello!")), "stop"),
    "odd_items": ((Text("Here it is"), Text(", all of it."), Text("\n\nAnd that is that.")), "stop"),
}


def decoded(stream: bytes) -> list[Any]:
    decoder = openai_responses.stream_decoder()
    return [*decoder.feed(stream, NOW), *decoder.end(NOW)]


@pytest.mark.parametrize("name", ANSWERS)
def test_whole_answers(name: str):
    answer = openai_responses.decode_answer(case("openai_responses", f"{name}.response.json"), NOW)
    assert isinstance(answer, ChatResponse)
    [choice] = answer.choices
    assert (choice.parts, choice.finish_reason) == ANSWERS[name]


def test_the_input_of_a_custom_tool_is_its_one_argument():
    answer = openai_responses.decode_answer(case("openai_responses", "custom_tool.response.json"), NOW)
    assert isinstance(answer, ChatResponse)
    [_, call] = answer.choices[0].parts
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments)["input"].startswith('*** Begin Patch\n*** Add File: a "b".txt\n+é\\n👋')


def test_usage_and_what_it_cost():
    answer = openai_responses.decode_answer(case("openai_responses", "cached.response.json"), NOW)
    assert isinstance(answer, ChatResponse)
    assert answer.usage == Usage(input_tokens=4020, output_tokens=5, cached_tokens=4000, cache_write_tokens=12)
    router = openai_responses.decode_answer(case("openai_responses", "openrouter.response.json"), NOW)
    assert isinstance(router, ChatResponse)
    assert router.usage == Usage(input_tokens=78, output_tokens=37, reasoning_tokens=22, cost=1.13e-05)


def test_log_probabilities_of_a_whole_answer():
    tokens = [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}]
    content = [{"type": "output_text", "text": "a", "annotations": [], "logprobs": tokens}]
    body = {"status": "completed", "output": [{"type": "message", "role": "assistant", "content": content}]}
    answer = openai_responses.decode_answer(json.dumps(body).encode(), NOW)
    assert isinstance(answer, ChatResponse)
    assert answer.choices[0].logprobs == {"content": tokens, "refusal": None}


def joined(events: list[Any]) -> list[Any]:
    """What was said in a row is said at once."""
    found: list[Any] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, TextDelta | ReasoningDelta) and type(last) is type(event):
            found[-1] = type(event)(last.text + event.text)
        elif isinstance(event, CallDelta) and isinstance(last, CallDelta) and last.place == event.place:
            found[-1] = CallDelta(event.place, last.arguments + event.arguments)
        else:
            found.append(event)
    return found


def test_what_a_stream_tells():
    events = decoded(case("openai_responses", "tools.stream.sse"))
    thought, text, first, second = TOOLS_PARTS
    assert joined(events) == [
        Began("resp_2", "gpt-5-codex"),
        ReasoningDelta(thought.content),
        ReasoningSealed(thought),
        TextDelta(text.content),
        CallBegan(0, "call_A1", "get_weather"),
        CallDelta(0, first.arguments),
        CallBegan(1, "call_B2", "get_weather"),
        CallDelta(1, second.arguments),
        Counted(Usage(input_tokens=120, output_tokens=64, cached_tokens=64, reasoning_tokens=30)),
        Finished("tool_calls"),
        Ended(),
    ]
    assert len(events) > len(joined(events)) + 8


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def response(**fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "model": "m", "status": "completed", "output": [], **fields}


MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"}
CALLED = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
PATCHED = {"type": "custom_tool_call", "call_id": "c2", "name": "p", "input": ""}
SEEN = [
    ReasoningDelta("Hm."),
    ReasoningSealed(Reasoning("Hm.", None, "gAAA", "openai")),
    TextDelta("Hi."),
    CallBegan(0, "c1", "f"),
    CallDelta(0, "{}"),
    CallBegan(1, "c2", "p"),
    CallDelta(1, '{"input":""}'),
    Finished("tool_calls"),
    Ended(),
]
OUTPUT = [THOUGHT, MESSAGE, CALLED, PATCHED]
SPARSE = {
    "only the end": [{"type": "response.completed", "response": response(output=OUTPUT)}],
    "only whole items": [
        *({"type": "response.output_item.done", "output_index": at, "item": item} for at, item in enumerate(OUTPUT)),
        {"type": "response.completed", "response": response()},
    ],
    "whole items without their places": [
        event
        for item in OUTPUT
        for event in (
            {"type": "response.output_item.added", "item": {**item, "content": [], "summary": [], "arguments": ""}},
            {"type": "response.output_item.done", "item": item},
        )
    ]
    + [{"type": "response.completed", "response": response(output=OUTPUT)}],
    "places that have moved at the end": [
        {"type": "response.output_item.done", "output_index": at + 5, "item": item} for at, item in enumerate(OUTPUT)
    ]
    + [{"type": "response.completed", "response": response(output=OUTPUT)}],
}


@pytest.mark.parametrize("events", SPARSE.values(), ids=SPARSE)
def test_what_no_delta_has_told_is_told_once(events: list[dict[str, Any]]):
    assert decoded(stream(*events)) == SEEN


def test_ids_that_change_from_event_to_event():
    """As GitHub Copilot has it."""
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": {"id": "a", **CALLED, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "b", "delta": "{}"},
        {"type": "response.function_call_arguments.done", "output_index": 0, "item_id": "c", "arguments": "{}"},
        {"type": "response.output_item.done", "output_index": 0, "item": {"id": "d", **CALLED}},
        {"type": "response.completed", "response": response(output=[{"id": "e", **CALLED}])},
    ]
    assert decoded(stream(*events)) == [CallBegan(0, "c1", "f"), CallDelta(0, "{}"), Finished("tool_calls"), Ended()]


def test_calls_that_are_told_by_turns():
    events = [
        *(
            {"type": "response.output_item.added", "output_index": at, "item": {**CALLED, "call_id": f"c{at}"}}
            for at in (0, 1)
        ),
        *(
            {"type": "response.function_call_arguments.delta", "output_index": at, "delta": piece}
            for piece, at in (("{", 0), ("[", 1), ("}", 0), ("]", 1))
        ),
        {"type": "response.completed", "response": response()},
    ]
    found = [(event.place, event.arguments) for event in decoded(stream(*events)) if isinstance(event, CallDelta)]
    assert found == [(0, "{"), (1, "["), (0, "}"), (1, "]")]


def test_a_refusal_comes_in_pieces():
    events = decoded(case("openai_responses", "refusal.stream.sse"))
    pieces = [event.text for event in events if isinstance(event, RefusalDelta)]
    assert len(pieces) > 1
    assert "".join(pieces) == "I'm sorry, I can't help with that."


FAILURES = {
    "overload": ({"code": "server_is_overloaded", "message": "Later."}, FaultKind.OVERLOADED),
    "server": ({"code": "server_error", "message": "Oops."}, FaultKind.SERVER_ERROR),
    "rate": ({"code": "rate_limit_exceeded", "message": "Try again in 1.5s."}, FaultKind.RATE_LIMITED),
    "quota": ({"code": "insufficient_quota", "message": "Pay."}, FaultKind.OUT_OF_CREDIT),
    "window": ({"code": "context_length_exceeded", "message": "Too long."}, FaultKind.CONTEXT_TOO_LONG),
    "policy": ({"code": "invalid_prompt", "message": "No."}, FaultKind.REFUSED),
    "biology": ({"code": "bio_policy", "message": "No."}, FaultKind.REFUSED),
    "image": ({"code": "image_too_large", "message": "No."}, FaultKind.BAD_REQUEST),
    "nothing said": (None, FaultKind.SERVER_ERROR),
}


@pytest.mark.parametrize(("error", "kind"), FAILURES.values(), ids=FAILURES)
def test_failures(error: Any, kind: FaultKind):
    """Whole, as the end of a stream, and as an event of either shape."""
    failed = response(status="failed", error=error)
    whole = openai_responses.decode_answer(json.dumps(failed).encode(), NOW)
    assert isinstance(whole, Fault)
    events = [{"type": "response.failed", "response": failed}]
    if error is not None:
        events += [{"type": "error", **error, "sequence_number": 1}, {"type": "error", "error": error}]
    faults = [decoded(stream(event)) for event in events]
    assert [type(each) for found in faults for each in found] == [Failed] * len(events)
    assert {whole.kind, *(found[0].fault.kind for found in faults)} == {kind}
    if kind is FaultKind.RATE_LIMITED:
        assert whole.retry_after == 1.5


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_an_answer_that_is_not_there_yet_is_none(status: str):
    found = openai_responses.decode_answer(json.dumps(response(status=status)).encode(), NOW)
    assert isinstance(found, Fault)
    assert found.kind is FaultKind.GARBLED


def test_thoughts_of_another_account_are_known_as_the_cause():
    said = {"code": "invalid_encrypted_content", "message": "The encrypted content gAAA...DQ== could not be verified."}
    found = openai_responses.decode_answer(json.dumps({"error": {**said, "code": "x", "status": 400}}).encode(), NOW)
    assert isinstance(found, Fault)
    assert refuses_signatures(found)


def test_odd_events_are_passed_over_and_broken_ones_counted():
    events = stream(
        {"type": "response.queued", "response": response(status="queued")},
        {"type": "response.web_search_call.searching", "item_id": "ws_1", "output_index": 0},
        {"type": "response.nobody_knows.yet", "thing": {}},
        {"type": "keepalive"},
    )
    assert decoded(events) == []
    assert decoded(b'data: {"type":"response.output_text.delta","delta":7}\n\ndata: {\n\n') == [Damaged(), Damaged()]


RECORDED = sorted(RECORDINGS.glob("*/*-responses-*.json")) if RECORDINGS.exists() else []


@pytest.mark.parametrize("path", [pytest.param(each, id=each.stem) for each in RECORDED])
def test_recorded_answers(path: Path):
    recorded = json.loads(path.read_text())
    body = recorded["body"].encode()
    if recorded["status"] != 200:
        assert isinstance(openai_responses.decode_answer(body, NOW), Fault)
        return
    if not recorded["stream"]:
        answer = openai_responses.decode_answer(body, NOW)
        assert isinstance(answer, ChatResponse)
        assert answer.usage
        assert answer.choices[0].parts
        return
    events = decoded(body)
    assert not [event for event in events if isinstance(event, Damaged | Failed)]
    assert [type(event) for event in events if isinstance(event, Began | Finished)] == [Began, Finished]
    assert [event for event in events if isinstance(event, TextDelta | CallBegan)]
