"""W3C trace context: the trace a request belongs to, read from its headers and written into ours.

https://www.w3.org/TR/trace-context-1/ (and ``traceresponse`` of https://www.w3.org/TR/trace-context-2/).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# A tracestate longer than this is left behind, as the specification allows, and so is one that cannot be read:
# https://www.w3.org/TR/trace-context-1/#tracestate-header-field-values
_LONGEST_STATE = 512
_MOST_MEMBERS = 32
_MEMBER = re.compile(
    r"[ \t]*(?:(?:[a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e][ \t]*)?"
)


class Trace(msgspec.Struct, frozen=True, gc=False):
    """Where an exchange stands in a trace. Its spans count up from ``first``: server, call, then its attempts.

    So every id is known from the start and nothing has to be remembered to find a span again.
    """

    id: int
    first: int
    sampled: bool
    """What is told upstream and in exemplars; an exchange that fails is kept all the same."""
    parent: int | None = None
    """The client's span, where it sent one."""
    parent_sampled: bool | None = None
    state: str = ""

    @property
    def trace_id(self) -> str:
        return f"{self.id:032x}"

    @property
    def server(self) -> int:
        return self.first

    @property
    def call(self) -> int:
        return self.first + 1

    def attempt(self, number: int) -> int:
        """The span of the n-th call to a vendor, from 1."""
        return self.first + 1 + number

    def traceparent(self, span: int) -> str:
        """The header that makes ``span`` the parent of whoever receives it."""
        return f"00-{self.id:032x}-{span:016x}-{'01' if self.sampled else '00'}"


def trace_of(headers: Mapping[str, str], chance: Callable[[int], int], ratio: float) -> Trace:
    """The trace of a request: the client's own if its ``traceparent`` is valid, else a new one.

    ``chance(n)`` gives n random bits. Sampling is the client's decision, else ``ratio`` of all traces by their id, so
    that every service with the same ratio decides alike.
    """
    # Room above, so that counting up from it never leaves 64 bits; and never 0, which is no id.
    first = chance(62) + 1
    sent = headers.get("traceparent")
    found = _TRACEPARENT.fullmatch(sent.strip()) if sent else None
    if found and found[1] != "ff" and (found[1] != "00" or not found[5]) and int(found[2], 16) and int(found[3], 16):
        sampled = bool(int(found[4], 16) & 1)
        return Trace(
            id=int(found[2], 16),
            first=first,
            sampled=sampled,
            parent=int(found[3], 16),
            parent_sampled=sampled,
            state=_state(headers.get("tracestate", "")),
        )
    id = chance(128) or 1
    return Trace(id=id, first=first, sampled=(id & _LOW) < ratio * (_LOW + 1))


def _state(sent: str) -> str:
    """The ``tracestate`` to hand on: as it was sent, or nothing."""
    members = sent.split(",")
    if len(sent) > _LONGEST_STATE or not all(_MEMBER.fullmatch(member) for member in members):
        return ""
    return sent if sum(not member.isspace() for member in members if member) <= _MOST_MEMBERS else ""


# The part of an id that decides, as OpenTelemetry's TraceIdRatioBased sampler has it.
_LOW = 2**64 - 1
