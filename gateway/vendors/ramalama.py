"""RamaLama: a llama.cpp server in a container."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

_CHAT = Vendor(
    name="ramalama",
    title="RamaLama",
    docs="https://ramalama.ai",
    base_url="http://localhost:8080/v1",
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    host_env=("RAMALAMA_HOST",),
    auth="none",
    key_required=False,
    rename={"max_completion_tokens": "max_tokens"},
)
VENDOR = replace(
    _CHAT, faces=(responses_face(_CHAT, "https://github.com/ggml-org/llama.cpp/tree/master/tools/server"),)
)
