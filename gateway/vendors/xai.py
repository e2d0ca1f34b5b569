"""xAI: Grok models; its own SDK speaks gRPC, everyone else OpenAI chat."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

# goose reads XAI_HOST as OpenAI clients read a base URL, /v1 and all.
VENDOR = Vendor(
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
