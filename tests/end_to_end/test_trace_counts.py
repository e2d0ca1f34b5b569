"""Some hundred mixed requests: attempts, calls, exchanges and tokens in the traces are those that there were."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from gateway import events
from tests.backends import Receiver
from tests.scripted import (
    Answer,
    Received,
    Reset,
    Silent,
    Slow,
    Status,
    Step,
    html_as_200,
    play,
    policy_refused,
    rate_limited,
)
from tests.scripted.steps import StepValue

from .setting import Stand, body, eventually, merged, stand
from .test_traces import KEY, KEYS, spent, told_to, traces, tree

# What a vendor does with a call, and what the attempt's span is to say of it.
PLAYS: dict[str, tuple[StepValue, str | None]] = {
    "answers": (Answer(), None),
    "overloaded": (Status(503), "provider_overloaded"),
    "failing": (Status(500), "provider_server_error"),
    "resetting": (Reset("before_head"), "provider_connection_failed"),
    "limiting": (rate_limited("retry_after_ms", 0.02), "provider_rate_limited"),
    "garbling": (html_as_200(), "provider_garbled"),
    "refusing": (policy_refused(), "caller_content_refused"),
    "breaking": (play(Slow(between=0.02), Reset("after_output", outputs=2)), "provider_broken_stream"),
    "silent": (Silent("before_head"), None),
    "falling silent": (Silent("after_output"), None),
}


class Asked(NamedTuple):
    """``plays``: what its calls get, one after the other, the last for all that follow."""

    outcome: str
    plays: tuple[str, ...] = ()
    model: str = "m"
    stream: bool = False
    more: dict[str, Any] = {}


BOTH = (False, True)
MIXTURE: tuple[tuple[int, Asked], ...] = (
    *((60, Asked("ok", ("answers",), stream=stream)) for stream in BOTH),
    *((12, Asked("ok", ("overloaded", "answers"), stream=stream)) for stream in BOTH),
    *((12, Asked("ok", ("failing", "resetting", "answers"), stream=stream)) for stream in BOTH),
    *((12, Asked("ok", ("limiting", "answers"), stream=stream)) for stream in BOTH),
    *((8, Asked("ok", ("garbling", "answers"), stream=stream)) for stream in BOTH),
    *((8, Asked("error", ("failing",), stream=stream)) for stream in BOTH),
    *((8, Asked("rejected", ("refusing",), stream=stream)) for stream in BOTH),
    (12, Asked("error", ("breaking",), stream=True)),
    (12, Asked("error", ("breaking",), "aborts", stream=True)),
    (12, Asked("ok", ("breaking", "answers"), "resumes", stream=True)),
    *((8, Asked("cancelled", ("silent",), stream=stream)) for stream in BOTH),
    (8, Asked("cancelled", ("falling silent",), stream=True)),
    (8, Asked("rejected", model="nobody")),
    (8, Asked("rejected", more={"authorization": "Bearer wrong"})),
)


class Truth:
    """What vendors were asked and said, call by call."""

    def __init__(self, asked: dict[str, Asked]) -> None:
        self.asked = asked
        self.calls: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self._lock = threading.Lock()

    def decide(self, call: Received) -> Step:
        with self._lock:
            return self._decide(call)

    def _decide(self, call: Received) -> Step:
        name = str(call.fields["user"])
        plays = self.asked[name].plays
        step, fault = PLAYS[plays[min(self.calls[name], len(plays) - 1)]]
        self.calls[name] += 1
        if fault:
            self.faults[fault] += 1
        if not isinstance(step, Answer):
            return step
        usage = {"prompt_tokens": 10 * sum(self.calls.values()), "completion_tokens": self.calls.total() + 3}
        self.served.update(usage)
        return Answer(usage=usage | {"total_tokens": sum(usage.values())})

    def ask(self, s: Stand, name: str) -> None:
        """One client; those that leave do so once the vendor has said all it will."""
        asked = self.asked[name]
        headers = {"authorization": f"Bearer {KEY}"} | asked.more
        with s.client() as client:
            client.post(body(asked.stream, model=asked.model, user=name), **headers)
            if asked.outcome != "cancelled":
                client.reply()
                return
            eventually(lambda: self.calls[name])
            if asked.plays == ("falling silent",):
                client.see(b"Hello")
            client.leave()


def test_some_hundred_mixed_requests_are_told_as_they_were() -> None:
    targets = {"targets": ["a/gpt-4.1", "b/gpt-4.1"]}
    models = {
        "resumes": targets | {"resilience": {"on_broken_stream": "resume"}},
        "aborts": targets | {"resilience": {"on_broken_stream": "abort"}},
    }
    asked = {f"{kind}-{count}": each for kind, (many, each) in enumerate(MIXTURE) for count in range(many)}
    truth = Truth(asked)
    with Receiver() as receiver:
        extra = merged(merged(KEYS, {"models": models}), told_to(receiver.url))
        with stand("a", "b", extra=extra, retries=1) as s, ThreadPoolExecutor(12) as pool:
            for vendor in s.vendors.values():
                vendor.decide = truth.decide
            names = sorted(asked, key=lambda name: name.partition("-")[2])
            list(pool.map(lambda name: truth.ask(s, name), names))
            s.finished(len(asked))
            calls = sum(vendor.count for vendor in s.vendors.values())
            planned = len(s.of(events.PlanMade))
        spans = receiver.spans()
    servers = [span for span in spans if span.kind == "SERVER"]
    generations = [span for span in spans if "gen_ai.operation.name" in span.attributes]
    attempts = [span for span in spans if "skein.attempt.number" in span.attributes]
    assert len(servers) + len(generations) + len(attempts) == len(spans)
    assert len(attempts) == calls == truth.calls.total()
    assert len(generations) == planned == sum(bool(each.plays) for each in asked.values())
    assert len(servers) == len(asked) == len({span.trace_id for span in servers})
    outcomes = Counter(each.outcome for each in asked.values())
    assert Counter(span.attributes["skein.outcome"] for span in servers) == outcomes
    assert (
        Counter(span.attributes["skein.fault"] for span in attempts if "skein.fault" in span.attributes) == truth.faults
    )
    for ours, theirs in (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")):
        told = sum(span.attributes.get(f"gen_ai.usage.{ours}", 0) for span in spans)
        assert told == truth.served[theirs] > 0
    for told in traces(spans).values():
        assert bool(spent(told)) == (told[0].attributes["skein.outcome"] == "ok"), tree(told)
