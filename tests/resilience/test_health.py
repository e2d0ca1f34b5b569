"""What is known of targets: who may be asked, what a verdict does, what a reload keeps."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import Fault, FaultKind
from gateway.resilience import BreakerSettings, SpikeSettings
from gateway.resilience.breaker import State
from gateway.resilience.health import COUNTS, KILLS_KEY, Health, Moved, Ticket
from gateway.resilience.keys import Keys
from gateway.resilience.spike import Swing
from gateway.routing import LeftOut, Plan, Target

A, B, C = Target("a", "m"), Target("b", "m"), Target("c", "m")
PLAN = Plan(model="m", targets=(A, B, C), reason="in order")
SETTINGS = BreakerSettings(consecutive=2, open_for=30.0, close_after=1)


def health(**keys: str) -> Health:
    made = Health(lambda _: SETTINGS)
    made.adopt(lambda _: SETTINGS, {name: Keys(tuple(keys.get(name, ""))) for name in "abc"})
    return made


def call(made: Health, target: Target, now: float = 0.0, *, retry: bool = False, streamed: bool = False) -> Ticket:
    return made.begin(target, made.keys(target.provider), now, retry=retry, streamed=streamed)


def fault(kind: FaultKind, retry_after: float | None = None) -> Fault:
    return Fault(kind=kind, message="", retry_after=retry_after)


def shut(made: Health, target: Target, now: float = 0.0) -> None:
    for _ in range(2):
        made.fail(call(made, target, now), fault(FaultKind.SERVER_ERROR), now)
    assert not made.allows(target, now)


# design.md §4, last column
HEALTH = {
    FaultKind.RATE_LIMITED: "cools the key",
    FaultKind.OVERLOADED: "counts",
    FaultKind.SERVER_ERROR: "counts",
    FaultKind.UNREACHABLE: "counts",
    FaultKind.TIMEOUT_CONNECT: "counts",
    FaultKind.TIMEOUT_FIRST_TOKEN: "counts",
    FaultKind.TIMEOUT_IDLE: "counts",
    FaultKind.TIMEOUT_TOTAL: "counts",
    FaultKind.BAD_CREDENTIALS: "kills the key",
    FaultKind.OUT_OF_CREDIT: "kills the key",
    FaultKind.MODEL_MISSING: "",
    FaultKind.GARBLED: "counts",
    FaultKind.BROKEN_STREAM: "counts",
    FaultKind.BAD_REQUEST: "",
    FaultKind.CONTEXT_TOO_LONG: "",
    FaultKind.REFUSED: "",
}


def test_every_fault_has_its_effect():
    assert set(HEALTH) == set(FaultKind)
    assert {kind for kind, effect in HEALTH.items() if effect == "counts"} == COUNTS
    assert {kind for kind, effect in HEALTH.items() if effect == "kills the key"} == KILLS_KEY


@pytest.mark.parametrize(("kind", "effect"), HEALTH.items(), ids=lambda each: getattr(each, "value", ""))
def test_what_a_fault_does_to_its_target(kind: FaultKind, effect: str):
    made = health(a="xy")
    for _ in range(2):
        ticket = call(made, A)
        made.fail(ticket, fault(kind, 20.0), 0.0)
    keys = {"cools the key": "cooling", "kills the key": "dead"}.get(effect, "alive")
    assert made.keys("a").states(1.0) == [keys, keys]
    assert (made.breaker(A).state is State.OPEN) == (effect == "counts")
    assert made.allows(A, 1.0) == (effect == "")
    assert made.allows(B, 1.0)


def test_all_targets_free_leave_the_plan_as_it_is():
    assert health().triage(PLAN, 0.0) is PLAN


def test_shut_targets_go_to_the_end_and_are_told():
    made = health(b="x")
    shut(made, A)
    made.fail(call(made, B), fault(FaultKind.BAD_CREDENTIALS), 0.0)
    plan = made.triage(PLAN, 1.0)
    assert plan.targets == (C, A, B)
    assert plan.left_out == (LeftOut(A, "breaker open"), LeftOut(B, "no usable key (dead or cooling)"))
    assert made.triage(PLAN, 30.0).targets == (A, C, B), "open_for has passed"


def test_panic_asks_the_least_recently_failed_first():
    made = health()
    shut(made, A, 3.0)
    shut(made, B, 1.0)
    shut(made, C, 2.0)
    plan = made.triage(PLAN, 4.0)
    assert plan.targets == (B, C, A)
    assert plan.reason == "in order; panic: every target is shut"


def test_the_breaker_tells_when_it_moves():
    told: list[Moved] = []
    made = Health(lambda _: SETTINGS, told.append)
    made.adopt(lambda _: SETTINGS, {name: Keys(()) for name in "abc"})
    made.fail(call(made, A), fault(FaultKind.OVERLOADED), 0.0)
    assert not told
    made.fail(call(made, A), fault(FaultKind.OVERLOADED), 0.0)
    assert made.allows(A, 30.0)
    made.succeed(call(made, A, 30.0), 31.0)
    assert [(each.target, each.before, each.after) for each in told] == [
        (A, State.CLOSED, State.OPEN),
        (A, State.OPEN, State.HALF_OPEN),
        (A, State.HALF_OPEN, State.CLOSED),
    ]


def test_the_first_verdict_counts():
    made = health(a="x")
    ticket = call(made, A)
    made.succeed(ticket, 0.0)
    made.fail(ticket, fault(FaultKind.BAD_CREDENTIALS), 0.0)
    made.fail(ticket, fault(FaultKind.OVERLOADED), 0.0)
    assert made.keys("a").states(0.0) == ["alive"]
    assert made.breaker(A).counts(0.0) == (1, 0)
    ticket = call(made, A)
    made.abandon(ticket)
    made.succeed(ticket, 0.0)
    assert made.breaker(A).counts(0.0) == (1, 0), "a client that left says nothing about the vendor"


def test_a_probe_is_over_at_its_first_output():
    made = health()
    shut(made, A)
    assert made.allows(A, 30.0)
    probe = call(made, A, 30.0, streamed=True)
    assert not made.allows(A, 30.0)
    made.first_output(probe, 31.0)
    assert made.allows(A, 31.0)


def test_an_abandoned_probe_lets_another_in():
    made = health()
    shut(made, A)
    assert made.allows(A, 30.0)
    probe = call(made, A, 30.0)
    assert not made.allows(A, 30.0)
    made.abandon(probe)
    made.abandon(probe)
    assert made.allows(A, 30.0)


def test_a_call_from_before_the_trouble_lets_no_probe_in():
    made = health()
    early = call(made, A)
    shut(made, A)
    assert made.allows(A, 30.0)
    call(made, A, 30.0)
    made.abandon(early)
    assert not made.allows(A, 30.0)


def test_success_revives_a_key():
    made = health(a="x")
    made.fail(call(made, A), fault(FaultKind.OUT_OF_CREDIT), 0.0)
    assert not made.allows(A, 59.0)
    made.succeed(call(made, A, 60.0), 61.0)
    assert made.keys("a").states(61.0) == ["alive"]


def test_the_retry_budget_is_a_share_of_a_rolling_minute():
    made = health()

    def calls(count: int, now: float, *, retry: bool = False) -> None:
        for _ in range(count):
            if retry:
                made.reserve_retry("a", now)
            call(made, A, now, retry=retry)

    calls(3, 0.0, retry=True)
    assert not made.may_retry("a", 0.2, 0.0), "never fewer than three"
    calls(15, 0.0)
    assert not made.may_retry("a", 0.2, 0.0)
    calls(1, 0.0)
    assert made.may_retry("a", 0.2, 0.0), "a fifth of sixteen is more than three"
    assert made.may_retry("b", 0.2, 0.0), "each provider has its own"
    calls(1, 30.0, retry=True)
    assert not made.may_retry("a", 0.2, 30.0)
    assert made.may_retry("a", 0.2, 61.0), "what is older than a minute is forgotten"
    assert made.may_retry("a", 0.0, 61.0)


def test_latency_is_quick_to_rise_and_slow_to_fall():
    made = health()
    assert made.latency(A, True, 0.0) is None
    made.first_output(call(made, A, 0.0, streamed=True), 1.0)
    first = made.latency(A, True, 1.0)
    assert first
    assert (first.seconds, first.age) == (1.0, 1.0)
    made.first_output(call(made, A, 10.0, streamed=True), 13.0)
    assert made.latency(A, True, 13.0).seconds == 3.0
    made.first_output(call(made, A, 42.0, streamed=True), 43.0)
    assert made.latency(A, True, 43.0).seconds == pytest.approx(2.0), "half of it after the half-life"
    assert made.latency(A, False, 43.0) is None, "whole answers take longer: measured apart"


def test_a_target_that_comes_back_starts_slowly():
    made = health()
    made.first_output(call(made, A, 0.0), 1.0)
    shut(made, A, 100.0)
    assert made.allows(A, 130.0)
    made.succeed(call(made, A, 130.0), 140.0)
    assert made.latency(A, False, 150.0).age == 10.0


def test_a_reload_keeps_what_is_known_of_those_that_stay():
    made = health(a="xy", b="z")
    shut(made, A)
    shut(made, B)
    made.fail(call(made, A), fault(FaultKind.BAD_CREDENTIALS), 0.0)
    made.first_output(call(made, A), 1.0)
    dead = made.keys("a").states(1.0).index("dead")
    made.adopt(
        lambda _: BreakerSettings(consecutive=2, open_for=5.0), {"a": Keys("xy"[dead], made.keys("a")), "c": Keys("")}
    )
    assert made.keys("a").states(1.0) == ["dead"]
    assert made.breaker(A).state is State.OPEN
    assert made.breaker(A).allows(5.0), "under the new settings"
    assert made.latency(A, False, 2.0)
    assert list(made.breakers()) == [A]
    assert made.allows(B, 1.0), "a provider that comes back is a new one"


# Providers that fail too often ---------------------------------------------------------------------------------------

SPIKE = SpikeSettings(error_rate=0.25, recover_below=0.1, min_requests=4, window=60.0, hold=10.0, trial=0.05)
A2 = Target("a", "other")
NO_TRIAL, TRIAL = 0.05, 0.049


class Watched:
    """Health, and what it told of providers. Breakers never strike of themselves."""

    def __init__(self, **settings: SpikeSettings) -> None:
        self.swings: list[Swing] = []
        self.settings = {name: settings.get(name, SPIKE) for name in "abc"}
        never = BreakerSettings(consecutive=1000, min_requests=1000)
        self.breakers = {A: never, A2: never, B: never, C: never}
        self.health = Health(self.breakers.__getitem__, lambda _: None, self.settings.__getitem__, self.swings.append)
        self.reload()

    def reload(self, *changed: str, **settings: SpikeSettings) -> None:
        self.settings |= settings
        keys = {name: Keys(()) for name in "abc"}
        self.health.adopt(self.breakers.__getitem__, keys, changed, self.settings.__getitem__)

    def calls(self, target: Target, ended: str, now: float) -> None:
        """``..x``: two answers and a failure, begun and ended at once."""
        for each in ended:
            ticket = call(self.health, target, now)
            if each == ".":
                self.health.succeed(ticket, now)
            else:
                self.health.fail(ticket, fault(FaultKind.OVERLOADED), now)

    def order(self, *targets: Target, now: float = 0.0, chance: float = NO_TRIAL) -> tuple[Target, ...]:
        plan = Plan(model="m", targets=targets, reason="in order")
        return self.health.triage(plan, now, lambda: chance).targets


def test_a_demoted_provider_stands_behind_the_others_and_is_told():
    made = Watched()
    made.calls(A, "..", 0.0)
    made.calls(A2, ".x", 0.0)
    assert made.swings == [Swing("a", True, 0.25, 4)], "all its targets together"
    plan = made.health.triage(Plan(model="m", targets=(A, A2, B, C), reason="in order"), 0.0, lambda: NO_TRIAL)
    assert plan.targets == (B, C, A, A2), "otherwise in the order they had"
    why = "error rate 25 % of a over 60s"
    assert plan.reason == f"in order; {why} (demoted)"
    assert plan.left_out == (LeftOut(A, f"{why} (demoted)"), LeftOut(A2, f"{why} (demoted)"))
    made.calls(A, "....", 1.0)
    assert made.order(A, A2, B, C, now=10.0) == (A, A2, B, C)
    assert [each.demoted for each in made.swings] == [True, False]


def test_a_conversation_under_way_goes_there_only_when_a_trial_is_due():
    made = Watched()
    made.calls(A, "xxxx", 0.0)

    def first(turn: int | None, now: float) -> str:
        plan = Plan(model="m", targets=(A, B), reason="in order", turn=turn)
        return made.health.triage(plan, now, lambda: TRIAL).targets[0].provider

    assert [first(turn, 4.9) for turn in (2, None, 1)] == ["b", "a", "a"]
    assert [first(2, now) for now in (9.8, 9.95, 10.0, 14.9, 15.0)] == ["b", "a", "b", "b", "a"]


def test_a_share_of_requests_are_trials():
    made = Watched(b=msgspec.structs.replace(SPIKE, trial=0.5))
    made.calls(A, "xxxx", 0.0)
    plan = made.health.triage(PLAN, 0.0, lambda: TRIAL)
    assert plan.targets == PLAN.targets
    assert plan.left_out == ()
    assert plan.reason == "in order; a trial of a (demoted)"
    assert made.order(A, B, C, chance=NO_TRIAL) == (B, C, A)
    made.calls(B, "xxxx", 0.0)
    assert made.order(A, B, C, chance=0.2) == (C, A, B)
    assert made.order(B, A, C, chance=0.2) == (B, A, C), "each has its own share"
    assert made.health.triage(PLAN, 0.0).targets == (C, A, B), "none, unless chance says so"


def test_nothing_changes_where_there_is_nobody_else():
    made = Watched()
    made.calls(A, "xxxx", 0.0)
    for targets in ((A,), (A, A2), (B, A), (B, C)):
        plan = Plan(model="m", targets=targets, reason="in order")
        assert made.health.triage(plan, 0.0, lambda: NO_TRIAL) is plan
    made.calls(B, "xxxx", 0.0)
    assert made.order(A, B) == (A, B), "all are demoted"


def test_chance_is_asked_only_where_it_decides():
    def nobody_asks() -> float:
        raise AssertionError

    made = Watched()
    assert made.health.triage(PLAN, 0.0, nobody_asks) is PLAN
    made.calls(B, "xxxx", 0.0)
    assert made.health.triage(PLAN, 0.0, nobody_asks).targets == (A, C, B), "it does not come first anyway"


def test_shut_targets_stand_behind_demoted_ones_and_get_no_trial():
    made = Watched()
    made.calls(A, "xxxx", 0.0)
    made.health.fail(call(made.health, C), fault(FaultKind.RATE_LIMITED, 20.0), 0.0)
    assert made.order(A, C, B) == (B, A, C)
    assert made.order(C, A) == (A, C), "the others are all shut"
    made.breakers[A] = BreakerSettings(consecutive=1)
    made.reload()
    made.calls(A, "x", 1.0)
    assert not made.health.allows(A, 1.0)
    assert made.order(A, A2, B, C, now=1.0, chance=0.0) == (A2, B, C, A), "a trial, and not of the one that is open"
    assert made.order(A, B, C, now=1.0, chance=0.0) == (B, C, A)


@pytest.mark.parametrize(("kind", "effect"), HEALTH.items(), ids=lambda each: getattr(each, "value", ""))
def test_what_the_breaker_counts_is_counted(kind: FaultKind, effect: str):
    made = Watched()
    for _ in range(4):
        made.health.fail(call(made.health, A), fault(kind), 0.0)
    assert bool(made.swings) == (effect == "counts")


def test_what_an_open_breaker_lets_through_counts_too():
    made = Watched()
    made.breakers[A] = BreakerSettings(consecutive=1)
    made.calls(A, "xxxx", 0.0)
    assert made.order(A2, B) == (B, A2)


def test_a_reload_keeps_who_is_demoted():
    made = Watched()
    made.calls(A, "xxxx", 0.0)
    made.calls(B, "xxxx", 0.0)
    early = call(made.health, B)
    made.reload("b")
    assert made.order(A, C) == (C, A)
    assert made.order(B, C) == (B, C), "another place answers to the name now"
    made.calls(B, "xxx", 1.0)
    made.health.fail(early, fault(FaultKind.OVERLOADED), 1.0)
    assert made.order(B, C, now=1.0) == (B, C), "that call went to the other place"
    made.calls(B, "x", 1.0)
    assert made.order(B, C, now=1.0) == (C, B)
    made.reload(a=msgspec.structs.replace(SPIKE, error_rate=1.0))
    assert made.order(A, C) == (A, C)
    assert [(each.provider, each.demoted) for each in made.swings] == [
        *(("a", True), ("b", True), ("b", True), ("a", False))
    ]
