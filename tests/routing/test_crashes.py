"""A strategy that fails costs its own wisdom, not the request: its references serve in the order written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.chat import Facts
from gateway.errors import CallerError
from gateway.routing import Candidate, Consult, Fleet, LeftOut, Ordered, Plan, Target
from gateway.routing.lead_worker import LeadWorker
from gateway.routing.planner import Entry, Owner, Planner, Senses
from gateway.routing.priority import Priority

A, B = Target("a", "m"), Target("b", "m")
SAID: dict[str, Callable[[], Any]] = {
    "it raises": lambda: {}["words of the client"],
    "it goes round and round": lambda: endless(),
    "nothing": lambda: None,
    "targets alone": lambda: (A, B),
    "no targets": lambda: Ordered(targets=(), reason="", rule="odd"),
    "names for targets": lambda: Ordered(targets=("a/m",), reason="", rule="odd"),  # type: ignore[arg-type]
    "a memory nobody can keep": lambda: Ordered(targets=(A,), reason="", rule="odd", remember={"seen": object()}),
    "a planner who is a stranger": lambda: said(consult=Consult((Target("gone", "m"),), "why")),
    "no reason": lambda: said(reason=None),
    "a rule that is no word": lambda: said(rule=5),
    "a role of its own": lambda: said(role="boss"),
    "a task that is no word": lambda: said(task=["code"]),
    "evidence that is none": lambda: said(evidence=None),
    "candidates that are none": lambda: said(candidates=("fast",)),
    "a score that is no number": lambda: said(candidates=(Candidate("fast", "high", ""),)),  # type: ignore[arg-type]
    "names left out": lambda: said(left_out=(LeftOut("b/m", ""),)),  # type: ignore[arg-type]
    "a cap that is no number": lambda: said(max_tokens={A: "many"}),
    "caps that are none": lambda: said(max_tokens=None),
    "a model that is no name": lambda: said(targets=(Target("a", 5),)),  # type: ignore[arg-type]
    "a memory that is none": lambda: said(remember=["a"]),
    "a planner's memory that is none": lambda: said(consult=Consult((A,), "why", remember={"plan": 5})),  # type: ignore[dict-item]
    "a consultation that is none": lambda: said(consult="first"),
    "a note that is none": lambda: said(note=b"do it"),
    "a stranger": lambda: Ordered(targets=(B, Target("gone", "m")), reason="", rule="odd"),
}


def said(**fields: Any) -> Ordered:
    return Ordered(**{"targets": (A,), "reason": "", "rule": "odd", **fields})


def endless() -> Any:
    return endless()


class Odd(msgspec.Struct):
    answer: Callable[[], Any]

    def references(self) -> tuple[str, ...]:
        return ("a/m", "b/m")

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        return self.answer()  # type: ignore[no-any-return]


def plan(name: str, answer: Callable[[], Any]) -> Plan:
    owners = {each: Owner(operations=frozenset(("chat",))) for each in "ab"}
    models = {
        "odd": Entry("odd", Odd(answer)),
        "second": Entry("priority", Priority(targets=("b/m", "odd"))),
        "coder": Entry("lead_worker", LeadWorker(lead="b/m", worker="odd")),
    }
    return Planner(models, {}, owners, {}).plan(Facts(model=name), Senses(latency=lambda _: None, chance=lambda: 0.0))


@pytest.mark.parametrize("answer", SAID.values(), ids=SAID)
def test_references_serve_in_the_order_written(answer: Callable[[], Any]) -> None:
    found = plan("odd", answer)
    assert (found.targets, found.rule, found.strategy) == ((A, B), "crashed", "odd")
    assert found.reason == "odd failed: in the order written"
    [crash] = found.crashes
    assert (crash.model, crash.strategy) == ("odd", "odd")


def test_other_strategies_go_on_with_what_is_left_of_it() -> None:
    found = plan("second", SAID["it raises"])
    assert (found.targets, found.rule) == ((B, A), "configured")
    assert [(each.model, each.strategy) for each in found.crashes] == [("odd", "odd")]
    assert "KeyError" in found.crashes[0].traceback
    coder = plan("coder", SAID["it raises"])
    assert (coder.targets[0], coder.role, len(coder.crashes) > 0) == (B, "lead", True)


def test_a_refusal_is_no_crash() -> None:
    def refuse() -> Any:
        raise CallerError(400, "too_late", "closed for the day")

    with pytest.raises(CallerError, match="closed for the day"):
        plan("odd", refuse)
    well = plan("odd", lambda: Ordered(targets=(B,), reason="as I like it", rule="odd"))
    assert (well.targets, well.rule, well.crashes) == ((B,), "odd", ())
