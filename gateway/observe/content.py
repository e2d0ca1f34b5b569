"""What telemetry may carry of prompts and answers: messages in OpenTelemetry's shape, cut, and without secrets.

Read, redacted and written when they are sent, in the thread that sends them; until then they wait as they came, and so
much of them waits and no more.

https://github.com/open-telemetry/semantic-conventions-genai (gen_ai.input.messages, gen_ai.output.messages)
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, TypeVar

import msgspec

from gateway.chat import Blob, Heard, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolCallResponse, Uri
from gateway.dialects import INGRESS, openai_chat, openai_embeddings
from gateway.errors import CallerError
from gateway.observe.vocabulary import word

Level = Literal["off", "truncated", "full"]

LONGEST = 200
"""Characters of each text that ``truncated`` leaves, and of each name that stands beside a text."""
MOST_TEXT = 128 * 1024
"""Bytes of text in one attribute."""
MOST_MESSAGES = 100
"""Messages that ``truncated`` leaves: the first few and the last."""
MOST_WAITING = 64 * 1024 * 1024
"""Bytes of conversations that may wait to be sent."""

FIRST = 4
# Parts of one message.
_MOST_PARTS = 64
# Of the address of an image: what is longer holds the image itself.
_LONGEST_ADDRESS = 2000
# So many characters after the cut are looked at: a secret which the cut would halve is still known for what it is.
_LOOKED_AT = 800

REDACTED = "[redacted]"

# No pattern starts inside a word or has two open ends: a text of any length is read once per pattern.
SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.S),
        REDACTED,
    ),
    (re.compile(r"(data:[\w.+-]{1,64}/[\w.+-]{1,64}(?:;[\w=.+-]{1,64}){0,8},)[\w+/=%-]+"), r"\1[cut]"),
    (re.compile(r"(://)[^\s/@:]{1,128}:[^\s/@]{1,256}@"), rf"\1{REDACTED}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.I), rf"\1 {REDACTED}"),
    # OpenAI, Anthropic, OpenRouter, Stripe, Langfuse; then Groq, xAI, Hugging Face, Perplexity, NVIDIA, Replicate, …
    (re.compile(r"(?<![\w-])(?:sk|pk|rk)[-_][\w-]{16,}"), REDACTED),
    (re.compile(r"(?<![\w-])(?:gsk_|xai-|hf_|pplx-|nvapi-|r8_|glpat-|npm_|pypi-)[\w-]{16,}"), REDACTED),
    (re.compile(r"(?<![\w-])(?:gh[pousr]_\w{20,}|github_pat_\w{20,})"), REDACTED),
    (re.compile(r"(?<!\w)(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?!\w)"), REDACTED),
    (re.compile(r"(?<![\w-])(?:AIza[\w-]{30,}|ya29\.[\w-]{20,})"), REDACTED),
    (re.compile(r"(?<![\w-])xox[abeprs]-[\w-]{10,}"), REDACTED),
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), REDACTED),
    (
        re.compile(
            r"(?<![\w-])([\w-]{0,40}?(?:api[_-]?key|secret|passwd|password|access[_-]?key|token)[\w-]{0,20}"
            r"\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?)[^\s\"'\\,;&]{6,}",
            re.I,
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"), "[e-mail]"),
)


def redacted(text: str) -> str:
    """Without what looks like a key, a token, a password, a private key, an address or a file in a URL."""
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


def shown(text: str, longest: int = LONGEST) -> str:
    """As much of a text as may be told, in characters."""
    if len(text) <= longest:
        return redacted(text)
    return redacted(text[: longest + _LOOKED_AT])[:longest] + "…"


class Room:
    """How many bytes of conversations may still come to wait. ``take`` is for one thread, ``give_back`` for any."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._left = most
        # No lock: it is given back by what the garbage collector throws away too, in the middle of anything.
        self._given_back: deque[int] = deque()

    def take(self, size: int) -> bool:
        while self._given_back:
            self._left += self._given_back.popleft()
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._given_back.append(size)


class Messages:
    """The value of an attribute that is not worked out yet. Takes no more room than what it holds, as long as it lives.

    ``write`` makes the JSON text, or None where there is nothing to tell; it holds ``size`` bytes, for which there is
    room, and is let go of once it has been called. ``lost(sink, reason, count)`` hears of a defect of ours.
    """

    __slots__ = ("_lock", "_lost", "_room", "_size", "_write", "_written")

    def __init__(
        self, write: Callable[[], bytes | None], size: int, room: Room, lost: Callable[[str, str, int], None]
    ) -> None:
        self._write: Callable[[], bytes | None] | None = write
        self._written: bytes | None = None
        self._size, self._room, self._lost = size, room, lost
        self._lock = threading.Lock()

    def written(self) -> bytes | None:
        """Works it out the first time, whichever thread asks; a second one waits for that."""
        with self._lock:
            if self._write is not None:
                try:
                    self._written = self._write()
                except Exception:  # what is sent along with it is not to suffer
                    self._lost("content", "crashed", 1)
                self._write = None
                size, self._size = self._size, len(self._written or b"")
                self._room.give_back(size - self._size)
            return self._written

    def __str__(self) -> str:
        return (self.written() or b"").decode()

    def __del__(self) -> None:
        self._room.give_back(self._size)


def size_of(heard: Heard) -> int:
    """How much of an answer was kept, about; 0: nothing."""
    return len(heard.text or "") + sum(len(call.id) + len(call.tool) + len(call.arguments) for call in heard.calls)


_encoded = msgspec.json.Encoder().encode


def input_messages(body: bytes, level: Level, dialect: str = openai_chat.NAME) -> bytes | None:
    """The messages of a request in a dialect as JSON text; None for one that holds none. Never called with ``off``."""
    if dialect not in _READ_AS_THEY_CAME:
        return _of_hub(body, level, dialect)
    try:
        asked = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict):
        return None
    messages = asked.get("messages")
    if not isinstance(messages, list):
        if "input" not in asked:
            return None
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        messages = [{"role": "user", "content": text} for text in texts if isinstance(text, str)]
    return _conversation([each for each in messages if isinstance(each, dict)], _message, level, len(body))


# Most requests are these, and OpenTelemetry's shape is nearly theirs. Others are read by way of the hub.
_READ_AS_THEY_CAME = (openai_chat.NAME, openai_embeddings.NAME)


def _of_hub(body: bytes, level: Level, dialect: str) -> bytes | None:
    """None also for what asks for counts or vectors, and for a request that only the vendor itself could read."""
    ingress = INGRESS.get(dialect)
    if ingress is None:
        return None
    try:
        messages = ingress.decode_request(body).messages
    except CallerError:
        return None
    return _conversation(messages, _hub_message, level, len(body))


def output_messages(heard: Heard, level: Level) -> bytes | None:
    """The answer as JSON text; None where nothing was kept of it. Never called with ``off``."""
    share = _Share(level, MOST_TEXT)
    parts = _few(_spoken(heard, share.show))
    if not parts:
        return None
    message: dict[str, Any] = {"role": "assistant", "parts": parts}
    if heard.finish_reasons:
        message["finish_reason"] = word(heard.finish_reasons[0])
    return _encoded([message])


Show = Callable[[str], str]
M = TypeVar("M")
Write = Callable[[M, Show], dict[str, Any]]
"""A message in OpenTelemetry's shape."""


class _Share:
    """How much may still be told. ``left``: bytes."""

    def __init__(self, level: Level, left: int) -> None:
        self._longest, self.left = LONGEST if level == "truncated" else MOST_TEXT, left

    def show(self, text: str) -> str:
        left = max(0, self.left)
        longest = min(self._longest, left)
        said = shown(text, longest)
        encoded = said.encode("utf-8", "replace")
        if len(encoded) > left:
            said = encoded[:left].decode("utf-8", "ignore") + "…"
        # What was looked at counts, little as may be left of it: it is the looking that costs.
        self.left -= max(min(len(encoded), left), min(len(text), longest))
        return said


def _conversation(messages: Sequence[M], write: Write[M], level: Level, size: int) -> bytes:
    """The first few messages, then as many of the last as there is room for, and between them how many are not told."""
    # The first are what the rest is about, but what was said last is what was answered.
    beginning = MOST_TEXT if size <= MOST_TEXT else MOST_TEXT // 2
    share = _Share(level, beginning)
    first = [_packed(write, message, share) for message in messages[:FIRST]]
    share.left = MOST_TEXT - (beginning - max(0, share.left))
    most = MOST_MESSAGES - FIRST if level == "truncated" else len(messages)
    last: list[bytes] = []
    for message in reversed(messages[FIRST:]):
        if share.left <= 0 or len(last) == most:
            break
        last.append(_packed(write, message, share))
    left_out = len(messages) - len(first) - len(last)
    between = [_encoded({"role": "gateway", "parts": [_remark(f"{left_out} messages")]})] if left_out else []
    return b"[" + b",".join((*first, *between, *reversed(last))) + b"]"


def _packed(write: Write[M], message: M, share: _Share) -> bytes:
    before = share.left
    packed = _encoded(write(message, share.show))
    # What is around the texts counts too.
    share.left = min(share.left, before - len(packed))
    return packed


def _message(message: dict[str, Any], show: Show) -> dict[str, Any]:
    role = _name(message.get("role")) or "user"
    if role == "tool":
        said = [part.get("content", "") for part in _few(_parts(message.get("content"), show))]
        parts = [{"type": "tool_call_response", "id": _name(message.get("tool_call_id")), "response": "\n".join(said)}]
    else:
        parts = _few(_all_parts(message, show))
    return {"role": role, "parts": parts}


def _all_parts(message: dict[str, Any], show: Show) -> Iterator[dict[str, Any]]:
    yield from _reasoning(message, show)
    yield from _parts(message.get("content"), show)
    yield from _calls(message, show)


def _few(parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    few = list(islice(parts, _MOST_PARTS + 1))
    if len(few) > _MOST_PARTS:
        few[-1] = _remark("more parts")
    return few


def _remark(what: str) -> dict[str, Any]:
    return {"type": "text", "content": f"[{what} left out]"}


def _name(value: Any) -> str | None:
    return value[:LONGEST] if isinstance(value, str) else None


def _spoken(heard: Heard, show: Show) -> Iterator[dict[str, Any]]:
    if heard.text:
        yield _text(heard.text, show)
    for call in heard.calls:
        yield _call(call.id, call.tool, call.arguments, show)


def _reasoning(message: dict[str, Any], show: Show) -> Iterator[dict[str, Any]]:
    thought = message.get("reasoning_content")
    if isinstance(thought, str) and thought:
        yield {"type": "reasoning", "content": show(thought)}


def _parts(content: Any, show: Show) -> Iterator[dict[str, Any]]:
    if isinstance(content, str):
        yield _text(content, show)
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            yield _part(part, show)


def _part(part: dict[str, Any], show: Show) -> dict[str, Any]:
    match part:
        case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            return _text(text, show)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return _address("image", url, show)
    # Sound, files and what is yet to come: that it was there, and nothing of what it is.
    return {"type": str(part.get("type", "unknown"))[:LONGEST]}


def _calls(message: dict[str, Any], show: Show) -> Iterator[dict[str, Any]]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        match call:
            case {"function": {"name": str(name), "arguments": str(arguments)}}:
                yield _call(call.get("id"), name, arguments, show)


def _call(id: Any, name: str, arguments: str, show: Show) -> dict[str, Any]:
    return {"type": "tool_call", "id": _name(id), "name": _name(name), "arguments": show(arguments)}


def _text(text: str, show: Show) -> dict[str, Any]:
    return {"type": "text", "content": show(text)}


def _address(modality: str, uri: str, show: Show) -> dict[str, Any]:
    return {"type": "uri", "modality": modality, "uri": show(uri[:_LONGEST_ADDRESS].partition("?")[0])}


# Of the hub -----------------------------------------------------------------------------------------------------------


def _hub_message(message: Message, show: Show) -> dict[str, Any]:
    return {"role": message.role, "parts": _few(_hub_part(part, show) for part in message.parts)}


def _hub_part(part: Part, show: Show) -> dict[str, Any]:
    match part:
        case Text(content=text) | Refusal(content=text):
            return _text(text, show)
        case Reasoning(content=thought):
            return {"type": "reasoning", "content": show(thought)}
        case ToolCall():
            return _call(part.id, part.name, part.arguments, show)
        case ToolCallResponse():
            said = [each["content"] for each in _few(_hub_part(each, show) for each in part.parts) if "content" in each]
            return {"type": "tool_call_response", "id": _name(part.id), "response": "\n".join(said)}
        case Uri():
            return _address(part.modality, part.uri, show)
        case Blob():
            return {"type": "blob", "modality": part.modality, "mime_type": part.mime_type[:LONGEST]}
    return {"type": "file", "modality": part.modality}
