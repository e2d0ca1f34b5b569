"""Heads as our own reader reads them: nothing that llhttp refuses, and nothing otherwise than llhttp."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.wire.heads import HEAD_LIMIT, HeadReader, head_of_answer

PLAIN = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"


class Peer:
    """What uvicorn's parser makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.messages = 0
        self.whole = self.refused = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        try:
            self.parser.feed_data(data)
            self.parsed = httptools.parse_url(self.url)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.refused = True

    def on_message_begin(self) -> None:
        self.messages += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp leaves the space that follows a value; ``api.replies.lower`` takes it off.
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        self.keeps = self.parser.should_keep_alive()
        self.method, self.version = self.parser.get_method(), self.parser.get_http_version()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True


def agrees(data: bytes) -> bool:
    """True: we read it, and llhttp reads the same; False: it is left to llhttp."""
    head = HeadReader().read(data)
    if head is None:
        return False
    # No more than this one message, and all of it.
    body = (data[head.end :] + b"x" * min(head.length, 100_000))[: head.length]
    peer = Peer(data[: head.end] + body)
    assert not peer.refused
    assert (peer.method, peer.version, peer.keeps, peer.messages) == (b"POST", "1.1", True, 1)
    assert peer.url == head.target.encode("latin-1")
    assert (peer.parsed.schema, peer.parsed.host, peer.parsed.userinfo) == (None, None, None)
    assert peer.parsed.path == head.target.partition("?")[0].partition("#")[0].encode("latin-1")
    assert peer.headers == head.headers
    if len(body) == head.length:
        assert peer.whole
        assert peer.body == body
    return True


def post(*lines: bytes, first: bytes = b"POST /v1/chat/completions HTTP/1.1", body: bytes = b"{}") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""]) + body


HOST, LENGTH = b"host: localhost", b"content-length: 2"

READ = {
    "plain": PLAIN,
    "spelt otherwise": post(b"HOST: x", b"CoNtEnT-LeNgTh: 2"),
    "no space": post(b"host:x", b"content-length:2"),
    "tabs around": post(HOST, b"content-length:\t2\t", b"x-a:\t b \t"),
    "zeros before": post(HOST, b"content-length: 0002"),
    "an empty value": post(HOST, LENGTH, b"x-a:", b"x-b: \t "),
    "colons in it": post(HOST, LENGTH, b"x-a: b:c: d"),
    "not ascii": post(HOST, LENGTH, b"x-skein-session: \xc3\xa9\xff"),
    "said twice": post(HOST, LENGTH, b"x-a: b", b"X-A: c"),
    "kept alive": post(HOST, LENGTH, b"connection: Keep-Alive"),
    "a query": post(HOST, LENGTH, first=b"POST /v1/chat/completions?api-version=1&x=%2F HTTP/1.1"),
    "a hundred": post(HOST, LENGTH, *[b"x-%d: y" % number for number in range(98)]),
}
LEFT = {
    "nothing": b"",
    "half": PLAIN[:60],
    "bare LF": PLAIN.replace(b"\r\n", b"\n"),
    "one bare LF": post(HOST, b"x-a: b\nx-c: d", LENGTH),
    "bare CR": post(HOST, b"x-a: b\rx-c: d", LENGTH),
    "CR at its end": post(HOST, b"x-a: b\r", LENGTH),
    "NUL": post(HOST, b"x-a: b\0c", LENGTH),
    "DEL": post(HOST, b"x-a: b\x7fc", LENGTH),
    "folded": post(HOST, b"x-a: b", b" c", LENGTH),
    "folded first": post(b" x-a: b", HOST, LENGTH),
    "no colon": post(HOST, b"x-a", LENGTH),
    "no name": post(HOST, b": b", LENGTH),
    "space before colon": post(HOST, b"content-length : 2"),
    "space in a name": post(HOST, b"x a: b", LENGTH),
    "a name not ascii": post(HOST, b"x-\xe9: b", LENGTH),
    "no host": post(LENGTH),
    "two hosts": post(HOST, HOST, LENGTH),
    "no length": post(HOST),
    "two lengths": post(HOST, LENGTH, LENGTH),
    "lengths that differ": post(HOST, LENGTH, b"content-length: 3"),
    "a list of lengths": post(HOST, b"content-length: 2, 2"),
    "a negative length": post(HOST, b"content-length: -2"),
    "a length with a sign": post(HOST, b"content-length: +2"),
    "a blank length": post(HOST, b"content-length: "),
    "a broken length": post(HOST, b"content-length: 2 2"),
    "a hexadecimal length": post(HOST, b"content-length: 0x2"),
    "a length in other digits": post(HOST, b"content-length: \xb2"),
    "a huge length": post(HOST, b"content-length: 18446744073709551618"),
    "chunked": post(HOST, b"transfer-encoding: chunked"),
    "both framings": post(HOST, LENGTH, b"transfer-encoding: chunked"),
    "an odd framing": post(HOST, LENGTH, b"transfer-encoding: identity"),
    "expects": post(HOST, LENGTH, b"expect: 100-continue"),
    "closes": post(HOST, LENGTH, b"connection: close"),
    "closes by a list": post(HOST, LENGTH, b"connection: keep-alive, close"),
    "closes twice": post(HOST, LENGTH, b"connection: keep-alive", b"connection: close"),
    "closes as a proxy": post(HOST, LENGTH, b"proxy-connection: close"),
    "upgrades": post(HOST, LENGTH, b"connection: upgrade", b"upgrade: websocket"),
    "for somebody else": post(HOST, LENGTH, b"x-forwarded-for: 10.0.0.1"),
    "two keys": post(HOST, LENGTH, b"authorization: a", b"authorization: b"),
    "HTTP/1.0": post(HOST, LENGTH, first=b"POST /v1/chat/completions HTTP/1.0"),
    "HTTP/2.0": post(HOST, LENGTH, first=b"POST /v1/chat/completions HTTP/2.0"),
    "no version": post(HOST, LENGTH, first=b"POST /v1/chat/completions"),
    "two spaces": post(HOST, LENGTH, first=b"POST  /v1/chat/completions HTTP/1.1"),
    "a space after": post(HOST, LENGTH, first=b"POST /v1/chat/completions HTTP/1.1 "),
    "a space in the target": post(HOST, LENGTH, first=b"POST /v1/chat /completions HTTP/1.1"),
    "a target not ascii": post(HOST, LENGTH, first=b"POST /v1/chat/completions\xe9 HTTP/1.1"),
    "an absolute target": post(HOST, LENGTH, first=b"POST http://localhost/v1/chat/completions HTTP/1.1"),
    "a fragment": post(HOST, LENGTH, first=b"POST /openai/deployments/m/x#/chat/completions HTTP/1.1"),
    "no target": post(HOST, LENGTH, first=b"POST * HTTP/1.1"),
    "lower case": post(HOST, LENGTH, first=b"post /v1/chat/completions HTTP/1.1"),
    "GET": post(HOST, LENGTH, first=b"GET /v1/chat/completions HTTP/1.1"),
    "a line before": b"\r\n" + PLAIN,
    "more than a hundred": post(HOST, LENGTH, *[b"x-%d: y" % number for number in range(99)]),
    "too long": post(HOST, LENGTH, b"x-a: " + b"b" * HEAD_LIMIT),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_plain_is_read(name: str) -> None:
    assert agrees(READ[name])


@pytest.mark.parametrize("name", LEFT)
def test_what_is_unusual_is_left(name: str) -> None:
    assert HeadReader().read(LEFT[name]) is None


@pytest.mark.parametrize("end", range(len(PLAIN) - len(b"{}")))
def test_half_a_head_is_none(end: int) -> None:
    assert HeadReader().read(PLAIN[:end]) is None


def test_of_repeated_headers_the_last_counts() -> None:
    head = HeadReader().read(READ["said twice"])
    assert head is not None
    assert head.headers["x-a"] == "c"


def test_what_is_remembered_of_names_is_bounded() -> None:
    reader = HeadReader()
    for number in range(2000):
        assert reader.read(post(HOST, LENGTH, b"X-%d: y" % number)).headers[f"x-{number}"] == "y"  # type: ignore[union-attr]
    assert len(reader._names) <= 512


# Pieces that heads are made of, well and badly, and what may come anywhere in between.
NAMES = st.sampled_from([
    *(b"host", b"Host", b"content-length", b"Content-Length", b"transfer-encoding", b"connection", b"Proxy-Connection"),
    *(b"expect", b"upgrade", b"te", b"trailer", b"keep-alive", b"x-a", b"x-skein-session", b"HTTP2-Settings", b"x_b"),
    *(b"content-length ", b" host", b"x\ta", b"", b"x\x00", b"(x)", b"x\xe9", b"sec-websocket-key"),
])  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([
        *(b"2", b"0", b"02", b"+2", b"-2", b"2,2", b"", b" ", b"\t", b"0x2", b"2 ", b"999999999999999", b"9" * 20),
        *(b"localhost", b"keep-alive", b"Keep-Alive", b"close", b"upgrade", b"keep-alive, close", b"chunked", b"gzip"),
        *(b"100-continue", b"h2c", b"websocket", b"a:b", b"\xc3\xa9", b"\x80", b"a\x0bb", b"a\x7f", b"a\nb", b"a\rb"),
    ]),
    st.binary(max_size=8),
)  # fmt: skip
LINES = st.builds(
    lambda name, between, value, after: name + b":" + between + value + after,
    NAMES,
    st.sampled_from([b" ", b"", b"\t", b"  "]),
    VALUES,
    st.sampled_from([b"", b"", b" ", b"\t"]),
)
TARGETS = st.one_of(
    st.sampled_from([b"/", b"/v1/chat/completions", b"//x/y", b"/a?b#c", b"/a#b?c", b"/%2F", b"/a//b/", b"/?", b"/:1"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map(lambda text: b"/" + text.encode()),
)
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/1.2", b"http/1.1", b"HTTP/1.1 "])
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\r\n "])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    target, version, end = draw(TARGETS), draw(VERSIONS), draw(ENDS)
    lines = draw(st.lists(LINES, max_size=5))
    usual = draw(st.sampled_from([[HOST, LENGTH]] * 3 + [[HOST], [LENGTH], []]))
    data = end.join([b"POST " + target + b" " + version, *draw(st.permutations([*usual, *lines])), b"", b""])
    return data + draw(st.sampled_from([b"{}", b"", b"{}POST"]))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A head with a few of its bytes replaced, left out or put in."""
    data = bytearray(draw(heads()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(mutated())
@example(post(HOST, LENGTH, b"proxy-connection: close"))
def test_whatever_is_read_llhttp_reads_the_same(data: bytes) -> None:
    agrees(data)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["x-skein-model", "x-skein-reason"]), st.text(max_size=20)), max_size=4))
@example([("x-skein-model", "m\r\nset-cookie: a=b")])
@example([("x-skein-model", "m\n"), ("x-skein-reason", "\r")])
@example([("x-skein-model", "é\u2028\x00")])
def test_no_value_adds_to_the_head_of_an_answer(headers: list[tuple[str, str]]) -> None:
    first, *lines, last = head_of_answer(200, headers).split("\r\n")
    assert (first, last) == ("HTTP/1.1 200 OK", "")
    assert [line.partition(": ")[0] for line in lines] == [name for name, _ in headers]
    said: Any = "".join(lines)
    assert said.isascii()
    assert said.replace("\t", " ").isprintable()
