"""Thoughts that another vendor has signed, within a Gemini conversation.

They are packed into the signature of what was said or called after them, texts included: clients leave thoughts out of
the history they send back, and keep the signatures of everything else (Gemini CLI, ``chats`` of Google's own SDKs).
A signature is base64 there, so the mark is, too: of ``skein:<format>:`` and the thoughts as JSON.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

import msgspec

from gateway.chat import Kept, Reasoning
from gateway.dialects.gemini_contents import SIGNED

MARK = b"skein:"
MARKED = base64.b64encode(MARK).decode()
"""How every marked signature begins: the mark's six bytes are eight whole letters."""

_kept = msgspec.json.Decoder(Kept)
_BASE64 = re.compile(r"([A-Za-z0-9+/_-]+)={0,2}")


def signature_of(thoughts: Sequence[Reasoning], own: str | None = None) -> str | None:
    """What a part is signed with that comes after ``thoughts``; ``own``: Gemini's signature of the part itself.

    A signature of Gemini's goes out as it is, if it is all there is to say and can be one: SDKs fail on other bytes.
    """
    signed = [thought for thought in thoughts if thought.signature or thought.opaque]
    alone = own if not signed else None
    if own is None and len(signed) == 1 and signed[0].format == SIGNED and not signed[0].opaque:
        alone = signed[0].signature
    if alone and _is_base64(alone):
        return alone
    return _marked(Kept(tuple(signed), own)) if signed or own else None


def _is_base64(said: str) -> bool:
    found = _BASE64.fullmatch(said)
    # Of six bits a letter, one alone makes no byte.
    return found is not None and len(found[1]) % 4 != 1


def _marked(kept: Kept) -> str:
    whose = next((thought.format for thought in kept.thoughts if thought.format), SIGNED)
    return base64.b64encode(b"%b%b:%b" % (MARK, whose.encode(), msgspec.json.encode(kept))).decode()


def unmarked(signature: str) -> Kept | None:
    """What was packed into a marked signature; None: it is Gemini's own. A damaged mark holds nothing."""
    if not signature.startswith(MARKED):
        return None
    try:
        # Some clients write the bytes anew, in base64 for URLs.
        plain = signature.translate(_PLAIN) + "=" * (-len(signature) % 4)
        said = base64.b64decode(plain)
        return _kept.decode(said.removeprefix(MARK).partition(b":")[2])
    except (ValueError, RecursionError):
        return Kept()


_PLAIN = str.maketrans("-_", "+/")
