"""The only outbound I/O: open a call, read its reply, map every failure to a Fault.

Nothing above this file knows which HTTP client is used. A reply is read with ``read(wait)``: bytes, ``b""`` at the
end, a ``Fault`` when it broke, or None when nothing came within ``wait`` seconds (nothing is lost by asking again).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import ssl
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, unquote, urlsplit

import msgspec

from gateway.errors import Fault, FaultKind, Origin

if TYPE_CHECKING:
    from gateway.wire.pool import Borrowed, Pool

# Bytes read ahead of the client; past this the vendor is made to wait.
READ_AHEAD = 256 * 1024
# A vendor may keep a connection open after its last event; this many seconds it is given to end by itself.
LINGER = 1.0


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
    connected: float
    """Seconds a connection for it took to make; 0 on one that was kept."""

    async def read(self, wait: float | None = None) -> bytes | Fault | None: ...
    async def close(self, *, linger: bool = False) -> None:
        """Frees the connection; may be called twice. ``linger``: the answer was whole, let the vendor end by itself."""


class Opener(Protocol):
    async def open(self, call: Call) -> Reply | Fault: ...


class Upstream:
    """Calls by scheme: ``http`` and ``https`` over the network, others (the simulator) as given."""

    def __init__(self, others: Mapping[str, Opener] | None = None) -> None:
        self._others = dict(others or {})
        self._network = NetworkOpener()

    async def open(self, call: Call) -> Reply | Fault:
        opener = self._others.get(call.url.partition(":")[0], self._network)
        reply = await opener.open(call)
        return without_secrets(reply, call.secrets, call.url) if isinstance(reply, Fault) else reply

    def connections(self) -> Mapping[str, tuple[int, int]]:
        """Origin -> connections in use and idle ones."""
        return self._network.connections()

    async def sweep(self) -> None:
        """Closes connections that have been idle for too long."""
        await self._network.sweep()

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


def without_secrets(fault: Fault, secrets: Iterable[str], url: str) -> Fault:
    """The same fault with every secret of its call blotted out (vendors echo keys), and the URL that was called."""
    said = {name: getattr(fault, name) for name in ("message", "type", "code", "param", "body")}
    for secret in filter(None, secrets):
        for written in _spellings(secret):
            said = {name: text and text.replace(written, "***") for name, text in said.items()}
        # Spelt in some other way that JSON or URLs allow.
        said = {name: None if text and _has(text, secret) else text for name, text in said.items()}
    said["message"] = said["message"] or "what the vendor said is left out: its key is in it"
    return msgspec.structs.replace(fault, **said, url=fault.url or shown_url(url))


def _spellings(secret: str) -> Iterable[str]:
    """As it was sent, and as JSON, URLs and HTML have it; in base64, where that is long enough to mean nothing else."""
    yield from (secret, secret.replace("/", "\\/"), json.dumps(secret)[1:-1], quote(secret, safe=""), escape(secret))
    if len(secret) >= 8:
        yield base64.b64encode(secret.encode()).decode().rstrip("=")


def _has(text: str, secret: str) -> bool:
    return secret in _unescaped(text) or secret in unquote(text)


def _unescaped(text: str) -> str:
    """The text with JSON's escapes undone, wherever they stand."""
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    return re.sub(r"\\(.)", r"\1", plain)


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


# Over the network -----------------------------------------------------------------------------------------------------


class NetworkOpener:
    """HTTP/1.1 over the pool. Redirects are not followed (they would carry our key away), cookies are not kept."""

    def __init__(self) -> None:
        self._pool: Pool | None = None

    async def open(self, call: Call) -> Reply | Fault:
        import httpcore

        from gateway.wire.pool import Pool

        if self._pool is None:
            self._pool = Pool(_tls)
        timeouts = {"connect": call.connect, "read": None, "write": call.write, "pool": None}
        try:
            url = httpcore.URL(call.url)
            request = httpcore.Request(
                call.method, url, headers=_wire_headers(call), content=call.body, extensions={"timeout": timeouts}
            )
            async with asyncio.timeout(call.head):
                borrowed = await self._pool.send(request, fresh=call.fresh)
        except TimeoutError:
            return _network_fault(FaultKind.TIMEOUT_FIRST_TOKEN, f"no answer within {call.head:g} s")
        except httpcore.ConnectTimeout:
            return _network_fault(FaultKind.TIMEOUT_CONNECT, f"no connection within {call.connect:g} s")
        except httpcore.WriteTimeout:
            said = f"the vendor stopped reading the request for {call.write:g} s"
            return _network_fault(FaultKind.TIMEOUT_FIRST_TOKEN, said)
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
            # Our own request is not HTTP: the vendor has not even seen it.
            said = f"the request cannot be sent: {_said(error)}"
            return Fault(kind=FaultKind.BAD_REQUEST, message=said, origin="gateway")
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.ProxyError,
            httpcore.ConnectionNotAvailable,
            OSError,
        ) as error:
            return _network_fault(FaultKind.UNREACHABLE, _said(error))
        return NetworkReply(borrowed)

    def connections(self) -> Mapping[str, tuple[int, int]]:
        return self._pool.counts() if self._pool is not None else {}

    async def sweep(self) -> None:
        if self._pool is not None:
            await self._pool.sweep()

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()


def _wire_headers(call: Call) -> list[tuple[bytes, bytes]]:
    """Raises ``ValueError`` for a value that no header may hold."""
    headers = [("host", urlsplit(call.url).netloc.rpartition("@")[2]), *call.headers]
    if call.body is not None:
        headers.append(("content-length", str(len(call.body))))
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]


def _tls() -> ssl.SSLContext:
    """Verifies; reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, else takes the certificates that come with httpx."""
    import httpx

    return httpx.create_ssl_context()


def _network_fault(kind: FaultKind, message: str, origin: Origin = "network") -> Fault:
    return Fault(kind=kind, message=message, origin=origin)


def _said(error: BaseException) -> str:
    """The system's own words where there are any: "All connection attempts failed" tells nobody why."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, BaseExceptionGroup):
            seen = seen.exceptions[0]
        if isinstance(seen, OSError) and seen.strerror:
            # Event loops have words of their own for it; resolvers count below zero.
            system = seen.errno and seen.errno > 0 and not isinstance(seen, ssl.SSLError)
            return os.strerror(seen.errno) if system and seen.errno else seen.strerror
        seen = seen.__cause__ or seen.__context__
    return str(error) or type(error).__name__


class NetworkReply:
    """A reply being read ahead by one task, so that a reader can stop waiting without losing the connection."""

    def __init__(self, borrowed: Borrowed) -> None:
        self.status, self.connected = borrowed.response.status, borrowed.connected
        self.headers: Mapping[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in borrowed.response.headers
        }
        self._borrowed = borrowed
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
        if self._task.done() or self._end is not None:
            # The end was reached: the connection is being given back already.
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
        import httpcore

        inflate = inflater(self.headers.get("content-encoding", ""))
        try:
            async for read in self._borrowed.response.aiter_stream():
                chunk = inflate(read)
                if not chunk:
                    continue
                self._chunks.append(chunk)
                self._ahead += len(chunk)
                self._wake_reader()
                if self._ahead > READ_AHEAD:
                    self._room.clear()
                    await self._room.wait()
            self._end = b""
        except zlib.error as error:
            self._end = Fault(kind=FaultKind.GARBLED, message=f"the answer's compression is broken: {error}")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            self._end = _network_fault(FaultKind.UNREACHABLE, f"the connection broke: {_said(error)}")
        finally:
            if self._end is None:
                self._end = _network_fault(FaultKind.UNREACHABLE, "the call was given up", "gateway")
            self._wake_reader()
            await self._borrowed.give_back()

    def _wake_reader(self) -> None:
        if self._reader is not None:
            _wake(self._reader)


def inflater(encoding: str) -> Callable[[bytes], bytes]:
    """Undoes a ``content-encoding``. None is asked for, yet some vendors and proxies compress all the same."""
    if encoding.strip().lower() in ("", "identity"):
        return bytes
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return _not_understood(encoding)
    return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress


def _not_understood(encoding: str) -> Callable[[bytes], bytes]:
    def refuse(chunk: bytes) -> bytes:
        raise zlib.error(f"content-encoding {encoding} is not understood")

    return refuse


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
