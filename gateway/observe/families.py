"""Every metric there is: its name, labels and buckets. Dashboards, rules and tests are checked against this table.

The grain is in the name: ``requests`` are what clients saw, one per exchange; ``attempts`` are what vendors did,
charged to the attempt's own target. Labels hold names from the configuration and closed sets only.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]

# Seconds.
DURATIONS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 240, 480, 900)
FIRST_TOKENS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 4, 6, 10, 20, 40, 60)
PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)
OVERHEADS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
# Tokens.
CONTEXTS = (256, 1e3, 4e3, 8e3, 16e3, 32e3, 64e3, 96e3, 128e3, 200e3, 400e3, 1e6)
GROWTHS = (0, 128, 512, 1e3, 2e3, 4e3, 8e3, 16e3, 32e3, 64e3)


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. ``exemplars``: its buckets name a trace."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    exemplars: bool = False


FAMILIES: dict[str, Family] = {}


def _counter(name: str, help: str, *labels: str) -> Family:
    return _declared(Family(name=f"skein_{name}_total", kind="counter", help=help, labels=labels))


def _gauge(name: str, help: str, *labels: str) -> Family:
    return _declared(Family(name=f"skein_{name}", kind="gauge", help=help, labels=labels))


def _histogram(name: str, help: str, *labels: str, buckets: tuple[float, ...], exemplars: bool = False) -> Family:
    return _declared(
        Family(name=f"skein_{name}", kind="histogram", help=help, labels=labels, buckets=buckets, exemplars=exemplars)
    )


def _declared(family: Family) -> Family:
    FAMILIES[family.name] = family
    return family


_TARGET = ("provider", "target_model")

# What clients saw ----------------------------------------------------------------------------------------------------

REQUESTS = _counter(
    "requests", "Exchanges, each once: ok, error, timeout, cancelled or rejected.", "model", "outcome", "stream"
)
REQUEST_ERRORS = _counter(
    "request_errors", "Exchanges without a good end, by whose fault it was.", "model", "error_type"
)
REQUEST_DURATION = _histogram(
    "request_duration_seconds",
    "From the request's arrival to the last byte of its answer.",
    *("model", "outcome", "stream"),
    buckets=DURATIONS,
    exemplars=True,
)
TIME_TO_FIRST_TOKEN = _histogram(
    "time_to_first_token_seconds",
    "From the request's arrival to its first output, retries and failovers included; streams only.",
    "model",
    buckets=FIRST_TOKENS,
    exemplars=True,
)
OVERHEAD = _histogram(
    "overhead_seconds",
    "The gateway's own share of the time to the first output: without vendor, back-off and a client still sending.",
    "route",
    buckets=OVERHEADS,
)
PHASES = _histogram(
    "phase_seconds",
    "Where the gateway's own time goes: parse, auth, route, convert, and connect and deliver, which wait on others.",
    "phase",
    buckets=OVERHEADS,
)
REQUEST_ATTEMPTS = _histogram(
    "request_attempts", "Calls to vendors per exchange that made any.", "model", buckets=(1, 2, 3, 4, 5, 8)
)
IN_FLIGHT = _gauge("requests_in_flight", "Exchanges under way.", "route")
DISCONNECTS = _counter("client_disconnects", "Clients that left: before_first_token or mid_stream.", "model", "stage")
REJECTIONS = _counter("admission_rejections", "Requests refused before any vendor was called.", "reason")

# What vendors did ----------------------------------------------------------------------------------------------------

ATTEMPTS = _counter(
    "attempts",
    "Calls to vendors: primary, retry, fallback, probe or planner; ok, error, timeout or cancelled.",
    *(*_TARGET, "kind", "outcome"),
)
ATTEMPT_ERRORS = _counter("attempt_errors", "Failed calls, by whose fault it was.", *_TARGET, "fault")
ATTEMPT_DURATION = _histogram(
    "attempt_duration_seconds",
    "From the call to the last byte of its answer.",
    *(*_TARGET, "outcome"),
    buckets=DURATIONS,
    exemplars=True,
)
ATTEMPT_TTFT = _histogram(
    "attempt_ttft_seconds",
    "From the call to its first output; streams only.",
    *_TARGET,
    buckets=FIRST_TOKENS,
    exemplars=True,
)
TIME_PER_OUTPUT_TOKEN = _histogram(
    "time_per_output_token_seconds", "Between two tokens of a stream, on average over it.", *_TARGET, buckets=PER_TOKEN
)
STALLS = _counter("stream_stalls", "Gaps of more than 5 seconds inside a stream.", *_TARGET)
DROPPED_FIELDS = _counter(
    "dropped_fields", "Parts of requests that the target has no words for, left out for it call by call.", *_TARGET
)
BACKOFF = _counter("retry_backoff_seconds", "Time waited between attempts.", "provider", "cause")
CONNECTIONS = _gauge("upstream_connections", "Connections to a provider: active or idle.", "provider", "state")
RATE_LIMIT_LEFT = _gauge(
    "provider_ratelimit_remaining_ratio",
    "What the provider's last answer said is left of its limit: of requests or tokens.",
    *("provider", "key", "kind"),
)

# Routing and failover ------------------------------------------------------------------------------------------------

SWITCHES = _counter("model_switches", "Changes of target within an exchange or a session.", "from", "to", "reason")
FAILOVERS = _counter(
    "failovers",
    "Exchanges that moved on to another provider or model, by the fault that made them, and what came of it.",
    *("from_provider", "to_provider", "trigger", "result"),
)
BREAKER_STATE = _gauge("breaker_state", "0 closed, 1 half-open, 2 open.", *_TARGET)
BREAKER_TRANSITIONS = _counter("breaker_transitions", "Breakers that changed their state.", *_TARGET, "to")
TARGET_ERROR_RATIO = _gauge(
    "target_error_ratio", "Share of failed calls that the breaker counts, inside a window.", *_TARGET, "window"
)
PROVIDER_DEMOTED = _gauge(
    "provider_demoted", "1 while a provider's share of failures puts its targets behind those of others.", "provider"
)
ROUTE_DECISIONS = _counter(
    "route_decisions", "Plans, by strategy, the role it chose and the target it put first.", "policy", "role", *_TARGET
)
ROUTE_RULES = _counter(
    "route_rules",
    "Plans, by the rule that fired, and the kind of request: main, aux, subagent, retry, or unread.",
    *("policy", "rule", "kind"),
)

# What agents do ------------------------------------------------------------------------------------------------------

TOOL_CALLS = _counter(
    "tool_calls",
    "Tool calls, judged by what came back: ok, error, invalid_args, unknown_tool or unanswered.",
    *("target_model", "tool", "outcome"),
)
TOOL_REPAIRS = _counter(
    "tool_repairs",
    "Tool calls that were repaired or read out of text, by what was done; invalid: nothing, it does not fit its tool.",
    *("target_model", "kind"),
)
TOOL_CALL_RETRIES = _counter(
    "tool_call_retries", "Tools called again right after an error of theirs.", "target_model", "tool"
)
CONTEXT_TOKENS = _histogram("context_tokens", "Input tokens of a request.", "model", buckets=CONTEXTS)
CONTEXT_GROWTH = _histogram(
    "context_growth_tokens", "Input tokens more than in the session's last request.", "model", buckets=GROWTHS
)
COMPACTIONS = _counter("context_compactions", "Sessions whose context fell by more than a fifth.", "model")
WINDOW_RATIO = _histogram(
    "context_window_ratio",
    "Input tokens as a share of the target's context window, where that is known.",
    "target_model",
    buckets=(0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1),
)
EFFECTIVENESS = _histogram(
    "effectiveness_score",
    "How well an answer did, 0 to 1, each once: its tool calls, corrected or asked for again or not, feedback.",
    *("target_model", "task_type"),
    buckets=(0.2, 0.4, 0.6, 0.8, 1),
)
FEEDBACK = _counter(
    "feedback",
    "Verdicts given to /v1/feedback: good, bad or neutral.",
    "target_model",
    "task_type",
    "source",
    "verdict",
)

# Tokens and money ----------------------------------------------------------------------------------------------------

TOKENS = _counter(
    "tokens",
    "Tokens of answers: input_uncached, cache_read, cache_write, output, reasoning. Disjoint: their sum is the total.",
    *(*_TARGET, "type"),
)
COST = _counter("cost_usd", "US dollars for answers, by list price.", *_TARGET)
WASTED_TOKENS = _counter("wasted_tokens", "Tokens of attempts of which the client got nothing.", *_TARGET, "reason")
WASTED_COST = _counter(
    "wasted_cost_usd", "US dollars for attempts of which the client got nothing.", *_TARGET, "reason"
)
UNPRICED = _counter(
    "unpriced_requests", "Answers with usage for which no price is known: missing in the cost.", *_TARGET
)
USAGE_MISSING = _counter("usage_missing", "Answers whose vendor told no usage: missing in tokens and cost.", *_TARGET)

# The telemetry itself, and the process -------------------------------------------------------------------------------

TELEMETRY_DROPPED = _counter(
    "telemetry_dropped",
    "Spans, lines or events that were lost: queue_full, failed, shutdown, crashed, not_written.",
    "sink",
    "reason",
)
TELEMETRY_EXPORTED = _counter("telemetry_exported", "Spans that a backend has accepted.", "sink")
EXPORT_SECONDS = _histogram(
    "telemetry_export_seconds", "Time to hand one batch to a backend.", "sink", "result", buckets=DURATIONS[:11]
)
QUEUE_DEPTH = _gauge("telemetry_queue_depth", "Events or spans that wait to be told.", "sink")
SERIES = _gauge("metric_series", "Label sets of a metric.", "metric")
SERIES_OVERFLOW = _counter(
    "metric_series_overflow", "Observations put under _overflow or _other for want of room for new names.", "metric"
)
LOOP_LAG = _histogram("event_loop_lag_seconds", "How late the event loop wakes.", buckets=OVERHEADS)
BUILD_INFO = _gauge("build_info", "1, with what is running.", "version", "python")
CONFIG_INFO = _gauge("config_info", "1, with the SHA-256 (first 12 digits) of the configuration at work.", "hash")
STORE_ERRORS = _counter(
    "store_errors",
    "Reads and writes that a store of sessions missed: it was away, refused them, or could not follow.",
    "store",
)
CONFIG_RELOADS = _counter("config_reloads", "Configurations read again: taken or refused.", "result")
