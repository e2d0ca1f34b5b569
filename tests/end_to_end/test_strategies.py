"""Which target is asked: order, shares, speed, keys, breakers, budgets and pins."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway import events
from tests.scripted import Answer, Received, Silent, Slow, Status, Step, rate_limited

from .setting import Stand, at, body, eventually, stand


def provider_of(s: Stand, **asked: Any) -> str:
    told = s.ask(**asked)
    assert told.status == 200, told.body
    return told.headers["x-skein-provider"]


def test_priority_asks_in_order() -> None:
    with stand("a", "b", "c") as s:
        assert [provider_of(s) for _ in range(3)] == ["a", "a", "a"]
        s.a.otherwise = Status(404)
        assert provider_of(s) == "b"
        s.b.otherwise = Status(404)
        assert provider_of(s) == "c"
        assert s.of(events.PlanMade)[0].plan.strategy == "priority"


def test_weighted_spreads_by_weight() -> None:
    model = {"strategy": "weighted", "targets": [{"target": "a/gpt-4.1", "weight": 3}, "b/gpt-4.1"]}
    with stand("a", "b", model=model) as s, s.client() as client:
        for _ in range(300):
            client.post(body())
            assert client.reply().status == 200
        # Three quarters of 300, give or take four standard deviations.
        assert 195 <= s.a.count <= 255
        assert s.a.count + s.b.count == 300
        s.a.otherwise = Status(404)
        assert {provider_of(s) for _ in range(5)} == {"b"}


def test_a_weight_of_nothing_is_a_stand_by() -> None:
    model = {"strategy": "weighted", "targets": [{"target": "a/gpt-4.1", "weight": 0}, "b/gpt-4.1"]}
    with stand("a", "b", model=model) as s:
        assert {provider_of(s) for _ in range(10)} == {"b"}
        s.b.otherwise = Status(404)
        assert provider_of(s) == "a"


def test_least_latency_prefers_the_quicker() -> None:
    model = {"strategy": "least_latency", "targets": ["slow/gpt-4.1", "quick/gpt-4.1"], "slow_start": 0}
    with stand("slow", "quick", model=model) as s:
        s.slow.otherwise = Slow(head=0.3)
        for name in ("slow", "quick"):  # who has never been asked counts as quick as the quickest
            assert provider_of(s, headers={"x_skein_model": f"{name}/gpt-4.1"}) == name
        for _ in range(20):
            assert provider_of(s) == "quick"
        s.quick.otherwise = Slow(head=1.5)
        for _ in range(10):
            s.ask()
        assert s.slow.count >= 8


# --- keys

POOL = ["sk-one-Xq7vR2mB9", "sk-two-Xq7vR2mB9", "sk-three-Xq7vR2mB9"]


def by_key(steps: dict[str, Step]) -> Any:
    def story(call: Received) -> Step | None:
        return steps.get(call.headers["authorization"].removeprefix("Bearer "))

    return story


def keys_used(s: Stand) -> list[str]:
    return [call.headers["authorization"].removeprefix("Bearer ") for call in s.primary.received]


def pool(**more: Any) -> dict[str, Any]:
    return {"primary": {"api_key": None, "api_keys": POOL, **more}}


def test_keys_are_used_in_turn() -> None:
    with stand("primary", providers=pool()) as s:
        for _ in range(6):
            s.ask()
        assert Counter(keys_used(s)) == dict.fromkeys(POOL, 2)


def test_a_limited_key_gives_way_to_the_next_at_once() -> None:
    with stand("primary", "backup", providers=pool()) as s:
        s.primary.decide = by_key({POOL[0]: rate_limited("seconds", 30)})
        told = s.ask()
        assert (told.status, told.headers["x-skein-provider"]) == (200, "primary")
        assert keys_used(s) == POOL[:2]
        assert s.finished().seconds < 10
        for _ in range(4):
            s.ask()
        assert keys_used(s).count(POOL[0]) == 1
        assert s.keys("primary") == ["cooling", "alive", "alive"]
        assert s.backup.count == 0


@pytest.mark.parametrize("step", [Status(401), Status(403), Status(402)], ids=["401", "403", "402"])
def test_a_refused_key_is_dead_and_the_next_is_used(step: Status) -> None:
    with stand("primary", "backup", providers=pool()) as s:
        s.primary.decide = by_key({POOL[0]: step, POOL[1]: step})
        for _ in range(5):
            assert provider_of(s) == "primary"
        assert [keys_used(s).count(key) for key in POOL] == [1, 1, 5]
        assert s.keys("primary") == ["dead", "dead", "alive"]
        assert s.counted("primary") == 0


def test_with_all_keys_dead_the_next_target_is_asked() -> None:
    with stand("primary", "backup", providers=pool()) as s:
        s.primary.otherwise = Status(401)
        assert provider_of(s) == "backup"
        assert sorted(keys_used(s)) == sorted(POOL)
        assert provider_of(s) == "backup"
        assert s.primary.count == 3


# --- breakers

BREAKER = {"consecutive": 3, "min_requests": 1000, "open_for": "1s", "probes": 1, "close_after": 2}


def moves(s: Stand) -> list[str]:
    return [f"{each.before}>{each.after}" for each in s.of(events.BreakerMoved)]


def test_a_breaker_opens_probes_and_closes() -> None:
    with stand("primary", "backup", breaker=BREAKER, retries=0) as s:
        s.primary.otherwise = Status(500)
        for _ in range(3):
            assert provider_of(s) == "backup"
        assert moves(s) == ["closed>open"]
        assert provider_of(s) == "backup"
        assert s.primary.count == 3  # left alone
        plan = s.of(events.PlanMade)[-1].plan
        assert [str(each.target) for each in plan.left_out] == ["primary/gpt-4.1"]
        assert "breaker open" in plan.left_out[0].reason
        eventually(lambda: s.allowed("primary"))
        assert provider_of(s) == "backup"
        assert s.primary.count == 4  # one probe, and it failed
        assert moves(s)[-1] == "half_open>open"
        eventually(lambda: s.allowed("primary"))
        s.primary.otherwise = Answer()
        assert [provider_of(s) for _ in range(3)] == ["primary"] * 3
        eventually(lambda: moves(s)[-1] == "half_open>closed")


def test_only_so_many_probes_at_once() -> None:
    with stand("primary", "backup", breaker=BREAKER, retries=0) as s:
        s.primary.otherwise = Status(500)
        for _ in range(3):
            s.ask()
        eventually(lambda: s.allowed("primary"))
        s.primary.otherwise = Silent("before_head")
        with s.client() as waiting:
            waiting.post(body())
            s.primary.wait_until(lambda vendor: vendor.playing == 1)
            assert {provider_of(s) for _ in range(5)} == {"backup"}
            assert s.primary.count == 4


def test_the_error_rate_opens_a_breaker_too() -> None:
    breaker = {"consecutive": 1000, "min_requests": 6, "error_rate": 0.5, "open_for": "10s"}
    with stand("primary", "backup", breaker=breaker, retries=0) as s:
        s.primary.decide = lambda call: None if call.number % 2 else Status(500)
        for _ in range(8):
            s.ask()
        assert moves(s) == ["closed>open"]
        assert s.primary.count == 6


@pytest.mark.parametrize("step", [Status(400), rate_limited("retry_after_ms", 0.001), Status(404)])
def test_what_is_not_the_targets_fault_opens_nothing(step: Status) -> None:
    breaker = BREAKER | {"consecutive": 1}
    with stand("primary", breaker=breaker, retries=0) as s:
        s.primary.otherwise = step
        for _ in range(3):
            s.ask()
        assert not moves(s)


def test_with_nobody_else_an_open_target_is_asked_all_the_same() -> None:
    with stand("primary", breaker=BREAKER | {"open_for": "30s"}, retries=0) as s:
        s.primary.otherwise = Status(500)
        for _ in range(5):
            assert s.ask().status == 502
        assert s.primary.count == 5
        assert "panic" in s.of(events.PlanMade)[-1].plan.reason
        s.primary.script()
        s.primary.decide = lambda call: Status(200, {"object": "chat.completion", "choices": []})
        assert s.ask().status == 200


def test_in_panic_the_least_recently_failed_comes_first() -> None:
    with stand("a", "b", breaker=BREAKER | {"consecutive": 1, "open_for": "30s"}, retries=0) as s:
        s.a.otherwise = s.b.otherwise = Status(500)
        s.ask()
        assert moves(s) == ["closed>open"] * 2
        s.ask()
        s.ask(headers={"x_skein_model": "b/gpt-4.1"})
        assert s.tried()[2] == "a"
        s.ask()
        assert s.tried()[-2:] == ["a", "b"]


# --- the retry budget


def test_retries_are_bounded_by_the_budget() -> None:
    with stand("primary", retry_budget=0.2) as s:
        s.primary.otherwise = Status(500)
        for _ in range(40):
            assert s.ask().status == 502
        retries = s.primary.count - 40
        assert 3 <= retries <= 9


def test_a_budget_of_nothing_still_allows_three_a_minute() -> None:
    with stand("primary", retry_budget=0) as s:
        s.primary.otherwise = Status(503)
        for _ in range(10):
            s.ask()
        assert s.primary.count == 13


# --- what the client may say


def test_a_pin_holds_for_one_request() -> None:
    with stand("a", "b") as s:
        told = s.ask(headers={"x_skein_model": "b/gpt-4.1-mini"})
        assert (told.headers["x-skein-provider"], told.headers["x-skein-model"]) == ("b", "gpt-4.1-mini")
        assert s.b.received[0].model == "gpt-4.1-mini"
        assert provider_of(s) == "a"
        s.b.otherwise = Status(500)
        assert s.ask(headers={"x_skein_model": "b/gpt-4.1"}).status == 502
        assert s.a.count == 1
        assert s.ask(headers={"x_skein_model": "nobody/nothing"}).status == 404


@pytest.mark.parametrize("value", ["1", "true", "yes", "TRUE"])
def test_no_fallback_asks_the_first_alone(value: str) -> None:
    with stand("a", "b") as s:
        s.a.otherwise = Status(404)
        assert s.ask(headers={"x_skein_no_fallback": value}).status == 404
        assert s.b.count == 0
        assert s.ask(headers={"x_skein_no_fallback": "0"}).status == 200


def test_a_bare_name_alias_and_glob_find_their_target() -> None:
    aliases = {"aliases": {"gpt-4o": "m", "claude-*": "b/gpt-4.1"}}
    with stand("a", "b", extra=aliases) as s:
        assert provider_of(s, model="gpt-4o") == "a"
        assert provider_of(s, model="claude-sonnet-4-5") == "b"
        assert provider_of(s, model="b/anything-at-all") == "b"
        assert s.b.received[-1].model == "anything-at-all"


def test_lead_and_worker() -> None:
    model = {"strategy": "lead_worker", "lead": "lead/gpt-4.1", "worker": "worker/gpt-4.1", "lead_turns": 2}
    tools = [{"type": "function", "function": {"name": "shell"}}]
    with stand("lead", "worker", model=model) as s:

        def turns(count: int, result: str = "fine") -> list[Any]:
            call = {"id": "c", "type": "function", "function": {"name": "shell", "arguments": "{}"}}
            one = [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": result},
            ]
            return [{"role": "user", "content": "go"}, *one * count]

        found = [provider_of(s, messages=turns(count), tools=tools) for count in range(4)]
        assert found == ["lead", "lead", "worker", "worker"]
        failed = [*turns(2), *turns(2, "Error: no such file")[1:]]
        assert provider_of(s, messages=failed, tools=tools) == "lead"
        s.worker.otherwise = Status(404)
        told = s.ask(messages=turns(3), tools=tools)
        assert told.headers["x-skein-provider"] == "lead"
        assert "role=worker" in told.headers["x-skein-route"]


def test_a_simulator_needs_nothing() -> None:
    with stand(others={"simulator": {}}, model={"targets": ["simulator/echo"]}) as s:
        told = s.ask()
        assert told.status == 200
        assert told.text


def test_a_provider_that_points_back_does_not_go_round_for_ever() -> None:
    with stand("a", others={"self": at("http://127.0.0.1:9/v1", "self")}) as s:
        config = s.gateway.runtime.config
        assert config.providers["self"].base_url
        told = s.ask(headers={"x_skein_hops": "8"})
        assert (told.status, told.error["code"]) == (508, "loop_detected")
