"""The only outbound I/O: open a call, read its reply, map every failure to a Fault.

Nothing above this file knows which HTTP client is used. A reply is read with ``read(wait)``: bytes, ``b""`` at the
end, a ``Fault`` when it broke, or None when nothing came within ``wait`` seconds (nothing is lost by asking again).
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import msgspec

from gateway.errors import Fault, FaultKind, Origin

if TYPE_CHECKING:
    import httpx

# Bytes read ahead of the client; past this the vendor is made to wait.
READ_AHEAD = 256 * 1024
# A vendor may keep a connection open after its last event; this many seconds it is given to end by itself.
LINGER = 1.0
KEEPALIVE_EXPIRY = 30.0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One physical call. Times are seconds; ``secrets`` are never to appear in a fault."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    connect: float = 5.0
    write: float = 60.0
    head: float = 60.0
    """How long the head of the reply may take, from the start of the call."""
    fresh: bool = False
    secrets: tuple[str, ...] = ()


class Reply(Protocol):
    status: int
    headers: Mapping[str, str]
    """Lower-case names; of repeated headers the last."""

    async def read(self, wait: float | None = None) -> bytes | Fault | None: ...
    async def close(self, *, linger: bool = False) -> None:
        """Frees the connection; may be called twice. ``linger``: the answer was whole, let the vendor end by itself."""


class Opener(Protocol):
    async def open(self, call: Call) -> Reply | Fault: ...


class Upstream:
    """Calls by scheme: ``http`` and ``https`` over the network, others (the simulator) as given."""

    def __init__(self, others: Mapping[str, Opener] | None = None) -> None:
        self._others = dict(others or {})
        self._network = HttpxOpener()

    async def open(self, call: Call) -> Reply | Fault:
        opener = self._others.get(call.url.partition(":")[0], self._network)
        reply = await opener.open(call)
        return without_secrets(reply, call) if isinstance(reply, Fault) else reply

    async def close(self) -> None:
        await self._network.close()


async def read_all(reply: Reply, idle: float, total: float, limit: int) -> bytes | Fault:
    """The whole body, or why not: silence of ``idle`` seconds, ``total`` seconds gone, too large. Closes nothing."""
    loop = asyncio.get_running_loop()
    deadline, size = loop.time() + total, 0
    parts: list[bytes] = []
    while True:
        left = deadline - loop.time()
        chunk = await reply.read(max(0.0, min(idle, left)))
        if chunk is None:
            kind = FaultKind.TIMEOUT_IDLE if idle < left else FaultKind.TIMEOUT_TOTAL
            return _network_fault(kind, "the answer stopped in the middle")
        if isinstance(chunk, Fault):
            return chunk
        if not chunk:
            return b"".join(parts)
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            return Fault(kind=FaultKind.GARBLED, message=f"an answer of more than {limit} bytes")


def without_secrets(fault: Fault, call: Call) -> Fault:
    """The same fault with every secret of the call blotted out: vendors echo keys, HTTP libraries echo headers."""
    said = {name: getattr(fault, name) for name in ("message", "type", "code", "param", "body")}
    for secret in filter(None, call.secrets):
        said = {name: text and text.replace(secret, "***") for name, text in said.items()}
    return msgspec.structs.replace(fault, **said, url=fault.url or shown_url(call.url))


def shown_url(url: str) -> str:
    """The URL for people: credentials and secret-looking query values gone."""
    parts = urlsplit(url)
    query = "&".join(
        f"{name}=***" if name.lower() in ("key", "api-key", "api_key", "token", "access_token", "sig") else pair
        for pair in parts.query.split("&")
        for name in (pair.partition("=")[0],)
    )
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query=query, fragment="").geturl()


# Over httpx -----------------------------------------------------------------------------------------------------------


class HttpxOpener:
    """One httpx transport per origin: httpcore's pool looks at every connection it has for every request.

    The transport is used directly: a client would follow redirects with our key and keep the vendors' cookies.
    """

    def __init__(self) -> None:
        self._transports: dict[tuple[str, bool], httpx.AsyncHTTPTransport] = {}
        self._context: ssl.SSLContext | None = None

    async def open(self, call: Call) -> Reply | Fault:
        import httpx

        timeouts = {"connect": call.connect, "read": None, "write": call.write, "pool": None}
        try:
            request = httpx.Request(
                call.method, call.url, headers=list(call.headers), content=call.body, extensions={"timeout": timeouts}
            )
            async with asyncio.timeout(call.head):
                response = await self._transport(call).handle_async_request(request)
        except TimeoutError:
            said = f"no answer within {call.head:g} s"
            return _network_fault(FaultKind.TIMEOUT_FIRST_TOKEN, said)
        except httpx.ConnectTimeout:
            return _network_fault(FaultKind.TIMEOUT_CONNECT, f"no connection within {call.connect:g} s")
        except httpx.WriteTimeout:
            said = f"the vendor stopped reading the request for {call.write:g} s"
            return _network_fault(FaultKind.TIMEOUT_FIRST_TOKEN, said)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return _network_fault(FaultKind.UNREACHABLE, _said(error))
        return HttpReply(response)

    def _transport(self, call: Call) -> httpx.AsyncHTTPTransport:
        import httpx

        parts = urlsplit(call.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        transport = self._transports.get((origin, call.fresh))
        if transport is None:
            limits = httpx.Limits(
                max_connections=None,
                max_keepalive_connections=0 if call.fresh else 256,
                keepalive_expiry=KEEPALIVE_EXPIRY,
            )
            verify = self._tls() if parts.scheme == "https" else False
            transport = httpx.AsyncHTTPTransport(
                verify=verify, limits=limits, proxy=_proxy(parts.scheme, parts.hostname or "")
            )
            self._transports[origin, call.fresh] = transport
        return transport

    def _tls(self) -> ssl.SSLContext:
        import httpx

        if self._context is None:
            # Reads SSL_CERT_FILE and SSL_CERT_DIR; one context for all, building it costs some 20 ms.
            self._context = httpx.create_ssl_context()
        return self._context

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()


def _proxy(scheme: str, host: str) -> str | None:
    """``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, as everybody reads them."""
    if not host or urllib.request.proxy_bypass(host) or host in ("127.0.0.1", "localhost", "::1"):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(scheme) or proxies.get("all")


def _network_fault(kind: FaultKind, message: str, origin: Origin = "network") -> Fault:
    return Fault(kind=kind, message=message, origin=origin)


def _said(error: BaseException) -> str:
    """The system's own words where there are any: "All connection attempts failed" tells nobody why."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, BaseExceptionGroup):
            seen = seen.exceptions[0]
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return str(error) or type(error).__name__


class HttpReply:
    """A reply being read ahead by one task, so that a reader can stop waiting without losing the connection."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._chunks: deque[bytes] = deque()
        self._ahead = 0
        self._end: bytes | Fault | None = None
        self._reader: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read_ahead())

    async def read(self, wait: float | None = None) -> bytes | Fault | None:
        if not self._chunks and self._end is None and not await self._something(wait):
            return None
        if not self._chunks:
            return self._end
        chunk = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._ahead = 0
        self._room.set()
        return chunk

    async def close(self, *, linger: bool = False) -> None:
        if self._task.done():
            return
        if linger:
            self._ahead = -(2**40)
            self._room.set()
            handle = asyncio.get_running_loop().call_later(LINGER, self._task.cancel)
            self._task.add_done_callback(lambda _: handle.cancel())
            return
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=LINGER)

    async def _something(self, wait: float | None) -> bool:
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        timer = loop.call_later(wait, _wake, self._reader) if wait is not None else None
        try:
            await self._reader
        finally:
            self._reader = None
            if timer:
                timer.cancel()
        return bool(self._chunks) or self._end is not None

    async def _read_ahead(self) -> None:
        import httpx

        try:
            async for chunk in self._decoded():
                if not chunk:
                    continue
                self._chunks.append(chunk)
                self._ahead += len(chunk)
                self._wake_reader()
                if self._ahead > READ_AHEAD:
                    self._room.clear()
                    await self._room.wait()
            self._end = b""
        except httpx.DecodingError as error:
            self._end = Fault(kind=FaultKind.GARBLED, message=f"the answer's compression is broken: {_said(error)}")
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            self._end = _network_fault(FaultKind.UNREACHABLE, f"the connection broke: {_said(error)}")
        finally:
            if self._end is None:
                self._end = _network_fault(FaultKind.UNREACHABLE, "the call was given up", "gateway")
            self._wake_reader()
            await self._response.aclose()

    def _decoded(self) -> AsyncIterator[bytes]:
        if self.headers.get("content-encoding", "identity").lower() in ("identity", ""):
            return self._response.aiter_raw()
        return self._response.aiter_bytes()

    def _wake_reader(self) -> None:
        if self._reader is not None:
            _wake(self._reader)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
