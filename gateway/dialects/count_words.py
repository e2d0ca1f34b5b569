"""What the dialects of counts have in common: a number of tokens and nothing else is asked for."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.chat import Facts
from gateway.dialects.faults import garbled, read_error_object
from gateway.dialects.glimpse import Whole
from gateway.errors import Fault

_fields = msgspec.json.Decoder(dict[str, Any])


def as_count(facts: Facts) -> Facts:
    """Nothing is streamed, nothing generated: how to answer is not asked."""
    return msgspec.structs.replace(
        facts, operation="count_tokens", stream=False, wants_usage=False, choices=1, parameters={}
    )


def within(body: bytes) -> bytes:
    """The request whose tokens are to be counted, where that is all the body holds."""
    return body


def read_whole(body: bytes, now: float) -> Whole | Fault:
    """Of a count no usage is told: nothing was used."""
    tokens = read_count(body, "input_tokens", now)
    return tokens if isinstance(tokens, Fault) else Whole()


def read_count(body: bytes, field: str, now: float) -> int | Fault:
    """The number an answer says."""
    try:
        said = _fields.decode(body)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a count of tokens: {error}", body)
    if said.get("error"):
        return read_error_object(said, body, now)
    tokens = said.get(field)
    if type(tokens) is int and 0 <= tokens < 1 << 53:
        return tokens
    return garbled(f"the answer has no {field}", body)
