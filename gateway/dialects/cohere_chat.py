"""Cohere's chat, version 2: https://docs.cohere.com/reference/chat. How answers are read is in ``cohere_answers``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from gateway.abilities import Abilities
from gateway.chat import (
    Blob,
    ChatRequest,
    Encoded,
    Message,
    Output,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolCallResponse,
    Uri,
)
from gateway.dialects.cohere_answers import SIGNED as SIGNED
from gateway.dialects.cohere_answers import decode_answer as decode_answer
from gateway.dialects.cohere_answers import stream_decoder as stream_decoder
from gateway.dialects.pairing import Results

NAME = "cohere_chat"
REFERS = ("https:",)

# Request --------------------------------------------------------------------------------------------------------------

# Fields of Cohere's own that clients may send along with OpenAI's.
_OWN = frozenset(("citation_options", "documents", "k", "p", "priority", "safety_mode", "strict_tools"))
_BUDGET = "thinking.token_budget"
_MOST_STOPS = 5
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 4096}  # of tokens; more effort than that goes without a limit


def encode_request(request: ChatRequest, able: Abilities) -> Encoded:
    dropped: list[str] = []
    names = _tool_names(request)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": _Conversation(request.messages, names, dropped).written(),
    }
    if request.stream:
        body["stream"] = True
    body.update(_sampling(request, dropped))
    body.update(_tools(request, names, dropped))
    body.update(_output(request, dropped))
    body.update(_thinking(request, able, dropped))
    _own(request, body, dropped)
    dropped += request.said("n", "top_logprobs", "user", "metadata", "service_tier", "verbosity")
    changed = {written: name for name, written in names.items() if written != name}
    return Encoded(body=body, dropped=tuple(dict.fromkeys(dropped)), tool_names=changed)


def _sampling(request: ChatRequest, dropped: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = {"max_tokens": request.max_tokens, "temperature": request.temperature, "seed": request.seed}
    if request.top_p is not None:
        said["p"] = _within(request.top_p, 0.01, 0.99)
    if request.top_k is not None:
        said["k"] = int(_within(request.top_k, 0, 500))
    for name in ("frequency_penalty", "presence_penalty"):
        penalty = getattr(request, name)
        if penalty is not None:
            said[name] = _within(penalty, 0.0, 1.0)
            if said[name] != penalty:
                dropped.append(name)
    if request.stop:
        said["stop_sequences"] = list(request.stop[:_MOST_STOPS])
        dropped += [f"stop[{place}]" for place in range(_MOST_STOPS, len(request.stop))]
    if request.logprobs and request.stream:
        dropped.append("logprobs")
    elif request.logprobs:
        said["logprobs"] = True
    return {name: value for name, value in said.items() if value is not None}


def _within(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


def _tools(request: ChatRequest, names: Mapping[str, str], dropped: list[str]) -> dict[str, Any]:
    """1. A tool that must be called is the only one on offer. 2. ``auto`` is what happens unless told otherwise."""
    choice = request.tool_choice
    offered = [(place, tool) for place, tool in enumerate(request.tools) if _is_offered(tool, request)]
    if not offered:
        if choice and choice.mode in ("required", "named"):
            dropped.append("tool_choice")
        return {}
    body: dict[str, Any] = {"tools": [_tool(tool, names) for _, tool in offered]}
    if choice and choice.mode != "auto":
        body["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"
    if all(tool.strict and _requires(tool) for _, tool in offered):
        body["strict_tools"] = True
    else:
        dropped += [f"tools[{place}].function.strict" for place, tool in offered if tool.strict]
    dropped += [f"tools[{place}].cache_control" for place, tool in offered if tool.cache]
    if request.parallel_tool_calls is False:
        dropped.append("parallel_tool_calls")
    return body


def _is_offered(tool: Tool, request: ChatRequest) -> bool:
    choice = request.tool_choice
    if choice is None or choice.mode == "none":
        return True
    return tool.name in choice.names or not any(each.name in choice.names for each in request.tools)


def _requires(tool: Tool) -> bool:
    """With strict tools each must have a required parameter: https://docs.cohere.com/docs/structured-outputs."""
    return bool((tool.parameters or {}).get("required"))


def _tool(tool: Tool, names: Mapping[str, str]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": names[tool.name]}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


_LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _tool_names(request: ChatRequest) -> dict[str, str]:
    """The client's name of each tool -> Cohere's, which knows letters, digits and underscores alone."""
    called = (part.name for message in request.messages for part in message.parts if isinstance(part, ToolCall))
    known = dict.fromkeys((*(tool.name for tool in request.tools), *called))
    names = {name: name for name in known if _LEGAL.fullmatch(name)}
    for name in known:
        if name not in names:
            written = re.sub(r"[^A-Za-z0-9_]", "_", name)
            written = written if _LEGAL.fullmatch(written) else f"_{written}"
            taken = written in names.values()
            names[name] = f"{written}_{sha256(name.encode()).hexdigest()[:8]}" if taken else written
    return names


def _output(request: ChatRequest, dropped: list[str]) -> dict[str, Any]:
    """Not beside tools or documents: https://docs.cohere.com/reference/chat#request.body.response_format."""
    if request.output is None:
        return {}
    if request.tools or request.extra.get("documents"):
        dropped.append("response_format")
        return {}
    return {"response_format": _format(request.output, dropped)}


def _format(output: Output, dropped: list[str]) -> dict[str, Any]:
    if output.description:
        dropped.append("response_format.json_schema.description")
    if output.schema is None:
        return {"type": "json_object"}
    schema = _plain(output.schema)
    if schema != output.schema:
        dropped.append("response_format.json_schema.schema")
    return {"type": "json_object", "schema": schema}


# https://docs.cohere.com/docs/structured-outputs#unsupported-schema-features
_UNSUPPORTED = frozenset(
    (
        *("allOf", "oneOf", "not"),
        *("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "multipleOf"),
        *("minItems", "maxItems", "uniqueItems", "minLength", "maxLength"),
    )
)
_FORMATS = frozenset(("date-time", "uuid", "date", "time"))
_UNSUPPORTED_PATTERN = re.compile(r"\(\?[=!<]|(?<!\\)[\^$]")


def _plain(schema: Any) -> Any:
    """The schema without what Cohere cannot be told: looser than it was, never another."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key in _UNSUPPORTED or (key == "format" and value not in _FORMATS):
            continue
        if key == "pattern" and _UNSUPPORTED_PATTERN.search(str(value)):
            continue
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            kept[key] = {name: _plain(each) for name, each in value.items()}
        else:
            kept[key] = value if key in ("enum", "const", "default", "examples", "required") else _plain(value)
    return kept


def _thinking(request: ChatRequest, able: Abilities, dropped: list[str]) -> dict[str, Any]:
    asked = request.thinking
    if asked is None:
        return {}
    off = asked.effort == "none" or asked.budget == 0
    if able.thinking == "none":
        if not off:
            dropped.append("reasoning_effort" if asked.effort else "thinking")
        return {}
    if off:
        return {"thinking": {"type": "disabled"}}
    said: dict[str, Any] = {"type": "enabled"}
    own = request.extra.get(_BUDGET)
    budget = own if isinstance(own, int) else asked.budget or _BUDGETS.get(asked.effort or "")
    if budget and request.max_tokens and budget >= request.max_tokens:
        budget = request.max_tokens // 2  # or nothing would be left to answer with
    if budget:
        said["token_budget"] = budget
    return {"thinking": said}


def _own(request: ChatRequest, body: dict[str, Any], dropped: list[str]) -> None:
    """What only Cohere's clients say."""
    for name, value in request.extra.items():
        if name in _OWN:
            body.setdefault(name, value)
        elif not (name == _BUDGET and "thinking" in body):
            dropped.append(name)


class _Conversation:
    """The messages as Cohere takes them: right after calls one result for each, and no result without a call."""

    def __init__(self, messages: tuple[Message, ...], names: Mapping[str, str], dropped: list[str]) -> None:
        self._messages, self._names, self._dropped = messages, names, dropped
        self._results = Results(messages)

    def written(self) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for place, message in enumerate(self._messages):
            if message.name:
                self._dropped.append(f"messages[{place}].name")
            if message.role == "tool":
                out += [] if place in self._results.placed else self._without_call(place)
            elif message.role == "assistant":
                out += self._assistant(place)
            else:
                out += self._spoken(place, "user" if message.role == "user" else "system")
        return out or [{"role": "user", "content": "(no message)"}]

    def _spoken(self, place: int, role: str) -> list[dict[str, Any]]:
        blocks = self._blocks(place, self._messages[place].parts, f"messages[{place}].content")
        if not blocks:
            self._dropped.append(f"messages[{place}]")  # an empty message is refused
            return []
        return [{"role": role, "content": _short(blocks)}]

    def _assistant(self, place: int) -> list[dict[str, Any]]:
        parts = self._messages[place].parts
        calls = [part for part in parts if isinstance(part, ToolCall)]
        plan = [part.opaque for part in parts if isinstance(part, Reasoning) and part.format == SIGNED and part.opaque]
        blocks = self._thoughts(place) + (said := self._blocks(place, parts, f"messages[{place}].content"))
        if not calls:
            return [{"role": "assistant", "content": _short(blocks)}] if blocks else []
        # Text beside calls is the plan: https://docs.cohere.com/docs/tool-use-overview
        plan += [block["text"] for block in said]
        message: dict[str, Any] = {"role": "assistant"}
        if plan:
            message["tool_plan"] = "\n".join(plan)
        if len(blocks) > len(said):
            message["content"] = blocks[: len(blocks) - len(said)]
        ids = _unique([call.id for call in calls])
        message["tool_calls"] = [self._call(call, own) for call, own in zip(calls, ids, strict=True)]
        self._dropped += [
            f"messages[{place}].tool_calls[{at}].cache_control" for at, call in enumerate(calls) if call.cache
        ]
        return [message, *self._answers(place, [(call.id, own) for call, own in zip(calls, ids, strict=True)])]

    def _thoughts(self, place: int) -> list[dict[str, Any]]:
        blocks = []
        for part in self._messages[place].parts:
            if isinstance(part, Reasoning) and part.format != SIGNED:
                self._dropped.append(f"messages[{place}].reasoning_content")
            elif isinstance(part, Reasoning) and part.content:
                blocks.append({"type": "thinking", "thinking": part.content})
        return blocks

    def _call(self, call: ToolCall, own: str) -> dict[str, Any]:
        function = {"name": self._names[call.name], "arguments": _arguments(call.arguments)}
        return {"id": own, "type": "function", "function": function}

    def _answers(self, place: int, calls: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """The results of these calls (the client's id, Cohere's); a call that nobody answered is told to be one."""
        answers = self._results.answering(place, calls)
        out = [
            {"role": "tool", "tool_call_id": answers[at], "content": self._result(at, part)}
            for at in sorted(answers)
            for part in self._messages[at].parts
            if isinstance(part, ToolCallResponse)
        ]
        answered = set(answers.values())
        missing = [own for _, own in calls if own not in answered]
        return out + [{"role": "tool", "tool_call_id": own, "content": "No result."} for own in missing]

    def _result(self, place: int, part: ToolCallResponse) -> Any:
        where = f"messages[{place}]"
        if part.cache:
            self._dropped.append(f"{where}.cache_control")
        if part.failed:
            self._dropped.append(f"{where}.is_error")
        blocks = self._blocks(place, part.parts, f"{where}.content", texts_only=True)
        return _short(blocks) if blocks else "(empty)"

    def _without_call(self, place: int) -> list[dict[str, Any]]:
        """A result whose call is gone (cut off with the start of a long conversation) is something that was said."""
        parts = (part for part in self._messages[place].parts if isinstance(part, ToolCallResponse))
        return [{"role": "user", "content": self._result(place, part)} for part in parts]

    def _blocks(
        self, place: int, parts: tuple[Part, ...], where: str, texts_only: bool = False
    ) -> list[dict[str, Any]]:
        texts_only = texts_only or self._messages[place].role != "user"
        blocks: list[dict[str, Any]] = []
        said = [part for part in parts if not isinstance(part, Reasoning | ToolCall | ToolCallResponse)]
        for at, part in enumerate(said):
            if getattr(part, "cache", None):
                self._dropped.append(f"{where}[{at}].cache_control")
            if isinstance(part, Text | Refusal):
                blocks += [{"type": "text", "text": part.content}] if part.content else []
            elif isinstance(part, Blob | Uri) and part.modality == "image" and not texts_only:
                blocks.append({"type": "image_url", "image_url": _image(part)})
            else:
                self._dropped.append(f"{where}[{at}]")
        return blocks


def _unique(ids: list[str]) -> list[str]:
    """Some clients name the calls of one message alike."""
    unique: dict[str, None] = {}
    repeats: Counter[str] = Counter()
    for each in ids:
        own = each
        while own in unique:
            repeats[each] += 1
            own = f"{each}_{repeats[each] + 1}"
        unique[own] = None
    return [*unique]


def _short(blocks: list[dict[str, Any]]) -> Any:
    """A text alone is a string."""
    return blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks


def _image(part: Blob | Uri) -> dict[str, str]:
    url = part.uri if isinstance(part, Uri) else f"data:{part.mime_type};base64,{part.content}"
    return {"url": url, "detail": part.detail} if part.detail else {"url": url}


def _arguments(text: str) -> str:
    """Anything but a JSON object is refused."""
    try:
        said = msgspec.json.decode(text or "{}")
    except (ValueError, RecursionError):
        said = text
    if isinstance(said, dict):
        return text or "{}"
    return msgspec.json.encode({"arguments": said}).decode()
