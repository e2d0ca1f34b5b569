"""Counts what happens into the series of the catalogue: each fact once, at its own grain, under known names."""

from __future__ import annotations

import platform
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from gateway import events
from gateway.chat import Repaired
from gateway.observe import families as f
from gateway.observe.decisions import KINDS
from gateway.observe.effectiveness import Scored
from gateway.observe.limits import remaining
from gateway.observe.record import Ended, Record, Try
from gateway.observe.series import Book, Labels, Spot
from gateway.observe.vocabulary import OF_FAULT, OUTCOMES
from gateway.routing import RULES, Target
from gateway.routing.tasks import TASKS

UNKNOWN = "_other"
# Tools are named by clients: so many names are kept, those that were called first.
MOST_TOOLS = 100
LONGEST_LABEL = 64
# Who may give feedback under a name of its own.
SOURCES = frozenset(("user", "api", "eval", "ci", "demo"))
# Models are named by clients: names that no configuration knows are kept once a vendor has answered for them.
MOST_ANSWERED = 200
MOST_ANSWERS = 10_000
# Combinations of names whose series are at hand; far more than there are, unless models come and go.
MOST_AT_HAND = 1000
# After so many slices values that were put by are counted at the latest: of each there are one or two per event.
SLICES = 20

# Gauges that have a value at any moment, and are looked up when a page is asked for.
LOOKED_UP = (f.BREAKER_STATE, f.TARGET_ERROR_RATIO, f.PROVIDER_DEMOTED, f.CONNECTIONS, f.QUEUE_DEPTH)

BREAKER = {"closed": 0.0, "half_open": 1.0, "open": 2.0}
EXPECTED_ATTEMPTS = tuple((kind, outcome) for kind in ("primary", "retry", "fallback") for outcome in ("ok", "error"))
TOKEN_TYPES = ("input_uncached", "cache_read", "cache_write", "output", "reasoning")
PHASES = ("parse", "auth", "route", "convert", "connect", "deliver")


K = TypeVar("K")
V = TypeVar("V")


class Known(NamedTuple):
    """The names that configuration and listings know."""

    model: Callable[[str], bool]
    target: Callable[[Target], bool]


class Reading(NamedTuple):
    """One gauge's value at the moment of a scrape."""

    family: f.Family
    labels: Labels
    value: float


class _FirstNames:
    """The names that came first, up to a number; all others share one."""

    def __init__(self, most: int, overflowed: Callable[[], None]) -> None:
        self._names: set[str] = set()
        self._most, self._overflowed = most, overflowed

    def __call__(self, name: str) -> str:
        name = name[:LONGEST_LABEL]
        if name in self._names:
            return name
        if not name:
            return UNKNOWN
        if len(self._names) >= self._most:
            self._overflowed()
            return UNKNOWN
        self._names.add(name)
        return name


class _AtHand(dict[K, V]):
    """What is made once for a key, and begun anew when it is too much."""

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        if len(self) >= MOST_AT_HAND:
            self.clear()
        made = self[key] = self._make(key)
        return made


class _OfRoute(NamedTuple):
    in_flight: Spot
    overhead: Spot


class _OfEnd(NamedTuple):
    """Series of exchanges of one model that ended one way, streamed or not."""

    requests: Spot
    duration: Spot
    tried: Spot
    first_token: Spot
    context: Spot
    growth: Spot


class _OfCall(NamedTuple):
    """Series of one kind of call to one target that ended one way."""

    attempts: Spot
    duration: Spot
    ttft: Spot
    per_token: Spot
    tokens: dict[str, Spot]
    cost: Spot


class Metrics:
    """A sink. ``known``: the names of the configuration at work; ``readings``: gauges that are looked up for a page."""

    def __init__(
        self, book: Book, known: Callable[[], Known], readings: Callable[[], Iterable[Reading]], version: str
    ) -> None:
        self.book, self._known, self._readings = book, known, readings
        self._tool = _FirstNames(MOST_TOOLS, lambda: book.overflow(f.TOOL_CALLS.name))
        self._answered: set[Target] = set()
        self._targets: tuple[Target, ...] = ()
        self._answers: OrderedDict[str, tuple[str, str]] = OrderedDict()
        # As of one slice: what is known may be another thing in the next.
        self._named, self._models = _AtHand(self.names), _AtHand(self._model_named)
        self._slices = 0
        self._bind(book)
        self._of_route, self._of_phase = _AtHand(self._find_route), _AtHand(self._find_phase)
        self._of_end, self._of_call = _AtHand(self._find_end), _AtHand(self._find_call)
        self.takes: dict[type[events.Event], Callable[[Any, Any], None]] = {
            events.RequestReceived: self._received,
            events.RequestUnderstood: self._conduct,
            events.PlanMade: self._planned,
            events.AttemptStarted: self._started,
            events.RequestReduced: self._reduced,
            events.ToolCallsRepaired: self._repaired,
            events.InterpreterAnswered: self._interpreted,
            events.OutputStarted: self._spoke,
            events.AttemptSucceeded: self._succeeded,
            events.AttemptFailed: self._ended,
            events.AttemptAbandoned: self._ended,
            events.ExchangeFinished: self._finished,
            events.BreakerMoved: self._breaker_moved,
            events.StoreFailed: self._store_missed,
            events.StoreRecovered: self._store_missed,
            events.LoopLooked: self._looked,
            events.GatewayStarted: self._gateway_started,
            events.ConfigReloaded: self._reloaded,
            events.ConfigRefused: self._refused,
            events.RequestTurnedAway: self._turned_away,
            events.FeedbackGiven: self._judged,
        }
        book.numbers(f.BUILD_INFO).set((version, platform.python_version()), 1)
        for name in f.FAMILIES:
            self._overflows.expect((name,))
        for phase in PHASES:
            self._phases.expect((phase,))
        for result in ("taken", "refused"):
            self._reloads.expect((result,))
        self._store_errors.expect(("redis",))
        for lost in (("events", "queue_full"), ("logs", "not_written")):
            self._dropped.expect(lost)

    def _bind(self, book: Book) -> None:
        numbers, histogram = book.numbers, book.histogram
        self._requests, self._request_errors = numbers(f.REQUESTS), numbers(f.REQUEST_ERRORS)
        self._duration, self._first_token = histogram(f.REQUEST_DURATION), histogram(f.TIME_TO_FIRST_TOKEN)
        self._overhead, self._phases = histogram(f.OVERHEAD), histogram(f.PHASES)
        self._tried, self._in_flight = histogram(f.REQUEST_ATTEMPTS), numbers(f.IN_FLIGHT)
        self._disconnects, self._rejections = numbers(f.DISCONNECTS), numbers(f.REJECTIONS)
        self._attempts, self._attempt_errors = numbers(f.ATTEMPTS), numbers(f.ATTEMPT_ERRORS)
        self._attempt_duration, self._attempt_ttft = histogram(f.ATTEMPT_DURATION), histogram(f.ATTEMPT_TTFT)
        self._per_token, self._stalls = histogram(f.TIME_PER_OUTPUT_TOKEN), numbers(f.STALLS)
        self._dropped_fields = numbers(f.DROPPED_FIELDS)
        self._backoff, self._limits = numbers(f.BACKOFF), numbers(f.RATE_LIMIT_LEFT)
        self._switches, self._failovers = numbers(f.SWITCHES), numbers(f.FAILOVERS)
        self._breaker, self._breaker_moves = numbers(f.BREAKER_STATE), numbers(f.BREAKER_TRANSITIONS)
        self._decisions, self._rules = numbers(f.ROUTE_DECISIONS), numbers(f.ROUTE_RULES)
        self._tool_calls, self._tool_retries = numbers(f.TOOL_CALLS), numbers(f.TOOL_CALL_RETRIES)
        self._tool_repairs = numbers(f.TOOL_REPAIRS)
        self._context, self._growth = histogram(f.CONTEXT_TOKENS), histogram(f.CONTEXT_GROWTH)
        self._compactions, self._window = numbers(f.COMPACTIONS), histogram(f.WINDOW_RATIO)
        self._effectiveness, self._feedback = histogram(f.EFFECTIVENESS), numbers(f.FEEDBACK)
        self._tokens, self._cost = numbers(f.TOKENS), numbers(f.COST)
        self._wasted_tokens, self._wasted_cost = numbers(f.WASTED_TOKENS), numbers(f.WASTED_COST)
        self._unpriced, self._usage_missing = numbers(f.UNPRICED), numbers(f.USAGE_MISSING)
        self._overflows, self._series = numbers(f.SERIES_OVERFLOW), numbers(f.SERIES)
        self._loop_lag, self._reloads = histogram(f.LOOP_LAG), numbers(f.CONFIG_RELOADS)
        self._config, self._store_errors = numbers(f.CONFIG_INFO), numbers(f.STORE_ERRORS)
        self._dropped, self._exported = numbers(f.TELEMETRY_DROPPED), numbers(f.TELEMETRY_EXPORTED)
        self._export_seconds = histogram(f.EXPORT_SECONDS)

    # Series at hand

    def _find_route(self, route: str) -> _OfRoute:
        return _OfRoute(self._in_flight.at((route,)), self._overhead.put_by((route,)))

    def _find_phase(self, phase: str) -> Spot:
        return self._phases.put_by((phase,))

    def _find_end(self, key: tuple[str, str, str]) -> _OfEnd:
        model = key[:1]
        return _OfEnd(
            self._requests.at(key),
            self._duration.at(key),
            self._tried.put_by(model),
            self._first_token.at(model),
            self._context.put_by(model),
            self._growth.put_by(model),
        )

    def _find_call(self, key: tuple[str, str, str, str]) -> _OfCall:
        provider, model, _, outcome = key
        names = (provider, model)
        return _OfCall(
            self._attempts.at(key),
            self._attempt_duration.at((*names, outcome)),
            self._attempt_ttft.at(names),
            self._per_token.put_by(names),
            {type: self._tokens.at((*names, type)) for type in TOKEN_TYPES},
            self._cost.at(names),
        )

    # A sink: all it takes is taken with ``book.lock`` held

    def settle(self) -> None:
        self._named.clear()
        self._models.clear()
        self._slices += 1
        if self._slices % SLICES == 0:
            self.book.settle()

    def read(self) -> None:
        """Looks up the gauges, ahead of a scrape."""
        book = self.book
        with book.lock:
            for family in LOOKED_UP:
                # What is not there any more (a provider that was taken out) has no value any more.
                book.numbers(family).clear()
            for target in self._targets:
                self._breaker.expect((target.provider, target.model))
            for reading in self._readings():
                book.numbers(reading.family).set(reading.labels, reading.value)
            for name, size in book.sizes().items():
                self._series.set((name,), size)
            for name, count in book.overflows().items():
                self._overflows.set((name,), count)

    def expect(self, models: Collection[str], targets: Collection[Target], routes: Collection[str]) -> None:
        """Series that are known to come are there at 0: the first failure of all is an increase, too."""
        with self.book.lock:
            for route in routes:
                self._in_flight.expect((route,))
            for model in models:
                for outcome in OUTCOMES:
                    for stream in ("true", "false"):
                        self._requests.expect((model, outcome, stream))
                for stage in ("before_first_token", "mid_stream"):
                    self._disconnects.expect((model, stage))
                self._compactions.expect((model,))
            self._targets = tuple(targets)
            for target in targets:
                self._expect_target((target.provider, target.model))

    def expect_loss(self, sink: str, reason: str) -> None:
        with self.book.lock:
            self._dropped.expect((sink, reason))

    def expect_outlet(self, name: str) -> None:
        with self.book.lock:
            self._exported.expect((name,))
            for reason in ("queue_full", "failed", "shutdown"):
                self._dropped.expect((name, reason))
            for result in ("ok", "failed"):
                self._export_seconds.expect((name, result))

    def _expect_target(self, names: Labels) -> None:
        for kind, outcome in EXPECTED_ATTEMPTS:
            self._attempts.expect((*names, kind, outcome))
        for whose in OF_FAULT.values():
            self._attempt_errors.expect((*names, whose))
        for type in TOKEN_TYPES:
            self._tokens.expect((*names, type))
        of_target = (self._cost, self._unpriced, self._usage_missing, self._stalls, self._breaker, self._dropped_fields)
        for series in of_target:
            series.expect(names)
        for state in BREAKER:
            self._breaker_moves.expect((*names, state))

    # Of the telemetry itself; called from any thread

    def lost(self, sink: str, reason: str, count: int) -> None:
        with self.book.lock:
            self._dropped.add((sink, reason), count)

    def exported(self, sink: str, count: int) -> None:
        with self.book.lock:
            self._exported.add((sink,), count)

    def timed(self, sink: str, result: str, seconds: float) -> None:
        with self.book.lock:
            self._export_seconds.add((sink, result), seconds)

    # Of exchanges

    def _received(self, event: events.RequestReceived, record: Record) -> None:
        self._of_route[event.route].in_flight.add()

    def _planned(self, event: events.PlanMade, record: Record) -> None:
        plan = event.plan
        provider, model = self._named[plan.targets[0]]
        self._decisions.add((plan.strategy, plan.role, provider, model))
        kind = record.kind
        rule = plan.rule if plan.rule in RULES else UNKNOWN
        self._rules.add((plan.strategy, rule, kind if kind in KINDS else UNKNOWN))

    def _spoke(self, event: events.OutputStarted, record: Record) -> None:
        """A vendor has answered for the name: it is one."""
        target = event.target
        if self._named[target][1] != target.model:
            if len(self._answered) < MOST_ANSWERED:
                self._answered.add(target)
                self.settle()
            else:
                self.book.overflow(f.ATTEMPTS.name)

    def _started(self, event: events.AttemptStarted, record: Record) -> None:
        if event.delay:
            self._backoff.add((event.target.provider, event.cause), event.delay)

    def _reduced(self, event: events.RequestReduced, record: Record) -> None:
        self._dropped_fields.add(self._named[event.target], len(event.dropped))

    def _repaired(self, event: events.ToolCallsRepaired, record: Record) -> None:
        self._count_repairs(event.target, event.repairs)

    def _interpreted(self, event: events.InterpreterAnswered, record: Record) -> None:
        self._count_repairs(event.about, event.repairs)

    def _count_repairs(self, target: Target, repairs: Iterable[Repaired]) -> None:
        model = self._named[target][1]
        for repaired in repairs:
            for kind in repaired.kinds:
                self._tool_repairs.add((model, kind), 1)

    def _succeeded(self, event: events.AttemptSucceeded, record: Record) -> None:
        names = self._named[event.target]
        one = record.tries[event.number - 1]
        series = self._attempt(event, record, one, names)
        usage = event.spent.usage
        if one.output_at is not None and usage and usage.output_tokens > 1 and record.stream:
            first = one.output_at - one.started.at
            series.per_token.add((event.seconds - first) / (usage.output_tokens - 1))
        if event.heard.stalls:
            self._stalls.add(names, event.heard.stalls)
        self._charge(series, names, event.spent)
        if event.limits:
            for kind, ratio in remaining(event.limits):
                self._limits.set((event.target.provider, str(one.started.key), kind), ratio)

    def _charge(self, series: _OfCall, names: Labels, spent: events.Spent) -> None:
        """What an attempt used whose words the client got."""
        if spent.usage is None:
            self._usage_missing.add(names)
            return
        for type, count in spent.usage.parts().items():
            if count:
                series.tokens[type].add(count)
        if spent.cost is None:
            self._unpriced.add(names)
        else:
            series.cost.add(spent.cost.usd)

    def _ended(self, event: events.AttemptFailed | events.AttemptAbandoned, record: Record) -> None:
        names = self._named[event.target]
        one = record.tries[event.number - 1]
        series = self._attempt(event, record, one, names)
        whose = one.error_type or ""
        if isinstance(event, events.AttemptFailed):
            self._attempt_errors.add((*names, whose))
        if one.output_at is not None:
            self._charge(series, names, event.spent)
        elif usage := event.spent.usage:
            self._wasted_tokens.add((*names, whose), usage.input_tokens + usage.output_tokens)
            if event.spent.cost is not None:
                self._wasted_cost.add((*names, whose), event.spent.cost.usd)

    def _attempt(self, event: Ended, record: Record, one: Try, names: Labels) -> _OfCall:
        series = self._of_call[names[0], names[1], one.started.kind, one.outcome or ""]
        trace_id = record.exemplar
        series.attempts.add()
        series.duration.add(event.seconds, trace_id, event.at)
        if one.output_at is not None and record.stream:
            # Whatever became of it afterwards.
            series.ttft.add(one.output_at - one.started.at, trace_id, event.at)
        return series

    def _finished(self, event: events.ExchangeFinished, record: Record) -> None:
        model = self._models[record.model, record.plan is not None]
        outcome, trace_id = record.outcome or "", record.exemplar
        series = self._of_end[model, outcome, "true" if event.stream else "false"]
        series.requests.add()
        series.duration.add(event.seconds, trace_id, event.at)
        if record.received:
            of_route = self._of_route[record.received.route]
            of_route.in_flight.add(-1)
            of_route.overhead.add(event.overhead)
        for phase, seconds in event.phases.items():
            self._of_phase[phase].add(seconds)
        if record.tries:
            series.tried.add(len(record.tries))
        if event.stream and record.output_at is not None:
            series.first_token.add(record.output_at - record.began, trace_id, event.at)
        if record.error_type:
            self._went_wrong(event, record, model, record.error_type)
        if record.switches:
            self._moves(record)
        if event.target is not None:
            self._size(event, event.target, record, series)
            self._answer(event.target, record)

    def _went_wrong(self, event: events.ExchangeFinished, record: Record, model: str, whose: str) -> None:
        self._request_errors.add((model, whose))
        if record.outcome == "cancelled":
            self._disconnects.add((model, "mid_stream" if event.begun else "before_first_token"))
        elif not record.tries and not record.crashed:
            self._rejections.add((whose,))

    def _moves(self, record: Record) -> None:
        for switch in record.switches:
            before, after = self._named[switch.before], self._named[switch.after]
            self._switches.add(("/".join(before), "/".join(after), switch.reason))
            if switch.scope == "request":
                result = "ok" if record.tries[switch.number - 1].outcome == "ok" else "failed"
                self._failovers.add((before[0], after[0], switch.why, result))

    def _size(self, event: events.ExchangeFinished, target: Target, record: Record, series: _OfEnd) -> None:
        tokens = record.context
        if tokens is None:
            return
        series.context.add(tokens)
        if event.window:
            self._window.add((self._named[target][1],), tokens / event.window)
        if record.compacted:
            self._compactions.add((self._models[record.model, record.plan is not None],))
        elif record.growth is not None and record.growth >= 0:
            series.growth.add(record.growth)

    def _answer(self, target: Target, record: Record) -> None:
        """What a later verdict on the answer will want to know, and what is known of it already."""
        self._answers[record.id] = self._named[target][1], _task(record.task)
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)

    def _conduct(self, event: events.RequestUnderstood, record: Record) -> None:
        for call in record.tools:
            # What no model of ours has called may be anything that a caller makes up.
            target = self._named[call.target][1] if call.target else UNKNOWN
            tool = self._tool(call.tool) if call.target else UNKNOWN
            self._tool_calls.add((target, tool, call.outcome))
            if call.repeated:
                self._tool_retries.add((target, tool))

    def effective(self, scored: Scored) -> None:
        """An answer's score. Called with ``book.lock`` held."""
        self._effectiveness.add((self._named[scored.target][1], _task(scored.task)), scored.score)

    # Of the gateway

    def _breaker_moved(self, event: events.BreakerMoved, record: Record | None) -> None:
        self._breaker_moves.add((*self._named[event.target], event.after))

    def _store_missed(self, event: events.StoreFailed | events.StoreRecovered, record: Record | None) -> None:
        self._store_errors.add((event.store,), event.missed)

    def _looked(self, event: events.LoopLooked, record: Record | None) -> None:
        self._loop_lag.add((), event.late)

    def _gateway_started(self, event: events.GatewayStarted | events.ConfigReloaded, record: Record | None) -> None:
        self._config.clear()
        self._config.set((event.digest,), 1)

    def _reloaded(self, event: events.ConfigReloaded, record: Record | None) -> None:
        self._reloads.add(("taken",))
        self._gateway_started(event, record)

    def _refused(self, event: events.ConfigRefused, record: Record | None) -> None:
        self._reloads.add(("refused",))

    def _turned_away(self, event: events.RequestTurnedAway, record: Record | None) -> None:
        self._rejections.add((event.error_type,))

    def _judged(self, event: events.FeedbackGiven, record: Record | None) -> None:
        answer = self._answers.get(event.exchange_id, (UNKNOWN, UNKNOWN))
        verdict = "good" if event.score > 0.5 else "bad" if event.score < 0.5 else "neutral"
        self._feedback.add((*answer, event.source if event.source in SOURCES else UNKNOWN, verdict))

    # Names

    def _model_named(self, asked: tuple[str, bool]) -> str:
        """Configured models by their name, targets by theirs if they are known. ``asked``: the name, planned or not."""
        name, planned = asked
        if self._known().model(name):
            return name
        provider, _, model = name.partition("/")
        return "/".join(self._named[Target(provider, model)]) if model and planned else UNKNOWN

    def names(self, target: Target) -> Labels:
        """``provider`` and ``target_model``, the latter only if it is known."""
        known = target in self._answered or self._known().target(target)
        return (target.provider, target.model if known else UNKNOWN)


def _task(name: str) -> str:
    """A strategy of somebody else's may have others."""
    return name if name in TASKS else UNKNOWN
