"""httpx in the pool's place: HTTP/2 where a vendor speaks it, and what else is its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from gateway.errors import FaultKind
from gateway.strand import parked
from gateway.wire import httpx_pool
from gateway.wire.connection import KEEPALIVE_EXPIRY
from gateway.wire.httpx_pool import HttpxPool
from gateway.wire.incoming import Ask, Incoming
from tests.wire.peers import Peer, certificate, heard, peers, polite
from tests.wire.test_dialing import AUTH, Middle

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]]:
    return certificate(tmp_path_factory.mktemp("tls"))


Served = tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]]


class Http2:
    """Answers each request by its path: ``/hello`` with its body, ``/slow`` with a beginning, ``/broken`` with half."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    async def __call__(self, peer: Peer) -> None:
        heard = Heard(self.asked)
        heard.connection.initiate_connection()
        peer.say(heard.connection.data_to_send())
        while data := await peer.reader.read(65536):
            for event in heard.connection.receive_data(data):
                heard.hear(event)
            peer.say(heard.connection.data_to_send())


class Heard:
    """One connection of its."""

    def __init__(self, asked: list[dict[str, str]]) -> None:
        self.connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.asked, self.bodies = asked, dict[int, bytes]()

    def hear(self, event: Any) -> None:
        match event:
            case RequestReceived():
                self.asked.append(dict(event.headers))
                self.bodies[event.stream_id] = b""
            case DataReceived():
                self.bodies[event.stream_id] += event.data
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self.answer(event.stream_id)

    def answer(self, stream: int) -> None:
        say, path = self.connection, self.asked[-1][":path"]
        say.send_headers(stream, [(":status", "200"), ("X-Said".lower(), "1")])
        say.send_data(stream, self.bodies[stream], end_stream=path == "/hello")
        if path == "/broken":
            say.reset_stream(stream)


def test_a_vendor_that_speaks_http2_is_spoken_to_in_it(run: Run, tls: Served):
    async def story() -> None:
        vendor, pool = Http2(), HttpxPool(tls[1])
        async with peers(vendor, tls=tls[0]) as place:
            asks = [
                pool.send(Ask(method="POST", url=f"{place.url}/hello", headers=(("X-One", "1"),), body=b"%d" % number))
                for number in range(20)
            ]
            assert [await heard(answer) for answer in asks] == [(200, b"%d" % number, None) for number in range(20)]
            assert asks[0].headers["x-said"] == "1"
            assert (len(place.connections), pool.counts()) == (1, {place.url: (0, 0)})
            assert {name: vendor.asked[0][name] for name in (":authority", "x-one", "content-length")} == {
                ":authority": place.url.removeprefix("https://"),
                "x-one": "1",
                "content-length": "1",
            }
            await pool.close()

    run(story())


def test_a_connection_with_a_stream_that_was_left_ends_with_the_last_of_the_others(run: Run, tls: Served):
    async def story() -> None:
        vendor, pool = Http2(), HttpxPool(tls[1])

        async def begun() -> Incoming:
            slow = pool.send(Ask(method="POST", url=f"{place.url}/slow", body=b"begun"))
            while not slow.take():
                assert await parked(slow, asyncio.get_running_loop().time() + 5)
            return slow

        async with peers(vendor, tls=tls[0]) as place:
            left, stays = await begun(), await begun()
            left.close()
            await asyncio.sleep(0.05)
            assert (await heard(pool.send(Ask(method="POST", url=f"{place.url}/hello", body=b"new"))))[1] == b"new"
            assert [peer.left.is_set() for peer in place.connections] == [False, False]
            stays.close()
            await asyncio.wait_for(place.connections[0].left.wait(), 5)
            assert not place.connections[1].left.is_set()
            await pool.close()

    run(story())


def test_a_stream_that_is_reset_is_broken(run: Run, tls: Served):
    async def story() -> None:
        vendor, pool = Http2(), HttpxPool(tls[1])
        async with peers(vendor, tls=tls[0]) as place:
            status, content, fault = await heard(pool.send(Ask(method="POST", url=f"{place.url}/broken", body=b"half")))
            assert (status, content) == (200, b"half")
            assert fault is not None
            assert (fault.kind, fault.message.partition(":")[0]) == (FaultKind.UNREACHABLE, "the connection broke")
            await pool.close()

    run(story())


def test_without_h2_it_is_http_1(run: Run, tls: Served, monkeypatch: pytest.MonkeyPatch):
    async def story() -> None:
        monkeypatch.setattr(httpx_pool, "speaks_http2", lambda: False)
        pool = HttpxPool(tls[1])
        async with peers(polite, tls=tls[0]) as place:
            assert (await heard(pool.send(Ask(method="GET", url=place.url))))[1] == b"ok"
            await pool.close()

    run(story())


def test_a_unix_socket(run: Run, tmp_path: Path, tls: Served):
    async def story() -> None:
        pool = HttpxPool(tls[1])
        async with peers(polite, path=str(tmp_path / "v.sock")) as vendor:
            for path in ("", "/v1/models?a=b"):
                assert (await heard(pool.send(Ask(method="GET", url=vendor.url + path))))[1] == b"ok"
            assert pool.counts() == {vendor.url: (0, 0)}
            await pool.close()

    run(story())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy(run: Run, tls: Served, monkeypatch: pytest.MonkeyPatch, scheme: str):
    async def story() -> None:
        middle, pool = Middle(), HttpxPool(tls[1])
        async with peers(Http2(), tls=tls[0]) as vendor, peers(middle) as proxy:
            middle.port = vendor.port
            monkeypatch.setenv(f"{scheme}_proxy", f"http://me:p%40%C3%9F@127.0.0.1:{proxy.port}")
            ask = Ask(method="POST", url=f"{scheme}://vendor.test/hello", body=b"ok")
            assert (await heard(pool.send(ask)))[1] == b"ok"
            await pool.close()
        [head] = middle.heads
        assert head.startswith(b"CONNECT vendor.test:443 " if scheme == "https" else b"POST http://vendor.test/hello ")
        assert AUTH in head.replace(b"Proxy-Authorization", b"proxy-authorization")

    run(story())


def test_what_nobody_has_asked_for_long_is_given_up(run: Run, tls: Served):
    async def story() -> None:
        pool = HttpxPool(tls[1])
        async with peers(polite) as vendor:
            await heard(pool.send(Ask(method="GET", url=vendor.url)))
            pool.sweep()
            assert pool.counts() == {vendor.url: (0, 0)}
            pool._ways[vendor.url].used -= KEEPALIVE_EXPIRY
            pool.sweep()
            assert pool.counts() == {}
            await asyncio.wait_for(vendor.connections[0].left.wait(), 5)

    run(story())


def test_who_waits_when_it_is_closed_is_told(run: Run, tls: Served):
    async def story() -> None:
        pool = HttpxPool(tls[1])
        async with peers(Peer.gone) as vendor:
            answers = [pool.send(Ask(method="GET", url=vendor.url)) for _ in range(2)]
            await asyncio.sleep(0.05)
            answers.append(pool.send(Ask(method="GET", url=vendor.url)))
            await pool.close()
            for answer in answers:
                _, _, fault = await heard(answer)
                assert fault is not None
                assert fault.message == "the call was given up"

    run(story())
