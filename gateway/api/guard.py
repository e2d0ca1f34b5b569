"""Who may look at the gateway's inside: programs and pages of this machine, from elsewhere whoever has the admin key.

Being on this machine is taken for a right, so whatever might only borrow it counts as elsewhere: a proxy here that
forwards for others, a web page of a foreign origin, a name that was made to lead here (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from litestar import Request

from gateway.access.keys import Caller
from gateway.api.inbound import foreign, is_local_host
from gateway.api.replies import lower, unauthorised
from gateway.api.service import Service
from gateway.errors import CallerError

# What proxies add.
_FORWARDING = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")


def require_operator(service: Service, scope: Mapping[str, Any]) -> None:
    """Raises ``CallerError`` (403) that says what to do."""
    headers = lower(scope)
    if service.admin.admit(headers):
        # Whoever has the key need not be here; a page of another site cannot have it.
        _refuse(other_origin(headers))
        return
    if not is_here(scope, headers):
        remedy = "ask on the machine itself, or send access.admin_key as Authorization: Bearer or x-api-key"
        _refuse(f"{scope['path']} answers to its own machine only: {remedy}")
    _refuse(foreign(headers, "it answers to its own machine only"))


def admitted(service: Service, request: Request[Any, Any, Any]) -> Caller:
    """Who asks, outside of any exchange. Raises ``CallerError`` (401)."""
    headers, keys = lower(request.scope), parse_qs(request.scope["query_string"].decode("latin-1")).get("key")
    if keys:
        # Google's clients may send their key so.
        headers.setdefault("x-goog-api-key", keys[-1])
    caller = service.doorkeeper.admit(headers)
    if caller is None:
        raise unauthorised()
    return caller


def refuse_foreign_page(scope: Mapping[str, Any]) -> None:
    """For what anybody may read but no web page of others. Raises ``CallerError`` (403)."""
    headers = lower(scope)
    _refuse(foreign(headers, "it shows this to its own machine's pages only") if _is_loopback(scope) else None)
    _refuse(other_origin(headers))


def is_here(scope: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """The caller is a program of this machine that calls for itself."""
    if any(name in _FORWARDING or name.startswith("x-forwarded") for name in headers):
        return False
    # A proxy that keeps the name it was called by gives itself away, too.
    return _is_loopback(scope) and is_local_host(headers.get("host", "localhost"))


def other_origin(headers: Mapping[str, str]) -> str | None:
    """Why a page's request is refused: it is of another origin than this gateway's."""
    origin = headers.get("origin")
    if origin is not None and _address(origin) != headers.get("host", "").lower():
        return f'a page of "{origin[:100]}" calls this gateway, which answers its own pages only'
    # A link may lead here from anywhere: what it opens is not the other page's to read.
    if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        return "a page of another site calls this gateway, which answers its own pages only"
    return None


def _address(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_loopback(scope: Mapping[str, Any]) -> bool:
    """Of a caller without an address (a socket of the file system) nothing is known."""
    try:
        address = ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _refuse(why: str | None) -> None:
    if why:
        raise CallerError(403, "operators_only", why, type="permission_error", origin="gateway")
