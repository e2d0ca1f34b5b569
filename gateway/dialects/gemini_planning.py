"""What is put into a Gemini request: a managed prompt, a note, an answer to go on with; and what a planner is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.dialects.fields import object_of
from gateway.dialects.gemini_results import result_of
from gateway.dialects.gemini_schema import tidy
from gateway.dialects.openai_chat import GO_ON, fields_of
from gateway.errors import CallerError

Fields = dict[str, Any]

_INSTRUCTION = ("systemInstruction", "system_instruction")
_list = msgspec.json.Decoder(list[msgspec.Raw])


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """The request with more messages before its own. What cannot be read is left as it is, to be refused later."""
    try:
        fields = fields_of(body)
        told = [_text(each.get("content")) for each in messages if each.get("role") in ("system", "developer")]
        said = [each for each in messages if each.get("role") not in ("system", "developer")]
        if told:
            fields |= _instructed(fields, before=told)
        if said:
            fields["contents"] = _raw([*map(_content, said), *_contents(fields)])
        return msgspec.json.encode(fields)
    except (ValueError, RecursionError):
        return body


def noted(body: bytes, note: str) -> bytes | None:
    """The request with a note at the end of its instructions: the same bytes for the same beginning, so that vendors
    find what they have kept of it. None: the request cannot be read."""
    try:
        fields = fields_of(body)
        _contents(fields)
        return msgspec.json.encode(fields | _instructed(fields, after=[{"text": note}]))
    except (ValueError, RecursionError):
        return None


def continuation(body: bytes, delivered: str, prefill: Mapping[str, Any] | None) -> bytes:
    """A request that asks another model to go on where a text answer broke off."""
    fields = fields_of(body)
    contents: list[Any] = [*_contents(fields), {"role": "model", "parts": [{"text": delivered}]}]
    if prefill is None:
        contents.append({"role": "user", "parts": [{"text": GO_ON}]})
    return msgspec.json.encode({**fields, "contents": contents})


def _instructed(
    fields: Mapping[str, msgspec.Raw], before: Sequence[Fields] = (), after: Sequence[Fields] = ()
) -> dict[str, msgspec.Raw]:
    """The instruction, under the name it has in the request. Raises ``ValueError``."""
    name = next((name for name in _INSTRUCTION if name in fields), _INSTRUCTION[0])
    said = msgspec.json.decode(fields[name]) if name in fields else None
    if said is None:
        said = {}
    elif isinstance(said, str):
        said = {"parts": [{"text": said}]}
    if not isinstance(said, dict):
        raise ValueError("the instruction is no content")
    return {name: _raw({**said, "parts": [*before, *_listed(said.get("parts")), *after]})}


def _contents(fields: Mapping[str, msgspec.Raw]) -> list[msgspec.Raw]:
    """Raises ``ValueError`` where there are none."""
    raw = fields.get("contents", msgspec.Raw(b""))
    return [raw] if bytes(raw).startswith(b"{") else _list.decode(raw)


def _content(message: Mapping[str, Any]) -> Fields:
    role = "model" if message.get("role") == "assistant" else "user"
    return {"role": role, "parts": [_text(message.get("content"))]}


def _text(content: Any) -> Fields:
    return {"text": content if isinstance(content, str) else ""}


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _listed(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [] if said is None else [said]


# A plan ---------------------------------------------------------------------------------------------------------------

# What a planner's request has of the one that made it needed. How to answer (parameters, formats, tools) is another's.
KEPT = ("labels", "safetySettings", "serviceTier", "store")


def planning(body: bytes, instructions: str, request: str) -> bytes | None:
    """A request for a plan: the conversation as text, what the agent was told and its tools as information.

    ``instructions`` come first, ``request`` last. None: the request cannot be read.
    """
    try:
        said = tidy(object_of(body))
        told = _told(said.get("systemInstruction"))
        tools = "\n".join(_tools(said.get("tools")))
        contents = [_shaped(each) for each in _listed(said.get("contents"))]
    except (ValueError, RecursionError, CallerError):
        return None
    first = [instructions, _block("agent-instructions", told), _block("agent-tools", tools)]
    asked = {
        **{name: said[name] for name in KEPT if name in said},
        "systemInstruction": {"parts": [{"text": "\n\n".join(filter(None, first))}]},
        "contents": _merged([*_flat(contents), ("user", [{"text": request}])]),
    }
    return msgspec.json.encode(asked)


def _shaped(content: Any) -> tuple[Any, list[Fields]]:
    """(role, parts). Raises ``ValueError``."""
    said = tidy(content) if isinstance(content, dict) else {}
    parts = [tidy(part) for part in _listed(said.get("parts")) if isinstance(part, dict)]
    if not isinstance(content, dict):
        raise ValueError("a content is no object")
    return said.get("role"), parts


def _told(instruction: Any) -> str:
    if not isinstance(instruction, dict):
        return instruction if isinstance(instruction, str) else ""
    _, parts = _shaped(instruction)
    return "\n\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _block(name: str, text: str) -> str:
    return f"<{name}>\n{text}\n</{name}>" if text else ""


def _tools(tools: Any) -> Iterator[str]:
    """``- name: description``, and below it the parameters as compact JSON."""
    for tool in _listed(tools):
        for name, held in tidy(tool).items() if isinstance(tool, dict) else ():
            if name != "functionDeclarations":
                yield f"- {name}"
                continue
            for each in _listed(held):
                if isinstance(each, dict):
                    yield from _function(tidy(each))


def _function(said: Fields) -> Iterator[str]:
    description = said.get("description")
    yield f"- {said.get('name')}: {description}" if description else f"- {said.get('name')}"
    if parameters := said.get("parametersJsonSchema") or said.get("parameters"):
        yield f"  {msgspec.json.encode(parameters).decode()}"


Said = tuple[str, list[Fields]]
"""A role, and the parts it said."""
_KINDS = ("text", "inlineData", "fileData")


def _flat(contents: Sequence[tuple[Any, list[Fields]]]) -> Iterator[Said]:
    """Without thoughts; calls and results as text."""
    names: dict[str, str] = {}
    for role, parts in contents:
        found = [each for part in parts if part.get("thought") is not True for each in _said(part, names)]
        yield ("model" if role == "model" else "user"), found


def _said(part: Fields, names: dict[str, str]) -> list[Fields]:
    if isinstance(call := part.get("functionCall"), dict):
        name = str(call.get("name") or "a tool")
        if isinstance(call.get("id"), str):
            names[call["id"]] = name
        arguments = msgspec.json.encode(call.get("args") or {}).decode()
        return [{"text": f"[called {name} {arguments}]"}]
    if isinstance(answer := part.get("functionResponse"), dict):
        name = names.get(str(answer.get("id"))) or answer.get("name") or "a tool"
        media = [each for each in _listed(answer.get("parts")) if isinstance(each, dict)]
        return [{"text": f"[{name} answered]\n{result_of(answer.get('response')).text or '(nothing)'}"}, *media]
    return [{kind: part[kind]} for kind in _KINDS if part.get(kind)][:1]


def _merged(said: Sequence[Said]) -> list[Fields]:
    """One content for what one role says in a row."""
    together: list[Said] = []
    for role, parts in said:
        if together and together[-1][0] == role:
            together[-1][1].extend(parts)
        elif parts:
            together.append((role, list(parts)))
    return [{"role": role, "parts": parts} for role, parts in together]
