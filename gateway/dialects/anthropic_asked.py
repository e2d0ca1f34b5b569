"""A request for Anthropic's Messages read into the hub: https://platform.claude.com/docs/en/api/messages/create

What the hub has a word for is read; what it has none for is in ``extra`` under its own name (``container``), or under
its place (``messages[3].content[0]``): blocks and tools that run at Anthropic are there.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.chat import (
    Blob,
    Cache,
    ChatRequest,
    File,
    Message,
    Modality,
    Output,
    Part,
    Reasoning,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolCallResponse,
    ToolChoice,
    Uri,
)
from gateway.dialects.anthropic_names import is_billing_header, user_of
from gateway.dialects.fields import elements, flag, mapping, number, object_of, string, strings, whole, words
from gateway.dialects.marks import is_marked, unmarked
from gateway.dialects.openai_parts import Fields, cache_of, located, text_in, wrong
from gateway.dialects.openai_request import MOST_PARTS, MOST_TOOLS
from gateway.errors import CallerError

SIGNED = "anthropic"


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``CallerError`` (400) with where and what."""
    said = object_of(body)
    extra = {name: value for name, value in said.items() if name not in _READ and value is not None}
    for name, idle in _IDLE.items():
        if name in extra and (extra[name] in idle or not extra[name]):
            del extra[name]
    messages = elements(said, "messages")
    if not messages:
        raise CallerError(400, "invalid_request", "messages: at least one message is required", param="messages")
    conversation = _Conversation(extra)
    system = conversation.system(said.get("system"))
    user, metadata = _caller(said)
    tools = _tools(said, extra)
    choice, parallel = _tool_choice(said, tools, extra)
    return ChatRequest(
        model=string(said, "model") or "",
        messages=(*system, *conversation.messages(messages)),
        stream=flag(said, "stream") or False,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output=_output(said),
        # Anthropic insists on it. Others do not, and a client that leaves it out means their default.
        max_tokens=whole(said, "max_tokens"),
        temperature=number(said, "temperature"),
        top_p=number(said, "top_p"),
        top_k=whole(said, "top_k"),
        stop=strings(said, "stop_sequences"),
        thinking=_thinking(said, extra),
        user=user,
        metadata=metadata,
        service_tier=_TIERS.get(tier, tier) if (tier := string(said, "service_tier")) else None,
        extra=extra,
    )


_READ = words(
    "model messages system stream tools tool_choice max_tokens temperature top_p top_k stop_sequences thinking "
    "output_config output_format metadata service_tier anthropic_version"
)
_IDLE: Mapping[str, tuple[Any, ...]] = {
    # To keep the thoughts of earlier turns is what is done with all that the client sends.
    "context_management": ({"edits": []}, {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}),
    "mcp_servers": (),
    "betas": (),
    "speed": ("standard",),
}
"""What asks for nothing, as its emptiness does: no reason to tell anyone that it was dropped."""
# In the hub's words; "auto" is what everybody does.
_TIERS = {"auto": None, "standard_only": "default"}


# Fields ---------------------------------------------------------------------------------------------------------------


def _caller(said: Fields) -> tuple[str | None, Fields | None]:
    """Who asks, and what else is said about it."""
    metadata = dict(mapping(said, "metadata") or {})
    return user_of(metadata.pop("user_id", None)).user, metadata or None


def _output(said: Fields) -> Output | None:
    """``output_config.format``, or ``output_format`` as it was called while it was a beta."""
    config = mapping(said, "output_config") or {}
    where = "output_config." if config.get("format") is not None else ""
    form = mapping(config, "format", where) if where else mapping(said, "output_format")
    if form is None:
        return None
    kind = form.get("type")
    where = f"{where}format" if where else "output_format"
    if kind != "json_schema":
        raise CallerError(400, "invalid_value", f"{where}.type: {kind!r} is not 'json_schema'", param=f"{where}.type")
    schema = form.get("schema")
    if not isinstance(schema, dict):
        raise wrong(f"{where}.schema", "an object", schema)
    return Output(schema, strict=True)


def _thinking(said: Fields, extra: Fields) -> Thinking | None:
    """How hard to think is said in two places: ``thinking`` and ``output_config.effort``."""
    config = mapping(said, "output_config") or {}
    effort = string(config, "effort", "output_config.")
    _rest(extra, "output_config", config, {"effort", "format"})
    asked = mapping(said, "thinking")
    kind = asked.get("type") if asked else None
    if asked is None:
        return Thinking(effort) if effort else None
    if kind not in ("enabled", "adaptive", "disabled"):
        # A way of thinking that has no word here: for the vendor that knows it.
        extra["thinking"] = asked
        return Thinking(effort) if effort else None
    # Shown in summary is how everybody shows them.
    read = {"type", "budget_tokens", *(("display",) if asked.get("display") == "summarized" else ())}
    _rest(extra, "thinking", asked, read)
    if kind == "disabled":
        if effort:
            extra["output_config.effort"] = effort
        return Thinking("none")
    budget = whole(asked, "budget_tokens", where="thinking.")
    if kind == "enabled" and not (effort or budget):
        effort = "medium"
    return Thinking(effort, budget, kind == "adaptive")


def _rest(extra: Fields, where: str, said: Fields, read: set[str]) -> None:
    """What is left of an object once the hub has taken its part."""
    extra.update({f"{where}.{name}": value for name, value in said.items() if name not in read and value})


# Tools ----------------------------------------------------------------------------------------------------------------


def _tools(said: Fields, extra: Fields) -> tuple[Tool, ...]:
    given = elements(said, "tools")
    if len(given) > MOST_TOOLS:
        raise CallerError(400, "too_many_tools", f"tools: more than {MOST_TOOLS}", param="tools")
    tools = (_tool(each, f"tools[{place}]", extra) for place, each in enumerate(given))
    return tuple(tool for tool in tools if tool is not None)


def _tool(said: Any, where: str, extra: Fields) -> Tool | None:
    if not isinstance(said, dict):
        raise wrong(where, "an object", said)
    if said.get("type") not in ("custom", None) and "input_schema" not in said:
        # It runs at Anthropic, or only Claude knows how to call it.
        extra[where] = said
        return None
    schema, description = said.get("input_schema"), said.get("description")
    if not isinstance(schema, dict):
        raise wrong(f"{where}.input_schema", "an object", schema)
    for name, value in said.items():
        if name not in _TOOL_READ and value and value != ["direct"]:
            extra[f"{where}.{name}"] = value
    return Tool(
        text_in(said, "name", where),
        description if isinstance(description, str) else None,
        schema,
        flag(said, "strict", f"{where}."),
        cache_of(said),
    )


# Arguments are handed on as they come, whether that was asked for (eager_input_streaming) or not.
_TOOL_READ = words("type name description input_schema strict cache_control eager_input_streaming")


def _tool_choice(said: Fields, tools: tuple[Tool, ...], extra: Fields) -> tuple[ToolChoice | None, bool | None]:
    """Which tool, and whether several at once."""
    choice = mapping(said, "tool_choice")
    if choice is None:
        return None, None
    kind = choice.get("type")
    parallel = False if flag(choice, "disable_parallel_tool_use", "tool_choice.") else None
    if kind == "tool":
        name = text_in(choice, "name", "tool_choice")
        if any(tool.name == name for tool in tools):
            return ToolChoice("named", (name,)), parallel
        # One that runs at Anthropic.
        extra["tool_choice"] = choice
        return None, parallel
    mode = _MODES.get(kind) if isinstance(kind, str) else None
    if mode is None:
        known = ", ".join((*_MODES, "tool"))
        raise CallerError(
            400, "invalid_value", f"tool_choice.type: {kind!r} is none of {known}", param="tool_choice.type"
        )
    if mode.mode == "required" and not tools:
        extra["tool_choice"] = choice
        return None, parallel
    return mode, parallel


_MODES = {"auto": ToolChoice("auto"), "any": ToolChoice("required"), "none": ToolChoice("none")}


# Messages -------------------------------------------------------------------------------------------------------------

_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
"""``system`` within a conversation: https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system"""


class _Conversation:
    """The messages in their order: a tool's result is known by the call before it."""

    def __init__(self, extra: Fields) -> None:
        self._extra = extra
        self._names: dict[str, str] = {}
        self._room = MOST_PARTS

    def system(self, said: Any) -> tuple[Message, ...]:
        blocks = self._blocks(said, "system")
        kept = [(place, block) for place, block in blocks if not self._is_header(block, place)]
        parts = tuple(part for place, block in kept for part in self._shown(block, place))
        return (Message("system", parts),) if any(isinstance(each, Text) and each.content for each in parts) else ()

    def _is_header(self, block: Fields, where: str) -> bool:
        """Claude Code's first block is for Anthropic's accounting. It differs from request to request, so that no other
        vendor could find again what it has kept of the prompt."""
        if not is_billing_header(block.get("text")):
            return False
        self._extra[where] = block
        return True

    def messages(self, said: list[Any]) -> Iterator[Message]:
        self._take(len(said))
        for place, each in enumerate(said):
            yield from self._message(each, f"messages[{place}]")

    def _message(self, said: Any, where: str) -> Iterator[Message]:
        if not isinstance(said, dict):
            raise wrong(where, "an object", said)
        given = said.get("role")
        role = _ROLES.get(given) if isinstance(given, str) else None
        if role is None:
            known = ", ".join(_ROLES)
            raise CallerError(
                400, "invalid_value", f"{where}.role: {given!r} is none of {known}", param=f"{where}.role"
            )
        if said.get("content") is None:
            raise wrong(f"{where}.content", "a string or an array of blocks", None)
        blocks = self._blocks(said["content"], f"{where}.content")
        if role == "assistant":
            parts = tuple(part for place, block in blocks for part in self._made(block, place))
            if parts or not blocks:
                yield Message(role, parts)
            return
        results = [(place, block) for place, block in blocks if block["type"] == "tool_result"]
        for place, block in results:
            yield Message("tool", (self._result(block, place),))
        rest = [each for each in blocks if each[1]["type"] != "tool_result"]
        if rest or not results:
            yield Message(role, tuple(part for place, block in rest for part in self._shown(block, place)))

    def _blocks(self, content: Any, where: str) -> list[tuple[str, Fields]]:
        """The blocks of a content with their places; a string is a text."""
        if content is None:
            return []
        if isinstance(content, str):
            return [(where, {"type": "text", "text": content})]
        if not isinstance(content, list):
            raise wrong(where, "a string or an array of blocks", content)
        self._take(len(content))
        for place, block in enumerate(content):
            if not isinstance(block, dict):
                raise wrong(f"{where}[{place}]", "an object", block)
            text_in(block, "type", f"{where}[{place}]")
        return [(f"{where}[{place}]", block) for place, block in enumerate(content)]

    def _take(self, parts: int) -> None:
        """Raises ``CallerError`` (400) for a conversation of too many parts."""
        self._room -= parts
        if self._room < 0:
            said = f"more than {MOST_PARTS} messages and blocks of messages"
            raise CallerError(400, "too_many_parts", said, param="messages")

    def _made(self, block: Fields, where: str) -> tuple[Part, ...]:
        """A block of what an assistant said."""
        read = _MADE.get(block["type"])
        if read is None:
            return self._shown(block, where)
        part = read(block, where)
        if isinstance(part, ToolCall):
            self._names[part.id] = part.name
            self._left_over(block, where)
        return (part,)

    def _shown(self, block: Fields, where: str) -> tuple[Part, ...]:
        """A block of what a user or a tool shows. One that the hub has no word for is left out, and named."""
        kind = block["type"]
        if kind in _MADE or kind == "tool_result":
            raise CallerError(400, "invalid_value", f"{where}: a {kind} block does not belong here", param=where)
        read = _SHOWN.get(kind)
        if read is None:
            self._extra[where] = block
            return ()
        self._left_over(block, where)
        return read(block, where)

    def _left_over(self, block: Fields, where: str) -> None:
        if block.keys() <= _BLOCK_READ:
            return
        for name, value in block.items():
            idle = not value or value in ({"enabled": False}, {"type": "direct"})
            if name not in _BLOCK_READ and not idle:
                self._extra[f"{where}.{name}"] = value

    def _result(self, block: Fields, where: str) -> ToolCallResponse:
        call_id = text_in(block, "tool_use_id", where)
        blocks = self._blocks(block.get("content"), f"{where}.content")
        parts = (part for place, each in blocks for part in self._shown(each, place))
        return ToolCallResponse(
            call_id,
            self._names.get(call_id, ""),
            tuple(part for part in parts if isinstance(part, Text | Blob | Uri | File)),
            flag(block, "is_error", f"{where}.") or False,
            cache_of(block),
        )


_BLOCK_READ = words(
    "type text source title content cache_control id name input tool_use_id is_error thinking signature data"
)


# Blocks ---------------------------------------------------------------------------------------------------------------


def _text(said: Fields, where: str) -> tuple[Part, ...]:
    return (Text(text_in(said, "text", where), cache_of(said)),)


def _media(modality: Modality) -> Callable[[Fields, str], tuple[Part, ...]]:
    def read(said: Fields, where: str) -> tuple[Part, ...]:
        source, cache = mapping(said, "source", f"{where}."), cache_of(said)
        name = said.get("title")
        name = name if isinstance(name, str) and name else None
        kind = source.get("type") if source else None
        if source is None or kind not in _SOURCES:
            known = ", ".join(_SOURCES)
            raise CallerError(
                400, "invalid_value", f"{where}.source.type: {kind!r} is none of {known}", param=f"{where}.source.type"
            )
        within = f"{where}.source"
        match kind:
            case "url":
                return (located(text_in(source, "url", within), modality, name=name, cache=cache),)
            case "file":
                return (File(modality, text_in(source, "file_id", within), cache),)
            case "content":
                return _quoted(source.get("content"), f"{within}.content", name, cache)
        data = text_in(source, "data", within)
        if kind == "text":
            encoded = base64.b64encode(data.encode(errors="replace")).decode()
            return (Blob("document", "text/plain", encoded, name=name, cache=cache),)
        return (Blob(modality, text_in(source, "media_type", within), data, name=name, cache=cache),)

    return read


_SOURCES = ("base64", "text", "url", "file", "content")


def _quoted(content: Any, where: str, name: str | None, cache: Cache | None) -> tuple[Part, ...]:
    """A document that was cut into blocks, to be cited by them: its blocks one by one, below its title."""
    titled = (Text(name),) if name else ()
    if isinstance(content, str):
        return (*titled, Text(content, cache))
    if not isinstance(content, list):
        raise wrong(where, "a string or an array of blocks", content)
    parts: list[Part] = [*titled]
    for place, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in ("text", "image"):
            raise wrong(f"{where}[{place}]", "a text or image block", block)
        parts += _SHOWN[kind](block, f"{where}[{place}]")
    if cache and parts and isinstance(parts[-1], Text | Blob | Uri | File):
        parts[-1] = msgspec.structs.replace(parts[-1], cache=cache)
    return tuple(parts)


def _search_result(said: Fields, where: str) -> tuple[Part, ...]:
    """What was found, below where: models cite it then by its source."""
    head = (said.get("title"), said.get("source"))
    name = "\n".join(each for each in head if isinstance(each, str) and each)
    return _quoted(said.get("content"), f"{where}.content", name, cache_of(said))


def _compaction(said: Fields, where: str) -> tuple[Part, ...]:
    """A summary in the place of what came before it."""
    content = said.get("content")
    return (Text(content, cache_of(said)),) if isinstance(content, str) else ()


_SHOWN: Mapping[str, Callable[[Fields, str], tuple[Part, ...]]] = {
    "text": _text,
    "image": _media("image"),
    "document": _media("document"),
    "search_result": _search_result,
    "compaction": _compaction,
}


def _call(said: Fields, where: str) -> ToolCall:
    arguments = mapping(said, "input", f"{where}.")
    return ToolCall(
        text_in(said, "id", where),
        text_in(said, "name", where),
        msgspec.json.encode(arguments or {}).decode(),
        cache=cache_of(said),
    )


def _thought(said: Fields, where: str) -> Reasoning:
    """A signature that bears a mark is another vendor's, or nobody's."""
    content, signature = text_in(said, "thinking", where), string(said, "signature", f"{where}.")
    if signature and is_marked(signature):
        return unmarked(signature, content)
    return Reasoning(content, signature or None, format=SIGNED if signature else None)


def _redacted(said: Fields, where: str) -> Reasoning:
    data = text_in(said, "data", where)
    return unmarked(data) if is_marked(data) else Reasoning(opaque=data, format=SIGNED)


_MADE: Mapping[str, Callable[[Fields, str], Part]] = {
    "tool_use": _call,
    "thinking": _thought,
    "redacted_thinking": _redacted,
}
