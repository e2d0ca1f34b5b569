"""Google's Gemini API, for developers: a key and no project."""

from __future__ import annotations

import re

from msgspec.structs import replace

from gateway.vendors.base_url import BaseURL
from gateway.vendors.locate import ENDPOINTS, VERSION, Path, clean_api_version, given_base, segments, tail
from gateway.vendors.vendor import Account, Routes, Vendor, segment

# Google's SDK calls v1 since 3.0; v1beta has all of that, and the ``-latest`` models besides:
# https://github.com/googleapis/python-genai#readme. A version in the base URL, or ``api_version``, wins.
CHAT = "/v1beta/models/{model}:generateContent"
STREAM = "/v1beta/models/{model}:streamGenerateContent?alt=sse"
COUNT = "/v1beta/models/{model}:countTokens"
LISTING = "/v1beta/models?pageSize=1000"
EMBEDDINGS = "/v1beta/openai/embeddings"
EMBED_ONE = "/v1beta/models/{model}:embedContent"
EMBED_SEVERAL = "/v1beta/models/{model}:batchEmbedContents"

PASTED: tuple[Path, ...] = (*ENDPOINTS, ("openai",))
CALL = re.compile(r"[^/]+(:|%3A)[A-Za-z]+")
"""``gemini-2.5-pro:generateContent``: a whole endpoint was pasted."""


def locate(vendor: Vendor, account: Account) -> Routes:
    """The version goes below whatever base there is, as in Google's SDK."""
    base, pasted = without_version(given_base(vendor, account))
    version = pasted or wanted_version(account.api_version)
    whole = replace(base, path=(*base.path, version)) if version else base
    return Routes(
        urls={operation: url_of(base, versioned(path, version)) for operation, path in vendor.paths.items()},
        deployments=account.deployments,
        base=whole.url(),
        written=written,
    )


def without_version(base: BaseURL) -> tuple[BaseURL, str]:
    """The base without what is below it, and the version it was pasted with."""
    path = base.path
    while path and (suffix := tail(path, PASTED) or (path[-1:] if CALL.fullmatch(path[-1]) else ())):
        path = path[: -len(suffix)]
    version = ""
    while path and VERSION.fullmatch(path[-1]):
        path, version = path[:-1], version or path[-1]
    return replace(base, path=path), version


def wanted_version(api_version: str | None) -> str:
    """A dated version is of another vendor's, and none of Google's."""
    version = clean_api_version(api_version)
    return version if VERSION.fullmatch(version) else ""


def versioned(path: str, version: str) -> str:
    """The path at another version; Google's OpenAI endpoint has but one."""
    parts = segments(path)
    if not version or "openai" in parts:
        return path
    return "/".join(("", version, *parts[1:]))


def url_of(base: BaseURL, path: str) -> str:
    """The query of the base and the path's own go together."""
    below, _, query = path.partition("?")
    return replace(base, query="&".join(filter(None, (query, base.query)))).url(below)


def written(template: str, model: str) -> str:
    """A model may be named as Google lists it: ``models/x``, ``tunedModels/y``."""
    name = model.removeprefix("models/").removeprefix("google/")
    if name.startswith("tunedModels/"):
        return template.replace("models/{model}", path_of(name))
    return template.replace("{model}", segment(name))


def path_of(name: str) -> str:
    return "/".join(segment(part) for part in segments(name))


_EMBEDDINGS = Vendor(
    name="google",
    title="Google Gemini",
    docs="https://ai.google.dev/gemini-api/docs/openai",
    base_url="https://generativelanguage.googleapis.com",
    paths={"embeddings": EMBEDDINGS},
    prices="google",
    locate=locate,
)
# For clients that speak Gemini themselves; all others are served by the endpoint above, which loses nothing of theirs.
_EMBEDS_SEVERAL = replace(
    _EMBEDDINGS,
    docs="https://ai.google.dev/api/embeddings",
    paths={"embeddings": EMBED_SEVERAL},
    auth="x-goog-api-key",
    dialect="gemini",
    embeds="gemini_embeddings",
)
_EMBEDS_ONE = replace(_EMBEDS_SEVERAL, paths={"embeddings": EMBED_ONE}, embeds="gemini_embedding")

VENDOR = Vendor(
    name="google",
    aliases=("gemini",),
    title="Google Gemini",
    docs="https://ai.google.dev/api",
    base_url="https://generativelanguage.googleapis.com",
    paths={"chat": CHAT, "chat_stream": STREAM, "count_tokens": COUNT, "models": LISTING},
    key_env=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    base_env=("GOOGLE_GEMINI_BASE_URL",),
    host_env=("GOOGLE_HOST",),
    auth="x-goog-api-key",
    dialect="gemini",
    listing="gemini",
    owns=("gemini-*", "gemma-*-it", "learnlm-*", "models/gemini-*", "tunedmodels/*"),
    prices="google",
    locate=locate,
    faces=(_EMBEDDINGS, _EMBEDS_SEVERAL, _EMBEDS_ONE),
)
