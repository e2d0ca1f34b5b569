"""A strategy that fails costs its own wisdom, not the request: its references serve in the order written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.chat import Facts
from gateway.errors import CallerError
from gateway.routing import Fleet, Ordered, Plan, Target
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
    "a stranger": lambda: Ordered(targets=(B, Target("gone", "m")), reason="", rule="odd"),
}


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
