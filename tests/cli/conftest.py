"""The ``skein`` command, run in this process with an environment and a working directory of its own."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import run
from tests.scripted import ScriptedVendor

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "COVERAGE_PROCESS_START")


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Skein = Callable[..., Ran]


@pytest.fixture
def skein(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """``skein("check", "--json", config=YAML, env={...}, stdin=b"…")``"""
    for name in [name for name in os.environ if name not in KEPT]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def ran(*words: str, config: str | None = None, env: dict[str, str] | None = None, stdin: bytes = b"") -> Ran:
        if config is not None:
            (tmp_path / "skein.yaml").write_text(config)
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            code = run(words)
        except SystemExit as left:  # argparse's way
            code = int(left.code or 0)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return ran


@pytest.fixture
def vendor() -> Iterator[ScriptedVendor]:
    with ScriptedVendor.in_thread() as vendor:
        yield vendor
