"""Everything that can happen, in the order it can happen. The only thing telemetry ever sees."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from gateway.chat import Operation, Usage
from gateway.errors import Fault, Problem
from gateway.routing import Plan, Target

Outcome = Literal["ok", "error", "broken", "cancelled"]
"""What the client saw: an answer; an error instead of one; an answer that broke off; nothing, it had left."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact, and when (epoch seconds)."""

    at: float


class ExchangeEvent(Event, frozen=True, kw_only=True):
    exchange_id: str


class RequestReceived(ExchangeEvent, frozen=True, kw_only=True):
    dialect: str
    operation: Operation
    model: str
    stream: bool
    size: int
    caller: str | None
    session: str | None


class PlanMade(ExchangeEvent, frozen=True, kw_only=True):
    plan: Plan


class AttemptStarted(ExchangeEvent, frozen=True, kw_only=True):
    number: int
    target: Target
    url: str
    reason: str


class AttemptFailed(ExchangeEvent, frozen=True, kw_only=True):
    number: int
    target: Target
    fault: Fault
    seconds: float
    after_output: bool = False


class AttemptAbandoned(ExchangeEvent, frozen=True, kw_only=True):
    """An attempt without a verdict: the client left, or its own deadline passed."""

    number: int
    target: Target
    seconds: float


class OutputStarted(ExchangeEvent, frozen=True, kw_only=True):
    number: int
    target: Target
    seconds: float
    """From the start of the attempt to its first output."""


class ExchangeFinished(ExchangeEvent, frozen=True, kw_only=True):
    """Exactly one per exchange, whatever happens."""

    model: str
    stream: bool
    outcome: Outcome
    status: int
    attempts: int
    seconds: float
    target: Target | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    skipped: int = 0
    fault: Fault | None = None
    code: str | None = None
    caller: str | None = None
    session: str | None = None


class HandlerCrashed(ExchangeEvent, frozen=True, kw_only=True):
    """A defect of ours: the exchange was answered with a 500."""

    traceback: str


class BreakerMoved(Event, frozen=True, kw_only=True):
    target: Target
    before: str
    after: str


class GatewayStarted(Event, frozen=True, kw_only=True):
    url: str
    source: str
    models: int = 0


class ConfigReloaded(Event, frozen=True, kw_only=True):
    source: str
    needs_restart: tuple[str, ...] = ()
    """Settings that changed but only take effect at the next start."""


class ConfigRefused(Event, frozen=True, kw_only=True):
    """A new configuration was not taken; the old one goes on."""

    source: str
    problems: tuple[Problem, ...]


class DrainStarted(Event, frozen=True, kw_only=True):
    running: int


class ListingFailed(Event, frozen=True, kw_only=True):
    provider: str
    fault: Fault


Observer = Callable[[Event], None]


def broadcast(observers: Iterable[Observer]) -> Observer:
    """One observer that tells all; the failure of one is logged and harms nobody."""
    listening = tuple(observers)

    def emit(event: Event) -> None:
        for observer in listening:
            try:
                observer(event)
            except Exception:
                logging.getLogger("gateway.events").exception("an observer failed on %s", type(event).__name__)

    return emit
