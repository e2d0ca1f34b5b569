"""What is known of every target: breaker, keys, latency, retry budget. Passive: learnt from the traffic itself.

State lives here and outlives a reload; settings come in from outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from gateway.errors import Fault, FaultKind
from gateway.resilience import BreakerSettings
from gateway.resilience.breaker import Breaker, State
from gateway.resilience.keys import Keys
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


class Moved(msgspec.Struct, frozen=True):
    """A breaker changed its state."""

    target: Target
    before: State
    after: State


class Ticket(msgspec.Struct):
    """One attempt under way."""

    target: Target
    key: str | None
    began: float
    streamed: bool
    retry: bool = False
    released: bool = False
    settled: bool = False


class _Average:
    """A moving average over time of the seconds to first output."""

    def __init__(self, now: float) -> None:
        self.since = now
        self.seconds: float | None = None
        self._at = now

    def add(self, seconds: float, now: float) -> None:
        if self.seconds is None:
            self.seconds = seconds
        else:
            # A rise counts at once, a fall only slowly (peak EWMA): a target that turns slow is left quickly.
            keep = math.exp(-(now - self._at) * math.log(2) / HALF_LIFE) if now > self._at else 0.9
            keep = min(keep, 0.9)
            self.seconds = seconds if seconds > self.seconds else self.seconds * keep + seconds * (1 - keep)
        self._at = now


class Health:
    """``begin`` an attempt, then ``succeed``, ``fail`` or ``abandon`` it. ``now`` is always seconds of one clock."""

    def __init__(self, breaker_settings: Callable[[Target], BreakerSettings]) -> None:
        self._settings = breaker_settings
        self._breakers: dict[Target, Breaker] = {}
        self._averages: dict[tuple[Target, bool], _Average] = {}
        self._keys: dict[str, Keys] = {}
        # Provider -> its first tries and its retries of the last minute.
        self._budgets: dict[str, Window] = {}

    def adopt(self, breaker_settings: Callable[[Target], BreakerSettings], keys: Mapping[str, Sequence[str]]) -> None:
        """A new configuration: what is known of providers that stay is kept, under the new settings."""
        self._settings = breaker_settings
        self._keys = {name: self._keys.get(name) or Keys(pool) for name, pool in keys.items()}
        for name, pool in keys.items():
            self._keys[name].adopt(pool)
        self._breakers = {target: each for target, each in self._breakers.items() if target.provider in keys}
        self._averages = {known: each for known, each in self._averages.items() if known[0].provider in keys}
        self._budgets = {name: each for name, each in self._budgets.items() if name in keys}
        for target, breaker in self._breakers.items():
            breaker.adopt(breaker_settings(target))

    def breaker(self, target: Target) -> Breaker:
        breaker = self._breakers.get(target)
        if breaker is None:
            breaker = self._breakers[target] = Breaker(self._settings(target))
        return breaker

    def breakers(self) -> Mapping[Target, Breaker]:
        return self._breakers

    def keys(self, provider: str) -> Keys:
        return self._keys.setdefault(provider, Keys(()))

    # Before an attempt

    def allows(self, target: Target, now: float) -> bool:
        return self.breaker(target).allows(now) and self.keys(target.provider).usable(target.model, now)

    def why_not(self, target: Target, now: float) -> str:
        if not self.breaker(target).allows(now):
            return f"breaker {self.breaker(target).state.value}"
        return "no usable key (dead or cooling)"

    def triage(self, plan: Plan, now: float) -> Plan:
        """The plan without the targets that are shut now; with all of them shut, least recently failed first."""
        free = tuple(target for target in plan.targets if self.allows(target, now))
        if len(free) == len(plan.targets):
            return plan
        if not free:
            waiting = sorted(plan.targets, key=lambda target: self.breaker(target).failed_at or 0.0)
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

    def may_retry(self, provider: str, ratio: float, now: float) -> bool:
        """Are there retries left of the provider's budget: ``ratio`` of its requests in the last minute, at least 3?"""
        tries, retries = self._budget(provider).counts(now)
        return retries < max(BUDGET_FLOOR, ratio * tries)

    def begin(self, target: Target, now: float, *, retry: bool, streamed: bool) -> Ticket:
        """Counts the attempt and takes the key it is to use."""
        probe = self.breaker(target).begin()
        self._budget(target.provider).add(now, first=not retry, second=retry)
        self._average(target, streamed, now)
        key = self.keys(target.provider).take(target.model, now)
        return Ticket(target, key, now, streamed, retry, released=not probe)

    # After it

    def first_output(self, ticket: Ticket, now: float) -> None:
        """The vendor has begun to answer: how quick it was is known, how it ends is not."""
        self._average(ticket.target, ticket.streamed, now).add(now - ticket.began, now)
        self._release(ticket)

    def succeed(self, ticket: Ticket, now: float) -> Moved | None:
        """The answer was whole. Only the first verdict on an attempt counts."""
        if ticket.settled:
            return None
        ticket.settled = True
        self.keys(ticket.target.provider).revive(ticket.key)
        self._release(ticket)
        return self._moving(ticket.target, lambda breaker: breaker.succeed(now))

    def fail(self, ticket: Ticket, fault: Fault, now: float) -> Moved | None:
        if ticket.settled:
            return None
        ticket.settled = True
        keys = self.keys(ticket.target.provider)
        self._release(ticket)
        if fault.kind in KILLS_KEY:
            keys.kill(ticket.key, now)
        elif fault.kind is FaultKind.RATE_LIMITED:
            keys.cool(ticket.key, ticket.target.model, fault.retry_after, now)
        if fault.kind in COUNTS:
            return self._moving(ticket.target, lambda breaker: breaker.fail(now))
        return None

    def abandon(self, ticket: Ticket) -> None:
        """The attempt ended without a verdict: the client left. After a verdict this does nothing."""
        ticket.settled = True
        self._release(ticket)

    def latency(self, target: Target, streamed: bool, now: float) -> Latency | None:
        average = self._averages.get((target, streamed))
        if average is None or average.seconds is None:
            return None
        closed = self.breaker(target).closed_at
        return Latency(average.seconds, now - max(average.since, average.since if closed is None else closed))

    def _average(self, target: Target, streamed: bool, now: float) -> _Average:
        average = self._averages.get((target, streamed))
        if average is None:
            average = self._averages[target, streamed] = _Average(now)
        return average

    def _release(self, ticket: Ticket) -> None:
        if not ticket.released:
            ticket.released = True
            self.breaker(ticket.target).release()

    def _moving(self, target: Target, change: Callable[[Breaker], None]) -> Moved | None:
        breaker = self.breaker(target)
        before = breaker.state
        change(breaker)
        return Moved(target, before, breaker.state) if breaker.state is not before else None

    def _budget(self, provider: str) -> Window:
        budget = self._budgets.get(provider)
        if budget is None:
            budget = self._budgets[provider] = Window(BUDGET_WINDOW)
        return budget
