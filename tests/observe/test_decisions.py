"""How a plan is shown: in words, within bounds, and without what anybody has said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.observe import decisions
from gateway.observe.metrics import UNKNOWN
from gateway.routing import RULES, Candidate, Consult, Crash, LeftOut, Plan, Target
from tests.observe.test_logs import WHOSE, said
from tests.observe.test_metrics import Counting, Past
from tests.observe.told import AZURE, CLAUDE, OPENAI, Tale

CANARY = "canary-7f3a"
LONG = "x" * 10_000
CRASH = Crash(model="coder", strategy="odd", traceback=CANARY)
SAID = {"note": CANARY, "remember": {"plan": CANARY}, "crashes": (CRASH,)}


def plan(**changes: object) -> Plan:
    return Plan(**{"model": "coder", "targets": (OPENAI, CLAUDE), "reason": "as listed", **SAID, **changes})  # type: ignore[arg-type]


def test_every_rule_has_words_and_a_strangers_has_none():
    assert {rule: decisions.told(plan(rule=rule))["rule_says"] for rule in RULES} == dict(RULES)
    assert decisions.told(plan(rule="odd"))["rule_says"] is None


def test_what_was_said_is_never_shown_nor_kept():
    full = plan(
        evidence=("turn 4: shell: exit code 1",),
        candidates=(Candidate("smart", 0.83, "code 0.83"),),
        left_out=(LeftOut(AZURE, "breaker open"),),
        consult=Consult((CLAUDE,), "the first turn"),
    )
    kept = decisions.without_content(full)
    shown = (decisions.told(full), decisions.weighed(full), decisions.scores(full), repr(kept))
    assert CANARY not in json.dumps(shown)
    assert decisions.told(kept) == shown[0]
    quiet = Plan(model="coder", targets=(OPENAI,), reason="as listed")
    assert decisions.without_content(quiet) is quiet


def test_whatever_a_strategy_says_there_is_an_end_to_it():
    many = tuple(Target("openai", f"{number}{LONG}") for number in range(500))
    huge = plan(
        strategy=LONG,
        rule=LONG,
        reason=LONG,
        task=LONG,
        asked=LONG,
        targets=many,
        evidence=(LONG,) * 500,
        candidates=tuple(Candidate(str(target), 0.5, LONG) for target in many),
        left_out=tuple(LeftOut(target, LONG) for target in many),
        consult=Consult(many, LONG),
    )
    for shown in (decisions.told(huge), decisions.weighed(huge), decisions.scores(huge)):
        assert len(json.dumps(shown)) < 150_000
    kept = decisions.without_content(huge)
    assert [len(each) for each in (kept.targets, kept.evidence, kept.candidates, kept.left_out)] == [50] * 4


def test_what_was_weighed_comes_before_what_stands_by():
    weighed = plan(
        candidates=(Candidate("smart", 0.9, "code 0.90"), Candidate("openai/gpt-5", None, "no evidence")),
        left_out=(LeftOut(AZURE, "its vendor has no chat"), LeftOut(CLAUDE, "breaker open")),
    )
    assert decisions.weighed(weighed) == [
        {"target": "smart", "score": 0.9, "why": "code 0.90"},
        {"target": "openai/gpt-5", "why": "no evidence"},
        {"target": "claude/sonnet", "rejected_because": "breaker open"},
        {"target": "azure/gpt-4.1", "rejected_because": "its vendor has no chat"},
    ]
    assert decisions.scores(weighed) == ("smart 0.9: code 0.90", "openai/gpt-5: no evidence")


# In lines and counters ------------------------------------------------------------------------------------------------


def test_route_decided():
    left = (LeftOut(AZURE, "x-skein-no-fallback"), LeftOut(CLAUDE, "breaker open"))
    weighed = (Candidate("smart", 0.83, "code 0.83"), Candidate("openai/gpt-5", 0.5123456, "code 0.51"))
    tale = (
        Tale()
        .understood()
        .plan(
            *(OPENAI, CLAUDE),
            strategy="lead_worker",
            rule="tool_failures",
            evidence=("turn 4: shell: exit code 1",),
            role="lead",
            kind="main",
            turn=5,
            candidates=weighed,
            left_out=left,
            note=CANARY,
            remember={"plan": CANARY},
        )
    )
    assert said(tale, "route.decided") == [
        {
            **WHOSE,
            "level": "debug",
            "event": "route.decided",
            "policy": "lead_worker",
            "rule": "tool_failures",
            "reason": "as listed",
            "evidence": ["turn 4: shell: exit code 1"],
            "role": "lead",
            "kind": "main",
            "turn": 5,
            "task_type": "chat",
            "chosen": "openai/gpt-5",
            "candidates": [
                {"target": "smart", "score": 0.83, "why": "code 0.83"},
                {"target": "openai/gpt-5", "score": 0.5123, "why": "code 0.51"},
                # Shut: at the end of the plan, as the last resort.
                {"target": "claude/sonnet", "rejected_because": "breaker open"},
                {"target": "azure/gpt-4.1", "rejected_because": "x-skein-no-fallback"},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("plan", "repeats", "labels"),
    [
        ({"rule": "lead_turns", "strategy": "lead_worker", "kind": "main"}, None, "lead_worker,lead_turns,main"),
        ({"rule": "auxiliary", "strategy": "lead_worker", "kind": "aux"}, None, "lead_worker,auxiliary,aux"),
        ({"rule": "worker_turns", "strategy": "own", "kind": "subagent"}, None, "own,worker_turns,subagent"),
        ({"rule": "worker_turns", "strategy": "own", "kind": "main"}, 7, "own,worker_turns,retry"),
        ({"rule": "auxiliary", "strategy": "own", "kind": "aux"}, 7, "own,auxiliary,aux"),
        ({"rule": "of_somebody_elses"}, None, f"priority,{UNKNOWN},unread"),
        ({"kind": "odd"}, None, f"priority,configured,{UNKNOWN}"),
    ],
)
def test_rules_are_counted_under_words_that_have_an_end(plan: dict[str, Any], repeats: int | None, labels: str):
    counting = Counting(Past(repeats=repeats))
    moved = counting.tell(*Tale().understood().plan(**plan).events)
    assert {name: by for name, by in moved.items() if name.startswith("route_rules")} == {f"route_rules{{{labels}}}": 1}
