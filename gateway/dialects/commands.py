"""Which program a shell's tool call ran last: whose exit code it has, whose output it shows."""

from __future__ import annotations

import shlex
from typing import Any

import re

import msgspec

from gateway.dialects.conversation import Call

# Programs whose exit code 1 is an answer (nothing found, they differ) ...
ANSWERING = frozenset(
    ("grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "pgrep", "git grep", "diff", "cmp", "git diff", "test", "[")
)
# ... and programs and tools that show what somebody else wrote: a long result of theirs is not searched for words.
SHOWING = ANSWERING | frozenset(
    ("cat", "bat", "head", "tail", "less", "more", "nl", "sed", "awk", "jq", "find", "ls", "git show", "git log")
)
_COMMANDS = ("command", "cmd", "script")
_SHELLS = frozenset(("bash", "sh", "zsh", "dash", "/bin/bash", "/bin/sh", "/bin/zsh"))
# A failure before && keeps the last command from running; these do not fail with 1 in silence.
_HARMLESS = frozenset(("cd", "export", "source", "set"))
_SEPARATORS = frozenset(("&&", "||", "|", ";", "&", "\n"))
# Of a shell's line: what is quoted, redirections, separators, and all else up to the next of these.
_WORDS = re.compile(
    r"""\"(?:[^\"\\]|\\.)*\"|'[^']*'|\d?[<>]&[\d-]|&>|&&|\|\||[|;&\n]|(?:[^\s\"'|;&<>\\]|\\.)+""", re.DOTALL
)
_LONGEST_COMMAND = 1000
_any = msgspec.json.Decoder()


def _last_program(call: Call) -> str:
    """The program whose exit code a shell call has; empty where that cannot be told for certain."""
    command = _command(call.arguments)
    if not command or len(command) > _LONGEST_COMMAND:
        return ""
    program = ""
    for word in _WORDS.findall(command):
        if word == "&&" and program not in _HARMLESS:
            return ""
        if word in _SEPARATORS:
            program = ""
        elif not program and "=" not in word:
            program = word.rsplit("/", 1)[-1]
        elif program == "git" and not word.startswith("-"):
            program = f"git {word}"
    return program


def _command(arguments: Any) -> str:
    given = _decoded(_any, arguments.encode(errors="replace")) if isinstance(arguments, str) else arguments
    fields: dict[str, Any] = given if isinstance(given, dict) else {}
    for name in _COMMANDS:
        command = fields.get(name)
        if isinstance(command, list) and all(isinstance(word, str) for word in command):
            return command[-1] if command[:1] and command[0] in _SHELLS else shlex.join(command)
        if isinstance(command, str):
            return command
    return ""
