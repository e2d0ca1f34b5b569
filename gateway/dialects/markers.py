"""A chat without the markers of what is to be cached, for vendors that refuse them."""

from __future__ import annotations

from operator import is_
from typing import Any

import msgspec

from gateway.chat import ChatRequest


def without_markers(request: ChatRequest) -> tuple[ChatRequest, tuple[str, ...]]:
    """And what it has lost, once. The same object where there were none."""
    messages = tuple(
        msgspec.structs.replace(each, parts=tuple(map(_unmarked, each.parts)))
        if any(map(_is_marked, each.parts))
        else each
        for each in request.messages
    )
    tools = tuple(map(_unmarked, request.tools))
    same = all(map(is_, (*messages, *tools), (*request.messages, *request.tools)))
    if same:
        return request, ()
    return msgspec.structs.replace(request, messages=messages, tools=tools), ("cache_control",)


def _is_marked(part: Any) -> bool:
    return getattr(part, "cache", None) is not None or any(map(_is_marked, getattr(part, "parts", ())))


def _unmarked(part: Any) -> Any:
    if not _is_marked(part):
        return part
    inner = {"parts": tuple(map(_unmarked, part.parts))} if hasattr(part, "parts") else {}
    return msgspec.structs.replace(part, cache=None, **inner)
