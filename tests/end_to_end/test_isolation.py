"""What one caller does harms no other; what a reload changes is not mixed with what was; doors stay shut."""

from __future__ import annotations

import concurrent.futures
import json
from pathlib import Path

import httpx
import pytest

from gateway import app, events
from tests.running import running_gateway
from tests.scripted import Answer, ScriptedVendor, Silent, Status

from .setting import at, body, secret, stand
from .test_reload import editable


@pytest.fixture(autouse=True)
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed file is read when a test says so, and not by itself a second later as well."""
    monkeypatch.setattr(app, "LOOK_EVERY", 60.0)


def test_the_clients_own_deadline_says_nothing_about_the_vendor() -> None:
    with stand("primary", breaker={"consecutive": 2, "min_requests": 2}) as s:
        s.primary.otherwise = Silent("before_head")
        for _ in range(3):
            told = httpx.post(s.gateway.url + "/v1/chat/completions", json=body(), headers={"x-skein-timeout": "500ms"})
            assert told.status_code == 504
        assert s.of(events.AttemptFailed)[0].fault.origin == "caller"
        assert not s.of(events.BreakerMoved)


def test_the_callers_words_thrown_back_do_not_kill_the_key() -> None:
    with stand("primary") as s:
        said = "Invalid value: 'insufficient_quota'. Supported values are: 'auto' and 'none'."
        s.primary.otherwise = Status(400, {"error": {"message": said, "type": "invalid_request_error", "code": None}})
        told = s.ask()
        assert (told.status, told.error["message"]) == (400, said)
        assert s.keys("primary") == ["alive"]


@pytest.mark.parametrize("name", ["primary/" + "m" * 300, "x" * 10_000])
def test_a_models_name_has_a_length(name: str) -> None:
    with stand("primary") as s:
        told = s.ask(model=name)
        assert (told.status, told.error["code"]) == (400, "invalid_model")
        assert len(told.body) < 2000
        assert not s.primary.count


def test_names_that_clients_make_up_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.resilience.health.MOST_KNOWN", 10)
    with stand("primary") as s:
        for number in range(30):
            assert s.ask(model=f"primary/made-up-{number}").status == 200
        assert s.gateway.call(lambda: len(s.gateway.runtime.health.breakers())) <= 10


def test_a_retry_after_a_reload_takes_no_other_accounts_key(tmp_path: Path) -> None:
    slow = {"resilience": {"backoff": {"initial": "2s", "max": "2s", "jitter": "none"}}}
    with editable(tmp_path, "old", "new", serving=("old",), **slow) as s, s.client() as client:
        s.old.script(Status(503))
        client.post(body())
        s.old.wait_until(lambda vendor: vendor.count == 1)
        # The same name means another vendor now.
        moved = s.config("new")
        moved["providers"] = {"old": at(s.new.base_url, "new")}
        moved["models"] = {"m": {"targets": ["old/gpt-4.1"]}}
        s.file.write_text(json.dumps(moved))
        assert s.reload()
        assert client.reply().status == 200
        assert [call.headers["authorization"] for call in s.old.received] == [f"Bearer {secret('old')}"] * 2
        assert not s.new.count


def test_a_refusals_headers_say_when_to_come_back_also_on_a_502() -> None:
    with stand("primary", retries=0) as s:
        s.primary.otherwise = Status(500, headers={"retry-after": "30"})
        told = s.ask()
        assert told.status == 502
        assert int(told.headers["retry-after"]) in (29, 30)


def test_retries_decided_at_once_share_one_budget() -> None:
    with stand(
        "primary", retry_budget=0.1, retries=1, backoff={"initial": "100ms", "max": "1s", "jitter": "none"}
    ) as s:
        s.primary.otherwise = Status(503)
        with httpx.Client() as client, concurrent.futures.ThreadPoolExecutor(20) as pool:
            asked = [pool.submit(client.post, s.gateway.url + "/v1/chat/completions", json=body()) for _ in range(20)]
            assert {each.result().status_code for each in asked} == {503}
        assert 20 <= s.primary.count <= 20 + 3


OPEN = 'providers: {{a: {{vendor: openai_compatible, base_url: "{url}"}}}}\n'
KEYS = 'server: {{host: 0.0.0.0}}\naccess: {{mode: keys, keys: [{{name: ci, key: "sk-skein-0123456789"}}]}}\n'


@pytest.mark.parametrize(
    "left",
    ["", "# nothing but a remark\n", OPEN, "server: {{host: 127.0.0.1}}\n" + OPEN],
    ids=["empty", "remark", "open", "local"],
)
def test_a_reload_does_not_open_a_door_that_the_world_can_reach(left: str, tmp_path: Path) -> None:
    file = tmp_path / "skein.yaml"
    with ScriptedVendor.in_thread() as vendor:
        began = (KEYS + OPEN).format(url=vendor.base_url)
        file.write_text(began)
        with running_gateway(began, path=str(file)) as gateway:
            assert httpx.get(gateway.base_url + "/models").status_code == 401
            file.write_text(left.format(url=vendor.base_url))
            assert not gateway.call(gateway.runtime.reload)
            file.unlink()
            assert not gateway.call(gateway.runtime.reload)
            assert httpx.get(gateway.base_url + "/models").status_code == 401
            assert len(gateway.of(events.ConfigRefused)) == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "skein.internal"}, 200),
        ({"origin": "http://localhost:3000"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://["}, 403),
        ({"host": "evil.example:4000", "user-agent": "Mozilla/5.0"}, 403),
        ({"host": "127.0.0.1:4000", "user-agent": "Mozilla/5.0"}, 200),
    ],
)
def test_web_pages_do_not_use_a_gateway_without_keys(headers: dict[str, str], status: int) -> None:
    with stand("primary") as s:
        s.primary.otherwise = Answer("hi")
        told = httpx.post(s.gateway.url + "/v1/chat/completions", json=body(), headers=headers)
        assert told.status_code == status


def test_a_restricted_key_learns_nothing_of_the_models_it_may_not_use() -> None:
    config = """
providers: {{a: {{vendor: openai_compatible, base_url: "{url}"}}}}
models: {{fast: {{targets: [a/x]}}, secret: {{targets: [a/y]}}}}
aliases: {{quick: fast}}
access: {{mode: keys, keys: [{{name: ci, key: "sk-skein-0123456789", models: [fast]}}]}}
"""
    with ScriptedVendor.in_thread() as vendor, running_gateway(config.format(url=vendor.base_url)) as gateway:
        signed = {"authorization": "Bearer sk-skein-0123456789"}
        with httpx.Client(base_url=gateway.base_url, headers=signed) as client:
            assert [each["id"] for each in client.get("/models").json()["data"]] == ["fast", "quick"]
            assert client.get("/models/quick").status_code == 200
            asked = [
                client.post("/chat/completions", json={"model": name, "messages": []}) for name in ("secret", "secre")
            ]
            assert {each.status_code for each in asked} == {403}
            assert all("fast" not in each.text for each in asked)
        assert gateway.of(events.ExchangeFinished)[0].caller == "ci"
