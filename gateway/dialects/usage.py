"""Tokens and dollars as OpenAI-shaped vendors report them: the same few facts in many places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.chat import Usage

# Where vendors put them, in the details or beside the counts: OpenAI, Moonshot and Together; DeepSeek; Mistral; and as
# Anthropic spells it, which LiteLLM and others keep.
_CACHE_READ = ("cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens", "cache_read_input_tokens")
_CACHE_WRITE = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")


def read_usage(said: Any) -> Usage | None:
    """Usage wherever OpenAI-shaped vendors put it; fields that are missing or odd count nothing."""
    if not isinstance(said, dict):
        return None
    prompt, completion = _details(said, "prompt_tokens_details"), _details(said, "completion_tokens_details")
    given, made = count(said.get("prompt_tokens")), count(said.get("completion_tokens"))
    read = _first(prompt, _CACHE_READ) or _first(said, _CACHE_READ)
    written = _first(prompt, _CACHE_WRITE) or _first(said, _CACHE_WRITE)
    reasoning = count(completion.get("reasoning_tokens")) or count(said.get("reasoning_tokens"))
    beyond = max(0, count(said.get("total_tokens")) - given - made)
    if _cache_is_aside(said, given, read + written, reasoning, beyond):
        given, beyond = given + read + written, max(0, beyond - read - written)
    # Gemini counts its thoughts in the total alone.
    reasoning = reasoning or beyond
    if _reasoning_is_aside(said, made, reasoning, beyond):
        made += reasoning
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        input_audio_tokens=count(prompt.get("audio_tokens")),
        output_audio_tokens=count(completion.get("audio_tokens")),
        cost=_charged(said),
    )


def _cache_is_aside(said: dict[str, Any], given: int, cached: int, reasoning: int, beyond: int) -> bool:
    """The cached tokens are not among the prompt's: the total says so, or, as Anthropic counts, they are more."""
    if cached and beyond and beyond != reasoning:
        return beyond in (cached, cached + reasoning)
    return cached > given and ("cache_read_input_tokens" in said or "cache_creation_input_tokens" in said)


def _reasoning_is_aside(said: dict[str, Any], made: int, reasoning: int, beyond: int) -> bool:
    """The reasoning is not among the completion's: xAI's total says so; Perplexity bills it as a count of its own."""
    return reasoning > 0 and (reasoning == beyond or reasoning > made or "citation_tokens" in said)


def _first(said: dict[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        if name in said and (found := count(said[name])):
            return found
    return 0


def _details(said: dict[str, Any], name: str) -> dict[str, Any]:
    details = said.get(name)
    return details if isinstance(details, dict) else {}


def count(value: Any) -> int:
    """A number of tokens, or 0 for what is none."""
    # More than 2**53 tokens is no count, and could not be reckoned with in JSON.
    return value if type(value) is int and 0 < value < 1 << 53 else 0


# A dollar is ten billion ticks: https://docs.x.ai/developers/cost-tracking
TICKS = 10_000_000_000

_CHARGES = frozenset(("cost_in_usd_ticks", "cost", "cost_details"))


def _charged(usage: Mapping[str, Any]) -> float | None:
    """US dollars the vendor says an answer cost, where the unit is certain: a bare ``cost`` may be any currency.

    1. xAI. 2. Perplexity. 3. OpenRouter, known by what stands beside the cost; its credits are dollars.
    """
    if _CHARGES.isdisjoint(usage):
        return None
    if (ticks := _dollars(usage.get("cost_in_usd_ticks"))) is not None:
        return ticks / TICKS
    cost, details = usage.get("cost"), usage.get("cost_details")
    if isinstance(cost, dict):
        return _dollars(cost.get("total_cost")) if cost.get("currency", "USD") == "USD" else None
    if not (isinstance(details, dict) or "is_byok" in usage):
        return None
    if usage.get("is_byok") is not True:
        return _dollars(cost)
    # With a key of one's own, cost is OpenRouter's fee alone: https://openrouter.ai/docs/use-cases/usage-accounting
    upstream = _dollars(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    return None if upstream is None else upstream + (_dollars(cost) or 0.0)


def _dollars(value: Any) -> float | None:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1e19 else None
