"""Requests over real connections: which are kept, which are made, what happens when they fail."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.errors import Fault, FaultKind
from gateway.strand import parked
from gateway.wire import connection
from gateway.wire.connection import READ_AHEAD, Connection
from gateway.wire.incoming import Ask
from gateway.wire.pool import MOST_IDLE, MOST_LINES, Pool
from tests.scripted import hanging, refusing
from tests.wire.peers import OK, Peer, heard, peers, polite, told

Run = Callable[[Coroutine[Any, Any, None]], None]
GOOD = (200, b"ok", None)


def no_tls() -> ssl.SSLContext:
    raise AssertionError("nobody needs it")


def new_pool() -> Pool:
    return Pool(no_tls)


async def until(claim: Callable[[], bool]) -> None:
    """Looks now and then: nobody tells of what happens within."""
    while not claim():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


# --- connections are kept -------------------------------------------------------------------------------------------


def test_a_request_says_what_it_was_told_to(run: Run):
    said: list[bytes] = []

    async def listen(peer: Peer) -> None:
        while True:
            said.append(await peer.request())
            peer.say(OK)

    async def story() -> None:
        pool = new_pool()
        async with peers(listen) as vendor:
            headers = (("Authorization", "Bearer ä"), ("accept", "*/*"))
            url = vendor.url.replace("//", "//me:secret@")
            await told(pool, f"{url}/v1/chat?x=%20y#part", method="POST", headers=headers, body=b"{}")
            await told(pool, vendor.url, method="DELETE")
            await told(pool, vendor.url, method="POST", body=b"")
            host = vendor.url.removeprefix("http://").encode()
        assert said == [
            b"POST /v1/chat?x=%20y HTTP/1.1\r\nhost: " + host + b"\r\nAuthorization: Bearer \xe4\r\naccept: */*\r\n"
            b"content-length: 2\r\n\r\n{}",
            b"DELETE / HTTP/1.1\r\nhost: " + host + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: " + host + b"\r\ncontent-length: 0\r\n\r\n",
        ]

    run(story())


def test_one_after_the_other_goes_over_one_connection_and_at_once_over_several(run: Run):
    async def story() -> None:
        pool = new_pool()
        async with peers(polite) as vendor:
            first = pool.send(Ask(method="GET", url=vendor.url))
            assert pool.counts() == {vendor.url: (1, 0)}
            await heard(first)
            assert first.connected > 0
            second = pool.send(Ask(method="GET", url=f"{vendor.url}/other"))
            await heard(second)
            assert second.connected == 0
            assert (len(vendor.connections), pool.counts()) == (1, {vendor.url: (0, 1)})
            several = [pool.send(Ask(method="GET", url=vendor.url)) for _ in range(5)]
            assert pool.counts() == {vendor.url: (5, 0)}
            assert [(await heard(each))[:2] for each in several] == [(200, b"ok")] * 5
            assert (len(vendor.connections), pool.counts()) == (5, {vendor.url: (0, 5)})
            await pool.close()
            assert pool.counts() == {vendor.url: (0, 0)}

    run(story())


def test_the_latest_used_goes_first_and_only_so_many_are_kept(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.wire.pool.MOST_IDLE", 2)
    served: list[int] = []

    async def count(peer: Peer) -> None:
        while True:
            await peer.request()
            served.append(peer.number)
            peer.say(OK)

    async def story() -> None:
        pool = new_pool()
        async with peers(count) as vendor:
            for answer in [pool.send(Ask(method="GET", url=vendor.url)) for _ in range(4)]:
                await heard(answer)
            assert pool.counts() == {vendor.url: (0, 2)}
            served.clear()
            for _ in range(3):
                await told(pool, vendor.url)
            assert len(set(served)) == 1
            await pool.close()

    assert MOST_IDLE > 2
    run(story())


def test_a_fresh_one_is_never_an_old_one(run: Run):
    async def story() -> None:
        pool = new_pool()
        async with peers(polite) as vendor:
            for _ in range(3):
                assert await told(pool, vendor.url, fresh=True) == GOOD
            assert len(vendor.connections) == 3
            await pool.close()

    run(story())


def test_a_vendor_that_closes_an_idle_connection_is_noticed(run: Run):
    async def once(peer: Peer) -> None:
        await peer.request()
        peer.say(OK)

    async def story() -> None:
        pool = new_pool()
        async with peers(once) as vendor:
            for _ in range(3):
                assert await told(pool, vendor.url) == GOOD
                await until(lambda: pool.counts() == {vendor.url: (0, 0)})

    run(story())


def test_idle_connections_expire(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "KEEPALIVE_EXPIRY", 0.05)

    async def story() -> None:
        pool = new_pool()
        async with peers(polite) as vendor:
            await told(pool, vendor.url)
            pool.sweep()
            assert pool.counts() == {vendor.url: (0, 1)}
            await asyncio.sleep(0.06)
            pool.sweep()
            assert pool.counts() == {vendor.url: (0, 0)}

    run(story())


# --- connections die ------------------------------------------------------------------------------------------------


class Unseen(Connection):
    """Its peer has closed it, and that has not come yet: the network is slow."""

    def fit(self, now: float) -> bool:
        return True

    def eof_received(self) -> None:
        if self._answer is not None:
            super().eof_received()


def one_answer_each(listener: socket.socket) -> None:
    for _ in range(2):
        peer, _ = listener.accept()
        peer.recv(65536)
        peer.sendall(OK)
        peer.close()


def test_a_stale_connection_costs_nobody_anything(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.wire.pool.Connection", Unseen)

    async def story(url: str) -> None:
        pool = new_pool()
        assert await told(pool, url) == GOOD
        # No event of the loop comes between: the request is written to what the peer has closed.
        time.sleep(0.05)  # noqa: ASYNC251
        assert pool.counts() == {url: (0, 1)}
        second = pool.send(Ask(method="GET", url=url))
        assert pool.counts() == {url: (1, 0)}
        status, content, _ = await heard(second)
        assert (status, content) == (200, b"ok")
        assert second.connected > 0

    with socket.create_server(("127.0.0.1", 0)) as listener:
        vendor = threading.Thread(target=one_answer_each, args=[listener], daemon=True)
        vendor.start()
        run(story(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        vendor.join(5)


def test_what_a_vendor_has_got_is_not_sent_again(run: Run):
    asked: list[bytes] = []

    async def dies_of_the_second(peer: Peer) -> None:
        await peer.request()
        peer.say(OK)
        asked.append(await peer.request())

    async def story() -> None:
        pool = new_pool()
        async with peers(dies_of_the_second) as vendor:
            assert await told(pool, vendor.url) == GOOD
            assert await told(pool, vendor.url) == (0, b"", "it was closed without an answer")
            assert (len(asked), len(vendor.connections)) == (1, 1)

    run(story())


def test_a_reset_is_told_in_the_systems_own_words(run: Run):
    async def reset(peer: Peer) -> None:
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await peer.writer.drain()
        await asyncio.sleep(0.05)
        linger = b"\1\0\0\0\0\0\0\0"
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        peer.writer.transport.abort()

    async def story() -> None:
        async with peers(reset) as vendor:
            status, content, fault = await heard(new_pool().send(Ask(method="GET", url=vendor.url)))
        assert (status, content) == (200, b"hello")
        assert fault is not None
        assert (fault.kind, fault.origin) == (FaultKind.UNREACHABLE, "network")
        assert fault.message == "the connection broke: Connection reset by peer"

    run(story())


def test_nobody_listens_and_nobody_is_there(run: Run):
    async def story() -> None:
        pool = new_pool()
        with refusing() as url:
            assert await told(pool, url) == (0, b"", "Connection refused")
        *_, fault = await heard(pool.send(Ask(method="GET", url="http://no-such-host.invalid/")))
        assert fault is not None
        assert (fault.kind, fault.message.endswith("not known")) == (FaultKind.UNREACHABLE, True)
        assert set(pool.counts().values()) == {(0, 0)}

    run(story())


def test_connecting_has_its_time(run: Run):
    async def story() -> None:
        with hanging() as url:
            _, _, fault = await heard(new_pool().send(Ask(method="GET", url=url, connect=0.2)))
        assert fault is not None
        assert (fault.kind, fault.message) == (FaultKind.TIMEOUT_CONNECT, "no connection within 0.2 s")

    run(story())


def test_one_who_leaves_before_there_is_a_connection_leaves_none():
    async def story() -> None:
        pool = new_pool()
        with hanging() as url:
            answer = pool.send(Ask(method="GET", url=url, connect=60))
            await asyncio.sleep(0.01)
            answer.close()
            answer.close()
            assert pool.counts() == {url: (0, 0)}
            await asyncio.sleep(0.01)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_a_vendor_that_reads_nothing_is_left(run: Run):
    async def deaf(peer: Peer) -> None:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(30)

    async def story() -> None:
        async with peers(deaf) as vendor:
            pool = new_pool()
            ask = Ask(method="POST", url=vendor.url, body=b"x" * 30_000_000, write=0.3)
            _, _, fault = await heard(pool.send(ask))
        assert fault is not None
        said = "the vendor stopped reading the request for 0.3 s"
        assert (fault.kind, fault.message) == (FaultKind.TIMEOUT_FIRST_TOKEN, said)
        assert pool.counts() == {vendor.url: (0, 0)}

    run(story())


def test_a_large_request_goes_out_whole(run: Run):
    body = bytes(range(256)) * 40_000
    said: list[bytes] = []

    async def slowly(peer: Peer) -> None:
        await asyncio.sleep(0.05)
        said.append(await peer.request())
        peer.say(OK)
        await peer.gone()

    async def story() -> None:
        pool = new_pool()
        async with peers(slowly) as vendor:
            assert await told(pool, vendor.url, method="POST", body=body) == GOOD
            assert pool.counts() == {vendor.url: (0, 1)}
            await pool.close()
        assert said[0].endswith(b"\r\n\r\n" + body)

    run(story())


# --- slow readers, and those who leave --------------------------------------------------------------------------


def test_a_vendor_waits_for_a_slow_reader(run: Run):
    content = bytes(range(256)) * 80_000
    written = 0

    async def pour(peer: Peer) -> None:
        nonlocal written
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content))
        for start in range(0, len(content), 65536):
            peer.say(content[start : start + 65536])
            await peer.writer.drain()
            written = start
        await peer.gone()

    async def story() -> None:
        pool = new_pool()
        async with peers(pour) as vendor:
            answer = pool.send(Ask(method="GET", url=vendor.url))
            while not answer.status:
                await parked(answer)
            await asyncio.sleep(0.3)
            before = written
            await asyncio.sleep(0.1)
            assert before == written < len(content) - READ_AHEAD
            assert (await heard(answer))[:2] == (200, content)
            assert pool.counts() == {vendor.url: (0, 1)}
            await pool.close()

    run(story())


@pytest.mark.parametrize("ends", [True, False], ids=["it ends", "it does not"])
def test_a_whole_answer_may_end_by_itself(run: Run, monkeypatch: pytest.MonkeyPatch, ends: bool):
    monkeypatch.setattr(connection, "LINGER", 0.2)
    left = asyncio.Event()

    async def stream(peer: Peer) -> None:
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.02)
        if ends:
            peer.say(b"0\r\n\r\n")
            await peer.request()
            peer.say(OK)
        await peer.gone()
        left.set()

    async def story() -> None:
        pool = new_pool()
        async with peers(stream) as vendor:
            answer = pool.send(Ask(method="GET", url=vendor.url))
            while answer.take() is None:
                await parked(answer)
            answer.close(linger=True)
            assert pool.counts() == {vendor.url: (1, 0)}
            await until(lambda: pool.counts() == {vendor.url: (0, 1 if ends else 0)})
            if ends:
                assert await told(pool, vendor.url) == GOOD
                assert len(vendor.connections) == 1
                await pool.close()
            await left.wait()

    run(story())


def test_a_vendor_learns_at_once_that_nobody_listens_any_more(run: Run):
    async def story() -> None:
        left = asyncio.Event()

        async def stream(peer: Peer) -> None:
            await peer.request()
            peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            await peer.gone()
            left.set()

        pool = new_pool()
        async with peers(stream) as vendor:
            answer = pool.send(Ask(method="GET", url=vendor.url))
            while not answer.status:
                await parked(answer)
            answer.close()
            await asyncio.wait_for(left.wait(), 1)
            assert pool.counts() == {vendor.url: (0, 0)}

    run(story())


# --- what cannot be sent --------------------------------------------------------------------------------------------

UNSENDABLE: dict[str, dict[str, Any]] = {
    "a line end in a value": {"headers": (("x", "a\r\nevil: 1"),)},
    "a line feed in a value": {"headers": (("x", "a\nevil: 1"),)},
    "a null in a value": {"headers": (("x", "a\0"),)},
    "a value beyond Latin-1": {"headers": (("x", "日本"),)},
    "a line end in a name": {"headers": (("x\r\nevil", "1"),)},
    "a colon in a name": {"headers": (("x: 1, y", "1"),)},
    "a name with a space": {"headers": (("x ", "1"),)},
    "no name": {"headers": (("", "1"),)},
    "a length of its own": {"headers": (("Content-Length", "1"),)},
    "a framing of its own": {"headers": (("Transfer-Encoding", "chunked"),)},
    "a host of its own": {"headers": (("Host", "elsewhere"),)},
    "a line end in a path": {"path": "/a\r\nevil: 1"},
    "a space in a path": {"path": "/a HTTP/1.1"},
    "a letter in a path": {"path": "/ä"},
    "a line end in a method": {"method": "GET / HTTP/1.1\r\nevil: 1\r\n\r\nGET"},
    "no method": {"method": ""},
    "another scheme": {"url": "ftp://127.0.0.1/"},
    "no host": {"url": "http:///x"},
    "no port": {"url": "http://127.0.0.1:x/"},
    "a port beyond all": {"url": "http://127.0.0.1:99999/"},
}


@pytest.mark.parametrize("what", UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_is_no_request_is_not_sent(what: dict[str, Any]):
    async def story() -> None:
        async with peers(polite) as vendor:
            url = what.get("url", vendor.url + what.get("path", "/"))
            ask = Ask(method=what.get("method", "GET"), url=url, headers=what.get("headers", ()))
            for _ in range(2):
                fault = new_pool().send(ask).take()
                assert isinstance(fault, Fault)
                assert (fault.kind, fault.origin) == (FaultKind.BAD_REQUEST, "gateway")
                assert fault.message.startswith("the request cannot be sent: ")
            await asyncio.sleep(0)
            assert vendor.connections == []

    asyncio.run(story())


def test_a_secret_that_no_header_may_hold_is_not_told():
    async def story() -> None:
        fault = new_pool().send(Ask(method="GET", url="http://x/", headers=(("x-key", "sk-123\n"),))).take()
        assert isinstance(fault, Fault)
        assert "sk-123" not in fault.message

    asyncio.run(story())


def test_what_is_remembered_of_requests_is_bounded(run: Run):
    async def story() -> None:
        pool = new_pool()
        async with peers(polite) as vendor:
            for number in range(MOST_LINES + 10):
                answer = pool.send(Ask(method="GET", url=f"{vendor.url}/{number}", headers=(("x", str(number)),)))
                assert (await heard(answer))[0] == 200
            assert max(len(pool._starts), len(pool._lines)) <= MOST_LINES
            await pool.close()

    run(story())
