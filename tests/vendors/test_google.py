"""Where Google's two APIs live, and that its own SDKs call them alike: same path, key and meaning of the body."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import anthropic
import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from gateway.abilities import abilities
from gateway.chat import (
    Blob,
    ChatRequest,
    Message,
    Output,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolCallResponse,
    ToolChoice,
)
from gateway.dialects import gemini
from gateway.vendors import VENDORS, Account, Routes, Vendor, routes

GOOGLE, VERTEX = VENDORS["google"], VENDORS["vertex"]
HOST = "https://generativelanguage.googleapis.com"
LOCAL = "http://127.0.0.1:9999"


def located(vendor: Vendor, **account: Any) -> Routes:
    return routes(vendor, Account(**account))


# Gemini API: account -> where a chat goes
PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing said": ({}, f"{HOST}/v1beta/models/m:generateContent"),
    "a version": ({"api_version": "v1"}, f"{HOST}/v1/models/m:generateContent"),
    "a version in the URL": ({"base_url": f"{HOST}/v1"}, f"{HOST}/v1/models/m:generateContent"),
    "both": ({"base_url": f"{HOST}/v1", "api_version": "v1alpha"}, f"{HOST}/v1/models/m:generateContent"),
    "another host": ({"base_url": LOCAL}, f"{LOCAL}/v1beta/models/m:generateContent"),
    "a prefix": ({"base_url": f"{LOCAL}/gemini/"}, f"{LOCAL}/gemini/v1beta/models/m:generateContent"),
    "doubled": ({"base_url": f"{HOST}/v1beta/v1beta"}, f"{HOST}/v1beta/models/m:generateContent"),
    "OpenAI's base": ({"base_url": f"{HOST}/v1beta/openai/"}, f"{HOST}/v1beta/models/m:generateContent"),
    "OpenAI's endpoint": (
        {"base_url": f"{HOST}/v1beta/openai/chat/completions"},
        f"{HOST}/v1beta/models/m:generateContent",
    ),
    "an endpoint": (
        {"base_url": f"{HOST}/v1beta/models/gemini-2.5-pro:generateContent"},
        f"{HOST}/v1beta/models/m:generateContent",
    ),
    "a query": ({"base_url": f"{LOCAL}?key=k"}, f"{LOCAL}/v1beta/models/m:generateContent?key=k"),
}


@pytest.mark.parametrize(("account", "url"), PLACES.values(), ids=PLACES)
def test_where_the_gemini_api_is(account: dict[str, Any], url: str):
    found = located(GOOGLE, **account)
    assert found.url("chat", "m") == url
    assert located(GOOGLE, base_url=found.base).urls == found.urls


def test_streams_listings_and_embeddings_have_urls_of_their_own():
    found = located(GOOGLE, base_url=f"{LOCAL}?a=b")
    assert found.url("chat_stream", "m") == f"{LOCAL}/v1beta/models/m:streamGenerateContent?alt=sse&a=b"
    assert found.url("models") == f"{LOCAL}/v1beta/models?pageSize=1000&a=b"
    embeddings, several, one = GOOGLE.faces
    assert (embeddings.auth, embeddings.embeds) == ("bearer", "openai_embeddings")
    for version in (None, "v1"):
        found = located(embeddings, api_version=version)
        assert found.urls == {"embeddings": f"{HOST}/v1beta/openai/embeddings"}
    assert located(several).url("embeddings", "m") == f"{HOST}/v1beta/models/m:batchEmbedContents"
    assert located(one, api_version="v1").url("embeddings", "m") == f"{HOST}/v1/models/m:embedContent"


NAMES = {
    "gemini-2.5-pro": "models/gemini-2.5-pro",
    "models/gemini-2.5-pro": "models/gemini-2.5-pro",
    "google/gemini-2.5-pro": "models/gemini-2.5-pro",
    "tunedModels/mine-1": "tunedModels/mine-1",
    "tunedModels/../x": "tunedModels/%2E%2E/x",
    "../x": "models/..%2Fx",
}


@pytest.mark.parametrize("name", NAMES)
def test_models_of_the_gemini_api(name: str):
    assert located(GOOGLE).url("chat", name) == f"{HOST}/v1beta/{NAMES[name]}:generateContent"


def test_a_deployment_is_what_the_model_is_called_there():
    found = located(GOOGLE, deployments={"mine": "tunedModels/mine-1"})
    assert found.url("chat", "mine") == f"{HOST}/v1beta/tunedModels/mine-1:generateContent"


def test_another_vendors_version_is_none_of_googles():
    for vendor in (GOOGLE, VERTEX):
        assert located(vendor, api_version="2024-10-21").urls == located(vendor).urls
    with pytest.raises(ValueError, match="api_version"):
        located(GOOGLE, api_version="v1/../x")


# Vertex: account, model -> face, where a chat goes, where its stream goes
AIP = "aiplatform.googleapis.com"
PROJECT = "projects/p/locations/global"
MODELS: dict[str, tuple[dict[str, Any], str, str, str, str]] = {
    "Gemini": (
        {"project": "p"},
        "gemini-2.5-pro",
        "gemini",
        f"https://{AIP}/v1beta1/{PROJECT}/publishers/google/models/gemini-2.5-pro:generateContent",
        f"https://{AIP}/v1beta1/{PROJECT}/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    ),
    "with its publisher": (
        {"project": "p"},
        "google/gemini-2.5-pro",
        "gemini",
        f"https://{AIP}/v1beta1/{PROJECT}/publishers/google/models/gemini-2.5-pro:generateContent",
        f"https://{AIP}/v1beta1/{PROJECT}/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    ),
    "tuned": (
        {"project": "p", "region": "us-central1"},
        "endpoints/22",
        "gemini",
        f"https://us-central1-{AIP}/v1beta1/projects/p/locations/us-central1/endpoints/22:generateContent",
        f"https://us-central1-{AIP}/v1beta1/projects/p/locations/us-central1/endpoints/22:streamGenerateContent?alt=sse",
    ),
    "a whole resource": (
        {"project": "p"},
        "projects/1/locations/us/endpoints/22",
        "gemini",
        f"https://{AIP}/v1beta1/projects/1/locations/us/endpoints/22:generateContent",
        f"https://{AIP}/v1beta1/projects/1/locations/us/endpoints/22:streamGenerateContent?alt=sse",
    ),
    "Claude": (
        {"project": "p", "region": "us-east5"},
        "claude-sonnet-4-5@20250929",
        "anthropic_messages",
        f"https://us-east5-{AIP}/v1/projects/p/locations/us-east5/publishers/anthropic/models/"
        "claude-sonnet-4-5@20250929:rawPredict",
        f"https://us-east5-{AIP}/v1/projects/p/locations/us-east5/publishers/anthropic/models/"
        "claude-sonnet-4-5@20250929:streamRawPredict",
    ),
    "Claude of a continent": (
        {"project": "p", "region": "eu"},
        "anthropic/claude-opus-5",
        "anthropic_messages",
        "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic/models/"
        "claude-opus-5:rawPredict",
        "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic/models/"
        "claude-opus-5:streamRawPredict",
    ),
    "Mistral": (
        {"project": "p"},
        "mistralai/mistral-medium-3",
        "openai_chat",
        f"https://{AIP}/v1/{PROJECT}/publishers/mistralai/models/mistral-medium-3:rawPredict",
        f"https://{AIP}/v1/{PROJECT}/publishers/mistralai/models/mistral-medium-3:streamRawPredict",
    ),
    "open models": (
        {"project": "p"},
        "meta/llama-4-scout-17b-16e-instruct-maas",
        "openai_chat",
        f"https://{AIP}/v1/{PROJECT}/endpoints/openapi/chat/completions",
        f"https://{AIP}/v1/{PROJECT}/endpoints/openapi/chat/completions",
    ),
    "express mode": (
        {},
        "gemini-2.5-pro",
        "gemini",
        f"https://{AIP}/v1beta1/publishers/google/models/gemini-2.5-pro:generateContent",
        f"https://{AIP}/v1beta1/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    ),
    "another host": (
        {"project": "p", "base_url": f"{LOCAL}/x", "api_version": "v1"},
        "gemini-2.5-pro",
        "gemini",
        f"{LOCAL}/x/v1/{PROJECT}/publishers/google/models/gemini-2.5-pro:generateContent",
        f"{LOCAL}/x/v1/{PROJECT}/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    ),
    "a pasted endpoint": (
        {
            "project": "q",
            "base_url": f"https://europe-west1-{AIP}/v1/projects/p/locations/europe-west1"
            "/publishers/google/models/gemini-2.0-flash:generateContent",
        },
        "gemini-2.5-pro",
        "gemini",
        f"https://europe-west1-{AIP}/v1/projects/p/locations/europe-west1"
        "/publishers/google/models/gemini-2.5-pro:generateContent",
        f"https://europe-west1-{AIP}/v1/projects/p/locations/europe-west1"
        "/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    ),
}


def faces_for(model: str) -> list[Vendor]:
    return [face for face in (VERTEX, *VERTEX.faces) if face.has(model)]


@pytest.mark.parametrize(("account", "model", "dialect", "whole", "stream"), MODELS.values(), ids=MODELS)
def test_where_vertex_serves_a_model(account: dict[str, Any], model: str, dialect: str, whole: str, stream: str):
    (face,) = faces_for(model)
    found = located(face, **account)
    assert face.dialect == dialect
    assert found.url("chat", model) == whole
    assert found.url("chat_stream" if "chat_stream" in found.urls else "chat", model) == stream


def test_the_listing_needs_no_project():
    assert located(VERTEX, project="p").url("models") == f"https://{AIP}/v1beta1/publishers/google/models?pageSize=200"


def test_only_gemini_is_to_be_had_without_a_project():
    found = {face.dialect: bool(located(face).urls) for face in (VERTEX, *VERTEX.faces)}
    assert found == {"gemini": True, "anthropic_messages": False, "openai_chat": False}


@pytest.mark.parametrize(
    ("model", "call"),
    [
        ("text-embedding-005", "predict"),
        ("google/text-multilingual-embedding-002", "predict"),
        ("gemini-embedding-001", "batchEmbedContents"),
    ],
)
def test_vertex_embeds_by_the_call_of_each_kind_of_model(model: str, call: str):
    (face,) = (face for face in faces_for(model) if "embeddings" in face.paths)
    where = f"https://{AIP}/v1beta1/projects/p/locations/global/publishers/google/models"
    assert located(face, project="p").url("embeddings", model) == f"{where}/{model.removeprefix('google/')}:{call}"


def test_a_base_given_back_leads_to_the_same_place():
    for account in ({}, {"region": "us-east5"}, {"base_url": f"{LOCAL}/x/v1?a=b"}, {"api_version": "v1"}):
        found = located(VERTEX, project="p", **account)
        again = located(VERTEX, project="p", region=account.get("region"), base_url=found.base)
        assert again.urls == found.urls


def test_a_location_that_is_none():
    with pytest.raises(ValueError, match="location"):
        located(VERTEX, project="p", region="us/../x")


def test_claude_has_its_version_in_the_body_and_its_model_in_the_path():
    (face,) = faces_for("claude-opus-5")
    assert face.adapt is not None
    made = face.adapt({"model": "claude-opus-5", "messages": [], "stream": True}, "claude-opus-5")
    assert made.body == {"anthropic_version": "vertex-2023-10-16", "messages": [], "stream": True}


def test_mistral_is_told_the_bare_name():
    (face,) = faces_for("mistralai/mistral-medium-3")
    assert face.adapt is not None
    body = {"model": "mistralai/mistral-medium-3", "messages": [{"role": "user", "content": "a"}]}
    assert face.adapt(body, "x").body["model"] == "mistral-medium-3"


# As Google's own SDK does ---------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    path: str
    key: str | None
    token: str | None
    body: Any


ANSWER = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}


class Recorder(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Listener)
        self.seen: list[Seen] = []
        self.base = f"http://127.0.0.1:{self.server_port}"


class Listener(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key, token = self.headers.get("x-goog-api-key"), self.headers.get("authorization")
        self.server.seen.append(Seen(self.path, key, token, body))
        answer = json.dumps(ANSWER).encode()
        if "stream" in self.path:
            answer = b"data: " + answer + b"\n\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        """Not on the screen."""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name="weather", description="of a city", parameters_json_schema=SCHEMA)
    ]
)


def theirs(role: str, *parts: types.Part) -> types.Content:
    return types.Content(role=role, parts=list(parts))


def their_call(call_id: str, city: str, signature: bytes | None = None) -> types.Part:
    call = types.FunctionCall(id=call_id, name="weather", args={"city": city})
    return types.Part(function_call=call, thought_signature=signature)


def their_result(call_id: str, output: str) -> types.Part:
    return types.Part(function_response=types.FunctionResponse(id=call_id, name="weather", response={"output": output}))


def ours(call_id: str, city: str, signature: str | None = None) -> ToolCall:
    return ToolCall(call_id, "weather", json.dumps({"city": city}), signature)


def our_result(call_id: str, output: str) -> Message:
    return Message("tool", (ToolCallResponse(call_id, "weather", (Text(output),)),))


HELLO = Message("user", (Text("hello"),))
CALLED = types.ToolConfig(
    function_calling_config=types.FunctionCallingConfig(
        mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"]
    )
)
# What is asked of the SDK, and of us.
ALIKE: dict[str, tuple[Any, types.GenerateContentConfig, ChatRequest]] = {
    "plain": ("hello", types.GenerateContentConfig(), ChatRequest(model="gemini-2.5-flash", messages=(HELLO,))),
    "settings": (
        "hello",
        types.GenerateContentConfig(
            system_instruction="brief",
            temperature=0.5,
            top_p=0.9,
            max_output_tokens=10,
            stop_sequences=["x"],
            seed=3,
            candidate_count=2,
            response_logprobs=True,
            logprobs=2,
        ),
        ChatRequest(
            model="gemini-2.5-flash",
            messages=(Message("system", (Text("brief"),)), HELLO),
            temperature=0.5,
            top_p=0.9,
            max_tokens=10,
            stop=("x",),
            seed=3,
            choices=2,
            logprobs=True,
            top_logprobs=2,
        ),
    ),
    "parallel tools": (
        [
            theirs("user", types.Part(text="hello")),
            theirs("model", their_call("a", "Paris", b"sig"), their_call("b", "Rome")),
            theirs("user", their_result("a", "sun"), their_result("b", "rain")),
        ],
        types.GenerateContentConfig(tools=[WEATHER], tool_config=CALLED),
        ChatRequest(
            model="gemini-3-flash-preview",
            messages=(
                HELLO,
                Message("assistant", (ours("a", "Paris", "c2ln"), ours("b", "Rome"))),
                our_result("b", "rain"),
                our_result("a", "sun"),
            ),
            tools=(Tool("weather", "of a city", SCHEMA),),
            tool_choice=ToolChoice("named", ("weather",)),
        ),
    ),
    "an image": (
        [types.Part.from_bytes(data=b"abc", mime_type="image/png"), "hello"],
        types.GenerateContentConfig(),
        ChatRequest(
            model="gemini-2.5-flash", messages=(Message("user", (Blob("image", "image/png", "YWJj"), Text("hello"))),)
        ),
    ),
    "a schema": (
        "hello",
        types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA),
        ChatRequest(model="gemini-2.5-flash", messages=(HELLO,), output=Output(SCHEMA)),
    ),
    "thinking": (
        "hello",
        types.GenerateContentConfig(
            thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW, include_thoughts=True)
        ),
        ChatRequest(model="gemini-3-flash-preview", messages=(HELLO,), thinking=Thinking("low")),
    ),
}
CLIENTS = {
    # The version is said: the SDK's own choice has changed with its major versions.
    "google": (GOOGLE, {}, {"api_key": "k"}, {"api_version": "v1beta"}),
    "vertex": (
        VERTEX,
        {"project": "p", "region": "us-central1"},
        {"vertexai": True, "project": "p", "location": "us-central1", "credentials": Credentials("token")},
        {},
    ),
    "express": (VERTEX, {}, {"vertexai": True, "api_key": "k"}, {}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("asked", "config", "request_"), ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize(("vendor", "account", "client", "options"), CLIENTS.values(), ids=CLIENTS)
def test_the_sdk_sends_the_same(
    recorder: Recorder,
    vendor: Vendor,
    account: dict[str, Any],
    client: dict[str, Any],
    options: dict[str, Any],
    asked: Any,
    config: types.GenerateContentConfig,
    request_: ChatRequest,
    stream: bool,
):
    sdk = genai.Client(**client, http_options=types.HttpOptions(base_url=recorder.base, **options))
    if stream:
        for _ in sdk.models.generate_content_stream(model=request_.model, contents=asked, config=config):
            pass
    else:
        sdk.models.generate_content(model=request_.model, contents=asked, config=config)
    (seen,) = recorder.seen
    url = located(vendor, base_url=recorder.base, **account).url("chat_stream" if stream else "chat", request_.model)
    assert url == recorder.base + seen.path
    encoded = gemini.encode_request(request_, abilities(request_.model))
    assert encoded.body == camel(seen.body)
    assert encoded.dropped == ()
    assert bool(seen.key) is ("api_key" in client)
    assert vendor.auth == "x-goog-api-key"


def camel(said: Any, within: str = "") -> Any:
    """The SDK mixes spellings, and says who gives the instruction."""
    if isinstance(said, list):
        return [camel(each, within) for each in said]
    if not isinstance(said, dict) or within in ("args", "response", "parametersJsonSchema", "responseJsonSchema"):
        return said
    renamed = {re.sub(r"_([a-z])", lambda found: found[1].upper(), key): value for key, value in said.items()}
    if within == "systemInstruction":
        renamed.pop("role", None)
    return {key: camel(value, key) for key, value in renamed.items() if value != {} or key != "generationConfig"}


def test_anthropics_sdk_calls_the_same_place(recorder: Recorder):
    client = anthropic.AnthropicVertex(
        project_id="p", region="us-east5", access_token="token", base_url=f"{recorder.base}/v1", max_retries=0
    )
    model = "claude-sonnet-4-5@20250929"
    client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "hello"}])
    (face,) = faces_for(model)
    found = located(face, project="p", region="us-east5", base_url=recorder.base)
    assert urlsplit(found.url("chat", model)).path == recorder.seen[0].path
    assert "model" not in recorder.seen[0].body
