"""Whose fault an error was: a closed set of words, the same in metric, span and log.

The prefix says who: ``caller_``, ``policy_`` (we refused, as configured), ``provider_``, ``gateway_``. What fits none
of them is ``_OTHER``, which is worth an alert. Cancelled and rejected exchanges are nobody's failure to serve.
"""

from __future__ import annotations

import re
from typing import Literal

from gateway.errors import Fault, FaultKind
from gateway.events import ExchangeFinished

OTHER = "_OTHER"

Outcome = Literal["ok", "error", "timeout", "cancelled", "rejected"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "error", "timeout", "cancelled", "rejected")

OF_FAULT: dict[FaultKind, str] = {
    FaultKind.RATE_LIMITED: "provider_rate_limited",
    FaultKind.OVERLOADED: "provider_overloaded",
    FaultKind.SERVER_ERROR: "provider_server_error",
    FaultKind.UNREACHABLE: "provider_connection_failed",
    FaultKind.TIMEOUT_CONNECT: "provider_timeout_connect",
    FaultKind.TIMEOUT_FIRST_TOKEN: "provider_timeout_first_token",
    FaultKind.TIMEOUT_IDLE: "provider_timeout_idle",
    FaultKind.TIMEOUT_TOTAL: "provider_timeout_total",
    FaultKind.BAD_CREDENTIALS: "provider_auth_failed",
    FaultKind.OUT_OF_CREDIT: "provider_billing",
    FaultKind.MODEL_MISSING: "provider_model_missing",
    FaultKind.GARBLED: "provider_garbled",
    FaultKind.BROKEN_STREAM: "provider_broken_stream",
    FaultKind.BAD_REQUEST: "caller_invalid_request",
    FaultKind.CONTEXT_TOO_LONG: "caller_context_too_long",
    FaultKind.REFUSED: "caller_content_refused",
}

# By the code of the error the client was told, where no vendor was involved.
OF_CODE: dict[str, str] = {
    "model_not_found": "caller_model_unknown",
    "unsupported_operation": "caller_invalid_request",
    "missing_model": "caller_invalid_request",
    "invalid_model": "caller_invalid_request",
    "missing_input": "caller_invalid_request",
    "too_many_urls": "caller_invalid_request",
    "nested_too_deeply": "caller_invalid_request",
    "too_many_parts": "caller_invalid_request",
    "too_many_tools": "caller_invalid_request",
    "schema_too_deep": "caller_invalid_request",
    "missing_messages": "caller_invalid_request",
    "invalid_type": "caller_invalid_request",
    "invalid_json": "caller_invalid_request",
    "invalid_request": "caller_invalid_request",
    "previous_response_not_found": "caller_invalid_request",
    "too_many_inputs": "caller_invalid_request",
    "unsupported_input": "caller_invalid_request",
    "unsupported_parameter": "caller_invalid_request",
    "unsupported_value": "caller_invalid_request",
    "invalid_encoding": "caller_invalid_request",
    "unsupported_encoding": "caller_invalid_request",
    "invalid_timeout": "caller_invalid_request",
    "invalid_prompt": "caller_invalid_request",
    "prompt_not_found": "caller_invalid_request",
    "request_too_large": "caller_too_large",
    "request_timeout": "caller_too_slow",
    "invalid_api_key": "policy_key_refused",
    "model_not_allowed": "policy_model_not_allowed",
    "foreign_request": "policy_foreign_request",
    "loop_detected": "policy_loop_detected",
    "gateway_draining": "gateway_draining",
    "internal_error": "gateway_internal",
    "prompt_unavailable": "gateway_prompt_unavailable",
}

CANCELLED = "caller_cancelled"
DEADLINE = "caller_deadline"

ERROR_TYPES = tuple(dict.fromkeys((*OF_FAULT.values(), *OF_CODE.values(), CANCELLED, DEADLINE, OTHER)))


_WORD = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


def word(said: str | None) -> str | None:
    """A word of a vendor's (a code, a finish reason) as it may be told: one that is none, or too long, is ``other``."""
    return said if said is None or _WORD.fullmatch(said) else "other"


def error_type(fault: Fault) -> str:
    """Whose fault one failed attempt was."""
    if fault.kind is FaultKind.TIMEOUT_TOTAL and fault.origin == "caller":
        return DEADLINE
    if fault.origin == "gateway" and fault.code in OF_CODE:
        return OF_CODE[fault.code]
    return OF_FAULT.get(fault.kind, OTHER)


def verdict(finished: ExchangeFinished) -> tuple[Outcome, str | None]:
    """How an exchange ended, and whose fault it was if it did not end well."""
    if finished.outcome == "ok":
        return "ok", None
    if finished.outcome == "cancelled":
        return "cancelled", CANCELLED
    whose = error_type(finished.fault) if finished.fault else OF_CODE.get(finished.code or "", OTHER)
    return _outcome(whose), whose


def attempt_outcome(fault: Fault) -> Outcome:
    return "timeout" if _is_timeout(error_type(fault)) else "error"


def _outcome(whose: str) -> Outcome:
    if whose == DEADLINE or _is_timeout(whose):
        return "timeout"
    return "rejected" if whose.startswith(("caller_", "policy_")) else "error"


def _is_timeout(whose: str) -> bool:
    return whose.startswith("provider_timeout") or whose == DEADLINE
