"""The vendor built into Skein: answers as OpenAI's API would, and fails as vendors do, by the name of the model.

Nothing here is random: the same calls in the same order get the same answers. docs/simulator.md is for operators.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from gateway.dialects.openai_chat import decode
from gateway.errors import CallerError, Fault, FaultKind
from gateway.simulator.faults import Refusal
from gateway.simulator.models import Model, find
from gateway.simulator.replies import END, Item, Script, chat, embeddings, listing, refused
from gateway.simulator.requests import ChatRequest, EmbeddingsRequest

MOST_COUNTED = 1000
"""Models whose calls are remembered: there is no end to the names."""
# Per minute; told, not enforced.
MOST_CALLS, MOST_TOKENS = 1000, 1_000_000

_chat_request = msgspec.json.Decoder(ChatRequest)
_embeddings_request = msgspec.json.Decoder(EmbeddingsRequest)


class Call(Protocol):
    """What is read of ``upstream.Call``."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def body(self) -> bytes | None: ...
    @property
    def head(self) -> float: ...


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class Simulator:
    """An ``upstream.Opener``. Remembers its calls: in all, of each model that fails at times, of the minute."""

    def __init__(
        self, clock: Callable[[], float] = _loop_time, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._calls = 0
        self._seen: dict[str, tuple[int, float]] = {}
        self._limits: dict[str, _Minute] = {}

    async def open(self, call: Call) -> SimulatedReply | Fault:
        self._calls += 1
        number = self._calls
        try:
            script = self._script(call, number)
        except CallerError as error:
            script = refused(Refusal(error.status, error.message, error.type, error.code, error.param))
        if isinstance(script, Fault):
            return script
        if script.head > call.head:
            await self._sleep(call.head)
            said = f"no answer within {call.head:g} s"
            return Fault(kind=FaultKind.TIMEOUT_FIRST_TOKEN, message=said, origin="network")
        await self._sleep(script.head)
        left = self._left(urlsplit(call.url).netloc, script.tokens)
        headers = {**left, **script.headers, "x-request-id": f"req_simulated{number:08d}"}
        return SimulatedReply(script.status, headers, script.items, self._clock, self._sleep)

    def _script(self, call: Call, number: int) -> Script | Fault:
        """Raises ``CallerError`` for what OpenAI would refuse."""
        path, body = urlsplit(call.url).path, call.body or b""
        match call.method, path:
            case "POST", "/chat/completions":
                request = decode(_chat_request, body)
                return chat(request, self._model(request.model), number)
            case "POST", "/embeddings":
                texts = decode(_embeddings_request, body)
                return embeddings(texts, self._model(texts.model))
            case "GET", "/models":
                return listing()
        raise CallerError(404, "unknown_url", f"Invalid URL ({call.method} {path})")

    def _model(self, name: str | None) -> Model:
        """The model as it is this time: one that fails at times may be well."""
        model = find(name or "")
        if model.fault is None or (model.every == 1 and not model.wave):
            return model
        calls, first = self._seen.pop(model.name, (0, self._clock()))
        while len(self._seen) >= MOST_COUNTED:
            del self._seen[next(iter(self._seen))]
        self._seen[model.name] = calls + 1, first
        fails = model.fails(calls + 1, self._clock() - first)
        return model if fails else msgspec.structs.replace(model, fault=None)

    def _left(self, account: str, tokens: int) -> dict[str, str]:
        """What is left of the account's limits in this minute."""
        minute = int(self._clock() // 60)
        used = self._limits.get(account)
        if used is None or used.number != minute:
            used = self._limits[account] = _Minute(number=minute)
        used.calls += 1
        used.tokens += tokens
        return {
            "x-ratelimit-limit-requests": str(MOST_CALLS),
            "x-ratelimit-remaining-requests": str(max(0, MOST_CALLS - used.calls)),
            "x-ratelimit-limit-tokens": str(MOST_TOKENS),
            "x-ratelimit-remaining-tokens": str(max(0, MOST_TOKENS - used.tokens)),
        }


class _Minute(msgspec.Struct):
    number: int
    calls: int = 0
    tokens: int = 0


class SimulatedReply:
    """An ``upstream.Reply``. An item is gone only when it is handed over, so a reader may stop waiting at any time."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        items: Iterable[Item],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self.status = status
        self.connected = 0.0
        self.headers: Mapping[str, str] = headers
        self.closed = False
        self._clock, self._sleep = clock, sleep
        self._begun = clock()
        self._items = iter(items)
        self._next = next(self._items, END)

    async def read(self, wait: float | None = None) -> bytes | Fault | None:
        due, said = self._next
        seconds = max(0.0, self._begun + due - self._clock())
        if wait is not None and seconds > wait:
            await self._sleep(wait)
            return None
        # Also when nothing is to be waited for: a long answer must leave others their turn.
        await self._sleep(seconds)
        if said and not isinstance(said, Fault):
            self._next = next(self._items, END)
        return said

    async def close(self, *, linger: bool = False) -> None:
        self.closed = True
