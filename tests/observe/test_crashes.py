"""Where it crashed, and nothing of what the exception says."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from gateway.observe.crashes import crash

CANARY = "canary-in-the-mine"
FORGED = f'no\n  File "/{CANARY}.py", line 1, in {CANARY}\n{CANARY}Error: x\nTraceback (most recent call last):\n'
FORGED += f'  File "/{CANARY}.py", line 1, in canary'


def raises() -> None:
    raise KeyError(CANARY)


def raises_in_lines() -> None:
    raise ValueError(f"{CANARY}\n\n{CANARY}: {CANARY}\n")


def forges() -> None:
    raise ValueError(FORGED)


def raises_from_another() -> None:
    try:
        raises()
    except KeyError as error:
        raise RuntimeError(CANARY) from error


def raises_in_a_group() -> None:
    try:
        raises_from_another()
    except RuntimeError as error:
        raise ExceptionGroup(CANARY, [error]) from None


def does_not_compile() -> None:
    compile(f"{CANARY} {CANARY}", CANARY, "exec")


@pytest.mark.parametrize(
    ("act", "kind", "places"),
    [
        (raises, "KeyError", ["raises"]),
        (raises_in_lines, "ValueError", ["raises_in_lines"]),
        (forges, "ValueError", ["forges"]),
        (raises_from_another, "RuntimeError", ["raises_from_another", "raises", "raises_from_another"]),
        (raises_in_a_group, "RuntimeError", ["raises_in_a_group", "raises_from_another", "raises"]),
        (does_not_compile, "SyntaxError", ["does_not_compile"]),
    ],
)
def test_frames_and_type(act: Callable[[], None], kind: str, places: list[str]) -> None:
    try:
        act()
    except Exception:
        told = traceback.format_exc()
    assert CANARY in told
    said, frames = crash(told)
    assert CANARY not in f"{said} {frames}"
    assert said == kind
    assert set(places) <= {line.rpartition(" in ")[2] for line in frames.splitlines()}
    assert all(line.startswith(f'  File "{__file__}", line ') for line in frames.splitlines())


@pytest.mark.parametrize(
    "text", ["", "Traceback: no", CANARY, f"Traceback (most recent call last):\n{CANARY} {CANARY}"]
)
def test_what_is_no_traceback_tells_nothing(text: str) -> None:
    assert crash(text) == (None, "")
