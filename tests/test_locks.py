"""The lock files hold what pyproject.toml asks for, by hash, and name no place of their own."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]

RUNTIME = PROJECT["project"]["dependencies"]
BUILD = [*PROJECT["build-system"]["requires"], *GROUPS["build"]]
EXTRAS = [line for lines in PROJECT["project"].get("optional-dependencies", {}).values() for line in lines]
DEV = [line for line in GROUPS["dev"] if isinstance(line, str)]

COVERS = {
    "requirements.lock": RUNTIME,
    "requirements-build.lock": BUILD,
    "requirements-image.lock": [*RUNTIME, *EXTRAS],
    "requirements-dev.lock": [*RUNTIME, *BUILD, *EXTRAS, *DEV],
}
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;]+)(?: ; (.+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def pins(lock: str) -> dict[str, set[Version]]:
    """Name -> its versions: more than one where Python versions or platforms differ."""
    found: dict[str, set[Version]] = {}
    for name, version, _marker, _hashes in PIN.findall((ROOT / lock).read_text()):
        found.setdefault(canonicalize_name(name), set()).add(Version(version))
    return found


@pytest.mark.parametrize("lock", COVERS)
def test_a_lock_covers_what_pyproject_asks_for(lock: str):
    locked = pins(lock)
    wanting = [
        line
        for line in COVERS[lock]
        for requirement in [Requirement(line)]
        if not any(
            requirement.specifier.contains(version) for version in locked.get(canonicalize_name(requirement.name), ())
        )
    ]
    assert wanting == [], "run `make lock`"


@pytest.mark.parametrize("lock", COVERS)
def test_every_line_of_a_lock_is_a_pin_with_hashes(lock: str):
    text = (ROOT / lock).read_text()
    rest = [line for line in PIN.sub("", text).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert rest == []
    assert "://" not in text, "a lock names no host: the installer's own settings do"


@pytest.mark.parametrize("lock", [lock for lock in COVERS if lock != "requirements-dev.lock"])
def test_what_runs_is_what_was_tested(lock: str):
    tested = pins("requirements-dev.lock")
    assert {name: found for name, found in pins(lock).items() if not found <= tested.get(name, set())} == {}


def test_the_image_is_made_from_what_may_go_into_it():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert {name for names in copied for name in names.split()} == set(allowed)


def test_few_direct_dependencies():
    assert len(RUNTIME) < 20
