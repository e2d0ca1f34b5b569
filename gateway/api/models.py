"""The models on offer, as each kind of client asks for them: OpenAI's, Anthropic's, Google's, Ollama's, LiteLLM's."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath

from gateway.access.keys import Caller
from gateway.api import listings_shown
from gateway.api.bodies import whole_body
from gateway.api.guard import admitted
from gateway.api.inbound import (
    GEMINI_MODELS,
    MODEL_INFO,
    MODELS,
    OLLAMA_RUNNING,
    OLLAMA_SHOW,
    OLLAMA_TAGS,
    OLLAMA_VERSION,
)
from gateway.api.listings_shown import Entry, Price
from gateway.api.replies import lower
from gateway.api.service import Service
from gateway.errors import CallerError

OLLAMA = "0.12.6"
"""The version of Ollama whose API is served: clients refuse to work with old ones."""


class _Shown(msgspec.Struct):
    model: str = ""
    name: str = ""


def models(service: Service) -> list[Any]:
    offers = _Offers(service)

    @get(MODELS, summary="The models on offer")
    async def list_models(request: Request[Any, Any, Any]) -> dict[str, Any]:
        entries, headers = offers.all(request), lower(request.scope)
        if "anthropic-version" in headers:
            said = request.query_params
            return listings_shown.anthropic(
                entries, _number(said.get("limit"), "limit"), said.get("after_id"), said.get("before_id")
            )
        if "x-goog-api-key" in headers:
            return _google_page(request, entries)
        return {"object": "list", "data": entries}

    @get(MODELS + "/{name:path}", summary="One model, by any name that resolves")
    async def show_model(request: Request[Any, Any, Any], name: FromPath[str]) -> dict[str, Any]:
        entry, headers = offers.one(request, name.lstrip("/")), lower(request.scope)
        if "anthropic-version" in headers:
            return listings_shown.anthropic_model(entry)
        return listings_shown.gemini_model(entry) if "x-goog-api-key" in headers else entry

    @get(GEMINI_MODELS, summary="The models on offer, as Google lists them")
    async def list_gemini(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return _google_page(request, offers.all(request))

    @get(GEMINI_MODELS + "/{name:path}", summary="One model, as Google shows it")
    async def show_gemini(request: Request[Any, Any, Any], name: FromPath[str]) -> dict[str, Any]:
        return listings_shown.gemini_model(offers.one(request, name.lstrip("/")))

    @get(MODEL_INFO, summary="The models on offer, as LiteLLM describes them")
    async def model_info(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return listings_shown.model_info(offers.all(request), offers.price)

    @get(OLLAMA_TAGS, summary="The models on offer, as Ollama lists them")
    async def tags(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return listings_shown.ollama_tags(offers.all(request))

    @get(OLLAMA_RUNNING, summary="The models in memory, as Ollama lists them: none")
    async def running(request: Request[Any, Any, Any]) -> dict[str, Any]:
        admitted(service, request)
        return {"models": []}

    @get(OLLAMA_VERSION, summary="The version of Ollama whose API is served")
    async def version(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return {"version": OLLAMA}

    @post(OLLAMA_SHOW, status_code=200, summary="One model, as Ollama shows it")
    async def show(request: Request[Any, Any, Any]) -> dict[str, Any]:
        try:
            asked = msgspec.json.decode(await whole_body(service, request), type=_Shown)
        except (ValueError, RecursionError) as error:
            raise CallerError(400, "invalid_json", f'the body must be like {{"model": "…"}}: {error}') from None
        return listings_shown.ollama_show(offers.one(request, asked.model or asked.name))

    return [list_models, show_model, list_gemini, show_gemini, model_info, tags, running, version, show]


class _Offers:
    """What a caller may see of the catalogue."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def all(self, request: Request[Any, Any, Any]) -> list[Entry]:
        caller = self._caller(request)
        return [entry for entry in self._service.catalogue.models() if self._may_use(caller, entry["id"])]

    def one(self, request: Request[Any, Any, Any], name: str) -> Entry:
        """Raises ``CallerError`` (404)."""
        caller = self._caller(request)
        entry = self._service.catalogue.model(name)
        if not self._may_use(caller, entry["id"]):
            said = f'there is no model "{entry["id"]}" for this key'
            raise CallerError(404, "model_not_found", said, param="model", origin="gateway")
        return entry

    def price(self, name: str) -> Price | None:
        return self._service.catalogue.price(name)

    def _caller(self, request: Request[Any, Any, Any]) -> Caller:
        caller = admitted(self._service, request)
        self._service.catalogue.refresh()
        return caller

    def _may_use(self, caller: Caller, name: str) -> bool:
        return caller.may_use(name, self._service.catalogue.resolved(name))


def _google_page(request: Request[Any, Any, Any], entries: list[Entry]) -> dict[str, Any]:
    said = request.query_params
    return listings_shown.gemini(entries, _number(said.get("pageSize"), "pageSize"), said.get("pageToken") or None)


def _number(said: str | None, param: str) -> int | None:
    """Raises ``CallerError`` (400)."""
    if not said:
        return None
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise CallerError(400, "invalid_value", f"{param}: expected a number, got {said[:40]!r}", param=param)
    return int(said)
