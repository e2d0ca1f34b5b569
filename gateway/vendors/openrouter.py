"""OpenRouter: many vendors behind one key."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

_CHAT = Vendor(
    name="openrouter",
    title="OpenRouter",
    docs="https://openrouter.ai/docs/api-reference/overview",
    base_url="https://openrouter.ai/api/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("OPENROUTER_API_KEY",),
    host_env=("OPENROUTER_HOST",),
    # Gemini refuses calls without their signatures: https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks
    replays=frozenset({"reasoning_details"}),
    prices="openrouter",
)
VENDOR = replace(_CHAT, faces=(responses_face(_CHAT, "https://openrouter.ai/docs/api/reference/responses/overview"),))
