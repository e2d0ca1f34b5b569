"""What the simulator will say to a call, and when: OpenAI's shapes, with the model's pace and fault laid over them."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.dialects.openai_chat import error_body, text_of
from gateway.errors import CallerError, Fault
from gateway.simulator.faults import Break, NoHead, Refusal, Said
from gateway.simulator.models import EXAMPLES, FIXED, Model
from gateway.simulator.requests import Answer, ChatRequest, EmbeddingsRequest, Message, ToolCall
from gateway.sse import DONE, event

EPOCH = 1_750_000_000
DIMENSIONS = 256
MOST_INPUTS, MOST_NUMBERS = 2048, 2**20
"""Texts of one embeddings call, and numbers of its answer."""
_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


class Item(NamedTuple):
    """Bytes that are due this many seconds after the head. ``b""`` is the end, a fault is how it broke."""

    due: float
    said: bytes | Fault


END = Item(0.0, b"")


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One reply. ``head`` is seconds from the call."""

    status: int = 200
    headers: Mapping[str, str]
    items: Iterable[Item]
    head: float = 0.0
    tokens: int = 0
    """What it takes of the account's tokens per minute."""


def chat(request: ChatRequest, model: Model, number: int) -> Script | Fault:
    """The reply to the n-th call."""
    if not request.messages:
        said = "Missing required parameter: 'messages'."
        raise CallerError(400, "missing_required_parameter", said, param="messages")
    if isinstance(model.fault, Refusal | NoHead):
        return refused(model.fault)
    answer = _limited(model.answer(request), request.max_completion_tokens or request.max_tokens)
    deltas = _deltas(answer)
    usage = _usage(request, answer, len(deltas))
    # The first event of each choice says only its role; the middle comes after some output.
    middle = (request.n or 1) * (1 + max(1, len(deltas) // 2))
    if not request.stream:
        body = msgspec.json.encode(_completion(request, answer, number, usage))
        script = _whole(body, model, model.delay + model.pace * len(deltas) + model.pause)
    else:
        events: Iterable[Said] = _chunks(request, answer, deltas, number, usage)
        if model.fault:
            events = model.fault.stream(_chunks(request, answer, deltas, number, usage), middle)
        script = Script(headers=_EVENTS, items=_timed(events, model, middle))
    return msgspec.structs.replace(script, tokens=usage["total_tokens"])


def embeddings(request: EmbeddingsRequest, model: Model) -> Script | Fault:
    if isinstance(model.fault, Refusal | NoHead):
        return refused(model.fault)
    inputs = _inputs(request.input)
    size = request.dimensions or DIMENSIONS
    if not inputs or not all(inputs) or len(inputs) > MOST_INPUTS or len(inputs) * size > MOST_NUMBERS:
        said = f"'$.input' is invalid: 1 to {MOST_INPUTS} texts, none empty, {MOST_NUMBERS} numbers in all."
        raise CallerError(400, "invalid_value", said, param="input")
    vectors = [_vector(text, size) for text in inputs]
    shown = [_packed(vector) for vector in vectors] if request.encoding_format == "base64" else vectors
    tokens = sum(_words(text) if isinstance(text, str) else len(text) for text in inputs)
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(shown)],
        "model": model.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    script = _whole(msgspec.json.encode(answer), model, model.delay + model.pause)
    return msgspec.structs.replace(script, tokens=tokens)


def listing() -> Script:
    names = (*FIXED, *EXAMPLES)
    data = [{"id": name, "object": "model", "created": EPOCH, "owned_by": "skein"} for name in names]
    body = msgspec.json.encode({"object": "list", "data": data})
    return Script(headers=_JSON, items=[Item(0.0, body)])


def refused(fault: Refusal | NoHead) -> Script | Fault:
    if isinstance(fault, NoHead):
        return fault.fault or Script(headers={}, items=(), head=math.inf)
    headers = {"content-type": "text/html"} if fault.page else {**_JSON, **fault.headers}
    body = fault.page or error_body(fault.error)
    return Script(status=fault.status, headers=headers, items=[Item(0.0, body)])


def _whole(body: bytes, model: Model, head: float) -> Script:
    said: Iterable[Said] = model.fault.whole(body) if isinstance(model.fault, Break) else (body,)
    items = (Item(math.inf, b"") if each is None else Item(0.0, each) for each in said)
    return Script(headers=_JSON, items=items, head=head)


def _timed(said: Iterable[Said], model: Model, middle: int) -> Iterator[Item]:
    """The first event, which says only a role, is never held back."""
    for place, each in enumerate(said):
        due = model.delay + model.pace * place if place else 0.0
        pause = model.pause if place >= middle else 0.0
        yield Item(math.inf, b"") if each is None else Item(due + pause, each)


# Chat -----------------------------------------------------------------------------------------------------------------


def _limited(answer: Answer, limit: int | None) -> Answer:
    pieces = _pieces(answer.text)
    if limit is None or len(pieces) <= limit:
        return answer
    return msgspec.structs.replace(answer, text="".join(pieces[:limit]), finish="length")


def _pieces(text: str) -> list[str]:
    """A text as tokens might cut it: words with the blanks before them, long ones (and Chinese) in parts."""
    return re.findall(r"\s*\S{1,16}|\s+", text)


def _words(text: str) -> int:
    """A count that is cheap on the largest of conversations."""
    return text.count(" ") + text.count("\n") + 1 if text else 0


def _deltas(answer: Answer) -> list[dict[str, Any]]:
    """The output of one choice, an event each: reasoning, text, or tool calls (a name once, then its arguments)."""
    deltas: list[dict[str, Any]] = [{"reasoning_content": piece} for piece in _pieces(answer.reasoning)]
    deltas += [{"content": piece} for piece in _pieces(answer.text)]
    for place, (name, arguments) in enumerate(answer.calls):
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": place, "type": "function", "function": function}]})
        for start in range(0, len(arguments), 16):
            piece = {"arguments": arguments[start : start + 16]}
            deltas.append({"tool_calls": [{"index": place, "function": piece}]})
    return deltas


def _base(request: ChatRequest, number: int, kind: str) -> dict[str, Any]:
    made = {"id": f"chatcmpl-simulated{number:08d}", "object": kind, "created": EPOCH + number}
    return {**made, "model": request.model, "system_fingerprint": "fp_simulated"}


def _completion(request: ChatRequest, answer: Answer, number: int, usage: dict[str, Any]) -> dict[str, Any]:
    choices = []
    for index in range(request.n or 1):
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.calls:
            calls = [_call(each, _call_id(number, index, place)) for place, each in enumerate(answer.calls)]
            message |= {"content": None, "tool_calls": calls}
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": answer.finish})
    return {**_base(request, number, "chat.completion"), "choices": choices, "usage": usage}


def _chunks(
    request: ChatRequest, answer: Answer, deltas: list[dict[str, Any]], number: int, usage: dict[str, Any]
) -> Iterator[bytes]:
    """All events of the stream, the choices interleaved, made as they are read."""
    base = _base(request, number, "chat.completion.chunk")
    wants_usage = bool(request.stream_options and request.stream_options.include_usage)
    # Asked for, it is null on every event but a last one without choices; not asked for, it is not there:
    # https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options
    tail: dict[str, Any] = {"usage": None} if wants_usage else {}
    indexes = range(request.n or 1)

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(msgspec.json.encode({**base, "choices": [choice], **tail}))

    role = {"role": "assistant", "content": None if answer.calls else "", "refusal": None}
    yield from (chunk(index, role) for index in indexes)
    for delta in deltas:
        yield from (chunk(index, _with_id(delta, number, index)) for index in indexes)
    yield from (chunk(index, {}, answer.finish) for index in indexes)
    if wants_usage:
        yield event(msgspec.json.encode({**base, "choices": [], "usage": usage}))
    yield DONE


def _call(call: ToolCall, call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": call._asdict()}


def _with_id(delta: dict[str, Any], number: int, index: int) -> dict[str, Any]:
    """A tool call says its id once, beside its name."""
    calls = delta.get("tool_calls")
    if not calls or "type" not in calls[0]:
        return delta
    return {"tool_calls": [{"id": _call_id(number, index, calls[0]["index"]), **calls[0]}]}


def _call_id(number: int, index: int, place: int) -> str:
    """Of the n-th reply's choice, its call at that place."""
    return f"call_simulated{number:08d}_{index}" + (f"_{place}" if place else "")


def _usage(request: ChatRequest, answer: Answer, pieces: int) -> dict[str, Any]:
    """Words in, pieces out, of every choice."""
    choices = request.n or 1
    read, written, new = _counted(request.messages)
    asked = max(1, read + written + new)
    thought = len(_pieces(answer.reasoning)) * choices
    return {
        "prompt_tokens": asked,
        "completion_tokens": pieces * choices,
        "total_tokens": asked + pieces * choices,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
    }


def _counted(messages: list[Message]) -> tuple[int, int, int]:
    """Words of before the last exchange, read from the cache; of that exchange, written to it; and of after it."""
    words = [_words(text_of(message.content)) for message in messages]
    answers = [place for place, message in enumerate(messages) if message.role == "assistant"]
    began = answers[-2] if len(answers) > 1 else 0
    ended = answers[-1] + 1 if answers else 0
    return sum(words[:began]), sum(words[began:ended]), sum(words[ended:])


# Embeddings -----------------------------------------------------------------------------------------------------------


def _inputs(said: str | list[str | int | list[int]]) -> list[str | list[int]]:
    """One text, one text as token ids, or a list of either."""
    if isinstance(said, str):
        return [said]
    ids = [each for each in said if isinstance(each, int)]
    return [ids] if ids else [each for each in said if not isinstance(each, int)]


def _vector(text: str | list[int], size: int) -> list[float]:
    """A direction that depends on nothing but the text, of length one."""
    digest = hashlib.shake_256(msgspec.json.encode(text)).digest(4 * size)
    numbers = [number + 0.5 for number in struct.unpack(f"<{size}i", digest)]
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
