"""Whatever our own OpenAPI allows, and what it does not, is answered: no request makes the gateway fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from gateway import events
from gateway.api.fronts import FIELDS, FRONTS
from gateway.api.inbound import EVENTS
from tests.end_to_end.setting import CHAT
from tests.running import RunningGateway, running_gateway

MODEL = "simulator/echo"
FEW = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def gateway(lane: bool) -> Iterator[RunningGateway]:
    with running_gateway(json.dumps({"models": {"m": {"targets": [MODEL]}}})) as running:
        yield running


@pytest.fixture(scope="module")
def operations(gateway: RunningGateway) -> list[Any]:
    """All but the one that never ends."""
    described = schemathesis.openapi.from_url(f"{gateway.url}/schema/openapi.json")
    found = [each.ok() for each in described.get_all_operations()]
    return [each for each in found if each.path != EVENTS]


def known(case: Any) -> Any:
    """A request for a model that there is gets further."""
    if isinstance(case.body, dict) and "model" in case.body:
        case.body["model"] = MODEL
    if "model" in case.path_parameters:
        case.path_parameters["model"] = MODEL
    return case


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "wrong"])
def test_nothing_makes_it_fail(gateway: RunningGateway, operations: list[Any], mode: GenerationMode) -> None:
    asked = [each for each in operations if mode is GenerationMode.POSITIVE or each.body]
    assert len(asked) >= len(FRONTS)
    for operation in asked:

        @FEW
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered(case: Any) -> None:
            told = known(case).call(timeout=20)
            assert told.status_code < 500, (case.as_curl_command(), told.text)

        answered()
    assert not gateway.of(events.HandlerCrashed)


def test_requests_are_described_where_they_are_made(operations: list[Any]) -> None:
    """Each front door's, at the path that clients call."""
    by_path = {each.path: each for each in operations if each.body}
    assert len(by_path) == len(FRONTS)
    assert {each.dialect for each in FRONTS.values()} == FIELDS.keys()
    assert CHAT in by_path
    assert "/v1beta/models/{model}:generateContent" in by_path
