"""What a scripted vendor can be told to do with one call: values, each said once, that compose.

A step is an ``Answer``, a ``Status``, a ``Raw``, a ``Die``, a trouble alone (it befalls a default answer), or a
``Reply``: content, the troubles that befall it and how it is framed. A callable from the call to a step is one too.
``Named`` gives a step the name it is counted under. All of them decode from JSON by their tag, ``step``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from .received import Received

# Where in an answer something happens. A whole answer has three parts (half, the rest, the last byte), so that every
# point means something there too. "first", "mid" and "after_finish" are how in-band errors are usually told apart.
Point = Literal[
    "before_head", "after_head", "after_role", "after_output", "before_finish", "before_done", "after_done",
    "first", "mid", "after_finish",
]  # fmt: skip


class Value(msgspec.Struct, frozen=True, tag_field="step", forbid_unknown_fields=True):
    """The root of everything that can stand in a script."""


# --- what is said


class ToolCall(msgspec.Struct, frozen=True):
    """``arguments`` is the text as sent, or a value to be written as JSON in ASCII; no ``id``: one is made."""

    name: str
    arguments: str | dict[str, Any] = {}
    id: str = ""


class Answer(Value, frozen=True, tag="answer"):
    """A correct answer, whole or streamed as the request asks, unless ``stream`` says otherwise.

    ``text=None`` is the default text where there are no tool calls; ``text=""`` is an empty completion; ``chunks`` are
    the text's deltas one by one. ``extra`` goes into the body and every chunk, ``extra_choice`` into each choice,
    ``extra_message`` into each message or output delta. ``quirks`` are names in ``quirks.QUIRKS``.
    """

    text: str | None = None
    chunks: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    reasoning_field: str = "reasoning_content"
    usage: dict[str, Any] | None = None
    finish: str = ""
    extra: dict[str, Any] = {}
    extra_choice: dict[str, Any] = {}
    extra_message: dict[str, Any] = {}
    n: int = 1
    model: str = ""
    quirks: tuple[str, ...] = ()
    fragment: int = 12
    stream: bool | None = None


class Status(Value, frozen=True, tag="status"):
    """An answer with this status code; no ``body``: what the vendor usually says with it, in its own error shape."""

    code: int
    body: str | dict[str, Any] | None = None
    headers: dict[str, str] = {}
    retry_after: float | str | None = None


class Raw(Value, frozen=True, tag="raw"):
    """These bytes and nothing else, then the end of the connection unless ``close`` is false."""

    data: bytes
    close: bool = True


class Die(Value, frozen=True, tag="die"):
    """Every connection is reset and new ones are refused, for ``seconds`` or, without them, for good."""

    seconds: float | None = None


# --- what befalls it


class Reset(Value, frozen=True, tag="reset"):
    """The connection is reset (RST) at a point; ``outputs`` says after how many output events ``after_output`` is."""

    at: Point = "after_output"
    outputs: int = 1


class Close(Value, frozen=True, tag="close"):
    """The connection ends cleanly (FIN) at a point; ``terminated``: the body's chunked terminator is sent first."""

    at: Point = "after_output"
    outputs: int = 1
    terminated: bool = False


class Silent(Value, frozen=True, tag="silent"):
    """Nothing more comes from a point on, for ``seconds`` or until the client has had enough."""

    at: Point = "after_head"
    outputs: int = 1
    seconds: float | None = None


class Slow(Value, frozen=True, tag="slow"):
    """Time passes: before the head, before the first output, between two outputs (chunks of a whole body too)."""

    head: float = 0.0
    first: float = 0.0
    between: float = 0.0


class InBandError(Value, frozen=True, tag="in_band_error"):
    """An error inside a 200: in the stream at a point, or as the whole body. ``then`` says how the stream goes on."""

    at: Point = "mid"
    outputs: int = 1
    style: Literal["data", "event", "top_level_choice", "x_groq"] = "data"
    then: Literal["end", "done", "go_on"] = "end"
    message: str = "The server had an error while processing your request. Sorry about that!"
    type: str = "server_error"
    code: str | int | None = None


class Malformed(Value, frozen=True, tag="malformed"):
    """A chunk nobody can read, in an otherwise good stream or instead of a whole body.

    ``kind`` is a name in ``wire.MALFORMED``; ``line`` says the bytes oneself.
    """

    at: Point = "after_output"
    outputs: int = 1
    kind: Literal["invalid_json", "truncated_json", "binary", "not_an_object"] = "invalid_json"
    line: bytes | None = None


class NoDone(Value, frozen=True, tag="no_done"):
    """The stream ends well, but without ``[DONE]``."""


class DoubleDone(Value, frozen=True, tag="double_done"):
    """``[DONE]`` comes twice."""


class NoFinish(Value, frozen=True, tag="no_finish"):
    """The body ends properly, but no finish reason was given; ``done``: usage and ``[DONE]`` come all the same."""

    done: bool = False


Trouble = Reset | Close | Silent | Slow | InBandError | Malformed | NoDone | DoubleDone | NoFinish


class Framing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a reply is put on the wire; the defaults are what OpenAI does.

    ``segment`` is bytes per write (heads included), ``one_write`` is everything in one. ``surplus`` is how many bytes
    the content length promises too many. ``connection``: afterwards it is kept; closed as announced; closed
    unannounced; or kept and closed, answerless, when the next request comes.
    """

    line_ending: Literal["\n", "\r\n", "\r", "mixed"] = "\n"
    space: bool = True
    bom: bool = False
    comments_first: int = 0
    comments_between: int = 0
    comment: str = "keep-alive"
    multi_line: bool = False
    ids: bool = False
    retry: int | None = None
    event: str = ""
    segment: int = 0
    one_write: bool = False
    gzip: bool = False
    body: Literal["", "chunked", "length", "close"] = ""
    surplus: int = 0
    interim: tuple[int, ...] = ()
    content_type: str = ""
    headers: dict[str, str] = {}
    connection: Literal["keep", "close", "drop", "stale"] = "keep"


# --- how it is put together


class Reply(Value, frozen=True, tag="reply"):
    """Content, what befalls it, and how it is framed."""

    content: Answer | Status = Answer()
    troubles: tuple[Trouble, ...] = ()
    framing: Framing = Framing()


class Named(Value, frozen=True, tag="named"):
    """A step counted under a name of its own instead of ``called(step)``."""

    name: str
    played: Answer | Status | Raw | Die | Trouble | Reply


StepValue = Answer | Status | Raw | Die | Trouble | Reply | Named
Step = StepValue | Callable[[Received], "Step"]


def play(*parts: Answer | Status | Trouble, **framing: Any) -> Reply:
    """``play(Answer("hi"), Reset("after_output"), gzip=True)``: content first if not the default, then troubles."""
    content: Answer | Status = Answer()
    troubles: list[Trouble] = []
    for part in parts:
        if isinstance(part, Answer | Status):
            content = part
        else:
            troubles.append(part)
    return Reply(content, tuple(troubles), Framing(**framing))


def called(step: StepValue) -> str:
    """The name a step is counted under: ``answer``, ``status:429``, ``reset:after_output``, or its own."""
    match step:
        case Named():
            return step.name
        case Status():
            return f"status:{step.code}"
        case Reply():
            return "+".join(map(called, step.troubles)) or called(step.content)
        case Reset() | Close() | Silent() | InBandError() | Malformed():
            return f"{step.__struct_config__.tag}:{step.at}"
    return str(step.__struct_config__.tag)
