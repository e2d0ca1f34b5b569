"""LM Studio: local models, loaded at the first call."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

_CHAT = Vendor(
    name="lmstudio",
    title="LM Studio",
    docs="https://lmstudio.ai/docs/developer/openai-compat",
    base_url="http://localhost:1234/v1",
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    key_env=("LM_API_TOKEN",),
    base_env=("LMSTUDIO_BASE_URL",),
    host_env=("LM_STUDIO_HOST",),
    key_required=False,
    strip=("/api/v0", "/api/v1", "/api"),
    rename={"max_completion_tokens": "max_tokens"},
)
VENDOR = replace(_CHAT, faces=(responses_face(_CHAT, "https://lmstudio.ai/docs/developer/openai-compat/responses"),))
