"""What the gateway is doing now and did just now, for the people who run it: requests, switches of model, targets.

All of it is in memory and bounded: the last ``KEPT`` exchanges, the last ``SWITCHES_KEPT`` switches, five minutes of
attempts per target. Of an exchange only facts are kept, never content: neither bodies nor texts nor the arguments of
tool calls. One costs about 2 KB, with three attempts 3 KB, with fifty judged tool calls of long names 50 KB.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway import events
from gateway.observe.lately import Lately
from gateway.observe.record import Record
from gateway.observe.sightings import Seen, detail, parts, row, seen_of, shown_switch, without_content
from gateway.observe.watching import Watcher
from gateway.routing import Target

KEPT = 2000
SWITCHES_KEPT = 500
MOST_WATCHERS = 16
# Exchanges under way that are shown; past that, the oldest are shown only once they have finished.
MOST_RUNNING = 2000
# Targets with numbers of their own; past that, the one that was called longest ago makes room.
MOST_TARGETS = 500


# An exchange of more parts than this is made compact at once; most are when somebody looks.
MOST_PARTS = 16


class Live:
    """A sink of ``Telemetry``, to be put after those that add to the record. All of it runs in the event loop.

    ``clock`` is epoch seconds; ``kept`` left out is ``KEPT``. ``before`` is called ahead of every look: it has told
    what is still waiting. ``content``: the operator lets telemetry carry what was said, so that a vendor's message is
    shown even where it may quote it; may be set anew at any time.
    """

    def __init__(self, clock: Callable[[], float], kept: int | None = None) -> None:
        self._clock, self.content = clock, False
        self.before: Callable[[], None] = lambda: None
        self._running: OrderedDict[int, Record] = OrderedDict()
        self._finished: deque[Seen | Record] = deque(maxlen=KEPT if kept is None else kept)
        self._fresh: list[Record] = []
        self._switches: deque[dict[str, Any]] = deque(maxlen=SWITCHES_KEPT)
        self._targets: OrderedDict[Target, Lately] = OrderedDict()
        self._watchers: set[Watcher] = set()
        self.takes: dict[type[events.Event], Callable[[Any, Any], None]] = {
            events.RequestReceived: self._begin,
            events.AttemptStarted: self._started,
            events.AttemptSucceeded: self._succeeded,
            events.AttemptFailed: self._failed,
            events.ExchangeFinished: self._end,
            events.BreakerMoved: self._breaker_moved,
        }

    # What happens

    def settle(self) -> None:
        """All sinks have seen what has finished: content is let go of."""
        for record in self._fresh:
            without_content(record)
        self._fresh.clear()

    def _breaker_moved(self, event: events.BreakerMoved, record: None) -> None:
        self._lately(event.target).moved = event

    def _begin(self, event: events.RequestReceived, record: Record) -> None:
        self._running[record.span] = record
        if len(self._running) > MOST_RUNNING:
            self._running.popitem(last=False)

    def _started(self, event: events.AttemptStarted, record: Record) -> None:
        if record.switches:
            self._tell_switches(record, event.number)

    def _succeeded(self, event: events.AttemptSucceeded, record: Record) -> None:
        self._lately(event.target).succeeded(event, record.tries[event.number - 1], record.stream)

    def _failed(self, event: events.AttemptFailed, record: Record) -> None:
        self._lately(event.target).failed(event, record.tries[event.number - 1], self.content)

    def _end(self, event: events.ExchangeFinished, record: Record) -> None:
        self._running.pop(record.span, None)
        if record.switches:
            self._tell_switches(record, None)
        if self._watchers or parts(record) > MOST_PARTS:
            seen = seen_of(record, self._clock(), self.content)
            self._finished.append(seen)
            wanting = [watcher for watcher in self._watchers if _fits(seen, watcher.filters)]
            if wanting:
                self._publish("request", row(seen), wanting)
        else:
            self._finished.append(record)
            self._fresh.append(record)

    def _tell_switches(self, record: Record, number: int | None) -> None:
        """Those of one attempt; or those that are known only at the end (None)."""
        for switch in record.switches:
            if (switch.number if switch.scope == "request" else None) != number:
                continue
            shown = shown_switch(switch, record)
            self._switches.append(shown)
            self._publish("switch", shown, self._watchers)

    def _publish(self, kind: str, fact: Mapping[str, Any], watchers: Iterable[Watcher]) -> None:
        for watcher in watchers:
            watcher.put(kind, fact)

    def _lately(self, target: Target) -> Lately:
        found = self._targets.get(target)
        if found is None:
            found = self._targets[target] = Lately()
            if len(self._targets) > MOST_TARGETS:
                self._targets.popitem(last=False)
        self._targets.move_to_end(target)
        return found

    # What can be seen

    def requests(self, filters: Mapping[str, Any], limit: int) -> list[dict[str, Any]]:
        """One row per exchange, newest first. ``filters``: some of ``FILTERS``, and all of them have to fit."""
        fitting = (seen for seen in self._seen() if _fits(seen, filters))
        return [row(seen) for seen in heapq.nlargest(limit, fitting, key=lambda seen: seen.began)]

    def request(self, id: str) -> dict[str, Any] | None:
        """Everything about one exchange. Of several with one id the newest, and how many there are (``same_id``)."""
        found = [seen for seen in self._seen() if seen.id == id]
        if not found:
            return None
        newest = max(found, key=lambda seen: seen.began)
        return {**detail(newest), "same_id": len(found)}

    def known(
        self, request_id: str | None, trace_id: str | None, caller: str | None = None
    ) -> tuple[str, str | None] | None:
        """The request id and trace id of the newest exchange that has what is given of both, and of its caller."""
        fitting = (
            seen
            for seen in self._seen()
            if caller in (None, seen.caller)
            and request_id in (None, seen.id)
            and trace_id in (None, seen.trace and seen.trace.trace_id)
        )
        newest = max(fitting, key=lambda seen: seen.began, default=None)
        return None if newest is None else (newest.id, newest.trace.trace_id if newest.trace else None)

    def switches(self) -> list[dict[str, Any]]:
        """Newest first."""
        self.before()
        return list(reversed(self._switches))

    def targets(self) -> dict[str, dict[str, Any]]:
        """``provider/model`` -> how its calls went in the last one and five minutes."""
        in_flight: dict[Target, int] = {}
        self.before()
        for record in self._running.values():
            for one in record.tries:
                if one.end is None:
                    in_flight[one.target] = in_flight.get(one.target, 0) + 1
        now = self._clock()
        known = dict.fromkeys((*self._targets, *in_flight))
        return {
            str(target): {"in_flight": in_flight.get(target, 0), **self._targets.get(target, Lately()).shown(now)}
            for target in known
        }

    def watch(self, filters: Mapping[str, Any]) -> Watcher | None:
        """Finished requests that fit, and every switch, from now on; None when too many watch already."""
        if len(self._watchers) >= MOST_WATCHERS:
            return None
        watcher = Watcher(filters, self._watchers.discard)
        self._watchers.add(watcher)
        return watcher

    def _seen(self) -> Iterable[Seen]:
        self.before()
        now = self._clock()
        if any(isinstance(each, Record) for each in self._finished):
            compact = (
                seen_of(each, now, self.content) if isinstance(each, Record) else each for each in self._finished
            )
            self._finished = deque(compact, maxlen=self._finished.maxlen)
        for each in self._finished:
            if isinstance(each, Seen):
                yield each
        for record in list(self._running.values()):
            yield seen_of(record, now, self.content)


def _models(seen: Seen) -> set[str]:
    """Every name a request's models go by."""
    return {seen.asked, seen.model, *(str(call.target) for call in seen.calls), *(c.target.model for c in seen.calls)}


FILTERS: dict[str, Callable[[Seen, Any], bool]] = {
    "outcome": lambda seen, wanted: (seen.outcome or "running") == wanted,
    "model": lambda seen, wanted: wanted in _models(seen),
    "provider": lambda seen, wanted: any(call.target.provider == wanted for call in seen.calls),
    "error_type": lambda seen, wanted: wanted in (seen.error_type, *(call.error_type for call in seen.calls)),
    "session": lambda seen, wanted: wanted in (seen.session, (seen.session or "").partition(":")[2]),
    "caller": lambda seen, wanted: seen.caller == wanted,
    "min_seconds": lambda seen, wanted: seen.seconds >= wanted,
    "tool": lambda seen, wanted: wanted in seen.tools_called or any(each.tool == wanted for each in seen.judged),
    "failed_over": lambda seen, wanted: (seen.failovers > 0) is wanted,
}
"""Name -> does an exchange fit a value. A session is found with the caller it is scoped by, and without."""


def _fits(seen: Seen, filters: Mapping[str, Any]) -> bool:
    return all(FILTERS[name](seen, wanted) for name, wanted in filters.items())
