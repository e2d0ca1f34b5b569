"""Rules, their unit tests, the metric catalogue and the runbooks say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from dashboards.reading import dashboards, panels, variables
from gateway.observe.vocabulary import ERROR_TYPES
from tests.deploy.promql_labels import Labels, Mistake, family_of
from tests.deploy.rules import ROOT, RUNBOOKS, alerts, recorded, rule_expressions, unit_tests

ALERTS = alerts()
EXPECTED = {
    "service": ["FastBurn", "SlowBurn", "LatencyBurn", "TargetDown", "UnclassifiedErrors"],
    "providers": ["ProviderDegraded", "FailoverStorm", "BreakerOpenLong", "ProviderDemoted", "AllTargetsOpen"],
    "agents": ["ToolFailureSpike", "EffectivenessDrop", "ContextNearLimit"],
    "cost": ["CostSpike", "UnpricedTraffic", "UsageMissing"],
    "gateway": ["TelemetryLoss", "SeriesOverflow", "LoopLag", "ConfigReloadFailed"],
}
BOARDS = {board["uid"]: board for board in dashboards()}
PAGES = {path.stem: path.read_text("utf-8") for path in sorted(RUNBOOKS.glob("*.md"))}
SOURCE = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "gateway").rglob("*.py")))
# Where log lines are made.
LINES = "\n".join((ROOT / "gateway" / "observe" / name).read_text("utf-8") for name in ("lines.py", "logs.py"))
ADDED_BY_RULES = {"alertname", "alertstate", "severity", "service"}


def test_every_alert_that_was_promised_is_there():
    assert sorted(ALERTS) == sorted(name for names in EXPECTED.values() for name in names)


@pytest.mark.parametrize("rule", rule_expressions(), ids=lambda rule: rule.name)
def test_an_expression_asks_for_what_is_there(rule):
    Labels(recorded()).of(rule.expression)


@pytest.mark.parametrize(
    "expression",
    [
        "rate(skein_request_total[5m])",
        'rate(skein_requests_total{target="a"}[5m])',
        'rate(skein_requests_total{outcome="failed"}[5m])',
        'rate(skein_attempt_errors_total{fault=~"vendor_.*"}[5m])',
        'rate(skein_time_to_first_token_seconds_bucket{le="10"}[5m])',
        "rate(skein_time_to_first_token_seconds[5m])",
        "sum by (provider) (rate(skein_requests_total[5m]))",
        "sum by (model) (skein_context_tokens_sum) / sum by (job) (skein_context_tokens_count)",
        "histogram_quantile(0.9, sum by (model) (rate(skein_context_tokens_bucket[5m])))",
    ],
)
def test_what_can_never_match_is_a_mistake(expression: str):
    with pytest.raises(Mistake):
        Labels({}).of(expression)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_whose_and_where_to_look(name: str):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    said = rule["annotations"]
    assert said["summary"]
    assert said["description"]
    assert said["runbook_url"] == f"{{{{ $externalURL }}}}/user/runbooks/{name}.md"
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(said.values())))
    assert named <= (Labels(recorded()).of(rule["expr"]) or set())


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_leads_to_a_dashboard_that_can_be_narrowed_so(name: str):
    uid, picked = re.fullmatch(
        r"http://localhost:3000/d/([\w-]+)(?:\?(.+))?", ALERTS[name]["annotations"]["dashboard"]
    ).groups()
    asked = re.findall(r"var-(\w+)=", picked or "")
    assert set(asked) <= {variable["name"] for variable in variables(BOARDS[uid])}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_seen_to_fire_and_seen_to_be_silent(name: str):
    """In one promtool test: a series that fires, and one of the same metric elsewhere that does not."""
    assert any(_tells_apart(test, name) for test in unit_tests())


def _tells_apart(test: dict[str, Any], name: str) -> bool:
    firing = [
        {label: value for label, value in labels.items() if label not in ADDED_BY_RULES}
        for case in test.get("promql_expr_test", ())
        for sample in case["exp_samples"]
        for labels in [_matchers(sample["labels"])]
        if labels.get("alertname") == name and labels.get("alertstate") == "firing"
    ]
    given = [_matchers(series["series"]) for series in test["input_series"]]
    silent = [series for series in given if not any(fired.items() <= series.items() for fired in firing)]
    return any(fired.keys() <= series.keys() for fired in firing for series in silent)


def _matchers(selector: str) -> dict[str, str]:
    return {matcher.name: matcher.value for matcher in promql.parse(selector).matchers.matchers}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert sorted(PAGES) == sorted(ALERTS)


@pytest.mark.parametrize("name", PAGES)
def test_a_runbook_has_its_three_parts(name: str):
    assert PAGES[name].startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", PAGES[name], re.M) == ["What it means", "What to look at", "What to do"]


@pytest.mark.parametrize("name", PAGES)
def test_a_runbook_looks_at_what_is_there(name: str):
    page = PAGES[name]
    for query in re.findall(r"```promql\n(.+?)```", page, re.S):
        Labels(recorded()).of(query)
    assert [metric for metric in re.findall(r"\bskein_\w+", page) if family_of(metric) is None] == []
    titles = {(board["title"], panel["title"]) for board in BOARDS.values() for panel in panels(board)}
    named = re.findall(r"\*\*([^*]+) › ([^*]+)\*\*", re.sub(r"\s+", " ", page))
    shown = [(f"Skein / {board}", panel) for board, panel in named]
    assert shown, "a runbook names the panels to look at"
    assert set(shown) <= titles
    logged = re.findall(r'select\(\.event == "(.+?)"', page)
    assert [event for event in logged if f'"{event}"' not in SOURCE] == []
    shown_of_lines = re.findall(r"^docker compose .*\| \{(.+?)\}'", page, re.M)
    fields = {field for each in shown_of_lines for field in each.split(", ")}
    assert {field for field in fields if not re.search(rf'"{field}"|^    {field}: ', LINES, re.M)} == set()


def test_what_the_pages_tell_of_is_all_there_is():
    page = (ROOT / "docs" / "observability.md").read_text("utf-8")
    said = re.findall(r'say\("\w+", "([\w.]+)"|[rR]emark\((?:"\w+", )?"(\w+\.\w+)"', SOURCE)
    logged = {"".join(each) for each in said} | set(re.findall(r'"(\w+\.\w+|started|stopping|stopped)"', LINES))
    assert {event for event in logged if f"`{event}`" not in page} == set()
    ours = {word for word in ERROR_TYPES if word.startswith("gateway_")}
    assert {word for word in ours if f"`{word}`" not in page or f"| `{word}`" not in PAGES["FastBurn"]} == set()


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_runbook_lead_somewhere(name: str):
    local = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGES[name]) if "://" not in link]
    assert [link for link in local if not Path(RUNBOOKS / link).exists()] == []
