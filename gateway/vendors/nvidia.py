"""NVIDIA: hosted NIM containers."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="nvidia",
    title="NVIDIA NIM",
    docs="https://docs.api.nvidia.com/nim/reference/llm-apis",
    base_url="https://integrate.api.nvidia.com/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("NVIDIA_API_KEY",),
    rename={"max_completion_tokens": "max_tokens"},
)
