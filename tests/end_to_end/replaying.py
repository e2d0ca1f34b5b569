"""Vendors that answer as recorded ones did: every path is taken, every request kept, a body may come in pieces."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import msgspec

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"


class Heard(msgspec.Struct, frozen=True):
    """A request as the vendor got it. Header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """``piece``: so many bytes at a time, each in a write of its own. ``then``: what comes in the place of an end."""

    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    body: bytes = b""
    piece: int | None = None
    then: Literal["end", "cut", "wait"] = "end"
    """1. All that was announced has come. 2. It is cut off before. 3. Before the last of it nothing more comes."""
    rest: bytes = b""
    """Of the body: comes when ``Replaying.go`` is set."""


class Replaying:
    """``reply`` is what the next POST gets; listings are empty. ``heard`` holds the POSTs."""

    def __init__(self) -> None:
        self.reply = Reply()
        self.replies: list[Reply] = []
        """Given in order before ``reply``."""
        self.answers: Callable[[Heard], Reply] | None = None
        """Where it depends on what is asked."""
        self.listing = Reply(body=b'{"data": []}')
        """What every GET gets."""
        self.go = threading.Event()
        self.left = threading.Event()
        """A connection was closed on which we ``wait``ed."""
        self.heard: list[Heard] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("content-length") or 0)
        body = handler.rfile.read(size)
        if handler.command == "GET":
            self._send(handler, self.listing)
            return
        headers = {name.lower(): value for name, value in handler.headers.items()}
        heard = Heard(handler.command, handler.path, headers, body)
        self.heard.append(heard)
        if self.answers:
            self._send(handler, self.answers(heard))
        else:
            self._send(handler, self.replies.pop(0) if self.replies else self.reply)

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.send_response(reply.status)
        handler.send_header("content-type", reply.content_type)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(reply.body) + len(reply.rest) + (reply.then != "end")))
        handler.end_headers()
        step = reply.piece or max(1, len(reply.body))
        for at in range(0, len(reply.body), step):
            handler.wfile.write(reply.body[at : at + step])
            handler.wfile.flush()
        if reply.rest and self.go.wait(30):
            handler.wfile.write(reply.rest)
        if reply.then == "end":
            return
        handler.close_connection = True
        if reply.then == "wait" and not handler.rfile.read(1):
            self.left.set()


@contextmanager
def replaying() -> Iterator[Replaying]:
    vendor = Replaying()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            vendor.answer(self)

        do_GET = do_POST

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    vendor.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield vendor
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def recordings(**wanted: Any) -> list[dict[str, Any]]:
    """All that have an ``ingress`` and these values; none where they do not lie beside the repository."""
    found = (json.loads(file.read_bytes()) for file in sorted(RECORDINGS.glob("*/*.json")))
    return [each for each in found if each.get("ingress") and all(each[key] == value for key, value in wanted.items())]


def reply_of(recording: dict[str, Any], piece: int | None = None) -> Reply:
    body = recording["body"].encode() if "body" in recording else base64.b64decode(recording["body_b64"])
    headers = {name: value for name, value in recording["headers"].items() if name.lower().startswith("x-amzn")}
    return Reply(
        status=recording["status"], content_type=recording["content_type"], headers=headers, body=body, piece=piece
    )
