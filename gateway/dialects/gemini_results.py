"""What a tool answered, as Gemini's clients send it: https://ai.google.dev/api/caching#FunctionResponse

``{"output": …}`` and ``{"error": …}`` are the documented ones; for what a function returned SDKs write
``{"result": …}``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

_WHOLE = frozenset(("output", "result", "error", "content"))


class Result(NamedTuple):
    text: str
    failed: bool


def result_of(response: Any) -> Result:
    """The text under the one usual key; every other object as compact JSON."""
    if not isinstance(response, dict):
        return Result(_text(response), False)
    failed = bool(response.get("error"))
    if len(response) == 1:
        name, value = next(iter(response.items()))
        if name in _WHOLE:
            return Result(_text(value), failed)
    return Result(_text(response) if response else "", failed)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
