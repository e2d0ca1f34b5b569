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
    "trials that go well, and the hold is over": (f"{DEMOTED} 10. demoted +31 well", {}),
    "the hold is over, and trials go well": (f"{DEMOTED} +60 9. demoted 1. well", {}),
    "no trials, however long it lasts": (f"{DEMOTED} +9999 demoted", {}),
    "trials that fail": (f"{DEMOTED} 10x demoted +60 demoted 9. demoted 1. well", {}),
    "one of ten is not below a tenth": (f"{DEMOTED} +60 9. 1x demoted 9. demoted 1. well", {}),
    "a new spike extends the hold": (f"{DEMOTED} +29 7. 3x +28 10. demoted +2 well", {}),
    "too high again counts from the last time": (f"{DEMOTED} 7. 3x +20 1x 9. +20 10. demoted +9 demoted +2 well", {}),
    "less than a spike does not extend the hold": (f"{DEMOTED} +25 8. 2x 8. demoted 2. +4 well", {}),
    "between the two it stays": (f"{DEMOTED} {'+60 8. 2x demoted ' * 20} 10. well", {}),
    "half an odd number is rounded up": (f"{DEMOTED} +60 2. demoted 1. well", {"min_requests": 5}),
    "a fresh start afterwards": (f"{DEMOTED} +60 10. well 15. 4x well 1x demoted", {}),
    "up and down about the threshold": (f"{DEMOTED} {'+31 7. 3x 8. 2x demoted ' * 20}", {}),
    "no hold": (f"{DEMOTED} 9. demoted 1. well", {"hold": 0.0}),
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
    made.play("14. 6x +60 10. well")
    assert made.spike.why == "error rate 30 % of p over 60s"
    assert made.swings[0] == Swing("p", True, 0.3, 20)
    assert made.swings[1] == Swing("p", False, 0.0, 10, pytest.approx(61.0))
    assert len(made.swings) == 2


def test_what_began_before_says_nothing_of_what_is_now():
    made = Clocked(hold=0.0)
    early = made.now
    made.play("15. 5x demoted")
    for _ in range(20):
        made.call(failed=False, began=early)
    made.play("demoted 10. well")
    for _ in range(20):
        # The timeouts of calls that had begun while it was down.
        made.call(failed=True, began=early)
    made.play("well 15. 5x demoted")


def test_a_reload_keeps_what_was_counted_and_may_turn_it_off():
    made = Clocked()
    made.play("15. 4x")
    made.spike.adopt(msgspec.structs.replace(USUAL, error_rate=0.2, hold=5.0))
    made.play("well 1x demoted 10. demoted +5 well 15. 5x demoted")
    made.spike.adopt(msgspec.structs.replace(USUAL, min_requests=4))
    made.play("+60 1x 1. demoted 1. well 1x 3. demoted")
    made.spike.adopt(msgspec.structs.replace(USUAL, error_rate=1.0))
    made.play("well 100x well")
    assert [each.demoted for each in made.swings] == [True, False] * 3
    made.spike.adopt(msgspec.structs.replace(USUAL, window=10.0))
    made.play("19x well 1x demoted")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.2, 1, 20])
def test_a_share_that_wavers_about_the_threshold_moves_traffic_once(seed: int, rate: float):
    """An hour between a fifth and a third, ``rate`` requests a second, of which a twentieth are trials."""
    made, chance = Clocked(), random.Random(seed)
    for number in range(int(3600 * rate)):
        made.now += max(0.0, 1 / rate - CALL)
        failing = 0.2 if number // 200 % 2 else 0.33
        if not made.spike.demotes(made.now) or chance.random() < USUAL.trial:
            made.call(failed=chance.random() < failing)
    assert [each.demoted for each in made.swings] in ([True], [])
    assert made.swings or rate < 1
    for _ in range(int(40 * 60 * max(1, rate))):
        made.now += max(0.0, 1 / rate - CALL)
        if not made.spike.demotes(made.now) or chance.random() < USUAL.trial:
            made.call(failed=chance.random() < 0.01)
    assert [each.demoted for each in made.swings] in ([True, False], [])
