"""From the text of a file to a tree of plain values, each with its line; ``${VAR}`` is filled in here.

The tree is built from YAML's events, so no tag ever constructs anything, an alias costs what it stands for, and a
variable's value, put in after parsing, is never read as YAML. Scalars are those of YAML 1.2: only ``true`` and
``false`` are booleans (``off`` is a word), numbers are decimal, dates are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from gateway.config import variables
from gateway.config.findings import Findings, child, item, quoted
from gateway.errors import Problem

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 2**20
MAX_NODES = 50_000
MAX_DEPTH = 24

_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")

_TEXT_TAGS = (None, "!", "tag:yaml.org,2002:str")
_TAB = "indent with spaces: YAML knows no tabs"
_BARE_VARIABLE = 'inside {…} and […] a variable stands in quotes: "${VAR}"'


class Node(msgspec.Struct, frozen=True):
    """One value of the tree: a scalar, a ``dict[str, Node]`` or a ``list[Node]``."""

    value: Any = None
    line: int = 0
    filled: bool = False
    """The text came out of a variable, so it may stand for a number or a truth value."""
    names: tuple[str, ...] = ()
    """The variables it was written with."""
    secret: bool = False
    """The setting it is meant for is never shown."""


UNUSABLE = object()
"""The value of a node about which everything is already said."""


class Unreadable(Exception):
    """The text cannot be made a tree at all."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def read(text: str, env: Mapping[str, str], found: Findings) -> Node:
    """The tree of a whole file. Raises ``Unreadable``; what spoils only one place goes to ``found``."""
    if len(text) > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES // 2**20} MiB")
    tree = _Composer(found).compose(text)
    if not isinstance(tree.value, dict | None):
        raise Unreadable(f"line {tree.line}: expected settings (name: value) at the top level")
    return _filled(tree, env, "", found)


def lines(tree: Node) -> dict[str, int]:
    """Path -> line, of all there is in the tree."""
    return {path: node.line for path, node in _walk(tree, "") if path}


def named(tree: Node) -> set[str]:
    """Every variable that the file names."""
    return {name for _, node in _walk(tree, "") for name in node.names}


def sources(tree: Node, env: Mapping[str, str]) -> dict[str, str]:
    """Path -> variable, of all values that are exactly what a variable named there holds."""
    held = {path: [name for name in node.names if env.get(name) == node.value] for path, node in _walk(tree, "")}
    return {path: names[0] for path, names in held.items() if names}


def _walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for below, child_node in _children(node, path):
        yield from _walk(child_node, below)


def _children(node: Node, path: str) -> list[tuple[str, Node]]:
    match node.value:
        case dict():
            return [(child(path, key), value) for key, value in node.value.items()]
        case list():
            return [(item(path, index), value) for index, value in enumerate(node.value)]
    return []


def _filled(node: Node, env: Mapping[str, str], path: str, found: Findings) -> Node:
    match node.value:
        case str() if "$" in node.value:
            return _filled_text(node, env, path, found)
        case dict():
            new = {key: _filled(value, env, child(path, key), found) for key, value in node.value.items()}
            return Node(new, node.line)
        case list():
            return Node([_filled(value, env, item(path, i), found) for i, value in enumerate(node.value)], node.line)
    return node


def _filled_text(node: Node, env: Mapping[str, str], path: str, found: Findings) -> Node:
    filling = variables.fill(node.value, env)
    for problem in filling.problems:
        found.add(path, *problem)
    if filling.problems:
        return Node(UNUSABLE, node.line)
    # ${VAR:-} says that the setting may be left out.
    left_out = not filling.text and node.value.endswith(":-}")
    return Node(None if left_out else filling.text, node.line, filled=True, names=variables.named(node.value))


class _Composer:
    """Builds the tree; ``size`` counts every node as often as the tree shows it, so aliases cannot multiply unseen."""

    def __init__(self, found: Findings) -> None:
        self.found = found
        self.size = 0
        self.anchors: dict[str, tuple[Node, int] | None] = {}

    def compose(self, text: str) -> Node:
        import yaml  # only who reads a file pays for it

        try:
            self.events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
            return self._document()
        except yaml.MarkedYAMLError as error:
            raise _syntax(error, text) from None
        except yaml.YAMLError as error:
            raise Unreadable(str(error).split("\n")[0]) from None

    def _document(self) -> Node:
        import yaml

        tree = Node({})
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _at(event, "a second document begins", "one file, one document: remove the ---")
            elif isinstance(event, yaml.NodeEvent):
                tree = self._node(event, "", 0)
        return tree

    def _node(self, event: Any, path: str, depth: int) -> Node:
        import yaml

        self._count(event, 1)
        if depth > MAX_DEPTH:
            raise _at(event, f"is nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag not in _TEXT_TAGS:
            raise _at(event, f"the tag {quoted(event.tag)} means nothing here", "remove it")
        if event.anchor:
            self.anchors[event.anchor] = None
        before = self.size
        node = Node(self._value(event, path, depth), _line(event))
        if event.anchor:
            self.anchors[event.anchor] = (node, self.size - before + 1)
        return node

    def _value(self, event: Any, path: str, depth: int) -> Any:
        import yaml

        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            events = enumerate(self._until(yaml.SequenceEndEvent))
            return [self._node(each, item(path, index), depth + 1) for index, each in events]
        return self._mapping(path, depth)

    def _mapping(self, path: str, depth: int) -> dict[str, Node]:
        import yaml

        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key in self._until(yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise _at(key, "a setting's name must be a word", _BARE_VARIABLE)
            value = self._node(next(self.events), child(path, key.value), depth + 1)
            if key.value == "<<" and key.implicit[0]:
                merged = self._merged(value, key) | merged
            elif key.value in own:
                again = f"is given a second time (line {_line(key)})"
                self.found.add(child(path, key.value), again, "remove one of the two")
            else:
                own[key.value] = value
        return merged | own

    def _merged(self, value: Node, key: Any) -> dict[str, Node]:
        sources = value.value if isinstance(value.value, list) else [value]
        if not all(isinstance(source.value, dict) for source in sources):
            raise _at(key, "<< takes a mapping or a list of mappings")
        merged: dict[str, Node] = {}
        for source in reversed(sources):
            merged |= source.value
        return merged

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self.anchors:
            raise _at(event, f"*{event.anchor} stands for nothing above it", f"mark what it means with &{event.anchor}")
        anchored = self.anchors[event.anchor]
        if anchored is None:
            raise _at(event, f"*{event.anchor} is inside of what it stands for")
        node, size = anchored
        self._count(event, size)
        return node

    def _until(self, end: type[yaml.Event]) -> Iterator[Any]:
        for event in self.events:
            if isinstance(event, end):
                return
            yield event

    def _count(self, event: Any, more: int) -> None:
        self.size += more
        if self.size > MAX_NODES:
            raise _at(event, f"holds more than {MAX_NODES} values, aliases counted as what they stand for")


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        return float(text)
    return text


def _at(event: Any, what: str, remedy: str = "") -> Unreadable:
    return Unreadable(f"line {_line(event)}: {what}", remedy)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _syntax(error: yaml.MarkedYAMLError, text: str) -> Unreadable:
    mark = cast(Any, error.problem_mark or error.context_mark)
    if mark is None:
        return Unreadable(str(error.problem))
    written = text.splitlines()[mark.line : mark.line + 1]
    remedy = _TAB if "\\t" in str(error.problem) else _BARE_VARIABLE if "${" in "".join(written) else ""
    said = str(error.problem) + (f" {error.context}" if error.context else "")
    return Unreadable(f"line {mark.line + 1}, column {mark.column + 1}: {said}", remedy)


def unreadable(source: str, error: Unreadable) -> Problem:
    return Problem(source, error.what, error.remedy)
