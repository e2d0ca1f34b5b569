"""The committed Prometheus rules and their unit tests, read into values. Any test may ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.rules.yml"))
TEST_FILES = sorted((PROMETHEUS / "rules" / "tests").glob("*.test.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"


class Expression(NamedTuple):
    file: Path
    name: str
    """Of the alert, or of the series that the rule records."""
    expression: str
    """PromQL, ready to be sent to Prometheus."""


def rule_expressions() -> list[Expression]:
    """The expression of every rule, in the order of the files: what a real Prometheus has to evaluate."""
    return [
        Expression(path, rule.get("alert") or rule["record"], rule["expr"])
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
    ]


def alerts() -> dict[str, dict[str, Any]]:
    """Name -> the rule as it is written. Raises ValueError for a name given twice."""
    found: dict[str, dict[str, Any]] = {}
    for path in RULE_FILES:
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule and found.setdefault(rule["alert"], rule) is not rule:
                    raise ValueError(f"two alerts are called {rule['alert']}")
    return found


def recorded() -> dict[str, str]:
    """Name of a recorded series -> its expression."""
    return {each.name: each.expression for each in rule_expressions() if ":" in each.name}


def unit_tests() -> list[dict[str, Any]]:
    """Every test of every promtool file."""
    return [test for path in TEST_FILES for test in yaml.safe_load(path.read_text("utf-8"))["tests"]]
