"""Which labels a PromQL expression has, by the metric catalogue; what cannot match is a ``Mistake``.

Prometheus itself accepts a label that no series has, or two sides that never match: the answer is just empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import singledispatchmethod
from typing import Any

import promql_parser as promql

from gateway.observe.families import FAMILIES, Family
from gateway.observe.vocabulary import ERROR_TYPES

SCRAPED = frozenset({"job", "instance"})
# Labels whose values are names from elsewhere: the configuration, the agent, the catalogue.
NAMES = SCRAPED | {"model", "provider", "target_model", "from_provider", "to_provider", "tool", "metric"}
# Closed sets that the help text of a metric does not spell out.
VALUES = {"fault": ERROR_TYPES, "error_type": ERROR_TYPES}


class Mistake(Exception):
    """What in an expression can never be there."""


class Labels:
    """``of(text)`` is the set of labels; None stands for a scalar. ``recorded``: name -> expression of other rules."""

    def __init__(self, recorded: Mapping[str, str]) -> None:
        self._recorded = recorded

    def of(self, text: str) -> frozenset[str] | None:
        return self._of(promql.parse(text))

    @singledispatchmethod
    def _of(self, expr: Any) -> frozenset[str] | None:
        raise NotImplementedError(f"{type(expr).__name__}: teach this file what its labels are")

    @_of.register
    def _(self, expr: promql.NumberLiteral) -> None:
        return None

    @_of.register
    def _(self, expr: promql.ParenExpr) -> frozenset[str] | None:
        return self._of(expr.expr)

    @_of.register
    def _(self, expr: promql.MatrixSelector) -> frozenset[str] | None:
        return self._of(expr.vector_selector)

    @_of.register
    def _(self, expr: promql.VectorSelector) -> frozenset[str] | None:
        if expr.name in self._recorded:
            return self.of(self._recorded[expr.name]) or frozenset()
        family, labels = _series(expr.name)
        for matcher in expr.matchers.matchers:
            if matcher.name not in labels:
                raise Mistake(f"{expr.name} has no label {matcher.name}")
            if family is not None and matcher.name not in NAMES:
                _check_value(family, matcher.name, matcher.value)
        return labels

    @_of.register
    def _(self, expr: promql.AggregateExpr) -> frozenset[str]:
        below = self._of(expr.expr) or frozenset()
        kept = frozenset(expr.modifier.labels if expr.modifier else ())
        if missing := kept - below:
            raise Mistake(f"by {sorted(missing)}: only {sorted(below)} are there")
        return kept

    @_of.register
    def _(self, expr: promql.Call) -> frozenset[str] | None:
        given = [labels for each in expr.args if (labels := self._of(each)) is not None]
        match expr.func.name:
            case "scalar":
                return None
            case "vector":
                return frozenset()
            case "absent":
                return frozenset({"job"})
            case "histogram_quantile" if "le" not in given[0]:
                raise Mistake("histogram_quantile needs le")
            case "histogram_quantile":
                return given[0] - {"le"}
            case "rate" | "increase" | "clamp_max":
                return given[0]
        raise NotImplementedError(f"{expr.func.name}: teach this file what its labels are")

    @_of.register
    def _(self, expr: promql.BinaryExpr) -> frozenset[str] | None:
        left, right = self._of(expr.lhs), self._of(expr.rhs)
        if left is None or right is None:
            return right if left is None else left
        matching = expr.modifier.matching if expr.modifier else None
        if str(expr.op) == "or":
            return left | right
        if matching is None and left != right:
            raise Mistake(f"{expr.op}: {sorted(left)} never match {sorted(right)}")
        if matching is not None and not frozenset(matching.labels) <= left & right:
            raise Mistake(f"on {matching.labels}: {sorted(left)} and {sorted(right)} do not both have them")
        return left


def family_of(name: str) -> Family | None:
    """The family of a series of the catalogue, ``_bucket``, ``_sum`` and ``_count`` included."""
    base, _, suffix = name.rpartition("_")
    histogram = FAMILIES.get(base) if suffix in ("bucket", "sum", "count") else None
    return FAMILIES.get(name) or (histogram if histogram and histogram.kind == "histogram" else None)


def _series(name: str) -> tuple[Family | None, frozenset[str]]:
    if name == "up":
        return None, SCRAPED
    family = family_of(name)
    if family is None or (family.kind == "histogram" and family.name == name):
        raise Mistake(f"no metric {name}")
    bucket = {"le"} if name.endswith("_bucket") else frozenset()
    return family, SCRAPED | frozenset(family.labels) | bucket


def _check_value(family: Family, label: str, value: str) -> None:
    """Each alternative of a matcher has to be one the metric can have."""
    for each in value.split("|"):
        if label == "le":
            known = each in map(repr, map(float, family.buckets))
        elif label in VALUES:
            known = any(re.fullmatch(each, one) for one in VALUES[label])
        else:
            known = re.search(rf"\b{each}\b", family.help) is not None
        if not known:
            raise Mistake(f"{family.name}: {label} is never {each}")
