"""Failover as playbooks: given the plan and the faults so far, which call is next.

A playbook reads as it happens, call by call: ``a overloaded | a+0.5 rate_limited:7 | b`` is: a is called and is
overloaded; a again after half a second, and it asks for seven seconds; then b, at once. ``~2``: the call took two
seconds. ``fresh``: on a connection of its own. ``nobody``: nobody is left to try.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from gateway.errors import Fault, FaultKind
from gateway.resilience import Backoff, Resilience
from gateway.resilience.failover import REACTIONS, Attempt, Outcome, Policy, Reaction, next_attempt
from gateway.routing import Plan, Target

USUAL = Resilience(backoff=Backoff(initial=0.5, multiplier=2.0, max=8.0, jitter="none"))
STEP = re.compile(
    r"(?P<who>\w+)(?:\+(?P<delay>[\d.]+))?(?P<fresh> fresh)?"
    r"(?: (?P<kind>\w+))?(?::(?P<after>[\d.]+))?(?:~(?P<took>[\d.]+))?"
)


class World:
    """What is allowed: every target but ``shut``, retries but at ``spent``, ``keys`` more keys, known ``windows``."""

    def __init__(
        self,
        shut: Iterable[str] = (),
        spent: Iterable[str] = (),
        keys: dict[str, int] | None = None,
        windows: dict[str, int] | None = None,
    ) -> None:
        self.shut, self.spent, self.keys, self.windows = set(shut), set(spent), dict(keys or {}), windows or {}

    def target(self, target: Target) -> bool:
        return target.provider not in self.shut

    def retry(self, target: Target) -> bool:
        return target.provider not in self.spent

    def another_key(self, target: Target) -> bool:
        return self.keys.get(target.provider, 0) > 0

    def window(self, target: Target) -> int | None:
        return self.windows.get(target.provider)


def target(name: str) -> Target:
    return Target(name, "m")


def told(attempt: Attempt | None) -> str:
    if attempt is None:
        return "nobody"
    delay = f"+{attempt.delay:g}" if attempt.delay else ""
    return f"{attempt.target.provider}{delay}{' fresh' if attempt.fresh else ''}"


def play(plan: str, script: str, *, per_target: dict[str, dict[str, Any]] | None = None, **given: Any) -> None:
    """Goes through a playbook. ``given``: settings of resilience by name, or what ``World`` takes."""
    world = World(**{name: given.pop(name) for name in ("shut", "spent", "keys", "windows") if name in given})
    settings = msgspec.structs.replace(USUAL, **given)
    of = {name: msgspec.structs.replace(settings, **own) for name, own in (per_target or {}).items()}
    policy = Policy(settings, lambda each: of.get(each.provider, settings), lambda: 0.5)
    planned = Plan(model="m", targets=tuple(target(name) for name in plan.split()), reason="")
    history: list[Outcome] = []
    now = 1000.0
    for number, step in enumerate(script.split(" | "), 1):
        attempt = next_attempt(planned, history, policy, world)
        match = STEP.fullmatch(step)
        assert match, f"not a step: {step}"
        delay = f"+{match['delay']}" if match["delay"] else ""
        expected = f"{match['who']}{delay}{match['fresh'] or ''}"
        assert told(attempt) == expected, f"step {number} of: {script}"
        if attempt is None or not match["kind"]:
            assert script.endswith(step), "a call without a fault ends a playbook"
            return
        assert attempt.number == number
        now += attempt.delay + float(match["took"] or 0)
        after = float(match["after"]) if match["after"] else None
        kind = FaultKind(match["kind"])
        if kind in (FaultKind.RATE_LIMITED, FaultKind.BAD_CREDENTIALS, FaultKind.OUT_OF_CREDIT):
            world.keys[match["who"]] = world.keys.get(match["who"], 0) - 1
        history.append(Outcome(attempt, Fault(kind=kind, message="", retry_after=after), now))


# plan, playbook, and what is out of the ordinary
PLAYBOOKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "the first target of the plan is first": ("a b", "a", {}),
    # rate_limited
    "rate limit: another target is free, it is asked at once": ("a b", "a rate_limited:2 | b", {}),
    "rate limit without a time: another target is free": ("a b", "a rate_limited | b", {}),
    "rate limit: nobody else, it waits as asked": ("a", "a rate_limited:2 | a+2", {}),
    "rate limit: nobody else is free, it waits as asked": ("a b", "a rate_limited:2 | a+2", {"shut": "b"}),
    "rate limit without a time: nobody else, it backs off": ("a", "a rate_limited | a+0.5 rate_limited | a+1", {}),
    "rate limit: exactly max_wait is waited": ("a", "a rate_limited:10 | a+10", {}),
    "rate limit: longer than max_wait is not waited": ("a", "a rate_limited:10.5 | nobody", {}),
    "rate limit: max_wait is the target's own": (
        "a",
        "a rate_limited:10.5 | a+10.5",
        {"per_target": {"a": {"max_wait": 11.0}}},
    ),
    "rate limit: too long a wait, so the shut target is tried": ("a b", "a rate_limited:60 | b", {"shut": "b"}),
    "rate limit without a time: the shut target before waiting": ("a b", "a rate_limited | b", {"shut": "b"}),
    "rate limit: the next key at once": (
        "a b",
        "a rate_limited:9 | a rate_limited:9 | b",
        {"keys": {"a": 2}, "retries": 3},
    ),
    "rate limit: no key is tried beyond the retries": (
        "a b",
        "a rate_limited:9 | a rate_limited:9 | b",
        {"keys": {"a": 9}, "retries": 1},
    ),
    "rate limit everywhere: back to who asked for the shortest wait": (
        "a b c",
        "a rate_limited:7 | b rate_limited:3 | c rate_limited:5 | b+3",
        {},
    ),
    "rate limit everywhere: what has passed of a wait counts": (
        "a b",
        "a rate_limited:5 | b rate_limited:4~3 | a+2",
        {},
    ),
    "rate limit everywhere: a wait that has passed is none": ("a b", "a rate_limited:2 | b rate_limited:9~3 | a", {}),
    "rate limit: the latest word counts, not the first": (
        "a",
        "a rate_limited:2 | a+2 rate_limited:1 | a+1 rate_limited:5 | nobody",
        {},
    ),
    "rate limit: no sleep after the last try": ("a", "a rate_limited:2 | nobody", {"retries": 0}),
    # overloaded, server_error
    "overload: backs off, then moves on": ("a b", "a overloaded | a+0.5 overloaded | a+1 overloaded | b", {}),
    "server error: backs off, then moves on": (
        "a b",
        "a server_error | a+0.5 server_error | a+1 server_error | b server_error | b+0.5 server_error | b+1",
        {},
    ),
    "overload: retries are the target's own": (
        "a b",
        "a overloaded | b overloaded | b+0.5",
        {"per_target": {"a": {"retries": 0}}},
    ),
    "overload with a time: another target is free": ("a b", "a overloaded:3 | b", {}),
    "overload with a time: nobody else, it waits as asked": ("a", "a overloaded:3 | a+3", {}),
    "overload with too long a time": ("a", "a overloaded:30 | nobody", {}),
    "overload with too long a time, and a shut target": ("a b", "a overloaded:30 | b", {"shut": "b"}),
    "overload: no sleep after the last try": ("a", "a overloaded | a+0.5 overloaded | a+1 overloaded | nobody", {}),
    "overload: nothing left of the retry budget": ("a b", "a overloaded | b overloaded | nobody", {"spent": "ab"}),
    "overload: the budget is each provider's own": ("a b", "a overloaded | b overloaded | b+0.5", {"spent": "a"}),
    "overload: max_attempts is over all targets": (
        "a b",
        "a overloaded | a+0.5 overloaded | a+1 overloaded | b overloaded | nobody",
        {"max_attempts": 4},
    ),
    "max_attempts of one": ("a b", "a overloaded | nobody", {"max_attempts": 1}),
    # unreachable
    "unreachable: once at once on a fresh connection, then moves on": (
        "a b",
        "a unreachable | a fresh unreachable | b",
        {},
    ),
    "unreachable: nobody else": ("a", "a unreachable | a fresh unreachable | nobody", {}),
    "unreachable: not without retries": ("a b", "a unreachable | b", {"retries": 0}),
    "unreachable: not without a budget": ("a b", "a unreachable | b", {"spent": "a"}),
    "unreachable after an overload": ("a b", "a overloaded | a+0.5 unreachable | a fresh overloaded | b", {}),
    # timeouts
    "no connection in time: moves on": ("a b", "a timeout_connect | b", {}),
    "no first token in time: moves on": ("a b", "a timeout_first_token | b", {}),
    "silence in the middle: moves on": ("a b", "a timeout_idle | b", {}),
    "too long in all: moves on": ("a b", "a timeout_total | b", {}),
    "never the same silent target again": (
        "a b",
        "a timeout_first_token | b overloaded | b+0.5 overloaded | b+1 overloaded | nobody",
        {},
    ),
    "a silent target alone": ("a", "a timeout_first_token | nobody", {}),
    "silence after patience: back to who asked for it": ("a b", "a rate_limited:4 | b timeout_idle~1 | a+3", {}),
    # keys
    "refused credentials: the next key, then moves on": (
        "a b",
        "a bad_credentials | a bad_credentials | a bad_credentials | b",
        {"keys": {"a": 3}},
    ),
    "refused credentials: keys are no retries": (
        "a b",
        "a bad_credentials | a",
        {"keys": {"a": 2}, "retries": 0, "spent": "a"},
    ),
    "refused credentials: one key, one try": ("a b", "a bad_credentials | b bad_credentials | nobody", {}),
    "out of credit: the next key, then moves on": (
        "a b",
        "a out_of_credit | a out_of_credit | b",
        {"keys": {"a": 2}},
    ),
    # model_missing, garbled, broken_stream
    "no such model: moves on": ("a b", "a model_missing | b model_missing | nobody", {}),
    "garbled: once more after a pause, then moves on": ("a b", "a garbled | a+0.5 garbled | b", {}),
    "garbled: nobody else": ("a", "a garbled | a+0.5 garbled | nobody", {}),
    "garbled: not without a budget": ("a b", "a garbled | b", {"spent": "a"}),
    "a broken stream: another target": ("a b", "a broken_stream | b broken_stream | nobody", {}),
    # bad_request, context_too_long, refused
    "a bad request: stops": ("a b", "a bad_request | nobody", {}),
    "a bad request after others": ("a b c", "a timeout_connect | b bad_request | nobody", {}),
    "too long: a larger window": (
        "a b c",
        "a context_too_long | c",
        {"windows": {"a": 100, "b": 100, "c": 101}},
    ),
    "too long: the first that is larger, not the largest": (
        "a b c",
        "a context_too_long | b context_too_long | c",
        {"windows": {"a": 100, "b": 200, "c": 300}},
    ),
    "too long: nobody is larger": ("a b", "a context_too_long | nobody", {"windows": {"a": 100, "b": 50}}),
    "too long: nobody knows": ("a b", "a context_too_long | nobody", {}),
    "too long: the other is not known": ("a b", "a context_too_long | nobody", {"windows": {"a": 100}}),
    "too long: our own window is not known": ("a b", "a context_too_long | nobody", {"windows": {"b": 100}}),
    "too long: the larger one is shut": (
        "a b",
        "a context_too_long | nobody",
        {"windows": {"a": 100, "b": 200}, "shut": "b"},
    ),
    "too long: only windows that were too small count": (
        "a b c",
        "a timeout_connect | b context_too_long | c",
        {"windows": {"a": 900, "b": 100, "c": 200}},
    ),
    "refused: stops": ("a b", "a refused | nobody", {}),
    "refused: moves on where the model says so": ("a b", "a refused | b refused | nobody", {"on_refused": "move_on"}),
    # shut targets
    "a shut target is passed over": ("a b", "b", {"shut": "a"}),
    "a shut target in the middle is passed over": ("a b c", "a timeout_connect | c", {"shut": "b"}),
    "panic: all are shut, the first is tried": ("a b", "a timeout_idle | b timeout_idle | nobody", {"shut": "ab"}),
    "shut, but the last one left": ("a b", "b overloaded | b+0.5 overloaded | b+1 overloaded | a", {"shut": "a"}),
    "nothing planned": ("", "nobody", {}),
}  # fmt: skip


@pytest.mark.parametrize(("plan", "script", "given"), PLAYBOOKS.values(), ids=PLAYBOOKS)
def test_playbook(plan: str, script: str, given: dict[str, Any]):
    play(plan, script, **given)


def test_every_fault_has_its_reaction():
    assert set(REACTIONS) == set(FaultKind)
    assert set(REACTIONS.values()) == set(Reaction), "a reaction nobody needs"


def test_every_fault_has_a_playbook_that_begins_with_it():
    scripts = [script for _, script, _ in PLAYBOOKS.values()]
    untold = [kind.value for kind in FaultKind if not any(script.startswith(f"a {kind.value}") for script in scripts)]
    assert untold == []


@pytest.mark.parametrize("kind", FaultKind, ids=lambda kind: kind.value)
@pytest.mark.parametrize("retry_after", [None, 0.0, 5.0, 500.0])
def test_every_story_ends(kind: FaultKind, retry_after: float | None):
    """Whatever fails, however often: no more calls than allowed, no longer waits than allowed."""
    policy = Policy(USUAL, lambda _: USUAL, lambda: 0.999)
    world = World(keys={"a": 100, "b": 100}, windows={"a": 1, "b": 2})
    plan = Plan(model="m", targets=(target("a"), target("b")), reason="")
    history: list[Outcome] = []
    while attempt := next_attempt(plan, history, policy, world):
        assert attempt.delay <= max(USUAL.max_wait, USUAL.backoff.max)
        assert attempt.number == len(history) + 1 <= USUAL.max_attempts
        history.append(Outcome(attempt, Fault(kind=kind, message="", retry_after=retry_after), 0.0))
    assert history


def test_an_attempt_says_why():
    policy = Policy(USUAL, lambda _: USUAL, lambda: 0.5)
    plan = Plan(model="m", targets=(target("a"), target("b")), reason="")
    first = Attempt(1, target("a"))
    for kind, reason in ((FaultKind.OVERLOADED, "retry"), (FaultKind.TIMEOUT_IDLE, "next target")):
        attempt = next_attempt(plan, [Outcome(first, Fault(kind=kind, message=""), 0.0)], policy, World())
        assert attempt
        assert attempt.reason == reason


SIGNATURE = Fault(kind=FaultKind.BAD_REQUEST, message="Corrupted thought signature.", status=400)


def test_refused_thoughts_are_left_out_once():
    plan, policy = Plan(model="m", targets=(target("a"), target("b")), reason=""), Policy(USUAL, lambda _: USUAL, float)
    history = [Outcome(Attempt(1, target("a")), SIGNATURE, 1000.0)]
    again = next_attempt(plan, history, policy, World())
    assert again == Attempt(2, target("a"), bare=True, reason="without the thoughts it refused")
    history.append(Outcome(again, SIGNATURE, 1001.0))
    assert next_attempt(plan, history, policy, World()) is None, "it was not the thoughts"
