"""OTLP: where spans and metrics go by settings and environment, and how they get there, over HTTP or gRPC.

https://opentelemetry.io/docs/specs/otlp/ and https://opentelemetry.io/docs/specs/otel/protocol/exporter/. The stock
exporters read the environment of the process, wait and try again by themselves, log every failure, and do not say what
of a batch was refused.
"""

from __future__ import annotations

import gzip
import ssl
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.errors import OperatorError, Problem, did_you_mean
from gateway.observe.export import TAKEN, Answer
from gateway.observe.protobuf import encode

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

Signal = Literal["traces", "metrics"]
Protocol = Literal["http/protobuf", "grpc"]
PROTOCOLS: tuple[Protocol, ...] = ("http/protobuf", "grpc")

DEFAULT_ENDPOINTS: Mapping[Protocol, str] = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}
FILES = ("certificate", "client_certificate", "client_key")

INSTALL_GRPC = "pip install 'skein-gateway[otlp-grpc]' (from a checkout: .venv/bin/pip install -e '.[otlp-grpc]')"

# What the specification says may be sent again; anything else would be refused again.
RETRYABLE_STATUS = frozenset((408, 429, 502, 503, 504))
RETRYABLE_CODES = frozenset(
    ("CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
)


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """``url``: with the signal's path over HTTP, without one over gRPC."""

    signal: Signal
    url: str
    protocol: Protocol = "http/protobuf"
    headers: Mapping[str, str] = {}
    compressed: bool = True
    certificate: str | None = None
    """A file with the authorities to trust."""
    client_certificate: str | None = None
    client_key: str | None = None

    def __repr__(self) -> str:
        return f"Destination(signal={self.signal!r}, url={self.url!r}, protocol={self.protocol!r})"


def destination(
    signal: Signal,
    *,
    endpoint: str | None,
    protocol: str | None,
    headers: Mapping[str, str],
    env: Mapping[str, str],
) -> Destination | None:
    """Where a signal goes; None: nowhere. The settings go before the environment, the signal's own variables before
    those for all. Raises ``OperatorError`` with every problem: a protocol there is not, or not here, an address that is
    none, a certificate or key that cannot be used.
    """
    if is_disabled(env) or env.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() == "none":
        return None
    problems: list[Problem] = []
    speaks: Protocol = "http/protobuf"
    where, url = "", None
    with gathering(problems):
        speaks, where = _protocol(signal, protocol, env)
    with gathering(problems):
        url = _url(signal, endpoint, speaks, env)
    if url is None and not problems:
        return None
    if speaks == "grpc" and not _is_installed("opentelemetry.exporter.otlp.proto.grpc"):
        what = "is grpc, but opentelemetry-exporter-otlp-proto-grpc is not installed"
        problems.append(Problem(where, what, INSTALL_GRPC))
    files = {name: _said(name.upper(), signal, env) for name in FILES}
    problems += _unusable(files)
    if url is None or problems:
        raise OperatorError(problems)
    said = _headers(_variable("HEADERS", signal, env))
    return Destination(
        signal=signal,
        url=url,
        protocol=speaks,
        headers=said | {name.lower(): value for name, value in headers.items()},
        compressed=_variable("COMPRESSION", signal, env).lower() != "none",
        **{name: path or None for name, (_, path) in files.items()},
    )


@contextmanager
def gathering(problems: list[Problem]) -> Iterator[None]:
    """What keeps the inside from being done is added to the problems, once, so that others can be found as well."""
    try:
        yield
    except OperatorError as error:
        problems += [problem for problem in error.problems if problem not in problems]


def is_disabled(env: Mapping[str, str]) -> bool:
    return env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def sample_ratio(configured: float, env: Mapping[str, str]) -> float:
    """The share of traces to keep: the setting unless it is 1, else what ``OTEL_TRACES_SAMPLER`` says."""
    sampler = env.get("OTEL_TRACES_SAMPLER", "").strip().lower().removeprefix("parentbased_")
    if configured != 1.0 or sampler not in ("always_off", "traceidratio"):
        return configured
    if sampler == "always_off":
        return 0.0
    argument = env.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        ratio = float(argument)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        problem = Problem("OTEL_TRACES_SAMPLER_ARG", f'is "{argument}"', "write a number from 0 to 1")
        raise OperatorError([problem])
    return ratio


def _variable(name: str, signal: Signal, env: Mapping[str, str]) -> str:
    return _said(name, signal, env)[1]


def _said(name: str, signal: Signal, env: Mapping[str, str]) -> tuple[str, str]:
    """The variable that counts, and what it says; nothing, where it is not set."""
    own, shared = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", f"OTEL_EXPORTER_OTLP_{name}"
    where = own if env.get(own, "").strip() else shared
    return where, env.get(where, "").strip()


def _protocol(signal: Signal, configured: str | None, env: Mapping[str, str]) -> tuple[Protocol, str]:
    """The protocol, and where it was said."""
    if configured is not None:
        where, said = "observe.otlp.protocol", configured
    else:
        where, said = _said("PROTOCOL", signal, env)
        said = said or "http/protobuf"
    for protocol in PROTOCOLS:
        if said == protocol:
            return protocol, where
    remedy = did_you_mean(said, PROTOCOLS) or f"there is {' and '.join(PROTOCOLS)}"
    raise OperatorError([Problem(where, f'no protocol "{said}"', remedy)])


def _url(signal: Signal, configured: str | None, protocol: Protocol, env: Mapping[str, str]) -> str | None:
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    if configured:
        return _with_path(configured, signal, protocol)
    if said := env.get(own, "").strip():
        # The signal's own address is taken as it is.
        return _without_path(checked_url(own, said)) if protocol == "grpc" else checked_url(own, said)
    if said := env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip():
        return _with_path(checked_url("OTEL_EXPORTER_OTLP_ENDPOINT", said), signal, protocol)
    if env.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() == "otlp":
        return _with_path(DEFAULT_ENDPOINTS[protocol], signal, protocol)
    return None


def checked_url(variable: str, text: str) -> str:
    """The same text. Raises ``OperatorError`` for what is no URL to send things to."""
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        good = False
    if not good:
        raise OperatorError([Problem(variable, f'"{text}" is not a URL', "write it as http://host:4318")])
    return text


def _with_path(base: str, signal: Signal, protocol: Protocol) -> str:
    if protocol == "grpc":
        return _without_path(base)
    split, path = urlsplit(base), f"/v1/{signal}"
    before = split.path.rstrip("/")
    for other in ("/v1/traces", "/v1/metrics"):
        before = before.removesuffix(other)
    return split._replace(path=before + path).geturl()


def _without_path(url: str) -> str:
    return urlsplit(url)._replace(path="", query="", fragment="").geturl()


def _headers(text: str) -> dict[str, str]:
    """``name=value,other=value``, with percent-encoded values."""
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs if name.strip()}


def _unusable(files: Mapping[str, tuple[str, str]]) -> list[Problem]:
    """What would else show with the first batch. ``files``: name in ``FILES`` -> variable and path."""
    problems = [
        Problem(where, f'"{path}" cannot be read: {why}', "correct the path, or unset the variable")
        for where, path in files.values()
        if path and (why := _why_unreadable(path))
    ]
    if problems:
        return problems
    (trusting, trusted), (presenting, presented), (_, key) = (files[name] for name in FILES)
    together = "name PEM files that belong together, the key without a password"
    for where, paths, remedy in (
        (trusting, (trusted,), "name a PEM file with the authorities to trust"),
        (presenting, (None, presented, key or None), together),
    ):
        if files_of := [path for path in paths if path]:
            try:
                tls_context(*paths)
            except OSError as error:
                shown = " with ".join(f'"{path}"' for path in files_of)
                problems.append(Problem(where, f"{shown} cannot be used: {_reason(error)}", remedy))
    return problems


def _why_unreadable(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        return _reason(error)
    return None


def _reason(error: OSError) -> str:
    said = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return str(said).partition(" (_ssl")[0]


def tls_context(trusted: str | None, presented: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """By the paths of PEM files; without ``trusted`` the system's authorities are. Raises ``OSError``."""
    context = ssl.create_default_context(cafile=trusted)
    if presented:
        # Without a password it would be asked for on the terminal.
        context.load_cert_chain(presented, key, password="")
    return context


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # not even the package it would be in
        return False


# How it gets there


class Wire(typing.Protocol):
    """Sends encoded requests to a destination."""

    def send(self, body: bytes, timeout: float) -> Answer: ...
    def close(self) -> None: ...


def wire(to: Destination, refused: Callable[[bytes], Answer]) -> Wire:
    """``refused`` reads an answer's body: a partial success says what of the batch was thrown away."""
    return GrpcWire(to, refused) if to.protocol == "grpc" else HttpWire(to, refused)


class HttpWire:
    def __init__(self, to: Destination, refused: Callable[[bytes], Answer]) -> None:
        # At the start rather than with the first batch, when requests would wait for the import.
        self._httpx = import_module("httpx")
        self._to, self._refused = to, refused
        self._client: Any = None
        self._headers = {"content-type": "application/x-protobuf", "user-agent": "skein", **to.headers}
        if to.compressed:
            self._headers["content-encoding"] = "gzip"

    def send(self, body: bytes, timeout: float) -> Answer:
        if self._client is None:
            self._client = self._connected()
        try:
            # The fast level: spans repeat themselves so much that it comes to nearly the same.
            data = gzip.compress(body, 1) if self._to.compressed else body
            response = self._client.post(self._to.url, content=data, headers=self._headers, timeout=timeout)
        except self._httpx.TransportError as error:
            return Answer(taken=False, again=True, said=type(error).__name__)
        if response.is_success:
            is_protobuf = response.headers.get("content-type", "").startswith("application/x-protobuf")
            return self._refused(response.content) if response.content and is_protobuf else TAKEN
        return http_refusal(response.status_code, response.headers.get("retry-after"))

    def _connected(self) -> Any:
        to = self._to
        own = to.certificate or to.client_certificate
        context = tls_context(to.certificate, to.client_certificate, to.client_key) if own else True
        return self._httpx.Client(verify=context)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def http_refusal(status: int, retry_after: str | None) -> Answer:
    """``retry_after`` in seconds; as a date it is not read."""
    wait = float(retry_after) if retry_after and retry_after.strip().isdecimal() else None
    return Answer(
        taken=False, again=status in RETRYABLE_STATUS, wait=wait, too_large=status == 413, said=f"HTTP {status}"
    )


class GrpcWire:
    """Needs the extra ``otlp-grpc``."""

    METHODS: Mapping[Signal, str] = {
        "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }

    def __init__(self, to: Destination, refused: Callable[[bytes], Answer]) -> None:
        self._to, self._refused = to, refused
        self._channel: Any = None

    def send(self, body: bytes, timeout: float) -> Answer:
        grpc = import_module("grpc")
        if self._channel is None:
            self._channel = self._connected()
        # The bytes as they are: they were encoded before, and are read after.
        call = self._channel.unary_unary(self.METHODS[self._to.signal])
        try:
            answer: bytes = call(body, timeout=timeout, metadata=tuple(self._to.headers.items()))
        except grpc.RpcError as error:
            code = error.code().name
            return Answer(taken=False, again=code in RETRYABLE_CODES, said=f"gRPC {code}")
        return self._refused(answer) if answer else TAKEN

    def _connected(self) -> Any:
        grpc = import_module("grpc")
        split = urlsplit(self._to.url)
        compression = grpc.Compression.Gzip if self._to.compressed else grpc.Compression.NoCompression
        if split.scheme == "http":
            return grpc.insecure_channel(split.netloc, compression=compression)
        files = (self._to.certificate, self._to.client_key, self._to.client_certificate)
        credentials = grpc.ssl_channel_credentials(*map(_content, files))
        return grpc.secure_channel(split.netloc, credentials, compression=compression)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()


def _content(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


class SpanExporter:
    """An ``Exporter`` of spans."""

    def __init__(self, to: Destination) -> None:
        self._wire = wire(to, refused_spans)

    def pack(self, spans: Sequence[ReadableSpan]) -> bytes:
        return encode(spans)

    def send(self, packed: bytes, timeout: float) -> Answer:
        return self._wire.send(packed, timeout)

    def close(self) -> None:
        self._wire.close()


def refused_spans(body: bytes) -> Answer:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    partial = _parsed(ExportTraceServiceResponse, body)
    return TAKEN if partial is None else Answer(taken=True, refused=partial.rejected_spans, said=partial.error_message)


def refused_points(body: bytes) -> Answer:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

    partial = _parsed(ExportMetricsServiceResponse, body)
    if partial is None:
        return TAKEN
    return Answer(taken=True, refused=partial.rejected_data_points, said=partial.error_message)


def _parsed(kind: Any, body: bytes) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        answer = kind.FromString(body)
    except DecodeError:  # it was taken, whatever is said about it
        return None
    return answer.partial_success if answer.HasField("partial_success") else None
