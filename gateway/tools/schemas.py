"""Does a value fit a tool's JSON schema, and if not, is there one other way to read it that does?

What is looked at: types, required and unknown properties, items, ``enum``, ``const``, alternatives and references
within the schema (https://json-schema.org/draft/2020-12/json-schema-validation). Ranges, patterns and formats are the
tool's own to judge. A schema that makes no sense asks for nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gateway.tools.loose_json import mended

MOST_STEPS = 50_000
"""Values and alternatives that are looked at, for one call."""
DEEPEST = 64
MOST_FLAWS = 5
LONGEST_PLACE = 100


class Fitted(NamedTuple):
    """``value`` is the very same object where nothing was to be read otherwise."""

    value: Any
    flaws: tuple[str, ...] = ()


class TooMuch(Exception):
    """More than can be looked at."""


def fitted(value: Any, schema: Mapping[str, Any]) -> Fitted:
    """Raises ``TooMuch``."""
    return _Fitting(schema).fit(value, schema, "", DEEPEST)


def only_text(schema: Mapping[str, Any]) -> str | None:
    """The one property a tool needs, if that is a text."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list | None):
        return None
    names = required or (list(properties) if len(properties) == 1 else [])
    wanted = properties.get(names[0]) if len(names) == 1 and isinstance(names[0], str) else None
    return str(names[0]) if isinstance(wanted, dict) and wanted.get("type") == "string" else None


class _Fitting:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root, self._steps = root, 0

    def fit(self, value: Any, schema: Any, place: str, depth: int) -> Fitted:
        self._count(1 if depth else MOST_STEPS)
        if schema is False:
            return Fitted(value, (_at(place, "not wanted"),))
        if not isinstance(schema, dict):
            return Fitted(value)
        found = Fitted(value)
        for word, rule in _RULES.items():
            if word in schema:
                found = _after(found, rule(self, found.value, schema, place, depth - 1))
        return self._within(found, schema, place, depth - 1)

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps >= MOST_STEPS:
            raise TooMuch

    def _within(self, found: Fitted, schema: Mapping[str, Any], place: str, depth: int) -> Fitted:
        if isinstance(found.value, dict):
            return _after(found, self._object(found.value, schema, place, depth))
        items = schema.get("items")
        if isinstance(found.value, list) and isinstance(items, dict):
            return _after(found, self._list(found.value, items, place, depth))
        return found

    # The rules, in the order they are asked

    def _reference(self, value: Any, schema: Mapping[str, Any], place: str, depth: int) -> Fitted:
        return self.fit(value, self._resolved(schema["$ref"]), place, depth)

    def _resolved(self, reference: Any) -> Any:
        """``#/$defs/Place``. What lies elsewhere is not fetched and asks for nothing."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        found: Any = self._root
        for step in reference[1:].split("/")[1:DEEPEST]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found

    def _type(self, value: Any, schema: Mapping[str, Any], place: str, depth: int) -> Fitted:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        known = [each for each in types if isinstance(each, str) and each in _IS]
        if len(known) < len(types) or any(_IS[each](value) for each in known):
            return Fitted(value)
        if value is None and schema.get("nullable") is True:
            return Fitted(value)
        read = [found for each in known for found in self._read_as(each, value, schema, place, depth)]
        if len(read) == 1:
            return Fitted(read[0])
        return Fitted(value, (_at(place, f"not {' or '.join(known)}"),))

    def _read_as(self, kind: str, value: Any, schema: Mapping[str, Any], place: str, depth: int) -> Iterable[Any]:
        """The other way to read the value, if there is one."""
        self._count(len(value) // 100 if isinstance(value, str) else 0)
        if kind in ("object", "array") and isinstance(value, str):
            yield from (found for found in _inside(value) if _IS[kind](found))
            if kind == "object" or value.lstrip().startswith("["):
                return
        if kind == "array" and value is not None:
            alone = self.fit(value, schema.get("items"), place, depth)
            if not alone.flaws:
                yield [alone.value]
        elif kind in _READ_TEXT and isinstance(value, str):
            yield from _READ_TEXT[kind](value.strip())
        elif kind == "string" and isinstance(value, int):
            yield json.dumps(value)

    def _enum(self, value: Any, schema: Mapping[str, Any], place: str, depth: int) -> Fitted:
        return self._one_of_these(value, schema["enum"], place)

    def _const(self, value: Any, schema: Mapping[str, Any], place: str, depth: int) -> Fitted:
        return self._one_of_these(value, [schema["const"]], place)

    def _one_of_these(self, value: Any, allowed: Any, place: str) -> Fitted:
        self._count(len(allowed) // 10 if isinstance(allowed, list) else 0)
        if not isinstance(allowed, list) or any(_same(value, each) for each in allowed):
            return Fitted(value)
        if isinstance(value, str):
            meant = [each for each in allowed if _written(each) == value.strip().casefold()]
            if len(meant) == 1:
                return Fitted(meant[0])
        return Fitted(value, (_at(place, "none of those allowed"),))

    def _all(self, value: Any, schema: Mapping[str, Any], place: str, depth: int) -> Fitted:
        found = Fitted(value)
        for each in schema["allOf"] if isinstance(schema["allOf"], list) else ():
            found = _after(found, self.fit(found.value, each, place, depth))
        return found

    def _any(self, value: Any, schema: Mapping[str, Any], place: str, depth: int) -> Fitted:
        return self._alternatives(value, schema["anyOf"], place, depth)

    def _one(self, value: Any, schema: Mapping[str, Any], place: str, depth: int) -> Fitted:
        return self._alternatives(value, schema["oneOf"], place, depth)

    def _alternatives(self, value: Any, options: Any, place: str, depth: int) -> Fitted:
        """1. One takes it as it is. 2. All that take it otherwise take it as the same. 3. Nobody knows."""
        if not isinstance(options, list) or not options:
            return Fitted(value)
        found = [each for option in options if not (each := self.fit(value, option, place, depth)).flaws]
        if any(each.value is value for each in found):
            return Fitted(value)
        if found and all(_same(each.value, found[0].value) for each in found):
            return found[0]
        return Fitted(value, (_at(place, "none of the alternatives"),))

    # What is inside

    def _object(self, value: dict[str, Any], schema: Mapping[str, Any], place: str, depth: int) -> Fitted:
        properties = schema.get("properties")
        known: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        given_required = schema.get("required")
        required: list[Any] = given_required if isinstance(given_required, list) else []
        self._count(len(required) // 10)
        new, flaws = dict(value), []
        for name in required:
            if isinstance(name, str) and name not in value:
                flaws.append(_at(_under(place, name), "missing"))
        for name, given in value.items():
            if name not in known:
                continue
            found = self.fit(given, known[name], _under(place, name), depth)
            if found.flaws and given is None and name not in (required):
                # A property that may be left out, said to be nothing: so it is left out.
                del new[name]
            else:
                new[name] = found.value
                flaws += found.flaws
        if schema.get("additionalProperties") is False and "patternProperties" not in schema:
            unknown = len(value.keys() - known.keys())
            flaws += [_at(place, f"{unknown} unknown")] if unknown else []
        changed = len(new) < len(value) or any(new[name] is not value[name] for name in new)
        return Fitted(new if changed else value, tuple(flaws[:MOST_FLAWS]))

    def _list(self, value: list[Any], items: Mapping[str, Any], place: str, depth: int) -> Fitted:
        found = [self.fit(each, items, f"{place}[]", depth) for each in value]
        flaws = tuple(dict.fromkeys(flaw for each in found for flaw in each.flaws))[:MOST_FLAWS]
        if all(each.value is given for each, given in zip(found, value, strict=True)):
            return Fitted(value, flaws)
        return Fitted([each.value for each in found], flaws)


_RULES: Mapping[str, Callable[[_Fitting, Any, Mapping[str, Any], str, int], Fitted]] = {
    "$ref": _Fitting._reference,
    "allOf": _Fitting._all,
    "anyOf": _Fitting._any,
    "oneOf": _Fitting._one,
    "type": _Fitting._type,
    "enum": _Fitting._enum,
    "const": _Fitting._const,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_IS: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and value - value == 0 and value == int(value),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.0{1,6})?")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,2})?")
_TRUTHS = {"true": True, "false": False}

_READ_TEXT: Mapping[str, Callable[[str], tuple[Any, ...]]] = {
    "integer": lambda text: (int(text.partition(".")[0]),) if _INTEGER.fullmatch(text) else (),
    "number": lambda text: (json.loads(text),) if _NUMBER.fullmatch(text) else (),
    "boolean": lambda text: (_TRUTHS[text.casefold()],) if text.casefold() in _TRUTHS else (),
    "null": lambda text: (None,) if text.casefold() in ("null", "none") else (),
}


def _inside(text: str) -> list[Any]:
    """The JSON that is written in a text, if it is one value."""
    found = mended(text)
    return [json.loads(found.values[0])] if found and len(found.values) == 1 else []


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _written(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value)).casefold()


def _after(before: Fitted, now: Fitted) -> Fitted:
    return Fitted(now.value, (*before.flaws, *now.flaws)[:MOST_FLAWS]) if before.flaws else now


def _under(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _at(place: str, what: str) -> str:
    return f"{place[:LONGEST_PLACE]}: {what}" if place else what
