"""The bodies of the operators' small requests, read whole."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Request

from gateway.api.service import Service
from gateway.errors import CallerError


async def whole_body(service: Service, request: Request[Any, Any, Any]) -> bytes:
    """Raises ``CallerError`` (408) when it takes longer than a client may."""
    try:
        async with asyncio.timeout(service.client_timeout):
            return await request.body()
    except TimeoutError:
        said = f"the request's body took more than {service.client_timeout:g} s"
        raise CallerError(408, "request_timeout", said) from None
