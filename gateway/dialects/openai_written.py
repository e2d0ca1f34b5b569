"""A chat as a request to OpenAI-shaped vendors: https://platform.openai.com/docs/api-reference/chat/create.

It is written as OpenAI has it. What a vendor names otherwise, or refuses, its row tells: that is done to the bytes
afterwards, as for requests that are passed through. The messages are in ``openai_turns``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

from gateway.abilities import Abilities, by_name
from gateway.chat import ChatRequest, Encoded, Message, Output, Text, Tool
from gateway.dialects.openai_strict import is_strict, loses_strict
from gateway.dialects.openai_turns import Names, Turns, cache_control, legal

MOST_STOPS = 4
LONGEST_USER = 64
"""Of ``user``, and of what else names one: https://platform.openai.com/docs/guides/safety-best-practices"""

# OpenAI's own fields that are no words of the hub.
OWN_FIELDS = frozenset(
    (
        *("logit_bias", "prediction", "modalities", "audio", "web_search_options", "moderation"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "store"),
    )
)
_FULL_PRICE = "default"
# What Anthropic and Gemini say, and OpenAI's and Groq's own words.
SERVICE_TIERS: Mapping[str, str] = {
    "standard": _FULL_PRICE,
    "standard_only": _FULL_PRICE,
    **{name: name for name in ("auto", _FULL_PRICE, "flex", "scale", "priority", "on_demand", "performance")},
}


def encode_request(request: ChatRequest, able: Abilities) -> Encoded:
    dropped: list[str] = []
    names = Names()
    turns = Turns(names, dropped)
    body: dict[str, Any] = {"model": request.model, "messages": turns.written(request.messages)}
    if request.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    body |= _tools(request, names, dropped)
    body |= _output(request, able, body["messages"], dropped)
    body |= _sampling(request, able, dropped)
    body |= _thinking(request, able, dropped)
    body |= _about_the_caller(request, dropped)
    for name, value in request.extra.items():
        if name in OWN_FIELDS:
            body[name] = value
        elif not _granted(name, value):
            dropped.append(name)
    return Encoded(body=body, dropped=tuple(dict.fromkeys(dropped)), tool_names=names.changed)


def _granted(name: str, value: Any) -> bool:
    """What is so without being said: nothing, and that usage is told."""
    return value is None or name == "stream_options"


# Tools and output -----------------------------------------------------------------------------------------------------


def _tools(request: ChatRequest, names: Names, dropped: list[str]) -> dict[str, Any]:
    """1. Without tools there is nothing to choose, and to say so is refused. 2. Only OpenAI itself can be told which
    tools are allowed (``allowed_tools``): for all vendors the others are left out."""
    choice = request.tool_choice
    known = {tool.name for tool in request.tools}
    allowed = known.intersection(choice.names) if choice else set()
    if choice and choice.names and not allowed:
        dropped.append("tool_choice")
        choice = None
    if not request.tools:
        if choice and choice.mode == "required":
            dropped.append("tool_choice")
        return {}
    one = next(iter(allowed)) if choice and choice.mode == "named" and len(allowed) == 1 else None
    offered = [tool for tool in request.tools if one or not allowed or tool.name in allowed]
    said: dict[str, Any] = {"tools": [_tool(tool, names) for tool in offered]}
    dropped += [f"tools[{at}].function.strict" for at, tool in enumerate(request.tools) if loses_strict(tool)]
    if one:
        said["tool_choice"] = {"type": "function", "function": {"name": names.of(one)}}
    elif choice:
        said["tool_choice"] = "required" if choice.mode == "named" else choice.mode
    if request.parallel_tool_calls is False:
        # True is what happens unless told otherwise, and some models refuse to be told.
        said["parallel_tool_calls"] = False
    return said


def _tool(tool: Tool, names: Names) -> dict[str, Any]:
    function: dict[str, Any] = {"name": names.of(tool.name)}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        # "object schema missing properties": https://platform.openai.com/docs/guides/function-calling
        function["parameters"] = {"type": "object", "properties": {}} | tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict and not loses_strict(tool)
    marker = {"cache_control": cache_control(tool.cache)} if tool.cache else {}
    return {"type": "function", "function": function, **marker}


_AS_JSON = "Answer in JSON."


def _output(request: ChatRequest, able: Abilities, messages: list[Any], dropped: list[str]) -> dict[str, Any]:
    """1. A schema. 2. Any JSON: that is refused where nobody speaks of JSON, as other vendors' clients need not."""
    output = request.output
    if output is None:
        return {}
    if output.schema is not None and able.schema is not False:
        return {"response_format": {"type": "json_schema", "json_schema": _schema(output, output.schema, dropped)}}
    if output.schema is not None:
        dropped.append("response_format.json_schema")
    if not any(map(_speaks_of_json, request.messages)):
        messages.insert(0, {"role": "system", "content": _AS_JSON})
    return {"response_format": {"type": "json_object"}}


def _speaks_of_json(message: Message) -> bool:
    return any("json" in part.content.lower() for part in message.parts if isinstance(part, Text))


def _schema(output: Output, schema: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = {"name": legal(output.name or "answer"), "schema": schema}
    if output.description is not None:
        said["description"] = output.description
    if output.strict is not None:
        said["strict"] = output.strict and is_strict(schema)
        dropped += ["response_format.json_schema.strict"] if said["strict"] != output.strict else []
    return said


# Parameters -----------------------------------------------------------------------------------------------------------


def _sampling(request: ChatRequest, able: Abilities, dropped: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "max_completion_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": [*request.stop[:MOST_STOPS]] or None,
        "seed": request.seed,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "n": request.choices if request.choices > 1 else None,
    }
    if not able.sampling:
        for name in ("temperature", "top_p"):
            dropped += [] if said[name] in (None, 1) else [name]
            said[name] = None
    dropped += [f"stop[{place}]" for place in range(MOST_STOPS, len(request.stop))]
    # Vendors that take it are many, and OpenAI refuses it.
    dropped += ["top_k"] if request.top_k is not None else []
    if request.logprobs and not request.stream:
        said |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    else:
        # No event of a stream holds them; the most likely ones alone are refused.
        dropped += request.said("logprobs", "top_logprobs")
    return {name: value for name, value in said.items() if value is not None}


# From the least to the most.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {0: "none", 2048: "low", 8192: "medium"}
"""The most tokens to think with -> how much effort that is."""

_USUAL = ("low", "medium", "high")
LEVELS: Mapping[str, tuple[str, ...]] = {
    # https://platform.openai.com/docs/guides/reasoning
    "gpt-5*-chat*": (),
    "gpt-5": ("minimal", *_USUAL),
    "gpt-5-codex*": _USUAL,
    "gpt-5-pro*": ("high",),
    "gpt-5-*": ("minimal", *_USUAL),
    "gpt-5.[2-9]*-pro*": ("medium", "high", "xhigh"),
    "gpt-5.1-codex-max*": ("none", *_USUAL, "xhigh"),
    "gpt-5.1*": ("none", *_USUAL),
    "gpt-[5-9].[0-9]*": ("none", *_USUAL, "xhigh"),
    "gpt-[6-9]*": ("none", *_USUAL, "xhigh"),
    # https://ai.google.dev/gemini-api/docs/openai#thinking
    "gemini-2.5-flash*": ("none", *_USUAL),
    "*": _USUAL,
}
"""Pattern of the bare model id -> the efforts it can be told, first match first."""


@lru_cache(maxsize=1024)
def _levels(model: str) -> tuple[str, ...]:
    found = by_name(LEVELS, (model,))
    return _USUAL if found is None else found


def _thinking(request: ChatRequest, able: Abilities, dropped: list[str]) -> dict[str, Any]:
    """1. Nothing is asked but that the model decide, as it does unasked. 2. It cannot be told. 3. The nearest level."""
    asked = request.thinking
    effort = (asked.effort or _effort_of(asked.budget)) if asked else None
    if asked is None or effort is None:
        return {}
    said = "reasoning_effort" if asked.effort else "thinking"
    levels = _levels(request.model)
    if able.thinking in ("none", "always") or not levels:
        dropped += [] if effort == "none" and able.thinking != "always" else [said]
        return {}
    if effort == "none" and "none" not in levels:
        # Not to think at all is the least a model can be told only where it knows it.
        dropped.append(said)
        return {"reasoning_effort": "minimal"} if "minimal" in levels else {}
    return {"reasoning_effort": _nearest(effort, levels)}


def _effort_of(budget: int | None) -> str | None:
    if budget is None:
        return None
    return next((effort for most, effort in _BUDGETS.items() if budget <= most), "high")


def _nearest(effort: str, levels: tuple[str, ...]) -> str:
    """The same or the next lower one, else the lowest. One that nobody knows is the vendor's to judge."""
    if effort not in EFFORTS:
        return effort
    within = [level for level in levels if EFFORTS.index(level) <= EFFORTS.index(effort)]
    return within[-1] if within else next(level for level in levels if level != "none")


# Who asks -------------------------------------------------------------------------------------------------------------


def _about_the_caller(request: ChatRequest, dropped: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    metadata = dict(request.metadata or {})
    user = request.user
    if not user and isinstance(metadata.get("user_id"), str):
        user = metadata.pop("user_id")
    if user:
        # Longer ones are refused; Claude Code packs three names into one.
        said["user"] = user if len(user) <= LONGEST_USER else sha256(user.encode(errors="replace")).hexdigest()
    if metadata and request.extra.get("store") is True and all(isinstance(each, str) for each in metadata.values()):
        # It is refused unless the answer is stored.
        said["metadata"] = metadata
    elif metadata:
        dropped.append("metadata")
    if request.service_tier:
        if tier := SERVICE_TIERS.get(request.service_tier):
            said["service_tier"] = tier
        else:
            dropped.append("service_tier")
    if request.verbosity:
        said["verbosity"] = request.verbosity
    return said
