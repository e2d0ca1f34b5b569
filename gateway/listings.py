"""What providers say they serve: fetched in the background, time-boxed, kept; never waited for by a request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway import events
from gateway.attempt import Provider, secrets_of
from gateway.dialects.faults import read_fault
from gateway.errors import Fault, FaultKind
from gateway.relay import Gateway
from gateway.upstream import Call, read_all, without_secrets

TIME_BOX = 5.0
FRESH_FOR = 300.0
# A provider that could not be listed is left alone this long.
ASK_AGAIN_AFTER = 60.0
LIMIT = 32 * 2**20

# Where vendors put a model's context window: Groq, OpenRouter and Together, vLLM, llama.cpp and Mistral.
_WINDOWS = ("context_window", "context_length", "max_model_len", "max_context_length", "max_input_tokens")


class Listed(msgspec.Struct, frozen=True):
    """One model of a listing; ``window`` in tokens where the vendor says it."""

    id: str
    window: int | None = None


class Listings:
    """Provider -> the models it listed last. Outlives a reload."""

    def __init__(self) -> None:
        self.ids: dict[str, frozenset[str]] = {}
        self.listed: dict[str, tuple[Listed, ...]] = {}
        self._next: dict[str, float] = {}
        self._generation = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def window(self, provider: str, model: str) -> int | None:
        return next((each.window for each in self.listed.get(provider, ()) if each.id == model), None)

    def refresh(self, gateway: Gateway) -> None:
        """Starts to ask every provider whose listing is old. Does not wait."""
        now = gateway.clock()
        for provider in gateway.providers.values():
            if "models" in provider.routes.urls and now >= self._next.get(provider.name, 0.0):
                self._next[provider.name] = now + FRESH_FOR
                task = asyncio.get_running_loop().create_task(self._ask(gateway, provider))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def adopt(self, providers: Mapping[str, Provider]) -> None:
        """Forgets providers that are gone; the others are asked again. Answers on their way are not waited for."""
        self._generation += 1
        for known in (self.ids, self.listed):
            for name in [name for name in known if name not in providers]:
                del known[name]
        self._next.clear()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _ask(self, gateway: Gateway, provider: Provider) -> None:
        generation = self._generation
        try:
            found = await fetch(gateway, provider)
        except Exception as error:  # a listing is a help, never a reason to fall over
            found = Fault(kind=FaultKind.GARBLED, message=f"{type(error).__name__}: {error}", origin="gateway")
        if generation != self._generation:
            return
        if isinstance(found, Fault):
            self._next[provider.name] = gateway.clock() + ASK_AGAIN_AFTER
            gateway.emit(events.ListingFailed(at=gateway.clock(), provider=provider.name, fault=found))
        else:
            self.listed[provider.name] = found
            self.ids[provider.name] = frozenset(each.id for each in found)


async def fetch(gateway: Gateway, provider: Provider) -> tuple[Listed, ...] | Fault:
    """One provider's listing, from its own URL, within the time box."""
    signed = await provider.credential.headers(provider.keys.keys[0])
    if isinstance(signed, Fault):
        return signed
    call = Call(
        method="GET",
        url=provider.routes.url("models"),
        headers=(("accept", "application/json"), ("user-agent", "skein"), *provider.headers, *signed),
        head=TIME_BOX,
        secrets=secrets_of(provider, signed),
    )
    reply = await gateway.upstream.open(call)
    if isinstance(reply, Fault):
        return reply
    try:
        body = await read_all(reply, TIME_BOX, TIME_BOX, LIMIT)
        if isinstance(body, Fault):
            return without_secrets(body, call.secrets, call.url)
        if reply.status != 200:
            return without_secrets(
                read_fault(reply.status, reply.headers, body, gateway.clock()), call.secrets, call.url
            )
        listed = read_listing(body)
        if listed is None:
            return without_secrets(
                Fault(kind=FaultKind.GARBLED, message="not a list of models"), call.secrets, call.url
            )
        return listed
    finally:
        await reply.close(linger=True)


def read_listing(body: bytes) -> tuple[Listed, ...] | None:
    """``{data: [{id}]}``, a bare array, or ``{models: [{name}]}``; None when it is none of them."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    rows = said.get("data", said.get("models")) if isinstance(said, dict) else said
    if not isinstance(rows, list):
        return None
    found = (_listed(row) for row in rows if isinstance(row, dict))
    return tuple(each for each in found if each)


def _listed(row: dict[str, Any]) -> Listed | None:
    name = row.get("id") or row.get("name") or row.get("model")
    if not isinstance(name, str):
        return None
    meta = row.get("meta")
    said = [row.get(key) for key in _WINDOWS] + ([meta.get("n_ctx")] if isinstance(meta, dict) else [])
    return Listed(name, next((each for each in said if isinstance(each, int) and each > 0), None))
