"""A chat as a request to Anthropic's Messages: https://platform.claude.com/docs/en/api/messages/create."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway.abilities import Abilities
from gateway.chat import ChatRequest, Encoded, Headers, Thinking, Tool
from gateway.dialects.anthropic_schema import enforceable, tool_input
from gateway.dialects.anthropic_turns import Block, Names, Turns, cache_control, digest, goes_on_thoughtless, plain
from gateway.errors import CallerError

SMALLEST_BUDGET = 1024
MOST_MARKERS = 4
MOST_STRICT_TOOLS = 20
"""https://platform.claude.com/docs/en/build-with-claude/structured-outputs#schema-complexity-limits"""

BUDGETS: Mapping[str, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32000,
    "max": 48000,
}
EFFORTS: Mapping[str, str] = {"minimal": "low"}

# Fields of Anthropic's own that are no words of the hub, and the beta that some need.
OWN_FIELDS = ("cache_control", "container", "diagnostics", "fallbacks", "inference_geo", "speed")
BETAS: Mapping[str, str] = {
    "mcp_servers": "mcp-client-2025-11-20",
    "context_management": "context-management-2025-06-27",
}
FILES_BETA = "files-api-2025-04-14"
SERVICE_TIERS: Mapping[str, str] = {
    "auto": "auto",
    "priority": "auto",
    "default": "standard_only",
    "standard_only": "standard_only",
}


def encode_request(request: ChatRequest, able: Abilities) -> Encoded:
    dropped: list[str] = []
    names = Names()
    turns = Turns(names, dropped, thinks=able.thinking != "none", sees=able.images is not False)
    turns.write(request.messages)
    try:
        tools = _tools(request, able, names, dropped)
        choice = _tool_choice(request, able, bool(tools), names, dropped)
        if not tools and names.called:
            # Calls and results without tools are refused; none of these is to be called.
            tools = [{"name": name, "input_schema": {"type": "object"}} for name in names.called]
            choice = {"type": "none"}
        output = _output(request, able, dropped)
    except RecursionError:
        raise CallerError(400, "schema_too_deep", "a JSON schema of the request is nested too deeply") from None
    forced = choice is not None and choice["type"] in ("any", "tool")
    thought = think(request, able, forced, goes_on_thoughtless(turns.messages), dropped)
    _end_with_the_user(turns.messages, able, thought)
    body: Block = {"model": request.model, "max_tokens": thought.max_tokens, "messages": turns.messages}
    if turns.system:
        body["system"] = turns.system
    if tools:
        body["tools"] = tools
    if choice:
        body["tool_choice"] = choice
    if thought.thinking:
        body["thinking"] = thought.thinking
    body |= _sampling(request, able, thought.on, dropped)
    if stop := [each for each in request.stop if each.strip()]:
        body["stop_sequences"] = stop
    if len(stop) < len(request.stop):
        dropped.append("stop")
    body |= _about_the_caller(request, dropped)
    if request.stream:
        body["stream"] = True
    headers = _extra(request, turns, body, dropped)
    if output_config := {**output, **({"effort": thought.effort} if thought.effort else {})}:
        body["output_config"] = {**(body.get("output_config") or {}), **output_config}
    _mark(request, body, dropped)
    _shorten(body)
    return Encoded(body=body, dropped=tuple(dict.fromkeys(dropped)), headers=headers, tool_names=names.changed)


# Tools and output -----------------------------------------------------------------------------------------------------


def _tools(request: ChatRequest, able: Abilities, names: Names, dropped: list[str]) -> list[Block]:
    choice = request.tool_choice
    # One that is named is named in the choice; among several, all others are left out.
    on_offer = choice.names if choice and (choice.mode != "named" or len(choice.names) > 1) else ()
    tools: list[Block] = []
    strict = 0
    for at, tool in enumerate(request.tools):
        if on_offer and tool.name not in on_offer:
            continue
        wanted = bool(tool.strict)
        held = wanted and able.schema is not False and strict < MOST_STRICT_TOOLS
        if wanted and not held:
            dropped.append(f"tools[{at}].function.strict")
        strict += held
        tools.append(_tool(tool, at, held, names, dropped))
    return tools


def _tool(tool: Tool, at: int, strict: bool, names: Names, dropped: list[str]) -> Block:
    schema, lost = tool_input(tool.parameters)
    dropped += [f"tools[{at}].function.parameters.{key}" for key in lost]
    written: Block = {"name": names.of(tool.name)}
    if tool.description is not None:
        written["description"] = tool.description
    written["input_schema"] = enforceable(schema) if strict else schema
    if strict:
        written["strict"] = True
    if tool.cache:
        written["cache_control"] = cache_control(tool.cache)
    return written


def _tool_choice(
    request: ChatRequest, able: Abilities, has_tools: bool, names: Names, dropped: list[str]
) -> Block | None:
    asked = request.tool_choice
    if not has_tools:
        # To choose among no tools is refused.
        if asked and asked.mode in ("required", "named"):
            dropped.append("tool_choice")
        return None
    mode = asked.mode if asked else None
    if mode in ("required", "named") and not able.forced_tools:
        dropped.append("tool_choice")
        mode = "auto"
    choice: Block | None = None
    if asked and mode == "named" and len(asked.names) == 1:
        choice = {"type": "tool", "name": names.of(asked.names[0])}
    elif mode:
        choice = {"type": {"required": "any", "named": "any"}.get(mode, mode)}
    if request.parallel_tool_calls is False and mode != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _output(request: ChatRequest, able: Abilities, dropped: list[str]) -> Block:
    """The name of a schema says nothing; there is no mode for just any JSON."""
    if request.output is None:
        return {}
    schema = request.output.schema
    if schema is None or able.schema is False:
        dropped.append("response_format")
        return {}
    if request.output.description and not schema.get("description"):
        schema = {**schema, "description": request.output.description}
    return {"format": {"type": "json_schema", "schema": enforceable(schema)}}


# Thinking -------------------------------------------------------------------------------------------------------------


class Thought(NamedTuple):
    """How it is to think. ``max_tokens`` is for thoughts and answer together."""

    max_tokens: int
    thinking: Block | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        return self.thinking is not None and self.thinking.get("type") in ("enabled", "adaptive")


def think(request: ChatRequest, able: Abilities, forced: bool, thoughtless: bool, dropped: list[str]) -> Thought:
    """1. It is not to, was not asked, or must not now. 2. It decides for itself. 3. It has a budget."""
    limit = _max_tokens(request, able, dropped)
    asked, own = request.thinking, request.extra.get("thinking")
    rest = {key.removeprefix(_MORE): value for key, value in request.extra.items() if key.startswith(_MORE)}
    name = "reasoning_effort" if asked and asked.effort else "thinking"
    style, budgeted = able.thinking, able.thinking in ("budget", None)
    wanted = asked is not None and asked.effort != "none" and asked.budget != 0
    # A tool cannot be forced while thinking is on; a thought that led to calls cannot be made up afterwards.
    forbids = style == "none" or (forced and style != "always") or (style == "budget" and thoughtless)
    if wanted and forbids:
        dropped.append(name)
    if asked is None and own is not None:
        # A way of thinking that is not known here: its vendor may know it.
        if isinstance(own, dict) and not forbids:
            return Thought(limit, dict(own))
        dropped.append("thinking")
    if asked is None or not wanted or forbids:
        off = asked is not None or forced
        if off and style == "always" and not forced:
            dropped.append(name)
            return Thought(limit, None, "low")
        told = off and (able.thinks_unasked or (style is None and asked is not None)) and style != "always"
        return Thought(limit, {"type": "disabled"} if told else None)
    if not budgeted:
        if asked.budget is not None:
            dropped.append("thinking.budget_tokens")
        # Models that take no sampling leave their thoughts untold unless asked.
        display = {} if able.sampling else {"display": "summarized"}
        return Thought(limit, {"type": "adaptive", **display, **rest}, _effort(asked, able))
    budget = asked.budget or BUDGETS.get(asked.effort or "high", BUDGETS["high"])
    if limit <= SMALLEST_BUDGET:
        # The limit then holds for the answer alone.
        dropped.append("max_tokens")
        limit, budget = limit + SMALLEST_BUDGET, SMALLEST_BUDGET
    elif asked.budget is None or budget >= limit:
        budget = min(budget, limit // 2)
    return Thought(limit, {"type": "enabled", "budget_tokens": max(SMALLEST_BUDGET, budget), **rest})


_MORE = "thinking."


def _effort(asked: Thinking, able: Abilities) -> str | None:
    if asked.effort is None:
        if asked.budget is None:
            return None
        return next((effort for effort in ("low", "medium", "high") if asked.budget <= BUDGETS[effort]), "max")
    # The 4.6 models, which take sampling still, know low, medium, high and max.
    return "high" if asked.effort == "xhigh" and able.sampling else EFFORTS.get(asked.effort, asked.effort)


def _max_tokens(request: ChatRequest, able: Abilities, dropped: list[str]) -> int:
    if request.max_tokens is not None:
        if able.output and request.max_tokens > able.output:
            dropped.append("max_tokens")
            return able.output
        return request.max_tokens
    # It has to be said. Older models refuse what exceeds the window together with the prompt: some room is left.
    roomy = able.window is not None and able.window >= 1_000_000
    return able.output if able.output and roomy else min(able.output or 16_384, 32_000)


def _end_with_the_user(messages: list[Block], able: Abilities, thought: Thought) -> None:
    """An answer begun is completed by older models, when they do not think; from 4.6 on it is refused."""
    last = messages[-1]
    if last["role"] == "user":
        return
    if thought.on or able.thinking in ("adaptive", "always"):
        messages.append({"role": "user", "content": [{"type": "text", "text": "Go on."}]})
    elif last["content"][-1]["type"] == "text":
        last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()


# The rest -------------------------------------------------------------------------------------------------------------


def _sampling(request: ChatRequest, able: Abilities, thinks: bool, dropped: list[str]) -> Block:
    """1. Newer models refuse it. 2. While thinking it is 1, or nearly. 3. It is within 0..1, and one of two at most."""
    said = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k if request.top_k is not None else request.extra.get("top_k"),
    }
    written = {name: value for name, value in said.items() if value is not None}
    defaults = {name for name, value in written.items() if value == 1 and name != "top_k"}
    if not able.sampling:
        dropped += [name for name in written if name not in defaults]
        return {}
    if thinks:
        kept = defaults | {name for name in ("top_p",) if written.get(name, 0) >= 0.95}
        dropped += [name for name in written if name not in kept]
        written = {name: value for name, value in written.items() if name in kept}
    if written.get("temperature", 0) > 1:
        dropped.append("temperature")
        written["temperature"] = 1
    if "temperature" in written and "top_p" in written and able.thinking in ("budget", "adaptive"):
        del written["top_p"]
        dropped += [] if "top_p" in defaults else ["top_p"]
    return written


def _about_the_caller(request: ChatRequest, dropped: list[str]) -> Block:
    """Who asks, at what tier; and the names of what cannot be said."""
    body: Block = {}
    metadata = dict(request.metadata or {})
    user = request.user or metadata.pop("user_id", None)
    if isinstance(user, str) and user:
        # At most 256 characters, and no e-mail addresses: those are refused.
        body["metadata"] = {"user_id": digest(user) if len(user) > 256 or "@" in user else user}
    if request.service_tier:
        if tier := SERVICE_TIERS.get(request.service_tier):
            body["service_tier"] = tier
        else:
            dropped.append("service_tier")
    dropped += ["metadata"] if metadata else []
    dropped += request.said(
        "seed", "frequency_penalty", "presence_penalty", "n", "logprobs", "top_logprobs", "verbosity"
    )
    return body


def _extra(request: ChatRequest, turns: Turns, body: Block, dropped: list[str]) -> Headers:
    """Writes the fields that are Anthropic's own; the betas come back as a header."""
    betas: dict[str, None] = {FILES_BETA: None} if turns.has_files else {}
    for name, value in request.extra.items():
        if name in ("anthropic_beta", "betas"):
            listed = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else ()
            betas |= {beta.strip(): None for beta in listed if isinstance(beta, str) and _is_token(beta.strip())}
        elif name == "context_management" and isinstance(value, list):
            # OpenAI's field of the same name; here it is an object.
            dropped.append(name)
        elif name in OWN_FIELDS or name in BETAS or (name == "output_config" and isinstance(value, dict)):
            body[name] = value
            if name in BETAS:
                betas[BETAS[name]] = None
        elif name.startswith(_MORE) and "thinking" in body:
            continue
        elif name not in ("thinking", "top_k") and not _granted(name, value):
            dropped.append(name)
    return (("anthropic-beta", ",".join(betas)),) if betas else ()


def _is_token(beta: str) -> bool:
    return bool(beta) and beta.isascii() and beta.replace("-", "").replace("_", "").replace(".", "").isalnum()


def _granted(name: str, value: Any) -> bool:
    """What is so without being said: usage is always told, nothing is stored, text is all that comes."""
    return (
        value is None
        or name == "stream_options"
        or (name == "store" and value is False)
        or (name == "modalities" and value == ["text"])
    )


def _mark(request: ChatRequest, body: Block, dropped: list[str]) -> None:
    """The cache's markers: at most four. Where the client set none and the provider says so, they are set here."""
    marked = [block for block in _cacheable(body) if "cache_control" in block]
    room = MOST_MARKERS - ("cache_control" in body)
    # A marker covers all that comes before it: the first ones are missed least.
    for block in marked[: max(0, len(marked) - room)]:
        del block["cache_control"]
        dropped.append("cache_control")
    if not request.cache_automatically or marked or "cache_control" in body:
        return
    users = [message for message in body["messages"] if message["role"] == "user"]
    ends = [body.get("system"), body.get("tools"), *(message["content"] for message in users[-2:])]
    for blocks in ends:
        if blocks:
            blocks[-1]["cache_control"] = {"type": "ephemeral"}


def _cacheable(body: Block) -> Iterator[Block]:
    yield from body.get("tools") or ()
    yield from body.get("system") or ()
    for message in body["messages"]:
        for block in message["content"]:
            if isinstance(inner := block.get("content"), list):
                yield from inner
            yield block


def _shorten(body: Block) -> None:
    if "system" in body:
        body["system"] = plain(body["system"])
    for message in body["messages"]:
        message["content"] = plain(message["content"])
