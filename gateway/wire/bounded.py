"""uvicorn's HTTP protocol with bounds on what a client may take: time and bytes until its head is whole."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT = 15.0
HEAD_LIMIT = 64 * 1024
# How long a client that was refused may take to hear it.
LINGER = 1.0
# Seconds without a byte read by the client; with nothing more to come, its connection is closed the sooner.
LOOK_EVERY, STALLED, CLOSING_STALLED = 5.0, 120.0, 10.0

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """A connection that sends nothing, or a head byte by byte, is closed after ``HEAD_TIMEOUT`` seconds."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._in_head = self._in_message = False
        self._begun = 0
        self._refused = False
        self._unread = self._stalls = 0
        self._look_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._running: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_head()
        self._look_timer = self.loop.call_later(LOOK_EVERY, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch_head()
        if self._look_timer is not None:
            self._look_timer.cancel()
        # uvicorn tells the request it has read last; the one that is served may be an earlier one.
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """A head is counted from the data it begins with, unless another message went before it there."""
        if self._refused:
            return
        idle, begins = not self._in_message, 0 if self._in_head else 1
        counts, self._begun = idle or self._in_head, 0
        super().data_received(data)
        if self._in_head and counts and self._begun == begins:
            self._head_bytes += len(data)
        if self._in_head and self._head_bytes > HEAD_LIMIT:
            self._close(_TOO_LARGE)
        elif idle and not self._in_message and self._head_timer is None and self._is_answered():
            # Blank lines, which begin nothing, have stopped the clock of a connection that waits for a request.
            self._watch_head()

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_timer is None:
            self._watch_head()
        self._in_message = self._in_head = True
        self._head_bytes, self._begun = 0, self._begun + 1

    def on_header(self, name: bytes, value: bytes) -> None:
        # Outside of the head it is a trailer. Nobody reads those, and they would only pile up.
        if self._in_head:
            super().on_header(name, value)

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._unwatch_head()
        super().on_headers_complete()

    def _look(self) -> None:
        """A client that takes nothing off its buffer keeps it, and the connection, only so long."""
        unread = self.transport.get_write_buffer_size()
        self._stalls = self._stalls + 1 if unread and unread == self._unread else 0
        self._unread = unread
        if self._stalls * LOOK_EVERY >= (CLOSING_STALLED if self.transport.is_closing() else STALLED):
            self.transport.abort()
        else:
            self._look_timer = self.loop.call_later(LOOK_EVERY, self._look)

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self._close, _TOO_SLOW)

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close(self, answer: bytes) -> None:
        """Answers, and reads on a moment without looking: closing with unread bytes would take the answer back."""
        if self.transport is None or self.transport.is_closing():
            return
        self._refused = True
        self.transport.write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)
