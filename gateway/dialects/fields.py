"""The fields of a request, each of its kind or the caller's mistake: where it is, and what should be there.

``where`` is the object that the field is in, with its dot: ``options.``. All raise ``CallerError`` (400).
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.mending import mended
from gateway.dialects.openai_parts import Fields, wrong
from gateway.errors import CallerError


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def object_of(body: bytes) -> Fields:
    """The whole request."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        try:
            said = msgspec.json.decode(mended(body))
        except (ValueError, RecursionError) as error:
            raise CallerError(400, "invalid_json", f"the body is not valid JSON: {error}") from None
    if not isinstance(said, dict):
        raise CallerError(400, "invalid_type", "the body must be a JSON object")
    return said


def flag(said: Fields, name: str, where: str = "") -> bool | None:
    value = said.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise wrong(f"{where}{name}", "a boolean", value)


def number(said: Fields, name: str, where: str = "") -> float | None:
    value = said.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise wrong(f"{where}{name}", "a number", value)


def whole(said: Fields, name: str, otherwise: int | None = None, where: str = "") -> int | None:
    """JavaScript writes ``5.0`` too."""
    value = said.get(name)
    if value is None:
        return otherwise
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise wrong(f"{where}{name}", "an integer", value)


def string(said: Fields, name: str, where: str = "") -> str | None:
    value = said.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong(f"{where}{name}", "a string", value)


def mapping(said: Fields, name: str, where: str = "") -> Fields | None:
    value = said.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise wrong(f"{where}{name}", "an object", value)


def elements(said: Fields, name: str, where: str = "") -> list[Any]:
    """Empty where there are none."""
    value = said.get(name)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise wrong(f"{where}{name}", "an array", value)


def strings(said: Fields, name: str, where: str = "") -> tuple[str, ...]:
    """One alone, or several."""
    value = said.get(name)
    given = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise wrong(f"{where}{name}", "a string or an array of strings", value)
    return tuple(given)
