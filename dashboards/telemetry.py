"""Can the other boards be believed, and is the process well: lost telemetry, series, event loop, memory, what runs."""

from __future__ import annotations

from dashboards.board import Board, Row
from dashboards.panels import ANY_IS_BAD, GREEN, ORANGE, RED, Ask, Panel, bars, facts, figure, lines, ranking, stacked
from dashboards.promql import AS_ZOOMED, counted, quantile, rate, series, total, worst
from gateway.observe.series import CAP

DROPPED, EXPORTED, EXPORT = (
    "skein_telemetry_dropped_total",
    "skein_telemetry_exported_total",
    "skein_telemetry_export_seconds",
)
LAG, OVERFLOW, RELOADS = (
    "skein_event_loop_lag_seconds",
    "skein_metric_series_overflow_total",
    "skein_config_reloads_total",
)
MEMORY, CPU, FILES = "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"


def board() -> Board:
    return Board(
        name="telemetry",
        title="Telemetry and runtime",
        description="The gateway watching itself: what telemetry was lost, and how the processes are.",
        rows=(
            Row("At a glance", figures()),
            Row("Telemetry", export()),
            Row("Series", label_sets()),
            Row("Process", process()),
            Row("What is running", running()),
        ),
    )


def figures() -> tuple[Panel, ...]:
    return (
        figure(
            "Lost", "short", "Spans, lines and events lost in the shown range.", counted(DROPPED), "none", ANY_IS_BAD
        ),
        figure(
            "Series",
            "short",
            "Label sets of all metrics, at the instance that has most. 10,000 are planned for.",
            f"max (sum by (job, instance) ({series('skein_metric_series')}))",
            "none",
            ((None, GREEN), (8_000, ORANGE), (10_000, RED)),
        ),
        figure(
            "Loop lag (p99)",
            "s",
            "How late the event loop wakes, over the last 5 minutes.",
            quantile(0.99, LAG, over="5m"),
            "none",
            ((None, GREEN), (0.05, ORANGE), (0.25, RED)),
        ),
        figure("Most memory", "bytes", "Resident, at the instance that has most.", worst(MEMORY), "not told"),
        figure("Instances", "none", "Processes that answer.", f"count ({series('skein_build_info')})", "none"),
        figure(
            "Configurations",
            "none",
            "Different configurations at work: more than 1 while a change is rolled out, or where it was refused.",
            f"count (count by (hash) ({series('skein_config_info')}))",
            "none",
            ((None, GREEN), (2, ORANGE)),
        ),
    )


def export() -> tuple[Panel, ...]:
    return (
        bars(
            "Lost telemetry",
            "short",
            "Spans, lines or events lost within a step of the graph, and why.",
            Ask(counted(DROPPED, by=("sink", "reason"), over=AS_ZOOMED), "{{sink}}: {{reason}}"),
            empty="none",
        ),
        stacked(
            "Exported",
            "ops",
            "Spans that a backend has accepted.",
            Ask(rate(EXPORTED, by="sink"), "{{sink}}"),
            empty="no backend",
        ),
        lines(
            "Export time (p95)",
            "s",
            "To hand one batch to a backend.",
            Ask(quantile(0.95, EXPORT, by=("sink", "result")), "{{sink}}: {{result}}"),
            empty="no backend",
        ),
        lines(
            "Waiting to be told",
            "short",
            "Events or spans in the queue, at the instance where it is longest.",
            Ask(worst("skein_telemetry_queue_depth", by="sink"), "{{sink}}"),
            empty="none",
        ),
    )


def label_sets() -> tuple[Panel, ...]:
    return (
        ranking(
            "Label sets of the largest metrics",
            "short",
            f"At the instance that has most. From {CAP:,} on, what is new counts under _overflow.",
            Ask(f"topk(15, {worst('skein_metric_series', by='metric')})", "{{metric}}"),
            empty="none",
            steps=((None, GREEN), (CAP / 2, ORANGE), (CAP, RED)),
        ),
        bars(
            "Overflow",
            "short",
            "Observations put under _overflow within a step of the graph.",
            Ask(counted(OVERFLOW, by="metric", over=AS_ZOOMED), "{{metric}}"),
            empty="none",
        ),
    )


def process() -> tuple[Panel, ...]:
    return (
        lines(
            "Event loop lag",
            "s",
            "How late the event loop wakes: the wait that every stream feels.",
            Ask(quantile(0.5, LAG, by="instance"), "p50 {{instance}}"),
            Ask(quantile(0.99, LAG, by="instance"), "p99 {{instance}}"),
            empty="none",
        ),
        lines(
            "CPU",
            "percentunit",
            "Of one core.",
            Ask(rate(CPU, by="instance"), "{{instance}}"),
            empty="not told",
        ),
        lines("Memory", "bytes", "Resident.", Ask(total(MEMORY, by="instance"), "{{instance}}"), empty="not told"),
        lines(
            "Open files",
            "none",
            "Sockets among them.",
            Ask(total(FILES, by="instance"), "{{instance}}"),
            empty="not told",
        ),
        stacked(
            "Garbage collections",
            "ops",
            "By generation; those of the oldest stop the process longest.",
            Ask(rate("python_gc_collections_total", by="generation"), "generation {{generation}}"),
            empty="none",
        ),
        bars(
            "Missed by the session store",
            "short",
            "Reads and writes within a step of the graph that Redis was not there for; what was known here went on.",
            Ask(counted("skein_store_errors_total", by="store", over=AS_ZOOMED), "{{store}}"),
            empty="none",
        ),
    )


def running() -> tuple[Panel, ...]:
    return (
        facts(
            "Version",
            "Of the gateway and of its Python.",
            total("skein_build_info", by=("job", "instance", "version", "python")),
            "nothing runs",
        ),
        facts(
            "Interpreter",
            "Which Python it is.",
            total("python_info", by=("job", "instance", "implementation", "version")),
            "nothing runs",
        ),
        facts(
            "Configuration",
            "The first 12 digits of its SHA-256.",
            total("skein_config_info", by=("job", "instance", "hash")),
            "nothing runs",
        ),
        bars(
            "Reloads",
            "short",
            "Configurations read again within a step of the graph; one that was refused left the old one at work.",
            Ask(counted(RELOADS, by="result", over=AS_ZOOMED), "{{result}}"),
            empty="none",
        ),
    )
