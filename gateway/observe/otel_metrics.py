"""Metrics over OTLP under the names of the GenAI conventions, for who has no Prometheus. Off unless asked for.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-metrics.md, buckets included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway import events
from gateway.observe.export import Answer, Patience, Say, Shipper
from gateway.observe.otlp import Destination, refused_points, wire
from gateway.observe.record import Record
from gateway.observe.traces import host_of, provider_name

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

# Seconds between two exports, as the SDK has it.
INTERVAL = 60.0

DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = tuple(4.0**power for power in range(14))


class OtelMetrics:
    """A sink, and a way out. ``known`` and ``vendor`` as in ``Traces``; a model that is not known is ``_other``.

    The numbers are cumulative: an export that fails costs nothing but time. What waits and is lost is whole exports.
    """

    name = "otlp_metrics"
    hears = (events.ExchangeFinished,)

    def __init__(
        self,
        to: Destination,
        *,
        known: Callable[[str], bool],
        vendor: Callable[[str], str],
        resource: Mapping[str, str],
        lost: Callable[[str, str, int], None],
        exported: Callable[[str, int], None],
        timed: Callable[[str, str, float], None],
        say: Say,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
    ) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.resources import Resource

        self._known, self._vendor, self._clock, self._interval = known, vendor, clock, interval
        reader = _reader()
        self._provider = MeterProvider([reader], resource=Resource(dict(resource)), shutdown_on_exit=False)
        histogram = self._provider.get_meter("skein", resource.get("service.version")).create_histogram
        self._duration = histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="From the request to the end of its answer, retries and failovers included.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self._first = histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="From the request to the first output of its stream, retries and failovers included.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self._tokens = histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of answers.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )
        self._shipper: Shipper[None] = Shipper(
            self.name,
            _Points(to, reader),
            queue=2,
            batch=2,
            lost=lost,
            exported=exported,
            timed=timed,
            say=say,
            patience=patience or Patience(linger=0.0),
        )
        self._looked, self._new = clock(), False

    def take(self, event: events.Event, record: Record | None) -> None:
        if isinstance(event, events.ExchangeFinished) and record is not None and record.tries:
            self._count(event, record)
            self._new = True

    def settle(self) -> None:
        """Exports when it is time, and there is something new."""
        if self._new and self._clock() - self._looked >= self._interval and not self.waiting:
            self._looked, self._new = self._clock(), False
            self._shipper.offer([None])

    @property
    def waiting(self) -> int:
        return self._shipper.waiting

    def close(self, deadline: float) -> None:
        if self._new and not self.waiting:
            self._shipper.offer([None])
        self._shipper.close(deadline)
        self._provider.shutdown()

    def _count(self, finished: events.ExchangeFinished, record: Record) -> None:
        understood = record.understood
        if understood is None:
            return
        told = self._attributes(record)
        failed = {"error.type": record.error_type} if record.error_type else {}
        self._duration.record(finished.at - understood.at, told | failed)
        if record.stream and record.output_at is not None:
            self._first.record(record.output_at - understood.at, told)
        usage = finished.spent.usage if finished.begun or record.outcome == "ok" else None
        if usage is not None:
            self._tokens.record(usage.input_tokens, told | {"gen_ai.token.type": "input"})
            self._tokens.record(usage.output_tokens, told | {"gen_ai.token.type": "output"})

    def _attributes(self, record: Record) -> dict[str, Any]:
        target, known = record.target or record.tries[-1].target, self._known(record.model)
        address, port = host_of(record.tries[-1].started.url)
        told = {
            "gen_ai.operation.name": record.understood.facts.operation if record.understood else "chat",
            "gen_ai.provider.name": provider_name(self._vendor(target.provider)),
            "gen_ai.request.model": record.model if known else "_other",
            "server.address": address,
            "server.port": port,
        }
        if known:
            # Not what the vendor calls it in its answer, which may be anything.
            told["gen_ai.response.model"] = target.model
        return told


def _reader() -> MetricReader:
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    return InMemoryMetricReader()


class _Points:
    """An ``Exporter`` of what the reader has: the numbers are looked at in the shipper's thread."""

    def __init__(self, to: Destination, reader: Any) -> None:
        self._wire, self._reader = wire(to, refused_points), reader

    def pack(self, looks: Sequence[None]) -> bytes:
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

        data: MetricsData | None = self._reader.get_metrics_data()
        encoded: bytes = encode_metrics(data).SerializeToString() if data is not None else b""
        return encoded

    def send(self, packed: bytes, timeout: float) -> Answer:
        answer = self._wire.send(packed, timeout)
        # Of an export, not of a point: it was taken.
        return Answer(taken=True, said=answer.said) if answer.taken else answer

    def close(self) -> None:
        self._wire.close()
