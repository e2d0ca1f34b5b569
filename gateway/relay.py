"""The story of one exchange: admit, plan, attempt until one answers, hand the reply on.

Nothing is sent to the client before the first output of an attempt, so until then another target can still serve. What
comes after that point (a break, a resume, a client that leaves) is told in ``Story.hand_on``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from functools import lru_cache
from typing import Any

import msgspec

from gateway import consulting, events
from gateway.attempt import (
    DRAINED,
    STREAM_HEAD,
    Calling,
    Clocks,
    Delivered,
    Exchange,
    Means,
    Opened,
    Terms,
    add_up,
)
from gateway.chat import Facts, Usage
from gateway.dialects.counting import estimated_answer
from gateway.errors import CallerError, Fault, FaultKind, SkeinError
from gateway.provider import Provider
from gateway.resilience import Resilience
from gateway.resilience.failover import Attempt, Outcome, Policy, next_attempt
from gateway.resilience.health import Health, Ticket
from gateway.resilience.verdict import CALLERS, error_of, most_telling, retry_after_of, status_of
from gateway.routing import Consult, Place, Plan, Target
from gateway.strand import briefly
from gateway.telling import Teller
from gateway.tools import NO_CARE, Care, Unread
from gateway.upstream import without_secrets


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration at work. A reload makes a new one; exchanges under way keep theirs.

    ``clock`` is epoch seconds that never jump; ``health`` and ``upstream`` outlive a reload.
    """

    providers: Mapping[str, Provider]
    plan: Callable[[Exchange, Facts], Awaitable[Plan]]
    """Raises ``CallerError``."""
    keep: Callable[[Place, Mapping[str, Any] | None], None]
    """Keeps ``Plan.remember`` at ``Plan.memory``. To be called for every plan that has one: None keeps what is."""
    resilience: Callable[[str | None, str], Resilience]
    """Model (or None), provider -> the settings in force."""
    health: Health
    means: Means
    """What calls are made with; its ``cost`` prices answers for the observers, too."""
    emit: events.Observer
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    windows: Callable[[Target], int | None]
    care: Callable[[str | None, Target], Care] = lambda model, target: NO_CARE
    """Model asked for (or None), target -> how its calls of tools are looked after."""
    content: bool = False
    """Telemetry was asked to carry what is said."""


class Answer(msgspec.Struct, kw_only=True):
    """What goes to the client: a head, and a body that is whole or comes in pieces."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | AsyncGenerator[bytes, None]


class OutOfOptions(SkeinError):
    """Nobody answered. Carries what the client is to be told."""

    def __init__(self, story: Story) -> None:
        tried = [*story.planners, *story.history]
        super().__init__("; ".join(f"{each.attempt.target}: {each.fault.kind.value}" for each in tried))
        # Planners count only where time was over before anybody else could be asked.
        decisive = story.history or story.planners
        telling = most_telling(decisive)
        self.fault = telling.fault
        self.status = status_of(telling.fault)
        self.retry_after = retry_after_of(decisive) if self.status in (429, 502, 503, 504) else None
        self.error = error_of(telling.fault, telling.attempt.target, tried, story.exchange.id)
        self.headers = story.headers(telling.attempt.target)


class Aborted(SkeinError):
    """``on_broken_stream: abort``: the connection to the client is to be cut without an end."""


class Story:
    """The state of one exchange, and the acts that change it. Whoever serves it calls ``finish``, then ``close``."""

    def __init__(self, gateway: Gateway, exchange: Exchange) -> None:
        self.gateway, self.exchange = gateway, exchange
        self.began = gateway.clock() if exchange.began is None else exchange.began
        self._tell = Teller(gateway.emit, gateway.clock, exchange, gateway.means.cost, content=gateway.content)
        self._dropped: tuple[str, ...] = ()
        self.terms = nothing_agreed(exchange)
        self.history: list[Outcome] = []
        self.planners: list[Outcome] = []
        """How planners failed that were asked first."""
        self.opened: Opened | None = None
        self.broken: Fault | None = None
        self.cut_short = False
        self._upstream_seconds = self._backoff_seconds = 0.0
        self._opening: asyncio.Task[Opened] | None = None
        self._resuming: asyncio.Task[Opened | None] | None = None
        self._head_is_out = False
        self._attempts = 0
        self._calling: tuple[Attempt, Ticket] | None = None
        # Known once there is something for the client.
        self._overhead: float | None = None
        self._finished = False
        # Targets that have spoken and broken off: an answer is never resumed by one of them.
        self._spoke: set[Target] = set()

    # The main line

    async def answer(self) -> Answer:
        """Raises ``CallerError`` and ``OutOfOptions``; otherwise something is there for the client."""
        self.terms = terms = await self._admit()
        if terms.facts.operation == "count_tokens":
            return await self._counted()
        if not terms.facts.stream:
            opened = await self._answered()
            return Answer(status=200, headers=self._head(opened), body=opened.head)
        # Where nothing may be said while there is nothing to say, the head waits too: its status is not known yet.
        keepalive = terms.policy.exchange.keepalive if self.exchange.dialect.KEEPALIVE else 0
        opened_or_not = await briefly(self._answered(), keepalive or None)
        if not isinstance(opened_or_not, asyncio.Task):
            return Answer(status=200, headers=self._head(opened_or_not), body=self.hand_on(opened_or_not))
        # The head goes out without a target: which one will answer is not known yet.
        self._head_is_out, self._opening = True, opened_or_not
        return Answer(status=200, headers=[*self.headers(None), *STREAM_HEAD], body=self._hand_on_later(self._opening))

    async def _counted(self) -> Answer:
        """1. Whoever serves the model counts. 2. It cannot be asked, or fails at it: an estimate, which says so."""
        terms, dialect = self.terms, self.exchange.dialect
        able = tuple(target for target in terms.plan.targets if self._counts(target))
        if able:
            self.terms = msgspec.structs.replace(terms, plan=msgspec.structs.replace(terms.plan, targets=able))
            try:
                opened = await self.until_one_answers()
            except OutOfOptions as nobody:
                if nobody.fault.kind in CALLERS:
                    raise
            else:
                return Answer(status=200, headers=self._head(opened), body=opened.head)
        estimated = estimated_answer(dialect.FORMAT, self.exchange.body)
        headers = [*self.headers(None), ("content-type", "application/json"), ("x-skein-estimated", "true")]
        return Answer(status=200, headers=headers, body=estimated)

    def _counts(self, target: Target) -> bool:
        way = self.gateway.providers[target.provider].way(self.exchange.dialect.FORMAT, self.terms.facts, target.model)
        return "count_tokens" in way.face.routes.urls

    async def _answered(self) -> Opened:
        """1. A planner is asked first, and has questions: they are the answer. 2. There is a plan. 3. As asked."""
        if (consult := self.terms.plan.consult) and (questions := await self._consult(consult)):
            self.opened = questions
            return questions
        if self.terms.plan.note is not None:
            self.terms = consulting.informed(self.terms, self.terms.plan.note)
        opened = await self.until_one_answers()
        if opened.unread is not None:
            await self._interpret(opened, opened.unread)
        return opened

    async def _admit(self) -> Terms:
        """What is asked for, and the plan for it. Raises ``CallerError``."""
        gateway, exchange = self.gateway, self.exchange
        clock, began = gateway.clock, gateway.clock()
        facts = exchange.dialect.peek(exchange.body, exchange.deployment or exchange.pin)
        if exchange.streamed is not None:
            facts = msgspec.structs.replace(facts, stream=exchange.streamed)
        if exchange.session is None and facts.session:
            exchange.session = f"{exchange.caller}:{facts.session}"
        self.terms = nothing_agreed(exchange, facts)
        read = clock()
        self._tell.understood(facts, read)
        decided = await gateway.plan(exchange, facts)
        if decided.memory:
            gateway.keep(decided.memory, decided.remember)
        planned = clock()
        plan = gateway.health.triage(decided, planned, gateway.jitter)
        self._tell.planned(plan, planned)
        add_up(exchange.phases, "parse", read - began)
        add_up(exchange.phases, "route", planned - read)
        deadline = None if exchange.timeout is None else self.began + exchange.timeout
        return Terms(
            exchange=exchange,
            facts=facts,
            plan=plan,
            policy=self._policy(plan),
            deadline=deadline,
            care=lambda target: gateway.care(plan.model, target),
        )

    def _policy(self, plan: Plan) -> Policy:
        gateway = self.gateway
        return Policy(
            exchange=gateway.resilience(plan.model, plan.targets[0].provider),
            of=lambda target: gateway.resilience(plan.model, target.provider),
            jitter=gateway.jitter,
        )

    async def until_one_answers(self) -> Opened:
        """Raises ``OutOfOptions``."""
        opened = await self._first_to_answer()
        if opened is None:
            raise OutOfOptions(self)
        self.opened = opened
        return opened

    async def _first_to_answer(self) -> Opened | None:
        """The central loop: decide, act, record. None: nobody did."""
        while attempt := self._next():
            await self._pause(attempt.delay)
            reply = await self.try_once(attempt)
            if not isinstance(reply, Fault):
                return reply
        return None

    async def _consult(self, consult: Consult) -> Opened | None:
        """Planners are asked as anybody is. Their questions, which are for the client; a plan goes into the terms."""
        gateway, terms, began, opened = self.gateway, self.terms, self.gateway.clock(), None
        if asking := consulting.planners_terms(terms, consult):
            plan = gateway.health.triage(asking.plan, began, gateway.jitter)
            try:
                self.terms = msgspec.structs.replace(asking, plan=plan)
                opened = await self._first_to_answer()
            finally:
                self.terms = terms
        self.planners, self.history = self.history, []
        told = consulting.advised(consult, self.exchange.dialect, opened, self.planners)
        if opened and told.kind == "questions":
            self._speaks(opened, gateway.clock())
        elif opened:
            self._succeeded(opened, gateway.clock())
            await opened.reply.close(linger=True)
        self._tell.advised(told, opened.attempt.target if opened else None, gateway.clock() - began)
        if terms.plan.memory and (kept := consulting.kept(terms.plan, told)) is not None:
            gateway.keep(terms.plan.memory, kept)
        self.terms = msgspec.structs.replace(terms, plan=consulting.settled(terms.plan, told, opened))
        return opened if told.kind == "questions" else None

    async def _interpret(self, opened: Opened, unread: Unread) -> None:
        """An interpreter is asked as anybody is, what the answer means to call. If it fails, the answer stands."""
        gateway, terms, history, began = self.gateway, self.terms, self.history, self.gateway.clock()
        told, dropped = consulting.NOT_INTERPRETED, self._dropped
        by: Opened | None = None
        try:
            self.terms, self.history = await self._interpreters(terms, opened, unread), []
            by = await self._first_to_answer()
            told = consulting.interpretation(unread, by, self.history, self.exchange.id)
        except CallerError as error:
            told = msgspec.structs.replace(told, why=error.code)
        finally:
            self.terms, self.history, self._dropped = terms, history, dropped
        if by:
            self._succeeded(by, gateway.clock())
            await by.reply.close(linger=True)
        unread.settle(told.calls)
        self._tell.interpreted(opened, by, told, gateway.clock() - began)

    async def _interpreters(self, terms: Terms, opened: Opened, unread: Unread) -> Terms:
        """Raises ``CallerError``: the interpreter is not there."""
        gateway, name = self.gateway, terms.care(opened.attempt.target).interpreter or ""
        asking = consulting.interpreters_terms(terms, unread, name)
        decided = await gateway.plan(asking.exchange, asking.facts)
        plan = gateway.health.triage(decided, gateway.clock(), gateway.jitter)
        return msgspec.structs.replace(asking, plan=plan, policy=self._policy(plan))

    def _next(self) -> Attempt | None:
        """The next attempt, unless the client's own deadline would pass before it could begin."""
        gateway, now = self.gateway, self.gateway.clock()
        attempt = next_attempt(self.terms.plan, self.history, self.terms.policy, _Allows(gateway, now))
        failed = self.history or self.planners
        if attempt is None or (failed and self.terms.deadline and now + attempt.delay >= self.terms.deadline):
            return None
        if self._tried(attempt.target):
            gateway.health.reserve_retry(attempt.target.provider, now)
        number = self._attempts + 1
        return attempt if attempt.number == number else msgspec.structs.replace(attempt, number=number)

    def _tried(self, target: Target) -> bool:
        return bool(self.history) and any(outcome.attempt.target == target for outcome in self.history)

    async def _pause(self, seconds: float) -> None:
        if seconds:
            began = self.gateway.clock()  # timers may strike a little early
            await self.gateway.sleep(seconds)
            self._backoff_seconds += self.gateway.clock() - began

    # One attempt

    async def try_once(self, attempt: Attempt, resume: Delivered | None = None) -> Opened | Fault:
        """Up to the first output. A fault is recorded, reported and added to the history before it is returned."""
        gateway, target, began = self.gateway, attempt.target, self.gateway.clock()
        provider = gateway.providers[target.provider]
        ticket = gateway.health.begin(
            target, provider.keys, began, retry=self._tried(target), streamed=self.terms.facts.stream
        )
        keep = gateway.content or self.terms.aside or self.terms.policy.exchange.on_broken_stream == "resume"
        try:
            calling = Calling(self.terms, provider, attempt, ticket, gateway.means, resume, keep)
            call = await calling.prepare()
            if isinstance(call, Fault) and call.kind is FaultKind.BAD_REQUEST:
                return self._never_called(attempt, ticket, call)
            self._attempts += 1
            self._calling = attempt, ticket
            self._tell.started(attempt, ticket, calling.way.shown, self.history, self.terms)
            reply = call if isinstance(call, Fault) else await calling.open(call)
        except BaseException:
            if self._calling is not None and self._calling[1] is ticket:
                self._abandon(attempt, ticket)
            else:
                self._upstream_seconds += gateway.clock() - began
                gateway.health.abandon(ticket)
            raise
        now = gateway.clock()
        self._upstream_seconds += now - began
        # What another target could not be told before says nothing of this one.
        self._dropped = calling.dropped
        if calling.dropped:
            self._tell.reduced(attempt, calling.dropped, now)
        if isinstance(reply, Fault):
            self._failed(attempt, ticket, reply, usage=calling.usage)
            if calling.renews:
                ticket.keys.revive(ticket.key)
            return reply
        gateway.health.first_output(ticket, now)
        if not self.terms.aside:
            self._speaks(reply, now)
        return reply

    def _speaks(self, opened: Opened, now: float) -> None:
        """There is something for the client."""
        self._tell.output(opened.attempt, opened.ticket, now)
        if self._overhead is None:
            self._overhead = self._own_time(now)
        if opened.ended:
            self._succeeded(opened, now)

    def _never_called(self, attempt: Attempt, ticket: Ticket, fault: Fault) -> Fault:
        """The request cannot be sent as it is: that is no attempt, and nobody's health is the worse for it."""
        now = self.gateway.clock()
        self._upstream_seconds += now - ticket.began
        self.gateway.health.abandon(ticket)
        self.history.append(Outcome(attempt, fault, now))
        return fault

    def _succeeded(self, opened: Opened, now: float) -> None:
        if self.gateway.health.succeed(opened.ticket, now):
            self._tell.succeeded(opened, now)
            for call_id, kept in opened.kept():
                self.gateway.means.thoughts.keep(self.exchange.caller, call_id, kept, self.exchange.session)

    def _abandon(self, attempt: Attempt, ticket: Ticket) -> None:
        """An attempt that was left before its end; after a verdict this does nothing."""
        if self.gateway.health.abandon(ticket):
            self._tell.abandoned(attempt, ticket, self.gateway.clock(), self.opened)

    def _failed(
        self,
        attempt: Attempt,
        ticket: Ticket,
        fault: Fault,
        *,
        after_output: bool = False,
        usage: Usage | None = None,
    ) -> None:
        """Records the fault of an attempt: in the history, in its target's health, and for the observers."""
        now = self.gateway.clock()
        self.gateway.health.fail(ticket, fault, now)
        self._tell.failed(attempt, ticket, fault, now, after_output, usage)
        self.history.append(Outcome(attempt, fault, now))

    # After the first output

    async def _hand_on_later(self, opening: asyncio.Task[Opened]) -> AsyncGenerator[bytes, None]:
        """The client has waited long: comments until somebody answers, then the answer, or the error as an event."""
        yield self.exchange.dialect.KEEPALIVE
        async with aclosing(self._comments(opening)) as comments:
            async for comment in comments:
                yield comment
        dialect = self.exchange.dialect
        if opening.cancelled():
            self.broken = DRAINED
            yield dialect.error_frame(error_of(DRAINED, None, self.history, self.exchange.id), status_of(DRAINED), 0)
            return
        try:
            opened = opening.result()
        except OutOfOptions as nobody:
            self.broken = nobody.fault
            yield dialect.error_frame(nobody.error, nobody.status, 0)
            return
        async with aclosing(self.hand_on(opened)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _comments(self, task: asyncio.Task[Any]) -> AsyncGenerator[bytes, None]:
        """Keep-alives until the task is done; whoever stops listening ends the task."""
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=self.terms.policy.exchange.keepalive or None)
                if not task.done():
                    yield self.exchange.dialect.KEEPALIVE
        finally:
            task.cancel()

    async def hand_on(self, opened: Opened) -> AsyncGenerator[bytes, None]:
        """The stream's bytes to the client, and what to do when it breaks. Raises ``Aborted``."""
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
            resumed = None
            if self._may_resume(opened):
                self._resuming = asyncio.get_running_loop().create_task(self._resume(opened))
                async with aclosing(self._comments(self._resuming)) as comments:
                    async for comment in comments:
                        yield comment
                resumed = None if self._resuming.cancelled() else self._resuming.result()
            if resumed is None:
                self.broken = fault
                if self.terms.policy.exchange.on_broken_stream == "abort":
                    raise Aborted(fault.message)
                error = error_of(fault, opened.attempt.target, self.history, self.exchange.id, broke=True)
                yield self.exchange.dialect.error_frame(error, status_of(fault), opened.stream.place)
                return
            self.opened = opened = resumed

    async def _flow(self, opened: Opened) -> AsyncGenerator[bytes | Fault, None]:
        """The bytes of one attempt; a fault is the last item when it broke."""
        passing, reply = opened.stream, opened.reply
        clock, waited = self.gateway.clock, 0.0
        try:
            if opened.head:
                yield opened.head
            clocks = Clocks(self.terms, opened, clock)
            now = clocks.now
            while not opened.ended:
                chunk = await reply.read(clocks.wait(now))
                out, fault = clocks.take(DRAINED if self.cut_short else chunk)
                now = clocks.now
                if out:
                    yield out
                    # While the client takes its time the vendor's clocks stand still.
                    handed, now = now, clock()
                    clocks.excuse(now - handed)
                    waited += now - handed
                if fault:
                    fault = without_secrets(fault, opened.secrets, opened.url)
                    self._tell.repaired(opened, now)
                    self._failed(opened.attempt, opened.ticket, fault, after_output=True, usage=opened.usage)
                    yield fault
                    return
            self._succeeded(opened, self.gateway.clock())
        finally:
            add_up(self.exchange.phases, "deliver", waited)
            self._abandon(opened.attempt, opened.ticket)
            await reply.close(linger=passing.complete and passing.fault is None)

    def _may_resume(self, opened: Opened) -> bool:
        """Only a text-only answer of which something was delivered goes on elsewhere."""
        facts, digest = self.terms.facts, opened.stream.digest
        plain = not (facts.tools or facts.structured or digest.tool) and facts.choices == 1
        wanted = self.terms.policy.exchange.on_broken_stream == "resume" and not self.cut_short
        return wanted and plain and self.exchange.dialect.RESUMES and bool("".join(digest.text))

    async def _resume(self, opened: Opened) -> Opened | None:
        """The rest of the answer from another target, or None when there is none that can."""
        digest = opened.stream.digest
        delivered = "".join(digest.text)
        self._spoke.add(opened.attempt.target)
        while attempt := self._next():
            if attempt.target in self._spoke:
                return None
            await self._pause(attempt.delay)
            resumed = await self.try_once(attempt, Delivered(delivered, digest.identity))
            if not isinstance(resumed, Fault):
                # Known from now on, so that it is given back even when the client leaves before it is read.
                self.opened = resumed
                # Should this one break too, the next is told all that was delivered so far.
                resumed.stream.digest.text.insert(0, delivered)
                resumed.stream.digest.identity = digest.identity
                return resumed
        return None

    # The end

    def cut(self) -> bool:
        """The gateway is going down and has waited long enough: the exchange ends now, and the client is told.

        False when nothing has been sent yet: then whoever serves the exchange is to give it up.
        """
        self.cut_short = True
        if self._resuming is not None and not self._resuming.done():
            self._resuming.cancel()
            return True
        if self._head_is_out and self._opening is not None and not self._opening.done():
            self._opening.cancel()
            return True
        # A stream that has begun looks up by itself.
        return self.opened is not None and self.opened.passing is not None

    async def close(self) -> None:
        """Gives back what an exchange that was left in the middle still holds. May be called twice."""
        for task in (self._opening, self._resuming):
            if task is None:
                continue
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled():
                # Looked at, so that nobody complains of an error that was never asked for.
                task.exception()
        if self.opened is not None:
            self._abandon(self.opened.attempt, self.opened.ticket)
            await self.opened.reply.close(linger=self.opened.ended)

    def finish(
        self, outcome: events.Outcome, status: int, *, fault: Fault | None = None, code: str | None = None
    ) -> None:
        """The one ``ExchangeFinished``; later calls do nothing."""
        if self._finished:
            return
        self._finished = True
        opened, now, begun = self.opened, self.gateway.clock(), self._overhead is not None
        if self._calling and not self._calling[1].settled:
            # Left in the middle of a call: that wait was not the gateway's either.
            self._upstream_seconds += now - self._calling[1].began
            self._abandon(*self._calling)
        self._tell.finished(
            self.terms,
            opened,
            outcome=outcome,
            status=status,
            attempts=self._attempts,
            began=self.began,
            begun=begun,
            overhead=self._own_time(now) if self._overhead is None else self._overhead,
            window=self._window(opened.attempt.target) if opened else None,
            fault=fault or self.broken,
            code=code,
        )

    def _window(self, target: Target) -> int | None:
        """For the record alone: where it cannot be found out the exchange ends all the same."""
        with suppress(Exception):
            return self.gateway.windows(target)
        return None

    def _own_time(self, now: float) -> float:
        """Seconds of the gateway's own: what is left when all waiting for others is taken off."""
        waited = self.exchange.waited + self._upstream_seconds + self._backoff_seconds
        return now - self.began - waited + self.exchange.phases.get("convert", 0.0)

    # For the client

    def _head(self, opened: Opened) -> list[tuple[str, str]]:
        return [*self.headers(opened.attempt.target), *opened.headers]

    def headers(self, target: Target | None) -> list[tuple[str, str]]:
        """The response headers of design.md §4 as far as they are known."""
        own = max(0.0, self._own_time(self.gateway.clock())) * 1e3
        upstream, backoff = self._upstream_seconds * 1e3, self._backoff_seconds * 1e3
        found = [
            ("x-skein-attempts", str(self._attempts)),
            ("x-skein-route", for_header(route_of(self.terms.plan))),
            ("server-timing", f"gateway;dur={own:.2f}, upstream;dur={upstream:.2f}, backoff;dur={backoff:.2f}"),
        ]
        if target:
            found += [("x-skein-provider", target.provider), ("x-skein-model", target.model)]
        if target and self._dropped:
            found.append(("x-skein-dropped", listed(self._dropped)))
        return found


MOST_LISTED = 20


def route_of(plan: Plan) -> str:
    """Who chose the model, if somebody did; the strategy; its reason."""
    pinned = f"pinned by {plan.pinned}; " if plan.pinned else ""
    return f"{pinned}{plan.strategy}; {plan.reason.removeprefix(pinned)}"


# Most plans give one of a few reasons.
@lru_cache(256)
def for_header(text: str) -> str:
    """What a header may hold of it: markers come in all languages."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:1000]


def listed(names: tuple[str, ...]) -> str:
    """For a header: bounded, and of characters that a header may hold."""
    shown = [re.sub(r"[^\x21-\x7e]", "?", name)[:80] for name in names[:MOST_LISTED]]
    more = len(names) - len(shown)
    return ", ".join((*shown, *([f"and {more} more"] if more else ())))


_USUAL = Resilience()
_UNPLANNED = Plan(model="", targets=(), reason="not admitted")
_UNKNOWN = Facts(model="")
_AS_USUAL = Policy(_USUAL, lambda _: _USUAL, lambda: 0.0)


def nothing_agreed(exchange: Exchange, facts: Facts = _UNKNOWN) -> Terms:
    """What holds before anything was planned, or where nothing ever is."""
    return Terms(exchange=exchange, facts=facts, plan=_UNPLANNED, policy=_AS_USUAL, deadline=None)


class _Allows:
    """The world as ``next_attempt`` may see it."""

    def __init__(self, gateway: Gateway, now: float) -> None:
        self._gateway, self._health, self._now = gateway, gateway.health, now

    def target(self, target: Target) -> bool:
        return self._health.allows(target, self._now)

    def retry(self, target: Target) -> bool:
        ratio = self._gateway.resilience(None, target.provider).retry_budget
        return self._health.may_retry(target.provider, ratio, self._now)

    def another_key(self, target: Target) -> bool:
        return self._gateway.providers[target.provider].keys.usable(target.model, self._now)

    def window(self, target: Target) -> int | None:
        return self._gateway.windows(target)
