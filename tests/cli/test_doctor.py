"""``skein doctor``: each thing on its own, the usual mistake by its name, and never a secret."""

from __future__ import annotations

import json
import re
import shlex
import socketserver
import subprocess
import threading
import time
from typing import Any

import pytest

from tests.cli.conftest import Ran, Skein
from tests.scripted import (
    Answer,
    NoFinish,
    Received,
    ScriptedVendor,
    Silent,
    Status,
    Step,
    ToolCall,
    html_as_200,
    out_of_credit,
    refusing,
)

KEY = "sk-proj-very-secret-0123456789"
TOOL = Answer(tool_calls=(ToolCall("current_time", {"city": "Paris"}),))
CONFIG = """
providers:
  one: {{vendor: openai_compatible, base_url: "{url}/v1", api_key: "${{ONE_KEY}}", headers: {{x-team: "${{TEAM}}"}}}}
models: {{fast: [one/gpt-4.1]}}
"""
ENV = {"ONE_KEY": KEY, "TEAM": "a-secret-team"}


def behave(call: Received) -> Step | None:
    return TOOL if "tools" in call.fields else None


def visit(skein: Skein, vendor: ScriptedVendor, *words: str, config: str = CONFIG) -> Ran:
    ran = skein("doctor", *words, "--json", config=config.format(url=vendor.url), env=ENV)
    assert not [secret for secret in ENV.values() if secret in ran.out + ran.err]
    return ran


def by_test(ran: Ran) -> dict[str, Any]:
    return {each["test"]: each for each in ran.json}


def test_a_good_provider_passes_each_test(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.decide = behave
    ran = visit(skein, vendor)
    assert ran.code == 0
    found = by_test(ran)
    assert {name: each["outcome"] for name, each in found.items()} == dict.fromkeys(
        ("listing", "chat", "stream", "tools"), "ok"
    )
    assert found["listing"]["url"] == f"{vendor.url}/v1/models"
    assert found["chat"]["url"] == f"{vendor.url}/v1/chat/completions"
    assert {each["status"] for each in ran.json} == {200}
    assert found["stream"]["first_output"] <= found["stream"]["seconds"] < 5
    assert [call.stream for call in vendor.received] == [False, True, False]
    assert {call.model for call in vendor.received} == {"gpt-4.1"}
    assert {call.fields["max_completion_tokens"] for call in vendor.received} == {512}
    assert {call.headers["x-team"] for call in (*vendor.received, *vendor.listed)} == {"a-secret-team"}


def test_people_get_lines_and_a_command_to_repeat_each(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.script(Status(401))
    ran = skein("doctor", config=CONFIG.format(url=vendor.url), env=ENV)
    assert ran.code == 1
    assert ran.out.startswith("one: An OpenAI-compatible server, Authorization: Bearer **** ($ONE_KEY)\n")
    assert re.search(rf"^  ok +listing  200 in \d+ ms: GET {vendor.url}/v1/models$", ran.out, re.M)
    assert re.search(r"^  FAILED +chat +401 in \d+ ms: POST .*\(gpt-4\.1\)$", ran.out, re.M)
    assert "-> the key is not known" in ran.out
    assert ran.err == "broken: one\n"


def test_the_curl_line_repeats_the_call(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.decide = behave
    found = by_test(visit(skein, vendor))
    for each in found.values():
        assert '-H "x-team: $TEAM" -H "Authorization: Bearer $ONE_KEY"' in each["curl"]
    sent = {call.stream: call for call in vendor.received if "tools" not in call.fields}[True]
    words = shlex.split(found["stream"]["curl"])
    assert json.loads(words[words.index("-d") + 1]) == sent.json
    vendor.forget()
    told = subprocess.run(
        ["sh", "-c", found["chat"]["curl"]], env={"PATH": "/usr/bin:/bin", **ENV}, capture_output=True
    )
    if told.returncode != 127:  # curl is there
        assert json.loads(told.stdout)["choices"]
        assert vendor.received[0].headers["authorization"] == f"Bearer {KEY}"


def of_anthropic(call: Received) -> Step:
    """Whole and streamed answers of Anthropic's; a tool call where a tool is given."""
    usage = {"input_tokens": 3, "output_tokens": 1}
    block = {"type": "text", "text": "ok"}
    if "tools" in call.fields:
        block = {"type": "tool_use", "id": "t1", "name": "current_time", "input": {"city": "Paris"}}
    stop = "tool_use" if "tools" in call.fields else "end_turn"
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": usage}
    if not call.stream:
        return Status(200, {**message, "content": [block], "stop_reason": stop})
    told = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage},
        {"type": "message_stop"},
    ]
    body = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in told)
    return Status(200, body, {"content-type": "text/event-stream"})


CLAUDE = """
providers: {{claude: {{vendor: anthropic, base_url: "{url}", api_key: "${{ONE_KEY}}", models: [claude-opus-5]}}}}
"""


def test_a_vendor_is_asked_in_its_own_language(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.decide = of_anthropic
    ran = visit(skein, vendor, config=CLAUDE)
    found = by_test(ran)
    assert {name: (each["outcome"], each["message"]) for name, each in found.items()} == dict.fromkeys(
        ("listing", "chat", "stream", "tools"), ("ok", "")
    )
    assert found["chat"]["url"] == f"{vendor.url}/v1/messages"
    assert found["stream"]["first_output"] is not None
    assert {call.headers["x-api-key"] for call in (*vendor.received, *vendor.listed)} == {KEY}
    assert vendor.received[0].fields["max_tokens"] == 512
    version = vendor.received[0].headers["anthropic-version"]
    assert f'-H "anthropic-version: {version}" -H "x-api-key: $ONE_KEY"' in found["chat"]["curl"]
    vendor.decide = lambda call: Status(
        400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    )
    assert by_test(visit(skein, vendor, config=CLAUDE))["chat"]["mistake"] == "request_refused"


def test_what_curl_has_to_sign_it_signs(skein: Skein, vendor: ScriptedVendor) -> None:
    config = """
providers:
  aws:
    vendor: bedrock
    base_url: "{url}"
    region: eu-west-1
    access_key_id: AKIAABCDEFGHIJKLMNOP
    secret_access_key: "${{ONE_KEY}}"
    models: [amazon.nova-lite-v1:0]
"""
    chat = by_test(visit(skein, vendor, config=config))["chat"]
    assert chat["url"] == f"{vendor.url}/model/amazon.nova-lite-v1%3A0/converse"
    assert '--aws-sigv4 "aws:amz:eu-west-1:bedrock" --user "$AWS_ACCESS_KEY_ID:$ONE_KEY"' in chat["curl"]
    assert vendor.received[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAABCDEFGHIJKLMNOP/")


def test_a_listing_that_fails_is_only_a_warning(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.decide, vendor.listing = behave, Status(404)
    ran = visit(skein, vendor)
    assert (ran.code, by_test(ran)["listing"]["outcome"]) == (0, "warning")
    assert by_test(ran)["listing"]["mistake"] == "endpoint_missing"


FAILURES: dict[str, tuple[Step, str, str]] = {
    "401": (Status(401), "bad_credentials", "key_unknown"),
    "403": (Status(403), "bad_credentials", "key_refused"),
    "404": (Status(404), "model_missing", "model_missing"),
    "429": (Status(429), "rate_limited", "rate_limited"),
    "quota": (out_of_credit(), "out_of_credit", "no_credit"),
    "503": (Status(503), "overloaded", "vendor_down"),
    "html": (html_as_200(), "garbled", "web_page"),
    "redirect": (Status(307, "", {"location": "https://elsewhere/v1"}), "garbled", "redirected"),
    "silent": (Silent("before_head"), "timeout_first_token", "too_slow"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_fails_is_named(skein: Skein, vendor: ScriptedVendor, name: str) -> None:
    step, fault, mistake = FAILURES[name]
    vendor.script(step)
    vendor.otherwise = TOOL
    timeout = "1s" if name == "silent" else "20s"
    ran = visit(skein, vendor, "--timeout", timeout)
    assert ran.code == 1
    chat = by_test(ran)["chat"]
    assert (chat["outcome"], chat["mistake"]) == ("failed", mistake)
    assert chat["fault"] == fault or name == "silent"
    assert chat["remedy"]
    assert by_test(ran)["stream"]["outcome"] == "ok"


def test_a_stream_alone_can_be_broken(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.decide = lambda call: NoFinish() if call.stream else behave(call)
    ran = visit(skein, vendor)
    found = by_test(ran)
    assert (ran.code, found["chat"]["outcome"], found["stream"]["mistake"]) == (1, "ok", "stream_cut")
    vendor.decide = lambda call: Answer(stream=False) if call.stream else behave(call)
    assert by_test(visit(skein, vendor))["stream"]["mistake"] == "stream_not_offered"


TOOL_TROUBLE: dict[str, tuple[Step, str]] = {
    "in words": (Answer("It is noon."), "did not call the tool"),
    "another": (Answer(tool_calls=(ToolCall("shell", {}),)), "a tool that does not exist"),
    "no object": (Answer(tool_calls=(ToolCall("current_time", "Paris"),)), "not a JSON object"),
}


@pytest.mark.parametrize("name", TOOL_TROUBLE)
def test_a_tool_call_that_fails_is_broken_for_agents(skein: Skein, vendor: ScriptedVendor, name: str) -> None:
    step, said = TOOL_TROUBLE[name]
    vendor.decide = lambda call: step if "tools" in call.fields else None
    ran = visit(skein, vendor)
    found = by_test(ran)
    assert (ran.code, found["stream"]["outcome"], found["tools"]["outcome"]) == (1, "ok", "failed")
    assert said in found["tools"]["message"]
    assert found["tools"]["mistake"] == "tool_not_called"


def test_an_older_server_is_asked_by_the_older_name(skein: Skein, vendor: ScriptedVendor) -> None:
    refusal = Status(400, {"error": {"message": "Unrecognized request argument: max_completion_tokens"}})
    vendor.decide = lambda call: refusal if "max_completion_tokens" in call.fields else behave(call)
    assert visit(skein, vendor).code == 0
    assert {call.fields["max_tokens"] for call in vendor.received[1::2]} == {512}


def test_a_key_that_is_echoed_in_part_is_blotted_out(skein: Skein, vendor: ScriptedVendor) -> None:
    said = f"Incorrect API key provided: {KEY[:8]}********{KEY[-4:]}. Team a-secret-team."
    vendor.otherwise = Status(401, {"error": {"message": said}})
    message = by_test(visit(skein, vendor))["chat"]["message"]
    assert re.fullmatch(r"Incorrect API key provided: \*+ Team \*+\.", message)


# --- which provider, which model

TWO = """
providers:
  one: {{vendor: openai_compatible, base_url: "{url}/one/v1", models: [first, second]}}
  two: {{vendor: openai_compatible, base_url: "{url}/two/v1"}}
"""


def asked(vendor: ScriptedVendor) -> set[tuple[str, str]]:
    return {(call.path.split("/")[1], call.model) for call in vendor.received}


def test_models_are_found_in_the_configuration_then_in_the_listing(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.decide, vendor.models = behave, ("whisper-1", "text-embedding-3", "llama")
    assert visit(skein, vendor, config=TWO).code == 0
    assert asked(vendor) == {("one", "first"), ("two", "llama")}
    vendor.wait_until(lambda each: not each.open_connections)
    vendor.forget()
    visit(skein, vendor, config=TWO + "models: {{m: [one/used, two/too]}}")
    assert asked(vendor) == {("one", "used"), ("two", "too")}


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (("--model", "second"), {("one", "second")}),
        (("--model", "x", "--provider", "one", "two"), {("one", "x"), ("two", "x")}),
        (("--model", "one/x"), {("one", "x")}),
        (("--model", "m"), {("two", "too")}),
        (("--provider", "two", "--model", "first"), {("two", "first")}),
        (("--provider", "one"), {("one", "first")}),
        (("--provider", "one", "two", "--model", "y"), {("one", "y"), ("two", "y")}),
    ],
)
def test_what_is_asked_for(skein: Skein, vendor: ScriptedVendor, words: tuple[str, ...], calls: set[Any]) -> None:
    vendor.decide = behave
    config = TWO if words[0] == "--provider" and len(words) == 2 else TWO + "models: {{m: [two/too]}}"
    assert visit(skein, vendor, *words, config=config).code == 0
    assert asked(vendor) == calls


def test_a_model_nobody_is_known_to_have_is_asked_for_nowhere(skein: Skein, vendor: ScriptedVendor) -> None:
    ran = skein("doctor", "--model", "x", config=TWO.format(url=vendor.url))
    assert ran.code == 2
    assert '--model: no model "x" here' in ran.err
    assert "--model PROVIDER/x" in ran.err
    assert not vendor.received


@pytest.mark.parametrize("models", ["[m]", "[]"])
def test_silence_is_waited_for_once(skein: Skein, vendor: ScriptedVendor, models: str) -> None:
    vendor.otherwise = vendor.listing = Silent("before_head")
    bare = f'providers: {{{{one: {{{{vendor: openai_compatible, base_url: "{{url}}/v1", models: {models}}}}}}}}}'
    began = time.monotonic()
    ran = visit(skein, vendor, "--timeout", "0.5s", config=bare)
    assert time.monotonic() - began < 1.0
    assert (ran.code, [each["outcome"] for each in ran.json][2:]) == (1, ["skipped", "skipped"])
    assert by_test(ran)["tools"]["message"] == "nothing answers there"


def test_a_key_in_the_file_gets_a_variable_that_is_introduced(skein: Skein, vendor: ScriptedVendor) -> None:
    vendor.decide = behave
    config = f'providers: {{one: {{vendor: openai_compatible, base_url: "{vendor.url}/v1", api_key: {KEY}}}}}'
    ran = skein("doctor", "--model", "m", config=config)
    assert ran.out.count("# ONE_API_KEY: the key of provider one\n") == 1
    assert "Bearer **** (in the file)" in ran.out
    assert '-H "Authorization: Bearer $ONE_API_KEY"' in ran.out
    told = skein("doctor", "--model", "m", "--json", config=config)
    assert by_test(told)["chat"]["curl"].startswith("# ONE_API_KEY: the key of provider one\ncurl ")


def test_without_a_model_the_rest_is_skipped_but_the_door_is_tried(skein: Skein, vendor: ScriptedVendor) -> None:
    bare = 'providers: {{one: {{vendor: openai_compatible, base_url: "{url}/v1", api_key: "${{ONE_KEY}}"}}}}'
    vendor.listing, vendor.otherwise = Status(403), Status(404)
    ran = visit(skein, vendor, config=bare)
    assert (ran.code, [each["outcome"] for each in ran.json]) == (0, ["warning", "skipped", "skipped", "skipped"])
    assert "--model" in by_test(ran)["chat"]["message"]
    vendor.otherwise = Status(401)
    ran = visit(skein, vendor, config=bare)
    assert (ran.code, [each["outcome"] for each in ran.json]) == (1, ["warning", "failed", "skipped", "skipped"])


def test_azure_is_called_at_its_deployment(skein: Skein, vendor: ScriptedVendor) -> None:
    azure = """
providers:
  one:
    vendor: azure_openai
    endpoint: "{url}"
    api_key: "${{ONE_KEY}}"
    api_version: "2024-10-21"
    deployments: {{gpt-4.1: prod}}
"""
    vendor.decide = behave
    ran = visit(skein, vendor, config=azure)
    assert ran.code == 0
    url = f"{vendor.url}/openai/deployments/prod/chat/completions?api-version=2024-10-21"
    assert by_test(ran)["chat"]["url"] == url
    assert '-H "api-key: $ONE_KEY"' in by_test(ran)["chat"]["curl"]
    vendor.decide = lambda call: Status(404, {"error": {"code": "DeploymentNotFound", "message": "no such thing"}})
    assert by_test(visit(skein, vendor, config=azure))["chat"]["mistake"] == "azure_deployment"


def test_nobody_at_home(skein: Skein) -> None:
    with refusing() as dead:
        config = f'providers: {{ollama: {{base_url: "{dead}"}}}}'
        ran = skein("doctor", "--json", config=config)
    chat = by_test(ran)["chat"]
    assert (ran.code, chat["fault"], chat["mistake"]) == (1, "unreachable", "not_running")
    assert "`ollama serve`" in chat["remedy"]
    assert "11434" in chat["remedy"]


def test_a_host_without_an_address(skein: Skein) -> None:
    config = 'providers: {x: {vendor: openai_compatible, base_url: "https://no-such-host.invalid/v1"}}'
    ran = skein("doctor", "--json", config=config)
    assert {each["mistake"] for each in ran.json if each["outcome"] == "failed"} == {"host_unknown"}


class Plain(socketserver.BaseRequestHandler):
    """Answers TLS as web servers do."""

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_tls_where_none_is_spoken(skein: Skein) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Plain) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        base = f"https://127.0.0.1:{server.server_address[1]}/v1"
        ran = skein(
            "doctor",
            "--json",
            config=f'providers: {{x: {{vendor: openai_compatible, base_url: "{base}", models: [m]}}}}',
        )
        server.shutdown()
    assert by_test(ran)["chat"]["mistake"] == "tls_not_spoken"


def test_a_fresh_machine_is_well(skein: Skein) -> None:
    ran = skein("doctor")
    assert ran.code == 0
    assert "simulator: Simulator, no key" in ran.out
    assert "curl" not in ran.out


@pytest.mark.parametrize("words", [("--provider", "openia"), ("--timeout", "soon"), ("--timeout", "0")])
def test_a_wrong_command_is_usage(skein: Skein, words: tuple[str, ...]) -> None:
    ran = skein("doctor", *words, config="providers: {openai: {api_key: sk-0123456789}}")
    assert (ran.code, ran.out) == (2, "")
    assert f"{words[0]}: " in ran.err
