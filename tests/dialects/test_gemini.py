"""The hub in Gemini's words, and Gemini's answers in the hub's: one row a rule, and every recording there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.abilities import abilities
from gateway.chat import (
    Began,
    Blob,
    Cache,
    CallBegan,
    CallDelta,
    ChatRequest,
    Choice,
    Counted,
    Damaged,
    Failed,
    File,
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
from gateway.dialects import INGRESS, gemini
from gateway.errors import CallerError, Fault, FaultKind

OLD, THINKS, NEW = "gemini-2.0-flash", "gemini-2.5-flash", "gemini-3-flash-preview"
FOREIGN = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="


def encoded(*messages: Message, model: str = NEW, **fields: Any):
    request = ChatRequest(model=model, messages=messages or (user("hi"),), **fields)
    return gemini.encode_request(request, abilities(model))


def contents(*messages: Message, model: str = NEW) -> list[Any]:
    return encoded(*messages, model=model).body["contents"]


def user(*parts: Any) -> Message:
    return message("user", *parts)


def model_said(*parts: Any) -> Message:
    return message("assistant", *parts)


def message(role: Any, *parts: Any) -> Message:
    return Message(role, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def result(call_id: str, *parts: Any, name: str = "t", failed: bool = False) -> Message:
    said = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Message("tool", (ToolCallResponse(call_id, name, said, failed),))


def says(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def call(call_id: str, name: str = "t", args: Any = None, signature: str | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": {"id": call_id, "name": name, "args": args or {}}}
    return part | ({"thoughtSignature": signature} if signature else {})


def answer(call_id: str, response: Any, name: str = "t", **more: Any) -> dict[str, Any]:
    return {"functionResponse": {"id": call_id, "name": name, "response": response, **more}}


NO_RESULT = {"error": "the tool gave no result"}
PNG = Blob("image", "image/png", "aGk=")
INLINE_PNG = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}

# Request --------------------------------------------------------------------------------------------------------------

CONVERSATIONS: dict[str, tuple[list[Message], list[Any]]] = {
    "roles": ([user("a"), model_said("b"), user("c")], [says("user", "a"), says("model", "b"), says("user", "c")]),
    "a system message within keeps its place": (
        [user("a"), model_said("b"), message("system", "now"), user("c")],
        [says("user", "a"), says("model", "b"), says("user", "now"), says("user", "c")],
    ),
    "nothing but system": ([message("system", "be brief")], [says("user", "be brief")]),
    "empty contents": ([user(""), user("a"), model_said(""), user()], [says("user", "a")]),
    "the model began": ([model_said("hello")], [says("user", " "), says("model", "hello")]),
    "two messages of the model are one turn": (
        [user("a"), model_said("b"), model_said(ToolCall("1", "t"))],
        [says("user", "a"), says("model", "b", call("1", signature=FOREIGN)), says("user", answer("1", NO_RESULT))],
    ),
    "a refusal is what was said": ([user("a"), model_said(Refusal("no"))], [says("user", "a"), says("model", "no")]),
    "parallel results out of order": (
        [user("a"), model_said(ToolCall("1", "t"), ToolCall("2", "u")), result("2", "y"), result("1", "x")],
        [
            says("user", "a"),
            says("model", call("1", signature=FOREIGN), call("2", "u")),
            says("user", answer("1", {"output": "x"}), answer("2", {"output": "y"}, "u")),
        ],
    ),
    "a result that is missing": (
        [user("a"), model_said(ToolCall("1", "t"), ToolCall("2", "t")), result("2", "y"), user("go on")],
        [
            says("user", "a"),
            says("model", call("1", signature=FOREIGN), call("2")),
            says("user", answer("1", NO_RESULT), answer("2", {"output": "y"})),
            says("user", "go on"),
        ],
    ),
    "what was said before the result comes after it": (
        [user("a"), model_said(ToolCall("1", "t")), user("wait"), message("system", "hm"), result("1", "x")],
        [
            says("user", "a"),
            says("model", call("1", signature=FOREIGN)),
            says("user", answer("1", {"output": "x"})),
            says("user", "wait"),
            says("user", "hm"),
        ],
    ),
    "a result that nobody called for": (
        [user("a"), result("9", "x", name="t")],
        [says("user", "a"), says("user", "Result of the tool t:", "x")],
    ),
    "the same ids again": (
        [user("a"), model_said(ToolCall("1", "t")), result("1", "x"), model_said(ToolCall("1", "t")), result("1", "y")],
        [
            says("user", "a"),
            says("model", call("1", signature=FOREIGN)),
            says("user", answer("1", {"output": "x"})),
            says("model", call("1", signature=FOREIGN)),
            says("user", answer("1", {"output": "y"})),
        ],
    ),
    "one id for two calls": (
        [user("a"), model_said(ToolCall("1", "t"), ToolCall("1", "t")), result("1", "x"), result("1", "y")],
        [
            says("user", "a"),
            says("model", call("1", signature=FOREIGN), call("1")),
            says("user", answer("1", {"output": "x"}), answer("1", {"output": "y"})),
        ],
    ),
    "a result twice": (
        [user("a"), model_said(ToolCall("1", "t")), result("1", "x"), result("1", "y")],
        [
            says("user", "a"),
            says("model", call("1", signature=FOREIGN)),
            says("user", answer("1", {"output": "x"})),
            says("user", "y"),
        ],
    ),
}


@pytest.mark.parametrize(("said", "expected"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_conversation_is_valid_for_gemini(said: list[Message], expected: list[Any]):
    assert contents(*said) == expected


def test_what_the_system_says_at_the_start_is_the_instruction():
    body = encoded(message("system", "a"), message("developer", "b"), user("c")).body
    assert body == {"systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]}, "contents": [says("user", "c")]}


def test_no_messages_cannot_be_sent():
    with pytest.raises(CallerError):
        gemini.encode_request(ChatRequest(model=NEW, messages=()), abilities(NEW))


RESULTS: dict[str, tuple[Message, Any]] = {
    "text": (result("1", "sunny"), {"output": "sunny"}),
    "several texts": (result("1", "a", "b"), {"output": "a\nb"}),
    "an object": (result("1", '{"city": "Paris"}'), {"city": "Paris"}),
    "an array": (result("1", "[1]"), {"output": "[1]"}),
    "a long number is no double": (
        result("1", '{"id": 1234567890123456789}'),
        {"output": '{"id": 1234567890123456789}'},
    ),
    "broken JSON": (result("1", '{"a": '), {"output": '{"a": '}),
    "a failure": (result("1", "boom", failed=True), {"error": "boom"}),
    "nothing": (result("1"), {"output": ""}),
}


@pytest.mark.parametrize(("said", "expected"), RESULTS.values(), ids=RESULTS)
def test_a_result_is_an_object(said: Message, expected: Any):
    assert contents(user("a"), model_said(ToolCall("1", "t")), said)[2] == says("user", answer("1", expected))


ARGUMENTS = {'{"a": 1}': {"a": 1}, "": {}, " ": {}, "{": {"arguments": "{"}, "[1]": {"arguments": [1]}}


@pytest.mark.parametrize("said", ARGUMENTS)
def test_arguments_are_an_object(said: str):
    made = contents(user("a"), model_said(ToolCall("1", "t", said)))[1]
    assert made["parts"][0]["functionCall"]["args"] == ARGUMENTS[said]


def test_images_are_within_a_result_where_the_model_looks_there():
    history = [user("a"), model_said(ToolCall("1", "t")), result("1", "see", PNG, Uri("document", "gs://b/x.pdf"))]
    new = contents(*history)
    assert new[2] == says("user", answer("1", {"output": "see"}, parts=[INLINE_PNG]))
    pdf = {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/x.pdf"}}
    assert new[3] == says("user", "Of the result of the tool t:", pdf)
    old = contents(*history, model=THINKS)
    assert old[2] == says("user", answer("1", {"output": "see"}))
    assert old[3] == says("user", "Of the result of the tool t:", INLINE_PNG, pdf)


MEDIA: dict[str, tuple[Any, Any]] = {
    "bytes": (PNG, INLINE_PNG),
    "audio": (Blob("audio", "audio/wav", "aGk="), {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}),
    "said type": (
        Uri("image", "gs://b/x", mime_type="image/webp"),
        {"fileData": {"mimeType": "image/webp", "fileUri": "gs://b/x"}},
    ),
    "by its name": (
        Uri("image", "https://a.example/x.PNG?y=1.pdf"),
        {"fileData": {"mimeType": "image/png", "fileUri": "https://a.example/x.PNG?y=1.pdf"}},
    ),
    "by its kind": (
        Uri("document", "https://a.example/x"),
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://a.example/x"}},
    ),
    "YouTube": (
        Uri("document", "https://www.youtube.com/watch?v=1"),
        {"fileData": {"mimeType": "video/mp4", "fileUri": "https://www.youtube.com/watch?v=1"}},
    ),
    "uploaded": (
        File("image", "files/abc"),
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
    ),
}


@pytest.mark.parametrize(("said", "expected"), MEDIA.values(), ids=MEDIA)
def test_media(said: Any, expected: Any):
    made = encoded(user("see", said))
    assert made.body["contents"] == [says("user", "see", expected)]
    assert made.dropped == ()


S = Reasoning
SIGNED: dict[str, tuple[str, list[Any], list[Any], tuple[str, ...]]] = {
    "a signed call": (NEW, [ToolCall("1", "t", signature="s")], [call("1", signature="s")], ()),
    "only the first of parallel calls": (
        NEW,
        [ToolCall("1", "t", signature="s"), ToolCall("2", "t")],
        [call("1", signature="s"), call("2")],
        (),
    ),
    "an older model checks nothing": (THINKS, [ToolCall("1", "t")], [call("1")], ()),
    "a signed thought": (
        NEW,
        [S("hm", signature="s", format="gemini"), "a"],
        [{"text": "hm", "thought": True, "thoughtSignature": "s"}, {"text": "a"}],
        (),
    ),
    "the signature of a text": (
        NEW,
        [S(signature="s", format="gemini"), "a"],
        [{"text": "a", "thoughtSignature": "s"}],
        (),
    ),
    "of a text beside a call": (
        NEW,
        [S(signature="s", format="gemini"), "a", ToolCall("1", "t", signature="c")],
        [{"text": "a", "thoughtSignature": "s"}, call("1", signature="c")],
        (),
    ),
    "of nothing said": (
        NEW,
        [S(signature="s", format="gemini"), ToolCall("1", "t", signature="c")],
        [{"text": "", "thoughtSignature": "s"}, call("1", signature="c")],
        (),
    ),
    "sealed thoughts are the call's": (
        NEW,
        [S(opaque="s", format="gemini"), "a", ToolCall("1", "t")],
        [{"text": "a"}, call("1", signature="s")],
        (),
    ),
    "thoughts nobody signed": (NEW, [S("hm"), "a"], [{"text": "a"}], ("messages[1].reasoning_content",)),
    "another vendor's": (
        NEW,
        [S("hm", signature="s", format="anthropic"), "a"],
        [{"text": "a"}],
        ("messages[1].reasoning_content",),
    ),
}


@pytest.mark.parametrize(("model", "said", "expected", "dropped"), SIGNED.values(), ids=SIGNED)
def test_signatures_go_back_where_they_came_from(model: str, said: list[Any], expected: list[Any], dropped: Any):
    made = encoded(user("a"), model_said(*said), model=model)
    assert made.body["contents"][1] == says("model", *expected)
    assert made.dropped == dropped


TOOL = Tool("t", "does", {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "additionalProperties": False})
DECLARED = {"name": "t", "description": "does", "parametersJsonSchema": TOOL.parameters}
OTHER = Tool("u")

CHOICES: dict[str, tuple[ToolChoice | None, list[str], Any]] = {
    "none said": (None, ["t", "u"], None),
    "auto": (ToolChoice("auto"), ["t", "u"], {"mode": "AUTO"}),
    "none": (ToolChoice("none"), ["t", "u"], {"mode": "NONE"}),
    "required": (ToolChoice("required"), ["t", "u"], {"mode": "ANY"}),
    "named": (ToolChoice("named", ("u",)), ["t", "u"], {"mode": "ANY", "allowedFunctionNames": ["u"]}),
    "one of these": (ToolChoice("required", ("t",)), ["t", "u"], {"mode": "ANY", "allowedFunctionNames": ["t"]}),
    "these at most": (ToolChoice("auto", ("t",)), ["t"], {"mode": "AUTO"}),
}


@pytest.mark.parametrize(("choice", "offered", "calling"), CHOICES.values(), ids=CHOICES)
def test_tool_choice(choice: ToolChoice | None, offered: list[str], calling: Any):
    body = encoded(tools=(TOOL, OTHER), tool_choice=choice).body
    assert [each["name"] for each in body["tools"][0]["functionDeclarations"]] == offered
    assert body.get("toolConfig") == (calling and {"functionCallingConfig": calling})


def test_no_tool_can_be_demanded_where_there_is_none():
    made = encoded(tool_choice=ToolChoice("required"))
    assert ("tools" in made.body, "toolConfig" in made.body, made.dropped) == (False, False, ("tool_choice",))


def test_a_tool_is_declared_as_it_is_and_once():
    made = encoded(tools=(TOOL, OTHER, TOOL))
    assert made.body["tools"] == [{"functionDeclarations": [DECLARED, {"name": "u"}]}]
    assert made.dropped == ("tools[2]",)


def test_a_choice_of_a_tool_that_is_not_there_cannot_be_sent():
    with pytest.raises(CallerError, match="tool_choice"):
        encoded(tools=(TOOL,), tool_choice=ToolChoice("named", ("x",)))


@pytest.mark.parametrize("name", ["1st", "a b", "é", "x" * 65, "mcp/read", "", "-a"])
def test_names_that_gemini_refuses_are_changed_everywhere_alike(name: str):
    history = (user("a"), model_said(ToolCall("1", name)), result("1", "x", name=name))
    made = encoded(*history, tools=(Tool(name),), tool_choice=ToolChoice("named", (name,)))
    declared = made.body["tools"][0]["functionDeclarations"][0]["name"]
    assert gemini_takes(declared)
    assert made.tool_names == {declared: name}
    assert made.body["contents"][1]["parts"][0]["functionCall"]["name"] == declared
    assert made.body["contents"][2]["parts"][0]["functionResponse"]["name"] == declared
    assert made.body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == [declared]


def gemini_takes(name: str) -> bool:
    return name.isascii() and len(name) <= 64 and (name[0].isalpha() or name[0] == "_") and " " not in name


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
AS_JSON = {"responseMimeType": "application/json"}
GENERATION: dict[str, tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "numbers": (
        NEW,
        {"max_tokens": 9, "temperature": 0.0, "top_p": 0.5, "top_k": 3, "seed": 7, "choices": 2, "stop": ("a",)},
        {
            "maxOutputTokens": 9,
            "temperature": 0.0,
            "topP": 0.5,
            "topK": 3,
            "seed": 7,
            "candidateCount": 2,
            "stopSequences": ["a"],
        },
        (),
    ),
    "penalties": (
        NEW,
        {"frequency_penalty": 0.5, "presence_penalty": -0.5},
        {"frequencyPenalty": 0.5, "presencePenalty": -0.5},
        (),
    ),
    "more stops than there may be": (NEW, {"stop": tuple("abcdef")}, {"stopSequences": list("abcde")}, ("stop",)),
    "a seed of 64 bits": (NEW, {"seed": 1 << 40}, {}, ("seed",)),
    "logprobs": (NEW, {"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}, ()),
    "logprobs of a stream": (NEW, {"logprobs": True, "stream": True}, {}, ("logprobs",)),
    "any JSON": (NEW, {"output": Output()}, AS_JSON, ()),
    "a schema": (NEW, {"output": Output(SCHEMA)}, {**AS_JSON, "responseJsonSchema": SCHEMA}, ()),
    "a schema and tools": (
        NEW,
        {"output": Output(SCHEMA), "tools": (TOOL,)},
        {**AS_JSON, "responseJsonSchema": SCHEMA},
        (),
    ),
    "what nobody knows there": (
        NEW,
        {"user": "u", "metadata": {"a": "b"}, "verbosity": "low", "extra": {"logit_bias": {"1": 2}, "store": None}},
        {},
        ("logit_bias", "user", "metadata", "verbosity"),
    ),
    "one call at a time": (NEW, {"tools": (TOOL,), "parallel_tool_calls": False}, {}, ("parallel_tool_calls",)),
    "strict": (NEW, {"tools": (Tool("t", strict=True),)}, {}, ("tools[0].function.strict",)),
    "modalities": (NEW, {"extra": {"modalities": ["text"]}}, {"responseModalities": ["TEXT"]}, ()),
}


@pytest.mark.parametrize(("model", "fields", "expected", "dropped"), GENERATION.values(), ids=GENERATION)
def test_how_to_answer(model: str, fields: dict[str, Any], expected: dict[str, Any], dropped: tuple[str, ...]):
    made = encoded(model=model, **fields)
    assert made.body.get("generationConfig", {}) == expected
    assert made.dropped == dropped


def test_before_gemini_3_tools_and_a_schema_do_not_go_together():
    made = encoded(model=THINKS, output=Output(SCHEMA), tools=(TOOL,))
    assert "generationConfig" not in made.body
    assert json.dumps(SCHEMA, separators=(",", ":")) in made.body["systemInstruction"]["parts"][0]["text"]
    assert made.dropped == ("response_format",)
    none = encoded(model=THINKS, output=Output(SCHEMA), tools=(TOOL,), tool_choice=ToolChoice("none"))
    assert none.body["generationConfig"] == {**AS_JSON, "responseJsonSchema": SCHEMA}
    assert "tools" not in none.body
    assert none.dropped == ()


SHOWN = {"includeThoughts": True}
THINKING: dict[str, tuple[str, Thinking, int | None, Any]] = {
    "level": (NEW, Thinking("low"), None, {"thinkingLevel": "LOW", **SHOWN}),
    "minimal": (NEW, Thinking("minimal"), None, {"thinkingLevel": "MINIMAL", **SHOWN}),
    "not at all": (NEW, Thinking("none"), None, {"thinkingLevel": "MINIMAL"}),
    "no minimal there": ("gemini-3.8-flash", Thinking("none"), None, {"thinkingLevel": "LOW"}),
    "no medium there": ("gemini-3-pro-preview", Thinking("medium"), None, {"thinkingLevel": "HIGH", **SHOWN}),
    "more than there is": (NEW, Thinking("max"), None, {"thinkingLevel": "HIGH", **SHOWN}),
    "a budget as level": (NEW, Thinking(budget=4000), None, {"thinkingLevel": "MEDIUM", **SHOWN}),
    "no budget as level": (NEW, Thinking(budget=0), None, {"thinkingLevel": "MINIMAL"}),
    "as it likes, by level": (NEW, Thinking(adaptive=True), None, SHOWN),
    "an unknown model is a new one": ("gemini-next", Thinking("high"), None, {"thinkingLevel": "HIGH", **SHOWN}),
    "effort as budget": (THINKS, Thinking("medium"), None, {"thinkingBudget": 8192, **SHOWN}),
    "off": (THINKS, Thinking("none"), None, {"thinkingBudget": 0}),
    "pro cannot": ("gemini-2.5-pro", Thinking("none"), None, {"thinkingBudget": 128}),
    "most of flash": (THINKS, Thinking("max"), None, {"thinkingBudget": 24576, **SHOWN}),
    "least of lite": ("gemini-2.5-flash-lite", Thinking(budget=100), None, {"thinkingBudget": 512, **SHOWN}),
    "within the limit": (THINKS, Thinking("high"), 1000, {"thinkingBudget": 500, **SHOWN}),
    "as it likes": (THINKS, Thinking(adaptive=True), None, {"thinkingBudget": -1, **SHOWN}),
    "listed name": (f"models/{THINKS}", Thinking("low"), None, {"thinkingBudget": 1024, **SHOWN}),
}


@pytest.mark.parametrize(("model", "thinking", "limit", "expected"), THINKING.values(), ids=THINKING)
def test_thinking(model: str, thinking: Thinking, limit: int | None, expected: Any):
    made = encoded(model=model, thinking=thinking, max_tokens=limit)
    assert made.body["generationConfig"]["thinkingConfig"] == expected
    assert made.dropped == ()


def test_a_model_that_does_not_think_is_not_told_to():
    made = encoded(model=OLD, thinking=Thinking("high"))
    assert "generationConfig" not in made.body
    assert made.dropped == ("reasoning_effort",)
    assert encoded(model=OLD, thinking=Thinking("none")).dropped == ()


OWN: list[dict[str, Any]] = [
    {"safetySettings": [], "cachedContent": "c", "labels": {"a": "b"}, "thinkingConfig": {"thinkingBudget": 5}},
    {"safety_settings": [], "cached_content": "c", "labels": {"a": "b"}, "thinking_config": {"thinkingBudget": 5}},
    {
        "extra_body": {
            "google": {"safety_settings": [], "cached_content": "c", "thinking_config": {"thinkingBudget": 5}}
        },
        "labels": {"a": "b"},
    },
    {
        "google": {"safetySettings": [], "cachedContent": "c", "labels": {"a": "b"}},
        "generation_config": {"thinking_config": {"thinkingBudget": 5}},
    },
]


@pytest.mark.parametrize("extra", OWN)
def test_geminis_own_fields_go_through(extra: dict[str, Any]):
    made = encoded(extra=extra, thinking=Thinking("high"))
    assert made.dropped == ()
    own = {key: value for key, value in made.body.items() if key != "contents"}
    assert own == {
        "safetySettings": [],
        "cachedContent": "c",
        "labels": {"a": "b"},
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 5}},
    }


@pytest.mark.parametrize(("tier", "theirs"), [("flex", "flex"), ("default", "standard"), ("auto", None), ("x", None)])
def test_service_tiers(tier: str, theirs: str | None):
    made = encoded(service_tier=tier)
    assert made.body.get("serviceTier") == theirs
    assert made.dropped == (("service_tier",) if tier == "x" else ())


def test_what_cannot_be_said_is_named():
    said = Message(
        "user", (Text("a", Cache()), File("document", "file-1"), Blob("image", "image/png", "", "x.png", "low"))
    )
    made = encoded(Message("user", (Text("b"),), name="bob"), said, extra={"google": {"thought_tag_marker": "x"}})
    assert made.dropped == (
        "messages[0].name",
        "cache_control",
        "messages[1].content[1]",
        "messages[1].content[2].file.filename",
        "messages[1].content[2].image_url.detail",
        "google.thought_tag_marker",
    )


TEXTS = st.text(max_size=5)
SAID = st.one_of(st.builds(Text, TEXTS), st.builds(Refusal, TEXTS), st.just(PNG))
FORMATS = st.sampled_from([None, "gemini", "anthropic"])
OF_MODELS = st.one_of(
    SAID,
    st.builds(Reasoning, TEXTS, st.none() | TEXTS, st.none() | TEXTS, FORMATS),
    st.builds(ToolCall, st.sampled_from("123"), TEXTS, TEXTS, st.none() | st.just("s")),
)
RESULT = st.builds(Text, TEXTS) | st.just(PNG)
OF_TOOLS = st.builds(
    ToolCallResponse, st.sampled_from("1234"), TEXTS, st.lists(RESULT, max_size=2).map(tuple), st.booleans()
)
MESSAGE = st.one_of(
    st.builds(Message, st.sampled_from(["system", "developer", "user"]), st.lists(SAID, max_size=3).map(tuple)),
    st.builds(Message, st.just("assistant"), st.lists(OF_MODELS, max_size=3).map(tuple)),
    st.builds(Message, st.just("tool"), st.tuples(OF_TOOLS)),
)
MESSAGES = st.lists(MESSAGE, min_size=1, max_size=8)


@given(MESSAGES, st.sampled_from([OLD, THINKS, NEW]))
def test_whatever_was_said_makes_a_valid_conversation(messages: list[Message], model: str):
    made = contents(*messages, model=model)
    assert made[0]["role"] == "user"
    for before, content in zip([None, *made], made, strict=False):
        assert content["parts"]
        called = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        if called:
            assert before is not None
            assert before["role"] == "user"
        expected = [part["functionCall"]["id"] for part in (before or {"parts": []})["parts"] if "functionCall" in part]
        answered = [part["functionResponse"]["id"] for part in content["parts"] if "functionResponse" in part]
        assert answered == expected
        assert content["role"] in ("user", "model")
        if expected:
            assert len(answered) == len(content["parts"])


# Response -------------------------------------------------------------------------------------------------------------


def whole(*parts: Any, **more: Any) -> bytes:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", **more}
    return json.dumps({"candidates": [candidate], "responseId": "r1", "modelVersion": "m1"}).encode()


def first(body: bytes) -> Choice:
    read = gemini.decode_answer(body, 0.0)
    assert not isinstance(read, Fault)
    return read.choices[0]


def thought(text: str, signature: str | None = None) -> dict[str, Any]:
    return {"text": text, "thought": True} | ({"thoughtSignature": signature} if signature else {})


ANSWERS: dict[str, tuple[list[Any], tuple[Any, ...]]] = {
    "text": ([{"text": "a"}, {"text": "b"}], (Text("a"), Text("b"))),
    "thoughts": ([thought("a"), thought("b"), {"text": "c"}], (Reasoning("ab"), Text("c"))),
    "a signed thought": ([thought("a", "s"), {"text": "c"}], (Reasoning("a", "s", format="gemini"), Text("c"))),
    "a signed text": ([{"text": "c", "thoughtSignature": "s"}], (Text("c"), Reasoning(signature="s", format="gemini"))),
    "an empty text that is signed": (
        [{"text": "c"}, {"text": "", "thoughtSignature": "s"}],
        (Text("c"), Reasoning(signature="s", format="gemini")),
    ),
    "a call": (
        [{"functionCall": {"id": "i", "name": "t", "args": {"a": [1, 2]}}, "thoughtSignature": "s"}],
        (ToolCall("i", "t", '{"a":[1,2]}', "s"),),
    ),
    "a call without arguments": ([{"functionCall": {"id": "i", "name": "t"}}], (ToolCall("i", "t", "{}"),)),
    "null arguments": ([{"functionCall": {"id": "i", "name": "t", "args": None}}], (ToolCall("i", "t", "{}"),)),
    "what ran at Google's": (
        [{"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}, {"new": 1}, {"text": "a"}],
        (Text("a"),),
    ),
    "an image": (
        [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}],
        (Text("![image](data:image/png;base64,aGk=)"),),
    ),
}


@pytest.mark.parametrize(("said", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_parts_of_an_answer(said: list[Any], expected: tuple[Any, ...]):
    assert first(whole(*said)).parts == expected


@pytest.mark.parametrize(("said", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_a_stream_says_the_same_however_it_is_cut(said: list[Any], expected: tuple[Any, ...]):
    body = b"".join(
        b'data: {"candidates":[{"content":{"parts":[%s]},"index":0%s}],"responseId":"r1"}\r\n\r\n'
        % (json.dumps(part).encode(), b',"finishReason":"STOP"' if last else b"")
        for last, part in ((place == len(said) - 1, part) for place, part in enumerate(said))
    )
    for size in (1, 7, len(body)):
        events = streamed(body, size)
        assert events[0] == Began("r1", "")
        assert put_together(events) == put_together_whole(expected)
        calls = any(isinstance(part, ToolCall) for part in expected)
        assert [each for each in events if isinstance(each, Finished)] == [Finished("tool_calls" if calls else "stop")]


def streamed(body: bytes, size: int = 0) -> list[Any]:
    decoder = gemini.stream_decoder()
    pieces = [body[at : at + size] for at in range(0, len(body), size)] if size else [body]
    return [event for piece in pieces for event in decoder.feed(piece, 0.0)] + decoder.end(0.0)


def put_together(events: list[Any]) -> tuple[Any, ...]:
    text = "".join(each.text for each in events if isinstance(each, TextDelta))
    shown = "".join(each.text for each in events if isinstance(each, ReasoningDelta))
    sealed = tuple(each.part for each in events if isinstance(each, ReasoningSealed))
    began = [each for each in events if isinstance(each, CallBegan)]
    said = {each.place: each.arguments for each in events if isinstance(each, CallDelta)}
    calls = tuple(ToolCall(each.id, each.name, said[each.place], each.signature) for each in began)
    assert shown == "".join(part.content for part in sealed)
    return text, sealed, calls


def put_together_whole(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return (
        "".join(part.content for part in parts if isinstance(part, Text)),
        tuple(part for part in parts if isinstance(part, Reasoning)),
        tuple(part for part in parts if isinstance(part, ToolCall)),
    )


def test_calls_without_ids_get_one_each_that_is_always_the_same():
    asked = {"functionCall": {"name": "t", "args": {}}}
    calls = first(whole(asked, asked)).parts
    assert calls == first(whole(asked, asked)).parts
    other = first(whole(asked, asked).replace(b'"r1"', b'"r2"')).parts
    assert len({part.id for part in (*calls, *other)}) == 4
    events = streamed(b"data: " + whole(asked, asked) + b"\n\n")
    assert [each.id for each in events if isinstance(each, CallBegan)] == [part.id for part in calls]


FINISHES = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "SOMETHING_NEW": "stop",
    "OTHER": "stop",
}


@pytest.mark.parametrize("reason", FINISHES)
def test_finish_reasons(reason: str):
    body = whole({"text": "a"}, finishReason=reason)
    assert first(body).finish_reason == FINISHES[reason]
    assert Finished(FINISHES[reason]) in streamed(b"data: " + body + b"\n\n")


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "OTHER"])
def test_an_answer_that_came_to_nothing_is_a_fault(reason: str):
    body = json.dumps({"candidates": [{"finishReason": reason, "finishMessage": "Malformed: f(("}]}).encode()
    fault = gemini.decode_answer(body, 0.0)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.code) == (FaultKind.GARBLED, reason)
    assert "f((" in fault.message
    assert streamed(b"data: " + body + b"\n\n")[-1] == Failed(fault)


def test_a_prompt_that_is_refused_is_an_empty_answer():
    body = json.dumps({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}).encode()
    read = gemini.decode_answer(body, 0.0)
    assert not isinstance(read, Fault)
    assert read.choices == (Choice((), "content_filter"),)
    assert read.usage == Usage(input_tokens=4)
    events = streamed(b"data: " + body + b"\n\n")
    assert events == [Finished("content_filter"), Counted(Usage(input_tokens=4))]


def test_usage_has_thoughts_in_the_output_and_tools_in_the_input():
    said = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 5,
        "cachedContentTokenCount": 80,
        "toolUsePromptTokenCount": 7,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 60}, {"modality": "AUDIO", "tokenCount": 40}],
        "candidatesTokensDetails": [{"modality": "AUDIO"}],
    }
    body = json.dumps({"candidates": [{"finishReason": "STOP"}], "usageMetadata": said}).encode()
    usage = Usage(input_tokens=107, output_tokens=15, cached_tokens=80, reasoning_tokens=5, input_audio_tokens=40)
    read = gemini.decode_answer(body, 0.0)
    assert not isinstance(read, Fault)
    assert read.usage == usage
    assert streamed(b"data: " + body + b"\n\n")[-1] == Counted(usage)


def test_several_choices_keep_apart():
    body = json.dumps(
        {
            "candidates": [
                {"content": {"parts": [{"text": "b"}]}, "index": 1, "finishReason": "STOP"},
                {"content": {"parts": [thought("hm"), {"text": "a"}]}, "index": 0, "finishReason": "MAX_TOKENS"},
            ]
        }
    ).encode()
    assert streamed(b"data: " + body + b"\n\n")[1:] == [
        TextDelta("b", 1),
        Finished("stop", 1),
        ReasoningDelta("hm", 0),
        ReasoningSealed(Reasoning("hm"), 0),
        TextDelta("a", 0),
        Finished("length", 0),
    ]


def test_logprobs_as_openai_tells_them():
    said = {
        "chosenCandidates": [{"token": "é", "tokenId": 1, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "b"}]}],
    }
    assert first(whole({"text": "é"}, logprobsResult=said)).logprobs["content"] == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [
                {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
                {"token": "b", "logprob": 0.0, "bytes": [98]},
            ],
        }
    ]


ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize("said", [ERROR, [ERROR]])
def test_an_error_inside_a_200_is_a_fault(said: Any):
    for fault in (
        gemini.decode_answer(json.dumps(said).encode(), 0.0),
        *(each.fault for each in streamed(b"data: " + json.dumps(said).encode() + b"\n\n")),
        *(each.fault for each in streamed(json.dumps(said).encode())),
    ):
        assert isinstance(fault, Fault)
        assert fault.kind is FaultKind.OVERLOADED


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"candidates": []}', b'{"candidates": 1}', b"\xff{"])
def test_nothing_readable_is_a_fault(body: bytes):
    fault = gemini.decode_answer(body, 0.0)
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.GARBLED


def test_a_damaged_event_is_passed_over():
    good = b"data: " + whole({"text": "a"}) + b"\n\n"
    assert streamed(b'data: {"candidates": [{\n\n' + b'data: {"candidates": "x"}\n\n' + b": hi\n\n" + good)[:2] == [
        Damaged(),
        Damaged(),
    ]
    assert TextDelta("a") in streamed(b"data: 1\n\n" + good + b"data: [DONE]\n\n")


def test_half_a_character_is_no_reason_to_lose_the_rest():
    assert TextDelta("a\ufffd") in streamed(b'data: {"candidates":[{"content":{"parts":[{"text":"a\\ud83d"}]}}]}\n\n')


# Recordings -----------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[3] / "shared" / "recordings"
RECORDINGS = [
    recording
    for vendor in ("gemini", "vertex")
    for file in sorted((ROOT / vendor).glob("*.json"))
    if (recording := json.loads(file.read_bytes()))["status"] == 200
]


@pytest.mark.parametrize("recording", RECORDINGS or [None], ids=lambda each: each["id"] if each else "none")
def test_a_recording_says_what_it_should(recording: dict[str, Any] | None):
    if recording is None:
        pytest.skip("no recordings here")
    expect, body = recording["expect"], recording["body"].encode()
    if recording["stream"]:
        events = streamed(body, 7)
        text, sealed, calls = put_together(events)
        reason = next(each.reason for each in events if isinstance(each, Finished))
        usage = [each.usage for each in events if isinstance(each, Counted)][-1]
    else:
        read = gemini.decode_answer(body, 0.0)
        assert not isinstance(read, Fault)
        text, sealed, calls = put_together_whole(read.choices[0].parts)
        reason, usage = read.choices[0].finish_reason, read.usage
        assert usage is not None
    assert text == expect["text"]
    assert [[each.name, json.loads(each.arguments)] for each in calls] == expect["calls"]
    assert reason == expect["finish"]
    assert "".join(part.content for part in sealed) == expect["reasoning"]
    assert usage.input_tokens in expect["prompt"]
    assert usage.output_tokens in expect["completion"]
    assert usage.reasoning_tokens == (expect["reasoning_tokens"] or 0)


@pytest.mark.parametrize("recording", RECORDINGS or [None], ids=lambda each: each["id"] if each else "none")
def test_a_request_means_what_the_recorded_one_did(recording: dict[str, Any] | None):
    if recording is None:
        pytest.skip("no recordings here")
    asked = {**recording["ingress"], "model": recording["model"], "stream": recording["stream"]}
    request = INGRESS["openai_chat"].decode_request(json.dumps(asked).encode())
    made = gemini.encode_request(request, abilities(recording["model"]))
    assert made.dropped == ()
    assert meaning(made.body) == meaning(recording["recorded_request"])


def meaning(body: dict[str, Any]) -> list[Any]:
    """Who said what, which tools there were and how the answer was to be, whatever the spelling."""
    said: list[Any] = []
    for content in body["contents"]:
        for part in content["parts"]:
            if asked := part.get("functionCall"):
                said.append((content["role"], "call", asked["name"], asked["args"]))
            elif given := part.get("functionResponse"):
                response = given["response"]
                only = next(iter(response.values())) if len(response) == 1 else response
                said.append((content["role"], "result", given["name"], only if only else response))
            elif blob := part.get("inlineData"):
                said.append((content["role"], blob["mimeType"], blob["data"].replace("-", "+").replace("_", "/")))
            else:
                said.append((content["role"], part["text"]))
    said += [part["text"] for part in body.get("systemInstruction", {}).get("parts", ())]
    for tools in body.get("tools", ()):
        for tool in tools["functionDeclarations"]:
            schema = tool.get("parametersJsonSchema") or tool.get("parameters_json_schema") or tool.get("parameters")
            said.append((tool["name"], tool.get("description") or "", json.dumps(schema, sort_keys=True).lower()))
    generation = body.get("generationConfig", {})
    said += [generation.get(name) for name in ("maxOutputTokens", "temperature", "responseMimeType")]
    return said
