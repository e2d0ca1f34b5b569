"""Cerebras: open models on its own wafers."""

from __future__ import annotations

from gateway.vendors.foreign import ANSWERED, MARKERS, THOUGHTS
from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="cerebras",
    title="Cerebras",
    docs="https://inference-docs.cerebras.ai/api-reference/chat-completions",
    base_url="https://api.cerebras.ai/v1",
    paths={"chat": "/chat/completions", "models": "/models"},
    key_env=("CEREBRAS_API_KEY",),
    host_env=("CEREBRAS_BASE_URL",),
    # 400 "property 'reasoning_content' is unsupported"; its own `reasoning` it takes back: https://inference-docs.cerebras.ai/capabilities/reasoning
    drop_from_messages=(THOUGHTS | MARKERS | ANSWERED) - {"reasoning"},
    prices="cerebras",
)
