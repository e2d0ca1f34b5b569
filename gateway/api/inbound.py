"""The many paths agents call, and the few routes they mean (reference: what base URLs people paste)."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from gateway.api.chat import Passage
from gateway.api.client import Client
from gateway.api.replies import lower, request_id, send_error
from gateway.api.service import Service
from gateway.dialects import DIALECTS
from gateway.errors import CallerError, nearest
from gateway.events import RequestTurnedAway

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"

EXCHANGES = {CHAT: "openai_chat", EMBEDDINGS: "openai_embeddings"}
"""Route -> the dialect that is spoken there."""

FEEDBACK = "/v1/feedback"
METRICS = "/metrics"
REQUESTS, PROVIDERS, SWITCHES, EVENTS = "/admin/requests", "/admin/providers", "/admin/switches", "/admin/events"
SESSIONS, SCORES = "/admin/sessions", "/admin/models"

ROUTES = (
    *(CHAT, EMBEDDINGS, MODELS, FEEDBACK),
    *("/health/live", "/health/ready", "/health/providers", METRICS, "/schema", "/"),
    *(REQUESTS, PROVIDERS, SWITCHES, EVENTS, SESSIONS, SCORES),
)

_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")
_ENDINGS = {"/chat/completions": CHAT, "/embeddings": EMBEDDINGS, "/models": MODELS}
# Whatever stands before it is some base URL: /v1, /v1/v1, /openai/v1, /api/paas/v4, /engines/llama.cpp/v1, …
_MODEL = re.compile(r"^(?:/[^/]+)*?/models/(.+)$")
# Ids are whatever clients send: slashes in them are part of the name, encoded or not.
_SESSION = re.compile(r"/+admin/+sessions/+([^/].*?)(/+model)?/*")


class Route(NamedTuple):
    path: str
    deployment: str | None = None
    """The model an Azure-shaped path names."""


def normalise(path: str) -> Route | None:
    """The route a path means, or None when it means none of ours."""
    if named := _SESSION.fullmatch(path):
        return Route(f"{SESSIONS}/{quote(unquote(named[1]), safe='')}{'/model' if named[2] else ''}")
    path = re.sub(r"/{2,}", "/", "/" + path)
    if len(path) > 1:
        path = path.rstrip("/") or "/"
    if path in ROUTES or path.startswith("/schema/"):
        return Route(path)
    if path.startswith(f"{REQUESTS}/"):
        return Route(unquote(path))
    for ending, route in _ENDINGS.items():
        if path.endswith(ending):
            named = _DEPLOYMENT.search(path)
            return Route(route, unquote(named[1]) if named and route != MODELS else None)
    if match := _MODEL.match(path):
        return Route(f"{MODELS}/{unquote(match[1])}")
    return None


# Clients call the same few paths; what strangers make up is forgotten again.
_known = lru_cache(256)(normalise)


_OPEN = "without keys it serves its own machine only; see access.mode in the configuration"


def foreign(headers: Mapping[str, str], remedy: str = _OPEN) -> str | None:
    """Why a browser's request to what is open to this machine (a gateway without keys) is refused, or None.

    A web page reaches loopback too: across sites, or by a name of its own that leads here (DNS rebinding). Programs are
    not browsers, whatever host they name.
    """
    origin, site = headers.get("origin", ""), headers.get("sec-fetch-site", "")
    if not (origin or site or headers.get("user-agent", "").startswith("Mozilla/")):
        return None
    host = headers.get("host", "localhost")
    if not is_local_host(host):
        return f'a browser calls this gateway "{host[:100]}": {remedy}'
    if origin and not _LOCAL.fullmatch(_host_of(origin)):
        return f'a page of "{origin[:100]}" calls this gateway: {remedy}'
    return f"a page of another site calls this gateway: {remedy}" if site == "cross-site" else None


def is_local_host(host: str) -> bool:
    """A ``host`` header that names this machine to itself."""
    return bool(_LOCAL.fullmatch(_host_of(f"//{host}")))


def _host_of(url: str) -> str:
    """Nothing for what is no URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


_LOCAL = re.compile(r"localhost|127(?:\.\d+){3}|::1|[\w.-]+\.localhost", re.IGNORECASE)


def nearest_route(path: str) -> str:
    """The route a mistyped path may have meant; chat, if it is like none of them."""
    return next(iter(nearest(path, (route for route in ROUTES if route != "/"), 1)), CHAT)


class Inbound:
    """The ASGI application in front: paths are normalised here, and what means nothing is told so."""

    def __init__(self, app: Any, service: Service) -> None:
        self.app, self.service = app, service

    def hot(self, client: Client) -> Coroutine[Any, Any, None] | None:
        """Serves an exchange, ahead of ASGI; None: it is none, or there is something about it to be looked at."""
        route = _known(client.path)
        dialect = DIALECTS.get(EXCHANGES.get(route.path, "")) if route else None
        service = self.service
        if route is None or dialect is None or service.draining:
            return None
        if service.local_only and foreign(client.headers):
            return None
        client.path, client.deployment = route
        return Passage(service, dialect).serve(client)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # The raw path: a %2F inside a deployment's name separates nothing.
        route = normalise(scope["raw_path"].decode("ascii", "replace"))
        headers = lower(scope)
        if self.service.local_only and (why := foreign(headers)):
            name = request_id(headers)
            error = CallerError(403, "foreign_request", why, type="permission_error", origin="gateway")
            at = self.service.gateway.clock()
            self.service.emit(RequestTurnedAway(at=at, exchange_id=name, code=error.code))
            await send_error(send, error, name)
            return
        if route is None:
            await self._unknown(scope, send)
            return
        scope["path"], scope["raw_path"] = route.path, route.path.encode()
        scope["skein.deployment"] = route.deployment
        await self.app(scope, receive, send)

    async def _unknown(self, scope: Any, send: Any) -> None:
        path = scope["path"][:200]
        said = f"{scope['method']} {path} is not served here; the nearest route is {nearest_route(path)}"
        error = CallerError(404, "unknown_path", said, origin="gateway")
        await send_error(send, error, request_id(lower(scope)))
