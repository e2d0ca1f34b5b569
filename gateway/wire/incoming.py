"""A request on its way out and the reply that comes of it: what connections fill and whoever asked takes from."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Protocol

import msgspec

from gateway.errors import Fault, FaultKind, Origin
from gateway.strand import nobody

_NO_HEADERS: Mapping[str, str] = {}

Transport = Literal["pool", "httpx"]
"""Whose connections carry a request."""

NOT_MADE = -1.0
"""``Incoming.connected`` as long as the connection for it is not made."""
NOT_HTTP = "what came is not HTTP"
"""What a fault says where an answer is not to be guessed at."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request, ready for the wire: ``url`` is absolute, ``headers`` are without host and content-length.

    ``connect``: seconds to make a connection; ``write``: seconds in which the peer has to take more of the request;
    ``fresh``: on a connection of its own making.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    connect: float = 5.0
    write: float = 60.0
    fresh: bool = False


class Incoming:
    """One reply as it arrives; something to be waited for (``gateway.strand.Source``).

    ``status`` is 0 until the head is here; ``headers``: lower-case names, of repeated ones the last; ``connected``:
    seconds the connection took to make, 0 on one that was kept, ``NOT_MADE``. ``wake`` is called, from the event loop
    only, when a head, bytes, the end or a fault have come.
    """

    __slots__ = (
        *("_ahead", "_come", "_connection", "_end", "_full"),
        *("ask", "connected", "head", "headers", "status", "wake"),
    )

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.head = b""
        self.status = 0
        self.headers = _NO_HEADERS
        self.connected = 0.0
        self.wake: Callable[[], None] = nobody
        self._connection: Line | None = None
        self._come: list[bytes] = []
        self._ahead = 0
        self._full = False
        self._end: bytes | Fault | None = None

    def take(self) -> bytes | Fault | None:
        """All that has come, in one; ``b""`` at the end, a fault where it broke; None: nothing now."""
        come = self._come
        if not come:
            return self._end
        taken = come[0] if len(come) == 1 else b"".join(come)
        come.clear()
        self._ahead = 0
        if self._full:
            self._full = False
            if self._connection is not None:
                self._connection.read_on()
        return taken

    def close(self, *, linger: bool = False) -> None:
        """Nobody wants more of it. Unfinished, its connection is cut, or given ``LINGER`` seconds to end by itself."""
        connection = self._connection
        if connection is None:
            return
        self.wake = nobody
        if linger and self.status:
            connection.linger()
        else:
            connection.give_up()

    def broken(self, fault: Fault) -> Incoming:
        """It has come to nothing; what came before can still be taken."""
        self._connection, self._end = None, fault
        return self


class Line(Protocol):
    """The connection an answer comes by, as long as its exchange is not over."""

    def read_on(self) -> None: ...
    def linger(self) -> None: ...
    def give_up(self) -> None: ...


def network_fault(kind: FaultKind, message: str, origin: Origin = "network") -> Fault:
    return Fault(kind=kind, message=message, origin=origin)


class OwnTrouble(Exception):
    """No connection can be made, and that is not the network's doing. Says what is wrong and what to do."""


def unmade(error: BaseException) -> Fault:
    """Why a connection could not be made: 1. what stands in our own way, 2. what the network said."""
    for seen in _causes(error):
        if isinstance(seen, OwnTrouble):
            return network_fault(FaultKind.UNREACHABLE, str(seen), "gateway")
        if isinstance(seen, OSError) and seen.errno in (errno.EMFILE, errno.ENFILE):
            words = f"{os.strerror(seen.errno)}: raise the gateway's limit of open files (ulimit -n, LimitNOFILE)"
            return network_fault(FaultKind.UNREACHABLE, words, "gateway")
    return network_fault(FaultKind.UNREACHABLE, said(error))


def said(error: BaseException | str) -> str:
    """The system's own words where there are any: "All connection attempts failed" tells nobody why."""
    if isinstance(error, str):
        return error
    for seen in _causes(error):
        if isinstance(seen, OSError) and seen.strerror:
            # Event loops have words of their own for it; resolvers count below zero.
            system = seen.errno and seen.errno > 0 and not isinstance(seen, ssl.SSLError)
            return os.strerror(seen.errno) if system and seen.errno else seen.strerror
    return str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """It and what led to it, of several the first."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, BaseExceptionGroup):
            seen = seen.exceptions[0]
        yield seen
        seen = seen.__cause__ or seen.__context__
