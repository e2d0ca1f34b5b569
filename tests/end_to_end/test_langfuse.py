"""Langfuse through the whole gateway: what it is sent of an exchange, the prompts it manages, the scores it is told."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from gateway.observe.export import Patience, Shipper
from gateway.observe.langfuse import Langfuse
from gateway.observe.observability import Logging
from tests.backends import HANG, LANGFUSE_TRACES, OK, PROMPTS, RESET, TRACES, Receiver, Span, slow, unavailable
from tests.scripted import Answer, Slow, Status, play, policy_refused

from .setting import MESSAGES, MOMENT, Client, Stand, Told, eventually, merged, request, secret, stand

KEY, LIMITED_KEY = "sk-caller-4f1d90c2", "sk-caller-77ab31e0"
PUBLIC, SECRET = "pk-lf-6b1f0d", "sk-lf-9c2e7a"
BASIC = base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
USAGE: dict[str, Any] = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 40},
}
SETTINGS: dict[str, Any] = {
    "access": {
        "mode": "keys",
        "keys": [{"name": "ci", "key": KEY}, {"name": "few", "key": LIMITED_KEY, "models": ["b/gpt-4.1"]}],
    },
    "observe": {"prices": {"gpt-4.1": {"input": 1, "output": 10, "cached": 0.5, "cache_write": 2}}},
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is not waited for, and nothing leaves the machine."""
    for module in ("gateway.observing", "gateway.observe.langfuse"):
        monkeypatch.setattr(f"{module}.Shipper", partial(Shipper, patience=Patience(linger=0.01)))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def project(receiver: Receiver, extra: dict[str, Any] | None = None, **running: Any) -> Iterator[Stand]:
    """A gateway that writes to this Langfuse."""
    account = {"observe": {"langfuse": {"public_key": PUBLIC, "secret_key": SECRET, "host": receiver.url}}}
    with stand("a", "b", extra=merged(merged(SETTINGS, account), extra or {}), running=running) as s:
        yield s


def ask(s: Stand, stream: bool = False, key: str = KEY, headers: dict[str, str] | None = None, **fields: Any) -> Told:
    return s.ask(stream, {"authorization": f"Bearer {key}", **(headers or {})}, **fields)


def prompted(s: Stand, name: str, variables: Any = None, **fields: Any) -> Told:
    """A request with a managed prompt."""
    headers = {"x_skein_prompt": name}
    if variables is not None:
        headers["x_skein_prompt_variables"] = variables if isinstance(variables, str) else json.dumps(variables)
    return ask(s, headers=headers, **fields)


def trace_of(told: Told) -> str:
    return told.headers["traceresponse"].split("-")[1]


def generation(receiver: Receiver, told: Told) -> Span:
    """The call's span of the exchange that was answered so."""

    def found() -> list[Span]:
        return [
            span
            for span in receiver.spans(LANGFUSE_TRACES)
            if span.trace_id == trace_of(told) and span.attributes["langfuse.observation.type"] == "generation"
        ]

    receiver.wait_until(lambda _: found())
    (span,) = found()
    return span


# What it is sent ------------------------------------------------------------------------------------------------------


def test_a_generation_with_all_that_langfuse_shows() -> None:
    with Receiver() as receiver:
        receiver.add_prompt("reviewer", "You review {{language}}.", version=7)
        with project(receiver) as s:
            s.a.script(Status(503), Status(503), Status(503))
            s.b.script(play(Answer(usage=USAGE), Slow(between=0.01)))
            headers = {"x_skein_session": "s-1", "x_skein_prompt": "reviewer"}
            headers["x_skein_prompt_variables"] = '{"language": "Python"}'
            told = ask(s, True, headers=headers, user="ada", temperature=0.5)
            said = generation(receiver, told).attributes
        spans = [span for span in receiver.spans(LANGFUSE_TRACES) if span.trace_id == trace_of(told)]
        (request,) = [each for each in receiver.requests_to(LANGFUSE_TRACES) if each.spans]
    assert request.headers["x-langfuse-ingestion-version"] == "4"
    assert request.headers["authorization"] == f"Basic {BASIC}"
    assert request.headers["content-type"] == "application/x-protobuf"
    usage = json.loads(said["langfuse.observation.usage_details"])
    assert usage == {
        "input": 500,
        "input_cached_tokens": 400,
        "input_cache_creation": 100,
        "output": 60,
        "output_reasoning_tokens": 40,
        "total": 1100,
    }
    assert sum(usage.values()) == 2 * usage["total"], "what is in one kind is in no other"
    # 500 at 1 $, 400 at 0.5 $, 100 at 2 $ and 100 at 10 $ for a million.
    assert json.loads(said["langfuse.observation.cost_details"]) == {"total": pytest.approx(0.0019)}
    (last,) = [span for span in spans if span.attributes.get("skein.attempt.provider") == "b"]
    began = datetime.fromisoformat(said["langfuse.observation.completion_start_time"]).timestamp()
    assert began == pytest.approx(last.event("skein.stream.first_token").time / 1e9, abs=1e-5)
    assert last.start / 1e9 < began < last.end / 1e9
    assert said["langfuse.observation.model.name"] == "gpt-4.1"
    assert json.loads(said["langfuse.observation.model.parameters"]) == {"temperature": 0.5}
    assert (said["langfuse.observation.prompt.name"], said["langfuse.observation.prompt.version"]) == ("reviewer", 7)
    assert said["langfuse.observation.level"] == "WARNING"
    assert "provider_overloaded" in said["langfuse.observation.status_message"]
    (root,) = [span for span in spans if span.parent_id is None]
    assert root.attributes["langfuse.trace.name"] == "chat m"
    assert root.attributes["langfuse.trace.tags"] == ["chat", "failover"]
    # On each of them: Langfuse looks for them wherever it filters.
    assert {(span.attributes["session.id"], span.attributes["user.id"]) for span in spans} == {("ci:s-1", "ada")}
    types = [span.attributes["langfuse.observation.type"] for span in spans]
    assert sorted(types) == ["generation"] + ["span"] * (len(spans) - 1)
    assert {span.resource["service.name"] for span in spans} == {"skein"}


def test_only_calls_to_models_are_told() -> None:
    """Our own refusals are nothing Langfuse could show; a vendor's are."""
    with Receiver() as receiver:
        collector = {"observe": {"otlp": {"endpoint": receiver.url}}}
        with project(receiver, collector) as s:
            s.a.script(Answer(), policy_refused())
            told = [
                ask(s),
                ask(s),
                ask(s, key="wrong"),
                ask(s, key=LIMITED_KEY),
                ask(s, model="nobody"),
                ask(s, headers={"x_skein_timeout": "soon"}),
                prompted(s, "absent"),
            ]
        assert [each.status for each in told] == [200, 400, 401, 403, 404, 400, 404]
        traces = [trace_of(each) for each in told]
        for path, taken in ((LANGFUSE_TRACES, traces[:2]), (TRACES, traces)):
            assert {span.trace_id for span in receiver.spans(path)} == set(taken)
        refused = [span for span in receiver.spans(LANGFUSE_TRACES) if span.trace_id == traces[1]]
        assert {span.attributes.get("langfuse.observation.level") for span in refused} == {None, "ERROR"}


def test_variables_in_place_of_settings() -> None:
    with Receiver() as receiver:
        env = {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": SECRET, "LANGFUSE_HOST": receiver.url}
        env["LANGFUSE_TRACING_ENVIRONMENT"] = "staging"
        with stand("a", running={"env": env}) as s:
            assert s.ask().status == 200
        assert receiver.accepted == {LANGFUSE_TRACES: 3}
        assert {each.headers["authorization"] for each in receiver.requests} == {f"Basic {BASIC}"}
        assert {span.resource["langfuse.environment"] for span in receiver.spans()} == {"staging"}


# Prompts --------------------------------------------------------------------------------------------------------------

SYSTEM = {"role": "system", "content": "You review {{language}}, mildly: {{ mildness }}."}
CHAT_PROMPT = [SYSTEM, {"role": "user", "content": "Ready for {{language}}?"}, {"role": "assistant", "content": "Yes."}]
FILLED = [
    {"role": "system", "content": "You review Python, mildly: 0.5."},
    {"role": "user", "content": "Ready for Python?"},
    {"role": "assistant", "content": "Yes."},
]
VARIABLES = {"language": "Python", "mildness": 0.5}


def fill(receiver: Receiver) -> None:
    receiver.add_prompt("reviewer", "one", version=1)
    receiver.add_prompt("reviewer", CHAT_PROMPT, version=2)
    receiver.add_prompt("reviewer", "three", version=3, labels=("staging",))
    receiver.add_prompt("folder/hi", "Say {{word}}.", version=4)


@pytest.mark.parametrize(
    ("name", "variables", "messages", "version"),
    [
        ("reviewer", VARIABLES, FILLED, ("reviewer", 2)),
        ("reviewer@production", VARIABLES, FILLED, ("reviewer", 2)),
        ("reviewer@staging", None, [{"role": "system", "content": "three"}], ("reviewer", 3)),
        ("reviewer@latest", None, [{"role": "system", "content": "three"}], ("reviewer", 3)),
        ("reviewer#1", None, [{"role": "system", "content": "one"}], ("reviewer", 1)),
        (
            "folder/hi",
            {"word": 'a "b"', "more": 1},
            [{"role": "system", "content": 'Say a "b".'}],
            ("folder/hi", 4),
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_prompt_stands_before_the_clients_own_messages(
    stream: bool, name: str, variables: Any, messages: Any, version: tuple[str, int]
) -> None:
    with Receiver() as receiver, project(receiver) as s:
        fill(receiver)
        told = prompted(s, name, variables, stream=stream, x_unknown={"kept": [1]})
        assert (told.status, told.text) == (200, "Hello from the scripted vendor.")
        (call,) = s.a.received
        assert call.json["messages"] == [*messages, *MESSAGES]
        assert call.json["x_unknown"] == {"kept": [1]}
        said = generation(receiver, told).attributes
        names = ("langfuse.observation.prompt.name", "langfuse.observation.prompt.version")
        assert tuple(said[each] for each in names) == version


def test_every_attempt_has_the_prompt() -> None:
    with Receiver() as receiver, project(receiver) as s:
        fill(receiver)
        s.a.otherwise = Status(500)
        assert prompted(s, "reviewer#1").status == 200
        calls = [*s.a.received, *s.b.received]
        assert [call.json["messages"][0]["content"] for call in calls] == ["one"] * len(calls)
        assert len(calls) > 2


@pytest.mark.parametrize(
    ("name", "variables", "status", "code", "said"),
    [
        ("absent", None, 404, "prompt_not_found", '"absent"'),
        ("reviewer@nowhere", None, 404, "prompt_not_found", '"nowhere"'),
        ("reviewer#9", None, 404, "prompt_not_found", "version 9"),
        ("reviewer#new", None, 400, "invalid_prompt", "name#version"),
        ("reviewer@", None, 400, "invalid_prompt", "name@label"),
        ("reviewer", {"language": "C"}, 400, "invalid_prompt", "needs mildness"),
        ("reviewer", "language=C", 400, "invalid_prompt", "x-skein-prompt-variables"),
        ("reviewer", '["C"]', 400, "invalid_prompt", "x-skein-prompt-variables"),
        ("../../scores", None, 404, "prompt_not_found", "scores"),
    ],
)
def test_a_prompt_that_cannot_be_is_the_callers_mistake(
    name: str, variables: Any, status: int, code: str, said: str
) -> None:
    with Receiver() as receiver, project(receiver) as s:
        fill(receiver)
        told = prompted(s, name, variables)
        assert (told.status, told.error["code"]) == (status, code)
        assert said in told.error["message"]
        assert s.a.count == 0
        assert all(each.path.startswith(PROMPTS) for each in receiver.requests if each.method == "GET")
        assert ask(s).status == 200


def test_without_langfuse_there_are_no_prompts() -> None:
    with stand("a") as s:
        told = s.ask(headers={"x_skein_prompt": "reviewer"})
        assert (told.status, told.error["code"], told.error["param"]) == (400, "invalid_prompt", "x-skein-prompt")
        assert "observe.langfuse" in told.error["message"]
        assert s.a.count == 0


def test_a_prompt_is_fetched_once() -> None:
    with Receiver() as receiver, project(receiver) as s:
        fill(receiver)
        for _ in range(5):
            assert prompted(s, "reviewer#1").status == 200
        receiver.go_down()
        assert prompted(s, "reviewer#1").status == 200
        assert [call.json["messages"][0]["content"] for call in s.a.received] == ["one"] * 6
        assert len([each for each in receiver.requests if each.method == "GET"]) == 1


def test_the_first_prompt_does_not_wait_for_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed = threading.Event()
    monkeypatch.setattr(Langfuse, "warm", lambda _: warmed.set())
    with Receiver() as receiver, project(receiver):
        assert warmed.wait(20)


@pytest.mark.parametrize(("name", "status"), [("reviewer#1", 200), ("absent", 404)])
def test_a_prompt_that_is_waited_for_is_no_overhead(name: str, status: int) -> None:
    with Receiver() as receiver:
        with project(receiver, {"observe": {"otlp": {"endpoint": receiver.url}}}) as s:
            fill(receiver)
            receiver.mode = slow(MOMENT)
            assert prompted(s, name).status == status
            receiver.mode = OK
        (server,) = [span for span in receiver.spans(TRACES) if span.kind == "SERVER"]
        assert server.attributes["skein.overhead_s"] < server.seconds - MOMENT / 2


@pytest.mark.parametrize("name", ["down", "hanging", "busy", "resetting"])
def test_while_langfuse_is_away_only_its_prompts_are(name: str) -> None:
    with Receiver() as receiver, project(receiver) as s:
        fill(receiver)
        receiver.mode = {"hanging": HANG, "busy": unavailable(), "resetting": RESET}.get(name, OK)
        if name == "down":
            receiver.go_down()
        with s.client() as waiting:
            headers = {"authorization": f"Bearer {KEY}", "x_skein_prompt": "reviewer#1"}
            waiting.post({"model": "m", "messages": MESSAGES}, **headers)
            if name == "hanging":
                receiver.wait_until(lambda each: any(one.method == "GET" for one in each.requests))
            assert [ask(s, stream).status for stream in (True, False) * 5] == [200] * 10
            told = waiting.reply()
        assert (told.status, told.error["code"], told.error["origin"]) == (503, "prompt_unavailable", "gateway")
        assert '"reviewer" version 1' in told.error["message"]
        receiver.mode = OK
        receiver.come_up()
        eventually(lambda: prompted(s, "reviewer#1").status == 200)


# Feedback -------------------------------------------------------------------------------------------------------------


def judge(s: Stand, **given: Any) -> Told:
    with Client(s.gateway.url) as client:
        client.post(given, "/v1/feedback", authorization=f"Bearer {KEY}")
        return client.reply()


def test_a_verdict_becomes_a_score_of_its_trace() -> None:
    with Receiver() as receiver:
        with project(receiver) as s:
            traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            told = [ask(s), ask(s, True), ask(s, headers={"traceparent": traceparent}), ask(s)]
            ids = [each.headers["x-request-id"] for each in told]
            assert judge(s, request_id=ids[0], verdict="good").status == 202
            assert judge(s, request_id=ids[1], score=0.25, name="helpful", comment="too long").status == 202
            assert judge(s, request_id=ids[2], verdict="neutral", source="user").status == 202
            assert judge(s, trace_id=trace_of(told[3]), verdict="bad").status == 202
        scores = {score["traceId"]: score for score in receiver.scores()}
        said = [(each["name"], each["value"], each.get("comment")) for each in (scores[trace_of(one)] for one in told)]
        assert said == [
            ("feedback", 1.0, None),
            ("helpful", 0.25, "too long"),
            ("feedback", 0.5, None),
            ("feedback", 0.0, None),
        ]
        assert [scores[trace_of(one)]["metadata"] for one in told[1:3]] == [{"source": "api"}, {"source": "user"}]
        assert len({score["id"] for score in receiver.scores()}) == len(receiver.scores()) == 4
        assert scores.keys() == {span.trace_id for span in receiver.spans(LANGFUSE_TRACES)}


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"request_id": "req_nobody", "verdict": "good"}, 404, "request_not_found"),
        ({"trace_id": "0" * 31 + "1", "verdict": "good"}, 404, "request_not_found"),
        ({"verdict": "good"}, 400, "invalid_feedback"),
        ({"request_id": "x", "verdict": "fine"}, 400, "invalid_feedback"),
        ({"request_id": "x", "score": 1.5}, 400, "invalid_feedback"),
        ({"request_id": "x", "score": 1, "verdict": "good"}, 400, "invalid_feedback"),
    ],
)
def test_a_verdict_on_nothing_is_no_score(given: dict[str, Any], status: int, code: str) -> None:
    with Receiver() as receiver:
        with project(receiver) as s:
            told = judge(s, **given)
            assert (told.status, told.error["code"]) == (status, code)
        assert receiver.scores() == []


# Secrets --------------------------------------------------------------------------------------------------------------


def test_no_key_is_ever_told() -> None:
    """Not in what is written, sent, answered or shown, whatever goes wrong."""
    lines = io.StringIO()
    with Receiver() as receiver:
        logging = Logging(level="debug", format="json", out=lines)
        extra = {"observe": {"content": "full", "otlp": {"endpoint": receiver.url}}}
        with project(receiver, extra, logging=logging) as s:
            fill(receiver)
            s.a.script(Status(401), Status(429), Answer(), Answer())
            told = [ask(s), prompted(s, "reviewer#1"), prompted(s, "absent"), ask(s, key="wrong")]
            receiver.mode = unavailable()
            told += [prompted(s, "reviewer#3"), ask(s)]
            s.finished(6)
            pages = [s.gateway.page(), *(get(s, path) for path in ("/admin/requests", "/health/providers"))]
            receiver.mode = OK
            s.keeps_its_secrets(*told)
    said = [lines.getvalue(), *pages, *(f"{each.headers} {each.body!r}" for each in told)]
    said += [repr(span) for span in receiver.spans()]
    assert '"event":"request.finished"' in said[0]
    for key in (SECRET, BASIC, KEY, secret("a"), secret("b")):
        assert not [each for each in said if key in each]


def get(s: Stand, path: str) -> str:
    with Client(s.gateway.url) as client:
        bare = {"content_length": "", "content_type": "", "authorization": f"Bearer {KEY}"}
        client.send(request(b"", path, "GET", **bare))
        told = client.reply()
    assert told.status == 200, told
    return told.body.decode()
