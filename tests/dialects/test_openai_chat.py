"""OpenAI chat: what is read off a request, a conversation, an answer."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import Facts, Usage
from gateway.dialects import DIALECTS
from gateway.dialects.conversation import NO_CONVERSATION, Conversation
from gateway.dialects.glimpse import Whole
from gateway.dialects.openai_chat import read_usage
from gateway.errors import CallerError, Fault, FaultKind
from gateway.routing.turns import Turn, read

CHAT = DIALECTS["openai_chat"]
EMBEDDINGS = DIALECTS["openai_embeddings"]

# Request --------------------------------------------------------------------------------------------------------------

PEEKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "the least": ({"model": "m"}, {}),
    "stream": ({"model": "m", "stream": True}, {"stream": True}),
    "stream null": ({"model": "m", "stream": None}, {}),
    "usage": (
        {"model": "m", "stream": True, "stream_options": {"include_usage": True}},
        {"stream": True, "wants_usage": True},
    ),
    "usage refused": ({"model": "m", "stream_options": {"include_usage": False}}, {}),
    "no stream options": ({"model": "m", "stream_options": None}, {}),
    "tools": ({"model": "m", "tools": [{"type": "function"}]}, {"tools": True}),
    "no tools": ({"model": "m", "tools": []}, {}),
    "functions": ({"model": "m", "functions": [{"name": "f"}]}, {"tools": True}),
    "JSON mode": ({"model": "m", "response_format": {"type": "json_object"}}, {"structured": True}),
    "a schema": ({"model": "m", "response_format": {"type": "json_schema", "json_schema": {}}}, {"structured": True}),
    "text": ({"model": "m", "response_format": {"type": "text"}}, {}),
    "choices": ({"model": "m", "n": 3}, {"choices": 3, "parameters": {"choice.count": 3}}),
    "choices null": ({"model": "m", "n": None}, {}),
    "messages are not ours to judge": ({"model": "m", "messages": 5, "temperature": "hot"}, {}),
}


@pytest.mark.parametrize(("asked", "facts"), PEEKS.values(), ids=PEEKS)
def test_peek(asked: Any, facts: dict[str, Any]):
    body = json.dumps(asked).encode()
    assert CHAT.peek(body) == Facts(model="m", size=len(body), **facts)


def test_a_path_may_name_the_model():
    assert CHAT.peek(b"{}", "dep").model == "dep"
    assert CHAT.peek(b'{"model":"m"}', "dep").model == "m"
    assert EMBEDDINGS.peek(b'{"input":"x"}', "dep").model == "dep"


REFUSED: dict[str, tuple[bytes, str, str | None]] = {
    "nothing": (b"", "invalid_json", None),
    "text": (b"hello", "invalid_json", None),
    "cut off": (b'{"model":"m"', "invalid_json", None),
    "more after it": (b'{"model":"m"} x', "invalid_json", None),
    "nested too deep": (b'{"model":"m","x":' + b"[" * 50_000, "invalid_json", None),
    "half a character": (b'{"model":"\\ud83e"}', "invalid_json", None),
    "not UTF-8": (b'{"model":"\xff"}', "invalid_json", None),
    "single quotes": (b"{'model':'m'}", "invalid_json", None),
    "NaN": (b'{"model":"m","temperature":NaN}', "invalid_json", None),
    "a list": (b"[]", "invalid_type", None),
    "null": (b"null", "invalid_type", None),
    "a number": (b"5", "invalid_type", None),
    "no model": (b'{"messages":[]}', "missing_model", "model"),
    "an empty model": (b'{"model":""}', "missing_model", "model"),
    "a null model": (b'{"model":null}', "missing_model", "model"),
    "a model that is a number": (b'{"model":5}', "invalid_type", "model"),
    "a stream that is text": (b'{"model":"m","stream":"yes"}', "invalid_type", "stream"),
    "stream options that are a list": (b'{"model":"m","stream_options":[]}', "invalid_type", "stream_options"),
    "tools that are an object": (b'{"model":"m","tools":{}}', "invalid_type", "tools"),
    "choices that are text": (b'{"model":"m","n":"2"}', "invalid_type", "n"),
}


@pytest.mark.parametrize(("body", "code", "param"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_what_cannot_be_read_is_the_callers_fault(dialect, body: bytes, code: str, param: str | None):
    if dialect is EMBEDDINGS and param not in (None, "model"):
        return
    if param is not None and dialect not in (CHAT, EMBEDDINGS):
        return  # others have fields of their own
    if code == "missing_model":
        body = body.replace(b"}", b',"input":"x"}')
    with pytest.raises(CallerError) as caught:
        dialect.peek(body)
    error = caught.value
    assert (error.status, error.code, error.param, error.origin) == (400, code, param, "caller")
    assert error.type == "invalid_request_error"
    assert error.message


def test_embeddings_need_an_input():
    with pytest.raises(CallerError, match="input") as caught:
        EMBEDDINGS.peek(b'{"model":"m"}')
    assert (caught.value.code, caught.value.param) == ("missing_input", "input")
    facts = EMBEDDINGS.peek(b'{"model":"m","input":["a"]}')
    assert (facts.operation, facts.model) == ("embeddings", "m")


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_peek_raises_nothing_else(body: bytes):
    for dialect in DIALECTS.values():
        with contextlib.suppress(CallerError):
            dialect.peek(body)
        assert isinstance(dialect.conversation(body), Conversation)


# Turns ----------------------------------------------------------------------------------------------------------------

LONG = "All went well. " * 60


def turns_of(body: bytes) -> tuple[Turn, ...]:
    return read(CHAT.conversation(body)).turns


RESULTS: dict[str, tuple[Any, bool]] = {
    "an error of the agent": ("The tool call returned the following error:\n-32602: no such tool", True),
    "an error": ("Error: no such file", True),
    "an error on its own line": ("Error\nno such file", True),
    "case does not matter": ("ERROR: no such file", True),
    "a traceback": ("Traceback (most recent call last):\n  File …", True),
    "leading space": ("\n  Error: no such file", True),
    "a shell's last line": ("cc: no input files\nCommand exited with code 1", True),
    "an exit code": ("make: *** [all] Error\nexit code: 2", True),
    "an exit code at the head": ("Exit code 127\nfoo: not found" + LONG, True),
    "an exit code with a full stop": (LONG + "The process exited with code 3.", True),
    "an exit status": (LONG + "\nexit status 1\n", True),
    "a negative code": ("exit code -9", True),
    "success false": ('{"success": false, "reason": "x"}', True),
    "ok false": ('{"id":1,"ok":false}', True),
    "is_error": ('{"is_error": true, "content": "x"}', True),
    "isError": ('{"content":"x","isError":true}', True),
    "in parts": ([{"type": "text", "text": "Error: no"}, {"type": "image_url"}], True),
    "all well": ("42 geese", False),
    "nothing": ("", False),
    "null": (None, False),
    "exit code 0": ("done\nexit code: 0", False),
    "exited with code 0": (LONG + "Command exited with code 0", False),
    "success true": ('{"success": true}', False),
    "a file that mentions errors": (LONG + "Error: this is in a file\n" + LONG, False),
    "a file that mentions exit codes": (LONG + "exit code 1\n" + LONG, False),
    "an exit code where the head ends": ("x" * 389 + "exit code 1" + LONG, False),
    "an error where the tail begins": ("x" * 500 + "Error: y" + "z" * 392, False),
    "errors as a word": ("Errors: none", False),
    "a field of some object": ('{"items":[{"success":false}]}', False),
    "parts without text": ([{"type": "image_url"}, 5, {"text": 5}], False),
}


@pytest.mark.parametrize(("content", "failed"), RESULTS.values(), ids=RESULTS)
def test_a_failed_tool_result(content: Any, failed: bool):
    messages = [{"role": "assistant", "tool_calls": []}, {"role": "tool", "content": content}]
    [turn] = turns_of(json.dumps({"messages": messages}).encode())
    assert turn.failed == failed
    assert bool(turn.evidence) == failed
    assert len(turn.evidence) <= 80


CONVERSATIONS: dict[str, tuple[list[Any], str]] = {
    "nothing said": ([{"role": "user", "content": "hi"}], ""),
    "answers": ([{"role": "assistant"}, {"role": "user"}, {"role": "assistant"}, {"role": "user"}], ".."),
    "an answer that is to go on": ([{"role": "assistant"}, {"role": "user"}, {"role": "assistant"}], "."),
    "one of two results failed": (
        [{"role": "assistant"}, {"role": "tool", "content": "Error: x"}, {"role": "tool", "content": "fine"}],
        "x",
    ),
    "the turn it belongs to": (
        [{"role": "assistant"}, {"role": "tool", "content": "Error: x"}, {"role": "assistant"}, {"role": "user"}],
        "x.",
    ),
    "a result without a turn": (
        [{"role": "tool", "content": "Error: x"}, {"role": "assistant"}, {"role": "user"}],
        ".",
    ),
    "the user may write Error": ([{"role": "assistant"}, {"role": "user", "content": "Error: x"}], "."),
    "odd messages": ([5, None, {"role": "assistant"}, {"role": ["tool"]}, {"role": "user"}, []], "."),
}


@pytest.mark.parametrize(("messages", "turns"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_turns(messages: list[Any], turns: str):
    found = turns_of(json.dumps({"messages": messages}).encode())
    assert "".join("x" if turn.failed else "." for turn in found) == turns


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{}", b'{"messages":5}', b'{"messages":[', b'{"messages":"\xff"}'])
def test_a_conversation_that_cannot_be_read_has_no_turns(body: bytes):
    assert turns_of(body) == ()
    assert EMBEDDINGS.conversation(body) == NO_CONVERSATION


def test_the_evidence_is_kept():
    messages = [{"role": "assistant"}, {"role": "tool", "content": "no rule\nCommand exited with code 2\n"}]
    [turn] = turns_of(json.dumps({"messages": messages}).encode())
    assert turn.evidence == "Command exited with code 2"


# Answers --------------------------------------------------------------------------------------------------------------

USAGES: dict[str, tuple[Any, Usage | None]] = {
    "none": (None, None),
    "a list": ([], None),
    "empty": ({}, Usage()),
    "plain": ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, Usage(input_tokens=3, output_tokens=2)),
    "cached": (
        {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}},
        Usage(input_tokens=3, cached_tokens=2),
    ),
    "cached at DeepSeek": ({"prompt_tokens": 3, "prompt_cache_hit_tokens": 2}, Usage(input_tokens=3, cached_tokens=2)),
    "written to a cache": ({"prompt_tokens_details": {"cache_write_tokens": 2}}, Usage(cache_write_tokens=2)),
    "reasoning": (
        {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}},
        Usage(output_tokens=9, reasoning_tokens=7),
    ),
    "null details": (
        {"prompt_tokens": 3, "prompt_tokens_details": None, "completion_tokens_details": None},
        Usage(input_tokens=3),
    ),
    "odd values": ({"prompt_tokens": "3", "completion_tokens": -1, "prompt_tokens_details": [1]}, Usage()),
    "fractions": ({"prompt_tokens": 3.5}, Usage()),
}


@pytest.mark.parametrize(("said", "usage"), USAGES.values(), ids=USAGES)
def test_usage(said: Any, usage: Usage | None):
    assert read_usage(said) == usage


WHOLE: dict[str, tuple[bytes, Any]] = {
    "an answer": (b'{"choices":[{"finish_reason":"stop"}]}', Whole(None, ("stop",))),
    "with usage": (
        b'{"choices":[{"finish_reason":"length"}],"usage":{"prompt_tokens":1}}',
        Whole(Usage(input_tokens=1), ("length",)),
    ),
    "null error": (b'{"error":null,"choices":[{"finish_reason":"stop"}]}', Whole(None, ("stop",))),
    "no reason": (b'{"choices":[{}]}', Whole(None, (None,))),
    "no choices": (b'{"choices":[]}', Whole(None)),
    "not JSON": (b"<html>", FaultKind.GARBLED),
    "cut off": (b'{"choices":[{"finish_reason":"stop"}', FaultKind.GARBLED),
    "not UTF-8": (b'{"choices":[{"message":{"content":"\xff"}}],"error":{"x":1}}', FaultKind.GARBLED),
    "nested too deep": (b'{"choices":' + b"[" * 50_000, FaultKind.GARBLED),
    "a list": (b"[]", FaultKind.GARBLED),
    "nothing": (b"", FaultKind.GARBLED),
    "null": (b"null", FaultKind.GARBLED),
    "another object": (b'{"id":1}', FaultKind.GARBLED),
    "an error": (b'{"error":{"message":"m","code":429}}', FaultKind.RATE_LIMITED),
    "an error beside choices": (
        b'{"choices":[],"error":{"message":"m","type":"server_error"}}',
        FaultKind.SERVER_ERROR,
    ),
    "an error object": (b'{"object":"error","message":"m","code":503}', FaultKind.OVERLOADED),
    "a flat error": (b'{"code":401,"message":"no"}', FaultKind.BAD_CREDENTIALS),
    "a detail": (b'{"detail":"model is overloaded"}', FaultKind.OVERLOADED),
    "finish_reason error": (b'{"choices":[{"finish_reason":"error"}]}', FaultKind.SERVER_ERROR),
}


@pytest.mark.parametrize(("body", "expected"), WHOLE.values(), ids=WHOLE)
def test_a_whole_answer(body: bytes, expected: Any):
    read = CHAT.read_whole(body, 0.0)
    assert (read.kind if isinstance(read, Fault) else read) == expected


EMBEDDED: dict[str, tuple[bytes, Any]] = {
    "vectors": (b'{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":2}}', Whole(Usage(input_tokens=2))),
    "none": (b'{"data":[]}', Whole(None)),
    "an error": (b'{"error":{"message":"m","code":"rate_limit_exceeded"}}', FaultKind.RATE_LIMITED),
    "an error, not UTF-8": (b'{"error":{"message":"\xff"}}', FaultKind.GARBLED),
    "no data": (b"{}", FaultKind.GARBLED),
    "not JSON": (b"oops", FaultKind.GARBLED),
}


@pytest.mark.parametrize(("body", "expected"), EMBEDDED.values(), ids=EMBEDDED)
def test_embeddings(body: bytes, expected: Any):
    read = EMBEDDINGS.read_whole(body, 0.0)
    assert (read.kind if isinstance(read, Fault) else read) == expected


def test_errors_in_our_own_words():
    assert CHAT.error_body({"message": "m"}) == b'{"error":{"message":"m"}}'
    assert CHAT.error_frame({"message": "m"}) == b'data: {"error":{"message":"m"}}\n\n'
