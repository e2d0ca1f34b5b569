"""RamaLama: a llama.cpp server in a container."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="ramalama",
    title="RamaLama",
    docs="https://ramalama.ai",
    base_url="http://localhost:8080/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    host_env=("RAMALAMA_HOST",),
    auth="none",
    key_required=False,
    rename={"max_completion_tokens": "max_tokens"},
)
