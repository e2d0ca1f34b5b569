"""Any server that speaks OpenAI chat: give its base URL, and /v1 is understood where it has no path."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="openai_compatible",
    title="An OpenAI-compatible server",
    docs="https://platform.openai.com/docs/api-reference/chat",
    base_url=None,
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    key_required=False,
)
