"""What a vendor's bytes are taken for, however they are cut into reads: an answer and where it ends, or a fault."""

from __future__ import annotations

import itertools
import socket
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Fault
from gateway.wire.connection import MOST_HEAD, READ_AHEAD, SMALL, Connection
from gateway.wire.incoming import Ask, Incoming

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Whole(NamedTuple):
    status: int
    content: bytes
    kept: bool = True


class Broken(NamedTuple):
    said: str
    content: bytes = b""
    """What came before it broke."""


GET, HEAD, EOF = "GET", "HEAD", "EOF"
Row = tuple[bytes, Whole | Broken] | tuple[bytes, Whole | Broken, str]

ANSWERS: dict[str, Row] = {
    # Ends of an answer
    "a length": (OK + b"content-length: 5\r\n\r\nhello", Whole(200, b"hello")),
    "a length of nothing": (OK + b"content-length: 0\r\n\r\n", Whole(200, b"")),
    "white space around a length": (OK + b"Content-Length:\t 5 \r\n\r\nhello", Whole(200, b"hello")),
    "chunks": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", Whole(200, b"hello world")),
    "a chunk in capital hex": (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", Whole(200, b"0123456789")),
    "chunks with extensions": (CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n', Whole(200, b"hello")),
    "trailers are dropped": (CHUNKED + b"5\r\nhello\r\n0\r\nx-sum: 1\r\nstatus: 9\r\n\r\n", Whole(200, b"hello")),
    "the end of the connection": (OK + b"\r\nhello", Whole(200, b"hello", False), EOF),
    "an empty answer until the end": (OK + b"\r\n", Whole(200, b"", False), EOF),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", Whole(204, b"")),
    "no content, and a length": (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", Whole(204, b"")),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Whole(304, b"")),
    "a head alone, with a length": (OK + b"content-length: 5\r\n\r\n", Whole(200, b"", False), HEAD),
    "a head alone, in chunks": (CHUNKED, Whole(200, b"", False), HEAD),
    "a head alone that is not alone": (OK + b"content-length: 5\r\n\r\nhello", Whole(200, b"", False), HEAD),
    "no reason": (b"HTTP/1.1 429\r\ncontent-length: 2\r\n\r\nno", Whole(429, b"no")),
    # Heads before the head
    "go on": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 5\r\n\r\nhello", Whole(200, b"hello")),
    "hints, twice": (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 2 + OK + b"content-length: 5\r\n\r\nhello",
        Whole(200, b"hello"),
    ),
    "the length of a hint": (
        b"HTTP/1.1 103 Early Hints\r\ncontent-length: 3\r\n\r\n" + OK + b"content-length: 5\r\n\r\nhello",
        Whole(200, b"hello"),
    ),
    # Connections that are not kept
    "it says so": (OK + b"connection: close\r\ncontent-length: 5\r\n\r\nhello", Whole(200, b"hello", False)),
    "it says so among others": (
        OK + b"connection: x, Close\r\ncontent-length: 5\r\n\r\nhello",
        Whole(200, b"hello", False),
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", Whole(200, b"hello", False)),
    "HTTP/1.0, kept": (
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
        Whole(200, b"hello"),
    ),
    "this was the last": (
        OK + b"keep-alive: timeout=5, max=0\r\ncontent-length: 5\r\n\r\nhello",
        Whole(200, b"hello", False),
    ),
    "not for long enough": (
        OK + b"keep-alive: timeout=0\r\ncontent-length: 5\r\n\r\nhello",
        Whole(200, b"hello", False),
    ),
    "for a while": (OK + b"keep-alive: timeout=5, max=10\r\ncontent-length: 5\r\n\r\nhello", Whole(200, b"hello")),
    "more than its length": (OK + b"content-length: 5\r\n\r\nhello, world", Whole(200, b"hello", False)),
    "more than its chunks": (CHUNKED + b"5\r\nhello\r\n0\r\n\r\nworld", Whole(200, b"hello", False)),
    "an answer too many": (
        OK + b"content-length: 5\r\n\r\nhello" + OK + b"content-length: 6\r\n\r\nforged",
        Whole(200, b"hello", False),
    ),
    "the beginning of an answer too many": (
        OK + b"content-length: 5\r\n\r\nhelloHTTP/1.1 2",
        Whole(200, b"hello", False),
    ),
    "an upgrade that was only offered": (
        OK + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 5\r\n\r\nhello",
        Whole(200, b"hello"),
    ),
    # Ends too early
    "nothing at all": (b"", Broken("it was closed without an answer"), EOF),
    "half a head": (OK + b"content-le", Broken("it was closed without an answer"), EOF),
    "less than its length": (OK + b"content-length: 5\r\n\r\nhel", Broken("the connection broke: ", b"hel"), EOF),
    "less than a length beyond all": (
        OK + b"content-length: 9223372036854775806\r\n\r\nhel",
        Broken("the connection broke: ", b"hel"),
        EOF,
    ),
    "no last chunk": (CHUNKED + b"5\r\nhello\r\n", Broken("the connection broke: ", b"hello"), EOF),
    "half a chunk": (CHUNKED + b"5\r\nhel", Broken("the connection broke: ", b"hel"), EOF),
    "only a hint": (b"HTTP/1.1 103 Early Hints\r\n\r\n", Broken("it was closed without an answer"), EOF),
    # Nobody guesses
    "two lengths": (OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "two lengths alike": (
        OK + b"content-length: 5\r\nContent-Length: 5\r\n\r\nhello",
        Broken("what came is not HTTP: "),
    ),
    "a list of lengths": (OK + b"content-length: 5, 5\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "a length with a sign": (OK + b"content-length: +5\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "a length that is none": (OK + b"content-length: five\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "an empty length": (OK + b"content-length:\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "an endless length": (OK + b"content-length: 99999999999999999999\r\n\r\n", Broken("what came is not HTTP: ")),
    "a length, then chunks": (
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Broken("what came is not HTTP: "),
    ),
    "chunks, then a length": (
        OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        Broken("what came is not HTTP: "),
    ),
    "another coding": (OK + b"transfer-encoding: gzip\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "two codings": (OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Broken("what came is not HTTP: ")),
    "a folded header": (OK + b"a: b\r\n c\r\ncontent-length: 5\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "a folded length": (OK + b"content-length: 5\r\n 6\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello", Broken("what came is not HTTP: ")),
    "a bare line feed after the head": (OK + b"content-length: 5\r\n\nhello", Broken("what came is not HTTP: ")),
    "a bare carriage return": (OK + b"a: b\rc: d\r\n\r\n", Broken("what came is not HTTP: ")),
    "a name with a space": (OK + b"content-length : 5\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "a line without a name": (OK + b": 5\r\n\r\nhello", Broken("what came is not HTTP: ")),
    "a null": (OK + b"a: b\0c\r\n\r\n", Broken("what came is not HTTP: ")),
    "no HTTP at all": (b"220 mail.example ESMTP\r\n", Broken("what came is not HTTP: ")),
    "another protocol": (b"\x15\x03\x01\x00\x02\x02\x16", Broken("what came is not HTTP: ")),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", Broken("what came is not HTTP: ")),
    "a status of four": (b"HTTP/1.1 2000 OK\r\n\r\n", Broken("what came is not HTTP: ")),
    "a status below all": (b"HTTP/1.1 099 OK\r\n\r\n", Broken("what came is not HTTP: ")),
    "another protocol from here on": (
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        Broken("what came is not HTTP: "),
    ),
    "a chunk of no length": (CHUNKED + b"\r\nhello\r\n0\r\n\r\n", Broken("the connection broke: what came")),
    "a chunk of a negative length": (CHUNKED + b"-5\r\nhello\r\n", Broken("the connection broke: what came")),
    "a chunk by 0x": (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", Broken("the connection broke: what came")),
    "a chunk with white space": (CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", Broken("the connection broke: what came")),
    "a chunk beyond all": (CHUNKED + b"fffffffffffffffff\r\n", Broken("the connection broke: what came")),
    "a chunk longer than it says": (CHUNKED + b"4\r\nhello\r\n", Broken("the connection broke: what came", b"hell")),
    "chunks with bare line feeds": (CHUNKED + b"5\nhello\n0\n\n", Broken("the connection broke: what came")),
    "a bare line feed after a chunk": (
        CHUNKED + b"5\r\nhello\n0\r\n\r\n",
        Broken("the connection broke: what came", b"hello"),
    ),
}


class Transport:
    """What a connection asks of its transport, and no network."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.written = b""
        self.aborted = self.paused = False
        self.unwritten = 0

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.unwritten

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return self.end if name == "socket" else None


class Clock:
    now = 0.0

    def time(self) -> float:
        return self.now


class Line:
    """A connection that plays its own home, and the peer at its other end."""

    def __init__(self) -> None:
        self.ends = socket.socketpair()
        self.transport, self.clock = Transport(self.ends[0]), Clock()
        self.kept = self.lost = self.wakes = self.open = 0
        self.repeated: list[Incoming] = []
        self.watched = False
        loop: Any = self.clock
        self.connection = Connection(self, "way", loop)

    def ask(self, method: str = GET, **more: Any) -> Incoming:
        answer = Incoming(Ask(method=method, url="http://x/", **more))
        answer.head = b"GET / HTTP/1.1\r\n\r\n"
        answer.wake = self._wake
        self.open += 1
        self.connection.start(answer)
        if not self.connection.made:
            transport: Any = self.transport
            self.connection.connection_made(transport)
        return answer

    def _wake(self) -> None:
        self.wakes += 1

    def hear(self, *reads: bytes) -> None:
        for read in reads:
            # A loop reads no more from what was aborted.
            if not self.transport.aborted and read:
                self.connection.data_received(read)

    def hang_up(self, error: Exception | None = None) -> None:
        if not self.transport.aborted and error is None:
            self.connection.eof_received()
        self.connection.connection_lost(error)

    def leave(self) -> None:
        for end in self.ends:
            end.close()

    def keep(self, connection: Connection) -> None:
        self.kept += 1

    def gone(self, connection: Connection) -> None:
        self.lost += 1

    def over(self, connection: Connection) -> None:
        self.open -= 1

    def again(self, incoming: Incoming, way: Any) -> None:
        self.repeated.append(incoming)

    def watch(self, connection: Connection) -> None:
        self.watched = True


@pytest.fixture
def line():
    made = Line()
    yield made
    made.leave()


def all_of(answer: Incoming) -> tuple[bytes, bytes | Fault | None]:
    """The content, and how it ended."""
    content = b""
    while (taken := answer.take()) and isinstance(taken, bytes):
        content += taken
    return content, taken


def told(line: Line, reads: list[bytes], how: str = GET) -> Whole | Broken | None:
    answer = line.ask(HEAD if how == HEAD else GET)
    line.hear(*reads)
    if how == EOF:
        line.hang_up()
    content, end = all_of(answer)
    assert line.open == (1 if end is None else 0)
    if isinstance(end, Fault):
        assert line.connection.closed
        return Broken(end.message, content)
    return None if end is None else Whole(answer.status, content, not line.connection.closed)


def splits(data: bytes) -> list[list[bytes]]:
    """In one, at every place in two, and byte by byte."""
    twos = [[data[:place], data[place:]] for place in range(1, len(data))]
    return [[data], *twos, [data[place : place + 1] for place in range(len(data))]]


@pytest.mark.parametrize("row", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_the_same_wherever_it_is_cut(row: Row):
    data, expected, how = (*row, GET)[:3]
    for reads in splits(data):
        line = Line()
        try:
            found = told(line, reads, how)
        finally:
            line.leave()
        if isinstance(expected, Broken):
            assert isinstance(found, Broken), reads
            assert found.said.startswith(expected.said), reads
            # Of what is no HTTP any more some may have been content.
            assert found.content.startswith(expected.content), reads
        else:
            assert found == expected, reads


def test_names_are_in_small_letters_and_the_last_of_several_counts(line: Line):
    answer = line.ask()
    line.hear(OK + b"X-A: 1\r\nx-a:  two words \r\nServer: \xe4\r\ncontent-length: 0\r\n\r\n")
    assert answer.headers == {"x-a": "two words", "server": "ä", "content-length": "0"}


def test_the_next_answer_begins_with_nothing_of_the_last(line: Line):
    first = line.ask()
    line.hear(OK + b"x-first: 1\r\ncontent-length: 5\r\n\r\nfirst")
    second = line.ask()
    line.hear(b"HTTP/1.1 404 No\r\nx-second: 1\r\n", b"content-length: 6\r\n\r\nsec", b"ond")
    assert (second.status, dict(second.headers)) == (404, {"x-second": "1", "content-length": "6"})
    assert all_of(second) == (b"second", b"")
    # Taken late, after the connection has gone on.
    assert (first.status, all_of(first)) == (200, (b"first", b""))
    assert (line.kept, line.wakes) == (2, 3)


@pytest.mark.parametrize("uninvited", [OK + b"content-length: 6\r\n\r\nforged", b"\r\n", b"x"])
def test_what_nobody_asked_for_costs_the_connection(line: Line, uninvited: bytes):
    line.ask()
    line.hear(OK + b"content-length: 5\r\n\r\nhello", uninvited)
    assert line.connection.closed


@pytest.mark.parametrize("surplus", [b"", b"HTTP/1.1 200 OK\r\nx: y"], ids=["nothing", "something"])
def test_what_comes_behind_an_answer_as_long_as_a_head_may_be_costs_the_connection(line: Line, surplus: bytes):
    answer = line.ask()
    start = OK + b"content-length: 65400\r\nx: "
    start += b"y" * (MOST_HEAD - 65400 - len(start) - 4) + b"\r\n\r\n"
    line.hear(start + b"z" * 65400 + surplus)
    assert (all_of(answer), line.kept) == ((b"z" * 65400, b""), 0 if surplus else 1)


def test_what_lies_in_the_socket_before_the_request_makes_it_unfit(line: Line):
    line.ask()
    line.hear(OK + b"content-length: 5\r\n\r\nhello")
    assert line.connection.fit(line.clock.now)
    line.ends[1].send(OK + b"content-length: 6\r\n\r\nforged")
    assert not line.connection.fit(line.clock.now)


def test_a_connection_is_fit_until_its_time_is_over(line: Line):
    line.ask()
    line.hear(OK + b"keep-alive: timeout=5\r\ncontent-length: 0\r\n\r\n")
    assert line.connection.fit(4.4)
    assert not line.connection.fit(4.6)


RESET = ConnectionResetError(104, "reset")


@pytest.mark.parametrize(
    ("used", "got", "before", "error", "again"),
    [
        (True, 0, b"", None, 1),
        (True, 20, b"", BrokenPipeError(32, "broken pipe"), 1),
        (True, 0, b"", RESET, 0),
        (False, 0, b"", None, 0),
        (True, 50, b"", None, 0),
        (True, 0, b"H", None, 0),
    ],
    ids=["nothing was got", "half was got", "who knows", "it was new", "all was got", "it said something"],
)
def test_only_what_cannot_have_been_acted_on_is_asked_again(
    line: Line, used: bool, got: int, before: bytes, error: Exception | None, again: int
):
    if used:
        line.ask()
        line.hear(OK + b"content-length: 0\r\n\r\n")
    answer = line.ask()
    line.ends[0].send(b"x" * 30)
    line.ends[0].send(b"x" * 20)
    line.ends[1].recv(got or 0)
    line.hear(before)
    line.hang_up(error)
    assert len(line.repeated) == again
    assert (answer.take() is None) == bool(again)


def test_a_head_has_its_limit(line: Line):
    head = OK + b"a: " + b"x" * (MOST_HEAD - len(OK) - 7) + b"\r\n\r\n"
    assert len(head) == MOST_HEAD
    answer = line.ask()
    line.hear(head[:-30], head[-30:] + b"content")
    assert (answer.status, answer.take()) == (200, b"content")


@pytest.mark.parametrize("cut", [MOST_HEAD, MOST_HEAD + 1, 100, 10**6])
def test_a_head_beyond_its_limit_is_a_fault(line: Line, cut: int):
    head = OK + b"a: " + b"x" * (MOST_HEAD - len(OK) - 6) + b"\r\n\r\n"
    answer = line.ask()
    line.hear(head[:cut], head[cut:])
    end = answer.take()
    assert isinstance(end, Fault)
    assert answer.status == 0


ENDLESS = {
    "heads before the head": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    "headers": (OK, b"a: b\r\n"),
    "a header": (OK + b"a: ", b"b" * 1000),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\n", b"a: b\r\n"),
    "an extension of a chunk": (CHUNKED + b"5;a=", b"b" * 1000),
}


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS)
def test_what_is_no_content_is_not_endless(line: Line, start: bytes, more: bytes):
    answer = line.ask()
    line.hear(start, *[more] * (MOST_HEAD // len(more) + 2))
    assert isinstance(all_of(answer)[1], Fault)


def test_too_many_headers_are_a_fault(line: Line):
    answer = line.ask()
    line.hear(OK + b"".join(b"a%d: b\r\n" % number for number in range(300)) + b"\r\n")
    assert isinstance(answer.take(), Fault)


@pytest.mark.parametrize("framing", [b"content-length: 100000000\r\n\r\n", b"\r\n"])
def test_reading_stops_ahead_of_a_slow_reader_and_goes_on(line: Line, framing: bytes):
    answer = line.ask()
    line.hear(OK + framing)
    line.hear(*[b"x" * 1024] * (READ_AHEAD // 1024 + 1))
    assert line.transport.paused
    taken = answer.take()
    assert isinstance(taken, bytes)
    assert len(taken) == READ_AHEAD + 1024
    assert not line.transport.paused
    read = b"y" * 1024
    line.hear(read)
    assert answer.take() is read


def test_what_is_too_much_and_whole_leaves_a_connection_that_reads(line: Line):
    answer = line.ask()
    size = READ_AHEAD + 2048
    line.hear(OK + b"content-length: %d\r\n\r\n" % size, b"x" * (size - 10))
    assert line.transport.paused
    line.hear(b"x" * 10)
    assert (line.transport.paused, line.kept) == (False, 1)
    assert len(all_of(answer)[0]) == size


def test_a_peer_that_reads_nothing_has_its_time(line: Line):
    answer = line.ask(write=3.0)
    line.transport.unwritten = 1000
    line.connection.pause_writing()
    line.clock.now = 2.9
    line.transport.unwritten = 900  # some of it was taken: the time begins anew
    assert line.connection.look(2.9)
    assert line.connection.look(5.8)
    assert not line.connection.look(6.0)
    end = answer.take()
    assert isinstance(end, Fault)
    assert end.message == "the vendor stopped reading the request for 3 s"


def test_a_large_body_fills_the_buffer_by_writes_that_tell_of_it(line: Line):
    """``writelines`` of asyncio does not, in some releases: there is none here."""
    line.ask(method="POST", body=b"x" * SMALL)
    assert line.transport.written.endswith(b"\r\n\r\n" + b"x" * SMALL)


def test_an_answer_to_half_a_request_costs_the_connection(line: Line):
    answer = line.ask()
    line.transport.unwritten = 1000
    line.connection.pause_writing()
    line.hear(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
    assert (answer.status, answer.take(), line.connection.closed) == (413, b"", True)


def test_lingering_keeps_a_connection_whose_answer_ends(line: Line):
    answer = line.ask()
    line.hear(CHUNKED + b"5\r\nhello\r\n")
    answer.close(linger=True)
    assert line.watched
    assert line.connection.look(0.9)
    line.hear(b"5\r\nworld\r\n0\r\n\r\n")
    assert (line.kept, line.open, line.connection.closed) == (1, 0, False)
    assert answer.take() == b"hello"


def test_lingering_ends(line: Line):
    answer = line.ask()
    line.hear(CHUNKED + b"5\r\nhello\r\n")
    answer.close(linger=True)
    answer.close(linger=True)
    assert not line.connection.look(1.1)
    assert (line.kept, line.open, line.transport.aborted) == (0, 0, True)


def test_an_answer_that_nobody_wants_cuts_the_connection(line: Line):
    answer = line.ask()
    line.hear(CHUNKED + b"5\r\nhello\r\n")
    answer.close()
    answer.close()
    assert (line.kept, line.open, line.transport.aborted, line.wakes) == (0, 0, True, 1)
    line.connection.connection_lost(None)


def test_the_one_who_is_told_of_the_end_may_ask_at_once(line: Line):
    first = line.ask()
    answers: list[Incoming] = []
    first.wake = lambda: answers.append(line.ask())
    line.hear(OK + b"content-length: 5\r\n\r\nhello")
    line.hear(b"HTTP/1.1 201 Made\r\ncontent-length: 5\r\n\r\nworld")
    assert all_of(first) == (b"hello", b"")
    assert (answers[0].status, all_of(answers[0])) == (201, (b"world", b""))


# --- whatever comes ---------------------------------------------------------------------------------------------------

PIECES = [b"HTTP/1.1 ", b"200 OK\r\n", b"100 Continue\r\n\r\n", b"content-length: 5\r\n", b"content-length: 50\r\n"]
PIECES += [
    b"transfer-encoding: chunked\r\n",
    b"\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"connection: close\r\n",
    b"hello",
]
PIECES += [
    b"\n",
    b" x\r\n",
    b"upgrade: h2c\r\nconnection: upgrade\r\n",
    b"101 Switching\r\n",
    b"204 No\r\n",
    b"\0",
    b"a: b\r\n",
]
reads = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=30)), max_size=30)


@given(data=reads, cuts=st.lists(st.integers(0, 300), max_size=6), method=st.sampled_from([GET, HEAD]))
def test_whatever_comes_there_is_one_end(data: list[bytes], cuts: list[int], method: str):
    """No crash, an end for everything once the peer is gone, and the connection is never both kept and cut."""
    joined = b"".join(data)
    places = [0, *sorted(min(cut, len(joined)) for cut in cuts), len(joined)]
    line = Line()
    try:
        answer = line.ask(method)
        line.hear(*(joined[start:end] for start, end in itertools.pairwise(places)))
        kept = line.kept
        line.hang_up()
        content, end = all_of(answer)
        assert end is not None
        assert (line.open, line.connection.closed) == (0, True)
        assert kept <= 1
        assert content in joined or b"transfer-encoding" in joined
        assert not (isinstance(end, Fault) and kept)
    finally:
        line.leave()


@given(
    surplus=st.binary(min_size=1, max_size=60), place=st.integers(0, 60), follows=st.sampled_from(["length", "chunks"])
)
def test_nothing_of_one_exchange_reaches_the_next(surplus: bytes, place: int, follows: str):
    """Whatever follows an answer, in whatever reads: the next one on the connection, if there is one, is its own."""
    whole = {"length": OK + b"content-length: 5\r\n\r\nhello", "chunks": CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"}[follows]
    line = Line()
    try:
        first = line.ask()
        line.hear(whole + surplus[:place], surplus[place:])
        assert all_of(first) == (b"hello", b"")
        # Empty lines between two answers mean nothing to anyone.
        if surplus[:place].strip(b"\r\n") or surplus[place:]:
            assert line.connection.closed
    finally:
        line.leave()
