"""Wire formats. A dialect is a module; a module that has these functions is a dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.abilities import Abilities
from gateway.chat import ChatEvent, ChatRequest, ChatResponse, Encoded, Facts, Operation, Usage
from gateway.dialects import (
    anthropic_count,
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    gemini,
    gemini_count,
    gemini_embedding,
    gemini_embeddings,
    ollama_chat,
    ollama_embedding,
    ollama_embeddings,
    ollama_generate,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
    responses_count,
    tgi,
)
from gateway.dialects.conversation import Conversation
from gateway.dialects.glimpse import Glimpse, Whole
from gateway.dialects.replaying import Fitted
from gateway.errors import Fault
from gateway.sse import Frame


class Dialect(Protocol):
    """``now`` is epoch seconds; nothing here waits, and only ``peek`` raises (``CallerError``)."""

    NAME: str
    OPERATION: Operation
    FORMAT: str
    """The wire format of the vendors that take its requests as they are: a chat dialect's own name."""
    RESUMES: bool
    """A stream of text that broke off can be gone on with by another target."""
    CLOSING: bytes
    """What closes a stream of which all was said, where the vendor has not closed it itself."""
    KEEPALIVE: bytes
    """What is sent while there is nothing to say, also before a stream's first event; empty where nothing may be."""

    def peek(self, body: bytes, named: str | None = None, /) -> Facts: ...
    def conversation(self, body: bytes, /) -> Conversation:
        """All that reading turns, judging tools and choosing models ask of a dialect. Never raises."""

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
    def cleared(self, body: bytes, bare: bool, /) -> Fitted:
        """The request without the thoughts that another dialect's vendor has signed; ``bare``: without any."""

    def read_whole(self, body: bytes, now: float, /) -> Whole | Fault: ...
    def prepended(self, body: bytes, messages: Sequence[Mapping[str, Any]], /) -> bytes: ...
    def spoken(self, body: bytes, /) -> str: ...
    def planning(self, body: bytes, instructions: str, request: str, /) -> bytes | None:
        """A request in the same dialect that asks for a plan: ``instructions`` first, ``request`` last, between them
        the conversation, its tool calls as text; no tools, no formats, no parameters; streamed as the client wants it.
        None where that cannot be made."""

    def noted(self, body: bytes, note: str, /) -> bytes | None:
        """The request with a note among its first instructions, the same bytes for the same beginning."""

    def with_cost(self, body: bytes, cost: float, /) -> bytes: ...
    def skim(self, events: Sequence[bytes], calling: bool, /) -> list[str | None]:
        """Of each event's data, the text that it adds to the first choice; "" where that is a thought, a refusal or,
        if ``calling``, more of the arguments of a tool call. None for an event that does anything else, or more, or is
        damaged: ``glimpse`` tells of it. To say None of all is right, only slower."""

    def glimpse(self, frame: Frame, now: float, /) -> Glimpse: ...
    def error_body(self, error: Mapping[str, Any], status: int, /) -> bytes:
        """``error``: as ``resilience.verdict.error_of`` makes it; ``status``: what the client gets to see."""

    def error_frame(self, error: Mapping[str, Any], status: int, place: int, /) -> bytes:
        """An error after the head has gone. ``place``: the number of events the client has got."""

    def without_usage(self, frame: Frame, /) -> bytes:
        """The event without its usage, for a client that did not ask for it."""

    def identity(self, frame: Frame, /) -> dict[str, Any]:
        """The fields that all events of one answer share."""

    def restamp(self, frame: Frame, first: Mapping[str, Any], text: str | None, /) -> bytes:
        """An event of a continuation, made to belong to the answer it continues; ``text`` replaces what it says."""

    def continuation(self, body: bytes, delivered: str, prefill: Mapping[str, Any] | None, /) -> bytes:
        """A request that asks another model to go on where a text answer broke off."""


class StreamEncoder(Protocol):
    """The events of an answer as the client reads them."""

    place: int
    """Events that were written so far."""

    def feed(self, event: ChatEvent, /) -> bytes:
        """Of the events that say or count something; those that end or fail are not for it."""

    def end(self, usage: Usage | None, cost: float | None, /) -> bytes:
        """What closes a stream that is whole; ``cost`` in dollars, where it is known."""

    def identity(self) -> dict[str, Any]:
        """The fields that all events of this answer share."""


class Ingress(Protocol):
    """A dialect that clients speak, by way of the hub.

    ``id``, ``model``: for the answer that does not name its own. ``asked``: the request, as the client sent it.
    """

    NAME: str

    def decode_request(self, body: bytes, /) -> ChatRequest:
        """Raises ``CallerError`` (400) with where and what."""

    def encode_answer(self, answer: ChatResponse, /, *, id: str, model: str, created: int, asked: bytes) -> bytes: ...
    def stream_encoder(self, *, id: str, model: str, created: int, usage: bool, asked: bytes) -> StreamEncoder:
        """``usage``: the client asked for it."""


class StreamDecoder(Protocol):
    """A vendor's stream, bytes to events, however they are cut. Never raises; what cannot be read is ``Damaged``."""

    def feed(self, chunk: bytes, now: float, /) -> list[ChatEvent]: ...
    def end(self, now: float, /) -> list[ChatEvent]:
        """What is left when the vendor has closed."""


class Egress(Protocol):
    """A dialect that vendors are spoken to in, by way of the hub. Pure; ``now`` is epoch seconds."""

    NAME: str
    SIGNED: str | None
    """The ``Reasoning.format`` whose signatures it takes back."""
    REFERS: tuple[str, ...]
    """Beginnings of the URIs that a request may name; what lies at others has to be sent as bytes."""

    def encode_request(self, request: ChatRequest, able: Abilities, /) -> Encoded: ...
    def decode_answer(self, body: bytes, now: float, /) -> ChatResponse | Fault:
        """A whole answer of status 200, checked; a 200 that holds an error, or nothing readable, is a fault."""

    def stream_decoder(self) -> StreamDecoder: ...


DIALECTS: dict[str, Dialect] = {
    dialect.NAME: dialect
    for dialect in (
        anthropic_count,
        anthropic_messages,
        gemini,
        gemini_count,
        gemini_embedding,
        gemini_embeddings,
        ollama_chat,
        ollama_embedding,
        ollama_embeddings,
        ollama_generate,
        openai_chat,
        openai_completions,
        openai_embeddings,
        openai_responses,
        responses_count,
    )
}

INGRESS: dict[str, Ingress] = {
    dialect.NAME: dialect
    for dialect in (
        anthropic_messages,
        gemini,
        ollama_chat,
        ollama_generate,
        openai_chat,
        openai_completions,
        openai_responses,
    )
}
"""Dialects that clients speak and that can be read into the hub."""

EGRESS: dict[str, Egress] = {
    dialect.NAME: dialect
    for dialect in (
        anthropic_messages,
        bedrock_converse,
        cohere_chat,
        gemini,
        ollama_chat,
        openai_chat,
        openai_responses,
        tgi,
    )
}
"""Dialects that vendors are spoken to in, by way of the hub."""
