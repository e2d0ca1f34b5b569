"""Venice: private inference; it adds a system prompt of its own unless venice_parameters says no."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="venice",
    title="Venice",
    docs="https://docs.venice.ai/api-reference/api-spec",
    base_url="https://api.venice.ai/api/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("VENICE_API_KEY",),
    host_env=("VENICE_HOST",),
)
