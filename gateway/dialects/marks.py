"""Thoughts that one vendor has signed, in the place another dialect has for its own: marked, to be known again.

``skein:<format>:<signature>`` and, where there are thoughts that cannot be read, ``:<opaque>`` after it. ``skein::`` is
the mark of thoughts that nobody has signed.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from gateway.chat import Reasoning

MARK = "skein:"
# Signatures are base64; a colon in one would be taken for the end of it.
_KEPT = "+/=-_., "


def marked(thought: Reasoning) -> str:
    """The thought's signature and opaque part, and whose they are."""
    whose, signature = (quote(said or "", safe=_KEPT) for said in (thought.format, thought.signature))
    return f"{MARK}{whose}:{signature}" + (f":{thought.opaque}" if thought.opaque else "")


def is_marked(said: str) -> bool:
    return said.startswith(MARK)


def unmarked(said: str, content: str = "") -> Reasoning:
    """The thought that ``marked`` wrote; ``content`` is its text, which stands elsewhere."""
    whose, _, rest = said.removeprefix(MARK).partition(":")
    signature, _, opaque = rest.partition(":")
    return Reasoning(content, unquote(signature) or None, opaque or None, unquote(whose) or None)
