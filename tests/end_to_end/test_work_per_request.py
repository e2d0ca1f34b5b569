"""What a request costs, counted and not timed: calls of functions between its first byte and the last of its answer.

Functions of ours and of others alike, and telemetry with them. A ceiling is what it took when it was set, and a tenth:
whoever needs more says why here, whoever needs less lowers it.
"""

from __future__ import annotations

import socket
import sys
from types import FrameType
from typing import Any

import msgspec
import pytest

from gateway.cli.bench_cases import CASES, mistake
from gateway.cli.bench_load import unchunked
from gateway.cli.bench_proxies import free_port, process
from tests.running import RunningGateway, running_gateway

CONFIG = """
providers:
  vendor: {{vendor: openai_compatible, base_url: "http://127.0.0.1:{port}/v1", api_key: not-a-secret-1}}
models: {{small: {{targets: [vendor/small]}}, burst: {{targets: [vendor/burst]}}}}
observe: {{prices: {{small: {{input: 1, output: 2}}, burst: {{input: 1, output: 2}}}}}}
"""
REQUESTS = 50

CEILINGS = {
    "small": 865,
    "agent": 1340,
    # Of a stream of 100 events that come in one read.
    "burst": 1300,
}


class Calls:
    """Counts them in the thread that it is set in."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.made += 1


def ask(connection: socket.socket, body: bytes, name: str) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    read = b""
    while not ends(read):
        more = connection.recv(65536)
        assert more, read
        read += more
    head, _, said = read.partition(b"\r\n\r\n")
    said = unchunked(said) if b"chunked" in head else said
    assert mistake(CASES[name].expected, int(head.split()[1]), said) is None


def ends(read: bytes) -> bool:
    head, found, body = read.partition(b"\r\n\r\n")
    if b"chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    return bool(found) and len(body) == int(head.lower().split(b"content-length:")[1].split()[0])


def calls_per_request(gateway: RunningGateway, name: str) -> float:
    body, calls = msgspec.json.encode(CASES[name].body), Calls()
    port = int(gateway.url.rpartition(":")[2])
    settle = gateway.runtime.observability.settle
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(20):
            ask(connection, body, name)
        gateway.call(settle)
        gateway.call(lambda: sys.setprofile(calls))
        for _ in range(REQUESTS):
            ask(connection, body, name)
        gateway.call(settle)
        gateway.call(lambda: sys.setprofile(None))
    return calls.made / REQUESTS


@pytest.mark.parametrize("name", CEILINGS)
def test_a_request_takes_no_more_work_than_it_did(name: str) -> None:
    port = free_port()
    vendor = process([sys.executable, "-m", "gateway.cli.bench_vendor", str(port)], port)
    with vendor, running_gateway(CONFIG.format(port=port)) as gateway:
        calls = calls_per_request(gateway, name)
    print(f"{name}: {calls:.0f} calls a request")
    assert calls <= CEILINGS[name]
