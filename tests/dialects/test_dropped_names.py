"""What was dropped, in the client's words."""

from __future__ import annotations

import re

import pytest

from gateway.dialects import INGRESS
from gateway.dialects.dropped_names import for_client
from tests.golden import requests

NAMES = {
    # client, names of the egress, names of the request's own -> what the client is told
    "the client's own place": ("anthropic_messages", ["system[0]", "tools[3]"], {"system[0]", "tools[3]"}, None),
    "markers, once": (
        "anthropic_messages",
        ["messages[0].content[1].cache_control", "tools[4].cache_control", "cache_control"],
        (),
        ["cache_control"],
    ),
    "thoughts, however spelled": (
        "anthropic_messages",
        ["messages[3].reasoning_content", "messages[5].reasoning_details", "messages[5].tool_calls[0].extra_content"],
        (),
        ["messages[].content[].thinking"],
    ),
    "thoughts of Codex": ("openai_responses", ["messages[3].reasoning_content"], (), ["input[].reasoning"]),
    "thoughts of Gemini": (
        "gemini",
        ["messages[3].reasoning_content"],
        (),
        ["contents[].parts[].thoughtSignature"],
    ),
    "fields of Messages": (
        "anthropic_messages",
        ["user", "stop", "reasoning_effort", "response_format.json_schema.strict", "top_k", "messages[4].is_error"],
        (),
        [
            *("metadata.user_id", "stop_sequences", "thinking", "output_config.format", "top_k"),
            "messages[].content[].is_error",
        ],
    ),
    "fields of Responses": (
        "openai_responses",
        ["max_tokens", "response_format", "verbosity", "messages[2].content[1].image_url.detail", "messages[6]"],
        (),
        ["max_output_tokens", "text.format", "text.verbosity", "input[].content[].detail", "input[]"],
    ),
    "fields of Gemini": (
        "gemini",
        ["top_p", "stop[4]", "tool_choice", "response_format.json_schema", "messages[2].content[1]"],
        (),
        [
            *("generationConfig.topP", "generationConfig.stopSequences", "toolConfig.functionCallingConfig"),
            *("generationConfig.responseJsonSchema", "contents[].parts[]"),
        ],
    ),
    "fields of Ollama": ("ollama_chat", ["seed", "reasoning_effort"], (), ["options.seed", "think"]),
    "OpenAI's are the hub's": ("openai_chat", ["messages[3].reasoning_content", "stop[4]"], (), None),
    "what nobody has another word for": ("gemini", ["safety_identifier"], (), None),
}


@pytest.mark.parametrize(("client", "dropped", "own", "told"), NAMES.values(), ids=NAMES)
def test_names(client: str, dropped: list[str], own: set[str], told: list[str] | None):
    assert list(for_client(client, dropped, own)) == (dropped if told is None else told)


@pytest.mark.parametrize("client", sorted(INGRESS.keys() - {"openai_chat", "openai_completions"}))
def test_no_client_is_told_of_fields_that_it_does_not_know(client: str):
    foreign = re.compile(r"reasoning_content|reasoning_effort|response_format|image_url|\.function\.")
    for name, said in requests():
        if f".{client}-" in name:
            told = for_client(client, said.get("dropped", ()), ())
            assert not [each for each in told if foreign.search(each)], name
