"""For the dialects whose answers always come whole and whose requests hold no conversation: there is nothing to tell of
turns or of events, and nothing to put before a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.dialects.conversation import NO_CONVERSATION, Conversation
from gateway.dialects.glimpse import DAMAGED, Glimpse
from gateway.dialects.replaying import Fitted
from gateway.sse import Frame

CLOSING = b""
KEEPALIVE = b""


def conversation(body: bytes) -> Conversation:
    return NO_CONVERSATION


def cleared(body: bytes, bare: bool) -> Fitted:
    return Fitted(body)


def spoken(body: bytes) -> str:
    return ""


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    return body


def planning(body: bytes, instructions: str, request: str) -> bytes | None:
    return None


def noted(body: bytes, note: str) -> bytes | None:
    return None


def with_cost(body: bytes, cost: float) -> bytes:
    """For the answers whose usage has no place for it."""
    return body


def skim(events: Sequence[bytes], calling: bool) -> list[str | None]:
    return [None] * len(events)


def glimpse(frame: Frame, now: float) -> Glimpse:
    return DAMAGED
