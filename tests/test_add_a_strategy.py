"""What docs/add-a-strategy.md says works: its file in the tree, its package, its YAML, its own tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.routing import Fleet, Ordered

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add-a-strategy.md").read_text()


def blocks(language: str) -> list[str]:
    return [text for named, text in re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.M | re.S) if named == language]


MODULE, OWN_TESTS = blocks("python")
[CONFIG] = blocks("yaml")
[PROJECT] = blocks("toml")
[TOLD] = blocks("")

SHORT, LONG = "Hello", "Hello, once more. " * 1200
CRASHING = MODULE.replace("tokens = fleet.reading().tokens", "tokens = fleet.reading().tokens + 1 // 0")
NO_TARGETS = MODULE.replace("targets=tuple(ordered),", "targets=(),")
NO_ORDER = MODULE.replace("        return msgspec.structs.replace(", "        msgspec.structs.replace(")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The page's package, as an installer leaves it: the module, and beside it what it is and what it brings."""
    project = tomllib.loads(PROJECT)["project"]
    (tmp_path / "cheapest.py").write_text(MODULE)
    about = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"]
    lines = [f"[{group}]\n" + "\n".join(f"{n} = {v}" for n, v in points.items()) for group, points in groups.items()]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


# What lies in `gateway/routing` is a strategy. Nobody writes into the tree: another folder is part of it for a while.
IN_THE_TREE = """
import gateway.routing
gateway.routing.__path__.append(sys.argv[1])
"""
THROUGH_A_GATEWAY = """
import httpx
from gateway import events
from tests.running import running_gateway
text, *said = json.load(sys.stdin)
answers = []
with running_gateway(text) as gateway:
    for each in said:
        messages = [{"role": "user", "content": each}]
        asked = {"model": "thrifty", "messages": messages}
        answer = httpx.post(gateway.base_url + "/chat/completions", json=asked, timeout=30)
        head = {name: answer.headers.get(f"x-skein-{name}") for name in ("provider", "model", "route")}
        answers.append({"status": answer.status_code, **head})
    plans = [event.plan for event in gateway.of(events.PlanMade)]
    crashed = [[event.model, event.strategy, event.traceback] for event in gateway.of(events.StrategyCrashed)]
    notes = gateway.runtime.config.notes
told = {"answers": answers, "rules": [each.rule for each in plans], "crashed": crashed, "notes": notes,
        "left_out": [[str(out.target) for out in each.left_out] for each in plans]}
print(json.dumps(told))
"""


def run(code: str, package: Path, *arguments: str, text: str = "", installed: bool = True) -> str:
    """In a process of its own, so that the strategy is there for it and for nobody else."""
    ran = subprocess.run(
        [sys.executable, "-c", "import json, sys\n" + code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(package) if installed else ""},
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def through_a_gateway(package: Path, *said: str, text: str = CONFIG) -> dict[str, Any]:
    return dict(json.loads(run(THROUGH_A_GATEWAY, package, text=json.dumps([text, *said])).splitlines()[-1]))


def test_package_serves_as_the_page_says(package: Path) -> None:
    found = through_a_gateway(package, SHORT, LONG)
    short, long = found["answers"]
    assert found["notes"] == []
    assert (short["status"], short["provider"], short["model"]) == (200, "near", "small")
    assert short["route"].startswith("cheapest; near/small at $0.000")
    assert (long["status"], long["provider"], long["model"]) == (200, "far", "large")
    assert found["rules"] == ["cheapest", "cheapest"]
    assert found["left_out"] == [[], ["near/small"]]


def test_file_in_the_tree_is_a_strategy(package: Path) -> None:
    code = IN_THE_TREE + "from gateway import config\nprint(json.dumps(config.problems(sys.stdin.read(), {})))"
    assert json.loads(run(code, package, str(package), text=CONFIG, installed=False)) == []
    served = run(IN_THE_TREE + THROUGH_A_GATEWAY, package, str(package), text=json.dumps([CONFIG, SHORT]))
    assert json.loads(served.splitlines()[-1])["answers"][0]["model"] == "small"


def test_mistake_is_told_as_the_page_says(package: Path) -> None:
    code = "from gateway import config\nprint(*config.problems(sys.stdin.read(), {}), sep='\\n')"
    assert "answer: 500" in CONFIG
    assert run(code, package, text=CONFIG.replace("answer: 500", "answer: none")) == TOLD


def test_schema_has_its_settings(package: Path) -> None:
    code = "from gateway import config\nprint(json.dumps(config.schema()['properties']['models']))"
    models = json.loads(run(code, package))["additionalProperties"]["anyOf"]
    [own] = [each for each in models if each.get("properties", {}).get("strategy") == {"const": "cheapest"}]
    assert own["properties"]["answer"]["description"] == "How many tokens an answer is reckoned with."
    assert own["properties"]["answer"]["default"] == 1000
    assert own["required"] == ["strategy", "targets"]


def test_its_own_tests_pass(package: Path) -> None:
    (package / "test_cheapest.py").write_text(OWN_TESTS)
    code = "import pytest\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-c', '/dev/null', sys.argv[1]]))"
    assert "2 passed" in run(code, package, str(package / "test_cheapest.py"))


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (CRASHING, "ZeroDivisionError: "),
        (NO_TARGETS, "ValueError: order() gave no tuple of targets"),
        (NO_ORDER, "TypeError: order() gave a NoneType, not an Ordered"),
    ],
    ids=["raises", "no targets", "no order"],
)
def test_crash_costs_no_request(package: Path, module: str, why: str) -> None:
    assert module != MODULE
    (package / "cheapest.py").write_text(module)
    found = through_a_gateway(package, SHORT)
    [answer] = found["answers"]
    assert (answer["status"], answer["provider"], answer["model"]) == (200, "far", "large")
    assert answer["route"] == "cheapest; cheapest failed: in the order written"
    assert found["rules"] == ["crashed"]
    [(model, strategy, traceback)] = found["crashed"]
    assert (model, strategy) == ("thrifty", "cheapest")
    assert why in traceback.splitlines()[-1]


def test_crash_is_explained_to_who_asks(package: Path) -> None:
    (package / "cheapest.py").write_text(CRASHING)
    (package / "skein.yaml").write_text(CONFIG)
    (package / "request.json").write_text('{"model": "thrifty", "messages": [{"role": "user", "content": "hello"}]}')
    code = "from gateway.cli import run\nsys.stderr = sys.stdout\nrun(['explain', *sys.argv[1:]])"
    told = run(code, package, str(package / "request.json"), "--config", str(package / "skein.yaml"))
    assert "cheapest: cheapest failed: in the order written" in told
    assert "note: cheapest, the strategy of thrifty, failed:\nTraceback (most recent call last):" in told
    assert "ZeroDivisionError: " in told


def test_package_that_cannot_be_loaded_is_a_note_and_a_problem(package: Path) -> None:
    (package / "cheapest.py").write_text("import no_such_module_here")
    code = (
        "from gateway import config\n"
        "print(json.dumps([config.parse('', {}).notes, *map(str, config.problems(sys.stdin.read(), {}))]))"
    )
    [note], *problems = json.loads(run(code, package, text=CONFIG))
    why = "the strategy of the entry point cheapest of skein-cheapest 1.0 is left out: ModuleNotFoundError: No module"
    assert note.startswith(why)
    assert problems == [f'models.thrifty.strategy: no strategy "cheapest", line 5 ({note})']


def test_tables_name_what_there_is() -> None:
    asked, said = (re.findall(r"^\| (`.+?`(?:, `.+?`)*) \|", table, re.M) for table in tables("`fleet`", "`Ordered`"))
    methods = {name for name in vars(Fleet) if not name.startswith("_")}
    assert {name for row in asked for name in re.findall(r"`(\w+)\(", row)} == methods
    assert {name for row in said for name in re.findall(r"`(\w+)`", row)} == set(Ordered.__struct_fields__)


def tables(*heads: str) -> list[str]:
    return [PAGE.partition(f"| {head} | is |\n|---|---|\n")[2].partition("\n\n")[0] for head in heads]
