"""Conversations as turns: what kind of request, what became of each turn, whether the user corrects it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import conversation as dialect_conversation
from gateway.dialects.conversation import Conversation, Message, Said
from gateway.dialects.openai_chat import conversation
from gateway.dialects.words import SHIPPED, Words
from gateway.routing.corrections import CORRECTIONS, corrects
from gateway.routing.lead_worker import LeadWorker
from gateway.routing.turns import MOST_JUDGED, Command, Reading, correction, read
from tests.corpus import ROOT

CORPUS = Path(ROOT / "turns")


def sent(*messages: Any, tools: Any = None, **more: Any) -> bytes:
    offered = {} if tools is None else {"tools": [{"type": "function", "function": {"name": name}} for name in tools]}
    return json.dumps({"model": "m", "messages": messages, **offered, **more}).encode()


def reading(*messages: Any, tools: Any = ("shell",), words: Words = SHIPPED, subagent: bool = False) -> Reading:
    return read(conversation(sent(*messages, tools=tools)), words, subagent=subagent)


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def says(text: Any = "done") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def calls(*ids: str, tool: str = "shell", arguments: Any = "{}") -> dict[str, Any]:
    made = [{"id": id, "type": "function", "function": {"name": tool, "arguments": arguments}} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(id: str | None, content: Any = "fine", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content, **more}


FAILS = "cc: no input files\n\nCommand exited with code 1"

# Turns ----------------------------------------------------------------------------------------------------------------


def shown(found: Reading) -> list[str]:
    """Each turn: what was called, with a mark for what failed, and the correction."""
    marks = {"ok": "", "unanswered": "?"}
    return [
        " ".join(
            [*(f"{each.tool or '-'}{marks.get(each.verdict, '!')}" for each in turn.calls)]
            + ([f"<{turn.corrected}>"] if turn.corrected else [])
        )
        for turn in found.turns
    ]


TURNS: dict[str, tuple[list[Any], list[str]]] = {
    "nothing yet": ([user("go")], []),
    "answers": ([user("go"), says(), user("more"), says(), user("thanks")], ["", ""]),
    "a call nobody has answered": ([user("go"), calls("a"), user("stop")], ["shell?"]),
    "a beginning of the answer": ([user("go"), says(), user("more"), says("{")], [""]),
    "a call that is under way": ([user("go"), calls("a")], []),
    "words and a call in two messages": (
        [user("go"), says("Let me see."), calls("a"), result("a"), says("And now."), calls("b"), result("b", FAILS)],
        ["shell", "shell!"],
    ),
    "three calls in as many messages": (
        [user("go"), calls("a"), calls("b"), calls("c"), result("c"), result("b", FAILS), result("a")],
        ["shell shell! shell"],
    ),
    "what goose says of its summary": (
        [user("a summary"), says("Your context was compacted. Go on."), user("no, that's wrong"), says(), user("ok")],
        [""],
    ),
    "what qwen-code says to a summary": (
        [user("<state_snapshot>x</state_snapshot>"), says("Got it. Thanks for the additional context!"), user("no")],
        [],
    ),
    "what Gemini CLI says to its context": (
        [user("We are setting up the context"), says("Got it. Thanks for the context!"), user("that's wrong")],
        [],
    ),
    "what aider says to a summary": (
        [user("I spoke to you previously about a number of things."), says("Ok."), user("that's wrong")],
        [],
    ),
    "opencode's summary": (
        [user("What did we do so far?"), says("## Goal"), user("that's wrong"), says(), user("no")],
        ["<no>"],
    ),
    "the same words later": (
        [user("go"), says(), user("x"), says("Your context was compacted"), user("no"), says("Ok."), user("no")],
        ["", "<no>", "<no>"],
    ),
    "such words beside a call": (
        [user("go"), {**calls("a"), "content": "Got it. Thanks for the context!"}, result("a")],
        ["shell"],
    ),
    "well, then badly": (
        [user("go"), calls("a"), result("a"), calls("b"), result("b", FAILS)],
        ["shell", "shell!"],
    ),
    "two calls in a turn": ([calls("a", "b"), result("b", FAILS), result("a")], ["shell shell!"]),
    "results with something between them": (
        [calls("a", "b"), result("a"), user("and?"), result("b", FAILS), says(), user("x")],
        ["shell shell!", ""],
    ),
    "nobody's result": ([says(), result("x", FAILS)], ["-!"]),
    "a result before any turn": ([result("x", FAILS), says(), user("x")], [""]),
    "arguments that are no object": ([calls("a", arguments="{"), result("a")], ["shell!"]),
    "goose's placeholder": (
        [calls("a", tool="unparseable_tool_call"), result("a", "x")],
        ["unparseable_tool_call!"],
    ),
    "a tool that is on offer no more": ([calls("a", tool="gone"), result("a")], ["gone"]),
    "corrected": ([user("go"), says(), user("that's wrong"), says(), user("x")], ["<that's wrong>", ""]),
    "corrected after its calls": (
        [user("go"), calls("a"), result("a"), user("no, not that one")],
        ["shell <no>"],
    ),
    "never the first words": ([user("that's wrong"), says(), user("x")], [""]),
    "in a wrapper": ([user("go"), says(), user("no, x\n<turn-context>\nthat works\n</turn-context>")], ["<no>"]),
    "only a wrapper says so": ([user("go"), says(), user("<system-reminder>that's wrong</system-reminder>ok")], [""]),
    "behind a wrapper": ([user("go"), says(), user("<system-reminder>x</system-reminder>\nWrong.")], ["<wrong>"]),
    "in parts": (
        [
            user("go"),
            says(),
            user([{"type": "text", "text": "<system-reminder>x</system-reminder>"}, {"text": "Wrong."}]),
        ],
        ["<wrong>"],
    ),
    "in Cline's envelope": (
        [
            user("go"),
            says(),
            user("<feedback>\nthat's wrong\n</feedback>\n<environment_details>x</environment_details>"),
        ],
        ["<that's wrong>"],
    ),
    "interrupted": (
        [user("go"), calls("a"), user("[Request interrupted by user]\nno, use make")],
        ["shell? <no>"],
    ),
    "out of an editor": (
        [
            user("go"),
            says(),
            user("# Context from my IDE setup:\n## Open tabs:\n- a\n\n## My request for Codex:\ntry again"),
        ],
        ["<try again>"],
    ),
    "it answers a question": ([user("go"), says("Shall I delete it?"), user("No")], [""]),
    "it answers none": ([user("go"), says("I deleted it."), user("No")], ["<no>"]),
    "a command is no correction": ([user("go"), says(), user("/model no"), user("thanks")], [""]),
    "Cline's results": (
        [
            user("go"),
            says("<execute_command>"),
            user("[execute_command for 'make'] Result:\nCommand executed. Exit code: 2"),
        ],
        ["execute_command!"],
    ),
    "Cline's results, well": (
        [user("go"), says("<read_file>"), user("[read_file for 'a.py'] Result:\nimport os")],
        ["read_file"],
    ),
    "smolagents' results": (
        [user("go"), says("x"), user("Observation:\nTraceback (most recent call last):\n  x\nValueError: y"), says()],
        ["-!"],
    ),
    "smolagents' complaints": (
        [user("go"), says("x"), user("Error:\nIt failed.\nNow let's retry: take care not to repeat previous errors!")],
        ["-!"],
    ),
    "aider's complaints": (
        [user("go"), says("x"), user("# 1 SEARCH/REPLACE block failed to match!\n\n## a.py"), says()],
        ["-!"],
    ),
    "odd messages": ([5, None, says(), {"role": ["tool"]}, [], {"role": "critic", "content": "wrong"}], [""]),
}


@pytest.mark.parametrize(("messages", "expected"), TURNS.values(), ids=TURNS)
def test_turns(messages: list[Any], expected: list[str]):
    assert shown(reading(*messages)) == expected


def test_a_turn_says_what_told():
    [first, second] = reading(user("go"), calls("a"), result("a", FAILS), user("x"), says(), user("Try again")).turns
    assert (first.failed, first.evidence) == (True, "shell: Command exited with code 1")
    assert (second.failed, second.evidence) == (True, "the user: try again")
    [report] = reading(user("go"), says("x"), user("[ERROR] You did not use a tool in your previous response!")).turns
    assert report.evidence == "You did not use a tool in your previous response"


def test_a_turn_is_judged_the_same_in_every_later_request():
    messages = [user("go"), calls("a"), result("a", FAILS), says("Shall I?"), user("no"), calls("b", "c"), result("c")]
    messages += [user("that's wrong"), says("x"), calls("d"), result("d"), user("/model x"), user("thanks")]
    whole = reading(*messages).turns
    for length in range(len(messages)):
        before = reading(*messages[:length]).turns
        # The last turn may not be over.
        assert whole[: max(0, len(before) - 1)] == before[:-1]


PINNED: dict[str, tuple[list[Any], str]] = {
    "nobody chose": ([user("go"), says(), user("x")], "."),
    "in force": ([user("go"), says(), user("/model x"), says(), user("go on"), says(), user("y")], "..."),
    "taken back": ([user("go"), says(), user("/model x"), says(), user("/model auto"), says(), user("y")], ".p."),
    "another is": ([user("/model x"), says(), user("/model y"), says(), user("y")], "p."),
    "the first again": (
        [user("/model x"), says(), user("/model y"), says(), user("/model x"), says(), user("y")],
        ".p.",
    ),
    "in the middle of a loop": (
        [user("go"), calls("a"), user("/model x"), result("a"), calls("b"), result("b"), user("/model auto")],
        ".p",
    ),
    "and a plan": ([user("/model x"), says(), user("/replan"), says(), user("/model auto")], "pp"),
}


@pytest.mark.parametrize(("messages", "expected"), PINNED.values(), ids=PINNED)
def test_turns_of_a_model_that_was_chosen_by_hand(messages: list[Any], expected: str):
    assert "".join("p" if turn.pinned else "." for turn in reading(*messages).turns) == expected


# Corrections ----------------------------------------------------------------------------------------------------------


def said_to_correct(kind: str) -> list[Any]:
    found = []
    for file in sorted(CORPUS.glob("corrections.*.yaml")):
        for text in yaml.safe_load(file.read_text())[kind]:
            found.append(pytest.param(text, id=f"{file.suffixes[0][1:]}: {text}"))
    return found


@pytest.mark.parametrize("text", said_to_correct("corrects"))
def test_a_correction(text: str):
    assert corrects(text)
    assert corrects(text, asked=True) or corrects(text) in {
        "no",
        "nope",
        "nah",
        "不行",
        "不是这",
        "不是這",
        "不是我",
        "不",
    }


@pytest.mark.parametrize("text", said_to_correct("does_not"))
def test_no_correction(text: str):
    assert corrects(text) == ""


@pytest.mark.parametrize("text", said_to_correct("answers"))
def test_an_answer_to_a_question(text: str):
    assert corrects(text, asked=False)
    assert corrects(text, asked=True) == ""


def test_the_marker_is_ours_alone():
    assert corrects("No, the secret is hunter2, not that!") == "no"
    assert corrects("Well: that is wrong, hunter2") == "that is wrong"
    for file in CORPUS.glob("corrections.*.yaml"):
        for text in yaml.safe_load(file.read_text())["corrects"]:
            assert len(corrects(text)) <= 40


def test_words_count_at_the_head_and_the_tail():
    log = "compiling geese\n" * 100
    assert corrects(f"that's wrong\n{log}")
    assert corrects(f"look:\n{log}\nthat's wrong")
    assert corrects(f"{log}that's wrong\n{log}") == ""
    assert corrects(f"Geese {'x' * 393} it doesn't work {'x' * 184}") == "", "the tail may begin within a sentence"
    assert corrects("It was late. The geese slept. That's wrong") == "", "what is said later speaks of something else"


def test_own_words_and_languages():
    own = Words(languages=("zh",), corrections=("So ein Mist", "差评"))
    assert corrects("that's wrong", words=own) == ""
    assert corrects("不对", words=own) == "不对"
    assert corrects("Das ist ja so ein MIST!", words=own) == "so ein mist"
    assert corrects("so ein Mistwetter", words=own) == ""
    assert corrects("给你差评了", words=own) == "差评"
    assert all(known.first and known.denials and known.within for known in CORRECTIONS.values())


# Kinds ----------------------------------------------------------------------------------------------------------------


def rows(name: str) -> list[Any]:
    return [pytest.param(row, id=row["case"]) for row in yaml.safe_load((CORPUS / name).read_text())]


def spelled(row: dict[str, Any]) -> list[Any]:
    """A row's messages as they are sent."""
    made: list[Any] = []
    if "system" in row:
        made.append({"role": "system", "content": row["system"].replace("{long}", "x" * 600)})
    for number, message in enumerate(row["messages"]):
        [(who, text)] = message.items()
        match who:
            case "user":
                made.append(user(text))
            case "assistant":
                made.append(says(text))
            case "call":
                made.append(calls(f"c{number}", tool=text))
            case "result":
                made.append(result(f"c{number - 1}", text))
    return made


@pytest.mark.parametrize("row", rows("kinds.yaml"))
def test_a_kind(row: dict[str, Any]):
    found = reading(*spelled(row), tools=["shell"] if row.get("tools") else None, subagent=row.get("header", False))
    assert found.kind == row["kind"]
    assert found.why == row.get("why", found.why)
    assert bool(found.why) == (found.kind != "main")


def test_an_opening_of_ones_own():
    words = Words(auxiliary=("Give it a name",))
    assert reading(user("give it a NAME: …"), words=words).why == "as configured"
    assert reading({"role": "developer", "content": "You are x.\nGive it a name"}, user("a"), words=words).kind == "aux"
    assert reading(user("Please give it a name"), words=words).kind == "main"


@pytest.mark.parametrize("row", rows("summaries.yaml"))
def test_a_summary(row: dict[str, Any]):
    assert reading(*spelled(row)).compacted == row["compacted"]


# What else ------------------------------------------------------------------------------------------------------------

MODEL, REPLAN = Command("model", "openai/gpt-5"), Command("replan")
COMMANDS: dict[str, tuple[list[Any], list[Command]]] = {
    "none": ([user("go")], []),
    "a model, just now": (
        [user("go"), says(), user("/model openai/gpt-5")],
        [Command("model", "openai/gpt-5", True, 1)],
    ),
    "in a wrapper": (
        [user("/model openai/gpt-5\n<turn-context>x</turn-context>")],
        [Command("model", "openai/gpt-5", True)],
    ),
    "a while ago": ([user("/model openai/gpt-5"), says(), user("go")], [MODEL]),
    "something was said after it": ([user("/model openai/gpt-5"), user("go")], [MODEL]),
    "two": ([user("/model openai/gpt-5"), says(), user("/replan")], [MODEL, Command("replan", "", True, 1)]),
    "auto": ([user("/model auto")], [Command("model", "auto", True)]),
    "in the middle of a tool loop": (
        [calls("a"), user("/model openai/gpt-5"), result("a")],
        [Command("model", "openai/gpt-5", turn=1)],
    ),
    "with more words": ([user("/model openai/gpt-5 please")], []),
    "in a sentence": ([user("type /model openai/gpt-5")], []),
    "without a name": ([user("/model")], []),
    "with too long a name": ([user("/model " + "x" * 257)], []),
    "with more lines": ([user("/replan\nnow")], []),
    "the model says it": ([says("/model openai/gpt-5")], []),
    "another command": ([user("/models x")], []),
}


@pytest.mark.parametrize(("messages", "expected"), COMMANDS.values(), ids=COMMANDS)
def test_commands(messages: list[Any], expected: list[Command]):
    assert list(reading(*messages).commands) == expected


def test_the_origin_is_the_users_first_words():
    system = {"role": "system", "content": "cc_version=1"}
    begun = reading(system, user("<environment_context>x</environment_context>"), user("fix it"))
    later = reading(
        {**system, "content": "cc_version=2"}, user("/model x"), user("fix it <turn-context>9</turn-context>")
    )
    assert begun.origin == later.origin != ""
    assert reading(system, user("fix that")).origin != begun.origin
    assert reading(system, user("/model x")).origin == ""


def test_the_fingerprint_is_of_the_messages_alone():
    messages = [user("go"), calls("a"), result("a")]

    def fingerprint(*messages: Any, **more: Any) -> str:
        return read(conversation(sent(*messages, **more))).fingerprint

    found = fingerprint(*messages, stream=True)
    assert found == fingerprint(*messages) == fingerprint(*messages, stream=False, tools=["x"])
    others = [messages[:2], [*messages, says()], [user("go!"), *messages[1:]], [says("go"), *messages[1:]]]
    others += [[*messages[:2], result("b")], [user("go"), calls("a", tool="x"), result("a")]]
    assert len({found, *(fingerprint(*other) for other in others)}) == 1 + len(others)
    assert fingerprint() == ""


def test_what_was_asked():
    assert (
        reading(user("go"), says(), user("more\n<turn-context>x</turn-context>"), calls("a"), result("a")).asked
        == "more"
    )
    assert reading(user("go"), says(), user("/replan")).asked == "go"
    assert reading(user("go"), says(), user("Observation:\n5")).asked == "go"
    assert reading(user("x" * 5000)).asked == "x" * 4000


def test_images_and_tools():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4_000_000}}
    found = reading(user([{"type": "text", "text": "see"}, image]), tools=["shell", "edit"])
    assert (found.images, found.tools, found.asked) == (True, ("shell", "edit"), "see")
    assert 1000 < found.tokens < 1100, "an image costs the same however large it is"
    assert not reading(user("see")).images


def test_tokens_are_estimated_by_bytes():
    english, chinese = "The goose flies south in the autumn. " * 100, "大雁秋天往南飞。" * 100
    assert 800 < reading(user(english), tools=None).tokens < 1000
    assert 500 < reading(user(chinese), tools=None).tokens < 800
    found = reading(user("x" * 4000), says("y" * 4000), user("z" * 4000), says("a"))
    assert [turn.tokens // 1000 for turn in found.turns] == [2]
    assert 3000 < found.tokens < 3100, "the beginning of an answer is sent too"


def test_own_failures_and_excuses():
    words = Words(failures=("BUILD BROKEN",), not_failures=("nothing to do",))
    long = "x\n" * 300

    def verdict(content: Any, **more: Any) -> str:
        [turn] = reading(user("go"), calls("a", tool="build"), result("a", content, **more), words=words).turns
        return turn.calls[0].verdict

    assert verdict("build broken: line 4") == verdict(f"{long}\nBuild broken") == "error"
    assert verdict(f"{long}Build broken\n{long}") == verdict("see: build broken") == "ok"
    assert verdict("build broken", is_error=False) == "ok"
    assert verdict("Nothing to do\nCommand exited with code 3") == "ok"
    assert verdict("Command exited with code 3") == "error"


def test_own_wrappers():
    words = Words(wrappers=("my-context",))
    wrapped = user("no, x <my-context>\nthanks\n</my-context>")
    assert shown(reading(user("go"), says(), wrapped, words=words)) == ["<no>"]
    assert reading(wrapped, words=words).asked == "no, x"


CORRECTION: dict[str, tuple[list[Any], str]] = {
    "it does": ([user("go"), says(), user("that's wrong")], "that's wrong"),
    "behind tool results": ([user("go"), calls("a"), result("a"), user("that's wrong")], "that's wrong"),
    "an older one": ([user("go"), says(), user("that's wrong"), says(), user("thanks")], ""),
    "the first words": ([user("that's wrong")], ""),
    "nothing said yet": ([user("go"), says()], ""),
    "an answer to a question": ([user("go"), says("Shall I?"), user("no")], ""),
    "behind a summary": ([user("x"), says("Your context was compacted"), user("that's wrong")], ""),
    "the same words later": ([user("x"), says(), user("y"), says("Your context was compacted"), user("no")], "no"),
}


@pytest.mark.parametrize(("messages", "expected"), CORRECTION.values(), ids=CORRECTION)
def test_the_last_words_correct_the_answer(messages: list[Any], expected: str):
    found = conversation(sent(*messages))
    assert correction(found) == expected
    assert (read(found).turns[-1].corrected if read(found).turns else "") == expected


# Laws -----------------------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=12) | st.sampled_from(
    [
        "no",
        "/replan",
        "/model x",
        "that's wrong",
        FAILS,
        "Error: x",
        "<turn-context>",
        "</turn-context>",
        "\ud83e",
        "[x] Result:",
    ]
)
LEAF = st.none() | st.booleans() | st.integers() | TEXT
KEYS = st.sampled_from(
    (
        *("role", "content", "tool_calls", "function_call", "tool_call_id", "id", "type", "function", "name"),
        *("arguments", "text", "is_error", "messages"),
    )
)
ANY = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5))
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "function", "developer", "x"])
MESSAGE = st.fixed_dictionaries(
    {"role": ROLES | ANY}, optional={"content": TEXT | ANY, "tool_calls": ANY, "tool_call_id": TEXT | ANY}
)


@given(st.lists(MESSAGE | ANY, max_size=8), ANY, ANY)
def test_any_body_is_read(messages: Any, tools: Any, more: Any):
    found = read(conversation(json.dumps({"messages": messages, "tools": tools, "x": more}).encode()))
    roles = [each.role for each in conversation(json.dumps({"messages": messages}).encode()).messages]
    answers = [role for role, _ in itertools.groupby(roles) if role == "assistant"]
    assert len(found.turns) == len(answers) - (roles[-1:] == ["assistant"])
    assert [turn.tokens for turn in found.turns] == sorted(turn.tokens for turn in found.turns)
    assert all(len(call.evidence) <= 80 for turn in found.turns for call in turn.calls)


@given(st.binary(max_size=60))
def test_any_bytes_are_read(body: bytes):
    assert read(conversation(body)).turns == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"messages":5}',
        b'{"messages":[',
        b'{"messages":' + b"[" * 20_000,
        b'{"messages":[{"role":"user","content":' + b"[" * 20_000 + b"]" * 20_000 + b"}]}",
        b'{"messages":[{"role":"user","content":"\xff\\ud83e"}]}',
    ],
)
def test_what_cannot_be_read_is_no_conversation(body: bytes):
    assert read(conversation(body)).turns == ()


# Work -----------------------------------------------------------------------------------------------------------------


class Counted(Message, kw_only=True):
    """Counts what is asked of it."""

    text: str = ""
    asked: list[str] = []

    def read(self) -> Said:
        self.asked.append("read")
        return Said(self.text)

    def calls(self, place: int) -> list[dialect_conversation.Call]:
        self.asked.append("calls")
        return [dialect_conversation.Call(f"{place}", "shell", "{}")]

    def size_of_calls(self) -> int:
        return 100

    def parts(self) -> list[bytes]:
        self.asked.append("parts")
        return [b""]


def test_each_message_is_decoded_once():
    roles: list[Any] = ["system", *["user", "assistant", "tool", "assistant", "tool"] * 200]
    messages = [Counted(role, text="x" * 50) for role in roles]
    read(Conversation(messages))
    for message in messages:
        assert sorted(message.asked) == (["calls"] if message.role == "assistant" else []) + ["parts", "read"]


def test_a_correction_is_looked_for_behind_the_last_answer_alone():
    messages = [Counted(role, text="no") for role in ("user", "assistant", "user", "assistant", "tool", "user")]
    assert correction(Conversation(messages)) == "no"
    assert [len(message.asked) > 0 for message in messages] == [False, False, False, True, False, True]


HOSTILE = {
    "a hundred thousand messages": lambda: sent(*[user("no"), says("x")] * 50_000),
    "a hundred thousand results": lambda: sent(user("x"), calls("a"), *[result("a", FAILS)] * 100_000),
    "a text of ten megabytes": lambda: sent(
        user("go"), calls("a"), result("a", "Error: " * 1_500_000), user("no " * 3_000_000)
    ),
    "very many wrappers": lambda: sent(user("<turn-context></turn-context>" * 100_000 + "no")),
    "wrappers that do not end": lambda: sent(user("<turn-context>" * 100_000), user("</turn-context>" * 100_000)),
    "very many calls": lambda: sent(
        user("x"), calls(*map(str, range(20_000))), *[result(str(n)) for n in range(20_000)]
    ),
    "a line without an end": lambda: sent(
        user("x"), calls("a"), result("a", "a" * 5_000_000), user("try " * 1_000_000)
    ),
    "spaces": lambda: sent(user("x"), says(), user(" " * 5_000_000 + "no"), result(None, "\n" * 5_000_000)),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_are_read(body: Any):
    found = read(conversation(body()))
    assert all(len(turn.calls) <= 400 for turn in found.turns)


def test_the_outcomes_of_very_old_messages_are_not_looked_at():
    failing = [calls("a"), result("a", FAILS)]
    corrected = [says(), user("no, that's wrong")]
    between = [says(), user("and now the next one")] * MOST_JUDGED
    found = reading(user("go"), *failing, *corrected, *between, *failing, *corrected, says())
    failed = [number for number, turn in enumerate(found.turns, 1) if turn.failed]
    assert failed == [MOST_JUDGED + 3, MOST_JUDGED + 4], "the newest alone; and every turn is still one"
    assert reading(*failing, *between, user("sum it up"), tools=None).kind == "aux", "that tools were called is known"


def test_the_bound_of_what_is_judged_does_not_go_along_with_every_request():
    failing = [[calls(str(n)), result(str(n), FAILS)] for n in range(700)]
    roles = [
        LeadWorker(lead="a/m", worker="b/m").due(reading(user("go"), *itertools.chain(*failing[:turns]))).role
        for turns in range(600, 640)
    ]
    assert set(roles) == {"lead", "worker"}, "the worker's failures bring the lead back, however long it goes on"


OWN_WORDS = {
    "qwen-code's preamble, acknowledged": [
        user("This is the Qwen Code. We are setting up the context for our chat."),
        says("Got it. Thanks for the context!"),
    ],
    "Gemini's preamble": [user("This is the Gemini CLI. We are setting up the context for our chat.")],
    "aider's files": [
        user("Here are summaries of some files"),
        says("Ok, I won't try and edit those files without asking first."),
        user("I have *added these files to the chat*"),
        says("Ok, any changes I propose will be to those files."),
    ],
}


@pytest.mark.parametrize("preamble", OWN_WORDS.values(), ids=OWN_WORDS)
def test_a_conversation_begins_with_the_users_own_words(preamble: list[Any]):
    found = reading(*preamble, user("fix it"))
    assert found.origin == reading(user("fix it")).origin != reading(*preamble, user("break it")).origin
    assert found.turns == ()


def test_conversations_that_were_summarised_begin_with_their_summary():
    begun = [user("What did we do so far?"), says("We fixed it.")]
    other = [user("What did we do so far?"), says("We broke it.")]
    assert reading(*begun, user("go on")).origin != reading(*other, user("go on")).origin
