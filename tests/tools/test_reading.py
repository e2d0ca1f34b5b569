"""Calls of tools in text, as models write them; what is none is text, all of it, however the text is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.chat import (
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatRequest,
    ChatResponse,
    Choice,
    Finished,
    Message,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallResponse,
    ToolChoice,
)
from gateway.tools import Care, caring, shimmed
from gateway.tools.interpreting import Unread, interpreted, question

TOOLS = (
    Tool(
        "shell",
        "Runs a command.",
        {
            "type": "object",
            "properties": {"command": {"type": "string"}, "n": {"type": "integer"}},
            "required": ["command"],
        },
    ),
    Tool("read", None, {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}),
)
LS = ("shell", {"command": "ls"})
SHIM = Care(shim=True)

# Text -> what of it is text, and the calls in it.
CALLS: dict[str, tuple[str, str, list[tuple[str, dict[str, Any]]]]] = {
    "Hermes, with its mark in an argument": (
        'So.\n<tool_call>\n{"name": "shell", "arguments": {"command": "echo </tool_call>"}}\n</tool_call>',
        "So.\n",
        [("shell", {"command": "echo </tool_call>"})],
    ),
    "Hermes, two": (
        '<tool_call>\n{"name": "shell", "arguments": {"command": "ls"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "read", "arguments": {"path": "b"}}\n</tool_call>\n',
        "",
        [LS, ("read", {"path": "b"})],
    ),
    "Hermes, never closed": ('<tool_call>\n{"name": "shell", "arguments": {"command": "ls"}}', "", [LS]),
    "Qwen3-Coder": (
        "ok <tool_call>\n<function=shell>\n<parameter=command>\nls\n-l\n</parameter>\n<parameter=n>\n5\n</parameter>\n"
        "</function>\n</tool_call>",
        "ok ",
        [("shell", {"command": "ls\n-l", "n": 5})],
    ),
    "GLM": (
        "<tool_call>shell\n<arg_key>command</arg_key>\n<arg_value>ls</arg_value>\n</tool_call>",
        "",
        [LS],
    ),
    "Llama, function": ('<function=shell>{"command": "ls"}</function>', "", [LS]),
    "Llama, python_tag": ('<|python_tag|>{"name": "shell", "parameters": {"command": "ls"}}<|eom_id|>', "", [LS]),
    "Mistral, a list": (
        '[TOOL_CALLS][{"name": "shell", "arguments": {"command": "ls"}}, {"name": "read", "arguments": {"path": "x"}}]',
        "",
        [LS, ("read", {"path": "x"})],
    ),
    "Mistral, named": (
        '[TOOL_CALLS]shell[ARGS]{"command": "ls"}[TOOL_CALLS]read[CALL_ID]ab12[ARGS]{"path": "p"}',
        "",
        [LS, ("read", {"path": "p"})],
    ),
    "DeepSeek V3": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>shell\n```json\n"
        '{"command": "ls"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        "",
        [LS],
    ),
    "DeepSeek V3.1": (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>shell<｜tool▁sep｜>{"command": "ls"}<｜tool▁call▁end｜>'
        '<｜tool▁call▁begin｜>read<｜tool▁sep｜>{"path": "p"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        "",
        [LS, ("read", {"path": "p"})],
    ),
    "Kimi": (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.shell:0<|tool_call_argument_begin|>"
        '{"command": "ls"}<|tool_call_end|><|tool_calls_section_end|>',
        "",
        [LS],
    ),
    "gpt-oss": (
        '<|channel|>commentary to=functions.shell <|constrain|>json<|message|>{"command":"ls"}<|call|>',
        "",
        [LS],
    ),
    "gpt-oss, spoken to first": (
        '<|start|>assistant to=functions.shell<|channel|>commentary json<|message|>{"command":"ls"}<|call|>',
        "",
        [LS],
    ),
    "ReAct": (
        'Thought: go.\nAction: shell\nAction Input: {"command": "ls"}\n',
        "Thought: go.\n",
        [LS],
    ),
    "ReAct, in words": ("Action: read\nAction Input: a.txt\n", "", [("read", {"path": "a.txt"})]),
    "in a block of code": (
        'Sure:\n```json\n{"tool": "shell", "args": {"command": "echo ```"}}\n```\n',
        "Sure:\n",
        [("shell", {"command": "echo ```"})],
    ),
    "a list in a block of code": (
        '```json\n[{"tool": "shell", "args": {"command": "ls"}},\n {"tool": "read", "args": {"path": "b"}}]\n```\n'
        "Done.",
        "Done.",
        [LS, ("read", {"path": "b"})],
    ),
    "alone": ('{"name": "shell", "arguments": {"command": "ls"}}', "", [LS]),
    "on a line of its own, nearly JSON": ("Now:\n{'name': 'Shell', 'parameters': {'command': 'ls',}}", "Now:\n", [LS]),
    "as OpenAI words it": (
        '{"tool_calls": [{"id": "1", "type": "function", "function": '
        '{"name": "shell", "arguments": "{\\"command\\": \\"ls\\"}"}}]}',
        "",
        [LS],
    ),
    "invoked": (
        '<function_calls>\n<invoke name="shell">\n<parameter name="command">ls</parameter>\n</invoke>\n'
        "</function_calls>",
        "",
        [LS],
    ),
    "after a mark in prose": (
        'With `<tool_call>`: <tool_call>{"name": "shell", "arguments": {"command": "ls"}}</tool_call>',
        "With `<tool_call>`: ",
        [LS],
    ),
}

TEXTS = (
    "Nothing here.",
    'Here:\n```json\n{"a": 1}\n```\nand ```python\nx\n``` then `<tool_call>` is [a](b) < 5 {x}\n{"k": 1}\n[1, 2]\n',
    '<tool_call>{"name": "rm", "arguments": {}}</tool_call> and on',
    "Action: none\nbye [TOOL_CALLS] <|channel|>final<|message|>hi",
    '{"name": "Ann", "arguments": "none"}',
    '{"name": "shell", "arguments": {"command": "l',
    "<function=rm>{}</function>",
    "A line\n    [\n  and more\n    Acting",
    "```" * 40,
    "<" * 60 + "[" * 60 + "\n{" * 30,
)


def passed(text: str, size: int, reason: Any = "stop") -> list[ChatEvent]:
    care = caring(SHIM, TOOLS, seed="r-1")
    given = [TextDelta(text[at : at + size]) for at in range(0, len(text), size)]
    return [*(each for event in (*given, Finished(reason)) for each in care.feed(event)), *care.end()]


def summed(events: Sequence[ChatEvent]) -> tuple[str, list[tuple[str, str, str]], str]:
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    begun = [event for event in events if isinstance(event, CallBegan)]
    said = [event.arguments for event in events if isinstance(event, CallDelta)]
    (end,) = (event.reason for event in events if isinstance(event, Finished))
    return text, [(each.id, each.name, arguments) for each, arguments in zip(begun, said, strict=True)], end


def whole(text: str, reason: Any = "stop") -> tuple[str, list[tuple[str, str, str]], str | None]:
    answer = ChatResponse(choices=(Choice((Text(text),), reason),))
    (choice,) = caring(SHIM, TOOLS, seed="r-1").answer(answer).choices
    said = "".join(part.content for part in choice.parts if isinstance(part, Text))
    calls = [(part.id, part.name, part.arguments) for part in choice.parts if isinstance(part, ToolCall)]
    return said, calls, choice.finish_reason


@pytest.mark.parametrize("name", CALLS)
def test_the_common_forms(name: str) -> None:
    text, left, calls = CALLS[name]
    said, found, reason = whole(text)
    assert (said, [(tool, json.loads(arguments)) for _, tool, arguments in found]) == (left, calls)
    assert reason == "tool_calls"
    assert len({call_id for call_id, _, _ in found}) == len(found)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 1000])
@pytest.mark.parametrize("name", CALLS)
def test_a_stream_says_the_same_wherever_it_is_cut(name: str, size: int) -> None:
    text = CALLS[name][0]
    assert summed(passed(text, size)) == whole(text)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 1000])
@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_call_is_text(text: str, size: int) -> None:
    assert summed(passed(text, size)) == (text, [], "stop")
    assert whole(text) == (text, [], "stop")


def test_text_streams_on_up_to_where_a_call_may_begin() -> None:
    care = caring(SHIM, TOOLS, seed="r-1")
    assert care.feed(TextDelta("I will look < 5 ")) == [TextDelta("I will look < 5 ")]
    assert care.feed(TextDelta("now <tool")) == [TextDelta("now ")]
    assert care.feed(TextDelta("ing> on")) == [TextDelta("<tooling> on")]
    assert care.feed(TextDelta('\n```json\n{"result"')) == [TextDelta("\n")]
    # Its first key says that this is no call.
    assert "".join(each.text for each in care.feed(TextDelta(": 1"))) == '```json\n{"result": 1'  # type: ignore[union-attr]


def test_a_call_that_was_cut_off_is_text() -> None:
    text = '<tool_call>\n{"name": "shell", "arguments": {"command": "rm -rf /tmp/x"}'
    assert summed(passed(text, 4, "length")) == (text, [], "length")


def test_ids_tell_answers_apart() -> None:
    text = CALLS["alone"][0]
    answer = ChatResponse(choices=(Choice((Text(text),), "stop"),))
    parts = [caring(SHIM, TOOLS, seed=seed).answer(answer).choices[0].parts[0] for seed in ("a", "b", "a")]
    ids = [part.id for part in parts if isinstance(part, ToolCall)]
    assert ids[0] == ids[2] != ids[1]


LONG = {
    "fences": "```" * 400_000,
    "marks": "<tool_call>" * 100_000,
    "begun": '<tool_call>{"name":' * 60_000,
    "lines": "\n{" * 500_000,
    "actions": "\nAction: x\n" * 100_000,
    "sections": "<｜tool▁call▁begin｜>" * 60_000,
    "named": "[TOOL_CALLS]a{" * 90_000,
}


@pytest.mark.parametrize("name", LONG)
def test_nothing_is_lost_of_what_is_made_to_take_long(name: str) -> None:
    assert whole(LONG[name]) == (LONG[name], [], "stop")


# Requests -------------------------------------------------------------------------------------------------------------

USER = Message("user", (Text("List them."),))
SYSTEM = Message("system", (Text("You are an agent."),))
CALLED = Message("assistant", (Text("So:"), ToolCall("c1", "shell", '{"command": "ls"}')))
RESULT = Message("tool", (ToolCallResponse("c1", "shell", (Text("a.py"),)),))
FAILED = Message("tool", (ToolCallResponse("c2", "read", (Text("no"),), failed=True),))


def asked(*messages: Message, **more: Any) -> ChatRequest:
    return shimmed(ChatRequest(model="m", messages=messages, **{"tools": TOOLS, **more}))


def words(message: Message) -> str:
    return "".join(part.content for part in message.parts if isinstance(part, Text))


def test_tools_stand_behind_the_clients_own_instructions() -> None:
    made = asked(SYSTEM, USER, parallel_tool_calls=False)
    assert (made.tools, made.tool_choice, made.parallel_tool_calls) == ((), None, None)
    assert words(made.messages[0]).startswith("You are an agent.\n\n")
    assert all(json.dumps(tool.parameters) in words(made.messages[0]) for tool in TOOLS)
    assert made.messages[1:] == (USER,)
    again = asked(SYSTEM, USER, CALLED, RESULT, parallel_tool_calls=False)
    assert again.messages[0] == made.messages[0], "what is the same in every request stays the same"


def test_without_instructions_they_are_the_only_ones() -> None:
    made = asked(USER)
    assert [message.role for message in made.messages] == ["system", "user"]


def test_what_was_called_is_text_that_reads_as_a_call() -> None:
    made = asked(SYSTEM, USER, CALLED, RESULT, FAILED, Message("user", (Text("Go on."),)))
    assert [message.role for message in made.messages] == ["system", "user", "assistant", "user"]
    assert not any(isinstance(part, ToolCall | ToolCallResponse) for each in made.messages for part in each.parts)
    said, calls, _ = whole(words(made.messages[2]))
    assert (said, [each[1:] for each in calls]) == ("So:", [("shell", '{"command": "ls"}')])
    results = words(made.messages[3])
    assert 'tool="shell">\na.py' in results
    assert 'failed="true">\nno' in results
    assert results.endswith("Go on.")


CHOICES = {
    "none": (ToolChoice("none"), [], ""),
    "named": (ToolChoice("named", ("read",)), ["read"], "you must call a tool: read"),
    "required": (ToolChoice("required"), ["shell", "read"], "you must call a tool: any of them"),
    "some": (ToolChoice("auto", ("shell",)), ["shell"], ""),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_said_in_words(name: str) -> None:
    choice, offered, must = CHOICES[name]
    said = words(asked(SYSTEM, USER, tool_choice=choice).messages[0])
    assert [tool.name for tool in TOOLS if f'"name": "{tool.name}"' in said] == offered
    assert must in said
    assert bool(must) == ("you must call" in said)


def test_a_request_without_tools_stays_as_it_is() -> None:
    request = ChatRequest(model="m", messages=(SYSTEM, USER))
    assert shimmed(request) is request


# Interpreters ---------------------------------------------------------------------------------------------------------

UNREAD = Unread("I run ls now.", TOOLS, lambda calls: b"")
INTERPRETED: dict[str, list[tuple[str, str]] | None] = {
    '{"tool_calls": []}': [],
    '{"tool_calls": [{"name": "shell", "arguments": {"command": "ls"}}]}': [("shell", '{"command": "ls"}')],
    '```json\n{"tool_calls": [{"name": "Shell", "arguments": {"command": "ls", "n": "5"}}]}\n```': [
        ("shell", '{"command": "ls", "n": 5}')
    ],
    '{"tool_calls": [{"name": "rm", "arguments": {}}]}': None,
    "None at all.": None,
    "": None,
}


@pytest.mark.parametrize(("said", "calls"), INTERPRETED.items())
def test_what_an_interpreter_says(said: str, calls: list[tuple[str, str]] | None) -> None:
    found = interpreted(UNREAD, said, "r-1")
    assert (found is None) == (calls is None)
    if found and calls is not None:
        assert [(each.name, each.arguments) for each in found[0]] == calls
        assert sum("interpreted" in each.kinds for each in found[1]) == len(calls)


def test_an_interpreter_is_asked_for_json_of_the_tools() -> None:
    body = json.loads(question(UNREAD, "helper"))
    assert body["model"] == "helper"
    assert UNREAD.text in body["messages"][-1]["content"]
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["tool_calls"]["items"]["properties"]["name"]["enum"] == ["shell", "read"]
