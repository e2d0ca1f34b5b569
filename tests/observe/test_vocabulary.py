"""The words for whose fault it was: complete, closed, and each with one outcome."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gateway import events
from gateway.attempt import DRAINED
from gateway.errors import Fault, FaultKind
from gateway.observe.vocabulary import (
    ERROR_TYPES,
    OF_CODE,
    OF_FAULT,
    OTHER,
    OUTCOMES,
    attempt_outcome,
    error_type,
    verdict,
    word,
)

PACKAGE = Path(events.__file__).parent

# Codes of answers that are not the end of an exchange: nothing is counted under them.
NO_EXCHANGE = {
    "the simulator, which is a vendor": {"unknown_url", "missing_required_parameter", "invalid_value"},
    "the pages of operators": {
        *("operators_only", "request_not_found", "request_elsewhere", "too_many_watchers"),
        *("metrics_elsewhere", "invalid_parameter", "live_view_off"),
        *("session_not_found", "invalid_session", "invalid_choice", "too_many_pins"),
    },
    "feedback": {"invalid_feedback"},
    "paths nobody serves": {"unknown_path", "method_not_allowed", "bad_request", "websocket_unsupported"},
    "listings and responses that are kept": {"invalid_cursor", "response_not_found"},
}


def codes(source: str) -> set[str]:
    """The codes of the caller's errors that are made in a module: literals, or all literals of the name's values."""
    tree = ast.parse(source)
    made = [
        node.args[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CallerError"
    ]
    names = {code.id for code in made if isinstance(code, ast.Name)}
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    values = {
        to.id: node.value for node in assigned for to in node.targets if isinstance(to, ast.Name) and to.id in names
    }
    assert all(isinstance(code, ast.Constant | ast.Name) for code in made), "a code is a word, not worked out"
    assert set(values) == names, "a code that comes from elsewhere cannot be looked up"
    found = [
        literal for node in (*made, *values.values()) for literal in ast.walk(node) if isinstance(literal, ast.Constant)
    ]
    return {literal.value for literal in found if isinstance(literal.value, str)}


def test_every_code_a_caller_may_be_told_has_a_word():
    raised = {code for path in PACKAGE.rglob("*.py") for code in codes(path.read_text())}
    assert raised - set(OF_CODE) == set().union(*NO_EXCHANGE.values())
    assert set(OF_CODE) - raised == set(), "nobody says these any more"


def test_every_kind_of_fault_has_a_word():
    assert set(OF_FAULT) == set(FaultKind)
    assert OTHER not in OF_FAULT.values()


def test_the_words_are_a_closed_set():
    assert len(set(ERROR_TYPES)) == len(ERROR_TYPES)
    prefixes = ("caller_", "policy_", "provider_", "gateway_")
    assert [word for word in ERROR_TYPES if not word.startswith(prefixes)] == [OTHER]
    # What is turned away at the door is counted by its code, under the same words.
    assert "policy_foreign_request" in ERROR_TYPES


DEADLINE = Fault(kind=FaultKind.TIMEOUT_TOTAL, message="", origin="caller")
TIMEOUTS = {kind for kind in FaultKind if kind.name.startswith("TIMEOUT")}
CALLERS = {FaultKind.BAD_REQUEST, FaultKind.CONTEXT_TOO_LONG, FaultKind.REFUSED}


def finished(outcome: str, **told: object) -> events.ExchangeFinished:
    usual = {"model": "m", "stream": True, "status": 500, "attempts": 1, "seconds": 1.0}
    return events.ExchangeFinished(at=0.0, exchange_id="r", outcome=outcome, **usual | told)


@pytest.mark.parametrize("kind", FaultKind)
def test_the_outcome_of_a_fault(kind: FaultKind):
    fault = Fault(kind=kind, message="")
    timeout = kind in TIMEOUTS
    assert attempt_outcome(fault) == ("timeout" if timeout else "error")
    expected = "timeout" if timeout else "rejected" if kind in CALLERS else "error"
    for outcome in ("error", "broken"):
        assert verdict(finished(outcome, fault=fault, code="upstream_error")) == (expected, OF_FAULT[kind])


ENDS = [
    (finished("ok"), ("ok", None)),
    (finished("ok", fault=DRAINED), ("ok", None)),
    (finished("cancelled"), ("cancelled", "caller_cancelled")),
    (finished("cancelled", fault=DEADLINE), ("cancelled", "caller_cancelled")),
    (finished("error", fault=DEADLINE), ("timeout", "caller_deadline")),
    (finished("broken", fault=DEADLINE), ("timeout", "caller_deadline")),
    (finished("broken", fault=DRAINED), ("error", "gateway_draining")),
    (finished("error", code="invalid_json"), ("rejected", "caller_invalid_request")),
    (finished("error", code="model_not_found"), ("rejected", "caller_model_unknown")),
    (finished("error", code="request_timeout"), ("rejected", "caller_too_slow")),
    (finished("error", code="invalid_api_key"), ("rejected", "policy_key_refused")),
    (finished("error", code="gateway_draining"), ("error", "gateway_draining")),
    (finished("error", code="internal_error"), ("error", "gateway_internal")),
    (finished("broken", code="internal_error"), ("error", "gateway_internal")),
    (finished("error", code="prompt_unavailable"), ("error", "gateway_prompt_unavailable")),
    (finished("error", code="a word nobody knows"), ("error", OTHER)),
    (finished("error"), ("error", OTHER)),
]


@pytest.mark.parametrize(("event", "expected"), ENDS)
def test_the_end_of_an_exchange(event: events.ExchangeFinished, expected: tuple[str, str | None]):
    assert verdict(event) == expected
    assert expected[0] in OUTCOMES


def test_a_vendors_word_is_not_taken_for_ours():
    theirs = Fault(kind=FaultKind.BAD_REQUEST, message="", code="invalid_api_key")
    assert error_type(theirs) == "caller_invalid_request"
    refused = Fault(kind=FaultKind.BAD_REQUEST, message="", origin="gateway", code="gateway_draining")
    assert error_type(refused) == "gateway_draining"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, None),
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("Throttling.User:a/b-1", "Throttling.User:a/b-1"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "other"),
        ("", "other"),
        ("you said canary", "other"),
        ("stop\n", "other"),
        ("größe", "other"),
    ],
)
def test_of_a_vendors_words_only_a_word_is_told(said: str | None, told: str | None):
    assert word(said) == told
