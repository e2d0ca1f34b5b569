"""A value that a JSON schema accepts: always the same, as small as can be, for schemas of the usual kind.

Read are type, enum, const, properties with required, items with minItems, the bounds of numbers and lengths of strings,
the common formats, local $ref, and the first of anyOf, oneOf or allOf. Patterns are not.
"""

from __future__ import annotations

import math
from typing import Any

DEEPEST = 24
MOST_VALUES = 1000
LARGEST, SMALLEST = 2.0**53, 1e-9

WORD = "skein"
COMMAND = "echo skein"
COMMANDS = frozenset(("command", "cmd"))
"""What agents call the property that they run, and what it gets."""
FORMATS = {
    "date": "2025-06-15",
    "time": "12:00:00Z",
    "date-time": "2025-06-15T12:00:00Z",
    "email": "skein@example.com",
    "uri": "https://example.com/skein",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "ipv4": "192.0.2.1",
}


def value_for(schema: dict[str, Any]) -> Any:
    return _Sampler(schema).value(schema)


class _Sampler:
    """One walk over one schema. Ends on any: schemas may refer to themselves."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._left = MOST_VALUES

    def value(self, schema: Any, name: str = "", depth: int = 0) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or self._left < 0 or depth > DEEPEST:
            return None
        if "const" in schema:
            return schema["const"]
        if isinstance(reference := schema.get("$ref"), str):
            return self.value(self._referred(reference), name, depth + 1)
        for key in ("enum", "anyOf", "oneOf", "allOf"):
            if isinstance(options := schema.get(key), list) and options:
                return options[0] if key == "enum" else self.value(options[0], name, depth + 1)
        match _kind(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number" as kind:
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        return _string(schema, name)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties"), schema.get("required")
        properties = properties if isinstance(properties, dict) else {}
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        return {name: self.value(properties.get(name, {}), name, depth + 1) for name in names[:MOST_VALUES]}

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        items = schema.get("items", {})
        if name in COMMANDS and isinstance(items, dict) and _kind(items) == "string" and "enum" not in items:
            return COMMAND.split()
        count = min(_bound(schema, "minItems", 0), MOST_VALUES)
        return [self.value(items, "", depth + 1) for _ in range(int(count))]

    def _referred(self, reference: str) -> Any:
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "string"


def _string(schema: dict[str, Any], name: str) -> str:
    text = FORMATS.get(str(schema.get("format")), COMMAND if name in COMMANDS else WORD)
    shortest, longest = _bound(schema, "minLength", 0), _bound(schema, "maxLength", LARGEST)
    return text.ljust(int(min(shortest, MOST_VALUES)), ".")[: int(longest)]


def _number(schema: dict[str, Any], whole: bool) -> float:
    """1 where the bounds allow it, else the bound nearest to it, on a multiple of ``multipleOf``."""
    step = _bound(schema, "multipleOf", 1.0 if whole else 0.0)
    gap = step or 1.0
    low = max(_bound(schema, "minimum", -LARGEST), _bound(schema, "exclusiveMinimum", -LARGEST) + gap)
    high = min(_bound(schema, "maximum", LARGEST), _bound(schema, "exclusiveMaximum", LARGEST) - gap)
    value = max(low, min(1.0, high)) if low <= high else (low + high) / 2
    if step > SMALLEST:
        above = math.ceil(value / step) * step
        value = above if above <= high else high // step * step
    return int(value) if whole else value


def _bound(schema: dict[str, Any], key: str, default: float) -> float:
    said = schema.get(key)
    if isinstance(said, bool) or not isinstance(said, int | float):
        return default
    return float(max(-LARGEST, min(LARGEST, said)))
