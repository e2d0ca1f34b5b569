"""The routes of the HTTP surface, and their OpenAPI."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post, route
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath

from gateway import __version__
from gateway.access.keys import Caller
from gateway.api.chat import Passage
from gateway.api.inbound import (
    CHAT,
    EMBEDDINGS,
    EVENTS,
    EXCHANGES,
    FEEDBACK,
    METRICS,
    MODELS,
    PROVIDERS,
    REQUESTS,
    SCORES,
    SESSIONS,
    SWITCHES,
    nearest_route,
)
from gateway.api.operator import operator
from gateway.api.replies import JSON, closing_headers, lower, request_id, unauthorised
from gateway.api.service import Service
from gateway.dialects import DIALECTS
from gateway.errors import CallerError
from gateway.resilience.verdict import error_of_caller


def build_routes(service: Service, lifespan: list[Any]) -> Litestar:
    return Litestar(
        route_handlers=[*exchanges(service), *models(service), *health(service), *operator(service)],
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, CallerError: _caller_error},
        openapi_config=OpenAPIConfig(
            title="Skein",
            version=__version__,
            description="An OpenAI-compatible endpoint over many vendors.",
            path="/schema",
            render_plugins=[JsonRenderPlugin(path=("/", "/openapi.json"))],
        ),
        logging_config=None,
    )


def exchanges(service: Service) -> list[Any]:
    chat_dialect, embeddings_dialect = DIALECTS[EXCHANGES[CHAT]], DIALECTS[EXCHANGES[EMBEDDINGS]]

    @post(CHAT, status_code=200, summary="Chat completion", description=_AS_OPENAI.format("chat/create"))
    async def chat() -> Passage:
        return Passage(service, chat_dialect)

    @post(EMBEDDINGS, status_code=200, summary="Embeddings", description=_AS_OPENAI.format("embeddings/create"))
    async def embeddings() -> Passage:
        return Passage(service, embeddings_dialect)

    return [chat, embeddings]


_AS_OPENAI = "Request and answer as in https://platform.openai.com/docs/api-reference/{}"


def models(service: Service) -> list[Any]:
    def admitted(request: Request[Any, Any, Any]) -> Caller:
        caller = service.doorkeeper.admit(lower(request.scope))
        if caller is None:
            raise unauthorised()
        service.catalogue.refresh()
        return caller

    def may_use(caller: Caller, name: str) -> bool:
        return caller.may_use(name, service.catalogue.resolved(name))

    @get(MODELS, summary="The models on offer")
    async def list_models(request: Request[Any, Any, Any]) -> dict[str, Any]:
        caller = admitted(request)
        entries = [each for each in service.catalogue.models() if may_use(caller, each["id"])]
        return {"object": "list", "data": entries}

    @get(MODELS + "/{name:path}", summary="One model, by any name that resolves")
    async def show_model(request: Request[Any, Any, Any], name: FromPath[str]) -> dict[str, Any]:
        caller = admitted(request)
        entry = service.catalogue.model(name.lstrip("/"))
        if not may_use(caller, entry["id"]):
            raise CallerError(
                404,
                "model_not_found",
                f'there is no model "{entry["id"]}" for this key',
                param="model",
                origin="gateway",
            )
        return entry

    return [list_models, show_model]


def health(service: Service) -> list[Any]:
    @route("/health/live", http_method=["GET", "HEAD"], summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @route("/health/ready", http_method=["GET", "HEAD"], summary="New requests are taken in")
    async def ready() -> Response[dict[str, Any]]:
        if service.draining:
            return Response({"status": "draining", "running": len(service.running)}, status_code=503)
        return Response({"status": "ready", "running": len(service.running)})

    @get("/health/providers", summary="Breakers and keys of every provider")
    async def providers(request: Request[Any, Any, Any]) -> dict[str, Any]:
        if service.doorkeeper.admit(lower(request.scope)) is None:
            raise unauthorised()
        return {"providers": service.providers()}

    @route("/", http_method=["GET", "HEAD"], media_type=MediaType.JSON, summary="What this is")
    async def index() -> dict[str, str]:
        return {
            "name": "skein",
            "version": __version__,
            "chat": CHAT,
            "embeddings": EMBEDDINGS,
            "models": MODELS,
            "feedback": FEEDBACK,
            "schema": "/schema",
            "metrics": METRICS,
            "requests": REQUESTS,
            "providers": PROVIDERS,
            "switches": SWITCHES,
            "sessions": SESSIONS,
            "scores": SCORES,
            "events": EVENTS,
        }

    return [live, ready, providers, index]


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    path = request.scope["path"]
    code = {404: "unknown_path", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    said = f"{request.method} {path}: {error.detail}"
    if error.status_code == 405:
        said = f"{request.method} is not what {path} takes; it takes {(error.headers or {}).get('allow', 'POST')}"
    if error.status_code == 404:
        said = f"{request.method} {path} is not served here; the nearest route is {nearest_route(path)}"
    response = _caller_error(request, CallerError(error.status_code, code, said, origin="gateway"))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


def _caller_error(request: Request[Any, Any, Any], error: CallerError) -> Response[Any]:
    request_name = request_id(lower(request.scope))
    headers = dict([*closing_headers(error), JSON, ("x-request-id", request_name)])
    return Response({"error": error_of_caller(error, request_name)}, status_code=error.status, headers=headers)
