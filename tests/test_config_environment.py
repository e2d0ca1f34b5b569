"""Without a file: which variables make which settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway import config
from gateway.config import Config, retries
from gateway.config.findings import Findings
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


# What is asked for beside a key, or beside an address.
BESIDES: Mapping[str, Mapping[str, str]] = {
    "azure_openai": {**AZURE, "AZURE_OPENAI_API_KEY": KEY},
    "bedrock": {"AWS_REGION": "us-east-1", "AWS_BEARER_TOKEN_BEDROCK": KEY},
    "databricks": {"DATABRICKS_HOST": "https://dbc.example", "DATABRICKS_TOKEN": KEY},
    "sagemaker": {"AWS_REGION": "us-east-1", "SAGEMAKER_ENDPOINT_NAME": "mine"},
    "snowflake": {"SNOWFLAKE_HOST": "myorg-account", "SNOWFLAKE_TOKEN": KEY},
    "vertex": {"GCP_PROJECT_ID": "mine"},
}


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_every_vendor_comes_with_its_own_variables(name: str) -> None:
    vendor, besides = VENDORS[name], BESIDES.get(name, {})
    # LiteLLM's usual port is the gateway's own.
    elsewhere = {"SKEIN_PORT": "4999"}
    for variable in (*vendor.key_env, *vendor.host_env, *vendor.base_env):
        value = KEY if variable in vendor.key_env else "http://127.0.0.1:9000"
        settings = start({**elsewhere, **besides, variable: value})
        [provider] = [each for each in settings.providers.values() if each.vendor.startswith(name)]
        assert provider.keys == ((KEY,) if variable in vendor.key_env or KEY in besides.values() else ())
        if variable not in vendor.key_env:
            assert "127.0.0.1:9000" in (provider.base_url or "")


AWS = {"AWS_REGION": "eu-west-1"}
PAIR = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": KEY}
HOST = {"DATABRICKS_HOST": "dbc-1.cloud.databricks.com"}
CLIENT = {"DATABRICKS_CLIENT_ID": "a", "DATABRICKS_CLIENT_SECRET": "b"}


@pytest.mark.parametrize(
    ("env", "name", "said"),
    [
        ({**AWS, "AWS_BEARER_TOKEN_BEDROCK": KEY, **PAIR}, "bedrock", {"api_key": KEY, "region": "eu-west-1"}),
        (
            {**AWS, **PAIR, "AWS_SESSION_TOKEN": "t", "AWS_PROFILE": "p"},
            "bedrock",
            {"access_key_id": "AKIDEXAMPLE", "secret_access_key": KEY, "session_token": "t", "region": "eu-west-1"},
        ),
        (
            {"AWS_DEFAULT_REGION": "us-east-2", "AWS_PROFILE": "agents"},
            "bedrock",
            {"profile": "agents", "region": "us-east-2"},
        ),
        (
            {**AWS, "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/token"},
            "bedrock",
            {"credential": "default", "region": "eu-west-1"},
        ),
        # Half a pair is none.
        (
            {**AWS, "AWS_ACCESS_KEY_ID": "A", "AWS_PROFILE": "agents"},
            "bedrock",
            {"profile": "agents", "region": "eu-west-1"},
        ),
        (
            {**AWS, "SAGEMAKER_ENDPOINT_NAME": "mine"},
            "sagemaker_tgi",
            {"credential": "default", "region": "eu-west-1", "models": ("mine",)},
        ),
        ({"GCP_PROJECT_ID": "p"}, "vertex", {"credential": "default", "project": "p"}),
        (
            {"GCP_PROJECT_ID": "p", "GCP_LOCATION": "us-east5"},
            "vertex",
            {"credential": "default", "project": "p", "region": "us-east5"},
        ),
        (
            {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "global"},
            "vertex",
            {"credential": "default", "project": "p", "region": "global"},
        ),
        (
            {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_GENAI_USE_VERTEXAI": "True"},
            "vertex",
            {"credential": "default", "project": "p"},
        ),
        ({"GOOGLE_VERTEX_API_KEY": KEY}, "vertex", {"api_key": KEY}),
        ({**HOST, "DATABRICKS_TOKEN": KEY, **CLIENT}, "databricks", {"api_key": KEY}),
        ({**HOST, **CLIENT}, "databricks", {"client_id": "a", "client_secret": "b"}),
        ({"SNOWFLAKE_HOST": "MYORG-ACCOUNT", "SNOWFLAKE_TOKEN": KEY}, "snowflake", {"api_key": KEY}),
        ({"GITHUB_COPILOT_TOKEN": KEY}, "github_copilot", {"api_key": KEY}),
        ({"GEMINI_API_KEY": "other-key", "GOOGLE_API_KEY": KEY}, "google", {"api_key": KEY}),
        (
            {"AZURE_FOUNDRY_ENDPOINT": "https://r.services.ai.azure.com", "AZURE_FOUNDRY_MODEL": "claude-x"},
            "azure_foundry",
            {"vendor": "azure_openai", "credential": "default", "models": ("claude-x",)},
        ),
        (
            {
                "AZURE_FOUNDRY_ENDPOINT": "https://r.services.ai.azure.com",
                "AZURE_FOUNDRY_API_KEY": KEY,
                "AZURE_FOUNDRY_API_VERSION": "2025-04-01-preview",
            },
            "azure_foundry",
            {"vendor": "azure_openai", "api_key": KEY, "api_version": "2025-04-01-preview"},
        ),
    ],
)
def test_clouds_sign_in_with_what_there_is(env: dict[str, str], name: str, said: dict[str, Any]) -> None:
    settings = start(env)
    assert list(settings.providers) == [name]
    provider, nothing = settings.providers[name], config.Provider(vendor=name)
    names = [field for field in provider.__struct_fields__ if field not in ("base_url", "resilience")]
    assert {field: value for field in names if (value := getattr(provider, field)) != getattr(nothing, field)} == said
    assert chat_url(settings, name)


RETRIES = {
    "GCP_MAX_RETRIES": "6",
    "GCP_INITIAL_RETRY_INTERVAL_MS": "5000",
    "GCP_BACKOFF_MULTIPLIER": "1.5",
    "GCP_MAX_RETRY_INTERVAL_MS": "320000",
}
FEW_RETRIES = {name: value for name, value in RETRIES.items() if "INTERVAL" not in name}
TRIES: dict[str, Any] = {"retries": 6, "backoff": {"initial": 5.0, "multiplier": 1.5, "max": 320.0}}
VERTEX = "providers: {vertex: {project: p, location: global, resilience: %s}, openai: {api_key: sk-0123456789}}"


@pytest.mark.parametrize(
    ("env", "own", "resilience"),
    [
        (RETRIES, "{}", TRIES),
        (FEW_RETRIES, "{}", {"retries": 6, "backoff": {"multiplier": 1.5}}),
        (RETRIES, "{retries: 1, backoff: {max: 9s}}", {"retries": 1, "backoff": {**TRIES["backoff"], "max": 9.0}}),
        # Above our longest pause, which nobody has set.
        ({"GCP_INITIAL_RETRY_INTERVAL_MS": "20000"}, "{}", {"backoff": {"initial": 20.0, "max": 20.0}}),
        ({"BEDROCK_MAX_RETRIES": "9", "DATABRICKS_MAX_RETRIES": "9"}, "{}", {}),
        ({"GCP_MAX_RETRIES": " "}, "{}", {}),
    ],
)  # fmt: skip
def test_clouds_are_tried_as_hard_as_their_variables_say(
    env: dict[str, str], own: str, resilience: dict[str, Any]
) -> None:
    """With a file, what the provider itself says stands; without one, the variables are all there is."""
    settings = config.parse(VERTEX % own, env)
    assert settings.providers["vertex"].resilience == resilience
    assert settings.providers["openai"].resilience == {}
    told = [note for note in settings.notes if "resilience" in note]
    assert {note.partition(" ")[0] for note in told} == {
        variable for path, variable in settings.variables.items() if "resilience" in path
    }
    if own == "{}":
        alone = start({"GCP_PROJECT_ID": "p", **env})
        assert alone.providers["vertex"].resilience == resilience
        assert not [note for note in alone.notes if "resilience" in note]


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"GCP_MAX_RETRIES": "many"}, 'GCP_MAX_RETRIES: expected a whole number of at least 0, not "many"'),
        ({"GCP_MAX_RETRY_INTERVAL_MS": "8s"}, "GCP_MAX_RETRY_INTERVAL_MS: is not a number of milliseconds"),
        ({"GCP_BACKOFF_MULTIPLIER": "0.5"}, "GCP_BACKOFF_MULTIPLIER: expected a number of at least 1"),
    ],
)
def test_mistakes_in_how_hard_to_try_are_said_of_the_variable(env: dict[str, str], said: str) -> None:
    [problem] = config.problems(VERTEX % "{}", env)
    assert str(problem).startswith(said)
    with pytest.raises(OperatorError, match=said.partition(":")[0]):
        start({"GCP_PROJECT_ID": "p", **env})
    # Who says it anyhow does not need the variable, and who calls another vendor is not asked.
    assert not config.problems(VERTEX % "{retries: 1, backoff: {max: 9s, multiplier: 2}}", env)
    assert start({**OPENAI, **env}).providers


def test_every_retry_variable_reaches_its_vendor() -> None:
    for vendor, prefix in retries.PREFIXES.items():
        env = {variable: "7" for variable in retries.VARIABLES if variable.startswith(f"{prefix}_")}
        assert len(env) == len(retries.ENDINGS)
        heard, variables = retries.honoured({"a": config.Provider(vendor=vendor)}, env, Findings())
        assert set(variables.values()) == set(env)
        assert heard["a"].resilience == {"retries": 7, "backoff": {"initial": 0.007, "multiplier": 7.0, "max": 0.007}}


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
        (
            # goose asks for the model that is made here, and its worker is named beside it.
            {**OPENAI, "GOOSE_LEAD_MODEL": "gpt-5", "GOOSE_MODEL": "goose", "GOOSE_MODEL_WORKER": "gpt-5-mini"},
            {"lead": "openai/gpt-5", "worker": "openai/gpt-5-mini"},
        ),
        (
            # Goose's own name goes before the one that is only written of it.
            {**OPENAI, "GOOSE_LEAD_MODEL": "gpt-5", "GOOSE_MODEL_LEAD": "o3", "GOOSE_MODEL": "gpt-5-mini"},
            {"lead": "openai/gpt-5"},
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


LIMITS = {"GOOSE_LEAD_CONTEXT_LIMIT": "200000", "GOOSE_WORKER_CONTEXT_LIMIT": "32000", "GOOSE_CONTEXT_LIMIT": "64000"}


@pytest.mark.parametrize(
    ("env", "windows"),
    [
        ({**LEAD, **LIMITS}, {"a": 200_000, "b": 32_000}),
        ({**LEAD, "GOOSE_CONTEXT_LIMIT": "64000"}, {"a": 64_000, "b": 64_000}),
        ({**LEAD, "GOOSE_CONTEXT_LIMIT": "64000", "GOOSE_LEAD_CONTEXT_LIMIT": "99"}, {"a": 99, "b": 64_000}),
        ({**LEAD, "GOOSE_WORKER_CONTEXT_LIMIT": "32000"}, {"b": 32_000}),
        ({"GOOSE_MODEL": "b", **LIMITS}, {"b": 64_000}),
        (LEAD, {}),
        (LIMITS, {}),
    ],
)
def test_windows_of_gooses_models(env: dict[str, str], windows: dict[str, int]) -> None:
    assert start({**OPENAI, **env}).providers["openai"].windows == windows


def test_window_of_a_model_that_leads_itself_is_the_leads() -> None:
    settings = start({**OPENAI, **LIMITS, "GOOSE_LEAD_MODEL": "a", "GOOSE_MODEL": "a"})
    assert settings.providers["openai"].windows == {"a": 200_000}
    [note] = settings.notes
    assert note == "GOOSE_WORKER_CONTEXT_LIMIT is passed over: another variable has set the window of openai/a"


PLANS: dict[str, tuple[dict[str, str], str]] = {
    "before lead and worker": ({**OPENAI, **LEAD, "GOOSE_PLANNER_MODEL": "o3"}, "openai/o3"),
    "before a model alone": ({**OPENAI, "GOOSE_MODEL": "b", "GOOSE_PLANNER_MODEL": "o3"}, "openai/o3"),
    "elsewhere": (
        {**BOTH, **LEAD, "GOOSE_PROVIDER": "groq", "GOOSE_PLANNER_PROVIDER": "openai", "GOOSE_PLANNER_MODEL": "o3"},
        "openai/o3",
    ),
    "where the others are": ({**BOTH, **LEAD, "GOOSE_PROVIDER": "groq", "GOOSE_PLANNER_MODEL": "kimi"}, "groq/kimi"),
}


@pytest.mark.parametrize(("env", "planner"), PLANS.values(), ids=PLANS)
def test_planner_of_goose(env: dict[str, str], planner: str) -> None:
    settings = start({**env, "GOOSE_PLANNER_CONTEXT_LIMIT": "64000"})
    model = settings.models["goose-planner"]
    assert (model.kind, model.strategy.references()) == ("plan_first", (planner, "goose"))
    provider, _, name = planner.partition("/")
    assert settings.providers[provider].windows == {name: 64_000}
    assert not settings.notes


@pytest.mark.parametrize(
    ("env", "lacks"),
    [
        (OPENAI, "there is no model goose here"),
        ({**OPENAI, **LEAD, "GOOSE_PLANNER_PROVIDER": "anthropic"}, 'there is no provider "anthropic" here'),
    ],
)
def test_planner_of_goose_that_cannot_be_is_noted(env: dict[str, str], lacks: str) -> None:
    settings = start({**env, "GOOSE_PLANNER_MODEL": "o3"})
    assert settings.notes == (f"GOOSE_PLANNER_MODEL is set, but {lacks}, so no model goose-planner",)
    assert "goose-planner" not in settings.models


@pytest.mark.parametrize(
    ("named", "env", "provider"),
    [
        ("aws_bedrock", {**AWS, "AWS_PROFILE": "a"}, "bedrock"),
        ("gcp_vertex_ai", {"GCP_PROJECT_ID": "p"}, "vertex"),
        ("sagemaker_tgi", {**AWS, "SAGEMAKER_ENDPOINT_NAME": "mine"}, "sagemaker_tgi"),
        ("databricks_v2", {**HOST, "DATABRICKS_TOKEN": KEY}, "databricks"),
        ("azure_foundry", {"AZURE_FOUNDRY_ENDPOINT": "https://r.services.ai.azure.com"}, "azure_foundry"),
        ("google", {"GOOGLE_API_KEY": KEY}, "google"),
        ("gemini", {"GOOGLE_API_KEY": KEY}, "google"),
        ("custom_deepseek", {"DEEPSEEK_API_KEY": KEY}, "deepseek"),
    ],
)
def test_goose_knows_providers_by_other_names(named: str, env: dict[str, str], provider: str) -> None:
    settings = start({**OPENAI, **env, "GOOSE_PROVIDER": named, "GOOSE_MODEL": "m"})
    assert settings.models["goose"].strategy.references() == (f"{provider}/m",)


@pytest.mark.parametrize(
    ("env", "note"),
    [
        ({"AWS_PROFILE": "x"}, "AWS_PROFILE is set, but AWS_REGION is not, so there is no bedrock"),
        (
            {"SAGEMAKER_ENDPOINT_NAME": "x"},
            "SAGEMAKER_ENDPOINT_NAME is set, but AWS_REGION is not, so there is no sagemaker_tgi",
        ),
        (
            {"GOOGLE_CLOUD_PROJECT": "x"},
            "GOOGLE_CLOUD_PROJECT is set, but GOOGLE_CLOUD_LOCATION is not, so there is no vertex",
        ),
        ({"GCP_LOCATION": "global"}, "GCP_LOCATION is set, but GCP_PROJECT_ID is not, so there is no vertex"),
        ({"DATABRICKS_TOKEN": KEY}, "DATABRICKS_TOKEN is set, but DATABRICKS_HOST is not, so there is no databricks"),
        (CLIENT, "DATABRICKS_CLIENT_ID is set, but DATABRICKS_HOST is not, so there is no databricks"),
        (HOST, "DATABRICKS_HOST is set, but DATABRICKS_TOKEN is not, so there is no databricks"),
        ({"SNOWFLAKE_TOKEN": KEY}, "SNOWFLAKE_TOKEN is set, but SNOWFLAKE_HOST is not, so there is no snowflake"),
        (
            {"AZURE_FOUNDRY_API_KEY": KEY},
            "AZURE_FOUNDRY_API_KEY is set, but AZURE_FOUNDRY_ENDPOINT is not, so there is no azure_foundry",
        ),
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
        ({**OPENAI, "GOOSE_LEAD_MODEL": "a", "GOOSE_MODEL": "goose"}, ["GOOSE_MODEL: is goose, which is lead and"]),
        ({**OPENAI, **LEAD, "GOOSE_CONTEXT_LIMIT": "0"}, ["GOOSE_CONTEXT_LIMIT: expected a whole number"] * 2),
        ({**BOTH, "GOOSE_MODEL": "b"}, ["GOOSE_PROVIDER: is not set, but GOOSE_MODEL is (set it to one of"]),
        (
            {**OPENAI, **LEAD, "GOOSE_LEAD_PROVIDER": "anthropic"},
            ['GOOSE_LEAD_PROVIDER: there is no provider "anthropic" here (set ANTHROPIC_API_KEY)'],
        ),
        (
            {**OPENAI, **LEAD, "GOOSE_LEAD_PROVIDER": "aws_bedrock"},
            ['GOOSE_LEAD_PROVIDER: there is no provider "bedrock" here (set AWS_REGION, and AWS_BEARER_TOKEN_BEDROCK,'],
        ),
        (
            {**OPENAI, **LEAD, "GOOSE_LEAD_PROVIDER": "snowflake"},
            ['GOOSE_LEAD_PROVIDER: there is no provider "snowflake" here (set SNOWFLAKE_HOST and SNOWFLAKE_TOKEN)'],
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
