"""Whoever asks: one request in, one answer out, however the server has its connection."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from gateway import patience
from gateway.api.replies import Headers, encoded, lower


class Client(Protocol):
    """One request of a client's, and the way back to it.

    A client that leaves, or stalls, is ``gone``: whatever waits for it then, or works for it, is cancelled.
    """

    method: str
    path: str
    headers: dict[str, str]
    """Lower-case names; of repeated headers the last."""
    address: str | None
    deployment: str | None
    """The model that the path names."""
    streamed: bool | None
    """Whether the path asks for a stream; None: that is for the body to say."""
    query: str
    """Of the URL, as it came."""
    gone: bool
    read: bool
    """All of the request has been read."""

    def cancel(self) -> None:
        """Ends the work for this request. Not to be called by the work itself."""

    async def body(self, limit: int, pause: float) -> bytes:
        """The body, as it was sent. Raises ``CallerError``: 413 past the limit, 408 for one that comes too slowly."""

    async def discard(self) -> None:
        """Reads a little of what will not be used: closing with unread bytes would take our answer back."""

    def watch(self) -> None:
        """From now on a client that leaves ends the work, unless the last byte of the answer is on its way."""

    async def begin(
        self, request_id: str, status: int, headers: Headers, length: int | None = None, *, close: bool = False
    ) -> None:
        """The head. ``length``: of the body, where it is known; ``close``: the connection ends with the answer."""

    async def say(self, chunk: bytes) -> None: ...
    async def end(self, last: bytes = b"") -> None: ...
    def close(self) -> None:
        """Nothing more will be said. An answer without an end is an aborted one: its connection is cut."""


class AsgiClient:
    """Over ASGI; made in the task that serves the request."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.method, self.path = scope["method"], scope["path"]
        self.headers = lower(scope)
        self.address = (scope.get("client") or (None,))[0]
        self.deployment: str | None = scope.get("skein.deployment")
        self.streamed: bool | None = scope.get("skein.streamed")
        self.query = scope.get("query_string", b"").decode("latin-1")
        self.gone = self.read = self._told = False
        self._receive, self._send = receive, send
        self._task = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self._task:
            self._task.cancel()

    async def body(self, limit: int, pause: float) -> bytes:
        patience.refuse_large(self.headers, limit)
        loop, parts, size = asyncio.get_running_loop(), list[bytes](), 0
        began = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(patience.latest(began, loop.time(), size, pause)):
                    message = await self._receive()
            except TimeoutError:
                raise patience.too_slow(pause) from None
            if message["type"] == "http.disconnect":
                self.gone = True
                raise asyncio.CancelledError
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise patience.too_large(limit)
            parts.append(part)
            if not message.get("more_body"):
                self.read = True
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def discard(self) -> None:
        left = patience.UNREAD_LIMIT
        try:
            async with asyncio.timeout(patience.UNREAD_SECONDS):
                while left > 0 and not self.read:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self.read = not message.get("more_body", False)
        except TimeoutError:
            return

    def watch(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._told:
            self.gone = True
            self.cancel()

    async def begin(
        self, request_id: str, status: int, headers: Headers, length: int | None = None, *, close: bool = False
    ) -> None:
        framing = [] if length is None else [("content-length", str(length))]
        ending = [("connection", "close")] if close else []
        said = encoded([*headers, *framing, *ending], request_id)
        await self._say({"type": "http.response.start", "status": status, "headers": said})

    async def say(self, chunk: bytes) -> None:
        await self._say({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, last: bytes = b"") -> None:
        self._told = True
        await self._say({"type": "http.response.body", "body": last, "more_body": False})

    def close(self) -> None:
        if self._watching:
            self._watching.cancel()

    async def _say(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(patience.STALLED):
                await self._send(message)
        except TimeoutError:
            self.gone = True
            raise asyncio.CancelledError from None
