"""``usage.cost`` in an answer, in dollars, where we are the ones to say it; the rest of the bytes stay as they are."""

from __future__ import annotations

import math
import re

import msgspec


class _Answer(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"")


_answer = msgspec.json.Decoder(_Answer)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KEY = re.compile(rb'"usage"[ \t\n\r]*:[ \t\n\r]*')
# So many places are looked at before the object is put together anew: the work stays linear whatever the body holds.
_PLACES = 8


def with_cost(body: bytes, cost: float) -> bytes:
    """An answer, or one event's data, whose top-level ``usage`` also says ``"cost"``, in dollars.

    The same object comes back where there is nothing to add to: no usage object, one that has a cost already, or a body
    that cannot be read. Otherwise every other value keeps its bytes.
    """
    if not (math.isfinite(cost) and cost >= 0):
        return body
    try:
        usage = bytes(_answer.decode(body).usage)
        if not usage.startswith(b"{") or "cost" in (fields := _fields.decode(usage)):
            return body
        inner = usage[:-1].rstrip(b" \t\n\r")
        said = inner + (b"," if fields else b"") + b'"cost":' + msgspec.json.encode(cost)
        place = _place(body, usage)
        if place is not None:
            return b"".join((body[:place], said, body[place + len(inner) :]))
        whole = _fields.decode(body)
        whole["usage"] = msgspec.Raw(said + b"}")
        return msgspec.json.encode(whole)
    except (ValueError, RecursionError):
        return body


def _place(body: bytes, usage: bytes) -> int | None:
    """Where the top-level usage begins, or None when more than one place may be it.

    A quotation mark inside a string is escaped, so ``"usage":`` is a key wherever it stands; and the key wanted is
    among them, unless it is spelt with an escape (u, s, a, g, e are ``\\u006x`` and ``\\u007x``).
    """
    if b"\\u006" in body or b"\\u007" in body or (keys := body.count(b'"usage"')) > _PLACES:
        return None
    if keys == 1:
        # Nothing but a colon and spaces lies between the key and its value.
        return body.index(usage, body.index(b'"usage"'))
    places = [key.end() for key in _KEY.finditer(body) if body.startswith(usage, key.end())]
    return places[0] if len(places) == 1 else None
