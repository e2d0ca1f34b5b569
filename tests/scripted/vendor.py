"""The scripted vendor itself: an HTTP/1.1 server on a loopback socket that plays steps, records and counts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar, cast
from urllib.parse import unquote

from . import openai_shapes, wire
from .received import Aborted, Outcome, Received
from .steps import Answer, Status, Step, StepValue, called

Result = TypeVar("Result")
Clock = Callable[[], float]
CORRECT = Answer()
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ScriptedVendor:
    """Plays a script, one step per call, and remembers every call.

    What a call gets, first that says: ``decide(call)``, ``on_model``, the ``script``, ``otherwise``. Calls are every
    request but those for the listing, which is answered from ``models`` (or as ``listing`` says) and uses up no step.
    Use it as an async context manager, or ``with ScriptedVendor.in_thread() as vendor`` from anywhere. Everything but
    ``go_away`` and ``come_back`` may be used from any thread; for those two there is ``run``.
    """

    def __init__(
        self,
        *,
        otherwise: Step = CORRECT,
        models: tuple[str, ...] = ("gpt-4.1", "gpt-4.1-mini"),
        port: int = 0,
        host: str = "127.0.0.1",
        keep: int | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.otherwise = otherwise
        self.models = models
        self.listing: Step | None = None
        self.decide: Callable[[Received], Step | None] | None = None
        self.on_finished: Callable[[Received], None] | None = None
        self.host, self.port, self.keep, self.clock = host, port, keep, clock
        self.received: list[Received] = []
        self.listed: list[Received] = []
        self.aborted: list[Aborted] = []
        self.counts_by_step: Counter[str] = Counter()
        self.outcomes: Counter[Outcome] = Counter()
        self.count = 0
        self.connections_made = 0
        self.requests_cut = 0
        self.errors: list[Exception] = []
        self._last_number = 0
        self._steps: deque[Step] = deque()
        self._by_model: dict[str, Step] = {}
        self._connections: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._returning: asyncio.Task[None] | None = None

    # --- what to play

    def script(self, *steps: Step) -> None:
        """Play these, one per call, then ``otherwise``. What was left of an earlier script is dropped."""
        self._steps = deque(steps)

    def on_model(self, name: str, step: Step) -> None:
        """Play this (or what it says) for every call that asks for the model."""
        self._by_model[name] = step

    @property
    def left(self) -> int:
        """How many steps of the script are still to come."""
        return len(self._steps)

    def step_for(self, call: Received) -> StepValue:
        step = (self.decide and self.decide(call)) or self._by_model.get(call.model)
        step = step or (self._steps.popleft() if self._steps else self.otherwise)
        return _value(step, call)

    # --- what can be seen

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    @property
    def listening(self) -> bool:
        return self._server is not None

    @property
    def playing(self) -> int:
        """How many calls are being answered right now."""
        return self.count - sum(self.outcomes.values())

    def forget(self) -> None:
        """Empty the records and counts; the script stays. Calls still being played keep their numbers."""
        playing = [call for call in self.received if call.outcome == "playing"]
        self.received[:] = playing
        self.count = len(playing)
        for records in (self.listed, self.aborted, self.errors):
            records.clear()
        self.counts_by_step.clear()
        self.outcomes.clear()

    async def wait_for(self, claim: Callable[[ScriptedVendor], object], within: float = 20.0) -> None:
        """Return as soon as the claim holds; ``AssertionError`` with what was seen if it does not in time."""
        deadline = time.monotonic() + within
        while not claim(self):
            self._check(deadline, within)
            await asyncio.sleep(0.001)

    def wait_until(self, claim: Callable[[ScriptedVendor], object], within: float = 20.0) -> None:
        """``wait_for``, for tests that are not async (and not on the vendor's own thread)."""
        deadline = time.monotonic() + within
        while not claim(self):
            self._check(deadline, within)
            time.sleep(0.001)

    def summary(self) -> str:
        calls = "; ".join(f"#{call.number} {call.step} {call.outcome} ({call.phase})" for call in self.received[-8:])
        return f"{self.count} calls, {dict(self.counts_by_step)}, {self.open_connections} connections; last: {calls}"

    def _check(self, deadline: float, within: float) -> None:
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {self.summary()}")

    # --- coming and going

    async def __aenter__(self) -> ScriptedVendor:
        self._loop = asyncio.get_running_loop()
        await self.come_back()
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._returning:
            self._returning.cancel()
        await self.go_away()
        for _ in range(2):  # a cancelled task needs one turn to end, a lost connection one to be told
            await asyncio.sleep(0)
        if self.errors:
            raise self.errors[0]

    @classmethod
    @contextlib.contextmanager
    def in_thread(cls, **settings: Any) -> Iterator[ScriptedVendor]:
        """The vendor on an event loop of its own, in a daemon thread."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="scripted-vendor", daemon=True)
        thread.start()
        vendor = cls(**settings)
        vendor._loop = loop
        try:
            vendor.run(vendor.__aenter__())
            try:
                yield vendor
            finally:
                vendor.run(vendor.__aexit__())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5.0)
            loop.close()

    def run(self, work: Coroutine[Any, Any, Result], within: float = 20.0) -> Result:
        """``vendor.run(vendor.go_away())``: do it on the vendor's loop, from another thread."""
        assert self._loop is not None, "the vendor has not been started"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within)

    async def come_back(self) -> None:
        """Listen (again), on the same port."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Connection(self, loop), self.host, self.port, backlog=1024)
            self.port = self._server.sockets[0].getsockname()[1]

    async def go_away(self) -> None:
        """Refuse new connections and reset those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.end(reset=True)

    async def vanish(self, seconds: float | None) -> None:
        await self.go_away()
        if self._returning:
            self._returning.cancel()
        if seconds is not None:
            self._returning = asyncio.create_task(self._return(seconds))

    async def _return(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.come_back()

    # --- told by connections

    def opened(self, connection: Connection) -> int:
        self._connections.add(connection)
        self.connections_made += 1
        return self.connections_made

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def admit(self, call: Received) -> StepValue:
        """Record the call and say what to play for it."""
        if call.operation == "models" and call.method != "POST":
            self.listed.append(call)
            return _value(self.listing, call) if self.listing else self._listing(call)
        self.count += 1
        self._last_number += 1
        call.number = self._last_number
        self.received.append(call)
        if self.keep is not None:
            del self.received[: -self.keep]
        if call.method != "POST":
            return Status(404, openai_shapes.no_such_path(call))
        return self.step_for(call)

    def over(self, call: Received, outcome: Outcome) -> None:
        """A call has ended; the first to say so is right."""
        if call.outcome != "playing":
            return
        call.outcome = outcome
        now = self.clock()
        if outcome == "aborted":
            call.aborted = now
            self.aborted.append(Aborted(call, call.phase, now, now - call.began))
        else:
            call.finished = now
        if call.number:
            self.outcomes[outcome] += 1
        if self.on_finished:
            self.on_finished(call)

    def _listing(self, call: Received) -> Status:
        _, _, name = unquote(call.path).rstrip("/").partition("/models/")
        if not name:
            return Status(200, openai_shapes.listing(list(self.models)))
        return Status(200, openai_shapes.model(name)) if name in self.models else Status(404)


class Connection(asyncio.Protocol):
    """One connection: reads requests one after the other and performs what is to be done for each."""

    def __init__(self, vendor: ScriptedVendor, loop: asyncio.AbstractEventLoop) -> None:
        self.vendor, self.loop = vendor, loop
        self.buffer = bytearray()
        self.call: Received | None = None
        self.stale = False
        self.requests = 0
        self.arrived = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    # --- what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)
        self.number = self.vendor.opened(self)
        self.task = self.loop.create_task(self.serve())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.arrived.set()

    def eof_received(self) -> None:
        self.lost()  # said here already: with bytes unsent, the connection would only be lost after them

    def connection_lost(self, error: Exception | None) -> None:
        self.lost()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def lost(self) -> None:
        """The client has gone: note it at once, and stop whatever is being played. May be called twice."""
        if self.call is not None:
            self.vendor.over(self.call, "aborted")
        elif self.buffer:
            self.vendor.requests_cut += 1
            self.buffer.clear()
        self.drop()

    # --- leaving

    def end(self, reset: bool, outcome: Outcome = "stopped") -> None:
        """Leave, by RST or by FIN."""
        if self.call is not None:
            self.vendor.over(self.call, outcome)
        if reset:
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.transport.abort()
        self.drop()

    def drop(self) -> None:
        self.vendor.closed(self)
        self.transport.close()
        if self.task is not asyncio.current_task(self.loop):
            self.task.cancel()

    # --- serving

    async def serve(self) -> None:
        try:
            while await self.serve_one():
                pass
        except Exception as error:  # no fault that was meant: it is raised when the vendor is left
            self.vendor.errors.append(error)
            self.end(reset=True)

    async def serve_one(self) -> bool:
        """Read one request and play its step; whether the connection may be used again."""
        call = await self.read()
        if self.stale:
            self.vendor.counts_by_step["stale"] += 1
            self.end(reset=False)
            return False
        self.call = call
        step = self.vendor.admit(call)
        call.step = called(step)
        return await self.perform(wire.actions(step, call), call)

    async def perform(self, actions: list[wire.Action], call: Received) -> bool:
        reached = False
        for action in actions:
            match action:
                case wire.Send(data, phase, status):
                    await self.send(data, call)
                    call.phase = phase or call.phase
                    call.status = status or call.status
                case wire.Pause(seconds):
                    await (asyncio.Event().wait() if seconds is None else asyncio.sleep(seconds))
                case wire.Reached(name):
                    self.vendor.counts_by_step[name] += not reached
                    reached = True
                case wire.Cut(reset):
                    self.end(reset, "cut")
                    return False
                case wire.Vanish(seconds):
                    self.vendor.over(call, "cut")
                    await self.vendor.vanish(seconds)  # ends this connection too
                    return False
                case wire.End(connection):
                    return self.finish(call, connection)
        raise AssertionError("a plan without an end")

    def finish(self, call: Received, connection: str) -> bool:
        self.vendor.over(call, "answered")
        self.call = None
        self.stale = connection == "stale"
        if connection in ("close", "drop") or call.headers.get("connection", "").lower() == "close":
            self.end(reset=False)
            return False
        return True

    async def send(self, data: bytes, call: Received) -> None:
        await asyncio.sleep(
            0
        )  # a reader on this loop sees each write by itself; the last is followed by no turn to leave
        self.transport.write(data)
        await self.writable.wait()
        call.sent += len(data)

    # --- reading

    async def read(self) -> Received:
        head = await self.until(b"\r\n\r\n")
        request, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = request.split(" ", 2)
        pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]
        headers = {name.lower(): value for name, value in pairs}
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = await self.chunks()
        else:
            body = await self.exactly(int(headers.get("content-length", 0)))
        self.requests += 1
        return Received(self.number, self.requests, method, target, pairs, body, self.vendor.clock())

    async def chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int((await self.until(b"\r\n")).split(b";")[0], 16):
            parts.append((await self.exactly(size + 2))[:size])
        while await self.until(b"\r\n"):  # trailers
            pass
        return b"".join(parts)

    async def until(self, ending: bytes) -> bytes:
        while (place := self.buffer.find(ending)) < 0:
            await self.more()
        return self.take(place, len(ending))

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self.more()
        return self.take(size)

    async def more(self) -> None:
        self.arrived.clear()
        await self.arrived.wait()

    def take(self, size: int, ending: int = 0) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[: size + ending]
        return taken


def _value(step: Step, call: Received) -> StepValue:
    while not isinstance(step, StepValue):
        step = step(call)
    return step
