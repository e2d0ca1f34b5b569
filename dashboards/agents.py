"""How well models do as agents: tools, effectiveness by kind of task, feedback, and how contexts grow."""

from __future__ import annotations

from dashboards.board import Board, Row
from dashboards.panels import (
    ANY_IS_BAD,
    GREEN,
    ORANGE,
    RED,
    Ask,
    Column,
    Panel,
    bars,
    figure,
    heat,
    lines,
    matrix,
    stacked,
    table,
)
from dashboards.promql import AS_SHOWN, AS_ZOOMED, counted, mean, quantile, rate, share

CALLS, RETRIES = "skein_tool_calls_total", "skein_tool_call_retries_total"
REPAIRS = "skein_tool_repairs_total"
CONTEXT, GROWTH, WINDOW = "skein_context_tokens", "skein_context_growth_tokens", "skein_context_window_ratio"
SCORE, FEEDBACK = "skein_effectiveness_score", "skein_feedback_total"
GOOD_ENOUGH = ((None, RED), (0.75, ORANGE), (0.9, GREEN))
NO_TOOLS = "no tool calls"
# The others have no result to judge by.
ANSWERED = 'outcome!="unanswered"'
NINE_TENTHS = 'le="0.9"'


def board() -> Board:
    return Board(
        name="agents",
        title="Agent quality",
        description="Which model gets work done: tool calls are judged by the results in the next turn.",
        since="now-24h",
        rows=(
            Row("In the shown time range", figures()),
            Row("Tools", tools()),
            Row("Effectiveness and feedback", effectiveness()),
            Row("Context", context()),
        ),
    )


def figures() -> tuple[Panel, ...]:
    return (
        figure("Tool calls", "short", "Tool calls, those without a result included.", counted(CALLS), "none", span=6),
        figure(
            "Tool success",
            "percentunit",
            "Tool calls whose result was no error, of those that had a result.",
            _success(over=AS_SHOWN),
            NO_TOOLS,
            GOOD_ENOUGH,
            6,
        ),
        figure(
            "Effectiveness",
            "percentunit",
            "Mean score of all answers.",
            mean(SCORE, over=AS_SHOWN),
            "not judged",
            GOOD_ENOUGH,
            6,
        ),
        figure(
            "Contexts near the limit",
            "percentunit",
            "Requests that filled more than nine tenths of their target's context window.",
            f"1 - {rate(f'{WINDOW}_bucket', NINE_TENTHS, over=AS_SHOWN)} / {rate(f'{WINDOW}_count', over=AS_SHOWN)}",
            "windows unknown",
            ((None, GREEN), (0.01, ORANGE), (0.1, RED)),
            6,
        ),
    )


def tools() -> tuple[Panel, ...]:
    by = ("target_model", "tool")
    return (
        lines(
            "Tool success by model",
            "percentunit",
            "Calls whose result was no error, of those that had a result.",
            Ask(_success("target_model"), "{{target_model}}"),
            empty=NO_TOOLS,
        ).max(1),
        stacked(
            "Tool calls by outcome",
            "ops",
            "Error: the tool said so. Invalid arguments, unknown tool: the model's mistake. Unanswered: no result.",
            Ask(rate(CALLS, by="outcome"), "{{outcome}}"),
            empty=NO_TOOLS,
        ),
        table(
            "Tools",
            "By model and tool, over the shown time range.",
            Column("Calls", counted(CALLS, by=by), "short"),
            Column("Success", _success(by, AS_SHOWN), "percentunit", GOOD_ENOUGH),
            Column("Tried again", counted(RETRIES, by=by), "short", ANY_IS_BAD),
            empty="–",
            span=12,
        ),
        lines(
            "Tried again after an error",
            "percentunit",
            "Tool calls that repeat one of the same tool that had just failed, of all.",
            Ask(share(rate(RETRIES, by="target_model"), rate(CALLS, by="target_model")), "{{target_model}}"),
            empty=NO_TOOLS,
        ),
        matrix(
            "Repaired tool calls",
            "short",
            "What was put right in calls before their clients saw them, over the shown time range. Invalid: they do not"
            " fit their tools, and nothing was.",
            counted(REPAIRS, by=("target_model", "kind")),
            rows="target_model",
            columns="kind",
            empty="–",
            steps=((None, ORANGE),),
        ),
        stacked(
            "Tool calls repaired",
            "ops",
            "By what was done to them; a call may have had several things done to it.",
            Ask(rate(REPAIRS, by="kind"), "{{kind}}"),
            empty="no repairs",
        ),
    )


def effectiveness() -> tuple[Panel, ...]:
    return (
        matrix(
            "Effectiveness by model and task",
            "percentunit",
            "Mean score over the shown time range. Few answers make an unsure figure: see the counts beside it.",
            mean(SCORE, by=("target_model", "task_type"), over=AS_SHOWN),
            rows="target_model",
            columns="task_type",
            empty="–",
            steps=GOOD_ENOUGH,
        ),
        matrix(
            "Answers judged by model and task",
            "short",
            "How many answers each score rests on, in the shown time range.",
            counted(f"{SCORE}_count", by=("target_model", "task_type")),
            rows="target_model",
            columns="task_type",
            empty="–",
            steps=((None, ORANGE), (30, GREEN)),
        ),
        lines(
            "Effectiveness over time",
            "percentunit",
            "Mean score of each model's answers.",
            Ask(mean(SCORE, by="target_model"), "{{target_model}}"),
            empty="not judged",
        ).max(1),
        stacked(
            "Feedback",
            "short",
            "Verdicts given within a step of the graph.",
            Ask(counted(FEEDBACK, by="verdict", over=AS_ZOOMED), "{{verdict}}"),
            empty="none given",
        ),
        table(
            "Feedback by model",
            "In the shown time range.",
            Column("Verdicts", counted(FEEDBACK, by=("target_model", "task_type", "source", "verdict")), "short"),
            empty="none given",
        ),
    )


def context() -> tuple[Panel, ...]:
    return (
        lines(
            "Context",
            "short",
            "Input tokens of requests, by the model the client asked for.",
            Ask(quantile(0.5, CONTEXT, by="model"), "p50 {{model}}"),
            Ask(quantile(0.95, CONTEXT, by="model"), "p95 {{model}}"),
            empty="no usage told",
        ),
        heat("Context, spread", "short", "Requests per second by size.", rate(f"{CONTEXT}_bucket", by="le"), "none"),
        lines(
            "Growth per turn",
            "short",
            "Input tokens more than in the session's last request.",
            Ask(quantile(0.5, GROWTH, by="model"), "p50 {{model}}"),
            Ask(quantile(0.95, GROWTH, by="model"), "p95 {{model}}"),
            empty="no sessions",
        ),
        bars(
            "Compactions",
            "short",
            "Sessions whose context fell by more than a fifth, within a step of the graph.",
            Ask(counted("skein_context_compactions_total", by="model", over=AS_ZOOMED), "{{model}}"),
            empty="none",
        ),
        lines(
            "Share of the context window",
            "percentunit",
            "Input tokens as a share of what the target can take, where that is known.",
            Ask(quantile(0.5, WINDOW, by="target_model"), "p50 {{target_model}}"),
            Ask(quantile(0.95, WINDOW, by="target_model"), "p95 {{target_model}}"),
            empty="windows unknown",
            span=24,
        ).max(1),
    )


def _success(by: str | tuple[str, ...] = (), over: str = AS_ZOOMED) -> str:
    return share(rate(CALLS, 'outcome="ok"', by=by, over=over), rate(CALLS, ANSWERED, by=by, over=over))
