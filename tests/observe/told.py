"""Exchanges as their events tell them, made by hand: for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from gateway import events
from gateway.chat import Called, Cost, Facts, Heard, Prompt, Repaired, Usage
from gateway.errors import Fault, FaultKind
from gateway.observe.live import Live
from gateway.observe.record import Record, Switch, ToolOutcome
from gateway.observe.telemetry import Telemetry
from gateway.routing import Candidate, Consult, LeftOut, Plan, Target
from gateway.trace_context import Trace

BEGAN = 1_700_000_000.0
OPENAI, AZURE, CLAUDE = Target("openai", "gpt-5"), Target("azure", "gpt-4.1"), Target("claude", "sonnet")
SECRETS = ("the body's words", "the answer's words", "the argument's words", "the vendor's body", "the plan's words")
"""What is content in these events, and must appear nowhere."""

LIMITED = Fault(
    kind=FaultKind.RATE_LIMITED, message="slow down", status=429, retry_after=0.5, body=SECRETS[3], url="https://x"
)
BUSY = Fault(kind=FaultKind.OVERLOADED, message="overloaded", status=503)
TYPO = Fault(kind=FaultKind.BAD_REQUEST, message="no such field", status=400)
USAGE = Usage(input_tokens=1200, output_tokens=50, cached_tokens=1000, reasoning_tokens=20)


class Clock:
    now = BEGAN + 60.0

    def __call__(self) -> float:
        return self.now


class Memory:
    """The sink that adds to records what the session's past says; here, what a test says."""

    hears = (events.RequestUnderstood, events.AttemptStarted)

    def __init__(self) -> None:
        self.switches: dict[int, list[Switch]] = {}
        self.tools: Sequence[ToolOutcome] = ()

    def take(self, event: events.Event, record: Record | None) -> None:
        if record is not None and isinstance(event, events.RequestUnderstood):
            record.tools, record.growth = tuple(self.tools), 300
        if record is not None and isinstance(event, events.AttemptStarted):
            told = [each for each in self.switches.get(record.span, []) if each.number == event.number]
            record.switches = (*record.switches, *told)

    def settle(self) -> None: ...


class Telling:
    """A live view with what feeds it. Each exchange has a span of its own: the number it is told with."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.memory = Clock(), Memory()
        self.live = Live(self.clock, **settings)
        self.lost: list[tuple[str, str, int]] = []
        self.telemetry = Telemetry(lambda seconds, tell: None, lambda *lost: self.lost.append(lost), nullcontext())
        self.telemetry.listen("memory", self.memory)
        self.telemetry.listen("live", self.live)
        self.live.before = self.telemetry.settle

    def tell(self, *happened: events.Event) -> None:
        for event in happened:
            self.telemetry(event)
        self.telemetry.settle()
        assert self.lost == []

    def plain(self, span: int, at: float = BEGAN, **more: Any) -> None:
        self.tell(*plain(span, at, **more))


def received(span: int, at: float = BEGAN, id: str = "") -> events.RequestReceived:
    trace = Trace(id=0xABC + span, first=span, sampled=True)
    return events.RequestReceived(
        at=at, exchange_id=id or f"req-{span}", span=span, route="/v1/chat/completions", trace=trace, client="127.0.0.1"
    )


def understood(span: int, at: float = BEGAN, id: str = "", **changes: Any) -> events.RequestUnderstood:
    told = {"dialect": "openai_chat", "facts": Facts(model="gpt-4o", stream=True), "caller": "ci", "session": "ci:s-1"}
    body = SECRETS[0].encode()
    return events.RequestUnderstood(
        at=at, exchange_id=id or f"req-{span}", span=span, **told | {"body": body} | changes
    )


def plain(
    span: int,
    at: float = BEGAN,
    *,
    id: str = "",
    target: Target = OPENAI,
    seconds: float = 1.0,
    fault: Fault | None = None,
    tool: str | None = None,
    **heard: Any,
) -> list[events.Event]:
    """One attempt, and its end. ``heard``: changes of what was understood."""
    of = {"exchange_id": id or f"req-{span}", "span": span}
    call = {**of, "number": 1, "target": target}
    done = at + seconds
    calls = (Called("c1", tool, SECRETS[2]),) if tool else ()
    spent = events.Spent(usage=USAGE, cost=Cost(0.0125, "table"))
    ended: events.Event = events.AttemptSucceeded(at=done, **call, seconds=seconds, spent=spent)
    if fault:
        ended = events.AttemptFailed(at=done, **call, seconds=seconds, fault=fault)
    end = {"outcome": "error", "status": fault.status, "fault": fault} if fault else {"outcome": "ok", "status": 200}
    told = [received(span, at, id), understood(span, at, id, **heard)]
    return [
        *told,
        events.PlanMade(at=at, **of, plan=Plan(model="coder", targets=(target,), reason="in the order configured")),
        events.AttemptStarted(at=at, **call, url="https://api.openai.com/v1/chat/completions", reason="first choice"),
        *([] if fault else [events.OutputStarted(at=at + seconds / 2, **call, seconds=seconds / 2)]),
        ended,
        events.ExchangeFinished(
            at=done,
            **of,
            model="coder",
            stream=True,
            attempts=1,
            seconds=seconds,
            target=target,
            spent=spent,
            heard=Heard(calls=calls, text=SECRETS[1]),
            caller="ci",
            **end,
        ),
    ]


SWITCH = Switch(at=BEGAN + 1.2, before=OPENAI, after=CLAUDE, reason="failover", scope="request", number=3, why="503")
TOOLS = [
    ToolOutcome(id="t1", tool="shell", outcome="ok", evidence="", repeated=False, target=CLAUDE, seconds=2.0),
    ToolOutcome(id="t2", tool="edit", outcome="error", evidence="exit code 1", repeated=True),
]


def failover(span: int = 7) -> list[events.Event]:
    """429, its wait and a retry; 503, a back-off and the next target; a stream that ends well, two seconds in all."""
    of: dict[str, Any] = {"exchange_id": f"req-{span}", "span": span}
    plan = Plan(
        model="coder",
        targets=(OPENAI, CLAUDE),
        reason="role=lead; turn=6",
        strategy="lead_worker",
        rule="tool_failures",
        evidence=("turn 4: shell: exit code 1", "turn 5: the user: still failing"),
        role="lead",
        kind="main",
        turn=6,
        task="code",
        asked="gpt-4o",
        candidates=(Candidate("openai/gpt-5", 0.83, "code 0.83"), Candidate("cheap", None, "")),
        left_out=(LeftOut(AZURE, "breaker open"),),
        consult=Consult((CLAUDE,), "2 failed turns in a row"),
        note=SECRETS[4],
        remember={"plan": SECRETS[4]},
    )
    call = "https://api.openai.com/v1/chat/completions"
    first, second = {"number": 1, "target": OPENAI}, {"number": 2, "target": OPENAI}
    third: dict[str, Any] = {"number": 3, "target": CLAUDE}
    spent = events.Spent(usage=USAGE, cost=Cost(0.0125, "table"))
    started = events.AttemptStarted
    return [
        received(span),
        understood(span, BEGAN + 0.001, prompt=Prompt("reviewer", 3)),
        events.PlanMade(at=BEGAN + 0.002, **of, plan=plan),
        started(at=BEGAN + 0.01, **of, **first, url=call, reason="first choice"),
        events.AttemptFailed(at=BEGAN + 0.21, **of, **first, fault=LIMITED, seconds=0.2),
        started(
            at=BEGAN + 0.71, **of, **second, url=call, reason="again", kind="retry", delay=0.5, cause="retry_after"
        ),
        events.AttemptFailed(at=BEGAN + 0.95, **of, **second, fault=BUSY, seconds=0.24),
        started(at=BEGAN + 1.2, **of, **third, url="https://claude", reason="next", kind="fallback", delay=0.25),
        events.OutputStarted(at=BEGAN + 1.5, **of, **third, seconds=0.3),
        events.AttemptSucceeded(at=BEGAN + 2.0, **of, **third, seconds=0.8, spent=spent),
        events.ExchangeFinished(
            at=BEGAN + 2.0,
            **of,
            model="coder",
            stream=True,
            outcome="ok",
            status=200,
            attempts=3,
            seconds=2.0,
            target=CLAUDE,
            spent=spent,
            heard=Heard(calls=(Called("c9", "edit", SECRETS[2]),), finish_reasons=("tool_calls",), text=SECRETS[1]),
            window=200_000,
            begun=True,
            overhead=0.004,
            phases={"parse": 0.0004, "route": 0.001},
            caller="ci",
            session="ci:s-1",
        ),
    ]


def told() -> Telling:
    """The failover with its switch and tools, and three plain exchanges after it."""
    telling = Telling()
    telling.memory.switches[7], telling.memory.tools = [SWITCH], TOOLS
    telling.tell(*failover())
    telling.memory.tools = []
    telling.plain(8, BEGAN + 10, target=AZURE, seconds=4.0, tool="shell", session="dev:s-2", caller="dev")
    telling.plain(9, BEGAN + 20, fault=TYPO)
    telling.tell(received(10, BEGAN + 30), understood(10, BEGAN + 30, session=None))
    return telling


def kinds(root: type[events.Event] = events.Event) -> set[type[events.Event]]:
    """Every event of gateway/events.py that can happen."""
    below = {kind for each in root.__subclasses__() for kind in kinds(each)}
    return {kind for kind in below or {root} if kind.__module__ == events.__name__}


class Tale:
    """An exchange, told event by event, an eighth of a second apart. ``events``: what was told."""

    def __init__(self, span: int = 1, at: float = BEGAN, **changes: Any) -> None:
        self.span, self.now, self.number, self.target = span, at, 0, OPENAI
        self.stream, self.spent = True, events.Spent()
        self.events: list[events.Event] = []
        trace = Trace(id=0xABC0 + span, first=span, sampled=True)
        self._add(events.RequestReceived, **{"route": "/v1/chat/completions", "trace": trace} | changes)

    def understood(self, *, facts: dict[str, Any] | None = None, **changes: Any) -> Tale:
        asked = Facts(**{"model": "coder", "stream": True} | (facts or {}))
        self.stream = asked.stream
        usual = {"dialect": "openai_chat", "caller": "ci", "session": "ci:s-1", "body": SECRETS[0].encode()}
        return self._add(events.RequestUnderstood, facts=asked, **usual | changes)

    def plan(self, *targets: Target, **changes: Any) -> Tale:
        usual = {"model": "coder", "targets": targets or (OPENAI, CLAUDE), "reason": "as listed"}
        return self._add(events.PlanMade, plan=Plan(**usual | changes))

    def asked(self, *targets: Target, **facts: Any) -> Tale:
        return self.understood(facts=facts).plan(*targets)

    def strategy_crashed(self, traceback: str = "Traceback: no") -> Tale:
        return self._add(events.StrategyCrashed, model="coder", strategy="odd", traceback=traceback)

    def attempt(self, target: Target = OPENAI, kind: str = "primary", **told: Any) -> Tale:
        self.number, self.target = self.number + 1, target
        return self._add(events.AttemptStarted, **self._of(), url="https://x", reason="next", kind=kind, **told)

    def reduced(self, *dropped: str) -> Tale:
        return self._add(events.RequestReduced, **self._of(), dropped=dropped)

    def repaired(self, *repairs: Repaired) -> Tale:
        return self._add(events.ToolCallsRepaired, **self._of(), repairs=repairs)

    def interpreted(self, *repairs: Repaired, failed: bool = False) -> Tale:
        """Of the first attempt's answer, by the last one."""
        told = {"number": 1, "about": OPENAI, "target": None if failed else self.target, "failed": failed}
        why = "overloaded" if failed else ""
        return self._add(events.InterpreterAnswered, **told, repairs=repairs, why=why, seconds=0.5)

    def output(self) -> Tale:
        return self._add(events.OutputStarted, **self._of(), seconds=0.125)

    def answered(self, usage: Usage | None = USAGE, usd: float | None = 0.25, **told: Any) -> Tale:
        self.spent = events.Spent(usage=usage, cost=None if usd is None else Cost(usd, "table"))
        return self._add(events.AttemptSucceeded, **self._of(), **{"seconds": 0.5, "spent": self.spent} | told)

    def failed(self, fault: Fault, **told: Any) -> Tale:
        return self._add(events.AttemptFailed, **self._of(), fault=fault, **{"seconds": 0.25} | told)

    def left(self, **told: Any) -> Tale:
        return self._add(events.AttemptAbandoned, **self._of(), **{"seconds": 0.25} | told)

    def advised(self, advice: str = "plan", target: Target | None = CLAUDE, why: str = "") -> Tale:
        return self._add(events.PlannerAnswered, advice=advice, target=target, seconds=0.5, why=why)

    def crashed(self, traceback: str = "Traceback: no") -> Tale:
        return self._add(events.HandlerCrashed, traceback=traceback)

    def finished(self, outcome: str = "ok", status: int = 200, **told: Any) -> Tale:
        usual: dict[str, Any] = {"model": "coder", "stream": self.stream, "attempts": self.number, "seconds": 2.0}
        if outcome == "ok":
            usual |= {"target": self.target, "spent": self.spent, "begun": True}
        return self._add(events.ExchangeFinished, outcome=outcome, status=status, **usual | told)

    def _of(self) -> dict[str, Any]:
        return {"number": self.number, "target": self.target}

    def _add(self, what: type[events.ExchangeEvent], **told: Any) -> Tale:
        self.events.append(what(at=self.now, exchange_id=f"req-{self.span}", span=self.span, **told))
        self.now += 0.125
        return self
