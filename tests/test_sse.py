"""Event-stream framing: what a byte stream says does not depend on how it is cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sse import DONE, Frame, OversizedFrame, Splitter, comment, event

# name: (bytes, [(event name, data)]); data None is a mere comment or a field that carries no data.
FRAMING: dict[str, tuple[bytes, list[tuple[bytes, bytes | None]]]] = {
    "LF": (b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
    "CR": (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
    "LF then CRLF": (b"data: a\n\r\ndata: b\r\n\n", [(b"", b"a"), (b"", b"b")]),
    "CR then CRLF": (b"data: a\r\r\ndata: b\n\r", [(b"", b"a"), (b"", b"b")]),
    "a CRLF is one line end": (b"data: a\r\ndata: b\r\n\r\n", [(b"", b"a\nb")]),
    "BOM": (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    "a BOM in the middle is data": (b"data: \xef\xbb\xbf\n\n", [(b"", b"\xef\xbb\xbf")]),
    "comment": (b": hello\n\ndata: a\n\n", [(b"", None), (b"", b"a")]),
    "comment inside an event": (b": hello\ndata: a\n\n", [(b"", b"a")]),
    "several data lines": (b"data: a\ndata: b\ndata:\n\n", [(b"", b"a\nb\n")]),
    "no space after the colon": (b"data:a\n\n", [(b"", b"a")]),
    "one space of two is kept": (b"data:  a\n\n", [(b"", b" a")]),
    "data without a colon": (b"data\n\n", [(b"", b"")]),
    "empty data": (b"data: \n\ndata:\n\n", [(b"", b""), (b"", b"")]),
    "a colon in the value": (b"data: a: b\n\n", [(b"", b"a: b")]),
    "name": (b"event: error\ndata: a\n\n", [(b"error", b"a")]),
    "name after data": (b"data: a\nevent:error\n\n", [(b"error", b"a")]),
    "name without data": (b"event: ping\n\n", [(b"ping", None)]),
    "retry and id": (b"retry: 3000\nid: 1\ndata: a\n\n", [(b"", b"a")]),
    "retry alone": (b"retry: 3000\n\n", [(b"", None)]),
    "unknown field": (b"dat: x\ndatax: y\ndata: a\n\n", [(b"", b"a")]),
    "field names are not padded": (b" data: a\n\n", [(b"", None)]),
    "no last blank line": (b"data: a\n\ndata: b\n", [(b"", b"a"), (b"", b"b")]),
    "no last line end": (b"data: a\n\ndata: b", [(b"", b"a"), (b"", b"b")]),
    "no last line end of several": (b"data: a\ndata: b", [(b"", b"a\nb")]),
    "half a field at the end": (b"data: a\n\ndata: b\nid", [(b"", b"a"), (b"", b"b")]),
    "not UTF-8": (b"data: \xff\xfe\n\n", [(b"", b"\xff\xfe")]),
    "U+2028 ends no line": ("data: a\u2028b\x85\x0b\n\n".encode(), [(b"", "a\u2028b\x85\x0b".encode())]),
    "nothing": (b"", []),
    "line ends alone": (b"\n\n\n\r\n\r", []),
}


def said(frames: list[Frame]) -> list[tuple[bytes, bytes | None]]:
    """What the frames say; blank lines between events say nothing."""
    return [(frame.name, frame.data) for frame in frames if frame.raw.strip()]


def split(*chunks: bytes) -> list[Frame]:
    splitter = Splitter()
    return [frame for chunk in chunks for frame in splitter.feed(chunk)] + splitter.end()


def lines(frames: list[Frame]) -> bytes:
    """All that came, line ends made alike: half a CRLF may be taken for a CR."""
    return re.sub(rb"\r\n?", b"\n", b"".join(frame.raw for frame in frames)).rstrip(b"\n")


@pytest.mark.parametrize(("stream", "expected"), FRAMING.values(), ids=FRAMING)
def test_framing(stream: bytes, expected: list[tuple[bytes, bytes | None]]):
    assert said(split(stream)) == expected


@pytest.mark.parametrize(("stream", "expected"), FRAMING.values(), ids=FRAMING)
def test_whole_is_split_anywhere(stream: bytes, expected: list[tuple[bytes, bytes | None]]):
    whole = split(stream)
    for cut in range(len(stream) + 1):
        parts = split(stream[:cut], stream[cut:])
        assert said(parts) == expected, cut
        assert lines(parts) == lines(whole), cut
        for later in range(cut, len(stream) + 1):
            assert said(split(stream[:cut], stream[cut:later], stream[later:])) == expected, (cut, later)
    assert said(split(*(stream[at : at + 1] for at in range(len(stream))))) == expected


@given(
    st.lists(
        st.sampled_from(
            [b"data: a", b"data", b"event: e", b":", b"id: 1", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf", b" "]
        )
    ),
    st.data(),
)
def test_any_stream_says_the_same_however_it_is_cut(parts: list[bytes], data: st.DataObject):
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert said(split(*chunks)) == said(split(stream))


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"], ids=["LF", "CRLF", "CR"])
def test_an_event_is_given_as_soon_as_its_blank_line_is_there(end: bytes):
    splitter = Splitter()
    assert said(splitter.feed(b"data: a" + end[:-1])) == ([(b"", b"a")] if end == b"\r\n\r\n" else [])
    assert splitter.pending == (end != b"\r\n\r\n")
    splitter.feed(end[-1:])
    assert not splitter.pending


def test_a_byte_order_mark_may_come_in_pieces():
    splitter = Splitter()
    assert [splitter.feed(byte) for byte in (b"", b"\xef", b"\xbb", b"\xbf")] == [[], [], [], []]
    assert not splitter.pending
    assert said(splitter.feed(b"data: a\n\n")) == [(b"", b"a")]


def test_what_looks_like_half_a_byte_order_mark_is_not_lost():
    assert [frame.raw for frame in split(b"\xef", b"\xbb", b"data: a\n\n")] == [b"\xef\xbbdata: a\n\n"]


def test_an_event_of_a_megabyte():
    big = b"data: " + b"x" * 2**20 + b"\n\n"
    chunks = [big[at : at + 1400] for at in range(0, len(big), 1400)]
    [frame] = split(*chunks)
    assert frame == Frame(big, big[6:-2])


def test_an_endless_event_is_given_up():
    splitter = Splitter(limit=1000)
    assert said(splitter.feed(b"data: a\n\n" + b"x" * 1000)) == [(b"", b"a")]
    with pytest.raises(OversizedFrame, match="more than 1000 bytes"):
        splitter.feed(b"x")


def test_every_byte_is_looked_at_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch):
    """Linear in the bytes fed: what was searched for a blank line is not searched again."""
    looked = 0

    class Counting:
        def search(self, buffer: bytearray, begin: int):
            nonlocal looked
            looked += len(buffer) - begin
            return blank.search(buffer, begin)

    from gateway import sse

    blank = sse._BLANK_LINE
    monkeypatch.setattr(sse, "_BLANK_LINE", Counting())
    stream = b"data: " + b"x" * 20_000 + b"\n\n"
    split(*(stream[at : at + 1] for at in range(len(stream))))
    assert looked < 10 * len(stream)


def test_what_is_written_is_read_again():
    assert said(split(event(b"a"), comment(b"keep-alive"), DONE)) == [(b"", b"a"), (b"", None), (b"", b"[DONE]")]
