"""What the simulator reads of a request, and what a model answers to it."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class _CalledFunction(msgspec.Struct):
    name: str = ""


class _Called(msgspec.Struct):
    function: _CalledFunction = msgspec.field(default_factory=_CalledFunction)


class Message(msgspec.Struct):
    role: str
    content: Any = None
    tool_calls: list[_Called] | None = None


class Function(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    function: Function | None = None


class _Schema(msgspec.Struct):
    schema: dict[str, Any] = {}


class _Format(msgspec.Struct):
    type: str = "text"
    json_schema: _Schema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    model: str | None = None
    messages: list[Message] = []
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    tool_choice: Any = None
    response_format: _Format | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    max_tokens: _Positive | None = None
    max_completion_tokens: _Positive | None = None

    @property
    def offered(self) -> list[Function]:
        """The tools that may be called."""
        tools = () if self.tool_choice == "none" else self.tools or ()
        return [tool.function for tool in tools if tool.function]


class EmbeddingsRequest(msgspec.Struct):
    model: str | None = None
    input: str | list[str | int | list[int]] = ""
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=3072)] | None = None
    encoding_format: str | None = None


class ToolCall(NamedTuple):
    name: str
    arguments: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    """Tool calls, in place of a text."""
    finish: str = "stop"
