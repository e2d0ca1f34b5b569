"""Which session a request belongs to, and whether a sub-agent sends it: what real agents say of themselves."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from gateway import events
from tests.end_to_end.setting import body
from tests.running import RunningGateway, running_gateway

Said = dict[str, Any]

THREAD, WINDOW = "019a-thread", "019a-thread:0"
CODEX = {"session-id": "019a-session", "thread-id": THREAD, "x-client-request-id": THREAD, "x-codex-window-id": WINDOW}
CLAUDE = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "claude-1"})
LONG = "x" * 300

# Headers, fields of the body -> the session without its caller (None: there is none).
IDENTITIES: dict[str, tuple[dict[str, str], Said, str | None]] = {
    "Codex": (CODEX, {"prompt_cache_key": "019a-session"}, THREAD),
    "Codex's agents share its session, and have threads of their own": (
        {**CODEX, "thread-id": "019a-other", "x-codex-parent-thread-id": THREAD, "x-openai-subagent": "collab_spawn"},
        {"prompt_cache_key": "019a-session"},
        "019a-other",
    ),
    "Codex without threads": ({"session-id": "019a-session"}, {}, "019a-session"),
    "Claude Code": ({"X-Claude-Code-Session-Id": "claude-1"}, {"metadata": {"user_id": CLAUDE}}, "claude-1"),
    "Claude Code's agents share its session": (
        {"X-Claude-Code-Session-Id": "claude-1", "x-claude-code-agent-id": "agent-7"},
        {"metadata": {"user_id": CLAUDE}},
        "claude-1/agent-7",
    ),
    "Claude Code behind what takes its headers": ({}, {"metadata": {"user_id": CLAUDE}}, "claude-1"),
    "opencode": ({"x-session-id": "ses_1", "x-session-affinity": "ses_1"}, {"prompt_cache_key": "ses_1"}, "ses_1"),
    "opencode's agents have sessions of their own": (
        {"x-session-id": "ses_2", "x-parent-session-id": "ses_1"},
        {},
        "ses_2",
    ),
    "goose": ({"agent-session-id": "20261121_1"}, {}, "20261121_1"),
    "pi by responses": ({"session_id": "pi-1", "x-client-request-id": "pi-1"}, {"prompt_cache_key": "pi-1"}, "pi-1"),
    "a key for the cache alone": ({}, {"prompt_cache_key": "k-1"}, "k-1"),
    "metadata": ({}, {"metadata": {"session_id": "m-1"}, "user": "u-1"}, "m-1"),
    "metadata of a user": ({}, {"metadata": {"user_id": "user_1_session_2", "session_id": "m-1"}}, "user_1_session_2"),
    "a user": ({}, {"user": "u-1"}, "u-1"),
    "qwen-code, aider, mini-swe-agent": ({}, {}, None),
    "ours goes before all": ({"x-skein-session": "mine", **CODEX, "agent-session-id": "20261121_1"}, {}, "mine"),
    "headers go before the body": ({"session-id": "s-1"}, {"prompt_cache_key": "k-1"}, "s-1"),
    "empty ones say nothing": ({"x-skein-session": "", "thread-id": "t-1"}, {}, "t-1"),
    "a request's own id is none": ({"x-client-request-id": "r-1", "x-request-id": "r-2"}, {}, None),
    "long ones are cut": ({"x-skein-session": LONG}, {}, LONG[:256]),
    "what is no text says nothing": ({}, {"prompt_cache_key": 5, "metadata": [1], "user": {"a": 1}}, None),
}

SUBAGENTS = (
    {"x-claude-code-agent-id": "agent-7"},
    {"x-openai-subagent": "collab_spawn"},
    {"x-codex-parent-thread-id": THREAD},
    {"x-parent-session-id": "ses_1"},
)


@pytest.fixture(scope="module")
def gateway() -> Any:
    keys = "[{name: ci, key: key-of-ci-0123}, {name: dev, key: key-of-dev-0123}]"
    with running_gateway(f"access: {{mode: keys, keys: {keys}}}") as gateway:
        yield gateway


def asked(gateway: RunningGateway, headers: dict[str, str], fields: Said, caller: str = "ci") -> str | None:
    sent = {"authorization": f"Bearer key-of-{caller}-0123", **headers}
    gateway.events.clear()
    answer = httpx.post(
        gateway.base_url + "/chat/completions", headers=sent, json=body(model="simulator/echo", **fields)
    )
    assert answer.status_code == 200, answer.text
    (understood,) = gateway.of(events.RequestUnderstood)
    session: str | None = understood.session
    return session


@pytest.mark.parametrize("who", IDENTITIES)
def test_a_session_by_what_agents_send(who: str, gateway: RunningGateway):
    headers, fields, session = IDENTITIES[who]
    assert asked(gateway, headers, fields) == (session and f"ci:{session}")


def test_the_same_id_of_two_callers_is_two_sessions(gateway: RunningGateway):
    """goose counts its sessions of a day, on every machine from 1."""
    headers = {"agent-session-id": "20261121_1"}
    assert asked(gateway, headers, {}) == "ci:20261121_1"
    assert asked(gateway, headers, {}, "dev") == "dev:20261121_1"


@pytest.mark.parametrize("headers", SUBAGENTS, ids=lambda headers: next(iter(headers)))
def test_a_subagent_says_so(headers: dict[str, str], gateway: RunningGateway):
    seen: list[bool] = []
    plan = gateway.runtime.service.gateway.plan

    async def looking(exchange: Any, facts: Any) -> Any:
        seen.append(exchange.subagent)
        return await plan(exchange, facts)

    ours = gateway.runtime.service.gateway
    gateway.runtime.service.gateway = msgspec.structs.replace(ours, plan=looking)
    try:
        asked(gateway, {"x-claude-code-session-id": "c", **headers}, {})
        asked(gateway, {"x-claude-code-session-id": "c"}, {})
    finally:
        gateway.runtime.service.gateway = ours
    assert seen == [True, False]
