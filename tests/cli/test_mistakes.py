"""The table of usual mistakes: a row of evidence for every row of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.mistakes import KEYS, MISTAKES, Evidence, mistake
from gateway.errors import FaultKind
from gateway.vendors import VENDORS

OPENAI = "https://api.openai.com/v1/chat/completions"
AZURE = "https://eu.openai.azure.com/openai/deployments/gpt-5/chat/completions"
LOCAL = "http://localhost:11434/v1/chat/completions"
K = FaultKind
NETWORK: dict[str, Any] = {"kind": K.UNREACHABLE}
DENIED: dict[str, Any] = {"kind": K.BAD_CREDENTIALS, "status": 401}


def of(vendor: str, **more: Any) -> dict[str, Any]:
    return {"vendor": VENDORS[vendor], **more}


def azure(**more: Any) -> dict[str, Any]:
    return {"vendor": VENDORS["azure_openai"], "url": AZURE, **more}


# What came back, which mistake that is, and a word of the remedy.
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({**NETWORK, "said": "[Errno -2] Name or service not known"}, "host_unknown", "api.openai.com has no address"),
    ({**NETWORK, "said": "[Errno 8] nodename nor servname provided, or not known"}, "host_unknown", "base_url"),
    ({**NETWORK, "said": "[SSL: WRONG_VERSION_NUMBER] wrong version number"}, "tls_not_spoken", "http://"),
    ({**NETWORK, "said": "[SSL: CERTIFICATE_VERIFY_FAILED] certificate"}, "tls_untrusted", "SSL_CERT_FILE"),
    ({**NETWORK, "said": "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] handshake"}, "tls_failed", "api.openai.com:443"),
    ({**NETWORK, "said": "All connection attempts failed", "url": LOCAL, "vendor": VENDORS["ollama"]}, "not_running",
     "nothing listens on localhost:11434: start it with `ollama serve`; by default it is on port 11434"),
    ({**NETWORK, "said": "[Errno 111] Connection refused"}, "port_closed", "api.openai.com:443"),
    ({**NETWORK, "said": "407 Proxy Authentication Required"}, "proxy_refused", "HTTPS_PROXY"),
    ({**NETWORK, "said": "Server disconnected without sending a response."}, "cut_off", "cut before an answer"),
    ({"kind": K.TIMEOUT_CONNECT}, "no_connection", "firewall"),
    ({"kind": K.TIMEOUT_FIRST_TOKEN}, "too_slow", "--timeout"),
    ({"kind": K.GARBLED, "status": 301, "location": "https://x/v1"}, "redirected", "https://x/v1"),
    ({"kind": K.MODEL_MISSING, "status": 404, "url": "http://h/v1/v1/chat/completions"}, "doubled_version", "twice"),
    ({"kind": K.GARBLED, "status": 200, "content_type": "text/html"}, "web_page", "/v1"),
    ({"kind": K.MODEL_MISSING, "status": 404, "said": "<!DOCTYPE html><html>"}, "web_page", "web page"),
    ({"kind": K.SERVER_ERROR, "status": 502, "content_type": "text/html"}, "proxy_in_front", "api.openai.com"),
    (azure(kind=K.MODEL_MISSING, status=404, code="DeploymentNotFound"), "azure_deployment",
     "providers.mine.deployments: {gpt-5: NAME-OF-THE-DEPLOYMENT}"),
    (azure(kind=K.MODEL_MISSING, status=404, said="Resource not found"), "azure_path", "api_version"),
    (azure(kind=K.BAD_REQUEST, status=400, said="Missing query parameter: api-version"), "azure_version", "v1"),
    (azure(with_entra=True, **DENIED), "azure_role", "Cognitive Services OpenAI User"),
    (azure(**DENIED), "azure_key", "another resource"),
    (azure(kind=K.BAD_CREDENTIALS, status=403, said="Public access is disabled."), "azure_network", "networks"),
    (azure(kind=K.BAD_CREDENTIALS, said="no Entra token"), "entra_sign_in", "az login"),
    (azure(kind=K.BAD_CREDENTIALS, said="azure-identity is not installed: pip install"), "package_missing",
     "pip install -e '.[azure]'"),
    (of("vertex", kind=K.BAD_CREDENTIALS, said="google-auth is not installed: pip install"), "package_missing",
     "pip install 'skein-gateway[google]'"),
    (of("vertex", kind=K.BAD_CREDENTIALS, said="no Google token"), "google_sign_in", "providers.mine.credentials_file"),
    (of("bedrock", kind=K.BAD_CREDENTIALS, said="no AWS token"), "aws_sign_in", "aws sso login"),
    (of("github_copilot", kind=K.BAD_CREDENTIALS), "github_sign_in", "skein login github_copilot"),
    (of("databricks", kind=K.BAD_CREDENTIALS), "databricks_sign_in", "providers.mine.client_id"),
    (of("bedrock", **DENIED, said="Signature expired: 20261121T1 is now earlier"), "aws_clock", "clock"),
    (of("bedrock", **DENIED, said="Credential should be scoped to a valid region."), "aws_region", "region"),
    (of("bedrock", kind=K.BAD_CREDENTIALS, status=403, said="not authorized to perform"), "aws_right", "InvokeModel"),
    (of("bedrock", kind=K.BAD_CREDENTIALS, status=403, key="ABSKx"), "key_refused", "right"),
    (of("vertex", kind=K.BAD_CREDENTIALS, status=403, said="PERMISSION_DENIED"), "google_right", "Vertex AI User"),
    (of("bedrock", kind=K.BAD_REQUEST, status=400, model="x.y-v1:0", said="with on-demand throughput isn’t supported"),
     "bedrock_profile", "us.x.y-v1:0"),
    ({**DENIED, "signs_in": False}, "no_key", "providers.mine.api_key"),
    ({**DENIED, "key": "gsk_abcdef"}, "key_of_another_vendor", "one of Groq: give mine the one of OpenAI"),
    ({**DENIED, "key": "sk-or-v1-abcdef"}, "key_of_another_vendor", "OpenRouter"),
    ({**DENIED, "key": "sk-ant-abcdef"}, "key_of_another_vendor", "Anthropic"),
    ({**DENIED, "key": "sk-proj-abcdef"}, "key_unknown", "revoked"),
    ({"kind": K.BAD_CREDENTIALS, "status": 403, "key": "sk-x"}, "key_refused", "project"),
    ({"kind": K.OUT_OF_CREDIT, "status": 429}, "no_credit", "no waiting helps"),
    ({"kind": K.RATE_LIMITED, "status": 429, "retry_after": 6.5}, "rate_limited", "wait 6.5 s"),
    ({"kind": K.MODEL_MISSING, "status": 404, "url": "http://h/api/chat/completions", "said": "Not Found"},
     "endpoint_missing", "most bases end in /v1"),
    ({"kind": K.MODEL_MISSING, "status": 404, "said": "Not Found"}, "endpoint_missing", "compare"),
    ({"kind": K.MODEL_MISSING, "status": 404, "said": "The model `gpt-5` does not exist", "listed": ("gpt-5-mini",)},
     "model_missing", "it lists gpt-5-mini"),
    ({"kind": K.BAD_REQUEST, "status": 400, "test": "tools", "said": '"auto" requires --enable-auto-tool-choice'},
     "vllm_tools", "--tool-call-parser"),
    ({"kind": K.BAD_REQUEST, "status": 400, "test": "tools", "said": "m does not support tools"},
     "tools_unsupported", "takes no tools"),
    ({"status": 200, "test": "tools", "said": "the model did not call the tool"}, "tool_not_called", "agents"),
    ({"kind": K.CONTEXT_TOO_LONG, "status": 400}, "window_too_small", "num_ctx"),
    ({"kind": K.REFUSED, "status": 400}, "content_refused", "filter"),
    ({"kind": K.GARBLED, "status": 200, "test": "stream", "code": "truncated"}, "stream_cut", "whole"),
    ({"kind": K.GARBLED, "status": 200, "test": "stream", "content_type": "application/json"},
     "stream_not_offered", "does not stream"),
    ({"kind": K.GARBLED, "status": 200}, "not_the_api", "OpenAI"),
    ({"kind": K.OVERLOADED, "status": 503}, "vendor_down", "status page"),
    ({"kind": K.BAD_REQUEST, "status": 400}, "request_refused", "providers.mine.vendor"),
]  # fmt: skip


def evidence(given: dict[str, Any]) -> Evidence:
    usual = {"test": "chat", "provider": "mine", "vendor": VENDORS["openai"], "url": OPENAI, "model": "gpt-5"}
    return Evidence(**{**usual, **given})


@pytest.mark.parametrize(
    ("given", "name", "words"), CASES, ids=[f"{name}-{at}" for at, (_, name, _) in enumerate(CASES)]
)
def test_the_mistake_is_recognised(given: dict[str, Any], name: str, words: str) -> None:
    found, remedy = mistake(evidence(given))
    assert found == name
    assert words in remedy


def test_every_row_has_a_case() -> None:
    assert {row.name for row in MISTAKES} == {name for _, name, _ in CASES}


@pytest.mark.parametrize("kind", FaultKind)
@pytest.mark.parametrize("status", [None, 200, 400])
def test_every_fault_but_a_break_after_output_is_spoken_of(kind: FaultKind, status: int | None) -> None:
    assert mistake(evidence({"kind": kind, "status": status}))[0] or kind in (K.BROKEN_STREAM, K.UNREACHABLE)


def test_a_key_is_not_anothers_where_any_server_may_be() -> None:
    assert evidence({"vendor": VENDORS["openai_compatible"], "key": "gsk_abc"}).key_of == ""


def test_beginnings_of_keys_are_of_vendors_there_are() -> None:
    assert {name for names in KEYS.values() for name in names} <= {*VENDORS, "anthropic", "google"}
