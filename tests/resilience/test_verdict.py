"""When nobody answered: which fault is told, with which status and words, and what is never told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.errors import CallerError, Fault, FaultKind
from gateway.resilience.failover import Attempt, Outcome
from gateway.resilience.verdict import (
    CALLERS,
    OURS,
    VERDICTS,
    error_of,
    error_of_caller,
    most_telling,
    retry_after_of,
    status_of,
)
from gateway.routing import Target

K = FaultKind


def failed(*kinds: FaultKind | tuple[FaultKind, float], took: float = 1.0) -> list[Outcome]:
    """Attempts at a, b, c, … in turn, each ``took`` seconds; (kind, retry_after)."""
    history = []
    for number, said in enumerate(kinds, 1):
        kind, after = said if isinstance(said, tuple) else (said, None)
        attempt = Attempt(number, Target("abcdef"[number - 1], "m"))
        history.append(Outcome(attempt, Fault(kind=kind, message=kind.value, retry_after=after), number * took))
    return history


def test_every_fault_has_its_verdict():
    assert set(VERDICTS) == set(FaultKind)
    assert set(OURS) | set(CALLERS) <= set(FaultKind)


TELLING = {
    "one": ((K.GARBLED,), "a"),
    "the caller's own above all": ((K.RATE_LIMITED, K.BAD_REQUEST, K.OVERLOADED), "b"),
    "a wait before a fault": ((K.SERVER_ERROR, K.RATE_LIMITED, K.TIMEOUT_CONNECT), "b"),
    "an overload before a timeout": ((K.TIMEOUT_FIRST_TOKEN, K.OVERLOADED), "b"),
    "a vendor's error before a dead line": ((K.UNREACHABLE, K.SERVER_ERROR), "b"),
    "anything before our credentials": ((K.BAD_CREDENTIALS, K.GARBLED), "b"),
    "our credentials before a missing model": ((K.MODEL_MISSING, K.OUT_OF_CREDIT), "b"),
    "of equals the latest": ((K.SERVER_ERROR, K.SERVER_ERROR), "b"),
}


@pytest.mark.parametrize(("kinds", "told"), TELLING.values(), ids=TELLING)
def test_the_most_telling(kinds: tuple[FaultKind, ...], told: str):
    assert most_telling(failed(*kinds)).attempt.target.provider == told


# (status of the vendor) -> status for the client
STATUSES: dict[FaultKind, dict[int | None, int]] = {
    K.RATE_LIMITED: {429: 429, 413: 429, None: 429},
    K.OVERLOADED: {503: 503, 529: 503, 500: 503, None: 503},
    K.SERVER_ERROR: {500: 502, 408: 502, None: 502},
    K.UNREACHABLE: {None: 502},
    K.TIMEOUT_CONNECT: {None: 504},
    K.TIMEOUT_FIRST_TOKEN: {None: 504},
    K.TIMEOUT_IDLE: {None: 504},
    K.TIMEOUT_TOTAL: {None: 504},
    K.BAD_CREDENTIALS: {401: 502, 403: 502, 400: 502},
    K.OUT_OF_CREDIT: {402: 502, 429: 502},
    K.MODEL_MISSING: {404: 404, 400: 400, 410: 410, 403: 404, None: 404},
    K.GARBLED: {200: 502, 301: 502, None: 502},
    K.BROKEN_STREAM: {None: 502},
    K.BAD_REQUEST: {400: 400, 413: 413, 422: 422, None: 400},
    K.CONTEXT_TOO_LONG: {400: 400, 413: 400, 422: 400, None: 400},
    K.REFUSED: {400: 400, 403: 403, 422: 422, None: 400, 200: 400},
}


@pytest.mark.parametrize(
    ("kind", "vendor", "client"),
    [(kind, vendor, client) for kind, row in STATUSES.items() for vendor, client in row.items()],
    ids=lambda each: getattr(each, "value", str(each)),
)
def test_status(kind: FaultKind, vendor: int | None, client: int):
    assert status_of(Fault(kind=kind, message="", status=vendor)) == client


def test_every_fault_has_a_status():
    assert set(STATUSES) == set(FaultKind)


WAITS = {
    "none known": (failed(K.OVERLOADED, K.SERVER_ERROR), None),
    "a rate limit without one, as long as its key rests": (failed(K.OVERLOADED, K.RATE_LIMITED), 5.0),
    "seen from now, that too": (failed(K.RATE_LIMITED, K.OVERLOADED), 4.0),
    "one": (failed((K.RATE_LIMITED, 7.0)), 7.0),
    "the shortest, seen from now": (failed((K.RATE_LIMITED, 20.0), (K.RATE_LIMITED, 9.0), (K.OVERLOADED, 30.0)), 8.0),
    "what has passed is over": (failed((K.RATE_LIMITED, 1.0), K.SERVER_ERROR, K.SERVER_ERROR), 0.0),
    "not of a caller's fault": (failed((K.BAD_REQUEST, 1.0), (K.RATE_LIMITED, 9.0)), 9.0),
}


@pytest.mark.parametrize(("history", "seconds"), WAITS.values(), ids=WAITS)
def test_retry_after(history: list[Outcome], seconds: float | None):
    assert retry_after_of(history) == seconds


def test_retry_after_is_the_latest_word_of_a_target():
    attempt = Attempt(1, Target("a", "m"))
    history = [
        Outcome(attempt, Fault(kind=K.RATE_LIMITED, message="", retry_after=3.0), 0.0),
        Outcome(attempt, Fault(kind=K.RATE_LIMITED, message="", retry_after=8.0), 5.0),
    ]
    assert retry_after_of(history) == 8.0


def told(kind: FaultKind, **said: Any) -> dict[str, Any]:
    fault = Fault(kind=kind, **{"message": "the vendor's words", **said})
    target = Target("acme", "goose-1")
    return error_of(fault, target, [Outcome(Attempt(1, target), fault, 0.0)], "req-1")


# what the vendor said: (type, code) for the client
CODES: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "a rate limit in its words": (
        told(K.RATE_LIMITED, type="tokens", code="rate_limit_exceeded"),
        ("tokens", "rate_limit_exceeded"),
    ),
    "a rate limit without words": (told(K.RATE_LIMITED), ("rate_limit_error", "rate_limit_exceeded")),
    "a context by its usual code": (
        told(K.CONTEXT_TOO_LONG, code="400", type="x"),
        ("x", "context_length_exceeded"),
    ),
    "a filter without words": (told(K.REFUSED), ("invalid_request_error", "content_filter")),
    "a bad request in its words": (told(K.BAD_REQUEST, type="t", code="my_code"), ("t", "my_code")),
    "a missing model by its usual code": (
        told(K.MODEL_MISSING, code="DeploymentNotFound"),
        ("invalid_request_error", "model_not_found"),
    ),
    "our key": (told(K.BAD_CREDENTIALS, type="t", code="invalid_api_key"), ("upstream_error", "upstream_auth")),
    "our account": (told(K.OUT_OF_CREDIT, code="insufficient_quota"), ("upstream_error", "upstream_credit")),
    "a dead line": (told(K.UNREACHABLE), ("upstream_error", "unreachable")),
    "a server error": (told(K.SERVER_ERROR, type="server_error"), ("server_error", "server_error")),
}


@pytest.mark.parametrize(("error", "words"), CODES.values(), ids=CODES)
def test_type_and_code(error: dict[str, Any], words: tuple[str, str]):
    assert (error["type"], error["code"]) == words


def test_the_caller_is_told_the_vendors_own_words():
    error = told(K.BAD_REQUEST, param="max_tokens", status=422, url="https://acme.test/v1", body="{}")
    assert error["message"] == "the vendor's words"
    assert error["param"] == "max_tokens"
    assert error["upstream"] == {"status": 422, "url": "https://acme.test/v1", "body": "{}"}
    assert (error["provider"], error["model"], error["origin"], error["request_id"]) == (
        "acme",
        "goose-1",
        "vendor",
        "req-1",
    )


def test_a_vendor_that_was_not_called_said_nothing():
    """Its status is the client's alone: the vendor would be blamed for a 400 it never gave."""
    target = Target("acme", "goose-1")
    fault = Fault(kind=K.BAD_REQUEST, message="no", origin="caller", status=400, url="https://acme.test/v1")
    error = error_of(fault, target, [Outcome(Attempt(1, target), fault, 0.0)], "r")
    assert error["upstream"] is None
    assert error["attempts"] == []
    assert status_of(fault) == 400


def test_a_fault_of_the_vendor_says_whose_and_how_often():
    target = Target("acme", "goose-1")
    fault = Fault(kind=K.SERVER_ERROR, message="boom", status=500)
    history = [Outcome(Attempt(number, target), fault, 0.0) for number in (1, 2)]
    error = error_of(fault, target, history, "r")
    assert error["message"] == "acme/goose-1: boom (2 attempts, none answered)"
    assert error["attempts"] == [
        {"number": number, "provider": "acme", "model": "goose-1", "fault": "server_error", "status": 500}
        for number in (1, 2)
    ]
    assert error_of(fault, target, history, "r", broke=True)["message"] == "acme/goose-1: boom"
    assert error_of(fault, None, [], "r")["message"] == "boom"


@pytest.mark.parametrize("kind", sorted(OURS, key=lambda kind: kind.value), ids=lambda kind: kind.value)
def test_nothing_of_our_account_is_told(kind: FaultKind):
    error = told(
        kind,
        message="Incorrect API key provided: sk-secret-1. Your organisation org-secret",
        body='{"error":"sk-secret-1 secret"}',
        type="secret",
        code="secret",
        status=401,
    )
    assert b"secret" not in msgspec.json.encode(error)
    assert 'provider "acme"' in error["message"]
    assert error["upstream"]["status"] == 401


def test_a_callers_error_has_the_same_shape():
    error = error_of_caller(CallerError(404, "model_not_found", "no", param="model", origin="gateway"), "r")
    assert error.keys() == told(K.BAD_REQUEST).keys()
    assert (error["origin"], error["param"], error["attempts"]) == ("gateway", "model", [])
