"""What became of tool calls: the corpus of agents' results, conversations, and laws that hold for any body."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.conduct import Judged
from gateway.dialects.conduct import judged as judged_in
from gateway.dialects.conversation import Call, Said
from gateway.dialects.openai_chat import conversation
from gateway.dialects.signs import (
    EXCEPTIONS,
    EXIT_BEGINS,
    EXIT_HEAD,
    EXIT_HINTS,
    EXIT_TAIL,
    PREFIXES,
    SIGNS,
    TAIL_HINTS,
    Place,
    Verdict,
)
from gateway.dialects.verdicts import verdicts
from gateway.routing.turns import read
from tests.corpus import ROOT
from tests.dialects.patterns import CANARY, leaks, texts

FILLER = "One goose, two geese, a skein of them.\n" * 30
VERDICTS = {"ok", "error", "invalid_args", "unknown_tool", "unanswered"}


def body(*messages: Any, tools: Any = None) -> bytes:
    offered = {} if tools is None else {"tools": [{"type": "function", "function": {"name": name}} for name in tools]}
    return json.dumps({"model": "m", "messages": messages, **offered}).encode()


def call(id: str | None, tool: str = "shell", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": tool, "arguments": arguments}}


def calls(*made: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(made)}


def result(id: str | None, content: Any = "fine", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content, **more}


def judged(sent: bytes) -> tuple[Judged, ...]:
    return judged_in(conversation(sent))


USER = {"role": "user", "content": "go on"}
ANSWER = {"role": "assistant", "content": "done"}

# What agents say ------------------------------------------------------------------------------------------------------


def corpus() -> Iterator[Any]:
    for file in sorted(Path(ROOT / "tool_results").glob("*.yaml")):
        for row in yaml.safe_load(file.read_text()):
            yield pytest.param(row, id=f"{file.stem}: {row['case']}")


def filled(content: Any) -> Any:
    """``{filler}`` makes a result a long one."""
    text = isinstance(content, str)
    return content.replace("{filler}", FILLER if not content.startswith("{") else "x" * 900) if text else content


@pytest.mark.parametrize("row", list(corpus()))
def test_an_agents_result(row: dict[str, Any]):
    made = call("c", row["tool"], row.get("arguments", "{}"))
    if "custom" in row:
        made = {"id": "c", "type": "custom", "custom": {"name": row["tool"], "input": row["custom"]}}
    flag = {"is_error": row["is_error"]} if "is_error" in row else {}
    sent = body(USER, calls(made), result("c", filled(row["content"]), **flag))
    [found] = judged(sent)
    assert (found.outcome, found.id, found.tool, found.repeated) == (row["verdict"], "c", row["tool"], False)
    assert bool(found.evidence) == (found.outcome != "ok")
    assert len(found.evidence) <= 80
    assert found.evidence == row.get("evidence", found.evidence)
    [turn] = read(conversation(sent)).turns
    [outcome] = turn.calls
    assert (outcome.verdict, outcome.tool, outcome.evidence) == (found.outcome, found.tool, found.evidence)


# Conversations --------------------------------------------------------------------------------------------------------

TWO = calls(call("a"), call("b", "edit"))
FAILED = [calls(call("1")), result("1", "Error: x")]
LEGACY = {"role": "assistant", "content": None, "function_call": {"name": "shell", "arguments": "{}"}}
# messages, tools offered: what is found, as "tool verdict" and a star where it is called again after an error
CONVERSATIONS: dict[str, tuple[list[Any], Any, list[str]]] = {
    "nothing called": ([USER, ANSWER, USER], None, []),
    "no messages": ([], None, []),
    "nothing follows yet": ([USER, TWO], None, []),
    "only oddities follow": ([USER, TWO, 5, None, {}], None, []),
    "judged before": ([TWO, result("a"), result("b"), ANSWER, USER], None, []),
    "all answered": ([USER, TWO, result("a"), result("b")], None, ["shell ok", "edit ok"]),
    "answered the other way round": (
        [TWO, result("b"), result("a", "Error: x")],
        None,
        ["shell error", "edit ok"],
    ),
    "one unanswered": ([TWO, result("b")], None, ["shell unanswered", "edit ok"]),
    "the user speaks instead": ([TWO, USER], None, ["shell unanswered", "edit unanswered"]),
    "the user speaks too": ([calls(call("a")), result("a"), USER], None, ["shell ok"]),
    "a result of another call": ([calls(call("a")), result("z", "Error: x")], None, ["shell unanswered"]),
    "an older result of the same id": (
        [calls(call("a")), result("a", "Error: x"), calls(call("a", "edit")), USER],
        None,
        ["edit unanswered"],
    ),
    "the same id twice": (
        [calls(call("a"), call("a")), result("a"), result("a", "Error: x")],
        None,
        ["shell ok", "shell error"],
    ),
    "no ids": ([calls(call(None), call("")), result(None), result("", "Error: x")], None, ["shell ok", "shell error"]),
    "legacy": ([LEGACY, {"role": "function", "name": "shell", "content": "Error: x"}], None, ["shell error"]),
    "offered": ([TWO, result("a"), result("b")], ["edit", "shell"], ["shell ok", "edit ok"]),
    "not offered": ([TWO, result("a"), USER], ["shell"], ["shell ok", "edit unknown_tool"]),
    "nothing offered": ([TWO, result("a"), result("b")], [], ["shell ok", "edit ok"]),
    "called again after an error": ([*FAILED, calls(call("2")), result("2")], None, ["shell ok*"]),
    "called again after an error, later": (
        [*FAILED, calls(call("2", "edit")), result("2"), ANSWER, USER, calls(call("3")), result("3")],
        None,
        ["shell ok*"],
    ),
    "another tool after an error": ([*FAILED, calls(call("2", "edit")), result("2")], None, ["edit ok"]),
    "the error was mended": (
        [*FAILED, calls(call("2")), result("2"), calls(call("3")), result("3", "Error: x")],
        None,
        ["shell error"],
    ),
    "the last of two results failed": (
        [calls(call("1"), call("2")), result("1"), result("2", "Error: x"), calls(call("3")), result("3")],
        None,
        ["shell ok*"],
    ),
    "the first of two results failed": (
        [calls(call("1"), call("2")), result("1", "Error: x"), result("2"), calls(call("3")), result("3")],
        None,
        ["shell ok"],
    ),
    "unanswered is no error": ([calls(call("1")), USER, calls(call("2")), result("2")], None, ["shell ok"]),
    "an id used again is another call": (
        [calls(call("1")), USER, calls(call("1", "edit")), result("1", "Error: x"), calls(call("2")), result("2")],
        None,
        ["shell ok"],
    ),
    "calls that are none": ([calls(5, None, call("a"), {}), result("a")], None, ["shell ok", " unanswered"]),  # type: ignore[arg-type]
    "calls that are no list": ([{"role": "assistant", "tool_calls": {"a": 1}}, USER], None, []),
    "messages that are none": ([5, None, [], TWO, "x", result("a"), result("b")], None, ["shell ok", "edit ok"]),
    "half a character": ([calls(call("a")), result("a", "Error: \ud83e")], None, ["shell error"]),
}


def told(found: tuple[Judged, ...]) -> list[str]:
    return [f"{each.tool} {each.outcome}{'*' * each.repeated}" for each in found]


@pytest.mark.parametrize(("messages", "tools", "expected"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_conversation(messages: list[Any], tools: Any, expected: list[str]):
    assert told(judged(body(*messages, tools=tools))) == expected


@pytest.mark.parametrize("long", [False, True])
def test_tools_that_end_alike_are_told_apart(long: bool):
    """The same ones are known again, and only those."""
    last = {"type": "function", "function": {"name": "last", "description": "d" * (70_000 if long else 300)}}
    for name in ("shell", "spell", "shell"):
        tools = [{"type": "function", "function": {"name": name}}, last]
        said = conversation(json.dumps({"model": "m", "messages": [USER], "tools": tools}).encode())
        assert said.tools == (name, "last")
        assert said.size_of_tools == len(json.dumps(tools))


ARGUMENTS: dict[str, tuple[Any, bool]] = {
    "an object": ('{"a": {"b": [1]}}', True),
    "with space": (' {"a": 1}\n', True),
    "empty": ("", True),
    "blank": (" \n", True),
    "none": (None, True),
    "not text": ({"a": 1}, True),
    "a large number": ('{"a": 1e999}', True),
    "a list": ("[1]", False),
    "a number": ("5", False),
    "null": ("null", False),
    "encoded twice": (json.dumps('{"a": 1}'), False),
    "cut off": ('{"a": "b', False),
    "a trailing comma": ('{"a": "b",}', False),
    "two objects": ('{"a": 1}{"b": 2}', False),
    "a list that is not text": ([1], False),
    "nested too deep": ('{"a":' + "[" * 5000, False),
}


@pytest.mark.parametrize(("arguments", "fit"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments(arguments: Any, fit: bool):
    [found] = judged(body(calls(call("a", arguments=arguments)), result("a")))
    assert found.outcome == ("ok" if fit else "invalid_args")


def test_what_the_call_tells_comes_before_its_result():
    made = calls(call("a", "x", "{"), call("b", "shell", "{"), call("c", "shell", "{"))
    sent = body(made, result("a"), result("b", "Error: x"), tools=["shell"])
    assert told(judged(sent)) == ["x unknown_tool", "shell invalid_args", "shell invalid_args"]


@pytest.mark.parametrize(
    "tools",
    [
        {"tools": [{"type": "custom", "custom": {"name": "shell"}}]},
        {"tools": [{"name": "shell"}]},
        {"tools": [{"type": "shell"}]},
        {"tools": ["odd", {"type": "function", "function": 5}, {"type": "function", "function": {"name": "shell"}}]},
        {"functions": [{"name": "shell"}]},
        {"tools": [], "functions": None},
        {"tools": 5},
    ],
)
def test_shapes_of_tools(tools: dict[str, Any]):
    sent = json.dumps({"messages": [calls(call("a")), result("a")], **tools}).encode()
    assert told(judged(sent)) == ["shell ok"]


UNREADABLE = [
    b"",
    b"[]",
    b"5",
    b"null",
    b"{",
    b'{"messages":5}',
    b'{"messages":[',
    b"\xff",
    b'{"messages":' + b"[" * 9999,
]


@pytest.mark.parametrize("sent", UNREADABLE)
def test_what_cannot_be_read_tells_nothing(sent: bytes):
    assert judged(sent) == ()
    assert judged(sent + b' "tool_calls"') == ()


def test_bytes_that_are_no_text_hide_nothing():
    sent = body(USER, calls(call("a")), result("a", "Error: ?")).replace(b"?", b"\xff")
    assert told(judged(sent)) == ["shell error"]


# The tail has 400 characters, and so has the head.
EDGES: dict[str, tuple[str, str]] = {
    "a tail that begins inside a line": ("x" * 500 + "make: *** y" + "z" * 389, "ok"),
    "a tail's line": ("x" * 500 + "\nmake: *** y" + "z" * 380, "error"),
    "a complaint that is all there is": ("x: permission denied" + "!" * 380, "error"),
    "a complaint that is not": ("x: permission denied" + "!" * 381, "ok"),
    "an exit code in Turkish": ("İ" * 300 + " exit code 3", "error"),
    "too many lines after it": ("make: *** y\n" + "z\n" * 4, "ok"),
    "few lines after it": ("make: *** y\n" + "z\n" * 3, "error"),
}


@pytest.mark.parametrize(("content", "verdict"), EDGES.values(), ids=EDGES)
def test_where_words_count(content: str, verdict: str):
    [found] = judged(body(calls(call("a")), result("a", content)))
    assert found.outcome == verdict


def test_very_many_blocks_are_no_trouble():
    many = "<turn-context></turn-context>" * 20_000
    [found] = judged(body(calls(call("a")), result("a", f"{many}Error: x{many}")))
    assert found.outcome == "error"


def test_the_tables_hold_what_is_documented():
    assert {verdict for verdict, _ in SIGNS} == VERDICTS - {"ok", "unanswered"}
    assert all(SIGNS.values())
    assert len(set(PREFIXES)) == len(PREFIXES)


def test_what_is_looked_for_first_is_in_all_that_is_matched():
    for [row] in (param.values for param in corpus()):
        for text in (row["content"], str(row["content"]) + "\nmake: *** x\nnpm ERR! y\nFix the errors and try again."):
            if not isinstance(text, str):
                continue
            assert not EXIT_HEAD.match(text) or text[0].lower() in EXIT_BEGINS
            assert not EXIT_TAIL.search(text) or any(hint in text.lower() for hint in EXIT_HINTS)
            for line in text.splitlines():
                for pattern in (*SIGNS["error", "tail"], *SIGNS["error", "last"]):
                    found = re.match(pattern, line, re.IGNORECASE)
                    assert not found or any(hint in line.lower() for hint in TAIL_HINTS), pattern


# Nothing of what a tool brought is shown ------------------------------------------------------------------------------

ROWS = [(verdict, place, row) for (verdict, place), rows in SIGNS.items() for row in rows]
CODES: list[tuple[Verdict, Place, str]] = [("error", "head", EXIT_HEAD.pattern), ("error", "tail", EXIT_TAIL.pattern)]
AROUND: dict[Place, tuple[str, ...]] = {
    "head": ("{}", "{} zqzq", "{}\nzqzq", "MCP error -32603: {}", "zqzqError: {}", "error calling zqzq: {}"),
    "whole": ("{}", "{} zqzq"),
    "tail": ("zqzq\n" + FILLER + "{}", "{}\nzqzq"),
    "last": ("zqzq\n" + FILLER + "{}",),
}


def told_of(text: str) -> Iterator[Any]:
    for said in (Said(text), Said(text, flag=True), Said(json.dumps({"success": False, "error": text}))):
        yield verdicts().told(Call("c", "shell", "{}"), said)


@pytest.mark.parametrize(("verdict", "place", "row"), [*ROWS, *CODES])
def test_what_a_tool_brought_is_never_shown(verdict: Verdict, place: Place, row: str):
    matched = [text for text in texts(row, 150, row) if re.match(row, text, re.IGNORECASE)]
    assert matched, "no text was made that this row matches"
    for text in (around.format(text) for text in matched for around in AROUND[place]):
        for found in told_of(text):
            assert not leaks(found.evidence), (text, found)
            assert not re.search(r"\d{11}", found.evidence), (text, found)


@pytest.mark.parametrize("row", PREFIXES)
def test_nor_is_what_stands_before_it(row: str):
    for text in texts(row, 50, row):
        for found in told_of(f"{text} unknown tool {CANARY}"):
            assert not leaks(found.evidence), (text, found)


THROWN = {
    "ValueError: x": "ValueError",
    "json.decoder.JSONDecodeError: x": "JSONDecodeError",
    "hunter2.ValueError: x": "ValueError",
    "Hunter2Error: x": "Error",
    "com.hunter2.SecretException: x": "Exception",
    "hunter2valueerror: x": "Error",
}


@pytest.mark.parametrize(("text", "shown"), THROWN.items())
def test_an_exceptions_class_is_shown_if_it_is_a_languages_own(text: str, shown: str):
    assert {verdicts().told(Call("c", "shell", "{}"), Said(each)).evidence for each in (text, f"a\n{text}")} == {shown}


def test_an_exceptions_class_is_one_that_is_looked_for():
    assert all(name.endswith(("Error", "Exception")) for name in EXCEPTIONS)


# Laws -----------------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["", "fine", "Error: x", "exit code 1", '{"success": false}', "{", "Tool 'shell' not found", "<turn-context>", "\n"]
)
TEXT = st.lists(WORDS | st.text(max_size=8), max_size=4).map("".join)
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
KEYS = st.sampled_from(
    (
        *("messages", "tools", "functions", "role", "content", "tool_calls", "function_call", "tool_call_id"),
        *("id", "type", "function", "custom", "name", "arguments", "text", "is_error", "isError"),
    )
)
ROLES = st.sampled_from(["assistant", "tool", "function", "user", "system"])
ANY = st.recursive(LEAF | ROLES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5))
MESSAGE = st.fixed_dictionaries(
    {"role": ROLES}, optional={"content": ANY, "tool_calls": ANY, "function_call": ANY, "tool_call_id": ANY}
)
BODIES = ANY | st.fixed_dictionaries({"messages": st.lists(MESSAGE | ANY, max_size=6)}, optional={"tools": ANY})


@given(BODIES)
def test_any_body_is_read_without_an_exception(sent: Any):
    for found in judged(json.dumps(sent).encode()):
        assert found.outcome in VERDICTS
        assert len(found.evidence) <= 80


@given(st.binary(max_size=60))
def test_any_bytes_are_read_without_an_exception(sent: bytes):
    assert judged(sent + b'"tool_calls"') == ()


# One answer of the model: how many tools it calls, what each brings (None: nothing), and does the user speak after it?
ANSWERS = st.tuples(st.lists(st.none() | WORDS, max_size=3), st.booleans())


@given(st.lists(ANSWERS, max_size=8))
def test_every_call_of_a_session_is_judged_once(session: list[tuple[list[str | None], bool]]):
    """Each request carries the conversation so far; the one after the last answer is sent too."""
    messages: list[Any] = [USER]
    made: list[str] = []
    found: list[str] = []
    for number, (results, speaks) in enumerate(session):
        found += [each.id for each in judged(body(*messages))]
        ids = [f"{number}.{place}" for place in range(len(results))]
        made += ids
        messages.append(calls(*map(call, ids)) if ids else ANSWER)
        messages += [result(id, brought) for id, brought in zip(ids, results, strict=True) if brought is not None]
        if speaks or messages[-1]["role"] == "assistant":
            messages.append(USER)
    found += [each.id for each in judged(body(*messages))]
    assert Counter(found) == Counter(made)
    assert found == made
