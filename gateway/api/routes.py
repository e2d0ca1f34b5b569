"""The routes of the HTTP surface, and their OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, delete, get, post, route
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import FromPath

from gateway import __version__
from gateway.api.chat import Passage
from gateway.api.fronts import CHAT, COMPLETIONS, EMBEDDINGS, FIELDS, FRONTS, MESSAGES, RESPONSES, Front
from gateway.api.guard import admitted
from gateway.api.inbound import (
    EVENTS,
    FEEDBACK,
    GEMINI_MODELS,
    METHODS,
    METRICS,
    MODELS,
    PROVIDERS,
    REQUESTS,
    ROUTES,
    SCORES,
    SESSIONS,
    SWITCHES,
    nearest_route,
    tongue,
)
from gateway.api.models import models
from gateway.api.operator import operator
from gateway.api.replies import JSON, closing_headers, lower, request_id, unauthorised
from gateway.api.service import Service
from gateway.errors import CallerError
from gateway.resilience.verdict import error_of_caller


def build_routes(service: Service, lifespan: list[Any]) -> Litestar:
    return Litestar(
        route_handlers=[
            *exchanges(service),
            *responses(service),
            *models(service),
            *health(service),
            *operator(service),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, CallerError: _caller_error},
        openapi_config=OpenAPIConfig(
            title="Skein",
            version=__version__,
            description="One endpoint for any agent, over many vendors.",
            path="/schema",
            render_plugins=[_AsCalled(path=("/", "/openapi.json"))],
        ),
        logging_config=None,
    )


class _AsCalled(JsonRenderPlugin):
    """Our OpenAPI with the paths as clients call them: within, Gemini's are without the model."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        methods = {route.path: method for method, route in METHODS.items()}
        model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        paths: dict[str, Any] = {}
        for path, item in openapi_schema["paths"].items():
            if path in methods:
                paths[f"{GEMINI_MODELS}/{{model}}:{methods[path]}"] = {**item, "parameters": [model]}
            else:
                paths[path] = item
        return super().render(request, {**openapi_schema, "paths": paths})


def exchanges(service: Service) -> list[Any]:
    return [_exchange(service, path, front) for path, front in FRONTS.items()]


def _exchange(service: Service, path: str, front: Front) -> Any:
    described = f"Request and answer as in {front.docs}"

    @post(path, status_code=200, summary=front.summary, description=described, operation_class=_asked(front))
    async def exchange() -> Passage:
        return Passage(service, front)

    return exchange


def _asked(front: Front) -> type[Operation]:
    """With what is asked: Litestar does not see it, as it is not Litestar that reads the body."""
    fields = {name: Schema(type=OpenAPIType(kind)) for name, kind in FIELDS[front.dialect].items()}
    schema = Schema(type=OpenAPIType.OBJECT, properties=dict(fields), additional_properties=True)
    body = RequestBody(content={"application/json": OpenAPIMediaType(schema=schema)}, required=True)

    @dataclass
    class Asked(Operation):
        def __post_init__(self) -> None:
            self.request_body = body

    return Asked


def responses(service: Service) -> list[Any]:
    """Those that are kept for the requests that refer to them."""

    @get(RESPONSES + "/{name:str}", summary="A response that is kept")
    async def show(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        return Response(
            await service.responses.response(admitted(service, request).name, name), media_type=MediaType.JSON
        )

    @get(RESPONSES + "/{name:str}/input_items", summary="What its request said")
    async def inputs(request: Request[Any, Any, Any], name: FromPath[str]) -> dict[str, Any]:
        items = await service.responses.inputs(admitted(service, request).name, name)
        said = [{"id": f"item_{place}", **msgspec.json.decode(item)} for place, item in enumerate(items)]
        first, last = (said[0]["id"], said[-1]["id"]) if said else (None, None)
        return {"object": "list", "data": said, "first_id": first, "last_id": last, "has_more": False}

    @delete(RESPONSES + "/{name:str}", status_code=200, summary="Forgets a response")
    async def forget(request: Request[Any, Any, Any], name: FromPath[str]) -> dict[str, Any]:
        await service.responses.forget(admitted(service, request).name, name)
        return {"id": name, "object": "response", "deleted": True}

    return [show, inputs, forget]


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
        return {"name": "skein", "version": __version__, **PATHS}

    return [live, ready, providers, index]


_NAMED = {
    "chat": CHAT,
    "responses": RESPONSES,
    "messages": MESSAGES,
    "completions": COMPLETIONS,
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
PATHS = {**_NAMED, **{path.strip("/"): path for path in ROUTES if path != "/" and path not in _NAMED.values()}}
"""What there is, for whoever looks at the front door."""


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
    headers = lower(request.scope)
    name = request_id(headers)
    said = tongue(request.scope["path"], headers).error_body(error_of_caller(error, name), error.status)
    told = dict([*closing_headers(error), JSON, ("x-request-id", name)])
    return Response(said, status_code=error.status, headers=told, media_type=JSON[1])
