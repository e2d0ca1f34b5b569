"""What agents need of models that call tools badly, or cannot: calls repaired, and calls read out of text. Pure."""

from __future__ import annotations

from gateway.tools.caring import NO_CARE, Care, Caring, caring
from gateway.tools.describing import shimmed
from gateway.tools.interpreting import Unread, interpreted, question
from gateway.tools.mending import Mending
from gateway.tools.reading import Reading

__all__ = [
    "NO_CARE",
    "Care",
    "Caring",
    "Mending",
    "Reading",
    "Unread",
    "caring",
    "interpreted",
    "question",
    "shimmed",
]
