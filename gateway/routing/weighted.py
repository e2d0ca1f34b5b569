"""Shares of the traffic: drawn by weight, without replacement, so that a failure moves on to the next draw."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from gateway.chat import Facts
from gateway.routing import Fleet, Ordered, joined

T = TypeVar("T")


class Share(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    target: str
    weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """Weight 0: never drawn first, only a stand-by."""


class Weighted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    targets: Annotated[tuple[str | Share, ...], msgspec.Meta(min_length=1)]

    def shares(self) -> tuple[Share, ...]:
        return tuple(each if isinstance(each, Share) else Share(target=each) for each in self.targets)

    def references(self) -> tuple[str, ...]:
        return tuple(share.target for share in self.shares())

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        weights: dict[str, float] = {}
        for each in self.targets:
            target, weight = (each.target, each.weight) if isinstance(each, Share) else (each, 1.0)
            weights[target] = weights.get(target, 0.0) + weight
        drawn: list[str] = []
        while weights:
            drawn.append(draw(weights, fleet.chance()))
            del weights[drawn[-1]]
        # A share that is a model of several targets is one share; inside it the model's own order holds.
        return msgspec.structs.replace(joined(drawn, facts, fleet), reason="drawn by weight", rule="drawn")


def draw(weights: dict[T, float], chance: float) -> T:
    """One of them, each with a likelihood proportional to its weight; ``chance`` is in [0, 1)."""
    point = chance * sum(weights.values())
    for each, weight in weights.items():
        point -= weight
        if point < 0:
            return each
    # All weights are zero: the order written decides. (Or the sum was rounded up: the heaviest.)
    return max(weights, key=weights.__getitem__)


STRATEGY = Weighted
