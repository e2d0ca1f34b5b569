"""Gemini's requests, as clients send them: read into the hub, looked at, and added to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gateway.abilities import Abilities
from gateway.chat import (
    Blob,
    File,
    Message,
    Output,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    Uri,
)
from gateway.dialects import DIALECTS, INGRESS, gemini
from gateway.dialects.conversation import Call
from gateway.errors import CallerError
from tests.corpus import case, cases
from tests.dialects.gemini_clients import (
    answered,
    asked,
    called,
    message,
    read,
    result,
    says,
)

NEW, OLD = "gemini-3-pro", "gemini-2.5-flash"
GEMINI = DIALECTS["gemini"]


def test_it_is_a_dialect_of_clients():
    assert INGRESS["gemini"].NAME == GEMINI.NAME == GEMINI.FORMAT == "gemini"
    assert (GEMINI.OPERATION, GEMINI.RESUMES, GEMINI.CLOSING, GEMINI.KEEPALIVE) == ("chat", True, b"", b"")


# Requests -------------------------------------------------------------------------------------------------------------


CONVERSATIONS: dict[str, tuple[Any, list[Message]]] = {
    "one content that is no list, of a part that is none": (
        {"parts": {"text": "hi"}},
        [message("user", Text("hi"))],
    ),
    "no role is the user": ([{"parts": [{"text": "hi"}]}], [message("user", Text("hi"))]),
    "calls and results without ids go by name, then by order": (
        [
            says("user", "go"),
            says("model", called("f", at=1), called("g"), called("f", at=2)),
            says("user", answered({"output": "g"}, "g"), answered({"output": "f1"}), answered({"output": "f2"})),
        ],
        [
            message("user", Text("go")),
            message(
                "assistant",
                ToolCall("call_1_0", "f", '{"at":1}'),
                ToolCall("call_1_1", "g"),
                ToolCall("call_1_2", "f", '{"at":2}'),
            ),
            result("call_1_1", Text("g"), name="g"),
            result("call_1_0", Text("f1")),
            result("call_1_2", Text("f2")),
        ],
    ),
    "ids count more than order": (
        [
            says("model", called("f", "a"), called("f", "b")),
            says("user", answered({"result": "B"}, call_id="b"), answered({"error": "A"}, call_id="a"), "and?"),
        ],
        [
            message("assistant", ToolCall("a", "f"), ToolCall("b", "f")),
            result("b", Text("B")),
            result("a", Text("A"), failed=True),
            message("user", Text("and?")),
        ],
    ),
    "a call that was made with an id and answered without": (
        [says("model", called("f", "a")), says("function", answered({"hour": 1}))],
        [message("assistant", ToolCall("a", "f")), result("a", Text('{"hour":1}'))],
    ),
    "media within a result": (
        [
            says("model", called("f", "a")),
            says(
                "user",
                answered({"output": "see"}, parts=[{"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}]),
            ),
        ],
        [
            message("assistant", ToolCall("a", "f")),
            result("a", Text("see"), Blob("image", "image/png", "iVBORw==")),
        ],
    ),
    "a text in many contents is one": (
        [says("user", "hi"), says("model", "Lo"), says("model", "oms"), says("model", ".")],
        [message("user", Text("hi")), message("assistant", Text("Looms."))],
    ),
    "Gemini's own signatures": (
        [
            says(
                "model",
                {"text": "hm", "thought": True, "thoughtSignature": "YQ=="},
                {"text": "Hi", "thoughtSignature": "Yg=="},
                {**called("f", "a"), "thought_signature": "Yw=="},
            )
        ],
        [
            message(
                "assistant",
                Reasoning("hm", "YQ==", format="gemini"),
                Text("Hi"),
                Reasoning("", "Yg==", format="gemini"),
                ToolCall("a", "f", "{}", "Yw=="),
            )
        ],
    ),
}


@pytest.mark.parametrize(("contents", "expected"), CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_a_conversation_is_read(contents: Any, expected: list[Message]):
    assert list(read(contents).messages) == expected


def test_media_by_what_and_where_they_are():
    _, *found = gemini.decode_request(case("gemini", "media.request.json")).messages[0].parts
    assert found == [
        Blob("image", "image/png", "iVBORw0KGgo="),
        Blob("audio", "audio/wav", "UklGRg=="),
        Uri("document", "https://files.example/loom.pdf", "application/pdf"),
        Uri("video", "https://www.youtube.com/watch?v=loom", "video/mp4"),
        Uri("image", "gs://looms/cloth.jpg", "image/jpeg"),
        File("image", "files/abc"),
    ]


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an instruction that is a text": (
        {"systemInstruction": "Weave."},
        {"messages": (message("system", Text("Weave.")), message("user", Text("hi")))},
    ),
    "how to answer": (
        {"generationConfig": {"temperature": 0.5, "topP": 0.9, "topK": 40.0, "maxOutputTokens": "9", "seed": 1}},
        {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "max_tokens": 9, "seed": 1},
    ),
    "stops, choices and logprobs": (
        {"generationConfig": {"stopSequences": ["X"], "candidateCount": 2, "responseLogprobs": True, "logprobs": 3}},
        {"stop": ("X",), "choices": 2, "logprobs": True, "top_logprobs": 3},
    ),
    "any JSON": ({"generationConfig": {"responseMimeType": "application/json"}}, {"output": Output()}),
    "a schema": (
        {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
        {"output": Output(SCHEMA)},
    ),
    "plain text": ({"generationConfig": {"responseMimeType": "text/plain"}}, {"output": None, "extra": {}}),
    "a schema of Google's": (
        {"generationConfig": {"responseSchema": {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True}}},
        {"output": Output({"type": ["string", "null"], "enum": ["a", None]})},
    ),
    "a budget": ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 9}}}, {"thinking": Thinking(budget=9)}),
    "a budget of nothing": (
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
        {"thinking": Thinking("none")},
    ),
    "a budget of its own": (
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}},
        {"thinking": Thinking(adaptive=True)},
    ),
    "a level": (
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}}},
        {"thinking": Thinking("low")},
    ),
    "thoughts to be shown": (
        {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
        {"thinking": Thinking(adaptive=True)},
    ),
    "a function": (
        {"tools": [{"functionDeclarations": [{"name": "f", "description": "d", "parametersJsonSchema": SCHEMA}]}]},
        {"tools": (Tool("f", "d", SCHEMA),)},
    ),
    "a function in Google's schema": (
        {
            "tools": {
                "function_declarations": [
                    {
                        "name": "f",
                        "parameters": {
                            "type": "OBJECT",
                            "properties": {"any_of": {"anyOf": [{"type": "INTEGER", "example": 1}], "min_items": "2"}},
                            "property_ordering": ["any_of"],
                        },
                    }
                ]
            }
        },
        {
            "tools": (
                Tool(
                    "f",
                    None,
                    {
                        "type": "object",
                        "properties": {"any_of": {"anyOf": [{"type": "integer", "examples": [1]}], "minItems": 2}},
                    },
                ),
            )
        },
    ),
    "no tool": ({"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}, {"tool_choice": ToolChoice("none")}),
    "some tool": ({"toolConfig": {"functionCallingConfig": {"mode": "any"}}}, {"tool_choice": ToolChoice("required")}),
    "this tool": (
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}},
        {"tool_choice": ToolChoice("named", ("f",))},
    ),
    "one of these tools": (
        {"tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f", "g"]}}},
        {"tool_choice": ToolChoice("required", ("f", "g"))},
    ),
    "a tier": ({"serviceTier": "SERVICE_TIER_PRIORITY"}, {"service_tier": "priority", "extra": {}}),
    "what asks for nothing": (
        {
            "safetySettings": [],
            "cachedContent": None,
            "store": False,
            "serviceTier": "unspecified",
            "generationConfig": {"responseModalities": ["TEXT"], "mediaResolution": None},
        },
        {"extra": {}, "service_tier": None},
    ),
}


@pytest.mark.parametrize(("fields", "expected"), FIELDS.values(), ids=FIELDS.keys())
def test_fields_are_read(fields: dict[str, Any], expected: dict[str, Any]):
    request = read(**fields)
    assert {name: getattr(request, name) for name in expected} == expected


def test_what_there_is_no_word_for_is_kept_under_its_place():
    request = gemini.decode_request(case("gemini", "unheard_of.request.json"))
    assert set(request.extra) == {
        "contents[0].parts[0].videoMetadata",
        "contents[1].parts[0].executableCode",
        "contents[1].parts[1].codeExecutionResult",
        "tools[0].googleSearch",
        "tools[1].codeExecution",
        "tools[1].functionDeclarations[0].response",
        "toolConfig.functionCallingConfig.mode",
        "toolConfig.retrievalConfig",
        "safetySettings",
        "cachedContent",
        "labels",
        "generationConfig.speechConfig",
        "generationConfig.responseModalities",
        "generationConfig.mediaResolution",
    }


# Names of the caller's own keep their spelling.
_OWN = ("args", "properties", "response", "parametersJsonSchema", "responseJsonSchema", "labels")


def in_snakes(said: Any, *, own: bool = False) -> Any:
    if isinstance(said, list):
        return [in_snakes(each, own=own) for each in said]
    if not isinstance(said, dict):
        return said
    return {
        name if own else re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): (
            value if name in _OWN[:1] + _OWN[2:] else in_snakes(value, own=name == "properties")
        )
        for name, value in said.items()
    }


@pytest.mark.parametrize("body", cases("gemini", "request.json"))
def test_both_spellings_mean_the_same(body: bytes):
    snakes = json.dumps(in_snakes(json.loads(body))).encode()
    one, other = gemini.decode_request(body), gemini.decode_request(snakes)
    assert one.extra.keys() == other.extra.keys()
    assert [getattr(one, name) for name in one.__struct_fields__ if name != "extra"] == [
        getattr(other, name) for name in one.__struct_fields__ if name != "extra"
    ]
    assert gemini.peek(body, "m").parameters == gemini.peek(snakes, "m").parameters
    assert gemini.conversation(body).tools == gemini.conversation(snakes).tools


@pytest.mark.parametrize("body", cases("gemini", "request.json"))
def test_what_was_written_again_is_read_as_the_same(body: bytes):
    able = Abilities(thinking="budget")
    once = gemini.encode_request(gemini.decode_request(body), able)
    again = gemini.encode_request(gemini.decode_request(json.dumps(once.body).encode()), able)
    assert again.body == once.body


WRONG: dict[str, tuple[bytes, str | None, str]] = {
    "no JSON": (b'{"contents": [', None, "invalid_json"),
    "no object": (b"[]", None, "invalid_type"),
    "no contents": (b"{}", "contents", "missing_required_parameter"),
    "contents of another kind": (b'{"contents": 1}', "contents", "invalid_type"),
    "a content of another kind": (asked([1]), "contents[0]", "invalid_type"),
    "a role that is none": (asked([says("system", "x")]), "contents[0].role", "invalid_value"),
    "a text that is none": (asked([says("user", {"text": 1})]), "contents[0].parts[0].text", "invalid_type"),
    "data without a type": (
        asked([says("user", {"inlineData": {"data": "YQ=="}})]),
        "contents[0].parts[0].inlineData.mimeType",
        "invalid_type",
    ),
    "a user's call": (asked([says("user", called())]), "contents[0]", "invalid_value"),
    "a nameless function": (
        asked(tools=[{"functionDeclarations": [{}]}]),
        "tools[0].functionDeclarations[0].name",
        "invalid_type",
    ),
    "a schema that is none": (
        asked(tools=[{"functionDeclarations": [{"name": "f", "parameters": {"items": 1}}]}]),
        "tools[0].functionDeclarations[0].parameters.items",
        "invalid_type",
    ),
    "a mode that is none": (
        asked(toolConfig={"functionCallingConfig": {"mode": "MAYBE"}}),
        "toolConfig.functionCallingConfig.mode",
        "invalid_value",
    ),
    "a number that is none": (
        asked(generationConfig={"temperature": "hot"}),
        "generationConfig.temperature",
        "invalid_type",
    ),
    "depth without end": (
        asked(tools=[{"functionDeclarations": [{"name": "f", "parameters": "@"}]}]).replace(
            b'"@"', b'{"items":' * 900 + b"{}" + b"}" * 900
        ),
        None,
        "invalid_value",
    ),
}


@pytest.mark.parametrize(("body", "param", "code"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_told_with_where(body: bytes, param: str | None, code: str):
    with pytest.raises(CallerError) as caught:
        gemini.decode_request(body)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


ODD: list[Any] = [None, True, -1, 1.5, "x", "", [], {}, [None], [[]], {"a": {}}, "\ud800", 10**30, [{"parts": [{}]}]]


def everywhere(said: Any, odd: Any) -> Iterator[Any]:
    """The same with one value after another changed."""
    yield odd
    for key, value in said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ():
        for changed in everywhere(value, odd):
            if isinstance(said, dict):
                yield {**said, key: changed}
            else:
                yield [*said[:key], changed, *said[key + 1 :]]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("body", cases("gemini", "request.json"))
def test_whatever_is_sent_is_read_or_refused(body: bytes, odd: Any):
    for said in everywhere(json.loads(body), odd):
        damaged = json.dumps(said).encode()
        for seen in gemini.conversation(damaged).messages:
            seen.said(), seen.calls(0), seen.size_of_calls(), seen.may_call({"f"}), list(seen.parts())
        gemini.planning(damaged, "i", "r"), gemini.noted(damaged, "n"), gemini.cleared(damaged, True)
        gemini.prepended(damaged, [{"role": "system", "content": "s"}])
        try:
            gemini.peek(damaged, "m")
            gemini.rewrite(damaged, NEW, max_tokens=5)
            gemini.decode_request(damaged)
        except CallerError as error:
            refused = error.status, bool(error.message)
            assert refused == (400, True)


# What routing and telemetry may know ----------------------------------------------------------------------------------


def test_the_path_names_the_model():
    assert gemini.peek(asked(), "gemini-x").model == "gemini-x"
    assert gemini.peek(asked(model="models/other"), "gemini-x").model == "gemini-x"
    with pytest.raises(CallerError, match="model"):
        gemini.peek(asked())


PEEKED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "usage is always told": ({}, {"wants_usage": True, "stream": False, "tools": False, "structured": False}),
    "tools": ({"tools": [{"googleSearch": {}}]}, {"tools": True}),
    "no tools": ({"tools": []}, {"tools": False}),
    "JSON": ({"generationConfig": {"responseMimeType": "application/json"}}, {"structured": True}),
    "a schema": ({"generation_config": {"response_schema": {}}}, {"structured": True}),
    "choices": ({"generationConfig": {"candidateCount": 3}}, {"choices": 3, "parameters": {"choice.count": 3}}),
    "parameters": (
        {
            "generationConfig": {
                "maxOutputTokens": "50",
                "temperature": 0,
                "topP": 0.5,
                "topK": 4,
                "stopSequences": ["a"] * 9,
                "thinkingConfig": {"thinkingLevel": "HIGH"},
                "seed": [],
            }
        },
        {
            "parameters": {
                "max_tokens": 50,
                "temperature": 0,
                "top_p": 0.5,
                "top_k": 4,
                "stop_sequences": ["a"] * 4,
                "reasoning.level": "high",
            }
        },
    ),
}


@pytest.mark.parametrize(("fields", "expected"), PEEKED.values(), ids=PEEKED.keys())
def test_facts(fields: dict[str, Any], expected: dict[str, Any]):
    facts = gemini.peek(asked(**fields), "m")
    assert {name: getattr(facts, name) for name in expected} == expected


def test_a_conversation_for_a_look_at_it():
    seen = gemini.conversation(case("gemini", "tools.request.json"))
    assert seen.tools == ("get_weather", "get_time")
    assert [(each.role, each.answers, each.said().text) for each in seen.messages] == [
        ("system", "", "You are an agent.\nBe brief."),
        ("user", "", "Weather and time?"),
        ("assistant", "", "Let me look."),
        ("tool", "fc_1", "18 °C"),
        ("tool", "fc_2", "no such zone"),
        ("assistant", "", "18 °C; "),
        ("assistant", "", "no time."),
        ("user", "", "Again, in text and JSON."),
        ("assistant", "", ""),
        ("tool", "", '{"hour":1,"minute":2}'),
        ("tool", "", '{"hour":3}'),
        ("user", "", "Thanks."),
    ]
    assert [each.said().flag for each in seen.messages if each.role == "tool"] == [None, True, None, None]
    assert seen.messages[2].calls(2) == [
        Call("fc_1", "get_weather", {"city": "Zürich", "days": 3}),
        Call("fc_2", "get_time", {}),
    ]
    assert [each.id for each in seen.messages[8].calls(8)] == ["8.0", "8.1"]
    assert seen.messages[2].may_call({"get_time"})
    assert not seen.messages[2].may_call({"shell"})
    assert seen.fingerprint() == gemini.conversation(case("gemini", "tools.request.json")).fingerprint() != ""


def test_images_and_files_are_counted():
    said = gemini.conversation(case("gemini", "media.request.json")).messages[0].said()
    assert (said.text, said.images, said.files) == ("What are these?", 2, 4)


# What is put into a request -------------------------------------------------------------------------------------------


def test_a_prompt_goes_before_what_was_said():
    prompt: Sequence[dict[str, Any]] = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": "A"},
    ]
    made = json.loads(gemini.prepended(asked(system_instruction={"parts": [{"text": "own"}]}), prompt))
    assert made["system_instruction"] == {"parts": [{"text": "S"}, {"text": "own"}]}
    assert made["contents"] == [says("user", "U"), says("model", "A"), says("user", "hi")]
    assert gemini.prepended(b"no JSON", prompt) == b"no JSON"


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        (None, [{"text": "N"}]),
        ("own", [{"text": "own"}, {"text": "N"}]),
        ({"parts": {"text": "own"}}, [{"text": "own"}, {"text": "N"}]),
    ],
)
def test_a_note_is_the_last_instruction(instruction: Any, expected: list[Any]):
    fields = {"systemInstruction": instruction} if instruction else {}
    noted = gemini.noted(asked(**fields), "N")
    assert noted
    assert json.loads(noted)["systemInstruction"]["parts"] == expected
    assert gemini.noted(b"no JSON", "N") is None


def test_a_planner_gets_the_conversation_as_text_and_no_tools():
    asked_for = gemini.planning(case("gemini", "tools.request.json"), "Plan.", "Now.")
    assert asked_for
    request = gemini.decode_request(asked_for)
    assert (request.tools, request.temperature, request.extra) == ((), None, {})
    system, *said = request.messages
    told = "".join(part.content for part in system.parts if isinstance(part, Text))
    assert told.startswith("Plan.")
    assert "You are an agent." in told
    assert "- get_weather: The weather" in told
    assert [each.role for each in said] == ["user", "assistant", "user", "assistant", "user", "assistant", "user"]
    assert said[1].parts == (Text('Let me look.[called get_weather {"city":"Zürich","days":3}][called get_time {}]'),)
    assert said[2].parts[0] == Text("[get_weather answered]\n18 °C")
    assert said[-1].parts[-1] == Text("Now.")
    assert gemini.planning(b"no JSON", "i", "r") is None
