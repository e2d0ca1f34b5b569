"""A Responses request read into the hub: https://developers.openai.com/api/docs/api-reference/responses/create

What the hub has a word for is read; what it has none for is in ``extra`` under its own name (``truncation``), or under
its place (``input[3].phase``), so that whoever cannot say it can tell that it was dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.chat import ChatRequest, Message, Output, Text, Thinking, ToolChoice
from gateway.dialects.fields import elements, flag, mapping, number, object_of, string, whole, words
from gateway.dialects.openai_parts import Fields, wrong
from gateway.dialects.responses_input import Items
from gateway.dialects.responses_tools import ACTIONS, Reader, Toolbox
from gateway.errors import CallerError

LOGPROBS = "message.output_text.logprobs"
_INCLUDED = frozenset(("reasoning.encrypted_content", LOGPROBS))
"""What an answer holds, whoever gives it; what else can be asked for is about OpenAI's own tools."""


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``CallerError`` (400) with where and what."""
    said = object_of(body)
    _refuse(said)
    extra = {name: value for name, value in said.items() if name not in _READ and not _is_idle(name, value)}
    items = _items(said)
    tools = _tools(said, items, extra)
    include = _include(said, extra)
    top_logprobs = whole(said, "top_logprobs")
    model = said.get("model")
    return ChatRequest(
        model=model if isinstance(model, str) else "",
        messages=(*_instructions(said), *Items(extra, tools).read(items)),
        stream=flag(said, "stream") or False,
        tools=tools.tools,
        tool_choice=_tool_choice(said, tools, extra),
        parallel_tool_calls=flag(said, "parallel_tool_calls"),
        output=_output(said, extra),
        max_tokens=whole(said, "max_output_tokens"),
        temperature=number(said, "temperature"),
        top_p=number(said, "top_p"),
        logprobs=LOGPROBS in include or bool(top_logprobs),
        top_logprobs=top_logprobs or None,
        thinking=_thinking(said, extra),
        user=string(said, "user"),
        metadata=mapping(said, "metadata") or None,
        service_tier=string(said, "service_tier"),
        verbosity=string(mapping(said, "text") or {}, "verbosity", "text."),
        extra=extra,
    )


_READ = words(
    "model input instructions stream tools tool_choice parallel_tool_calls text max_output_tokens temperature top_p "
    "top_logprobs reasoning include user metadata service_tier store previous_response_id conversation prompt "
    "background stream_options"
)
# What asks for nothing. Whether an answer is kept is the gateway's to do.
_IDLE: Mapping[str, Any] = {"truncation": "disabled", "stream_options": {"include_obfuscation": False}}


def _is_idle(name: str, value: Any) -> bool:
    return value is None or value == _IDLE.get(name, ()) or value in ([], {})


def _refuse(said: Fields) -> None:
    """What would be answered wrongly by whoever does not know it."""
    if said.get("background"):
        what = "background: this model answers at once, in the same request; ask without it"
        raise CallerError(400, "unsupported_parameter", what, param="background")
    if previous := said.get("previous_response_id"):
        what = f"Previous response with id {str(previous)[:100]!r} not found."
        raise CallerError(400, "previous_response_not_found", what, param="previous_response_id")
    for name in ("conversation", "prompt"):
        if said.get(name):
            what = f"{name}: what is kept at OpenAI cannot be read here; send it in input and instructions"
            raise CallerError(400, "unsupported_parameter", what, param=name)


def _left(extra: Fields, where: str, said: Fields, read: str) -> None:
    """What is left of an object once the hub has taken its part."""
    names = read.split()
    extra.update({f"{where}.{name}": value for name, value in said.items() if name not in names and value})


# What is said ---------------------------------------------------------------------------------------------------------


def _instructions(said: Fields) -> list[Message]:
    text = string(said, "instructions")
    return [Message("system", (Text(text),))] if text else []


def _items(said: Fields) -> list[Any]:
    given = said.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if given is not None and not isinstance(given, list):
        raise wrong("input", "a string or an array of items", given)
    if not given:
        raise CallerError(400, "missing_required_parameter", "input: at least one item is needed", param="input")
    return given


# How to answer --------------------------------------------------------------------------------------------------------


def _include(said: Fields, extra: Fields) -> list[Any]:
    include = elements(said, "include")
    others = [each for each in include if not (isinstance(each, str) and each in _INCLUDED)]
    if others:
        extra["include"] = others
    if options := mapping(said, "stream_options"):
        _left(extra, "stream_options", options, "")
    return include


def _output(said: Fields, extra: Fields) -> Output | None:
    about = mapping(said, "text") or {}
    _left(extra, "text", about, "format verbosity")
    form = mapping(about, "format", "text.")
    kind = form.get("type") if form else None
    if form is None or kind in (None, "text"):
        return None
    if kind == "json_object":
        return Output()
    if kind == "json_schema":
        where = "text.format."
        return Output(
            mapping(form, "schema", where),
            string(form, "name", where),
            string(form, "description", where),
            flag(form, "strict", where),
        )
    if kind == "grammar" or kind == "python":
        extra["text.format"] = form
        return None
    known = f"text.format.type: {kind!r} is none of text, json_object, json_schema"
    raise CallerError(400, "invalid_value", known, param="text.format.type")


# What is thought comes as a summary, whether one was asked for or not.
_SUMMARIES = ("auto", None)


def _thinking(said: Fields, extra: Fields) -> Thinking | None:
    asked = mapping(said, "reasoning") or {}
    effort = string(asked, "effort", "reasoning.")
    _left(extra, "reasoning", {key: value for key, value in asked.items() if value not in _SUMMARIES}, "effort")
    return Thinking(effort) if effort else None


# Tools ----------------------------------------------------------------------------------------------------------------


def _tools(said: Fields, items: list[Any], extra: Fields) -> Toolbox:
    """Those on offer from the start, and those that came along later."""
    reader = Reader(extra)
    reader.read(elements(said, "tools"), "tools")
    for place, item in enumerate(items):
        if isinstance(item, dict) and item.get("type") in _BRING_TOOLS and isinstance(item.get("tools"), list):
            reader.read(item["tools"], f"input[{place}].tools")
    return reader.box


_BRING_TOOLS = ("additional_tools", "tool_search_output")
_MODES: Mapping[str, ToolChoice] = {
    "auto": ToolChoice("auto"),
    "none": ToolChoice("none"),
    "required": ToolChoice("required"),
}


def _tool_choice(said: Fields, tools: Toolbox, extra: Fields) -> ToolChoice | None:
    """1. A word. 2. Some of the tools. 3. One tool. What none of ours can fulfil is told, not asked for."""
    choice = said.get("tool_choice")
    if choice is None:
        return None
    if isinstance(choice, str):
        if choice not in _MODES:
            raise wrong("tool_choice", f"one of {', '.join(_MODES)}, or an object", choice)
        made: ToolChoice | None = _MODES[choice]
    elif not isinstance(choice, dict):
        raise wrong("tool_choice", f"one of {', '.join(_MODES)}, or an object", choice)
    elif choice.get("type") == "allowed_tools":
        made = _allowed(choice, tools, extra)
    else:
        name = _named(choice, tools)
        made = ToolChoice("named", (name,)) if name else None
    if made is None or not tools.tools:
        if choice not in ("auto", "none"):
            extra["tool_choice"] = choice
        return None
    return made


def _allowed(choice: Fields, tools: Toolbox, extra: Fields) -> ToolChoice | None:
    mode, given = choice.get("mode", "auto"), choice.get("tools")
    if mode not in ("auto", "required") or not isinstance(given, list):
        raise wrong("tool_choice", "an object with mode and tools", choice)
    names = []
    for place, each in enumerate(given):
        name = _named(each, tools) if isinstance(each, dict) else None
        if name is None:
            extra[f"tool_choice.tools[{place}]"] = each
        else:
            names.append(name)
    return ToolChoice(mode, tuple(names)) if names else None


def _named(said: Fields, tools: Toolbox) -> str | None:
    kind, name = said.get("type"), said.get("name")
    if isinstance(name, str) and name:
        return tools.hub_name(said.get("namespace"), name)
    if kind in ("function", "custom"):
        raise wrong("tool_choice.name", "a string", name)
    known = tools.hub_name(None, kind) if isinstance(kind, str) and kind in ACTIONS else None
    return known if known and any(tool.name == known for tool in tools.tools) else None
