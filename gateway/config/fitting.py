"""Does a tree fit the settings' types? Every misfit is found, not only the first; what fits is kept.

One function per kind of type. Each returns the value the type wants, or ``WRONG`` after having said why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect

from gateway.config import strategies
from gateway.config.findings import Enough, Findings, child, either, item, listed, quoted
from gateway.config.reading import UNUSABLE, Node
from gateway.config.settings import Model, Tools, is_secret
from gateway.errors import did_you_mean
from gateway.resilience import Resilience
from gateway.units import parse_duration, parse_size

WRONG: Final[Any] = object()

_UNITS: Mapping[str, tuple[Callable[[str], float], str]] = {
    "duration": (parse_duration, "a duration such as 500ms, 5s or 2m"),
    "size": (parse_size, "a size such as 64KiB or 32MiB"),
}


def fit(node: Node, kind: inspect.Type, path: str, found: Findings) -> Any:
    if node.value is UNUSABLE:
        return WRONG
    return _FITTERS[type(kind)](node, kind, path, found)


def fit_struct(node: Node, struct: type[msgspec.Struct], path: str, found: Findings) -> Any:
    return fit(node, inspect.type_info(struct), path, found)


def _struct(node: Node, kind: inspect.StructType, path: str, found: Findings) -> Any:
    if kind.cls is Model:
        return _model(node, path, found)
    if not isinstance(node.value, dict | None):
        return _misfit(node, kind, path, found)
    given = node.value or {}
    fields = {field.name: field for field in kind.fields}
    for name in [name for name in given if name not in fields]:
        found.add(child(path, name), "is not a setting", either(name, fields))
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in given:
            values[name] = fit(given[name], field.type, child(path, name), found)
        elif field.required:
            found.add(child(path, name), "is missing")
            values[name] = WRONG
    if any(value is WRONG and fields[name].required for name, value in values.items()):
        return WRONG
    return kind.cls(**{name: value for name, value in values.items() if value is not WRONG})


def _model(node: Node, path: str, found: Findings) -> Any:
    """A name, a list of names, or the strategy's settings with those of every model (``BESIDE``) among them."""
    match node.value:
        case str():
            return _model(Node({"targets": Node([node], node.line)}, node.line), path, found)
        case list():
            return _model(Node({"targets": node}, node.line), path, found)
        case dict():
            given = dict(node.value)
        case _:
            found.add(path, f"expected a target, a list of targets or a strategy, not {_came(node)}")
            return WRONG
    kind = _kind(given.pop("strategy", Node("priority")), child(path, "strategy"), found)
    resilience = _part(given.pop("resilience", Node({})), Resilience, child(path, "resilience"), found)
    tools = fit_struct(given.pop("tools"), Tools, child(path, "tools"), found) if "tools" in given else None
    if kind is WRONG:
        return WRONG
    strategy = _strategy(Node(given, node.line), kind, path, found)
    if strategy is WRONG:
        return WRONG
    return Model(
        strategy=strategy,
        kind=kind,
        resilience={} if resilience is WRONG else resilience,
        tools=None if tools is WRONG else tools,
    )


def _strategy(node: Node, kind: str, path: str, found: Findings) -> Any:
    struct: Any = strategies.known()[kind]
    fields = struct.__struct_fields__
    given = {name: value for name, value in node.value.items() if name in fields}
    for name in [name for name in node.value if name not in given]:
        found.add(child(path, name), f"is not a setting of {kind}", either(name, (*fields, *strategies.BESIDE)))
    try:
        strategy = fit_struct(Node(given, node.line), struct, path, found)
        if strategy is not WRONG and not _are_names(strategy.references()):
            raise TypeError("references() gave no tuple of names")
    except Enough:
        raise
    except ValueError as error:  # what its __post_init__ says of settings that do not go together
        found.add(path, *str(error).split(": ", 1))
    except Exception as error:  # code of others, which raises what it likes
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        found.add(path, f"the strategy {kind} failed: {said[:200]}")
    else:
        return strategy
    return WRONG


def _are_names(references: Any) -> bool:
    return isinstance(references, tuple) and bool(references) and all(isinstance(each, str) for each in references)


def _kind(node: Node, path: str, found: Findings) -> Any:
    if node.value is UNUSABLE:
        return WRONG
    known = strategies.known()
    if not isinstance(node.value, str):
        found.add(path, f"expected one of {listed(known)}, not {_came(node)}")
    elif node.value in known:
        return node.value
    else:
        # Notes are not told beside problems, and the package that was to bring this strategy may be the whole problem.
        left_out = "; ".join(why for name, why in strategies.installed().left_out if name == node.value)
        found.add(path, f"no strategy {quoted(node.value)}", left_out or either(node.value, known))
    return WRONG


def _annotated(node: Node, kind: inspect.Metadata, path: str, found: Findings) -> Any:
    extra = kind.extra or {}
    if part_of := extra.get("part_of"):
        return _part(node, part_of, path, found)
    if extra.get("secret"):
        return fit(msgspec.structs.replace(node, secret=True), kind.type, path, found)
    if isinstance(node.value, str) and (unit := extra.get("unit")):
        return _measure(node, kind, unit, path, found)
    return fit(node, kind.type, path, found) if not extra.get("unit") else _number(node, kind, path, found)


def _part(node: Node, struct: type[msgspec.Struct], path: str, found: Findings) -> Any:
    """Some of a struct's settings, as a dict of what was said."""
    whole = fit_struct(node, struct, path, found)
    return WRONG if whole is WRONG else _said(node, whole)


def _said(node: Node, whole: msgspec.Struct) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in (node.value or {}).keys() & set(whole.__struct_fields__):
        value = getattr(whole, name)
        said[name] = _said(node.value[name], value) if isinstance(value, msgspec.Struct) else value
    return said


def _measure(node: Node, kind: inspect.Metadata, unit: str, path: str, found: Findings) -> Any:
    parse, _ = _UNITS[unit]
    try:
        number = parse(node.value)
    except (ValueError, OverflowError):
        return _misfit(node, kind, path, found)
    return number if _allowed(number, kind) else _misfit(node, kind, path, found)


def _number(node: Node, kind: inspect.Type, path: str, found: Findings) -> Any:
    value = _as_number(node, isinstance(_bare(kind), inspect.IntType))
    return _misfit(node, kind, path, found) if value is None or not _allowed(value, kind) else value


def _bare(kind: inspect.Type) -> Any:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _allowed(value: float, kind: inspect.Type) -> bool:
    # A year is longer than anything here lasts, and no longer than the clocks of an event loop bear.
    longest = (
        366 * 86400.0 if isinstance(kind, inspect.Metadata) and (kind.extra or {})["unit"] == "duration" else math.inf
    )
    return math.isfinite(value) and value <= longest and _within(value, _bare(kind))


def _as_number(node: Node, whole: bool) -> int | float | None:
    value = node.value
    if node.filled and isinstance(value, str) and len(value) < 20:
        try:
            value = int(value) if whole else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return None
    return value if whole else float(value)


def _within(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


def _text(node: Node, kind: inspect.StrType, path: str, found: Findings) -> Any:
    if isinstance(node.value, str) and node.value.strip():
        return node.value
    if node.value is None or isinstance(node.value, str):
        found.add(path, "is empty")
        return WRONG
    remedy = "put it in quotes" if isinstance(node.value, bool | int | float) else ""
    found.add(path, f"expected text, not {_came(node)}", remedy)
    return WRONG


def _truth(node: Node, kind: inspect.BoolType, path: str, found: Findings) -> Any:
    value = {"true": True, "false": False}.get(node.value) if node.filled else node.value
    return value if isinstance(value, bool) else _misfit(node, kind, path, found)


def _literal(node: Node, kind: inspect.LiteralType, path: str, found: Findings) -> Any:
    if isinstance(node.value, str) and node.value in kind.values:
        return node.value
    remedy = did_you_mean(node.value[:200], map(str, kind.values)) if isinstance(node.value, str) else ""
    return _misfit(node, kind, path, found, remedy)


def _mapping(node: Node, kind: inspect.DictType, path: str, found: Findings) -> Any:
    if not isinstance(node.value, dict | None):
        return _misfit(node, kind, path, found)
    given = {name: fit(value, kind.value_type, child(path, name), found) for name, value in (node.value or {}).items()}
    return {name: value for name, value in given.items() if value is not WRONG}


def _sequence(node: Node, kind: inspect.VarTupleType, path: str, found: Findings) -> Any:
    if not isinstance(node.value, list | None):
        return _misfit(node, kind, path, found)
    given = [fit(value, kind.item_type, item(path, i), found) for i, value in enumerate(node.value or [])]
    if len(given) < (kind.min_length or 0):
        found.add(path, "is an empty list", "name at least one")
        return WRONG
    found.dropped[path] = {i for i, value in enumerate(given) if value is WRONG}
    kept = tuple(value for value in given if value is not WRONG)
    return kept if len(kept) >= (kind.min_length or 0) else WRONG


def _union(node: Node, kind: inspect.UnionType, path: str, found: Findings) -> Any:
    members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
    if node.value is None and len(members) < len(kind.types):
        return None
    if len(members) > 1:
        # A text, a truth or a mapping: what was written says which is meant.
        members = [member for member in members if _looks_like(node, member)]
    return fit(node, members[0], path, found) if members else _misfit(node, kind, path, found)


def _looks_like(node: Node, kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.StructType):
        return isinstance(node.value, dict)
    if isinstance(kind, inspect.BoolType):
        return isinstance(node.value, bool) or node.filled
    return isinstance(node.value, str)


def _misfit(node: Node, kind: inspect.Type, path: str, found: Findings, remedy: str = "") -> Any:
    found.add(path, f"expected {wanted(kind)}, not {_came(node, is_secret(kind))}", remedy)
    return WRONG


def wanted(kind: inspect.Type) -> str:
    """The type in words."""
    match kind:
        case inspect.Metadata():
            unit = (kind.extra or {}).get("unit")
            return _UNITS[unit][1] if unit else wanted(kind.type)
        case inspect.IntType():
            return f"a whole number{_range(kind)}"
        case inspect.FloatType():
            return f"a number{_range(kind)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return "text"
        case inspect.LiteralType():
            return f"{'one of ' if len(kind.values) > 1 else ''}{', '.join(map(str, kind.values))}"
        case inspect.StructType() | inspect.DictType():
            return "settings (name: value)"
        case inspect.VarTupleType():
            return "a list"
        case inspect.UnionType():
            return " or ".join(wanted(each) for each in kind.types if not isinstance(each, inspect.NoneType))
    raise TypeError(f"no words for {kind}")


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    upper = kind.le if kind.le is not None else kind.lt
    words = {"of at least" if upper is None else "from": kind.ge, "above": kind.gt, "to": kind.le, "below": kind.lt}
    return "".join(f" {word} {bound}" for word, bound in words.items() if bound is not None)


def _came(node: Node, secret: bool = False) -> str:
    match node.value:
        case None:
            return "nothing"
        case dict():
            return "settings"
        case list():
            return "a list"
        case bool():
            return str(node.value).lower()
        case _ if secret or node.secret:
            return "text" if isinstance(node.value, str) else "a number"
        case str():
            return quoted(node.value)
    return str(node.value)


_FITTERS: Mapping[type[inspect.Type], Callable[..., Any]] = {
    inspect.StructType: _struct,
    inspect.Metadata: _annotated,
    inspect.UnionType: _union,
    inspect.DictType: _mapping,
    inspect.VarTupleType: _sequence,
    inspect.LiteralType: _literal,
    inspect.StrType: _text,
    inspect.BoolType: _truth,
    inspect.IntType: _number,
    inspect.FloatType: _number,
}
