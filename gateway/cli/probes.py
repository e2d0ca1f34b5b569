"""Four small calls to one provider, by its own routes and credential: what was asked, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal

import msgspec

from gateway.attempt import at_origin
from gateway.chat import Facts, Headers
from gateway.credentials import Unsigned
from gateway.dialects import openai_chat
from gateway.dialects.faults import garbled, read_fault
from gateway.errors import CallerError, Fault, FaultKind
from gateway.listing_shapes import Listed, read_page
from gateway.provider import Face, Provider
from gateway.translate import Asked, Outgoing, Translator, translator
from gateway.upstream import Call, Opener, Reply, read_all, without_secrets
from gateway.vendors import Vendor

Test = Literal["listing", "chat", "stream", "tools"]

# Enough for a model that thinks before it says "ok"; the others stop by themselves after a word or two.
MOST_TOKENS = 512
LIMIT = 8 * 2**20
CONNECT = 5.0

GREETING = [{"role": "user", "content": "Reply with the single word: ok"}]
QUESTION = [{"role": "user", "content": "What time is it in Paris? Call the tool current_time to find out."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "current_time",
        "description": "The current time in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city's name"}},
            "required": ["city"],
        },
    },
}
REQUESTS: Mapping[Test, dict[str, Any]] = {
    "chat": {"messages": GREETING},
    "stream": {"messages": GREETING, "stream": True},
    "tools": {"messages": QUESTION, "tools": [TOOL]},
}
# Most take the newer name (some nothing else); older servers only know the other.
CAPS = ("max_completion_tokens", "max_tokens")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one call. ``seconds`` is to its end, ``first`` to the first words of a stream."""

    url: str
    face: Vendor
    """Which of the vendor's rows was called."""
    headers: Headers = ()
    """What the vendor is told with the call, without what signs it in and what the operator has set."""
    body: bytes | None = None
    status: int | None = None
    seconds: float = 0.0
    first: float | None = None
    content_type: str = ""
    location: str = ""
    fault: Fault | None = None
    complaint: str = ""
    """What is wrong with an answer that came whole."""
    listed: tuple[Listed, ...] = ()

    @property
    def good(self) -> bool:
        return self.fault is None and not self.complaint


class Prober:
    """Asks one provider. ``secrets`` appear in no fault; ``timeout`` is for each call, in seconds."""

    def __init__(
        self, provider: Provider, key: str | None, upstream: Opener, timeout: float, secrets: tuple[str, ...]
    ) -> None:
        self._provider, self._key, self._upstream = provider, key, upstream
        self._timeout, self._secrets = timeout, secrets

    async def listing(self) -> Heard:
        """Its first page."""
        face = self._provider.face("", "models")
        return await self._call(_Watch("GET", face, face.routes.url("models")), self._read_listing)

    async def ask(self, test: Test, model: str) -> Heard:
        """One of ``REQUESTS``; again under the older name of the cap when the vendor does not know the newer one."""
        for cap in CAPS:
            heard = await self._ask(test, model, cap)
            if heard.status not in (400, 422) or CAPS[0] not in f"{heard.fault and heard.fault.body}":
                break
        return heard

    async def _ask(self, test: Test, model: str, cap: str) -> Heard:
        """As the gateway would send it: to the face that has the model, in its dialect, with the vendor's own names."""
        body = msgspec.json.encode({"model": model, **REQUESTS[test], cap: MOST_TOKENS})
        facts = openai_chat.peek(body)
        face = self._provider.face(openai_chat.NAME, facts.operation, model)
        made = translator(openai_chat, face.vendor, "doctor")
        watch = _Watch("POST", face, face.url(facts, model))
        try:
            watch.writes(made.request(Asked(body, facts, model, face.routes.deployed(model))))
        except CallerError as error:
            return watch.heard(fault=_refused(error))
        readers = {"chat": self._read_chat, "stream": self._read_stream, "tools": self._read_tool_call}
        return await self._call(watch, partial(readers[test], made))

    async def _call(self, watch: _Watch, read: Callable[[Reply, _Watch], Awaitable[Heard]]) -> Heard:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._tried(watch, read)
        except TimeoutError:
            said = f"no whole answer within {self._timeout:g} s"
            return watch.heard(fault=Fault(kind=FaultKind.TIMEOUT_TOTAL, message=said, origin="network"))

    async def _tried(self, watch: _Watch, read: Callable[[Reply, _Watch], Awaitable[Heard]]) -> Heard:
        headers = tuple(dict((*_HEADERS[watch.method], *watch.headers, *self._provider.headers)).items())
        call = Unsigned(watch.method, watch.url, headers, watch.body)
        signed = await watch.face.credential.sign(call, self._key)
        if isinstance(signed, Fault):
            return watch.heard(fault=signed)
        watch.url = at_origin(watch.url, signed.origin)
        secrets = (*self._secrets, *signed.secrets)
        reply = await self._upstream.open(
            Call(
                method=watch.method,
                url=watch.url,
                headers=tuple(dict((*headers, *signed.headers)).items()),
                body=watch.body,
                connect=min(CONNECT, self._timeout),
                head=self._timeout,
                secrets=secrets,
                transport=self._provider.transport,
            )
        )
        if isinstance(reply, Fault):
            return watch.heard(fault=reply)
        watch.answered(reply)
        try:
            heard = await (read if 200 <= reply.status < 300 else self._read_refusal)(reply, watch)
        finally:
            await reply.close()
        return msgspec.structs.replace(heard, fault=heard.fault and without_secrets(heard.fault, secrets, watch.url))

    # What came back

    async def _whole(self, reply: Reply) -> bytes | Fault:
        return await read_all(reply, self._timeout, self._timeout, LIMIT)

    async def _read_refusal(self, reply: Reply, watch: _Watch) -> Heard:
        body = await self._whole(reply)
        said = b"" if isinstance(body, Fault) else body
        return watch.heard(fault=read_fault(reply.status, reply.headers, said, time.time()))

    async def _read_listing(self, reply: Reply, watch: _Watch) -> Heard:
        body = await self._whole(reply)
        if isinstance(body, Fault):
            return watch.heard(fault=body)
        page = read_page(body, watch.face.vendor.listing, watch.url)
        if page is None:
            return watch.heard(fault=garbled("the answer is not a list of models", body))
        return watch.heard(listed=page.models)

    async def _read_chat(self, made: Translator, reply: Reply, watch: _Watch) -> Heard:
        answer = await self._answer(made, reply)
        return watch.heard(fault=answer if isinstance(answer, Fault) else None)

    async def _read_tool_call(self, made: Translator, reply: Reply, watch: _Watch) -> Heard:
        answer = await self._answer(made, reply)
        if isinstance(answer, Fault):
            return watch.heard(fault=answer)
        return watch.heard(complaint=_tool_complaint(*answer))

    async def _answer(self, made: Translator, reply: Reply) -> tuple[bytes, str | None] | Fault:
        """A whole answer as our client would get it, and why it ended."""
        body = await self._whole(reply)
        answer = body if isinstance(body, Fault) else made.whole(body, time.time())
        return answer if isinstance(answer, Fault) else (answer[0], answer[1].finish_reason)

    async def _read_stream(self, made: Translator, reply: Reply, watch: _Watch) -> Heard:
        if watch.content_type in _WHOLE:
            answer = await self._answer(made, reply)
            said = f"a stream was asked for, the answer is {watch.content_type}"
            return watch.heard(fault=answer if isinstance(answer, Fault) else garbled(said, b""))
        stream = made.stream(Facts(model="", stream=True), time.time(), keep_text=False)
        while not stream.done and stream.fault is None:
            chunk = await reply.read()
            if isinstance(chunk, Fault):
                return watch.heard(fault=chunk)
            if not chunk:
                stream.end(time.time())
                break
            stream.feed(chunk, time.time())
            if stream.digest.output:
                watch.spoke()
        if stream.fault is None and not stream.complete:
            said = "the stream ended without a finish reason"
            return watch.heard(fault=Fault(kind=FaultKind.GARBLED, message=said, code="truncated", origin="network"))
        return watch.heard(fault=stream.fault)


class _Watch:
    """What is known of a call while it is under way."""

    def __init__(self, method: str, face: Face, url: str) -> None:
        self.method, self.face, self.url = method, face, url
        self.headers: Headers = face.headers
        self.body: bytes | None = None
        self.status: int | None = None
        self.content_type = self.location = ""
        self._began = time.monotonic()
        self._first: float | None = None

    def writes(self, written: Outgoing) -> None:
        self.headers, self.body = (*self.face.headers, *written.headers), written.body

    def answered(self, reply: Reply) -> None:
        self.status = reply.status
        self.content_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.location = reply.headers.get("location", "")

    def spoke(self) -> None:
        if self._first is None:
            self._first = time.monotonic() - self._began

    def heard(self, *, fault: Fault | None = None, complaint: str = "", listed: tuple[Listed, ...] = ()) -> Heard:
        return Heard(
            url=self.url,
            face=self.face.vendor,
            headers=self.headers,
            body=self.body,
            status=self.status,
            seconds=time.monotonic() - self._began,
            first=self._first,
            content_type=self.content_type,
            location=self.location,
            fault=fault,
            complaint=complaint,
            listed=listed,
        )


_AGENT = ("user-agent", "skein")
_HEADERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "GET": (("accept", "application/json"), ("accept-encoding", "identity"), _AGENT),
    "POST": (
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("accept-encoding", "identity"),
        _AGENT,
    ),
}


# What is no stream, whatever dialect it is in.
_WHOLE = ("application/json", "application/problem+json", "text/html")


def _refused(error: CallerError) -> Fault:
    """What we ask cannot be said in the vendor's dialect."""
    return Fault(kind=FaultKind.BAD_REQUEST, message=error.message, origin="gateway", code=error.code)


def _tool_complaint(body: bytes, finish: str | None) -> str:
    choices = msgspec.json.decode(body)["choices"]
    message = (choices[0].get("message") if choices else None) or {}
    calls = message.get("tool_calls") or []
    if not calls:
        cut = f" (it was cut off after {MOST_TOKENS} tokens)" if finish == "length" else ""
        return f"the model did not call the tool it was given{cut}"
    function = calls[0].get("function") or {}
    if function.get("name") != "current_time":
        return f"the model called a tool that does not exist: {str(function.get('name'))[:80]}"
    try:
        arguments = msgspec.json.decode(function.get("arguments") or "")
    except (msgspec.DecodeError, TypeError):
        arguments = None
    return "" if isinstance(arguments, dict) else "the arguments of the tool call are not a JSON object"
