"""How a call is signed in: by a key, by a token that is fetched off the request path, by a signature over all of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from gateway.errors import Fault
from gateway.vendors.vendor import Auth, Headers


class Unsigned(NamedTuple):
    """A call as it is to be made, but for what signs it in."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes | None = None


class Signed(msgspec.Struct, frozen=True):
    """What signs a call in. ``secrets`` are the values in it that nobody is to see."""

    headers: Headers = ()
    secrets: tuple[str, ...] = ()
    origin: str | None = None
    """Scheme and host that the account is to be called at instead, where the vendor says so with the token."""


class Credential(Protocol):
    async def sign(self, call: Unsigned, key: str | None) -> Signed | Fault:
        """A fault when there is no way to."""

    def refused(self, key: str | None) -> bool:
        """The vendor would not let a call in that was signed so. True: what was fetched will be fetched anew."""


class KeyCredential:
    """A key, sent as the vendor wants it."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    async def sign(self, call: Unsigned, key: str | None) -> Signed | Fault:
        return Signed() if key is None or self._auth == "none" else by_key(self._auth, key)

    def refused(self, key: str | None) -> bool:
        return False


class TokenCredential:
    """A bearer token given as it is (``AZURE_OPENAI_AD_TOKEN``)."""

    def __init__(self, token: str) -> None:
        self._signed = by_key("bearer", token)

    async def sign(self, call: Unsigned, key: str | None) -> Signed | Fault:
        return self._signed

    def refused(self, key: str | None) -> bool:
        return False


def by_key(auth: Auth, key: str) -> Signed:
    """A key in the header that this kind of signing in calls for."""
    if auth == "bearer" and key.startswith("Snowflake Token="):
        # The token of a session of Snowflake's has a scheme of its own, which is written along with it.
        return Signed((("authorization", key),), (key, key.partition("=")[2].strip('"')))
    header = ("authorization", f"Bearer {key}") if auth == "bearer" else (auth, key)
    return Signed((header,), (key,))
