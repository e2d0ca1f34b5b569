"""The corpus: ``<dialect>/<case>.{request.json,response.json,stream.sse}``. Adding a case is adding a file.

A case's response and stream are the same answer, whole and in pieces: what is read off one is read off the other.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

ROOT = Path(__file__).parent


def cases(dialect: str, kind: str) -> list[ParameterSet]:
    """The bytes of every file of a kind (``request.json``, …), each under the name of its case."""
    files = sorted((ROOT / dialect).glob(f"*.{kind}"))
    return [pytest.param(file.read_bytes(), id=file.name.removesuffix(f".{kind}")) for file in files]


def case(dialect: str, name: str) -> bytes:
    return (ROOT / dialect / name).read_bytes()


def answers(dialect: str) -> list[ParameterSet]:
    """(response, stream) of every case that has both."""
    streams = sorted((ROOT / dialect).glob("*.stream.sse"))
    pairs = [(file.name.removesuffix(".stream.sse"), file) for file in streams]
    return [
        pytest.param(case(dialect, f"{name}.response.json"), file.read_bytes(), id=name)
        for name, file in pairs
        if (ROOT / dialect / f"{name}.response.json").exists()
    ]
