"""What is known of targets: breaker, keys, latency, and their provider's errors and retries. Passive: learnt from the
traffic itself.

State lives here and outlives a reload; settings come in from outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

import msgspec

from gateway.errors import Fault, FaultKind
from gateway.resilience import BreakerSettings, SpikeSettings
from gateway.resilience.breaker import Breaker, State
from gateway.resilience.keys import Keys
from gateway.resilience.spike import Spike, Swing
from gateway.resilience.window import Window
from gateway.routing import Latency, LeftOut, Plan, Target

# Faults that say something about the target's health (design.md §4). Others are the caller's, the key's or a limit's.
COUNTS = frozenset(
    (
        FaultKind.OVERLOADED,
        FaultKind.SERVER_ERROR,
        FaultKind.UNREACHABLE,
        FaultKind.TIMEOUT_CONNECT,
        FaultKind.TIMEOUT_FIRST_TOKEN,
        FaultKind.TIMEOUT_IDLE,
        FaultKind.TIMEOUT_TOTAL,
        FaultKind.GARBLED,
        FaultKind.BROKEN_STREAM,
    )
)
KILLS_KEY = frozenset((FaultKind.BAD_CREDENTIALS, FaultKind.OUT_OF_CREDIT))

# A measurement loses half its weight in this many seconds.
HALF_LIFE = 30.0
BUDGET_WINDOW = 60.0
BUDGET_FLOOR = 3
# Targets that are remembered.
MOST_KNOWN = 2048

K = TypeVar("K")
V = TypeVar("V")


class Moved(msgspec.Struct, frozen=True):
    """A breaker changed its state."""

    target: Target
    before: State
    after: State


class _Average:
    """A moving average over time of the seconds to first output."""

    def __init__(self, now: float) -> None:
        self.since = now
        self.seconds: float | None = None
        self._at = now

    def read(self, now: float) -> float | None:
        """The average, fading while nobody asks: a target that was slow once gets another chance."""
        if self.seconds is None:
            return None
        return self.seconds * math.exp(-max(0.0, now - self._at) * math.log(2) / HALF_LIFE)

    def add(self, seconds: float, now: float) -> None:
        if self.seconds is None:
            self.seconds = seconds
        else:
            # A rise counts at once, a fall only slowly (peak EWMA): a target that turns slow is left quickly.
            keep = math.exp(-(now - self._at) * math.log(2) / HALF_LIFE) if now > self._at else 0.9
            keep = min(keep, 0.9)
            self.seconds = seconds if seconds > self.seconds else self.seconds * keep + seconds * (1 - keep)
        self._at = now


class Ticket(msgspec.Struct):
    """One attempt under way."""

    target: Target
    keys: Keys
    key: str | None
    began: float
    streamed: bool
    retry: bool
    breaker: Breaker
    generation: int
    average: _Average
    probe: bool = False
    """It finds out whether a sick target is well again."""
    released: bool = False
    settled: bool = False

    @property
    def place(self) -> int:
        """Which of the provider's keys it uses, from 1."""
        return self.keys.keys.index(self.key) + 1


def _usual(provider: str) -> SpikeSettings:
    return SpikeSettings()


def _never() -> float:
    """No trial is drawn."""
    return 1.0


class Health:
    """``begin`` an attempt, then ``succeed``, ``fail`` or ``abandon`` it. ``now`` is always seconds of one clock.

    ``moved`` is told of every breaker that changes its state, ``swung`` of every provider demoted or restored.
    """

    def __init__(
        self,
        breaker_settings: Callable[[Target], BreakerSettings],
        moved: Callable[[Moved], None] = lambda moved: None,
        spike_settings: Callable[[str], SpikeSettings] = _usual,
        swung: Callable[[Swing], None] = lambda swing: None,
    ) -> None:
        self._settings, self._moved = breaker_settings, moved
        self._spike_settings, self._swung = spike_settings, swung
        self._spikes: dict[str, Spike] = {}
        # Those of the spikes that are demoted: mostly none, and then a plan costs nothing.
        self._demoted: dict[str, Spike] = {}
        self._breakers: dict[Target, Breaker] = {}
        self._averages: dict[tuple[Target, bool], _Average] = {}
        self._keys: dict[str, Keys] = {}
        # Provider -> its first tries and its retries of the last minute.
        self._budgets: dict[str, Window] = {}

    def adopt(
        self,
        breaker_settings: Callable[[Target], BreakerSettings],
        keys: Mapping[str, Keys],
        changed: Collection[str] = (),
        spike_settings: Callable[[str], SpikeSettings] = _usual,
    ) -> None:
        """A new configuration: what is known of providers that stay is kept, under the new settings.

        ``changed`` providers keep their name alone: another vendor or place answers to it now.
        """
        kept = set(keys) - set(changed)
        self._settings, self._keys = breaker_settings, dict(keys)
        self._breakers = {target: each for target, each in self._breakers.items() if target.provider in kept}
        self._averages = {known: each for known, each in self._averages.items() if known[0].provider in kept}
        self._budgets = {name: each for name, each in self._budgets.items() if name in kept}
        self._spike_settings = spike_settings
        self._spikes = {name: each for name, each in self._spikes.items() if name in kept}
        self._demoted = {name: each for name, each in self._demoted.items() if name in kept}
        for target, breaker in self._breakers.items():
            breaker.adopt(breaker_settings(target))
        for name, spike in self._spikes.items():
            spike.adopt(spike_settings(name))

    def breaker(self, target: Target) -> Breaker:
        """The target's breaker, made when it is first called."""
        breaker = self._breakers.get(target)
        if breaker is None:
            _make_room(self._breakers, lambda each: each.state is State.CLOSED)
            breaker = Breaker(self._settings(target), partial(self._tell, target))
            self._breakers[target] = breaker
        return breaker

    def _tell(self, target: Target, before: State, after: State) -> None:
        self._moved(Moved(target, before, after))

    def _spike(self, provider: str, now: float) -> Spike:
        return Spike(provider, self._spike_settings(provider), now, self._swing)

    def _swing(self, swing: Swing) -> None:
        if swing.demoted:
            self._demoted[swing.provider] = self._spikes[swing.provider]
        else:
            del self._demoted[swing.provider]
        self._swung(swing)

    def spikes(self) -> Mapping[str, Spike]:
        """Of the providers that were called."""
        return self._spikes

    def breakers(self) -> Mapping[Target, Breaker]:
        return self._breakers

    def keys(self, provider: str) -> Keys:
        return self._keys.get(provider) or Keys(())

    # Before an attempt

    def allows(self, target: Target, now: float) -> bool:
        if not self._closed(target, now):
            return False
        keys = self._keys.get(target.provider)
        return keys is None or keys.usable(target.model, now)

    def _closed(self, target: Target, now: float) -> bool:
        breaker = self._breakers.get(target)
        return breaker is None or breaker.state is State.CLOSED or breaker.allows(now)

    def why_not(self, target: Target, now: float) -> str:
        if not self._closed(target, now):
            return f"breaker {self.breaker(target).state.value}"
        return "no usable key (dead or cooling)"

    def triage(self, plan: Plan, now: float, chance: Callable[[], float] = _never) -> Plan:
        """The plan with the targets that are shut now at its end, and before them those of demoted providers.

        With all of them shut, least recently failed first. ``chance()`` is in [0, 1): it draws the trials.
        """
        free = tuple([target for target in plan.targets if self.allows(target, now)])
        if self._demoted:
            plan, free = self._ranked(plan, free, now, chance)
        if free == plan.targets:
            return plan
        if not free:
            waiting = sorted(plan.targets, key=lambda target: self._shut_since(target, now))
            return msgspec.structs.replace(
                plan, targets=tuple(waiting), reason=f"{plan.reason}; panic: every target is shut"
            )
        shut = [target for target in plan.targets if target not in free]
        # Shut targets stay at the end: when all else fails, one call to a sick vendor beats an error.
        return msgspec.structs.replace(
            plan,
            targets=(*free, *shut),
            left_out=(*plan.left_out, *(LeftOut(target, self.why_not(target, now)) for target in shut)),
        )

    def _ranked(
        self, plan: Plan, free: tuple[Target, ...], now: float, chance: Callable[[], float]
    ) -> tuple[Plan, tuple[Target, ...]]:
        """The free targets with those of demoted providers behind, and the plan with the reason.

        1. None of them, or all. 2. Nobody would be asked in another order. 3. A trial. 4. Behind the others.
        """
        sick = {name: each for name, each in tuple(self._demoted.items()) if each.demotes(now)}
        well = tuple(target for target in free if target.provider not in sick)
        behind = tuple(target for target in free if target.provider in sick)
        if not (well and behind):
            return plan, free
        if free == (*well, *behind):
            return plan, free
        first = free[0].provider
        begins = plan.turn is None or plan.turn == 1
        if first in sick and sick[first].takes_trial(chance(), now, begins=begins):
            return msgspec.structs.replace(plan, reason=f"{plan.reason}; a trial of {first} (demoted)"), free
        left_out = tuple(LeftOut(target, f"{sick[target.provider].why} (demoted)") for target in behind)
        why = "; ".join(dict.fromkeys(each.reason for each in left_out))
        return (
            msgspec.structs.replace(plan, reason=f"{plan.reason}; {why}", left_out=(*plan.left_out, *left_out)),
            (*well, *behind),
        )

    def _shut_since(self, target: Target, now: float) -> float:
        """Sorts the shut: least recently failed first, and behind them those that asked not to be called yet."""
        keys, breaker = self.keys(target.provider), self._breakers.get(target)
        if not keys.usable(target.model, now):
            return keys.usable_at(target.model)
        return breaker.failed_at or 0.0 if breaker else 0.0

    def may_retry(self, provider: str, ratio: float, now: float) -> bool:
        """Are there retries left of the provider's budget: ``ratio`` of its requests in the last minute, at least 3?"""
        tries, retries = self._budget(provider).counts(now)
        return retries < max(BUDGET_FLOOR, ratio * tries)

    def reserve_retry(self, provider: str, now: float) -> None:
        """Takes one retry off the budget, when it is decided and not when it begins: a pause lies between."""
        self._budget(provider).add(now, second=1)

    def begin(self, target: Target, keys: Keys, now: float, *, retry: bool, streamed: bool) -> Ticket:
        """Counts the attempt and takes the key it is to use, out of the pool of the configuration it began with."""
        breaker = self.breaker(target)
        if not retry:
            self._budget(target.provider).add(now, first=1)
        average = self._average(target, streamed, now)
        key = keys.take(target.model, now)
        probe = breaker.state is State.HALF_OPEN
        if target.provider not in self._spikes:
            self._spikes[target.provider] = self._spike(target.provider, now)
        return Ticket(target, keys, key, now, streamed, retry, breaker, breaker.begin(), average, probe)

    # After it

    def first_output(self, ticket: Ticket, now: float) -> None:
        """The vendor has begun to answer: how quick it was is known, and that the key is good; how it ends is not."""
        ticket.average.add(now - ticket.began, now)
        ticket.keys.revive(ticket.key)
        self._release(ticket)

    def succeed(self, ticket: Ticket, now: float) -> bool:
        """The answer was whole. Only the first verdict on an attempt counts (False: it was not)."""
        if not self._settle(ticket):
            return False
        ticket.keys.revive(ticket.key)
        ticket.breaker.succeed(now, ticket.generation)
        if spike := self._spikes.get(ticket.target.provider):
            spike.succeed(ticket.began, now)
        return True

    def fail(self, ticket: Ticket, fault: Fault, now: float) -> None:
        """Health counts what vendor or network did wrong; keys cool, die, or are seen to be good."""
        if not self._settle(ticket):
            return
        if fault.kind in KILLS_KEY:
            ticket.keys.kill(ticket.key, now)
        elif fault.status is not None:
            ticket.keys.revive(ticket.key)
        if fault.kind is FaultKind.RATE_LIMITED:
            ticket.keys.cool(ticket.key, ticket.target.model, fault.retry_after, now)
        if fault.kind in COUNTS and fault.origin in ("vendor", "network"):
            ticket.breaker.fail(now, ticket.generation)
            if spike := self._spikes.get(ticket.target.provider):
                spike.fail(ticket.began, now)

    def abandon(self, ticket: Ticket) -> bool:
        """The attempt ended without a verdict: the client left. After a verdict this does nothing (False)."""
        return self._settle(ticket)

    def _settle(self, ticket: Ticket) -> bool:
        if ticket.settled:
            return False
        ticket.settled = True
        self._release(ticket)
        return True

    def latency(self, target: Target, streamed: bool, now: float) -> Latency | None:
        average = self._averages.get((target, streamed))
        seconds = average.read(now) if average else None
        if average is None or seconds is None:
            return None
        breaker = self._breakers.get(target)
        closed = breaker.closed_at if breaker else None
        return Latency(seconds, now - max(average.since, average.since if closed is None else closed))

    def _average(self, target: Target, streamed: bool, now: float) -> _Average:
        average = self._averages.get((target, streamed))
        if average is None:
            _make_room(self._averages, lambda each: True)
            average = self._averages[target, streamed] = _Average(now)
        return average

    def _release(self, ticket: Ticket) -> None:
        if not ticket.released:
            ticket.released = True
            ticket.breaker.release(ticket.generation)

    def _budget(self, provider: str) -> Window:
        budget = self._budgets.get(provider)
        if budget is None:
            budget = self._budgets[provider] = Window(BUDGET_WINDOW)
        return budget


def _make_room(known: dict[K, V], dispensable: Callable[[V], bool]) -> None:
    """Clients name models as they like: the oldest of too many gives way, if it tells nothing."""
    if len(known) >= MOST_KNOWN and (oldest := next((key for key in known if dispensable(known[key])), None)):
        del known[oldest]
