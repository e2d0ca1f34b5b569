"""``/admin/sessions``: who may set a session's model, by which names, what is refused, and what is shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gateway import events
from gateway.api.inbound import SESSIONS, Route, normalise
from tests.end_to_end.setting import body, eventually
from tests.running import RunningGateway, running_gateway

CI, DEV, ADMIN = "key-of-ci-0123", "key-of-dev-0123", "admin-key-0123"
CONFIG = f"""
models: {{fast: simulator/echo, smart: simulator/echo-2}}
access:
  mode: keys
  admin_key: {ADMIN}
  keys: [{{name: ci, key: {CI}}}, {{name: dev, key: {DEV}, models: [fast]}}]
sessions: {{ttl: 1h, max: 40}}
"""
PAGE = {"user-agent": "Mozilla/5.0", "sec-fetch-site": "cross-site", "origin": "http://evil.example"}


@pytest.fixture(scope="module")
def running() -> Iterator[RunningGateway]:
    with running_gateway(CONFIG) as gateway:
        yield gateway


@pytest.fixture
def gateway(running: RunningGateway) -> RunningGateway:
    for pin in running.runtime.pinned.pins():
        running.call(lambda session=pin.session: running.runtime.pinned.free(session))
    running.events.clear()
    return running


def call(
    gateway: RunningGateway, method: str, path: str, json: Any = None, content: bytes | None = None, **headers: str
) -> httpx.Response:
    return httpx.request(method, gateway.url + path, headers=headers, json=json, content=content)


def model_of(session: str) -> str:
    return f"{SESSIONS}/{quote(session, safe='')}/model"


def ask(gateway: RunningGateway, session: str, key: str = CI, **fields: Any) -> httpx.Response:
    sent = body(**{"model": "fast", **fields})
    headers = {
        "authorization": f"Bearer {key}",
        "x-skein-session": session.encode().decode("latin-1").encode("latin-1"),
    }
    return httpx.post(gateway.base_url + "/chat/completions", json=sent, headers=headers)


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_model_is_set_holds_from_the_next_request_on_and_is_taken_back(gateway: RunningGateway):
    assert ask(gateway, "s-1").headers["x-skein-model"] == "echo"
    before = time.time()
    answer = call(gateway, "PUT", model_of("ci:s-1"), {"model": "smart"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    pin = answer.json()["pin"]
    assert answer.json() == {"session": "ci:s-1", "pin": pin, "seen": True, "worker": None}
    assert call(gateway, "PUT", model_of("s-1"), {"model": "smart"}).json()["seen"] is False, "its caller is missing"
    call(gateway, "DELETE", model_of("s-1"))
    assert pin["model"] == "smart"
    assert before - 1 < pin["since"] < time.time() + 1
    assert pin["until"] == pytest.approx(pin["since"] + 3600)
    told = ask(gateway, "s-1")
    assert told.headers["x-skein-model"] == "echo-2"
    assert told.headers["x-skein-route"].startswith("pinned by admin; priority; ")
    assert ask(gateway, "s-2").headers["x-skein-model"] == "echo", "of this session alone"
    assert ask(gateway, "s-1", key=DEV).headers["x-skein-model"] == "echo", "of this caller's alone"
    assert call(gateway, "DELETE", model_of("ci:s-1")).json() == {"session": "ci:s-1", "pin": None, "worker": None}
    assert ask(gateway, "s-1").headers["x-skein-model"] == "echo"
    call(gateway, "PUT", model_of("ci:s-1"), {"model": "simulator/echo-2"})
    assert ask(gateway, "s-1").headers["x-skein-route"].startswith("pinned by admin; direct; ")
    assert call(gateway, "PUT", model_of("ci:s-1"), {"model": "auto"}).json()["pin"] is None
    assert ask(gateway, "s-1").headers["x-skein-model"] == "echo"
    said = [(event.session, event.model) for event in gateway.of(events.SessionPinned) if event.session != "s-1"]
    assert said == [("ci:s-1", "smart"), ("ci:s-1", None), ("ci:s-1", "simulator/echo-2"), ("ci:s-1", None)]


def test_what_is_not_set_may_be_taken_back(gateway: RunningGateway):
    assert call(gateway, "DELETE", model_of("ci:nobody")).status_code == 200
    assert gateway.of(events.SessionPinned) == []


IDS = {
    "plain": "ci:20261121_1",
    "a slash": "ci:claude-1/agent-7",
    "slashes and the words of the path": "ci://a//b/model/",
    "unicode": "ci:Überprüfung 你好 🪿",
    "a mail address": "ci:somebody@example.com",
    "what URLs are made of": "ci:a?b=c&d#e%2Ff+g;h",
    "a space at the end": "ci:x ",
    "dots": "ci:..",
    "no caller": "session",
    "called model": "model",
}


@pytest.mark.parametrize("which", IDS)
def test_any_id_can_be_named(which: str, gateway: RunningGateway):
    session = IDS[which]
    answer = call(gateway, "PUT", model_of(session), {"model": "smart"})
    assert (answer.status_code, answer.json()["session"]) == (200, session)
    assert gateway.call(lambda: gateway.runtime.pinned.of(session)) == "smart"
    shown = call(gateway, "GET", f"{SESSIONS}/{quote(session, safe='')}")
    assert (shown.json()["session"], shown.json()["pin"]["model"]) == (session, "smart")
    assert call(gateway, "DELETE", model_of(session)).status_code == 200
    assert gateway.call(lambda: gateway.runtime.pinned.of(session)) is None


def test_paths():
    assert normalise("/admin/sessions") == normalise("/admin/sessions/") == Route(SESSIONS)
    assert normalise("/admin/sessions/ci:a/b") == Route(f"{SESSIONS}/ci%3Aa%2Fb")
    assert normalise("//admin/sessions/ci%3Aa%2Fb/model/") == Route(f"{SESSIONS}/ci%3Aa%2Fb/model")
    assert normalise("/admin/sessions/a%2Fmodel") == Route(f"{SESSIONS}/a%2Fmodel")
    assert normalise("/admin/sessionsx") is None


REFUSED: dict[str, tuple[str, Any, tuple[int, str]]] = {
    "an unknown model": ("ci:s", {"model": "smrat"}, (404, "model_not_found")),
    "a name that is too long": ("ci:s", {"model": "m" * 300}, (400, "invalid_choice")),
    "no name": ("ci:s", {"model": ""}, (400, "invalid_choice")),
    "no model": ("ci:s", {}, (400, "invalid_choice")),
    "no text": ("ci:s", {"model": 5}, (400, "invalid_choice")),
    "something else": ("ci:s", {"model": "smart", "for": "1h"}, (400, "invalid_choice")),
    "a list": ("ci:s", ["smart"], (400, "invalid_choice")),
    "an id that is too long": ("x" * 1025, {"model": "smart"}, (400, "invalid_session")),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_refused_changes_nothing(why: str, gateway: RunningGateway):
    session, said, expected = REFUSED[why]
    assert error(call(gateway, "PUT", model_of(session), said)) == expected
    assert gateway.of(events.SessionPinned) == []


def test_the_nearest_names_are_told(gateway: RunningGateway):
    said = call(gateway, "PUT", model_of("ci:s"), {"model": "smrat"}).json()["error"]["message"]
    assert "smart" in said.partition("nearest")[2]


def test_what_is_no_json_is_refused(gateway: RunningGateway):
    assert error(call(gateway, "PUT", model_of("ci:s"), content=b"{")) == (400, "invalid_choice")
    assert error(call(gateway, "PUT", model_of("ci:s"), content=b"[" * 10_000)) == (400, "invalid_choice")
    answer = call(gateway, "PUT", model_of("ci:s"), content=b'{"model": "' + b"x" * 20_000 + b'"}')
    assert answer.status_code == 413
    assert error(call(gateway, "GET", model_of("ci:s"))) == (405, "method_not_allowed")
    assert error(call(gateway, "POST", SESSIONS, {"model": "smart"})) == (405, "method_not_allowed")


def test_only_so_many(gateway: RunningGateway):
    for number in range(40):
        assert call(gateway, "PUT", model_of(f"ci:{number}"), {"model": "smart"}).status_code == 200
    assert error(call(gateway, "PUT", model_of("ci:one-more"), {"model": "smart"})) == (409, "too_many_pins")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("who", [{"x-forwarded-for": "10.0.0.5"}, {"host": "skein.example"}, PAGE])
def test_only_operators(method: str, who: dict[str, str], gateway: RunningGateway):
    path = model_of("ci:s") if method != "GET" else f"{SESSIONS}/ci%3As"
    said = {"model": "smart"} if method == "PUT" else None
    assert error(call(gateway, method, path, said, **who)) == (403, "operators_only")
    assert error(call(gateway, method, path, said, **who, authorization=f"Bearer {CI}")) == (403, "operators_only")
    if who is not PAGE:
        allowed = call(gateway, method, path, said, **who, authorization=f"Bearer {ADMIN}")
        assert allowed.status_code in (200, 404)
    assert len(gateway.runtime.pinned.pins()) <= 1


def test_a_key_keeps_its_limits(gateway: RunningGateway):
    """``dev`` may use ``fast`` alone: an operator's choice does not change that, and its name is not told."""
    call(gateway, "PUT", model_of("dev:s-9"), {"model": "smart"})
    answer = ask(gateway, "s-9", key=DEV)
    assert error(answer) == (403, "model_not_allowed")
    assert "smart" not in answer.text
    call(gateway, "PUT", model_of("dev:s-9"), {"model": "auto"})
    assert ask(gateway, "s-9", key=DEV).status_code == 200


def test_what_is_known_of_sessions(gateway: RunningGateway):
    ask(gateway, "seen")
    ask(gateway, "seen", model="smart")
    call(gateway, "PUT", model_of("ci:unseen"), {"model": "smart"})
    call(gateway, "PUT", model_of("ci:seen"), {"model": "fast"})
    gateway.call(gateway.runtime.observability.settle)
    eventually(lambda: not gateway.runtime.service.running)
    listed = call(gateway, "GET", SESSIONS).json()["sessions"]
    assert [each["session"] for each in listed[:2]] == ["ci:seen", "ci:unseen"], "those that are set come first"
    last = listed[0]["last"]
    assert (last["model"]["public"], last["target"], last["caller"]) == ("smart", "simulator/echo-2", "ci")
    assert listed[1]["last"] is None
    assert all(each["pin"] is None and each["last"] for each in listed[2:])
    one = call(gateway, "GET", f"{SESSIONS}/ci%3Aseen").json()
    assert one["pin"]["model"] == "fast"
    assert [row["model"]["asked"] for row in one["requests"]] == ["smart", "fast"]
    assert error(call(gateway, "GET", f"{SESSIONS}/ci%3Anever")) == (404, "session_not_found")
    assert error(call(gateway, "GET", f"{SESSIONS}/seen")) == (404, "session_not_found"), "the caller belongs to it"


def test_the_schema_tells_of_it(gateway: RunningGateway):
    paths = call(gateway, "GET", "/schema/openapi.json").json()["paths"]
    assert set(paths[f"{SESSIONS}/{{name}}/model"]) == {"put", "delete"}
    assert set(paths[f"{SESSIONS}/{{name}}"]) == {"get"}
