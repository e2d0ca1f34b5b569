"""What came of each target's answers to each kind of task: scores from 0 to 1, as weights that fade.

Two things make old scores fade: time, by half in ``HALF_LIFE``, so that what nobody uses any more is forgotten; and
newer scores, of which the last ``MOST`` or so count, so that a model that has changed is known for what it is now.
Time is passed in.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator

import msgspec

from gateway.routing import Measured, Target

HALF_LIFE = 3 * 86400.0
"""Seconds."""
MOST = 200.0
"""The weight a target's scores may come to for one task: about as many answers are remembered."""
MOST_ROWS = 5000
"""Targets times tasks; the one that has learned nothing for longest gives way."""


class _Row(msgspec.Struct):
    good: float
    bad: float
    at: float


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """The mean score, and the interval that holds it nine times in ten."""

    mean: float
    low: float
    high: float


class Evidence:
    """One process's own. Outlives a reload; a restart forgets it."""

    def __init__(self, half_life: float = HALF_LIFE, most: float = MOST) -> None:
        self._half_life, self._most = half_life, most
        self._rows: OrderedDict[tuple[Target, str], _Row] = OrderedDict()

    def learn(self, target: Target, task: str, score: float, at: float, weight: float = 1.0) -> None:
        """One answer's score, kept within 0 and 1. ``at``: seconds, on the clock that ``measured`` is asked by."""
        score = min(1.0, max(0.0, score))
        row = self._rows.pop((target, task), None) or _Row(0.0, 0.0, at)
        kept = self._faded(row, at)
        shrunk = min(1.0, max(0.0, self._most - weight) / max(kept.good + kept.bad, 1e-9))
        good, bad = kept.good * shrunk + weight * score, kept.bad * shrunk + weight * (1 - score)
        self._rows[target, task] = _Row(good, bad, max(at, row.at))
        while len(self._rows) > MOST_ROWS:
            self._rows.popitem(last=False)

    def measured(self, target: Target, task: str, now: float) -> Measured:
        row = self._rows.get((target, task))
        return self._faded(row, now) if row else Measured()

    def rows(self, now: float) -> Iterator[tuple[Target, str, Measured]]:
        """Everything there is, what has learned last at the end."""
        for (target, task), row in self._rows.items():
            yield target, task, self._faded(row, now)

    def _faded(self, row: _Row, now: float) -> Measured:
        # Scores may come a little out of order: time does not run back for that.
        left = 0.5 ** (max(0.0, now - row.at) / self._half_life)
        return Measured(row.good * left, row.bad * left)


# A Beta distribution's interval, by way of its log-odds, which are close to normal: mean and variance of those are
# digamma and trigamma of its parameters. https://en.wikipedia.org/wiki/Beta_distribution#Geometric_mean

NINETY = 1.6448536269514722
"""Standard deviations to either side that hold nine in ten of a normal distribution."""


def estimate(good: float, bad: float) -> Estimate:
    """Of a Beta distribution: ``good`` and ``bad`` are above 0, with what was believed before there was evidence."""
    centre, spread = _odds(good, bad)
    low, high = (_share(centre + side * NINETY * spread) for side in (-1, 1))
    return Estimate(good / (good + bad), low, high)


def draw(good: float, bad: float, chance: Callable[[], float]) -> float:
    """A number drawn from it. ``chance`` gives numbers in [0, 1) and is asked twice (Box and Muller's way)."""
    centre, spread = _odds(good, bad)
    far, turn = math.sqrt(-2 * math.log(1 - chance())), math.cos(2 * math.pi * chance())
    return _share(centre + far * turn * spread)


def deviation(good: float, bad: float) -> float:
    """The standard deviation of a Beta distribution."""
    total = good + bad
    return math.sqrt(good * bad / (total + 1)) / total


def _odds(good: float, bad: float) -> tuple[float, float]:
    """Mean and standard deviation of the log-odds."""
    return _digamma(good) - _digamma(bad), math.sqrt(_trigamma(good) + _trigamma(bad))


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0


def _digamma(x: float) -> float:
    """By the recurrence up to 6 and the asymptotic series from there: good to eight places."""
    below = 0.0
    while x < 6:
        below -= 1 / x
        x += 1
    square = 1 / (x * x)
    return below + math.log(x) - 0.5 / x - square * (1 / 12 - square * (1 / 120 - square / 252))


def _trigamma(x: float) -> float:
    below = 0.0
    while x < 6:
        below += 1 / (x * x)
        x += 1
    square = 1 / (x * x)
    return below + 1 / x + square / 2 + square / x * (1 / 6 - square * (1 / 30 - square / 42))
