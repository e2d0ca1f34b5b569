"""The many paths agents call, and the few routes they mean (reference: what base URLs people paste)."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from gateway.api.chat import Passage
from gateway.api.client import Client
from gateway.api.fronts import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    FRONTS,
    GEMINI,
    GEMINI_COUNT,
    GEMINI_EMBED,
    GEMINI_EMBED_MANY,
    GEMINI_STREAM,
    MESSAGES,
    MESSAGES_COUNT,
    OLLAMA_CHAT,
    OLLAMA_EMBED,
    OLLAMA_EMBED_ONE,
    OLLAMA_GENERATE,
    RESPONSES,
    RESPONSES_COUNT,
)
from gateway.api.replies import lower, request_id, send_error
from gateway.api.service import Service
from gateway.dialects import DIALECTS, Dialect
from gateway.errors import CallerError, nearest
from gateway.events import RequestTurnedAway

MODELS = "/v1/models"
GEMINI_MODELS = "/v1beta/models"
MODEL_INFO = "/model/info"
OLLAMA_TAGS, OLLAMA_SHOW, OLLAMA_VERSION, OLLAMA_RUNNING = "/api/tags", "/api/show", "/api/version", "/api/ps"

FEEDBACK = "/v1/feedback"
METRICS = "/metrics"
REQUESTS, PROVIDERS, SWITCHES, EVENTS = "/admin/requests", "/admin/providers", "/admin/switches", "/admin/events"
SESSIONS, SCORES = "/admin/sessions", "/admin/models"

ROUTES = (
    *(*FRONTS, MODELS, GEMINI_MODELS, MODEL_INFO, OLLAMA_TAGS, OLLAMA_SHOW, OLLAMA_VERSION, OLLAMA_RUNNING, FEEDBACK),
    *("/health/live", "/health/ready", "/health/providers", METRICS, "/schema", "/"),
    *(REQUESTS, PROVIDERS, SWITCHES, EVENTS, SESSIONS, SCORES),
)


class Route(NamedTuple):
    path: str
    deployment: str | None = None
    """The model that the path names."""
    streamed: bool | None = None
    """Whether the path asks for a stream; None: that is for the body to say."""


# What a path ends in decides. Whatever stands before it is some base URL: /v1, /v1/v1, /openai/v1, /api/paas/v4,
# /engines/llama.cpp/v1, /openai/v1/openai/deployments/NAME, … Longer endings stand before those they end in.
ENDINGS: Mapping[str, str] = {
    "/chat/completions": CHAT,
    "/completions": COMPLETIONS,
    "/responses/input_tokens": RESPONSES_COUNT,
    "/responses": RESPONSES,
    "/messages/count_tokens": MESSAGES_COUNT,
    "/messages": MESSAGES,
    "/v1beta/models": GEMINI_MODELS,
    "/models": MODELS,
    "/model/info": MODEL_INFO,
    "/api/embeddings": OLLAMA_EMBED_ONE,
    "/embeddings": EMBEDDINGS,
    "/invocations": CHAT,
    **{path: path for path in (OLLAMA_CHAT, OLLAMA_GENERATE, OLLAMA_EMBED)},
    **{path: path for path in (OLLAMA_TAGS, OLLAMA_SHOW, OLLAMA_VERSION, OLLAMA_RUNNING)},
}
METHODS: Mapping[str, Route] = {
    "generateContent": Route(GEMINI, streamed=False),
    "streamGenerateContent": Route(GEMINI_STREAM, streamed=True),
    "countTokens": Route(GEMINI_COUNT),
    "embedContent": Route(GEMINI_EMBED),
    "batchEmbedContents": Route(GEMINI_EMBED_MANY),
}
"""Of Gemini's models: /v1beta/models/NAME:generateContent, and the like of Vertex."""

# Where the path names a model: Azure's deployments, Databricks' endpoints.
_DEPLOYMENT = re.compile(r"/(?:deployments|serving-endpoints)/([^/]+)/")
_METHOD = re.compile(r"/(?:models|tunedModels)/(.+)(?::|%3A)([A-Za-z]+)$")
_MODEL = re.compile(r"^(?:/[^/]+)*?(/v1beta)?/models/(.+)$")
# Not OpenAI's own /responses/compact, which nobody else has.
_RESPONSE = re.compile(r"^(?:/[^/]+)*?/responses/(?!compact$)([^/]+)(/input_items)?$")
# Ids are whatever clients send: slashes in them are part of the name, encoded or not.
_SESSION = re.compile(r"/+admin/+sessions/+([^/].*?)(/+model)?/*")


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
    if (called := _METHOD.search(path)) and called[2] in METHODS:
        return METHODS[called[2]]._replace(deployment=unquote(called[1]))
    for ending, route in ENDINGS.items():
        if path.endswith(ending):
            named = _DEPLOYMENT.search(path)
            return Route(route, unquote(named[1]) if named and route in FRONTS else None)
    if kept := _RESPONSE.match(path):
        return Route(f"{RESPONSES}/{kept[1]}{kept[2] or ''}")
    if match := _MODEL.match(path):
        return Route(f"{GEMINI_MODELS if match[1] else MODELS}/{unquote(match[2])}")
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
    begun = next((route for route in ROUTES if len(path) > 1 and route.startswith(f"{path.rstrip('/')}/")), None)
    return begun or next(iter(nearest(path, (route for route in ROUTES if route != "/"), 1)), CHAT)


class Inbound:
    """The ASGI application in front: paths are normalised here, and what means nothing is told so."""

    def __init__(self, app: Any, service: Service) -> None:
        self.app, self.service = app, service

    def hot(self, client: Client) -> Coroutine[Any, Any, None] | None:
        """Serves an exchange, ahead of ASGI; None: it is none, or there is something about it to be looked at."""
        route = _known(client.path)
        front = FRONTS.get(route.path) if route else None
        service = self.service
        if route is None or front is None or service.draining:
            return None
        if service.local_only and foreign(client.headers):
            return None
        client.path, client.deployment, client.streamed = route
        return Passage(service, front).serve(client)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # The raw path: a %2F inside a deployment's name separates nothing.
        path = scope["raw_path"].decode("ascii", "replace")
        route, headers = normalise(path), lower(scope)
        if error := self._why_refused(scope["method"], scope["path"][:200], route, headers):
            name = request_id(headers)
            self._turned_away(error, name, scope)
            await send_error(send, error, name, tongue(path, headers))
            return
        if route is None:
            return
        # The server itself looks at what it was asked: a copy.
        scope = {**scope, "path": route.path, "raw_path": route.path.encode()}
        if scope["method"] == "HEAD":
            scope["method"] = "GET"
        scope["skein.deployment"], scope["skein.streamed"] = route.deployment, route.streamed
        await self.app(scope, receive, send)

    def _turned_away(self, error: CallerError, name: str, scope: Any) -> None:
        at, method, path = self.service.gateway.clock(), scope["method"], scope["path"][:200]
        self.service.emit(RequestTurnedAway(at=at, exchange_id=name, code=error.code, method=method, path=path))

    def _why_refused(
        self, method: str, path: str, route: Route | None, headers: Mapping[str, str]
    ) -> CallerError | None:
        if self.service.local_only and (why := foreign(headers)):
            return CallerError(403, "foreign_request", why, type="permission_error", origin="gateway")
        if route is None:
            said = f"{method} {path} is not served here; the nearest route is {nearest_route(path)}"
            return CallerError(404, "unknown_path", said, origin="gateway")
        if headers.get("upgrade", "").lower() == "websocket":
            # Codex goes on by POST at once when it hears this status, and after seven tries when it hears others.
            said = f"{path} is not served over a WebSocket: send it as POST"
            return CallerError(426, "websocket_unsupported", said, origin="gateway")
        return None


def tongue(path: str, headers: Mapping[str, str]) -> Dialect:
    """The dialect in which an error is told to whoever calls this, right or wrong."""
    if "anthropic-version" in headers or "/messages" in path:
        return DIALECTS["anthropic_messages"]
    if "/v1beta/" in path or "x-goog-api-key" in headers:
        return DIALECTS["gemini"]
    return DIALECTS["ollama_chat" if path.startswith("/api/") and path in ENDINGS else "openai_chat"]
