"""What other vendors' conversations carry in their messages, which the strict ones refuse."""

from __future__ import annotations

THOUGHTS = frozenset(
    {
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "thinking_blocks",
        "extra_content",
        "provider_specific_fields",
        "thought_signature",
        # As parts, too.
        "thinking",
        "redacted_thinking",
    }
)
"""Keys and parts that hold reasoning, in all spellings."""

MARKERS = frozenset({"cache_control"})
"""Anthropic's way to mark what is to be cached."""

ANSWERED = frozenset({"refusal", "annotations", "audio", "images", "function_call"})
"""What answers of OpenAI and OpenRouter have, and clients send back: mostly null, and refused nevertheless."""

DEVELOPER = {"developer": "system"}
"""For vendors that know the role by its older name alone."""
