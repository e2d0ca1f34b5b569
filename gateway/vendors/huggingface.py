"""Hugging Face: a router to many inference providers, chosen by a model's :suffix."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

# Each provider behind the router knows max_tokens, not each the newer name; its own client sends only the former.
_CHAT = Vendor(
    name="huggingface",
    title="Hugging Face",
    docs="https://huggingface.co/docs/inference-providers",
    base_url="https://router.huggingface.co/v1",
    paths={"chat": "/chat/completions", "models": "/models"},
    key_env=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    host_env=("HF_HOST",),
    rename={"max_completion_tokens": "max_tokens"},
)
VENDOR = replace(
    _CHAT, faces=(responses_face(_CHAT, "https://huggingface.co/docs/inference-providers/guides/responses-api"),)
)
