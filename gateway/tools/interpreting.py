"""Another model is asked which tools an answer in words means to call. Decides; calls nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from gateway.chat import Repaired, Tool, ToolCall
from gateway.tools.mending import Mending
from gateway.tools.names import Offered
from gateway.tools.reading import made_id
from gateway.tools.textual import MOST_CALLS, Read, calls_in_json

LONGEST = 64_000
"""Characters of an answer that are asked about: of a longer one the end, where the calls are."""


class Unread(NamedTuple):
    """An answer that may mean to call tools, and what is made of it once that is known."""

    text: str
    tools: tuple[Tool, ...]
    settle: Callable[[Sequence[ToolCall]], bytes]
    """The calls -> what is still to be handed on of a stream, also where there are none; of a whole answer all of it,
    with the calls in it."""


_TASK = """\
You read what another model has written, and say which tools it means to call now. It could not call them itself.

These are the tools, one a line, with the JSON schema of their arguments:

{tools}

Answer with JSON alone: {{"tool_calls": [{{"name": "…", "arguments": {{…}}}}]}}. Take the arguments from the text, \
word for word; make up none. Calls that it only talks about, has made before, or gives as an example are none. \
If it means to call nothing now, the list is empty."""


def question(unread: Unread, model: str) -> bytes:
    """A request in OpenAI's chat dialect. ``model``: who is to be asked."""
    tools = "\n".join(
        json.dumps({"name": each.name, "description": each.description or "", "parameters": each.parameters or {}})
        for each in unread.tools
    )
    asked = {
        "model": model,
        "messages": [
            {"role": "system", "content": _TASK.format(tools=tools)},
            {"role": "user", "content": f"<text>\n{unread.text[-LONGEST:]}\n</text>"},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "tool_calls", "schema": _schema(unread.tools)},
        },
    }
    return msgspec.json.encode(asked)


def _schema(tools: Sequence[Tool]) -> dict[str, object]:
    call = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": [tool.name for tool in tools]},
            "arguments": {"type": "object"},
        },
        "required": ["name", "arguments"],
    }
    return {
        "type": "object",
        "properties": {"tool_calls": {"type": "array", "items": call}},
        "required": ["tool_calls"],
    }


def interpreted(unread: Unread, said: str, seed: str) -> tuple[tuple[ToolCall, ...], tuple[Repaired, ...]] | None:
    """The calls, and what was done to them. None: what the interpreter has said cannot be used.

    ``seed``: what tells this answer from others.
    """
    offered, found = Offered(tool.name for tool in unread.tools), calls_in_json(said)
    if found is None or not all(offered.meant(read.name) for read in found):
        return None
    mending = Mending(unread.tools)
    calls = [
        each
        for place, read in enumerate(found[:MOST_CALLS])
        for each in mending.calls(ToolCall(made_id(seed, 0, place + 1, Read(*read)), read.name, read.arguments))
    ]
    read_out = (Repaired(call.name, ("interpreted",)) for call in calls)
    return tuple(calls), (*read_out, *mending.repairs)
