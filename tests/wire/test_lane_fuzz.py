"""Arbitrary bytes, cut anywhere, at a lane without a socket: what is served is what llhttp reads, in order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import httptools
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from gateway.errors import CallerError
from gateway.wire.lane import LaneClient, Lanes

HOT = "/v1/chat/completions"
MOST = 1_000_000

Message = tuple[str, bytes]
"""A path and a body."""


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.paused = False

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        assert not self.closed
        self.paused = False

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Echo:
    """A server of one connection that says what it was asked. A body that begins with "!" is refused, with "~" slow."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.transport = loop, Transport()
        self.served: list[Message] = []
        self.escaped: list[Any] = []
        loop.set_exception_handler(lambda _, said: self.escaped.append(said))
        lanes = Lanes(self.hot)
        config = uvicorn.Config(self.app, http=lanes, ws="none", lifespan="off", interface="asgi3", log_config=None)
        self.connection = lanes(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        self.connection.connection_made(self.transport)

    def hot(self, client: LaneClient) -> Any:
        return self.serve(client) if client.path == HOT else None

    async def serve(self, client: LaneClient) -> None:
        try:
            body = await client.body(MOST, 10.0)
        except CallerError as error:
            await client.discard()
            await client.begin("id", error.status, [], 0, close=not client.read)
            await client.end()
            return
        self.served.append((client.path, body))
        if body.startswith(b"~"):
            await asyncio.sleep(0)
        if body.startswith(b"!"):
            await client.begin("id", 400, [], len(body))
            await client.end(body)
        else:
            await client.begin("id", 200, [])
            for byte in body:
                await client.say(bytes([byte]))
            await client.end()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.served.append((scope["path"], body))
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def hear(self, *reads: bytes) -> None:
        for read in reads:
            if self.transport.closed:
                return
            await self._called(self.connection.data_received, read)
            await self.rest()

    async def _called(self, function: Any, *arguments: Any) -> None:
        """As a socket would: by the loop, and in nobody's task."""
        done = self.loop.create_future()

        def call() -> None:
            try:
                done.set_result(function(*arguments))
            except Exception as error:
                done.set_exception(error)

        self.loop.call_soon(call)
        await done

    async def rest(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        for _ in range(60):
            await self.rest()
        self.transport.closed = True
        await self._called(self.connection.connection_lost, None)
        for _ in range(3):
            await self.rest()


class _Reader:
    """The messages that llhttp makes of these reads; it drops what follows in one that asks for another protocol."""

    def __init__(self, *reads: bytes) -> None:
        self.whole: list[Message] = []
        self._url = self._body = b""
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        with contextlib.suppress(httptools.HttpParserError):
            for read in reads:
                with contextlib.suppress(httptools.HttpParserUpgrade):
                    self._parser.feed_data(read)

    def on_message_begin(self) -> None:
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        try:
            path = httptools.parse_url(self._url).path
        except httptools.HttpParserError:
            return
        self.whole.append((path.decode("latin-1"), self._body))


def answers(data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of every whole answer; raises for what is none."""
    found: list[tuple[int, bytes]] = []
    status, body = 0, b""

    class Reader:
        def on_headers_complete(self) -> None:
            nonlocal status, body
            status, body = parser.get_status_code(), b""

        def on_body(self, part: bytes) -> None:
            nonlocal body
            body += part

        def on_message_complete(self) -> None:
            if status >= 200:
                found.append((status, body))

    parser = httptools.HttpResponseParser(Reader())
    parser.feed_data(data)
    return found


# What uvicorn says to what it cannot read, whatever went before it.
_REFUSED = b"Invalid HTTP request received."


def check(reads: list[bytes]) -> Echo:
    """Whatever was read: nothing crashes, nothing stays, and nothing is served that llhttp does not read there."""
    loop = asyncio.new_event_loop()
    try:
        echo = Echo(loop)

        async def story() -> None:
            await echo.hear(*reads)
            await echo.leave()

        loop.run_until_complete(asyncio.wait_for(story(), 20))
        whole = _Reader(*reads).whole
        assert echo.served == whole[: len(echo.served)]
        assert not echo.escaped, echo.escaped
        strands = echo.connection._lanes._strands
        assert strands is None or not strands.running
        assert not asyncio.all_tasks(loop)
        told = [body for status, body in answers(echo.transport.written) if status in (200, 400) and body != _REFUSED]
        assert told == [body for _, body in echo.served][: len(told)]
        return echo
    finally:
        loop.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds) if end > start]


def post(path: str, body: bytes, *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(body: bytes) -> bytes:
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    return f"POST {HOT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode() + framed


BODIES = st.one_of(st.binary(max_size=40), st.sampled_from([b"!no", b"~slow", b"{}", post(HOT, b"inner")]))
VALID = st.one_of(
    BODIES.map(lambda body: post(HOT, body)),
    BODIES.map(lambda body: post(HOT + "?q", body, "x-a: b")),
    BODIES.map(lambda body: post("/cold", body)),
    BODIES.map(chunked),
    st.just(b"GET /cold HTTP/1.1\r\nhost: x\r\n\r\n"),
)
UPGRADE = b"connection: upgrade\r\nupgrade: h2c\r\n"
FRAGMENTS = [
    *(b"POST ", b"GET ", HOT.encode(), b"/cold", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"host: x\r\n", b"x-a: b\r\n"),
    *(
        b"content-length: 3\r\n",
        b"content-length: 30\r\n",
        b"content-length: 5000\r\n",
        b"content-length: 2000000\r\n",
        b"abc",
        b"!no",
    ),
    *(b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"\r\n", b"\r\n\r\n", b"\n", b" c\r\n"),
    *(b"connection: close\r\n", b"expect: 100-continue\r\n", UPGRADE),
    *(post(HOT, b"abc"), post(HOT, b"!no"), post(HOT, b"~slow"), post("/cold", b"abc"), chunked(b"abc")),
]
PIECES = st.one_of(st.binary(max_size=20), st.sampled_from(FRAGMENTS))
PLACES = st.lists(st.integers(0, 10_000), max_size=8)


@settings(max_examples=200, deadline=None)
@given(requests=st.lists(VALID, min_size=1, max_size=6), places=PLACES)
@example(requests=[post(HOT, b"!no"), post(HOT, b"b")], places=[67])
@example(requests=[post(HOT, b"~slow")] * 6, places=[70, 90, 100])
def test_every_request_has_its_own_answer_in_order(requests: list[bytes], places: list[int]) -> None:
    data = b"".join(requests)
    echo = check(cut(data, places))
    whole = _Reader(data).whole
    assert echo.served == whole
    assert [body for _, body in answers(echo.transport.written)] == [body for _, body in whole]


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.one_of(VALID, PIECES), max_size=8), places=PLACES)
@example(pieces=[b"GET /cold HTTP/1.1\r\n" + UPGRADE + b"\r\n", b"POST x", post(HOT, b"abc")], places=[69])
def test_whatever_comes_is_read_as_llhttp_reads_it(pieces: list[bytes], places: list[int]) -> None:
    check(cut(b"".join(pieces), places))
