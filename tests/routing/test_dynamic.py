"""``dynamic``: who is chosen, what moves a session and what does not, and what is told of it. Chance is passed in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from gateway.chat import Facts
from gateway.routing import RULES, Latency, LeftOut, Measured, Ordered
from gateway.routing.dynamic import MOST_AGAIN, Dynamic, Kept
from gateway.routing.turns import Outcome, Reading, Turn
from gateway.routing.weighing import ANSWER, Contender, Skills
from tests.routing.fleet import FAILED, WENT_WELL, Fleet, target

FACTS = Facts(model="auto")
CODE = Reading(asked="Refactor the session handling and add unit tests", tokens=1000)
# Dollars per token, in and out.
DEAR, CHEAP = (10e-6, 50e-6), (1e-6, 5e-6)
NEVER: Callable[[], float] = lambda: 0.999  # noqa: E731
ALWAYS: Callable[[], float] = lambda: 0.0  # noqa: E731


def skilled(model: str, **skills: float) -> Contender:
    return Contender(model=model, skills=Skills(**skills))


TWO = Dynamic(candidates=(skilled("dear", code=0.95, chat=0.95), skilled("cheap", code=0.6, chat=0.94)))
PRICES = {"dear": DEAR, "cheap": CHEAP}


def fleet(reading: Reading = CODE, **more: Any) -> Fleet:
    return Fleet(**{"reading": reading, "prices": PRICES, "chance": NEVER, **more})


def order(strategy: Dynamic = TWO, reading: Reading = CODE, facts: Facts = FACTS, **more: Any) -> Ordered:
    return strategy.order(facts, fleet(reading, **more))


def first(ordered: Ordered) -> str:
    return ordered.targets[0].provider


def kept(at: str, task: str = "code", **more: Any) -> dict[str, Any]:
    return {"at": at, "task": task, **more}


def after(*turns: Turn, asked: str = CODE.asked, **more: Any) -> Reading:
    return msgspec.structs.replace(CODE, turns=turns, asked=asked, **more)


# Scores


def test_the_work_decides():
    assert first(order()) == "dear"
    assert first(order(reading=Reading(asked="Tell me about octopuses", tokens=1000))) == "cheap"


def test_what_was_measured_corrects_what_was_believed():
    measured = {("dear", "code"): Measured(20, 60), ("cheap", "code"): Measured(70, 10)}
    found = order(measured=measured)
    assert first(found) == "cheap"
    assert first(order(reading=CODE, measured={("dear", "chat"): Measured(0, 99)})) == "dear", "of another task"
    assert "code 0.84±0.04 (n=80), $0.005" in {each.reference: each.why for each in found.candidates}["cheap"]


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [({"cost_weight": 0.0}, "dear"), ({"cost_weight": 0.08}, "dear"), ({"cost_weight": 0.5}, "cheap")],
)
def test_cost_counts_as_much_as_it_is_said_to(settings: dict[str, float], chosen: str):
    assert first(order(msgspec.structs.replace(TWO, **settings))) == chosen


def test_speed_counts_a_little():
    same = Dynamic(candidates=("slow", "quick"))
    latencies = {"slow": Latency(8.0, 99), "quick": Latency(0.5, 99)}
    assert first(order(same, latencies=latencies, prices={})) == "quick"
    assert first(order(msgspec.structs.replace(same, speed_weight=0), latencies=latencies, prices={})) == "slow"
    assert "0.5 s" in order(same, latencies=latencies).candidates[0].why


@pytest.mark.parametrize(
    ("prices", "chosen"),
    [
        ({"b": DEAR, "c": CHEAP}, "c"),  # nobody is preferred for a price that is not known
        ({}, "a"),
        ({"a": DEAR, "b": (0.0, 0.0)}, "b"),
        ({"a": (0.0, 0.0), "b": (0.0, 0.0)}, "a"),
    ],
)
def test_prices_that_are_not_known_and_none_at_all(prices: Mapping[str, tuple[float, float]], chosen: str):
    assert first(order(Dynamic(candidates=("a", "b", "c")), prices=prices)) == chosen


def test_tool_use_and_other_scripts_count_where_they_are_wanted():
    clumsy = Dynamic(candidates=(skilled("clumsy", code=0.9, tools=0.2, languages=0.9), skilled("deft", code=0.8)))
    assert first(order(clumsy, prices={})) == "clumsy"
    assert first(order(clumsy, facts=Facts(model="auto", tools=True), prices={})) == "deft"
    english = Dynamic(candidates=(skilled("english", code=0.9, languages=0.2), skilled("both", code=0.8)))
    assert first(order(english, reading=Reading(asked="重构这个函数，并加上单元测试"), prices={})) == "both"


def test_everybody_is_told_of_and_stands_by():
    found = order(
        Dynamic(candidates=(skilled("a", code=0.5), skilled("b", code=0.9), skilled("c", code=0.7))), prices={}
    )
    assert [each.provider for each in found.targets] == ["b", "c", "a"]
    assert [each.reference for each in found.candidates] == ["b", "c", "a"]
    assert [each.score for each in found.candidates] == [0.9, 0.7, 0.5]
    assert (found.task, found.rule, found.left_out) == ("code", "best_score", ())
    assert found.reason == "task=code; b: the best score for code; score=0.90"


def test_a_candidate_may_be_a_model_of_several_targets():
    found = order(
        Dynamic(candidates=(skilled("smart", code=0.9), "b")), models={"smart": "x y"}, prices={"x": CHEAP, "b": DEAR}
    )
    assert [each.provider for each in found.targets] == ["x", "y", "b"]
    assert found.candidates[0].why.endswith("$0.005"), "the first target's"


# Needs

NEEDS = {
    "images": ({"vision": False}, FACTS, {"images": True}, "sees no images"),
    "tools": ({"tools": False}, Facts(model="auto", tools=True), {}, "calls no tools"),
    "schema": ({"json_schema": False}, Facts(model="auto", structured=True), {}, "cannot be held to a JSON schema"),
}


@pytest.mark.parametrize(("unable", "facts", "read", "why"), NEEDS.values(), ids=NEEDS)
def test_who_cannot_do_it_is_left_out(unable: dict[str, bool], facts: Facts, read: dict[str, bool], why: str):
    able = Contender(model="able", skills=Skills(code=0.1, vision=0.1, tools=0.1, structured=0.1))
    strategy = Dynamic(candidates=(Contender(model="best", **unable), able))
    found = order(strategy, reading=msgspec.structs.replace(CODE, **read), facts=facts)
    assert found.targets == (target("able"),)
    assert found.left_out == (LeftOut(target("best"), why),)
    assert why in {each.reference: each.why for each in found.candidates}["best"]
    # Nobody can: whoever lacks least serves, and it is said.
    alone = order(
        Dynamic(candidates=(Contender(model="best", **unable),)), msgspec.structs.replace(CODE, **read), facts
    )
    assert alone.targets == (target("best"),)
    assert alone.left_out == ()
    assert alone.reason.endswith(f"; nobody meets the needs ({why})")


def test_what_is_known_of_the_name_is_a_need_too():
    blind, seeing = "p/gpt-3.5-turbo", "q/gpt-4o"
    found = order(Dynamic(candidates=(blind, seeing)), reading=Reading(asked="what is this?", images=True))
    assert found.targets == (target(seeing),)
    told = Dynamic(candidates=(Contender(model=blind, vision=True), seeing))
    assert len(order(told, reading=Reading(asked="what is this?", images=True)).targets) == 2, (
        "the operator knows better"
    )


@pytest.mark.parametrize(
    ("tokens", "parameters", "fits"),
    [
        (5000, {}, True),
        (7000, {}, False),
        (5000, {"max_tokens": 3000}, True),
        (5000, {"max_tokens": 3001}, False),
        (5000, {"max_completion_tokens": 4000}, False),
        (5000, {"max_tokens": "many"}, True),
        (5000, {"max_tokens": True}, True),
    ],
)
def test_the_conversation_and_the_answer_have_to_fit(tokens: int, parameters: dict[str, Any], fits: bool):
    found = order(
        Dynamic(candidates=(skilled("small", code=0.99), skilled("large", code=0.1))),
        reading=msgspec.structs.replace(CODE, tokens=tokens),
        facts=Facts(model="auto", parameters=parameters),
        windows={"small": 8000},
    )
    assert (first(found) == "small") is fits
    assert bool(found.left_out) is not fits


# Exploring


def test_a_bounded_share_of_new_sessions_is_drawn():
    known = {("dear", "code"): Measured(190, 10), ("cheap", "code"): Measured(1, 1)}
    strategy = Dynamic(candidates=("dear", "cheap"), explore=0.2, cost_weight=0)
    chance = random.Random(7).random
    found = [order(strategy, chance=chance, measured=known) for _ in range(3000)]
    drawn = [each for each in found if each.rule == "explored"]
    assert 0.17 < len(drawn) / 3000 < 0.23
    assert {each.targets[0].provider for each in drawn} == {"dear", "cheap"}
    assert all(each.remember and each.remember["explored"] for each in drawn)
    share = sum(first(each) == "cheap" for each in drawn) / len(drawn)
    assert 0.02 < share < 0.5, "by how likely it is to be the best, not evenly"


def test_the_same_chance_draws_the_same():
    drawn = [order(chance=random.Random(5).random, measured={}).targets for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_the_less_known_has_the_benefit_of_the_doubt_until_it_is_known():
    strategy = Dynamic(candidates=("known", "new"))
    measured = {("known", "code"): Measured(160, 40)}
    tried = order(strategy, prices={}, measured=measured, chance=ALWAYS)
    assert (first(tried), tried.rule) == ("new", "explored")
    assert "less is known of it for code, and it may be better than known" in tried.reason
    found = order(strategy, prices={}, measured=measured)
    assert (first(found), found.rule) == ("known", "best_score"), "not in every session"
    for enough in (Measured(140, 60), Measured(48, 13)):
        measured[("new", "code")] = enough
        assert "drawn for code" in order(strategy, prices={}, measured=measured, chance=ALWAYS).reason
    never = msgspec.structs.replace(strategy, explore=0)
    assert first(order(never, prices={}, measured={("known", "code"): Measured(160, 40)}, chance=ALWAYS)) == "known"


CROWDS: dict[str, tuple[tuple[str, ...], dict[tuple[str, str], Measured]]] = {
    "graded and not": (("dear/claude-opus-4-5", "cheap/acme-coder-1"), {}),
    "all graded": (("dear/claude-opus-4-5", "cheap/gpt-4.1-nano"), {}),
    "nobody graded": (("dear/acme-1", "cheap/acme-2", "c/acme-3", "d/acme-4", "e/acme-5"), {}),
    "one measured": (("dear/claude-sonnet-4-5", "cheap/acme-coder-1"), {("dear", "code"): Measured(60, 5)}),
}


@pytest.mark.parametrize("explore", [0.0, 0.05, 0.2])
@pytest.mark.parametrize(("names", "measured"), CROWDS.values(), ids=CROWDS)
def test_no_more_new_sessions_than_said_go_to_another_however_little_is_known(
    names: tuple[str, ...], measured: dict[tuple[str, str], Measured], explore: float
):
    """Nothing is learned on the way: what is little known stays so."""
    strategy, chance = Dynamic(candidates=names, explore=explore), random.Random(5).random
    found = [order(strategy, chance=chance, measured=measured) for _ in range(2000)]
    others = sum(str(each.targets[0]) != each.candidates[0].reference for each in found)
    explored = sum(each.rule == "explored" for each in found)
    assert others <= explored
    assert abs(explored / 2000 - explore) <= 0.02
    assert bool(others) is bool(explore)


BEGUN = {
    "has turns": {"reading": after(WENT_WELL)},
    "was summarised": {"reading": after(compacted=True)},
    "is a sub-agent's": {"reading": after(kind="subagent")},
    "is known": {
        "reading": msgspec.structs.replace(CODE, fingerprint="f"),
        "remembered": kept("dear", request="f"),
    },
    "is on the side": {"reading": after(kind="aux")},
}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
def test_nothing_is_tried_in_a_session_that(begun: dict[str, Any]):
    measured = {("dear", "code"): Measured(190, 10)}
    strategy = Dynamic(candidates=("dear", "cheap"), explore=1, cost_weight=0)
    rules = {order(strategy, chance=random.Random(seed).random, measured=measured, **begun).rule for seed in range(50)}
    assert "explored" not in rules


# Sessions


def test_a_session_stays_though_another_is_a_little_better():
    strategy = Dynamic(candidates=(skilled("a", code=0.8), skilled("b", code=0.9)))
    found = order(strategy, reading=after(WENT_WELL), remembered=kept("a"), prices={})
    assert (first(found), found.rule) == ("a", "sticky")
    assert found.remember == kept("a", last=1)


@pytest.mark.parametrize(
    ("better", "task", "moves"),
    [(0.86, "code", False), (0.86, "chat", False), (0.9, "chat", True), (0.9, "code", False), (0.97, "code", True)],
)
def test_the_margin_is_twice_as_wide_while_the_task_is_the_same(better: float, task: str, moves: bool):
    strategy = Dynamic(candidates=(skilled("here", code=0.8), skilled("there", code=better)))
    found = order(strategy, reading=after(WENT_WELL), remembered=kept("here", task), prices={})
    assert first(found) == ("there" if moves else "here")
    assert found.rule == ("best_score" if moves else "sticky")
    assert found.remember is not None
    assert found.remember["task"] == "code"


def test_a_warm_cache_is_worth_something():
    """The same model twice: whoever has the history is charged a quarter of it."""
    strategy = Dynamic(candidates=("a", "b"), cost_weight=1, switch_margin=0)
    found = order(strategy, after(WENT_WELL, tokens=100_000), remembered=kept("b"), prices={"a": CHEAP, "b": CHEAP})
    costs = {each.reference: each.why for each in found.candidates}
    assert first(found) == "b"
    assert "$0.1," in f"{costs['a']}," and "$0.029" in costs["b"], costs  # noqa: PT018
    assert ANSWER == 800


def test_failed_turns_in_a_row_give_the_session_to_the_best_other():
    strategy = Dynamic(candidates=(skilled("a", code=0.9), skilled("b", code=0.7), skilled("c", code=0.8)))
    one = order(strategy, after(WENT_WELL, FAILED), remembered=kept("a"), prices={})
    assert one.rule == "sticky"
    two = order(strategy, after(WENT_WELL, FAILED, FAILED), remembered=kept("a"), prices={})
    assert (first(two), two.rule) == ("c", "tool_failures")
    assert two.evidence == ("turn 2: shell: Command exited with code 1", "turn 3: shell: Command exited with code 1")
    assert two.remember == kept("c", seen=3, last=3, left=("a",))
    # It is not blamed for those before its time, and the one that was left does not come back by its score.
    three = order(strategy, after(WENT_WELL, FAILED, FAILED, FAILED), remembered=two.remember, prices={})
    assert (first(three), three.rule) == ("c", "sticky")
    five = order(strategy, after(*[FAILED] * 5), remembered=three.remember, prices={})
    assert (first(five), five.remember) == ("b", kept("b", seen=5, last=5, left=("a", "c")))
    # All have failed: the best of the others has another go.
    six = order(strategy, after(*[FAILED] * 6), remembered=five.remember, prices={})
    seven = order(strategy, after(*[FAILED] * 7), remembered=six.remember, prices={})
    assert (first(seven), seven.remember) == ("a", kept("a", seen=7, last=7, left=("b",)))


def test_corrections_are_failures_and_one_candidate_alone_stays():
    wrong = Turn(calls=(Outcome("shell", "ok"),), corrected="that's wrong")
    found = order(reading=after(wrong, wrong), remembered=kept("dear"))
    assert (first(found), found.evidence[0]) == ("cheap", "turn 1: the user: that's wrong")
    assert order(Dynamic(candidates=("dear",)), after(wrong, wrong), remembered=kept("dear")).rule == "sticky"


def test_a_new_task_forgets_who_failed_at_the_old_one():
    found = order(reading=after(WENT_WELL), remembered=kept("cheap", "chat", left=["dear"]))
    assert (first(found), found.rule) == ("dear", "best_score")
    assert order(reading=after(WENT_WELL), remembered=kept("cheap", left=["dear"])).rule == "sticky"


def test_a_session_moves_when_it_outgrows_the_window():
    found = order(reading=after(WENT_WELL, tokens=7000), remembered=kept("dear"), windows={"dear": 8000})
    assert (first(found), found.rule) == ("cheap", "context")
    assert "window 8000 is too small for about 7000 tokens" in found.reason
    blind = Dynamic(candidates=(Contender(model="a", vision=False), "b"))
    found = order(blind, after(WENT_WELL, images=True), remembered=kept("a"))
    assert (first(found), found.rule) == ("b", "best_score")


def test_who_was_tried_is_not_given_up_for_a_score_alone():
    strategy = Dynamic(candidates=(skilled("best", code=0.95), skilled("tried", code=0.3)))
    tried = kept("tried", explored=True)
    assert first(order(strategy, after(WENT_WELL), remembered=tried, prices={})) == "tried"
    assert first(order(strategy, after(FAILED, FAILED), remembered=tried, prices={})) == "best"
    assert first(order(strategy, after(WENT_WELL), remembered={**tried, "task": "maths"}, prices={})) == "best"


def test_a_summary_shortens_the_conversation_and_blames_nobody():
    found = order(reading=after(FAILED, compacted=True), remembered=kept("dear", seen=30))
    assert (found.rule, found.remember) == ("sticky", kept("dear", seen=1, last=1))


def test_a_short_answer_of_the_user_is_the_same_job():
    found = order(reading=after(WENT_WELL, asked="yes, go on"), remembered=kept("dear"))
    assert (found.task, found.rule) == ("code", "sticky")


@pytest.mark.parametrize(
    "remembered",
    [{"left": 3}, kept("gone"), kept("dear", kind="subagent"), {"at": 1}, {"at": "dear"}, kept("dear", seen="many")],
)
def test_what_was_kept_of_something_else_is_not_believed(remembered: dict[str, Any]):
    found = order(reading=after(WENT_WELL), remembered=remembered)
    assert (first(found), found.rule) == ("dear", "best_score")
    assert found.remember == kept("dear", seen=1, last=1)


def test_every_conversation_that_begins_is_decided_anew():
    """A key may stand for one conversation after the other, and all of them may begin with the same words."""
    begun = msgspec.structs.replace(CODE, fingerprint="one")
    remembered = order(reading=begun).remember
    assert remembered == kept("dear", request="one", last=0)
    other = Reading(asked="Tell me about octopuses", fingerprint="two")
    found = order(reading=other, remembered=remembered)
    assert (first(found), found.rule, found.remember) == (
        "cheap",
        "best_score",
        kept("cheap", "chat", request="two", last=0),
    )
    unread = order(remembered=order().remember)
    assert unread.rule == "best_score", "of a conversation nobody can read"
    assert order(reading=after(WENT_WELL), remembered=remembered).rule == "sticky"


def test_a_first_request_that_comes_again_stays_where_it_is_but_not_for_ever():
    """A client that always asks the same is not kept with whoever was tried first."""
    begun, remembered, rules = msgspec.structs.replace(CODE, fingerprint="one"), dict[str, Any](), []
    for _ in range(2 * MOST_AGAIN + 2):
        found = order(reading=begun, remembered=remembered)
        rules.append(found.rule)
        remembered = dict(found.remember or {})
    assert rules == ["best_score", *["sticky"] * MOST_AGAIN] * 2


def test_failures_of_a_model_that_was_chosen_by_hand_are_not_the_candidates():
    by_hand = msgspec.structs.replace(FAILED, pinned=True)
    assert order(reading=after(by_hand, by_hand), remembered=kept("dear")).rule == "sticky"
    assert order(reading=after(FAILED, by_hand), remembered=kept("dear")).rule == "sticky"
    found = order(reading=after(FAILED, by_hand, FAILED), remembered=kept("dear"))
    assert (found.rule, len(found.evidence)) == ("tool_failures", 2)


@pytest.mark.parametrize(
    ("last", "history", "rule"),
    [
        (0, "x", "sticky"),
        (1, "xx", "tool_failures"),  # both its own
        (1, "xxx", "sticky"),  # the third was another's, and so may the second have been
        (0, ".xx", "sticky"),
        (0, "x#x", "sticky"),
        (1, "xx#", "tool_failures"),  # chosen by hand: nobody's
        (9, "xx", "tool_failures"),  # summarised since
    ],
)
def test_failures_of_whoever_served_in_between_are_not_held_against_it(last: int, history: str, rule: str):
    made = {".": WENT_WELL, "x": FAILED, "#": msgspec.structs.replace(FAILED, pinned=True)}
    turns = [made[each] for each in history]
    found = order(reading=after(*turns), remembered=kept("dear", last=last))
    assert found.rule == rule
    assert found.remember is not None
    assert found.remember["last"] == len(turns)


# Others in the session


def test_calls_on_the_side_go_to_the_cheapest_and_move_nothing():
    aside = Reading(kind="aux", why="a title", asked="Fix the bug in parser.py", tokens=500)
    found = order(reading=aside, remembered=kept("dear"))
    assert (first(found), found.rule, found.remember) == ("cheap", "auxiliary", None)
    assert found.task == "chat"
    unpriced = order(Dynamic(candidates=(skilled("a", chat=0.1), skilled("b", chat=0.9))), aside, prices={"a": DEAR})
    assert first(unpriced) == "a", "the one whose price is known"


def test_a_sub_agent_in_the_same_session_leaves_it_as_it_is():
    within = after(kind="subagent")
    assert order(reading=within, remembered=kept("cheap")).remember is None
    alone = order(reading=within)
    assert alone.remember == kept("dear", kind="subagent", last=0)
    assert order(reading=after(WENT_WELL, kind="subagent"), remembered=alone.remember).rule == "sticky"
    anew = order(reading=msgspec.structs.replace(within, asked="Tell me about octopuses"), remembered=alone.remember)
    assert anew.remember == kept("cheap", "chat", kind="subagent", last=0), "another one with the same first words"


def test_what_is_kept_can_be_kept():
    for ordered in (order(), order(chance=ALWAYS), order(reading=after(FAILED, FAILED), remembered=kept("dear"))):
        assert ordered.rule in RULES
        kept_again = msgspec.json.decode(msgspec.json.encode(ordered.remember))
        assert msgspec.convert(kept_again, Kept) == msgspec.convert(ordered.remember, Kept)


def test_embeddings_have_a_task_of_their_own():
    found = order(reading=Reading(), facts=Facts(model="auto", operation="embeddings"))
    assert (found.task, first(found)) == ("embeddings", "cheap")


# What a decision costs


def test_each_candidate_is_asked_for_once():
    asked: Counter[str] = Counter()

    class Counting(Fleet):
        def ordered(self, reference: str, facts: Facts) -> Ordered:
            asked[reference] += 1
            return super().ordered(reference, facts)

    names = tuple("abcde")
    Dynamic(candidates=names).order(FACTS, Counting(reading=CODE, chance=NEVER))
    assert asked == dict.fromkeys(names, 1)
