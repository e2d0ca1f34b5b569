"""Fireworks: open models by their full names (accounts/fireworks/models/...)."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.foreign import DEVELOPER
from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

# Its SDK lists /v1/accounts/{account}/models, beside /inference and not in OpenAI's shape; /inference/v1/models is.
# It also forgets /inference once a base is given; a host means the whole prefix here.
_CHAT = Vendor(
    name="fireworks",
    title="Fireworks AI",
    docs="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    base_url="https://api.fireworks.ai/inference/v1",
    paths={
        "chat": "/chat/completions",
        "completions": "/completions",
        "models": "/models",
        "embeddings": "/embeddings",
    },
    key_env=("FIREWORKS_API_KEY",),
    host_env=("FIREWORKS_BASE_URL",),
    owns=("accounts/fireworks/*",),
    stream_usage=False,  # the last chunk has it anyhow
    roles=DEVELOPER,
    prices="fireworks",
)
VENDOR = replace(_CHAT, faces=(responses_face(_CHAT, "https://docs.fireworks.ai/guides/response-api"),))
