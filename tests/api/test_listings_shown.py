"""The models on offer in the shapes that other APIs list them in, as their own SDKs read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx
import httpx2
import ollama
import pytest
from google import genai

from gateway.api import listings_shown as shown
from gateway.api.listings_shown import Price
from gateway.errors import CallerError

META = {"n_ctx": 200_000, "max_output": 64_000, "capabilities": ["tools", "vision", "reasoning", "json_schema"]}
KNOWN = {"id": "coding", "object": "model", "created": 0, "owned_by": "skein", "meta": META}
UNKNOWN = {"id": "local/mine", "object": "model", "created": 1_700_000_000, "owned_by": "local"}
EMBEDS = {"id": "openai/text-embedding-3-small", "object": "model", "created": 0, "owned_by": "openai"}
ALL = [KNOWN, UNKNOWN, EMBEDS]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MANY = [{"id": f"m{at}", "object": "model", "created": 0, "owned_by": "skein"} for at in range(7)]
NAMES = [entry["id"] for entry in MANY]


def number(said: str | None) -> int | None:
    return int(said) if said else None


def of_anthropic(entries: list[dict[str, Any]]) -> anthropic.Anthropic:
    def handle(request: httpx2.Request) -> httpx2.Response:
        asked = request.url.params
        if request.url.path != "/v1/models":
            return httpx2.Response(200, json=shown.anthropic_model(entries[0]))
        page = shown.anthropic(entries, number(asked.get("limit")), asked.get("after_id"), asked.get("before_id"))
        return httpx2.Response(200, json=page)

    transport = httpx2.Client(transport=httpx2.MockTransport(handle))
    return anthropic.Anthropic(api_key="k", base_url="http://gateway", http_client=transport)


def test_anthropics_sdk_reads_the_models():
    known, unknown, _ = of_anthropic(ALL).models.list()
    assert (known.id, known.display_name, known.type, known.created_at) == ("coding", "coding", "model", EPOCH)
    assert (known.max_input_tokens, known.max_tokens, known.lifecycle) == (200_000, 64_000, "active")
    assert (unknown.id, unknown.max_input_tokens, unknown.max_tokens) == ("local/mine", None, None)
    assert unknown.created_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert of_anthropic([KNOWN]).models.retrieve("coding").id == "coding"


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_anthropics_sdk_turns_the_pages(limit: int):
    client = of_anthropic(MANY)
    assert [each.id for each in client.models.list(limit=limit)] == NAMES
    back = client.models.list(limit=limit, before_id="m6")
    assert sorted(each.id for each in back) == NAMES[:-1]


def test_a_page_says_where_it_begins_and_ends():
    page = shown.anthropic(MANY, 2, after_id="m1")
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("m2", "m3", True)
    page = shown.anthropic(MANY, 10, after_id="m5")
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("m6", "m6", False)
    page = shown.anthropic(MANY, 2, before_id="m4")
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("m2", "m3", True)
    page = shown.anthropic(MANY, 7)
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("m0", "m6", False)
    assert shown.anthropic([]) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def of_google(entries: list[dict[str, Any]]) -> genai.Client:
    def handle(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        if not request.url.path.endswith("/models"):
            return httpx.Response(200, json=shown.gemini_model(entries[0]))
        page = shown.gemini(entries, number(asked.get("pageSize")), asked.get("pageToken"))
        return httpx.Response(200, json=page)

    options = genai.types.HttpOptions(base_url="http://gateway", client_args={"transport": httpx.MockTransport(handle)})
    return genai.Client(api_key="k", http_options=options)


def test_googles_sdk_reads_the_models():
    client = of_google(ALL)
    known, unknown, embeds = client.models.list()
    assert (known.name, known.display_name) == ("models/coding", "coding")
    assert (known.input_token_limit, known.output_token_limit) == (200_000, 64_000)
    assert "generateContent" in (known.supported_actions or [])
    assert (unknown.name, unknown.input_token_limit) == ("models/local/mine", None)
    assert (embeds.supported_actions or [])[0] == "embedContent"
    assert client.models.get(model="coding").name == "models/coding"


def test_a_page_of_googles_says_where_the_next_begins():
    page = shown.gemini(MANY, 2, "m1")
    assert ([each["baseModelId"] for each in page["models"]], page["nextPageToken"]) == (["m2", "m3"], "m3")
    assert "nextPageToken" not in shown.gemini(MANY, 7)


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_googles_sdk_turns_the_pages(size: int):
    client = of_google(MANY)
    assert [each.name for each in client.models.list(config={"page_size": size})] == [
        f"models/{name}" for name in NAMES
    ]


def of_ollama(answer: dict[str, Any]) -> ollama.Client:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer))
    return ollama.Client("http://gateway", transport=transport)


def test_ollamas_sdk_reads_the_models():
    known, unknown, _ = of_ollama(shown.ollama_tags(ALL)).list().models
    assert (known.model, known.modified_at, unknown.model) == ("coding", EPOCH, "local/mine")
    # Its own command line shows the first twelve letters.
    assert len(known.digest or "") >= 12
    assert known.digest != unknown.digest
    assert {each["name"] for each in shown.ollama_tags(ALL)["models"]} == {entry["id"] for entry in ALL}


def test_ollamas_sdk_reads_one():
    read = of_ollama(shown.ollama_show(KNOWN)).show("coding")
    assert read.capabilities == ["completion", "tools", "vision", "thinking"]
    assert read.details
    assert read.modelinfo
    assert read.modelinfo[f"{read.modelinfo['general.architecture']}.context_length"] == 200_000
    assert read.modelinfo[f"{read.details.family}.context_length"] == 200_000
    unknown = of_ollama(shown.ollama_show(UNKNOWN)).show("local/mine")
    assert unknown.capabilities == ["completion"]
    assert not [key for key in unknown.modelinfo or () if "context_length" in key]
    assert of_ollama(shown.ollama_show(EMBEDS)).show("x").capabilities == ["embedding"]


def test_clients_of_litellm_find_windows_abilities_and_prices():
    known, unknown, embeds = shown.model_info(ALL, {"coding": Price(1e-6, 5e-6)}.get)["data"]
    assert (known["model_name"], known["litellm_params"]) == ("coding", {"model": "coding"})
    info = known["model_info"]
    assert (info["max_input_tokens"], info["max_output_tokens"], info["max_tokens"]) == (200_000, 64_000, 64_000)
    assert (info["input_cost_per_token"], info["output_cost_per_token"]) == (1e-6, 5e-6)
    assert (info["supports_function_calling"], info["supports_vision"], info["mode"]) == (True, True, "chat")
    assert info["litellm_provider"] == "skein"
    told = {key for key, value in unknown["model_info"].items() if value is not None}
    assert told == {"id", "mode", "litellm_provider"}
    assert embeds["model_info"]["mode"] == "embedding"


@pytest.mark.parametrize(
    ("work", "param"),
    [
        (lambda: shown.anthropic(MANY, after_id="gone"), "after_id"),
        (lambda: shown.anthropic(MANY, before_id="gone"), "before_id"),
        (lambda: shown.anthropic(MANY, 0), "limit"),
        (lambda: shown.gemini(MANY, page_token="gone"), "pageToken"),
        (lambda: shown.gemini(MANY, -1), "pageSize"),
    ],
)
def test_a_page_that_is_none_is_the_callers_mistake(work: Any, param: str):
    with pytest.raises(CallerError) as caught:
        work()
    assert (caught.value.status, caught.value.param) == (400, param)
