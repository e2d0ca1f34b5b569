"""Calls to vendors: how their answers are read, and what is told of them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import html
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvloop

from gateway.errors import Fault, FaultKind
from gateway.upstream import MOST_INFLATED, Call, NetworkReply, Upstream, read_all, without_secrets
from gateway.wire.incoming import Transport
from tests.scripted import hanging, refusing
from tests.wire.peers import Peer, peers, polite

KEY = 'sk-a/b+c="d<7vR2mB9'

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON's own escapes": lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
    "a URL": lambda key: quote(key, safe=""),
    "a URL, in small letters": lambda key: quote(key, safe="").replace("%2F", "%2f").replace("%3C", "%3c"),
    "HTML": html.escape,
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
}


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
def test_a_key_is_blotted_out_however_it_is_spelt(spelt: Callable[[str], str]):
    said = f"what is {spelt(KEY)}?"
    fault = Fault(kind=FaultKind.BAD_REQUEST, message=said, type=said, code=said, param=said, body=said)
    told = without_secrets(fault, (KEY,), f"https://vendor.example/v1?key={quote(KEY)}")
    assert spelt(KEY) not in repr(told)
    assert "7vR2mB9" not in f"{told.message} {told.type} {told.code} {told.param} {told.body} {told.url}"
    assert told.message


def test_what_is_short_means_nothing_in_base64():
    fault = Fault(kind=FaultKind.BAD_REQUEST, message="MQ is no model")
    assert without_secrets(fault, ("1",), "https://vendor.example").message == "MQ is no model"


@pytest.mark.parametrize(("key", "message", "code"), [("x", "exceeded", "exceeded"), ("abuse", "***", "abuse_found")])
def test_what_any_server_takes_for_a_key_is_no_secret(key: str, message: str, code: str):
    said = "exceeded" if key == "x" else key
    fault = Fault(kind=FaultKind.BAD_REQUEST, message=said, code=code)
    told = without_secrets(fault, (key,), "https://vendor.example")
    assert (told.message, told.code) == (message, code)


# --- over the network -------------------------------------------------------------------------------------------------


OVER = pytest.mark.parametrize("transport", ["pool", "httpx"])
"""What is promised whichever connections carry a call."""


def saying(data: bytes) -> Callable[[Peer], Awaitable[None]]:
    async def play(peer: Peer) -> None:
        await peer.request()
        peer.say(data)
        await peer.gone()

    return play


async def opened(upstream: Upstream, url: str, **more: Any) -> NetworkReply:
    reply = await upstream.open(Call(**{"method": "POST", "url": url, "body": b"{}", **more}))
    assert isinstance(reply, NetworkReply)
    return reply


def test_what_is_here_is_read_without_waiting():
    async def story() -> None:
        upstream = Upstream()
        async with peers(polite) as vendor:
            reply = await opened(upstream, vendor.url)
            await asyncio.sleep(0.05)
            for expected in (b"ok", b"", b""):
                with pytest.raises(StopIteration) as done:
                    reply.read().send(None)
                assert done.value.value == expected
            assert upstream.connections() == {vendor.url: (0, 1)}
            await upstream.close()

    asyncio.run(story())


@OVER
def test_nothing_is_lost_by_asking_again(transport: Transport):
    async def story() -> None:
        async def slowly(peer: Peer) -> None:
            await peer.request()
            peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
            await go.wait()
            peer.say(b"hello")
            await peer.gone()

        go = asyncio.Event()
        async with peers(slowly) as vendor:
            reply = await opened(Upstream(), vendor.url, transport=transport)
            assert await reply.read(0) is None
            assert await reply.read(0.01) is None
            go.set()
            assert [await reply.read(5), await reply.read(5)] == [b"hello", b""]

    asyncio.run(story())


@OVER
def test_a_head_has_its_time_and_all_of_it(transport: Transport):
    async def story() -> None:
        upstream = Upstream()
        async with peers(saying(b"HTTP/1.1 103 Early Hints\r\n\r\n")) as vendor:
            call = Call(method="GET", url=vendor.url, head=0.1, transport=transport)
            began = time.monotonic()
            time.sleep(0.02)  # noqa: ASYNC251  the round of the loop takes long
            fault = await upstream.open(call)
            assert time.monotonic() - began >= 0.12
            assert isinstance(fault, Fault)
            assert (fault.kind, fault.message) == (FaultKind.TIMEOUT_FIRST_TOKEN, "no answer within 0.1 s")
            assert upstream.connections() == {vendor.url: (0, 0)}

    uvloop.run(story())


@OVER
def test_one_who_stops_waiting_for_a_head_leaves_no_connection(transport: Transport):
    async def story() -> None:
        upstream = Upstream()
        async with peers(saying(b"")) as vendor:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(upstream.open(Call(method="GET", url=vendor.url, transport=transport)), 0.2)
            assert upstream.connections() == {vendor.url: (0, 0)}
            await asyncio.wait_for(vendor.connections[0].left.wait(), 5)

    asyncio.run(story())


ZIPPED = gzip.compress(b"hello", mtime=0)


@OVER
@pytest.mark.parametrize(
    ("encoding", "content", "read"),
    [
        ("gzip", ZIPPED, b"hello"),
        ("X-GZIP", ZIPPED, b"hello"),
        ("identity", b"hello", b"hello"),
        ("gzip", b"hello", "the answer's compression is broken: "),
        ("br", b"hello", "the answer's compression is broken: content-encoding br is not understood"),
    ],
    ids=["gzip", "its old name", "none", "gzip that is none", "one that nobody asked for"],
)
def test_what_was_compressed_all_the_same_is_undone(
    transport: Transport, encoding: str, content: bytes, read: bytes | str
):
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(content)}\r\n\r\n".encode()

    async def story() -> None:
        async with peers(saying(head + content)) as vendor:
            found = await read_all(await opened(Upstream(), vendor.url, transport=transport), 5, 5, 100)
        if isinstance(read, bytes):
            assert found == read
        else:
            assert isinstance(found, Fault)
            assert (found.kind, found.message.startswith(read)) == (FaultKind.GARBLED, True)

    asyncio.run(story())


@OVER
@pytest.mark.parametrize("size", [0, 1, MOST_INFLATED, 5 * MOST_INFLATED + 1])
def test_what_was_compressed_is_made_a_piece_at_a_time(transport: Transport, size: int):
    content = gzip.compress(bytes(size), mtime=0)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(content)}\r\n\r\n".encode()

    async def story() -> None:
        async with peers(saying(head + content)) as vendor:
            reply = await opened(Upstream(), vendor.url, transport=transport)
            pieces = []
            while piece := await reply.read(5):
                assert isinstance(piece, bytes)
                pieces.append(len(piece))
            assert (sum(pieces), max(pieces, default=0) <= MOST_INFLATED) == (size, True)

    asyncio.run(story())


@OVER
@pytest.mark.parametrize("there", [False, True], ids=["is missing", "holds none"])
def test_certificates_that_cannot_be_read_are_our_own_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transport: Transport, there: bool
):
    path = tmp_path / "certificates.pem"
    if there:
        path.write_text("none")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    async def story() -> None:
        async with peers(polite) as vendor:
            url = vendor.url.replace("http:", "https:")
            fault = await Upstream().open(Call(method="GET", url=url, transport=transport))
        assert isinstance(fault, Fault)
        assert (fault.kind, fault.origin) == (FaultKind.UNREACHABLE, "gateway")
        assert fault.message.startswith("the file that SSL_CERT_FILE names cannot be read as certificates (")

    asyncio.run(story())


@OVER
def test_a_fault_names_the_url_and_no_secret(transport: Transport):
    async def story() -> None:
        call = Call(
            method="GET",
            url="http://127.0.0.1:9/v1?key=sk-123",
            headers=(("x sk-123", "1"),),
            secrets=("sk-123",),
            transport=transport,
        )
        fault = await Upstream().open(call)
        assert isinstance(fault, Fault)
        assert (fault.kind, fault.origin, fault.url) == (
            FaultKind.BAD_REQUEST,
            "gateway",
            "http://127.0.0.1:9/v1?key=***",
        )
        assert "sk-123" not in repr(fault)

    asyncio.run(story())


async def unread(peer: Peer) -> None:
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(60)


async def broken(peer: Peer) -> None:
    await peer.request()
    peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")


# What the peer does, what is asked of it; the fault's kind, and its words where both have the same.
FAULTS: dict[str, tuple[Callable[[Peer], Awaitable[None]], dict[str, Any], FaultKind, str | None]] = {
    "another protocol": (saying(b"220 mail ready\r\n\r\n"), {}, FaultKind.UNREACHABLE, None),
    "nothing, and gone": (Peer.request, {}, FaultKind.UNREACHABLE, None),
    "does not read": (
        unread,
        {"body": b"x" * 2**25, "write": 0.2},
        FaultKind.TIMEOUT_FIRST_TOKEN,
        "the vendor stopped reading the request for 0.2 s",
    ),
    "no header": (
        polite,
        {"headers": (("x", "a\r\nb: c"),)},
        FaultKind.BAD_REQUEST,
        "the request cannot be sent: the header x has a letter in it that no header may have",
    ),
    "ours to say": (
        polite,
        {"headers": (("Content-Length", "1"),)},
        FaultKind.BAD_REQUEST,
        "the request cannot be sent: 'Content-Length' is no header that can be set",
    ),
    "no method": (polite, {"method": "A B"}, FaultKind.BAD_REQUEST, "the request cannot be sent: its method is none"),
}


@OVER
@pytest.mark.parametrize(("play", "asked", "kind", "words"), FAULTS.values(), ids=FAULTS)
def test_faults_have_the_same_kind(
    transport: Transport, play: Any, asked: dict[str, Any], kind: FaultKind, words: str | None
):
    async def story() -> None:
        upstream = Upstream()
        async with peers(play) as vendor:
            call = Call(**{"method": "POST", "url": vendor.url, "body": b"{}", "transport": transport, **asked})
            fault = await upstream.open(call)
            assert isinstance(fault, Fault)
            assert (fault.kind, words or fault.message) == (kind, fault.message)
            assert all(in_use == 0 for in_use, _ in upstream.connections().values())
            await upstream.close()

    asyncio.run(story())


@OVER
def test_nobody_there(transport: Transport):
    async def story() -> None:
        with refusing() as url:
            fault = await Upstream().open(Call(method="GET", url=url, transport=transport))
            assert isinstance(fault, Fault)
            assert (fault.kind, fault.message) == (FaultKind.UNREACHABLE, "Connection refused")
        with hanging() as url:
            fault = await Upstream().open(Call(method="GET", url=url, connect=0.1, transport=transport))
            assert isinstance(fault, Fault)
            assert (fault.kind, fault.message) == (FaultKind.TIMEOUT_CONNECT, "no connection within 0.1 s")

    asyncio.run(story())


@OVER
def test_what_came_before_it_broke_is_read(transport: Transport):
    async def story() -> None:
        async with peers(broken) as vendor:
            reply = await opened(Upstream(), vendor.url, transport=transport)
            assert reply.connected > 0
            assert await reply.read(5) == b"hel"
            fault = await reply.read(5)
            assert isinstance(fault, Fault)
            assert (fault.kind, fault.message.partition(":")[0]) == (FaultKind.UNREACHABLE, "the connection broke")

    asyncio.run(story())


@OVER
def test_a_reader_that_is_slow_makes_the_vendor_wait(transport: Transport):
    async def story() -> None:
        written = 0

        async def pour(peer: Peer) -> None:
            nonlocal written
            await peer.request()
            peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                peer.say(b"x" * 65536)
                await peer.writer.drain()
                written += 65536

        async with peers(pour) as vendor:
            reply = await opened(Upstream(), vendor.url, transport=transport)
            before = -1
            while before != written:
                before = written
                await asyncio.sleep(0.2)
                assert written < 32 * 2**20
            read = 0
            while read < before + 2**20:
                chunk = await reply.read(5)
                assert isinstance(chunk, bytes)
                read += len(chunk)
            await reply.close()
            assert isinstance(await reply.read(5), (bytes, Fault))
            await asyncio.wait_for(vendor.connections[0].left.wait(), 5)

    asyncio.run(story())


@OVER
def test_a_connection_is_kept_unless_it_is_to_be_a_new_one(transport: Transport):
    async def story() -> None:
        upstream = Upstream()
        async with peers(polite) as vendor:
            for fresh, made, connections in ((False, True, 1), (False, False, 1), (True, True, 2)):
                reply = await opened(upstream, vendor.url, transport=transport, fresh=fresh)
                assert await read_all(reply, 5, 5, 100) == b"ok"
                await reply.close()
                assert (reply.connected > 0, len(vendor.connections)) == (made, connections)
            await upstream.close()
            for peer in vendor.connections:
                await asyncio.wait_for(peer.left.wait(), 5)

    asyncio.run(story())


@OVER
def test_an_answer_that_is_whole_may_end_by_itself(transport: Transport):
    """Its last event was read; the vendor's own end comes a moment later, and the connection is kept."""

    async def story() -> None:
        upstream = Upstream()

        async def late(peer: Peer) -> None:
            while True:
                await peer.request()
                peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello")
                await ended.wait()
                peer.say(b"!")

        ended = asyncio.Event()
        async with peers(late) as vendor:
            for _ in range(2):
                ended.clear()
                reply = await opened(upstream, vendor.url, transport=transport)
                assert await reply.read(5) == b"hello"
                await reply.close(linger=True)
                ended.set()
                await asyncio.sleep(0.1)
            assert len(vendor.connections) == 1
            await upstream.close()

    asyncio.run(story())
