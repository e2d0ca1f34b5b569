"""``skein config``: the schema, and the settings in force without their secrets."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from gateway.config import parse, schema
from tests.cli.conftest import Skein

SECRETS = [f"a-secret-number-{number}" for number in range(7)]
CONFIG = """
server: {host: 0.0.0.0, port: 4001}
providers:
  openai: {api_keys: ["${S0}", "${S1}"], headers: {x-team: "${S2}"}, resilience: {timeouts: {total: 2m}}}
  azure: {vendor: azure_openai, endpoint: "https://eu.openai.azure.com", ad_token: "${S3}"}
  local: {vendor: openai_compatible, base_url: "http://127.0.0.1:8000/v1?api_key=${S5}"}
models:
  spread: {strategy: weighted, targets: [{target: openai/gpt-5, weight: 3}, azure/o3], resilience: {retries: 0}}
aliases: {gpt-4o: spread}
access: {mode: keys, keys: [{name: ci, key: "${S4}"}], admin_key: "${S6}"}
"""
ENV = {f"S{number}": secret for number, secret in enumerate(SECRETS)}


def test_the_schema_is_the_committed_one(skein: Skein) -> None:
    ran = skein("config", "schema")
    assert ran.code == 0
    assert json.loads(ran.out) == json.loads(json.dumps(schema()))
    committed = Path(__file__).parents[2] / "docs" / "skein.schema.json"
    assert json.loads(ran.out) == json.loads(committed.read_text())


def test_what_is_shown_is_a_configuration_without_its_secrets(skein: Skein) -> None:
    ran = skein("config", "show", config=CONFIG, env=ENV)
    assert ran.code == 0
    assert ran.out.startswith("# source: skein.yaml\n")
    assert not [secret for secret in SECRETS if secret in ran.out + ran.err]
    said = yaml.safe_load(ran.out)
    assert said["providers"]["openai"]["api_keys"] == ["********", "********"]
    assert said["providers"]["openai"]["headers"] == {"x-team": "********"}
    assert said["access"]["keys"][0] == {"name": "ci", "key": "********", "models": None}
    assert said["resilience"]["timeouts"]["first_token"] == 60.0

    said["providers"]["openai"] |= {"api_keys": SECRETS[:2], "headers": {"x-team": SECRETS[2]}}
    said["providers"]["azure"]["ad_token"] = SECRETS[3]
    said["access"] |= {"keys": [{"name": "ci", "key": SECRETS[4]}], "admin_key": SECRETS[6]}
    read, again = parse(CONFIG, ENV), parse(yaml.safe_dump(said), {})
    for section in ("server", "models", "aliases", "resilience", "observe"):
        assert getattr(read, section) == getattr(again, section)


def test_programs_get_json(skein: Skein) -> None:
    said = skein("config", "show", "--json", config=CONFIG, env=ENV).json
    assert said["source"] == "skein.yaml"
    assert said["config"]["models"]["spread"] == {
        "strategy": "weighted",
        "targets": [{"target": "openai/gpt-5", "weight": 3.0}, "azure/o3"],
        "resilience": {"retries": 0},
    }


def test_without_a_file_the_source_is_the_environment(skein: Skein) -> None:
    ran = skein("config", "show", env={"GROQ_API_KEY": "gsk_0123456789"})
    assert ran.out.startswith("# source: environment\n")
    assert yaml.safe_load(ran.out)["providers"]["groq"]["api_key"] == "********"
