"""OpenAI's Responses in front: what clients write is read, what vendors answer is written as OpenAI would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types.responses import Response

from gateway.abilities import UNKNOWN
from gateway.chat import (
    Began,
    Blob,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatRequest,
    ChatResponse,
    Choice,
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
from gateway.dialects import DIALECTS, EGRESS, INGRESS
from gateway.dialects.conduct import judged
from gateway.dialects.fields import words
from gateway.dialects.free_text import FreeText, text_in
from gateway.dialects.glimpse import Whole
from gateway.dialects.marks import marked, unmarked
from gateway.dialects.openai_request import MOST_PARTS, MOST_TOOLS
from gateway.dialects.responses_object import OURS
from gateway.errors import CallerError, FaultKind
from gateway.passing import Passing
from gateway.sse import Frame, Splitter, event
from tests.corpus import answers, case, cases, streams

NAME = "openai_responses"
FRONT, DIALECT, BACK = INGRESS[NAME], DIALECTS[NAME], EGRESS[NAME]
NOW = 1_700_000_000.0


def read(**said: Any) -> ChatRequest:
    return FRONT.decode_request(json.dumps({"model": "m", "input": "hi", **said}).encode())


def read_items(*items: Any, **said: Any) -> tuple[Message, ...]:
    return read(input=items, **said).messages


# Request: fields ------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"type": "function", "name": "f", "description": "does f", "parameters": SCHEMA, "strict": True}
F = Tool("f", "does f", SCHEMA, True)

FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # what the client says: (fields, what differs in the hub from a request that says nothing)
    "nothing": ({}, {}),
    "nulls": (dict.fromkeys(("temperature", "tools", "text", "reasoning", "include", "metadata", "user", "x")), {}),
    "what asks for nothing": (
        {"store": False, "truncation": "disabled", "include": ["reasoning.encrypted_content"], "metadata": {}},
        {},
    ),
    "stream": ({"stream": True, "stream_options": {"include_obfuscation": False}}, {"stream": True}),
    "sampling": ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
    "a limit": ({"max_output_tokens": 6.0}, {"max_tokens": 6}),
    "who and how": (
        {"user": "u", "metadata": {"a": "b"}, "service_tier": "flex", "parallel_tool_calls": False},
        {"user": "u", "metadata": {"a": "b"}, "service_tier": "flex", "parallel_tool_calls": False},
    ),
    "text": ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
    "any JSON": ({"text": {"format": {"type": "json_object"}}}, {"output": Output()}),
    "a schema": (
        {"text": {"format": {"type": "json_schema", "name": "c", "schema": SCHEMA, "strict": True}}},
        {"output": Output(SCHEMA, "c", None, True)},
    ),
    "effort": ({"reasoning": {"effort": "high", "summary": "auto"}}, {"thinking": Thinking("high")}),
    "how thoughts are told": (
        {"reasoning": {"summary": "detailed", "context": "all_turns"}},
        {"extra": {"reasoning.summary": "detailed", "reasoning.context": "all_turns"}},
    ),
    "logprobs": (
        {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        {"logprobs": True, "top_logprobs": 2},
    ),
    "what only OpenAI can include": (
        {"include": ["file_search_call.results"]},
        {"extra": {"include": ["file_search_call.results"]}},
    ),
    "a tool": ({"tools": [FUNCTION]}, {"tools": (F,)}),
    "a tool as chat has it": ({"tools": [{"type": "function", "function": {"name": "g"}}]}, {"tools": (Tool("g"),)}),
    "a tool that waits": (
        {"tools": [{**FUNCTION, "defer_loading": True, "allowed_callers": ["direct"]}]},
        {"tools": (F,), "extra": {"tools[0].defer_loading": True}},
    ),
    "a tool of OpenAI's": (
        {"tools": [{"type": "web_search", "x": 1}], "tool_choice": "auto"},
        {"extra": {"tools[0]": {"type": "web_search", "x": 1}}},
    ),
    "a tool of OpenAI's, required": (
        {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}},
        {"extra": {"tools[0]": {"type": "web_search"}, "tool_choice": {"type": "web_search"}}},
    ),
    "a shell of OpenAI's": (
        {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]},
        {"extra": {"tools[0]": {"type": "shell", "environment": {"type": "container_auto"}}}},
    ),
    "a namespace": (
        {"tools": [{"type": "namespace", "name": "mcp__s__", "description": "of s", "tools": [FUNCTION]}]},
        {"tools": (Tool("mcp__s__f", "of s\n\ndoes f", SCHEMA, True),)},
    ),
    "a namespace with a name that vendors refuse": (
        {"tools": [{"type": "namespace", "name": "my server", "tools": [{"type": "function", "name": "a.b"}]}]},
        {"tools": (Tool("my_server__a_b"),)},
    ),
    "the same tool twice": ({"tools": [FUNCTION, FUNCTION]}, {"tools": (F,)}),
    "auto": ({"tools": [FUNCTION], "tool_choice": "auto"}, {"tools": (F,), "tool_choice": ToolChoice("auto")}),
    "named": (
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}},
        {"tools": (F,), "tool_choice": ToolChoice("named", ("f",))},
    ),
    "allowed": (
        {
            "tools": [FUNCTION],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}],
            },
        },
        {
            "tools": (F,),
            "tool_choice": ToolChoice("required", ("f",)),
            "extra": {"tool_choice.tools[1]": {"type": "image_generation"}},
        },
    ),
    "what the hub has no word for": (
        {"prompt_cache_key": "k", "truncation": "auto", "client_metadata": {"a": 1}},
        {"extra": {"prompt_cache_key": "k", "truncation": "auto", "client_metadata": {"a": 1}}},
    ),
    "a text": ({"input": "ho"}, {"messages": (Message("user", (Text("ho"),)),)}),
    "instructions": (
        {"instructions": "be kind"},
        {"messages": (Message("system", (Text("be kind"),)), Message("user", (Text("hi"),)))},
    ),
}


@pytest.mark.parametrize(("said", "differs"), FIELDS.values(), ids=FIELDS)
def test_fields(said: dict[str, Any], differs: dict[str, Any]):
    expected = {"model": "m", "messages": (Message("user", (Text("hi"),)),), **differs}
    assert read(**said) == ChatRequest(**expected)


REFUSED: dict[str, tuple[dict[str, Any], str | None]] = {
    # what cannot be answered as asked: (fields, param)
    "background": ({"background": True}, "background"),
    "an unknown answer": ({"previous_response_id": "resp_x"}, "previous_response_id"),
    "a conversation at OpenAI": ({"conversation": "conv_1"}, "conversation"),
    "a prompt at OpenAI": ({"prompt": {"id": "p"}}, "prompt"),
    "no input": ({"input": None}, "input"),
    "no items": ({"input": []}, "input"),
    "a number": ({"input": 5}, "input"),
    "an item that is none": ({"input": [5]}, "input[0]"),
    "a role": ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
    "a part": ({"input": [{"role": "user", "content": [{"type": "smell"}]}]}, "input[0].content[0].type"),
    "a call without a name": ({"input": [{"type": "function_call", "arguments": "{}"}]}, "input[0].name"),
    "a compaction": ({"input": ["a", {"type": "compaction_trigger"}]}, "input[1]"),
    "a format": ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    "a verbosity": ({"text": {"verbosity": 3}}, "text.verbosity"),
    "a choice": ({"tool_choice": "perhaps"}, "tool_choice"),
    "a tool": ({"tools": ["f"]}, "tools[0]"),
    "a tool without a name": ({"tools": [{"type": "function"}]}, "tools[0].name"),
    "a tool in a namespace": (
        {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]},
        "tools[0].tools[0].name",
    ),
    "too many tools": ({"tools": [{"type": "function", "name": "f"}] * (MOST_TOOLS + 1)}, "tools"),
    "too many items": ({"input": ["a"] * (MOST_PARTS + 1)}, "input"),
    "a number for a text": ({"user": 5}, "user"),
}


@pytest.mark.parametrize(("said", "param"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_told_with_its_place(said: dict[str, Any], param: str):
    with pytest.raises(CallerError) as raised:
        read(**said)
    assert (raised.value.status, raised.value.param) == (400, param)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "role", "content", "output", "call_id", "name", "tools"]), inner)
        ),
    )
)
@settings(deadline=None)
def test_whatever_is_sent_is_read_or_refused(said: Any):
    body = json.dumps({"model": "m", "input": [said], "tools": said, "text": said}).encode()
    for each in (body, json.dumps({"model": "m", "input": said}).encode(), json.dumps(said).encode()):
        DIALECT.conversation(each)
        DIALECT.planning(each, "a", "b")
        DIALECT.noted(each, "n")
        DIALECT.prepended(each, [{"role": "system", "content": "s"}])
        DIALECT.cleared(each, True)
        FRONT.stream_encoder(id="x", model="m", created=1, usage=True, asked=each).end(None, None)
        for reading in (DIALECT.peek, FRONT.decode_request):
            with suppress(CallerError):
                reading(each)


# Request: items -------------------------------------------------------------------------------------------------------


def call(call_id: str, name: str = "f", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


def result(call_id: str, output: Any = "r", **more: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output, **more}


def said_by_model(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def thought(text: str = "", sealed: str | None = None) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": sealed}


def answer(id: str, name: str, *parts: Any, failed: bool = False) -> Message:
    return Message("tool", (ToolCallResponse(id, name, parts, failed),))


ITEMS: dict[str, tuple[list[Any], list[Message]]] = {
    "roles": (
        [
            {"role": "developer", "content": "d"},
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "s"}]},
        ],
        [Message("developer", (Text("d"),)), Message("system", (Text("s"),))],
    ),
    "parts": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
                    {"type": "input_image", "file_id": "file-1"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
                    {"type": "input_file", "file_url": "https://a/a.pdf"},
                    {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
                ],
            }
        ],
        [
            Message(
                "user",
                (
                    Uri("image", "https://a/b.png", detail="low"),
                    File("image", "file-1"),
                    Blob("document", "application/pdf", "aGk=", name="a.pdf"),
                    Uri("document", "https://a/a.pdf"),
                    Blob("audio", "audio/wav", "aGk="),
                ),
            )
        ],
    ),
    "one answer of many items": (
        [call("a"), thought("t", "sealed"), said_by_model("ok"), call("b", "g"), result("a"), result("b")],
        [
            Message(
                "assistant",
                (Reasoning("t", opaque="sealed", format="openai"), Text("ok"), ToolCall("a", "f"), ToolCall("b", "g")),
            ),
            answer("a", "f", Text("r")),
            answer("b", "g", Text("r")),
        ],
    ),
    "two answers": (
        [call("a"), result("a"), thought("t"), said_by_model("ok"), "more", said_by_model("fine")],
        [
            Message("assistant", (ToolCall("a", "f"),)),
            answer("a", "f", Text("r")),
            Message("assistant", (Reasoning("t"), Text("ok"))),
            Message("user", (Text("more"),)),
            Message("assistant", (Text("fine"),)),
        ],
    ),
    "a refusal": (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [Message("assistant", (Refusal("no"),))],
    ),
    "open thoughts": (
        [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "a"}]}, "b"],
        [Message("assistant", (Reasoning("a"),)), Message("user", (Text("b"),))],
    ),
    "free text": (
        [
            {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": 'a\n"b"'},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        ],
        [Message("assistant", (ToolCall("c", "patch", r'{"input":"a\n\"b\""}'),)), answer("c", "patch", Text("done"))],
    ),
    "a result of parts": (
        [call("a"), result("a", [{"type": "input_text", "text": "x"}, {"type": "input_image", "file_id": "i"}])],
        [Message("assistant", (ToolCall("a", "f"),)), answer("a", "f", Text("x"), File("image", "i"))],
    ),
    "a result that is an object": (
        [call("a"), result("a", {"ok": True})],
        [Message("assistant", (ToolCall("a", "f"),)), answer("a", "f", Text('{"ok":true}'))],
    ),
    "a result without an id": (
        [call("a"), call("b", "g"), result("a"), {"type": "function_call_output", "id": "fco_1", "output": "r"}],
        [
            Message("assistant", (ToolCall("a", "f"), ToolCall("b", "g"))),
            answer("a", "f", Text("r")),
            answer("b", "g", Text("r")),
        ],
    ),
    "a result for no call": ([result("z"), "x"], [answer("z", "", Text("r")), Message("user", (Text("x"),))]),
    "arguments that are an object": (
        [call("a", arguments={"x": 1}), call("b", arguments="  ")],
        [Message("assistant", (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "f", "{}")))],
    ),
}


@pytest.mark.parametrize(("items", "messages"), ITEMS.values(), ids=ITEMS)
def test_items(items: list[Any], messages: list[Message]):
    assert list(read_items(*items)) == messages


DROPPED: dict[str, tuple[list[Any], str]] = {
    "a reference": ([{"type": "item_reference", "id": "msg_1"}], "input[0]"),
    "a reference without a type": ([{"id": "msg_1"}], "input[0]"),
    "a thought that OpenAI keeps": ([thought()], "input[0]"),
    "a search of OpenAI's": ([{"type": "web_search_call", "id": "ws"}], "input[0]"),
    "what nobody knows yet": ([{"type": "telepathy", "x": 1}], "input[0]"),
    "a field of an item": ([{**said_by_model("x"), "phase": "commentary"}], "input[0].phase"),
    "a citation": (
        [{"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": [{"type": "c"}]}]}],
        "input[0].content[0].annotations",
    ),
}


@pytest.mark.parametrize(("items", "where"), DROPPED.values(), ids=DROPPED)
def test_what_cannot_be_carried_is_named_by_its_place(items: list[Any], where: str):
    request = read(input=[*items, "go on"])
    assert list(request.extra) == [where]
    assert request.messages[-1] == Message("user", (Text("go on"),))


def test_what_openai_runs_itself_does_not_cut_an_answer_in_two():
    messages = read_items("q", {"type": "web_search_call", "id": "ws"}, said_by_model("a"), {"id": "r"}, call("c"))
    assert [message.role for message in messages] == ["user", "assistant"]


def test_tools_that_come_along_are_on_offer():
    brought = {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}
    search = [
        {"type": "tool_search_call", "call_id": "s", "execution": "client", "arguments": {"query": "q"}},
        {"type": "tool_search_output", "call_id": "s", "execution": "client", "tools": [{**FUNCTION, "name": "g"}]},
    ]
    tools = [{"type": "tool_search", "execution": "client", "description": "finds", "parameters": SCHEMA}]
    request = read(input=[brought, "x", *search], tools=tools)
    assert [tool.name for tool in request.tools] == ["tool_search", "f", "g"]
    assert request.messages[1:] == (
        Message("assistant", (ToolCall("s", "tool_search", '{"query":"q"}'),)),
        answer("s", "tool_search", Text('{"tools":["g"]}')),
    )


def test_shells_and_patches_are_functions():
    request = FRONT.decode_request(case(NAME, "shells.request.json"))
    assert [tool.name for tool in request.tools] == ["local_shell", "shell", "apply_patch"]
    assert request.messages[1:] == (
        Message("assistant", (ToolCall("call_1", "local_shell", '{"command":["ls"]}'),)),
        answer("call_1", "local_shell", Text('{"output":"a"}')),
        Message("assistant", (ToolCall("call_2", "shell", '{"commands":["make","ls"]}'),)),
        answer("call_2", "shell", Text("Exit code: 2\nno rule\ncommand timed out\na")),
        Message("assistant", (ToolCall("call_3", "apply_patch", '{"type":"create_file","path":"a","diff":"+x"}'),)),
        answer("call_3", "apply_patch", Text("the file exists"), failed=True),
    )
    assert request.extra == {}


def test_codex():
    request = FRONT.decode_request(case(NAME, "codex.request.json"))
    assert [message.role for message in request.messages] == [
        *("system", "developer", "user", "user", "assistant", "tool", "tool", "tool")
    ]
    calls = [part.name for part in request.messages[4].parts if isinstance(part, ToolCall)]
    assert calls == ["exec_command", "apply_patch", "mcp__docs__find"]
    assert {*calls} == {tool.name for tool in request.tools}
    assert [*request.extra] == ["prompt_cache_key", "tools[1].format", "tools[3]", "input[4].phase"]
    grammar = (request.tools[1].parameters or {})["properties"]["input"]["description"]
    assert grammar.endswith("start: begin_patch")


@pytest.mark.parametrize("body", cases(NAME, "request.json"))
def test_what_is_written_for_a_vendor_is_read_the_same(body: bytes):
    def again(request: ChatRequest) -> ChatRequest:
        return FRONT.decode_request(json.dumps(BACK.encode_request(request, UNKNOWN).body).encode())

    def told(request: ChatRequest) -> list[Message]:
        """What is said. Instructions are joined; that a tool failed is said in words alone."""
        said = [message for message in request.messages if message.role not in ("system", "developer")]
        results = [part for message in said for part in message.parts if isinstance(part, ToolCallResponse)]
        assert len({part.id for part in results}) == len(results)
        return [
            Message(each.role, tuple(replace(p, failed=False) if hasattr(p, "failed") else p for p in each.parts))
            for each in said
        ]

    first = FRONT.decode_request(body)
    second = again(first)
    assert told(second) == told(first)
    assert [tool.name for tool in second.tools] == [tool.name for tool in first.tools]
    assert again(second) == second


# Free text ------------------------------------------------------------------------------------------------------------


@given(st.text(), st.booleans(), st.integers(1, 5))
def test_free_text_comes_out_as_it_went_in_however_it_is_cut(text: str, ascii_only: bool, size: int):
    text = text.encode(errors="replace").decode()
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only)
    reader = FreeText()
    pieces = [reader.feed(arguments[place : place + size]) for place in range(0, len(arguments), size)]
    assert reader.over
    assert "".join(pieces) + reader.end() == text == text_in(arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("*** Begin Patch", "*** Begin Patch"),
        ('"a text"', "a text"),
        ('{"patch":"x"}', "x"),
        ('{"why":"w","input":"x"}', "x"),
        ('{"input":"line\nbreak \\d"}', "line\nbreak \\d"),
        ('{"input":"cut of', "cut of"),
        (r'{"input":"half \ud83d"}', "half \ufffd"),
        (r'{"input":"no \u12 escape"}', r"no \u12 escape"),
        ("{}", ""),
        ("", ""),
        ('{"input":5}', '{"input":5}'),
    ],
)
def test_free_text_that_is_not_as_it_should_be(arguments: str, text: str):
    whole = text_in(arguments)
    reader = FreeText()
    assert whole == "".join(map(reader.feed, arguments)) + reader.end() == text


# Answers --------------------------------------------------------------------------------------------------------------

ASKED = json.dumps(
    {
        "model": "m",
        "input": "hi",
        "instructions": "be\nkind",
        "reasoning": {"effort": "low"},
        "temperature": 0.5,
        "tools": [
            FUNCTION,
            {"type": "namespace", "name": "ns", "description": "n", "tools": [{"type": "function", "name": "g"}]},
            {"type": "custom", "name": "patch"},
            {"type": "shell"},
        ],
    },
    indent=1,
).encode()
USAGE = Usage(input_tokens=10, output_tokens=5, cached_tokens=3, cache_write_tokens=1, reasoning_tokens=2)
SIGNED = Reasoning("deep", "sig==", format="anthropic")

ANSWERS: dict[str, tuple[list[ChatEvent], tuple[Any, ...], str]] = {
    # the same answer: (in events, whole, why it ended)
    "text": ([TextDelta("Hel"), TextDelta(""), TextDelta("lo")], (Text("Hello"),), "stop"),
    "nothing": ([], (), "stop"),
    "cut off": ([TextDelta("Hel")], (Text("Hel"),), "length"),
    "filtered": ([TextDelta("Hel")], (Text("Hel"),), "content_filter"),
    "a refusal": ([TextDelta("a"), RefusalDelta("n"), RefusalDelta("o")], (Text("a"), Refusal("no")), "stop"),
    "thoughts": (
        [ReasoningDelta("de"), ReasoningDelta("ep"), ReasoningSealed(SIGNED), TextDelta("a")],
        (SIGNED, Text("a")),
        "stop",
    ),
    "thoughts nobody signed": ([ReasoningDelta("deep"), TextDelta("a")], (Reasoning("deep"), Text("a")), "stop"),
    "thoughts nobody may read": (
        [ReasoningSealed(Reasoning(opaque="x", format="anthropic")), TextDelta("a")],
        (Reasoning(opaque="x", format="anthropic"), Text("a")),
        "stop",
    ),
    "calls of all kinds": (
        [
            TextDelta("a"),
            CallBegan(0, "c0", "f"),
            CallDelta(0, '{"city"'),
            CallDelta(0, ':"R"}'),
            CallBegan(1, "c1", "ns__g"),
            CallBegan(2, "c2", "patch"),
            CallDelta(2, '{"input":"a'),
            CallDelta(2, '\\n"}'),
            CallBegan(3, "c3", "shell"),
            CallDelta(3, '{"commands":["ls"]}'),
        ],
        (
            Text("a"),
            ToolCall("c0", "f", '{"city":"R"}'),
            ToolCall("c1", "ns__g", ""),
            ToolCall("c2", "patch", '{"input":"a\\n"}'),
            ToolCall("c3", "shell", '{"commands":["ls"]}'),
        ),
        "tool_calls",
    ),
    "calls side by side": (
        [
            CallBegan(0, "c0", "f"),
            CallBegan(1, "c1", "f"),
            CallDelta(0, '{"city":'),
            CallDelta(1, '{"city":"S"'),
            CallDelta(0, '"R"}'),
            CallDelta(1, "}"),
        ],
        (ToolCall("c0", "f", '{"city":"R"}'), ToolCall("c1", "f", '{"city":"S"}')),
        "tool_calls",
    ),
    "a call cut off": (
        [CallBegan(0, "c0", "f"), CallDelta(0, '{"city')],
        (ToolCall("c0", "f", '{"city'),),
        "length",
    ),
    "a call of a shell that cannot be read": (
        [CallBegan(0, "c0", "shell"), CallDelta(0, "ls")],
        (ToolCall("c0", "shell", "ls"),),
        "tool_calls",
    ),
}


def encoded(events: list[ChatEvent], reason: Any, asked: bytes = ASKED) -> bytes:
    encoder = FRONT.stream_encoder(id="abc", model="m", created=5, usage=True, asked=asked)
    said = [Began("chatcmpl-9", "vendors-model"), *events, Finished(reason)]
    return b"".join(map(encoder.feed, said)) + encoder.end(USAGE, 0.1)


def whole(parts: tuple[Any, ...], reason: Any, asked: bytes = ASKED) -> bytes:
    made = ChatResponse(id="chatcmpl-9", model="vendors-model", choices=(Choice(parts, reason),), usage=USAGE)
    return DIALECT.with_cost(FRONT.encode_answer(made, id="abc", model="m", created=5, asked=asked), 0.1)


def events_of(stream: bytes) -> list[dict[str, Any]]:
    frames = Splitter().feed(stream)
    assert all(frame.name.decode() == json.loads(frame.data or b"")["type"] for frame in frames)
    return [json.loads(frame.data or b"") for frame in frames]


def client(content: bytes, *, streams: bool = False, status: int = 200) -> openai.OpenAI:
    kind = "text/event-stream" if streams else "application/json"
    reply = httpx.MockTransport(lambda request: httpx.Response(status, content=content, headers={"content-type": kind}))
    return openai.OpenAI(
        api_key="k", base_url="http://vendor/v1", max_retries=0, http_client=httpx.Client(transport=reply)
    )


@pytest.mark.parametrize(("events", "parts", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_a_stream_ends_with_the_whole_answer(events: list[ChatEvent], parts: tuple[Any, ...], reason: str):
    assert events_of(encoded(events, reason))[-1]["response"] == json.loads(whole(parts, reason))


@pytest.mark.parametrize(("events", "parts", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_the_sdk_puts_a_stream_together(events: list[ChatEvent], parts: tuple[Any, ...], reason: str):
    with client(encoded(events, reason), streams=True).responses.stream(model="m", input="hi") as stream:
        seen = list(stream)
    last: Any = seen[-1]
    assert [each.sequence_number for each in seen] == list(range(len(seen)))
    assert last.type == ("response.incomplete" if reason in ("length", "content_filter") else "response.completed")
    snapshot = last.response
    assert snapshot.output_text == "".join(part.content for part in parts if isinstance(part, Text))
    assert snapshot.to_dict()["usage"] == json.loads(whole(parts, reason))["usage"]
    streamed = "".join(each.delta for each in seen if each.type == "response.output_text.delta")
    assert streamed == snapshot.output_text


@pytest.mark.parametrize(("events", "parts", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_the_documented_order(events: list[ChatEvent], parts: tuple[Any, ...], reason: str):
    """Each item is added once, said, and done once; what was said in pieces is what it is in the end."""
    open_items: dict[int, dict[str, Any]] = {}
    pieces: dict[int, str] = {}
    kinds = [each["type"] for each in events_of(encoded(events, reason))]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    for said in events_of(encoded(events, reason))[2:-1]:
        index = said["output_index"]
        match said["type"].removeprefix("response."):
            case "output_item.added":
                assert index == len(pieces)
                open_items[index], pieces[index] = said["item"], ""
            case "output_item.done":
                item = open_items.pop(index)
                assert (item["id"], item["type"]) == (said["item"]["id"], said["item"]["type"])
                assert (
                    pieces[index] == spoken_in(said["item"]) or item["type"] == "shell_call" or parts[0].name == "shell"
                )
            case "content_part.done" | "reasoning_summary_part.done":
                assert open_items[index]["id"] == said["item_id"]
            case kind if kind.endswith(".delta"):
                assert open_items[index]["id"] == said["item_id"]
                pieces[index] += said["delta"]
    assert not open_items


def spoken_in(item: Mapping[str, Any]) -> str:
    match item["type"]:
        case "message":
            return "".join(part.get("text", part.get("refusal")) for part in item["content"])
        case "reasoning":
            return "".join(part["text"] for part in item["summary"])
        case "custom_tool_call":
            return str(item["input"])
        case _:
            return str(item.get("arguments"))


def test_one_item_at_a_time_where_the_vendor_says_one_thing_at_a_time():
    events, _, _ = ANSWERS["calls of all kinds"]
    added = [
        (each["type"][21:], each["output_index"]) for each in events_of(encoded(events, "tool_calls")) if "item" in each
    ]
    # A call without arguments may still get some.
    done_late = ("done", 2)
    assert [each for each in added if each != done_late] == [
        *(("added", 0), ("done", 0), ("added", 1), ("done", 1), ("added", 2)),
        *(("added", 3), ("done", 3), ("added", 4), ("done", 4)),
    ]


@pytest.mark.parametrize(("events", "parts", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_what_was_answered_is_read_back(events: list[ChatEvent], parts: tuple[Any, ...], reason: str):
    """A client sends the items back as they came: the hub has the same parts again, signatures included."""
    output = json.loads(whole(parts, reason))["output"]
    if not parts:
        return
    asked = json.loads(ASKED)
    request = FRONT.decode_request(json.dumps({**asked, "instructions": None, "input": output}).encode())
    expected = [ToolCall(p.id, p.name, p.arguments or "{}") if isinstance(p, ToolCall) else p for p in parts]
    (message,) = request.messages
    order = (Reasoning, Text, Refusal, ToolCall)
    assert list(message.parts) == sorted(expected, key=lambda part: order.index(type(part)))


def test_the_answer_has_every_key_and_tells_the_request_back():
    said = json.loads(whole((Text("a"),), "stop"))
    assert said.keys() >= RECORDED_KEYS
    assert (said["instructions"], said["temperature"]) == ("be\nkind", 0.5)
    assert said["reasoning"] == {"effort": "low", "summary": None}
    assert said["tools"] == json.loads(ASKED)["tools"]
    assert said["id"] == "resp_abc"
    assert Response.model_validate(said).output_text == "a"


# As OpenAI's own answers have them, nulls included.
RECORDED_KEYS = words(
    "id object created_at status background error incomplete_details instructions max_output_tokens max_tool_calls "
    "model output parallel_tool_calls previous_response_id prompt_cache_key reasoning safety_identifier service_tier "
    "store temperature text tool_choice tools top_logprobs top_p truncation usage user metadata"
)


def test_items_of_two_answers_have_other_ids():
    def ids(exchange: str) -> set[str]:
        made = ChatResponse(choices=(Choice((Reasoning("t"), Text("a"), ToolCall("", "f")), "tool_calls"),))
        said = json.loads(FRONT.encode_answer(made, id=exchange, model="m", created=5, asked=b""))
        return {said["id"], *(item["id"] for item in said["output"]), said["output"][-1]["call_id"]}

    assert len(ids("a") | ids("b")) == 10


def test_an_answer_to_a_request_that_cannot_be_read():
    said = json.loads(whole((ToolCall("c", "f"),), "tool_calls", asked=b"{nonsense"))
    assert (said["tools"], said["output"][0]["type"]) == ([], "function_call")


# Thoughts that others signed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "signed",
    [
        Reasoning("t", "sig+/=="),
        Reasoning("", "s:i%g", format="gemini"),
        Reasoning("t", None, '[{"type":"x:y"}]', "openrouter"),
        Reasoning("t", "s", "o", "anthropic-claude-v1"),
        Reasoning("t"),
    ],
)
def test_a_mark_is_known_again(signed: Reasoning):
    assert unmarked(marked(signed), signed.content) == signed


def test_foreign_thoughts_do_not_go_to_openai():
    foreign = [
        thought("t", "skein:anthropic:sig=="),
        {**thought("t"), "id": OURS + "1"},
        {"type": "reasoning", "summary": []},
    ]
    body = json.dumps({"input": [*foreign, thought("t", "gAAA"), thought(), call("a"), "skein:"]}).encode()
    fitted = DIALECT.cleared(body, False)
    assert fitted.dropped == ("input[0]", "input[1]", "input[2]")
    assert json.loads(fitted.body)["input"] == [thought("t", "gAAA"), thought(), call("a"), "skein:"]


def test_bare_is_without_thoughts_and_without_what_is_bound_to_them():
    body = json.dumps({"input": ["a", thought("t", "gAAA"), call("a", id="fc_1"), result("a", id="fco_1")]}).encode()
    fitted = DIALECT.cleared(body, True)
    assert fitted.dropped == ("input[1]",)
    assert json.loads(fitted.body)["input"] == ["a", call("a"), result("a", id="fco_1")]


@pytest.mark.parametrize("bare", [False, True])
def test_a_request_without_foreign_thoughts_is_the_same_object(bare: bool):
    body = json.dumps({"input": ["skein: reasoning", said_by_model("x")], "reasoning": {"effort": "low"}}).encode()
    assert DIALECT.cleared(body, bare).body is body


# Passing through ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", cases(NAME, "request.json"))
def test_only_the_deltas_change(body: bytes):
    said = json.loads(body)
    assert json.loads(DIALECT.rewrite(body, "n")) == {**said, "model": "n"}
    changed = json.loads(DIALECT.rewrite(body, "n", drop=frozenset({"store"}), max_tokens=100))
    assert changed == {**{k: v for k, v in said.items() if k != "store"}, "model": "n", "max_output_tokens": 100}
    assert json.loads(DIALECT.rewrite(changed_limit(body, 7), "n", max_tokens=100))["max_output_tokens"] == 7


def changed_limit(body: bytes, limit: int) -> bytes:
    return json.dumps({**json.loads(body), "max_output_tokens": limit}).encode()


def test_what_routing_sees():
    facts = DIALECT.peek(case(NAME, "codex.request.json"))
    assert (facts.model, facts.stream, facts.wants_usage, facts.tools) == ("gpt-5.2-codex", True, True, True)
    assert (facts.structured, facts.session) == (False, "0199-session")
    assert facts.parameters == {"reasoning.level": "medium"}
    facts = DIALECT.peek(case(NAME, "agents_sdk.request.json"))
    assert (facts.stream, facts.structured, facts.session) == (False, True, None)
    assert facts.parameters == {"max_tokens": 500, "temperature": 0.5}


def through(stream: bytes, size: int) -> tuple[bytes, Passing]:
    passing = Passing(DIALECT, keep_text=True)
    out = b"".join(passing.feed(stream[at : at + size], NOW) for at in range(0, len(stream), size))
    return out + passing.end(NOW), passing


@pytest.mark.parametrize(("body", "stream"), answers(NAME))
def test_what_passes_by_is_told_as_of_the_whole_answer(body: bytes, stream: bytes):
    told = DIALECT.read_whole(body, NOW)
    assert isinstance(told, Whole)
    for size in (len(stream), 7):
        _, passing = through(stream, size)
        digest = passing.digest
        assert passing.complete
        assert passing.fault is None
        assert (digest.finish_reason, digest.usage, digest.model) == (told.finish_reason, told.usage, told.model)
        assert [(each.id, each.tool) for each in digest.calls.values()] == [(each.id, each.tool) for each in told.calls]
        assert "".join(digest.text) == DIALECT.spoken(body)


@pytest.mark.parametrize(("events", "parts", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_what_we_write_is_seen_as_what_it_is(events: list[ChatEvent], parts: tuple[Any, ...], reason: str):
    out, passing = through(encoded(events, reason), 11)
    assert out == encoded(events, reason)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    assert [part.id for part in passing.digest.calls.values()] == [part.id for part in calls]
    assert passing.digest.finish_reason == reason
    told = DIALECT.read_whole(whole(parts, reason), NOW)
    assert isinstance(told, Whole)
    assert (told.finish_reason, [part.id for part in told.calls]) == (reason, [part.id for part in calls])


@pytest.mark.parametrize("stream", [pytest.param(each, id=name) for name, each in streams(NAME).items()])
def test_skimming_tells_the_same(stream: bytes):
    datas = [frame.data or b"" for frame in Splitter().feed(stream)]
    for data, said in zip(datas, DIALECT.skim(datas, True), strict=True):
        seen = DIALECT.glimpse(Frame(b"", data), NOW)
        assert said is None or (seen.output and seen.text == said and not seen.reasons)


FAULTS: dict[str, tuple[dict[str, Any], FaultKind]] = {
    "a rate": (
        {
            "type": "response.failed",
            "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "m"}},
        },
        FaultKind.RATE_LIMITED,
    ),
    "a window": (
        {"type": "response.failed", "response": {"error": {"code": "context_length_exceeded", "message": "m"}}},
        FaultKind.CONTEXT_TOO_LONG,
    ),
    "as documented": (
        {"type": "error", "code": "server_error", "message": "m", "param": None, "sequence_number": 3},
        FaultKind.SERVER_ERROR,
    ),
    "as sent": (
        {"type": "error", "error": {"type": "server_error", "code": None, "message": "m"}},
        FaultKind.SERVER_ERROR,
    ),
    "as chat has it": ({"error": {"code": "server_error", "message": "m"}}, FaultKind.SERVER_ERROR),
}


@pytest.mark.parametrize(("said", "kind"), FAULTS.values(), ids=FAULTS)
def test_an_error_in_a_stream_is_a_fault(said: dict[str, Any], kind: FaultKind):
    fault = DIALECT.glimpse(Frame(b"", json.dumps(said).encode()), NOW).fault
    assert fault is not None
    assert (fault.kind, fault.message) == (kind, "m")


def test_a_stream_without_its_last_event_is_not_whole():
    stream = streams(NAME)["plain"]
    _, passing = through(stream[: stream.rindex(b"event: response.completed")] + b"data: [DONE]\n\n", 50)
    assert not passing.complete


def test_a_cost_is_told_beside_the_usage():
    body = case(NAME, "plain.response.json")
    assert json.loads(DIALECT.with_cost(body, 0.5))["usage"]["cost"] == 0.5
    data = Splitter().feed(streams(NAME)["plain"])[-1].data or b""
    assert json.loads(DIALECT.with_cost(data, 0.5))["response"]["usage"]["cost"] == 0.5
    unpriced = b'{"type":"response.output_text.delta","delta":"usage"}'
    assert DIALECT.with_cost(unpriced, 0.5) is unpriced


# Our errors -----------------------------------------------------------------------------------------------------------

ERROR = {"message": "boom", "type": "upstream_error", "code": "broken_stream", "param": None, "request_id": "r"}


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (502, openai.InternalServerError),
    ],
)
def test_the_sdk_raises_what_fits_the_status(status: int, raised: type[openai.APIStatusError]):
    with pytest.raises(raised, match="boom") as error:
        client(DIALECT.error_body(ERROR, status), status=status).responses.create(model="m", input="x")
    assert error.value.code == "broken_stream"


@pytest.mark.parametrize("begun", [False, True])
def test_the_sdk_raises_in_the_middle_of_a_stream(begun: bool):
    encoder = FRONT.stream_encoder(id="abc", model="m", created=5, usage=True, asked=ASKED)
    before = encoder.feed(TextDelta("a")) if begun else DIALECT.KEEPALIVE
    broken = before + DIALECT.error_frame(ERROR, 502, encoder.place)
    with (
        pytest.raises(openai.APIError, match="boom"),
        client(broken, streams=True).responses.stream(model="m", input="x") as stream,
    ):
        list(stream)
    numbers = [each["sequence_number"] for each in events_of(broken.removeprefix(DIALECT.KEEPALIVE))]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("broken_stream", 502, "server_error"),
        ("rate_limit_exceeded", 429, "rate_limit_exceeded"),
        ("timeout_idle", 504, "server_error"),
        ("context_length_exceeded", 400, "context_length_exceeded"),
        ("bad_request", 400, "invalid_prompt"),
    ],
)
def test_codex_is_told_by_its_codes(code: str, status: int, told: str):
    """It passes over ``error`` events, and asks again unless the code of ``response.failed`` forbids it."""
    last = events_of(DIALECT.error_frame({**ERROR, "code": code}, status, 4))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"] == {"code": told, "message": "boom"}


def test_a_keep_alive_is_no_event():
    stream = DIALECT.KEEPALIVE + encoded([TextDelta("a")], "stop")
    with client(stream, streams=True).responses.stream(model="m", input="x") as made:
        assert made.get_final_response().output_text == "a"


# The conversation -----------------------------------------------------------------------------------------------------


def test_a_conversation_of_codex():
    talk = DIALECT.conversation(case(NAME, "codex.request.json"))
    roles = ["system", "system", "user", "user", "assistant", "tool", "tool", "tool"]
    assert [message.role for message in talk.messages] == roles
    assert talk.tools == ("exec_command", "apply_patch", "mcp__docs__find", "web_search")
    said = [message.said() for message in talk.messages]
    assert (said[0].text, said[4].text) == ("You are Codex, a coding agent.", "I look.")
    assert (said[7].text, said[7].images) == ("found", 1)
    calls = talk.messages[4].calls(4)
    assert [(each.id, each.tool, each.readable) for each in calls] == [
        ("call_1", "exec_command", True),
        ("call_2", "apply_patch", True),
        ("call_3", "mcp__docs__find", True),
    ]


def test_what_became_of_codex_calls():
    found = judged(DIALECT.conversation(case(NAME, "codex.request.json")))
    assert [(each.tool, each.outcome) for each in found] == [
        ("exec_command", "error"),
        ("apply_patch", "ok"),
        ("mcp__docs__find", "ok"),
    ]
    patched = judged(DIALECT.conversation(case(NAME, "shells.request.json")))
    assert [(each.tool, each.outcome) for each in patched] == [("apply_patch", "error")]


def test_a_text_alone_is_a_conversation():
    talk = DIALECT.conversation(case(NAME, "text_alone.request.json"))
    assert [(message.role, message.said().text) for message in talk.messages] == [("user", "hi")]
    assert talk.fingerprint()


def test_a_plan_is_asked_for_without_tools():
    body = DIALECT.planning(case(NAME, "codex.request.json"), "Plan.", "What next?")
    assert body is not None
    request = FRONT.decode_request(body)
    assert (request.tools, request.stream, request.model) == ((), True, "gpt-5.2-codex")
    told = request.messages[0].parts[0]
    assert isinstance(told, Text)
    for part in ("Plan.", "You are Codex", "workspace-write", "- exec_command: Runs", "- mcp__docs__find: Finds."):
        assert part in told.content
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    texts = [part.content for message in request.messages for part in message.parts if isinstance(part, Text)]
    assert '[called exec_command {"cmd":"pytest -q"}]' in texts[2]
    assert (texts[-1], "[mcp__docs__find answered]" in texts) == ("What next?", True)


NOTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "instructions": ({"instructions": "a", "input": "x"}, {"instructions": "a\n\nN", "input": "x"}),
    "none": ({"input": "x"}, {"instructions": "N", "input": "x"}),
    "a developer's item": (
        {"input": [{"role": "developer", "content": "d"}, "x"][:1]},
        {"input": [{"role": "developer", "content": "d\n\nN"}]},
    ),
    "a developer's parts": (
        {"input": [{"role": "developer", "content": [{"type": "input_text", "text": "d"}]}]},
        {
            "input": [
                {
                    "role": "developer",
                    "content": [{"type": "input_text", "text": "d"}, {"type": "input_text", "text": "N"}],
                }
            ]
        },
    ),
}


@pytest.mark.parametrize(("said", "noted"), NOTED.values(), ids=NOTED)
def test_a_note_is_among_the_first_instructions(said: dict[str, Any], noted: dict[str, Any]):
    assert json.loads(DIALECT.noted(json.dumps(said).encode(), "N") or b"") == noted


def test_a_managed_prompt_stands_before_all():
    prompt = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    body = DIALECT.prepended(json.dumps({"instructions": "own", "input": "x"}).encode(), prompt)
    assert json.loads(body) == {
        "instructions": "S\n\nown",
        "input": [
            {"type": "message", "role": "user", "content": "U"},
            {"type": "message", "role": "user", "content": "x"},
        ],
    }


# Recorded -------------------------------------------------------------------------------------------------------------

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"
RECORDED = [
    pytest.param(json.loads(file.read_text()), id=file.stem) for file in sorted(RECORDINGS.glob("*/*-responses-*.json"))
]


@pytest.mark.parametrize("recorded", RECORDED)
def test_recorded_answers_pass(recorded: dict[str, Any]):
    body = recorded["body"].encode()
    if recorded["status"] != 200:
        return
    if not recorded["stream"]:
        told = DIALECT.read_whole(body, NOW)
        assert isinstance(told, Whole)
        assert told.finish_reason in ("stop", "tool_calls", "length")
        assert told.usage is not None
        return
    for size in (len(body), 13):
        out, passing = through(body, size)
        assert passing.complete
        assert passing.digest.output
        assert passing.digest.usage is not None
        assert not passing.digest.skipped
        assert [frame.data for frame in Splitter().feed(out)] == [
            frame.data for frame in Splitter().feed(body) if frame.data and frame.data != b"[DONE]"
        ]


@pytest.mark.parametrize("recorded", RECORDED)
def test_recorded_requests_are_read(recorded: dict[str, Any]):
    asked = recorded["recorded_request"]
    if recorded["status"] == 200 and not asked.get("previous_response_id"):
        assert FRONT.decode_request(json.dumps(asked).encode()).messages


def test_an_unheard_of_event_harms_nothing():
    said = event(b'{"type":"response.steered","x":{}}') + event(b'{"type":"keepalive","sequence_number":1}')
    passing = Passing(DIALECT)
    assert passing.feed(said, NOW) == said
    assert passing.fault is None
