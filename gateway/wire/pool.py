"""Connections to vendors: kept alive and handed out to one request at a time, the latest used first.

A request takes a connection off a stack, or has one made; that costs the same however many there are. No task, timer,
lock or queue is made for a request: what takes time is looked at by one tick for all, which stops when nothing does.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable

from gateway.errors import Fault, FaultKind
from gateway.strand import TICK
from gateway.wire.connection import Connection
from gateway.wire.dialing import Address, address_of, dial
from gateway.wire.incoming import NOT_MADE, Ask, Incoming, network_fault, said, unmade

MOST_IDLE = 256
# Request lines by method and URL, and header lines by name and value: what is sent again and again is written once.
# Some of it is new with every request; when there is too much, all of it goes.
MOST_LINES = 1024


class Way:
    """One origin as it is reached, its connections in use and the idle ones, the latest used last."""

    __slots__ = ("address", "idle", "in_use")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.idle: list[Connection] = []
        self.in_use = 0


class Pool:
    """``tls`` makes the context of the first https connection; it is kept for all.

    ``locate``: whatever says where a URL leads, and raises as ``address_of`` does.
    """

    def __init__(
        self, tls: Callable[[], ssl.SSLContext], locate: Callable[[str], tuple[Address, bytes]] = address_of
    ) -> None:
        self._make_tls = tls
        self._locate = locate
        self._tls: ssl.SSLContext | None = None
        self._ways: dict[str, Way] = {}
        self._starts: dict[tuple[str, str], tuple[Way, bytes]] = {}
        self._lines: dict[tuple[str, str], bytes] = {}
        self._watched: dict[Connection, None] = {}
        self._tick: asyncio.TimerHandle | None = None
        self._closed = False

    def send(self, ask: Ask, /) -> Incoming:
        """The answer that will come. Raises nothing and wakes nobody: whatever is wrong is there to be taken."""
        answer = Incoming(ask)
        try:
            way, start = self._starts.get((ask.method, ask.url)) or self._start(ask.method, ask.url)
            answer.head = self._head(start, ask)
        except ValueError as error:
            return answer.broken(unsendable(error))
        except OSError as error:
            answer.connected = NOT_MADE
            return answer.broken(network_fault(FaultKind.UNREACHABLE, said(error)))
        if ask.fresh or not self._started(way, answer):
            self._make(answer, way)
        return answer

    def counts(self) -> dict[str, tuple[int, int]]:
        """Origin -> connections in use, connections that wait to be."""
        return {origin: (way.in_use, len(way.idle)) for origin, way in self._ways.items()}

    def sweep(self) -> None:
        """Closes what has been idle for too long."""
        for way in self._ways.values():
            for connection in list(way.idle):
                if connection.expires <= asyncio.get_running_loop().time():
                    connection.cut()

    async def close(self) -> None:
        self._closed = True
        for way in self._ways.values():
            for connection in list(way.idle):
                connection.cut()
        # The event loop lets go of them in its next round.
        await asyncio.sleep(0)

    # Requests -------------------------------------------------------------------------------------------------------

    def _start(self, method: str, url: str) -> tuple[Way, bytes]:
        """Raises ``ValueError`` and ``OSError`` as ``address_of`` does."""
        check_method(method)
        address, rest = self._locate(url)
        way = self._ways.get(address.origin)
        if way is None:
            way = self._ways[address.origin] = Way(address)
        if len(self._starts) >= MOST_LINES:
            self._starts.clear()
        start = self._starts[method, url] = (way, method.encode("ascii") + rest)
        return start

    def _head(self, start: bytes, ask: Ask) -> bytes:
        lines = self._lines
        written = [start]
        for header in ask.headers:
            written.append(lines.get(header) or self._line(header))
        if ask.body is not None:
            written.append(b"content-length: %d\r\n" % len(ask.body))
        written.append(b"\r\n")
        return b"".join(written)

    def _line(self, header: tuple[str, str]) -> bytes:
        name, value = header
        check_header(name, value)
        if len(self._lines) >= MOST_LINES:
            self._lines.clear()
        line = self._lines[header] = f"{name}: {value}\r\n".encode("latin-1")
        return line

    # Connections ----------------------------------------------------------------------------------------------------

    def _started(self, way: Way, answer: Incoming) -> bool:
        """On a connection that is idle, if one of them is fit for it."""
        while way.idle:
            connection = way.idle.pop()
            if connection.fit(connection.clock()):
                way.in_use += 1
                connection.start(answer)
                return True
            connection.cut()
        return False

    def _make(self, answer: Incoming, way: Way) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self, way, loop)
        way.in_use += 1
        answer.connected = NOT_MADE
        connection.start(answer)
        connection.making = loop.create_task(self._making(connection, way.address, answer.ask.connect))

    async def _making(self, connection: Connection, address: Address, seconds: float) -> None:
        fault = None
        try:
            async with asyncio.timeout(seconds) as limit:
                await dial(address, self._context, connection)
        # Whatever it is, somebody waits for the answer and must be told.
        except Exception as error:
            fault = unmade(error)
            if limit.expired():
                fault = network_fault(FaultKind.TIMEOUT_CONNECT, f"no connection within {seconds:g} s")
        connection.making = None
        # A connection that was made has told its answer itself, and may be another's by now.
        if fault is not None and not connection.made:
            connection.failed(fault)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._make_tls()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    # What connections say (``Home``) -----------------------------------------------------------------------------

    def over(self, connection: Connection) -> None:
        way: Way = connection.way
        way.in_use -= 1

    def keep(self, connection: Connection) -> None:
        way: Way = connection.way
        if self._closed:
            connection.cut()
            return
        way.idle.append(connection)
        if len(way.idle) > MOST_IDLE:
            way.idle[0].cut()

    def gone(self, connection: Connection) -> None:
        way: Way = connection.way
        if connection in way.idle:
            way.idle.remove(connection)

    def again(self, answer: Incoming, way: Way) -> None:
        self._make(answer, way)

    def watch(self, connection: Connection) -> None:
        self._watched[connection] = None
        if self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(TICK, self._look)

    def _look(self) -> None:
        self._tick = None
        loop = asyncio.get_running_loop()
        for connection in list(self._watched):
            if not connection.look(loop.time()):
                self._watched.pop(connection, None)
        if self._watched and self._tick is None:
            self._tick = loop.call_later(TICK, self._look)


# What can be sent ---------------------------------------------------------------------------------------------------


def check_method(method: str) -> None:
    """Raises ``ValueError``."""
    if not _TOKEN.fullmatch(method):
        raise ValueError("its method is none")


def check_header(name: str, value: str) -> None:
    """Raises ``ValueError`` for what no header may hold; never with its value, which may be a secret."""
    if not _TOKEN.fullmatch(name) or name.lower() in OURS:
        raise ValueError(f"{name[:100]!r} is no header that can be set")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the header {name} has a letter in it that no header may have")


def unsendable(error: Exception) -> Fault:
    """Our own request is not HTTP: the vendor has not even seen it."""
    return Fault(kind=FaultKind.BAD_REQUEST, message=f"the request cannot be sent: {error}", origin="gateway")


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Written by us: a second one would be a second opinion about where the request ends.
OURS = ("host", "content-length", "transfer-encoding")
