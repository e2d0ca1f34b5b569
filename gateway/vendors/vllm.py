"""vLLM: whatever model it was started with."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="vllm",
    title="vLLM",
    docs="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    base_url="http://localhost:8000/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("VLLM_API_KEY",),
    base_env=("VLLM_BASE_URL",),
    key_required=False,
)
