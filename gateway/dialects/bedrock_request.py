"""A chat as a request to Bedrock's Converse: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.abilities import Abilities
from gateway.chat import Cache, ChatRequest, Encoded, Thinking, Tool
from gateway.dialects.anthropic_request import think as think_as_claude
from gateway.dialects.anthropic_schema import enforceable, tool_input
from gateway.dialects.bedrock_contents import MOST_CACHE_POINTS, Block, Contents, cache_point, thin_out
from gateway.dialects.bedrock_models import CLAUDE, UNKNOWN, Family, family
from gateway.errors import CallerError

SIGNED = "anthropic"
"""Claude's signatures are the same on all platforms."""

# Fields of Converse's own that are no words of the hub.
OWN_FIELDS = (
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
)
SERVICE_TIERS: Mapping[str, str | None] = {
    "auto": None,
    "default": "default",
    "flex": "flex",
    "priority": "priority",
    "reserved": "reserved",
}
MOST_METADATA = 16
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def encode_request(request: ChatRequest, able: Abilities) -> Encoded:
    kind = family(request.model)
    if kind is UNKNOWN and able.thinking in ("budget", "adaptive"):
        # An ARN says nothing, but no other model here thinks like that.
        kind = CLAUDE
    contents = Contents(request, kind, SIGNED)
    dropped = contents.dropped
    try:
        tools, choice = _tools(request, able, kind, contents)
        output = _output(request, able, dropped)
    except RecursionError:
        raise CallerError(400, "schema_too_deep", "a JSON schema of the request is nested too deeply") from None
    body: Block = {"messages": contents.messages}
    additional: Block = {}
    max_tokens, thinks = _think(request, able, kind, contents, choice, additional)
    inference = _sampling(request, able, kind, thinks, additional, dropped)
    if max_tokens is not None:
        inference["maxTokens"] = max_tokens
    if stop := [each for each in request.stop if each.strip()]:
        inference["stopSequences"] = stop
    if len(stop) < len(request.stop):
        dropped.append("stop")
    _mark(request, kind, contents, tools)
    if contents.system:
        body["system"] = contents.system
    if inference:
        body["inferenceConfig"] = inference
    if tools:
        body["toolConfig"] = {"tools": tools, **({"toolChoice": choice} if choice else {})}
    if output:
        body["outputConfig"] = output
    _about_the_caller(request, body, dropped)
    _extra(request, kind, body, additional, dropped)
    if additional:
        body["additionalModelRequestFields"] = additional
    return Encoded(body=body, dropped=tuple(dict.fromkeys(dropped)), tool_names=contents.tool_names)


# Tools and output -----------------------------------------------------------------------------------------------------


def _tools(request: ChatRequest, able: Abilities, kind: Family, contents: Contents) -> tuple[list[Block], Block | None]:
    """What is on offer, and what is to be chosen of it."""
    asked, dropped = request.tool_choice, contents.dropped
    mode = asked.mode if asked else None
    wanted = asked.names if asked else ()
    if mode in ("required", "named") and not able.forced_tools:
        dropped.append("tool_choice")
        mode = "auto"
    if mode == "none" and not contents.called:
        return [], None
    # All but one forced tool are taken off the offer where it cannot be named.
    narrows = mode in ("auto", "required") or (mode == "named" and (len(wanted) > 1 or "tool" not in kind.chooses))
    tools: list[Block] = []
    for place, tool in enumerate(request.tools):
        if wanted and narrows and tool.name not in wanted:
            continue
        tools.append({"toolSpec": _tool(tool, place, able, kind, contents)})
        if tool.cache and "tools" in kind.caches:
            tools.append(cache_point(tool.cache, kind))
            contents.points += 1
        elif tool.cache:
            dropped.append(f"tools[{place}].cache_control")
    if request.parallel_tool_calls is False and tools:
        dropped.append("parallel_tool_calls")
    if not tools:
        # Calls in the history need tools to be there: these are what is known of them.
        if mode in ("required", "named"):
            dropped.append("tool_choice")
        schema = {"json": {"type": "object", "properties": {}}}
        return [{"toolSpec": {"name": name, "inputSchema": schema}} for name in contents.called], None
    if mode == "none":
        # It cannot be told not to call what has to be there.
        dropped.append("tool_choice")
        return tools, None
    if mode is None:
        return tools, None
    name = contents.tool_name(wanted[0]) if mode == "named" and len(wanted) == 1 else ""
    member = "auto" if mode == "auto" else "tool" if name and "tool" in kind.chooses else "any"
    if member in kind.chooses:
        return tools, {member: {"name": name} if member == "tool" else {}}
    if member != "auto":
        dropped.append("tool_choice")
    return tools, None


def _tool(tool: Tool, place: int, able: Abilities, kind: Family, contents: Contents) -> Block:
    # "inputSchema.json.type must be one of the following: object"
    schema = {**(tool.parameters or {}), "type": "object"}
    if kind.claude or kind is UNKNOWN:
        # Others take variants at the top: https://github.com/code-yeongyu/senpi/issues/1947
        schema, lost = tool_input(schema)
        contents.dropped += [f"tools[{place}].function.parameters.{key}" for key in lost]
    strict = bool(tool.strict and able.schema)
    if tool.strict and not strict:
        contents.dropped.append(f"tools[{place}].function.strict")
    if strict:
        schema = enforceable(schema)
    else:
        schema.setdefault("properties", {})
    written: Block = {"name": contents.tool_name(tool.name)}
    if tool.description and tool.description.strip():
        written["description"] = tool.description
    written["inputSchema"] = {"json": schema}
    return {**written, "strict": True} if strict else written


def _output(request: ChatRequest, able: Abilities, dropped: list[str]) -> Block:
    """The schema is a string here. There is no mode for just any JSON."""
    output = request.output
    if output is None:
        return {}
    if output.schema is None or able.schema is False:
        dropped.append("response_format")
        return {}
    schema: Block = {"schema": msgspec.json.encode(enforceable(output.schema)).decode()}
    if name := _NOT_IN_A_NAME.sub("_", output.name or "")[:64]:
        schema["name"] = name
    if output.description:
        schema["description"] = output.description
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


# Thinking and sampling ------------------------------------------------------------------------------------------------

_THREE = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_TWO = {"minimal": "low", "low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "high"}
# gpt-oss: low, medium, high; Qwen and DeepSeek: low, high; other models of OpenAI's all but minimal.
_EFFORTS: Mapping[str, Mapping[str, str]] = {
    "reasoning_effort": _THREE,
    "reasoning_config": _TWO,
    "reasoning": {"none": "none", **_THREE, "xhigh": "xhigh", "max": "max"},
    "nova": _THREE,
}
# Budgets below these are taken for these efforts, for models that know efforts alone.
_SMALL, _MIDDLE = 2048, 8192


def _think(
    request: ChatRequest, able: Abilities, kind: Family, contents: Contents, choice: Block | None, additional: Block
) -> tuple[int | None, bool]:
    """Writes how much is to be thought among the additional fields. The limit of the answer; is it Claude thinking?"""
    dropped = contents.dropped
    if kind.thinks == "claude":
        forced = bool(choice and "auto" not in choice)
        thought = think_as_claude(request, able, forced, _goes_on_thoughtless(contents.messages), dropped)
        if thought.thinking:
            additional["thinking"] = thought.thinking
        if thought.effort:
            additional["output_config"] = {"effort": thought.effort}
        budgeted = thought.thinking is not None and "budget_tokens" in thought.thinking
        # Converse knows how much a model can say; a budget has to be below the limit.
        said = request.max_tokens is not None or budgeted
        return (thought.max_tokens if said else None), thought.on
    asked = request.thinking
    if asked is not None and (effort := _effort(asked)) is not None:
        word = _EFFORTS[kind.thinks].get(effort) if kind.thinks else None
        if word is None:
            # Where nothing is thought unless asked for, to ask for nothing is said by silence.
            if effort != "none" or kind.thinks != "nova":
                dropped.append("reasoning_effort")
        elif kind.thinks == "nova":
            if word == "high" and request.max_tokens is not None:
                # High takes no limit, which was asked for too.
                word = "medium"
                dropped.append("reasoning_effort")
            additional["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": word}
        else:
            additional[kind.thinks] = {"effort": word} if kind.thinks == "reasoning" else word
    return request.max_tokens, False


def _effort(asked: Thinking) -> str | None:
    if asked.effort is not None or asked.budget is None:
        return asked.effort
    if asked.budget <= 0:
        return "none"
    return "low" if asked.budget <= _SMALL else "medium" if asked.budget <= _MIDDLE else "high"


def _goes_on_thoughtless(messages: list[Block]) -> bool:
    """Is a tool being used, by a turn that did not begin with a thought? With a budget Claude wants that thought."""
    first: Block | None = None
    for at in range(len(messages) - 1, 0, -2):
        if "toolResult" not in messages[at]["content"][0]:
            break
        first = messages[at - 1]
    return first is not None and "reasoningContent" not in first["content"][0]


def _sampling(
    request: ChatRequest, able: Abilities, kind: Family, thinks: bool, additional: Block, dropped: list[str]
) -> Block:
    """1. Newer models refuse it. 2. While Claude thinks, or Nova thinks hard, it is the vendor's. 3. It is 0..1."""
    written: Block = {}
    hard = additional.get("reasoningConfig", {}).get("maxReasoningEffort") == "high"
    free = able.sampling and not thinks and not hard
    for name, own, value in (("temperature", "temperature", request.temperature), ("top_p", "topP", request.top_p)):
        if value is None:
            continue
        if free or (name == "top_p" and thinks and able.sampling and value >= 0.95):
            written[own] = min(value, 1)
        if value != 1 and written.get(own) != value:
            dropped.append(name)
    # "`temperature` and `top_p` cannot both be specified for this model"
    if kind.one_of_sampling and len(written) == 2 and written.pop("topP") != 1:
        dropped.append("top_p")
    if request.top_k is not None:
        if free and kind.top_k:
            place = additional
            for name in kind.top_k[:-1]:
                place = place.setdefault(name, {})
            place[kind.top_k[-1]] = request.top_k
        else:
            dropped.append("top_k")
    return written


# The rest -------------------------------------------------------------------------------------------------------------


def _mark(request: ChatRequest, kind: Family, contents: Contents, tools: list[Block]) -> None:
    """At most four cache points. Where the client set none and the provider says so, they are set here."""
    holders = [*(turn["content"] for turn in contents.messages), contents.system, tools]
    # A point covers all that comes before it: the first ones of the conversation are missed least.
    if contents.points > MOST_CACHE_POINTS and thin_out(holders, MOST_CACHE_POINTS):
        contents.dropped.append("cache_control")
    if not request.cache_automatically or contents.points or kind is UNKNOWN:
        return
    point = cache_point(Cache(), kind)
    for place, blocks in (("system", contents.system), ("tools", tools)):
        if blocks and place in kind.caches:
            blocks.append(point)
    for turn in [turn for turn in contents.messages if turn["role"] == "user"][-2:]:
        blocks = turn["content"]
        if "any" in kind.caches or ("text" in kind.caches and "text" in blocks[-1]):
            blocks.append(point)


def _about_the_caller(request: ChatRequest, body: Block, dropped: list[str]) -> None:
    """Marks for AWS's logs, the tier; and the names of what cannot be said."""
    marks = {
        key: value
        for key, value in (request.metadata or {}).items()
        if isinstance(value, str) and _METADATA.fullmatch(key) and _METADATA.fullmatch(value)
    }
    if marks and len(marks) <= MOST_METADATA:
        body["requestMetadata"] = marks
    if request.metadata and marks != request.metadata:
        dropped.append("metadata")
    if request.service_tier and (tier := SERVICE_TIERS.get(request.service_tier)):
        body["serviceTier"] = {"type": tier}
    elif request.service_tier and request.service_tier not in SERVICE_TIERS:
        dropped.append("service_tier")
    dropped += request.said(
        "user", "seed", "frequency_penalty", "presence_penalty", "n", "logprobs", "top_logprobs", "verbosity"
    )


def _extra(request: ChatRequest, kind: Family, body: Block, additional: Block, dropped: list[str]) -> None:
    """Fields that are Converse's own, and those of Claude's that go along as additional ones."""
    for name, value in request.extra.items():
        if name in OWN_FIELDS and value is not None:
            body[name] = {**body[name], **value} if name in body and isinstance(value, dict) else value
        elif name == "additionalModelRequestFields" and isinstance(value, dict):
            additional |= value
        elif name in ("anthropic_beta", "betas") and kind.claude:
            listed = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else ()
            additional["anthropic_beta"] = [each.strip() for each in listed if isinstance(each, str) and each.strip()]
        elif name == "output_config" and kind.claude and isinstance(value, dict):
            additional[name] = {**value, **additional.get(name, {})}
        elif not (name == "thinking" and kind.thinks == "claude") and not _granted(name, value):
            dropped.append(name)


def _granted(name: str, value: Any) -> bool:
    """What is so without being said: usage is always told, nothing is stored, text is all that comes."""
    return (
        value is None
        or name == "stream_options"
        or (name == "store" and value is False)
        or (name == "modalities" and value == ["text"])
    )
