"""The telemetry backends are what they say, to the real clients: without that, no test against them means anything."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import opentelemetry.exporter.otlp.proto.grpc.trace_exporter as grpc_exporter
import opentelemetry.exporter.otlp.proto.http.trace_exporter as http_exporter
import pytest
from langfuse import Langfuse
from langfuse.api import NotFoundError
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
from prometheus_client import CollectorRegistry, Histogram, start_http_server

from tests.backends import (
    BAD_REQUEST,
    HANG,
    INGESTION,
    LANGFUSE_TRACES,
    METRICS,
    OK,
    RESET,
    SCORES,
    TRACES,
    Mode,
    Prometheus,
    QueryFailed,
    Receiver,
    amtool,
    promtool,
    slow,
    unavailable,
)
from tests.backends.grpc_receiver import EXPORT, GrpcReceiver
from tests.backends.prometheus import located

TRACE = "0af7651916cd43dd8448eb211c80319c"
ATTRIBUTES: dict[str, Any] = {"text": "a", "number": 3, "share": 0.5, "yes": True, "list": ["x", "y"]}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def finished_spans() -> tuple[ReadableSpan, ...]:
    """A child and its root, as the SDK has them at the end."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "skein"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("gateway.observe")
    root = tracer.start_span("POST /v1/chat/completions", kind=SpanKind.SERVER, start_time=1_000_000_000)
    child = tracer.start_span("chat fast", set_span_in_context(root), SpanKind.CLIENT, start_time=1_100_000_000)
    child.set_attributes(ATTRIBUTES)
    child.add_event("skein.failover", {"reason": "overloaded"}, timestamp=1_200_000_000)
    child.set_status(StatusCode.ERROR, "no target left")
    child.end(1_350_000_000)
    root.end(1_500_000_000)
    return memory.get_finished_spans()


SPANS = finished_spans()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


# --- spans, by three ways in


@contextmanager
def http(path: str, **settings: Any) -> Iterator[tuple[Receiver, SpanExporter]]:
    with Receiver() as receiver, closing(receiver.url + path, **settings) as exporter:
        yield receiver, exporter


@contextmanager
def closing(url: str, **settings: Any) -> Iterator[SpanExporter]:
    exporter = http_exporter.OTLPSpanExporter(url, **settings)
    try:
        yield exporter
    finally:
        exporter.shutdown()


@contextmanager
def grpc(path: str, **settings: Any) -> Iterator[tuple[GrpcReceiver, SpanExporter]]:
    with GrpcReceiver() as receiver:
        exporter = grpc_exporter.OTLPSpanExporter(receiver.url, insecure=True, **settings)
        try:
            yield receiver, exporter
        finally:
            exporter.shutdown()


WAYS = {TRACES: http, LANGFUSE_TRACES: http, EXPORT: grpc}


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
@pytest.mark.parametrize("path", WAYS)
def test_spans_are_recorded_as_they_were(path: str, compression: Compression):
    settings = {"compression": compression} if path != EXPORT else {}
    with WAYS[path](path, headers={"x-sent": "yes"}, **settings) as (receiver, exporter):
        assert exporter.export(SPANS) is SpanExportResult.SUCCESS
        child, root = receiver.wait_for(2)
        assert receiver.accepted == {path: 2}
        (request,) = receiver.requests
    assert (request.path, request.headers["x-sent"], request.status) == (path, "yes", 200)
    assert request.spans == (child, root)
    ids = [each.get_span_context() for each in SPANS]
    assert [(each.trace_id, each.span_id) for each in (child, root)] == [
        (format(each.trace_id, "032x"), format(each.span_id, "016x")) for each in ids
    ]
    assert (root.name, root.kind, root.parent_id, root.status) == ("POST /v1/chat/completions", "SERVER", None, "UNSET")
    assert (child.kind, child.parent_id, child.start, child.seconds) == ("CLIENT", root.span_id, 1_100_000_000, 0.25)
    assert (child.attributes, child.status, child.status_message) == (ATTRIBUTES, "ERROR", "no target left")
    assert (child.scope, child.resource) == ("gateway.observe", {"service.name": "skein"})
    event = child.event("skein.failover")
    assert (event.time, event.attributes) == (1_200_000_000, {"reason": "overloaded"})


@pytest.mark.parametrize(
    ("modes", "statuses"),
    [
        ([slow(0.05)], [200]),
        ([BAD_REQUEST], [400]),
        ([unavailable(retry_after=60)], [503]),
        ([unavailable(retry_after=0), OK], [503, 200]),
        ([slow(60)] * 2, [None]),
        ([HANG] * 2, [None]),
        ([RESET] * 2, [None]),
    ],
)
@pytest.mark.parametrize("path", WAYS)
def test_an_exporter_meets_each_mode(path: str, modes: list[Mode], statuses: list[int | None]):
    delivered = statuses[-1] == 200
    with WAYS[path](path, timeout=10 if statuses[0] else 0.4) as (receiver, exporter):
        receiver.script(*modes)
        assert (exporter.export(SPANS) is SpanExportResult.SUCCESS) == delivered
        receiver.wait_until(lambda r: r.requests)
    # After a connection has failed the exporter tries another at once.
    seen = [each.status for each in receiver.requests]
    assert seen == statuses or (statuses == [None] and set(seen) == {None})
    assert all(each.spans for each in receiver.requests)
    assert receiver.accepted == ({path: 2} if delivered else {})


def test_nothing_is_accepted_from_a_client_that_has_left(receiver: Receiver):
    receiver.mode = slow(60)
    with closing(receiver.traces_url, timeout=0.4) as exporter:
        assert exporter.export(SPANS) is SpanExportResult.FAILURE
    receiver.wait_until(lambda r: r.requests)
    receiver.mode = OK
    receiver.wait_until(lambda r: not r.open_connections)
    assert (receiver.requests[0].status, receiver.accepted) == (None, {})


@pytest.mark.parametrize("path", WAYS)
def test_down_refuses_and_up_is_the_same_address(path: str):
    with WAYS[path](path, timeout=0.75) as (receiver, exporter):  # less than the exporter waits to try again
        assert exporter.export(SPANS) is SpanExportResult.SUCCESS
        address = receiver.url
        receiver.go_down()
        assert exporter.export(SPANS) is SpanExportResult.FAILURE
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", receiver.port)) == errno.ECONNREFUSED
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", receiver.port))
        receiver.come_up()
        assert receiver.url == address
    assert receiver.accepted == {path: 2}


def test_a_reset_is_one_and_a_hanging_request_is_cut_by_it(receiver: Receiver):
    for mode in (RESET, HANG):
        receiver.mode = mode
        with socket.create_connection(("127.0.0.1", receiver.port), 10) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            receiver.wait_until(lambda r: r.requests)
            receiver.forget()
            receiver.mode = OK
            with pytest.raises(ConnectionResetError):
                client.recv(1)


INVALID: dict[str, dict[str, bytes]] = {
    "an all zero span id": {"span_id": bytes(8)},
    "a short span id": {"span_id": b"1234567"},
    "no span id": {"span_id": b""},
    "an all zero trace id": {"trace_id": bytes(16)},
    "a long parent id": {"parent_span_id": b"123456789"},
}


@pytest.mark.parametrize("invalid", INVALID.values(), ids=INVALID)
@pytest.mark.parametrize("path", WAYS)
def test_one_invalid_id_refuses_the_batch(path: str, invalid: dict[str, bytes], monkeypatch: pytest.MonkeyPatch):
    request = encode_spans(SPANS)
    for field, value in invalid.items():
        setattr(request.resource_spans[0].scope_spans[0].spans[1], field, value)
    for exporter in (http_exporter, grpc_exporter):
        monkeypatch.setattr(exporter, "encode_spans", lambda spans: request)
    with WAYS[path](path) as (receiver, exporter):
        assert exporter.export(SPANS) is SpanExportResult.FAILURE
    assert [each.status for each in receiver.requests] == [400]
    assert receiver.accepted == {}


def test_what_a_backend_cannot_read_is_refused(receiver: Receiver):
    protobuf = {"content-type": "application/x-protobuf"}
    with httpx.Client(base_url=receiver.url) as client:
        answers = [
            client.post(TRACES, content=b"{}", headers={"content-type": "application/json"}),
            client.post(TRACES, content=b"\xff", headers=protobuf),
            client.post(TRACES, content=b"no gzip", headers=protobuf | {"content-encoding": "gzip"}),
            client.post(TRACES, content=b"", headers=protobuf | {"content-encoding": "br"}),
            client.post(INGESTION, content=b"{"),
            client.post(SCORES, json={"name": "alone"}),
            client.post("/v1/logs", content=b"", headers=protobuf),
            client.get(TRACES),
        ]
    assert [answer.status_code for answer in answers] == [415, 400, 400, 415, 400, 400, 404, 404]
    assert len(receiver.requests) == len(answers)


def test_waiting_ends_with_what_was_there(receiver: Receiver):
    with closing(receiver.traces_url) as exporter:
        exporter.export(SPANS)
    with pytest.raises(AssertionError, match="2 spans accepted; requests: POST /v1/traces 200 2 spans"):
        receiver.wait_for(3, timeout=0.01)
    with ThreadPoolExecutor(1) as pool, closing(receiver.traces_url) as exporter:
        receiver.mode = HANG
        exporting = pool.submit(exporter.export, SPANS)
        receiver.wait_until(lambda r: len(r.requests) == 2)
        receiver.mode = OK  # the first was cut, so the exporter tries once more
        assert len(receiver.wait_for(4)) == 4
        assert exporting.result() is SpanExportResult.SUCCESS


def test_metrics_are_recorded(receiver: Receiver):
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(receiver.url + METRICS), export_interval_millis=3_600_000)
    provider = MeterProvider([reader], Resource({"service.name": "skein"}))
    meter = provider.get_meter("gateway.observe")
    meter.create_counter("sent", unit="{span}").add(3, {"sink": "otlp"})
    meter.create_histogram("took", unit="s", explicit_bucket_boundaries_advisory=[1.0, 2.0]).record(1.5)
    provider.shutdown()
    sent, took = receiver.metrics()
    assert (sent.kind, sent.unit, sent.points[0].value, sent.points[0].attributes) == (
        "sum",
        "{span}",
        3,
        {"sink": "otlp"},
    )
    assert (took.kind, took.points[0].count, took.points[0].bucket_counts) == ("histogram", 1, (0, 1, 0))
    assert (took.points[0].value, took.scope, took.resource) == (1.5, "gateway.observe", {"service.name": "skein"})


# --- Langfuse, by its own SDK


@contextmanager
def langfuse(receiver: Receiver, **settings: Any) -> Iterator[Langfuse]:
    """Clients are kept by public key for the whole process, so each has a key of its own: the port."""
    client = Langfuse(
        public_key=f"pk-{receiver.port}",
        secret_key="sk",
        base_url=receiver.url,
        tracer_provider=TracerProvider(),  # or it would make itself the global one
        **settings,
    )
    try:
        yield client
    finally:
        client.shutdown()


def test_langfuse_delivers_observations_and_scores(receiver: Receiver):
    with langfuse(receiver) as client:
        observation = client.start_observation(name="chat fast", as_type="generation", model="gpt-4.1")
        observation.end()
        client.create_score(name="helpful", value=1.0, trace_id=observation.trace_id)
    span = receiver.span("chat fast")
    assert span.trace_id == observation.trace_id
    assert span.attributes["langfuse.observation.model.name"] == "gpt-4.1"
    (sent,) = receiver.requests_to(LANGFUSE_TRACES)
    assert sent.headers["x-langfuse-ingestion-version"] == "4"
    assert sent.headers["authorization"].startswith("Basic ")
    assert sent.headers["content-encoding"] == "gzip"
    assert [(score["name"], score["value"]) for score in receiver.scores()] == [("helpful", 1.0)]


@pytest.mark.parametrize("mode", [slow(60), unavailable(), BAD_REQUEST, HANG, RESET])
def test_langfuse_loses_what_a_failing_server_is_sent(receiver: Receiver, mode: Mode):
    receiver.mode = mode
    with langfuse(receiver, timeout=0.4) as client:
        client.start_observation(name="chat fast").end()
        client.flush()
        receiver.wait_until(lambda r: r.requests_to(LANGFUSE_TRACES))
    assert receiver.requests_to(LANGFUSE_TRACES)[0].spans[0].name == "chat fast"
    assert receiver.accepted == {}


def test_langfuse_reads_prompts(receiver: Receiver):
    chat = [{"role": "system", "content": "Be {{tone}}."}, {"type": "placeholder", "name": "history"}]
    receiver.add_prompt("agents/lead", "Say {{word}}.", config={"model": "fast"}, tags=("agents",))
    receiver.add_prompt("agents/lead", "Say it: {{word}}.", version=2, labels=("canary",))
    receiver.add_prompt("talk", chat, version=7)
    with langfuse(receiver) as client:
        lead = client.get_prompt("agents/lead")
        assert (lead.compile(word="hi"), lead.version, lead.labels) == ("Say hi.", 1, ["production"])
        assert (lead.config, lead.tags) == ({"model": "fast"}, ["agents"])
        assert client.get_prompt("agents/lead", version=2).prompt == "Say it: {{word}}."
        assert client.get_prompt("agents/lead", label="latest").labels == ["canary", "latest"]
        talk = client.get_prompt("talk", type="chat")
        assert talk.compile(tone="brief", history=[{"role": "user", "content": "hi"}]) == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ]
        assert talk.version == 7
        with pytest.raises(NotFoundError):
            client.get_prompt("nobody", max_retries=0)


# Not 503: for that the SDK sleeps seconds and tries again, whatever it is told.
@pytest.mark.parametrize("mode", [slow(60), BAD_REQUEST, HANG, RESET])
def test_langfuse_falls_back_where_prompts_cannot_be_had(receiver: Receiver, mode: Mode):
    receiver.add_prompt("lead", "Theirs")
    receiver.mode = mode
    with langfuse(receiver) as client:
        prompt = client.get_prompt("lead", fallback="Ours", max_retries=0, fetch_timeout_seconds=0.3)
        assert (prompt.prompt, prompt.is_fallback) == ("Ours", True)


def test_ingestion_and_retry_after_over_plain_http(receiver: Receiver):
    events = [{"id": "1", "type": "score-create", "body": {"name": "helpful"}}]
    with httpx.Client(base_url=receiver.url) as client:
        receiver.script(unavailable(retry_after=7))
        turned_away = client.post(INGESTION, json={"batch": events})
        assert (turned_away.status_code, turned_away.headers["retry-after"]) == (503, "7")
        taken = client.post(INGESTION, json={"batch": events})
        assert (taken.status_code, taken.json()["successes"]) == (207, [{"id": "1", "status": 201}])
    assert receiver.ingested() == events


# --- Prometheus

RULES = """
groups:
  - name: app
    rules:
      - {record: "app:seconds:count", expr: app_seconds_count}
      - {alert: AppSeen, expr: app_seconds_count > 0, labels: {severity: page}}
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    registry = CollectorRegistry()
    seconds = Histogram("app_seconds", "How long it took", ["model"], registry=registry, buckets=[1.0])
    seconds.labels("fast").observe(0.25, {"trace_id": TRACE})
    server, thread = start_http_server(0, "127.0.0.1", registry)
    rules = tmp_path_factory.mktemp("rules") / "app.yml"
    rules.write_text(RULES)
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    with Prometheus({"app": [url]}, rule_files=[rules], scrape_interval=0.2) as prometheus:
        prometheus.wait_scraped()
        yield prometheus
    server.shutdown()
    server.server_close()
    thread.join()


def test_prometheus_scrapes_and_answers(prometheus: Prometheus):
    (target,) = prometheus.targets()
    assert (target["health"], target["labels"]["job"]) == ("up", "app")
    (sample,) = prometheus.query('app_seconds_count{model="fast"}')
    assert (sample.labels["__name__"], sample.labels["job"], sample.value) == ("app_seconds_count", "app", 1.0)
    assert prometheus.value("app_seconds_sum") == 0.25
    assert prometheus.value("scalar(app_seconds_count)") == 1
    assert prometheus.value("app_seconds_count", time=sample.time - 3600) is None
    (series,) = prometheus.query_range("app_seconds_count", sample.time - 60, sample.time)
    assert series.points[-1] == (sample.time, 1.0)
    with pytest.raises(QueryFailed, match="parse error"):
        prometheus.query("sum(")


def test_prometheus_keeps_exemplars(prometheus: Prometheus):
    (exemplar,) = prometheus.exemplars("app_seconds_bucket")
    assert (exemplar.labels, exemplar.value) == ({"trace_id": TRACE}, 0.25)
    assert (exemplar.series["model"], exemplar.series["le"]) == ("fast", "1.0")


def test_prometheus_evaluates_rules(prometheus: Prometheus):
    prometheus.wait_until(lambda p: p.query("app:seconds:count") and p.alerts())
    assert {(rule["name"], rule["type"], rule["health"]) for rule in prometheus.rules()} == {
        ("app:seconds:count", "recording", "ok"),
        ("AppSeen", "alerting", "ok"),
    }
    assert [(alert["labels"]["alertname"], alert["state"]) for alert in prometheus.alerts()] == [("AppSeen", "firing")]
    with pytest.raises(AssertionError, match=r"not within 0.01 s\n(?s:.)*/metrics up"):
        prometheus.wait_until(lambda p: p.query("nothing_of_the_kind"), timeout=0.01)


def test_a_stopped_prometheus_leaves_nothing():
    with Prometheus() as prometheus:
        data = prometheus.directory
        assert prometheus.query("vector(1)")[0].value == 1
        prometheus.stop()
        assert not data.exists()
        with pytest.raises(OSError, match="refused"):
            prometheus.query("vector(1)")


def test_a_prometheus_that_cannot_start_says_why():
    broken = [{"job_name": "twice", "no_such_setting": 1}]
    with pytest.raises(AssertionError, match="no_such_setting"), Prometheus(scrape_configs=broken):
        pass


@pytest.mark.parametrize(
    ("tool", "arguments", "stdin", "status", "said"),
    [
        (promtool, ["check", "metrics"], "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n", 0, ""),
        (promtool, ["check", "metrics"], "# TYPE a_total counter\na_total 1\n", 3, "no help text"),
        (amtool, ["check-config", "/no/such/file"], None, 1, "does not exist"),
    ],
)
def test_the_tools_are_run(tool: Any, arguments: list[str], stdin: str | None, status: int, said: str):
    result = tool(*arguments, stdin=stdin)
    assert result.returncode == status
    assert said in result.stdout + result.stderr


@pytest.mark.parametrize(("env", "outcome"), [({}, pytest.skip.Exception), ({"CI": "true"}, pytest.fail.Exception)])
def test_a_missing_program_skips_but_fails_in_ci(env: dict[str, str], outcome: type[Exception]):
    with pytest.raises(outcome, match="promtool is missing: it is in the Debian package prometheus"):
        located("promtool", env | {"PATH": "/no/such/directory"})
