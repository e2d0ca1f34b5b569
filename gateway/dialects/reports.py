"""What agents without tool calls tell the model in the user's place: what a command brought, what did not fit."""

from __future__ import annotations

import re
from typing import NamedTuple


class Report(NamedTuple):
    """``tool``: "" where it is not named. ``begins``: where in the text its result begins; ``failed``: what told."""

    tool: str
    begins: int
    failed: str = ""


# How a message begins behind which a result follows.
_RESULTS = re.compile(
    r"\[(?P<tool>[a-z][a-z_]{1,40})(?: for [^\n]{0,1000})?\] Result:\s*"  # Cline, Roo
    r"|Observation:\s*"  # smolagents, and whoever follows ReAct
    r"|(?=<returncode>)"  # mini-swe-agent
    r"|I ran this command:\n\n[^\n]{0,1000}\n\nAnd got this output:\s*",  # aider
)
# What agents say of an answer that they could not use: all of it is theirs.
_COMPLAINTS = re.compile(
    r"(?:# )?(?P<aider>The LLM did not conform to the edit format)"
    r"|# \d{1,4} (?P<blocks>SEARCH/REPLACE blocks? failed to match)"
    r"|# (?P<lint>Fix any errors below, if possible)"
    r"|\[ERROR\] (?P<cline>You did not use a tool in your previous response)"
    r"|(?:Call id: [^\n]{1,100}\n)?Error:\n(?=[\s\S]{0,2000}?(?P<smol>Now let's retry: take care not to repeat))",
)


def report(text: str) -> Report | None:
    """None for a person's words. ``text``: without wrappers."""
    if found := _COMPLAINTS.match(text):
        return Report("", found.end(), next(group for group in found.groups() if group))
    if found := _RESULTS.match(text):
        return Report(found["tool"] or "", found.end())
    return None
