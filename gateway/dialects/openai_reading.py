"""OpenAI-shaped answers, whole and streamed, read into the hub, whichever vendor's they are.

https://platform.openai.com/docs/api-reference/chat/object and /streaming. Whether it is an answer, an error or the end,
and what it counts, is told by ``openai_seen``, as for answers that are passed on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.chat import (
    Began,
    Blob,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Choice,
    Counted,
    Damaged,
    Ended,
    Failed,
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
)
from gateway.dialects.faults import garbled
from gateway.dialects.framed import FramedDecoder
from gateway.dialects.openai_answer import call_id
from gateway.dialects.openai_parts import read_part, signature_of, thoughts_of
from gateway.dialects.openai_seen import (
    ChunkChoice,
    WholeChoice,
    answer_decoder,
    glimpse,
    object_in,
    read_whole,
    reason_of,
    short,
)
from gateway.dialects.openai_skim import plain_chunk
from gateway.errors import CallerError, Fault
from gateway.sse import Frame

# Whole answers --------------------------------------------------------------------------------------------------------


def decode_answer(body: bytes, now: float) -> ChatResponse | Fault:
    """Parts of a kind nobody knows, and annotations, are passed over."""
    seen = read_whole(body, now)
    if isinstance(seen, Fault):
        return seen
    choices = answer_decoder.decode(body).choices
    if not choices:
        return garbled("the answer has no choices", body)
    name = seen.id or ""
    return ChatResponse(
        id=name,
        model=seen.model or "",
        choices=tuple(_choice(each, name, place) for place, each in enumerate(choices)),
        usage=seen.usage,
    )


def _choice(said: WholeChoice, answer_id: str, place: int) -> Choice:
    message = object_in(said.message)
    thoughts, signatures = thoughts_of(message)
    content = [*_content(message.get("content")), *_beside(message)]
    if thoughts:
        content = [part for part in content if not isinstance(part, Reasoning)]
    calls: list[Part] = [
        _call(each, signatures, call_id(answer_id, place, at) if answer_id else "")
        for at, each in enumerate(_calls(message))
    ]
    logprobs = object_in(said.logprobs) or None
    return Choice((*thoughts, *content, *calls), reason_of(said.finish_reason, bool(calls)), logprobs)


def _content(said: Any) -> list[Part]:
    """A text, or a list of parts: Mistral's thoughts, Claude's at Databricks."""
    if isinstance(said, str):
        return [Text(said)] if said else []
    pieces = said if isinstance(said, list) else [said]
    return [part for each in pieces if (part := _part(each)) is not None]


def _part(said: Any) -> Part | None:
    if not isinstance(said, dict):
        return None
    try:
        part = read_part(said, "content")
    except CallerError:
        return None
    if isinstance(part, Text | Refusal):
        return part if part.content else None
    if isinstance(part, Reasoning):
        return part if part.content or part.signature or part.opaque else None
    if isinstance(part, Blob | Uri) and part.modality == "image":
        # No event of a stream holds an image; a text holds a link.
        url = part.uri if isinstance(part, Uri) else f"data:{part.mime_type};base64,{part.content}"
        return Text(f"![image]({url})")
    return None


def _beside(said: Mapping[str, Any]) -> list[Part]:
    """What is said beside the content, of a message or a delta: a refusal, images (OpenRouter), the words of sound."""
    refusal, images, sound = said.get("refusal"), said.get("images"), said.get("audio")
    parts: list[Part] = [Refusal(refusal)] if isinstance(refusal, str) and refusal else []
    if isinstance(images, list):
        parts += _content(images)
    if isinstance(sound, dict):
        parts += _content(sound.get("transcript"))
        if isinstance(data := sound.get("data"), str) and data:
            parts.append(Blob("audio", "audio/mpeg", data))
    return parts


def _calls(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message, or the pieces of them in a delta."""
    calls = said.get("tool_calls")
    found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if not found and isinstance(function := said.get("function_call"), dict) and any(function.values()):
        return [{"index": 0, "function": function}]
    return found


def _call(said: dict[str, Any], signatures: Mapping[str, str], made: str) -> ToolCall:
    """``made``: the id, where the vendor gives none."""
    function, own = _function(said), short(said.get("id"))
    arguments = _arguments(function)
    return ToolCall(
        own or made,
        short(function.get("name")) or "",
        arguments if arguments.strip() else "{}",
        signatures.get(own or "") or signature_of(said),
    )


def _function(said: Mapping[str, Any]) -> dict[str, Any]:
    function = said.get("function")
    return function if isinstance(function, dict) else {}


def _arguments(function: Mapping[str, Any]) -> str:
    """As text; some vendors have the object itself."""
    said = function.get("arguments")
    if isinstance(said, str):
        return said
    return "" if said is None else msgspec.json.encode(said).decode()


# Stream ---------------------------------------------------------------------------------------------------------------


class _Chunk(msgspec.Struct):
    choices: list[ChunkChoice] | None = None


_chunk = msgspec.json.Decoder(_Chunk)


def _choices_in(data: bytes) -> list[ChunkChoice] | None:
    """None where they cannot be read. Half a character stays one: its other half may come with the next event."""
    try:
        return _chunk.decode(data).choices
    except msgspec.ValidationError:
        return None
    except (ValueError, RecursionError):
        try:
            return msgspec.convert(json.loads(data.decode(errors="replace")), _Chunk).choices
        except (ValueError, RecursionError):
            return None


class _Call:
    """A call that has begun. ``place``: among those of its choice; None until its name is known."""

    __slots__ = ("held", "id", "place", "said", "signature")

    def __init__(self, id: str) -> None:
        self.id, self.said = id, False
        self.place: int | None = None
        self.held: list[str] = []
        """Arguments that came before the name."""
        self.signature: str | None = None


class _Answer:
    """One choice, as far as it was said. ``number`` is its index."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.spoke = self.finished = False
        self.thought: list[str] = []
        """The run of thoughts that is not over yet, its text and OpenRouter's details."""
        self.details: list[dict[str, Any]] = []
        self.key: Any = None
        """Of the details: what is of one thought has one."""
        self.signatures: dict[str, str] = {}
        self.calls: dict[Any, _Call] = {}
        """By their index, and by their ids."""
        self.last: _Call | None = None
        self.begun: list[_Call] = []
        self.halves: dict[Any, str] = {}
        """First halves of characters, by what they are said in."""

    # Each takes what was said and yields what it means.

    def said(self, delta: Mapping[str, Any], answer_id: str) -> Iterator[ChatEvent]:
        yield from self._thoughts(delta)
        for part in (*_content(delta.get("content")), *_beside(delta)):
            yield from self._part(part)
        calls = _calls(delta)
        if calls:
            yield from self.sealed([short(call.get("id")) for call in calls])
        for call in calls:
            yield from self._call(call, answer_id)

    def _part(self, part: Part) -> Iterator[ChatEvent]:
        if isinstance(part, Reasoning):
            yield from self._signed(part)
        elif isinstance(part, Text):
            yield from self.text(part.content)
        elif isinstance(part, Refusal):
            yield from self.sealed()
            if text := self._whole("refusal", part.content):
                self.spoke = True
                yield RefusalDelta(text, self.number)

    def text(self, said: str) -> Iterator[ChatEvent]:
        yield from self.sealed()
        if text := self._whole("text", said):
            self.spoke = True
            yield TextDelta(text, self.number)

    # Thoughts

    def _thoughts(self, delta: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """The same thoughts may stand in several fields: those with signatures are believed."""
        pieces = [each for each in _listed(delta, "reasoning_details") if isinstance(each, dict)]
        # LiteLLM keeps Anthropic's own blocks.
        blocks = [each for each in _listed(delta, "thinking_blocks") if isinstance(each, dict) and not pieces]
        if not any(map(_words_of, (*pieces, *blocks))):
            texts = (delta.get(key) for key in ("reasoning_content", "reasoning", "thinking"))
            if text := next((each for each in texts if isinstance(each, str) and each), None):
                yield from self.thinks(text)
        for piece in pieces:
            yield from self._detail(piece)
        for block in blocks:
            if isinstance(part := _part({"type": "thinking", **block}), Reasoning):
                yield from self._signed(part)

    def thinks(self, said: str) -> Iterator[ChatEvent]:
        if text := self._whole("thought", said):
            self.spoke = True
            self.thought.append(text)
            yield ReasoningDelta(text, self.number)

    def _detail(self, piece: dict[str, Any]) -> Iterator[ChatEvent]:
        name, index = piece.get("id"), piece.get("index")
        key = name if isinstance(name, str) else index if isinstance(index, int) else None
        if key is not None:
            if self.key not in (None, key):
                yield from self.sealed()
            self.key = key
        if words := _words_of(piece):
            yield from self.thinks(words)
        self.details.append(piece if key is not None else {**piece, "index": 0})

    def _signed(self, part: Reasoning) -> Iterator[ChatEvent]:
        """A thought among the content: a signature ends it."""
        if part.content:
            yield from self.thinks(part.content)
        if part.signature or part.opaque:
            if part.opaque:
                yield from self.sealed()
            text = "".join(self.thought)
            self.thought = []
            yield ReasoningSealed(Reasoning(text, part.signature, part.opaque, part.format), self.number)

    def sealed(self, calls: list[str | None] | None = None) -> Iterator[ChatEvent]:
        """What was thought is over. ``calls``: the ids of those that it led to."""
        if not self.thought and not self.details:
            return
        message = {
            "reasoning_content": "".join(self.thought),
            "reasoning_details": self.details,
            "tool_calls": [{"id": each} for each in calls or ()],
        }
        self.thought, self.details, self.key = [], [], None
        thoughts, signatures = thoughts_of(message)
        self.signatures.update(signatures)
        for each in thoughts:
            yield ReasoningSealed(each, self.number)

    # Calls

    def _call(self, said: dict[str, Any], answer_id: str) -> Iterator[ChatEvent]:
        function = _function(said)
        own, name = short(said.get("id")) or "", short(function.get("name")) or ""
        call = self._found(said.get("index"), own, name)
        call.id = call.id or own
        call.signature = call.signature or signature_of(said)
        if arguments := self._whole(call, _arguments(function)):
            call.held.append(arguments)
        if call.place is None and name:
            call.place = len(self.begun)
            self.begun.append(call)
            self.spoke = True
            call.id = call.id or (call_id(answer_id, self.number, call.place) if answer_id else "")
            yield CallBegan(
                call.place, call.id, name, self.signatures.get(call.id) or call.signature, choice=self.number
            )
        if call.place is not None and call.held:
            arguments, call.held, call.said = "".join(call.held), [], True
            yield CallDelta(call.place, arguments, self.number)

    def _found(self, index: Any, own: str, name: str) -> _Call:
        """The call that a piece belongs to: 1. By its index, unless another id and name come with it, as from Gemini,
        whose calls are all of index 0. 2. Without an index, by its id. 3. Without either, the last one."""
        if isinstance(index, int):
            call = self.calls.get(index)
            call = None if call and own and name and call.id not in ("", own) else call
        elif own:
            call = self.calls.get(own)
        else:
            call = None if name else self.last
        if call is None:
            call = _Call(own)
        self.last = call
        for key in (index, own):
            if key or key == 0:
                self.calls[key] = call
        return call

    def ended(self, reason: FinishReason | None) -> Iterator[ChatEvent]:
        """``reason``: None where the vendor has told none, and says that it is done."""
        yield from self.sealed()
        for call in dict.fromkeys(self.calls.values()):
            if call.place is None:
                yield Damaged()  # it was never named
        for call in self.begun:
            if not call.said and call.place is not None:
                yield CallDelta(call.place, "{}", self.number)
        self.finished = True
        yield Finished(reason or ("tool_calls" if self.begun else "stop"), self.number)

    def _whole(self, where: Any, text: str) -> str:
        """The text without half a character at its end, which is kept for the next piece."""
        if not self.halves:
            try:
                text.encode()
                return text
            except UnicodeEncodeError:
                pass
        text = self.halves.pop(where, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self.halves[where], text = text[-1], text[:-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _listed(said: Mapping[str, Any], key: str) -> list[Any]:
    value = said.get(key)
    return value if isinstance(value, list) else []


def _words_of(detail: Mapping[str, Any]) -> str:
    said = detail.get("text") or detail.get("summary") or detail.get("thinking")
    return said if isinstance(said, str) else ""


class Decoder(FramedDecoder):
    """One stream."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[int, _Answer] = {}
        self._id = ""

    def read(self, frames: list[Frame], now: float) -> list[ChatEvent]:
        out: list[ChatEvent] = []
        for frame in frames:
            if frame.data and not self._plain(frame.data, out):
                self._event(frame, frame.data, now, out)
        return out

    def _plain(self, data: bytes, out: list[ChatEvent]) -> bool:
        """An event with a text, or a thought, and nothing besides, as most are. False: it is to be read with care."""
        answer = self._answers.get(0)
        if answer is None or answer.finished:
            return False
        try:
            delta = plain_chunk.decode(data).choices[0].delta
        except (ValueError, RecursionError):
            return False
        if delta.tool_calls or delta.reasoning_details or delta.refusal:
            return False
        if thought := delta.reasoning_content or delta.reasoning:
            out += answer.thinks(thought)
        if delta.content:
            out += answer.text(delta.content)
        return True

    def _event(self, frame: Frame, data: bytes, now: float, out: list[ChatEvent]) -> None:
        seen = glimpse(frame, now)
        if seen.fault:
            out.append(Failed(seen.fault))
        elif seen.damaged:
            out.append(Damaged())
        elif seen.done:
            for answer in self._answers.values():
                if answer.spoke and not answer.finished:
                    out += answer.ended(None)
            out.append(Ended())
        else:
            if seen.output or seen.reasons:
                self._chunk(data, seen.id, seen.model, out)
            if seen.usage:
                out.append(Counted(seen.usage))

    def _chunk(self, data: bytes, id: str | None, model: str | None, out: list[ChatEvent]) -> None:
        choices = _choices_in(data)
        if choices is None:
            out.append(Damaged())
            return
        if not self._answers:
            self._id = id or ""
            out.append(Began(self._id, model or ""))
        for choice in choices:
            number = choice.index or 0
            answer = self._answers.get(number)
            if answer is None:
                answer = self._answers[number] = _Answer(number)
            if answer.finished:
                # Nothing more can be said; most of what comes is empty.
                if any(value for key, value in (choice.delta or {}).items() if key != "role"):
                    out.append(Damaged())
                continue
            out += answer.said(choice.delta or {}, self._id)
            if reason := reason_of(choice.finish_reason, bool(answer.begun)):
                out += answer.ended(reason)


def stream_decoder() -> Decoder:
    return Decoder()
