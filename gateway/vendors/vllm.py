"""vLLM: whatever model it was started with."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

_CHAT = Vendor(
    name="vllm",
    title="vLLM",
    docs="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    base_url="http://localhost:8000/v1",
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    key_env=("VLLM_API_KEY",),
    base_env=("VLLM_BASE_URL",),
    key_required=False,
)
VENDOR = replace(
    _CHAT, faces=(responses_face(_CHAT, "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"),)
)
