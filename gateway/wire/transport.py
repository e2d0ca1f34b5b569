"""The pool as httpx sees it: whatever is written for httpx's clients goes over our own connections.

The pool belongs to whoever made it: a client that is closed leaves it open. A request's body is collected before it is
sent, up to ``MOST_BODY``. Of an answer's repeated headers the last is there; proxies are the pool's affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import httpx

from gateway.errors import Fault, FaultKind
from gateway.strand import FOR_EVER, parked
from gateway.wire.dialing import PORTS, UNIX
from gateway.wire.incoming import NOT_HTTP, NOT_MADE, Ask, Incoming
from gateway.wire.pool import OURS, Pool

MOST_BODY = 32 * 2**20
# What httpx calls no limit: the pool's clocks want a number.
A_DAY = 86400.0
_LATE: Mapping[FaultKind, type[httpx.TransportError]] = {
    FaultKind.TIMEOUT_CONNECT: httpx.ConnectTimeout,
    FaultKind.TIMEOUT_FIRST_TOKEN: httpx.WriteTimeout,
    FaultKind.BAD_REQUEST: httpx.LocalProtocolError,
}


class PoolTransport(httpx.AsyncBaseTransport):
    """For ``httpx.AsyncClient(transport=…)``. Raises httpx's exceptions, and ``LocalProtocolError`` for a body that is
    too large and for a host header that is not the URL's."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeouts: Mapping[str, float | None] = request.extensions.get("timeout", {})
        answer = self._pool.send(await _ask(request, timeouts))
        content = Content(answer, timeouts.get("read"))
        try:
            await content.head()
        except BaseException:
            answer.close()
            raise
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
        return httpx.Response(answer.status, headers=headers, stream=content, extensions={"http_version": b"HTTP/1.1"})


async def _ask(request: httpx.Request, timeouts: Mapping[str, float | None]) -> Ask:
    url = request.url
    if url.scheme not in PORTS and url.scheme != UNIX:
        raise httpx.UnsupportedProtocol("the URL begins with neither http:// nor https://")
    if request.headers.get("host", "").encode("latin-1") not in (b"", url.netloc):
        raise httpx.LocalProtocolError("the host header is another than the URL's")
    bodiless = "content-length" not in request.headers and "transfer-encoding" not in request.headers
    connect, write = timeouts.get("connect"), timeouts.get("write")
    return Ask(
        method=request.method,
        url=str(url.copy_with(fragment=None)),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in request.headers.raw
            if name.lower().decode("latin-1") not in OURS
        ),
        body=None if bodiless else await _collected(request),
        connect=A_DAY if connect is None else connect,
        write=A_DAY if write is None else write,
    )


async def _collected(request: httpx.Request) -> bytes:
    if not isinstance(request.stream, httpx.AsyncByteStream):
        raise httpx.LocalProtocolError("the request's body can only be read by a client that is not asynchronous")
    parts, size = [], 0
    async for part in request.stream:
        parts.append(part)
        size += len(part)
        if size > MOST_BODY:
            raise httpx.LocalProtocolError(f"the request's body is larger than {MOST_BODY} bytes")
    return b"".join(parts)


class Content(httpx.AsyncByteStream):
    """An answer's content as it comes. ``patience``: seconds in which something has to; None: however long."""

    def __init__(self, answer: Incoming, patience: float | None) -> None:
        self._answer, self._patience = answer, patience

    async def head(self) -> None:
        while not self._answer.status:
            self._raise(self._answer.take())
            await self._more()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (taken := self._answer.take()) != b"":
            if isinstance(taken, bytes):
                yield taken
            else:
                self._raise(taken)
                await self._more()

    async def aclose(self) -> None:
        self._answer.close()

    async def _more(self) -> None:
        until = FOR_EVER if self._patience is None else asyncio.get_running_loop().time() + self._patience
        if not await parked(self._answer, until):
            self._answer.close()
            raise httpx.ReadTimeout(f"nothing came for {self._patience:g} s")

    def _raise(self, taken: bytes | Fault | None) -> None:
        if isinstance(taken, Fault):
            raise _exception(taken, self._answer.connected == NOT_MADE)(taken.message)


def _exception(fault: Fault, not_connected: bool) -> type[httpx.TransportError]:
    """1. A clock, or a request that cannot be sent. 2. No connection. 3. No HTTP on it. 4. It broke."""
    if fault.kind in _LATE:
        return _LATE[fault.kind]
    if not_connected:
        return httpx.ConnectError
    return httpx.RemoteProtocolError if NOT_HTTP in fault.message else httpx.ReadError
