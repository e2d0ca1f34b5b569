"""Durations and sizes as people write them: ``500ms``, ``2m``, ``32MiB``."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

Duration = Annotated[float, msgspec.Meta(ge=0, extra={"unit": "duration"})]
"""Seconds; in a file also ``500ms``, ``5s``, ``2m``, ``1h``."""

Size = Annotated[int, msgspec.Meta(ge=1, extra={"unit": "size"})]
"""Bytes; in a file also ``64KiB``, ``32MiB``, ``1GiB`` (or KB, MB, GB: powers of ten)."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_BYTES = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}

DURATION_PATTERN = r"^\s*\d+(\.\d+)?\s*(ms|s|m|h)?\s*$"
SIZE_PATTERN = r"^\s*\d+(\.\d+)?\s*([KMGkmg]i?[Bb]|[Bb])?\s*$"


def parse_duration(text: str) -> float:
    """Seconds. Raises ``ValueError`` with what a duration looks like."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*", text)
    if not match:
        raise ValueError("write a duration such as 500ms, 5s, 2m or a number of seconds")
    return float(match[1]) * _SECONDS[match[2] or ""]


def parse_size(text: str) -> int:
    """Bytes. Raises ``ValueError`` with what a size looks like."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if not match or match[2].lower() not in _BYTES:
        raise ValueError("write a size such as 64KiB, 32MiB or a number of bytes")
    return int(float(match[1]) * _BYTES[match[2].lower()])
