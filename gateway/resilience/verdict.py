"""When nobody answered: which fault to tell the client about, with which status, in which words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import CallerError, Fault, FaultKind
from gateway.resilience.failover import Outcome
from gateway.resilience.keys import COOL_FOR
from gateway.routing import Target

# How telling a fault is (the lowest number of the history is reported) and the status it becomes for the client. What
# is the caller's own comes first, then what a client can wait for, then what only an operator can mend.
VERDICTS: dict[FaultKind, tuple[int, int]] = {
    FaultKind.BAD_REQUEST: (0, 400),
    FaultKind.CONTEXT_TOO_LONG: (0, 400),
    FaultKind.REFUSED: (0, 400),
    FaultKind.RATE_LIMITED: (1, 429),
    FaultKind.OVERLOADED: (2, 503),
    FaultKind.TIMEOUT_TOTAL: (3, 504),
    FaultKind.TIMEOUT_FIRST_TOKEN: (3, 504),
    FaultKind.TIMEOUT_IDLE: (3, 504),
    FaultKind.TIMEOUT_CONNECT: (4, 504),
    FaultKind.SERVER_ERROR: (5, 502),
    FaultKind.UNREACHABLE: (6, 502),
    FaultKind.GARBLED: (7, 502),
    FaultKind.BROKEN_STREAM: (7, 502),
    FaultKind.BAD_CREDENTIALS: (8, 502),
    FaultKind.OUT_OF_CREDIT: (8, 502),
    FaultKind.MODEL_MISSING: (9, 404),
}
# Faults about the caller's own request keep the vendor's words and status.
CALLERS = frozenset((FaultKind.BAD_REQUEST, FaultKind.CONTEXT_TOO_LONG, FaultKind.REFUSED))
# Faults of our account with the vendor: what the vendor said about it is not the client's business.
OURS = frozenset((FaultKind.BAD_CREDENTIALS, FaultKind.OUT_OF_CREDIT))

_CODES = {
    FaultKind.RATE_LIMITED: ("rate_limit_error", "rate_limit_exceeded"),
    FaultKind.CONTEXT_TOO_LONG: ("invalid_request_error", "context_length_exceeded"),
    FaultKind.REFUSED: ("invalid_request_error", "content_filter"),
    FaultKind.BAD_REQUEST: ("invalid_request_error", "bad_request"),
    FaultKind.BAD_CREDENTIALS: ("upstream_error", "upstream_auth"),
    FaultKind.OUT_OF_CREDIT: ("upstream_error", "upstream_credit"),
    FaultKind.MODEL_MISSING: ("invalid_request_error", "model_not_found"),
}


def most_telling(history: Sequence[Outcome]) -> Outcome:
    """The outcome to report; of equally telling ones the latest."""
    return min(reversed(history), key=lambda outcome: VERDICTS[outcome.fault.kind][0])


def status_of(fault: Fault) -> int:
    if (
        fault.kind in CALLERS
        and fault.status
        and 400 <= fault.status < 500
        and fault.kind is not FaultKind.CONTEXT_TOO_LONG
    ):
        return fault.status
    # A 403 is about our account; the rest is the vendor's way to say that there is no such model.
    if fault.kind is FaultKind.MODEL_MISSING and fault.status in (400, 404, 410, 422):
        return fault.status
    return VERDICTS[fault.kind][1]


def retry_after_of(history: Sequence[Outcome]) -> float | None:
    """The shortest wait any of the vendors asked for when it was last called, seen from the last failure. A rate limit
    that came without one is worth what its key rests: Codex gives up on a 429 that says nothing."""
    latest = {outcome.attempt.target: outcome for outcome in history}
    waits = [
        max(0.0, wait - (history[-1].at - outcome.at))
        for outcome in latest.values()
        if (wait := _wait_of(outcome.fault)) is not None and outcome.fault.kind not in CALLERS
    ]
    return min(waits, default=None)


def _wait_of(fault: Fault) -> float | None:
    if fault.retry_after is None and fault.kind is FaultKind.RATE_LIMITED:
        return COOL_FOR
    return fault.retry_after


def was_called(fault: Fault) -> bool:
    """Whether the vendor was: what cannot be written for it, and media that cannot be had, are refused before."""
    return not (fault.kind is FaultKind.BAD_REQUEST and fault.origin == "caller")


def error_of(
    fault: Fault, target: Target | None, history: Sequence[Outcome], request_id: str, *, broke: bool = False
) -> dict[str, Any]:
    """The error object of design.md §4, in the words all dialects share. ``broke``: the answer had begun."""
    kind = fault.kind
    type_, code = _CODES.get(kind, ("upstream_error", kind.value))
    if kind not in OURS:
        type_ = fault.type or type_
        if kind is not FaultKind.CONTEXT_TOO_LONG and kind is not FaultKind.MODEL_MISSING:
            code = fault.code or code
    return {
        "message": _message(fault, target, 0 if broke else len(history)),
        "type": type_,
        "code": code,
        "param": None if kind in OURS else fault.param,
        "origin": fault.origin,
        "provider": target.provider if target else None,
        "model": target.model if target else None,
        "upstream": {
            "status": fault.status,
            "url": fault.url,
            "body": None if kind in OURS else fault.body,
        }
        if was_called(fault)
        else None,
        "attempts": [_attempt(outcome) for outcome in history if was_called(outcome.fault)],
        "request_id": request_id,
    }


def error_of_caller(error: CallerError, request_id: str) -> dict[str, Any]:
    return {
        "message": error.message,
        "type": error.type,
        "code": error.code,
        "param": error.param,
        "origin": error.origin,
        "provider": None,
        "model": None,
        "upstream": None,
        "attempts": [],
        "request_id": request_id,
    }


def _message(fault: Fault, target: Target | None, attempts: int) -> str:
    match fault.kind:
        case FaultKind.BAD_CREDENTIALS if fault.origin == "gateway":
            return f"the gateway could not sign in to {_provider(target)}; its operator must mend that"
        case FaultKind.BAD_CREDENTIALS:
            return f"the gateway's credentials for {_provider(target)} were refused; its operator must mend them"
        case FaultKind.OUT_OF_CREDIT:
            return f"the gateway's account with {_provider(target)} is out of credit; its operator must mend it"
        case kind if kind in CALLERS or kind is FaultKind.RATE_LIMITED:
            # The vendor's own words: agents recognise them.
            return fault.message
    tried = f" ({attempts} attempts, none answered)" if attempts > 1 else ""
    return f"{target}: {fault.message}{tried}" if target else f"{fault.message}{tried}"


def _provider(target: Target | None) -> str:
    return f'provider "{target.provider}"' if target else "a provider"


def _attempt(outcome: Outcome) -> dict[str, Any]:
    return {
        "number": outcome.attempt.number,
        "provider": outcome.attempt.target.provider,
        "model": outcome.attempt.target.model,
        "fault": outcome.fault.kind.value,
        "status": outcome.fault.status,
    }
