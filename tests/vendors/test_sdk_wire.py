"""The vendors' own SDKs as witnesses: what they put on the wire is where our URLs and credentials must go."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
import huggingface_hub
import pytest
from cerebras.cloud.sdk import Cerebras
from fireworks import Fireworks
from groq import Groq
from huggingface_hub.utils._http import default_client_factory
from mistralai.client import Mistral
from openai import AzureOpenAI, OpenAI
from openrouter import OpenRouter
from perplexity import Perplexity
from together import Together

from gateway.vendors import VENDORS, Account, Operation, routes

KEY = "hf_test-key"  # so shaped because one client looks at it
MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
AZURE = "https://r.openai.azure.com"

ANSWERS: dict[str, dict[str, Any]] = {
    "completions": {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "system_fingerprint": None,
        "time_info": {},
    },
    "embeddings": {
        "id": "e-1",
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
    },
    "models": {"object": "list", "data": [], "models": [], "total_count": 0, "links": {"next": None}},
}


@dataclass
class Sent:
    method: str
    url: str
    headers: dict[str, str]


@dataclass
class Recorder:
    """A server on loopback that notes each request, and clients whose every connection ends there.

    The clients keep the hosts and paths that their SDKs give them: only the socket is another.
    """

    port: int = 0
    sent: list[Sent] = field(default_factory=list)

    def httpx(self) -> httpx.Client:
        class Here(httpx.HTTPTransport):
            def handle_request(here, request: httpx.Request) -> httpx.Response:
                request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
                return super().handle_request(request)

        return httpx.Client(transport=Here(), trust_env=False)

    def httpx2(self) -> httpx2.Client:
        class Here(httpx2.HTTPTransport):
            def handle_request(here, request: httpx2.Request) -> httpx2.Response:
                request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
                return super().handle_request(request)

        return httpx2.Client(transport=Here(), trust_env=False)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for row in VENDORS.values():
        for name in (*row.key_env, *row.base_env, *row.host_env):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)  # it makes calls of its own
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            url = f"https://{self.headers['host']}{self.path}"
            recorder.sent.append(Sent(self.command, url, {name.lower(): value for name, value in self.headers.items()}))
            last = urlsplit(self.path).path.rstrip("/").rpartition("/")[2]
            body = json.dumps(ANSWERS.get(last, {})).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    recorder.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield recorder
    server.shutdown()
    server.server_close()
    thread.join()


# --- clients, as their documentation sets them up --------------------------------------------------------------------


def openai(wire: Recorder, base_url: str | None = None) -> OpenAI:
    return OpenAI(api_key=KEY, base_url=base_url, max_retries=0, http_client=wire.httpx2())


def azure(wire: Recorder, endpoint: str = AZURE, **more: Any) -> AzureOpenAI:
    return AzureOpenAI(
        api_key=KEY,
        azure_endpoint=endpoint,
        max_retries=0,
        http_client=wire.httpx2(),
        **{"api_version": "2024-10-21", **more},
    )


def groq(wire: Recorder) -> Groq:
    return Groq(api_key=KEY, max_retries=0, http_client=wire.httpx())


def mistral(wire: Recorder) -> Mistral:
    return Mistral(api_key=KEY, client=wire.httpx2())


def together(wire: Recorder, base_url: str | None = None) -> Together:
    return Together(api_key=KEY, base_url=base_url, max_retries=0, http_client=wire.httpx())


def fireworks(wire: Recorder, base_url: str | None = None) -> Fireworks:
    return Fireworks(api_key=KEY, account_id="acme", base_url=base_url, max_retries=0, http_client=wire.httpx())


def cerebras(wire: Recorder) -> Cerebras:
    return Cerebras(api_key=KEY, max_retries=0, http_client=wire.httpx(), warm_tcp_connection=False)


def perplexity(wire: Recorder) -> Perplexity:
    return Perplexity(api_key=KEY, max_retries=0, http_client=wire.httpx())


def openrouter(wire: Recorder) -> OpenRouter:
    return OpenRouter(api_key=KEY, client=wire.httpx())


def huggingface(wire: Recorder) -> None:
    huggingface_hub.set_client_factory(wire.httpx2)
    try:
        huggingface_hub.InferenceClient(api_key=KEY).chat_completion(MESSAGES, model="m")
    finally:
        huggingface_hub.set_client_factory(default_client_factory)


def chats(client: Any) -> None:
    client.chat.completions.create(model="m", messages=MESSAGES)


def completes(client: Any) -> None:
    client.completions.create(model="m", prompt="hi")


def responds(client: Any) -> None:
    client.responses.create(model="m", input="hi")


def embeds(client: Any) -> None:
    client.embeddings.create(model="m", input="hi", encoding_format="float")


# --- the table -------------------------------------------------------------------------------------------------------

Call = Callable[[Recorder], object]
GATEWAY = "https://gw.example/team/v1"

OPENAI_SHAPED = [row for row in VENDORS.values() if row.dialect == "openai_chat"]

AGREE: list[tuple[str, Account, Operation, Call]] = [
    # vendor, our account, operation, the SDK's call
    ("openai", Account(), "chat", lambda wire: chats(openai(wire))),
    ("openai", Account(), "models", lambda wire: openai(wire).models.list()),
    ("openai", Account(), "embeddings", lambda wire: embeds(openai(wire))),
    ("openai_compatible", Account(base_url=GATEWAY), "chat", lambda wire: chats(openai(wire, GATEWAY))),
    ("openai_compatible", Account(base_url=GATEWAY), "models", lambda wire: openai(wire, GATEWAY).models.list()),
    ("openai_compatible", Account(base_url=GATEWAY), "embeddings", lambda wire: embeds(openai(wire, GATEWAY))),
    ("openai_compatible", Account(base_url=GATEWAY), "completions", lambda wire: completes(openai(wire, GATEWAY))),
    ("deepseek", Account(), "completions", lambda wire: completes(openai(wire, "https://api.deepseek.com/beta"))),
    ("groq", Account(), "chat", lambda wire: chats(groq(wire))),
    ("groq", Account(), "models", lambda wire: groq(wire).models.list()),
    ("groq", Account(), "embeddings", lambda wire: embeds(groq(wire))),
    ("mistral", Account(), "chat", lambda wire: mistral(wire).chat.complete(model="m", messages=MESSAGES)),
    ("mistral", Account(), "models", lambda wire: mistral(wire).models.list()),
    ("mistral", Account(), "embeddings", lambda wire: mistral(wire).embeddings.create(model="m", inputs="hi")),
    ("together", Account(), "embeddings", lambda wire: together(wire).embeddings.create(model="m", input="hi")),
    (
        "together",
        Account(base_url="https://gw.example"),
        "chat",
        lambda wire: together(wire, "https://gw.example").chat.completions.create(
            model="m", messages=MESSAGES, max_tokens=9
        ),
    ),
    ("fireworks", Account(), "chat", lambda wire: chats(fireworks(wire))),
    ("cerebras", Account(), "chat", lambda wire: chats(cerebras(wire))),
    ("cerebras", Account(), "models", lambda wire: cerebras(wire).models.list()),
    ("perplexity", Account(), "chat", lambda wire: chats(perplexity(wire))),
    ("perplexity", Account(), "models", lambda wire: perplexity(wire).models.list()),
    (
        "perplexity",
        Account(),
        "embeddings",
        lambda wire: perplexity(wire).embeddings.create(model="pplx-embed-v1-4b", input="hi"),
    ),
    ("openrouter", Account(), "chat", lambda wire: openrouter(wire).chat.send(model="m", messages=MESSAGES)),
    ("openrouter", Account(), "embeddings", lambda wire: openrouter(wire).embeddings.generate(model="m", input="hi")),
    ("huggingface", Account(), "chat", huggingface),
    *(
        ("azure_openai", Account(base_url=endpoint, api_version="2024-10-21"), operation, call)
        for endpoint in (AZURE, AZURE + "/", "https://apim.corp.net/azure", "https://r.openai.azure.us")
        for operation, call in (
            ("chat", lambda wire, endpoint=endpoint: chats(azure(wire, endpoint))),
            ("models", lambda wire, endpoint=endpoint: azure(wire, endpoint).models.list()),
            ("completions", lambda wire, endpoint=endpoint: completes(azure(wire, endpoint))),
            ("embeddings", lambda wire, endpoint=endpoint: embeds(azure(wire, endpoint))),
        )
    ),
    (
        "azure_openai",
        Account(base_url=AZURE, api_version="2024-10-21", deployments={"m": "my deploy/4.1"}),
        "chat",
        lambda wire: azure(wire).chat.completions.create(model="my deploy/4.1", messages=MESSAGES),
    ),
    (
        "azure_openai",
        Account(base_url=AZURE + "/openai/deployments/dep", api_version="2024-10-21"),
        "chat",
        lambda wire: chats(azure(wire, azure_deployment="dep")),
    ),
    (
        "azure_openai",
        Account(base_url=AZURE + "/openai/deployments/dep", api_version="2024-10-21"),
        "models",  # also of a client that is bound to one deployment
        lambda wire: azure(wire, azure_deployment="dep").models.list(),
    ),
    # Vendors without a Python SDK over HTTP of their own: the OpenAI SDK with the base their documentation gives.
    *(
        (row.name, Account(), operation, call)
        for row in OPENAI_SHAPED
        if row.base_url is not None and row.name not in ("simulator", "perplexity")
        for operation, call in (
            ("chat", lambda wire, base=row.base_url: chats(openai(wire, base))),
            ("completions", lambda wire, base=row.base_url: completes(openai(wire, base))),
            ("models", lambda wire, base=row.base_url: openai(wire, base).models.list()),
            ("embeddings", lambda wire, base=row.base_url: embeds(openai(wire, base))),
        )
        if operation in row.paths and (row.name, operation) != ("deepseek", "completions")
    ),
    ("perplexity", Account(), "chat", lambda wire: chats(openai(wire, "https://api.perplexity.ai"))),
]

AZURE_V1 = Account(base_url=AZURE)
DIFFER: list[tuple[str, str, Account, Operation, Call, str]] = [
    # vendor, why, our account, operation, the SDK's call, where the SDK goes
    (
        "together",
        "the SDK has a host for chat alone; the documented base answers chat and everything else",
        Account(),
        "chat",
        lambda wire: together(wire).chat.completions.create(model="m", messages=MESSAGES, max_tokens=9),
        "https://api-inference.together.ai/v1/chat/completions",
    ),
    (
        "together",
        "the SDK lists one project's models, which needs the project's id; /v1/models lists what the key can call",
        Account(),
        "models",
        lambda wire: together(wire).models.list(project_id="p"),
        "https://api.together.ai/v2/projects/p/models",
    ),
    (
        "fireworks",
        "the SDK lists an account's models, in a shape of its own; ours is the OpenAI-shaped list beside chat",
        Account(),
        "models",
        lambda wire: list(fireworks(wire).models.list()),
        "https://api.fireworks.ai/v1/accounts/acme/models",
    ),
    (
        "fireworks",
        "the SDK forgets /inference once a base is given; for us a bare host stands for the vendor's whole prefix",
        Account(base_url="https://gw.example"),
        "chat",
        lambda wire: chats(fireworks(wire, "https://gw.example")),
        "https://gw.example/v1/chat/completions",
    ),
    (
        "openrouter",
        "the SDK pages the list; without a page the answer is all of it",
        Account(),
        "models",
        lambda wire: openrouter(wire).models.list(),
        "https://openrouter.ai/api/v1/models?offset=0&limit=500",
    ),
]


def ours(vendor: str, account: Account, operation: Operation) -> str:
    return routes(VENDORS[vendor], account).url(operation, "m").replace("http://", "https://")


@pytest.mark.parametrize(
    ("vendor", "account", "operation", "call"), AGREE, ids=[f"{row[0]}-{row[2]}-{n}" for n, row in enumerate(AGREE)]
)
def test_our_url_and_credential_are_the_sdks(
    wire: Recorder, vendor: str, account: Account, operation: Operation, call: Call
):
    call(wire)
    (sent,) = wire.sent
    assert sent.method == ("GET" if operation == "models" else "POST")
    assert sent.url == ours(vendor, account, operation)
    assert credential(sent) == {"bearer": ("authorization", f"Bearer {KEY}"), "api-key": ("api-key", KEY)}.get(
        VENDORS[vendor].auth, credential(sent)
    )


@pytest.mark.parametrize(
    ("vendor", "why", "account", "operation", "call", "theirs"),
    DIFFER,
    ids=[f"{row[0]}-{row[3]}: {row[1]}" for row in DIFFER],
)
def test_our_url_differs_from_the_sdks_for_a_reason(
    wire: Recorder, vendor: str, why: str, account: Account, operation: Operation, call: Call, theirs: str
):
    call(wire)
    (sent,) = wire.sent
    assert sent.method == ("GET" if operation == "models" else "POST")
    assert sent.url == theirs
    assert sent.url != ours(vendor, account, operation)
    assert credential(sent) == ("authorization", f"Bearer {KEY}")


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("chat", lambda wire: chats(openai(wire, AZURE + "/openai/v1/"))),
        ("models", lambda wire: openai(wire, AZURE + "/openai/v1/").models.list()),
        ("completions", lambda wire: completes(openai(wire, AZURE + "/openai/v1/"))),
        ("embeddings", lambda wire: embeds(openai(wire, AZURE + "/openai/v1/"))),
    ],
)
@pytest.mark.parametrize("endpoint", [AZURE, AZURE + "/openai/v1/", AZURE + "/openai"])
def test_azure_v1_is_the_plain_openai_client(wire: Recorder, endpoint: str, operation: Operation, call: Call):
    """The credential differs: v1 takes a key as a bearer too, but ``api-key`` is what every Azure route takes."""
    call(wire)
    (sent,) = wire.sent
    assert sent.url == ours("azure_openai", Account(base_url=endpoint), operation)
    assert credential(sent) == ("authorization", f"Bearer {KEY}")
    assert VENDORS["azure_openai"].auth == "api-key"


RESPONSES = [
    # vendor, our account, the SDK's call
    *(
        (row.name, Account(), lambda wire, base=row.base_url: responds(openai(wire, base)))
        for row in OPENAI_SHAPED
        if row.base_url is not None and any(face.dialect == "openai_responses" for face in row.faces)
    ),
    ("azure_openai", Account(base_url=AZURE), lambda wire: responds(openai(wire, AZURE + "/openai/v1/"))),
    (
        "azure_openai",
        Account(base_url=AZURE + "/openai/deployments/dep", api_version="2025-04-01-preview"),
        lambda wire: responds(azure(wire, azure_deployment="dep", api_version="2025-04-01-preview")),
    ),
    (
        "databricks",
        Account(base_url="https://dbc-1.cloud.databricks.com"),
        lambda wire: responds(openai(wire, "https://dbc-1.cloud.databricks.com/serving-endpoints")),
    ),
]


@pytest.mark.parametrize(
    ("vendor", "account", "call"), RESPONSES, ids=[f"{row[0]}-{n}" for n, row in enumerate(RESPONSES)]
)
def test_responses_are_where_the_sdk_looks_for_them(wire: Recorder, vendor: str, account: Account, call: Call):
    call(wire)
    (sent,) = wire.sent
    (face,) = (face for face in VENDORS[vendor].faces if face.dialect == "openai_responses")
    assert sent.url == routes(face, account).url("chat", "m").replace("http://", "https://")


def test_an_entra_token_is_a_bearer_on_the_same_url(wire: Recorder):
    chats(
        AzureOpenAI(
            azure_ad_token=KEY,
            azure_endpoint=AZURE,
            api_version="2024-10-21",
            max_retries=0,
            http_client=wire.httpx2(),
        )
    )
    (sent,) = wire.sent
    assert sent.url == ours("azure_openai", Account(base_url=AZURE, api_version="2024-10-21"), "chat")
    assert credential(sent) == ("authorization", f"Bearer {KEY}")


def credential(sent: Sent) -> tuple[str, str]:
    """The one header that signs in."""
    ((name, value),) = ((name, sent.headers[name]) for name in ("authorization", "api-key") if name in sent.headers)
    return name, value


# Ours; AWS's client sends whatever bytes it is given (tests/vendors/test_aws.py); the others have no client for chats.
WITHOUT_A_WITNESS = {"simulator", "sagemaker", "databricks", "databricks_v2", "snowflake"}


def test_every_openai_shaped_vendor_has_a_witness_for_each_operation():
    witnessed = {(row[0], row[2]) for row in AGREE} | {(row[0], row[3]) for row in DIFFER}
    offered = {(row.name, operation) for row in OPENAI_SHAPED for operation in row.paths}
    assert {name for name, _ in offered - witnessed} == WITHOUT_A_WITNESS
