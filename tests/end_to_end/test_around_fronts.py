"""What goes with a request at any front door: its key, its agent's headers, what of it could not be said further on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from gateway import events
from gateway.observe.observability import Logging
from tests.corpus import ROOT
from tests.end_to_end.native import ACCOUNTS, FAMILIES, Said, account
from tests.end_to_end.native_responses import at_path
from tests.end_to_end.replaying import Heard, Replaying, Reply, replaying
from tests.end_to_end.setting import QUICK, Page, eventually
from tests.running import RunningGateway, running_gateway

VENDORS = ("anthropic", "gemini", "openai")
KEY, WRONG = "AIzaKey-of-ci-0123456789abcdef", "AIzaKey-of-nobody-0123456789ab"
"""As a client of Gemini's sends it: within the URL."""


class Stand:
    def __init__(self, gateway: RunningGateway, vendors: dict[str, Replaying], written: io.StringIO) -> None:
        self.gateway, self.vendors, self.written = gateway, vendors, written
        self.client = httpx.Client(base_url=gateway.url, timeout=30)

    def reply(self, stream: bool = False) -> None:
        for name, vendor in self.vendors.items():
            vendor.reply = FAMILIES[name].reply(Said(text="Well."), stream)

    def heard(self) -> int:
        return sum(len(vendor.heard) for vendor in self.vendors.values())


@contextmanager
def standing(**more: Any) -> Iterator[Stand]:
    with ExitStack() as stack:
        vendors = {name: stack.enter_context(replaying()) for name in VENDORS}
        config = {
            "providers": {name: account(name, vendor.url) for name, vendor in vendors.items()},
            "models": {name: {"targets": [f"{name}/{ACCOUNTS[name][0]}"]} for name in VENDORS},
            "resilience": {**QUICK, "retries": 0},
            **more,
        }
        written = io.StringIO()
        logging = Logging(level="debug", format="json", out=written)
        made = Stand(stack.enter_context(running_gateway(json.dumps(config), logging=logging)), vendors, written)
        stack.enter_context(made.client)
        made.reply()
        yield made


@pytest.fixture(scope="module")
def stand(lane: bool) -> Iterator[Stand]:
    with standing() as made:
        yield made


# --- keys

CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def test_a_key_in_the_url_is_told_to_nobody(lane: bool) -> None:
    access = {"mode": "keys", "keys": [{"name": "ci", "key": KEY}], "admin_key": "admin-key-0123456789"}
    with standing(access=access) as here:
        model = "/v1beta/models/anthropic"
        for path, sent, status in (
            (f"{model}:generateContent?key={KEY}", CONTENTS, 200),
            (f"{model}:generateContent?alt=json&key={KEY}", {"contents": 5}, 400),
            (f"{model}:countTokens?key={KEY}", CONTENTS, 200),
            (f"/v1beta/models/nobody:generateContent?key={KEY}", CONTENTS, 404),
            (f"{model}:embedContent?key={KEY}", {"content": {"parts": [{"text": "hi"}]}}, 400),
            (f"{model}:generateContent?key={WRONG}", CONTENTS, 401),
            (f"/v1beta/nothing/of:ours?key={KEY}", CONTENTS, 404),
        ):
            answer = here.client.post(path, json=sent)
            assert answer.status_code == status, (path, answer.text)
            assert KEY not in answer.text + str(answer.headers)
            assert WRONG not in answer.text + str(answer.headers)
        here.reply(stream=True)
        with here.client.stream("POST", f"{model}:streamGenerateContent?alt=sse&key={KEY}", json=CONTENTS) as streamed:
            assert streamed.status_code == 200
            assert "Well." in streamed.read().decode()
        assert here.client.get(f"/v1beta/models?key={KEY}").status_code == 200
        admin = {"authorization": "Bearer admin-key-0123456789"}
        eventually(lambda: here.written.getvalue().count('"request.finished"') >= 7)
        shown = here.client.get("/admin/requests?limit=50", headers=admin)
        details = [
            here.client.get(f"/admin/requests/{each['id']}", headers=admin).text for each in shown.json()["requests"]
        ]
        assert details
        heard = "".join(map(repr, (heard for vendor in here.vendors.values() for heard in vendor.heard)))
        page = here.client.get("/metrics", headers=admin).text
        told = (repr(here.gateway.events), here.written.getvalue(), shown.text, *details, page, heard)
        assert all(place and KEY not in place and WRONG not in place for place in told)


# --- what an agent says to its vendor alone

BETA = {"anthropic-version": "2023-06-01", "anthropic-beta": "context-management-2025-06-27,made-up-2026"}
MESSAGE = {"max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("path", "model", "goes_on"),
    [
        ("/v1/messages", "anthropic", True),
        ("/v1/messages", "openai", False),
        ("/v1/messages", "gemini", False),
        ("/v1/chat/completions", "anthropic", False),
    ],
)
def test_what_is_said_to_anthropic_goes_to_vendors_of_its_dialect_alone(
    stand: Stand, path: str, model: str, goes_on: bool
) -> None:
    stand.reply()
    answer = stand.client.post(path, json={"model": model, **MESSAGE}, headers=BETA)
    assert answer.status_code == 200, answer.text
    headers = stand.vendors[model].heard[-1].headers
    assert ("made-up-2026" in headers.get("anthropic-beta", "")) is goes_on
    assert ("anthropic-version" in headers) is (model == "anthropic"), "the vendor's own, whoever asks"


def test_it_does_not_go_on_with_a_failover(lane: bool) -> None:
    models = {"m": {"targets": [f"{name}/{ACCOUNTS[name][0]}" for name in ("anthropic", "openai")]}}
    with standing(models=models) as here:
        here.vendors["anthropic"].reply = FAMILIES["anthropic"].refusals["overloaded"]
        answer = here.client.post("/v1/messages", json={"model": "m", **MESSAGE}, headers=BETA)
        assert (answer.status_code, answer.json()["content"][0]["text"]) == (200, "Well.")
        assert "anthropic-beta" in here.vendors["anthropic"].heard[-1].headers
        assert not {*BETA} & {*here.vendors["openai"].heard[-1].headers}


# --- what could not be said


CLEARING = {"edits": [{"type": "clear_tool_uses_20250919"}]}


def corpus(name: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / f"{name}.request.json").read_bytes())
    return found | changes


FRONTS: dict[str, tuple[str, dict[str, Any], str, set[str]]] = {
    "Claude Code, by OpenAI": (
        "/v1/messages",
        corpus("anthropic_messages/claude_code", model="openai", context_management=CLEARING),
        "openai",
        {"context_management"},
    ),
    "Claude Code, by Gemini": (
        "/v1/messages",
        corpus("anthropic_messages/claude_code", model="gemini", context_management=CLEARING),
        "gemini",
        {"context_management"},
    ),
    "Codex, by Anthropic": (
        "/v1/responses",
        corpus("openai_responses/codex", model="anthropic"),
        "anthropic",
        {"prompt_cache_key", "tools[1].format"},
    ),
    "Gemini CLI, by OpenAI": (
        "/v1beta/models/openai:generateContent",
        {**CONTENTS, "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]},
        "openai",
        {"safetySettings"},
    ),
    "a client of Ollama's, by Anthropic": (
        "/api/chat",
        {
            "model": "anthropic",
            "stream": False,
            "messages": [{"role": "user", "content": "hi"}],
            "options": {"mirostat": 2},
        },
        "anthropic",
        {"options.mirostat"},
    ),
}


@pytest.mark.parametrize("who", FRONTS)
def test_what_an_agent_sends_that_a_target_cannot_carry_is_named(stand: Stand, who: str) -> None:
    path, sent, name, expected = FRONTS[who]
    stand.reply(stream=bool(sent.get("stream")))
    before = Page(stand.gateway.page()).by("skein_dropped_fields_total", "provider")[name]
    answer = stand.client.post(path, json=sent)
    assert answer.status_code == 200, answer.text
    dropped = [each.strip() for each in answer.headers["x-skein-dropped"].split(",")]
    assert expected <= {*dropped}, dropped
    assert dropped == list(stand.gateway.of(events.RequestReduced)[-1].dropped)
    assert Page(stand.gateway.page()).by("skein_dropped_fields_total", "provider")[name] == before + len(dropped)


# --- who has started an agent


def test_the_live_view_shows_whose_agent_it_is(stand: Stand) -> None:
    stand.reply()
    headers = {"x-claude-code-session-id": "claude-1", "x-claude-code-agent-id": "agent-7"}
    answer = stand.client.post("/v1/messages", json={"model": "anthropic", **MESSAGE}, headers=headers)
    shown = stand.client.get(f"/admin/requests/{answer.headers['x-request-id']}")
    told = (shown.json()["session"], shown.json()["parent_session"])
    assert told == ("anonymous:claude-1/agent-7", "anonymous:claude-1")


# --- a planner and an executor behind every front

PLAN = "# Plan\n\n1. Read the build's log.\n2. Mend what it names."
SHELL = {"type": "object", "properties": {"command": {"type": "string"}}}
AGENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {
            "messages": [{"role": "system", "content": "You weave."}, {"role": "user", "content": "Mend the build."}],
            "tools": [{"type": "function", "function": {"name": "shell", "parameters": SHELL}}],
        },
    ),
    "Messages": (
        "/v1/messages",
        {
            "max_tokens": 500,
            "system": "You weave.",
            "messages": [{"role": "user", "content": "Mend the build."}],
            "tools": [{"name": "shell", "input_schema": SHELL}],
        },
    ),
    "Responses": (
        "/v1/responses",
        {
            "instructions": "You weave.",
            "input": [{"role": "user", "content": "Mend the build."}],
            "tools": [{"type": "function", "name": "shell", "parameters": SHELL, "strict": False}],
        },
    ),
    "Gemini": (
        "/v1beta/models/m:generateContent",
        {
            "systemInstruction": {"parts": [{"text": "You weave."}]},
            "contents": [{"role": "user", "parts": [{"text": "Mend the build."}]}],
            "tools": [{"functionDeclarations": [{"name": "shell", "parametersJsonSchema": SHELL}]}],
        },
    ),
    "Ollama": (
        "/api/chat",
        {
            "messages": [{"role": "system", "content": "You weave."}, {"role": "user", "content": "Mend the build."}],
            "tools": [{"type": "function", "function": {"name": "shell", "parameters": SHELL}}],
            "stream": False,
        },
    ),
}


def answering(name: str, text: str) -> Callable[[Heard], Reply]:
    """OpenAI in the format it is asked in."""
    return lambda heard: at_path(FAMILIES[name], heard.path).reply(Said(text=text), False)


@pytest.mark.parametrize(
    ("planner", "executor"), [("anthropic", "openai"), ("openai", "gemini"), ("gemini", "anthropic")]
)
def test_a_plan_is_made_and_followed_whatever_the_agent_speaks(planner: str, executor: str, lane: bool) -> None:
    names = {name: f"{name}/{ACCOUNTS[name][0]}" for name in VENDORS}
    model = {"strategy": "plan_first", "planner": names[planner], "executor": names[executor]}
    with standing(models={"m": model}) as here:
        here.vendors[planner].answers = answering(planner, PLAN)
        here.vendors[executor].answers = answering(executor, "Well.")
        for who, (path, sent) in AGENTS.items():
            headers = {"x-skein-session": who}
            answer = here.client.post(path, json={"model": "m", **sent}, headers=headers)
            assert answer.status_code == 200, (who, answer.text)
            assert "Well." in answer.text, who
            asked, told = here.vendors[planner].heard[-1].json, here.vendors[executor].heard[-1].json
            assert "You plan the work of an AI agent" in json.dumps(asked), who
            assert "You weave." in json.dumps(asked), who
            assert "shell" in json.dumps(asked), who
            assert "tools" not in asked, who
            assert "Mend what it names." in json.dumps(told), who
            assert told["tools"], who
        assert {each.plan.rule for each in here.gateway.of(events.PlanMade)} == {"first_turn"}
        assert len(here.vendors[planner].heard) == len(AGENTS)
