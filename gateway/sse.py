"""Event-stream framing: bytes to events and back, however the bytes are cut.

Follows https://html.spec.whatwg.org/multipage/server-sent-events.html: CR, LF and CRLF end a line, one BOM is ignored,
several ``data`` lines make one value, lines that begin with a colon are comments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# Atomic groups: a CRLF must never be read as CR followed by LF, that would be a blank line.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Frame(NamedTuple):
    """One event as it came (``raw``, blank line included) and what it says. ``data`` is None for mere comments."""

    raw: bytes
    data: bytes | None
    name: bytes = b""


class OversizedFrame(ValueError):
    """An event grew past the limit without an end."""


class Splitter:
    """Cuts a byte stream into frames. Linear in the bytes fed, whatever the cuts; raises ``OversizedFrame``."""

    def __init__(self, limit: int = 32 * 2**20) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._limit = limit
        self._started = False
        self._after_return = False

    def feed(self, chunk: bytes) -> list[Frame]:
        if not self._started:
            chunk = bytes(self._buffer) + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._buffer = bytearray(chunk)
                return []
            self._started, self._buffer, chunk = True, bytearray(), chunk.removeprefix(_BOM)
        if self._after_return and chunk:
            # The frame ended with the CR of a CRLF that was cut in two: this is its LF.
            self._after_return, chunk = False, chunk.removeprefix(b"\n")
        if not self._buffer and chunk.endswith(b"\n\n") and b"\r" not in chunk:
            # The common case: whole events, plain line feeds.
            return [_frame(part + b"\n\n") for part in chunk[:-2].split(b"\n\n")]
        self._buffer += chunk
        frames = []
        begin = 0
        while match := _BLANK_LINE.search(self._buffer, max(begin, self._scanned)):
            frames.append(_frame(bytes(self._buffer[begin : match.end()])))
            begin = self._scanned = match.end()
        self._after_return = bool(frames) and begin == len(self._buffer) and self._buffer.endswith(b"\r")
        del self._buffer[:begin]
        # A blank line can begin in the last three bytes seen.
        self._scanned = max(0, len(self._buffer) - 3)
        if len(self._buffer) > self._limit:
            raise OversizedFrame(f"an event of more than {self._limit} bytes")
        return frames

    def plain(self, chunk: bytes) -> list[bytes] | None:
        """The data of each event, where a read is whole events of one ``data`` line each and nothing besides.

        None for any other read: that is for ``feed``, nothing of it was taken.
        """
        if self._buffer or not (chunk.startswith(b"data: ") and chunk.endswith(b"\n\n")) or b"\r" in chunk:
            return None
        events = chunk[6:-2].split(b"\n\ndata: ")
        if chunk.count(b"\n") != 2 * len(events):
            # There are line feeds inside the events.
            return None
        self._started, self._after_return = True, False
        return events

    def named(self, chunk: bytes) -> list[Frame] | None:
        """The events of a read that is whole events, each a name and one ``data`` line. None as with ``plain``."""
        if self._buffer or not (chunk.startswith(b"event: ") and chunk.endswith(b"\n\n")) or b"\r" in chunk:
            return None
        frames: list[Frame] = []
        for part in chunk[:-2].split(b"\n\n"):
            name, between, data = part.partition(b"\ndata: ")
            if not between or b"\n" in data or b"\n" in name or not name.startswith(b"event: "):
                return None
            frames.append(Frame(part + b"\n\n", data, name[7:]))
        self._started, self._after_return = True, False
        return frames

    @property
    def pending(self) -> bool:
        """An event has begun that is not whole yet."""
        return bool(self._buffer)

    def end(self) -> list[Frame]:
        """What is left when the stream closes: an event whose blank line never came."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return [_frame(rest)] if rest.strip() else []


def _frame(raw: bytes) -> Frame:
    if raw.endswith(b"\n\n") and b"\r" not in raw:
        if raw.startswith(b"data: ") and b"\n" not in raw[6:-2]:
            return Frame(raw, raw[6:-2])
        name, has_data, said = raw[:-2].partition(b"\ndata: ")
        if name.startswith(b"event: ") and b"\n" not in name and b"\n" not in said:
            return Frame(raw, said if has_data else None, name[7:])
    data: list[bytes] = []
    name = b""
    for line in _LINE.split(raw):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Frame(raw, b"\n".join(data) if data else None, name)


def event(data: bytes, name: bytes = b"") -> bytes:
    """One event; a line feed inside the data begins another ``data`` line."""
    named = b"event: " + name + b"\n" if name else b""
    return named + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"


def plain_events(events: Sequence[bytes]) -> bytes:
    """The bytes that ``Splitter.plain`` read these from."""
    return b"data: " + b"\n\ndata: ".join(events) + b"\n\n"


def comment(text: bytes) -> bytes:
    return b": " + text + b"\n\n"


DONE = event(b"[DONE]")
