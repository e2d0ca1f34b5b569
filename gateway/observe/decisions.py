"""A plan as it may be shown: the rule in words, what was weighed, who was left out; within bounds, without content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.routing import RULES, Plan

# Strategies are also code of others: so many items of each list are shown, and so many characters of each text.
MOST, LONGEST, LONGEST_REASON = 50, 320, 500
# What stands for the kind of a conversation that nobody has read.
UNREAD = "unread"

KINDS = ("main", "aux", "subagent", "retry", UNREAD)
"""What kind of request it is: an agent's own turn, a call on the side, a turn of an agent that another one has started,
the same request once more. ``unread``: no strategy has asked."""


def told(plan: Plan) -> dict[str, Any]:
    """Everything about a plan but its content: ``note``, ``remember``, and what was said by a strategy that crashed."""
    return {
        "strategy": cut(plan.strategy),
        "reason": cut(plan.reason, LONGEST_REASON),
        "rule": cut(plan.rule),
        "rule_says": RULES.get(plan.rule),
        "evidence": [cut(each) for each in plan.evidence[:MOST]],
        "role": plan.role,
        "kind": plan.kind,
        "turn": plan.turn,
        "task": cut(plan.task) if plan.task else None,
        "asked": cut(plan.asked),
        "pinned": plan.pinned,
        "targets": [cut(str(target)) for target in plan.targets[:MOST]],
        "candidates": [
            {"reference": cut(each.reference), "score": rounded(each.score), "why": cut(each.why, LONGEST_REASON)}
            for each in plan.candidates[:MOST]
        ],
        "left_out": [
            {"target": cut(str(each.target)), "reason": cut(each.reason, LONGEST_REASON)}
            for each in plan.left_out[:MOST]
        ],
        "consult": None
        if plan.consult is None
        else {
            "targets": [cut(str(target)) for target in plan.consult.targets[:MOST]],
            "why": cut(plan.consult.why, LONGEST_REASON),
        },
    }


def weighed(plan: Plan) -> list[dict[str, Any]]:
    """All that could have served, best first: targets of the plan, what a strategy has scored, who was left out.

    ``rejected_because`` stands beside those that were left out: of the plan, or (shut ones) put at its end.
    """
    found: dict[str, dict[str, Any]] = {}
    for each in plan.candidates:
        name = cut(each.reference)
        found[name] = {"target": name, "score": rounded(each.score), "why": cut(each.why, LONGEST_REASON)}
    for target in plan.targets:
        found.setdefault(cut(str(target)), {"target": cut(str(target))})
    for left in plan.left_out:
        row = found.setdefault(cut(str(left.target)), {"target": cut(str(left.target))})
        row["rejected_because"] = cut(left.reason, LONGEST_REASON)
    rows = list(found.values())[:MOST]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def scores(plan: Plan) -> tuple[str, ...]:
    """``smart 0.83: code 0.83±0.05 (n=41)``, a line for each candidate."""
    return tuple(_scored(cut(each.reference), each.score, cut(each.why)) for each in plan.candidates[:MOST])


def without_content(plan: Plan) -> Plan:
    """The same plan, to be kept: of lists as many items as are shown, and nothing that a user or a model has said."""
    said = plan.note is not None or plan.remember is not None or plan.crashes
    # Most plans are short, and nothing was said: size() is no less than any list.
    if not said and plan.consult is None and size(plan) <= MOST:
        return plan
    consult = plan.consult and msgspec.structs.replace(plan.consult, remember={}, instructions=None)
    return msgspec.structs.replace(
        plan,
        note=None,
        remember=None,
        consult=consult,
        crashes=(),
        evidence=plan.evidence[:MOST],
        candidates=plan.candidates[:MOST],
        left_out=plan.left_out[:MOST],
        targets=plan.targets[:MOST],
    )


def size(plan: Plan) -> int:
    """How many things it holds that come in any number."""
    return len(plan.targets) + len(plan.left_out) + len(plan.candidates) + len(plan.evidence)


def all_cut(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(cut(each) for each in texts)[:MOST]


def cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _scored(name: str, score: float | None, why: str) -> str:
    return f"{name}{'' if score is None else f' {score:.3g}'}{f': {why}' if why else ''}"
