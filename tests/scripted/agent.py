"""A vendor's side of an agent's tool loop: first call the shell, then quote what it said; a title for all else."""

from __future__ import annotations

from typing import Any

from .received import Received
from .steps import Answer, ToolCall

COMMAND = "echo skein-$((40+2))"
RESULT = "skein-42"
TITLE = "A scripted title"


def agent_story(call: Received) -> Answer:
    """The step of a call within an agent's run, by what its conversation holds."""
    if not (tools := _tools(call)):
        return Answer(TITLE)
    if (result := _last_result(call)) is not None:
        return Answer(f"The tool said: {result}")
    return Answer(tool_calls=(ToolCall(_shell(tools), {"command": COMMAND}),))


def _tools(call: Received) -> list[str]:
    tools = call.fields.get("tools") or ()
    return [tool["function"]["name"] for tool in tools if isinstance(tool.get("function"), dict)]


def _shell(tools: list[str]) -> str:
    """``shell``, whatever it is prefixed with, or else the first tool."""
    return next((name for name in tools if name == "shell" or name.endswith("__shell")), tools[0])


def _last_result(call: Received) -> str | None:
    messages = call.fields.get("messages", ())
    results = [message.get("content") for message in messages if message.get("role") == "tool"]
    return _text(results[-1]) if results else None


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return str(content or "")
