"""What is handed to a backend is sent or counted as lost, whatever the backend does; nobody waits for it."""

from __future__ import annotations

import copy
import gzip
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import certifi
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import ReadableSpan

from gateway import config, events
from gateway.config import checking
from gateway.errors import OperatorError
from gateway.observe import otlp, protobuf
from gateway.observe.content import Messages
from gateway.observe.export import TAKEN, Answer, Counts, Patience, Shipper
from gateway.observe.otel_metrics import DURATIONS, TOKENS, OtelMetrics
from gateway.observe.otlp import Destination, SpanExporter, destination, refused_spans, sample_ratio
from gateway.observe.protobuf import encode
from gateway.observe.traces import resource
from tests.backends import HANG, OK, TRACES, Mode, Receiver, slow, unavailable
from tests.backends.grpc_receiver import GrpcReceiver
from tests.backends.otlp import spans_in
from tests.observe.test_traces import STORIES, VENDORS, Story, spans, telling

# So that a test does not wait for what operators do.
QUICK = Patience(linger=0.01, timeout=5.0, tries=3, batch=5.0, backoff=0.001)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Ledger:
    """What a shipper says of itself."""

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self.exported = 0
        self.tries: Counter[str] = Counter()
        self.lines: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def listeners(self) -> dict[str, Any]:
        return {"lost": self._on_lost, "exported": self._on_exported, "timed": self._on_timed, "say": self._on_said}

    def _on_lost(self, sink: str, reason: str, count: int) -> None:
        with self._lock:
            self.lost[reason] += count

    def _on_exported(self, sink: str, count: int) -> None:
        with self._lock:
            self.exported += count

    def _on_timed(self, sink: str, result: str, seconds: float) -> None:
        self.tries[result] += 1

    def _on_said(self, level: str, name: str, fields: Any) -> None:
        self.lines.append((level, name))

    def balances(self, shipper: Shipper[Any]) -> bool:
        """The identity, and that listeners heard what the counts say: of a shipper at rest."""
        counts = balanced(shipper)
        lost = {reason: count for reason, count in counts.lost.items() if count}
        assert (self.exported, dict(self.lost)) == (counts.exported, lost)
        return True


def balanced(shipper: Shipper[Any]) -> Counts:
    counts = shipper.counts()
    assert counts.offered == counts.exported + sum(counts.lost.values()) + counts.waiting, counts
    return counts


class Scripted:
    """An exporter of numbers that does as it is told: answers in turn, then the last one for ever."""

    def __init__(self, *answers: Answer | Exception | threading.Event) -> None:
        self.answers, self.sent = list(answers), []
        self.entered = threading.Event()

    def pack(self, things: Sequence[int]) -> list[int]:
        return list(things)

    def send(self, packed: list[int], timeout: float) -> Answer:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.entered.set()
        if isinstance(answer, threading.Event):
            answer.wait(30)
            answer = TAKEN
        if isinstance(answer, Exception):
            raise answer
        if answer.taken:
            self.sent.append(packed)
        return answer

    def close(self) -> None: ...


def shipper(exporter: Any, ledger: Ledger, **settings: Any) -> Shipper[Any]:
    return Shipper("test", exporter, **{"patience": QUICK, "jitter": lambda: 0.5} | ledger.listeners() | settings)


BUSY = Answer(taken=False, again=True, said="HTTP 503")
REFUSED = Answer(taken=False, said="HTTP 400")
TOO_LARGE = Answer(taken=False, too_large=True, said="HTTP 413")
PARTLY = Answer(taken=True, refused=2, said="two of them are odd")


@pytest.mark.parametrize(
    ("answers", "exported", "lost", "tries", "lines"),
    [
        ([TAKEN], 6, {}, {"ok": 1}, []),
        ([BUSY, BUSY, TAKEN], 6, {}, {"failed": 2, "ok": 1}, []),
        ([BUSY], 0, {"failed": 6}, {"failed": 3}, [("error", "telemetry.sink_down")]),
        ([REFUSED], 0, {"failed": 6}, {"failed": 1}, [("error", "telemetry.sink_down")]),
        ([PARTLY], 4, {"failed": 2}, {"ok": 1}, [("warning", "telemetry.refused")]),
        ([TOO_LARGE, TAKEN], 6, {}, {"failed": 1, "ok": 2}, []),
        ([TOO_LARGE, TAKEN, REFUSED], 3, {"failed": 3}, {"failed": 2, "ok": 1}, [("error", "telemetry.sink_down")]),
        (
            [Answer(taken=False, again=True, wait=3600.0)],
            0,
            {"failed": 6},
            {"failed": 1},
            [("error", "telemetry.sink_down")],
        ),
        ([RuntimeError("a defect")], 0, {"failed": 6}, {"failed": 1}, [("error", "telemetry.sink_down")]),
    ],
)
def test_what_becomes_of_a_batch(
    answers: list[Any], exported: int, lost: dict[str, int], tries: dict[str, int], lines: list[tuple[str, str]]
) -> None:
    ledger = Ledger()
    ship = shipper(Scripted(*answers), ledger)
    ship.offer(range(6))
    assert ship.flush(10)
    assert (ledger.exported, dict(ledger.lost), dict(ledger.tries), ledger.lines) == (exported, lost, tries, lines)
    ship.close(10)
    assert ledger.balances(ship)


def test_batches_keep_order_and_size() -> None:
    exporter, ledger = Scripted(TAKEN), Ledger()
    ship = shipper(exporter, ledger, batch=4, patience=Patience(linger=60.0))
    for number in range(10):
        ship.offer([number])
    ship.close(10)
    assert exporter.sent == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_line_when_it_goes_down_and_one_when_it_is_back() -> None:
    ledger = Ledger()
    ship = shipper(Scripted(REFUSED, REFUSED, REFUSED, TAKEN, TAKEN), ledger, batch=1)
    ship.offer(range(5))
    assert ship.flush(10)
    assert ledger.lines == [("error", "telemetry.sink_down"), ("info", "telemetry.sink_back")]
    assert (ledger.exported, dict(ledger.lost)) == (2, {"failed": 3})


def test_a_full_queue_refuses_what_is_new() -> None:
    hanging, ledger = threading.Event(), Ledger()
    exporter = Scripted(hanging)
    ship = shipper(exporter, ledger, queue=10, batch=4)
    ship.offer(range(4))
    exporter.entered.wait(10)
    ship.offer(range(100))
    assert (ship.waiting, dict(ledger.lost)) == (10, {"queue_full": 94})
    assert ledger.balances(ship)
    hanging.set()
    ship.close(10)
    assert ledger.exported == 10
    assert ledger.balances(ship)


def test_a_hanging_exporter_is_left_behind_and_counted_once() -> None:
    hanging, ledger = threading.Event(), Ledger()
    exporter = Scripted(hanging)
    ship = shipper(exporter, ledger, batch=4)
    ship.offer(range(10))
    exporter.entered.wait(10)
    ship.close(0.05)
    assert dict(ledger.lost) == {"shutdown": 10}
    ship.offer(range(3))
    assert dict(ledger.lost) == {"shutdown": 13}
    thread = ship._thread
    assert thread is not None
    assert thread.is_alive()
    hanging.set()  # the answer comes after all
    thread.join(10)
    assert not thread.is_alive()
    assert (ledger.exported, dict(ledger.lost)) == (0, {"shutdown": 13})
    assert ledger.balances(ship)
    ship.close(10)
    assert dict(ledger.lost) == {"shutdown": 13}


def test_what_was_down_is_not_waited_for_at_the_end() -> None:
    ledger = Ledger()
    ship = shipper(Scripted(BUSY), ledger, batch=2)
    ship.offer(range(2))
    assert ship.flush(10)
    ship.offer(range(1000))
    ship.close(600)
    assert dict(ledger.lost)["failed"] + ledger.lost["shutdown"] == 1002
    assert sum(ledger.tries.values()) < 10
    assert ledger.balances(ship)


def test_many_offer_at_once() -> None:
    exporter, ledger = Scripted(TAKEN), Ledger()
    ship = shipper(exporter, ledger, queue=500, batch=64)
    offering = [threading.Thread(target=lambda: [ship.offer(range(7)) for _ in range(300)]) for _ in range(4)]
    for thread in offering:
        thread.start()
    for thread in offering:
        thread.join()
    ship.close(30)
    assert ship.counts().offered == 4 * 300 * 7
    assert ledger.exported == sum(map(len, exporter.sent))
    assert ledger.balances(ship)


# Against backends


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def to(receiver: Receiver | GrpcReceiver, protocol: Any = "http/protobuf", **more: Any) -> Destination:
    url = receiver.url + TRACES if protocol == "http/protobuf" else receiver.url
    return Destination(signal="traces", url=url, protocol=protocol, **more)


def test_spans_arrive_as_they_are(receiver: Receiver) -> None:
    ledger = Ledger()
    ship = shipper(SpanExporter(to(receiver, headers={"x-key": "k"})), ledger)
    ship.offer(spans(STORIES["failover"][0]))
    ship.close(20)
    assert (ledger.exported, dict(ledger.lost)) == (4, {})
    server, call, first, second = receiver.spans()
    assert [span.name for span in receiver.spans()] == ["POST /v1/chat/completions", "chat fast", "POST", "POST"]
    assert [span.parent_id for span in (call, first, second)] == [server.span_id, call.span_id, call.span_id]
    assert (server.trace_id, server.kind, server.scope) == (f"{0xABC:032x}", "SERVER", "skein")
    assert server.resource["service.name"] == "skein"
    assert (first.status, first.attributes["http.response.status_code"]) == ("ERROR", 503)
    (request,) = receiver.requests
    assert (request.headers["content-encoding"], request.headers["x-key"]) == ("gzip", "k")


def test_spans_arrive_by_grpc() -> None:
    ledger = Ledger()
    with GrpcReceiver() as receiver:
        ship = shipper(SpanExporter(to(receiver, "grpc", headers={"x-key": "k"})), ledger)
        ship.offer(spans(STORIES["ok"][0]))
        ship.close(20)
        assert len(receiver.spans()) == 3
        assert receiver.requests[0].headers["x-key"] == "k"
        receiver.mode = unavailable()
        ship = shipper(SpanExporter(to(receiver, "grpc")), ledger)
        ship.offer(spans(STORIES["ok"][0]))
        assert ship.flush(20)
    assert (ledger.exported, dict(ledger.lost)) == (3, {"failed": 3})
    assert ledger.tries["failed"] == 3


# How the backend is, and how many of 600 spans it must have taken in the end; the rest is lost in numbers.
SICK: dict[str, tuple[Callable[[Receiver], Any], float, bool]] = {
    "well": (lambda receiver: None, 30.0, True),
    "slow": (lambda receiver: setattr(receiver, "mode", slow(0.02)), 30.0, True),
    "overloaded for a while": (lambda receiver: receiver.script(unavailable(), unavailable(), OK), 30.0, True),
    "overloaded": (lambda receiver: setattr(receiver, "mode", unavailable()), 30.0, False),
    "resets": (lambda receiver: setattr(receiver, "mode", Mode(ends="reset")), 30.0, False),
    "down": (lambda receiver: receiver.go_down(), 30.0, False),
    "hangs": (lambda receiver: setattr(receiver, "mode", HANG), 0.3, False),
}


@pytest.mark.parametrize("name", SICK)
def test_a_sick_backend_costs_spans_and_nothing_else(name: str, receiver: Receiver) -> None:
    sicken, deadline, taken = SICK[name]
    sicken(receiver)
    ledger, told = Ledger(), spans(STORIES["ok"][0])
    ship = shipper(SpanExporter(to(receiver)), ledger, batch=100)
    for _ in range(200):
        ship.offer(told)
        balanced(ship)
    ship.close(deadline)
    counts = ship.counts()
    assert (counts.offered, counts.waiting) == (600, 0)
    assert counts.exported == (600 if taken else 0)
    assert len(receiver.spans()) == counts.exported
    assert ledger.balances(ship)


def test_one_that_comes_back_gets_what_waited(receiver: Receiver) -> None:
    receiver.go_down()
    ledger = Ledger()
    ship = shipper(
        SpanExporter(to(receiver)), ledger, patience=Patience(linger=0.0, tries=1000, batch=60, backoff=0.001)
    )
    ship.offer(spans(STORIES["ok"][0]))
    receiver.come_up()
    ship.close(60)
    assert (ledger.exported, ledger.lost.total()) == (3, 0)


def test_partial_success_is_a_loss() -> None:
    body = ExportTraceServiceResponse()
    body.partial_success.rejected_spans = 3
    body.partial_success.error_message = "odd"
    assert refused_spans(body.SerializeToString()) == Answer(taken=True, refused=3, said="odd")
    assert refused_spans(b"") == refused_spans(b"\xff\xff") == TAKEN


def test_encoded_once_for_all_tries(receiver: Receiver) -> None:
    receiver.script(unavailable(retry_after=0), OK)
    ship = shipper(SpanExporter(to(receiver, compressed=False)), Ledger())
    ship.offer(spans(STORIES["ok"][0]))
    ship.close(20)
    first, second = receiver.requests
    assert first.body == second.body
    assert "content-encoding" not in second.headers
    assert first.body[:2] != gzip.compress(b"")[:2]


def odd() -> list[ReadableSpan]:
    """Of every type and size there is."""
    (span, *_) = spans(Story(trace={"parent": 0x77, "state": "a=1,b=2"}).finished("error", 401, code="invalid_api_key"))
    values = [
        True,
        1,
        1.0,
        False,
        0,
        0.0,
        "",
        "ü" * 70,
        -1,
        2**63 - 1,
        -(2**63),
        ("a", "b"),
        [1, 2.5],
        (),
        "x" * 20_000,
    ]
    span._attributes = {f"odd.{place}": value for place, value in enumerate(values)} | {"": "", "k" * 300: 300}
    return [span]


def written_out(span: ReadableSpan) -> ReadableSpan:
    """With what the stock encoder takes."""
    span = copy.copy(span)
    span._attributes = {key: str(it) if isinstance(it, Messages) else it for key, it in span.attributes.items()}
    return span


@pytest.mark.parametrize(
    "told", [*(spans(story[0]) for story in STORIES.values()), spans(telling(100), content="full"), odd()]
)
def test_encoded_as_the_stock_encoder_does(told: list[ReadableSpan]) -> None:
    expected = encode_spans([written_out(span) for span in told])
    for _ in range(2):  # and again, from what was kept
        assert ExportTraceServiceRequest.FromString(encode(told)) == expected


def test_nothing_a_caller_says_costs_a_batch() -> None:
    (span, *_) = spans(STORIES["ok"][0])
    span._attributes = {"gen_ai.request.seed": 10**40, "user.id": "half \ud83d", "why": None}
    (sent,) = spans_in(encode([span]))
    assert sent.attributes == {"gen_ai.request.seed": str(10**40), "user.id": "half ?", "why": "None"}


@pytest.mark.parametrize(
    ("value", "is_kept"),
    [
        ("stop", True),
        (("stop", "length"), True),
        (True, True),
        (7, True),
        ("x" * 65, False),
        (("x" * 65,), False),
        (("x",) * 17, False),
        ((1,), False),  # is (True,) too
        (10**40, False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_nothing_long_is_kept_of_attributes(value: Any, is_kept: bool) -> None:
    (span, *_) = spans(STORIES["ok"][0])
    span._attributes = {f"only.{value!r}"[:40]: value}
    protobuf._kept_attribute.cache_clear()
    encode([span])
    kept = protobuf._kept_attribute.cache_info().currsize - len(span.resource.attributes)
    assert kept == is_kept


def test_a_batch_that_was_sent_is_let_go_of() -> None:
    class Thing: ...

    thing = Thing()
    exporter, gone = Scripted(TAKEN), threading.Event()
    exporter.pack = len  # type: ignore[method-assign]
    weakref.finalize(thing, gone.set)
    ship = shipper(exporter, Ledger())
    ship.offer([thing])
    assert ship.flush(10)
    del thing
    assert gone.wait(10), "and not only with the next one"
    ship.close(10)


def test_a_defect_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    ship = shipper(Scripted(RuntimeError("canary-in-the-mine")), Ledger())
    ship.offer(range(3))
    assert ship.flush(10)
    assert "canary" not in caplog.text
    assert "RuntimeError" in caplog.text
    assert ", in send" in caplog.text
    ship.close(10)


# Settings and environment

HTTP = "http/protobuf"
COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318"}
CA = certifi.where()


@pytest.mark.parametrize(
    ("endpoint", "protocol", "env", "expected"),
    [
        (None, None, {}, None),
        ("http://c:4318", None, {}, ("http://c:4318/v1/traces", HTTP)),
        ("http://c:4318/", None, {}, ("http://c:4318/v1/traces", HTTP)),
        ("http://c:4318/v1/traces", None, {}, ("http://c:4318/v1/traces", HTTP)),
        ("https://c/otlp", None, {}, ("https://c/otlp/v1/traces", HTTP)),
        ("http://c:4317/x", "grpc", {}, ("http://c:4317", "grpc")),
        (None, None, {"ENDPOINT": "http://e:4318"}, ("http://e:4318/v1/traces", HTTP)),
        (None, None, {"TRACES_ENDPOINT": "http://e/own"}, ("http://e/own", HTTP)),
        (None, None, {"TRACES_ENDPOINT": "http://t/own", "ENDPOINT": "http://e"}, ("http://t/own", HTTP)),
        ("http://c", None, {"ENDPOINT": "http://e"}, ("http://c/v1/traces", HTTP)),
        (None, None, {"ENDPOINT": "http://e:4317", "PROTOCOL": "grpc"}, ("http://e:4317", "grpc")),
        (
            None,
            None,
            {"ENDPOINT": "http://e", "PROTOCOL": "grpc", "TRACES_PROTOCOL": HTTP},
            ("http://e/v1/traces", HTTP),
        ),
        ("http://c", HTTP, {"PROTOCOL": "grpc"}, ("http://c/v1/traces", HTTP)),
        ("http://c", None, {"OTEL_SDK_DISABLED": "true"}, None),
        ("http://c", None, {"OTEL_TRACES_EXPORTER": "none"}, None),
        (None, None, {"OTEL_TRACES_EXPORTER": "otlp"}, ("http://localhost:4318/v1/traces", HTTP)),
    ],
)
def test_where_spans_go(endpoint: Any, protocol: Any, env: dict[str, str], expected: Any) -> None:
    env = {name if name.startswith("OTEL_") else f"OTEL_EXPORTER_OTLP_{name}": value for name, value in env.items()}
    found = destination("traces", endpoint=endpoint, protocol=protocol, headers={}, env=env)
    assert (found and (found.url, found.protocol)) == expected


def test_headers_of_settings_and_environment() -> None:
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=a%20b, authorization=no", "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    found = destination("traces", endpoint="http://c", protocol=None, headers={"Authorization": "yes"}, env=env)
    assert found is not None
    assert found.headers == {"x-team": "a b", "authorization": "yes"}
    assert not found.compressed
    assert "yes" not in repr(found)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
            'OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" is not a URL',
        ),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, 'OTEL_EXPORTER_OTLP_PROTOCOL: no protocol "http/json"'),
        (
            {**COLLECTOR, "OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/ca.pem"},
            'OTEL_EXPORTER_OTLP_CERTIFICATE: "/no/ca.pem" cannot be read: No such file or directory',
        ),
        (
            {**COLLECTOR, "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": "/"},
            'OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE: "/" cannot be read: Is a directory',
        ),
        (
            {**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/no/key"},
            'OTEL_EXPORTER_OTLP_CLIENT_KEY: "/no/key" cannot be read: No such file or directory',
        ),
        (
            {**COLLECTOR, "OTEL_EXPORTER_OTLP_CERTIFICATE": __file__},
            f'OTEL_EXPORTER_OTLP_CERTIFICATE: "{__file__}" cannot be used: ',
        ),
        (
            {**COLLECTOR, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": CA, "OTEL_EXPORTER_OTLP_CLIENT_KEY": __file__},
            f'OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: "{CA}" with "{__file__}" cannot be used: ',
        ),
    ],
)
def test_an_environment_that_makes_no_sense(env: dict[str, str], said: str) -> None:
    with pytest.raises(OperatorError) as refused:
        destination("traces", endpoint=None, protocol=None, headers={}, env=env)
    (problem,) = refused.value.problems
    assert str(problem).startswith(said)
    assert problem.remedy


def test_a_certificate_that_is_one_is_used() -> None:
    env = {**COLLECTOR, "OTEL_EXPORTER_OTLP_CERTIFICATE": f" {CA}"}
    found = destination("traces", endpoint=None, protocol=None, headers={}, env=env)
    assert found is not None
    assert (found.certificate, found.client_certificate, found.client_key) == (CA, None, None)
    context = otlp.tls_context(found.certificate)
    assert context.cert_store_stats()["x509_ca"] > 0


def test_grpc_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "_is_installed", lambda module: False)
    with pytest.raises(OperatorError, match=r"pip install 'skein-gateway\[otlp-grpc\]'"):
        destination("traces", endpoint="http://c", protocol="grpc", headers={}, env={})


def test_grpc_in_a_file_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "observe: {otlp: {endpoint: 'http://c:4317', protocol: grpc}}"
    assert config.problems(text, {}) == []
    monkeypatch.setattr(checking, "is_installed", lambda module: False)
    (problem,) = config.problems(text, {})
    assert (problem.path, problem.remedy) == ("observe.otlp.protocol", checking.INSTALL_OTLP_GRPC)


@pytest.mark.parametrize(
    ("configured", "sampler", "argument", "ratio"),
    [
        (1.0, "", "", 1.0),
        (1.0, "always_off", "", 0.0),
        (1.0, "parentbased_traceidratio", "0.25", 0.25),
        (1.0, "parentbased_always_on", "", 1.0),
        (0.5, "traceidratio", "0.25", 0.5),
    ],
)
def test_how_much_is_sampled(configured: float, sampler: str, argument: str, ratio: float) -> None:
    env = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert sample_ratio(configured, env) == ratio


def test_a_sampler_argument_that_is_none() -> None:
    with pytest.raises(OperatorError, match="write a number from 0 to 1"):
        sample_ratio(1.0, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "half"})


# Metrics


def test_metrics_have_the_conventions_names_and_buckets(receiver: Receiver) -> None:
    with ExitStack() as stack:
        stack.enter_context(receiver)
        now, ledger = [0.0], Ledger()
        metrics = OtelMetrics(
            Destination(signal="metrics", url=receiver.url + "/v1/metrics"),
            known={"fast"}.__contains__,
            vendor=VENDORS.__getitem__,
            resource=resource({}, "1.2", "i-1"),
            clock=lambda: now[0],
            patience=QUICK,
            **ledger.listeners(),
        )
        for name in ("ok", "all fail", "reject"):
            record = STORIES[name][0].record
            assert isinstance(record.finished, events.ExchangeFinished)
            metrics.take(record.finished, record)
        metrics.settle()
        assert metrics.waiting == 0, "it is not time yet"
        metrics.close(20)
        told = {metric.name: metric for metric in receiver.metrics()}
    assert set(told) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
    }
    duration = told["gen_ai.client.operation.duration"]
    assert (duration.unit, duration.points[0].bounds) == ("s", DURATIONS)
    assert sorted(point.attributes.get("error.type", "") for point in duration.points) == ["", "provider_overloaded"]
    tokens = told["gen_ai.client.token.usage"]
    assert {point.attributes["gen_ai.token.type"]: point.value for point in tokens.points} == {
        "input": 120,
        "output": 30,
    }
    assert tokens.points[0].bounds == TOKENS
    assert {key: value for key, value in tokens.points[0].attributes.items() if key != "gen_ai.token.type"} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "fast",
        "gen_ai.response.model": "goose-1",
        "server.address": "acme.test",
        "server.port": 8443,
    }
    assert (ledger.exported, dict(ledger.lost)) == (1, {})
