"""``skein check``: every problem, or where each call will go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.config import from_environment, parse
from gateway.errors import OperatorError
from gateway.observe import otlp
from gateway.observing import Observing
from tests.cli.conftest import Skein

SECRET = "sk-proj-a-very-secret-key"
GOOD = """
providers:
  openai: {api_key: "${MY_KEY}"}
  mistral: {api_key: sk-mistral-literal}
  azure-eu:
    vendor: azure_openai
    endpoint: https://eu.openai.azure.com
    api_key: "${AZURE_OPENAI_API_KEY}"
    api_version: "2024-10-21"
    deployments: {gpt-4.1: prod-gpt41}
  azure-v1:
    vendor: azure_openai
    endpoint: https://us.openai.azure.com
    credential: default
    deployments: {o3: mine}
  local: {vendor: openai_compatible, base_url: "http://127.0.0.1:8000/v1?key=hush-hush"}
models:
  fast: [openai/gpt-5-mini, azure-eu/gpt-4.1-mini]
  spread: {strategy: weighted, targets: [{target: openai/gpt-5, weight: 3}, azure-eu/gpt-4.1]}
  coder: {strategy: lead_worker, lead: fast, worker: spread}
aliases: {gpt-4o: fast}
server: {workers: 2}
"""
ENV = {"MY_KEY": SECRET, "AZURE_OPENAI_API_KEY": "azure-secret-0001"}


def test_the_final_url_of_each_operation_is_shown(skein: Skein) -> None:
    ran = skein("check", config=GOOD, env=ENV)
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    version = "?api-version=2024-10-21"
    assert ["chat", "https://api.openai.com/v1/chat/completions"] in lines
    for deployment, model in (("prod-gpt41", "gpt-4.1"), ("gpt-4.1-mini", "gpt-4.1-mini")):
        url = f"https://eu.openai.azure.com/openai/deployments/{deployment}/chat/completions{version}"
        assert ["chat", url, "for", model] in lines
    assert ["models", f"https://eu.openai.azure.com/openai/models{version}"] in lines
    assert ["model", "o3", "is", "called", "mine", "there"] in lines
    assert "spread  weighted     openai/gpt-5 (weight 3), azure-eu/gpt-4.1" in ran.out
    assert "lead fast, worker spread" in ran.out
    assert "gpt-4o  -> fast" in ran.out
    first, second = ran.err.splitlines()
    assert first == "note: server.workers is more than 1 without server.metrics_port: metrics cannot be scraped"
    assert second.startswith("note: server.workers is more than 1 with sessions.store: memory: ")


def test_every_way_to_an_account_is_shown(skein: Skein) -> None:
    config = """
providers:
  google: {api_key: "${MY_KEY}"}
  azure: {vendor: azure_openai, endpoint: "https://eu.openai.azure.com", api_key: "${AZURE_OPENAI_API_KEY}"}
  bedrock: {region: us-east-1, api_key: "${MY_KEY}"}
  plain: {vendor: bedrock, region: us-east-1, api_key: "${MY_KEY}", dialect: openai_chat}
models: {fast: [google/gemini-2.5-flash, azure/claude-opus-5, bedrock/us.amazon.nova-lite-v1:0]}
"""
    found = skein("check", "--json", config=config, env=ENV).json["providers"]
    runtime, control = "https://bedrock-runtime.us-east-1.amazonaws.com", "https://bedrock.us-east-1.amazonaws.com"
    assert found["bedrock"]["faces"] == []
    assert found["bedrock"]["urls"]["models"].startswith(f"{control}/foundation-models")
    assert found["bedrock"]["deployments"]["us.amazon.nova-lite-v1:0"]["urls"] == {
        "chat": f"{runtime}/model/us.amazon.nova-lite-v1%3A0/converse",
        "chat_stream": f"{runtime}/model/us.amazon.nova-lite-v1%3A0/converse-stream",
        "count_tokens": f"{runtime}/model/us.amazon.nova-lite-v1%3A0/count-tokens",
        "embeddings": f"{runtime}/model/us.amazon.nova-lite-v1%3A0/invoke",
    }
    assert found["plain"]["dialect"] == "openai_chat"
    assert found["plain"]["urls"]["chat"] == f"{runtime}/openai/v1/chat/completions"
    claude, responses = found["azure"]["faces"]
    assert responses["dialect"] == "openai_responses"
    assert responses["urls"] == {"chat": "https://eu.openai.azure.com/openai/v1/responses"}
    assert (claude["dialect"], claude["serves"]) == ("anthropic_messages", ["claude-*"])
    assert claude["urls"]["chat"] == "https://eu.services.ai.azure.com/anthropic/v1/messages"
    lines = [line.split() for line in skein("check", env=ENV).out.splitlines()]
    stream = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert ["chat_stream", stream, "for", "gemini-2.5-flash"] in lines
    assert ["openai_chat,", "Authorization:", "Bearer", "****", "($MY_KEY)"] in lines
    assert ["embeddings", "https://generativelanguage.googleapis.com/v1beta/openai/embeddings"] in lines
    assert lines.index(["chat", claude["urls"]["chat"]]) > lines.index(
        ["anthropic_messages", "for", "claude-*,", *claude["auth"].split()]
    )


def test_how_each_provider_signs_in_is_told_without_its_secret(skein: Skein) -> None:
    for form in ((), ("--json",)):
        ran = skein("check", *form, config=GOOD, env=ENV)
        for shown in (
            "Authorization: Bearer **** ($MY_KEY)",
            "Authorization: Bearer **** (in the file)",
            "api-key: **** ($AZURE_OPENAI_API_KEY)",
            "Authorization: Bearer **** (Entra ID)",
            "no key",
        ):
            assert shown in ran.out
        for secret in (SECRET, "sk-mistral-literal", "azure-secret-0001", "hush-hush"):
            assert secret not in ran.out + ran.err


def test_a_variable_is_only_named_where_the_file_names_it(skein: Skein) -> None:
    config = """
providers:
  openai: {api_key: sk-the-very-same-key}
  groq: {api_keys: ["${UNSET:-${SECOND}}", "${FIRST}"]}
  xai: {api_key: "xai-${FIRST}"}
"""
    env = {"OPENAI_API_KEY": "sk-the-very-same-key", "FIRST": "first-key-1", "SECOND": "second-key-2"}
    ran = skein("check", config=config, env=env)
    assert "provider openai: OpenAI, Authorization: Bearer **** (in the file)" in ran.out
    assert "Authorization: Bearer **** ($SECOND, the first of 2 keys)" in ran.out
    assert "provider xai: xAI, Authorization: Bearer **** (in the file)" in ran.out


def test_what_config_show_has_masked_is_a_problem(skein: Skein) -> None:
    shown = skein("config", "show", config=GOOD, env=ENV).out
    ran = skein("check", config=shown)
    assert ran.code == 2
    assert "providers.openai.api_key: is masked" in ran.err
    assert "is the same key" not in ran.err


def test_results_that_cannot_be_written_are_a_short_word(skein: Skein, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        ran = skein("check", config=GOOD, env=ENV)
    assert (ran.code, ran.err.splitlines()[-1]) == (1, "the results cannot be written: No space left on device")


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "2>&-", ">/dev/full", "2>/dev/full", ">&-"])
def test_a_stream_that_is_closed_or_full_makes_no_traceback(tmp_path: Path, closed: str) -> None:
    command = f"{sys.executable} -P -m gateway check {closed}"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ran.returncode == (1 if ">&- 2>&-" in closed or closed in (">/dev/full", ">&-") else 0)
    assert "Traceback" not in ran.stderr
    assert "the results cannot be written" in ran.stderr or closed not in (">/dev/full", ">&-")


def test_programs_get_json(skein: Skein) -> None:
    found = skein("check", "--json", config=GOOD, env=ENV).json
    assert found["ok"] is True
    assert found["source"] == "skein.yaml"
    assert found["providers"]["openai"]["urls"]["models"] == "https://api.openai.com/v1/models"
    assert found["providers"]["azure-eu"]["deployments"]["gpt-4.1"]["deployment"] == "prod-gpt41"
    assert found["models"]["fast"] == {
        "strategy": "priority",
        "targets": ["openai/gpt-5-mini", "azure-eu/gpt-4.1-mini"],
    }
    assert found["aliases"] == {"gpt-4o": "fast"}
    assert found["notes"]


BAD = """
providers: {opnai: {api_key: x-12345678}}
models: {fast: [groq/x]}
server: {prot: 1}
"""


def test_every_problem_is_told_and_the_code_is_two(skein: Skein) -> None:
    ran = skein("check", config=BAD)
    assert (ran.code, ran.out) == (2, "")
    assert "3 problems in the configuration:" in ran.err
    for place in ("providers.opnai.vendor", "models.fast", "server.prot"):
        assert place in ran.err
    told = skein("check", "--json", config=BAD)
    assert told.code == 2
    assert told.json["ok"] is False
    assert {each["path"] for each in told.json["problems"]} == {
        "providers.opnai.vendor", "models.fast.targets[0]", "server.prot",
    }  # fmt: skip


COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
MEASURED = "observe: {otlp: {metrics: true}}"
LANGFUSE = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": SECRET}


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["for people", "for programs"])
@pytest.mark.parametrize(
    ("file", "env", "expected"),
    [
        (None, {"LANGFUSE_PUBLIC_KEY": "pk-lf-1"}, ["LANGFUSE_SECRET_KEY: is missing"]),
        (None, {"LANGFUSE_SECRET_KEY": SECRET}, ["LANGFUSE_PUBLIC_KEY: is missing"]),
        (None, {**LANGFUSE, "LANGFUSE_HOST": "nope"}, ['LANGFUSE_HOST: "nope" is not a URL']),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "garbage"}, ['OTEL_EXPORTER_OTLP_ENDPOINT: "garbage" is not a URL']),
        (None, {**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "xml"}, ["OTEL_EXPORTER_OTLP_PROTOCOL: no protocol"]),
        (
            None,
            {**COLLECTOR, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"},
            ['OTEL_TRACES_SAMPLER_ARG: is "7"'],
        ),
        (GOOD, {**ENV, "OTEL_EXPORTER_OTLP_ENDPOINT": "garbage"}, ["OTEL_EXPORTER_OTLP_ENDPOINT"]),
        (MEASURED, {"OTEL_EXPORTER_OTLP_ENDPOINT": "garbage"}, ["OTEL_EXPORTER_OTLP_ENDPOINT"]),
        (MEASURED, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "garbage"}, ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"]),
        (
            MEASURED,
            {
                "LANGFUSE_PUBLIC_KEY": "pk-lf-1",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "xml",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "garbage",
                "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": "/no/ca.pem",
                "OTEL_TRACES_SAMPLER": "traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "7",
            },
            [
                "LANGFUSE_SECRET_KEY",
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "OTEL_TRACES_SAMPLER_ARG",
                "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
            ],
        ),
    ],
)
def test_telemetry_that_serve_would_refuse_is_refused(
    skein: Skein, form: tuple[str, ...], file: str | None, env: dict[str, str], expected: list[str]
) -> None:
    ran = skein("check", *form, config=file, env=env)
    assert ran.code == 2
    if form:
        said = ["{path}: {what}".format(**problem) for problem in ran.json["problems"]]
    else:
        count, *said = [line.strip() for line in ran.err.splitlines()]
        assert count == f"{len(said)} problem{'s' if len(said) > 1 else ''} in the configuration:"
    assert len(said) == len(expected)
    assert all(line.startswith(start) for line, start in zip(said, expected, strict=True)), said
    assert SECRET not in ran.out + ran.err
    settings = parse(file, env) if file else from_environment(env)
    with pytest.raises(OperatorError) as refused:
        Observing(settings, env, lambda: 0.0, str, None)
    assert len(refused.value.problems) == len(expected)


@pytest.mark.parametrize(
    ("file", "env"),
    [
        (None, {**LANGFUSE, **COLLECTOR}),
        (None, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"}),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "garbage", "OTEL_SDK_DISABLED": "true"}),
        ("observe: {langfuse: {public_key: pk-lf-1, secret_key: sk-lf-1}}", {"LANGFUSE_PUBLIC_KEY": "pk-lf-2"}),
        ("observe: {otlp: {metrics: false}}", {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "garbage"}),
    ],
)
def test_telemetry_is_checked_as_far_as_it_is_used(skein: Skein, file: str | None, env: dict[str, str]) -> None:
    threads = threading.active_count()
    assert skein("check", config=file, env=env).code == 0
    assert threading.active_count() == threads


def test_grpc_that_is_not_installed_is_a_problem(skein: Skein, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "_is_installed", lambda module: False)
    ran = skein("check", env={**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert ran.code == 2
    assert "OTEL_EXPORTER_OTLP_PROTOCOL: is grpc, but" in ran.err


def test_without_a_file_the_environment_is_checked(skein: Skein) -> None:
    assert skein("check").out.startswith("environment: no problems\n\nprovider simulator")
    ran = skein("check", env={"OPENAI_API_KEY": SECRET})
    assert "provider openai: OpenAI, Authorization: Bearer **** ($OPENAI_API_KEY)" in ran.out


def test_a_missing_file_and_a_wrong_command_are_usage(skein: Skein) -> None:
    ran = skein("check", "--config", "nowhere.yaml")
    assert ran.code == 2
    assert "nowhere.yaml: there is no such file" in ran.err
    assert skein("chekc").code == 2
    assert skein("serve", "--port", "99999").code == 2
