"""What the committed dashboards ask Prometheus, with Grafana's variables filled in. Needs no Grafana library."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
WINDOWS = {"__rate_interval": "5m", "__interval": "1m", "__range": "1h"}
# $name, ${name} or ${name:format}; not the $1 of a replacement in label_replace.
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::\w+)?\}|([A-Za-z_]\w*))")

Json = dict[str, Any]


class Query(NamedTuple):
    dashboard: str
    """Its uid."""
    panel: str
    """Its title; of an annotation, its name."""
    expression: str
    """PromQL with every variable filled in: ready to be sent to Prometheus."""


def dashboards() -> list[Json]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))]


def queries() -> list[Query]:
    """Every query of every dashboard, those of its annotations included."""
    return [
        Query(dashboard["uid"], title, filled_in(expression, dashboard))
        for dashboard in dashboards()
        for title, expression in expressions(dashboard)
    ]


def expressions(dashboard: Json) -> Iterator[tuple[str, str]]:
    """Title and expression, as they are written in the dashboard."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def panels(dashboard: Json) -> list[Json]:
    """What shows data: everything but the rows, which hold none of their own."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables(dashboard: Json) -> list[Json]:
    return dashboard["templating"]["list"]


def filled_in(expression: str, dashboard: Json) -> str:
    """Fixed windows for Grafana's own; of the dashboard's, the default, which for a filter is everything.

    Raises KeyError for a variable that neither has.
    """
    values = WINDOWS | {variable["name"]: _default(variable) for variable in variables(dashboard)}
    return _VARIABLE.sub(lambda match: values[match[1] or match[2]], expression)


def _default(variable: Json) -> str:
    return variable["allValue"] if variable.get("includeAll") else str(variable.get("current", {}).get("value", ""))
