"""What providers say they serve: fetched in the background, time-boxed, kept; never waited for by a request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from gateway import events
from gateway.attempt import at_origin
from gateway.credentials import Unsigned
from gateway.dialects.faults import read_fault
from gateway.errors import Fault, FaultKind
from gateway.listing_shapes import Listed, Page, read_page
from gateway.provider import Face, Provider
from gateway.relay import Gateway
from gateway.upstream import Call, read_all, shown_url, without_secrets

TIME_BOX = 5.0
FRESH_FOR = 300.0
# A provider that could not be listed is left alone this long.
ASK_AGAIN_AFTER = 60.0
LIMIT = 32 * 2**20
MOST_PAGES = 20

BASE_HEADERS = (("accept", "application/json"), ("accept-encoding", "identity"), ("user-agent", "skein"))


class Listings:
    """Provider -> the models it listed last. Outlives a reload."""

    def __init__(self) -> None:
        self.ids: dict[str, frozenset[str]] = {}
        self.listed: dict[str, tuple[Listed, ...]] = {}
        self._by_id: dict[str, dict[str, Listed]] = {}
        self._next: dict[str, float] = {}
        self._generation = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def known(self, provider: str, model: str) -> Listed | None:
        return self._by_id.get(provider, {}).get(model)

    def window(self, provider: str, model: str) -> int | None:
        known = self.known(provider, model)
        return known.window if known else None

    def put(self, provider: str, found: tuple[Listed, ...]) -> None:
        self.listed[provider] = found
        self._by_id[provider] = {each.id: each for each in found}
        ids = frozenset(self._by_id[provider])
        if self.ids.get(provider) != ids:
            # The same object while nothing changes: whoever looks whether something has sees it at a glance.
            self.ids[provider] = ids

    def refresh(self, gateway: Gateway) -> None:
        """Starts to ask every provider whose listing is old. Does not wait."""
        now = gateway.clock()
        for provider in gateway.providers.values():
            if "models" in provider.operations and now >= self._next.get(provider.name, 0.0):
                self._next[provider.name] = now + FRESH_FOR
                task = asyncio.get_running_loop().create_task(self._ask(gateway, provider))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def adopt(self, providers: Mapping[str, Provider]) -> None:
        """Forgets providers that are gone; the others are asked again. Answers on their way are not waited for."""
        self._generation += 1
        for known in (self.ids, self.listed, self._by_id):
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
            self.put(provider.name, found)


async def fetch(gateway: Gateway, provider: Provider) -> tuple[Listed, ...] | Fault:
    """One provider's listing, from its own URL, page by page within the time box.

    A later page that cannot be had leaves those that came before it.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + TIME_BOX
    face = provider.face("", "models")
    found: dict[str, Listed] = {}
    url: str | None = face.routes.url("models")
    seen: set[str] = set()
    while url and url not in seen and len(seen) < MOST_PAGES:
        seen.add(url)
        page = await _page(gateway, provider, face, url, until - loop.time())
        if isinstance(page, Fault):
            return tuple(found.values()) if found else page
        found |= {each.id: each for each in page.models}
        url = page.next
    return tuple(found.values())


async def _page(gateway: Gateway, provider: Provider, face: Face, url: str, left: float) -> Page | Fault:
    try:
        async with asyncio.timeout(left):
            return await _asked(gateway, provider, face, url, left)
    except TimeoutError:
        said = f"no listing within {TIME_BOX:g} s"
        return Fault(kind=FaultKind.TIMEOUT_TOTAL, message=said, origin="network", url=shown_url(url))


async def _asked(gateway: Gateway, provider: Provider, face: Face, url: str, left: float) -> Page | Fault:
    headers = tuple(dict((*BASE_HEADERS, *face.headers, *provider.headers)).items())
    signed = await face.credential.sign(Unsigned("GET", url, headers), provider.keys.keys[0])
    if isinstance(signed, Fault):
        return msgspec.structs.replace(signed, url=signed.url or shown_url(url))
    call = Call(
        method="GET",
        url=at_origin(url, signed.origin),
        headers=tuple(dict((*headers, *signed.headers)).items()),
        head=left,
        secrets=(*signed.secrets, *provider.secrets),
        transport=provider.transport,
    )
    reply = await gateway.means.upstream.open(call)
    if isinstance(reply, Fault):
        return reply
    try:
        body = await read_all(reply, left, left, LIMIT)
        if isinstance(body, Fault):
            return without_secrets(body, call.secrets, call.url)
        if reply.status != 200:
            fault = read_fault(reply.status, reply.headers, body, gateway.clock())
            return without_secrets(fault, call.secrets, call.url)
        page = read_page(body, face.vendor.listing, url)
        if page is None:
            fault = Fault(kind=FaultKind.GARBLED, message="not a list of models")
            return without_secrets(fault, call.secrets, call.url)
        return page
    finally:
        await reply.close(linger=True)
