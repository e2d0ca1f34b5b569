"""One handler for all exchanges: read the request, let relay answer, send what it says, see to it that it ends once."""

from __future__ import annotations

import asyncio
import random
import traceback
import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

import msgspec

from gateway import events
from gateway.access.keys import Caller
from gateway.api.replies import (
    JSON,
    Headers,
    encoded,
    lower,
    refusal_headers,
    request_id,
    retry_after_headers,
    unauthorised,
)
from gateway.api.service import ManagedPrompt, Service
from gateway.attempt import Exchange
from gateway.dialects import Dialect
from gateway.errors import CallerError
from gateway.relay import Aborted, Answer, OutOfOptions, Story
from gateway.resilience.verdict import error_of_caller
from gateway.trace_context import trace_of
from gateway.units import parse_duration

# A client that takes nothing for this long has stalled: its exchange is given up.
STALLED = 120.0
CLIENT_CLOSED = 499
# Bytes a second below which a request's body comes too slowly.
SLOWEST = 1024
# A request that is refused unread is read so far, for so long, before the connection is closed under it.
UNREAD_LIMIT, UNREAD_SECONDS = 256 * 1024, 1.0
# How many gateways a request may pass: a provider that points back at this one would go round for ever.
MOST_HOPS = 8

_FORWARDED = ("openai-beta", "idempotency-key")
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


class Passage:
    """One exchange over ASGI. An ASGI application, so that it sees the client leave."""

    def __init__(self, service: Service, dialect: Dialect) -> None:
        self._service, self._dialect = service, dialect
        self._story: Story | None = None
        self.task: asyncio.Task[Any] | None = None
        self._gone = False
        self._started = False
        self._cut = False
        self._read = self._refusing = False
        # The last byte is on its way: a client that leaves now has had its answer.
        self._told = False
        # Seconds that were not the gateway's: the client took them to send its request, or others to give its prompt.
        self._waited = 0.0
        self.id = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.task = asyncio.current_task()
        self._receive, self._send = receive, send
        headers = lower(scope)
        self.id = request_id(headers)
        self._service.running.add(self)
        self._arrived(scope, headers)
        watch: asyncio.Task[None] | None = None
        try:
            exchange = await self._admit(scope, headers)
            watch = asyncio.get_running_loop().create_task(self._watch())
            await self._serve(exchange)
        except asyncio.CancelledError:
            if not (self._gone or self._cut):
                self._finish("cancelled", CLIENT_CLOSED)
                raise
            if self.task:
                self.task.uncancel()
            if self._cut and not self._started:
                error = CallerError(
                    503, "gateway_draining", "the gateway is shutting down", type="server_error", origin="gateway"
                )
                await self._refuse(error)
            self._finish("cancelled", CLIENT_CLOSED)
        except CallerError as error:
            self._refusing = True
            if not self._read:
                with self._waiting():
                    await self._discard()
            await self._refuse(error)
        except Aborted:
            # Returning without an end makes the server cut the connection: agents take that for a fault, not an answer.
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
            self._service.running.discard(self)
            if watch:
                watch.cancel()
            if self._story:
                await self._story.close()

    def refuse_unread(self) -> None:
        """A drain begins: a request that is still being sent is not waited for."""
        if self._story is None and not self._refusing:
            self.cut()

    def cut(self) -> None:
        """The drain has waited long enough."""
        self._cut = True
        if (self._story is None or not self._story.cut()) and self.task:
            self.task.cancel()

    # Before

    def _arrived(self, scope: Any, headers: Mapping[str, str]) -> None:
        """From here on there is an exchange, whatever becomes of it."""
        service = self._service
        self._began = service.gateway.clock()
        self._trace = trace_of(headers, random.getrandbits, service.sample_ratio)
        service.emit(
            events.RequestReceived(
                at=self._began,
                exchange_id=self.id,
                span=self._trace.server,
                route=scope["path"],
                trace=self._trace,
                method=scope["method"],
                client=(scope.get("client") or (None,))[0],
                user_agent=headers.get("user-agent", "")[:256] or None,
            )
        )

    async def _admit(self, scope: Any, headers: dict[str, str]) -> Exchange:
        service = self._service
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
        caller = service.doorkeeper.admit(headers)
        phases["auth"] = clock() - began
        if caller is None:
            raise unauthorised()
        hops = _hops(headers.get("x-skein-hops", ""))
        if hops >= MOST_HOPS:
            said = f"the request has passed {hops} gateways: a provider's base_url points back at the gateway"
            raise CallerError(508, "loop_detected", said, type="server_error", origin="gateway")
        with self._waiting():
            sent = await self._body(headers)
        body = decompressed(sent, headers.get("content-encoding", ""), service.max_body)
        with self._waiting():
            prompt = await self._prompt(headers)
        if prompt:
            body = self._dialect.prepended(body, prompt.messages)
        return Exchange(
            id=self.id,
            dialect=self._dialect,
            body=body,
            trace=self._trace,
            began=self._began,
            waited=self._waited,
            phases=phases,
            prompt=prompt.prompt if prompt else None,
            forward=(
                *forwarded(headers),
                ("x-skein-hops", str(hops + 1)),
            ),
            caller=caller.name,
            session=session_of(headers, caller),
            pin=headers.get("x-skein-model") or None,
            deployment=scope.get("skein.deployment"),
            subagent=any(name in headers for name in SUBAGENTS),
            timeout=_timeout(headers.get("x-skein-timeout")),
            no_fallback=headers.get("x-skein-no-fallback", "").lower() in ("1", "true", "yes"),
            allowed=caller.may_use,
            restricted=caller.models is not None,
        )

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        clock = self._service.gateway.clock
        began = clock()
        try:
            yield
        finally:
            self._waited += clock() - began

    async def _prompt(self, headers: Mapping[str, str]) -> ManagedPrompt | None:
        """The managed prompt the client asks for (``x-skein-prompt``), to stand before its own messages."""
        name = headers.get("x-skein-prompt")
        if not name:
            return None
        if self._service.prompts is None:
            said = "x-skein-prompt: this gateway has no prompt management (observe.langfuse)"
            raise CallerError(400, "invalid_prompt", said, param="x-skein-prompt")
        return await self._service.prompts.fetch(name, _variables(headers.get("x-skein-prompt-variables", "")))

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        limit = self._service.max_body
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise too_large(limit)
        parts: list[bytes] = []
        size, pause = 0, self._service.client_timeout
        began = asyncio.get_running_loop().time()
        while True:
            # A byte now and then keeps nobody's place: the whole takes no longer than a slow line would.
            latest = began + pause + size / SLOWEST
            try:
                async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + pause, latest)):
                    message = await self._receive()
            except TimeoutError:
                said = f"the request's body paused for more than {pause:g} s, or comes too slowly"
                raise CallerError(408, "request_timeout", said) from None
            if message["type"] == "http.disconnect":
                self._gone = True
                raise asyncio.CancelledError
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
            if not message.get("more_body"):
                self._read = True
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _discard(self) -> None:
        """Reads a little of what will not be used: closing with unread bytes would take our answer back."""
        left = UNREAD_LIMIT
        try:
            async with asyncio.timeout(UNREAD_SECONDS):
                while left > 0 and not self._read:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self._read = not message.get("more_body", False)
        except TimeoutError:
            return
        except asyncio.CancelledError:
            if not self._cut:
                raise
            if self.task:
                self.task.uncancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._told:
            return
        self._gone = True
        if self.task:
            self.task.cancel()

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
            await self._reply(nobody.status, headers, self._dialect.error_body(nobody.error))
            story.finish("error", nobody.status, fault=nobody.fault, code=nobody.error["code"])
            return
        if isinstance(answer.body, bytes):
            await self._reply(answer.status, answer.headers, answer.body)
        else:
            await self._stream(answer, answer.body)
        story.finish("broken" if story.broken else "ok", answer.status)

    async def _stream(self, answer: Answer, body: AsyncGenerator[bytes, None]) -> None:
        await self._head(answer.status, answer.headers)
        async with aclosing(body) as chunks:
            async for chunk in chunks:
                await self._say({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._say({"type": "http.response.body", "body": b"", "more_body": False})

    async def _head(self, status: int, headers: Headers) -> None:
        self._started = True
        headers = [*headers, ("traceresponse", self._trace.traceparent(self._trace.server))]
        await self._say({"type": "http.response.start", "status": status, "headers": encoded(headers, self.id)})

    async def _reply(self, status: int, headers: Headers, body: bytes) -> None:
        headers = headers if any(name == "content-type" for name, _ in headers) else [*headers, JSON]
        await self._head(status, [*headers, ("content-length", str(len(body)))])
        await self._say({"type": "http.response.body", "body": body, "more_body": False})

    async def _say(self, message: dict[str, Any]) -> None:
        self._told = not message.get("more_body", True)
        try:
            async with asyncio.timeout(STALLED):
                await self._send(message)
        except TimeoutError:
            self._gone = True
            raise asyncio.CancelledError from None

    # After

    async def _refuse(self, error: CallerError) -> None:
        headers = refusal_headers(error)
        if not self._read and ("connection", "close") not in headers:
            headers.append(("connection", "close"))
        try:
            await self._reply(error.status, headers, self._dialect.error_body(error_of_caller(error, self.id)))
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


def too_large(limit: int) -> CallerError:
    return CallerError(413, "request_too_large", f"the request's body is larger than {limit} bytes (server.max_body)")


def session_of(headers: Mapping[str, str], caller: Caller) -> str | None:
    """The client's session, scoped by its key: agents' ids repeat across machines."""
    name = next((name for name in _SESSIONS if headers.get(name)), None)
    if name is None:
        return None
    # Claude Code's own agents share their parent's session.
    agent = headers.get("x-claude-code-agent-id") if name == "x-claude-code-session-id" else None
    return f"{caller.name}:{headers[name][:256]}" + (f"/{agent[:64]}" if agent else "")


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its ``content-encoding``. Raises ``CallerError`` (400, 413, 415)."""
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() not in ("gzip", "deflate"):
        said = f'content-encoding "{encoding[:40]}" is not understood; send gzip, deflate or none'
        raise CallerError(415, "unsupported_encoding", said)
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise CallerError(400, "invalid_encoding", f"the body is not valid {encoding}: {error}") from None
    if len(plain) > limit:
        raise too_large(limit)
    if not inflater.eof:
        raise CallerError(400, "invalid_encoding", f"the body ends in the middle of its {encoding} data")
    return plain


def forwarded(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What goes on to the vendor; a value that no header may hold would be taken for a fault of the vendor's."""
    for name in _FORWARDED:
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
