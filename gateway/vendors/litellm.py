"""A LiteLLM proxy of one's own."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

_CHAT = Vendor(
    name="litellm",
    title="LiteLLM proxy",
    docs="https://docs.litellm.ai/docs/simple_proxy",
    base_url="http://localhost:4000/v1",
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    key_env=("LITELLM_API_KEY",),
    host_env=("LITELLM_HOST",),
    key_required=False,
)
VENDOR = replace(_CHAT, faces=(responses_face(_CHAT, "https://docs.litellm.ai/docs/response_api"),))
