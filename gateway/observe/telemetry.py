"""Puts events by as they happen and tells them to the sinks a moment later, in batches, off the requests' own time.

On the request path an event costs one append. Everything else (records, counters, spans, lines) is done here, some
milliseconds later, in slices that leave the event loop free between them. A sink that fails is counted, harms no other
sink, and never a request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from gateway import events
from gateway.observe.record import ADD, Record

# Seconds between an event and its telling.
PAUSE = 0.05
# Events told in one go: some milliseconds' work.
SLICE = 256
# Events that may wait. So many only pile up when the event loop itself stands still.
MOST_WAITING = 200_000

# An exchange's record is begun with the one and forgotten with the other.
_FIRST, _LAST = events.RequestReceived, events.ExchangeFinished

Later = Callable[[float, Callable[[], None]], object]
"""Calls a function in the event loop, after so many seconds."""


Take = Callable[[Any, Any], None]
"""Is told of an event, with the record of its exchange (None: of none)."""


class Sink(Protocol):
    """Where facts go: a ``Hearing`` or a ``Sorting``. Told of the events it wants, in order."""

    def settle(self) -> None:
        """A slice is over: what is written in batches is written now."""


class Hearing(Sink, Protocol):
    """A sink that takes all it hears the same way."""

    @property
    def hears(self) -> Collection[type[events.Event]]: ...

    def take(self, event: events.Event, record: Record | None, /) -> None: ...


class Sorting(Sink, Protocol):
    """A sink with a function for each kind of event: nothing has to be told apart any more."""

    @property
    def takes(self) -> Mapping[type[events.Event], Take]: ...


class _Way(NamedTuple):
    """Who is told of one kind of event: the sinks by name, and before them, where it is an exchange's, its record."""

    of_exchange: bool
    sinks: list[tuple[str, Take]]
    with_record: list[tuple[str, Take]]


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
        self._ways: dict[type[events.Event], _Way] = {}
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

    def listen(self, name: str, sink: Hearing | Sorting) -> None:
        """One more sink, told after the others."""
        self._sinks[name] = sink
        takes = sink.takes if hasattr(sink, "takes") else dict.fromkeys(sink.hears, sink.take)
        for kind, take in takes.items():
            way = self._way(kind)
            way.sinks.append((name, take))
            way.with_record.append((name, take))

    def _way(self, kind: type[events.Event]) -> _Way:
        way = self._ways.get(kind)
        if way is None:
            first = [("record", ADD[kind])] if kind in ADD else []
            way = self._ways[kind] = _Way(issubclass(kind, events.ExchangeEvent), [], first)
        return way

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
        waiting, ways, records = self._waiting, self._ways, self._records
        with self._lock:
            for _ in range(min(SLICE, len(waiting))):
                event: Any = waiting.popleft()
                kind = type(event)
                of_exchange, told, with_record = ways.get(kind) or self._way(kind)
                record = None
                if of_exchange and (span := event.span):
                    record, told = records.get(span), with_record
                    if kind is _FIRST:
                        record = records[span] = Record(id=event.exchange_id, span=span)
                    elif record is None:
                        # Its first event was lost: half a story is none.
                        self._lost("events", "queue_full", 1)
                        continue
                    elif kind is _LAST:
                        del records[span]
                for name, take in told:
                    try:
                        take(event, record)
                    except Exception as error:
                        self._crashed(name, event, error)
        for name, sink in self._sinks.items():
            try:
                sink.settle()
            except Exception as error:
                self._crashed(name, None, error)

    def _crashed(self, sink: str, event: events.Event | None, error: Exception) -> None:
        """Of the event only its kind is said, for it may hold content."""
        self._lost(sink, "crashed", 1)
        self._broken(sink, type(event).__name__, error)
