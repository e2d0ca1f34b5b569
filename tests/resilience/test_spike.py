"""When a provider is asked after the others, and when it is back, as playbooks.

``15. 4x well 1x demoted +30``: fifteen calls go well, four fail, and it has its place; one more fails, and it has not;
thirty seconds pass. A call takes a tenth of a second.
"""

from __future__ import annotations

import random
import re
from typing import Any

import msgspec
import pytest

from gateway.resilience import SpikeSettings
from gateway.resilience.spike import Spike, Swing

USUAL = SpikeSettings(error_rate=0.25, recover_below=0.1, min_requests=20, window=60.0, hold=30.0, trial=0.05)
CALL = 0.1
TOKEN = re.compile(r"(?P<count>\d+)(?P<ended>[.x])|\+(?P<seconds>\d+)|(?P<state>well|demoted)")

DEMOTED = "15. 5x demoted"
# playbook, and the settings that are out of the ordinary
PLAYBOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "too few calls to tell": ("19x well 1x demoted", {}),
    "a quarter of them": ("15. 4x well 1x demoted", {}),
    "less than a quarter": ("16. 4x well 96. 24x well", {}),
    "what is older than the window is forgotten": ("19x +66 16. 4x well", {}),
    "a success does not demote": ("5x 14. well 1. well 2x demoted", {"min_requests": 20}),
    "other settings": ("3. 2x well 1x demoted", {"error_rate": 0.5, "min_requests": 6}),
    "turned off": ("500x well", {"error_rate": 1.0}),
    "trials that go well, and the hold is over": (f"{DEMOTED} 20. demoted +31 well", {}),
    "the hold is over, and trials go well": (f"{DEMOTED} +60 19. demoted 1. well", {}),
    "no trials, however long it lasts": (f"{DEMOTED} +9999 demoted", {}),
    "trials that fail": (f"{DEMOTED} 20x demoted +60 demoted 18. demoted 1. well", {}),
    "two of twenty are not below a tenth": (f"{DEMOTED} +60 17. 2x 1. demoted 16. demoted 1. demoted 1. well", {}),
    "a new spike extends the hold": (f"{DEMOTED} +29 15. 5x demoted +20 20. demoted +7 demoted +2 well", {}),
    "less than a spike does not extend the hold": (f"{DEMOTED} +25 16. 4x 16. 3. demoted +2 well", {}),
    "between the two it stays": (f"{DEMOTED} {'+60 17. 3x demoted ' * 20} 19. well", {}),
    "a fresh start afterwards": (f"{DEMOTED} 20. well 1x well 14. 4x well 1x demoted", {"hold": 0.0}),
    "up and down about the threshold": (f"{DEMOTED} {'+31 14. 6x 16. 4x demoted ' * 20}", {}),
    "no hold": (f"{DEMOTED} 19. demoted 1. well", {"hold": 0.0}),
    "soon again: held for twice as long": (
        f"{DEMOTED} 20. +30 well 15. 5x demoted 20. +50 demoted +9 well 15. 5x demoted 20. +110 demoted +9 well",
        {},
    ),
    "few trials, all well for long": (f"{DEMOTED} +60 1. +50 1. +50 1. demoted +50 1. well", {}),
    "few trials, well for as long, and they were too few": (f"{DEMOTED} +60 1. +500 1. demoted 1. well", {}),
    "few trials, not all well": (f"{DEMOTED} +60 1. +60 1x +60 1. +60 1. demoted +60 1. well", {}),
    "few trials, well long enough for the window only": (f"{DEMOTED} 1. +50 1. +20 1. demoted +40 1. demoted", {}),
    "few trials, however short the hold": (f"{DEMOTED} 1. +20 1. +30 1. demoted +10 1. well", {"hold": 0.0}),
    "no time without calls counts": (f"{DEMOTED} 3. +9999 demoted", {}),
    "not so soon again: held as before": (f"{DEMOTED} 20. +30 well +300 15. 5x demoted 20. +30 well", {}),
    "held for 32 times as long at most": (
        f"{DEMOTED} {'20. +9999 well 15. 5x demoted ' * 9} 20. +960 well",
        {"hold": 30.0, "window": 99999.0},
    ),
}


class Clocked:
    """A spike and its clock; ``swings`` is what it told."""

    def __init__(self, **settings: Any) -> None:
        self.now, self.swings = 1000.0, list[Swing]()
        self.spike = Spike("p", msgspec.structs.replace(USUAL, **settings), self.now, self.swings.append)

    def call(self, *, failed: bool, began: float | None = None) -> None:
        end = self.spike.fail if failed else self.spike.succeed
        began = self.now if began is None else began
        self.now += CALL
        end(began, self.now)

    def play(self, script: str) -> None:
        for token in script.split():
            match = TOKEN.fullmatch(token)
            assert match, token
            for _ in range(int(match["count"] or 0)):
                self.call(failed=match["ended"] == "x")
            self.now += int(match["seconds"] or 0)
            if match["state"]:
                assert self.spike.demotes(self.now) == (match["state"] == "demoted"), f"{token} of: {script}"


@pytest.mark.parametrize(("script", "settings"), PLAYBOOKS.values(), ids=PLAYBOOKS)
def test_playbook(script: str, settings: dict[str, Any]):
    Clocked(**settings).play(script)


def test_what_it_tells():
    made = Clocked()
    made.play("14. 6x +60 19. 1x 1. well")
    assert made.spike.why == "error rate 30 % of p over 60s"
    assert made.swings == [Swing("p", True, 0.3, 20), Swing("p", False, 0.05, 20, pytest.approx(62.1))]


def test_what_began_before_says_nothing_of_what_is_now():
    made = Clocked(hold=0.0)
    early = made.now
    made.play("15. 5x demoted")
    for _ in range(40):
        made.call(failed=False, began=early)
    made.play("demoted 20. well")
    for _ in range(40):
        # The timeouts of calls that had begun while it was down.
        made.call(failed=True, began=early)
    made.play("well 15. 5x demoted")


def test_what_began_before_does_not_extend_the_hold():
    made = Clocked()
    early = made.now
    made.play("15. 5x demoted 15. 5x +25")
    made.call(failed=True, began=early)
    made.play("20. demoted +3 well")


def test_a_reload_keeps_what_was_counted_and_may_turn_it_off():
    made = Clocked()
    made.play("15. 4x")
    made.spike.adopt(msgspec.structs.replace(USUAL, error_rate=0.2))
    made.play("well 1x demoted 4x 14.")
    made.spike.adopt(msgspec.structs.replace(USUAL, min_requests=4))
    made.play("demoted +30 well 3. 1x demoted 100x")
    made.spike.adopt(msgspec.structs.replace(USUAL, error_rate=1.0))
    made.play("well 100x well")
    assert [each.demoted for each in made.swings] == [True, False] * 2
    made.spike.adopt(msgspec.structs.replace(USUAL, window=10.0))
    made.play("19x well 1x demoted")


@pytest.mark.parametrize(("hold", "doubled", "due"), [(30.0, 0, 15.0), (30.0, 1, 15.0), (4.0, 0, 2.0), (0.0, 0, 1.0)])
def test_a_trial_is_due_when_there_has_been_none_for_a_while(hold: float, doubled: int, due: float):
    made = Clocked(hold=hold)
    made.play(DEMOTED + f" 20. +{hold:.0f} well 15. 5x demoted" * doubled)

    def takes(chance: float = 0.99, *, begins: bool) -> bool:
        return made.spike.takes_trial(chance, made.now, begins=begins)

    made.now += due - 0.1
    assert not takes(begins=True)
    assert not takes(0.0, begins=False), "not drawn from a conversation under way"
    made.now += 0.1
    assert takes(begins=False)
    assert not takes(begins=False), "one at a time"
    made.now += due - 0.1
    assert takes(0.04, begins=True), "the share of those that begin"
    made.now += 0.2
    assert not takes(begins=True), "nor is one due after that"
    made.now += due
    made.call(failed=False)
    assert not takes(begins=True), "nor after a call that reached it otherwise"


@pytest.mark.parametrize(("every", "holds"), [(1, 6), (10, 6), (60, 8), (600, 60)])
@pytest.mark.parametrize("begins", [True, False])
def test_little_traffic_is_no_reason_to_stay_demoted(every: float, holds: float, begins: bool):
    made, chance, passed = Clocked(), random.Random(1), 0.0
    made.play(DEMOTED)
    while made.spike.demotes(made.now):
        made.now += every - CALL
        if made.spike.takes_trial(chance.random(), made.now, begins=begins):
            made.call(failed=False)
        else:
            made.now += CALL
        passed += every
    assert passed <= holds * USUAL.hold


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate", [1, 5, 20])
@pytest.mark.parametrize("begins", [True, False])
def test_a_share_that_wavers_about_the_threshold_does_not_flap(seed: int, rate: float, begins: bool):
    """Two hours between a fifth and a third, ``rate`` requests a second; then it is well again."""
    made, chance = Clocked(), random.Random(seed)

    def requests(count: int, failing: float) -> None:
        for _ in range(count):
            made.now += 1 / rate - CALL
            demoted, drawn = made.spike.demotes(made.now), chance.random()
            if demoted and not made.spike.takes_trial(drawn, made.now, begins=begins):
                made.now += CALL
            else:
                made.call(failed=chance.random() < failing)

    hours = []
    for _ in range(2):
        for _ in range(9 * rate):
            requests(200, 0.33)
            requests(200, 0.2)
        hours.append(sum(each.demoted for each in made.swings) - sum(hours))
    assert 1 <= hours[0] <= 5
    assert hours[1] <= 2
    requests(1200 * rate + 20 * 20 * 2, 0.01)
    assert not made.spike.demotes(made.now)
