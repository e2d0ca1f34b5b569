"""A secret that is fetched and renewed in the background: only one that has ended makes a request wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from gateway.credentials import Signed, Unsigned, by_key
from gateway.errors import Fault, FaultKind

# Renewed this long before it ends.
RENEW_BEFORE = 300.0
GIVE_UP_AFTER = 15.0
# A source that has failed is left alone this long while the old secret still holds.
ASK_AGAIN_AFTER = 10.0

S = TypeVar("S", covariant=True)


class Token(msgspec.Struct, frozen=True):
    """A bearer token."""

    value: str
    headers: tuple[tuple[str, str], ...] = ()
    """Further headers that go with it."""
    origin: str | None = None
    """Where it is to be used, where that comes with it: scheme and host."""


class Source(Protocol[S]):
    """Where a secret comes from. ``fetch`` may block: it runs in a thread."""

    NAME: str
    """For problems: "Entra", "Google"."""

    def fetch(self) -> tuple[S, float]:
        """The secret, and when it ends (epoch seconds). Raises what it likes; ``ImportError``: a package is missing."""


class Fetched(Generic[S]):
    """The secret as it is now, fetched by one thread at a time however many requests wait for it."""

    def __init__(self, source: Source[S], install: str = "", clock: Callable[[], float] = time.time) -> None:
        """``install`` says what to do when a package is missing."""
        self._source, self._install, self._clock = source, install, clock
        self._secret: S | None = None
        self._ends = 0.0
        self._asked = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._problem = ""

    async def get(self) -> S | Fault:
        now = self._clock()
        left = self._ends - now
        if self._secret is None or left < RENEW_BEFORE:
            if self._secret is None or left <= 0:
                await asyncio.wait({self._fetch()}, timeout=GIVE_UP_AFTER)
            elif now - self._asked >= ASK_AGAIN_AFTER:
                self._fetch()
        if self._secret is None or self._ends <= self._clock():
            said = self._problem or f"no {self._source.NAME} token within {GIVE_UP_AFTER:g} s"
            return Fault(kind=FaultKind.BAD_CREDENTIALS, message=said, origin="gateway")
        return self._secret

    def forget(self) -> bool:
        """The secret is no good any more. One that is only just here is left: whoever refuses it has another reason."""
        if self._clock() - self._asked < ASK_AGAIN_AFTER:
            return False
        self._ends = 0.0
        return True

    def _fetch(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._asked = self._clock()
            self._fetching = asyncio.get_running_loop().create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        try:
            secret, ends = await asyncio.to_thread(self._source.fetch)
        except ImportError:
            self._problem = self._install or f"what fetches a {self._source.NAME} token is not installed"
        except Exception as error:  # the clouds' libraries raise whatever their many sources raise
            said = str(error).partition("\n")[0][:200]
            self._problem = f"no {self._source.NAME} token: {type(error).__name__}: {said}"
        else:
            self._secret, self._ends, self._problem = secret, ends, ""


class BearerCredential:
    """A fetched token, sent as ``Authorization: Bearer``."""

    def __init__(self, tokens: Fetched[Token]) -> None:
        self._tokens = tokens

    async def sign(self, call: Unsigned, key: str | None) -> Signed | Fault:
        token = await self._tokens.get()
        if isinstance(token, Fault):
            return token
        signed = by_key("bearer", token.value)
        return Signed((*signed.headers, *token.headers), signed.secrets, token.origin)

    def refused(self, key: str | None) -> bool:
        return self._tokens.forget()
