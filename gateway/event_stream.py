"""AWS's binary event-stream framing (``application/vnd.amazon.eventstream``): bytes to messages, however they are cut.

A message is: length of all and of the headers (4 bytes each), a CRC-32 of those eight, headers, payload, a CRC-32 of
everything before it. https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

_PRELUDE = struct.Struct(">III")
_CHECKED = 8
"""Bytes of the prelude that its checksum covers."""
_LENGTH = struct.Struct(">H")
_CHECK = struct.Struct(">I")
_AROUND = _PRELUDE.size + _CHECK.size
"""Bytes of a message that are neither headers nor payload."""
_HEADER_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Types of fixed size -> their bytes. 6 (bytes) and 7 (text) carry a length of two bytes."""
_TEXT = 7
_SIZED = (6, _TEXT)

Headers = Mapping[str, str]


class Message(NamedTuple):
    """One message whose checksums are right. ``headers`` are those that hold text, by names such as ``:event-type``."""

    headers: Headers
    payload: bytes


class Messages:
    """Cuts a byte stream into messages. Linear in the bytes fed, whatever the cuts; never raises.

    After a message that is damaged nothing can be found any more: ``problem`` says why, and what follows is ignored.
    """

    def __init__(self, limit: int = 32 * 2**20) -> None:
        self.problem: str | None = None
        self._buffer = bytearray()
        self._limit = limit
        self._size = 0
        """Of the message that has begun; 0: not known yet."""
        self._known: dict[bytes, Headers] = {}

    @property
    def pending(self) -> bool:
        """A message has begun that is not whole yet."""
        return bool(self._buffer)

    def feed(self, chunk: bytes) -> list[Message]:
        if self.problem is not None:
            return []
        buffer = self._buffer
        buffer += chunk
        if len(buffer) < self._size:
            return []
        messages: list[Message] = []
        begin = 0
        while len(buffer) - begin >= _PRELUDE.size:
            total, of_headers, check = _PRELUDE.unpack_from(buffer, begin)
            if crc32(buffer[begin : begin + _CHECKED]) != check:
                self._fail("the lengths of a message do not match their checksum")
                break
            if not _AROUND + of_headers <= total <= self._limit:
                self._fail(f"a message of {total} bytes with {of_headers} bytes of headers")
                break
            self._size = total
            if len(buffer) - begin < total:
                break
            message = self._message(bytes(buffer[begin : begin + total]), of_headers)
            if message is None:
                break
            messages.append(message)
            begin += total
            self._size = 0
        del buffer[:begin]
        return messages

    def end(self) -> None:
        """The stream has closed: a message that is not whole is a ``problem``."""
        if self._buffer and self.problem is None:
            self._fail("the stream ended in the middle of a message")

    def _message(self, raw: bytes, of_headers: int) -> Message | None:
        body = raw[: -_CHECK.size]
        if crc32(body) != _CHECK.unpack_from(raw, len(body))[0]:
            self._fail("a message does not match its checksum")
            return None
        begin = _PRELUDE.size + of_headers
        block = body[_PRELUDE.size : begin]
        # A stream repeats a handful of header blocks over and over.
        headers = self._known.get(block)
        if headers is None:
            headers = read_headers(block)
            if headers is None:
                self._fail("the headers of a message cannot be read")
                return None
            if len(self._known) < 64 and len(block) < 512:
                self._known[block] = headers
        return Message(headers, body[begin:])

    def _fail(self, problem: str) -> None:
        self.problem = problem
        self._buffer.clear()


def read_headers(block: bytes) -> Headers | None:
    """The headers that hold text; None when the block is not made of headers."""
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(block):
            value_at = at + 1 + block[at]
            name, kind = block[at + 1 : value_at].decode(), block[value_at]
            at = value_at + 1
            if kind in _SIZED:
                size = _LENGTH.unpack_from(block, at)[0]
                at += _LENGTH.size
            else:
                size = _HEADER_SIZES[kind]
            if at + size > len(block):
                return None
            if kind == _TEXT:
                headers[name] = block[at : at + size].decode()
            at += size
    except (IndexError, KeyError, UnicodeDecodeError, struct.error):
        return None
    return headers
