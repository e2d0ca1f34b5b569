"""What moves when something happens: the exact series and by how much, under names that have an end."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway import events
from gateway.chat import Called, Cost, Heard, Repaired, Usage
from gateway.errors import Fault, FaultKind, Problem
from gateway.observe import families as f
from gateway.observe.effectiveness import Effectiveness
from gateway.observe.metrics import MOST_ANSWERED, MOST_TOOLS, SLICES, UNKNOWN, Known, Metrics, Reading
from gateway.observe.record import Record, ToolOutcome
from gateway.observe.series import CAP, Book
from gateway.observe.sessions import Sessions
from gateway.observe.telemetry import Telemetry
from gateway.routing import Plan, Target
from tests.observe.told import AZURE, BEGAN, BUSY, CLAUDE, LIMITED, OPENAI, TYPO, USAGE, Memory, Tale, kinds

ROUTE = "/v1/chat/completions"
CUT = Fault(kind=FaultKind.BROKEN_STREAM, message="cut", origin="network")
SLOW = Fault(kind=FaultKind.TIMEOUT_FIRST_TOKEN, message="nothing was said", origin="network")
LATE = Fault(kind=FaultKind.TIMEOUT_TOTAL, message="the time is over", origin="caller")
HALF = events.Spent(usage=Usage(input_tokens=100, output_tokens=10), cost=Cost(0.5, "table"))

Moved = dict[str, float | tuple[float, float]]
"""``name{labels}`` without prefix and suffix -> by how much; of a histogram, by how many and their sum."""


class Counting:
    """Metrics with what feeds them. ``sessions``: what adds to the records."""

    def __init__(self, sessions: Any = None, known: Sequence[Target] = (OPENAI, AZURE, CLAUDE)) -> None:
        self.book, self.lost = Book(), list[tuple[str, str, int]]()
        self.readings: list[Reading] = []
        self.known = Known(lambda model: model == "coder", lambda target: target in known)
        self.metrics = Metrics(self.book, lambda: self.known, lambda: self.readings, "1.2.3")
        self.telemetry = Telemetry(lambda seconds, tell: None, lambda *lost: self.lost.append(lost), self.book.lock)
        self.telemetry.listen("sessions", sessions or Sessions())
        self.telemetry.listen("effectiveness", Effectiveness(self.metrics.effective))
        self.telemetry.listen("metrics", self.metrics)
        self._seen = self._look()

    def tell(self, *told: Tale | events.Event) -> Moved:
        """What moved by it."""
        for each in told:
            for event in each.events if isinstance(each, Tale) else (each,):
                self.telemetry(event)
        self.telemetry.settle()
        assert self.lost == []
        return self.moved()

    def moved(self) -> Moved:
        before, self._seen = self._seen, self._look()
        found: Moved = {}
        for key, now in self._seen.items():
            then = before.get(key, (0.0,) * len(now))
            if now != then:
                by = tuple(round(one - other, 6) for one, other in zip(now, then, strict=True))
                found[key] = by if len(by) > 1 else by[0]
        return found

    def _look(self) -> dict[str, tuple[float, ...]]:
        found: dict[str, tuple[float, ...]] = {}
        for metric in self.book.collect():
            for sample in metric.samples:
                labels = ",".join(sample.labels.values())
                if metric.type != "histogram":
                    found[f"{metric.name.removeprefix('skein_')}{{{labels}}}"] = (sample.value,)
                elif sample.name.endswith(("_count", "_sum")):
                    name = sample.name.removeprefix("skein_").rpartition("_")[0]
                    key = f"{name}{{{labels}}}"
                    found[key] = (*found.get(key, ()), sample.value)
        # Samples come as sum, count; told as count, sum.
        return {key: value[::-1] for key, value in found.items()}


def ended(outcome: str = "ok", tries: int = 1, stream: str = "true", model: str = "coder") -> Moved:
    """What the end of every exchange moves; it took 2 seconds."""
    moved: Moved = {
        f"requests{{{model},{outcome},{stream}}}": 1,
        f"request_duration_seconds{{{model},{outcome},{stream}}}": (1, 2.0),
        f"overhead_seconds{{{ROUTE}}}": (1, 0.0),
    }
    return moved | ({f"request_attempts{{{model}}}": (1, tries)} if tries else {})


def planned(target: str = "openai,gpt-5") -> Moved:
    return {f"route_decisions{{priority,none,{target}}}": 1, "route_rules{priority,configured,unread}": 1}


def tried(target: str, kind: str, outcome: str, seconds: float) -> Moved:
    return {
        f"attempts{{{target},{kind},{outcome}}}": 1,
        f"attempt_duration_seconds{{{target},{outcome}}}": (1, seconds),
    }


def failed(target: str, kind: str, fault: str, outcome: str = "error") -> Moved:
    return tried(target, kind, outcome, 0.25) | {f"attempt_errors{{{target},{fault}}}": 1}


def spoke(target: str, since_arrival: float) -> Moved:
    """A stream's first output, an eighth of a second after its attempt."""
    return {
        f"attempt_ttft_seconds{{{target}}}": (1, 0.125),
        "time_to_first_token_seconds{coder}": (1, since_arrival),
    }


def used(target: str, usd: float | None = 0.25) -> Moved:
    """What an answer with ``USAGE`` moves."""
    money: Moved = {f"unpriced_requests{{{target}}}": 1} if usd is None else {f"cost_usd{{{target}}}": usd}
    return money | {
        f"tokens{{{target},input_uncached}}": 200,
        f"tokens{{{target},cache_read}}": 1000,
        f"tokens{{{target},output}}": 30,
        f"tokens{{{target},reasoning}}": 20,
        "context_tokens{coder}": (1, 1200),
    }


def paced(target: str) -> Moved:
    return {f"time_per_output_token_seconds{{{target}}}": (1, round(0.375 / 49, 6))}


def charged(target: str) -> Moved:
    """An answer that broke off: what the client got of it counts."""
    return {
        f"tokens{{{target},input_uncached}}": 100,
        f"tokens{{{target},output}}": 10,
        f"cost_usd{{{target}}}": 0.5,
    }


def wasted(target: str, reason: str) -> Moved:
    return {f"wasted_tokens{{{target},{reason}}}": 110, f"wasted_cost_usd{{{target},{reason}}}": 0.5}


A, C = "openai,gpt-5", "claude,sonnet"
LEFT = {"request_errors{coder,caller_cancelled}": 1}
LIMITS = (("x-ratelimit-limit-tokens", "100"), ("x-ratelimit-remaining-tokens", "25"))

STORIES: dict[str, tuple[Tale, list[Moved]]] = {
    "an answer": (
        Tale()
        .asked()
        .attempt(key=2)
        .output()
        .answered(heard=Heard(stalls=2), limits=LIMITS)
        .finished(window=2400, phases={"parse": 0.125}),
        [
            *(ended(), planned(), tried(A, "primary", "ok", 0.5), spoke(A, 0.5), used(A), paced(A)),
            {"phase_seconds{parse}": (1, 0.125), "context_window_ratio{gpt-5}": (1, 0.5)},
            {f"stream_stalls{{{A}}}": 2, "provider_ratelimit_remaining_ratio{openai,2,tokens}": 0.25},
        ],
    ),
    "an answer that is no stream": (
        Tale().asked(stream=False).attempt().output().answered().finished(),
        [ended(stream="false"), planned(), tried(A, "primary", "ok", 0.5), used(A)],
    ),
    "an answer nobody can price": (
        Tale().asked(stream=False).attempt().output().answered(usd=None).finished(),
        [ended(stream="false"), planned(), tried(A, "primary", "ok", 0.5), used(A, usd=None)],
    ),
    "an answer without usage": (
        Tale().asked().attempt().output().answered(None, None).finished(),
        [ended(), planned(), tried(A, "primary", "ok", 0.5), spoke(A, 0.5), {f"usage_missing{{{A}}}": 1}],
    ),
    "an answer that was cut off by its length": (
        Tale().asked(stream=False, tools=True).attempt().answered().finished(heard=Heard(finish_reasons=("length",))),
        [
            *(ended(stream="false"), planned(), tried(A, "primary", "ok", 0.5), used(A)),
            {"effectiveness_score{gpt-5,tools}": (1, 0.0)},
        ],
    ),
    "a retry": (
        Tale()
        .asked(stream=False)
        .attempt()
        .failed(LIMITED, spent=HALF)
        .attempt(kind="retry", delay=0.5, cause="retry_after")
        .answered()
        .finished(),
        [
            *(ended(tries=2, stream="false"), planned(), failed(A, "primary", "provider_rate_limited")),
            *(wasted(A, "provider_rate_limited"), {"retry_backoff_seconds{openai,retry_after}": 0.5}),
            *(tried(A, "retry", "ok", 0.5), used(A)),
        ],
    ),
    "a failover": (
        Tale().asked().attempt().failed(BUSY).attempt(CLAUDE, "fallback", delay=0.25).output().answered().finished(),
        [
            *(ended(tries=2), planned(), failed(A, "primary", "provider_overloaded")),
            *(tried(C, "fallback", "ok", 0.5), spoke(C, 0.75), used(C), paced(C)),
            {"model_switches{openai/gpt-5,claude/sonnet,failover}": 1, "retry_backoff_seconds{claude,backoff}": 0.25},
            {"failovers{openai,claude,provider_overloaded,ok}": 1},
        ],
    ),
    "nobody answers in time": (
        Tale()
        .asked()
        .attempt()
        .failed(SLOW)
        .attempt(CLAUDE, "fallback")
        .failed(SLOW)
        .finished("error", 504, fault=SLOW),
        [
            *(ended("timeout", 2), planned(), {"request_errors{coder,provider_timeout_first_token}": 1}),
            failed(A, "primary", "provider_timeout_first_token", "timeout"),
            failed(C, "fallback", "provider_timeout_first_token", "timeout"),
            {"model_switches{openai/gpt-5,claude/sonnet,timeout}": 1},
            {"failovers{openai,claude,provider_timeout_first_token,failed}": 1},
        ],
    ),
    "the client's own deadline": (
        Tale().asked().attempt().failed(LATE).finished("error", 504, fault=LATE),
        [
            *(ended("timeout"), planned(), failed(A, "primary", "caller_deadline", "timeout")),
            {"request_errors{coder,caller_deadline}": 1},
        ],
    ),
    "a request the vendor refuses": (
        Tale().asked().attempt().failed(TYPO).finished("error", 400, fault=TYPO),
        [
            *(ended("rejected"), planned(), failed(A, "primary", "caller_invalid_request")),
            {"request_errors{coder,caller_invalid_request}": 1},
        ],
    ),
    "broken after output": (
        Tale()
        .asked()
        .attempt()
        .output()
        .failed(CUT, after_output=True, spent=HALF)
        .finished("broken", 200, fault=CUT, begun=True, target=OPENAI, spent=HALF),
        [
            *(ended("error"), planned(), failed(A, "primary", "provider_broken_stream"), spoke(A, 0.5)),
            *(charged(A), {"request_errors{coder,provider_broken_stream}": 1}),
            {"context_tokens{coder}": (1, 100)},
        ],
    ),
    "resumed by another": (
        Tale()
        .asked()
        .attempt()
        .output()
        .failed(CUT, after_output=True, spent=HALF)
        .attempt(CLAUDE, "fallback")
        .output()
        .answered()
        .finished(),
        [
            *(ended(tries=2), planned(), failed(A, "primary", "provider_broken_stream"), spoke(A, 0.5)),
            *(charged(A), tried(C, "fallback", "ok", 0.5), used(C), paced(C)),
            {f"attempt_ttft_seconds{{{C}}}": (1, 0.125), "failovers{openai,claude,provider_broken_stream,ok}": 1},
            {"model_switches{openai/gpt-5,claude/sonnet,failover}": 1},
        ],
    ),
    "a client that leaves before the output": (
        Tale().asked().attempt().left().finished("cancelled", 499),
        [
            *(ended("cancelled"), planned(), LEFT, tried(A, "primary", "cancelled", 0.25)),
            {"client_disconnects{coder,before_first_token}": 1},
        ],
    ),
    "a client that leaves in the middle": (
        Tale()
        .asked()
        .attempt()
        .output()
        .left(spent=HALF)
        .finished("cancelled", 499, begun=True, target=OPENAI, spent=HALF),
        [
            *(ended("cancelled"), planned(), LEFT, tried(A, "primary", "cancelled", 0.25), spoke(A, 0.5)),
            *(charged(A), {"client_disconnects{coder,mid_stream}": 1}),
            {"context_tokens{coder}": (1, 100)},
        ],
    ),
    "a client that leaves before it has said anything": (
        Tale().finished("cancelled", 499, stream=False),
        [
            ended("cancelled", 0, "false", UNKNOWN),
            {f"request_errors{{{UNKNOWN},caller_cancelled}}": 1},
            {f"client_disconnects{{{UNKNOWN},before_first_token}}": 1},
        ],
    ),
    "no key": (
        Tale().finished("error", 401, stream=False, code="invalid_api_key"),
        [
            ended("rejected", 0, "false", UNKNOWN),
            {f"request_errors{{{UNKNOWN},policy_key_refused}}": 1, "admission_rejections{policy_key_refused}": 1},
        ],
    ),
    "a model nobody knows": (
        Tale().understood(facts={"model": "gpt-99"}).finished("error", 404, code="model_not_found"),
        [
            ended("rejected", 0, model=UNKNOWN),
            {f"request_errors{{{UNKNOWN},caller_model_unknown}}": 1, "admission_rejections{caller_model_unknown}": 1},
        ],
    ),
    "calls repaired": (
        Tale()
        .asked(stream=False)
        .attempt()
        .repaired(Repaired("shell", ("name", "types")), Repaired("shell", ("types",)))
        .failed(BUSY)
        .finished("error", 503, fault=BUSY),
        [
            *(ended("error", stream="false"), planned(), failed(A, "primary", "provider_overloaded")),
            {"request_errors{coder,provider_overloaded}": 1},
            {"tool_repairs{gpt-5,name}": 1, "tool_repairs{gpt-5,types}": 2},
        ],
    ),
    "calls an interpreter found": (
        Tale()
        .asked(stream=False)
        .attempt()
        .output()
        .answered()
        .attempt(CLAUDE, "interpreter")
        .failed(BUSY)
        .interpreted(Repaired("shell", ("interpreted",)))
        .finished(),
        [
            *(ended(tries=2, stream="false"), planned(), tried(A, "primary", "ok", 0.5), used(A)),
            *(failed(C, "interpreter", "provider_overloaded"), {"tool_repairs{gpt-5,interpreted}": 1}),
        ],
    ),
    "a target with fewer words": (
        Tale().asked(stream=False).attempt().reduced("seed", "n").failed(BUSY).finished("error", 503, fault=BUSY),
        [
            *(ended("error", stream="false"), planned(), failed(A, "primary", "provider_overloaded")),
            {"request_errors{coder,provider_overloaded}": 1, f"dropped_fields{{{A}}}": 2},
        ],
    ),
    "a defect of ours before any attempt": (
        Tale().understood().crashed().finished("error", 500, code="internal_error"),
        [ended("error", 0), {"request_errors{coder,gateway_internal}": 1}],
    ),
    "a defect of ours in the middle": (
        Tale().asked().attempt().output().crashed().left().finished("broken", 500, code="internal_error", begun=True),
        [
            *(ended("error"), planned(), tried(A, "primary", "cancelled", 0.25), spoke(A, 0.5)),
            {"request_errors{coder,gateway_internal}": 1, f"usage_missing{{{A}}}": 1},
        ],
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_what_an_exchange_moves(story: str):
    tale, expected = STORIES[story]
    together: Moved = {key: by for moved in expected for key, by in moved.items()}
    assert Counting().tell(tale) == together


SHELL = ToolOutcome(id="1", tool="shell", outcome="ok", evidence="", repeated=False, target=CLAUDE)
EDIT = ToolOutcome(id="2", tool="edit", outcome="invalid_args", evidence="", repeated=True, target=CLAUDE)
LOST = ToolOutcome(id="3", tool="edit", outcome="unanswered", evidence="", repeated=False)


def test_what_became_of_tools():
    counting = Counting(memory := Memory())
    memory.tools = [SHELL, EDIT, LOST]
    moved = counting.tell(*Tale().understood(facts={"tools": True}).events)
    assert moved == {
        f"requests_in_flight{{{ROUTE}}}": 1,
        "tool_calls{sonnet,shell,ok}": 1,
        "tool_calls{sonnet,edit,invalid_args}": 1,
        f"tool_calls{{{UNKNOWN},{UNKNOWN},unanswered}}": 1,
        "tool_call_retries{sonnet,edit}": 1,
    }


class Past:
    """Adds to records what a test says a session's memory knows."""

    hears = (events.RequestUnderstood,)

    def __init__(self, **known: Any) -> None:
        self.known = known

    def take(self, event: events.Event, record: Record | None) -> None:
        for name, value in self.known.items():
            setattr(record, name, value)

    def settle(self) -> None: ...


@pytest.mark.parametrize(
    ("known", "moves"),
    [
        ({"growth": 300}, {"context_growth_tokens{coder}": (1, 300)}),
        ({"growth": 0}, {"context_growth_tokens{coder}": (1, 0)}),
        ({"growth": -900, "compacted": True}, {"context_compactions{coder}": 1}),
        # Less, but hardly: another way to count is no growth and no compaction.
        ({"growth": -9}, {}),
    ],
)
def test_what_a_session_moves(known: dict[str, Any], moves: Moved):
    tale = Tale().asked(stream=False).attempt().answered().finished()
    assert (
        Counting(Past(**known)).tell(tale)
        == STORIES["an answer that is no stream"][1][0] | planned() | tried(A, "primary", "ok", 0.5) | used(A) | moves
    )


at: dict[str, Any] = {"at": BEGAN}
FACTS: list[tuple[events.Event, Moved]] = [
    (
        events.BreakerMoved(**at, target=OPENAI, before="closed", after="open"),
        {f"breaker_transitions{{{A},open}}": 1},
    ),
    (
        events.BreakerMoved(**at, target=OPENAI, before="open", after="half_open"),
        {f"breaker_transitions{{{A},half_open}}": 1},
    ),
    (events.LoopLooked(**at, late=0.25), {"event_loop_lag_seconds{}": (1, 0.25)}),
    (events.GatewayStarted(**at, url="u", source="s", digest="abc"), {"config_info{abc}": 1}),
    (events.ConfigReloaded(**at, source="s", digest="abc"), {"config_info{abc}": 1, "config_reloads{taken}": 1}),
    (events.ConfigRefused(**at, source="s", problems=(Problem("a", "b"),)), {"config_reloads{refused}": 1}),
    (
        events.RequestTurnedAway(**at, exchange_id="r", code="foreign_request"),
        {"admission_rejections{policy_foreign_request}": 1},
    ),
    (events.StoreFailed(**at, store="redis", why="timeout", missed=3), {"store_errors{redis}": 3}),
    (events.StoreRecovered(**at, store="redis", seconds=9.0, missed=2), {"store_errors{redis}": 2}),
    (
        events.FeedbackGiven(**at, exchange_id="never-heard-of", name="n", score=0.75, source="ci"),
        {f"feedback{{{UNKNOWN},{UNKNOWN},ci,good}}": 1},
    ),
]
IGNORED = (
    events.SessionPinned,  # counted as what it does: switches of the reason manual
    events.StrategyCrashed,  # counted as the rule of its plan: crashed
    events.PlannerAnswered,  # its calls are counted as attempts of the kind planner
    events.HandlerCrashed,  # counted by the end of its exchange: gateway_internal
    events.ProviderDemoted,  # a gauge that is looked up: provider_demoted
    events.ProviderRestored,
    events.GatewayStopped,
    events.DrainStarted,
    events.ListingFailed,
)


@pytest.mark.parametrize(("event", "expected"), FACTS, ids=lambda each: type(each).__name__)
def test_what_other_facts_move(event: events.Event, expected: Moved):
    assert Counting().tell(event) == expected


def test_every_event_is_counted_or_known_not_to_be():
    told = {type(event) for tale, _ in STORIES.values() for event in tale.events} | {type(event) for event, _ in FACTS}
    heard = set(Counting().metrics.takes)
    assert heard | set(IGNORED) == kinds()
    assert heard & set(IGNORED) == set()
    assert heard <= told, "what is heard is tested above"


def test_exchanges_under_way():
    counting, key = Counting(), f"requests_in_flight{{{ROUTE}}}"
    one, other = Tale(1).asked(), Tale(2)
    assert counting.tell(one, other)[key] == 2
    assert counting.tell(*Tale(2).finished("cancelled", 499).events[1:])[key] == -1
    assert counting.tell(*Tale(1).finished("cancelled", 499).events[1:])[key] == -1


@pytest.mark.parametrize(
    ("score", "verdict"), [(1.0, "good"), (0.51, "good"), (0.5, "neutral"), (0.49, "bad"), (0, "bad")]
)
def test_feedback_goes_to_who_answered(score: float, verdict: str):
    counting = Counting()
    counting.tell(Tale().asked(tools=True).attempt().failed(BUSY).attempt(CLAUDE, "fallback").answered().finished())
    given = events.FeedbackGiven(at=BEGAN, exchange_id="req-1", name="n", score=score, source="ci")
    assert counting.tell(given) == {
        f"feedback{{sonnet,tools,ci,{verdict}}}": 1,
        "effectiveness_score{sonnet,tools}": (1, score),
    }
    # Another verdict is another verdict, but the answer has its score.
    assert counting.tell(given) == {f"feedback{{sonnet,tools,ci,{verdict}}}": 1}


def test_a_new_configuration_takes_the_old_ones_place():
    counting = Counting()
    counting.tell(events.GatewayStarted(at=BEGAN, url="u", source="s", digest="old"))
    counting.tell(events.ConfigReloaded(at=BEGAN, source="s", digest="new"))
    assert list(counting.book.numbers(f.CONFIG_INFO).values.items()) == [(("new",), 1)]


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "plan", "label"),
    [
        ("anything", Plan(model="coder", targets=(OPENAI,), reason=""), "coder"),
        ("openai/gpt-5", Plan(model="openai/gpt-5", targets=(OPENAI,), reason=""), "openai/gpt-5"),
        (
            "openai/gpt-99",
            Plan(model="openai/gpt-99", targets=(Target("openai", "gpt-99"),), reason=""),
            "openai/_other",
        ),
        ("*", Plan(model="*", targets=(OPENAI,), reason=""), UNKNOWN),
        # Nobody has looked at these names: without a plan, even what looks like a target is what a client wrote.
        ("coder", None, "coder"),
        ("openai/gpt-5", None, UNKNOWN),
        ("nobody/knows", None, UNKNOWN),
        ("", None, UNKNOWN),
    ],
)
def test_the_models_name(asked: str, plan: Plan | None, label: str):
    tale = Tale().understood(facts={"model": asked})
    if plan:
        tale.plan(*plan.targets, model=plan.model)
    assert f"requests{{{label},error,true}}" in Counting().tell(tale.finished("error", 500, code="internal_error"))


def test_names_are_those_known_at_the_moment():
    new = Target("openai", "gpt-99")

    def asked(span: int) -> Tale:
        return Tale(span).understood().plan(new, model=str(new)).attempt(new)

    bad = [asked(span).failed(TYPO).finished("error", 400, fault=TYPO) for span in (1, 3, 4)]
    good = asked(2).output().answered().finished()
    counting = Counting()
    # All of one slice: a vendor answers for the name between two that fail.
    moved = counting.tell(bad[0], good, bad[1])
    assert moved["attempts{openai,_other,primary,error}"] == moved["attempts{openai,gpt-99,primary,error}"] == 1
    failed = {name: by for name, by in moved.items() if name.startswith("requests{") and ",rejected," in name}
    assert failed == {"requests{openai/_other,rejected,true}": 1, "requests{openai/gpt-99,rejected,true}": 1}
    # And a configuration that knows it comes between two slices.
    counting = Counting()
    assert "attempts{openai,_other,primary,error}" in counting.tell(bad[0])
    counting.known = Known(lambda model: model == str(new), lambda target: True)
    moved = counting.tell(bad[2])
    assert moved["attempts{openai,gpt-99,primary,error}"] == moved["requests{openai/gpt-99,rejected,true}"] == 1


def test_a_name_no_configuration_knows_is_kept_once_a_vendor_has_answered_for_it():
    new = Target("openai", "gpt-99")
    counting = Counting()
    tale = Tale(1).asked(new).attempt(new).failed(TYPO).finished("error", 400, fault=TYPO)
    assert "attempts{openai,_other,primary,error}" in counting.tell(tale)
    assert "attempts{openai,gpt-99,primary,ok}" in counting.tell(
        Tale(2).asked(new).attempt(new).output().answered().finished()
    )
    tale = Tale(3).asked(new).attempt(new).failed(TYPO).finished("error", 400, fault=TYPO)
    assert "attempts{openai,gpt-99,primary,error}" in counting.tell(tale)


def strangers(count: int) -> Callable[[], str]:
    draws = random.Random(5)
    names = [f"{draws.getrandbits(64):x}" for _ in range(count)]
    return lambda: draws.choice(names)


def test_ten_thousand_names_that_clients_make_up_have_an_end():
    name, memory = strangers(10_000), Memory()
    counting = Counting(memory)
    for span in range(1, 10_001):
        memory.tools = [ToolOutcome(id="t", tool=name(), outcome="ok", evidence="", repeated=True, target=CLAUDE)]
        target = Target("openai", name())
        tale = Tale(span).understood(facts={"model": name(), "tools": True}).plan(target, model=str(target))
        tale.attempt(target).failed(BUSY).attempt(Target("azure", name()), "fallback").output().answered().finished()
        for event in tale.events:
            counting.telemetry(event)
        counting.telemetry(
            events.FeedbackGiven(at=BEGAN, exchange_id=f"req-{span}", name="n", score=1.0, source=name())
        )
        counting.telemetry.settle()
    assert counting.lost == []
    counting.metrics.read()
    sizes, overflows = counting.book.sizes(), counting.book.overflows()
    assert max(sizes.values()) <= CAP + 1
    calls = counting.book.numbers(f.TOOL_CALLS).values
    assert len(calls) == MOST_TOOLS + 1
    assert sum(calls.values()) == 10_000
    sources = counting.book.numbers(f.FEEDBACK).values
    assert {labels[2] for labels in sources} == {UNKNOWN}
    assert sum(sources.values()) == 10_000
    assert {labels[0] for labels in counting.book.numbers(f.REQUESTS).values} == {"openai/_other"}
    answered = {labels[1] for labels in counting.book.numbers(f.TOKENS).values}
    assert len(answered) == MOST_ANSWERED + 1
    assert UNKNOWN in answered
    # The page says how full it is itself.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(counting.book)
    page = {family.name: family for family in text_string_to_metric_families(generate_latest(registry).decode())}
    told = {each.labels["metric"]: each.value for each in page["skein_metric_series"].samples}
    lost = {each.labels["metric"]: each.value for each in page["skein_metric_series_overflow"].samples}
    assert {name: sizes[name] for name in f.FAMILIES if name not in (f.SERIES.name,)}.items() <= told.items()
    assert lost == overflows


def test_what_is_past_the_cap_is_counted_as_such():
    counting = Counting(known=[Target(f"p{number}", "m") for number in range(CAP + 50)])
    for number in range(CAP + 50):
        target = Target(f"p{number}", "m")
        counting.telemetry(events.BreakerMoved(at=BEGAN, target=target, before="closed", after="open"))
    counting.telemetry.settle()
    counting.metrics.read()
    moved = counting.moved()
    assert moved["breaker_transitions{_overflow,_overflow,_overflow}"] == 50
    assert moved["metric_series_overflow{skein_breaker_transitions_total}"] == 50


# Pages ---------------------------------------------------------------------------------------------------------------


def test_series_that_will_come_are_there_at_0():
    counting = Counting()
    counting.metrics.expect(["coder"], [OPENAI], [ROUTE])
    assert counting.moved() == {}
    there = counting._seen
    assert {key for key in there if key.startswith("requests{")} == {
        f"requests{{coder,{outcome},{stream}}}"
        for outcome in ("ok", "error", "timeout", "cancelled", "rejected")
        for stream in ("true", "false")
    }
    tale = Tale().asked().attempt().failed(BUSY).finished("error", 503, fault=BUSY)
    new = set(counting.tell(tale)) - set(there)
    assert {key for key in new if key.startswith(("requests{", "attempts{", "attempt_errors{"))} == set()


def test_gauges_are_read_for_the_page():
    counting = Counting()
    counting.readings = [Reading(f.TARGET_ERROR_RATIO, (*A.split(","), "1m"), 0.5)]
    counting.metrics.read()
    assert counting.moved()[f"target_error_ratio{{{A},1m}}"] == 0.5


def test_a_gauge_of_what_is_gone_is_gone():
    counting = Counting()
    counting.metrics.expect([], [OPENAI], [])
    counting.readings = [Reading(f.BREAKER_STATE, ("claude", "sonnet"), 2.0), Reading(f.QUEUE_DEPTH, ("events",), 7.0)]
    counting.metrics.read()
    counting.readings = []
    counting.metrics.read()
    assert counting.book.numbers(f.BREAKER_STATE).values == {("openai", "gpt-5"): 0.0}
    assert counting.book.numbers(f.QUEUE_DEPTH).values == {}


def test_telemetry_counts_itself():
    counting = Counting()
    counting.metrics.lost("otlp", "queue_full", 3)
    counting.metrics.exported("otlp", 7)
    counting.metrics.timed("otlp", "ok", 0.25)
    assert counting.moved() == {
        "telemetry_dropped{otlp,queue_full}": 3,
        "telemetry_exported{otlp}": 7,
        "telemetry_export_seconds{otlp,ok}": (1, 0.25),
    }


def test_an_exemplar_is_a_trace_somebody_kept():
    for sampled in (True, False):
        counting = Counting()
        tale = Tale()
        trace = tale.events[0].trace
        tale = Tale(trace=type(trace)(id=0xABC, first=1, sampled=sampled))
        counting.tell(tale.asked().attempt().output().answered().finished())
        for family in (f.REQUEST_DURATION, f.TIME_TO_FIRST_TOKEN, f.ATTEMPT_DURATION, f.ATTEMPT_TTFT):
            (cells,) = counting.book.histogram(family).cells.values()
            told = [trace_id for trace_id, _, _ in cells.exemplars.values()]
            assert told == ([f"{0xABC:032x}"] if sampled else [])


def test_what_is_put_by_does_not_grow_while_nobody_looks():
    counting, most = Counting(), 0
    for number in range(1, 2 * SLICES + 1):
        for event in Tale(number).asked().attempt().output().answered().finished().events:
            counting.telemetry(event)
        counting.telemetry.settle()
        (cells,) = counting.book.histogram(f.OVERHEAD).cells.values()
        most = max(most, len(cells.waiting))
    assert (most, cells.waiting) == (SLICES - 1, [])
    assert sum(cells.counts) == 2 * SLICES


def test_a_tools_arguments_are_nobodys_label():
    counting = Counting()
    heard = Heard(calls=(Called("c1", "shell", "the argument"),), text="the answer")
    counting.tell(Tale().asked(tools=True).attempt().answered(heard=heard).finished(heard=heard))
    assert not [key for key in counting._seen if "the a" in key]
    assert USAGE.input_tokens == 1200, "the numbers above are made of it"
