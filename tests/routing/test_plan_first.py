"""When a planner is asked, what is remembered of it, when its plan is followed. Reading and memory are passed in."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from gateway.chat import Facts
from gateway.consulting import Advised, kept
from gateway.routing import RULES, Advice, Ordered, Plan
from gateway.routing.lead_worker import LeadWorker
from gateway.routing.plan_first import MOST_EVIDENCE, Memory, PlanFirst, recalled
from gateway.routing.planner import Entry, Owner, Planner, Senses
from gateway.routing.priority import Priority
from gateway.routing.turns import Command, Reading, Turn
from tests.routing.fleet import FAILED, WENT_WELL, Fleet, target

FACTS = Facts(model="m")
HISTORY = {".": WENT_WELL, "x": FAILED, "c": Turn(corrected="that's wrong")}
REPLAN = (Command("replan", last=True),)


def turns(history: str) -> tuple[Turn, ...]:
    """``.`` went well, ``x`` a tool failed, ``c`` the user corrected it."""
    return tuple(HISTORY[each] for each in history)


class Session:
    """One conversation, and what is kept of it."""

    def __init__(self, memory: Mapping[str, Any] | None = None, **settings: Any) -> None:
        self.nested = settings.pop("nested", False)
        self.strategy = PlanFirst(planner="p", executor="e", **settings)
        self.memory = dict(memory or {})

    def ask(self, history: str = "", *, facts: Facts = FACTS, **reading: Any) -> Ordered:
        """What is decided; the request is another at every turn, unless its fingerprint is given."""
        reading.setdefault("fingerprint", f"{history}{reading.get('commands')}")
        read = Reading(turns=turns(history), **reading)
        fleet = Fleet(reading=read, remembered=self.memory, nested=self.nested)
        decided = self.strategy.order(facts, fleet)
        if decided.remember is not None:
            self.memory = dict(decided.remember)
        return decided

    def tells(self, decided: Ordered, kind: Advice, text: str = "# Plan") -> None:
        """What the planner that was asked has said is kept, as the relay keeps it."""
        assert decided.consult is not None
        by_name = {advice: {"m": each} for advice, each in decided.consult.remember.items()}
        consult = msgspec.structs.replace(decided.consult, by="m", remember=by_name)
        found = kept(Plan(model="m", targets=(), reason="", consult=consult), Advised(kind, text=text))
        self.memory = self.memory if found is None else dict(found["m"])

    def planned(self, history: str = "", text: str = "# Plan") -> None:
        self.tells(self.ask(history), "plan", text)


def rule(decided: Ordered) -> str:
    return f"{decided.rule}{' asks' if decided.consult else ''}"


# --- the rules, for a session without a plan and for one that was planned at its beginning

WITHOUT = {
    "": "first_turn asks",
    ".": "no_plan",
    "x": "no_plan",
    "xx": "replan asks",
    ".xc": "replan asks",
    "xx.": "no_plan",
}
PLANNED = {
    ".": "plan_kept",
    "x": "plan_kept",
    "xx": "replan asks",
    "x.x": "plan_kept",
    "cc": "replan asks",
    ".....xx.": "plan_kept",
}


@pytest.mark.parametrize(("history", "expected"), WITHOUT.items())
def test_without_a_plan(history: str, expected: str) -> None:
    assert rule(Session().ask(history)) == expected


@pytest.mark.parametrize(("history", "expected"), PLANNED.items())
def test_with_a_plan(history: str, expected: str) -> None:
    session = Session()
    session.planned(text="# Plan A")
    decided = session.ask(history, fingerprint="another")
    assert rule(decided) == expected
    assert decided.note == "# Plan A"  # also while another is made: it may not come


@pytest.mark.parametrize("reading", [{"kind": "aux", "why": "a title"}, {"kind": "subagent", "why": "x-subagent"}])
def test_what_is_no_turn_of_the_agent_goes_to_the_executor_and_moves_nothing(reading: dict[str, Any]) -> None:
    session = Session()
    session.planned()
    before = dict(session.memory)
    for history in ("", "xx"):
        decided = session.ask(history, **reading)
        assert (rule(decided), decided.note, decided.remember) == ("auxiliary", None, None)
        assert decided.evidence == (reading["why"],)
    assert session.memory == before


COMMANDS = {
    "a command is no task": ("", Command("model", "architect", True), "no_plan"),
    "nor later": ("..", Command("model", "architect", True, 2), "no_plan"),
    "the task after it is one": (".", Command("model", "architect"), "first_turn asks"),
    "also in the middle of a conversation": ("...", Command("model", "architect", turn=2), "first_turn asks"),
    "what follows is not": ("....", Command("model", "architect", turn=2), "no_plan"),
}


@pytest.mark.parametrize(("history", "command", "expected"), COMMANDS.values(), ids=COMMANDS)
def test_a_model_that_was_chosen_by_hand_plans_the_first_task(history: str, command: Command, expected: str) -> None:
    assert rule(Session().ask(history, commands=(command,))) == expected


def test_embeddings_are_not_planned() -> None:
    decided = Session().ask(facts=Facts(model="m", operation="embeddings"))
    assert (rule(decided), decided.note) == ("no_plan", None)


def test_the_executor_serves_and_the_planner_is_asked() -> None:
    decided = Session().ask()
    assert decided.consult is not None
    assert (decided.targets, decided.consult.targets) == ((target("e"),), (target("p"),))
    assert [each.reference for each in decided.candidates] == ["p", "e"]
    assert decided.reason == "turn=1; nothing is planned yet"
    assert Session().strategy.references() == ("p", "e")
    assert rule(decided).split()[0] in RULES


# --- plans made anew


def test_failures_count_from_the_plan_on() -> None:
    session = Session()
    session.planned()
    again = session.ask("xx")
    assert again.evidence == ("turn 1: shell: Command exited with code 1", "turn 2: shell: Command exited with code 1")
    session.tells(again, "plan", "# Plan B")
    assert [rule(session.ask("xx" + more)) for more in ("x", "xx")] == ["plan_kept", "replan asks"]
    assert session.ask("xxx").note == "# Plan B"


def test_the_threshold_is_a_setting_and_evidence_is_bounded() -> None:
    assert rule(Session(failure_threshold=1).ask("x")) == "replan asks"
    assert rule(Session(failure_threshold=3).ask("xx")) == "no_plan"
    many = Session().ask("x" * 40).evidence
    assert len(many) == MOST_EVIDENCE
    assert many[-1].startswith("turn 40:")


def test_the_user_asks_for_a_new_plan() -> None:
    session = Session()
    session.planned()
    decided = session.ask("..", commands=REPLAN)
    assert rule(decided) == "replan asks"
    session.tells(decided, "plan", "# Plan B")
    later = session.ask("...", commands=(Command("replan"),))
    assert (rule(later), later.note) == ("plan_kept", "# Plan B")


def test_a_planner_that_fails_is_not_asked_at_every_turn() -> None:
    session = Session()
    session.planned(text="# Plan A")
    session.tells(session.ask("xx"), "failed")
    following = [session.ask("xx" + more) for more in ("x", "xx")]
    assert [rule(each) for each in following] == ["plan_kept", "replan asks"]
    assert following[0].note == "# Plan A"


def test_a_first_turn_that_got_no_plan_leaves_nothing() -> None:
    session = Session()
    session.tells(session.ask(), "failed")
    assert session.memory == {}
    assert rule(session.ask(".")) == "no_plan"


# --- requests that come again


def test_another_request_that_begins_a_conversation_is_planned_for_itself() -> None:
    session = Session()
    session.planned(text="# Plan A")
    decided = session.ask("", fingerprint="another")
    assert (rule(decided), decided.note) == ("first_turn asks", None)


@pytest.mark.parametrize(("history", "commands"), [("", ()), ("xx", ()), (".", REPLAN)])
def test_the_same_request_is_planned_once(history: str, commands: tuple[Command, ...]) -> None:
    session = Session()
    session.tells(session.ask(history, commands=commands, fingerprint="same"), "plan", "# Plan A")
    again = session.ask(history, commands=commands, fingerprint="same")
    assert (rule(again), again.note) == ("plan_kept", "# Plan A")


def test_a_request_without_a_fingerprint_is_not_taken_for_another() -> None:
    session = Session()
    session.tells(session.ask(".", commands=REPLAN, fingerprint=""), "plan")
    assert rule(session.ask(".", commands=REPLAN, fingerprint="")) == "replan asks"


# --- questions


def may_ask(decided: Ordered) -> bool:
    assert decided.consult is not None
    return decided.consult.may_ask


def test_questions_are_asked_in_rounds_and_then_a_plan_is_made() -> None:
    session = Session(questions=2)
    told = []
    for history in ("", ".", ".."):
        decided = session.ask(history)
        told.append((rule(decided), may_ask(decided)))
        session.tells(decided, "questions" if may_ask(decided) else "plan")
    assert told == [("first_turn asks", True), ("first_turn asks", True), ("first_turn asks", False)]
    assert rule(session.ask("...")) == "plan_kept"
    anew = session.ask("....", commands=REPLAN)
    assert may_ask(anew), "a new plan, new questions"


def test_asking_the_same_turn_again_is_no_further_round() -> None:
    session = Session(questions=1)
    for _ in range(3):
        decided = session.ask("")
        assert may_ask(decided)
        session.tells(decided, "questions")
    assert not may_ask(session.ask("."))


def test_questions_that_nobody_answered_are_forgotten() -> None:
    session = Session(questions=1)
    session.tells(session.ask(""), "questions")
    assert rule(session.ask("..")) == "no_plan"
    assert may_ask(session.ask("..", commands=REPLAN))


def test_after_questions_about_a_new_plan_it_is_that_which_is_made() -> None:
    session = Session()
    session.planned(text="# Plan A")
    session.tells(session.ask("xx"), "questions")
    decided = session.ask("xx.")
    assert (rule(decided), decided.note) == ("replan asks", "# Plan A")


@pytest.mark.parametrize(("settings", "facts"), [({"questions": 0}, FACTS), ({}, Facts(model="m", structured=True))])
def test_nobody_is_asked_who_cannot_answer(settings: dict[str, Any], facts: Facts) -> None:
    assert not may_ask(Session(**settings).ask(facts=facts))


def test_in_the_middle_of_a_tool_loop_nobody_is_asked() -> None:
    session = Session()
    assert not may_ask(session.ask("xx", looping=True))
    assert may_ask(session.ask("xx", looping=False))


# --- an agent that asks for a plan of its own


def test_an_agents_own_request_for_a_plan_goes_to_the_planner_and_moves_nothing() -> None:
    session = Session(max_tokens=500)
    session.planned()
    before = dict(session.memory)
    for history in ("", "xx"):
        decided = session.ask(history, planning=True)
        assert (rule(decided), decided.note, decided.remember) == ("planning", None, None)
        assert decided.targets == (target("p"), target("e"))
        assert decided.max_tokens == {target("p"): 500}
    assert session.memory == before
    assert rule(session.ask(planning=True, kind="subagent", why="a header")) == "auxiliary"


# --- models chosen by hand


def test_failures_of_a_model_that_was_chosen_by_hand_are_not_the_executors() -> None:
    by_hand = {"o": msgspec.structs.replace(WENT_WELL, pinned=True), "#": msgspec.structs.replace(FAILED, pinned=True)}
    told = {}
    for history in ("##", "x#", "x#x", "xo#x", "x.#x"):
        made = tuple({**HISTORY, **by_hand}[each] for each in history)
        fleet = Fleet(reading=Reading(turns=made, fingerprint=history), remembered={"plan": "# Plan", "turns": 0})
        decided = Session().strategy.order(FACTS, fleet)
        told[history] = (decided.rule, len(decided.evidence))
    kept_on, again = ("plan_kept", 0), ("replan", 2)
    assert told == {"##": kept_on, "x#": kept_on, "x#x": again, "xo#x": again, "x.#x": kept_on}


# --- what is kept


def test_a_conversation_that_was_summarised_keeps_its_plan() -> None:
    session = Session()
    session.tells(session.ask("." * 20, commands=REPLAN), "plan", "# Plan A")
    for history in ("", "."):
        decided = session.ask(history, compacted=True)
        assert (rule(decided), decided.note) == ("plan_kept", "# Plan A")
    # Its turns are counted anew from then on.
    assert rule(session.ask("xx", compacted=True)) == "replan asks"


@pytest.mark.parametrize("memory", [{"plan": 7}, {"turns": "many"}, {"asked_at": []}, {"plan": "x", "rounds": None}])
def test_a_memory_that_cannot_be_read_is_none(memory: dict[str, Any]) -> None:
    assert recalled(memory, Reading()) == Memory()
    assert rule(Session(memory).ask()) == "first_turn asks"


# --- among other models


def planner_of(**models: Any) -> Planner:
    owners = {name: Owner(operations=frozenset(("chat", "embeddings"))) for name in "abcd"}
    owners["b"] = Owner(operations=frozenset(("embeddings",)))
    entries = {name: Entry(type(each).__name__, each) for name, each in models.items()}
    return Planner(entries, {}, owners, {})


SENSES = Senses(latency=lambda _: None, chance=lambda: 0.0)


def test_planners_may_be_any_models_and_those_that_cannot_chat_are_left_out() -> None:
    planner = planner_of(
        m=PlanFirst(planner="smart", executor="fast", max_tokens=500),
        smart=Priority(targets=("b/m", "c/m", "a/m")),
        fast=Priority(targets=("d/m", "c/m")),
    )
    consult = planner.plan(Facts(model="m"), SENSES).consult
    assert consult is not None
    assert consult.targets == (target("c"), target("a"))
    assert {consult.max_tokens[each] for each in consult.targets} == {500}
    alone = planner.plan(Facts(model="m"), SENSES, no_fallback=True)
    assert alone.consult is not None
    assert (alone.targets, alone.consult.targets) == ((target("d"),), (target("c"),))
    assert planner.remembering("m")
    assert not planner.remembering("smart")


def test_without_a_planner_that_can_chat_nobody_is_asked() -> None:
    plan = planner_of(m=PlanFirst(planner="b/m", executor="a/m")).plan(Facts(model="m"), SENSES)
    assert (plan.consult, plan.targets) == (None, (target("a"),))


def test_a_plan_inside_a_plan_is_not_made() -> None:
    inner = PlanFirst(planner="c/m", executor="d/m")
    plan = planner_of(m=PlanFirst(planner="inner", executor="a/m"), inner=inner).plan(Facts(model="m"), SENSES)
    assert plan.consult is not None
    assert plan.consult.targets == (target("d"),)


def test_within_another_model_the_first_turn_that_is_its_own_is_planned() -> None:
    session = Session(nested=True)
    assert not may_ask(session.ask("..", looping=True)), "in a tool loop nobody answers"
    decided = session.ask("..")
    assert (rule(decided), decided.reason) == ("first_turn asks", "turn=3; the first turn that is its own")
    session.tells(decided, "plan", "# Plan A")
    later = session.ask("...")
    assert (rule(later), later.note) == ("plan_kept", "# Plan A")


@pytest.mark.parametrize("history", ["", ".."])
def test_within_another_model_a_planner_that_failed_is_not_asked_at_every_turn(history: str) -> None:
    session = Session(nested=True)
    session.tells(session.ask(history), "failed")
    told = [rule(session.ask(history + more)) for more in (".", ".x", ".xx")]
    assert told == ["no_plan", "no_plan", "replan asks"]


def test_a_worker_that_plans_does_so_when_its_turn_has_come() -> None:
    planner = planner_of(m=LeadWorker(lead="a/m", worker="w", lead_turns=1), w=PlanFirst(planner="c/m", executor="d/m"))

    def ask(history: str, remembered: Mapping[str, Any]) -> Plan:
        reading = Reading(turns=turns(history), fingerprint=history)
        senses = msgspec.structs.replace(SENSES, reading=lambda: reading, remembered=remembered)
        return planner.plan(Facts(model="m"), senses)

    assert ask("", {}).consult is None, "the lead's turn"
    own = ask(".", {})
    assert own.consult is not None
    found = kept(own, Advised("plan", text="# Plan A"))
    assert found is not None
    assert list(found) == ["w"]
    later = ask("..", found)
    assert (later.consult, later.note) == (None, "# Plan A")


def test_a_hundred_sessions_at_once_keep_their_own_plans() -> None:
    chance = random.Random(7)
    sessions = [Session() for _ in range(100)]
    steps = [(number, step) for number in range(100) for step in range(5)]
    chance.shuffle(steps)
    at = dict.fromkeys(range(100), 0)
    for number, _ in steps:
        session, history = sessions[number], "." * at[number]
        decided = session.ask(history)
        if decided.consult:
            session.tells(decided, "plan", f"# Plan {number}")
        else:
            assert decided.note == f"# Plan {number}"
        at[number] += 1
