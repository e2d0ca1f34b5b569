"""The wall: is every model served, how fast, and what is left of its error budget?"""

from __future__ import annotations

from dashboards.board import Board, Row, link_to
from dashboards.panels import GREEN, ORANGE, RED, Ask, Column, Panel, figure, table, timeline
from dashboards.promql import (
    AS_ZOOMED,
    SERVED,
    TARGET,
    budget_left,
    good_share,
    mean,
    quantile,
    rate,
    share,
    total,
    worst,
)

NOW = "5m"
STATES = {"0": ("ok", GREEN), "1": ("degraded", ORANGE), "2": ("down", RED)}
BREAKER = {"0": ("closed", GREEN), "1": ("half-open", ORANGE), "2": ("open", RED)}
GOOD_ENOUGH = ((None, RED), (0.95, ORANGE), (0.995, GREEN))
BUDGET = ((None, RED), (0, ORANGE), (0.25, GREEN))


def board() -> Board:
    return Board(
        name="status",
        title="Service status",
        description="To be read from afar: which models answer, how well and how fast.",
        since="now-1h",
        refresh="15s",
        rows=(Row("Now", now()), Row("Models", models()), Row("Targets", targets())),
    )


def state(over: str) -> str:
    """0 ok, 1 below the objective, 2 fewer than half go well; nothing for a model that nobody asks."""
    good = good_share("skein_requests_total", "model", over)
    asked = rate("skein_requests_total", SERVED, by="model", over=over)
    return f"(({good}) < bool $objective) + (({good}) < bool 0.5) and {asked} > 0"


def now() -> tuple[Panel, ...]:
    open_breakers = f"sum ({worst('skein_breaker_state', by=TARGET)} == bool 2)"
    return (
        figure(
            "Success",
            "percentunit",
            "Requests of the last 5 minutes that went well, of those that neither were rejected nor cancelled.",
            good_share("skein_requests_total", over=NOW),
            "no traffic",
            GOOD_ENOUGH,
        ),
        figure(
            "Requests",
            "reqpm",
            "Requests per minute over the last 5, however they ended.",
            f"60 * {rate('skein_requests_total', over=NOW)}",
            "none",
        ),
        figure(
            "First token (median)",
            "s",
            "From a request's arrival to its first output, of streams of the last 5 minutes.",
            quantile(0.5, "skein_time_to_first_token_seconds", over=NOW),
            "no streams",
            ((None, GREEN), (2.5, ORANGE), (10, RED)),
        ),
        figure(
            "Budget left",
            "percentunit",
            "Share of the error budget of the shown time range that is not used up, at the chosen objective.",
            budget_left(),
            "no traffic",
            BUDGET,
        ),
        figure("In flight", "none", "Requests under way.", total("skein_requests_in_flight"), "none"),
        figure(
            "Open breakers",
            "none",
            "Targets that get no requests for now because too many failed.",
            open_breakers,
            "none",
            ((None, GREEN), (1, RED)),
        ),
    )


def models() -> tuple[Panel, ...]:
    shown = table(
        "Models",
        "Every model that was ever asked for. State, success, times and requests are of the last "
        "5 minutes; the budget is of the range.",
        Column("State", state(NOW), "none", states=STATES),
        Column("Success", good_share("skein_requests_total", "model", NOW), "percentunit", GOOD_ENOUGH),
        Column("First token (median)", quantile(0.5, "skein_time_to_first_token_seconds", by="model", over=NOW), "s"),
        Column("Duration (p95)", quantile(0.95, "skein_request_duration_seconds", by="model", over=NOW), "s"),
        Column("Requests/min", f"60 * {rate('skein_requests_total', by='model', over=NOW)}", "reqpm"),
        Column("Budget left", budget_left("model"), "percentunit", BUDGET),
        empty="idle",
    )
    history = timeline(
        "Models over time",
        "Ok, degraded (success below the objective) or down (below one half). Empty where nobody asked.",
        Ask(state(AS_ZOOMED), "{{model}}"),
        STATES,
        "idle",
        24,
    )
    return shown.override_by_name("model", [link_to("overview", "model")]), history


def targets() -> tuple[Panel, ...]:
    per_token = mean("skein_time_per_output_token_seconds", by=TARGET, over=NOW)
    shown = table(
        "Targets",
        "What vendors did in the last 5 minutes: here a request that was retried is more than one call.",
        Column("Breaker", worst("skein_breaker_state", by=TARGET), "none", states=BREAKER),
        Column("Success", good_share("skein_attempts_total", TARGET, NOW), "percentunit", GOOD_ENOUGH),
        Column("Duration (mean)", mean("skein_attempt_duration_seconds", by=TARGET, over=NOW), "s"),
        Column("Tokens/s", f"1 / ({per_token})", "none"),
        Column("Calls/min", f"60 * {rate('skein_attempts_total', by=TARGET, over=NOW)}", "opm"),
        Column(
            "Fallbacks",
            share(
                rate("skein_attempts_total", 'kind="fallback"', by=TARGET, over=NOW),
                rate("skein_attempts_total", by=TARGET, over=NOW),
            ),
            "percentunit",
        ),
        empty="idle",
    )
    return (
        shown.override_by_name("provider", [link_to("providers", "provider")]).override_by_name(
            "target_model", [link_to("providers", "target_model")]
        ),
    )
