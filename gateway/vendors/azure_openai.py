"""Azure OpenAI and Foundry: the same models under four layouts of URL, told apart by what was pasted."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec
from msgspec.structs import replace

from gateway.vendors.anthropic import VERSION
from gateway.vendors.base_url import BaseURL
from gateway.vendors.foreign import MARKERS, THOUGHTS
from gateway.vendors.locate import (
    ENDPOINTS,
    Path,
    clean_api_version,
    given_base,
    split_api_version,
    tail,
    urls_below,
    with_api_version,
)
from gateway.vendors.responses_face import NO_TOOLS_WHILE_THINKING, ONLY_CHAT, ONLY_RESPONSES, but, responses_face
from gateway.vendors.vendor import Account, Routes, Vendor, segment

ROLLING = ("v1", "preview", "latest")
"""Versions of the v1 API; the dated ones are of the classic API."""
FIRST_WITH_RESPONSES = "2025-03-01"
"""Older versions of the classic API have none; the v1 API, which every resource has, does."""
FOUNDRY_VERSION = "2024-05-01-preview"
"""https://learn.microsoft.com/rest/api/aifoundry/modelinference"""

AZURE_HOST = re.compile(r"\.azure\.(com|us|cn)$")
PROJECT = re.compile(r"api/projects/[^/]+$")


class Pasted(msgspec.Struct, frozen=True, kw_only=True):
    """What the path of an endpoint says."""

    root: Path
    """Where ``deployments/`` and ``v1/`` are, or ``models/`` in Foundry."""
    deployment: str | None = None
    is_v1: bool = False
    is_foundry: bool = False


def locate(vendor: Vendor, account: Account) -> Routes:
    """1. Foundry inference. 2. v1, asked for by its path or by no dated version. 3. Classic deployments.

    An ``api-version`` in the URL wins over the setting: whoever pasted both together had them from the same place.
    """
    base = given_base(vendor, account)
    pasted = read_path(base)
    in_url, others = split_api_version(base.query)
    version = in_url or clean_api_version(account.api_version)
    base = replace(base, path=pasted.root, query=others)
    if pasted.is_foundry:
        return foundry(base, FOUNDRY_VERSION if version in ("", *ROLLING) else version, account)
    if pasted.is_v1 or version in ("", *ROLLING):
        return v1(vendor, base, in_url, pasted, account)
    return classic(base, version, pasted, account)


def foundry(base: BaseURL, version: str, account: Account) -> Routes:
    """It lists nothing: what is deployed there is told by ``info``, one model a time."""
    base = replace(base, query=with_api_version(base.query, version))
    return Routes(
        urls={
            "chat": base.url("/chat/completions"),
            "models": base.url("/info"),
            "embeddings": base.url("/embeddings"),
        },
        deployments=account.deployments,
        base=base.url(),
    )


def v1(vendor: Vendor, base: BaseURL, in_url: str, pasted: Pasted, account: Account) -> Routes:
    """The deployment is the model in the body. A dated version would be refused; a pasted ``preview`` is an opt-in."""
    version = in_url if in_url in ("preview", "latest") else ""
    base = replace(base, path=(*base.path, "v1"), query=with_api_version(base.query, version))
    return Routes(
        urls=urls_below(vendor, base),
        deployments=account.deployments,
        deployment=pasted.deployment,
        base=base.url(named(pasted.deployment)),
    )


def classic(base: BaseURL, version: str, pasted: Pasted, account: Account) -> Routes:
    """Only what a deployment does is below the deployment; a listing there is a 404."""
    base = replace(base, query=with_api_version(base.query, version))
    return Routes(
        urls={
            "chat": base.url("/deployments/{model}/chat/completions"),
            "completions": base.url("/deployments/{model}/completions"),
            "models": base.url("/models"),
            "embeddings": base.url("/deployments/{model}/embeddings"),
        },
        deployments=account.deployments,
        deployment=pasted.deployment,
        base=base.url(named(pasted.deployment)),
    )


def locate_responses(vendor: Vendor, account: Account) -> Routes:
    """1. Foundry inference has none. 2. v1. 3. A classic version that knows it, beside the deployments."""
    base = given_base(vendor, account)
    pasted = read_path(base)
    if pasted.is_foundry:
        return Routes(urls={}, deployments=account.deployments, base=locate(vendor, account).base)
    in_url, others = split_api_version(base.query)
    version = in_url or clean_api_version(account.api_version)
    base = replace(base, path=pasted.root, query=others)
    if pasted.is_v1 or version < FIRST_WITH_RESPONSES or not version[:1].isdigit():
        return v1(vendor, base, in_url, pasted, account)
    base = replace(base, query=with_api_version(others, version))
    return Routes(
        urls=urls_below(vendor, base),
        deployments=account.deployments,
        deployment=pasted.deployment,
        base=base.url(named(pasted.deployment)),
    )


def named(deployment: str | None) -> str:
    return f"/deployments/{segment(deployment)}" if deployment else ""


def read_path(base: BaseURL) -> Pasted:
    """Takes the path apart from its end, until what is left is a prefix of the user's own."""
    path, deployment, is_v1, is_laid_out = base.path, None, False, False
    while path:
        parents, last = [part.lower() for part in path[:-1]], path[-1].lower()
        if last == "models" and not {"openai", "v1", "deployments"}.intersection(parents):
            return Pasted(root=path, is_foundry=True)
        if parents[-1:] == ["deployments"]:
            path, deployment, is_laid_out = path[:-2], deployment or unquote(path[-1]), True
        elif last == "v1":
            path, is_v1, is_laid_out = path[:-1], True, True
        elif tail(path, SAYS_NO_MORE):
            path = path[:-1]
        elif endpoint := tail(path, ENDPOINTS):
            path = path[: -len(endpoint)]
        else:
            break
    return Pasted(root=openai_root(base, path, is_laid_out), deployment=deployment, is_v1=is_v1)


SAYS_NO_MORE = (
    ("openai", "openai"),
    ("openai", "v1", "openai"),
    ("models", "info"),
    ("deployments",),
    ("anthropic",),
    ("anthropic", "v1"),
)
"""Tails whose last segment tells nothing of the layout."""


def openai_root(base: BaseURL, path: Path, is_laid_out: bool) -> Path:
    """Below ``/openai``, once; unless a gateway of the user's own has ``deployments`` or ``v1`` without it."""
    if path and path[-1].lower() == "openai":
        return path
    if AZURE_HOST.search(base.host):
        # A Foundry project is below its resource, and the models are the resource's.
        return (*segments_above_project(path), "openai")
    return path if is_laid_out else (*path, "openai")


def segments_above_project(path: Path) -> Path:
    return path[:-3] if PROJECT.search("/".join(path)) else path


def locate_claude(vendor: Vendor, account: Account) -> Routes:
    """Beside what was pasted for the other models, on the resource's Foundry host; versions are told in a header."""
    base = given_base(vendor, account)
    root = read_path(base).root
    if root and root[-1].lower() in ("openai", "models"):
        root = root[:-1]
    host = RESOURCE_HOST.sub(r"\1.services.ai.azure.\2", base.host)
    base = replace(base, host=host, path=(*root, "anthropic"), query=split_api_version(base.query)[1])
    return Routes(urls=urls_below(vendor, base), deployments=account.deployments, base=base.url())


RESOURCE_HOST = re.compile(r"^([^.]+)\.(?:openai|cognitiveservices)\.azure\.(com|us|cn)$")

CLAUDE = Vendor(
    name="azure_openai",
    title="Microsoft Foundry",
    docs="https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry",
    base_url=None,
    paths={"chat": "/v1/messages", "count_tokens": "/v1/messages/count_tokens"},
    auth="api-key",
    identity="entra",
    dialect="anthropic_messages",
    serves=("claude-*",),
    headers={"anthropic-version": VERSION},
    prices="azure",
    locate=locate_claude,
)

_OPENAI = Vendor(
    name="azure_openai",
    title="Azure OpenAI",
    docs="https://learn.microsoft.com/azure/ai-foundry/openai/reference",
    base_url=None,
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    serves=but(("claude-*", *ONLY_RESPONSES)),
    key_env=("AZURE_OPENAI_API_KEY",),
    base_env=("AZURE_OPENAI_ENDPOINT",),
    auth="api-key",
    identity="entra",
    drop_from_messages=THOUGHTS | MARKERS,
    no_tools_while_thinking=NO_TOOLS_WHILE_THINKING,
    prices="azure",
    locate=locate,
)
RESPONSES = responses_face(
    _OPENAI,
    "https://learn.microsoft.com/azure/ai-foundry/openai/how-to/responses",
    serves=but(("claude-*", *ONLY_CHAT)),
    locate=locate_responses,
)
VENDOR = replace(_OPENAI, faces=(CLAUDE, RESPONSES))
