"""The vendor built into Skein: answers as OpenAI's API would, and fails as vendors do, by the name of the model.

Nothing here is random: the same calls in the same order get the same answers. docs/simulator.md is for operators.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from gateway.dialects.openai_chat import decode
from gateway.errors import CallerError, Fault, FaultKind
from gateway.simulator.faults import Refusal
from gateway.simulator.models import ChatRequest, EmbeddingsRequest, Model, find
from gateway.simulator.replies import END, Item, Script, chat, embeddings, listing, refused

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
    """An ``upstream.Opener``. Remembers how many calls there were, in all and of each ``flaky-`` model."""

    def __init__(
        self, clock: Callable[[], float] = _loop_time, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._calls = 0
        self._flaky: Counter[str] = Counter()

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
        headers = {**script.headers, "x-request-id": f"req_simulated{number:08d}"}
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
        """The model as it is this time: every second call of a flaky one works."""
        model = find(name or "")
        if model.flaky:
            self._flaky[model.name] += 1
            if self._flaky[model.name] % 2 == 0:
                return msgspec.structs.replace(model, fault=None)
        return model


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
