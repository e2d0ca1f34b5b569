"""Who was chosen, and what became of it: decisions, switches and their reasons, failovers, what they wasted."""

from __future__ import annotations

from dashboards.board import Annotation, Board, Row
from dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    Ask,
    Column,
    Panel,
    bars,
    figure,
    lines,
    matrix,
    stacked,
    table,
    timeline,
)
from dashboards.promql import AS_SHOWN, AS_ZOOMED, TARGET, counted, mean, quantile, rate, share, worst

SWITCHES, FAILOVERS, PER_REQUEST = "skein_model_switches_total", "skein_failovers_total", "skein_request_attempts"
ONE_CALL = 'le="1.0"'
DEMOTED = {"0": ("in its place", GREEN), "1": ("behind the others", ORANGE)}
NONE = "none"


def board() -> Board:
    return Board(
        name="routing",
        title="Routing and failover",
        description="Which target served, why it changed, and what failing over cost. Marks are changes of target.",
        annotations=(switched(),),
        rows=(
            Row("In the shown time range", figures()),
            Row("Switches", switches()),
            Row("Failover", failover()),
            Row("Decisions", decisions()),
            Row("Waste", waste()),
        ),
    )


def switched() -> Annotation:
    return Annotation(
        name="Changes of target",
        expression=f"{counted(SWITCHES, by=('from', 'to', 'reason'), over=AS_ZOOMED)} > 0",
        color=ORANGE,
        title="{{reason}}",
        text="{{from}} → {{to}}",
        tag="reason",
    )


def figures() -> tuple[Panel, ...]:
    several = (
        f"1 - {rate(f'{PER_REQUEST}_bucket', ONE_CALL, over=AS_SHOWN)} / {rate(f'{PER_REQUEST}_count', over=AS_SHOWN)}"
    )
    return (
        figure(
            "Switches", "short", "Changes of target within an exchange or a session.", counted(SWITCHES), NONE, span=6
        ),
        figure(
            "Failovers",
            "short",
            "Exchanges that moved on to another provider or model after a fault.",
            counted(FAILOVERS),
            NONE,
            span=6,
        ),
        figure(
            "Saved by failover",
            "percentunit",
            "Failovers that ended well: what clients never noticed.",
            share(counted(FAILOVERS, 'result="ok"'), counted(FAILOVERS)),
            "no failovers",
            ((None, RED), (0.5, ORANGE), (0.9, GREEN)),
            6,
        ),
        figure(
            "Needed more than one call",
            "percentunit",
            "Requests whose first call was not enough, of those that made any.",
            several,
            "no traffic",
            ((None, GREEN), (0.05, ORANGE), (0.2, RED)),
            6,
        ),
    )


def switches() -> tuple[Panel, ...]:
    return (
        bars(
            "Switches by reason",
            "short",
            "Changes of target within a step of the graph.",
            Ask(counted(SWITCHES, by="reason", over=AS_ZOOMED), "{{reason}}"),
            empty=NONE,
        ),
        matrix(
            "From and to",
            "short",
            "Switches in the shown time range: from the row's target to the column's.",
            counted(SWITCHES, by=("from", "to")),
            rows="from",
            columns="to",
            empty="–",
            steps=((None, GREEN), (10, ORANGE), (100, RED)),
        ),
        table(
            "Switches and reasons",
            "In the shown time range.",
            Column("Switches", counted(SWITCHES, by=("from", "to", "reason")), "short"),
            empty=NONE,
        ),
    )


def failover() -> tuple[Panel, ...]:
    by = ("from_provider", "to_provider", "trigger", "result")
    return (
        bars(
            "Failovers by what made them",
            "short",
            "Within a step of the graph, by the fault that made the exchange move on.",
            Ask(counted(FAILOVERS, by="trigger", over=AS_ZOOMED), "{{trigger}}"),
            empty=NONE,
        ),
        bars(
            "Failovers by result",
            "short",
            "Within a step of the graph: whether another target answered.",
            Ask(counted(FAILOVERS, by="result", over=AS_ZOOMED), "{{result}}"),
            empty=NONE,
        ),
        table(
            "Failovers by provider",
            "In the shown time range.",
            Column("Failovers", counted(FAILOVERS, by=by), "short"),
            empty=NONE,
        ),
        timeline(
            "Demoted providers",
            "Too many of its calls failed: others are asked first, but for a few trials. The worst of all instances.",
            Ask(worst("skein_provider_demoted", by="provider"), "{{provider}}"),
            DEMOTED,
            "no providers",
            24,
        ),
        lines(
            "Calls per request",
            "none",
            "Mean and p95 of the calls that requests needed, by model.",
            Ask(mean(PER_REQUEST, by="model"), "mean {{model}}"),
            Ask(quantile(0.95, PER_REQUEST, by="model"), "p95 {{model}}"),
            empty="no traffic",
        ),
        stacked(
            "Retries and fallbacks",
            "ops",
            "Calls for an answer that were not the first, by target.",
            Ask(
                rate("skein_attempts_total", 'kind!~"primary|planner|interpreter"', by=(*TARGET, "kind")),
                "{{kind}} {{provider}}/{{target_model}}",
            ),
            empty=NONE,
        ),
    )


def decisions() -> tuple[Panel, ...]:
    made = "skein_route_decisions_total"
    rules = "skein_route_rules_total"
    every = f"ignoring (role) group_left () {rate(made)}"
    return (
        stacked(
            "Decisions by strategy",
            "reqps",
            "Plans made, by the strategy of the model that was asked for.",
            Ask(rate(made, by="policy"), "{{policy}}"),
            empty="no traffic",
        ),
        lines(
            "Share of each role",
            "percentunit",
            "Lead, worker, planner, executor or none, of all decisions.",
            Ask(f"{rate(made, by='role')} / {every}", "{{role}}"),
            empty="no traffic",
        ).max(1),
        stacked(
            "First choice",
            "reqps",
            "The target that plans put first.",
            Ask(rate(made, by=TARGET), "{{provider}}/{{target_model}}"),
            empty="no traffic",
        ),
        stacked(
            "Decisions by rule",
            "reqps",
            "Plans made, by the rule that fired: why the first target is the first.",
            Ask(rate(rules, by="rule"), "{{rule}}"),
            empty="no traffic",
        ),
        stacked(
            "Requests by kind",
            "reqps",
            "An agent's own turns, calls on the side, agents started by another, the same request again. Unread: no"
            " strategy has looked.",
            Ask(rate(rules, by="kind"), "{{kind}}"),
            empty="no traffic",
        ),
        table(
            "Rules",
            "In the shown time range.",
            Column("Decisions", counted(rules, by=("policy", "rule", "kind")), "short"),
            empty="no traffic",
            span=12,
        ),
        table(
            "Decisions",
            "In the shown time range.",
            Column("Decisions", counted(made, by=("policy", "role", *TARGET)), "short"),
            empty="no traffic",
            span=24,
        ),
    )


def waste() -> tuple[Panel, ...]:
    return (
        bars(
            "Wasted tokens",
            "short",
            "Tokens per minute of calls whose answer was thrown away, by why.",
            Ask(f"60 * {rate('skein_wasted_tokens_total', by='reason')}", "{{reason}}"),
            empty=NONE,
        ),
        bars(
            "Wasted money",
            "currencyUSD",
            "US dollars per hour for calls whose answer was thrown away, by whose it was.",
            Ask(f"3600 * {rate('skein_wasted_cost_usd_total', by=TARGET)}", "{{provider}}/{{target_model}}"),
            empty=NONE,
        ),
    )
