"""The story of one exchange: admit, plan, attempt until one answers, hand the reply on.

Nothing is sent to the client before the first output of an attempt, so until then another target can still serve. What
comes after that point (a break, a resume, a client that leaves) is told in ``Story.hand_on``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing

import msgspec

from gateway import events
from gateway.chat import Facts, Usage
from gateway.credentials import Credential, Headers
from gateway.dialects import Dialect
from gateway.dialects.faults import read_fault
from gateway.dialects.glimpse import Whole
from gateway.errors import CallerError, Fault, FaultKind, SkeinError
from gateway.resilience import Resilience
from gateway.resilience.failover import Attempt, Outcome, Policy, next_attempt
from gateway.resilience.health import Health, Moved, Ticket
from gateway.resilience.verdict import error_of, most_telling, retry_after_of, status_of
from gateway.routing import Plan, Target
from gateway.sse import comment
from gateway.translate import Passing, translator
from gateway.upstream import Call, Opener, Reply, read_all, without_secrets
from gateway.vendors.vendor import Routes, Vendor

# An error body of a vendor is read up to this size; a whole answer up to that.
ERROR_LIMIT = 1 * 2**20
ANSWER_LIMIT = 512 * 2**20
# Events without output (roles, filter results) that may come before the first output.
SILENT_LIMIT = 4 * 2**20
# ``whole`` left out: an answer that is not streamed may take this many times as long to begin.
WHOLE_FACTOR = 5

KEEPALIVE = comment(b"keep-alive")

# Vendor headers a client may use; everything else of the vendor's head stays here.
PASSED_ON = ("x-ratelimit-", "openai-processing-ms", "openai-version", "openai-model", "anthropic-ratelimit-")


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An account of ours on a vendor, ready to be called."""

    name: str
    vendor: Vendor
    routes: Routes
    credential: Credential
    headers: Headers = ()
    windows: Mapping[str, int] = {}


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration at work. A reload makes a new one; exchanges under way keep theirs.

    ``clock`` is epoch seconds that never jump; ``health`` and ``upstream`` outlive a reload.
    """

    providers: Mapping[str, Provider]
    plan: Callable[[Exchange, Facts], Plan]
    resilience: Callable[[str | None, str], Resilience]
    health: Health
    upstream: Opener
    emit: events.Observer
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    windows: Callable[[Target], int | None]


class Exchange(msgspec.Struct, kw_only=True):
    """One client request up to its last byte."""

    id: str
    dialect: Dialect
    body: bytes
    forward: Headers = ()
    """Client headers that go to the vendor."""
    caller: str | None = None
    session: str | None = None
    pin: str | None = None
    timeout: float | None = None
    """Seconds the client gives the whole exchange."""
    no_fallback: bool = False
    allowed: Callable[[str, str], bool] = lambda asked, resolved: True
    """May this caller use the model (as asked for, as resolved)?"""


class Answer(msgspec.Struct, kw_only=True):
    """What goes to the client: a head, and a body that is whole or comes in pieces."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | AsyncGenerator[bytes, None]


class OutOfOptions(SkeinError):
    """Nobody answered. Carries what the client is to be told."""

    def __init__(self, story: Story) -> None:
        super().__init__("; ".join(f"{o.attempt.target}: {o.fault.kind.value}" for o in story.history))
        telling = most_telling(story.history)
        self.status = status_of(telling.fault)
        self.retry_after = retry_after_of(story.history) if self.status in (429, 503, 504) else None
        self.error = error_of(telling.fault, telling.attempt.target, story.history, story.exchange.id)
        self.headers = story.headers(telling.attempt.target)
        self.fault = telling.fault


class Aborted(SkeinError):
    """``on_broken_stream: abort``: the connection to the client is to be cut without an end."""


class Opened(msgspec.Struct, kw_only=True):
    """An attempt that answered: what is to be handed on first, and where the rest comes from."""

    attempt: Attempt
    ticket: Ticket
    reply: Reply
    headers: list[tuple[str, str]]
    head: bytes
    whole: Whole | None = None
    passing: Passing | None = None
    ended: bool = False
    began: float = 0.0


class Story:
    """The state of one exchange, and the acts that change it. Whoever serves it calls ``finish``, then ``close``."""

    def __init__(self, gateway: Gateway, exchange: Exchange) -> None:
        self.gateway, self.exchange = gateway, exchange
        self.began = gateway.clock()
        self.history: list[Outcome] = []
        self.upstream_seconds = 0.0
        self.waited_seconds = 0.0
        self.facts: Facts | None = None
        self.plan: Plan | None = None
        self.policy: Policy | None = None
        self.opened: Opened | None = None
        self.output = False
        self.broken: Fault | None = None
        self.cut_short = False
        self._task: asyncio.Task[Opened] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._early = False
        self._spoke: set[Target] = set()
        self._finished = False

    # The main line

    async def answer(self) -> Answer:
        """Raises ``CallerError`` and ``OutOfOptions``; otherwise something is there for the client."""
        self.admit()
        assert self.facts is not None and self.policy is not None
        if not self.facts.stream:
            opened = await self.until_one_answers()
            return Answer(status=200, headers=[*self.headers(opened.attempt.target), *opened.headers], body=opened.head)
        self._task = asyncio.get_running_loop().create_task(self.until_one_answers())
        await asyncio.wait({self._task}, timeout=self.policy.exchange.keepalive or None)
        if self._task.done():
            opened = self._task.result()
            return Answer(
                status=200, headers=[*self.headers(opened.attempt.target), *opened.headers], body=self.hand_on(opened)
            )
        # The head goes out without a target: which one will answer is not known yet.
        self._early = True
        return Answer(status=200, headers=[*self.headers(None), *STREAM_HEAD], body=self.hand_on_later(self._task))

    def admit(self) -> None:
        """What is asked for, and the plan for it. Raises ``CallerError``."""
        gateway, exchange = self.gateway, self.exchange
        facts = exchange.dialect.peek(exchange.body, exchange.pin)
        gateway.emit(
            events.RequestReceived(
                at=self.began,
                exchange_id=exchange.id,
                dialect=exchange.dialect.NAME,
                operation=facts.operation,
                model=facts.model,
                stream=facts.stream,
                size=facts.size,
                caller=exchange.caller,
                session=exchange.session,
            )
        )
        self.facts = facts
        wanted = msgspec.structs.replace(facts, model=exchange.pin) if exchange.pin else facts
        plan = gateway.plan(exchange, wanted)
        if not exchange.allowed(wanted.model, plan.model):
            raise CallerError(
                403,
                "model_not_allowed",
                f'this key may not use model "{wanted.model}"',
                type="permission_error",
                param="model",
                origin="gateway",
            )
        self.plan = gateway.health.triage(plan, gateway.clock())
        model = self.plan.model
        self.policy = Policy(
            exchange=self._settings(model, self.plan.targets[0].provider),
            of=lambda target: self._settings(model, target.provider),
            jitter=gateway.jitter,
        )
        gateway.emit(events.PlanMade(at=gateway.clock(), exchange_id=exchange.id, plan=self.plan))

    def _settings(self, model: str, provider: str) -> Resilience:
        return self.gateway.resilience(model, provider)

    async def until_one_answers(self) -> Opened:
        """The central loop: decide, act, record. Raises ``OutOfOptions``."""
        assert self.plan is not None and self.policy is not None
        while attempt := next_attempt(self.plan, self.history, self.policy, _Allows(self)):
            if self._too_late(attempt.delay):
                break
            await self._pause(attempt.delay)
            reply = await self.try_once(attempt)
            if not isinstance(reply, Fault):
                self.opened = reply
                return reply
        raise OutOfOptions(self)

    async def _pause(self, seconds: float) -> None:
        if seconds:
            self.waited_seconds += seconds
            await self.gateway.sleep(seconds)

    def _too_late(self, delay: float) -> bool:
        """The client's own deadline would pass before the next attempt could begin."""
        left = self.seconds_left()
        return bool(self.history) and left is not None and delay >= left

    def seconds_left(self) -> float | None:
        timeout = self.exchange.timeout
        return None if timeout is None else self.began + timeout - self.gateway.clock()

    # One attempt

    async def try_once(self, attempt: Attempt, resume: tuple[bytes, Passing] | None = None) -> Opened | Fault:
        """Up to the first output. A fault is recorded, reported and added to the history before it is returned."""
        assert self.facts is not None
        gateway, target = self.gateway, attempt.target
        retry = any(outcome.attempt.target == target for outcome in self.history)
        began = gateway.clock()
        ticket = gateway.health.begin(target, began, retry=retry, streamed=self.facts.stream)
        calling = _Calling(self, attempt, ticket, resume)
        gateway.emit(
            events.AttemptStarted(
                at=began,
                exchange_id=self.exchange.id,
                number=attempt.number,
                target=target,
                url=calling.url,
                reason=attempt.reason,
            )
        )
        try:
            reply = await calling.open()
        except asyncio.CancelledError:
            gateway.health.abandon(ticket)
            raise
        self.upstream_seconds += gateway.clock() - began
        if isinstance(reply, Fault):
            self.failed(attempt, ticket, reply)
            return reply
        reply.began = began
        gateway.health.first_output(ticket, gateway.clock())
        if reply.ended:
            self._moved(gateway.health.succeed(ticket, gateway.clock()))
        if not self.output:
            self.output = True
            gateway.emit(
                events.OutputStarted(
                    at=gateway.clock(),
                    exchange_id=self.exchange.id,
                    number=attempt.number,
                    target=target,
                    seconds=gateway.clock() - began,
                )
            )
        return reply

    def failed(self, attempt: Attempt, ticket: Ticket, fault: Fault, *, after_output: bool = False) -> None:
        """Records the fault of an attempt: in the history, in its target's health, and for the observers."""
        now = self.gateway.clock()
        self._moved(self.gateway.health.fail(ticket, fault, now))
        self.gateway.emit(
            events.AttemptFailed(
                at=now,
                exchange_id=self.exchange.id,
                number=attempt.number,
                target=attempt.target,
                fault=fault,
                seconds=now - ticket.began,
                after_output=after_output,
            )
        )
        self.history.append(Outcome(attempt, fault, now))

    def _moved(self, moved: Moved | None) -> None:
        if moved:
            self.gateway.emit(
                events.BreakerMoved(
                    at=self.gateway.clock(),
                    target=moved.target,
                    before=moved.before.value,
                    after=moved.after.value,
                )
            )

    # After the first output

    async def hand_on_later(self, opening: asyncio.Task[Opened]) -> AsyncGenerator[bytes, None]:
        """The client has waited long: comments until somebody answers, then the answer, or the error as an event."""
        assert self.policy is not None
        yield KEEPALIVE
        try:
            while not opening.done():
                await asyncio.wait({opening}, timeout=self.policy.exchange.keepalive)
                if not opening.done():
                    yield KEEPALIVE
        finally:
            opening.cancel()
        if self.cut_short:
            self.broken = DRAINED
            yield self.exchange.dialect.error_frame(error_of(DRAINED, None, self.history, self.exchange.id))
            return
        try:
            opened = opening.result()
        except OutOfOptions as nobody:
            self.broken = nobody.fault
            yield self.exchange.dialect.error_frame(nobody.error)
            return
        async with aclosing(self.hand_on(opened)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def hand_on(self, opened: Opened) -> AsyncGenerator[bytes, None]:
        """The stream's bytes to the client, and what to do when it breaks. Raises ``Aborted``."""
        assert self.policy is not None
        while True:
            fault: Fault | None = None
            async with aclosing(self._flow(opened)) as flow:
                async for chunk in flow:
                    if isinstance(chunk, Fault):
                        fault = chunk
                    else:
                        yield chunk
            if fault is None:
                return
            resumed = await self._resume(opened, fault)
            if resumed is None:
                self.broken = fault
                if self.policy.exchange.on_broken_stream == "abort":
                    raise Aborted(fault.message)
                error = error_of(fault, opened.attempt.target, self.history, self.exchange.id, broke=True)
                yield self.exchange.dialect.error_frame(error)
                return
            self.opened = opened = resumed

    async def _flow(self, opened: Opened) -> AsyncGenerator[bytes | Fault, None]:
        """The bytes of one attempt; a fault is the last item when it broke."""
        assert self.policy is not None and opened.passing is not None
        passing, reply = opened.passing, opened.reply
        try:
            if opened.head:
                yield opened.head
            clocks = _Clocks(self, opened)
            while not opened.ended:
                chunk = await reply.read(clocks.wait())
                out, fault = clocks.take(DRAINED if self.cut_short else chunk)
                if out:
                    yield out
                if fault:
                    self.failed(opened.attempt, opened.ticket, fault, after_output=True)
                    yield fault
                    return
            self._moved(self.gateway.health.succeed(opened.ticket, self.gateway.clock()))
        finally:
            self.gateway.health.abandon(opened.ticket)
            await reply.close(linger=passing.complete and passing.fault is None)

    async def _resume(self, opened: Opened, fault: Fault) -> Opened | None:
        """``on_broken_stream: resume``: the rest of a text-only answer from another target, or None."""
        assert self.plan is not None and self.policy is not None and self.facts is not None
        passing, facts = opened.passing, self.facts
        if self.policy.exchange.on_broken_stream != "resume" or self.cut_short or passing is None:
            return None
        delivered = "".join(passing.digest.text)
        if facts.tools or facts.structured or facts.choices != 1 or passing.digest.tool or not delivered:
            return None
        first = passing.digest.identity
        self._spoke.add(opened.attempt.target)
        while attempt := next_attempt(self.plan, self.history, self.policy, _Allows(self)):
            if attempt.target in self._spoke or self._too_late(attempt.delay):
                return None
            await self._pause(attempt.delay)
            vendor = self.gateway.providers[attempt.target.provider].vendor
            translated = translator(self.exchange.dialect, vendor)
            body = translated.resume(self.exchange.body, delivered)
            resumed = await self.try_once(attempt, (body, translated.resumed(facts, delivered, first)))
            if not isinstance(resumed, Fault):
                assert resumed.passing is not None
                resumed.passing.digest.text.insert(0, delivered)
                resumed.passing.digest.identity = first
                return resumed
        return None

    def cut(self) -> bool:
        """The gateway is going down and has waited long enough: the exchange ends now, and the client is told.

        False when nothing has been sent yet: then whoever serves the exchange is to give it up.
        """
        self.cut_short = True
        if self.opened is not None and self.opened.passing is not None:
            self._closing = asyncio.get_running_loop().create_task(self.opened.reply.close())
            return True
        if self._early and self._task is not None:
            self._task.cancel()
            return True
        return False

    async def close(self) -> None:
        """Gives back what an exchange that was left in the middle still holds. May be called twice."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        if self.opened is not None:
            self.gateway.health.abandon(self.opened.ticket)
            await self.opened.reply.close(linger=self.opened.ended)

    # For the client and for the observers

    def headers(self, target: Target | None) -> list[tuple[str, str]]:
        """The response headers of design.md §4 as far as they are known."""
        total, upstream, waited = self.gateway.clock() - self.began, self.upstream_seconds, self.waited_seconds
        times = [("gateway", max(0.0, total - upstream - waited)), ("upstream", upstream)]
        times += [("backoff", waited)] if waited else []
        found = [("x-skein-attempts", str(len(self.history) + (1 if self.opened else 0)))]
        if target:
            found += [("x-skein-provider", target.provider), ("x-skein-model", target.model)]
        if self.plan:
            found.append(("x-skein-route", f"{self.plan.strategy}; {self.plan.reason}"))
        found.append(("server-timing", ", ".join(f"{name};dur={seconds * 1e3:.2f}" for name, seconds in times)))
        return found

    def finish(
        self, outcome: events.Outcome, status: int, *, fault: Fault | None = None, code: str | None = None
    ) -> None:
        """The one ``ExchangeFinished``; later calls do nothing."""
        if self._finished:
            return
        self._finished = True
        opened, facts = self.opened, self.facts
        digest = opened.passing.digest if opened and opened.passing else None
        whole = opened.whole if opened else None
        usage: Usage | None = digest.usage if digest else whole.usage if whole else None
        now = self.gateway.clock()
        self.gateway.emit(
            events.ExchangeFinished(
                at=now,
                exchange_id=self.exchange.id,
                model=self.plan.model if self.plan else (facts.model if facts else ""),
                stream=bool(facts and facts.stream),
                outcome=outcome,
                status=status,
                attempts=len(self.history) + (1 if opened and not self.broken else 0),
                seconds=now - self.began,
                target=opened.attempt.target if opened else None,
                finish_reason=digest.finish_reason if digest else whole.finish_reason if whole else None,
                usage=usage,
                skipped=digest.skipped if digest else 0,
                fault=fault or self.broken,
                code=code,
            )
        )


STREAM_HEAD = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]
DRAINED = Fault(
    kind=FaultKind.BROKEN_STREAM, message="the gateway is shutting down", origin="gateway", code="gateway_draining"
)


class _Allows:
    """The world as ``next_attempt`` may see it."""

    def __init__(self, story: Story) -> None:
        self._story, self._health, self._now = story, story.gateway.health, story.gateway.clock()

    def target(self, target: Target) -> bool:
        return self._health.allows(target, self._now)

    def retry(self, target: Target) -> bool:
        ratio = self._story.gateway.resilience(None, target.provider).retry_budget
        return self._health.may_retry(target.provider, ratio, self._now)

    def another_key(self, target: Target) -> bool:
        return self._health.keys(target.provider).usable(target.model, self._now)

    def window(self, target: Target) -> int | None:
        return self._story.gateway.windows(target)


class _Calling:
    """One physical call up to its first output."""

    def __init__(self, story: Story, attempt: Attempt, ticket: Ticket, resume: tuple[bytes, Passing] | None) -> None:
        assert story.facts is not None and story.policy is not None and story.plan is not None
        self.story, self.attempt, self.ticket = story, attempt, ticket
        self.facts = story.facts
        self.provider = story.gateway.providers[attempt.target.provider]
        self.translator = translator(story.exchange.dialect, self.provider.vendor)
        self.settings = story.policy.of(attempt.target)
        self.url = self.provider.routes.url(self.facts.operation, attempt.target.model)
        self.resume = resume
        self._held = story.policy.exchange.delivery == "held"
        self._keep_text = story.policy.exchange.on_broken_stream == "resume"
        clock = story.gateway.clock
        left = story.seconds_left()
        self.total_at = clock() + (
            self.settings.timeouts.total if left is None else min(left, self.settings.timeouts.total)
        )
        self.first_at = min(clock() + self._patience(), self.total_at)

    def _patience(self) -> float:
        timeouts = self.settings.timeouts
        if self.facts.stream:
            return timeouts.first_token
        return timeouts.first_token * WHOLE_FACTOR if timeouts.whole is None else timeouts.whole

    async def open(self) -> Opened | Fault:
        call = await self._call()
        if isinstance(call, Fault):
            return call
        gateway = self.story.gateway
        reply = await gateway.upstream.open(call)
        if isinstance(reply, Fault):
            return self._total_or(reply)
        try:
            opened = await self._read(reply, call)
        except BaseException:
            await reply.close()
            raise
        if isinstance(opened, Fault):
            await reply.close()
            return without_secrets(opened, call)
        if opened.passing is None:
            await reply.close(linger=True)
        return opened

    async def _call(self) -> Call | Fault:
        signed = await self.provider.credential.headers(self.ticket.key)
        if isinstance(signed, Fault):
            return msgspec.structs.replace(signed, url=self.url)
        exchange, timeouts, model = self.story.exchange, self.settings.timeouts, self.attempt.target.model
        plan = self.story.plan
        body = self.translator.request(
            self.resume[0] if self.resume else exchange.body,
            self.facts,
            self.provider.routes.deployed(model),
            plan.max_tokens.get(self.attempt.target) if plan else None,
        )
        return Call(
            method="POST",
            url=self.url,
            headers=(*_BASE_HEADERS, *self.provider.headers, *exchange.forward, *signed),
            body=body,
            connect=timeouts.connect,
            write=timeouts.write,
            head=max(0.001, self.first_at - self.story.gateway.clock()),
            fresh=self.attempt.fresh,
            secrets=tuple(value.removeprefix("Bearer ") for _, value in signed),
        )

    def _total_or(self, fault: Fault) -> Fault:
        """The first-token clock is cut by the total one: which of them has run out?"""
        if fault.kind is FaultKind.TIMEOUT_FIRST_TOKEN and self.story.gateway.clock() >= self.total_at - 0.001:
            return msgspec.structs.replace(fault, kind=FaultKind.TIMEOUT_TOTAL)
        return fault

    async def _read(self, reply: Reply, call: Call) -> Opened | Fault:
        if not 200 <= reply.status < 300:
            return await self._refusal(reply)
        if not self.facts.stream:
            return await self._whole(reply)
        if reply.headers.get("content-type", "").partition(";")[0].strip().lower() in _NOT_STREAMS:
            return await self._not_a_stream(reply)
        return await self._first_output(reply)

    def _left(self, until: float) -> float:
        return max(0.001, until - self.story.gateway.clock())

    async def _refusal(self, reply: Reply) -> Fault:
        body = await self._read_all(reply, ERROR_LIMIT)
        said = b"" if isinstance(body, Fault) else body
        return read_fault(reply.status, reply.headers, said, self.story.gateway.clock())

    async def _read_all(self, reply: Reply, limit: int) -> bytes | Fault:
        return await read_all(reply, self.settings.timeouts.idle, self._left(self.total_at), limit)

    async def _whole(self, reply: Reply) -> Opened | Fault:
        body = await self._read_all(reply, ANSWER_LIMIT)
        if isinstance(body, Fault):
            # The head was here: the answer broke off in the middle, which nobody has seen.
            kind = FaultKind.GARBLED if body.kind is FaultKind.UNREACHABLE else body.kind
            return msgspec.structs.replace(body, kind=kind)
        whole = self.translator.whole(body, self.story.gateway.clock())
        if isinstance(whole, Fault):
            return whole
        headers = [("content-type", reply.headers.get("content-type", "application/json")), *_passed_on(reply)]
        return Opened(
            attempt=self.attempt, ticket=self.ticket, reply=reply, headers=headers, head=body, whole=whole, ended=True
        )

    async def _not_a_stream(self, reply: Reply) -> Fault:
        body = await self._read_all(reply, ERROR_LIMIT)
        whole = body if isinstance(body, Fault) else self.translator.whole(body, self.story.gateway.clock())
        if isinstance(whole, Fault):
            return whole
        said = f"a stream was asked for, the answer is {reply.headers.get('content-type')}"
        return Fault(kind=FaultKind.GARBLED, message=said)

    async def _first_output(self, reply: Reply) -> Opened | Fault:
        """Reads until something was said (``live``) or until all was said (``held``)."""
        passing = self.resume[1] if self.resume else self.translator.stream(self.facts, keep_text=self._keep_text)
        opened = Opened(
            attempt=self.attempt,
            ticket=self.ticket,
            reply=reply,
            headers=[*STREAM_HEAD, *_passed_on(reply)],
            head=b"",
            passing=passing,
        )
        clocks = _Clocks(self.story, opened)
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
            if passing.digest.output and not self._held:
                break
            if not begun and size > SILENT_LIMIT:
                return Fault(kind=FaultKind.GARBLED, message=f"{SILENT_LIMIT} bytes without any output")
        opened.head = b"".join(parts)
        return opened


def _silence(seconds: float) -> Fault:
    return Fault(kind=FaultKind.TIMEOUT_FIRST_TOKEN, message=f"nothing was said within {seconds:g} s", origin="network")


_NOT_STREAMS = ("application/json", "text/html", "application/problem+json")
_BASE_HEADERS = (
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("accept-encoding", "identity"),
    ("user-agent", "skein"),
)


def _passed_on(reply: Reply) -> list[tuple[str, str]]:
    return [(name, value) for name, value in reply.headers.items() if name.startswith(PASSED_ON)]


class _Clocks:
    """Idle, total and keep-alive clocks of one stream, and the meaning of what each read brings."""

    def __init__(self, story: Story, opened: Opened) -> None:
        assert story.policy is not None and opened.passing is not None
        self._story, self._opened, self._passing = story, opened, opened.passing
        settings = story.policy.of(opened.attempt.target)
        self._idle = settings.timeouts.idle
        self._keepalive = story.policy.exchange.keepalive
        now = story.gateway.clock()
        left = story.seconds_left()
        total = settings.timeouts.total if left is None else min(left, settings.timeouts.total)
        self.total_at = (opened.began or now) + total
        self.idle_at = now + self._idle
        self._comment_at = now + self._keepalive if self._keepalive else float("inf")

    def wait(self) -> float:
        """Seconds until the next of the clocks strikes."""
        return max(0.0, min(self.idle_at, self.total_at, self._comment_at) - self._story.gateway.clock())

    def take(self, chunk: bytes | Fault | None) -> tuple[bytes, Fault | None]:
        """What to hand on of one read, and the fault that ends the stream. Sets ``opened.ended`` at its end."""
        now = self._story.gateway.clock()
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
            return self._closed(_clock_fault(FaultKind.TIMEOUT_TOTAL, "the answer took too long"), now)
        if now >= self.idle_at:
            said = f"silence of {self._idle:g} s in the middle of the answer"
            return self._closed(_clock_fault(FaultKind.TIMEOUT_IDLE, said), now)
        if now >= self._comment_at:
            self._comment_at = now + self._keepalive
            return KEEPALIVE, None
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


def _clock_fault(kind: FaultKind, message: str) -> Fault:
    return Fault(kind=kind, message=message, origin="network")
