"""Texts that a regular expression matches, a canary wherever it takes any letters."""

from __future__ import annotations

import re._constants as kinds  # type: ignore[import-untyped]
import re._parser as parser  # type: ignore[import-untyped]
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

CANARY = "zq"
"""Over and over, so that any two letters that get out are told from words of a pattern's own."""
MOST = 24  # times that anything is repeated
_CATEGORIES = {kinds.CATEGORY_WORD: "zq7", kinds.CATEGORY_DIGIT: "7", kinds.CATEGORY_SPACE: " \n"}
_CHARACTERS = (kinds.ANY, kinds.IN, kinds.NOT_LITERAL)
_NOT = {kinds.CATEGORY_NOT_WORD: kinds.CATEGORY_WORD, kinds.CATEGORY_NOT_SPACE: kinds.CATEGORY_SPACE}
_TRIED = (" ", "7", "\n", "'", ".", "\t")


def texts(pattern: str, count: int, seed: str) -> list[str]:
    """What stands in a lookahead is taken along; a text that a negative one forbids may be among them."""
    chance, parsed = Random(seed), parser.parse(pattern)
    return ["".join(_written(parsed, chance)) for _ in range(count)]


def leaks(shown: str) -> bool:
    return CANARY in shown.lower() or CANARY[::-1] in shown.lower()


def _written(parsed: Iterable[Any], chance: Random) -> Iterator[str]:
    for kind, value in parsed:
        if kind is kinds.BRANCH:
            yield from _written(chance.choice(value[1]), chance)
        elif kind is kinds.SUBPATTERN:
            yield from _written(value[3], chance)
        elif kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
            yield from _repeated(*value, chance)
        elif kind is kinds.ASSERT:
            yield from _written(value[1], chance)
        elif kind not in (kinds.AT, kinds.ASSERT_NOT):
            yield _one(kind, value)


def _repeated(least: int, most: int, parsed: Any, chance: Random) -> Iterator[str]:
    count = chance.choice((least, min(int(most), max(least, MOST))))
    [(kind, value), *_] = parsed
    for place in range(count):
        yield from [_one(kind, value, place)] if kind in _CHARACTERS else _written(parsed, chance)


def _one(kind: Any, value: Any, place: int = 0) -> str:
    accepted = value if kind is kinds.IN else [(kind, value)]
    words = f" {CANARY}" if kind is kinds.NOT_LITERAL else CANARY  # such a run may have to begin with no letter
    tried = (words[place % len(words)], *_TRIED, *(chr(value) for kind, value in accepted if kind is kinds.LITERAL))
    return next(char for char in tried if _accepts(accepted, char))


def _accepts(accepted: list[Any], char: str) -> bool:
    negated = accepted[0][0] is kinds.NEGATE
    return negated is not any(_holds(kind, value, char) for kind, value in accepted)


def _holds(kind: Any, value: Any, char: str) -> bool:
    if kind is kinds.CATEGORY:
        return char not in _CATEGORIES[_NOT[value]] if value in _NOT else char in _CATEGORIES[value]
    if kind is kinds.RANGE:
        return bool(value[0] <= ord(char) <= value[1])
    if kind is kinds.NOT_LITERAL:
        return ord(char) != value
    return kind is kinds.ANY or (kind is kinds.LITERAL and ord(char) == value)
