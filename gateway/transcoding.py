"""An answer in a vendor's dialect on its way to a client that speaks another: decoded event by event, encoded anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import (
    Began,
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
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    RefusalDelta,
    TextDelta,
    ToolCall,
    Usage,
)
from gateway.dialects import Dialect, Ingress, StreamDecoder, StreamEncoder
from gateway.dialects.faults import garbled
from gateway.dialects.glimpse import CallPart, Whole
from gateway.errors import Fault, FaultKind
from gateway.passing import Continuing, Digest
from gateway.tools import Caring


class Naming(msgspec.Struct, frozen=True):
    """What this vendor calls otherwise than the client or the dialect."""

    tools: Mapping[str, str] = {}
    """The vendor's name of a tool -> the client's."""
    signed: str | None = None
    signer: str | None = None
    """The dialect's word for who signs thoughts, and who really does."""

    def of_answer(self, answer: ChatResponse) -> ChatResponse:
        choices = tuple(
            msgspec.structs.replace(choice, parts=tuple(self.of_part(part) for part in choice.parts))
            for choice in answer.choices
        )
        return msgspec.structs.replace(answer, choices=choices)

    def of_part(self, part: Part) -> Part:
        if isinstance(part, ToolCall) and part.name in self.tools:
            return msgspec.structs.replace(part, name=self.tools[part.name])
        if isinstance(part, Reasoning) and part.format == self.signed != self.signer:
            return msgspec.structs.replace(part, format=self.signer)
        return part


class Transcoding:
    """A stream: ``feed`` takes the vendor's bytes and returns the client's."""

    def __init__(
        self,
        decoder: StreamDecoder,
        encoder: StreamEncoder,
        naming: Naming,
        *,
        choices: int = 1,
        keep_text: bool = False,
        caring: Caring | None = None,
    ) -> None:
        """``caring`` looks after the calls of tools, where that is wanted."""
        self.digest = Digest(keep=keep_text, repairs=caring.repairs if caring else [])
        self._caring = caring
        self.fault: Fault | None = None
        self.done = False
        self.price: Callable[[Usage], float | None] = lambda usage: None
        self._decoder, self._encoder, self._naming = decoder, encoder, naming
        self._choices, self._keep_text = choices, keep_text
        self._closed = False
        self._asks = caring is not None and caring.asks
        self._last: Finished | None = None
        """How it ended, while an interpreter is to be asked about it."""

    @property
    def complete(self) -> bool:
        """The vendor said it was done, or gave a finish reason for every choice that was asked for or begun."""
        reasons = self.digest.reasons
        return self.done or (len(reasons) >= self._choices and all(reasons.values()))

    @property
    def place(self) -> int:
        return self._encoder.place

    def feed(self, chunk: bytes, now: float) -> bytes:
        self.digest.arrived(len(chunk), now)
        return self._written(self._decoder.feed(chunk, now))

    def end(self, now: float) -> bytes:
        """What is still to be handed on when the vendor has closed."""
        out = self._written(self._decoder.end(now))
        if self._caring and not self.done and self.fault is None:
            out += self._encoded(self._caring.end())
        if self.complete and self.fault is None:
            self.done = True
            out += self._close()
        return out

    def _written(self, events: list[ChatEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self.done or self.fault:
                break
            self.digest.chunks += 1
            out.append(self._encoded((event,) if self._caring is None else self._looked_after(self._caring, event)))
        return b"".join(out) + (self._close() if self.done else b"")

    def _encoded(self, events: Iterable[ChatEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            seen = _NOTED[type(event)](self, event)
            if seen is not None:
                out.append(self._encoder.feed(seen))
        return b"".join(out)

    def _looked_after(self, caring: Caring, event: ChatEvent) -> Iterable[ChatEvent]:
        """What is to be handed on of it now. What is held back is output, too: the vendor is not silent."""
        if isinstance(event, Failed):
            return (*caring.end(), event)
        found = caring.feed(event)
        if not found:
            self._said()
        return found

    @property
    def unread(self) -> str | None:
        """What was said, where it may mean to call tools; its end is held back until it is ``settled``."""
        return "".join(self.digest.text) if self._last and self.done and not self.fault else None

    def settled(self, calls: Sequence[ToolCall]) -> bytes:
        """What is still to be handed on: the calls, and the end."""
        last, self._last = self._last, None
        self._asks = False
        events: list[ChatEvent] = []
        for place, call in enumerate(calls):
            events += (CallBegan(place, call.id, call.name), CallDelta(place, call.arguments))
        if last:
            events.append(Finished("tool_calls") if calls else last)
        return self._encoded(events) + self._close()

    def _close(self) -> bytes:
        if self._closed or self._last:
            return b""
        self._closed = True
        usage = self.digest.usage
        return self._encoder.end(usage, self.price(usage) if usage else None)

    # What each kind of event means for the digest; the event to encode comes back, or None.

    def _began(self, event: Began) -> ChatEvent | None:
        if self.digest.id is None:
            self.digest.id, self.digest.model = event.id or None, event.model or None
        return event

    def _text(self, event: TextDelta) -> ChatEvent | None:
        self._said()
        if self._keep_text and event.choice == 0:
            self.digest.text.append(event.text)
            if not self.digest.identity:
                self.digest.identity = self._encoder.identity()
        return event

    def _said(self) -> None:
        self.digest.output = True
        self.digest.progress += 1

    def _spoke(self, event: ChatEvent) -> ChatEvent | None:
        self._said()
        return event

    def _sealed(self, event: ReasoningSealed) -> ChatEvent | None:
        self._said()
        part = self._naming.of_part(event.part)
        if part is not event.part and isinstance(part, Reasoning):
            event = ReasoningSealed(part, event.choice)
        if event.choice == 0:
            # Which of several answers a client goes on with is not known: the first.
            self.digest.thoughts.append(event.part)
        return event

    def _call_began(self, event: CallBegan) -> ChatEvent | None:
        self._said()
        self.digest.tool = True
        if event.name in self._naming.tools:
            event = msgspec.structs.replace(event, name=self._naming.tools[event.name])
        place = f"{event.choice}.{event.place}"
        if event.signature:
            self.digest.signatures[place] = event.signature
        self.digest.call(CallPart(place, event.id, event.name))
        return event

    def _call_went_on(self, event: CallDelta) -> ChatEvent | None:
        self._said()
        if self._keep_text:
            self.digest.call(CallPart(f"{event.choice}.{event.place}", arguments=event.arguments))
        return event

    def _finished(self, event: Finished) -> ChatEvent | None:
        if event.reason == "error":
            self.fault = ended_in_error(b"")
            return None
        # A finish without a word before it is an (empty) answer all the same.
        self._said()
        self.digest.reasons[event.choice] = event.reason
        if self._asks and event.reason == "stop" and not self.digest.tool and self._choices == 1:
            self._last = event
            return None
        return event

    def _counted(self, event: Counted) -> ChatEvent | None:
        self.digest.progress += 1
        self.digest.usage = event.usage
        return event

    def _failed(self, event: Failed) -> ChatEvent | None:
        # After the end it changes nothing: the answer is whole.
        if not self.complete:
            self.fault = event.fault
        return None

    def _ended(self, event: Ended) -> ChatEvent | None:
        # An end before any finish reason is a break, and is told as one when the vendor closes.
        self.done = self.complete
        return None

    def _damaged(self, event: Damaged) -> ChatEvent | None:
        self.digest.skipped += 1
        return None


_NOTED: Mapping[type, Callable[[Transcoding, Any], ChatEvent | None]] = {
    Began: Transcoding._began,
    TextDelta: Transcoding._text,
    ReasoningDelta: Transcoding._spoke,
    ReasoningSealed: Transcoding._sealed,
    RefusalDelta: Transcoding._spoke,
    CallBegan: Transcoding._call_began,
    CallDelta: Transcoding._call_went_on,
    Finished: Transcoding._finished,
    Counted: Transcoding._counted,
    Failed: Transcoding._failed,
    Ended: Transcoding._ended,
    Damaged: Transcoding._damaged,
}


class ContinuingTranscoded(Continuing):
    """The rest of an answer that broke off, from a target that speaks another dialect than the client."""

    def __init__(
        self, inner: Transcoding, dialect: Dialect, delivered: str, first: dict[str, Any], *, withhold_usage: bool
    ) -> None:
        super().__init__(dialect, delivered, first, withhold_usage=withhold_usage)
        self._inner = inner

    @property
    def place(self) -> int:
        return self._inner.place

    def feed(self, chunk: bytes, now: float) -> bytes:
        return self._through(self._inner.feed(chunk, now), now)

    def end(self, now: float) -> bytes:
        return self._through(self._inner.end(now), now) + super().end(now)

    def _through(self, written: bytes, now: float) -> bytes:
        out = super().feed(written, now) if written else b""
        self.fault = self.fault or self._inner.fault
        return out


def transcoded(
    ingress: Ingress,
    answer: ChatResponse,
    naming: Naming,
    exchange_id: str,
    model: str,
    now: float,
    asked: bytes,
    caring: Caring,
) -> tuple[bytes, Whole]:
    """A whole answer as the client reads it, and what is to be told of it."""
    read = caring.answer(naming.of_answer(answer))
    said = ingress.encode_answer(read, id=exchange_id, model=model, created=int(now), asked=asked)
    return said, whole_of(read)._replace(repairs=tuple(caring.repairs))


def ended_in_error(body: bytes) -> Fault:
    """As a finish reason says it, without a word about what went wrong."""
    return garbled("the vendor ended the answer with an error", body, FaultKind.SERVER_ERROR)


def whole_of(answer: ChatResponse) -> Whole:
    """What is to be told of a whole answer."""
    return Whole(
        usage=answer.usage,
        finish_reasons=tuple(choice.finish_reason for choice in answer.choices),
        id=answer.id or None,
        model=answer.model or None,
        calls=tuple(part for place, choice in enumerate(answer.choices) for part in _calls(choice, place)),
        # Which of several answers a client goes on with is not known: the first.
        thoughts=tuple(part for choice in answer.choices[:1] for part in choice.parts if isinstance(part, Reasoning)),
        signatures={
            part.id: part.signature
            for choice in answer.choices
            for part in choice.parts
            if isinstance(part, ToolCall) and part.signature
        },
    )


def _calls(choice: Choice, place: int) -> list[CallPart]:
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    return [CallPart(f"{place}.{at}", call.id, call.name, call.arguments) for at, call in enumerate(calls)]
