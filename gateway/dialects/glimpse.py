"""What a look at a passing answer may tell: enough to route by, to report, and to know a break from an end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway.chat import Kept, Reasoning, Repaired, Usage
from gateway.errors import Fault


class CallPart(NamedTuple):
    """A tool call, or the next piece of one. ``place`` tells the calls of an answer apart."""

    place: str
    id: str = ""
    tool: str = ""
    arguments: str = ""


class Glimpse(NamedTuple):
    """One event of a stream."""

    output: bool = False
    """Something the model said: text, reasoning, a tool call."""
    text: str = ""
    tool: bool = False
    calls: tuple[CallPart, ...] = ()
    reasons: Mapping[int, str | None] = {}
    """Choice index -> finish reason, for every choice the event mentions."""
    usage: Usage | None = None
    bare: bool = False
    """``choices: []``: a chunk that carries usage, or filter results, alone."""
    fault: Fault | None = None
    done: bool = False
    damaged: bool = False
    """Not readable as an event of this dialect."""
    id: str | None = None
    model: str | None = None
    """Which answer it belongs to, and who says it is answering."""
    delta: Mapping[str, Any] = {}
    """What the first choice said, as it came: some vendors want the reasoning in it back."""


FINISHED = Glimpse(done=True)
DAMAGED = Glimpse(damaged=True)


class Whole(NamedTuple):
    """A whole answer, checked."""

    usage: Usage | None = None
    finish_reasons: tuple[str | None, ...] = ()
    id: str | None = None
    model: str | None = None
    calls: tuple[CallPart, ...] = ()
    thoughts: tuple[Reasoning, ...] = ()
    signatures: Mapping[str, str] = {}
    """A call's id -> its own signature."""
    repairs: tuple[Repaired, ...] = ()

    def kept(self) -> Iterator[tuple[str, Kept]]:
        """For each tool call what was thought before it, by the call's id."""
        for part in self.calls:
            signature = self.signatures.get(part.id)
            if part.id and (self.thoughts or signature):
                yield part.id, Kept(self.thoughts, signature)

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice."""
        return self.finish_reasons[0] if self.finish_reasons else None
