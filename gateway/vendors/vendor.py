"""What a vendor is: who serves, at which URL each operation lives, how one signs in, what differs from its dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import quote

import msgspec

Operation = Literal["chat", "models", "embeddings"]
Auth = Literal["bearer", "api-key", "none"]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's settings say about where to call; ``None`` is what was not said."""

    base_url: str | None = None
    api_version: str | None = None
    deployments: Mapping[str, str] = {}


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """One explicit URL template per operation; ``{model}`` in it is the model's deployment, percent-encoded."""

    urls: Mapping[Operation, str]
    deployments: Mapping[str, str] = {}
    deployment: str | None = None
    """The one a pasted URL names: it serves every model that ``deployments`` does not."""
    base: str = ""
    """The base URL as understood. Given back as ``base_url``, it leads to these same URLs."""

    def url(self, operation: Operation, model: str = "") -> str:
        """The exact URL of one call. Raises ``KeyError`` when the vendor has no such operation."""
        template = self.urls[operation]
        if "{model}" not in template:
            return template
        deployment = self.deployed(model)
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
    speaks: tuple[str, ...] = ("openai_chat",)
    owns: tuple[str, ...] = ()
    """Globs of the bare model ids that are this vendor's own."""
    strip: tuple[str, ...] = ()
    """Path suffixes users paste that are not part of this vendor's base."""
    rename: Mapping[str, str] = {}
    drop: frozenset[str] = frozenset()
    stream_usage: bool = True
    """Accepts ``stream_options.include_usage`` (some report usage on the last chunk by themselves instead)."""
    prefill: Mapping[str, Any] | None = None
    """What marks an unfinished assistant message that the model is to continue, where the vendor has such a thing."""
    headers: Mapping[str, str] = {}
    prices: str | None = None
    """The vendor's id in genai-prices. ``None``: its prices are not known."""
    locate: Callable[[Vendor, Account], Routes] | None = None
    """For the vendor whose URLs depend on more than a base."""
