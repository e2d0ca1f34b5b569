"""What a planner is asked of a request for Anthropic's Messages, and how its plan, or a prompt, is put into one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.dialects.mending import mended
from gateway.dialects.openai_planning import Said, block, merged, text_of

Fields = dict[str, Any]

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_messages = msgspec.json.Decoder(list[msgspec.Raw])

# What a planner's request has of the one that made it needed. How to answer (parameters, formats, tools) is another's.
KEPT = ("model", "stream", "max_tokens", "metadata")
_INSTRUCT = ("system", "developer")
_SHOWN = ("image", "document", "search_result")


def planning(body: bytes, instructions: str, request: str) -> bytes | None:
    """A request for a plan: the conversation as text, what the agent was told and its tools as information.

    ``instructions`` come first, ``request`` last. No tool can be called. None: the request cannot be read.
    """
    try:
        fields = _read(body)
        messages = _objects(fields["messages"])
        told = text_of(_value(fields, "system"))
        first = [instructions, block("agent-instructions", told), block("agent-tools", "\n".join(_tools(fields)))]
        asked = {
            **{name: fields[name] for name in KEPT if name in fields},
            "system": "\n\n".join(filter(None, first)),
            "messages": [*merged([*_flat(messages), ("user", [request])])],
        }
        return msgspec.json.encode(asked)
    except (ValueError, KeyError, RecursionError):
        return None


def noted(body: bytes, note: str) -> bytes | None:
    """The request with a note at the end of its instructions. None: the request cannot be read.

    The same beginning with the same note gives the same bytes, however the conversation goes on: vendors find what
    they have kept of it.
    """
    try:
        fields = _read(body)
        _objects(fields["messages"])
        system = _value(fields, "system")
        if isinstance(system, list):
            said: Any = [*system, {"type": "text", "text": note}]
        else:
            said = f"{system}\n\n{note}" if isinstance(system, str) and system else note
        return msgspec.json.encode(_with_system(fields, said))
    except (ValueError, KeyError, RecursionError):
        return None


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """The request with more instructions and messages before its own. What cannot be read is left as it is."""
    try:
        fields = _read(body)
        own = _messages.decode(fields.get("messages", b"[]"))
        system = _value(fields, "system")
    except (ValueError, RecursionError):
        return body
    told = [text for each in messages if each.get("role") in _INSTRUCT and (text := text_of(each.get("content")))]
    before = [{"role": each["role"], "content": each["content"]} for each in messages if each["role"] not in _INSTRUCT]
    if told and isinstance(system, list):
        fields = _with_system(fields, [*({"type": "text", "text": text} for text in told), *system])
    elif told:
        fields = _with_system(fields, "\n\n".join([*told, *([system] if isinstance(system, str) and system else [])]))
    return msgspec.json.encode({**fields, "messages": [*before, *own]})


def _with_system(fields: dict[str, msgspec.Raw], said: Any) -> dict[str, msgspec.Raw]:
    return {**fields, "system": msgspec.Raw(msgspec.json.encode(said))}


def _read(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _fields.decode(body)
    except ValueError:
        return _fields.decode(mended(body))


def _value(fields: Mapping[str, msgspec.Raw], name: str) -> Any:
    return msgspec.json.decode(fields[name]) if name in fields else None


def _objects(raw: msgspec.Raw) -> list[Fields]:
    said = msgspec.json.decode(raw)
    if not isinstance(said, list) or not all(isinstance(each, dict) for each in said):
        raise ValueError("the messages are no array of objects")
    return said


def _tools(fields: Mapping[str, msgspec.Raw]) -> Iterator[str]:
    """``- name: description``, and below it the parameters as compact JSON."""
    tools = _value(fields, "tools")
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        name, description = tool.get("name") or tool.get("type"), tool.get("description")
        yield f"- {name}: {description}" if description else f"- {name}"
        if schema := tool.get("input_schema"):
            yield f"  {msgspec.json.encode(schema).decode()}"


# The conversation as text ---------------------------------------------------------------------------------------------


def _flat(messages: list[Fields]) -> Iterator[Said]:
    """What the system said within the conversation is valid everywhere as the user's."""
    names: dict[str, str] = {}
    for message in messages:
        role = "assistant" if message.get("role") == "assistant" else "user"
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        listed = blocks if isinstance(blocks, list) else ()
        said = [each for one in listed for each in _told(one, names)]
        yield role, said


def _told(said: Any, names: dict[str, str]) -> Iterator[Any]:
    """``[called shell {"command":"ls"}]``, and the names by the calls' ids. Thoughts are not for others."""
    if not isinstance(said, dict):
        return
    match said.get("type"):
        case "text":
            if isinstance(text := said.get("text"), str) and text:
                yield text
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            name = str(said.get("name") or "a tool")
            if isinstance(said.get("id"), str):
                names[said["id"]] = name
            yield f"[called {name} {msgspec.json.encode(said.get('input') or {}).decode()}]"
        case "tool_result" | "mcp_tool_result":
            yield f"[{names.get(str(said.get('tool_use_id'))) or 'a tool'} answered]"
            yield from _results(said.get("content"))
        case kind if kind in _SHOWN:
            yield {name: value for name, value in said.items() if name != "cache_control"}


def _results(content: Any) -> list[Any]:
    if isinstance(content, str) and content:
        return [content]
    blocks = [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    said = [each["text"] if isinstance(each.get("text"), str) else each for each in blocks]
    return [each for each in said if each and (isinstance(each, str) or each.get("type") in _SHOWN)] or ["(nothing)"]
