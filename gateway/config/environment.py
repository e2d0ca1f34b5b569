"""Without a file: the variables people have already set, read as the settings they amount to.

What comes out is the same tree a file gives, so everything is checked alike; beside it stands which variable said what.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from gateway.config.checking import LATER_VENDORS, SIGNS_IN_BY_ENTRA, is_loopback
from gateway.config.findings import Findings, child, either, quoted
from gateway.config.reading import UNUSABLE, Node
from gateway.vendors import VENDORS, Vendor, base_from_host
from gateway.vendors.azure_openai import read_path
from gateway.vendors.base_url import has_scheme, read_base_url

AZURE_CLASSIC = "2024-10-21"

SETTINGS: Mapping[str, str] = {
    "SKEIN_HOST": "server.host",
    "SKEIN_PORT": "server.port",
    "SKEIN_ACCESS": "access.mode",
}

KEY = "SKEIN_KEY"
FILE_VARIABLE = "SKEIN_CONFIG"
OWN: Mapping[str, str] = {**SETTINGS, KEY: "access.keys"}
"""Our own variables, which say what a file says under this name."""
# A worker's number; and what Kubernetes and Docker set for a service that is called skein:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_NOT_FOR_US = re.compile(r"SKEIN_(WORKER|(SERVICE_HOST|SERVICE_PORT|PORT_\d+)(_.*)?|NAME|ENV_.*)")

HEADERS: Mapping[str, Mapping[str, str]] = {
    "openai": {
        "OPENAI_ORGANIZATION": "OpenAI-Organization",
        "OPENAI_ORG_ID": "OpenAI-Organization",
        "OPENAI_PROJECT": "OpenAI-Project",
        "OPENAI_PROJECT_ID": "OpenAI-Project",
    },
}
CUSTOM_HEADERS = {"openai": "OPENAI_CUSTOM_HEADERS", "litellm": "LITELLM_CUSTOM_HEADERS"}
BASE_PATHS = {"openai": "OPENAI_BASE_PATH", "litellm": "LITELLM_BASE_PATH"}
TIMEOUTS = {"openai": "OPENAI_TIMEOUT", "litellm": "LITELLM_TIMEOUT", "ollama": "OLLAMA_TIMEOUT"}

GOOSE = "goose"
LEAD_WORKER: Mapping[str, tuple[str, ...]] = {
    "lead_turns": ("GOOSE_LEAD_TURNS",),
    "failure_threshold": ("GOOSE_LEAD_FAILURE_THRESHOLD",),
    "fallback_turns": ("GOOSE_LEAD_FALLBACK_TURNS",),
    "worker_max_tokens": ("GOOSE_MAX_TOKENS_WORKER",),
}
LEAD_MODEL = ("GOOSE_LEAD_MODEL", "GOOSE_MODEL_LEAD")
WORKER_MODEL = ("GOOSE_MODEL_WORKER", "GOOSE_MODEL")
VENDORS_OF_GOOSE: Mapping[str, str] = {
    "azure": "azure_openai",
    "custom_deepseek": "deepseek",
    "custom_mistral": "mistral",
    "custom_moonshot": "moonshot",
    "kimi": "moonshot",
    "lm_studio": "lmstudio",
}
"""Names goose has for what is called otherwise here."""

LATER: Mapping[str, str] = {
    "ANTHROPIC_API_KEY": "anthropic",
    "GOOGLE_API_KEY": "google",
    "GEMINI_API_KEY": "google",
    "AWS_BEARER_TOKEN_BEDROCK": "aws_bedrock",
    "AWS_PROFILE": "aws_bedrock",
    "AWS_ACCESS_KEY_ID": "aws_bedrock",
    "SAGEMAKER_ENDPOINT_NAME": "sagemaker_tgi",
    "GCP_PROJECT_ID": "gcp_vertex_ai",
    "DATABRICKS_HOST": "databricks",
    "SNOWFLAKE_HOST": "snowflake",
    "GITHUB_COPILOT_TOKEN": "github_copilot",
}


class Said(msgspec.Struct):
    """What the environment says: the tree of settings, path -> variable, and what was passed over."""

    tree: Node
    variables: dict[str, str]
    notes: tuple[str, ...]


class _Reader:
    def __init__(self, env: Mapping[str, str], found: Findings) -> None:
        self.env = {name: value.strip() for name, value in env.items() if value.strip()}
        self.found = found
        self.settings: dict[str, Any] = {}
        self.variables: dict[str, str] = {}
        self.notes: list[str] = []

    def first(self, *names: str) -> tuple[str, str]:
        """The first of the variables that is set, and its value; the first one's name and nothing if none is."""
        name = next((name for name in names if name in self.env), names[0] if names else "")
        return name, self.env.get(name, "")

    def put(self, keys: tuple[str, ...], value: Any, variable: str) -> None:
        settings, path = self.settings, ""
        for key in keys[:-1]:
            path = child(path, key)
            self.variables.setdefault(path, variable)
            settings = settings.setdefault(key, {})
        settings[keys[-1]] = value
        self.variables[child(path, keys[-1])] = variable

    def complain(self, variable: str, error: ValueError) -> None:
        what, _, remedy = str(error).partition(": ")
        self.found.add(variable, what, remedy)


def read(env: Mapping[str, str], found: Findings) -> Said:
    reader = _Reader(env, found)
    for variable, path in SETTINGS.items():
        if variable in reader.env:
            reader.put(tuple(path.split(".")), reader.env[variable], variable)
    _access(reader)
    for vendor in VENDORS.values():
        if vendor.name == SIGNS_IN_BY_ENTRA:
            _azure(vendor, reader)
        else:
            _provider(vendor, reader)
    _goose(reader)
    for variable, name in LATER.items():
        if variable in reader.env and name not in VENDORS:
            reader.notes.append(f"{variable} is set, but this version does not speak to {name} yet")
    reader.notes += unknown(env)
    return Said(_node(reader.settings), reader.variables, tuple(reader.notes))


def beside_a_file(env: Mapping[str, str], named: Collection[str]) -> list[str]:
    """Notes about variables of ours that a file does not name, and that therefore say nothing."""
    said = [name for name in OWN if env.get(name, "").strip() and name not in named]
    return [f"{name} is set but a file is used: write {OWN[name]} there" for name in said] + unknown(env, named)


def unknown(env: Mapping[str, str], named: Collection[str] = ()) -> list[str]:
    """Notes about variables that are called as ours are and mean nothing."""
    ours = (*OWN, FILE_VARIABLE)
    strange = [name for name in sorted(env) if name.startswith("SKEIN_") and env[name].strip()]
    return [
        f"{name} is set, but nothing is called so ({either(name, ours)})"
        for name in strange
        if name not in (*ours, *named) and not _NOT_FOR_US.fullmatch(name)
    ]


def _node(value: Any) -> Node:
    match value:
        case dict():
            return Node({key: _node(each) for key, each in value.items()})
        case list():
            return Node([_node(each) for each in value])
    return Node(value, filled=True)


def _access(reader: _Reader) -> None:
    """A key is asked for when there is one; without one, who may call is said, or only this machine can."""
    host, mode, key = (reader.env.get(f"SKEIN_{name}", "") for name in ("HOST", "ACCESS", "KEY"))
    reader.variables |= {"access.keys": "SKEIN_KEY", "access.mode": "SKEIN_ACCESS" if mode else "SKEIN_HOST"}
    if key:
        reader.put(("access", "mode"), mode or "keys", "SKEIN_ACCESS" if mode else "SKEIN_KEY")
        reader.put(("access", "keys"), [{"name": "default", "key": key}], "SKEIN_KEY")
    elif mode == "keys":
        reader.found.add("access.keys", "is not set, but SKEIN_ACCESS is keys", "set it")
    elif host and not is_loopback(host) and mode in ("", "open"):
        what = f"{quoted(host)} can be reached from other machines, and nobody is asked for a key"
        reader.found.add(
            "access.mode", what, "set SKEIN_KEY, or SKEIN_ACCESS=trusted if something in front authenticates"
        )


# providers


def _provider(vendor: Vendor, reader: _Reader) -> None:
    key_variable, key = reader.first(*vendor.key_env)
    base_variable, base = _base(vendor, reader)
    if not key and not base:
        return
    name = vendor.name
    reader.put(("providers", name, "vendor"), name, key_variable if key else base_variable)
    if key:
        reader.put(("providers", name, "api_key"), key, key_variable)
    if base:
        reader.put(("providers", name, "base_url"), base, base_variable)
    _headers(name, reader)
    timeout_variable, timeout = reader.first(TIMEOUTS.get(name, ""))
    if timeout:
        reader.put(("providers", name, "resilience", "timeouts", "total"), timeout, timeout_variable)


def _base(vendor: Vendor, reader: _Reader) -> tuple[str, str]:
    """1. A host, with the path that goes with it. 2. A whole base. 3. A path alone, at the vendor's own host."""
    host_variable, host = reader.first(*vendor.host_env)
    base_variable, base = reader.first(*vendor.base_env)
    path_variable, path = reader.first(BASE_PATHS.get(vendor.name, ""))
    try:
        if host:
            _note_scheme(vendor, host_variable, host, reader)
            return host_variable, _below(host, path) if path else base_from_host(vendor, host)
        if base:
            return base_variable, base
        if path and vendor.base_url and any(name in reader.env for name in vendor.key_env):
            return path_variable, _below(read_base_url(vendor.base_url).origin, path)
    except ValueError as error:
        reader.complain(host_variable if host else path_variable, error)
    return host_variable, ""


def _note_scheme(vendor: Vendor, variable: str, host: str, reader: _Reader) -> None:
    """Local servers are named without a scheme by everybody; for a service far away it is a slip."""
    if not has_scheme(host) and (vendor.base_url or "").startswith("https:"):
        reader.notes.append(f"{variable} names no scheme: it is taken as {read_base_url(host).origin}")


def _below(host: str, path: str) -> str:
    """As RFC 3986 joins: a path with a slash before it replaces the host's own."""
    if path.startswith("/"):
        return read_base_url(host).origin + path
    return f"{host.rstrip('/')}/{path}" if has_scheme(host) else f"{read_base_url(host).url()}/{path}"


def _headers(name: str, reader: _Reader) -> None:
    for variable, header in HEADERS.get(name, {}).items():
        if variable in reader.env and header not in reader.settings["providers"][name].get("headers", {}):
            reader.put(("providers", name, "headers", header), reader.env[variable], variable)
    variable, pairs = reader.first(CUSTOM_HEADERS.get(name, ""))
    for pair in pairs.split(",") if pairs else ():
        header, equals, value = (part.strip() for part in pair.partition("="))
        if equals and header:
            reader.put(("providers", name, "headers", header), value, variable)
        elif pair.strip():
            reader.found.add(variable, "is not a list of headers", "write it as Name=value,Other-Name=value")


def _azure(vendor: Vendor, reader: _Reader) -> None:
    endpoint_variable, endpoint = reader.first(*vendor.base_env)
    key_variable, key = reader.first(*vendor.key_env)
    token_variable, token = reader.first("AZURE_OPENAI_AD_TOKEN")
    if not endpoint:
        if key or token:
            said = key_variable if key else token_variable
            reader.notes.append(f"{said} is set, but {endpoint_variable} is not, so there is no {vendor.name}")
        return
    name = vendor.name
    reader.put(("providers", name, "vendor"), name, endpoint_variable)
    reader.put(("providers", name, "base_url"), endpoint, endpoint_variable)
    if token:
        reader.put(("providers", name, "ad_token"), token, token_variable)
    elif key:
        reader.put(("providers", name, "api_key"), key, key_variable)
    else:
        reader.put(("providers", name, "credential"), "default", endpoint_variable)
    version_variable, version = reader.first("AZURE_OPENAI_API_VERSION")
    if version or not _says_its_version(endpoint):
        reader.put(("providers", name, "api_version"), version or AZURE_CLASSIC, version_variable)
    deployment_variable, deployment = reader.first("AZURE_OPENAI_DEPLOYMENT_NAME")
    if deployment:
        reader.put(("providers", name, "models"), [deployment], deployment_variable)


def _says_its_version(endpoint: str) -> bool:
    try:
        pasted = read_path(read_base_url(endpoint))
    except ValueError:
        return False
    return pasted.is_v1 or pasted.is_foundry


# goose


def _goose(reader: _Reader) -> None:
    """1. A lead: lead and worker take turns. 2. A model alone: just that. 3. Neither: nothing."""
    _, lead = reader.first(*LEAD_MODEL)
    worker_variable, worker = reader.first(*WORKER_MODEL)
    if lead:
        _lead_and_worker(reader)
    elif worker and worker != GOOSE:
        provider_variable, provider = _goose_provider(("GOOSE_PROVIDER",), reader)
        if not provider or provider in reader.settings.get("providers", {}):
            _put_target("targets", worker, worker_variable, provider, provider_variable, reader)
        else:
            what = f"{worker_variable} is set, but there is no provider {quoted(provider)} here, so no model {GOOSE}"
            reader.notes.append(what)


def _lead_and_worker(reader: _Reader) -> None:
    lead_variable, lead = reader.first(*LEAD_MODEL)
    worker_variable, worker = reader.first(*WORKER_MODEL)
    if not worker:
        reader.found.add("GOOSE_MODEL", f"is not set, but {lead_variable} is", "set it to the worker's model")
        return
    reader.put(("models", GOOSE, "strategy"), "lead_worker", lead_variable)
    lead_provider = _goose_provider(("GOOSE_LEAD_PROVIDER", "GOOSE_PROVIDER"), reader)
    _put_target("lead", lead, lead_variable, lead_provider[1], lead_provider[0], reader)
    worker_provider = _goose_provider(("GOOSE_PROVIDER",), reader)
    _put_target("worker", worker, worker_variable, worker_provider[1], worker_provider[0], reader)
    for setting, variables in LEAD_WORKER.items():
        variable, value = reader.first(*variables)
        if value:
            reader.put(("models", GOOSE, setting), value, variable)


def _goose_provider(variables: tuple[str, ...], reader: _Reader) -> tuple[str, str]:
    variable, name = reader.first(*variables)
    providers = list(reader.settings.get("providers", {}))
    if not name:
        return variables[-1], providers[0] if len(providers) == 1 else ""
    return variable, VENDORS_OF_GOOSE.get(name, name)


def _put_target(role: str, model: str, variable: str, provider: str, provider_variable: str, reader: _Reader) -> None:
    providers = reader.settings.get("providers", {})
    if provider in providers:
        target = f"{provider}/{model}"
        reader.put(("models", GOOSE, role), [target] if role == "targets" else target, variable)
        return
    reader.put(("models", GOOSE, role), UNUSABLE, variable)
    if not provider:
        several = f"one of {', '.join(providers)}" if providers else "a provider whose key is set too"
        reader.found.add(provider_variable, f"is not set, but {variable} is", f"set it to {several}")
    elif later := LATER_VENDORS.get(provider):
        reader.found.add(provider_variable, f"this version does not speak to {later} yet", "name another provider")
    else:
        reader.found.add(provider_variable, f"there is no provider {quoted(provider)} here", _how_to_get(provider))


def _how_to_get(provider: str) -> str:
    vendor = VENDORS.get(provider)
    variables = (*vendor.key_env, *vendor.host_env, *vendor.base_env) if vendor else ()
    return f"set {variables[0]}" if variables else f"name one of {', '.join(sorted(VENDORS))}"
