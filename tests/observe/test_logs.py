"""Log lines: which events have one, at which level, with which fields, and never what was said."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

from gateway import events
from gateway.chat import Called, Cost, Heard, Repaired, Usage
from gateway.errors import Fault, FaultKind, Problem
from gateway.observe.lines import written
from gateway.observe.logs import LEVELS, LOUDEST, Logs
from gateway.observe.sessions import Sessions
from gateway.observe.telemetry import Telemetry
from gateway.observe.vocabulary import ERROR_TYPES
from tests.observe.told import AZURE, BEGAN, BUSY, CLAUDE, LIMITED, OPENAI, SWITCH, TYPO, Memory, Tale, failover, kinds
from tests.observe.told import TOOLS as JUDGED

Said = dict[str, Any]

CUT = Fault(kind=FaultKind.BROKEN_STREAM, message="cut", origin="network")
SLOW = Fault(kind=FaultKind.TIMEOUT_FIRST_TOKEN, message="nothing was said", origin="network")
TRACE = {"trace_id": f"{0xABC1:032x}", "span_id": f"{1:016x}"}
WHOSE = {"request_id": "req-1", **TRACE, "session_id": "ci:s-1", "caller": "ci", "route": "/v1/chat/completions"}


class Paper:
    """Where lines go."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.batches = 0

    def put(self, lines: list[str]) -> None:
        self.lines += lines
        self.batches += 1


class Desk:
    """Logs with what feeds them."""

    def __init__(
        self, level: str = "debug", format: str = "json", memory: Any = None, worker: int | None = None
    ) -> None:
        self.paper, self.lost = Paper(), list[tuple[str, str, int]]()
        self.logs = Logs(level, format, self.paper, "1.2.3", worker)
        self.telemetry = Telemetry(lambda seconds, tell: None, lambda *lost: self.lost.append(lost), nullcontext())
        self.telemetry.listen("sessions", memory or Sessions())
        self.telemetry.listen("logs", self.logs)

    def tell(self, *told: Tale | events.Event) -> list[str]:
        for each in told:
            for event in each.events if isinstance(each, Tale) else (each,):
                self.telemetry(event)
        self.telemetry.settle()
        assert self.lost == []
        return self.paper.lines


def said(told: Tale | events.Event, *names: str, level: str = "debug", memory: Any = None) -> list[Said]:
    """The lines of these names, without ``ts`` and version."""
    lines = [json.loads(line) for line in Desk(level, memory=memory).tell(told)]
    assert all(line.pop("version") == "1.2.3" and line.pop("ts") for line in lines)
    return [line for line in lines if line["event"] in names or not names]


def story(tale: Tale, memory: Any = None) -> list[tuple[str, str]]:
    return [(line["level"], line["event"]) for line in said(tale, memory=memory)]


# Which, and how loud -------------------------------------------------------------------------------------------------

PLAN, FAILED, DONE = ("debug", "route.decided"), ("warning", "attempt.finished"), ("debug", "attempt.finished")
INFO, ERROR, SWITCHED = ("info", "request.finished"), ("error", "request.finished"), ("info", "model.switched")
CRASHED = ("error", "handler.crashed")
TRACEBACK = 'Traceback (most recent call last):\n  File "/a/b.py", line 3, in f\n    boom(x)\nKeyError: {}\n'

MENDED = Repaired("shell", ("name", "types"))
ODD = Repaired("shell", ("invalid",), ("command: missing",))
STORIES: dict[str, tuple[Tale, list[tuple[str, str]]]] = {
    "an answer": (Tale().asked().attempt().output().answered().finished(), [PLAN, DONE, INFO]),
    "a retry": (
        Tale().asked().attempt().failed(LIMITED).attempt(kind="retry").answered().finished(),
        [PLAN, FAILED, DONE, INFO],
    ),
    "a failover": (
        Tale().asked().attempt().failed(BUSY).attempt(CLAUDE, "fallback").answered().finished(),
        [PLAN, FAILED, DONE, SWITCHED, INFO],
    ),
    "nobody answers": (
        Tale().asked().attempt().failed(BUSY).finished("error", 503, fault=BUSY),
        [PLAN, FAILED, ERROR],
    ),
    "nobody answers in time": (
        Tale().asked().attempt().failed(SLOW).finished("error", 504, fault=SLOW),
        [PLAN, FAILED, ERROR],
    ),
    "broken after output": (
        Tale().asked().attempt().output().failed(CUT).finished("broken", 200, fault=CUT, begun=True),
        [PLAN, FAILED, ERROR],
    ),
    # The client is told to come again: its own traffic, not ours, is what stands in the way.
    "too much everywhere": (
        Tale().asked().attempt().failed(LIMITED).finished("error", 429, fault=LIMITED),
        [PLAN, FAILED, INFO],
    ),
    "the vendor refuses": (
        Tale().asked().attempt().failed(TYPO).finished("error", 400, fault=TYPO),
        [PLAN, FAILED, INFO],
    ),
    "cancelled": (Tale().asked().attempt().left().finished("cancelled", 499), [PLAN, DONE, INFO]),
    "cancelled at once": (Tale().finished("cancelled", 499), [INFO]),
    "rejected": (Tale().understood().finished("error", 404, code="model_not_found"), [INFO]),
    "crashed": (Tale().understood().crashed().finished("error", 500, code="internal_error"), [CRASHED, ERROR]),
    "the strategy crashed": (
        Tale().understood().strategy_crashed().plan().attempt().output().answered().finished(),
        [("error", "strategy.crashed"), PLAN, DONE, INFO],
    ),
    "a call repaired": (
        Tale().asked().attempt().output().repaired(MENDED).answered().finished(),
        [PLAN, ("info", "tool_calls.repaired"), DONE, INFO],
    ),
    "a call that fits no tool": (
        Tale().asked().attempt().output().repaired(MENDED, ODD).answered().finished(),
        [PLAN, ("warning", "tool_calls.repaired"), DONE, INFO],
    ),
    "interpreted": (
        Tale()
        .asked()
        .attempt()
        .output()
        .answered()
        .attempt(CLAUDE, "interpreter")
        .answered()
        .interpreted(Repaired("shell", ("interpreted",)))
        .finished(),
        [PLAN, DONE, DONE, ("info", "interpreter.answered"), INFO],
    ),
    "no interpreter to be had": (
        Tale()
        .asked()
        .attempt()
        .answered()
        .attempt(CLAUDE, "interpreter")
        .failed(BUSY)
        .interpreted(failed=True)
        .finished(),
        [PLAN, DONE, FAILED, ("warning", "interpreter.answered"), INFO],
    ),
    "planned first": (
        Tale().asked().attempt(CLAUDE, "planner").answered().advised().attempt().output().answered().finished(),
        [PLAN, DONE, ("info", "planner.answered"), DONE, INFO],
    ),
    "no plan to be had": (
        Tale().asked().attempt(CLAUDE, "planner").failed(BUSY).advised("failed").attempt().answered().finished(),
        [PLAN, FAILED, ("warning", "planner.answered"), DONE, INFO],
    ),
    "crashed in the middle": (
        Tale().asked().attempt().output().crashed().left().finished("broken", 500, code="internal_error", begun=True),
        [PLAN, CRASHED, DONE, ERROR],
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_the_lines_of_an_exchange(name: str):
    tale, expected = STORIES[name]
    assert story(tale) == expected
    (line,) = said(tale, "request.finished")
    assert line["outcome"] in ("ok", "error", "timeout", "cancelled", "rejected")
    assert (line.get("error_type") in ERROR_TYPES) == (line["outcome"] != "ok")
    for level in LEVELS:
        louder = [each for each in expected if LEVELS.index(each[0]) >= LEVELS.index(level)]
        assert [(each["level"], each["event"]) for each in said(tale, level=level)] == louder


def test_repairs_are_one_line_by_what_was_done():
    tale, _ = STORIES["a call that fits no tool"]
    (line,) = said(tale, "tool_calls.repaired")
    assert (line["tools"], line["kinds"]) == (["shell"], {"name": 1, "types": 1, "invalid": 1})
    assert (line["target"], line["flaws"]) == ("openai/gpt-5", ["command: missing"])


at: dict[str, Any] = {"at": BEGAN}
FACTS: list[tuple[events.Event, Said]] = [
    (
        events.BreakerMoved(**at, target=OPENAI, before="closed", after="open", succeeded=5, failed=15, open_for=30.0),
        {
            "level": "warning",
            "event": "breaker.changed",
            "target": "openai/gpt-5",
            "from": "closed",
            "to": "open",
            "error_ratio": 0.75,
            "samples": 20,
            "cooldown_s": 30.0,
        },
    ),
    (
        events.BreakerMoved(**at, target=OPENAI, before="open", after="half_open"),
        {
            "level": "warning",
            "event": "breaker.changed",
            "target": "openai/gpt-5",
            "from": "open",
            "to": "half_open",
            "samples": 0,
        },
    ),
    (
        events.StoreFailed(**at, store="redis", why="unreachable", missed=1),
        {"level": "warning", "event": "store.failed", "store": "redis", "why": "unreachable", "missed": 1},
    ),
    (
        events.StoreFailed(**at, store="redis", why="timeout", missed=7, again=True),
        {"level": "debug", "event": "store.failed", "store": "redis", "why": "timeout", "missed": 7},
    ),
    (
        events.StoreRecovered(**at, store="redis", seconds=61.23456, missed=7),
        {"level": "warning", "event": "store.recovered", "store": "redis", "failed_s": 61.235, "missed": 7},
    ),
    (
        events.SessionPinned(**at, session="ci:s-1", model="smart"),
        {"level": "info", "event": "session.pinned", "session_id": "ci:s-1", "model": "smart"},
    ),
    (
        events.SessionPinned(**at, session="ci:s-1", model=None),
        {"level": "info", "event": "session.unpinned", "session_id": "ci:s-1"},
    ),
    (
        events.ProviderDemoted(**at, provider="openai", error_rate=1 / 3, calls=24, hold=30.0),
        {
            "level": "warning",
            "event": "provider.demoted",
            "provider": "openai",
            "error_ratio": 0.3333,
            "samples": 24,
            "hold_s": 30.0,
        },
    ),
    (
        events.ProviderRestored(**at, provider="openai", error_rate=0.05, calls=20, seconds=61.23456),
        {
            "level": "warning",
            "event": "provider.restored",
            "provider": "openai",
            "error_ratio": 0.05,
            "samples": 20,
            "demoted_s": 61.235,
        },
    ),
    (
        events.HandlerCrashed(**at, exchange_id="r", traceback=TRACEBACK.format("no")),
        {
            "level": "error",
            "event": "handler.crashed",
            "request_id": "r",
            "exception": "KeyError",
            "traceback": '  File "/a/b.py", line 3, in f',
        },
    ),
    (
        events.GatewayStarted(**at, url="http://here", source="skein.yaml", models=3, digest="abc"),
        {"level": "info", "event": "started", "url": "http://here", "config": "skein.yaml", "models": 3},
    ),
    (events.DrainStarted(**at, running=2), {"level": "info", "event": "stopping", "running": 2}),
    (events.GatewayStopped(**at, cut=1), {"level": "info", "event": "stopped", "cut": 1}),
    (
        events.ConfigReloaded(**at, source="skein.yaml", needs_restart=("server.port",)),
        {"level": "warning", "event": "config.reloaded", "config": "skein.yaml", "needs_restart": ["server.port"]},
    ),
    (
        events.ConfigRefused(**at, source="skein.yaml", problems=(Problem("a.b", "is wrong", "mend it"),)),
        {
            "level": "error",
            "event": "config.refused",
            "config": "skein.yaml",
            "note": "the old one goes on",
            "problems": ["a.b: is wrong (mend it)"],
        },
    ),
    (
        events.ListingFailed(**at, provider="openai", fault=BUSY),
        {"level": "debug", "event": "listing.failed", "provider": "openai", "fault": "overloaded"},
    ),
    (
        events.RequestTurnedAway(**at, exchange_id="r", code="unknown_path", method="GET", path="/v2/chat"),
        {
            "level": "warning",
            "event": "request.turned_away",
            "request_id": "r",
            "error_type": "caller_unknown_path",
            "method": "GET",
            "path": "/v2/chat",
        },
    ),
    (
        events.FeedbackGiven(**at, exchange_id="r", name="n", score=0.5, source="ci", comment="content"),
        {"level": "info", "event": "feedback.given", "request_id": "r", "score": 0.5, "source": "ci"},
    ),
]
SILENT = (
    events.RequestReceived,  # told by its end
    events.AttemptStarted,  # told by its end
    events.RequestReduced,  # told with its attempt's end and its request's: dropped
    events.OutputStarted,  # told with its attempt's end: ttft_s
    events.LoopLooked,  # a number, several times a second
)


@pytest.mark.parametrize(("event", "expected"), FACTS, ids=lambda each: type(each).__name__)
def test_the_lines_of_other_facts(event: events.Event, expected: Said):
    assert said(event) == [expected]
    # An event is heard from the loudest of its lines on, and not below.
    for level in LEVELS:
        loud = LEVELS.index(expected["level"]) >= LEVELS.index(level)
        assert bool(said(event, level=level)) == loud


def test_every_event_has_a_line_or_is_known_to_have_none():
    assert set(LOUDEST) | set(SILENT) == kinds()
    assert set(LOUDEST) & set(SILENT) == set()
    told = {type(event) for tale, _ in STORIES.values() for event in tale.events} | {type(event) for event, _ in FACTS}
    assert set(LOUDEST) <= told, "what has a line is tested above"


@pytest.mark.parametrize(
    ("level", "deaf_to"),
    [
        ("debug", {*SILENT}),
        (
            "info",
            {*SILENT, events.PlanMade, events.AttemptSucceeded, events.AttemptAbandoned, events.ListingFailed},
        ),
        (
            "error",
            kinds() - {events.ExchangeFinished, events.StrategyCrashed, events.HandlerCrashed, events.ConfigRefused},
        ),
    ],
)
def test_what_nobody_would_read_is_not_even_heard(level: str, deaf_to: set[type[events.Event]]):
    assert set(Desk(level).logs.takes) == kinds() - deaf_to


# Fields --------------------------------------------------------------------------------------------------------------


def test_planner_answered():
    tale = Tale().asked().attempt(CLAUDE, "planner").failed(BUSY).advised("failed", None, "overloaded")
    (line,) = said(tale, "planner.answered")
    fields = {name: line[name] for name in ("advice", "reason", "duration_s")}
    assert fields == {"advice": "failed", "reason": "overloaded", "duration_s": 0.5}
    assert "target" not in line


def test_request_finished():
    memory = Memory()
    memory.switches[1], memory.tools = [msgspec.structs.replace(SWITCH, number=2)], JUDGED
    tale = Tale().understood(facts={"model": "gpt-4o", "tools": True})
    plan = {"role": "lead", "rule": "lead_turns", "kind": "main", "task": "code", "pinned": "/model"}
    tale.plan(OPENAI, CLAUDE, **plan).attempt().failed(BUSY, seconds=0.25)
    tale.attempt(CLAUDE, "fallback", delay=0.5).output().answered()
    heard = Heard(calls=(Called("c9", "edit", "x"),), finish_reasons=("tool_calls", "stop"), text="x")
    tale.finished(window=2400, overhead=0.0125, heard=heard, skipped=2)
    assert said(tale, "request.finished", memory=memory) == [
        {
            **WHOSE,
            "level": "info",
            "event": "request.finished",
            "model_requested": "gpt-4o",
            "model": "coder",
            "target": "claude/sonnet",
            "provider": "claude",
            "outcome": "ok",
            "http_status": 200,
            "stream": True,
            "attempts": 2,
            "failovers": 1,
            "switch_reasons": ["failover"],
            "durations": {"total": 2.0, "upstream": 0.75, "backoff": 0.5, "overhead": 0.0125, "ttft": 0.75},
            "tokens": {"input_uncached": 200, "cache_read": 1000, "cache_write": 0, "output": 30, "reasoning": 20},
            "cost_usd": 0.25,
            "cost_source": "table",
            "finish_reason": "tool_calls",
            "context_ratio": 0.5,
            "context_delta": 300,
            "task_type": "code",
            "kind": "main",
            "role": "lead",
            "rule": "lead_turns",
            "pinned": "/model",
            "tool_calls": {"made": 1, "judged": 2, "ok": 1, "error": 1},
            "skipped_events": 2,
        }
    ]


def test_request_finished_of_a_request_nobody_understood():
    line = {**WHOSE, "level": "info", "event": "request.finished", "model": "coder", "outcome": "rejected"}
    del line["session_id"], line["caller"]
    tale = Tale().finished("error", 401, stream=False, code="invalid_api_key", seconds=0.001)
    assert said(tale) == [
        {
            **line,
            "error_type": "policy_key_refused",
            "code": "invalid_api_key",
            "http_status": 401,
            "stream": False,
            "attempts": 0,
            "failovers": 0,
            "task_type": "chat",
            "durations": {"total": 0.001, "upstream": 0.0, "backoff": 0.0, "overhead": 0.0},
        }
    ]


def test_attempt_finished():
    heard = Heard(id="chatcmpl-1", bytes=4096)
    tale = Tale().asked().attempt(key=2).failed(LIMITED).attempt(kind="retry", delay=0.5).output().answered(heard=heard)
    of = {**WHOSE, "event": "attempt.finished", "target": "openai/gpt-5", "provider": "openai"}
    of |= {"reason": "next", "url": "https://x"}
    assert said(tale, "attempt.finished") == [
        {
            **of,
            "level": "warning",
            "number": 1,
            "kind": "primary",
            "outcome": "error",
            "key": 2,
            "duration_s": 0.25,
            "error_type": "provider_rate_limited",
            "fault": "rate_limited",
            "upstream_status": 429,
            "retry_after_s": 0.5,
        },
        {
            **of,
            "level": "debug",
            "number": 2,
            "kind": "retry",
            "outcome": "ok",
            "key": 1,
            "duration_s": 0.5,
            "ttft_s": 0.125,
            "delay_s": 0.5,
            "bytes_in": 4096,
            "upstream_id": "chatcmpl-1",
        },
    ]
    broken = Tale().asked().attempt().output().failed(CUT, after_output=True)
    (line,) = said(broken, "attempt.finished")
    assert (line["after_output"], line["error_type"]) == (True, "provider_broken_stream")


def test_what_was_left_out_is_named_and_no_more_of_it():
    names = [f"field_{number}" for number in range(30)]
    tale = Tale().asked().attempt().reduced("n").failed(BUSY)
    tale.attempt(CLAUDE, "fallback").reduced("x" * 200, *names).output().answered().finished()
    first, second = said(tale, "attempt.finished")
    (finished,) = said(tale, "request.finished")
    assert first["dropped"] == ["n"]
    assert finished["dropped"] == second["dropped"] == ["x" * 79 + "…", *names[:19]]
    assert "dropped" not in said(Tale().asked().attempt().answered().finished(), "request.finished")[0]


def test_model_switched_between_and_within_requests():
    desk = Desk()
    desk.tell(Tale(1).asked(AZURE).attempt(AZURE).answered().finished())
    desk.paper.lines.clear()
    tale = Tale(2).asked(OPENAI, CLAUDE).attempt().failed(BUSY).attempt(CLAUDE, "fallback").answered().finished()
    lines = [json.loads(line) for line in desk.tell(tale)]
    names = ("from", "to", "reason", "trigger", "scope")
    assert [tuple(line[name] for name in names) for line in lines if line["event"] == "model.switched"] == [
        ("azure/gpt-4.1", "openai/gpt-5", "balanced", "priority; as listed", "session"),
        ("openai/gpt-5", "claude/sonnet", "failover", "provider_overloaded", "request"),
    ]
    assert lines[-1]["switch_reasons"] == ["balanced", "failover"]


def test_tool_outcome_and_effectiveness():
    memory = Memory()
    memory.tools = JUDGED
    tale = Tale().understood(facts={"tools": True})
    assert said(tale, memory=memory) == [
        {
            **WHOSE,
            "level": "debug",
            "event": "tool.outcome",
            "tool": "shell",
            "outcome": "ok",
            "target": "claude/sonnet",
            "call_id": "t1",
            "latency_s": 2.0,
        },
        {
            **WHOSE,
            "level": "info",
            "event": "tool.outcome",
            "tool": "edit",
            "outcome": "error",
            "evidence": "exit code 1",
            "call_id": "t2",
            "repeated": True,
        },
    ]


def test_what_telemetry_says_of_itself():
    desk = Desk("info", worker=2)
    desk.logs.say("warning", "telemetry.dropped", {"sink": "otlp", "count": 3}, BEGAN)
    desk.logs.say("debug", "nobody.listens", {}, BEGAN)
    assert [json.loads(line) for line in desk.paper.lines] == [
        {
            "ts": "2023-11-14T22:13:20.000000Z",
            "level": "warning",
            "event": "telemetry.dropped",
            "sink": "otlp",
            "count": 3,
            "worker": 2,
            "version": "1.2.3",
        }
    ]


def test_a_worker_says_which_one_it_is():
    fact = events.GatewayStopped(at=BEGAN)
    assert json.loads(Desk(worker=2).tell(fact)[0])["worker"] == 2
    assert "worker" not in json.loads(Desk().tell(fact)[0])
    assert Desk(format="console", worker=2).tell(fact) == ["22:13:20.000 info    stopped            cut=0 worker=2\n"]


def test_people_see_the_request_and_no_more_of_whose_it_is():
    lines = Desk("info", "console").tell(Tale().asked().attempt().answered().finished())
    assert len(lines) == 1
    assert lines[0].startswith(
        "22:13:20.625 info    request.finished   request_id=req-1 model_requested=coder model=coder "
    )
    assert f"{0xABC1:032x}" not in lines[0]


def test_a_slice_of_lines_is_written_in_one_go():
    desk = Desk()
    lines = desk.tell(*(Tale(span).asked().attempt().answered().finished() for span in range(1, 11)))
    assert (len(lines), desk.paper.batches) == (30, 1)
    desk.logs.settle()
    assert desk.paper.batches == 1, "nothing waits, nothing is written"


# Never what was said -------------------------------------------------------------------------------------------------

CANARY = "canary-7f3a"


def everywhere() -> list[events.Event]:
    """Events with the canary in all that is content, or a secret, or a vendor's free text."""
    fault = Fault(
        kind=FaultKind.BAD_REQUEST,
        message=f"you said {CANARY}",
        status=400,
        type="invalid_request_error",
        code=f"bad {CANARY}",
        body=CANARY,
        param=CANARY,
    )
    heard = Heard(
        id="a", finish_reasons=(f"stop {CANARY}",), calls=(Called("c1", "shell", f'{{"do":"{CANARY}"}}'),), text=CANARY
    )
    messages = [
        {"role": "user", "content": CANARY},
        {
            "role": "assistant",
            "content": CANARY,
            "tool_calls": [
                {
                    "id": f"c{number}",
                    "type": "function",
                    "function": {"name": "shell", "arguments": f'{{"{CANARY}":1}}'},
                }
                for number in range(5)
            ],
        },
        {"role": "tool", "tool_call_id": "c0", "content": CANARY},
        {"role": "tool", "tool_call_id": "c1", "content": f"Error: {CANARY}"},
        {"role": "tool", "tool_call_id": "c2", "content": f"Traceback (most recent call last):\n{CANARY}: {CANARY}"},
        {"role": "tool", "tool_call_id": "c3", "content": f'{{"error": "{CANARY}", "exit_code": 2}}'},
    ]
    tools = [{"type": "function", "function": {"name": "shell", "description": CANARY}}]
    body = json.dumps({"messages": messages, "tools": tools, "user": CANARY}).encode()
    asked = {"tools": True, "user": CANARY, "parameters": {"stop": CANARY}}
    tale = Tale(user_agent=f"agent {CANARY}", client=CANARY).understood(facts=asked, body=body)
    tale.strategy_crashed(TRACEBACK.format(CANARY)).plan()
    tale.attempt().failed(fault).attempt(CLAUDE, "fallback").output()
    tale.answered(heard=heard, limits=(("x-ratelimit-limit-requests", CANARY),)).crashed(TRACEBACK.format(CANARY))
    tale.finished(heard=heard, fault=fault)
    again = Tale(2).asked().attempt().failed(fault).finished("error", 400, fault=fault, code=fault.code)
    left = Tale(3).asked().attempt().left().finished("cancelled", 499, heard=heard)
    feedback = events.FeedbackGiven(at=BEGAN, exchange_id="req-1", name="n", score=0.0, source="s", comment=CANARY)
    listing = events.ListingFailed(at=BEGAN, provider="openai", fault=fault)
    crashed = events.HandlerCrashed(at=BEGAN, exchange_id="housekeeping", traceback=TRACEBACK.format(CANARY))
    return [*tale.events, *again.events, *left.events, feedback, listing, crashed]


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("level", LEVELS)
def test_what_was_said_is_in_no_line(level: str, format: str):
    lines = Desk(level, format).tell(*everywhere())
    assert CANARY not in "".join(lines)
    if level == "debug":
        assert sum("tool.outcome" in line for line in lines) == 5
        assert len(lines) > 12


def test_what_clients_name_cannot_look_like_a_line():
    trick = "a\n22:13:20.000 info    request.finished\r\x1b[2K\x9b\u2028\u202e"
    tale = Tale().understood(session=trick, facts={"model": trick}).plan(model=trick).attempt().failed(BUSY)
    for line in Desk("debug", "console").tell(tale.finished("error", 503, model=trick, code=trick)):
        assert line.endswith("\n")
        assert line[:-1].isprintable()
    assert written(("info", "e", {"k": trick}), 0.0, "console").count("\n") == 1


def test_numbers_that_are_none_are_left_out():
    usage, cost = Usage(input_tokens=10, output_tokens=1), Cost(0.0, "vendor")
    free = Tale().asked().attempt().answered(usage, 0.0).finished(spent=events.Spent(usage=usage, cost=cost))
    (line,) = said(free, "request.finished")
    assert (line["cost_usd"], line["cost_source"]) == (0.0, "vendor"), "nothing is something, too"
    (line,) = said(Tale().asked().attempt().answered(None, None).finished(), "request.finished")
    assert {"cost_usd", "tokens", "context_ratio", "error_type"} & set(line) == set()


def test_the_whole_failover():
    desk = Desk("info")
    lines = [json.loads(line) for line in desk.tell(*failover(1))]
    assert [(line["event"], line.get("kind")) for line in lines] == [
        ("attempt.finished", "primary"),
        ("attempt.finished", "retry"),
        ("model.switched", None),
        ("request.finished", "main"),
    ]
    assert {line["request_id"] for line in lines} == {"req-1"}
    assert len({line["trace_id"] for line in lines}) == 1
