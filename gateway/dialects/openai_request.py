"""An OpenAI chat request read into the hub: https://platform.openai.com/docs/api-reference/chat/create

What the hub has a word for is read; what it has none for is in ``extra`` under its own name (``logit_bias``), or under
its place (``messages[3].prefix``), so that whoever cannot say it can tell that it was dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.chat import (
    Blob,
    Cache,
    ChatRequest,
    File,
    Message,
    Output,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolCallResponse,
    ToolChoice,
    Uri,
)
from gateway.dialects.fields import elements, flag, mapping, number, object_of, string, strings, whole, words
from gateway.dialects.openai_parts import Fields, cache_of, read_part, signature_of, text_in, thoughts_of, wrong
from gateway.errors import CallerError


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``CallerError`` (400) with where and what."""
    return read_request(object_of(body))


def read_request(said: Fields) -> ChatRequest:
    """Also for the dialects that say most things in the same words. Raises ``CallerError`` (400)."""
    extra = {name: value for name, value in said.items() if name not in _READ and value is not None}
    for name, idle in _IDLE.items():
        if name in extra and extra[name] == idle:
            del extra[name]
    messages = elements(said, "messages")
    if not messages:
        raise CallerError(
            400, "missing_required_parameter", "messages: at least one message is needed", param="messages"
        )
    model = said.get("model")
    return ChatRequest(
        model=model if isinstance(model, str) else "",
        messages=read_messages(messages, extra),
        stream=flag(said, "stream") or False,
        tools=read_tools(said, extra),
        tool_choice=_tool_choice(said),
        parallel_tool_calls=flag(said, "parallel_tool_calls"),
        output=_output(said),
        # max_tokens is the older name of the same: where both are given, the newer one counts.
        max_tokens=whole(said, "max_completion_tokens", whole(said, "max_tokens")),
        temperature=number(said, "temperature"),
        top_p=number(said, "top_p"),
        top_k=whole(said, "top_k"),
        stop=strings(said, "stop"),
        seed=whole(said, "seed"),
        frequency_penalty=number(said, "frequency_penalty"),
        presence_penalty=number(said, "presence_penalty"),
        choices=whole(said, "n") or 1,
        logprobs=flag(said, "logprobs") or False,
        top_logprobs=whole(said, "top_logprobs"),
        thinking=_thinking(said, extra),
        user=string(said, "user"),
        metadata=mapping(said, "metadata"),
        service_tier=string(said, "service_tier"),
        verbosity=string(said, "verbosity"),
        extra=extra,
    )


_READ = words(
    "model messages stream stream_options tools functions tool_choice function_call parallel_tool_calls "
    "response_format max_tokens max_completion_tokens temperature top_p top_k stop seed frequency_penalty "
    "presence_penalty n logprobs top_logprobs reasoning_effort reasoning thinking user metadata service_tier "
    "verbosity"
)
_IDLE: Mapping[str, Any] = {"store": False, "modalities": ["text"], "logit_bias": {}}
"""What asks for nothing: no reason to tell anyone that it was dropped."""


# Fields ---------------------------------------------------------------------------------------------------------------


def _output(said: Fields) -> Output | None:
    form = mapping(said, "response_format")
    kind = form.get("type") if form else None
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        # With a schema beside it: Together, Fireworks, llama.cpp.
        return Output(mapping(form, "schema"))
    if kind != "json_schema":
        known = "text, json_object, json_schema"
        raise CallerError(
            400, "invalid_value", f"response_format.type: {kind!r} is none of {known}", param="response_format.type"
        )
    given = form.get("json_schema")
    if not isinstance(given, dict):
        raise wrong("response_format.json_schema", "an object", given)
    schema = given.get("schema", given.get("schema_definition"))
    if not isinstance(schema, dict | None):
        raise wrong("response_format.json_schema.schema", "an object", schema)
    name, description, strict = given.get("name"), given.get("description"), given.get("strict")
    return Output(
        schema,
        name if isinstance(name, str) else None,
        description if isinstance(description, str) else None,
        strict if isinstance(strict, bool) else None,
    )


def _thinking(said: Fields, extra: Fields) -> Thinking | None:
    """OpenAI's ``reasoning_effort``, OpenRouter's ``reasoning``, and ``thinking`` as Anthropic and DeepSeek have it."""
    effort, budget, adaptive = string(said, "reasoning_effort"), None, False
    if isinstance(asked := said.get("reasoning"), dict):
        effort = effort or string(asked, "effort")
        budget = whole(asked, "max_tokens")
        if asked.get("enabled") is False:
            effort = "none"
        elif asked.get("enabled") and effort is None and budget is None:
            effort = "medium"
        _rest(extra, "reasoning", asked, {"effort", "max_tokens", "enabled"})
    elif asked is not None:
        raise wrong("reasoning", "an object", asked)
    if isinstance(asked := said.get("thinking"), dict) and asked.get("type") not in _THINKING_TYPES:
        # A way of thinking that has no word here: for the vendor that knows it.
        extra["thinking"] = asked
    elif isinstance(asked, dict):
        kind = asked.get("type")
        budget = whole(asked, "budget_tokens", budget)
        adaptive = kind == "adaptive"
        if effort is None and budget is None:
            effort = {"disabled": "none", "enabled": "medium"}.get(kind) if isinstance(kind, str) else None
        _rest(extra, "thinking", asked, {"type", "budget_tokens"})
    elif asked is not None:
        extra["thinking"] = asked
    return Thinking(effort, budget, adaptive) if effort or budget is not None or adaptive else None


_THINKING_TYPES = ("adaptive", "disabled", "enabled", None)


def _rest(extra: Fields, where: str, said: Fields, read: set[str]) -> None:
    """What is left of an object once the hub has taken its part."""
    extra.update({f"{where}.{name}": value for name, value in said.items() if name not in read and value})


# Tools ----------------------------------------------------------------------------------------------------------------


MOST_TOOLS = 4096
"""More than any vendor takes. Each is looked up among those that may be chosen."""


def _few(tools: int, where: str) -> None:
    if tools > MOST_TOOLS:
        raise CallerError(400, "too_many_tools", f"{where}: more than {MOST_TOOLS}", param=where)


def read_tools(said: Fields, extra: Fields) -> tuple[Tool, ...]:
    given, functions = elements(said, "tools"), elements(said, "functions")
    _few(len(given) + len(functions), "tools")
    tools = [_tool(each, f"tools[{place}]", extra) for place, each in enumerate(given)]
    # The form before there were tools.
    tools += [_function(each, f"functions[{place}]", {}) for place, each in enumerate(functions)]
    return tuple(tool for tool in tools if tool is not None)


def _tool(said: Any, where: str, extra: Fields) -> Tool | None:
    if not isinstance(said, dict):
        raise wrong(where, "an object", said)
    kind = said.get("type", "function")
    if isinstance(function := said.get("function"), dict):
        return _function(function, f"{where}.function", said)
    if kind == "custom" and isinstance(custom := said.get("custom"), dict):
        # Its free text becomes the one argument of a function; the grammar it may have is not enforced.
        extra[f"{where}.custom"] = custom
        return _function({**custom, "parameters": _FREE_TEXT}, f"{where}.custom", said)
    if kind == "function" and "name" not in said:
        raise wrong(f"{where}.function", "an object", function)
    if kind in ("function", "custom", None) and "name" in said:
        # Flat: as Responses has it, and Anthropic.
        return _function({**said, "parameters": said.get("parameters", said.get("input_schema"))}, where, said)
    extra[where] = said
    return None


_FREE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def _function(said: Any, where: str, tool: Fields) -> Tool:
    if not isinstance(said, dict):
        raise wrong(where, "an object", said)
    parameters, description, strict = said.get("parameters"), said.get("description"), said.get("strict")
    if not isinstance(parameters, dict | None):
        raise wrong(f"{where}.parameters", "an object", parameters)
    return Tool(
        text_in(said, "name", where),
        description if isinstance(description, str) else None,
        parameters,
        strict if isinstance(strict, bool) else None,
        cache_of(tool) or cache_of(said),
    )


def _tool_choice(said: Fields) -> ToolChoice | None:
    choice, where = said.get("tool_choice"), "tool_choice"
    if choice is None:
        choice, where = said.get("function_call"), "function_call"
    if choice is None:
        return None
    if isinstance(choice, str) and (mode := _MODES.get(choice)):
        return mode
    if not isinstance(choice, dict):
        raise wrong(where, f"one of {', '.join(_MODES)}, or an object", choice)
    if choice.get("type") == "allowed_tools":
        inner = choice.get("allowed_tools", choice)
        names = tuple(filter(None, map(_named, inner.get("tools") or ()))) if isinstance(inner, dict) else ()
        mode = _MODES.get(inner.get("mode") or "auto") if isinstance(inner, dict) else None
        _few(len(names), where)
        if not names or mode is None:
            raise wrong(f"{where}.allowed_tools", "an object with mode and tools", inner)
        return ToolChoice(mode.mode, names)
    if name := _named(choice):
        return ToolChoice("named", (name,))
    kind = choice.get("type")
    if isinstance(kind, str) and (mode := _MODES.get(kind)):
        return mode
    raise wrong(f"{where}.function.name", "a string", None)


_MODES = {
    "auto": ToolChoice("auto"),
    "none": ToolChoice("none"),
    "required": ToolChoice("required"),
    "any": ToolChoice("required"),  # Mistral's and Anthropic's word
}


def _named(said: Any) -> str | None:
    """``{function: {name}}``, ``{custom: {name}}`` or ``{name}``."""
    if not isinstance(said, dict):
        return None
    inner = next((said[key] for key in ("function", "custom") if isinstance(said.get(key), dict)), said)
    name = inner.get("name")
    return name if isinstance(name, str) and name else None


# Messages -------------------------------------------------------------------------------------------------------------

MOST_PARTS = 100_000
"""No model's window holds so many, and each costs time that all other requests wait for. Anthropic takes as many
messages at most: https://platform.claude.com/docs/en/api/messages/create"""


def read_messages(said: list[Any], extra: Fields) -> tuple[Message, ...]:
    """What there is no word for goes into ``extra``, under its place. Raises ``CallerError`` (400)."""
    return _Conversation(extra).messages(said)


class _Conversation:
    """The messages in their order: an answer of a tool is known by the call before it."""

    def __init__(self, extra: Fields) -> None:
        self._extra = extra
        self._names: dict[str, str] = {}
        # Ordered ones: the first of a dict is far away when many before it are gone.
        self._open: OrderedDict[str, None] = OrderedDict()
        """Calls without an answer so far."""
        self._open_by_name: dict[str, OrderedDict[str, None]] = {}
        self._room = MOST_PARTS

    def _take(self, parts: list[Any]) -> None:
        """Raises ``CallerError`` (400) for a conversation of too many parts."""
        self._room -= len(parts)
        if self._room < 0:
            said = f"more than {MOST_PARTS} messages, parts of messages and tool calls"
            raise CallerError(400, "too_many_parts", said, param="messages")

    def messages(self, said: list[Any]) -> tuple[Message, ...]:
        self._take(said)
        return tuple(self._message(each, f"messages[{place}]") for place, each in enumerate(said))

    def _message(self, said: Any, where: str) -> Message:
        if not isinstance(said, dict):
            raise wrong(where, "an object", said)
        role = _ROLES.get(said.get("role") or "") if isinstance(said.get("role"), str) else None
        if role is None:
            known = ", ".join(_ROLES)
            raise CallerError(
                400, "invalid_value", f"{where}.role: {said.get('role')!r} is none of {known}", param=f"{where}.role"
            )
        if not said.keys() <= _MESSAGE_READ:
            self._extra.update(
                {f"{where}.{key}": value for key, value in said.items() if value and key not in _MESSAGE_READ}
            )
        if role == "tool":
            return Message("tool", (self._answer(said, where),))
        name = said.get("name")
        parts = self._assistant(said, where) if role == "assistant" else self._content(said, where)
        return Message(role, _marked(parts, cache_of(said)), name if isinstance(name, str) and name else None)

    def _content(self, said: Fields, where: str) -> tuple[Part, ...]:
        content = said.get("content")
        if content is None:
            return ()
        if isinstance(content, str):
            return (Text(content),)
        if isinstance(content, dict):
            content = [content]
        if not isinstance(content, list):
            raise wrong(f"{where}.content", "a string or an array of parts", content)
        self._take(content)
        for place, part in enumerate(content):
            if isinstance(part, dict) and not part.keys() <= _PART_READ:
                within = f"{where}.content[{place}]"
                self._extra.update(
                    {f"{within}.{key}": value for key, value in part.items() if value and key not in _PART_READ}
                )
        return tuple(read_part(part, f"{where}.content[{place}]") for place, part in enumerate(content))

    def _assistant(self, said: Fields, where: str) -> tuple[Part, ...]:
        """Thoughts first, then what was said, then what was called: so it is in every vendor's answers."""
        thoughts, signatures = thoughts_of(said)
        content = self._content(said, where)
        if thoughts:
            content = tuple(part for part in content if not isinstance(part, Reasoning))
        if isinstance(refusal := said.get("refusal"), str) and refusal:
            content = (*content, Refusal(refusal))
        calls = elements(said, "tool_calls", f"{where}.")
        self._take(calls)
        made = [self._call(call, f"{where}.tool_calls[{place}]", signatures) for place, call in enumerate(calls)]
        if isinstance(function := said.get("function_call"), dict) and not made:
            made = [self._call({"function": function}, f"{where}.function_call", signatures)]
        text = tuple(part for part in content if not (made and isinstance(part, Text) and not part.content))
        return (*thoughts, *text, *made)

    def _call(self, said: Any, where: str, signatures: Mapping[str, str]) -> ToolCall:
        if not isinstance(said, dict):
            raise wrong(where, "an object", said)
        function, custom = said.get("function"), said.get("custom")
        if isinstance(custom, dict) and not isinstance(function, dict):
            function = {"name": custom.get("name"), "arguments": {"input": custom.get("input")}}
        if not isinstance(function, dict):
            raise wrong(f"{where}.function", "an object", function)
        name, arguments = text_in(function, "name", f"{where}.function"), function.get("arguments")
        if not isinstance(arguments, str):
            arguments = "{}" if arguments is None else msgspec.json.encode(arguments).decode()
        given = said.get("id")
        # Some vendors give none: the place is as good a name.
        call_id = given if isinstance(given, str) and given else f"call_{'_'.join(_numbers(where))}"
        self._close(call_id)
        self._names[call_id] = name
        self._open[call_id] = None
        self._open_by_name.setdefault(name, OrderedDict())[call_id] = None
        return ToolCall(
            call_id,
            name,
            (arguments.strip() and arguments) or "{}",
            signatures.get(call_id) or signature_of(said),
            cache_of(said),
        )

    def _answer(self, said: Fields, where: str) -> ToolCallResponse:
        name = said.get("name", said.get("tool_name"))
        name = name if isinstance(name, str) else ""
        given = said.get("tool_call_id")
        call_id = given if isinstance(given, str) and given else self._unanswered(name, where)
        self._close(call_id)
        content = self._content(said, where)
        parts = tuple(part for part in content if isinstance(part, Text | Blob | Uri | File))
        if len(parts) < len(content):
            self._extra[f"{where}.content"] = said.get("content")
        failed = said.get("is_error") is True
        return ToolCallResponse(call_id, self._names.get(call_id, name), parts, failed, cache_of(said))

    def _unanswered(self, name: str, where: str) -> str:
        """The call that an answer without an id is for: the first one open of that tool, else the first one open."""
        fitting = self._open_by_name.get(name, ())
        return next(iter(fitting), None) or next(iter(self._open), None) or f"call_{'_'.join(_numbers(where))}"

    def _close(self, call_id: str) -> None:
        if call_id in self._open:
            del self._open[call_id]
            del self._open_by_name[self._names[call_id]][call_id]


_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",  # the form before there were tools
}
_MESSAGE_READ = words(
    "role content name tool_calls tool_call_id function_call refusal reasoning_content reasoning "
    "reasoning_details thinking thinking_blocks cache_control is_error tool_name id index type"
)
_PART_READ = words(
    "type text image_url input_audio file refusal audio_url video_url document_url document_name source title "
    "thinking reasoning summary signature data closed cache_control detail file_id file_data file_url filename "
    "format id index"
)


def _numbers(where: str) -> list[str]:
    return [piece.partition("]")[0] for piece in where.split("[")[1:]]


def _marked(parts: tuple[Part, ...], cache: Cache | None) -> tuple[Part, ...]:
    """A marker on the message is one on its last part that can carry it."""
    if cache is None:
        return parts
    for place in range(len(parts) - 1, -1, -1):
        part = parts[place]
        if isinstance(part, Text | Blob | Uri | File | ToolCall):
            return (*parts[:place], msgspec.structs.replace(part, cache=part.cache or cache), *parts[place + 1 :])
    return parts
