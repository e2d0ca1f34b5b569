"""Ollama's own chat, for clients and for vendors: https://docs.ollama.com/api/chat.

Inside the gateway its lines are events of an event stream, one each: ``Lines`` makes them so, ``api.framing`` lines.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.abilities import Abilities
from gateway.chat import (
    Blob,
    ChatRequest,
    Encoded,
    Message,
    Operation,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolCallResponse,
)
from gateway.dialects.ollama_answer import decode_answer as decode_answer
from gateway.dialects.ollama_answer import stream_decoder as stream_decoder
from gateway.dialects.ollama_asked import cleared as cleared
from gateway.dialects.ollama_asked import continuation as continuation
from gateway.dialects.ollama_asked import conversation as conversation
from gateway.dialects.ollama_asked import decode_request as decode_request
from gateway.dialects.ollama_asked import peek as peek
from gateway.dialects.ollama_passing import Lines as Lines
from gateway.dialects.ollama_passing import glimpse as glimpse
from gateway.dialects.ollama_passing import identity as identity
from gateway.dialects.ollama_passing import read_whole as read_whole
from gateway.dialects.ollama_passing import restamp as restamp
from gateway.dialects.ollama_passing import rewrite as rewrite
from gateway.dialects.ollama_passing import spoken as spoken
from gateway.dialects.ollama_planning import noted as noted
from gateway.dialects.ollama_planning import planning as planning
from gateway.dialects.ollama_planning import prepended as prepended
from gateway.dialects.ollama_told import encode_answer as encode_answer
from gateway.dialects.ollama_told import error_body as error_body
from gateway.dialects.ollama_told import error_frame as error_frame
from gateway.dialects.ollama_told import object_in
from gateway.dialects.ollama_told import stream_encoder as stream_encoder
from gateway.dialects.unresumed import without_usage as without_usage
from gateway.dialects.unstreamed import skim as skim
from gateway.dialects.unstreamed import with_cost as with_cost

NAME = "ollama_chat"
OPERATION: Operation = "chat"
FORMAT = NAME
RESUMES = True
CLOSING = b""
KEEPALIVE = b""
"""Every line must be an answer's: clients parse an empty one, too."""
SIGNED = None
REFERS = ()
"""Images are bytes in the request, nothing else."""

# Request --------------------------------------------------------------------------------------------------------------

# Fields of Ollama's own that clients may send along with OpenAI's: beside the messages, and among the options.
_OWN = frozenset(("format", "keep_alive", "think"))
_OPTIONS = frozenset(
    (
        *("num_ctx", "num_keep", "num_batch", "num_gpu", "num_thread", "main_gpu", "use_mmap"),
        *("min_p", "typical_p", "repeat_last_n", "repeat_penalty", "mirostat", "mirostat_eta", "mirostat_tau"),
    )
)


def encode_request(request: ChatRequest, able: Abilities) -> Encoded:
    dropped: list[str] = []
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [
            written
            for place, message in enumerate(request.messages)
            for written in _message(message, f"messages[{place}]", dropped)
        ],
        "stream": request.stream,  # left out, it streams
    }
    if tools := _tools(request, dropped):
        body["tools"] = tools
    if request.output is not None:
        body["format"] = "json" if request.output.schema is None else request.output.schema
        if request.output.description:
            dropped.append("response_format.json_schema.description")
    if (think := _think(request, able, dropped)) is not None:
        body["think"] = think
    options = _options(request)
    _own(request, body, options, dropped)
    if "num_ctx" not in options and (window := _window(request, able)):
        options["num_ctx"] = window
    if options:
        body["options"] = options
    if request.logprobs and not request.stream:
        body["logprobs"] = True
        if request.top_logprobs is not None:
            body["top_logprobs"] = request.top_logprobs
    elif request.logprobs:
        dropped.append("logprobs")
    if request.top_logprobs and "logprobs" not in body:
        dropped.append("top_logprobs")
    dropped += request.said("n", "user", "metadata", "service_tier", "verbosity")
    return Encoded(body=body, dropped=tuple(dict.fromkeys(dropped)))


def _message(message: Message, where: str, dropped: list[str]) -> list[dict[str, Any]]:
    if message.name:
        dropped.append(f"{where}.name")
    results = [part for part in message.parts if isinstance(part, ToolCallResponse)]
    if message.role == "tool":
        return [_result(part, where, dropped) for part in results]
    said: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role}
    said.update(_content(message.parts, where, dropped))
    if message.role == "assistant":
        # Thoughts that another vendor has signed are that vendor's; a model here takes back what models here thought.
        own = [part.content for part in message.parts if isinstance(part, Reasoning) and part.format is None]
        if any(isinstance(part, Reasoning) and part.format is not None for part in message.parts):
            dropped.append(f"{where}.reasoning_content")
        if any(own):
            said["thinking"] = "".join(own)
        if calls := [part for part in message.parts if isinstance(part, ToolCall)]:
            said["tool_calls"] = [_call(call) for call in calls]
            dropped += [f"{where}.tool_calls[{at}].cache_control" for at, call in enumerate(calls) if call.cache]
            if not said["content"]:
                del said["content"]
    return [said]


def _content(parts: tuple[Part, ...], where: str, dropped: list[str]) -> dict[str, Any]:
    texts, images = [], []
    said = [part for part in parts if not isinstance(part, Reasoning | ToolCall | ToolCallResponse)]
    for at, part in enumerate(said):
        if isinstance(part, Text | Refusal):
            texts.append(part.content)
        elif isinstance(part, Blob) and part.modality == "image":
            images.append(part.content)
            if part.detail not in (None, "auto"):
                dropped.append(f"{where}.content[{at}].image_url.detail")
        else:
            dropped.append(f"{where}.content[{at}]")
        if getattr(part, "cache", None):
            dropped.append(f"{where}.content[{at}].cache_control")
    content: dict[str, Any] = {"content": "\n".join(texts)}
    return {**content, "images": images} if images else content


def _call(call: ToolCall) -> dict[str, Any]:
    """With the id: models that number their calls are given it, older servers pass it over."""
    return {"id": call.id, "function": {"name": call.name, "arguments": object_in(call.arguments)}}


def _result(part: ToolCallResponse, where: str, dropped: list[str]) -> dict[str, Any]:
    if part.failed:
        dropped.append(f"{where}.is_error")
    if part.cache:
        dropped.append(f"{where}.cache_control")
    said = {"role": "tool", **_content(part.parts, where, dropped), "tool_call_id": part.id}
    return {**said, "tool_name": part.name} if part.name else said


def _tools(request: ChatRequest, dropped: list[str]) -> list[dict[str, Any]]:
    """There is no way to demand a call. What is not to be called is not offered; what is to be called, alone."""
    choice = request.tool_choice
    if choice and choice.mode in ("required", "named"):
        dropped.append("tool_choice")
    if choice and choice.mode == "none":
        return []
    if request.parallel_tool_calls is False and request.tools:
        dropped.append("parallel_tool_calls")
    names = choice.names if choice and any(tool.name in choice.names for tool in request.tools) else ()
    offered = [(place, tool) for place, tool in enumerate(request.tools) if not names or tool.name in names]
    for place, tool in offered:
        if tool.strict:
            dropped.append(f"tools[{place}].function.strict")
        if tool.cache:
            dropped.append(f"tools[{place}].cache_control")
    return [_tool(tool) for _, tool in offered]


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = _objects(tool.parameters or {"type": "object", "properties": {}})
    return {"type": "function", "function": function}


def _objects(schema: dict[str, Any]) -> dict[str, Any]:
    """A property that may be anything (``true``) as an object: the server refuses what it cannot read as one."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return schema
    read = {name: _objects(each) if isinstance(each, dict) else {} for name, each in properties.items()}
    return {**schema, "properties": read}


def _think(request: ChatRequest, able: Abilities, dropped: list[str]) -> bool | str | None:
    """1. Models that are told a level. 2. Models that think or do not."""
    asked = request.thinking
    if asked is None:
        return None
    said = "reasoning_effort" if asked.effort else "thinking"
    off = asked.effort == "none" or asked.budget == 0
    if able.thinking == "none" and not off:
        dropped.append(said)
        return None
    if "gpt-oss" in request.model.lower():
        if off:
            dropped.append(said)  # it cannot but think
        return _LEVELS.get(asked.effort or "", "medium")
    if not off and asked.budget:
        dropped.append("thinking.budget_tokens")
    return not off


_LEVELS = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


def _options(request: ChatRequest) -> dict[str, Any]:
    said = {
        "num_predict": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
    }
    return {name: value for name, value in said.items() if value is not None}


def _own(request: ChatRequest, body: dict[str, Any], options: dict[str, Any], dropped: list[str]) -> None:
    """What only Ollama's clients say: beside the messages, or in ``options``, which win as the more exact."""
    for name, value in request.extra.items():
        if name == "options" and isinstance(value, dict):
            options.update(value)
        elif name.startswith("options."):
            options[name.removeprefix("options.")] = value
        elif name in _OPTIONS:
            options.setdefault(name, value)
        elif name in _OWN:
            body.setdefault(name, value)
        else:
            dropped.append(name)


_USUAL_WINDOW = 32768
_ANSWER = 4096
_LETTERS = 3
"""At least so many make a token, taken over all that is sent."""


def _window(request: ChatRequest, able: Abilities) -> int | None:
    """How much of the model's window is to be held in memory: Ollama holds little, and cuts off what is more unasked.

    A size that is another loads the model anew, so it is the usual one until a conversation outgrows it.
    """
    if not able.window:
        return None
    needed = _size(request) // _LETTERS + (request.max_tokens or _ANSWER)
    window = _USUAL_WINDOW
    while window < min(needed, able.window):
        window *= 2
    return min(window, able.window)


def _size(request: ChatRequest) -> int:
    parts = [part for message in request.messages for part in message.parts]
    parts += [inner for part in parts if isinstance(part, ToolCallResponse) for inner in part.parts]
    texts = sum(len(part.content) for part in parts if isinstance(part, Text | Refusal | Reasoning))
    calls = sum(len(part.arguments) + len(part.name) for part in parts if isinstance(part, ToolCall))
    return texts + calls + sum(len(msgspec.json.encode(tool)) for tool in request.tools)
