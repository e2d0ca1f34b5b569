"""Whatever a client's conversation is like: every vendor gets one that is valid for it and means the same, or is told
by name what it could not be told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from gateway.abilities import abilities
from gateway.chat import Encoded
from gateway.dialects import EGRESS, INGRESS
from tests.dialects.conversations import NAMES, Conversation, conversations
from tests.dialects.reading_back import READERS, Group, Meaning, merged
from tests.dialects.validity import problems

OPENAI = INGRESS["openai_chat"]
MODELS = {
    "anthropic_messages": ("claude-sonnet-4-5", "claude-opus-5", "claude-opus-5-5", "claude-3-5-haiku", "some-model"),
    "bedrock_converse": (
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-opus-5-v1",
        "amazon.nova-pro-v1:0",
        "mistral.mistral-large-2407-v1:0",
        "meta.llama3-70b-instruct-v1:0",
        "cohere.command-r-v1:0",
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
    ),
    "gemini": ("gemini-3-pro-preview", "gemini-2.5-flash", "tunedModels/mine"),
    "cohere_chat": ("command-a-03-2025", "command-a-reasoning-08-2025"),
    "ollama_chat": ("qwen3", "gpt-oss:20b"),
    "openai_responses": ("gpt-5-codex", "gpt-4.1", "some-model"),
    "openai_chat": ("gpt-5-mini", "gpt-4.1", "some-model"),
    "tgi": ("endpoint",),
}
TARGETS = [(dialect, model) for dialect, models in MODELS.items() for model in models]


def encoded(request: Mapping[str, Any], dialect: str, model: str) -> Encoded:
    read = OPENAI.decode_request(json.dumps({**request, "model": model}).encode())
    return EGRESS[dialect].encode_request(read, abilities(model))


@pytest.mark.parametrize("dialect", MODELS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(conversation=conversations())
def test_what_is_written_is_valid_and_means_the_same(dialect: str, conversation: Conversation):
    for model in MODELS[dialect]:
        holds(dialect, model, conversation)


def holds(dialect: str, model: str, conversation: Conversation) -> None:
    made = encoded(conversation.request, dialect, model)
    is_valid(dialect, model, made)
    if dialect == "tgi":
        assert all(line in made.body["inputs"] for each in conversation.said for line in each.lines)
        return
    meaning = READERS[dialect](made.body)
    for group in meaning.groups:
        group.calls = [(made.tool_names.get(name, name), given) for name, given in group.calls]
    nothing_is_lost(conversation, meaning, made, dialect)
    the_order_is_kept(conversation, meaning)
    calls_are_the_same(conversation, meaning)
    results_are_with_their_calls(conversation, meaning, made, dialect, model)
    thoughts_go_to_their_own_kind(conversation, meaning, made, dialect, model)
    settings_are_told(conversation.request, meaning, made)


def is_valid(dialect: str, model: str, made: Encoded) -> None:
    rules = "gemini_3" if dialect == "gemini" and "2.5" not in model else dialect
    rules = "openai" if dialect == "openai_chat" else rules
    found = problems(rules, made.body)
    # Whether a model that is not Claude wants its thoughts back, nobody knows.
    found = [each for each in found if not (model == "some-model" and each.startswith("Expected `thinking`"))]
    assert not found, (model, found, made.body)


def is_named(made: Encoded, *names: str) -> bool:
    return any(each.startswith(names) for each in made.dropped)


SYSTEM = ("system", "developer")


def nothing_is_lost(conversation: Conversation, meaning: Meaning, made: Encoded, dialect: str) -> None:
    """Every text once; every file once, or named by its place; every name and marker kept, or named."""
    found = sorted(meaning.everything())
    assert found == sorted(line for each in conversation.said for line in each.lines)
    media = [each for group in meaning.groups for each in group.media]
    media += [each for result in meaning.results.values() for each in result.media]
    for each in conversation.said:
        for where, content, _ in each.media:
            assert media.count(content) + is_named(made, f"{where}") >= 1, where
            assert media.count(content) <= 1
    spoken = False
    for each in conversation.said:
        # Where only the user may speak, what the system says has its place, and not its weight.
        heard = not spoken or set(each.lines) <= set(meaning.system)
        if each.side in SYSTEM and not heard and dialect in ("anthropic_messages", "bedrock_converse", "gemini"):
            assert f"{each.where}.role" in made.dropped
        spoken = spoken or bool(each.side not in SYSTEM and (each.lines or each.calls))
    for at in conversation.named:
        assert f"messages[{at}].name" in made.dropped or dialect == "openai_chat"
    marked = sum(each.markers for each in conversation.said)
    if marked > meaning.markers:
        assert any("cache_control" in each for each in made.dropped) or spare(conversation)


def spare(conversation: Conversation) -> bool:
    """Markers on files that may have been left out."""
    return any(each.markers and each.media for each in conversation.said)


def the_order_is_kept(conversation: Conversation, meaning: Meaning) -> None:
    """Who said what after what; results aside, which have their own place."""
    first = next((at for at, each in enumerate(conversation.said) if each.side not in SYSTEM), None)
    opening = conversation.said[:first]
    system = [line for each in opening for line in each.lines]
    # Where nobody else spoke, somebody has to.
    assert meaning.system[: len(system)] == system or not meaning.system
    loose = frozenset(line for each in conversation.said if each.is_result for line in each.lines)
    files = frozenset(content for each in conversation.said for _, content, _ in each.media)
    expected = merged((each.group() for each in conversation.said), loose | files)
    found = merged([Group("user", meaning.system), *strip(meaning)], loose | files)
    assert [(each.side, each.lines) for each in found] == [(each.side, each.lines) for each in expected]


def strip(meaning: Meaning) -> list[Group]:
    return [Group(each.side, each.lines, each.media) for each in meaning.groups]


def calls_are_the_same(conversation: Conversation, meaning: Meaning) -> None:
    called = [call for each in conversation.said for call in each.calls]
    found = [call for group in meaning.groups for call in group.calls]
    assert [name for name, _ in found] == [name for name, _ in called]
    for (_, made), (_, said) in zip(found, called, strict=True):
        assert isinstance(made, dict)
        assert made == wanted(said) or (not isinstance(value(said), dict) and held(made, said))


def value(said: str) -> Any:
    try:
        return json.loads(said or "{}")
    except ValueError:
        return said


def wanted(said: str) -> Any:
    return value(said)


def held(made: dict[str, Any], said: str) -> bool:
    """What is no object is kept in one: as its text, or as what it is."""
    [inner] = made.values()
    return inner in (said, value(said))


def results_are_with_their_calls(
    conversation: Conversation, meaning: Meaning, made: Encoded, dialect: str, model: str
) -> None:
    tells = dialect in ("anthropic_messages", "gemini") or (dialect == "bedrock_converse" and "mistral" not in model)
    tells = tells and not ("meta" in model or "cohere" in model)
    for each in conversation.said:
        if not each.is_result or each.answers is None:
            continue
        result = meaning.results[each.answers]
        assert result.lines == each.lines
        if tells:
            assert result.failed == each.failed
        elif each.failed:
            assert is_named(made, f"{each.where}.is_error")


SIGNED = {
    "anthropic_messages": "anthropic",
    "bedrock_converse": "anthropic",
    "gemini": "gemini",
    "ollama_chat": None,
    "openai_responses": "openai",
}


def thoughts_go_to_their_own_kind(
    conversation: Conversation, meaning: Meaning, made: Encoded, dialect: str, model: str
) -> None:
    found = [thought for group in meaning.groups for thought in group.thoughts]
    if dialect == "openai_chat":
        # Whose they are decides each vendor's row, which tells what is taken out.
        assert found == [(text, seal) for each in conversation.said for text, seal, _ in each.thoughts]
        seals = [seal for group in meaning.groups for seal in group.seals]
        assert seals == [seal for each in conversation.said for seal in each.seals]
        return
    for each in conversation.said:
        for text, seal, whose in each.thoughts:
            kept = (text, seal) in found or (dialect == "ollama_chat" and (text, "") in found)
            assert kept or is_named(made, f"{each.where}.reasoning_content"), each.where
            if dialect != "ollama_chat":
                assert not kept or whose == SIGNED.get(dialect, "")
            able = abilities(model).thinking != "none" and dialect in SIGNED
            # OpenAI refuses a thought that led to nothing.
            able = able and not (dialect == "openai_responses" and is_named(made, f"{each.where}.reasoning_content"))
            assert kept or whose is None or whose != SIGNED.get(dialect, "") or not able
    if dialect == "gemini":
        seals = [seal for group in meaning.groups for seal in group.seals]
        said = [seal for each in conversation.said for seal in each.seals]
        assert all(kept == seal for kept, seal in zip(seals, said, strict=True) if seal)


def settings_are_told(request: Mapping[str, Any], meaning: Meaning, made: Encoded) -> None:
    """What is told is what was said, or has its name among what was not."""
    said = {NAMES.get(name, name): value for name, value in request.items() if value is not None}
    said["max_tokens"] = request.get("max_completion_tokens", request.get("max_tokens"))
    for name in ("logit_bias", "prediction", "safety_identifier"):
        assert (name in made.dropped) != (name in made.body) or name not in said
    for name in ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty", "n", "stop"):
        wanted = said.get(name)
        wanted = [wanted] if name == "stop" and isinstance(wanted, str) else wanted
        if wanted is None or is_named(made, name) or is_default(name, wanted):
            continue
        assert meaning.settings.get(name) == pytest.approx(wanted, abs=0.02), name
    for name in ("logprobs", "top_logprobs"):
        assert meaning.settings.get(name) == said.get(name) or is_named(made, name), name
    for name in ("user", "metadata", "verbosity"):
        assert not said.get(name) or is_named(made, name) or written(said[name], made.body), name
    if said["max_tokens"] and not is_named(made, "max_tokens"):
        assert meaning.settings["max_tokens"] == said["max_tokens"]
    if "response_format" in said and not is_named(made, "response_format"):
        schema = said["response_format"].get("json_schema", {}).get("schema", {})
        assert meaning.settings["response_format"] == sorted(schema.get("properties", {}))
    offered(said, meaning, made)


def offered(said: Mapping[str, Any], meaning: Meaning, made: Encoded) -> None:
    choice = said.get("tool_choice")
    tools = [tool["function"]["name"] for tool in said.get("tools", ())]
    found = [made.tool_names.get(name, name) for name in meaning.settings.get("tools", ())]
    choice = choice["function"]["name"] if isinstance(choice, dict) else choice
    called = {name for group in meaning.groups for name, _ in group.calls}
    if choice == "none":
        assert set(found) <= {*tools, *called}
        told = meaning.settings.get("tool_choice") == "none"
        assert not found or told or "tool_choice" in made.dropped or set(found) <= called
    elif choice in tools:
        assert found in (tools, [choice])
    elif tools:
        assert found == tools
    if choice in ("required", *tools) and "tool_choice" not in made.dropped:
        told = meaning.settings.get("tool_choice")
        told = made.tool_names.get(told, told)
        assert told in (choice, *tools[: len(tools) == 1]) or (told == "required" and found == [choice])


def is_default(name: str, wanted: Any) -> bool:
    return wanted == {"temperature": 1, "top_p": 1, "n": 1}.get(name)


def written(value: Any, body: Mapping[str, Any]) -> bool:
    """It, or what it is made of, stands in the body somewhere."""
    inner = [str(each) for each in value.values()] if isinstance(value, dict) else [json.dumps(value)]
    text = json.dumps(body)
    return all(each.strip('"') in text for each in inner) or (isinstance(value, str) and "@" in value)
