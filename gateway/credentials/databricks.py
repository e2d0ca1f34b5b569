"""Databricks' tokens for service principals: OAuth by a secret, from the workspace itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gateway.credentials.fetched import Token

# https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m
PATH = "/oidc/v1/token"
SCOPE = "all-apis"
TIMEOUT = 10.0
# What is taken for the life of a token that does not say.
USUAL_LIFE = 3600.0


class Databricks:
    """``host``: scheme and host of the workspace."""

    NAME = "Databricks"

    def __init__(self, host: str, client_id: str, client_secret: str, clock: Callable[[], float] = time.time) -> None:
        self._url, self._pair, self._clock = f"{host}{PATH}", (client_id, client_secret), clock

    def fetch(self) -> tuple[Token, float]:
        import httpx

        asked = self._clock()
        asks = {"grant_type": "client_credentials", "scope": SCOPE}
        reply = httpx.post(self._url, data=asks, auth=self._pair, timeout=TIMEOUT)
        said = _object(reply)
        token = said.get("access_token")
        if reply.status_code != 200 or not isinstance(token, str) or not token:
            why = said.get("error_description") or said.get("message") or said.get("error") or "no token in the answer"
            # What is told of it is for everyone's eyes.
            raise RuntimeError(f"{self._url} answered {reply.status_code}: {why}".replace(self._pair[1], "***"))
        life = said.get("expires_in")
        return Token(token), asked + (float(life) if isinstance(life, int | float) and life > 0 else USUAL_LIFE)


def _object(reply: Any) -> dict[str, Any]:
    try:
        said = reply.json()
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {}
