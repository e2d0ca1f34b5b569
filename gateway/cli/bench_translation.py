"""``skein bench --translation``: the CPU that a vendor's dialect costs over the client's own, in this process alone."""

from __future__ import annotations

import argparse
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.chat import Facts
from gateway.dialects import openai_chat
from gateway.sse import event
from gateway.translate import Asked, translator
from gateway.vendors import VENDORS

EVENTS = 400
MESSAGES = (10, 100, 1000)
# Which vendor's row stands for a dialect.
VENDOR_OF = {
    "openai_chat": "openai",
    "anthropic_messages": "anthropic",
    "gemini": "google",
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
}


class Cost(msgspec.Struct, frozen=True):
    """``us_per_event``: one event of a stream, decoded and encoded. The rest: one request of so many messages."""

    dialect: str
    us_per_event: float
    us_per_request: dict[int, float]
    us_per_kib: dict[int, float]


def bench(arguments: argparse.Namespace) -> list[Cost]:
    """The least of several rounds each: what is more was somebody else's."""
    rounds = max(3, arguments.rounds * 3)
    costs = []
    for dialect, vendor in VENDOR_OF.items():
        if sys.stderr.isatty():
            print(f"\r{dialect:20}", end="", file=sys.stderr)
        chunks = STREAMS[dialect]()
        streamed = _least(lambda: _stream(vendor, chunks), rounds) / EVENTS  # noqa: B023
        requests = {count: _body(count) for count in MESSAGES}
        spent = {count: _least(lambda: _request(vendor, body), rounds) for count, body in requests.items()}  # noqa: B023
        per_kib = {count: spent[count] / (len(requests[count]) / 1024) for count in MESSAGES}
        costs.append(Cost(dialect, streamed, spent, per_kib))
    return costs


def show(costs: Iterable[Cost]) -> None:
    sizes = "".join(f"{f'{count} messages':>16}{'per KiB':>9}" for count in MESSAGES)
    print(f"{'CPU µs':20}{'stream event':>14}{sizes}")
    for cost in costs:
        requests = "".join(f"{cost.us_per_request[count]:16.0f}{cost.us_per_kib[count]:9.1f}" for count in MESSAGES)
        print(f"{cost.dialect:20}{cost.us_per_event:14.1f}{requests}")


def _least(work: Callable[[], None], rounds: int) -> float:
    """CPU microseconds of the cheapest round."""
    spent = []
    for _ in range(rounds):
        began = time.process_time_ns()
        work()
        spent.append(time.process_time_ns() - began)
    return min(spent) / 1000


def _stream(vendor: str, chunks: list[bytes]) -> None:
    passing = translator(openai_chat, VENDORS[vendor], "bench").stream(FACTS, 1.0, keep_text=False)
    for chunk in chunks:
        passing.feed(chunk, 1.0)
    passing.end(1.0)
    if passing.fault or not passing.complete:
        raise RuntimeError(f"{vendor}: the stream of the benchmark is not read as one")


FACTS = Facts(model="bench", stream=True, wants_usage=True)


def _request(vendor: str, body: bytes) -> None:
    translator(openai_chat, VENDORS[vendor], "bench").request(Asked(body, openai_chat.peek(body), "bench", "bench"))


def _body(messages: int) -> bytes:
    """An agent's conversation: a system prompt, tools, then calls and their results in turn."""
    function = {"name": "read", "description": "Reads a file.", "parameters": {"type": "object", "properties": {}}}
    said: list[dict[str, Any]] = [{"role": "system", "content": "x" * 2000}, {"role": "user", "content": "y" * 200}]
    for turn in range((messages - 2) // 2):
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.py"}'}}
        said.append({"role": "assistant", "content": "reading", "tool_calls": [call]})
        said.append({"role": "tool", "tool_call_id": f"call_{turn}", "content": "z" * 800})
    tools = [{"type": "function", "function": function}]
    return msgspec.json.encode({"model": "bench", "messages": said, "tools": tools, "stream": True})


# Streams of each dialect: one event a read, as they come --------------------------------------------------------------


def _json_event(said: Mapping[str, Any], name: str = "") -> bytes:
    return event(msgspec.json.encode(said), name.encode())


def _openai() -> list[bytes]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _json_event(
            {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        )

    return [chunk({"content": " word"})] * EVENTS + [chunk({}, "stop")]


def _anthropic() -> list[bytes]:
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}}
    ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": EVENTS}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    return [
        _json_event({"type": "message_start", "message": message}, "message_start"),
        _json_event(block, "content_block_start"),
        *[_json_event(delta, "content_block_delta")] * EVENTS,
        _json_event(ended, "message_delta"),
        _json_event({"type": "message_stop"}, "message_stop"),
    ]


def _gemini() -> list[bytes]:
    def chunk(text: str, **more: Any) -> bytes:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 3, "totalTokenCount": 13}
        return _json_event({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"})

    return [chunk(" word")] * EVENTS + [chunk("", finishReason="STOP")]


def _bedrock() -> list[bytes]:
    delta = {"contentBlockIndex": 0, "delta": {"text": " word"}, "p": "abcdefgh"}
    usage = {"inputTokens": 10, "outputTokens": EVENTS, "totalTokens": EVENTS + 10}
    return [
        _frame("messageStart", {"role": "assistant"}),
        *[_frame("contentBlockDelta", delta)] * EVENTS,
        _frame("contentBlockStop", {"contentBlockIndex": 0}),
        _frame("messageStop", {"stopReason": "end_turn"}),
        _frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
    ]


def _frame(name: str, said: Mapping[str, Any]) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html"""
    pairs = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in pairs.items()
    )
    payload = msgspec.json.encode(said)
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _cohere() -> list[bytes]:
    def said(name: str, **fields: Any) -> bytes:
        return _json_event({"type": name, **fields}, name)

    ended = {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 10, "output_tokens": EVENTS}}}
    return [
        said("message-start", id="1", delta={"message": {"role": "assistant"}}),
        said("content-start", index=0, delta={"message": {"content": {"type": "text", "text": ""}}}),
        *[said("content-delta", index=0, delta={"message": {"content": {"text": " word"}}})] * EVENTS,
        said("content-end", index=0),
        said("message-end", delta=ended),
    ]


STREAMS: Mapping[str, Callable[[], list[bytes]]] = {
    "openai_chat": _openai,
    "anthropic_messages": _anthropic,
    "gemini": _gemini,
    "bedrock_converse": _bedrock,
    "cohere_chat": _cohere,
}
