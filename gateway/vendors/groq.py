"""Groq: open models on its own chips, OpenAI chat under /openai/v1."""

from __future__ import annotations

from gateway.vendors.foreign import ANSWERED, MARKERS, THOUGHTS
from gateway.vendors.vendor import Vendor

# The Groq SDK has /openai/v1 in its paths, so GROQ_BASE_URL is a host. max_completion_tokens is what Groq prefers.
VENDOR = Vendor(
    name="groq",
    title="Groq",
    docs="https://console.groq.com/docs/openai",
    base_url="https://api.groq.com/openai/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("GROQ_API_KEY",),
    host_env=("GROQ_BASE_URL",),
    # 400 "property 'reasoning_content' is unsupported"; its own `reasoning` it takes back: https://console.groq.com/docs/reasoning
    drop_from_messages=(THOUGHTS | MARKERS | ANSWERED) - {"reasoning"},
    prices="groq",
)
