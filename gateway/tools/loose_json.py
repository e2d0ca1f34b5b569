"""JSON as models write it, made JSON: only where there is no doubt what was meant, and told by name what was done.

Linear in the text's length; nothing here recurses. Libraries that do this guess (half a string becomes a whole one,
words that do not fit vanish), do not say what they did, and some take minutes for a text made to that end.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from gateway.chat import RepairKind

MOST = 512 * 2**10
"""Characters of a text that is looked at."""
DEEPEST = 200
MOST_VALUES = 64
"""Values that stand one after another in one text."""
MOST_LAYERS = 3
"""Times that JSON was put into a text of JSON."""


class Mended(NamedTuple):
    """``values``: JSON texts, usually one."""

    values: tuple[str, ...]
    kinds: frozenset[RepairKind]


class _Unclear(Exception):
    """What was meant is not certain."""


def mended(text: str, *, complete: bool = True) -> Mended | None:
    """The values in the text; None where one cannot be sure. ``complete``: the text was not cut off, so that brackets
    which are missing at its end were forgotten."""
    if len(text) > MOST:
        return None
    kinds: set[RepairKind] = set()
    text = _unfenced(text.strip().lstrip("\ufeff"), kinds)
    for _ in range(MOST_LAYERS):
        try:
            values = _Reader(text, kinds, complete).values()
        except _Unclear:
            inner = _unescaped(text)
        else:
            inner = _inner(values)
            if inner is None:
                return Mended(_once(values, kinds), frozenset(kinds))
        if inner is None:
            return None
        kinds.add("double_encoded")
        text = _unfenced(inner.strip(), kinds)
    return None


_FENCE = re.compile(r"(```|~~~)[ \t]*+[\w+-]{0,20}+")


def _unfenced(text: str, kinds: set[RepairKind]) -> str:
    fence = _FENCE.match(text)
    if fence is None:
        return text
    kinds.add("fenced")
    return text[fence.end() :].removesuffix(fence[1]).strip()


def _inner(values: list[str]) -> str | None:
    """What is inside a text in which there is JSON once more."""
    if len(values) != 1 or not values[0].startswith('"'):
        return None
    said: str = json.loads(values[0])
    return said if said.lstrip().startswith(("{", "[", '"', "`")) else None


def _unescaped(text: str) -> str | None:
    r"""``{\"a\": 1}``: JSON within JSON whose outer quotes were lost."""
    if not text.startswith(('{\\"', "{\\n", '[\\"', '[{\\"')):
        return None
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return None


def _once(values: list[str], kinds: set[RepairKind]) -> tuple[str, ...]:
    """Of several: without those that say nothing, or what another has said."""
    if len(values) == 1:
        return tuple(values)
    kinds.add("concatenated")
    kept = tuple(dict.fromkeys(value for value in values if value not in ("{}", "null", '""')))
    return kept or (values[0],)


_BLANK = re.compile(r"[ \t\r\n]*+")
_COMMENT = re.compile(r"//[^\n]*+|/\*.*?\*/|#[^\n]*+", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![\w.+-])")
_WORD = re.compile(r"[^\W\d][\w$-]*+")
_DOUBLE = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_SINGLE = re.compile(r"'((?:[^'\\]++|\\.)*+)'", re.DOTALL)
_AFTER_SINGLE = re.compile(r"\s*+(?:[,:}\]]|\Z)")

_LITERALS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}
_CONTROLS = {code: json.dumps(chr(code))[1:-1] for code in range(0x20)}
_CLOSERS = {"{": "}", "[": "]"}


class _Reader:
    """Walks through the text once and writes it as JSON."""

    def __init__(self, text: str, kinds: set[RepairKind], complete: bool) -> None:
        self._text, self._kinds, self._complete = text, kinds, complete
        self._at = 0
        self._out: list[str] = []
        self._open: list[str] = []

    def values(self) -> list[str]:
        """Raises ``_Unclear``."""
        found: list[str] = []
        while self._peek():
            if found and self._peek() in "}]" and not self._text[self._at :].strip("}] \t\r\n"):
                # More brackets than were opened, and nothing else.
                self._kinds.add("brackets")
                break
            if len(found) >= MOST_VALUES:
                raise _Unclear
            if found and self._peek() not in "{[":
                raise _Unclear
            found.append(self._value())
        if not found:
            raise _Unclear
        return found

    def _value(self) -> str:
        self._out = []
        self._begin_value()
        while self._open:
            self._go_on()
        return "".join(self._out)

    def _peek(self) -> str:
        """The next character that means something; empty at the end."""
        while True:
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]
            comment = _COMMENT.match(self._text, self._at) if self._text[self._at : self._at + 1] in "/#" else None
            if comment is None or self._at >= len(self._text):
                return self._text[self._at : self._at + 1]
            self._kinds.add("comments")
            self._at = comment.end()

    def _begin_value(self) -> None:
        mark = self._peek()
        if mark in _CLOSERS:
            if len(self._open) >= DEEPEST:
                raise _Unclear
            self._at += 1
            self._open.append(mark)
            self._out.append(mark)
        elif mark in ('"', "'"):
            self._out.append(self._string(mark))
        elif number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            self._out.append(number[0])
        else:
            self._out.append(self._literal())

    def _literal(self) -> str:
        word = _WORD.match(self._text, self._at)
        if word is None or word[0] not in _LITERALS:
            raise _Unclear
        self._at = word.end()
        said = _LITERALS[word[0]]
        if said != word[0]:
            self._kinds.add("literals")
        return said

    def _go_on(self) -> None:
        """Inside of something open: its end, or what comes next in it."""
        bracket, first = self._open[-1], self._out[-1] == self._open[-1]
        mark = self._peek()
        if mark == "," and not first:
            self._at += 1
            mark = self._peek()
            if mark and mark not in "}]":
                self._out.append(",")
                self._member(bracket)
                return
            self._kinds.add("trailing_comma")
        elif first and mark and mark not in "}]":
            self._member(bracket)
            return
        self._close(mark)

    def _member(self, bracket: str) -> None:
        if bracket == "{":
            self._key()
            if self._peek() != ":":
                raise _Unclear
            self._at += 1
            self._out.append(":")
        self._begin_value()

    def _key(self) -> None:
        mark = self._peek()
        if mark in ('"', "'"):
            self._out.append(self._string(mark))
        elif word := _WORD.match(self._text, self._at):
            self._at = word.end()
            self._out.append(json.dumps(word[0], ensure_ascii=False))
            self._kinds.add("quotes")
        else:
            raise _Unclear

    def _close(self, mark: str) -> None:
        """1. As it should be. 2. The end of the text: forgotten. 3. The bracket of one further out: forgotten, too."""
        closer = _CLOSERS[self._open[-1]]
        if mark == closer:
            self._at += 1
        elif (not mark and self._complete) or (
            mark in ("}", "]") and any(_CLOSERS[each] == mark for each in self._open)
        ):
            self._kinds.add("brackets")
        else:
            raise _Unclear
        self._open.pop()
        # Never the same text as an opening bracket, by which ``_go_on`` knows that nothing came yet.
        self._out.append(closer)

    def _string(self, mark: str) -> str:
        found = (_DOUBLE if mark == '"' else _SINGLE).match(self._text, self._at)
        if found is None:
            raise _Unclear
        if mark == "'" and not _AFTER_SINGLE.match(self._text, found.end()):
            # An apostrophe rather than the end: who knows where that is.
            raise _Unclear
        self._at = found.end()
        return f'"{self._inside(found[1], mark)}"'

    def _inside(self, raw: str, mark: str) -> str:
        said = raw
        if mark == "'":
            self._kinds.add("quotes")
        if "\\" in raw or '"' in raw:
            said = self._escaped(raw, mark)
        if _CONTROL.search(said):
            self._kinds.add("control_characters")
            said = said.translate(_CONTROLS)
        return said

    def _escaped(self, raw: str, mark: str) -> str:
        """1. A quote that is no end here. 2. As JSON has it. 3. An apostrophe, which needs none. 4. A backslash that
        stands for itself; beside such, nobody knows whether ``\\n`` is a new line or the beginning of a name."""
        seen: set[str] = set()

        def one(found: re.Match[str]) -> str:
            said = found[1]
            if said is None:
                return '\\"'
            if said in _LETTERS or len(said) > 1:
                seen.add("letter")
            elif said == "'":
                self._kinds.add("escapes" if mark == '"' else "quotes")
                return "'"
            elif said not in '"\\/':
                seen.add("odd" if said >= " " else "line")
                return f"\\\\{said}"
            return found[0]

        written = _ESCAPE.sub(one, raw)
        if "line" in seen or {"odd", "letter"} <= seen:
            raise _Unclear
        if "odd" in seen:
            self._kinds.add("escapes")
        return written


_CONTROL = re.compile(r"[\x00-\x1f]")
_ESCAPE = re.compile(r'"|\\(u[0-9a-fA-F]{4}|.)', re.DOTALL)
_LETTERS = "bfnrt"
