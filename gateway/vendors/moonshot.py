"""Moonshot: Kimi models."""

from __future__ import annotations

from gateway.vendors.foreign import DEVELOPER
from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="moonshot",
    title="Moonshot AI",
    docs="https://platform.moonshot.ai/docs/api/chat",
    base_url="https://api.moonshot.ai/v1",
    paths={"chat": "/chat/completions", "models": "/models"},
    key_env=("MOONSHOT_API_KEY",),
    owns=("kimi-*", "moonshot-*"),
    strip=("/anthropic/v1", "/anthropic"),
    rename={"max_completion_tokens": "max_tokens"},
    prefill={"partial": True},
    # "reasoning_content is missing in assistant tool call message": https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model
    replays=frozenset({"reasoning_content"}),
    roles=DEVELOPER,
    prices="moonshotai",
)
