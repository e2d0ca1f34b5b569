"""What telemetry may carry of prompts and answers: messages in OpenTelemetry's shape, cut, and without secrets.

https://github.com/open-telemetry/semantic-conventions-genai (gen_ai.input.messages, gen_ai.output.messages)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from gateway.chat import Heard

Level = Literal["off", "truncated", "full"]

LONGEST = 200
"""Characters of each text that ``truncated`` leaves."""
# Looked through for secrets before the cut, so that one which the cut would halve is still known for what it is.
_LOOKED_AT = LONGEST * 5

REDACTED = "[redacted]"

# No pattern starts inside a word or has two open ends: a text of any length is read once per pattern.
SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.S),
        REDACTED,
    ),
    (re.compile(r"(data:[\w.+-]{1,64}/[\w.+-]{1,64}(?:;[\w=.+-]{1,64}){0,8},)[\w+/=%-]+"), r"\1[cut]"),
    (re.compile(r"(://)[^\s/@:]{1,128}:[^\s/@]{1,256}@"), rf"\1{REDACTED}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.I), rf"\1 {REDACTED}"),
    # OpenAI, Anthropic, OpenRouter, Stripe, Langfuse; then Groq, xAI, Hugging Face, Perplexity, NVIDIA, Replicate, …
    (re.compile(r"(?<![\w-])(?:sk|pk|rk)[-_][\w-]{16,}"), REDACTED),
    (re.compile(r"(?<![\w-])(?:gsk_|xai-|hf_|pplx-|nvapi-|r8_|glpat-|npm_|pypi-)[\w-]{16,}"), REDACTED),
    (re.compile(r"(?<![\w-])(?:gh[pousr]_\w{20,}|github_pat_\w{20,})"), REDACTED),
    (re.compile(r"(?<!\w)(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?!\w)"), REDACTED),
    (re.compile(r"(?<![\w-])(?:AIza[\w-]{30,}|ya29\.[\w-]{20,})"), REDACTED),
    (re.compile(r"(?<![\w-])xox[abeprs]-[\w-]{10,}"), REDACTED),
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), REDACTED),
    (
        re.compile(
            r"(?<![\w-])([\w-]{0,40}?(?:api[_-]?key|secret|passwd|password|access[_-]?key|token)[\w-]{0,20}"
            r"\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?)[^\s\"'\\,;&]{6,}",
            re.I,
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"), "[e-mail]"),
)


def redacted(text: str) -> str:
    """Without what looks like a key, a token, a password, a private key, an address or a file in a URL."""
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


def shown(text: str, level: Level) -> str:
    """As much of a text as the level allows; never called with ``off``."""
    if level == "full" or len(text) <= LONGEST:
        return redacted(text)
    return redacted(text[:_LOOKED_AT])[:LONGEST] + "…"


def input_messages(body: bytes, level: Level) -> str | None:
    """The messages of a request as JSON text; None for a body that holds none."""
    try:
        asked = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict):
        return None

    def show(text: str) -> str:
        return shown(text, level)

    messages = asked.get("messages")
    if isinstance(messages, list):
        told = [_message(each, show) for each in messages if isinstance(each, dict)]
    elif "input" in asked:
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        told = [{"role": "user", "parts": [_text(each, show)]} for each in texts if isinstance(each, str)]
    else:
        return None
    return msgspec.json.encode(told).decode()


def output_messages(heard: Heard, level: Level) -> str | None:
    """The answer as JSON text; None where nothing was kept of it."""
    parts: list[dict[str, Any]] = []
    if heard.text:
        parts.append({"type": "text", "content": shown(heard.text, level)})
    parts += (
        {"type": "tool_call", "id": call.id, "name": call.tool, "arguments": shown(call.arguments, level)}
        for call in heard.calls
    )
    if not parts:
        return None
    message: dict[str, Any] = {"role": "assistant", "parts": parts}
    if heard.finish_reasons:
        message["finish_reason"] = heard.finish_reasons[0]
    return msgspec.json.encode([message]).decode()


Show = Callable[[str], str]


def _message(message: dict[str, Any], show: Show) -> dict[str, Any]:
    role = message.get("role") if isinstance(message.get("role"), str) else "user"
    if role == "tool":
        said = [part.get("content", "") for part in _parts(message.get("content"), show)]
        parts = [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": "\n".join(said)}]
    else:
        parts = [*_reasoning(message, show), *_parts(message.get("content"), show), *_calls(message, show)]
    return {"role": role, "parts": parts}


def _reasoning(message: dict[str, Any], show: Show) -> Iterator[dict[str, Any]]:
    thought = message.get("reasoning_content")
    if isinstance(thought, str) and thought:
        yield {"type": "reasoning", "content": show(thought)}


def _parts(content: Any, show: Show) -> Iterator[dict[str, Any]]:
    if isinstance(content, str):
        yield _text(content, show)
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            yield _part(part, show)


def _part(part: dict[str, Any], show: Show) -> dict[str, Any]:
    match part:
        case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            return _text(text, show)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return {"type": "uri", "modality": "image", "uri": show(url.partition("?")[0])}
    # Sound, files and what is yet to come: that it was there, and nothing of what it is.
    return {"type": str(part.get("type", "unknown"))[:LONGEST]}


def _calls(message: dict[str, Any], show: Show) -> Iterator[dict[str, Any]]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        match call:
            case {"function": {"name": str(name), "arguments": str(arguments)}}:
                yield {"type": "tool_call", "id": call.get("id"), "name": name, "arguments": show(arguments)}


def _text(text: str, show: Show) -> dict[str, Any]:
    return {"type": "text", "content": show(text)}
