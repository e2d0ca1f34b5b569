"""Is a JSON schema one that OpenAI promises to keep to? It refuses ``strict`` for any other.

https://platform.openai.com/docs/guides/structured-outputs#supported-schemas: every object names all of its properties
as required and allows no others. Anthropic and Gemini have optional properties under the same promise.
"""

from __future__ import annotations

from typing import Any

from gateway.chat import Tool

_UNKNOWN = frozenset(
    (
        *("allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"),
        *("patternProperties", "unevaluatedProperties", "propertyNames"),
    )
)
"""Keywords that are refused."""
_NESTED = ("items", "additionalProperties")
_LISTED = ("anyOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions")


def loses_strict(tool: Tool) -> bool:
    """It was promised to be called by its schema, and OpenAI cannot promise that."""
    return tool.strict is True and not is_strict(tool.parameters)


def is_strict(schema: dict[str, Any] | None) -> bool:
    """None is a tool without parameters."""
    if schema is None:
        return True
    if "anyOf" in schema:
        return False
    try:
        return _is_strict(schema)
    except RecursionError:
        return False


def _is_strict(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return not isinstance(schema, list)
    if not _UNKNOWN.isdisjoint(schema) or not _is_closed(schema):
        return False
    inner = [schema[key] for key in _NESTED if key in schema]
    inner += [each for key in _LISTED for each in _listed(schema.get(key))]
    inner += [each for key in _NAMED for each in _named(schema.get(key)).values()]
    return all(map(_is_strict, inner))


def _is_closed(schema: dict[str, Any]) -> bool:
    """An object, whose properties are all there is; anything that is none."""
    kinds = schema.get("type")
    if not ("properties" in schema or kinds == "object" or (isinstance(kinds, list) and "object" in kinds)):
        return True
    required = {each for each in _listed(schema.get("required")) if isinstance(each, str)}
    return schema.get("additionalProperties") is False and required >= _named(schema.get("properties")).keys()


def _listed(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


def _named(said: Any) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}
