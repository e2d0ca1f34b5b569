"""A chat request in Gemini's words: https://ai.google.dev/api/generate-content#request-body"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.abilities import Abilities
from gateway.chat import ChatRequest, Encoded, Thinking, Tool
from gateway.dialects.gemini_contents import Conversation, Names
from gateway.errors import CallerError

MOST_STOPS = 5


def encode_request(request: ChatRequest, able: Abilities) -> Encoded:
    if not request.messages:
        raise CallerError(400, "missing_messages", "there is nothing to answer: messages is empty", param="messages")
    names = Names()
    conversation = Conversation(able, names)
    conversation.read(request.messages)
    lost = conversation.lost
    theirs, theirs_of_generation = _own_fields(request.extra, lost)
    body: dict[str, Any] = {"contents": conversation.contents}
    offered = _offered(request, able)
    if tools := _declarations(offered, names, lost):
        body["tools"] = [{"functionDeclarations": tools}]
        if calling := _calling(request, names):
            body["toolConfig"] = {"functionCallingConfig": calling}
    elif request.tool_choice and request.tool_choice.mode in ("required", "named"):
        lost["tool_choice"] = None
    generation = _generation(request, able, lost)
    generation |= _output(request, able, bool(tools), conversation.system, lost)
    if "thinkingConfig" not in theirs_of_generation and (thinking := _thinking(request, able, lost)):
        generation["thinkingConfig"] = thinking
    generation |= theirs_of_generation
    if conversation.system:
        body["systemInstruction"] = {"parts": conversation.system}
    if generation:
        body["generationConfig"] = generation
    if request.service_tier and request.service_tier != "auto":
        if tier := _TIERS.get(request.service_tier):
            body["serviceTier"] = tier
        else:
            lost["service_tier"] = None
    body |= theirs
    lost |= dict.fromkeys(request.said("user", "metadata", "verbosity"))
    if request.parallel_tool_calls is False and tools:
        lost["parallel_tool_calls"] = None
    return Encoded(body=body, dropped=tuple(lost), tool_names=names.changed)


_TIERS = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}

# Tools ----------------------------------------------------------------------------------------------------------------


def _offered(request: ChatRequest, able: Abilities) -> list[tuple[str, Tool]]:
    """The tools there are this time, with where the client wrote them."""
    tools = [(f"tools[{place}]", tool) for place, tool in enumerate(request.tools)]
    choice = request.tool_choice
    if choice and choice.mode == "none" and request.output and not _takes_both(able):
        return []
    if choice and choice.mode == "auto" and choice.names:
        # AUTO takes no list of names: what is not on offer is not declared.
        return [(where, tool) for where, tool in tools if tool.name in choice.names]
    return tools


def _declarations(offered: list[tuple[str, Tool]], names: Names, lost: dict[str, None]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for where, tool in offered:
        name = names.of(tool.name)
        if name in found:
            # "Duplicate function declaration found" is a 400.
            lost[where] = None
            continue
        found[name] = {"name": name}
        if tool.description:
            found[name]["description"] = tool.description
        if tool.parameters:
            # As it is: ``parameters`` would be a smaller schema language of Google's own.
            found[name]["parametersJsonSchema"] = tool.parameters
        if tool.strict:
            lost[f"{where}.function.strict"] = None
        if tool.cache:
            lost["cache_control"] = None
    return list(found.values())


def _calling(request: ChatRequest, names: Names) -> dict[str, Any] | None:
    choice = request.tool_choice
    if choice is None:
        return None
    declared = {tool.name for tool in request.tools}
    if unknown := [name for name in choice.names if name not in declared]:
        raise CallerError(
            400, "invalid_value", f'tool_choice names "{unknown[0]}", and tools has no such tool', param="tool_choice"
        )
    if choice.mode == "auto":
        return {"mode": "AUTO"}
    if choice.mode == "none":
        return {"mode": "NONE"}
    allowed = {"allowedFunctionNames": [names.of(name) for name in choice.names]} if choice.names else {}
    return {"mode": "ANY", **allowed}


# How to answer --------------------------------------------------------------------------------------------------------


def _generation(request: ChatRequest, able: Abilities, lost: dict[str, None]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "maxOutputTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "seed": _seed(request, lost),
        "frequencyPenalty": request.frequency_penalty,
        "presencePenalty": request.presence_penalty,
        "candidateCount": request.choices if request.choices != 1 else None,
        "stopSequences": list(request.stop[:MOST_STOPS]) or None,
    }
    if not able.sampling:
        for name, own in (("temperature", "temperature"), ("top_p", "topP")):
            if said.pop(own) is not None:
                lost[name] = None
    if len(request.stop) > MOST_STOPS:
        lost["stop"] = None
    if request.logprobs and request.stream:
        # They are told beside the whole text, and only at its end.
        lost["logprobs"] = None
    elif request.logprobs:
        said["responseLogprobs"] = True
        said["logprobs"] = request.top_logprobs or None
    if request.top_logprobs and "responseLogprobs" not in said:
        lost["top_logprobs"] = None
    return {name: value for name, value in said.items() if value is not None}


def _seed(request: ChatRequest, lost: dict[str, None]) -> int | None:
    """Of 32 bits, and no others."""
    if request.seed is None or -(1 << 31) <= request.seed < 1 << 31:
        return request.seed
    lost["seed"] = None
    return None


def _takes_both(able: Abilities) -> bool:
    """Before Gemini 3, "function calling with a response mime type 'application/json' is unsupported"."""
    return able.thinking not in ("none", "budget")


def _output(
    request: ChatRequest, able: Abilities, tools: bool, system: list[dict[str, Any]], lost: dict[str, None]
) -> dict[str, Any]:
    output = request.output
    if output is None:
        return {}
    schema = output.schema
    if tools and not _takes_both(able):
        lost["response_format"] = None
        asked = "When you give your final answer, it must be one JSON object and nothing else"
        fits = f", valid by this JSON schema: {msgspec.json.encode(schema).decode()}" if schema else "."
        system.append({"text": asked + fits})
        return {}
    if schema is None:
        return {"responseMimeType": "application/json"}
    if output.description and "description" not in schema:
        schema = {**schema, "description": output.description}
    return {"responseMimeType": "application/json", "responseJsonSchema": schema}


# Efforts as Google's own OpenAI endpoint reads them: https://ai.google.dev/gemini-api/docs/openai#thinking
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
_LEVELS = {"none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 3, "xhigh": 3, "max": 3}
_LEVEL_NAMES = ("MINIMAL", "LOW", "MEDIUM", "HIGH")


def _thinking(request: ChatRequest, able: Abilities, lost: dict[str, None]) -> dict[str, Any] | None:
    """Only one of budget and level may be said; thoughts are shown to whoever asks for thinking."""
    thinking = request.thinking
    if thinking is None:
        return None
    if able.thinking == "none":
        if thinking.effort != "none" and thinking.budget != 0:
            lost["reasoning_effort"] = None
        return None
    name = request.model.lower().rpartition("/")[2]
    said: dict[str, Any]
    if able.thinking == "budget":
        said = {"thinkingBudget": _budget(thinking, name, request.max_tokens)}
    else:
        said = {"thinkingLevel": _level(thinking, name)}
    if thinking.effort != "none" and thinking.budget != 0:
        said["includeThoughts"] = True
    return {key: value for key, value in said.items() if value is not None}


def _budget(thinking: Thinking, model: str, max_tokens: int | None) -> int | None:
    """Within the range of the model: https://ai.google.dev/gemini-api/docs/thinking#set-budget"""
    if thinking.budget is not None:
        wanted = thinking.budget
    elif thinking.effort in _BUDGETS:
        wanted = _BUDGETS[thinking.effort]
    else:
        return -1 if thinking.adaptive else None
    if wanted < 0:
        return -1
    least, most = (128, 32768) if "pro" in model else (512 if "lite" in model else 1, 24576)
    if wanted == 0 and "pro" not in model:
        return 0
    if max_tokens is not None and wanted >= max_tokens:
        # The limit is on thoughts and answer together: half is left for the answer.
        wanted = max_tokens // 2
    return min(max(wanted, least), most)


def _level(thinking: Thinking, model: str) -> str | None:
    """Not every model has every level: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/thinking"""
    if thinking.effort in _LEVELS:
        level = _LEVELS[thinking.effort]
    elif thinking.budget is not None and thinking.budget >= 0:
        level = sum(thinking.budget > limit for limit in (0, 1024, 8192))
    else:
        return None
    if level == 0 and not model.startswith(_HAVE_MINIMAL):
        level = 1
    if level == 2 and model.startswith("gemini-3-pro"):
        level = 3
    return _LEVEL_NAMES[level]


_HAVE_MINIMAL = ("gemini-3-flash", "gemini-3.1-flash", "gemini-3.5-flash")


# Fields of Gemini's own -----------------------------------------------------------------------------------------------

_OWN = ("safetySettings", "cachedContent", "labels")
_OWN_OF_GENERATION = (
    "audioTimestamp",
    "enableAffectiveDialog",
    "enableEnhancedCivicAnswers",
    "imageConfig",
    "mediaResolution",
    "modelSelectionConfig",
    "responseModalities",
    "routingConfig",
    "speechConfig",
    "thinkingConfig",
    "topK",
)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


_SPELLINGS = {spelling: name for name in (*_OWN, *_OWN_OF_GENERATION) for spelling in (name, _snake(name))}
# Where Google's OpenAI endpoint takes its own fields, and where its clients put them.
_WRAPPERS = ("extra_body", "google")


def _own_fields(
    extra: Mapping[str, Any], lost: dict[str, None], where: str = ""
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of the whole request and those of ``generationConfig``; what is not known is lost by its name."""
    own: dict[str, Any] = {}
    generation: dict[str, Any] = {}
    for name, value in extra.items():
        if value is None:
            continue
        if name in _WRAPPERS and isinstance(value, dict) and where.count(".") < len(_WRAPPERS):
            inner, inner_generation = _own_fields(value, lost, f"{where}{name}.")
            own, generation = {**inner, **own}, {**inner_generation, **generation}
        elif name in ("generationConfig", "generation_config") and isinstance(value, dict):
            generation |= {_SPELLINGS.get(str(each), str(each)): said for each, said in value.items()}
        elif name == "modalities" and isinstance(value, list):
            generation["responseModalities"] = [str(each).upper() for each in value]
        elif known := _SPELLINGS.get(name):
            (own if known in _OWN else generation)[known] = value
        else:
            lost[f"{where}{name}"] = None
    return own, generation
