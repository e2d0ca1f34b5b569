"""Where a defect of ours was, out of a traceback: the frames and the exception's type, never its own words.

Those may quote what a client or a vendor said. They may also look like a traceback, so lines are taken only where
Python itself puts them: https://docs.python.org/3/library/traceback.html
"""

from __future__ import annotations

import re

_HEAD = re.compile(r"(?P<margin>[ |]*)(?P<group>\+ )?(?:Exception Group )?Traceback \(most recent call last\):")
_FRAME = re.compile(r'  File "[^"]+", line \d+, in [\w.<>]+')
_TYPE = re.compile(r"[A-Za-z_][\w.]{0,127}")
# What stands before a further traceback: an exception that led to this one, or one of a group.
_JOINTS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)


def crash(traceback: str) -> tuple[str | None, str]:
    """The type of the exception that was raised last, None where it cannot be told; and the frames, a line each."""
    frames: list[str] = []
    kind: str | None = None
    margin: str | None = None  # that of the lines below, inside a list of frames
    before = ""
    for line in traceback.split("\n"):
        if margin is not None:
            told = line.removeprefix(margin)
            if _FRAME.fullmatch(told):
                frames.append(told)
            elif not told.startswith("  "):  # neither source nor a remark: the exception, and its words from here on
                name = told.partition(":")[0].strip()
                kind, margin = name if _TYPE.fullmatch(name) else None, None
        elif (head := _HEAD.fullmatch(line)) and _may_follow(before):
            margin = head["margin"] + ("| " if head["group"] else "")
        before = line.strip(" |") or before
    return kind, "\n".join(frames)


def _may_follow(line: str) -> bool:
    return not line or line in _JOINTS or line.startswith("+-")
