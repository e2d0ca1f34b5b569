"""What Anthropic's clients say about themselves inside a request: who asks, in which conversation, for which bill."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec


class Named(NamedTuple):
    """Who asks, and within which conversation."""

    user: str | None = None
    session: str | None = None


class _Packed(msgspec.Struct):
    session_id: Any = None
    account_uuid: Any = None
    device_id: Any = None


_packed = msgspec.json.Decoder(_Packed)
# Claude Code before it packed them as JSON: user_<hash>_account_<uuid>_session_<uuid>, the account's uuid maybe empty.
_JOINED = re.compile(r"(?P<user>user_[^_]{1,128}(?:_account_[^_]{0,64})?)_session_(?P<session>[\w-]{1,128})")


def user_of(user_id: Any) -> Named:
    """``metadata.user_id``: a name, or what Claude Code packs into it."""
    if not isinstance(user_id, str) or not user_id:
        return Named()
    if user_id.startswith("{"):
        with suppress(ValueError, RecursionError):
            packed = _packed.decode(user_id)
            users = (packed.account_uuid, packed.device_id)
            return Named(next(filter(None, map(_text, users)), None), _text(packed.session_id))
    if joined := _JOINED.fullmatch(user_id[:512]):
        return Named(joined["user"].removesuffix("_account_"), joined["session"])
    return Named(user_id, user_id)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


BILLING = "x-anthropic-billing-header:"


def is_billing_header(text: Any) -> bool:
    """One line that Claude Code puts before its instructions, for Anthropic's accounting."""
    return isinstance(text, str) and text.startswith(BILLING) and "\n" not in text.strip()
