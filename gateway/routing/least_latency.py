"""The quicker of two drawn at random (power of two choices) by a moving average of time to first output.

A target without a measurement counts as quick as the quickest, but is drawn seldom at first (slow start): it gains its
full share over ``slow_start`` seconds, so that a target that has just joined or come back is not flooded.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from gateway.chat import Facts
from gateway.routing import Fleet, Latency, Ordered, Target, joined
from gateway.routing.weighted import draw
from gateway.units import Duration

NEWCOMERS_SHARE = 0.1


class LeastLatency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    targets: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    slow_start: Duration = 30.0

    def references(self) -> tuple[str, ...]:
        return self.targets

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        joint = joined(self.targets, facts, fleet)
        measured = {target: fleet.latency(target) for target in joint.targets}
        quickest = min((latency.seconds for latency in measured.values() if latency), default=0.0)
        seconds = {target: latency.seconds if latency else quickest for target, latency in measured.items()}
        by_latency = sorted(seconds, key=seconds.__getitem__)

        best = min(self._draw_two(measured, fleet), key=seconds.__getitem__)
        others = tuple(target for target in by_latency if target != best)
        reason = f"{best} is the quicker of two drawn ({seconds[best] * 1000:.0f} ms to first output)"
        return msgspec.structs.replace(joint, targets=(best, *others), reason=reason, rule="quickest")

    def _draw_two(self, measured: dict[Target, Latency | None], fleet: Fleet) -> list[Target]:
        shares = {target: self._share(latency) for target, latency in measured.items()}
        drawn: list[Target] = []
        while shares and len(drawn) < 2:
            drawn.append(draw(shares, fleet.chance()))
            del shares[drawn[-1]]
        return drawn

    def _share(self, latency: Latency | None) -> float:
        age = latency.age if latency else 0.0
        ramp = age / self.slow_start if self.slow_start else 1.0
        return min(1.0, max(NEWCOMERS_SHARE, ramp))


STRATEGY = LeastLatency
