"""Groq: open models on its own chips, OpenAI chat under /openai/v1."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.foreign import ANSWERED, MARKERS, THOUGHTS
from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

# The Groq SDK has /openai/v1 in its paths, so GROQ_BASE_URL is a host. max_completion_tokens is what Groq prefers.
_CHAT = Vendor(
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
# "property … is unsupported"; what was said before it keeps for nobody: https://console.groq.com/docs/responses-api
NOT_IN_RESPONSES = frozenset({"include", "prompt_cache_key", "safety_identifier", "store", "truncation"})
VENDOR = replace(
    _CHAT, faces=(responses_face(_CHAT, "https://console.groq.com/docs/responses-api", drop=NOT_IN_RESPONSES),)
)
