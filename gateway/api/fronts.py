"""The routes where exchanges begin: what is spoken at each, and how its streams are framed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

from gateway.api.framing import Array, Framing, Lines

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
RESPONSES_COUNT = "/v1/responses/input_tokens"
MESSAGES = "/v1/messages"
MESSAGES_COUNT = "/v1/messages/count_tokens"
# Gemini names the model within the path, and Skein beside it: /v1beta/models/{model}:generateContent.
GEMINI = "/v1beta/generateContent"
GEMINI_STREAM = "/v1beta/streamGenerateContent"
GEMINI_COUNT = "/v1beta/countTokens"
GEMINI_EMBED = "/v1beta/embedContent"
GEMINI_EMBED_MANY = "/v1beta/batchEmbedContents"
OLLAMA_CHAT = "/api/chat"
OLLAMA_GENERATE = "/api/generate"
OLLAMA_EMBED = "/api/embed"
OLLAMA_EMBED_ONE = "/api/embeddings"


class Front(NamedTuple):
    dialect: str
    summary: str
    docs: str
    framing: type[Framing] | None = None
    """How a stream is framed for clients that do not read event streams."""
    keeps: bool = False
    """Answers are kept for the requests that refer to them."""
    asks_key: bool = False
    """Clients may send their key as ``?key=``."""

    def framed(self, query: str) -> Framing | None:
        """None: an event stream, as everywhere inside."""
        if self.framing is None or (self.framing is Array and "sse" in parse_qs(query).get("alt", ())):
            return None
        return self.framing()


_OPENAI = "https://platform.openai.com/docs/api-reference"
_ANTHROPIC = "https://platform.claude.com/docs/en/api/messages"
_GOOGLE = "https://ai.google.dev/api"
_OLLAMA = "https://docs.ollama.com/api"

FRONTS: Mapping[str, Front] = {
    CHAT: Front("openai_chat", "Chat completion", f"{_OPENAI}/chat/create"),
    COMPLETIONS: Front("openai_completions", "Text completion", f"{_OPENAI}/completions/create"),
    EMBEDDINGS: Front("openai_embeddings", "Embeddings", f"{_OPENAI}/embeddings/create"),
    RESPONSES: Front("openai_responses", "Response", f"{_OPENAI}/responses/create", keeps=True),
    RESPONSES_COUNT: Front("responses_count", "Tokens of a response's input", f"{_OPENAI}/responses/input-tokens"),
    MESSAGES: Front("anthropic_messages", "Message", f"{_ANTHROPIC}/create"),
    MESSAGES_COUNT: Front("anthropic_count", "Tokens of a message", f"{_ANTHROPIC}/count_tokens"),
    GEMINI: Front("gemini", "Content", f"{_GOOGLE}/generate-content", asks_key=True),
    GEMINI_STREAM: Front("gemini", "Content, streamed", f"{_GOOGLE}/generate-content", framing=Array, asks_key=True),
    GEMINI_COUNT: Front("gemini_count", "Tokens of content", f"{_GOOGLE}/tokens", asks_key=True),
    GEMINI_EMBED: Front("gemini_embedding", "Embedding", f"{_GOOGLE}/embeddings", asks_key=True),
    GEMINI_EMBED_MANY: Front("gemini_embeddings", "Embeddings", f"{_GOOGLE}/embeddings", asks_key=True),
    OLLAMA_CHAT: Front("ollama_chat", "Chat, as Ollama has it", f"{_OLLAMA}/chat", framing=Lines),
    OLLAMA_GENERATE: Front("ollama_generate", "Generation, as Ollama has it", f"{_OLLAMA}/generate", framing=Lines),
    OLLAMA_EMBED: Front("ollama_embeddings", "Embeddings, as Ollama has them", f"{_OLLAMA}/embed"),
    OLLAMA_EMBED_ONE: Front("ollama_embedding", "Embedding, as Ollama had it", f"{_OLLAMA}/embed"),
}

_SAID = {"model": "string", "stream": "boolean"}
_CONTENTS = {"contents": "array", "systemInstruction": "object", "tools": "array", "generationConfig": "object"}
_MESSAGES = {"messages": "array", "tools": "array"}
FIELDS: Mapping[str, Mapping[str, str]] = {
    "openai_chat": {**_SAID, **_MESSAGES, "max_completion_tokens": "integer"},
    "openai_completions": {**_SAID, "prompt": "string", "max_tokens": "integer"},
    "openai_embeddings": {"model": "string", "input": "string"},
    "openai_responses": {**_SAID, "input": "array", "tools": "array", "previous_response_id": "string"},
    "responses_count": {"model": "string", "input": "array", "tools": "array"},
    "anthropic_messages": {**_SAID, **_MESSAGES, "max_tokens": "integer", "system": "string"},
    "anthropic_count": {"model": "string", **_MESSAGES, "system": "string"},
    "gemini": _CONTENTS,
    "gemini_count": {"contents": "array", "generateContentRequest": "object"},
    "gemini_embedding": {"content": "object"},
    "gemini_embeddings": {"requests": "array"},
    "ollama_chat": {**_SAID, **_MESSAGES, "options": "object"},
    "ollama_generate": {**_SAID, "prompt": "string", "images": "array", "options": "object"},
    "ollama_embeddings": {"model": "string", "input": "array"},
    "ollama_embedding": {"model": "string", "prompt": "string"},
}
"""What requests are mainly made of, for our own OpenAPI: of the kinds of value that a field takes, the usual one."""
