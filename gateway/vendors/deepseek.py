"""DeepSeek: OpenAI chat, versionless."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.foreign import DEVELOPER
from gateway.vendors.responses_face import responses_face
from gateway.vendors.vendor import Vendor

# Below /v1 and /beta too. Only /beta continues a prefix, hence no prefill: https://api-docs.deepseek.com/guides/chat_prefix_completion
_CHAT = Vendor(
    name="deepseek",
    title="DeepSeek",
    docs="https://api-docs.deepseek.com",
    base_url="https://api.deepseek.com",
    paths={
        "chat": "/chat/completions",
        # It fills in the middle, too: https://api-docs.deepseek.com/guides/fim_completion
        "completions": "{origin}/beta/completions",
        "models": "/models",
    },
    key_env=("DEEPSEEK_API_KEY",),
    owns=("deepseek-chat", "deepseek-reasoner", "deepseek-v[0-9]*"),
    strip=("/anthropic/v1", "/anthropic"),
    rename={"max_completion_tokens": "max_tokens"},
    # "The reasoning_content in the thinking mode must be passed back": https://api-docs.deepseek.com/guides/thinking_mode
    replays=frozenset({"reasoning_content"}),
    roles=DEVELOPER,
    prices="deepseek",
)
VENDOR = replace(_CHAT, faces=(responses_face(_CHAT, "https://api-docs.deepseek.com/guides/responses_api"),))
