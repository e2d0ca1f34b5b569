"""Kimi for coding: Moonshot's subscription, by its Anthropic route."""

from __future__ import annotations

from gateway.vendors.anthropic import VERSION
from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="kimi",
    title="Kimi for coding",
    docs="https://www.kimi.com/code/docs/en/",
    base_url="https://api.kimi.com/coding",
    paths={"chat": "/v1/messages", "models": "/v1/models"},
    key_env=("KIMI_API_KEY",),
    host_env=("KIMI_HOST",),
    dialect="anthropic_messages",
    signer="kimi",
    owns=("kimi-for-coding*",),
    strip=("/v1",),
    headers={"anthropic-version": VERSION},
    aliases=("kimi_code", "kimi_for_coding"),
)
