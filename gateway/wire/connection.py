"""One HTTP/1.1 connection to a vendor: a request goes out, its answer is framed by llhttp and waits to be taken.

A connection belongs to one exchange from ``start`` until that is over, and to its home (the pool) otherwise. An
exchange is over once: when the answer is whole, when it broke, or when nobody wants it any more. At that moment, and
before anybody is told, the connection is given back or cut, and its ``Incoming`` keeps what is left to be taken. So
whoever is woken by the end of an answer may use the very connection for the next request.

May be called twice: ``cut``, ``Incoming.close``. Nothing is ever read into an answer that no request of ours began.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
import select
import socket
import ssl
import sys
import termios
import time
from typing import Any, Protocol

import httptools

from gateway.errors import Fault, FaultKind
from gateway.wire.incoming import NOT_HTTP, Incoming, network_fault, said

# Bytes that may wait to be taken; past this the vendor is made to wait.
READ_AHEAD = 256 * 1024
# A head (what comes before it included), or the trailers of an answer.
MOST_HEAD = 64 * 1024
MOST_HEADERS = 256
# A vendor may keep a connection open after its last event; this many seconds it is given to end by itself.
LINGER = 1.0
KEEPALIVE_EXPIRY = 30.0
# Below this a copy is cheaper than a second piece to write.
SMALL = 32 * 1024

FOR_EVER = sys.maxsize


class Home(Protocol):
    """Where a connection comes from and goes back to."""

    def keep(self, connection: Connection) -> None:
        """It is fit for a further request."""

    def gone(self, connection: Connection) -> None:
        """It is no more. May be said twice."""

    def over(self, connection: Connection) -> None:
        """Its exchange is over; said before ``keep`` and ``gone``, once for every ``start``."""

    def again(self, incoming: Incoming, way: Any) -> None:
        """The kept connection it was asked on was dead: ask once more, on a new one."""

    def watch(self, connection: Connection) -> None:
        """Something has begun that takes time: call ``look`` now and then until it says that it is done."""


class _Unfit(Exception):
    """An answer that is not to be guessed at."""


class Connection(asyncio.Protocol):
    """``way``: whatever its home knows it by."""

    def __init__(self, home: Home, way: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.way = way
        self.expires = 0.0
        self.making: asyncio.Task[None] | None = None
        self.closed = False
        self.clock = loop.time
        self._home = home
        # Event loops keep their time by the millisecond.
        self._began = time.monotonic()
        self._transport: asyncio.Transport | None = None
        self._kept = False
        self._socket = -1
        # Over TLS the transport does not know what the one beneath it still holds; the system is asked.
        self._tls: ssl.SSLObject | None = None
        self._beneath: socket.socket | None = None
        self._poll = select.poll()
        # What the parser of each answer writes to: no frame of ours for a header or a piece of content.
        self._said: dict[bytes, bytes] = {}
        self._content: list[bytes] = []
        self.on_header = self._said.__setitem__
        self.on_body = self._content.append
        # The exchange, and of its answer: bytes still to come where nothing needs to be parsed any more (else 0),
        # bytes since the last content, has it ended, may the connection be kept then, is nobody listening.
        self._answer: Incoming | None = None
        self._parser: Any = None
        self._left = 0
        self._silent = 0
        self._whole = self._keeps = self._deaf = self._interim = self._ends_with_connection = self._surplus = False
        # Is some of the request still to be taken, what the peer has left or taken of it, and until when it has time
        # to take some; until when to linger.
        self._unwritten, self._taken, self._write_by = False, 0, 0.0
        self._linger_until = 0.0

    @property
    def made(self) -> bool:
        return self._transport is not None or self.closed

    # An exchange --------------------------------------------------------------------------------------------------

    def fit(self, now: float) -> bool:
        """May it be used again? Not when anything has come meanwhile: its end, or an answer that nobody asked for."""
        return now < self.expires and not self._poll.poll(0)

    def start(self, answer: Incoming) -> None:
        """Sends the request, as soon as the connection is made."""
        self._answer = answer
        answer._connection = self
        self._said.clear()
        self._left = self._silent = 0
        self._whole = self._keeps = self._deaf = self._interim = self._ends_with_connection = False
        self._unwritten = self._surplus = False
        # A new one for each answer costs a quarter of a microsecond, and nothing can be left over from the last.
        self._parser = httptools.HttpResponseParser(self)
        if self._transport is not None:
            self._write(self._transport, answer)

    def give_up(self) -> None:
        """Nobody wants the answer, or a connection any more."""
        answer = self._answer
        if answer is not None:
            self._over(Fault(kind=FaultKind.UNREACHABLE, message="the call was given up", origin="gateway"))
        self.cut()

    def linger(self) -> None:
        """Nobody listens any more, but the connection is kept if the answer ends soon."""
        if not self._deaf:
            self._deaf = True
            self._linger_until = self.clock() + LINGER
            self._home.watch(self)
            self.read_on()

    def look(self, now: float) -> bool:
        """What takes time: is there anything of it left?"""
        answer = self._answer
        if answer is None:
            return False
        if self._deaf:
            if now >= self._linger_until:
                self.give_up()
            return self._answer is not None
        transport = self._transport
        if not self._unwritten or answer.status or transport is None:
            return False
        taken = self._progress(transport)
        # Over TLS: with nothing on its way it is not the peer that is late.
        if taken != self._taken or (self._beneath is not None and not _queued(self._socket)):
            self._taken, self._write_by = taken, now + answer.ask.write
        elif now >= self._write_by:
            said = f"the vendor stopped reading the request for {answer.ask.write:g} s"
            self._fail(answer, network_fault(FaultKind.TIMEOUT_FIRST_TOKEN, said))
            return False
        return True

    def _progress(self, transport: asyncio.Transport) -> int:
        """A number that changes whenever the peer takes something of the request."""
        return transport.get_write_buffer_size() if self._beneath is None else _acknowledged(self._beneath)

    def cut(self) -> None:
        """It is no more, at once."""
        if not self.closed:
            self.closed = True
            self._home.gone(self)
            if self._transport is not None:
                self._transport.abort()
            elif self.making is not None:
                self.making.cancel()

    def read_on(self) -> None:
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()

    def broke(self, error: BaseException | str) -> None:
        """1. A kept connection that was closed while it was idle is no attempt. 2. The fault is the answer's end."""
        answer = self._answer
        if answer is None:
            self.cut()
        elif self._kept and not isinstance(error, ConnectionResetError) and self._is_unheard(answer):
            self._over(None)
            self.cut()
            self._home.again(answer, self.way)
        else:
            words = said(error)
            words = f"the connection broke: {words}" if answer.status else words
            self._fail(answer, network_fault(FaultKind.UNREACHABLE, words))

    def _is_unheard(self, answer: Incoming) -> bool:
        """It said nothing, and its peer cannot have acted on a request that it has not got.

        An end acknowledges what came before it; a reset does not, so of what was reset nobody knows.
        """
        return not answer.status and not self._silent and _queued(self._socket) > 0

    def _fail(self, answer: Incoming, fault: Fault) -> None:
        self._over(fault)
        self.cut()
        answer.wake()

    def failed(self, fault: Fault) -> None:
        """The connection could not be made."""
        answer = self._answer
        if answer is not None:
            self._fail(answer, fault)

    def _over(self, end: bytes | Fault | None) -> None:
        answer, self._answer, self._parser = self._answer, None, None
        if answer is not None:
            answer._connection = None
            if end is not None:
                answer._end = end
            self._home.over(self)

    # What the event loop says -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        beneath = transport.get_extra_info("socket")
        self._socket = beneath.fileno()
        self._tls = transport.get_extra_info("ssl_object")
        if self._tls is not None:
            self._beneath = beneath
        else:
            # Whatever the peer does not take at once makes `pause_writing` be called: else nothing has to be timed.
            transport.set_write_buffer_limits(high=1, low=0)
        self._poll.register(self._socket, select.POLLIN)
        answer = self._answer
        if answer is None or self.closed:
            transport.abort()
            return
        answer.connected = time.monotonic() - self._began
        self._write(transport, answer)

    def _write(self, transport: asyncio.Transport, answer: Incoming) -> None:
        body = answer.ask.body
        if not body:
            transport.write(answer.head)
        elif len(body) < SMALL:
            transport.write(answer.head + body)
        else:
            # Not ``writelines``: that of asyncio tells nobody of a full buffer before Python 3.13.2 (CVE-2024-12254).
            transport.write(answer.head)
            transport.write(body)
            if self._beneath is not None:
                self._time_writing()

    def pause_writing(self) -> None:
        # Over TLS it is about what TLS itself holds, and tells nothing of the peer.
        if self._beneath is None:
            self._time_writing()

    def resume_writing(self) -> None:
        if self._beneath is None:
            self._unwritten = False

    def _time_writing(self) -> None:
        answer, transport = self._answer, self._transport
        if answer is not None and transport is not None:
            self._unwritten, self._taken = True, self._progress(transport)
            self._write_by = self.clock() + answer.ask.write
            self._home.watch(self)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            # Nobody has asked: it must not be taken for the answer to the next request.
            self.cut()
        elif self._left:
            self._counted(answer, data)
        elif answer.status or self._silent + len(data) <= MOST_HEAD:
            self._framed(answer, data)
        else:
            self._long(answer, data)

    def eof_received(self) -> None:
        answer = self._answer
        if answer is not None and self._ends_with_connection and not self._is_unsealed():
            self._whole, self._keeps = True, False
            self._arrived(answer, b"")
        else:
            self.broke("it was closed in the middle" if answer and answer.status else "it was closed without an answer")

    def _is_unsealed(self) -> bool:
        """Over TLS an end says so itself (close_notify); any other can be made by anybody on the way."""
        try:
            return self._tls is not None and bool(self._tls.read(1))
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLError:
            return False

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.broke(error)
        elif not self.closed:
            self.eof_received()
        self.cut()
        self._transport = None

    # What the parser says ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._whole:
            raise _Unfit("more than one answer")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._interim = True
            self._said.clear()
            if status < 100 or status == 101:
                raise _Unfit(f"the status {status}")
            return
        answer = self._answer
        if answer is None or len(self._said) > MOST_HEADERS:
            raise _Unfit(f"more than {MOST_HEADERS} headers")
        answer.headers = headers = {_NAMES[name]: value.decode("latin-1").strip() for name, value in self._said.items()}
        coding = headers.get("transfer-encoding")
        if coding is None:
            length = headers.get("content-length")
            self._ends_with_connection = length is None
            self._left = FOR_EVER if length is None else int(length)
        elif coding.lower() != "chunked":
            raise _Unfit("a transfer-encoding that is not understood")
        self._keeps = self._parser.should_keep_alive()
        answer.status = status
        if answer.ask.method == "HEAD":
            # The parser cannot be told that there is no body, whatever the head says of one.
            self._whole, self._keeps = True, False

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self._whole = True

    # Bytes into the answer --------------------------------------------------------------------------------------

    def _framed(self, answer: Incoming, data: bytes) -> None:
        """The head, and what comes in chunks: through the parser."""
        had_head, error = answer.status, None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as found:
            error = found
        content = self._content
        chunk = content[0] if len(content) == 1 else b"".join(content)
        content.clear()
        if answer.ask.method == "HEAD":
            chunk = b""
        if self._left:
            # Nothing is left to be parsed.
            self._left -= len(chunk)
        self._silent = 0 if chunk else self._silent + len(data)
        if error is not None:
            self._unfit(answer, chunk, error)
        elif self._silent > MOST_HEAD and not self._whole:
            self.broke(f"more than {MOST_HEAD} bytes of it are no content")
        elif chunk or self._whole or answer.status != had_head:
            self._arrived(answer, chunk)

    def _unfit(self, answer: Incoming, chunk: bytes, error: Exception) -> None:
        """1. What comes after the end costs the connection. 2. Before it, the answer: nobody guesses what was meant."""
        if self._whole:
            self._keeps = False
            self._arrived(answer, chunk)
            return
        if chunk and not self._deaf:
            answer._come.append(chunk)
        reason = error.__context__ if isinstance(error.__context__, _Unfit) else error
        # Not for a second try: it has said something, whatever that was.
        self._silent += 1
        self.broke(f"{NOT_HTTP}: {reason}")

    def _counted(self, answer: Incoming, data: bytes) -> None:
        """Content and nothing else, up to a length, or to the end of the connection."""
        self._left -= len(data)
        if self._left <= 0:
            if self._left < 0:
                data, self._keeps = data[: self._left], False
            self._whole = True
        self._arrived(answer, data)

    def _long(self, answer: Incoming, data: bytes) -> None:
        """A head must end within its limit; what else the read has brought may be content."""
        room = MOST_HEAD - self._silent
        self._surplus = True
        self._framed(answer, data[:room])
        self._surplus = False
        if self._answer is not answer:
            return
        if answer.status:
            self.data_received(data[room:])
        else:
            self.broke(f"a head of more than {MOST_HEAD} bytes")

    def _arrived(self, answer: Incoming, chunk: bytes) -> None:
        if chunk and not self._deaf:
            answer._come.append(chunk)
            answer._ahead += len(chunk)
        if self._whole:
            self._end(answer)
        elif answer._ahead > READ_AHEAD and not answer._full and self._transport is not None:
            answer._full = True
            self._transport.pause_reading()
        answer.wake()

    def _end(self, answer: Incoming) -> None:
        """The answer is whole: the connection is free, before anybody is told."""
        headers = answer.headers
        lasts = _lasting(headers["keep-alive"]) if "keep-alive" in headers else KEEPALIVE_EXPIRY
        if answer._full:
            answer._full = False
            self.read_on()
        self._over(b"")
        if self._keeps and lasts > 0 and not (self._surplus or self.closed or self._is_half_sent()):
            self._kept, self.expires = True, self.clock() + lasts
            self._home.keep(self)
        else:
            self.cut()

    def _is_half_sent(self) -> bool:
        """A request that the vendor has not read to its end would go on in the middle of the next one."""
        return self._unwritten and (self._beneath is None or _queued(self._socket) > 0)


def _queued(number: int) -> int:
    """Bytes that the peer's system has not acknowledged: https://man7.org/linux/man-pages/man7/tcp.7.html"""
    try:
        return int.from_bytes(fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):
        return 0


def _acknowledged(beneath: socket.socket) -> int:
    """Bytes that the peer's system has taken so far; where ours does not count them what is left, which changes too.

    ``tcpi_bytes_acked``: https://github.com/torvalds/linux/blob/v6.6/include/uapi/linux/tcp.h
    """
    try:
        told = beneath.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
        return int.from_bytes(told[120:128], sys.byteorder)
    except (AttributeError, OSError):
        return _queued(beneath.fileno())


def _lasting(hint: str) -> float:
    """Seconds a connection may be kept: a little less than its ``keep-alive`` header says, to be the first to go."""
    if re.search(r"\bmax\s*=\s*0\b", hint):
        return 0.0
    seconds = re.search(r"\btimeout\s*=\s*(\d{1,9})\b", hint)
    return min(KEEPALIVE_EXPIRY, int(seconds[1]) - 0.5) if seconds else KEEPALIVE_EXPIRY


class _Names(dict[bytes, str]):
    """Names of headers as they came -> in lower case; the first thousand, as vendors use a few dozen of them."""

    def __missing__(self, name: bytes) -> str:
        written = name.decode("latin-1").lower()
        if len(self) < 1000 and len(name) < 100:
            self[name] = written
        return written


_NAMES = _Names()
