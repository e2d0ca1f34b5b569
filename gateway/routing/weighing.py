"""What each candidate is worth for a request: can it serve at all, how well is it expected to, for how much, how soon.

    score = quality / relative cost ** cost_weight * relative speed ** speed_weight

Quality is the mean of a Beta distribution: what is believed of the model (``capabilities``, or the operator's word) and
what was measured of its target (``evidence``), each with its weight. Cost is that of the expected tokens, relative to
the dearest candidate's; speed is the time to first output, relative to the quickest candidate's. What is not known
counts for nobody: a price that is missing is taken for the dearest, a latency for the quickest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from gateway.abilities import abilities
from gateway.chat import Facts
from gateway.routing import Fleet, Measured, Ordered, Target
from gateway.routing.capabilities import LANGUAGES, TOLD, grades
from gateway.routing.evidence import deviation
from gateway.routing.room import room_in
from gateway.routing.tasks import is_foreign
from gateway.routing.turns import Reading

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]

ANSWER = 800
"""Tokens an answer is expected to have."""
WARM = 0.25
"""What of the price of the history is paid where the vendor's cache holds it: their discounts are 50 to 90 %."""
FREE = 0.01
"""What costs nothing counts as this share of the dearest."""


class Skills(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well a candidate does each kind of work, 0 to 1; what is not said is as known of the model's name."""

    chat: Share | None = None
    """Questions and talk."""
    code: Share | None = None
    """Programs."""
    reasoning: Share | None = None
    """Weighing, explaining, planning."""
    maths: Share | None = None
    """Calculating, proving."""
    writing: Share | None = None
    """Texts for people."""
    tools: Share | None = None
    """Calling tools."""
    vision: Share | None = None
    """Looking at images."""
    structured: Share | None = None
    """Answering in JSON."""
    languages: Share | None = None
    """Texts in letters other than Latin ones."""


class Contender(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One candidate, and what is to be believed of it instead of what is known of its name."""

    model: str
    skills: Skills = Skills()
    vision: bool | None = None
    """Whether it sees images."""
    tools: bool | None = None
    """Whether it calls tools."""
    json_schema: bool | None = None
    """Whether it can be held to a JSON schema."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a request wants of whoever serves it. Tokens."""

    task: str
    skills: tuple[str, ...]
    images: bool
    tools: bool
    structured: bool
    input: int
    answer: int
    """Expected, for what it costs."""
    room: int | None
    """Asked for, for whether it fits; None: nobody has said."""


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate, with all that went into its score."""

    reference: str
    ordered: Ordered
    good: float
    bad: float
    n: float
    """Measured answers, as far as they have not faded; ``good`` and ``bad`` hold what was believed, too."""
    cost: float | None
    """US dollars."""
    seconds: float | None
    unmet: tuple[str, ...] = ()
    score: float = 0.0

    @property
    def target(self) -> Target:
        return self.ordered.targets[0]

    @property
    def quality(self) -> float:
        return self.good / (self.good + self.bad)

    @property
    def deviation(self) -> float:
        return deviation(self.good, self.bad)

    @property
    def outgrown(self) -> bool:
        return any(why.startswith("window") for why in self.unmet)

    def why(self, task: str) -> str:
        """What the score is made of, in one line."""
        facts = [f"{task} {self.quality:.2f}±{self.deviation:.2f} (n={self.n:.0f})"]
        facts += [f"${self.cost:.2g}" if self.cost is not None else "no price"]
        facts += [f"{self.seconds:.1f} s"] if self.seconds is not None else []
        return ", ".join([*facts, *self.unmet])


def needs_of(task: str, facts: Facts, reading: Reading) -> Needs:
    """Tools on offer want tool use beside the task's own skill, other scripts want languages."""
    wanted = [task, *(["tools"] if facts.tools else []), *([LANGUAGES] if is_foreign(reading.asked) else [])]
    room = next((said for name in _BOUNDS if type(said := facts.parameters.get(name)) is int and said > 0), None)
    return Needs(
        task=task,
        skills=tuple(dict.fromkeys(wanted)),
        images=reading.images,
        tools=facts.tools,
        structured=facts.structured,
        input=reading.tokens or facts.size // 4,
        answer=min(room or ANSWER, ANSWER),
        room=room,
    )


_BOUNDS = ("max_completion_tokens", "max_tokens")


def weighed(
    contenders: Sequence[Contender],
    facts: Facts,
    fleet: Fleet,
    needs: Needs,
    *,
    cost_weight: float,
    speed_weight: float,
    warm: str | None = None,
) -> list[Weighed]:
    """Every candidate once, in the order given. ``warm``: the one whose vendor has the history in its cache."""
    found = [_one(each, facts, fleet, needs, each.model == warm) for each in contenders]
    costs = [each.cost for each in found if each.cost is not None]
    dearest, quickest = max(costs, default=0.0), min((each.seconds for each in found if each.seconds), default=0.0)
    return [
        msgspec.structs.replace(
            each,
            score=each.quality
            / _relative(each.cost, dearest) ** cost_weight
            * (quickest / (each.seconds or quickest or 1) or 1) ** speed_weight,
        )
        for each in found
    ]


def _relative(cost: float | None, dearest: float) -> float:
    return 1.0 if cost is None or dearest <= 0 else max(cost / dearest, FREE)


def _one(contender: Contender, facts: Facts, fleet: Fleet, needs: Needs, warm: bool) -> Weighed:
    ordered = fleet.ordered(contender.model, facts)
    target = ordered.targets[0]
    measured, latency = fleet.measured(target, needs.task), fleet.latency(target)
    good, bad = posterior([believed_of(contender, target, skill) for skill in needs.skills], measured)
    return Weighed(
        reference=contender.model,
        ordered=ordered,
        good=good,
        bad=bad,
        n=measured.good + measured.bad,
        cost=fleet.price(target, round(needs.input * (WARM if warm else 1)), needs.answer),
        seconds=latency.seconds if latency else None,
        unmet=_unmet(contender, target, needs, fleet.window(target)),
    )


def believed_of(contender: Contender, target: Target, skill: str) -> tuple[float, float]:
    """The expected score and its weight: the operator's word, else as known of the name."""
    said = getattr(contender.skills, skill, None)
    return grades(target.model).grade(skill) if said is None else (said, TOLD)


def posterior(believed: Sequence[tuple[float, float]], measured: Measured) -> tuple[float, float]:
    """The mean of what is believed of each skill that is wanted, and what was measured. Both sides are above 0."""
    expected = sum(score for score, _ in believed) / len(believed)
    weight = sum(weight for _, weight in believed) / len(believed)
    expected = min(0.98, max(0.02, expected))
    return expected * weight + measured.good, (1 - expected) * weight + measured.bad


def _unmet(contender: Contender, target: Target, needs: Needs, window: int | None) -> tuple[str, ...]:
    """What is not known to be missing is there."""
    able = abilities(target.model)
    table = (
        (needs.images, contender.vision, able.images, "sees no images"),
        (needs.tools, contender.tools, able.tools, "calls no tools"),
        (needs.structured, contender.json_schema, able.schema, "cannot be held to a JSON schema"),
    )
    unmet = [why for wanted, told, known, why in table if wanted and (known if told is None else told) is False]
    if window:
        room = room_in(window) if needs.room is None else needs.room
        if needs.input + room > window:
            unmet.append(f"window {window} is too small for about {needs.input} tokens and {room} of answer")
    return tuple(unmet)
