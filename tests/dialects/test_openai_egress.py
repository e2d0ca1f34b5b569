"""OpenAI's chat as vendors are spoken to, whatever the client speaks: what is asked of them, what is read of them."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

import msgspec
import pytest
from openai.types.chat import completion_create_params as params
from pydantic import TypeAdapter

from gateway.abilities import UNKNOWN, Abilities, abilities
from gateway.chat import (
    Began,
    Blob,
    Cache,
    CallBegan,
    CallDelta,
    ChatEvent,
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
    Part,
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
from gateway.dialects.openai_skim import skim
from gateway.dialects.openai_turns import NO_RESULT, SHOWN_NEXT
from gateway.errors import CallerError, Fault, FaultKind
from gateway.sse import Splitter
from tests.corpus import cases, streams
from tests.dialects.validity import check
from tests.golden import ROOT, requests

CHAT = EGRESS["openai_chat"]
CLIENT = INGRESS["openai_chat"]
PASSED = DIALECTS["openai_chat"]
NOW = 1_700_000_000.0
HELLO = Message("user", (Text("hi"),))


def encoded(able: Abilities = UNKNOWN, **said: Any) -> Encoded:
    made = CHAT.encode_request(ChatRequest(**{"model": "m", "messages": (HELLO,), **said}), able)
    check("openai", made.body)
    return made


def messages(*given: Message) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = encoded(messages=given).body["messages"]
    return made


# Request: fields ------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = {**SCHEMA, "additionalProperties": False}
F, G = Tool("f", "does f", SCHEMA), Tool("g")
F_WRITTEN = {"type": "function", "function": {"name": "f", "description": "does f", "parameters": SCHEMA}}
G_WRITTEN = {"type": "function", "function": {"name": "g"}}
BOTH: dict[str, Any] = {"tools": [F_WRITTEN, G_WRITTEN]}
LONG = "user_" + "0" * 60 + "_session_1"

FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    # what the hub says: (what is written beside model and messages, what is dropped)
    "nothing": ({}, {}, ()),
    "a stream": ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}, ()),
    "a limit": ({"max_tokens": 5}, {"max_completion_tokens": 5}, ()),
    "sampling": (
        {"temperature": 0, "top_p": 0.5, "seed": 0, "frequency_penalty": 0.1, "presence_penalty": -1, "choices": 2},
        {"temperature": 0, "top_p": 0.5, "seed": 0, "frequency_penalty": 0.1, "presence_penalty": -1, "n": 2},
        (),
    ),
    "top_k, which OpenAI refuses": ({"top_k": 64}, {}, ("top_k",)),
    "stops": ({"stop": ("a", "b")}, {"stop": ["a", "b"]}, ()),
    "more stops than it takes": (
        {"stop": ("a", "b", "c", "d", "e", "f")},
        {"stop": ["a", "b", "c", "d"]},
        ("stop[4]", "stop[5]"),
    ),
    "logprobs": ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, ()),
    "logprobs of a stream": (
        {"logprobs": True, "stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        ("logprobs",),
    ),
    "the most likely ones alone": ({"top_logprobs": 0}, {}, ("top_logprobs",)),
    "who asks": (
        {"user": "ann", "service_tier": "flex", "verbosity": "low"},
        {"user": "ann", "service_tier": "flex", "verbosity": "low"},
        (),
    ),
    "tiers of others": ({"service_tier": "standard_only"}, {"service_tier": "default"}, ()),
    "a tier nobody knows": ({"service_tier": "moon"}, {}, ("service_tier",)),
    "metadata of what is not stored": ({"metadata": {"a": "b"}}, {}, ("metadata",)),
    "metadata of what is stored": (
        {"metadata": {"a": "b"}, "extra": {"store": True}},
        {"metadata": {"a": "b"}, "store": True},
        (),
    ),
    "the user among the metadata": ({"metadata": {"user_id": "ann"}}, {"user": "ann"}, ()),
    "metadata that is no text": ({"metadata": {"user_id": 5}}, {}, ("metadata",)),
    "OpenAI's own fields, and others": (
        {"extra": {"logit_bias": {"5": 1}, "prompt_cache_key": "k", "options.num_ctx": 5, "safetySettings": [1]}},
        {"logit_bias": {"5": 1}, "prompt_cache_key": "k"},
        ("options.num_ctx", "safetySettings"),
    ),
    "what has a place": (
        {"extra": {"tools[2]": {"type": "web_search"}, "messages[0].prefix": True, "stream_options": {}}},
        {},
        ("tools[2]", "messages[0].prefix"),
    ),
    "a schema": (
        {"output": Output(CLOSED, "my schema", "d", True)},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "my_schema_2352f04e", "schema": CLOSED, "description": "d", "strict": True},
            }
        },
        (),
    ),
    "a promise that OpenAI does not make": (
        {"output": Output(SCHEMA, strict=True), "tools": (Tool("f", None, SCHEMA, strict=True),)},
        {
            "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": False}}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA, "strict": False},
            },
        },
        ("tools[0].function.strict", "response_format.json_schema.strict"),
    ),
    "a schema without a name": (
        {"output": Output(SCHEMA)},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}},
        (),
    ),
    "tools": ({"tools": (F, G)}, BOTH, ()),
    "a strict tool to be cached": (
        {"tools": (Tool("f", strict=True, cache=Cache("1h")),)},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "strict": True},
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                }
            ]
        },
        (),
    ),
    "a schema without properties, which OpenAI refuses": (
        {"tools": (Tool("f", None, {"type": "object"}),)},
        {
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
            ]
        },
        (),
    ),
    "calls one by one": (
        {"tools": (G,), "parallel_tool_calls": False},
        {"tools": [G_WRITTEN], "parallel_tool_calls": False},
        (),
    ),
    "calls as usual": ({"tools": (G,), "parallel_tool_calls": True}, {"tools": [G_WRITTEN]}, ()),
    "auto": ({"tools": (F, G), "tool_choice": ToolChoice("auto")}, {**BOTH, "tool_choice": "auto"}, ()),
    "none": ({"tools": (F, G), "tool_choice": ToolChoice("none")}, {**BOTH, "tool_choice": "none"}, ()),
    "required": ({"tools": (F, G), "tool_choice": ToolChoice("required")}, {**BOTH, "tool_choice": "required"}, ()),
    "named": (
        {"tools": (F, G), "tool_choice": ToolChoice("named", ("g",))},
        {**BOTH, "tool_choice": {"type": "function", "function": {"name": "g"}}},
        (),
    ),
    "one of two": (
        {"tools": (F, G, Tool("h")), "tool_choice": ToolChoice("named", ("g", "f"))},
        {**BOTH, "tool_choice": "required"},
        (),
    ),
    "some of them, if any": (
        {"tools": (F, G), "tool_choice": ToolChoice("auto", ("g",))},
        {"tools": [G_WRITTEN], "tool_choice": "auto"},
        (),
    ),
    "one that is not there": (
        {"tools": (G,), "tool_choice": ToolChoice("named", ("x",))},
        {"tools": [G_WRITTEN]},
        ("tool_choice",),
    ),
    "to choose among none": (
        {"tool_choice": ToolChoice("required"), "parallel_tool_calls": False},
        {},
        ("tool_choice",),
    ),
    "to choose none among none": ({"tool_choice": ToolChoice("none")}, {}, ()),
}


@pytest.mark.parametrize(("said", "written", "dropped"), FIELDS.values(), ids=FIELDS)
def test_fields(said: dict[str, Any], written: dict[str, Any], dropped: tuple[str, ...]):
    made = encoded(**said)
    assert made.body == {"model": "m", "messages": [{"role": "user", "content": "hi"}], **written}
    assert made.dropped == dropped


def test_a_user_too_long_is_the_same_shorter_one_each_time():
    """OpenAI refuses more than 64 characters, and Claude Code's ids are longer."""
    one, again = encoded(user=LONG).body["user"], encoded(metadata={"user_id": LONG}).body["user"]
    assert one == again != encoded(user=LONG + "2").body["user"]
    assert len(one) == 64


EFFORTS: dict[str, tuple[str, Thinking, str | None, bool]] = {
    # (model, what is asked, the effort, is that it is not told named)
    "as asked": ("gpt-5.2", Thinking("xhigh"), "xhigh", False),
    "more than there is": ("gpt-5-mini", Thinking("max"), "high", False),
    "less than there is": ("o3", Thinking("minimal"), "low", False),
    "none": ("gpt-5.1", Thinking("none"), "none", False),
    "none where there is always some": ("gpt-5", Thinking("none"), "minimal", True),
    "none where it is not known": ("o4-mini", Thinking("none"), None, True),
    "none where there is none": ("gpt-4.1", Thinking("none"), None, False),
    "some where there is none": ("gpt-4.1", Thinking("high"), None, True),
    "one level alone": ("gpt-5-pro", Thinking("low"), "high", False),
    "no level at all": ("gpt-5.2-chat-latest", Thinking("low"), None, True),
    "a model nobody knows": ("mine", Thinking("xhigh"), "high", False),
    "a model that thinks always": ("deepseek-reasoner", Thinking("low"), None, True),
    "a model that thinks always, told not to": ("deepseek-reasoner", Thinking("none"), None, True),
    "a small budget": ("o3", Thinking(budget=1024), "low", False),
    "a budget": ("o3", Thinking(budget=8000), "medium", False),
    "a large budget": ("o3", Thinking(budget=31_999), "high", False),
    "no budget": ("gpt-5.1", Thinking(budget=0), "none", False),
    "its own judgement": ("o3", Thinking(adaptive=True), None, False),
    "its own judgement, and how much": ("o3", Thinking("high", adaptive=True), "high", False),
    "a vendor's own prefix": ("openai/gpt-5.1", Thinking("none"), "none", False),
    "a word of tomorrow": ("o3", Thinking("utmost"), "utmost", False),
}


@pytest.mark.parametrize(("model", "asked", "effort", "named"), EFFORTS.values(), ids=EFFORTS)
def test_how_much_is_to_be_thought(model: str, asked: Thinking, effort: str | None, named: bool):
    made = CHAT.encode_request(ChatRequest(model=model, messages=(HELLO,), thinking=asked), abilities(model))
    assert made.body.get("reasoning_effort") == effort
    assert made.dropped == ((("reasoning_effort" if asked.effort else "thinking"),) if named else ())


def test_a_model_without_schemas_is_asked_for_json():
    made = encoded(Abilities(schema=False), output=Output(SCHEMA))
    assert made.body["response_format"] == {"type": "json_object"}
    assert made.dropped == ("response_format.json_schema",)


def test_where_nobody_speaks_of_json_somebody_does():
    """OpenAI refuses JSON mode otherwise, and clients of Gemini and Ollama need not say it."""
    plain, told = encoded(output=Output()), encoded(output=Output(), messages=(Message("user", (Text("a Json"),)),))
    assert [each["role"] for each in plain.body["messages"]] == ["system", "user"]
    assert [each["role"] for each in told.body["messages"]] == ["user"]


def test_models_that_take_no_sampling_get_none():
    made = encoded(Abilities(sampling=False), temperature=1, top_p=0.5)
    assert (made.body.keys(), made.dropped) == ({"model", "messages"}, ("top_p",))


def test_names_of_tools_are_legal_and_found_again():
    names = ("web.search", "web_search", "naïve", "x" * 65)
    calls = tuple(ToolCall(f"c{at}", name) for at, name in enumerate(names))
    asked = Message("assistant", calls)
    made = encoded(tools=tuple(map(Tool, names)), messages=(HELLO, asked), tool_choice=ToolChoice("named", ("naïve",)))
    written = [each["function"]["name"] for each in made.body["tools"]]
    assert [made.tool_names.get(each, each) for each in written] == [*names]
    assert [each["function"]["name"] for each in made.body["messages"][1]["tool_calls"]] == written
    assert made.body["tool_choice"]["function"]["name"] == written[2]
    assert made.tool_names.keys() == set(written) - {"web_search"}


# Request: messages ----------------------------------------------------------------------------------------------------

MARKED = {"cache_control": {"type": "ephemeral"}}
PNG = "data:image/png;base64,aGk="
PARTS: dict[str, tuple[Part, Any]] = {
    "a text": (Text("a"), "a"),
    "a text to be cached": (Text("a", Cache()), [{"type": "text", "text": "a", **MARKED}]),
    "an image": (
        Blob("image", "image/png", "aGk=", detail="low"),
        [{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}],
    ),
    "an image elsewhere, to be cached": (
        Uri("image", "https://a/b.png", cache=Cache()),
        [{"type": "image_url", "image_url": {"url": "https://a/b.png"}, **MARKED}],
    ),
    "sound": (
        Blob("audio", "audio/x-wav", "aGk="),
        [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}],
    ),
    "a document": (
        Blob("document", "application/pdf", "aGk=", name="a.pdf"),
        [{"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}}],
    ),
    "a document without a name, which OpenAI refuses": (
        Blob("document", "application/pdf", "aGk="),
        [{"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,aGk="}}],
    ),
    "a text file": (Blob("document", "text/plain", "aGk=", name="n.txt"), '<document name="n.txt">\nhi\n</document>'),
    "a text file that is none": (
        Blob("document", "text/plain", "/w==", name="n.txt"),
        [{"type": "file", "file": {"filename": "n.txt", "file_data": "data:text/plain;base64,/w=="}}],
    ),
    "a file given before": (File("document", "f-1"), [{"type": "file", "file": {"file_id": "f-1"}}]),
    "a video": (
        Uri("video", "https://a/b.mp4"),
        [{"type": "video_url", "video_url": {"url": "https://a/b.mp4"}}],
    ),
}


@pytest.mark.parametrize(("part", "content"), PARTS.values(), ids=PARTS)
def test_parts(part: Part, content: Any):
    assert messages(Message("user", (part,))) == [{"role": "user", "content": content}]


LOST: dict[str, tuple[Message, ...]] = {
    "messages[0].content[0]": (Message("user", (File("image", "f-1"),)),),
    "messages[0].content[1]": (Message("user", (Text("a"), Uri("document", "https://a/b.pdf"))),),
    "messages[1].content[1]": (
        HELLO,
        Message("assistant", (Reasoning("hm"), Text("a"), Blob("image", "image/png", "aGk="))),
    ),
    "messages[0].name": (Message("user", (Text("a"),), "Ann Other"),),
    "messages[1].reasoning_content": (HELLO, Message("assistant", (Reasoning("hm", "s", format="refused"), Text("a")))),
}


@pytest.mark.parametrize("name", LOST)
def test_what_cannot_be_said_is_named(name: str):
    assert encoded(messages=LOST[name]).dropped == (name,)


def test_who_says_what():
    given = (
        Message("system", (Text("a"), Text("b"))),
        Message("developer", (Text("c", Cache("1h")), Text("d"))),
        Message("user", (Text("e"), Text("f")), "ann"),
        Message("assistant", (Text("g"), Refusal("no"))),
        Message("user", ()),
    )
    ttl = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert messages(*given) == [
        {"role": "system", "content": "a\nb"},
        {"role": "developer", "content": [{"type": "text", "text": "c", **ttl}, {"type": "text", "text": "d"}]},
        {"role": "user", "content": [{"type": "text", "text": "e"}, {"type": "text", "text": "f"}], "name": "ann"},
        {"role": "assistant", "content": "g\nno"},
        {"role": "user", "content": ""},
    ]


def test_thoughts_are_as_answers_have_them():
    """Each vendor's row tells what it takes back; a client's whole history reads the same again."""
    parts = (
        Reasoning("hm", "c2VhbA==", format="anthropic"),
        Reasoning(opaque="aGlkZGVu", format="openai"),
        Text("a"),
        ToolCall("c", "f", '{"a":1}', signature="c2ln"),
    )
    asked = (HELLO, Message("assistant", parts), Message("tool", (ToolCallResponse("c", "f", (Text("b"),)),)))
    body = encoded(messages=asked).body
    said = body["messages"][1]
    assert said["reasoning_content"] == "hm"
    assert [each["format"] for each in said["reasoning_details"]] == ["anthropic-claude-v1", "openai-responses-v1"]
    assert said["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert CLIENT.decode_request(json.dumps(body).encode()).messages == asked


def result(call_id: str, *parts: Any, **more: Any) -> Message:
    return Message("tool", (ToolCallResponse(call_id, "f", parts, **more),))


def called(*ids: str) -> Message:
    return Message("assistant", tuple(ToolCall(each, "f") for each in ids))


IMAGE = Blob("image", "image/png", "aGk=")
SHOWN = {"type": "image_url", "image_url": {"url": PNG}}
WHOSE = {"type": "text", "text": "Shown by the tool f:"}
RESULTS: dict[str, tuple[tuple[Message, ...], list[tuple[str, str, Any]], tuple[str, ...]]] = {
    # the messages: (role, whose call, content) of those after the calls, what is dropped
    "in order": (
        (called("a", "b"), result("a", Text("A")), result("b", Text("B"))),
        [("tool", "a", "A"), ("tool", "b", "B")],
        (),
    ),
    "with an image": (
        (called("a", "b"), result("a", Text("A"), IMAGE), result("b", IMAGE)),
        [("tool", "a", "A"), ("tool", "b", SHOWN_NEXT), ("user", "", [WHOSE, SHOWN, WHOSE, SHOWN])],
        (),
    ),
    "nothing": ((called("a"), result("a")), [("tool", "a", "")], ()),
    "failed": ((called("a"), result("a", Text("no"), failed=True)), [("tool", "a", "no")], ("messages[1].is_error",)),
    "to be cached": (
        (called("a"), result("a", Text("A"), cache=Cache())),
        [("tool", "a", [{"type": "text", "text": "A", **MARKED}])],
        (),
    ),
    "a cache marker on nothing": (
        (called("a"), result("a", cache=Cache())),
        [("tool", "a", "")],
        ("messages[1].cache_control",),
    ),
    "never": (
        (called("a", "b"), result("b", Text("B")), HELLO),
        [("tool", "b", "B"), ("tool", "a", NO_RESULT), ("user", "", "hi")],
        (),
    ),
    "late": ((called("a"), HELLO, result("a", Text("A"))), [("tool", "a", "A"), ("user", "", "hi")], ()),
    "of no call": (
        (called("a"), result("a", Text("A")), result("z", Text("Z"), failed=True)),
        [
            ("tool", "a", "A"),
            ("user", "", [{"type": "text", "text": "An error of the tool f:"}, {"type": "text", "text": "Z"}]),
        ],
        (),
    ),
    "of two calls of one id": (
        (called("a", "a"), result("a", Text("1")), result("a", Text("2"))),
        [("tool", "a", "1"), ("tool", "a_2", "2")],
        (),
    ),
}


@pytest.mark.parametrize(("given", "written", "dropped"), RESULTS.values(), ids=RESULTS)
def test_each_call_has_its_result_at_once(given: Any, written: Any, dropped: tuple[str, ...]):
    made = encoded(messages=given)
    said = made.body["messages"][1:]
    assert [(each["role"], each.get("tool_call_id", ""), each["content"]) for each in said] == written
    assert made.dropped == dropped


def test_ids_too_long_are_shorter_in_call_and_result():
    long = "chatcmpl-tool-" + "9" * 64
    said = messages(called(long), result(long, Text("A")))
    assert said[0]["tool_calls"][0]["id"] == said[1]["tool_call_id"]
    assert len(said[1]["tool_call_id"]) <= 40


ARGUMENTS = {
    '{"a":1}': '{"a":1}',
    "": "{}",
    "  ": "{}",
    "not json": '{"arguments":"not json"}',
    "[1]": '{"arguments":[1]}',
}


@pytest.mark.parametrize("said", ARGUMENTS)
def test_arguments_are_an_object(said: str):
    [message, _] = messages(Message("assistant", (ToolCall("c", "f", said),)))
    assert message["tool_calls"][0]["function"]["arguments"] == ARGUMENTS[said]


# Request: laws --------------------------------------------------------------------------------------------------------


def readable(body: bytes) -> bool:
    """Some of the corpus is only for what is passed on as it came."""
    try:
        return bool(CLIENT.decode_request(body))
    except CallerError:
        return False


ASKED = [each for each in cases("openai_chat", "request.json") if readable(each.values[0])]
ASKED += [pytest.param(file.read_bytes(), id=file.name) for file in sorted(ROOT.glob("*.openai_chat.json"))]


@pytest.mark.parametrize("body", ASKED)
def test_what_is_written_means_what_was_said(body: bytes):
    """Read again it is the same, but for what was named; written again it is the very same."""
    asked = CLIENT.decode_request(body)
    made = CHAT.encode_request(asked, UNKNOWN)
    check("openai", made.body)
    again = CLIENT.decode_request(json.dumps(made.body).encode())
    assert CHAT.encode_request(again, UNKNOWN).body == made.body
    for name in asked.__struct_fields__:
        said, read = getattr(asked, name), getattr(again, name)
        alike = said == read or name in made.dropped
        match name:
            case "messages":
                results = [each for each in read if NO_RESULT not in str(each)]
                assert [told(each) for each in results] == [told(each) for each in said]
            case "tools":
                assert [(made.tool_names.get(each.name, each.name), each.strict) for each in read] == [
                    (each.name, each.strict) for each in said
                ]
            case "extra":
                assert all(key in made.dropped or read.get(key) == value for key, value in said.items())
            case "parallel_tool_calls":
                assert alike or said is True
            case "choices" | "output" | "thinking":
                assert (said is None) == (read is None)
            case _:
                assert alike, name


def told(message: Message) -> Any:
    """Texts in one; of arguments and results, whose they are; documents that are texts by their names."""
    texts = [part.content for part in message.parts if isinstance(part, Text | Refusal) and part.content]
    texts += [f'<document name="{part.name}">' for part in message.parts if text_file(part)]
    thoughts = [part for part in message.parts if isinstance(part, Reasoning)]
    media = [part for part in message.parts if isinstance(part, Blob | Uri | File) and not text_file(part)]
    calls = [part.id for part in message.parts if isinstance(part, ToolCall)]
    results = [part.id for part in message.parts if isinstance(part, ToolCallResponse)]
    said = "\n".join(texts).partition(">\nwarp")
    return message.role, message.name, thoughts, media, calls, results, said[0].removesuffix(">")


def text_file(part: Any) -> TypeGuard[Blob]:
    return isinstance(part, Blob) and part.mime_type.startswith("text/")


WRITTEN = [(name, said["body"]) for name, said in requests() if name.endswith("-openai_chat.json")]
_whole = TypeAdapter(params.CompletionCreateParamsNonStreaming)
_streamed = TypeAdapter(params.CompletionCreateParamsStreaming)


@pytest.mark.parametrize(("name", "body"), WRITTEN)
def test_what_other_clients_ask_for_is_as_the_sdk_types_it(name: str, body: dict[str, Any]):
    checked: Any = (_streamed if body.get("stream") else _whole).validate_python(body)
    assert [*checked["messages"]]
    assert len([*checked.get("tools", ())]) == len(body.get("tools", ()))


# Answers --------------------------------------------------------------------------------------------------------------


def whole(message: Any, reason: Any = "stop", **more: Any) -> ChatResponse:
    body = {"id": "a-1", "model": "v", "choices": [{"index": 0, "message": message, "finish_reason": reason}], **more}
    read = CHAT.decode_answer(json.dumps(body).encode(), NOW)
    assert isinstance(read, ChatResponse)
    return read


def events(*chunks: Any, done: bool = True) -> list[ChatEvent]:
    """Of a stream; a chunk is its first choice's delta, or (delta, finish_reason), or the raw event."""
    out = []
    for chunk in chunks:
        delta, reason = chunk if isinstance(chunk, tuple) else (chunk, None)
        said = {"id": "a-1", "model": "v", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        out.append(chunk if isinstance(chunk, bytes) else b"data: " + json.dumps(said).encode() + b"\n\n")
    decoder = CHAT.stream_decoder()
    return [
        *decoder.feed(b"".join(out) + (b"data: [DONE]\n\n" if done else b""), NOW),
        *decoder.end(NOW),
    ]


def said(*chunks: Any) -> list[ChatEvent]:
    """Without what begins and ends it."""
    return [each for each in events(*chunks, ({}, "stop")) if not isinstance(each, Began | Finished | Ended)]


def function(name: str | None = "f", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    held = {"name": name, "arguments": arguments}
    return {**more, "function": {key: value for key, value in held.items() if value is not None}}


def calls(*given: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [*given]}


SEALED = {"type": "reasoning.text", "format": "anthropic-claude-v1"}
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
SUMMARY = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm", "signature": "s"}]}
MESSAGES: dict[str, tuple[dict[str, Any], tuple[Part, ...]]] = {
    "a text": ({"content": "a"}, (Text("a"),)),
    "nothing": ({"content": None}, ()),
    "no message": ({}, ()),
    "parts": ({"content": [{"type": "text", "text": "a"}, {"type": "smell"}, 5, "b"]}, (Text("a"),)),
    "a thought": ({"content": "a", "reasoning_content": "hm"}, (Reasoning("hm"), Text("a"))),
    "a thought, twice": ({"content": "a", "reasoning": "hm", "reasoning_content": "hm"}, (Reasoning("hm"), Text("a"))),
    "Mistral's thoughts": ({"content": [THINKING, {"type": "text", "text": "a"}]}, (Reasoning("hm"), Text("a"))),
    "Claude's at Databricks": ({"content": [SUMMARY]}, (Reasoning("hm", "s", format="anthropic"),)),
    "a signed thought": (
        {"content": "", "reasoning": "hm", "reasoning_details": [{**SEALED, "text": "hm", "signature": "s"}]},
        (Reasoning("hm", "s", format="anthropic"),),
    ),
    "LiteLLM's": (
        {"content": "a", "reasoning_content": "hm", "thinking_blocks": [{"thinking": "hm", "signature": "s"}]},
        (Reasoning("hm", "s", format="anthropic"), Text("a")),
    ),
    "a refusal": ({"content": None, "refusal": "no"}, (Refusal("no"),)),
    "an image": (
        {"content": "a", "images": [{"type": "image_url", "image_url": {"url": PNG}}]},
        (Text("a"), Text(f"![image]({PNG})")),
    ),
    "what was spoken": ({"content": None, "audio": {"id": "x", "transcript": "a"}}, (Text("a"),)),
    "a call": (calls(function(id="c")), (ToolCall("c", "f"),)),
    "a call without an id": (calls(function()), (ToolCall("call_877aaedde905690410e6f2e8", "f"),)),
    "a call without arguments": (calls(function(id="c", arguments="")), (ToolCall("c", "f", "{}"),)),
    "arguments that are an object": (calls(function(id="c", arguments={"a": 1})), (ToolCall("c", "f", '{"a":1}'),)),
    "a signed call": (
        calls(function(id="c", extra_content={"google": {"thought_signature": "s"}})),
        (ToolCall("c", "f", "{}", signature="s"),),
    ),
    "a call that OpenRouter tells the signature of": (
        {**calls(function(id="c")), "reasoning_details": [{"type": "reasoning.encrypted", "data": "s", "id": "c"}]},
        (ToolCall("c", "f", "{}", signature="s"),),
    ),
    "calls that are none": ({"content": "a", "tool_calls": [None, 5]}, (Text("a"),)),
}


@pytest.mark.parametrize(("message", "parts"), MESSAGES.values(), ids=MESSAGES)
def test_messages(message: dict[str, Any], parts: tuple[Part, ...]):
    read = whole(message)
    assert (read.id, read.model) == ("a-1", "v")
    assert read.choices[0].parts == parts


@pytest.mark.parametrize(("message", "parts"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_in_one_delta_is_the_same(message: dict[str, Any], parts: tuple[Part, ...]):
    found: list[Part] = []
    for event in said(message):
        match event:
            case TextDelta():
                found.append(Text(event.text))
            case RefusalDelta():
                found.append(Refusal(event.text))
            case ReasoningSealed():
                found.append(event.part)
            case CallBegan():
                found.append(ToolCall(event.id, event.name, "", event.signature))
            case CallDelta():
                *found, call = found
                assert isinstance(call, ToolCall)
                found.append(msgspec.structs.replace(call, arguments=call.arguments + event.arguments))
            case _:
                assert isinstance(event, ReasoningDelta)
    assert tuple(found) == parts


REASONS: dict[str, tuple[Any, bool, str | None]] = {
    "stop": ("stop", False, "stop"),
    "stop after calls": ("stop", True, "tool_calls"),
    "length": ("length", True, "length"),
    "calls": ("tool_calls", True, "tool_calls"),
    "a function": ("function_call", True, "tool_calls"),
    "filtered": ("content_filter", False, "content_filter"),
    "Mistral": ("model_length", False, "length"),
    "Z.ai": ("sensitive", False, "content_filter"),
    "DeepSeek": ("insufficient_system_resource", False, "error"),
    "shouted": ("MAX_TOKENS", False, "length"),
    "unheard of": ("eos", False, "stop"),
}


@pytest.mark.parametrize(("said", "called", "reason"), REASONS.values(), ids=REASONS)
def test_finish_reasons(said: Any, called: bool, reason: str):
    message = {"content": "a", **(calls(function(id="c")) if called else {})}
    assert whole(message, said).choices[0].finish_reason == reason
    assert [each for each in events(message, ({}, said)) if isinstance(each, Finished)] == [Finished(reason)]  # type: ignore[arg-type]


@pytest.mark.parametrize("nothing", [None, "", 5])
def test_an_end_without_a_reason(nothing: Any):
    """A vendor that says it is done has finished; one that closes has not."""
    assert whole({"content": "a"}, nothing).choices[0].finish_reason is None
    assert events({"content": "a"}, ({}, nothing))[-2:] == [Finished("stop"), Ended()]
    assert events(calls(function(id="c", index=0)), ({}, nothing))[-2:] == [Finished("tool_calls"), Ended()]
    assert not [each for each in events({"content": "a"}, ({}, nothing), done=False) if isinstance(each, Finished)]
    assert events(({"role": "assistant"}, nothing)) == [Began("a-1", "v"), Ended()]


FAULTS: dict[str, tuple[bytes, FaultKind]] = {
    "an error": (b'{"error":{"message":"slow down","type":"rate_limit_error","code":429}}', FaultKind.RATE_LIMITED),
    "an error beside choices": (b'{"error":{"message":"over capacity","code":503},"choices":[]}', FaultKind.OVERLOADED),
    "Groq's": (b'{"x_groq":{"error":"over capacity"},"choices":[]}', FaultKind.SERVER_ERROR),
    "an object": (b'{"object":"error","message":"boom","code":500}', FaultKind.SERVER_ERROR),
    "a status": (b'{"status":503,"message":"boom"}', FaultKind.OVERLOADED),
    "an end in error": (b'{"choices":[{"message":{"content":"a"},"finish_reason":"error"}]}', FaultKind.SERVER_ERROR),
    "no choices": (b'{"choices":[]}', FaultKind.GARBLED),
    "something else": (b"<html>", FaultKind.GARBLED),
}


@pytest.mark.parametrize(("body", "kind"), FAULTS.values(), ids=FAULTS)
def test_an_error_in_a_200_is_a_fault(body: bytes, kind: FaultKind):
    read = CHAT.decode_answer(body, NOW)
    assert isinstance(read, Fault)
    passed = PASSED.read_whole(body, NOW)
    assert read.kind == (passed.kind if isinstance(passed, Fault) else kind)
    if kind != FaultKind.GARBLED:
        found = events({"content": "a"}, b"data: " + body + b"\n\n", done=False)
        assert [type(each) for each in found] == [Began, TextDelta, Failed]


# Streams --------------------------------------------------------------------------------------------------------------

HM = ReasoningDelta("hm")
STREAMS: dict[str, tuple[tuple[Any, ...], list[ChatEvent]]] = {
    "a thought ends where a text begins": (
        ({"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "a"}),
        [ReasoningDelta("h"), ReasoningDelta("m"), ReasoningSealed(Reasoning("hm")), TextDelta("a")],
    ),
    "where a call begins": (
        ({"reasoning": "hm"}, calls(function(id="c", index=0))),
        [HM, ReasoningSealed(Reasoning("hm")), CallBegan(0, "c", "f"), CallDelta(0, "{}")],
    ),
    "where all ends": (({"reasoning": "hm"},), [HM, ReasoningSealed(Reasoning("hm"))]),
    "where another one begins": (
        (
            {"reasoning_details": [{**SEALED, "text": "hm", "index": 0}]},
            {"reasoning_details": [{**SEALED, "signature": "s", "index": 0}]},
            {"reasoning": "so", "reasoning_details": [{**SEALED, "text": "so", "signature": "t", "index": 1}]},
        ),
        [
            HM,
            ReasoningSealed(Reasoning("hm", "s", format="anthropic")),
            ReasoningDelta("so"),
            ReasoningSealed(Reasoning("so", "t", format="anthropic")),
        ],
    ),
    "Mistral's thoughts": (
        ({"content": [THINKING]}, {"content": [{"type": "text", "text": "a"}]}, {"content": "b"}),
        [HM, ReasoningSealed(Reasoning("hm")), TextDelta("a"), TextDelta("b")],
    ),
    "LiteLLM's signature": (
        (
            {"reasoning_content": "hm", "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": ""}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}], "content": ""},
            {"content": "a"},
        ),
        [HM, ReasoningSealed(Reasoning("hm", "s", format="anthropic")), TextDelta("a")],
    ),
    "calls by turns": (
        (
            calls(function(id="a", index=0, arguments=None)),
            calls(function(id="b", index=1, arguments="[")),
            calls(function(None, "{}", index=0), function(None, "]", index=1)),
        ),
        [CallBegan(0, "a", "f"), CallBegan(1, "b", "f"), CallDelta(1, "["), CallDelta(0, "{}"), CallDelta(1, "]")],
    ),
    "calls all of index 0, as Gemini's": (
        (calls(function(id="a", index=0)), calls(function(id="b", index=0))),
        [CallBegan(0, "a", "f"), CallDelta(0, "{}"), CallBegan(1, "b", "f"), CallDelta(1, "{}")],
    ),
    "an id with every piece": (
        (calls(function(id="a", index=0, arguments="{")), calls(function("f", "}", id="a", index=0))),
        [CallBegan(0, "a", "f"), CallDelta(0, "{"), CallDelta(0, "}")],
    ),
    "no index, and the id once": (
        (calls(function(id="a", arguments="{")), calls(function(None, "}")), calls(function(id="b"))),
        [CallBegan(0, "a", "f"), CallDelta(0, "{"), CallDelta(0, "}"), CallBegan(1, "b", "f"), CallDelta(1, "{}")],
    ),
    "arguments before the name": (
        (calls(function(None, "{", id="a", index=0)), calls(function("f", "}", index=0))),
        [CallBegan(0, "a", "f"), CallDelta(0, "{}")],
    ),
    "a call without arguments": (
        (calls(function(id="a", index=0, arguments="")),),
        [CallBegan(0, "a", "f"), CallDelta(0, "{}")],
    ),
    "a call without a name": ((calls(function(None, "{}", index=0)),), [Damaged()]),
    "a function": (
        ({"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}),
        [CallBegan(0, "call_877aaedde905690410e6f2e8", "f"), CallDelta(0, "{}")],
    ),
    "half a character, and its other half": (
        (
            b'data: {"id":"a-1","model":"v","choices":[{"delta":{"content":"a\\ud83e"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"\\uddf5b"}}]}\n\n',
        ),
        [TextDelta("a"), TextDelta("🧵b")],
    ),
    "half a character, and no other": (
        (b'data: {"id":"a-1","model":"v","choices":[{"delta":{"content":"\\ud83e"}}]}\n\n', {"content": "b"}),
        [TextDelta("\ufffdb")],
    ),
    "usage": (
        ({"content": "a"}, b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'),
        [TextDelta("a"), Counted(Usage(input_tokens=3, output_tokens=2))],
    ),
    "what cannot be read": (
        ({"content": "a"}, b"data: {\n\n", b'data: {"choices":[5]}\n\n'),
        [TextDelta("a"), Damaged(), Damaged()],
    ),
    "comments and metadata": ((b": hm\n\n", {"content": "a"}, b'data: {"type":"ping"}\n\n'), [TextDelta("a")]),
}


@pytest.mark.parametrize(("chunks", "expected"), STREAMS.values(), ids=STREAMS)
def test_streams(chunks: tuple[Any, ...], expected: list[ChatEvent]):
    assert said(*chunks) == expected


def test_what_comes_after_the_end_is_no_part_of_the_answer():
    found = events({"content": "a"}, ({}, "stop"), ({"content": ""}, None), ({"content": "b"}, "stop"))
    assert found == [Began("a-1", "v"), TextDelta("a"), Finished("stop"), Damaged(), Ended()]


def test_an_event_read_in_haste_means_what_it_means_read_with_care():
    """The quick way tells a stream's texts as ``skim`` does, and nothing else of them is lost."""
    for stream in streams("openai_chat").values():
        texts = [each for each in skim([frame.data or b"" for frame in Splitter().feed(stream)], False) if each]
        decoder = CHAT.stream_decoder()
        found = [each.text for each in decoder.feed(stream, NOW) if isinstance(each, TextDelta) and each.choice == 0]
        assert not texts or "".join(texts) in "".join(found)


# Laws -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", cases("openai_chat", "response.json"))
def test_an_answer_tells_what_is_seen_of_it_in_passing(body: bytes):
    read, seen = CHAT.decode_answer(body, NOW), PASSED.read_whole(body, NOW)
    assert isinstance(read, ChatResponse)
    assert not isinstance(seen, Fault)
    assert (read.id, read.model, read.usage) == (seen.id, seen.model, seen.usage)
    found = [part for choice in read.choices for part in choice.parts if isinstance(part, ToolCall)]
    assert [(part.name, part.arguments) for part in found] == [(part.tool, part.arguments) for part in seen.calls]
    for choice, reason in zip(read.choices, seen.finish_reasons, strict=True):
        called = any(isinstance(part, ToolCall) for part in choice.parts)
        assert choice.finish_reason == ("tool_calls" if called else reason)


@pytest.mark.parametrize("stream", streams("openai_chat").values(), ids=streams("openai_chat"))
def test_a_stream_tells_what_is_seen_of_it_in_passing(stream: bytes):
    decoder = CHAT.stream_decoder()
    found = [*decoder.feed(stream, NOW), *decoder.end(NOW)]
    splitter = Splitter()
    frames = [frame for frame in [*splitter.feed(stream), *splitter.end()] if frame.data]
    seen = [PASSED.glimpse(frame, NOW) for frame in frames]
    assert [each.usage for each in found if isinstance(each, Counted)] == [each.usage for each in seen if each.usage]
    assert any(isinstance(each, Ended) for each in found) == any(each.done for each in seen)
    assert any(isinstance(each, Failed) for each in found) == any(each.fault for each in seen)
    assert {each.choice for each in found if isinstance(each, Finished)} == {
        choice for each in seen for choice, reason in each.reasons.items() if reason
    }
    assert [each.name for each in found if isinstance(each, CallBegan)] == [
        part.tool for each in seen for part in each.calls if part.tool
    ]


@pytest.mark.parametrize("body", cases("openai_chat", "response.json"))
def test_an_answer_written_and_read_again_is_the_same(body: bytes):
    read = CHAT.decode_answer(body, NOW)
    assert isinstance(read, ChatResponse)
    again = CHAT.decode_answer(CLIENT.encode_answer(read, id="x", model="m", created=0, asked=b""), NOW)
    usage = read.usage and msgspec.structs.replace(read.usage, cost=None)
    assert again == msgspec.structs.replace(read, usage=usage)
