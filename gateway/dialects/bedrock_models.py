"""What differs between the families of models behind Bedrock's one format. A row says what a family is known to take.

Sources: the notes in https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and what Bedrock
refuses or obeys: https://github.com/BerriAI/litellm/pull/39210 (caches), https://github.com/langchain-ai/docs/pull/5239
and https://github.com/stdapi-ai/stdapi.ai/issues/283 (reasoning).
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

import msgspec

CachePlace = Literal["system", "text", "any", "tools"]
ThinkingFields = Literal["", "claude", "nova", "reasoning_effort", "reasoning", "reasoning_config"]

CLAUDE_CACHES: frozenset[CachePlace] = frozenset(("system", "text", "any", "tools"))
NOVA_CACHES: frozenset[CachePlace] = frozenset(("system", "text"))


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What is not said is left for the vendor to judge."""

    claude: bool = False
    caches: frozenset[CachePlace] = frozenset()
    """Where a cache point may stand: after system texts, after texts, after any block of a message, after tools."""
    caches_longer: bool = False
    """A cache point may say how long it is to hold."""
    chooses: frozenset[str] = frozenset(("auto", "any", "tool"))
    """The members of ``toolChoice`` it takes."""
    tells_failure: bool = False
    """It takes the ``status`` of a tool's result."""
    media_in_results: bool = False
    """It takes images in a tool's result."""
    plain_ids: bool = True
    """Ids of calls are of letters, digits, ``_`` and ``-`` alone; else of ``.`` and ``:`` too, as Kimi writes them."""
    json_results: bool = False
    """Results that are JSON objects go as such."""
    thinks: ThinkingFields = ""
    """In which fields it is told how much to think."""
    top_k: tuple[str, ...] = ()
    """Where ``top_k`` goes among the additional fields; nowhere: it takes none."""
    one_of_sampling: bool = False
    """It takes temperature or top_p, not both."""
    continues: bool = False
    """A conversation may end with the beginning of its answer."""


def _claude(**differs: object) -> Family:
    whole: dict[str, object] = {
        "claude": True,
        "caches": CLAUDE_CACHES,
        "caches_longer": True,
        "tells_failure": True,
        "media_in_results": True,
        "thinks": "claude",
        "top_k": ("top_k",),
        "one_of_sampling": True,
    }
    return msgspec.convert({**whole, **differs}, Family)


_OLD_CLAUDE = _claude(caches=frozenset(), thinks="", one_of_sampling=False, continues=True)
_CLAUDE_3 = _claude(thinks="", one_of_sampling=False, continues=True)
CLAUDE = _claude()
_NONE: frozenset[str] = frozenset()

FAMILIES: Mapping[str, Family] = {
    # Caches began with Claude 3.5: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
    "*anthropic.claude-v*": _OLD_CLAUDE,
    "*anthropic.claude-instant*": _OLD_CLAUDE,
    "*anthropic.claude-3-haiku*": _OLD_CLAUDE,
    "*anthropic.claude-3-sonnet*": _OLD_CLAUDE,
    "*anthropic.claude-3-opus*": _OLD_CLAUDE,
    "*anthropic.claude-3-5-sonnet-20240620*": _OLD_CLAUDE,
    "*anthropic.claude-3-5*": _CLAUDE_3,
    "*anthropic.claude-3-7*": _claude(one_of_sampling=False, continues=True),
    "*anthropic.claude-sonnet-4-20*": _claude(one_of_sampling=False, continues=True),
    "*anthropic.claude-opus-4-20*": _claude(one_of_sampling=False, continues=True),
    "*anthropic.claude-opus-4-1-*": _claude(continues=True),
    "*anthropic.claude-*-4-5-*": _claude(continues=True),
    "*anthropic.claude*": CLAUDE,
    "*amazon.nova-2*": Family(
        caches=NOVA_CACHES,
        tells_failure=True,
        media_in_results=True,
        thinks="nova",
        top_k=("inferenceConfig", "topK"),
    ),
    "*amazon.nova*": Family(
        caches=NOVA_CACHES, tells_failure=True, media_in_results=True, top_k=("inferenceConfig", "topK")
    ),
    "*amazon.titan*": Family(chooses=_NONE),
    "*openai.gpt-oss*": Family(thinks="reasoning_effort"),
    "*openai.*": Family(thinks="reasoning"),
    "*moonshot*.kimi*": Family(thinks="reasoning_effort", plain_ids=False),
    "*qwen.*": Family(thinks="reasoning_config"),
    "*deepseek.v3*": Family(thinks="reasoning_config"),
    "*deepseek.*": Family(),
    "*mistral.*": Family(chooses=frozenset(("auto", "any")), json_results=True, top_k=("top_k",)),
    "*meta.llama*": Family(chooses=frozenset(("auto",))),
    "*cohere.*": Family(chooses=_NONE, top_k=("k",)),
    "*ai21.*": Family(chooses=_NONE),
    "*writer.*": Family(chooses=frozenset(("auto",))),
}
"""Pattern of the model id -> its family, first match first."""

# An ARN of a profile or an import does not tell whose model is behind it: what the client asks for, it gets.
UNKNOWN = Family(caches=CLAUDE_CACHES, caches_longer=True, tells_failure=True, media_in_results=True, top_k=("top_k",))


@lru_cache(maxsize=1024)
def family(model: str) -> Family:
    """By the model's id: bare, with a region before it, or at the end of an ARN."""
    name = model.lower()
    return next((row for pattern, row in FAMILIES.items() if fnmatchcase(name, pattern)), UNKNOWN)
