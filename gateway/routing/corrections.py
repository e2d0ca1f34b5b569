"""Does the user correct the answer before? By words at the head or the tail of what was said, in the languages known.

Fixed words only: what a pattern matches is shown as evidence, and must not take the user's own words along.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from gateway.dialects.words import SHIPPED, Words

HEAD, TAIL = 400, 200
"""Characters in which words count: what is between is often a log or a file."""
LONGEST_MARKER = 80


class Corrections(NamedTuple):
    """One language's patterns, in small letters and with straight apostrophes, as the text is when they are matched."""

    first: tuple[str, ...]
    """How a text begins."""
    denials: tuple[str, ...]
    """How it begins, unless the answer ended with a question: then these answer it."""
    within: tuple[str, ...]
    """Anywhere."""
    hints: str
    """One of these is in every text that ``within`` matches; looking for them is much quicker."""
    unless: str
    """Words that make a condition, a question or a task of what comes behind them in the same sentence."""
    ascii: bool
    """It is written in ASCII: a text may be."""


_FINE = r"(?:ok|okay|fine|good|great|perfect|right|correct|all|it|everything|enough|alright|better|awesome|nice)\b"
# What follows "no" where nothing is denied.
_HARMLESS = (
    r"[\s,.!:;-]*(?:thanks?|thank you|thx|need|problems?|worries|rush|issues?|questions?|idea|changes?|more|other"
    rf"|further|(?:that|it|this)(?:'s| is| was| looks?| seems?| works)?(?: all| just)? {_FINE}"
    r"|(?:all|we'?re|i'?m) (?:good|fine|done|set)"
    r"|(?:please )?(?:go ahead|proceed|continue|keep going|carry on|commit|ship)\b|looks? good|nothing|never ?mind"
    r"|not (?:yet|now|really|needed|necessary|for now)|just (?:commit|proceed|continue|go)|you (?:can|may|decide))"
)
# What follows "actually" where nothing is wrong.
_WELCOME = (
    r"(?:that(?:'s| is)|this is|it(?:'s| is)|looks?|works?|never ?mind|thanks?|thank you|wow)(?: \w+)? ?"
    rf"(?:{_FINE}|works?\b|$)|{_FINE}|(?:it|that|this) (?:all )?works|works\b|never ?mind|thanks?\b|thank you|let'?s"
    r"|can you|could you|would you|please also|also|one more|while you|before (?:that|you)"
    r"|i (?:like|love|prefer|think it)"
)
_IS = r"(?:'s| is| was)(?: still| just| completely| all| simply)? "
_NOT_DOING = r"(?:doesn'?t|didn'?t|does not|did not|don'?t|won'?t|isn'?t|is not|still (?:doesn'?t|does not|isn'?t))"

CORRECTIONS: Mapping[str, Corrections] = {
    "en": Corrections(
        first=(
            r"wrong(?=\s*[,.!:;]|\s*$| (?:again|file|one|answer|approach|way|direction|place|function|directory|folder"
            r"|branch|tests?|line|version)\b)",
            r"incorrect(?=\s*[,.!:;]|\s*$)",
            rf"actually,(?! (?:{_WELCOME}))",
            r"actually (?=no\b|you\b|it should|that should|i (?:asked|meant|wanted|said))",
            r"(?:please )?(?:undo|revert|roll ?back) (?:that|this|it|your|those|these)\b",
            r"(?:please )?(?:re-?do (?:it|this|that)|do (?:it|this|that) (?:again|over))\b",
            r"(?:please )?don'?t do (?:that|this)\b|stop doing\b",
            r"you(?:'ve| have)? (?:just )?(?:forgot(?:ten)?|missed|broke|broken|misunderstood|ignored"
            r"|(?:changed|edited|deleted|removed|ran|used|picked) the wrong|keep (?:making|doing|breaking|ignoring))\b",
            r"you (?:didn'?t|did not|haven'?t|have not|still haven'?t) (?=do|fix|run|read|follow|implement|listen"
            r"|answer|actually|change|update|use|add|handle|solve|test|check|save|finish|include|address)",
            r"i (?:told you|asked (?:you )?(?:for|to)|said|meant)\b",
            r"i wanted\b(?! to (?:ask|know|check|see|say|thank|add|also))",
            r"(?:the )?same (?:error|problem|issue|bug|failure|result)\b",
            rf"(?:still )?{_NOT_DOING} (?:work|compile|build|run|help)\b",
            r"(?:still )?(?:not working|broken)\b|still (?:not|no|wrong|fails?|failing)\b",
            r"not (?:quite|right|correct|what i)\b(?! away| now)|nope?,? (?:that|it|this)(?:'s| is) (?:wrong|not)\b",
        ),
        denials=(
            rf"no(?=\s*[,.!:;*_-]|\s*$| (?:that|it|this|you|not|don'?t|stop|wait|i)\b)(?!{_HARMLESS})",
            rf"(?:nope|nah)\b(?!{_HARMLESS})",
        ),
        within=(
            rf"that{_IS}(?:wrong|incorrect|broken|not (?:right|correct|what i|it\b|true|how|working"
            r"|the (?:right|correct|one))|the wrong)",
            rf"(?:this|it|output|result|answer|code){_IS}"
            r"(?:wrong|incorrect|broken|not (?:right|correct|working|what i))\b",
            rf"(?:this|that|it|which) {_NOT_DOING} (?:work|compile|help|fix|solve|build|pass|make sense|do anything"
            r"|change anything|run)\b",
            r"still (?:fail(?:s|ing)?|broken|not (?:working|right|correct|fixed|there)|(?:doesn'?t|does not|isn'?t"
            r"|don'?t)\b|wrong|crash(?:es|ing)|happen(?:s|ing)|the same|get(?:ting)? (?:the|an|this|that) "
            r"|see(?:ing)? the (?:same|error|bug)|(?:throw|show|complain|error)(?:s|ing)\b)",
            r"not what i (?:asked|meant|wanted|said|need|had in mind)",
            r"(?:(?<=[.!,;:\n])|(?<=[.!,;:\n] )|(?<=please )|(?<=pls )|(?<=now )|(?<=so )|(?<=^))"
            r"try (?:it |that |this )?again\b(?! (?:later|when|if|once|tomorrow|after))",
            r"same (?:error|problem|issue|bug|failure) (?:again|as before|still)|the same error\b",
            r"you (?:broke|misunderstood|ignored)\b|(?:fail(?:s|ed|ing)|crash(?:es|ed)|broke) again\b",
        ),
        hints=r"wrong|incorrect|broke|still |again|same error|misunderstood|ignored"
        r"|not (?:right|correct|what i|it\b|true|how|working|the )|(?:n'?t|not) (?:work|compile|help|fix|solve|build"
        r"|pass|make sense|do any|change|run)",
        unless=r"\b(?:if|whether|when|unless|until|in case|ensure|make sure|check (?:that|why|for)|what to do|should"
        r"|so that|says?|said|message|test (?:that|for)|explain|assume|suppose|why does|users?|would)\b",
        ascii=True,
    ),
    "zh": Corrections(
        first=(
            r"不[对對](?![称稱齐齊等外内內劲勁])(?![^。！!，,]{0,4}[吗嗎])",
            r"[错錯](?:了|的|误)(?![^。！!，,]{0,4}[吗嗎])|全[错錯]",
            r"重新(?:来|來|做|写|寫|改|生成|执行)|重[来來做写寫](?![源])|再[试試]一?[次下遍]|再[来來做]一[次遍]",
            r"你(?:[弄搞改写寫理解看做]*[错錯]了|忘了|漏了"
            r"|[没沒]有?(?:改|修|做|按|看|理解|[听聽]|[运運]行|解[决決]))",
            r"[别別](?:这样|這樣|[乱亂]改)|不要(?:这样|這樣|[乱亂]改)|撤[销銷回]",
            r"[没沒](?:用|成功|效果|反应|有用)|[还還]是(?:不|[没沒]|[报報]|[错錯]|失|有|那)",
            r"我(?:[说說]的|要的|想要的)(?:不)?是|我是[说說要让讓]",
        ),
        denials=(r"不行(?!的[话話])|不是(?=[，,。！!]|$)|不是(?:这|這|那|我|[说說]|的)|不(?=[，,。！!])|[并並]不是",),
        within=(
            r"[还還]是(?:不行|不[对對]|不能|不可以|不[成]功|[报報][错錯]|[错錯]|失[败敗]|[没沒]|有[问問][题題]|有[错錯]"
            r"|[无無]法|一[样樣]的?[错錯问問]|同[样樣]的)",
            r"(?:仍然?|依然|依[旧舊])(?:不行|不[对對]|不能|[报報][错錯]|失[败敗]|[无無]法|有[问問][题題]|[没沒]有?|[错錯])",
            r"[没沒]有?(?:解[决決]|生效|修好|修[复復]|改[对對]|改好|成功|效果|起作用)",
            r"不是(?:这[样樣]的?|這樣|我(?:要|想要?|[说說])的)(?![吗嗎])",
            r"(?<![没沒不会會])(?:做|弄|搞|改|[写寫]|理解|算|[选選]|用|看)[错錯]了(?![吗嗎])",
            r"(?<![对對])不[对對](?![称稱齐齊等外内內劲勁])(?![^。！!，,]{0,4}[吗嗎？?])",
            r"(?:[结結]果|答案|[这這][里裏个個]?|[输輸]出)[^。！!，,\n]{0,4}(?:不正[确確]|有[误誤]|是[错錯]的)",
            r"又(?:[报報][错錯]|失[败敗]|出[错錯]|[错錯]了|[崩挂掛]了)|(?:[运運]行|跑|用|[编編][译譯])不了",
        ),
        hints=r"不|[错錯]|[没沒]|[还還]是|仍|依|又|有[误誤]",
        unless=r"如果|要是|假如|是否|有[没沒]有|万一|萬一|的[话話]|[对對]不[对對]|当|當|[确確]保|避免|防止|提示"
        r"|判[断斷]|[检檢]查|[处處]理|[显顯]示|不[错錯]",
        ascii=False,
    ),
}
"""Language -> how its speakers say that an answer was wrong."""


class _Language(NamedTuple):
    """The patterns as one looks for them. ``own``: an operator's phrases, conditional like the rest."""

    ascii: bool
    first: re.Pattern[str]
    denials: re.Pattern[str]
    hints: re.Pattern[str]
    within: re.Pattern[str]
    unless: re.Pattern[str]


def corrects(text: str, asked: bool = False, words: Words = SHIPPED) -> str:
    """The marker by which the user's text, without wrappers, corrects the answer before; "": it does not.

    ``asked``: the answer ended with a question. Linear: it looks at the head and the tail alone.
    """
    ends = [_plain(part) for part in (text[:HEAD], text[max(HEAD, len(text) - TAIL) :]) if part]
    begins = ends[0].lstrip(_BEFORE) if ends else ""
    for language in _languages(words):
        if language.ascii or not text.isascii():
            found = language.first.match(begins) or (None if asked else language.denials.match(begins))
            found = found or next((match for part in ends for match in _unconditional(language, part)), None)
            if found:
                return found[0].strip(" \t\n.,!:;-")[:LONGEST_MARKER]
    return ""


# Marks that people put before what they say.
_BEFORE = " \t\n\"'*_>-—.…,!?#"
_STRAIGHT = str.maketrans("’‘“”", "''\"\"")
_SENTENCE = re.compile(r"[.!?;](?=\s|$)|[\n。！？；]")


def _plain(text: str) -> str:
    return (text if text.isascii() else text.translate(_STRAIGHT)).lower()


def _unconditional(language: _Language, text: str) -> Iterator[re.Match[str]]:
    """Where the patterns match and nothing before them in the sentence makes a condition of it."""
    if not language.hints.search(text):
        return
    for match in language.within.finditer(text):
        ends = [end.end() for end in _SENTENCE.finditer(text, 0, match.start())]
        if not language.unless.search(text, ends[-1] if ends else 0, match.start()):
            yield match


@lru_cache(maxsize=8)
def _languages(words: Words) -> tuple[_Language, ...]:
    known = [CORRECTIONS[language] for language in words.languages if language in CORRECTIONS]
    return (*(_language(each) for each in known), *([_own(words, known)] if words.corrections else []))


def _language(known: Corrections) -> _Language:
    within = (rf"\b{row}" if known.ascii and row[:1].isalpha() else row for row in known.within)
    return _Language(
        known.ascii,
        _any_of(known.first),
        _any_of(known.denials),
        re.compile(known.hints),
        _any_of(within),
        re.compile(known.unless),
    )


def _own(words: Words, known: Iterable[Corrections]) -> _Language:
    phrases = _any_of(map(_phrase, words.corrections))
    return _Language(True, phrases, _any_of(()), phrases, phrases, _any_of(each.unless for each in known))


def _any_of(rows: Iterable[str]) -> re.Pattern[str]:
    # With no rows, what matches nothing.
    return re.compile("|".join(f"(?:{row})" for row in rows) or r"(?!)")


def _phrase(phrase: str) -> str:
    """Whole words, where words have bounds."""
    plain = _plain(phrase)
    before = r"(?<![a-z0-9_])" if plain[:1].isascii() and plain[:1].isalnum() else ""
    after = r"(?![a-z0-9_])" if plain[-1:].isascii() and plain[-1:].isalnum() else ""
    return f"{before}{re.escape(plain)}{after}"
