"""The strategies there are: those that come along, those of installed packages."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
from msgspec import inspect

from gateway.config.findings import quoted
from gateway.config.vendors import origin
from gateway.routing import Strategy
from gateway.routing.strategies import STRATEGIES

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "skein.strategies"
"""The entry points that are strategies: each a struct of settings with the methods of ``gateway.routing.Strategy``."""

BESIDE = ("strategy", "resilience", "tools")
"""What stands beside a strategy's settings in a file."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PLAIN = (
    inspect.StrType,
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.LiteralType,
    inspect.NoneType,
)


class Installed(NamedTuple):
    strategies: Mapping[str, type[Strategy]]
    left_out: tuple[tuple[str, str], ...]
    """What could not be taken: the entry point's name, and why."""

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(why for _, why in self.left_out)


def known() -> Mapping[str, type[Strategy]]:
    """By the name it has in a file."""
    return {**STRATEGIES, **installed().strategies}


@functools.cache
def installed() -> Installed:
    """Read once: what is installed does not change under a running program."""
    from importlib.metadata import entry_points  # only who reads a configuration pays for it

    strategies: dict[str, type[Strategy]] = {}
    left_out: list[tuple[str, str]] = []
    for point in entry_points(group=GROUP):
        try:
            strategies[point.name] = _loaded(point, {**STRATEGIES, **strategies})
        except Exception as error:  # code of others, which raises what it likes
            said = f"{type(error).__name__}: {error}".removeprefix("OddStrategy: ").partition("\n")[0]
            left_out.append((point.name, f"the strategy of {origin(point)} is left out: {said[:200]}"))
    return Installed(strategies, tuple(left_out))


class OddStrategy(Exception):
    """What was loaded cannot be a strategy."""


def _loaded(point: EntryPoint, taken: Mapping[str, type[Strategy]]) -> type[Strategy]:
    if not _NAME.fullmatch(point.name):
        raise OddStrategy(f"{quoted(point.name)} cannot be a strategy's name")
    if point.name in taken:
        raise OddStrategy(f"there is a strategy {point.name} already")
    found = point.load()
    if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
        raise OddStrategy(f"it is {_called(found)}, not a class of the kind msgspec.Struct")
    for method in ("references", "order"):
        if not callable(getattr(found, method, None)):
            raise OddStrategy(f"it has no method {method}")
    for field in inspect.type_info(found).fields:  # type: ignore[attr-defined]
        if field.encode_name in BESIDE:
            raise OddStrategy(f"it has a setting {field.name}, which is a word of every model")
        _refuse(field.type, field.name, (found,))
    return cast(type[Strategy], found)


def _called(found: Any) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"


def _refuse(kind: inspect.Type, setting: str, above: tuple[type, ...]) -> None:
    """A file is read by types, and not every type can be: see ``fitting``."""
    match kind:
        case inspect.StructType(cls=cls, fields=fields):
            for field in fields if cls not in above else ():
                _refuse(field.type, f"{setting}.{field.name}", (*above, cls))
        case inspect.Metadata(type=inner):
            _refuse(inner, setting, above)
        case inspect.DictType(key_type=inspect.StrType(), value_type=inner) | inspect.VarTupleType(item_type=inner):
            _refuse(inner, setting, above)
        case inspect.UnionType(types=types) if _can_be_told_apart(types):
            for each in types:
                _refuse(each, setting, above)
        case _ if not isinstance(kind, _PLAIN):
            name = type(kind).__name__.removesuffix("Type").lower()
            raise OddStrategy(f"its setting {setting} is of a type no file is read into ({name})")


def _can_be_told_apart(types: tuple[inspect.Type, ...]) -> bool:
    """One type that may be left empty, or a text and settings."""
    kinds = {type(each) for each in types if not isinstance(each, inspect.NoneType)}
    return len(kinds) == 1 or kinds == {inspect.StrType, inspect.StructType}
