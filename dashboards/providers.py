"""What vendors did: success, latency, faults, health and limits of every target, each blamed for its own."""

from __future__ import annotations

from dashboards.board import Board, Row
from dashboards.panels import GREEN, ORANGE, RED, Ask, Column, Panel, bars, lines, ranking, stacked, table, timeline
from dashboards.promql import AS_SHOWN, TARGET, counted, good_share, mean, quantile, rate, series, total, worst

CALLED = "{{provider}}/{{target_model}}"
BREAKER = {"0": ("closed", GREEN), "1": ("half-open", ORANGE), "2": ("open", RED)}
GOOD_ENOUGH = ((None, RED), (0.9, ORANGE), (0.99, GREEN))
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
ATTEMPTS, DURATION, FIRST = "skein_attempts_total", "skein_attempt_duration_seconds", "skein_attempt_ttft_seconds"
PER_TOKEN = "skein_time_per_output_token_seconds"


def board() -> Board:
    return Board(
        name="providers",
        title="Providers",
        description="What vendors did, call by call: a request that was retried twice is three calls here.",
        rows=(
            Row("Summary", (summary(),)),
            Row("Success and faults", success()),
            Row("Latency", latency()),
            Row("Health", health()),
            Row("Limits, retries and connections", limits()),
        ),
    )


def summary() -> Panel:
    return table(
        "Targets",
        "Over the shown time range. Cancelled calls are no errors.",
        Column("Calls", counted(ATTEMPTS, by=TARGET), "short"),
        Column("Success", good_share(ATTEMPTS, TARGET, AS_SHOWN), "percentunit", GOOD_ENOUGH),
        Column("Duration (mean)", mean(DURATION, by=TARGET, over=AS_SHOWN), "s"),
        Column("Duration (p95)", quantile(0.95, DURATION, by=TARGET, over=AS_SHOWN), "s"),
        Column("First token (median)", quantile(0.5, FIRST, by=TARGET, over=AS_SHOWN), "s"),
        Column("Tokens/s", f"1 / ({mean(PER_TOKEN, by=TARGET, over=AS_SHOWN)})", "none"),
        Column("Breaker", worst("skein_breaker_state", by=TARGET), "none", states=BREAKER),
        empty="–",
    )


def success() -> tuple[Panel, ...]:
    return (
        lines(
            "Success",
            "percentunit",
            "Calls that went well, of those not cancelled.",
            Ask(good_share(ATTEMPTS, TARGET), CALLED),
            empty="no calls",
        ).max(1),
        stacked(
            "Calls by outcome",
            "ops",
            "How calls to vendors ended.",
            Ask(rate(ATTEMPTS, by="outcome"), "{{outcome}}"),
            empty="no calls",
        ),
        stacked(
            "Faults by type",
            "ops",
            "Why calls failed; the prefix says whose fault it was.",
            Ask(rate("skein_attempt_errors_total", by="fault"), "{{fault}}"),
            empty="none",
        ),
        stacked(
            "Faults by target",
            "ops",
            "Where calls failed, and why.",
            Ask(rate("skein_attempt_errors_total", by=(*TARGET, "fault")), f"{CALLED}: {{{{fault}}}}"),
            empty="none",
        ),
    )


def latency() -> tuple[Panel, ...]:
    return (
        lines(
            "Duration (mean)",
            "s",
            "From the call to the last byte of its answer.",
            Ask(mean(DURATION, by=TARGET), CALLED),
            empty="no calls",
        ),
        lines(
            "Duration (p95)",
            "s",
            "From the call to the last byte of its answer. Points are calls: open their trace.",
            Ask(quantile(0.95, DURATION, by=TARGET), CALLED),
            empty="no calls",
        ),
        lines(
            "Duration of all calls",
            "s",
            "Of calls that went well. Points are calls: open their trace.",
            *(Ask(quantile(at, DURATION, 'outcome="ok"'), name) for name, at in QUANTILES.items()),
            empty="no calls",
        ),
        lines(
            "First token (p95)",
            "s",
            "From the call to its first output, of streams. Points are calls: open their trace.",
            Ask(quantile(0.95, FIRST, by=TARGET), CALLED),
            empty="no streams",
        ),
        lines(
            "Output speed",
            "none",
            "Tokens per second of one stream, on average.",
            Ask(f"1 / ({mean(PER_TOKEN, by=TARGET)})", CALLED),
            empty="no streams",
        ),
        lines(
            "Time per token (p95)",
            "s",
            "Between two tokens: the slow end of what a reader sees.",
            Ask(quantile(0.95, PER_TOKEN, by=TARGET), CALLED),
            empty="no streams",
        ),
    )


def health() -> tuple[Panel, ...]:
    return (
        timeline(
            "Breakers",
            "Open: no requests for now. Half-open: a few, to find out. The worst of all instances.",
            Ask(worst("skein_breaker_state", by=TARGET), CALLED),
            BREAKER,
            "no calls yet",
        ),
        lines(
            "Error ratio the breaker acts on",
            "percentunit",
            "Share of calls that count against the target's health, at the instance where it is highest.",
            Ask(worst("skein_target_error_ratio", by=(*TARGET, "window")), f"{CALLED} ({{{{window}}}})"),
            empty="no calls yet",
        ).max(1),
        bars(
            "Breakers that changed",
            "short",
            "Changes of state within a step of the graph, by what it changed to.",
            Ask(
                counted("skein_breaker_transitions_total", by=(*TARGET, "to"), over="$__rate_interval"),
                f"{CALLED}: {{{{to}}}}",
            ),
            empty="none",
        ),
        bars(
            "Stalls",
            "ops",
            "Gaps of more than 5 seconds inside a stream.",
            Ask(rate("skein_stream_stalls_total", by=TARGET), CALLED),
            empty="none",
        ),
    )


def limits() -> tuple[Panel, ...]:
    quota = f"min by (provider, key, kind) ({series('skein_provider_ratelimit_remaining_ratio')})"
    return (
        ranking(
            "Rate limit left",
            "percentunit",
            "What the provider's last answer said is left, of requests or tokens. The lowest of all instances.",
            Ask(quota, "{{provider}} {{key}}: {{kind}}"),
            empty="not told",
            steps=((None, RED), (0.1, ORANGE), (0.3, GREEN)),
        ).max(1),
        stacked(
            "Calls by kind",
            "ops",
            "Primary: the first of a request. Retry: again. Fallback: another target. Probe: to see if one is back.",
            Ask(rate(ATTEMPTS, by="kind"), "{{kind}}"),
            empty="no calls",
        ),
        stacked(
            "Waiting between calls",
            "s",
            "Seconds of back-off per second: how many requests wait at a time, and on whose word.",
            Ask(rate("skein_retry_backoff_seconds_total", by=("provider", "cause")), "{{provider}}: {{cause}}"),
            empty="none",
        ),
        stacked(
            "Connections",
            "none",
            "Open connections to each provider.",
            Ask(total("skein_upstream_connections", by=("provider", "state")), "{{provider}}: {{state}}"),
            empty="none",
        ),
        stacked(
            "Left out of requests",
            "ops",
            "Fields and parts that the target has no words for. Log lines and spans of the requests name them.",
            Ask(rate("skein_dropped_fields_total", by=TARGET), CALLED),
            empty="none",
            span=24,
        ),
    )
