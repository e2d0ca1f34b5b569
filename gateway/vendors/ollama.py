"""Ollama, local or at ollama.com: by its OpenAI-compatible half, or by its own (``dialect: ollama_chat``)."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

NATIVE = Vendor(
    name="ollama",
    title="Ollama",
    docs="https://docs.ollama.com/api/chat",
    base_url="http://localhost:11434",
    paths={"chat": "/api/chat", "models": "/v1/models", "embeddings": "/v1/embeddings"},
    dialect="ollama_chat",
    key_required=False,
    strip=("/v1", "/api/chat", "/api/generate", "/api/tags", "/api"),
)

VENDOR = Vendor(
    name="ollama",
    title="Ollama",
    docs="https://docs.ollama.com/api/openai-compatibility",
    base_url="http://localhost:11434/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    faces=(NATIVE,),
    key_env=("OLLAMA_API_KEY",),
    host_env=("OLLAMA_HOST",),
    key_required=False,
    strip=("/api/chat", "/api/generate", "/api/tags", "/api"),
    rename={"max_completion_tokens": "max_tokens"},  # ignored otherwise: https://github.com/ollama/ollama/issues/7125
)
