"""A real Prometheus scrapes the demo: every panel and every rule has data, and every latency leads to a trace."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import httpx
import promql_parser as promql
import pytest

from dashboards.reading import queries
from gateway.observe.families import FAMILIES
from gateway.observe.metrics import TOKEN_TYPES
from gateway.observe.vocabulary import OUTCOMES
from tests.backends import Prometheus, Receiver, promtool
from tests.dashboards.labels import selectors
from tests.deploy.rules import ROOT, RULE_FILES, alerts, recorded

DEMO = [sys.executable, "-P", "-m", "gateway", "demo", "--rate", "20"]
# The demo changes its configuration, by a mistake and then well, at 30 % and 60 % of its time.
SECONDS, PATIENCE = 50, 30.0
# Families that have no more to show than zeros while all is well with telemetry.
ALL_IS_WELL = {
    "skein_telemetry_dropped_total",
    "skein_telemetry_queue_depth",
    "skein_metric_series_overflow_total",
    "skein_store_errors_total",
}
# The same gateway is scraped as this job too, with other names for these families: one of each kind.
MISNAMED, OTHER_NAMES = "misnamed", ("skein_tool_calls_total", "skein_breaker_state", "skein_context_growth_tokens")
# What a closed set of names has, the demo shows: family, label, values.
SHOWN = (
    ("skein_requests_total", "outcome", OUTCOMES),
    ("skein_client_disconnects_total", "stage", ("before_first_token", "mid_stream")),
    ("skein_attempts_total", "kind", ("primary", "retry", "fallback", "probe")),
    ("skein_attempts_total", "outcome", ("ok", "error", "timeout", "cancelled")),
    ("skein_failovers_total", "result", ("ok", "failed")),
    ("skein_model_switches_total", "reason", ("failover", "rate_limited", "timeout", "lead_to_worker")),
    ("skein_route_rules_total", "rule", ("configured", "lead_turns", "worker_turns")),
    ("skein_route_rules_total", "kind", ("main", "unread")),
    ("skein_breaker_transitions_total", "to", ("open", "half_open")),  # what closes again takes a minute
    ("skein_tool_calls_total", "outcome", ("ok", "error", "invalid_args", "unknown_tool", "unanswered")),
    ("skein_tokens_total", "type", TOKEN_TYPES),
    ("skein_feedback_total", "verdict", ("good", "bad", "neutral")),
    ("skein_config_reloads_total", "result", ("taken", "refused")),
)


class Scene(NamedTuple):
    url: str
    """Of the gateway."""
    prometheus: Prometheus


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A demo before, during and after the first scrape; once that is done, every kind of its traffic again."""
    with ExitStack() as stack:
        collector = stack.enter_context(Receiver())
        url = stack.enter_context(demo(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url))
        prometheus = Prometheus(
            {"skein": [url]}, rule_files=RULE_FILES, scrape_interval=0.5, scrape_configs=[misnaming(url)]
        )
        stack.enter_context(prometheus)
        prometheus.wait_scraped()
        again = [*DEMO, "--url", url, "--seconds", "3"]
        subprocess.run(again, cwd=ROOT, env=environment(), capture_output=True, timeout=60, check=True)
        yield Scene(url, prometheus)


@contextmanager
def demo(**variables: str) -> Iterator[str]:
    """The URL of its gateway."""
    command = [*DEMO, "--seconds", str(SECONDS)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(**variables), stderr=-1, stdout=-1, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.match(r"gateway on (\S+)/v1", said := process.stderr.readline())
            assert found, said
            yield found[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


def environment(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables}


def misnaming(url: str) -> dict[str, Any]:
    return {
        "job_name": MISNAMED,
        "static_configs": [{"targets": [url.removeprefix("http://")]}],
        "metric_relabel_configs": [
            {
                "source_labels": ["__name__"],
                "regex": f"({'|'.join(OTHER_NAMES)})(.*)",
                "target_label": "__name__",
                "replacement": "other_$1$2",
            }
        ],
    }


# Asking ---------------------------------------------------------------------------------------------------------------


def asked(job: str = "skein") -> dict[str, str]:
    """Query of a panel of this job -> the panel."""
    everything = 'job=~".*"'
    assert all(everything in each.expression for each in queries())
    return {
        each.expression.replace(everything, f'job="{job}"'): f"{each.dashboard} › {each.panel}" for each in queries()
    }


def unanswered(prometheus: Prometheus, expressions: Iterable[str]) -> list[str]:
    """Those that have no finite number in their answer, for as long as patience lasts."""
    left, deadline = list(expressions), time.monotonic() + PATIENCE
    while left and time.monotonic() < deadline:
        left = [each for each in left if not is_answered(prometheus, each)]
        time.sleep(0.2 if left else 0)
    return left


def is_answered(prometheus: Prometheus, expression: str) -> bool:
    return any(math.isfinite(sample.value) for sample in prometheus.query(expression))


def evaluated(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Every rule, once all have been evaluated."""
    rules = prometheus.rules()
    return rules if all(rule["health"] != "unknown" for rule in rules) else []


def without_thresholds(expression: str) -> str:
    """An alert's expression that has data as soon as there is some to compare, whatever comes of it.

    Comparisons answer 0 or 1 where they would filter; a week ago is now, for no test is so old; and any fault stands
    for the one that no gateway should ever have. What is asked for, and which labels have to match, stays as it is.
    """
    told, comparisons = re.subn(r"(?<=\s)(==|!=|<=|>=|<|>)(?=\s)", r"\1 bool", expression)
    assert comparisons, "an alert compares something"
    return re.sub(r" offset \w+", "", told).replace('="_OTHER"', '=~".+"')


def shown(name: str, *matchers: str) -> str:
    """Whether a family was ever more than nothing: a gauge may be back at it."""
    suffix = "_count" if FAMILIES[name].kind == "histogram" else ""
    where = ", ".join(('job="skein"', *matchers))
    return f"max(max_over_time({name}{suffix}{{{where}}}[5m])) > 0"


# Tests ----------------------------------------------------------------------------------------------------------------


def test_every_query_of_every_panel_has_data(scene: Scene) -> None:
    panels = asked()
    assert [(panels[each], each) for each in unanswered(scene.prometheus, panels)] == []


def test_the_demo_shows_every_metric_at_work(scene: Scene) -> None:
    names = {shown(name): name for name in FAMILIES if name not in ALL_IS_WELL}
    names |= {
        shown(name, f'{label}="{value}"'): f"{name} with {label} {value}"
        for name, label, values in SHOWN
        for value in values
    }
    assert [names[each] for each in unanswered(scene.prometheus, names)] == []


def test_every_rule_is_loaded_and_has_data(scene: Scene) -> None:
    rules = scene.prometheus.wait_until(evaluated)
    assert {rule["name"] for rule in rules} == {*recorded(), *alerts()}
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    compared = {without_thresholds(rule["expr"]): name for name, rule in alerts().items()}
    names = {name: name for name in recorded()} | compared
    assert [names[each] for each in unanswered(scene.prometheus, names)] == []


def test_every_latency_leads_to_a_trace_that_the_gateway_gave(scene: Scene) -> None:
    examples = {
        name: scene.prometheus.exemplars(f'{name}_bucket{{job="skein"}}')
        for name, family in FAMILIES.items()
        if family.exemplars
    }
    assert [name for name, given in examples.items() if not given] == []
    rows = httpx.get(f"{scene.url}/admin/requests?limit=1000", trust_env=False).json()["requests"]
    given = {row["trace_id"] for row in rows}
    # The gateway remembers only so many requests, so the latest examples are looked up.
    latest = [example for each in examples.values() for example in sorted(each, key=lambda one: one.time)[-20:]]
    assert {example.labels["trace_id"] for example in latest} <= given


def test_promtool_has_nothing_to_say_against_the_page(scene: Scene) -> None:
    page = httpx.get(f"{scene.url}/metrics", trust_env=False)
    checked = promtool("check", "metrics", stdin=page.text)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_metric_under_another_name_is_missed_on_each_of_its_panels(scene: Scene) -> None:
    """The gateway and its panels agree on names or this file fails: in the other job they do not."""
    panels = asked(MISNAMED)
    named = {
        each
        for each in panels
        if any(selector.name.startswith(OTHER_NAMES) for selector in selectors(promql.parse(each)))
    }
    assert {family for family in OTHER_NAMES if any(family in each for each in named)} == set(OTHER_NAMES)
    assert {each for each in named if is_answered(scene.prometheus, each)} == set()
    assert unanswered(scene.prometheus, panels.keys() - named) == []
