"""The ``skein`` command: serve, check, doctor, explain, models, config, login, logout, demo, bench."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

from gateway import __version__
from gateway.cli.printing import let_go, remark
from gateway.errors import OperatorError, Problem

OK, FAILED, MISCONFIGURED = 0, 1, 2

# The results could not be written: the disk is full, or nothing is open there.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)

EXIT_CODES = "exit codes: 0 all is well; 1 something is broken; 2 the configuration or the command is wrong"


class UsageError(OperatorError):
    """The command is wrong, not the configuration."""

    def __init__(self, path: str, what: str, remedy: str = "") -> None:
        super().__init__([Problem(path, what, remedy)])


def run(arguments: Sequence[str]) -> int:
    """0: done. 1: it ran and found something broken. 2: the configuration or the command is wrong."""
    parsed = parser().parse_args(arguments)
    try:
        code = int(parsed.act(parsed, os.environ))
        # Here, not when the interpreter ends: a reader that has left is met below.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except OperatorError as error:
        count = len(error.problems)
        where = "command" if isinstance(error, UsageError) else "configuration"
        remark(f"{count} problem{'s' if count > 1 else ''} in the {where}:")
        for problem in error.problems:
            remark(f"  {problem}")
        return MISCONFIGURED
    except BrokenPipeError:
        # The reader of our output has left, as `| head` does.
        let_go(sys.stdout)
        return OK
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        let_go(sys.stdout)
        remark(f"the results cannot be written: {error.strerror}")
        return FAILED
    except KeyboardInterrupt:
        return 130


class Help(argparse.RawDescriptionHelpFormatter):
    """Examples keep their lines, and the width is the same everywhere, so that docs/cli.md can hold the very text."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **{"width": 120, "max_help_position": 28, **settings})


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="skein",
        description="An LLM gateway: one endpoint for any agent, any vendor behind it.",
        epilog=EXIT_CODES,
        formatter_class=Help,
    )
    top.add_argument("--version", action="version", version=f"skein {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    from gateway.cli import bench, check, config, demo, doctor, explain, login, models, serve

    for command in (serve, check, doctor, explain, models, config, login, demo, bench):
        command.add(commands)
    return top


def add_command(commands: Any, name: str, summary: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A command with examples below its options."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, epilog=f"examples:\n{examples}", formatter_class=Help
    )
    return command


def add_config(command: argparse.ArgumentParser) -> None:
    """``--config``, as every command that reads the configuration takes it."""
    command.add_argument("--config", metavar="FILE", help="default: $SKEIN_CONFIG, ./skein.yaml, else the environment")


def add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
