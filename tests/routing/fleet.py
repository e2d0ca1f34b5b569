"""A fleet as strategies see it, made of what a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.chat import Facts
from gateway.routing import Latency, Measured, Ordered, Target
from gateway.routing.turns import Outcome, Reading, Turn

FAILED = Turn(calls=(Outcome("shell", "error", "Command exited with code 1"),))
WENT_WELL = Turn(calls=(Outcome("shell", "ok"),))


class Fleet:
    """``models`` are the targets behind a name; every other reference ``p/m`` is a target."""

    def __init__(
        self,
        *,
        models: dict[str, str] | None = None,
        chance: Callable[[], float] = lambda: 0.0,
        latencies: dict[str, Latency] | None = None,
        turns: Sequence[Turn] = (),
        reading: Reading | None = None,
        windows: Mapping[str, int] = {},
        prices: Mapping[str, tuple[float, float]] = {},
        measured: Mapping[tuple[str, str], Measured] = {},
        remembered: Mapping[str, Any] = {},
        nested: bool = False,
    ) -> None:
        """``prices``: dollars per token in and out."""
        self._models, self.chance = models or {}, chance
        self._reading = reading or Reading(turns=tuple(turns))
        self._latencies = {target(name): latency for name, latency in (latencies or {}).items()}
        self._windows, self._prices, self._measured = windows, prices, measured
        self._remembered, self._nested = remembered, nested

    def ordered(self, reference: str, facts: Facts) -> Ordered:
        targets = tuple(target(name) for name in self._models.get(reference, reference).split())
        return Ordered(targets=targets, reason="as written", rule="configured")

    def latency(self, target: Target) -> Latency | None:
        return self._latencies.get(target)

    def reading(self) -> Reading:
        return self._reading

    def window(self, target: Target) -> int | None:
        return self._windows.get(target.provider)

    def price(self, target: Target, input_tokens: int, output_tokens: int) -> float | None:
        price = self._prices.get(target.provider)
        return price and price[0] * input_tokens + price[1] * output_tokens

    def measured(self, target: Target, task: str) -> Measured:
        return self._measured.get((target.provider, task), Measured())

    def nested(self) -> bool:
        return self._nested

    def remembered(self) -> Mapping[str, Any]:
        return self._remembered


def target(name: str) -> Target:
    provider, _, model = name.partition("/")
    return Target(provider, model or "m")
