"""How a call is signed in: headers for a key, or for a token that is fetched and refreshed off the request path."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from gateway.errors import Fault, FaultKind
from gateway.vendors.vendor import Auth

Headers = tuple[tuple[str, str], ...]


class Credential(Protocol):
    async def headers(self, key: str | None) -> Headers | Fault:
        """The headers that sign in one call, the secret in the last of them; a fault when there is no way to."""


class KeyCredential:
    """A key, sent as the vendor wants it."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    async def headers(self, key: str | None) -> Headers | Fault:
        if key is None or self._auth == "none":
            return ()
        return (("authorization", f"Bearer {key}"),) if self._auth == "bearer" else (("api-key", key),)


class TokenCredential:
    """A bearer token given as it is (``AZURE_OPENAI_AD_TOKEN``)."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def headers(self, key: str | None) -> Headers | Fault:
        return (("authorization", f"Bearer {self._token}"),)


# https://learn.microsoft.com/azure/ai-services/openai/how-to/managed-identity
ENTRA_SCOPE = "https://cognitiveservices.azure.com/.default"
# Renewed this long before it ends, in the background; only a token that has ended makes a request wait.
RENEW_BEFORE = 300.0
GIVE_UP_AFTER = 15.0


class EntraCredential:
    """``credential: default``: the chain of azure-identity (environment, workload identity, managed identity, az).

    ``source`` is anything with azure-core's ``get_token(scope)``; left out, azure-identity is imported when first used.
    """

    def __init__(self, source: Any = None, clock: Any = time.time) -> None:
        self._source, self._clock = source, clock
        self._token: str | None = None
        self._until = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._problem = ""

    async def headers(self, key: str | None) -> Headers | Fault:
        left = self._until - self._clock()
        if self._token is None or left < RENEW_BEFORE:
            fetching = self._fetch()
            if self._token is None or left <= 0:
                await asyncio.wait({fetching}, timeout=GIVE_UP_AFTER)
        if self._token is None or self._until <= self._clock():
            said = self._problem or f"no Entra token within {GIVE_UP_AFTER:g} s"
            return Fault(kind=FaultKind.BAD_CREDENTIALS, message=said, origin="gateway")
        return (("authorization", f"Bearer {self._token}"),)

    def _fetch(self) -> asyncio.Task[None]:
        """One fetch at a time, however many requests wait for it."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.get_running_loop().create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        try:
            token = await asyncio.to_thread(self._ask)
        except ImportError:
            self._problem = "azure-identity is not installed: pip install 'skein-gateway[azure]'"
        except Exception as error:  # azure-identity raises whatever its many sources raise
            self._problem = f"no Entra token: {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        else:
            self._token, self._until, self._problem = token.token, float(token.expires_on), ""

    def _ask(self) -> Any:
        if self._source is None:
            from azure.identity import DefaultAzureCredential

            self._source = DefaultAzureCredential()
        return self._source.get_token(ENTRA_SCOPE)
