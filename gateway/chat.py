"""The hub: a chat in nobody's dialect, read from all and written to all, in the words of the OTel GenAI conventions.

First what routing and telemetry may know of a chat without decoding it, then the chat itself: requests, answers, and
the events of an answer that is streamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gateway.errors import Fault

Operation = Literal["chat", "embeddings", "completions", "count_tokens"]
Headers = tuple[tuple[str, str], ...]


# Names of models are kept, compared and logged: a longer one is refused.
LONGEST_NAME = 256


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

    def after(self, earlier: Usage | None) -> Usage:
        """This, and what was told earlier and is not told again: some vendors count input first and output last."""
        if earlier is None:
            return self
        return Usage(
            input_tokens=self.input_tokens or earlier.input_tokens,
            output_tokens=self.output_tokens or earlier.output_tokens,
            cached_tokens=self.cached_tokens or earlier.cached_tokens,
            cache_write_tokens=self.cache_write_tokens or earlier.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens or earlier.reasoning_tokens,
            input_audio_tokens=self.input_audio_tokens or earlier.input_audio_tokens,
            output_audio_tokens=self.output_audio_tokens or earlier.output_audio_tokens,
            cost=earlier.cost if self.cost is None else self.cost,
        )

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
        input, read, written = self.input_tokens, self.cached_tokens, self.cache_write_tokens
        output, reasoning = self.output_tokens, self.reasoning_tokens
        if read + written > input or read > input or reasoning > output:
            read = min(read, input)
            written, reasoning = min(written, input - read), min(reasoning, output)
        return {
            "input_uncached": input - read - written,
            "cache_read": read,
            "cache_write": written,
            "output": output - reasoning,
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


RepairKind = Literal[
    "trailing_comma",
    "fenced",
    "quotes",
    "literals",
    "comments",
    "brackets",
    "control_characters",
    "escapes",
    "double_encoded",
    "concatenated",
    "empty",
    "types",
    "name",
    "read",
    "interpreted",
    "invalid",
    "unchecked",
]
"""What was done to a tool call. ``read``: out of text; ``interpreted``: so by another model; ``invalid``: nothing, it
does not fit the tool and nobody knows what was meant; ``unchecked``: nothing, it is too large to be looked at."""


class Repaired(msgspec.Struct, frozen=True, gc=False):
    """A tool call that was not handed on as the model wrote it, or is not as its tool wants it."""

    tool: str
    kinds: tuple[RepairKind, ...]
    flaws: tuple[str, ...] = ()
    """What is wrong with it, by the names in the tool's schema; never the model's words."""


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


# The parts of a message -----------------------------------------------------------------------------------------------

Modality = Literal["image", "audio", "video", "document"]


class Cache(msgspec.Struct, frozen=True, gc=False):
    """A marker: what comes before it, its own part included, may be kept by the vendor. ``ttl``: ``5m``, ``1h``."""

    ttl: str | None = None


class Text(msgspec.Struct, frozen=True):
    content: str
    cache: Cache | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """What a model thought. ``signature`` and ``opaque`` are the vendor's own and go back to its kind alone, unchanged.

    ``format`` is that kind: ``anthropic``, ``gemini`` or ``openai``; None: nobody has signed it.
    """

    content: str = ""
    signature: str | None = None
    opaque: str | None = None
    """Thoughts that cannot be read: redacted or encrypted."""
    format: str | None = None


class Refusal(msgspec.Struct, frozen=True):
    content: str


class ToolCall(msgspec.Struct, frozen=True):
    """``arguments`` is JSON text as the model wrote it. ``signature``: of the thought that led to it (Gemini)."""

    id: str
    name: str
    arguments: str = "{}"
    signature: str | None = None
    cache: Cache | None = None


class Blob(msgspec.Struct, frozen=True):
    """Bytes within the message, in base64."""

    modality: Modality
    mime_type: str
    content: str
    name: str | None = None
    detail: str | None = None
    """How closely an image is to be looked at: ``low``, ``high``, ``auto``."""
    cache: Cache | None = None


class Uri(msgspec.Struct, frozen=True):
    """Something that lies elsewhere: ``https:``, ``gs:``, ``s3:``."""

    modality: Modality
    uri: str
    mime_type: str | None = None
    name: str | None = None
    detail: str | None = None
    cache: Cache | None = None


class File(msgspec.Struct, frozen=True):
    """A file that was given to the vendor before."""

    modality: Modality
    file_id: str
    cache: Cache | None = None


class ToolCallResponse(msgspec.Struct, frozen=True):
    """What a tool answered. ``name`` is the tool's, known from the call it answers; empty where there is none."""

    id: str
    name: str
    parts: tuple[Text | Blob | Uri | File, ...]
    failed: bool = False
    cache: Cache | None = None


Part = Text | Reasoning | Refusal | ToolCall | ToolCallResponse | Blob | Uri | File
Role = Literal["system", "developer", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True):
    """``tool`` messages hold one ``ToolCallResponse`` each. ``name`` tells participants of one role apart."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


# Request --------------------------------------------------------------------------------------------------------------


class Tool(msgspec.Struct, frozen=True):
    """A function. ``parameters`` is a JSON schema; None: it takes none."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    cache: Cache | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """``named``: just this tool, or one of these. ``auto`` and ``required`` with names: only these are on offer."""

    mode: Literal["auto", "none", "required", "named"]
    names: tuple[str, ...] = ()


class Output(msgspec.Struct, frozen=True):
    """JSON is to come out; ``schema`` says which (None: any object)."""

    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Thinking(msgspec.Struct, frozen=True):
    """How much is to be thought: an ``effort`` (none minimal low medium high xhigh max) or a ``budget`` of tokens.

    ``adaptive``: the client asked that the model decide for itself, as Anthropic words it.
    """

    effort: str | None = None
    budget: int | None = None
    adaptive: bool = False


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. None, False and empty: the client did not say."""

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output: Output | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    choices: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None
    thinking: Thinking | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    cache_automatically: bool = False
    """The provider is set to ``cache: auto``: a dialect with cache markers sets them where none is set."""
    extra: dict[str, Any] = {}
    """Fields the hub has no word for, as they came. A dialect takes those it knows and drops the others by name."""

    def said(self, *names: str) -> list[str]:
        """Which of these the client has said anything by: for what a target cannot be told. ``n`` is ``choices``."""
        return [name for name in names if self._has_said(name)]

    def _has_said(self, name: str) -> bool:
        """A penalty of 0 is none; a seed of 0 is one."""
        if name == "n":
            return self.choices > 1
        value = getattr(self, name)
        return value is not None if name in ("seed", "top_logprobs") else bool(value)


class Encoded(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a vendor's words. ``body`` is still to be written as JSON."""

    body: dict[str, Any]
    dropped: tuple[str, ...] = ()
    """What the target cannot be told, by the client's names: ``seed``, ``messages[2].content[0]``."""
    headers: Headers = ()
    tool_names: Mapping[str, str] = {}
    """The vendor's name of a tool -> the client's, where they differ."""


# Answer ---------------------------------------------------------------------------------------------------------------

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]


class Choice(msgspec.Struct, frozen=True):
    parts: tuple[Part, ...]
    finish_reason: FinishReason | None
    logprobs: Any = None


class ChatResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. ``id`` and ``model`` are the vendor's own; empty where it says none."""

    id: str = ""
    model: str = ""
    choices: tuple[Choice, ...]
    usage: Usage | None = None


class Began(msgspec.Struct, frozen=True, gc=False):
    """The first event of a stream, where the vendor names its answer."""

    id: str
    model: str


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    text: str
    choice: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    text: str
    choice: int = 0


class ReasoningSealed(msgspec.Struct, frozen=True):
    """A run of reasoning is over: its signature, or thoughts that cannot be read. Its text came in deltas before."""

    part: Reasoning
    """Whole, text included."""
    choice: int = 0


class RefusalDelta(msgspec.Struct, frozen=True, gc=False):
    text: str
    choice: int = 0


class CallBegan(msgspec.Struct, frozen=True, gc=False):
    """A tool call. ``place`` numbers the calls of one choice from 0, in the order they begin."""

    place: int
    id: str
    name: str
    signature: str | None = None
    choice: int = 0


class CallDelta(msgspec.Struct, frozen=True, gc=False):
    """The next piece of a call's arguments, which are JSON text when put together."""

    place: int
    arguments: str
    choice: int = 0


class Finished(msgspec.Struct, frozen=True, gc=False):
    reason: FinishReason
    choice: int = 0


class Counted(msgspec.Struct, frozen=True):
    """All that was counted so far; a later one replaces it."""

    usage: Usage


class Failed(msgspec.Struct, frozen=True):
    """The vendor reports an error inside the stream."""

    fault: Fault


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The vendor's own sign that nothing follows."""


class Damaged(msgspec.Struct, frozen=True, gc=False):
    """An event that cannot be read: left out, and counted."""


ChatEvent = (
    Began
    | TextDelta
    | ReasoningDelta
    | ReasoningSealed
    | RefusalDelta
    | CallBegan
    | CallDelta
    | Finished
    | Counted
    | Failed
    | Ended
    | Damaged
)


class Kept(msgspec.Struct, frozen=True):
    """What a model thought before it called a tool, for clients that do not send it back."""

    thoughts: tuple[Reasoning, ...] = ()
    signature: str | None = None
    """Of the call itself (Gemini)."""
