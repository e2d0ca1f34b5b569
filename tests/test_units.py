"""Durations and sizes as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.units import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size

DURATIONS = {
    "5": 5.0,
    "0": 0.0,
    "0.5": 0.5,
    "500ms": 0.5,
    "5s": 5.0,
    "5 s": 5.0,
    " 5s ": 5.0,
    "2m": 120.0,
    "1.5m": 90.0,
    "1h": 3600.0,
}
NO_DURATIONS = ["", "s", "-5s", "5 sec", "5S", "1h30m", "1e3", ".5", "5.", "inf", "nan", "5s5", "5 m s", "0x5"]
SIZES = {
    "1": 1,
    "512": 512,
    "1b": 1,
    "1KiB": 1024,
    "1 kib": 1024,
    "32MiB": 32 * 2**20,
    "1GiB": 2**30,
    "1kB": 1000,
    "1.5KB": 1500,
    "2MB": 2_000_000,
    "1GB": 10**9,
    "0.5KiB": 512,
}
NO_SIZES = ["", "MiB", "-1", "1TiB", "1K", "1 Mi B", "1e3", "1,5MB", "lots", "1MiBs"]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_durations(text: str, seconds: float):
    assert parse_duration(text) == seconds
    assert re.search(DURATION_PATTERN, text), "an editor with the schema agrees"


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_what_is_no_duration(text: str):
    with pytest.raises(ValueError, match="500ms, 5s, 2m"):
        parse_duration(text)
    assert not re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_sizes(text: str, size: int):
    assert parse_size(text) == size
    assert re.search(SIZE_PATTERN, text)


@pytest.mark.parametrize("text", NO_SIZES)
def test_what_is_no_size(text: str):
    with pytest.raises(ValueError, match="64KiB, 32MiB"):
        parse_size(text)
    assert not re.search(SIZE_PATTERN, text)


@given(st.text(alphabet="0123456789. msh", max_size=8))
def test_the_schema_and_the_parser_agree_on_durations(text: str):
    try:
        parse_duration(text)
    except ValueError:
        assert not re.search(DURATION_PATTERN, text)
    else:
        assert re.search(DURATION_PATTERN, text)
