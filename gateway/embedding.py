"""The hub of embeddings: what is to be made into vectors, and the vectors, in nobody's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gateway.chat import Blob, Text, Uri, Usage

Purpose = Literal[
    "query",
    "document",
    "similarity",
    "classification",
    "clustering",
    "question",
    "fact",
    "code_query",
]
"""What the vectors are for: a search's question or what is searched, as most models embed the two differently."""


class Tokens(msgspec.Struct, frozen=True):
    """A text as the model's own numbers: only OpenAI's kind reads them."""

    ids: tuple[int, ...]


class Mixed(msgspec.Struct, frozen=True):
    """Texts and media that become one vector together."""

    parts: tuple[Text | Blob | Uri, ...]


Input = str | Tokens | Mixed


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. None and empty: the client did not say. Each input becomes one vector."""

    model: str
    inputs: tuple[Input, ...]
    dimensions: int | None = None
    purpose: Purpose | None = None
    title: str | None = None
    """Of the document, where ``purpose`` is that."""
    truncate: bool | None = None
    """Cut off what is too long, rather than refuse it."""
    user: str | None = None
    extra: dict[str, Any] = {}
    """Fields the hub has no word for, as they came."""
    names: Mapping[str, str] = {}
    """Field of the hub -> what the client calls it, where that is another name."""
    places: str = "input[{}]"
    """Where the client wrote each input."""

    def place(self, number: int) -> str:
        return self.places.format(number)

    def said(self, *fields: str) -> list[str]:
        """Which of these the client has said, by the client's names: for what a target cannot be told."""
        return [self.names.get(field, field) for field in fields if getattr(self, field) not in (None, "")]


class EmbeddingResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One vector for each input, in their order. ``id`` and ``model`` are the vendor's own; empty: it says none."""

    vectors: tuple[list[float], ...]
    usage: Usage | None = None
    id: str = ""
    model: str = ""
