"""How well each answer did: whose score it is, what it is made of, and that each answer has one at most."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway import events
from gateway.chat import Called, Heard, Usage
from gateway.observe import effectiveness as module
from gateway.observe.effectiveness import Effectiveness, Scored
from gateway.observe.metrics import UNKNOWN
from gateway.observe.record import Record
from gateway.observe.sessions import Sessions
from gateway.routing import Target
from tests.observe.test_logs import Desk
from tests.observe.test_metrics import Counting
from tests.observe.told import BEGAN, BUSY, CLAUDE, OPENAI, TYPO, Tale


class Judges:
    """What memory and scores are told by, and what they say."""

    def __init__(self) -> None:
        self.scored: list[Scored] = []
        self.sinks = (Sessions(), Effectiveness(self.scored.append))
        self.span = 0

    def tell(self, tale: Tale) -> Record:
        record = Record(id=tale.events[0].exchange_id, span=tale.span)
        for event in tale.events:
            record.take(event)
            for sink in self.sinks:
                if take := sink.takes.get(type(event)):
                    take(event, record)
        return record

    def ask(
        self,
        *messages: dict[str, Any],
        target: Target = CLAUDE,
        calls: tuple[str, ...] = (),
        reason: str = "stop",
        kind: str | None = "main",
        session: str | None = "ci:s-1",
        tools: bool = True,
        task: str | None = None,
        plan: dict[str, Any] | None = None,
        facts: dict[str, Any] | None = None,
        usage: Usage | None = None,
        **more: Any,
    ) -> Record:
        """A request with these messages, and its answer: with calls of these ids."""
        self.span += 1
        body = json.dumps({"messages": messages, **({"tools": TOOLS} if tools else {}), **more}).encode()
        tale = Tale(self.span, at=BEGAN + self.span * 10)
        tale.understood(body=body, session=session, facts={"tools": tools} | (facts or {}))
        tale.plan(target, kind=kind, task=task, **plan or {})
        heard = Heard(calls=tuple(Called(id, "shell") for id in calls), finish_reasons=(reason,))
        return self.tell(tale.attempt(target).answered(usage, heard=heard).finished(heard=heard))

    def feedback(self, score: float, span: int | None = None) -> None:
        named = f"req-{self.span if span is None else span}"
        given = events.FeedbackGiven(at=BEGAN + 999, exchange_id=named, name="n", score=score, source="ci")
        self.sinks[1].takes[type(given)](given, None)

    @property
    def told(self) -> list[tuple[str, float]]:
        return [(each.id, round(each.score, 3)) for each in self.scored]


TOOLS = [{"type": "function", "function": {"name": "shell"}}]
GO = {"role": "user", "content": "Mend the test."}


def calling(*ids: str) -> dict[str, Any]:
    made = [{"id": id, "type": "function", "function": {"name": "shell", "arguments": "{}"}} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(id: str, content: str = "done") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


DONE = {"role": "assistant", "content": "It is mended."}
BROKEN = "Command exited with code 1"


def test_the_share_of_the_calls_that_went_well():
    judges = Judges()
    judges.ask(GO, calls=("c1", "c2", "c3"))
    assert judges.scored == []
    turn = (GO, calling("c1", "c2", "c3"), result("c1"), result("c2", BROKEN), result("c3"))
    judges.ask(*turn, target=OPENAI)
    (scored,) = judges.scored
    assert (scored.id, scored.target, scored.task, round(scored.score, 3)) == ("req-1", CLAUDE, "tools", 0.667)
    assert (scored.signals, scored.session, scored.at) == ({"tools": 3.0, "ok": 2.0}, "ci:s-1", BEGAN + 20.125)


def test_a_call_nobody_answered_is_no_failure():
    judges = Judges()
    judges.ask(GO, calls=("c1", "c2"))
    judges.ask(GO, calling("c1", "c2"), result("c1"), user("Leave the other one."))
    assert judges.told == [("req-1", 1.0)]


def test_an_answer_that_is_not_corrected_did_well():
    judges = Judges()
    judges.ask(GO)
    judges.ask(GO, DONE, user("Now the next one."))
    assert judges.told == [("req-1", 1.0)]
    assert judges.scored[0].signals == {"continued": 1.0}


@pytest.mark.parametrize("calls", [(), ("c1",)])
def test_an_answer_that_is_corrected_did_not(calls: tuple[str, ...]):
    judges = Judges()
    judges.ask(GO, calls=calls)
    made = (calling(*calls), *map(result, calls)) if calls else (DONE,)
    judges.ask(GO, *made, user("That's wrong, try again."))
    assert judges.told == [("req-1", 0.0)]
    assert judges.scored[0].signals["corrected"]
    assert "wrong, try" not in str(judges.scored[0].signals)


def test_an_answer_that_was_cut_off_is_known_at_once():
    judges = Judges()
    judges.ask(GO, reason="length", calls=("c1",))
    assert judges.told == [("req-1", 0.0)]
    judges.ask(GO, calling("c1"), result("c1"))
    judges.feedback(1.0, span=1)
    assert judges.told == [("req-1", 0.0)]


@pytest.mark.parametrize(
    ("asked", "cap", "used", "scored"),
    [
        (None, None, 4096, True),
        # The caller's own limit: of so many tokens it has left room for an answer.
        (1, None, 1, False),
        (4095, None, 4095, False),
        (4096, None, 4096, True),
        # The strategy's, such as worker_max_tokens.
        (None, 8192, 8192, False),
        (32_000, 8192, 8192, False),
        (200, 8192, 200, False),
        # It came nowhere near them: the model's own was less, or the window was full.
        (None, 8192, 4096, True),
        (4000, 8192, 1000, True),
        # Not every vendor counts all.
        (1000, None, 950, False),
        (1000, None, None, False),
        (None, None, None, True),
    ],
)
def test_who_cut_an_answer_off(asked: int | None, cap: int | None, used: int | None, scored: bool):
    judges = Judges()
    facts = {"parameters": {} if asked is None else {"max_tokens": asked}}
    plan = {"max_tokens": {} if cap is None else {CLAUDE: cap}}
    usage = None if used is None else Usage(output_tokens=used)
    judges.ask(GO, reason="length", facts=facts, plan=plan, usage=usage)
    assert judges.told == ([("req-1", 0.0)] if scored else [])
    assert [each.signals for each in judges.scored] == ([{"truncated": 1.0}] if scored else [])


@pytest.mark.parametrize("then", ["Go on.", "That's wrong."])
def test_what_was_not_let_finish_is_not_judged_by_what_follows(then: str):
    judges = Judges()
    short = {"facts": {"parameters": {"max_tokens": 8}}, "reason": "length"}
    turn = (GO, calling("c1"), result("c1", BROKEN))
    judges.ask(GO, calls=("c1",), **short)
    judges.ask(*turn)
    judges.ask(*turn, DONE, user("More."), **short)
    assert judges.told == [("req-2", 1.0)]
    judges.ask(*turn, DONE, user("More."), DONE, user(then))
    assert judges.told == [("req-2", 1.0)]
    judges.feedback(1.0, span=3)
    assert judges.told == [("req-2", 1.0), ("req-3", 1.0)]


def test_a_cap_for_another_target_cuts_nothing_off():
    judges = Judges()
    judges.ask(GO, reason="length", plan={"max_tokens": {OPENAI: 8}}, usage=Usage(output_tokens=8))
    assert judges.told == [("req-1", 0.0)]


def test_what_follows_an_answer_that_was_cut_off_is_not_about_the_one_before_it():
    judges = Judges()
    judges.ask(GO, calls=("c1",))
    judges.ask(GO, calling("c1"), user("Leave it."), reason="length")
    judges.ask(GO, calling("c1"), user("Leave it."), DONE, user("That's wrong."))
    assert judges.told == [("req-2", 0.0)]


def test_an_answer_that_is_asked_for_again_did_not():
    judges = Judges()
    judges.ask(GO)
    assert judges.ask(GO, target=OPENAI).kind == "retry"
    assert judges.told == [("req-1", 0.0)]
    judges.ask(GO, stream=True)
    assert judges.told == [("req-1", 0.0), ("req-2", 0.0)]
    assert judges.scored[1].target == OPENAI


def test_results_that_are_sent_again_say_nothing_more():
    judges = Judges()
    turn = (GO, calling("c1"), result("c1"))
    judges.ask(GO, calls=("c1",))
    judges.ask(*turn, calls=("c2",))
    judges.ask(*turn, calls=("c2",))
    assert judges.told == [("req-1", 1.0), ("req-2", 0.0)]
    judges.ask(*turn, calling("c2"), result("c2", BROKEN))
    assert judges.told == [("req-1", 1.0), ("req-2", 0.0), ("req-3", 0.0)]


def test_what_failed_is_no_answer():
    judges = Judges()
    body = json.dumps({"messages": [GO]}).encode()
    failed = Tale(1).understood(body=body).plan(CLAUDE, kind="main").attempt(CLAUDE).failed(TYPO)
    judges.tell(failed.finished("error", 400, fault=TYPO))
    left = Tale(2).understood(body=body).plan(CLAUDE, kind="main").attempt(CLAUDE).left().finished("cancelled", 499)
    judges.tell(left)
    judges.span = 2
    assert judges.ask(GO, tools=False).kind == "retry"
    assert judges.told == []


def test_a_retry_of_what_failed_follows_the_answer_before():
    judges = Judges()
    judges.ask(GO, tools=False)
    body = json.dumps({"messages": [GO, DONE, user("More.")]}).encode()
    judges.tell(Tale(7).understood(body=body).finished("error", 429, code="rate_limited"))
    assert judges.told == []
    assert judges.ask(GO, DONE, user("More."), tools=False).kind == "retry"
    assert judges.told == [("req-1", 1.0)]


def test_feedback_counts_before_all_else_and_once():
    judges = Judges()
    judges.ask(GO)
    judges.feedback(0.3)
    judges.feedback(1.0)
    judges.ask(GO, DONE, user("Next."))
    assert judges.told == [("req-1", 0.3)]
    judges.feedback(0.0, span=1)
    judges.feedback(0.0, span=99)
    assert judges.told == [("req-1", 0.3)]


def test_calls_on_the_side_are_scored_by_feedback_alone():
    judges = Judges()
    judges.ask(GO, kind="aux", reason="length")
    judges.ask(GO, kind="aux")
    judges.ask(GO, DONE, user("Sum this up."), kind="aux")
    assert judges.told == []
    judges.feedback(0.0)
    assert judges.told == [("req-3", 0.0)]


def test_a_title_between_two_turns_is_nobodys_news():
    judges = Judges()
    judges.ask(GO)
    judges.ask(user("Name this conversation."), DONE, GO, kind="aux", target=OPENAI)
    judges.ask(user("Name this conversation."), kind=None, tools=False, target=OPENAI)
    assert judges.told == []
    judges.ask(GO, DONE, user("That's wrong."))
    assert judges.told == [("req-1", 0.0)]


def test_agents_that_share_a_session_are_scored_by_their_tools():
    judges = Judges()
    judges.ask(GO)
    judges.ask(user("Look here."), kind="subagent", calls=("c1",), target=OPENAI)
    judges.ask(user("Look here."), calling("c1"), result("c1", BROKEN), kind="subagent", target=OPENAI)
    assert judges.told == [("req-2", 0.0)]
    judges.ask(GO, DONE, user("Next."))
    assert judges.told == [("req-2", 0.0), ("req-1", 1.0)]


def test_agents_with_the_same_task_do_not_blame_each_other():
    judges = Judges()
    for target, id in ((CLAUDE, "a1"), (OPENAI, "b1")):
        judges.ask(user("Look here."), kind="subagent", calls=(id,), target=target)
    assert judges.told == []
    judges.ask(user("Look here."), calling("b1"), result("b1", BROKEN), kind="subagent")
    judges.ask(user("Look here."), calling("a1"), result("a1"), kind="subagent")
    assert [(each.target, each.score) for each in judges.scored] == [(OPENAI, 0.0), (CLAUDE, 1.0)]


def test_two_conversations_of_one_session_do_not_mix():
    judges = Judges()
    other = user("Another thing.")
    judges.ask(GO, target=CLAUDE)
    judges.ask(other, target=OPENAI)
    judges.ask(GO, DONE, user("That's wrong."))
    judges.ask(other, DONE, user("Next."))
    assert [(each.target, each.score) for each in judges.scored] == [(CLAUDE, 0.0), (OPENAI, 1.0)]


def test_the_same_ids_in_two_conversations_at_once_are_scored_apart():
    judges = Judges()
    other = user("Another thing.")
    judges.ask(GO, calls=("call_0",), session=None, target=CLAUDE)
    judges.ask(other, calls=("call_0",), session=None, target=OPENAI)
    judges.ask(GO, calling("call_0"), result("call_0", BROKEN), session=None)
    judges.ask(other, calling("call_0"), result("call_0"), session=None)
    assert [(each.target, each.score) for each in judges.scored] == [(CLAUDE, 0.0), (OPENAI, 1.0)]


def test_many_sessions_do_not_mix():
    judges = Judges()
    for number in range(20):
        judges.ask(GO, session=f"ci:{number}", target=(CLAUDE, OPENAI)[number % 2], calls=("c1",))
    for number in range(20):
        judges.ask(GO, calling("c1"), result("c1", (BROKEN, "done")[number % 2]), session=f"ci:{number}")
    assert judges.told == [(f"req-{number + 1}", float(number % 2)) for number in range(20)]
    assert {(each.target, each.score) for each in judges.scored} == {(CLAUDE, 0.0), (OPENAI, 1.0)}


def test_without_a_session_tools_and_feedback_tell():
    judges = Judges()
    judges.ask(GO, session=None)
    judges.ask(GO, DONE, user("That's wrong."), session=None, calls=("c1",))
    judges.ask(GO, DONE, user("That's wrong."), calling("c1"), result("c1"), session=None)
    assert judges.told == [("req-2", 1.0)]
    judges.feedback(0.5)
    assert judges.told == [("req-2", 1.0), ("req-3", 0.5)]


def test_the_task_is_the_strategys_where_it_has_one():
    judges = Judges()
    judges.ask(GO, task="code")
    judges.ask(GO, DONE, user("Next."), task="chat", reason="length")
    assert [each.task for each in judges.scored] == ["code", "chat"]


def test_who_answered_after_a_failover_has_the_score():
    judges = Judges()
    body = json.dumps({"messages": [GO], "tools": TOOLS}).encode()
    tale = Tale(1).understood(body=body, facts={"tools": True}).plan(OPENAI, CLAUDE, kind="main")
    tale.attempt().failed(BUSY).attempt(CLAUDE, "fallback")
    heard = Heard(calls=(Called("c1", "shell"),))
    judges.tell(tale.answered(heard=heard).finished(heard=heard))
    judges.span = 1
    judges.ask(GO, calling("c1"), result("c1"))
    assert [(each.target, each.score) for each in judges.scored] == [(CLAUDE, 1.0)]


def test_a_conversation_that_was_cut_is_not_the_next_turn():
    judges = Judges()
    judges.ask(GO, DONE, user("More."))
    judges.ask(user("Here is a summary."), DONE, user("On."))
    assert judges.told == []


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_ANSWERS", 10)
    judges = Judges()
    for number in range(50):
        judges.ask(GO, session=f"ci:{number}", calls=("c1",))
    kept = judges.sinks[1]
    assert [len(each) for each in (kept._open, kept._named, kept._last)] == [10, 10, 10]
    judges.ask(GO, calling("c1"), result("c1"), session="ci:1")
    judges.ask(GO, calling("c1"), result("c1"), session="ci:49")
    assert judges.told == [("req-50", 1.0)]


def test_the_score_of_an_answer_is_told_under_its_own_id():
    desk = Desk()
    scored = Scored(
        at=BEGAN,
        id="req-3",
        session="ci:s-1",
        target=CLAUDE,
        task="tools",
        score=1 / 3,
        signals={"tools": 3.0, "ok": 1.0},
    )
    desk.logs.effective(scored)
    Desk("info").logs.effective(scored)
    desk.logs.settle()
    (line,) = map(json.loads, desk.paper.lines)
    assert line == {
        "ts": line["ts"],
        "version": "1.2.3",
        "level": "debug",
        "event": "effectiveness.observed",
        "request_id": "req-3",
        "session_id": "ci:s-1",
        "target": "claude/sonnet",
        "task_type": "tools",
        "score": 0.3333,
        "signals": {"tools": 3.0, "ok": 1.0},
    }


def test_tasks_are_a_closed_set():
    counting = Counting()
    for span, task in enumerate(("code", "of-a-strategy-of-their-own"), 1):
        counting.tell(Tale(span).understood().plan(CLAUDE, task=task).attempt(CLAUDE).answered().finished())
        given = events.FeedbackGiven(at=BEGAN, exchange_id=f"req-{span}", name="n", score=1.0, source="ci")
        label = task if span == 1 else UNKNOWN
        assert counting.tell(given)[f"effectiveness_score{{sonnet,{label}}}"] == (1, 1.0)
