"""Whose calls are looked after: as the model asked for says, else as those say that it leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import config
from gateway.routing import Target
from gateway.tools import NO_CARE, Care

FILE = Path(__file__).parents[1] / "config" / "tools.good.yaml"
QWEN, GEMMA = Target("local", "qwen3"), Target("local", "gemma3")
READ = Care(shim=True, interpreter="mended")
CARES: list[tuple[str | None, Target, Care]] = [
    ("plain", QWEN, NO_CARE),
    ("mended", QWEN, Care(repair=True)),
    ("told", QWEN, Care(shim=True)),
    ("read", GEMMA, READ),
    ("empty", QWEN, Care(shim=True)),
    ("both", QWEN, NO_CARE),
    ("both", GEMMA, READ),
    ("neither", GEMMA, NO_CARE),
    ("local/gemma3", GEMMA, NO_CARE),
    (None, GEMMA, NO_CARE),
]


@pytest.mark.parametrize(("model", "target", "care"), CARES)
def test_whose_calls_are_looked_after(model: str | None, target: Target, care: Care) -> None:
    read = config.parse(FILE.read_text(), {}, str(FILE))
    assert read.care_for(model, target) == care
    assert read.care_for(model, target) == care, "the answer is kept"
