"""``/admin/events``: what happens, as it happens, as an event stream."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gateway.api.replies import encoded, lower, request_id
from gateway.api.service import Service, Watcher

# Seconds of silence before a comment shows that the line is up.
KEEPALIVE = 15.0
# Seconds a reader that is cut has to take the end.
_LAST_WORD = 1.0
_HEAD = [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]


class Tail:
    """One reader. An ASGI application, so that it sees the client leave; ``cut`` ends it, as a drain does."""

    def __init__(self, service: Service, watcher: Watcher, keepalive: float = KEEPALIVE) -> None:
        self._service, self._watcher, self._keepalive = service, watcher, keepalive
        self.task: asyncio.Task[Any] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        headers = encoded(_HEAD, request_id(lower(scope)))
        self._service.watching.add(self)
        self.task = loop.create_task(self._tell(headers, send))
        leaving = loop.create_task(_left(receive))
        try:
            await asyncio.wait({self.task, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if self.task.cancelled() and not leaving.done():
                async with asyncio.timeout(_LAST_WORD):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            return
        finally:
            self._watcher.close()
            self._service.watching.discard(self)
            for each in (self.task, leaving):
                each.cancel()

    async def _tell(self, headers: list[tuple[bytes, bytes]], send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        said = b": watching\n\n"
        while True:
            await send({"type": "http.response.body", "body": said, "more_body": True})
            told = await self._watcher.next(self._keepalive)
            said = b"".join(framed(kind, fact) for kind, fact in told) or b": keep-alive\n\n"

    def refuse_unread(self) -> None:
        self.cut()

    def cut(self) -> None:
        if self.task:
            self.task.cancel()

    def leave(self) -> None:
        self.cut()


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def framed(kind: str, fact: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(fact))
