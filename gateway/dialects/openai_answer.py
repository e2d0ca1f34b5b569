"""Answers as OpenAI's chat has them, whole and in chunks: https://platform.openai.com/docs/api-reference/chat/object

Thoughts go out as ``reasoning_content``; the signed ones also as ``reasoning_details``, and a call's own signature as
``extra_content``, in the shapes that ``openai_request`` reads: a client that sends them back loses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import (
    Began,
    Blob,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Finished,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
    Uri,
    Usage,
)
from gateway.dialects.openai_parts import FORMATS, UNSIGNED
from gateway.sse import DONE

_encode = msgspec.json.Encoder().encode


def encode_answer(answer: ChatResponse, *, id: str, model: str, created: int, asked: bytes = b"") -> bytes:
    """A whole answer. ``id``, ``model``: for the answer that does not name its own."""
    name = answer.id or named(id)
    body: dict[str, Any] = {
        "id": name,
        "object": "chat.completion",
        "created": created,
        "model": answer.model or model,
        "choices": [
            {
                "index": place,
                "message": message_of(choice.parts, name, place),
                "logprobs": choice.logprobs,
                "finish_reason": choice.finish_reason,
            }
            for place, choice in enumerate(answer.choices)
        ],
    }
    if answer.usage is not None:
        body["usage"] = usage_of(answer.usage)
    return _encode(body)


def named(exchange_id: str) -> str:
    return f"chatcmpl-{exchange_id}"


def message_of(parts: Sequence[Part], answer_id: str, choice: int = 0) -> dict[str, Any]:
    """An assistant's message. ``content`` is null where nothing but calls, or a refusal, was said."""
    texts = [part.content for part in parts if isinstance(part, Text)]
    refusals = [part.content for part in parts if isinstance(part, Refusal)]
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    text = "".join(texts)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not (calls or refusals) else None,
        "refusal": "".join(refusals) or None,
    }
    if thought := "".join(each.content for each in thoughts):
        message["reasoning_content"] = thought
    if details := _details(thoughts):
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id or call_id(answer_id, choice, place),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
                **_signed(call.signature),
            }
            for place, call in enumerate(calls)
        ]
    _add_media(message, parts, answer_id)
    return message


def _add_media(message: dict[str, Any], parts: Sequence[Part], answer_id: str) -> None:
    """Images as OpenRouter and LiteLLM hand them on, for OpenAI's own chat returns none; sound as OpenAI does."""
    images, sounds = [], []
    for part in parts:
        if isinstance(part, Blob) and part.modality == "audio":
            sounds.append(part)
        elif isinstance(part, Blob):
            images.append(f"data:{part.mime_type};base64,{part.content}")
        elif isinstance(part, Uri):
            images.append(part.uri)
    if images:
        message["images"] = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    if sounds:
        message["audio"] = {"id": f"audio_{answer_id}", "data": sounds[0].content, "expires_at": 0, "transcript": ""}


def call_id(answer_id: str, choice: int, place: int) -> str:
    """For a call that its vendor gave no id: the same every time, and unlike those of other answers."""
    return "call_" + hashlib.sha256(f"{answer_id}.{choice}.{place}".encode()).hexdigest()[:24]


def _signed(signature: str | None) -> dict[str, Any]:
    # As Google's own OpenAI-compatible endpoint does: https://ai.google.dev/gemini-api/docs/thought-signatures#openai
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def _details(thoughts: Sequence[Reasoning], begin: int = 0) -> list[dict[str, Any]]:
    """The signed thoughts in OpenRouter's words. ``index`` counts, ``id`` ties together what is of one thought.

    https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks
    """
    made: list[dict[str, Any]] = []
    for thought in thoughts:
        if not (thought.signature or thought.opaque or thought.format in UNSIGNED):
            continue
        of_one = {"id": f"reasoning_{begin + len(made)}", "format": FORMATS.get(thought.format or "", thought.format)}
        if thought.signature:
            made.append({"type": "reasoning.text", "text": thought.content, "signature": thought.signature, **of_one})
        elif thought.content:
            made.append({"type": "reasoning.summary", "summary": thought.content, **of_one})
        if thought.opaque:
            made.append({"type": "reasoning.encrypted", "data": thought.opaque, **of_one})
    return [{**each, "index": begin + place} for place, each in enumerate(made)]


def usage_of(usage: Usage, cost: float | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": usage.input_audio_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
        },
    }
    if cost is not None:
        said["cost"] = cost
    return said


# Stream ---------------------------------------------------------------------------------------------------------------


class StreamEncoder:
    """A chunk per event, put together from bytes that were prepared once."""

    def __init__(self, *, id: str, model: str, created: int, usage: bool) -> None:
        """``usage``: the client asked for it."""
        self._id, self._model, self._created, self._usage = named(id), model, created, usage
        self.place = 0
        self._heads: dict[int, bytes] = {}
        """Of the choices that have begun: a chunk up to its delta's fields."""
        self._tail = b'},"logprobs":null,"finish_reason":null}]' + (b',"usage":null}\n\n' if usage else b"}\n\n")
        self._silent: dict[int, dict[int, None]] = {}
        """By choice, the calls whose arguments have not begun."""
        self._finished: set[int] = set()
        self._thoughts: dict[int, int] = {}

    def feed(self, event: ChatEvent) -> bytes:
        write = _WRITTEN.get(type(event))
        return write(self, event) if write else b""

    def end(self, usage: Usage | None, cost: float | None) -> bytes:
        if not self._usage or usage is None:
            return DONE
        said = _encode(usage_of(usage, cost))
        return b"".join((b"data: ", self._identity(), b',"choices":[],"usage":', said, b"}\n\n", DONE))

    def identity(self) -> dict[str, Any]:
        return {"id": self._id, "created": self._created, "model": self._model}

    def _identity(self) -> bytes:
        return _encode(
            {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self._model}
        )[:-1]

    def _head(self, choice: int) -> bytes:
        """A choice's first chunk says who is speaking."""
        head = b"".join((b"data: ", self._identity(), b',"choices":[{"index":', str(choice).encode(), b',"delta":{'))
        self._heads[choice] = head
        return head + b'"role":"assistant",'

    def _chunk(self, choice: int, fields: bytes) -> bytes:
        return b"".join((self._heads.get(choice) or self._head(choice), fields, self._tail))

    def _began(self, event: Began) -> bytes:
        if not self._heads:
            self._id, self._model = event.id or self._id, event.model or self._model
        return b""

    def _text(self, event: TextDelta) -> bytes:
        head = self._heads.get(event.choice) or self._head(event.choice)
        return b"".join((head, b'"content":', _encode(event.text), self._tail))

    def _thought(self, event: ReasoningDelta) -> bytes:
        head = self._heads.get(event.choice) or self._head(event.choice)
        return b"".join((head, b'"reasoning_content":', _encode(event.text), self._tail))

    def _sealed(self, event: ReasoningSealed) -> bytes:
        begin = self._thoughts.get(event.choice, 0)
        details = _details((event.part,), begin)
        if not details:
            return b""
        self._thoughts[event.choice] = begin + len(details)
        return self._chunk(event.choice, b'"reasoning_details":' + _encode(details))

    def _refusal(self, event: RefusalDelta) -> bytes:
        return self._chunk(event.choice, b'"refusal":' + _encode(event.text))

    def _call(self, event: CallBegan) -> bytes:
        self._silent.setdefault(event.choice, {})[event.place] = None
        call = {
            "index": event.place,
            "id": event.id or call_id(self._id, event.choice, event.place),
            "type": "function",
            "function": {"name": event.name, "arguments": ""},
            **_signed(event.signature),
        }
        return self._chunk(event.choice, b'"tool_calls":[' + _encode(call) + b"]")

    def _arguments(self, event: CallDelta) -> bytes:
        if not event.arguments:
            return b""
        if silent := self._silent.get(event.choice):
            silent.pop(event.place, None)
        place, arguments = str(event.place).encode(), _encode(event.arguments)
        fields = (b'"tool_calls":[{"index":', place, b',"function":{"arguments":', arguments, b"}}]")
        return self._chunk(event.choice, b"".join(fields))

    def _finish(self, event: Finished) -> bytes:
        if event.choice in self._finished:
            return b""
        self._finished.add(event.choice)
        # A call without arguments is one with none, and clients parse them.
        out = [self._arguments(CallDelta(place, "{}", event.choice)) for place in [*self._silent.get(event.choice, ())]]
        head = self._heads.get(event.choice)
        if head is None:
            head = self._head(event.choice) + b'"content":""'
        tail = self._tail.replace(b'"finish_reason":null', b'"finish_reason":' + _encode(event.reason), 1)
        return b"".join((*out, head, tail))


_WRITTEN: Mapping[type, Callable[[StreamEncoder, Any], bytes]] = {
    Began: StreamEncoder._began,
    TextDelta: StreamEncoder._text,
    ReasoningDelta: StreamEncoder._thought,
    ReasoningSealed: StreamEncoder._sealed,
    RefusalDelta: StreamEncoder._refusal,
    CallBegan: StreamEncoder._call,
    CallDelta: StreamEncoder._arguments,
    Finished: StreamEncoder._finish,
}


def stream_encoder(*, id: str, model: str, created: int, usage: bool, asked: bytes = b"") -> StreamEncoder:
    return StreamEncoder(id=id, model=model, created=created, usage=usage)
