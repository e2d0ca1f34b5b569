"""What ``/v1/models`` tells of a model: what holds wherever its requests may go."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.app import Runtime
from gateway.config import parse
from gateway.listing_shapes import Listed

CONFIG = """
providers:
  openai: {api_key: key-0123456789, models: [gpt-5, gpt-4o, text-embedding-3-small]}
  local: {vendor: openai_compatible, base_url: "http://127.0.0.1:9/v1", models: [mine], windows: {known: 4096}}
models:
  both: [openai/gpt-5, openai/gpt-4o]
  unsure: [openai/gpt-5, local/mine]
aliases: {"o": both}
"""
GPT_5 = ["tools", "vision", "reasoning", "json_schema"]


def told(*listed: Listed) -> dict[str, Any]:
    runtime = Runtime(parse(CONFIG, {}), None, {})
    if listed:
        runtime.listings.put("local", listed)
    return {entry["id"]: entry.get("meta") for entry in runtime.service.catalogue.models()}


@pytest.mark.parametrize(
    ("name", "meta"),
    [
        ("openai/gpt-5", {"n_ctx": 400000, "max_output": 128000, "capabilities": GPT_5}),
        ("openai/gpt-4o", {"n_ctx": 128000, "max_output": 16384, "capabilities": ["tools", "vision", "json_schema"]}),
        ("both", {"n_ctx": 128000, "max_output": 16384, "capabilities": ["tools", "vision", "json_schema"]}),
        ("o", {"n_ctx": 128000, "max_output": 16384, "capabilities": ["tools", "vision", "json_schema"]}),
        # Of one of them nothing is known, so nothing is promised.
        ("unsure", {"n_ctx": 400000, "max_output": 128000}),
        ("local/mine", None),
    ],
)
def test_what_is_known_of_the_name(name: str, meta: Any):
    assert told()[name] == meta


@pytest.mark.parametrize(
    ("listed", "meta"),
    [
        (Listed("new"), None),
        (Listed("new", 1000, 500, {"tools": True, "vision": False}),
         {"n_ctx": 1000, "max_output": 500, "capabilities": ["tools"]}),
        (Listed("gpt-5", None, 64000, {"vision": False, "tools": True}),
         {"n_ctx": 400000, "max_output": 64000, "capabilities": ["tools", "reasoning", "json_schema"]}),
        (Listed("known", 9000), {"n_ctx": 4096}),
    ],
)  # fmt: skip
def test_the_vendor_knows_better_what_it_serves(listed: Listed, meta: Any):
    assert told(listed)[f"local/{listed.id}"] == meta


def test_one_model_by_its_name():
    runtime = Runtime(parse(CONFIG, {}), None, {})
    runtime.listings.put("local", (Listed("new", 1000),))
    assert runtime.service.catalogue.model("local/new")["meta"] == {"n_ctx": 1000}


def test_a_price_is_the_dearest_of_all_targets():
    known = Runtime(parse(CONFIG, {}), None, {}).service.catalogue.price
    assert known("openai/gpt-5") == (1.25e-6, 1e-5)
    assert known("both") == known("o") == (2.5e-6, 1e-5)
    assert known("unsure") is known("local/mine") is None
