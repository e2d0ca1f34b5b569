"""OpenAI chat and the hub: what clients write is read, what vendors answer is written as OpenAI would."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

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
from gateway.dialects import INGRESS
from gateway.dialects.openai_parts import MOST_ESCAPES
from gateway.dialects.openai_request import MOST_PARTS, MOST_TOOLS
from gateway.errors import CallerError
from gateway.sse import DONE, Splitter
from tests.corpus import cases

CHAT = INGRESS["openai_chat"]


def read(**said: Any) -> ChatRequest:
    said = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **said}
    return CHAT.decode_request(json.dumps(said).encode())


def read_messages(*messages: dict[str, Any]) -> tuple[Message, ...]:
    return read(messages=messages).messages


# Request: fields ------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "f", "description": "does f", "parameters": SCHEMA, "strict": True}

FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # what the client says: (fields, what differs in the hub from a request that says nothing)
    "nothing": ({}, {}),
    "nulls": (dict.fromkeys(("temperature", "stop", "tools", "n", "seed", "response_format", "thinking", "x")), {}),
    "stream": ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
    "max_tokens": ({"max_tokens": 5}, {"max_tokens": 5}),
    "max_completion_tokens": ({"max_completion_tokens": 6}, {"max_tokens": 6}),
    "the newer limit counts": ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
    "a number of JavaScript": ({"max_tokens": 5.0}, {"max_tokens": 5}),
    "sampling": (
        {"temperature": 0, "top_p": 0.5, "top_k": 3, "seed": 7, "frequency_penalty": 0.1, "presence_penalty": -1},
        {"temperature": 0, "top_p": 0.5, "top_k": 3, "seed": 7, "frequency_penalty": 0.1, "presence_penalty": -1},
    ),
    "one stop": ({"stop": "END"}, {"stop": ("END",)}),
    "stops": ({"stop": ["a", "b"]}, {"stop": ("a", "b")}),
    "n": ({"n": 3}, {"choices": 3}),
    "logprobs": ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
    "who and how": (
        {"user": "u", "metadata": {"a": "b"}, "service_tier": "flex", "verbosity": "low"},
        {"user": "u", "metadata": {"a": "b"}, "service_tier": "flex", "verbosity": "low"},
    ),
    "text": ({"response_format": {"type": "text"}}, {}),
    "any JSON": ({"response_format": {"type": "json_object"}}, {"output": Output()}),
    "JSON with a schema": ({"response_format": {"type": "json_object", "schema": SCHEMA}}, {"output": Output(SCHEMA)}),
    "a schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA, "strict": True}}},
        {"output": Output(SCHEMA, "c", None, True)},
    ),
    "effort": ({"reasoning_effort": "high"}, {"thinking": Thinking("high")}),
    "OpenRouter's effort": ({"reasoning": {"effort": "low"}}, {"thinking": Thinking("low")}),
    "OpenRouter's budget": ({"reasoning": {"max_tokens": 2000}}, {"thinking": Thinking(budget=2000)}),
    "OpenRouter's on": ({"reasoning": {"enabled": True}}, {"thinking": Thinking("medium")}),
    "OpenRouter's off": ({"reasoning": {"enabled": False}}, {"thinking": Thinking("none")}),
    "Anthropic's budget": (
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"thinking": Thinking(budget=1024)},
    ),
    "Anthropic's own judgement": ({"thinking": {"type": "adaptive"}}, {"thinking": Thinking(adaptive=True)}),
    "DeepSeek's off": ({"thinking": {"type": "disabled"}}, {"thinking": Thinking("none")}),
    "rests of thinking": (
        {"thinking": {"type": "enabled", "keep": "all"}, "reasoning": {"exclude": True, "effort": "low"}},
        {"thinking": Thinking("low"), "extra": {"thinking.keep": "all", "reasoning.exclude": True}},
    ),
    "a tool": (
        {"tools": [{"type": "function", "function": FUNCTION}]},
        {"tools": (Tool("f", "does f", SCHEMA, True),)},
    ),
    "a tool without parameters": (
        {"tools": [{"type": "function", "function": {"name": "f"}}], "parallel_tool_calls": False},
        {"tools": (Tool("f"),), "parallel_tool_calls": False},
    ),
    "a tool to be cached": (
        {"tools": [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]},
        {"tools": (Tool("f", cache=Cache()),)},
    ),
    "Anthropic's tool": ({"tools": [{"name": "f", "input_schema": SCHEMA}]}, {"tools": (Tool("f", None, SCHEMA),)}),
    "functions": ({"functions": [{"name": "f", "parameters": SCHEMA}]}, {"tools": (Tool("f", None, SCHEMA),)}),
    "a tool of the vendor's": (
        {"tools": [{"type": "web_search", "x": 1}]},
        {"extra": {"tools[0]": {"type": "web_search", "x": 1}}},
    ),
    "auto": ({"tool_choice": "auto"}, {"tool_choice": ToolChoice("auto")}),
    "none": ({"tool_choice": "none"}, {"tool_choice": ToolChoice("none")}),
    "required": ({"tool_choice": "required"}, {"tool_choice": ToolChoice("required")}),
    "any": ({"tool_choice": "any"}, {"tool_choice": ToolChoice("required")}),
    "named": (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": ToolChoice("named", ("f",))},
    ),
    "named, Anthropic's way": (
        {"tool_choice": {"type": "tool", "name": "f"}},
        {"tool_choice": ToolChoice("named", ("f",))},
    ),
    "required, Anthropic's way": ({"tool_choice": {"type": "any"}}, {"tool_choice": ToolChoice("required")}),
    "allowed": (
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "g"}],
                },
            }
        },
        {"tool_choice": ToolChoice("required", ("f", "g"))},
    ),
    "function_call": ({"function_call": {"name": "f"}}, {"tool_choice": ToolChoice("named", ("f",))}),
    "function_call none": ({"function_call": "none"}, {"tool_choice": ToolChoice("none")}),
    "what the hub has no word for": (
        {"logit_bias": {"5": 1}, "safetySettings": [1], "prediction": None},
        {"extra": {"logit_bias": {"5": 1}, "safetySettings": [1]}},
    ),
    "what asks for nothing": ({"store": False, "modalities": ["text"], "logit_bias": {}}, {}),
}


@pytest.mark.parametrize(("said", "differs"), FIELDS.values(), ids=FIELDS)
def test_fields(said: dict[str, Any], differs: dict[str, Any]):
    expected = {"model": "m", "messages": (Message("user", (Text("hi"),)),), **differs}
    assert read(**said) == ChatRequest(**expected)


# Request: parts -------------------------------------------------------------------------------------------------------

PNG = "data:image/png;base64,aGk="
PARTS: dict[str, tuple[Any, Any]] = {
    "text": ({"type": "text", "text": "a"}, Text("a")),
    "text to be cached": (
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        Text("a", Cache("1h")),
    ),
    "a mere string": ("a", Text("a")),
    "an image": (
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        Blob("image", "image/png", "aGk=", detail="low"),
    ),
    "an image elsewhere": (
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}, "cache_control": {"type": "ephemeral"}},
        Uri("image", "https://a/b.png", cache=Cache()),
    ),
    "an image, as Mistral has it": ({"type": "image_url", "image_url": PNG}, Blob("image", "image/png", "aGk=")),
    "an image, as Responses has it": (
        {"type": "input_image", "image_url": PNG, "detail": "high"},
        Blob("image", "image/png", "aGk=", detail="high"),
    ),
    "an image, as Anthropic has it": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "aGk="}},
        Blob("image", "image/webp", "aGk="),
    ),
    "a document, as Anthropic has it": (
        {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
        Blob("document", "text/plain", "aGk=", name="t"),
    ),
    "an image given before": ({"type": "input_image", "file_id": "f-1"}, File("image", "f-1")),
    "a data URL without base64": (
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg%2F%3E"}},
        Blob("image", "image/svg+xml", "PHN2Zy8+"),
    ),
    "a PDF that is called an image": (
        {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,aGk="}},
        Blob("document", "application/pdf", "aGk="),
    ),
    "sound": (
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        Blob("audio", "audio/wav", "aGk="),
    ),
    "sound of another kind": (
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
        Blob("audio", "audio/mpeg", "aGk="),
    ),
    "sound elsewhere": ({"type": "input_audio", "input_audio": "https://a/b.mp3"}, Uri("audio", "https://a/b.mp3")),
    "a video": ({"type": "video_url", "video_url": {"url": "gs://a/b.mp4"}}, Uri("video", "gs://a/b.mp4")),
    "a file": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
        Blob("document", "application/pdf", "aGk=", name="a.pdf"),
    ),
    "a file in bare base64": (
        {"type": "file", "file": {"filename": "a.txt", "file_data": "aGk="}},
        Blob("document", "text/plain", "aGk=", name="a.txt"),
    ),
    "a file given before": ({"type": "file", "file": {"file_id": "f-1"}}, File("document", "f-1")),
    "a file elsewhere": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://a/a.pdf"}},
        Uri("document", "https://a/a.pdf", "application/pdf", "a.pdf"),
    ),
    "a document": (
        {"type": "document_url", "document_url": "https://a/a.pdf", "document_name": "n"},
        Uri("document", "https://a/a.pdf", name="n"),
    ),
    "a refusal": ({"type": "refusal", "refusal": "no"}, Refusal("no")),
    "a thought of Mistral's": (
        {"type": "thinking", "thinking": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        Reasoning("ab"),
    ),
    "a thought of Anthropic's": (
        {"type": "thinking", "thinking": "a", "signature": "s"},
        Reasoning("a", "s", format="anthropic"),
    ),
    "a thought nobody may read": (
        {"type": "redacted_thinking", "data": "x"},
        Reasoning(opaque="x", format="anthropic"),
    ),
    "a thought of Databricks'": (
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a", "signature": "s"}]},
        Reasoning("a", "s", format="anthropic"),
    ),
}


@pytest.mark.parametrize(("said", "part"), PARTS.values(), ids=PARTS)
def test_parts(said: Any, part: Any):
    role = "assistant" if isinstance(part, Reasoning | Refusal) else "user"
    assert read_messages({"role": role, "content": [said]}) == (Message(role, (part,)),)


# Request: messages ----------------------------------------------------------------------------------------------------


def call(call_id: str | None, name: str = "f", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    identified = {} if call_id is None else {"id": call_id}
    return {**identified, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0}
HIDDEN = {"type": "reasoning.encrypted", "data": "x", "format": "anthropic-claude-v1", "index": 1}

THOUGHTS: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "reasoning_content": ({"reasoning_content": "hm"}, (Reasoning("hm"),)),
    "reasoning": ({"reasoning": "hm"}, (Reasoning("hm"),)),
    "both": ({"reasoning": "hm", "reasoning_content": "hm"}, (Reasoning("hm"),)),
    "nothing": ({"reasoning_content": "", "reasoning_details": [], "thinking_blocks": None}, ()),
    "details": (
        {"reasoning_content": "hm", "reasoning_details": [SIGNED, HIDDEN]},
        (Reasoning("hm", "s", format="anthropic"), Reasoning(opaque="x", format="anthropic")),
    ),
    "details in pieces": (
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "h", "format": "anthropic-claude-v1", "index": 0},
                {"type": "reasoning.text", "text": "m", "format": "anthropic-claude-v1", "index": 0},
                {"type": "reasoning.text", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
            ]
        },
        (Reasoning("hm", "s", format="anthropic"),),
    ),
    "details of OpenAI": (
        {
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "hm", "id": "rs_1", "format": "openai-responses-v1"},
                {"type": "reasoning.encrypted", "data": "x", "id": "rs_1", "format": "openai-responses-v1"},
            ]
        },
        (Reasoning("hm", opaque="x", format="openai"),),
    ),
    "details of others": (
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "format": "xai-responses-v1"}]},
        (Reasoning(opaque="x", format="xai-responses-v1"),),
    ),
    "details nobody signed": (
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "format": "unknown"}]},
        (Reasoning("hm"),),
    ),
    "a signature of nobody": (
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}]},
        (Reasoning("hm", "s", format="anthropic"),),
    ),
    "hidden details beside a text": (
        {"reasoning_content": "hm", "reasoning_details": [HIDDEN]},
        (Reasoning("hm"), Reasoning(opaque="x", format="anthropic")),
    ),
    "LiteLLM's blocks": (
        {
            "reasoning_content": "hm",
            "thinking_blocks": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
            ],
        },
        (Reasoning("hm", "s", format="anthropic"), Reasoning(opaque="x", format="anthropic")),
    ),
    "oddities": ({"reasoning_details": [5, {}, {"text": 5}], "thinking_blocks": [None, {}], "reasoning": {}}, ()),
}


@pytest.mark.parametrize(("said", "thoughts"), THOUGHTS.values(), ids=THOUGHTS)
def test_thoughts_in_all_spellings(said: dict[str, Any], thoughts: tuple[Any, ...]):
    (message,) = read_messages({"role": "assistant", "content": "so", "tool_calls": [call("c")], **said})
    assert message.parts == (*thoughts, Text("so"), ToolCall("c", "f"))


def test_thoughts_in_the_content_are_not_said_twice():
    content = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "so"}]
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s"}]
    (message,) = read_messages({"role": "assistant", "content": content, "reasoning_details": details})
    assert message.parts == (Reasoning("hm", "s", format="anthropic"), Text("so"))


CALL_SIGNATURES: dict[str, dict[str, Any]] = {
    "Google": {"tool_calls": [call("c", extra_content={"google": {"thought_signature": "s"}})]},
    "Vertex": {"tool_calls": [call("c", extra_content={"vertex": {"thought_signature": "s"}})]},
    "LiteLLM": {"tool_calls": [call("c", provider_specific_fields={"thought_signature": "s"})]},
    "OpenRouter": {
        "tool_calls": [call("c")],
        "reasoning_details": [
            {"type": "reasoning.encrypted", "data": "s", "id": "c", "format": "google-gemini-v1", "index": 0}
        ],
    },
}


@pytest.mark.parametrize("said", CALL_SIGNATURES.values(), ids=CALL_SIGNATURES)
def test_a_call_keeps_its_signature(said: dict[str, Any]):
    (message,) = read_messages({"role": "assistant", "content": None, **said})
    assert message.parts == (ToolCall("c", "f", signature="s"),)


def test_calls_and_their_results():
    messages = read_messages(
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "go", "name": "ann"},
        {"role": "assistant", "content": "", "tool_calls": [call("a", "f", '{"x":1}'), call("b", "g", {"y": 2})]},
        {"role": "tool", "tool_call_id": "b", "content": ["B", {"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "tool", "tool_call_id": "a", "content": "A", "is_error": True},
        {"role": "tool", "tool_call_id": "z", "content": None},
    )  # fmt: skip
    assert messages == (
        Message("developer", (Text("be brief"),)),
        Message("user", (Text("go"),), "ann"),
        Message("assistant", (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}'))),
        Message("tool", (ToolCallResponse("b", "g", (Text("B"), Blob("image", "image/png", "aGk="))),)),
        Message("tool", (ToolCallResponse("a", "f", (Text("A"),), failed=True),)),
        Message("tool", (ToolCallResponse("z", "", ()),)),
    )


def test_functions_from_before_there_were_tools():
    messages = read_messages(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "A"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": "B"},
    )
    ids = [part.id for message in messages for part in message.parts if isinstance(part, ToolCall | ToolCallResponse)]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert messages[3].parts == (ToolCallResponse(ids[3], "f", (Text("B"),)),)


def test_calls_without_ids_get_some_and_their_results_find_them():
    messages = read_messages(
        {"role": "assistant", "tool_calls": [call(None, "f"), call(None, "g"), call(None, "f")]},
        {"role": "tool", "tool_name": "g", "content": "G"},
        {"role": "tool", "content": "F1"},
        {"role": "tool", "content": "F2"},
    )
    calls = [part.id for part in messages[0].parts if isinstance(part, ToolCall)]
    results = [message.parts[0] for message in messages[1:]]
    assert len(set(calls)) == 3
    assert [(each.id, each.name) for each in results if isinstance(each, ToolCallResponse)] == [
        (calls[1], "g"),
        (calls[0], "f"),
        (calls[2], "f"),
    ]


MARKERS: dict[str, tuple[dict[str, Any], Any]] = {
    "a message": ({"role": "user", "content": "a"}, Text("a", Cache("5m"))),
    "the last part": ({"role": "user", "content": [{"type": "text", "text": "a"}]}, Text("a", Cache("5m"))),
    "a call": ({"role": "assistant", "tool_calls": [call("c")]}, ToolCall("c", "f", cache=Cache("5m"))),
    "a result": (
        {"role": "tool", "tool_call_id": "c", "content": "a"},
        ToolCallResponse("c", "", (Text("a"),), cache=Cache("5m")),
    ),
}


@pytest.mark.parametrize(("said", "part"), MARKERS.values(), ids=MARKERS)
def test_a_marker_on_the_message_is_one_on_its_last_part(said: dict[str, Any], part: Any):
    (message,) = read_messages({**said, "cache_control": {"type": "ephemeral", "ttl": "5m"}})
    assert message.parts == (part,)


def test_what_a_message_has_besides_is_told_by_its_place():
    request = read(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "a", "prompt_cache_breakpoint": True}]},
            {"role": "assistant", "content": "b", "prefix": True, "annotations": [], "audio": None, "id": "x"},
        ]
    )
    assert request.extra == {"messages[0].content[0].prompt_cache_breakpoint": True, "messages[1].prefix": True}


WRONG: dict[str, tuple[dict[str, Any], str | None]] = {
    "no messages": ({"messages": []}, "messages"),
    "messages of a wrong type": ({"messages": {}}, "messages"),
    "a message of a wrong type": ({"messages": ["a"]}, "messages[0]"),
    "no role": ({"messages": [{"content": "a"}]}, "messages[0].role"),
    "a role unheard of": ({"messages": [{"role": "goose", "content": "a"}]}, "messages[0].role"),
    "a role of a wrong type": ({"messages": [{"role": [], "content": "a"}]}, "messages[0].role"),
    "content of a wrong type": ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    "a part of a wrong type": ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
    "a part unheard of": (
        {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
        "messages[0].content[0].type",
    ),
    "an image without a URL": (
        {"messages": [{"role": "user", "content": ["a", {"type": "image_url", "image_url": {"x": 1}}]}]},
        "messages[0].content[1].image_url",
    ),
    "a text without text": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
    ),
    "calls of a wrong type": ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
    "a call without a function": (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]},
        "messages[0].tool_calls[0].function",
    ),
    "a call without a name": (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]},
        "messages[0].tool_calls[0].function.name",
    ),
    "temperature": ({"temperature": "hot"}, "temperature"),
    "temperature true": ({"temperature": True}, "temperature"),
    "max_tokens": ({"max_tokens": 1.5}, "max_tokens"),
    "stop": ({"stop": [1]}, "stop"),
    "tools": ({"tools": {}}, "tools"),
    "a tool": ({"tools": [{"type": "function"}]}, "tools[0].function"),
    "a tool without a name": ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    "parameters": ({"functions": [{"name": "f", "parameters": 5}]}, "functions[0].parameters"),
    "tool_choice": ({"tool_choice": "perhaps"}, "tool_choice"),
    "tool_choice without a name": ({"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
    "response_format": ({"response_format": {"type": "xml"}}, "response_format.type"),
    "a schema": ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    "metadata": ({"metadata": "a"}, "metadata"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "param"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_told_with_its_place(said: dict[str, Any], param: str | None):
    with pytest.raises(CallerError) as caught:
        read(**said)
    assert (caught.value.status, caught.value.param) == (400, param)


ESCAPED = {"type": "image_url", "image_url": {"url": "data:image/png," + "%41" * (MOST_ESCAPES + 1)}}
TOO_MUCH: dict[str, tuple[dict[str, Any], str]] = {
    "messages": ({"messages": [{"role": "user"}] * (MOST_PARTS + 1)}, "too_many_parts"),
    "parts": ({"messages": [{"role": "user", "content": [""] * MOST_PARTS}]}, "too_many_parts"),
    "calls": ({"messages": [{"role": "assistant", "tool_calls": [{}] * MOST_PARTS}]}, "too_many_parts"),
    "tools": ({"tools": [{}] * (MOST_TOOLS + 1)}, "too_many_tools"),
    "functions": ({"functions": [{}] * (MOST_TOOLS + 1)}, "too_many_tools"),
    "names of tools": (
        {"tool_choice": {"type": "allowed_tools", "tools": [{"name": "a"}] * (MOST_TOOLS + 1)}},
        "too_many_tools",
    ),
    "escapes": ({"messages": [{"role": "user", "content": [ESCAPED]}]}, "invalid_value"),
}


@pytest.mark.parametrize(("said", "code"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_would_take_too_long_is_refused(said: dict[str, Any], code: str):
    with pytest.raises(CallerError) as caught:
        read(**said)
    assert (caught.value.status, caught.value.code) == (400, code)


def test_a_url_with_a_head_of_any_length():
    url = "data:image/png" + ";" * 2**20 + "base64,QQ=="
    (said,) = read_messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})
    assert said.parts == (Blob("image", "image/png", "QQ=="),)


def test_results_without_ids_answer_the_calls_in_order():
    """Of their tool first, else of any; a call that is made again is open again."""
    calls = [("a", "f"), ("b", "g"), ("c", "f"), ("a", "g")]
    made = [{"id": name, "function": {"name": tool, "arguments": "{}"}} for name, tool in calls]
    results = [{"role": "tool", "name": tool, "content": ""} for tool in ("g", "h", "g", "f")]
    said = read(messages=[{"role": "assistant", "tool_calls": made}, *results])
    assert [part.id for message in said.messages[1:] for part in message.parts] == ["b", "c", "a", "call_4"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'{"model": 1e999}', b"[" * 30000])
def test_what_is_no_request_is_the_callers_mistake(body: bytes):
    with pytest.raises(CallerError):
        CHAT.decode_request(body)


def test_half_a_character_is_no_reason_to_refuse():
    said = CHAT.decode_request(b'{"model":"m","messages":[{"role":"user","content":"a\\ud83e"}]}')
    assert said.messages[0].parts == (Text("a\ufffd"),)


@pytest.mark.parametrize("body", cases("openai_chat", "request.json"))
def test_the_corpus_can_be_read(body: bytes):
    if json.loads(body.decode(errors="replace"))["messages"]:
        assert CHAT.decode_request(body).messages


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["role", "content", "type", "text", "tool_calls", "function", "name", "id", "image_url", "url", "thinking",
         "reasoning_details", "summary", "signature", "data", "index", "file", "cache_control", "extra_content"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(message=JSON, part=JSON, field=st.sampled_from(["tools", "tool_choice", "thinking", "reasoning", "stop", "n"]))
@examples(max_examples=400)
def test_whatever_is_sent_is_read_or_refused(message: Any, part: Any, field: str):
    fields = part if isinstance(part, dict) else {"type": "text", "text": part}
    sent = {"role": "assistant", **message} if isinstance(message, dict) else message
    for said in ({"messages": [sent]}, {"messages": [{"role": "user", "content": [fields, part]}]}, {field: part}):
        with suppress(CallerError):
            read(**said)


def test_reading_is_linear():
    def seconds(turns: int) -> float:
        turn = [
            {"role": "assistant", "tool_calls": [call(None)], "reasoning_content": "hm"},
            {"role": "tool", "content": "done"},
        ]
        body = json.dumps({"model": "m", "messages": turn * turns}).encode()
        return min(_took(lambda: CHAT.decode_request(body)) for _ in range(5))

    assert seconds(8000) < 24 * seconds(1000) + 0.02


def _took(work: Any) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


# Answer ---------------------------------------------------------------------------------------------------------------

USAGE = Usage(input_tokens=10, output_tokens=5, cached_tokens=4, cache_write_tokens=1, reasoning_tokens=2)
THOUGHT = Reasoning("hm", "s", format="anthropic")
REDACTED = Reasoning(opaque="x", format="anthropic")
SUMMARY = Reasoning("hm", opaque="x", format="openai")

ANSWERS: dict[str, tuple[Any, ...]] = {
    "text": (Text("hello"), Text(" there")),
    "nothing": (),
    "a call": (ToolCall("c", "f", '{"a":1}'),),
    "a call without arguments": (ToolCall("c", "f", ""),),
    "a call without an id": (ToolCall("", "f", "{}"), ToolCall("", "f", "{}")),
    "text and calls": (Text("so"), ToolCall("c", "f", "{}"), ToolCall("d", "g", "[1]")),
    "a refusal": (Refusal("I can't"),),
    "thoughts": (Reasoning("hm"), Text("so")),
    "signed thoughts": (THOUGHT, REDACTED, Reasoning("more", "t", format="anthropic"), Text("so")),
    "thoughts of OpenAI": (SUMMARY, Text("so")),
    "thoughts of others": (Reasoning("hm", opaque="x", format="xai-responses-v1"), Text("so")),
    "thoughts and a call": (THOUGHT, ToolCall("c", "f", "{}")),
    "a signed call": (Reasoning("hm"), ToolCall("c", "f", "{}", "s")),
}


def answered(parts: tuple[Any, ...]) -> dict[str, Any]:
    reason = "tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "stop"
    answer = ChatResponse(choices=(Choice(parts, reason),), usage=USAGE)
    return json.loads(CHAT.encode_answer(answer, id="1", model="m", created=5))


def events_of(parts: tuple[Any, ...], choice: int = 0) -> list[ChatEvent]:
    events: list[ChatEvent] = []
    place = 0
    for part in parts:
        if isinstance(part, Text):
            events += [TextDelta(letter, choice) for letter in part.content]
        elif isinstance(part, Refusal):
            events += [RefusalDelta(letter, choice) for letter in part.content]
        elif isinstance(part, Reasoning):
            events += [ReasoningDelta(letter, choice) for letter in part.content]
            events.append(ReasoningSealed(part, choice))
        elif isinstance(part, ToolCall):
            events.append(CallBegan(place, part.id, part.name, part.signature, choice))
            events += [CallDelta(place, letter, choice) for letter in part.arguments]
            place += 1
    return [*events, Finished("tool_calls" if place else "stop", choice)]


def streamed(events: list[ChatEvent], *, usage: bool = True, cost: float | None = None) -> list[Any]:
    encoder = CHAT.stream_encoder(id="1", model="m", created=5, usage=usage)
    out = b"".join(map(encoder.feed, events)) + encoder.end(USAGE, cost)
    assert out.endswith(DONE)
    frames = [frame.data for frame in Splitter().feed(out) if frame.data]
    return [json.loads(data) for data in frames[:-1]]


def assembled(chunks: list[Any]) -> dict[str, Any]:
    """By the official SDK."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return json.loads(state.get_final_completion().model_dump_json(exclude_unset=True))


@pytest.mark.parametrize("parts", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_one_to_the_sdk(parts: tuple[Any, ...]):
    said = answered(parts)
    read_by_sdk = ChatCompletion.model_validate(said)
    assert json.loads(read_by_sdk.model_dump_json(exclude_unset=True)) == said
    assert (said["id"], said["object"], said["created"], said["model"]) == ("chatcmpl-1", "chat.completion", 5, "m")
    assert said["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
    }


@pytest.mark.parametrize("parts", ANSWERS.values(), ids=ANSWERS)
def test_a_stream_put_together_is_the_whole_answer(parts: tuple[Any, ...]):
    whole, put_together = answered(parts), assembled(streamed(events_of(parts)))
    for said in (whole, put_together):
        message = said["choices"][0]["message"]
        for place, made in enumerate(message.get("tool_calls") or ()):
            assert made.pop("index", place) == place
            made["function"].pop("parsed_arguments", None)
        said["choices"][0]["message"] = {key: value for key, value in message.items() if value}
    assert put_together["choices"] == whole["choices"]
    assert put_together["usage"] == whole["usage"]


@pytest.mark.parametrize("parts", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_a_client_that_sends_an_answer_back_loses_nothing(parts: tuple[Any, ...], way: str):
    said = answered(parts) if way == "whole" else assembled(streamed(events_of(parts)))
    (message,) = read_messages(said["choices"][0]["message"])
    expected = [part for part in parts if not isinstance(part, Text)]
    got = [part for part in message.parts if not isinstance(part, Text)]
    for part, back in zip(expected, got, strict=True):
        if isinstance(part, ToolCall):
            assert isinstance(back, ToolCall)
            assert (back.id == part.id) or (not part.id and back.id.startswith("call_"))
            assert (back.name, back.arguments, back.signature) == (part.name, part.arguments or "{}", part.signature)
        else:
            assert back == part
    texts = ["".join(part.content for part in every if isinstance(part, Text)) for every in (parts, message.parts)]
    assert texts[0] == texts[1]
    assert read(messages=[said["choices"][0]["message"]]).extra == {}


def test_content_is_null_where_only_a_tool_is_called():
    assert answered(ANSWERS["a call"])["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
    }
    assert answered(())["choices"][0]["message"]["content"] == ""


def test_missing_ids_are_made_alike_each_time_and_unlike_each_other():
    ids = [
        [made["id"] for made in answered(ANSWERS["a call without an id"])["choices"][0]["message"]["tool_calls"]]
        for _ in "ab"
    ]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2
    chunks = streamed(events_of(ANSWERS["a call without an id"]))
    deltas = [made for chunk in chunks for each in chunk["choices"] for made in each["delta"].get("tool_calls", ())]
    assert [made["id"] for made in deltas if "id" in made] == ids[0]


def test_the_vendors_own_name_for_an_answer_is_kept():
    answer = ChatResponse(id="msg_1", model="claude", choices=(Choice((Text("a"),), "stop", {"content": []}),))
    said = json.loads(CHAT.encode_answer(answer, id="1", model="m", created=5))
    assert (said["id"], said["model"]) == ("msg_1", "claude")
    assert said["choices"][0]["logprobs"] == {"content": []}
    assert "usage" not in said
    chunks = streamed([Began("msg_1", "claude"), *events_of((Text("a"),))])
    assert {(chunk["id"], chunk["model"]) for chunk in chunks} == {("msg_1", "claude")}


def test_pictures_and_sound():
    parts = (Blob("image", "image/png", "aGk="), Blob("audio", "audio/wav", "aGk="))
    message = answered(parts)["choices"][0]["message"]
    assert message["images"] == [{"type": "image_url", "image_url": {"url": PNG}}]
    assert message["audio"]["data"] == "aGk="


def test_the_chunks_of_a_call():
    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}
        return {**head, "choices": [choice], "usage": None}

    events = [TextDelta("so"), CallBegan(0, "c", "f"), CallDelta(0, '{"a"'), CallDelta(0, ""), CallDelta(0, ":1}")]
    begun = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    chunks = streamed([*events, Finished("tool_calls")], cost=0.5)
    assert chunks[:-1] == [
        chunk({"role": "assistant", "content": "so"}),
        chunk({"tool_calls": [begun]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        chunk({}, "tool_calls"),
    ]
    assert chunks[-1]["choices"] == []
    assert (chunks[-1]["usage"]["total_tokens"], chunks[-1]["usage"]["cost"]) == (15, 0.5)


def test_usage_is_told_only_to_who_asked():
    assert all("usage" not in chunk for chunk in streamed(events_of((Text("a"),)), usage=False, cost=0.5))
    encoder = CHAT.stream_encoder(id="1", model="m", created=5, usage=True)
    assert encoder.end(None, None) == DONE


def test_choices_are_told_apart():
    first, second = events_of((Text("ab"),)), events_of((ToolCall("c", "f", ""),), 1)
    chunks = streamed([event for pair in zip(first, second, strict=False) for event in pair] + first[2:])
    put_together = assembled(chunks)["choices"]
    assert [each["index"] for each in put_together] == [0, 1]
    assert put_together[0]["message"]["content"] == "ab"
    assert put_together[1]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert [each["finish_reason"] for each in put_together] == ["stop", "tool_calls"]
    roles = [choice["index"] for chunk in chunks for choice in chunk["choices"] if "role" in choice["delta"]]
    assert sorted(roles) == [0, 1]


def test_an_answer_is_finished_once():
    chunks = streamed([TextDelta("a"), Finished("stop"), Finished("stop")])
    assert [each["finish_reason"] for chunk in chunks for each in chunk["choices"]] == [None, "stop"]


def test_all_chunks_share_what_identity_says():
    encoder = CHAT.stream_encoder(id="1", model="m", created=5, usage=False)
    encoder.feed(Began("a", ""))
    data = json.loads(encoder.feed(TextDelta("a")).removeprefix(b"data: "))
    assert (
        encoder.identity()
        == {key: data[key] for key in ("id", "created", "model")}
        == {"id": "a", "created": 5, "model": "m"}
    )
