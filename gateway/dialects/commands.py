"""Which program a shell's tool call ran last: whose exit code it has, and whose words its output is."""

from __future__ import annotations

import re
import shlex
from typing import Any

import msgspec

from gateway.dialects.conversation import Call
from gateway.dialects.mending import decoded

# Programs whose exit code 1 is an answer (nothing found, they differ) ...
ANSWERING = frozenset(
    ("grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "pgrep", "git grep", "diff", "cmp", "git diff", "test", "[")
)
# ... and programs and tools that show what somebody else wrote: a long result of theirs is not searched for words.
SHOWING = ANSWERING | frozenset(
    (
        "cat",
        "view",
        "bat",
        "head",
        "tail",
        "less",
        "more",
        "nl",
        "sed",
        "awk",
        "jq",
        "find",
        "ls",
        "git show",
        "git log",
    )
)
# Behind a pipe these only shorten what the program before them says: `pytest | tail -20`.
_PASSING_ON = frozenset(("head", "tail", "cat", "less", "more", "tee"))
_COMMANDS = ("command", "cmd", "script")
_SHELLS = frozenset(("bash", "sh", "zsh", "dash", "/bin/bash", "/bin/sh", "/bin/zsh"))
# A failure before && keeps the last command from running; these do not fail with 1 in silence.
_HARMLESS = frozenset(("cd", "export", "source", "set"))
_SEPARATORS = frozenset(("&&", "||", "|", ";", "&", "\n"))
# Of a shell's line: what is quoted, redirections, separators, and all else up to the next of these.
_WORDS = re.compile(
    r"""\"(?:[^\"\\]|\\.)*\"|'[^']*'|\d?[<>]&[\d-]|&>|&&|\|\||[|;&\n]|(?:[^\s\"'|;&<>\\]|\\.)+""", re.DOTALL
)
_LONGEST = 1000
_any = msgspec.json.Decoder()


def answers(call: Call) -> bool:
    """Its exit code 1 is an answer."""
    return _last_programs(call)[-1] in ANSWERING


def shows(call: Call) -> bool:
    """Its output is what somebody else wrote: a file, a listing, lines that were searched for."""
    *before, last = _last_programs(call)
    while last in _PASSING_ON and before:
        last = before.pop()
    return last in SHOWING


def _last_programs(call: Call) -> list[str]:
    """The programs of the last pipe; the last has the call's exit code, "" where that cannot be told for certain."""
    command = _command(call.arguments)
    if not command or len(command) > _LONGEST:
        return [""]
    pipe = [""]
    for word in _WORDS.findall(command):
        if word == "&&" and pipe[-1] not in _HARMLESS:
            return [""]
        if word in _SEPARATORS:
            if word == "|":
                pipe.append("")
            else:
                pipe = [""]
        elif not pipe[-1] and "=" not in word:
            pipe[-1] = word.rsplit("/", 1)[-1]
        elif pipe[-1] == "git" and not word.startswith("-"):
            pipe[-1] = f"git {word}"
    return pipe


def _command(arguments: Any) -> str:
    given = decoded(_any, arguments.encode(errors="replace")) if isinstance(arguments, str) else arguments
    fields: dict[str, Any] = given if isinstance(given, dict) else {}
    for name in _COMMANDS:
        command = fields.get(name)
        if isinstance(command, list) and all(isinstance(word, str) for word in command):
            return command[-1] if command[:1] and command[0] in _SHELLS else shlex.join(command)
        if isinstance(command, str):
            return command
    return ""
