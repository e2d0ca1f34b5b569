"""The JSON Schema of the file, from the same types that read it, so that editors complete and explain each setting."""

from __future__ import annotations

import ast
import functools
import inspect as source
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, inspect

from gateway.config import strategies
from gateway.config.loading import SECTIONS
from gateway.config.settings import Model, Tools
from gateway.resilience import Resilience
from gateway.units import DURATION_PATTERN, SIZE_PATTERN

Schema = dict[str, Any]

VARIABLE: Schema = {"$ref": "#/$defs/variable"}
RESILIENCE: Schema = {"$ref": "#/$defs/resilience"}
PATTERNS = {"duration": DURATION_PATTERN, "size": SIZE_PATTERN}


def schema() -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "skein.yaml",
        "description": "The configuration of Skein, the LLM gateway.",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {name: schema_of(inspect.type_info(kind)) for name, kind in SECTIONS.items()},
        "$defs": {
            "resilience": _settings(Resilience),
            "variable": {
                "description": "Filled in from the environment: ${VAR} or ${VAR:-default}.",
                "type": "string",
                "pattern": r"\$\{",
            },
        },
    }


def schema_of(kind: inspect.Type) -> Schema:
    return _SCHEMAS[type(kind)](kind)


def _struct(kind: inspect.StructType) -> Schema:
    if kind.cls is Resilience:
        return RESILIENCE
    return _model() if kind.cls is Model else _settings(kind.cls)


def _settings(struct: Any, more: Mapping[str, Schema] | None = None) -> Schema:
    properties = dict(more or {})
    explained = explanations(struct)
    fields = inspect.type_info(struct).fields  # type: ignore[attr-defined]
    for field in fields:
        properties[field.name] = {**schema_of(field.type), **_default(field)}
        if field.name in explained:
            properties[field.name]["description"] = explained[field.name]
    required = [field.name for field in fields if field.required]
    made: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        return made | {"required": required}
    return made | {"type": ["object", "null"]}


def _default(field: inspect.Field) -> Schema:
    if field.default is NODEFAULT or isinstance(field.default, msgspec.Struct | None) or field.default in ("", ()):
        return {}
    return {"default": msgspec.to_builtins(field.default)}


def _model() -> Schema:
    """A name, a list of names, or a strategy's settings with ``strategy``, ``resilience`` and ``tools`` beside them."""
    text: Schema = {"type": "string", "minLength": 1}
    whole = [text, {"type": "array", "items": text, "minItems": 1}]
    return {"anyOf": [*whole, *(_strategy(name) for name in strategies.known())]}


def _strategy(name: str) -> Schema:
    beside = {"strategy": {"const": name}, "resilience": RESILIENCE, "tools": schema_of(inspect.type_info(Tools))}
    made = _settings(strategies.known()[name], beside)
    if name == "priority":
        return made
    return made | {"required": ["strategy", *made.get("required", [])]}


def _annotated(kind: inspect.Metadata) -> Schema:
    extra = kind.extra or {}
    if part_of := extra.get("part_of"):
        return schema_of(inspect.type_info(part_of))
    if unit := extra.get("unit"):
        return {"anyOf": [_range(kind.type), {"type": "string", "pattern": PATTERNS[unit]}, VARIABLE]}
    return schema_of(kind.type)


def _number(kind: inspect.Type) -> Schema:
    return {"anyOf": [_range(kind), VARIABLE]}


def _range(kind: Any) -> Schema:
    bounds = {"minimum": kind.ge, "exclusiveMinimum": kind.gt, "maximum": kind.le, "exclusiveMaximum": kind.lt}
    made: Schema = {"type": "integer" if isinstance(kind, inspect.IntType) else "number"}
    return made | {name: bound for name, bound in bounds.items() if bound is not None}


def _literal(kind: inspect.LiteralType) -> Schema:
    return {"anyOf": [{"enum": list(kind.values)}, VARIABLE]}


def _mapping(kind: inspect.DictType) -> Schema:
    return {"type": ["object", "null"], "additionalProperties": schema_of(kind.value_type)}


def _sequence(kind: inspect.VarTupleType) -> Schema:
    made: Schema = {"items": schema_of(kind.item_type)}
    if kind.min_length:
        return {"type": "array", "minItems": kind.min_length, **made}
    return {"type": ["array", "null"], **made}


def _union(kind: inspect.UnionType) -> Schema:
    members = [schema_of(each) for each in kind.types]
    flat = [part for member in members for part in (member["anyOf"] if member.keys() == {"anyOf"} else [member])]
    return {"anyOf": flat}


_SCHEMAS: Mapping[type[inspect.Type], Callable[[Any], Schema]] = {
    inspect.StructType: _struct,
    inspect.Metadata: _annotated,
    inspect.UnionType: _union,
    inspect.DictType: _mapping,
    inspect.VarTupleType: _sequence,
    inspect.LiteralType: _literal,
    inspect.IntType: _number,
    inspect.FloatType: _number,
    inspect.StrType: lambda kind: {"type": "string", "minLength": 1},
    inspect.BoolType: lambda kind: {"anyOf": [{"type": "boolean"}, VARIABLE]},
    inspect.NoneType: lambda kind: {"type": "null"},
}


@functools.cache
def explanations(struct: type[msgspec.Struct]) -> Mapping[str, str]:
    """Field -> the text that stands below it in the source; nothing for a struct that came without its source."""
    try:
        [definition] = ast.parse(textwrap.dedent(source.getsource(struct))).body
    except OSError:
        return {}
    assert isinstance(definition, ast.ClassDef)  # noqa: S101  (a struct's source is a class)
    explained: dict[str, str] = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                explained[name] = " ".join(words.split()).replace("``", "`")
    return explained
