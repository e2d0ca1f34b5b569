"""A chat as a request to OpenAI's Responses: https://platform.openai.com/docs/api-reference/responses/create

Nothing is stored at the vendor: the whole conversation goes every time, and thoughts go and come encrypted.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from gateway.abilities import Abilities
from gateway.chat import ChatRequest, Encoded, Tool
from gateway.dialects.anthropic_turns import digest
from gateway.dialects.openai_strict import is_strict, loses_strict
from gateway.dialects.responses_items import Items, Names

Body = dict[str, Any]

JSON: Body = {"type": "json_object"}
FEWEST_TOKENS = 16
"""Fewer are refused: "Expected a value >= 16"."""
LONGEST_USER = 64
MOST_METADATA = 16

TIERS: Mapping[str, str] = {
    **{tier: tier for tier in ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")},
    "standard": "default",
    "standard_only": "default",
}
OWN_FIELDS = frozenset(
    (
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "truncation"),
        *("max_tool_calls", "moderation", "access_programs", "context_management", "image"),
    )
)
"""What is Responses' own, or is said in OpenAI's chat by the same name."""
BUILT_IN = frozenset(
    (
        *("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"),
        *("file_search", "code_interpreter", "mcp"),
    )
)
"""Tools that run at the vendor, and whose results are in what it says then."""


def encode_request(request: ChatRequest, able: Abilities) -> Encoded:
    dropped: list[str] = []
    customs = _customs(request)
    names = Names(customs)
    items = Items(names, dropped)
    items.write(request.messages)
    body: Body = {"model": request.model}
    if items.instructions:
        body["instructions"] = items.instructions
    body["input"] = items.written
    tools = _tools(request, names, customs, dropped)
    if tools:
        body["tools"] = tools
    body |= _choosing(request, names, bool(tools), dropped)
    reasoning = _reasoning(request, able, dropped)
    if reasoning:
        body["reasoning"] = reasoning
    if text := _text(request, dropped):
        body["text"] = text
        if text.get("format") == JSON:
            items.speak_of_json()
    body |= _sampling(request, able, reasoning, dropped)
    body |= _about_the_caller(request, dropped)
    body |= _extra(request, dropped)
    if include := _included(request, able, reasoning):
        body["include"] = include
    body["store"] = request.extra.get("store") is True
    if request.stream:
        body["stream"] = True
    return Encoded(body=body, dropped=tuple(dict.fromkeys(dropped)), tool_names=names.changed)


# Tools ----------------------------------------------------------------------------------------------------------------


def _customs(request: ChatRequest) -> Mapping[str, Body]:
    """What the client said of tools that take a text and not JSON, by their names."""
    said = (value for key, value in request.extra.items() if _is_custom(key, value))
    return {each["name"]: each for each in said}


def _is_custom(key: str, value: Any) -> bool:
    ours = key.startswith("tools[") and key.endswith("].custom")
    return ours and isinstance(value, dict) and isinstance(value.get("name"), str)


def _is_built_in(key: str, value: Any) -> bool:
    kind = value.get("type") if key.startswith("tools[") and isinstance(value, dict) else None
    return isinstance(kind, str) and kind in BUILT_IN


def _tools(request: ChatRequest, names: Names, customs: Mapping[str, Body], dropped: list[str]) -> list[Body]:
    if any(tool.cache for tool in request.tools):
        dropped.append("cache_control")
    tools = [
        _custom_tool(tool, customs[tool.name], names) if tool.name in customs else _function(tool, names)
        for tool in request.tools
    ]
    dropped += [f"tools[{at}].function.strict" for at, tool in enumerate(request.tools) if loses_strict(tool)]
    return tools + [value for key, value in request.extra.items() if _is_built_in(key, value)]


def _function(tool: Tool, names: Names) -> Body:
    written: Body = {"type": "function", "name": names.of(tool.name)}
    if tool.description is not None:
        written["description"] = tool.description
    # "Object schema missing properties" is a 400, and so is a schema of anything but an object.
    written["parameters"] = {"type": "object", "properties": {}, **(tool.parameters or {})}
    # Left out it is true here, and false in chat.
    written["strict"] = bool(tool.strict) and not loses_strict(tool)
    return written


def _custom_tool(tool: Tool, said: Body, names: Names) -> Body:
    """The grammar lies one level deeper in chat."""
    written: Body = {"type": "custom", "name": names.of(tool.name)}
    if tool.description is not None:
        written["description"] = tool.description
    if isinstance(form := said.get("format"), dict):
        inner = form.get("grammar")
        written["format"] = {"type": form.get("type"), **inner} if isinstance(inner, dict) else form
    return written


def _choosing(request: ChatRequest, names: Names, has_tools: bool, dropped: list[str]) -> Body:
    asked = request.tool_choice
    if not has_tools:
        dropped += ["tool_choice"] if asked and asked.mode in ("required", "named") else []
        return {}
    body: Body = {}
    if asked and asked.names:
        chosen = [_named(name, names) for name in asked.names]
        several = {"type": "allowed_tools", "mode": "auto" if asked.mode == "auto" else "required", "tools": chosen}
        body["tool_choice"] = chosen[0] if asked.mode == "named" and len(chosen) == 1 else several
    elif asked:
        body["tool_choice"] = "required" if asked.mode == "named" else asked.mode
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _named(name: str, names: Names) -> Body:
    return {"type": "custom" if name in names.freeform else "function", "name": names.of(name)}


# Thinking and text ----------------------------------------------------------------------------------------------------

ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
EFFORTS: Mapping[str, tuple[str, ...]] = {
    "gpt-5-pro*": ("high",),
    "gpt-5*-pro*": ("medium", "high", "xhigh"),
    "gpt-5.1-codex-max*": ("low", "medium", "high", "xhigh"),
    "gpt-5-codex*": ("low", "medium", "high"),
    "gpt-5.1-codex*": ("low", "medium", "high"),
    "gpt-5.[23]-codex*": ("low", "medium", "high", "xhigh"),
    "gpt-5.1*": ("none", "low", "medium", "high"),
    "gpt-5.[2-5]*": ("none", "low", "medium", "high", "xhigh"),
    "gpt-5.*": ("none", "low", "medium", "high", "xhigh", "max"),
    "gpt-5*": ("minimal", "low", "medium", "high"),
    "gpt-6*": ("none", "low", "medium", "high", "xhigh", "max"),
    "o[134]*": ("low", "medium", "high"),
    "codex-mini*": ("low", "medium", "high"),
}
"""How much each model can be told to think: https://developers.openai.com/api/docs/guides/reasoning"""
BUDGETS = {"low": 2048, "medium": 8192, "high": 24576}
"""The tokens up to which a budget is this effort, as other vendors' models are told to think by one."""


def _reasoning(request: ChatRequest, able: Abilities, dropped: list[str]) -> Body:
    """A summary only for who asked for thoughts: OpenAI tells it to verified organisations alone, and chat never."""
    asked = request.thinking
    said = {key.removeprefix(_MORE): value for key, value in request.extra.items() if key.startswith(_MORE)}
    more = {key: value for key, value in said.items() if key in ("summary", "context", "mode")}
    if asked is None:
        return more
    name = "reasoning_effort" if asked.effort else "thinking"
    off = asked.effort == "none" or asked.budget == 0
    if able.thinking == "none":
        dropped += [] if off else [name]
        return {}
    wanted = "none" if off else asked.effort or _by_budget(asked.budget)
    reasoning: Body = {}
    if wanted and (effort := _effort(wanted, request.model)):
        reasoning["effort"] = effort
        dropped += [name] if off and effort != "none" else []
    if not off and (asked.budget or asked.adaptive):
        reasoning["summary"] = "auto"
    return {**reasoning, **more}


_MORE = "reasoning."


def _by_budget(budget: int | None) -> str | None:
    if budget is None:
        return None
    return next((effort for effort, most in BUDGETS.items() if budget <= most), "high")


def _effort(wanted: str, model: str) -> str:
    """The nearest that this model knows; models that are not known here know their own."""
    bare = model.lower().rpartition("/")[2]
    known = next((efforts for glob, efforts in EFFORTS.items() if fnmatchcase(bare, glob)), None)
    if known is None or wanted in known or wanted not in ORDER:
        return wanted
    return min(known, key=lambda effort: (abs(ORDER.index(effort) - ORDER.index(wanted)), ORDER.index(effort)))


def _text(request: ChatRequest, dropped: list[str]) -> Body:
    text: Body = {}
    if output := request.output:
        if output.schema is None:
            text["format"] = JSON
        else:
            named = Names().of(output.name or "answer")
            text["format"] = {"type": "json_schema", "name": named, "schema": output.schema}
            if output.description is not None:
                text["format"]["description"] = output.description
            # Whether it was said or not, false is chat's default.
            text["format"]["strict"] = bool(output.strict) and is_strict(output.schema)
            dropped += ["response_format.json_schema.strict"] if output.strict and not is_strict(output.schema) else []
    if request.verbosity:
        text["verbosity"] = request.verbosity
    return text


# The rest -------------------------------------------------------------------------------------------------------------


def _sampling(request: ChatRequest, able: Abilities, reasoning: Body, dropped: list[str]) -> Body:
    body: Body = {}
    if request.max_tokens is not None:
        body["max_output_tokens"] = max(request.max_tokens, FEWEST_TOKENS)
        dropped += ["max_tokens"] if request.max_tokens < FEWEST_TOKENS else []
    said = {"temperature": request.temperature, "top_p": request.top_p}
    given = {name: value for name, value in said.items() if value is not None}
    # Models that think take none of it while they do: "Unsupported parameter: 'temperature' is not supported …".
    if able.sampling or reasoning.get("effort") == "none":
        body |= given
    else:
        dropped += [name for name, value in given.items() if value != 1]
    if not _tells_logprobs(request, able):
        dropped += request.said("logprobs", "top_logprobs")
    elif request.top_logprobs is not None:
        body["top_logprobs"] = request.top_logprobs
    dropped += request.said("top_k", "stop", "seed", "frequency_penalty", "presence_penalty", "n")
    return body


def _tells_logprobs(request: ChatRequest, able: Abilities) -> bool:
    """In whole answers, where the hub has a place for them, and by models that do not think."""
    return request.logprobs and not request.stream and able.sampling


def _included(request: ChatRequest, able: Abilities, reasoning: Body) -> list[str]:
    """Models that do not think refuse to be asked: "Encrypted content is not supported with this model"."""
    thinks = able.thinking not in (None, "none") or bool(reasoning)
    wanted = ["reasoning.encrypted_content"] if thinks else []
    if _tells_logprobs(request, able):
        wanted.append("message.output_text.logprobs")
    asked = request.extra.get("include")
    more = [each for each in asked if isinstance(each, str)] if isinstance(asked, list) else []
    return list(dict.fromkeys((*wanted, *more)))


def _about_the_caller(request: ChatRequest, dropped: list[str]) -> Body:
    body: Body = {}
    given = request.metadata or {}
    metadata = {key: value for key, value in given.items() if len(key) <= 64 and isinstance(value, str)}
    metadata = {key: value for key, value in [*metadata.items()][:MOST_METADATA] if len(value) <= 512}
    if metadata:
        body["metadata"] = metadata
    if len(metadata) < len(given):
        dropped.append("metadata")
    if request.user:
        body["user"] = request.user if len(request.user) <= LONGEST_USER else digest(request.user)
    if request.service_tier:
        if tier := TIERS.get(request.service_tier):
            body["service_tier"] = tier
        else:
            dropped.append("service_tier")
    return body


def _extra(request: ChatRequest, dropped: list[str]) -> Body:
    """Writes what is Responses' own, and names what it has no place for."""
    body: Body = {}
    for name, value in request.extra.items():
        # Anthropic has a field of the same name; here it is a list.
        if name in OWN_FIELDS and not (name == "context_management" and isinstance(value, dict)):
            body[name] = value
        elif not (_is_taken(name, value) or _is_granted(name, value)):
            dropped.append(name)
    return body


def _is_taken(name: str, value: Any) -> bool:
    """Read elsewhere in this file."""
    return (
        name in ("store", "include", "reasoning.summary", "reasoning.context", "reasoning.mode")
        or _is_custom(name, value)
        or _is_built_in(name, value)
    )


def _is_granted(name: str, value: Any) -> bool:
    """What is so without being said: usage is always told, text is all that comes."""
    return value is None or name == "stream_options" or (name == "modalities" and value == ["text"])
