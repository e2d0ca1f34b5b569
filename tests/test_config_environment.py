"""Without a file: which variables make which settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway import config
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.vendors import VENDORS, routes

KEY = "sk-0123456789"
AZURE = {"AZURE_OPENAI_ENDPOINT": "https://eu.openai.azure.com"}
OPENAI = {"OPENAI_API_KEY": KEY}
LEAD = {"GOOSE_LEAD_MODEL": "a", "GOOSE_MODEL": "b"}
BOTH = {**OPENAI, "GROQ_API_KEY": KEY}


def start(env: Mapping[str, str]) -> Config:
    return config.from_environment(env)


def chat_url(settings: Config, provider: str, model: str = "m") -> str:
    each = settings.providers[provider]
    return routes(VENDORS[each.vendor], each.account).url("chat", model)


def test_nothing_set_means_the_simulator() -> None:
    settings = start({"PATH": "/bin", "OPENAI_API_KEY": " "})
    assert (list(settings.providers), settings.models, settings.source) == (["simulator"], {}, "environment")


@pytest.mark.parametrize("name", sorted(set(VENDORS) - {"azure_openai"}))
def test_every_vendor_comes_with_its_own_variables(name: str) -> None:
    vendor = VENDORS[name]
    variables = (*vendor.key_env, *vendor.host_env, *vendor.base_env)
    # LiteLLM's usual port is the gateway's own.
    elsewhere = {"SKEIN_PORT": "4999"}
    for variable in variables:
        value = KEY if variable in vendor.key_env else "http://127.0.0.1:9000"
        settings = start({variable: value, **elsewhere})
        assert settings.providers[name].vendor == name
        assert settings.providers[name].keys == ((KEY,) if variable in vendor.key_env else ())


@pytest.mark.parametrize(
    ("env", "provider", "url"),
    [
        (OPENAI, "openai", "https://api.openai.com/v1/chat/completions"),
        ({**OPENAI, "OPENAI_BASE_URL": "http://h:1/v1"}, "openai", "http://h:1/v1/chat/completions"),
        ({**OPENAI, "OPENAI_BASE_URL": "http://h:1/"}, "openai", "http://h:1/v1/chat/completions"),
        ({**OPENAI, "OPENAI_BASE_URL": "http://h:1/gw/team"}, "openai", "http://h:1/gw/team/chat/completions"),
        ({**OPENAI, "OPENAI_BASE_URL": "http://h:1/v1?a=b"}, "openai", "http://h:1/v1/chat/completions?a=b"),
        ({**OPENAI, "OPENAI_HOST": "http://h:1"}, "openai", "http://h:1/v1/chat/completions"),
        ({**OPENAI, "OPENAI_HOST": "http://h:1/gw"}, "openai", "http://h:1/gw/v1/chat/completions"),
        # goose would call /v1/v1 here; nobody wants that.
        ({**OPENAI, "OPENAI_HOST": "http://h:1/v1"}, "openai", "http://h:1/v1/chat/completions"),
        (
            {**OPENAI, "OPENAI_HOST": "http://h:1", "OPENAI_BASE_URL": "http://other:2/v1"},
            "openai",
            "http://h:1/v1/chat/completions",
        ),
        (
            {"OPENAI_HOST": "http://localhost:12434", "OPENAI_BASE_PATH": "/engines/llama.cpp/v1/chat/completions"},
            "openai",
            "http://localhost:12434/engines/llama.cpp/v1/chat/completions",
        ),
        (
            {**OPENAI, "OPENAI_HOST": "http://h:1/gw", "OPENAI_BASE_PATH": "v2/chat/completions"},
            "openai",
            "http://h:1/gw/v2/chat/completions",
        ),
        (
            {**OPENAI, "OPENAI_HOST": "http://h:1/gw", "OPENAI_BASE_PATH": "/v2/chat/completions"},
            "openai",
            "http://h:1/v2/chat/completions",
        ),
        ({**OPENAI, "OPENAI_HOST": "h:1", "OPENAI_BASE_PATH": "v2/chat/completions"}, "openai", "http://h:1/v2/chat/completions"),
        ({**OPENAI, "OPENAI_BASE_PATH": "v9/chat/completions"}, "openai", "https://api.openai.com/v9/chat/completions"),
        ({"OLLAMA_HOST": "localhost"}, "ollama", "http://localhost:11434/v1/chat/completions"),
        ({"OLLAMA_HOST": "http://10.0.0.5:8080"}, "ollama", "http://10.0.0.5:8080/v1/chat/completions"),
        ({"XAI_API_KEY": KEY, "XAI_HOST": "https://x.example/v1"}, "xai", "https://x.example/v1/chat/completions"),
        ({"LITELLM_HOST": "http://h:5000"}, "litellm", "http://h:5000/v1/chat/completions"),
        (
            {"LITELLM_HOST": "http://h:5000", "LITELLM_BASE_PATH": "proxy/v1/chat/completions"},
            "litellm",
            "http://h:5000/proxy/v1/chat/completions",
        ),
        (
            {"OPENROUTER_API_KEY": KEY, "OPENROUTER_HOST": "https://or.example"},
            "openrouter",
            "https://or.example/api/v1/chat/completions",
        ),
        (
            {**AZURE, "AZURE_OPENAI_API_KEY": KEY},
            "azure_openai",
            "https://eu.openai.azure.com/openai/deployments/m/chat/completions?api-version=2024-10-21",
        ),
        (
            {**AZURE, "AZURE_OPENAI_API_VERSION": "2025-01-01-preview"},
            "azure_openai",
            "https://eu.openai.azure.com/openai/deployments/m/chat/completions?api-version=2025-01-01-preview",
        ),
        (
            {"AZURE_OPENAI_ENDPOINT": "https://eu.openai.azure.com/openai/v1"},
            "azure_openai",
            "https://eu.openai.azure.com/openai/v1/chat/completions",
        ),
    ],
)  # fmt: skip
def test_addresses_as_goose_reads_them(env: dict[str, str], provider: str, url: str) -> None:
    assert chat_url(start(env), provider) == url


@pytest.mark.parametrize(
    ("env", "how"),
    [
        ({"AZURE_OPENAI_API_KEY": KEY}, {"api_key": KEY}),
        ({"AZURE_OPENAI_AD_TOKEN": "a.b.c"}, {"ad_token": "a.b.c"}),
        ({"AZURE_OPENAI_API_KEY": KEY, "AZURE_OPENAI_AD_TOKEN": "a.b.c"}, {"ad_token": "a.b.c"}),
        ({}, {"credential": "default"}),
    ],
)
def test_azure_signs_in_with_what_there_is(env: dict[str, str], how: dict[str, str]) -> None:
    provider = start({**AZURE, **env, "AZURE_OPENAI_DEPLOYMENT_NAME": "prod"}).providers["azure_openai"]
    ways = {name: getattr(provider, name) for name in ("api_key", "ad_token", "credential")}
    assert {name: way for name, way in ways.items() if way} == how
    assert provider.models == ("prod",)


def test_headers_and_timeouts() -> None:
    provider = start(
        {
            **OPENAI,
            "OPENAI_ORGANIZATION": "org-1",
            "OPENAI_PROJECT": "proj-1",
            "OPENAI_CUSTOM_HEADERS": "x-a=1, x-b = c=d ,",
            "OPENAI_TIMEOUT": "90",
        }
    ).providers["openai"]
    assert provider.headers == {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1", "x-a": "1", "x-b": "c=d"}
    assert provider.resilience == {"timeouts": {"total": 90.0}}


@pytest.mark.parametrize(
    ("env", "settings"),
    [
        (
            {**OPENAI, "GOOSE_LEAD_MODEL": "gpt-5", "GOOSE_MODEL": "gpt-5-mini", "GOOSE_PROVIDER": "openai"},
            {"lead": "openai/gpt-5", "worker": "openai/gpt-5-mini", "lead_turns": 3, "worker_max_tokens": None},
        ),
        (
            {
                **BOTH,
                "GOOSE_LEAD_MODEL": "gpt-5",
                "GOOSE_LEAD_PROVIDER": "openai",
                "GOOSE_PROVIDER": "groq",
                "GOOSE_MODEL": "llama",
                "GOOSE_LEAD_TURNS": "5",
                "GOOSE_LEAD_FAILURE_THRESHOLD": "4",
                "GOOSE_LEAD_FALLBACK_TURNS": "1",
            },
            {
                "lead": "openai/gpt-5",
                "worker": "groq/llama",
                "lead_turns": 5,
                "failure_threshold": 4,
                "fallback_turns": 1,
            },
        ),
        (
            {
                **OPENAI,
                "GOOSE_MODEL_LEAD": "gpt-5",
                "GOOSE_MODEL_WORKER": "gpt-5-mini",
                "GOOSE_MAX_TOKENS_WORKER": "4096",
            },
            {"lead": "openai/gpt-5", "worker": "openai/gpt-5-mini", "worker_max_tokens": 4096},
        ),
    ],
)
def test_lead_and_worker_of_goose(env: dict[str, str], settings: dict[str, Any]) -> None:
    model = start(env).models["goose"]
    assert model.kind == "lead_worker"
    assert {name: getattr(model.strategy, name) for name in settings} == settings


@pytest.mark.parametrize(
    "env",
    [
        {**OPENAI, "GOOSE_MODEL": "gpt-5"},
        {**BOTH, "GOOSE_MODEL": "gpt-5", "GOOSE_PROVIDER": "openai"},
    ],
)
def test_model_of_goose_alone(env: dict[str, str]) -> None:
    model = start(env).models["goose"]
    assert (model.kind, model.strategy.references()) == ("priority", ("openai/gpt-5",))


@pytest.mark.parametrize(
    ("env", "note"),
    [
        ({"ANTHROPIC_API_KEY": KEY}, "ANTHROPIC_API_KEY is set, but this version does not speak to anthropic yet"),
        ({"GOOGLE_API_KEY": KEY}, "GOOGLE_API_KEY is set, but this version does not speak to google yet"),
        ({"AWS_PROFILE": "x"}, "AWS_PROFILE is set, but this version does not speak to aws_bedrock yet"),
        (
            {"AZURE_OPENAI_API_KEY": KEY},
            "AZURE_OPENAI_API_KEY is set, but AZURE_OPENAI_ENDPOINT is not, so there is no azure_openai",
        ),
        (
            {**OPENAI, "GOOSE_PROVIDER": "anthropic", "GOOSE_MODEL": "claude-x"},
            'GOOSE_MODEL is set, but there is no provider "anthropic" here, so no model goose',
        ),
    ],
)
def test_what_is_passed_over_is_noted(env: dict[str, str], note: str) -> None:
    settings = start(env)
    assert settings.notes == (note,)
    assert not settings.models


@pytest.mark.parametrize(
    ("env", "notes"),
    [
        ({"SKEIN_PROT": "4001"}, ['SKEIN_PROT is set, but nothing is called so (did you mean "SKEIN_PORT"']),
        ({"SKEIN_CONFIG": "", "SKEIN_WORKER": "1", "SKEIN_ODD": " "}, []),
        # What Kubernetes sets beside a service named skein.
        ({"SKEIN_SERVICE_HOST": "10.0.0.1", "SKEIN_PORT_4000_TCP_ADDR": "10.0.0.1"}, []),
        ({**OPENAI, "OPENAI_HOST": "not-a-url"}, ["OPENAI_HOST names no scheme: it is taken as http://not-a-url"]),
        ({"OLLAMA_HOST": "localhost"}, []),
    ],
)
def test_what_may_be_a_slip_is_noted(env: dict[str, str], notes: list[str]) -> None:
    found = start(env).notes
    assert len(found) == len(notes), found
    assert all(said.startswith(note) for said, note in zip(found, notes, strict=True))


def test_headers_without_end_are_still_only_problems() -> None:
    with pytest.raises(OperatorError):
        start({**OPENAI, "OPENAI_CUSTOM_HEADERS": ",".join(f"x {number}=1" for number in range(1000))})


def test_client_that_asks_for_the_model_goose_makes_none() -> None:
    assert not start({**OPENAI, "GOOSE_MODEL": "goose", "GOOSE_PROVIDER": "openai"}).models


def test_server_and_access() -> None:
    settings = start({"SKEIN_HOST": "0.0.0.0", "SKEIN_PORT": "0", "SKEIN_KEY": "a-long-enough-key"})
    assert (settings.server.host, settings.server.port, settings.access.mode) == ("0.0.0.0", 0, "keys")
    assert [(key.name, key.key) for key in settings.access.keys] == [("default", "a-long-enough-key")]
    assert start({"SKEIN_HOST": "0.0.0.0", "SKEIN_ACCESS": "trusted"}).access.mode == "trusted"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"SKEIN_PORT": "http"}, ['SKEIN_PORT: expected a whole number from 0 to 65535, not "http"']),
        ({"SKEIN_PORT": "70000", "SKEIN_ACCESS": "opne"}, ["SKEIN_PORT: expected", 'SKEIN_ACCESS: expected one of']),
        ({"SKEIN_KEY": "short"}, ["SKEIN_KEY: is shorter than 8 characters"]),
        ({"SKEIN_KEY": "long-enough", "SKEIN_ACCESS": "open"}, ["SKEIN_KEY: nobody is asked for them in mode open"]),
        ({"SKEIN_ACCESS": "keys"}, ["SKEIN_KEY: is not set, but SKEIN_ACCESS is keys"]),
        ({"SKEIN_HOST": "0.0.0.0"}, ['SKEIN_HOST: "0.0.0.0" can be reached from other machines']),
        ({"SKEIN_HOST": "0.0.0.0", "SKEIN_ACCESS": "open"}, ['SKEIN_ACCESS: "0.0.0.0" can be reached from']),
        ({"SKEIN_HOST": "http://x", "SKEIN_ACCESS": "trusted"}, ['SKEIN_HOST: "http://x" is not an address']),
        ({"OPENAI_API_KEY": "sk-1\nx: y"}, ["OPENAI_API_KEY: holds a space, a line break"]),
        ({**OPENAI, "OPENAI_HOST": "ftp://h"}, ['OPENAI_HOST: no vendor is called by "ftp://"']),
        ({**OPENAI, "OPENAI_BASE_URL": "http://u:hunter2@h"}, ["OPENAI_BASE_URL: the base URL holds credentials"]),
        ({**OPENAI, "OPENAI_BASE_URL": "http://[::1]:4000/"}, ["OPENAI_BASE_URL: http://[::1]:4000/v1 is this"]),
        ({"LITELLM_API_KEY": KEY}, ["LITELLM_API_KEY: http://localhost:4000/v1 is this gateway's own address"]),
        ({**OPENAI, "OPENAI_CUSTOM_HEADERS": "nonsense"}, ["OPENAI_CUSTOM_HEADERS: is not a list of headers"]),
        ({**OPENAI, "OPENAI_CUSTOM_HEADERS": "host=a"}, ["OPENAI_CUSTOM_HEADERS: is the gateway's own to send"]),
        ({**OPENAI, "OPENAI_TIMEOUT": "soon"}, ["OPENAI_TIMEOUT: expected a duration"]),
        ({**AZURE, "AZURE_OPENAI_API_VERSION": "a b"}, ["AZURE_OPENAI_API_VERSION: the api_version is not one"]),
        ({"AZURE_OPENAI_ENDPOINT": "https://"}, ["AZURE_OPENAI_ENDPOINT: the base URL has no valid host name"]),
        (
            {**OPENAI, **LEAD, "GOOSE_LEAD_TURNS": "few", "GOOSE_LEAD_FAILURE_THRESHOLD": "0"},
            ["GOOSE_LEAD_TURNS: expected a whole number", "GOOSE_LEAD_FAILURE_THRESHOLD: expected a whole number"],
        ),
        ({**OPENAI, "GOOSE_LEAD_MODEL": "a"}, ["GOOSE_MODEL: is not set, but GOOSE_LEAD_MODEL is"]),
        ({**BOTH, "GOOSE_MODEL": "b"}, ["GOOSE_PROVIDER: is not set, but GOOSE_MODEL is (set it to one of"]),
        (
            {**OPENAI, **LEAD, "GOOSE_LEAD_PROVIDER": "anthropic"},
            ["GOOSE_LEAD_PROVIDER: this version does not speak to anthropic yet"],
        ),
        (
            {**OPENAI, **LEAD, "GOOSE_PROVIDER": "groq"},
            ['GOOSE_PROVIDER: there is no provider "groq" here (set GROQ_API_KEY)'],
        ),
    ],
)  # fmt: skip
def test_mistakes_are_said_of_the_variable(env: dict[str, str], said: list[str]) -> None:
    with pytest.raises(OperatorError) as raised:
        start(env)
    problems = [str(problem) for problem in raised.value.problems]
    assert len(problems) == len(said), problems
    for text in said:
        assert any(problem.startswith(text) for problem in problems), problems
    assert "hunter2" not in str(raised.value)
    assert KEY not in str(raised.value)
