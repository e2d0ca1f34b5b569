"""A LiteLLM proxy of one's own."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="litellm",
    title="LiteLLM proxy",
    docs="https://docs.litellm.ai/docs/simple_proxy",
    base_url="http://localhost:4000/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("LITELLM_API_KEY",),
    host_env=("LITELLM_HOST",),
    key_required=False,
)
