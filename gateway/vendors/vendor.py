"""What a vendor is: who serves, at which URL each operation lives, how one signs in, what differs from its dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec

from gateway.chat import Facts
from gateway.chat import Headers as Headers
from gateway.dialects.payload_parts import Unframer

Operation = Literal["chat", "chat_stream", "models", "embeddings", "completions", "count_tokens"]
"""``chat_stream`` where streamed answers have a URL of their own."""
COMPLETIONS = "openai_completions"
"""The wire format of completions, wherever there are any."""
Auth = Literal["bearer", "api-key", "x-api-key", "x-goog-api-key", "sigv4", "none"]


Identity = Literal["", "entra", "google", "aws", "databricks", "github"]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's settings say about where to call; ``None`` is what was not said."""

    base_url: str | None = None
    api_version: str | None = None
    deployments: Mapping[str, str] = {}
    region: str | None = None
    """Of the cloud: ``us-east-1``, ``europe-west1``, ``global``."""
    project: str | None = None
    """Google's project."""


class Adapted(NamedTuple):
    """A request made to fit one vendor."""

    body: dict[str, Any]
    headers: Headers = ()
    dropped: tuple[str, ...] = ()


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """One explicit URL template per operation; ``{model}`` in it is the model's deployment, percent-encoded."""

    urls: Mapping[Operation, str]
    deployments: Mapping[str, str] = {}
    deployment: str | None = None
    """The one a pasted URL names: it serves every model that ``deployments`` does not."""
    base: str = ""
    """The base URL as understood. Given back as ``base_url``, it leads to these same URLs."""
    written: Callable[[str, str], str] | None = None
    """For the vendor whose models have paths for names (``tunedModels/x``): a template and a model -> the URL."""

    def url(self, operation: Operation, model: str = "") -> str:
        """The exact URL of one call. Raises ``KeyError`` when the vendor has no such operation."""
        template = self.urls[operation]
        if "{model}" not in template:
            return template
        deployment = self.deployed(model)
        if deployment and self.written:
            return self.written(template, deployment)
        return template.replace("{model}", segment(deployment)) if deployment else template

    def deployed(self, model: str) -> str:
        """What the vendor calls this model: its name in the body, and in the path where the path has one."""
        return self.deployments.get(model) or self.deployment or model


def segment(name: str) -> str:
    """A name as one path segment, in which ``..`` leads nowhere."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """One row of facts. Fields say what differs; what is not said is as in plain OpenAI chat."""

    name: str
    title: str
    docs: str
    """Where the facts come from: the vendor's own page."""
    base_url: str | None
    """Scheme, host and path prefix, without a trailing slash. ``None``: the provider must give one."""
    paths: Mapping[Operation, str]
    """Operation -> path below the base (or ``{origin}/...``, below the host)."""
    key_env: tuple[str, ...] = ()
    base_env: tuple[str, ...] = ()
    """Variables that hold a whole base URL, as the OpenAI SDK reads it."""
    host_env: tuple[str, ...] = ()
    """Variables that hold a host, below which the vendor's own path prefix applies."""
    auth: Auth = "bearer"
    key_required: bool = True
    dialect: str = "openai_chat"
    """The wire format of its chat."""
    embeds: str = "openai_embeddings"
    """The wire format of its embeddings."""
    counts: str | None = None
    """How it is asked for counts of tokens, where that is not as its dialect's own vendor is."""
    serves: tuple[str, ...] = ("*",)
    """Globs of the models that are to be had in this way; a glob after ``!`` takes models out again."""
    no_tools_while_thinking: Mapping[str, str] = {}
    """Globs of the models that refuse tools here while they think -> how much they think unasked."""
    faces: tuple[Vendor, ...] = ()
    """Other ways to the same account: models, dialects or operations with URLs of their own. Not nested."""
    listing: str = "openai"
    """The shape of its listing of models: a name in ``gateway.listing_shapes``."""
    owns: tuple[str, ...] = ()
    """Globs of the bare model ids that are this vendor's own."""
    strip: tuple[str, ...] = ()
    """Path suffixes users paste that are not part of this vendor's base."""
    rename: Mapping[str, str] = {}
    drop: frozenset[str] = frozenset()
    drop_from_messages: frozenset[str] = frozenset()
    """Keys of messages, parts, calls and tools that it refuses, and types of parts: mostly other vendors' reasoning."""
    roles: Mapping[str, str] = {}
    """Roles of messages that it does not know -> what it calls them."""
    replays: frozenset[str] = frozenset()
    """Keys of an assistant message with reasoning in it that it wants back beside the tool calls it led to."""
    adapt: Callable[[dict[str, Any], str], Adapted] | None = None
    """For the vendor whose bodies need code: the body as written so far and the model's name here -> what is sent."""
    flatten: bool = False
    """Its answers' content may be a list of parts, which OpenAI's own clients do not expect."""
    signer: str | None = None
    """Who signs its thoughts, where that is not its dialect's own vendor: ``Reasoning.format``."""
    unframe: Callable[[], Unframer] | None = None
    """For the vendor that wraps a streamed answer in something of its own."""
    stream_usage: bool = True
    """Accepts ``stream_options.include_usage`` (some report usage on the last chunk by themselves instead)."""
    prefill: Mapping[str, Any] | None = None
    """What marks an unfinished assistant message that the model is to continue, where the vendor has such a thing."""
    headers: Mapping[str, str] = {}
    prices: str | None = None
    """The vendor's id in genai-prices. ``None``: its prices are not known."""
    locate: Callable[[Vendor, Account], Routes] | None = None
    """For the vendor whose URLs depend on more than a base."""
    service: str = ""
    """The name AWS signs it under, for ``sigv4``."""
    identity: Identity = ""
    """Whose identities sign in where there is no key."""
    aliases: tuple[str, ...] = ()
    """Other names it is known by, for configurations."""

    def speaks(self, operation: Operation) -> str:
        """The wire format of an operation."""
        if operation == "embeddings":
            return self.embeds
        if operation == "count_tokens":
            return self.counts or self.dialect
        return COMPLETIONS if operation == "completions" and operation in self.paths else self.dialect

    def fits(self, facts: Facts, model: str) -> bool:
        """Can the model be asked for this in this way?"""
        if not facts.tools:
            return True
        name = model.lower()
        unasked = next((level for glob, level in self.no_tools_while_thinking.items() if fnmatchcase(name, glob)), None)
        return unasked is None or facts.parameters.get("reasoning.level", unasked) == "none"

    def has(self, model: str) -> bool:
        """Is this model to be had in this way?"""
        plus = [glob for glob in self.serves if not glob.startswith("!")] or ["*"]
        minus = [glob[1:] for glob in self.serves if glob.startswith("!")]
        name = model.lower()
        return any(fnmatchcase(name, glob) for glob in plus) and not any(fnmatchcase(name, glob) for glob in minus)
