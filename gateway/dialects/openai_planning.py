"""What a planner is asked of an OpenAI-shaped request, and how its plan is put into one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.dialects.mending import mended

Fields = dict[str, Any]

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])


class _Spoken(msgspec.Struct):
    role: Any = None


_role = msgspec.json.Decoder(_Spoken)

# What a planner's request has of the one that made it needed. How to answer (parameters, formats, tools) is another's.
KEPT = ("model", "stream", "stream_options", "user")
INSTRUCT = ("system", "developer")


def planning(body: bytes, instructions: str, request: str) -> bytes | None:
    """A request for a plan: the conversation as text, what the agent was told and its tools as information.

    ``instructions`` come first, ``request`` last. No tool can be called: vendors refuse messages with calls of tools
    that are not on offer. None: the request cannot be read.
    """
    try:
        fields = _read(body)
        said = _list.decode(fields["messages"])
        leading, messages = _leading(said), [_object(raw) for raw in said]
        told = "\n\n".join(filter(None, (text_of(each.get("content")) for each in messages[:leading])))
        tools = [*_tools(fields.get("tools"), "function"), *_tools(fields.get("functions"), None)]
        first = [instructions, block("agent-instructions", told), block("agent-tools", "\n".join(tools))]
        asked = {
            **{name: fields[name] for name in KEPT if name in fields},
            "messages": [
                {"role": "system", "content": "\n\n".join(filter(None, first))},
                *merged([*_flat(messages[leading:]), ("user", [request])]),
            ],
        }
        return msgspec.json.encode(asked)
    except (ValueError, KeyError, RecursionError):
        return None


def noted(body: bytes, note: str) -> bytes | None:
    """The request with a note at the end of the instructions it begins with, or in a message of its own before all.

    The same beginning with the same note gives the same bytes, however the conversation goes on: vendors find what
    they have kept of it. None: the request cannot be read.
    """
    try:
        fields = _read(body)
        messages: list[Any] = list(_list.decode(fields["messages"]))
        leading = _leading(messages)
        if leading:
            last = _object(messages[leading - 1])
            messages[leading - 1] = {**last, "content": appended(last.get("content"), note)}
        else:
            messages.insert(0, {"role": "system", "content": note})
        return msgspec.json.encode({**fields, "messages": messages})
    except (ValueError, KeyError, RecursionError):
        return None


def text_of(content: Any) -> str:
    """The text of a message, whole or in parts; what is no text is left out."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "\n".join(filter(None, map(_text, parts)))


def _text(part: Any) -> str:
    said = part.get("text") if isinstance(part, dict) else part
    return said if isinstance(said, str) else ""


def _read(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _fields.decode(body)
    except ValueError:
        return _fields.decode(mended(body))


def _object(raw: msgspec.Raw) -> Fields:
    try:
        said = msgspec.json.decode(raw)
    except ValueError:
        said = msgspec.json.decode(mended(bytes(raw)))
    if not isinstance(said, dict):
        raise ValueError("a message is no object")
    return said


def _leading(messages: Sequence[msgspec.Raw]) -> int:
    """How many of the messages are instructions that come before everything else. The others are not read."""
    others = (place for place, raw in enumerate(messages) if _role.decode(raw).role not in INSTRUCT)
    return next(others, len(messages))


def appended(content: Any, note: str) -> Any:
    if isinstance(content, list):
        return [*content, {"type": "text", "text": note}]
    return f"{content}\n\n{note}" if isinstance(content, str) and content else note


def block(name: str, text: str) -> str:
    return f"<{name}>\n{text}\n</{name}>" if text else ""


def _tools(raw: msgspec.Raw | None, within: str | None) -> Iterator[str]:
    """``- name: description``, and below it the parameters as compact JSON."""
    tools = msgspec.json.decode(raw) if raw is not None else None
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        said = tool.get(within) if within else tool
        said = said if isinstance(said, dict) else tool
        name = said.get("name") or said.get("type")
        description = said.get("description")
        yield f"- {name}: {description}" if description else f"- {name}"
        if parameters := said.get("parameters"):
            yield f"  {msgspec.json.encode(parameters).decode()}"


# The conversation as text ---------------------------------------------------------------------------------------------

Said = tuple[str, list[Any]]
"""A role, and what it said: texts, and parts that are none."""


def _flat(messages: list[Fields]) -> Iterator[Said]:
    names: dict[str, str] = {}
    for message in messages:
        role, content = message.get("role"), message.get("content")
        match role:
            case "assistant":
                text = text_of(content) or _text(message.get("refusal"))
                yield "assistant", [*filter(None, [text]), *_calls(message, names)]
            case "tool" | "function":
                name = names.get(str(message.get("tool_call_id"))) or message.get("name") or "a tool"
                yield "user", [f"[{name} answered]", *(_parts(content) or ["(nothing)"])]
            case "system" | "developer":
                yield "system", _parts(content)
            case _:
                yield "user", _parts(content)


def _parts(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [content] if content else []
    return list(content) if isinstance(content, list) else []


def _calls(message: Mapping[str, Any], names: dict[str, str]) -> Iterator[str]:
    """``[called shell {"command":"ls"}]``, and the names by the calls' ids."""
    calls = message.get("tool_calls")
    made = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if isinstance(old := message.get("function_call"), dict):
        made.append({"function": old})
    for call in made:
        said = call.get("function") or call.get("custom")
        said = said if isinstance(said, dict) else {}
        name = str(said.get("name") or "a tool")
        if isinstance(call.get("id"), str):
            names[call["id"]] = name
        yield f"[called {name} {said.get('arguments') or said.get('input') or ''}]"


def merged(said: list[Said], kind: str = "text") -> Iterator[Fields]:
    """One message for what one role says in a row: some vendors want the roles to alternate."""
    together: list[Said] = []
    for role, parts in said:
        if together and together[-1][0] == role:
            together[-1][1].extend(parts)
        elif parts:
            together.append((role, list(parts)))
    for role, parts in together:
        if all(isinstance(part, str) for part in parts):
            yield {"role": role, "content": "\n\n".join(parts)}
        else:
            content = [{"type": kind, "text": part} if isinstance(part, str) else part for part in parts]
            yield {"role": role, "content": content}
