"""Ollama, local or at ollama.com: by its OpenAI-compatible half, or by its own (``dialect: ollama_chat``)."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

NATIVE = Vendor(
    name="ollama",
    title="Ollama",
    docs="https://docs.ollama.com/api/chat",
    base_url="http://localhost:11434",
    paths={"chat": "/api/chat", "models": "/v1/models", "embeddings": "/api/embed"},
    dialect="ollama_chat",
    embeds="ollama_embeddings",
    key_required=False,
    strip=("/v1", "/api/chat", "/api/generate", "/api/tags", "/api"),
)

_CHAT = Vendor(
    name="ollama",
    title="Ollama",
    docs="https://docs.ollama.com/api/openai-compatibility",
    base_url="http://localhost:11434/v1",
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    key_env=("OLLAMA_API_KEY",),
    host_env=("OLLAMA_HOST",),
    key_required=False,
    strip=("/api/chat", "/api/generate", "/api/tags", "/api"),
    rename={"max_completion_tokens": "max_tokens"},  # ignored otherwise: https://github.com/ollama/ollama/issues/7125
)
VENDOR = replace(_CHAT, faces=(NATIVE, responses_face(_CHAT, _CHAT.docs)))
