"""Counting the tokens of a request: by a vendor that counts, in its words, or by an estimate.

Sources: https://platform.claude.com/docs/en/api/messages-count-tokens, https://ai.google.dev/api/tokens,
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html,
https://platform.openai.com/docs/api-reference/responses/input-tokens
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from gateway.chat import ChatRequest
from gateway.dialects import anthropic_count, gemini_count, responses_count
from gateway.dialects.count_words import read_count
from gateway.dialects.estimating import estimate as estimate
from gateway.errors import Fault

Body = dict[str, Any]


class Counts(NamedTuple):
    """How a vendor is asked that is spoken to in one dialect, and where its answer says the number."""

    asked: Callable[[Body], Body]
    """A request for an answer, as the dialect writes it -> one for its number of tokens. What is left out has none."""
    field: str

    def read(self, body: bytes, now: float) -> int | Fault:
        return read_count(body, self.field, now)


def _only(*names: str) -> Callable[[Body], Body]:
    return lambda body: {name: body[name] for name in names if name in body}


def _google(body: Body) -> Body:
    """The whole request, within: beside it only the contents could be said. Its model is told again."""
    model = body.get("model", "")
    return {"generateContentRequest": {**body, "model": model if "/" in model else f"models/{model}"}}


def _bedrock(body: Body) -> Body:
    return {"input": {"converse": _only("messages", "system", "toolConfig", "additionalModelRequestFields")(body)}}


COUNTS: Mapping[str, Counts] = {
    "anthropic_messages": Counts(
        _only(
            *("model", "messages", "system", "tools", "tool_choice", "thinking"),
            *("output_config", "cache_control", "context_management", "mcp_servers"),
        ),
        "input_tokens",
    ),
    "gemini": Counts(_google, "totalTokens"),
    "vertex": Counts(_only("contents", "systemInstruction", "tools", "generationConfig"), "totalTokens"),
    "bedrock_converse": Counts(_bedrock, "inputTokens"),
    "openai_responses": Counts(
        _only(
            *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls"),
            *("reasoning", "text", "truncation", "conversation", "previous_response_id"),
        ),
        "input_tokens",
    ),
}
"""By the vendor's dialect, or by ``Vendor.counts`` where one is asked in another way than its dialect's own vendor."""


class Counter(Protocol):
    """The half of a dialect of counts that goes by way of the hub."""

    NAME: str
    FORMAT: str

    def within(self, body: bytes, /) -> bytes:
        """The request whose tokens are to be counted."""

    def decode_request(self, body: bytes, /) -> ChatRequest:
        """That request. Raises ``CallerError`` (400)."""

    def count_body(self, tokens: int, /) -> bytes: ...


COUNTERS: Mapping[str, Counter] = {each.NAME: each for each in (anthropic_count, gemini_count, responses_count)}


def estimated_answer(format: str, body: bytes) -> bytes:
    """What the gateway itself thinks, in the client's words; ``format``: the wire format of the request.

    Raises ``CallerError`` (400) for one that cannot be read.
    """
    counter = next(each for each in COUNTERS.values() if format == each.FORMAT)
    return counter.count_body(estimate(counter.decode_request(body)))
