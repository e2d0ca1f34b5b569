"""Requests and answers of Ollama's on their way through: what is put in, and what is seen of what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.dialects.faults import garbled
from gateway.dialects.glimpse import DAMAGED, CallPart, Glimpse, Whole
from gateway.dialects.mending import decoded, mended
from gateway.dialects.ollama_answer import (
    LONGEST_LINE,
    Call,
    Function,
    Said,
    fault_of,
    read,
    reason_of,
    text_of,
    usage_of,
)
from gateway.dialects.openai_chat import fields_of
from gateway.dialects.openai_chat import rewrite as openai_rewrite
from gateway.dialects.openai_seen import short
from gateway.errors import Fault
from gateway.sse import Frame, event

# Request --------------------------------------------------------------------------------------------------------------


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    """The same object with the vendor's deltas; every other field keeps its bytes. Usage need not be asked for."""
    written = openai_rewrite(body, model, rename=rename, drop=drop)
    if max_tokens is None:
        return written
    fields: dict[str, Any] = dict(fields_of(written))
    options = decoded(_fields, fields.get("options", b"{}")) or {}
    said = decoded(_limit, options.get("num_predict", b"null"))
    # Less than 0 is no limit.
    limit = max_tokens if said is None or said < 0 else min(said, max_tokens)
    fields["options"] = {**options, "num_predict": limit}
    return msgspec.json.encode(fields)


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_limit = msgspec.json.Decoder(int | None)


# Answer ---------------------------------------------------------------------------------------------------------------


def read_whole(body: bytes, now: float) -> Whole | Fault:
    """A whole answer, checked: a 200 that holds an error, or nothing readable, is a fault."""
    try:
        answer = read(body)
    except (ValueError, RecursionError):
        return garbled("the answer is not one of Ollama's", body)
    if answer.error:
        return fault_of(answer, body, now)
    if answer.said is None:
        return garbled("the answer has no message", body)
    calls = answer.said.tool_calls or ()
    reason = reason_of(answer.done_reason, bool(calls)) if answer.done or answer.done_reason else None
    return Whole(usage=usage_of(answer), finish_reasons=(reason,), model=short(answer.model), calls=_calls(calls, ""))


def _calls(calls: Sequence[Call], line: str) -> tuple[CallPart, ...]:
    """Those without an id are told apart by their line's moment, in nanoseconds, and their places in it."""
    made = [(call, call.function or Function()) for call in calls]
    return tuple(
        CallPart(
            f"0.{short(call.id) or f'{line}.{place}'}",
            short(call.id) or "",
            short(function.name) or "",
            text_of(function.arguments),
        )
        for place, (call, function) in enumerate(made)
    )


def spoken(body: bytes) -> str:
    """The text of a whole answer."""
    try:
        said = read(body).said
    except (ValueError, RecursionError):
        return ""
    return (said and said.content) or ""


def glimpse(frame: Frame, now: float) -> Glimpse:
    """One line: is it output, is it the end, does it carry usage or an error?"""
    data = frame.data or b""
    try:
        line = read(data)
    except (ValueError, RecursionError):
        return DAMAGED
    if line.error:
        return Glimpse(fault=fault_of(line, data, now))
    said = line.said or Said()
    calls = said.tool_calls or ()
    return Glimpse(
        output=bool(said.content or said.thinking or calls),
        text=said.content or "",
        tool=bool(calls),
        calls=_calls(calls, line.created_at or ""),
        reasons={0: reason_of(line.done_reason, bool(calls)) if line.done else None},
        usage=usage_of(line) if line.done else None,
        done=line.done,
        model=short(line.model),
    )


# Going on -------------------------------------------------------------------------------------------------------------

_SHARED = ("model", "created_at")


def identity(frame: Frame) -> dict[str, Any]:
    """The fields that the lines of one answer share; the moment is the first one's."""
    said = _object(frame)
    return {key: said[key] for key in _SHARED if key in said}


def restamp(frame: Frame, first: Mapping[str, Any], text: str | None) -> bytes:
    """A line of a continuation, made to belong to the answer it continues; ``text`` replaces what it says."""
    line = _object(frame)
    if not line:
        return frame.raw
    line.update({key: first[key] for key in _SHARED if key in first and key in line})
    if text is not None and isinstance(message := line.get("message"), dict) and "content" in message:
        message["content"] = text
    return event(msgspec.json.encode(line))


def _object(frame: Frame) -> dict[str, Any]:
    data = frame.data or b"{}"
    try:
        said = msgspec.json.decode(mended(data))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


# The wire -------------------------------------------------------------------------------------------------------------


class Lines:
    """A vendor's lines, however they are cut, as the events of an event stream."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes, now: float) -> bytes:
        if self.fault:
            return b""
        first, newline, others = chunk.partition(b"\n")
        self._rest.append(first)
        self._size += len(first)
        if self._size > LONGEST_LINE:
            self.fault, self._rest = garbled(f"a line of more than {LONGEST_LINE} bytes"), []
            return b""
        if not newline:
            return b""
        *lines, rest = (b"".join(self._rest), *others.split(b"\n"))
        self._rest, self._size = [rest], len(rest)
        return b"".join(map(_event, lines))

    def end(self, now: float) -> bytes:
        """A last line may lack its end."""
        last, self._rest, self._size = b"".join(self._rest), [], 0
        return _event(last)


def _event(line: bytes) -> bytes:
    # Outside of texts, where it is only space, a carriage return would end a line of the event.
    line = line.replace(b"\r", b" ").strip()
    return event(line) if line else b""
