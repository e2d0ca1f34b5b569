"""Strategies: given the facts and the fleet, in which order. Chance, latency and turns are passed in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from gateway.chat import Facts
from gateway.routing import Latency, Target, joined
from gateway.routing.lead_worker import LeadWorker
from gateway.routing.least_latency import LeastLatency
from gateway.routing.priority import Priority
from gateway.routing.strategies import STRATEGIES
from gateway.routing.weighted import Share, Weighted, draw
from tests.routing.fleet import Fleet

FACTS = Facts(model="m")


def names(targets: Sequence[Target]) -> str:
    return " ".join(target.provider for target in targets)


def seeded() -> Callable[[], float]:
    return random.Random(7).random


def firsts(strategy, fleet: Fleet, count: int = 4000) -> dict[str, float]:
    drawn = Counter(strategy.order(FACTS, fleet).targets[0].provider for _ in range(count))
    return {name: times / count for name, times in drawn.items()}


def test_every_strategy_tells_its_references():
    assert Priority(targets=("a/m", "fast")).references() == ("a/m", "fast")
    assert Weighted(targets=("a/m", Share(target="fast", weight=3))).references() == ("a/m", "fast")
    assert LeastLatency(targets=("a/m", "fast")).references() == ("a/m", "fast")
    assert LeadWorker(lead="smart", worker="fast").references() == ("smart", "fast")
    assert set(STRATEGIES) == {"dynamic", "lead_worker", "least_latency", "plan_first", "priority", "weighted"}


def test_each_target_comes_once():
    fleet = Fleet(models={"fast": "a b", "smart": "b c"})
    assert names(joined(("fast", "smart", "a"), FACTS, fleet).targets) == "a b c"


# priority


def test_priority_is_the_order_written():
    fleet = Fleet(models={"fast": "b c"})
    assert names(Priority(targets=("d", "fast", "a", "b")).order(FACTS, fleet).targets) == "d b c a"


# weighted


def weighted(**weights: float) -> Weighted:
    return Weighted(targets=tuple(Share(target=name, weight=weight) for name, weight in weights.items()))


DRAWS = {
    "the beginning": ({"a": 1, "b": 3}, 0.0, "a"),
    "the end of the first": ({"a": 1, "b": 3}, 0.2499, "a"),
    "the beginning of the second": ({"a": 1, "b": 3}, 0.25, "b"),
    "the end": ({"a": 1, "b": 3}, 0.9999999, "b"),
    "zero is passed over": ({"a": 0, "b": 1}, 0.0, "b"),
    "nothing but zeros": ({"a": 0, "b": 0}, 0.9, "a"),
    "a sum that was rounded up": ({"z": 0, "a": 0.1, "b": 0.2, "c": 0.3}, 1.0, "c"),
}


@pytest.mark.parametrize(("weights", "chance", "drawn"), DRAWS.values(), ids=DRAWS)
def test_a_draw(weights: dict[str, float], chance: float, drawn: str):
    assert draw(weights, chance) == drawn


def test_shares_are_kept():
    shares = firsts(weighted(a=5, b=3, c=2), Fleet(chance=seeded()))
    assert shares == pytest.approx({"a": 0.5, "b": 0.3, "c": 0.2}, abs=0.03)


def test_a_target_without_a_weight_has_one():
    shares = firsts(Weighted(targets=("a", Share(target="b", weight=3))), Fleet(chance=seeded()))
    assert shares == pytest.approx({"a": 0.25, "b": 0.75}, abs=0.03)


def test_all_are_drawn_each_once():
    fleet = Fleet(chance=seeded())
    for _ in range(50):
        assert sorted(names(weighted(a=5, b=3, c=0).order(FACTS, fleet).targets).split()) == ["a", "b", "c"]


def test_weight_zero_only_stands_by():
    fleet = Fleet(chance=seeded())
    for _ in range(50):
        assert names(weighted(z=0, a=5, b=1).order(FACTS, fleet).targets).endswith("z")


def test_the_second_is_drawn_by_weight_too():
    fleet = Fleet(chance=seeded())
    after_a = Counter(
        order.targets[1].provider
        for order in (weighted(a=100, b=3, c=1).order(FACTS, fleet) for _ in range(3000))
        if order.targets[0].provider == "a"
    )
    assert after_a["b"] / after_a.total() == pytest.approx(0.75, abs=0.04)


def test_a_nested_model_is_one_share_and_keeps_its_order():
    fleet = Fleet(models={"fast": "a b"}, chance=seeded())
    strategy = weighted(fast=1, c=1)
    assert firsts(strategy, fleet) == pytest.approx({"a": 0.5, "c": 0.5}, abs=0.03)
    assert {names(strategy.order(FACTS, fleet).targets) for _ in range(50)} == {"a b c", "c a b"}


# least_latency


def test_the_quicker_of_two_serves():
    old = 1000.0
    fleet = Fleet(chance=seeded(), latencies={"a": Latency(0.2, old), "b": Latency(0.1, old), "c": Latency(0.3, old)})
    shares = firsts(LeastLatency(targets=("a", "b", "c")), fleet)
    assert shares == pytest.approx({"b": 2 / 3, "a": 1 / 3}, abs=0.03), "the slowest of three never wins"


def test_the_others_stand_by_quickest_first():
    fleet = Fleet(latencies={"a": Latency(0.3, 99.0), "b": Latency(0.1, 99.0), "c": Latency(0.2, 99.0)})
    ordered = LeastLatency(targets=("a", "b", "c")).order(FACTS, fleet)
    assert names(ordered.targets) == "b c a"
    assert ordered.reason == "b/m is the quicker of two drawn (100 ms to first output)"


def test_nobody_measured_is_as_the_dice_fall():
    shares = firsts(LeastLatency(targets=("a", "b")), Fleet(chance=seeded()))
    assert shares == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.03)


def test_one_target_needs_no_dice():
    assert names(LeastLatency(targets=("a",)).order(FACTS, Fleet()).targets) == "a"


def test_a_newcomer_is_drawn_seldom():
    """Unmeasured counts as quick, so it wins whenever it is drawn first: a tenth of the weight of each other."""
    known = {name: Latency(0.1, 99.0) for name in ("a", "b")}
    shares = firsts(LeastLatency(targets=("a", "b", "new")), Fleet(chance=seeded(), latencies=known))
    assert shares["new"] == pytest.approx(0.1 / 2.1, abs=0.02)


@pytest.mark.parametrize(("age", "share"), [(0.0, 0.1 / 2.1), (15.0, 0.5 / 2.5), (30.0, 1 / 3), (300.0, 1 / 3)])
def test_it_gains_its_share_with_age(age: float, share: float):
    known = {"a": Latency(0.1, 99.0), "b": Latency(0.1, 99.0), "new": Latency(0.1, age)}
    shares = firsts(LeastLatency(targets=("a", "b", "new"), slow_start=30.0), Fleet(chance=seeded(), latencies=known))
    assert shares["new"] == pytest.approx(share, abs=0.03)


def test_without_slow_start_all_are_alike():
    shares = firsts(LeastLatency(targets=("a", "b"), slow_start=0.0), Fleet(chance=seeded()))
    assert shares == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.03)
