"""The simulated model behind an agent: it works at a task with the tools offered, now and then not well.

What it does follows from the conversation alone, so the same conversation gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from gateway.dialects.openai_chat import text_of
from gateway.simulator.requests import Answer, ChatRequest, Function, Message, ToolCall
from gateway.simulator.values import value_for

STEPS = 5
"""Tool results after which a task is done."""
QUOTED = 200
NOT_OFFERED = "consult_oracle"


def work(request: ChatRequest) -> Answer | None:
    """The next step, or None where no tool is offered.

    1. Enough results: the task is done. 2. The last one is an error: the same tool again. 3. The next tool in turn.
    """
    offered = {function.name: function for function in request.offered}
    if not offered:
        return None
    task = _since_the_last_user(request.messages)
    results = [text_of(message.content) for message in task if message.role == "tool"]
    if len(results) >= STEPS:
        return Answer(text=f'Done after {len(results)} steps. The last result was: "{results[-1][:QUOTED]}"')
    turn = _turn(request.messages)
    if results and results[-1].startswith("Error"):
        called = _called(task)
        tool = offered[called] if called in offered else _in_turn(list(offered.values()), turn)
        return _answer(f"That failed; I try {tool.name} once more.", (call_of(tool),))
    calls = ACTS[turn % len(ACTS)](list(offered.values()), turn)
    return _answer(f"Step {len(results) + 1} of {STEPS}: {calls[0].name} is what the task needs now.", calls)


def call_of(tool: Function) -> ToolCall:
    """A good call: the required arguments, made from the schema."""
    arguments = value_for({"type": "object", **(tool.parameters or {})})
    return ToolCall(tool.name, msgspec.json.encode(arguments).decode())


def _answer(reasoning: str, calls: tuple[ToolCall, ...]) -> Answer:
    return Answer(reasoning=reasoning, calls=calls, finish="tool_calls")


# Acts -----------------------------------------------------------------------------------------------------------------

Act = Callable[[Sequence[Function], int], tuple[ToolCall, ...]]


def _in_turn(offered: Sequence[Function], turn: int) -> Function:
    return offered[turn % len(offered)]


def _one(offered: Sequence[Function], turn: int) -> tuple[ToolCall, ...]:
    return (call_of(_in_turn(offered, turn)),)


def _two(offered: Sequence[Function], turn: int) -> tuple[ToolCall, ...]:
    return (*_one(offered, turn), *_one(offered, turn + 1))


def _cut_off(offered: Sequence[Function], turn: int) -> tuple[ToolCall, ...]:
    """The arguments lack their end, and are no JSON."""
    name, arguments = call_of(_in_turn(offered, turn))
    return (ToolCall(name, arguments[:-1]),)


def _made_up(offered: Sequence[Function], turn: int) -> tuple[ToolCall, ...]:
    return (ToolCall(NOT_OFFERED, "{}"),)


ACTS: tuple[Act, ...] = (_one, _one, _two, _one, _cut_off, _one, _one, _one, _made_up, _one, _one)


# The conversation -----------------------------------------------------------------------------------------------------


def _since_the_last_user(messages: Sequence[Message]) -> Sequence[Message]:
    last = max((place for place, message in enumerate(messages) if message.role == "user"), default=-1)
    return messages[last + 1 :]


def _turn(messages: Sequence[Message]) -> int:
    """How far the conversation is. Where it begins depends on the first task, so that two agents differ."""
    answers = sum(message.role == "assistant" for message in messages)
    first = next((text_of(message.content) for message in messages if message.role == "user"), "")
    return answers + len(first)


def _called(task: Sequence[Message]) -> str:
    """The tool that was called last."""
    calls: Mapping[int, str] = {
        place: message.tool_calls[-1].function.name for place, message in enumerate(task) if message.tool_calls
    }
    return calls[max(calls)] if calls else ""
