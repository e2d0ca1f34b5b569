"""What people and agents of one place say, beside what is known of all: the configuration's section ``turns``."""

from __future__ import annotations

import msgspec


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """How a conversation is read. All are phrases, not patterns; capitals do not matter."""

    languages: tuple[str, ...] = ("en", "zh")
    """The languages in which users' corrections are known: `en`, `zh`."""
    corrections: tuple[str, ...] = ()
    """What users say when an answer was wrong, beside what is known of the languages."""
    failures: tuple[str, ...] = ()
    """A tool's result failed if it, or one of its last lines, begins with one of these."""
    not_failures: tuple[str, ...] = ()
    """A tool's result that begins with one of these, or has a last line that does, is no failure."""
    wrappers: tuple[str, ...] = ()
    """Names of tags in which agents add to what was said, without brackets; such blocks are passed over."""
    auxiliary: tuple[str, ...] = ()
    """How the system prompt or the user's last message of a call on the side begins: a title, a summary."""


SHIPPED = Words()
