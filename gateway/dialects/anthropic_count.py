"""Counting the tokens of a message: https://platform.claude.com/docs/en/api/messages-count-tokens"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.chat import Facts, Operation
from gateway.dialects import anthropic_messages as chat
from gateway.dialects.anthropic_messages import cleared as cleared
from gateway.dialects.anthropic_messages import conversation as conversation
from gateway.dialects.anthropic_messages import decode_request as decode_request
from gateway.dialects.anthropic_messages import error_body as error_body
from gateway.dialects.anthropic_messages import error_frame as error_frame
from gateway.dialects.anthropic_messages import noted as noted
from gateway.dialects.anthropic_messages import prepended as prepended
from gateway.dialects.count_words import as_count
from gateway.dialects.count_words import read_whole as read_whole
from gateway.dialects.count_words import within as within
from gateway.dialects.unresumed import continuation as continuation
from gateway.dialects.unresumed import identity as identity
from gateway.dialects.unresumed import restamp as restamp
from gateway.dialects.unresumed import without_usage as without_usage
from gateway.dialects.unstreamed import CLOSING as CLOSING
from gateway.dialects.unstreamed import KEEPALIVE as KEEPALIVE
from gateway.dialects.unstreamed import glimpse as glimpse
from gateway.dialects.unstreamed import planning as planning
from gateway.dialects.unstreamed import skim as skim
from gateway.dialects.unstreamed import spoken as spoken
from gateway.dialects.unstreamed import with_cost as with_cost

NAME = "anthropic_count"
OPERATION: Operation = "count_tokens"
FORMAT = chat.NAME
RESUMES = False


def peek(body: bytes, named: str | None = None) -> Facts:
    """Raises ``CallerError`` (400)."""
    return as_count(chat.peek(body, named))


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    return chat.rewrite(body, model, rename=rename, drop=drop)


def count_body(tokens: int) -> bytes:
    return msgspec.json.encode({"input_tokens": tokens})
