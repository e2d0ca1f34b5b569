"""How well models do each kind of work, by name: what is believed before anything was measured.

Grades are coarse on purpose. They follow what is commonly agreed of model families (their makers' own tiers, public
leaderboards for coding, mathematics, tool use and vision, and sizes of open weights), not any single number; nobody's
benchmark is the work that comes through this gateway. So a grade weighs no more than a few measured answers, and a
model nobody has graded is expected to be middling, with less weight still. What a model can do at all (see images,
call tools, its window) is in ``gateway.abilities``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from gateway.abilities import by_name
from gateway.routing.tasks import TASKS

LANGUAGES = "languages"
"""The skill of texts in letters other than Latin ones."""

SKILLS = (*(task for task in TASKS if task != "embeddings"), LANGUAGES)
"""What is graded: every task (``tools`` is tool use wherever there are tools), and languages."""

BELIEVED, GUESSED, TOLD = 8.0, 2.0, 12.0
"""What a grade weighs, in measured answers: of a family that is known, of one that is not, as the operator says it."""


class Grades(msgspec.Struct, frozen=True):
    """Skill -> the expected score of an answer, from 0 to 1. ``weight``: how many measured answers that is worth."""

    of: Mapping[str, float]
    weight: float = BELIEVED

    def grade(self, skill: str) -> tuple[float, float]:
        """The expected score and its weight."""
        return self.of.get(skill, UNGRADED), self.weight

    def but(self, **skills: float) -> Grades:
        return Grades({**self.of, **skills}, self.weight)


def _all(grade: float, weight: float = BELIEVED, **skills: float) -> Grades:
    return Grades({**dict.fromkeys(SKILLS, grade), **skills}, weight)


UNGRADED = 0.5
"""What is expected where there is no grade: of embeddings."""
UNKNOWN = _all(0.75, GUESSED)
TOP = _all(0.93)
STRONG = _all(0.89, reasoning=0.87, maths=0.87, vision=0.86)
GOOD = _all(0.82, code=0.8, reasoning=0.76, maths=0.77, tools=0.79, vision=0.78)
SMALL = _all(0.72, chat=0.77, writing=0.74, code=0.64, reasoning=0.6, maths=0.62, tools=0.64, languages=0.64)
TINY = _all(0.55, chat=0.64, code=0.4, reasoning=0.38, maths=0.4, tools=0.4, languages=0.42)
# What was the best of its day, and called tools awkwardly, if at all.
DATED = _all(0.7, chat=0.77, writing=0.77, code=0.6, reasoning=0.58, maths=0.5, tools=0.5, vision=0.55, structured=0.58)

_THINKER = {"reasoning": 0.9, "maths": 0.92}
_CODER = {"code": 0.88, "tools": 0.86}

ROWS: Mapping[str, Grades] = {
    # Anthropic
    "*claude-fable*": TOP,
    "*claude-mythos*": TOP,
    "*claude-opus-[5-9]*": TOP,
    "*claude-opus-4[.-][5-9]*": TOP,
    "*claude-opus-4*": STRONG.but(code=0.91, tools=0.91),
    "*claude-4-opus*": STRONG.but(code=0.91, tools=0.91),
    "*claude-sonnet-[5-9]*": TOP.but(reasoning=0.91, maths=0.9),
    "*claude-sonnet-4[.-][5-9]*": STRONG.but(code=0.92, tools=0.92),
    "*claude-sonnet-4*": STRONG.but(code=0.9, tools=0.9),
    "*claude-4-sonnet*": STRONG.but(code=0.9, tools=0.9),
    "*claude-haiku-[4-9]*": GOOD.but(**_CODER),
    "*claude-3[.-]7*": STRONG.but(maths=0.82),
    "*claude-3[.-]5-haiku*": GOOD.but(reasoning=0.7, maths=0.66, vision=0.7),
    "*claude-3[.-]5*": GOOD.but(code=0.86, tools=0.84, maths=0.74),
    "*claude-3-haiku*": SMALL,
    "*claude-3-*": GOOD.but(maths=0.62, code=0.74),
    "*claude-2*": DATED,
    "*claude-instant*": TINY,
    # OpenAI
    "gpt-[5-9]*nano*": SMALL.but(structured=0.8),
    "gpt-[5-9]*mini*": GOOD.but(maths=0.86, reasoning=0.82, structured=0.88),
    "gpt-5*-chat*": GOOD.but(chat=0.9, writing=0.88),
    "gpt-[5-9]*": TOP.but(writing=0.9),
    "gpt-4.1-nano*": SMALL.but(reasoning=0.52, maths=0.56, structured=0.78),
    "gpt-4.1-mini*": GOOD.but(code=0.76, reasoning=0.7),
    "gpt-4.1*": STRONG.but(reasoning=0.8, maths=0.8),
    "gpt-4o-mini*": SMALL.but(chat=0.81, writing=0.79, structured=0.82, languages=0.75),
    "gpt-4o*": GOOD.but(chat=0.87, writing=0.86, structured=0.88),
    "chatgpt-4o*": GOOD.but(chat=0.88, writing=0.87),
    "gpt-4-turbo*": GOOD.but(maths=0.68, structured=0.74),
    "gpt-4*": DATED.but(reasoning=0.7, code=0.7),
    "gpt-3.5*": DATED.but(reasoning=0.45, maths=0.4, code=0.52, tools=0.5),
    "o1-mini*": GOOD.but(**_THINKER),
    "o3-mini*": GOOD.but(**_THINKER),
    "o4-mini*": GOOD.but(**_THINKER, vision=0.84, code=0.85),
    "o[134]*": STRONG.but(reasoning=0.92, maths=0.93),
    "*gpt-oss-*120b*": GOOD.but(maths=0.88, reasoning=0.82, languages=0.72),
    "*gpt-oss*": SMALL.but(maths=0.8, reasoning=0.72),
    # Google
    "gemini-[3-9]*flash-lite*": GOOD.but(code=0.74),
    "gemini-[3-9]*flash*": STRONG,
    "gemini-[3-9]*": TOP,
    "gemini-2.5-flash-lite*": SMALL.but(vision=0.76, languages=0.76),
    "gemini-2.5-flash*": GOOD.but(vision=0.84, languages=0.86, maths=0.84),
    "gemini-2.5*": STRONG.but(vision=0.9, languages=0.91, maths=0.9, reasoning=0.9),
    "gemini-2.0-flash-lite*": SMALL.but(vision=0.74),
    "gemini-2.0*": GOOD.but(code=0.72, reasoning=0.7),
    "gemini-1.5-flash*": SMALL,
    "gemini-1*": GOOD.but(code=0.68, tools=0.66, maths=0.66),
    "gemma-*-[0-4]b*": TINY,
    "gemma*": SMALL,
    # Mistral
    "mistral-large*": GOOD.but(languages=0.85),
    "mistral-medium*": GOOD.but(code=0.84),
    "magistral*": GOOD.but(reasoning=0.83, maths=0.85, tools=0.7),
    "codestral*": GOOD.but(code=0.85, chat=0.74, writing=0.68, reasoning=0.66),
    "devstral*": GOOD.but(**_CODER, chat=0.75, writing=0.7),
    "pixtral-large*": GOOD,
    "ministral*": TINY.but(chat=0.7, writing=0.66),
    "*mixtral*": DATED,
    "mistral-*": SMALL,
    "pixtral*": SMALL,
    # Open weights and those who train them
    "*deepseek*distill*": SMALL.but(reasoning=0.76, maths=0.82, tools=0.45),
    "deepseek-reasoner*": STRONG.but(**_THINKER, tools=0.8),
    "deepseek[.-]r1*": STRONG.but(**_THINKER, tools=0.6),
    "deepseek-v[4-9]*": STRONG.but(code=0.9),
    "deepseek[.-]*": STRONG.but(tools=0.83),
    "qwen3*coder*": GOOD.but(**_CODER, languages=0.84),
    "qwen3*max*": STRONG.but(languages=0.9),
    "qwen3*-vl-*": GOOD.but(vision=0.87, languages=0.86),
    "qwen3*235b*": STRONG.but(languages=0.9, tools=0.84),
    "qwen*[:-][0-4]b*": TINY.but(languages=0.6),
    "qwen*[:-][0-3].[0-9]b*": TINY.but(languages=0.6),
    "qwen*[:-][78]b*": SMALL.but(languages=0.76),
    "qwq*": GOOD.but(reasoning=0.86, maths=0.88, languages=0.84),
    "qwen-flash*": SMALL.but(languages=0.8),
    "qwen*": GOOD.but(languages=0.87),
    "kimi-k[3-9]*": TOP.but(vision=0.86),
    "kimi-*": STRONG.but(languages=0.9),
    "*glm-[5-9]*": STRONG.but(code=0.91, tools=0.91, languages=0.91),
    "*glm-4*air*": GOOD.but(languages=0.86),
    "*glm-4*": STRONG.but(reasoning=0.84, languages=0.9),
    "minimax-m*": STRONG.but(reasoning=0.84),
    "*llama-4-maverick*": GOOD,
    "*llama-4*": GOOD.but(code=0.7, reasoning=0.68),
    "*llama*405b*": GOOD,
    "*llama*70b*": GOOD.but(maths=0.7, languages=0.66, tools=0.72),
    "*llama*90b*": GOOD.but(maths=0.66, languages=0.62, tools=0.6),
    "*llama*[:-][13]b*": TINY,
    "*llama*[:-][78]b*": SMALL.but(tools=0.54, languages=0.5),
    "*phi-*": SMALL.but(maths=0.72, languages=0.45),
    # xAI, Cohere, Amazon, Perplexity
    "grok-code*": GOOD.but(**_CODER, writing=0.68),
    "grok-*-mini*": GOOD.but(maths=0.86, reasoning=0.84),
    "grok-4*fast*": STRONG.but(writing=0.84),
    "grok-[4-9]*": TOP.but(writing=0.88, vision=0.85),
    "grok-3*": STRONG.but(tools=0.82),
    "command-a*": GOOD.but(code=0.68, languages=0.86),
    "command-r*": SMALL.but(writing=0.78, languages=0.76),
    "nova-premier*": GOOD,
    "nova-2-*": GOOD,
    "nova-pro*": GOOD.but(code=0.7, reasoning=0.68),
    "nova-*": SMALL,
    "sonar*": GOOD.but(code=0.64, writing=0.8),
}
"""Pattern of the bare model id -> its grades, first match first."""


@lru_cache(maxsize=4096)
def grades(model: str) -> Grades:
    """By what the model is called, as ``gateway.abilities`` reads names."""
    return by_name(ROWS, (model,)) or UNKNOWN
