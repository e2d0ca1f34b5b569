"""What a look at a passing answer may tell: enough to route by, to report, and to know a break from an end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.chat import Usage
from gateway.errors import Fault


class Glimpse(NamedTuple):
    """One event of a stream."""

    output: bool = False
    """Something the model said: text, reasoning, a tool call."""
    text: str = ""
    tool: bool = False
    reasons: Mapping[int, str | None] = {}
    """Choice index -> finish reason, for every choice the event mentions."""
    usage: Usage | None = None
    bare: bool = False
    """``choices: []``: a chunk that carries usage, or filter results, alone."""
    fault: Fault | None = None
    done: bool = False
    damaged: bool = False
    """Not readable as an event of this dialect."""


FINISHED = Glimpse(done=True)
DAMAGED = Glimpse(damaged=True)


class Whole(NamedTuple):
    """A whole answer, checked."""

    usage: Usage | None = None
    finish_reason: str | None = None
