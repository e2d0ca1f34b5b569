"""Text-generation-inference's own format: a conversation as one prompt, its continuation as the answer."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.abilities import UNKNOWN
from gateway.chat import (
    Blob,
    Cache,
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
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallResponse,
    Uri,
    Usage,
)
from gateway.dialects import tgi
from gateway.errors import Fault, FaultKind


def said(role: Any, *parts: Any) -> Message:
    return Message(role, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def asked(*messages: Message, **settings: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = ChatRequest(model="endpoint", messages=messages or (said("user", "hi"),), **settings)
    encoded = tgi.encode_request(request, UNKNOWN)
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(encoded.body))
    return body, encoded.dropped


def test_a_conversation_is_a_prompt():
    body, dropped = asked(
        said("system", "Be brief."),
        said("user", "What is", "the weather?"),
        said("assistant", Reasoning("hm"), ToolCall("c", "look", '{"at": "sky"}')),
        Message("tool", (ToolCallResponse("c", "look", (Text("sunny"),)),)),
        said("user", Blob("image", "image/png", "AA")),
    )
    assert body["inputs"] == (
        "System: Be brief.\n\nUser: What is\nthe weather?\n\n"
        'Assistant: look({"at": "sky"})\n\nTool: sunny\n\nAssistant:'
    )
    assert dropped == ("messages[2].reasoning_content", "messages[4].content[0]")


ALWAYS = {"return_full_text": False, "details": True}
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "nothing": ({}, {}, []),
    "as it is called there": (
        {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 3, "seed": 1, "stop": ("a",)},
        {
            "max_new_tokens": 9,
            "temperature": 0.5,
            "do_sample": True,
            "top_p": 0.9,
            "top_k": 3,
            "seed": 1,
            "stop": ["a"],
        },
        [],
    ),
    "no chance": ({"temperature": 0, "top_p": 1}, {"do_sample": False}, []),
    "a schema": (
        {"output": Output({"type": "object"})},
        {"grammar": {"type": "json", "value": {"type": "object"}}},
        [],
    ),
    "its own": ({"extra": {"repetition_penalty": 1.1, "logit_bias": {}}}, {"repetition_penalty": 1.1}, ["logit_bias"]),
    "what it does not know": (
        {"tools": (Tool("f"),), "output": Output(), "choices": 2, "user": "u", "stop": ("a", "b", "c", "d", "e")},
        {"stop": ["a", "b", "c", "d"]},
        ["stop", "response_format", "tools", "n", "user"],
    ),
}


@pytest.mark.parametrize(("settings", "parameters", "dropped"), SETTINGS.values(), ids=SETTINGS)
def test_settings(settings: dict[str, Any], parameters: dict[str, Any], dropped: list[str]):
    body, named = asked(**settings)
    assert body["parameters"] == {**ALWAYS, **parameters}
    assert "stream" not in body
    assert list(named) == dropped


def test_what_a_prompt_cannot_hold_is_named():
    message = Message("user", (Text("hi", Cache()), Uri("image", "https://a.example/x.png")), name="ann")
    assert asked(message)[1] == (
        "messages[0].name",
        "messages[0].content[0].cache_control",
        "messages[0].content[1]",
    )
    # So nothing is fetched for it.
    assert "https://a.example/x.png".startswith(tgi.REFERS)


def test_a_stream_is_asked_for():
    assert asked(stream=True)[0]["stream"] is True


@pytest.mark.parametrize(
    ("body", "text", "reason", "usage"),
    [
        (b'[{"generated_text": " hi"}]', " hi", "stop", None),
        (b'{"generated_text": ""}', "", "stop", None),
        (
            b'[{"generated_text":"a","details":{"finish_reason":"length","generated_tokens":5,"prefill":[{"id":1}]}}]',
            "a",
            "length",
            Usage(input_tokens=1, output_tokens=5),
        ),
    ],
)
def test_a_whole_answer(body: bytes, text: str, reason: str, usage: Usage | None):
    answer = tgi.decode_answer(body, 0.0)
    assert isinstance(answer, ChatResponse)
    assert answer.choices[0].parts == ((Text(text),) if text else ())
    assert (answer.choices[0].finish_reason, answer.usage) == (reason, usage)


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b"<html>", b'{"error": "Model is overloaded", "error_type": "overloaded"}']
)
def test_no_answer(body: bytes):
    assert isinstance(tgi.decode_answer(body, 0.0), Fault)


def events(*said: Any, size: int | None = None) -> list[Any]:
    raw = b"".join(
        b"data:" + (each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n\n" for each in said
    )
    decoder, step = tgi.stream_decoder(), size or len(raw)
    found = [event for at in range(0, len(raw), step) for event in decoder.feed(raw[at : at + step], 0.0)]
    return found + decoder.end(0.0)


@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_stream(size: int | None):
    details = {"finish_reason": "eos_token", "generated_tokens": 2, "input_length": 7}
    assert events(
        {"index": 1, "token": {"id": 1, "text": "h", "special": False}, "generated_text": None, "details": None},
        {"index": 2, "token": {"id": 2, "text": "i", "special": False}, "generated_text": None, "details": None},
        {"index": 3, "token": {"id": 2, "text": "</s>", "special": True}, "generated_text": "hi", "details": details},
        size=size,
    ) == [
        TextDelta("h"),
        TextDelta("i"),
        Finished("stop"),
        Counted(Usage(input_tokens=7, output_tokens=2)),
        Ended(),
    ]


def test_what_goes_wrong_in_a_stream():
    damaged, failed = events(b"{", {"error": "Request failed during generation", "error_type": "generation"})
    assert damaged == Damaged()
    assert isinstance(failed, Failed)
    assert failed.fault.kind is FaultKind.GARBLED
