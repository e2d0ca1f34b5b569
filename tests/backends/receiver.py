"""A collector and a Langfuse on one loopback socket: OTLP over HTTP, scores, ingestion and prompts, recorded."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import select
import socket
import socketserver
import struct
import sys
import threading
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .otlp import InvalidExport, metrics_in, spans_in
from .recorder import Mode, Recorded, Recorder, reserved

TRACES = "/v1/traces"
METRICS = "/v1/metrics"
LANGFUSE_TRACES = "/api/public/otel/v1/traces"
SCORES = "/api/public/scores"
INGESTION = "/api/public/ingestion"
PROMPTS = "/api/public/v2/prompts/"

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
Answer = tuple[int, Any]
"""A status and what goes with it: bytes as they are, anything else as JSON."""


class Receiver(Recorder):
    """``with Receiver() as receiver``: listens at ``receiver.url`` until the end.

    ``mode`` befalls every request, prompts too. ``go_down`` refuses connections and cuts those there are, ``come_up``
    listens again at the same address; meanwhile the port stays taken. Other requests are answered as a collector and
    Langfuse do: 400 for what cannot be read and for a batch with one invalid id, 404 for other paths, 415 for other
    types and encodings.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self.port = port
        self._server: _Server | None = None
        self._reserved: socket.socket | None = None
        self._prompts: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def traces_url(self) -> str:
        return self.url + TRACES

    @property
    def langfuse_traces_url(self) -> str:
        return self.url + LANGFUSE_TRACES

    @property
    def open_connections(self) -> int:
        return len(self._server.open) if self._server else 0

    # --- what Langfuse holds

    def add_prompt(
        self,
        name: str,
        prompt: str | list[dict[str, Any]],
        *,
        version: int = 1,
        labels: tuple[str, ...] = ("production",),
        config: dict[str, Any] | None = None,
        tags: tuple[str, ...] = (),
    ) -> None:
        """A text prompt, or a chat prompt: a list of ``{"role", "content"}`` and ``{"type": "placeholder", "name"}``.

        A label moves to the newest prompt that has it, as in Langfuse; the newest version has ``latest`` too.
        """
        for other in self._prompts:
            if other["name"] == name:
                other["labels"] = [label for label in other["labels"] if label not in labels]
        self._prompts.append(
            {
                "type": "text" if isinstance(prompt, str) else "chat",
                "name": name,
                "version": version,
                "prompt": prompt,
                "labels": list(labels),
                "config": config or {},
                "tags": list(tags),
                "commitMessage": None,
                "resolutionGraph": None,
            }
        )

    def scores(self) -> list[dict[str, Any]]:
        """The scores accepted, one by one."""
        return [score for each in self.requests_to(SCORES) if each.accepted for score in each.json]

    def ingested(self) -> list[dict[str, Any]]:
        """The events of the accepted ingestion batches."""
        return [event for each in self.requests_to(INGESTION) if each.accepted for event in each.json["batch"]]

    # --- coming and going

    def __enter__(self) -> Receiver:
        self.come_up()
        return self

    def __exit__(self, *failure: object) -> None:
        self.go_down()
        self._let_go()

    def come_up(self) -> None:
        if self._server is not None:
            return
        self._let_go()
        self._server = _Server(self, self.port)
        self.port = self._server.server_address[1]
        self.listens(True)
        self._server.start()

    def go_down(self) -> None:
        if self._server is None:
            return
        self.listens(False)
        self._server.stop()
        self._server.drained()
        self._server = None
        self._reserved = reserved(self.port)

    def _let_go(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    # --- answering

    def answer(self, request: Recorded) -> Answer:
        """What the request gets in the mode OK; decodes it into the request on the way."""
        try:
            if request.method == "GET" and request.path.startswith(PROMPTS):
                return self._prompt(request)
            if request.method != "POST" or request.path not in ANSWERS:
                return 404, {"message": f"no {request.method} {request.path} here"}
            request.body = _decompressed(request)
            return ANSWERS[request.path](request)
        except Refused as refused:
            return refused.answer
        except InvalidExport as error:
            return 400, {"message": str(error)}

    def _prompt(self, request: Recorded) -> Answer:
        name, asked = request.path.removeprefix(PROMPTS), request.query
        known = sorted((each for each in self._prompts if each["name"] == name), key=lambda each: each["version"])
        if "version" in asked:
            wanted, found = f"version {asked['version']}", [p for p in known if str(p["version"]) == asked["version"]]
        elif (label := asked.get("label", "production")) == "latest":
            wanted, found = "label 'latest'", known
        else:
            wanted, found = f"label '{label}'", [each for each in known if label in each["labels"]]
        if not found:
            message = f"Prompt not found: '{name}' with {wanted}"
            return 404, {"message": message, "error": "LangfuseNotFoundError"}
        latest = ["latest"] if found[-1] is known[-1] else []
        return 200, found[-1] | {"labels": [*found[-1]["labels"], *latest]}


class Refused(Exception):
    """A request that is turned away with this answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.answer: Answer = (status, {"message": message})


# --- what each path says to a request it understands


def _traces(request: Recorded) -> Answer:
    request.spans = spans_in(_protobuf(request))
    return 200, b""  # an ExportTraceServiceResponse in which all is well is empty


def _metrics(request: Recorded) -> Answer:
    request.metrics = metrics_in(_protobuf(request))
    return 200, b""


def _scores(request: Recorded) -> Answer:
    request.json = _json(request)
    if not isinstance(request.json, list):  # a list is what the SDK sends since its version 5
        raise Refused(400, "no list of scores")
    return 202, {"message": "Accepted"}


def _ingestion(request: Recorded) -> Answer:
    request.json = _json(request)
    if not isinstance(request.json, dict) or not isinstance(request.json.get("batch"), list):
        raise Refused(400, "no batch")
    return 207, {"successes": [{"id": each.get("id"), "status": 201} for each in request.json["batch"]], "errors": []}


ANSWERS: dict[str, Callable[[Recorded], Answer]] = {
    TRACES: _traces,
    LANGFUSE_TRACES: _traces,
    METRICS: _metrics,
    SCORES: _scores,
    INGESTION: _ingestion,
}


def _decompressed(request: Recorded) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding not in ("identity", "gzip"):
        raise Refused(415, f"content-encoding {encoding}")
    try:
        return gzip.decompress(request.body) if encoding == "gzip" else request.body
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(400, f"not gzip: {error}") from None


def _protobuf(request: Recorded) -> bytes:
    if (kind := request.headers.get("content-type", "")) != "application/x-protobuf":
        raise Refused(415, f"content-type {kind or 'missing'}")
    return request.body


def _json(request: Recorded) -> Any:
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise Refused(400, f"not JSON: {error}") from None


# --- the wire


class _Server(socketserver.ThreadingTCPServer):
    """Accepts in a thread, answers each connection in one of its own."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, receiver: Receiver, port: int) -> None:
        self.receiver = receiver
        self.open: set[socket.socket] = set()
        self.lock = threading.Condition()
        super().__init__(("127.0.0.1", port), _Connection)

    def start(self) -> None:
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="receiver", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()
        with self.lock:
            for connection in self.open:
                _reset(connection)
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)  # wakes the thread that reads, and tells the client nothing

    def drained(self) -> None:
        """Return once every connection is closed."""
        with self.lock:
            if not self.lock.wait_for(lambda: not self.open, 10):
                raise AssertionError(f"{len(self.open)} connections do not end")

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            self.open.discard(request)
            request.close()  # without the shutdown that would say FIN before a reset
            self.lock.notify_all()
        self.receiver.wake()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are nothing to tell; anything else is a fault here and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Connection(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def serve(self) -> None:
        receiver, request = self.server.receiver, self.read()
        answer = receiver.answer(request)
        mode = receiver.arrived(request)
        here = receiver.pause(request, mode)
        if mode.ends != "answered" or not here or _left(self.connection):
            _reset(self.connection)
            self.close_connection = True
            return
        status, body = answer if mode.status == 200 else (mode.status, {"message": "as told"})
        receiver.decided(request, status)
        self.send(status, body, mode)

    def read(self) -> Recorded:
        split = urlsplit(self.path)
        return Recorded(
            method=self.command,
            path=unquote(split.path),
            query={name: values[-1] for name, values in parse_qs(split.query).items()},
            headers={name.lower(): text for name, text in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("content-length", 0))),
        )

    def send(self, status: int, body: Any, mode: Mode) -> None:
        raw = isinstance(body, bytes)
        data = body if raw else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf" if raw else "application/json")
        self.send_header("content-length", str(len(data)))
        if mode.retry_after is not None:
            self.send_header("retry-after", str(mode.retry_after))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed: ``requests`` has it all."""


def _left(connection: socket.socket) -> bool:
    """Whether the client has closed or reset the connection."""
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True


def _reset(connection: socket.socket) -> None:
    """Make closing the connection an RST."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
