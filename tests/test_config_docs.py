"""Every setting and every variable is in docs/configuration.md, with the default it has."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import NODEFAULT, inspect

from gateway.config import environment, retries
from gateway.config.environment import AZURE, GOOSE_LEAD, GOOSE_PLANNER, GOOSE_WORKER
from gateway.config.loading import SECTIONS
from gateway.config.settings import Model, Tools
from gateway.routing.strategies import STRATEGIES
from gateway.vendors import VENDORS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
GOOSE = (GOOSE_LEAD, GOOSE_WORKER, GOOSE_PLANNER)
ROWS = set(re.findall(r"^\| `([^`]+)` \| (.+?) \|", PAGE, re.M))


def settings(kind: inspect.Type, path: str) -> Iterator[tuple[str, str]]:
    """Path and default of every setting below."""
    match kind:
        case inspect.StructType(cls=cls) if cls is Model:
            yield f"{path}.strategy", "`priority`"
            yield f"{path}.resilience", "–"
            yield from settings(inspect.type_info(Tools), f"{path}.tools")
            for strategy in STRATEGIES.values():
                yield from settings(inspect.type_info(strategy), path)
        case inspect.StructType():
            for field in kind.fields:
                yield from of_field(field, f"{path}.{field.name}")
        case inspect.DictType():
            yield from settings(kind.value_type, f"{path}.NAME")
        case inspect.VarTupleType():
            yield from settings(kind.item_type, f"{path}[]")
        case inspect.UnionType():
            for each in kind.types:
                yield from settings(each, path)


def of_field(field: inspect.Field, path: str) -> Iterator[tuple[str, str]]:
    below = list(settings(field.type, path))
    if not below or field.required or field.default is False:
        yield path, default(field)
    yield from below


def default(field: inspect.Field) -> str:
    value: Any = field.default
    if field.required:
        return "required"
    if value is NODEFAULT or value in (None, "", ()):
        return "–"
    unit = (field.type.extra or {}).get("unit") if isinstance(field.type, inspect.Metadata) else None
    return f"`{written(value, unit)}`"


def written(value: Any, unit: str | None) -> str:
    if unit == "size":
        return f"{value // 2**20}MiB"
    if unit == "duration":
        whole = next(((size, name) for size, name in ((3600, "h"), (60, "m"), (1, "s")) if value >= size), None)
        return f"{value / whole[0]:g}{whole[1]}" if whole else f"{value * 1000:g}ms"
    if isinstance(value, tuple) and value:
        return f"[{', '.join(value)}]"
    return str(value)


SETTINGS = sorted({row for name, kind in SECTIONS.items() for row in settings(inspect.type_info(kind), name)})


@pytest.mark.parametrize(("path", "value"), [*SETTINGS, ("aliases.NAME", "–")])
def test_setting_is_documented_with_its_default(path: str, value: str) -> None:
    assert (path, value) in ROWS


def test_no_setting_is_documented_that_is_not_there() -> None:
    paths = {path for path, _ in ROWS if path.split(".")[0] in SECTIONS}
    assert paths == {path for path, _ in SETTINGS} | {"aliases.NAME"}


def variables() -> set[str]:
    tables = [
        environment.SETTINGS,
        *environment.HEADERS.values(),
        environment.CUSTOM_HEADERS.values(),
        environment.BASE_PATHS.values(),
        environment.TIMEOUTS.values(),
        *([getattr(names, field) for field in names.__struct_fields__ if field != "usual_version"] for names in AZURE),
        environment.AWS_REGION,
        environment.AWS_KEYS.values(),
        environment.AWS_IDENTITIES,
        (environment.AWS_PROFILE, environment.BEDROCK_KEY, environment.SAGEMAKER_ENDPOINT, environment.VERTEX_WANTED),
        environment.VERTEX_PROJECT,
        environment.VERTEX_LOCATION,
        environment.DATABRICKS_CLIENT.values(),
        retries.VARIABLES,
        *environment.LEAD_WORKER.values(),
        *(getattr(names, field) for names in GOOSE for field in names.__struct_fields__),
    ]
    return {variable for table in tables for variable in table}


def test_variables_are_documented() -> None:
    of_vendors = {name for each in VENDORS.values() for name in (*each.key_env, *each.host_env, *each.base_env)}
    missing = {name for name in variables() | of_vendors if f"`{name}`" not in PAGE}
    assert not missing
    assert not {name for name in VENDORS if f"| `{name}` |" not in PAGE}


def test_import_is_cheap() -> None:
    code = (
        "import sys, gateway.config; print([n for n in ('yaml', 'asyncio', 'httpx', 'litestar') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_example_on_the_page_is_good() -> None:
    from gateway import config

    env = {name: f"key-of-{name}" for name in re.findall(r"\$\{([A-Z_]+_KEY)\}", PAGE)}
    env["AZURE_OPENAI_ENDPOINT"] = "https://a.b"
    for example in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S):
        assert config.problems(example, env) == []


def test_defaults_are_their_own_types() -> None:
    for name, kind in SECTIONS.items():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            assert msgspec.convert(msgspec.to_builtins(kind()), kind) == kind(), name
