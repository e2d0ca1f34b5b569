"""Everything here runs twice, by the lane and over ASGI: what clients and operators see is to be the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running import Surface

# These run by the lane alone: their subject lies behind the surface, and they take long, or they count the work of the
# lane. test_both_ways.py compares the ways itself.
ONCE = (
    "test_any_client.py",
    "test_any_client_beside.py",
    "test_any_client_faults.py",
    "test_both_ways.py",
    "test_metrics_port.py",
    "test_prometheus.py",
    "test_recorded_vendors.py",
    "test_sinks.py",
    "test_soak.py",
    "test_work_per_request.py",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    once = metafunc.definition.path.name in ONCE
    metafunc.parametrize("lane", ["lane"] if once else ["lane", "asgi"], indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def lane(request: pytest.FixtureRequest) -> Iterator[bool]:
    """What gateways are made with. A fixture of a module that makes one asks for this, to be made for each way anew."""
    Surface.lane = request.param == "lane"
    yield Surface.lane
    Surface.lane = True
