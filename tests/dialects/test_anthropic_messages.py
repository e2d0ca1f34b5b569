"""Anthropic's Messages: what a chat becomes, and what its answers mean."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
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
from gateway.dialects import anthropic_messages, openai_chat
from gateway.dialects.anthropic_schema import enforceable, tool_input
from gateway.errors import CallerError, Fault, FaultKind
from gateway.tools import Caring
from gateway.transcoding import Naming, Transcoding, transcoded

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings" / "anthropic"

SONNET_4_5 = abilities("claude-sonnet-4-5")
OPUS_4_6 = abilities("claude-opus-4-6")
OPUS_4_7 = abilities("claude-opus-4-7")
OPUS_5 = abilities("claude-opus-5")
OPUS_5_5 = abilities("claude-opus-5-5")
HAIKU_3_5 = abilities("claude-3-5-haiku")

HI = Message("user", (Text("hi"),))
WEATHER = Tool("weather", "What it is like.", {"type": "object", "properties": {"city": {"type": "string"}}})
SIGNED = Reasoning("I wonder", "sig", None, "anthropic")


def encoded(*messages: Message, able: Abilities = SONNET_4_5, **fields: Any) -> Encoded:
    request = ChatRequest(model="claude", messages=messages or (HI,), **fields)
    written = anthropic_messages.encode_request(request, able)
    check(json.loads(json.dumps(written.body)))
    return written


def body(*messages: Message, able: Abilities = SONNET_4_5, **fields: Any) -> dict[str, Any]:
    return encoded(*messages, able=able, **fields).body


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Any) -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def call(id: str = "call_1", name: str = "weather", arguments: str = '{"city":"Rome"}') -> ToolCall:
    return ToolCall(id, name, arguments)


def result(id: str = "call_1", *parts: Any, failed: bool = False) -> Message:
    texts = tuple(Text(part) if isinstance(part, str) else part for part in parts or ("sunny",))
    return Message("tool", (ToolCallResponse(id, "weather", texts, failed),))


def check(written: dict[str, Any]) -> None:
    """What Anthropic refuses, whatever was asked."""
    roles = [message["role"] for message in written["messages"]]
    assert roles[0] == "user"
    assert all(one != other for one, other in pairwise(roles))
    ids: list[str] = []
    pending: list[str] = []
    has_calls = False
    for message in written["messages"]:
        blocks = message["content"]
        blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
        kinds = [block["type"] for block in blocks]
        assert kinds
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert results == pending
        assert kinds[: len(results)] == ["tool_result"] * len(results)
        for block in blocks:
            for text in (each["text"] for each in [block, *inner(block)] if each["type"] == "text"):
                assert text.strip()
        pending = [block["id"] for block in blocks if block["type"] == "tool_use"]
        ids += pending
        has_calls |= bool(pending)
        if pending:
            assert message["role"] == "assistant"
            assert kinds[-len(pending) :] == ["tool_use"] * len(pending)
            assert all(isinstance(block["input"], dict) for block in blocks if block["type"] == "tool_use")
    assert not pending
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[a-zA-Z0-9_-]+", each) for each in ids)
    tools = written.get("tools", [])
    assert tools or not has_calls
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,128}", tool["name"]) for tool in tools)
    assert all(tool["input_schema"]["type"] == "object" for tool in tools)
    assert json.dumps(written).count('"cache_control": ') <= 4
    thinking = written.get("thinking", {"type": "disabled"})
    if thinking["type"] == "enabled":
        assert 1024 <= thinking["budget_tokens"] < written["max_tokens"]
    if thinking["type"] in ("enabled", "adaptive"):
        assert written.get("tool_choice", {}).get("type") not in ("any", "tool")
        assert written.get("temperature", 1) == 1
        assert roles[-1] == "user"
    assert 0 <= written.get("temperature", 1) <= 1


def inner(block: dict[str, Any]) -> list[dict[str, Any]]:
    return block["content"] if isinstance(block.get("content"), list) else []


# Conversation ---------------------------------------------------------------------------------------------------------


def test_a_plain_request():
    assert encoded(Message("system", (Text("Be brief."),)), HI) == Encoded(
        body={
            "model": "claude",
            "max_tokens": 32_000,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "hi"}],
        }
    )


TURNS: dict[str, tuple[tuple[Message, ...], list[dict[str, Any]], tuple[str, ...]]] = {
    "same roles are one turn": (
        (user("a"), user("b"), assistant("c"), assistant("d"), user("e")),
        [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
            {"role": "user", "content": "e"},
        ],
        (),
    ),
    "results come first, in the order of the calls": (
        (user("a"), assistant("b", call("1"), call("2")), result("2", "two"), user("c"), result("1", "one")),
        [
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "b"},
                    {"type": "tool_use", "id": "1", "name": "weather", "input": {"city": "Rome"}},
                    {"type": "tool_use", "id": "2", "name": "weather", "input": {"city": "Rome"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "2", "content": "two"},
                    {"type": "text", "text": "c"},
                ],
            },
        ],
        (),
    ),
    "a missing result is an error": (
        (user("a"), assistant(call("1"), call("2")), result("2", "two", failed=True), user("c")),
        [
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "1", "name": "weather", "input": {"city": "Rome"}},
                    {"type": "tool_use", "id": "2", "name": "weather", "input": {"city": "Rome"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "1",
                        "content": "No result: the call was interrupted.",
                        "is_error": True,
                    },
                    {"type": "tool_result", "tool_use_id": "2", "content": "two", "is_error": True},
                    {"type": "text", "text": "c"},
                ],
            },
        ],
        (),
    ),
    "a result of no call is told": (
        (user("a"), result("9", "nine")),
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "text", "text": "A result of the tool weather:"},
                    {"type": "text", "text": "nine"},
                ],
            }
        ],
        (),
    ),
    "a result with another id is the call's that is left": (
        (user("a"), assistant(call("1")), result("made-up")),
        [
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "1", "name": "weather", "input": {"city": "Rome"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "sunny"}]},
        ],
        (),
    ),
    "a late system message is the user's": (
        (Message("developer", (Text("s"),)), user("a"), Message("system", (Text("b"),))),
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        ("messages[2].role",),
    ),
    "nobody has said anything": ((Message("system", (Text("s"),)),), [{"role": "user", "content": "(no message)"}], ()),
    "the assistant begins": (
        (assistant("a"), user("b")),
        [
            {"role": "user", "content": "(no message)"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "b"},
        ],
        (),
    ),
    "white space says nothing": (
        (user("a"), assistant(" \n"), user("", "b")),
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        (),
    ),
    "what is left of sounds": (
        (user(Blob("audio", "audio/wav", "UklGRg==")),),
        [{"role": "user", "content": "(content left out: this model cannot read it)"}],
        ("messages[0].content[0]",),
    ),
    "an answer begun": (
        (user("a"), assistant("Once upon \n")),
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "Once upon"}],
        (),
    ),
    "names and refusals": (
        (Message("user", (Text("a"),), name="ann"), assistant(Refusal("no")), user("b")),
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "no"},
            {"role": "user", "content": "b"},
        ],
        ("messages[0].name",),
    ),
}


@pytest.mark.parametrize(("messages", "turns", "dropped"), TURNS.values(), ids=TURNS)
def test_turns(messages: tuple[Message, ...], turns: list[Any], dropped: tuple[str, ...]):
    written = encoded(*messages)
    assert written.body["messages"] == turns
    assert written.dropped == dropped


def test_newer_models_do_not_complete_an_answer():
    assert body(HI, assistant("Once"), able=OPUS_4_6)["messages"][-1] == {"role": "user", "content": "Go on."}
    thinking = body(HI, assistant("Once"), thinking=Thinking(effort="low"))
    assert thinking["messages"][-1]["role"] == "user"


def test_ids_are_made_legal_and_unique():
    turn = (assistant(call("call.1|x")), result("call.1|x"))
    again = (assistant(call("call_1")), result("call_1"), assistant(call("call_1")), result("call_1", "rainy"))
    turns = body(HI, *turn, *again)["messages"]
    uses = [block for turn in turns if turn["role"] == "assistant" for block in turn["content"]]
    assert [use["id"] for use in uses] == [uses[0]["id"], "call_1", "call_1_2"]
    assert uses[0]["id"].startswith("toolu_")
    assert body(HI, *turn)["messages"][1]["content"][0]["id"] == uses[0]["id"], "the same again, for the cache"
    assert turns[-1]["content"] == [{"type": "tool_result", "tool_use_id": "call_1_2", "content": "rainy"}]


def test_a_stray_result_is_for_the_call_that_is_left():
    turns = body(HI, assistant(call("1"), call("2")), result("x", "two"), result("1", "one"))["messages"]
    assert [block["content"] for block in turns[2]["content"]] == ["one", "two"]


def test_calls_with_the_same_id_are_answered_in_order():
    turns = body(HI, assistant(call(""), call("")), result("", "one"), result("", "two"))["messages"]
    assert [block["content"] for block in turns[2]["content"]] == ["one", "two"]


@pytest.mark.parametrize(
    ("arguments", "written"),
    [("", {}), ('{"a":1}', {"a": 1}), ("[1]", {"arguments": "[1]"}), ('{"a":', {"arguments": '{"a":'})],
)
def test_arguments(arguments: str, written: dict[str, Any]):
    turns = body(HI, assistant(call(arguments=arguments)), result())["messages"]
    assert turns[1]["content"][0]["input"] == written


def test_calls_without_tools_get_theirs():
    written = body(HI, assistant(call()), result())
    assert written["tools"] == [{"name": "weather", "input_schema": {"type": "object"}}]
    assert written["tool_choice"] == {"type": "none"}


THOUGHTS: dict[str, tuple[Reasoning, dict[str, Any] | None]] = {
    "signed": (SIGNED, {"type": "thinking", "thinking": "I wonder", "signature": "sig"}),
    "omitted": (
        Reasoning("", "sig", None, "anthropic"),
        {"type": "thinking", "thinking": "", "signature": "sig"},
    ),
    "redacted": (Reasoning("", None, "data", "anthropic"), {"type": "redacted_thinking", "data": "data"}),
    "unsigned": (Reasoning("I wonder"), None),
    "another vendor's": (Reasoning("I wonder", "sig", None, "gemini"), None),
}


@pytest.mark.parametrize(("thought", "block"), THOUGHTS.values(), ids=THOUGHTS)
def test_thoughts_go_back_unchanged_or_not_at_all(thought: Reasoning, block: dict[str, Any] | None):
    written = encoded(HI, assistant("well", call(), thought), result())
    blocks = written.body["messages"][1]["content"]
    assert [each["type"] for each in blocks] == [*([block["type"]] if block else []), "text", "tool_use"]
    assert block is None or blocks[0] == block
    assert written.dropped == (() if block else ("messages[1].reasoning_content",))


MEDIA: dict[str, tuple[Any, dict[str, Any] | None]] = {
    "an image": (
        Blob("image", "image/jpg", "AAAA"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}},
    ),
    "an image elsewhere": (
        Uri("image", "https://example.com/a.png"),
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    ),
    "an image of another kind": (Blob("image", "image/tiff", "AAAA"), None),
    "an image nobody can fetch": (Uri("image", "gs://bucket/a.png"), None),
    "a PDF": (
        Blob("document", "application/pdf", "AAAA", name="a.pdf"),
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
            "title": "a.pdf",
        },
    ),
    "a PDF elsewhere": (
        Uri("document", "https://example.com/a.pdf"),
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
    ),
    "a text": (
        Blob("document", "text/csv; charset=utf-8", base64.b64encode("ä,b".encode()).decode()),
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ä,b"}},
    ),
    "a text that is none": (Blob("document", "text/plain", "/w=="), None),
    "a spreadsheet": (Blob("document", "application/vnd.ms-excel", "AAAA"), None),
    "a film": (Blob("video", "video/mp4", "AAAA"), None),
    "a file": (File("document", "file_1"), {"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
}


@pytest.mark.parametrize(("part", "block"), MEDIA.values(), ids=MEDIA)
def test_media(part: Any, block: dict[str, Any] | None):
    written = encoded(user("see", part))
    assert written.dropped == (() if block else ("messages[0].content[1]",))
    assert written.body["messages"][0]["content"] == ([{"type": "text", "text": "see"}, block] if block else "see")
    assert written.headers == ((("anthropic-beta", "files-api-2025-04-14"),) if isinstance(part, File) else ())


def test_an_image_among_a_tools_results():
    written = encoded(HI, assistant(call()), result("call_1", "see", Blob("image", "image/png", "AAAA", detail="low")))
    [block] = written.body["messages"][2]["content"]
    assert [each["type"] for each in block["content"]] == ["text", "image"]
    assert written.dropped == ("messages[2].content[1].image_url.detail",)


# Tools ----------------------------------------------------------------------------------------------------------------

CHOICES: dict[str, tuple[dict[str, Any], Abilities, dict[str, Any] | None, tuple[str, ...]]] = {
    "none said": ({}, SONNET_4_5, None, ()),
    "auto": ({"tool_choice": ToolChoice("auto")}, SONNET_4_5, {"type": "auto"}, ()),
    "none": ({"tool_choice": ToolChoice("none")}, SONNET_4_5, {"type": "none"}, ()),
    "required": ({"tool_choice": ToolChoice("required")}, SONNET_4_5, {"type": "any"}, ()),
    "named": (
        {"tool_choice": ToolChoice("named", ("weather",))},
        SONNET_4_5,
        {"type": "tool", "name": "weather"},
        (),
    ),
    "one at a time": (
        {"parallel_tool_calls": False},
        SONNET_4_5,
        {"type": "auto", "disable_parallel_tool_use": True},
        (),
    ),
    "one at a time, required": (
        {"tool_choice": ToolChoice("required"), "parallel_tool_calls": False},
        SONNET_4_5,
        {"type": "any", "disable_parallel_tool_use": True},
        (),
    ),
    "none at a time": (
        {"tool_choice": ToolChoice("none"), "parallel_tool_calls": False},
        SONNET_4_5,
        {"type": "none"},
        (),
    ),
    "several at a time": ({"parallel_tool_calls": True}, SONNET_4_5, None, ()),
    "a model that cannot be made to": (
        {"tool_choice": ToolChoice("required")},
        OPUS_5_5,
        {"type": "auto"},
        ("tool_choice",),
    ),
}


@pytest.mark.parametrize(("fields", "able", "choice", "dropped"), CHOICES.values(), ids=CHOICES)
def test_tool_choice(fields: dict[str, Any], able: Abilities, choice: Any, dropped: tuple[str, ...]):
    written = encoded(able=able, tools=(WEATHER,), **fields)
    assert written.body.get("tool_choice") == choice
    assert written.dropped == dropped


def test_a_choice_among_no_tools():
    assert encoded(tool_choice=ToolChoice("auto")).dropped == ()
    assert encoded(tool_choice=ToolChoice("required")).dropped == ("tool_choice",)


def test_only_some_tools_are_on_offer():
    other = Tool("time")
    written = body(tools=(WEATHER, other), tool_choice=ToolChoice("required", ("time",)))
    assert [tool["name"] for tool in written["tools"]] == ["time"]
    written = body(tools=(WEATHER, other, Tool("date")), tool_choice=ToolChoice("named", ("time", "date")))
    assert [tool["name"] for tool in written["tools"]] == ["time", "date"]
    assert written["tool_choice"] == {"type": "any"}


def test_names_are_made_legal_and_back():
    tool = Tool("files.read v2")
    written = encoded(
        HI,
        assistant(call(name="files.read v2")),
        result(),
        tools=(tool,),
        tool_choice=ToolChoice("named", ("files.read v2",)),
    )
    [(name, client)] = written.tool_names.items()
    assert client == "files.read v2"
    assert written.body["tools"][0]["name"] == name
    assert written.body["tool_choice"]["name"] == name
    assert written.body["messages"][1]["content"][0]["name"] == name


def test_schemas_of_tools():
    assert body(tools=(Tool("a"),))["tools"] == [{"name": "a", "input_schema": {"type": "object", "properties": {}}}]
    loose = {"properties": {"a": {"type": "string", "pattern": "x"}}, "additionalProperties": True}
    assert body(tools=(Tool("a", "d", loose),))["tools"][0]["input_schema"] == {**loose, "type": "object"}
    strict = encoded(tools=(Tool("a", "d", loose, strict=True),)).body["tools"][0]
    assert strict["strict"] is True
    assert strict["input_schema"]["additionalProperties"] is False
    old = encoded(tools=(Tool("a", "d", loose, strict=True),), able=HAIKU_3_5)
    assert old.dropped == ("tools[0].function.strict",)
    many = encoded(tools=tuple(Tool(f"t{at}", strict=True) for at in range(22)))
    assert many.dropped == ("tools[20].function.strict", "tools[21].function.strict")


def test_variants_at_the_top_of_a_tools_schema_are_put_together():
    one = {"properties": {"a": {"type": "string"}, "c": {}}, "required": ["a", "c"]}
    other = {"properties": {"b": {"type": "string"}, "c": {}}, "required": ["b", "c"]}
    schema, lost = tool_input({"type": "object", "anyOf": [one, other]})
    assert (set(schema["properties"]), schema["required"], lost) == ({"a", "b", "c"}, ["c"], ("anyOf",))
    schema, lost = tool_input({"allOf": [one, other]})
    assert (schema["required"], schema["type"], lost) == (["a", "b", "c"], "object", ("allOf",))
    written = encoded(tools=(Tool("a", None, {"oneOf": [one, other]}),))
    assert written.dropped == ("tools[0].function.parameters.oneOf",)


SCHEMAS: dict[str, tuple[Any, Any]] = {
    "objects are closed": (
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "additionalProperties": False,
            "required": ["a"],
        },
    ),
    "limits are told": (
        {"type": "integer", "description": "How many.", "minimum": 1, "maximum": 9},
        {"type": "integer", "description": "How many.\n\n{minimum: 1, maximum: 9}"},
    ),
    "a map is told": (
        {"type": "object", "additionalProperties": {"type": "string"}},
        {
            "type": "object",
            "properties": {},
            "additionalProperties": False,
            "description": "{additionalProperties: {'type': 'string'}}",
        },
    ),
    "oneOf": (
        {"oneOf": [{"type": "string", "pattern": "a"}, {"type": "null"}]},
        {"anyOf": [{"type": "string", "description": "{pattern: a}"}, {"type": "null"}]},
    ),
    "formats": (
        {
            "type": "array",
            "items": {"type": "string", "format": "uuid"},
            "minItems": 1,
        },
        {"type": "array", "items": {"type": "string", "format": "uuid"}, "minItems": 1},
    ),
    "other formats": (
        {"type": "array", "items": {"type": "string", "format": "regex"}, "minItems": 2},
        {
            "type": "array",
            "items": {"type": "string", "description": "{format: regex}"},
            "description": "{minItems: 2}",
        },
    ),
    "definitions": (
        {"$ref": "#/definitions/A", "definitions": {"A": {"type": "string", "maxLength": 3}}},
        {"$defs": {"A": {"type": "string", "description": "{maxLength: 3}"}}, "$ref": "#/$defs/A"},
    ),
    "two types": (
        {"type": ["object", "null"], "properties": {"a": {"const": 1}}, "$schema": "x"},
        {"type": ["object", "null"], "properties": {"a": {"const": 1}}, "additionalProperties": False},
    ),
    "anything": (True, True),
}


@pytest.mark.parametrize(("schema", "written"), SCHEMAS.values(), ids=SCHEMAS)
def test_schemas_that_are_enforced(schema: Any, written: Any):
    before = json.dumps(schema)
    assert enforceable(schema) == written
    assert json.dumps(schema) == before


def test_output():
    schema = {"type": "object", "properties": {}}
    written = body(output=Output(schema, "n", "What to say", True))["output_config"]
    assert written["format"]["type"] == "json_schema"
    assert written["format"]["schema"]["description"] == "What to say"
    assert encoded(output=Output(None)).dropped == ("response_format",)
    assert encoded(output=Output(schema), able=HAIKU_3_5).dropped == ("response_format",)


def test_a_schema_nested_too_deeply_is_the_callers():
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(3000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(CallerError):
        encoded(output=Output(schema))


# Thinking -------------------------------------------------------------------------------------------------------------

LOOP = (HI, assistant(call()), result())
SIGNED_LOOP = (HI, assistant(SIGNED, call()), result(), assistant(call("call_2")), result("call_2"))

THINKING: dict[str, tuple[tuple[Message, ...], dict[str, Any], Abilities, Any, str | None, tuple[str, ...]]] = {
    "not asked": ((HI,), {}, OPUS_5, None, None, ()),
    "a budget": (
        (HI,),
        {"thinking": Thinking(effort="medium")},
        SONNET_4_5,
        {"type": "enabled", "budget_tokens": 8192},
        None,
        (),
    ),
    "a budget of one's own": (
        (HI,),
        {"thinking": Thinking(budget=9000), "max_tokens": 10000},
        SONNET_4_5,
        {"type": "enabled", "budget_tokens": 9000},
        None,
        (),
    ),
    "a budget below the least": (
        (HI,),
        {"thinking": Thinking(budget=1)},
        SONNET_4_5,
        {"type": "enabled", "budget_tokens": 1024},
        None,
        (),
    ),
    "a budget beyond the limit": (
        (HI,),
        {"thinking": Thinking(budget=9000), "max_tokens": 8000},
        SONNET_4_5,
        {"type": "enabled", "budget_tokens": 4000},
        None,
        (),
    ),
    "a budget within a small limit": (
        (HI,),
        {"thinking": Thinking(effort="high"), "max_tokens": 4096},
        SONNET_4_5,
        {"type": "enabled", "budget_tokens": 2048},
        None,
        (),
    ),
    "a limit too small to think": (
        (HI,),
        {"thinking": Thinking(effort="low"), "max_tokens": 100},
        SONNET_4_5,
        {"type": "enabled", "budget_tokens": 1024},
        None,
        ("max_tokens",),
    ),
    "adaptive": ((HI,), {"thinking": Thinking(effort="minimal")}, OPUS_4_6, {"type": "adaptive"}, "low", ()),
    "adaptive, by itself": ((HI,), {"thinking": Thinking(adaptive=True)}, OPUS_4_6, {"type": "adaptive"}, None, ()),
    "4.6 has no xhigh": ((HI,), {"thinking": Thinking(effort="xhigh")}, OPUS_4_6, {"type": "adaptive"}, "high", ()),
    "adaptive, and told": (
        (HI,),
        {"thinking": Thinking(effort="xhigh")},
        OPUS_4_7,
        {"type": "adaptive", "display": "summarized"},
        "xhigh",
        (),
    ),
    "a budget where there is none": (
        (HI,),
        {"thinking": Thinking(budget=6000)},
        OPUS_4_7,
        {"type": "adaptive", "display": "summarized"},
        "medium",
        ("thinking.budget_tokens",),
    ),
    "off": ((HI,), {"thinking": Thinking(effort="none")}, SONNET_4_5, None, None, ()),
    "off where it is on": ((HI,), {"thinking": Thinking(effort="none")}, OPUS_5, {"type": "disabled"}, None, ()),
    "off where it cannot be": (
        (HI,),
        {"thinking": Thinking(effort="none")},
        OPUS_5_5,
        None,
        "low",
        ("reasoning_effort",),
    ),
    "a model that cannot": (
        (HI,),
        {"thinking": Thinking(effort="high")},
        HAIKU_3_5,
        None,
        None,
        ("reasoning_effort",),
    ),
    "a forced tool": (
        (HI,),
        {"thinking": Thinking(effort="high"), "tools": (WEATHER,), "tool_choice": ToolChoice("required")},
        SONNET_4_5,
        None,
        None,
        ("reasoning_effort",),
    ),
    "a forced tool where thinking is on": (
        (HI,),
        {"tools": (WEATHER,), "tool_choice": ToolChoice("required")},
        OPUS_5,
        {"type": "disabled"},
        None,
        (),
    ),
    "tools at work, without the thought": (
        LOOP,
        {"thinking": Thinking(effort="high"), "tools": (WEATHER,)},
        SONNET_4_5,
        None,
        None,
        ("reasoning_effort",),
    ),
    "tools at work, with the thought": (
        SIGNED_LOOP,
        {"thinking": Thinking(effort="low"), "tools": (WEATHER,)},
        SONNET_4_5,
        {"type": "enabled", "budget_tokens": 2048},
        None,
        (),
    ),
    "tools that have worked": (
        (*LOOP, assistant("sunny"), HI),
        {"thinking": Thinking(effort="low"), "tools": (WEATHER,)},
        SONNET_4_5,
        {"type": "enabled", "budget_tokens": 2048},
        None,
        (),
    ),
    "tools at work, adaptive": (
        LOOP,
        {"thinking": Thinking(effort="high"), "tools": (WEATHER,)},
        OPUS_4_6,
        {"type": "adaptive"},
        "high",
        (),
    ),
    "in Anthropic's words": (
        (HI,),
        {"thinking": Thinking(budget=2000), "extra": {"thinking.display": "omitted"}},
        SONNET_4_5,
        {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
        None,
        (),
    ),
    "in words that are not known here": (
        (HI,),
        {"extra": {"thinking": {"type": "between_tools"}}},
        OPUS_5_5,
        {"type": "between_tools"},
        None,
        (),
    ),
    "how it is shown, of nothing": (
        (HI,),
        {"thinking": Thinking(budget=2000), "extra": {"thinking.display": "omitted"}},
        HAIKU_3_5,
        None,
        None,
        ("thinking", "thinking.display"),
    ),
    "in no words": ((HI,), {"extra": {"thinking": "a lot"}}, OPUS_5_5, None, None, ("thinking",)),
    "a vendor nobody knows": (
        (HI,),
        {"thinking": Thinking(effort="low")},
        UNKNOWN,
        {"type": "enabled", "budget_tokens": 2048},
        None,
        (),
    ),
}


@pytest.mark.parametrize(
    ("messages", "fields", "able", "thinking", "effort", "dropped"), THINKING.values(), ids=THINKING
)
def test_thinking(
    messages: tuple[Message, ...],
    fields: dict[str, Any],
    able: Abilities,
    thinking: Any,
    effort: str | None,
    dropped: tuple[str, ...],
):
    written = encoded(*messages, able=able, **fields)
    assert written.body.get("thinking") == thinking
    assert written.body.get("output_config", {}).get("effort") == effort
    assert written.dropped == dropped


def test_a_limit_too_small_to_think_holds_for_the_answer():
    assert body(thinking=Thinking(effort="low"), max_tokens=100)["max_tokens"] == 1124


# The rest -------------------------------------------------------------------------------------------------------------

FIELDS: dict[str, tuple[dict[str, Any], Abilities, dict[str, Any], tuple[str, ...]]] = {
    "temperature": ({"temperature": 0.3}, SONNET_4_5, {"temperature": 0.3}, ()),
    "too hot": ({"temperature": 1.4}, SONNET_4_5, {"temperature": 1}, ("temperature",)),
    "one of two": ({"temperature": 0.3, "top_p": 0.9}, SONNET_4_5, {"temperature": 0.3}, ("top_p",)),
    "one of two, the other at its default": (
        {"temperature": 0.3, "top_p": 1.0},
        SONNET_4_5,
        {"temperature": 0.3},
        (),
    ),
    "both": ({"temperature": 0.3, "top_p": 0.9}, HAIKU_3_5, {"temperature": 0.3, "top_p": 0.9}, ()),
    "top_k": ({"top_k": 5}, SONNET_4_5, {"top_k": 5}, ()),
    "top_k of one's own": ({"extra": {"top_k": 5}}, SONNET_4_5, {"top_k": 5}, ()),
    "no sampling": (
        {"temperature": 0.3, "top_p": 0.9, "top_k": 5},
        OPUS_4_7,
        {},
        ("temperature", "top_p", "top_k"),
    ),
    "sampling at its default": ({"temperature": 1.0, "top_p": 1}, OPUS_4_7, {}, ()),
    "while thinking": (
        {"temperature": 0.3, "top_p": 0.97, "top_k": 5, "thinking": Thinking(adaptive=True)},
        OPUS_4_6,
        {"top_p": 0.97, "thinking": {"type": "adaptive"}},
        ("temperature", "top_k"),
    ),
    "stop": ({"stop": ("END", "\n")}, SONNET_4_5, {"stop_sequences": ["END"]}, ("stop",)),
    "a limit": ({"max_tokens": 5}, SONNET_4_5, {"max_tokens": 5}, ()),
    "a limit beyond the model's": ({"max_tokens": 100_000}, SONNET_4_5, {"max_tokens": 64_000}, ("max_tokens",)),
    "the limit of a large model": ({}, OPUS_5, {"max_tokens": 128_000}, ()),
    "the limit of a small model": ({}, HAIKU_3_5, {"max_tokens": 8_192}, ()),
    "a user": ({"user": "ann"}, SONNET_4_5, {"metadata": {"user_id": "ann"}}, ()),
    "a user in metadata": (
        {"metadata": {"user_id": "ann", "run": 1}},
        SONNET_4_5,
        {"metadata": {"user_id": "ann"}},
        ("metadata",),
    ),
    "a tier": ({"service_tier": "default"}, SONNET_4_5, {"service_tier": "standard_only"}, ()),
    "a tier of OpenAI's": ({"service_tier": "flex"}, SONNET_4_5, {}, ("service_tier",)),
    "what is OpenAI's alone": (
        {
            "seed": 0,
            "frequency_penalty": 0.5,
            "presence_penalty": 0.0,
            "choices": 2,
            "logprobs": True,
            "top_logprobs": 2,
            "verbosity": "low",
            "extra": {"logit_bias": {"1": 2}, "store": False, "stream_options": {}, "prediction": {}},
        },
        SONNET_4_5,
        {},
        (
            *("seed", "frequency_penalty", "n", "logprobs", "top_logprobs", "verbosity"),
            *("logit_bias", "prediction"),
        ),
    ),
    "what is Anthropic's own": (
        {"extra": {"container": "c", "output_config": {"task_budget": 1}}, "thinking": Thinking(effort="low")},
        OPUS_4_6,
        {
            "container": "c",
            "output_config": {"task_budget": 1, "effort": "low"},
            "thinking": {"type": "adaptive"},
        },
        (),
    ),
    "streaming": ({"stream": True}, SONNET_4_5, {"stream": True}, ()),
}


@pytest.mark.parametrize(("fields", "able", "written", "dropped"), FIELDS.values(), ids=FIELDS)
def test_fields(fields: dict[str, Any], able: Abilities, written: dict[str, Any], dropped: tuple[str, ...]):
    got = encoded(able=able, **fields)
    plain = body(able=able)
    assert {key: value for key, value in got.body.items() if plain.get(key) != value or key in written} == written
    assert got.dropped == dropped


def test_users_that_are_refused_are_hashed():
    one = body(user="ann@example.com")["metadata"]["user_id"]
    assert re.fullmatch("[0-9a-f]{64}", one)
    assert one == body(user="ann@example.com")["metadata"]["user_id"]
    assert len(body(user="x" * 300)["metadata"]["user_id"]) == 64


def test_betas():
    extra = {"anthropic_beta": ["a-1", "b-2", "no\r\nway: x"], "betas": "b-2, c-3", "mcp_servers": []}
    assert encoded(extra=extra).headers == (("anthropic-beta", "a-1,b-2,c-3,mcp-client-2025-11-20"),)


# Caches ---------------------------------------------------------------------------------------------------------------


def test_the_clients_markers_are_passed():
    written = body(
        Message("system", (Text("s", Cache("1h")),)),
        user(Text("a", Cache()), "b"),
        tools=(Tool("t", cache=Cache("9m")),),
        cache_automatically=True,
    )
    assert written["system"] == [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    assert written["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert [block.get("cache_control") for block in written["messages"][0]["content"]] == [
        {"type": "ephemeral"},
        None,
    ]


def test_of_more_than_four_markers_the_last_are_kept():
    written = encoded(user(*(Text(str(at), Cache()) for at in range(6))))
    marked = [block["text"] for block in written.body["messages"][0]["content"] if "cache_control" in block]
    assert marked == ["2", "3", "4", "5"]
    assert written.dropped == ("cache_control",)


def test_markers_are_set_where_the_provider_says_so():
    marker = {"type": "ephemeral"}
    written = body(
        Message("system", (Text("s"),)),
        user("a"),
        assistant("b", call()),
        result(),
        assistant("c"),
        user("d"),
        tools=(Tool("x"), WEATHER),
        cache_automatically=True,
    )
    assert written["system"] == [{"type": "text", "text": "s", "cache_control": marker}]
    assert ["cache_control" in tool for tool in written["tools"]] == [False, True]
    users = [message["content"] for message in written["messages"] if message["role"] == "user"]
    assert users[0] == "a"
    assert [blocks[-1]["cache_control"] for blocks in users[1:]] == [marker, marker]


# Answer ---------------------------------------------------------------------------------------------------------------


def answer(*blocks: Any, stop: str | None = "end_turn", **more: Any) -> bytes:
    said = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": list(blocks),
        "stop_reason": stop,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 5,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 2},
        },
        **more,
    }
    return json.dumps(said).encode()


COUNTED = Usage(input_tokens=18, output_tokens=7, cached_tokens=5, cache_write_tokens=3, reasoning_tokens=2)
TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}, "caller": {}}


def decoded(said: bytes) -> ChatResponse:
    read = anthropic_messages.decode_answer(said, 0.0)
    assert isinstance(read, ChatResponse)
    return read


def test_an_answer():
    read = decoded(
        answer(
            {"type": "thinking", "thinking": "I wonder", "signature": "sig"},
            {"type": "redacted_thinking", "data": "data"},
            {"type": "text", "text": "well", "citations": [{"type": "page_location"}]},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"url": "x"}]},
            {"type": "of_tomorrow", "content": [1]},
            TOOL_USE,
            stop="tool_use",
        )
    )
    assert (read.id, read.model, read.usage) == ("msg_1", "claude", COUNTED)
    [choice] = read.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.parts == (
        SIGNED,
        Reasoning("", None, "data", "anthropic"),
        Text("well"),
        ToolCall("toolu_1", "weather", '{"city": "Rome"}'),
    )


REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "of_tomorrow": "stop",
    None: None,
}


@pytest.mark.parametrize(("said", "reason"), REASONS.items())
def test_why_it_stopped(said: str | None, reason: str | None):
    assert decoded(answer({"type": "text", "text": "a"}, stop=said)).choices[0].finish_reason == reason
    if said:
        delta = {"type": "message_delta", "delta": {"stop_reason": said}}
        assert stream(delta) == [Finished(reason)]


def test_compatible_vendors_call_tools_and_say_end_turn():
    assert decoded(answer(TOOL_USE)).choices[0].finish_reason == "tool_calls"


def test_a_refusal_explains_itself():
    details = {"type": "refusal", "category": "cyber", "explanation": "not this"}
    [choice] = decoded(answer(stop="refusal", stop_details=details)).choices
    assert (choice.parts, choice.finish_reason) == ((Refusal("not this"),), "content_filter")
    delta = {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}}
    assert stream(delta) == [RefusalDelta("not this"), Finished("content_filter")]


BROKEN: dict[str, tuple[bytes, FaultKind]] = {
    "an error": (
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        FaultKind.OVERLOADED,
    ),
    "an error of OpenAI's shape": (b'{"error":{"message":"m","code":429}}', FaultKind.RATE_LIMITED),
    "no content": (b'{"type":"message"}', FaultKind.GARBLED),
    "no message": (b"[1]", FaultKind.GARBLED),
    "HTML": (b"<html>", FaultKind.GARBLED),
    "nothing": (b"", FaultKind.GARBLED),
    "not text": (b"\xff\xfe", FaultKind.GARBLED),
}


@pytest.mark.parametrize(("said", "kind"), BROKEN.values(), ids=BROKEN)
def test_a_200_that_is_no_answer(said: bytes, kind: FaultKind):
    fault = anthropic_messages.decode_answer(said, 0.0)
    assert isinstance(fault, Fault)
    assert fault.kind is kind


# Stream ---------------------------------------------------------------------------------------------------------------


def sse(*events: Any) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode())
        if isinstance(event, dict)
        else event
        for event in events
    )


def stream(*events: Any, size: int = 10**6) -> list[Any]:
    raw, decoder = sse(*events), anthropic_messages.stream_decoder()
    read = [event for at in range(0, len(raw), size) for event in decoder.feed(raw[at : at + size], 0.0)]
    return read + decoder.end(0.0)


def started(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def stopped(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


STREAM = (
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "model": "claude",
            "content": [],
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
        },
    },
    started(0, type="thinking", thinking="", signature=""),
    {"type": "ping"},
    delta(0, type="thinking_delta", thinking="I "),
    delta(0, type="thinking_delta", thinking="wonder"),
    delta(0, type="signature_delta", signature="sig"),
    stopped(0),
    started(1, type="redacted_thinking", data="data"),
    stopped(1),
    started(2, type="text", text=""),
    delta(2, type="text_delta", text="we"),
    delta(2, type="citations_delta", citation={"cited_text": "x"}),
    delta(2, type="text_delta", text="ll"),
    stopped(2),
    started(3, type="server_tool_use", id="srvtoolu_1", name="web_search", input={}),
    delta(3, type="input_json_delta", partial_json='{"query":"x"}'),
    stopped(3),
    started(4, type="web_search_tool_result", tool_use_id="srvtoolu_1", content=[]),
    stopped(4),
    started(5, type="tool_use", id="toolu_1", name="weather", input={}),
    delta(5, type="input_json_delta", partial_json=""),
    delta(5, type="input_json_delta", partial_json='{"city":'),
    delta(5, type="input_json_delta", partial_json='"Rome"}'),
    stopped(5),
    started(6, type="tool_use", id="toolu_2", name="time", input={}),
    stopped(6),
    {"type": "of_tomorrow", "delta": {"type": "x"}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 7, "input_tokens": 11},
    },
    {"type": "message_stop"},
)
EVENTS = [
    Began("msg_1", "claude"),
    Counted(Usage(input_tokens=15, output_tokens=1, cached_tokens=5)),
    ReasoningDelta("I "),
    ReasoningDelta("wonder"),
    ReasoningSealed(SIGNED),
    ReasoningSealed(Reasoning("", None, "data", "anthropic")),
    TextDelta("we"),
    TextDelta("ll"),
    CallBegan(0, "toolu_1", "weather"),
    CallDelta(0, '{"city":'),
    CallDelta(0, '"Rome"}'),
    CallBegan(1, "toolu_2", "time"),
    CallDelta(1, "{}"),
    Counted(Usage(input_tokens=16, output_tokens=7, cached_tokens=5)),
    Finished("tool_calls"),
    Ended(),
]


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
def test_a_stream(size: int):
    assert stream(*STREAM, size=size) == EVENTS


def test_compatible_vendors_send_a_call_whole_and_never_stop_a_block():
    read = stream(
        started(0, type="thinking", thinking="hm"),
        started(1, type="tool_use", id="1", name="weather", input={"city": "Rome"}),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": 0, "output_tokens": 3},
        },
        b"data: [DONE]\n\n",
    )
    assert read == [
        ReasoningDelta("hm"),
        CallBegan(0, "1", "weather"),
        Counted(Usage(output_tokens=3)),
        ReasoningSealed(Reasoning("hm")),
        CallDelta(0, '{"city": "Rome"}'),
        Finished("tool_calls"),
        Ended(),
    ]


def test_an_error_in_the_stream():
    [failed] = stream({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert isinstance(failed, Failed)
    assert (failed.fault.kind, failed.fault.message) == (FaultKind.OVERLOADED, "Overloaded")
    [failed] = stream(b'data: {"error":{"message":"slow down","type":"rate_limit_error"}}\n\n')
    assert failed.fault.kind is FaultKind.RATE_LIMITED


@pytest.mark.parametrize("damaged", [b"data: {\n\n", b"data: nonsense\n\n", b'data: {"type": 5}\n\n', b"data: [1]\n\n"])
def test_a_damaged_event_is_left_out(damaged: bytes):
    good = delta(0, type="text_delta", text="a")
    assert stream(good, damaged, good) == [TextDelta("a"), Damaged(), TextDelta("a")]


def test_no_finish_is_invented():
    assert stream(*STREAM[:13])[-1] == TextDelta("ll")


def test_an_event_without_an_end():
    decoder = anthropic_messages.stream_decoder()
    [failed] = decoder.feed(b"data: " + b"x" * (33 * 2**20), 0.0)
    assert isinstance(failed, Failed)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=80) | st.sampled_from([sse(event) for event in STREAM]), max_size=20))
def test_reading_a_stream_never_raises(chunks: list[bytes]):
    decoder = anthropic_messages.stream_decoder()
    for chunk in chunks:
        decoder.feed(chunk, 0.0)
    decoder.end(0.0)
    anthropic_messages.decode_answer(b"".join(chunks), 0.0)


# Laws -----------------------------------------------------------------------------------------------------------------

_words = st.sampled_from(["", " ", "a", "well \n", "ä"])
_ids = st.sampled_from(["", "1", "2", "call.3", "ä"])
_texts = st.builds(Text, _words, st.sampled_from([None, None, Cache()]))
_media = st.sampled_from([each for each, _ in MEDIA.values()])
_thoughts = st.sampled_from([each for each, _ in THOUGHTS.values()])
_calls = st.builds(ToolCall, _ids, st.sampled_from(["weather", "files.read"]), st.sampled_from(["", "{}", "x"]))
_messages = st.one_of(
    st.builds(Message, st.sampled_from(["system", "developer"]), st.tuples(_texts)),
    st.builds(Message, st.just("user"), st.lists(_texts | _media, max_size=3).map(tuple)),
    st.builds(
        Message,
        st.just("assistant"),
        st.lists(_texts | _thoughts | _calls | st.just(Refusal("no")), max_size=4).map(tuple),
    ),
    st.builds(
        lambda id, parts, failed: Message("tool", (ToolCallResponse(id, "weather", tuple(parts), failed),)),
        _ids,
        st.lists(_texts | _media, max_size=2),
        st.booleans(),
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(_messages, max_size=8),
    st.sampled_from([SONNET_4_5, OPUS_4_6, OPUS_5, OPUS_5_5, HAIKU_3_5, UNKNOWN]),
    st.sampled_from([None, Thinking(effort="high"), Thinking(effort="none"), Thinking(budget=50_000)]),
    st.sampled_from([None, ToolChoice("required"), ToolChoice("none"), ToolChoice("named", ("weather",))]),
    st.sampled_from([None, 5, 3000]),
    st.booleans(),
)
def test_any_conversation_is_valid(
    messages: list[Message],
    able: Abilities,
    thinking: Thinking | None,
    choice: ToolChoice | None,
    limit: int | None,
    cache: bool,
):
    encoded(
        *messages,
        able=able,
        thinking=thinking,
        tools=(WEATHER,) if choice else (),
        tool_choice=choice,
        max_tokens=limit,
        temperature=1.7,
        cache_automatically=cache,
    )


# Recordings -----------------------------------------------------------------------------------------------------------

RECORDED = sorted(RECORDINGS.glob("*-chat-*.json"))


def uniform(said: Any) -> Any:
    """Without what the two say differently and mean alike."""
    if isinstance(said, list):
        return [uniform(each) for each in said]
    if not isinstance(said, dict):
        return said
    said = {
        key: uniform(value) for key, value in said.items() if key not in ("cache_control", "strict", "defer_loading")
    }
    if said.get("type") == "tool_result" and not said.get("is_error"):
        said.pop("is_error", None)
    for key in ("content", "system"):
        if isinstance(said.get(key), str):
            said[key] = [{"type": "text", "text": said[key]}]
        if isinstance(said.get(key), list):
            said[key] = [block for block in said[key] if block.get("text", "x").strip()]
    return {key: value for key, value in said.items() if value not in ([], False)}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_requests_mean_the_same(path: Path):
    record = json.loads(path.read_bytes())
    ingress = {**record["ingress"], "model": record["model"], "stream": record["stream"]}
    request = openai_chat.decode_request(json.dumps(ingress).encode())
    written = anthropic_messages.encode_request(request, abilities(record["model"]))
    check(written.body)
    ours, theirs = uniform(json.loads(json.dumps(written.body))), uniform(record["recorded_request"])
    for each in (ours, theirs):
        (each.get("thinking") or {}).pop("budget_tokens", None)
        (each.get("thinking") or {}).pop("display", None)
        (each.get("output_config") or {}).pop("effort", None)
        each["system"] = "".join(block["text"].replace("\n\n", "") for block in each.get("system", ()))
        for message in each["messages"]:
            for block in message["content"]:
                block.pop("id", None), block.pop("tool_use_id", None)
    assert written.dropped == ()
    assert {key: value for key, value in ours.items() if value} == {
        key: value for key, value in theirs.items() if value
    }


def fits(expected: dict[str, Any], text: str, thought: str, calls: list[Any], finish: Any, usage: Any) -> None:
    assert (text, thought, finish) == (expected["text"], expected["reasoning"], expected["finish"])
    assert [[name, json.loads(arguments)] for _, name, arguments in calls] == expected["calls"]
    assert [id for id, _, _ in calls] == expected["call_ids"]
    assert usage["prompt_tokens"] in expected["prompt"]
    assert usage["completion_tokens"] in expected["completion"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == expected["cached"]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_answers(path: Path):
    record = json.loads(path.read_bytes())
    said = record["body"].encode()
    if not record["stream"]:
        read, _ = transcoded(openai_chat, decoded(said), Naming(), "x", "m", 0.0, b"", Caring((), []))
        answer = json.loads(read)
        message = answer["choices"][0]["message"]
        fits(
            record["expect"],
            message["content"] or "",
            message.get("reasoning_content") or "",
            [(each["id"], *each["function"].values()) for each in message.get("tool_calls", ())],
            answer["choices"][0]["finish_reason"],
            answer["usage"],
        )
        return
    for size in (7, 10**6):
        fits(record["expect"], *replayed(said, size))


def replayed(said: bytes, size: int) -> tuple[str, str, list[Any], Any, Any]:
    """What an OpenAI client puts together."""
    encoder = openai_chat.stream_encoder(id="x", model="m", created=0, usage=True)
    passing = Transcoding(anthropic_messages.stream_decoder(), encoder, Naming())
    raw = b"".join(passing.feed(said[at : at + size], 0.0) for at in range(0, len(said), size)) + passing.end(0.0)
    assert raw.endswith(b"data: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in raw.splitlines() if line.startswith(b"data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    calls: dict[int, list[str]] = {}
    for each in (each for delta in deltas for each in delta.get("tool_calls") or ()):
        call = calls.setdefault(each["index"], ["", "", ""])
        function = each.get("function", {})
        for at, piece in enumerate((each.get("id"), function.get("name"), function.get("arguments"))):
            call[at] += piece or ""
    return (
        "".join(delta.get("content") or "" for delta in deltas),
        "".join(delta.get("reasoning_content") or "" for delta in deltas),
        list(calls.values()),
        next(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]),
        next(chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")),
    )


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*-messages-*.json")), ids=lambda path: path.stem)
def test_recorded_native_answers_are_read(path: Path):
    record = json.loads(path.read_bytes())
    if record["status"] != 200:
        return
    said = record["body"].encode()
    if record["stream"]:
        read = stream(said)
        kinds = [type(event) for event in read]
        assert kinds.count(Finished) == 1
        assert Damaged not in kinds
        assert kinds[-1] is Ended
        assert stream(said, size=7) == read
    else:
        assert decoded(said).choices[0].finish_reason
