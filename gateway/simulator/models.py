"""The simulator's models: a closed grammar of names, and what each of them says to a request.

echo tools json reasoning              what is said
slow-<duration> paced-<duration>       echo, after that long or with that pause between its events
long-<n>                               n words
fail-<fault> flaky-<fault>             echo that fails always, or on every other call beginning with the first
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from gateway.dialects.openai_chat import GO_ON, text_of
from gateway.errors import CallerError
from gateway.simulator.faults import FAULTS, Failing
from gateway.simulator.values import value_for
from gateway.units import parse_duration

MOST_WORDS = 100_000
ECHOED = 64 * 1024
"""Bytes of a text that are repeated."""


# Requests, as far as they are read ------------------------------------------------------------------------------------

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Message(msgspec.Struct):
    role: str
    content: Any = None


class _Function(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    function: _Function | None = None


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


class EmbeddingsRequest(msgspec.Struct):
    model: str | None = None
    input: str | list[str | int | list[int]] = ""
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=3072)] | None = None
    encoding_format: str | None = None


# Names ----------------------------------------------------------------------------------------------------------------


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    text: str = ""
    reasoning: str = ""
    tool: tuple[str, str] | None = None
    """Name and arguments of a tool call, in place of a text."""
    finish: str = "stop"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What a name means. ``delay`` and ``pace`` are seconds."""

    name: str
    answer: Callable[[ChatRequest], Answer]
    delay: float = 0.0
    pace: float = 0.0
    fault: Failing | None = None
    flaky: bool = False


_DURATION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?(ms|s|m|h)")
_COUNT = re.compile(r"[1-9][0-9]{0,5}")


def find(name: str) -> Model:
    """The model of this name. Raises ``CallerError`` when the grammar has no such name."""
    kind, _, value = name.partition("-")
    if name in FIXED:
        return Model(name=name, answer=FIXED[name])
    if kind in ("fail", "flaky") and value in FAULTS:
        return Model(name=name, answer=echo, fault=FAULTS[value], flaky=kind == "flaky")
    if kind == "slow" and _DURATION.fullmatch(value):
        return Model(name=name, answer=echo, delay=parse_duration(value))
    if kind == "paced" and _DURATION.fullmatch(value):
        return Model(name=name, answer=echo, pace=parse_duration(value))
    if kind == "long" and _COUNT.fullmatch(value) and int(value) <= MOST_WORDS:
        return Model(name=name, answer=functools.partial(long, count=int(value)))
    if not name:
        raise CallerError(400, "missing_model", "you must provide a model parameter", param="model")
    said = f"The model `{name[:200]}` does not exist or you do not have access to it."
    raise CallerError(404, "model_not_found", said)


# Answers --------------------------------------------------------------------------------------------------------------


def echo(request: ChatRequest) -> Answer:
    wants_text = request.response_format is None or request.response_format.type == "text"
    return Answer(text=_echoed(request)) if wants_text else structured(request)


def structured(request: ChatRequest) -> Answer:
    wanted = request.response_format
    schema = wanted.json_schema.schema if wanted and wanted.type == "json_schema" and wanted.json_schema else None
    value = {"echo": _echoed(request)} if schema is None else value_for(schema)
    return Answer(text=msgspec.json.encode(value).decode())


def tools(request: ChatRequest) -> Answer:
    last = request.messages[-1]
    if last.role == "tool":
        return Answer(text=f'The tool answered: "{_bounded(text_of(last.content))}"')
    offered = next((tool.function for tool in request.tools or () if tool.function), None)
    if offered is None or request.tool_choice == "none":
        return Answer(text="There is no tool to call.")
    arguments = value_for({"type": "object", **(offered.parameters or {})})
    return Answer(tool=(offered.name, msgspec.json.encode(arguments).decode()), finish="tool_calls")


def reasoning(request: ChatRequest) -> Answer:
    text = _echoed(request)
    return Answer(reasoning=f"The last user message has {len(text)} characters; I repeat them.", text=text)


def long(request: ChatRequest, count: int) -> Answer:
    return Answer(text=" ".join(f"word{number}" for number in range(1, count + 1)))


FIXED: Mapping[str, Callable[[ChatRequest], Answer]] = {
    "echo": echo,
    "tools": tools,
    "json": structured,
    "reasoning": reasoning,
}
EXAMPLES = ("slow-2s", "paced-50ms", "long-1000", "fail-503", "fail-cut", "flaky-429", "flaky-503")


def _echoed(request: ChatRequest) -> str:
    """The last user text; of an answer that broke off, what is still missing."""
    asked, said = _begun(request.messages)
    text = _repeated(asked)
    return text[len(said) :] if text.startswith(said) else text


def _begun(messages: list[Message]) -> tuple[list[Message], str]:
    """What was asked, and what of the answer is there already: by a prefill, or before the request to go on."""
    asked = messages[:-1] if messages[-1].content == GO_ON else messages
    if asked and asked[-1].role == "assistant":
        return asked[:-1], text_of(asked[-1].content)
    return messages, ""


def _repeated(messages: list[Message]) -> str:
    content = next((message.content for message in reversed(messages) if message.role == "user"), None)
    parts = content if isinstance(content, list) else []
    images = sum(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)
    seen = f"[{images} image{'s' if images > 1 else ''}]" if images else ""
    return " ".join(filter(None, (_bounded(text_of(content)), seen))) or "There is nothing to repeat."


def _bounded(text: str) -> str:
    return text[:ECHOED].encode(errors="replace")[:ECHOED].decode(errors="ignore")
