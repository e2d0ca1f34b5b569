"""Telemetry backends for tests: receivers that record what they are sent, and a real Prometheus.

The receiver for gRPC is imported from ``tests.backends.grpc_receiver`` alone: it brings grpcio with it.
"""

from .otlp import Event, InvalidExport, Metric, Point, Span
from .prometheus import Exemplar, Prometheus, QueryFailed, Sample, Series, amtool, promtool
from .receiver import INGESTION, LANGFUSE_TRACES, METRICS, PROMPTS, SCORES, TRACES, Receiver
from .recorder import BAD_REQUEST, HANG, OK, RESET, Mode, Recorded, Recorder, slow, unavailable

__all__ = [
    "BAD_REQUEST", "HANG", "INGESTION", "LANGFUSE_TRACES", "METRICS", "OK", "PROMPTS", "RESET", "SCORES", "TRACES",
    "Event", "Exemplar", "InvalidExport", "Metric", "Mode", "Point", "Prometheus", "QueryFailed", "Receiver",
    "Recorded", "Recorder", "Sample", "Series", "Span", "amtool", "promtool", "slow", "unavailable",
]  # fmt: skip
