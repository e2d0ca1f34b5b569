"""``skein models``: what is on offer, and what is behind it."""

from __future__ import annotations

from gateway.routing import Target
from tests.cli.conftest import Skein
from tests.running import running_gateway
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


DYNAMIC = """
server: {{port: {port}}}
providers:
  one: {{vendor: openai_compatible, base_url: "http://127.0.0.1:9/v1", models: [a]}}
  two: {{vendor: openai_compatible, base_url: "http://127.0.0.1:9/v1"}}
models:
  fast: [two/gpt-5-mini, one/a]
  auto: {{strategy: dynamic, candidates: [fast, {{model: one/a, skills: {{code: 0.9}}, vision: false}}]}}
  plain: [one/a]
observe: {{prices: {{a: {{input: 1, output: 2}}}}}}
"""


def test_scores_are_those_of_the_running_gateway(skein: Skein) -> None:
    with running_gateway(DYNAMIC.format(port=4000)) as gateway:
        runtime = gateway.runtime
        for score in (1.0, 0.0, 1.0, 1.0):
            gateway.call(lambda: runtime.evidence.learn(Target("one", "a"), "code", score, runtime.clock()))  # noqa: B023
        port = int(gateway.url.rpartition(":")[2])
        ran = skein("models", "--scores", config=DYNAMIC.format(port=port))
        told = skein("models", "--scores", "plain", "--json").json
        refused = skein("models", "--scores", "plian")
    assert (ran.code, ran.err) == (0, "")
    lines = [line.split() for line in ran.out.splitlines()]
    assert ran.out.startswith("auto (dynamic); cost and score of a request of 8000 tokens in, 800 out\n")
    assert "  fast -> two/gpt-5-mini: no price known" in ran.out.splitlines()
    assert "  one/a: $0.0096" in ran.out.splitlines()
    codes = [line for line in lines if line[:1] == ["code"]]
    assert [(line[1], line[3], line[4]) for line in codes] == [("0.80", "0", "0.80"), ("0.86", "4", "0.90")]
    assert "sees no images" in ran.out
    # Of any other model what is known of it, without a score.
    [model] = told["models"]
    assert (model["model"], model["strategy"]) == ("plain", "priority")
    code = model["candidates"][0]["tasks"]["code"]
    assert (code["n"], code["score"]) == (4.0, None)
    assert code["low"] < code["quality"] < code["high"]
    assert refused.code == 2
    assert 'did you mean "plain"?' in refused.err


def test_scores_without_a_gateway_are_what_is_known_beforehand(skein: Skein) -> None:
    ran = skein("models", "--scores", config=DYNAMIC.format(port=4117))
    assert ran.code == 0
    assert "no gateway is running" in ran.err
    assert [line.split()[3] for line in ran.out.splitlines() if line.split()[:1] == ["code"]] == ["0", "0"]
    asked = skein("models", "--scores", "--url", "http://127.0.0.1:9")
    assert (asked.code, asked.out) == (1, "")
    assert "no gateway answers" in asked.err
    none = skein("models", "--scores", config=CONFIG.format(url="http://127.0.0.1:9", other="http://127.0.0.1:9"))
    assert "no model has the strategy dynamic" in none.err


def test_every_configured_model_has_scores(skein: Skein) -> None:
    ran = skein(
        "models", "--scores", "coder", config=CONFIG.format(url="http://127.0.0.1:9", other="http://127.0.0.1:9")
    )
    assert [line.strip() for line in ran.out.splitlines() if line.startswith("  ") and line.endswith("known")] == [
        "fast -> one/a: no price known",
        "one/c: no price known",
    ]
