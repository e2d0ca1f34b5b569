"""Schemas that OpenAI promises to keep to: https://platform.openai.com/docs/guides/structured-outputs"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.openai_strict import is_strict

CLOSED: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def closed(**properties: Any) -> dict[str, Any]:
    return {**CLOSED, "properties": properties, "required": [*properties]}


SCHEMAS = {
    "nothing asked for": (None, True),
    "no properties": (CLOSED, True),
    "may be null": (closed(a={"type": ["string", "null"]}, b={"anyOf": [{"type": "integer"}, {"type": "null"}]}), True),
    "definitions": ({**closed(a={"$ref": "#/$defs/a"}), "$defs": {"a": closed(b={"type": "string"})}}, True),
    "lists": (closed(a={"type": "array", "items": closed(b={"type": "string"}), "minItems": 1}), True),
    "a property named like a keyword": (closed(oneOf={"type": "string"}), True),
    "an optional property": ({**closed(a={"type": "string"}), "required": []}, False),
    "others allowed": ({"type": "object", "properties": {}, "required": []}, False),
    "others of a type": (closed(a={"type": "object", "additionalProperties": {"type": "string"}}), False),
    "optional within a list": (closed(a={"type": "array", "items": {**closed(b={}), "required": []}}), False),
    "optional in a definition": ({**CLOSED, "$defs": {"a": {"type": "object"}}}, False),
    "optional in one of several": (closed(a={"anyOf": [{"type": "null"}, {"type": ["object", "null"]}]}), False),
    "all of": (closed(a={"allOf": [{"type": "string"}]}), False),
    "several at the root": ({"anyOf": [CLOSED]}, False),
    "no schema": ({**CLOSED, "properties": {"a": ["string"]}}, False),
}


@pytest.mark.parametrize(("schema", "strict"), SCHEMAS.values(), ids=SCHEMAS)
def test_schemas(schema: dict[str, Any] | None, strict: bool):
    assert is_strict(schema) is strict


def test_one_that_is_too_deep_is_none():
    schema: dict[str, Any] = dict(CLOSED)
    for _ in range(100_000):
        schema = {"type": "array", "items": schema}
    assert is_strict(schema) is False
