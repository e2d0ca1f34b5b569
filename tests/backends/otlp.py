"""OTLP export requests as plain Python: what a backend would keep of the spans and metrics it is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

Attributes = dict[str, Any]


class InvalidExport(ValueError):
    """What a backend refuses as a whole, with a 400."""


@dataclass(frozen=True)
class Event:
    """``time`` in nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """Ids are lower-case hex, times nanoseconds since the epoch.

    ``kind`` is ``"SERVER"``, ``"CLIENT"``, ``"INTERNAL"``, …; ``status`` is ``"UNSET"``, ``"OK"`` or ``"ERROR"``;
    ``scope`` is the instrumentation scope's name and ``resource`` the resource's attributes.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start: int
    end: int
    attributes: Attributes
    events: tuple[Event, ...]
    links: tuple[tuple[str, str], ...]
    status: str
    status_message: str
    resource: Attributes
    scope: str

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / 1e9

    def event(self, name: str) -> Event:
        """The one event of this name; ``AssertionError`` when there is none or more."""
        found = [event for event in self.events if event.name == name]
        assert len(found) == 1, f"{self.name} has {[event.name for event in self.events]}, not one {name}"
        return found[0]


@dataclass(frozen=True)
class Point:
    """One label set of a metric: ``value`` is a gauge's or sum's value, or a histogram's sum."""

    attributes: Attributes
    value: float
    count: int | None = None
    bounds: tuple[float, ...] = ()
    bucket_counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Metric:
    """``kind`` is the protocol's word: ``gauge``, ``sum``, ``histogram``, ``exponential_histogram``, ``summary``."""

    name: str
    kind: str
    unit: str
    points: tuple[Point, ...]
    resource: Attributes
    scope: str


def spans_in(request: bytes | ExportTraceServiceRequest) -> tuple[Span, ...]:
    """The spans of an export request; ``InvalidExport`` for what is no request, and for one invalid id among all."""
    request = _parsed(ExportTraceServiceRequest, request)
    return tuple(
        _span(span, attributes(group.resource.attributes), scoped.scope.name)
        for group in request.resource_spans
        for scoped in group.scope_spans
        for span in scoped.spans
    )


def metrics_in(request: bytes | ExportMetricsServiceRequest) -> tuple[Metric, ...]:
    """The metrics of an export request; ``InvalidExport`` for what is no request."""
    request = _parsed(ExportMetricsServiceRequest, request)
    return tuple(
        Metric(
            metric.name,
            kind,
            metric.unit,
            tuple(map(_point, getattr(metric, kind).data_points)),
            attributes(group.resource.attributes),
            scoped.scope.name,
        )
        for group in request.resource_metrics
        for scoped in group.scope_metrics
        for metric in scoped.metrics
        if (kind := metric.WhichOneof("data"))
    )


def attributes(pairs: Any) -> Attributes:
    return {pair.key: value(pair.value) for pair in pairs}


def value(given: AnyValue) -> Any:
    """An attribute's value: ``str``, ``bool``, ``int``, ``float``, ``bytes``, a list, a dict, or ``None``."""
    match kind := given.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [value(each) for each in given.array_value.values]
        case "kvlist_value":
            return attributes(given.kvlist_value.values)
        case _:
            return getattr(given, kind)


def _parsed(kind: Any, request: Any) -> Any:
    if not isinstance(request, bytes):
        return request
    try:
        return kind.FromString(request)
    except DecodeError as error:
        raise InvalidExport(f"not an {kind.DESCRIPTOR.name}: {error}") from None


def _span(span: trace_pb2.Span, resource: Attributes, scope: str) -> Span:
    return Span(
        trace_id=_id(span.trace_id, 16, "trace id"),
        span_id=_id(span.span_id, 8, "span id"),
        parent_id=_id(span.parent_span_id, 8, "parent span id") if span.parent_span_id else None,
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=attributes(span.attributes),
        events=tuple(Event(each.name, each.time_unix_nano, attributes(each.attributes)) for each in span.events),
        links=tuple((each.trace_id.hex(), each.span_id.hex()) for each in span.links),
        status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        status_message=span.status.message,
        resource=resource,
        scope=scope,
    )


def _id(given: bytes, size: int, what: str) -> str:
    if len(given) != size or not any(given):
        raise InvalidExport(f"{given.hex() or 'nothing'} is no {what}: {size} bytes, not all zero")
    return given.hex()


def _point(point: Any) -> Point:
    names = {field.name for field in point.DESCRIPTOR.fields}
    if "as_double" in names:
        return Point(attributes(point.attributes), getattr(point, point.WhichOneof("value") or "as_double"))
    bounds = point.explicit_bounds if "explicit_bounds" in names else ()
    counts = point.bucket_counts if "bucket_counts" in names else ()
    return Point(attributes(point.attributes), point.sum, point.count, tuple(bounds), tuple(counts))
