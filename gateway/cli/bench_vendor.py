"""The vendor of ``skein bench``: fixed answers from memory, as cheaply as can be. Run as a program with a port."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterator

import uvloop

from gateway.cli.bench_cases import DRIP, FLOOD_EVENTS, PACED, anthropic_events, events, whole

FAILS_EVERY = 10


def answer(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\ncontent-type: application/json") -> bytes:
    return head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
WHOLE = answer(whole())
# All events in one write, or each in its own.
BURST = STREAM_HEAD + chunk(b"".join(events())) + END
STEPS = [STREAM_HEAD, *map(chunk, events()[:-1]), chunk(events()[-1]) + END]
FLOOD = STREAM_HEAD + b"".join(map(chunk, events("f" * 16_000, FLOOD_EVENTS))) + END
TRANSLATED = STREAM_HEAD + chunk(b"".join(anthropic_events())) + END
LISTING = answer(b'{"object":"list","data":[]}')
# To whoever brings spans: https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
TAKEN = answer(b"", b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf")

BY_PATH = {b"/v1/models": LISTING, b"/v1/traces": TAKEN, b"/v1/messages": TRANSLATED}
BY_MODEL = {b"burst": BURST, b"flood": FLOOD}

UNAVAILABLE = answer(b"", b"HTTP/1.1 503 Service Unavailable")
LIMITED = answer(b"", b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 0")
RESET, CUT_OFF = b"", b"cut off"
# Breaks off before any output: a whole answer in its middle, a stream after an event that says nothing yet.
CUT = {False: WHOLE[: len(WHOLE) // 2], True: b"".join(STEPS[:2])}


class Pace:
    """Streams of which each gets its next event with every tick: one timer for all of them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._streams: list[tuple[Vendor, Iterator[bytes]]] = []

    def add(self, vendor: Vendor) -> None:
        if not self._streams:
            loop = asyncio.get_running_loop()
            loop.call_later(self._seconds, self._tick, loop)
        self._streams.append((vendor, iter(STEPS)))

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._seconds
        self._streams = [each for each in self._streams if self._step(*each)]
        if self._streams:
            loop.call_at(due, self._tick, loop)

    @staticmethod
    def _step(vendor: Vendor, steps: Iterator[bytes]) -> bool:
        """False: there is nothing more to say."""
        if vendor.full:
            return True
        step = next(steps, None) if not vendor.transport.is_closing() else None
        if step is not None:
            vendor.transport.write(step)
        return step is not None


class Answers:
    """What the whole process shares."""

    def __init__(self) -> None:
        self.paces = {b"paced": Pace(PACED), b"drip": Pace(DRIP)}
        self._asked = itertools.count(1)
        self._faults = itertools.cycle((UNAVAILABLE, RESET, LIMITED, CUT_OFF))

    def failing(self, stream: bool) -> tuple[bytes, bool]:
        """What is sent, and whether the connection ends with it."""
        if next(self._asked) % FAILS_EVERY:
            return (BURST if stream else WHOLE), False
        fault = next(self._faults)
        return (CUT[stream], True) if fault is CUT_OFF else (fault, False)


class Vendor(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._buffer = b""
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head, begin = buffer[:end], end + 4
            length = length_of(head)
            if len(buffer) < begin + length:
                break
            self._answer(head, buffer[begin : begin + length])
            buffer = buffer[begin + length :]
        self._buffer = buffer

    def _answer(self, head: bytes, body: bytes) -> None:
        model = body[10 : body.find(b'"', 10)] if body.startswith(b'{"model":"') else b""
        if model == b"failing":
            self._fail(*self._answers.failing(b'"stream":true' in body))
        elif model == b"backup":
            self.transport.write(BURST if b'"stream":true' in body else WHOLE)
        elif (pace := self._answers.paces.get(model)) is not None:
            pace.add(self)
        else:
            path = head.split(b" ", 2)[1]
            self.transport.write(BY_PATH.get(path) or BY_MODEL.get(model, WHOLE))

    def _fail(self, said: bytes, closes: bool) -> None:
        if said is RESET:
            self.transport.abort()
            return
        self.transport.write(said)
        if closes:
            self.transport.close()


def length_of(head: bytes) -> int:
    """The content-length, 0 without one."""
    _, _, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0] or 0)


async def main(port: int) -> None:
    answers = Answers()
    server = await asyncio.get_running_loop().create_server(lambda: Vendor(answers), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
