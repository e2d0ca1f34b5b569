"""A file in ``tests/config`` is a case: ``*.good.yaml`` is taken, ``*.bad.yaml`` gives the problems its head expects.

In the head, ``# env: NAME=value`` sets a variable; each ``# expect: text`` is (part of) one problem, and together they
are all of them. ``# schema: refuses`` says that an editor with the JSON Schema shows the mistake too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gateway import config
from gateway.config import Config
from gateway.config.findings import Findings
from gateway.config.reading import Node, Unreadable, read
from gateway.config.variables import fill
from gateway.errors import OperatorError

ROOT = Path(__file__).parents[1]
FILES = ROOT / "tests" / "config"
BAD = sorted(FILES.glob("*.bad.yaml"))
GOOD = sorted(FILES.glob("*.good.yaml"))


def head(path: Path, word: str) -> list[str]:
    return re.findall(rf"^# {word}: (.*)$", path.read_text(), re.M)


def env_of(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in head(path, "env"))
    return {name: value.replace("\\n", "\n") for name, _, value in pairs}


def plain(node: Node) -> Any:
    match node.value:
        case dict():
            return {key: plain(value) for key, value in node.value.items()}
        case list():
            return [plain(value) for value in node.value]
    return node.value


def as_an_editor_sees(path: Path) -> Any:
    """The values as written, with variables not filled in."""

    class Same(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            return "${" + name + "}"

    try:
        return plain(read(path.read_text(), Same(), Findings()))
    except Unreadable:
        return yaml.safe_load(path.read_text())


def name_of(path: Path) -> str:
    return path.name.split(".")[0]


@pytest.mark.parametrize("path", BAD, ids=name_of)
def test_bad_file_gives_all_its_problems_and_no_others(path: Path) -> None:
    said = [str(problem) for problem in config.problems(path.read_text(), env_of(path))]
    left = list(said)
    for text in head(path, "expect"):
        match = next((each for each in left if text in each), None)
        assert match, f"{text!r} not in:\n" + "\n".join(left)
        left.remove(match)
    assert not left, "nobody expects:\n" + "\n".join(left)
    with pytest.raises(OperatorError) as raised:
        config.parse(path.read_text(), env_of(path), "skein.yaml")
    assert [str(problem) for problem in raised.value.problems] == said


@pytest.mark.parametrize("path", BAD, ids=name_of)
def test_every_problem_has_a_place_and_is_in_the_order_of_the_file(path: Path) -> None:
    problems = config.problems(path.read_text(), env_of(path))
    lines = [int(found[1]) for problem in problems if (found := re.search(r", line (\d+)$", problem.what))]
    assert all(problem.path for problem in problems)
    assert lines == sorted(lines)


@pytest.mark.parametrize("path", GOOD, ids=name_of)
def test_good_file_is_taken(path: Path) -> None:
    assert config.problems(path.read_text(), env_of(path)) == []
    assert config.parse(path.read_text(), env_of(path), str(path)).source == str(path)


@pytest.mark.parametrize("path", GOOD, ids=name_of)
def test_good_file_fits_the_schema(path: Path) -> None:
    jsonschema.validate(as_an_editor_sees(path), config.schema())


@pytest.mark.parametrize("path", [path for path in BAD if head(path, "schema")], ids=name_of)
def test_schema_refuses_what_it_can(path: Path) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(as_an_editor_sees(path), config.schema())


def test_schema_in_docs_is_fresh_and_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(config.schema())
    written = msgspec.json.decode((ROOT / "docs" / "skein.schema.json").read_bytes())
    assert written == msgspec.json.decode(msgspec.json.encode(config.schema())), "run `make schema`"


def good(name: str) -> Config:
    path = FILES / f"{name}.good.yaml"
    return config.parse(path.read_text(), env_of(path), path.name)


def test_example_becomes_settings() -> None:
    settings = good("example")
    assert settings.server.max_body == 32 * 2**20
    assert settings.providers["azure-eu"].base_url == "https://eu.openai.azure.com"
    assert settings.providers["azure-eu"].endpoint is None
    assert settings.providers["openai"].vendor == "openai"
    assert settings.providers["openai"].keys == ("sk-0123456789",)
    assert {name: model.kind for name, model in settings.models.items()} == {
        "fast": "priority",
        "spread": "weighted",
        "quick": "least_latency",
        "smart": "priority",
        "coder": "lead_worker",
    }
    assert settings.models["smart"].strategy.references() == ("openai/gpt-5", "azure-eu/gpt-4.1")
    assert settings.observe.content == "off"
    assert settings.access.keys[0].models == ("fast",)


def test_variables_become_what_the_setting_is() -> None:
    settings = good("variables")
    assert (settings.server.port, settings.server.workers, settings.server.max_body) == (4100, 2, 2**20)
    assert settings.server.metrics_port is None
    assert settings.access.admin_key is None
    assert settings.resilience.timeouts.total == 90.0
    assert settings.resilience.retry_budget == 0.5
    assert settings.providers["openai"].base_url == "https://llm.example.com/v1"
    assert settings.providers["openai"].headers == {"x-price": "$5"}


def test_anchors_and_merges() -> None:
    settings = good("anchors")
    clocks = settings.resilience_for("a", "simulator").timeouts
    assert (clocks.connect, clocks.idle, clocks.total) == (2.0, 10.0, 600.0)
    assert settings.models["a"].strategy == settings.models["b"].strategy
    assert settings.models["b"].resilience == {"timeouts": {"connect": 2.0, "idle": 20.0}, "retries": 1}


@pytest.mark.parametrize("name", ["empty", "nulls"])
def test_no_provider_means_the_simulator(name: str) -> None:
    assert list(good(name).providers) == ["simulator"]


def test_aliases_lead_straight_to_their_end() -> None:
    assert good("catch_all").aliases == {"gpt-?": "team/fast", "other": "*", "second": "*"}
    assert good("bare_ids").aliases == {"gpt-*": "openai/gpt-5", "local": "mine/qwen3"}


def test_words_stay_words() -> None:
    settings = good("words")
    assert settings.providers["on"].models == ("yes", "no", "2024-10-21", "1e")
    assert list(settings.models) == ["y", "1.5"]


LAYERED = """
providers:
  simulator: {resilience: {retries: 3, timeouts: {total: 2m}, breaker: {consecutive: 7, open_for: 10s}}}
  other: {vendor: simulator}
models:
  plain: simulator/echo
  first: {targets: [simulator/echo, other/echo], resilience: {timeouts: {total: 10s}, breaker: {open_for: 20s}}}
  second: {targets: [simulator/echo, first], resilience: {breaker: {consecutive: 9}}}
resilience: {retries: 1, max_attempts: 4, timeouts: {connect: 1s}}
"""


@pytest.mark.parametrize(
    ("model", "provider", "retries", "connect", "total"),
    [
        (None, "simulator", 3, 1.0, 120.0),
        (None, "other", 1, 1.0, 600.0),
        ("plain", "simulator", 3, 1.0, 120.0),
        ("first", "simulator", 3, 1.0, 10.0),
        ("first", "other", 1, 1.0, 10.0),
        ("simulator/echo", "simulator", 3, 1.0, 120.0),
        ("unheard-of", "unheard-of", 1, 1.0, 600.0),
    ],
)
def test_model_wins_over_provider_wins_over_global(
    model: str | None, provider: str, retries: int, connect: float, total: float
) -> None:
    settings = config.parse(LAYERED, {})
    for _ in range(2):
        found = settings.resilience_for(model, provider)
        assert (found.retries, found.max_attempts) == (retries, 4)
        assert (found.timeouts.connect, found.timeouts.total) == (connect, total)


def test_settings_asked_for_are_kept_but_not_without_bound() -> None:
    settings = config.parse(LAYERED, {})
    assert settings.resilience_for("first", "other") is settings.resilience_for("first", "other")
    for number in range(1000):
        settings.resilience_for(f"model-{number}", "simulator")
        settings.resilience_for("first", f"provider-{number}")
    assert len(settings.merged) < 10


def test_breaker_is_that_of_all_models_that_list_the_target() -> None:
    from gateway.routing import Target

    settings = config.parse(LAYERED, {})
    shared = settings.breaker_for(Target("simulator", "echo"))
    assert (shared.consecutive, shared.open_for) == (9, 20.0)
    # `second` reaches it by way of `first` only.
    assert settings.breaker_for(Target("other", "echo")).consecutive == 5
    assert settings.breaker_for(Target("simulator", "unlisted")).open_for == 10.0


SECRETS = {"K1": "hunter2-aaaa", "K2": "hunter2-bbbb", "K3": "hunter2-cccc", "K4": "hunter2-dddd"}
SECRETIVE = """
providers:
  openai: {api_key: "${K1}", headers: {authorization: "${K2}"}}
  azure: {vendor: azure_openai, endpoint: "https://x.openai.azure.com", ad_token: "${K1}"}
  xai: {api_keys: ["${K1}", "${K2}"]}
observe:
  langfuse: {public_key: pk, secret_key: "${K1}"}
  otlp: {endpoint: "http://localhost:4318", headers: {k: "${K2}"}}
access: {mode: keys, keys: [{name: ci, key: "${K3}"}], admin_key: "${K4}"}
"""


def test_nothing_printed_shows_a_secret() -> None:
    settings = config.parse(SECRETIVE, SECRETS)
    parts = [settings, settings.providers, settings.access, settings.access.keys, settings.observe, settings.models]
    for part in parts:
        assert "hunter2" not in f"{part} {part!r}"
        assert "hunter2" not in str(part.__rich_repr__() if hasattr(part, "__rich_repr__") else "")
    assert "api_keys=('…', '…')" in repr(settings.providers["xai"])


@pytest.mark.parametrize("path", BAD, ids=name_of)
def test_no_problem_shows_a_secret(path: Path) -> None:
    said = "\n".join(map(str, config.problems(path.read_text(), env_of(path))))
    assert "hunter2" not in said
    assert "sk-0123456789" not in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe{\x00}\x00", "is not UTF-8 (byte 0)"),
        (b"server: {host: \xc3\x28}", "is not UTF-8 (byte 15)"),
        (b"server:\x00 {}", "special characters are not allowed"),
        (b"#" * (2**20 + 1), "is larger than 1 MiB"),
        (b"[" * 100_000, "is nested more than 24 deep"),
        (b"{a: " * 100_000, "is nested more than 24 deep"),
        (b"- " * 5_000, "is nested more than 24 deep"),
        (b"a: [" + b"1," * 60_000 + b"]", "holds more than 50000 values"),
        (b"server: {port: " + b"9" * 10_000 + b"}", "expected a whole number"),
        (b"resilience: {max_wait: " + b"9" * 10_000 + b"}", "expected a duration"),
        (b"server: {max_body: " + b"9" * 400 + b"MiB}", "expected a size"),
        (b"server: {host: " + b"a" * 100_000 + b"}", "is not an address"),
        (b"server: {host: '${A:-${A:-${A:-${A:-${A:-${A:-x}}}}}}'}", "nested more than 5 deep"),
        (b"server: {host: '" + b"${BIG}" * 1000 + b"'}", "is longer than 65536 characters"),
        (b"a: !!binary abc", "means nothing here"),
        (b"%YAML 9.9\n---\na: 1", "incompatible YAML document"),
        (b"? ", "is not a setting"),
        (b"a: 'open", "found unexpected end of stream"),
        (b"a: &a {b: *a}", "is inside of what it stands for"),
        (b'models: {"a\\nb": simulator/echo}', "cannot be a model's name"),
        ("models: {fast: simulator/\u202eecho}".encode(), "holds a space or another character no model id has"),
        (b"aliases: {" + b"*" * 300 + b": x}", "expected alphabetic or numeric character"),
    ],
)
def test_hostile_text_is_a_problem_and_no_more(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "skein.yaml"
    path.write_bytes(content)
    with pytest.raises(OperatorError) as raised:
        config.load(str(path), {"BIG": "x" * 1000})
    assert said in str(raised.value)
    assert all(len(line) < 500 for line in str(raised.value).splitlines())


def test_more_problems_than_anybody_reads() -> None:
    said = config.problems("server: {" + ", ".join(f"k{number}: 1" for number in range(20_000)) + "}", {})
    assert len(said) == 201
    assert said[-1].what == "has more problems than these 200"


HOSTED = 'observe: {langfuse: {host: "https://langfuse.example.com"}}'
MEASURED = "observe: {otlp: {metrics: true}}"
PRICED = "observe: {prices: {gpt-5: &it {input: 1, output: 2}, simulator/echo: *it, opnai/gpt-5: *it}}"
RESOLD = "{providers: {openrouter: {api_key: k-0123456789, %s}}, models: {m: [openrouter/%s]}, " + PRICED + "}"


@pytest.mark.parametrize(
    ("text", "env", "noted"),
    [
        ("server: {workers: 2}", {}, "server.workers is more than 1 without server.metrics_port"),
        (HOSTED, {}, "observe.langfuse.host is set without keys"),
        (HOSTED, {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"}, None),
        (HOSTED.replace("}}", ", public_key: pk, secret_key: sk}}"), {}, None),
        (MEASURED, {}, "observe.otlp.metrics is true, but no endpoint is said"),
        (MEASURED.replace("}}", ", endpoint: 'http://c:4318'}}"), {}, None),
        (MEASURED, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, "observe.otlp.metrics is true"),
        (MEASURED, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, None),
        (MEASURED, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c"}, None),
        (MEASURED, {"OTEL_METRICS_EXPORTER": "otlp"}, None),
        (PRICED, {}, 'observe.prices has "opnai/gpt-5", but there is no provider "opnai"'),
        (RESOLD % ("models: [other]", "other"), {}, 'observe.prices has "simulator/echo"'),
        (RESOLD % ("models: [simulator/echo]", "opnai/gpt-5"), {}, None),
        ("models: {auto: [simulator/echo]}", {}, "models.auto: in a conversation /model auto takes back"),
        ("aliases: {auto: simulator/echo}", {}, "aliases.auto: in a conversation /model auto takes back"),
        ("models: {automatic: [simulator/echo]}", {}, None),
    ],
)
def test_what_will_not_work_is_noted(text: str, env: dict[str, str], noted: str | None) -> None:
    notes = config.parse(text, env, "test").notes
    assert notes[0].startswith(noted) if noted else notes == (), notes


def test_a_good_file_is_taken_without_a_word() -> None:
    assert good("example").notes == ()


def names_and_values() -> st.SearchStrategy[Any]:
    """Junk, but under names that mean something, so that it gets past the first look."""
    words = {*re.findall(r"[a-z_]+", json.dumps(config.schema())), "openai", "simulator", "a", "*"}
    scalars: st.SearchStrategy[Any] = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["simulator/echo", "a", "b", "openai/gpt-5", "keys", "weighted", "${A}", "${B:-x}", "5s", ""]),
    )
    names = st.sampled_from(sorted(words)) | st.text(max_size=4)
    return st.recursive(
        scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=4), max_leaves=12
    )


SECTION_NAMES = ["server", "providers", "models", "aliases", "resilience", "observe", "access"]


@examples(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(SECTION_NAMES), names_and_values()))
def test_junk_is_settings_or_problems_and_nothing_else(tree: dict[str, Any]) -> None:
    text = json.dumps(tree)
    said = config.problems(text, {"A": "1"})
    if not said:
        config.parse(text, {"A": "1"})
        jsonschema.validate(tree, config.schema())


@examples(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@`#,?$ \n\t0"), max_size=40))
def test_any_text_is_settings_or_problems_and_nothing_else(text: str) -> None:
    config.problems(text, {})


@examples(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("${}:-AB x"), max_size=30))
def test_variables_are_filled_in_or_refused(text: str) -> None:
    filling = fill(text, {"A": "1"})
    assert filling.problems or "${A}" not in filling.text or "$$" in text


def test_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "skein.yaml"
    path.write_bytes("\ufeffserver: {port: 4100}".encode())
    assert config.load(str(path), {}).server.port == 4100


def test_file_is_the_one_given_then_the_variable_then_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("given", "variable", "skein")):
        (tmp_path / f"{name}.yaml").write_text(f"server: {{port: {5000 + number}}}")
    monkeypatch.chdir(tmp_path)
    env = {"SKEIN_CONFIG": "variable.yaml"}
    assert config.load("given.yaml", env).server.port == 5000
    assert config.load(None, env).server.port == 5001
    assert config.load(None, {}).server.port == 5002
    (tmp_path / "skein.yaml").unlink()
    assert config.load(None, {}).source == "environment"


@pytest.mark.parametrize(("path", "said"), [("absent.yaml", "there is no such file"), (".", "cannot be read")])
def test_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    for asked, env in ((path, {}), (None, {"SKEIN_CONFIG": path})):
        with pytest.raises(OperatorError, match=said) as raised:
            config.load(asked, env)
        assert raised.value.problems[0].path == path


def test_reading_does_not_reach_for_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    env: Mapping[str, str] = {}
    assert "OPENAI_API_KEY is not set" in str(config.problems("aliases: {a: '${OPENAI_API_KEY}'}", env)[0])


SIMULATOR = "providers: {simulator: {}}\n"
OUR_KEY = {"SKEIN_KEY": "a-long-enough-key"}


@pytest.mark.parametrize(
    ("text", "env", "notes"),
    [
        (SIMULATOR, OUR_KEY, ["SKEIN_KEY is set but a file is used: write access.keys there"]),
        (SIMULATOR, {"SKEIN_HOST": "::", "SKEIN_PORT": "1"}, ["SKEIN_HOST is set", "SKEIN_PORT is set"]),
        (SIMULATOR, {"SKEIN_ACCESS": "keys"}, ["SKEIN_ACCESS is set but a file is used: write access.mode there"]),
        (SIMULATOR + "# ${SKEIN_KEY}", OUR_KEY, ["SKEIN_KEY is set"]),
        (SIMULATOR + 'access: {mode: keys, keys: [{name: ci, key: "${SKEIN_KEY}"}]}', OUR_KEY, []),
        (SIMULATOR + 'server: {port: "${SKEIN_LISTEN:-4001}"}', {"SKEIN_LISTEN": "4002"}, []),
        (SIMULATOR, {"SKEIN_KEYS": "x", "SKEIN_CONFIG": "skein.yaml"}, ["SKEIN_KEYS is set, but nothing is called so"]),
    ],
)
def test_our_variables_beside_a_file_are_noted(text: str, env: dict[str, str], notes: list[str]) -> None:
    found = config.parse(text, env).notes
    assert len(found) == len(notes), found
    assert all(said.startswith(note) for said, note in zip(found, notes, strict=True))


def test_signing_in_without_its_package_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "providers: {azure: {vendor: azure_openai, endpoint: https://eu.openai.azure.com, credential: default}}"
    monkeypatch.setattr("gateway.config.signing_in.is_installed", lambda module: module != "azure.identity")
    [note] = config.parse(text, {}).notes
    assert note.startswith("azure cannot sign in: azure-identity is not installed: pip install 'skein-gateway[azure]'")
    assert ".venv/bin/pip install -e '.[azure]'" in note


@pytest.mark.parametrize("installed", [True, False])
def test_http2_without_its_package_is_noted(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    text = "providers: {one: {vendor: simulator, transport: httpx}, two: {vendor: simulator}}"
    monkeypatch.setattr("gateway.config.loading.signing_in.is_installed", lambda module: installed or module != "h2")
    notes = [note for note in config.parse(text, {}).notes if "h2" in note]
    said = "one will be spoken to over HTTP/1.1: h2 is not installed (pip install 'skein-gateway[http2]'"
    assert [note.startswith(said) for note in notes] == ([] if installed else [True])


def test_what_is_installed_is_found() -> None:
    from gateway.config.signing_in import is_installed

    assert is_installed("msgspec")
    assert not is_installed("no_such_package_here.at_all")


def test_where_a_value_is_from_is_remembered() -> None:
    text = """
providers:
  openai: {api_key: "${A:-${B}}", headers: {x-literal: beta, x-team: "${C}", x-both: "t-${C}"}}
"""
    env = {"B": "key-from-b", "C": "gamma", "D": "beta"}
    assert config.parse(text, env).variables == {
        "providers.openai.api_key": "B",
        "providers.openai.headers.x-team": "C",
    }
