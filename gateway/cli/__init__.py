"""The ``skein`` command: serve, check, doctor, explain, models, config."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from gateway import __version__
from gateway.errors import OperatorError

OK, FAILED, MISCONFIGURED = 0, 1, 2


def run(arguments: Sequence[str]) -> int:
    """0: done. 1: it ran and found something broken. 2: the configuration or the command is wrong."""
    parsed = parser().parse_args(arguments)
    try:
        return int(parsed.act(parsed, os.environ))
    except OperatorError as error:
        count = len(error.problems)
        print(f"{count} problem{'s' if count > 1 else ''} in the configuration:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return MISCONFIGURED
    except BrokenPipeError:
        # The reader of our output has left, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="skein", description="An LLM gateway: one OpenAI-compatible endpoint, any vendor."
    )
    top.add_argument("--version", action="version", version=f"skein {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    from gateway.cli import serve

    for command in (serve,):
        command.add(commands)
    return top


def add_config(command: argparse.ArgumentParser) -> None:
    """``--config``, as every command that reads the configuration takes it."""
    command.add_argument("--config", metavar="FILE", help="default: $SKEIN_CONFIG, ./skein.yaml, else the environment")
