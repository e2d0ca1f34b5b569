"""What a planner is asked of a Responses request, how its plan is put into one, and managed prompts before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.dialects.mending import mended
from gateway.dialects.openai_planning import INSTRUCT, block, merged, text_of
from gateway.dialects.responses_input import shell_text
from gateway.dialects.responses_tools import full_name

Fields = dict[str, Any]
Said = tuple[str, list[Any]]

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder()

# What a planner's request has of the one that made it needed. How to answer (parameters, formats, tools) is another's.
KEPT = ("model", "stream", "user")


def planning(body: bytes, instructions: str, request: str) -> bytes | None:
    """A request for a plan: the conversation as text, what the agent was told and its tools as information.

    ``instructions`` come first, ``request`` last. No tool can be called. None: the request cannot be read.
    """
    try:
        fields = _read(body)
        items = _items(fields)
        leading = _leading(items)
        told = [_value(fields, "instructions"), *(text_of(item.get("content")) for item in items[:leading])]
        agent = "\n\n".join(each for each in told if isinstance(each, str) and each)
        tools = "\n".join(_tools(_value(fields, "tools")))
        first = [instructions, block("agent-instructions", agent), block("agent-tools", tools)]
        said = merged([*_flat(items[leading:]), ("user", [request])], "input_text")
        asked = {
            **{name: fields[name] for name in KEPT if name in fields},
            "instructions": "\n\n".join(filter(None, first)),
            "input": [{"type": "message", **message} for message in said],
            "store": False,
        }
        return msgspec.json.encode(asked)
    except (ValueError, RecursionError):
        return None


def noted(body: bytes, note: str) -> bytes | None:
    """The request with a note at the end of its instructions, or of the first items where those are there.

    The same beginning with the same note gives the same bytes, however the conversation goes on: vendors find what
    they have kept of it. None: the request cannot be read.
    """
    try:
        fields = _read(body)
        if said := _text(_value(fields, "instructions")):
            return msgspec.json.encode({**fields, "instructions": f"{said}\n\n{note}"})
        return msgspec.json.encode({**fields, **_noted_in_items(fields, note)})
    except (ValueError, RecursionError):
        return None


def _noted_in_items(fields: Mapping[str, msgspec.Raw], note: str) -> Fields:
    items = _items(fields)
    place = _leading(items) - 1
    if place < 0:
        return {"instructions": note}
    content = items[place].get("content")
    if isinstance(content, list):
        content = [*content, {"type": "input_text", "text": note}]
    else:
        content = f"{content}\n\n{note}" if isinstance(content, str) and content else note
    raw: list[Any] = msgspec.json.decode(fields["input"], type=list[msgspec.Raw])
    raw[place] = {**items[place], "content": content}
    return {"input": raw}


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """The request with more said before its own; what instructs becomes instructions. What cannot be read is left as
    it is, to be refused later."""
    try:
        fields: Fields = {**_read(body)}
        told = [each["content"] for each in messages if each["role"] in INSTRUCT]
        before = [{"type": "message", **each} for each in messages if each["role"] not in INSTRUCT]
        if told:
            own = _text(_value(fields, "instructions"))
            fields["instructions"] = "\n\n".join([*told, *filter(None, [own])])
        if before:
            fields["input"] = [*before, *_raw_items(fields)]
        return msgspec.json.encode(fields)
    except (ValueError, KeyError, RecursionError):
        return body


# Reading --------------------------------------------------------------------------------------------------------------


def _read(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _fields.decode(body)
    except ValueError:
        return _fields.decode(mended(body))


def _value(fields: Mapping[str, Any], name: str) -> Any:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return _any.decode(raw)
    except ValueError:
        return _any.decode(mended(bytes(raw)))


def _items(fields: Mapping[str, msgspec.Raw]) -> list[Fields]:
    """Raises ``ValueError`` where there are none."""
    said = _value(fields, "input")
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    if not isinstance(said, list) or not all(isinstance(each, dict) for each in said):
        raise ValueError("the input is no list of items")
    return said


def _raw_items(fields: Mapping[str, msgspec.Raw]) -> list[Any]:
    said = bytes(fields.get("input", b"[]"))
    if said.startswith(b'"'):
        return [{"type": "message", "role": "user", "content": msgspec.Raw(said)}]
    return msgspec.json.decode(said, type=list[Any] | None) or []


def _leading(items: Sequence[Fields]) -> int:
    """How many of the items are instructions that come before everything else."""
    return next((place for place, item in enumerate(items) if item.get("role") not in INSTRUCT), len(items))


def _text(said: Any) -> str:
    return said if isinstance(said, str) else ""


def _tools(tools: Any, namespace: Any = None) -> Iterator[str]:
    """``- name: description``, and below it the parameters as compact JSON."""
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        if tool.get("type") == "namespace":
            yield from _tools(tool.get("tools"), tool.get("name"))
            continue
        name, description = full_name(namespace, str(tool.get("name") or tool.get("type"))), tool.get("description")
        yield f"- {name}: {description}" if description else f"- {name}"
        if parameters := tool.get("parameters"):
            yield f"  {msgspec.json.encode(parameters).decode()}"


# The conversation as text ---------------------------------------------------------------------------------------------


def _flat(items: Sequence[Fields]) -> Iterator[Said]:
    names: dict[str, str] = {}
    for item in items:
        kind = item.get("type") or "message"
        if kind == "message":
            yield _message(item)
        elif isinstance(kind, str) and kind.endswith("_call"):
            name = full_name(item.get("namespace"), str(item.get("name") or kind.removesuffix("_call")))
            for key in ("call_id", "id"):
                if isinstance(item.get(key), str):
                    names[item[key]] = name
            yield "assistant", [f"[called {name} {_arguments(item)}]"]
        elif isinstance(kind, str) and kind.endswith("_call_output"):
            name = names.get(str(item.get("call_id") or item.get("id"))) or "a tool"
            yield "user", [f"[{name} answered]", *(_output(item) or ["(nothing)"])]


def _message(item: Fields) -> Said:
    content = item.get("content")
    match item.get("role"):
        case "assistant":
            parts = content if isinstance(content, list) else ()
            refusals = [_text(part.get("refusal")) for part in parts if isinstance(part, dict)]
            return "assistant", list(filter(None, [text_of(content), *refusals]))
        case "system" | "developer":
            return "system", _parts(content)
        case _:
            return "user", _parts(content)


def _arguments(item: Fields) -> str:
    said = next((item[key] for key in ("arguments", "input", "action", "operation") if item.get(key)), "")
    return said if isinstance(said, str) else msgspec.json.encode(said).decode()


def _output(item: Fields) -> list[Any]:
    output = item.get("output")
    return _parts(shell_text(output) if item.get("type") == "shell_call_output" else output)


def _parts(content: Any) -> list[Any]:
    """Texts as such, and parts that are none."""
    if isinstance(content, str):
        return [content] if content else []
    parts = content if isinstance(content, list) else ()
    return [_text(part.get("text")) or part if isinstance(part, dict) else str(part) for part in parts]
