"""A stream of the client's own dialect on its way through: the bytes are handed on and a tap reads alongside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from gateway.chat import Called, Heard, Kept, Reasoning, Repaired, Usage
from gateway.dialects import Dialect
from gateway.dialects.flattening import flattened_frame, may_flatten
from gateway.dialects.glimpse import CallPart, Glimpse
from gateway.dialects.openai_chat import NO_USAGE
from gateway.dialects.replaying import remembered
from gateway.errors import Fault, FaultKind
from gateway.sse import Frame, OversizedFrame, Splitter, event, plain_events

# A gap of more than so many seconds between two reads of a stream is a stall.
STALL = 5.0


class Digest(msgspec.Struct):
    """What passed by: all that routing and observers may know of a reply."""

    keep: bool = False
    """What is said is kept: to be gone on with elsewhere, or because telemetry was asked for content."""
    output: bool = False
    tool: bool = False
    reasons: dict[int, str | None] = {}
    usage: Usage | None = None
    skipped: int = 0
    """Malformed events left out."""
    progress: int = 0
    """Events that brought output or an end: what the idle clock counts as life."""
    text: list[str] = []
    identity: dict[str, Any] = {}
    calls: dict[str, CallPart] = {}
    arguments: dict[str, list[str]] = {}
    """By the calls' places, in the pieces they came in."""
    id: str | None = None
    model: str | None = None
    chunks: int = 0
    bytes: int = 0
    stalls: int = 0
    read_at: float = 0.0
    """When the last read brought something."""
    thoughts: list[Reasoning] = []
    """What was thought, run by run."""
    signatures: dict[str, str] = {}
    """Of the calls, by their places."""
    reasoned: list[Mapping[str, Any]] = []
    """What of the answer its vendor wants back, piece by piece."""
    repairs: list[Repaired] = []
    """Calls that were not handed on as they came."""

    @property
    def finish_reason(self) -> str | None:
        return self.reasons.get(0)

    def arrived(self, size: int, now: float) -> None:
        """A read brought something."""
        if self.read_at and now - self.read_at > STALL:
            self.stalls += 1
        self.read_at = now
        self.bytes += size

    def heard(self, *, content: bool) -> Heard:
        """What may be told of the answer; ``content``: what it said, too."""
        calls = (
            Called(part.id, part.tool, "".join(self.arguments.get(part.place, ())) if content else "")
            for part in self.calls.values()
        )
        return Heard(
            id=self.id,
            model=self.model,
            finish_reasons=tuple(reason for _, reason in sorted(self.reasons.items()) if reason),
            calls=tuple(calls),
            chunks=self.chunks,
            bytes=self.bytes,
            stalls=self.stalls,
            text="".join(self.text) if content else None,
        )

    def kept(self) -> Iterator[tuple[str, Kept]]:
        """For each tool call what was thought before it, by the call's id."""
        thoughts = (*self.thoughts, *remembered(self.reasoned)) if self.calls else ()
        for part in self.calls.values():
            signature = self.signatures.get(part.place)
            if part.id and (thoughts or signature):
                yield part.id, Kept(thoughts, signature)

    def said(self, texts: Sequence[str]) -> None:
        """As many events as there are texts, each of which said that and did nothing else (``Dialect.skim``)."""
        self.chunks += len(texts)
        self.progress += len(texts)
        self.output = True
        self.reasons.setdefault(0, None)
        if self.keep:
            self.text.extend(filter(None, texts))

    def note(self, glimpse: Glimpse) -> None:
        self.chunks += 1
        if self.id is None:
            self.id, self.model = glimpse.id, glimpse.model
        for part in glimpse.calls:
            self.call(part)
        if glimpse.output or glimpse.usage:
            self.progress += 1
        self.output = self.output or glimpse.output
        self.tool = self.tool or glimpse.tool
        if glimpse.usage:
            self.usage = glimpse.usage.after(self.usage)
        for index, reason in glimpse.reasons.items():
            if reason:
                self.progress += 1
                # A finish without a word before it is an (empty) answer all the same.
                self.output = True
            if reason == "stop" and self._has_called(index):
                # Gemini and Ollama end all their answers so, and with a tool that was forced OpenAI does.
                reason = "tool_calls"
            self.reasons[index] = reason or self.reasons.get(index)

    def _has_called(self, choice: int) -> bool:
        return self.tool and any(place.startswith(f"{choice}.") for place in self.calls)

    def call(self, part: CallPart) -> None:
        """The pieces of one call: its id and name come first, its arguments bit by bit."""
        if part.place not in self.calls and not (part.id or part.tool):
            return
        begun = self.calls.get(part.place)
        if begun is None or (part.id and not begun.id) or (part.tool and not begun.tool):
            begun = begun or CallPart(part.place)
            self.calls[part.place] = CallPart(part.place, begun.id or part.id, begun.tool or part.tool)
        if self.keep and part.arguments:
            self.arguments.setdefault(part.place, []).append(part.arguments)


class Passing:
    """A stream of the client's own dialect on its way through.

    ``feed`` returns the bytes to hand on: the very object that came in when every event of it is whole and good.
    Comments and damaged events are left out; ``fault`` is set when the vendor reports an error inside the stream.
    """

    skims = True
    """Reads of whole events, whose common middle says something and nothing else, are skimmed; nothing told differs."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        withhold_usage: bool = False,
        keep_text: bool = False,
        choices: int = 1,
        replays: frozenset[str] = frozenset(),
        flatten: bool = False,
    ) -> None:
        """``replays``: the keys with reasoning in them that the vendor will want back; ``flatten``: lists to texts."""
        self.dialect, self.digest = dialect, Digest(keep=keep_text)
        self._choices, self._replays, self._flatten = choices, replays, flatten
        self.fault: Fault | None = None
        self.done = False
        self._splitter = Splitter()
        self._withhold_usage, self._keep_text = withhold_usage, keep_text
        self._between = True
        self.price: Callable[[Usage], float | None] = lambda usage: None
        """Puts a cost beside the usage, for the client that asked for it."""

    @property
    def complete(self) -> bool:
        """The vendor said it was done: ``[DONE]``, or a finish reason for every choice that was asked for or begun."""
        reasons = self.digest.reasons
        return self.done or (len(reasons) >= self._choices and all(reasons.values()))

    @property
    def place(self) -> int:
        return self.digest.chunks

    def feed(self, chunk: bytes, now: float) -> bytes:
        self.digest.arrived(len(chunk), now)
        begin = chunk.find(b"\n\n") + 2 if self._splitter.pending else 0
        end = chunk.rfind(b"\n\n") + 2
        if end < 2 or begin >= end or (begin, end) == (0, len(chunk)):
            return self._fed(chunk, now)
        # This read begins or ends inside an event; those between are whole.
        pieces = (chunk[:begin], chunk[begin:end], chunk[end:])
        return b"".join([self._fed(piece, now) for piece in pieces if piece])

    def _fed(self, chunk: bytes, now: float) -> bytes:
        if self.skims and not (self._flatten and may_flatten(chunk)):
            events = self._splitter.plain(chunk)
            if events is not None:
                return self._skimmed(chunk, events, now)
            if frames := self._splitter.named(chunk):
                return self._skimmed(chunk, [frame.data or b"" for frame in frames], now, frames)
        return self._read(chunk, now)

    def _skimmed(self, chunk: bytes, events: list[bytes], now: float, named: Sequence[Frame] = ()) -> bytes:
        """Events that say something and do nothing else are noted together; each of the others is read with care.

        ``named``: the same events, where they have names.
        """
        said = self.dialect.skim(events, self.digest.tool and not self.digest.keep)
        if self._replays:
            # Thoughts are kept as they came.
            said = [text or None for text in said]
        said.append(None)  # ends the last run of texts
        kept: list[bytes] = []
        place = 0
        while place < len(events) and not (self.done or self.fault):
            end = said.index(None, place) if self._introduced else place
            if end > place:
                self.digest.said(cast("list[str]", said[place:end]))
                raw = b"".join([frame.raw for frame in named[place:end]]) if named else plain_events(events[place:end])
                kept.append(self._without_usage(raw))
            else:
                end = place + 1
                frame = named[place] if named else Frame(plain_events(events[place:end]), events[place])
                kept += self._keep([frame], now)
            place = end
        raw = b"".join(kept)
        return chunk if raw == chunk else raw

    @property
    def _introduced(self) -> bool:
        """What is told once of an answer is known."""
        digest = self.digest
        return digest.id is not None and (bool(digest.identity) or not digest.keep)

    def _without_usage(self, raw: bytes) -> bytes:
        """Events without the ``usage``, null or nested, that nobody asked for; none of them counts anything."""
        if not self._withhold_usage or b'"usage"' not in raw:
            return raw
        without = raw.replace(NO_USAGE + b"\n\n", b"}\n\n")
        if b'"usage"' not in without:
            # It stood at the end of events and nowhere else.
            return without
        return b"".join(self.dialect.without_usage(frame) for frame in Splitter().feed(raw))

    def _read(self, chunk: bytes, now: float) -> bytes:
        began_clean = self._between
        try:
            frames = self._splitter.feed(chunk)
        except OversizedFrame as error:
            self.fault = Fault(kind=FaultKind.GARBLED, message=str(error))
            return b""
        kept = self._keep(frames, now)
        raw = b"".join(kept)
        self._between = not self._splitter.pending
        return chunk if began_clean and self._between and raw == chunk else raw

    def end(self, now: float) -> bytes:
        """What is still to be handed on when the vendor has closed: a last event, the ``[DONE]`` that closes."""
        kept = self._keep(self._splitter.end(), now)
        last = b"".join(raw if raw.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")) else raw + b"\n\n" for raw in kept)
        if self.complete and self.fault is None and not self.done:
            self.done = True
            last += self.dialect.CLOSING
        return last

    def _keep(self, frames: list[Frame], now: float) -> list[bytes]:
        kept: list[bytes] = []
        for frame in frames:
            # An event without data is none: https://html.spec.whatwg.org/multipage/server-sent-events.html#dispatchMessage
            if not frame.data or self.done or self.fault:
                self._note_bare(frame, now)
                continue
            if self._flatten:
                frame = flattened_frame(frame)
            seen = self.dialect.glimpse(frame, now)
            if seen.damaged:
                self.digest.skipped += 1
            elif seen.fault:
                # After the end it changes nothing: the answer is whole.
                if not self.complete:
                    self.fault = seen.fault
            else:
                self.done = self.done or seen.done
                self.digest.note(seen)
                if self._replays and seen.delta:
                    self._remember(seen.delta)
                kept.extend(self._hand_on(frame, seen))
        return kept

    def _note_bare(self, frame: Frame, now: float) -> None:
        """Google tells an error outside of all events, as mere JSON."""
        if frame.data is None and frame.raw.lstrip().startswith(b"{") and not (self.complete or self.fault):
            self.fault = self.dialect.glimpse(frame._replace(data=frame.raw.strip()), now).fault

    def _remember(self, delta: Mapping[str, Any]) -> None:
        if said := {key: delta[key] for key in self._replays if delta.get(key)}:
            self.digest.reasoned.append(said)

    def _hand_on(self, frame: Frame, seen: Glimpse) -> list[bytes]:
        if self._keep_text and seen.text:
            self.digest.text.append(seen.text)
            if not self.digest.identity:
                self.digest.identity = self.dialect.identity(frame)
        if self._withhold_usage and not seen.done:
            if seen.bare and seen.usage:
                return []
            if frame.data and b'"usage"' in frame.data:
                return [self.dialect.without_usage(frame)]
        # Usage may be told in parts: what was told before is counted, too.
        elif seen.usage and frame.data and (cost := self.price(self.digest.usage or seen.usage)) is not None:
            priced = self.dialect.with_cost(frame.data, cost)
            return [frame.raw if priced is frame.data else event(priced, frame.name)]
        return [frame.raw]


# A shorter overlap is more likely chance than repetition.
_SHORTEST_OVERLAP = 8
_LOOK_AT = 64


class Continuing(Passing):
    """The rest of an answer that broke off, from another target: made to look like one answer, nothing said twice."""

    skims = False

    def __init__(
        self, dialect: Dialect, delivered: str, first: dict[str, Any], *, withhold_usage: bool, flatten: bool = False
    ) -> None:
        super().__init__(dialect, withhold_usage=withhold_usage, flatten=flatten)
        self._delivered, self._first = delivered, first
        self._held: list[Frame] = []
        self._heard = ""
        self._decided = False

    def end(self, now: float) -> bytes:
        closing = super().end(now)
        return closing if self._decided else self._release() + closing

    def _hand_on(self, frame: Frame, seen: Glimpse) -> list[bytes]:
        if seen.tool:
            self.fault = Fault(kind=FaultKind.GARBLED, message="the continuation calls a tool")
            return []
        if seen.done:
            return [frame.raw] if self._decided else [self._release(), frame.raw]
        handed = super()._hand_on(frame, seen)
        if not handed:
            return []
        if handed[0] is not frame.raw:
            # Its null usage was cut out.
            frame = Frame(handed[0], handed[0].removeprefix(b"data: ").rstrip())
        if self._decided:
            self._kept(seen.text)
            return [self._stamped(frame)]
        self._heard += seen.text
        self._held.append(frame)
        if any(seen.reasons.values()) or self._certain():
            return [self._release()]
        return []

    def _certain(self) -> bool:
        """Enough was heard to tell a repetition from new words."""
        if self._repeats_from_start():
            return len(self._heard) >= len(self._delivered) + 1
        return len(self._heard) >= _LOOK_AT and self._heard not in self._delivered

    def _repeats_from_start(self) -> bool:
        common = min(len(self._heard), len(self._delivered))
        return common >= _SHORTEST_OVERLAP and self._delivered[:common] == self._heard[:common]

    def _overlap(self) -> int:
        """How many characters at the head of what was heard repeat the tail of what was delivered."""
        longest = min(len(self._heard), len(self._delivered))
        for length in range(longest, _SHORTEST_OVERLAP - 1, -1):
            if self._delivered.endswith(self._heard[:length]):
                return length
        return 0

    def _release(self) -> bytes:
        self._decided = True
        fresh = self._heard[len(self._delivered) if self._repeats_from_start() else self._overlap() :]
        self._kept(fresh)
        out = []
        for frame in self._held:
            seen = self.dialect.glimpse(frame, 0.0)
            if seen.text:
                out.append(self._stamped(frame, fresh))
                fresh = ""
            elif seen.reasons and not any(seen.reasons.values()) and not seen.output:
                continue
            else:
                out.append(self._stamped(frame))
        self._held.clear()
        return b"".join(out)

    def _kept(self, text: str) -> None:
        """Only what is new: should this answer break off too, the next is told what the client has."""
        if text:
            self.digest.text.append(text)

    def _stamped(self, frame: Frame, text: str | None = None) -> bytes:
        return self.dialect.restamp(frame, self._first, text)
