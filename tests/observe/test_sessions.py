"""What memory adds to a request: why its target is another, how its context grew, what became of the tool calls."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway import events
from gateway.chat import Called, Heard, Usage
from gateway.dialects import DIALECTS
from gateway.errors import Fault, FaultKind
from gateway.observe import sessions as module
from gateway.observe.record import Record, Switch
from gateway.observe.sessions import OF_FAULT, REASONS, Sessions
from gateway.resilience import BreakerSettings, SpikeSettings
from gateway.resilience.health import Health
from gateway.resilience.keys import Keys
from gateway.routing import LeftOut, Plan, Target
from gateway.routing.lead_worker import LeadWorker
from gateway.routing.turns import Reading
from tests.corpus import ROOT
from tests.observe.told import AZURE, BEGAN, BUSY, CLAUDE, LIMITED, OPENAI, TYPO, Tale
from tests.routing.fleet import FAILED, WENT_WELL


class Memory:
    """Sessions, told whole exchanges."""

    def __init__(self) -> None:
        self.sessions, self.span = Sessions(), 0

    def tell(self, tale: Tale) -> Record:
        record = Record(id=tale.events[0].exchange_id, span=tale.span)
        for event in tale.events:
            record.take(event)
            if take := self.sessions.takes.get(type(event)):
                take(event, record)
        return record


def fault(kind: FaultKind) -> Fault:
    return Fault(kind=kind, message="")


def told(record: Record) -> list[tuple[str, str, str, str]]:
    return [(str(each.before), str(each.after), each.reason, each.scope) for each in record.switches]


# Switches ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FaultKind)
def test_the_reason_for_another_target_within_a_request(kind: FaultKind):
    tale = Tale().asked().attempt().failed(fault(kind)).attempt(CLAUDE, "fallback").answered().finished()
    record = Memory().tell(tale)
    expected = {
        FaultKind.RATE_LIMITED: "rate_limited",
        FaultKind.CONTEXT_TOO_LONG: "context_overflow",
        **{each: "timeout" for each in FaultKind if each.name.startswith("TIMEOUT")},
    }.get(kind, "failover")
    assert told(record) == [("openai/gpt-5", "claude/sonnet", expected, "request")]
    assert (record.switches[0].number, record.switches[0].why) == (2, record.tries[0].error_type)
    assert set(OF_FAULT.values()) <= set(REASONS)


def test_each_change_of_target_is_told_once_and_a_retry_is_none():
    tale = Tale().asked().attempt().failed(LIMITED).attempt(kind="retry").failed(BUSY)
    tale.attempt(AZURE, "fallback").failed(LIMITED).attempt(CLAUDE, "fallback").answered().finished()
    assert told(Memory().tell(tale)) == [
        ("openai/gpt-5", "azure/gpt-4.1", "failover", "request"),
        ("azure/gpt-4.1", "claude/sonnet", "rate_limited", "request"),
    ]


def planned(served: Target = OPENAI, read: int = 0) -> Tale:
    """Claude has made a plan, having read so many tokens, before another answered."""
    tale = Tale().asked(served).attempt(CLAUDE, "planner").answered(Usage(input_tokens=read)).advised()
    tale.attempt(served).answered(Usage(input_tokens=100))
    return tale.finished(spent=events.Spent(usage=Usage(input_tokens=100 + read)))


def test_a_planner_that_was_asked_first_has_changed_places_with_nobody():
    memory = Memory()
    for tale in (planned(), served(OPENAI), planned(), planned()):
        record = memory.tell(tale)
        assert (record.switches, record.failovers) == ((), 0)
    # Another executor is another target, and so is another planner.
    assert memory.tell(planned(AZURE)).switches[0].reason == "balanced"
    failing = Tale().asked(AZURE).attempt(CLAUDE, "planner").failed(BUSY).attempt(OPENAI, "planner").answered()
    record = memory.tell(failing.advised().attempt(AZURE).answered().finished())
    assert (told(record), record.failovers) == ([("claude/sonnet", "openai/gpt-5", "failover", "request")], 1)


def test_what_a_planner_has_read_is_not_the_size_of_the_conversation():
    memory = Memory()
    assert [memory.tell(planned(read=read)).growth for read in (5000, 0, 7000)] == [None, 0, 0]


def served(*targets: Target, fails: int = 0, **plan: Any) -> Tale:
    """A request of the session, its plan, and who served: the first that does not fail."""
    heard = {name: plan.pop(name) for name in ("facts", "session", "body") if name in plan}
    tale = Tale().understood(**heard).plan(*targets, **plan)
    for number, target in enumerate(targets[: fails + 1]):
        tale.attempt(target, "fallback" if number else "primary")
        if number < fails:
            tale.failed(BUSY)
    return tale.answered().finished()


def roles(*failed: bool) -> dict[str, Any]:
    """What lead_worker says after turns that failed, or did not."""
    turns = tuple(FAILED if each else WENT_WELL for each in failed)
    due = LeadWorker(lead="a/b", worker="c/d").due(Reading(turns=turns))
    return {"role": due.role, "reason": due.why, "rule": due.rule, "strategy": "lead_worker"}


def shut(kind: FaultKind) -> dict[str, Any]:
    """What health leaves out of a plan when the first target has failed so."""
    settings = BreakerSettings(consecutive=1)
    health = Health(lambda target: settings)
    health.adopt(lambda target: settings, {"openai": Keys(("key",))})
    health.fail(health.begin(OPENAI, health.keys("openai"), 0.0, retry=False, streamed=True), fault(kind), 0.0)
    return {"left_out": health.triage(Plan(model="m", targets=(OPENAI, CLAUDE), reason=""), 0.0).left_out}


def demoted() -> dict[str, Any]:
    """What health leaves out of a plan when the first target's provider fails too often."""
    settings = BreakerSettings(consecutive=1000, min_requests=1000)
    health = Health(lambda target: settings)
    health.adopt(lambda target: settings, {"openai": Keys(("key",))})
    for _ in range(SpikeSettings().min_requests):
        ticket = health.begin(OPENAI, health.keys("openai"), 0.0, retry=False, streamed=True)
        health.fail(ticket, fault(FaultKind.OVERLOADED), 0.0)
    triaged = health.triage(Plan(model="m", targets=(OPENAI, CLAUDE), reason=""), 0.0)
    return {"left_out": triaged.left_out}


LEAD, WORKER, FAILING = roles(), roles(False, False, False), roles(False, False, False, True, True)
OPEN, COOLING, DEAD = shut(FaultKind.OVERLOADED), shut(FaultKind.RATE_LIMITED), shut(FaultKind.BAD_CREDENTIALS)
CORRECTED = {"role": "lead", "rule": "corrections", "reason": "role=lead; turn=6", "strategy": "lead_worker"}
TOO_LONG, COMPACTED = CORRECTED | {"rule": "context"}, CORRECTED | {"rule": "compacted"}
PINNED = {"pinned": "x-skein-model"}
# As the planner words it: routing/planner.py.
ALONE = {"left_out": (LeftOut(CLAUDE, "x-skein-no-fallback"),)}
UNABLE = {"left_out": (LeftOut(OPENAI, "its vendor has no chat"),)}

BETWEEN: dict[str, tuple[list[Tale], str | None]] = {
    "the same": ([served(OPENAI), served(OPENAI)], None),
    "the same after a failover": ([served(OPENAI, CLAUDE, fails=1), served(CLAUDE)], None),
    "another conversation: without tools": ([served(OPENAI), served(CLAUDE, facts={"tools": True})], None),
    "another conversation: another model": (
        [served(OPENAI), served(CLAUDE, facts={"model": "fast"}, model="fast")],
        None,
    ),
    "lead_to_worker": ([served(OPENAI, CLAUDE, **LEAD), served(CLAUDE, OPENAI, **WORKER)], "lead_to_worker"),
    "worker_to_lead": (
        [served(OPENAI, CLAUDE, **WORKER), served(CLAUDE, OPENAI, **LEAD)],
        "worker_to_lead",
    ),
    "tool_failures": ([served(OPENAI, CLAUDE, **WORKER), served(CLAUDE, OPENAI, **FAILING)], "tool_failures"),
    "corrections": ([served(OPENAI, CLAUDE, **WORKER), served(CLAUDE, OPENAI, **CORRECTED)], "tool_failures"),
    "context_overflow": ([served(OPENAI, CLAUDE, **WORKER), served(CLAUDE, OPENAI, **TOO_LONG)], "context_overflow"),
    "context_overflow, without roles": (
        [served(OPENAI, CLAUDE), served(CLAUDE, OPENAI, rule="context")],
        "context_overflow",
    ),
    "compacted": ([served(OPENAI, CLAUDE, **WORKER), served(CLAUDE, OPENAI, **COMPACTED)], "worker_to_lead"),
    # What moved the work once is not what moves it within the lead's turns.
    "shut in the lead's second turn": (
        [served(OPENAI, CLAUDE, **FAILING), served(CLAUDE, OPENAI, **FAILING, **OPEN)],
        "breaker_open",
    ),
    "breaker_open": ([served(OPENAI, CLAUDE), served(CLAUDE, OPENAI, **OPEN)], "breaker_open"),
    "rate_limited": ([served(OPENAI, CLAUDE), served(CLAUDE, OPENAI, **COOLING)], "rate_limited"),
    "a dead key": ([served(OPENAI, CLAUDE), served(CLAUDE, OPENAI, **DEAD)], "rate_limited"),
    "recovered after a failover": ([served(OPENAI, CLAUDE, fails=1), served(OPENAI, CLAUDE)], "recovered"),
    "recovered after it was shut": (
        [served(OPENAI, CLAUDE), served(CLAUDE, OPENAI, **OPEN), served(OPENAI, CLAUDE)],
        "recovered",
    ),
    "error_rate_spike": ([served(OPENAI, CLAUDE), served(CLAUDE, OPENAI, **demoted())], "error_rate_spike"),
    "error_rate_spike, under another role": (
        [served(OPENAI, CLAUDE, **LEAD), served(CLAUDE, OPENAI, **LEAD, **demoted())],
        "error_rate_spike",
    ),
    "recovered after it was demoted": (
        [served(OPENAI, CLAUDE), served(CLAUDE, OPENAI, **demoted()), served(OPENAI, CLAUDE)],
        "recovered",
    ),
    "balanced": (
        [served(OPENAI, CLAUDE, strategy="weighted"), served(CLAUDE, OPENAI, strategy="weighted")],
        "balanced",
    ),
    "manual": ([served(OPENAI), served(CLAUDE, model="claude/sonnet", pinned="/model")], "manual"),
    "manual, and back": ([served(CLAUDE, model="claude/sonnet", pinned="admin"), served(OPENAI)], "manual"),
    "another configuration": ([served(OPENAI), served(CLAUDE, model="claude/sonnet")], "manual"),
    # A client that says the same in a header each time has not changed its mind.
    "a role, by a header that stays": (
        [served(OPENAI, CLAUDE, **PINNED, **LEAD), served(CLAUDE, OPENAI, **PINNED, **WORKER)],
        "lead_to_worker",
    ),
    # Nobody left it out, and it fails again: who is asked first changes with every request.
    "failing again": (
        [served(OPENAI, CLAUDE, fails=1), served(OPENAI, CLAUDE, fails=1)],
        "balanced",
    ),
    "a trial": (
        [served(OPENAI, CLAUDE, fails=1), served(OPENAI, CLAUDE, reason="configured; a trial of openai (demoted)")],
        "balanced",
    ),
    # Others leave targets out, too, and say nothing of their health.
    "no fallback wanted": ([served(OPENAI, CLAUDE, fails=1), served(OPENAI, **ALONE)], "recovered"),
    "left out for what it cannot do": ([served(OPENAI, CLAUDE), served(CLAUDE, **UNABLE)], "balanced"),
    "a role that is none any more": ([served(OPENAI, CLAUDE, **WORKER), served(CLAUDE, OPENAI)], "balanced"),
}


@pytest.mark.parametrize("story", BETWEEN)
def test_the_reason_for_another_target_than_last_time(story: str):
    tales, reason = BETWEEN[story]
    memory = Memory()
    for tale in tales[:-1]:
        memory.tell(tale)
    record = memory.tell(tales[-1])
    switches = [each for each in record.switches if each.scope == "session"]
    assert [each.reason for each in switches] == ([reason] if reason else [])
    for each in switches:
        assert each.before == tales[-2].target
        assert each.after == record.tries[0].target
        assert each.at == record.tries[0].started.at
        assert each.why


def test_the_evidence_is_told_with_the_switch():
    memory = Memory()
    memory.tell(served(OPENAI, CLAUDE, **WORKER))
    evidence = tuple(f"turn {number}: shell: exit code 1" for number in range(9))
    record = memory.tell(served(CLAUDE, OPENAI, **FAILING, evidence=evidence))
    assert record.switches[0].why == "; ".join((FAILING["reason"], *evidence[-5:]))


def test_who_pinned_is_told_with_the_switch():
    memory = Memory()
    memory.tell(served(OPENAI))
    record = memory.tell(served(CLAUDE, model="claude/sonnet", pinned="/model"))
    assert record.switches[0].why == "pinned by /model: coder before, claude/sonnet now"


@pytest.mark.parametrize("seed", range(5))
def test_switches_lead_from_each_target_to_the_next_without_a_gap(seed: int):
    """Who is asked in a session, from call to call: each change is told once, and begins where the last one ended."""
    chance, memory = random.Random(seed), Memory()
    asked: list[Target] = []
    switches: list[Switch] = []
    for _ in range(50):
        targets = chance.sample((OPENAI, CLAUDE, AZURE), 3)
        record = memory.tell(served(*targets, fails=chance.choice((0, 0, 1, 2))))
        asked += [one.target for one in record.tries]
        switches += record.switches
    changes = [(before, after) for before, after in pairwise(asked) if before != after]
    assert [(each.before, each.after) for each in switches] == changes


ASIDE = {"kind": "aux", "role": "worker", "rule": "auxiliary"}


@pytest.mark.parametrize("kind", ["aux", "subagent"])
def test_what_is_no_turn_of_the_conversation_moves_nothing(kind: str):
    """A title between two turns, and an agent that shares the session of the one that started it."""
    memory = Memory()
    memory.tell(served(OPENAI, CLAUDE, **LEAD, kind="main"))
    between = memory.tell(served(CLAUDE, OPENAI, **ASIDE | {"kind": kind}, body=said("Other words.")))
    after = memory.tell(served(OPENAI, CLAUDE, **LEAD, kind="main"))
    assert (between.switches, after.switches) == ((), ())
    assert (between.growth, after.growth) == (None, 0)


def test_agents_that_share_a_session_are_told_apart_by_how_they_begin():
    memory = Memory()
    of = {"kind": "subagent"}
    memory.tell(served(OPENAI, CLAUDE, **of, **LEAD, body=said("Look here.")))
    memory.tell(served(CLAUDE, OPENAI, **of, **WORKER, body=said("Look there.")))
    records = [
        memory.tell(served(CLAUDE, OPENAI, **of, **WORKER, body=said("Look here.", "I did.", "Go on."))),
        memory.tell(served(CLAUDE, OPENAI, **of, **WORKER, body=said("Look there.", "I did.", "Go on."))),
    ]
    assert [[each.reason for each in record.switches] for record in records] == [["lead_to_worker"], []]


# Of the closed set, what nothing in the gateway does yet: no strategy watches money.
UNUSED = {"cost_cap"}


def test_every_reason_is_told_of_or_known_never_to_occur():
    between = {reason for _, reason in BETWEEN.values() if reason}
    assert between | set(OF_FAULT.values()) | {"failover"} == set(REASONS) - UNUSED


def test_a_switch_between_requests_comes_before_those_within():
    memory = Memory()
    memory.tell(served(AZURE))
    record = memory.tell(served(OPENAI, CLAUDE, fails=1))
    assert told(record) == [
        ("azure/gpt-4.1", "openai/gpt-5", "balanced", "session"),
        ("openai/gpt-5", "claude/sonnet", "failover", "request"),
    ]


def test_without_a_session_or_an_answer_nothing_is_remembered():
    memory = Memory()
    memory.tell(served(OPENAI))
    memory.tell(Tale().asked(CLAUDE).attempt(CLAUDE).failed(TYPO).finished("error", 400, fault=TYPO))
    memory.tell(Tale().asked(CLAUDE).attempt(CLAUDE).left().finished("cancelled", 499))
    memory.tell(Tale().understood(session=None).plan(CLAUDE).attempt(CLAUDE).answered().finished())
    assert memory.tell(served(OPENAI)).switches == ()
    assert len(memory.sessions._sessions) == 1


# Context -------------------------------------------------------------------------------------------------------------


def sized(tokens: int | None, **changes: Any) -> Tale:
    usage = None if tokens is None else Usage(input_tokens=tokens, output_tokens=1)
    return Tale().understood(**changes).plan().attempt().answered(usage).finished()


@pytest.mark.parametrize(
    ("sizes", "grown", "compacted"),
    [
        ([1000], None, False),
        ([1000, 1500], 500, False),
        ([1000, 1000], 0, False),
        ([1000, 800], -200, False),
        ([1000, 799], -201, True),
        ([None, 1000], None, False),
        ([1000, None], None, False),
        # An answer without usage in between: the last that is known counts.
        ([1000, None, 1200], 200, False),
        ([1000, 100, 300], 200, False),
    ],
)
def test_growth(sizes: list[int | None], grown: int | None, compacted: bool):
    memory = Memory()
    records = [memory.tell(sized(tokens)) for tokens in sizes]
    assert (records[-1].growth, records[-1].compacted) == (grown, compacted)


@pytest.mark.parametrize(
    "changes",
    [{"session": "ci:other"}, {"facts": {"tools": True}}, {"facts": {"model": "other"}}, {"session": None}],
    ids=repr,
)
def test_growth_is_of_one_conversation(changes: dict[str, Any]):
    memory = Memory()
    memory.tell(sized(1000))
    assert memory.tell(sized(100, **changes)).growth is None
    assert memory.tell(sized(1100)).growth == 100


# Requests that come again -------------------------------------------------------------------------------------------


def said(*texts: str, **more: Any) -> bytes:
    """A conversation without tools: the user's and the model's words in turns."""
    messages = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    return json.dumps({"messages": messages, **more}).encode()


def asking(body: bytes, span: int, **changes: Any) -> Tale:
    return Tale(span).understood(body=body, **changes).plan(kind="main").attempt().answered().finished()


@pytest.mark.parametrize(
    ("again", "changes", "same"),
    [
        (said("a", "b", "c"), {}, True),
        (said("a", "b", "c", stream=True), {}, True),
        (said("a", "b", "c"), {"facts": {"model": "other"}}, True),
        (said("a", "b", "c", "d", "c"), {}, False),
        (said("a", "b", "d"), {}, False),
        (said("a", "x", "c"), {}, False),
        (said("a"), {}, False),
        (said("a", "b", "c"), {"session": "ci:s-2"}, False),
        # Nobody knows whether two who say the same are one.
        (said("a", "b", "c"), {"session": None}, False),
        (said("a", "b", "c"), {"session": "ci:me", "facts": {"user": "me"}}, False),
    ],
    ids=repr,
)
def test_a_request_that_comes_again_is_known(again: bytes, changes: dict[str, Any], same: bool):
    memory = Memory()
    memory.tell(asking(said("a", "b", "c"), 1))
    memory.tell(asking(said("title"), 2))
    record = memory.tell(asking(again, 3, **changes))
    assert (record.repeats, record.kind) == ((1, "retry") if same else (None, "main"))
    if same:
        assert memory.tell(asking(again, 4, **changes)).repeats == 3


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*/*.request.json")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_request_without_its_stream_is_the_same_in_every_dialect(path: Path):
    """Claude Code asks so for what it could not read to the end."""
    memory, dialect, body = Memory(), path.parent.name, path.read_bytes()
    if dialect not in DIALECTS or not DIALECTS[dialect].conversation(body).messages:
        return
    asked = json.loads(body)
    for span, stream in ((1, True), (2, False)):
        sent = json.dumps(asked | {"stream": stream}).encode()
        record = memory.tell(asking(sent, span, dialect=dialect))
    assert (record.repeats, record.kind) == (1, "retry")


@pytest.mark.parametrize(("kind", "shown"), [("main", "retry"), (None, "retry"), ("aux", "aux"), ("subagent",) * 2])
def test_of_agents_that_were_given_the_same_task_none_repeats_the_other(kind: str | None, shown: str):
    memory = Memory()
    tales = (Tale(span).understood(body=said("Look here.")).plan(kind=kind) for span in (1, 2))
    assert [memory.tell(tale).kind for tale in tales] == [kind or "unread", shown]


def test_of_a_long_conversation_the_end_and_the_length_tell():
    memory = Memory()
    words = [str(number) for number in range(99)]
    memory.tell(asking(said(*words), 1))
    assert memory.tell(asking(said("0", *words), 2)).repeats is None
    assert memory.tell(asking(said(*words), 3)).repeats == 1
    long = "a long text " * 1000
    memory.tell(asking(said(long), 4))
    assert memory.tell(asking(said(f"{long}."), 5)).repeats is None
    assert memory.tell(asking(said(f"{long[:-1]}."), 6)).repeats is None
    assert memory.tell(asking(said(long), 7)).repeats == 4


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages": 3}', b'{"messages": [1, {}]}', b"\xff"])
def test_what_cannot_be_read_is_no_repetition(body: bytes):
    memory = Memory()
    assert [memory.tell(asking(body, span)).repeats for span in (1, 2)] == [None, None]


# Tools ---------------------------------------------------------------------------------------------------------------


def body(*calls: tuple[str, str, str], first: str = "go") -> bytes:
    """A request with results: id, tool, what it said. ``first``: the user's first words."""
    made = [{"id": id, "type": "function", "function": {"name": tool, "arguments": "{}"}} for id, tool, _ in calls]
    tools = [{"type": "function", "function": {"name": name}} for name in ("shell", "edit")]
    results = [{"role": "tool", "tool_call_id": id, "content": said} for id, _, said in calls]
    messages = [{"role": "user", "content": first}, {"role": "assistant", "tool_calls": made}, *results]
    return json.dumps({"messages": messages, "tools": tools}).encode()


def calling(target: Target, *ids: str, span: int = 1, first: str = "go", **changes: Any) -> Tale:
    heard = Heard(calls=tuple(Called(id, "shell") for id in ids))
    tale = Tale(span).understood(facts={"tools": True}, body=said(first), **changes).plan(target).attempt(target)
    return tale.answered(heard=heard).finished(heard=heard)


def bringing(*calls: tuple[str, str, str], **changes: Any) -> Tale:
    """Ten seconds later."""
    return Tale(at=BEGAN + 10).understood(**{"facts": {"tools": True}, "body": body(*calls)} | changes)


GOOD, BAD = ("c1", "shell", "done"), ("c2", "edit", "Error: no")


def outcomes(record: Record) -> list[tuple[str, str, Target | None]]:
    return [(each.id, each.outcome, each.target) for each in record.tools]


def test_the_target_of_a_call_is_known_from_the_answer_that_made_it():
    memory = Memory()
    memory.tell(calling(CLAUDE, "c1", "c2"))
    record = memory.tell(bringing(GOOD, BAD, ("c3", "rm", "x")))
    assert outcomes(record) == [("c1", "ok", CLAUDE), ("c2", "error", CLAUDE), ("c3", "unknown_tool", None)]
    assert [(each.tool, each.repeated) for each in record.tools] == [("shell", False), ("edit", False), ("rm", False)]
    # From the end of the answer, five events later than the request, to the request that brought the result.
    assert [each.seconds for each in record.tools] == [9.5, 9.5, None]
    assert [each.made for each in record.tools] == [1, 1, None]


def test_a_call_is_judged_once_however_often_it_is_sent():
    memory = Memory()
    memory.tell(calling(CLAUDE, "c1"))
    assert outcomes(memory.tell(bringing(GOOD))) == [("c1", "ok", CLAUDE)]
    again = memory.tell(bringing(GOOD))
    assert outcomes(again) == []
    assert outcomes(memory.tell(bringing(GOOD, BAD))) == [("c2", "error", None)]


def test_an_id_that_an_answer_uses_again_is_a_new_call():
    memory = Memory()
    for target in (CLAUDE, OPENAI):
        memory.tell(calling(target, "c1"))
        assert outcomes(memory.tell(bringing(GOOD))) == [("c1", "ok", target)]


@pytest.mark.parametrize(
    ("whose", "same"),
    [
        ({"session": "ci:s-1"}, True),
        ({"session": "ci:s-2"}, False),
        ({"session": None, "caller": "ci"}, False),
    ],
)
def test_calls_are_one_sessions_own(whose: dict[str, Any], same: bool):
    memory = Memory()
    memory.tell(calling(CLAUDE, "c1"))
    assert outcomes(memory.tell(bringing(GOOD, **whose))) == [("c1", "ok", CLAUDE if same else None)]


def test_without_a_session_calls_are_the_callers():
    memory, whose = Memory(), {"session": None, "caller": "ci"}
    memory.tell(calling(CLAUDE, "c1", **whose))
    assert outcomes(memory.tell(bringing(GOOD, **whose))) == [("c1", "ok", CLAUDE)]
    assert outcomes(memory.tell(bringing(GOOD, **whose))) == []


NOBODYS = {"session": None, "caller": "ci"}


@pytest.mark.parametrize("whose", [{}, NOBODYS], ids=["one session", "none"])
def test_the_same_ids_in_two_conversations_at_once_are_two_calls(whose: dict[str, Any]):
    memory = Memory()
    memory.tell(calling(CLAUDE, "call_0", **whose))
    memory.tell(calling(OPENAI, "call_0", first="Another thing.", **whose))
    brought = ("call_0", "shell", "Command exited with code 1"), ("call_0", "shell", "done")
    records = [
        memory.tell(bringing(brought[0], **whose)),
        memory.tell(bringing(body=body(brought[1], first="Another thing."), **whose)),
    ]
    assert [outcomes(each) for each in records] == [[("call_0", "error", CLAUDE)], [("call_0", "ok", OPENAI)]]


@pytest.mark.parametrize("words", ["go", "a long text " * 1000])
def test_what_agents_put_around_the_first_words_changes_nothing(words: str):
    memory = Memory()
    memory.tell(calling(CLAUDE, "c1", first=f"{words}\n<turn-context>10:31, /home</turn-context>", **NOBODYS))
    later = body(GOOD, first=f"<system-reminder>Be brief.</system-reminder> {words}")
    assert outcomes(memory.tell(bringing(body=later, **NOBODYS))) == [("c1", "ok", CLAUDE)]
    memory.tell(calling(CLAUDE, "c2", first=words, **NOBODYS))
    other = body(("c2", "shell", "done"), first=f"{words} now")
    assert outcomes(memory.tell(bringing(body=other, **NOBODYS))) == [("c2", "ok", None)]


def test_the_first_words_stand_behind_messages_of_the_agents_own():
    memory = Memory()
    of = {"role": "user", "content": "<environment_context>here</environment_context>"}
    for target, words in ((CLAUDE, "go"), (OPENAI, "Another thing.")):
        own = json.dumps({"messages": [of, {"role": "user", "content": words}]}).encode()
        heard = Heard(calls=(Called("c1", "shell"),))
        tale = Tale().understood(facts={"tools": True}, body=own).plan(target).attempt(target)
        memory.tell(tale.answered(heard=heard).finished(heard=heard))
    brought = json.loads(body(GOOD))
    brought["messages"].insert(0, of)
    assert outcomes(memory.tell(bringing(body=json.dumps(brought).encode()))) == [("c1", "ok", CLAUDE)]


def test_a_call_that_two_may_have_made_is_nobodys():
    """Two conversations that begin the same, of a client that names no session and numbers its calls."""
    memory = Memory()
    for target in (CLAUDE, OPENAI, CLAUDE):
        memory.tell(calling(target, "call_0", **NOBODYS))
    brought = ("call_0", "shell", "done")
    assert outcomes(memory.tell(bringing(brought, **NOBODYS))) == [("call_0", "ok", None)]
    memory.tell(calling(OPENAI, "call_0", **NOBODYS))
    assert outcomes(memory.tell(bringing(brought, **NOBODYS))) == [("call_0", "ok", OPENAI)]


def test_a_call_of_an_answer_that_was_asked_for_again_is_the_last_ones():
    memory = Memory()
    for target in (CLAUDE, OPENAI):
        memory.tell(calling(target, "call_0"))
    assert outcomes(memory.tell(bringing(("call_0", "shell", "done")))) == [("call_0", "ok", OPENAI)]


def test_requests_without_tools_are_not_read():
    assert Memory().tell(bringing(GOOD, facts={"tools": False})).tools == ()


def test_a_request_that_is_refused_has_been_judged_all_the_same():
    memory = Memory()
    memory.tell(calling(CLAUDE, "c1"))
    refused = bringing(GOOD).plan().attempt().failed(TYPO).finished("error", 400, fault=TYPO)
    assert len(memory.tell(refused).tools) == 1
    assert memory.tell(bringing(GOOD)).tools == ()


# Memory --------------------------------------------------------------------------------------------------------------


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_SESSIONS", 10)
    monkeypatch.setattr(module, "MOST_CALLS", 20)
    memory = Memory()
    memory.tell(calling(CLAUDE, "kept", session="ci:kept"))
    sizes: list[tuple[int, ...]] = []
    for number in range(100):
        session = f"ci:{number}"
        words = f"go to {number}"
        memory.tell(calling(OPENAI, f"a{number}", f"b{number}", first=words, session=session))
        kept = memory.sessions
        sizes.append((len(kept._sessions), len(kept._calls), len(kept._judged), len(kept._origins)))
        memory.tell(bringing(body=body((f"a{number}", "shell", "done"), first=words), session=session))
        # Who is heard of lately is remembered, however long ago it began.
        memory.tell(calling(CLAUDE, "kept", session="ci:kept"))
    assert [max(each) for each in zip(*sizes, strict=True)] == [10, 20, 20, 10]
    record = memory.tell(bringing(("kept", "shell", "done"), session="ci:kept"))
    assert outcomes(record) == [("kept", "ok", CLAUDE)]
    switched = memory.tell(calling(OPENAI, session="ci:kept"))
    assert len(switched.switches) == 1


def test_a_call_that_is_made_again_is_as_young_as_its_last_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_CALLS", 20)
    memory = Memory()
    for some in ("a", "b"):
        memory.tell(calling(CLAUDE, "kept"))
        memory.tell(calling(OPENAI, *(f"{some}{number}" for number in range(15))))
    assert outcomes(memory.tell(bringing(("kept", "shell", "done")))) == [("kept", "ok", CLAUDE)]
