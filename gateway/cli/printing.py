"""Results for people and for programs: aligned columns, and JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, TextIO

import msgspec


def print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_columns(rows: Iterable[Sequence[str]], indent: int = 2) -> None:
    """Each column as wide as its widest cell; the last one may be as long as it likes."""
    for line in columns(list(rows)):
        print(" " * indent + line)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    count = max(map(len, rows), default=0)
    widths = [max((len(row[at]) for row in rows if at < len(row) - 1), default=0) for at in range(count)]
    return ["  ".join(cell.ljust(widths[at]) for at, cell in enumerate(row)).rstrip() for row in rows]


def remark(text: str) -> None:
    """What is good to know, but not what was asked for: dropped when it cannot be written."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


def let_go(stream: TextIO | None) -> None:
    """What cannot be written to this stream is not tried again when the interpreter ends."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]
