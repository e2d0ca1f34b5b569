"""What vendors report of tokens and dollars, each in its own place, comes out the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import Usage
from gateway.dialects import (
    Egress,
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    gemini,
    ollama_chat,
    tgi,
)
from gateway.dialects.usage import read_usage
from gateway.errors import Fault

PARTS = ("input_uncached", "cache_read", "cache_write", "output", "reasoning")

# vendor -> (what it sends, the parts of it, dollars)
REPORTS: dict[str, tuple[dict[str, Any], tuple[int, ...], float | None]] = {
    "OpenAI": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 40},
        },
        (10, 60, 30, 10, 40),
        None,
    ),
    "DeepSeek": (
        {
            "prompt_tokens": 12,
            "completion_tokens": 9,
            "total_tokens": 21,
            "prompt_cache_hit_tokens": 8,
            "prompt_cache_miss_tokens": 4,
        },
        (4, 8, 0, 9, 0),
        None,
    ),
    "Moonshot, Together": (
        {"prompt_tokens": 46, "completion_tokens": 45, "total_tokens": 91, "cached_tokens": 40},
        (6, 40, 0, 45, 0),
        None,
    ),
    "Mistral": (
        {"prompt_tokens": 152, "completion_tokens": 12, "total_tokens": 164, "num_cached_tokens": 151},
        (1, 151, 0, 12, 0),
        None,
    ),
    "LiteLLM, Claude behind it": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "total_tokens": 105,
            "cache_read_input_tokens": 70,
            "cache_creation_input_tokens": 20,
        },
        (10, 70, 20, 5, 0),
        None,
    ),
    "Anthropic's way of counting": (
        {"prompt_tokens": 10, "completion_tokens": 5, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20},
        (10, 70, 20, 5, 0),
        None,
    ),
    "Anthropic's, with a total": (
        {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 175, "cache_read_input_tokens": 70},
        (100, 70, 0, 5, 0),
        None,
    ),
    "xAI": (
        {
            "prompt_tokens": 12,
            "completion_tokens": 1,
            "total_tokens": 399,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 386},
            "cost_in_usd_ticks": 37756000,
        },
        (8, 4, 0, 1, 386),
        0.0037756,
    ),
    "xAI, little thought": (
        {
            "prompt_tokens": 12,
            "completion_tokens": 100,
            "total_tokens": 142,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        (12, 0, 0, 100, 30),
        None,
    ),
    "xAI, counting as OpenAI does": (
        {
            "prompt_tokens": 500,
            "completion_tokens": 500,
            "total_tokens": 1000,
            "completion_tokens_details": {"reasoning_tokens": 200},
        },
        (500, 0, 0, 300, 200),
        None,
    ),
    "xAI, as much cached as thought": (
        {
            "prompt_tokens": 200,
            "completion_tokens": 10,
            "total_tokens": 310,
            "prompt_tokens_details": {"cached_tokens": 100},
            "completion_tokens_details": {"reasoning_tokens": 100},
        },
        (100, 100, 0, 10, 100),
        None,
    ),
    "Gemini's OpenAI surface": (
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        (20, 0, 0, 198, 405),
        None,
    ),
    "Perplexity": (
        {
            "prompt_tokens": 33,
            "completion_tokens": 7163,
            "total_tokens": 7196,
            "citation_tokens": 20016,
            "num_search_queries": 21,
            "reasoning_tokens": 500,
            "cost": {"input_tokens_cost": 0.1, "request_cost": 0.2, "total_cost": 0.42},
        },
        (33, 0, 0, 7163, 500),
        0.42,
    ),
    "SGLang": (
        {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14, "reasoning_tokens": 7},
        (5, 0, 0, 2, 7),
        None,
    ),
    "OpenRouter": (
        {
            "prompt_tokens": 2168,
            "completion_tokens": 100,
            "total_tokens": 2268,
            # Gemini's writes are its reads: more details than there are tokens.
            "prompt_tokens_details": {"cached_tokens": 2161, "cache_write_tokens": 2161},
            "cost": 0.000497,
            "is_byok": False,
            "cost_details": {"upstream_inference_cost": 0.000497},
        },
        (0, 2161, 7, 100, 0),
        0.000497,
    ),
    "OpenRouter, free": ({"prompt_tokens": 1, "cost": 0, "is_byok": False}, (1, 0, 0, 0, 0), 0.0),
    "OpenRouter, with one's own key": (
        {"prompt_tokens": 1, "cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}},
        (1, 0, 0, 0, 0),
        0.21,
    ),
    "OpenRouter, with one's own key, upstream unknown": (
        {"prompt_tokens": 1, "cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": None}},
        (1, 0, 0, 0, 0),
        None,
    ),
    "a cost in no known unit": ({"prompt_tokens": 1, "cost": 3}, (1, 0, 0, 0, 0), None),
    "a cost in another currency": (
        {"prompt_tokens": 1, "cost": {"total_cost": 3, "currency": "EUR"}},
        (1, 0, 0, 0, 0),
        None,
    ),
    "a cost below zero": ({"prompt_tokens": 1, "cost": -1, "is_byok": False}, (1, 0, 0, 0, 0), None),
    "a cost that is no number": ({"prompt_tokens": 1, "cost": True, "is_byok": False}, (1, 0, 0, 0, 0), None),
    "a total below its parts": ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 2}, (9, 0, 0, 1, 0), None),
    "counts out of all reason": ({"prompt_tokens": 10**400, "completion_tokens": True}, (0, 0, 0, 0, 0), None),
}


@pytest.mark.parametrize(("said", "parts", "dollars"), REPORTS.values(), ids=REPORTS)
def test_each_vendor_is_understood(said: dict[str, Any], parts: tuple[int, ...], dollars: float | None):
    usage = read_usage(said)
    assert usage is not None
    assert usage.parts() == dict(zip(PARTS, parts, strict=True))
    assert usage.cost == (dollars if dollars is None else pytest.approx(dollars))


@pytest.mark.parametrize(
    ("counts", "parts"),
    [
        ((10, 8, 3, 2, 5), (5, 3, 2, 3, 5)),
        ((10, 8, 30, 2, 5), (0, 10, 0, 3, 5)),
        ((10, 8, 7, 5, 5), (0, 7, 3, 3, 5)),
        ((10, 8, 0, 0, 9), (10, 0, 0, 0, 8)),
    ],
)
def test_details_beyond_the_whole_are_believed_in_order(counts: tuple[int, ...], parts: tuple[int, ...]):
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
    assert Usage(**dict(zip(names, counts, strict=True))).parts() == dict(zip(PARTS, parts, strict=True))


def test_sound_is_counted_by_itself():
    said = {
        "prompt_tokens": 28,
        "completion_tokens": 17,
        "prompt_tokens_details": {"audio_tokens": 5},
        "completion_tokens_details": {"audio_tokens": 12},
    }
    expected = Usage(input_tokens=28, output_tokens=17, input_audio_tokens=5, output_audio_tokens=12)
    assert read_usage(said) == expected


COUNT = st.one_of(st.integers(0, 1000), st.none(), st.integers(), st.floats(), st.text(max_size=2))
DETAILS = ("cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens")
ASIDE = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "citation_tokens"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "cost", "cost_in_usd_ticks", "is_byok"),
)
REPORT = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(ASIDE, COUNT)
    | {name: st.dictionaries(st.sampled_from(DETAILS), COUNT) for name in ("prompt_tokens_details", "cost_details")}
    | {"completion_tokens_details": st.dictionaries(st.sampled_from(DETAILS), COUNT)},
)


@given(REPORT)
def test_the_parts_are_the_whole(said: dict[str, Any]):
    usage = read_usage(said)
    assert usage is not None
    parts = usage.parts()
    assert min(parts.values()) >= 0
    assert sum(parts.values()) == usage.input_tokens + usage.output_tokens
    assert usage.cost is None or 0 <= usage.cost < float("inf")


def _anthropic(said: Any) -> Any:
    return {"content": [], "usage": {"input_tokens": said, "output_tokens": said, "cache_read_input_tokens": said}}


def _bedrock(said: Any) -> Any:
    usage = {"inputTokens": said, "outputTokens": said, "cacheReadInputTokens": said}
    return {"output": {"message": {"content": []}}, "usage": usage}


def _cohere(said: Any) -> Any:
    tokens = {"input_tokens": said, "output_tokens": said}
    return {"message": {"content": []}, "usage": {"tokens": tokens, "cached_tokens": said}}


def _gemini(said: Any) -> Any:
    usage = {"promptTokenCount": said, "candidatesTokenCount": said, "thoughtsTokenCount": said}
    return {"candidates": [{"content": {"parts": []}}], "usageMetadata": usage}


def _ollama(said: Any) -> Any:
    return {"message": {"content": "4"}, "prompt_eval_count": said, "eval_count": said, "done": True}


def _tgi(said: Any) -> Any:
    return [{"generated_text": "4", "details": {"input_length": said, "generated_tokens": said}}]


@pytest.mark.parametrize("said", [-5, 1 << 60, 10**40])
@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        (anthropic_messages, _anthropic),
        (bedrock_converse, _bedrock),
        (cohere_chat, _cohere),
        (gemini, _gemini),
        (ollama_chat, _ollama),
        (tgi, _tgi),
    ],
    ids=["anthropic", "bedrock", "cohere", "gemini", "ollama", "tgi"],
)
def test_what_is_no_count_counts_nothing(dialect: Egress, answer: Callable[[Any], Any], said: int):
    """1. Counted as nothing. 2. Taken for no answer at all, where it is more than an integer holds."""
    read = dialect.decode_answer(json.dumps(answer(said)).encode(), 0.0)
    if not isinstance(read, Fault):
        assert read.usage == Usage()
