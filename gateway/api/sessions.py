"""``/admin/sessions``: which model an operator has set for a session, and how to change that.

A session's id is the one that ``/admin/requests`` shows, its caller's name before it, URL-encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from litestar import Request, Response, delete, get, put
from litestar.params import FromPath

from gateway.api.bodies import whole_body
from gateway.api.guard import require_operator
from gateway.api.inbound import SESSIONS
from gateway.api.service import Pinning, Service
from gateway.chat import LONGEST_NAME
from gateway.errors import CallerError
from gateway.routing.turns import AUTO

MOST_BYTES = 16 * 1024
LONGEST_ID = 1024
# Requests that are looked through for the sessions there were lately, and those that are shown of one.
LOOKED_THROUGH, SHOWN = 200, 20


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
    """Any name a client may ask for, or ``auto``: nobody's choice any more."""


def sessions(service: Service) -> list[Any]:
    @get(SESSIONS, summary="Sessions with a model an operator has set, and those seen lately, newest first")
    async def list_sessions(request: Request[Any, Any, Any]) -> Response[Mapping[str, Any]]:
        require_operator(service, request.scope)
        pins = {each.session: each for each in service.pins.pins()}
        seen: dict[str, Mapping[str, Any]] = {}
        for row in service.live.requests({}, LOOKED_THROUGH) if service.live else []:
            if row["session"]:
                seen.setdefault(row["session"], row)
        names = dict.fromkeys((*pins, *seen))
        return _told(
            service, {"sessions": [{**_pin(name, pins.get(name)), "last": _last(seen.get(name))} for name in names]}
        )

    @get(SESSIONS + "/{name:str}", summary="One session: the model an operator has set, and its last requests")
    async def one_session(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Mapping[str, Any]]:
        require_operator(service, request.scope)
        session = _session(name)
        pin, rows = service.pins.find(session), _seen(service, session)
        if pin is None and not rows:
            said = f'nothing is known of a session "{session[:128]}": its id is as in /admin/requests, URL-encoded'
            raise CallerError(404, "session_not_found", said, origin="gateway")
        return _told(service, {**_pin(session, pin), "requests": rows})

    @put(SESSIONS + "/{name:str}/model", status_code=200, request_max_body_size=MOST_BYTES, summary=_SETS)
    async def set_model(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Mapping[str, Any]]:
        require_operator(service, request.scope)
        session, chosen = _session(name), read_choice(await whole_body(service, request))
        if chosen.model == AUTO:
            service.pins.free(session)
            return _told(service, _pin(session, None))
        pinned = _pin(session, service.pins.pin(session, chosen.model))
        # An id that is none, or lacks its caller's name, pins nothing: whoever sets it can see that.
        return _told(service, {**pinned, "seen": bool(_seen(service, session))})

    @delete(SESSIONS + "/{name:str}/model", status_code=200, summary="Takes the model of a session back")
    async def take_back(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Mapping[str, Any]]:
        require_operator(service, request.scope)
        session = _session(name)
        service.pins.free(session)
        return _told(service, _pin(session, None))

    return [list_sessions, one_session, set_model, take_back]


_SETS = 'Sets the model of a session from its next request on: {"model": NAME}, or auto'


def read_choice(body: bytes) -> Chosen:
    """Raises ``CallerError`` (400)."""
    try:
        return msgspec.json.decode(body, type=Chosen)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (ValueError, RecursionError):
        raise _invalid("the body is not valid JSON") from None


def _invalid(why: str) -> CallerError:
    return CallerError(400, "invalid_choice", f'{why}: send {{"model": NAME}}', param="model", origin="gateway")


def _session(quoted: str) -> str:
    session = unquote(quoted)
    if len(session) > LONGEST_ID:
        said = f"a session's id has at most {LONGEST_ID} characters"
        raise CallerError(400, "invalid_session", said, origin="gateway")
    return session


def _seen(service: Service, session: str) -> list[dict[str, Any]]:
    """Its last requests, as far as the live view goes back."""
    found = service.live.requests({"session": session}, SHOWN) if service.live else []
    return [row for row in found if row["session"] == session]


def _pin(session: str, pin: Pinning | None) -> dict[str, Any]:
    """``since`` and ``until`` in seconds since the epoch; used, it holds on."""
    shown = {"model": pin.model, "since": round(pin.since, 3), "until": round(pin.until, 3)} if pin else None
    return {"session": session, "pin": shown}


def _last(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    shown = ("id", "time", "state", "model", "target", "role", "rule", "caller")
    return {name: row.get(name) for name in shown} if row else None


def _told(service: Service, found: Mapping[str, Any]) -> Response[Mapping[str, Any]]:
    return Response({**found, "worker": service.worker}, headers={"cache-control": "no-store"})
