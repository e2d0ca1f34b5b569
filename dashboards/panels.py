"""The kinds of panel our dashboards are made of. Each has a unit, says what it shows, and what it means when empty.

``empty`` is what stands where there is no value: no series, or NaN for want of traffic. Spans are of 24 columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, statetimeline
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.builders import timeseries as series
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.promql import family_of

Panel = Builder[models.Panel]
DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, ORANGE, RED, BLUE, PURPLE, GREY = "green", "orange", "red", "blue", "purple", "text"
COLORS = {
    "{{outcome}}": {"ok": GREEN, "error": RED, "timeout": ORANGE, "cancelled": BLUE, "rejected": PURPLE},
    "{{kind}}": {
        "primary": GREEN,
        "retry": ORANGE,
        "fallback": RED,
        "probe": BLUE,
        "planner": PURPLE,
        "interpreter": PURPLE,
    },
    "{{domain}}": {"caller": BLUE, "policy": ORANGE, "provider": RED, "gateway": PURPLE, "_OTHER": GREY},
    "{{verdict}}": {"good": GREEN, "bad": RED, "neutral": GREY},
    "{{result}}": {"ok": GREEN, "taken": GREEN, "failed": RED, "refused": RED},
}
"""By legend: the same word has the same color on every board."""

Steps = Sequence[tuple[float | None, str]]
"""Colors from a value on; None is the lowest."""
PLAIN: Steps = ((None, GREY),)
ANY_IS_BAD: Steps = ((None, GREEN), (1e-9, RED))


class Ask(NamedTuple):
    """A question to Prometheus and how its answers are called (``{{label}}``)."""

    expression: str
    legend: str


class Column(NamedTuple):
    """One figure of a table's rows."""

    name: str
    expression: str
    unit: str
    steps: Steps = ()
    states: dict[str, tuple[str, str]] | None = None


# Over time -----------------------------------------------------------------------------------------------------------


def lines(title: str, unit: str, description: str, *asked: Ask, empty: str, span: int = 12) -> series.Panel:
    panel = (
        _over_time(series.Panel(), title, unit, description, asked, empty, span)
        .legend(_LEGEND)
        .tooltip(common.VizTooltipOptions().mode(_MULTI).sort(_DESCENDING))
        .line_width(1)
        .fill_opacity(8)
    )
    for word, color in [pair for ask in asked for pair in COLORS.get(ask.legend, {}).items()]:
        panel.override_by_name(word, [_property("color", {"mode": "fixed", "fixedColor": color})])
    return panel


def stacked(title: str, unit: str, description: str, *asked: Ask, empty: str, span: int = 12) -> series.Panel:
    """Parts of a whole."""
    return (
        lines(title, unit, description, *asked, empty=empty, span=span)
        .stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
        .fill_opacity(40)
        .min(0)
    )


def bars(title: str, unit: str, description: str, *asked: Ask, empty: str, span: int = 12) -> series.Panel:
    """Things that happen now and then, stacked."""
    return (
        stacked(title, unit, description, *asked, empty=empty, span=span)
        .draw_style(common_models.GraphDrawStyle.BARS)
        .fill_opacity(80)
    )


def timeline(
    title: str, description: str, asked: Ask, states: dict[str, tuple[str, str]], empty: str, span: int = 12
) -> statetimeline.Panel:
    """States over time; ``states``: value -> (word, color)."""
    return (
        _over_time(statetimeline.Panel(), title, "none", description, (asked,), empty, span)
        .mappings(_mappings(states, empty))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .merge_values(True)
        .show_value(common_models.VisibilityMode.AUTO)
        .line_width(0)
        .fill_opacity(80)
    )


def heat(title: str, unit: str, description: str, expression: str, empty: str, span: int = 12) -> heatmap.Panel:
    """How the buckets of a histogram fill up; ``expression`` is by ``le``."""
    panel = _described(heatmap.Panel(), title, unit, description, empty, span)
    return (
        panel.with_target(_range(Ask(expression, "{{le}}")).format(PromQueryFormat.HEATMAP))
        .calculate(False)
        .cell_gap(1)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .scheme("Blues")
            .steps(64)
            .exponent(0.5)
            .scale(heatmap_models.HeatmapColorScale.EXPONENTIAL)
        )
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(common_models.AxisPlacement.LEFT))
    )


# Now, or over the shown range ----------------------------------------------------------------------------------------


def figure(
    title: str, unit: str, description: str, expression: str, empty: str, steps: Steps = PLAIN, span: int = 4
) -> stat.Panel:
    """One number."""
    return (
        _described(stat.Panel(), title, unit, description, empty, span)
        .height(4)
        .with_target(_instant(expression, "A").format(PromQueryFormat.TIME_SERIES))
        .mappings(_mappings({}, empty))
        .thresholds(_thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def ranking(
    title: str, unit: str, description: str, asked: Ask, empty: str, steps: Steps = PLAIN, span: int = 12
) -> bargauge.Panel:
    """One bar for each answer."""
    return (
        _described(bargauge.Panel(), title, unit, description, empty, span)
        .with_target(_instant(asked.expression, "A").format(PromQueryFormat.TIME_SERIES).legend_format(asked.legend))
        .mappings(_mappings({}, empty))
        .min(0)
        .thresholds(_thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def table(title: str, description: str, *columns: Column, empty: str, span: int = 24) -> tables.Panel:
    """A row for each set of labels, which come first; a column for each question. The first column sorts it."""
    panel = _described(tables.Panel(), title, columns[0].unit, description, empty, span).mappings(_mappings({}, empty))
    named = {}
    for number, column in enumerate(columns):
        ref = _ref(number)
        panel.with_target(_instant(column.expression, ref))
        named[f"Value #{ref}"] = column.name
        panel.override_by_name(column.name, _column_properties(column, empty))
    named["Value"] = columns[0].name  # as Grafana calls the figures of an only question
    return (
        panel.with_transformation(models.DataTransformerConfig("merge", options={}))
        .with_transformation(
            models.DataTransformerConfig("organize", options={"excludeByName": {"Time": True}, "renameByName": named})
        )
        .sort_by([common.TableSortByFieldState().display_name(columns[0].name).desc(True)])
        .filterable(True)
    )


def matrix(
    title: str, unit: str, description: str, expression: str, rows: str, columns: str, empty: str, steps: Steps
) -> tables.Panel:
    """``expression`` by the labels ``rows`` and ``columns``, each pair a colored cell. Half the width."""
    return (
        _described(tables.Panel(), title, unit, description, empty, 12)
        .with_target(_instant(expression, "A"))
        .mappings(_mappings({}, empty))
        .thresholds(_thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .show_header(True)
        .cell_options(_COLORED)
        .override_by_name(f"{rows}\\{columns}", [_property("custom.cellOptions", {"type": "auto"})])
        .with_transformation(
            models.DataTransformerConfig(
                "groupingToMatrix", options={"rowField": rows, "columnField": columns, "valueField": "Value"}
            )
        )
    )


def facts(title: str, description: str, expression: str, empty: str, span: int = 12) -> tables.Panel:
    """What the labels of a series that is always 1 say."""
    hidden = {"Time": True, "Value": True}
    return (
        _described(tables.Panel(), title, "string", description, empty, span)
        .show_header(True)
        .with_target(_instant(expression, "A"))
        .with_transformation(models.DataTransformerConfig("organize", options={"excludeByName": hidden}))
    )


# What they share -----------------------------------------------------------------------------------------------------

_MULTI, _DESCENDING = common_models.TooltipDisplayMode.MULTI, common_models.SortOrder.DESCENDING
_LEGEND = (
    common.VizLegendOptions()
    .show_legend(True)
    .display_mode(common_models.LegendDisplayMode.LIST)
    .placement(common_models.LegendPlacement.BOTTOM)
)
_COLORED = common_models.TableColoredBackgroundCellOptions(mode=common_models.TableCellBackgroundDisplayMode.BASIC)


def _described(panel: Any, title: str, unit: str, description: str, empty: str, span: int) -> Any:
    return (
        panel.title(title)
        .description(description)
        .unit(unit)
        .no_value(empty)
        .datasource(DATASOURCE)
        .span(span)
        .height(8)
    )


def _over_time(panel: Any, title: str, unit: str, description: str, asked: Sequence[Ask], empty: str, span: int) -> Any:
    described = _described(panel, title, unit, description, empty, span)
    for number, ask in enumerate(asked):
        described.with_target(_range(ask, _ref(number)))
    return described


def _range(ask: Ask, ref: str = "A") -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(ask.expression).legend_format(ask.legend).ref_id(ref).range()
    names_traces = any(
        name.endswith("_bucket") and (family := family_of(name)) and family.exemplars
        for name in re.findall(r"skein_\w+", ask.expression)
    )
    return query.datasource(DATASOURCE).exemplar(bool(names_traces))


def _instant(expression: str, ref: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expression).ref_id(ref).instant().format(PromQueryFormat.TABLE)
    return query.datasource(DATASOURCE).exemplar(False)


def _ref(number: int) -> str:
    return chr(ord("A") + number)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value, color) for value, color in steps])
    )


def _mappings(states: dict[str, tuple[str, str]], empty: str) -> list[models.ValueMapping]:
    words = {
        value: models.ValueMappingResult(text=word, color=color, index=number)
        for number, (value, (word, color)) in enumerate(states.items())
    }
    nothing = models.DashboardSpecialValueMapOptions(
        models.SpecialValueMatch.NULL_AND_NAN, models.ValueMappingResult(text=empty, color=GREY, index=len(words))
    )
    return [*([models.ValueMap(words)] if words else []), models.SpecialValueMap(nothing)]


def _column_properties(column: Column, empty: str) -> list[models.DynamicConfigValue]:
    properties = [_property("unit", column.unit)]
    if column.states:
        properties.append(_property("mappings", _mappings(column.states, empty)))
    if column.steps:
        properties += [
            _property("thresholds", _thresholds(column.steps).build()),
            _property("color", {"mode": "thresholds"}),
        ]
    if column.steps or column.states:
        properties.append(_property("custom.cellOptions", _COLORED))
    return properties


def _property(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(name, value)
