"""Ollama, local or at ollama.com, by its OpenAI-compatible half."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="ollama",
    title="Ollama",
    docs="https://docs.ollama.com/api/openai-compatibility",
    base_url="http://localhost:11434/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("OLLAMA_API_KEY",),
    host_env=("OLLAMA_HOST",),
    key_required=False,
    strip=("/api/chat", "/api/generate", "/api/tags", "/api"),
    rename={"max_completion_tokens": "max_tokens"},  # ignored otherwise: https://github.com/ollama/ollama/issues/7125
)
