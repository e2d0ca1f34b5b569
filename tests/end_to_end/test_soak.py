"""Two thousand requests while the first target fails in every way there is: nobody notices, and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import json
import random
from collections import Counter
from typing import Any

import pytest

from gateway import events
from gateway.observe import live
from tests.scripted import FAULTS, Answer, Received, Step, fault

from .setting import CHAT, body, eventually, request, stand

REQUESTS = 2000
AT_ONCE = 200
FAILING = 0.3
# Not played: what is the caller's own, what shuts the only key for a minute, and what takes long by nature.
LEFT_OUT = ("bad_request", "context_too_long", "refused", "bad_credentials", "out_of_credit", "timeout_total")
KINDS = [kind for kind in FAULTS if kind not in LEFT_OUT]
SETTINGS: dict[str, Any] = {
    "timeouts": {"connect": "10s", "first_token": "5s", "whole": "5s", "idle": "5s", "total": "30s"},
    "delivery": "held",  # so that a break after the first output can be hidden as well
}


def text_of(vendor: str, call: Received) -> str:
    return f"{vendor} says {call.fields['user']} and not a word more, in €."


def story(call: Received) -> Step:
    """Fails or answers by the request's own name: the same requests fail in every run, however often they are tried."""
    chance = random.Random(call.fields["user"])
    return fault(chance.choice(KINDS)) if chance.random() < FAILING else Answer(text_of("primary", call))


async def one(number: int, host: str, port: int, gate: asyncio.Semaphore) -> tuple[int, str]:
    """Who answered, checked: the answer is whole, and about this request."""
    stream, name = number % 2 == 0, f"request-{number}"
    async with gate:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request(body(stream, user=name), CHAT, connection="close"))
        data = await asyncio.wait_for(reader.read(), 60)
        writer.close()
    head, _, rest = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), data[:2000]
    if stream:
        assert rest.endswith(b"0\r\n\r\n"), rest[-300:]
        lines = [line[6:] for line in rest.split(b"\n") if line.startswith(b"data: ")]
        assert lines.pop().strip() == b"[DONE]"
        choices = [choice for line in lines for choice in json.loads(line)["choices"]]
        said = "".join(choice["delta"].get("content") or "" for choice in choices)
        assert choices[-1]["finish_reason"] == "stop"
    else:
        said = json.loads(rest)["choices"][0]["message"]["content"]
    vendor = said.partition(" ")[0]
    assert said == f"{vendor} says {name} and not a word more, in €."
    return number, vendor


def test_nobody_notices_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEPT", "SWITCHES_KEPT"):  # what the live view keeps is full before anything is weighed
        monkeypatch.setattr(live, name, 50)
    kinds = Counter[str]()

    def primary(call: Received) -> Step:
        step = story(call)
        kinds[getattr(step, "name", "answer")] += 1
        return step

    with stand("primary", "backup", **SETTINGS) as s:
        s.primary.keep = s.backup.keep = 10
        s.primary.otherwise = primary
        s.backup.otherwise = lambda call: Answer(text_of("backup", call))
        host, port = s.gateway.url.removeprefix("http://").split(":")

        async def ask(first: int, last: int) -> Counter[str]:
            gate = asyncio.Semaphore(AT_ONCE)
            done = await asyncio.gather(*(one(number, host, int(port), gate) for number in range(first, last)))
            return Counter(vendor for _, vendor in done)

        answered, seen, attempts = Counter[str](), Counter[type](), Counter[str]()
        finished: list[events.ExchangeFinished] = []
        sizes: list[int] = []
        for quarter in range(4):
            answered += asyncio.run(ask(quarter * REQUESTS // 4, (quarter + 1) * REQUESTS // 4))
            eventually(lambda: not s.gateway.runtime.service.running)
            eventually(lambda: not s.primary.playing and not s.backup.playing)
            seen += Counter(map(type, s.gateway.events))
            attempts += Counter(s.tried())
            finished += s.of(events.ExchangeFinished)
            s.gateway.events.clear()
            gc.collect()
            # The test's own records grow, by one object each.
            sizes.append(len(gc.get_objects()) - len(finished))
        print(f"answered by {dict(answered)}; played {dict(kinds)}; objects {sizes}; attempts {dict(attempts)}")
        assert sum(answered.values()) == REQUESTS
        assert answered["backup"] > REQUESTS * FAILING * 0.8
        assert set(KINDS) <= set(kinds)
        assert len(finished) == len({each.exchange_id for each in finished}) == REQUESTS
        assert {each.outcome for each in finished} == {"ok"}
        assert max(each.attempts for each in finished) <= 6
        assert sum(each.attempts for each in finished) == seen[events.AttemptStarted]
        assert seen[events.AttemptFailed] == seen[events.AttemptStarted] - REQUESTS
        assert attempts == {"primary": s.primary.count, "backup": s.backup.count}
        assert not seen[events.HandlerCrashed]
        assert s.counted("backup") == 0
        assert sizes[3] < sizes[0] * 1.02 + 1000
