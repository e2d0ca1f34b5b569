"""From a name to a plan: which rule finds it, which targets can serve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest

from gateway.chat import Facts
from gateway.errors import CallerError
from gateway.routing import Consult, Fleet, LeftOut, Ordered, Plan, Target, joined
from gateway.routing.lead_worker import LeadWorker
from gateway.routing.planner import CATCH_ALL, MOST_KEPT, Entry, Owner, Planner, Senses, like
from gateway.routing.priority import Priority
from gateway.routing.turns import Reading, Turn
from gateway.routing.weighted import Weighted

BOTH = frozenset(("chat", "embeddings"))
SENSES = Senses(latency=lambda _: None, chance=lambda: 0.0)


def priority(*targets: str) -> Entry:
    return Entry("priority", Priority(targets=targets))


OWNERS = {
    "openai": Owner(operations=BOTH, owns=("gpt-*", "o3", "text-embedding-*")),
    "azure": Owner(operations=BOTH, owns=("gpt-4.1",)),
    "groq": Owner(operations=frozenset(("chat",))),
    "local": Owner(operations=frozenset(("chat",))),
}
LISTINGS = {
    "openai": frozenset(("gpt-5", "gpt-4.1", "whisper")),
    "groq": frozenset(("llama", "shared", "org/goose")),
    "local": frozenset(("shared", "quant[4]")),
    "gone": frozenset(("ghost",)),
}
MODELS = {
    "fast": priority("openai/gpt-5-mini", "groq/llama"),
    "smart": priority("azure/gpt-4.1"),
    "mixed": priority("groq/llama", "openai/text-embedding-3"),
    "nested": priority("fast", "openai/o3", "groq/llama"),
    "openai/o3": priority("groq/llama"),
}
ALIASES = {
    "gpt-4o": "fast",
    "claude-*": "smart",
    "claude-opus": "openai/o3-pro",
    "o?": "groq/llama",
    "quant[1]*": "fast",
    "groq/x": "fast",
    "anything": "*",
    "lost": "nowhere",
}


def planner(**changes: Any) -> Planner:
    given = {"models": MODELS, "aliases": ALIASES, "owners": OWNERS, "listings": LISTINGS, **changes}
    return Planner(**given)


# name: (what it resolves to, how)
NAMES = {
    "a configured model": ("fast", "fast", "a configured model"),
    "a configured model before provider/model": ("openai/o3", "openai/o3", "a configured model"),
    "an alias": ("gpt-4o", "fast", "alias of fast"),
    "an alias before the owner of the id": ("o3", "groq/llama", "alias of groq/llama"),
    "an alias before provider/model": ("groq/x", "fast", "alias of fast"),
    "an alias by glob": ("claude-sonnet-4-5", "smart", "alias of smart"),
    "an exact alias before globs": ("claude-opus", "openai/o3-pro", "alias of openai/o3-pro"),
    "brackets in a glob are letters": ("quant[1]-q4", "fast", "alias of fast"),
    "provider/model": ("groq/anything at all", "groq/anything at all", "provider/model"),
    "provider/model with a slash in it": ("groq/org/goose", "groq/org/goose", "provider/model"),
    "a listing never gates a call": ("openai/not-listed", "openai/not-listed", "provider/model"),
    "a bare id by its vendor's names": ("gpt-5", "openai/gpt-5", "openai owns it by its vendor's names"),
    "a bare id nobody lists": ("gpt-99", "openai/gpt-99", "openai owns it by its vendor's names"),
    "a bare id two own and one lists": ("gpt-4.1", "openai/gpt-4.1", "openai owns it by its listing"),
    "a bare id by a listing": ("whisper", "openai/whisper", "openai owns it by its listing"),
    "a bare id with a slash": ("org/goose", "groq/org/goose", "groq owns it by its listing"),
    "a bare id with brackets": ("quant[4]", "local/quant[4]", "local owns it by its listing"),
}


@pytest.mark.parametrize(("name", "found", "by"), NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("catch_all", [False, True], ids=["", "with a catch-all"])
def test_resolution_order(name: str, found: str, by: str, catch_all: bool):
    models = {**MODELS, CATCH_ALL: priority("local/any")} if catch_all else MODELS
    resolved = planner(models=models).resolve(name)
    assert (resolved.name, resolved.by) == (found, by)
    assert resolved.target == (None if found in MODELS else Target(*found.split("/", 1)))


# what is not found: the hint
UNKNOWN = {
    "a typing mistake": ("fsat", "the nearest are fast"),
    "a mistake in an id": ("groq-llama", "groq/llama"),
    "nothing like it": ("zzz", "the nearest are fast, smart, mixed"),
    "several list it": ("shared", "groq/shared"),
    "its provider is gone": ("ghost", "there is no model"),
    "a provider without a model": ("openai/", 'no model "openai/"'),
    "empty": ("", 'no model ""'),
    "an alias of nothing": ("lost", 'no model "lost"'),
    "case matters": ("FAST", "the nearest are fast"),
}


@pytest.mark.parametrize(("name", "hint"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_found_is_told_with_the_nearest(name: str, hint: str):
    with pytest.raises(CallerError, match="there is no model") as caught:
        planner().resolve(name)
    error = caught.value
    assert (error.status, error.code, error.param, error.origin) == (404, "model_not_found", "model", "gateway")
    assert hint in error.message


def test_several_owners_of_an_id_are_named():
    with pytest.raises(
        CallerError, match=r"several providers own that name, say which: openai/gpt-4\.1, azure/gpt-4\.1"
    ):
        planner(listings={}).resolve("gpt-4.1")


@pytest.mark.parametrize("name", ["zzz", "shared", "fsat", "ghost", "anything", "*"])
def test_the_catch_all_takes_the_rest(name: str):
    resolved = planner(models={**MODELS, CATCH_ALL: priority("local/any")}).resolve(name)
    assert (resolved.name, resolved.target) == (CATCH_ALL, None)


def test_listings_are_read_live():
    listings: dict[str, frozenset[str]] = {}
    made = planner(listings=listings)
    with pytest.raises(CallerError):
        made.resolve("whisper")
    listings["openai"] = frozenset(("whisper",))
    assert made.resolve("whisper").name == "openai/whisper"


@pytest.mark.parametrize(
    ("name", "glob", "alike"),
    [
        ("gpt-5", "gpt-*", True),
        ("gpt-5", "gpt-?", True),
        ("gpt-55", "gpt-?", False),
        ("q[4]", "q[4]", True),
        ("q4", "q[4]", False),
        ("Gpt-5", "gpt-*", False),
        ("anything", "*", True),
    ],
)
def test_globs(name: str, glob: str, alike: bool):
    assert like(name, glob) == alike


def test_a_plan():
    plan = planner().plan(Facts(model="gpt-4o"), SENSES)
    assert (plan.model, plan.strategy, plan.reason) == ("fast", "priority", "in the order configured")
    assert plan.targets == (Target("openai", "gpt-5-mini"), Target("groq", "llama"))


def test_a_plan_of_one_target():
    plan = planner().plan(Facts(model="groq/llama"), SENSES)
    assert (plan.model, plan.strategy, plan.targets) == ("groq/llama", "direct", (Target("groq", "llama"),))


def test_nested_models_are_taken_in_their_own_order_each_target_once():
    plan = planner().plan(Facts(model="nested"), SENSES)
    assert [str(target) for target in plan.targets] == ["openai/gpt-5-mini", "groq/llama"]


def test_a_nested_model_draws_and_reads_turns_too():
    models = {
        "coder": Entry("lead_worker", LeadWorker(lead="smart", worker="spread", lead_turns=1, worker_max_tokens=5)),
        "smart": priority("azure/gpt-4.1"),
        "spread": Entry("weighted", Weighted(targets=("groq/a", "groq/b"))),
    }
    senses = Senses(latency=lambda _: None, chance=lambda: 0.9, reading=lambda: Reading(turns=(Turn(),)))
    plan = planner(models=models).plan(Facts(model="coder"), senses)
    assert [str(target) for target in plan.targets] == ["groq/b", "groq/a", "azure/gpt-4.1"]
    assert plan.strategy == "lead_worker"
    assert set(plan.max_tokens) == {Target("groq", "a"), Target("groq", "b")}


def test_targets_without_the_operation_are_left_out():
    plan = planner().plan(Facts(model="mixed", operation="embeddings"), SENSES)
    assert plan.targets == (Target("openai", "text-embedding-3"),)
    assert plan.left_out == (LeftOut(Target("groq", "llama"), "its vendor has no embeddings"),)


def test_a_model_without_the_operation():
    with pytest.raises(CallerError, match='model "groq/llama" has no embeddings: groq offers none') as caught:
        planner().plan(Facts(model="groq/llama", operation="embeddings"), SENSES)
    assert (caught.value.status, caught.value.code) == (400, "unsupported_operation")


def test_no_fallback_keeps_the_first_that_can():
    plan = planner().plan(Facts(model="fast"), SENSES, no_fallback=True)
    assert plan.targets == (Target("openai", "gpt-5-mini"),)
    assert plan.left_out == (LeftOut(Target("groq", "llama"), "x-skein-no-fallback"),)
    plan = planner().plan(Facts(model="mixed", operation="embeddings"), SENSES, no_fallback=True)
    assert plan.targets == (Target("openai", "text-embedding-3"),)


def test_turns_are_read_only_by_strategies_that_need_them():
    def turns() -> Reading:
        raise AssertionError("the conversation was read")

    planner().plan(Facts(model="fast"), Senses(latency=lambda _: None, chance=lambda: 0.0, reading=turns))


# What is worked out once ----------------------------------------------------------------------------------------------


class Told(msgspec.Struct):
    """Says of each time it is asked for what."""

    answer: Any
    asked: list[str] = []
    FIXED: ClassVar[bool] = True

    def references(self) -> tuple[str, ...]:
        return ("groq/a", "whisper")

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        self.asked.append(facts.model)
        return self.answer() if self.answer else joined(self.references(), facts, fleet)  # type: ignore[no-any-return]


class Free(Told):
    FIXED: ClassVar[bool] = False


def told(strategy: Told, **changes: Any) -> Planner:
    models = {"m": Entry("told", strategy), "outer": priority("m", "local/c"), "fast": MODELS["fast"]}
    return planner(models=models, aliases={"nick": "m"}, **changes)


@pytest.mark.parametrize("name", ["m", "outer", "nick"])
def test_a_strategy_that_says_the_same_to_all_is_asked_once(name: str):
    fixed, free = Told(None, []), Free(None, [])
    for strategy, times in ((fixed, 1), (free, 4)):
        made = told(strategy)
        plans = [made.plan(Facts(model=name, size=size), SENSES) for size in range(3)]
        plans.append(made.plan(Facts(model=name, operation="embeddings"), SENSES))
        assert len(strategy.asked) == times
        assert plans[0] == plans[1] == plans[2]
        assert plans[0].asked == name
        assert [str(each) for each in plans[3].targets] == ["openai/whisper"]
    assert made.fixed(name, "chat") is None


def test_what_was_worked_out_holds_for_the_listings_of_then():
    listings = dict(LISTINGS)
    made = told(Told(None, []), listings=listings)
    assert made.plan(Facts(model="outer"), SENSES).targets[1] == Target("openai", "whisper")
    listings["openai"], listings["local"] = frozenset(), frozenset(("whisper",))
    assert made.plan(Facts(model="outer"), SENSES).targets[1] == Target("local", "whisper")
    assert made.plan(Facts(model="whisper"), SENSES).targets == (Target("local", "whisper"),)


def test_one_that_fails_is_asked_again_and_told_of_every_time():
    broken = Told(lambda: {}["x"], [])
    made = told(broken)
    assert [len(made.plan(Facts(model="m"), SENSES).crashes) for _ in range(3)] == [1, 1, 1]
    assert len(broken.asked) >= 3
    broken.answer = None
    assert made.plan(Facts(model="m"), SENSES).crashes == ()


def test_however_many_names_are_asked_for_few_are_kept_and_all_are_found():
    made = planner()
    for number in range(3 * MOST_KEPT):
        name = f"groq/{number}"
        assert made.plan(Facts(model=name), SENSES).targets == (Target("groq", str(number)),)
    for known in (made._resolved, made._orders, made._plans):
        assert 0 < len(known) <= MOST_KEPT
    with pytest.raises(CallerError):
        made.resolve("zzz")


# What is kept of models within models ---------------------------------------------------------------------------------


class Counting(msgspec.Struct):
    """Counts how often its answer was one that counts; asks ``planner``, if it has one."""

    targets: tuple[str, ...]
    planner: str = ""
    REMEMBERS: ClassVar[bool] = True

    def references(self) -> tuple[str, ...]:
        return (*self.targets, self.planner) if self.planner else self.targets

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        found = joined(self.targets, facts, fleet)
        count = {"count": fleet.remembered().get("count", 0) + 1}
        consult = found.consult
        if self.planner:
            asked = fleet.ordered(self.planner, facts)
            consult = Consult(targets=asked.targets, why="", remember={"plan": {**count, "told": True}})
        return msgspec.structs.replace(found, remember=count, consult=consult)


def counted(model: str, remembered: Mapping[str, Any], **strategies: Any) -> Plan:
    models = {name: Entry(type(each).__name__, each) for name, each in strategies.items()}
    senses = Senses(latency=lambda _: None, chance=lambda: 0.0, remembered=remembered)
    return planner(models=models).plan(Facts(model=model), senses)


ONE = {"count": 1}
INNER = Counting(("groq/a",))
SECOND = Counting(("groq/b", "local/b"))
NESTED: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "one alone": ({"m": INNER}, {"m": ONE}),
    "nobody": ({"m": Priority(targets=("groq/a",))}, None),
    "one within one": ({"m": Counting(("inner",)), "inner": INNER}, {"m": ONE, "inner": ONE}),
    "one within one that keeps nothing": ({"m": Priority(targets=("inner",)), "inner": INNER}, {"inner": ONE}),
    "not who stands by": (
        {"m": Priority(targets=("inner", "second")), "inner": INNER, "second": SECOND},
        {"inner": ONE},
    ),
    "nor who is asked and stands by within": (
        {"m": Priority(targets=("groq/a", "second")), "second": Counting(("inner",)), "inner": SECOND},
        None,
    ),
    "whose turn it is": (
        {"m": LeadWorker(lead="inner", worker="second"), "inner": INNER, "second": SECOND},
        {"inner": ONE},
    ),
    "a planner, too": (
        {"m": Counting(("inner",), planner="second"), "inner": INNER, "second": SECOND},
        {"m": ONE, "inner": ONE, "second": ONE},
    ),
}


@pytest.mark.parametrize("which", NESTED)
def test_each_model_is_remembered_by_its_name_where_its_answer_counts(which: str):
    strategies, expected = NESTED[which]
    first = counted("m", {}, **strategies)
    assert first.remember == expected
    second = counted("m", {**(first.remember or {}), "gone": {"at": "x"}}, **strategies)
    twice = {name: {"count": 2} for name in expected or {}}
    assert second.remember == (twice or None), "and knows of no other's"


def test_whoever_asks_a_planner_keeps_what_comes_of_it_beside_the_others():
    strategies = {
        "m": Priority(targets=("asks", "groq/c")),
        "asks": Counting(("inner",), planner="local/p"),
        "inner": INNER,
    }
    plan = counted("m", {"inner": ONE, "old": ONE}, **strategies)
    assert plan.consult is not None
    assert plan.consult.by == "asks"
    assert plan.consult.remember == {
        "plan": {"asks": {"count": 1, "told": True}, "inner": {"count": 2}},
    }


def test_a_memory_that_is_none_is_taken_for_none():
    assert counted("m", {"m": "much"}, m=INNER).remember == {"m": ONE}
