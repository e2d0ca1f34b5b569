"""What Gemini's clients say, made short, and Google's own SDK as a client of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from google import genai
from google.genai import types

from gateway.chat import (
    ChatEvent,
    ChatResponse,
    Choice,
    Message,
    Part,
    Reasoning,
    ToolCallResponse,
    Usage,
)
from gateway.dialects import gemini

NOW = 1_700_000_000.0
SHOWN = b'{"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}'


def asked(contents: Any = "hi", **fields: Any) -> bytes:
    if isinstance(contents, str):
        contents = [{"role": "user", "parts": [{"text": contents}]}]
    return json.dumps({"contents": contents, **fields}).encode()


def read(contents: Any = "hi", **fields: Any) -> Any:
    return gemini.decode_request(asked(contents, **fields))


def message(role: Any, *parts: Part) -> Message:
    return Message(role, parts)


def says(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def called(name: str = "f", call_id: str | None = None, **args: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": args, **({"id": call_id} if call_id else {})}}


def answered(response: Any, name: str = "f", call_id: str | None = None, **more: Any) -> dict[str, Any]:
    held = {"name": name, "response": response, **({"id": call_id} if call_id else {}), **more}
    return {"functionResponse": held}


def result(call_id: str, *parts: Any, name: str = "f", failed: bool = False) -> Message:
    return message("tool", ToolCallResponse(call_id, name, parts, failed))


@contextmanager
def client(*replies: bytes, status: int = 200) -> Iterator[tuple[genai.Client, list[Any]]]:
    """Google's SDK, and the requests it makes; each is answered with the next of the replies."""
    requests: list[Any] = []

    def reply(request: httpx.Request) -> httpx.Response:
        requests.append(json.loads(request.content))
        kind = "text/event-stream" if "stream" in request.url.path else "application/json"
        return httpx.Response(status, content=replies[len(requests) - 1], headers={"content-type": kind})

    with httpx.Client(transport=httpx.MockTransport(reply)) as http:
        options = types.HttpOptions(base_url="http://skein.test", httpx_client=http)
        yield genai.Client(api_key="key", http_options=options), requests


def whole(*parts: Part, reason: Any = "stop", shown: bool = False, **fields: Any) -> bytes:
    answer = ChatResponse(choices=(Choice(parts, reason),), **fields)
    return gemini.encode_answer(answer, id="ex1", model="asked", created=1, asked=SHOWN if shown else b"{}")


def streamed(*events: ChatEvent, usage: Usage | None = None, shown: bool = False, end: bool = True) -> bytes:
    encoder = gemini.stream_encoder(id="ex1", model="asked", created=1, usage=True, asked=SHOWN if shown else b"{}")
    out = b"".join(encoder.feed(each) for each in events) + (encoder.end(usage, None) if end else b"")
    assert encoder.place == out.count(b"\n\n")
    return out


USAGE = Usage(input_tokens=10, output_tokens=9, reasoning_tokens=4, cached_tokens=3, input_audio_tokens=2)
SIGNED = Reasoning("hm", "c2ln", format="anthropic")
HIDDEN = Reasoning("", opaque="enc", format="openai")
