"""docs/cli.md holds the help texts as they are, and what any page says to run is a command there is."""

from __future__ import annotations

import re
import shlex

import pytest

from gateway.cli import parser
from tests.cli.pages import PAGE, helps, written


def test_every_help_text_is_on_the_page_as_it_is() -> None:
    assert written(PAGE.read_text()) == dict(helps()), "run: python -m tests.cli.pages"


def commands() -> set[str]:
    """Everything on the page, the help texts included, that begins with ``skein``; up to a comment or a pipe."""
    found = re.findall(r"^ *(?:.*\| )?(skein (?!\[|COMMAND)[a-z].*)$", PAGE.read_text(), re.M)
    return {re.split(r"  +| \| | > |;", line)[0] for line in found}


@pytest.mark.parametrize("command", sorted(commands()))
def test_an_example_is_a_command_there_is(command: str) -> None:
    parser().parse_args(shlex.split(command)[1:])


def elsewhere() -> set[str]:
    """What stands in code, or in a shell's lines, of the README and all other pages."""
    found: set[str] = set()
    for page in (PAGE.parents[1] / "README.md", *PAGE.parent.rglob("*.md")):
        text = page.read_text()
        lines = "".join(re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.M | re.DOTALL))
        found.update(re.findall(r"`(?:\.venv/bin/)?(skein [a-z][^`\n]*)`", text))
        found.update(re.findall(r"^(?:\.venv/bin/)?(skein [a-z].*)$", lines, re.M))
    return {re.split(r"  +| \| | > |;", command)[0] for command in found}


@pytest.mark.parametrize("command", sorted(elsewhere()))
def test_what_a_page_says_to_run_is_a_command_there_is(command: str) -> None:
    parser().parse_args(shlex.split(command)[1:])


def test_there_are_examples_of_every_command() -> None:
    missing = [
        name for name, text in helps() if "COMMAND" not in text and "WHAT" not in text and "examples:" not in text
    ]
    assert missing == []
