"""The scripted vendor is what it says on the wire: without that, no test against it means anything."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from gateway.errors import FaultKind
from tests.scripted import (
    BROKEN,
    FAULTS,
    HARMLESS,
    HIDDEN,
    HINTS,
    RETRY_AFTER,
    TEXT,
    TOOLS,
    Answer,
    Close,
    Die,
    InBandError,
    NoFinish,
    Raw,
    Received,
    Reset,
    ScriptedVendor,
    Silent,
    Slow,
    Status,
    Step,
    ToolCall,
    agent_story,
    fault,
    hanging,
    named,
    play,
    rate_limited,
    refusing,
)
from tests.scripted.__main__ import read_story

CHAT: dict[str, Any] = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
STREAM = CHAT | {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedVendor]:
    with ScriptedVendor.in_thread() as vendor:
        yield vendor


@pytest.fixture
def vendor(running: ScriptedVendor) -> Iterator[ScriptedVendor]:
    running.script()
    running.wait_until(lambda v: not v.open_connections)
    running.forget()
    yield running
    assert not running.errors
    running.decide = running.listing = None


class Wire:
    """One client connection, bytes as they are."""

    def __init__(self, vendor: ScriptedVendor) -> None:
        self.socket = socket.create_connection((vendor.host, vendor.port), 20.0)

    def ask(self, body: dict[str, Any], path: str = "/v1/chat/completions", headers: str = "") -> Wire:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(data)}\r\n\r\n"
        self.socket.sendall(head.encode() + data)
        return self

    def all(self) -> tuple[bytes, str]:
        """What came until the connection ended, and how it ended."""
        came = b""
        try:
            while data := self.socket.recv(65536):
                came += data
        except ConnectionResetError:
            return came, "reset"
        except TimeoutError:
            return came, "timeout"
        finally:
            self.socket.close()
        return came, "closed"

    def until(self, pattern: bytes) -> bytes:
        came = b""
        while not re.search(pattern, came):
            data = self.socket.recv(65536)
            assert data, came
            came += data
        return came

    def close(self) -> float:
        self.socket.close()
        return time.monotonic()


def wire(vendor: ScriptedVendor, step: Step, body: dict[str, Any] = STREAM) -> tuple[bytes, str]:
    vendor.script(step)
    return Wire(vendor).ask(body, headers="connection: close\r\n").all()


def post(vendor: ScriptedVendor, step: Step, body: dict[str, Any] = CHAT) -> httpx.Response:
    vendor.script(step)
    return httpx.post(f"{vendor.base_url}/chat/completions", json=body, verify=False, timeout=20)


def events(text: str) -> list[Any]:
    """A plain reader of event streams, by the book."""
    found: list[Any] = []
    for block in re.split(r"(?:\r\n|\r|\n){2,}", text.removeprefix("\ufeff")):
        lines = re.split(r"\r\n|\r|\n", block)
        if data := "\n".join(line[5:].removeprefix(" ") for line in lines if line.startswith("data:")):
            found.append(data if data == "[DONE]" else json.loads(data))
    return found


def said(found: list[Any]) -> str:
    chunks = [event for event in found if isinstance(event, dict)]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ()))


# --- answers


def test_whole_answer(vendor: ScriptedVendor) -> None:
    answer = Answer("hi", reasoning="hm", tool_calls=(ToolCall("shell", {"a": 1}),), n=2, extra={"x_new": 1})
    body = post(vendor, answer).json()
    assert body["choices"][1]["message"] | {"annotations": 0} == {
        "role": "assistant",
        "content": "hi",
        "refusal": None,
        "annotations": 0,
        "reasoning_content": "hm",
        "tool_calls": [
            {
                "id": body["choices"][0]["message"]["tool_calls"][0]["id"],
                "type": "function",
                "function": {"name": "shell", "arguments": '{"a": 1}'},
            }
        ],
    }
    assert body["x_new"] == 1
    assert [choice["finish_reason"] for choice in body["choices"]] == ["tool_calls"] * 2
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]


@pytest.mark.parametrize("asked", [True, False])
def test_stream_has_usage_only_when_asked(vendor: ScriptedVendor, asked: bool) -> None:
    body = STREAM if asked else CHAT | {"stream": True}
    *chunks, done = events(post(vendor, Answer("a b c"), body).text)
    assert done == "[DONE]"
    assert said(chunks) == "a b c"
    assert [chunk.get("usage", "absent") for chunk in chunks[:-1]] == [None if asked else "absent"] * (len(chunks) - 1)
    assert (chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 3) is asked
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_chunks_are_sent_as_given_and_a_megabyte_is_one_event(vendor: ScriptedVendor) -> None:
    chunks = events(post(vendor, Answer(chunks=("a", "", "x" * 1_000_000)), STREAM).text)
    assert [len(said([chunk])) for chunk in chunks[1:4]] == [1, 0, 1_000_000]


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_case_tells_the_whole_answer(vendor: ScriptedVendor, name: str) -> None:
    found = events(post(vendor, HARMLESS[name], STREAM).text)
    chunks = [event for event in found if event != "[DONE]"]
    assert found.count("[DONE]") == {"no_done": 0, "double_done": 2}.get(name, 1)
    reasons = [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c.get("finish_reason")]
    assert bool(reasons) == (name != "no_finish_but_done")
    if not name.startswith("tool"):
        assert said(chunks) == TEXT
        return
    deltas = [call for chunk in chunks for c in chunk["choices"] for call in c["delta"].get("tool_calls", ())]
    told: dict[int, str] = {}
    for delta in deltas:
        place = delta.get("index", 0)
        told[place] = told.get(place, "") + delta.get("function", {}).get("arguments", "")
    wanted = TOOLS[:1] if name == "tool_without_index" else TOOLS
    assert [json.loads(arguments) for arguments in told.values()] == [tool.arguments for tool in wanted]


def test_official_client_reads_the_stream(vendor: ScriptedVendor) -> None:
    vendor.script(play(Answer(tool_calls=TOOLS), segment=5, comments_first=1, line_ending="\r\n"), Answer("hi"))
    with openai.OpenAI(base_url=vendor.base_url, api_key="sk-x", max_retries=0) as client:
        with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "é"}]) as stream:
            message = stream.get_final_completion().choices[0].message
        assert [json.loads(call.function.arguments) for call in message.tool_calls or ()] == [
            tool.arguments for tool in TOOLS
        ]
        embedding = client.embeddings.create(model="e", input=["a", "bb"]).data
        assert [entry.embedding[0] * 1024 for entry in embedding] == [1.0, 2.0]
        assert [model.id for model in client.models.list()] == list(vendor.models)
        assert client.models.retrieve("gpt-4.1").id == "gpt-4.1"
    assert vendor.count == 2
    assert len(vendor.listed) == 2
    assert vendor.received[0].headers["authorization"] == "Bearer sk-x"


# --- framing

FRAMINGS: list[tuple[dict[str, Any], bytes]] = [
    ({}, rb"transfer-encoding: chunked\r\n.*\r\n\r\n[0-9a-f]+\r\ndata: \{.*data: \[DONE\]\n\n\r\n0\r\n\r\n$"),
    ({"body": "length"}, rb"content-length: [0-9]+\r\n.*\r\n\r\ndata: \{.*\[DONE\]\n\n$"),
    ({"body": "close"}, rb"^(?!.*content-length)(?!.*chunked).*connection: close.*\[DONE\]\n\n$"),
    ({"bom": True}, rb"\r\n\xef\xbb\xbfdata: "),
    ({"space": False}, rb"\ndata:\{"),
    ({"line_ending": "\r"}, rb"\}\r\r\r\n[0-9a-f]+\r\ndata: "),
    ({"comments_first": 1, "comment": "wait"}, rb"\r\n: wait\n\n\r\n[0-9a-f]+\r\ndata: "),
    ({"comments_between": 1}, rb"\}\n\n\r\n[0-9a-f]+\r\n: keep-alive\n\n"),
    ({"multi_line": True}, rb'data: \{\ndata:  "id"'),
    ({"ids": True, "retry": 10, "event": "message"}, rb"\r\nretry: 10\nid: 0\nevent: message\ndata: "),
    ({"gzip": True}, rb"content-encoding: gzip\r\n.*\r\n\x1f\x8b"),
    ({"interim": (103,)}, rb"^HTTP/1.1 103 Early Hints\r\nlink: .*\r\n\r\nHTTP/1.1 200 OK\r\n"),
    (
        {"headers": {"X-Y": "z"}, "content_type": "text/event-stream"},
        rb"content-type: text/event-stream\r\n.*x-y: z\r\n",
    ),
]


@pytest.mark.parametrize(("framing", "expected"), FRAMINGS)
def test_framing_on_the_wire(vendor: ScriptedVendor, framing: dict[str, Any], expected: bytes) -> None:
    came, end = wire(vendor, play(Answer(TEXT), **framing))
    assert re.search(expected, came, re.DOTALL), came
    assert end == "closed"


def test_gzip_is_flushed_event_by_event(vendor: ScriptedVendor) -> None:
    vendor.script(play(Answer("a b"), Silent("after_output"), gzip=True, body="close"))
    connection = Wire(vendor).ask(STREAM)
    vendor.wait_until(lambda v: v.counts_by_step["silent:after_output"])
    connection.socket.shutdown(socket.SHUT_WR)
    body = connection.all()[0].partition(b"\r\n\r\n")[2]
    with pytest.raises(EOFError):
        gzip.decompress(body)
    assert said(events(zlib.decompressobj(31).decompress(body).decode())) == "a"


def test_connection_is_kept_dropped_or_goes_stale(vendor: ScriptedVendor) -> None:
    vendor.script(Answer(), Answer(), play(Answer(), connection="stale"), play(Answer(), connection="drop"))
    connection = Wire(vendor)
    for _ in range(3):
        assert b"connection: keep-alive" in connection.ask(CHAT).until(rb"\}\}.*\}$")
    assert connection.ask(CHAT).all() == (b"", "closed")
    assert [(call.connection, call.nth) for call in vendor.received] == [
        (vendor.connections_made, n) for n in (1, 2, 3)
    ]
    assert vendor.counts_by_step["stale"] == 1
    came, end = Wire(vendor).ask(CHAT).all()
    assert (b"connection: keep-alive" in came, end) == (True, "closed")


# --- statuses


def test_statuses_say_what_vendors_say(vendor: ScriptedVendor) -> None:
    rows: list[tuple[Step, int, str]] = [
        (Status(429, retry_after=7), 429, r"Rate limit reached for gpt-4.1"),
        (Status(404), 404, r"The model `gpt-4.1` does not exist"),
        (Status(529), 529, r"overloaded_error"),
        (Status(502), 502, r"^<html>.*502 Bad Gateway"),
        (Status(422, {"detail": []}), 422, r'^{"detail":\[\]}$'),
        (Status(200, ""), 200, r"^$"),
        (named("context_too_long"), 400, "context_length_exceeded"),
        (named("refused"), 400, "content_filter"),
        (named("out_of_credit"), 429, "insufficient_quota"),
        (named("error_as_200"), 200, r'^{"error":'),
        (named("html_as_200"), 200, r"^<!doctype html>"),
        *((Status(code), code, r'^{"error":{"message"') for code in (400, 401, 402, 403, 408, 500, 503)),
    ]
    for step, code, pattern in rows:
        response = post(vendor, step)
        assert response.status_code == code
        assert re.search(pattern, response.text, re.DOTALL), response.text
    assert vendor.received[0].status == 429
    assert vendor.counts_by_step["status:429"] == 1


def test_retry_after_in_every_form(vendor: ScriptedVendor) -> None:
    for form in RETRY_AFTER:
        assert post(vendor, rate_limited(form, 90)).status_code == 429
    for form in HINTS:
        assert "90s" in post(vendor, rate_limited(form, 90)).text
    assert post(vendor, rate_limited("retry_after_ms", 0.02)).headers["retry-after-ms"] == "20"
    assert post(vendor, rate_limited("ratelimit_reset_minutes", 90)).headers["x-ratelimit-reset-tokens"] == "1m30s"
    assert post(vendor, rate_limited("http_date")).headers["retry-after"].endswith(" GMT")


# --- troubles

CUTS: list[tuple[Step, bool, str, bytes]] = [
    # step, streamed, how the connection ends, what has come by then
    (Reset("before_head"), True, "reset", rb"^$"),
    (Close("before_head"), True, "closed", rb"^$"),
    (Reset("after_head"), True, "reset", rb"^HTTP/1.1 200 OK\r\n.*\r\n\r\n$"),
    (Reset("after_role"), True, "reset", rb'"role":"assistant"[^\n]*\n\n\r\n$'),
    (Reset("after_output"), True, "reset", rb'"content":"Hello"[^\n]*\n\n\r\n$'),
    (Reset("after_output", outputs=2), True, "reset", rb'"content":" from"[^\n]*\n\n\r\n$'),
    (Reset("before_finish"), True, "reset", rb'"content":" vendor."[^\n]*\n\n\r\n$'),
    (Close("before_done"), True, "closed", rb'"choices":\[\],[^\n]*"usage":\{[^\n]*\n\n\r\n$'),
    (Close("after_output"), True, "closed", rb'"content":"Hello"[^\n]*\n\n\r\n$'),
    (Close("after_output", terminated=True), True, "closed", rb'"content":"Hello"[^\n]*\n\n\r\n0\r\n\r\n$'),
    (Reset("after_output"), False, "reset", rb'content-length: [0-9]+\r\n.*\r\n\r\n\{"id".*"logp$'),
    (Close("before_done"), False, "closed", rb'\r\n\r\n\{"id".*"service_tier":"default"$'),
    (Close("after_output", terminated=True), False, "closed", rb'chunked.*\{"id".*"logp\r\n0\r\n\r\n$'),
    (play(Answer(stream=False), surplus=9), True, "closed", rb"application/json.*\}$"),
    (play(Status(500), Reset("after_head")), True, "reset", rb"^HTTP/1.1 500 [^\n]*\r\n.*\r\n\r\n$"),
    (NoFinish(), True, "closed", rb'"content":" vendor."[^\n]*\n\n\r\n0\r\n\r\n$'),
    (NoFinish(done=True), True, "closed", rb'^(?!.*"stop").*\[DONE\]\n\n\r\n0\r\n\r\n$'),
    (NoFinish(), False, "closed", rb'"finish_reason":null'),
    (
        InBandError("first"),
        True,
        "closed",
        rb'\r\n\r\n[0-9a-f]+\r\ndata: \{"error":\{"message"[^\n]*\n\n\r\n0\r\n\r\n$',
    ),
    (InBandError(style="event"), True, "closed", rb'Hello.*\nevent: error\ndata: \{"error"[^\n]*\n\n\r\n0\r\n\r\n$'),
    (InBandError(style="top_level_choice"), True, "closed", rb'"error":\{"code":502[^\n]*"finish_reason":"error"'),
    (InBandError("after_finish", style="x_groq", then="done"), True, "closed", rb'"stop".*"x_groq":\{"error".*DONE'),
    (InBandError(), False, "closed", rb'200 OK.*\r\n\r\n\{"error":'),
    (named("invalid_json"), True, "closed", rb"Hello.*oops.* vendor\..*\[DONE\]"),
    (named("binary"), True, "closed", rb"Hello.*\x00\xff.*\[DONE\]"),
    (named("truncated_json"), False, "closed", rb'"del$'),
    (Answer(stream=True), False, "closed", rb"text/event-stream.*\[DONE\]"),
    (Raw(b"nonsense"), True, "closed", rb"^nonsense$"),
    (play(Answer("a b"), Slow(0.001, 0.001, 0.001)), True, "closed", rb"\[DONE\]"),
    (play(Silent("after_role", seconds=0.001), Reset("after_output")), True, "reset", rb"Hello"),
]


@pytest.mark.parametrize(("step", "streamed", "end", "expected"), CUTS)
def test_trouble_on_the_wire(vendor: ScriptedVendor, step: Step, streamed: bool, end: str, expected: bytes) -> None:
    came, ended = wire(vendor, step, STREAM if streamed else CHAT)
    assert ended == end
    assert re.search(expected, came, re.DOTALL), came
    vendor.wait_until(lambda v: not v.playing)
    assert sum(vendor.counts_by_step.values()) == 1
    assert not vendor.aborted


SILENCES: list[tuple[Step, dict[str, Any], bytes, str]] = [
    (Silent("before_head"), STREAM, b"", "before_head"),
    (Silent("after_head"), STREAM, rb"\r\n\r\n", "before_output"),
    (Silent("after_role"), STREAM, rb"assistant", "before_output"),
    (Silent("after_output"), STREAM, rb"Hello", "mid_stream"),
    (Silent("after_head"), CHAT, rb"\r\n\r\n", "body"),
]


@pytest.mark.parametrize(("step", "body", "until", "phase"), SILENCES)
@pytest.mark.parametrize("reset", [True, False])
def test_client_leaving_is_noticed(
    vendor: ScriptedVendor, step: Step, body: dict[str, Any], until: bytes, phase: str, reset: bool
) -> None:
    vendor.script(step)
    connection = Wire(vendor).ask(body)
    if until:
        connection.until(until)
    vendor.wait_until(lambda v: v.counts_by_step)
    if reset:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    closed = connection.close()
    vendor.wait_until(lambda v: v.aborted)
    [aborted] = vendor.aborted
    assert aborted.phase == phase
    print(f"noticed after {aborted.delay(closed) * 1000:.1f} ms")
    assert abs(aborted.delay(closed)) < 1.0
    assert vendor.outcomes == {"aborted": 1}
    vendor.wait_until(lambda v: v.open_connections == 0)


def test_slow_client_holds_the_vendor_back(vendor: ScriptedVendor) -> None:
    chunk = "x" * 100_000
    vendor.script(play(Answer(chunks=(chunk,) * 300)))
    connection = Wire(vendor).ask(STREAM)
    connection.until(rb"xxx")
    vendor.wait_until(lambda v: v.received[0].phase == "mid_stream")
    assert vendor.received[0].sent < 25_000_000
    assert vendor.playing == 1
    connection.close()
    vendor.wait_until(lambda v: v.aborted)


def test_dying_refuses_and_comes_back(vendor: ScriptedVendor) -> None:
    vendor.script(Die(), Die(0.01))
    bystander = Wire(vendor)
    bystander.socket.sendall(b"POST")
    vendor.wait_until(lambda v: v.open_connections == 1)
    assert Wire(vendor).ask(CHAT).all() == (b"", "reset")
    assert bystander.all() == (b"", "reset")
    with pytest.raises(httpx.ConnectError):
        httpx.get(vendor.url)
    vendor.run(vendor.come_back())
    assert Wire(vendor).ask(CHAT).all() == (b"", "reset")
    vendor.wait_until(lambda v: v.listening)
    assert post(vendor, Answer()).status_code == 200


def test_dead_ends() -> None:
    with refusing() as url, pytest.raises(httpx.ConnectError):
        httpx.get(url)
    with hanging() as url, pytest.raises(httpx.ConnectTimeout):
        httpx.get(url, timeout=httpx.Timeout(1, connect=0.05))


# --- choosing and recording


def test_script_then_models_then_rules(vendor: ScriptedVendor) -> None:
    vendor.script(Status(500), lambda call: Status(418, call.model), fault("rate_limited"))
    vendor.on_model("other", Status(404))
    asked = [("a", 500), ("other", 404), ("b", 418), ("c", 429), ("d", 200)]
    with httpx.Client(base_url=vendor.base_url) as client:
        for model, code in asked:
            assert client.post("/openai/chat/completions?v=1", json=CHAT | {"model": model}).status_code == code
        vendor.decide = lambda call: Status(402) if call.query == {"v": "2"} else None
        assert client.post("/chat/completions?v=2", json=CHAT).status_code == 402
        assert client.post("/nowhere", json=CHAT).status_code == 404
        assert client.head("/").status_code == 404
        vendor.listing = Status(503)
        assert client.get("/models").status_code == 503
    assert vendor.counts_by_step["rate_limited"] == 1
    assert [call.number for call in vendor.received] == sorted(call.number for call in vendor.received)
    assert vendor.left == 0


def test_request_is_recorded_as_it_came(vendor: ScriptedVendor) -> None:
    body = gzip.compress(json.dumps(CHAT).encode())
    lines = ["POST /v1/chat%20x/chat/completions?a=1&a=2 HTTP/1.1", "X-One: 1", "x-one: 2", "Expect: 100-continue"]
    lines += ["Content-Encoding: gzip", "Transfer-Encoding: chunked", "Connection: close", "", ""]
    connection = Wire(vendor)
    connection.socket.sendall("\r\n".join(lines).encode())
    assert connection.until(rb"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.socket.sendall(
        b"5\r\n" + body[:5] + b"\r\n%x;a=b\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\nt: 1\r\n\r\n"
    )
    assert connection.all()[1] == "closed"
    [call] = vendor.received
    assert (call.method, call.path, call.query) == ("POST", "/v1/chat x/chat/completions", {"a": "2"})
    assert (call.body, call.json) == (body, CHAT)
    assert call.header_list[:2] == [("X-One", "1"), ("x-one", "2")]
    assert call.outcome == "answered"
    assert call.finished is not None
    assert call.began <= call.finished


def test_request_that_never_ends_is_counted(vendor: ScriptedVendor) -> None:
    before = vendor.requests_cut
    connection = Wire(vendor)
    connection.socket.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 10\r\n\r\n{")
    connection.close()
    vendor.wait_until(lambda v: v.requests_cut == before + 1)
    assert vendor.count == 0


def test_every_kind_of_fault_has_a_step() -> None:
    assert {kind.value for kind in FaultKind} - set(FAULTS) == {"timeout_connect"}


@pytest.mark.parametrize("name", BROKEN | HIDDEN)
def test_broken_case_never_tells_the_whole_answer(vendor: ScriptedVendor, name: str) -> None:
    assert not BROKEN.keys() & HIDDEN.keys()
    step = (BROKEN | HIDDEN)[name]
    if name.startswith("silent") or name.endswith("never_comes"):
        assert "Silent" in repr(step)
        return
    came, _ = wire(vendor, step)
    whole = b"vendor." in came and b'"stop"' in came and b"[DONE]" in came and came.endswith(b"0\r\n\r\n")
    assert whole is (name.startswith(("invalid_json", "truncated_json", "binary")))
    if name in HIDDEN and name != "short_200":
        assert b"Hello" not in came or whole


def test_async_use_on_one_loop() -> None:
    async def story() -> None:
        async with ScriptedVendor(otherwise=Status(503)) as vendor, httpx.AsyncClient() as client:
            vendor.script(Answer("hi"), Silent("before_head"))
            url = f"{vendor.base_url}/chat/completions"
            assert said(events((await client.post(url, json=STREAM)).text)) == "hi"
            asking = asyncio.create_task(client.post(url, json=CHAT))
            await vendor.wait_for(lambda v: v.counts_by_step["silent:before_head"])
            asking.cancel()
            await vendor.wait_for(lambda v: v.aborted)
            assert (await client.post(url, json=CHAT)).status_code == 503
            with pytest.raises(AssertionError, match="3 calls"):
                await vendor.wait_for(lambda v: v.count == 4, within=0.0)

    asyncio.run(story())


# --- the program


def test_agent_story_calls_the_shell_then_quotes_it(vendor: ScriptedVendor) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("other", "developer__shell")]
    assert post(vendor, agent_story).json()["choices"][0]["message"]["content"] == "A scripted title"
    message = post(vendor, agent_story, CHAT | {"tools": tools}).json()["choices"][0]["message"]
    assert message["tool_calls"][0]["function"]["name"] == "developer__shell"
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"command": "echo skein-$((40+2))"}
    result = {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "skein-42"}]}
    body = STREAM | {"tools": tools, "messages": [*CHAT["messages"], message, result]}
    assert said(events(post(vendor, agent_story, body).text)) == "The tool said: skein-42"


def test_story_file() -> None:
    story = rb"""["429", "agent", {"step": "answer", "text": "hi"}, {"step": "reply", "content": {"step": "status",
        "code": 500}, "troubles": [{"step": "reset", "at": "after_head"}], "framing": {"gzip": true}}]"""
    assert read_story(story) == [
        rate_limited(),
        agent_story,
        Answer("hi"),
        play(Status(500), Reset("after_head"), gzip=True),
    ]
    with pytest.raises(KeyError, match="no step 'nonsense'"):
        read_story(b'["nonsense"]')


def test_program_prints_a_line_per_request() -> None:
    command = [sys.executable, "-m", "tests.scripted", "--port", "0", "--fault", "503,reset"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as program:
        assert program.stdout is not None
        url = program.stdout.readline().split()[-1]
        assert httpx.post(f"{url}/chat/completions", json=CHAT).status_code == 503
        assert re.match(
            r"#1 POST /v1/chat/completions model=gpt-4.1 .*-> status:503 503 answered", program.stdout.readline()
        )
        with pytest.raises(httpx.ReadError):
            httpx.post(f"{url}/chat/completions", json=STREAM)
        assert "-> reset:after_output 200 cut (mid_stream)" in program.stdout.readline()
        program.terminate()


def test_seeded_rule_is_played(vendor: ScriptedVendor) -> None:
    def rule(call: Received) -> Step:
        return fault("server_error") if call.number % 2 else fault("broken_stream")

    vendor.decide = rule
    for _ in range(4):
        Wire(vendor).ask(STREAM, headers="connection: close\r\n").all()
    assert vendor.counts_by_step == {"server_error": 2, "broken_stream": 2}
