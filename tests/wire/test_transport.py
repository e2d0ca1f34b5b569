"""The pool under httpx's own client."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import httpx
import pytest

from gateway.wire import transport
from gateway.wire.pool import Pool
from gateway.wire.transport import PoolTransport
from tests.scripted import hanging, refusing
from tests.wire.peers import Peer, peers, polite
from tests.wire.test_dialing import new_pool

Run = Callable[[Coroutine[Any, Any, None]], None]


def client(pool: Pool, **more: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=PoolTransport(pool), **more)


class Echo:
    """Remembers what was asked, and answers with its body."""

    def __init__(self, head: bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n", body: bytes = b"ok") -> None:
        self.asked: list[bytes] = []
        self.said = head + b"content-length: %d\r\n\r\n" % len(body) + body

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.asked.append(await peer.request())
            peer.say(self.said)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


BODIES: dict[str, tuple[str, dict[str, Any], bytes | None, bytes]] = {
    "none": ("GET", {}, None, b""),
    "none of a POST": ("POST", {}, b"0", b""),
    "whole": ("POST", {"json": {"a": 1}}, b"7", b'{"a":1}'),
    "in pieces": ("PUT", {"content": "pieces"}, b"5", b"hello"),
    "a file": ("POST", {"files": {"f": b"abc"}}, None, b"abc"),
}


@pytest.mark.parametrize(("method", "more", "length", "body"), BODIES.values(), ids=BODIES)
def test_what_is_sent(run: Run, method: str, more: dict[str, Any], length: bytes | None, body: bytes):
    async def story() -> None:
        pool, echo = new_pool(), Echo()
        if more.get("content"):
            more["content"] = pieces(b"hel", b"lo")
        async with peers(echo) as vendor, client(pool) as asking:
            answer = await asking.request(method, f"{vendor.url}/a?b=%20c#d", headers={"x-one": "1"}, **more)
            assert (answer.status_code, answer.text, answer.http_version) == (200, "ok", "HTTP/1.1")
            assert pool.counts() == {vendor.url: (0, 1)}
        await pool.close()
        [asked] = echo.asked
        head, _, sent = asked.partition(b"\r\n\r\n")
        assert head.startswith(f"{method} /a?b=%20c HTTP/1.1\r\nhost: {vendor.url[7:]}\r\n".encode())
        assert b"\r\nx-one: 1" in head
        assert head.lower().count(b"host:") == 1
        assert head.lower().count(b"content-length:") == (0 if "GET" in method else 1)
        assert body in sent if "files" in more else body == sent
        assert length is None or b"\r\ncontent-length: " + length in head
        assert b"transfer-encoding" not in head.lower()

    run(story())


def test_what_was_compressed_is_read_and_redirects_are_followed(run: Run):
    async def story() -> None:
        pool = new_pool()
        zipped = Echo(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n", gzip.compress(b"hello"))
        async with peers(zipped) as there:
            moved = Echo(b"HTTP/1.1 302 Found\r\nlocation: %s/x\r\n" % there.url.encode())
            async with peers(moved) as here, client(pool, follow_redirects=True) as asking:
                assert (await asking.get(here.url)).text == "hello"
        await pool.close()

    run(story())


def test_a_stream_is_read_as_it_comes_and_left_at_any_time(run: Run):
    async def story() -> None:
        async def slowly(peer: Peer) -> None:
            await peer.request()
            peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
            await go.wait()
            peer.say(b"3\r\ntwo\r\n")
            await peer.gone()

        pool, go = new_pool(), asyncio.Event()
        async with peers(slowly) as vendor, client(pool) as asking:
            async with asking.stream("GET", vendor.url) as answer:
                come = answer.aiter_raw()
                assert await anext(come) == b"one"
                go.set()
                assert await anext(come) == b"two"
                assert pool.counts() == {vendor.url: (1, 0)}
            assert pool.counts() == {vendor.url: (0, 0)}
            await asyncio.wait_for(vendor.connections[0].left.wait(), 5)

    run(story())


def test_one_who_stops_waiting_leaves_no_connection(run: Run):
    async def story() -> None:
        pool = new_pool()
        async with peers(Peer.gone) as vendor, client(pool) as asking:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asking.get(vendor.url, timeout=None), 0.1)
            assert pool.counts() == {vendor.url: (0, 0)}

    run(story())


def test_a_closed_client_leaves_the_pool_open(run: Run):
    async def story() -> None:
        pool = new_pool()
        async with peers(polite) as vendor:
            for _ in range(2):
                async with client(pool) as asking:
                    assert (await asking.get(vendor.url)).text == "ok"
            assert len(vendor.connections) == 1
        await pool.close()

    run(story())


def saying(data: bytes) -> Callable[[Peer], Awaitable[None]]:
    async def play(peer: Peer) -> None:
        await peer.request()
        peer.say(data)

    return play


async def unread(peer: Peer) -> None:
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(60)


HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"
SOON = httpx.Timeout(5, read=0.1, write=0.1)
WRONG: dict[str, tuple[Callable[[Peer], Awaitable[None]], dict[str, Any], type[Exception]]] = {
    "silence": (Peer.gone, {}, httpx.ReadTimeout),
    "does not read": (unread, {"content": b"x" * 2**25, "timeout": httpx.Timeout(5, write=0.1)}, httpx.WriteTimeout),
    "another protocol": (saying(b"220 mail ready\r\n\r\n"), {}, httpx.RemoteProtocolError),
    "nothing, and gone": (Peer.request, {}, httpx.ReadError),
    "half, and gone": (saying(HALF), {}, httpx.ReadError),
    "a host of its own": (polite, {"headers": {"host": "other"}}, httpx.LocalProtocolError),
    "two lines": (polite, {"headers": {"x": "a\r\nb: c"}}, httpx.LocalProtocolError),
    "too large": (polite, {"content": b"x" * 100}, httpx.LocalProtocolError),
}


@pytest.mark.parametrize(("play", "more", "error"), WRONG.values(), ids=WRONG)
def test_faults_are_httpx_exceptions(
    run: Run, monkeypatch: pytest.MonkeyPatch, play: Any, more: dict[str, Any], error: type[Exception]
):
    if more.get("content") == b"x" * 100:
        monkeypatch.setattr(transport, "MOST_BODY", 99)

    async def story() -> None:
        pool = new_pool()
        async with peers(play) as vendor, client(pool, timeout=SOON) as asking:
            with pytest.raises(error) as raised:
                await asking.post(vendor.url, **more)
            assert type(raised.value) is error
            assert all(in_use == 0 for in_use, _ in pool.counts().values())
        await pool.close()

    run(story())


def test_nobody_there(run: Run):
    async def story() -> None:
        async with client(new_pool(), timeout=httpx.Timeout(5, connect=0.1)) as asking:
            with refusing() as url, pytest.raises(httpx.ConnectError, match="Connection refused"):
                await asking.get(url)
            with hanging() as url, pytest.raises(httpx.ConnectTimeout, match="no connection within"):
                await asking.get(url)
            with pytest.raises(httpx.UnsupportedProtocol):
                await asking.get("ftp://127.0.0.1/x")

    run(story())
