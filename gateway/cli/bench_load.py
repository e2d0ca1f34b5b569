"""The load of ``skein bench``: so many connections, each with one request at a time, and every answer looked at.

A request costs two callbacks and no task. Whatever is wrong with an answer is counted by name, never raised.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.cli.bench_cases import DRIP, Expected, events_of, mistake
from gateway.cli.bench_vendor import length_of

SILENT = 30.0
"""Seconds without any answer after which nobody waits for the rest."""

_LAST_CHUNK = b"0\r\n\r\n"


class Target(msgspec.Struct, frozen=True):
    """Where the requests go."""

    host: str
    port: int
    path: str = "/v1/chat/completions"
    key: str | None = None
    secure: bool = False

    def request(self, body: Mapping[str, Any]) -> bytes:
        said = msgspec.json.encode(body)
        key = f"authorization: Bearer {self.key}\r\n" if self.key else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        head = f"POST {self.path} HTTP/1.1\r\nhost: {host}:{self.port}\r\n{key}content-type: application/json\r\n"
        return head.encode() + b"content-length: %d\r\n\r\n" % len(said) + said


class Tally:
    """What came of one run. ``latencies``: seconds from a request's write to the last byte of a right answer."""

    def __init__(self) -> None:
        self.answered = self.events = 0
        self.latencies = array("d")
        self.mistakes: Counter[str] = Counter()

    @property
    def ended(self) -> int:
        return self.answered + self.mistakes.total()

    def add(self, other: Tally) -> None:
        self.answered += other.answered
        self.events += other.events
        self.latencies.extend(other.latencies)
        self.mistakes.update(other.mistakes)

    def percentile(self, share: float) -> float:
        """In seconds; 0.0 when nothing was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


class Client(asyncio.Protocol):
    """One connection. ``busy``: a request is out on it."""

    _transport: asyncio.Transport

    def __init__(self, load: Load) -> None:
        self._load = load
        self.busy = False
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def send(self) -> None:
        self.busy = True
        self._parts: list[bytes] = []
        self._missing: int | None = None
        self._read: Callable[[bytes], None] = self._read_head
        self._began = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        if self.busy:
            self._parts.append(data)
            self._read(data)
        else:
            self._load.tally.mistakes["bytes nobody asked for"] += 1
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        was_busy, self.busy = self.busy, False
        if was_busy:
            self._load.failed("closed within the answer" if self._parts else "closed without an answer")
        self._load.lost(self, was_busy)

    def close(self) -> None:
        self.busy = False
        self._transport.abort()

    def _read_head(self, _: bytes) -> None:
        said = b"".join(self._parts)
        end = said.find(b"\r\n\r\n")
        if end < 0:
            return
        head, body = said[:end], said[end + 4 :]
        self._status = int(head[9:12])
        self._parts = [body]
        self._is_last = b"\r\nconnection: close" in head.lower()
        if b"chunked" in head.lower():
            self._read = self._read_chunks
            self._read_chunks(body)
        else:
            self._missing = length_of(head)
            self._read = self._read_rest
            self._read_rest(body)

    def _read_rest(self, data: bytes) -> None:
        self._missing = (self._missing or 0) - len(data)
        if self._missing <= 0:
            self._done(None if self._missing else b"".join(self._parts))

    def _read_chunks(self, data: bytes) -> None:
        # A line that is empty follows a chunk of no length alone: events end with another kind of line.
        whole = data.endswith(_LAST_CHUNK) or (len(data) < 5 and b"".join(self._parts[-5:]).endswith(_LAST_CHUNK))
        if whole:
            self._done(unchunked(b"".join(self._parts)))

    def _done(self, body: bytes | None) -> None:
        took = time.perf_counter() - self._began
        self.busy = False
        load = self._load
        wrong = "broken framing" if body is None else mistake(load.expected, self._status, body)
        if wrong or body is None:
            load.failed(wrong or "")
        else:
            load.tally.answered += 1
            load.tally.latencies.append(took)
            if load.expected.stream:
                load.tally.events += events_of(body)
        if self._is_last:
            self._transport.abort()
            load.lost(self, True)
        else:
            load.next(self)


class SlowReader(Client):
    """Reads a little, then looks away."""

    AWAY = 5 * DRIP
    """Long enough for a flood to outlast the look at the streams, at the 256 KB which the loop reads at a time."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.busy:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(self.AWAY, self._look)

    def _look(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


def unchunked(said: bytes) -> bytes | None:
    """None: that is no chunked body, or there is more behind it."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = said.find(b"\r\n", at)
        try:
            length = int(said[at:end].partition(b";")[0], 16)
        except ValueError:
            return None
        at = end + 2 + length
        if said[at : at + 2] != b"\r\n":
            return None
        if not length:
            return b"".join(parts) if at + 2 == len(said) else None
        parts.append(said[end + 2 : at])
        at += 2


class Load:
    """Connections to one target that send one request over and over. ``run`` may be called again and again."""

    def __init__(
        self, target: Target, body: Mapping[str, Any], expected: Expected, kind: type[Client] = Client
    ) -> None:
        self.request, self.expected = target.request(body), expected
        self._target, self._kind = target, kind
        self.tally = Tally()
        self.clients: list[Client] = []
        self._left = self._busy = 0
        self._closed = False
        self._connecting: set[asyncio.Task[None]] = set()
        self._finished: asyncio.Future[None] | None = None

    async def connect(self, count: int) -> None:
        """Raises ``OSError``. Not all at once: a listener's queue is short."""
        for begin in range(0, count, 100):
            await asyncio.gather(*(self._connect() for _ in range(min(100, count - begin))))

    async def _connect(self) -> Client:
        target = self._target
        secure = ssl.create_default_context() if target.secure else None
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: self._kind(self), target.host, target.port, ssl=secure)
        self.clients.append(client)
        return client

    async def run(self, requests: int, seconds: float | None = None) -> Tally:
        """So many requests, or as many as go into so many seconds."""
        loop = asyncio.get_running_loop()
        self.tally, self._finished = Tally(), loop.create_future()
        self._left = requests if seconds is None else 2**62
        timer = None if seconds is None else loop.call_later(seconds, self._stop)
        self._busy = len(self.clients)
        for client in list(self.clients):
            self.next(client)
        ended = -1
        while not self._finished.done() and ended != self.tally.ended:
            ended = self.tally.ended
            await asyncio.wait({self._finished}, timeout=SILENT)
        self._give_up()
        if timer is not None:
            timer.cancel()
        return self.tally

    def next(self, client: Client) -> None:
        if self._left > 0:
            self._left -= 1
            client.send()
        else:
            self._rest()

    def failed(self, how: str) -> None:
        self.tally.mistakes[how] += 1

    def lost(self, client: Client, was_busy: bool) -> None:
        """Its connection is gone. One that was at work is replaced by another, which goes on."""
        if client in self.clients:
            self.clients.remove(client)
        if not was_busy or self._closed:
            return
        task = asyncio.get_running_loop().create_task(self._replace())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _replace(self) -> None:
        try:
            client = await self._connect()
        except OSError:
            self.failed("no connection")
            self._rest()
        else:
            self.next(client)

    def close(self) -> None:
        self._closed = True
        for client in self.clients:
            client.close()

    def _stop(self) -> None:
        self._left = 0

    def _rest(self) -> None:
        self._busy -= 1
        if self._busy <= 0 and self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def _give_up(self) -> None:
        """Whoever has not been answered by now never will be."""
        waiting = [client for client in self.clients if client.busy]
        self.tally.mistakes.update({"no answer": len(waiting)} if waiting else {})
        for client in waiting:
            client.close()
