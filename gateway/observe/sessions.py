"""What one request cannot tell by itself: how it differs from its session's last one, and what became of tool calls.

Memory, bounded: sessions and calls that were not heard of for long are forgotten, and count as new when they come back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec

from gateway import events
from gateway.dialects import DIALECTS
from gateway.dialects.conduct import judged
from gateway.dialects.conversation import Conversation, Message
from gateway.dialects.words import SHIPPED, Words
from gateway.dialects.wrappers import spoken
from gateway.errors import FaultKind
from gateway.observe.record import Record, Said, Switch, ToolOutcome
from gateway.routing import Target
from gateway.routing.turns import correction

MOST_SESSIONS = 10_000
MOST_CALLS = 50_000
MOST_ASKED = 20_000
# A request is known again by how many messages it has and the last of them, of long ones by so many bytes at both ends:
# a session does not say the same twice at the same place.
TAIL, END = 2, 1024
# The user's first words are looked for in so many messages: agents put their own before them.
FIRST_MESSAGES = 10
# A context that falls below this share of what it was has been compacted; less may be another model's way to count.
COMPACTED = 0.8
# Lines of evidence that are told with a switch, the newest.
MOST_EVIDENCE = 5

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

# A rule that moves the work by itself, the first time it fires. Of a change of role any other rule says no more.
OF_RULE = {"tool_failures": "tool_failures", "corrections": "tool_failures", "context": "context_overflow"}
OF_ROLES = {("lead", "worker"): "lead_to_worker", ("worker", "lead"): "worker_to_lead"}

# What health says of targets it leaves out: resilience/health.py.
SHUT = {"(demoted)": "error_rate_spike", "breaker": "breaker_open", "no usable key": "rate_limited"}

K = TypeVar("K")
V = TypeVar("V")


class _Session(msgspec.Struct, gc=False):
    """One conversation, by the model the client asks for."""

    target: Target
    role: str
    rule: str
    model: str
    """The public one."""
    missed: frozenset[Target]
    """Targets that could not serve the last request: they failed, or were shut."""
    tokens: int | None


class _Call(msgspec.Struct, frozen=True, gc=False):
    target: Target
    at: float
    span: int


class Sessions:
    """A sink that stands before the others: it adds to the record what memory knows.

    ``words``: how conversations are read; may be set anew at any time.
    """

    def __init__(self, words: Words = SHIPPED) -> None:
        self.words = words
        self._sessions: OrderedDict[_Key, _Session] = OrderedDict()
        self._asked: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._calls: OrderedDict[_CallKey, _Call | None] = OrderedDict()
        self._judged: OrderedDict[_CallKey, None] = OrderedDict()
        self._origins: OrderedDict[int, int] = OrderedDict()
        self.takes: dict[type[events.Event], Callable[[Any, Any], None]] = {
            events.RequestUnderstood: self._understood,
            events.AttemptStarted: self._within,
            events.ExchangeFinished: self._remember,
        }

    def _understood(self, event: events.RequestUnderstood, record: Record) -> None:
        if conversation := _read(event):
            record.said = _said(conversation, self._origin(conversation.messages), self.words)
            record.tools = self._tools(event, conversation, record.said)
            record.repeats = self._repeats(record)

    def settle(self) -> None:
        """Nothing is written in batches."""

    # Tools

    def _tools(self, event: events.RequestUnderstood, conversation: Conversation, said: Said) -> Sequence[ToolOutcome]:
        """The calls whose results this request brings, each once however often it is sent."""
        if not event.facts.tools:
            return ()
        found = []
        for call in judged(conversation, self.words):
            key = (_owner(event), said.origin, call.id)
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
                    made=made.span if made else None,
                    seconds=event.at - made.at if made else None,
                )
            )
        return tuple(found)

    def _origin(self, messages: Sequence[Message]) -> int:
        """A digest of the user's first words; nothing behind them is decoded."""
        for each in islice(messages, FIRST_MESSAGES):
            if each.role == "user" and (found := self._words(each)):
                return found
        return 0

    def _words(self, message: Message) -> int:
        """A digest of what the user says in it; 0: nothing. Agents change what they put around that from request to
        request. Often long, and the same in all of a conversation: decoded once, and known again as requests are.
        """
        key = _mark(message)
        found = self._origins.get(key)
        if found is None:
            text = spoken(message.said().text, self.words.wrappers)
            found = hash(text) if text else 0
        _put(self._origins, key, found, MOST_SESSIONS)
        return found

    def _repeats(self, record: Record) -> int | None:
        """The session's last exchange with the same messages. Of users it is only known that they have many."""
        if record.said is None or not record.said.messages or record.session is None or record.conversation is None:
            return None
        key = (record.session, record.said.digest)
        before = self._asked.get(key)
        _put(self._asked, key, record.span, MOST_ASKED)
        return before

    # Switches

    def _within(self, event: events.AttemptStarted, record: Record) -> None:
        """A change of target from one attempt to the next."""
        if len(record.tries) < 2:
            return
        before, after = record.tries[-2], record.tries[-1]
        if before.planning != after.planning:
            # The planner has had its say; that is no change of who answers.
            return
        if before.target == after.target:
            return
        kind = before.fault.kind if before.fault else None
        switch = Switch(
            at=after.started.at,
            before=before.target,
            after=after.target,
            reason=OF_FAULT.get(kind, "failover") if kind else "failover",
            scope="request",
            number=after.number,
            why=before.error_type or "",
        )
        record.switches = (*record.switches, switch)

    def _between(self, session: _Session, record: Record) -> None:
        """A change of target from who served the session's last request to who was asked first for this one."""
        first = record.serving[0].target
        if session.target == first or record.plan is None:
            return
        reason, why = _why(session, record)
        at = record.serving[0].started.at
        switch = Switch(at=at, before=session.target, after=first, reason=reason, scope="session", why=why)
        record.switches = (switch, *record.switches)

    # Memory

    def _remember(self, event: events.ExchangeFinished, record: Record) -> None:
        target = event.target
        if record.understood is None or target is None:
            return
        self._called(event, record, target)
        key = _key(record)
        if key is None or record.plan is None:
            return
        known = self._sessions.get(key)
        tokens = record.context
        if known is not None:
            self._between(known, record)
            self._grown(known, record, tokens)
        if tokens is None and known is not None:
            tokens = known.tokens
        session = _Session(target, record.plan.role, record.plan.rule, record.model, _missed(record, target), tokens)
        _put(self._sessions, key, session, MOST_SESSIONS)

    def _called(self, event: events.ExchangeFinished, record: Record, target: Target) -> None:
        """Who made these calls. Nobody knows it where another target's answer, that was not merely asked for again, has
        a call of the same id, in a conversation that begins the same, without a result yet.
        """
        if record.understood is None or not event.heard.calls:
            return
        owner, origin = _owner(record.understood), record.said.origin if record.said else 0
        call = _Call(target, event.at, record.span)
        for each in event.heard.calls:
            if each.id:
                key = (owner, origin, each.id)
                self._judged.pop(key, None)
                other = self._calls.get(key, call)
                mixed = record.repeats is None and (other is None or other.target != target)
                _put(self._calls, key, None if mixed else call, MOST_CALLS)

    def _grown(self, session: _Session, record: Record, tokens: int | None) -> None:
        if tokens is None or session.tokens is None or record.conversation is None:
            return
        record.growth = tokens - session.tokens
        record.compacted = tokens < session.tokens * COMPACTED


_Key = tuple[str, str, bool, int]
_CallKey = tuple[str, int, str]
"""Whose it is, how the conversation begins, its id."""


def _key(record: Record) -> _Key | None:
    """The conversation a request is part of: its session, the model as the client names it, with tools or without, and
    of an agent that another one has started, how it begins, for several may share their parent's session. None: of no
    session, or on the side: a title between two turns moves nothing.

    Where nobody has read the conversation, what has no tools is told apart from what has.
    """
    facts, kind = record.understood.facts if record.understood else None, record.plan.kind if record.plan else None
    if facts is None or record.session is None or kind == "aux":
        return None
    origin = record.said.origin if record.said and kind == "subagent" else 0
    return record.session, facts.model, facts.tools, origin


def _why(session: _Session, record: Record) -> tuple[str, str]:
    """1. Another model was chosen by hand. 2. A rule moves the work. 3. It is shut. 4. One that was is open again.
    5. Turns.
    """
    plan = record.plan
    assert plan is not None  # noqa: S101
    if session.model != plan.model:
        # The client asks for the same by name as before: a pin, or the configuration, says otherwise now.
        by = f"pinned by {plan.pinned}: " if plan.pinned else ""
        return "manual", f"{by}{session.model} before, {plan.model} now"
    moved = (session.role, session.rule) != (plan.role, plan.rule)
    if reason := (OF_RULE.get(plan.rule) if moved else None) or OF_ROLES.get((session.role, plan.role)):
        return reason, "; ".join((plan.reason, *plan.evidence[-MOST_EVIDENCE:]))
    shut = next((each.reason for each in plan.left_out if each.target == session.target), "")
    if reason := _shut(shut):
        return reason, shut
    first = record.serving[0]
    if first.target in session.missed and "a trial of" not in plan.reason:
        if first.outcome == "ok":
            return "recovered", "it could not serve the last request, and can again"
        return "balanced", "it could not serve the last request, was asked again, and still cannot"
    return "balanced", f"{plan.strategy}; {plan.reason}"


_NOBODY: frozenset[Target] = frozenset()


def _missed(record: Record, served: Target) -> frozenset[Target]:
    plan, tries = record.plan, record.tries
    if len(tries) == 1 and tries[0].target == served and not (plan and plan.left_out):
        return _NOBODY
    shut = (each.target for each in plan.left_out if _shut(each.reason)) if plan else ()
    return frozenset((*shut, *(one.target for one in record.serving))) - {served}


def _shut(why: str) -> str | None:
    """The reason for a switch, if this is health's reason to leave a target out; callers and vendors have others."""
    return next((reason for word, reason in SHUT.items() if word in why), None)


def _read(event: events.RequestUnderstood) -> Conversation | None:
    """Read where there is something it can be told of: tools, or a session."""
    if event.facts.operation != "chat" or not (event.facts.tools or event.session):
        return None
    return DIALECTS[event.dialect].conversation(event.body)


def _said(conversation: Conversation, origin: int, words: Words) -> Said:
    messages = conversation.messages
    answered = heard = False
    for message in reversed(messages):
        if message.role == "assistant":
            answered = True
            break
        heard = heard or message.role == "user"
    return Said(
        messages=len(messages),
        answered=answered,
        digest=hash((len(messages), *map(_mark, messages[-TAIL:]))),
        origin=origin,
        # In a loop of tools nobody says anything, and there is nothing to be read.
        corrected=correction(conversation, words) if answered and heard else "",
    )


def _mark(message: Message) -> int:
    """A digest of what tells a message from others: of a long one its length, beginning and end."""
    whole = b"\0".join(message.parts())
    return hash(whole) if len(whole) <= 2 * END else hash((len(whole), whole[:END], whole[-END:]))


def _owner(event: events.RequestUnderstood) -> str:
    """Whose calls these are: ids of calls repeat across conversations."""
    return event.session or event.caller or ""


def _put(memory: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)
