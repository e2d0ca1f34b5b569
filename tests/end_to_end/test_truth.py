"""Five thousand requests of every kind at once: what telemetry says of them is what vendors and clients have seen.

The vendors' own book of calls (who was asked, in which order, what was played, which usage was told) and the clients'
own view of their answers are counted into what each metric, line and row must say. Differences are failures, each.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from gateway import events
from gateway.observe import live, traces
from gateway.observe.observability import Logging
from gateway.observe.record import Record
from tests.scripted import ScriptedVendor, hanging, refusing

from .setting import Page, Stand, at, eventually, secret, stand
from .traffic import (
    FAILING,
    KEY,
    LIMITED_KEY,
    MODEL,
    RULES,
    TURNS,
    Asked,
    Book,
    Call,
    Clients,
    kinds_of,
    stories,
)

SEED = 20_25
AT_ONCE = 150
VENDORS = ("a", "b", "c", "locked", "sick", "quiet", "drip", "stale", "closing", "lead", "work")
# Their calls are not, or not only, in the vendors' book: nobody listens, or the connection was closed under them.
PREFIX = {
    "dead": [("dead", "provider_connection_failed")] * 2,
    "hanging": [("hang", "provider_timeout_connect")],
}
KINDS_TOLD = {"a", "b", "c", "locked", "quiet", "drip", "closing", "lead", "work", "dead", "hang"}


OF_STRATEGY = {"weighted": "drawn", "priority": "configured", "direct": "direct"}


def targets(*providers: str, **settings: Any) -> dict[str, Any]:
    return {"targets": [f"{name}/{MODEL}" for name in providers], **({"resilience": settings} if settings else {})}


MODELS: dict[str, Any] = {
    "first": targets("a", "b", "c"),
    "shared": {"strategy": "weighted", "targets": [{"target": f"a/{MODEL}", "weight": 2}, f"b/{MODEL}", f"c/{MODEL}"]},
    "agent": {"strategy": "lead_worker", "lead": f"lead/{MODEL}", "worker": f"work/{MODEL}", "lead_turns": 2,
              "failure_threshold": 2, "fallback_turns": 1},
    "held": targets("a", "b", "c", delivery="held"),
    "abort": targets("a", "b", on_broken_stream="abort"),
    "resume": targets("a", "b", "c", on_broken_stream="resume"),
    "locked": targets("locked", "b"),
    "windowed": targets("a", "b"),
    "lenient": targets("a", "b", on_refused="move_on"),
    "sick": targets("sick", "b"),
    "dead": targets("dead", "b"),
    "hanging": targets("hang", "b"),
    "drip": targets("drip", "b"),
    "stale": targets("stale"),
    "closing": targets("closing"),
    "quiet": targets("quiet"),
    "watched": targets("quiet", keepalive="100ms"),
    "patient": targets("quiet", backoff={"initial": "60s", "max": "60s", "jitter": "none"}),
}  # fmt: skip
PROVIDERS: dict[str, Any] = {
    "a": {"windows": {MODEL: 8_000}},
    "b": {"windows": {MODEL: 32_000}},
    "locked": {"api_key": None, "api_keys": [secret("one"), secret("two")]},
    "sick": {
        "resilience": {"breaker": {"error_rate": 0.15, "min_requests": 10, "open_for": "200ms", "close_after": 1}}
    },
    "drip": {"resilience": {"timeouts": {"total": "3s"}}},
}
CLOCKS = {"connect": "20s", "first_token": "5s", "whole": "5s", "idle": "5s", "total": "60s"}


class Careless(Exception):
    """What a listener that fails raises."""


class CarelessSink:
    """Listens to everything, fails at times, and checks the records it is handed while it does not."""

    hears = (*events.ExchangeEvent.__subclasses__(), events.BreakerMoved)

    def __init__(self) -> None:
        self.heard = self.crashes = 0
        self.records: list[Record] = []

    def take(self, event: events.Event, record: Record | None) -> None:
        self.heard += 1
        if isinstance(event, events.ExchangeFinished) and record:
            self.records.append(record)
        if self.heard % 500 == 0:
            self.crashes += 1
            raise Careless

    def settle(self) -> None:
        """Nothing to write."""


class CarelessObserver:
    """The same, of the events themselves."""

    def __init__(self, book: Book) -> None:
        self.book, self.heard = book, 0

    def __call__(self, event: events.Event) -> None:
        self.book.heard(event)
        self.heard += 1
        if self.heard % 700 == 0:
            raise Careless


class Truth:
    """What the vendors' book and the clients' view come to, under the names of the metrics."""

    def __init__(self, book: Book, clients: Clients, stale: int) -> None:
        self.book, self.seen, self.stale = book, clients.seen, stale
        self.asked = {seen.asked.name: seen.asked for seen in clients.seen}
        self.chains: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, asked in self.asked.items():
            self.chains[name] += PREFIX.get(asked.model, [])
        for call in book.calls:
            self.chains[call.name].append((call.provider, call.outcome))

    @staticmethod
    def outcome(made: str) -> str:
        if made in ("ok", "cancelled"):
            return made
        return "timeout" if "timeout" in made or made == "caller_deadline" else "error"

    def attempts(self) -> Counter[Any]:
        found = Counter((provider, self.outcome(made)) for chain in self.chains.values() for provider, made in chain)
        found["stale", "error"] += self.stale
        return found

    def kinds(self) -> Counter[Any]:
        found = Counter[Any]()
        for chain in self.chains.values():
            tried: set[str] = set()
            for place, (provider, _) in enumerate(chain):
                kind = "primary" if place == 0 else "retry" if provider in tried else "fallback"
                tried.add(provider)
                if provider in KINDS_TOLD:
                    found[provider, kind] += 1
        return found

    def errors(self) -> Counter[Any]:
        made = ((provider, made) for chain in self.chains.values() for provider, made in chain)
        found = Counter(each for each in made if each[1] not in ("ok", "cancelled"))
        found["stale", "provider_connection_failed"] += self.stale
        return found

    def switches(self) -> Counter[Any]:
        """Within an exchange by the fault before; between those of a session by the role."""
        found = Counter[Any]()
        for before, after, made, _ in self._moves():
            found[f"{before}/{MODEL}", f"{after}/{MODEL}", _reason(made)] += 1
        last: dict[str, str] = {}
        for call in self.book.calls:
            if call.name.startswith("session-"):
                owner = call.name.rpartition("-")[0]
                if last.setdefault(owner, call.provider) != call.provider:
                    reason = "lead_to_worker" if call.provider == "work" else "tool_failures"
                    found[f"{last[owner]}/{MODEL}", f"{call.provider}/{MODEL}", reason] += 1
                last[owner] = call.provider
        return found

    def failovers(self) -> Counter[Any]:
        return Counter(
            (before, after, made, "ok" if then == "ok" else "failed") for before, after, made, then in self._moves()
        )

    def _moves(self) -> Iterator[tuple[str, str, str, str]]:
        for chain in self.chains.values():
            for (before, made), (after, then) in pairwise(chain):
                if before != after:
                    yield before, after, made, then

    def tokens(self) -> Counter[Any]:
        found = Counter[Any]()
        for call in self._answers():
            if call.operation == "embeddings":
                found[call.provider, "input_uncached"] += call.usage["prompt_tokens"]
            elif call.play != "no_usage":
                for kind, count in kinds_of(call.usage).items():
                    found[call.provider, kind] += count
        for call in self._told_and_broken():
            if not self._is_held(call):
                found[call.provider, "input_uncached"] += call.usage["prompt_tokens"]
                found[call.provider, "output"] += 1
        return found

    def usage_missing(self) -> Counter[Any]:
        """Of answers. (Of those that broke off the vendor cannot know whether the client had got any of it.)"""
        return Counter(call.provider for call in self._answers() if call.play == "no_usage")

    def _answers(self) -> Iterator[Call]:
        return (call for call in self.book.calls if call.outcome == "ok")

    def wasted(self) -> Counter[Any]:
        """Told of an answer that nobody has seen: the prompt, and the one token that had come."""
        found = Counter[Any]()
        for call in self._told_and_broken():
            if self._is_held(call):
                found[call.provider] += call.usage["prompt_tokens"] + 1
        return found

    def _told_and_broken(self) -> Iterator[Call]:
        return (call for call in self.book.calls if call.play == "told_then_broke" and call.stream)

    def _is_held(self, call: Call) -> bool:
        return self.asked[call.name].model == "held"

    def requests(self) -> Counter[Any]:
        return Counter((_label(seen.asked), seen.outcome, str(seen.asked.stream).lower()) for seen in self.seen)

    def disconnects(self) -> Counter[Any]:
        gone = [seen for seen in self.seen if seen.outcome == "cancelled"]
        return Counter("mid_stream" if seen.begun else "before_first_token" for seen in gone)

    def rules(self) -> Counter[Any]:
        """By strategy and rule: of agents as their turns have it; nobody has read what the others said."""
        found = Counter[Any]()
        for name, asked in self.asked.items():
            kind, turn = name.partition("-")[0], name.rpartition("-")[2]
            if kind == "session":
                found["lead_worker", RULES[int(turn)], "main"] += 1
            elif kind == "title":
                found["lead_worker", "auxiliary", "aux"] += 1
            elif kind == "again":
                found["lead_worker", RULES[-1], "retry"] += 1
            elif self.chains[name]:
                model = asked.headers.get("x_skein_model", asked.model)
                strategy = MODELS.get(model, {"strategy": "direct"}).get("strategy", "priority")
                found[strategy, OF_STRATEGY[strategy], "unread"] += 1
        return found

    def scores(self) -> Counter[Any]:
        """Each turn of an agent by the result of its call, the last one by being asked for again."""
        sessions = self._sessions()
        return Counter({("tools", "count"): TURNS * sessions, ("tools", "sum"): (TURNS - 1 - len(FAILING)) * sessions})

    def _sessions(self) -> int:
        return len({name.rpartition("-")[0] for name in self.asked if name.startswith("session-")})

    def tools(self) -> Counter[Any]:
        """Every turn but the last has its result judged, under the name of who called."""
        sessions = self._sessions()
        judged = Counter[Any]()
        for turn in range(TURNS - 1):
            judged["shell", "error" if turn in FAILING else "ok"] += sessions
        return judged

    def names(self) -> Counter[str]:
        """By what the client calls it."""
        return Counter(seen.asked.headers.get("x_request_id", seen.asked.name) for seen in self.seen)

    def decisions(self) -> int:
        """Requests that got as far as a plan: those a vendor was called for, or was to be."""
        return sum(bool(self.chains[name]) for name in self.asked)


def _label(asked: Asked) -> str:
    return asked.model if asked.label is None else asked.label


def _reason(made: str) -> str:
    if "timeout" in made:
        return "timeout"
    special = {"provider_rate_limited": "rate_limited", "caller_context_too_long": "context_overflow"}
    return special.get(made, "failover")


def metrics(page: Page) -> dict[str, Counter[Any]]:
    kinds = page.by("skein_attempts_total", "provider", "kind")
    return {
        "attempts": page.by("skein_attempts_total", "provider", "outcome"),
        "kinds": Counter({key: count for key, count in kinds.items() if key[0] in KINDS_TOLD}),
        "errors": page.by("skein_attempt_errors_total", "provider", "fault"),
        "switches": page.by("skein_model_switches_total", "from", "to", "reason"),
        "failovers": page.by("skein_failovers_total", "from_provider", "to_provider", "trigger", "result"),
        "tokens": page.by("skein_tokens_total", "provider", "type"),
        "usage missing": page.by("skein_usage_missing_total", "provider"),
        "wasted tokens": page.by("skein_wasted_tokens_total", "provider"),
        "requests": page.by("skein_requests_total", "model", "outcome", "stream"),
        "disconnects": page.by("skein_client_disconnects_total", "stage"),
        "tool calls": page.by("skein_tool_calls_total", "tool", "outcome"),
        "rules": page.by("skein_route_rules_total", "policy", "rule", "kind"),
        "scores": Counter({
            (task, each): count
            for each in ("count", "sum")
            for task, count in page.by(f"skein_effectiveness_score_{each}", "task_type").items()
        }),
    }  # fmt: skip


def truth_of(truth: Truth, broken: Counter[Any]) -> dict[str, Counter[Any]]:
    return {
        "attempts": truth.attempts(),
        "kinds": truth.kinds(),
        "errors": truth.errors(),
        "switches": truth.switches(),
        "failovers": truth.failovers(),
        "tokens": truth.tokens(),
        "usage missing": truth.usage_missing() + broken,
        "wasted tokens": truth.wasted(),
        "requests": truth.requests(),
        "disconnects": truth.disconnects(),
        "tool calls": truth.tools(),
        "rules": truth.rules(),
        "scores": truth.scores(),
    }


def assert_same(told: dict[str, Counter[Any]], true: dict[str, Counter[Any]]) -> None:
    """Prints what was compared; every difference is named."""
    differences = []
    print(f"\n{'':16} {'series':>7} {'truth':>10} {'told':>10}  differences")
    for name, expected in true.items():
        found = told[name]
        keys = [key for key in {*expected, *found} if expected[key] != found[key]]
        print(f"{name:16} {len(expected):7} {sum(expected.values()):10.0f} {sum(found.values()):10.0f}  {len(keys)}")
        differences += [f"{name}: {key}: truth {expected[key]}, told {found[key]}" for key in sorted(keys, key=str)]
    assert not differences, "\n".join(differences)


def cut_short(seen: list[events.Event]) -> Counter[Any]:
    """Attempts of which the client got something and the vendor told no usage."""
    spoken = {(event.span, event.number) for event in seen if isinstance(event, events.OutputStarted)}
    return Counter(
        event.target.provider
        for event in seen
        if isinstance(event, events.AttemptFailed | events.AttemptAbandoned)
        and (event.span, event.number) in spoken
        and event.spent.usage is None
    )


ENDS = (events.AttemptSucceeded, events.AttemptFailed, events.AttemptAbandoned)


def assert_events_are_whole(seen: list[events.Event]) -> None:
    """Every exchange has one beginning and one end, every attempt one start and, before that end, one verdict."""
    stories: dict[int, list[events.ExchangeEvent]] = defaultdict(list)
    for event in seen:
        if isinstance(event, events.ExchangeEvent) and event.span:
            stories[event.span].append(event)
    for story in stories.values():
        kinds = Counter(map(type, story))
        assert kinds[events.RequestReceived] == kinds[events.ExchangeFinished] == 1, story
        assert (type(story[0]), type(story[-1])) == (events.RequestReceived, events.ExchangeFinished), story
        started = [event.number for event in story if isinstance(event, events.AttemptStarted)]
        ended = [event.number for event in story if isinstance(event, ENDS)]
        assert started == ended == list(range(1, len(started) + 1)), story
        finished = story[-1]
        assert isinstance(finished, events.ExchangeFinished)
        assert finished.attempts == len(started), story
        assert len({event.exchange_id for event in story}) == 1, story


def lines_of(written: io.StringIO) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in written.getvalue().splitlines():
        said = json.loads(line)
        found[said["event"]].append(said)
    return found


def assert_lines(lines: dict[str, list[dict[str, Any]]], true: dict[str, Counter[Any]], truth: Truth) -> None:
    finished, attempts = lines["request.finished"], lines["attempt.finished"]
    assert Counter(line["request_id"] for line in finished) == truth.names()
    assert Counter(line["outcome"] for line in finished) == by(true["requests"], 1)
    assert Counter((line["provider"], line["outcome"]) for line in attempts) == true["attempts"]
    failed = [line for line in attempts if line["outcome"] in ("error", "timeout")]
    assert Counter((line["provider"], line["error_type"]) for line in failed) == true["errors"]
    assert Counter((line["from"], line["to"], line["reason"]) for line in lines["model.switched"]) == true["switches"]
    assert Counter((line["tool"], line["outcome"]) for line in lines["tool.outcome"]) == true["tool calls"]
    planned = [line for line in finished if "rule" in line]
    decided = lines["route.decided"]
    assert Counter((line["policy"], line["rule"], line["kind"]) for line in decided) == true["rules"]
    assert Counter(line["rule"] for line in planned) == by(true["rules"], 1)
    assert Counter(line["kind"] for line in planned) == by(true["rules"], 2)
    scored = lines["effectiveness.observed"]
    assert len({line["request_id"] for line in scored}) == len(scored) == true["scores"]["tools", "count"]
    tokens = Counter[str]()
    for line in finished:
        tokens.update(line.get("tokens", {}))
    assert +tokens == by(true["tokens"], 1)


def assert_records(records: list[Record], true: dict[str, Counter[Any]]) -> None:
    assert len(records) == len({record.span for record in records}) == sum(true["requests"].values())
    tries = [one for record in records for one in record.tries]
    assert Counter((one.target.provider, one.outcome) for one in tries) == true["attempts"]
    for record in records:
        assert record.trace
        assert all(one.end and one.started.span == one.end.span == record.span for one in record.tries)
        assert all(record.began <= one.started.at <= (one.ended_at or 0.0) for one in record.tries)


def assert_spans(spans: list[ReadableSpan], true: dict[str, Counter[Any]]) -> None:
    """A server span each, a span per attempt, and the tokens on the calls in between alone."""
    told = [dict(span.attributes or {}) for span in spans]
    servers = [each for each in told if "http.route" in each]
    attempts = [each for each in told if "skein.attempt.number" in each]
    assert Counter(each["skein.outcome"] for each in servers) == by(true["requests"], 1)
    made = Counter((each["skein.attempt.provider"], each["skein.attempt.outcome"]) for each in attempts)
    assert made == true["attempts"]
    failed = [each for each in attempts if each["skein.attempt.outcome"] in ("error", "timeout")]
    assert Counter((each["skein.attempt.provider"], each["skein.fault"]) for each in failed) == true["errors"]
    used = [each for each in told if "gen_ai.usage.input_tokens" in each]
    assert all("gen_ai.operation.name" in each for each in used)
    tokens = sum(each["gen_ai.usage.input_tokens"] + each["gen_ai.usage.output_tokens"] for each in used)
    assert tokens == sum(true["tokens"].values())


def assert_live(s: Stand, true: dict[str, Counter[Any]], truth: Truth) -> None:
    view = s.gateway.runtime.observability.live
    rows = s.gateway.call(lambda: view.requests({}, 100_000))
    assert Counter(row["id"] for row in rows) == truth.names()
    assert Counter(row["outcome"] for row in rows) == by(true["requests"], 1)
    assert Counter((each["provider"], each["outcome"]) for row in rows for each in row["attempts"]) == true["attempts"]
    assert sum(len(row["switches"]) for row in rows) == sum(true["switches"].values())
    with s.client() as client:
        client.send(b"GET /admin/requests?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert [row["id"] for row in client.reply().json["requests"]] == [row["id"] for row in rows[:1000]]
        client.send(b"GET /admin/requests?outcome=running HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert client.reply().json["requests"] == []


def by(counts: Counter[Any], place: int) -> Counter[Any]:
    """The same by one of their labels alone."""
    found = Counter[Any]()
    for key, count in counts.items():
        found[key[place]] += count
    return found


def has_closed(vendor: ScriptedVendor) -> bool:
    """Its connections are gone, and the other side can know it: a transport closes some turns after it was told to."""
    return not vendor.open_connections and vendor.run(asyncio.sleep(0.01)) is None


def test_telemetry_says_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "KEPT", 100_000)
    book, written = Book(), io.StringIO()
    running = {"logging": Logging(level="debug", out=written), "listen": CarelessObserver(book)}
    keys = [{"name": "team", "key": KEY}, {"name": "other", "key": LIMITED_KEY, "models": ["shared"]}]
    extra = {"models": MODELS, "access": {"mode": "keys", "keys": keys}}
    nobody = {"timeouts": {"connect": "1s"}}
    with refusing() as dead, hanging() as hang:
        others = {"dead": at(dead, "dead"), "hang": at(hang, "hang", resilience=nobody)}
        with stand(*VENDORS, others=others, providers=PROVIDERS, extra=extra, running=running, timeouts=CLOCKS) as s:
            sink = CarelessSink()
            spans: list[ReadableSpan] = []
            tracer = traces.Traces(
                [traces.Audience(spans.extend)],
                known=lambda model: True,
                vendor=lambda provider: provider,
                resource=traces.resource({}, "0", "truth"),
            )
            s.gateway.runtime.service.sample_ratio = 1.0
            s.gateway.call(lambda: s.gateway.runtime.observability.add("careless", sink))
            s.gateway.call(lambda: s.gateway.runtime.observability.add("traces", tracer))
            for name, vendor in s.vendors.items():
                book.keep(name, vendor)
            clients = Clients(s.gateway.url, book, lambda asked: asked.model != "closing" or has_closed(s.closing))
            asyncio.run(clients.all(stories(SEED), AT_ONCE))
            eventually(lambda: not s.gateway.runtime.service.running)
            eventually(lambda: not any(vendor.playing for vendor in s.vendors.values()))

            page = s.metrics()
            truth = Truth(book, clients, stale=s.stale.counts_by_step["stale"])
            true = truth_of(truth, cut_short(s.gateway.events))
            assert len(clients.seen) >= 5000
            assert_same(metrics(page), true)
            # The vendors' counts, taken where they are made.
            assert Counter(call.provider for call in book.calls) == {name: v.count for name, v in s.vendors.items()}
            assert s.stale.counts_by_step["stale"] > 0
            assert_events_are_whole(s.gateway.events)
            assert Counter(event.exchange_id for event in s.of(events.ExchangeFinished)) == truth.names()
            assert not s.of(events.HandlerCrashed)
            assert page.by("skein_requests_in_flight", "route") == {}
            assert page.total("skein_route_decisions_total") == truth.decisions()
            assert page.total("skein_breaker_transitions_total") == len(s.of(events.BreakerMoved)) > 0
            assert page.by("skein_telemetry_dropped_total", "sink", "reason") == {("careless", "crashed"): sink.crashes}
            assert page.by("skein_metric_series_overflow_total") == {}
            # Lines are written by a thread: some of the last may still be on their way.
            assert page.by("skein_telemetry_queue_depth", "sink").keys() <= {"logs"}
            eventually(lambda: s.metrics().by("skein_telemetry_queue_depth", "sink") == {})
            assert_records(sink.records, true)
            assert_spans(spans, true)
            assert_live(s, true, truth)
        # The last lines are written when the gateway ends.
        assert_lines(lines_of(written), true, truth)
