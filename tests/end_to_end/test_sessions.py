"""A model set by hand in the middle of a session; several gateways that share what they know of sessions by Redis."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import openai
import pytest

from gateway import events
from gateway.observe.observability import Logging
from tests.backends.redis import RedisServer
from tests.end_to_end.setting import MESSAGES, Page, Stand, at, eventually, stand
from tests.running import RunningGateway, running_gateway
from tests.scripted import ScriptedVendor

SESSION = {"x-skein-session": "s-1"}
NAMED = "anonymous:s-1"
MODELS = {"other": {"targets": ["b/gpt-4.1"]}}
# Each request asks what is kept of its session.
REMEMBERING = {"strategy": "dynamic", "candidates": ["a/gpt-4.1"], "explore": 0}


def set_model(gateway: RunningGateway, model: str | None, session: str = NAMED) -> httpx.Response:
    url = f"{gateway.url}/admin/sessions/{quote(session, safe='')}/model"
    return httpx.delete(url) if model is None else httpx.put(url, json={"model": model})


def asked(client: openai.OpenAI, messages: Any = MESSAGES, stream: bool = False) -> tuple[str, str]:
    """The provider that answered, and what the header says of the route."""
    made = client.chat.completions.with_raw_response
    told = made.create(model="m", messages=messages, extra_headers=SESSION, stream=stream)
    if stream:
        list(told.parse())  # type: ignore[call-overload]
    return told.headers["x-skein-provider"], told.headers["x-skein-route"]


def switches(page: Page) -> dict[tuple[str, str, str], float]:
    return dict(page.by("skein_model_switches_total", "from", "to", "reason"))


@pytest.mark.parametrize("stream", [False, True])
def test_an_operator_sets_the_model_of_a_session_and_takes_it_back(stream: bool):
    paper = io.StringIO()
    running = {"logging": Logging(level="info", format="json", out=paper)}
    model = {"targets": ["a/gpt-4.1"]}
    with stand("a", "b", model=model, extra={"models": MODELS}, running=running) as here:
        client = openai.OpenAI(base_url=here.gateway.base_url, api_key="x", max_retries=0)
        assert asked(client, stream=stream)[0] == "a"
        assert set_model(here.gateway, "other").status_code == 200
        provider, route = asked(client, stream=stream)
        assert (provider, route.partition("; ")[0]) == ("b", "pinned by admin")
        assert asked(client, stream=stream)[0] == "b"
        assert set_model(here.gateway, "auto").status_code == 200
        provider, route = asked(client, stream=stream)
        assert (provider, route.partition("; ")[0]) == ("a", "priority")
        here.finished(4)
        a, b = "a/gpt-4.1", "b/gpt-4.1"
        assert switches(here.metrics()) == {(a, b, "manual"): 1, (b, a, "manual"): 1}
    lines = [json.loads(line) for line in paper.getvalue().splitlines()]
    told = [(line["event"], line.get("session_id"), line.get("model")) for line in lines if "session." in line["event"]]
    assert told == [("session.pinned", NAMED, "other"), ("session.unpinned", NAMED, None)]
    moved = [line for line in lines if line["event"] == "model.switched"]
    assert [line["reason"] for line in moved] == ["manual", "manual"]


def test_a_user_types_it_into_the_conversation():
    with stand("a", "b", model={"targets": ["a/gpt-4.1"]}, extra={"models": MODELS}) as here:
        client = openai.OpenAI(base_url=here.gateway.base_url, api_key="x", max_retries=0)
        said: list[Any] = [{"role": "user", "content": "hi"}]

        def say(text: str) -> tuple[str, str]:
            said.extend([{"role": "assistant", "content": "Done."}, {"role": "user", "content": text}])
            return asked(client, said)

        assert asked(client, said)[0] == "a"
        provider, route = say("/model other")
        assert provider == "b"
        assert route.startswith("pinned by /model; priority; ")
        assert say("Go on.")[0] == "b"
        with pytest.raises(openai.NotFoundError, match="/model nobody: there is no model"):
            say("/model nobody")
        assert say("Go on then.")[0] == "b", "what was refused has changed nothing"
        assert say("/model auto")[0] == "a"
        here.finished(6)
        a, b = "a/gpt-4.1", "b/gpt-4.1"
        assert switches(here.metrics()) == {(a, b, "manual"): 1, (b, a, "manual"): 1}


# Several gateways, one Redis


@pytest.fixture(scope="module")
def server(lane: bool) -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@contextmanager
def gateways(redis: RedisServer, number: int = 2, **sessions: Any) -> Iterator[list[Stand]]:
    """Gateways that know of each other by Redis alone, before the same two vendors."""
    with ExitStack() as stack:
        vendors = {name: stack.enter_context(ScriptedVendor.in_thread()) for name in "ab"}
        config = {
            "providers": {name: at(vendor.base_url, name) for name, vendor in vendors.items()},
            "models": {"m": {"targets": ["a/gpt-4.1"]}, "kept": REMEMBERING, **MODELS},
            "sessions": {"store": "redis", "url": redis.url, "timeout": "200ms", **sessions},
        }
        made = [stack.enter_context(running_gateway(json.dumps(config))) for _ in range(number)]
        yield [Stand(gateway, vendors) for gateway in made]


def served_by(here: Stand, **headers: str) -> str:
    told = here.ask(headers={**SESSION, **headers})
    assert told.status == 200, told.body
    return told.headers["x-skein-provider"]


def test_a_model_set_at_one_gateway_holds_at_the_other(server: RedisServer):
    with gateways(server) as (one, other):
        assert (served_by(one), served_by(other)) == ("a", "a")
        assert set_model(one.gateway, "other").status_code == 200
        assert served_by(one) == "b", "where it was set, at once"
        began = time.monotonic()
        eventually(lambda: served_by(other) == "b")
        assert time.monotonic() - began < 3
        listed = httpx.get(other.gateway.url + "/admin/sessions").json()["sessions"]
        assert [(each["session"], each["pin"]["model"]) for each in listed if each["pin"]] == [(NAMED, "other")]
        assert set_model(other.gateway, None).status_code == 200
        eventually(lambda: served_by(one) == "a")
    with gateways(server, number=1) as (late,):
        set_model(late.gateway, "other", "anonymous:kept")
    with gateways(server, number=1) as (later,):
        # A restart forgets nothing.
        eventually(lambda: served_by(later, **{"x-skein-session": "kept"}) == "b")
        set_model(later.gateway, None, "anonymous:kept")


def test_what_is_kept_of_a_session_is_there_at_the_other(server: RedisServer):
    def rule(here: Stand, session: str) -> str:
        here.gateway.events.clear()
        here.ask(model="kept", headers={"x-skein-session": session})
        (made,) = here.of(events.PlanMade)
        found: str = made.plan.rule
        return found

    with gateways(server) as (one, other):
        assert rule(one, "s-7") == "best_score"
        eventually(lambda: not one.gateway.runtime.store._waiting)  # type: ignore[attr-defined]
        assert (rule(other, "s-7"), rule(one, "s-7")) == ("sticky", "sticky")
        assert rule(other, "s-8") == "best_score"


def test_redis_may_die_in_the_middle_of_it():
    with RedisServer() as redis, gateways(redis) as (one, other):
        set_model(one.gateway, "other")
        eventually(lambda: served_by(other) == "b")
        ended = threading.Event()
        told: list[tuple[int, bool, float]] = []

        def traffic(here: Stand) -> None:
            number = 0
            while not ended.is_set():
                number += 1
                began = time.monotonic()
                pinned = number % 2 == 0
                session = SESSION if pinned else {"x-skein-session": f"free-{number % 7}"}
                reply = here.ask(model="kept", headers=session)
                right = reply.headers["x-skein-provider"] == ("b" if pinned else "a")
                told.append((reply.status, right, time.monotonic() - began))

        threads = [threading.Thread(target=traffic, args=(here,), daemon=True) for here in (one, other)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(told) > 20)
        redis.stop()
        eventually(lambda: all(here.of(events.StoreFailed) for here in (one, other)))
        lost = len(told)
        eventually(lambda: len(told) > lost + 40)
        assert httpx.get(one.gateway.url + "/health/ready").status_code == 200
        # What is set now holds here, and everywhere once Redis is back.
        set_model(one.gateway, "other", "anonymous:meanwhile")
        assert served_by(one, **{"x-skein-session": "meanwhile"}) == "b"
        redis.start()
        eventually(lambda: all(here.of(events.StoreRecovered) for here in (one, other)))
        eventually(lambda: served_by(other, **{"x-skein-session": "meanwhile"}) == "b")
        back = len(told)
        eventually(lambda: len(told) > back + 20)
        ended.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        assert {(status, right) for status, right, _ in told} == {(200, True)}
        assert max(seconds for _, _, seconds in told) < 2
        for here in (one, other):
            assert [event.again for event in here.of(events.StoreFailed)].count(False) == 1
            assert len(here.of(events.StoreRecovered)) == 1
            missed = sum(event.missed for event in (*here.of(events.StoreFailed), *here.of(events.StoreRecovered)))
            assert here.metrics().total("skein_store_errors_total", store="redis") == missed > 0
        with redis.client() as client:
            assert all(name.startswith(b"skein:") for name in client.keys("*"))


def test_it_starts_without_redis_and_hides_the_password():
    redis = RedisServer(password="hush-hush-0123")
    with gateways(redis, number=1) as (here,):
        eventually(lambda: here.of(events.StoreFailed))
        set_model(here.gateway, "other")
        assert served_by(here) == "b"
        assert "hush-hush" not in repr(here.gateway.events)
        assert "hush-hush" not in repr(here.gateway.runtime.config.sessions)
