"""For the dialects whose streams have a state: one that broke off is not gone on with by another target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.sse import Frame


def without_usage(frame: Frame) -> bytes:
    """Usage is always told: there is nothing to withhold."""
    return frame.raw


def identity(frame: Frame) -> dict[str, Any]:
    return {}


def restamp(frame: Frame, first: Mapping[str, Any], text: str | None) -> bytes:
    return frame.raw


def continuation(body: bytes, delivered: str, prefill: Mapping[str, Any] | None) -> bytes:
    return body
