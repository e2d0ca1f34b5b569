"""What models can do, by name: facts that decide how a request has to be written, and what ``/v1/models`` tells.

A row says only what is known; what is not said is not known, and the vendor judges for itself. Names change faster than
this file: patterns are by family, the first that fits wins, and a model that fits none is taken for a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal, TypeVar

import msgspec

T = TypeVar("T")

ThinkingStyle = Literal["none", "budget", "adaptive", "level", "always"]


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """``window`` and ``output`` are in tokens; None is not known."""

    window: int | None = None
    output: int | None = None
    """The most it can answer."""
    thinking: ThinkingStyle | None = None
    """How it is told to think: by a budget of tokens, for itself (``adaptive``), by a level, never, or ``always``."""
    sampling: bool = True
    """It takes temperature and top_p other than their defaults."""
    thinks_unasked: bool = False
    """It thinks unless it is told not to."""
    forced_tools: bool = True
    """It can be made to call a tool, when it does not think."""
    images: bool | None = None
    tools: bool | None = None
    schema: bool | None = None
    """It can be held to a JSON schema."""


UNKNOWN = Abilities()


def _able(window: int | None, output: int | None, said: str, thinking: ThinkingStyle | None = None) -> Abilities:
    """``said``: of ``images tools schema`` what it can, after ``no-`` what it cannot; the rest is not known."""
    able = {word.removeprefix("no-"): not word.startswith("no-") for word in said.split()}
    return Abilities(window=window, output=output, thinking=thinking, **able)


def _claude(window: int, output: int, thinking: ThinkingStyle, **more: bool) -> Abilities:
    return Abilities(window=window, output=output, thinking=thinking, **{"images": True, "tools": True, **more})


# https://platform.claude.com/docs/en/models and /docs/en/build-with-claude/thinking-troubleshooting: from
# 4.7 on they take no sampling, from 5 on they think by default; 5.5 (but Haiku) and Fable from 5.1 on always do, and
# refuse forced tools.
_CLAUDE_5_5 = _claude(
    1_000_000, 128_000, "always", sampling=False, thinks_unasked=True, forced_tools=False, schema=True
)
_CLAUDE_5 = _claude(1_000_000, 128_000, "adaptive", sampling=False, thinks_unasked=True, schema=True)
_CLAUDE_4_7 = _claude(1_000_000, 128_000, "adaptive", sampling=False, schema=True)

ROWS: Mapping[str, Abilities] = {
    "*embed*": Abilities(),
    # Gemini: https://ai.google.dev/gemini-api/docs/models and /thinking; a level from Gemini 3 on.
    "gemini-2.5*-image*": _able(65_536, 32_768, "images no-tools", "none"),
    "gemini-2.5*-tts*": _able(8_192, 16_384, "no-images no-tools no-schema", "none"),
    "gemini*-tts*": _able(8_192, 16_384, "no-images no-tools no-schema", "none"),
    "gemini-3*-image*": _able(65_536, 32_768, "images schema", "level"),
    "gemini-2.5*": _able(1_048_576, 65_536, "images tools schema", "budget"),
    "gemini-2.0*": _able(1_048_576, 8_192, "images tools schema", "none"),
    "gemini-1.5-pro*": _able(2_097_152, 8_192, "images tools schema", "none"),
    "gemini-1*": _able(1_048_576, 8_192, "images tools schema", "none"),
    "gemini-[3-9]*": _able(1_048_576, 65_536, "images tools schema", "level"),
    "gemini-*-latest": _able(1_048_576, 65_536, "images tools schema", "level"),
    "gemma-[123]*": Abilities(thinking="none", schema=False),
    "*claude-fable-5": _claude(1_000_000, 128_000, "always", sampling=False, thinks_unasked=True, schema=True),
    "*claude-mythos-5": _claude(1_000_000, 128_000, "always", sampling=False, thinks_unasked=True, schema=True),
    "*claude-fable*": _CLAUDE_5_5,
    "*claude-mythos*": _CLAUDE_5_5,
    "*claude-opus-5[.-]5*": _CLAUDE_5_5,
    "*claude-sonnet-5[.-]5*": _CLAUDE_5_5,
    "*claude-opus-5*": _CLAUDE_5,
    "*claude-sonnet-5*": _CLAUDE_5,
    "*claude-haiku-5*": _CLAUDE_5,
    "*claude-opus-4[.-][78]*": _CLAUDE_4_7,
    "*claude-opus-4[.-]6*": _claude(1_000_000, 128_000, "adaptive", schema=True),
    "*claude-sonnet-4[.-]6*": _claude(1_000_000, 128_000, "adaptive", schema=True),
    "*claude-*-4[.-]5*": _claude(200_000, 64_000, "budget", schema=True),
    "*claude-opus-4*": _claude(200_000, 32_000, "budget", schema=False),
    "*claude-4-opus*": _claude(200_000, 32_000, "budget", schema=False),
    "*claude-sonnet-4*": _claude(200_000, 64_000, "budget", schema=False),
    "*claude-4-sonnet*": _claude(200_000, 64_000, "budget", schema=False),
    "*claude-3[.-]7*": _claude(200_000, 64_000, "budget", schema=False),
    "*claude-3[.-]5*": _claude(200_000, 8_192, "none", schema=False),
    "*claude-3-*": _claude(200_000, 4_096, "none", schema=False),
    "*claude-2*": _claude(200_000, 4_096, "none", images=False, tools=False, schema=False),
    "*claude-instant*": _claude(100_000, 4_096, "none", images=False, tools=False, schema=False),
    "*claude-[a-z]*-[1-9]*": _CLAUDE_5,  # newer than this list
    # OpenAI: https://developers.openai.com/api/docs/models (windows as in genai-prices). While they think they take no
    # sampling: "Unsupported parameter: 'temperature' is not supported with this model."
    "gpt-6*": _able(1_050_000, 128_000, "images tools schema no-sampling", "level"),
    "gpt-5.[456]-mini*": _able(400_000, 128_000, "images tools schema no-sampling", "level"),
    "gpt-5.[456]-nano*": _able(400_000, 128_000, "images tools schema no-sampling", "level"),
    "gpt-5.[456]*": _able(1_050_000, 128_000, "images tools schema no-sampling", "level"),
    "gpt-5.3": _able(128_000, 16_384, "images tools schema"),
    "gpt-5*-chat*": _able(128_000, 16_384, "images schema"),
    "gpt-5*": _able(400_000, 128_000, "images tools schema no-sampling", "level"),
    "gpt-4.1*": _able(1_047_576, 32_768, "images tools schema", "none"),
    "gpt-4o*-audio*": _able(128_000, 16_384, "tools no-images no-schema", "none"),
    "gpt-4o*-search*": _able(128_000, 16_384, "schema no-images no-tools", "none"),
    "gpt-4o*-realtime*": Abilities(),
    "gpt-4o*-transcribe*": Abilities(),
    "gpt-4o*-tts*": Abilities(),
    "gpt-4o*": _able(128_000, 16_384, "images tools schema", "none"),
    "chatgpt-4o*": _able(128_000, 16_384, "images no-tools", "none"),
    "gpt-4-turbo*": _able(128_000, 4_096, "images tools no-schema", "none"),
    "gpt-4-32k*": _able(32_768, None, "tools no-images no-schema", "none"),
    "gpt-4": _able(8_192, 8_192, "tools no-images no-schema", "none"),
    "gpt-4-0613": _able(8_192, 8_192, "tools no-images no-schema", "none"),
    "gpt-3.5-turbo-instruct*": Abilities(),
    "gpt-3.5-turbo*": _able(16_385, 4_096, "tools no-images no-schema", "none"),
    "o1-mini*": _able(128_000, 65_536, "no-images no-tools no-schema no-sampling", "always"),
    "o1-preview*": _able(128_000, 32_768, "no-images no-tools no-schema no-sampling", "always"),
    "o3-mini*": _able(200_000, 100_000, "tools schema no-images no-sampling", "level"),
    "o[134]": _able(200_000, 100_000, "images tools schema no-sampling", "level"),
    "o[134]-*": _able(200_000, 100_000, "images tools schema no-sampling", "level"),
    "codex-mini*": _able(200_000, 100_000, "images tools schema no-sampling", "level"),
    "gpt-oss*": _able(131_072, None, "tools no-images", "level"),
    # Mistral: https://docs.mistral.ai/getting-started/models
    "mistral-large-4*": _able(1_048_576, None, "images tools schema"),
    "mistral-large-2512*": _able(262_144, None, "images tools schema", "none"),
    "mistral-large-3*": _able(262_144, None, "images tools schema", "none"),
    "mistral-large-latest": _able(262_144, None, "images tools schema"),
    "mistral-large-2402*": _able(32_768, None, "tools no-images", "none"),
    "mistral-large*": _able(131_072, None, "tools schema no-images", "none"),
    "mistral-medium-3[.-]5*": _able(262_144, None, "images tools schema"),
    "mistral-medium*": _able(131_072, None, "images tools schema"),
    "mistral-small-2402*": _able(32_768, None, "tools no-images", "none"),
    "mistral-small-24b*": _able(32_768, None, "tools schema no-images", "none"),
    "mistral-small-2603*": _able(262_144, None, "images tools schema"),
    "mistral-small*": _able(131_072, None, "images tools schema"),
    "ministral-3b*": _able(131_072, None, "tools schema"),
    "ministral-*2512*": _able(262_144, None, "images tools schema"),
    "ministral-*": _able(131_072, None, "tools schema"),
    "magistral-*": _able(131_072, None, "tools schema", "always"),
    "codestral-embed*": Abilities(),
    "codestral*": _able(256_000, None, "tools schema no-images", "none"),
    "devstral-small-2[05]*": _able(131_072, None, "tools schema no-images", "none"),
    "devstral-*": _able(262_144, None, "tools schema", "none"),
    "pixtral-*": _able(131_072, None, "images tools schema", "none"),
    "*mistral-nemo*": _able(131_072, None, "tools schema no-images", "none"),
    "*mixtral-8x22b*": _able(65_536, None, "tools no-images", "none"),
    "*mixtral-8x7b*": _able(32_768, None, "no-images", "none"),
    # DeepSeek: https://api-docs.deepseek.com/quick_start/pricing (its own API holds to JSON, not to a schema).
    "deepseek-v4*": _able(1_000_000, None, "tools"),
    "deepseek-v3*": _able(131_072, None, "tools no-images"),
    "deepseek.v3*": _able(131_072, None, "tools no-images"),
    "deepseek-reasoner*": _able(None, None, "tools no-images", "always"),
    "deepseek-chat*": _able(None, None, "tools no-images"),
    "deepseek-r1-distill*": _able(131_072, None, "no-images", "always"),
    "deepseek[.-]r1*": _able(128_000, None, "no-images", "always"),
    # Cohere: https://docs.cohere.com/docs/models
    "command-a-reasoning*": _able(256_000, 32_000, "tools schema no-images", "budget"),
    "command-a-vision*": _able(128_000, 8_000, "images no-tools", "none"),
    "command-a-translate*": _able(8_000, 8_000, "no-images no-tools", "none"),
    "command-a-plus*": _able(192_000, None, "tools schema"),
    "command-a*": _able(256_000, 8_000, "tools schema no-images", "none"),
    "command-r*": _able(128_000, 4_000, "tools schema no-images", "none"),
    # Open weights: windows as most of those who serve them have them; a listing and the price table know better.
    "*llama-4-*": _able(131_072, None, "images tools"),
    "llama4-*": _able(131_072, None, "images tools"),
    "*llama-3[.-]2-*vision*": _able(131_072, None, "images"),
    "llama3-2-[19][10]b*": _able(128_000, None, "images"),
    "llama3.2-vision*": _able(131_072, None, "images no-tools"),
    "*llama-3[.-][123]-*": _able(131_072, None, "tools no-images", "none"),
    "*llama-v3p[123]-*": _able(131_072, None, "tools no-images", "none"),
    "llama3[.-][123]*": _able(128_000, None, "tools no-images", "none"),
    "*llama-3-*": _able(8_192, None, "no-images", "none"),
    "llama3-*": _able(8_192, None, "no-images", "none"),
    # Qwen: https://www.alibabacloud.com/help/en/model-studio/models
    "qwen3-vl-*": _able(131_072, None, "images tools"),
    "qwen3-coder-*": _able(262_144, None, "tools no-images", "none"),
    "qwen3-coder": _able(262_144, None, "tools no-images", "none"),
    "qwen3-max*": _able(262_144, None, "tools no-images"),
    "qwen3.[5678]*": _able(262_144, None, "images tools"),
    "qwen3-omni*": _able(None, None, ""),
    "qwen3-*2507*": _able(262_144, None, "tools no-images"),
    "qwen3-next-*": _able(262_144, None, "tools no-images"),
    "qwen3[-:]*": _able(40_960, None, "tools no-images"),
    "qwen3": _able(40_960, None, "tools no-images"),
    "qwen-3-*": _able(131_072, None, "tools no-images"),
    "qwq-*": _able(131_072, None, "tools no-images", "always"),
    "qwen2.5-vl-*": _able(128_000, None, "images"),
    "qwen2.5-*": _able(32_768, None, "tools no-images", "none"),
    "qwen-2.5-*": _able(32_768, None, "tools no-images", "none"),
    "qwen-plus*": _able(1_000_000, None, "tools no-images"),
    "qwen-flash*": _able(1_000_000, None, "tools no-images"),
    # Moonshot: https://platform.kimi.ai/docs/models
    "kimi-k3*": _able(1_048_576, None, "tools", "adaptive"),
    "kimi-k2[.p][567]*": _able(262_144, None, "images tools"),
    "kimi-k2-thinking*": _able(262_144, None, "tools no-images", "always"),
    "kimi-k2*0905*": _able(262_144, None, "tools no-images", "none"),
    "kimi-k2-turbo*": _able(262_144, None, "tools no-images", "none"),
    "kimi-k2*": _able(131_072, None, "tools no-images", "none"),
    "moonshot-v1-*-vision*": _able(None, None, "images tools", "none"),
    "moonshot-v1-8k": _able(8_192, None, "tools no-images", "none"),
    "moonshot-v1-32k": _able(32_768, None, "tools no-images", "none"),
    "moonshot-v1-128k": _able(131_072, None, "tools no-images", "none"),
    # Z.ai: https://docs.z.ai/guides/overview
    "*glm-4.5v*": _able(65_536, None, "images tools"),
    "*glm-4.6v*": _able(131_072, None, "images tools"),
    "*glm-5v*": _able(202_752, None, "images tools"),
    "*glm-4[.p]5*": _able(131_072, 98_304, "tools no-images"),
    "*glm-4[.p][67]*": _able(202_752, 131_072, "tools no-images"),
    "*glm-5[.p-][23]*": _able(1_000_000, None, "tools"),
    "*glm-5*": _able(202_752, None, "tools"),
    # MiniMax: https://platform.minimax.io/docs/guides/models-intro
    "minimax-m2-her*": _able(64_000, None, "no-images"),
    "minimax-m2*": _able(204_800, None, "tools no-images", "always"),
    "minimax-m3.1*": _able(1_000_000, None, "tools"),
    "minimax-m3*": _able(524_288, 131_072, "tools"),
    # xAI: https://docs.x.ai/docs/models
    "grok-4.[567]*": _able(500_000, None, "images tools schema", "level"),
    "grok-4.3*": _able(1_000_000, None, "images tools schema"),
    "grok-4.20*": _able(1_000_000, None, "images tools schema"),
    "grok-4*-fast*": _able(2_000_000, None, "images tools schema"),
    "grok-4*": _able(256_000, None, "images tools schema", "always"),
    "grok-code*": _able(256_000, None, "tools schema no-images", "always"),
    "grok-build*": _able(256_000, None, "tools"),
    "grok-3-mini*": _able(131_072, None, "tools schema no-images", "level"),
    "grok-3*": _able(131_072, None, "tools schema no-images", "none"),
    "grok-2-vision*": _able(32_768, None, "images tools schema", "none"),
    # Amazon: https://docs.aws.amazon.com/nova/latest/userguide/what-is-nova.html
    "nova-*sonic*": Abilities(),
    "nova-2-*": _able(1_000_000, None, "images tools", "level"),
    "nova-premier*": _able(1_000_000, None, "images tools", "none"),
    "nova-pro*": _able(300_000, None, "images tools", "none"),
    "nova-lite*": _able(300_000, None, "images tools", "none"),
    "nova-micro*": _able(128_000, None, "tools no-images", "none"),
    # Perplexity: https://docs.perplexity.ai/getting-started/models
    "sonar-pro*": _able(200_000, None, "schema no-tools"),
    "sonar-reasoning*": _able(128_000, None, "schema no-tools", "always"),
    "sonar*": _able(128_000, None, "schema no-tools"),
}
"""Pattern of the bare model id -> what it can do, first match first."""


@lru_cache(maxsize=4096)
def abilities(*names: str) -> Abilities:
    """By what the model is called, here or by the vendor."""
    return by_name(ROWS, names) or UNKNOWN


def by_name(rows: Mapping[str, T], names: Iterable[str]) -> T | None:
    """The first row whose pattern fits one of the names: prefixes of regions, publishers and paths are looked past."""
    for name in names:
        bare = name.lower().rpartition("/")[2]
        for part in (bare, *(bare[at + 1 :] for at, letter in enumerate(bare) if letter == ".")):
            for pattern, row in rows.items():
                if fnmatchcase(part, pattern):
                    return row
    return None
