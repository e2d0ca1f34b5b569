"""What routing and telemetry may know of a chat without decoding it, in the words of the OTel GenAI conventions."""

from __future__ import annotations

from typing import Literal

import msgspec

Operation = Literal["chat", "embeddings"]


# Names of models are kept, compared and logged: a longer one is refused.
LONGEST_NAME = 256


class Turn(msgspec.Struct, frozen=True):
    """One assistant message and what followed it: did its tool results fail?"""

    failed: bool = False
    evidence: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
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


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts as the OTel GenAI conventions count: cached inside input, reasoning inside output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
