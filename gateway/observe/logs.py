"""One line per event worth a line, with all that is needed to find the request elsewhere. Neither secrets nor content.

Written by ``lines`` and not by a logging library: lines are made in batches from events, after the reply has left, and
their fields are a contract, so that what a library adds (loggers, handlers, call sites) would only be taken off again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from gateway import events
from gateway.chat import Repaired
from gateway.observe import decisions
from gateway.observe.crashes import crash
from gateway.observe.effectiveness import Scored
from gateway.observe.lines import Line, Whole, Writer, written, written_whole
from gateway.observe.record import Ended, Record, Switch, ToolOutcome, Try, named
from gateway.observe.vocabulary import word

Take = Callable[[Any, Any], None]

LEVELS = ("debug", "info", "warning", "error")
RANKS = {level: rank for rank, level in enumerate(LEVELS)}

# The loudest line an event may have: what nobody would read is not even put together.
LOUDEST: dict[type[events.Event], str] = {
    events.RequestUnderstood: "info",
    events.StrategyCrashed: "error",
    events.PlanMade: "debug",
    events.AttemptSucceeded: "debug",
    events.AttemptAbandoned: "debug",
    events.AttemptFailed: "warning",
    events.ToolCallsRepaired: "warning",
    events.InterpreterAnswered: "warning",
    events.PlannerAnswered: "warning",
    events.ExchangeFinished: "error",
    events.HandlerCrashed: "error",
    events.BreakerMoved: "warning",
    events.ProviderDemoted: "warning",
    events.ProviderRestored: "warning",
    events.StoreFailed: "warning",
    events.StoreRecovered: "warning",
    events.SessionPinned: "info",
    events.GatewayStarted: "info",
    events.GatewayStopped: "info",
    events.DrainStarted: "info",
    events.ConfigReloaded: "warning",
    events.ConfigRefused: "error",
    events.ListingFailed: "debug",
    events.RequestTurnedAway: "warning",
    events.FeedbackGiven: "info",
}


class Logs:
    """A sink: lines of at least ``level``. ``worker`` is the number of the process, where there are several."""

    def __init__(self, level: str, format: str, writer: Writer, version: str, worker: int | None = None) -> None:
        self._least, self._format, self._writer = RANKS[level], format, writer
        self._by: _By = worker, version if format == "json" else None
        self._envelope = dict(zip(("worker", "version"), self._by, strict=True))
        self._lines: list[str] = []
        # What every request has, and mostly without a line, or with one and the same.
        of_its_own: dict[type[events.Event], Take] = {
            events.RequestUnderstood: self._understood,
            events.ExchangeFinished: self._finished,
        }
        self.takes: dict[type[events.Event], Take] = {
            kind: of_its_own.get(kind, self._take) for kind, loudest in LOUDEST.items() if RANKS[loudest] >= self._least
        }

    def _take(self, event: events.Event, record: Record | None) -> None:
        for line in describe(event, record):
            if RANKS[line[0]] >= self._least:
                self._add(line, event.at, record)

    def _understood(self, event: events.RequestUnderstood, record: Record) -> None:
        if record.tools:
            self._take(event, record)

    def _finished(self, event: events.ExchangeFinished, record: Record) -> None:
        if record.switches:
            self._take(event, record)
        level = _level(event, record)
        if RANKS[level] < self._least:
            return
        whose = _whose(record) if self._format == "json" else _NOBODY
        line = _line(event, record, level, whose, self._by)
        self._lines.append(written_whole(line, event.at, self._format))

    def say(self, level: str, name: str, fields: dict[str, Any], at: float) -> None:
        """What telemetry has to say of itself; from any thread."""
        if RANKS[level] >= self._least:
            self._writer.put([written((level, name, {**fields, **self._envelope}), at, self._format)])

    def effective(self, scored: Scored) -> None:
        """An answer's score, under the id of the request it answered."""
        if self._least == 0:
            fields = {
                "request_id": scored.id,
                "session_id": scored.session,
                "target": str(scored.target),
                "task_type": scored.task,
                "score": round(scored.score, 4),
                "signals": scored.signals,
            }
            self._add(("debug", "effectiveness.observed", fields), scored.at, None)

    def settle(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            self._writer.put(lines)

    def _add(self, line: Line, at: float, record: Record | None) -> None:
        level, name, fields = line
        if record is None:
            said = {**fields, **self._envelope}
        elif self._format == "console":
            said = {"request_id": record.id, **fields, **self._envelope}
        else:
            whose = dict(zip(_WHOSE, _whose(record), strict=True))
            said = {"request_id": record.id, **whose, **fields, **self._envelope}
        self._lines.append(written((level, name, said), at, self._format))


_By = tuple[int | None, str | None]
"""The worker, and its version."""
_Whose = tuple[str | None, str | None, str | None, str | None, str | None]
_WHOSE = ("trace_id", "span_id", "session_id", "caller", "route")
_NOBODY: _Whose = (None, None, None, None, None)


def _whose(record: Record) -> _Whose:
    """What the request is found by elsewhere."""
    received = record.received
    if received is None:
        return None, None, record.session, record.caller, None
    trace = received.trace
    return trace.trace_id, f"{trace.server:016x}", record.session, record.caller, received.route or None


def describe(event: events.Event, record: Record | None) -> list[Line]:
    """The lines of an event: level, name and fields; none for events that are told with another one."""
    if record is not None:
        of_exchange = OF_EXCHANGE.get(type(event))
        return of_exchange(event, record) if of_exchange else []
    match event:
        case events.BreakerMoved():
            return [("warning", "breaker.changed", _breaker(event))]
        case events.ProviderDemoted():
            return [("warning", "provider.demoted", {**_swing(event), "hold_s": event.hold})]
        case events.ProviderRestored():
            return [("warning", "provider.restored", {**_swing(event), "demoted_s": round(event.seconds, 3)})]
        case events.StoreFailed(store=store, why=why, missed=missed, again=again):
            # Said once; that it goes on is counted.
            level = "debug" if again else "warning"
            return [(level, "store.failed", {"store": store, "why": why, "missed": missed})]
        case events.StoreRecovered(store=store, seconds=seconds, missed=missed):
            return [("warning", "store.recovered", {"store": store, "failed_s": round(seconds, 3), "missed": missed})]
        case events.SessionPinned(session=session, model=model):
            name = "session.pinned" if model else "session.unpinned"
            return [("info", name, {"session_id": session, "model": model})]
        case events.HandlerCrashed(exchange_id=name, traceback=traceback):
            return [("error", "handler.crashed", {"request_id": name, **_crash(traceback)})]
        case events.GatewayStarted(url=url, source=source, models=models):
            return [("info", "started", {"url": url, "config": source, "models": models})]
        case events.DrainStarted(running=running):
            return [("info", "stopping", {"running": running})]
        case events.GatewayStopped(cut=cut):
            return [("info", "stopped", {"cut": cut})]
        case events.ConfigReloaded(source=source, needs_restart=needs_restart):
            # What is configured and what is at work are two things now.
            level = "warning" if needs_restart else "info"
            return [(level, "config.reloaded", {"config": source, "needs_restart": list(needs_restart)})]
        case events.ConfigRefused(source=source, problems=problems):
            said = [str(problem) for problem in problems]
            return [("error", "config.refused", {"config": source, "problems": said, "note": "the old one goes on"})]
        case events.ListingFailed(provider=provider, fault=fault):
            return [("debug", "listing.failed", {"provider": provider, "fault": fault.kind.value, "url": fault.url})]
        case events.RequestTurnedAway(exchange_id=name, method=method, path=path):
            told = {"request_id": name, "error_type": event.error_type, "method": method, "path": path}
            return [("warning", "request.turned_away", told)]
        case events.FeedbackGiven(exchange_id=name, score=score, source=source):
            return [("info", "feedback.given", {"request_id": name, "score": score, "source": source})]
    return []


def _of_understood(event: events.RequestUnderstood, record: Record) -> list[Line]:
    return [_tool(outcome) for outcome in record.tools]


def _of_strategy(event: events.StrategyCrashed, record: Record) -> list[Line]:
    fields = {"model": event.model, "strategy": event.strategy, **_crash(event.traceback)}
    return [("error", "strategy.crashed", fields)]


def _of_plan(event: events.PlanMade, record: Record) -> list[Line]:
    return [("debug", "route.decided", _decision(record))]


def _of_attempt(event: Ended, record: Record) -> list[Line]:
    level = "warning" if isinstance(event, events.AttemptFailed) else "debug"
    return [(level, "attempt.finished", _attempt(record.tries[event.number - 1]))]


def _of_repairs(event: events.ToolCallsRepaired, record: Record) -> list[Line]:
    """One line for all of them: what is wrong still is a warning."""
    level, done = _repairs(event.repairs)
    fields = {"attempt": event.number, "target": str(event.target), **done}
    return [(level, "tool_calls.repaired", fields)]


def _of_interpreter(event: events.InterpreterAnswered, record: Record) -> list[Line]:
    level, done = _repairs(event.repairs)
    fields = {
        "attempt": event.number,
        "target": str(event.target) if event.target else None,
        "outcome": "failed" if event.failed else "ok",
        "reason": event.why or None,
        "duration_s": round(event.seconds, 6),
        **(done if event.repairs else {}),
    }
    return [("warning" if event.failed else level, "interpreter.answered", fields)]


def _repairs(repairs: tuple[Repaired, ...]) -> tuple[str, dict[str, Any]]:
    """How loud they are, and what was done."""
    kinds = Counter(kind for each in repairs for kind in each.kinds)
    flaws = dict.fromkeys(flaw for each in repairs for flaw in each.flaws)
    fields = {
        "tools": list(named(dict.fromkeys(each.tool for each in repairs if each.tool))) or None,
        "kinds": dict(kinds),
        "flaws": list(named(flaws)) or None,
    }
    return "warning" if "invalid" in kinds else "info", fields


def _of_planner(event: events.PlannerAnswered, record: Record) -> list[Line]:
    return [("warning" if event.advice == "failed" else "info", "planner.answered", _advice(event))]


def _of_crash(event: events.HandlerCrashed, record: Record) -> list[Line]:
    return [("error", "handler.crashed", _crash(event.traceback))]


def _of_end(event: events.ExchangeFinished, record: Record) -> list[Line]:
    """Beside ``request.finished``, which is a ``Whole``."""
    return [("info", "model.switched", _switch(switch)) for switch in record.switches]


OF_EXCHANGE: dict[type[events.Event], Callable[[Any, Record], list[Line]]] = {
    events.RequestUnderstood: _of_understood,
    events.StrategyCrashed: _of_strategy,
    events.PlanMade: _of_plan,
    events.AttemptSucceeded: _of_attempt,
    events.AttemptAbandoned: _of_attempt,
    events.AttemptFailed: _of_attempt,
    events.ToolCallsRepaired: _of_repairs,
    events.InterpreterAnswered: _of_interpreter,
    events.PlannerAnswered: _of_planner,
    events.HandlerCrashed: _of_crash,
    events.ExchangeFinished: _of_end,
}


def _crash(traceback: str) -> dict[str, Any]:
    kind, frames = crash(traceback)
    return {"exception": kind, "traceback": frames or None}


def _level(event: events.ExchangeFinished, record: Record) -> str:
    return "error" if record.outcome in ("error", "timeout") and (event.status >= 500 or event.begun) else "info"


class _Finished(Whole):
    """``request.finished``."""

    request_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    session_id: str | None = None
    caller: str | None = None
    route: str | None = None
    model_requested: str | None = None
    model: str | None = None
    target: str | None = None
    provider: str | None = None
    outcome: str | None = None
    error_type: str | None = None
    code: str | None = None
    http_status: int | None = None
    stream: bool | None = None
    attempts: int | None = None
    failovers: int | None = None
    switch_reasons: list[str] | None = None
    durations: dict[str, float] | None = None
    tokens: dict[str, int] | None = None
    cost_usd: float | None = None
    cost_source: str | None = None
    finish_reason: str | None = None
    context_ratio: float | None = None
    context_delta: int | None = None
    task_type: str | None = None
    kind: str | None = None
    role: str | None = None
    rule: str | None = None
    pinned: str | None = None
    tool_calls: dict[str, int] | None = None
    dropped: list[str] | None = None
    skipped_events: int | None = None
    worker: int | None = None
    version: str | None = None


def _line(event: events.ExchangeFinished, record: Record, level: str, whose: _Whose, by: _By) -> _Finished:
    usage, cost, target, plan = event.spent.usage, event.spent.cost, record.target, record.plan
    heard, dropped, switches = event.heard, record.dropped, record.switches
    # By place, a line for a field: by name it takes ten times as long.
    return _Finished(
        None,
        level,
        "request.finished",
        record.id,
        *whose,
        record.asked or None,
        event.model or None,
        str(target) if target else None,
        target.provider if target else None,
        record.outcome,
        record.error_type,
        None if event.code is None else word(event.code),
        event.status,
        event.stream,
        event.attempts,
        record.failovers,
        [switch.reason for switch in switches] if switches else None,
        _durations(event, record),
        usage.parts() if usage else None,
        cost.usd if cost else None,
        cost.source if cost else None,
        word(heard.finish_reasons[0]) if heard.finish_reasons else None,
        round((record.context or 0) / event.window, 4) if usage and event.window else None,
        record.growth,
        record.task,
        record.kind if plan else None,
        plan.role if plan else None,
        decisions.cut(plan.rule) if plan else None,
        plan.pinned if plan else None,
        _tool_calls(event, record) if heard.calls or record.tools else None,
        list(dropped) if dropped else None,
        event.skipped or None,
        *by,
    )


def _durations(event: events.ExchangeFinished, record: Record) -> dict[str, float]:
    """Seconds."""
    upstream = backoff = 0.0
    for one in record.tries:
        upstream += one.seconds
        backoff += one.started.delay
    # To the microsecond; ``round`` takes thrice as long.
    said = {
        "total": int(event.seconds * 1e6) / 1e6,
        "upstream": int(upstream * 1e6) / 1e6,
        "backoff": int(backoff * 1e6) / 1e6,
        "overhead": int(event.overhead * 1e6) / 1e6,
    }
    if event.stream and record.output_at is not None:
        said["ttft"] = int((record.output_at - record.began) * 1e6) / 1e6
    return said


def _tool_calls(event: events.ExchangeFinished, record: Record) -> dict[str, int]:
    """Made by this answer; and judged, by the results this request brought."""
    good = sum(outcome.outcome == "ok" for outcome in record.tools)
    return {"made": len(event.heard.calls), "judged": len(record.tools), "ok": good, "error": len(record.tools) - good}


def _attempt(one: Try) -> dict[str, Any]:
    fault, started = one.fault, one.started
    return {
        "number": one.number,
        "kind": started.kind,
        "target": str(one.target),
        "provider": one.target.provider,
        "outcome": one.outcome,
        "error_type": one.error_type,
        "fault": fault.kind.value if fault else None,
        "code": word(fault.code) if fault else None,
        "upstream_status": fault.status if fault else None,
        "retry_after_s": fault.retry_after if fault else None,
        "duration_s": round(one.seconds, 6),
        "ttft_s": round(one.output_at - started.at, 6) if one.output_at else None,
        "delay_s": round(started.delay, 6) or None,
        "reason": started.reason or None,
        "key": started.key,
        "url": started.url,
        "after_output": one.after_output or None,
        "dropped": list(one.dropped) or None,
        "bytes_in": one.end.heard.bytes if isinstance(one.end, events.AttemptSucceeded) else None,
        "upstream_id": one.end.heard.id if isinstance(one.end, events.AttemptSucceeded) else None,
    }


def _decision(record: Record) -> dict[str, Any]:
    plan = record.plan
    if plan is None:
        return {}
    # Targets that are shut stand at the end of the plan all the same, as the last resort.
    return {
        "policy": plan.strategy,
        "rule": decisions.cut(plan.rule),
        "reason": decisions.cut(plan.reason, decisions.LONGEST_REASON),
        "evidence": list(decisions.all_cut(plan.evidence)) or None,
        "role": plan.role,
        "kind": record.kind,
        "turn": plan.turn,
        "task_type": record.task,
        "pinned": plan.pinned,
        "chosen": decisions.cut(str(plan.targets[0])),
        "candidates": decisions.weighed(plan),
        "consult": [str(target) for target in plan.consult.targets] if plan.consult else None,
    }


def _advice(event: events.PlannerAnswered) -> dict[str, Any]:
    target = str(event.target) if event.target else None
    why = event.why or None
    return {"advice": event.advice, "target": target, "reason": why, "duration_s": round(event.seconds, 6)}


def _switch(switch: Switch) -> dict[str, Any]:
    return {
        "from": str(switch.before),
        "to": str(switch.after),
        "reason": switch.reason,
        "trigger": switch.why or None,
        "scope": switch.scope,
    }


def _tool(outcome: ToolOutcome) -> Line:
    fields = {
        "tool": outcome.tool,
        "outcome": outcome.outcome,
        "evidence": outcome.evidence or None,
        "target": str(outcome.target) if outcome.target else None,
        "call_id": outcome.id or None,
        "repeated": outcome.repeated or None,
        "latency_s": round(outcome.seconds, 6) if outcome.seconds is not None else None,
    }
    return "debug" if outcome.outcome == "ok" else "info", "tool.outcome", fields


def _breaker(event: events.BreakerMoved) -> dict[str, Any]:
    samples = event.succeeded + event.failed
    return {
        "target": str(event.target),
        "from": event.before,
        "to": event.after,
        "error_ratio": round(event.failed / samples, 4) if samples else None,
        "samples": samples,
        "cooldown_s": event.open_for or None,
    }


def _swing(event: events.ProviderDemoted | events.ProviderRestored) -> dict[str, Any]:
    return {"provider": event.provider, "error_ratio": round(event.error_rate, 4), "samples": event.calls}
