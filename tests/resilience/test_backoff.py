"""The pause before the next try."""

from __future__ import annotations

import pytest

from gateway.resilience import Backoff
from gateway.resilience.backoff import pause

PLAIN = Backoff(initial=0.5, multiplier=2.0, max=8.0, jitter="none")
FULL = Backoff(initial=0.5, multiplier=2.0, max=8.0, jitter="full")
EQUAL = Backoff(initial=0.5, multiplier=2.0, max=8.0, jitter="equal")

PAUSES = {
    "the first": (PLAIN, 1, 0.9, 0.5),
    "the second": (PLAIN, 2, 0.9, 1.0),
    "the fifth": (PLAIN, 5, 0.9, 8.0),
    "never above max": (PLAIN, 6, 0.9, 8.0),
    "nor by overflow": (PLAIN, 10_000, 0.9, 8.0),
    "full: down to nothing": (FULL, 2, 0.0, 0.0),
    "full: half": (FULL, 2, 0.5, 0.5),
    "full: below max": (FULL, 99, 0.75, 6.0),
    "equal: at least half": (EQUAL, 2, 0.0, 0.5),
    "equal: in the upper half": (EQUAL, 2, 0.5, 0.75),
    "constant": (Backoff(initial=1.0, multiplier=1.0, max=8.0, jitter="none"), 7, 0.5, 1.0),
    "none at all": (Backoff(initial=0.0, jitter="none"), 3, 0.5, 0.0),
}


@pytest.mark.parametrize(("settings", "tries", "jitter", "seconds"), PAUSES.values(), ids=PAUSES)
def test_pause(settings: Backoff, tries: int, jitter: float, seconds: float):
    assert pause(settings, tries, lambda: jitter) == pytest.approx(seconds)
