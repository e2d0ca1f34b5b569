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
HI = [{"role": "user", "content": "hi"}]

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

SUBAGENT_HEADERS = {name for headers in SUBAGENTS for name in headers}


@pytest.fixture(scope="module")
def gateway() -> Any:
    keys = "[{name: ci, key: key-of-ci-0123}, {name: dev, key: key-of-dev-0123}]"
    with running_gateway(f"access: {{mode: keys, keys: {keys}}}") as gateway:
        yield gateway


# Headers -> the session of who has started the agent that sends them, without its caller.
PARENTS: dict[str, tuple[dict[str, str], str | None]] = {
    "Codex's agent": ({**CODEX, "thread-id": "019a-other", "x-codex-parent-thread-id": THREAD}, THREAD),
    "Claude Code's agent": ({"x-claude-code-session-id": "c-1", "x-claude-code-agent-id": "agent-7"}, "c-1"),
    "opencode's agent": ({"x-session-id": "ses_2", "x-parent-session-id": "ses_1"}, "ses_1"),
    "Codex itself": (CODEX, None),
    "Claude Code itself": ({"x-claude-code-session-id": "c-1"}, None),
    "an agent of nobody knows whose": ({"x-claude-code-agent-id": "agent-7"}, None),
    "a long one is cut": ({"x-parent-session-id": LONG}, LONG[:256]),
    "an empty one says nothing": ({"x-parent-session-id": ""}, None),
}

# Headers -> is it a turn of the conversation?
TURNS: dict[str, tuple[dict[str, str], bool]] = {
    "Codex, a turn": ({"x-codex-turn-metadata": '{"turn_id":"t","request_kind":"turn","sandbox":"none"}'}, True),
    "Codex, a summary": ({"x-codex-turn-metadata": '{"request_kind":"compaction","compaction":{"phase":"x"}}'}, False),
    "Codex, made warm": ({"x-codex-turn-metadata": '{"request_kind":"prewarm"}'}, False),
    "Codex, what to remember": ({"x-codex-turn-metadata": '{"request_kind":"memory"}'}, False),
    "Codex, of a kind that is not known": ({"x-codex-turn-metadata": '{"request_kind":"subagent_turn"}'}, True),
    "Codex's agent that sums up": ({"x-openai-subagent": "compact"}, False),
    "Codex's agent that works": ({"x-openai-subagent": "collab_spawn"}, True),
    "Codex's agent that reviews": ({"x-openai-subagent": "review"}, True),
    "no kind at all": ({"x-codex-turn-metadata": '{"turn_id":"t"}'}, True),
    "a kind that is no text": ({"x-codex-turn-metadata": '{"request_kind":["memory"]}'}, True),
    "no JSON": ({"x-codex-turn-metadata": "memory"}, True),
    "nested too deep": ({"x-codex-turn-metadata": "[" * 5000}, True),
}


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


@pytest.mark.parametrize("who", PARENTS)
def test_whose_agent_it_is(who: str, gateway: RunningGateway):
    headers, parent = PARENTS[who]
    asked(gateway, headers, {})
    assert gateway.of(events.RequestUnderstood)[-1].parent == (parent and f"ci:{parent}")


def test_a_parent_is_named_as_its_own_requests_are(gateway: RunningGateway):
    for who in ("Codex", "Claude Code", "opencode"):
        child, _ = PARENTS[f"{who}'s agent"]
        own = {name: value for name, value in child.items() if name not in SUBAGENT_HEADERS}
        if who == "Codex":
            own["thread-id"] = child["x-codex-parent-thread-id"]
        if who == "opencode":
            own["x-session-id"] = child["x-parent-session-id"]
        session = asked(gateway, own, {})
        asked(gateway, child, {})
        assert gateway.of(events.RequestUnderstood)[-1].parent == session, who


# Paths, bodies -> the session by what the body says, in the words of its dialect.
NATIVE: dict[str, tuple[str, Said, str]] = {
    "Claude Code": ("/messages", {"max_tokens": 9, "messages": HI, "metadata": {"user_id": CLAUDE}}, "claude-1"),
    "Codex": ("/responses", {"input": "hi", "prompt_cache_key": "019a-session"}, "019a-session"),
    "a user of Responses": ("/responses", {"input": "hi", "user": "u-1"}, "u-1"),
}


@pytest.mark.parametrize("who", NATIVE)
def test_a_session_by_a_body_of_any_dialect(who: str, gateway: RunningGateway):
    path, fields, session = NATIVE[who]
    gateway.events.clear()
    said = {"authorization": "Bearer key-of-ci-0123"}
    answer = httpx.post(gateway.base_url + path, headers=said, json={"model": "simulator/echo", **fields})
    assert answer.status_code == 200, answer.text
    assert gateway.of(events.RequestUnderstood)[-1].session == f"ci:{session}"


LEADING = """
models: {m: {strategy: lead_worker, lead: simulator/echo, worker: simulator/echo}}
"""


def test_a_request_that_is_no_turn_by_its_header_goes_to_the_worker():
    with running_gateway(LEADING) as gateway:
        for who, (headers, is_turn) in TURNS.items():
            gateway.events.clear()
            answer = httpx.post(
                gateway.base_url + "/responses", headers=headers, json={"model": "m", "input": "Mend the build."}
            )
            assert answer.status_code == 200, answer.text
            plan = gateway.of(events.PlanMade)[-1].plan
            assert (plan.kind != "aux") is is_turn, who
            assert plan.role == ("lead" if is_turn else "worker"), who


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
