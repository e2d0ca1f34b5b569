"""Answers whose content is a list of parts, told as OpenAI tells them: a text, and the reasoning beside it.

Mistral's reasoning models and Claude at Databricks answer so; OpenAI's own clients expect a text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.sse import Frame, event


def flattened(body: bytes) -> bytes:
    """A whole answer, or one event's data; as it came where there is nothing to change, or where it cannot be read."""
    if not may_flatten(body):
        return body
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return body
    choices = said.get("choices") if isinstance(said, dict) else None
    changed = [
        _flatten(message)
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict)
        for message in (choice.get("message"), choice.get("delta"))
    ]
    return msgspec.json.encode(said) if any(changed) else body


def may_flatten(body: bytes) -> bool:
    """There is something in it that could be such a part."""
    return b'"text"' in body or b'"thinking"' in body or b'"reasoning"' in body


def flattened_frame(frame: Frame) -> Frame:
    data = frame.data or b""
    flat = flattened(data)
    return frame if flat is data else Frame(event(flat, frame.name), flat, frame.name)


def _flatten(message: Any) -> bool:
    """Changes the message in its place. A list with parts that are neither text nor thoughts stays one."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not all(
        isinstance(part, dict) and part.get("type") in _KINDS for part in content
    ):
        return False
    thoughts = "".join(_thought(part) for part in content if part["type"] != "text")
    message["content"] = "".join(str(part.get("text") or "") for part in content if part["type"] == "text")
    if thoughts:
        message["reasoning_content"] = f"{message.get('reasoning_content') or ''}{thoughts}"
    return True


_KINDS = ("text", "thinking", "reasoning")


def _thought(part: dict[str, Any]) -> str:
    """Mistral's ``thinking`` and Databricks' ``summary`` are lists of texts."""
    inner = part.get("thinking", part.get("summary"))
    pieces = inner if isinstance(inner, list) else [inner]
    return "".join(
        piece if isinstance(piece, str) else str(piece.get("text") or "")
        for piece in pieces
        if isinstance(piece, str | dict)
    )
