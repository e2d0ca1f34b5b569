"""A target's breaker: states and signals as a table, a rolling window, probes; the clock is a number."""

from __future__ import annotations

import pytest

from gateway.resilience import BreakerSettings
from gateway.resilience.breaker import TRANSITIONS, Breaker, Signal, State
from gateway.resilience.window import Window

SETTINGS = BreakerSettings(
    error_rate=0.5, min_requests=10, window=60.0, consecutive=5, open_for=30.0, probes=1, close_after=2
)


def breaker(**changes) -> Breaker:
    return Breaker(
        BreakerSettings(**{name: changes.get(name, getattr(SETTINGS, name)) for name in SETTINGS.__struct_fields__})
    )


def opened(at: float = 0.0, **changes) -> Breaker:
    made = breaker(**changes)
    for _ in range(made.settings.consecutive):
        made.fail(at)
    assert made.state is State.OPEN
    return made


def half_open(**changes) -> Breaker:
    made = opened(**changes)
    assert made.allows(30.0)
    assert made.state is State.HALF_OPEN
    return made


MOVES = {
    (State.CLOSED, Signal.TRIPPED): State.OPEN,
    (State.OPEN, Signal.COOLED): State.HALF_OPEN,
    (State.HALF_OPEN, Signal.PROVED): State.CLOSED,
    (State.HALF_OPEN, Signal.FAILED): State.OPEN,
}


@pytest.mark.parametrize("signal", Signal, ids=lambda signal: signal.name.lower())
@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_every_signal_in_every_state(state: State, signal: Signal):
    made = {State.CLOSED: breaker, State.OPEN: opened, State.HALF_OPEN: half_open}[state]()
    made._move(signal, 100.0)
    assert made.state is MOVES.get((state, signal), state)
    assert MOVES == TRANSITIONS


# What happened (g: good, b: bad, .: ten seconds pass) and whether the breaker opened.
HISTORIES = {
    "": False,
    "bbbb": False,
    "bbbbb": True,
    "bbbbgb": False,
    "bbbbgbbbb": False,
    "bgbgbgbgb": False,
    "bgbgbgbgbg": False,  # half of ten, but the last was good: only a failure trips
    "gbgbgbgbgb": True,
    "ggggggggggbbbb": False,
    "gggggbgbgbgbgb": False,  # five of fourteen
    "gbgbgbgb.......gb": False,  # the old ones are forgotten
    "gbgb..gbgb..gb": True,
    "bbbb.......b": True,  # five in a row, however slowly
}


@pytest.mark.parametrize(("history", "tripped"), HISTORIES.items(), ids=lambda each: str(each))
def test_when_it_opens(history: str, tripped: bool):
    made, now = breaker(), 1000.0
    for what in history:
        if what == ".":
            now += 10.0
        elif what == "g":
            made.succeed(now)
        else:
            made.fail(now)
    assert (made.state is State.OPEN) == tripped
    assert made.allows(now) != tripped


def test_open_for_its_time():
    made = opened(at=100.0)
    assert [made.allows(at) for at in (100.0, 129.9, 130.0)] == [False, False, True]
    assert made.state is State.HALF_OPEN


def test_half_open_lets_in_as_many_as_it_probes():
    made = half_open(probes=2)
    made.begin()
    assert made.allows(30.0)
    made.begin()
    assert not made.allows(30.0)
    made.release()
    assert made.allows(30.0)


def test_enough_proofs_close_it():
    made = half_open()
    made.begin()
    made.succeed(31.0)
    assert made.state is State.HALF_OPEN
    made.release()
    made.begin()
    made.succeed(32.0)
    assert (made.state, made.closed_at) == (State.CLOSED, 32.0)


def test_a_fresh_start_after_closing():
    made = half_open(close_after=1)
    made.succeed(31.0)
    assert made.counts(31.0) == (0, 0)
    for _ in range(4):
        made.fail(32.0)
    assert made.state is State.CLOSED


def test_a_failed_probe_opens_it_anew():
    made = half_open()
    made.succeed(31.0)
    made.fail(32.0)
    assert made.state is State.OPEN
    assert [made.allows(at) for at in (61.9, 62.0)] == [False, True]
    made.succeed(63.0)
    assert made.state is State.HALF_OPEN, "earlier proofs do not count"


def test_failing_while_open_does_not_keep_it_open():
    made = opened(at=0.0)
    made.fail(20.0)
    assert made.allows(30.0)
    assert made.failed_at == 20.0


def test_calls_of_an_older_state_are_no_probes():
    made = breaker()
    before = made.begin()
    for _ in range(made.settings.consecutive):
        made.fail(0.0)
    assert made.allows(made.settings.open_for)
    probe = made.begin()
    assert not made.allows(made.settings.open_for)
    made.release(before)
    assert not made.allows(made.settings.open_for), "the probe's place is not free"
    made.fail(made.settings.open_for, before)
    assert made.state is State.HALF_OPEN
    made.release(probe)
    made.fail(made.settings.open_for, probe)
    assert made.state is State.OPEN


def test_new_settings_keep_the_state():
    made = opened()
    made.adopt(BreakerSettings(open_for=5.0))
    assert made.allows(5.0)
    assert made.counts(5.0) == (0, 5)
    made.adopt(BreakerSettings(window=10.0))
    assert made.counts(5.0) == (0, 0), "what was counted was counted over another time"


def test_a_window_rolls():
    window = Window(60.0)
    for at in range(0, 120, 10):
        window.add(float(at), first=1)
        window.add(float(at), second=2)
    assert window.counts(119.0) == (6, 12)
    assert window.counts(165.0) == (1, 2)
    assert window.counts(1000.0) == (0, 0)


def test_a_window_is_of_constant_size():
    window = Window(60.0)
    for at in range(100_000):
        window.add(at / 100, first=1)
    assert len(window._slices) <= 13
    assert 5400 <= window.counts(1000.0)[0] <= 6600
