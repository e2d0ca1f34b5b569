"""An agent's session that lead and worker serve by turns, at vendors of different families, and how that is told.

The shell fails twice in the worker's phase: three turns are the lead's, two the worker's, two the lead's, then the
worker's again.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import Any

import httpx  # noqa: F401  (the SDK trips over one that is being imported just then, in the gateway's thread)
import openai
import pytest

from gateway import events
from gateway.observe.export import Patience, Shipper
from gateway.observe.observability import Logging
from tests.backends import Receiver
from tests.end_to_end.native import ACCOUNTS, FAMILIES, Call, Said, account, signature
from tests.end_to_end.replaying import Heard, Replaying, Reply, replaying
from tests.end_to_end.setting import Page, eventually
from tests.running import RunningGateway, running_gateway

SESSION = {"agent-session-id": "20261121_1"}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": "shell", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}},
    }
]
TITLE: list[Any] = [
    {"role": "system", "content": "Generate a short title (four words or less) that describes the topic."},
    {
        "role": "user",
        "content": "---BEGIN HINTS---\n---BEGIN USER MESSAGES---\nMend the build.\n---END USER MESSAGES---",
    },
]
ASKED: list[Any] = [
    {"role": "system", "content": "You are a general-purpose AI agent called goose."},
    {"role": "user", "content": "Mend the build."},
]
FAILS = "bash: line 1: cargoo: No such file or directory\n\nCommand exited with code 127"
RESULTS = ["src", "Cargo.toml", "fn main() {}", FAILS, FAILS, "mended", "test result: ok"]
"""What came of the shell after each answer but the last."""
ROLES = ["lead"] * 3 + ["worker"] * 2 + ["lead"] * 2 + ["worker"]
REASONS = {4: "lead_to_worker", 6: "tool_failures", 8: "lead_to_worker"}
"""Turn -> why it went to another target than the turn before."""

PAIRS = [("anthropic", "openai"), ("openai", "anthropic"), ("gemini", "openai"), ("openai", "gemini")]


class Stand:
    """``lead`` and ``worker`` are vendors of two families; the worker never answers two of the lead's."""

    def __init__(self, gateway: RunningGateway, vendors: dict[str, Replaying], written: io.StringIO) -> None:
        self.gateway, self.vendors, self._written = gateway, vendors, written
        self.client = openai.OpenAI(base_url=gateway.base_url, api_key="sk-any", max_retries=0, timeout=30)

    @property
    def served(self) -> dict[str, int]:
        """How many answers each vendor was asked for."""
        return {name: len(vendor.heard) for name, vendor in self.vendors.items()}

    def ask(self, messages: list[Any], stream: bool, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """The message of the answer as a client keeps it, and the headers it came with."""
        create = self.client.chat.completions.with_raw_response.create
        raw = create(model="m", messages=messages, stream=stream, extra_headers=SESSION, **more)
        said = _gathered(raw.parse()) if stream else raw.parse().choices[0].message.model_dump(exclude_none=True)
        return said, dict(raw.headers)

    def lines(self, event: str) -> list[dict[str, Any]]:
        found = (json.loads(line) for line in self._written.getvalue().splitlines())
        return [line for line in found if line["event"] == event]

    def finished(self, exchanges: int) -> None:
        """Returns when so many have ended and been told of."""
        eventually(lambda: len(self.gateway.of(events.ExchangeFinished)) == exchanges)
        eventually(lambda: len(self.lines("request.finished")) == exchanges)
        assert not self.gateway.of(events.HandlerCrashed)


def _gathered(chunks: Any) -> dict[str, Any]:
    """A streamed message put together, by what every client knows of it."""
    text, calls = "", {}
    for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for part in choice.delta.tool_calls or ():
                call = calls.setdefault(part.index, {"id": part.id, "name": part.function.name, "arguments": ""})
                call["arguments"] += part.function.arguments or ""
    made = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in calls.values()
    ]
    return {"role": "assistant", "content": text or None, **({"tool_calls": made} if made else {})}


def _answers(family: str, numbers: Iterator[int], stream: bool) -> Any:
    """A call of the shell for whoever has tools, a title for all else."""

    def answer(heard: Heard) -> Reply:
        if not heard.json.get("tools"):
            return FAMILIES[family].reply(Said(text="The build"), stream)
        id = f"call_{next(numbers)}" if family != "anthropic" else f"toolu_{next(numbers)}"
        thoughts = {"thought": "Hm.", "signature": signature(id)} if family in ("anthropic", "gemini") else {}
        call = Call(id if family != "gemini" else "", "shell", {"command": "cargoo test"})
        return FAMILIES[family].reply(Said(text="Let us see.", calls=(call,), **thoughts), stream)

    return answer


@contextmanager
def session(lead: str, worker: str, stream: bool = False, **settings: Any) -> Iterator[Stand]:
    """``settings``: more of the configuration."""
    with ExitStack() as stack:
        numbers = count(1)
        vendors = {role: stack.enter_context(replaying()) for role in ("lead", "worker")}
        families = {"lead": lead, "worker": worker}
        for role, vendor in vendors.items():
            vendor.answers = _answers(families[role], numbers, stream)
        config = {
            "providers": {role: account(families[role], vendor.url) for role, vendor in vendors.items()},
            "models": {
                "m": {
                    "strategy": "lead_worker",
                    "lead": f"lead/{ACCOUNTS[lead][0]}",
                    "worker": f"worker/{ACCOUNTS[worker][0]}",
                }
            },
            "resilience": {"retries": 0, "breaker": {"consecutive": 1000, "min_requests": 1000}},
            **settings,
        }
        written = io.StringIO()
        gateway = stack.enter_context(running_gateway(json.dumps(config), logging=Logging(level="debug", out=written)))
        stand = Stand(gateway, vendors, written)
        stack.enter_context(stand.client)
        yield stand


def run(stand: Stand, stream: bool, results: list[str], messages: list[Any] | None = None) -> list[dict[str, str]]:
    """An agent's loop: asks, runs the tool, asks again. The headers of every answer."""
    said = list(ASKED) if messages is None else messages
    told = []
    for result in (*results, None):
        message, headers = stand.ask(said, stream, tools=TOOLS)
        told.append(headers)
        [call] = message["tool_calls"]
        assert call["function"]["name"] == "shell"
        if result is not None:
            said += [message, {"role": "tool", "tool_call_id": call["id"], "content": result}]
    return told


def roles(told: list[dict[str, str]]) -> list[str]:
    return [headers["x-skein-provider"] for headers in told]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("lead", "worker"), PAIRS, ids="-".join)
def test_a_session_with_two_failures_of_the_shell(lead: str, worker: str, stream: bool) -> None:
    with session(lead, worker, stream) as stand, ThreadPoolExecutor(2) as beside:
        # The title is asked for while the first turn is, with the session's own name, as goose does.
        title = beside.submit(stand.ask, TITLE, stream)
        told = run(stand, stream, RESULTS)
        said, headers = title.result()
        assert said["content"] == "The build"
        assert headers["x-skein-route"].startswith("lead_worker; role=worker; turn=1; ")
        assert headers["x-skein-provider"] == "worker"
        assert roles(told) == ROLES
        for turn, (role, each) in enumerate(zip(ROLES, told, strict=True), 1):
            assert each["x-skein-route"].startswith(f"lead_worker; role={role}; turn={turn}; ")
            assert each["x-skein-attempts"] == "1"
        assert stand.served == {"lead": 5, "worker": 4}
        stand.finished(9)
        names = {"lead": f"lead/{ACCOUNTS[lead][0]}", "worker": f"worker/{ACCOUNTS[worker][0]}"}
        moves = [(names[ROLES[turn - 2]], names[ROLES[turn - 1]], reason) for turn, reason in REASONS.items()]
        assert [(line["from"], line["to"], line["reason"]) for line in stand.lines("model.switched")] == moves
        page = Page(stand.gateway.page())
        assert page.by("skein_model_switches_total", "from", "to", "reason") == Counter(moves)
        failing = stand.lines("model.switched")[1]["trigger"]
        assert "turn 4: shell: Command exited with code 127" in failing
        assert "turn 5: shell: Command exited with code 127" in failing


FAULT = Reply(status=503, body=b'{"error": {"message": "busy", "type": "overloaded_error"}}')


def test_a_fault_of_the_worker_goes_to_the_lead_and_moves_no_counter() -> None:
    with session("anthropic", "openai") as stand:
        messages = list(ASKED)
        run(stand, False, RESULTS[:2], messages)
        messages += _answered("call_x", "fn main() {}")
        stand.vendors["worker"].replies = [FAULT]
        answers, stand.vendors["worker"].answers = stand.vendors["worker"].answers, None
        # The worker's turn: its vendor is down, the lead stands in, and it stays the worker's turn.
        [told] = run(stand, False, [], messages)
        assert told["x-skein-provider"] == "lead"
        assert told["x-skein-route"].startswith("lead_worker; role=worker; turn=4; ")
        assert told["x-skein-attempts"] == "2"
        stand.vendors["worker"].answers = answers
        # The work of that turn went well, and one failure after it is one.
        messages += _answered("call_y", "fine")
        assert roles(run(stand, False, [FAILS, "fine"], messages)) == ["worker"] * 3
        stand.finished(7)
        # To the worker, whose turn it was; back within the request, as it failed; and to the worker with the next.
        told = [line["reason"] for line in stand.lines("model.switched")]
        assert told == ["lead_to_worker", "failover", "recovered"]


def test_a_failure_of_the_work_and_one_of_the_network_are_not_two() -> None:
    with session("openai", "anthropic") as stand:
        messages = list(ASKED)
        run(stand, False, RESULTS[:2], messages)
        for id, result in (("call_x", "fn main() {}"), ("call_y", FAILS)):
            messages += _answered(id, result)
        stand.vendors["worker"].replies = [FAULT]
        answers, stand.vendors["worker"].answers = stand.vendors["worker"].answers, None
        assert roles(run(stand, False, [], messages)) == ["lead"]
        stand.vendors["worker"].answers = answers
        messages += _answered("call_z", "fine")
        assert roles(run(stand, False, [], messages)) == ["worker"]


def _answered(id: str, result: str) -> list[Any]:
    call = {"id": id, "type": "function", "function": {"name": "shell", "arguments": '{"command": "ls"}'}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": id, "content": result},
    ]


def test_every_switch_is_in_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.observing.Shipper", partial(Shipper, patience=Patience(linger=0.01)))
    with Receiver() as receiver, session("anthropic", "openai", observe={"otlp": {"endpoint": receiver.url}}) as stand:
        run(stand, False, RESULTS)
        stand.ask(TITLE, False)
        receiver.wait_until(lambda each: sum(span.kind == "SERVER" for span in each.spans()) == 9)
        spans = sorted(receiver.spans(), key=lambda span: span.start)
        moves = [event for span in spans for event in span.events if event.name == "skein.model.switch"]
        assert [move.attributes["reason"] for move in moves] == list(REASONS.values())
        lead, worker = (
            f"{role}/{ACCOUNTS[family][0]}" for role, family in (("lead", "anthropic"), ("worker", "openai"))
        )
        assert [move.attributes["to"] for move in moves] == [worker, lead, worker]
        assert "Command exited with code 127" in moves[1].attributes["trigger"]


def test_the_same_session_at_two_gateways_and_after_a_restart() -> None:
    """Each request at another gateway, which has seen none of the others."""
    messages: list[Any] = list(ASKED)
    found = []
    for result in (*RESULTS, ""):
        with session("anthropic", "openai") as stand:
            found += roles(run(stand, False, [], messages))
        messages += _answered(f"call_{len(messages)}", result)
    assert found == ROLES
