"""What vendors that speak OpenAI's chat have besides: the same models by OpenAI's Responses."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gateway.vendors.vendor import Vendor

DIALECT = "openai_responses"


def responses_face(chat: Vendor, docs: str, path: str = "/responses", **changes: Any) -> Vendor:
    """The same account at another path. What chat refuses or calls otherwise means nothing there.

    It comes behind the vendor's chat, so it is for clients that speak Responses, and for models that only it has.
    """
    plain: dict[str, Any] = {
        "docs": docs,
        "dialect": DIALECT,
        "paths": {"chat": path},
        "serves": ("*",),
        "faces": (),
        "owns": (),
        "aliases": (),
        "rename": {},
        "drop": frozenset(),
        "drop_from_messages": frozenset(),
        "roles": {},
        "replays": frozenset(),
        "adapt": None,
        "flatten": False,
        "prefill": None,
        # Usage is told at the end of every stream, unasked.
        "stream_usage": False,
        "no_tools_while_thinking": {},
    }
    return replace(chat, **plain | changes)


ONLY_RESPONSES = (
    *("*-codex*", "codex-mini*", "o[134]-pro*", "gpt-[5-9]*-pro*", "*deep-research*", "computer-use-*"),
    *("gpt-daybreak-*", "gpt-*-cyber*", "gpt-*rosalind*"),
)
"""OpenAI's models that are to be had by Responses alone, ``ResponsesModel`` of its SDK and its pages of models:
"This model is only supported in v1/responses and not in v1/chat/completions"."""
ONLY_CHAT = (
    *("*-audio*", "*-search-preview*", "*-search-api*", "o1-mini*", "o1-preview*", "gpt-3.5-turbo-instruct*"),
    *("babbage-*", "davinci-*", "text-embedding-*"),
)
"""OpenAI's models that Responses has not."""


def but(globs: tuple[str, ...]) -> tuple[str, ...]:
    """All models except these."""
    return ("*", *(f"!{glob}" for glob in globs))


NO_TOOLS_WHILE_THINKING = {"gpt-5.4*": "none", "gpt-5.[5-9]*": "medium", "gpt-6*": "medium"}
"""By chat: "Function tools with reasoning_effort are not supported for … in /v1/chat/completions. To use function
tools, use /v1/responses or set reasoning_effort to 'none'". What they think unasked counts, too:
https://developers.openai.com/api/docs/guides/reasoning and https://github.com/BerriAI/litellm/pull/34569"""
