"""One handler for all exchanges: read the request, let relay answer, send what it says, see to it that it ends once."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any
from urllib.parse import parse_qs

import msgspec

from gateway import events
from gateway.access.keys import Caller
from gateway.api.client import AsgiClient, Client
from gateway.api.encodings import decompressed
from gateway.api.fronts import Front
from gateway.api.kept_responses import Going, Listener
from gateway.api.replies import JSON, Headers, closes, refusal_headers, request_id, retry_after_headers, unauthorised
from gateway.api.service import ManagedPrompt, Service
from gateway.attempt import Exchange
from gateway.dialects import DIALECTS
from gateway.errors import CallerError
from gateway.relay import Aborted, Answer, OutOfOptions, Story
from gateway.resilience.verdict import error_of_caller
from gateway.strand import in_task
from gateway.trace_context import trace_of
from gateway.units import parse_duration

CLIENT_CLOSED = 499
# How many gateways a request may pass: a provider that points back at this one would go round for ever.
MOST_HOPS = 8

_FORWARDED = ("openai-beta", "idempotency-key")
# For vendors of the client's own dialect: elsewhere they mean nothing, or something else.
_OWN = ("anthropic-beta", "anthropic-version")
_SESSIONS = (
    "x-skein-session",
    "thread-id",
    "x-session-id",
    "agent-session-id",
    "x-claude-code-session-id",
    "session_id",
    "session-id",
)
# What the agents that another agent has started say of themselves.
SUBAGENTS = ("x-claude-code-agent-id", "x-openai-subagent", "x-codex-parent-thread-id", "x-parent-session-id")

# What Codex says of each request, as JSON, and who it says has started it:
# https://github.com/openai/codex/blob/main/codex-rs/core/src/responses_metadata.rs
_TURN, _SUBAGENT = "x-codex-turn-metadata", "x-openai-subagent"
_ASIDES: Mapping[str, str] = {
    "prewarm": "Codex: a connection made warm",
    "compaction": "Codex: a summary",
    "compact": "Codex: a summary",
    "memory": "Codex: what to remember",
    "memory_consolidation": "Codex: what to remember",
}
"""What these say it is for, where that is no turn. Any other word is a turn: a real one must not pass for less."""

# Most requests have none of these.
_HEEDED = frozenset(
    (*_FORWARDED, *_OWN, *_SESSIONS, *SUBAGENTS, _TURN, "x-skein-model", "x-skein-timeout", "x-skein-no-fallback")
)


class Passage:
    """One exchange with a client. Also an ASGI application, for those that come that way."""

    def __init__(self, service: Service, front: Front) -> None:
        self._service, self._front, self._dialect = service, front, DIALECTS[front.dialect]
        self._kept = service.responses if front.keeps else None
        self._going: Going | None = None
        self._story: Story | None = None
        self._started = False
        self._cut = False
        self._refusing = False
        # Seconds that were not the gateway's: the client took them to send its request, or others to give its prompt.
        self._waited = 0.0
        self.id = self._caller = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.serve(AsgiClient(scope, receive, send))

    async def serve(self, client: Client) -> None:
        """From the request to the last byte of the answer; runs in a task or by hand."""
        self._client = client
        self.id = request_id(client.headers)
        self._service.running.add(self)
        self._arrived()
        try:
            exchange = await self._admit()
            client.watch()
            await self._serve(exchange)
        except asyncio.CancelledError:
            if not (client.gone or self._cut):
                self._finish("cancelled", CLIENT_CLOSED)
                raise
            _go_on()
            if self._cut and not self._started and not client.gone:
                error = CallerError(
                    503, "gateway_draining", "the gateway is shutting down", type="server_error", origin="gateway"
                )
                await self._refuse(error)
            self._finish("cancelled", CLIENT_CLOSED)
        except CallerError as error:
            self._refusing = True
            if not client.read:
                with self._waiting():
                    await self._discard()
            await self._refuse(error)
        except Aborted:
            # Ending without an end makes the server cut the connection: agents take that for a fault, not an answer.
            self._finish("broken", 200)
        except Exception:
            self._service.emit(
                events.HandlerCrashed(
                    at=self._service.gateway.clock(),
                    exchange_id=self.id,
                    span=self._trace.server,
                    traceback=traceback.format_exc(),
                )
            )
            if self._started:
                self._finish("broken", 200, code="internal_error")
            else:
                said = "the gateway failed; its log says why"
                await self._refuse(CallerError(500, "internal_error", said, type="server_error", origin="gateway"))
        finally:
            # Whatever happened: an exchange ends once, and is told.
            self._finish("cancelled", CLIENT_CLOSED)
            self._service.left(self)
            client.close()
            if self._story:
                await self._story.close()

    def refuse_unread(self) -> None:
        """A drain begins: a request that is still being sent is not waited for."""
        if self._story is None and not self._refusing:
            self.cut()

    def cut(self) -> None:
        """The drain has waited long enough."""
        self._cut = True
        if self._story is None or not self._story.cut():
            self._client.cancel()

    def leave(self) -> None:
        """Nobody is told any more."""
        self._client.cancel()

    # Before

    def _arrived(self) -> None:
        """From here on there is an exchange, whatever becomes of it."""
        service, client, headers = self._service, self._client, self._client.headers
        self._began = service.gateway.clock()
        self._trace = trace_of(headers, random.getrandbits, service.sample_ratio)
        service.emit(
            events.RequestReceived(
                at=self._began,
                exchange_id=self.id,
                span=self._trace.server,
                route=client.path,
                trace=self._trace,
                method=client.method,
                client=client.address,
                user_agent=headers.get("user-agent", "")[:256] or None,
            )
        )

    async def _admit(self) -> Exchange:
        service, client, headers = self._service, self._client, self._client.headers
        if service.draining:
            raise CallerError(
                503,
                "gateway_draining",
                "the gateway is shutting down",
                type="server_error",
                origin="gateway",
                retry_after=1.0,
            )
        clock, phases = service.gateway.clock, dict[str, float]()
        began = clock()
        if self._front.asks_key and "x-goog-api-key" not in headers and "key=" in client.query:
            headers["x-goog-api-key"] = parse_qs(client.query).get("key", [""])[-1]
        caller = service.doorkeeper.admit(headers)
        phases["auth"] = clock() - began
        if caller is None:
            raise unauthorised()
        self._caller = caller.name
        hops = _hops(headers.get("x-skein-hops", ""))
        if hops >= MOST_HOPS:
            said = f"the request has passed {hops} gateways: a provider's base_url points back at the gateway"
            raise CallerError(508, "loop_detected", said, type="server_error", origin="gateway")
        asked = clock()
        try:
            sent = await client.body(service.max_body, service.client_timeout)
        finally:
            self._waited += clock() - asked
        body = decompressed(sent, headers.get("content-encoding", ""), service.max_body)
        prompt = None
        if headers.get("x-skein-prompt"):
            with self._waiting():
                prompt = await self._prompt(headers)
            body = self._dialect.prepended(body, prompt.messages)
        if self._kept:
            with self._waiting():
                keyed = service.doorkeeper.required
                self._going = await self._kept.going_on(body, caller.name, service.max_body, keyed=keyed)
            body = self._going.body
        exchange = Exchange(
            id=self.id,
            dialect=self._dialect,
            body=body,
            trace=self._trace,
            began=self._began,
            waited=self._waited,
            phases=phases,
            prompt=prompt.prompt if prompt else None,
            forward=(("x-skein-hops", str(hops + 1)),),
            caller=caller.name,
            deployment=client.deployment,
            streamed=client.streamed,
            allowed=caller.may_use,
            restricted=caller.models is not None,
        )
        if not _HEEDED.isdisjoint(headers):
            _heed(exchange, headers, caller)
        return exchange

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        clock = self._service.gateway.clock
        began = clock()
        try:
            yield
        finally:
            self._waited += clock() - began

    async def _prompt(self, headers: Mapping[str, str]) -> ManagedPrompt:
        """The managed prompt the client asks for (``x-skein-prompt``), to stand before its own messages."""
        if self._service.prompts is None:
            said = "x-skein-prompt: this gateway has no prompt management (observe.langfuse)"
            raise CallerError(400, "invalid_prompt", said, param="x-skein-prompt")
        await in_task()
        variables = _variables(headers.get("x-skein-prompt-variables", ""))
        return await self._service.prompts.fetch(headers["x-skein-prompt"], variables)

    async def _discard(self) -> None:
        try:
            await self._client.discard()
        except asyncio.CancelledError:
            if not (self._cut or self._client.gone):
                raise
            _go_on()

    # During

    async def _serve(self, exchange: Exchange) -> None:
        self._story = story = Story(self._service.gateway, exchange)
        try:
            answer = await story.answer()
        except OutOfOptions as nobody:
            headers = list(nobody.headers)
            if nobody.retry_after is not None:
                headers += retry_after_headers(nobody.retry_after)
            elif nobody.error["code"] in ("upstream_auth", "upstream_credit"):
                headers.append(("x-should-retry", "false"))
            await self._reply(nobody.status, headers, self._dialect.error_body(nobody.error, nobody.status))
            story.finish("error", nobody.status, fault=nobody.fault, code=nobody.error["code"])
            return
        if isinstance(answer.body, bytes):
            await self._reply(answer.status, answer.headers, self._noted(answer.body))
        else:
            await self._stream(answer, answer.body)
        story.finish("broken" if story.broken else "ok", answer.status)

    async def _stream(self, answer: Answer, body: AsyncGenerator[bytes, None]) -> None:
        say, going = self._client.say, self._going
        # Most agents keep their conversations themselves: then there is nothing to listen for.
        listener = Listener(going.previous) if going and (going.keeps or going.previous) else None
        framing = self._front.framed(self._client.query)
        if framing:
            answer.headers = [*(each for each in answer.headers if each[0] != "content-type")]
            answer.headers.append(("content-type", framing.content_type))
        await self._begin(answer.status, answer.headers)
        async with aclosing(body) as chunks:
            async for chunk in chunks:
                if listener:
                    chunk = listener.feed(chunk)
                await say(framing.feed(chunk) if framing else chunk)
        if listener and listener.response and self._kept and self._going:
            self._kept.keep(self._caller, self._going, listener.response)
        await self._client.end(framing.end() if framing else b"")

    def _noted(self, answer: bytes) -> bytes:
        """A whole answer, which is kept where answers are."""
        if self._kept and self._going:
            answer = Listener(self._going.previous).named(answer)
            self._kept.keep(self._caller, self._going, answer)
        return answer

    async def _begin(self, status: int, headers: Headers, length: int | None = None, *, close: bool = False) -> None:
        self._started = True
        headers.append(("traceresponse", self._trace.traceparent(self._trace.server)))
        await self._client.begin(self.id, status, headers, length, close=close)

    async def _reply(self, status: int, headers: Headers, body: bytes, *, close: bool = False) -> None:
        if JSON[0] not in dict(headers):
            headers.append(JSON)
        await self._begin(status, headers, len(body), close=close)
        await self._client.end(body)

    # After

    async def _refuse(self, error: CallerError) -> None:
        body = self._dialect.error_body(error_of_caller(error, self.id), error.status)
        close = closes(error) or not self._client.read
        try:
            await self._reply(error.status, refusal_headers(error), body, close=close)
        finally:
            # A client that hangs up on hearing it has not cancelled anything.
            self._finish("error", error.status, code=error.code)

    def _finish(self, outcome: events.Outcome, status: int, code: str | None = None) -> None:
        """Also what never became a story (no key, too large) is an exchange that is counted once."""
        if self._story is None:
            empty = Exchange(
                id=self.id,
                dialect=self._dialect,
                body=b"",
                trace=self._trace,
                began=self._began,
                waited=self._waited,
            )
            self._story = Story(self._service.gateway, empty)
        self._story.finish(outcome, status, code=code)


def _go_on() -> None:
    """A cancellation was meant for this exchange, and is dealt with here: what runs it may go on."""
    if task := asyncio.current_task():
        task.uncancel()


def _heed(exchange: Exchange, headers: Mapping[str, str], caller: Caller) -> None:
    """What the headers want. Raises ``CallerError`` (400)."""
    exchange.forward = (*forwarded(headers), *exchange.forward)
    exchange.own = tuple(forwarded(headers, _OWN))
    exchange.session = session_of(headers, caller)
    exchange.pin = headers.get("x-skein-model") or None
    exchange.parent = parent_of(headers, caller)
    exchange.subagent = any(name in headers for name in SUBAGENTS)
    exchange.aside = aside_of(headers)
    exchange.timeout = _timeout(headers.get("x-skein-timeout"))
    exchange.no_fallback = headers.get("x-skein-no-fallback", "").lower() in ("1", "true", "yes")


def parent_of(headers: Mapping[str, str], caller: Caller) -> str | None:
    """The session of whoever has started this agent, written as its own requests have it."""
    named = headers.get("x-codex-parent-thread-id") or headers.get("x-parent-session-id")
    if named is None and "x-claude-code-agent-id" in headers:
        named = headers.get("x-claude-code-session-id")
    return f"{caller.name}:{named[:256]}" if named else None


class _Turn(msgspec.Struct):
    request_kind: str = ""


_turn = msgspec.json.Decoder(_Turn)


def aside_of(headers: Mapping[str, str]) -> str:
    """What the request is for beside the conversation; "": it is a turn of it, or nobody says."""
    said = headers.get(_TURN, "")
    try:
        kind = _turn.decode(said).request_kind if said else ""
    except (ValueError, RecursionError):
        kind = ""
    return _ASIDES.get(kind) or _ASIDES.get(headers.get(_SUBAGENT, ""), "")


def session_of(headers: Mapping[str, str], caller: Caller) -> str | None:
    """The client's session, scoped by its key: agents' ids repeat across machines."""
    name = next((name for name in _SESSIONS if headers.get(name)), None)
    if name is None:
        return None
    # Claude Code's own agents share their parent's session.
    agent = headers.get("x-claude-code-agent-id") if name == "x-claude-code-session-id" else None
    return f"{caller.name}:{headers[name][:256]}" + (f"/{agent[:64]}" if agent else "")


def forwarded(headers: Mapping[str, str], names: Sequence[str] = _FORWARDED) -> Iterator[tuple[str, str]]:
    """What goes on to the vendor; a value that no header may hold would be taken for a fault of the vendor's."""
    for name in names:
        value = headers.get(name, "").strip()
        if value and value.isascii() and value.isprintable():
            yield name, value


def _variables(said: str) -> dict[str, str]:
    """Raises ``CallerError`` (400)."""
    try:
        # Headers are read as Latin-1; what stands in this one is JSON, and that is UTF-8.
        found = msgspec.json.decode(said.encode("latin-1") or b"{}", type=dict[str, str | int | float])
    except (ValueError, RecursionError):
        what = "x-skein-prompt-variables must be a JSON object of texts and numbers"
        raise CallerError(400, "invalid_prompt", what, param="x-skein-prompt-variables") from None
    return {name: str(value) for name, value in found.items()}


def _hops(said: str) -> int:
    """Three digits tell more than enough; what is no number counts nothing."""
    return int(said[:3]) if said.isascii() and said.isdigit() else 0


def _timeout(said: str | None) -> float | None:
    if not said:
        return None
    try:
        seconds = parse_duration(said)
    except ValueError as error:
        raise CallerError(400, "invalid_timeout", f"x-skein-timeout: {error}", param="x-skein-timeout") from None
    if not seconds:
        raise CallerError(400, "invalid_timeout", "x-skein-timeout must be more than 0", param="x-skein-timeout")
    return seconds
