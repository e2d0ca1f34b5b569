"""What agents put around what was said: blocks of their own are left out, and what is in an envelope is taken out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

WRAPPERS = (
    # goose, Claude Code and opencode, Cline and Roo
    *("turn-context", "system-reminder", "environment_details"),
    # Codex
    *("environment_context", "user_instructions", "INSTRUCTIONS", "permissions instructions", "collaboration_mode"),
    *("turn_aborted", "skills_instructions", "apps_instructions", "subagent_notification"),
    # Claude Code: what its own commands left, and what its editors tell
    *("local-command-caveat", "local-command-stdout", "local-command-stderr"),
    *("command-name", "command-message", "command-args", "task-notification", "ide_opened_file", "ide_selection"),
    # Gemini CLI and qwen-code
    "session_context",
)
"""Tags of the blocks that agents add to a text, in results too."""

ENVELOPES = ("task", "feedback", "user_message", "user_query", "answer")
"""Tags in which Cline, Roo and Cursor send the user's own words."""

_FOREWORDS: Sequence[tuple[str, str]] = (
    # Codex in an editor
    ("# Context from my IDE setup:", "## My request for Codex:"),
    ("# Files mentioned by the user:", "## My request for Codex:"),
)
"""How a text of an agent's begins, and what stands before the user's own."""

# Codex puts this before the block with the instructions.
_HEADINGS = re.compile(r"\s*# AGENTS\.md instructions(?: for [^\n]{0,1000})?\s*(?=<INSTRUCTIONS>)")
# Claude Code, before what the user says instead.
_INTERRUPTED = re.compile(r"\[Request interrupted by user[^\]\n]{0,40}\]\s*")
_ENVELOPE = re.compile(rf"<({'|'.join(ENVELOPES)})>")
LONGEST_TAG = 60


def unwrapped(text: str, more: tuple[str, ...] = ()) -> str:
    """Without the blocks before and behind it, nor blanks. ``more``: tags beside the known. Linear in the text.

    Works on places, as there may be very many blocks.
    """
    text = text.strip()
    if not text.startswith(("<", "# AGENTS.md")) and not text.endswith(">"):
        return text
    opened, closed = _tags(more)
    start, end = 0, len(text)
    while True:
        if heading := _HEADINGS.match(text, start, end):
            start = heading.end()
        if not (block := opened.match(text, start, end)):
            break
        close = text.find(f"</{block[1]}>", block.end(), end)
        if close < 0:
            break
        start = close + len(block[1]) + 3
    while block := closed.search(text, max(start, end - LONGEST_TAG - 4), end):
        begun = text.rfind(f"<{block[1]}>", start, block.start())
        if begun < 0:
            break
        end = _trimmed(text, start, begun)
    return text[start:end].strip()


def spoken(text: str, more: tuple[str, ...] = ()) -> str:
    """The user's own words of a message: without blocks, out of their envelope."""
    text = unwrapped(text, more)
    if interrupted := _INTERRUPTED.match(text):
        text = unwrapped(text[interrupted.end() :], more)
    for opening, mark in _FOREWORDS:
        if text.startswith(opening) and (found := text.find(mark)) >= 0:
            text = text[found + len(mark) :].strip()
    if envelope := _ENVELOPE.match(text):
        close = text.find(f"</{envelope[1]}>", envelope.end())
        text = text[envelope.end() : close if close >= 0 else len(text)].strip()
    return text


@lru_cache(maxsize=8)
def _tags(more: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    names = "|".join(map(re.escape, (*WRAPPERS, *more)))
    return re.compile(rf"\s*<({names})(?: [^<>\n]{{0,200}})?>"), re.compile(rf"</({names})>\Z")


def _trimmed(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    return end
