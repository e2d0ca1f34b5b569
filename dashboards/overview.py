"""What clients saw: the error budget and how fast it burns, traffic, errors by whose fault, latency with exemplars."""

from __future__ import annotations

from dashboards.board import Board, Row, link_to
from dashboards.panels import (
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
    ranking,
    stacked,
    table,
)
from dashboards.promql import AS_SHOWN, bad_share, budget_left, burn_rate, good_share, mean, quantile, rate, total

# The windows and thresholds of the two burn-rate alerts.
FAST, SLOW = 14.4, 6
IN_TIME = 'le="10.0"'
BURNING = ((None, GREEN), (1, ORANGE), (SLOW, RED))
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def board() -> Board:
    return Board(
        name="overview",
        title="Overview and SLO",
        description="What clients saw: one exchange counts once, retries and failovers inside it not.",
        rows=(
            Row("Objective", objective()),
            Row("Traffic", traffic()),
            Row("Errors", errors()),
            Row("Latency", latency()),
            Row("The gateway's own share", own_share()),
        ),
    )


def objective() -> tuple[Panel, ...]:
    requests = "skein_requests_total"
    return (
        figure(
            "Success",
            "percentunit",
            "Requests of the shown time range that went well, of those neither rejected nor cancelled.",
            good_share(requests, over=AS_SHOWN),
            "no traffic",
            ((None, RED), (0.95, ORANGE), (0.995, GREEN)),
            6,
        ),
        figure(
            "Budget left",
            "percentunit",
            "Share of the time range's error budget that is not used up. Below 0: overspent.",
            budget_left(),
            "no traffic",
            ((None, RED), (0, ORANGE), (0.25, GREEN)),
            6,
        ),
        figure(
            "Burn rate, 1 h",
            "none",
            "How many times faster than allowed the budget went in the last hour.",
            burn_rate("1h"),
            "no traffic",
            BURNING,
            6,
        ),
        figure(
            "Burn rate, 6 h",
            "none",
            "How many times faster than allowed the budget went in the last six hours.",
            burn_rate("6h"),
            "no traffic",
            BURNING,
            6,
        ),
        lines(
            "Burn rate",
            "none",
            f"1 uses the budget up exactly in its period. An alert pages above {FAST} over 1 h and 5 min, and opens a "
            f"ticket above {SLOW} over 6 h and 30 min.",
            *(Ask(burn_rate(window), window) for window in ("5m", "30m", "1h", "6h")),
            empty="no traffic",
            span=8,
        ),
        lines(
            "First token later than 10 s",
            "percentunit",
            "Share of streams that kept their client waiting that long. The alert's objective is at most 5 %.",
            *(Ask(late(window), window) for window in ("5m", "1h")),
            empty="no streams",
            span=8,
        ),
        table(
            "By model",
            "Where the budget of the shown time range went.",
            Column("Bad", bad_share(requests, "model", AS_SHOWN), "percentunit", ((None, GREEN), (0.01, RED))),
            Column("Budget left", budget_left("model"), "percentunit", ((None, RED), (0, ORANGE), (0.25, GREEN))),
            Column("Requests/min", f"60 * {rate(requests, by='model', over=AS_SHOWN)}", "reqpm"),
            empty="no traffic",
            span=8,
        ).override_by_name("model", [link_to("overview", "model")]),
    )


def late(over: str) -> str:
    first = "skein_time_to_first_token_seconds"
    return f"1 - {rate(f'{first}_bucket', IN_TIME, over=over)} / {rate(f'{first}_count', over=over)}"


def traffic() -> tuple[Panel, ...]:
    return (
        stacked(
            "Requests by outcome",
            "reqps",
            "How exchanges ended. Rejected: refused before a vendor was called, or for the caller's own mistake.",
            Ask(rate("skein_requests_total", by="outcome"), "{{outcome}}"),
            empty="no traffic",
        ),
        stacked(
            "Requests by model",
            "reqps",
            "By the name the client asked for.",
            Ask(rate("skein_requests_total", by="model"), "{{model}}"),
            empty="no traffic",
        ),
        lines(
            "In flight",
            "none",
            "Requests under way, by the kind of API they came in by.",
            Ask(total("skein_requests_in_flight", by="route"), "{{route}}"),
            empty="none",
        ),
        stacked(
            "Streams and whole answers",
            "reqps",
            "Whether the client asked for a stream.",
            Ask(rate("skein_requests_total", by="stream"), "stream: {{stream}}"),
            empty="no traffic",
        ),
    )


def errors() -> tuple[Panel, ...]:
    by_type = rate("skein_request_errors_total", by="error_type")
    domain = f'label_replace({by_type}, "domain", "$1", "error_type", "(_OTHER|[a-z]+).*")'
    return (
        stacked(
            "Errors by whose fault",
            "reqps",
            "Caller, policy (refused as configured), provider or gateway. _OTHER is a case nobody has named yet.",
            Ask(f"sum by (domain) ({domain})", "{{domain}}"),
            empty="none",
        ),
        stacked(
            "Errors by type",
            "reqps",
            "The same words are in the log and in the traces.",
            Ask(by_type, "{{error_type}}"),
            empty="none",
        ),
        bars(
            "Clients that left",
            "reqps",
            "Before the first token: too slow for them. Mid-stream: they had enough, or their connection broke.",
            Ask(rate("skein_client_disconnects_total", by="stage"), "{{stage}}"),
            empty="none",
        ),
        bars(
            "Refused at the door",
            "reqps",
            "Requests refused before any vendor was called, and why.",
            Ask(rate("skein_admission_rejections_total", by="reason"), "{{reason}}"),
            empty="none",
        ),
    )


def latency() -> tuple[Panel, ...]:
    duration, first = "skein_request_duration_seconds", "skein_time_to_first_token_seconds"
    return (
        lines(
            "Duration",
            "s",
            "From arrival to the last byte, back-off and failovers included. Points are requests: open their trace.",
            *(Ask(quantile(at, duration), name) for name, at in QUANTILES.items()),
            Ask(mean(duration), "mean"),
            empty="no traffic",
        ),
        lines(
            "First token",
            "s",
            "From arrival to the first output, of streams. Points are requests: open their trace.",
            *(Ask(quantile(at, first), name) for name, at in QUANTILES.items()),
            Ask(mean(first), "mean"),
            empty="no streams",
        ),
        lines(
            "Duration (p95) by model",
            "s",
            "Of answers that went well.",
            Ask(quantile(0.95, duration, 'outcome="ok"', by="model"), "{{model}}"),
            empty="no traffic",
        ),
        lines(
            "First token (p95) by model",
            "s",
            "Of streams.",
            Ask(quantile(0.95, first, by="model"), "{{model}}"),
            empty="no streams",
        ),
        heat(
            "Duration, spread",
            "s",
            "Requests per second in each bucket.",
            rate(f"{duration}_bucket", by="le"),
            "no traffic",
        ),
        heat(
            "First token, spread", "s", "Streams per second in each bucket.", rate(f"{first}_bucket", by="le"), "none"
        ),
    )


def own_share() -> tuple[Panel, ...]:
    return (
        lines(
            "Overhead",
            "s",
            "What the gateway itself adds before the first output: without vendor, back-off and slow clients.",
            *(
                Ask(quantile(at, "skein_overhead_seconds", by="route"), f"{name} {{{{route}}}}")
                for name, at in QUANTILES.items()
            ),
            empty="no traffic",
        ),
        ranking(
            "Where the time goes (mean)",
            "s",
            "Per phase, over the shown time range. Connect and deliver wait on others.",
            Ask(mean("skein_phase_seconds", by="phase", over=AS_SHOWN), "{{phase}}"),
            empty="no traffic",
        ),
    )
