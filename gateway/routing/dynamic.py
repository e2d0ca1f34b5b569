"""The model that is expected to do the work best for its cost, by what is known of it and by what was measured.

``tasks`` says what kind of work it is, ``weighing`` what each candidate is worth for it; here is decided. A session
stays with its model unless something says that it should not: models differ in manner, and a vendor's cache is warm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec

from gateway.chat import Facts
from gateway.routing import Candidate, Fleet, LeftOut, Ordered, merged
from gateway.routing.evidence import draw
from gateway.routing.tasks import task_of
from gateway.routing.turns import MOST_EVIDENCE, Kind, Reading, last_failures
from gateway.routing.weighing import Contender, Share, Weighed, needs_of, weighed

Weight = Annotated[float, msgspec.Meta(ge=0, le=1)]

DOUBT = 1.0
"""Standard deviations by which a candidate of whom little is known may be better than it is thought to be."""
LITTLE = 60
"""Measured answers to a kind of task below which little is known of a candidate."""
MOST_AGAIN = 3
"""A first request that comes again stays where it is so many times; one that comes more often is no retry, but a
client that always asks the same."""
EXPLORED, STICKY, BEST = "explored", "sticky", "best_score"


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a conversation."""

    at: str
    """The candidate that serves it."""
    task: str
    seen: int = 0
    """How many turns there were when that one took over: what failed before is not held against it."""
    last: int | None = None
    """How many turns there were when it last served: one more by the next time is its own, any others are not."""
    explored: bool = False
    """It was tried, to learn more of it: it is not given up for a better score alone."""
    left: tuple[str, ...] = ()
    """Candidates that failed at this task in this session."""
    kind: Kind = "main"
    request: str = ""
    """The fingerprint of the request with which it began."""
    again: int = 0
    """How often that one has come again."""


class Choice(NamedTuple):
    """Who serves, by which rule, why; and what is kept of it (None: what is kept stays)."""

    first: Weighed
    rule: str
    why: str
    kept: Kept | None = None
    evidence: tuple[str, ...] = ()


class Dynamic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    REMEMBERS: ClassVar[bool] = True

    candidates: Annotated[tuple[str | Contender, ...], msgspec.Meta(min_length=1)]
    cost_weight: Weight = 0.08
    """How much cost counts beside quality: 0 is quality alone; 1 is quality per dollar, which favours the cheap."""
    speed_weight: Weight = 0.02
    """How much the time to first output counts: 0 is not at all."""
    explore: Share = 0.05
    """The share of new sessions that may go to another candidate than the best, to learn of it: to one of whom little
    is known and that may be better, else to one drawn by how likely it is the best. No more than that, however little
    is known; 0: none."""
    failure_threshold: Annotated[int, msgspec.Meta(ge=1)] = 2
    """Failed turns in a row after which a session is given to another candidate."""
    switch_margin: Weight = 0.1
    """How much better another score has to be for a session to move when its task has changed; else twice that."""

    def references(self) -> tuple[str, ...]:
        return tuple(each.model for each in self.contenders())

    def contenders(self) -> tuple[Contender, ...]:
        return tuple(Contender(model=each) if isinstance(each, str) else each for each in self.candidates)

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        reading = fleet.reading()
        kept = self._kept(fleet.remembered(), reading)
        task = "chat" if reading.kind == "aux" else task_of(facts, reading, kept.task if kept else None)
        weighed = self.weigh(task, facts, fleet, warm=kept.at if kept else None)
        able = [each for each in weighed if not each.unmet] or _least_unfit(weighed)
        choice = self._chosen(able, weighed, task, reading, kept, fleet)
        own = _is_own(fleet.remembered(), reading)
        served = msgspec.structs.replace(choice.kept, last=len(reading.turns)) if choice.kept and own else None
        remember = msgspec.to_builtins(served) if served else None
        return _ordered(choice, able, weighed, task, remember)

    def weigh(self, task: str, facts: Facts, fleet: Fleet, warm: str | None = None) -> list[Weighed]:
        """Every candidate, the best score first; equal ones in the order written."""
        found = weighed(
            self.contenders(),
            facts,
            fleet,
            needs_of(task, facts, fleet.reading()),
            cost_weight=self.cost_weight,
            speed_weight=self.speed_weight,
            warm=warm,
        )
        return sorted(found, key=lambda each: -each.score)

    def _kept(self, remembered: Mapping[str, Any], reading: Reading) -> Kept | None:
        """What holds for this request: of the same kind of agent, and a candidate that is still there."""
        if not remembered:
            return None
        try:
            kept = msgspec.convert(remembered, Kept)
        except msgspec.ValidationError:  # kept when the model had another strategy
            return None
        if kept.at not in self.references():
            return None
        if reading.kind != "aux":
            if kept.kind != reading.kind:
                return None
            if not reading.turns and not reading.compacted:
                return _asked_again(kept, reading)
        # A conversation that was summarised has fewer turns than before.
        seen = len(reading.turns) if _others_served(kept, reading) else min(kept.seen, len(reading.turns))
        return msgspec.structs.replace(kept, seen=seen)

    def _chosen(
        self,
        able: Sequence[Weighed],
        weighed: Sequence[Weighed],
        task: str,
        reading: Reading,
        kept: Kept | None,
        fleet: Fleet,
    ) -> Choice:
        """1. A call on the side. 2. A session that begins. 3. One that goes on."""
        if reading.kind == "aux":
            first = min(able, key=lambda each: (each.cost is None, each.cost or 0.0))
            return Choice(first, "auxiliary", f"{reading.why or 'a call on the side'}: the cheapest")
        if kept is None:
            return self._begun(able, task, reading, fleet)
        here = next(each for each in weighed if each.reference == kept.at)
        return self._going_on(here, able, task, reading, kept)

    def _begun(self, able: Sequence[Weighed], task: str, reading: Reading, fleet: Fleet) -> Choice:
        """1. In a bounded share of new sessions: less known, and perhaps better; else drawn. 2. The best score.

        Where turns show that it is no new session, nothing is tried.
        """
        first, rule, why = able[0], BEST, f"the best score for {task}"
        new = not reading.turns and reading.kind == "main" and not reading.compacted
        if new and len(able) > 1 and self.explore and fleet.chance() < self.explore:
            promising, rule = max(able, key=_at_best), EXPLORED
            if promising is not first:
                why = f"less is known of it for {task}, and it may be better than {first.reference}"
                first = promising
            else:
                first, why = _drawn(able, fleet.chance), f"drawn for {task}, to learn more of it"
        return Choice(first, rule, why, _taken_over(first, task, reading, explored=rule == EXPLORED))

    def _going_on(self, here: Weighed, able: Sequence[Weighed], task: str, reading: Reading, kept: Kept) -> Choice:
        """1. It cannot serve this. 2. It failed. 3. Another is better by the margin. 4. It stays."""
        changed = task != kept.task
        left = () if changed else kept.left
        others = [each for each in able if each is not here]
        if all(each is not here for each in able):
            why = f"{here.reference}: {here.unmet[0]}"
            return self._moved(others[0], "context" if here.outgrown else BEST, why, task, reading, left)
        failed = last_failures(reading.turns, kept.seen)
        if len(failed) >= self.failure_threshold and others:
            left = (*left, here.reference)
            # When all have failed the best of the others has another go.
            fresh = [each for each in others if each.reference not in left]
            left = left if fresh else (here.reference,)
            why = f"{len(failed)} failed turns in a row at {here.reference}"
            moved = self._moved((fresh or others)[0], "tool_failures", why, task, reading, left)
            return moved._replace(evidence=failed[-MOST_EVIDENCE:])
        best = next((each for each in others if each.reference not in left), None)
        margin = self.switch_margin if changed else 2 * self.switch_margin
        if best and (changed or not kept.explored) and best.score > here.score * (1 + margin):
            why = f"better{f' for {task}' if changed else ''} than {here.reference} by more than {margin:.0%}"
            return self._moved(best, BEST, why, task, reading, left)
        stays = msgspec.structs.replace(kept, task=task, left=left)
        return Choice(here, STICKY, "the session stays", stays)

    def _moved(self, to: Weighed, rule: str, why: str, task: str, reading: Reading, left: tuple[str, ...]) -> Choice:
        return Choice(to, rule, why, _taken_over(to, task, reading, left=left))


def _taken_over(
    by: Weighed, task: str, reading: Reading, *, explored: bool = False, left: tuple[str, ...] = ()
) -> Kept:
    return Kept(
        at=by.reference,
        task=task,
        seen=len(reading.turns),
        explored=explored,
        left=left,
        kind=reading.kind,
        request="" if reading.turns else reading.fingerprint,
    )


def _is_own(remembered: Mapping[str, Any], reading: Reading) -> bool:
    """An agent within the conversation of another leaves what is kept to that one, and so does a call on the side."""
    if reading.kind == "aux":
        return False
    return reading.kind == "main" or not remembered or remembered.get("kind", "main") == reading.kind


def _others_served(kept: Kept, reading: Reading) -> bool:
    """Within another model, since it last served: their failures, and those before, are not held against it.

    Turns of a model that was chosen by hand count neither way.
    """
    since = len(reading.turns) if kept.last is None else kept.last + 1
    return any(not turn.pinned for turn in reading.turns[since:])


def _asked_again(kept: Kept, reading: Reading) -> Kept | None:
    """Of a conversation that begins: every one is decided anew, unless its very request has just come."""
    same = reading.fingerprint and kept.request == reading.fingerprint and kept.again < MOST_AGAIN
    return msgspec.structs.replace(kept, again=kept.again + 1) if same else None


def _at_best(each: Weighed) -> float:
    """Its score with the benefit of the doubt."""
    doubt = DOUBT if each.n < LITTLE else 0.0
    return each.score / each.quality * min(1.0, each.quality + doubt * each.deviation)


def _drawn(able: Sequence[Weighed], chance: Callable[[], float]) -> Weighed:
    """Thompson sampling: each one's quality is drawn from what is believed of it, and the best of the draws serves."""
    return max(able, key=lambda each: each.score / each.quality * draw(each.good, each.bad, chance))


def _least_unfit(weighed: Sequence[Weighed]) -> list[Weighed]:
    """Where nobody meets the needs: those who lack least, the best score first."""
    return sorted(weighed, key=lambda each: len(each.unmet))


def _ordered(
    choice: Choice,
    able: Sequence[Weighed],
    weighed: Sequence[Weighed],
    task: str,
    remember: Mapping[str, Any] | None,
) -> Ordered:
    """The chosen one first; who else is able stands by, the best score first."""
    first = choice.first
    joint = merged([each.ordered for each in (first, *(each for each in able if each is not first))])
    serving = {each.reference for each in able}
    unable = [each for each in weighed if each.reference not in serving and each.target not in joint.targets]
    unfit = f"; nobody meets the needs ({', '.join(first.unmet)})" if first.unmet else ""
    return msgspec.structs.replace(
        joint,
        reason=f"task={task}; {first.reference}: {choice.why}; score={first.score:.2f}{unfit}",
        rule=choice.rule,
        evidence=choice.evidence,
        task=task,
        candidates=tuple(Candidate(each.reference, round(each.score, 4), each.why(task)) for each in weighed),
        left_out=(*joint.left_out, *(LeftOut(each.target, ", ".join(each.unmet)) for each in unable)),
        remember=remember,
    )


STRATEGY = Dynamic
