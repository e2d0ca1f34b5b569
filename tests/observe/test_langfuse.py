"""What Langfuse gets, is asked for, and does not hold up."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import opentelemetry.trace
import pytest

from gateway.chat import Prompt
from gateway.errors import CallerError, OperatorError
from gateway.observe.export import Patience
from gateway.observe.langfuse import CLOUD, FRESH, Account, Langfuse, account, destination
from gateway.observe.otlp import SpanExporter
from tests.backends import HANG, LANGFUSE_TRACES, PROMPTS, SCORES, Receiver, unavailable
from tests.observe.test_export import QUICK, Ledger, shipper
from tests.observe.test_traces import STORIES, spans

TRACE = f"{0xABC:032x}"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Receiver() as running:
        yield running


def project(receiver: Receiver) -> Account:
    return Account(host=receiver.url, public_key="pk-lf-1", secret_key="sk-lf-2")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def langfuse(receiver: Receiver, ledger: Ledger | None = None, **settings: Any) -> Langfuse:
    listeners = (ledger or Ledger()).listeners()
    # A cold import of the package must not decide a test.
    return Langfuse(project(receiver), **{"within": 20.0, "patience": QUICK} | listeners | settings)


# Spans


def test_spans_as_langfuse_wants_them(receiver: Receiver) -> None:
    ledger = Ledger()
    ship = shipper(SpanExporter(destination(project(receiver))), ledger)
    ship.offer(spans(STORIES["failover"][0]))
    ship.close(20)
    (request,) = receiver.requests_to(LANGFUSE_TRACES)
    assert request.headers["x-langfuse-ingestion-version"] == "4"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"pk-lf-1:sk-lf-2"
    call = receiver.span("chat fast")
    usage = json.loads(call.attributes["langfuse.observation.usage_details"])
    assert sum(usage.values()) - usage["total"] == usage["total"], "each kind is priced: none is inside another"
    assert call.attributes["langfuse.observation.completion_start_time"].endswith("Z")
    types = [span.attributes["langfuse.observation.type"] for span in receiver.spans()]
    assert types == ["span", "generation", "span", "span"]
    assert (ledger.exported, dict(ledger.lost)) == (4, {})


@pytest.mark.parametrize(
    ("settings", "env", "expected"),
    [
        ((None, None, None), {}, None),
        (("pk", "sk", None), {}, (CLOUD, "pk")),
        (("pk", "sk", "https://l.test/"), {"LANGFUSE_HOST": "https://other"}, ("https://l.test", "pk")),
        ((None, None, None), {"LANGFUSE_PUBLIC_KEY": "a", "LANGFUSE_SECRET_KEY": "b"}, (CLOUD, "a")),
        (("pk", "sk", None), {"LANGFUSE_HOST": "http://h", "LANGFUSE_BASE_URL": "http://b"}, ("http://b", "pk")),
        (("pk", "sk", None), {"LANGFUSE_HOST": "http://h"}, ("http://h", "pk")),
    ],
)
def test_whose_langfuse_it_is(settings: Any, env: dict[str, str], expected: Any) -> None:
    found = account(*settings, env)
    assert (found and (found.host, found.public_key)) == expected
    assert "sk" not in repr(found)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"LANGFUSE_PUBLIC_KEY": "a"}, "LANGFUSE_SECRET_KEY: is missing"),
        (
            {"LANGFUSE_PUBLIC_KEY": "a", "LANGFUSE_SECRET_KEY": "b", "LANGFUSE_HOST": "l.test"},
            'LANGFUSE_HOST: "l.test"',
        ),
    ],
)
def test_half_an_environment(env: dict[str, str], said: str) -> None:
    with pytest.raises(OperatorError, match=said):
        account(None, None, None, env)


# Prompts


CHAT = [
    {"role": "system", "content": 'You review {{language}} for {{ team }}. JSON looks like {{"a": 1}}.'},
    {"type": "placeholder", "name": "history"},
    {"role": "user", "content": "{{question}}"},
]


def test_chat_prompt_is_filled_in(receiver: Receiver) -> None:
    receiver.add_prompt("team/review", CHAT, version=3)
    variables = {
        "language": "Python",
        "team": 7,
        "history": [{"role": "user", "content": "hi"}],
        "question": "{{team}}",
    }
    compiled = asyncio.run(langfuse(receiver).prompt("team/review", variables=variables))
    assert compiled.prompt == Prompt("team/review", 3)
    assert list(compiled.messages) == [
        {"role": "system", "content": 'You review Python for 7. JSON looks like {{"a": 1}}.'},
        {"role": "user", "content": "hi"},
        {"role": "user", "content": "{{team}}"},
    ]


def test_text_prompt_is_a_system_message(receiver: Receiver) -> None:
    receiver.add_prompt("greeting", "Say {{word}}.", version=1, labels=("staging",))
    compiled = asyncio.run(langfuse(receiver).prompt("greeting", label="staging", variables={"word": "hello"}))
    assert list(compiled.messages) == [{"role": "system", "content": "Say hello."}]


@pytest.mark.parametrize(
    ("name", "asked", "variables", "status", "code", "said"),
    [
        ("absent", {}, {}, 404, "prompt_not_found", 'no prompt "absent" labelled "production"'),
        ("review", {"version": 9}, {}, 404, "prompt_not_found", '"review" version 9'),
        ("review", {}, {"language": "C"}, 400, "invalid_prompt", "needs history, question, team"),
        (
            "review",
            {},
            {"language": 1, "team": 2, "question": 3, "history": "hi"},
            400,
            "invalid_prompt",
            "takes a list",
        ),
        ("", {}, {}, 400, "invalid_prompt", "not the name of a prompt"),
        ("..", {}, {}, 400, "invalid_prompt", "not the name of a prompt"),
        ("../../scores", {}, {}, 404, "prompt_not_found", "no prompt"),
    ],
)
def test_prompts_that_cannot_be_had(
    name: str, asked: dict[str, Any], variables: dict[str, Any], status: int, code: str, said: str, receiver: Receiver
) -> None:
    receiver.add_prompt("review", CHAT)
    with pytest.raises(CallerError) as refused:
        asyncio.run(langfuse(receiver).prompt(name, variables=variables, **asked))
    assert (refused.value.status, refused.value.code) == (status, code)
    assert said in refused.value.message
    assert all(request.path.startswith(PROMPTS) for request in receiver.requests)


@pytest.mark.parametrize(
    ("sicken", "within", "why"),
    [
        (lambda receiver: setattr(receiver, "mode", unavailable()), 20.0, "HTTP 503"),
        (lambda receiver: receiver.go_down(), 20.0, "ConnectError"),
        (lambda receiver: setattr(receiver, "mode", HANG), 0.2, "no answer within 0.2 s|ReadTimeout"),
    ],
)
def test_langfuse_that_does_not_answer(sicken: Any, within: float, why: str, receiver: Receiver) -> None:
    sicken(receiver)
    with pytest.raises(CallerError, match=why) as refused:
        asyncio.run(langfuse(receiver, within=within).prompt("review"))
    assert (refused.value.status, refused.value.code, refused.value.origin) == (503, "prompt_unavailable", "gateway")


def test_prompt_is_kept_and_refreshed_behind_the_back_of_requests(receiver: Receiver) -> None:
    receiver.add_prompt("review", "one", version=1)
    clock = Clock()
    prompts = langfuse(receiver, clock=clock)

    async def version() -> int:
        return (await prompts.prompt("review")).prompt.version

    async def story() -> None:
        assert await asyncio.gather(*(version() for _ in range(5))) == [1] * 5
        assert len(receiver.requests) == 1, "one fetch for all who ask at once"
        receiver.add_prompt("review", "two", version=2)
        assert await version() == 1
        clock.now = FRESH
        assert await version() == 1, "nobody waits for the new one"
        await asyncio.gather(*prompts._fetching.values())
        assert await version() == 2
        receiver.go_down()
        clock.now = 2 * FRESH
        assert await version() == 2
        await asyncio.gather(*prompts._fetching.values())
        assert await version() == 2, "the one there is goes on"
        assert len(receiver.requests) == 2

    asyncio.run(story())


# Scores


def test_scores_arrive(receiver: Receiver) -> None:
    ledger = Ledger()
    told = langfuse(receiver, ledger)
    told.score(TRACE, "helpful", 0.75, at=1_700_000_000.5, comment="fine", metadata={"source": "user"})
    told.close(20)
    (score,) = receiver.scores()
    assert {key: score[key] for key in ("traceId", "name", "value", "comment", "metadata")} == {
        "traceId": TRACE,
        "name": "helpful",
        "value": 0.75,
        "comment": "fine",
        "metadata": {"source": "user"},
    }
    assert score["timestamp"].startswith("2023-11-14T22:13:20.5")
    assert score["id"]
    assert ledger.exported == 1
    assert ledger.balances(told.scores)


def test_a_score_sent_twice_is_one(receiver: Receiver) -> None:
    receiver.script(unavailable())
    told = langfuse(receiver)
    told.score(TRACE, "helpful", 1.0, at=1.0)
    told.close(20)
    first, second = receiver.requests_to(SCORES)
    assert json.loads(first.body) == json.loads(second.body)
    assert len(receiver.scores()) == 1


@pytest.mark.parametrize(
    ("sicken", "reason"),
    [
        (lambda receiver: setattr(receiver, "mode", unavailable()), "failed"),
        (lambda receiver: receiver.go_down(), "failed"),
    ],
)
def test_scores_that_are_lost_are_counted(sicken: Any, reason: str, receiver: Receiver) -> None:
    sicken(receiver)
    ledger = Ledger()
    told = langfuse(receiver, ledger, patience=Patience(linger=0.0, backoff=0.001))
    told.score(TRACE, "helpful", 1.0, at=1.0)
    assert told.scores.flush(30)
    told.close(5)
    assert dict(ledger.lost) == {reason: 1}
    assert ledger.balances(told.scores)


def test_nothing_global_and_no_threads_that_stay(receiver: Receiver) -> None:
    provider, before = opentelemetry.trace._TRACER_PROVIDER, set(threading.enumerate())
    receiver.add_prompt("review", "one")
    told = langfuse(receiver)
    asyncio.run(told.prompt("review"))
    told.score(TRACE, "helpful", 1.0, at=1.0)
    started = {thread for thread in set(threading.enumerate()) - before if thread.name != "receiver"}
    assert {thread.name for thread in started} >= {"export-langfuse_scores"}
    told.close(20)
    ours = [thread for thread in started if thread.name.startswith(("export", "langfuse"))]
    for thread in ours:
        thread.join(10)
        assert not thread.is_alive()
    others = [thread.name for thread in started - set(ours) if "process_request" not in thread.name]
    assert (opentelemetry.trace._TRACER_PROVIDER, others) == (provider, [])
