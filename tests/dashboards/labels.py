"""Which labels an answer of Prometheus' has, worked out from the question; one that can never match is refused."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser as promql

from dashboards.promql import SCRAPE, labels_of

Labels = frozenset[str]
SELECTING = {"topk", "bottomk"}
OF_SETS = {"and", "or", "unless"}


def selectors(expression: promql.Expr) -> Iterator[promql.VectorSelector]:
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(expression, visit)
    yield from found


def labels(node: promql.Expr) -> Labels | None:
    """Of the answer's series; None for a plain number. Raises AssertionError where labels are asked for in vain."""
    match node:
        case promql.NumberLiteral():
            return None
        case promql.ParenExpr() | promql.UnaryExpr():
            return labels(node.expr)
        case promql.MatrixSelector():
            return labels(node.vector_selector)
        case promql.VectorSelector():
            return _of_selector(node)
        case promql.AggregateExpr():
            return _of_aggregate(node)
        case promql.Call():
            return _of_call(node)
        case promql.BinaryExpr():
            return _of_pair(node)
    raise AssertionError(f"not used in our dashboards so far: {node}")


def _of_selector(node: promql.VectorSelector) -> Labels:
    known = frozenset((*SCRAPE, *labels_of(node.name)))
    asked = {matcher.name for matcher in node.matchers.matchers}
    assert asked <= known, f"{node.name} has no {asked - known}"
    return known


def _of_aggregate(node: promql.AggregateExpr) -> Labels:
    inner = labels(node.expr)
    if str(node.op) in SELECTING:
        return inner
    kept = frozenset(node.modifier.labels if node.modifier else ())
    assert kept <= inner, f"no {kept - inner} to aggregate by in {node}"
    return kept


def _of_call(node: promql.Call) -> Labels:
    match node.func.name:
        case "vector":
            return frozenset()
        case "label_replace":
            source = node.args[3].val
            inner = labels(node.args[0])
            assert source in inner, f"no {source} to replace in {node}"
            return inner | {node.args[1].val}
        case "histogram_quantile":
            inner = labels(node.args[1])
            assert "le" in inner, f"no buckets in {node}"
            return inner - {"le"}
        case "rate" | "increase":
            return labels(node.args[0])
    raise AssertionError(f"not used in our dashboards so far: {node.func.name}")


def _of_pair(node: promql.BinaryExpr) -> Labels | None:
    left, right = labels(node.lhs), labels(node.rhs)
    if left is None or right is None:
        return right if left is None else left
    modifier = node.modifier
    ignored = frozenset(modifier.matching.labels) if modifier and modifier.matching else frozenset()
    assert left - ignored == right - ignored, f"never match: {sorted(left)} and {sorted(right)} in {node}"
    return left
