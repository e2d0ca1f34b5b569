"""What goes wrong, as official SDKs raise it: the right class, with status, kind and message; never a quiet end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import anthropic
import httpx  # noqa: F401  (SDKs trip over one that the gateway is importing just then, in a thread of its own)
import ollama
import openai
import pytest
from google.genai import errors as google

from gateway import events
from tests.end_to_end.clients import CLIENTS, expected
from tests.end_to_end.native import ACCOUNTS, FAMILIES, OPENAI, Family, Said
from tests.end_to_end.native_responses import RESPONSES, at_path
from tests.end_to_end.refusals import WAIT
from tests.end_to_end.replaying import Heard, Replaying, Reply, replaying
from tests.end_to_end.setting import QUICK, eventually, merged
from tests.running import RunningGateway, running_gateway

SAID = Said(text="Hello from the vendor, who has much to say.", cached=0, reasoning=0)
OURS = "sk-of-a-caller"
MODELS = {**ACCOUNTS, "responses": ("gpt-5", {"vendor": "openai", "dialect": "openai_responses"})}
VENDORS: dict[str, Family] = {**{name: FAMILIES[name] for name in ACCOUNTS}, "responses": RESPONSES}


class Raised(NamedTuple):
    """An SDK's exception, in one shape for all. ``word``: the kind of error in the dialect's own words."""

    kind: type[BaseException]
    status: int | None
    message: str
    word: str | None
    headers: Any


def raised(error: BaseException) -> Raised:
    match error:
        case openai.APIStatusError():
            return Raised(type(error), error.status_code, error.message, error.code, error.response.headers)
        case openai.APIError():
            return Raised(type(error), None, error.message, error.code, {})
        case anthropic.APIStatusError():
            said = error.body["error"] if isinstance(error.body, dict) else {}
            return Raised(type(error), error.status_code, str(said), said.get("type"), error.response.headers)
        case google.APIError():
            headers = getattr(error.response, "headers", {})
            return Raised(type(error), error.code, error.message or "", error.status, headers)
        case ollama.ResponseError():
            return Raised(type(error), error.status_code, error.error, None, {})
    raise error


class Classes(NamedTuple):
    """By status; ``words`` are those of the dialect. ``broken``: in the middle of a stream."""

    by_status: dict[int, type[BaseException]]
    words: dict[str, str | None]
    broken: type[BaseException]


_OPENAI = Classes(
    {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        404: openai.NotFoundError,
        413: openai.APIStatusError,
        429: openai.RateLimitError,
        502: openai.InternalServerError,
        503: openai.InternalServerError,
    },
    {"context": "context_length_exceeded", "filter": "content_filter", "model": "model_not_found"},
    openai.APIError,
)
_ANTHROPIC = Classes(
    {
        400: anthropic.BadRequestError,
        401: anthropic.AuthenticationError,
        404: anthropic.NotFoundError,
        413: anthropic.RequestTooLargeError,
        429: anthropic.RateLimitError,
        502: anthropic.InternalServerError,
        503: anthropic.ServiceUnavailableError,
    },
    {"context": "invalid_request_error", "rate": "rate_limit_error", "overloaded": "overloaded_error"},
    anthropic.APIStatusError,
)
_GOOGLE = Classes(
    {
        **dict.fromkeys((400, 401, 404, 413, 429), google.ClientError),
        **dict.fromkeys((502, 503), google.ServerError),
    },
    {"context": "INVALID_ARGUMENT", "rate": "RESOURCE_EXHAUSTED", "overloaded": "UNAVAILABLE"},
    google.APIError,
)
_OLLAMA = Classes(dict.fromkeys((400, 401, 404, 413, 429, 502, 503), ollama.ResponseError), {}, ollama.ResponseError)
CLASSES = {
    "openai_chat": _OPENAI,
    "openai_responses": _OPENAI,
    "openai_completions": _OPENAI,
    "anthropic": _ANTHROPIC,
    "google": _GOOGLE,
    "ollama": _OLLAMA,
}
# Kind of refusal -> what a client is told of it; None: the vendor's own.
STATUSES = {"overloaded": 503, "rate": 429, "context": 400, "filter": 400, "key": 502, "model": None}
SAYS_WHEN = ("anthropic", "gemini", "cohere", "openai")
REFUSED = [(vendor, kind) for vendor, family in VENDORS.items() for kind in family.refusals]
BREAKING = [vendor for vendor, family in VENDORS.items() if family.failed]


class Stand:
    """Models are named as vendors are; ``after-NAME`` has a target before it that is down."""

    def __init__(self, gateway: RunningGateway, vendor: Replaying) -> None:
        self.gateway, self.vendor = gateway, vendor
        self.sdks = {name: client.made(gateway.url, OURS) for name, client in CLIENTS.items()}

    def ask(self, client: str, model: str, *, stream: bool, text: str = "Hello?") -> Any:
        return CLIENTS[client].talk(self.sdks[client], model).say(text, stream=stream)

    def fails(self, client: str, model: str, *, stream: bool, text: str = "Hello?") -> Raised:
        self.gateway.events.clear()
        with pytest.raises(Exception) as found:  # noqa: PT011  (of what kind is asked of every row)
            self.ask(client, model, stream=stream, text=text)
        assert "Xq7vR2mB9" not in repr(found.value)
        return raised(found.value)


@pytest.fixture(scope="module")
def stand(lane: bool) -> Iterator[Stand]:
    with ExitStack() as stack:
        vendor, down = stack.enter_context(replaying()), stack.enter_context(replaying())
        down.reply = Reply(status=503, body=b'{"error": {"message": "down for a while"}}')
        settings = {
            name: {"base_url": vendor.url, "api_key": f"sk-{name}-Xq7vR2mB9", **more}
            for name, (_, more) in MODELS.items()
        }
        targets = {name: f"{name}/{model}" for name, (model, _) in MODELS.items()}
        first = {name: "down-2/x" if name == "openai" else "down/x" for name in targets}
        config = {
            "server": {"max_body": "64KiB"},
            "access": {"mode": "keys", "keys": [{"name": "ci", "key": OURS}]},
            "providers": {
                **settings,
                "down": {"vendor": "openai_compatible", "base_url": down.url, "api_key": "sk-down-Xq7vR2mB9"},
                "down-2": {"vendor": "anthropic", "base_url": down.url, "api_key": "sk-down-Xq7vR2mB9"},
            },
            "models": {
                **{name: {"targets": [target]} for name, target in targets.items()},
                **{f"after-{name}": {"targets": [first[name], target]} for name, target in targets.items()},
            },
            "resilience": merged(QUICK, {"retries": 0}),
        }

        def listen(event: events.Event) -> None:
            # What the vendor has said last comes once the client has seen what came before.
            if isinstance(event, events.OutputStarted):
                vendor.go.set()

        yield Stand(stack.enter_context(running_gateway(json.dumps(config), listen=listen)), vendor)


STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
EVERY = pytest.mark.parametrize("client", CLIENTS)


@STREAM
@pytest.mark.parametrize(("vendor", "kind"), REFUSED, ids=[f"{vendor}-{kind}" for vendor, kind in REFUSED])
@EVERY
def test_a_refusal(stand: Stand, client: str, vendor: str, kind: str, stream: bool) -> None:
    refusal = VENDORS[vendor].refusals[kind]
    stand.vendor.answers = lambda heard: refusal
    told, classes = stand.fails(client, vendor, stream=stream), CLASSES[client]
    assert told.status == (STATUSES[kind] or refusal.status)
    assert told.kind is classes.by_status[told.status or 0]
    assert classes.words.get(kind) in (None, told.word)
    if kind != "key":
        said = json.loads(refusal.body)
        own = said.get("message") or said.get("error")
        assert (own if isinstance(own, str) else own["message"]) in told.message
    if client != "ollama" and kind == "rate" and vendor in SAYS_WHEN:
        assert told.headers["retry-after"] == str(WAIT)


@pytest.mark.parametrize("vendor", BREAKING)
@EVERY
def test_an_error_first(stand: Stand, client: str, vendor: str) -> None:
    """Nothing was said yet: it is a refusal like any other."""
    stand.vendor.answers = lambda heard: failing(vendor, heard)
    told = stand.fails(client, vendor, stream=True)
    assert (told.kind, told.status) == (CLASSES[client].by_status[503], 503)
    assert "overloaded" in told.message.lower() or vendor == "mistral"


def failing(vendor: str, heard: Heard, **more: Any) -> Reply:
    family = at_path(VENDORS[vendor], heard.path)
    return family.streamed([family.failed or OPENAI.failed], **more)


@pytest.mark.parametrize("how", ["told", "cut"])
@pytest.mark.parametrize("vendor", BREAKING)
@EVERY
def test_an_error_in_the_middle(stand: Stand, client: str, vendor: str, how: str) -> None:
    """Once something was said: 1. The vendor says so. 2. It just ends."""

    def answer(heard: Heard) -> Reply:
        family = at_path(VENDORS[vendor], heard.path)
        begun = family.events(SAID)[:6]
        if how == "cut":
            return family.streamed(begun)
        return family.streamed(begun, rest=failing(vendor, heard).body)

    stand.vendor.answers = answer
    stand.vendor.go.clear()
    told = stand.fails(client, vendor, stream=True)
    assert issubclass(told.kind, CLASSES[client].broken)
    assert told.message
    eventually(lambda: stand.gateway.of(events.ExchangeFinished))
    (finished,) = stand.gateway.of(events.ExchangeFinished)
    assert finished.outcome == "broken"


@STREAM
@EVERY
def test_what_the_gateway_refuses_itself(stand: Stand, client: str, stream: bool) -> None:
    by_status = CLASSES[client].by_status
    unknown = stand.fails(client, "no-such-model", stream=stream)
    assert (unknown.kind, unknown.status) == (by_status[404], 404)
    assert "no-such-model" in unknown.message
    large = stand.fails(client, "openai", stream=stream, text="x" * 70_000)
    assert (large.kind, large.status) == (by_status[413], 413)
    stranger = CLIENTS[client].made(stand.gateway.url, "sk-nobody")
    with pytest.raises(Exception) as found:  # noqa: PT011
        CLIENTS[client].talk(stranger, "openai").say("Hello?", stream=stream)
    refused = raised(found.value)
    assert (refused.kind, refused.status) == (by_status[401], 401)


@STREAM
@pytest.mark.parametrize("vendor", VENDORS)
@EVERY
def test_another_dialect_goes_on(stand: Stand, client: str, vendor: str, stream: bool) -> None:
    stand.vendor.answers = lambda heard: at_path(VENDORS[vendor], heard.path).reply(SAID, stream, piece=11)
    stand.gateway.events.clear()
    told = stand.ask(client, f"after-{vendor}", stream=stream)
    assert told == expected(CLIENTS[client], VENDORS[vendor], SAID)
    eventually(lambda: stand.gateway.of(events.ExchangeFinished))
    (finished,) = stand.gateway.of(events.ExchangeFinished)
    assert (finished.attempts, finished.target.provider) == (2, vendor)
