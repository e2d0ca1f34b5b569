"""What a vendor of another family could not be told is said everywhere; and what it counted is what is told of it."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from gateway import events
from gateway.observe.observability import Logging
from tests.dialects import validity
from tests.end_to_end.native import ACCOUNTS, FAMILIES, Call, Said, account
from tests.end_to_end.replaying import Heard, Replaying, Reply, replaying
from tests.end_to_end.setting import CHAT, MESSAGES, QUICK, Page, eventually
from tests.running import RunningGateway, running_gateway


class Stand:
    def __init__(self, gateway: RunningGateway, vendors: dict[str, Replaying], written: io.StringIO) -> None:
        self.gateway, self.vendors, self.written = gateway, vendors, written
        self.client = httpx.Client(base_url=gateway.url, timeout=30)

    def ask(self, model: str, **fields: Any) -> httpx.Response:
        self.written.truncate(0)
        name = model if model not in ACCOUNTS else f"{model}/{ACCOUNTS[model][0]}"
        return self.client.post(CHAT, json={"model": name, "messages": MESSAGES, **fields})

    def lines(self, event: str) -> list[dict[str, Any]]:
        said = (json.loads(line) for line in self.written.getvalue().replace("\0", "").splitlines() if line.strip())
        return [line for line in said if line["event"] == event]

    def counted(self) -> Counter[Any]:
        return Page(self.gateway.page()).by("skein_dropped_fields_total", "provider")

    def shown(self, answer: httpx.Response) -> list[list[str]]:
        """By the live view, attempt by attempt."""
        told = self.client.get(f"/admin/requests/{answer.headers['x-request-id']}").json()
        return [attempt["dropped"] for attempt in told["attempts"]]


@contextmanager
def standing(**more: Any) -> Iterator[Stand]:
    with ExitStack() as stack:
        vendors = {name: stack.enter_context(replaying()) for name in ACCOUNTS}
        config = {
            "providers": {name: account(name, vendor.url) for name, vendor in vendors.items()},
            "models": {"m": {"targets": [f"{name}/{ACCOUNTS[name][0]}" for name in ("anthropic", "openai")]}},
            "resilience": {**QUICK, "retries": 0},
            **more,
        }
        written = io.StringIO()
        logging = Logging(level="debug", out=written)
        made = Stand(stack.enter_context(running_gateway(json.dumps(config), logging=logging)), vendors, written)
        stack.enter_context(made.client)
        yield made


@pytest.fixture(scope="module")
def stand(lane: bool) -> Iterator[Stand]:
    with standing() as made:
        yield made


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "high"}}
ODD: dict[str, Any] = {
    "messages": [
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "hi"}, PICTURE]},
        {"role": "assistant", "content": "Hm.", "reasoning_content": "Thought by nobody we know."},
        {"role": "user", "content": "go on"},
    ],
    "n": 2,
    "seed": 7,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "top_logprobs": 2,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "user": "u-1",
    "metadata": {"a": "b"},
    "store": True,
    "verbosity": "low",
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "nonsense": {"x": 1},
}
NAME, DETAIL, THOUGHT = "messages[0].name", "messages[0].content[1].image_url.detail", "messages[1].reasoning_content"
OPENAIS_OWN = "logit_bias store verbosity"
CONVERSED = f"{NAME} {OPENAIS_OWN} prompt_cache_key nonsense"
SAMPLING = "seed frequency_penalty presence_penalty n logprobs top_logprobs"
DROPPED: dict[str, str] = {
    "anthropic": f"{CONVERSED} {DETAIL} {THOUGHT} metadata service_tier {SAMPLING}",
    "gemini": f"{CONVERSED} {DETAIL} {THOUGHT} user metadata",
    "bedrock": f"{CONVERSED} {DETAIL} {THOUGHT} user {SAMPLING}",
    "cohere": f"{CONVERSED} {THOUGHT} user metadata service_tier n top_logprobs",
    # A model of its own kind is told what was thought, whoever thought it: nothing is signed there.
    "ollama": f"{CONVERSED} {DETAIL} user metadata service_tier n",
    # Its own dialect: what it knows is for it to say.
    "openai": THOUGHT,
    "mistral": f"{OPENAIS_OWN} user {THOUGHT}",
}
STREAMED = {"gemini": " logprobs top_logprobs", "cohere": " logprobs", "ollama": " logprobs top_logprobs"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", ACCOUNTS)
def test_what_could_not_be_said(stand: Stand, name: str, stream: bool) -> None:
    """By the client's names, in every place where one may look for it."""
    family, before = FAMILIES[name], stand.counted()[name]
    stand.vendors[name].reply = family.reply(Said(text="Well."), stream)
    answer = stand.ask(name, **ODD, stream=stream)
    assert answer.status_code == 200, answer.text
    dropped = list(stand.gateway.of(events.RequestReduced)[-1].dropped)
    assert sorted(dropped) == sorted((DROPPED[name] + STREAMED.get(name, "") * stream).split())
    assert answer.headers["x-skein-dropped"] == ", ".join(dropped)
    assert stand.shown(answer) == [dropped]
    assert stand.counted()[name] == before + len(dropped)
    eventually(lambda: stand.lines("request.finished"))
    for line in (*stand.lines("request.finished"), *stand.lines("attempt.finished")):
        assert line["dropped"] == dropped
    if name != "mistral":  # to which fields that nobody knows are passed on, as to all that speak OpenAI's dialect
        validity.check(family.dialect, stand.vendors[name].heard[-1].json)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", ACCOUNTS)
def test_nothing_is_said_where_nothing_was_lost(stand: Stand, name: str, stream: bool) -> None:
    family, before = FAMILIES[name], (stand.counted(), len(stand.gateway.of(events.RequestReduced)))
    stand.vendors[name].reply = family.reply(Said(text="Well."), stream)
    answer = stand.ask(name, stream=stream, max_tokens=50, temperature=0.5, stop=["END"])
    assert answer.status_code == 200, answer.text
    assert "x-skein-dropped" not in answer.headers
    assert stand.shown(answer) == [[]]
    assert (stand.counted(), len(stand.gateway.of(events.RequestReduced))) == before
    eventually(lambda: stand.lines("request.finished"))
    assert all("dropped" not in line for line in stand.lines("request.finished"))


def test_what_another_could_not_be_told_is_not_said_of_the_one_that_answers(stand: Stand) -> None:
    """The first fails; the second is told all of it."""
    stand.vendors["anthropic"].reply = FAMILIES["anthropic"].refusals["overloaded"]
    stand.vendors["openai"].reply = FAMILIES["openai"].reply(Said(text="Well."), stream=False)
    answer = stand.ask("m", seed=7)
    assert answer.headers["x-skein-provider"] == "openai"
    assert "x-skein-dropped" not in answer.headers
    assert stand.shown(answer) == [["seed"], []]
    eventually(lambda: stand.lines("request.finished"))
    (line,) = stand.lines("request.finished")
    assert "dropped" not in line
    assert stand.vendors["openai"].heard[-1].json["seed"] == 7


# --- what is counted

REQUESTS, CHANCE = 200, 20_261
COUNTED = ("anthropic", "gemini", "bedrock", "cohere", "mistral")
PRICES = {"input": 3.0, "output": 15.0, "cached": 0.3}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("shell", "edit")
]


class Asked:
    """A request, and what the vendor will say to it."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.number, self.name, self.stream = number, COUNTED[number % len(COUNTED)], chance.random() < 0.5
        prompt, completion = chance.randrange(50, 5000), chance.randrange(20, 900)
        calls = [
            Call(f"id{number:05}{place:02}", chance.choice(("shell", "edit")), {"at": place})
            for place in range(chance.choice((0, 0, 1, 3)))
        ]
        self.said = Said(
            text="" if calls else f"Answer {number}.",
            calls=tuple(calls),
            prompt=prompt,
            completion=completion,
            cached=chance.randrange(prompt) if chance.random() < 0.5 else 0,
            reasoning=chance.randrange(completion) if chance.random() < 0.5 else 0,
        )
        self.refused = chance.random() < 0.1

    @property
    def tokens(self) -> Counter[str]:
        """By kinds that do not overlap."""
        tells, said = FAMILIES[self.name].tells, self.said
        reasoning = said.reasoning if "reasoning" in tells else 0
        return Counter(
            input_uncached=said.prompt - said.cached,
            cache_read=said.cached,
            output=said.completion - reasoning,
            reasoning=reasoning,
        )

    @property
    def cost(self) -> float:
        said = self.said
        paid = (said.prompt - said.cached) * PRICES["input"] + said.cached * PRICES["cached"]
        return (paid + said.completion * PRICES["output"]) / 1e6


def reply_to(heard: Heard, name: str, asked: list[Asked]) -> Reply:
    number = next(number for number in range(len(asked)) if f"#{number}#" in heard.body.decode())
    one = asked[number]
    assert one.name == name
    family = FAMILIES[name]
    return family.refusals["overloaded"] if one.refused else family.reply(one.said, one.stream, piece=200)


def test_what_is_told_is_what_the_vendors_counted() -> None:
    chance = random.Random(CHANCE)
    asked = [Asked(number, chance) for number in range(REQUESTS)]
    with standing(observe={"prices": {model: PRICES for model, _ in ACCOUNTS.values()}}) as stand:
        for name, vendor in stand.vendors.items():
            vendor.answers = lambda heard, name=name: reply_to(heard, name, asked)

        def ask(one: Asked) -> httpx.Response:
            fields = {"tools": TOOLS} if one.said.calls else {}
            options = {"stream_options": {"include_usage": True}} if one.stream else {}
            said = [{"role": "user", "content": f"#{one.number}#"}]
            return stand.ask(one.name, messages=said, stream=one.stream, **fields, **options)

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask, asked))
        eventually(lambda: len(stand.gateway.of(events.ExchangeFinished)) == REQUESTS)
        page = Page(stand.gateway.page())
        answered = [one for one in asked if not one.refused]
        assert [answer.status_code == 200 for answer in answers] == [not one.refused for one in asked]
        assert Counter(event.target.provider for event in stand.gateway.of(events.AttemptSucceeded)) == Counter(
            one.name for one in answered
        )
        tokens, costs, calls = Counter[Any](), Counter[str](), Counter[Any]()
        for one in answered:
            tokens.update({(one.name, kind): count for kind, count in one.tokens.items() if count})
            costs[one.name] += one.cost  # type: ignore[assignment]
            calls.update((one.name, call.name) for call in one.said.calls)
        assert page.by("skein_tokens_total", "provider", "type") == tokens
        assert page.by("skein_cost_usd_total", "provider") == pytest.approx(costs)
        assert (
            Counter(
                (event.target.provider, call.tool)
                for event in stand.gateway.of(events.AttemptSucceeded)
                for call in event.heard.calls
            )
            == calls
        )
        assert page.by("skein_usage_missing_total", "provider") == {}
        # And so is what each client was told.
        for one, answer in zip(asked, answers, strict=True):
            if not one.refused:
                assert usage_in(answer) == (one.said.prompt, one.said.completion, pytest.approx(one.cost))


def usage_in(answer: httpx.Response) -> tuple[int, int, float]:
    if answer.headers["content-type"].startswith("text/event-stream"):
        lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
        usage = next(filter(None, (json.loads(line).get("usage") for line in reversed(lines))))
    else:
        usage = answer.json()["usage"]
    return usage["prompt_tokens"], usage["completion_tokens"], usage["cost"]
