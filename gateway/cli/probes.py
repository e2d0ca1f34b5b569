"""Four small calls to one provider, by its own routes and credential: what was asked, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from gateway.attempt import Provider
from gateway.chat import Facts
from gateway.dialects import openai_chat
from gateway.dialects.faults import read_fault
from gateway.errors import Fault, FaultKind
from gateway.listings import Listed, read_listing
from gateway.translate import translator
from gateway.upstream import Call, Opener, Reply, read_all, without_secrets

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
        return await self._call("GET", self._provider.routes.url("models"), None, self._read_listing)

    async def ask(self, test: Test, model: str) -> Heard:
        """One of ``REQUESTS``; again under the older name of the cap when the vendor does not know the newer one."""
        readers = {"chat": self._read_chat, "stream": self._read_stream, "tools": self._read_tool_call}
        url = self._provider.routes.url("chat", model)
        for cap in CAPS:
            heard = await self._call("POST", url, self._body(test, model, cap), readers[test])
            if heard.status not in (400, 422) or CAPS[0] not in f"{heard.fault and heard.fault.body}":
                break
        return heard

    def _body(self, test: Test, model: str, cap: str) -> bytes:
        """As the gateway would send it: with the vendor's own names, and the model's deployment."""
        body = msgspec.json.encode({"model": model, **REQUESTS[test], cap: MOST_TOKENS})
        facts = openai_chat.peek(body)
        made = translator(openai_chat, self._provider.vendor)
        return made.request(body, facts, self._provider.routes.deployed(model), None)

    async def _call(
        self, method: str, url: str, body: bytes | None, read: Callable[[Reply, _Watch], Awaitable[Heard]]
    ) -> Heard:
        watch = _Watch(url, body, self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._tried(method, watch, read)
        except TimeoutError:
            said = f"no whole answer within {self._timeout:g} s"
            return watch.heard(fault=Fault(kind=FaultKind.TIMEOUT_TOTAL, message=said, origin="network"))

    async def _tried(self, method: str, watch: _Watch, read: Callable[[Reply, _Watch], Awaitable[Heard]]) -> Heard:
        signed = await self._provider.credential.headers(self._key)
        if isinstance(signed, Fault):
            return watch.heard(fault=signed)
        secrets = (*self._secrets, *(value.removeprefix("Bearer ") for _, value in signed))
        call = Call(
            method=method,
            url=watch.url,
            headers=(*_HEADERS[method], *self._provider.headers, *signed),
            body=watch.body,
            connect=min(CONNECT, self._timeout),
            head=self._timeout,
            secrets=secrets,
        )
        reply = await self._upstream.open(call)
        if isinstance(reply, Fault):
            return watch.heard(fault=reply)
        watch.answered(reply)
        try:
            heard = await (read if 200 <= reply.status < 300 else self._read_refusal)(reply, watch)
        finally:
            await reply.close()
        return msgspec.structs.replace(
            heard, fault=heard.fault and without_secrets(heard.fault, call.secrets, call.url)
        )

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
        listed = read_listing(body)
        if listed is None:
            return watch.heard(fault=_garbled("the answer is not a list of models", body))
        return watch.heard(listed=listed)

    async def _read_chat(self, reply: Reply, watch: _Watch) -> Heard:
        body = await self._whole(reply)
        whole = body if isinstance(body, Fault) else openai_chat.read_whole(body, time.time())
        return watch.heard(fault=whole if isinstance(whole, Fault) else None)

    async def _read_tool_call(self, reply: Reply, watch: _Watch) -> Heard:
        body = await self._whole(reply)
        whole = body if isinstance(body, Fault) else openai_chat.read_whole(body, time.time())
        if isinstance(whole, Fault) or isinstance(body, Fault):
            return watch.heard(fault=whole if isinstance(whole, Fault) else None)
        return watch.heard(complaint=_tool_complaint(body, whole.finish_reason))

    async def _read_stream(self, reply: Reply, watch: _Watch) -> Heard:
        if "json" in watch.content_type or "html" in watch.content_type:
            body = await self._whole(reply)
            whole = body if isinstance(body, Fault) else openai_chat.read_whole(body, time.time())
            said = f"a stream was asked for, the answer is {watch.content_type}"
            return watch.heard(fault=whole if isinstance(whole, Fault) else _garbled(said, b""))
        facts = Facts(model="", stream=True)
        passing = translator(openai_chat, self._provider.vendor).stream(facts, keep_text=False)
        while not passing.done and passing.fault is None:
            chunk = await reply.read()
            if isinstance(chunk, Fault):
                return watch.heard(fault=chunk)
            if not chunk:
                passing.end(time.time())
                break
            passing.feed(chunk, time.time())
            if passing.digest.output:
                watch.spoke()
        if passing.fault is None and not passing.complete:
            said = "the stream ended without a finish reason"
            return watch.heard(fault=Fault(kind=FaultKind.GARBLED, message=said, code="truncated", origin="network"))
        return watch.heard(fault=passing.fault)


class _Watch:
    """What is known of a call while it is under way."""

    def __init__(self, url: str, body: bytes | None, timeout: float) -> None:
        self.url, self.body = url, body
        self.status: int | None = None
        self.content_type = self.location = ""
        self._began = time.monotonic()
        self._first: float | None = None

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


def _garbled(message: str, body: bytes) -> Fault:
    return Fault(kind=FaultKind.GARBLED, message=message, body=body[:2048].decode(errors="replace"))


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
