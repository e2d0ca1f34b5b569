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
