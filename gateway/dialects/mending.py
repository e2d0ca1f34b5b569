"""JSON that was cut inside a character, made readable for a look at it: no reason to lose the rest."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

_HALF = rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
# An escaped backslash, which begins nothing; a pair, which is whole; a half.
_SURROGATE = re.compile(rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|" + _HALF)


def mended(data: bytes) -> bytes:
    """With a replacement in place of half a character, be it of UTF-8 or of a pair of escapes."""
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode(errors="replace").encode()
    return _SURROGATE.sub(lambda found: rb"\ufffd" if len(found[0]) == 6 else found[0], data)


def decoded(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T | None:
    """None for what cannot be read, even when half a character, where a text was cut inside one, is overlooked."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        return None
    except (ValueError, RecursionError):
        data = mended(bytes(data))
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        return None
