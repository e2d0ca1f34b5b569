"""AWS's binary framing: whole messages only, whatever the cuts; a damaged one is told, never handed out."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.event_stream import Message, Messages, read_headers

VECTORS = Path(__file__).parents[2] / "shared" / "vectors" / "aws.json"


def framed(payload: bytes, **headers: str) -> bytes:
    """Names are written without their colon, and with ``_`` for ``-``."""
    block = b"".join(
        bytes([len(name) + 1])
        + b":"
        + name.replace("_", "-").encode()
        + b"\x07"
        + struct.pack(">H", len(value))
        + value
        for name, value in ((name, value.encode()) for name, value in headers.items())
    )
    return sealed(block, payload)


def sealed(block: bytes, payload: bytes) -> bytes:
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    body = lengths + struct.pack(">I", crc32(lengths)) + block + payload
    return body + struct.pack(">I", crc32(body))


def read(raw: bytes, size: int | None = None) -> tuple[list[Message], str | None]:
    messages = Messages()
    step = size or max(1, len(raw))
    found = [each for at in range(0, len(raw), step) for each in messages.feed(raw[at : at + step])]
    messages.end()
    return found, messages.problem


STREAM = framed(b'{"a":1}', event_type="one", message_type="event") + framed(b"", event_type="two") + framed(b"x" * 300)


def test_messages_come_out_as_they_went_in():
    found, problem = read(STREAM)
    assert problem is None
    assert [(dict(each.headers), each.payload) for each in found] == [
        ({":event-type": "one", ":message-type": "event"}, b'{"a":1}'),
        ({":event-type": "two"}, b""),
        ({}, b"x" * 300),
    ]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cuts_make_no_difference(cuts: list[int]):
    places = [0, *sorted(cuts), len(STREAM)]
    messages = Messages()
    found = [each for a, b in pairwise(places) for each in messages.feed(STREAM[a:b])]
    assert (found, messages.problem) == read(STREAM)


@pytest.mark.parametrize("at", range(len(STREAM)))
def test_a_changed_byte_is_noticed(at: int):
    damaged = STREAM[:at] + bytes([STREAM[at] ^ 0x41]) + STREAM[at + 1 :]
    found, problem = read(damaged)
    assert problem
    assert found == read(STREAM)[0][: len(found)]
    assert len(found) < 3


def test_what_follows_damage_is_ignored():
    messages = Messages()
    messages.feed(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
    assert messages.problem
    assert messages.feed(STREAM) == []


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_stream_that_ends_in_a_message(size: int):
    found, problem = read(STREAM[:-1], size)
    assert len(found) == 2
    assert problem == "the stream ended in the middle of a message"


@pytest.mark.parametrize(("total", "of_headers"), [(15, 0), (20, 5), (2**31, 0), (100, 2**31)])
def test_lengths_that_cannot_be(total: int, of_headers: int):
    lengths = struct.pack(">II", total, of_headers)
    assert "bytes" in (read(lengths + struct.pack(">I", crc32(lengths)) + b"\0" * 200)[1] or "")


def test_headers_that_are_not_text_are_looked_past():
    block = b"".join(
        bytes([len(name)]) + name + bytes([kind]) + value
        for name, kind, value in [
            (b"yes", 0, b""),
            (b"no", 1, b""),
            (b"byte", 2, b"\1"),
            (b"short", 3, b"\0\1"),
            (b"int", 4, b"\0" * 4),
            (b"long", 5, b"\0" * 8),
            (b"bytes", 6, b"\0\2ab"),
            (b"text", 7, b"\0\2ab"),
            (b"time", 8, b"\0" * 8),
            (b"uuid", 9, b"\0" * 16),
            (b"last", 7, b"\0\0"),
        ]
    )
    assert read_headers(block) == {"text": "ab", "last": ""}
    assert read(sealed(block, b"p"))[0] == [Message({"text": "ab", "last": ""}, b"p")]


@pytest.mark.parametrize(
    "block", [b"\x05ab", b"\x01a", b"\x01a\x0a", b"\x01a\x07\0\x05ab", b"\x01a\x07\0", b"\x01\xff\x00"]
)
def test_headers_that_are_none(block: bytes):
    assert read_headers(block) is None
    assert read(sealed(block, b""))[1] == "the headers of a message cannot be read"


@given(st.binary(max_size=200))
def test_nothing_is_raised(raw: bytes):
    read(raw, 7)
    read_headers(raw)


def test_a_large_message_in_small_pieces_is_put_together_once():
    raw = framed(b"x" * 2**20)
    messages = Messages()
    view = [raw[at : at + 7] for at in range(0, len(raw), 7)]
    assert [len(each.payload) for piece in view for each in messages.feed(piece)] == [2**20]


@pytest.mark.parametrize("size", [None, 1, 7])
def test_vectors_made_with_botocore(size: int | None):
    vectors = json.loads(VECTORS.read_bytes())["eventstream"] if VECTORS.exists() else []
    for vector in vectors:
        found, problem = read(bytes.fromhex(vector["hex"]), size)
        assert problem is None, vector["name"]
        expected = [(each["headers"], each["payload"]) for each in vector["decoded"]]
        assert [(dict(each.headers), each.payload.decode()) for each in found] == expected, vector["name"]
