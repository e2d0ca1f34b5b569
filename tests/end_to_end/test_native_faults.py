"""What goes wrong with vendors of every family, as each tells it: what the client hears, and who goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway import events
from gateway.errors import FaultKind
from tests.end_to_end.native import (
    ACCOUNTS,
    ANTHROPIC,
    BEDROCK,
    BLOCKED,
    COHERE,
    FAMILIES,
    GEMINI,
    MISTRAL,
    OLLAMA,
    OPENAI,
    Call,
    Family,
    Said,
    account,
    aws,
    data,
)
from tests.end_to_end.refusals import WAIT
from tests.end_to_end.replaying import Replaying, Reply, replaying
from tests.end_to_end.setting import QUICK, Client, Told, body, eventually, merged
from tests.running import RunningGateway, running_gateway

SAID = Said(text="Hello from the vendor.", cached=0, reasoning=0)


class Stand:
    """``first`` and ``second``: the targets of ``m``, in order."""

    def __init__(self, gateway: RunningGateway, first: Replaying, second: Replaying) -> None:
        self.gateway, self.first, self.second = gateway, first, second

    def ask(self, stream: bool = False, **fields: Any) -> Told:
        with Client(self.gateway.url) as client:
            client.post(body(stream, **fields))
            return client.reply()

    def see(self, said: str, **fields: Any) -> Told:
        """A stream of which so much was seen before the vendor said the rest."""
        with Client(self.gateway.url) as client:
            client.post(body(True, **fields))
            client.see(said.encode())
            self.first.go.set()
            return client.reply()

    def faults(self) -> list[FaultKind]:
        return [event.fault.kind for event in self.gateway.of(events.AttemptFailed)]

    def finished(self) -> events.ExchangeFinished:
        eventually(lambda: self.gateway.of(events.ExchangeFinished) and not self.gateway.runtime.service.running)
        assert not self.gateway.of(events.HandlerCrashed)
        (one,) = self.gateway.of(events.ExchangeFinished)
        return one


@contextmanager
def stand(family: Family, other: Family | None = None, **resilience: Any) -> Iterator[Stand]:
    with ExitStack() as stack:
        first, second = stack.enter_context(replaying()), stack.enter_context(replaying())
        names = [(family.name, first), *([(other.name, second)] if other else [])]
        config = {
            "providers": {f"{at}-{name}": account(name, vendor.url) for at, (name, vendor) in enumerate(names)},
            "models": {"m": {"targets": [f"{at}-{name}/{ACCOUNTS[name][0]}" for at, (name, _) in enumerate(names)]}},
            "resilience": merged({**QUICK, "retries": 0}, resilience),
        }
        yield Stand(stack.enter_context(running_gateway(json.dumps(config))), first, second)


# --- refusals

# Kind of refusal -> status (None: the vendor's own) and code for the client, kind of fault.
TOLD = {
    "overloaded": (503, None, FaultKind.OVERLOADED),
    "rate": (429, None, FaultKind.RATE_LIMITED),
    "context": (400, "context_length_exceeded", FaultKind.CONTEXT_TOO_LONG),
    "filter": (400, "content_filter", FaultKind.REFUSED),
    "key": (502, "upstream_auth", FaultKind.BAD_CREDENTIALS),
    "model": (None, "model_not_found", FaultKind.MODEL_MISSING),
}
REFUSALS = [(family, kind) for family in FAMILIES.values() for kind in family.refusals if family.name in ACCOUNTS]
MOVES_ON = ("overloaded", "rate", "context", "key", "model")
"""Another target may do better."""
SAYS_WHEN = ("anthropic", "gemini", "cohere", "openai")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("family", "kind"), REFUSALS, ids=[f"{family.name}-{kind}" for family, kind in REFUSALS])
def test_a_refusal(family: Family, kind: str, stream: bool) -> None:
    refusal, (status, code, fault) = family.refusals[kind], TOLD[kind]
    with stand(family) as s:
        s.first.reply = refusal
        told = s.ask(stream)
        assert told.status == (status or refusal.status)
        assert code in (None, told.error["code"])
        assert s.faults() == [fault]
        assert told.error["upstream"]["status"] == refusal.status
        # The vendor's own words, but for those about our account.
        assert (json.loads(refusal.body).get("message", "") in told.error["message"]) or kind == "key"
        assert (told.headers.get("retry-after") == str(WAIT)) == (kind == "rate" and family.name in SAYS_WHEN)
        assert "Xq7vR2mB9" not in repr(told)


def test_anthropics_limits() -> None:
    """1. What is left of them is for the client to see. 2. Where nothing is left, when they begin anew."""
    left = {"anthropic-ratelimit-tokens-remaining": "1200", "anthropic-ratelimit-tokens-limit": "5000"}
    none = {
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": (datetime.now(UTC) + timedelta(seconds=90)).isoformat(timespec="seconds"),
    }
    refused = msgspec.structs.replace(ANTHROPIC.refusals["rate"], headers=none)
    with stand(ANTHROPIC) as s:
        s.first.reply = msgspec.structs.replace(ANTHROPIC.reply(SAID, stream=False), headers=left)
        assert left.items() <= s.ask().headers.items()
        s.first.reply = refused
        told = s.ask()
        assert told.status == 429
        assert 30 < int(told.headers["retry-after"]) <= 90


@pytest.mark.parametrize(("family", "kind"), REFUSALS, ids=[f"{family.name}-{kind}" for family, kind in REFUSALS])
def test_another_family_goes_on(family: Family, kind: str) -> None:
    # Gemini has the largest window of them.
    other = ANTHROPIC if family is GEMINI else GEMINI
    with stand(family, other) as s:
        s.first.reply, s.second.reply = family.refusals[kind], other.reply(SAID, stream=True)
        told = s.ask(True)
        if kind in MOVES_ON and (family, kind) != (GEMINI, "context"):
            assert (told.text, told.finish, told.done) == (SAID.text, "stop", True)
        else:
            assert (told.status, len(s.second.heard)) == (400, 0)


BLOCKS = [
    (GEMINI, json.dumps(BLOCKED).encode(), data(BLOCKED)),
    *(
        (family, json.dumps(family.whole(said)).encode(), b"".join(family.events(said)))
        for family in (ANTHROPIC, BEDROCK, GEMINI)
        for said in (Said(text="I", finish="content_filter"),)
    ),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("family", "whole", "streamed"), BLOCKS, ids=["gemini-prompt", "anthropic", "bedrock", "gemini"]
)
def test_a_filter_that_ends_the_answer(family: Family, whole: bytes, streamed: bytes, stream: bool) -> None:
    with stand(family) as s:
        s.first.reply = family.streamed([streamed]) if stream else Reply(body=whole)
        told = s.ask(stream)
        assert (told.status, told.finish) == (200, "content_filter")
        assert not stream or told.done


# --- errors inside streams

STREAMING = [ANTHROPIC, GEMINI, BEDROCK, OPENAI, MISTRAL]
BY_NAME = [family.name for family in STREAMING]


SILENT = {"anthropic": 3, "gemini": 0, "bedrock": 1, "openai": 1, "mistral": 1}
"""So many events of a stream say nothing yet."""


def broken(family: Family, said: Said = SAID) -> Reply:
    """Some of it, and when that was seen, an error."""
    begun = SILENT[family.name] + 2
    return family.streamed(family.events(said)[:begun], rest=family.failed)


BEGUN = SAID.text[:5]


@pytest.mark.parametrize("family", STREAMING, ids=BY_NAME)
def test_overloaded_before_the_first_output(family: Family) -> None:
    """Nobody has seen anything of it: another goes on."""
    other = BEDROCK if family is ANTHROPIC else ANTHROPIC
    with stand(family, other) as s:
        s.first.reply = family.streamed([*family.events(SAID)[: SILENT[family.name]], family.failed])
        s.second.reply = other.reply(SAID, stream=True)
        told = s.ask(True)
        assert (told.text, told.finish, told.done) == (SAID.text, "stop", True)
        assert s.faults() == [FaultKind.OVERLOADED]
        assert told.headers["x-skein-attempts"] == "2"


@pytest.mark.parametrize("family", STREAMING, ids=BY_NAME)
def test_overloaded_after_output(family: Family) -> None:
    """The client is told by an error event, and nobody else is asked."""
    with stand(family, ANTHROPIC) as s:
        s.first.reply = broken(family)
        told = s.see(BEGUN)
        assert SAID.text.startswith(told.text)
        assert told.text
        assert not told.done
        assert told.error["provider"] == f"0-{family.name}"
        assert s.faults() == [FaultKind.BROKEN_STREAM]
        assert s.finished().outcome == "broken"
        assert not s.second.heard


@pytest.mark.parametrize("then", ["end", "cut"])
@pytest.mark.parametrize("family", [*STREAMING, COHERE, OLLAMA], ids=[*BY_NAME, "cohere", "ollama"])
def test_a_stream_that_stops_short(family: Family, then: Any) -> None:
    """It is not an answer, however politely the connection was closed."""
    with stand(family) as s:
        s.first.reply = family.streamed(family.events(SAID)[:5], then=then)
        told = s.ask(True)
        assert SAID.text.startswith(told.text)
        assert told.text
        assert not told.done
        assert s.faults() == [FaultKind.BROKEN_STREAM]


@pytest.mark.parametrize("family", [*STREAMING, COHERE, OLLAMA], ids=[*BY_NAME, "cohere", "ollama"])
def test_a_call_that_stops_short(family: Family) -> None:
    """Half a call is never taken for a whole one."""
    said = Said(calls=(Call("abcdefgh1", "weather", {"city": "Zürich", "much": "more " * 20}),))
    with stand(family) as s:
        said_events = family.events(said)
        kept = {"gemini": 1, "ollama": 1, "mistral": 2}.get(family.name, 8)
        s.first.reply = family.streamed(said_events[:kept])
        told = s.ask(True)
        assert told.finish is None
        assert not told.done
        assert s.faults() == [FaultKind.BROKEN_STREAM]


EXCEPTIONS = {
    "throttlingException": (429, FaultKind.RATE_LIMITED),
    "serviceUnavailableException": (503, FaultKind.OVERLOADED),
    "internalServerException": (502, FaultKind.SERVER_ERROR),
    "modelStreamErrorException": (502, FaultKind.SERVER_ERROR),
    "validationException": (400, FaultKind.BAD_REQUEST),
}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_of_bedrocks_streams(name: str) -> None:
    status, kind = EXCEPTIONS[name]
    with stand(BEDROCK) as s:
        s.first.reply = BEDROCK.streamed(
            [aws("messageStart", role="assistant"), aws(f"!{name}", message="No: really.")]
        )
        told = s.ask(True)
        assert (told.status, s.faults()) == (status, [kind])
        assert "No: really." in told.error["message"]


def test_a_frame_of_bedrocks_that_is_damaged() -> None:
    frames = BEDROCK.events(SAID)
    damaged = frames[3][:-1] + bytes([frames[3][-1] ^ 1])
    with stand(BEDROCK) as s:
        s.first.reply = BEDROCK.streamed(frames[:3], rest=b"".join([damaged, *frames[4:]]))
        told = s.see(BEGUN)
        assert SAID.text.startswith(told.text)
        assert not told.done
        assert s.faults() == [FaultKind.BROKEN_STREAM]


# --- what is done about it

RESUMES = [(ANTHROPIC, GEMINI), (ANTHROPIC, OPENAI), (GEMINI, ANTHROPIC), (BEDROCK, MISTRAL), (OPENAI, BEDROCK)]


@pytest.mark.parametrize(("one", "other"), RESUMES, ids=[f"{one.name}-{other.name}" for one, other in RESUMES])
def test_a_broken_answer_goes_on_elsewhere(one: Family, other: Family) -> None:
    with stand(one, other, on_broken_stream="resume") as s:
        s.first.reply = broken(one)
        rest = Said(text=" And the rest.", thought="Where was I?", cached=0, reasoning=0)
        s.second.reply = other.reply(rest, stream=True)
        told = s.see(BEGUN, stream_options={"include_usage": True})
        assert told.done
        assert told.finish == "stop"
        delivered = told.text.removesuffix(" And the rest.")
        assert delivered
        assert SAID.text.startswith(delivered)
        # One answer, by whoever it was.
        assert len({(chunk["id"], chunk["model"]) for chunk in told.chunks}) == 1
        # The other was told how it began.
        assert delivered in s.second.heard[0].body.decode()
        assert s.finished().outcome == "ok"


@pytest.mark.parametrize("family", [*STREAMING, COHERE, OLLAMA], ids=[*BY_NAME, "cohere", "ollama"])
def test_an_answer_that_is_held_back(family: Family) -> None:
    """Nothing is delivered before all is there: even a late break goes unseen."""
    other = GEMINI if family is ANTHROPIC else ANTHROPIC
    with stand(family, other, delivery="held") as s:
        s.first.replies = [family.streamed(family.events(SAID)[:5])]
        s.second.reply = other.reply(SAID, stream=True)
        told = s.ask(True)
        assert (told.text, told.done) == (SAID.text, True)
        assert told.headers["x-skein-provider"] == f"1-{other.name}"


@pytest.mark.parametrize("family", [*STREAMING, COHERE, OLLAMA], ids=[*BY_NAME, "cohere", "ollama"])
def test_a_client_that_leaves(family: Family) -> None:
    """The vendor's connection is closed, so that it stops too."""
    with stand(family) as s:
        s.first.reply = family.streamed(family.events(SAID)[:5], then="wait")
        with Client(s.gateway.url) as client:
            client.post(body(True))
            client.see(BEGUN.encode())
            client.leave()
            assert s.first.left.wait(20)
        assert s.finished().outcome == "cancelled"
        assert not s.faults()
