"""Routes for the people who run the gateway: what happens now and happened just now, metrics, and feedback."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from litestar import MediaType, Request, Response, get, post, route
from litestar.params import FromPath

from gateway.api.feedback import MOST_BYTES, take_feedback
from gateway.api.guard import refuse_foreign_page, require_operator
from gateway.api.inbound import EVENTS, FEEDBACK, METRICS, PROVIDERS, REQUESTS, SCORES, SWITCHES
from gateway.api.replies import lower, unauthorised
from gateway.api.service import Live, Service
from gateway.api.sessions import sessions
from gateway.api.tail import Tail
from gateway.errors import CallerError, did_you_mean
from gateway.routing.scores import request as request_of_scores
from gateway.units import parse_duration

OUTCOMES = ("ok", "error", "timeout", "cancelled", "rejected", "running")
LIMIT, MOST = 100, 1000


def operator(service: Service) -> list[Any]:
    return [*admin(service), *sessions(service), metrics(service), feedback(service)]


def admin(service: Service) -> list[Any]:
    def looked_at(request: Request[Any, Any, Any]) -> Live:
        require_operator(service, request.scope)
        if service.live is None:
            raise CallerError(
                503, "live_view_off", "this gateway keeps no live view", type="server_error", origin="gateway"
            )
        return service.live

    def told(found: Mapping[str, Any]) -> Response[Mapping[str, Any]]:
        return Response({**found, "worker": service.worker}, headers={"cache-control": "no-store"})

    @get(REQUESTS, summary="Requests under way and the last that finished, newest first", description=_FILTERED)
    async def requests(request: Request[Any, Any, Any]) -> Response[Mapping[str, Any]]:
        live = looked_at(request)
        asked = read_query(request.scope["query_string"], {**FILTERS, "limit": _limit})
        limit = asked.pop("limit", LIMIT)
        return told({"requests": live.requests(asked, limit)})

    @get(REQUESTS + "/{name:str}", summary="Everything about one request")
    async def one_request(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Mapping[str, Any]]:
        found = looked_at(request).request(name)
        if found is None:
            raise unknown_request(service, name)
        return told(found)

    @get(PROVIDERS, summary="Every provider and target: breaker, keys, how its calls went lately")
    async def providers(request: Request[Any, Any, Any]) -> Response[Mapping[str, Any]]:
        live = looked_at(request)
        return told({"providers": merged(service.providers(), live.targets())})

    @get(SCORES, summary="Every configured model: its candidates, and how well they do each kind of work")
    async def models(request: Request[Any, Any, Any]) -> Response[Mapping[str, Any]]:
        require_operator(service, request.scope)
        return told({"models": service.scores(), "of": request_of_scores()})

    @get(SWITCHES, summary="Changes of target, newest first")
    async def switches(request: Request[Any, Any, Any]) -> Response[Mapping[str, Any]]:
        return told({"switches": looked_at(request).switches()})

    @get(EVENTS, summary="Requests as they finish, and switches, as an event stream", description=_FILTERED)
    async def happening(request: Request[Any, Any, Any]) -> Tail:
        live = looked_at(request)
        filters = read_query(request.scope["query_string"], FILTERS)
        if service.draining:
            said = "the gateway is shutting down"
            raise CallerError(503, "gateway_draining", said, type="server_error", origin="gateway", retry_after=1.0)
        watcher = live.watch(filters)
        if watcher is None:
            said = "too many read this already; close one of them"
            raise CallerError(503, "too_many_watchers", said, type="server_error", origin="gateway", retry_after=5.0)
        return Tail(service, watcher)

    return [requests, one_request, providers, models, switches, happening]


def metrics(service: Service) -> Any:
    @route(METRICS, http_method=["GET", "HEAD"], media_type=MediaType.TEXT, summary="Metrics, for Prometheus")
    async def scrape(request: Request[Any, Any, Any]) -> Response[bytes]:
        refuse_foreign_page(request.scope)
        if service.metrics is None:
            raise CallerError(404, "metrics_elsewhere", service.metrics_elsewhere, origin="gateway")
        headers = lower(request.scope)
        body, kind = await service.metrics(headers.get("accept", ""))
        said = {"vary": "accept, accept-encoding"}
        if takes_gzip(headers.get("accept-encoding", "")):
            # Some hundred kilobytes: not in the event loop.
            body = await asyncio.to_thread(gzip.compress, body, 5)
            said["content-encoding"] = "gzip"
        # The charset of a text is named by Litestar, which does not look whether it is.
        return Response(body, media_type=kind.replace("; charset=utf-8", ""), headers=said)

    return scrape


def feedback(service: Service) -> Any:
    @post(FEEDBACK, status_code=202, request_max_body_size=MOST_BYTES, summary="A verdict on an answer")
    async def give(request: Request[Any, Any, Any]) -> dict[str, str]:
        headers = lower(request.scope)
        operator = service.admin.admit(headers)
        caller = service.doorkeeper.admit(headers)
        if caller is None and operator is None:
            raise unauthorised()
        counts = await take_feedback(service, request, None if operator or caller is None else caller.name)
        return {"status": "accepted" if counts else "already given"}

    return give


def merged(providers: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Providers with what was seen of their targets; a target whose provider is gone is left out."""
    found = {name: {**each, "targets": dict(each["targets"])} for name, each in providers.items()}
    for name, seen in targets.items():
        provider = found.get(name.partition("/")[0])
        if provider is not None:
            provider["targets"][name] = {**provider["targets"].get(name, {}), **seen}
    return found


def unknown_request(service: Service, name: str) -> CallerError:
    said = f'there is no request "{name[:128]}" among the last ones'
    if service.worker is not None:
        said += f" of worker {service.worker}: each worker knows its own, so ask again on a new connection"
        return CallerError(404, "request_elsewhere", said, origin="gateway")
    return CallerError(404, "request_not_found", f"{said}: it is too long ago, or was never made", origin="gateway")


def takes_gzip(accepted: str) -> bool:
    for each in accepted.lower().split(","):
        name, _, parameters = each.partition(";")
        if name.strip() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", parameters)
    return False


# The query string -----------------------------------------------------------------------------------------------------


def read_query(query: bytes, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Raises ``CallerError`` (400). A parameter without a value asks for nothing; of repeated ones the last holds."""
    found = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            hint = did_you_mean(name, known) or f"known are {', '.join(known)}"
            raise _bad_query(name[:100], f'there is no parameter "{name[:100]}": {hint}')
        if not value:
            continue
        try:
            found[name] = known[name](value)
        except ValueError as error:
            raise _bad_query(name, f"{name}: {error}") from None
    return found


def _bad_query(name: str, why: str) -> CallerError:
    return CallerError(400, "invalid_parameter", why, param=name, origin="gateway")


def _outcome(said: str) -> str:
    if said not in OUTCOMES:
        raise ValueError(f"one of {', '.join(OUTCOMES)}")
    return said


def _limit(said: str) -> int:
    if not (said.isascii() and said.isdigit() and len(said) < 6 and 1 <= int(said) <= MOST):
        raise ValueError(f"a number from 1 to {MOST}")
    return int(said)


def _yes_or_no(said: str) -> bool:
    if said not in ("true", "false", "1", "0"):
        raise ValueError("true or false")
    return said in ("true", "1")


FILTERS: Mapping[str, Callable[[str], Any]] = {
    "outcome": _outcome,
    "model": str,
    "provider": str,
    "error_type": str,
    "session": str,
    "caller": str,
    "min_seconds": parse_duration,
    "tool": str,
    "failed_over": _yes_or_no,
}
"""Parameter -> reads its value, raising ``ValueError`` with what it should be."""

_FILTERED = f"Filters: {', '.join(FILTERS)}. All that are given have to fit."
