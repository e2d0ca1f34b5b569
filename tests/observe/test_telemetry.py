"""The way from an event to the sinks: all of them, in order, in slices, and what happens when something is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pytest

from gateway import events
from gateway.observe import telemetry as module
from gateway.observe.effectiveness import Effectiveness
from gateway.observe.families import IN_FLIGHT as FLIGHT
from gateway.observe.live import Live
from gateway.observe.logs import LOUDEST, Logs
from gateway.observe.metrics import Known, Metrics
from gateway.observe.otel_metrics import OtelMetrics
from gateway.observe.record import Record
from gateway.observe.series import Book
from gateway.observe.sessions import Sessions
from gateway.observe.telemetry import PAUSE, SLICE, Telemetry
from gateway.observe.traces import Traces
from tests.observe.told import BEGAN, BUSY, CLAUDE, Tale, failover, kinds

Heard = tuple[str, str, int | None]


class Lock(AbstractContextManager[Any]):
    held = False

    def __enter__(self) -> None:
        assert not self.held
        self.held = True

    def __exit__(self, *error: object) -> None:
        self.held = False


class Loop:
    """An event loop by hand: what was asked for later, and when."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, act: Callable[[], None]) -> None:
        self.asked.append((seconds, act))

    def turn(self) -> float:
        ((seconds, act),) = self.asked
        self.asked = []
        act()
        return seconds


class Ear:
    """A sink that writes down what it was told; ``fails`` on some of it."""

    def __init__(self, heard: list[Heard], name: str, hears: Sequence[type[events.Event]], fails: str = "") -> None:
        self.heard, self.name, self.hears, self.fails = heard, name, hears, fails
        self.records: list[Record | None] = []
        self.settled = 0

    def take(self, event: events.Event, record: Record | None) -> None:
        if self.fails == "take":
            raise RuntimeError("the body's words")
        self.heard.append((self.name, type(event).__name__, record and record.span))
        self.records.append(record)

    def settle(self) -> None:
        self.settled += 1
        if self.fails == "settle":
            raise RuntimeError("the body's words")


class Stage:
    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None, most: int | None = None) -> None:
        self.loop, self.lock, self.lost = Loop(), Lock(), list[tuple[str, str, int]]()
        self.broken: list[Any] = []
        self.telemetry = Telemetry(
            self.loop, lambda *lost: self.lost.append(lost), self.lock, lambda *broken: self.broken.append(broken)
        )
        self.heard: list[Heard] = []
        if monkeypatch and most:
            monkeypatch.setattr(module, "MOST_WAITING", most)

    def ear(self, name: str, hears: Sequence[type[events.Event]] | None = None, fails: str = "") -> Ear:
        ear = Ear(self.heard, name, ALL if hears is None else hears, fails)
        self.telemetry.listen(name, ear)
        return ear

    def tell(self, happened: Sequence[events.Event]) -> None:
        for event in happened:
            self.telemetry(event)


ALL = tuple(kinds())


def started(number: int) -> events.LoopLooked:
    return events.LoopLooked(at=BEGAN + number, late=0.0)


def test_nothing_is_done_while_a_request_waits():
    stage = Stage()
    stage.ear("a")
    stage.tell(failover())
    assert stage.heard == []
    assert stage.telemetry.waiting == len(failover())
    assert [seconds for seconds, _ in stage.loop.asked] == [PAUSE], "asked for once, whatever else happens"


def test_each_sink_hears_what_it_wants_in_the_order_it_happened():
    stage = Stage()
    stage.ear("first")
    stage.ear("some", [events.AttemptFailed, events.ExchangeFinished])
    stage.ear("nothing", [])
    stage.tell([*failover(7), started(1)])
    stage.loop.turn()
    names = [type(event).__name__ for event in failover()]
    assert [told for told in stage.heard if told[0] == "first"] == [
        *(("first", name, 7) for name in names),
        ("first", "LoopLooked", None),
    ]
    assert [told[1] for told in stage.heard if told[0] == "some"] == ["AttemptFailed"] * 2 + ["ExchangeFinished"]
    # One event is told to all before the next one is told.
    end = stage.heard.index(("first", "ExchangeFinished", 7))
    assert stage.heard[end + 1] == ("some", "ExchangeFinished", 7)


def test_a_record_is_as_old_as_the_event_it_comes_with():
    stage = Stage()
    outcomes: list[str | None] = []

    class Reader(Ear):
        def take(self, event: events.Event, record: Record | None) -> None:
            assert stage.lock.held
            outcomes.append(record.outcome if record else None)

    stage.telemetry.listen("reader", Reader([], "reader", ALL))
    stage.tell(failover())
    stage.loop.turn()
    assert outcomes == [None] * (len(failover()) - 1) + ["ok"]


def test_exchanges_side_by_side_have_records_of_their_own():
    stage = Stage()
    ear = stage.ear("a")
    one, other = failover(1), Tale(2).asked().attempt().failed(BUSY).finished("error", 503, fault=BUSY).events
    both = [event for pair in zip(one, other, strict=False) for event in pair] + one[len(other) :]
    stage.tell(both)
    stage.loop.turn()
    assert [record and record.span for record in ear.records] == [event.span for event in both]
    last = {record.span: record for record in ear.records if record}
    assert {span: (record.outcome, len(record.tries)) for span, record in last.items()} == {
        1: ("ok", 3),
        2: ("error", 1),
    }
    assert stage.telemetry._records == {}


def test_a_slice_at_a_time():
    stage = Stage()
    ear = stage.ear("a")
    stage.tell([started(number) for number in range(2 * SLICE + 1)])
    steps = []
    while stage.loop.asked:
        pause = stage.loop.turn()
        steps.append((pause, len(ear.records), ear.settled))
    assert steps == [(PAUSE, SLICE, 1), (0.0, 2 * SLICE, 2), (0.0, 2 * SLICE + 1, 3)]
    # The next event waits for a moment of its own.
    stage.tell([started(0)])
    assert stage.loop.turn() == PAUSE


def test_settle_tells_all_at_once():
    stage = Stage()
    ear = stage.ear("a")
    stage.tell([started(number) for number in range(2 * SLICE + 1)])
    stage.telemetry.settle()
    assert (len(ear.records), stage.telemetry.waiting) == (2 * SLICE + 1, 0)
    # What had been asked for finds nothing to do, and does not ask again.
    assert stage.loop.turn() == PAUSE
    assert stage.loop.asked == []
    stage.tell([started(0)])
    assert stage.loop.turn() == PAUSE
    assert len(ear.records) == 2 * SLICE + 2


def test_where_there_is_no_loop_all_is_told_at_once():
    heard: list[Heard] = []
    telemetry = Telemetry(lambda seconds, act: act(), lambda *lost: None, Lock())
    telemetry.listen("a", Ear(heard, "a", ALL))
    for event in failover():
        telemetry(event)
    assert [told[1] for told in heard] == [type(event).__name__ for event in failover()]


@pytest.mark.parametrize("fails", ["take", "settle"])
def test_a_sink_that_fails_is_counted_and_harms_nobody(fails: str):
    stage = Stage()
    before, bad, after = stage.ear("before"), stage.ear("bad", fails=fails), stage.ear("after")
    stage.tell(failover())
    stage.loop.turn()
    assert len(before.records) == len(after.records) == len(failover())
    assert before.settled == after.settled == bad.settled == 1
    times = len(failover()) if fails == "take" else 1
    assert stage.lost == [("bad", "crashed", 1)] * times
    assert {sink for sink, _, _ in stage.broken} == {"bad"}
    assert stage.telemetry._records == {}
    # And goes on being told.
    stage.tell(failover())
    stage.loop.turn()
    assert len(stage.lost) == 2 * times


def test_what_cannot_be_added_to_a_record_is_counted():
    stage = Stage()
    ear = stage.ear("a")
    tale = Tale(3).asked()
    never_started = Tale(3).attempt().failed(BUSY).events[-1]
    stage.tell([*tale.events, never_started, *tale.finished("error", 503, fault=BUSY).events[-1:]])
    stage.loop.turn()
    assert stage.lost == [("record", "crashed", 1)]
    assert ear.records[-1].outcome == "error"
    assert stage.telemetry._records == {}


# Too much -----------------------------------------------------------------------------------------------------------


def test_what_is_too_much_is_counted(monkeypatch: pytest.MonkeyPatch):
    stage = Stage(monkeypatch, most=10)
    ear = stage.ear("a")
    stage.tell([started(number) for number in range(25)])
    assert stage.lost == [("events", "queue_full", 1)] * 15
    stage.loop.turn()
    assert ear.records == [None] * 10
    stage.tell([started(0)])
    assert len(stage.lost) == 15, "there is room again"


def test_an_exchange_whose_first_event_was_lost_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch):
    stage = Stage(monkeypatch, most=1)
    ear = stage.ear("a")
    happened = failover(5)
    stage.tell([started(0), *happened[:3]])
    stage.loop.turn()
    for event in happened[3:]:
        stage.tell([event])
        stage.telemetry.settle()
    assert [told[1] for told in stage.heard] == ["LoopLooked"]
    assert stage.lost == [("events", "queue_full", 1)] * len(happened), "each of its events, once"
    assert (stage.telemetry._records, stage.telemetry._torn) == ({}, set())
    assert ear.records == [None]


@pytest.mark.parametrize("room", range(1, 11))
def test_an_exchange_that_was_begun_is_ended_though_there_is_no_room(room: int, monkeypatch: pytest.MonkeyPatch):
    """All sinks at work: nothing fails on a story with a gap, and nobody keeps it for ever."""
    stage = Stage(monkeypatch, most=room)
    happened = failover(5)
    assert room < len(happened)
    metrics, live = real_sinks(stage)
    for event in happened[:-2]:
        stage.telemetry(event)
    told = stage.telemetry.waiting
    # There would be room again: but what follows would not fit what came before.
    stage.telemetry.settle()
    for event in happened[-2:]:
        stage.telemetry(event)
    stage.telemetry.settle()
    gap = room < len(happened) - 2
    assert told == min(room, len(happened) - 2)
    assert stage.lost == [("events", "queue_full", 1)] * (len(happened) - 1 - told if gap else 0)
    assert (stage.telemetry._records, stage.telemetry._torn) == ({}, set())
    assert metrics.book.numbers(FLIGHT).values == {("/v1/chat/completions",): 0}
    (row,) = live.requests({}, 10)
    assert (row["state"], row["outcome"]) == ("finished", "ok")


def real_sinks(stage: Stage) -> tuple[Metrics, Live]:
    class Paper:
        def put(self, lines: list[str]) -> None: ...

    known = Known(lambda model: True, lambda target: True)
    metrics = Metrics(Book(), lambda: known, tuple, "1")
    live = Live(lambda: BEGAN)
    for name, sink in (
        ("sessions", Sessions()),
        ("metrics", metrics),
        ("live", live),
        ("logs", Logs("debug", "json", Paper(), "1")),
    ):
        stage.telemetry.listen(name, sink)
    return metrics, live


def test_events_of_no_exchange_have_no_record():
    stage = Stage()
    ear = stage.ear("a")
    stage.tell(
        [
            events.RequestTurnedAway(at=BEGAN, exchange_id="r", code="foreign_request"),
            events.BreakerMoved(at=BEGAN, target=CLAUDE, before="closed", after="open"),
        ]
    )
    stage.loop.turn()
    assert (ear.records, stage.lost) == ([None, None], [])


# Who hears what ------------------------------------------------------------------------------------------------------

SINKS: dict[str, Collection[type[events.Event]]] = {
    "sessions": Sessions().takes,
    "effectiveness": Effectiveness(print).takes,
    "metrics": Metrics(Book(), lambda: Known(bool, bool), tuple, "1").takes,
    "live": Live(lambda: BEGAN).takes,
    "logs": LOUDEST,
    "traces": Traces.hears,
    "otel": OtelMetrics.hears,
}

# Every event, and the sinks that are told of it. Whoever adds an event decides here who is to hear of it: whoever is
# told of an exchange's later events has its earlier ones in the record.
HEARD: dict[type[events.Event], str] = {
    events.RequestReceived: "metrics live",
    events.RequestUnderstood: "sessions effectiveness metrics logs",
    events.StrategyCrashed: "logs",
    events.PlanMade: "effectiveness metrics logs",
    events.AttemptStarted: "sessions metrics live",
    events.RequestReduced: "metrics",
    events.ToolCallsRepaired: "metrics logs",
    events.InterpreterAnswered: "metrics logs",
    events.OutputStarted: "metrics",
    events.AttemptSucceeded: "metrics live logs",
    events.AttemptFailed: "metrics live logs",
    events.AttemptAbandoned: "metrics logs",
    events.PlannerAnswered: "logs",
    events.ExchangeFinished: "sessions effectiveness metrics live logs traces otel",
    events.HandlerCrashed: "logs",
    events.RequestTurnedAway: "metrics logs",
    events.FeedbackGiven: "effectiveness metrics logs",
    events.BreakerMoved: "metrics live logs",
    events.ProviderDemoted: "logs",
    events.ProviderRestored: "logs",
    events.StoreFailed: "metrics logs",
    events.StoreRecovered: "metrics logs",
    events.SessionPinned: "logs",
    events.GatewayStarted: "metrics logs",
    events.GatewayStopped: "logs",
    events.DrainStarted: "logs",
    events.ConfigReloaded: "metrics logs",
    events.ConfigRefused: "metrics logs",
    events.ListingFailed: "logs",
    events.LoopLooked: "metrics",
}


@pytest.mark.parametrize("sink", SINKS)
def test_who_hears_what(sink: str):
    assert set(HEARD) == kinds(), "a new event: who is to hear of it?"
    assert set(SINKS[sink]) == {event for event, sinks in HEARD.items() if sink in sinks.split()}


def test_all_sinks_are_looked_at():
    told = {name for sinks in HEARD.values() for name in sinks.split()}
    assert told == set(SINKS)
