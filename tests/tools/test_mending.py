"""What is put right in calls of tools, what is left as it came, and that a stream says the same as a whole answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import (
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Choice,
    Finished,
    Reasoning,
    ReasoningSealed,
    Text,
    TextDelta,
    Tool,
    ToolCall,
)
from gateway.tools import Mending
from gateway.tools.loose_json import MOST, mended
from gateway.tools.names import Offered

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {"type": "string"},
        "timeout": {"type": "integer"},
        "ratio": {"type": "number"},
        "fast": {"type": "boolean"},
        "files": {"type": "array", "items": {"type": "string"}},
        "env": {"type": "object"},
        "mode": {"enum": ["read", "write", 3]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "place": {"$ref": "#/$defs/place"},
        "words": {"type": ["string", "null"]},
    },
    "required": ["command"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"line": {"type": "integer"}}, "required": ["line"]}},
}
TOOLS = (
    Tool("shell", None, SCHEMA),
    Tool("now", None, {"type": "object", "properties": {}}),
    Tool("developer__read_file", None, {"type": "object"}),
)

# As it was written -> what was meant, and the kinds of it.
REPAIRED = {
    '{"command": "ls",}': ({"command": "ls"}, "trailing_comma"),
    '```json\n{"command": "ls"}\n```': ({"command": "ls"}, "fenced"),
    "{'command': 'say \"hi\"'}": ({"command": 'say "hi"'}, "quotes"),
    '{command: "it\'s"}': ({"command": "it's"}, "quotes"),
    '{"command": "ls", "fast": True}': ({"command": "ls", "fast": True}, "literals"),
    '{"command": "ls", // all\n "fast": /* yes */ true}': ({"command": "ls", "fast": True}, "comments"),
    '{"command": "ls", "files": ["a", "b"': ({"command": "ls", "files": ["a", "b"]}, "brackets"),
    '{"command": "ls"}}': ({"command": "ls"}, "brackets"),
    '{"command": "a\nb\tc"}': ({"command": "a\nb\tc"}, "control_characters"),
    '{"command": "grep \\d+ \\w"}': ({"command": "grep \\d+ \\w"}, "escapes"),
    '{"command": "it\\\'s"}': ({"command": "it's"}, "escapes"),
    '"{\\"command\\": \\"ls\\"}"': ({"command": "ls"}, "double_encoded"),
    '{\\"command\\": \\"ls\\"}': ({"command": "ls"}, "double_encoded"),
    '{}{"command": "ls"}': ({"command": "ls"}, "concatenated"),
    '{"command": "ls"}{"command":"ls"}': ({"command": "ls"}, "concatenated"),
    '{"command": "ls", "timeout": "5"}': ({"command": "ls", "timeout": 5}, "types"),
    '{"command": "ls", "ratio": "0.5"}': ({"command": "ls", "ratio": 0.5}, "types"),
    '{"command": "ls", "fast": "True"}': ({"command": "ls", "fast": True}, "types"),
    '{"command": 5}': ({"command": "5"}, "types"),
    '{"command": "ls", "files": "a.py"}': ({"command": "ls", "files": ["a.py"]}, "types"),
    '{"command": "ls", "files": "[\\"a\\", \\"b\\"]"}': ({"command": "ls", "files": ["a", "b"]}, "types"),
    '{"command": "ls", "env": "{\\"A\\": 1,}"}': ({"command": "ls", "env": {"A": 1}}, "types"),
    '{"command": "ls", "mode": "3"}': ({"command": "ls", "mode": 3}, "types"),
    '{"command": "ls", "mode": "READ"}': ({"command": "ls", "mode": "read"}, "types"),
    '{"command": "ls", "either": "7"}': ({"command": "ls", "either": 7}, "types"),
    '{"command": "ls", "place": {"line": "3"}}': ({"command": "ls", "place": {"line": 3}}, "types"),
    '{"command": "ls", "timeout": null}': ({"command": "ls"}, "types"),
    "{'command': 'ls', 'timeout': '5',}": ({"command": "ls", "timeout": 5}, "quotes trailing_comma types"),
}

# As it was written, and is handed on -> what is wrong with it.
INVALID = {
    '{"timeout": 5}': "command: missing",
    '{"command": "ls", "color": true}': "1 unknown",
    '{"command": "ls", "timeout": "soon"}': "timeout: not integer",
    '{"command": "ls", "mode": "append"}': "mode: none of those allowed",
    '{"command": "ls", "place": {}}': "place.line: missing",
    '{"command": "rm -rf /tm': "not a JSON object",
    '{"command": ': "not a JSON object",
    '{"command": ls}': "not a JSON object",
    '{"command": "echo "hi" there"}': "not a JSON object",
    # A new line, or a folder that begins with n? Nobody knows.
    '{"command": "cd C:\\work\\new"}': "not a JSON object",
    "[1, 2]": "not a JSON object",
    "ls": "not a JSON object",
    '{"command": "a"}{"timeout": 1}': "several objects",
    "": "empty",
}

VALID = (
    '{ "command" :"ls" }',
    '{"command": "ls", "timeout": 5.0, "words": null, "either": null}',
    '{"command": "\\u00e9", "timeout": 12345678901234567890}',
)


def call(arguments: str, name: str = "shell") -> ToolCall:
    return ToolCall("call_1", name, arguments)


@pytest.mark.parametrize(("written", "expected"), REPAIRED.items())
def test_what_is_put_right(written: str, expected: tuple[Any, str]) -> None:
    mending = Mending(TOOLS)
    (made,) = mending.calls(call(written))
    assert (made.id, made.name, json.loads(made.arguments)) == ("call_1", "shell", expected[0])
    (told,) = mending.repairs
    assert (told.tool, " ".join(sorted(told.kinds)), told.flaws) == ("shell", expected[1], ())
    again = Mending(TOOLS)
    assert again.calls(made) == (made,), "what was repaired needs no repair"
    assert again.repairs == []


@pytest.mark.parametrize(("written", "flaw"), INVALID.items())
def test_what_is_handed_on_as_it_came(written: str, flaw: str) -> None:
    mending = Mending(TOOLS)
    asked = call(written)
    assert mending.calls(asked) == (asked,)
    (told,) = mending.repairs
    assert (told.kinds, told.flaws) == (("invalid",), (flaw,))


@pytest.mark.parametrize("written", VALID)
def test_a_valid_call_keeps_every_byte(written: str) -> None:
    mending = Mending(TOOLS)
    asked = call(written)
    assert mending.calls(asked)[0] is asked
    assert mending.repairs == []


def test_an_answer_that_was_cut_off_is_not_completed() -> None:
    mending = Mending(TOOLS)
    asked = call('{"command": "ls", "files": ["a"')
    assert mending.calls(asked, complete=False) == (asked,)
    assert mending.repairs[0].kinds == ("invalid",)


def test_a_tool_that_needs_nothing_may_be_given_nothing() -> None:
    mending = Mending(TOOLS)
    assert mending.calls(call("", "now"))[0].arguments == "{}"
    assert mending.repairs[0].kinds == ("empty",)


def test_several_calls_in_the_place_of_one() -> None:
    made = Mending(TOOLS).calls(call('{"command": "a"}\n{"command": "b"}'))
    assert [(each.id, json.loads(each.arguments)) for each in made] == [
        ("call_1", {"command": "a"}),
        ("call_1_2", {"command": "b"}),
    ]


NAMES = {
    "shell": "shell",
    "Shell": "shell",
    " shell\n": "shell",
    "functions.shell": "shell",
    "functions.shell:0": "shell",
    "default_api:shell": "shell",
    "tools/shell": "shell",
    "shell<|channel|>json": "shell",
    "`shell`": "shell",
    "shell()": "shell",
    "read_file": "developer__read_file",
    "developer.read_file": "developer__read_file",
    "readFile": "developer__read_file",
    "shellfish": None,
    "": None,
    "x" * 1000: None,
    "a.copy": None,
    "copy": None,
}


@pytest.mark.parametrize(("called", "meant"), NAMES.items())
def test_which_tool_is_meant(called: str, meant: str | None) -> None:
    offered = Offered(("shell", "developer__read_file", "one__copy", "two__copy"))
    assert offered.meant(called) == meant


def test_an_offered_name_wins_over_all_others() -> None:
    offered = Offered(("Shell", "shell", "functions.shell"))
    assert [offered.meant(name) for name in ("Shell", "shell", "functions.shell", "SHELL")] == [
        *("Shell", "shell", "functions.shell"),
        None,
    ]


def test_a_tool_that_is_not_on_offer_is_told_without_its_name() -> None:
    mending = Mending(TOOLS)
    asked = call("{}", "secret_word")
    assert mending.calls(asked) == (asked,)
    assert (mending.repairs[0].tool, mending.repairs[0].flaws) == ("", ("not on offer",))


# Streams --------------------------------------------------------------------------------------------------------------


def events_of(*calls: ToolCall, reason: Any = "tool_calls", size: int = 3) -> list[ChatEvent]:
    """Text, then the calls with their arguments by turns."""
    out: list[ChatEvent] = [TextDelta("So: ")]
    out += [CallBegan(place, each.id, each.name) for place, each in enumerate(calls)]
    pieces = [[each.arguments[at : at + size] for at in range(0, len(each.arguments), size)] for each in calls]
    for turn in range(max(map(len, pieces), default=0)):
        out += [CallDelta(place, each[turn]) for place, each in enumerate(pieces) if turn < len(each)]
    return [*out, Finished(reason)]


def put_together(events: list[ChatEvent]) -> list[tuple[int, str, str, str]]:
    """Each call by its place; asserts that none goes on before it has begun."""
    found: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, CallBegan):
            assert event.place == len(found)
            found[event.place] = [event.id, event.name, ""]
        elif isinstance(event, CallDelta):
            found[event.place][2] += event.arguments
    return [(place, *each) for place, each in found.items()]  # type: ignore[misc]


def passed(mending: Mending, events: list[ChatEvent]) -> list[ChatEvent]:
    return [*(each for event in events for each in mending.feed(event)), *mending.end()]


def test_a_stream_says_what_the_whole_says() -> None:
    calls = [call(written) for written in (*REPAIRED, *INVALID, *VALID, '{"command": "a"}{"command": "b"}')]
    calls = [ToolCall(f"c{place}", each.name, each.arguments) for place, each in enumerate(calls)]
    streamed, whole = Mending(TOOLS), Mending(TOOLS)
    out = passed(streamed, events_of(*calls))
    assert out[0] == TextDelta("So: ")
    assert out[-1] == Finished("tool_calls")
    answer = whole.answer(ChatResponse(choices=(Choice((Text("So: "), *calls), "tool_calls"),)))
    made = [part for part in answer.choices[0].parts if isinstance(part, ToolCall)]
    assert [each[1:] for each in put_together(out)] == [(each.id, each.name, each.arguments) for each in made]
    assert streamed.repairs == whole.repairs


def test_what_comes_before_and_between_keeps_its_place() -> None:
    sealed = ReasoningSealed(Reasoning("hm", "sig", format="anthropic"))
    given: list[ChatEvent] = [
        TextDelta("a"),
        CallBegan(0, "x", "shell"),
        CallDelta(0, '{"command": "ls"}'),
        sealed,
        CallBegan(1, "y", "now", "signed"),
        Finished("tool_calls"),
    ]
    mending = Mending(TOOLS)
    assert mending.feed(given[0]) == [given[0]]
    assert all(mending.feed(event) == [] for event in given[1:5])
    rest = mending.feed(given[5])
    assert rest == [given[1], given[2], sealed, given[4], CallDelta(1, "{}"), given[5]]


def test_a_stream_that_breaks_off_hands_on_what_it_has() -> None:
    mending = Mending(TOOLS)
    events = events_of(call('{"command": "rm -rf /tmp/x"'))[:-1]
    assert put_together(passed(mending, events)) == [(0, "call_1", "shell", '{"command": "rm -rf /tmp/x"')]


def test_an_answer_cut_off_by_its_length_is_not_completed() -> None:
    asked = call('{"command": "rm -rf /tmp/x"')
    out = passed(Mending(TOOLS), events_of(asked, reason="length"))
    assert put_together(out) == [(0, asked.id, asked.name, asked.arguments)]


def test_a_call_too_large_to_be_held_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tools.mending.MOST_HELD", 1000)
    mending = Mending(TOOLS)
    asked = call('{"command": "' + "x" * 5000 + '",}')
    assert put_together(passed(mending, events_of(asked))) == [(0, asked.id, asked.name, asked.arguments)]
    assert [each.kinds for each in mending.repairs] == [("unchecked",)]


# Hostile --------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "open brackets": "[" * 200_000,
    "open objects": '{"a":' * 100_000,
    "half keys": '{"' * 100_000,
    "quotes": '{"a": "' + '" ' * 100_000,
    "apostrophes": "{'a': '" + "' " * 100_000,
    "backslashes": '{"a": "' + "\\" * 200_001,
    "comments": "/*" * 100_000,
    "fences": "```" * 60_000,
    "objects": '{"command":"a"}' * 10_000,
    "layers": json.dumps(json.dumps(json.dumps(json.dumps(json.dumps({"command": "ls"}))))),
    "too long": '{"command": "' + "x" * MOST + '",}',
    "half a character": '{"command": "\\ud800",}',
    "a number without end": '{"timeout": ' + "9" * 100_000 + ",}",
    "infinite": '{"command": "ls", "ratio": 1e999, "timeout": "5"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_made_to_take_long_is_left_as_it_is(name: str) -> None:
    asked = call(HOSTILE[name])
    mending = Mending(TOOLS)
    made = mending.calls(asked)
    assert made == (asked,) or json.loads(made[0].arguments)
    assert len(mending.repairs) == 1


SCHEMAS: dict[str, Any] = {
    "refers to itself": {"$ref": "#"},
    "refers to nothing": {"$ref": "#/$defs/none"},
    "refers elsewhere": {"$ref": "https://example.com/schema"},
    "makes no sense": {"type": 5, "properties": [], "required": "x", "anyOf": {}, "enum": "e", "items": 3},
    "wide": {"anyOf": [{"anyOf": [{"properties": {"command": {"type": "array"}}}] * 300}] * 300},
    "deep": {},
}
nested = SCHEMAS["deep"]
for _ in range(500):
    nested["properties"] = {"command": {}}
    nested = nested["properties"]["command"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_odd_schema_harms_nobody(name: str) -> None:
    asked = call('{"command": {"command": "ls"}}')
    assert Mending((Tool("shell", None, SCHEMAS[name]),)).calls(asked) == (asked,)


def test_numbers_keep_their_digits() -> None:
    found = mended('{"a": 12345678901234567890123, "b": 1.50, "c": 1e400,}')
    assert found is not None
    assert found.values == ('{"a":12345678901234567890123,"b":1.50,"c":1e400}',)
