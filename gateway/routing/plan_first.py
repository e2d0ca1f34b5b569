"""A strong model makes a plan before the first turn, a cheap one follows it.

The plan is remembered of the conversation and put into the context of every later request, in the same words each
time. It is made anew when the user writes ``/replan`` and when turns under it keep failing. Without it the executor is
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec

from gateway.chat import Facts
from gateway.routing import Advice, Candidate, Consult, Fleet, Ordered, merged
from gateway.routing.turns import MOST_EVIDENCE, Reading, last_failures

Count = Annotated[int, msgspec.Meta(ge=0)]


class Memory(msgspec.Struct, frozen=True):
    """What is kept of a conversation. ``plan`` is content."""

    plan: str | None = None
    turns: int = 0
    """How many turns were over when it was made: failures count from there."""
    request: str = ""
    """The fingerprint of the request it was made for; without a plan, of the one for which questions were asked."""
    rounds: int = 0
    """How often the planner has asked the user before it makes a plan."""
    asked_at: int | None = None
    """How many turns were over when it last did."""


class Due(NamedTuple):
    """What is to be done, by which rule, and what made it so."""

    rule: str
    why: str
    consults: bool = False
    evidence: tuple[str, ...] = ()


class PlanFirst(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    planner: str
    executor: str
    failure_threshold: Annotated[int, msgspec.Meta(ge=1)] = 2
    questions: Count = 2
    """So many times the planner may ask the user before it has to make a plan."""
    prompt: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    """The operator's instructions for the planner in place of ours."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None

    REMEMBERS: ClassVar[bool] = True

    def references(self) -> tuple[str, ...]:
        return (self.planner, self.executor)

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        executor = fleet.ordered(self.executor, facts)
        reading = fleet.reading()
        if reading.planning and reading.kind == "main":
            return self._passed_on(facts, fleet, executor, reading)
        before = recalled(fleet.remembered(), reading)
        # Within another model the turns so far may be those of others, and its own first one is still to come.
        due = self.due(facts, reading, before, begins=fleet.nested() and not fleet.remembered())
        served = due.rule != "auxiliary"
        return msgspec.structs.replace(
            executor,
            reason=f"turn={len(reading.turns) + 1}; {due.why}",
            rule=due.rule,
            evidence=due.evidence,
            candidates=(*self._candidates(due), *executor.candidates),
            consult=self._consult(facts, fleet, reading, before, due) if due.consults else None,
            note=before.plan if served else None,
            remember=_recounted(fleet.remembered(), reading, before) if served else None,
        )

    def _passed_on(self, facts: Facts, fleet: Fleet, executor: Ordered, reading: Reading) -> Ordered:
        """Where the agent itself asks for a plan it is the planner that answers, and nothing is kept of it."""
        planner = fleet.ordered(self.planner, facts)
        planner = msgspec.structs.replace(planner, max_tokens=self._caps(planner))
        return msgspec.structs.replace(
            merged([planner, executor]),
            reason=f"turn={len(reading.turns) + 1}; the request asks for a plan of the work: it is the planner's",
            rule="planning",
            candidates=(
                Candidate(self.planner, None, "the planner: answers"),
                Candidate(self.executor, None, "the executor: stands by"),
            ),
            consult=None,
            note=None,
        )

    def due(self, facts: Facts, reading: Reading, before: Memory, *, begins: bool = False) -> Due:
        """1. Not an agent's own turn. 2. The same request again. 3. The plan does not hold. 4. There is none yet.
        5. There is one. 6. There was none to be had. ``begins``: it has not served in this conversation."""
        turns = len(reading.turns)
        if facts.operation != "chat":
            return Due("no_plan", f"{facts.operation} need no plan")
        if reading.kind != "main":
            what = "a call on the side" if reading.kind == "aux" else "a sub-agent's turn"
            return Due("auxiliary", what, evidence=(reading.why,) if reading.why else ())
        if before.plan and reading.fingerprint and before.request == reading.fingerprint:
            return Due("plan_kept", "the request came again, its plan is there")
        if any(command.name == "replan" and command.last for command in reading.commands):
            return Due("replan", "the user asked for a new plan", True)
        failed = last_failures(reading.turns, before.turns)
        if len(failed) >= self.failure_threshold:
            return Due("replan", f"{len(failed)} failed turns in a row", True, failed[-MOST_EVIDENCE:])
        if before.asked_at is not None and turns == before.asked_at + 1:
            return Due("replan" if before.plan else "first_turn", "the planner's questions were answered", True)
        if before.plan:
            return Due("plan_kept", "the plan is followed")
        if any(command.last for command in reading.commands):
            return Due("no_plan", "a command is no task")
        if not turns:
            return Due("first_turn", "nothing is planned yet", True)
        if begins:
            return Due("first_turn", "the first turn that is its own", True)
        chosen = next((command.turn for command in reversed(reading.commands) if command.name == "model"), None)
        if chosen is not None and turns <= chosen + 1 and not reading.looping:
            return Due("first_turn", "the first task since /model", True)
        return Due("no_plan", "there is no plan of this conversation (/replan makes one)")

    def _consult(self, facts: Facts, fleet: Fleet, reading: Reading, before: Memory, due: Due) -> Consult:
        planner = fleet.ordered(self.planner, facts)
        turns = len(reading.turns)
        # The same turn asked about twice (the client has sent it again) is one round; an old round is forgotten.
        rounds = before.rounds if before.asked_at in (turns, turns - 1) else 0
        asked = rounds - (before.asked_at == turns)
        planned = Memory(turns=turns, request=reading.fingerprint)
        request = before.request if before.plan else reading.fingerprint
        questioned = msgspec.structs.replace(before, rounds=asked + 1, asked_at=turns, request=request)
        remember: dict[Advice, Mapping[str, Any]] = {
            "plan": msgspec.to_builtins(planned),
            "questions": msgspec.to_builtins(questioned),
        }
        if due.rule == "replan" or fleet.nested():
            # A planner that cannot be had is asked again after as many failures, not at every turn.
            remember["failed"] = msgspec.to_builtins(msgspec.structs.replace(before, turns=turns))
        return Consult(
            targets=planner.targets,
            why=due.why,
            instructions=self.prompt,
            # Who wants JSON has no use for a question, and in the middle of a tool loop nobody is there to answer it.
            may_ask=asked < self.questions and not facts.structured and not reading.looping,
            max_tokens=self._caps(planner),
            remember=remember,
        )

    def _caps(self, planner: Ordered) -> Mapping[Any, int]:
        cap = self.max_tokens
        if cap is None:
            return planner.max_tokens
        return {target: min(cap, planner.max_tokens.get(target, cap)) for target in planner.targets}

    def _candidates(self, due: Due) -> tuple[Candidate, Candidate]:
        return (
            Candidate(self.planner, None, f"the planner: {'is asked first' if due.consults else 'is not asked'}"),
            Candidate(self.executor, None, "the executor"),
        )


def recalled(kept: Mapping[str, Any], reading: Reading) -> Memory:
    """What is kept, if it is of this conversation; what cannot be read is nothing.

    A conversation that begins has a plan only if the same request has come before. One whose beginning changes on the
    way was summarised or cut.
    """
    try:
        memory = msgspec.convert(kept, Memory)
    except msgspec.ValidationError:
        return Memory()
    begins = not reading.turns and not reading.compacted
    if begins and not (reading.fingerprint and memory.request == reading.fingerprint):
        return Memory()
    return msgspec.structs.replace(memory, turns=0) if len(reading.turns) < memory.turns else memory


def _recounted(kept: Mapping[str, Any], reading: Reading, before: Memory) -> Mapping[str, Any] | None:
    """After a summary turns are counted anew; otherwise what is kept stays."""
    counted = kept.get("turns")
    shrunk = before.plan is not None and isinstance(counted, int) and len(reading.turns) < counted
    return msgspec.to_builtins(before) if shrunk else None


STRATEGY = PlanFirst
