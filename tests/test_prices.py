"""What an answer cost. genai-prices itself is the oracle for the rates compiled from it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from datetime import UTC, datetime

import genai_prices
import pytest
from genai_prices.data import providers

from gateway.chat import Cost, Usage
from gateway.config.settings import Price
from gateway.prices import PriceBook
from gateway.routing import Target
from gateway.vendors import VENDORS

TABLE = {row.id: row for row in providers}
PRICED = [name for name, vendor in VENDORS.items() if vendor.prices]
AT = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()

# Every step of every price, one token to each side of it, at hours and in years that differ in price.
INPUTS = (
    0,
    1,
    32_000,
    32_001,
    100_001,
    128_000,
    128_001,
    199_999,
    200_000,
    200_001,
    256_001,
    272_000,
    272_001,
    600_000,
)
PARTED = [
    Usage(
        input_tokens=tokens,
        output_tokens=700,
        cached_tokens=tokens * 3 // 10,
        cache_write_tokens=tokens * 2 // 10,
        reasoning_tokens=300,
    )
    for tokens in INPUTS
]
GRID = [*PARTED, *(Usage(input_tokens=tokens) for tokens in INPUTS)]
MOMENTS = [
    datetime(2020, 1, 1, 1, tzinfo=UTC),
    datetime(2025, 5, 1, 20, tzinfo=UTC),
    datetime(2031, 1, 1, 12, tzinfo=UTC),
]


def by_the_package(provider: str, model: str, usage: Usage, moment: datetime) -> Cost | None:
    """None too for what is not sold by the token, which the package gives away."""
    counts = {
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "output_reasoning_tokens": usage.reasoning_tokens,
    }
    try:
        found = genai_prices.calc_price(counts, model, provider_id=provider, genai_request_timestamp=moment)
    except LookupError:  # some rows do not answer to their own name
        return None
    if found.model_price.input_mtok is None and found.model_price.output_mtok is None:
        return Cost(0.0, "table") if found.model.id.endswith(":free") else None
    return Cost(pytest.approx(float(found.total_price), rel=1e-12), "table")


@pytest.mark.parametrize("name", PRICED)
def test_the_rates_are_the_packages(name: str):
    vendor, book = VENDORS[name], PriceBook()
    for model in TABLE[vendor.prices].models:
        target = Target(name, model.id)
        for usage, moment in itertools.product(GRID, MOMENTS if isinstance(model.prices, list) else MOMENTS[:1]):
            expected = by_the_package(vendor.prices, model.id, usage, moment)
            assert book.cost(target, vendor, usage, moment.timestamp()) == expected, (model.id, usage, moment)


SPENT = Usage(input_tokens=1_000_000, output_tokens=100_000)
CACHED = Usage(input_tokens=1_000_000, output_tokens=100_000, cached_tokens=500_000, cache_write_tokens=100_000)
CHARGED = Usage(input_tokens=1_000_000, output_tokens=100_000, cost=0.07)
PRICES = {
    "gpt-4.1": Price(input=1, output=10),
    "mine/gpt-4.1": Price(input=2, output=20, cached=1, cache_write=4),
    "meta/llama": Price(input=0, output=0),
}

# what is asked -> (provider/model, vendor, usage, overrides, cost)
ANSWERS: dict[str, tuple[Target, str, Usage, dict[str, Price], Cost | None]] = {
    "the table": (Target("a", "gpt-4.1"), "openai", SPENT, {}, Cost(2.8, "table")),
    "the model's price by its dated name": (Target("a", "gpt-4.1-2025-04-14"), "openai", SPENT, {}, Cost(2.8, "table")),
    "Azure sells OpenAI's models": (Target("a", "gpt-4.1"), "azure_openai", SPENT, {}, Cost(2.8, "table")),
    "a deployment's name says nothing": (Target("a", "prod-eu"), "azure_openai", SPENT, {}, None),
    "a model of another vendor": (Target("a", "claude-sonnet-4-5"), "openai", SPENT, {}, None),
    "a model nobody knows": (Target("a", "m"), "openrouter", SPENT, {}, None),
    "a vendor without prices": (Target("a", "gpt-4.1"), "openai_compatible", SPENT, {}, None),
    "the simulator": (Target("sim", "gpt-4.1"), "simulator", SPENT, {}, None),
    "the simulator, with a price": (Target("sim", "gpt-4.1"), "simulator", SPENT, PRICES, Cost(2.0, "override")),
    "sold by the hour": (Target("a", "whisper-1"), "openai", SPENT, {}, None),
    "a row without a price": (Target("a", "qwen-3-coder-480b"), "cerebras", SPENT, {}, None),
    "free": (Target("a", "openai/gpt-oss-20b:free"), "openrouter", SPENT, {}, Cost(0.0, "table")),
    "by the request too": (Target("a", "sonar"), "perplexity", Usage(input_tokens=1_000_000), {}, Cost(1.012, "table")),
    "the vendor's word": (Target("a", "gpt-4.1"), "openai", CHARGED, {}, Cost(0.07, "vendor")),
    "the vendor's word of an unknown model": (Target("a", "m"), "openrouter", CHARGED, {}, Cost(0.07, "vendor")),
    "the operator's": (Target("a", "gpt-4.1"), "openai", CHARGED, PRICES, Cost(2.0, "override")),
    "the operator's, cached as input": (Target("a", "gpt-4.1"), "openai", CACHED, PRICES, Cost(2.0, "override")),
    "the operator's, of one provider": (Target("mine", "gpt-4.1"), "openai", CACHED, PRICES, Cost(3.7, "override")),
    "nothing, the operator says": (Target("a", "meta/llama"), "openai", SPENT, PRICES, Cost(0.0, "override")),
}


@pytest.mark.parametrize(("target", "vendor", "usage", "overrides", "cost"), ANSWERS.values(), ids=ANSWERS)
def test_the_source_of_a_cost(
    target: Target, vendor: str, usage: Usage, overrides: dict[str, Price], cost: Cost | None
):
    book = PriceBook(overrides)
    for _ in range(2):  # looked up, then known
        found = book.cost(target, VENDORS[vendor], usage, AT)
        assert found == (cost and Cost(pytest.approx(cost.usd), cost.source))


def test_sound_has_its_own_price():
    book, target = PriceBook(), Target("a", "gpt-audio")
    spoken = Usage(input_tokens=1000, output_tokens=100, input_audio_tokens=600, output_audio_tokens=50)
    row = genai_prices.calc_price(
        {"input_tokens": 1000, "output_tokens": 100, "input_audio_tokens": 600, "output_audio_tokens": 50},
        "gpt-audio",
        provider_id="openai",
    )
    silent = book.cost(target, VENDORS["openai"], Usage(input_tokens=1000, output_tokens=100), AT)
    assert book.cost(target, VENDORS["openai"], spoken, AT) == Cost(pytest.approx(float(row.total_price)), "table")
    assert silent is not None
    assert silent.usd < float(row.total_price)


def test_sound_that_contradicts_itself_has_no_price():
    impossible = Usage(input_tokens=10, input_audio_tokens=600)
    assert PriceBook().cost(Target("a", "gpt-audio"), VENDORS["openai"], impossible, AT) is None


def test_details_beyond_their_whole_are_cut():
    usage = Usage(input_tokens=10, cached_tokens=50, cache_write_tokens=50, output_tokens=1, reasoning_tokens=9)
    assert PriceBook({"m": Price(input=1e6, cached=1e5, output=1e6)}).cost(
        Target("a", "m"), VENDORS["openai"], usage, AT
    ) == Cost(pytest.approx(2.0), "override")


@pytest.mark.parametrize(
    ("vendor", "model", "tokens"),
    [("openai", "gpt-4.1", 1_000_000), ("openai", "whisper-1", None), ("openai", "m", None), ("vllm", "gpt-4.1", None)],
)
def test_the_window(vendor: str, model: str, tokens: int | None):
    assert PriceBook().window(Target("a", model), VENDORS[vendor]) == tokens


def test_names_from_clients_do_not_pile_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PriceBook, "LIMIT", 3)
    book = PriceBook()
    for number in range(9):
        book.cost(Target("a", f"m{number}"), VENDORS["openai"], SPENT, AT)
    assert len(book._tariffs) == 3
    assert book.cost(Target("a", "gpt-4.1"), VENDORS["openai"], SPENT, AT)


def test_every_vendor_with_prices_has_a_table():
    assert {VENDORS[name].prices for name in PRICED} <= set(TABLE)


WITHOUT_A_NETWORK = """
import sys
import gateway.prices as prices, gateway.vendors as vendors, gateway.routing as routing, gateway.chat as chat
assert "genai_prices" not in sys.modules, "imported before it is asked for"
def refuse(event, arguments):
    assert not event.startswith("socket."), event
sys.addaudithook(refuse)
prices.load()
assert "genai_prices.data" in sys.modules
for name, vendor in vendors.VENDORS.items():
    prices.PriceBook().cost(routing.Target("a", "gpt-4.1"), vendor, chat.Usage(input_tokens=1), 0.0)
import genai_prices.data_snapshot, threading
assert genai_prices.data_snapshot._custom_snapshot is None
assert threading.active_count() == 1
"""


def test_the_table_is_read_late_and_never_fetched():
    done = subprocess.run([sys.executable, "-c", WITHOUT_A_NETWORK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
