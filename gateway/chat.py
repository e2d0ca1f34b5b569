"""What routing and telemetry may know of a chat without decoding it, in the words of the OTel GenAI conventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Operation = Literal["chat", "embeddings"]


# Names of models are kept, compared and logged: a longer one is refused.
LONGEST_NAME = 256


class Turn(msgspec.Struct, frozen=True):
    """One assistant message and what followed it: did its tool results fail?"""

    failed: bool = False
    evidence: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a plan may depend on. ``size`` is the body's length in bytes."""

    operation: Operation = "chat"
    model: str
    named: bool = True
    """The body names the model itself; where it does not, the path has."""
    stream: bool = False
    wants_usage: bool = False
    """The client asked for ``stream_options.include_usage`` itself."""
    tools: bool = False
    structured: bool = False
    """JSON mode or a JSON schema is asked for."""
    choices: int = 1
    size: int = 0
    session: str | None = None
    """What the body says the conversation is called, for clients that send no header for it."""
    user: str | None = None
    parameters: Mapping[str, Any] = {}
    """How the model is to answer: ``max_tokens``, ``temperature`` and the like, as they were sent."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Token counts as the OTel GenAI conventions count: cached inside input, reasoning inside output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cost: float | None = None
    """US dollars, where the vendor itself says what it charged."""

    def plus(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            input_audio_tokens=self.input_audio_tokens + other.input_audio_tokens,
            output_audio_tokens=self.output_audio_tokens + other.output_audio_tokens,
        )

    def parts(self) -> dict[str, int]:
        """The same tokens as kinds that do not overlap: none is negative, their sum is input and output together.

        A vendor whose details exceed what they are details of is believed in the order read, written, uncached.
        """
        read = min(self.cached_tokens, self.input_tokens)
        written = min(self.cache_write_tokens, self.input_tokens - read)
        reasoning = min(self.reasoning_tokens, self.output_tokens)
        return {
            "input_uncached": self.input_tokens - read - written,
            "cache_read": read,
            "cache_write": written,
            "output": self.output_tokens - reasoning,
            "reasoning": reasoning,
        }


class Cost(msgspec.Struct, frozen=True, gc=False):
    """US dollars, and who says so: the vendor, the configuration, or the price table."""

    usd: float
    source: Literal["vendor", "override", "table"]


class Called(msgspec.Struct, frozen=True, gc=False):
    """A tool the model called. ``arguments`` is content: kept only when that was asked for."""

    id: str
    tool: str
    arguments: str = ""


class Heard(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was heard of an answer while it passed."""

    id: str | None = None
    model: str | None = None
    """The vendor's own name for who answered."""
    finish_reasons: tuple[str, ...] = ()
    calls: tuple[Called, ...] = ()
    chunks: int = 0
    bytes: int = 0
    stalls: int = 0
    """Gaps of more than five seconds between two reads."""
    text: str | None = None
    """Content: kept only when that was asked for."""


class Prompt(msgspec.Struct, frozen=True, gc=False):
    """A managed prompt the request was made with."""

    name: str
    version: int
