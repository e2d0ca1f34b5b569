"""An exchange as the live view keeps it, compact and without content, and the two ways it is shown: a row, all of it.

Seconds are offsets from the request's arrival, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway import events
from gateway.chat import Called, Cost, Heard, Usage
from gateway.errors import Fault, FaultKind
from gateway.observe import decisions
from gateway.observe.content import shown
from gateway.observe.record import Record, Switch, ToolOutcome, Try
from gateway.observe.vocabulary import Outcome, word
from gateway.routing import Plan, Target
from gateway.trace_context import Trace

# Names and sentences from outside are cut to so many characters, lists to so many items.
LONGEST, LONGEST_NAME, LONGEST_SENTENCE, MOST = 128, 320, 500, 50


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt. ``ended`` and ``outcome`` are None while it runs."""

    started: events.AttemptStarted
    start: float
    first_output: float | None
    ended: float | None
    seconds: float
    outcome: Outcome | None
    error_type: str | None
    after_output: bool
    dropped: tuple[str, ...] = ()
    fault: str | None = None
    status: int | None = None
    message: str | None = None
    retry_after: float | None = None
    usage: Usage | None = None
    cost: Cost | None = None

    @property
    def target(self) -> Target:
        return self.started.target


class Seen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One exchange. ``outcome`` is None while it runs, ``seconds`` then what it has taken so far."""

    id: str
    trace: Trace | None
    began: float
    route: str
    client: str | None
    user_agent: str | None
    understood: float | None
    asked: str
    model: str
    kind: str
    dialect: str | None
    stream: bool
    task: str
    caller: str | None
    session: str | None
    parent: str | None
    prompt: str | None
    plan: Plan | None
    planned: float | None
    calls: tuple[Call, ...]
    failovers: int
    target: Target | None
    first_output: float | None
    outcome: Outcome | None
    error_type: str | None
    status: int | None
    seconds: float
    fault: str | None
    message: str | None
    code: str | None
    usage: Usage | None
    context: int | None
    cost: Cost | None
    window: int | None
    overhead: float | None
    phases: Mapping[str, float]
    finish_reasons: tuple[str, ...]
    tools_called: tuple[str, ...]
    judged: tuple[ToolOutcome, ...]
    switches: tuple[Switch, ...]
    growth: int | None
    compacted: bool
    crashed: bool


def seen_of(record: Record, now: float, content: bool = False) -> Seen:
    """What is kept of an exchange, or shown of one under way. Nothing of it changes afterwards.

    ``content``: what a vendor says of a request may be shown, whatever it quotes.
    """
    received, understood, finished = record.received, record.understood, record.finished
    began = record.began
    fault = finished.fault if finished else None
    heard = finished.heard if finished else None
    return Seen(
        id=record.id,
        trace=record.trace,
        began=began,
        route=record.route[:LONGEST],
        client=received.client if received else None,
        user_agent=_cut(received.user_agent if received else None),
        understood=understood.at - began if understood else None,
        asked=record.asked[:LONGEST_NAME],
        model=_model(record)[:LONGEST_NAME],
        kind=record.kind,
        dialect=understood.dialect if understood else None,
        stream=finished.stream if finished else record.stream,
        task=record.task,
        caller=record.caller or (finished.caller if finished else None),
        session=_cut(record.session or (finished.session if finished else None), LONGEST_NAME),
        parent=_cut(understood.parent if understood else None, LONGEST_NAME),
        prompt=_prompt(understood),
        plan=decisions.without_content(record.plan) if record.plan else None,
        planned=record.planned_at - began if record.plan else None,
        calls=tuple(_call(one, began, now, content) for one in record.tries[:MOST]),
        failovers=record.failovers,
        target=record.target,
        first_output=record.first_output,
        outcome=record.outcome,
        error_type=record.error_type,
        status=finished.status if finished else None,
        seconds=finished.seconds if finished else now - began,
        fault=fault.kind.value if fault else None,
        message=said_of(fault, content),
        code=word(finished.code) if finished else None,
        usage=finished.spent.usage if finished else None,
        context=record.context,
        cost=finished.spent.cost if finished else None,
        window=finished.window if finished else None,
        overhead=finished.overhead if finished else None,
        phases=finished.phases if finished else {},
        finish_reasons=tuple(word(each) or "" for each in heard.finish_reasons[:MOST]) if heard else (),
        tools_called=tuple(call.tool[:LONGEST] for call in heard.calls[:MOST]) if heard else (),
        judged=tuple(_judged(each) for each in record.tools[:MOST]),
        switches=record.switches[:MOST],
        growth=record.growth,
        compacted=record.compacted,
        crashed=record.crashed is not None,
    )


def parts(record: Record) -> int:
    """How many things a record holds that come in any number."""
    heard = len(record.finished.heard.calls) if record.finished else 0
    plan = decisions.size(record.plan) if record.plan else 0
    return heard + plan + len(record.tries) + len(record.tools) + len(record.switches)


def without_content(record: Record) -> None:
    """Takes out what was asked and answered, once nobody will want it any more."""
    if record.plan:
        record.plan = decisions.without_content(record.plan)
    if record.understood and record.understood.body:
        record.understood = msgspec.structs.replace(record.understood, body=b"")
    finished, heard = record.finished, record.finished.heard if record.finished else Heard()
    if finished and (heard.text is not None or (heard.calls and any(call.arguments for call in heard.calls))):
        calls = tuple(Called(call.id, call.tool) for call in heard.calls)
        heard = msgspec.structs.replace(heard, text=None, calls=calls)
        record.finished = msgspec.structs.replace(finished, heard=heard)
        for one in record.tries:
            if isinstance(one.end, events.AttemptSucceeded):
                one.end = msgspec.structs.replace(one.end, heard=Heard(bytes=one.end.heard.bytes))


def _model(record: Record) -> str:
    if record.plan or record.finished is None:
        return record.model
    return record.finished.model


def said_of(fault: Fault | None, content: bool = False) -> str | None:
    """The message of a fault. A vendor's is left out unless it is about our account or its capacity, or content may
    be shown: any other may quote the prompt, or the answer.
    """
    if fault is None or (fault.origin == "vendor" and fault.kind not in _ABOUT_US and not content):
        return None
    return shown(fault.message, LONGEST_SENTENCE - 1)


_ABOUT_US = frozenset(
    (
        FaultKind.RATE_LIMITED,
        FaultKind.OVERLOADED,
        FaultKind.BAD_CREDENTIALS,
        FaultKind.OUT_OF_CREDIT,
        FaultKind.MODEL_MISSING,
    )
)


def _call(one: Try, began: float, now: float, content: bool) -> Call:
    fault: Fault | None = one.fault
    started, spent = one.started, one.end.spent if one.end else events.Spent()
    return Call(
        started=started,
        start=started.at - began,
        first_output=None if one.output_at is None else one.output_at - began,
        ended=None if one.ended_at is None else one.ended_at - began,
        seconds=one.seconds if one.end else now - started.at,
        outcome=one.outcome,
        error_type=one.error_type,
        after_output=one.after_output,
        dropped=one.dropped,
        fault=fault.kind.value if fault else None,
        status=_status(one),
        message=said_of(fault, content),
        retry_after=fault.retry_after if fault else None,
        usage=spent.usage,
        cost=spent.cost,
    )


def _status(one: Try) -> int | None:
    """The vendor's: of a fault as it said, of an answer 200, for only that is one."""
    return one.fault.status if one.fault else 200 if one.outcome == "ok" else None


def _judged(tool: ToolOutcome) -> ToolOutcome:
    """The evidence is the words that gave a failure away; of those only the first are kept."""
    return msgspec.structs.replace(tool, id=tool.id[:LONGEST], tool=tool.tool[:LONGEST], evidence=tool.evidence[:80])


def _prompt(understood: events.RequestUnderstood | None) -> str | None:
    prompt = understood.prompt if understood else None
    return f"{prompt.name[:LONGEST]}#{prompt.version}" if prompt else None


def _cut(text: str | None, longest: int = LONGEST) -> str | None:
    return text if text is None or len(text) <= longest else f"{text[: longest - 1]}…"


# How it is shown ------------------------------------------------------------------------------------------------------


def row(seen: Seen) -> dict[str, Any]:
    """An exchange in a list."""
    return {
        "id": seen.id,
        "trace_id": seen.trace.trace_id if seen.trace else None,
        "time": shown_time(seen.began),
        "state": "finished" if seen.outcome else "running",
        "model": {"asked": seen.asked, "public": seen.model},
        "target": _name(seen.target),
        "kind": seen.kind,
        "role": seen.plan.role if seen.plan else None,
        "rule": decisions.cut(seen.plan.rule) if seen.plan else None,
        "stream": seen.stream,
        "outcome": seen.outcome,
        "error_type": seen.error_type,
        "status": seen.status,
        "attempts": [_attempt(call) for call in seen.calls],
        "failovers": seen.failovers,
        "seconds": _rounded(seen.seconds),
        "ttft": _rounded(seen.first_output),
        "tokens": _tokens(seen.usage),
        "cost_usd": seen.cost.usd if seen.cost else None,
        "caller": seen.caller,
        "session": seen.session,
        "switches": [_switch(each) for each in seen.switches],
        "tools": [{"tool": each.tool, "outcome": each.outcome} for each in seen.judged],
    }


def detail(seen: Seen) -> dict[str, Any]:
    """Everything about an exchange: a row and more."""
    return {
        **row(seen),
        "route": seen.route,
        "client": seen.client,
        "user_agent": seen.user_agent,
        "dialect": seen.dialect,
        "parent_session": seen.parent,
        "pinned": seen.plan.pinned if seen.plan else None,
        "prompt": seen.prompt,
        "task": seen.task,
        "plan": decisions.told(seen.plan) if seen.plan else None,
        "attempts": [_whole_attempt(call) for call in seen.calls],
        "error": _error(seen),
        "overhead": _rounded(seen.overhead),
        "phases": {name: _rounded(seconds) for name, seconds in seen.phases.items()},
        "waterfall": list(waterfall(seen)),
        "cost_source": seen.cost.source if seen.cost else None,
        "finish_reasons": seen.finish_reasons,
        "tools_called": seen.tools_called,
        "tools": [_tool(each) for each in seen.judged],
        "context": {
            "tokens": seen.context,
            "window": seen.window,
            "growth": seen.growth,
            "compacted": seen.compacted,
        },
    }


def waterfall(seen: Seen) -> Iterator[dict[str, Any]]:
    """What took when, in order. A moment starts and ends at once; what still runs has no ``end``."""
    yield _step("received", 0.0, 0.0)
    if seen.understood is not None:
        yield _step("understood", seen.understood, seen.understood)
    if seen.planned is not None:
        yield _step("planned", seen.planned, seen.planned)
    for call in seen.calls:
        started = call.started
        if started.delay:
            waited = {"number": started.number, "cause": started.cause}
            yield _step("backoff", call.start - started.delay, call.start, **waited)
        yield _step(
            "attempt",
            call.start,
            call.ended,
            number=started.number,
            target=str(call.target),
            first_output=_rounded(call.first_output),
            outcome=call.outcome,
            error_type=call.error_type,
        )
    if seen.outcome:
        yield _step("finished", seen.seconds, seen.seconds)


def shown_switch(switch: Switch, record: Record) -> dict[str, Any]:
    """A switch in the list of all of them, with the exchange it was part of."""
    return {
        **_switch(switch),
        "time": shown_time(switch.at),
        "scope": switch.scope,
        "number": switch.number,
        "request_id": record.id,
        "trace_id": record.trace.trace_id if record.trace else None,
        "model": record.model,
        "session": record.session,
    }


def shown_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _step(step: str, start: float, end: float | None, **more: Any) -> dict[str, Any]:
    return {"step": step, "start": _rounded(max(0.0, start)), "end": _rounded(end), **more}


def _attempt(call: Call) -> dict[str, Any]:
    first = None if call.first_output is None else call.first_output - call.start
    return {
        "number": call.started.number,
        "provider": call.target.provider,
        "model": call.target.model,
        "kind": call.started.kind,
        "outcome": call.outcome,
        "fault": call.fault,
        "error_type": call.error_type,
        "status": call.status,
        "seconds": _rounded(call.seconds),
        "ttft": _rounded(first),
    }


def _whole_attempt(call: Call) -> dict[str, Any]:
    return {
        **_attempt(call),
        "url": _cut(call.started.url, LONGEST_SENTENCE),
        "reason": call.started.reason,
        "key": call.started.key,
        "delay": _rounded(call.started.delay),
        "cause": call.started.cause if call.started.delay else None,
        "message": call.message,
        "retry_after": call.retry_after,
        "after_output": call.after_output,
        "dropped": call.dropped,
        "tokens": _tokens(call.usage),
        "cost_usd": call.cost.usd if call.cost else None,
    }


def _error(seen: Seen) -> dict[str, Any] | None:
    """What the client was told had gone wrong, and what lay behind it."""
    if not (seen.fault or seen.code or seen.crashed):
        return None
    return {"fault": seen.fault, "message": seen.message, "code": seen.code, "crashed": seen.crashed}


def _switch(switch: Switch) -> dict[str, Any]:
    return {
        "from": str(switch.before),
        "to": str(switch.after),
        "reason": switch.reason,
        "why": _cut(switch.why, LONGEST_SENTENCE),
    }


def _tool(tool: ToolOutcome) -> dict[str, Any]:
    return {
        "id": tool.id,
        "tool": tool.tool,
        "outcome": tool.outcome,
        "evidence": tool.evidence,
        "repeated": tool.repeated,
        "target": _name(tool.target),
        "seconds": _rounded(tool.seconds),
    }


def _tokens(usage: Usage | None) -> dict[str, int] | None:
    """Input, and what of it was read from and written to a cache; output, and what of it was reasoning."""
    if usage is None:
        return None
    parts = usage.parts()
    return {
        "input": usage.input_tokens,
        "cache_read": parts["cache_read"],
        "cache_write": parts["cache_write"],
        "output": usage.output_tokens,
        "reasoning": parts["reasoning"],
    }


def _name(target: Target | None) -> str | None:
    return str(target) if target else None


def _rounded(seconds: float | None) -> float | None:
    """To microseconds: finer than that the clocks say nothing."""
    return None if seconds is None else round(seconds, 6)
