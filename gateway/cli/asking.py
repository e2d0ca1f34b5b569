"""Asking the gateway that is running: where it is, and what it says under ``/admin``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from gateway.cli import UsageError
from gateway.config import Config, load
from gateway.config.checking import is_loopback
from gateway.errors import SkeinError

TIMEOUT = 5.0
# With several workers each knows its own requests, and each connection finds another one, or the same.
MOST_TRIES = 24
# Whoever listens everywhere is found on this machine.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


class Where(msgspec.Struct, frozen=True):
    """The root of a running gateway, and the key that opens ``/admin`` there."""

    url: str
    key: str | None


class Unanswered(SkeinError):
    """The gateway is not there, or did not answer as asked. ``status`` is None when nothing came."""

    def __init__(self, status: int | None, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def where(arguments: argparse.Namespace, env: Mapping[str, str]) -> Where:
    """As ``--url`` and ``--admin-key`` say, else as configured. Raises ``OperatorError``.

    The configured key is for the configured address: another one is sent only what was given for it.
    """
    key = arguments.admin_key or env.get("SKEIN_ADMIN_KEY") or None
    if arguments.url:
        url = _root(arguments.url)
    else:
        config = load(arguments.config, env)
        url, key = _configured(config), key or config.access.admin_key
    if key and not (key.isascii() and key.isprintable()):
        raise UsageError("--admin-key", "holds characters that no header may hold")
    return Where(url, key)


def _root(said: str) -> str:
    url = (said if "://" in said else f"http://{said}").rstrip("/").removesuffix("/v1")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError("--url", f"{said} is no address of a gateway", "write it as http://127.0.0.1:4000")
    return url


def _configured(config: Config) -> str:
    host, port = config.server.host, config.server.port
    if not port:
        raise UsageError("--url", "server.port is 0, so the gateway's port is not known here", "say it with --url")
    host = _EVERYWHERE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def ask(place: Where, path: str) -> Any:
    """The JSON under a path. Raises ``Unanswered``."""
    import httpx

    headers = {"user-agent": "skein", **({"authorization": f"Bearer {place.key}"} if place.key else {})}
    # What is on this machine is never behind a proxy, whatever the environment says.
    outside = not is_loopback(urlsplit(place.url).hostname or "")
    try:
        for _ in range(MOST_TRIES):
            answer = httpx.get(place.url + path, headers=headers, timeout=TIMEOUT, trust_env=outside)
            if answer.status_code == 200:
                return answer.json()
            told = _error(answer)
            if told.code != "request_elsewhere":
                break
        raise told
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = f"no gateway answers at {place.url}: {error or type(error).__name__}"
        raise Unanswered(None, "unreachable", f"{said}; is it running? say where with --url") from None
    except ValueError:
        raise Unanswered(200, "no_gateway", f"what answers at {place.url} is no gateway of this kind") from None


def path_of(id: str) -> str:
    return f"/admin/requests/{quote(id, safe='')}"


def _error(answer: Any) -> Unanswered:
    """As the gateway told it; something else at that address is told apart, by what gateways say of their errors."""
    try:
        error = answer.json()["error"]
        if error["origin"] != "gateway":
            raise KeyError("origin")
        return Unanswered(answer.status_code, str(error["code"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        said = f"what answers at {answer.url} is no gateway of this kind: it says {answer.status_code}"
        return Unanswered(answer.status_code, "no_gateway", said)
