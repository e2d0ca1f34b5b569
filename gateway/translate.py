"""One attempt's translation, chosen once per attempt: pass the bytes through, or go by way of the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.abilities import abilities
from gateway.chat import Blob, ChatRequest, Facts, Headers, Kept, Message, Part, Reasoning, ToolCall, Uri, Usage
from gateway.dialects import DIALECTS, EGRESS, INGRESS, Dialect, Egress, Ingress
from gateway.dialects.flattening import flattened
from gateway.dialects.glimpse import Whole
from gateway.dialects.openai_chat import continuation, fields_of
from gateway.dialects.payload_parts import Unframer
from gateway.dialects.replaying import with_roles, with_thoughts, without_foreign
from gateway.errors import CallerError, Fault
from gateway.passing import Continuing, Digest, Passing
from gateway.transcoding import ContinuingTranscoded, Naming, Transcoding, ended_in_error, transcoded
from gateway.vendors import Vendor
from gateway.vendors.foreign import THOUGHTS

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
        vendor, ask = self._vendor, self._asks_usage(asked.facts)
        refused = vendor.drop_from_messages | THOUGHTS if asked.bare else vendor.drop_from_messages
        body, lost = without_foreign(asked.body, refused)
        if vendor.roles:
            body = with_roles(body, vendor.roles)
        if vendor.replays and not asked.bare:
            body = with_thoughts(body, vendor.replays, asked.recall)
        written = self.dialect.rewrite(
            body, asked.model, ask_usage=ask, rename=vendor.rename, drop=vendor.drop, max_tokens=asked.max_tokens
        )
        dropped = _named(tuple(sorted(vendor.drop)), body)
        return adapted(vendor, Outgoing(written, (), (*dropped, *lost)), asked)

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
        return unframed(passing, self._vendor)

    def resume(self, body: bytes, delivered: str) -> bytes:
        return continuation(body, delivered, self._vendor.prefill)

    def resumed(self, facts: Facts, delivered: str, first: dict[str, Any], now: float) -> Stream:
        withhold, flatten = self._asks_usage(facts), self._vendor.flatten
        rest = Continuing(self.dialect, delivered, first, withhold_usage=withhold, flatten=flatten)
        return unframed(rest, self._vendor)

    def _asks_usage(self, facts: Facts) -> bool:
        """Usage is asked for on every stream; the client that did not ask does not get to see it."""
        return facts.stream and not facts.wants_usage and self._vendor.stream_usage


class Transcode:
    """Client and vendor speak different dialects: read into the hub, written from it."""

    def __init__(self, ingress: Ingress, egress: Egress, vendor: Vendor, exchange_id: str) -> None:
        self.dialect: Dialect = DIALECTS[ingress.NAME]
        self._ingress, self._egress, self._vendor, self._id = ingress, egress, vendor, exchange_id
        self._signer = vendor.signer or egress.SIGNED
        self._read: tuple[bytes, ChatRequest] | None = None
        self._tool_names: Mapping[str, str] = {}
        self._model = ""
        self._gives_one = False
        """More answers than one were asked for, and the vendor cannot be told."""

    def fetches(self, asked: Asked) -> tuple[Uri, ...]:
        found = {
            part.uri: part
            for message in self._request(asked.body).messages
            for part in _all_parts(message.parts)
            if isinstance(part, Uri) and not part.uri.startswith(self._egress.REFERS)
        }
        if len(found) > MOST_FETCHED:
            said = f"{len(found)} URLs would have to be fetched for {self._vendor.title}, {MOST_FETCHED} at most are"
            raise CallerError(400, "too_many_urls", said, param="messages")
        return tuple(found.values())

    def request(self, asked: Asked) -> Outgoing:
        request, self._model = self._request(asked.body), asked.target_model
        request = msgspec.structs.replace(
            request,
            model=asked.model,
            messages=tuple(self._message(each, asked) for each in request.messages),
            max_tokens=_least(request.max_tokens, asked.max_tokens),
            cache_automatically=asked.cache,
        )
        encoded = self._egress.encode_request(request, abilities(asked.target_model, asked.model))
        self._tool_names, self._gives_one = encoded.tool_names, "n" in encoded.dropped
        written = Outgoing(msgspec.json.encode(encoded.body), encoded.headers, encoded.dropped)
        if self._vendor.adapt is None:
            return written
        return adapted(self._vendor, written, asked, encoded.body)

    def whole(self, body: bytes, now: float) -> tuple[bytes, Whole] | Fault:
        answer = self._egress.decode_answer(body, now)
        if isinstance(answer, Fault):
            return answer
        if any(choice.finish_reason == "error" for choice in answer.choices):
            return ended_in_error(body)
        return transcoded(self._ingress, answer, self._naming(), self._id, self._model, now)

    def stream(self, facts: Facts, now: float, *, keep_text: bool) -> Stream:
        return unframed(self._stream(facts, now, usage=facts.wants_usage, keep_text=keep_text), self._vendor)

    def resume(self, body: bytes, delivered: str) -> bytes:
        return continuation(body, delivered, None)

    def resumed(self, facts: Facts, delivered: str, first: dict[str, Any], now: float) -> Stream:
        inner = self._stream(facts, now, usage=True, keep_text=False)
        rest = ContinuingTranscoded(inner, self.dialect, delivered, first, withhold_usage=not facts.wants_usage)
        return unframed(rest, self._vendor)

    def _stream(self, facts: Facts, now: float, *, usage: bool, keep_text: bool) -> Transcoding:
        encoder = self._ingress.stream_encoder(id=self._id, model=self._model, created=int(now), usage=usage)
        choices = 1 if self._gives_one else facts.choices
        return Transcoding(self._egress.stream_decoder(), encoder, self._naming(), choices=choices, keep_text=keep_text)

    def _naming(self) -> Naming:
        return Naming(self._tool_names, self._egress.SIGNED, self._signer)

    def _request(self, body: bytes) -> ChatRequest:
        if self._read is None or self._read[0] is not body:
            self._read = body, self._ingress.decode_request(body)
        return self._read[1]

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


def translator(dialect: Dialect, vendor: Vendor, exchange_id: str = "") -> Translator:
    """Raises ``KeyError`` for a dialect that nothing here writes."""
    if dialect.OPERATION == "embeddings" or vendor.dialect == dialect.NAME:
        return PassThrough(DIALECTS[dialect.NAME], vendor)
    return Transcode(INGRESS[dialect.NAME], EGRESS[vendor.dialect], vendor, exchange_id)
