"""One exchange as its events tell it, first to last: what metrics, traces, logs and the live view share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec

from gateway import events
from gateway.errors import Fault, FaultKind
from gateway.observe.content import shown
from gateway.observe.decisions import UNREAD
from gateway.observe.vocabulary import CANCELLED, OF_CODE, OF_FAULT, Outcome, attempt_outcome, error_type, verdict
from gateway.routing import Plan, Target
from gateway.trace_context import Trace

# Names of what was left out of a request come from clients: so many are told, and so many characters of each.
MOST_DROPPED, LONGEST_DROPPED = 20, 80


Ended = events.AttemptSucceeded | events.AttemptFailed | events.AttemptAbandoned
"""What an attempt's end may be."""


class Try(msgspec.Struct, kw_only=True, gc=False):
    """One call to a vendor. Moments are epoch seconds."""

    started: events.AttemptStarted
    output_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    fault: Fault | None = None
    error_type: str | None = None
    after_output: bool = False
    end: Ended | None = None
    dropped: tuple[str, ...] = ()
    """What of the request its target could not be told."""

    @property
    def target(self) -> Target:
        return self.started.target

    @property
    def number(self) -> int:
        return self.started.number

    @property
    def seconds(self) -> float:
        return self.end.seconds if self.end else 0.0

    @property
    def planning(self) -> bool:
        """It asked for a plan, and not for the answer."""
        return self.started.kind in ("planner", "interpreter")


class Switch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A change of target. ``number``: the attempt that made it, where it was inside an exchange."""

    at: float
    before: Target
    after: Target
    reason: str
    scope: str
    """``request`` or ``session``."""
    number: int = 1
    why: str = ""
    """The evidence: the fault, or what the plan said."""


class ToolOutcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a tool call. ``target``: who had made it, where that is known."""

    id: str
    tool: str
    outcome: str
    evidence: str
    repeated: bool
    target: Target | None = None
    made: int | None = None
    """The span of the exchange whose answer made it."""
    seconds: float | None = None
    """From the answer that called to the request with the result."""


class Said(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a request's conversation stands."""

    messages: int
    answered: bool
    """A message of the model's is among them."""
    digest: int
    """Of the messages; holds within one process."""
    origin: int = 0
    """Of the user's first words, without wrappers: a session has several conversations, and ids of calls repeat across
    them. 0: there are none."""
    corrected: str = ""
    """The marker by which the user's last words correct the answer before them; empty: they do not."""


class Record(msgspec.Struct, kw_only=True, gc=False):
    """Grows with every event of its exchange; ``outcome`` is None until the last."""

    id: str
    span: int
    received: events.RequestReceived | None = None
    understood: events.RequestUnderstood | None = None
    stream: bool = False
    session: str | None = None
    caller: str | None = None
    plan: Plan | None = None
    planned_at: float = 0.0
    tries: list[Try] = []
    output_at: float | None = None
    planner: events.PlannerAnswered | None = None
    finished: events.ExchangeFinished | None = None
    context: int | None = None
    """Input tokens of the conversation: what planners were told of it besides is left out."""
    outcome: Outcome | None = None
    error_type: str | None = None
    crashed: str | None = None
    # What memory of the session adds.
    switches: tuple[Switch, ...] = ()
    tools: Sequence[ToolOutcome] = ()
    growth: int | None = None
    """Input tokens more than in the session's last request."""
    compacted: bool = False
    said: Said | None = None
    repeats: int | None = None
    """The span of the session's last exchange with the same messages."""

    @property
    def began(self) -> float:
        """When the request arrived."""
        first = self.received or self.understood or self.finished
        return first.at if first else 0.0

    @property
    def trace(self) -> Trace | None:
        return self.received.trace if self.received else None

    @property
    def exemplar(self) -> str | None:
        """The trace's id, when somebody can look it up."""
        received = self.received
        return received.trace.trace_id if received and received.trace.sampled else None

    @property
    def route(self) -> str:
        return self.received.route if self.received else ""

    @property
    def asked(self) -> str:
        """The model as the client named it."""
        return self.understood.facts.model if self.understood else ""

    @property
    def model(self) -> str:
        """The public model it resolved to."""
        return self.plan.model if self.plan else self.asked

    @property
    def target(self) -> Target | None:
        """Who served, or was tried last."""
        if self.finished and self.finished.target:
            return self.finished.target
        return self.tries[-1].target if self.tries else None

    @property
    def dropped(self) -> tuple[str, ...]:
        """What of the request whoever served, or was tried last, could not be told."""
        return self.tries[-1].dropped if self.tries else ()

    @property
    def conversation(self) -> str | None:
        """The session, unless all the client has said is who its user is: one user has many conversations."""
        facts = self.understood.facts if self.understood else None
        user = facts.user if facts else None
        return None if user and self.session == f"{self.caller}:{user}" else self.session

    @property
    def first_output(self) -> float | None:
        """Seconds from arrival to the first output."""
        return None if self.output_at is None else self.output_at - self.began

    @property
    def failovers(self) -> int:
        if len(self.tries) < 2:
            return 0
        pairs = zip(self.tries, self.tries[1:], strict=False)
        return sum(one.target != other.target and one.planning == other.planning for one, other in pairs)

    @property
    def serving(self) -> list[Try]:
        """The calls for the answer: those of planners only where one of them gave it."""
        if len(self.tries) < 2:
            return self.tries
        return [one for one in self.tries if not one.planning] or self.tries

    @property
    def kind(self) -> str:
        """One of ``decisions.KINDS``. A call on the side is one however often it is made, and of two agents that were
        given the same task neither repeats the other.
        """
        kind = (self.plan.kind if self.plan else None) or UNREAD
        if self.repeats is None or kind in ("aux", "subagent"):
            return kind
        return "retry"

    @property
    def task(self) -> str:
        """What kind of work it is, as the strategy saw it; else ``embeddings``, ``tools``, ``structured``, ``chat``."""
        if self.plan and self.plan.task:
            return self.plan.task
        if self.understood is None:
            return "chat"
        facts = self.understood.facts
        if facts.operation != "chat":
            return facts.operation
        return "tools" if facts.tools else "structured" if facts.structured else "chat"

    def take(self, event: events.ExchangeEvent) -> None:
        """Adds what the event tells."""
        add = ADD.get(type(event))
        if add is not None:
            add(event, self)


def _received(event: events.RequestReceived, record: Record) -> None:
    record.received = event


def _understood(event: events.RequestUnderstood, record: Record) -> None:
    record.understood = event
    record.stream, record.session, record.caller = event.facts.stream, event.session, event.caller


def _planned(event: events.PlanMade, record: Record) -> None:
    record.plan, record.planned_at = event.plan, event.at


def _started(event: events.AttemptStarted, record: Record) -> None:
    record.tries.append(Try(started=event))


def _reduced(event: events.RequestReduced, record: Record) -> None:
    record.tries[event.number - 1].dropped = named(event.dropped)


def _output(event: events.OutputStarted, record: Record) -> None:
    record.tries[event.number - 1].output_at = event.at
    if record.output_at is None:
        record.output_at = event.at


def _succeeded(event: events.AttemptSucceeded, record: Record) -> None:
    _end(event, record, "ok", None)


def _abandoned(event: events.AttemptAbandoned, record: Record) -> None:
    _end(event, record, "cancelled", CANCELLED)


def _failed(event: events.AttemptFailed, record: Record) -> None:
    one = _end(event, record, attempt_outcome(event.fault), error_type(event.fault))
    one.fault, one.after_output = event.fault, event.after_output


def _advised(event: events.PlannerAnswered, record: Record) -> None:
    record.planner = event


def _crashed(event: events.HandlerCrashed, record: Record) -> None:
    record.crashed = event.traceback


def _finished(event: events.ExchangeFinished, record: Record) -> None:
    record.finished = event
    if event.spent.usage:
        record.context = event.spent.usage.input_tokens - _told_to_planners(record)
    record.outcome, record.error_type = verdict(event)
    if record.plan and record.plan.strategy == "direct" and record.error_type == OF_FAULT[FaultKind.MODEL_MISSING]:
        # Nobody but the caller has named that model.
        record.outcome, record.error_type = "rejected", OF_CODE["model_not_found"]


def _told_to_planners(record: Record) -> int:
    """Tokens beside those of the conversation, unless a planner gave the answer itself."""
    if len(record.tries) < 2 or len(record.serving) == len(record.tries):
        return 0
    spent = (one.end.spent.usage for one in record.tries if one.planning and one.outcome == "ok" and one.end)
    return sum(each.input_tokens for each in spent if each)


def _end(event: Ended, record: Record, outcome: Outcome, whose: str | None) -> Try:
    one = record.tries[event.number - 1]
    one.end, one.ended_at, one.outcome, one.error_type = event, event.at, outcome, whose
    return one


def named(dropped: Iterable[str]) -> tuple[str, ...]:
    """A few of the names, cut to a length that can be shown."""
    return tuple(shown(name, LONGEST_DROPPED - 1) for name in islice(dropped, MOST_DROPPED))


ADD: dict[type[events.Event], Callable[[Any, Record], None]] = {
    events.RequestReceived: _received,
    events.RequestUnderstood: _understood,
    events.PlanMade: _planned,
    events.AttemptStarted: _started,
    events.RequestReduced: _reduced,
    events.OutputStarted: _output,
    events.AttemptSucceeded: _succeeded,
    events.AttemptAbandoned: _abandoned,
    events.AttemptFailed: _failed,
    events.PlannerAnswered: _advised,
    events.HandlerCrashed: _crashed,
    events.ExchangeFinished: _finished,
}
"""What adds an event to the record of its exchange."""
