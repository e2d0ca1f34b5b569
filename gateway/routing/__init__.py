"""Which targets may serve a request, in which order: the words every strategy speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from gateway.chat import Facts, Turn

Role = Literal["lead", "worker", "none"]
"""Which part a target plays, where the strategy has parts."""


class Target(msgspec.Struct, frozen=True, order=True):
    """Something one can call: an account of ours and a model there. Written ``azure-eu/gpt-4.1``."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class LeftOut(msgspec.Struct, frozen=True, gc=False):
    """A target that is not in the plan, and why."""

    target: Target
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Ordered targets, the reason for the order, and what was left out and why."""

    model: str
    """The public name the client's model resolved to: a configured model, or the target itself."""
    targets: tuple[Target, ...]
    reason: str
    strategy: str = "priority"
    role: Role = "none"
    left_out: tuple[LeftOut, ...] = ()
    max_tokens: Mapping[Target, int] = {}
    """Caps on the answer's length the strategy wants for a target."""


class Latency(msgspec.Struct, frozen=True):
    """Time to first output of one target, in seconds, as a moving average; ``age`` seconds since it joined."""

    seconds: float
    age: float


class Fleet(Protocol):
    """What a strategy may ask of the world. All of it is values; none of it waits."""

    def targets(self, reference: str, facts: Facts, /) -> tuple[Target, ...]:
        """The targets behind ``provider/model`` or behind another configured model, in its own order."""

    def latency(self, target: Target, /) -> Latency | None:
        """What was measured lately, or None for a target nobody has used."""

    def chance(self) -> float:
        """A number in [0, 1)."""

    def turns(self) -> Sequence[Turn]:
        """The conversation so far, for strategies that read it."""


class Ordered(msgspec.Struct, frozen=True):
    """A strategy's answer: targets in order, and why."""

    targets: tuple[Target, ...]
    reason: str
    max_tokens: Mapping[Target, int] = {}
    role: Role = "none"


class Strategy(Protocol):
    """The struct of its own settings plus this one pure method."""

    def references(self) -> tuple[str, ...]:
        """Every ``provider/model`` or model name the settings mention."""

    def order(self, facts: Facts, fleet: Fleet, /) -> Ordered: ...


def joined(references: Sequence[str], facts: Facts, fleet: Fleet) -> tuple[Target, ...]:
    """All targets of the references in order, each once."""
    return tuple(dict.fromkeys(target for reference in references for target in fleet.targets(reference, facts)))
