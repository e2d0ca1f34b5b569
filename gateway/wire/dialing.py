"""How a connection is made: which way a URL leads, its addresses, TLS, proxies, unix sockets."""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import socket
import ssl
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

PORTS = {"http": 80, "https": 443}
UNIX = "http+unix"
# The next address is tried when one has not answered for so long: https://www.rfc-editor.org/rfc/rfc8305#section-5
NEXT_ADDRESS_AFTER = 0.25
_MOST_PROXY_HEAD = 16 * 1024

Tls = Callable[[], ssl.SSLContext]


class Proxy(NamedTuple):
    tls: bool
    host: str
    port: int
    header: bytes
    """``proxy-authorization``, or nothing."""


class Address(NamedTuple):
    """Where a URL leads. ``path``: that of a unix socket, instead of host and port."""

    origin: str
    """Scheme, host and port, as people are shown it."""
    tls: bool
    host: str
    port: int
    path: str = ""
    proxy: Proxy | None = None
    numbers: tuple[str, ...] | None = None
    """The IP addresses to connect to; the host's name is then asked of nobody."""


def address_of(url: str) -> tuple[Address, bytes]:
    """The address, and what the request line and the host header are of it: ``" target HTTP/1.1\\r\\nhost: …\\r\\n"``.

    Raises ``ValueError`` for a URL that cannot be called, ``ConnectionError`` for a proxy that cannot be spoken to.
    """
    if not _VISIBLE.fullmatch(url):
        raise ValueError("its URL has white space or letters in it that no URL may have")
    parts = urlsplit(url)
    netloc, target = parts.netloc.rpartition("@")[2], (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == UNIX:
        address = Address(origin_of(url), False, "", 0, path=unquote(netloc))
        return address, start_of(target, "localhost")
    if parts.scheme not in PORTS:
        raise ValueError("its URL begins with neither http:// nor https://")
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    if not _HOST.fullmatch(host):
        raise ValueError("its URL names no host")
    proxy, added = read_proxy(proxy_for(parts.scheme, host)), b""
    if proxy and parts.scheme == "http":
        target, added = f"http://{netloc}{target}", proxy.header
    address = Address(origin_of(url), parts.scheme == "https", host, port, proxy=proxy)
    return address, start_of(target, netloc) + added


def start_of(target: str, host: str) -> bytes:
    """Raises ``ValueError`` for what would be more than one line."""
    if not _VISIBLE.fullmatch(target + host):
        raise ValueError("its URL has white space or letters in it that no URL may have")
    return f" {target} HTTP/1.1\r\nhost: {host}\r\n".encode("ascii")


def origin_of(url: str) -> str:
    """Scheme, host and port; of a unix socket its path, as the URL has it."""
    parts = urlsplit(url)
    if parts.scheme == UNIX:
        return f"{UNIX}://{parts.netloc}"
    return f"{parts.scheme}://{parts.hostname}:{parts.port or PORTS.get(parts.scheme, 0)}"


_VISIBLE = re.compile(r"[!-~]+")
# Names, IPv4, and IPv6 without its brackets.
_HOST = re.compile(r"[A-Za-z0-9._~:%-]+")


def proxy_for(scheme: str, host: str) -> str | None:
    """``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, as everybody reads them; never for loopback.

    Raises ``ConnectionError`` for a proxy that is not spoken to over http or https.
    """
    if host in ("127.0.0.1", "localhost", "::1"):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in PORTS:
        raise ConnectionError(f"{scheme.upper()}_PROXY must begin with http:// or https://")
    return proxy


def read_proxy(url: str | None) -> Proxy | None:
    if url is None:
        return None
    parts, header = urlsplit(url), b""
    if not _HOST.fullmatch(parts.hostname or ""):
        raise ConnectionError("the proxy of the environment names no host")
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        header = b"proxy-authorization: Basic " + base64.b64encode(pair) + b"\r\n"
    return Proxy(parts.scheme == "https", parts.hostname or "", parts.port or PORTS[parts.scheme], header)


# Making a connection --------------------------------------------------------------------------------------------------


async def dial(address: Address, tls: Tls, connection: asyncio.Protocol) -> None:
    """Makes the connection and tells the protocol of it. Raises ``OSError`` (that of the first address of several)."""
    loop = asyncio.get_running_loop()
    if address.path:
        await loop.create_unix_connection(lambda: connection, address.path)
    elif address.proxy is None:
        secured = _secured(address.tls, tls, address.host)
        await _connect(await _reached(await _found(address)), connection, secured)
    else:
        await _dial_through(address.proxy, address, tls, connection)


async def _dial_through(proxy: Proxy, address: Address, tls: Tls, connection: asyncio.Protocol) -> None:
    """1. For https a tunnel, and TLS to the vendor within. 2. For http a connection: its requests name their hosts."""
    secured = _secured(proxy.tls, tls, proxy.host)
    sock = await _reached(await _addresses(proxy.host, proxy.port))
    if not address.tls:
        await _connect(sock, connection, secured)
        return
    tunnel = _Tunnel(address, proxy)
    await _connect(sock, tunnel, secured)
    try:
        await tunnel.opened
        within = await asyncio.get_running_loop().start_tls(
            tunnel.transport, connection, tls(), server_hostname=_name(address.host)
        )
    except BaseException:
        tunnel.transport.abort()
        raise
    if within is None:
        raise ConnectionError("the proxy closed the tunnel")
    connection.connection_made(within)


async def _connect(sock: socket.socket, protocol: asyncio.Protocol, secured: dict[str, Any]) -> None:
    try:
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock, **secured)
    except BaseException:
        sock.close()
        raise


def _secured(wanted: bool, tls: Tls, host: str) -> dict[str, Any]:
    return {"ssl": tls(), "server_hostname": _name(host)} if wanted else {}


def _name(host: str) -> str:
    """As certificates and SNI have it."""
    return host.removesuffix(".")


class _Tunnel(asyncio.Protocol):
    """Asks a proxy for a tunnel. ``opened``: raises ``ConnectionError`` with what the proxy said instead."""

    transport: asyncio.Transport

    def __init__(self, address: Address, proxy: Proxy) -> None:
        host = f"[{address.host}]" if ":" in address.host else address.host
        target = f"{host}:{address.port}".encode("ascii")
        self._asked = b"CONNECT " + target + b" HTTP/1.1\r\nhost: " + target + b"\r\n" + proxy.header + b"\r\n"
        self._heard = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(self._asked)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, end, rest = self._heard.partition(b"\r\n\r\n")
        if not end and len(head) <= _MOST_PROXY_HEAD:
            return
        line = re.match(rb"HTTP/1\.[01] (\d{3})(?: ([ -~]{0,80}))?", head)
        if line is None or not end:
            self._refuse("what the proxy said is not HTTP")
        elif not line[1].startswith(b"2"):
            self._refuse(f"the proxy answered {line[1].decode()} {(line[2] or b'').decode()}".rstrip())
        elif rest:
            # The vendor says nothing before we do: whatever this is, TLS must not begin with it.
            self._refuse("the proxy sent more than its answer")
        elif not self.opened.done():
            self.opened.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._refuse("the proxy closed the connection")

    def _refuse(self, words: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(words))
            # It may be that nobody waits any more.
            self.opened.exception()


# Addresses ------------------------------------------------------------------------------------------------------------

Found = tuple[int, Any]
"""A family and an address as sockets have it."""


async def _reached(found: list[Found]) -> socket.socket:
    """A connected socket: to whichever address answers first, each tried a little after the one before."""
    left = in_turn(found)
    if len(left) == 1:
        return await _connected(left[0])
    loop = asyncio.get_running_loop()
    trying: set[asyncio.Task[socket.socket]] = set()
    problem: BaseException | None = None
    try:
        while left or trying:
            if left:
                trying.add(loop.create_task(_connected(left.pop(0))))
            await asyncio.wait(
                trying, timeout=NEXT_ADDRESS_AFTER if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in [task for task in trying if task.done()]:
                trying.discard(task)
                if task.exception() is None:
                    return task.result()
                problem = problem or task.exception()
    finally:
        for task in trying:
            # One that has won as well, at the same moment, is not needed.
            if not task.cancel() and task.exception() is None:
                task.result().close()
    raise problem or ConnectionError("the host has no address")


async def _found(address: Address) -> list[Found]:
    if address.numbers is None:
        return await _addresses(address.host, address.port)
    return [each for number in address.numbers for each in _numeric(number, address.port)]


def _numeric(number: str, port: int) -> list[Found]:
    """Raises ``OSError`` for a name: a number needs nobody to be asked, nor a thread for it."""
    found = socket.getaddrinfo(number, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [(family, address) for family, _, _, _, address in found]


async def _addresses(host: str, port: int) -> list[Found]:
    try:
        return _numeric(host, port)
    except OSError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def in_turn(found: list[Found]) -> list[Found]:
    """The families by turns, beginning with the one that the system prefers: one of them may lead nowhere."""
    first = [each for each in found if each[0] == found[0][0]]
    others = [each for each in found if each[0] != found[0][0]]
    return [each for pair in itertools.zip_longest(first, others) for each in pair if each is not None]


async def _connected(found: Found) -> socket.socket:
    family, address = found
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
