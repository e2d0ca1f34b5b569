"""xAI: Grok models; its own SDK speaks gRPC, everyone else OpenAI chat."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

# goose reads XAI_HOST as OpenAI clients read a base URL, /v1 and all.
_CHAT = Vendor(
    name="xai",
    title="xAI",
    docs="https://docs.x.ai/docs/api-reference",
    base_url="https://api.x.ai/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("XAI_API_KEY",),
    base_env=("XAI_HOST",),
    owns=("grok-*",),
    prices="x-ai",
)
VENDOR = replace(
    _CHAT, faces=(responses_face(_CHAT, "https://docs.x.ai/docs/api-reference#create-new-response", signer="xai"),)
)
