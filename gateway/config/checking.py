"""What no type can say: does every name lead somewhere, is every key there, is the door shut? A function a section."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.config import signing_in
from gateway.config.findings import Findings, child, either, quoted
from gateway.config.names import Names, follow, why_not
from gateway.config.settings import Access, Config, Model, Observe, Provider, Server, Sessions
from gateway.config.signing_in import MASK, is_installed, secrets
from gateway.config.vendors import installed
from gateway.dialects.words import Words
from gateway.dialects.wrappers import LONGEST_TAG
from gateway.errors import did_you_mean
from gateway.resilience import Resilience, SpikeSettings
from gateway.routing import Strategy
from gateway.routing.corrections import CORRECTIONS
from gateway.vendors import Vendor, routes

SHORTEST_KEY = 8
LAST_PORT = 65535
MOST_PHRASES, LONGEST_PHRASE = 100, 200
CACHES_WHEN_TOLD = ("anthropic_messages", "bedrock_converse")
"""The dialects in which a prompt cache has to be asked for."""

INSTALL_HTTP2 = "pip install 'skein-gateway[http2]', or from a checkout .venv/bin/pip install -e '.[http2]'"
INSTALL_REDIS = "pip install 'skein-gateway[redis]', or from a checkout .venv/bin/pip install -e '.[redis]'"
INSTALL_OTLP_GRPC = "pip install 'skein-gateway[otlp-grpc]', or from a checkout .venv/bin/pip install -e '.[otlp-grpc]'"

# https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1, and what the gateway itself must say about its message.
OWN_HEADERS = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
        *("accept-encoding", "content-encoding", "content-length", "content-type", "expect", "host"),
    )
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TAG = re.compile(rf"[A-Za-z][A-Za-z0-9._-]{{0,{LONGEST_TAG - 1}}}")
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_NOT_IN_A_NAME = re.compile(r"[^\x21-\x7e]")
_HOST_GLOB = re.compile(r"[A-Za-z0-9*?._-]{1,253}|[0-9A-Fa-f:]{2,45}|\[[0-9A-Fa-f:]{2,45}\]")
_PREFIX = re.compile(r"[A-Za-z0-9{][A-Za-z0-9._:{}-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")


def check(config: Config, names: Names, found: Findings) -> None:
    """All of it. ``names`` also knows the entries of which nothing else could be kept."""
    _server(config.server, found)
    for name in names.providers:
        if not _PROVIDER_NAME.fullmatch(name):
            remedy = "a name starts with a letter or digit, then also . _ -, and holds no slash or capital"
            found.add(child("providers", name), "cannot be a provider's name", remedy)
    for name, vendor in config.custom.items():
        headers = {header: value for header, value in (vendor.headers or {}).items() if value is not None}
        _headers(headers, child(child("vendors", name), "headers"), found)
    for name, provider in config.providers.items():
        _provider(provider, child("providers", name), config, found)
    _models(config.models, names, found)
    _aliases(names, found)
    _resilience(config, found)
    _observe(config.observe, found)
    _access(config, names, found)
    _hosts(config.media.allow, "media.allow", found)
    _sessions(config.sessions, found)
    _turns(config.turns, found)
    if config.media.timeout == 0:
        found.add(
            "media.timeout", "is zero, in which nothing can be fetched", "leave it out, or set media.download: false"
        )


def _turns(words: Words, found: Findings) -> None:
    for index, language in enumerate(words.languages):
        if language not in CORRECTIONS:
            known = ", ".join(CORRECTIONS)
            found.add(f"turns.languages[{index}]", f"{quoted(language)} is not a language known here", f"write {known}")
    for index, name in enumerate(words.wrappers):
        if not _TAG.fullmatch(name):
            remedy = "write what stands in the brackets: a letter, then also digits and . _ -"
            found.add(f"turns.wrappers[{index}]", f"{quoted(name)} is not the name of a tag", remedy)
    for name in ("corrections", "failures", "not_failures", "auxiliary"):
        phrases: tuple[str, ...] = getattr(words, name)
        if len(phrases) > MOST_PHRASES:
            found.add(f"turns.{name}", f"has more than {MOST_PHRASES} phrases", "each is looked for in every request")
        for index, phrase in enumerate(phrases):
            if not 2 <= len(phrase.strip()) <= LONGEST_PHRASE:
                remedy = f"write 2 to {LONGEST_PHRASE} characters"
                found.add(f"turns.{name}[{index}]", "is too short or too long for a phrase", remedy)


def _server(server: Server, found: Findings) -> None:
    if not _is_host(server.host):
        found.add("server.host", f"{quoted(server.host)} is not an address to listen on", "write 127.0.0.1 or 0.0.0.0")
    if server.metrics_port:
        _metrics_ports(server.metrics_port, server, found)


def _metrics_ports(first: int, server: Server, found: Findings) -> None:
    """Each worker has one of its own: the first this one, the second the next."""
    last = first + server.workers - 1
    where, upwards = "server.metrics_port", f"goes up to {last} with {server.workers} workers"
    if last > LAST_PORT:
        found.add(where, f"{upwards}, but {LAST_PORT} is the last port", f"take {LAST_PORT + first - last} or less")
    if first == server.port:
        found.add(where, f"is the same as server.port, {server.port}, the gateway's own", "choose another")
    elif first < server.port <= last and not found.spoiled("server.port"):
        what = f"{upwards}, and {server.port} among them is the gateway's own port"
        found.add(where, what, "begin above it, or further below")


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        # All digits and dots, yet no address: a name like that would only fail later.
        return bool(_HOST.fullmatch(host)) and not re.fullmatch(r"[0-9.]+", host)
    return True


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


# providers


def _provider(provider: Provider, path: str, config: Config, found: Findings) -> None:
    vendor = config.vendors.get(provider.vendor)
    if vendor is None:
        _unknown_vendor(provider, path, config, found)
    else:
        signing_in.check(provider, vendor, path, found)
        _address(provider, vendor, path, config.server, found)
        _dialect(provider, vendor, path, found)
    _headers(provider.headers, child(path, "headers"), found)
    for index, model in enumerate(provider.models):
        if _NOT_IN_A_NAME.search(model):
            found.add(found.item(f"{path}.models", index), "holds a space or another character no model id has")
        if model in provider.models[:index]:
            found.add(found.item(f"{path}.models", index), f"{quoted(model)} is listed twice")


def _unknown_vendor(provider: Provider, path: str, config: Config, found: Findings) -> None:
    name, where = provider.vendor, child(path, "vendor")
    if found.spoiled(where) or found.spoiled(child("vendors", name)):
        return
    remedy = f"set vendor to one of {', '.join(sorted(config.vendors))}, or describe it under vendors"
    if provider.base_url and path == child("providers", name):
        remedy = "a server of one's own is vendor: openai_compatible, or anthropic_compatible"
    # Notes are not told beside problems, and the package that was to bring this vendor may be the whole problem.
    left_out = "; ".join(installed().notes)
    found.add(where, f"no vendor {quoted(name)}", left_out or did_you_mean(name[:200], config.vendors) or remedy)


def _dialect(provider: Provider, vendor: Vendor, path: str, found: Findings) -> None:
    dialects = dict.fromkeys(row.dialect for row in (vendor, *vendor.faces))
    if provider.dialect is not None and provider.dialect not in dialects:
        what = f"{vendor.name} has no dialect {quoted(provider.dialect)}"
        found.add(child(path, "dialect"), what, either(provider.dialect, dialects))


def _address(provider: Provider, vendor: Vendor, path: str, server: Server, found: Findings) -> None:
    settings = ("base_url", "endpoint", "api_version", "region", "location", "project")
    if any(found.spoiled(child(path, name)) for name in settings):
        return
    where = child(path, "endpoint" if vendor.identity == "entra" else "base_url")
    # The clouds of AWS and Google are where the region is.
    if provider.base_url is None and vendor.base_url is None and vendor.identity not in ("aws", "google"):
        remedy = "set it to the server's address, such as http://127.0.0.1:8000/v1"
        if variables := (*vendor.base_env, *vendor.host_env):
            remedy = f"set {where.rpartition('.')[2]}: ${{{variables[0]}}}"
        found.add(where, "is missing", remedy)
        return
    try:
        bases = [routes(row, provider.account).base for row in (vendor, *vendor.faces)]
    except ValueError as error:
        what, _, remedy = str(error).partition(": ")
        named = next((name for name in settings[2:] if name in what), None)
        found.add(child(path, named) if named else where, what, remedy)
        return
    if _is_own_address(bases[0], server):
        found.add(where, f"{bases[0]} is this gateway's own address", "name the vendor's, or change server.port")


def _is_own_address(base: str, server: Server) -> bool:
    """What listens on loopback or everywhere hears what is sent to loopback, or to nowhere in particular."""
    url = urlsplit(base)
    return url.port == server.port and all(
        is_loopback(host) or host in ("0.0.0.0", "::")  # noqa: S104  (compared, not bound)
        for host in (url.hostname or "", server.host)
    )


def _headers(headers: Mapping[str, str], path: str, found: Findings) -> None:
    seen: set[str] = set()
    for name, value in headers.items():
        where = child(path, name)
        if not _HEADER_NAME.fullmatch(name):
            found.add(where, "cannot be a header's name")
        elif name.lower() in OWN_HEADERS:
            found.add(where, "is the gateway's own to send", "remove it")
        elif name.lower() in seen:
            found.add(where, "is given a second time")
        elif value == MASK:
            found.add(where, "is masked", "this was printed by `skein config show`: put the value itself there")
        elif not value.isascii() or not value.isprintable() or value != value.strip():
            found.add(where, "has a line break, another invisible character or one beyond ASCII in its value")
        seen.add(name.lower())


# models and aliases


def _models(models: Mapping[str, Model], names: Names, found: Findings) -> None:
    for name in names.models:
        _model_name(name, names, found)
    for name, model in models.items():
        _references(model.strategy, child("models", name), names, found)
        _interpreter(model, child("models", name), names, found)
    for cycle in _cycles(models):
        circle = " -> ".join([*cycle, cycle[0]])
        found.add(child("models", cycle[0]), f"leads back to itself: {circle}", "break the circle")


def _model_name(name: str, names: Names, found: Findings) -> None:
    where = child("models", name)
    provider, slash, _ = name.partition("/")
    if not name or len(name) > 200 or _NOT_IN_A_NAME.search(name):
        found.add(where, "cannot be a model's name", "letters, digits and signs, no spaces, at most 200 of them")
    elif slash and provider in names.providers:
        found.add(where, f"would hide the target {quoted(name)} of the provider {provider}", "choose another name")
    elif name != "*" and "*" in name:
        found.add(where, "only * alone stands for every other name", "use aliases for patterns")


def _interpreter(model: Model, path: str, names: Names, found: Findings) -> None:
    name = model.tools.care.interpreter if model.tools else None
    if name is not None and not names.leads_to_target(name):
        found.add(f"{path}.tools.shim.interpreter", why_not(name, names), names.remedy(name))


def _references(strategy: Strategy, path: str, names: Names, found: Findings) -> None:
    seen: set[str] = set()
    references = strategy.references()
    places = list(_places(strategy, path, references, found))
    # What a strategy makes up of its settings stands nowhere in them.
    places += [(path, made) for made in references if made not in [written for _, written in places]]
    for where, reference in places:
        if _NOT_IN_A_NAME.search(reference):
            found.add(where, "holds a space or another character no model id has")
        elif not names.leads_to_target(reference):
            found.add(where, why_not(reference, names), names.remedy(reference))
        elif reference in seen and where.endswith(("]", ".target", "].model")):
            found.add(where, f"{quoted(reference)} is listed twice")
        seen.add(reference)


def _places(settings: Any, path: str, references: tuple[str, ...], found: Findings) -> Iterator[tuple[str, str]]:
    """Where in a strategy's settings each of its references stands."""
    match settings:
        case str() if settings in references:
            yield path, settings
        case tuple():
            for index, each in enumerate(settings):
                yield from _places(each, found.item(path, index), references, found)
        case dict():
            for name, each in settings.items():
                yield from _places(each, child(path, name), references, found)
        case msgspec.Struct():
            for name in settings.__struct_fields__:
                yield from _places(getattr(settings, name), child(path, name), references, found)


def _cycles(models: Mapping[str, Model]) -> list[list[str]]:
    """Each circle of models once, beginning at the model that comes first in the file."""
    cycles: list[list[str]] = []
    done: set[str] = set()
    for start in models:
        trail = {start: iter(models[start].strategy.references())}
        while trail:
            name, references = next(reversed(trail.items()))
            step = next((each for each in references if each in models and each not in done), None)
            if step is None:
                done.add(name)
                del trail[name]
            elif step in trail:
                cycles.append(list(trail)[list(trail).index(step) :])
            else:
                trail[step] = iter(models[step].strategy.references())
    return cycles


def _aliases(names: Names, found: Findings) -> None:
    for alias, target in names.aliases.items():
        where = child("aliases", alias)
        if not alias or len(alias) > 200 or _NOT_IN_A_NAME.search(alias) or "[" in alias:
            found.add(where, "cannot be an alias", "a name, in which * and ? may stand for what differs")
        elif alias in names.models:
            found.add(where, f"is never used: a model is called {quoted(alias)} too", "remove one of the two")
        elif _NOT_IN_A_NAME.search(target):
            found.add(where, "holds a space or another character no model id has")
        elif follow(alias, names) is None:
            _lost_alias(alias, target, where, names, found)


def _lost_alias(alias: str, target: str, where: str, names: Names, found: Findings) -> None:
    if (owners := names.owners(target)) and len(owners) > 1:
        found.add(where, f"{quoted(target)} could be of {' or of '.join(owners)}", names.remedy(target))
    elif target not in names.aliases:
        found.add(where, why_not(target, names), names.remedy(target, also=names.aliases))
    elif _comes_back(alias, names):
        found.add(where, f"leads back to itself by way of {quoted(target)}", "name a model or provider/model")


def _comes_back(alias: str, names: Names) -> bool:
    target = names.aliases[alias]
    for _ in names.aliases:
        if target == alias:
            return True
        if target not in names.aliases:
            return False
        target = names.aliases[target]
    return False


# resilience


def _resilience(config: Config, found: Findings) -> None:
    everything = _everything(config.resilience)
    _clocks(config.resilience, "resilience", everything, found)
    _spike(config.resilience.spike, "resilience.spike", everything["spike"], found)
    for name, provider in config.providers.items():
        path = child(child("providers", name), "resilience")
        _clocks(config.resilience_for(None, name), path, provider.resilience, found)
        _spike(config.spike_for(name), child(path, "spike"), provider.resilience.get("spike", {}), found)
    for name, model in config.models.items():
        path = child(child("models", name), "resilience")
        _clocks(config.resilience_for(name, ""), path, model.resilience, found)
        if model.resilience.get("spike"):
            what = "is counted for each provider over all its models, so a model has none of its own"
            found.add(f"{path}.spike", what, "put it under resilience, or under a provider's")


def _everything(settings: msgspec.Struct) -> dict[str, Any]:
    return {
        name: _everything(value) if isinstance(value := getattr(settings, name), msgspec.Struct) else value
        for name in settings.__struct_fields__
    }


def _clocks(settings: Resilience, path: str, said: Mapping[str, Any], found: Findings) -> None:
    """Zero would end every call at once; said of the place where it was written."""
    for name, seconds in said.get("timeouts", {}).items():
        if seconds == 0:
            found.add(f"{path}.timeouts.{name}", "is zero, which would end every call at once", "leave it out")
    if said.get("breaker", {}).get("window") == 0:
        found.add(f"{path}.breaker.window", "is zero, in which nothing can be counted", "leave it out")
    backoff, said_backoff = settings.backoff, said.get("backoff", {})
    if said_backoff and backoff.initial > backoff.max:
        name = "initial" if "initial" in said_backoff else "max"
        what = f"the first pause ({backoff.initial:g}s) is above the longest ({backoff.max:g}s)"
        found.add(f"{path}.backoff.{name}", what)


def _spike(spike: SpikeSettings, path: str, said: Mapping[str, Any], found: Findings) -> None:
    if said.get("window") == 0:
        found.add(f"{path}.window", "is zero, in which nothing can be counted", "leave it out")
    if said and spike.recover_below >= spike.error_rate:
        name = "recover_below" if "recover_below" in said else "error_rate"
        what = f"a provider is back below {spike.recover_below:g}, which has to be less than {spike.error_rate:g}"
        found.add(f"{path}.{name}", what)


# observe and access


def _observe(observe: Observe, found: Findings) -> None:
    otlp, langfuse = observe.otlp, observe.langfuse
    for where, url in (("otlp.endpoint", otlp.endpoint), ("langfuse.host", langfuse.host)):
        if url is not None:
            _url(url, f"observe.{where}", found)
    if otlp.protocol == "grpc" and not is_installed("opentelemetry.exporter.otlp.proto.grpc"):
        what = "needs opentelemetry-exporter-otlp-proto-grpc, which is not installed"
        found.add("observe.otlp.protocol", what, INSTALL_OTLP_GRPC)
    _headers(otlp.headers, "observe.otlp.headers", found)
    _hosts(observe.propagate_to, "observe.propagate_to", found)
    secrets({"observe.langfuse.public_key": langfuse.public_key}, found)
    secrets({"observe.langfuse.secret_key": langfuse.secret_key}, found)
    if (langfuse.public_key is None) != (langfuse.secret_key is None) and not found.spoiled("observe.langfuse"):
        missing = "public_key" if langfuse.public_key is None else "secret_key"
        found.add(f"observe.langfuse.{missing}", "is missing", "Langfuse needs both of its keys, or neither")


def _hosts(hosts: Iterable[str], path: str, found: Findings) -> None:
    for index, host in enumerate(hosts):
        if not _HOST_GLOB.fullmatch(host):
            where = found.item(path, index)
            found.add(where, f"{quoted(host)} is not a host", "write it without scheme, port and path, * for any part")


def _sessions(sessions: Sessions, found: Findings) -> None:
    for name, seconds in (("ttl", sessions.ttl), ("timeout", sessions.timeout)):
        if seconds == 0:
            found.add(f"sessions.{name}", "is zero, in which nothing can be kept or asked for", "leave it out")
    if not _PREFIX.fullmatch(sessions.prefix):
        found.add("sessions.prefix", "cannot begin a key", "letters, digits and . _ : { } -, at most 64")
    if sessions.url is not None:
        _redis_url(sessions.url, found)
    if sessions.store != "redis" or found.spoiled("sessions.store"):
        return
    if sessions.url is None and not found.spoiled("sessions.url"):
        found.add("sessions.url", "is missing", "say where Redis is, such as url: ${REDIS_URL}")
    if not is_installed("redis"):
        found.add("sessions.store", "needs redis, which is not installed", INSTALL_REDIS)


def _redis_url(text: str, found: Findings) -> None:
    """It may hold a password, so nothing of it is repeated."""
    try:
        url = urlsplit(text)
        named = bool(url.path) if url.scheme == "unix" else bool(url.hostname) and url.port != 0
        database = url.scheme == "unix" or re.fullmatch(r"(/\d*)?", url.path)
        good = url.scheme in ("redis", "rediss", "unix") and named and bool(database)
    except ValueError:
        good = False
    if text == MASK:
        found.add("sessions.url", "is masked", "this was printed by `skein config show`: put the URL itself there")
    elif not good or _NOT_IN_A_NAME.search(text):
        found.add("sessions.url", "is not the URL of a Redis", "write redis://:password@host:6379/0, rediss:// for TLS")


def _url(text: str, path: str, found: Findings) -> None:
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        good = False
    if not good or _NOT_IN_A_NAME.search(text):
        found.add(path, "is not a URL", "write it as https://host or http://host:port")
    elif url.username is not None or url.password is not None:
        found.add(path, "has a user name or password in it", "use headers")


def _access(config: Config, names: Names, found: Findings) -> None:
    access, host = config.access, config.server.host
    if found.spoiled("access.mode"):
        pass
    elif access.mode == "keys" and not access.keys and not found.spoiled("access.keys"):
        found.add("access.keys", "is empty, so nobody could call", "list keys, or set access.mode: open")
    elif access.mode != "keys" and access.keys:
        found.add("access.keys", f"nobody is asked for them in mode {access.mode}", "set access.mode: keys")
    elif access.mode == "open" and not is_loopback(host) and not found.spoiled("server.host"):
        remedy = "set access.mode: keys, or trusted if something in front authenticates"
        found.add("access.mode", f"is open, but server.host {quoted(host)} can be reached from other machines", remedy)
    _keys(access, names, found)


def _keys(access: Access, names: Names, found: Findings) -> None:
    counted = Counter(key.name for key in access.keys)
    for index, key in enumerate(access.keys):
        where = found.item("access.keys", index)
        if not _KEY_NAME.fullmatch(key.name):
            found.add(f"{where}.name", "cannot be a key's name", "letters, digits and . _ @ -, at most 64")
        elif counted[key.name] > 1 and key.name in [each.name for each in access.keys[:index]]:
            found.add(f"{where}.name", f"another key is called {quoted(key.name)} too")
        for position, model in enumerate(key.models or ()):
            # A glob such as openai/* may come to mean models that nobody has listed yet.
            if not set(model) & set("*?") and not names.leads_to_target(model):
                found.add(
                    found.item(f"{where}.models", position), why_not(model, names), _key_model_remedy(model, names)
                )
    held = {f"{found.item('access.keys', index)}.key": key.key for index, key in enumerate(access.keys)}
    held |= {"access.admin_key": access.admin_key} if access.admin_key else {}
    secrets(held, found)
    for where, secret in held.items():
        if len(secret) < SHORTEST_KEY:
            found.add(where, f"is shorter than {SHORTEST_KEY} characters", "take 32 random ones")


def _key_model_remedy(model: str, names: Names) -> str:
    if model in names.aliases:
        return f"{quoted(model)} is an alias: name the model it stands for"
    return names.remedy(model)
