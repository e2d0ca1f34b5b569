"""Given what has been tried, what next? A pure function of history."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from gateway.dialects.faults import refuses_signatures
from gateway.errors import Fault, FaultKind
from gateway.resilience import Resilience
from gateway.resilience.backoff import pause
from gateway.routing import Plan, Target


class Reaction(enum.Enum):
    WAIT_OR_MOVE_ON = "move on at once; with nobody else free, wait as long as the vendor asked"
    RETRY = "same target after a pause, then move on"
    RETRY_AT_ONCE = "same target once, at once, on a fresh connection, then move on"
    RETRY_ONCE = "same target once after a pause, then move on"
    MOVE_ON = "next target, now"
    NEXT_KEY = "same target with the next key, then move on"
    LARGER_WINDOW = "a target with a larger window, or nobody"
    POLICY = "nobody, unless the model says otherwise"
    STOP = "nobody would answer this differently"


REACTIONS = {
    FaultKind.RATE_LIMITED: Reaction.WAIT_OR_MOVE_ON,
    FaultKind.OVERLOADED: Reaction.RETRY,
    FaultKind.SERVER_ERROR: Reaction.RETRY,
    FaultKind.UNREACHABLE: Reaction.RETRY_AT_ONCE,
    FaultKind.TIMEOUT_CONNECT: Reaction.MOVE_ON,
    FaultKind.TIMEOUT_FIRST_TOKEN: Reaction.MOVE_ON,
    FaultKind.TIMEOUT_IDLE: Reaction.MOVE_ON,
    FaultKind.TIMEOUT_TOTAL: Reaction.MOVE_ON,
    FaultKind.BAD_CREDENTIALS: Reaction.NEXT_KEY,
    FaultKind.OUT_OF_CREDIT: Reaction.NEXT_KEY,
    FaultKind.MODEL_MISSING: Reaction.MOVE_ON,
    FaultKind.GARBLED: Reaction.RETRY_ONCE,
    FaultKind.BROKEN_STREAM: Reaction.MOVE_ON,
    FaultKind.BAD_REQUEST: Reaction.STOP,
    FaultKind.CONTEXT_TOO_LONG: Reaction.LARGER_WINDOW,
    FaultKind.REFUSED: Reaction.POLICY,
}

# A target left early because it asked for patience may be asked again when nobody else is left.
_PATIENT = frozenset((Reaction.WAIT_OR_MOVE_ON, Reaction.RETRY))


class Attempt(msgspec.Struct, frozen=True):
    """One physical call: the n-th of its exchange, ``delay`` seconds from now."""

    number: int
    target: Target
    delay: float = 0.0
    fresh: bool = False
    bare: bool = False
    """Without the thoughts of earlier turns, whose signatures the target has refused."""
    """On a connection of its own: the kept-alive ones may be dead."""
    reason: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt failed, and when (seconds of any one clock)."""

    attempt: Attempt
    fault: Fault
    at: float


class Allows(Protocol):
    """What the world allows at this moment."""

    def target(self, target: Target, /) -> bool:
        """Breaker closed (or probing), some key alive and not cooling."""

    def retry(self, target: Target, /) -> bool:
        """The provider's retry budget is not used up."""

    def another_key(self, target: Target, /) -> bool:
        """The provider has a key that is neither dead nor cooling for this target."""

    def window(self, target: Target, /) -> int | None:
        """The context window in tokens, where it is known."""


class Policy(msgspec.Struct, frozen=True):
    """How hard to try: of the exchange, and of each target."""

    exchange: Resilience
    of: Callable[[Target], Resilience]
    jitter: Callable[[], float]


def next_attempt(plan: Plan, history: Sequence[Outcome], policy: Policy, allows: Allows) -> Attempt | None:
    """The next call to make, or None when nobody is left (or nobody would answer differently)."""
    if len(history) >= policy.exchange.max_attempts:
        return None
    if not history:
        return _first(plan, allows)
    last = history[-1]
    reaction = REACTIONS[last.fault.kind]
    if refuses_signatures(last.fault) and not last.attempt.bare:
        return Attempt(len(history) + 1, last.attempt.target, bare=True, reason="without the thoughts it refused")
    if reaction is Reaction.STOP or (reaction is Reaction.POLICY and policy.exchange.on_refused == "stop"):
        return None
    if reaction is Reaction.LARGER_WINDOW:
        return _larger(plan, history, allows)
    return (
        _again(plan, history, reaction, policy, allows)
        or _next_target(plan, history, allows)
        or _nobody_free(plan, history, policy, allows)
    )


def _first(plan: Plan, allows: Allows) -> Attempt | None:
    for target in plan.targets:
        if allows.target(target):
            return Attempt(1, target)
    # Panic: every target is shut. The plan has them least recently failed first, and one of them is tried anyway.
    return Attempt(1, plan.targets[0], reason="every target is shut; tried anyway") if plan.targets else None


def _again(
    plan: Plan, history: Sequence[Outcome], reaction: Reaction, policy: Policy, allows: Allows
) -> Attempt | None:
    """Another try on the target that has just failed, where its fault deserves one."""
    last = history[-1]
    target, fault, number = last.attempt.target, last.fault, len(history) + 1
    settings = policy.of(target)
    tries = sum(outcome.attempt.target == target for outcome in history)
    if reaction is Reaction.NEXT_KEY:
        if allows.another_key(target):
            return Attempt(number, target, reason="next key")
        return None
    if tries > settings.retries or not allows.retry(target):
        return None
    if reaction is not Reaction.WAIT_OR_MOVE_ON and not allows.target(target):
        # Its breaker has opened meanwhile, perhaps through this very fault.
        return None
    same_kind = sum(outcome.attempt.target == target and outcome.fault.kind is fault.kind for outcome in history)
    match reaction:
        case Reaction.WAIT_OR_MOVE_ON if allows.another_key(target):
            return Attempt(number, target, reason="next key")
        case Reaction.RETRY if fault.retry_after is None:
            return Attempt(number, target, pause(settings.backoff, tries, policy.jitter), reason="retry")
        case Reaction.RETRY_AT_ONCE if same_kind == 1:
            return Attempt(number, target, fresh=True, reason="retry on a fresh connection")
        case Reaction.RETRY_ONCE if same_kind == 1:
            return Attempt(number, target, pause(settings.backoff, 1, policy.jitter), reason="retry")
    return None


def _next_target(plan: Plan, history: Sequence[Outcome], allows: Allows) -> Attempt | None:
    tried = {outcome.attempt.target for outcome in history}
    fresh = [target for target in plan.targets if target not in tried]
    return next(
        (Attempt(len(history) + 1, target, reason="next target") for target in fresh if allows.target(target)), None
    )


def _nobody_free(plan: Plan, history: Sequence[Outcome], policy: Policy, allows: Allows) -> Attempt | None:
    """A vendor that named a time is waited for before a shut target is tried; otherwise the other way round."""
    if _patient(history):
        return _patience(history, policy, allows) or _shut(plan, history)
    return _shut(plan, history) or _patience(history, policy, allows)


def _shut(plan: Plan, history: Sequence[Outcome]) -> Attempt | None:
    """One call to a target whose breaker is open, or whose keys cool, beats an error."""
    tried = {outcome.attempt.target for outcome in history}
    left = (target for target in plan.targets if target not in tried)
    return next((Attempt(len(history) + 1, target, reason="shut, but the last one left") for target in left), None)


def _patient(history: Sequence[Outcome]) -> bool:
    return REACTIONS[history[-1].fault.kind] in _PATIENT and history[-1].fault.retry_after is not None


def _patience(history: Sequence[Outcome], policy: Policy, allows: Allows) -> Attempt | None:
    """Nobody else is free: go back to the target that asked for the shortest wait, if that is not too long."""
    now = history[-1].at
    waits: list[tuple[float, Target]] = []
    for target in dict.fromkeys(outcome.attempt.target for outcome in history):
        of_target = [outcome for outcome in history if outcome.attempt.target == target]
        latest, settings = of_target[-1], policy.of(target)
        if (
            REACTIONS[latest.fault.kind] not in _PATIENT
            or len(of_target) > settings.retries
            or not allows.retry(target)
        ):
            continue
        if latest.fault.retry_after is None:
            wait = pause(settings.backoff, len(of_target), policy.jitter)
        else:
            wait = max(0.0, latest.fault.retry_after - (now - latest.at))
        if wait <= settings.max_wait:
            waits.append((wait, target))
    if not waits:
        return None
    wait, target = min(waits, key=lambda each: each[0])
    return Attempt(len(history) + 1, target, wait, reason="waited as the vendor asked")


def _larger(plan: Plan, history: Sequence[Outcome], allows: Allows) -> Attempt | None:
    tried = {outcome.attempt.target for outcome in history}
    small = {each.attempt.target for each in history if REACTIONS[each.fault.kind] is Reaction.LARGER_WINDOW}
    needed = max((allows.window(target) or 0 for target in small), default=0)
    for target in plan.targets:
        window = allows.window(target)
        if target not in tried and window is not None and needed and window > needed and allows.target(target):
            return Attempt(len(history) + 1, target, reason="a larger context window")
    return None
