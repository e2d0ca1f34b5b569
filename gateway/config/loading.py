"""From a file, or from the environment, to a checked ``Config``; or to every problem there is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from gateway.config import environment, retries, signing_in, strategies, vendors
from gateway.config.checking import CACHES_WHEN_TOLD, INSTALL_HTTP2, check
from gateway.config.findings import Enough, Findings, child, either, quoted
from gateway.config.fitting import WRONG, fit
from gateway.config.names import follow, names_of
from gateway.config.reading import MAX_BYTES, Node, Unreadable, lines, named, read, sources
from gateway.config.settings import Access, Config, CustomVendor, Media, Model, Observe, Provider, Server, Sessions
from gateway.dialects.words import Words
from gateway.errors import OperatorError, Problem
from gateway.resilience import Resilience
from gateway.routing.turns import AUTO
from gateway.vendors import VENDORS, Vendor

FILE = "skein.yaml"

SECTIONS: Mapping[str, Any] = {
    "server": Server,
    "vendors": dict[str, CustomVendor],
    "providers": dict[str, Provider],
    "models": dict[str, Model],
    "aliases": dict[str, str],
    "resilience": Resilience,
    "observe": Observe,
    "access": Access,
    "media": Media,
    "sessions": Sessions,
    "turns": Words,
}

STANDBY = {"simulator": Provider(vendor="simulator")}
"""What serves when no provider is configured, so that a fresh machine answers at once."""


METRICS_GO_BY = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_METRICS_EXPORTER")
"""Variables that say where metrics go, or that they shall go nowhere."""


def load(path: str | None, env: Mapping[str, str]) -> Config:
    """1. The file given. 2. The one in ``SKEIN_CONFIG``. 3. ``./skein.yaml``, if there. 4. No file: the environment."""
    if path is None:
        path = env.get(environment.FILE_VARIABLE, "").strip() or (FILE if os.path.exists(FILE) else None)
    if path is None:
        return from_environment(env)
    return parse(_text(path), env, path)


def parse(text: str, env: Mapping[str, str], source: str = FILE) -> Config:
    """Raises ``OperatorError`` with every problem."""
    config, found = _parsed(text, env, source)
    if found:
        raise OperatorError(found)
    return config


def problems(text: str, env: Mapping[str, str]) -> list[Problem]:
    """Every problem of a file's text; none means that ``parse`` takes it."""
    return _parsed(text, env, FILE)[1]


def from_environment(env: Mapping[str, str]) -> Config:
    """Without a file. A problem's path is the variable it is about. Raises ``OperatorError`` with every problem."""
    found = Findings()
    try:
        said = environment.read(env, found, _known())
        config = _built(said.tree, env, "environment", found)
    except Enough:
        raise OperatorError(found.problems) from None
    if found.problems:
        raise OperatorError(found.by_variable(said.variables | config.variables))
    variables = said.variables | config.variables
    return msgspec.structs.replace(config, notes=(*config.notes, *said.notes), variables=variables)


def _parsed(text: str, env: Mapping[str, str], source: str) -> tuple[Config, list[Problem]]:
    found, tree = Findings(), Node()
    try:
        tree = read(text, env, found)
        config = _built(tree, env, source, found)
    except Unreadable as error:
        return Config(), [Problem(source, error.what, error.remedy)]
    except Enough:
        more = Problem(source, f"has more problems than these {len(found.problems)}")
        return Config(), [*found.by_line(lines(tree)), more]
    beside = environment.beside_a_file(env, named(tree))
    told = [f"{variable} is set: it is {path}" for path, variable in config.variables.items()]
    variables = sources(tree, env) | config.variables
    made = msgspec.structs.replace(config, notes=(*config.notes, *beside, *told), variables=variables)
    return made, found.by_line(lines(tree))


def _built(tree: Node, env: Mapping[str, str], source: str, found: Findings) -> Config:
    given = tree.value or {}
    sections: dict[str, Any] = {}
    for name, node in given.items():
        if name not in SECTIONS:
            found.add(child("", name), "is not a setting", either(name, SECTIONS))
        elif (value := fit(node, inspect.type_info(SECTIONS[name]), name, found)) is not WRONG:
            sections[name] = value
    custom = sections.pop("vendors", {})
    known = vendors.built(custom, _known(), found)
    settled = {
        name: _settled(name, provider, child("providers", name), known, env, found)
        for name, provider in sections.get("providers", {}).items()
    }
    providers, variables = retries.honoured(settled, env, found)
    config = Config(
        **sections | {"providers": providers or dict(STANDBY)},
        custom=custom,
        vendors=known,
        variables=variables,
        source=source,
    )
    vague = not {"providers", "models"} & given.keys() <= sections.keys()
    names = names_of(config, _keys(given, "providers") or STANDBY, _keys(given, "models"), vague)
    check(config, names, found)
    aliases = {alias: follow(alias, names) or target for alias, target in config.aliases.items()}
    return msgspec.structs.replace(config, aliases=aliases, notes=_notes(config, env), merged={})


def _notes(config: Config, env: Mapping[str, str]) -> tuple[str, ...]:
    notes = []
    if config.server.workers > 1 and config.server.metrics_port is None:
        notes.append("server.workers is more than 1 without server.metrics_port: metrics cannot be scraped")
    notes += _session_notes(config)
    notes += _name_notes(config)
    left_out = (*vendors.installed().notes, *strategies.installed().notes)
    return (*left_out, *notes, *_provider_notes(config), *_telemetry_notes(config, env))


def _session_notes(config: Config) -> Iterator[str]:
    sessions = config.sessions
    if config.server.workers > 1 and sessions.store == "memory":
        yield (
            "server.workers is more than 1 with sessions.store: memory: each worker knows only the sessions it has"
            " served, and an operator's model for a session holds in one of them (set sessions.store: redis)"
        )
    if sessions.store == "memory" and sessions.url is not None:
        yield "sessions.url is set, but sessions.store is memory: it is not used (set sessions.store: redis)"


def _name_notes(config: Config) -> Iterator[str]:
    for section, names in (("models", config.models), ("aliases", config.aliases)):
        if AUTO in names:
            yield (
                f"{section}.{AUTO}: in a conversation /model {AUTO} takes back what was chosen by hand, it does not"
                " choose this one (give it a second name under aliases to choose it there)"
            )


def _provider_notes(config: Config) -> Iterator[str]:
    owners = {
        name: config.vendors[each.vendor] for name, each in config.providers.items() if each.vendor in config.vendors
    }
    unable: dict[str, list[str]] = {}
    for name, vendor in owners.items():
        if package := signing_in.without_package(config.providers[name], vendor):
            unable.setdefault(package.remedy, []).append(name)
        file = config.providers[name].credentials_file
        if file and not Path(file).expanduser().is_file():
            yield f"providers.{name}.credentials_file: there is no file {file}: nobody can sign in by it"
        dialects = {row.dialect for row in (vendor, *vendor.faces)}
        if config.providers[name].cache == "auto" and not dialects.intersection(CACHES_WHEN_TOLD):
            yield f"providers.{name}.cache is auto, but {vendor.name} needs no marks: it caches by itself or never"
    over_httpx = [name for name, each in config.providers.items() if each.transport == "httpx"]
    if over_httpx and not signing_in.is_installed("h2"):
        yield f"{' and '.join(over_httpx)} will be spoken to over HTTP/1.1: h2 is not installed ({INSTALL_HTTP2})"
    for remedy, names in unable.items():
        yield f"{' and '.join(names)} cannot sign in: {remedy}"
    for name in config.custom.keys() - {each.vendor for each in config.providers.values()}:
        if not any(each.extends == name for each in config.custom.values()):
            yield f"vendors.{name} is of no provider: nothing calls it"


def _telemetry_notes(config: Config, env: Mapping[str, str]) -> Iterator[str]:
    langfuse, otlp = config.observe.langfuse, config.observe.otlp
    if langfuse.host and not langfuse.public_key and not _says(env, "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        yield "observe.langfuse.host is set without keys: nothing is sent there (set public_key and secret_key)"
    if otlp.metrics and not otlp.endpoint and not _says(env, *METRICS_GO_BY):
        yield "observe.otlp.metrics is true, but no endpoint is said: they go nowhere (set observe.otlp.endpoint)"
    for name in config.observe.prices:
        provider, slash, _ = name.partition("/")
        if slash and provider not in config.providers and not _is_called(name, config):
            yield f"observe.prices has {quoted(name)}, but there is no provider {quoted(provider)}"


def _says(env: Mapping[str, str], *variables: str) -> bool:
    return any(env.get(variable, "").strip() for variable in variables)


def _is_called(model: str, config: Config) -> bool:
    """Vendors that resell have slashes in their names of models, as in ``openrouter/openai/gpt-5``."""
    named = [reference for each in config.models.values() for reference in each.strategy.references()]
    listed = [name for each in config.providers.values() for name in (*each.models, *each.deployments)]
    return model in listed or model in [name.partition("/")[2] for name in (*named, *config.aliases.values())]


def _keys(given: Mapping[str, Node], section: str) -> list[str]:
    node = given.get(section)
    return list(node.value) if node is not None and isinstance(node.value, dict) else []


def _known() -> Mapping[str, Vendor]:
    return {**VENDORS, **vendors.installed().vendors}


def _settled(
    name: str, provider: Provider, path: str, known: Mapping[str, Vendor], env: Mapping[str, str], found: Findings
) -> Provider:
    """With its vendor by the vendor's own name, and ``endpoint`` under the one word for it."""
    if provider.base_url and provider.endpoint:
        found.add(child(path, "endpoint"), "is given beside base_url, which means the same", "keep one of the two")
    base_url = provider.base_url or provider.endpoint
    vendor = vendors.find(provider.vendor or name, known)
    if vendor is None:
        return msgspec.structs.replace(provider, vendor=provider.vendor or name, base_url=base_url, endpoint=None)
    provider = signing_in.settled(provider, vendor, env)
    return msgspec.structs.replace(provider, vendor=vendor.name, base_url=base_url, endpoint=None)


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise OperatorError([Problem(path, f"is larger than {MAX_BYTES // 2**20} MiB")])
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise OperatorError([Problem(path, "there is no such file", "see --config and SKEIN_CONFIG")]) from None
    except OSError as error:
        raise OperatorError([Problem(path, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise OperatorError([Problem(path, f"is not UTF-8 (byte {error.start})", "save it as UTF-8")]) from None
