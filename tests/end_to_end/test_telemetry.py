"""Telemetry as client, vendor and Prometheus see it: the page of metrics, trace headers, costs, what is not told."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway import events
from gateway.observe.observability import Logging
from gateway.prices import PriceBook
from tests.backends.prometheus import promtool
from tests.scripted import Answer, Silent, Status, ToolCall, fault

from .setting import CHAT, Page, Stand, Told, body, eventually, request, secret, stand
from .test_reload import editable

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def get(s: Stand, path: str = "/metrics", method: str = "GET", **headers: str) -> httpx.Response:
    return httpx.request(method, s.gateway.url + path, headers=headers, timeout=20)


def page(s: Stand) -> Page:
    """A scrape over HTTP, waiting for nothing."""
    return Page(get(s).text)


# The page -------------------------------------------------------------------------------------------------------------


def test_the_page_is_what_prometheus_reads() -> None:
    with stand("primary", "backup") as s:
        s.primary.otherwise = Status(404)
        s.ask(headers={"traceparent": PARENT})
        s.ask(True)
        plain = get(s, **{"accept-encoding": "identity"})
        assert plain.headers["content-type"].startswith("text/plain")
        checked = promtool("check", "metrics", stdin=plain.text)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
        open_metrics = get(s, accept=OPENMETRICS)
        assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
        assert open_metrics.headers["content-encoding"] == "gzip"
        assert open_metrics.text.endswith("# EOF\n")
        head = get(s, method="HEAD")
        assert (head.status_code, head.content) == (200, b"")


def test_a_scrape_right_after_a_reply_has_it_counted() -> None:
    with stand("primary") as s:
        for count in range(1, 8):
            s.ask(count % 2 == 0)
            assert page(s).by("skein_requests_total", "outcome") == {"ok": count}


# Traces ---------------------------------------------------------------------------------------------------------------


def test_an_exemplar_names_the_trace_that_was_sent() -> None:
    with stand("primary") as s:
        s.ask(True, headers={"traceparent": PARENT})
        told = get(s, accept=OPENMETRICS).text
        for name in ("request_duration", "time_to_first_token", "attempt_duration", "attempt_ttft"):
            assert re.search(rf'skein_{name}_seconds_bucket{{[^}}]*}} \S+ # {{trace_id="{TRACE}"}}', told), name
        assert "trace_id" not in get(s).text


def test_a_trace_that_is_not_sampled_is_no_example() -> None:
    with stand("primary") as s:
        s.ask(headers={"traceparent": PARENT.removesuffix("1") + "0"})
        assert "trace_id" not in get(s, accept=OPENMETRICS).text


@pytest.mark.parametrize(("model", "status"), [("m", 200), ("unknown", 404)])
def test_the_reply_says_which_span_it_was(model: str, status: int) -> None:
    with stand("primary") as s:
        told = s.ask(headers={"traceparent": PARENT}, model=model)
        assert told.status == status
        span = s.finished().span
        assert told.headers["traceresponse"] == f"00-{TRACE}-{span:016x}-01"
        assert span != int(SPAN, 16)


@BOTH
def test_vendors_that_may_know_are_told_the_trace_each_call_with_its_own_span(stream: bool) -> None:
    with stand("primary", "backup") as s:
        s.primary.script(Status(503), Status(503), Status(503))
        s.ask(stream, headers={"traceparent": PARENT, "tracestate": "vendor=1"})
        trace = s.of(events.RequestReceived)[0].trace
        calls = [*s.primary.received, *s.backup.received]
        assert [call.headers["traceparent"] for call in calls] == [
            f"00-{TRACE}-{trace.attempt(number):016x}-01" for number in range(1, 5)
        ]
        assert {call.headers["tracestate"] for call in calls} == {"vendor=1"}


def test_others_are_told_nothing() -> None:
    with stand("primary", extra={"observe": {"propagate_to": ["*.internal"]}}) as s:
        s.ask(headers={"traceparent": PARENT, "tracestate": "vendor=1"})
        assert not {"traceparent", "tracestate", "traceresponse"} & set(s.primary.received[0].headers)


# Costs ----------------------------------------------------------------------------------------------------------------

USAGE = '{"prompt_tokens":1000, "completion_tokens":500,\n "total_tokens":1500}'
# A thousand at two dollars a million, five hundred at eight.
COST = 0.006
WHOLE = (
    '{ "id":"x","object":"chat.completion","created":1,"model":"gpt-4.1",\n'
    ' "choices":[{"index":0,"message":{"role":"assistant","content":"\\u00fc \\"usage\\":{}"},"finish_reason":"stop"}],'
    ' "usage": %s , "odd" : 1.50 }'
)
CHUNK = '{"id":"x","object":"chat.completion.chunk","created":1,"model":"gpt-4.1",  "choices":%s}'
SAID = CHUNK % '[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}]'
STOP = CHUNK % '[{"index":0,"delta":{},"finish_reason":"stop"}]'
SPENT = CHUNK[:-1] % "[]" + ', "usage":%s}'
STREAM = f"data: {SAID}\n\ndata: {STOP}\n\ndata: {SPENT}\n\ndata: [DONE]\n\n"


def answer(stream: bool, usage: str) -> str:
    return (STREAM if stream else WHOLE).replace("%s", usage)


@pytest.mark.parametrize("priced", [True, False], ids=["priced", "not"])
@BOTH
def test_an_answer_says_what_it_cost_where_that_is_known(stream: bool, priced: bool) -> None:
    prices = {"observe": {"prices": {"gpt-4.1": {"input": 2, "output": 8}}}} if priced else {}
    asked = {"stream_options": {"include_usage": True}} if stream else {}
    with stand("primary", extra=prices) as s:
        kind = "text/event-stream" if stream else "application/json"
        s.primary.otherwise = Status(200, answer(stream, USAGE.replace("\n", "")), {"content-type": kind})
        told = s.ask(stream, **asked)
        usage = USAGE.replace("\n", "")
        if priced:
            usage = usage.removesuffix("}") + f',"cost":{COST}}}'
        assert told.body.decode() == answer(stream, usage)
        metrics = page(s)
        assert metrics.total("skein_cost_usd_total") == pytest.approx(COST if priced else 0)
        assert metrics.total("skein_unpriced_requests_total") == (not priced)


def test_a_price_that_cannot_be_worked_out_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*asked: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(PriceBook, "cost", fails)
    with stand("primary") as s:
        for stream in (False, True):
            assert s.ask(stream, stream_options={"include_usage": True}).status == 200
        s.finished(2)
        assert page(s).total("skein_unpriced_requests_total") == 2


# Who is who -----------------------------------------------------------------------------------------------------------


def test_requests_with_one_id_are_told_apart() -> None:
    with stand("slow", "quick", model={"targets": ["slow/gpt-4.1"]},
               extra={"models": {"other": {"targets": ["quick/gpt-4.1"]}}}) as s:  # fmt: skip
        s.slow.otherwise = Silent("after_output")
        with s.client() as first:
            first.post(body(True), x_request_id="twin")
            first.see(b"Hello")
            assert [s.ask(model=model, headers={"x_request_id": "twin"}).status for model in ("other", "none")] == [
                200, 404,
            ]  # fmt: skip
            rows = get(s, "/admin/requests").json()["requests"]
            assert [(row["id"], row["model"]["asked"], row["outcome"], len(row["attempts"])) for row in rows] == [
                ("twin", "none", "rejected", 0), ("twin", "other", "ok", 1), ("twin", "m", None, 1),
            ]  # fmt: skip
            assert page(s).total("skein_requests_in_flight") == 1
        eventually(lambda: page(s).total("skein_requests_in_flight") == 0)
        assert page(s).by("skein_requests_total", "model", "outcome") == {
            ("m", "cancelled"): 1, ("other", "ok"): 1, ("_other", "rejected"): 1,
        }  # fmt: skip


# What is not told -----------------------------------------------------------------------------------------------------

CANARIES = {
    name: f"canary-{name}-7Hq2"
    for name in ("prompt", "system", "arguments", "result", "user", "header", "answer", "thought", "called", "body")
}
KEYS = {"provider": secret("primary"), "caller": "caller-key-5kXw", "admin": "admin-key-9pLm", "set": "set-header-3vTz"}


def revealing() -> dict[str, Any]:
    """A request with something of its own in every place."""
    called = {"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": CANARIES["arguments"]}}
    return {
        "model": "m",
        "user": CANARIES["user"],
        "messages": [
            {"role": "system", "content": CANARIES["system"]},
            {"role": "user", "content": CANARIES["prompt"]},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "call_1", "content": f"Error: {CANARIES['result']}"},
        ],
        "tools": [{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}],
    }


REVEALING = (
    Answer(CANARIES["answer"], reasoning=CANARIES["thought"]),
    Answer(tool_calls=(ToolCall("shell", {"command": CANARIES["called"]}),)),
    Status(400, {"error": {"message": f"{CANARIES['body']} {KEYS['provider']}", "param": KEYS["set"]}}),
    Status(401, {"error": {"message": f"what is {KEYS['provider']}?", "code": KEYS["provider"]}}),
    Silent("after_output"),
)


def test_neither_content_nor_secrets_are_told() -> None:
    written = io.StringIO()
    extra = {
        "access": {"mode": "keys", "keys": [{"name": "team", "key": KEYS["caller"]}], "admin_key": KEYS["admin"]},
        "observe": {"prices": {"gpt-4.1": {"input": 2, "output": 8}}},
    }
    headers = {
        "authorization": f"Bearer {KEYS['caller']}",
        "x_custom": CANARIES["header"],
        "cookie": CANARIES["header"],
    }
    running = {"logging": Logging(level="debug", out=written)}
    providers = {"primary": {"headers": {"x-team": KEYS["set"]}}}
    told: list[Told] = []
    seen: list[str] = []
    with stand("primary", providers=providers, extra=extra, running=running, timeouts={"idle": "1s"}) as s:
        for step in REVEALING:
            s.primary.otherwise = step
            for stream in (False, True):
                told.append(s.ask(stream, headers={**headers, "x_skein_session": "one"}, **revealing()))
        with s.client() as client:
            client.send(request(b'{"model": "' + CANARIES["prompt"].encode(), CHAT, **headers))
            told.append(client.reply())
        told.append(s.ask(headers={"authorization": f"Bearer {CANARIES['header']}"}, **revealing()))
        ids = [row["id"] for row in get(s, "/admin/requests").json()["requests"]]
        assert len(ids) == len(told)
        seen = [get(s, accept=accept).text for accept in ("text/plain", OPENMETRICS)]
        seen += [get(s, f"/admin/{what}").text for what in ("requests", "providers", "switches")]
        seen += [get(s, f"/admin/requests/{name}").text for name in ids]
        with httpx.Client(headers={"authorization": headers["authorization"]}) as client:
            seen.append(client.get(f"{s.gateway.url}/health/providers").text)
    lines = written.getvalue()
    assert lines.count('"event":"request.finished"') == len(told)
    assert lines.count('"event":"tool.outcome"') > 0
    for canary in (*CANARIES.values(), *KEYS.values()):
        assert not [text for text in (*seen, lines) if canary in text], canary
    for key in KEYS.values():
        assert not [each for each in told if key in f"{each.headers} {each.body!r}"], key


# What agents do -------------------------------------------------------------------------------------------------------


def turn(s: Stand, *messages: Any, stream: bool = False) -> Told:
    """One request of a session of an agent with two tools."""
    tools = [{"type": "function", "function": {"name": name}} for name in ("shell", "read")]
    return s.ask(stream, headers={"x_skein_session": "one"}, messages=list(messages), tools=tools)


def made(*calls: tuple[str, str]) -> dict[str, Any]:
    functions = [{"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}} for id, name in calls]
    return {"role": "assistant", "content": None, "tool_calls": functions}


def result(id: str, said: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": said}


@BOTH
def test_the_tools_of_a_session_are_judged_once(stream: bool) -> None:
    with stand("primary") as s:
        s.primary.script(
            Answer(tool_calls=(ToolCall("shell", {}, id="c1"), ToolCall("read", {}, id="c2"))),
            Answer(tool_calls=(ToolCall("read", {}, id="c3"),)),
        )
        question = {"role": "user", "content": "go"}
        first = [made(("c1", "shell"), ("c2", "read")), result("c1", "done"), result("c2", "Error: no such file")]
        turn(s, question, stream=stream)
        turn(s, question, *first, stream=stream)
        for _ in range(2):  # sent again, it is not judged again
            turn(s, question, *first, made(("c3", "read")), result("c3", "text"), stream=stream)
        metrics = page(s)
        assert metrics.by("skein_tool_calls_total", "target_model", "tool", "outcome") == {
            ("gpt-4.1", "shell", "ok"): 1, ("gpt-4.1", "read", "error"): 1, ("gpt-4.1", "read", "ok"): 1,
        }  # fmt: skip
        assert metrics.by("skein_tool_call_retries_total", "tool") == {"read": 1}
        scores = metrics.by("skein_effectiveness_score_sum", "task_type"), metrics.by("skein_effectiveness_score_count")
        # A half, one, and none for the last answer, which was asked for again.
        assert scores == ({"tools": 1.5}, {(): 3})


def test_an_answer_that_the_user_corrects_has_no_points_and_feedback_comes_first() -> None:
    """In the words of the configuration, too. What is learned is what is counted."""
    learned: list[tuple[str, str, float]] = []
    with stand("primary", extra={"turns": {"corrections": ["nope, not like this"]}}) as s:
        s.gateway.runtime.observability.learned = lambda target, task, score, at: learned.append(
            (str(target), task, score)
        )
        question, answer = {"role": "user", "content": "go"}, {"role": "assistant", "content": "Hello"}
        turns: list[Any] = [question]
        for said in ("and on", "Nope, not like this.", "that's wrong", "thanks", "and the last one"):
            turn(s, *turns)
            turns += [answer, {"role": "user", "content": said}]
        last = turn(s, *turns).headers["x-request-id"]
        page(s)
        assert [score for _, _, score in learned] == [1.0, 0.0, 0.0, 1.0, 1.0]
        with s.client() as client:
            client.post({"request_id": last, "verdict": "neutral"}, "/v1/feedback")
            assert client.reply().status == 202
        metrics = page(s)
        assert learned == [("primary/gpt-4.1", "tools", score) for score in (1.0, 0.0, 0.0, 1.0, 1.0, 0.5)]
        assert metrics.by("skein_effectiveness_score_sum", "target_model", "task_type") == {("gpt-4.1", "tools"): 3.5}


def test_a_context_that_grows_and_one_that_was_compacted() -> None:
    with stand("primary") as s:
        usages = [{"prompt_tokens": size, "completion_tokens": 5} for size in (1000, 3000, 3100, 500, 700)]
        s.primary.script(*(Answer(usage=usage) for usage in usages))
        for _ in usages:
            turn(s, {"role": "user", "content": "go"})
        metrics = page(s)
        assert metrics.by("skein_context_tokens_sum", "model") == {"m": 8300}
        assert metrics.by("skein_context_growth_tokens_sum", "model") == {"m": 2300}
        assert metrics.by("skein_context_growth_tokens_count", "model") == {"m": 3}
        assert metrics.by("skein_context_compactions_total", "model") == {"m": 1}


def test_a_verdict_counts_for_the_target_that_answered() -> None:
    with stand("primary") as s:
        id = s.ask().headers["x-request-id"]
        verdicts = [
            ({"request_id": id, "verdict": "good"}, 202),
            ({"request_id": id, "verdict": "bad"}, 202),  # from the same source, who has been counted
            ({"request_id": id, "score": 0.1, "source": "eval"}, 202),
            ({"request_id": "nobody", "score": 1}, 404),
            ({"request_id": id}, 400),
        ]
        for given, status in verdicts:
            assert httpx.post(f"{s.gateway.url}/v1/feedback", json=given).status_code == status
        assert page(s).by("skein_feedback_total", "target_model", "task_type", "source", "verdict") == {
            ("gpt-4.1", "chat", "api", "good"): 1, ("gpt-4.1", "chat", "eval", "bad"): 1,
        }  # fmt: skip


# The gateway itself ---------------------------------------------------------------------------------------------------


def test_reloads_are_counted_and_the_configuration_is_named(tmp_path: Path) -> None:
    with editable(tmp_path, "old", "new", serving=("old",)) as s:
        s.write("new")
        assert s.reload()
        [before] = page(s).by("skein_config_info", "hash")
        s.write("new", server={"max_body": "1MiB"})
        assert s.reload()
        [after] = page(s).by("skein_config_info", "hash")
        assert before != after
        s.file.write_text("models: {")
        assert not s.reload()
        metrics = page(s)
        assert metrics.by("skein_config_reloads_total", "result") == {"taken": 2, "refused": 1}
        assert [*metrics.by("skein_config_info", "hash")] == [after]


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no JSON": ({"body": b"{"}, "caller_invalid_request", "rejected"),
    "no such model": ({"body": body(model="x")}, "caller_model_unknown", "rejected"),
    "wrong key": ({"authorization": "Bearer nobody-at-all"}, "policy_key_refused", "rejected"),
    "model not allowed": ({"authorization": "Bearer limited-key"}, "policy_model_not_allowed", "rejected"),
    "too large": ({"body": b"x" * 5000}, "caller_too_large", "rejected"),
    "in circles": ({"x_skein_hops": "8"}, "policy_loop_detected", "rejected"),
    "draining": ({}, "gateway_draining", "error"),
}


@pytest.mark.parametrize(("asked", "reason", "outcome"), REFUSED.values(), ids=REFUSED)
def test_who_is_not_served_is_counted_with_the_reason(asked: dict[str, Any], reason: str, outcome: str) -> None:
    keys = [{"name": "all", "key": "team-key-1"}, {"name": "few", "key": "limited-key", "models": ["primary/*"]}]
    extra = {"access": {"mode": "keys", "keys": keys}, "server": {"max_body": 4096}}
    written = io.StringIO()
    with stand("primary", extra=extra, running={"logging": Logging(out=written)}) as s:
        if reason == "gateway_draining":
            s.gateway.call(s.gateway.runtime.drain)
        with s.client() as client:
            client.post(asked.get("body", body()), **{"authorization": "Bearer team-key-1", **_headers(asked)})
            assert client.reply().status >= 400
        metrics = s.metrics()
        assert metrics.by("skein_admission_rejections_total", "reason") == {reason: 1}
        assert metrics.by("skein_requests_total", "outcome") == {outcome: 1}
        assert metrics.by("skein_request_errors_total", "error_type") == {reason: 1}
        assert s.primary.count == 0
    [line] = [json.loads(line) for line in written.getvalue().splitlines() if "request.finished" in line]
    assert (line["outcome"], line["error_type"]) == (outcome, reason)


@pytest.mark.parametrize(("asked", "outcome", "whose"), [
    # The caller named the vendor's model itself; behind a model of ours it is our configuration that names it.
    ("primary/typo", "rejected", "caller_model_unknown"),
    ("m", "error", "provider_model_missing"),
])  # fmt: skip
def test_whose_fault_a_missing_model_is(asked: str, outcome: str, whose: str) -> None:
    with stand("primary") as s:
        s.primary.script(fault("model_missing"))
        assert s.ask(model=asked).status == 404
        metrics = page(s)
        assert metrics.by("skein_requests_total", "outcome") == {outcome: 1}
        assert metrics.by("skein_request_errors_total", "error_type") == {whose: 1}
        assert metrics.by("skein_attempt_errors_total", "fault") == {"provider_model_missing": 1}


def test_a_foreign_page_is_counted_but_is_no_exchange() -> None:
    with stand("primary") as s:
        assert s.ask(headers={"origin": "http://elsewhere.example"}).status == 403
        metrics = page(s)
        assert metrics.by("skein_admission_rejections_total", "reason") == {"policy_foreign_request": 1}
        assert metrics.total("skein_requests_total") == s.primary.count == 0


def _headers(asked: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in asked.items() if name != "body"}


def test_a_defect_of_ours_is_told_once() -> None:
    def fails(*asked: Any) -> None:
        raise ZeroDivisionError("a defect")

    written = io.StringIO()
    with stand("primary", running={"logging": Logging(out=written)}) as s:
        service = s.gateway.runtime.service
        service.gateway = msgspec.structs.replace(service.gateway, plan=fails)
        assert s.ask().status == 500
        metrics = s.metrics()
        assert metrics.by("skein_request_errors_total", "error_type") == {"gateway_internal": 1}
        assert metrics.by("skein_requests_total", "model", "outcome") == {("m", "error"): 1}
        assert metrics.by("skein_requests_in_flight", "route") == {}
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines if line.get("request_id")] == ["handler.crashed", "request.finished"]
    assert lines[0]["exception"] == "ZeroDivisionError"
