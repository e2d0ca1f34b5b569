"""A Gemini request read into the hub: https://ai.google.dev/api/generate-content#request-body

Every name may be spelled in camelCase or in snake_case, as in all JSON of Google's:
https://protobuf.dev/programming-guides/json/. What the hub has no word for is in ``extra`` under its place:
``generationConfig.speechConfig``, ``contents[2].parts[0].executableCode``, ``tools[1].googleSearch``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.chat import ChatRequest, Output, Thinking, Tool, ToolChoice
from gateway.dialects.fields import elements, flag, mapping, number, object_of, string, strings, whole, words
from gateway.dialects.gemini_schema import json_schema, tidy
from gateway.dialects.gemini_turns import Turns
from gateway.dialects.openai_parts import Fields, text_in, wrong
from gateway.dialects.openai_request import MOST_TOOLS
from gateway.errors import CallerError


def decode_request(body: bytes) -> ChatRequest:
    """Model and stream are the path's to say. Raises ``CallerError`` (400) with where and what."""
    try:
        return _read(tidy(object_of(body)))
    except RecursionError:
        raise CallerError(400, "invalid_value", "the body is nested too deeply") from None


_READ = words("contents systemInstruction tools toolConfig generationConfig serviceTier model")


def _read(said: Fields) -> ChatRequest:
    extra = {name: value for name, value in said.items() if name not in _READ and _asks(value)}
    turns = Turns(extra)
    turns.instruct(said.get("systemInstruction"))
    turns.read(said.get("contents"))
    generation = tidy(mapping(said, "generationConfig") or {})
    extra.update({f"{_IN}{name}": value for name, value in generation.items() if _is_left(name, value)})
    return ChatRequest(
        model="",
        messages=tuple(turns.messages),
        tools=_tools(said.get("tools"), extra),
        tool_choice=_tool_choice(said, extra),
        output=_output(generation, extra),
        max_tokens=_whole(generation, "maxOutputTokens"),
        temperature=number(generation, "temperature", _IN),
        top_p=number(generation, "topP", _IN),
        top_k=_whole(generation, "topK"),
        stop=strings(generation, "stopSequences"),
        seed=_whole(generation, "seed"),
        frequency_penalty=number(generation, "frequencyPenalty", _IN),
        presence_penalty=number(generation, "presencePenalty", _IN),
        choices=_whole(generation, "candidateCount") or 1,
        logprobs=flag(generation, "responseLogprobs", _IN) or False,
        top_logprobs=_whole(generation, "logprobs"),
        thinking=_thinking(generation, extra),
        service_tier=_service_tier(said, extra),
        extra=extra,
    )


def _asks(value: Any) -> bool:
    """Nothing, by whatever name, is no reason to tell anyone that it was dropped."""
    return value not in (None, False, "") and value != [] and value != {}


# How to answer --------------------------------------------------------------------------------------------------------

_IN = "generationConfig."
_READ_OF_GENERATION = words(
    "maxOutputTokens temperature topP topK stopSequences seed frequencyPenalty presencePenalty candidateCount "
    "responseLogprobs logprobs thinkingConfig responseMimeType responseSchema responseJsonSchema _responseJsonSchema"
)


def _is_left(name: str, value: Any) -> bool:
    if name == "responseModalities" and isinstance(value, list):
        return any(str(each).upper() != "TEXT" for each in value)
    return name not in _READ_OF_GENERATION and _asks(value)


def _whole(said: Fields, name: str, where: str = _IN) -> int | None:
    """Whole numbers may be strings."""
    value = said.get(name)
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 20:
        return int(value)
    return whole(said, name, None, where)


_JSON, _PLAIN = "application/json", "text/plain"


def _output(generation: Fields, extra: Fields) -> Output | None:
    kind = string(generation, "responseMimeType", _IN)
    schema = None
    for name in ("responseJsonSchema", "_responseJsonSchema"):
        schema = schema or mapping(generation, name, _IN)
    if schema is None and "responseSchema" in generation:
        schema = json_schema(generation["responseSchema"], f"{_IN}responseSchema")
    if kind in (None, "", _JSON):
        return Output(schema) if schema or kind else None
    if kind != _PLAIN:
        # ``text/x.enum``: one of some words, and no JSON around it.
        extra[f"{_IN}responseMimeType"] = kind
    return None


def _thinking(generation: Fields, extra: Fields) -> Thinking | None:
    """A budget of 0 is none, one of -1 is the model's to choose; to ask for thoughts alone is that, too."""
    said = tidy(mapping(generation, "thinkingConfig", _IN) or {})
    where = f"{_IN}thinkingConfig."
    budget, level = _whole(said, "thinkingBudget", where), string(said, "thinkingLevel", where)
    shown = flag(said, "includeThoughts", where)
    read = ("thinkingBudget", "thinkingLevel", "includeThoughts")
    extra.update({f"{where}{name}": value for name, value in said.items() if name not in read and _asks(value)})
    effort = (level or "").lower()
    if effort and effort != "thinking_level_unspecified":
        return Thinking(effort)
    if budget == 0:
        return Thinking("none")
    if budget is not None and budget > 0:
        return Thinking(budget=budget)
    return Thinking(adaptive=True) if shown or budget is not None else None


_TIERS = {"standard": "default", "default": "default", "flex": "flex", "priority": "priority"}


def _service_tier(said: Fields, extra: Fields) -> str | None:
    asked = (string(said, "serviceTier") or "").lower().removeprefix("service_tier_")
    if asked in ("", "unspecified"):
        return None
    if asked not in _TIERS:
        extra["serviceTier"] = said["serviceTier"]
    return _TIERS.get(asked)


# Tools ----------------------------------------------------------------------------------------------------------------


def _tools(said: Any, extra: Fields) -> tuple[Tool, ...]:
    """Functions; tools of Google's own are in ``extra``."""
    if said is not None and not isinstance(said, list | dict):
        raise wrong("tools", "an array", said)
    made: list[Tool] = []
    for place, each in enumerate([said] if isinstance(said, dict) else said or ()):
        where = f"tools[{place}]"
        if not isinstance(each, dict):
            raise wrong(where, "an object", each)
        tool = tidy(each)
        extra.update({f"{where}.{name}": value for name, value in tool.items() if name != _DECLARED})
        for at, declared in enumerate(elements(tool, _DECLARED, f"{where}.")):
            made.append(_function(declared, f"{where}.{_DECLARED}[{at}]", extra))
            if len(made) > MOST_TOOLS:
                raise CallerError(400, "too_many_tools", f"tools: more than {MOST_TOOLS}", param="tools")
    return tuple(made)


_DECLARED = "functionDeclarations"
_READ_OF_FUNCTION = words("name description parameters parametersJsonSchema")


def _function(declared: Any, where: str, extra: Fields) -> Tool:
    if not isinstance(declared, dict):
        raise wrong(where, "an object", declared)
    said = tidy(declared)
    extra.update(
        {f"{where}.{name}": value for name, value in said.items() if name not in _READ_OF_FUNCTION and _asks(value)}
    )
    schema = mapping(said, "parametersJsonSchema", f"{where}.")
    if schema is None and "parameters" in said:
        schema = json_schema(said["parameters"], f"{where}.parameters")
    return Tool(text_in(said, "name", where), string(said, "description", f"{where}."), schema)


_CALLING = "toolConfig.functionCallingConfig"


def _tool_choice(said: Fields, extra: Fields) -> ToolChoice | None:
    config = tidy(mapping(said, "toolConfig") or {})
    extra.update({f"toolConfig.{name}": each for name, each in config.items() if _is_aside(name, each)})
    calling = tidy(mapping(config, "functionCallingConfig", "toolConfig.") or {})
    mode = (string(calling, "mode", f"{_CALLING}.") or "").upper()
    names = _names(calling)
    extra.update(
        {f"{_CALLING}.{name}": each for name, each in calling.items() if name not in _READ_OF_CALLING and each}
    )
    if mode not in _MODES:
        known = ", ".join(filter(None, _MODES))
        raise CallerError(
            400, "invalid_value", f"{_CALLING}.mode: {mode!r} is none of {known}", param=f"{_CALLING}.mode"
        )
    if mode == "VALIDATED":
        # A text or a call that is sure to fit its schema: the latter is nobody else's to promise.
        extra[f"{_CALLING}.mode"] = mode
    choice = _MODES[mode]
    if choice is None or not names or choice.mode == "none":
        return choice
    return ToolChoice("named", names) if mode == "ANY" and len(names) == 1 else ToolChoice(choice.mode, names)


_READ_OF_CALLING = words("mode allowedFunctionNames")
_MODES: Mapping[str, ToolChoice | None] = {
    "": None,
    "MODE_UNSPECIFIED": None,
    "AUTO": ToolChoice("auto"),
    "ANY": ToolChoice("required"),
    "NONE": ToolChoice("none"),
    "VALIDATED": ToolChoice("auto"),
}


def _is_aside(name: str, value: Any) -> bool:
    return name != "functionCallingConfig" and _asks(value)


def _names(calling: Fields) -> tuple[str, ...]:
    names = strings(calling, "allowedFunctionNames")
    if len(names) > MOST_TOOLS:
        where = f"{_CALLING}.allowedFunctionNames"
        raise CallerError(400, "too_many_tools", f"{where}: more than {MOST_TOOLS}", param=where)
    return names


# What a client asked to see -------------------------------------------------------------------------------------------


class _Generation(msgspec.Struct):
    thinkingConfig: Any = None
    thinking_config: Any = None


class _Asked(msgspec.Struct):
    generationConfig: _Generation | None = None
    generation_config: _Generation | None = None


_asked = msgspec.json.Decoder(_Asked)


def shows_thoughts(asked: bytes) -> bool:
    """The request wants to see them: ``includeThoughts``."""
    try:
        said = _asked.decode(asked)
    except (ValueError, RecursionError):
        return False
    generation = said.generationConfig or said.generation_config or _Generation()
    config = generation.thinkingConfig or generation.thinking_config
    return isinstance(config, dict) and (config.get("includeThoughts") or config.get("include_thoughts")) is True
