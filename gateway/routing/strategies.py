"""Every strategy by the name it has in the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.routing import Strategy
from gateway.routing.lead_worker import LeadWorker
from gateway.routing.least_latency import LeastLatency
from gateway.routing.priority import Priority
from gateway.routing.weighted import Weighted

STRATEGIES: Mapping[str, type[Strategy]] = {
    "priority": Priority,
    "weighted": Weighted,
    "least_latency": LeastLatency,
    "lead_worker": LeadWorker,
}
