"""Puts events by as they happen and tells them to the sinks a moment later, in batches, off the requests' own time.

On the request path an event costs one append. Everything else (records, counters, spans, lines) is done here, some
milliseconds later, in slices that leave the event loop free between them. A sink that fails is counted, harms no other
sink, and never a request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any, Protocol

from gateway import events
from gateway.observe.record import Record

# Seconds between an event and its telling.
PAUSE = 0.05
# Events told in one go: some milliseconds' work.
SLICE = 256
# Events that may wait. So many only pile up when the event loop itself stands still.
MOST_WAITING = 200_000

Later = Callable[[float, Callable[[], None]], object]
"""Calls a function in the event loop, after so many seconds."""


Take = Callable[[Any, Record | None], None]


class Sink(Protocol):
    """Where facts go. Told of the events it hears, in order, with the record of their exchange (None: of none)."""

    @property
    def hears(self) -> Collection[type[events.Event]]: ...

    def take(self, event: events.Event, record: Record | None, /) -> None: ...

    def settle(self) -> None:
        """A slice is over: what is written in batches is written now."""


class Telemetry:
    """The observer. ``settle`` tells all that waits, at once: before a scrape, and at the end.

    ``lost(sink, reason, count)`` hears of what could not be told.
    """

    def __init__(
        self,
        later: Later,
        lost: Callable[[str, str, int], None],
        lock: AbstractContextManager[Any],
        broken: Callable[[str, str, Exception], None] = lambda sink, event, error: None,
    ) -> None:
        """``lock`` is held while a slice is told. ``broken(sink, kind of event, error)`` hears of defects of ours."""
        self._later, self._lost, self._lock, self._broken = later, lost, lock, broken
        self._sinks: dict[str, Sink] = {}
        self._hearing: dict[type[events.Event], list[tuple[str, Take]]] = {}
        self._waiting: deque[events.Event] = deque()
        self._records: dict[int, Record] = {}
        # Exchanges, by their span, of which an event was lost: what follows would not fit what came before.
        self._torn: set[int] = set()
        self._scheduled = False

    def __call__(self, event: events.Event) -> None:
        if (self._torn or len(self._waiting) >= MOST_WAITING) and self._refused(event):
            self._lost("events", "queue_full", 1)
            return
        self._waiting.append(event)
        if not self._scheduled:
            self._scheduled = True
            self._later(PAUSE, self._tell)

    def _refused(self, event: events.Event) -> bool:
        """The end of an exchange is let in: without it, what is kept of the exchange would be kept for ever."""
        span = event.span if isinstance(event, events.ExchangeEvent) else 0
        if span and type(event) is events.ExchangeFinished:
            self._torn.discard(span)
            return False
        if span not in self._torn and len(self._waiting) < MOST_WAITING:
            return False
        if span:
            self._torn.add(span)
        return True

    def listen(self, name: str, sink: Sink) -> None:
        """One more sink, told after the others."""
        self._sinks[name] = sink
        for kind in sink.hears:
            self._hearing.setdefault(kind, []).append((name, sink.take))

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def settle(self) -> None:
        while self._waiting:
            self._slice()

    def _tell(self) -> None:
        self._slice()
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            self._later(0.0, self._tell)

    def _slice(self) -> None:
        waiting, hearing = self._waiting, self._hearing
        with self._lock:
            for _ in range(min(SLICE, len(waiting))):
                event = waiting.popleft()
                record = None
                if isinstance(event, events.ExchangeEvent) and event.span:
                    record = self._record(event)
                    if record is None:
                        # Its first event was lost: half a story is none.
                        self._lost("events", "queue_full", 1)
                        continue
                for name, take in hearing.get(type(event), ()):
                    try:
                        take(event, record)
                    except Exception as error:
                        self._crashed(name, event, error)
        for name, sink in self._sinks.items():
            try:
                sink.settle()
            except Exception as error:
                self._crashed(name, None, error)

    def _record(self, event: events.ExchangeEvent) -> Record | None:
        """The exchange's record with the event in it: begun with its first event, forgotten with its last."""
        record = self._records.get(event.span)
        if record is None:
            if type(event) is not events.RequestReceived:
                return None
            record = self._records[event.span] = Record(id=event.exchange_id, span=event.span)
        try:
            record.take(event)
        except Exception as error:
            self._crashed("record", event, error)
        if type(event) is events.ExchangeFinished:
            del self._records[event.span]
        return record

    def _crashed(self, sink: str, event: events.Event | None, error: Exception) -> None:
        """Of the event only its kind is said, for it may hold content."""
        self._lost(sink, "crashed", 1)
        self._broken(sink, type(event).__name__, error)
