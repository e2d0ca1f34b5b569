"""What docs/agents.md and docs/front-doors.md say is so: where paths lead, what code prints, what is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx  # noqa: F401  (SDKs trip over one that the gateway is importing just then, in a thread of its own)
import msgspec
import pytest

from gateway.abilities import abilities
from gateway.api.inbound import ENDINGS, METHODS, ROUTES, normalise
from gateway.dialects import EGRESS, INGRESS
from tests.running import RunningGateway, running_gateway

ROOT = Path(__file__).parents[1]
DOORS = (ROOT / "docs" / "front-doors.md").read_text()
AGENTS = (ROOT / "docs" / "agents.md").read_text()
README = (ROOT / "README.md").read_text()


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose head begins so."""
    table = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)
    assert table, first
    return [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in table[1].splitlines()]


# Paths ----------------------------------------------------------------------------------------------------------------


def test_paths_lead_where_the_page_says() -> None:
    """In their order, which decides where two rows fit."""
    assert rows(DOORS, "a path that ends in") == [[f"`{path}`", f"`{route}`"] for path, route in ENDINGS.items()]
    said = [[f"`:{method}`", f"`{route.path}`"] for method, route in METHODS.items()]
    assert rows(DOORS, "method of a model") == said


SERVED = {route for route in ROUTES if re.match("/(v1|v1beta|api|model)/", route)} - {"/v1/feedback"}


def test_every_front_door_is_on_the_page() -> None:
    named = set(re.findall(r"(/(?:v1|v1beta|api|model)[\w/]*)", " ".join(row[1] for row in rows(DOORS, "format"))))
    methods = {f"/v1beta/{method}" for method in re.findall(r":(\w+)`", rows(DOORS, "format")[3][1])}
    assert named | methods >= SERVED
    assert methods == {route.path for route in METHODS.values()}


PREFIXES = re.findall(r"`([^`]+)`", re.search(r"whatever stands before\nit \((.*?)\)", DOORS, re.S)[1])  # type: ignore[index]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_stands_before_a_path_means_nothing(prefix: str) -> None:
    for ending, route in ENDINGS.items():
        assert normalise(prefix + ending) == normalise(ending) != None, route  # noqa: E711


# Code -----------------------------------------------------------------------------------------------------------------

BLOCKS = re.findall(r"^```python\n(.*?)^```", AGENTS, re.M | re.DOTALL)


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway("models: {fast: {targets: [simulator/echo]}}\nproviders: {simulator: {}}") as running:
        yield running


@pytest.mark.parametrize("code", BLOCKS, ids=[re.findall(r"^from (\w+)", block, re.M)[0] for block in BLOCKS])
def test_code_on_the_page_prints_the_answer(
    gateway: RunningGateway, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "http://127.0.0.1:4000" in code
    exec(compile(code.replace("http://127.0.0.1:4000", gateway.url), "docs/agents.md", "exec"), {})
    assert "Say hello." in capsys.readouterr().out


def test_there_is_code_for_every_official_sdk() -> None:
    assert {"openai", "anthropic", "google", "ollama"} == set(re.findall(r"^from (\w+)", "".join(BLOCKS), re.M))


@pytest.mark.parametrize("code", re.findall(r"^```py\n(.*?)^```", AGENTS, re.M | re.DOTALL))
def test_code_for_libraries_that_are_not_here_is_python(code: str) -> None:
    compile(code, "docs/agents.md", "exec")


@pytest.mark.parametrize("text", re.findall(r"^```json\n(.*?)^```", AGENTS, re.M | re.DOTALL))
def test_settings_of_agents_are_json(text: str) -> None:
    assert "http://127.0.0.1:4000/v1" in str(msgspec.json.decode(text))


def test_settings_of_codex_are_toml() -> None:
    [text] = re.findall(r"^```toml\n(.*?)^```", AGENTS, re.M | re.DOTALL)
    assert msgspec.toml.decode(text)["model_providers"]["skein"]["wire_api"] == "responses"


# What is left out -----------------------------------------------------------------------------------------------------

USER: list[Any] = [{"role": "user", "content": "hi"}]
ASSISTANT_IN_GEMINI = {"role": "model", "parts": [{"executableCode": {"code": "1"}}, {"text": "1"}]}
# Of each format, a request with what the page says that other vendors are not told, and the names it is left out by.
LEFT_OUT: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "Responses": (
        "openai_responses",
        {
            "input": [
                *USER,
                {"type": "web_search_call", "id": "ws_1", "status": "completed"},
                {"type": "item_reference", "id": "msg_1"},
            ],
            "tools": [
                {"type": kind}
                for kind in (
                    *("web_search", "file_search", "mcp", "computer_use_preview"),
                    *("code_interpreter", "image_generation"),
                )
            ],
            "include": ["file_search_call.results"],
            "truncation": "auto",
            "client_metadata": {"a": "b"},
            "context_management": [{"type": "compaction", "compact_threshold": 9000}],
            "text": {"format": {"type": "grammar", "grammar": "x"}},
        },
        {*(f"tools[{n}]" for n in range(6)), "input[1]", "input[2]"}
        | {"include", "truncation", "client_metadata", "context_management", "text.format"},
    ),
    "Messages": (
        "anthropic_messages",
        {
            "max_tokens": 99,
            "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cc_entrypoint=cli"}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                            "citations": {"enabled": True},
                        }
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
                        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                        {"type": "text", "text": "x"},
                    ],
                },
                *USER,
            ],
            "tools": [
                {"type": "web_search_20250305", "name": "web_search"},
                {"type": "code_execution_20250522", "name": "code_execution"},
            ],
            "container": "c",
            "mcp_servers": [{"type": "url", "url": "https://a.b", "name": "n"}],
            "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
            "fallbacks": [{"model": "x"}],
        },
        {"tools[0]", "tools[1]", "container", "mcp_servers", "context_management", "fallbacks", "system[0]"}
        | {"messages[0].content[0].citations", "messages[1].content[0]", "messages[1].content[1]"},
    ),
    "Gemini": (
        "gemini",
        {
            "contents": [{"parts": [{"text": "hi"}]}, ASSISTANT_IN_GEMINI, {"parts": [{"text": "hi"}]}],
            "tools": [{"googleSearch": {}}, {"codeExecution": {}}, {"urlContext": {}}],
            "safetySettings": [{"category": "a", "threshold": "b"}],
            "cachedContent": "cachedContents/1",
            "generationConfig": {"speechConfig": {"languageCode": "de"}, "responseModalities": ["AUDIO"]},
        },
        {"tools[0].googleSearch", "tools[1].codeExecution", "tools[2].urlContext", "safetySettings", "cachedContent"}
        | {"generationConfig.speechConfig", "generationConfig.responseModalities"}
        | {"contents[1].parts[0].executableCode"},
    ),
    "Ollama": (
        "ollama_generate",
        {
            "prompt": "hi",
            "keep_alive": 5,
            "raw": True,
            "template": "x",
            "context": [1],
            "options": {"num_ctx": 5, "mirostat": 1},
        },
        {"keep_alive", "options.num_ctx", "options.mirostat", "raw", "template", "context"},
    ),
    "completions": ("openai_completions", {"prompt": "hi", "suffix": "x", "best_of": 3}, {"suffix", "best_of"}),
}


@pytest.mark.parametrize("format", LEFT_OUT)
def test_what_is_left_out_is_named(format: str) -> None:
    dialect, said, names = LEFT_OUT[format]
    request = INGRESS[dialect].decode_request(msgspec.json.encode({"model": "m", **said}))
    for vendor, model in {
        "openai_chat": "gpt-4.1",
        "anthropic_messages": "claude-sonnet-4-5",
        "gemini": "gemini-3-pro",
        "openai_responses": "gpt-5",
    }.items():
        if vendor != dialect:
            assert set(EGRESS[vendor].encode_request(request, abilities(model)).dropped) == names, vendor


def test_what_the_page_says_is_left_out_was_tried() -> None:
    page = dict(rows(DOORS, "of"))
    assert page.keys() == LEFT_OUT.keys()
    for format, (_, said, _) in LEFT_OUT.items():
        words = [word.rstrip("_…").rpartition(".")[2] for word in re.findall(r"`([^`]+)`", page[format])]
        assert [word for word in words if f'"{word}' not in msgspec.json.encode(said).decode()] == [], format


# Links ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [DOORS, AGENTS, README], ids=["front-doors", "agents", "README"])
def test_links_lead_somewhere(text: str) -> None:
    folder = ROOT if text is README else ROOT / "docs"
    for page, anchor in re.findall(r"\]\((?!https?:)([\w./-]*)(?:#([\w-]*))?\)", text):
        target = folder / page if page else None
        assert target is None or target.exists(), page
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text() if target else text, re.M)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, (page, anchor)
