"""What vendors get and clients read is what is written down. On purpose? ``python -m tests.golden``, and look."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects.validity import check
from tests.golden import ROOT, answers, requests, written

STRICTER = {"gemini": "gemini_3", "openai_chat": "openai"}
REQUESTS, ANSWERS = dict(requests()), dict(answers())


@pytest.mark.parametrize("name", [*REQUESTS, *ANSWERS])
def test_an_arrow_is_as_written_down(name: str):
    said: Any = {**REQUESTS, **ANSWERS}[name]
    assert written(said) == (ROOT / name).read_text()


def test_no_two_arrows_have_one_name():
    assert not REQUESTS.keys() & ANSWERS.keys()


def test_no_file_is_left_over():
    made = {*REQUESTS, *ANSWERS}
    assert {file.name for file in ROOT.glob("*-*.json")} == made


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_written_down_is_valid(name: str):
    dialect = name.rpartition("-")[2].removesuffix(".json")
    check(STRICTER.get(dialect, dialect), REQUESTS[name]["body"])
