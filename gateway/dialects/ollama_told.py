"""Answers as Ollama has them, whole and line by line: https://docs.ollama.com/api/chat and /api/generate.

A line is an event of an event stream here. Durations are not ours to know: they are 0. Ollama's own SDK takes further
fields and passes them over, so an error says all of ours beside its message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.chat import (
    Began,
    Blob,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Choice,
    Finished,
    Part,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
    Usage,
)
from gateway.dialects.openai_answer import call_id
from gateway.sse import event

Fields = dict[str, Any]
Shape = Callable[[Fields], Fields]
"""``content``, ``thinking``, ``images`` and ``tool_calls`` -> where a line has them."""

_encode = msgspec.json.Encoder().encode


def of_chat(said: Fields) -> Fields:
    return {"message": {"role": "assistant", **said}}


def of_generate(said: Fields) -> Fields:
    """No tool is on offer there, so none is called."""
    thinking = {"thinking": said["thinking"]} if "thinking" in said else {}
    return {"response": said["content"], **thinking}


def encode_answer(
    answer: ChatResponse, *, id: str, model: str, created: int, asked: bytes = b"", shape: Shape = of_chat
) -> bytes:
    """The first choice: there are never more. ``asked`` tells nothing that is needed."""
    choice = answer.choices[0] if answer.choices else Choice((), "stop")
    body = {**_identity(answer.model or model, created), **shape(_said(choice.parts, answer.id or id))}
    logprobs = choice.logprobs.get("content") if isinstance(choice.logprobs, Mapping) else None
    if logprobs:
        body["logprobs"] = logprobs
    return _encode({**body, **_done(choice.finish_reason, answer.usage)})


def _identity(model: str, created: int) -> Fields:
    return {"model": model, "created_at": moment(created)}


def moment(epoch: int) -> str:
    """Seconds since 1970 as RFC 3339 has them."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _said(parts: Sequence[Part], answer_id: str) -> Fields:
    said: Fields = {"content": "".join(part.content for part in parts if isinstance(part, Text | Refusal))}
    if thinking := "".join(part.content for part in parts if isinstance(part, Reasoning)):
        said["thinking"] = thinking
    if images := [part.content for part in parts if isinstance(part, Blob) and part.modality == "image"]:
        said["images"] = images
    if calls := [part for part in parts if isinstance(part, ToolCall)]:
        said["tool_calls"] = [
            _call(place, call.id or call_id(answer_id, 0, place), call.name, call.arguments)
            for place, call in enumerate(calls)
        ]
    return said


def _call(place: int, id: str, name: str, arguments: str) -> Fields:
    return {"id": id, "function": {"index": place, "name": name, "arguments": object_in(arguments)}}


def object_in(arguments: str) -> Fields:
    """A call's arguments as the object they must be; what is none is the one argument ``arguments``."""
    try:
        said = msgspec.json.decode(arguments or "{}")
    except (ValueError, RecursionError):
        said = arguments
    return said if isinstance(said, dict) else {"arguments": said}


def _done(reason: str | None, usage: Usage | None) -> Fields:
    done: Fields = {
        "done": True,
        "done_reason": reason if reason in ("length", "content_filter") else "stop",
        "total_duration": 0,
        "load_duration": 0,
    }
    if usage is None:
        return done
    return {
        **done,
        "prompt_eval_count": usage.input_tokens,
        "prompt_eval_duration": 0,
        "eval_count": usage.output_tokens,
        "eval_duration": 0,
    }


# Stream ---------------------------------------------------------------------------------------------------------------


class StreamEncoder:
    """A line per event; tool calls come whole, all in one line, before the last."""

    def __init__(self, id: str, model: str, created: int, shape: Shape) -> None:
        self.place = 0
        self._id, self._model, self._created, self._shape = id, model, created, shape
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        """By their places: id, name, and the arguments in pieces."""
        self._reason: str | None = None

    def feed(self, event: ChatEvent) -> bytes:
        # One answer is all there is room for.
        if getattr(event, "choice", 0):
            return b""
        match event:
            case TextDelta() | RefusalDelta():
                return self._line({**self._shape({"content": event.text}), "done": False})
            case ReasoningDelta():
                return self._line({**self._shape({"content": "", "thinking": event.text}), "done": False})
            case CallBegan():
                call_name = event.id or call_id(self._id, 0, event.place)
                self._calls[event.place] = (call_name, event.name, [])
            case CallDelta() if event.place in self._calls:
                self._calls[event.place][2].append(event.arguments)
            case Finished():
                self._reason = event.reason
            case Began() if not self.place:
                self._id, self._model = event.id or self._id, event.model or self._model
        return b""

    def end(self, usage: Usage | None, cost: float | None) -> bytes:
        last = {**self._shape({"content": ""}), **_done(self._reason, usage)}
        return self._called() + self._line(last)

    def identity(self) -> Fields:
        return _identity(self._model, self._created)

    def _called(self) -> bytes:
        if not self._calls:
            return b""
        calls = [_call(place, id, name, "".join(said)) for place, (id, name, said) in sorted(self._calls.items())]
        self._calls = {}
        return self._line({**self._shape({"content": "", "tool_calls": calls}), "done": False})

    def _line(self, fields: Fields) -> bytes:
        self.place += 1
        return event(_encode({**self.identity(), **fields}))


def stream_encoder(
    *, id: str, model: str, created: int, usage: bool, asked: bytes = b"", shape: Shape = of_chat
) -> StreamEncoder:
    """``usage`` is always told."""
    return StreamEncoder(id, model, created, shape)


# Errors ---------------------------------------------------------------------------------------------------------------


def error_body(error: Mapping[str, Any], status: int = 500) -> bytes:
    """A text, which Ollama's SDKs raise; what else is known stands beside it."""
    return _encode({"error": error["message"], **{key: said for key, said in error.items() if key != "message"}})


def error_frame(error: Mapping[str, Any], status: int = 500, place: int = 0) -> bytes:
    return event(error_body(error, status))
