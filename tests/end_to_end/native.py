"""Families of vendors that answer in their own words: one meaning in, what each of them would say of it out.

Written from the vendors' documentation, and from the shapes of the recordings.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tests.end_to_end.refusals import (
    ANTHROPIC_OVERLOADED,
    GEMINI_OVERLOADED,
    MISTRAL_OVERLOADED,
    OPENAI_OVERLOADED,
    REFUSALS,
)
from tests.end_to_end.replaying import Reply
from tests.test_event_stream import framed

ANSWER_ID = "answer-7Kq"
SSE, MESSAGES, LINES = "text/event-stream", "application/vnd.amazon.eventstream", "application/x-ndjson"


def signature(of: str) -> str:
    """Opaque to everyone but its vendor, and base64 as they all are."""
    return base64.b64encode(f"signed: {of}".encode()).decode()


SIGNATURE = signature("by somebody")


class Call(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: dict[str, Any]

    @property
    def json(self) -> str:
        return json.dumps(self.arguments, separators=(",", ":"), ensure_ascii=False)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered. Tokens as OpenAI counts them: cached ones are within the prompt, thoughts in the completion."""

    text: str = ""
    thought: str = ""
    signature: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = ""
    prompt: int = 57
    completion: int = 23
    cached: int = 20
    reasoning: int = 9

    @property
    def reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """``tells``: what of a meaning it has words for, beside text, finish, prompt and completion."""

    name: str
    dialect: str
    """Whose rules hold for its requests: a name in ``tests.dialects.validity``."""
    whole: Callable[[Said], dict[str, Any]]
    events: Callable[[Said], list[bytes]]
    """What a stream consists of, event by event."""
    content_type: str = SSE
    tells: frozenset[str] = frozenset()
    failed: bytes = b""
    """An event of a stream that says that it is over: overloaded."""

    @property
    def refusals(self) -> Mapping[str, Reply]:
        return REFUSALS.get(self.name, {})

    def reply(self, said: Said, stream: bool, piece: int | None = None) -> Reply:
        if stream:
            return self.streamed(self.events(said), piece)
        return Reply(body=json.dumps(self.whole(said)).encode(), piece=piece)

    def streamed(self, events: Sequence[bytes], piece: int | None = None, **more: Any) -> Reply:
        return Reply(content_type=self.content_type, body=b"".join(events), piece=piece, **more)


def pieces(text: str, size: int = 5) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def data(said: Any, name: str = "") -> bytes:
    event = f"event: {name}\n" if name else ""
    return f"{event}data: {json.dumps(said, ensure_ascii=False)}\n\n".encode()


# Anthropic ------------------------------------------------------------------------------------------------------------

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def _anthropic_usage(said: Said) -> dict[str, Any]:
    return {
        "input_tokens": said.prompt - said.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": said.cached,
        "output_tokens": said.completion,
        "output_tokens_details": {"thinking_tokens": said.reasoning},
        "service_tier": "standard",
    }


def _anthropic_blocks(said: Said) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if said.thought:
        blocks.append({"type": "thinking", "thinking": said.thought, "signature": said.signature})
    if said.text:
        blocks.append({"type": "text", "text": said.text, "citations": None})
    return blocks + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in said.calls
    ]


def _anthropic_message(said: Said, **more: Any) -> dict[str, Any]:
    head = {"id": ANSWER_ID, "type": "message", "role": "assistant", "model": "claude-of-the-day"}
    return {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": _anthropic_usage(said), **more}


def anthropic_whole(said: Said) -> dict[str, Any]:
    return _anthropic_message(said, content=_anthropic_blocks(said), stop_reason=_STOPS[said.reason])


def anthropic_events(said: Said) -> list[bytes]:
    begun = {**_anthropic_usage(said), "output_tokens": 1, "output_tokens_details": None}
    events = [{"type": "message_start", "message": _anthropic_message(said, usage=begun)}, {"type": "ping"}]
    for index, block in enumerate(_anthropic_blocks(said)):
        deltas: list[dict[str, Any]]
        match block["type"]:
            case "thinking":
                empty = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": each} for each in pieces(block["thinking"])]
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            case "text":
                empty = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": each} for each in pieces(block["text"])]
            case _:
                empty = {**block, "input": {}}
                written = ["", *pieces(json.dumps(block["input"]))] if block["input"] else [""]
                deltas = [{"type": "input_json_delta", "partial_json": each} for each in written]
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": each} for each in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": _STOPS[said.reason], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": _anthropic_usage(said)})
    events.append({"type": "message_stop"})
    return [data(event, event["type"]) for event in events]


ANTHROPIC = Family(
    name="anthropic",
    dialect="anthropic_messages",
    whole=anthropic_whole,
    events=anthropic_events,
    tells=frozenset(("thought", "signature", "calls", "cached", "reasoning")),
    failed=data(ANTHROPIC_OVERLOADED, "error"),
)


# Gemini ---------------------------------------------------------------------------------------------------------------

_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}


def _gemini_usage(said: Said) -> dict[str, Any]:
    return {
        "promptTokenCount": said.prompt,
        "candidatesTokenCount": said.completion - said.reasoning,
        "thoughtsTokenCount": said.reasoning,
        "cachedContentTokenCount": said.cached,
        "totalTokenCount": said.prompt + said.completion,
    }


def _gemini_parts(said: Said) -> list[dict[str, Any]]:
    """Of several calls only the first is signed; where there are none, the last text."""
    parts: list[dict[str, Any]] = []
    if said.thought:
        parts.append({"text": said.thought, "thought": True})
    if said.text:
        parts.append({"text": said.text})
    for call in said.calls:
        parts.append({"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}})
    if said.signature:
        signed = next((part for part in parts if "functionCall" in part), parts[-1])
        signed["thoughtSignature"] = said.signature
    return parts


def _gemini_chunk(said: Said, parts: list[dict[str, Any]], finish: str | None) -> dict[str, Any]:
    candidate = {
        "content": {"parts": parts, "role": "model"},
        "index": 0,
        **({"finishReason": finish} if finish else {}),
    }
    return {
        "candidates": [candidate],
        "usageMetadata": _gemini_usage(said),
        "modelVersion": "gemini-of-the-day",
        "responseId": ANSWER_ID,
    }


def gemini_whole(said: Said) -> dict[str, Any]:
    return _gemini_chunk(said, _gemini_parts(said), _FINISHES[said.reason])


def gemini_events(said: Said) -> list[bytes]:
    events = []
    for part in _gemini_parts(said):
        texts = pieces(part["text"]) if "text" in part else []
        cut = [{**part, "text": each} for each in texts] or [part]
        for each in cut[:-1]:
            each.pop("thoughtSignature", None)
        events += [data(_gemini_chunk(said, [each], None)) for each in cut]
    events.append(data(_gemini_chunk(said, [{"text": ""}], _FINISHES[said.reason])))
    return events


GEMINI = Family(
    name="gemini",
    dialect="gemini_3",
    whole=gemini_whole,
    events=gemini_events,
    tells=frozenset(("thought", "signature", "calls", "cached", "reasoning")),
    failed=data(GEMINI_OVERLOADED),
)
BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}
"""How Gemini refuses a prompt: with a 200."""


# Bedrock --------------------------------------------------------------------------------------------------------------

_BEDROCK_STOPS = {**_STOPS, "content_filter": "guardrail_intervened"}


def _bedrock_usage(said: Said) -> dict[str, Any]:
    return {
        "inputTokens": said.prompt - said.cached,
        "outputTokens": said.completion,
        "totalTokens": said.prompt + said.completion,
        "cacheReadInputTokens": said.cached,
        "cacheWriteInputTokens": 0,
    }


def bedrock_whole(said: Said) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    if said.thought:
        text = {"text": said.thought, **({"signature": said.signature} if said.signature else {})}
        blocks.append({"reasoningContent": {"reasoningText": text}})
    if said.text:
        blocks.append({"text": said.text})
    for call in said.calls:
        blocks.append({"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}})
    return {
        "metrics": {"latencyMs": 512},
        "output": {"message": {"role": "assistant", "content": blocks}},
        "stopReason": _BEDROCK_STOPS[said.reason],
        "usage": _bedrock_usage(said),
    }


def aws(kind: str, **said: Any) -> bytes:
    """A message of AWS's event stream; ``!`` before the kind makes an exception of it."""
    payload = json.dumps(said, ensure_ascii=False).encode()
    if kind.startswith("!"):
        return framed(payload, exception_type=kind[1:], message_type="exception", content_type="application/json")
    return framed(payload, event_type=kind, message_type="event", content_type="application/json")


def bedrock_events(said: Said) -> list[bytes]:
    events = [aws("messageStart", role="assistant")]
    deltas: list[list[dict[str, Any]]] = []
    if said.thought:
        deltas.append([{"reasoningContent": {"text": each}} for each in pieces(said.thought)])
        if said.signature:
            deltas[-1].append({"reasoningContent": {"signature": said.signature}})
    if said.text:
        deltas.append([{"text": each} for each in pieces(said.text)])
    for index, block in enumerate(deltas):
        events += [aws("contentBlockDelta", contentBlockIndex=index, delta=each, p="abcd") for each in block]
        events.append(aws("contentBlockStop", contentBlockIndex=index))
    for index, call in enumerate(said.calls, len(deltas)):
        start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        events.append(aws("contentBlockStart", contentBlockIndex=index, start=start))
        written = pieces(call.json) if call.arguments else [""]
        events += [
            aws("contentBlockDelta", contentBlockIndex=index, delta={"toolUse": {"input": each}}) for each in written
        ]
        events.append(aws("contentBlockStop", contentBlockIndex=index))
    events.append(aws("messageStop", stopReason=_BEDROCK_STOPS[said.reason]))
    events.append(aws("metadata", usage=_bedrock_usage(said), metrics={"latencyMs": 512}))
    return events


BEDROCK = Family(
    name="bedrock",
    dialect="bedrock_converse",
    whole=bedrock_whole,
    events=bedrock_events,
    content_type=MESSAGES,
    tells=frozenset(("thought", "signature", "calls", "cached")),
    failed=aws("!serviceUnavailableException", message="The model is overloaded."),
)


# Cohere ---------------------------------------------------------------------------------------------------------------

_COHERE_STOPS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}


def _cohere_usage(said: Said) -> dict[str, Any]:
    return {
        "billed_units": {"input_tokens": 3, "output_tokens": said.completion},
        "tokens": {"input_tokens": said.prompt, "output_tokens": said.completion},
        "cached_tokens": said.cached,
    }


def cohere_whole(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    if said.thought or said.text:
        thought = [{"type": "thinking", "thinking": said.thought}] if said.thought else []
        message["content"] = [*thought, *([{"type": "text", "text": said.text}] if said.text else [])]
    if said.calls:
        message["tool_plan"] = "I will look it up."
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.json}}
            for call in said.calls
        ]
    return {
        "id": ANSWER_ID,
        "message": message,
        "finish_reason": _COHERE_STOPS[said.reason],
        "usage": _cohere_usage(said),
    }


def cohere_events(said: Said) -> list[bytes]:
    events: list[dict[str, Any]] = [{"type": "message-start", "id": ANSWER_ID, "delta": {"message": {"content": []}}}]
    index = 0
    for kind, text in (("thinking", said.thought), ("text", said.text)):
        if not text:
            continue
        begun = {"message": {"content": {"type": kind, kind: ""}}}
        events.append({"type": "content-start", "index": index, "delta": begun})
        for each in pieces(text):
            events.append({"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: each}}}})
        events.append({"type": "content-end", "index": index})
        index += 1
    if said.calls:
        plan = [{"type": "tool-plan-delta", "delta": {"message": {"tool_plan": each}}} for each in ("I will ", "look.")]
        events += plan
    for place, call in enumerate(said.calls):
        begun = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        events.append({"type": "tool-call-start", "index": place, "delta": {"message": {"tool_calls": begun}}})
        for each in pieces(call.json) if call.arguments else []:
            wrote = {"message": {"tool_calls": {"function": {"arguments": each}}}}
            events.append({"type": "tool-call-delta", "index": place, "delta": wrote})
        events.append({"type": "tool-call-end", "index": place})
    ended = {"finish_reason": _COHERE_STOPS[said.reason], "usage": _cohere_usage(said)}
    events.append({"type": "message-end", "delta": ended})
    return [data(event, event["type"]) for event in events]


COHERE = Family(
    name="cohere",
    dialect="cohere_chat",
    whole=cohere_whole,
    events=cohere_events,
    tells=frozenset(("thought", "calls", "cached")),
)


# Ollama ---------------------------------------------------------------------------------------------------------------


def _ollama_line(**said: Any) -> dict[str, Any]:
    return {"model": "llama-of-the-day", "created_at": "2026-11-21T10:00:00.123456789Z", **said}


def _ollama_end(said: Said) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": "length" if said.reason == "length" else "stop",
        "prompt_eval_count": said.prompt,
        "eval_count": said.completion,
    }


def _ollama_message(said: Said) -> dict[str, Any]:
    calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in said.calls]
    return {
        "role": "assistant",
        "content": said.text,
        **({"thinking": said.thought} if said.thought else {}),
        **({"tool_calls": calls} if calls else {}),
    }


def ollama_whole(said: Said) -> dict[str, Any]:
    return _ollama_line(message=_ollama_message(said), **_ollama_end(said))


def ollama_events(said: Said) -> list[bytes]:
    messages: list[dict[str, Any]] = [{"content": "", "thinking": each} for each in pieces(said.thought)]
    messages += [{"content": each} for each in pieces(said.text)]
    messages += [{"content": "", "tool_calls": [each]} for each in _ollama_message(said).get("tool_calls", ())]
    lines = [_ollama_line(message={"role": "assistant", **each}, done=False) for each in messages]
    lines.append(_ollama_line(message={"role": "assistant", "content": ""}, **_ollama_end(said)))
    return [json.dumps(line).encode() + b"\n" for line in lines]


OLLAMA = Family(
    name="ollama",
    dialect="ollama_chat",
    whole=ollama_whole,
    events=ollama_events,
    content_type=LINES,
    tells=frozenset(("thought", "calls", "no ids")),
)


# Text generation ------------------------------------------------------------------------------------------------------


def _tgi_details(said: Said) -> dict[str, Any]:
    reason = "length" if said.reason == "length" else "eos_token"
    return {"finish_reason": reason, "generated_tokens": said.completion, "input_length": said.prompt, "seed": None}


def tgi_whole(said: Said) -> dict[str, Any]:
    return {"generated_text": said.text, "details": _tgi_details(said)}


def tgi_events(said: Said) -> list[bytes]:
    """Slices of the container's own stream, cut anywhere, each in a message of AWS's."""
    events = []
    texts = pieces(said.text)
    for place, text in enumerate(texts):
        last = place == len(texts) - 1
        ended = {"generated_text": said.text, "details": _tgi_details(said)} if last else {"generated_text": None}
        token = {"id": place, "text": text, "logprob": -0.1, "special": False}
        events.append(f"data:{json.dumps({'index': place, 'token': token, 'details': None, **ended})}\n\n")
    return _in_payload_parts("".join(events).encode())


def _in_payload_parts(stream: bytes) -> list[bytes]:
    cuts = [stream[at : at + 50] for at in range(0, len(stream), 50)]
    return [framed(each, event_type="PayloadPart", message_type="event") for each in cuts]


TGI = Family(name="tgi", dialect="tgi", whole=tgi_whole, events=tgi_events, content_type=MESSAGES)


# OpenAI and Mistral ---------------------------------------------------------------------------------------------------


def _openai_usage(said: Said) -> dict[str, Any]:
    return {
        "prompt_tokens": said.prompt,
        "completion_tokens": said.completion,
        "total_tokens": said.prompt + said.completion,
        "prompt_tokens_details": {"cached_tokens": said.cached},
        "completion_tokens_details": {"reasoning_tokens": said.reasoning},
    }


def _openai_calls(said: Said) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.json}}
        for call in said.calls
    ]


def _openai_head(kind: str) -> dict[str, Any]:
    return {"id": ANSWER_ID, "object": kind, "created": 1763719200, "model": "gpt-of-the-day"}


def _openai_answer(said: Said, message: dict[str, Any]) -> dict[str, Any]:
    calls = {"tool_calls": _openai_calls(said)} if said.calls else {}
    choice = {"index": 0, "message": {"role": "assistant", **message, **calls}, "finish_reason": said.reason}
    return {**_openai_head("chat.completion"), "choices": [choice], "usage": _openai_usage(said)}


def openai_whole(said: Said) -> dict[str, Any]:
    """With thoughts as DeepSeek and many after it have them; OpenAI itself has none."""
    thought = {"reasoning_content": said.thought} if said.thought else {}
    return _openai_answer(said, {"content": said.text or None, **thought})


def openai_events(said: Said) -> list[bytes]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None if said.calls and not said.text else ""}]
    deltas += [{"reasoning_content": each} for each in pieces(said.thought)]
    deltas += [{"content": each} for each in pieces(said.text)]
    for index, call in enumerate(_openai_calls(said)):
        function = call["function"]
        deltas.append({"tool_calls": [{"index": index, **call, "function": {**function, "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": each}}]}
            for each in pieces(function["arguments"])
        ]
    return _openai_chunks(said, deltas)


def _openai_chunks(said: Said, deltas: list[dict[str, Any]]) -> list[bytes]:
    head = _openai_head("chat.completion.chunk")
    chunks = [{**head, "choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": said.reason}]})
    chunks.append({**head, "choices": [], "usage": _openai_usage(said)})
    return [*map(data, chunks), b"data: [DONE]\n\n"]


OPENAI = Family(
    name="openai",
    dialect="openai_chat",
    whole=openai_whole,
    events=openai_events,
    tells=frozenset(("thought", "calls", "cached", "reasoning")),
    failed=data(OPENAI_OVERLOADED),
)


# The same behind SageMaker.
OPENAI_IN_PARTS = msgspec.structs.replace(
    OPENAI,
    name="openai_in_parts",
    events=lambda said: _in_payload_parts(b"".join(openai_events(said))),
    content_type=MESSAGES,
)


def _in_a_list(said: Said, thought: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """An answer that is a list of parts while it thinks."""
    if not said.thought:
        return _openai_answer(said, {"content": said.text})
    text = [{"type": "text", "text": said.text}] if said.text else []
    return _openai_answer(said, {"content": [thought(said.thought), *text]})


def _thought_first(said: Said, thought: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "content": ""},
        *({"content": [thought(each)]} for each in pieces(said.thought)),
        *({"content": each} for each in pieces(said.text)),
    ]


def _summary(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def databricks_whole(said: Said) -> dict[str, Any]:
    return _in_a_list(said, _summary)


def databricks_events(said: Said) -> list[bytes]:
    calls = (
        [{"tool_calls": [{"index": at, **call} for at, call in enumerate(_openai_calls(said))]}] if said.calls else []
    )
    return _openai_chunks(said, [*_thought_first(said, _summary), *calls])


DATABRICKS_CLAUDE = msgspec.structs.replace(
    OPENAI, name="databricks_claude", whole=databricks_whole, events=databricks_events
)


def mistral_whole(said: Said) -> dict[str, Any]:
    return _in_a_list(said, _mistral_thought)


def _mistral_thought(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def mistral_events(said: Said) -> list[bytes]:
    deltas = _thought_first(said, _mistral_thought)
    if said.calls:
        deltas.append({"tool_calls": [{"index": at, **call} for at, call in enumerate(_openai_calls(said))]})
    chunks = _openai_chunks(said, deltas)
    # What was counted comes with the finish.
    ended = json.loads(chunks[-3].removeprefix(b"data: "))
    return [*chunks[:-3], data({**ended, "usage": _openai_usage(said)}), chunks[-1]]


MISTRAL = Family(
    name="mistral",
    dialect="mistral",
    whole=mistral_whole,
    events=mistral_events,
    tells=frozenset(("thought", "calls", "cached", "reasoning")),
    failed=data(MISTRAL_OVERLOADED),
)

FAMILIES: Mapping[str, Family] = {
    each.name: each for each in (ANTHROPIC, GEMINI, BEDROCK, COHERE, OLLAMA, TGI, OPENAI, OPENAI_IN_PARTS, MISTRAL)
}

ACCOUNTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("claude-sonnet-4-5", {"vendor": "anthropic"}),
    "gemini": ("gemini-3-pro-preview", {"vendor": "google"}),
    "bedrock": ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", {"vendor": "bedrock", "region": "us-east-1"}),
    "cohere": ("command-a-reasoning-08-2025", {"vendor": "cohere"}),
    "ollama": ("qwen3", {"vendor": "ollama", "dialect": "ollama_chat"}),
    "openai": ("gpt-4.1", {"vendor": "openai"}),
    "mistral": ("mistral-medium-latest", {"vendor": "mistral"}),
}
"""A family's usual model, and a provider's settings besides its address and key."""


def account(name: str, url: str) -> dict[str, Any]:
    return {"base_url": url, "api_key": f"sk-{name}-Xq7vR2mB9", **ACCOUNTS[name][1]}
