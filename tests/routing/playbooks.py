"""Sessions of agents as scripts: what happens in one, step by step, and what is to be decided at every call.

A playbook is ``tests/corpus/playbooks/NAME.yaml``:

    about: one sentence
    agent: goose                     # how things are worded: _agents.yaml
    model: {failure_threshold: 1}    # a lead_worker with these settings, or any model's configuration with its strategy
    script:
      - user: The build is broken.
        expect: 1 lead lead_turns strong
      - shell fails: "make: *** [all] Error 2\\n\\nCommand exited with code 2"
        expect: {turn: 2, role: lead, rule: lead_turns, to: strong}

Each step is what the model has answered to the call before, and what followed; then comes a call, which is expected to
be decided so: turn, role, rule and the first target's provider; or more of the plan, by name. Steps:

    user: TEXT             the model has answered in words, the user goes on
    corrects: TEXT         the same, and the text is to be read as a correction
    TOOL: TEXT             the model has called the tool, and this is what came of it (a list: several calls at once)
    TOOL fails: TEXT       the same, and the result is to be read as a failure
    broken: {tool: …, arguments: …, result: …}    a call that cannot be read; fails
    again: true            the last call of this conversation is sent once more; `whole`: without asking for a stream
    aside: NAME            a call on the side, in the agent's own words; the conversation stays as it is
    summary: TEXT          the conversation goes on from a summary; `user` beside it: what is asked next
    subagent: TEXT         another agent has been started, in the conversation that `in` names

beside any of them: ``in`` (another conversation, by a name), ``pin`` (the header x-skein-model), ``operator`` (sets
the model of this session before the call), ``model`` (what is
asked for in place of the playbook's own), ``arguments`` (of the tool call), ``max_tokens``, ``session`` (another
session's name), ``planner`` (what it answers if it is asked: ``plan TEXT``, ``questions`` or ``failed``). ``{filler
30}`` in a text makes it 30 kB longer. What a plan wants kept is kept. ``remembers: true`` beside ``script``: decisions
depend on what is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from gateway.abilities import UNKNOWN
from gateway.app import Runtime
from gateway.attempt import Exchange
from gateway.config import parse
from gateway.consulting import Advised, kept
from gateway.dialects import DIALECTS, EGRESS, openai_chat
from gateway.errors import CallerError
from gateway.routing import Plan
from gateway.routing.room import ROOM
from tests.corpus import ROOT

PLAYBOOKS = ROOT / "playbooks"
AGENTS: dict[str, Any] = yaml.safe_load((PLAYBOOKS / "_agents.yaml").read_text())
DONE = "I have looked into it and changed what had to be changed."
BESIDE = frozenset(("expect", "in", "pin", "operator", "model", "arguments", "max_tokens", "session", "planner"))
LINE = "The geese flew north, one after the other, and nobody said a word of it.\n"

Message = dict[str, Any]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a session, and what is expected of its plan."""

    playbook: str
    step: str
    body: bytes
    session: str
    pin: str | None
    operator: str | None
    subagent: bool
    expect: dict[str, Any]
    planner: str
    last_turn: str | None
    """How the last turn is to be read: failed, corrected, well; None where the step says nothing of it."""
    dialect: str = openai_chat.NAME
    model: str | None = None
    """What the path names, where the body does not."""


class _Conversation:
    def __init__(self, agent: dict[str, Any], session: str) -> None:
        self.agent, self.session = agent, session
        self.messages: list[Message] = []
        self.subagent = False
        self.asked = False
        """The user has said something that waits for an answer."""
        self.calls = 0
        self.tools: list[str] = list(agent.get("tools", ()))
        self._say("system", agent["system"], agent.get("role", "system"))
        if "opening" in agent:
            self.messages.append({"role": "user", "content": self._content(agent["opening"])})

    def _say(self, kind: str, text: str, role: str = "") -> None:
        self.messages.append({"role": role or kind, "content": text})

    def _content(self, text: str) -> Any:
        return [{"type": "text", "text": text}] if self.agent.get("parts") else text

    def user(self, text: str) -> bool:
        """Had the model answered before?"""
        worded = self.agent["user"].replace("{text}", text)
        answers = self.messages[-1]["role"] == "tool" or self.asked
        if answers:
            self.messages.append({"role": "assistant", "content": DONE})
        self.messages.append({"role": "user", "content": self._content(worded)})
        self.asked = True
        return answers

    def called(self, made: list[tuple[str, Any, Any]]) -> None:
        """(tool, arguments, result) of calls made at once; no result: none has come."""
        ids = [f"call_{self.calls + number}" for number in range(len(made))]
        self.calls += len(made)
        calls = [
            {"id": id, "type": "function", "function": {"name": tool, "arguments": _arguments(arguments)}}
            for id, (tool, arguments, _) in zip(ids, made, strict=True)
        ]
        self.messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        self.asked = False
        for id, (_, _, result) in zip(ids, made, strict=True):
            if result is not None:
                self.messages.append({"role": "tool", "tool_call_id": id, "content": self._content(result)})

    def summarised(self, text: str) -> None:
        kept = [message for message in self.messages if message["role"] in ("system", "developer")]
        self.messages = [*kept[:1], *_worded(self.agent["summary"], text)]
        self.asked = False


def _arguments(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given)


def filled(text: str) -> str:
    return re.sub(r"\{filler (\d+)\}", lambda found: LINE * (int(found[1]) * 1000 // len(LINE)), text)


def playbooks() -> dict[str, dict[str, Any]]:
    files = sorted(file for file in PLAYBOOKS.glob("*.yaml") if not file.stem.startswith("_"))
    return {file.stem: yaml.safe_load(file.read_text()) for file in files}


def world(books: dict[str, dict[str, Any]]) -> str:
    """The configuration in which every playbook's model is there by its name, and each playbook's own ``models``."""
    config = yaml.safe_load((PLAYBOOKS / "_world.yaml").read_text())
    standard = {"strategy": "lead_worker", "lead": "strong/big", "worker": "cheap/small"}
    for name, book in books.items():
        settings = book.get("model") or {}
        config["models"][name] = settings if "strategy" in settings else {**standard, **settings}
        config["models"] |= book.get("models", {})
    return yaml.safe_dump(config)


def calls_of(name: str, book: dict[str, Any], run: str = "") -> Iterator[Call]:
    """The requests of a playbook in order. ``run``: tells this run's session from another's."""
    made: dict[str, _Conversation] = {}
    sent: dict[str, Call] = {}
    for number, step in enumerate(book["script"], 1):
        where = step.get("in", "main")
        if where not in made:
            made[where] = _conversation(AGENTS[book["agent"]], step, f"caller:{name}{run}", where)
        if "again" in step:
            yield _again(sent[where], step, number)
            continue
        call = _call(made[where], step, name, number)
        if "aside" not in step:
            sent[where] = call
        yield call


def _call(conversation: _Conversation, step: dict[str, Any], name: str, number: int) -> Call:
    messages, last_turn = _played(conversation, step)
    body: dict[str, Any] = {"model": step.get("model", name), "messages": messages, "stream": True}
    if conversation.tools and "aside" not in step:
        body["tools"] = [{"type": "function", "function": {"name": tool}} for tool in conversation.tools]
    if "max_tokens" in step:
        body["max_tokens"] = step["max_tokens"]
    return Call(
        playbook=name,
        step=str(number),
        body=json.dumps(body, ensure_ascii=False).encode(),
        session=step.get("session", conversation.session),
        pin=step.get("pin"),
        operator=step.get("operator"),
        subagent=conversation.subagent,
        expect=_expected(step["expect"]),
        planner=step.get("planner", "failed"),
        last_turn=last_turn,
    )


def _again(call: Call, step: dict[str, Any], number: int) -> Call:
    body = json.loads(call.body)
    if step["again"] == "whole":
        del body["stream"]
    said = json.dumps(body, ensure_ascii=False).encode()
    return msgspec.structs.replace(call, step=str(number), body=said, expect=_expected(step["expect"]))


def _conversation(agent: dict[str, Any], step: dict[str, Any], session: str, where: str) -> _Conversation:
    if "subagent" not in step:
        return _Conversation(agent, session)
    other = agent["subagent"]
    # Claude Code's and Codex's share the session of who has started them, and say so in a header.
    made = _Conversation({**agent, **other}, session if other.get("flagged") else f"{session}/{where}")
    made.subagent = bool(other.get("flagged"))
    return made


def _played(conversation: _Conversation, step: dict[str, Any]) -> tuple[list[Message], str | None]:
    """The messages of the call the step ends with, and how its last turn is to be read."""
    (deed, said), *more = [(key, value) for key, value in step.items() if key not in BESIDE]
    if deed == "aside":
        text = json.dumps(conversation.messages, ensure_ascii=False)
        return _worded(conversation.agent["aside"][said], text), None
    if deed == "summary":
        conversation.summarised(filled(said))
        for _, asked in more:
            conversation.user(filled(asked))
        return list(conversation.messages), None
    last_turn = _followed(conversation, deed, said, step)
    return list(conversation.messages), last_turn


def _followed(conversation: _Conversation, deed: str, said: Any, step: dict[str, Any]) -> str | None:
    """Puts into the conversation what was answered, and what followed; how that is to be read."""
    if deed in ("user", "subagent", "corrects"):
        answered = conversation.user(filled(said))
        return None if not answered else "corrected" if deed == "corrects" else "well"
    if deed == "broken":
        conversation.called([(said["tool"], said["arguments"], said["result"])])
        return "failed"
    tool, _, fails = deed.partition(" ")
    assert fails in ("", "fails"), f"no such step: {deed}"
    results = said if isinstance(said, list) else [said]
    arguments = step.get("arguments", {})
    conversation.called([(tool, arguments, None if each is None else filled(each)) for each in results])
    return "failed" if fails else "well"


def _worded(messages: list[Message], text: str) -> list[Message]:
    return [{**each, "content": each["content"].replace("{text}", text)} for each in messages]


def _expected(expect: Any) -> dict[str, Any]:
    if not isinstance(expect, str):
        return dict(expect)
    turn, role, rule, provider = expect.split()
    return {"turn": int(turn), "role": role, "rule": rule, "to": provider}


# In other dialects

OTHERS = ("anthropic_messages", "gemini", "ollama_chat", "openai_responses")


def written_as(dialect: str, call: Call) -> Call:
    """The same request as a client of another dialect sends it."""
    request = openai_chat.decode_request(call.body)
    if dialect == "anthropic_messages":
        # Its clients have to say how long an answer may become: as long as is supposed of those that do not.
        request = msgspec.structs.replace(request, max_tokens=request.max_tokens or ROOM)
    body = EGRESS[dialect].encode_request(request, UNKNOWN).body
    return msgspec.structs.replace(call, body=msgspec.json.encode(body), dialect=dialect, model=request.model)


# Deciding


class Replica:
    """One gateway's decisions, over a configuration it has read for itself."""

    def __init__(self, config: str) -> None:
        self.runtime = Runtime(parse(config, {}, "playbooks"), None, {}, told=False)

    async def decide(self, call: Call) -> Plan | CallerError:
        gateway, pinned, dialect = self.runtime.gateway, self.runtime.pinned, DIALECTS[call.dialect]
        if call.operator == "auto":
            pinned.free(call.session)
        elif call.operator:
            pinned.pin(call.session, call.operator)
        exchange = Exchange(
            id="playbook",
            dialect=dialect,
            body=call.body,
            caller="caller",
            session=call.session,
            pin=call.pin,
            subagent=call.subagent,
        )
        try:
            plan = await gateway.plan(exchange, dialect.peek(call.body, call.pin or call.model))
        except CallerError as refused:
            return refused
        if plan.memory:
            gateway.keep(plan.memory, plan.remember)
        advice, _, text = call.planner.partition(" ")
        advised = Advised(advice, text=text)  # type: ignore[arg-type]
        if plan.memory and (found := kept(plan, advised)) is not None:
            gateway.keep(plan.memory, found)
        return plan


def told(plan: Plan | CallerError, expect: dict[str, Any]) -> dict[str, Any]:
    """As much of the plan as is expected of it, in the words of playbooks."""
    if isinstance(plan, CallerError):
        return {"refused": plan.code}
    words: dict[str, Any] = {
        "refused": None,
        "to": plan.targets[0].provider,
        "targets": " ".join(map(str, plan.targets)),
        "evidence": list(plan.evidence),
        "left_out": [f"{each.target}: {each.reason}" for each in plan.left_out],
        "caps": {str(target): cap for target, cap in plan.max_tokens.items()},
        "consult": plan.consult.why if plan.consult else None,
        "may_ask": plan.consult.may_ask if plan.consult else None,
    }
    return {key: words[key] if key in words else getattr(plan, key) for key in expect}


def path_of(name: str) -> Path:
    return PLAYBOOKS / f"{name}.yaml"
