"""How calls on the side, sub-agents and summarised conversations begin, agent by agent, as seen on the wire.

To teach it another agent, add a row. What a request is follows from the request alone, so that every replica that gets
it, in whatever order, says the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from gateway.dialects.words import SHIPPED, Words

Place = Literal["system", "user", "last"]
"""A line of the system prompt's head begins so; the user's first or last words do, where no tools are on offer (with
tools, what a user says is the job, whatever it reads like); the last words do, with tools or without.
"""

HEAD = 600
"""Characters of a text in which its opening is looked for: some agents put a line about themselves first."""


class Opening(NamedTuple):
    place: Place
    text: str
    """As it is written; capitals do not matter."""
    what: str


AUXILIARY: Sequence[Opening] = (
    # goose
    Opening("system", "Generate a short title (four words or less)", "goose: a title"),
    Opening("user", "---BEGIN HINTS", "goose: a title"),
    Opening("user", "---BEGIN USER MESSAGES---", "goose: a title"),
    Opening("system", "## Task Context\n- An llm context limit was reached", "goose: a summary"),
    Opening("last", "Please summarize the conversation history provided in the system prompt", "goose: a summary"),
    Opening("system", "Your task is to summarize a tool call & response pair", "goose: a summary of a tool call"),
    Opening("system", "Reply only with the classification label", "goose: is it a plan?"),
    Opening("system", "You are a good analyst and can detect operations", "goose: may it write?"),
    # Claude Code
    Opening("system", "Generate a concise, sentence-case title", "Claude Code: a title"),
    Opening("user", "Generate a concise, sentence-case title", "Claude Code: a title"),
    Opening("system", "You are naming a coding session", "Claude Code: a title"),
    Opening("system", "Summarize this coding conversation in under 50 characters", "Claude Code: a title"),
    Opening("user", "Please write a 5-10 word title", "Claude Code: a title"),
    Opening("system", "Analyze if this message indicates a new conversation topic", "Claude Code: a title"),
    Opening("system", "You are a helpful AI assistant tasked with summarizing conversations", "a summary"),
    Opening("last", "Your task is to create a detailed summary of the conversation so far", "Claude Code: a summary"),
    Opening("last", "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools", "Claude Code: a summary"),
    Opening("system", "Extract any file paths that this command reads or modifies", "Claude Code: a command's files"),
    Opening(
        "system", "Your task is to process Bash commands that an AI coding agent", "Claude Code: a command's prefix"
    ),
    Opening("system", "You are a security monitor for autonomous AI coding agents", "Claude Code: may it run?"),
    Opening("system", "You are an assistant for performing a web search tool use", "Claude Code: a web search"),
    Opening("last", "[SUGGESTION MODE:", "Claude Code: what the user may say next"),
    Opening("last", "The user stepped away and is coming back. Recap", "Claude Code: a recap"),
    # Codex, and pi which says the same
    Opening("last", "You are performing a CONTEXT CHECKPOINT COMPACTION", "Codex: a summary"),
    Opening("system", "You are performing a CONTEXT CHECKPOINT COMPACTION", "Codex: a summary"),
    Opening("user", "Generate a concise, single-line task title", "Codex: a title"),
    Opening("system", "You are a context summarization assistant", "pi: a summary"),
    # opencode
    Opening("system", "You are a title generator. You output ONLY a thread title", "opencode: a title"),
    Opening("user", "Generate a title for this conversation:", "opencode: a title"),
    Opening("system", "You are an anchored context summarization assistant", "opencode: a summary"),
    Opening("system", "Summarize what was done in this conversation", "opencode: a summary"),
    Opening("last", "Provide a detailed prompt for continuing our conversation above", "opencode: a summary"),
    # Gemini CLI, qwen-code
    Opening("system", "You are the component that summarizes internal chat history", "qwen-code: a summary"),
    Opening(
        "last", "Analyze *only* the content and structure of your immediately preceding", "qwen-code: who is next?"
    ),
    Opening("system", "You are a sophisticated AI diagnostic agent specializing in", "Gemini CLI: does it loop?"),
    Opening("system", "You are a specialized Task Routing AI", "Gemini CLI: which model?"),
    Opening(
        "system", "You are an expert code-editing assistant specializing in debugging", "Gemini CLI: an edit mended"
    ),
    Opening("user", "Summarize the following tool output to be a maximum of", "Gemini CLI: a summary of a tool call"),
    Opening("user", "Summarize the user's primary intent or goal in this conversation", "Gemini CLI: a title"),
    # Cline
    Opening("last", '<explicit_instructions type="summarize_task">', "Cline: a summary"),
    # aider
    Opening(
        "system", "You are an expert software engineer that generates concise, one-line Git commit", "aider: a commit"
    ),
    Opening("system", "*Briefly* summarize this partial conversation about programming", "aider: a summary"),
    # anybody's
    Opening("system", "Generate a title for this conversation", "a title"),
    Opening("system", "Based on the conversation so far, provide a concise", "a title"),
    # Open WebUI
    Opening("system", "### Task:\nGenerate a concise, 3-5 word title", "Open WebUI: a title"),
    Opening("user", "### Task:\nGenerate a concise, 3-5 word title", "Open WebUI: a title"),
    Opening("user", "### Task:\nGenerate 1-3 broad tags", "Open WebUI: tags"),
    Opening("user", "### Task:\nSuggest 3-5 relevant follow-up", "Open WebUI: what the user may say next"),
)

PLANNING = ('You are a specialized "planner" AI',)
"""How goose's /plan begins: without tools, yet no aside. It is the hardest part of the work."""

SUBAGENTS: Sequence[Opening] = (
    Opening("system", "You are a specialized subagent within the goose AI framework", "goose: its system prompt"),
    Opening("user", "Subagent ID:", "goose: its first message"),
)

SUMMARIES: Sequence[str] = (
    "Your context was compacted",  # goose, as the assistant
    "This session is being continued from a previous conversation",  # Claude Code, Roo
    "Another language model started to solve this problem and produced a summary",  # Codex
    "The conversation history before this point was compacted into the following summary",  # pi
    "<state_snapshot>",  # Gemini CLI, qwen-code
    "Got it. Thanks for the additional context!",  # the same, as the assistant
    "[NOTE] Some previous conversation history with the user has been removed",  # Cline, as the assistant
    "I spoke to you previously about a number of things.",  # aider
)
"""How one of the first messages of a conversation begins that was summarised or cut."""

WHOLE_SUMMARIES: Sequence[str] = ("What did we do so far?",)  # opencode, which has the model answer with its summary
"""The same, where they are all that the first message says."""


ACKNOWLEDGEMENTS = (
    "Got it. Thanks for the context!",  # Gemini CLI, qwen-code: to what they tell of the machine
    "Ok, I won't try and edit those files without asking first",  # aider: to its map of the repository
    "Ok, any changes I propose will be to those files",  # aider: to files
    "Ok, I will use these files as references",
)
"""How a message begins which agents put into the model's mouth at the beginning, to what they have said; or "Ok."."""

PREAMBLES = (
    "This is the Qwen Code. We are setting up the context",
    "This is the Gemini CLI. We are setting up the context",
)
"""How a message begins in which an agent tells of the machine before the user has said anything."""


def auxiliary(system: str, first: str, last: str, tools: bool, words: Words = SHIPPED) -> str:
    """What the call on the side is for, by its openings; "": it is none.

    ``system``, ``first``, ``last``: the system prompt, the user's first and last words. ``tools``: some are on offer.
    """
    known = _known(words)
    found = known.system.search(system[:HEAD]) or known.last.match(last[:HEAD])
    if not found and not tools:
        found = known.user.match(last[:HEAD]) or known.user.match(first[:HEAD])
    return known.what[found.lastgroup] if found and found.lastgroup else ""


def is_planning(system: str) -> bool:
    return system.startswith(PLANNING)


def subagent(system: str, first: str) -> str:
    """What tells that it is one; "": nothing does."""
    for each in SUBAGENTS:
        if (system if each.place == "system" else first).startswith(each.text):
            return each.what
    return ""


def is_summary(text: str, whole: bool) -> bool:
    """Does a message begin as agents' summaries do? ``whole``: it is the user's first."""
    return text.startswith(tuple(SUMMARIES)) or (whole and text in WHOLE_SUMMARIES)


def asks_for_summary(text: str) -> bool:
    """Are a user's words an agent's own, which the model has answered with what was said before?"""
    return text in WHOLE_SUMMARIES


def is_acknowledgement(text: str) -> bool:
    """Is one of the first messages of the model's none of its own, but an agent's?"""
    return text.startswith(ACKNOWLEDGEMENTS) or text == "Ok."


def is_preamble(text: str) -> bool:
    """Are a user's words what an agent says of itself before them, the same in every conversation?"""
    return text.startswith(PREAMBLES)


_OWN: tuple[Place, ...] = ("system", "last")


class _Known(NamedTuple):
    system: re.Pattern[str]
    user: re.Pattern[str]
    last: re.Pattern[str]
    what: dict[str, str]
    """By the group that matched."""


@lru_cache(maxsize=8)
def _known(words: Words) -> _Known:
    own = (Opening(place, phrase, "as configured") for phrase in words.auxiliary for place in _OWN)
    rows = {f"g{number}": each for number, each in enumerate((*AUXILIARY, *own))}
    return _Known(
        _pattern((name, each) for name, each in rows.items() if each.place == "system"),
        _pattern((name, each) for name, each in rows.items() if each.place == "user"),
        _pattern((name, each) for name, each in rows.items() if each.place == "last"),
        {name: each.what for name, each in rows.items()},
    )


def _pattern(rows: Iterable[tuple[str, Opening]]) -> re.Pattern[str]:
    return re.compile(
        "|".join(rf"^(?P<{name}>{re.escape(each.text)})" for name, each in rows), re.IGNORECASE | re.MULTILINE
    )
