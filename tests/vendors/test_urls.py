"""The base URLs people paste, and the URLs that must come out of them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.vendors
from gateway.dialects import EGRESS, INGRESS
from gateway.vendors import VENDORS, Account, Vendor, base_from_host, routes

DATED = "2024-10-21"
R = "https://r.openai.azure.com"
CLASSIC = R + "/openai/deployments/dep/chat/completions?api-version=" + DATED
V1 = R + "/openai/v1/chat/completions"

MESSAGES = Vendor(
    name="messages",
    title="A vendor whose paths hold the version",
    docs="https://example.com",
    base_url="https://api.anthropic.com",
    paths={"chat": "/v1/messages", "models": "/v1/models"},
    strip=("/v1",),
)
NATIVE = Vendor(
    name="native",
    title="A vendor that lists beside its base",
    docs="https://example.com",
    base_url="https://api.example.com/openai/v1",
    paths={"chat": "/chat/completions", "models": "{origin}/api/models"},
)


def chat(vendor: str | Vendor, base_url: str | None, api_version: str | None = None, model: str = "dep") -> str:
    return located(vendor, base_url, api_version).url("chat", model)


def located(vendor: str | Vendor, base_url: str | None, api_version: str | None = None):
    row = VENDORS[vendor] if isinstance(vendor, str) else vendor
    return routes(row, Account(base_url=base_url, api_version=api_version))


# --- Azure -----------------------------------------------------------------------------------------------------------

AZURE = [
    # endpoint as pasted, with a dated api_version, with api_version v1 or preview or none
    (R, CLASSIC, V1),
    (R + "/", CLASSIC, V1),
    (R + "/openai", CLASSIC, V1),
    (R + "/openai/", CLASSIC, V1),
    (R + "/openai/v1", V1, V1),
    (R + "/openai/v1/", V1, V1),
    (R + "/openai/v1/chat/completions", V1, V1),
    (R + "/openai/deployments/dep", CLASSIC, V1),
    (R + "/openai/deployments/dep/chat/completions", CLASSIC, V1),
    (R + "/openai/deployments/dep/models", CLASSIC, V1),  # goose #6987 wrote this one
    (R + "/openai/deployments", CLASSIC, V1),
    (R + "/openai/models", CLASSIC, V1),
    (R + "/openai/responses", CLASSIC, V1),
    (R + "/openai/openai", CLASSIC, V1),
    (R + "/openai/v1/openai/deployments/dep/chat/completions", V1, V1),  # and goose 1.52 this one
    (R + "/v1", V1, V1),
    (R + "/OpenAI/Deployments/dep", CLASSIC.replace("/openai/", "/OpenAI/"), V1.replace("/openai/", "/OpenAI/")),
    ("r.openai.azure.com", CLASSIC, V1),
    ("  '" + R + "//openai//' ", CLASSIC, V1),
]
(AZURE_FACE,) = (face for face in VENDORS["azure_openai"].faces if face.dialect == "openai_responses")
SAME_ON_OTHER_HOSTS = [
    "https://r.cognitiveservices.azure.com",
    "https://r.services.ai.azure.com",
    "https://r.openai.azure.us",
    "https://r.openai.azure.cn",
    "https://apim.corp.net/azure",
    "https://apim.corp.net:8443/teams/a/azure",
]


@pytest.mark.parametrize(("endpoint", "dated", "rolling"), AZURE)
def test_azure_endpoint(endpoint: str, dated: str, rolling: str):
    assert chat("azure_openai", endpoint, DATED) == dated
    for version in ("v1", "preview", "latest", "", None):
        assert chat("azure_openai", endpoint, version) == rolling


@pytest.mark.parametrize("host", SAME_ON_OTHER_HOSTS)
@pytest.mark.parametrize("tail", ["", "/", "/openai", "/openai/"])
def test_azure_prefix_is_kept_and_openai_is_never_doubled(host: str, tail: str):
    assert chat("azure_openai", host + tail, DATED) == CLASSIC.replace(R, host)
    assert chat("azure_openai", host + tail) == V1.replace(R, host)
    assert chat("azure_openai", host + "/openai/v1", DATED) == V1.replace(R, host)


@pytest.mark.parametrize("given_version", [None, DATED, "preview"])
def test_azure_honours_the_api_version_of_the_url(given_version: str | None):
    found = located(
        "azure_openai", R + "/openai/deployments/dep/chat/completions?api-version=2025-01-01-preview", given_version
    )
    assert found.url("chat", "gpt-4.1") == R + "/openai/deployments/dep/chat/completions?api-version=2025-01-01-preview"
    assert found.url("models") == R + "/openai/models?api-version=2025-01-01-preview"
    assert found.url("embeddings", "gpt-4.1") == R + "/openai/deployments/dep/embeddings?api-version=2025-01-01-preview"


def test_azure_v1_refuses_dated_versions_and_keeps_a_pasted_preview():
    assert chat("azure_openai", R + "/openai/v1?api-version=" + DATED) == V1
    assert chat("azure_openai", R + "/openai/v1?api-version=preview", DATED) == V1 + "?api-version=preview"
    assert chat("azure_openai", R + "/openai/v1?a=b", DATED) == V1 + "?a=b"


def test_azure_operations_have_urls_of_their_own():
    found = located("azure_openai", R, DATED)
    assert found.url("models") == R + "/openai/models?api-version=" + DATED
    assert found.url("embeddings", "emb") == R + "/openai/deployments/emb/embeddings?api-version=" + DATED
    found = located("azure_openai", R)
    assert (found.url("models"), found.url("embeddings", "emb")) == (
        R + "/openai/v1/models",
        R + "/openai/v1/embeddings",
    )


AZURE_RESPONSES = [
    # endpoint as pasted, api_version, where responses are
    (R, None, R + "/openai/v1/responses"),
    (R, "v1", R + "/openai/v1/responses"),
    (R, "preview", R + "/openai/v1/responses"),
    (R, "2025-04-01-preview", R + "/openai/responses?api-version=2025-04-01-preview"),
    (R, DATED, R + "/openai/v1/responses"),  # older than responses are
    (R + "/openai/v1", "2025-04-01-preview", R + "/openai/v1/responses"),
    (R + "/openai/v1/responses?api-version=preview", None, R + "/openai/v1/responses?api-version=preview"),
    (R + "/openai/deployments/dep", "2025-03-01-preview", R + "/openai/responses?api-version=2025-03-01-preview"),
    (
        R + "/openai/responses?api-version=2025-04-01-preview",
        None,
        R + "/openai/responses?api-version=2025-04-01-preview",
    ),
    (
        "https://apim.corp.net/azure?k=1",
        "2025-04-01",
        "https://apim.corp.net/azure/openai/responses?k=1&api-version=2025-04-01",
    ),
]


@pytest.mark.parametrize(("endpoint", "api_version", "expected"), AZURE_RESPONSES)
def test_azure_responses_are_beside_the_deployments(endpoint: str, api_version: str | None, expected: str):
    found = located(AZURE_FACE, endpoint, api_version)
    assert found.url("chat", "gpt-5-codex") == expected
    # Given back as a base, it leads there again.
    assert located(AZURE_FACE, found.base, api_version).url("chat", "gpt-5-codex") == expected


def test_azure_responses_are_called_by_the_deployment_in_the_body():
    account = Account(base_url=R, api_version="2025-04-01-preview", deployments={"gpt-5-codex": "prod"})
    assert routes(AZURE_FACE, account).deployed("gpt-5-codex") == "prod"


def test_foundry_inference_has_no_responses():
    assert located(AZURE_FACE, FOUNDRY).urls == {}


def test_azure_completions_are_a_deployments():
    assert located("azure_openai", R, DATED).url("completions", "dep") == (
        f"{R}/openai/deployments/dep/completions?api-version={DATED}"
    )
    assert located("azure_openai", R).url("completions", "dep") == R + "/openai/v1/completions"


def test_azure_query_goes_with_every_call():
    found = located("azure_openai", "https://apim.corp.net/x?subscription-key=k&API-Version=" + DATED)
    for operation in ("chat", "models", "embeddings"):
        assert urlsplit(found.url(operation, "m")).query == "subscription-key=k&api-version=" + DATED


def test_azure_deployment_of_the_url_serves_what_deployments_do_not():
    for version in (DATED, None):
        found = routes(
            VENDORS["azure_openai"],
            Account(base_url=R + "/openai/deployments/a%20b", api_version=version, deployments={"gpt-4.1": "prod"}),
        )
        assert (found.deployed("gpt-4.1"), found.deployed("gpt-5")) == ("prod", "a b")
    assert chat("azure_openai", R + "/openai/deployments/a%20b", DATED).startswith(R + "/openai/deployments/a%20b/chat")


@pytest.mark.parametrize(
    ("deployment", "in_the_path"),
    [("my deploy/4.1", "my%20deploy%2F4.1"), ("..", "%2E%2E"), ("{model}", "%7Bmodel%7D")],
)
def test_a_deployment_is_one_segment(deployment: str, in_the_path: str):
    assert f"/deployments/{in_the_path}/chat" in chat("azure_openai", R, DATED, model=deployment)


def test_without_a_model_the_template_shows():
    assert chat("azure_openai", R, DATED, model="") == CLASSIC.replace("/dep/", "/{model}/")


FOUNDRY = "https://r.services.ai.azure.com/models"


@pytest.mark.parametrize("tail", ["", "/", "/chat/completions", "/embeddings", "/info"])
@pytest.mark.parametrize(
    ("api_version", "sent"),
    [(None, "2024-05-01-preview"), ("preview", "2024-05-01-preview"), ("2025-04-01", "2025-04-01")],
)
def test_foundry_inference(tail: str, api_version: str | None, sent: str):
    found = located("azure_openai", FOUNDRY + tail, api_version)
    assert found.url("chat", "Llama") == f"{FOUNDRY}/chat/completions?api-version={sent}"
    assert found.url("embeddings", "e5") == f"{FOUNDRY}/embeddings?api-version={sent}"
    assert found.url("models") == f"{FOUNDRY}/info?api-version={sent}"


def test_foundry_honours_the_api_version_of_the_url():
    url = FOUNDRY + "/chat/completions?api-version=2024-08-01-preview"
    assert chat("azure_openai", url, DATED) == url


def test_foundry_project_is_below_its_resource_unless_spelled_out():
    resource, project = "https://r.services.ai.azure.com", "https://r.services.ai.azure.com/api/projects/p"
    assert chat("azure_openai", project) == resource + "/openai/v1/chat/completions"
    assert chat("azure_openai", project + "/openai/v1") == project + "/openai/v1/chat/completions"


@pytest.mark.parametrize("tail", ["/deployments/dep", "/deployments/dep/chat/completions"])
def test_a_gateway_may_have_deployments_without_openai(tail: str):
    aoai = "https://apim.corp.net/aoai"
    assert chat("azure_openai", aoai + tail, DATED) == f"{aoai}/deployments/dep/chat/completions?api-version={DATED}"
    assert chat("azure_openai", aoai + "/v1", DATED) == f"{aoai}/v1/chat/completions"


# --- everyone else ---------------------------------------------------------------------------------------------------

PASTED = [
    # vendor, base URL as pasted, chat, models
    ("openai", None, "https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/models"),
    ("openai", "   ", "https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/models"),
    (
        "openai",
        "https://api.openai.com",
        "https://api.openai.com/v1/chat/completions",
        "https://api.openai.com/v1/models",
    ),
    ("openai", "api.openai.com/v1/", "https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/models"),
    ("openai", "https://eu.api.openai.com", "https://eu.api.openai.com/v1/chat/completions", None),
    ("openai", "https://api.openai.com/chat/completions", "https://api.openai.com/v1/chat/completions", None),
    # goose §7: the measured matrix of OPENAI_BASE_URL
    ("openai", "http://h:18080/v1", "http://h:18080/v1/chat/completions", "http://h:18080/v1/models"),
    ("openai", "http://h:18080/", "http://h:18080/v1/chat/completions", "http://h:18080/v1/models"),
    ("openai", "http://h:18080/gw/team", "http://h:18080/gw/team/chat/completions", "http://h:18080/gw/team/models"),
    (
        "openai",
        "http://h/v1?api-version=x",
        "http://h/v1/chat/completions?api-version=x",
        "http://h/v1/models?api-version=x",
    ),
    # goose §5.2
    ("xai", "https://api.x.ai/v1", "https://api.x.ai/v1/chat/completions", "https://api.x.ai/v1/models"),  # 4119
    ("xai", "https://api.x.ai", "https://api.x.ai/v1/chat/completions", "https://api.x.ai/v1/models"),
    ("openai_compatible", "https://h.example/v1///", "https://h.example/v1/chat/completions", None),  # 4345 4433
    ("openai_compatible", "https://h.example/gw/api/", "https://h.example/gw/api/chat/completions", None),  # 977 885
    (
        "openai_compatible",
        "https://h.example/x/chat/completions",
        "https://h.example/x/chat/completions",
        "https://h.example/x/models",
    ),  # 3566 1369 7254 9649
    ("openai_compatible", "https://h.example/x/v1", "https://h.example/x/v1/chat/completions", None),  # 8521
    (
        "openai_compatible",
        "https://opencode.ai/zen/go/v1",
        "https://opencode.ai/zen/go/v1/chat/completions",
        "https://opencode.ai/zen/go/v1/models",
    ),  # 8517
    ("openai_compatible", "localhost:1234", "http://localhost:1234/v1/chat/completions", None),  # 9728
    ("lmstudio", "localhost:1234", "http://localhost:1234/v1/chat/completions", "http://localhost:1234/v1/models"),
    ("lmstudio", "http://gpu.local:4321", "http://gpu.local:4321/v1/chat/completions", None),  # 4318
    ("lmstudio", "http://localhost:1234/api/v0", "http://localhost:1234/v1/chat/completions", None),
    ("ollama", "http://localhost:11434/api/chat", "http://localhost:11434/v1/chat/completions", None),  # 949 9119
    ("ollama", "http://gpu:11434/api/", "http://gpu:11434/v1/chat/completions", "http://gpu:11434/v1/models"),
    (
        "openai_compatible",
        "https://api.z.ai/api/coding/paas/v4",
        "https://api.z.ai/api/coding/paas/v4/chat/completions",
        "https://api.z.ai/api/coding/paas/v4/models",
    ),  # 8187 8204
    (
        "openai_compatible",
        "https://h.example/v1/v1",
        "https://h.example/v1/chat/completions",
        "https://h.example/v1/models",
    ),
    ("openai_compatible", "https://h.example/v1/v1/v1/chat/completions", "https://h.example/v1/chat/completions", None),
    (
        MESSAGES,
        "https://api.anthropic.com/v1",
        "https://api.anthropic.com/v1/messages",
        "https://api.anthropic.com/v1/models",
    ),
    # goose §1.3: base paths
    ("openai_compatible", "https://api.deepseek.com", "https://api.deepseek.com/v1/chat/completions", None),
    (
        "deepseek",
        "https://api.deepseek.com",
        "https://api.deepseek.com/chat/completions",
        "https://api.deepseek.com/models",
    ),
    ("deepseek", "https://api.deepseek.com/v1", "https://api.deepseek.com/v1/chat/completions", None),
    ("deepseek", "https://api.deepseek.com/beta", "https://api.deepseek.com/beta/chat/completions", None),
    ("deepseek", "https://api.deepseek.com/anthropic", "https://api.deepseek.com/chat/completions", None),
    ("perplexity", None, "https://api.perplexity.ai/chat/completions", "https://api.perplexity.ai/v1/models"),
    (
        "perplexity",
        "https://api.perplexity.ai/v1",
        "https://api.perplexity.ai/chat/completions",
        "https://api.perplexity.ai/v1/models",
    ),
    (
        "openai_compatible",
        "https://open.bigmodel.cn/api/paas/v4",
        "https://open.bigmodel.cn/api/paas/v4/chat/completions",
        None,
    ),
    ("openai_compatible", "https://maas.xf-yun.com/v2", "https://maas.xf-yun.com/v2/chat/completions", None),
    (
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "https://api.fireworks.ai/inference/v1/chat/completions",
        None,
    ),
    ("fireworks", "https://api.fireworks.ai/inference", "https://api.fireworks.ai/inference/v1/chat/completions", None),
    ("fireworks", "https://api.fireworks.ai/v1", "https://api.fireworks.ai/inference/v1/chat/completions", None),
    (
        "openai_compatible",
        "https://api.novita.ai/openai/chat/completions",
        "https://api.novita.ai/openai/chat/completions",
        "https://api.novita.ai/openai/models",
    ),
    ("venice", "https://api.venice.ai/api/v1", "https://api.venice.ai/api/v1/chat/completions", None),
    ("together", "https://api.together.xyz", "https://api.together.xyz/v1/chat/completions", None),
    (
        "openai_compatible",
        "https://api.celeris.ai/celeris-1/v1",
        "https://api.celeris.ai/celeris-1/v1/chat/completions",
        None,
    ),
    (
        "openai_compatible",
        "https://tanzu.corp.net/openai/v1",
        "https://tanzu.corp.net/openai/v1/chat/completions",
        None,
    ),
    (MESSAGES, "https://api.minimax.io/anthropic", "https://api.minimax.io/anthropic/v1/messages", None),
    (MESSAGES, "https://api.z.ai/api/anthropic", "https://api.z.ai/api/anthropic/v1/messages", None),
    (MESSAGES, "https://api.z.ai/api/anthropic/v1/messages", "https://api.z.ai/api/anthropic/v1/messages", None),
    *(
        (
            "openai_compatible",
            f"localhost:{port}",
            f"http://localhost:{port}/v1/chat/completions",
            f"http://localhost:{port}/v1/models",
        )
        for port in (8080, 8000, 8081, 1337)
    ),
    # a full endpoint says where it is, at the root too
    (
        "openai_compatible",
        "https://api.perplexity.ai/chat/completions",
        "https://api.perplexity.ai/chat/completions",
        "https://api.perplexity.ai/models",
    ),
    *(
        (
            "openai_compatible",
            f"https://h.example/a/v1/{endpoint}",
            "https://h.example/a/v1/chat/completions",
            "https://h.example/a/v1/models",
        )
        for endpoint in (
            "chat/completions",
            "chat/completions/",
            "completions",
            "embeddings",
            "models",
            "responses",
            "messages",
            "messages/count_tokens",
            "Chat/Completions",
            "chat/completions#fragment",
        )
    ),
    # the vendor's own host fills in what is missing, another host is taken at its word
    ("groq", "https://api.groq.com", "https://api.groq.com/openai/v1/chat/completions", None),
    ("groq", "https://api.groq.com/openai", "https://api.groq.com/openai/v1/chat/completions", None),
    ("groq", "https://api.groq.com/v1", "https://api.groq.com/openai/v1/chat/completions", None),
    ("groq", "https://api.groq.com/openai/v1/openai/v1", "https://api.groq.com/openai/v1/chat/completions", None),
    ("groq", "https://corp.example/gw/team", "https://corp.example/gw/team/chat/completions", None),
    ("groq", "https://corp.example/openai", "https://corp.example/openai/chat/completions", None),
    ("groq", "https://corp.example", "https://corp.example/openai/v1/chat/completions", None),
    ("openrouter", "https://openrouter.ai", "https://openrouter.ai/api/v1/chat/completions", None),
    ("openrouter", "https://openrouter.ai/v1", "https://openrouter.ai/api/v1/chat/completions", None),
    (
        "huggingface",
        "https://router.huggingface.co/together/v1",
        "https://router.huggingface.co/together/v1/chat/completions",
        None,
    ),
    (
        "docker_model_runner",
        "http://model-runner.docker.internal",
        "http://model-runner.docker.internal/engines/v1/chat/completions",
        None,
    ),
    (
        "docker_model_runner",
        "http://localhost:12434/engines",
        "http://localhost:12434/engines/v1/chat/completions",
        None,
    ),
    (
        "docker_model_runner",
        "http://localhost:12434/engines/llama.cpp/v1/chat/completions",
        "http://localhost:12434/engines/llama.cpp/v1/chat/completions",
        "http://localhost:12434/engines/llama.cpp/v1/models",
    ),
    (
        "litellm",
        "http://localhost:4000",
        "http://localhost:4000/v1/chat/completions",
        "http://localhost:4000/v1/models",
    ),
    ("simulator", None, "simulator://local/chat/completions", "simulator://local/models"),
    (NATIVE, None, "https://api.example.com/openai/v1/chat/completions", "https://api.example.com/api/models"),
    (NATIVE, "https://h.example/x?k=1", "https://h.example/x/chat/completions?k=1", "https://h.example/api/models?k=1"),
    # scheme and host
    *(
        ("openai_compatible", host, f"http://{host}/v1/chat/completions", None)
        for host in (
            "localhost",
            "127.0.0.1:8000",
            "127.1.2.3",
            "[::1]:8000",
            "10.0.0.7",
            "192.168.1.9:80",
            "172.16.0.1",
            "gpu.local",
            "vllm",
            "host.docker.internal:8080",
            "model-runner.docker.internal",
            "0.0.0.0:8080",
            "[fd00::1]",
        )
    ),
    *(
        ("openai_compatible", host, f"https://{host}/v1/chat/completions", None)
        for host in ("llm.example.com", "172.32.0.1", "8.8.8.8:8443", "[2001:db8::1]", "localhost.example.com")
    ),
    ("openai_compatible", "::1", "http://[::1]/v1/chat/completions", None),
    ("openai_compatible", "//h.example/v1", "https://h.example/v1/chat/completions", None),
    ("openai_compatible", "HTTPS://LLM.Example.COM/Team/v1", "https://llm.example.com/Team/v1/chat/completions", None),
    ("openai_compatible", "http://bücher.example/v1", "http://xn--bcher-kva.example/v1/chat/completions", None),
    # text
    *(
        ("openai_compatible", text, "https://h.example/a/v1/chat/completions", None)
        for text in (
            " https://h.example/a/v1\n",
            '"https://h.example/a/v1"',
            "'https://h.example/a/v1/'",
            "<https://h.example/a/v1>",
            "https://h.example//a///v1//",
            "https://h.example/a/v1?",
            "https://h.example/a/v1#/x?y",
            "\ufeffhttps://h.example/a/v1\u00a0",
        )
    ),
    (
        "openai_compatible",
        "https://h.example/a%20b/{model}/v1?q={model}",
        "https://h.example/a%20b/%7Bmodel%7D/v1/chat/completions?q=%7Bmodel%7D",
        None,
    ),
    (
        "openai_compatible",
        "https://h.example/a%2Fb/100%/v1",
        "https://h.example/a%2Fb/100%25/v1/chat/completions",
        None,
    ),
    (
        "openai_compatible",
        "https://h.example?key=a&key=b",
        "https://h.example/v1/chat/completions?key=a&key=b",
        "https://h.example/v1/models?key=a&key=b",
    ),
]


@pytest.mark.parametrize(("vendor", "pasted", "chats", "lists"), PASTED)
def test_pasted_base(vendor: str | Vendor, pasted: str | None, chats: str, lists: str | None):
    found = located(vendor, pasted)
    assert found.url("chat", "some/model") == chats
    assert lists is None or found.url("models") == lists


def test_a_query_goes_with_every_operation_and_takes_the_api_version_along():
    found = located("openai_compatible", "https://h.example/v1?tenant=a", DATED)
    for operation in ("chat", "models", "embeddings"):
        assert urlsplit(found.url(operation)).query == "tenant=a&api-version=" + DATED


def test_an_operation_that_a_vendor_lacks_is_a_key_error():
    with pytest.raises(KeyError):
        located("deepseek", None).url("embeddings")


EVERY_PASTE = [
    *((vendor, pasted, None) for vendor, pasted, *_ in PASTED),
    *(("azure_openai", pasted, version) for pasted, *_ in AZURE for version in (None, DATED, "preview")),
    *(("azure_openai", host + tail, DATED) for host in SAME_ON_OTHER_HOSTS for tail in ("", "/openai")),
    *(("azure_openai", FOUNDRY + tail, version) for tail in ("", "/embeddings") for version in (None, DATED)),
    ("azure_openai", "https://apim.corp.net/aoai/deployments/dep?x=y", DATED),
    ("azure_openai", "https://apim.corp.net/aoai/deployments/dep?x=y", None),
    ("azure_openai", R + "/openai/v1?api-version=preview", DATED),
    ("azure_openai", R + "/openai/deployments/a%2Fb%20{c}", DATED),
]


@pytest.mark.parametrize(("vendor", "pasted", "version"), EVERY_PASTE)
def test_the_base_given_back_leads_to_the_same_urls(vendor: str | Vendor, pasted: str, version: str | None):
    once = located(vendor, pasted, version)
    assert located(vendor, once.base) == once
    assert located(vendor, once.base, version) == once


@pytest.mark.parametrize(("vendor", "pasted", "version"), EVERY_PASTE)
def test_no_path_is_doubled_or_has_an_empty_segment(vendor: str | Vendor, pasted: str, version: str | None):
    found = located(vendor, pasted, version)
    for operation in found.urls:
        path = urlsplit(found.url(operation, "a/b")).path
        assert "//" not in path
        assert "/v1/v1" not in path
        assert "/openai/openai" not in path.lower()


@pytest.mark.parametrize("vendor", VENDORS)
@given(
    path=st.lists(
        st.sampled_from(
            [
                "v1",
                "v1",
                "openai",
                "api",
                "gw",
                "models",
                "chat",
                "completions",
                "deployments",
                "dep",
                "",
                "embeddings",
                "info",
            ]
        ),
        max_size=7,
    ),
    dated=st.booleans(),
)
def test_any_path_settles_at_once(vendor: str, path: list[str], dated: bool):
    once = located(vendor, "https://h.example/" + "/".join(path), DATED if dated else None)
    assert located(vendor, once.base).urls == once.urls
    assert all("//" not in urlsplit(url).path for url in once.urls.values())


def test_a_unix_socket_is_a_host_by_its_path():
    assert chat("openai_compatible", "http+unix://%2frun%2Fllm.sock") == (
        "http+unix://%2Frun%2Fllm.sock/v1/chat/completions"
    )
    assert chat("openai_compatible", "HTTP+unix://%2Frun%2FLLM.sock/api/v2/chat/completions") == (
        "http+unix://%2Frun%2FLLM.sock/api/v2/chat/completions"
    )


# --- what cannot be a base -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("ftp://h.example/v1", "https://"),
        ("file:///etc/passwd", "https://"),
        ("javascript:alert(1)", "port"),
        ("simulator://local", "https://"),
        ("https:/h.example/v1", "https://"),
        ("http:h.example", "https://"),
        ("https//h.example", "https://"),
        ("https://", "host name"),
        ("https:///v1", "host name"),
        ("/v1", "host name"),
        ("https://user:hunter2@h.example/v1", "api_key"),
        ("user:hunter2@h.example", "api_key"),
        ("https://hunter2@h.example:99999/v1", "api_key"),
        ("https://h.example\\@evil.example/v1", "backslash"),
        ("https://h.example/v1\r\nx-evil: 1", "invisible"),
        ("https://h.example/\x00v1", "invisible"),
        ("https://h.exam\u200bple/v1", "invisible"),
        ("https://h.example/v1 https://other.example", "white space"),
        ("https://h.example:99999/v1", "port"),
        ("https://h.example:0/v1", "port"),
        ("https://h.example:80a/v1", "port"),
        ("https://[::1/v1", "IPv6"),
        ("https://[::g]/v1", "IPv6"),
        ("https://[fe80::1%25eth0]/v1", "IPv6"),
        ("https://-bad-/v1", "host name"),
        ("https://a..b/v1", "host name"),
        ("https://ex%61mple.com/v1", "host name"),
        ("https://" + "a" * 64 + ".example/v1", "host name"),
        ("${OPENAI_BASE_URL}", "host name"),
        ("https://${HOST}/v1", "host name"),
        ("http+unix://run/llm.sock/v1", "http+unix://%2F"),
        ("http+unix:///run/llm.sock", "http+unix://%2F"),
        ("http+unix://%2Frun%2F" + "a" * 107, "http+unix://%2F"),
        ("https://h.example/a/../admin", ".."),
        ("https://h.example/a/%2e%2E/admin", ".."),
        ("", "base_url"),
        (" '' ", "base_url"),
        (None, "base_url"),
    ],
)
@pytest.mark.parametrize("vendor", ["openai_compatible", "azure_openai"])
def test_hostile_or_broken_base_is_told_with_a_remedy(vendor: str, base_url: str | None, told: str):
    with pytest.raises(ValueError, match=re.escape(told)) as problem:
        located(vendor, base_url)
    assert "hunter2" not in str(problem.value)


@pytest.mark.parametrize("api_version", ["2024 10 21", "2024-10-21&x=y", "a\r\nb", "2024#", "ü"])
@pytest.mark.parametrize("vendor", ["openai_compatible", "azure_openai"])
def test_an_api_version_is_one_plain_word(vendor: str, api_version: str):
    with pytest.raises(ValueError, match="api_version"):
        located(vendor, "https://h.example", api_version)


@given(text=st.text())
@pytest.mark.parametrize("vendor", ["openai_compatible", "azure_openai", "groq"])
def test_any_text_is_a_base_or_a_value_error(vendor: str, text: str):
    try:
        once = located(vendor, text)
    except ValueError:
        return
    assert located(vendor, once.base).urls == once.urls
    for url in once.urls.values():
        assert url.isascii()
        assert url.isprintable()
        assert "//" not in urlsplit(url).path


# --- hosts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "host", "base"),
    [
        ("ollama", "localhost", "http://localhost:11434/v1"),
        ("ollama", "127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("ollama", "http://0.0.0.0:8080", "http://0.0.0.0:8080/v1"),
        ("ollama", "http://gpu", "http://gpu/v1"),
        ("ollama", "https://ollama.com", "https://ollama.com/v1"),
        ("ollama", "gpu.example.com", "http://gpu.example.com:11434/v1"),
        ("ollama", "http://localhost:11434/v1/", "http://localhost:11434/v1"),
        ("ollama", "http://localhost:11434/api", "http://localhost:11434/v1"),
        ("litellm", "http://localhost:4000", "http://localhost:4000/v1"),
        ("litellm", "proxy", "http://proxy:4000/v1"),
        ("ramalama", "[::1]", "http://[::1]:8080/v1"),
        (
            "docker_model_runner",
            "http://model-runner.docker.internal",
            "http://model-runner.docker.internal/engines/v1",
        ),
        ("docker_model_runner", "localhost:12434/engines/llama.cpp/v1", "http://localhost:12434/engines/llama.cpp/v1"),
        # goose §7: what OPENAI_HOST should have done
        ("openai", "http://h:18080/v1", "http://h:18080/v1"),
        ("openai", "http://h:18080/gw", "http://h:18080/gw/v1"),
        ("openai", "https://api.openai.com/", "https://api.openai.com/v1"),
        ("openai", "localhost:12434", "http://localhost:12434/v1"),
        ("openrouter", "https://openrouter.ai", "https://openrouter.ai/api/v1"),
        ("openrouter", "https://corp.example/or?k=1", "https://corp.example/or/api/v1?k=1"),
        ("groq", "https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1"),
        ("groq", "corp.example/groq", "https://corp.example/groq/openai/v1"),
        ("fireworks", "https://api.fireworks.ai/inference", "https://api.fireworks.ai/inference/v1"),
        ("fireworks", "https://corp.example/inference", "https://corp.example/inference/v1"),
        ("fireworks", "https://api.fireworks.ai/v1", "https://api.fireworks.ai/inference/v1"),
        ("perplexity", "https://api.perplexity.ai", "https://api.perplexity.ai"),
        ("tetrate", "https://api.router.tetrate.ai", "https://api.router.tetrate.ai/v1"),
        ("openai_compatible", "h.example", "https://h.example/v1"),
        ("azure_openai", "r.openai.azure.com", "https://r.openai.azure.com"),
    ],
)
def test_base_from_host(vendor: str, host: str, base: str):
    assert base_from_host(VENDORS[vendor], host) == base
    assert base_from_host(VENDORS[vendor], base) == base


def test_a_host_is_read_as_strictly_as_a_base():
    with pytest.raises(ValueError, match="credentials"):
        base_from_host(VENDORS["ollama"], "me:hunter2@gpu")


# --- the rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VENDORS)
def test_vendor_row_is_complete(name: str):
    row = VENDORS[name]
    assert row.name == name
    assert row.title
    assert urlsplit(row.docs).scheme == "https"
    assert urlsplit(row.docs).hostname
    assert "chat" in row.paths
    assert all(path.startswith(("/", "{origin}/")) and not path.endswith("/") for path in row.paths.values())
    assert all(suffix.startswith("/") and suffix == suffix.lower() for suffix in row.strip)
    assert row.base_url is None or routes(row, Account()).base == row.base_url
    assert row.auth == "none" or row.key_env or row.base_url is None
    assert not (row.auth == "none" and row.key_required)
    assert not ("stream_options" in row.drop and row.stream_usage)
    assert not row.drop & set(row.rename)
    assert all(each.dialect in {*INGRESS, *EGRESS} for each in (row, *row.faces))
    environment = (*row.key_env, *row.base_env, *row.host_env)
    assert len(environment) == len(set(environment))
    assert all(variable.isupper() for variable in environment)


def test_every_file_of_facts_is_a_vendor():
    code = {"__init__", "vendor", "locate", "base_url", "aws_hosts", "foreign", "responses_face"}
    folder = Path(str(gateway.vendors.__file__)).parent
    assert set(VENDORS) == {file.stem for file in folder.glob("*.py")} - code
    assert all(file.read_text().startswith('"""') for file in folder.glob("*.py"))


def test_no_two_vendors_read_the_same_variable():
    environment = [name for row in VENDORS.values() for name in (*row.key_env, *row.base_env, *row.host_env)]
    assert len(environment) == len(set(environment))


@pytest.mark.parametrize(
    ("model", "owners"),
    [
        ("gpt-4.1", ["openai"]),
        ("gpt-5-mini", ["openai"]),
        ("o3-mini", ["openai"]),
        ("text-embedding-3-large", ["openai"]),
        ("gpt-oss-120b", []),  # open: Groq, Cerebras, Ollama and others serve it
        ("mistral-large-latest", ["mistral"]),
        ("grok-4", ["xai"]),
        ("deepseek-reasoner", ["deepseek"]),
        ("deepseek-r1:8b", []),
        ("sonar-pro", ["perplexity"]),
        ("kimi-k2", ["moonshot"]),
        ("llama-3.3-70b-versatile", []),
    ],
)
def test_a_bare_model_id_has_one_owner_or_none(model: str, owners: list[str]):
    assert [row.name for row in VENDORS.values() if any(fnmatchcase(model, glob) for glob in row.owns)] == owners
