"""A dashboard: rows of panels under the variables and links that all of ours share, as classic JSON for Grafana."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panels import DATASOURCE, Panel
from dashboards.promql import PICKED, SCRAPE, labels_of
from dashboards.reading import panels, variables

TAG = "skein"
# Label -> its name for people, and the metric that knows all its values.
PICKS = {
    "job": ("Job", "skein_build_info"),
    "instance": ("Instance", "skein_build_info"),
    "model": ("Model", "skein_requests_total"),
    "provider": ("Provider", "skein_attempts_total"),
    "target_model": ("Target model", "skein_attempts_total"),
}
OBJECTIVES = ("0.9", "0.95", "0.99", "0.995", "0.999", "0.9995")
OBJECTIVE = "0.995"
"""Where a board begins: what the alerts are set to."""


class Row(NamedTuple):
    title: str
    panels: tuple[Panel, ...]


class Annotation(NamedTuple):
    """Marks over all panels. Titles and texts hold ``{{label}}``; ``tag`` is a label."""

    name: str
    expression: str
    color: str
    title: str
    text: str
    tag: str


class Board(NamedTuple):
    name: str
    """Of its module; ``skein-`` and this is the uid, which links rely on."""
    title: str
    description: str
    rows: tuple[Row, ...]
    since: str = "now-6h"
    refresh: str = "30s"
    annotations: tuple[Annotation, ...] = ()


def as_json(board: Board) -> dict[str, Any]:
    builder = (
        builders.Dashboard(f"Skein / {board.title}")
        .uid(uid(board.name))
        .description(board.description)
        .tags([TAG])
        .time(board.since, "now")
        .refresh(board.refresh)
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_links())
        .with_variable(_datasource())
        .with_variable(_objective())
    )
    for label in PICKED:
        builder.with_variable(_pick(label))
    for row in board.rows:
        builder.with_row(builders.Row(row.title))
        for panel in row.panels:
            builder.with_panel(panel)
    made = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    for number, panel in enumerate(made["panels"], start=1):
        panel["id"] = number
    made["annotations"] = {"list": [_annotation(annotation) for annotation in board.annotations]}
    _hide_unused_variables(made)
    return made


def uid(name: str) -> str:
    return f"skein-{name}"


def link_to(name: str, label: str) -> models.DynamicConfigValue:
    """For the cells of a table that hold a ``label``: to the board about it, with the time and the data source."""
    kept = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"
    url = f"/d/{uid(name)}?var-{label}=${{__value.raw}}&{kept}"
    return models.DynamicConfigValue("links", [{"title": "Open ${__value.text}", "url": url}])


def _links() -> builders.DashboardLink:
    """To every board with our tag, with the time and the variables of this one."""
    return (
        builders.DashboardLink("Skein")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )


def _datasource() -> builders.DatasourceVariable:
    return builders.DatasourceVariable("datasource").label("Data source").type("prometheus").regex("")


def _objective() -> builders.CustomVariable:
    options = [models.VariableOption(text=value, value=value, selected=value == OBJECTIVE) for value in OBJECTIVES]
    return (
        builders.CustomVariable("objective")
        .label("Objective")
        .description("The share of requests that should go well; the rest is the error budget.")
        .values(",".join(OBJECTIVES))
        .options(options)
        .current(options[OBJECTIVES.index(OBJECTIVE)])
    )


def _pick(label: str) -> builders.QueryVariable:
    """A filter by one label: any number of its values, as far as the filters before it let them through."""
    shown, metric = PICKS[label]
    before = PICKED[: PICKED.index(label)]
    narrowed = [f'{other}=~"${other}"' for other in before if other in (*SCRAPE, *labels_of(metric))]
    selector = f"{metric}{{{', '.join(narrowed)}}}" if narrowed else metric
    return (
        builders.QueryVariable(label)
        .label(shown)
        .datasource(DATASOURCE)
        .query({"query": f"label_values({selector}, {label})", "refId": f"values-of-{label}"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .regex("")
        .current(models.VariableOption(text=["All"], value=["$__all"], selected=True))
    )


def _annotation(annotation: Annotation) -> dict[str, Any]:
    query = models.AnnotationQuery(
        name=annotation.name, datasource=DATASOURCE, icon_color=annotation.color, expr=annotation.expression
    )
    # What the Prometheus data source reads beside it, and the schema does not know.
    extra = {
        "step": "60s",
        "titleFormat": annotation.title,
        "textFormat": annotation.text,
        "tagKeys": annotation.tag,
        "useValueForTime": False,
    }
    return {**json.loads(json.dumps(query, cls=JSONEncoder)), **extra}


def _hide_unused_variables(made: dict[str, Any]) -> None:
    """One that changes nothing here is not shown, but kept, so that the links carry it on to the next board."""
    asked = json.dumps([panels(made), made["annotations"]])
    for variable in variables(made):
        used = f"${variable['name']}" in asked or f"${{{variable['name']}}}" in asked
        variable["hide"] = int(models.VariableHide.DONT_HIDE if used else models.VariableHide.HIDE_VARIABLE)
