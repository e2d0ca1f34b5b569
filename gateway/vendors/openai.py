"""OpenAI: the API whose shape most others follow."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.foreign import MARKERS, THOUGHTS
from gateway.vendors.responses_face import NO_TOOLS_WHILE_THINKING, ONLY_CHAT, ONLY_RESPONSES, but, responses_face
from gateway.vendors.vendor import Vendor

_CHAT = Vendor(
    name="openai",
    title="OpenAI",
    docs="https://platform.openai.com/docs/api-reference",
    base_url="https://api.openai.com/v1",
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    serves=but(ONLY_RESPONSES),
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
    no_tools_while_thinking=NO_TOOLS_WHILE_THINKING,
    prices="openai",
)
RESPONSES = responses_face(
    _CHAT,
    "https://platform.openai.com/docs/api-reference/responses",
    paths={"chat": "/responses", "count_tokens": "/responses/input_tokens"},
    serves=but(ONLY_CHAT),
)
VENDOR = replace(_CHAT, faces=(RESPONSES,))
