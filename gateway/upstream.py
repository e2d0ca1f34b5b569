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
import time
import zlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

import msgspec

from gateway.errors import Fault, FaultKind
from gateway.strand import FOR_EVER, parked
from gateway.wire.httpx_pool import HttpxPool
from gateway.wire.incoming import Ask, Incoming, OwnTrouble, Transport, network_fault, said
from gateway.wire.pool import Pool


class Call(Ask, frozen=True, kw_only=True):
    """One physical call. Times are seconds; ``secrets`` are never to appear in a fault."""

    head: float = 60.0
    """How long the head of the reply may take, from the start of the call."""
    secrets: tuple[str, ...] = ()
    transport: Transport = "pool"


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
        self._network = {"pool": NetworkOpener(Pool(_tls)), "httpx": NetworkOpener(HttpxPool(_tls))}

    async def open(self, call: Call) -> Reply | Fault:
        opener = self._others.get(call.url.partition(":")[0]) or self._network[call.transport]
        reply = await opener.open(call)
        return without_secrets(reply, call.secrets, call.url) if isinstance(reply, Fault) else reply

    def connections(self) -> Mapping[str, tuple[int, int]]:
        """Origin -> connections in use and idle ones."""
        sums: dict[str, tuple[int, int]] = {}
        for network in self._network.values():
            for origin, (in_use, idle) in network.connections().items():
                before = sums.get(origin, (0, 0))
                sums[origin] = (before[0] + in_use, before[1] + idle)
        return sums

    async def sweep(self) -> None:
        """Closes connections that have been idle for too long."""
        for network in self._network.values():
            await network.sweep()

    async def close(self) -> None:
        for network in self._network.values():
            await network.close()


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
            return network_fault(kind, "the answer stopped in the middle")
        if isinstance(chunk, Fault):
            return chunk
        if not chunk:
            return b"".join(parts)
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            return Fault(kind=FaultKind.GARBLED, message=f"an answer of more than {limit} bytes")


# Servers of one's own take any key, and get `x` or `any`: their letters are in every text. What clients match on is
# left alone by all that is shorter than a key of ours may be.
_SHORTEST, _SHORTEST_IN_WORDS = 4, 8
_WORDS = ("type", "code", "param")


def without_secrets(fault: Fault, secrets: Iterable[str], url: str) -> Fault:
    """The same fault with every secret of its call blotted out (vendors echo keys), and the URL that was called."""
    said = {name: getattr(fault, name) for name in ("message", "body", *_WORDS)}
    for secret in secrets:
        if len(secret) < _SHORTEST:
            continue
        kept = {name: said[name] for name in _WORDS} if len(secret) < _SHORTEST_IN_WORDS else {}
        for written in _spellings(secret):
            said = {name: text and text.replace(written, "***") for name, text in said.items()}
        # Spelt in some other way that JSON or URLs allow.
        said = {name: None if text and _has(text, secret) else text for name, text in said.items()} | kept
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


MOST_INFLATED = 2**20
"""Bytes that are made at a time of an answer that came compressed."""


# Over the network -----------------------------------------------------------------------------------------------------


class Connections(Protocol):
    """What requests are sent over: our own pool, or httpx in its place."""

    def send(self, ask: Ask, /) -> Incoming: ...
    def counts(self) -> dict[str, tuple[int, int]]: ...
    def sweep(self) -> None: ...
    async def close(self) -> None: ...


class NetworkOpener:
    """HTTP over a pool. Redirects are not followed (they would carry our key away), cookies are not kept."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool

    async def open(self, call: Call) -> Reply | Fault:
        clock, began = asyncio.get_running_loop().time, time.monotonic()
        until = clock() + call.head
        incoming = self._pool.send(call)
        try:
            while not incoming.status:
                ended = incoming.take()
                if isinstance(ended, Fault):
                    return ended
                if await parked(incoming, until):
                    continue
                # The loop's time is that of the beginning of its round: its timers may be early by a few milliseconds.
                left = call.head - (time.monotonic() - began)
                if left <= 0:
                    incoming.close()
                    return network_fault(FaultKind.TIMEOUT_FIRST_TOKEN, f"no answer within {call.head:g} s")
                until = clock() + left
        except BaseException:
            incoming.close()
            raise
        return NetworkReply(incoming)

    def connections(self) -> Mapping[str, tuple[int, int]]:
        return self._pool.counts()

    async def sweep(self) -> None:
        self._pool.sweep()

    async def close(self) -> None:
        await self._pool.close()


def _tls() -> ssl.SSLContext:
    """Verifies; reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, else takes the certificates that come with httpx.

    Raises ``OwnTrouble`` where they cannot be read.
    """
    import httpx

    try:
        return httpx.create_ssl_context()
    except OSError as error:
        source = "the file that SSL_CERT_FILE names" if os.environ.get("SSL_CERT_FILE") else "the certificates of httpx"
        words = f"{source} cannot be read as certificates ({said(error)}): mend that, or nothing is reached over TLS"
        raise OwnTrouble(words) from error


class NetworkReply:
    """A reply as it arrives, its ``content-encoding`` undone. What is here already is read without waiting."""

    def __init__(self, incoming: Incoming) -> None:
        self.status, self.headers, self.connected = incoming.status, incoming.headers, incoming.connected
        self._incoming = incoming
        encoding = incoming.headers.get("content-encoding")
        self._take = _Inflated(encoding, incoming).take if encoding else incoming.take

    async def read(self, wait: float | None = None) -> bytes | Fault | None:
        until = None
        while True:
            taken = self._take()
            if taken is not None:
                return taken
            if until is None:
                until = FOR_EVER if wait is None else asyncio.get_running_loop().time() + wait
            if not await parked(self._incoming, until):
                return None

    async def close(self, *, linger: bool = False) -> None:
        self._incoming.close(linger=linger)


class _Inflated:
    """A reply, its ``content-encoding`` undone. None is asked for, yet some vendors and proxies compress all the same.

    At most ``MOST_INFLATED`` bytes are made at a time: a little can stand for very much. The rest waits to be taken.
    """

    def __init__(self, encoding: str, incoming: Incoming) -> None:
        self._incoming = incoming
        self._encoding = encoding.strip().lower()
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._has_more = False

    def take(self) -> bytes | Fault | None:
        """As ``Incoming.take``."""
        while True:
            taken = self._zlib.unconsumed_tail if self._has_more else self._incoming.take()
            if not isinstance(taken, bytes) or not (taken or self._has_more):
                return taken
            try:
                plain = self._undone(taken)
            except zlib.error as error:
                self._has_more = False
                self._incoming.close()
                return Fault(kind=FaultKind.GARBLED, message=f"the answer's compression is broken: {error}")
            # An empty one would be the end.
            if plain:
                return plain

    def _undone(self, taken: bytes) -> bytes:
        if self._encoding in ("", "identity"):
            return taken
        if self._encoding not in ("gzip", "x-gzip", "deflate"):
            raise zlib.error(f"content-encoding {self._encoding} is not understood")
        plain = self._zlib.decompress(taken, MOST_INFLATED)
        # A full piece may have left something within, with nothing more to be fed.
        self._has_more = len(plain) == MOST_INFLATED
        return plain
