"""``skein check``: every problem, or where each call will go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert "model       o3 is called mine there" in ran.out
    assert "spread  weighted     openai/gpt-5 (weight 3), azure-eu/gpt-4.1" in ran.out
    assert "lead fast, worker spread" in ran.out
    assert "gpt-4o  -> fast" in ran.out
    assert ran.err == "note: server.workers is more than 1 without server.metrics_port: metrics cannot be scraped\n"


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
