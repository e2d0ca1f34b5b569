"""A strong model for the first turns, a cheap one after; failures bring the lead back.

The state is replayed from the conversation in the request, so that every replica decides the same and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec

from gateway.chat import Facts
from gateway.routing import Candidate, Fleet, LeftOut, Ordered, Target, merged
from gateway.routing.room import room_in
from gateway.routing.turns import MOST_EVIDENCE, Reading, Turn

Count = Annotated[int, msgspec.Meta(ge=0)]
Part = Literal["lead", "worker"]
Numbered = tuple[int, Turn]
"""A turn, and its number from 1."""

OTHER: dict[Part, Part] = {"lead": "worker", "worker": "lead"}


class Due(NamedTuple):
    """Whose turn it is, by which rule, and what made it so."""

    role: Part
    rule: str
    why: str
    evidence: tuple[str, ...] = ()


class LeadWorker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lead: str
    worker: str
    lead_turns: Count = 3
    failure_threshold: Annotated[int, msgspec.Meta(ge=1)] = 2
    fallback_turns: Count = 2
    worker_max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    after_compaction: Part = "worker"
    """Whose turn it is when the conversation begins with a summary: are the lead's first turns over, or due again?"""

    def references(self) -> tuple[str, ...]:
        return (self.lead, self.worker)

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        reading = fleet.reading()
        parts: dict[Part, Ordered] = {
            "lead": fleet.ordered(self.lead, facts),
            "worker": fleet.ordered(self.worker, facts),
        }
        serving = {**parts, "worker": self._capped(parts["worker"])}
        needs = Needs(reading.tokens, facts.parameters.get("max_tokens"), fleet.window)
        due = _fitting(self.due(reading), serving, needs)
        # The other role stands by: a technical fault moves over and counts as no failure of the work.
        both = needs.sift(merged((serving[due.role], parts[OTHER[due.role]])))
        return msgspec.structs.replace(
            both,
            reason=f"role={due.role}; turn={len(reading.turns) + 1}; {due.why}",
            rule=due.rule,
            evidence=due.evidence,
            role=due.role,
            candidates=(*self._candidates(due), *both.candidates),
        )

    def due(self, reading: Reading) -> Due:
        """1. A call on the side. 2. A plan. 3. The lead's first turns. 4. Failures of the worker. 5. The worker."""
        if reading.kind == "aux":
            return Due("worker", "auxiliary", "a call on the side", (reading.why,) if reading.why else ())
        if reading.planning:
            return Due("lead", "planning", "a plan is asked for")
        again = reading.compacted and self.after_compaction == "lead"
        # What a model did that the user had chosen is nothing to count for or against these two.
        turns = [(number, turn) for number, turn in enumerate(reading.turns, 1) if not turn.pinned]
        first = self.lead_turns if again or not reading.compacted else 0
        if len(turns) < first:
            after = " after the summary" if again else ""
            why = f"the first {f'turn{after} is' if first == 1 else f'{first} turns{after} are'} the lead's"
            return Due("lead", "compacted" if again else "lead_turns", why)
        failed, left = self._replayed(turns[first:])
        if left:
            return _brought_back(failed, left)
        if len(turns) < self.lead_turns:
            return Due("worker", "compacted", "the lead's turns were before the summary")
        return Due("worker", "worker_turns", "after the lead's turns")

    def _replayed(self, turns: Sequence[Numbered]) -> tuple[Sequence[Numbered], int]:
        """The turns whose failures brought the lead back, and how many turns it still has."""
        streak: list[Numbered] = []
        failed, left = streak, 0
        for number, turn in turns:
            if left:
                left -= 1
            elif turn.failed:
                streak.append((number, turn))
            else:
                streak = []
            if len(streak) >= self.failure_threshold:
                failed, streak, left = streak, [], self.fallback_turns
        return failed, left

    def _capped(self, worker: Ordered) -> Ordered:
        cap = self.worker_max_tokens
        if cap is None:
            return worker
        caps = {target: min(cap, worker.max_tokens.get(target, cap)) for target in worker.targets}
        return msgspec.structs.replace(worker, max_tokens=caps)

    def _candidates(self, due: Due) -> tuple[Candidate, Candidate]:
        names = {"lead": self.lead, "worker": self.worker}
        return (
            Candidate(names[due.role], None, f"the {due.role}: {due.why}"),
            Candidate(names[OTHER[due.role]], None, f"the {OTHER[due.role]}: stands by"),
        )


class Needs(NamedTuple):
    """How much of a window the request takes: its tokens, and room for the answer."""

    tokens: int
    answer: object
    """The longest answer the client wants, as it was sent."""
    window: Callable[[Target], int | None]

    def lacking(self, target: Target, cap: int | None) -> int | None:
        """The target's window where the request does not fit; one that is not known, or not read, fits."""
        window = self.window(target)
        if not window or not self.tokens:
            return None
        bounds = [each for each in (cap, self.answer) if type(each) is int and each > 0]
        room = min(bounds, default=room_in(window))
        return window if self.tokens + room > window else None

    def windows(self, part: Ordered) -> dict[Target, int]:
        """The targets where it does not fit."""
        found = ((target, self.lacking(target, part.max_tokens.get(target))) for target in part.targets)
        return {target: window for target, window in found if window}

    def sift(self, part: Ordered) -> Ordered:
        """Without the targets where it does not fit, unless it fits nowhere: the count is an estimate."""
        small = self.windows(part)
        if len(small) == len(part.targets):
            return part
        left_out = tuple(
            LeftOut(target, f"about {self.tokens} tokens, window {window}") for target, window in small.items()
        )
        return msgspec.structs.replace(
            part,
            targets=tuple(target for target in part.targets if target not in small),
            left_out=(*part.left_out, *left_out),
        )


def _brought_back(failed: Sequence[Numbered], left: int) -> Due:
    by_tools = any(msgspec.structs.replace(turn, corrected="").failed for _, turn in failed)
    return Due(
        "lead",
        "tool_failures" if by_tools else "corrections",
        f"{len(failed)} failed {'turn' if len(failed) == 1 else 'turns'} in a row; {_turns(left)} of lead left",
        tuple(f"turn {number}: {turn.evidence}" for number, turn in failed[-MOST_EVIDENCE:]),
    )


def _fitting(due: Due, parts: dict[Part, Ordered], needs: Needs) -> Due:
    """The other role takes over where a conversation does not fit whoever is due, and fits the other."""
    small = needs.windows(parts[due.role])
    role = OTHER[due.role]
    if len(small) < len(parts[due.role].targets):
        return due
    if len(needs.windows(parts[role])) == len(parts[role].targets):
        return due._replace(why=f"{due.why}; about {needs.tokens} tokens fit nobody's window")
    window = max(small.values())
    why = f"about {needs.tokens} tokens are too many for the {due.role}'s window of {window}"
    return Due(role, "context", why, (f"about {needs.tokens} tokens, window {window}",))


def _turns(count: int) -> str:
    return f"{count} {'turn' if count == 1 else 'turns'}"


STRATEGY = LeadWorker
