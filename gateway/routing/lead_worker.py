"""A strong model for the first turns, a cheap one after; failures bring the lead back.

The state is replayed from the conversation in the request, so that every replica decides the same and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from gateway.chat import Facts
from gateway.routing import Fleet, Ordered, Role, Target, joined
from gateway.routing.turns import Turn

Count = Annotated[int, msgspec.Meta(ge=0)]


class LeadWorker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lead: str
    worker: str
    lead_turns: Count = 3
    failure_threshold: Annotated[int, msgspec.Meta(ge=1)] = 2
    fallback_turns: Count = 2
    worker_max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def references(self) -> tuple[str, ...]:
        return (self.lead, self.worker)

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        turns = fleet.reading().turns
        role, rule, why = self.role(turns)
        first, other = (self.lead, self.worker) if role == "lead" else (self.worker, self.lead)
        # The other role stands by: a technical fault moves over and counts as no failure of the work.
        both = joined((first, other), facts, fleet)
        caps: dict[Target, int] = dict(both.max_tokens)
        if self.worker_max_tokens and role == "worker":
            caps |= dict.fromkeys(fleet.ordered(self.worker, facts).targets, self.worker_max_tokens)
        reason = f"role={role}; turn={len(turns) + 1}; {why}"
        return msgspec.structs.replace(both, reason=reason, rule=rule, role=role, max_tokens=caps)

    def role(self, turns: Sequence[Turn]) -> tuple[Role, str, str]:
        """Replays the turns: ``failure_threshold`` failures in a row in the worker's phase bring the lead back."""
        streak = fallback = 0
        for number, turn in enumerate(turns):
            if number < self.lead_turns:
                continue
            if fallback:
                fallback -= 1
                continue
            streak = streak + 1 if turn.failed else 0
            if streak >= self.failure_threshold:
                streak, fallback = 0, self.fallback_turns
        if len(turns) < self.lead_turns:
            return "lead", "lead_turns", f"the first {self.lead_turns} turns are the lead's"
        if fallback:
            return (
                "lead",
                "tool_failures",
                f"{self.failure_threshold} failed turns in a row; {fallback} turns of lead left",
            )
        return "worker", "worker_turns", "after the lead's turns"
