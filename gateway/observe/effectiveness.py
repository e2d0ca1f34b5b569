"""How well each answer did: one score from 0 to 1, once, as soon as something tells.

The first of these that comes:

1. Feedback: the score that was given.
2. It was cut off by its model's own limit: 0.
3. The same request came again: 0.
4. The conversation goes on behind it: 0 where the user's words correct it, else the share of its tool calls that went
   well, of those that had a result; an answer without calls that is not corrected has 1.

Nobody's answers are scored for want of news: the last one of a session has no score unless somebody gives it one, and
calls on the side (titles, summaries) have one by feedback alone, and so has what was cut off by a limit that is not the
model's: the strategy's cap for that target, or fewer tokens than ``ROOM`` for the caller's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway import events
from gateway.observe.record import Record, ToolOutcome
from gateway.routing import Plan, Target

# Answers and conversations that are remembered; what was not heard of for longest is forgotten, without a score.
MOST_ANSWERS = 10_000
# Whoever allows as many tokens has left room for an answer; what still does not come to its end rambles.
ROOM = 4096
# An answer has come up to a limit with this share of it: not all vendors count the last token, or what they think.
REACHED = 0.9


class Scored(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An answer's score. ``id``: of the exchange that gave it; ``signals``: what told."""

    at: float
    id: str
    session: str | None
    target: Target
    task: str
    score: float
    signals: Mapping[str, float | str]


class _Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    span: int
    id: str
    session: str | None
    target: Target
    task: str
    messages: int
    """Of the request it answered."""
    calls: bool
    aside: bool
    """Nothing that follows tells of it: it takes no part in the conversation, or was not let finish."""


_Key = tuple[str, str, bool, int]


class Effectiveness:
    """A sink, behind the one that adds to records what memory knows. ``tell`` hears of each score."""

    def __init__(self, tell: Callable[[Scored], None]) -> None:
        self._tell = tell
        self._open: OrderedDict[int, _Answer] = OrderedDict()
        self._named: dict[str, int] = {}
        self._last: OrderedDict[_Key, int] = OrderedDict()
        self.takes: dict[type[events.Event], Callable[[Any, Any], None]] = {
            events.FeedbackGiven: self._judged,
            events.RequestUnderstood: self._worked,
            events.PlanMade: self._followed,
            events.ExchangeFinished: self._answered,
        }

    def settle(self) -> None:
        """Nothing is written in batches."""

    # What tells

    def _judged(self, event: events.FeedbackGiven, record: None) -> None:
        answer = self._open.get(self._named.get(event.exchange_id, 0))
        if answer:
            self._score(answer, event.at, event.score, {"feedback": event.score})

    def _worked(self, event: events.RequestUnderstood, record: Record) -> None:
        """The results of its tool calls are here: by the calls it is known whose they are."""
        if not record.tools:
            return
        made = next((each.made for each in record.tools if each.made is not None), None)
        answer = None if made is None else self._open.get(made)
        if answer is None or answer.aside:
            return
        corrected = record.said.corrected if record.said else ""
        told = [each for each in record.tools if each.made == answer.span and each.outcome != "unanswered"]
        if told or corrected:
            self._score(answer, event.at, 0.0 if corrected else _share(told), _signals(told, corrected))

    def _followed(self, event: events.PlanMade, record: Record) -> None:
        """The same request again, or the next one of the conversation."""
        if record.said is None:
            return
        again = self._open.get(record.repeats) if record.repeats is not None and record.kind == "retry" else None
        if again:
            if not again.aside:
                self._score(again, event.at, 0.0, {"repeated": 1.0})
            return
        said, key = record.said, _key(record)
        answer = self._open.get(self._last.get(key, 0)) if key else None
        if said is None or answer is None or answer.aside or not said.answered or said.messages <= answer.messages:
            return
        if said.corrected:
            self._score(answer, event.at, 0.0, _signals((), said.corrected))
        elif not answer.calls:
            self._score(answer, event.at, 1.0, {"continued": 1.0})

    def _answered(self, event: events.ExchangeFinished, record: Record) -> None:
        plan, target = record.plan, event.target
        if record.outcome != "ok" or plan is None or target is None:
            return
        cut = "length" in event.heard.finish_reasons
        answer = _Answer(
            span=record.span,
            id=record.id,
            session=record.session,
            target=target,
            task=record.task,
            messages=record.said.messages if record.said else 0,
            calls=bool(event.heard.calls),
            aside=plan.kind == "aux" or (cut and _stopped(event, record, plan)),
        )
        self._open[record.span] = answer
        self._named[record.id] = record.span
        if len(self._open) > MOST_ANSWERS:
            self._forget(next(iter(self._open.values())))
        if key := _key(record):
            # Also where it is scored already: what follows is not about the one before it.
            self._last[key] = record.span
            self._last.move_to_end(key)
            if len(self._last) > MOST_ANSWERS:
                self._last.popitem(last=False)
        if cut and not answer.aside:
            self._score(answer, event.at, 0.0, {"truncated": 1.0})

    # Memory

    def _score(self, answer: _Answer, at: float, score: float, signals: Mapping[str, float | str]) -> None:
        self._forget(answer)
        scored = Scored(
            at=at,
            id=answer.id,
            session=answer.session,
            target=answer.target,
            task=answer.task,
            score=score,
            signals=signals,
        )
        self._tell(scored)

    def _forget(self, answer: _Answer) -> None:
        del self._open[answer.span]
        if self._named.get(answer.id) == answer.span:
            del self._named[answer.id]


def _key(record: Record) -> _Key | None:
    """The conversation an answer stands in, where what follows it can be told: of agents that share the session of
    another one only by their tool calls, of calls on the side not at all.
    """
    facts = record.understood.facts if record.understood else None
    if facts is None or facts.operation != "chat" or record.session is None or record.conversation is None:
        return None
    if record.plan is None or record.plan.kind not in ("main", None):
        return None
    return record.session, facts.model, facts.tools, record.said.origin if record.said else 0


def _stopped(event: events.ExchangeFinished, record: Record, plan: Plan) -> bool:
    """What cut the answer off was a limit of the caller's or the plan's, and not the model's own before that."""
    asked = record.understood.facts.parameters.get("max_tokens") if record.understood else None
    ours = plan.max_tokens.get(event.target) if event.target else None
    limits = [each for each in (ours, asked if isinstance(asked, int) and asked < ROOM else None) if each is not None]
    if not limits:
        return False
    end = record.tries[-1].end if record.tries else None
    usage = end.spent.usage if end else None
    return usage is None or usage.output_tokens >= REACHED * min(limits)


def _share(told: list[ToolOutcome]) -> float:
    return sum(each.outcome == "ok" for each in told) / len(told)


def _signals(told: list[ToolOutcome] | tuple[()], corrected: str) -> Mapping[str, float | str]:
    found: dict[str, float | str] = {}
    if told:
        found |= {"tools": float(len(told)), "ok": float(sum(each.outcome == "ok" for each in told))}
    return found | ({"corrected": corrected} if corrected else {})
