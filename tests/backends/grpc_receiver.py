"""A collector that speaks OTLP over gRPC: TraceService on a loopback socket, with the same records."""

from __future__ import annotations

import socket
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from .otlp import InvalidExport, spans_in
from .recorder import Mode, Recorded, Recorder, reserved

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

# How OTLP's statuses are said in gRPC: https://opentelemetry.io/docs/specs/otlp/#failures
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class GrpcReceiver(Recorder):
    """``with GrpcReceiver() as receiver``: ``receiver.url`` is for an exporter's ``endpoint``.

    Statuses are recorded as HTTP's: 200, 400, 429, 503. A reset is what a client sees of one: UNAVAILABLE, and its
    status stays ``None``. While it is down, connections are refused and the port stays taken.
    """

    def __init__(self, port: int = 0, workers: int = 16) -> None:
        super().__init__()
        self.port, self.workers = port, workers
        self._server: grpc.Server | None = None
        self._reserved: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> GrpcReceiver:
        self.come_up()
        return self

    def __exit__(self, *failure: object) -> None:
        self.go_down()
        self._let_go()

    def come_up(self) -> None:
        if self._server is not None:
            return
        self._let_go()
        pool = futures.ThreadPoolExecutor(self.workers, thread_name_prefix="grpc-receiver")
        self._server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        add_TraceServiceServicer_to_server(_Traces(self), self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.listens(True)
        self._server.start()

    def go_down(self) -> None:
        if self._server is None:
            return
        self.listens(False)
        self._server.stop(grace=0).wait()
        self._server = None
        self._reserved = reserved(self.port)

    def _let_go(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None


class _Traces(TraceServiceServicer):
    def __init__(self, receiver: GrpcReceiver) -> None:
        self.receiver = receiver

    def Export(self, request: Any, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        headers = {name.lower(): value for name, value in context.invocation_metadata()}
        record = Recorded("POST", EXPORT, {}, headers, request.SerializeToString())
        status, said = 200, ""
        try:
            record.spans = spans_in(request)
        except InvalidExport as error:
            status, said = 400, str(error)
        mode = self.receiver.arrived(record)
        context.add_callback(self.receiver.wake)  # when the client gives up, this thread is free again
        here = self.receiver.pause(record, mode, context.is_active)
        if mode.ends != "answered" or not here or not context.is_active():
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        if mode.status != 200:
            status, said = mode.status, "as told"
        self.receiver.decided(record, status)
        if status != 200:
            _refuse(context, status, said, mode)
        return ExportTraceServiceResponse()


def _refuse(context: grpc.ServicerContext, status: int, said: str, mode: Mode) -> None:
    if mode.retry_after is not None:
        delay = Duration(nanos=int(float(mode.retry_after) * 1e9) % 10**9, seconds=int(float(mode.retry_after)))
        info = RetryInfo(retry_delay=delay).SerializeToString()
        context.set_trailing_metadata((("google.rpc.retryinfo-bin", info),))
    context.abort(CODES[status], said)
