"""What a collector receives of every kind of exchange, through the whole gateway and over real sockets."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from gateway.observe.export import Patience, Shipper
from tests.backends import LANGFUSE_TRACES, TRACES, Receiver, Span
from tests.backends.grpc_receiver import GrpcReceiver
from tests.scripted import (
    Answer,
    InBandError,
    Reset,
    Silent,
    Slow,
    Status,
    Step,
    ToolCall,
    play,
    policy_refused,
    rate_limited,
)

from .setting import MOMENT, Stand, Told, body, merged, request, stand

KEY = "sk-caller-4f1d90c2"
KEYS: dict[str, Any] = {"access": {"mode": "keys", "keys": [{"name": "ci", "key": KEY}]}}
PRICED: dict[str, Any] = {"observe": {"prices": {"gpt-4.1": {"input": 1, "output": 10, "cached": 0.5}}}}
USAGE: dict[str, Any] = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens_details": {"reasoning_tokens": 40},
}
NO_PATIENCE = {"retries": 0}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is not waited for, and nothing leaves the machine."""
    monkeypatch.setattr("gateway.observing.Shipper", partial(Shipper, patience=Patience(linger=0.01)))
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def told_to(url: str, **settings: Any) -> dict[str, Any]:
    return {"observe": {"otlp": {"endpoint": url, **settings}}}


# Reading a trace ------------------------------------------------------------------------------------------------------


def traces(spans: Sequence[Span]) -> dict[str, list[Span]]:
    """Trace id -> its spans as they were numbered: the server's, the call's, the attempts'."""
    found = defaultdict(list)
    for span in spans:
        found[span.trace_id].append(span)
    return {trace: sorted(told, key=lambda span: span.span_id) for trace, told in found.items()}


def sent(receiver: Receiver, told: Told) -> list[Span]:
    """The spans of the exchange that was answered so, once all of it is there."""
    trace, server = told.headers["traceresponse"].split("-")[1:3]
    receiver.wait_until(lambda each: any(span.span_id == server for span in each.spans()))
    return traces(receiver.spans())[trace]


def tree(spans: Sequence[Span]) -> list[str]:
    """Each span a line, two blanks deeper than its parent: name, whom it called how, status, what it says of itself."""
    depth: dict[str | None, int] = {}
    lines = []
    for span in spans:
        depth[span.span_id] = depth.get(span.parent_id, -1) + 1
        said = span.attributes
        called = [said.get("skein.attempt.provider"), said.get("skein.attempt.kind")]
        words = [span.kind, span.name, *called, said.get("http.response.status_code"), span.status, span.status_message]
        lines.append("  " * depth[span.span_id] + " ".join(str(word) for word in words if word))
    return lines


def is_well_formed(spans: Sequence[Span], s: Stand) -> None:
    """The laws that hold for every exchange, however it ended."""
    server, by_id = spans[0], {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    for span in spans[1:]:
        assert span.parent_id is not None
        parent = by_id[span.parent_id]
        assert parent.start <= span.start <= span.end <= parent.end, tree(spans)
    for span in spans:
        assert all(span.start <= event.time <= span.end for event in span.events), span
        assert (span.scope, span.resource["service.name"]) == ("skein", "skein")
    # The attempts one after the other, and each was known to its vendor by the id it has here.
    attempts = [span for span in spans if "skein.attempt.number" in span.attributes]
    assert all(one.end <= other.start for one, other in pairwise(attempts))
    calls = sorted((call for vendor in s.vendors.values() for call in vendor.received), key=lambda call: call.began)
    told = [call.headers["traceparent"] for call in calls if server.trace_id in call.headers["traceparent"]]
    assert told == [f"00-{span.trace_id}-{span.span_id}-01" for span in attempts]
    speaking = [span for span in spans if any(name.startswith("gen_ai.") for name in span.attributes)]
    assert speaking == spans[1:2] or (not speaking and len(spans) == 1)


def spent(spans: Sequence[Span]) -> dict[str, int]:
    """The tokens of the one span that tells any."""
    telling = [span for span in spans if any(name.startswith("gen_ai.usage.") for name in span.attributes)]
    assert len(telling) <= 1
    return {
        name.removeprefix("gen_ai.usage."): value
        for span in telling
        for name, value in span.attributes.items()
        if name.startswith("gen_ai.usage.") and name.endswith("tokens")
    }


# Every kind of exchange -----------------------------------------------------------------------------------------------

POST = "SERVER POST /v1/chat/completions"


class Path(NamedTuple):
    """``a``, ``b``: what the vendors do, call by call."""

    a: tuple[Step, ...]
    tree: tuple[str, ...]
    b: tuple[Step, ...] = ()
    stream: bool = True
    settings: dict[str, Any] = {}
    usage: bool = True
    """Whether the call tells what was used."""


TOLD = Answer(usage=USAGE)
PATHS: dict[str, Path] = {
    "ok": Path((TOLD,), (f"{POST} 200 UNSET", "  CLIENT chat m UNSET", "    CLIENT POST a primary 200 UNSET")),
    "ok, whole": Path(
        (TOLD,),
        (f"{POST} 200 UNSET", "  CLIENT chat m UNSET", "    CLIENT POST a primary 200 UNSET"),
        stream=False,
    ),
    "retry": Path(
        (Status(503), TOLD),
        (
            f"{POST} 200 UNSET",
            "  CLIENT chat m UNSET",
            "    CLIENT POST a primary 503 ERROR provider_overloaded",
            "    CLIENT POST a retry 200 UNSET",
        ),
    ),
    "failover": Path(
        (Reset("before_head"),),
        (
            f"{POST} 200 UNSET",
            "  CLIENT chat m UNSET",
            "    CLIENT POST a primary ERROR provider_connection_failed",
            "    CLIENT POST b fallback 200 UNSET",
        ),
        b=(TOLD,),
        settings=NO_PATIENCE,
    ),
    "all fail": Path(
        (Status(500),),
        (
            f"{POST} 503 ERROR provider_overloaded",
            "  CLIENT chat m ERROR provider_overloaded: HTTP 503",
            "    CLIENT POST a primary 500 ERROR provider_server_error",
            "    CLIENT POST b fallback 503 ERROR provider_overloaded",
        ),
        b=(Status(503),),
        settings=NO_PATIENCE,
        usage=False,
    ),
    "a break is an error": Path(
        (Reset("after_output"),),
        (
            f"{POST} 200 ERROR provider_broken_stream",
            "  CLIENT chat m ERROR provider_broken_stream",
            "    CLIENT POST a primary 200 ERROR provider_broken_stream",
        ),
        settings={"on_broken_stream": "error"},
        usage=False,
    ),
    "a break aborts": Path(
        (play(Slow(between=0.05), InBandError("after_output", outputs=2)),),
        (
            f"{POST} 200 ERROR provider_broken_stream",
            "  CLIENT chat m ERROR provider_broken_stream",
            "    CLIENT POST a primary 200 ERROR provider_broken_stream",
        ),
        settings={"on_broken_stream": "abort"},
        usage=False,
    ),
    "a break is resumed": Path(
        (Reset("after_output"),),
        (
            f"{POST} 200 UNSET",
            "  CLIENT chat m UNSET",
            "    CLIENT POST a primary 200 ERROR provider_broken_stream",
            "    CLIENT POST b fallback 200 UNSET",
        ),
        b=(TOLD,),
        settings={"on_broken_stream": "resume", **NO_PATIENCE},
    ),
    "the vendor refuses": Path(
        (policy_refused(),),
        (
            f"{POST} 400 UNSET",
            "  CLIENT chat m ERROR caller_content_refused: HTTP 400",
            "    CLIENT POST a primary 400 ERROR caller_content_refused",
        ),
        usage=False,
    ),
    "the client's time is over": Path(
        (Silent("before_head"),),
        (
            f"{POST} 504 ERROR caller_deadline",
            "  CLIENT chat m ERROR caller_deadline",
            "    CLIENT POST a primary ERROR caller_deadline",
        ),
        usage=False,
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_every_path_has_its_tree(name: str) -> None:
    path = PATHS[name]
    with Receiver() as receiver, stand("a", "b", extra=told_to(receiver.url), **path.settings) as s:
        s.a.script(*path.a)
        s.b.script(*path.b)
        headers = {"x_skein_timeout": "500ms"} if Silent("before_head") in path.a else {}
        spans = sent(receiver, s.ask(path.stream, headers))
        assert tuple(tree(spans)) == path.tree
        is_well_formed(spans, s)
        told = {"cache_read.input_tokens": 400, "reasoning.output_tokens": 40}
        assert spent(spans) == ({"input_tokens": 1000, "output_tokens": 100, **told} if path.usage else {})


@pytest.mark.parametrize(
    ("at_point", "stage", "statuses"),
    [("before_head", "before_first_token", (499, None)), ("after_output", "mid_stream", (499, 200))],
)
def test_a_client_that_leaves(at_point: Any, stage: str, statuses: tuple[int, int | None]) -> None:
    with Receiver() as receiver, stand("a", extra=told_to(receiver.url)) as s:
        s.a.otherwise = Silent(at_point)
        with s.client() as client:
            client.post(body(True))
            s.a.wait_until(lambda vendor: vendor.counts_by_step)
            if at_point == "after_output":
                client.see(b"Hello")
            client.leave()
        server, call, attempt = spans = sorted(receiver.wait_for(3), key=lambda span: span.span_id)
        is_well_formed(spans, s)
        assert [span.status for span in spans] == ["UNSET"] * 3
        assert [span.attributes["error.type"] for span in spans] == ["caller_cancelled"] * 3
        assert [span.attributes["skein.stage"] for span in (server, call)] == [stage] * 2
        assert tuple(span.attributes.get("http.response.status_code") for span in (server, attempt)) == statuses
        assert call.attributes["skein.outcome"] == attempt.attributes["skein.attempt.outcome"] == "cancelled"


REFUSALS: dict[str, tuple[dict[str, Any], dict[str, str], int, str]] = {
    "wrong key": ({}, {"authorization": "Bearer wrong"}, 401, "policy_key_refused"),
    "unknown model": ({"model": "gpt-4.1x"}, {}, 404, "caller_model_unknown"),
    "no request": ({"model": 3}, {}, 400, "caller_invalid_request"),
    "no timeout": ({}, {"x_skein_timeout": "soon"}, 400, "caller_invalid_request"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_has_a_server_span_and_no_call(name: str) -> None:
    fields, headers, status, why = REFUSALS[name]
    with Receiver() as receiver, stand("a", extra=merged(KEYS, told_to(receiver.url))) as s:
        told = s.ask(headers={"authorization": f"Bearer {KEY}"} | headers, **fields)
        (span,) = sent(receiver, told)
        assert (told.status, s.a.count) == (status, 0)
        assert tree([span]) == [f"{POST} {status} UNSET"]
        assert (span.attributes["error.type"], span.attributes["skein.outcome"]) == (why, "rejected")
        assert span.attributes["skein.request.id"] == told.headers["x-request-id"]


@pytest.mark.parametrize("where", ["gateway.relay.next_attempt", "gateway.attempt.read_all"])
def test_a_crash_says_where_and_nothing_else(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any call; and in the middle of one."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("the canary's words")

    with Receiver() as receiver, stand("a", extra=told_to(receiver.url)) as s:
        monkeypatch.setattr(where, broken)
        told = s.ask()
        server, _, *attempts = spans = sent(receiver, told)
        is_well_formed(spans, s)
        assert (told.status, len(attempts)) == (500, s.a.count)
        assert tree(spans)[:2] == [f"{POST} 500 ERROR gateway_internal", "  CLIENT chat m ERROR gateway_internal"]
        assert [attempt.attributes["skein.attempt.outcome"] for attempt in attempts] == ["cancelled"] * len(attempts)
        crash = server.event("exception").attributes
        assert crash["exception.type"] == "RuntimeError"
        assert "line " in crash["exception.stacktrace"]
        assert not any(b"canary" in request.body for request in receiver.requests)


def test_a_crash_after_the_head_does_not_change_what_the_client_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as receiver, stand("a", extra=told_to(receiver.url)) as s:
        monkeypatch.setattr("gateway.relay.Clocks", None)
        told = s.ask(True)
        assert (told.status, told.whole) == (200, False)
        spans = sent(receiver, told)
        is_well_formed(spans, s)
        assert tree(spans) == [
            f"{POST} 200 ERROR gateway_internal",
            "  CLIENT chat m ERROR gateway_internal",
            "    CLIENT POST a primary 200 UNSET",
        ]
        assert spans[0].event("exception").attributes["exception.type"] == "TypeError"


@pytest.mark.parametrize("ends", ["whole", "refused", "left"])
def test_a_client_that_takes_its_time_is_no_overhead(ends: str) -> None:
    with Receiver() as receiver, stand("a", extra=told_to(receiver.url)) as s, s.client() as client:
        data = request(body())
        client.send(data[:-5])
        assert client.silent(MOMENT)
        if ends == "left":
            client.leave()
        else:
            client.send(data[-5:] if ends == "whole" else b"\x00" * 5)
        receiver.wait_until(lambda each: any(span.kind == "SERVER" for span in each.spans()))
        server = receiver.span("POST /v1/chat/completions")
        assert server.attributes["skein.outcome"] == {"whole": "ok", "refused": "rejected", "left": "cancelled"}[ends]
        assert server.attributes["skein.overhead_s"] < server.seconds - MOMENT / 2


# To the letter --------------------------------------------------------------------------------------------------------


def test_a_failover_to_the_letter() -> None:
    """503 and a wait, 429, another target, a streamed answer: all that is said of it."""
    settings = merged(merged(KEYS, PRICED), {"models": {"coder": {"targets": ["a/gpt-4.1", "b/gpt-4.1"]}}})
    with Receiver() as receiver, stand("a", "b", extra=merged(settings, told_to(receiver.url)), retries=1) as s:
        s.a.script(Status(503), rate_limited("retry_after_ms", 20))
        s.b.script(play(Answer("Hello.", usage=USAGE, model="gpt-4.1-2025"), Silent("after_output", seconds=MOMENT)))
        headers = {"authorization": f"Bearer {KEY}", "user_agent": "goose/1.9", "x_skein_session": "s-1"}
        headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"
        told = s.ask(True, headers, model="coder", temperature=0.5, max_tokens=64)
        assert told.text == "Hello."
        server, call, first, second, third = spans = sent(receiver, told)
        is_well_formed(spans, s)
    who = {"session.id": "ci:s-1", "user.id": "ci"}
    overhead = server.attributes.pop("skein.overhead_s")
    assert 0 < overhead < server.seconds
    assert server.parent_id == PARENT
    assert server.attributes == who | {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "url.path": "/v1/chat/completions",
        "http.response.status_code": 200,
        "user_agent.original": "goose/1.9",
        "client.address": "127.0.0.1",
        "skein.request.id": told.headers["x-request-id"],
        "skein.key.alias": "ci",
        "skein.outcome": "ok",
        "langfuse.trace.name": "chat coder",
        "langfuse.trace.tags": ["chat", "failover"],
        "langfuse.observation.type": "span",
    }
    said = call.attributes
    usage, cost = said.pop("langfuse.observation.usage_details"), said.pop("langfuse.observation.cost_details")
    assert json.loads(usage) == {
        "input": 600,
        "input_cached_tokens": 400,
        "output": 60,
        "output_reasoning_tokens": 40,
        "total": 1100,
    }
    # 600 at 1 $, 400 at 0.5 $, 100 at 10 $ for a million.
    assert json.loads(cost) == {"total": pytest.approx(0.0018)}
    assert {said.pop(name) for name in ("gen_ai.usage.cost", "skein.cost.usd")} == {json.loads(cost)["total"]}
    assert json.loads(said.pop("langfuse.observation.model.parameters")) == {"temperature": 0.5, "max_tokens": 64}
    output = third.event("skein.stream.first_token").time
    assert said.pop("gen_ai.response.time_to_first_chunk") == pytest.approx((output - server.start) / 1e9, abs=1e-5)
    assert said.pop("langfuse.observation.completion_start_time").startswith("20")
    assert said.pop("gen_ai.response.id").startswith("chatcmpl-")
    assert said.pop("server.port") == s.b.port
    assert said == who | {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "coder",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.conversation.id": "s-1",
        "gen_ai.response.model": "gpt-4.1-2025",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "gen_ai.usage.reasoning.output_tokens": 40,
        "server.address": "127.0.0.1",
        "skein.model": "coder",
        "skein.outcome": "ok",
        "skein.attempts": 3,
        "skein.failovers": 1,
        "skein.route.policy": "priority",
        "skein.route.reason": "in the order configured",
        "skein.route.candidates": ["a/gpt-4.1", "b/gpt-4.1"],
        "skein.route.rule": "configured",
        "skein.route.role": "none",
        "skein.route.kind": "unread",
        "skein.task.type": "chat",
        "skein.cost.source": "override",
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4.1-2025",
        "langfuse.observation.level": "WARNING",
        "langfuse.observation.status_message": "answered after provider_overloaded, provider_rate_limited",
    }
    assert call.event("skein.route.decision").attributes == {
        "policy": "priority",
        "rule": "configured",
        "chosen": "a/gpt-4.1",
    }
    waited = call.event("skein.retry.scheduled")
    assert (waited.attributes["attempt"], waited.attributes["cause"]) == (2, "backoff")
    assert first.end <= waited.time <= second.start
    moved = call.event("skein.model.switch").attributes
    assert (moved["from"], moved["to"], moved["reason"]) == ("a/gpt-4.1", "b/gpt-4.1", "rate_limited")
    faults = [("503", "provider_overloaded"), ("429", "provider_rate_limited"), (None, None)]
    for number, (span, provider, fault) in enumerate(zip((first, second, third), "aab", faults, strict=True)):
        said = span.attributes
        assert said["url.full"] == f"{s.vendors[provider].base_url}/chat/completions"
        assert (said["skein.attempt.number"], said.get("http.request.resend_count", 0)) == (number + 1, number)
        assert (said["skein.attempt.provider"], said["skein.attempt.model"]) == (provider, "gpt-4.1")
        assert (said.get("error.type"), said.get("skein.fault")) == fault
        assert said["langfuse.observation.type"] == "span"
    assert second.attributes["skein.retry_after_s"] == pytest.approx(20)
    # It ends with the last byte, long after its head and its first token.
    assert third.end - output >= MOMENT * 1e9
    assert third.event("skein.stream.end").time == third.end <= call.end == server.end


def test_a_vendor_that_is_none_of_ours_is_not_told_the_trace() -> None:
    with Receiver() as receiver:
        settings = merged(told_to(receiver.url), {"observe": {"propagate_to": ["*.internal"]}})
        with stand("a", extra=settings) as s:
            told = s.ask(headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"})
            assert len(sent(receiver, told)) == 3
            assert not {"traceparent", "tracestate"} & s.a.received[0].headers.keys()


# Which traces are kept ------------------------------------------------------------------------------------------------

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FAILS, RETRIES, WELL = (Status(400),), (Status(500), Answer()), (Answer(),)


@pytest.mark.parametrize(
    ("ratio", "flag", "steps", "kept"),
    [
        (1.0, "01", WELL, True),
        (1.0, "00", WELL, False),
        (0.01, "01", WELL, True),
        (0.01, "00", WELL, False),
        (0.01, "00", FAILS, False),  # the caller's fault: nothing that failed
        (0.01, "00", (Reset("after_output"),), True),
        (0.01, "00", RETRIES, True),
        (0.0, "00", RETRIES, False),
        (0.0, "00", (Reset("after_output"),), False),
        (0.0, "01", WELL, True),
    ],
)
def test_the_client_decides_and_failures_are_kept(ratio: float, flag: str, steps: tuple[Step, ...], kept: bool) -> None:
    with Receiver() as receiver:
        with stand("a", extra=told_to(receiver.url, sample_ratio=ratio)) as s:
            s.a.script(*steps)
            told = s.ask(True, {"traceparent": f"00-{TRACE}-{PARENT}-{flag}", "tracestate": "vendor=1"})
            assert told.headers["traceresponse"].startswith(f"00-{TRACE}-")
            assert told.headers["traceresponse"].endswith(f"-{flag}")
            for call in s.a.received:
                assert call.headers["traceparent"].split("-")[1::2] == [TRACE, flag]
                assert call.headers["tracestate"] == "vendor=1"
        spans = traces(receiver.spans())
        assert list(spans) == [TRACE] * kept
        assert [span.parent_id for told in spans.values() for span in told[:1]] == [PARENT] * kept


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.3])
def test_a_share_of_new_traces_and_all_failures(ratio: float) -> None:
    """The head of the answer says which were kept."""
    with Receiver() as receiver:
        with stand("a", extra=told_to(receiver.url, sample_ratio=ratio), retries=0) as s, s.client() as client:
            s.a.decide = lambda call: Status(500) if call.fields.get("user") == "fails" else None
            kept, low = set(), []
            for number in range(300):
                fails = number % 30 == 7
                client.post(body(user="fails" if fails else "well"))
                _, trace, _, flag = client.reply().headers["traceresponse"].split("-")
                low.append((int(trace[16:], 16) < ratio * 2**64) == (flag == "01"))
                if flag == "01" or (fails and ratio):
                    kept.add(trace)
        assert all(low)
        assert {span.trace_id for span in receiver.spans()} == kept
        assert len(receiver.spans()) == 3 * len(kept)


# Where they go --------------------------------------------------------------------------------------------------------


class Variables(NamedTuple):
    """``env``: variables, in which {url} is the receiver's."""

    env: dict[str, str]
    path: str | None = TRACES
    settings: dict[str, Any] = {}


VARIABLES: dict[str, Variables] = {
    "for all signals": Variables({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}"}),
    "for traces": Variables({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{url}" + LANGFUSE_TRACES}, LANGFUSE_TRACES),
    "the setting goes first": Variables(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, settings={"endpoint": "{url}"}
    ),
    "a sampler": Variables({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_TRACES_SAMPLER": "always_off"}, None),
    "a ratio": Variables(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "{url}",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0",
        },
        None,
    ),
    "disabled": Variables({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_SDK_DISABLED": "true"}, None),
    "no exporter": Variables({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_TRACES_EXPORTER": "none"}, None),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_in_place_of_settings(name: str) -> None:
    env, path, settings = VARIABLES[name]
    more = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue%20sky",
        "OTEL_SERVICE_NAME": "lead",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging,team=platform",
    }
    with Receiver() as receiver:
        env = {name: value.replace("{url}", receiver.url) for name, value in (env | more).items()}
        extra = {"observe": {"otlp": {name: value.replace("{url}", receiver.url) for name, value in settings.items()}}}
        with stand("a", extra=extra, running={"env": env}) as s:
            assert s.ask().status == 200
        assert set(receiver.accepted) == {path} - {None}
        assert len(receiver.requests) == len(receiver.accepted)
        for request in receiver.requests:
            assert request.headers["x-team"] == "blue sky"
        for span in receiver.spans():
            told = {"service.name": "lead", "team": "platform", "langfuse.environment": "staging"}
            assert told.items() <= span.resource.items()


@pytest.mark.parametrize("by", ["setting", "variable"])
def test_over_grpc(by: str) -> None:
    with GrpcReceiver() as receiver:
        extra, env = told_to(receiver.url, protocol="grpc", headers={"x-team": "blue"}), {}
        if by == "variable":
            extra, env = {}, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
            env["OTEL_EXPORTER_OTLP_HEADERS"] = "x-team=blue"
        with stand("a", extra=extra, running={"env": env}) as s:
            s.a.script(Status(500), TOLD)
            s.ask(True)
            spans = sorted(receiver.wait_for(4), key=lambda span: span.span_id)
            is_well_formed(spans, s)
            assert [span.status for span in spans] == ["UNSET", "UNSET", "ERROR", "UNSET"]
            assert spent(spans)["input_tokens"] == 1000
        assert {request.headers["x-team"] for request in receiver.requests} == {"blue"}


# Content --------------------------------------------------------------------------------------------------------------

ASKED, ANSWERED, ARGUED, REFUSED = "canary-asked", "canary-answered", "canary-argued", "canary-refused"
TYPED = "sk-proj-9Jx2mQ7rT4vB8nL1cZ5wK3"
ALL = (ASKED, ANSWERED, ARGUED, REFUSED, TYPED)


def converse(s: Stand) -> None:
    """A streamed answer, a whole one, a tool call, and a refusal that quotes the prompt."""
    long = f"{ASKED} my key is {TYPED} " + "x" * 1000
    refusal = {"error": {"message": f"no {REFUSED} here", "type": "invalid_request_error"}}
    answer = f"{ANSWERED} {TYPED} " + "y" * 1000
    s.a.script(
        Answer(answer), Answer(answer), Answer(tool_calls=(ToolCall("shell", {"x": ARGUED}),)), Status(400, refusal)
    )
    for stream in (True, False, True, False):
        s.ask(stream, messages=[{"role": "user", "content": long}])


@pytest.mark.parametrize(
    ("content", "seen", "longest"),
    [("off", (), (0, 0)), ("truncated", ALL[:4], (201, 201)), ("full", ALL[:4], (1000, 1100))],
)
def test_content_is_what_was_allowed_and_never_a_key(
    content: str, seen: tuple[str, ...], longest: tuple[int, int]
) -> None:
    with Receiver() as receiver:
        langfuse = {"public_key": "pk-lf-1", "secret_key": "sk-lf-2", "host": receiver.url}
        extra = merged(told_to(receiver.url), {"observe": {"content": content, "langfuse": langfuse}})
        with stand("a", extra=extra) as s:
            converse(s)
        assert receiver.accepted == Counter({TRACES: 12, LANGFUSE_TRACES: 12})
        told = b"".join(request.body for request in receiver.requests)
        assert {word for word in ALL if word.encode() in told} == set(seen)
        assert b"sk-a-Xq7vR2mB9" not in told
        holding = [(span, name) for span in receiver.spans() for name in span.attributes if name.endswith(".messages")]
        assert {span.attributes["langfuse.observation.type"] for span, _ in holding} <= {"generation"}
        texts = [
            part.get("content", "")
            for span, name in holding
            for message in json.loads(span.attributes[name])
            for part in message["parts"]
        ]
        assert longest[0] <= max(map(len, texts), default=0) <= longest[1]
