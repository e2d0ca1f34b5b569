"""One physical call: made, read up to its first output, and timed to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from gateway.chat import Blob, Cost, Facts, Headers, Kept, Modality, Prompt, Repaired, ToolCall, Usage
from gateway.credentials import Unsigned
from gateway.dialects import Dialect
from gateway.dialects.faults import read_fault
from gateway.dialects.glimpse import Whole
from gateway.errors import CallerError, Fault, FaultKind
from gateway.provider import BASE_HEADERS, Provider, joined
from gateway.resilience import Resilience
from gateway.resilience.failover import Attempt, Policy
from gateway.resilience.health import Ticket
from gateway.routing import Plan, Target
from gateway.strand import briefly
from gateway.thoughts import Thoughts
from gateway.tools import NO_CARE, Care, Unread
from gateway.trace_context import Trace
from gateway.translate import Asked, Outgoing, Stream, Transcode, translator
from gateway.upstream import Call, Opener, Reply, read_all, without_secrets

# An error body of a vendor is read up to this size and for so many seconds; answers up to those sizes.
ERROR_LIMIT = 1 * 2**20
REFUSAL_PATIENCE = 1.0
ANSWER_LIMIT = 256 * 2**20
HELD_LIMIT = 64 * 2**20
# Events without output (roles, filter results) that may come before the first output.
SILENT_LIMIT = 4 * 2**20
# ``whole`` left out: an answer that is not streamed may take this many times as long to begin.
WHOLE_FACTOR = 5

# A waiting stream looks up this often, in seconds, to see whether the gateway is going down.
GLANCE = 0.5

STREAM_HEAD = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
)
# Vendor headers a client may use; everything else of the vendor's head stays here.
PASSED_ON = ("x-ratelimit-", "openai-processing-ms", "openai-version", "openai-model", "anthropic-ratelimit-")


class Exchange(msgspec.Struct, kw_only=True):
    """One client request up to its last byte."""

    id: str
    dialect: Dialect
    body: bytes
    forward: Headers = ()
    """Client headers that go to the vendor."""
    own: Headers = ()
    """Those that only a vendor of the client's own dialect understands."""
    caller: str | None = None
    session: str | None = None
    pin: str | None = None
    """The model that a header asks for, over any other."""
    deployment: str | None = None
    """The model that the path names, for a body that names none."""
    streamed: bool | None = None
    """Whether the path asks for a stream, where that is not for the body to say."""
    parent: str | None = None
    """The session of the agent that has started this one, where a header names it."""
    subagent: bool = False
    """A header says that another agent has started this one."""
    aside: str = ""
    """What a header says the request is for, where it is no turn of its conversation."""
    timeout: float | None = None
    """Seconds the client gives the whole exchange."""
    no_fallback: bool = False
    allowed: Callable[[str, str], bool] = lambda asked, resolved: True
    """May this caller use the model (as asked for, as resolved)?"""
    restricted: bool = False
    """The caller may not use every model, nor learn of those it may not use."""
    trace: Trace | None = None
    began: float | None = None
    """Epoch seconds of its arrival; None: now."""
    waited: float = 0.0
    """Seconds its client took to send it."""
    phases: dict[str, float] = {}
    """Seconds by what the gateway did in them; grows on the way."""
    prompt: Prompt | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed on admission: what is asked for, who may serve it, how hard to try, and until when."""

    exchange: Exchange
    facts: Facts
    plan: Plan
    policy: Policy
    deadline: float | None
    """Epoch seconds at which the client gives up, where it has said so."""
    care: Callable[[Target], Care] = lambda target: NO_CARE
    """How a target's calls of tools are looked after."""
    planning: bool = False
    """A planner is asked: what it says may be for the client, or not."""
    interpreting: bool = False
    """An interpreter is asked: what it says is not for the client."""

    @property
    def aside(self) -> bool:
        """Somebody is asked who is not to answer the client."""
        return self.planning or self.interpreting

    def total(self, settings: Resilience, began: float) -> float:
        """When an attempt that began then has to be over."""
        return min(began + settings.timeouts.total, self.deadline or float("inf"))

    def too_long(self, now: float) -> Fault:
        """The total clock has struck: the client's own, which says nothing about the vendor, or ours."""
        if self.deadline and now >= self.deadline - 0.001:
            said = "the time the client gave (x-skein-timeout) is over"
            return Fault(kind=FaultKind.TIMEOUT_TOTAL, message=said, origin="caller")
        return Fault(kind=FaultKind.TIMEOUT_TOTAL, message="the answer took too long", origin="network")


class Opened(msgspec.Struct, kw_only=True):
    """An attempt that answered: what is to be handed on first, and where the rest comes from."""

    attempt: Attempt
    ticket: Ticket
    reply: Reply
    headers: list[tuple[str, str]]
    head: bytes
    whole: Whole | None = None
    passing: Stream | None = None
    ended: bool = False
    passed_on: list[tuple[str, str]] = []
    """The headers of the vendor's that the client may see."""
    url: str
    secrets: tuple[str, ...] = ()
    """What the vendor was sent and must not be heard saying."""
    unread: Unread | None = None
    """An interpreter is to be asked about it; to ``settle`` it puts the calls into it."""

    @property
    def usage(self) -> Usage | None:
        """As far as the vendor has told it."""
        if self.passing is not None:
            return self.passing.digest.usage
        return self.whole.usage if self.whole else None

    @property
    def repairs(self) -> tuple[Repaired, ...]:
        """What was done to its calls of tools."""
        if self.passing is not None:
            return tuple(self.passing.digest.repairs)
        return self.whole.repairs if self.whole else ()

    def kept(self) -> Iterator[tuple[str, Kept]]:
        """What was thought before each tool call, by the call's id."""
        if self.passing is not None:
            return self.passing.digest.kept()
        return self.whole.kept() if self.whole else iter(())

    @property
    def stream(self) -> Stream:
        """The reply as a stream; only asked of replies that are one."""
        if self.passing is None:
            raise TypeError("not a stream")
        return self.passing


class Delivered(NamedTuple):
    """What another target has said of an answer before it broke off."""

    text: str
    first: dict[str, Any]
    """The fields all its events share."""


Fetch = Callable[[str, Modality | None], Awaitable[Blob | Fault]]


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What a call is made with, besides what was agreed."""

    upstream: Opener
    clock: Callable[[], float]
    cost: Callable[[Target, Usage], Cost | None] = lambda target, usage: None
    """Prices an answer's usage for the client."""
    thoughts: Thoughts
    media: Fetch
    """Brings what lies at a URI."""


class Calling:
    """One physical call up to its first output."""

    def __init__(
        self,
        terms: Terms,
        provider: Provider,
        attempt: Attempt,
        ticket: Ticket,
        means: Means,
        resume: Delivered | None = None,
        keep_text: bool = False,
    ) -> None:
        """``keep_text``: what is said will be wanted later."""
        self.terms, self.provider, self.attempt, self.ticket = terms, provider, attempt, ticket
        self.clock, self._means = means.clock, means
        self._passing: Stream | None = None
        self.facts = terms.facts
        self._keep_text = keep_text or self._asks
        dialect, model = terms.exchange.dialect, attempt.target.model
        self.way = way = provider.way(dialect.FORMAT, self.facts, model)
        self.face, self.url = way.face, way.url
        self.translator = translator(dialect, self.face.vendor, terms.exchange.id, terms.care(attempt.target))
        self.settings = terms.policy.of(attempt.target)
        self.dropped: tuple[str, ...] = ()
        self.renews = False
        """The token was refused, and another will be fetched: the account is not to blame yet."""
        self.resume = resume
        self.total_at = terms.total(self.settings, ticket.began)
        self.first_at = min(ticket.began + self._patience(), self.total_at)

    @property
    def usage(self) -> Usage | None:
        """What the vendor has told of it, though the attempt failed before it was handed on."""
        return self._passing.digest.usage if self._passing else None

    def _patience(self) -> float:
        timeouts = self.settings.timeouts
        if self.facts.stream:
            return timeouts.first_token
        return timeouts.first_token * WHOLE_FACTOR if timeouts.whole is None else timeouts.whole

    async def prepare(self) -> Call | Fault:
        """What is to be sent, signed. A fault of the caller's (``bad_request``) is known before anybody is called."""
        # What a call needs first (media, a token) may take its time, but not more than there is.
        call = await briefly(self._call(), self._left(self.total_at))
        if isinstance(call, asyncio.Task):
            call.cancel()
            await asyncio.wait({call})
            return self.terms.too_long(max(self.clock(), self.total_at))
        return call

    async def open(self, call: Call) -> Opened | Fault:
        """Up to the first output (``live``), or to the end (``held``, or not streamed)."""
        reply = await self._means.upstream.open(call)
        if isinstance(reply, Fault):
            return self._total_or(reply)
        if reply.connected:
            add_up(self.terms.exchange.phases, "connect", reply.connected)
        try:
            opened = await self._read(reply, call)
        except BaseException:
            await reply.close()
            raise
        if isinstance(opened, Fault):
            await reply.close()
            if opened.kind is FaultKind.BAD_CREDENTIALS:
                self.renews = self.face.credential.refused(self.ticket.key)
            return without_secrets(opened, call.secrets, call.url)
        opened.secrets = call.secrets
        if opened.passing is None:
            await reply.close(linger=True)
        return opened

    async def _call(self) -> Call | Fault:
        written = await self._write()
        if isinstance(written, Fault):
            return msgspec.structs.replace(written, url=self.url)
        self.dropped = written.dropped
        timeouts = self.settings.timeouts
        # Later ones win: what the operator set beats ours, and nothing beats the credential.
        headers = self._headers(written)
        signed = await self.face.credential.sign(Unsigned("POST", self.url, headers, written.body), self.ticket.key)
        if isinstance(signed, Fault):
            return msgspec.structs.replace(signed, url=self.url)
        return Call(
            method="POST",
            url=at_origin(self.url, signed.origin),
            headers=tuple(dict((*headers, *signed.headers)).items()),
            body=written.body,
            connect=timeouts.connect,
            write=timeouts.write,
            head=max(0.001, self.first_at - self.clock()),
            # A retry that dies of a kept-alive connection the vendor has closed meanwhile would be a retry wasted.
            fresh=self.attempt.fresh or self.ticket.retry,
            secrets=(*signed.secrets, *self.provider.secrets),
            transport=self.provider.transport,
        )

    def _headers(self, written: Outgoing) -> Headers:
        if not written.headers:
            return joined((*self.way.headers, *self._forwarded(), *self._trace()))
        ours = (*BASE_HEADERS, *self.face.headers, *written.headers)
        return joined((*ours, *self.provider.headers, *self._forwarded(), *self._trace()))

    def _forwarded(self) -> Headers:
        exchange = self.terms.exchange
        if not exchange.own or self.face.vendor.dialect != exchange.dialect.FORMAT:
            return exchange.forward
        return (*exchange.own, *exchange.forward)

    async def _write(self) -> Outgoing | Fault:
        """The request in the vendor's dialect; what it refers to is brought first where the vendor would not."""
        exchange, target = self.terms.exchange, self.attempt.target
        try:
            body = self.translator.resume(exchange.body, self.resume.text) if self.resume else exchange.body
        except (ValueError, RecursionError):
            said = "a request that cannot be read is not gone on with by another target"
            return _unsendable(CallerError(400, "invalid_request", said))
        asked = Asked(
            body=body,
            facts=self.facts,
            target_model=target.model,
            model=self.way.model,
            max_tokens=self.terms.plan.max_tokens.get(target),
            recall=lambda call_id: self._means.thoughts.recall(exchange.caller, call_id, exchange.session),
            cache=self.provider.cache,
            bare=self.attempt.bare,
        )
        began, waited = self.clock(), 0.0
        try:
            if wanted := self.translator.fetches(asked):
                asking = self.clock()
                brought = await asyncio.gather(*(self._means.media(each.uri, each.modality) for each in wanted))
                waited = self.clock() - asking
                if fault := next((each for each in brought if isinstance(each, Fault)), None):
                    return fault
                blobs = zip(wanted, brought, strict=True)
                asked = asked._replace(media={each.uri: blob for each, blob in blobs if isinstance(blob, Blob)})
            return self.translator.request(asked)
        except CallerError as error:
            return _unsendable(error)
        except RecursionError:
            said = "the request is nested too deeply to be written anew"
            return _unsendable(CallerError(400, "nested_too_deeply", said))
        finally:
            add_up(exchange.phases, "convert", self.clock() - began - waited)

    def _trace(self) -> Headers:
        """This attempt's own place in the trace, for hosts that may know of it."""
        trace = self.terms.exchange.trace
        if trace is None or not self.provider.traced:
            return ()
        parent = ("traceparent", trace.traceparent(trace.attempt(self.attempt.number)))
        return (parent, ("tracestate", trace.state)) if trace.state else (parent,)

    def _total_or(self, fault: Fault) -> Fault:
        """The first-token clock is cut by the total one: which of them has run out?"""
        now = self.clock()
        out_of_time = fault.kind in (FaultKind.TIMEOUT_FIRST_TOKEN, FaultKind.TIMEOUT_TOTAL)
        return self.terms.too_long(now) if out_of_time and now >= self.total_at - 0.001 else fault

    async def _read(self, reply: Reply, call: Call) -> Opened | Fault:
        if not 200 <= reply.status < 300:
            return await self._refusal(reply)
        if not self.facts.stream:
            return await self._whole(reply)
        if reply.headers.get("content-type", "").partition(";")[0].strip().lower() in _NOT_STREAMS:
            return await self._not_a_stream(reply)
        return await self._first_output(reply)

    def _left(self, until: float) -> float:
        return max(0.001, until - self.clock())

    async def _refusal(self, reply: Reply) -> Fault:
        # The status alone decides most: a body that does not come must not hold up the next target.
        idle, total = self.settings.timeouts.idle, self._left(self.total_at)
        body = await read_all(reply, min(REFUSAL_PATIENCE, idle), min(REFUSAL_PATIENCE, total), ERROR_LIMIT)
        said = b"" if isinstance(body, Fault) else body
        return read_fault(reply.status, reply.headers, said, self.clock())

    async def _read_all(self, reply: Reply, limit: int) -> bytes | Fault:
        return await read_all(reply, self.settings.timeouts.idle, self._left(self.total_at), limit)

    async def _whole(self, reply: Reply) -> Opened | Fault:
        body = await self._read_all(reply, ANSWER_LIMIT)
        if isinstance(body, Fault):
            # The head was here: the answer broke off in the middle, which nobody has seen.
            kind = FaultKind.GARBLED if body.kind is FaultKind.UNREACHABLE else body.kind
            return self._total_or(msgspec.structs.replace(body, kind=kind))
        answer = self.translator.whole(body, self.clock())
        if isinstance(answer, Fault):
            return answer
        said, whole = answer
        passed_on = _passed_on(reply)
        headers = [("content-type", "application/json"), *passed_on]
        if said is body:
            headers[0] = ("content-type", reply.headers.get("content-type", "application/json"))
        opened = Opened(
            attempt=self.attempt,
            ticket=self.ticket,
            url=self.url,
            reply=reply,
            headers=headers,
            passed_on=passed_on,
            head=self._with_cost(said, whole.usage),
            whole=whole,
            ended=True,
        )
        opened.unread = self._unread(opened)
        return opened

    async def _not_a_stream(self, reply: Reply) -> Fault:
        body = await self._read_all(reply, ERROR_LIMIT)
        answer = body if isinstance(body, Fault) else self.translator.whole(body, self.clock())
        if isinstance(answer, Fault):
            return answer
        said = f"a stream was asked for, the answer is {reply.headers.get('content-type')}"
        return Fault(kind=FaultKind.GARBLED, message=said)

    def _stream(self) -> Stream:
        if self.resume:
            return self.translator.resumed(self.facts, self.resume.text, self.resume.first, self.clock())
        return self.translator.stream(self.facts, self.clock(), keep_text=self._keep_text)

    async def _first_output(self, reply: Reply) -> Opened | Fault:
        """Reads until something was said (``live``) or until all was said (``held``)."""
        passing = self._stream()
        self._passing = passing
        passing.price = _pricing(self._means.cost, self.attempt.target)
        passed_on = _passed_on(reply)
        opened = Opened(
            attempt=self.attempt,
            ticket=self.ticket,
            url=self.url,
            reply=reply,
            headers=[*STREAM_HEAD, *passed_on],
            passed_on=passed_on,
            head=b"",
            passing=passing,
        )
        held = self.terms.policy.exchange.delivery == "held" or self._asks
        clocks = Clocks(self.terms, opened, self.clock)
        parts: list[bytes] = []
        size = 0
        while not opened.ended:
            begun = passing.digest.output
            until = min(clocks.idle_at, self.total_at) if begun else self.first_at
            chunk = await reply.read(self._left(until))
            if chunk is None and not begun:
                return self._total_or(_silence(self._patience()))
            out, fault = clocks.take(chunk)
            parts.append(out)
            size += len(out)
            if fault:
                return fault
            if passing.digest.output and not held:
                break
            limit = HELD_LIMIT if begun else SILENT_LIMIT
            if size > limit:
                said = "is too long to be held back" if begun else "says nothing"
                return Fault(kind=FaultKind.GARBLED, message=f"an answer of more than {limit} bytes {said}")
        opened.head = b"".join(parts)
        opened.unread = self._unread(opened)
        return opened

    @property
    def _asks(self) -> bool:
        """An interpreter may have to be asked about the answer: it is not handed on before it is whole."""
        return self.facts.tools and self.terms.care(self.attempt.target).interpreter is not None

    def _unread(self, opened: Opened) -> Unread | None:
        translator = self.translator
        found = translator.unread() if self._asks and isinstance(translator, Transcode) else None
        return found and found._replace(settle=lambda calls: self._settled(opened, found, calls))

    def _settled(self, opened: Opened, unread: Unread, calls: Sequence[ToolCall]) -> bytes:
        if opened.passing is not None:
            opened.head += unread.settle(calls)
        elif calls and isinstance(self.translator, Transcode):
            opened.head = self._with_cost(unread.settle(calls), opened.usage)
            opened.whole = self.translator.wholly
        return opened.head

    def _with_cost(self, said: bytes, usage: Usage | None) -> bytes:
        cost = _pricing(self._means.cost, self.attempt.target)(usage) if usage else None
        return said if cost is None else self.translator.dialect.with_cost(said, cost)


def _pricing(cost: Callable[[Target, Usage], Cost | None], target: Target) -> Callable[[Usage], float | None]:
    """In dollars. Holds nothing of the exchange: its stream holds it."""

    def priced(usage: Usage) -> float | None:
        found = cost(target, usage)
        return found.usd if found else None

    return priced


def _unsendable(error: CallerError) -> Fault:
    return Fault(
        kind=FaultKind.BAD_REQUEST,
        message=error.message,
        origin="caller",
        status=error.status,
        type=error.type,
        code=error.code,
        param=error.param,
    )


def add_up(phases: dict[str, float], phase: str, seconds: float) -> None:
    phases[phase] = phases.get(phase, 0.0) + seconds


def at_origin(url: str, origin: str | None) -> str:
    """The same place at another host, where the vendor has named one with the token."""
    return url if origin is None else origin.rstrip("/") + urlsplit(url)._replace(scheme="", netloc="").geturl()


def _silence(seconds: float) -> Fault:
    return Fault(kind=FaultKind.TIMEOUT_FIRST_TOKEN, message=f"nothing was said within {seconds:g} s", origin="network")


_NOT_STREAMS = ("application/json", "text/html", "application/problem+json")


def _passed_on(reply: Reply) -> list[tuple[str, str]]:
    return [(name, value) for name, value in reply.headers.items() if name.startswith(PASSED_ON)]


class Clocks:
    """Idle, total and keep-alive clocks of one stream, and the meaning of what each read brings."""

    def __init__(self, terms: Terms, opened: Opened, clock: Callable[[], float]) -> None:
        self._terms, self._opened, self._passing, self._clock = terms, opened, opened.stream, clock
        settings = terms.policy.of(opened.attempt.target)
        self._idle, self._keepalive = settings.timeouts.idle, terms.policy.exchange.keepalive
        self.now = now = clock()
        """When it was last looked at."""
        self.total_at = terms.total(settings, opened.ticket.began)
        self.idle_at = now + self._idle
        self._comment_at = now + self._keepalive if self._keepalive else float("inf")

    def wait(self, now: float) -> float:
        """Seconds until the next of the clocks strikes, or until it is time to see whether a drain has begun."""
        return max(0.0, min(min(self.idle_at, self.total_at, self._comment_at) - now, GLANCE))

    def excuse(self, seconds: float) -> None:
        """So long it was not the vendor that was waited for."""
        self.idle_at += seconds
        self.total_at = min(self.total_at + seconds, self._terms.deadline or float("inf"))

    def take(self, chunk: bytes | Fault | None) -> tuple[bytes, Fault | None]:
        """What to hand on of one read, and the fault that ends the stream. Sets ``opened.ended`` at its end."""
        self.now = now = self._clock()
        passing = self._passing
        if chunk is None:
            return self._struck(now)
        if isinstance(chunk, Fault):
            return self._closed(chunk, now)
        if not chunk:
            return self._closed(None, now)
        before = passing.digest.progress
        out = passing.feed(chunk, now)
        if passing.digest.progress > before:
            self.idle_at = now + self._idle
        if out:
            self._comment_at = now + self._keepalive if self._keepalive else float("inf")
        if passing.done:
            self._opened.ended = True
            return out, None
        if passing.fault:
            return out, self._break(passing.fault)
        if now >= min(self.idle_at, self.total_at):
            # Only comments and empty events keep coming: that is silence too.
            silence, fault = self._struck(now)
            return out + silence, fault
        return out, None

    def _struck(self, now: float) -> tuple[bytes, Fault | None]:
        if now >= self.total_at:
            return self._closed(self._terms.too_long(now), now)
        if now >= self.idle_at:
            said = f"silence of {self._idle:g} s in the middle of the answer"
            return self._closed(Fault(kind=FaultKind.TIMEOUT_IDLE, message=said, origin="network"), now)
        if now >= self._comment_at:
            self._comment_at = now + self._keepalive
            return self._terms.exchange.dialect.KEEPALIVE, None
        return b"", None

    def _closed(self, fault: Fault | None, now: float) -> tuple[bytes, Fault | None]:
        """The vendor closed, or a clock closed for it. An answer that had said it was done is whole all the same."""
        passing = self._passing
        out = passing.end(now)
        if passing.fault:
            return out, self._break(passing.fault)
        if passing.complete:
            self._opened.ended = True
            return out, None
        if fault is None:
            said = "the stream ended without a finish reason"
            fault = Fault(kind=FaultKind.GARBLED, message=said, code="truncated", origin="network")
        return out, self._break(fault)

    def _break(self, fault: Fault) -> Fault:
        """Before the first output a fault is what it is; after it, it has broken a stream (clocks keep their name)."""
        if not self._passing.digest.output or fault.kind in _KEEP_THEIR_NAME:
            return fault
        return msgspec.structs.replace(fault, kind=FaultKind.BROKEN_STREAM, code=fault.code or fault.kind.value)


_KEEP_THEIR_NAME = frozenset((FaultKind.BROKEN_STREAM, FaultKind.TIMEOUT_IDLE, FaultKind.TIMEOUT_TOTAL))


DRAINED = Fault(
    kind=FaultKind.BROKEN_STREAM, message="the gateway is shutting down", origin="gateway", code="gateway_draining"
)
