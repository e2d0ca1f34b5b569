"""Vendors of the operator's own: what the section ``vendors`` becomes, and what installed packages bring."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import config
from gateway.config import vendors
from gateway.config.settings import CustomVendor
from gateway.vendors import VENDORS, Vendor, routes
from tests.test_config_files import good

KEY = "sk-0123456789"


def custom(section: str, **env: str) -> Mapping[str, Vendor]:
    return config.parse(f"vendors: {section}", env).vendors


def urls(settings: config.Config, provider: str) -> dict[str, str]:
    each = settings.providers[provider]
    return {str(name): url for name, url in routes(settings.vendors[each.vendor], each.account).urls.items()}


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (
            "plain",
            {
                "chat": "http://10.0.0.5:8000/v1/chat/completions",
                "completions": "http://10.0.0.5:8000/v1/completions",
                "models": "http://10.0.0.5:8000/v1/models",
                "embeddings": "http://10.0.0.5:8000/v1/embeddings",
            },
        ),
        (
            "pasted",
            {
                "chat": "https://llm.example.com/team/v1/chat/completions",
                "completions": "https://llm.example.com/team/v1/completions",
                "models": "https://llm.example.com/team/v1/models",
                "embeddings": "https://llm.example.com/team/v1/embeddings",
            },
        ),
        (
            "versionless",
            {
                "chat": "https://other.example/chat",
                "completions": "https://other.example/completions",
                "models": "https://other.example/v1/models",
            },
        ),
        (
            "acme-eu",
            {
                "chat": "https://eu.acme.example/api/chat/completions",
                "completions": "https://eu.acme.example/api/completions",
                "models": "https://eu.acme.example/api/models",
                "embeddings": "https://eu.acme.example/api/embeddings",
            },
        ),
        ("bedrock-openai", {"chat": "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1/chat/completions"}),
    ],
)
def test_url_of_every_operation(provider: str, expected: dict[str, str]) -> None:
    assert urls(good("vendors"), provider) == expected


def test_data_becomes_the_struct_and_deltas_change_only_what_they_say() -> None:
    made = good("vendors").vendors
    acme = made["acme"]
    assert acme == Vendor(
        name="acme",
        title="Acme",
        docs=VENDORS["openai_compatible"].docs,
        base_url="https://llm.acme.example/api",
        paths=VENDORS["openai_compatible"].paths,
        auth="x-api-key",
        headers={"x-tenant": "blue"},
        rename={"max_completion_tokens": "max_tokens"},
        drop=frozenset({"logit_bias"}),
        drop_from_messages=frozenset({"reasoning_content"}),
        key_env=("ACME_API_KEY",),
        owns=("acme-*",),
        prefill={"prefix": True},
        stream_usage=False,
        prices="openai",
    )
    assert made["acme-eu"] == msgspec.structs.replace(
        acme,
        name="acme-eu",
        title="acme-eu",
        base_url="https://eu.acme.example/api",
        headers={"x-zone": "eu"},
        drop=frozenset({"logit_bias", "seed"}),
    )
    openai = VENDORS["openai"]
    told, *faces = (msgspec.structs.replace(row, headers={"x-cost-centre": "42"}) for row in (openai, *openai.faces))
    assert made["openai"] == msgspec.structs.replace(told, faces=tuple(faces))
    assert made["gcp"].locate is VENDORS["vertex"].locate
    assert {face.name for face in made["gcp"].faces} == {"gcp"}
    assert (made["signed"].auth, made["signed"].identity) == ("sigv4", "aws")
    assert good("vendors").providers["signed"].region == "us-east-1"


def test_what_comes_along_is_never_changed_by_a_file() -> None:
    before = dict(VENDORS)
    custom("{openai: {extends: openai, base_url: 'https://proxy.example/v1'}}")
    assert before == VENDORS
    assert config.parse("", {}).vendors["openai"] is VENDORS["openai"]


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_every_vendor_can_be_extended(name: str) -> None:
    """A delta of nothing is the same vendor, and a base of one's own is that of all its faces, as a provider's is."""
    same = custom(f"{{{name}: {{extends: {name}, headers: {{}}}}}}")[name]
    assert same == VENDORS[name]
    moved = custom(f"{{mine: {{extends: {name}, base_url: 'http://127.0.0.1:9/gw'}}}}")["mine"]
    for row in (moved, *moved.faces):
        assert row.name == "mine"
        assert row.base_url == "http://127.0.0.1:9/gw"


def test_dialect_of_a_face_is_that_face() -> None:
    mine = custom("{mine: {extends: bedrock, dialect: openai_chat}}")["mine"]
    assert (mine.dialect, mine.faces, mine.serves) == ("openai_chat", (), ("*",))
    claude = custom("{mine: {dialect: anthropic_messages, base_url: 'https://c.example'}}")["mine"]
    assert routes(claude, config.Provider().account).urls["chat"] == "https://c.example/v1/messages"
    assert (claude.auth, claude.listing) == ("x-api-key", "anthropic")


@pytest.mark.parametrize(
    ("said", "required"),
    [
        ("{}", False),
        ("{key_env: [K]}", True),
        ("{key_env: [K], key_required: false}", False),
        ("{extends: openai}", True),
    ],
)
def test_key_is_asked_for_where_there_usually_is_one(said: str, required: bool) -> None:
    assert custom(f"{{mine: {said}}}")["mine"].key_required is required


def test_every_setting_of_a_vendor_is_the_field_of_that_name() -> None:
    """So that a field added to the struct is either configurable or left out knowingly."""
    code = {"name", "faces", "adapt", "unframe", "locate", "identity", "aliases", "base_env", "host_env"}
    code |= {"counts", "embeds", "no_tools_while_thinking"}
    assert set(CustomVendor.__struct_fields__) - {"extends"} == set(Vendor.__struct_fields__) - code


def test_vendor_nobody_names_is_noted() -> None:
    section = "vendors: {mine: {base_url: 'https://a.example'}, base: {}, used: {extends: base}}"
    providers = "providers: {a: {vendor: used, base_url: 'http://h'}}"
    assert config.parse(f"{section}\n{providers}", {}).notes == ("vendors.mine is of no provider: nothing calls it",)


# Installed packages


class Point:
    """As ``importlib.metadata`` gives them."""

    dist = None

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.name, self.load = name, load


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    def points(*loads: Any) -> None:
        made = [Point(f"p{number}", load) for number, load in enumerate(loads)]
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: made if group == vendors.GROUP else [])
        vendors.installed.cache_clear()

    yield points
    monkeypatch.undo()
    vendors.installed.cache_clear()


ACME = msgspec.structs.replace(
    VENDORS["openai_compatible"], name="acme", base_url="https://a.example/v1", key_env=("ACME_KEY",)
)


def _raises() -> Any:
    raise ModuleNotFoundError("No module named 'acme'")


@pytest.mark.parametrize(
    ("load", "note"),
    [
        (_raises, "ModuleNotFoundError: No module named 'acme'"),
        (lambda: 7, "it is a int, not a gateway.vendors.Vendor"),
        (lambda: lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: lambda: None, "it is a NoneType, not a gateway.vendors.Vendor"),
        (lambda: msgspec.structs.replace(ACME, name="openai"), "there is a vendor openai already"),
        (lambda: msgspec.structs.replace(ACME, name="aws_bedrock"), "there is a vendor aws_bedrock already"),
        (lambda: msgspec.structs.replace(ACME, name="Ac me"), '"Ac me" cannot be a vendor\'s name'),
        (lambda: msgspec.structs.replace(ACME, dialect="morse"), 'no dialect "morse"'),
        (lambda: msgspec.structs.replace(ACME, base_url="http://u:hunter2@h"), "ValueError: "),
    ],
)
def test_broken_entry_point_is_a_note(install: Callable[..., None], load: Any, note: str) -> None:
    install(load)
    [said] = config.parse("", {}).notes
    assert said.startswith(f"the vendor of the entry point p0 is left out: {note}")
    [problem] = config.problems("providers: {acme: {api_key: sk-0123456789}}", {})
    assert (problem.what, problem.remedy) == ('no vendor "acme", line 1', said)


@pytest.mark.parametrize("load", [lambda: ACME, lambda: lambda: ACME])
def test_entry_point_is_a_vendor_or_makes_one(install: Callable[..., None], load: Any) -> None:
    install(load)
    settings = config.parse("providers: {acme: {api_key: sk-0123456789}}", {})
    assert settings.vendors["acme"] is ACME
    assert settings.notes == ()
    assert config.from_environment({"ACME_KEY": KEY}).providers["acme"].keys == (KEY,)
    extended = config.parse("vendors: {mine: {extends: acme, drop: [seed]}}", {}).vendors["mine"]
    assert extended.drop == {"seed"}


def test_second_of_a_name_is_a_note(install: Callable[..., None]) -> None:
    install(lambda: ACME, lambda: ACME)
    assert config.parse("", {}).notes == (
        "the vendor of the entry point p1 is left out: there is a vendor acme already",
    )


def test_entry_points_are_known_by_their_package() -> None:
    assert vendors.origin(EntryPoint("acme", "acme:VENDOR", vendors.GROUP)) == "the entry point acme"


def test_importing_looks_for_no_packages() -> None:
    code = "import sys, gateway.config; print('importlib.metadata' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_what_is_shown_can_be_read_again() -> None:
    from gateway.cli.config import shown

    settings = good("vendors")
    said = shown(settings)
    assert "bedrock-openai" in said["vendors"]
    again = config.parse(f"vendors: {json.dumps(said['vendors'])}", {})
    assert again.vendors == settings.vendors
    assert list(shown(config.parse("", {}))) == list(said)[1:]


def test_secrets_of_clouds_are_never_printed() -> None:
    secrets = {name: f"hidden-{name}" for name in ("secret_access_key", "session_token", "client_secret", "ad_token")}
    provider = config.Provider(vendor="bedrock", access_key_id="AKIDEXAMPLE", **secrets)
    assert "hidden" not in repr(provider)
    assert "AKIDEXAMPLE" in repr(provider)


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("aws-eu", "https://bedrock-runtime.eu-central-1.amazonaws.com/model/m/converse"),
        ("aws-local", "http://127.0.0.1:9999/model/m/converse"),
        (
            "vertex",
            "https://europe-west1-aiplatform.googleapis.com/v1beta1/projects/my-project/locations/europe-west1/",
        ),
        ("tgi", "https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints/m/invocations"),
    ],
)
def test_account_is_where_the_settings_say(provider: str, url: str) -> None:
    settings = good("provider_clouds")
    each = settings.providers[provider]
    assert routes(settings.vendors[each.vendor], each.account).url("chat", "m").startswith(url)


def test_nothing_said_in_a_cloud_means_what_the_machine_offers() -> None:
    providers = good("provider_clouds").providers
    asked = {name for name, each in providers.items() if each.credential == "default"}
    assert asked == {"bedrock", "aws-pasted", "aws-openai", "tgi", "vertex"}
    assert providers["aws-pasted"].region == "eu-west-1"


def test_a_file_of_credentials_that_is_not_there_is_noted() -> None:
    settings = "providers: {vertex: {credentials_file: /nowhere/key.json, project: p}}"
    said = "there is no file /nowhere/key.json: nobody can sign in by it"
    assert f"providers.vertex.credentials_file: {said}" in config.parse(settings, {}).notes


def test_vertex_takes_the_project_of_its_credentials(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text('{"type": "service_account", "project_id": "of-the-file"}')
    settings = f"providers: {{vertex: {{credentials_file: '{file}'}}}}"
    assert config.parse(settings, {}).providers["vertex"].project == "of-the-file"
    other = f"providers: {{vertex: {{credentials_file: '{file}', project: mine}}}}"
    assert config.parse(other, {}).providers["vertex"].project == "mine"
    express = "providers: {vertex: {api_key: of-express-mode}}"
    assert config.parse(express, {"GOOGLE_CLOUD_PROJECT": "p"}).providers["vertex"].project is None
