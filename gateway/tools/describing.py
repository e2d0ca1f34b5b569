"""A request for a model that cannot be told of tools: they stand in its instructions, and past calls are text."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from gateway.chat import (
    Blob,
    ChatRequest,
    File,
    Message,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolCallResponse,
    ToolChoice,
    Uri,
)

_TASK = """\
# Tools

You can call tools. What there is, one a line, with the JSON schema of its arguments:

<tools>
{tools}
</tools>

To call one, end your answer with this and nothing after it:

<tool_call>
{{"name": "the tool's name", "arguments": {{"what": "its schema asks for"}}}}
</tool_call>

The arguments are strict JSON. {number} What a tool has answered comes to you between <tool_result> and \
</tool_result>: never write that yourself, and never say that you have called a tool without calling it. \
Where no tool is needed, answer in words.{choice}"""

_SEVERAL = "To call several at once, write such a block for each, one after another."
_ONE = "Call one tool at a time."
_REQUIRED = " This time you must call a tool: {tools}."
_ANY = "any of them"

_SAID = "<tool_call>\n{call}\n</tool_call>"
_RESULT = '<tool_result tool="{name}"{failed}>\n{said}\n</tool_result>'


def shimmed(request: ChatRequest) -> ChatRequest:
    """The same request without tools. The very same object where it has none, and none were called before."""
    called = any(isinstance(part, ToolCall | ToolCallResponse) for each in request.messages for part in each.parts)
    if not request.tools and not called:
        return request
    tools = _on_offer(request.tools, request.tool_choice)
    messages = tuple(_together(_in_words(each) for each in request.messages))
    if tools:
        messages = _instructed(messages, _told(tools, request))
    return msgspec.structs.replace(request, messages=messages, tools=(), tool_choice=None, parallel_tool_calls=None)


def _on_offer(tools: tuple[Tool, ...], choice: ToolChoice | None) -> tuple[Tool, ...]:
    if choice is None:
        return tools
    if choice.mode == "none":
        return ()
    return tuple(tool for tool in tools if tool.name in choice.names) if choice.names else tools


def _told(tools: tuple[Tool, ...], request: ChatRequest) -> str:
    choice = request.tool_choice
    must = choice is not None and choice.mode in ("required", "named")
    names = ", ".join(choice.names) if choice and choice.names else _ANY
    return _TASK.format(
        tools="\n".join(map(_described, tools)),
        number=_ONE if request.parallel_tool_calls is False else _SEVERAL,
        choice=_REQUIRED.format(tools=names) if must else "",
    )


def _described(tool: Tool) -> str:
    said = {"name": tool.name, "description": tool.description or "", "parameters": tool.parameters or {}}
    return json.dumps(said, ensure_ascii=False)


def _instructed(messages: tuple[Message, ...], told: str) -> tuple[Message, ...]:
    """After the client's own instructions: what is the same in every request comes first."""
    for place, message in enumerate(messages):
        if message.role in ("system", "developer"):
            new = msgspec.structs.replace(message, parts=(*message.parts, Text(f"\n\n{told}")))
            return (*messages[:place], new, *messages[place + 1 :])
    return (Message("system", (Text(told),)), *messages)


# What was called, and what came of it ---------------------------------------------------------------------------------


def _in_words(message: Message) -> Message:
    if message.role == "tool":
        return Message("user", tuple(each for part in message.parts for each in _result(part)))
    if not any(isinstance(part, ToolCall | ToolCallResponse) for part in message.parts):
        return message
    parts = tuple(each for part in message.parts for each in _result(_call(part)))
    return msgspec.structs.replace(message, parts=parts)


def _call(part: Part) -> Part:
    if not isinstance(part, ToolCall):
        return part
    name = json.dumps(part.name, ensure_ascii=False)
    call = f'{{"name": {name}, "arguments": {part.arguments or "{}"}}}'
    return Text(_SAID.format(call=call), part.cache)


def _result(part: Part) -> Iterator[Part]:
    """Its words, and after them what cannot be put in words."""
    if not isinstance(part, ToolCallResponse):
        yield part
        return
    said = "\n".join(each.content for each in part.parts if isinstance(each, Text))
    failed = ' failed="true"' if part.failed else ""
    yield Text(_RESULT.format(name=part.name, failed=failed, said=said), part.cache)
    yield from (each for each in part.parts if isinstance(each, Blob | Uri | File))


def _together(messages: Iterator[Message]) -> Iterator[Message]:
    """What several tools have answered, and what the user says to it, is one message: many models insist on turns."""
    last: Message | None = None
    for message in messages:
        if last and last.role == message.role == "user" and last.name == message.name:
            last = msgspec.structs.replace(last, parts=(*last.parts, *message.parts))
            continue
        if last:
            yield last
        last = message
    if last:
        yield last
