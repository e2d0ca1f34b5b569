"""Where Anthropic's Messages are served: by its makers, by compatible vendors, by Azure's Foundry."""

from __future__ import annotations

import pytest

from gateway.vendors import VENDORS, Account, Vendor, base_from_host, routes
from gateway.vendors.azure_openai import CLAUDE

ANTHROPIC, COMPATIBLE, MINIMAX, ZAI, KIMI = (
    VENDORS[name] for name in ("anthropic", "anthropic_compatible", "minimax", "zai", "kimi")
)
[GLM] = ZAI.faces
LOCAL = "http://127.0.0.1:9999"
R = "https://r.services.ai.azure.com"

URLS: list[tuple[Vendor, str | None, str]] = [
    (ANTHROPIC, None, "https://api.anthropic.com/v1/messages"),
    (ANTHROPIC, LOCAL, LOCAL + "/v1/messages"),
    (ANTHROPIC, LOCAL + "/v1", LOCAL + "/v1/messages"),
    (ANTHROPIC, LOCAL + "/v1/messages", LOCAL + "/v1/messages"),
    (ANTHROPIC, "https://corp.example/claude", "https://corp.example/claude/v1/messages"),
    (COMPATIBLE, LOCAL, LOCAL + "/v1/messages"),
    (COMPATIBLE, LOCAL + "/v1/v1/messages", LOCAL + "/v1/messages"),
    (COMPATIBLE, LOCAL + "/anthropic", LOCAL + "/anthropic/v1/messages"),
    (COMPATIBLE, LOCAL + "/anthropic/v1/", LOCAL + "/anthropic/v1/messages"),
    (MINIMAX, None, "https://api.minimax.io/anthropic/v1/messages"),
    (MINIMAX, "https://api.minimax.io/v1", "https://api.minimax.io/anthropic/v1/messages"),
    (MINIMAX, "https://api.minimaxi.com/anthropic", "https://api.minimaxi.com/anthropic/v1/messages"),
    (MINIMAX, LOCAL, LOCAL + "/anthropic/v1/messages"),
    (MINIMAX, LOCAL + "/v1/messages", LOCAL + "/v1/messages"),
    (KIMI, None, "https://api.kimi.com/coding/v1/messages"),
    (KIMI, "https://api.kimi.com/coding/v1", "https://api.kimi.com/coding/v1/messages"),
    (KIMI, LOCAL, LOCAL + "/coding/v1/messages"),
    (ZAI, None, "https://api.z.ai/api/paas/v4/chat/completions"),
    (ZAI, "https://api.z.ai/api/anthropic", "https://api.z.ai/api/paas/v4/chat/completions"),
    (ZAI, "https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/coding/paas/v4/chat/completions"),
    (ZAI, LOCAL, LOCAL + "/api/paas/v4/chat/completions"),
    (GLM, None, "https://api.z.ai/api/anthropic/v1/messages"),
    (GLM, "https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/anthropic/v1/messages"),
    (GLM, "https://open.bigmodel.cn/api/paas/v4", "https://open.bigmodel.cn/api/anthropic/v1/messages"),
    (GLM, LOCAL, LOCAL + "/api/anthropic/v1/messages"),
    (CLAUDE, R, R + "/anthropic/v1/messages"),
    (CLAUDE, R + "/anthropic/v1/messages", R + "/anthropic/v1/messages"),
    (CLAUDE, R + "/models?api-version=2024-05-01-preview", R + "/anthropic/v1/messages"),
    (CLAUDE, R + "/api/projects/p", R + "/anthropic/v1/messages"),
    (CLAUDE, "https://r.openai.azure.com/openai/v1", R + "/anthropic/v1/messages"),
    (CLAUDE, "https://r.cognitiveservices.azure.com/", R + "/anthropic/v1/messages"),
    (
        CLAUDE,
        "https://r.openai.azure.us/openai/deployments/d/chat/completions?api-version=2024-10-21",
        "https://r.services.ai.azure.us/anthropic/v1/messages",
    ),
    (CLAUDE, "https://apim.corp.example/ai/openai", "https://apim.corp.example/ai/anthropic/v1/messages"),
    (CLAUDE, LOCAL, LOCAL + "/anthropic/v1/messages"),
]


@pytest.mark.parametrize(("vendor", "base_url", "url"), URLS)
def test_chat(vendor: Vendor, base_url: str | None, url: str):
    located = routes(vendor, Account(base_url=base_url, api_version="2024-10-21" if vendor is CLAUDE else None))
    assert located.url("chat", "claude-sonnet-4-5") == url
    assert routes(vendor, Account(base_url=located.base)).url("chat", "claude-sonnet-4-5") == url


def test_listings():
    assert routes(ANTHROPIC, Account()).url("models") == "https://api.anthropic.com/v1/models?limit=1000"
    assert routes(MINIMAX, Account()).url("models") == "https://api.minimax.io/v1/models"
    assert routes(COMPATIBLE, Account(base_url=LOCAL)).url("models") == LOCAL + "/v1/models"


def test_hosts():
    assert base_from_host(ANTHROPIC, "gateway.example") == "https://gateway.example"
    assert base_from_host(ANTHROPIC, "https://gateway.example/v1") == "https://gateway.example"


@pytest.mark.parametrize(
    ("model", "claude"), [("claude-opus-5", True), ("Claude-Sonnet-4-5", True), ("gpt-5", False), ("my-claude", False)]
)
def test_foundry_serves_claude_by_another_route(model: str, claude: bool):
    azure = VENDORS["azure_openai"]
    assert azure.faces[0] == CLAUDE
    assert [row.has(model) for row in (azure, *azure.faces)] == [not claude, claude, not claude]


def test_the_version_that_takes_temperature():
    rows = (ANTHROPIC, COMPATIBLE, MINIMAX, GLM, KIMI, CLAUDE)
    assert {row.headers["anthropic-version"] for row in rows} == {"2023-06-01"}
    assert {row.dialect for row in rows} == {"anthropic_messages"}
    assert (ANTHROPIC.auth, MINIMAX.auth, CLAUDE.auth) == ("x-api-key", "bearer", "api-key")
