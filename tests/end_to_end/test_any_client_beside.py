"""What the official SDKs do beside chatting: count tokens, embed, list models, go on with a response that is kept."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx  # noqa: F401  (SDKs trip over one that the gateway is importing just then, in a thread of its own)
import openai
import pytest

from tests.dialects import validity
from tests.dialects.reading_back import READERS
from tests.end_to_end.clients import CLIENTS, TAKES, told_of_response
from tests.end_to_end.native import ACCOUNTS, FAMILIES, Call, Said, signature
from tests.end_to_end.native_responses import RESPONSES, at_path
from tests.end_to_end.replaying import Heard, Replaying, Reply, replaying
from tests.end_to_end.setting import QUICK
from tests.running import RunningGateway, running_gateway

COUNTED = 1057
VECTORS = [[0.5, -0.25], [1.0, 0.125]]
AWS = {"vendor": "bedrock", "region": "us-east-1"}
VERTEX = {"vendor": "vertex", "project": "p-1", "location": "global", "ad_token": "sk-Xq7vR2mB9"}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    **ACCOUNTS,
    "responses": ("gpt-5", {"vendor": "openai", "dialect": "openai_responses"}),
    "compatible": ("some-model", {"vendor": "openai_compatible"}),
    "azure": ("text-embedding-3-small", {"vendor": "azure_openai"}),
    "vertex": ("text-embedding-005", VERTEX),
}
EMBEDDING = {
    "openai": "text-embedding-3-small",
    "azure": "text-embedding-3-small",
    "compatible": "some-model",
    "gemini": "gemini-embedding-001",
    "vertex": "text-embedding-005",
    "bedrock": "cohere.embed-v4:0",
    "cohere": "embed-v4.0",
    "mistral": "mistral-embed",
    "ollama": "nomic-embed-text",
}


class Stand:
    def __init__(self, gateway: RunningGateway, vendor: Replaying) -> None:
        self.gateway, self.vendor = gateway, vendor
        self.sdks = {name: client.made(gateway.url) for name, client in CLIENTS.items()}

    @property
    def heard(self) -> Heard:
        return self.vendor.heard[-1]


@pytest.fixture(scope="module")
def stand(lane: bool) -> Iterator[Stand]:
    with ExitStack() as stack:
        vendor = stack.enter_context(replaying())
        config = {
            "providers": {
                name: {"base_url": vendor.url, "api_key": "sk-Xq7vR2mB9", **settings}
                if settings is not VERTEX
                else {"base_url": vendor.url, **settings}
                for name, (_, settings) in MODELS.items()
            },
            "models": {"fast": {"targets": ["anthropic/claude-sonnet-4-5"]}},
            "resilience": {**QUICK, "retries": 0},
        }
        yield Stand(stack.enter_context(running_gateway(json.dumps(config))), vendor)


# Counting -------------------------------------------------------------------------------------------------------------

COUNTS: dict[str, dict[str, Any]] = {
    "/messages/count_tokens": {"input_tokens": COUNTED},
    ":countTokens": {"totalTokens": COUNTED},
    "/count-tokens": {"inputTokens": COUNTED},
    "/responses/input_tokens": {"object": "response.input_tokens", "input_tokens": COUNTED},
}
"""What vendors that count answer, by how the path ends."""
COUNTING = ("anthropic", "gemini", "bedrock", "openai", "responses")
TEXT = "How many tokens has this text, at a guess? " * 40


def by_anthropic(sdk: Any, model: str) -> tuple[int, Any]:
    raw = sdk.messages.with_raw_response.count_tokens(model=model, messages=[{"role": "user", "content": TEXT}])
    return raw.parse().input_tokens, raw.headers


def by_openai(sdk: Any, model: str) -> tuple[int, Any]:
    raw = sdk.responses.input_tokens.with_raw_response.count(model=model, input=TEXT)
    return raw.parse().input_tokens, raw.headers


def by_google(sdk: Any, model: str) -> tuple[int, Any]:
    answer = sdk.models.count_tokens(model=model, contents=TEXT)
    return answer.total_tokens, answer.sdk_http_response.headers


@pytest.mark.parametrize("vendor", [name for name in MODELS if name not in ("azure", "vertex")])
@pytest.mark.parametrize(
    ("client", "count"), [("anthropic", by_anthropic), ("openai_responses", by_openai), ("google", by_google)]
)
def test_tokens_are_counted(stand: Stand, client: str, count: Callable[..., tuple[int, Any]], vendor: str) -> None:
    """By the vendor where it counts; otherwise it is said that nobody has."""

    def answer(heard: Heard) -> Reply:
        said = next((said for end, said in COUNTS.items() if heard.path.endswith(end)), None)
        return Reply(body=json.dumps(said).encode()) if said else Reply(status=404, body=b'{"error": "no such path"}')

    stand.vendor.answers = answer
    counted, headers = count(stand.sdks[client], f"{vendor}/{MODELS[vendor][0]}")
    if vendor in COUNTING:
        assert (counted, "x-skein-estimated" in headers) == (COUNTED, False)
        assert TEXT.strip() in stand.heard.body.decode()
    else:
        assert 200 < counted < 1000
        assert "x-skein-estimated" in headers


# Embedding ------------------------------------------------------------------------------------------------------------


def embedded(heard: Heard) -> Reply:
    """The vectors as whoever has that path would tell them."""
    return Reply(
        body=json.dumps(next(said for end, said in EMBEDS.items() if heard.path.endswith(end))(heard)).encode()
    )


def _as_openai(heard: Heard) -> Any:
    packed = heard.json.get("encoding_format") == "base64"
    vectors = [base64.b64encode(struct.pack("<2f", *each)).decode() if packed else each for each in VECTORS]
    rows = [{"object": "embedding", "index": at, "embedding": each} for at, each in enumerate(vectors)]
    return {"object": "list", "data": rows, "model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4}}


EMBEDS: dict[str, Callable[[Heard], Any]] = {
    "/embeddings": _as_openai,
    ":batchEmbedContents": lambda heard: {"embeddings": [{"values": each} for each in VECTORS]},
    ":predict": lambda heard: {
        "predictions": [{"embeddings": {"values": each, "statistics": {"token_count": 2}}} for each in VECTORS]
    },
    "/invoke": lambda heard: {"id": "e", "response_type": "embeddings_by_type", "embeddings": {"float": VECTORS}},
    "/v2/embed": lambda heard: {
        "id": "e",
        "embeddings": {"float": VECTORS},
        "meta": {"billed_units": {"input_tokens": 4}},
    },
    "/api/embed": lambda heard: {"model": "e", "embeddings": VECTORS, "prompt_eval_count": 4},
}
TEXTS = ["one text", "another"]
EMBEDDERS: dict[str, Callable[[Any, str], Any]] = {
    "openai_chat": lambda sdk, model: [each.embedding for each in sdk.embeddings.create(model=model, input=TEXTS).data],
    "google": lambda sdk, model: [
        each.values for each in sdk.models.embed_content(model=model, contents=TEXTS).embeddings
    ],
    "ollama": lambda sdk, model: [[*each] for each in sdk.embed(model, TEXTS).embeddings],
}


@pytest.mark.parametrize("vendor", EMBEDDING)
@pytest.mark.parametrize("client", EMBEDDERS)
def test_texts_are_embedded(stand: Stand, client: str, vendor: str) -> None:
    stand.vendor.answers = embedded
    assert EMBEDDERS[client](stand.sdks[client], f"{vendor}/{EMBEDDING[vendor]}") == VECTORS
    assert all(text in stand.heard.body.decode() for text in TEXTS)


# Listing --------------------------------------------------------------------------------------------------------------

LISTS: dict[str, tuple[Callable[[Any], list[str]], Callable[[Any, str], str]]] = {
    "openai_chat": (
        lambda sdk: [each.id for each in sdk.models.list()],
        lambda sdk, name: str(sdk.models.retrieve(name).id),
    ),
    "anthropic": (
        lambda sdk: [each.id for each in sdk.models.list()],
        lambda sdk, name: str(sdk.models.retrieve(name).id),
    ),
    "google": (
        lambda sdk: [each.name.removeprefix("models/") for each in sdk.models.list()],
        lambda sdk, name: str(sdk.models.get(model=name).name.removeprefix("models/")),
    ),
    "ollama": (
        lambda sdk: [each.model for each in sdk.list().models],
        lambda sdk, name: name if sdk.show(name).capabilities else "",
    ),
}


@pytest.mark.parametrize("client", LISTS)
def test_models_are_listed(stand: Stand, client: str) -> None:
    """Every client finds the same models, and each of them by its name."""
    listed, shown = LISTS[client]
    names = listed(stand.sdks[client])
    assert "fast" in names
    assert names == LISTS["openai_chat"][0](stand.sdks["openai_chat"])
    for name in (*names, "gemini/gemini-3-pro-preview"):
        assert shown(stand.sdks[client], name) == name


# Kept responses -------------------------------------------------------------------------------------------------------

TOOL: Any = {"type": "function", "name": "weather", "parameters": TAKES, "strict": False}
ROUNDS = [("anthropic", "gemini"), ("gemini", "openai"), ("responses", "bedrock"), ("bedrock", "bedrock"),
          ("ollama", "responses"), ("openai", "cohere")]  # fmt: skip


def says(stand: Stand, vendor: str, said: Said, stream: bool) -> None:
    family = RESPONSES if vendor == "responses" else FAMILIES[vendor]
    stand.vendor.answers = lambda heard: at_path(family, heard.path).reply(said, stream, piece=13 if stream else None)


def respond(sdk: Any, vendor: str, said: Any, stream: bool, **more: Any) -> Any:
    asked = {"model": f"{vendor}/{MODELS[vendor][0]}", "input": said, "tools": [TOOL], **more}
    if not stream:
        return sdk.responses.create(**asked)
    with sdk.responses.stream(**asked) as events:
        return events.until_done().get_final_response()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("first", "second"), ROUNDS)
def test_a_response_is_gone_on_with(stand: Stand, first: str, second: str, stream: bool) -> None:
    """By its id alone, whoever answers next; and it can be asked for, and forgotten."""
    sdk = stand.sdks["openai_responses"]
    seal, call = (
        signature(f"by {first}"),
        Call(f"call_{first[:4]}{second[:4]}{stream:d}", "weather", {"city": "Zürich"}),
    )
    says(stand, first, Said(thought="To be asked for.", signature=seal, calls=(call,)), stream)
    asks = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "How is Zürich? ⟦1⟧"}]}
    one = respond(sdk, first, [asks], stream)
    assert told_of_response(one).calls == [(call.name, call.arguments)]
    called = next(item for item in one.output if item.type == "function_call")

    says(stand, second, Said(text="Warm."), stream)
    result = {"type": "function_call_output", "call_id": called.call_id, "output": "21 degrees ⟦2⟧"}
    two = respond(sdk, second, [result], stream, previous_response_id=one.id)
    assert (two.output_text, two.previous_response_id) == ("Warm.", one.id)
    family = at_path(RESPONSES if second == "responses" else FAMILIES[second], stand.heard.path)
    body = stand.heard.json
    assert "previous_response_id" not in body
    dialect = {"gemini_3": "gemini"}.get(family.dialect, family.dialect)
    if dialect != "openai_responses":
        # What the SDK has written itself its vendor takes.
        validity.check(family.dialect, body)
    asked = READERS[dialect](body)
    assert asked.groups[0].lines == ["How is Zürich? ⟦1⟧"]
    assert asked.results[0].lines == ["21 degrees ⟦2⟧"]
    assert (seal in stand.heard.body.decode()) == (first == second)
    assert b"skein:" not in stand.heard.body

    assert told_of_response(sdk.responses.retrieve(one.id)) == told_of_response(one)
    assert [item.type for item in sdk.responses.input_items.list(two.id)] == ["function_call_output"]
    sdk.responses.delete(one.id)
    for gone in (sdk.responses.retrieve, sdk.responses.delete):
        with pytest.raises(openai.NotFoundError):
            gone(one.id)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_response_that_is_not_to_be_kept(stand: Stand, stream: bool) -> None:
    sdk = stand.sdks["openai_responses"]
    says(stand, "anthropic", Said(text="Warm."), stream)
    one = respond(sdk, "anthropic", "How is Zürich?", stream, store=False)
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(one.id)
