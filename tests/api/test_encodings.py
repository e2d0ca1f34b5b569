"""Bodies that clients have compressed: read back whole, bounded, and refused for a reason that names the encoding."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib

import pytest

from gateway.api.encodings import MOST_ENCODINGS, MOST_MEMBERS, decompressed, zstd
from gateway.errors import CallerError

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}' * 20
LIMIT = 100_000


def of_level(level: int) -> bytes:
    return zstd.compress(BODY, level)


def without_size(window: int) -> bytes:
    """As a stream writes it: how much will come is not known."""
    options = {zstd.CompressionParameter.window_log: window, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    return compressor.compress(BODY, zstd.ZstdCompressor.FLUSH_BLOCK) + compressor.flush()


READ = {
    "nothing said": ("", BODY),
    "identity": ("identity", BODY),
    "gzip": ("gzip", gzip.compress(BODY)),
    "capitals": ("GZip", gzip.compress(BODY)),
    "the old name of gzip": ("x-gzip", gzip.compress(BODY)),
    "deflate": ("deflate", zlib.compress(BODY)),
    "gzip that is called deflate": ("deflate", gzip.compress(BODY)),
    "zstd": ("zstd", of_level(3)),
    "zstd, hard": ("zstd", of_level(19)),
    "zstd in a stream": ("zstd", without_size(23)),
    "two, the last named is undone first": ("gzip, zstd", zstd.compress(gzip.compress(BODY))),
    "two and identity": ("identity, zstd ,,gzip", gzip.compress(of_level(3))),
    "gzip in pieces": ("gzip", gzip.compress(BODY[:30]) + gzip.compress(BODY[30:])),
    "zstd in pieces": ("zstd", zstd.compress(BODY[:30]) + zstd.compress(BODY[30:])),
}


@pytest.mark.parametrize(("encoding", "sent"), READ.values(), ids=READ)
def test_a_body_is_read_as_it_was(encoding: str, sent: bytes):
    assert decompressed(sent, encoding, LIMIT) == BODY


REFUSED = {
    "another encoding": ("br", b"x", 415, "unsupported_encoding", "br"),
    "one of two is another": ("gzip, br", gzip.compress(BODY), 415, "unsupported_encoding", "br"),
    "too many": (", ".join(["gzip"] * (MOST_ENCODINGS + 1)), b"x", 415, "unsupported_encoding", "at most"),
    "no gzip": ("gzip", BODY, 400, "invalid_encoding", "gzip"),
    "no zstd": ("zstd", BODY, 400, "invalid_encoding", "zstd"),
    "nothing": ("gzip", b"", 400, "invalid_encoding", "gzip"),
    "nothing, of zstd": ("zstd", b"", 400, "invalid_encoding", "zstd"),
    "half": ("gzip", gzip.compress(BODY)[:-12], 400, "invalid_encoding", "ends in the middle"),
    "half, of zstd": ("zstd", of_level(3)[:-5], 400, "invalid_encoding", "ends in the middle"),
    "more behind it": ("gzip", gzip.compress(BODY) + b"more", 400, "invalid_encoding", "gzip"),
    "more behind it, of zstd": ("zstd", of_level(3) + b"more", 400, "invalid_encoding", "zstd"),
    "very many pieces": ("gzip", gzip.compress(b"x") * (MOST_MEMBERS + 1), 400, "invalid_encoding", "pieces"),
    "a window that is not for HTTP": ("zstd", without_size(27), 400, "invalid_encoding", "memory"),
    "too large": ("gzip", gzip.compress(bytes(LIMIT + 1)), 413, "request_too_large", str(LIMIT)),
    "too large, of zstd": ("zstd", zstd.compress(bytes(LIMIT + 1)), 413, "request_too_large", str(LIMIT)),
    "too large in pieces": ("gzip", gzip.compress(bytes(LIMIT - 1)) * 2, 413, "request_too_large", str(LIMIT)),
}


@pytest.mark.parametrize(("encoding", "sent", "status", "code", "named"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused(encoding: str, sent: bytes, status: int, code: str, named: str):
    with pytest.raises(CallerError, match=named) as caught:
        decompressed(sent, encoding, LIMIT)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_body_as_large_as_the_limit_is_read():
    for packed in (gzip.compress(bytes(LIMIT)), zstd.compress(bytes(LIMIT))):
        assert len(decompressed(packed, "zstd" if packed[:1] == b"\x28" else "gzip", LIMIT)) == LIMIT


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_takes_no_more_than_the_limit(encoding: str):
    bomb = gzip.compress(bytes(50_000_000)) if encoding == "gzip" else zstd.compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(CallerError):
        decompressed(bomb, encoding, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_what_does_not_compress_is_read_too():
    noise = os.urandom(50_000)
    assert decompressed(zstd.compress(noise), "zstd", LIMIT) == noise
