"""Z.ai: GLM models, in OpenAI's words and in Anthropic's."""

from __future__ import annotations

from gateway.vendors.anthropic import VERSION
from gateway.vendors.foreign import DEVELOPER
from gateway.vendors.vendor import Vendor

MESSAGES = Vendor(
    name="zai",
    title="Z.ai",
    docs="https://docs.z.ai/scenario-example/develop-tools/claude",
    base_url="https://api.z.ai/api/anthropic",
    paths={"chat": "/v1/messages"},
    auth="bearer",
    dialect="anthropic_messages",
    signer="zai",
    strip=("/v1", "/api/coding/paas/v4", "/api/paas/v4"),
    headers={"anthropic-version": VERSION},
    prices="zai",
)

VENDOR = Vendor(
    name="zai",
    title="Z.ai",
    docs="https://docs.z.ai/api-reference/llm/chat-completion",
    base_url="https://api.z.ai/api/paas/v4",
    paths={"chat": "/chat/completions", "models": "/models"},
    key_env=("ZAI_API_KEY", "Z_AI_API_KEY", "ZHIPU_API_KEY", "ZHIPUAI_API_KEY"),
    base_env=("ZAI_BASE_URL",),
    host_env=("ZAI_HOST",),
    owns=("glm-*",),
    strip=("/api/anthropic/v1", "/api/anthropic"),
    rename={"max_completion_tokens": "max_tokens"},
    roles=DEVELOPER,
    faces=(MESSAGES,),
    prices="zai",
    aliases=("z.ai", "zhipu"),
)
