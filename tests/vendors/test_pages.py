"""docs/vendors.md: its tables are what the data says, its configurations are good, and nothing is lost in silence."""

from __future__ import annotations

import re

import pytest

from gateway import config
from gateway.vendors import VENDORS, Vendor
from tests.vendors.pages import BLOCKS, EXAMPLES, PAGE, made, plain, written
from tests.vendors.told import MODELS, SAYINGS, models_of, sent, told

TEXT = PAGE.read_text()
ROWS = {
    f"{vendor.name}-{number}": row
    for vendor in VENDORS.values()
    for number, row in enumerate((vendor, *vendor.faces))
    if "chat" in row.paths
}


def test_the_tables_are_what_the_data_says() -> None:
    assert BLOCKS.keys() == written(TEXT).keys()
    assert written(TEXT) == made(), "run: python -m tests.vendors.pages"


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_a_vendor_is_not_told_is_named(row: Vendor) -> None:
    """One thing at a time is said to it: it is in what is sent, or named. ``told`` raises where it is neither."""
    for saying in SAYINGS.values():
        for model in models_of(row):
            told(row, model, saying)


FIELDS = {label: saying for label, saying in SAYINGS.items() if label == f"`{saying.named}`"}


@pytest.mark.parametrize("dialect", MODELS)
def test_what_is_not_told_is_named_among_others_too(dialect: str) -> None:
    """Fields of a request, all at once."""
    row, together = plain(dialect), {name: value for each in FIELDS.values() for name, value in each.said.items()}
    for model in models_of(row):
        alone = {saying.named for saying in FIELDS.values() if told(row, model, saying) == "no"}
        assert alone <= {*sent(row, model, together)[0].dropped}


def test_every_vendor_is_there_under_all_its_names() -> None:
    names = {name for vendor in VENDORS.values() for name in (vendor.name, *vendor.aliases)}
    assert names <= set(re.findall(r"`([^`]+)`", written(TEXT)["overview"]))
    without_address = {vendor.name for vendor in VENDORS.values() if vendor.base_url is None}
    assert without_address <= EXAMPLES.keys()


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL), re.M)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert len(anchors) == len(headings)
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
    configuration = (PAGE.parent / "configuration.md").read_text()
    elsewhere = {
        re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.+)$", configuration, re.M)
    }
    assert set(re.findall(r"\]\(configuration\.md#([^)]+)\)", TEXT)) <= elsewhere


EXAMPLE = re.compile(r"^```yaml\n(.*?)^```", re.M | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLE.findall(TEXT))
def test_a_configuration_on_the_page_is_good(example: str) -> None:
    env = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", example), "abcdefgh-0123")
    env |= {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"} if "AWS_ACCESS_KEY_ID" in env else {}
    assert config.problems(example, env) == []
    # The example's file is on the reader's machine.
    assert [note for note in config.parse(example, env).notes if "there is no file /etc/skein/" not in note] == []
