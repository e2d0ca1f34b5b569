"""What a planner is asked of a request, and the plan put into one: as bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.dialects import DIALECTS
from gateway.dialects.openai_chat import decode_request, peek
from gateway.dialects.openai_planning import noted, planning

CALL = {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"command": "ls"}'}}
TOOL = {
    "type": "function",
    "function": {"name": "shell", "description": "Runs it.", "parameters": {"type": "object", "properties": {}}},
}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def body(messages: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": messages, **fields}, indent=1).encode()


def asked(messages: Any, **fields: Any) -> dict[str, Any]:
    made = planning(body(messages, **fields), "Plan it.", "Now.")
    assert made is not None
    return json.loads(made)


def said(messages: Any, **fields: Any) -> list[tuple[str, Any]]:
    return [(each["role"], each["content"]) for each in asked(messages, **fields)["messages"]]


# --- the planner's request


def test_nothing_can_be_called_and_nothing_is_inherited() -> None:
    fields = {
        "tools": [TOOL],
        "tool_choice": "required",
        "parallel_tool_calls": True,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        "n": 3,
        "temperature": 0.2,
        "max_tokens": 20,
        "stop": ["x"],
        "logprobs": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": "ann",
    }
    made = asked([{"role": "user", "content": "hi"}], **fields)
    assert sorted(made) == ["messages", "model", "stream", "stream_options", "user"]
    facts = peek(msgspec.json.encode(made))
    assert (facts.stream, facts.wants_usage, facts.tools, facts.structured, facts.choices) == (
        True, True, False, False, 1
    )  # fmt: skip


def test_the_agent_and_its_tools_are_told_as_information() -> None:
    messages = [
        {"role": "system", "content": "You are an agent."},
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        },
        {"role": "user", "content": "Fix it."},
    ]
    tools = [TOOL, {"type": "web_search"}, {"type": "function", "function": {"name": "bare"}}, 7]
    assert said(messages, tools=tools, functions=[{"name": "old", "description": "O."}]) == [
        (
            "system",
            "Plan it.\n\n"
            "<agent-instructions>\nYou are an agent.\n\nBe brief.\n</agent-instructions>\n\n"
            "<agent-tools>\n"
            '- shell: Runs it.\n  {"type":"object","properties":{}}\n'
            "- web_search\n"
            "- bare\n"
            "- old: O.\n"
            "</agent-tools>",
        ),
        ("user", "Fix it.\n\nNow."),
    ]


def test_calls_and_results_become_text() -> None:
    messages = [
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
        {"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "b.py"}]},
        {"role": "user", "content": "Go on."},
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}, {"type": "thinking", "thinking": "x"}]},
    ]
    assert said(messages) == [
        ("system", "Plan it."),
        ("user", "Fix it."),
        ("assistant", 'I look.\n\n[called shell {"command": "ls"}]'),
        ("user", "[shell answered]\n\na.py"),
        ("assistant", '[called shell {"command": "ls"}]'),
        (
            "user",
            [
                {"type": "text", "text": "[shell answered]"},
                {"type": "text", "text": "b.py"},
                {"type": "text", "text": "Go on."},
            ],
        ),
        ("assistant", "Done."),
        ("user", "Now."),
    ]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "function", "name": "old", "content": "1"}], [("user", "[old answered]\n\n1\n\nNow.")]),
        (
            [{"role": "assistant", "function_call": {"name": "old", "arguments": "{}"}}],
            [("assistant", "[called old {}]"), ("user", "Now.")],
        ),
        ([{"role": "assistant", "refusal": "No."}], [("assistant", "No."), ("user", "Now.")]),
        ([{"role": "assistant", "content": ""}], [("user", "Now.")]),
        (
            [{"role": "tool", "tool_call_id": ["?"], "content": None}],
            [("user", "[a tool answered]\n\n(nothing)\n\nNow.")],
        ),
        (
            [{"role": "user", "content": [IMAGE]}],
            [("user", [IMAGE, {"type": "text", "text": "Now."}])],
        ),
        (
            [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}],
            [("user", "a"), ("system", "b"), ("user", "Now.")],
        ),
        ([{"role": 7, "content": "a", "tool_calls": 3}], [("user", "a\n\nNow.")]),
        ([], [("user", "Now.")]),
    ],
)
def test_odd_messages(messages: Any, expected: list[Any]) -> None:
    assert said(messages)[1:] == expected


def test_what_is_asked_can_be_said_to_every_vendor() -> None:
    """No message holds a call or a result: no tools go along."""
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "2"},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ]
    request = decode_request(msgspec.json.encode(asked(messages, tools=[TOOL])))
    assert [each.role for each in request.messages] == ["system", "user", "assistant", "user"]
    kinds = {type(part).__name__ for message in request.messages for part in message.parts}
    assert (kinds, request.tools, request.tool_choice) == ({"Text"}, (), None)


HOSTILE = [
    b"",
    b"[]",
    b"{",
    b'{"model":"m"}',
    b'{"model":"m","messages":null}',
    b'{"model":"m","messages":{}}',
    b'{"model":"m","messages":[7]}',
    b'{"model":"m","messages":["x"]}',
    b'{"model":"m","messages":[[]]}',
    b'{"model":"m","messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"model":"m","messages":[{"role":"system","content":' + b"[" * 5000 + b"]" * 5000 + b"}]}",
]


@pytest.mark.parametrize("request_body", HOSTILE)
def test_what_cannot_be_read_is_not_planned(request_body: bytes) -> None:
    assert planning(request_body, "Plan it.", "Now.") is None
    assert noted(request_body, "note") is None


HALVES = [
    rb'{"model":"m","messages":[{"role":"system","content":"\ud83d"},{"role":"user","content":"\ude00"}]}',
    b'{"model":"m","messages":[{"role":"system","content":"\xff"},{"role":"user","content":"\xfe"}]}',
]


@pytest.mark.parametrize("request_body", HALVES)
def test_halves_of_characters_are_mended(request_body: bytes) -> None:
    assert planning(request_body, "Plan it.", "Now.") is not None
    assert "\ufffd\\n\\nnote".encode() in (noted(request_body, "note") or b"")


def test_a_number_that_cannot_be_written_anew_stays() -> None:
    made = noted(b'{"seed":1e999,"messages":[{"role":"user","content":"x","odd":1e999}]}', "note")
    assert made is not None
    assert b'"seed":1e999' in made
    assert b'"odd":1e999' in made


# --- the note


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("leading", "expected"),
    [
        ([], [{"role": "system", "content": "note"}]),
        ([{"role": "system", "content": "s"}], [{"role": "system", "content": "s\n\nnote"}]),
        ([{"role": "developer", "content": "s"}], [{"role": "developer", "content": "s\n\nnote"}]),
        ([{"role": "system", "content": ""}], [{"role": "system", "content": "note"}]),
        ([{"role": "system", "content": None, "name": "x"}], [{"role": "system", "content": "note", "name": "x"}]),
        (
            [{"role": "system", "content": "s"}, {"role": "system", "content": [{"type": "text", "text": "t"}]}],
            [
                {"role": "system", "content": "s"},
                {"role": "system", "content": [{"type": "text", "text": "t"}, {"type": "text", "text": "note"}]},
            ],
        ),
    ],
)
def test_where_the_note_goes(leading: list[Any], expected: list[Any]) -> None:
    later = {"role": "system", "content": "midway"}
    made = noted(body([*leading, USER, later, USER]), "note")
    assert made is not None
    assert json.loads(made)["messages"] == [*expected, USER, later, USER]


def test_all_else_keeps_its_bytes() -> None:
    user = b'{ "role" : "user", "content":"\\u0041 \\/ 1", "x":1.50 }'
    given = b'{"temperature":1.0,"messages":[{"role":"system","content":"s"},' + user + b'],"tools":[ {"a" : 1} ]}'
    made = noted(given, "note")
    assert made is not None
    assert user in made
    assert b'"temperature":1.0' in made
    assert b'[ {"a" : 1} ]' in made


@pytest.mark.parametrize("leading", [[], [{"role": "system", "content": "s"}]])
def test_the_beginning_is_the_same_however_the_conversation_goes_on(leading: list[Any]) -> None:
    """Vendors keep what they have read by its first bytes."""
    first = [*leading, USER]
    later = [*first, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "x"}]
    one, other = noted(body(first), "note"), noted(body(later), "note")
    assert one is not None
    assert other is not None
    end = one.index(b"]")
    assert other[:end] == one[:end]


def test_embeddings_have_neither() -> None:
    embeddings = DIALECTS["openai_embeddings"]
    assert embeddings.planning(b'{"input":"x"}', "a", "b") is None
    assert embeddings.noted(b'{"input":"x"}', "a") is None
