"""Every setting there is: typed, frozen, with its default. Nothing here reads or checks a file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import inspect

from gateway.dialects.words import Words
from gateway.resilience import BreakerSettings, Resilience, SpikeSettings
from gateway.routing import Strategy, Target
from gateway.tools import NO_CARE, Care
from gateway.units import Duration, Size
from gateway.vendors import VENDORS
from gateway.vendors.vendor import Account, Auth, Vendor

Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]
"""A text that is never shown, in no problem and no ``repr``."""

Overrides = Annotated[dict[str, Any], msgspec.Meta(extra={"part_of": Resilience})]
"""Some settings of ``Resilience``: only what was said, already checked and in seconds."""

MOST_CARED = 10_000
"""Targets come from clients, too, and are as many as they like."""

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Tokens = Annotated[int, msgspec.Meta(ge=1)]
Dollars = Annotated[float, msgspec.Meta(ge=0)]
Names = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]

S = TypeVar("S", bound=msgspec.Struct)


class Guarded(msgspec.Struct, frozen=True):
    """A struct that may be printed: its secrets show as dots."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        secrets, values = _secrets(type(self)), [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, _masked(value) if name in secrets else value) for name, value in values]


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Where the gateway listens, and how much it takes in."""

    host: str = "127.0.0.1"
    """The address to listen on. Anything but loopback needs `access.mode` to be `keys` or `trusted`."""
    port: Port = 4000
    """0 takes a free port."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=512)] = 1
    """Processes that share the port."""
    max_body: Size = 32 * 2**20
    """The largest request that is read; a larger one is answered with 413."""
    drain_timeout: Duration = 30.0
    """How long running requests may take to finish after a stop was asked for."""
    metrics_port: Port | None = None
    """A port of its own for `/metrics`; with several workers the first of as many."""
    client_timeout: Duration = 30.0
    """How long a client may pause while sending its request."""
    lane: Literal["on", "off"] = "on"
    """Chat and embeddings are served ahead of ASGI, which costs less. `off` serves them as everything else is."""


class Provider(Guarded, frozen=True, kw_only=True):
    """An account of ours on a vendor: who, where, and the key."""

    vendor: str = ""
    """Whose API it is. Left out: the provider's own name."""
    api_key: Secret | None = None
    """The key, usually `${SOME_VARIABLE}`."""
    api_keys: tuple[Secret, ...] = ()
    """Several keys, used as a pool: one that is limited or refused gives way to the next."""
    credential: Literal["default"] | None = None
    """`default` signs in with what the machine offers: Azure (Entra ID), `vertex` (Application Default Credentials),
    `bedrock` and `sagemaker` (AWS's chain)."""
    ad_token: Secret | None = None
    """A ready-made bearer token: Azure (Entra ID), `vertex`."""
    profile: str | None = None
    """AWS: the profile whose credentials sign."""
    access_key_id: str | None = None
    """AWS: the key that signs, with `secret_access_key`."""
    secret_access_key: Secret | None = None
    """AWS: the secret that belongs to `access_key_id`."""
    session_token: Secret | None = None
    """AWS: what makes a temporary pair of keys valid."""
    credentials_file: str | None = None
    """`vertex`: the file of a service account or another Google credential."""
    client_id: str | None = None
    """`databricks`: the service principal that signs in by OAuth, with `client_secret`."""
    client_secret: Secret | None = None
    """`databricks`: the secret that belongs to `client_id`."""
    region: str | None = None
    """AWS: `us-east-1` and the like; `vertex`: as `location`."""
    location: str | None = None
    """`vertex`: the location, such as `global` or `europe-west1`."""
    project: str | None = None
    """`vertex`: Google's project."""
    base_url: str | None = None
    """Where the API is, if not at the vendor's own address."""
    endpoint: str | None = None
    """Another word for `base_url`, as Azure calls it."""
    api_version: str | None = None
    """The `api-version` to ask for. On Azure, a dated one means the classic routes; left out: v1, which needs none."""
    deployments: dict[str, str] = {}
    """Model -> what the vendor calls it (on Azure the deployment), where the two differ."""
    headers: dict[str, Secret] = {}
    """Headers to send with every call."""
    models: tuple[str, ...] = ()
    """Model ids to list and to own; an id not listed can still be called as `provider/model`."""
    windows: dict[str, Tokens] = {}
    """Model -> context window in tokens, where it is not the one known for the name."""
    dialect: str | None = None
    """The one of the vendor's dialects to speak. Left out: the client's own where the vendor has it, else
    its first."""
    cache: Literal["auto", "off"] = "off"
    """`auto` sets marks for the vendor's prompt cache where a client sets none (Claude)."""
    transport: Literal["pool", "httpx"] = "pool"
    """`httpx` calls it over httpx's connections instead of our own: with HTTP/2 where `h2` is installed, and slower."""
    resilience: Overrides = {}
    """What differs from `resilience` for calls to this provider."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The pool of keys; empty when the provider needs none or signs in otherwise."""
        return self.api_keys or ((self.api_key,) if self.api_key else ())

    @property
    def account(self) -> Account:
        return Account(
            base_url=self.base_url,
            api_version=self.api_version,
            deployments=self.deployments,
            region=self.region,
            project=self.project,
        )


class CustomVendor(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor of the operator's own: what is not said is as the one it extends, else as a server of OpenAI's shape."""

    extends: str | None = None
    """The vendor this one differs from. Left out: a plain server of the dialect."""
    title: str | None = None
    """What people call it. Left out: its name."""
    docs: str | None = None
    """Where its own documentation is."""
    base_url: str | None = None
    """Scheme, host and path prefix. Without a path, and without `paths`, `/v1` is understood. Left out: the provider
    gives one."""
    dialect: str | None = None
    """The wire format of its chat, such as `openai_chat` or `anthropic_messages`."""
    paths: dict[str, str | None] | None = None
    """Operation (`chat`, `chat_stream`, `models`, `embeddings`) -> path below the base, `{model}` in it is the model's
    name; null takes an operation away."""
    auth: Auth | None = None
    """Where its key goes: `bearer` into `Authorization`, else into the header of that name. `sigv4` signs each call."""
    service: str | None = None
    """The name AWS signs it under, for `sigv4`."""
    headers: dict[str, str | None] | None = None
    """Headers to send with every call; null takes one away. Secrets belong to a provider's `headers`."""
    rename: dict[str, str | None] | None = None
    """Field of a request -> what it is called here; null leaves the name."""
    drop: tuple[str, ...] | None = None
    """Fields of a request that it refuses, beside those of `extends`."""
    drop_from_messages: tuple[str, ...] | None = None
    """Keys of messages, parts, calls and tools, and types of parts, that it refuses, beside those of `extends`."""
    roles: dict[str, str | None] | None = None
    """Role of a message -> what it is called here, such as `developer: system`; null leaves the name."""
    replays: tuple[str, ...] | None = None
    """Keys of an assistant message that hold reasoning and that it wants back beside the tool calls it led to."""
    flatten: bool | None = None
    """Whether its answers' content may be a list of parts, which is then told as OpenAI does: text, and reasoning."""
    signer: str | None = None
    """Who signs its thoughts, where that is not its dialect's own vendor: they go back to the same signer alone."""
    key_env: tuple[str, ...] | None = None
    """Variables that usually hold its key."""
    key_required: bool | None = None
    """Whether a provider needs a key. Left out: whether `key_env` says where it usually is."""
    serves: tuple[str, ...] | None = None
    """Globs of the models it serves; a glob after `!` takes models out again."""
    owns: tuple[str, ...] | None = None
    """Globs of the bare model ids that are its own."""
    strip: tuple[str, ...] | None = None
    """Ends of paths that people paste and that are not part of its base."""
    listing: str | None = None
    """The shape of its listing of models, by the vendor known for it, such as `openai` or `anthropic`."""
    stream_usage: bool | None = None
    """Whether it takes `stream_options.include_usage`."""
    prefill: dict[str, bool] | None = None
    """What marks an unfinished assistant message that the model is to continue."""
    prices: str | None = None
    """Its id in the price table that comes along."""


class Shim(msgspec.Struct, frozen=True, kw_only=True):
    """For models that cannot be told of tools."""

    interpreter: str | None = None
    """The model that reads calls out of an answer in which none are found: a name of `models`, or a target. Such
    answers are held back until it has answered. Left out: they stay text."""


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's calls of tools are looked after."""

    repair: bool = False
    """Whether names and arguments are put right before the client sees them: JSON that is none, values of another type
    than the tool's schema wants. What is in doubt stays as it came. Calls are held back until the answer is whole."""
    shim: bool | Shim = False
    """Whether tools are told in the instructions and their calls read out of the answer's text, for models that cannot
    be told of tools otherwise. `{interpreter: NAME}`: and by another model where none are found."""

    @property
    def care(self) -> Care:
        shim = self.shim if isinstance(self.shim, Shim) else Shim()
        return Care(self.repair, bool(self.shim), shim.interpreter)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A public name and the strategy behind it. In a file the strategy's settings stand beside ``strategy``."""

    strategy: Strategy
    kind: str = "priority"
    resilience: Overrides = {}
    tools: Tools | None = None
    """None: as the model says that it leads to."""


class Logs(msgspec.Struct, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important line that is written."""
    format: Literal["json", "console"] = "json"
    """`json` for machines, `console` for people."""


class Otlp(Guarded, frozen=True, kw_only=True):
    endpoint: str | None = None
    """Where traces go: a collector's address, to which `/v1/traces` is added over HTTP. Left out: what
    `OTEL_EXPORTER_OTLP_ENDPOINT` says, else nowhere."""
    protocol: Literal["http/protobuf", "grpc"] | None = None
    """How it is spoken to. Left out: what `OTEL_EXPORTER_OTLP_PROTOCOL` says, else `http/protobuf`."""
    headers: dict[str, Secret] = {}
    """Headers to send with them."""
    sample_ratio: Ratio = 1.0
    """The share of requests that is traced; failures and failovers always are, unless it is 0."""
    metrics: bool = False
    """Whether metrics go there too, under the names of OpenTelemetry's GenAI conventions."""


class Langfuse(Guarded, frozen=True, kw_only=True):
    public_key: str | None = None
    """The project's public key; both keys or neither. Left out: `LANGFUSE_PUBLIC_KEY`."""
    secret_key: Secret | None = None
    """The project's secret key. Left out: `LANGFUSE_SECRET_KEY`."""
    host: str | None = None
    """Where Langfuse is. Left out: `LANGFUSE_BASE_URL` or `LANGFUSE_HOST`, else `https://cloud.langfuse.com`."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """Dollars per million tokens."""

    input: Dollars
    """Dollars per million input tokens."""
    output: Dollars
    """Dollars per million output tokens."""
    cached: Dollars | None = None
    """Dollars per million input tokens read from the vendor's cache. Left out: as `input`."""
    cache_write: Dollars | None = None
    """Dollars per million input tokens written to the vendor's cache. Left out: as `input`."""


class Observe(msgspec.Struct, frozen=True, kw_only=True):
    """What is told about requests, to whom."""

    logs: Logs = Logs()
    content: Literal["off", "truncated", "full"] = "off"
    """How much of prompts and answers telemetry may carry, after redaction."""
    otlp: Otlp = Otlp()
    langfuse: Langfuse = Langfuse()
    propagate_to: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    """Hosts of vendors that are told the trace a call belongs to (`traceparent`); globs such as `*.internal`."""
    prices: dict[str, Price] = {}
    """Model or `provider/model` -> price, where it differs from the table that comes along."""


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """Images and files that a request names by URL and that its vendor would not fetch itself."""

    download: bool = True
    """Whether the gateway fetches them."""
    allow: tuple[str, ...] = ()
    """Hosts that may be fetched from although they are not of the public internet."""
    max_size: Size = 20 * 2**20
    """The largest file that is taken."""
    timeout: Duration = 10.0
    """How long fetching one may take."""


class Sessions(Guarded, frozen=True, kw_only=True):
    """What is kept of sessions between their requests: plans, choices, and the models operators have set."""

    store: Literal["memory", "redis"] = "memory"
    """`memory`: each process keeps its own, until it ends. `redis`: all processes share it."""
    url: Secret | None = None
    """Where Redis is, usually `${REDIS_URL}`: `redis://host:6379/0`, `rediss://` over TLS, `unix://`."""
    ttl: Duration = 86400.0
    """How long something is kept that nobody asks for."""
    max: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """The most that a process keeps in memory, and the most sessions that operators may have set a model for."""
    timeout: Duration = 0.05
    """The longest a request waits for Redis."""
    prefix: str = "skein"
    """What its keys in Redis begin with."""


class Key(Guarded, frozen=True, kw_only=True):
    """One caller's key."""

    name: str
    """What the caller is called in logs and metrics."""
    key: Secret
    """The key itself, at least eight characters."""
    models: Names | None = None
    """The models it may ask for, globs such as `openai/*` among them. Left out: all."""


class Access(Guarded, frozen=True, kw_only=True):
    """Who may call."""

    mode: Literal["open", "trusted", "keys"] = "open"
    """`open`: anyone, on loopback only. `trusted`: anyone, behind something that authenticates.
    `keys`: who has one of the keys."""
    keys: tuple[Key, ...] = ()
    """The keys that are accepted."""
    admin_key: Secret | None = None
    """Opens `/admin/*` and the operator page to callers that are not on this machine."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration, checked. ``aliases`` lead straight to a configured model or a ``provider/model``."""

    server: Server = Server()
    providers: dict[str, Provider] = {}
    models: dict[str, Model] = {}
    aliases: dict[str, str] = {}
    resilience: Resilience = Resilience()
    observe: Observe = Observe()
    access: Access = Access()
    media: Media = Media()
    sessions: Sessions = Sessions()
    turns: Words = Words()
    custom: dict[str, CustomVendor] = {}
    """The section ``vendors`` as it was said."""
    vendors: Mapping[str, Vendor] = msgspec.field(default_factory=lambda: VENDORS)
    """Every vendor there is: those that come along, those of installed packages, those of the file."""
    source: str = "environment"
    """The file it was read from, or ``environment``."""
    notes: tuple[str, ...] = ()
    """What was set but is not used or will not work, for whoever starts the gateway to read."""
    variables: dict[str, str] = {}
    """Path -> the variable its value is from; what was written as it stands is not here."""
    merged: dict[tuple[str | None, str], Resilience] = {}
    """Answers of ``resilience_for``, kept."""
    cared: dict[tuple[str | None, Target], Care] = {}
    """Answers of ``care_for``, kept: those for what the configuration names."""

    def __repr__(self) -> str:
        return f"Config(source={self.source!r}, providers={list(self.providers)}, models={list(self.models)})"

    def resilience_for(self, model: str | None, provider: str) -> Resilience:
        """For one attempt: what holds everywhere, changed by the provider, changed by the model asked for."""
        model = model if model in self.models else None
        if kept := self.merged.get((model, provider)):
            return kept
        settings = self.resilience
        if provider in self.providers:
            settings = overridden(settings, self.providers[provider].resilience)
        if model is not None:
            settings = overridden(settings, self.models[model].resilience)
        if provider in self.providers:
            self.merged[model, provider] = settings
        return settings

    def care_for(self, model: str | None, target: Target) -> Care:
        """How this target's calls are looked after for whoever asks for the model: as the model says, else as the
        first of those says that it leads to and that leads to the target."""
        if model not in self.models or not any(each.tools for each in self.models.values()):
            return NO_CARE
        key = (model, target)
        if key not in self.cared:
            if len(self.cared) >= MOST_CARED:
                self.cared.clear()
            self.cared[key] = self._tools_for(model, str(target)) or NO_CARE
        return self.cared[key]

    def _tools_for(self, name: str, target: str) -> Care | None:
        """None: nobody on the way says anything."""
        model = self.models[name]
        if model.tools is not None:
            return model.tools.care
        for reference in model.strategy.references():
            reference = reference if reference in self.models else self.aliases.get(reference, reference)
            if reference in self.models and self._leads_to(reference, target):
                found = self._tools_for(reference, target)
                if found is not None:
                    return found
        return None

    def _leads_to(self, name: str, target: str) -> bool:
        """Circles of models are a problem, and none come here."""
        references = self.models[name].strategy.references()
        return target in references or any(self._leads_to(each, target) for each in references if each in self.models)

    def breaker_for(self, target: Target) -> BreakerSettings:
        """For one target, whoever asks: a breaker is shared by all models that lead to it."""
        settings = self.resilience_for(None, target.provider).breaker
        for model in self.models.values():
            if str(target) in model.strategy.references():
                settings = overridden(settings, model.resilience.get("breaker", {}))
        return settings

    def spike_for(self, provider: str) -> SpikeSettings:
        """For one provider, whoever asks: all its targets are counted together."""
        return self.resilience_for(None, provider).spike


def overridden(settings: S, changes: Mapping[str, Any]) -> S:
    """The settings with the changes in, deeply: what a change does not mention stays."""
    new = {}
    for name, value in changes.items():
        old = getattr(settings, name)
        new[name] = overridden(old, value) if isinstance(old, msgspec.Struct) else value
    return msgspec.structs.replace(settings, **new)


@functools.cache
def _secrets(struct: type[msgspec.Struct]) -> frozenset[str]:
    fields = inspect.type_info(struct).fields  # type: ignore[attr-defined]
    return frozenset(field.name for field in fields if is_secret(field.type) and not _prints_itself(field.type))


def is_secret(kind: inspect.Type) -> bool:
    """Values meant for this type may be secrets, or have secrets inside."""
    match kind:
        case inspect.StructType():
            return issubclass(kind.cls, Guarded)
        case inspect.Metadata():
            return bool((kind.extra or {}).get("secret"))
        case inspect.UnionType():
            return any(map(is_secret, kind.types))
        case inspect.VarTupleType():
            return is_secret(kind.item_type)
        case inspect.DictType():
            return is_secret(kind.value_type)
    return False


def _prints_itself(kind: inspect.Type) -> bool:
    return isinstance(kind.item_type if isinstance(kind, inspect.VarTupleType) else kind, inspect.StructType)


def _masked(value: Any) -> Any:
    match value:
        case None:
            return None
        case dict():
            return dict.fromkeys(value, "…")
        case tuple():
            return ("…",) * len(value)
    return "…"
