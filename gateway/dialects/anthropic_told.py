"""Answers as Anthropic's Messages have them, whole and in events: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/build-with-claude/streaming

Thoughts that another vendor has signed, or nobody, stand in Anthropic's place for them with a mark (``marks``).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import (
    Began,
    Blob,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Counted,
    Finished,
    FinishReason,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
    Uri,
    Usage,
)
from gateway.dialects.marks import marked
from gateway.sse import event as framed

SIGNED = "anthropic"
Fields = dict[str, Any]

_encode = msgspec.json.Encoder().encode

_STOPS: Mapping[FinishReason | None, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def encode_answer(answer: ChatResponse, *, id: str, model: str, created: int, asked: bytes = b"") -> bytes:
    """A whole answer. ``id``, ``model``: for the answer that does not name its own."""
    name = named(answer.id, id)
    # There is no asking for more than one.
    choice = answer.choices[0] if answer.choices else None
    parts = choice.parts if choice else ()
    calls = any(isinstance(part, ToolCall) for part in parts)
    refused = "".join(part.content for part in parts if isinstance(part, Refusal))
    body = _message(name, answer.model or model)
    body["content"] = [block for place, part in enumerate(parts) for block in _blocks(part, name, place)]
    body |= _stop(choice.finish_reason if choice else None, calls, refused)
    body["usage"] = usage_of(answer.usage or Usage())
    return _encode(body)


def named(vendors: str, exchange_id: str) -> str:
    """The vendor's own name of the answer, where it is one of Anthropic's form."""
    return vendors if vendors.startswith("msg_") else f"msg_{exchange_id}"


def call_id(answer_id: str, place: int) -> str:
    """For a call that its vendor gave no id: the same every time, and unlike those of other answers."""
    return "toolu_" + hashlib.sha256(f"{answer_id}.{place}".encode()).hexdigest()[:24]


def usage_of(usage: Usage, cost: float | None = None) -> Fields:
    """Anthropic counts cache reads and writes outside ``input_tokens``; the hub, inside."""
    parts = usage.parts()
    said: Fields = {
        "input_tokens": parts["input_uncached"],
        "cache_creation_input_tokens": parts["cache_write"],
        "cache_read_input_tokens": parts["cache_read"],
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        said["output_tokens_details"] = {"thinking_tokens": parts["reasoning"]}
    if cost is not None:
        said["cost"] = cost
    return said


def _message(name: str, model: str) -> Fields:
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop(reason: FinishReason | None, calls: bool, refused: str) -> Fields:
    """``refused``: the words of a refusal, which stand beside the reason and not among the blocks."""
    word = _STOPS.get(reason, "end_turn")
    if word == "end_turn" and (calls or refused):
        # Clients look for calls by this word, whatever the vendor says of an answer that makes some.
        word = "tool_use" if calls else "refusal"
    details = {"type": "refusal", "category": None, "explanation": refused} if refused else None
    return {"stop_reason": word, "stop_sequence": None, **({"stop_details": details} if details else {})}


# Blocks ---------------------------------------------------------------------------------------------------------------


def _blocks(part: Part, answer_id: str, place: int) -> Sequence[Fields]:
    match part:
        case Text():
            return [{"type": "text", "text": part.content}] if part.content else []
        case Reasoning():
            return thought(part)
        case ToolCall():
            use = {"type": "tool_use", "id": part.id or call_id(answer_id, place), "name": part.name}
            return [{**use, "input": _input(part.arguments)}]
        case Blob(modality="image"):
            source = {"type": "base64", "media_type": part.mime_type, "data": part.content}
            return [{"type": "image", "source": source}]
        case Uri(modality="image"):
            return [{"type": "image", "source": {"type": "url", "url": part.uri}}]
        case Blob() | Uri():
            # No block can hold it.
            return [{"type": "text", "text": f"({part.modality} left out: {part.mime_type or 'of no known type'})"}]
    return []


def thought(part: Reasoning) -> list[Fields]:
    """A thought as Anthropic has it: readable and signed, or neither."""
    if not part.content and not part.signature:
        if part.opaque is None:
            return []
        return [{"type": "redacted_thinking", "data": part.opaque if part.format == SIGNED else marked(part)}]
    return [{"type": "thinking", "thinking": part.content, "signature": _signature(part)}]


def _signature(part: Reasoning) -> str:
    own = part.signature if part.format == SIGNED and part.opaque is None else None
    return own or marked(part)


def _input(arguments: str) -> Any:
    """An object. What is none is kept in one: a client's tool is to see what the model has written."""
    if not arguments.strip():
        return {}
    try:
        read = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return {"arguments": arguments}
    # Numbers keep their digits, keys their order.
    return msgspec.Raw(arguments.encode()) if isinstance(read, dict) else {"arguments": arguments}


# Stream ---------------------------------------------------------------------------------------------------------------

_UNSIGNED = Reasoning()
MOST_LOOKS = 16
"""So many times the arguments of a call are looked at, when another begins, to see whether they are whole."""


class _Block:
    """A content block. What comes for one that waits is held until those before it are whole."""

    __slots__ = ("call", "delta", "held", "key", "looks", "said", "signature", "start")

    def __init__(self, start: Fields, delta: tuple[str, str] | None, call: int | None = None) -> None:
        """``delta``: the type of its deltas and the field they have; ``call``: the place of a tool call."""
        self.start, self.delta, self.call = start, delta, call
        self.held: list[str] = []
        self.said: list[str] = []
        """Of a call's arguments: all that came."""
        self.signature: str | None = None
        self.looks = 0


_TEXT = ("text_delta", "text")
_THOUGHT = ("thinking_delta", "thinking")
_INPUT = ("input_json_delta", "partial_json")


class StreamEncoder:
    """One block after the other. A vendor may say several at once (calls that are made side by side): the first one is
    written as it comes, the others are held back until it is whole."""

    def __init__(self, *, id: str, model: str) -> None:
        self._exchange, self._id, self._model = id, named("", id), model
        self.place = 0
        self._usage = Usage()
        self._began_writing = False
        self._blocks: deque[_Block] = deque()
        """Those that are not yet written whole; the first of them is being written."""
        self._calls: dict[int, _Block] = {}
        self._index = -1
        """Of the block that is being written."""
        self._head = b""
        """Of its deltas."""
        self._reason: FinishReason | None = None
        self._refused: list[str] = []
        self._unsealed = False
        """Thoughts came that have not been sealed."""

    def feed(self, event: ChatEvent) -> bytes:
        write = _WRITTEN.get(type(event))
        # There is no asking for more than one answer.
        return write(self, event) if write and not getattr(event, "choice", 0) else b""

    def end(self, usage: Usage | None, cost: float | None) -> bytes:
        out = [self._opening(), self._all_written()]
        stop = _stop(self._reason, bool(self._calls), "".join(self._refused))
        told = usage_of(usage or self._usage, cost)
        out.append(self._event("message_delta", {"type": "message_delta", "delta": stop, "usage": told}))
        out.append(self._event("message_stop", {"type": "message_stop"}))
        return b"".join(out)

    def identity(self) -> dict[str, Any]:
        """Nothing: only the first event says whose they are."""
        return {}

    # Events in, blocks kept.

    def _began(self, event: Began) -> bytes:
        if not self._began_writing:
            self._id, self._model = named(event.id, self._exchange), event.model or self._model
        return b""

    def _counted(self, event: Counted) -> bytes:
        self._usage = event.usage
        return b""

    def _text(self, event: TextDelta) -> bytes:
        return self._more(_TEXT, {"type": "text", "text": ""}, event.text)

    def _thought(self, event: ReasoningDelta) -> bytes:
        self._unsealed = True
        return self._more(_THOUGHT, {"type": "thinking", "thinking": "", "signature": ""}, event.text)

    def _sealed(self, event: ReasoningSealed) -> bytes:
        """1. Its text has just come. 2. It came, and then something else: the seal stands alone. 3. It did not come."""
        part, last = event.part, self._last
        came, self._unsealed = self._unsealed, False
        if last is not None and last.delta is _THOUGHT and last.signature is None:
            last.signature = _signature(part)
            return self._moved_on()
        if came:
            part = msgspec.structs.replace(part, content="")
        if came and not (part.signature or part.opaque):
            return b""
        return b"".join([self._added(_sealed_block(block)) for block in thought(part)])

    def _refusal(self, event: RefusalDelta) -> bytes:
        self._refused.append(event.text)
        return self._opening()

    def _call(self, event: CallBegan) -> bytes:
        id = event.id or call_id(self._id, event.place)
        block = _Block({"type": "tool_use", "id": id, "name": event.name, "input": {}}, _INPUT, event.place)
        self._calls[event.place] = block
        return self._added(block)

    def _arguments(self, event: CallDelta) -> bytes:
        block = self._calls.get(event.place)
        if block is None or not event.arguments:
            return b""
        block.said.append(event.arguments)
        return self._delta(block, event.arguments)

    def _finish(self, event: Finished) -> bytes:
        self._reason = self._reason or event.reason
        return self._opening() + self._all_written()

    # Blocks kept, bytes out.

    @property
    def _last(self) -> _Block | None:
        return self._blocks[-1] if self._blocks else None

    def _more(self, delta: tuple[str, str], start: Fields, text: str) -> bytes:
        """More of the block that is last, or a block of its own."""
        last = self._last
        if not text:
            return b""
        if last is not None and last.delta is delta and last.signature is None:
            return self._delta(last, text)
        block = _Block(start, delta)
        block.held.append(text)
        return self._added(block)

    def _delta(self, block: _Block, text: str) -> bytes:
        if self._blocks and block is self._blocks[0]:
            self.place += 1
            return b"".join((self._head, _encode(text), b"}}\n\n"))
        # A call that is written already was whole: what else is said of it would break it.
        block.held.append(text)
        return self._moved_on()

    def _added(self, block: _Block) -> bytes:
        self._blocks.append(block)
        if len(self._blocks) == 1:
            return self._opening() + self._started(block)
        return self._moved_on()

    def _moved_on(self) -> bytes:
        """Ends the blocks before the last, and those that are sealed, as far as they are whole."""
        out = []
        while self._blocks:
            first = self._blocks[0]
            if first.signature is None and not (len(self._blocks) > 1 and _is_whole(first)):
                break
            out.append(self._stopped(first))
            if self._blocks:
                out.append(self._started(self._blocks[0]))
        return b"".join(out)

    def _all_written(self) -> bytes:
        out = []
        while self._blocks:
            out.append(self._stopped(self._blocks[0]))
            if self._blocks:
                out.append(self._started(self._blocks[0]))
        return b"".join(out)

    def _opening(self) -> bytes:
        if self._began_writing:
            return b""
        self._began_writing = True
        message = _message(self._id, self._model)
        message["usage"] = usage_of(msgspec.structs.replace(self._usage, output_tokens=0, reasoning_tokens=0))
        return self._event("message_start", {"type": "message_start", "message": message})

    def _started(self, block: _Block) -> bytes:
        self._index += 1
        out = self._event(
            "content_block_start",
            {"type": "content_block_start", "index": self._index, "content_block": block.start},
        )
        if block.delta is None:
            return out
        kind, field = block.delta
        head = f'{{"type":"content_block_delta","index":{self._index},"delta":{{"type":"{kind}","{field}":'
        self._head = b"event: content_block_delta\ndata: " + head.encode()
        held, block.held = "".join(block.held), []
        return out + (self._delta(block, held) if held else b"")

    def _stopped(self, block: _Block) -> bytes:
        out = b""
        if block.delta is _INPUT and not block.said:
            # A call without arguments is one with none, and clients parse them.
            out = self._delta(block, "{}")
        elif block.delta is _THOUGHT:
            delta = {"type": "signature_delta", "signature": block.signature or marked(_UNSIGNED)}
            out = self._event(
                "content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta}
            )
        self._blocks.popleft()
        return out + self._event("content_block_stop", {"type": "content_block_stop", "index": self._index})

    def _event(self, name: str, said: Fields) -> bytes:
        self.place += 1
        return framed(_encode(said), name.encode())


def _sealed_block(block: Fields) -> _Block:
    """One that comes all at once."""
    if block["type"] != "thinking":
        return _Block(block, None)
    made = _Block({**block, "thinking": "", "signature": ""}, _THOUGHT)
    made.held, made.signature = [block["thinking"]], block["signature"]
    return made


def _is_whole(block: _Block) -> bool:
    """Nothing more will come for it, now that another has begun. Calls may be made side by side."""
    if block.call is None:
        return True
    if not block.said or not block.said[-1].rstrip().endswith("}") or block.looks >= MOST_LOOKS:
        return False
    block.looks += 1
    try:
        msgspec.json.decode("".join(block.said))
    except (ValueError, RecursionError):
        return False
    return True


_WRITTEN: Mapping[type, Callable[[StreamEncoder, Any], bytes]] = {
    Began: StreamEncoder._began,
    TextDelta: StreamEncoder._text,
    ReasoningDelta: StreamEncoder._thought,
    ReasoningSealed: StreamEncoder._sealed,
    RefusalDelta: StreamEncoder._refusal,
    CallBegan: StreamEncoder._call,
    CallDelta: StreamEncoder._arguments,
    Finished: StreamEncoder._finish,
    Counted: StreamEncoder._counted,
}


def stream_encoder(*, id: str, model: str, created: int, usage: bool, asked: bytes = b"") -> StreamEncoder:
    """Usage is told whether it was asked for or not."""
    return StreamEncoder(id=id, model=model)
