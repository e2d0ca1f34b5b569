"""What docs/routing.md says is so: its rules, tasks and settings are those there are, its session is true."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from gateway import config, consulting
from gateway.chat import Facts
from gateway.routing import RULES, evidence, weighing
from gateway.routing.capabilities import BELIEVED, GUESSED, TOLD
from gateway.routing.lead_worker import LeadWorker
from gateway.routing.strategies import STRATEGIES
from gateway.routing.tasks import TASKS
from gateway.routing.turns import BYTES_PER_TOKEN, Turn
from tests.routing.fleet import FAILED, WENT_WELL, Fleet

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "routing.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
EXAMPLES = "".join(re.findall(r"^```yaml\nmodels:\n(.*?)^```", PAGE, re.M | re.S))
PROVIDERS = """
providers:
  anthropic: {api_key: sk-ant-0123456789}
  openai: {api_key: sk-0123456789}
  azure-eu: {vendor: azure_openai, api_key: azure-0123456789, endpoint: "https://r.openai.azure.com"}
  local: {vendor: openai_compatible, base_url: "http://127.0.0.1:9/v1"}
models:
"""
MODELS = config.parse(PROVIDERS + EXAMPLES, {}).models


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose head begins so."""
    table = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)
    assert table, first
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()]


def test_every_rule_is_explained() -> None:
    assert dict(rows(PAGE, "rule")) == {f"`{rule}`": words for rule, words in RULES.items()}


def test_every_task_is_explained() -> None:
    assert dict(rows(PAGE, "task")) == {f"`{task}`": words for task, words in TASKS.items()}


def section_of(strategy: str) -> str:
    return next(text for head, text in SECTIONS.items() if strategy in head.split(", "))


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy_has_a_section_with_an_example_and_its_settings(name: str) -> None:
    text = section_of(name)
    assert name in {model.kind for model in MODELS.values()}
    missing = [field for field in STRATEGIES[name].__struct_fields__ if not re.search(rf"\b{field}\b", text)]  # type: ignore[attr-defined]
    assert missing == []


def test_examples_say_the_defaults() -> None:
    for model in MODELS.values():
        for field in msgspec.structs.fields(model.strategy):  # type: ignore[arg-type]
            value = getattr(model.strategy, field.name)
            if field.default is not msgspec.NODEFAULT and field.name != "worker_max_tokens":
                assert value == field.default, field.name


def test_session_on_the_page_is_what_the_strategy_says() -> None:
    coder = MODELS["coder"].strategy
    assert isinstance(coder, LeadWorker)
    table, turns = rows(section_of("lead_worker"), "request"), list[Turn]()
    assert len(table) == 8
    for number, came_back, route in table:
        if came_back:
            turns.append(FAILED if "exited with code 1" in came_back else WENT_WELL)
        said = coder.order(Facts(model="coder"), Fleet(turns=turns))
        assert f"`lead_worker; {said.reason}`" == route, number
        if number == "6":  # as the text below the table says
            assert (said.rule, said.evidence[0]) == ("tool_failures", "turn 4: shell: Command exited with code 1")


def test_numbers_on_the_page_are_those_of_the_code() -> None:
    page = " ".join(PAGE.split())
    assert (evidence.HALF_LIFE, weighing.WARM, evidence.MOST) == (3 * 86400, 1 / 4, 200)
    for said in (
        f"as much as {BELIEVED:g} measured answers (an unknown name's {GUESSED:g}, an operator's `skills` {TOLD:g})",
        f"an answer of {weighing.ANSWER} tokens",
        "by half in three days, and the last 200 or so count",
        "is charged a quarter of it",
        f"More than {consulting.MOST:,} characters",
        f"about {('no', 'one', 'two', 'three', 'four')[BYTES_PER_TOKEN]} bytes to a token",
    ):
        assert said in page, said


def test_links_lead_somewhere() -> None:
    for page, _, anchor in re.findall(r"\]\(([\w.-]*\.md)?(#)?([\w-]*)\)", PAGE):
        text = (DOCS / page).read_text() if page else PAGE
        heads = {
            re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.M)
        }
        assert not anchor or anchor in heads, f"{page}#{anchor}"
