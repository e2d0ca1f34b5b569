"""What one request cannot tell by itself: how it differs from its session's last one, and what became of tool calls.

Memory, bounded: sessions and calls that were not heard of for long are forgotten, and count as new when they come back.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

import msgspec

from gateway import events
from gateway.dialects.conduct import judged
from gateway.errors import FaultKind
from gateway.observe.record import Record, Switch, ToolOutcome
from gateway.routing import Target

MOST_SESSIONS = 10_000
MOST_CALLS = 50_000
# A context that falls below this share of what it was has been compacted; less may be another model's way to count.
COMPACTED = 0.8

REASONS = (
    "failover",
    "breaker_open",
    "error_rate_spike",
    "rate_limited",
    "timeout",
    "context_overflow",
    "lead_to_worker",
    "worker_to_lead",
    "tool_failures",
    "cost_cap",
    "manual",
    "recovered",
    "balanced",
)
"""Why a target was changed: a closed set."""

OF_FAULT = {
    FaultKind.RATE_LIMITED: "rate_limited",
    FaultKind.TIMEOUT_CONNECT: "timeout",
    FaultKind.TIMEOUT_FIRST_TOKEN: "timeout",
    FaultKind.TIMEOUT_IDLE: "timeout",
    FaultKind.TIMEOUT_TOTAL: "timeout",
    FaultKind.CONTEXT_TOO_LONG: "context_overflow",
}

# What health says of targets it leaves out: resilience/health.py.
SHUT = {"breaker": "breaker_open", "no usable key": "rate_limited"}

K = TypeVar("K")
V = TypeVar("V")


class _Session(msgspec.Struct):
    """One conversation, by the model the client asks for."""

    target: Target
    role: str
    model: str
    """The public one."""
    missed: frozenset[Target]
    """Targets that could not serve the last request: they failed, or were shut."""
    tokens: int | None


class _Call(msgspec.Struct, frozen=True):
    target: Target
    at: float


class Sessions:
    """A sink that stands before the others: it adds to the record what memory knows."""

    hears = (events.RequestUnderstood, events.AttemptStarted, events.ExchangeFinished)

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[str, str, bool], _Session] = OrderedDict()
        self._calls: OrderedDict[tuple[str, str], _Call] = OrderedDict()
        self._judged: OrderedDict[tuple[str, str], None] = OrderedDict()

    def take(self, event: events.Event, record: Record | None) -> None:
        if record is None:
            return
        match event:
            case events.RequestUnderstood():
                record.tools = self._tools(event)
                self._score(record)
            case events.AttemptStarted():
                self._within(record)
            case events.ExchangeFinished():
                self._remember(event, record)

    def settle(self) -> None:
        """Nothing is written in batches."""

    # Tools

    def _tools(self, event: events.RequestUnderstood) -> list[ToolOutcome]:
        """The calls whose results this request brings, each once however often it is sent."""
        if not event.facts.tools:
            return []
        found = []
        for call in judged(event.body):
            key = (_owner(event), call.id)
            if key in self._judged:
                continue
            _put(self._judged, key, None, MOST_CALLS)
            made = self._calls.pop(key, None)
            found.append(
                ToolOutcome(
                    id=call.id,
                    tool=call.tool,
                    outcome=call.outcome,
                    evidence=call.evidence,
                    repeated=call.repeated,
                    target=made.target if made else None,
                    seconds=event.at - made.at if made else None,
                )
            )
        return found

    def _score(self, record: Record) -> None:
        """How well the session's last answer did, as far as its tools tell."""
        known = [outcome for outcome in record.tools if outcome.target is not None]
        if known:
            record.score = sum(outcome.outcome == "ok" for outcome in known) / len(known)
            record.scored = known[0].target

    # Switches

    def _within(self, record: Record) -> None:
        """A change of target from one attempt to the next."""
        if len(record.tries) < 2:
            return
        before, after = record.tries[-2], record.tries[-1]
        if before.target == after.target:
            return
        kind = before.fault.kind if before.fault else None
        record.switches.append(
            Switch(
                at=after.started.at,
                before=before.target,
                after=after.target,
                reason=OF_FAULT.get(kind, "failover") if kind else "failover",
                scope="request",
                number=after.number,
                why=before.error_type or "",
            )
        )

    def _between(self, session: _Session, record: Record, target: Target) -> None:
        """A change of target since the session's last request, that this one did not make itself."""
        first = record.tries[0].target
        if session.target in (first, target) or record.plan is None:
            return
        reason, why = _why(session, record)
        record.switches.insert(
            0,
            Switch(
                at=record.tries[0].started.at,
                before=session.target,
                after=first,
                reason=reason,
                scope="session",
                why=why,
            ),
        )

    # Memory

    def _remember(self, event: events.ExchangeFinished, record: Record) -> None:
        target = event.target
        if record.understood is None or target is None:
            return
        owner = _owner(record.understood)
        for call in event.heard.calls:
            if call.id:
                self._judged.pop((owner, call.id), None)
                _put(self._calls, (owner, call.id), _Call(target, event.at), MOST_CALLS)
        if not record.session or record.plan is None:
            return
        # Requests with and without tools are two conversations: agents ask for titles and summaries in between.
        key = (record.session, record.asked, record.understood.facts.tools)
        known = self._sessions.pop(key, None)
        tokens = event.spent.usage.input_tokens if event.spent.usage else None
        if known is not None:
            self._between(known, record, target)
            self._grown(known, record, tokens)
        if tokens is None and known is not None:
            tokens = known.tokens
        session = _Session(target, record.plan.role, record.model, _missed(record, target), tokens)
        _put(self._sessions, key, session, MOST_SESSIONS)

    def _grown(self, session: _Session, record: Record, tokens: int | None) -> None:
        if tokens is None or session.tokens is None or record.conversation is None:
            return
        record.growth = tokens - session.tokens
        record.compacted = tokens < session.tokens * COMPACTED


def _why(session: _Session, record: Record) -> tuple[str, str]:
    """1. Another model was chosen by hand. 2. Another role. 3. It is shut. 4. One that was is open again. 5. Turns."""
    plan = record.plan
    assert plan is not None  # noqa: S101
    if session.model != plan.model:
        # The client asks for the same by name as before: its header, or the configuration, says otherwise now.
        return "manual", f"{session.model} before, {plan.model} now"
    if (session.role, plan.role) == ("lead", "worker"):
        return "lead_to_worker", plan.reason
    if (session.role, plan.role) == ("worker", "lead"):
        return ("tool_failures" if "failed" in plan.reason else "worker_to_lead"), plan.reason
    shut = next((each.reason for each in plan.left_out if each.target == session.target), "")
    if reason := _shut(shut):
        return reason, shut
    if record.tries[0].target in session.missed:
        return "recovered", "it could not serve the last request, and can again"
    return "balanced", f"{plan.strategy}; {plan.reason}"


def _missed(record: Record, served: Target) -> frozenset[Target]:
    plan = record.plan
    shut = (each.target for each in plan.left_out if _shut(each.reason)) if plan else ()
    return frozenset((*shut, *(one.target for one in record.tries))) - {served}


def _shut(why: str) -> str | None:
    """The reason for a switch, if this is health's reason to leave a target out; callers and vendors have others."""
    return next((reason for word, reason in SHUT.items() if word in why), None)


def _owner(event: events.RequestUnderstood) -> str:
    """Whose calls these are: ids of calls repeat across conversations."""
    return event.session or event.caller or ""


def _put(memory: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)
