"""Our errors as Google tells its own: https://cloud.google.com/apis/design/errors"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.dialects.faults import retry_after

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto, by the status that a client gets to see.
STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    416: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPES = "type.googleapis.com/"


def error_body(error: Mapping[str, Any], status: int = 500) -> bytes:
    """``code``, ``message`` and ``status`` as SDKs look for them; what else we know is among the details."""
    word = STATUSES.get(status) or ("INVALID_ARGUMENT" if 400 <= status < 500 else "INTERNAL")
    said = {"code": status, "message": error.get("message"), "status": word, "details": _details(error)}
    return msgspec.json.encode({"error": said})


def error_frame(error: Mapping[str, Any], status: int = 500, place: int = 0) -> bytes:
    """An error after the head has gone: a line of its own that is no event, as Google's own are.

    As an event it would be an answer without candidates for Google's JavaScript SDK (``processStreamResponse`` in
    https://github.com/googleapis/js-genai/blob/main/src/_api_client.ts), which raises on JSON outside of events, and on
    what is left when the stream closes: no blank line may follow. The Python SDK raises ``ClientError`` or
    ``ServerError`` by the code.
    """
    return error_body(error, status) + b"\n"


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if code := error.get("code"):
        details.append(
            {"@type": f"{_TYPES}google.rpc.ErrorInfo", "reason": str(code), "domain": "skein", "metadata": {}}
        )
    if delay := _delay(error.get("upstream")):
        details.append({"@type": f"{_TYPES}google.rpc.RetryInfo", "retryDelay": delay})
    return [*details, {"@type": f"{_TYPES}skein.Error", **{key: error[key] for key in error if key != "message"}}]


def _delay(upstream: Any) -> str | None:
    """When the vendor wants to be asked again, if its error said so: Gemini CLI waits as long."""
    body = upstream.get("body") if isinstance(upstream, Mapping) else None
    wait = retry_after({}, body.encode(errors="replace"), 0.0) if isinstance(body, str) else None
    return None if wait is None else f"{wait:g}s"
