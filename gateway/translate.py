"""One attempt's translation, chosen once per attempt: pass the bytes through, or go by way of the hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.abilities import abilities
from gateway.chat import (
    Blob,
    ChatRequest,
    ChatResponse,
    Encoded,
    Facts,
    Headers,
    Kept,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    Uri,
    Usage,
)
from gateway.dialects import (
    DIALECTS,
    EGRESS,
    INGRESS,
    Dialect,
    Egress,
    Ingress,
    embeddings,
    ollama_chat,
    openai_chat,
    openai_embeddings,
)
from gateway.dialects.counting import COUNTERS, COUNTS
from gateway.dialects.dropped_names import for_client
from gateway.dialects.faults import garbled
from gateway.dialects.flattening import flattened
from gateway.dialects.glimpse import Whole
from gateway.dialects.markers import without_markers
from gateway.dialects.openai_chat import NAME as OPENAI_CHAT
from gateway.dialects.openai_chat import fields_of
from gateway.dialects.payload_parts import Unframer
from gateway.dialects.replaying import with_roles, with_thoughts, without_foreign
from gateway.embedding import EmbeddingRequest
from gateway.errors import CallerError, Fault
from gateway.passing import Continuing, Digest, Passing
from gateway.tools import NO_CARE, Care, Caring, Unread, caring, shimmed
from gateway.transcoding import ContinuingTranscoded, Naming, Transcoding, ended_in_error, transcoded
from gateway.vendors import Vendor
from gateway.vendors.foreign import MARKERS, THOUGHTS

Recall = Callable[[str], Kept | None]
"""A tool call's id -> what was thought before it, where that is known."""


MOST_FETCHED = 20
"""URIs of one request that are fetched for a vendor that does not fetch."""


class Asked(NamedTuple):
    """One request, for one target."""

    body: bytes
    facts: Facts
    target_model: str
    """What the model is called here."""
    model: str
    """What the vendor calls it."""
    max_tokens: int | None = None
    media: Mapping[str, Blob] = {}
    """What lies at the URIs that the vendor would not fetch."""
    recall: Recall = lambda call_id: None
    cache: bool = False
    """The provider is set to ``cache: auto``."""
    bare: bool = False
    """The vendor has refused the thoughts of this conversation: they are left out."""


class Outgoing(NamedTuple):
    """A request as it goes to the vendor."""

    body: bytes
    headers: Headers = ()
    dropped: tuple[str, ...] = ()
    """What it could not be told."""


class Stream(Protocol):
    """A reply on its way to the client, in the client's dialect."""

    digest: Digest
    fault: Fault | None
    done: bool
    price: Callable[[Usage], float | None]

    @property
    def complete(self) -> bool: ...
    @property
    def place(self) -> int:
        """The number of events that were handed on, as far as the dialect numbers them."""

    def feed(self, chunk: bytes, now: float, /) -> bytes: ...
    def end(self, now: float, /) -> bytes: ...


class Translator(Protocol):
    """How one attempt's bytes are made and read. ``relay`` cannot tell the implementations apart."""

    dialect: Dialect

    def fetches(self, asked: Asked, /) -> tuple[Uri, ...]:
        """What is to be fetched first, each once. Raises ``CallerError``, as ``request`` does."""

    def request(self, asked: Asked, /) -> Outgoing: ...
    def whole(self, body: bytes, now: float, /) -> tuple[bytes, Whole] | Fault:
        """The answer in the client's dialect, and what is to be told of it."""

    def stream(self, facts: Facts, now: float, /, *, keep_text: bool) -> Stream: ...
    def resume(self, body: bytes, delivered: str, /) -> bytes: ...
    def resumed(self, facts: Facts, delivered: str, first: dict[str, Any], now: float, /) -> Stream: ...


class PassThrough:
    """Client and vendor speak the same dialect: the model name is put in, the declared deltas applied, no more."""

    def __init__(self, dialect: Dialect, vendor: Vendor) -> None:
        self.dialect, self._vendor = dialect, vendor

    def fetches(self, asked: Asked) -> tuple[Uri, ...]:
        return ()

    def request(self, asked: Asked) -> Outgoing:
        body, lost = self.dialect.cleared(asked.body, asked.bare)
        written = with_deltas(self.dialect, self._vendor, body, asked, self._asks_usage(asked.facts))
        return adapted(self._vendor, written._replace(dropped=(*written.dropped, *lost)), asked)

    def whole(self, body: bytes, now: float) -> tuple[bytes, Whole] | Fault:
        body = flattened(body) if self._vendor.flatten else body
        read = self.dialect.read_whole(body, now)
        if isinstance(read, Fault):
            return read
        return body, read if self._vendor.replays else read._replace(thoughts=())

    def stream(self, facts: Facts, now: float, *, keep_text: bool) -> Stream:
        withhold = self._asks_usage(facts)
        passing = Passing(
            self.dialect,
            withhold_usage=withhold,
            keep_text=keep_text,
            choices=facts.choices,
            replays=self._vendor.replays,
            flatten=self._vendor.flatten,
        )
        return self._as_events(passing)

    def resume(self, body: bytes, delivered: str) -> bytes:
        return self.dialect.continuation(body, delivered, self._vendor.prefill)

    def resumed(self, facts: Facts, delivered: str, first: dict[str, Any], now: float) -> Stream:
        withhold, flatten = self._asks_usage(facts), self._vendor.flatten
        rest = Continuing(self.dialect, delivered, first, withhold_usage=withhold, flatten=flatten)
        return self._as_events(rest)

    def _as_events(self, stream: Stream) -> Stream:
        """What reads the vendor's bytes, where they are no event stream."""
        if self.dialect.NAME == ollama_chat.NAME:
            return Unframed(stream, ollama_chat.Lines())
        return unframed(stream, self._vendor)

    def _asks_usage(self, facts: Facts) -> bool:
        """Usage is asked for on every stream; the client that did not ask does not get to see it."""
        return facts.stream and not facts.wants_usage and self._vendor.stream_usage


class Transcode:
    """Client and vendor speak different dialects: read into the hub, written from it."""

    def __init__(
        self, ingress: Ingress, egress: Egress, vendor: Vendor, exchange_id: str, care: Care = NO_CARE
    ) -> None:
        self.dialect: Dialect = DIALECTS[ingress.NAME]
        self._care = care
        self._ingress, self._egress, self._vendor, self._id = ingress, egress, vendor, exchange_id
        self._signer = vendor.signer or egress.SIGNED
        self._read: tuple[bytes, ChatRequest] | None = None
        self._tool_names: Mapping[str, str] = {}
        self._model = ""
        self._gives_one = False
        """More answers than one were asked for, and the vendor cannot be told."""
        self._streaming: Transcoding | None = None
        self._answered: ChatResponse | None = None
        """The last answer, while an interpreter is to be asked about it."""
        self._at = 0.0
        self.wholly: Whole | None = None
        """What is to be told of it once that is done."""

    def fetches(self, asked: Asked) -> tuple[Uri, ...]:
        parts = [part for message in self._request(asked.body).messages for part in _all_parts(message.parts)]
        return to_fetch(parts, self._egress.REFERS, self._vendor)

    def encoded(self, asked: Asked) -> Encoded:
        """The request in the vendor's dialect, without what the vendor's own row makes of it."""
        request, self._model = self._request(asked.body), asked.target_model
        if self._care.shim:
            request = shimmed(request)
        request = msgspec.structs.replace(
            request,
            model=asked.model,
            stream=asked.facts.stream,
            messages=tuple(self._message(each, asked) for each in request.messages),
            max_tokens=_least(request.max_tokens, asked.max_tokens),
            cache_automatically=asked.cache,
        )
        lost: tuple[str, ...] = ()
        if not MARKERS.isdisjoint(self._vendor.drop_from_messages):
            request, lost = without_markers(request)
        encoded = self._egress.encode_request(request, abilities(asked.target_model, asked.model))
        return msgspec.structs.replace(encoded, dropped=(*encoded.dropped, *lost)) if lost else encoded

    def request(self, asked: Asked) -> Outgoing:
        written = self._outgoing(asked)
        return written._replace(dropped=self.named(written.dropped))

    def named(self, dropped: tuple[str, ...]) -> tuple[str, ...]:
        """What the request that was written last has lost, in the client's words."""
        return for_client(self._ingress.NAME, dropped, self._read[1].extra if self._read else ())

    def _outgoing(self, asked: Asked) -> Outgoing:
        encoded = self.encoded(asked)
        self._tool_names, self._gives_one = encoded.tool_names, "n" in encoded.dropped
        if not self._vendor.stream_usage:
            encoded.body.pop("stream_options", None)
        written = Outgoing(msgspec.json.encode(encoded.body), encoded.headers, encoded.dropped)
        if self._vendor.dialect == OPENAI_CHAT:
            fitted = with_deltas(openai_chat, self._vendor, written.body, asked, ask_usage=False)
            written = Outgoing(fitted.body, encoded.headers, (*encoded.dropped, *fitted.dropped))
            return adapted(self._vendor, written, asked)
        if self._vendor.adapt is None:
            return written
        return adapted(self._vendor, written, asked, encoded.body)

    def whole(self, body: bytes, now: float) -> tuple[bytes, Whole] | Fault:
        answer = self._egress.decode_answer(body, now)
        if isinstance(answer, Fault):
            return answer
        if any(choice.finish_reason == "error" for choice in answer.choices):
            return ended_in_error(body)
        naming, looked_after = self._naming(), self._caring()
        if looked_after.asks:
            answer, naming = looked_after.answer(naming.of_answer(answer)), Naming()
            self._answered, self._at, looked_after = answer, now, Caring((), looked_after.repairs)
        return transcoded(self._ingress, answer, naming, self._id, self._model, now, self._asked, looked_after)

    def stream(self, facts: Facts, now: float, *, keep_text: bool) -> Stream:
        return unframed(self._stream(facts, now, usage=facts.wants_usage, keep_text=keep_text), self._vendor)

    def resume(self, body: bytes, delivered: str) -> bytes:
        return self.dialect.continuation(body, delivered, None)

    def resumed(self, facts: Facts, delivered: str, first: dict[str, Any], now: float) -> Stream:
        inner = self._stream(facts, now, usage=True, keep_text=False)
        rest = ContinuingTranscoded(inner, self.dialect, delivered, first, withhold_usage=not facts.wants_usage)
        return unframed(rest, self._vendor)

    def _stream(self, facts: Facts, now: float, *, usage: bool, keep_text: bool) -> Transcoding:
        encoder = self._ingress.stream_encoder(
            id=self._id, model=self._model, created=int(now), usage=usage, asked=self._asked
        )
        choices = 1 if self._gives_one else facts.choices
        self._streaming = Transcoding(
            self._egress.stream_decoder(),
            encoder,
            self._naming(),
            choices=choices,
            keep_text=keep_text,
            caring=self._caring() if self._care.wanted else None,
        )
        return self._streaming

    def unread(self) -> Unread | None:
        """What an interpreter is to be asked about the answer that has come."""
        offered = self._read[1].tools if self._read else ()
        if self._care.interpreter is None or not offered:
            return None
        if (stream := self._streaming) is not None:
            return None if stream.unread is None else Unread(stream.unread, offered, stream.settled)
        answer = self._answered
        if answer is None or [choice.finish_reason for choice in answer.choices] != ["stop"]:
            return None
        text = "".join(part.content for part in answer.choices[0].parts if isinstance(part, Text))
        return Unread(text, offered, lambda calls: self._settled(answer, calls))

    def _settled(self, answer: ChatResponse, calls: Sequence[ToolCall]) -> bytes:
        [choice] = answer.choices
        choice = msgspec.structs.replace(choice, parts=(*choice.parts, *calls), finish_reason="tool_calls")
        answer = msgspec.structs.replace(answer, choices=(choice,))
        said, self.wholly = transcoded(
            self._ingress, answer, Naming(), self._id, self._model, self._at, self._asked, Caring((), [])
        )
        return said

    def _caring(self) -> Caring:
        """For one answer."""
        offered = self._read[1].tools if self._read else ()
        return caring(self._care, offered, seed=self._id, renamed=self._tool_names)

    def _naming(self) -> Naming:
        return Naming(self._tool_names, self._egress.SIGNED, self._signer)

    def _request(self, body: bytes) -> ChatRequest:
        if self._read is None or self._read[0] is not body:
            self._read = body, self._ingress.decode_request(body)
        return self._read[1]

    @property
    def _asked(self) -> bytes:
        """The request as the client sent it, as far as it was read."""
        return self._read[0] if self._read else b""

    def _message(self, message: Message, asked: Asked) -> Message:
        """With bytes in the place of URIs that were fetched, and with the thoughts the client did not send back."""
        parts = message.parts
        if asked.media:
            parts = tuple(_with_media(part, asked.media) for part in parts)
        if asked.bare:
            parts = tuple(map(_unsigned, parts))
        elif message.role == "assistant":
            parts = self._signed(self._with_thoughts(parts, asked.recall))
        return message if parts is message.parts else msgspec.structs.replace(message, parts=parts)

    def _signed(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """The signer's thoughts as the dialect's own, and the dialect's own, where they are another's, as foreign."""
        if self._signer == self._egress.SIGNED:
            return parts
        own = {self._signer: self._egress.SIGNED, self._egress.SIGNED: f"not {self._signer}"}
        return tuple(
            msgspec.structs.replace(part, format=own[part.format])
            if isinstance(part, Reasoning) and part.format in own and part.format is not None
            else part
            for part in parts
        )

    def _with_thoughts(self, parts: tuple[Part, ...], recall: Recall) -> tuple[Part, ...]:
        """Only whose signatures this vendor takes; what the client sent back signed stays as it is."""
        calls = [part for part in parts if isinstance(part, ToolCall)]
        thoughts = [part for part in parts if isinstance(part, Reasoning)]
        if not calls or any(each.signature or each.opaque for each in (*thoughts,)):
            return parts
        kept = [recall(call.id) for call in calls]
        known = next((each for each in kept if each), None)
        if known is None:
            return parts
        signed = {call.id: each.signature for call, each in zip(calls, kept, strict=True) if each and each.signature}
        own = tuple(each for each in known.thoughts if each.format == self._signer)
        rest = tuple(
            msgspec.structs.replace(part, signature=part.signature or signed.get(part.id))
            if isinstance(part, ToolCall)
            else part
            for part in parts
            if not (own and isinstance(part, Reasoning))
        )
        return (*own, *rest)


class Embedding(PassThrough):
    """Client and vendor embed in different dialects. No answer is streamed."""

    def __init__(
        self, ingress: embeddings.Ingress, egress: embeddings.Egress, vendor: Vendor, exchange_id: str
    ) -> None:
        super().__init__(DIALECTS[ingress.NAME], vendor)
        self._ingress, self._egress, self._id = ingress, egress, exchange_id
        self._read: tuple[bytes, EmbeddingRequest] | None = None
        self._model, self._wanted = "", 0

    def fetches(self, asked: Asked) -> tuple[Uri, ...]:
        parts = [part for each in self._request(asked.body).inputs for part in getattr(each, "parts", ())]
        return to_fetch(parts, self._egress.REFERS, self._vendor)

    def request(self, asked: Asked) -> Outgoing:
        request = self._request(asked.body)
        self._model, self._wanted = asked.target_model, len(request.inputs)
        inputs = tuple(_with_media(each, asked.media) for each in request.inputs) if asked.media else request.inputs
        encoded = self._egress.encode_request(msgspec.structs.replace(request, model=asked.model, inputs=inputs))
        written = Outgoing(msgspec.json.encode(encoded.body), encoded.headers, encoded.dropped)
        if self._egress.NAME != openai_embeddings.NAME:
            return written
        fitted = with_deltas(openai_embeddings, self._vendor, written.body, asked, ask_usage=False)
        written = fitted._replace(dropped=(*encoded.dropped, *fitted.dropped))
        return adapted(self._vendor, written, asked)

    def whole(self, body: bytes, now: float) -> tuple[bytes, Whole] | Fault:
        answer = self._egress.decode_answer(body, now)
        if isinstance(answer, Fault):
            return answer
        if len(answer.vectors) != self._wanted:
            return garbled(f"{self._wanted} embeddings were asked for, and {len(answer.vectors)} came", body)
        asked = self._read[0] if self._read else b""
        said = self._ingress.encode_answer(answer, id=self._id, model=self._model, created=int(now), asked=asked)
        return said, Whole(usage=answer.usage, id=answer.id or None, model=answer.model or None)

    def _request(self, body: bytes) -> EmbeddingRequest:
        if self._read is None or self._read[0] is not body:
            self._read = body, self._ingress.decode_request(body)
        return self._read[1]


class Counting(PassThrough):
    """A vendor counts the tokens of a request that it would be sent in another dialect. No answer is streamed."""

    def __init__(self, dialect: Dialect, egress: Egress, vendor: Vendor, exchange_id: str) -> None:
        super().__init__(dialect, vendor)
        self._counter = COUNTERS[dialect.NAME]
        self._counts = COUNTS[vendor.counts or egress.NAME]
        self._chat = Transcode(INGRESS[dialect.FORMAT], egress, vendor, exchange_id)

    def fetches(self, asked: Asked) -> tuple[Uri, ...]:
        return self._chat.fetches(self._within(asked))

    def request(self, asked: Asked) -> Outgoing:
        encoded = self._chat.encoded(self._within(asked))
        body = self._counts.asked({"model": asked.model, **encoded.body})
        return Outgoing(msgspec.json.encode(body), encoded.headers, self._chat.named(encoded.dropped))

    def whole(self, body: bytes, now: float) -> tuple[bytes, Whole] | Fault:
        tokens = self._counts.read(body, now)
        return tokens if isinstance(tokens, Fault) else (self._counter.count_body(tokens), Whole())

    def _within(self, asked: Asked) -> Asked:
        return asked._replace(body=self._counter.within(asked.body))


class Repairing(Transcode):
    """Client and vendor speak the same dialect, so the request passes through; the answer's calls are looked after.

    A whole answer in which there is nothing to repair keeps its bytes; a stream is written anew.
    """

    def __init__(
        self, ingress: Ingress, egress: Egress, vendor: Vendor, exchange_id: str, care: Care, passing: PassThrough
    ) -> None:
        super().__init__(ingress, egress, vendor, exchange_id, care)
        self._passing = passing

    def fetches(self, asked: Asked) -> tuple[Uri, ...]:
        return ()

    def request(self, asked: Asked) -> Outgoing:
        self._model = asked.target_model
        # One that cannot be read is for the vendor to refuse: there are no tools that one could know of.
        with suppress(CallerError):
            self._request(asked.body)
        return self._passing.request(asked)

    def whole(self, body: bytes, now: float) -> tuple[bytes, Whole] | Fault:
        passed = self._passing.whole(body, now)
        answer = passed if isinstance(passed, Fault) else self._egress.decode_answer(passed[0], now)
        if isinstance(answer, Fault) or isinstance(passed, Fault):
            return passed
        looked_after = self._caring()
        if looked_after.answer(answer) is answer:
            return passed[0], passed[1]._replace(repairs=tuple(looked_after.repairs))
        return transcoded(
            self._ingress, answer, self._naming(), self._id, self._model, now, self._asked, self._caring()
        )

    def _naming(self) -> Naming:
        """Thoughts go back as they came, to whom they came from: no one else's name is needed."""
        return Naming(self._tool_names)

    def stream(self, facts: Facts, now: float, *, keep_text: bool) -> Stream:
        if not self._read or not self._read[1].tools or runs_elsewhere(self._read[1]):
            return self._passing.stream(facts, now, keep_text=keep_text)
        return super().stream(facts, now, keep_text=keep_text)

    def resume(self, body: bytes, delivered: str) -> bytes:
        return self._passing.resume(body, delivered)

    def resumed(self, facts: Facts, delivered: str, first: dict[str, Any], now: float) -> Stream:
        return self._passing.resumed(facts, delivered, first, now)


_RUN_ELSEWHERE = re.compile(r"tools\[\d+\](?:\.(?!custom$|functionDeclarations)\w+)?")


def runs_elsewhere(request: ChatRequest) -> bool:
    """It offers tools that run at the vendor: the hub has no words for what comes of them."""
    own = (value for key, value in request.extra.items() if _RUN_ELSEWHERE.fullmatch(key))
    return any(isinstance(each, dict) for each in own)


class Unframed:
    """A stream whose bytes come wrapped in something of the vendor's own."""

    def __init__(self, inner: Stream, unframer: Unframer) -> None:
        self.digest, self.price = inner.digest, inner.price
        self.fault: Fault | None = None
        self.done = False
        self._inner, self._unframer = inner, unframer

    @property
    def complete(self) -> bool:
        return self._inner.complete

    @property
    def place(self) -> int:
        return self._inner.place

    def feed(self, chunk: bytes, now: float) -> bytes:
        said = self._unframer.feed(chunk, now)
        # Set from outside once the stream is there.
        self._inner.price = self.price
        return self._told(self._inner.feed(said, now) if said else b"")

    def end(self, now: float) -> bytes:
        said = self._unframer.end(now)
        out = self._told(self._inner.feed(said, now) if said else b"")
        # An answer that broke off is not closed.
        return out if self.fault else self._told(out + self._inner.end(now))

    def _told(self, out: bytes) -> bytes:
        self.done = self._inner.done
        # After the end an error changes nothing: the answer is whole.
        self.fault = self._inner.fault or (None if self.complete else self._unframer.fault)
        return out


def unframed(stream: Stream, vendor: Vendor) -> Stream:
    return stream if vendor.unframe is None else Unframed(stream, vendor.unframe())


def with_deltas(dialect: Dialect, vendor: Vendor, body: bytes, asked: Asked, ask_usage: bool) -> Outgoing:
    """A request in the vendor's own dialect, with what its row declares it to want and to refuse."""
    refused = vendor.drop_from_messages | THOUGHTS if asked.bare else vendor.drop_from_messages
    body, lost = without_foreign(body, refused)
    if vendor.roles:
        body = with_roles(body, vendor.roles)
    if vendor.replays and not asked.bare:
        body = with_thoughts(body, vendor.replays, asked.recall)
    written = dialect.rewrite(
        body, asked.model, ask_usage=ask_usage, rename=vendor.rename, drop=vendor.drop, max_tokens=asked.max_tokens
    )
    return Outgoing(written, (), (*_named(tuple(sorted(vendor.drop)), body), *lost))


def adapted(vendor: Vendor, written: Outgoing, asked: Asked, body: dict[str, Any] | None = None) -> Outgoing:
    """What the vendor's own code makes of it."""
    if vendor.adapt is None:
        return written
    try:
        given = msgspec.json.decode(written.body) if body is None else body
    except (ValueError, RecursionError):
        # Read well enough to be passed on, not to be written anew (a number such as 1e999).
        return written
    made = vendor.adapt(given, asked.target_model)
    return Outgoing(
        msgspec.json.encode(made.body), (*written.headers, *made.headers), (*written.dropped, *made.dropped)
    )


def _named(names: tuple[str, ...], body: bytes) -> tuple[str, ...]:
    """Those of the names that the request has at its top level: inside a text they are only words."""
    if not names:
        return ()
    said = fields_of(body)
    return tuple(name for name in names if name in said)


def _least(one: int | None, other: int | None) -> int | None:
    given = [each for each in (one, other) if each is not None]
    return min(given) if given else None


def to_fetch(parts: Iterable[Any], refers: tuple[str, ...], vendor: Vendor) -> tuple[Uri, ...]:
    """Each once. Raises ``CallerError`` where it is too many."""
    found = {part.uri: part for part in parts if isinstance(part, Uri) and not part.uri.startswith(refers)}
    if len(found) > MOST_FETCHED:
        said = f"{len(found)} URLs would have to be fetched for {vendor.title}, {MOST_FETCHED} at most are"
        raise CallerError(400, "too_many_urls", said, param="messages")
    return tuple(found.values())


def _all_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Those inside the tools' answers too."""
    return tuple(each for part in parts for each in (part, *getattr(part, "parts", ())))


def _unsigned(part: Part) -> Part:
    if isinstance(part, Reasoning):
        # Nobody's: a dialect leaves out what is not its own, and names it.
        return msgspec.structs.replace(part, format="refused")
    return msgspec.structs.replace(part, signature=None) if isinstance(part, ToolCall) else part


def _with_media(part: Any, media: Mapping[str, Blob]) -> Any:
    if isinstance(part, Uri) and (blob := media.get(part.uri)):
        return msgspec.structs.replace(blob, name=part.name or blob.name, detail=part.detail, cache=part.cache)
    if hasattr(part, "parts"):
        return msgspec.structs.replace(part, parts=tuple(_with_media(each, media) for each in part.parts))
    return part


def translator(dialect: Dialect, vendor: Vendor, exchange_id: str = "", care: Care = NO_CARE) -> Translator:
    """Raises ``KeyError`` for a dialect that nothing here writes."""
    spoken = vendor.speaks(dialect.OPERATION)
    if dialect.OPERATION == "count_tokens":
        # What a row makes of a request for an answer would be wrong in one for a count.
        vendor = msgspec.structs.replace(vendor, adapt=None)
    if dialect.OPERATION != "chat":
        care = NO_CARE
    if spoken == dialect.FORMAT and not care.shim:
        passing = PassThrough(DIALECTS[dialect.NAME], vendor)
        if not care.repair or dialect.NAME not in INGRESS or spoken not in EGRESS:
            return passing
        return Repairing(INGRESS[dialect.NAME], EGRESS[spoken], vendor, exchange_id, care, passing)
    if dialect.OPERATION == "embeddings":
        return Embedding(embeddings.INGRESS[dialect.NAME], embeddings.EGRESS[spoken], vendor, exchange_id)
    if dialect.OPERATION == "count_tokens":
        return Counting(dialect, EGRESS[vendor.dialect], vendor, exchange_id)
    return Transcode(INGRESS[dialect.NAME], EGRESS[vendor.dialect], vendor, exchange_id, care)
