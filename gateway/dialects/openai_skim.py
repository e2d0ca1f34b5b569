"""Events of an OpenAI-shaped stream that only let the model say more, told from all others by one narrow decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec


class _PlainFunction(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    arguments: str = ""
    name: Literal["", None] = None


class _PlainCall(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The next piece of a call that has begun."""

    function: _PlainFunction
    index: int | None = None
    id: Literal["", None] = None
    type: Literal["function", None] = None


class _PlainDelta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    content: str | None = None
    role: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[_PlainCall] | None = None
    function_call: None = None
    obfuscation: str | None = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainDelta
    index: Literal[0] = 0
    finish_reason: Literal["", None] = None


class _PlainChunk(msgspec.Struct, gc=False):
    """An event that does no more than let the first choice say something.

    It has the fields of ``openai_chat``'s own chunk, narrower, so that what fits in here means the same there; an
    event that does not fit may mean anything.
    """

    choices: tuple[_PlainChoice]
    id: str | None = None
    model: str | None = None
    usage: None = None
    error: None = None
    x_groq: None = None
    object: Literal["chat.completion.chunk", "chat.completion", "", None] = None
    type: None = None


plain_chunk = msgspec.json.Decoder(_PlainChunk)


def skim(events: Sequence[bytes], calling: bool) -> list[str | None]:
    """Of each event the text it adds to the first choice, "" for thoughts and the like; None: to be read with care."""
    read = plain_chunk.decode
    said: list[str | None] = []
    for data in events:
        try:
            chunk = read(data)
        except (ValueError, RecursionError):
            said.append(None)
            continue
        delta = chunk.choices[0].delta
        besides = (
            delta.tool_calls or delta.reasoning_content or delta.reasoning or delta.reasoning_details or delta.refusal
        )
        if not besides:
            said.append(delta.content or None)
        elif delta.content or (delta.tool_calls and not calling):
            said.append(None)
        else:
            said.append("")
    return said
