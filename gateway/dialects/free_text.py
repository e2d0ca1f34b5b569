"""The text of a tool that takes free text, out of the one argument that it is for models that know functions alone.

``{"input": "…"}`` comes in pieces cut anywhere, and is unescaped as it comes.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_OPENING = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_MAY_OPEN = re.compile(r'\s*(?:\{\s*(?:"(?:i(?:n(?:p(?:u(?:t(?:"\s*(?::\s*)?)?)?)?)?)?)?)?)?')
_LONGEST_OPENING = 1000
# Whole characters: a pair of escapes is one, half a pair is one when no other half can follow, and so is what only
# looks like an escape.
_CHARACTERS = re.compile(
    r'(?:[^"\\]++|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u|\\?\Z)|\\u(?=.{0,3}[^0-9a-fA-F]))*+",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_MEANT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}


class FreeText:
    """``feed`` returns what is certain of the text; ``end`` the rest. All they return is the text."""

    def __init__(self) -> None:
        self._pending = ""
        self._odd: list[str] = []
        self._inside = False
        self.over = False
        """The text is whole."""

    def feed(self, piece: str) -> str:
        if self.over:
            return ""
        if self._odd:
            self._odd.append(piece)
            return ""
        said = self._pending + piece
        if self._inside:
            return self._taken(said)
        if opening := _OPENING.match(said):
            self._inside = True
            return self._taken(said[opening.end() :])
        # Cut before the text begins; or something else, to be looked at when it is whole.
        if len(said) > _LONGEST_OPENING or _MAY_OPEN.fullmatch(said) is None:
            self._odd = [said]
        self._pending = said
        return ""

    def _taken(self, said: str) -> str:
        found = _CHARACTERS.match(said)
        end = found.end() if found else 0
        self.over = said[end : end + 1] == '"'
        self._pending = "" if self.over else said[end:]
        return _unescaped(said[:end])

    def end(self) -> str:
        if self._inside:
            return ""
        return _text_in("".join(self._odd) or self._pending)


def text_in(arguments: str) -> str:
    """The text in arguments that are whole."""
    text = FreeText()
    return text.feed(arguments) + text.end()


def _unescaped(said: str) -> str:
    """Leniently: models leave line breaks as they are, and backslashes of regular expressions."""
    if "\\" not in said:
        return said
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _MEANT.get(found[2], found[0]), said)
    if any("\ud800" <= each <= "\udfff" for each in text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _text_in(arguments: str) -> str:
    """Of arguments that are not as they should be: in another order, under another name, or no JSON at all."""
    try:
        said: Any = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(said, str):
        return said
    if not isinstance(said, dict) or not said:
        return "" if said == {} else arguments
    texts = [value for key, value in said.items() if isinstance(value, str) and (key == "input" or len(said) == 1)]
    return texts[0] if texts else arguments
