"""JSON schemas as Anthropic takes them, for tools and for answers.

What an answer (or a strict tool) can be held to is a part of JSON Schema; the rest goes into the description, for the
model to read: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"))
_SAYS_NOTHING = frozenset(("$schema", "$id", "$comment"))
_VARIANTS = ("anyOf", "oneOf", "allOf")


def enforceable(schema: Any) -> Any:
    """The schema with only the keywords that are enforced; what is left over is told in its description."""
    if not isinstance(schema, dict):
        return schema
    left = {key: value for key, value in schema.items() if key not in _SAYS_NOTHING}
    kept: Schema = {}
    definitions = {**_taken(left, "definitions"), **_taken(left, "$defs")}
    if definitions:
        kept["$defs"] = {name: enforceable(each) for name, each in definitions.items()}
    if isinstance(reference := left.pop("$ref", None), str):
        return {**kept, "$ref": reference.replace("#/definitions/", "#/$defs/", 1)}
    for key in ("type", "title", "enum", "const"):
        if key in left:
            kept[key] = left.pop(key)
    for key in _VARIANTS:
        if isinstance(variants := left.get(key), list):
            del left[key]
            kept.setdefault("allOf" if key == "allOf" else "anyOf", []).extend(enforceable(each) for each in variants)
    types = kept.get("type")
    for name, take in (("object", _object), ("array", _array), ("string", _string)):
        if types == name or (isinstance(types, list) and name in types):
            take(left, kept)
    description = left.pop("description", None)
    told = "{" + ", ".join(f"{key}: {value}" for key, value in left.items()) + "}" if left else ""
    if said := "\n\n".join(filter(None, (description if isinstance(description, str) else "", told))):
        kept["description"] = said
    return kept


def _taken(left: Schema, key: str) -> Schema:
    value = left.pop(key, None)
    return value if isinstance(value, dict) else {}


def _object(left: Schema, kept: Schema) -> None:
    kept["properties"] = {name: enforceable(each) for name, each in _taken(left, "properties").items()}
    # Objects must be closed; one that was meant as a map can only be told so.
    if isinstance(left.get("additionalProperties"), bool):
        del left["additionalProperties"]
    kept["additionalProperties"] = False
    if required := left.pop("required", None):
        kept["required"] = [name for name in _names(required) if name in kept["properties"]]


def _array(left: Schema, kept: Schema) -> None:
    if "items" in left:
        kept["items"] = enforceable(left.pop("items"))
    if left.get("minItems") in (0, 1):
        kept["minItems"] = left.pop("minItems")


def _string(left: Schema, kept: Schema) -> None:
    if isinstance(left.get("format"), str) and left["format"] in FORMATS:
        kept["format"] = left.pop("format")


def tool_input(parameters: Schema | None) -> tuple[Schema, tuple[str, ...]]:
    """The schema of a tool's input, and the keywords it had to lose.

    It must be an object's, and variants at its top are refused ("input_schema does not support oneOf, allOf, or anyOf
    at the top level"): their properties are put together, those required by all (``allOf``: by any) stay required.
    """
    if not parameters:
        return {"type": "object", "properties": {}}, ()
    lost = tuple(key for key in _VARIANTS if isinstance(parameters.get(key), list))
    schema = {key: value for key, value in parameters.items() if key not in lost}
    for key in lost:
        variants = [each for each in parameters[key] if isinstance(each, dict)]
        schema["properties"] = {
            **{name: each for variant in reversed(variants) for name, each in _properties(variant).items()},
            **_properties(schema),
        }
        needed = [set(_names(variant.get("required"))) for variant in variants] or [set()]
        common = set.union(*needed) if key == "allOf" else set.intersection(*needed)
        if required := [*_names(schema.get("required")), *sorted(common)]:
            schema["required"] = list(dict.fromkeys(required))
    return {**schema, "type": "object"}, lost


def _properties(schema: Schema) -> Schema:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
