"""One script of mixed requests, by the lane and over ASGI: the same answers, metrics, lines and spans."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from gateway import events
from gateway.observe import traces
from gateway.observe.observability import Logging
from tests.running import Surface
from tests.scripted import Answer, Close, InBandError, Received, Silent, Status, Step, ToolCall, play
from tests.wire.ways import echo, plain, seen

from .setting import MESSAGES, Client, Page, Stand, eventually, request, stand

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
TOOLS = [{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}]
TOOL_TURN: list[Any] = [
    *MESSAGES,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "shell", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "Error: no such file"},
]


class Asked(NamedTuple):
    """``steps``: what the vendors play, one call after the other; ``leaves``: once the vendor has been called."""

    steps: tuple[Step, ...] = ()
    fields: dict[str, Any] = {}
    headers: dict[str, str] = {}
    path: str = CHAT
    method: str = "POST"
    body: bytes | None = None
    leaves: bool = False


BROKE = play(Answer(text="Hello, world, again"), Close("after_output"))
CALLS = Answer(tool_calls=(ToolCall("shell", {"command": "ls"}, id="c1"),))
KINDS: dict[str, Asked] = {
    "plain": Asked(),
    "tools": Asked((CALLS,), {"tools": TOOLS}),
    "a tool's result": Asked((), {"messages": TOOL_TURN, "tools": TOOLS}),
    "session": Asked((), {}, {"x_skein_session": "s-1"}),
    "failed over": Asked((Status(503), Answer(text="second"))),
    "out of options": Asked((Status(503), Status(500))),
    "refused by the vendor": Asked((Status(400),)),
    "rate limited": Asked((Status(429, retry_after=0.0), Answer(text="second"))),
    "an error in a 200": Asked((play(Answer(), InBandError("first")), Answer(text="second"))),
    "broken": Asked((BROKE, Answer(text="second"))),
    "resumed": Asked((BROKE, Answer(text="again")), {"model": "resume"}),
    "held": Asked((BROKE, Answer(text="second")), {"model": "held"}),
    "aborted": Asked((BROKE,), {"model": "abort"}),
    "with usage": Asked((), {"stream_options": {"include_usage": True}}),
    "left": Asked((Silent("before_head"),), leaves=True),
    "unknown model": Asked((), {"model": "gtp-5"}),
    "bad json": Asked(body=b'{"model": '),
    "bad key": Asked(headers={"authorization": "Bearer nobody's"}),
    "too large": Asked(fields={"metadata": {"pad": "x" * 70_000}}),
    "loop": Asked(headers={"x_skein_hops": "8"}),
    "pinned": Asked(headers={"x_skein_model": "held"}),
    "a deployment": Asked(path="/openai/deployments/m/chat/completions?api-version=1"),
    "embeddings": Asked((), {"input": "hi"}, path=EMBEDDINGS),
    "not found": Asked(path="/v1/chat/completion"),
    "wrong method": Asked(method="PUT"),
}
MODELS = {
    name: {"targets": ["a/gpt-4.1", "b/gpt-4.1"], "resilience": settings}
    for name, settings in {
        "held": {"delivery": "held"},
        "resume": {"on_broken_stream": "resume"},
        "abort": {"on_broken_stream": "abort"},
    }.items()
}
KEY = "caller-key-8f3b1c"
EXTRA = {
    "models": MODELS,
    "access": {"mode": "keys", "keys": [{"name": "team", "key": KEY}]},
    "server": {"max_body": "64KiB"},
}


class Told(NamedTuple):
    replies: list[Any]
    metrics: Counter[Any]
    lines: list[Any]
    spans: list[Any]


def script() -> list[tuple[str, Asked]]:
    """Every kind whole and streamed, twice."""
    found = []
    for stream in (False, True, True, False):
        for name, asked in KINDS.items():
            fields = {"user": f"{name}", **asked.fields, **({"stream": True} if stream else {})}
            found.append((f"{name}, {'stream' if stream else 'whole'}", asked._replace(fields=fields)))
    return found


def played(way: str, monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setattr(Surface, "lane", way == "lane")
    written = io.StringIO()
    running = {"logging": Logging(level="debug", out=written)}
    spans: list[ReadableSpan] = []
    with stand("a", "b", extra=EXTRA, running=running, backoff={"jitter": "none"}, retries=0) as s:
        tracer = traces.Traces(
            [traces.Audience(spans.extend)],
            known=lambda model: True,
            vendor=lambda provider: provider,
            resource=traces.resource({}, "0", "both"),
        )
        s.gateway.runtime.service.sample_ratio = 1.0
        s.gateway.call(lambda: s.gateway.runtime.observability.add("traces", tracer))
        replies = []
        client = s.client()
        for name, asked in script():
            said, client = one(s, client, asked)
            replies.append((name, said))
        client.socket.close()
        assert not s.of(events.HandlerCrashed)
        eventually(lambda: s.metrics().by("skein_telemetry_queue_depth", "sink") == {})
        page = s.metrics()
    return Told(replies, counted(page), lines_of(written.getvalue()), shown(spans))


def one(s: Stand, client: Client, asked: Asked) -> tuple[Any, Client]:
    """What is said; on the connection of the last request, if that is still open."""
    steps = iter(asked.steps)

    def decide(call: Received) -> Step:
        return next(steps, None) or echo(call)

    s.a.decide = s.b.decide = decide
    fields = {"model": "m", **({} if "input" in asked.fields else {"messages": MESSAGES}), **asked.fields}
    headers = {"authorization": f"Bearer {KEY}", **asked.headers}
    client.send(request(fields if asked.body is None else asked.body, asked.path, asked.method, **headers))
    told = None
    if asked.leaves:
        eventually(lambda: s.a.playing or s.b.playing)
        client.leave()
        client.ended = True
    else:
        told = seen(client.reply())
    eventually(lambda: not s.gateway.runtime.service.running and not s.a.playing and not s.b.playing)
    over = told is None or not told["whole"] or told["headers"].get("connection") == b"close"
    if over:
        client.socket.close()
    return told, s.client() if over else client


# What a clock or chance says, or which process it is.
PASSING = re.compile(
    r"(_seconds(_sum|_bucket)?|_created|_ratio|_score|_timestamp|bytes.*|_score_.*)$|loop_lag|_connections|_metric_series$|^process_|^python_"
)
CHANCE = re.compile(
    r"(^|[._])(at|ts|time|seconds|s|ms|id|trace|trace_id|span_id|client|url|host|port|.*_s|.*_ms|.*_id|.*duration.*|time_to_.*)$"
)


def counted(page: Page) -> Counter[Any]:
    """Of what is measured in seconds, how many there were. The house looks when it is time, and keeps what it can."""
    found = Counter[Any]()
    for sample in page.samples:
        if sample.labels.get("phase") != "connect" and not PASSING.search(sample.name):
            found[sample.name, *sorted(sample.labels.items())] += sample.value
    return found


def lines_of(written: str) -> list[Any]:
    lines = [json.loads(line) for line in written.splitlines()]
    return sorted((steady(line) for line in lines if line["event"] not in ("stopped", "started")), key=repr)


def shown(spans: list[ReadableSpan]) -> list[Any]:
    return sorted(
        (
            (span.name, span.kind, span.status.status_code, steady(dict(span.attributes or {})),
             [(event.name, steady(dict(event.attributes or {}))) for event in span.events])
            for span in spans
        ),
        key=repr,
    )  # fmt: skip


def steady(said: Any) -> Any:
    if isinstance(said, dict):
        return {name: type(value).__name__ if CHANCE.search(name) else steady(value) for name, value in said.items()}
    if isinstance(said, list | tuple):
        return [steady(each) for each in said]
    return plain(said.encode()) if isinstance(said, str) else said


def test_a_mixed_script_is_answered_and_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lane, asgi = played("lane", monkeypatch), played("asgi", monkeypatch)
    for mine, its in zip(lane.replies, asgi.replies, strict=True):
        assert mine == its
    assert len(lane.replies) == 4 * len(KINDS) >= 100
    assert {**lane.metrics - asgi.metrics, **asgi.metrics - lane.metrics} == {}
    assert len(lane.metrics) > 100
    assert lane.lines == asgi.lines
    assert lane.spans == asgi.spans
    assert len(lane.spans) > 200
