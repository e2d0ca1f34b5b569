"""A stream's events as clients take them that do not read event streams: a line each, or one JSON array.

Inside the gateway every stream is an event stream; this is done at its edge.
"""

from __future__ import annotations

from typing import Protocol

from gateway.sse import Frame, Splitter


class Framing(Protocol):
    content_type: str

    def feed(self, chunk: bytes, /) -> bytes: ...
    def end(self) -> bytes: ...


class Lines:
    """A line for each event, as Ollama has it."""

    content_type = "application/x-ndjson"

    def __init__(self) -> None:
        self._splitter = Splitter()

    def feed(self, chunk: bytes) -> bytes:
        return self._lines(self._splitter.feed(chunk))

    def end(self) -> bytes:
        return self._lines(self._splitter.end())

    def _lines(self, frames: list[Frame]) -> bytes:
        return b"".join(frame.data.replace(b"\n", b"") + b"\n" for frame in frames if frame.data)


class Array:
    """All events in one JSON array, as Gemini has it for who does not ask for ``alt=sse``."""

    content_type = "application/json; charset=UTF-8"

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._before = b"["

    def feed(self, chunk: bytes) -> bytes:
        return self._elements(self._splitter.feed(chunk))

    def end(self) -> bytes:
        last = self._elements(self._splitter.end())
        return last + (b"[]" if self._before == b"[" else b"]")

    def _elements(self, frames: list[Frame]) -> bytes:
        out: list[bytes] = []
        for frame in frames:
            # An error is told outside of all events.
            said = frame.data or (frame.raw.strip() if frame.raw.startswith(b"{") else b"")
            if said:
                out += (self._before, said)
                self._before = b",\r\n"
        return b"".join(out)
