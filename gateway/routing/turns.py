"""A conversation as turns, read from its request: what kind of request it is, what became of each turn."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["main", "aux", "subagent"]
"""An agent's own turn; a call on the side (a title, a summary); a turn of an agent that another one has started."""


class Outcome(msgspec.Struct, frozen=True):
    """One tool call of a turn and what came of it. ``evidence`` is the marker that told, never content."""

    tool: str
    verdict: str
    evidence: str = ""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One assistant message, and what followed it."""

    calls: tuple[Outcome, ...] = ()
    corrected: str = ""
    """The marker by which the user's text right after it corrects it; empty: it does not."""
    tokens: int = 0
    """An estimate of the context up to and including it."""

    @property
    def failed(self) -> bool:
        return bool(self.corrected) or any(call.verdict not in ("ok", "unanswered") for call in self.calls)

    @property
    def evidence(self) -> str:
        """What told that it failed, in one line; empty where it did not."""
        bad = next((call for call in self.calls if call.verdict not in ("ok", "unanswered")), None)
        if bad:
            return f"{bad.tool}: {bad.evidence or bad.verdict}" if bad.tool else bad.evidence or bad.verdict
        return f"the user: {self.corrected}" if self.corrected else ""


class Command(msgspec.Struct, frozen=True):
    """A user message that is exactly ``/model NAME`` or ``/replan``. ``last``: nothing was said after it."""

    name: Literal["model", "replan"]
    argument: str = ""
    last: bool = False


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's conversation tells routing."""

    kind: Kind = "main"
    why: str = ""
    """What told the kind, where it is not ``main``."""
    turns: tuple[Turn, ...] = ()
    tokens: int = 0
    """An estimate of the whole request's input."""
    compacted: bool = False
    """It begins with a summary of what was said before."""
    commands: tuple[Command, ...] = ()
    """Oldest first."""
    origin: str = ""
    """A digest of how the conversation begins: the same for all its requests, for clients that do not name it."""
    fingerprint: str = ""
    """A digest of all its messages: the same when the request is sent again."""
    asked: str = ""
    """The user's last words, without wrappers and commands, cut to 4000 characters. Content."""
    images: bool = False
    tools: tuple[str, ...] = ()
    """Names of the tools on offer."""


NOTHING = Reading()
"""Of a request that holds no conversation."""
