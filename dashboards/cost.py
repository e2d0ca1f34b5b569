"""Tokens and money: who uses them, what caches save, what was wasted, and how far the figures go."""

from __future__ import annotations

from dashboards.board import Board, Row
from dashboards.panels import ANY_IS_BAD, GREEN, ORANGE, RED, Ask, Column, Panel, bars, figure, lines, stacked, table
from dashboards.promql import AS_SHOWN, AS_ZOOMED, TARGET, counted, increase, rate, share

COST, TOKENS = "skein_cost_usd_total", "skein_tokens_total"
WASTED_COST, WASTED_TOKENS = "skein_wasted_cost_usd_total", "skein_wasted_tokens_total"
UNPRICED, MISSING = "skein_unpriced_requests_total", "skein_usage_missing_total"
CALLED = "{{provider}}/{{target_model}}"
INPUT, CACHED = 'type=~"input_uncached|cache_read|cache_write"', 'type="cache_read"'
NO_TOKENS = "no usage told"


def board() -> Board:
    return Board(
        name="cost",
        title="Tokens and cost",
        description="Tokens as vendors told them and US dollars by list price. Types of tokens are disjoint.",
        since="now-24h",
        refresh="1m",
        rows=(
            Row("In the shown time range", figures()),
            Row("Money", money()),
            Row("Tokens", tokens()),
            Row("What is missing in these figures", trust()),
        ),
    )


def figures() -> tuple[Panel, ...]:
    return (
        figure("Cost", "currencyUSD", "For answers, by list price.", increase(COST), "no prices"),
        figure("Cost per hour", "currencyUSD", "On average.", f"3600 * {rate(COST, over=AS_SHOWN)}", "no prices"),
        figure("Tokens", "short", "Of every type.", increase(TOKENS), NO_TOKENS),
        figure(
            "From cache",
            "percentunit",
            "Input tokens that the vendor read from its cache, of all input.",
            cache_share((), AS_SHOWN),
            NO_TOKENS,
            ((None, ORANGE), (0.3, GREEN)),
        ),
        figure(
            "Wasted",
            "percentunit",
            "Money for calls whose answer was thrown away, of all that was spent.",
            share(increase(WASTED_COST), f"({increase(COST)} + ({increase(WASTED_COST)} or vector(0)))"),
            "no prices",
            ((None, GREEN), (0.02, ORANGE), (0.1, RED)),
        ),
        figure(
            "Without a price",
            "short",
            "Answers whose price or usage is not known: missing in the cost.",
            f"({counted(UNPRICED)} or vector(0)) + ({counted(MISSING)} or vector(0))",
            "none",
            ANY_IS_BAD,
        ),
    )


def money() -> tuple[Panel, ...]:
    return (
        stacked(
            "US dollars per hour, by provider",
            "currencyUSD",
            "By list price.",
            Ask(f"3600 * {rate(COST, by='provider')}", "{{provider}}"),
            empty="no prices",
        ),
        stacked(
            "US dollars per hour, by target",
            "currencyUSD",
            "By list price.",
            Ask(f"3600 * {rate(COST, by=TARGET)}", CALLED),
            empty="no prices",
        ),
        table(
            "Targets",
            "Over the shown time range.",
            Column("Cost", increase(COST, by=TARGET), "currencyUSD"),
            Column("Tokens", increase(TOKENS, by=TARGET), "short"),
            Column(
                "Cost per million tokens",
                f"1e6 * {increase(COST, by=TARGET)} / {increase(TOKENS, by=TARGET)}",
                "currencyUSD",
            ),
            Column("From cache", cache_share(TARGET, AS_SHOWN), "percentunit"),
            Column("Wasted", increase(WASTED_COST, by=TARGET), "currencyUSD", ANY_IS_BAD),
            Column("Wasted tokens", increase(WASTED_TOKENS, by=TARGET), "short", ANY_IS_BAD),
            empty="–",
        ),
    )


def tokens() -> tuple[Panel, ...]:
    return (
        stacked(
            "Tokens by type",
            "short",
            "Per minute. Input from and into caches and reasoning are apart, so the sum is the total.",
            Ask(f"60 * {rate(TOKENS, by='type')}", "{{type}}"),
            empty=NO_TOKENS,
        ),
        stacked(
            "Tokens by target",
            "short",
            "Per minute, of every type.",
            Ask(f"60 * {rate(TOKENS, by=TARGET)}", CALLED),
            empty=NO_TOKENS,
        ),
        lines(
            "From cache, by target",
            "percentunit",
            "Input tokens that the vendor read from its cache, of all input.",
            Ask(cache_share(TARGET, AS_ZOOMED), CALLED),
            empty=NO_TOKENS,
        ).max(1),
        bars(
            "Wasted, by reason",
            "currencyUSD",
            "US dollars per hour for calls whose answer was thrown away, by why.",
            Ask(f"3600 * {rate(WASTED_COST, by='reason')}", "{{reason}}"),
            empty="none",
        ),
    )


def trust() -> tuple[Panel, ...]:
    return (
        bars(
            "No price known",
            "short",
            "Answers with usage, but of a model without a price, within a step of the graph. See observe.prices.",
            Ask(counted(UNPRICED, by=TARGET, over=AS_ZOOMED), CALLED),
            empty="none",
        ),
        bars(
            "No usage told",
            "short",
            "Answers whose vendor said nothing about tokens, within a step of the graph.",
            Ask(counted(MISSING, by=TARGET, over=AS_ZOOMED), CALLED),
            empty="none",
        ),
    )


def cache_share(by: str | tuple[str, ...], over: str) -> str:
    return share(rate(TOKENS, CACHED, by=by, over=over), rate(TOKENS, INPUT, by=by, over=over))
