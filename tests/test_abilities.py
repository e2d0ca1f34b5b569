"""What is known of models by their names, however those who serve them write them."""

from __future__ import annotations

import pytest

from gateway.abilities import ROWS, UNKNOWN, Abilities, abilities

WINDOWS = {
    "gpt-5": 400_000,
    "openai/gpt-5-mini-2025-08-07": 400_000,
    "gpt-5.4": 1_050_000,
    "gpt-5.4-mini": 400_000,
    "global.openai.gpt-6.1-sol": 1_050_000,
    "gpt-4.1-mini": 1_047_576,
    "o4-mini": 200_000,
    "openai.gpt-oss-120b-1:0": 131_072,
    "gpt-oss:20b": 131_072,
    "mistral-large-latest": 262_144,
    "mistral.mistral-large-2402-v1:0": 32_768,
    "mistralai/Mistral-Nemo-Instruct-2407": 131_072,
    "accounts/fireworks/models/deepseek-v3p2": 131_072,
    "us.deepseek.r1-v1:0": 128_000,
    "command-a-03-2025": 256_000,
    "command-r-plus-08-2024": 128_000,
    "meta-llama/Llama-3.3-70B-Instruct-Turbo": 131_072,
    "us.meta.llama3-1-70b-instruct-v1:0": 128_000,
    "accounts/fireworks/models/llama-v3p1-8b-instruct": 131_072,
    "llama3.2:3b": 128_000,
    "qwen3:8b": 40_960,
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": 262_144,
    "moonshotai/Kimi-K2-Instruct-0905": 262_144,
    "kimi-k2p5": 262_144,
    "zai-glm-4.7": 202_752,
    "global.zai.glm-5.3": 1_000_000,
    "MiniMaxAI/MiniMax-M2": 204_800,
    "grok-4-1-fast-reasoning": 2_000_000,
    "x-ai/grok-4": 256_000,
    "eu.amazon.nova-pro-v1:0": 300_000,
    "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0": 300_000,
    "sonar-pro": 200_000,
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str):
    assert abilities(name).window == WINDOWS[name]


@pytest.mark.parametrize(
    ("name", "thinking", "images", "tools", "schema"),
    [
        ("gpt-5", "level", True, True, True),
        ("gpt-4o-audio-preview", "none", False, True, False),
        ("o3-mini", "level", False, True, True),
        ("gpt-oss-120b", "level", False, True, None),
        ("deepseek-reasoner", "always", False, True, None),
        ("command-a-reasoning-08-2025", "budget", False, True, True),
        ("command-a-vision-07-2025", "none", True, False, None),
        ("pixtral-large-latest", "none", True, True, True),
        ("magistral-medium-latest", "always", None, True, True),
        ("grok-code-fast-1", "always", False, True, True),
        ("nova-micro-v1:0", "none", False, True, None),
        ("sonar", None, None, False, True),
    ],
)
def test_what_they_can(name: str, thinking: str | None, images: bool | None, tools: bool | None, schema: bool | None):
    able = abilities(name)
    assert (able.thinking, able.images, able.tools, able.schema) == (thinking, images, tools, schema)


@pytest.mark.parametrize("name", ["", "/", "my-own", "gpt", "o", "qwen3-embedding-8b", "gpt-4o-realtime-preview"])
def test_of_others_nothing_is_known(name: str):
    assert abilities(name) in (UNKNOWN, Abilities())


def test_no_row_stands_behind_one_that_hides_it():
    """A pattern read as a name must not be caught by an earlier, wider one."""
    patterns = list(ROWS)
    names = [pattern.replace("*", "x").replace("[.-]", "-") for pattern in patterns]
    plain = [(at, name) for at, name in enumerate(names) if "[" not in name]
    hidden = [
        (patterns[at], next(p for p in patterns if abilities(name) is ROWS[p]))
        for at, name in plain
        if abilities(name) is not ROWS[patterns[at]] and abilities(name) != ROWS[patterns[at]]
    ]
    assert hidden == []


@pytest.mark.parametrize(
    ("name", "output", "thinking", "sampling", "unasked", "forced"),
    [
        ("claude-3-opus-20240229", 4_096, "none", True, False, True),
        ("claude-3-5-sonnet-latest", 8_192, "none", True, False, True),
        ("claude-3.7-sonnet", 64_000, "budget", True, False, True),
        ("claude-sonnet-4-20250514", 64_000, "budget", True, False, True),
        ("claude-4-sonnet", 64_000, "budget", True, False, True),
        ("claude-opus-4-1@20250805", 32_000, "budget", True, False, True),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 64_000, "budget", True, False, True),
        ("databricks-claude-sonnet-4-6", 128_000, "adaptive", True, False, True),
        ("anthropic/claude-opus-4.8", 128_000, "adaptive", False, False, True),
        ("claude-opus-5", 128_000, "adaptive", False, True, True),
        ("claude-haiku-5-5", 128_000, "adaptive", False, True, True),
        ("claude-sonnet-5-5", 128_000, "always", False, True, False),
        ("claude-fable-5", 128_000, "always", False, True, True),
        ("claude-fable-5-2", 128_000, "always", False, True, False),
        ("claude-opus-7", 128_000, "adaptive", False, True, True),
    ],
)
def test_claude(name: str, output: int, thinking: str, sampling: bool, unasked: bool, forced: bool):
    able = abilities(name)
    told = (able.output, able.thinking, able.sampling, able.thinks_unasked, able.forced_tools)
    assert told == (output, thinking, sampling, unasked, forced)
