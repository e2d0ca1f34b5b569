"""The layout holds: who imports whom, what the pure half may not touch, what a bare import costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gateway"
CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
LAYERS = [[name.strip(" ()") for name in layer.split("|")] for layer in CONTRACT["layers"]]
"""Top to bottom, as the contract in pyproject.toml draws them."""

OUTSIDE = {"asyncio", "logging", "os", "random", "secrets", "time", "uuid"}
"""Clock, chance, environment, logging, the event loop: the pure half is handed what it needs of them."""
CLOCK_CALLS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}

SERVER_LIBRARIES = ("httpx", "litestar", "uvicorn")


def modules_of(layer: str) -> list[Path]:
    path = PACKAGE.joinpath(*layer.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")] * path.with_suffix(".py").exists()


def layers_from(name: str) -> list[str]:
    """The layer with this name and all below it."""
    start = next(number for number, layer in enumerate(LAYERS) if name in layer)
    return [name for layer in LAYERS[start:] for name in layer]


PURE = [path for layer in layers_from("translate") for path in modules_of(layer)]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_each_layer_imports_only_the_layers_below_it():
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as main; main()",
            "--no-cache",
            "--no-logo",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_module_has_a_layer():
    placed = {path for layer in LAYERS for name in layer for path in modules_of(name)}
    without_code = {PACKAGE / "__init__.py", PACKAGE / "wire" / "__init__.py"}
    assert set(PACKAGE.rglob("*.py")) - placed - without_code == set(), "give it a layer in pyproject.toml"


def test_every_folder_is_a_package(imports: dict[str, set[str]]):
    unseen = {dotted(path) for path in PACKAGE.rglob("*.py")} - set(imports)
    assert unseen == set(), "without its __init__.py a folder escapes the contract"


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports itself."""
    graph = grimp.build_graph("gateway", cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def within(module: str, *layers: str) -> bool:
    return any(f"{module}.".startswith(f"gateway.{layer}.") for layer in layers)


def test_observe_sees_events_and_what_events_are_made_of(imports: dict[str, set[str]]):
    allowed = ("observe", *layers_from("events"))
    strays = {
        f"{module} -> {imported}"
        for module, targets in imports.items()
        for imported in targets
        if within(module, "observe") and imported != "gateway" and not within(imported, *allowed)
    }
    assert strays == set()


def test_only_the_composition_and_the_commands_know_observe(imports: dict[str, set[str]]):
    strays = {
        f"{module} -> {imported}"
        for module, targets in imports.items()
        for imported in targets
        if within(imported, "observe") and not within(module, "observe", "observing", "app", "cli")
    }
    assert strays == set()


@pytest.mark.parametrize("path", PURE, ids=dotted)
def test_the_pure_half_decides_and_does_not_act(path: Path):
    assert list(impurities(path.read_text())) == []


def impurities(source: str):
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith() | ast.Await():
                yield f"line {node.lineno}: async"
            case ast.comprehension(is_async=1):
                yield f"line {node.target.lineno}: async"
            case ast.Import(names=names):
                yield from (f"line {node.lineno}: import {name.name}" for name in names if outside(name.name))
            case ast.ImportFrom(module=str(module), level=0) if outside(module):
                yield f"line {node.lineno}: from {module} import"
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=method)):
                if (owner, method) in CLOCK_CALLS:
                    yield f"line {node.lineno}: {owner}.{method}()"


def outside(module: str) -> bool:
    return module.split(".")[0] in OUTSIDE


@pytest.mark.parametrize(
    "source",
    [
        "async def send(): ...",
        "import time",
        "import os.path",
        "from random import random",
        "def plan():\n    import logging",
        "stamp = datetime.datetime.now(tz)",
        "stamp = date.today()",
    ],
)
def test_an_impurity_is_seen(source: str):
    assert list(impurities(source))


def test_importing_the_package_loads_no_server():
    loaded = subprocess.run(
        [sys.executable, "-c", "import gateway, sys; print(*sys.modules, sep='\\n')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "gateway" in loaded
    assert [name for name in loaded if name.startswith(SERVER_LIBRARIES)] == []
