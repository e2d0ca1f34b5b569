"""What an answer cost: the vendor's own word, the operator's prices, or the table that comes with genai-prices.

The table is the package's bundled data. Its updater, which would fetch a newer one, is never started.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gateway.chat import Cost, Usage
from gateway.routing import Target
from gateway.vendors import Vendor

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice


class Quote(Protocol):
    """The operator's price of a model, in dollars per million tokens; what is ``None`` costs as ``input``."""

    @property
    def input(self) -> float: ...
    @property
    def output(self) -> float: ...
    @property
    def cached(self) -> float | None: ...
    @property
    def cache_write(self) -> float | None: ...


class Rates(NamedTuple):
    """Dollars per token, for requests whose whole input is larger than ``above`` tokens."""

    above: int
    input: float
    cache_read: float
    cache_write: float
    output: float
    reasoning: float
    request: float = 0.0
    """Dollars per request."""


Ladder = tuple[Rates, ...]
"""The rates of one model, those of the largest inputs first; empty: unknown."""


class Tariff(NamedTuple):
    """All that is known of one target's price."""

    override: Ladder = ()
    plain: Ladder = ()
    """From the table, where the price is the same at any time."""
    moving: Mapping[int, Ladder] = {}
    """From the table, where it is not: by the identity of the price that holds."""
    model: ModelInfo | None = None


class PriceBook:
    """Prices targets. Knows as many at once as ``LIMIT``; the first call for a target looks it up."""

    LIMIT = 4096

    def __init__(self, overrides: Mapping[str, Quote] = {}):
        """``overrides``: ``provider/model`` or a bare model -> price. The more exact name wins."""
        self._overrides = {name: _quoted(quote) for name, quote in overrides.items()}
        self._tariffs: dict[tuple[Target, str | None], Tariff] = {}

    def cost(self, target: Target, vendor: Vendor, usage: Usage, at: float) -> Cost | None:
        """What the answer cost, or None where nobody knows. ``at``: seconds since 1970, for prices that move with time.

        1. The operator's price: whoever sets one means it. 2. What the vendor says it charged. 3. The table.
        """
        tariff = self._tariff(target, vendor)
        if tariff.override:
            return Cost(round(_usd(tariff.override, usage), 15), "override")
        if usage.cost is not None:
            return Cost(usage.cost, "vendor")
        sound = usage.input_audio_tokens or usage.output_audio_tokens
        if tariff.plain and not sound:
            return Cost(round(_usd(tariff.plain, usage), 15), "table")
        if tariff.model is None:
            return None
        return _as_of(tariff, tariff.model, usage, datetime.fromtimestamp(at, UTC))

    def window(self, target: Target, vendor: Vendor) -> int | None:
        """The most tokens the model takes at once, where the table knows it."""
        model = self._tariff(target, vendor).model
        return model.context_window if model else None

    def _tariff(self, target: Target, vendor: Vendor) -> Tariff:
        key = (target, vendor.prices)
        if (tariff := self._tariffs.get(key)) is None:
            # Names of models come from clients: what is kept of them has an end.
            if len(self._tariffs) >= self.LIMIT:
                self._tariffs.pop(next(iter(self._tariffs), key), None)
            override = self._overrides.get(str(target)) or self._overrides.get(target.model, ())
            tariff = self._tariffs[key] = _listed(override, _find(vendor.prices, target.model))
        return tariff


def load() -> None:
    """Imports the table, which takes a moment: to be called in a thread, ahead of the first price."""
    importlib.import_module("genai_prices.data")


def _quoted(quote: Quote) -> Ladder:
    return (
        Rates(
            above=-1,
            input=quote.input / 1e6,
            cache_read=(quote.input if quote.cached is None else quote.cached) / 1e6,
            cache_write=(quote.input if quote.cache_write is None else quote.cache_write) / 1e6,
            output=quote.output / 1e6,
            reasoning=quote.output / 1e6,
        ),
    )


def _find(provider: str | None, name: str) -> ModelInfo | None:
    """The model by the package's own matching within one provider, and within those it says are sold there too."""
    if provider is None:
        return None
    from genai_prices.data import providers

    found = next((row for row in providers if row.id == provider), None)
    return found.find_model(name, all_providers=providers) if found else None


def _listed(override: Ladder, model: ModelInfo | None) -> Tariff:
    if model is None:
        return Tariff(override)
    if not isinstance(model.prices, list):
        return Tariff(override, plain=_compiled(model.prices, model), model=model)
    moving = {id(row.prices): _compiled(row.prices, model) for row in model.prices}
    return Tariff(override, moving=moving, model=model)


def _compiled(prices: ModelPrice, model: ModelInfo) -> Ladder:
    said = {name: price for name, price in vars(prices).items() if price is not None}
    if not said.keys() & {"input_mtok", "output_mtok"}:
        # Sold by the hour or the page, or a row without a price. Only what is called free is free.
        return (Rates(-1, 0, 0, 0, 0, 0),) if model.id.endswith(":free") and not said else ()
    starts = {tier.start for price in said.values() for tier in getattr(price, "tiers", ())}
    return tuple(_rates(said, above) for above in sorted(starts | {-1}, reverse=True))


def _rates(said: Mapping[str, Any], above: int) -> Rates:
    """The rates on one step. A kind without a price of its own is priced as what it is a kind of."""
    input, output = _rate(said.get("input_mtok"), above), _rate(said.get("output_mtok"), above)
    return Rates(
        above=above,
        input=input,
        cache_read=_rate(said.get("cache_read_mtok"), above, input),
        cache_write=_rate(said.get("cache_write_mtok"), above, input),
        output=output,
        reasoning=_rate(said.get("output_reasoning_mtok"), above, output),
        request=_rate(said.get("requests_kcount"), above) * 1000,
    )


def _rate(price: Any, above: int, otherwise: float = 0.0) -> float:
    """Dollars for one of what ``price`` counts in millions."""
    if price is None:
        return otherwise
    for tier in reversed(getattr(price, "tiers", ())):
        if tier.start <= above:
            return float(tier.price) / 1e6
    return float(getattr(price, "base", price)) / 1e6


def _usd(ladder: Ladder, usage: Usage) -> float:
    """As `Usage.parts` divides, without making a dict of it."""
    tokens = usage.input_tokens
    for rates in ladder:
        if tokens > rates.above:
            break
    read = min(usage.cached_tokens, tokens)
    written = min(usage.cache_write_tokens, tokens - read)
    reasoning = min(usage.reasoning_tokens, usage.output_tokens)
    return (
        (tokens - read - written) * rates.input
        + read * rates.cache_read
        + written * rates.cache_write
        + (usage.output_tokens - reasoning) * rates.output
        + reasoning * rates.reasoning
        + rates.request
    )


def _as_of(tariff: Tariff, model: ModelInfo, usage: Usage, moment: datetime) -> Cost | None:
    """The price at that moment; sound is left to the package, which knows what overlaps."""
    prices = model.get_prices(moment)
    ladder = tariff.plain or tariff.moving.get(id(prices), ())
    if not ladder:
        return None
    if not (usage.input_audio_tokens or usage.output_audio_tokens):
        return Cost(_usd(ladder, usage), "table")
    # It refuses counts that contradict each other: then nobody knows.
    with suppress(ValueError):
        return Cost(float(prices.calc_price(_counts(usage))["total_price"]), "table")
    return None


def _counts(usage: Usage) -> dict[str, int]:
    """The counts by the package's names; a whole includes its parts there too."""
    parts = usage.parts()
    counts = {
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": parts["cache_read"],
        "cache_write_tokens": parts["cache_write"],
        "output_tokens": usage.output_tokens,
        "output_reasoning_tokens": parts["reasoning"],
        "input_audio_tokens": usage.input_audio_tokens,
        "output_audio_tokens": usage.output_audio_tokens,
    }
    return {name: count for name, count in counts.items() if count}
