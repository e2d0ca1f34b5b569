"""Heads and errors of replies, for every route alike."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping
from typing import Any

from gateway.dialects import Dialect
from gateway.errors import CallerError
from gateway.resilience.verdict import error_of_caller

Headers = list[tuple[str, str]]

JSON = ("content-type", "application/json")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")


def lower(scope: Mapping[str, Any]) -> dict[str, str]:
    """The request's headers, without the space around them (llhttp leaves what follows); of repeated ones the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1").strip(" \t") for name, value in scope["headers"]}


def request_id(headers: Mapping[str, str]) -> str:
    """The client's own id if it can be echoed safely, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"


def encoded(headers: Headers, request: str) -> list[tuple[bytes, bytes]]:
    """For ASGI. Names come from the configuration and may hold anything; a header may not."""
    said = [(name.encode(), re.sub(r"[^\t\x20-\x7e]", "?", value).encode("ascii")) for name, value in headers]
    return [(b"x-request-id", request.encode()), *said]


def unauthorised() -> CallerError:
    ways = "Authorization: Bearer, x-api-key, api-key or x-goog-api-key"
    said = f"no valid API key: send one of this gateway's keys as {ways}"
    return CallerError(401, "invalid_api_key", said, type="authentication_error", origin="gateway")


def refusal_headers(error: CallerError) -> Headers:
    headers: Headers = []
    if error.status == 401:
        headers.append(("www-authenticate", "Bearer"))
    if error.retry_after is not None:
        headers += retry_after_headers(error.retry_after)
    return headers


def closing_headers(error: CallerError) -> Headers:
    """Of a refusal outside of any exchange: also whether its connection may be used again."""
    return [*refusal_headers(error), *([("connection", "close")] if closes(error) else [])]


def closes(error: CallerError) -> bool:
    """Its connection is not to be used again."""
    return error.status in (408, 413) or error.code == "gateway_draining"


def retry_after_headers(seconds: float) -> Headers:
    """Both forms: SDKs read the milliseconds first, everybody else whole seconds."""
    return [("retry-after", str(math.ceil(seconds))), ("retry-after-ms", str(math.ceil(seconds * 1000)))]


async def send_error(send: Any, error: CallerError, request: str, dialect: Dialect) -> None:
    """An error outside of any exchange."""
    said = dialect.error_body(error_of_caller(error, request), error.status)
    head = encoded([*closing_headers(error), JSON, ("content-length", str(len(said)))], request)
    await send({"type": "http.response.start", "status": error.status, "headers": head})
    await send({"type": "http.response.body", "body": said})
