"""The built-in vendor: answers without a network, and fails on request."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="simulator",
    title="Simulator",
    docs="https://platform.openai.com/docs/api-reference/chat",
    base_url="simulator://local",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    # It has no tokens whose bias could be changed.
    drop=frozenset({"logit_bias"}),
    auth="none",
    key_required=False,
)
