"""Tells what happens in one exchange as events: fills in who, when, what it cost, so that the story need not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from gateway import events
from gateway.attempt import Exchange, Opened, Terms
from gateway.chat import Called, Cost, Facts, Heard, Usage
from gateway.consulting import Advised, Interpreted
from gateway.errors import Fault
from gateway.events import AttemptKind, Outcome, Spent
from gateway.resilience.failover import Attempt
from gateway.resilience.failover import Outcome as Past
from gateway.resilience.health import Ticket
from gateway.routing import Plan, Target

Pricing = Callable[[Target, Usage], Cost | None]


class Teller:
    """One exchange's voice. ``content``: telemetry was asked to carry what is said."""

    def __init__(
        self, emit: events.Observer, clock: Callable[[], float], exchange: Exchange, cost: Pricing, *, content: bool
    ) -> None:
        self._emit, self._clock, self._exchange, self._cost, self._content = emit, clock, exchange, cost, content
        self._id, self._span = exchange.id, exchange.trace.server if exchange.trace else 0
        self._spent = Spent()
        self._heard: Heard | None = None

    def understood(self, facts: Facts, now: float) -> None:
        exchange = self._exchange
        self._emit(
            events.RequestUnderstood(
                at=now,
                exchange_id=self._id,
                span=self._span,
                dialect=exchange.dialect.NAME,
                facts=facts,
                caller=exchange.caller,
                session=exchange.session,
                parent=exchange.parent,
                prompt=exchange.prompt,
                body=exchange.body,
            )
        )

    def planned(self, plan: Plan, now: float) -> None:
        for each in plan.crashes:
            crashed = events.StrategyCrashed(
                at=now,
                exchange_id=self._id,
                span=self._span,
                model=each.model,
                strategy=each.strategy,
                traceback=each.traceback,
            )
            self._emit(crashed)
        self._emit(events.PlanMade(at=now, exchange_id=self._id, span=self._span, plan=plan))

    def started(self, attempt: Attempt, ticket: Ticket, url: str, history: list[Past], terms: Terms) -> None:
        """``history``: of the attempts at the same."""
        self._emit(
            events.AttemptStarted(
                at=ticket.began,
                exchange_id=self._id,
                span=self._span,
                number=attempt.number,
                target=attempt.target,
                url=url,
                reason=attempt.reason,
                kind=_kind(ticket, history, terms),
                delay=attempt.delay,
                cause=_cause(history),
                key=ticket.place,
            )
        )

    def reduced(self, attempt: Attempt, dropped: tuple[str, ...], now: float) -> None:
        self._emit(
            events.RequestReduced(
                at=now,
                exchange_id=self._id,
                span=self._span,
                number=attempt.number,
                target=attempt.target,
                dropped=dropped,
            )
        )

    def output(self, attempt: Attempt, ticket: Ticket, now: float) -> None:
        self._emit(
            events.OutputStarted(
                at=now,
                exchange_id=self._id,
                span=self._span,
                number=attempt.number,
                target=attempt.target,
                seconds=now - ticket.began,
            )
        )

    def repaired(self, opened: Opened, now: float) -> None:
        if repairs := opened.repairs:
            self._emit(
                events.ToolCallsRepaired(
                    at=now,
                    exchange_id=self._id,
                    span=self._span,
                    number=opened.attempt.number,
                    target=opened.attempt.target,
                    repairs=repairs,
                )
            )

    def succeeded(self, opened: Opened, now: float) -> None:
        attempt = opened.attempt
        self.repaired(opened, now)
        spent = self._priced(attempt.target, opened.usage)
        self._spend(spent)
        self._heard = heard = self.heard(opened)
        self._emit(
            events.AttemptSucceeded(
                at=now,
                exchange_id=self._id,
                span=self._span,
                number=attempt.number,
                target=attempt.target,
                seconds=now - opened.ticket.began,
                spent=spent,
                heard=heard,
                limits=tuple(opened.passed_on),
            )
        )

    def failed(
        self, attempt: Attempt, ticket: Ticket, fault: Fault, now: float, after_output: bool, usage: Usage | None
    ) -> None:
        spent = self._priced(attempt.target, usage)
        if after_output:
            self._spend(spent)
        self._emit(
            events.AttemptFailed(
                at=now,
                exchange_id=self._id,
                span=self._span,
                number=attempt.number,
                target=attempt.target,
                fault=fault,
                seconds=now - ticket.began,
                after_output=after_output,
                spent=spent,
            )
        )

    def abandoned(self, attempt: Attempt, ticket: Ticket, now: float, opened: Opened | None) -> None:
        if opened and opened.ticket is ticket:
            self.repaired(opened, now)
        spent = self._priced(attempt.target, opened.usage if opened and opened.ticket is ticket else None)
        self._spend(spent)
        self._emit(
            events.AttemptAbandoned(
                at=now,
                exchange_id=self._id,
                span=self._span,
                number=attempt.number,
                target=attempt.target,
                seconds=now - ticket.began,
                spent=spent,
            )
        )

    def advised(self, told: Advised, target: Target | None, seconds: float) -> None:
        if told.kind != "questions":
            # What a planner says to the executor is no answer.
            self._heard = None
        self._emit(
            events.PlannerAnswered(
                at=self._clock(),
                exchange_id=self._id,
                span=self._span,
                advice=told.kind,
                target=target,
                seconds=seconds,
                why=told.why,
            )
        )

    def interpreted(self, opened: Opened, by: Opened | None, told: Interpreted, seconds: float) -> None:
        """``opened``: the answer it is about, with the calls in it."""
        self._heard = self.heard(opened)
        self._emit(
            events.InterpreterAnswered(
                at=self._clock(),
                exchange_id=self._id,
                span=self._span,
                number=opened.attempt.number,
                about=opened.attempt.target,
                target=by.attempt.target if by else None,
                repairs=told.repairs,
                failed=told.failed,
                why=told.why,
                seconds=seconds,
            )
        )

    def finished(
        self,
        terms: Terms,
        opened: Opened | None,
        *,
        outcome: Outcome,
        status: int,
        attempts: int,
        began: float,
        begun: bool,
        overhead: float,
        window: int | None,
        fault: Fault | None,
        code: str | None,
    ) -> None:
        exchange, now = self._exchange, self._clock()
        passing = opened.passing if opened else None
        # The attempt that succeeded is the last one: what was heard of it is known already.
        heard = self._heard or (self.heard(opened) if opened else Heard())
        self._emit(
            events.ExchangeFinished(
                at=now,
                exchange_id=self._id,
                span=self._span,
                model=terms.plan.model or terms.facts.model,
                stream=terms.facts.stream,
                outcome=outcome,
                status=status,
                attempts=attempts,
                seconds=now - began,
                target=opened.attempt.target if opened else None,
                spent=self._spent,
                heard=heard,
                window=window,
                begun=begun,
                overhead=max(0.0, overhead),
                phases=exchange.phases,
                skipped=passing.digest.skipped if passing else 0,
                fault=fault,
                code=code,
                caller=exchange.caller,
                session=exchange.session,
            )
        )

    def heard(self, opened: Opened) -> Heard:
        if opened.passing is not None:
            return opened.passing.digest.heard(content=self._content)
        whole = opened.whole
        if whole is None:
            return Heard()
        return Heard(
            id=whole.id,
            model=whole.model,
            finish_reasons=tuple(filter(None, whole.finish_reasons)),
            calls=tuple(
                Called(part.id, part.tool, part.arguments if self._content else "")
                for part in whole.calls
                if part.id or part.tool
            ),
            bytes=len(opened.head),
            text=self._exchange.dialect.spoken(opened.head) if self._content else None,
        )

    def _spend(self, spent: Spent) -> None:
        """What reached the client adds up over the attempts it came from."""
        before = self._spent
        if spent.usage is None or before.usage is None:
            self._spent = before if spent.usage is None else spent
            return
        cost = None
        if spent.cost and before.cost:
            cost = Cost(before.cost.usd + spent.cost.usd, spent.cost.source)
        self._spent = Spent(usage=before.usage.plus(spent.usage), cost=cost)

    def _priced(self, target: Target, usage: Usage | None) -> Spent:
        return Spent(usage=usage, cost=self._cost(target, usage)) if usage else Spent()


def priced_once(cost: Pricing) -> Pricing:
    """The same prices, the latest of them remembered: the client and the observers are told the same.

    One that cannot be worked out is unknown, and is counted as such: no answer is lost over it.
    """
    last: tuple[Target | None, Usage | None, Cost | None] = (None, None, None)

    def priced(target: Target, usage: Usage) -> Cost | None:
        nonlocal last
        if last[1] is not usage or last[0] != target:
            found = None
            with suppress(Exception):
                found = cost(target, usage)
            last = target, usage, found
        return last[2]

    return priced


def _kind(ticket: Ticket, history: list[Past], terms: Terms) -> AttemptKind:
    if terms.aside:
        return "planner" if terms.planning else "interpreter"
    if ticket.probe:
        return "probe"
    return "primary" if not history else "retry" if ticket.retry else "fallback"


def _cause(history: list[Past]) -> Literal["retry_after", "backoff"]:
    return "retry_after" if history and history[-1].fault.retry_after is not None else "backoff"
