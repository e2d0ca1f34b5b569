"""Whose turn it is: replayed from the conversation alone, with the windows looked at, and the same everywhere."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.chat import Facts
from gateway.routing import RULES, Consult, LeftOut, Ordered, Plan, Target
from gateway.routing.lead_worker import MOST_EVIDENCE, LeadWorker
from gateway.routing.planner import Entry, Owner, Planner, Senses
from gateway.routing.priority import Priority
from gateway.routing.turns import Outcome, Reading, Turn
from gateway.routing.weighted import Share, Weighted
from tests.routing.fleet import FAILED, WENT_WELL, Fleet

FACTS = Facts(model="m")
CORRECTED = Turn(corrected="that's wrong")
BOTH = Turn(calls=FAILED.calls, corrected="try again")
PINNED = msgspec.structs.replace(FAILED, pinned=True)
HISTORY = {".": WENT_WELL, "x": FAILED, "c": CORRECTED, "b": BOTH, "p": PINNED}
HISTORY["?"] = Turn(calls=(Outcome("shell", "unanswered"),))


def turns(history: str) -> tuple[Turn, ...]:
    """``.`` went well, ``x`` a tool failed, ``c`` the user corrected it, ``b`` both, ``?`` no result has come.

    ``p``: made by a model that was chosen by hand, and failed.
    """
    return tuple(HISTORY[each] for each in history)


def names(targets: Sequence[Target]) -> str:
    return " ".join(target.provider for target in targets)


def decided(history: str, settings: dict[str, Any] | None = None, facts: Facts = FACTS, **reading: Any) -> Ordered:
    """What ``LeadWorker`` over ``a`` and ``b`` says; ``reading`` may hold a ``Fleet``'s windows too."""
    fleet = Fleet(windows=reading.pop("windows", {}), reading=Reading(turns=turns(history), **reading))
    return LeadWorker(lead="a", worker="b", **settings or {}).order(facts, fleet)


# the turns so far, and the turn that is to come

COME_TO = {
    "": "lead lead_turns",
    ".": "lead lead_turns",
    "..": "lead lead_turns",
    "...": "worker worker_turns",
    "xxx": "worker worker_turns",  # failures in the lead's turns count nowhere
    "...x": "worker worker_turns",
    "...x.x": "worker worker_turns",  # a success resets the streak
    "...x?x": "worker worker_turns",  # and so does a turn nobody complains of
    "...xx": "lead tool_failures",
    "...xx.": "lead tool_failures",
    "...xx..": "worker worker_turns",
    "...xxxx": "worker worker_turns",  # failures in fallback neither prolong it nor count after
    "...xxxxx": "worker worker_turns",
    "...xxxxxx": "lead tool_failures",
    "xxxx": "worker worker_turns",
    "xxxxx": "lead tool_failures",
    "...xx..xx": "lead tool_failures",
    "...cc": "lead corrections",
    "...cx": "lead tool_failures",
    "...bb": "lead tool_failures",
    "...cc..xx": "lead tool_failures",  # the last streak is what tells
    "...xx..cc": "lead corrections",
    "...............": "worker worker_turns",
    "ppp..": "lead lead_turns",  # what a model did that was chosen by hand counts nowhere
    "...pp": "worker worker_turns",
    "...xpx": "lead tool_failures",
    "...xxp.": "lead tool_failures",
    "...xxp..": "worker worker_turns",
}


@pytest.mark.parametrize(("history", "expected"), COME_TO.items(), ids=lambda each: f"'{each}'")
def test_whose_turn_it_is(history: str, expected: str):
    role, rule = expected.split()
    ordered = decided(history)
    assert (ordered.role, ordered.rule) == (role, rule)
    assert rule in RULES
    assert names(ordered.targets) == ("a b" if role == "lead" else "b a"), "the other role stands by"
    assert ordered.reason.startswith(f"role={role}; turn={len(history) + 1}; ")


SETTINGS = {
    "no lead turns": ({"lead_turns": 0}, "", "worker"),
    "no lead turns, and the first two fail": ({"lead_turns": 0}, "xx", "lead"),
    "one failure is enough": ({"failure_threshold": 1}, "...x", "lead"),
    "no fallback turns": ({"fallback_turns": 0}, "...xx", "worker"),
    "no fallback turns, for ever": ({"fallback_turns": 0}, "...xxxxxxx", "worker"),
    "a longer fallback": ({"fallback_turns": 4}, "...xx...", "lead"),
    "a longer fallback is over": ({"fallback_turns": 4}, "...xx....", "worker"),
    "more lead turns": ({"lead_turns": 5}, "...xx", "worker"),
    "three are needed": ({"failure_threshold": 3}, "...xx", "worker"),
    "three are there": ({"failure_threshold": 3}, "...xxx", "lead"),
}


@pytest.mark.parametrize(("settings", "history", "role"), SETTINGS.values(), ids=SETTINGS)
def test_its_settings(settings: dict[str, int], history: str, role: str):
    assert decided(history, settings).role == role


def test_the_evidence_is_what_failed():
    ordered = decided("...xb.")
    assert ordered.reason == "role=lead; turn=7; 2 failed turns in a row; 1 turn of lead left"
    assert ordered.evidence == (
        "turn 4: shell: Command exited with code 1",
        "turn 5: shell: Command exited with code 1",
    )
    assert decided("...cc").evidence == ("turn 4: the user: that's wrong", "turn 5: the user: that's wrong")
    assert decided("...x").evidence == ()


def test_the_evidence_has_an_end():
    ordered = decided("x" * 503, {"failure_threshold": 500})
    assert len(ordered.evidence) == MOST_EVIDENCE
    assert ordered.evidence[-1].startswith("turn 503: ")


def test_who_was_weighed_is_told():
    assert [(each.reference, each.why) for each in decided("...").candidates] == [
        ("b", "the worker: after the lead's turns"),
        ("a", "the lead: stands by"),
    ]


# calls on the side, and conversations that were summarised


@pytest.mark.parametrize("history", ["", "...xx"])
def test_a_call_on_the_side_is_the_workers(history: str):
    ordered = decided(history, kind="aux", why="goose: a title")
    assert (ordered.role, ordered.rule, ordered.evidence) == ("worker", "auxiliary", ("goose: a title",))
    assert names(ordered.targets) == "b a"


@pytest.mark.parametrize("history", ["", "...", "...xx"])
def test_a_plan_is_the_leads(history: str):
    ordered = decided(history, planning=True)
    assert (ordered.role, ordered.rule, ordered.evidence) == ("lead", "planning", ())
    assert decided(history, {"lead_turns": 0}, planning=True).role == "lead"
    assert decided(history, kind="aux", planning=True).rule == "auxiliary"


def test_an_agent_that_another_has_started_has_first_turns_of_its_own():
    assert decided("", kind="subagent").rule == "lead_turns"


COMPACTED = {
    ("worker", ""): "worker compacted",
    ("worker", ".."): "worker compacted",
    ("worker", "..."): "worker worker_turns",
    ("worker", "xx"): "lead tool_failures",
    ("lead", ""): "lead compacted",
    ("lead", "xx"): "lead compacted",
    ("lead", "..."): "worker worker_turns",
    ("lead", "...xx"): "lead tool_failures",
    ("worker", "ppp"): "worker compacted",
}


@pytest.mark.parametrize(("setting", "history"), COMPACTED)
def test_after_a_summary(setting: str, history: str):
    ordered = decided(history, {"after_compaction": setting}, compacted=True)
    assert f"{ordered.role} {ordered.rule}" == COMPACTED[setting, history]


# windows: (turns, tokens, windows) -> role, rule, who may serve

WORKER, LEAD = "...", ""
WINDOWS: dict[str, tuple[str, int, dict[str, int], str]] = {
    "it fits": (WORKER, 1000, {"a": 200_000, "b": 32_000}, "worker worker_turns b a"),
    "it does not fit the worker": (WORKER, 30_000, {"a": 200_000, "b": 32_000}, "lead context a"),
    "the answer's room counts": (WORKER, 27_905, {"a": 200_000, "b": 32_000}, "lead context a"),
    "to the last token": (WORKER, 27_904, {"a": 200_000, "b": 32_000}, "worker worker_turns b a"),
    "nobody knows the worker's": (WORKER, 10**6, {"a": 2_000_000}, "worker worker_turns b a"),
    "nobody knows the lead's": (WORKER, 30_000, {"b": 32_000}, "lead context a"),
    "it fits nobody": (WORKER, 300_000, {"a": 200_000, "b": 32_000}, "worker worker_turns b a"),
    "the lead's is the smaller": (LEAD, 30_000, {"a": 32_000, "b": 200_000}, "worker context b"),
    "the stand-by is left out": (WORKER, 30_000, {"a": 32_000, "b": 200_000}, "worker worker_turns b"),
    "the lead stands alone": (LEAD, 30_000, {"a": 200_000, "b": 32_000}, "lead lead_turns a"),
    "a small window keeps a quarter": (WORKER, 700, {"a": 8000, "b": 1000}, "worker worker_turns b a"),
    "and no more than that": (WORKER, 751, {"a": 8000, "b": 1000}, "lead context a"),
    "failures come to a lead that fits": ("...xx", 30_000, {"a": 200_000, "b": 32_000}, "lead tool_failures a"),
    "failures cannot bring one that does not": ("...xx", 30_000, {"a": 32_000, "b": 200_000}, "worker context b"),
    "nothing was read": (WORKER, 0, {"a": 10, "b": 10}, "worker worker_turns b a"),
}


@pytest.mark.parametrize(("history", "tokens", "windows", "expected"), WINDOWS.values(), ids=WINDOWS)
def test_windows(history: str, tokens: int, windows: dict[str, int], expected: str):
    ordered = decided(history, tokens=tokens, windows=windows)
    assert f"{ordered.role} {ordered.rule} {names(ordered.targets)}" == expected
    outside = {"a", "b"} - set(names(ordered.targets).split())
    assert {each.target.provider for each in ordered.left_out} == outside
    if ordered.rule == "context":
        due = windows["b" if ordered.role == "lead" else "a"]
        assert ordered.evidence == (f"about {tokens} tokens, window {due}",)
        whose = "worker" if ordered.role == "lead" else "lead"
        assert f"are too many for the {whose}'s window of {due}" in ordered.reason


ROOMS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "the client wants little": ({}, {"max_tokens": 100}, "worker"),
    "the client wants much": ({}, {"max_tokens": 3000}, "lead"),
    "the worker may say little": ({"worker_max_tokens": 100}, {}, "worker"),
    "the lesser of both counts": ({"worker_max_tokens": 100}, {"max_tokens": 3000}, "worker"),
    "nonsense is no bound": ({}, {"max_tokens": "many"}, "lead"),
    "nor is this": ({}, {"max_tokens": True}, "lead"),
}


@pytest.mark.parametrize(("settings", "parameters", "role"), ROOMS.values(), ids=ROOMS)
def test_room_for_the_answer(settings: dict[str, Any], parameters: dict[str, Any], role: str):
    facts = Facts(model="m", parameters=parameters)
    assert decided(WORKER, settings, facts, tokens=7500, windows={"a": 200_000, "b": 8000}).role == role


def test_a_call_on_the_side_that_does_not_fit_is_the_leads():
    ordered = decided("", kind="aux", tokens=30_000, windows={"a": 200_000, "b": 32_000})
    assert (ordered.role, ordered.rule) == ("lead", "context")


def test_only_the_workers_targets_that_are_too_small_are_left_out():
    fleet = Fleet(
        models={"fast": "b c", "smart": "a"},
        windows={"a": 200_000, "b": 8000, "c": 64_000},
        reading=Reading(turns=turns("..."), tokens=30_000),
    )
    ordered = LeadWorker(lead="smart", worker="fast").order(FACTS, fleet)
    assert (ordered.role, names(ordered.targets)) == ("worker", "c a")
    assert ordered.left_out == (LeftOut(Target("b", "m"), "about 30000 tokens, window 8000"),)


# caps


def test_the_workers_answers_may_be_capped():
    made = LeadWorker(lead="smart", worker="fast", lead_turns=1, worker_max_tokens=100)
    fleet = Fleet(models={"fast": "a b", "smart": "c"})
    assert made.order(FACTS, fleet).max_tokens == {}, "where the worker stands by for the lead, it answers as the lead"
    fleet = Fleet(models={"fast": "a b", "smart": "c"}, turns=[WENT_WELL])
    ordered = made.order(FACTS, fleet)
    assert names(ordered.targets) == "a b c"
    assert ordered.max_tokens == {Target("a", "m"): 100, Target("b", "m"): 100}


# any model may be lead or worker


def planner(**models: Any) -> Planner:
    owners = {name: Owner(operations=frozenset({"chat"})) for name in "abcd"}
    return Planner({name: Entry(type(each).__name__, each) for name, each in models.items()}, {}, owners, {})


def planned(made: Planner, history: str, facts: Facts = FACTS, chance: float = 0.0, **reading: Any) -> Plan:
    told = Reading(turns=turns(history), **reading)
    return made.plan(facts, Senses(latency=lambda _: None, chance=lambda: chance, reading=lambda: told))


def test_a_model_may_be_its_own_worker():
    made = planner(m=LeadWorker(lead="a/x", worker="a/x", worker_max_tokens=50))
    assert [str(each) for each in planned(made, "").targets] == ["a/x"]
    assert planned(made, "").max_tokens == {}
    assert planned(made, "...").max_tokens == {Target("a", "x"): 50}
    assert planned(made, "...xx").role == "lead"


def test_strategies_may_be_lead_and_worker():
    made = planner(
        m=LeadWorker(lead="smart", worker="spread", worker_max_tokens=50),
        smart=Priority(targets=("a/x", "b/x")),
        spread=Weighted(targets=(Share(target="c/x", weight=1), Share(target="d/x", weight=3))),
    )
    assert names(planned(made, "").targets) == "a b c d"
    plan = planned(made, "...", chance=0.5)
    assert (names(plan.targets), set(plan.max_tokens.values())) == ("d c a b", {50})


def test_lead_and_worker_may_be_nested():
    made = planner(
        m=LeadWorker(lead="a/x", worker="crew", lead_turns=2, worker_max_tokens=500),
        crew=LeadWorker(lead="b/x", worker="c/x", lead_turns=4, worker_max_tokens=50),
    )
    assert names(planned(made, ".").targets) == "a b c"
    plan = planned(made, "...")
    assert (names(plan.targets), plan.max_tokens[Target("b", "x")]) == ("b c a", 500), "all replay the same turns"
    plan = planned(made, "....")
    assert names(plan.targets) == "c b a"
    assert plan.max_tokens == {Target("c", "x"): 50, Target("b", "x"): 500}, "the tighter cap holds"
    assert plan.reason.startswith("role=worker; turn=5; "), "the outer one tells"


def test_what_two_of_them_leave_out_is_told_once():
    made = planner(m=LeadWorker(lead="a/x", worker="crew"), crew=LeadWorker(lead="b/x", worker="a/x", lead_turns=0))
    senses = Senses(
        latency=lambda _: None,
        chance=lambda: 0.0,
        reading=lambda: Reading(turns=turns("..."), tokens=30_000),
        window={Target("a", "x"): 8000, Target("b", "x"): 200_000}.get,
    )
    plan = made.plan(FACTS, senses)
    assert [names(plan.targets), *(names([each.target]) for each in plan.left_out)] == ["b", "a"]


class Remembering(msgspec.Struct, frozen=True):
    """A strategy that keeps what it is told to, asks a planner, and has a note for the context."""

    target: str

    def references(self) -> tuple[str, ...]:
        return (self.target,)

    def order(self, facts: Facts, fleet: Any) -> Ordered:
        found = fleet.ordered(self.target, facts)
        kept = {"by": self.target}
        return msgspec.structs.replace(found, consult=Consult(found.targets, "why"), note=self.target, remember=kept)


def test_what_a_strategy_inside_wants_is_done_when_it_is_its_turn():
    made = planner(m=LeadWorker(lead="smart", worker="fast"), smart=Remembering("a/x"), fast=Remembering("b/x"))
    for history, model, name in (("", "smart", "a/x"), ("...", "fast", "b/x")):
        plan = planned(made, history)
        assert plan.consult
        assert (plan.remember, plan.note, plan.consult.targets) == ({model: {"by": name}}, name, plan.targets[:1])


# the same everywhere

CONVERSATIONS = [
    (history, tokens, kind, compacted)
    for history in COME_TO
    for tokens in (100, 31_000)
    for kind in ("main", "aux", "subagent")
    for compacted in (False, True)
]


def everything(order: Sequence[int]) -> dict[int, str]:
    """What a new planner decides of all conversations, asked in this order."""
    made = planner(
        m=LeadWorker(lead="smart", worker="fast", worker_max_tokens=100, after_compaction="lead"),
        smart=Priority(targets=("a/x", "b/x")),
        fast=Priority(targets=("c/x", "d/x", "a/x")),
    )
    windows = {Target("c", "x"): 16_000, Target("d", "x"): 32_000}
    found = {}
    for number in order:
        history, tokens, kind, compacted = CONVERSATIONS[number]
        told = Reading(turns=turns(history), tokens=tokens, kind=kind, compacted=compacted)  # type: ignore[arg-type]
        senses = Senses(
            latency=lambda _: None, chance=random.random, reading=lambda told=told: told, window=windows.get
        )
        found[number] = repr(made.plan(FACTS, senses))
    return found


def test_the_same_request_gives_the_same_plan_on_any_replica_in_any_order():
    order = list(range(len(CONVERSATIONS)))
    shuffled = random.Random(5).sample(order, len(order))
    once = everything(order)
    assert everything(shuffled) == once
    assert len(set(once.values())) > 20, "the conversations differ"


def test_the_same_request_gives_the_same_plan_after_a_restart():
    """In processes whose hashes differ, so that nothing depends on the order of a set."""
    script = "from tests.routing.test_lead_worker import *; print(everything(range(len(CONVERSATIONS))))"
    root = Path(__file__).parents[2]

    def run(seed: str) -> bytes:
        env = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run([sys.executable, "-c", script], cwd=root, env=env, check=True, capture_output=True).stdout

    one, other = run("1"), run("4321")
    assert one == other
    assert one.count(b"Plan(") == len(CONVERSATIONS)


def test_a_conversation_that_fits_nobody_is_said_to() -> None:
    found = decided(WORKER, tokens=300_000, windows={"a": 200_000, "b": 32_000})
    assert found.reason.endswith("; about 300000 tokens fit nobody's window")
    assert decided("").reason == "role=lead; turn=1; the first 3 turns are the lead's"
    assert decided("", {"lead_turns": 1}).reason == "role=lead; turn=1; the first turn is the lead's"
