"""OpenAI: the API whose shape most others follow."""

from __future__ import annotations

from gateway.vendors.foreign import MARKERS, THOUGHTS
from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="openai",
    title="OpenAI",
    docs="https://platform.openai.com/docs/api-reference",
    base_url="https://api.openai.com/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("OPENAI_API_KEY",),
    base_env=("OPENAI_BASE_URL",),
    host_env=("OPENAI_HOST",),
    # Not gpt-*: gpt-oss is open, and others serve it under that same name.
    owns=(
        "gpt-[0-9]*",
        "gpt-audio*",
        "gpt-image*",
        "gpt-realtime*",
        "chatgpt-*",
        "o1*",
        "o3*",
        "o4*",
        "codex-*",
        "computer-use-*",
        "text-embedding-*",
        "ft:*",
    ),
    drop_from_messages=THOUGHTS | MARKERS,
    prices="openai",
)
