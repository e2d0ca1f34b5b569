"""The page of metrics: written by prometheus_client, served on a port of its own where that is asked for."""

from __future__ import annotations

import gzip
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import exposition
from prometheus_client.registry import Collector

# What a browser sends with everything it is made to fetch; what scrapes sends neither.
_OF_BROWSERS = ("Origin", "Sec-Fetch-Site")
# Scrapers that hang give their place up after so many seconds.
_PATIENCE = 30.0


def written(registry: Collector, accept: str) -> tuple[bytes, str]:
    """The page in the format that is asked for, as text where that cannot be made out; and its content type."""
    try:
        encode, content_type = exposition.choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        encode, content_type = exposition.generate_latest, exposition.CONTENT_TYPE_PLAIN_0_0_4
    return encode(registry), content_type


def serve(registry: Collector, host: str, port: int) -> int:
    """Serves the page from threads, apart from the event loop. Returns the port. Raises ``OSError``."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE

        def do_GET(self) -> None:
            if any(self.headers.get(name) for name in _OF_BROWSERS):
                # A web page that reaches this port by a name of its own (DNS rebinding) is none of ours.
                self.send_error(403, "no page for browsers")
                return
            body, content_type = written(registry, self.headers.get("Accept", ""))
            zipped = "gzip" in self.headers.get("Accept-Encoding", "")
            body = gzip.compress(body, 1) if zipped else body
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if zipped:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are no news."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]

        def handle_error(self, request: object, client_address: object) -> None:
            """A scraper that left."""

    server = Server((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="metrics-port", daemon=True).start()
    return int(server.server_port)
