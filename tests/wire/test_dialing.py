"""How connections are made: addresses, unix sockets, TLS, proxies."""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import FaultKind
from gateway.wire import dialing
from gateway.wire.dialing import in_turn, proxy_for
from gateway.wire.httpx_pool import HttpxPool
from gateway.wire.incoming import Ask
from gateway.wire.pool import Pool
from tests.scripted import hanging, refusing
from tests.wire.peers import OK, Peer, certificate, heard, peers, polite, told

Run = Callable[[Coroutine[Any, Any, None]], None]
GOOD = (200, b"ok", None)


def no_tls() -> ssl.SSLContext:
    raise AssertionError("nobody needs it")


def new_pool() -> Pool:
    return Pool(no_tls)


# --- addresses, TLS, proxies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["refuses", "hangs"])
def test_the_next_address_is_tried(run: Run, monkeypatch: pytest.MonkeyPatch, first: str):
    async def story() -> None:
        async with peers(polite) as vendor:
            with refusing() if first == "refuses" else hanging() as dead:
                ports = [int(dead.rpartition(":")[2]), vendor.port]

                async def several(host: str, port: int) -> list[Any]:
                    return [(socket.AF_INET, ("127.0.0.1", each)) for each in ports]

                monkeypatch.setattr(dialing, "_addresses", several)
                pool = new_pool()
                assert await told(pool, "http://vendor.test/") == GOOD
                assert pool.counts() == {"http://vendor.test:80": (0, 1)}
                await pool.close()

    run(story())


def test_families_take_turns():
    found = [(6, "a"), (6, "b"), (4, "c"), (4, "d"), (4, "e")]
    assert in_turn(found) == [(6, "a"), (4, "c"), (6, "b"), (4, "d"), (4, "e")]


def test_a_unix_socket(run: Run, tmp_path: Path):
    async def story() -> None:
        pool = new_pool()
        async with peers(polite, path=str(tmp_path / "v.sock")) as vendor:
            assert await told(pool, f"{vendor.url}/v1/models") == GOOD
            assert pool.counts() == {vendor.url: (0, 1)}
            await pool.close()
        assert (await told(new_pool(), "http+unix://%2Fno%2Fsuch.sock/"))[2] == "No such file or directory"

    run(story())


@pytest.fixture(scope="module")
def served_trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]]:
    return certificate(tmp_path_factory.mktemp("tls"))


Served = tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]]


def test_tls_is_spoken_and_kept(run: Run, served_trusted: Served):
    chosen: list[Any] = []

    async def secure(peer: Peer) -> None:
        chosen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await polite(peer)

    async def story() -> None:
        served, trusted = served_trusted
        pool = Pool(trusted)
        async with peers(secure, tls=served) as vendor:
            for _ in range(3):
                assert await told(pool, vendor.url, method="POST", body=b"x" * 100_000) == GOOD
            assert (chosen, pool.counts()) == (["http/1.1"], {vendor.url: (0, 1)})
            await pool.close()

    run(story())


def test_a_certificate_that_nobody_vouches_for_is_refused(run: Run, served_trusted: Served):
    async def story() -> None:
        async with peers(polite, tls=served_trusted[0]) as vendor:
            _, _, fault = await heard(Pool(ssl.create_default_context).send(Ask(method="GET", url=vendor.url)))
            assert fault is not None
            assert (fault.kind, "certificate" in fault.message.lower()) == (FaultKind.UNREACHABLE, True)
            assert all(not peer.reader._buffer for peer in vendor.connections)  # type: ignore[attr-defined]

    run(story())


def test_a_certificate_of_another_is_refused(run: Run, served_trusted: Served, monkeypatch: pytest.MonkeyPatch):
    async def story() -> None:
        served, trusted = served_trusted
        async with peers(polite, tls=served) as vendor:

            async def here(host: str, port: int) -> list[Any]:
                return [(socket.AF_INET, ("127.0.0.1", vendor.port))]

            monkeypatch.setattr(dialing, "_addresses", here)
            pool = Pool(trusted)
            assert await told(pool, "https://vendor.test./") == GOOD
            words = (await told(pool, "https://other.test/"))[2]
            assert words is not None
            assert "certificate" in words
            await pool.close()

    run(story())


# --- what stands in our own way -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("made", [Pool, HttpxPool])
def test_no_more_open_files_is_our_own_fault(
    run: Run, monkeypatch: pytest.MonkeyPatch, made: type[Pool] | type[HttpxPool], number: int
):
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    async def story() -> None:
        pool = made(no_tls)
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", refuse)
            patch.setattr(asyncio.get_running_loop().__class__, "create_connection", refuse, raising=False)
            _, _, fault = await heard(pool.send(Ask(method="GET", url="http://127.0.0.1:9/")))
        assert fault is not None
        assert (fault.kind, fault.origin) == (FaultKind.UNREACHABLE, "gateway")
        assert fault.message.startswith(f"{os.strerror(number)}: raise the gateway's limit of open files")
        assert set(pool.counts().values()) == {(0, 0)}
        await pool.close()

    run(story())


# --- what TLS hides ---------------------------------------------------------------------------------------------------


def test_an_answer_to_half_a_request_costs_the_connection_over_tls(run: Run, served_trusted: Served):
    async def hasty(peer: Peer) -> None:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        peer.say(b"HTTP/1.1 413 Too large\r\ncontent-length: 2\r\n\r\nno")
        await asyncio.sleep(30)

    async def story() -> None:
        served, trusted = served_trusted
        pool = Pool(trusted)
        async with peers(hasty, tls=served) as vendor:
            assert await told(pool, vendor.url, method="POST", body=b"x" * 20_000_000) == (413, b"no", None)
            assert pool.counts() == {vendor.url: (0, 0)}

    run(story())


def test_a_vendor_that_reads_nothing_is_left_over_tls(run: Run, served_trusted: Served):
    async def deaf(peer: Peer) -> None:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(30)

    async def story() -> None:
        served, trusted = served_trusted
        pool = Pool(trusted)
        async with peers(deaf, tls=served) as vendor:
            ask = Ask(method="POST", url=vendor.url, body=b"x" * 30_000_000, write=0.3)
            _, _, fault = await heard(pool.send(ask))
            assert fault is not None
            said = "the vendor stopped reading the request for 0.3 s"
            assert (fault.kind, fault.message) == (FaultKind.TIMEOUT_FIRST_TOKEN, said)
            assert pool.counts() == {vendor.url: (0, 0)}

    run(story())


def test_a_vendor_that_reads_a_little_at_a_time_is_not_left_over_tls(run: Run, served_trusted: Served):
    """Nor is one that has read all of it and thinks."""

    async def slow(peer: Peer) -> None:
        transport = peer.reader._transport  # type: ignore[attr-defined]
        reading = asyncio.ensure_future(peer.request())
        for _ in range(8):
            transport.pause_reading()
            await asyncio.sleep(0.2)
            transport.resume_reading()
            await asyncio.sleep(0.01)
        await reading
        await asyncio.sleep(0.8)
        peer.say(OK)
        await peer.gone()

    async def story() -> None:
        served, trusted = served_trusted
        pool = Pool(trusted)
        async with peers(slow, tls=served) as vendor:
            assert await told(pool, vendor.url, method="POST", body=b"x" * 30_000_000, write=0.6) == GOOD
            assert pool.counts() == {vendor.url: (0, 1)}
            await pool.close()

    run(story())


@pytest.mark.parametrize("sealed", [True, False])
def test_only_an_end_that_tls_vouches_for_is_the_end_of_an_answer(run: Run, served_trusted: Served, sealed: bool):
    async def half(peer: Peer) -> None:
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        await peer.writer.drain()
        if not sealed:
            with socket.socket(fileno=os.dup(peer.writer.get_extra_info("socket").fileno())) as beneath:
                beneath.shutdown(socket.SHUT_WR)
            await peer.gone()

    async def story() -> None:
        served, trusted = served_trusted
        async with peers(half, tls=served) as vendor:
            words = None if sealed else "the connection broke: it was closed in the middle"
            assert await told(Pool(trusted), vendor.url) == (200, b"half of it", words)

    run(story())


AUTH = b"proxy-authorization: Basic " + base64.b64encode("me:p@ß".encode()) + b"\r\n"


class Middle:
    """A proxy: what it was asked, and tunnels to where it is told."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.heads: list[bytes] = []
        self.answer = answer
        self.port = 0

    async def __call__(self, peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if not head.startswith(b"CONNECT"):
            peer.say(OK)
            await peer.gone()
            return
        peer.say(self.answer)
        if b" 200 " not in self.answer:
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(pipe(peer.reader, writer), pipe(reader, peer.writer))


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


def test_a_proxy_for_http_is_asked_by_the_whole_url(run: Run, monkeypatch: pytest.MonkeyPatch):
    async def story() -> None:
        middle = Middle()
        async with peers(middle) as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40%C3%9F@127.0.0.1:{proxy.port}")
            pool = new_pool()
            assert await told(pool, "http://vendor.test:81/v1?a=b") == GOOD
            assert pool.counts() == {"http://vendor.test:81": (0, 1)}
            await pool.close()
        assert middle.heads == [
            b"GET http://vendor.test:81/v1?a=b HTTP/1.1\r\nhost: vendor.test:81\r\n" + AUTH + b"\r\n"
        ]

    run(story())


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_proxy_for_https_makes_a_tunnel(
    run: Run, served_trusted: Served, monkeypatch: pytest.MonkeyPatch, secure: bool
):
    async def story() -> None:
        served, trusted = served_trusted
        middle = Middle()
        async with peers(polite, tls=served) as vendor, peers(middle, tls=served if secure else None) as proxy:
            middle.port = vendor.port
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:p%40%C3%9F@"))
            pool = Pool(trusted)
            for _ in range(2):
                assert await told(pool, "https://vendor.test/v1", headers=(("authorization", "sk-1"),)) == GOOD
            assert pool.counts() == {"https://vendor.test:443": (0, 1)}
            await pool.close()
        assert middle.heads == [b"CONNECT vendor.test:443 HTTP/1.1\r\nhost: vendor.test:443\r\n" + AUTH + b"\r\n"]

    run(story())


REFUSALS = {
    b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n": "the proxy answered 407 Proxy Authentication Required",
    b"HTTP/1.1 200 OK\r\n\r\nmore": "the proxy sent more than its answer",
    b"SSH-2.0-x\r\n\r\n": "what the proxy said is not HTTP",
    b"": "the proxy closed the connection",
}


@pytest.mark.parametrize(("answer", "words"), REFUSALS.items(), ids=REFUSALS.values())
def test_a_proxy_that_makes_no_tunnel(
    run: Run, served_trusted: Served, monkeypatch: pytest.MonkeyPatch, answer: bytes, words: str
):
    async def story() -> None:
        middle = Middle(answer)
        async with peers(middle) as proxy:
            middle.port = proxy.port
            monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
            assert await told(Pool(served_trusted[1]), "https://vendor.test/") == (0, b"", words)

    run(story())


PROXIES: list[tuple[dict[str, str], str, str, str | None]] = [
    ({"http_proxy": "http://p:1"}, "http", "x.test", "http://p:1"),
    ({"http_proxy": "http://p:1"}, "https", "x.test", None),
    ({"https_proxy": "p:1"}, "https", "x.test", "http://p:1"),
    ({"all_proxy": "https://p:1"}, "http", "x.test", "https://p:1"),
    ({"all_proxy": "http://p:1", "no_proxy": "x.test"}, "http", "x.test", None),
    ({"all_proxy": "http://p:1", "no_proxy": "*"}, "http", "x.test", None),
    ({"all_proxy": "http://p:1"}, "http", "localhost", None),
    ({"all_proxy": "http://p:1"}, "https", "127.0.0.1", None),
    ({"all_proxy": "http://p:1"}, "https", "::1", None),
]


@pytest.mark.parametrize(("environment", "scheme", "host", "proxy"), PROXIES)
def test_which_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], scheme: str, host: str, proxy: str | None
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(scheme, host) == proxy


def test_a_proxy_that_is_not_spoken_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://p:1")

    async def story() -> None:
        words = "HTTPS_PROXY must begin with http:// or https://"
        assert await told(new_pool(), "https://vendor.test/") == (0, b"", words)

    asyncio.run(story())
