"""What a client may take until its head is whole."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.running import RunningGateway, running_gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway("providers: {simulator: {}}") as gateway:
        yield gateway


def told(gateway: RunningGateway, *parts: bytes) -> bytes:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        for part in parts:
            client.sendall(part)
        said = b""
        while chunk := client.recv(65536):
            said += chunk
    return said


START = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"
BODY = b'{"model":"simulator/echo","messages":[{"role":"user","content":"%s"}]}' % (b"x" * 200_000)
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.mark.parametrize("size", [100_000, 500_000])
def test_a_head_that_does_not_end_is_refused_from_its_first_bytes_on(gateway: RunningGateway, size: int) -> None:
    assert told(gateway, START, b"x-a: " + b"b" * size).startswith(b"HTTP/1.1 431")
    assert told(gateway, START + b"x-a: " + b"b" * size).startswith(b"HTTP/1.1 431")


def test_a_body_before_it_does_not_count(gateway: RunningGateway) -> None:
    answers = told(gateway, POST + START, b"connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200") == 2
    assert b" 431 " not in answers
