"""How a step goes over the wire: a step and a call in, the writes, waits and cuts to perform out. Pure."""

from __future__ import annotations

import http.client
import itertools
import zlib
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

from . import openai_shapes
from .quirks import Mark
from .received import Phase, Received
from .steps import (
    Answer,
    Close,
    Die,
    DoubleDone,
    Framing,
    InBandError,
    Malformed,
    Named,
    NoDone,
    NoFinish,
    Point,
    Raw,
    Reply,
    Reset,
    Silent,
    Slow,
    Status,
    StepValue,
    Trouble,
    called,
)

MALFORMED: dict[str, bytes] = {
    "invalid_json": b'data: {"id": oops, "choices": ]\n\n',
    "truncated_json": b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"del\n\n',
    "binary": b"\x00\xff\xfe\x80\x1f\x8b\n\n",
    "not_an_object": b"data: 42\n\n",
}
REASONS = {**http.client.responses, 529: "Site is overloaded", 520: "Web Server Returned an Unknown Error"}
REASONS |= {102: "Processing", 103: "Early Hints", 522: "Connection Timed Out", 524: "A Timeout Occurred"}
# Two line ends in a row must stay two: a CR is never directly before an LF of its own.
MIXED = ("\n", "\r\n", "\r", "\r\n")


# --- what there is to do


class Send(NamedTuple):
    """Write this; then the answer is in this phase, and this was its status."""

    data: bytes
    phase: Phase | None = None
    status: int = 0


class Pause(NamedTuple):
    """``seconds`` or, without them, until the client leaves."""

    seconds: float | None


class Reached(NamedTuple):
    """The step has really been played as far as this: count it under its name, unless that is done."""

    name: str


class Cut(NamedTuple):
    reset: bool


class Vanish(NamedTuple):
    """Reset every connection and refuse new ones for a while."""

    seconds: float | None


class End(NamedTuple):
    """The answer is out; what becomes of its connection."""

    connection: Literal["keep", "close", "drop", "stale"]


Action = Send | Pause | Reached | Cut | Vanish | End


def actions(step: StepValue, call: Received) -> list[Action]:
    """Everything to do for one call, in order. Nothing after a ``Cut``, ``Vanish`` or ``End`` is done."""
    name = called(step)
    match step.played if isinstance(step, Named) else step:
        case Raw(data, close):
            return [Send(data, "body"), Reached(name), End("close" if close else "keep")]
        case Die(seconds):
            return [Reached(name), Vanish(seconds)]
        case Reply() as reply:
            return _reply(reply, name, call)
        case Answer() | Status() as content:
            return _reply(Reply(content), name, call)
        case trouble:
            return _reply(Reply(Answer(), (trouble,)), name, call)


# --- a reply: parts, then troubles among them, then bytes


class Part(NamedTuple):
    mark: Mark
    payload: bytes


class Stop(NamedTuple):
    """The body is over here, properly."""


class CloseBody(NamedTuple):
    """Here the body's terminator is sent although the body is not whole."""


class Head(NamedTuple):
    code: int
    content_type: str
    headers: dict[str, str]


Item = Part | Pause | Reached | Cut | Stop | CloseBody


def _reply(reply: Reply, name: str, call: Received) -> list[Action]:
    reply = _possible(reply, call)
    framing = reply.framing
    head, parts = _content(reply, call)
    streamed = head.content_type.startswith("text/event-stream")
    phases: tuple[Phase, Phase] = ("before_output", "mid_stream") if streamed else ("body", "body")
    before, items = _befall(parts, reply.troubles, name, call, framing, streamed)
    if call.method == "HEAD":
        items = [item for item in items if not isinstance(item, Part)]
    coder = Coder(framing, framing.body or ("chunked" if streamed else "length"))
    length = Coder(framing, "length").length(part.payload for part in parts) + framing.surplus
    end = _end(framing, coder)
    done: list[Action] = [*before, *(Send(_interim(code)) for code in framing.interim)]
    done.append(Send(_head(head, coder, length, end.connection, framing, call), phases[0], head.code))
    done += _encoded(items, coder, phases[1])
    return _written([*done, Reached(name), end], framing)


def _end(framing: Framing, coder: Coder) -> End:
    if framing.connection == "keep" and framing.surplus:
        return End("drop")
    return End("close" if framing.connection == "keep" and coder.body == "close" else framing.connection)


def _possible(reply: Reply, call: Received) -> Reply:
    """The reply as this call can get it: a whole body that ends too early, but properly, must be chunked."""
    if isinstance(reply.content, Answer) and call.operation == "unknown":
        reply = msgspec.structs.replace(reply, content=Status(404, openai_shapes.no_such_path(call)))
    early = any(isinstance(trouble, Close) and trouble.terminated for trouble in reply.troubles)
    if early and not reply.framing.body:
        return msgspec.structs.replace(reply, framing=msgspec.structs.replace(reply.framing, body="chunked"))
    return reply


def _content(reply: Reply, call: Received) -> tuple[Head, list[Part]]:
    match reply.content:
        case Status() as status:
            return _status(status, call)
        case Answer() as answer if _streams(answer, call):
            kind = reply.framing.content_type or "text/event-stream; charset=utf-8"
            return Head(200, kind, {"cache-control": "no-cache"}), _stream(answer, reply, call)
        case Answer() as answer:
            return Head(200, reply.framing.content_type or "application/json", {}), _whole(answer, reply, call)


def _streams(answer: Answer, call: Received) -> bool:
    return call.operation == "chat" and (call.stream if answer.stream is None else answer.stream)


def _status(status: Status, call: Received) -> tuple[Head, list[Part]]:
    reason = REASONS.get(status.code, "Unknown")
    body = openai_shapes.error(status.code, reason, call) if status.body is None else status.body
    headers = {} if status.retry_after is None else {"retry-after": str(status.retry_after)}
    if isinstance(body, dict):
        return Head(status.code, "application/json", headers | status.headers), _halves(msgspec.json.encode(body))
    kind = "text/html; charset=utf-8" if body.lstrip().startswith("<") else "text/plain; charset=utf-8"
    return Head(status.code, kind if body else "", headers | status.headers), _halves(body.encode())


def _whole(answer: Answer, reply: Reply, call: Received) -> list[Part]:
    body = openai_shapes.whole(answer, call)
    for trouble in reply.troubles:
        match trouble:
            case InBandError():
                body = openai_shapes.in_band(trouble, call)
            case NoFinish():
                for choice in body.get("choices", ()):
                    choice["finish_reason"] = None
            case Malformed():
                return _halves(_malformed(trouble).removeprefix(b"data: ").rstrip(b"\n"))
    pieces = max(2, len(answer.chunks)) if any(isinstance(trouble, Slow) for trouble in reply.troubles) else 2
    return _halves(msgspec.json.encode(body), pieces)


def _halves(body: bytes, pieces: int = 2) -> list[Part]:
    """A whole body in parts, so that the points of a stream mean something in it: output, the rest, the last byte."""
    if len(body) < 3:
        return [Part("done", body)] if body else []
    size = max(1, len(body) // pieces)
    cuts = [min(len(body) - 2, size * place) for place in range(1, pieces)]
    outputs = [body[start:end] for start, end in itertools.pairwise([0, *cuts]) if end > start]
    last = cuts[-1]
    return [*(Part("output", output) for output in outputs), Part("finish", body[last:-1]), Part("done", body[-1:])]


def _stream(answer: Answer, reply: Reply, call: Received) -> list[Part]:
    made = [(chunk.mark, msgspec.json.encode(chunk.body)) for chunk in openai_shapes.chunks(answer, call)]
    made.append(("done", b"[DONE]"))
    for trouble in reply.troubles:
        match trouble:
            case NoDone():
                made = [(mark, data) for mark, data in made if mark != "done"]
            case DoubleDone():
                made.append(("done", b"[DONE]"))
            case NoFinish(done):
                missing = {"finish"} if done else {"finish", "usage", "done"}
                made = [(mark, data) for mark, data in made if mark not in missing]
    return list(_lines(made, reply.framing))


def _lines(events: Iterable[tuple[Mark, bytes]], framing: Framing) -> Iterator[Part]:
    lines = Lines(framing)
    start = b"\xef\xbb\xbf" if framing.bom else b""
    for _ in range(framing.comments_first):
        yield Part("prelude", start + lines.comment())
        start = b""
    for place, (mark, data) in enumerate(events):
        yield Part(mark, start + lines.event(data, framing.event, place))
        start = b""
        for _ in range(framing.comments_between if mark == "output" else 0):
            yield Part("prelude", lines.comment())


# --- troubles


def _befall(
    parts: list[Part], troubles: tuple[Trouble, ...], name: str, call: Received, framing: Framing, streamed: bool
) -> tuple[list[Action], list[Item]]:
    """The troubles put where they belong: what comes before the head, and the body with them in it."""
    before: list[Action] = []
    within: dict[int, list[Item]] = {}
    for trouble in troubles:
        match trouble:
            case Reset() | Close() | Silent() if trouble.at == "before_head":
                before += _stroke(trouble, name)
            case Reset() | Close() | Silent():
                items = within.setdefault(_place(parts, trouble.at, trouble.outputs), [])
                items += [CloseBody()] if isinstance(trouble, Close) and trouble.terminated else []
                items += _stroke(trouble, name)
            case InBandError() if streamed:
                items = within.setdefault(_place(parts, trouble.at, trouble.outputs), [])
                items += [*_in_band(trouble, framing, call), Reached(name)]
                items += [] if trouble.then == "go_on" else [Stop()]
            case Malformed() if streamed:
                items = within.setdefault(_place(parts, trouble.at, trouble.outputs), [])
                items += [Part("prelude", _malformed(trouble)), Reached(name)]
            case Slow():
                before += [Pause(trouble.head)] if trouble.head else []
                _space_out(parts, trouble, within)
    body = [item for place in range(len(parts) + 1) for item in (*within.get(place, ()), *parts[place : place + 1])]
    return before, list(itertools.takewhile(lambda item: not isinstance(item, Stop), body))


def _place(parts: list[Part], at: Point, outputs: int) -> int:
    """Before which part a point is; one that the answer does not have is where it would have been."""

    def first(*marks: Mark) -> int:
        return next((place for place, part in enumerate(parts) if part.mark in marks), len(parts))

    match at:
        case "before_head" | "after_head" | "first":
            return 0
        case "after_role":
            return first("output", "finish", "done")
        case "after_output" | "mid":
            spoken = [place + 1 for place, part in enumerate(parts) if part.mark == "output"][:outputs]
            return spoken[-1] if spoken else first("finish", "done")
        case "before_finish":
            return first("finish", "done")
        case "before_done" | "after_finish":
            return first("done")
    return len(parts)


def _stroke(trouble: Reset | Close | Silent, name: str) -> tuple[Reached, Pause | Cut]:
    if isinstance(trouble, Silent):
        return Reached(name), Pause(trouble.seconds)
    return Reached(name), Cut(reset=isinstance(trouble, Reset))


def _in_band(trouble: InBandError, framing: Framing, call: Received) -> Iterator[Part]:
    body = msgspec.json.encode(openai_shapes.in_band(trouble, call))
    lines = Lines(framing)
    yield Part("prelude", lines.event(body, "error" if trouble.style == "event" else framing.event))
    if trouble.then == "done":
        yield Part("done", lines.event(b"[DONE]", framing.event))


def _malformed(trouble: Malformed) -> bytes:
    return MALFORMED[trouble.kind] if trouble.line is None else trouble.line


def _space_out(parts: list[Part], slow: Slow, within: dict[int, list[Item]]) -> None:
    outputs = [place for place, part in enumerate(parts) if part.mark == "output"]
    for place, seconds in zip(outputs, itertools.chain([slow.first], itertools.repeat(slow.between)), strict=False):
        if seconds:
            within.setdefault(place, []).append(Pause(seconds))


# --- bytes


class Lines:
    """Event-stream lines; it remembers whose turn the mixed line endings are."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._endings = itertools.cycle(MIXED if framing.line_ending == "mixed" else (framing.line_ending,))

    def line(self, text: bytes = b"") -> bytes:
        return text + next(self._endings).encode()

    def comment(self) -> bytes:
        return self.line(b": " + self._framing.comment.encode()) + self.line()

    def event(self, data: bytes, name: str = "", place: int = 0) -> bytes:
        framing = self._framing
        made = [self.line(b"retry: %d" % framing.retry)] if framing.retry is not None and place == 0 else []
        made += [self.line(b"id: %d" % place)] if framing.ids else []
        made += [self.line(b"event: " + name.encode())] if name else []
        several = framing.multi_line and data.startswith(b"{")
        for text in msgspec.json.format(data, indent=1).split(b"\n") if several else (data,):
            made.append(self.line((b"data: " if framing.space else b"data:") + text))
        return b"".join(made) + self.line()


class Coder:
    """A body's payload to the bytes on the wire: gzip, flushed after each payload, then chunks."""

    def __init__(self, framing: Framing, body: str) -> None:
        self.body = body
        self.gzip = zlib.compressobj(wbits=31) if framing.gzip else None

    def encode(self, payload: bytes) -> bytes:
        if self.gzip:
            payload = self.gzip.compress(payload) + self.gzip.flush(zlib.Z_SYNC_FLUSH)
        return self._chunk(payload)

    def finish(self) -> bytes:
        rest = self._chunk(self.gzip.flush()) if self.gzip else b""
        return rest + b"0\r\n\r\n" if self.body == "chunked" else rest

    def length(self, payloads: Iterable[bytes]) -> int:
        return sum(len(self.encode(payload)) for payload in payloads) + len(self.finish())

    def _chunk(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self.body == "chunked" and data else data


def _head(head: Head, coder: Coder, length: int, connection: str, framing: Framing, call: Received) -> bytes:
    fields = {"server": "scripted", "x-request-id": f"req_{call.number:06d}", "openai-processing-ms": "1"}
    fields |= {"content-type": head.content_type} if head.content_type else {}
    fields |= {"content-encoding": "gzip"} if framing.gzip else {}
    fields |= {"transfer-encoding": "chunked"} if coder.body == "chunked" else {}
    fields |= {"content-length": str(length)} if coder.body == "length" else {}
    fields |= {"connection": "close" if connection == "close" else "keep-alive"}
    fields |= {name.lower(): value for name, value in (head.headers | framing.headers).items()}
    lines = [f"HTTP/1.1 {head.code} {REASONS.get(head.code, 'Unknown')}", *(f"{key}: {fields[key]}" for key in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _interim(code: int) -> bytes:
    link = "link: </style.css>; rel=preload\r\n" if code == 103 else ""
    return f"HTTP/1.1 {code} {REASONS.get(code, 'Interim')}\r\n{link}\r\n".encode()


def _encoded(items: list[Item], coder: Coder, phase: Phase) -> Iterator[Action]:
    """The body's writes; what ends it goes with the last part, so that nobody can leave between the two."""
    for place, item in enumerate(items, 1):
        match item:
            case Part(mark, payload):
                data = coder.encode(payload) + (coder.finish() if place == len(items) else b"")
                yield Send(data, phase if mark == "output" else None)
            case CloseBody():
                yield Send(coder.finish())
            case Pause() | Reached():
                yield item
            case Cut():
                yield item
                return
    if not items or not isinstance(items[-1], Part):
        yield Send(coder.finish())


def _written(done: list[Action], framing: Framing) -> list[Action]:
    """The sends cut into segments, or run together as far as nothing comes between them."""
    if framing.segment:
        return [part for action in done for part in _segments(action, framing.segment)]
    if not framing.one_write:
        return done
    joined: list[Action] = []
    for sends, group in itertools.groupby(done, lambda action: isinstance(action, Send)):
        several = list(group)
        writes = [action for action in several if isinstance(action, Send)]
        phase = next((write.phase for write in reversed(writes) if write.phase), None)
        status = max((write.status for write in writes), default=0)
        joined += [Send(b"".join(write.data for write in writes), phase, status)] if sends else several
    return joined


def _segments(action: Action, size: int) -> Iterator[Action]:
    if not isinstance(action, Send):
        yield action
        return
    for start in range(0, len(action.data), size):
        yield action._replace(data=action.data[start : start + size])
