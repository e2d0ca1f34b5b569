"""Anthropic: Claude, from its makers."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

# The version of 2026-10-21 refuses temperature, top_p and top_k for every model, even at their defaults; with this one
# the older models take them still: https://platform.claude.com/docs/en/api/versioning.
VERSION = "2023-06-01"

VENDOR = Vendor(
    name="anthropic",
    title="Anthropic",
    docs="https://platform.claude.com/docs/en/api/messages",
    base_url="https://api.anthropic.com",
    paths={
        "chat": "/v1/messages",
        "count_tokens": "/v1/messages/count_tokens",
        "models": "/v1/models?limit=1000",
    },
    key_env=("ANTHROPIC_API_KEY",),
    base_env=("ANTHROPIC_BASE_URL",),
    host_env=("ANTHROPIC_HOST",),
    auth="x-api-key",
    dialect="anthropic_messages",
    listing="anthropic",
    owns=("claude-*",),
    strip=("/v1",),
    headers={"anthropic-version": VERSION},
    prices="anthropic",
)
