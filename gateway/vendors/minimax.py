"""MiniMax, by its Anthropic route: by the OpenAI one its thoughts come within the text."""

from __future__ import annotations

from gateway.vendors.anthropic import VERSION
from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="minimax",
    title="MiniMax",
    docs="https://platform.minimax.io/docs/api-reference/text-anthropic-api",
    base_url="https://api.minimax.io/anthropic",
    paths={"chat": "/v1/messages", "models": "{origin}/v1/models"},
    key_env=("MINIMAX_API_KEY",),
    host_env=("MINIMAX_HOST",),
    # Not x-api-key: "Please carry the API secret key in the 'Authorization' field".
    auth="bearer",
    dialect="anthropic_messages",
    signer="minimax",
    owns=("minimax-*",),
    strip=("/v1",),
    headers={"anthropic-version": VERSION},
    prices="minimax",
)
