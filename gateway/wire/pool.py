"""Upstream connections: each one httpcore's, kept alive and handed out to one call at a time, the latest used first.

httpcore's own pool looks at every connection for every request and may promise one connection to several of them: at
200 requests at once it spends seconds of CPU on that, and healthy vendors run into timeouts. Taking a connection off a
stack costs the same however many there are.
"""

from __future__ import annotations

import ssl
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore

KEEPALIVE_EXPIRY = 30.0
MOST_IDLE = 256


class Borrowed:
    """A response on a connection that is ours until ``give_back``."""

    def __init__(
        self, pool: Pool, origin: str, connection: Any, response: httpcore.Response, connected: float = 0.0
    ) -> None:
        """``connected``: seconds the connection took to make, if it was made for this."""
        self.response, self.connected = response, connected
        self._pool, self._origin, self._connection = pool, origin, connection

    async def give_back(self) -> None:
        """Keeps the connection if its response was read to the end, else closes it. May be called twice."""
        try:
            await self.response.aclose()
        finally:
            connection, self._connection = self._connection, None
            if connection is not None:
                await self._pool.take_back(self._origin, connection)


class _Watch:
    """Times the making of a connection, told of it by httpcore: https://www.encode.io/httpcore/extensions/#trace"""

    def __init__(self) -> None:
        self.seconds = self._began = 0.0

    async def __call__(self, name: str, info: Any) -> None:
        if name in ("connection.connect_tcp.started", "connection.connect_unix_socket.started"):
            self._began = time.monotonic()
        elif name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.seconds = time.monotonic() - self._began


class Pool:
    """Connections by origin. ``tls`` makes the context of the first https connection; it is kept for all."""

    def __init__(self, tls: Callable[[], ssl.SSLContext]) -> None:
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        # The latest used last: what is not needed grows old at the other end.
        self._idle: dict[str, list[Any]] = {}
        self._lent: dict[str, int] = {}
        self._proxies: dict[str, httpcore.AsyncHTTPProxy] = {}
        self._closed = False

    async def send(self, request: httpcore.Request, *, fresh: bool = False) -> Borrowed:
        """Up to the head of the response. Raises what httpcore raises. ``fresh``: on a new connection."""
        origin = str(request.url.origin)
        if proxy := proxy_for(request.url.scheme.decode(), request.url.host.decode()):
            return Borrowed(self, origin, None, await self._through(proxy).handle_async_request(request))
        connection = None if fresh else await self._take(origin)
        watch = _Watch()
        if connection is None:
            connection = self._connection(request.url.origin)
            request.extensions["trace"] = watch
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await connection.aclose()
            raise
        self._lent[origin] = self._lent.get(origin, 0) + 1
        return Borrowed(self, origin, connection, response, watch.seconds)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Origin -> connections in use, connections that wait to be."""
        return {
            origin: (self._lent.get(origin, 0), len(self._idle.get(origin, ())))
            for origin in {*self._lent, *self._idle}
        }

    async def take_back(self, origin: str, connection: Any) -> None:
        self._lent[origin] -= 1
        if self._closed or not connection.is_idle():
            await connection.aclose()
            return
        idle = self._idle.setdefault(origin, [])
        idle.append(connection)
        if len(idle) > MOST_IDLE:
            await idle.pop(0).aclose()

    async def sweep(self) -> None:
        """Closes what has been idle for too long, or what its vendor has closed."""
        for idle in list(self._idle.values()):
            expired = [connection for connection in idle if connection.has_expired()]
            # In place: a call may be taking from the very list at this moment.
            idle[:] = [connection for connection in idle if connection not in expired]
            await _close_all(expired)

    async def close(self) -> None:
        self._closed = True
        everything = [connection for idle in self._idle.values() for connection in idle]
        self._idle.clear()
        await _close_all([*everything, *self._proxies.values()])

    async def _take(self, origin: str) -> Any:
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            # Expired also means that the vendor has closed it meanwhile.
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    def _connection(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        tls = self._context() if origin.scheme == b"https" else None
        return httpcore.AsyncHTTPConnection(origin, ssl_context=tls, keepalive_expiry=KEEPALIVE_EXPIRY)

    def _through(self, proxy: str) -> httpcore.AsyncHTTPProxy:
        if proxy not in self._proxies:
            parts = urlsplit(proxy)
            signed = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
            self._proxies[proxy] = httpcore.AsyncHTTPProxy(
                f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
                proxy_auth=signed,
                ssl_context=self._context(),
                keepalive_expiry=KEEPALIVE_EXPIRY,
                max_connections=None,
            )
        return self._proxies[proxy]

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._make_tls()
        return self._tls


async def _close_all(connections: list[Any]) -> None:
    for connection in connections:
        # One that cannot even be closed is gone all the same.
        with suppress(Exception):
            await connection.aclose()


def proxy_for(scheme: str, host: str) -> str | None:
    """``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, as everybody reads them; never for loopback.

    Raises ``httpcore.ProxyError`` for a proxy that is not spoken to over http or https.
    """
    if host in ("127.0.0.1", "localhost", "::1"):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise httpcore.ProxyError(f"{scheme.upper()}_PROXY must begin with http:// or https://")
    return proxy
