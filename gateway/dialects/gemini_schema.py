"""Google's own schema language as JSON Schema: https://ai.google.dev/api/caching#Schema

An older OpenAPI's: types in capitals, ``nullable`` beside them, and, as in all of Google's JSON, every name in two
spellings and long integers as strings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.dialects.openai_parts import Fields, wrong

_TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
_COUNTS = frozenset(("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"))
_RENAMED = {"defs": "$defs", "ref": "$ref"}
# The order in which properties are to be written, and a format that says what ``enum`` says.
_LEFT_OUT = frozenset(("nullable", "propertyOrdering"))
_SNAKE = re.compile(r"(?<=[A-Za-z0-9])_([a-z0-9])")


def tidy(fields: Fields) -> Fields:
    """The same object with its names in the one spelling; null says nothing."""
    if not any("_" in name or value is None for name, value in fields.items()):
        return fields
    return {spelled(name): value for name, value in fields.items() if value is not None}


def spelled(name: str) -> str:
    """``response_schema`` is ``responseSchema``."""
    return _SNAKE.sub(lambda found: found[1].upper(), name) if "_" in name else name


def json_schema(said: Any, where: str) -> Fields:
    """Raises ``CallerError`` (400) where there is no schema, and ``RecursionError``."""
    if not isinstance(said, dict):
        raise wrong(where, "an object", said)
    fields = tidy(said)
    made: Fields = {}
    for name, value in fields.items():
        if name in _LEFT_OUT or (name == "format" and value == "enum"):
            continue
        if name == "example":
            made["examples"] = [value]
            continue
        read = _READ.get(name)
        made[_RENAMED.get(name, name)] = read(value, f"{where}.{name}") if read else value
    if isinstance(kind := made.get("type"), str) and kind not in _TYPES:
        del made["type"]
    if fields.get("nullable") is True:
        _allow_null(made)
    return made


def _allow_null(made: Fields) -> None:
    if isinstance(kind := made.get("type"), str):
        made["type"] = [kind, "null"]
    elif "anyOf" in made:
        made["anyOf"] = [*made["anyOf"], {"type": "null"}]
    if isinstance(values := made.get("enum"), list) and None not in values:
        made["enum"] = [*values, None]


def _type(said: Any, where: str) -> Any:
    if isinstance(said, list):
        return [each.lower() if isinstance(each, str) else each for each in said]
    return said.lower() if isinstance(said, str) else said


def _list(said: Any, where: str) -> list[Fields]:
    if not isinstance(said, list):
        raise wrong(where, "an array", said)
    return [json_schema(each, f"{where}[{place}]") for place, each in enumerate(said)]


def _named(said: Any, where: str) -> Fields:
    """The names are the caller's own: they keep their spelling."""
    if not isinstance(said, dict):
        raise wrong(where, "an object", said)
    return {name: json_schema(each, f"{where}.{name}") for name, each in said.items()}


def _or_flag(said: Any, where: str) -> Any:
    return said if isinstance(said, bool) else json_schema(said, where)


def _count(said: Any, where: str) -> Any:
    return int(said) if isinstance(said, str) and re.fullmatch("[0-9]{1,18}", said) else said


_READ: Mapping[str, Any] = {
    "type": _type,
    "items": _or_flag,
    "anyOf": _list,
    "oneOf": _list,
    "allOf": _list,
    "prefixItems": _list,
    "properties": _named,
    "defs": _named,
    "$defs": _named,
    "additionalProperties": _or_flag,
    **dict.fromkeys(_COUNTS, _count),
}
