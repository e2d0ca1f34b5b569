"""Calls to vendors: how their answers are read, and what is told of them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import html
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest
import uvloop

from gateway.errors import Fault, FaultKind
from gateway.upstream import Call, NetworkReply, Upstream, read_all, without_secrets
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


# --- over the network -------------------------------------------------------------------------------------------------


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


def test_nothing_is_lost_by_asking_again():
    async def story() -> None:
        async def slowly(peer: Peer) -> None:
            await peer.request()
            peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
            await go.wait()
            peer.say(b"hello")
            await peer.gone()

        go = asyncio.Event()
        async with peers(slowly) as vendor:
            reply = await opened(Upstream(), vendor.url)
            assert await reply.read(0) is None
            assert await reply.read(0.01) is None
            go.set()
            assert [await reply.read(5), await reply.read(5)] == [b"hello", b""]

    asyncio.run(story())


def test_a_head_has_its_time_and_all_of_it():
    async def story() -> None:
        upstream = Upstream()
        async with peers(saying(b"HTTP/1.1 103 Early Hints\r\n\r\n")) as vendor:
            call = Call(method="GET", url=vendor.url, head=0.1)
            began = time.monotonic()
            time.sleep(0.02)  # noqa: ASYNC251  the round of the loop takes long
            fault = await upstream.open(call)
            assert time.monotonic() - began >= 0.12
            assert isinstance(fault, Fault)
            assert (fault.kind, fault.message) == (FaultKind.TIMEOUT_FIRST_TOKEN, "no answer within 0.1 s")
            assert upstream.connections() == {vendor.url: (0, 0)}

    uvloop.run(story())


def test_one_who_stops_waiting_for_a_head_leaves_no_connection():
    async def story() -> None:
        upstream = Upstream()
        async with peers(saying(b"")) as vendor:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(upstream.open(Call(method="GET", url=vendor.url)), 0.05)
            assert upstream.connections() == {vendor.url: (0, 0)}

    asyncio.run(story())


ZIPPED = gzip.compress(b"hello", mtime=0)


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
def test_what_was_compressed_all_the_same_is_undone(encoding: str, content: bytes, read: bytes | str):
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(content)}\r\n\r\n".encode()

    async def story() -> None:
        async with peers(saying(head + content)) as vendor:
            found = await read_all(await opened(Upstream(), vendor.url), 5, 5, 100)
        if isinstance(read, bytes):
            assert found == read
        else:
            assert isinstance(found, Fault)
            assert (found.kind, found.message.startswith(read)) == (FaultKind.GARBLED, True)

    asyncio.run(story())


def test_a_fault_names_the_url_and_no_secret():
    async def story() -> None:
        call = Call(
            method="GET", url="http://127.0.0.1:9/v1?key=sk-123", headers=(("x sk-123", "1"),), secrets=("sk-123",)
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
