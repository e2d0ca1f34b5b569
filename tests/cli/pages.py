"""The help texts in docs/cli.md: ``python -m tests.cli.pages`` writes them anew."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.cli import parser

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
BLOCK = re.compile(r"<!-- help: (.*?) -->\n```text\n(.*?)```\n", re.DOTALL)


def helps(command: argparse.ArgumentParser | None = None) -> Iterator[tuple[str, str]]:
    """Every command and what its ``--help`` prints."""
    command = command or parser()
    yield command.prog, command.format_help()
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from helps(below)


def written(page: str) -> dict[str, str]:
    return dict(BLOCK.findall(page))


def renewed(page: str) -> str:
    known = dict(helps())
    return BLOCK.sub(lambda block: f"<!-- help: {block[1]} -->\n```text\n{known[block[1]]}```\n", page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
