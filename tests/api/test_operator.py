"""Routes for operators: who may look, what is shown, what is refused; the event stream, metrics and feedback."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import msgspec
import pytest

from gateway import events
from gateway.api.inbound import METHODS, REQUESTS, ROUTES, SCORES, SESSIONS, Route, normalise
from gateway.api.operator import takes_gzip
from gateway.api.tail import Tail
from gateway.app import Runtime, build_app
from gateway.config import parse
from gateway.observe.live import MOST_WATCHERS
from tests.end_to_end.setting import eventually
from tests.observe.told import BEGAN, Telling, failover, told
from tests.running import RunningGateway, running_gateway

KEY, ADMIN = "key-of-ci-0123", "admin-key-0123"
CONFIG = """
providers: {simulator: {vendor: simulator}, openai: {api_key: sk-secret-0123456789}}
models: {coder: {targets: [openai/gpt-5]}}
"""
KEYED = CONFIG + f"access: {{mode: keys, keys: [{{name: ci, key: {KEY}}}], admin_key: {ADMIN}}}\n"
PAGE = {"user-agent": "Mozilla/5.0", "sec-fetch-site": "same-origin"}
ADMIN_PATHS = (*(path for path in ROUTES if path.startswith("/admin/")), f"{REQUESTS}/req-7")


@pytest.fixture
def gateway() -> Iterator[RunningGateway]:
    with running_gateway(KEYED) as gateway:
        gateway.runtime.service.live = told().live
        yield gateway


def get(gateway: RunningGateway, path: str, **headers: str) -> httpx.Response:
    return httpx.get(gateway.url + path, headers=headers)


# Who may look


class Called(msgspec.Struct):
    status: int
    body: bytes

    @property
    def error(self) -> Any:
        return json.loads(self.body)["error"]


def call(app: Any, path: str, headers: dict[str, str], peer: str | None) -> Called:
    """Straight into the application, as if from any address; the client leaves after the first bytes of an answer."""
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]
    path, _, query = path.partition("?")
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "state": {}}
    scope |= {"headers": fields, "client": (peer, 1234) if peer else None, "server": ("127.0.0.1", 4000)}
    said: list[dict[str, Any]] = []

    async def run() -> None:
        answered = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not answered.is_set():
                await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)
            if message["type"] == "http.response.body":
                answered.set()

        await app(scope, receive, send)

    asyncio.run(run())
    return Called(said[0]["status"], b"".join(each.get("body", b"") for each in said))


HERE = "127.0.0.1"
LOCAL = {"host": "localhost:4000"}
BEARER = {"authorization": f"Bearer {ADMIN}"}
LOOKS: list[tuple[str | None, dict[str, str], int]] = [
    (HERE, LOCAL, 200),
    ("::1", {"host": "[::1]:4000"}, 200),
    ("::ffff:127.0.0.1", LOCAL, 200),
    (HERE, LOCAL | PAGE, 200),
    # From elsewhere, or what might be.
    ("10.0.0.5", LOCAL, 403),
    (None, LOCAL, 403),
    (HERE, LOCAL | {"x-forwarded-for": "127.0.0.1"}, 403),
    (HERE, LOCAL | {"forwarded": "for=127.0.0.1"}, 403),
    (HERE, LOCAL | {"x-real-ip": "127.0.0.1"}, 403),
    (HERE, {"host": "skein.example"}, 403),
    # With the key, in all the places a key may be; and with what is none.
    ("10.0.0.5", {"host": "skein.example"} | BEARER, 200),
    ("10.0.0.5", {"host": "skein.example", "x-api-key": ADMIN}, 200),
    (HERE, LOCAL | BEARER | {"x-forwarded-for": "10.0.0.5"}, 200),
    ("10.0.0.5", {"host": "skein.example", "authorization": f"Bearer {KEY}"}, 403),
    ("10.0.0.5", {"host": "skein.example", "authorization": f"Bearer {ADMIN}x"}, 403),
    # Pages: ours, by the key from elsewhere; of other sites; by a name that was made to lead here.
    ("10.0.0.5", {"host": "skein.example", "origin": "http://skein.example"} | PAGE | BEARER, 200),
    ("10.0.0.5", {"host": "skein.example", "origin": "http://evil.example"} | PAGE | BEARER, 403),
    (HERE, LOCAL | {"origin": "http://evil.example"}, 403),
    (HERE, LOCAL | PAGE | {"sec-fetch-site": "cross-site"}, 403),
    (HERE, {"host": "evil.example", "origin": "http://evil.example"} | PAGE, 403),
]


@pytest.fixture(scope="module")
def application() -> Any:
    runtime = Runtime(parse(KEYED, {}, "test"), None, {})
    runtime.service.live = told().live
    return build_app(runtime)


@pytest.mark.parametrize(("peer", "headers", "status"), LOOKS, ids=str)
def test_who_may_look(application: Any, peer: str | None, headers: dict[str, str], status: int):
    for path in ADMIN_PATHS:
        answer = call(application, path, headers, peer)
        assert answer.status == status, path
        if status == 403:
            assert answer.error["code"] == "operators_only"
            assert b"req-7" not in answer.body.replace(b"/req-7", b"")


def test_without_an_admin_key_nobody_elsewhere_may_look():
    runtime = Runtime(parse(CONFIG, {}, "test"), None, {})
    runtime.service.live = told().live
    for headers in ({}, {"authorization": "Bearer "}, {"x-api-key": ""}, {"x-api-key": "None"}):
        answer = call(build_app(runtime), "/admin/requests", LOCAL | headers, "10.0.0.5")
        assert (answer.status, "access.admin_key" in answer.error["message"]) == (403, True)


METRICS: list[tuple[str, dict[str, str], int]] = [
    (HERE, LOCAL, 200),
    ("10.0.0.5", {"host": "skein.example"}, 200),
    ("10.0.0.5", {"host": "skein.example"} | PAGE, 200),
    ("10.0.0.5", {"host": "skein.example", "origin": "http://evil.example"} | PAGE, 403),
    (HERE, {"host": "evil.example"} | PAGE, 403),
    (HERE, LOCAL | {"origin": "http://evil.example"} | PAGE, 403),
]


@pytest.mark.parametrize(("peer", "headers", "status"), METRICS, ids=str)
def test_metrics_are_open_but_not_to_other_pages(peer: str, headers: dict[str, str], status: int):
    runtime = Runtime(parse(KEYED, {}, "test"), None, {})
    runtime.service.metrics = page
    assert call(build_app(runtime), "/metrics", headers, peer).status == status


# What is shown


def test_requests_are_listed_and_filtered(gateway: RunningGateway):
    answer = get(gateway, "/admin/requests?failed_over=true&outcome=ok&model=&limit=5")
    assert answer.headers["cache-control"] == "no-store"
    assert [each["id"] for each in answer.json()["requests"]] == ["req-7"]
    assert len(get(gateway, "/admin/requests?limit=2").json()["requests"]) == 2
    assert len(get(gateway, "/admin/requests?min_seconds=2500ms&min_seconds=2s").json()["requests"]) == 3


def test_one_request_is_told_in_full(gateway: RunningGateway):
    found = get(gateway, "/admin/requests/req-7").json()
    assert (found["id"], len(found["attempts"]), found["waterfall"][-1]["step"]) == ("req-7", 3, "finished")
    missing = get(gateway, "/admin/requests/req-none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "request_not_found")
    assert "req-none" in missing.json()["error"]["message"]


def test_a_request_that_was_made_can_be_asked_for_at_once():
    with running_gateway(CONFIG) as gateway:
        body = {"model": "simulator/echo", "messages": [{"role": "user", "content": "the words"}]}
        made = httpx.post(gateway.url + "/v1/chat/completions", json=body)
        id = made.headers["x-request-id"]
        found = get(gateway, f"/admin/requests/{id}")
        assert (found.json()["outcome"], found.json()["target"]) == ("ok", "simulator/echo")
        assert "the words" not in found.text
        given = httpx.post(gateway.url + "/v1/feedback", json={"request_id": id, "verdict": "good"})
        assert given.status_code == 202


def test_one_of_several_workers_says_so(gateway: RunningGateway):
    gateway.runtime.service.worker = 2
    assert get(gateway, "/admin/switches").json()["worker"] == 2
    error = get(gateway, "/admin/requests/req-none").json()["error"]
    assert (error["code"], "worker 2" in error["message"]) == ("request_elsewhere", True)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("outcom=ok", 'did you mean "outcome"'),
        ("zzz=1", "known are outcome, model, provider"),
        ("outcome=good", "one of ok, error, timeout, cancelled, rejected, running"),
        ("limit=0", "a number from 1 to 1000"),
        ("limit=1001", "a number from 1 to 1000"),
        ("limit=-1", "a number from 1 to 1000"),
        ("limit=%C2%B2", "a number from 1 to 1000"),
        ("min_seconds=long", "write a duration"),
        ("failed_over=perhaps", "true or false"),
    ],
)
def test_a_wrong_question_is_told_what_is_right(gateway: RunningGateway, query: str, said: str):
    paths = ["/admin/requests"] if query.startswith("limit") else ["/admin/requests", "/admin/events"]
    for path in paths:
        answer = get(gateway, f"{path}?{query}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_parameter")
        assert said in answer.json()["error"]["message"]


def test_providers_with_how_they_did(gateway: RunningGateway):
    found = get(gateway, "/admin/providers").json()["providers"]
    target = found["openai"]["targets"]["openai/gpt-5"]
    assert target["lately"]["5m"]["failed"] == 2
    assert target["last_error"]["error_type"] == "provider_overloaded"
    assert found["openai"]["keys"] == ["alive"]
    assert "claude" not in found, "a provider that is gone is not shown"


def test_models_and_what_they_are_expected_to_do(gateway: RunningGateway):
    found = get(gateway, "/admin/models").json()
    assert found["of"] == {"input_tokens": 8000, "output_tokens": 800}
    [model] = found["models"]
    assert (model["model"], model["strategy"], len(model["candidates"])) == ("coder", "priority", 1)
    assert model["candidates"][0]["tasks"]["code"].keys() == {
        "quality",
        "low",
        "high",
        "n",
        "believed",
        "score",
        "unmet",
    }
    gateway.runtime.service.live = None
    assert get(gateway, "/admin/models").status_code == 200, "it is no part of the live view"


def test_no_secret_is_in_any_answer(gateway: RunningGateway):
    gateway.runtime.service.metrics = page
    for path in (*ROUTES, "/admin/requests/req-7", "/schema/openapi.json"):
        if path != "/admin/events" and not path.startswith("/v1/"):
            said = get(gateway, path, authorization=f"Bearer {ADMIN}").text
            assert [each for each in (KEY, ADMIN, "sk-secret") if each in said] == [], path


def test_without_a_live_view_it_says_so(gateway: RunningGateway):
    gateway.runtime.service.live = None
    for path in set(ADMIN_PATHS) - {SESSIONS, SCORES}:
        answer = get(gateway, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "live_view_off")


def test_the_front_door_and_the_schema_name_the_routes(gateway: RunningGateway):
    named = get(gateway, "/").json()
    described = get(gateway, "/schema/openapi.json").json()["paths"]
    called = {route.path: f"/v1beta/models/{{model}}:{method}" for method, route in METHODS.items()}
    for path in ROUTES:
        if not path.startswith(("/schema", "/health")) and path != "/":
            assert path in named.values()
            assert called.get(path, path) in described
    assert f"{REQUESTS}/{{name}}" in described


def test_the_path_of_one_request():
    assert normalise("/admin/requests/models") == Route("/admin/requests/models"), "an id, whatever it is like"
    assert normalise("/admin/requests/a%3Ab/") == Route("/admin/requests/a:b")
    assert normalise("/admin/nothing") is None


# What happens


def told_events(lines: Iterator[str], count: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            found.append((kind, json.loads(line[6:])))
            if len(found) == count:
                break
    return found


def test_events_as_they_happen_until_the_drain():
    telling = Telling()
    with running_gateway(CONFIG) as gateway:
        service = gateway.runtime.service
        service.live = telling.live
        with httpx.stream("GET", gateway.url + "/admin/events?outcome=ok", timeout=30) as answer:
            lines = answer.iter_lines()
            assert answer.headers["content-type"] == "text/event-stream"
            assert next(lines) == ": watching"
            gateway.call(lambda: telling.tell(*failover()))
            gateway.call(lambda: telling.plain(8, BEGAN))
            first, second = told_events(lines, 2)
            assert (first[0], first[1]["id"], first[1]["attempts"][0]["status"]) == ("request", "req-7", 429)
            assert second[1]["id"] == "req-8"
            assert len(service.running) == 0, "nobody waits for a watcher"
            gateway.call(lambda: [each.cut() for each in service.watching])
            assert list(lines) == [""]
        assert (service.watching, telling.live._watchers) == (set(), set())
        service.draining = True
        assert get(gateway, "/admin/events").json()["error"]["code"] == "gateway_draining"


def test_a_watcher_that_leaves_makes_room():
    telling = Telling()
    with running_gateway(CONFIG) as gateway, ExitStack() as leaving:
        service = gateway.runtime.service
        service.live = telling.live
        streams = [httpx.stream("GET", gateway.url + "/admin/events", timeout=30) for _ in range(MOST_WATCHERS)]
        lines = [leaving.enter_context(stream).iter_lines() for stream in streams]
        assert {next(each) for each in lines} == {": watching"}
        refused = get(gateway, "/admin/events")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "too_many_watchers")
        leaving.close()
        eventually(lambda: not service.watching)
        assert telling.live._watchers == set()


class Quiet:
    """A watcher to whom nothing happens, twice."""

    def __init__(self) -> None:
        self.closed, self.waits = False, 0

    async def next(self, seconds: float) -> list[Any]:
        self.waits += 1
        if self.waits > 2:
            await asyncio.Event().wait()
        return []

    def close(self) -> None:
        self.closed = True


def test_silence_is_kept_alive(application: Any):
    watcher, said = Quiet(), []
    tail = Tail(application.service, watcher)

    async def run() -> None:
        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: dict[str, Any]) -> None:
            said.append(message.get("body"))
            if len(said) == 4:
                tail.cut()

        await tail({"headers": []}, receive, send)

    asyncio.run(run())
    assert said == [None, b": watching\n\n", b": keep-alive\n\n", b": keep-alive\n\n", b""]
    assert watcher.closed


# Metrics

PAGE_OF_METRICS = b"# TYPE skein_requests counter\n" * 100


async def page(accept: str) -> tuple[bytes, str]:
    return (
        PAGE_OF_METRICS,
        "application/openmetrics-text" if "openmetrics" in accept else "text/plain; version=0.0.4; charset=utf-8",
    )


def test_metrics(gateway: RunningGateway):
    gateway.runtime.service.metrics = None
    elsewhere = get(gateway, "/metrics")
    assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (404, "metrics_elsewhere")
    gateway.runtime.service.metrics = page
    plain = get(gateway, "/metrics", **{"accept-encoding": "identity"})
    assert (plain.content, plain.headers["content-type"]) == (
        PAGE_OF_METRICS,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    assert "content-encoding" not in plain.headers
    asked = {"accept": "application/openmetrics-text", "accept-encoding": "gzip;q=0.5"}
    with httpx.stream("GET", gateway.url + "/metrics", headers=asked) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-type"] == "application/openmetrics-text"
    assert (answer.headers["content-encoding"], gzip.decompress(packed)) == ("gzip", PAGE_OF_METRICS)
    assert httpx.head(gateway.url + "/metrics").status_code == 200


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("gzip;q=0", False),
        ("gzip; q=0.00, br", False),
        ("identity", False),
        ("x-gzipped", False),
    ],
)
def test_who_takes_gzip(accepted: str, taken: bool):
    assert takes_gzip(accepted) is taken


# Feedback

GIVEN: list[tuple[dict[str, Any], tuple[str, float, str]]] = [
    ({"request_id": "req-7", "score": 0.25}, ("req-7", 0.25, "feedback")),
    ({"request_id": "req-7", "score": 0, "source": "eval"}, ("req-7", 0.0, "feedback")),
    ({"request_id": "req-9", "verdict": "good", "name": "helpful", "source": "user"}, ("req-9", 1.0, "helpful")),
    (
        {"trace_id": f"{0xABC + 7:032X}", "verdict": "neutral", "comment": "hm", "source": "ci"},
        ("req-7", 0.5, "feedback"),
    ),
    ({"request_id": "req-10", "verdict": "bad"}, ("req-10", 0.0, "feedback")),
]


def give(gateway: RunningGateway, said: Any, key: str = KEY) -> httpx.Response:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return httpx.post(gateway.url + "/v1/feedback", content=body, headers={"authorization": f"Bearer {key}"})


def test_feedback_is_told(gateway: RunningGateway):
    taken: list[Any] = []
    gateway.runtime.service.feedback = lambda event, trace: taken.append((event, trace))
    for said, (id, score, name) in GIVEN:
        answer = give(gateway, said)
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
        # Said again, it is answered, and does not count.
        assert give(gateway, said).json() == {"status": "already given"}
        event, trace = taken[-1]
        assert (event.exchange_id, event.score, event.name) == (id, score, name)
        assert (event.comment, event.source) == (said.get("comment"), said.get("source", "api"))
        assert trace == f"{0xABC + int(id[4:]):032x}"
    assert gateway.of(events.FeedbackGiven) == [event for event, _ in taken]


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        (b"{", 400, "not valid JSON"),
        ([], 400, "Expected `object`"),
        ({}, 400, "which answer"),
        ({"request_id": "req-7"}, 400, "either a score"),
        ({"request_id": "req-7", "score": 1, "verdict": "good"}, 400, "either a score"),
        ({"request_id": "req-7", "score": 1.5}, 400, "$.score"),
        ({"request_id": "req-7", "score": "1"}, 400, "$.score"),
        ({"request_id": "req-7", "verdict": "great"}, 400, "$.verdict"),
        ({"request_id": "req-7", "score": 1, "scour": 1}, 400, "scour"),
        ({"trace_id": "abc", "score": 1}, 400, "$.trace_id"),
        ({"request_id": "req-7", "score": 1, "source": "Me Myself"}, 400, "$.source"),
        ({"request_id": "req-none", "score": 1}, 404, "req-none"),
        ({"request_id": "req-7", "trace_id": "0" * 32, "score": 1}, 404, "req-7"),
        (b" " * 70_000, 413, ""),
    ],
    ids=lambda each: str(each)[:40],
)
def test_feedback_that_is_none(gateway: RunningGateway, said: Any, status: int, why: str):
    answer = give(gateway, said)
    assert answer.status_code == status
    assert why in answer.json()["error"]["message"]
    assert gateway.of(events.FeedbackGiven) == []


def test_nobody_judges_what_another_key_was_answered(gateway: RunningGateway):
    said = {"request_id": "req-8", "score": 1}
    assert give(gateway, said).json()["error"]["code"] == "request_not_found"
    assert give(gateway, said, ADMIN).status_code == 202


def test_feedback_needs_the_callers_key(gateway: RunningGateway):
    assert give(gateway, {"request_id": "req-7", "score": 1}, "wrong").status_code == 401
    assert give(gateway, {"request_id": "req-7", "score": 1}, ADMIN).status_code == 202


def test_where_nobody_can_know_the_answer_feedback_is_taken(gateway: RunningGateway):
    gateway.runtime.service.worker = 1
    assert give(gateway, {"request_id": "of-another-worker", "score": 1}).status_code == 202
    gateway.runtime.service.worker, gateway.runtime.service.live = None, None
    assert give(gateway, {"trace_id": "a" * 32, "score": 1}).status_code == 202
    assert [each.exchange_id for each in gateway.of(events.FeedbackGiven)] == ["of-another-worker", ""]
