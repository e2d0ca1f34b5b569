"""Shares of the traffic: drawn by weight, without replacement, so that a failure moves on to the next draw."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gateway.chat import Facts
from gateway.routing import Fleet, Ordered, Target


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
        weights: dict[Target, float] = {}
        for share in self.shares():
            for target in fleet.targets(share.target, facts):
                weights[target] = weights.get(target, 0.0) + share.weight
        drawn: list[Target] = []
        while weights:
            drawn.append(draw(weights, fleet.chance()))
            del weights[drawn[-1]]
        return Ordered(tuple(drawn), "drawn by weight")


def draw(weights: dict[Target, float], chance: float) -> Target:
    """One target, each with a likelihood proportional to its weight; ``chance`` is in [0, 1)."""
    point = chance * sum(weights.values())
    for target, weight in weights.items():
        point -= weight
        if point < 0:
            return target
    # All weights are zero (or the sum was rounded up): the order written decides.
    return next(iter(weights))
