"""The live view: what is kept of exchanges and what is not, filters, windows, watchers."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from gateway import events
from gateway.api.operator import FILTERS as PARAMETERS
from gateway.chat import Heard
from gateway.errors import Fault, FaultKind
from gateway.observe import live as module
from gateway.observe.live import FILTERS, Live
from gateway.observe.record import ToolOutcome
from gateway.observe.watching import MOST_WAITING
from gateway.routing import Target
from tests.observe.told import (
    BEGAN,
    BUSY,
    CLAUDE,
    OPENAI,
    SECRETS,
    SWITCH,
    TYPO,
    Tale,
    Telling,
    failover,
    plain,
    received,
    told,
    understood,
)


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def test_a_row_tells_the_whole_chain():
    rows = told().live.requests({}, 100)
    assert ids(rows) == ["req-10", "req-9", "req-8", "req-7"]
    assert rows[0]["state"] == "running"
    assert (rows[0]["outcome"], rows[0]["seconds"], rows[0]["attempts"]) == (None, 30.0, [])
    row = rows[-1]
    chain = [(each["provider"], each["status"], each["kind"], each["outcome"]) for each in row["attempts"]]
    assert chain == [
        ("openai", 429, "primary", "error"),
        ("openai", 503, "retry", "error"),
        ("claude", 200, "fallback", "ok"),
    ]
    assert row["attempts"][0]["error_type"] == "provider_rate_limited"
    assert (row["attempts"][2]["seconds"], row["attempts"][2]["ttft"]) == (0.8, 0.3)
    assert row["model"] == {"asked": "gpt-4o", "public": "coder"}
    assert (row["target"], row["outcome"], row["status"]) == ("claude/sonnet", "ok", 200)
    assert (row["seconds"], row["ttft"], row["cost_usd"], row["failovers"]) == (2.0, 1.5, 0.0125, 1)
    assert row["tokens"] == {"input": 1200, "cache_read": 1000, "cache_write": 0, "output": 50, "reasoning": 20}
    assert row["switches"] == [{"from": "openai/gpt-5", "to": "claude/sonnet", "reason": "failover", "why": "503"}]
    assert row["tools"] == [{"tool": "shell", "outcome": "ok"}, {"tool": "edit", "outcome": "error"}]
    assert row["time"] == "2023-11-14T22:13:20.000Z"


def test_everything_about_one():
    found = told().live.request("req-7")
    assert found is not None
    assert [(step["step"], step["start"], step["end"]) for step in found["waterfall"]] == [
        ("received", 0.0, 0.0),
        ("understood", 0.001, 0.001),
        ("planned", 0.002, 0.002),
        ("attempt", 0.01, 0.21),
        ("backoff", 0.21, 0.71),
        ("attempt", 0.71, 0.95),
        ("backoff", 0.95, 1.2),
        ("attempt", 1.2, 2.0),
        ("finished", 2.0, 2.0),
    ]
    assert found["waterfall"][4]["cause"] == "retry_after"
    assert found["waterfall"][7]["first_output"] == 1.5
    assert found["plan"] == {
        "strategy": "lead_worker",
        "reason": "role=lead; turn=6",
        "rule": "tool_failures",
        "rule_says": "tool calls of the worker failed",
        "evidence": ["turn 4: shell: exit code 1", "turn 5: the user: still failing"],
        "role": "lead",
        "kind": "main",
        "turn": 6,
        "task": "code",
        "asked": "gpt-4o",
        "pinned": None,
        "candidates": [
            {"reference": "openai/gpt-5", "score": 0.83, "why": "code 0.83"},
            {"reference": "cheap", "score": None, "why": ""},
        ],
        "consult": {"targets": ["claude/sonnet"], "why": "2 failed turns in a row"},
        "targets": ["openai/gpt-5", "claude/sonnet"],
        "left_out": [{"target": "azure/gpt-4.1", "reason": "breaker open"}],
    }
    limited = found["attempts"][0]
    assert limited["url"] == "https://api.openai.com/v1/chat/completions"
    assert (limited["message"], limited["retry_after"], limited["reason"]) == ("slow down", 0.5, "first choice")
    assert found["context"] == {"tokens": 1200, "window": 200_000, "growth": 300, "compacted": False}
    assert (found["cost_source"], found["prompt"], found["finish_reasons"]) == ("table", "reviewer#3", ("tool_calls",))
    assert (found["tools_called"], found["tools"][1]["evidence"]) == (("edit",), "exit code 1")
    assert (found["overhead"], found["phases"]) == (0.004, {"parse": 0.0004, "route": 0.001})
    assert found["same_id"] == 1


def test_what_a_target_was_not_told_is_shown_where_it_was_left_out():
    telling = Telling()
    tale = Tale().asked().attempt().failed(BUSY).attempt(CLAUDE, "fallback").reduced("seed", "messages[3].content[1]")
    telling.tell(*tale.output().answered().finished().events)
    found = telling.live.request("req-1")
    assert found is not None
    assert [each["dropped"] for each in found["attempts"]] == [(), ("seed", "messages[3].content[1]")]


def test_a_request_can_be_seen_growing():
    """Cut at every event, the view is of what has happened so far, and never breaks."""
    story = failover()
    for count in range(1, len(story)):
        telling = Telling()
        telling.tell(*story[:count])
        found = telling.live.request("req-7")
        assert found is not None
        assert (found["state"], found["outcome"], found["seconds"]) == ("running", None, 60.0)
        assert len(found["attempts"]) == sum(isinstance(each, events.AttemptStarted) for each in story[:count])
        json.dumps(found)


def test_nothing_that_was_said_is_kept():
    live = told().live
    shown = json.dumps([live.requests({}, 100), [live.request(f"req-{n}") for n in range(7, 11)], live.targets()])
    assert [secret for secret in SECRETS if secret in shown] == []
    held = repr([list(live._finished), list(live._switches)])
    assert [secret for secret in SECRETS if secret in held] == []


TELLING = {"rate_limited", "overloaded", "bad_credentials", "out_of_credit", "model_missing"}


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("origin", ["vendor", "network", "gateway"])
@pytest.mark.parametrize("kind", FaultKind)
def test_a_vendors_message_may_quote_what_was_said(kind: FaultKind, origin: Any, content: bool):
    telling = Telling()
    telling.live.content = content
    telling.plain(1, fault=Fault(kind=kind, message="you said: canary; ada@example.com", status=500, origin=origin))
    found = telling.live.request("req-1")
    assert found is not None
    last = telling.live.targets()["openai/gpt-5"]["last_error"]
    places = [found["error"], found["attempts"][0], *([last] if last else [])]
    may = kind.value in TELLING or origin != "vendor" or content
    assert {place["message"] for place in places} == {"you said: canary; [e-mail]" if may else None}
    assert {place["fault"] for place in places} == {kind.value}
    assert found["attempts"][0]["status"] == 500


def test_of_a_vendors_words_only_words_are_shown():
    story = plain(1, fault=BUSY)
    heard = Heard(finish_reasons=("stop", "you said: canary", "x" * 65))
    story[-1] = msgspec.structs.replace(story[-1], heard=heard, code="you said: canary")
    telling = Telling()
    telling.tell(*story)
    found = telling.live.request("req-1")
    assert found is not None
    assert (found["finish_reasons"], found["error"]["code"]) == (("stop", "other", "other"), "other")


FILTERED: list[tuple[dict[str, Any], list[str]]] = [
    ({"outcome": "ok"}, ["req-8", "req-7"]),
    ({"outcome": "rejected"}, ["req-9"]),
    ({"outcome": "running"}, ["req-10"]),
    ({"model": "gpt-4.1"}, ["req-8"]),
    ({"model": "claude/sonnet"}, ["req-7"]),
    ({"model": "coder", "outcome": "ok"}, ["req-8", "req-7"]),
    ({"provider": "openai"}, ["req-9", "req-7"]),
    ({"error_type": "provider_overloaded"}, ["req-7"]),
    ({"error_type": "caller_invalid_request"}, ["req-9"]),
    ({"session": "dev:s-2"}, ["req-8"]),
    ({"session": "s-2"}, ["req-8"]),
    ({"caller": "dev"}, ["req-8"]),
    ({"min_seconds": 2.0}, ["req-10", "req-8", "req-7"]),
    ({"tool": "shell"}, ["req-8", "req-7"]),
    ({"tool": "edit"}, ["req-7"]),
    ({"failed_over": True}, ["req-7"]),
    ({"failed_over": False, "provider": "openai"}, ["req-9"]),
    ({"provider": "nobody"}, []),
]


@pytest.mark.parametrize(("filters", "found"), FILTERED, ids=lambda each: str(each))
def test_filters(filters: dict[str, Any], found: list[str]):
    live = told().live
    assert ids(live.requests(filters, 100)) == found
    assert ids(live.requests(filters, 1)) == found[:1]


def test_every_filter_has_a_parameter_and_a_case():
    assert set(FILTERS) == set(PARAMETERS) == {name for filters, _ in FILTERED for name in filters}


def test_of_requests_with_one_id_the_newest_is_shown():
    telling = told()
    telling.plain(11, BEGAN + 40, id="req-7", target=OPENAI)
    found = telling.live.request("req-7")
    assert found is not None
    assert (found["target"], found["same_id"]) == ("openai/gpt-5", 2)
    assert telling.live.request("req-none") is None


@pytest.mark.parametrize(
    ("request_id", "trace_id", "known"),
    [
        ("req-7", None, ("req-7", f"{0xABC + 7:032x}")),
        (None, f"{0xABC + 8:032x}", ("req-8", f"{0xABC + 8:032x}")),
        ("req-10", f"{0xABC + 10:032x}", ("req-10", f"{0xABC + 10:032x}")),
        ("req-7", f"{0xABC + 8:032x}", None),
        ("nobody", None, None),
    ],
)
def test_an_exchange_is_known_by_either_name(request_id: str | None, trace_id: str | None, known: Any):
    assert told().live.known(request_id, trace_id) == known


def test_what_waits_is_told_before_a_look():
    telling = Telling()
    for event in plain(1):
        telling.telemetry(event)
    assert ids(telling.live.requests({}, 10)) == ["req-1"]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_RUNNING", 5)
    monkeypatch.setattr(module, "MOST_TARGETS", 5)
    telling = Telling(kept=10)
    for span in range(1, 31):
        telling.plain(span, BEGAN + span, target=Target("openai", f"model-{span}"))
    telling.tell(*(received(span, BEGAN + span) for span in range(31, 61)))
    rows = telling.live.requests({}, 1000)
    assert ids(rows) == [f"req-{span}" for span in (*range(60, 55, -1), *range(30, 20, -1))]
    assert list(telling.live.targets()) == [f"openai/model-{span}" for span in range(26, 31)]


def bytes_each(count: int, story: Callable[[int], list[events.Event]], tools: Sequence[ToolOutcome] = ()) -> float:
    telling = Telling(kept=10 * count)
    telling.memory.tools = tools
    telling.tell(*story(1))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for span in range(2, count + 2):
            telling.tell(*story(span))
        return (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()


def worst(span: int) -> list[events.Event]:
    """All that comes from clients and vendors is long."""
    long = "x" * 100_000 + str(span)
    fault = Fault(kind=FaultKind.BAD_REQUEST, message=long, body=long, status=400)
    return plain(span, fault=fault, tool=long, session=long)


def test_what_one_costs():
    """As the module says."""
    long = "x" * 10_000
    tools = [ToolOutcome(id=long, tool=long, outcome="error", evidence=long, repeated=True)] * 1000
    assert bytes_each(200, plain) < 2000
    assert bytes_each(200, failover) < 4000
    assert bytes_each(50, worst, tools) < 40_000
    telling = Telling()
    telling.memory.tools = tools
    telling.tell(*worst(1))
    assert len(json.dumps(telling.live.request("req-1"))) < 40_000


def test_switches_are_told_when_they_happen():
    telling = Telling()
    telling.memory.switches[7] = [SWITCH]
    story = failover()
    telling.tell(*story[:8])
    (switch,) = telling.live.switches()
    assert switch["request_id"] == "req-7"
    assert (switch["from"], switch["to"], switch["reason"]) == ("openai/gpt-5", "claude/sonnet", "failover")
    assert (switch["model"], switch["session"], switch["scope"]) == ("coder", "ci:s-1", "request")
    telling.tell(*story[8:])
    assert len(telling.live.switches()) == 1


# Targets


def test_targets_lately():
    telling = Telling()
    for span in range(1, 101):
        telling.plain(span, BEGAN + span, seconds=span / 100)
    telling.plain(200, BEGAN + 110, fault=BUSY)
    telling.plain(201, BEGAN + 110, fault=TYPO)
    telling.tell(*failover(300)[:4])
    telling.clock.now = BEGAN + 118
    shown = telling.live.targets()["openai/gpt-5"]
    five, one = shown["lately"]["5m"], shown["lately"]["1m"]
    assert (five["succeeded"], five["failed"], five["success_ratio"]) == (100, 1, pytest.approx(100 / 101, abs=1e-4))
    assert five["mean_seconds"] == pytest.approx(0.505)
    assert five["p95_seconds"] == pytest.approx(0.95, rel=0.06)
    assert five["mean_ttft"] == pytest.approx(0.2525)
    assert 35 <= one["succeeded"] <= 45
    assert shown["in_flight"] == 1
    assert shown["last_error"]["error_type"] == "provider_overloaded", "what callers do wrong is no target's fault"
    assert (shown["last_error"]["request_id"], shown["last_error"]["message"]) == ("req-200", "overloaded")
    telling.clock.now = BEGAN + 1000
    quiet = telling.live.targets()["openai/gpt-5"]["lately"]["5m"]
    assert quiet == {
        "succeeded": 0,
        "failed": 0,
        "success_ratio": None,
        "mean_seconds": None,
        "p95_seconds": None,
        "mean_ttft": None,
    }


def test_why_a_breaker_moved():
    telling = Telling()
    telling.tell(
        events.BreakerMoved(
            at=BEGAN + 50, target=CLAUDE, before="closed", after="open", succeeded=2, failed=8, open_for=30.0
        )
    )
    moved = telling.live.targets()["claude/sonnet"]["breaker_moved"]
    assert (moved["from"], moved["to"], moved["failed"], moved["lets_through_in"]) == ("closed", "open", 8, 20.0)


# Watchers


def following(live: Live, filters: dict[str, Any], act: Any) -> list[Any]:
    """What a watcher is told of what ``act`` does."""

    async def run() -> list[Any]:
        watcher = live.watch(filters)
        assert watcher is not None
        act()
        try:
            return [(kind, fact.get("id", fact.get("count"))) for kind, fact in await watcher.next(0.0)]
        finally:
            watcher.close()

    return asyncio.run(run())


def test_a_watcher_is_told_of_what_fits():
    telling = Telling()
    telling.memory.switches[7] = [SWITCH]

    def act() -> None:
        telling.tell(*failover())
        telling.plain(8)

    assert following(telling.live, {}, act) == [("switch", None), ("request", "req-7"), ("request", "req-8")]
    assert following(telling.live, {"failed_over": True}, lambda: telling.plain(9)) == []


def test_a_slow_watcher_hears_how_much_it_missed():
    telling = Telling()

    def act() -> None:
        for span in range(1, MOST_WAITING + 11):
            telling.plain(span)

    heard = following(telling.live, {}, act)
    assert heard[0] == ("missed", 10)
    assert heard[1] == ("request", "req-11")
    assert len(heard) == 1 + MOST_WAITING


def test_watchers_are_few():
    live = Telling().live
    watchers = [live.watch({}) for _ in range(module.MOST_WATCHERS)]
    assert all(watchers)
    assert live.watch({}) is None
    watchers[3].close()  # type: ignore[union-attr]
    assert live.watch({}) is not None


def test_a_refusal_at_the_door_is_seen_too():
    telling = Telling()
    refused = events.ExchangeFinished(
        at=BEGAN + 1,
        exchange_id="req-1",
        span=1,
        model="",
        stream=False,
        outcome="error",
        status=401,
        attempts=0,
        seconds=1.0,
        code="invalid_api_key",
    )
    telling.tell(received(1), refused)
    found = telling.live.request("req-1")
    assert found is not None
    assert (found["outcome"], found["error_type"]) == ("rejected", "policy_key_refused")
    assert (found["plan"], found["error"]["code"]) == (None, "invalid_api_key")
    assert [step["step"] for step in found["waterfall"]] == ["received", "finished"]
    telling.tell(received(2), understood(2))
    assert ids(telling.live.requests({"outcome": "running"}, 9)) == ["req-2"]
