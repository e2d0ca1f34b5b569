"""``${VAR}`` and ``${VAR:-default}`` inside a text, ``$$`` for a plain dollar; a default may hold variables itself.

As in a shell, the default also stands in for a variable that is set to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

MAX_LENGTH = 64 * 1024
_DEEPEST = 5
_PIECE = re.compile(r"\$\$|\$\{|\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(:-|\})", re.ASCII)


class Filling(msgspec.Struct):
    """The text filled in, or the problems (what, remedy) that keep it from being."""

    text: str
    problems: list[tuple[str, str]]


def named(text: str) -> tuple[str, ...]:
    """The variables a text names, those inside of defaults too."""
    return tuple(re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*)", text.replace("$$", ""), re.ASCII))


def fill(text: str, env: Mapping[str, str]) -> Filling:
    try:
        filled, _, problems = _fill(text, 0, env, 0)
    except ValueError as error:
        return Filling("", [(str(error), "write ${VAR} or ${VAR:-default}, and $$ for a dollar sign")])
    if len(filled) > MAX_LENGTH:
        problems.append((f"is longer than {MAX_LENGTH} characters once its variables are filled in", ""))
    return Filling(filled, problems)


def _fill(text: str, at: int, env: Mapping[str, str], depth: int) -> tuple[str, int, list[tuple[str, str]]]:
    """From ``at`` to the end, or inside a default to the brace that closes it."""
    parts: list[str] = []
    problems: list[tuple[str, str]] = []
    while piece := _PIECE.search(text, at):
        parts.append(text[at : piece.start()])
        at = piece.end()
        if piece[0] == "$$":
            parts.append("$")
        elif piece[0] == "${":
            value, at, wrong = _variable(text, at, env, depth)
            parts.append(value)
            problems += wrong
        elif depth:
            return "".join(parts), at, problems
        else:
            parts.append("}")
    if depth:
        raise ValueError('a "${" is not closed')
    return "".join([*parts, text[at:]]), len(text), problems


def _variable(text: str, at: int, env: Mapping[str, str], depth: int) -> tuple[str, int, list[tuple[str, str]]]:
    name = _NAME.match(text, at)
    if not name:
        raise ValueError('"${" is not followed by a name and "}"')
    if depth >= _DEEPEST:
        raise ValueError(f"defaults are nested more than {_DEEPEST} deep")
    value = env.get(name[1])
    if name[2] == "}":
        missing = (f"the variable {name[1]} is not set", f"set it, or write ${{{name[1]}:-default}}")
        return (value or ""), name.end(), [missing] if value is None else []
    default, at, problems = _fill(text, name.end(), env, depth + 1)
    return (value, at, []) if value else (default, at, problems)
