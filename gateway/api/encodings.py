"""A request's body without its ``content-encoding`` (gzip, deflate, zstd, or several), never above the limit."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.errors import CallerError
from gateway.patience import too_large

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_ENCODINGS = 4
"""Of one body, each over the last. Nobody has a use for more than one; each costs as much as the limit allows."""
MOST_MEMBERS = 16
"""Pieces that were compressed one by one and put together. What follows a piece is copied once for each."""

# What needs a larger window is not for HTTP, and would be memory that a few bytes ask for:
# https://www.rfc-editor.org/rfc/rfc9659
_WINDOW: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


class _Inflater(Protocol):
    """One piece. ``unused_data`` is what follows its end."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _zlib() -> _Inflater:
    # gzip or zlib, whichever it begins as: many call both deflate.
    return zlib.decompressobj(zlib.MAX_WBITS | 32)


def _zstd() -> _Inflater:
    return zstd.ZstdDecompressor(options=_WINDOW)


_INFLATERS: Mapping[str, Callable[[], _Inflater]] = {
    "gzip": _zlib,
    "x-gzip": _zlib,  # the same: https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.3
    "deflate": _zlib,
    "zstd": _zstd,
}


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before. Raises ``CallerError`` (400, 413, 415)."""
    if not encoding:
        return body
    names = [name for name in (each.strip().lower() for each in encoding.split(",")) if name not in ("", "identity")]
    if len(names) > MOST_ENCODINGS:
        raise CallerError(415, "unsupported_encoding", f"a body has at most {MOST_ENCODINGS} content-encodings")
    for name in names:
        if name not in _INFLATERS:
            said = f'content-encoding "{name[:40]}" is not understood; send gzip, deflate, zstd or none'
            raise CallerError(415, "unsupported_encoding", said)
    # The last one named was put on last: https://www.rfc-editor.org/rfc/rfc9110#section-8.4
    for name in reversed(names):
        body = _inflated(body, name, limit)
    return body


def _inflated(body: bytes, name: str, limit: int) -> bytes:
    plain, rest, size = list[bytes](), body, 0
    for _ in range(MOST_MEMBERS):
        inflater = _INFLATERS[name]()
        try:
            piece = inflater.decompress(rest, limit + 1 - size)
        except (zlib.error, zstd.ZstdError) as error:
            raise _invalid(f"the body is not valid {name}: {error}") from None
        plain.append(piece)
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        if not inflater.eof:
            raise _invalid(f"the body ends in the middle of its {name} data")
        if not (rest := inflater.unused_data):
            return b"".join(plain)
    raise _invalid(f"the body is in more than {MOST_MEMBERS} pieces of {name}")


def _invalid(said: str) -> CallerError:
    return CallerError(400, "invalid_encoding", said)
