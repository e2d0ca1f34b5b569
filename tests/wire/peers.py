"""Peers that say exactly what a test tells them to, on sockets of this machine."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import Fault
from gateway.strand import parked
from gateway.wire.incoming import Ask, Incoming
from gateway.wire.pool import Pool

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Peer:
    """One connection to a peer, counted from 0, and what it reads."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number, self.reader, self.writer = number, reader, writer
        self.left = asyncio.Event()

    async def request(self) -> bytes:
        """Head and body of one request; raises ``asyncio.IncompleteReadError`` when there is none any more."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
        return head + (await self.reader.readexactly(int(length[0])) if length else b"")

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def gone(self) -> None:
        """Until the client has left."""
        while await self.reader.read(65536):
            pass


class Address(NamedTuple):
    url: str
    port: int
    connections: list[Peer]


Play = Callable[[Peer], Awaitable[Any]]


async def polite(peer: Peer) -> None:
    while True:
        await peer.request()
        peer.say(OK)


@asynccontextmanager
async def peers(play: Play, *, path: str = "", tls: ssl.SSLContext | None = None) -> AsyncIterator[Address]:
    """A listener that plays this on every connection, and closes the connection when it is over."""
    connections: list[Peer] = []
    tasks: set[asyncio.Task[None]] = set()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer = Peer(len(connections), reader, writer)
        connections.append(peer)
        try:
            await play(peer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            peer.left.set()

    if path:
        server = await asyncio.start_unix_server(met, path)
        url, port = f"http+unix://{path.replace('/', '%2F')}", 0
    else:
        server = await asyncio.start_server(met, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    try:
        yield Address(url, port, connections)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def heard(answer: Incoming) -> tuple[int, bytes, Fault | None]:
    """Status, content and the fault, if there was one."""
    content = b""
    while True:
        taken = answer.take()
        if taken is None:
            assert await parked(answer, asyncio.get_running_loop().time() + 10), "nothing comes"
        elif isinstance(taken, Fault):
            return answer.status, content, taken
        elif taken:
            content += taken
        else:
            return answer.status, content, None


async def told(pool: Pool, url: str, **more: Any) -> tuple[int, bytes, str | None]:
    """The same, of one request, with the fault's words."""
    status, content, fault = await heard(pool.send(Ask(**{"method": "GET", "url": url, **more})))
    return status, content, fault and fault.message


def certificate(folder: Path) -> tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]]:
    """A server that is 127.0.0.1 and vendor.test, and contexts for those who trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vendor.test")])
    names = x509.SubjectAlternativeName(
        [x509.DNSName("vendor.test"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    )
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    no_password = serialization.NoEncryption()
    both = folder / "both.pem"
    form = serialization.PrivateFormat.PKCS8
    both.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, no_password) + text)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(both)
    served.set_alpn_protocols(["h2", "http/1.1"])
    return served, lambda: ssl.create_default_context(cadata=text.decode())
