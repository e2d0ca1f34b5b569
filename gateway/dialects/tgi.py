"""Text-generation-inference's own format, spoken to endpoints that know no chat: a prompt in, its continuation out.

https://huggingface.co/docs/text-generation-inference/reference/api_reference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.abilities import Abilities
from gateway.chat import (
    ChatEvent,
    ChatRequest,
    ChatResponse,
    Choice,
    Counted,
    Damaged,
    Encoded,
    Ended,
    Failed,
    Finished,
    FinishReason,
    Message,
    Reasoning,
    Refusal,
    Text,
    TextDelta,
    ToolCall,
    ToolCallResponse,
    Usage,
)
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.framed import FramedDecoder
from gateway.dialects.usage import count
from gateway.errors import Fault
from gateway.sse import Frame

NAME = "tgi"
SIGNED: str | None = None
REFERS: tuple[str, ...] = ("",)  # there is no place for what would be fetched

# Request --------------------------------------------------------------------------------------------------------------

SPEAKERS = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}
MOST_STOPS = 4


def encode_request(request: ChatRequest, able: Abilities) -> Encoded:
    dropped: list[str] = []
    body: dict[str, Any] = {
        "inputs": _prompt(request, dropped),
        "parameters": _parameters(request, dropped),
    }
    if request.stream:
        body["stream"] = True
    dropped += request.said("tools")
    if request.tool_choice and request.tool_choice.mode != "none" and not request.tools:
        dropped.append("tool_choice")
    dropped += request.said("n", "logprobs", "top_logprobs", "presence_penalty")
    dropped += ["reasoning_effort"] if request.thinking else []
    dropped += request.said("user", "metadata", "service_tier", "verbosity")
    dropped += [name for name, value in request.extra.items() if name not in _OWN and value is not None]
    return Encoded(body=body, dropped=tuple(dict.fromkeys(dropped)))


_OWN = frozenset(("stream_options", "repetition_penalty", "typical_p", "truncate", "watermark", "best_of"))


def _prompt(request: ChatRequest, dropped: list[str]) -> str:
    """Who said what, and the answer to come. The model's own template is the endpoint's secret."""
    turns = [
        f"{SPEAKERS[message.role]}: {said}"
        for at, message in enumerate(request.messages)
        if (said := _said(message, f"messages[{at}]", dropped))
    ]
    return "\n\n".join((*turns, "Assistant:"))


def _said(message: Message, where: str, dropped: list[str]) -> str:
    said: list[str] = []
    if message.name:
        dropped.append(f"{where}.name")
    for place, part in enumerate(message.parts):
        if isinstance(part, Text | Refusal):
            said.append(part.content)
        elif isinstance(part, ToolCallResponse):
            said += [each.content for each in part.parts if isinstance(each, Text)]
            dropped += [f"{where}.content[{at}]" for at, each in enumerate(part.parts) if not isinstance(each, Text)]
            dropped += [f"{where}.is_error"] if part.failed else []
        elif isinstance(part, ToolCall):
            said.append(f"{part.name}({part.arguments})")
        elif isinstance(part, Reasoning):
            dropped.append(f"{where}.reasoning_content")
        else:
            dropped.append(f"{where}.content[{place}]")
        if getattr(part, "cache", None):
            dropped.append(f"{where}.content[{place}].cache_control")
    return "\n".join(each for each in said if each.strip())


def _parameters(request: ChatRequest, dropped: list[str]) -> dict[str, Any]:
    """Temperature has to be above 0 and top_p below 1: neither is said where it would say nothing."""
    written: dict[str, Any] = {"return_full_text": False, "details": True}
    if request.max_tokens is not None:
        written["max_new_tokens"] = request.max_tokens
    if request.temperature is not None:
        written["do_sample"] = request.temperature > 0
        if request.temperature > 0:
            written["temperature"] = request.temperature
    if request.top_p is not None and 0 < request.top_p < 1:
        written["top_p"] = request.top_p
    if request.top_k:
        written["top_k"] = request.top_k
    if request.seed is not None:
        written["seed"] = request.seed
    if request.frequency_penalty is not None:
        written["frequency_penalty"] = request.frequency_penalty
    if stop := [each for each in request.stop if each][:MOST_STOPS]:
        written["stop"] = stop
    if len(stop) < len(request.stop):
        dropped.append("stop")
    if request.output is not None:
        if request.output.schema is None:
            dropped.append("response_format")
        else:
            written["grammar"] = {"type": "json", "value": request.output.schema}
    own = {name: value for name, value in request.extra.items() if name in _OWN and name != "stream_options"}
    return {**written, **own}


# Answer ---------------------------------------------------------------------------------------------------------------


class _Details(msgspec.Struct):
    finish_reason: str | None = None
    generated_tokens: int | None = None
    input_length: int | None = None
    prefill: list[msgspec.Raw] | None = None


class _Answer(msgspec.Struct):
    generated_text: str | None = None
    details: _Details | None = None


_answers = msgspec.json.Decoder(list[_Answer] | _Answer)
_REASONS: Mapping[str, FinishReason] = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


def decode_answer(body: bytes, now: float) -> ChatResponse | Fault:
    try:
        read = _answers.decode(body)
        answers = read if isinstance(read, list) else [read]
        if not answers or answers[0].generated_text is None:
            return read_error_object(msgspec.json.decode(body), body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is no generated text: {error}", body)
    choices = tuple(
        Choice((Text(each.generated_text),) if each.generated_text else (), _reason(each.details)) for each in answers
    )
    return ChatResponse(choices=choices, usage=_counted(answers[0].details))


def _reason(details: _Details | None) -> FinishReason:
    return _REASONS.get((details and details.finish_reason) or "", "stop")


def _counted(details: _Details | None) -> Usage | None:
    if details is None or details.generated_tokens is None:
        return None
    read = details.input_length if details.input_length is not None else len(details.prefill or ())
    return Usage(input_tokens=count(read), output_tokens=count(details.generated_tokens))


# Stream ---------------------------------------------------------------------------------------------------------------


class _Token(msgspec.Struct):
    text: str = ""
    special: bool = False


class _Event(msgspec.Struct):
    token: _Token | None = None
    generated_text: str | None = None
    details: _Details | None = None
    error: Any = None


_event = msgspec.json.Decoder(_Event)


class Decoder(FramedDecoder):
    """One stream. Its last event has the whole text once more."""

    def read(self, frames: list[Frame], now: float) -> list[ChatEvent]:
        out: list[ChatEvent] = []
        for frame in frames:
            if not frame.data or frame.data == b"[DONE]":
                continue
            try:
                event = _event.decode(frame.data)
                said = msgspec.json.decode(frame.data) if event.error else None
            except (ValueError, RecursionError):
                out.append(Damaged())
                continue
            if said is not None:
                out.append(Failed(read_error_object(said, frame.data, now)))
                continue
            if event.token is not None and event.token.text and not event.token.special:
                out.append(TextDelta(event.token.text))
            if event.generated_text is not None:
                out.append(Finished(_reason(event.details)))
                if (usage := _counted(event.details)) is not None:
                    out.append(Counted(usage))
                out.append(Ended())
        return out


def stream_decoder() -> Decoder:
    return Decoder()
