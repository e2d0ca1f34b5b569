"""Without a file: the variables people have already set, read as the settings they amount to.

What comes out is the same tree a file gives, so everything is checked alike; beside it stands which variable said what.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from gateway.config.checking import is_loopback
from gateway.config.findings import Findings, child, either, quoted
from gateway.config.reading import UNUSABLE, Node
from gateway.config.vendors import find
from gateway.vendors import Vendor, base_from_host
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
TIMEOUTS = {
    "openai": "OPENAI_TIMEOUT",
    "anthropic": "ANTHROPIC_TIMEOUT",
    "litellm": "LITELLM_TIMEOUT",
    "ollama": "OLLAMA_TIMEOUT",
}


class AzureNames(msgspec.Struct, frozen=True):
    """The variables of one provider on Azure."""

    provider: str
    endpoint: str
    key: str
    token: str
    version: str
    model: str
    usual_version: str = ""
    """What is asked for when neither the variable nor the endpoint says a version."""


AZURE = (
    AzureNames(
        provider="azure_openai",
        endpoint="AZURE_OPENAI_ENDPOINT",
        key="AZURE_OPENAI_API_KEY",
        token="AZURE_OPENAI_AD_TOKEN",
        version="AZURE_OPENAI_API_VERSION",
        model="AZURE_OPENAI_DEPLOYMENT_NAME",
        usual_version=AZURE_CLASSIC,
    ),
    AzureNames(
        provider="azure_foundry",
        endpoint="AZURE_FOUNDRY_ENDPOINT",
        key="AZURE_FOUNDRY_API_KEY",
        token="AZURE_FOUNDRY_AD_TOKEN",
        version="AZURE_FOUNDRY_API_VERSION",
        model="AZURE_FOUNDRY_MODEL",
    ),
)

AWS_REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")
AWS_KEYS: Mapping[str, str] = {
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}
AWS_PROFILE = "AWS_PROFILE"
# https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
AWS_IDENTITIES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
"""Set by AWS where a machine or a container has an identity: the chain finds it."""
BEDROCK_KEY = "AWS_BEARER_TOKEN_BEDROCK"
SAGEMAKER_ENDPOINT = "SAGEMAKER_ENDPOINT_NAME"
VERTEX_PROJECT = ("GCP_PROJECT_ID", "GOOGLE_CLOUD_PROJECT")
VERTEX_LOCATION = ("GCP_LOCATION", "GOOGLE_CLOUD_LOCATION")
VERTEX_WANTED = "GOOGLE_GENAI_USE_VERTEXAI"
DATABRICKS_CLIENT: Mapping[str, str] = {
    "client_id": "DATABRICKS_CLIENT_ID",
    "client_secret": "DATABRICKS_CLIENT_SECRET",
}

GOOSE, PLANNING_GOOSE = "goose", "goose-planner"
LEAD_WORKER: Mapping[str, tuple[str, ...]] = {
    "lead_turns": ("GOOSE_LEAD_TURNS",),
    "failure_threshold": ("GOOSE_LEAD_FAILURE_THRESHOLD",),
    "fallback_turns": ("GOOSE_LEAD_FALLBACK_TURNS",),
    "worker_max_tokens": ("GOOSE_MAX_TOKENS_WORKER",),
}


class GooseNames(msgspec.Struct, frozen=True):
    """The variables of one of goose's models; of each kind, the first that is set counts."""

    model: tuple[str, ...]
    provider: tuple[str, ...]
    window: tuple[str, ...]


# What goose itself reads goes before what is only written of it, and what is said of one model before what is said of
# all. GOOSE_MODEL_WORKER is first: beside it GOOSE_MODEL is what goose asks for, and may be the name that is made here.
GOOSE_LEAD = GooseNames(
    model=("GOOSE_LEAD_MODEL", "GOOSE_MODEL_LEAD"),
    provider=("GOOSE_LEAD_PROVIDER", "GOOSE_PROVIDER"),
    window=("GOOSE_LEAD_CONTEXT_LIMIT", "GOOSE_CONTEXT_LIMIT"),
)
GOOSE_WORKER = GooseNames(
    model=("GOOSE_MODEL_WORKER", "GOOSE_MODEL"),
    provider=("GOOSE_PROVIDER",),
    window=("GOOSE_WORKER_CONTEXT_LIMIT", "GOOSE_CONTEXT_LIMIT"),
)
GOOSE_ALONE = msgspec.structs.replace(GOOSE_WORKER, window=("GOOSE_CONTEXT_LIMIT",))
GOOSE_PLANNER = GooseNames(
    model=("GOOSE_PLANNER_MODEL",),
    provider=("GOOSE_PLANNER_PROVIDER", "GOOSE_PROVIDER"),
    window=("GOOSE_PLANNER_CONTEXT_LIMIT", "GOOSE_CONTEXT_LIMIT"),
)
VENDORS_OF_GOOSE: Mapping[str, str] = {
    "azure": "azure_openai",
    "custom_deepseek": "deepseek",
    "custom_mistral": "mistral",
    "custom_moonshot": "moonshot",
    "databricks_v2": "databricks",
    "kimi_code": "kimi",
    "lm_studio": "lmstudio",
    "ollama_cloud": "ollama",
}
"""Names goose has for what is called otherwise here, beside those that the vendors know as their own."""


class Said(msgspec.Struct):
    """What the environment says: the tree of settings, path -> variable, and what was passed over."""

    tree: Node
    variables: dict[str, str]
    notes: tuple[str, ...]


class _Reader:
    def __init__(self, env: Mapping[str, str], found: Findings, vendors: Mapping[str, Vendor]) -> None:
        self.env = {name: value.strip() for name, value in env.items() if value.strip()}
        self.found, self.vendors = found, vendors
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

    def provide(self, name: str, variable: str, said: Mapping[str, tuple[str, Any]]) -> None:
        """A provider with these settings: each a variable and what it says; nothing is not said."""
        for setting, (source, value) in {"vendor": (variable, name), **said}.items():
            if value:
                self.put(("providers", name, setting), value, source)

    def lack(self, said: str, missing: str, vendor: str) -> None:
        self.notes.append(f"{said} is set, but {missing} is not, so there is no {vendor}")

    def complain(self, variable: str, error: ValueError) -> None:
        what, _, remedy = str(error).partition(": ")
        self.found.add(variable, what, remedy)


def read(env: Mapping[str, str], found: Findings, vendors: Mapping[str, Vendor]) -> Said:
    reader = _Reader(env, found, vendors)
    for variable, path in SETTINGS.items():
        if variable in reader.env:
            reader.put(tuple(path.split(".")), reader.env[variable], variable)
    _access(reader)
    for vendor in vendors.values():
        _READERS.get(vendor.name, _provider)(vendor, reader)
    _goose(reader)
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
    others = {} if key else _others(vendor, reader)
    if vendor.base_url is None and not _is_whole(vendor, bool(key or others), bool(base), reader):
        return
    if key or base:
        said = {"api_key": (key_variable, key), "base_url": (base_variable, base), **others}
        reader.provide(vendor.name, key_variable if key else base_variable, said)
        _headers(vendor.name, reader)
        _timeout(vendor.name, reader)


def _others(vendor: Vendor, reader: _Reader) -> dict[str, tuple[str, str]]:
    """What signs in where there is no key."""
    if vendor.identity != "databricks":
        return {}
    pair = {name: reader.first(variable) for name, variable in DATABRICKS_CLIENT.items()}
    return pair if all(value for _, value in pair.values()) else {}


def _is_whole(vendor: Vendor, signs_in: bool, is_somewhere: bool, reader: _Reader) -> bool:
    """A vendor without an address of its own needs both: an address, and its key."""
    addresses = (*vendor.host_env, *vendor.base_env)
    if signs_in and not is_somewhere and addresses:
        said = next((name for name in (*vendor.key_env, *DATABRICKS_CLIENT.values()) if name in reader.env), "")
        reader.lack(said, addresses[0], vendor.name)
    elif is_somewhere and not signs_in and vendor.key_required:
        reader.lack(reader.first(*addresses)[0], " or ".join(vendor.key_env[:1]), vendor.name)
    return is_somewhere and (signs_in or not vendor.key_required)


def _timeout(name: str, reader: _Reader) -> None:
    variable, timeout = reader.first(TIMEOUTS.get(name, ""))
    if timeout:
        reader.put(("providers", name, "resilience", "timeouts", "total"), timeout, variable)


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
    for names in AZURE:
        endpoint, key, token = (reader.env.get(name, "") for name in (names.endpoint, names.key, names.token))
        if endpoint:
            _azure_provider(vendor, names, reader)
        elif key or token:
            reader.lack(names.key if key else names.token, names.endpoint, names.provider)


def _azure_provider(vendor: Vendor, names: AzureNames, reader: _Reader) -> None:
    endpoint, key, token, version, model = (
        reader.env.get(name, "") for name in (names.endpoint, names.key, names.token, names.version, names.model)
    )
    usual = "" if _says_its_version(endpoint) else names.usual_version
    said: dict[str, tuple[str, Any]] = {
        "vendor": (names.endpoint, vendor.name),
        "base_url": (names.endpoint, endpoint),
        "ad_token": (names.token, token),
        "api_key": (names.key, "" if token else key),
        "credential": (names.endpoint, "" if token or key else "default"),
        "api_version": (names.version, version or usual),
        "models": (names.model, [model] if model else []),
    }
    reader.provide(names.provider, names.endpoint, said)


def _says_its_version(endpoint: str) -> bool:
    try:
        pasted = read_path(read_base_url(endpoint))
    except ValueError:
        return False
    return pasted.is_v1 or pasted.is_foundry


def _vertex(vendor: Vendor, reader: _Reader) -> None:
    """1. A key. 2. A project: named for goose it is meant; Google's own variable is set on many machines, so a location
    has to be named beside it. 3. Anything else is not enough.
    """
    key_variable, key = reader.first(*vendor.key_env)
    project_variable, project = reader.first(*VERTEX_PROJECT)
    location_variable, location = reader.first(*VERTEX_LOCATION)
    wanted = reader.env.get(VERTEX_WANTED, "").lower() in ("true", "1")
    if key or (project and (location or wanted or project_variable == VERTEX_PROJECT[0])):
        source = key_variable if key else project_variable
        said = {
            "project": (project_variable, project),
            "region": (location_variable, location),
            "base_url": _base(vendor, reader),
            "api_key": (key_variable, key),
            "credential": (source, "" if key else "default"),
        }
        reader.provide(vendor.name, source, said)
    elif project:
        reader.lack(project_variable, VERTEX_LOCATION[1], vendor.name)
    elif location or wanted:
        reader.lack(location_variable if location else VERTEX_WANTED, VERTEX_PROJECT[0], vendor.name)


def _bedrock(vendor: Vendor, reader: _Reader) -> None:
    region_variable, region = reader.first(*AWS_REGION)
    key_variable, key = reader.first(BEDROCK_KEY)
    said = {"api_key": (key_variable, key)} if key else _aws_identity(reader)
    if said and not region:
        reader.lack(next(iter(said.values()))[0], region_variable, vendor.name)
    elif said:
        said |= {"region": (region_variable, region), "base_url": _base(vendor, reader)}
        reader.provide(vendor.name, region_variable, said)


def _sagemaker(vendor: Vendor, reader: _Reader) -> None:
    """goose's endpoints are TGI's, so it is the vendor that speaks that which they belong to."""
    endpoint = reader.env.get(SAGEMAKER_ENDPOINT, "")
    region_variable, region = reader.first(*AWS_REGION)
    if not endpoint or find("sagemaker_tgi", reader.vendors) is not vendor:
        return
    if not region:
        reader.lack(SAGEMAKER_ENDPOINT, region_variable, vendor.name)
        return
    said: dict[str, tuple[str, Any]] = {
        **(_aws_identity(reader) or {"credential": (SAGEMAKER_ENDPOINT, "default")}),
        "region": (region_variable, region),
        "base_url": _base(reader.vendors.get("sagemaker", vendor), reader),
        "models": (SAGEMAKER_ENDPOINT, [endpoint]),
    }
    reader.provide(vendor.name, SAGEMAKER_ENDPOINT, said)


def _aws_identity(reader: _Reader) -> dict[str, tuple[str, str]]:
    """1. Keys. 2. A profile. 3. The identity of a machine or a container. 4. None: the region alone says nothing."""
    keys = {setting: reader.first(variable) for setting, variable in AWS_KEYS.items() if variable in reader.env}
    if {"access_key_id", "secret_access_key"} <= keys.keys():
        return keys
    variable, profile = reader.first(AWS_PROFILE)
    if profile:
        return {"profile": (variable, profile)}
    variable, identity = reader.first(*AWS_IDENTITIES)
    return {"credential": (variable, "default")} if identity else {}


_READERS: Mapping[str, Callable[[Vendor, _Reader], None]] = {
    "azure_openai": _azure,
    "vertex": _vertex,
    "bedrock": _bedrock,
    "sagemaker": _sagemaker,
    "sagemaker_tgi": _sagemaker,
}
"""The vendors for which a key, or an address, is not all there is to say."""


# goose


class _Named(msgspec.Struct, frozen=True):
    """A model that goose's variables name, where it is, and which variables said so."""

    model: str
    model_variable: str
    provider: str
    provider_variable: str
    window: str
    window_variable: str

    @property
    def target(self) -> str:
        return f"{self.provider}/{self.model}"


def _named(names: GooseNames, reader: _Reader) -> _Named:
    model_variable, model = reader.first(*names.model)
    provider_variable, provider = _goose_provider(names.provider, reader)
    window_variable, window = reader.first(*names.window)
    return _Named(model, model_variable, provider, provider_variable, window, window_variable)


def _goose(reader: _Reader) -> None:
    """1. A lead: lead and worker take turns. 2. A model alone: just that. 3. Neither: nothing. A planner: before it."""
    lead, worker = _named(GOOSE_LEAD, reader), _named(GOOSE_WORKER, reader)
    if lead.model:
        _lead_and_worker(lead, worker, reader)
    elif worker.model and worker.model != GOOSE:
        _alone(_named(GOOSE_ALONE, reader), reader)
    planner = _named(GOOSE_PLANNER, reader)
    if planner.model:
        _planner(planner, reader)


def _lead_and_worker(lead: _Named, worker: _Named, reader: _Reader) -> None:
    if not worker.model:
        what = f"is not set, but {lead.model_variable} is"
        reader.found.add("GOOSE_MODEL", what, "set it to the worker's model")
        return
    if worker.model == GOOSE:
        what = f"is {GOOSE}, which is lead and worker together"
        reader.found.add(worker.model_variable, what, "set GOOSE_MODEL_WORKER to the worker's model")
        return
    reader.put(("models", GOOSE, "strategy"), "lead_worker", lead.model_variable)
    _put_target("lead", lead, reader)
    _put_target("worker", worker, reader)
    for setting, variables in LEAD_WORKER.items():
        variable, value = reader.first(*variables)
        if value:
            reader.put(("models", GOOSE, setting), value, variable)


def _alone(named: _Named, reader: _Reader) -> None:
    if not named.provider or named.provider in reader.settings.get("providers", {}):
        _put_target("targets", named, reader)
    else:
        what = f"{named.model_variable} is set, but there is no provider {quoted(named.provider)} here"
        reader.notes.append(f"{what}, so no model {GOOSE}")


def _planner(planner: _Named, reader: _Reader) -> None:
    """What it plans for is the model ``goose``; goose itself may have these set for its own ``/plan``."""
    lacks = ""
    if GOOSE not in reader.settings.get("models", {}):
        lacks = f"no model {GOOSE}"
    elif planner.provider not in reader.settings.get("providers", {}):
        lacks = f"no provider {quoted(planner.provider)}" if planner.provider else f"no {planner.provider_variable}"
    if lacks:
        said = f"{planner.model_variable} is set, but there is {lacks} here, so no model {PLANNING_GOOSE}"
        reader.notes.append(said)
        return
    model = ("models", PLANNING_GOOSE)
    reader.put((*model, "strategy"), "plan_first", planner.model_variable)
    reader.put((*model, "planner"), planner.target, planner.model_variable)
    reader.put((*model, "executor"), GOOSE, planner.model_variable)
    _put_window(planner, reader)


def _goose_provider(variables: tuple[str, ...], reader: _Reader) -> tuple[str, str]:
    variable, name = reader.first(*variables)
    providers = list(reader.settings.get("providers", {}))
    if not name:
        return variables[-1], providers[0] if len(providers) == 1 else ""
    if name in providers:
        return variable, name
    vendor = find(VENDORS_OF_GOOSE.get(name, name), reader.vendors)
    return variable, vendor.name if vendor else name


def _put_target(role: str, named: _Named, reader: _Reader) -> None:
    providers, model = reader.settings.get("providers", {}), ("models", GOOSE, role)
    if named.provider in providers:
        reader.put(model, [named.target] if role == "targets" else named.target, named.model_variable)
        _put_window(named, reader)
        return
    reader.put(model, UNUSABLE, named.model_variable)
    if not named.provider:
        several = f"one of {', '.join(providers)}" if providers else "a provider whose key is set too"
        what = f"is not set, but {named.model_variable} is"
        reader.found.add(named.provider_variable, what, f"set it to {several}")
    else:
        what = f"there is no provider {quoted(named.provider)} here"
        reader.found.add(named.provider_variable, what, _how_to_get(named.provider, reader))


def _put_window(named: _Named, reader: _Reader) -> None:
    """A window is a model's, whatever part it plays: the first word counts, and another one is told of."""
    windows = reader.settings["providers"][named.provider].get("windows", {})
    if not named.window:
        return
    if windows.get(named.model, named.window) != named.window:
        said = f"{named.window_variable} is passed over: another variable has set the window of {named.target}"
        reader.notes.append(said)
    else:
        reader.put(("providers", named.provider, "windows", named.model), named.window, named.window_variable)


HOW_TO_GET: Mapping[str, str] = {
    "azure_openai": "set AZURE_OPENAI_ENDPOINT",
    "azure_foundry": "set AZURE_FOUNDRY_ENDPOINT",
    "vertex": "set GCP_PROJECT_ID",
    "bedrock": f"set AWS_REGION, and {BEDROCK_KEY}, AWS_PROFILE or AWS_ACCESS_KEY_ID",
    "sagemaker": f"set {SAGEMAKER_ENDPOINT} and AWS_REGION",
    "sagemaker_tgi": f"set {SAGEMAKER_ENDPOINT} and AWS_REGION",
}


def _how_to_get(provider: str, reader: _Reader) -> str:
    vendor = reader.vendors.get(provider)
    variables = (*vendor.key_env, *vendor.host_env, *vendor.base_env) if vendor else ()
    if provider in HOW_TO_GET:
        return HOW_TO_GET[provider]
    if vendor and vendor.base_url is None and vendor.key_env and vendor.host_env:
        return f"set {vendor.host_env[0]} and {vendor.key_env[0]}"
    return f"set {variables[0]}" if variables else f"name one of {', '.join(sorted(reader.vendors))}"
