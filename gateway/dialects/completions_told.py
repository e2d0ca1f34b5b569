"""Answers as OpenAI's completions have them: https://platform.openai.com/docs/api-reference/completions/object

There is a text and nothing besides: no thoughts, and no calls, for no tool is on offer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.chat import (
    Began,
    ChatEvent,
    ChatResponse,
    Finished,
    Part,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    Usage,
)
from gateway.dialects.mending import decoded
from gateway.dialects.openai_answer import usage_of
from gateway.sse import DONE

Fields = dict[str, Any]

_encode = msgspec.json.Encoder().encode


def encode_answer(answer: ChatResponse, *, id: str, model: str, created: int, asked: bytes = b"") -> bytes:
    """``id``, ``model``: for the answer that does not name its own. ``asked`` may want its prompt repeated."""
    prompt = _echoed(asked)
    body: Fields = {
        **_identity(answer.id or _named(id), answer.model or model, created),
        "choices": [
            {
                "text": prompt + _text(choice.parts),
                "index": place,
                "logprobs": _logprobs(choice.logprobs),
                "finish_reason": _reason(choice.finish_reason),
            }
            for place, choice in enumerate(answer.choices)
        ],
    }
    if answer.usage is not None:
        body["usage"] = usage_of(answer.usage)
    return _encode(body)


def _named(exchange_id: str) -> str:
    return f"cmpl-{exchange_id}"


def _identity(id: str, model: str, created: int) -> Fields:
    return {"id": id, "object": "text_completion", "created": created, "model": model}


def _text(parts: Sequence[Part]) -> str:
    return "".join(part.content for part in parts if isinstance(part, Text | Refusal))


def _reason(said: str | None) -> str | None:
    return said if said in ("length", "content_filter", None) else "stop"


class _Asked(msgspec.Struct):
    echo: Any = None
    prompt: Any = None


_asked = msgspec.json.Decoder(_Asked)


def _echoed(asked: bytes) -> str:
    """What is to stand before the answer: the prompt, for those who want it back."""
    if b'"echo"' not in asked or (said := decoded(_asked, asked)) is None or said.echo is not True:
        return ""
    prompt = said.prompt[0] if isinstance(said.prompt, list) and len(said.prompt) == 1 else said.prompt
    return prompt if isinstance(prompt, str) else ""


def _logprobs(said: Any) -> Fields | None:
    """A chat's, which are one object for each token, as a list for each kind."""
    tokens = said.get("content") if isinstance(said, dict) else None
    tokens = [each for each in tokens if isinstance(each, dict)] if isinstance(tokens, list) else []
    if not tokens:
        return None
    texts = [str(each.get("token", "")) for each in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [each.get("logprob") for each in tokens],
        "top_logprobs": [_top(each.get("top_logprobs")) for each in tokens],
        "text_offset": _offsets(texts),
    }


def _top(said: Any) -> Fields:
    likely = [each for each in said if isinstance(each, dict)] if isinstance(said, list) else []
    return {str(each.get("token", "")): each.get("logprob") for each in likely}


def _offsets(texts: list[str]) -> list[int]:
    offsets, place = [], 0
    for text in texts:
        offsets.append(place)
        place += len(text)
    return offsets


# Stream ---------------------------------------------------------------------------------------------------------------


class StreamEncoder:
    """A chunk per text, in the shape of a whole answer."""

    def __init__(self, *, id: str, model: str, created: int, usage: bool, prompt: str) -> None:
        """``usage``: the client asked for it. ``prompt``: what each choice begins with."""
        self.place = 0
        self._id, self._model, self._created, self._usage, self._prompt = _named(id), model, created, usage, prompt
        self._begun: set[int] = set()
        self._finished: set[int] = set()

    def feed(self, event: ChatEvent) -> bytes:
        match event:
            case TextDelta() | RefusalDelta():
                return self._chunk(event.choice, self._before(event.choice) + event.text, None)
            case Finished() if event.choice not in self._finished:
                self._finished.add(event.choice)
                return self._chunk(event.choice, self._before(event.choice), _reason(event.reason))
            case Began() if not self.place:
                self._id, self._model = event.id or self._id, event.model or self._model
        return b""

    def end(self, usage: Usage | None, cost: float | None) -> bytes:
        if not self._usage or usage is None:
            return DONE
        return self._written({"choices": [], "usage": usage_of(usage, cost)}) + DONE

    def identity(self) -> Fields:
        return {"id": self._id, "created": self._created, "model": self._model}

    def _before(self, choice: int) -> str:
        if choice in self._begun:
            return ""
        self._begun.add(choice)
        return self._prompt

    def _chunk(self, choice: int, text: str, reason: str | None) -> bytes:
        said: Fields = {"choices": [{"text": text, "index": choice, "logprobs": None, "finish_reason": reason}]}
        return self._written({**said, "usage": None} if self._usage else said)

    def _written(self, fields: Fields) -> bytes:
        self.place += 1
        return b"data: " + _encode({**_identity(self._id, self._model, self._created), **fields}) + b"\n\n"


def stream_encoder(*, id: str, model: str, created: int, usage: bool, asked: bytes = b"") -> StreamEncoder:
    return StreamEncoder(id=id, model=model, created=created, usage=usage, prompt=_echoed(asked))
