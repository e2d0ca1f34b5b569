"""How long a client is waited for, and how much is taken of it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import CallerError

# A client that takes nothing for this long has stalled: its exchange is given up.
STALLED = 120.0
# Bytes a second below which a request's body comes too slowly.
SLOWEST = 1024
# A request that is refused unread is read so far, for so long, before the connection is closed under it.
UNREAD_LIMIT, UNREAD_SECONDS = 256 * 1024, 1.0


def latest(began: float, now: float, size: int, pause: float) -> float:
    """When the next bytes of a body have to be here, ``size`` of which are here now; seconds of one clock.

    A byte now and then keeps nobody's place: the whole takes no longer than a slow line would.
    """
    return min(now + pause, began + pause + size / SLOWEST)


def refuse_large(headers: Mapping[str, str], limit: int) -> None:
    """A body that is too large by its own account is not read. Raises ``CallerError`` (413)."""
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)


def too_large(limit: int) -> CallerError:
    return CallerError(413, "request_too_large", f"the request's body is larger than {limit} bytes (server.max_body)")


def too_slow(pause: float) -> CallerError:
    said = f"the request's body paused for more than {pause:g} s, or comes too slowly"
    return CallerError(408, "request_timeout", said)
