"""Wire formats. A dialect is a module; a module that has these functions is a dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.chat import Facts, Operation, Turn
from gateway.dialects import openai_chat, openai_embeddings
from gateway.dialects.glimpse import Glimpse, Whole
from gateway.errors import Fault
from gateway.sse import Frame


class Dialect(Protocol):
    """``now`` is epoch seconds; nothing here waits, and only ``peek`` raises (``CallerError``)."""

    NAME: str
    OPERATION: Operation

    def peek(self, body: bytes, named: str | None = None, /) -> Facts: ...
    def turns(self, body: bytes, /) -> list[Turn]: ...
    def splice(self, body: bytes, facts: Facts, model: str, ask_usage: bool, /) -> bytes | None: ...
    def rewrite(
        self,
        body: bytes,
        model: str,
        *,
        ask_usage: bool = False,
        rename: Mapping[str, str] = {},
        drop: frozenset[str] = frozenset(),
        max_tokens: int | None = None,
    ) -> bytes: ...
    def read_whole(self, body: bytes, now: float, /) -> Whole | Fault: ...
    def prepended(self, body: bytes, messages: Sequence[Mapping[str, Any]], /) -> bytes: ...
    def spoken(self, body: bytes, /) -> str: ...
    def with_cost(self, body: bytes, cost: float, /) -> bytes: ...
    def glimpse(self, frame: Frame, now: float, /) -> Glimpse: ...
    def error_body(self, error: Mapping[str, Any], /) -> bytes: ...
    def error_frame(self, error: Mapping[str, Any], /) -> bytes: ...


DIALECTS: dict[str, Dialect] = {dialect.NAME: dialect for dialect in (openai_chat, openai_embeddings)}
