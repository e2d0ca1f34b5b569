"""``skein models --scores``: how well each candidate is expected to do each kind of work, and how sure that is.

The running gateway is asked: what was measured is there alone. Where none answers, what is known beforehand is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from gateway.cli import FAILED, OK, UsageError
from gateway.cli.asking import Unanswered, ask, where
from gateway.cli.printing import print_columns, print_json, remark
from gateway.config import load
from gateway.config.findings import either

PATH = "/admin/models"
DYNAMIC = "dynamic"


def scores(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Of the model that is named, else of all whose strategy is ``dynamic``."""
    place = where(arguments, env)
    try:
        found = ask(place, PATH)
    except Unanswered as error:
        if error.status is not None or arguments.url:
            remark(error.message)
            return FAILED
        remark("no gateway is running: this is what is known beforehand, and nothing was measured")
        found = beforehand(arguments, env)
    models = _wanted(found["models"], arguments.scores)
    if arguments.json:
        print_json({**found, "models": models})
        return OK
    if not models:
        remark(f"no model has the strategy {DYNAMIC}; --scores MODEL shows what is known behind any other")
    for number, model in enumerate(models):
        if number:
            print()
        _show(model, found["of"])
    return OK


def beforehand(arguments: argparse.Namespace, env: Mapping[str, str]) -> dict[str, Any]:
    from gateway.cli.models import quiet_runtime
    from gateway.routing.scores import request

    return {"models": quiet_runtime(load(arguments.config, env), env).scores(), "of": request()}


def _wanted(models: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Raises ``UsageError`` for a name that is none of them."""
    if not name:
        return [each for each in models if each["strategy"] == DYNAMIC]
    found = [each for each in models if each["model"] == name]
    if not found:
        raise UsageError(
            "--scores", f'no configured model is called "{name}"', either(name, [each["model"] for each in models])
        )
    return found


def _show(model: Mapping[str, Any], of: Mapping[str, int]) -> None:
    asked = f"{of['input_tokens']} tokens in, {of['output_tokens']} out"
    print(f"{model['model']} ({model['strategy']}); cost and score of a request of {asked}")
    for candidate in model["candidates"]:
        print(f"\n  {_heading(candidate)}")
        rows = [_row(task, each) for task, each in candidate["tasks"].items()]
        print_columns([("TASK", "QUALITY", "90 %", "N", "BELIEVED", "SCORE", ""), *rows], indent=4)


def _heading(candidate: Mapping[str, Any]) -> str:
    cost, seconds = candidate["cost_usd"], candidate["seconds"]
    facts = [f"${cost:.4f}" if cost is not None else "no price known"]
    facts += [f"{seconds:.1f} s to first output"] if seconds is not None else []
    target = f" -> {candidate['target']}" if candidate["target"] != candidate["reference"] else ""
    return f"{candidate['reference']}{target}: {', '.join(facts)}"


def _row(task: str, each: Mapping[str, Any]) -> tuple[str, ...]:
    score = "" if each["score"] is None else f"{each['score']:.2f}"
    span = f"{each['low']:.2f}-{each['high']:.2f}"
    return (
        task,
        f"{each['quality']:.2f}",
        span,
        f"{each['n']:.0f}",
        f"{each['believed']:.2f}",
        score,
        ", ".join(each["unmet"]),
    )
