"""The simulator behind a socket, for ``skein demo``: a vendor the gateway calls over connections."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import msgspec

from gateway.errors import Fault
from gateway.simulator import Simulator

HEAD_LIMIT = 64 * 1024
# Longer than any gateway of the demo waits.
SILENCE = 60.0
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)


class _Call(msgspec.Struct, frozen=True):
    method: str
    url: str
    body: bytes | None
    head: float = SILENCE


async def listen() -> tuple[asyncio.Server, str]:
    """The server, and its base URL on a free port of loopback."""
    simulator = Simulator()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while await _answer(simulator, reader, writer):
                pass
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=HEAD_LIMIT)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def _answer(simulator: Simulator, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request and its reply. False: the connection is to be cut, for the reply broke."""
    head = await reader.readuntil(b"\r\n\r\n")
    method, path, _ = head.split(b" ", 2)
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else None
    reply = await simulator.open(_Call(method.decode(), path.decode().removeprefix("/v1"), body))
    if isinstance(reply, Fault):
        return False
    lines = [f"HTTP/1.1 {reply.status} Simulated", *(f"{name}: {value}" for name, value in reply.headers.items())]
    writer.write("\r\n".join((*lines, "transfer-encoding: chunked", "", "")).encode())
    while said := await reply.read(SILENCE):
        if isinstance(said, Fault):
            return False
        writer.write(b"%x\r\n%s\r\n" % (len(said), said))
        await writer.drain()
    if said is None:
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True
