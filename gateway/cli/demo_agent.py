"""One agent of ``skein demo``: a conversation that grows by tool calls and results, and is compacted when long."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec

MODELS = ("coder", "coder", "coder", "architect", "auto", "steady", "claude-demo")
# Words of a conversation at which it is compacted.
LONGEST = 16_000
MOST_TURNS = 60
TOOL_FAILS, INTERRUPTED = 0.15, 0.05
MEAN_RESULT, LONGEST_RESULT = 900, 5000

_WORDS = ("north", "wind", "over", "grey", "water", "carries", "the", "flock", "along", "one", "long", "line", "home")


def _tool(name: str, **parameters: str) -> dict[str, Any]:
    properties = {each: {"type": kind} for each, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": f"{name} in the demo", "parameters": schema}}


TOOLS = [
    _tool("read_file", path="string"),
    _tool("search", query="string", limit="integer"),
    _tool("run_command", command="string"),
    _tool("edit_file", path="string", text="string"),
]
_NAMES = frozenset(tool["function"]["name"] for tool in TOOLS)


class Agent:
    """``chance`` decides what its tools say and when its user interrupts; ``history``: words that were said before."""

    def __init__(self, name: str, chance: random.Random, history: int = 0) -> None:
        self.name, self.model = name, chance.choice(MODELS)
        self.results: Counter[str] = Counter()
        self.turns = self.compactions = 0
        self._chance = chance
        self._system = {"role": "system", "content": f"You are {name}. {words(chance, 120)}"}
        self._messages: list[dict[str, Any]] = []
        self._words = 0
        before = [{"role": "user", "content": f"Where we were: {words(chance, history)}"}] if history else []
        self._begin(self._system, *before, self._task())

    @property
    def finished(self) -> bool:
        return self.turns >= MOST_TURNS

    def request(self) -> dict[str, Any]:
        stream = self._chance.random() < 0.7
        usual = {"model": self.model, "messages": self._messages, "tools": TOOLS, "max_tokens": 800}
        return {**usual, "stream": True, "stream_options": {"include_usage": True}} if stream else usual

    def title_request(self) -> dict[str, Any]:
        """A call on the side, as goose makes one beside a session's first."""
        system = {"role": "system", "content": "Generate a short title (four words or less) for this conversation."}
        return {"model": self.model, "messages": [system, self._messages[1]], "max_tokens": 20}

    def hear(self, message: dict[str, Any]) -> bool:
        """The model's answer, and what is done about it. True: it ended a task."""
        self.turns += 1
        self._say({"role": "assistant", **message})
        calls = message.get("tool_calls") or []
        if not calls:
            self._say(self._task())
        elif self._chance.random() < INTERRUPTED:
            self.results["unanswered"] += len(calls)
            self._say({"role": "user", "content": f"Stop, there is something else. {words(self._chance, 30)}"})
        else:
            for call in calls:
                outcome, said = self._run(call["function"])
                self.results[outcome] += 1
                self._say({"role": "tool", "tool_call_id": call["id"], "content": said})
        # A conversation may not begin anew between a call and its result.
        if not calls and self._words > LONGEST:
            self.compactions += 1
            summary = f"What was done so far, in short: {words(self._chance, 200)}"
            self._begin(self._system, {"role": "user", "content": summary}, self._task())
        return not calls

    def _run(self, function: dict[str, Any]) -> tuple[str, str]:
        """1. No such tool. 2. Arguments that are none. 3. It fails. 4. It works."""
        if function["name"] not in _NAMES:
            return "unknown tool", f"Error: there is no tool called {function['name']}"
        try:
            msgspec.json.decode(function["arguments"], type=dict[str, Any])
        except msgspec.DecodeError as error:
            return "invalid arguments", f"Error: invalid arguments: {error}"
        if self._chance.random() < TOOL_FAILS:
            return "error", f"Error: {words(self._chance, 20)}\nCommand exited with code 1"
        return "ok", words(self._chance, min(LONGEST_RESULT, 5 + int(self._chance.expovariate(1 / MEAN_RESULT))))

    def _task(self) -> dict[str, Any]:
        return {"role": "user", "content": f"Please do this: {words(self._chance, self._chance.randint(15, 60))}"}

    def _begin(self, *messages: dict[str, Any]) -> None:
        self._messages, self._words = [], 0
        for message in messages:
            self._say(message)

    def _say(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._words += len((message.get("content") or "").split())


def words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(_WORDS, k=count))
