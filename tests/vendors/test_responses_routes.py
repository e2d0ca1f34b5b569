"""Which models, and which requests, go to OpenAI's Responses and which to chat."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.accounts import provider
from gateway.chat import Facts
from gateway.config import Provider as Settings
from gateway.vendors import VENDORS


def dialect(vendor: str, client: str, model: str, settings: dict[str, Any] | None = None, **facts: Any) -> str:
    """Of the way that a client's request takes to a vendor."""
    said = {"api_key": "k", "base_url": VENDORS[vendor].base_url or "https://my-resource.openai.azure.com"}
    made = provider("p", Settings(vendor=vendor, **{**said, **(settings or {})}), VENDORS[vendor])
    return made.way(client, Facts(model=model, **facts), model).face.vendor.dialect


CHAT, RESPONSES = "openai_chat", "openai_responses"
MODELS = [
    # model, for clients of chat, for clients of responses
    ("gpt-4.1", CHAT, RESPONSES),
    ("gpt-5-mini", CHAT, RESPONSES),
    ("ft:gpt-4o-mini:acme::1", CHAT, RESPONSES),
    ("gpt-5-codex", RESPONSES, RESPONSES),
    ("gpt-5.1-codex-max", RESPONSES, RESPONSES),
    ("codex-mini-latest", RESPONSES, RESPONSES),
    ("o1-pro-2025-03-19", RESPONSES, RESPONSES),
    ("o3-pro", RESPONSES, RESPONSES),
    ("gpt-5-pro", RESPONSES, RESPONSES),
    ("gpt-5.5-pro-2026-04-23", RESPONSES, RESPONSES),
    ("o4-mini-deep-research", RESPONSES, RESPONSES),
    ("computer-use-preview", RESPONSES, RESPONSES),
    ("gpt-4o-audio-preview", CHAT, CHAT),
    ("gpt-4o-search-preview", CHAT, CHAT),
]


@pytest.mark.parametrize(("model", "chat", "responses"), MODELS)
@pytest.mark.parametrize("vendor", ["openai", "azure_openai"])
def test_the_model_decides_then_the_client(vendor: str, model: str, chat: str, responses: str):
    assert dialect(vendor, CHAT, model) == chat
    assert dialect(vendor, RESPONSES, model) == responses
    assert dialect(vendor, "anthropic_messages", model) == chat


THINKING = [
    # model, how much is to be thought, where it goes with tools
    ("gpt-5.6-sol", "high", RESPONSES),
    ("gpt-5.6-sol", None, RESPONSES),  # it thinks unasked
    ("gpt-5.6-sol", "none", CHAT),
    ("gpt-6-luna", "low", RESPONSES),
    ("gpt-5.4", "low", RESPONSES),
    ("gpt-5.4", None, CHAT),
    ("gpt-5.2", "high", CHAT),
    ("gpt-4.1", None, CHAT),
]


@pytest.mark.parametrize(("model", "level", "expected"), THINKING)
def test_models_that_refuse_tools_in_chat_while_they_think(model: str, level: str | None, expected: str):
    parameters = {"reasoning.level": level} if level else {}
    assert dialect("openai", CHAT, model, tools=True, parameters=parameters) == expected
    assert dialect("openai", CHAT, model, tools=False, parameters=parameters) == CHAT
    # Who wants chat and nothing else gets it.
    only = {"dialect": CHAT}
    assert dialect("openai", CHAT, model, only, tools=True, parameters=parameters) == CHAT


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gpt-4.1", CHAT), ("gpt-5-mini", CHAT), ("gpt-5.3-codex", RESPONSES), ("gpt-5.4", RESPONSES)],
)
def test_copilot_has_its_newer_models_by_responses_alone(model: str, expected: str):
    assert dialect("github_copilot", CHAT, model) == expected
    assert dialect("github_copilot", RESPONSES, "claude-sonnet-4.5") == CHAT


def test_what_is_for_those_who_ask_for_it():
    assert (
        dialect("bedrock", RESPONSES, "openai.gpt-5", {"base_url": None, "region": "us-east-1"}) == "bedrock_converse"
    )
    asked = {"base_url": None, "region": "us-east-1", "dialect": RESPONSES}
    assert dialect("bedrock", CHAT, "openai.gpt-5", asked) == RESPONSES


def test_tokens_are_counted_where_the_vendor_counts():
    urls = {
        name: {url for row in (vendor, *vendor.faces) if (url := row.paths.get("count_tokens"))}
        for name, vendor in VENDORS.items()
    }
    assert {name: found for name, found in urls.items() if found} == {
        "anthropic": {"/v1/messages/count_tokens"},
        "anthropic_compatible": {"/v1/messages/count_tokens"},
        "azure_openai": {"/v1/messages/count_tokens"},
        "bedrock": {"/model/{model}/count-tokens"},
        "google": {"/v1beta/models/{model}:countTokens"},
        "openai": {"/responses/input_tokens"},
        "vertex": {"/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:countTokens"},
    }


INITIATORS = [
    ("hi", "user"),
    ([{"type": "message", "role": "user", "content": "hi"}], "user"),
    ([{"role": "user", "content": "hi"}, {"type": "function_call_output", "call_id": "c", "output": "x"}], "agent"),
    ([{"role": "user", "content": "hi"}, {"type": "custom_tool_call_output", "call_id": "c", "output": "x"}], "agent"),
    ([{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}], "user"),
]


@pytest.mark.parametrize(("said", "initiator"), INITIATORS)
def test_copilot_is_told_who_began(said: Any, initiator: str):
    (face,) = (face for face in VENDORS["github_copilot"].faces if face.dialect == RESPONSES)
    assert face.adapt is not None
    assert dict(face.adapt({"model": "m", "input": said}, "m").headers)["x-initiator"] == initiator


def test_copilot_is_told_of_images_in_results():
    (face,) = (face for face in VENDORS["github_copilot"].faces if face.dialect == RESPONSES)
    output = [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]
    assert face.adapt is not None
    made = face.adapt({"input": [{"type": "function_call_output", "call_id": "c", "output": output}]}, "m")
    assert dict(made.headers)["copilot-vision-request"] == "true"
