"""The fast path's near end: hot requests are served in the protocol's own callbacks, all others by uvicorn.

A connection is uvicorn's, but for the time between the first byte of a hot request and the last of its answer. The
request is served by the code that serves it over ASGI, as a strand: the lane decides nothing. What is hot and plain:
a POST to a route that ``hot`` knows, whose head came whole and leaves nothing to interpret (``heads``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gateway import patience
from gateway.strand import Strand, Strands, nobody, parked
from gateway.wire.bounded import BoundedProtocol
from gateway.wire.heads import Head, HeadReader, head_of_answer

# Bytes of later requests that wait while one is served; past this the client is made to wait.
MOST_AHEAD = 64 * 1024


class LaneClient:
    """One hot request and its answer (``api.client.Client``). Not used again for another."""

    __slots__ = (
        "_body",
        "_chunked",
        "_head",
        "_lane",
        "_length",
        "_told",
        "_wanted",
        "address",
        "deployment",
        "ended",
        "gone",
        "headers",
        "method",
        "path",
        "query",
        "read",
        "strand",
        "streamed",
        "wake",
    )

    def __init__(self, lane: Lane, head: Head, data: bytes) -> None:
        self._lane = lane
        self.method, self.headers = "POST", head.headers
        self.path, _, self.query = head.target.partition("?")
        self.address = lane.client[0] if lane.client else None
        self.deployment: str | None = None
        self.streamed: bool | None = None
        self.wake: Callable[[], None] = nobody
        self.strand: Strand | None = None
        self.gone = self.read = self.ended = False
        self._told = self._chunked = False
        self._head = ""
        # What has come of the body (all of it with the head, mostly), and how many of its bytes are still to come.
        body = data[head.end : head.end + head.length]
        self._length, self._wanted = head.length, head.length - len(body)
        self._body: bytes | bytearray = bytearray(body) if self._wanted else body

    # The request

    def take(self, data: bytes) -> bytes:
        """More bytes of the connection's. Returns those that are not this request's; ``wake`` is for the caller."""
        if not self._wanted:
            return data
        part = data[: self._wanted]
        self._wanted -= len(part)
        if not self._told:
            # Of what is answered unread nobody keeps the rest.
            self._body += part
        return data[len(part) :]

    async def body(self, limit: int, pause: float) -> bytes:
        if self._length > limit:
            raise patience.too_large(limit)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._wanted:
            until = patience.latest(began, loop.time(), self._length - self._wanted, pause)
            if not await parked(self, until):
                raise patience.too_slow(pause)
        self.read = True
        body, self._body = bytes(self._body), b""
        return body

    async def discard(self) -> None:
        until = asyncio.get_running_loop().time() + patience.UNREAD_SECONDS
        while self._wanted and not self.gone and self._length - self._wanted < patience.UNREAD_LIMIT:
            if not await parked(self, until):
                return
        self.read = not self._wanted

    # The answer

    async def begin(
        self,
        request_id: str,
        status: int,
        headers: Sequence[tuple[str, str]],
        length: int | None = None,
        *,
        close: bool = False,
    ) -> None:
        self._chunked = length is None
        framing = "transfer-encoding: chunked\r\n" if length is None else f"content-length: {length}\r\n"
        if close:
            self._lane.closing = True
        if self._lane.closing:
            framing += "connection: close\r\n"
        # It goes out with the first bytes of the body.
        self._head = f"{head_of_answer(status, headers)}x-request-id: {request_id}\r\n{framing}{self._lane.date()}\r\n"

    async def say(self, chunk: bytes) -> None:
        if not chunk:
            return
        framed = b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk
        if self._head:
            framed, self._head = self._head.encode("ascii") + framed, ""
        self._write(framed)
        if self._lane.full:
            await self._room()

    async def end(self, last: bytes = b"") -> None:
        self._told = True
        if self._chunked:
            last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last) if last else b"0\r\n\r\n"
        if self._head:
            last, self._head = self._head.encode("ascii") + last, ""
        self._write(last)
        self.ended = True
        if self._lane.full:
            await self._room()

    def _write(self, data: bytes) -> None:
        if not self.gone:
            self._lane.transport.write(data)

    async def _room(self) -> None:
        """The client has been sent more than it has taken."""
        until = asyncio.get_running_loop().time() + patience.STALLED
        while self._lane.full and not self.gone:
            if not await parked(self, until):
                self.gone = True
                raise asyncio.CancelledError

    # Its end

    def watch(self) -> None:
        """The connection tells it at any time (``lost``)."""

    def cancel(self) -> None:
        if self.strand is not None:
            self.strand.cancel()

    def lost(self) -> None:
        """The connection is gone."""
        self.gone = True
        if self._told:
            self.wake()
        else:
            self.cancel()

    def close(self) -> None:
        """The lane looks at ``ended`` when the strand has ended. A head that nothing came after is told as it is."""
        if self._head:
            self._write(self._head.encode("ascii"))


Hot = Callable[[LaneClient], Coroutine[Any, Any, None] | None]
"""Serves a request, if it is one of the hot ones, and sets ``path`` and what else its path means."""


class Lane(BoundedProtocol):
    """One connection of a client's.

    While ``_serving`` is set the connection is that request's: every byte that comes is its body, or waits behind it
    in ``_ahead``; uvicorn's parser sees none of them. Otherwise it is uvicorn's, which is at rest between two messages
    (``_at_rest``) or has one under way, and then keeps it.
    """

    def __init__(self, lanes: Lanes, **named: Any) -> None:
        super().__init__(**named)
        self._lanes = lanes
        self._serving: LaneClient | None = None
        self._ahead = b""
        self._idle_since = 0.0
        self.full = self.closing = False
        """More was written than the client has taken; the connection ends with the answer."""

    def data_received(self, data: bytes) -> None:
        """1. A request is served. 2. What waits behind the last is about to be read. 3. They begin one, or go on."""
        serving = self._serving
        if serving is not None:
            # Put by first: the request may end as it is woken, and what waits behind it is looked at then.
            self._wait_behind(serving.take(data))
            serving.wake()
        elif self._ahead:
            self._wait_behind(data)
        elif not (self._at_rest() and self._begin(data)):
            super().data_received(data)
            if not self._at_rest():
                self._idle_since = 0.0

    def _at_rest(self) -> bool:
        """uvicorn has neither a message under way nor an answer."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not (self._in_message or self._refused or self.pipeline)

    def _begin(self, data: bytes) -> bool:
        """Serves what the bytes begin with, if it is hot and plain."""
        head = self._lanes.reader.read(data)
        if head is None:
            return False
        client = LaneClient(self, head, data)
        work = self._lanes.hot(client)
        if work is None:
            return False
        self._unset_keepalive_if_required()
        self._unwatch_head()
        self._serving, self._idle_since = client, 0.0
        if len(data) > head.end + head.length:
            self._wait_behind(data[head.end + head.length :])
        self.server_state.total_requests += 1
        strand = self._lanes.strands().begin(work, self._served)
        client.strand = strand
        return True

    def _wait_behind(self, data: bytes) -> None:
        if data:
            self._ahead += data
            if len(self._ahead) > MOST_AHEAD:
                self.transport.pause_reading()

    def _served(self) -> None:
        """The request's strand has ended; called once for each."""
        client, self._serving = self._serving, None
        if client is None or self.transport.is_closing():
            return
        if self.closing or not (client.ended and client.read):
            # An answer without an end: closing under it is what tells the client that it was aborted.
            self.transport.close()
            return
        self._idle_since = self.loop.time()
        if self._ahead:
            self.loop.call_soon(self._next)

    def _next(self) -> None:
        """What has come meanwhile, as if it came now."""
        ahead, self._ahead = self._ahead, b""
        if self.transport.is_closing():
            return
        self.transport.resume_reading()
        self.data_received(ahead)

    # The connection

    def date(self) -> str:
        return self._lanes.date(self.server_state.default_headers)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._serving is not None:
            self._serving.lost()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self.full = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self.full = False
        super().resume_writing()
        if self._serving is not None:
            self._serving.wake()

    def shutdown(self) -> None:
        """uvicorn's server stops: what is under way is finished first."""
        if self._serving is not None:
            self.closing = True
        else:
            super().shutdown()

    def _look(self) -> None:
        if self._idle_since and self.loop.time() - self._idle_since > self.timeout_keep_alive:
            self.transport.close()
        super()._look()


class Lanes:
    """Makes the protocol of every connection: ``uvicorn.Config(http=Lanes(hot))``."""

    def __init__(self, hot: Hot) -> None:
        self.hot, self.reader = hot, HeadReader()
        self._strands: Strands | None = None
        self._date: tuple[object, str] = (None, "")

    def __call__(self, **named: Any) -> Lane:
        return Lane(self, **named)

    def strands(self) -> Strands:
        if self._strands is None:
            self._strands = Strands(asyncio.get_running_loop())
        return self._strands

    def date(self, default_headers: list[tuple[bytes, bytes]]) -> str:
        """The headers that uvicorn adds to every answer: a list, which it replaces every second."""
        if self._date[0] is not default_headers:
            written = b"".join(b"%b: %b\r\n" % header for header in default_headers)
            self._date = default_headers, written.decode("latin-1")
        return self._date[1]
