"""The spans of every kind of exchange: their tree, their words to the letter, and nothing of what was said in it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from gateway import events
from gateway.chat import Called, Cost, Facts, Heard, Prompt, Usage
from gateway.errors import Fault, FaultKind
from gateway.observe.content import LONGEST, input_messages, redacted
from gateway.observe.protobuf import encode
from gateway.observe.record import Record, Switch
from gateway.observe.traces import PROVIDER_NAMES, Audience, Traces, provider_name, resource
from gateway.routing import Candidate, LeftOut, Plan, Target
from gateway.trace_context import Trace
from gateway.vendors import VENDORS as ALL_VENDORS

ACME, EAST, WEST = Target("acme", "goose-1"), Target("azure-east", "goose-1-east"), Target("west", "swan-2")
VENDORS = {"acme": "openai", "azure-east": "azure_openai", "west": "west"}
USAGE = Usage(input_tokens=120, output_tokens=30, cached_tokens=80, cache_write_tokens=10, reasoning_tokens=12)
SPENT = events.Spent(usage=USAGE, cost=Cost(0.25, "table"))
HEARD = Heard(id="chatcmpl-1", model="goose-1-0801", finish_reasons=("stop",), chunks=12)

LIMITED = Fault(kind=FaultKind.RATE_LIMITED, message="slow down", status=429, retry_after=0.5)
BUSY = Fault(kind=FaultKind.OVERLOADED, message="busy", status=503)
CUT = Fault(kind=FaultKind.BROKEN_STREAM, message="cut", origin="network")
WRONG = Fault(kind=FaultKind.BAD_REQUEST, message="no such field", status=400)


class Story:
    """An exchange, told event by event; each takes a tenth of a second."""

    def __init__(self, **received: Any) -> None:
        self.now, self.record, self.number = 1000.0, Record(id="req-1", span=1), 0
        trace = {"id": 0xABC, "first": 100, "sampled": True} | received.pop("trace", {})
        usual = {"route": "/v1/chat/completions", "client": "10.0.0.7", "user_agent": "goose/1.9"}
        self.tell(events.RequestReceived, trace=Trace(**trace), **usual | received)

    def tell(self, what: type[events.ExchangeEvent], **told: Any) -> Story:
        self.record.take(what(at=round(self.now, 3), exchange_id="req-1", span=1, **told))
        self.now += 0.1
        return self

    def understood(self, plan: bool = True, **changes: Any) -> Story:
        facts = {"model": "gpt-4o", "stream": True} | changes.pop("facts", {})
        usual: dict[str, Any] = {"dialect": "openai_chat", "caller": "ci", "session": None}
        self.tell(events.RequestUnderstood, facts=Facts(**facts), **usual | changes)
        if plan:
            targets, left = (ACME, EAST), (LeftOut(WEST, "breaker open"),)
            self.tell(events.PlanMade, plan=Plan(model="fast", targets=targets, reason="as listed", left_out=left))
        return self

    def attempt(self, target: Target = ACME, kind: str = "primary", **told: Any) -> Story:
        self.number, self.target = self.number + 1, target
        url = f"https://me:pw@{target.provider}.test:8443/v1/chat/completions?key=k"
        return self.tell(events.AttemptStarted, **self._of(), url=url, reason="next", kind=kind, **told)

    def output(self) -> Story:
        return self.tell(events.OutputStarted, **self._of(), seconds=0.1)

    def answered(self, **told: Any) -> Story:
        usual = {"seconds": 0.2, "spent": SPENT, "heard": HEARD}
        return self.tell(events.AttemptSucceeded, **self._of(), **usual | told)

    def failed(self, fault: Fault, **told: Any) -> Story:
        return self.tell(events.AttemptFailed, **self._of(), fault=fault, seconds=0.1, **told)

    def left(self) -> Story:
        return self.tell(events.AttemptAbandoned, **self._of(), seconds=0.1)

    def finished(self, outcome: str = "ok", status: int = 200, **told: Any) -> Story:
        usual = {"model": "fast", "stream": True, "attempts": self.number, "seconds": 1.0, "begun": outcome == "ok"}
        if outcome == "ok":
            usual |= {"spent": SPENT, "heard": HEARD, "target": self.target}
        return self.tell(events.ExchangeFinished, outcome=outcome, status=status, **usual | told)

    def _of(self) -> dict[str, Any]:
        return {"number": self.number, "target": self.target}


def traces(*audiences: Audience, **settings: Any) -> Traces:
    known = {"known": {"fast"}.__contains__, "vendor": VENDORS.__getitem__, "resource": resource({}, "1.2", "i-1")}
    return Traces(audiences, **known | settings)


def spans(story: Story, **settings: Any) -> list[ReadableSpan]:
    """What is offered of a finished story."""
    offered: list[ReadableSpan] = []
    sink = traces(Audience(offered.extend), **settings)
    assert story.record.finished is not None
    sink.take(story.record.finished, story.record)
    sink.settle()
    return offered


def tree(told: list[ReadableSpan]) -> list[str]:
    """Each span a line, two blanks deeper than its parent: kind, name, status."""
    depth: dict[int, int] = {}
    lines = []
    for span in told:
        depth[span.context.span_id] = depth.get(span.parent.span_id, -1) + 1 if span.parent else 0
        status = f"{span.status.status_code.name} {span.status.description or ''}".strip()
        lines.append(f"{'  ' * depth[span.context.span_id]}{span.kind.name} {span.name}: {status}")
    return lines


def words(text: str) -> set[str]:
    return set(text.split())


SERVER = words(
    "http.request.method http.route url.path http.response.status_code user_agent.original client.address"
    " skein.request.id skein.outcome skein.overhead_s langfuse.observation.type langfuse.trace.name"
)
CALLER = words("skein.key.alias user.id")
CALL = words(
    "gen_ai.operation.name gen_ai.provider.name gen_ai.request.model gen_ai.request.stream skein.model skein.outcome"
    " skein.attempts skein.failovers skein.route.policy skein.route.reason skein.route.candidates skein.task.type"
    " skein.route.rule skein.route.role skein.route.kind"
    " langfuse.observation.type user.id"
)
TRIED = words("langfuse.observation.model.name server.address server.port")
OUTPUT = words("gen_ai.response.time_to_first_chunk langfuse.observation.completion_start_time")
ANSWER = words("gen_ai.response.id gen_ai.response.model gen_ai.response.finish_reasons")
USED = words(
    "gen_ai.usage.input_tokens gen_ai.usage.output_tokens gen_ai.usage.cache_read.input_tokens gen_ai.usage.cost"
    " gen_ai.usage.cache_creation.input_tokens gen_ai.usage.reasoning.output_tokens skein.cost.usd skein.cost.source"
    " langfuse.observation.usage_details langfuse.observation.cost_details"
)
NOT_WELL = words("langfuse.observation.level langfuse.observation.status_message")
ATTEMPT = words(
    "http.request.method url.full server.address server.port skein.attempt.number skein.attempt.kind user.id"
    " skein.attempt.reason skein.attempt.provider skein.attempt.model skein.attempt.key skein.attempt.outcome"
    " langfuse.observation.type"
)
FAULT, AGAIN, STATUS = words("error.type skein.fault"), {"http.request.resend_count"}, {"http.response.status_code"}
ERROR, STAGE, TAGS = {"error.type"}, {"skein.stage"}, {"langfuse.trace.tags"}
POST, WELL = "SERVER POST /v1/chat/completions", CALL | TRIED | OUTPUT | ANSWER | USED

# name: (story, tree, the names of each span's attributes)
STORIES: dict[str, tuple[Story, list[str], list[set[str]]]] = {
    "ok": (
        Story().understood().attempt().output().answered().finished(),
        [f"{POST}: UNSET", "  CLIENT chat fast: UNSET", "    CLIENT POST: UNSET"],
        [SERVER | CALLER | TAGS, WELL, ATTEMPT | STATUS],
    ),
    "retry": (
        Story().understood().attempt().failed(LIMITED).attempt(kind="retry", delay=0.05).output().answered().finished(),
        [
            f"{POST}: UNSET",
            "  CLIENT chat fast: UNSET",
            "    CLIENT POST: ERROR provider_rate_limited",
            "    CLIENT POST: UNSET",
        ],
        [
            SERVER | CALLER | TAGS,
            WELL | NOT_WELL,
            ATTEMPT | STATUS | FAULT | {"skein.retry_after_s"},
            ATTEMPT | STATUS | AGAIN,
        ],
    ),
    "failover": (
        Story().understood().attempt().failed(BUSY).attempt(EAST, "fallback").output().answered().finished(),
        [
            f"{POST}: UNSET",
            "  CLIENT chat fast: UNSET",
            "    CLIENT POST: ERROR provider_overloaded",
            "    CLIENT POST: UNSET",
        ],
        [SERVER | CALLER | TAGS, WELL | NOT_WELL, ATTEMPT | STATUS | FAULT, ATTEMPT | STATUS | AGAIN],
    ),
    "mid-stream break": (
        Story()
        .understood()
        .attempt()
        .output()
        .failed(CUT, after_output=True)
        .finished("broken", fault=CUT, target=ACME, begun=True, spent=SPENT),
        [
            f"{POST}: ERROR provider_broken_stream",
            "  CLIENT chat fast: ERROR provider_broken_stream",
            "    CLIENT POST: ERROR provider_broken_stream",
        ],
        [
            SERVER | CALLER | TAGS | ERROR,
            (WELL - ANSWER) | NOT_WELL | ERROR,
            ATTEMPT | STATUS | FAULT,
        ],
    ),
    "resume": (
        Story()
        .understood()
        .attempt()
        .output()
        .failed(CUT, after_output=True, spent=SPENT)
        .attempt(EAST, "fallback")
        .output()
        .answered()
        .finished(),
        [
            f"{POST}: UNSET",
            "  CLIENT chat fast: UNSET",
            "    CLIENT POST: ERROR provider_broken_stream",
            "    CLIENT POST: UNSET",
        ],
        # What the first attempt used was not thrown away: the client has it.
        [SERVER | CALLER | TAGS, WELL | NOT_WELL, ATTEMPT | STATUS | FAULT, ATTEMPT | STATUS | AGAIN],
    ),
    "cancel before the first token": (
        Story().understood().attempt().left().finished("cancelled", 499),
        [f"{POST}: UNSET", "  CLIENT chat fast: UNSET", "    CLIENT POST: UNSET"],
        [
            SERVER | CALLER | TAGS | ERROR | STAGE,
            CALL | TRIED | ERROR | STAGE | NOT_WELL,
            ATTEMPT | ERROR,
        ],
    ),
    "cancel after the first token": (
        Story().understood().attempt().output().left().finished("cancelled", begun=True, target=ACME),
        [f"{POST}: UNSET", "  CLIENT chat fast: UNSET", "    CLIENT POST: UNSET"],
        [
            SERVER | CALLER | TAGS | ERROR | STAGE,
            CALL | TRIED | OUTPUT | ERROR | STAGE | NOT_WELL,
            ATTEMPT | ERROR | STATUS,
        ],
    ),
    "the vendor refuses": (
        Story().understood().attempt().failed(WRONG).finished("error", 400, fault=WRONG, target=ACME),
        [
            f"{POST}: UNSET",
            "  CLIENT chat fast: ERROR caller_invalid_request: HTTP 400",
            "    CLIENT POST: ERROR caller_invalid_request",
        ],
        [
            SERVER | CALLER | TAGS | ERROR,
            CALL | TRIED | ERROR | NOT_WELL,
            ATTEMPT | STATUS | FAULT,
        ],
    ),
    "all fail": (
        Story()
        .understood()
        .attempt()
        .failed(BUSY, spent=SPENT)
        .attempt(EAST, "fallback")
        .failed(BUSY)
        .finished("error", 503, fault=BUSY, target=EAST, spent=SPENT),
        [
            f"{POST}: ERROR provider_overloaded",
            "  CLIENT chat fast: ERROR provider_overloaded: HTTP 503",
            "    CLIENT POST: ERROR provider_overloaded",
            "    CLIENT POST: ERROR provider_overloaded",
        ],
        [
            SERVER | CALLER | TAGS | ERROR,
            CALL | TRIED | ERROR | NOT_WELL | {"skein.wasted.tokens"},
            ATTEMPT | STATUS | FAULT,
            ATTEMPT | STATUS | FAULT | AGAIN,
        ],
    ),
    "reject": (
        Story().finished("error", 401, code="invalid_api_key"),
        [f"{POST}: UNSET"],
        [SERVER | ERROR],
    ),
    "reject by name": (
        Story().understood(plan=False).finished("error", 404, code="model_not_found"),
        [f"{POST}: UNSET"],
        [SERVER | CALLER | ERROR],
    ),
    "crash": (
        Story()
        .understood()
        .tell(
            events.HandlerCrashed,
            traceback='Traceback (most recent call last):\n  File "/a/b.py", line 3, in f\n    boom(x)\nKeyError: "hi"',
        )
        .finished("error", 500, code="internal_error"),
        [f"{POST}: ERROR gateway_internal", "  CLIENT chat fast: ERROR gateway_internal"],
        [SERVER | CALLER | TAGS | ERROR, CALL | ERROR | NOT_WELL],
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_tree_and_words(name: str) -> None:
    story, lines, attributes = STORIES[name]
    told = spans(story)
    assert tree(told) == lines
    assert [set(span.attributes) for span in told] == attributes


@pytest.mark.parametrize("name", STORIES)
def test_one_span_speaks_of_models_and_tokens(name: str) -> None:
    told = spans(STORIES[name][0])
    generations = [span for span in told if any(key.startswith("gen_ai.") for key in span.attributes)]
    assert generations == told[1:2]
    # Any other span with a model or a usage would be a second generation in Langfuse and Phoenix.
    assert [span.attributes["langfuse.observation.type"] for span in told if span not in generations] == ["span"] * (
        len(told) - len(generations)
    )


@pytest.mark.parametrize("name", STORIES)
def test_children_lie_within_their_parents_and_follow_from_the_trace(name: str) -> None:
    told = spans(STORIES[name][0])
    by_id = {span.context.span_id: span for span in told}
    assert list(by_id) == [100 + place for place in range(len(told))]
    for span in told:
        assert span.context.trace_id == 0xABC
        if span.parent is not None:
            parent = by_id[span.parent.span_id]
            assert parent.start_time <= span.start_time <= span.end_time <= parent.end_time


def said(span: ReadableSpan, text: str) -> dict[str, Any]:
    return {name: span.attributes.get(name) for name in text.split()}


def happened(span: ReadableSpan) -> list[tuple[str, float, dict[str, Any]]]:
    return [(each.name, each.timestamp / 1e9, dict(each.attributes or {})) for each in span.events]


def test_failover_to_the_letter() -> None:
    story = Story().understood(session="s-1", prompt=Prompt("reviewer", 3), facts={"parameters": {"temperature": 0.5}})
    story.attempt().failed(LIMITED)
    story.record.switches = (
        Switch(at=1000.5, before=ACME, after=EAST, reason="rate_limited", scope="request", number=2, why="429"),
    )
    story.attempt(EAST, "fallback", delay=0.05, cause="retry_after", key=2).output().answered().finished()
    server, call, first, second = spans(story)
    assert (server.start_time, server.end_time) == (1_000_000_000_000, 1000_800_000_000)
    assert (first.start_time, first.end_time) == (1000_300_000_000, 1000_400_000_000)
    assert second.end_time == 1000_700_000_000
    assert said(server, "langfuse.trace.name langfuse.trace.tags session.id user.id") == {
        "langfuse.trace.name": "chat fast",
        "langfuse.trace.tags": ("chat", "failover"),
        "session.id": "s-1",
        "user.id": "ci",
    }
    assert said(
        call,
        "gen_ai.request.model gen_ai.provider.name gen_ai.conversation.id gen_ai.request.temperature skein.failovers"
        " skein.route.candidates server.address server.port langfuse.observation.level"
        " langfuse.observation.status_message langfuse.observation.prompt.name langfuse.observation.prompt.version",
    ) == {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.conversation.id": "s-1",
        "gen_ai.request.temperature": 0.5,
        "skein.failovers": 1,
        "skein.route.candidates": ("acme/goose-1", "azure-east/goose-1-east"),
        "server.address": "azure-east.test",
        "server.port": 8443,
        "langfuse.observation.level": "WARNING",
        "langfuse.observation.status_message": "answered after provider_rate_limited",
        "langfuse.observation.prompt.name": "reviewer",
        "langfuse.observation.prompt.version": 3,
    }
    rejected = {
        "policy": "priority",
        "rule": "configured",
        "chosen": "acme/goose-1",
        "rejected": ("west/swan-2: breaker open",),
    }
    assert happened(call) == [
        ("skein.route.decision", 1000.2, rejected),
        ("skein.retry.scheduled", 1000.45, {"attempt": 2, "delay_s": 0.05, "cause": "retry_after"}),
        (
            "skein.model.switch",
            1000.5,
            {
                "from": "acme/goose-1",
                "to": "azure-east/goose-1-east",
                "reason": "rate_limited",
                "trigger": "429",
            },
        ),
    ]
    assert said(first, "url.full error.type skein.fault skein.retry_after_s http.response.status_code") == {
        "url.full": "https://acme.test:8443/v1/chat/completions",
        "error.type": "429",
        "skein.fault": "provider_rate_limited",
        "skein.retry_after_s": 0.5,
        "http.response.status_code": 429,
    }
    assert said(second, "http.request.resend_count skein.attempt.kind skein.attempt.key session.id") == {
        "http.request.resend_count": 1,
        "skein.attempt.kind": "fallback",
        "skein.attempt.key": 2,
        "session.id": "s-1",
    }
    assert happened(second) == [
        ("skein.stream.first_token", 1000.5 + 0.1, {}),
        ("skein.stream.end", 1000.7, {"chunks": 12}),
    ]


def test_a_decision_is_told_with_its_evidence() -> None:
    plan = Plan(
        model="fast",
        targets=(ACME, EAST),
        reason="role=lead; turn=6",
        strategy="lead_worker",
        rule="tool_failures",
        evidence=("turn 4: shell: exit code 1", "turn 5: shell: exit code 1"),
        role="lead",
        kind="main",
        turn=6,
        task="code",
        pinned="admin",
        candidates=(Candidate("acme/goose-1", 0.8342, "code 0.83"),),
        left_out=(LeftOut(WEST, "breaker open"),),
        note="the plan's words",
        remember={"plan": "the plan's words"},
    )
    story = Story().understood(plan=False)
    story.tell(events.PlanMade, plan=plan)
    call = spans(story.attempt().output().answered().finished())[1]
    attributes = dict(call.attributes or {})
    assert {name: value for name, value in attributes.items() if name.startswith("skein.route.")} == {
        "skein.route.policy": "lead_worker",
        "skein.route.rule": "tool_failures",
        "skein.route.reason": "role=lead; turn=6",
        "skein.route.role": "lead",
        "skein.route.kind": "main",
        "skein.route.turn": 6,
        "skein.route.pinned": "admin",
        "skein.route.evidence": plan.evidence,
        "skein.route.candidates": ("acme/goose-1", "azure-east/goose-1-east"),
        "skein.route.scores": ("acme/goose-1 0.834: code 0.83",),
    }
    assert attributes["skein.task.type"] == "code"
    name, _, decision = happened(call)[0]
    assert (name, decision) == (
        "skein.route.decision",
        {
            "policy": "lead_worker",
            "rule": "tool_failures",
            "chosen": "acme/goose-1",
            "evidence": plan.evidence,
            "rejected": ("west/swan-2: breaker open",),
        },
    )
    assert "the plan's words" not in str([attributes, happened(call)])


def test_langfuse_reads_what_it_prices() -> None:
    story = Story().understood(facts={"parameters": {"max_tokens": 64}}).attempt().output().answered().finished()
    call = spans(story)[1]
    told = {name: call.attributes[f"langfuse.observation.{name}"] for name in ("type", "completion_start_time")}
    assert told == {"type": "generation", "completion_start_time": "1970-01-01T00:16:40.400000Z"}
    assert call.attributes["langfuse.observation.model.name"] == "goose-1-0801"
    assert json.loads(call.attributes["langfuse.observation.model.parameters"]) == {"max_tokens": 64}
    assert json.loads(call.attributes["langfuse.observation.cost_details"]) == {"total": 0.25}
    usage = json.loads(call.attributes["langfuse.observation.usage_details"])
    assert usage == {
        "input": 30,
        "input_cached_tokens": 80,
        "input_cache_creation": 10,
        "output": 18,
        "output_reasoning_tokens": 12,
        "total": 150,
    }
    assert sum(usage.values()) == 2 * usage["total"], "the kinds are disjoint"


def test_what_a_target_was_not_told_is_on_its_span() -> None:
    story = (
        Story()
        .understood()
        .attempt()
        .tell(events.RequestReduced, number=1, target=Target("one", "m"), dropped=("seed", "n"))
    )
    server, call, attempt = spans(story.output().answered().finished())
    assert attempt.attributes["skein.request.dropped"] == ("seed", "n")
    assert json.loads(call.attributes["langfuse.observation.metadata.dropped"]) == ["seed", "n"]
    assert not [name for name in server.attributes if "dropped" in name]


@pytest.mark.parametrize(("model", "name"), [("fast", "chat fast"), ("made/up-by-a-caller", "chat")])
def test_span_names_are_few(model: str, name: str) -> None:
    story = Story().understood(plan=False)
    story.tell(events.PlanMade, plan=Plan(model=model, targets=(ACME,), reason="direct"))
    assert spans(story.attempt().output().answered().finished())[1].name == name


# The registry's of 2026, but for those that are nobody's here (ibm.watsonx.ai) or of a kind of Azure and Google that is
# told apart more exactly (azure.ai.inference, gcp.gen_ai).
WELL_KNOWN = {
    *("openai", "gcp.vertex_ai", "gcp.gemini", "anthropic", "cohere", "azure.ai.openai", "aws.bedrock", "perplexity"),
    *("x_ai", "deepseek", "groq", "mistral_ai", "moonshot_ai"),
}


def test_vendors_have_the_names_the_conventions_know() -> None:
    assert PROVIDER_NAMES.keys() <= ALL_VENDORS.keys()
    assert set(PROVIDER_NAMES.values()) <= WELL_KNOWN
    assert {provider_name(vendor) for vendor in ALL_VENDORS} >= WELL_KNOWN


def test_trace_goes_on_from_the_client() -> None:
    trace = {"parent": 0x77, "parent_sampled": True, "state": "vendor=1"}
    server, *_ = spans(Story(trace=trace).understood().attempt().answered().finished())
    assert server.parent is not None
    assert (server.parent.span_id, server.parent.is_remote, server.parent.trace_id) == (0x77, True, 0xABC)
    assert server.context.trace_state.get("vendor") == "1"


WELL_TOLD = Story(trace={"sampled": False}).understood().attempt().output().answered().finished()
REFUSED = Story(trace={"sampled": False}).finished("error", 401, code="invalid_api_key")
RETRIED = Story(trace={"sampled": False}).understood().attempt().failed(BUSY).attempt().answered().finished()
FAILED = Story(trace={"sampled": False}).understood().attempt().failed(BUSY).finished("error", 503, fault=BUSY)


@pytest.mark.parametrize(
    ("story", "ratio", "kept"),
    [
        (WELL_TOLD, 0.1, False),
        (REFUSED, 0.1, False),
        (RETRIED, 0.1, True),
        (FAILED, 0.1, True),
        (FAILED, 0.0, False),
        (STORIES["ok"][0], 0.0, True),  # the client has decided
    ],
)
def test_sampling_keeps_what_went_wrong(story: Story, ratio: float, kept: bool) -> None:
    assert bool(spans(story, ratio=ratio)) is kept


def test_an_audience_may_want_calls_alone() -> None:
    all_of_it: list[ReadableSpan] = []
    calls: list[ReadableSpan] = []
    sink = traces(Audience(all_of_it.extend), Audience(calls.extend, calls_only=True))
    for name in ("reject", "ok"):
        record = STORIES[name][0].record
        assert record.finished is not None
        sink.take(record.finished, record)
    sink.settle()
    sink.settle()
    assert (len(all_of_it), len(calls)) == (4, 3)


def test_resource_is_the_operators_word() -> None:
    env = {
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=no,deployment.environment.name=prod%2Feu,broken,=x",
        "OTEL_SERVICE_NAME": "edge",
    }
    assert resource(env, "1.2", "i-1") == {
        "service.name": "edge",
        "service.version": "1.2",
        "service.instance.id": "i-1",
        "langfuse.release": "1.2",
        "deployment.environment.name": "prod/eu",
        "langfuse.environment": "prod/eu",
    }


# Content


CANARY = "canary-in-the-mine"


def telling(length: int = 1) -> Story:
    """The canary is in the prompt, the answer, an argument, the vendor's words and a traceback."""
    asked = {
        "model": "fast",
        "messages": [
            {"role": "system", "content": f"{CANARY} sk-proj-abcdefghij0123456789"},
            {"role": "user", "content": [{"type": "text", "text": CANARY * length}]},
            {"role": "tool", "tool_call_id": "c0", "content": CANARY},
        ],
    }
    fault = msgspec.structs.replace(WRONG, message=CANARY, body=CANARY, param=CANARY)
    reasons = (f"{CANARY} {CANARY}", "stop")
    heard = msgspec.structs.replace(
        HEARD, text=CANARY * length, finish_reasons=reasons, calls=(Called("c1", "shell", f'{{"x": "{CANARY}"}}'),)
    )
    story = Story().understood(body=msgspec.json.encode(asked)).attempt().failed(fault)
    frames = 'Traceback (most recent call last):\n  File "/a.py", line 1, in f\n    g()'
    story.tell(events.HandlerCrashed, traceback=f"{frames}\nKeyError: {CANARY}\n {CANARY}")
    return story.attempt().output().answered(heard=heard).finished(heard=heard, fault=fault)


def test_whose_agent_it_is_stands_on_every_span() -> None:
    own = spans(Story().understood(session="ci:c-1").attempt().output().answered().finished())
    child = spans(Story().understood(session="ci:c-1/a", parent="ci:c-1").attempt().output().answered().finished())
    assert {span.attributes.get("skein.session.parent") for span in own} == {None}
    assert {span.attributes.get("skein.session.parent") for span in child} == {"ci:c-1"}


def test_content_that_is_off_is_nowhere() -> None:
    told = spans(telling())
    sent = encode(told)
    assert CANARY.encode() not in sent
    assert told[1].attributes["gen_ai.response.finish_reasons"] == ("other", "stop")
    assert b'File "/a.py"' in sent


@pytest.mark.parametrize(("content", "longest"), [("truncated", LONGEST + 1), ("full", 100 * len(CANARY))])
def test_content_is_as_much_as_was_allowed(content: str, longest: int) -> None:
    call = spans(telling(100), content=content)[1]
    asked, answered = (json.loads(str(call.attributes[f"gen_ai.{way}.messages"])) for way in ("input", "output"))
    assert [message["role"] for message in asked] == ["system", "user", "tool"]
    assert asked[0]["parts"] == [{"type": "text", "content": f"{CANARY} [redacted]"}]
    assert asked[1]["parts"][0]["content"].rstrip("…") == (CANARY * 100)[: longest - (content == "truncated")]
    assert asked[2]["parts"] == [{"type": "tool_call_response", "id": "c0", "response": CANARY}]
    (answer,) = answered
    assert (answer["role"], answer["finish_reason"]) == ("assistant", "other")
    assert len(answer["parts"][0]["content"]) == longest
    arguments = json.dumps({"x": CANARY})
    assert answer["parts"][1] == {"type": "tool_call", "id": "c1", "name": "shell", "arguments": arguments}
    assert not any(
        CANARY in str(span.attributes) for span in spans(telling(), content=content) if span.kind.name == "SERVER"
    )


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("key sk-proj-abcdefghij0123456789 end", "key [redacted] end"),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer [redacted]"),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[redacted]"),
        ("AIzaSyA-abcdefghijklmnopqrstuvwxyz01234", "[redacted]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- after", "[redacted] after"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE and cut", "[redacted]"),
        ("data:image/png;base64,iVBORw0KGgo= and on", "data:image/png;base64,[cut] and on"),
        ("postgres://me:hunter2@db/x", "postgres://[redacted]@db/x"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "AWS_SECRET_ACCESS_KEY=[redacted]"),
        ('{"password": "correct-horse"}', '{"password": "[redacted]"}'),
        ("write to ada@example.com please", "write to [e-mail] please"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "[redacted]"),
        ("a task-list of risk-averse tokens: 12", "a task-list of risk-averse tokens: 12"),
    ],
)
def test_secrets_do_not_leave(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"messages": 3}', b'{"messages": [1, {"content": [2, {"type": 3}], "tool_calls": 4}]}']
)
def test_any_body_may_come(body: bytes) -> None:
    assert input_messages(body, "full") in (None, b'[{"role":"user","parts":[{"type":"3"}]}]')


def test_import_costs_no_opentelemetry() -> None:
    code = (
        "import sys, gateway.observe.traces, gateway.observe.export, gateway.observe.otlp, gateway.observe.langfuse,"
        " gateway.observe.otel_metrics; print([n for n in ('opentelemetry', 'httpx', 'langfuse', 'grpc')"
        " if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_planner_is_told_as_what_happened_before_the_answer():
    told = Story().understood().attempt(EAST, "planner").answered()
    told.tell(events.PlannerAnswered, advice="plan", target=EAST, seconds=0.25, why="")
    call = spans(told.attempt().output().answered().finished())[1]
    (said,) = [attributes for name, _, attributes in happened(call) if name == "skein.planner.answered"]
    assert said == {"advice": "plan", "seconds": 0.25, "planner": str(EAST)}
