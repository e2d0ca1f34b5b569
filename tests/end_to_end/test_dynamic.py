"""``dynamic`` over real sockets: sessions of an agent whose tools fail or not, what is learned of it, what is shown."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import openai

from gateway import events
from tests.scripted import Answer, Received, Status, ToolCall

from .setting import Stand, stand

CODE = {"role": "user", "content": "Refactor auth.py and add unit tests"}
LETTER = {"role": "user", "content": "Write an email to the team, friendly in tone"}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}]
BAD, GOOD = "pytest: not found\n\nCommand exited with code 127", "2 passed in 0.1s"
MODEL = {
    "strategy": "dynamic",
    "explore": 0,
    "candidates": [
        {"model": "strong/gpt-4.1", "skills": {"code": 0.9, "tools": 0.8, "writing": 0.7}},
        {"model": "cheap/gpt-4.1", "skills": {"code": 0.7, "tools": 0.8, "writing": 0.9}},
    ],
}


def working(s: Stand) -> None:
    """Both vendors call the shell, each call with an id of its own."""
    ids = itertools.count()
    for vendor in (s.strong, s.cheap):
        vendor.decide = lambda call: Answer(
            tool_calls=(ToolCall("shell", {"command": "pytest"}, id=f"call_{next(ids)}"),)
        )


class Agent:
    """A conversation by the official SDK."""

    def __init__(self, s: Stand, session: str, asked: dict[str, Any] = CODE) -> None:
        self.client = openai.OpenAI(
            base_url=s.gateway.base_url, api_key="none", max_retries=0, default_headers={"x-skein-session": session}
        )
        self.messages: list[Any] = [asked]

    def ask(self) -> tuple[str, str]:
        """Who answered, and why."""
        raw = self.client.chat.completions.with_raw_response.create(model="m", messages=self.messages, tools=TOOLS)
        self.messages.append(raw.parse().choices[0].message.to_dict())
        return raw.headers["x-skein-provider"], raw.headers["x-skein-route"]

    def result(self, text: str) -> None:
        call = self.messages[-1]["tool_calls"][0]
        self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})


def shown(s: Stand, candidate: str, task: str) -> dict[str, Any]:
    """As operators see it."""
    models = httpx.get(s.gateway.url + "/admin/models").json()["models"]
    [found] = [each for each in models[0]["candidates"] if each["reference"] == candidate]
    return found["tasks"][task]


def test_a_session_leaves_who_fails_and_what_was_seen_is_shown():
    with stand("strong", "cheap", model=MODEL) as s:
        working(s)
        agent, told = Agent(s, "one"), []
        for result in (BAD, BAD, GOOD):
            told.append(agent.ask())
            agent.result(result)
        told.append(agent.ask())
        assert [provider for provider, _ in told] == ["strong", "strong", "cheap", "cheap"]
        assert told[0][1] == "dynamic; task=code; strong/gpt-4.1: the best score for code; score=0.85"
        assert told[2][1].startswith("dynamic; task=code; cheap/gpt-4.1: 2 failed turns in a row at strong/gpt-4.1")
        plans = [event.plan for event in s.of(events.PlanMade)]
        assert [plan.rule for plan in plans] == ["best_score", "sticky", "tool_failures", "sticky"]
        failed = "shell: Command exited with code 127"
        assert plans[2].evidence == (f"turn 1: {failed}", f"turn 2: {failed}")
        assert [plan.task for plan in plans] == ["code"] * 4
        strong, cheap = shown(s, "strong/gpt-4.1", "code"), shown(s, "cheap/gpt-4.1", "code")
        assert (round(strong["n"]), round(cheap["n"])) == (2, 1)
        assert strong["quality"] < strong["believed"] == 0.9
        assert cheap["quality"] > cheap["believed"] == 0.7
        assert strong["low"] < strong["quality"] < strong["high"]
        assert shown(s, "strong/gpt-4.1", "writing")["n"] == 0


def test_what_one_session_has_shown_serves_the_next_and_outlives_a_reload():
    with stand("strong", "cheap", model={**MODEL, "failure_threshold": 9}) as s:
        working(s)
        for number in range(3):
            agent = Agent(s, f"learning-{number}")
            for _ in range(4):
                served, _ = agent.ask()
                agent.result(BAD if served == "strong" else GOOD)
                # Looking at the table tells what waits to be told: what was just seen counts from here on.
                shown(s, "strong/gpt-4.1", "code")
            agent.ask()
        assert shown(s, "strong/gpt-4.1", "code")["n"] > 0
        assert Agent(s, "after").ask()[0] == "cheap"
        assert Agent(s, "letter", LETTER).ask()[0] == "cheap"
        before = shown(s, "strong/gpt-4.1", "code")
        runtime = s.gateway.runtime

        def compose_again() -> None:
            runtime.gateway, runtime.planner, runtime._world = runtime._compose(
                runtime.config, runtime.gateway.providers
            )

        s.gateway.call(compose_again)
        assert round(shown(s, "strong/gpt-4.1", "code")["n"], 1) == round(before["n"], 1) > 0
        assert Agent(s, "later").ask()[0] == "cheap"


def test_feedback_counts():
    with stand("strong", "cheap", model=MODEL) as s:
        raw = Agent(s, "one", LETTER).client.chat.completions.with_raw_response.create(
            model="m", messages=[CODE], extra_headers={"x-request-id": "judged-1"}
        )
        assert raw.headers["x-skein-provider"] == "strong"
        given = httpx.post(s.gateway.base_url + "/feedback", json={"request_id": "judged-1", "score": 0.0})
        assert given.status_code == 202, given.text
        found = shown(s, "strong/gpt-4.1", "code")
        assert (round(found["n"]), found["quality"] < 0.9) == (1, True)


def test_technical_faults_fall_over_and_leave_the_session_where_it_is():
    with stand("strong", "cheap", model=MODEL) as s:
        working(s)
        agent = Agent(s, "one")
        assert agent.ask()[0] == "strong"
        agent.result(GOOD)
        decide, s.strong.decide = s.strong.decide, _down
        assert agent.ask()[0] == "cheap"
        agent.result(GOOD)
        s.strong.decide = decide
        provider, route = agent.ask()
        assert (provider, "the session stays" in route) == ("strong", True)


def _down(call: Received) -> Status:
    return Status(404)


def test_many_sessions_at_once_keep_their_own_models():
    with stand("strong", "cheap", model=MODEL) as s:
        working(s)
        agents = [Agent(s, f"s-{number}", CODE if number % 2 else LETTER) for number in range(40)]
        firsts = [agent.ask()[0] for agent in agents]
        assert firsts == ["cheap", "strong"] * 20
        for agent in agents:
            agent.result(GOOD)
        assert [agent.ask()[0] for agent in reversed(agents)] == list(reversed(firsts))
