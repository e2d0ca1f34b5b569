"""Turns a finished exchange into its spans: the request, the call to a model it was, and each attempt at that.

    SERVER  POST /v1/chat/completions     what the client saw
    └─ CLIENT  chat fast                  the call as the client means it, with retries and failovers inside
       ├─ CLIENT  POST                    what each vendor did
       └─ CLIENT  POST

Only the span in the middle speaks of models and tokens in the words of the GenAI conventions: a backend that met them
again further down would count them again. Spans are made when all is over, with the times of the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from gateway import events
from gateway.chat import Usage
from gateway.observe import decisions
from gateway.observe.content import LONGEST, Level, Messages, Room, input_messages, output_messages, shown, size_of
from gateway.observe.crashes import crash
from gateway.observe.record import Record, Try
from gateway.observe.vocabulary import word
from gateway.routing import Plan
from gateway.trace_context import Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status

Attributes = dict[str, Any]
Happened = tuple[str, float, Attributes]
"""A span's event: its name, when (epoch seconds), and what is said of it."""

# What the GenAI conventions call a vendor, where that is not what we call it (gen_ai.provider.name):
# https://github.com/open-telemetry/semantic-conventions-genai/blob/main/model/gen-ai/registry.yaml
PROVIDER_NAMES: Mapping[str, str] = {
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "kimi": "moonshot_ai",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}


def provider_name(vendor: str) -> str:
    return PROVIDER_NAMES.get(vendor, vendor)


# Langfuse prices each kind by itself, so they must not overlap: the parts of a Usage do not.
LANGFUSE_KINDS: Mapping[str, str] = {
    "input_uncached": "input",
    "cache_read": "input_cached_tokens",
    "cache_write": "input_cache_creation",
    "output": "output",
    "reasoning": "output_reasoning_tokens",
}


class Audience(NamedTuple):
    """Where spans go. ``calls_only``: nothing of requests that never became a call to a model."""

    offer: Callable[[Sequence[ReadableSpan]], None]
    calls_only: bool = False


class Traces:
    """The sink. ``content`` and ``ratio`` may be set anew at any time.

    ``known(model)``: the public model is one of the configured, and may be part of a span's name. ``vendor(provider)``
    is the vendor's name. ``resource``: who we are, see ``resource()``. ``ratio``: the share of traces that is kept
    (``Trace.sampled`` says which); what failed or failed over is kept beyond it, unless it is 0. ``room``: for the
    conversations that wait to be sent; ``lost("content", reason, count)`` hears of those that there was no room for.
    """

    hears = (events.ExchangeFinished,)

    def __init__(
        self,
        audiences: Iterable[Audience],
        *,
        known: Callable[[str], bool],
        vendor: Callable[[str], str],
        resource: Mapping[str, str],
        content: Level = "off",
        ratio: float = 1.0,
        room: Room | None = None,
        lost: Callable[[str, str, int], None] = lambda sink, reason, count: None,
    ) -> None:
        self.content, self.ratio = content, ratio
        self._room, self._lost = room or Room(), lost
        self._audiences, self._known, self._vendor = tuple(audiences), known, vendor
        self._spans = _Spans(resource)
        self._all: list[ReadableSpan] = []
        self._of_calls: list[ReadableSpan] = []

    def take(self, event: events.Event, record: Record | None) -> None:
        if not isinstance(event, events.ExchangeFinished) or record is None or record.trace is None:
            return
        if record.trace.sampled or (self.ratio > 0 and is_notable(record)):
            spans = self.spans(record, record.trace)
            self._all += spans
            if record.plan is not None:
                self._of_calls += spans

    def settle(self) -> None:
        for audience in self._audiences:
            if spans := self._of_calls if audience.calls_only else self._all:
                audience.offer(spans)
        self._all, self._of_calls = [], []

    def spans(self, record: Record, trace: Trace) -> list[ReadableSpan]:
        """The tree of a finished exchange, parents first."""
        make, common, finished = self._spans, _who(record), record.finished
        assert finished is not None  # noqa: S101
        name = f"{record.received.method if record.received else 'POST'} {record.route}"
        title = name
        if record.understood is not None and record.plan is not None:
            operation = record.understood.facts.operation
            title = f"{operation} {record.model}" if self._known(record.model) else operation
        above = None if trace.parent is None else make.context(trace, trace.parent, remote=True)
        server, told = make.context(trace, trace.server), server_attributes(record, title) | common
        failed = record.error_type if record.outcome in ("error", "timeout") else None
        times = record.began, finished.at
        spans = [make.span(name, server, above, make.server, told, _crash(record), failed, *times)]
        if record.understood is None or record.plan is None:
            return spans
        call, why = make.context(trace, trace.call), self._why(record)
        told = call_attributes(record, self._provider(record), why) | common | self._content(record)
        failed = why if record.outcome in ("error", "timeout", "rejected") else None
        times = record.understood.at, finished.at
        spans.append(make.span(title, call, server, make.client, told, call_events(record), failed, *times))
        for one in record.tries:
            context, told = make.context(trace, trace.attempt(one.number)), attempt_attributes(one) | common
            failed = None if one.fault is None else one.error_type
            times = one.started.at, finished.at if one.ended_at is None else one.ended_at
            spans.append(
                make.span("POST", context, call, make.client, told, attempt_events(record, one), failed, *times)
            )
        return spans

    def _provider(self, record: Record) -> str:
        assert record.plan is not None  # noqa: S101
        target = record.target or next(iter(record.plan.targets), None)
        if target is None:
            return ""
        return provider_name(self._vendor(target.provider))

    def _content(self, record: Record) -> Attributes:
        if self.content == "off" or record.understood is None or record.finished is None:
            return {}
        body, heard, dialect = record.understood.body, record.finished.heard, record.understood.dialect
        told: dict[str, tuple[Callable[[], bytes | None], int]] = {
            "gen_ai.input.messages": (partial(input_messages, body, self.content, dialect), len(body)),
            "gen_ai.output.messages": (partial(output_messages, heard, self.content), size_of(heard)),
        }
        if not self._room.take(sum(size for _, size in told.values())):
            self._lost("content", "queue_full", 1)
            return {"skein.content.left_out": "queue_full"}
        return {name: Messages(write, size, self._room, self._lost) for name, (write, size) in told.items() if size}

    def _why(self, record: Record) -> str:
        """What is to be said of an exchange that did not go well, or not at once; nothing of one that did."""
        if record.outcome == "cancelled":
            return f"the client left: {stage(record)}"
        if record.outcome == "ok":
            failed = [one.error_type or "" for one in record.tries if one.fault is not None]
            return f"answered after {', '.join(failed)}" if failed else ""
        fault = record.finished.fault if record.finished else None
        why = record.error_type or ""
        if fault is not None and fault.status is not None:
            why = f"{why}: HTTP {fault.status}"
        # A vendor's message may quote the prompt.
        longest = _LONGEST_WHY.get(self.content)
        return f"{why}: {shown(fault.message, longest)}" if fault is not None and longest else why


# Characters of a vendor's message.
_LONGEST_WHY: Mapping[Level, int] = {"truncated": LONGEST, "full": 2000}


def is_notable(record: Record) -> bool:
    """Failed, or did not go well at once: worth keeping even where only some traces are."""
    alone = record.planner is not None and record.planner.advice == "failed"
    return record.outcome not in ("ok", "cancelled", "rejected") or len(record.serving) > 1 or alone


def stage(record: Record) -> str:
    return "mid_stream" if record.finished and record.finished.begun else "before_first_token"


# What each span says


def _who(record: Record) -> Attributes:
    """On every span, as Langfuse wants it."""
    told: Attributes = {}
    if record.session:
        told["session.id"] = record.session
    if record.understood and record.understood.parent:
        told["skein.session.parent"] = record.understood.parent
    facts = record.understood.facts if record.understood else None
    if user := (facts.user if facts else None) or record.caller:
        told["user.id"] = user
    return told


def server_attributes(record: Record, title: str) -> Attributes:
    """``title`` is what Langfuse calls the trace."""
    received, finished = record.received, record.finished
    assert received is not None  # noqa: S101
    assert finished is not None  # noqa: S101
    told: Attributes = {
        "http.request.method": received.method,
        "http.route": received.route,
        "url.path": received.route,
        "http.response.status_code": finished.status,
        "skein.request.id": record.id,
        "skein.outcome": record.outcome,
        "skein.overhead_s": finished.overhead,
        "langfuse.observation.type": "span",
        "langfuse.trace.name": title,
    }
    if received.user_agent:
        told["user_agent.original"] = received.user_agent
    if received.client:
        told["client.address"] = received.client
    if record.caller:
        told["skein.key.alias"] = record.caller
    if record.error_type:
        told["error.type"] = record.error_type
    if record.outcome == "cancelled":
        told["skein.stage"] = stage(record)
    if record.plan is not None:
        told["langfuse.trace.tags"] = (record.task, "failover") if record.failovers else (record.task,)
    return told


# One for each choice of an answer.
_MOST_REASONS = 16


# Counting tokens makes nothing: as a generation it would be one without usage and cost.
_OBSERVED = {"embeddings": "embedding", "count_tokens": "span"}


def call_attributes(record: Record, provider: str, why: str) -> Attributes:
    """``why``: what went wrong, if anything did."""
    understood, plan, finished = record.understood, record.plan, record.finished
    assert understood is not None  # noqa: S101
    assert plan is not None  # noqa: S101
    assert finished is not None  # noqa: S101
    facts, heard = understood.facts, finished.heard
    told: Attributes = {
        "gen_ai.operation.name": facts.operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": facts.model,
        "skein.model": plan.model,
        "skein.outcome": record.outcome,
        "skein.attempts": len(record.tries),
        "skein.failovers": record.failovers,
        **_route(plan, record.kind),
        "skein.task.type": record.task,
        "langfuse.observation.type": _OBSERVED.get(facts.operation, "generation"),
    }
    if facts.parameters:
        for name, value in facts.parameters.items():
            told[f"gen_ai.request.{name}"] = value
        told["langfuse.observation.model.parameters"] = _json(facts.parameters)
    if facts.stream:
        told["gen_ai.request.stream"] = True
        if record.first_output is not None and record.output_at is not None:
            told["gen_ai.response.time_to_first_chunk"] = record.first_output
            told["langfuse.observation.completion_start_time"] = _iso(record.output_at)
    if facts.structured:
        told["gen_ai.output.type"] = "json"
    if record.conversation:
        # As the client calls it: our own name for it also says whose key it came with.
        told["gen_ai.conversation.id"] = record.conversation.removeprefix(f"{record.caller}:")
    if heard.id:
        told["gen_ai.response.id"] = heard.id
    if heard.model:
        told["gen_ai.response.model"] = heard.model
    if heard.finish_reasons:
        told["gen_ai.response.finish_reasons"] = tuple(word(each) for each in heard.finish_reasons[:_MOST_REASONS])
    if record.target is not None:
        told["langfuse.observation.model.name"] = heard.model or record.target.model
    if record.tries:
        _, told["server.address"], told["server.port"] = _place(record.tries[-1].started.url)
    if finished.begun or record.outcome == "ok":
        _spent(finished.spent, told)
    if wasted := _wasted(record):
        told["skein.wasted.tokens"] = wasted
    if record.dropped:
        told["langfuse.observation.metadata.dropped"] = _json(record.dropped)
    if understood.prompt is not None:
        told["langfuse.observation.prompt.name"] = understood.prompt.name
        told["langfuse.observation.prompt.version"] = understood.prompt.version
    if record.error_type:
        told["error.type"] = record.error_type
    if record.outcome == "cancelled":
        told["skein.stage"] = stage(record)
    if why:
        told["langfuse.observation.level"] = "WARNING" if record.outcome in ("ok", "cancelled") else "ERROR"
        told["langfuse.observation.status_message"] = why
    return told


def _route(plan: Plan, kind: str) -> Attributes:
    """Why who serves does."""
    told: Attributes = {
        "skein.route.policy": plan.strategy,
        "skein.route.rule": decisions.cut(plan.rule),
        "skein.route.reason": decisions.cut(plan.reason, decisions.LONGEST_REASON),
        "skein.route.role": plan.role,
        "skein.route.kind": kind,
        "skein.route.candidates": decisions.all_cut(map(str, plan.targets)),
    }
    if plan.evidence:
        told["skein.route.evidence"] = decisions.all_cut(plan.evidence)
    if plan.candidates:
        told["skein.route.scores"] = decisions.scores(plan)
    if plan.turn is not None:
        told["skein.route.turn"] = plan.turn
    if plan.pinned is not None:
        told["skein.route.pinned"] = plan.pinned
    return told


def _spent(spent: events.Spent, told: Attributes) -> None:
    """Usage and cost of the attempt that served."""
    if spent.usage is not None:
        _used(spent.usage, told)
    if spent.cost is not None:
        told["skein.cost.usd"] = told["gen_ai.usage.cost"] = spent.cost.usd
        told["skein.cost.source"] = spent.cost.source
        told["langfuse.observation.cost_details"] = _json({"total": spent.cost.usd})


def _used(usage: Usage, told: Attributes) -> None:
    told["gen_ai.usage.input_tokens"] = usage.input_tokens
    told["gen_ai.usage.output_tokens"] = usage.output_tokens
    if usage.cached_tokens:
        told["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.cache_write_tokens:
        told["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        told["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    parts = {LANGFUSE_KINDS[kind]: count for kind, count in usage.parts().items() if count or kind in _ALWAYS}
    parts["total"] = usage.input_tokens + usage.output_tokens
    told["langfuse.observation.usage_details"] = _json(parts)


_ALWAYS = ("input_uncached", "output")


def _wasted(record: Record) -> int:
    """Tokens of attempts of which the client saw nothing."""
    spent = (one.end.spent.usage for one in record.tries if one.outcome != "ok" and one.output_at is None and one.end)
    return sum(usage.input_tokens + usage.output_tokens for usage in spent if usage is not None)


def call_events(record: Record) -> list[Happened]:
    plan = record.plan
    assert plan is not None  # noqa: S101
    decision: Attributes = {"policy": plan.strategy, "rule": decisions.cut(plan.rule)}
    if plan.targets:
        decision["chosen"] = decisions.cut(str(plan.targets[0]))
    if plan.evidence:
        decision["evidence"] = decisions.all_cut(plan.evidence)
    if plan.left_out:
        decision["rejected"] = decisions.all_cut(f"{left.target}: {left.reason}" for left in plan.left_out)
    told: list[Happened] = [("skein.route.decision", record.planned_at, decision)]
    ended = record.planned_at
    for one in record.tries:
        if delay := one.started.delay:
            waited = {"attempt": one.number, "delay_s": delay, "cause": one.started.cause}
            # The loop's timers may strike a little early; nothing is scheduled before what it follows has ended.
            told.append(("skein.retry.scheduled", max(ended, one.started.at - delay), waited))
        ended = one.ended_at or ended
    if planner := record.planner:
        advice: Attributes = {"advice": planner.advice, "seconds": planner.seconds}
        if planner.target:
            advice["planner"] = decisions.cut(str(planner.target))
        if planner.why:
            advice["why"] = planner.why
        told.append(("skein.planner.answered", planner.at, advice))
    for switch in record.switches:
        moved = {
            "from": str(switch.before),
            "to": str(switch.after),
            "reason": switch.reason,
            "trigger": decisions.cut(switch.why, decisions.LONGEST_REASON),
        }
        told.append(("skein.model.switch", switch.at, moved))
    return told


def attempt_attributes(one: Try) -> Attributes:
    started, fault = one.started, one.fault
    url, host, port = _place(started.url)
    told: Attributes = {
        "http.request.method": "POST",
        "url.full": url,
        "server.address": host,
        "server.port": port,
        "skein.attempt.number": started.number,
        "skein.attempt.kind": started.kind,
        "skein.attempt.reason": started.reason,
        "skein.attempt.provider": started.target.provider,
        "skein.attempt.model": started.target.model,
        "skein.attempt.key": started.key,
        "langfuse.observation.type": "span",
    }
    if one.outcome is not None:
        told["skein.attempt.outcome"] = one.outcome
    if one.dropped:
        told["skein.request.dropped"] = one.dropped
    if started.number > 1:
        told["http.request.resend_count"] = started.number - 1
    if fault is not None and fault.status is not None:
        told["http.response.status_code"] = fault.status
    elif one.outcome == "ok" or one.output_at is not None:
        told["http.response.status_code"] = 200
    if fault is not None:
        told["error.type"] = str(fault.status) if fault.status is not None and fault.status >= 400 else one.error_type
        told["skein.fault"] = one.error_type
        if fault.retry_after is not None:
            told["skein.retry_after_s"] = fault.retry_after
    elif one.error_type is not None:
        told["error.type"] = one.error_type
    return told


def attempt_events(record: Record, one: Try) -> list[Happened]:
    if not record.stream or one.output_at is None:
        return []
    told: list[Happened] = [("skein.stream.first_token", one.output_at, {})]
    if isinstance(one.end, events.AttemptSucceeded):
        told.append(("skein.stream.end", one.end.at, {"chunks": one.end.heard.chunks}))
    return told


def _crash(record: Record) -> list[Happened]:
    """Where a defect of ours was."""
    if record.crashed is None or record.finished is None:
        return []
    kind, frames = crash(record.crashed)
    told = {"exception.stacktrace": frames}
    if kind is not None:
        told["exception.type"] = kind
    return [("exception", record.finished.at, told)]


_json_bytes = msgspec.json.Encoder().encode


def _json(value: Any) -> str:
    return _json_bytes(value).decode()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@lru_cache(1024)
def _place(url: str) -> tuple[str, str, int]:
    """A URL without query, fragment and whoever signs in; its host; its port."""
    split = urlsplit(url)
    host = split.hostname or ""
    port = split.port or (443 if split.scheme == "https" else 80)
    netloc = split.netloc.rpartition("@")[2]
    return split._replace(netloc=netloc, query="", fragment="").geturl(), host, port


def host_of(url: str) -> tuple[str, int]:
    """Who is called, and at which port."""
    return _place(url)[1:]


# The resource, and the objects that exporters take


def resource(env: Mapping[str, str], version: str, instance: str) -> dict[str, str]:
    """Who tells: what ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` say goes before what we say ourselves."""
    told = {
        "service.name": "skein",
        "service.version": version,
        "service.instance.id": instance,
        "langfuse.release": version,
    }
    for pair in env.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            told[name.strip()] = unquote(value.strip())
    if name := env.get("OTEL_SERVICE_NAME", "").strip():
        told["service.name"] = name
    if environment := env.get("LANGFUSE_TRACING_ENVIRONMENT", "").strip() or told.get("deployment.environment.name"):
        told["langfuse.environment"] = environment
    return told


class _Spans:
    """Makes finished spans. OpenTelemetry is imported here and not before: who sends no traces does not pay for it."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk import resources
        from opentelemetry.sdk import trace as sdk
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self.server, self.client = trace.SpanKind.SERVER, trace.SpanKind.CLIENT
        self._span, self._event = sdk.ReadableSpan, sdk.Event
        self._context, self._status = trace.SpanContext, trace.Status
        self._state, self._unset, self._error = trace.TraceState, trace.Status(), trace.StatusCode.ERROR
        self._flags = trace.TraceFlags(trace.TraceFlags.DEFAULT), trace.TraceFlags(trace.TraceFlags.SAMPLED)
        self._resource = resources.Resource(dict(resource))
        self._scope = InstrumentationScope("skein", resource.get("service.version"))

    def context(self, trace: Trace, span: int, remote: bool = False) -> SpanContext:
        state = self._state.from_header([trace.state]) if trace.state else None
        return self._context(trace.id, span, remote, self._flags[trace.sampled], state)

    def span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Attributes,
        happened: Sequence[Happened],
        failed: str | None,
        start: float,
        end: float,
    ) -> ReadableSpan:
        """``failed``: in which words it did, if it did."""
        status: Status = self._unset if failed is None else self._status(self._error, failed or None)
        begun = int(start * 1e9)
        return self._span(
            name=name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            events=[self._event(what, said, int(at * 1e9)) for what, at, said in happened],
            kind=kind,
            status=status,
            start_time=begun,
            end_time=max(begun, int(end * 1e9)),
            instrumentation_scope=self._scope,
        )
