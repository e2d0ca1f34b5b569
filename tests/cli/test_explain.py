"""``skein explain``: the plan and its reasons, and nobody is called; or what became of a request that was made."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.api.fronts import FRONTS
from gateway.cli.spoken_as import spoken_as
from gateway.dialects import DIALECTS
from tests.cli.conftest import Skein
from tests.corpus import ROOT
from tests.observe.told import told
from tests.running import RunningGateway, running_gateway
from tests.scripted import ScriptedVendor

CONFIG = """
providers:
  openai: {api_key: sk-0123456789, windows: {gpt-5: 400000}, resilience: {retries: 5, timeouts: {total: 2m}}}
  mistral: {api_key: mistral-key-0123}
  deepseek: {api_key: deepseek-key-0123}
  azure:
    vendor: azure_openai
    endpoint: https://eu.openai.azure.com
    api_key: azure-key-0123
    api_version: "2024-10-21"
    deployments: {gpt-4.1: prod}
models:
  fast:
    targets: [azure/gpt-4.1, openai/gpt-5, mistral/mistral-small]
    resilience: {on_broken_stream: resume, retries: 1}
  drawn: {strategy: weighted, targets: [openai/gpt-5, azure/gpt-4.1]}
  coder: {strategy: lead_worker, lead: openai/gpt-5, worker: mistral/devstral, lead_turns: 1, worker_max_tokens: 100}
  texts: [deepseek/d, openai/text-embedding-3-small]
aliases: {"claude-*": fast}
"""
MESSAGES = [{"role": "user", "content": "hello"}]


def request(model: str, **fields: Any) -> bytes:
    return json.dumps({"model": model, "messages": MESSAGES, **fields}).encode()


def test_an_alias_is_followed_and_each_target_told(skein: Skein) -> None:
    body = request("claude-sonnet", stream=True, max_completion_tokens=9, user="me")
    found = skein("explain", "-", "--json", config=CONFIG, stdin=body).json
    assert found["model"] == {"asked": "claude-sonnet", "pinned": None, "resolved": "fast", "by": "alias of fast"}
    assert (found["strategy"], found["reason"]) == ("priority", "in the order configured")
    azure, openai, mistral = found["targets"]
    assert azure["url"] == (
        "https://eu.openai.azure.com/openai/deployments/prod/chat/completions?api-version=2024-10-21"
    )
    assert azure["changes"] == [
        'model: "claude-sonnet" -> "prod"',
        'stream_options is added: {"include_usage":true}',
    ]
    assert openai["window"] == 400000
    assert mistral["changes"] == [
        'model: "claude-sonnet" -> "mistral-small"',
        "max_completion_tokens becomes max_tokens",
        "user is dropped: the vendor does not take it",
    ]
    assert found["settings"]["on_broken_stream"] == "resume"
    assert openai["settings"]["retries"] == 1  # the model's word is the last
    assert (openai["settings"]["timeouts"]["total"], azure["settings"]["timeouts"]["total"]) == (120.0, 600.0)


ELSEWHERE = """
providers:
  claude: {vendor: anthropic, api_key: anthropic-key-0123}
  google: {api_key: google-key-0123}
  copilot: {vendor: github_copilot}
models: {fast: [claude/claude-opus-5, google/gemini-2.5-flash, copilot/gpt-5-mini]}
"""


def test_what_is_written_anew_is_shown_as_it_is_sent(skein: Skein) -> None:
    body = request("fast", stream=True, seed=7, logit_bias={"1": 2})
    found = skein("explain", "-", "--json", config=ELSEWHERE, stdin=body).json
    claude, google, copilot = found["targets"]
    assert (claude["dialect"], claude["url"]) == ("anthropic_messages", "https://api.anthropic.com/v1/messages")
    assert claude["changes"][0] == "written anew as anthropic_messages"
    assert set(claude["dropped"]) == {"seed", "logit_bias"}
    assert (claude["body"]["model"], claude["body"]["stream"]) == ("claude-opus-5", True)
    assert google["url"].endswith("/models/gemini-2.5-flash:streamGenerateContent?alt=sse")
    assert google["body"]["generationConfig"]["seed"] == 7
    assert google["dropped"] == ["logit_bias"]
    assert (copilot["dropped"], copilot["headers"]["x-initiator"]) == ([], "user")
    lines = skein("explain", "-", config=ELSEWHERE, stdin=body).out.splitlines()
    assert "   left out, for want of words: seed, logit_bias" in lines
    assert '   model: "claude-opus-5"' in lines
    assert "   header x-initiator: user" in lines


def test_what_would_be_fetched_first_is_told_and_not_fetched(skein: Skein) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://nowhere.test/a.png"}}
    config = "providers: {bedrock: {region: us-east-1, api_key: a-key-0123456}}"
    body = json.dumps({"model": "bedrock/amazon.nova-lite-v1:0", "messages": [{"role": "user", "content": [image]}]})
    ran = skein("explain", "-", config=config, stdin=body.encode())
    assert "   https://nowhere.test/a.png is fetched first" in ran.out.splitlines()


def test_what_cannot_be_said_there_is_told(skein: Skein) -> None:
    body = json.dumps({"model": "claude/claude-opus-5", "messages": []}).encode()
    ran = skein("explain", "-", config=ELSEWHERE, stdin=body)
    assert (ran.code, "   it cannot be sent: " in ran.out) == (0, True)


def test_people_read_it_line_by_line(skein: Skein, tmp_path: Any) -> None:
    (tmp_path / "request.json").write_bytes(request("openai/gpt-5"))
    ran = skein("explain", "request.json", config=CONFIG)
    assert ran.code == 0
    assert ran.out.splitlines() == [
        'model "openai/gpt-5" is openai/gpt-5: provider/model',
        "direct: provider/model",
        "  rule  direct: the client named the target",
        "",
        "1. openai/gpt-5  (window 400000)",
        "   https://api.openai.com/v1/chat/completions",
        '   model: "openai/gpt-5" -> "gpt-5"',
        "   retries 5, max_wait 10s, timeouts connect 5s first_token 60s idle 60s total 120s, on_refused stop",
        "",
        "all targets together: max_attempts 6, on_broken_stream error, delivery live, keepalive 15s",
    ]


def test_the_conversation_decides_the_role_and_its_cap(skein: Skein) -> None:
    messages = [*MESSAGES, {"role": "assistant", "content": "done"}, *MESSAGES]
    body = json.dumps({"model": "coder", "messages": messages, "max_tokens": 5000}).encode()
    found = skein("explain", "-", "--json", config=CONFIG, stdin=body).json
    assert found["strategy"] == "lead_worker"
    assert found["reason"].startswith("role=worker; turn=2")
    assert [each["target"] for each in found["targets"]] == ["mistral/devstral", "openai/gpt-5"]
    assert (found["role"], found["rule"], found["kind"], found["turn"]) == ("worker", "worker_turns", "main", 2)
    assert "max_tokens: 5000 -> 100" in found["targets"][0]["changes"]
    assert not [change for change in found["targets"][1]["changes"] if "max_tokens" in change]


def test_the_rule_and_its_evidence_are_told_in_words(skein: Skein) -> None:
    def call(number: int) -> list[Any]:
        made = {"id": f"c{number}", "type": "function", "function": {"name": "shell", "arguments": "{}"}}
        failed = {"role": "tool", "tool_call_id": f"c{number}", "content": "Command exited with code 127"}
        return [{"role": "assistant", "content": None, "tool_calls": [made]}, failed]

    messages = [*MESSAGES, *call(1), *call(2), *call(3)]
    tools = [{"type": "function", "function": {"name": "shell"}}]
    body = json.dumps({"model": "coder", "messages": messages, "tools": tools}).encode()
    lines = skein("explain", "-", config=CONFIG, stdin=body).out.splitlines()
    assert lines[1].startswith("lead_worker: role=lead; turn=4")
    assert [" ".join(line.split()) for line in lines[2:6]] == [
        "rule tool_failures: tool calls of the worker failed",
        "evidence turn 2: shell: Command exited with code 127",
        "evidence turn 3: shell: Command exited with code 127",
        "request main, turn 4",
    ]


def test_what_kind_of_request_it_is_follows_from_its_words_and_headers(skein: Skein) -> None:
    title = [{"role": "system", "content": "Generate a short title (four words or less)."}, *MESSAGES]
    body = json.dumps({"model": "coder", "messages": title}).encode()
    found = skein("explain", "-", "--json", config=CONFIG, stdin=body).json
    assert (found["kind"], found["rule"], found["role"]) == ("aux", "auxiliary", "worker")
    header = ("--header", "x-claude-code-agent-id: a1")
    assert skein("explain", "-", *header, "--json", stdin=request("coder")).json["kind"] == "subagent"


def test_headers_pin_and_stop_the_failover(skein: Skein) -> None:
    headers = ("--header", "x-skein-model: fast", "--header", "X-Skein-No-Fallback: true")
    ran = skein("explain", "-", *headers, config=CONFIG, stdin=request("whatever"))
    assert 'model "fast" (x-skein-model) is fast' in ran.out
    assert "  left out  openai/gpt-5: x-skein-no-fallback" in ran.out.splitlines()
    found = skein("explain", "-", *headers, "--json", stdin=request("whatever")).json
    assert [each["target"] for each in found["left_out"]] == ["openai/gpt-5", "mistral/mistral-small"]


def test_a_target_that_cannot_is_left_out_and_why(skein: Skein) -> None:
    body = json.dumps({"model": "texts", "input": "hello"}).encode()
    found = skein("explain", "-", "--json", config=CONFIG, stdin=body).json
    assert found["dialect"] == "openai_embeddings"
    assert [each["target"] for each in found["targets"]] == ["openai/text-embedding-3-small"]
    assert found["left_out"] == [{"target": "deepseek/d", "reason": "its vendor has no embeddings"}]


def test_a_draw_is_called_one(skein: Skein) -> None:
    assert "weighted draws anew" in skein("explain", "-", config=CONFIG, stdin=request("drawn")).err


def test_an_unknown_model_is_told_with_what_is_near(skein: Skein) -> None:
    ran = skein("explain", "-", config=CONFIG, stdin=request("fasst"))
    assert (ran.code, ran.out) == (1, "")
    assert 'there is no model "fasst" here; the nearest are fast' in ran.err
    shown = skein("explain", "-", "--json", stdin=request("fasst"))
    assert (shown.code, shown.json["error"]["code"]) == (1, "model_not_found")


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model": 3}', b"\xff", b""])
def test_a_body_that_is_no_request_is_usage(skein: Skein, body: bytes) -> None:
    ran = skein("explain", "-", config=CONFIG, stdin=body)
    assert (ran.code, ran.out) == (2, "")
    assert "400" in ran.err


@pytest.mark.parametrize(
    "words", [("nowhere.json",), ("-", "--header", "sk-oops-a-key"), ("-", "--header", "x-skein-timeout: soon")]
)
def test_a_wrong_command_is_usage(skein: Skein, words: tuple[str, ...]) -> None:
    ran = skein("explain", *words, config=CONFIG, stdin=request("fast"))
    assert ran.code == 2
    assert "1 problem in the command" in ran.err
    assert "sk-oops-a-key" not in ran.err


KEYS = "\naccess: {mode: keys, keys: [{name: ci, key: key-of-ci-0123, models: [drawn]}]}\n"


def test_the_callers_key_is_looked_at(skein: Skein) -> None:
    def ran(model: str, *headers: str) -> Any:
        words = [word for header in headers for word in ("--header", header)]
        return skein("explain", "-", *words, config=CONFIG + KEYS, stdin=request(model))

    assert "no key was given" in ran("fast").err
    assert ran("drawn", "Authorization: Bearer key-of-ci-0123").code == 0
    refused = ran("fast", "Authorization: Bearer key-of-ci-0123")
    assert (refused.code, "403 model_not_allowed" in refused.err) == (1, True)
    stranger = ran("fast", "api-key: someone-else")
    assert (stranger.code, "401" in stranger.err, "someone-else" in stranger.err) == (1, True, False)


# A request that was made

KEYED = "access: {mode: keys, keys: [{name: ci, key: key-of-ci-0123}], admin_key: admin-key-0123}\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway("providers: {simulator: {vendor: simulator}}\n" + KEYED) as gateway:
        gateway.runtime.service.live = told().live
        yield gateway


def at(gateway: RunningGateway) -> str:
    """The configuration of whoever asks: where the gateway is."""
    return f"server: {{host: 0.0.0.0, port: {gateway.url.rpartition(':')[2]}}}\n{KEYED}"


def test_a_request_that_was_made_is_told(skein: Skein, gateway: RunningGateway) -> None:
    ran = skein("explain", "req-7", config=at(gateway))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == "req-7  ok 200 in 2.00s, first output after 1.50s"
    assert "\x1b" not in ran.out
    shown = skein("explain", "req-7", "--json", "--url", f"{gateway.base_url}/").json
    assert [step["step"] for step in shown["waterfall"]].count("attempt") == 3


def test_a_file_of_that_name_comes_first(skein: Skein, gateway: RunningGateway, tmp_path: Any) -> None:
    (tmp_path / "req-7").write_bytes(request("openai/gpt-5"))
    ran = skein("explain", "req-7", config=CONFIG)
    assert ran.out.startswith('model "openai/gpt-5" is')
    assert skein("explain", "req-7", "--url", gateway.url).out.startswith("req-7  ok")


def test_a_request_nobody_knows(skein: Skein, gateway: RunningGateway) -> None:
    ran = skein("explain", "req-none", config=at(gateway))
    assert (ran.code, ran.out) == (1, "")
    assert 'there is no request "req-none"' in ran.err
    shown = skein("explain", "req-none", "--json", "--url", gateway.url)
    assert (shown.code, shown.json["error"]["code"], shown.json["error"]["status"]) == (1, "request_not_found", 404)


def test_nobody_is_there(skein: Skein) -> None:
    with socket.socket() as bound:  # bound, but it does not listen
        bound.bind(("127.0.0.1", 0))
        ran = skein("explain", "req-7", config=f"server: {{port: {bound.getsockname()[1]}}}")
        assert (ran.code, ran.out) == (1, "")
        assert "no gateway answers at http://127.0.0.1:" in ran.err
        assert "there is no file req-7" in ran.err
        shown = skein("explain", "req-7", "--json", "--url", f"127.0.0.1:{bound.getsockname()[1]}")
    assert (shown.code, shown.json["error"]["code"], shown.json["error"]["status"]) == (1, "unreachable", None)


def test_something_else_is_there(skein: Skein, vendor: ScriptedVendor) -> None:
    ran = skein("explain", "req-7", "--url", vendor.base_url)
    assert (ran.code, "is no gateway" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "env", "sent"),
    [
        (("--admin-key", "of-the-command"), {"SKEIN_ADMIN_KEY": "of-the-shell"}, "Bearer of-the-command"),
        ((), {"SKEIN_ADMIN_KEY": "of-the-shell"}, "Bearer of-the-shell"),
        ((), {}, None),
    ],
)
def test_the_key_that_is_sent(
    skein: Skein, vendor: ScriptedVendor, words: tuple[str, ...], env: dict[str, str], sent: str | None
) -> None:
    """The configured key does not go to another address."""
    skein("explain", "req-7", "--url", vendor.base_url, *words, config=KEYED, env=env)
    assert vendor.received[-1].headers.get("authorization") == sent


def test_whoever_may_not_look_is_told_how(skein: Skein, gateway: RunningGateway, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateway.api.guard.is_here", lambda scope, headers: False)
    ran = skein("explain", "req-7", "--url", gateway.url, "--admin-key", "wrong-key-0123")
    assert (ran.code, "access.admin_key" in ran.err, "wrong-key" in ran.err) == (1, True, False)
    assert skein("explain", "req-7", "--url", gateway.url, "--admin-key", "admin-key-0123").code == 0
    assert skein("explain", "req-7", config=at(gateway)).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("req-7", "--header", "x-skein-model: fast"),
        ("req-7", "--url", "ftp://here"),
        ("req-7", "--url", "http://here:port"),
        ("req-7", "--url", "http://here", "--admin-key", "schlüssel"),
    ],
)
def test_a_wrong_question_is_usage(skein: Skein, words: tuple[str, ...]) -> None:
    ran = skein("explain", *words, config=CONFIG)
    assert (ran.code, "1 problem in the command" in ran.err, "schlüssel" in ran.err) == (2, True, False)


def test_where_it_is_has_to_be_known(skein: Skein) -> None:
    assert "--url" in skein("explain", "req-7", config="server: {port: 0}").err


# --- in whatever dialect the client speaks

ANY_FRONT = (
    ELSEWHERE
    + """
aliases: {"claude-*": fast, "gpt-*": fast, "m": fast, "qwen*": fast}
"""
)
RECORDED = sorted(path for path in ROOT.glob("*/*.request.json") if path.parent.name in DIALECTS)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_a_body_is_written_in_is_seen(path: Path) -> None:
    """Or it is taken for what most clients speak, where it says no more than they do."""
    guessed = spoken_as(path.read_bytes(), None, None).dialect.NAME
    assert guessed == path.parent.name or path.stem.removesuffix(".request") in NOTHING_OF_THEIR_OWN, guessed


NOTHING_OF_THEIR_OWN = ("plain", "text_alone")


BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "Gemini": ({"contents": [{"parts": [{"text": "hi"}]}]}, "gemini"),
    "Gemini, to be embedded": ({"content": {"parts": [{"text": "hi"}]}}, "gemini_embedding"),
    "Gemini, several to be embedded": ({"requests": []}, "gemini_embeddings"),
    "Messages, instructed": ({"system": "Be brief.", "messages": MESSAGES}, "anthropic_messages"),
    "Messages, with tools": (
        {"messages": MESSAGES, "tools": [{"name": "x", "input_schema": {}}]},
        "anthropic_messages",
    ),
    "chat": ({"messages": MESSAGES}, "openai_chat"),
    "chat that tells of a schema": (
        {"messages": [{"role": "user", "content": 'What is {"input_schema": {}}?'}]},
        "openai_chat",
    ),
    "chat of Ollama's": ({"messages": MESSAGES, "options": {"num_ctx": 5}}, "ollama_chat"),
    "Responses": ({"instructions": "Be brief.", "input": "hi"}, "openai_responses"),
    "Responses, a conversation": ({"input": MESSAGES}, "openai_responses"),
    "texts to be embedded": ({"input": ["hi"]}, "openai_embeddings"),
    "a prompt": ({"prompt": "hi"}, "openai_completions"),
    "a prompt of Ollama's": ({"prompt": "hi", "system": "Be brief."}, "ollama_generate"),
    "nothing of anybody's": ({}, "openai_chat"),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_dialect_is_known_by_its_fields(what: str) -> None:
    body, dialect = BODIES[what]
    assert dialect == spoken_as(json.dumps(body).encode(), None, None).dialect.NAME


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_body_is_taken_for_chat(body: bytes) -> None:
    assert spoken_as(body, None, None).dialect.NAME == "openai_chat"


def test_the_path_says_what_is_spoken_to_whom_and_how(skein: Skein) -> None:
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}).encode()
    path = "/v1beta/models/fast:streamGenerateContent?alt=sse"
    found = skein("explain", "-", "--json", "--path", path, config=ELSEWHERE, stdin=body).json
    assert (found["dialect"], found["model"]["asked"]) == ("gemini", "fast")
    claude, google, _ = found["targets"]
    assert claude["body"]["stream"] is True
    assert google["url"].endswith("/models/gemini-2.5-flash:streamGenerateContent?alt=sse")
    assert google["changes"] == []


def test_a_request_of_claude_codes_is_explained(skein: Skein) -> None:
    body = (ROOT / "anthropic_messages" / "claude_code.request.json").read_bytes()
    found = skein("explain", "-", "--json", config=ANY_FRONT, stdin=body).json
    assert found["dialect"] == "anthropic_messages"
    claude, google, copilot = found["targets"]
    assert (claude["dialect"], claude["dropped"]) == ("anthropic_messages", [])
    assert [each["dialect"] for each in (google, copilot)] == ["gemini", "openai_chat"]
    assert "metadata.user_id" in google["dropped"]
    named = skein("explain", "-", "--json", "--as", "anthropic_messages", config=ANY_FRONT, stdin=body).json
    assert named == found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_of_clients_can_be_explained(dialect: str, skein: Skein) -> None:
    assert dialect in {front.dialect for front in FRONTS.values()}
    made = skein("explain", "-", "--json", "--as", dialect, config=ELSEWHERE, stdin=EVERYTHING)
    assert made.code == 0, made.err
    assert made.json["dialect"] == dialect
    assert made.json["targets"]


def test_who_does_not_count_tokens_is_not_asked(skein: Skein) -> None:
    made = skein("explain", "-", "--path", "/v1/messages/count_tokens", config=ELSEWHERE, stdin=EVERYTHING)
    claude, google, copilot = made.out.split("\n\n")[1:4]
    assert "/v1/messages/count_tokens" in claude
    assert ":countTokens" in google
    assert "http" not in copilot
    assert "it is not asked: it does not count" in copilot


EVERYTHING = json.dumps(
    {
        "model": "fast",
        "max_tokens": 9,
        "messages": MESSAGES,
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "content": {"parts": [{"text": "hi"}]},
        "input": "hi",
        "prompt": "hi",
    }
).encode()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--as", "anthropic"), "--as: is no dialect of clients"),
        (("--path", "/v1/modles"), "--path: is not where requests to models are sent"),
        (("--path", "/metrics"), "--path: is not where requests to models are sent"),
        (("--path", "/v1/messages", "--as", "gemini"), "not allowed with argument"),
    ],
)
def test_what_is_no_dialect_is_told(options: tuple[str, ...], said: str, skein: Skein) -> None:
    told = skein("explain", "-", *options, config=ELSEWHERE, stdin=b"{}")
    assert told.code == 2
    assert said in told.err
