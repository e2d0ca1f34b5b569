"""``skein models``: what is on offer, and what is behind it."""

from __future__ import annotations

from tests.cli.conftest import Skein
from tests.scripted import ScriptedVendor, Status, refusing

CONFIG = """
providers:
  one: {{vendor: openai_compatible, base_url: "{url}/v1", api_key: key-of-one-1234, models: [a], windows: {{a: 8000}}}}
  two: {{vendor: openai_compatible, base_url: "{other}/v1"}}
models:
  fast: [one/a, two/b]
  coder: {{strategy: lead_worker, lead: fast, worker: one/c}}
aliases: {{gpt-4o: fast, "claude-*": coder}}
"""


def test_names_strategies_targets_and_windows(skein: Skein) -> None:
    ran = skein("models", config=CONFIG.format(url="http://127.0.0.1:9", other="http://127.0.0.1:9"))
    assert ran.code == 0
    assert ["coder", "lead_worker", "one/a,", "two/b,", "one/c", "8000"] in [
        line.split() for line in ran.out.splitlines()
    ]
    names = [line.split()[0] for line in ran.out.splitlines()]
    assert names == ["MODEL", "fast", "coder", "gpt-4o", "one/a"]


def test_listings_are_asked_for_and_failures_are_remarks(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.models = ("x", "y")
    with refusing() as dead:
        ran = skein("models", "--listed", "--json", config=CONFIG.format(url=vendor.url, other=dead))
    assert ran.code == 0
    offered = {each["id"]: each for each in ran.json}
    assert list(offered) == ["fast", "coder", "gpt-4o", "one/a", "one/x", "one/y"]
    assert offered["fast"] == {
        "id": "fast", "strategy": "priority", "targets": ["one/a", "two/b"], "leads_to": "fast", "window": 8000,
    }  # fmt: skip
    assert offered["gpt-4o"]["leads_to"] == "fast"
    assert offered["one/x"]["strategy"] == "direct"
    assert ran.err.startswith(f"two: no listing from {dead}/v1/models: ")
    assert vendor.listed[0].headers["authorization"] == "Bearer key-of-one-1234"


def test_a_key_that_is_echoed_is_not_shown(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.listing = Status(401, {"error": {"message": "Incorrect API key: key-of*****1234, key-of-one-1234"}})
    ran = skein("models", "--listed", config=CONFIG.format(url=vendor.url, other="http://127.0.0.1:9"))
    assert "Incorrect API key" in ran.err
    assert "key-of" not in ran.err


def test_nothing_configured_is_said(skein: Skein) -> None:
    ran = skein("models")
    assert (ran.code, ran.out) == (0, "")
    assert "--listed" in ran.err
    assert "simulator/echo" in skein("models", "--listed").out
