"""What ``skein bench`` asks, what its vendor answers, and what must arrive at the client.

The model's name tells the vendor how to answer; only the vendor that speaks Anthropic's dialect goes by its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.sse import DONE, event

EVENTS = 100
"""Of each stream, the last of them with its usage; ``[DONE]`` is not counted."""
WORDS = EVENTS - 3
PACED, DRIP = 0.005, 0.1
"""Seconds between the events of a stream."""
FLOOD_EVENTS = 128

WORD, TEXT = " word", "z" * 700


class Expected(msgspec.Struct, frozen=True):
    """A right answer. What is None may be anything: somebody else's vendor answers as it likes.

    ``said``: the whole of a message; a gateway may add to what stands around it, such as what it cost.
    """

    stream: bool = False
    said: bytes | None = None
    events: int | None = None
    words: int | None = None


class Case(msgspec.Struct, frozen=True):
    """``share``: of ``--requests``. ``beside``: the case of a bare proxy it is compared with, if that cannot do it."""

    name: str
    body: Mapping[str, Any]
    expected: Expected
    share: float = 1.0
    connections: int | None = None
    beside: str = ""

    @property
    def of_any_vendor(self) -> bool:
        """Nothing in it needs our own vendor."""
        return not self.beside

    def named(self, model: str) -> Case:
        """The same, of a model that somebody else answers."""
        lax = Expected(stream=self.expected.stream)
        return msgspec.structs.replace(self, body={**self.body, "model": model}, expected=lax)


def mistake(expected: Expected, status: int, body: bytes) -> str | None:
    """What is wrong with an answer, in a few words."""
    if status != 200:
        return f"status {status}"
    if expected.said is not None and expected.said not in body:
        return "another answer"
    if not expected.stream:
        return None
    if not body.endswith(DONE):
        return "no [DONE]"
    if expected.events is not None and events_of(body) != expected.events:
        return "events missing or too many"
    if expected.words is not None and body.count(_WORD_SAID) != expected.words:
        return "words missing or too many"
    return None


def events_of(body: bytes) -> int:
    return body.count(b"data: {")


# What is answered -----------------------------------------------------------------------------------------------------

_WORD_SAID = WORD.encode() + b'"'
_USAGE = {"prompt_tokens": 200, "completion_tokens": WORDS, "total_tokens": 200 + WORDS}
_SHARED = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench"}


def whole() -> bytes:
    """One of about 1 KB."""
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return msgspec.json.encode({**_SHARED, "object": "chat.completion", "choices": [choice], "usage": _USAGE})


def events(text: str = WORD, count: int = EVENTS) -> list[bytes]:
    """A stream of so many events that says this text with each; ``[DONE]`` is the last element."""
    deltas = [{"role": "assistant", "content": ""}, *({"content": text} for _ in range(count - 3)), {}]
    reasons = [*[None] * (count - 2), "stop"]
    chunks: list[dict[str, Any]] = [
        {**_SHARED, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in zip(deltas, reasons, strict=True)
    ]
    chunks.append({**_SHARED, "choices": [], "usage": _USAGE})
    return [*(event(msgspec.json.encode(chunk)) for chunk in chunks), DONE]


def anthropic_events() -> list[bytes]:
    """https://docs.anthropic.com/en/docs/build-with-claude/streaming"""

    def said(name: str, **fields: Any) -> bytes:
        return event(msgspec.json.encode({"type": name, **fields}), name.encode())

    usage = {"input_tokens": 200, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "bench", "content": [], "usage": usage}
    return [
        said("message_start", message=message),
        said("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *[said("content_block_delta", index=0, delta={"type": "text_delta", "text": WORD})] * WORDS,
        said("content_block_stop", index=0),
        said("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": WORDS}),
        said("message_stop"),
    ]


# What is asked --------------------------------------------------------------------------------------------------------


def _conversation() -> list[dict[str, Any]]:
    """60 messages of an agent's: its task, then calls and their results in turn."""
    said: list[dict[str, Any]] = [{"role": "system", "content": "s" * 1500}, {"role": "user", "content": "u" * 400}]
    for turn in range(29):
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "tool_1", "arguments": '{"path":"a"}'}}
        said.append({"role": "assistant", "content": "r" * 60, "tool_calls": [call]})
        said.append({"role": "tool", "tool_call_id": f"call_{turn}", "content": "t" * 520})
    return said


def _tools() -> list[dict[str, Any]]:
    fields = {name: {"type": "string", "description": "d" * 60} for name in ("path", "pattern", "text")}
    schema = {"type": "object", "properties": fields, "required": ["path"]}
    return [
        {"type": "function", "function": {"name": f"tool_{at}", "description": "w" * 120, "parameters": schema}}
        for at in range(10)
    ]


_MESSAGES = [{"role": "user", "content": "x" * 900}]
_STREAM = {"stream": True, "stream_options": {"include_usage": True}}
_ANSWER = Expected(said=TEXT.encode())
_EVENTS = Expected(stream=True, events=EVENTS, words=WORDS)

CASES: Mapping[str, Case] = {
    each.name: each
    for each in (
        Case("small", {"model": "small", "messages": _MESSAGES}, _ANSWER),
        Case("agent", {"model": "small", "messages": _conversation(), "tools": _tools()}, _ANSWER, share=0.6),
        Case("burst", {"model": "burst", "messages": _MESSAGES, **_STREAM}, _EVENTS, share=0.6),
        Case("paced", {"model": "paced", "messages": _MESSAGES, **_STREAM}, _EVENTS, share=0.1, connections=100),
        Case("failing", {"model": "failing", "messages": _MESSAGES}, _ANSWER, beside="small"),
        Case("breaking", {"model": "failing", "messages": _MESSAGES, **_STREAM}, _EVENTS, share=0.6, beside="burst"),
        Case(
            "translated",
            {"model": "translated", "messages": _MESSAGES, **_STREAM},
            Expected(stream=True, words=WORDS),
            share=0.3,
            beside="burst",
        ),
    )
}
"""``failing`` and ``breaking``: every tenth request of whole answers, or of streams, fails; a backup answers."""

DRIPPING = Case("drip", {"model": "drip", "messages": _MESSAGES, **_STREAM}, _EVENTS)
FLOODING = Case(
    "flood", {"model": "flood", "messages": _MESSAGES, **_STREAM}, Expected(stream=True, events=FLOOD_EVENTS)
)
