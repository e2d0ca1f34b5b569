"""Google's Vertex AI: Gemini, Claude, Mistral and open models of one project, each in its own dialect."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec.structs import replace

from gateway.vendors.base_url import BaseURL, read_base_url
from gateway.vendors.foreign import MARKERS, THOUGHTS
from gateway.vendors.google import path_of, url_of, versioned, wanted_version, without_version
from gateway.vendors.locate import given_base
from gateway.vendors.mistral import VENDOR as MISTRAL
from gateway.vendors.vendor import Account, Adapted, Routes, Vendor, segment

# Where models are that are in no one region; Gemini 3 and the newest Claude are only there. Google's SDK takes it too.
LOCATION = "global"
MULTIREGIONS = ("us", "eu")
ANTHROPIC_VERSION = "vertex-2023-10-16"

PROJECT = "/projects/{project}/locations/{location}"
GEMINI = f"/v1beta1{PROJECT}/publishers/google/models/{{model}}"
CLAUDE = f"/v1{PROJECT}/publishers/anthropic/models/{{model}}"
MISTRALAI = f"/v1{PROJECT}/publishers/mistralai/models/{{model}}"

MODEL = re.compile(r"publishers/[^/]+/models/\{model\}")
RESOURCE = re.compile(r"(?:projects/.+/)?publishers/[^/]+/models/\{model\}")


class Pasted(msgspec.Struct, frozen=True, kw_only=True):
    """What a base URL says."""

    base: BaseURL
    version: str = ""
    project: str | None = None
    location: str | None = None


def locate(vendor: Vendor, account: Account) -> Routes:
    """1. With a project. 2. Without: express mode, where a key knows its project and only Gemini is to be had."""
    pasted = read_pasted(vendor, account)
    version = pasted.version or wanted_version(account.api_version)
    project = pasted.project or (account.project or "").strip()
    location = pasted.location or location_of(account)
    base = replace(pasted.base, path=(*pasted.base.path, version)) if version else pasted.base
    if project:
        filled = {"{project}": segment(project), "{location}": segment(location)}
        paths = {operation: _filled(path, filled) for operation, path in vendor.paths.items()}
    else:
        express = {operation: path.replace(PROJECT, "") for operation, path in vendor.paths.items()}
        paths = express if vendor.dialect == "gemini" else {}
    return Routes(
        urls={operation: url_of(pasted.base, versioned(path, version)) for operation, path in paths.items()},
        deployments=account.deployments,
        base=base.url(),
        written=written,
    )


def read_pasted(vendor: Vendor, account: Account) -> Pasted:
    """``…/v1/projects/p/locations/l/publishers/…`` says all at once."""
    if not account.base_url:
        return Pasted(base=read_base_url(f"https://{host_of(location_of(account))}"))
    base = given_base(vendor, account)
    path, project, location = base.path, None, None
    if "projects" in path:
        start = path.index("projects")
        below = [unquote(part) for part in path[start:]]
        project = below[1] if len(below) > 1 else None
        location = below[3] if len(below) > 3 and below[2] == "locations" else None
        path = path[:start]
    elif "publishers" in path:
        path = path[: path.index("publishers")]
    base, version = without_version(replace(base, path=path))
    return Pasted(base=base, version=version, project=project, location=location)


def location_of(account: Account) -> str:
    location = (account.region or LOCATION).strip().lower()
    if not re.fullmatch(r"[a-z0-9-]+", location):
        raise ValueError("the location is not one of Google's: write it as global, us or europe-west1")
    return location


def host_of(location: str) -> str:
    """https://docs.cloud.google.com/vertex-ai/generative-ai/docs/learn/locations"""
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in MULTIREGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def _filled(path: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        path = path.replace(name, value)
    return path


def written(template: str, model: str) -> str:
    """1. A whole resource. 2. Another publisher's model, or a tuned one at an endpoint. 3. A plain name."""
    if model.startswith("projects/"):
        return RESOURCE.sub(lambda _: path_of(model), template, count=1)
    if model.startswith(("publishers/", "endpoints/")):
        return MODEL.sub(lambda _: path_of(model), template, count=1)
    return template.replace("{model}", segment(bare(model)).replace("%40", "@"))


def bare(model: str) -> str:
    """The name without who publishes it: ``anthropic/claude-…``, ``google/gemini-…``."""
    return model.rpartition("/")[2] or model


def adapt_claude(body: dict[str, Any], model: str) -> Adapted:
    """The model is in the path, and the version in the body: https://platform.claude.com/docs/en/api/claude-on-vertex-ai"""
    rest = {name: value for name, value in body.items() if name != "model"}
    return Adapted({"anthropic_version": ANTHROPIC_VERSION, **rest})


def adapt_mistral(body: dict[str, Any], model: str) -> Adapted:
    """What Mistral's own API wants, and the name without who publishes it."""
    made = MISTRAL.adapt(body, model) if MISTRAL.adapt else Adapted(body)
    return made._replace(body={**made.body, "model": bare(str(body.get("model") or model))})


_CLAUDE_NAMES = ("claude-*", "*/claude-*")
_GEMINI_NAMES = ("gemini-*", "*/gemini-*", "endpoints/*", "projects/*", "learnlm-*")
_EMBEDDING_NAMES = ("*text-embedding-*", "*text-multilingual-embedding-*", "*textembedding-gecko*")
_MISTRAL_NAMES = (
    "mistral-*",
    "mistralai/*",
    "codestral-*",
    "ministral-*",
    "publishers/mistralai/*",
)

VENDOR = Vendor(
    name="vertex",
    aliases=("gcp_vertex_ai",),
    title="Google Vertex AI",
    docs="https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference",
    base_url="https://aiplatform.googleapis.com",
    paths={
        "chat": f"{GEMINI}:generateContent",
        "chat_stream": f"{GEMINI}:streamGenerateContent?alt=sse",
        "count_tokens": f"{GEMINI}:countTokens",
        "models": "/v1beta1/publishers/google/models?pageSize=200",
    },
    key_env=("GOOGLE_VERTEX_API_KEY",),
    base_env=("GOOGLE_VERTEX_BASE_URL",),
    # A key is express mode's; else a bearer token of Google's identities.
    auth="x-goog-api-key",
    key_required=False,
    identity="google",
    dialect="gemini",
    counts="vertex",
    listing="vertex",
    serves=_GEMINI_NAMES,
    prices="google",
    locate=locate,
)
# Its older embedding models are asked as all older models of Vertex are, Gemini's as Gemini is.
_EMBEDS = replace(
    VENDOR,
    docs="https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api",
    paths={"embeddings": f"{GEMINI}:predict"},
    embeds="vertex_embeddings",
    counts=None,
    serves=_EMBEDDING_NAMES,
)
_GEMINI_EMBEDS = replace(
    _EMBEDS,
    paths={"embeddings": f"{GEMINI}:batchEmbedContents"},
    embeds="vertex_gemini_embeddings",
    serves=("gemini-embedding-*", "*/gemini-embedding-*"),
)
_CLAUDE = replace(
    VENDOR,
    docs="https://platform.claude.com/docs/en/api/claude-on-vertex-ai",
    paths={"chat": f"{CLAUDE}:rawPredict", "chat_stream": f"{CLAUDE}:streamRawPredict"},
    dialect="anthropic_messages",
    serves=_CLAUDE_NAMES,
    adapt=adapt_claude,
    counts=None,
)
_MISTRAL = replace(
    MISTRAL,
    name=VENDOR.name,
    title=VENDOR.title,
    docs="https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/mistral",
    base_url=VENDOR.base_url,
    paths={"chat": f"{MISTRALAI}:rawPredict", "chat_stream": f"{MISTRALAI}:streamRawPredict"},
    key_env=(),
    auth=VENDOR.auth,
    key_required=False,
    identity="google",
    serves=_MISTRAL_NAMES,
    owns=(),
    prices="google",
    locate=locate,
    adapt=adapt_mistral,
)
_OPEN = replace(
    VENDOR,
    docs="https://docs.cloud.google.com/vertex-ai/generative-ai/docs/maas/call-open-model-apis",
    paths={"chat": f"/v1{PROJECT}/endpoints/openapi/chat/completions"},
    dialect="openai_chat",
    counts=None,
    # Its fields are checked as strictly as Gemini's own endpoint does.
    drop_from_messages=THOUGHTS | MARKERS,
    serves=("*", *(f"!{glob}" for glob in (*_GEMINI_NAMES, *_CLAUDE_NAMES, *_MISTRAL_NAMES, *_EMBEDDING_NAMES))),
)
VENDOR = replace(VENDOR, faces=(_CLAUDE, _MISTRAL, _OPEN, _EMBEDS, _GEMINI_EMBEDS))
