"""The dialects of embeddings by name, and what the two sides of one have to have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.chat import Encoded
from gateway.dialects import (
    bedrock_embeddings,
    cohere_embeddings,
    gemini_embedding,
    gemini_embeddings,
    ollama_embedding,
    ollama_embeddings,
    openai_embeddings,
    vertex_embeddings,
    vertex_gemini_embeddings,
)
from gateway.embedding import EmbeddingRequest, EmbeddingResponse
from gateway.errors import Fault


class Ingress(Protocol):
    """A dialect that clients speak. ``id``, ``model``: for the answer that does not name its own."""

    NAME: str

    def decode_request(self, body: bytes, /) -> EmbeddingRequest:
        """Raises ``CallerError`` (400) with where and what. The model is empty where the path says it."""

    def encode_answer(
        self, answer: EmbeddingResponse, /, *, id: str, model: str, created: int, asked: bytes
    ) -> bytes: ...


class Egress(Protocol):
    """A dialect that vendors are spoken to in. Pure; ``now`` is epoch seconds."""

    NAME: str
    REFERS: tuple[str, ...]
    """Beginnings of the URIs that a request may name; what lies at others has to be sent as bytes."""

    def encode_request(self, request: EmbeddingRequest, /) -> Encoded:
        """Raises ``CallerError`` (400) for an input that cannot be said: to leave it out would shift all others."""

    def decode_answer(self, body: bytes, now: float, /) -> EmbeddingResponse | Fault: ...


INGRESS: Mapping[str, Ingress] = {
    dialect.NAME: dialect
    for dialect in (openai_embeddings, gemini_embedding, gemini_embeddings, ollama_embedding, ollama_embeddings)
}
EGRESS: Mapping[str, Egress] = {
    dialect.NAME: dialect
    for dialect in (
        openai_embeddings,
        gemini_embeddings,
        vertex_embeddings,
        vertex_gemini_embeddings,
        bedrock_embeddings,
        cohere_embeddings,
        ollama_embeddings,
    )
}
