"""Backends that are down, slow, silent or broken, a log nobody reads: requests go on, and what is lost is counted."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.observe.export import Patience, Shipper
from gateway.observe.observability import Logging
from tests.backends import HANG, LANGFUSE_TRACES, OK, RESET, TRACES, Receiver, Recorder, slow, unavailable
from tests.backends.grpc_receiver import EXPORT, GrpcReceiver
from tests.scripted import Answer, ScriptedVendor, Silent, Status

from .setting import QUICK, Client, Page, Stand, at, body, eventually, request, stand
from .test_drain import serving

# So that a test does not wait for what operators do.
HASTY = Patience(linger=0.01, timeout=0.3, tries=2, batch=1.0, backoff=0.001)
# As it is in earnest, but for the wait until a batch is full: one call that hangs outlasts any test.
PATIENT = Patience(linger=0.01, timeout=120.0)
MANY = 40


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def ship(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Ways out as these settings make them."""

    def of(**settings: Any) -> None:
        for module in ("gateway.observing", "gateway.observe.langfuse"):
            monkeypatch.setattr(f"{module}.Shipper", partial(Shipper, **settings))

    return of


class Way(NamedTuple):
    """A way out: its name in metrics and log, its path, what receives there, and the settings that lead to it."""

    sink: str
    path: str
    receiver: type[Any]
    settings: Callable[[str], dict[str, Any]]


OTLP = Way("otlp", TRACES, Receiver, lambda url: {"otlp": {"endpoint": url}})
GRPC = Way("otlp", EXPORT, GrpcReceiver, lambda url: {"otlp": {"endpoint": url, "protocol": "grpc"}})
LANGFUSE = Way(
    "langfuse",
    LANGFUSE_TRACES,
    Receiver,
    lambda url: {"langfuse": {"public_key": "pk-lf-1", "secret_key": "sk-lf-2", "host": url}},
)
BY_SINK = pytest.mark.parametrize("way", [OTLP, GRPC, LANGFUSE], ids=["http", "grpc", "langfuse"])


def work(s: Stand, many: int = MANY) -> int:
    """So many requests, each answered as it would be without telemetry. Returns how many spans they are."""
    s.a.script(*(Status(500) if number % 8 == 3 else Answer() for number in range(many + many // 8)))
    with s.client() as client:
        for number in range(many):
            client.post(body(number % 2 == 0))
            told = client.reply()
            assert (told.status, told.text) == (200, "Hello from the scripted vendor.")
    s.finished(many)
    return 2 * many + s.a.count


class Account(NamedTuple):
    """Of the spans of one way out."""

    accepted: int
    exported: int
    dropped: dict[str, int]
    waiting: int

    @property
    def total(self) -> int:
        return self.accepted + sum(self.dropped.values()) + self.waiting


def account(s: Stand, receiver: Recorder, way: Way) -> Account:
    """What the backend says it has, and what the gateway's metrics say it has not."""
    page: Page = s.metrics()
    return Account(
        receiver.accepted[way.path],
        int(page.total("skein_telemetry_exported_total", sink=way.sink)),
        {reason: int(n) for reason, n in page.by("skein_telemetry_dropped_total", "reason", sink=way.sink).items()},
        int(page.total("skein_telemetry_queue_depth", sink=way.sink)),
    )


# A backend that is sick -----------------------------------------------------------------------------------------------

SICK: dict[str, Callable[[Receiver], None]] = {
    "down": lambda receiver: receiver.go_down(),
    "hanging": lambda receiver: setattr(receiver, "mode", HANG),
    "busy": lambda receiver: setattr(receiver, "mode", unavailable()),
    "resetting": lambda receiver: setattr(receiver, "mode", RESET),
}


@BY_SINK
@pytest.mark.parametrize("name", SICK)
def test_a_sick_backend_loses_all_of_it_and_harms_nobody(name: str, way: Way, ship: Callable[..., None]) -> None:
    ship(patience=HASTY)
    with way.receiver() as receiver:
        SICK[name](receiver)
        with stand("a", extra={"observe": way.settings(receiver.url)}) as s:
            made = work(s)
            # A page is read piece by piece: a batch that is lost in between may be in two of them.
            eventually(lambda: account(s, receiver, way).total == made)
        last = account(s, receiver, way)
        assert (last.total, last.accepted, last.exported, last.waiting) == (made, 0, 0, 0)
        assert last.dropped.keys() <= {"failed", "shutdown"}


@BY_SINK
@pytest.mark.parametrize("mode", [slow(0.1), OK], ids=["slow", "well"])
def test_a_slow_backend_loses_nothing(mode: Any, way: Way, ship: Callable[..., None]) -> None:
    ship(patience=PATIENT)
    with way.receiver() as receiver:
        receiver.mode = mode
        with stand("a", extra={"observe": way.settings(receiver.url)}) as s:
            made = work(s)
        assert account(s, receiver, way) == Account(made, made, {}, 0)


@BY_SINK
def test_requests_complete_while_one_call_to_the_backend_lasts(way: Way, ship: Callable[..., None]) -> None:
    """Whoever waited for the backend, or for a place in the queue, would wait for ever: it never answers."""
    ship(patience=PATIENT, queue=60, batch=30)
    with way.receiver() as receiver:
        receiver.mode = HANG
        with stand("a", extra={"observe": way.settings(receiver.url)}) as s:
            made = work(s)
            receiver.wait_until(lambda each: each.requests)
            assert [call.status for call in receiver.requests] == [None]
            now = account(s, receiver, way)
            assert (now.total, now.waiting, now.dropped) == (made, 60, {"queue_full": made - 60})
            # It comes back: what waited is delivered, what was turned away is gone.
            receiver.mode = OK
            receiver.wait_for(60)
            eventually(lambda: account(s, receiver, way) == Account(60, 60, now.dropped, 0))
            made += work_more(s)
        last = account(s, receiver, way)
        assert (last.total, last.dropped) == (made, now.dropped)


def work_more(s: Stand) -> int:
    """One request, and its spans."""
    with s.client() as client:
        client.post(body())
        assert client.reply().status == 200
    return 3


@BY_SINK
@pytest.mark.parametrize("name", SICK)
def test_a_backend_that_comes_back_gets_what_waited(name: str, way: Way, ship: Callable[..., None]) -> None:
    # Hanging is ended by the receiver; with the rest the next try is far enough away to come back meanwhile.
    ship(patience=Patience(linger=0.01, timeout=120.0, tries=500, batch=120.0, backoff=0.05))
    with way.receiver() as receiver:
        SICK[name](receiver)
        with stand("a", extra={"observe": way.settings(receiver.url)}) as s:
            made = work(s)
            assert account(s, receiver, way) == Account(0, 0, {}, made)
            receiver.mode = OK
            receiver.come_up()
            receiver.wait_for(made)
            eventually(lambda: account(s, receiver, way) == Account(made, made, {}, 0))
        assert len({(span.trace_id, span.span_id) for span in receiver.spans()}) == made


def test_one_sick_backend_is_no_other_ones_trouble(ship: Callable[..., None]) -> None:
    ship(patience=HASTY)
    with Receiver() as well, Receiver() as sick:
        sick.mode = HANG
        observe = OTLP.settings(well.url) | LANGFUSE.settings(sick.url)
        with stand("a", extra={"observe": observe}) as s:
            made = work(s)
        assert account(s, well, OTLP) == Account(made, made, {}, 0)
        assert account(s, sick, LANGFUSE).total == sum(account(s, sick, LANGFUSE).dropped.values()) == made


def test_scores_that_find_nobody_are_counted(ship: Callable[..., None]) -> None:
    ship(patience=HASTY)
    with Receiver() as receiver:
        receiver.mode = unavailable()
        with stand("a", extra={"observe": LANGFUSE.settings(receiver.url)}) as s:
            for _ in range(3):
                id = s.ask().headers["x-request-id"]
                eventually(lambda id=id: judge(s.gateway.url, id).status == 202)
        dropped = s.metrics().by("skein_telemetry_dropped_total", "sink")
        assert (dropped["langfuse_scores"], dropped["langfuse"]) == (3, 9)
        assert receiver.scores() == []


def judge(url: str, id: str) -> Any:
    with Client(url) as client:
        client.post({"request_id": id, "verdict": "good"}, "/v1/feedback")
        return client.reply()


# The process ----------------------------------------------------------------------------------------------------------

# What waits is flushed for 5 seconds: design.md, and gateway/observe/__init__.py.
BOUND = 30.0


def ask(url: str, many: int) -> list[str]:
    """So many requests one after the other; their ids."""
    ids = []
    with Client(url) as client:
        for number in range(many):
            client.post(body(number % 2 == 0))
            told = client.reply()
            assert told.status == 200
            ids.append(told.headers["x-request-id"])
    return ids


def lost(lines: list[dict[str, Any]]) -> Counter[str]:
    counts = Counter[str]()
    for line in lines:
        counts[line["sink"]] += line["count"]
    return counts


def test_all_that_was_served_is_told_before_the_end(tmp_path: Path) -> None:
    with (
        Receiver() as receiver,
        ScriptedVendor.in_thread() as vendor,
        serving(tmp_path, vendor, observe=OTLP.settings(receiver.url) | LANGFUSE.settings(receiver.url)) as (it, url),
    ):
        ids = ask(url, 200)
        it.signal(signal.SIGTERM)
        assert it.ended(BOUND) == 0
        assert receiver.accepted == Counter({TRACES: 600, LANGFUSE_TRACES: 600})
        told = [span.attributes["skein.request.id"] for span in receiver.spans(TRACES) if span.kind == "SERVER"]
        assert sorted(told) == sorted(ids)
        assert [line["request_id"] for line in it.lines("request.finished")] == ids
        assert it.lines("telemetry.dropped") == []
        assert len(it.lines("stopped")) == 1


@pytest.mark.parametrize("name", ["down", "hanging"])
def test_a_sick_backend_does_not_hold_the_end_up(name: str, tmp_path: Path) -> None:
    """And the last lines say how much it did not get."""
    with Receiver() as receiver, ScriptedVendor.in_thread() as vendor:
        SICK[name](receiver)
        with serving(tmp_path, vendor, observe=OTLP.settings(receiver.url)) as (it, url):
            ids = ask(url, 50)
            it.signal(signal.SIGTERM)
            assert it.ended(BOUND) == 0
            assert len(it.lines("request.finished")) == len(ids)
            assert lost(it.lines("telemetry.dropped")) == {"otlp": 150 - receiver.accepted[TRACES]}
            assert receiver.accepted[TRACES] == 0
            assert len(it.lines("stopped")) == 1


def test_what_still_runs_is_finished_first_and_told_then(tmp_path: Path) -> None:
    with (
        Receiver() as receiver,
        ScriptedVendor.in_thread() as vendor,
        serving(tmp_path, vendor, observe=OTLP.settings(receiver.url)) as (it, url),
    ):
        vendor.otherwise = Silent("after_output", seconds=1.0)
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(url)) for _ in range(5)]
            for client in clients:
                client.post(body(True))
                client.see(b"Hello")
            it.signal(signal.SIGTERM)
            eventually(lambda: it.lines("stopping"))
            assert it.lines("stopping")[0]["running"] == 5
            assert [client.reply().done for client in clients] == [True] * 5
        assert it.ended(BOUND) == 0
        assert receiver.accepted == {TRACES: 15}
        assert {span.status for span in receiver.spans()} == {"UNSET"}
        order = [json.loads(line)["event"] for line in it.errors.read_text().splitlines()]
        assert order.index("stopping") < order.index("request.finished") < order.index("stopped") == len(order) - 1
        assert order.count("request.finished") == 5


def test_what_is_cut_at_the_end_is_told_too(tmp_path: Path) -> None:
    with (
        Receiver() as receiver,
        ScriptedVendor.in_thread() as vendor,
        serving(tmp_path, vendor, observe=OTLP.settings(receiver.url), server={"drain_timeout": "100ms"}) as (it, url),
        Client(url) as whole,
        Client(url) as stream,
    ):
        vendor.otherwise = Silent("after_output")
        whole.post(body())
        stream.post(body(True))
        stream.see(b"Hello")
        vendor.wait_until(lambda each: each.playing == 2)
        it.signal(signal.SIGTERM)
        assert (whole.reply().status, stream.reply().error["code"]) == (503, "gateway_draining")
        assert it.ended(BOUND) == 0
        servers = [span for span in receiver.spans() if span.kind == "SERVER"]
        assert [span.attributes["error.type"] for span in servers] == ["gateway_draining"] * 2
        assert len(it.lines("request.finished")) == 2
        assert receiver.accepted == {TRACES: 6}


# A log that nobody reads ----------------------------------------------------------------------------------------------


class Unread(NamedTuple):
    """A process whose standard error is a small pipe, read so far and not further."""

    process: subprocess.Popen[bytes]
    url: str

    def lines(self) -> list[dict[str, Any]]:
        """All that is still said, to the end."""
        assert self.process.stderr is not None
        return [json.loads(line) for line in self.process.stderr.read().splitlines()]


@contextmanager
def unread(tmp_path: Path, vendor: ScriptedVendor, **observe: Any) -> Iterator[Unread]:
    config = {
        "providers": {"primary": at(vendor.base_url, "primary")},
        "models": {"m": {"targets": ["primary/gpt-4.1"]}},
        "resilience": QUICK,
        "observe": observe,
    }
    (tmp_path / "skein.yaml").write_text(json.dumps(config))
    command = [
        sys.executable,
        "-m",
        "gateway",
        "serve",
        "--config",
        "skein.yaml",
        "--port",
        "0",
        "--log-format",
        "json",
    ]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            assert process.stderr is not None
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
            while (line := json.loads(process.stderr.readline()))["event"] != "started":
                pass
            yield Unread(process, line["url"])
        finally:
            process.kill()


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    with Receiver() as receiver, ScriptedVendor.in_thread() as vendor:
        with unread(tmp_path, vendor, **OTLP.settings(receiver.url)) as it:
            ids = ask(it.url, 300)
            assert len(receiver.wait_for(900)) == 900
            # Somebody reads again: all is there, in order, and the end is too.
            said: list[dict[str, Any]] = []
            reading = threading.Thread(target=lambda: said.extend(it.lines()))
            reading.start()
            it.process.send_signal(signal.SIGTERM)
            assert it.process.wait(BOUND) == 0
            reading.join(BOUND)
        assert [line["request_id"] for line in said if line["event"] == "request.finished"] == ids
        assert [line["event"] for line in said[len(ids) :]] == ["stopping", "stopped"]


def test_a_log_that_nobody_ever_reads_does_not_hold_the_end_up(tmp_path: Path) -> None:
    with Receiver() as receiver, ScriptedVendor.in_thread() as vendor:
        with unread(tmp_path, vendor, **OTLP.settings(receiver.url)) as it:
            ask(it.url, 50)
            page = metrics(it.url)
            assert page.total("skein_requests_total") == 50
            it.process.send_signal(signal.SIGTERM)
            assert it.process.wait(BOUND) == 0
        assert receiver.accepted == {TRACES: 150}


def metrics(url: str) -> Page:
    with Client(url) as client:
        client.send(request(b"", "/metrics", "GET", content_length="", content_type=""))
        return Page(client.reply().body.decode())


class Stuck(io.StringIO):
    """A file that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.loose = threading.Event()

    def write(self, text: str) -> int:
        self.loose.wait()
        return super().write(text)


def test_lines_that_find_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.observe.lines.MOST_WAITING", 50)
    out = Stuck()
    with stand("a", running={"logging": Logging(out=out)}) as s:
        for _ in range(200):
            assert s.ask().status == 200
        s.finished(200)
        dropped = s.metrics().total("skein_telemetry_dropped_total", sink="logs")
        assert dropped >= 100
        out.loose.set()
    said = [json.loads(line) for line in out.getvalue().splitlines()]
    finished = [line for line in said if line["event"] == "request.finished"]
    assert len(finished) + dropped == 200
    (told,) = [line for line in said if line["event"] == "telemetry.dropped"]
    assert (told["sink"], told["reason"]) == ("logs", "not_written")
    # The last words of the gateway may find no room either.
    assert dropped <= told["count"] <= dropped + 2
