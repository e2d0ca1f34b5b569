"""The table operators read: what every candidate of a model is expected to do, task by task, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.chat import Facts
from gateway.routing.dynamic import Dynamic
from gateway.routing.evidence import estimate
from gateway.routing.planner import Entry, Planner, Senses
from gateway.routing.tasks import TASKS
from gateway.routing.turns import Reading
from gateway.routing.weighing import ANSWER, Contender, Weighed, believed_of, needs_of, weighed

TOKENS = 8000
"""Input of the request that everybody is measured by; its answer has ``ANSWER`` tokens."""

SHOWN = tuple(task for task in TASKS if task != "embeddings")


def scores(planner: Planner, senses: Senses, names: Iterable[str]) -> list[dict[str, Any]]:
    """For JSON. Of strategies other than ``dynamic`` what is known of their references, which is not used there."""
    return [_model(planner, senses, name, planner.models[name]) for name in names]


def request() -> dict[str, int]:
    return {"input_tokens": TOKENS, "output_tokens": ANSWER}


def _model(planner: Planner, senses: Senses, name: str, entry: Entry) -> dict[str, Any]:
    strategy = entry.strategy
    by_name = (
        strategy.contenders()
        if isinstance(strategy, Dynamic)
        else [Contender(model=each) for each in dict.fromkeys(strategy.references())]
    )
    found = {task: _weighed(planner, senses, entry, by_name, task) for task in SHOWN}
    candidates = [
        _candidate(contender, {task: found[task][contender.model] for task in SHOWN}, entry) for contender in by_name
    ]
    return {"model": name, "strategy": entry.kind, "candidates": candidates}


def _weighed(
    planner: Planner, senses: Senses, entry: Entry, contenders: Iterable[Contender], task: str
) -> dict[str, Weighed]:
    facts = Facts(model="", tools=task == "tools", structured=task == "structured")
    fleet = planner.view(senses, Reading(tokens=TOKENS, images=task == "vision"))
    if isinstance(entry.strategy, Dynamic):
        found = entry.strategy.weigh(task, facts, fleet)
    else:
        needs = needs_of(task, facts, fleet.reading())
        found = weighed(tuple(contenders), facts, fleet, needs, cost_weight=0, speed_weight=0)
    return {each.reference: each for each in found}


def _candidate(contender: Contender, by_task: dict[str, Weighed], entry: Entry) -> dict[str, Any]:
    one = by_task["chat"]
    return {
        "reference": contender.model,
        "target": str(one.target),
        "cost_usd": one.cost,
        "seconds": one.seconds,
        "tasks": {task: _task(contender, task, each, entry) for task, each in by_task.items()},
    }


def _task(contender: Contender, task: str, each: Weighed, entry: Entry) -> dict[str, Any]:
    """``quality`` is the mean of what is believed and measured together, ``low`` to ``high`` hold it nine in ten."""
    found = estimate(each.good, each.bad)
    return {
        "quality": round(found.mean, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "n": round(each.n, 1),
        "believed": round(believed_of(contender, each.target, task)[0], 4),
        "score": round(each.score, 4) if isinstance(entry.strategy, Dynamic) else None,
        "unmet": list(each.unmet),
    }
