"""All listeners of one process, put together: what is told to them, read from them, and how they come to an end."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from gateway import events
from gateway.observe import families
from gateway.observe.crashes import crash
from gateway.observe.effectiveness import Effectiveness, Scored
from gateway.observe.lines import Writer
from gateway.observe.live import Live
from gateway.observe.logs import Logs
from gateway.observe.metrics import Known, Metrics, Reading
from gateway.observe.page import serve, written
from gateway.observe.series import Book
from gateway.observe.sessions import Sessions
from gateway.observe.telemetry import Hearing, Sorting, Telemetry
from gateway.routing import Target

# A scrape waits so long for the event loop to tell what is waiting; past that it gets what is there.
SETTLE = 1.0
# A sink that crashes on everything is told of once in so many seconds.
CRASH_EVERY = 60.0
# One line says how much was lost in so many seconds.
LOSS_EVERY = 10.0


class Outlet(Protocol):
    """A way out of the process, with a queue."""

    @property
    def name(self) -> str: ...
    @property
    def waiting(self) -> int: ...
    def close(self, deadline: float, /) -> None:
        """Delivers what it can in so many seconds, and counts the rest as lost."""


class Logging(msgspec.Struct, frozen=True):
    """``out``: where lines go; None: standard error."""

    level: str = "info"
    format: str = "json"
    worker: int | None = None
    out: Any = None


class Observability:
    """``hear`` is the observer that the gateway emits to. ``clock``: epoch seconds that never jump."""

    def __init__(self, version: str, clock: Callable[[], float], logging: Logging | None = None) -> None:
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._outlets: list[Outlet] = []
        self._losses: dict[tuple[str, str], int] = {}
        self._losses_told = clock()
        self.known = Known(lambda model: False, lambda target: False)
        self.readings: Callable[[], Iterable[Reading]] = tuple
        self.book = Book()
        self.book.before = self._before
        self.metrics = Metrics(self.book, self._known, self._read, version)
        self.live = Live(clock)
        self.live.before = self.settle
        out = logging.out if logging else None
        self._writer = Writer(out, lost=lambda count: self.lost("logs", "not_written", count))
        self.logs = Logs(logging.level, logging.format, self._writer, version, logging.worker) if logging else None
        self._telemetry = Telemetry(self._later, self.lost, self.book.lock, self._crashed)
        # The method, not the object: half as long a way to it.
        self.hear: events.Observer = self._telemetry.__call__
        self.learned: Callable[[Target, str, float, float], None] | None = None
        """Told of every answer's score: who answered, what kind of work, the score, when (epoch seconds)."""
        self._crashes: dict[tuple[str, str], float] = {}
        # First what adds to the record, then what reads it.
        self.sessions = Sessions()
        self.add("sessions", self.sessions)
        self.add("effectiveness", Effectiveness(self._scored))
        self.add("metrics", self.metrics)
        self.add("live", self.live)
        if self.logs:
            self.add("logs", self.logs)
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self.book)

    def add(self, name: str, sink: Hearing | Sorting, *outlets: Outlet) -> None:
        """One more sink, told after those that are there, and the ways out it uses."""
        self._telemetry.listen(name, sink)
        for outlet in outlets:
            self.add_outlet(outlet)

    def add_outlet(self, outlet: Outlet) -> None:
        """A way out that is emptied at the end, and whose losses are there at 0 from the start."""
        self._outlets.append(outlet)
        self.metrics.expect_outlet(outlet.name)

    def settle(self) -> None:
        """Tells all that waits. In the event loop."""
        self._telemetry.settle()

    def _scored(self, scored: Scored) -> None:
        self.metrics.effective(scored)
        if self.logs:
            self.logs.effective(scored)
        if self.learned:
            self.learned(scored.target, scored.task, scored.score, scored.at)

    # Metrics

    async def page(self, accept: str) -> tuple[bytes, str]:
        """The page of metrics and its content type, written in a thread: it takes its time."""
        return await asyncio.to_thread(self.render, accept)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Not in the event loop."""
        return written(self._registry, accept)

    def listen(self, host: str, port: int) -> int:
        """Serves the page on a port of its own, from a thread. Returns the port. Raises ``OSError``."""
        return serve(self._registry, host, port)

    def _before(self) -> None:
        """Ahead of a page: what waits is counted first, in the event loop, if that has not stopped."""
        if self._loop is None or self._loop.is_closed() or threading.get_ident() == self._thread:
            self._look()
            return
        looked = threading.Event()

        def look() -> None:
            self._look()
            looked.set()

        self._loop.call_soon_threadsafe(look)
        looked.wait(SETTLE)

    def _look(self) -> None:
        self.settle()
        self.metrics.read()

    def _known(self) -> Known:
        return self.known

    def _read(self) -> Iterable[Reading]:
        yield from self.readings()
        yield Reading(families.QUEUE_DEPTH, ("events",), self._telemetry.waiting)
        if self.logs:
            yield Reading(families.QUEUE_DEPTH, ("logs",), self._writer.waiting)
        for outlet in self._outlets:
            yield Reading(families.QUEUE_DEPTH, (outlet.name,), outlet.waiting)

    # Losses

    def lost(self, sink: str, reason: str, count: int) -> None:
        """Counts what will never be told. From any thread."""
        self.metrics.lost(sink, reason, count)
        if self.logs is None:
            return
        key, now = (sink, reason), self._clock()
        with self.book.lock:
            self._losses[key] = self._losses.get(key, 0) + count
            if now - self._losses_told < LOSS_EVERY:
                return
        self._tell_losses(now)

    def _crashed(self, sink: str, event: str, error: Exception) -> None:
        """A defect of ours: where it is, once in a while, and without the error's words, which may quote content."""
        key, now = (sink, type(error).__name__), self._clock()
        if now - self._crashes.get(key, -CRASH_EVERY) >= CRASH_EVERY:
            self._crashes[key] = now
            kind, frames = crash("".join(traceback.format_exception(error)))
            told = {"sink": sink, "on": event, "exception": kind, "traceback": frames}
            self.say("error", "telemetry.crashed", told)

    def _tell_losses(self, now: float) -> None:
        with self.book.lock:
            losses, self._losses, self._losses_told = self._losses, {}, now
        for (sink, reason), count in losses.items():
            self.say("warning", "telemetry.dropped", {"sink": sink, "reason": reason, "count": count})

    def say(self, level: str, name: str, fields: Mapping[str, Any]) -> None:
        """A line of telemetry about itself. From any thread."""
        if self.logs:
            self.logs.say(level, name, dict(fields), self._clock())

    # The end

    def close(self, deadline: float) -> None:
        """Delivers what can be delivered in so many seconds. Not in the event loop."""
        ends = time.monotonic() + deadline
        closing = [
            threading.Thread(target=outlet.close, args=(deadline * 0.8,), daemon=True) for outlet in self._outlets
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(max(0.0, ends - time.monotonic()))
        self._tell_losses(self._clock())
        self._writer.close(max(0.1, ends - time.monotonic()))

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        """In the event loop; at once where there is none (yet, or any more)."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            act()
            return
        self._loop, self._thread = loop, threading.get_ident()
        loop.call_later(seconds, act)
