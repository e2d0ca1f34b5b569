"""Problems as they are found, and how the place of one is written."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping

import msgspec

from gateway.errors import Problem, did_you_mean

MOST = 200


class Enough(Exception):
    """There are more problems than anybody reads."""


class Findings:
    """Collects problems, so that one look finds them all. Raises ``Enough`` at the two hundredth."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.dropped: dict[str, set[int]] = {}
        """Path of a list -> the items that could not be kept."""

    def add(self, path: str, what: str, remedy: str = "") -> None:
        problem = Problem(path, what, remedy)
        if problem not in self.problems:
            self.problems.append(problem)
        if len(self.problems) == MOST:
            raise Enough

    def spoiled(self, path: str) -> bool:
        """Something is already said about this place or one inside it."""
        paths = [problem.path for problem in self.problems]
        return path in paths or any(each.startswith((f"{path}.", f"{path}[")) for each in paths)

    def item(self, path: str, index: int) -> str:
        """Where in the file the item stands that has this index among those kept."""
        dropped = self.dropped.get(path, set())
        kept = (position for position in itertools.count() if position not in dropped)
        return item(path, next(itertools.islice(kept, index, None)))

    def by_line(self, lines: Mapping[str, int]) -> list[Problem]:
        """In the order of the file, each with its line."""
        placed = [(_line(problem.path, lines), problem) for problem in self.problems]
        placed.sort(key=lambda pair: pair[0] or 0)
        return [_with_line(problem, line) for line, problem in placed]

    def by_variable(self, variables: Mapping[str, str]) -> list[Problem]:
        """With the variable a setting came from in the place of its path."""
        return [_with_variable(problem, variables) for problem in self.problems]


def child(path: str, key: str) -> str:
    """``models.fast``; a key with other characters is bracketed: ``aliases["gpt-4.*"]``."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key):
        return f"{path}[{quoted(key)}]"
    return f"{path}.{key}" if path else key


def item(path: str, index: int) -> str:
    return f"{path}[{index}]"


def quoted(text: str, most: int = 60) -> str:
    """In quotes, on one line, not longer than a person reads."""
    shown = text if len(text) <= most else text[:most] + "…"
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown) + '"'


def listed(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def either(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown name: the near ones, else all there are."""
    known = list(known)
    return did_you_mean(name[:200], known) or (f"there is {listed(known)}" if known else "")


def _line(path: str, lines: Mapping[str, int]) -> int | None:
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path)


def _with_line(problem: Problem, line: int | None) -> Problem:
    return msgspec.structs.replace(problem, what=f"{problem.what}, line {line}") if line else problem


def _with_variable(problem: Problem, variables: Mapping[str, str]) -> Problem:
    path = problem.path
    while path and path not in variables:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return msgspec.structs.replace(problem, path=variables[path]) if path else problem
