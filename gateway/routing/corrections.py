"""Does the user correct the answer before? By how the first sentences of what was said begin, in the languages known.

Fixed words only: what a pattern matches is shown as evidence, and must not take the user's own words along. When in
doubt a text is no correction: a failure that was none costs money.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from gateway.dialects.words import SHIPPED, Words

HEAD, TAIL = 400, 200
"""Characters in which words count: what is between is often a log or a file."""
SENTENCES = 2
"""So many at the beginning count, and of a longer text the last."""
LONGEST_MARKER = 80


class Corrections(NamedTuple):
    """One language's patterns, in small letters and with straight apostrophes, as the text is when they are matched."""

    first: tuple[str, ...]
    """How a text begins."""
    denials: tuple[str, ...]
    """How it begins, unless the answer ended with a question: then these answer it."""
    before: str
    """What a sentence may begin with…"""
    within: tuple[str, ...]
    """…before one of these."""
    unless: str
    """Words in that beginning which make a condition, a task or somebody else's word of the rest."""
    pleased: str
    """A text that begins so is none: what follows is the next thing."""
    task: str
    """A sentence that begins so asks for something, and the next one tells more of it."""
    letters: str = ""
    """One of these is in every text of the language; looking for them is quick."""


_FINE = r"(?:ok|okay|fine|good|great|perfect|right|correct|all|it|everything|enough|alright|better|awesome|nice)\b"
# What follows "no" where nothing is denied.
_HARMLESS = (
    r"[\s,.!:;-]*(?:thanks?|thank you|thx|need|problems?|worries|rush|issues?|questions?|idea|changes?|more|other"
    r"|further|comments?|complaints?|objections?"
    rf"|(?:that|it|this)(?:'s| is| was| looks?| seems?)?(?: all| just)? {_FINE}|(?:that|it|this) works"
    r"|(?:all|we'?re|i'?m) (?:good|fine|done|set|happy)|i (?:think|believe|guess) (?:that|it|this|we|you)(?:'s|'re"
    r"| are| is| can| could)? (?:\w+ )?(?:all|done|good|fine|great|merge|commit|ship|stop|finished|ready|okay|ok)\b"
    r"|(?:please )?(?:go ahead|go on|proceed|continue|keep going|carry on|commit|ship)\b|looks? good|nothing"
    r"|never ?mind|not (?:yet|now|really|at all|needed|necessary|for now)|just (?:commit|proceed|continue|go)"
    r"|you (?:can|may|decide|did)|i (?:don'?t have|have no)|go with|let'?s|we(?:'re| are| can))"
)
_END = r"(?=\s*(?:[,.!;:?)*_]|$)| - )"
_NOT_DOING = r"(?:doesn'?t|didn'?t|does not|did not|don'?t|won'?t|isn'?t|is not|still (?:doesn'?t|does not|isn'?t))"
_NOUN = (
    r"(?:file|one|answer|approach|way|direction|function|directory|folder|branch|tests?|line|version|result|output)\b"
)
_WANTED = r"what i (?:asked|meant|want(?:ed)?|said|need(?:ed)?|expected|had in mind)\b"
_IS = r"(?:'s| is| was)(?: still| just| completely| all| simply)?"
# "broken into three modules", "working code" and "not right of me" complain of nothing.
_BROKEN = r"broken\b(?! (?:into|down|up|out|off|by|links?|images?))"
_NOT_RIGHT = (
    r"(?:right|correct|working)\b(?!-| (?:of me|away|now|yet|done|code|hours?|days?|copy|draft|around"
    rf"|on (?!this|that|my|windows|mac|linux|safari|chrome|firefox)))|{_WANTED}"
)
_BAD = rf"(?:wrong\b{_END}|incorrect\b{_END}|{_BROKEN}|not (?:{_NOT_RIGHT}))"
_CHANGE = (
    r"(?:(?:it|that|this|those|these)(?: (?:change|edit)s?)?|(?:your|the)(?: last| latest)? (?:changes?|edits?|commit))"
)
_SAME = rf"(?:exact )?same (?:error|problem|issue|bug|failure)(?: message)?\b(?:{_END}"
_SAME += r"|(?= (?:again|as (?:before|last|the)|still|persists?|remains|happens|here|now|after|when i)\b))"
# What the user wanted, and did not get.
_UNMET = (
    r"(?=[^.!?\n]{1,80}(?:,? not |,? instead\b|\bbut (?:you|this is|that is|that's|it is|it's|i got)\b|\band you\b))"
)

# "Hmm, but", "I ran it again and".
_SIGHS = (
    r"(?:(?:hm+|well|okay|ok|sorry|but|and|so|um+|uh|ugh|wtf|oh|hey|hi|yes|yeah|yep|no|nope|nah|damn|actually|wait|please"
    r"|pls|again|now|unfortunately|sadly|look|man|though|also|apparently|strange|weird|seriously|come on|i think"
    r"|i'm afraid|(?:thanks?|thank you|good|great|nice|perfect|i see)(?: try| work| start| idea)?,? but"
    r"|it (?:seems|looks)(?: like| that)?|(?:seems|looks) like|tried it)\b[\s,.:!;*_-]*)*+"
)
_TRIED = (
    r"(?:(?:i(?:'ve| have)? (?:just )?(?:ran|run|tried|tested|checked|restarted|re-?ran|rebuilt|did|see|looked)"
    r"|(?:even )?after|even (?:with|though))\b[^.!?:;\n]{0,50}?(?:,| and| but)(?: and| but| now)? |(?:even )?(?:after"
    r"|with|since) (?:the|this|that|your) (?:last )?(?:change|fix|edit|update|patch|restart)s? )?"
)
# "The tests in a.py are" still failing.
_WHAT = (
    r"(?:(?:(?:the|these|those|all|my|your|our|some|both|most|it|this|that|there|they|tests?|build|ci|nothing|we|i)\b"
    r"(?:'\w+)?(?: [\w'/.()-]+){0,4}? )?(?:(?:is|are|was|were|am) )?(?=still ))?"
)

CORRECTIONS: Mapping[str, Corrections] = {
    "en": Corrections(
        first=(
            rf"wrong\b(?:{_END}| (?:again\b|place\b|{_NOUN}))",
            rf"incorrect\b{_END}",
            r"actually,? (?=no\b|not (?:that|this|quite|what)\b|use\b|don'?t\b|that(?:'s| is) (?:not|wrong)"
            r"|(?:it|that|this) (?:should|doesn'?t|does not|isn'?t|is not)\b|i (?:asked|meant|wanted|said) (?!to thank)"
            r"|you (?:need|have|must|should|missed|forgot|were)\b)",
            rf"(?:please |pls )?(?:undo|revert|roll ?back) {_CHANGE}\b(?:{_END}|(?= (?:please|now|and|immediately)\b))",
            r"(?:please )?(?:re-?do (?:it|this|that)\b|do (?:it|this|that) (?:again|over)\b)"
            rf"(?:{_END}|(?= (?:with|but|properly|correctly|right|from scratch|without|and)\b))",
            r"(?:please )?don'?t do (?:that|this)\b(?! (?:yet|now|for|in|on|until|if|when|unless|before|by|today"
            r"|first)\b)",
            rf"(?:undo|revert|roll ?back)\b{_END}(?!\s*/)",
            r"i (?:didn'?t|did not|never) (?:ask|tell) (?:for (?=that|this|it)|you (?=to\b)|that\b)",
            rf"not (?:that|this) one\b{_END}",
            r"(?:please )?stop doing (?:that|this|it|so)\b",
            r"you(?:'ve| have)? (?:just |still |again |also )?(?:forgot(?:ten)?|missed|broke|broken|misunderstood"
            r"|misread|ignored|(?:changed|edited|deleted|removed|ran|used|picked) the wrong"
            r"|keep (?:making|doing|breaking|ignoring))\b(?! (?:nothing|none|no|out)\b)",
            r"you (?:didn'?t|did not|haven'?t|have not|still haven'?t) (?=(?:do|fix|run|read|follow|implement|listen"
            r"|answer|actually|change|update|use|add|handle|solve|test|check|save|finish|include|address|even)\b)"
            r"(?!do (?:bad|too|anything wrong)|have to)",
            r"you (?:still )?(?:haven'?t|have not) (?=(?:done|fixed|read|followed|answered|changed|updated|added"
            r"|handled"
            r"|solved|tested|saved|finished|included|addressed|even)\b)",
            r"i (?:already |just )?(?:told|asked) you (?=(?:not|to|twice|already|explicitly)\b)",
            rf"i (?:asked for|wanted)\b{_UNMET}",
            r"i said (?=(?:don'?t|not|no|to|only|just|use|do|that you|the|never|without|in)\b)",
            r"i meant (?=(?:the|a|an|this|in|on|with|not|for|only|use)\b)",
            rf"(?:the )?(?:{_SAME}|same result\b(?:{_END}|(?= (?:again|as before)\b)))",
            rf"(?:still )?{_NOT_DOING} (?:work|compile|build|run|help)\b(?! for (?:now|this)|(?: \w+){{0,3}} yet\b)",
            rf"(?:still )?(?:not working|broken)\b(?:{_END}"
            r"|(?= (?:again|still|yet|at all|for me|either|any ?more|after|when i|with)\b))",
            rf"still (?:no(?= (?:luck|change|difference|effect|output|result|success))|no{_END}|nothing\b{_END}"
            rf"|not(?! sure)|wrong|fails?|failing|{_BROKEN})\b",
            r"not (?:quite|right|correct|what i)\b(?! (?:away|now|yet|sure|done|there yet)\b)",
            r"nope?,? (?:that|it|this)(?:'s| is) (?:wrong|not)\b",
        ),
        denials=(
            rf"no(?=\s*[,.!:;*_-]|\s*$| (?:that|it|this|you|not|don'?t|stop|wait|i)\b)(?!{_HARMLESS})",
            rf"(?:nope|nah)\b(?!{_HARMLESS})",
        ),
        before=_SIGHS + _TRIED + _WHAT,
        within=(
            rf"that{_IS} (?:{_BAD}|not (?:it\b|true|how|the (?:right|correct|one) (?:{_NOUN})|the one\b)"
            rf"|(?:all )?wrong again|the wrong {_NOUN}{_END})",
            rf"(?:this|it){_IS} {_BAD}",
            rf"(?:that|this|it) (?:isn'?t|wasn'?t) (?:{_NOT_RIGHT})",
            rf"you(?:'re| are) (?:wrong|mistaken)\b(?:{_END}|(?= about\b))|you made a mistake\b",
            r"(?:(?:there(?:'s| is)|i(?: can)? (?:get|see)) )?still (?:an?|the|this|that)"
            r" (?:error|bug|problem|issue)\b",
            rf"(?:nothing (?:has )?changed|same thing(?: again)?)\b{_END}",
            rf"(?:(?:the|your|this|that) )?(?:output|result|answer|code|solution|fix|patch|command|total){_IS} {_BAD}",
            rf"(?:this|that|it|which) {_NOT_DOING} (?:work|compile|help|fix|solve|build|pass|make sense|do anything"
            r"|change anything|run)\b(?!(?: \w+){0,3} yet\b)",
            rf"still (?:fail(?:s|ing)?\b|{_BROKEN}|not (?:working|right|correct|fixed|there)|there\b{_END}"
            r"|(?:doesn'?t|does not|isn'?t|don'?t|do not|won'?t|can'?t) (?:work|compile|build|pass|run|help|show"
            r"|match|fix|load|render|start|open|appear|make sense|connect|do what)|wrong|crash(?:es|ing)|happen(?:s"
            r"|ing)|the same|get(?:ting)? (?:the|an|this|that) |see(?:ing)? the (?:same|old|error|bug)"
            r"|(?:throw|show|complain|error)(?:s|ing)\b)",
            rf"(?:that's |this is )?not {_WANTED}",
            r"try (?:it |that |this )?again\b(?! in\b)(?![^.!?\n]*\b(?:later|when|if|once|tomorrow|after)\b)",
            rf"(?:i(?:'m| am)? (?:still )?(?:get(?:ting)?|see(?:ing)?) )?(?:that's |it's |this is )?the {_SAME}",
            r"you (?:broke|misunderstood|misread|ignored)\b(?! (?:nothing|none|no)\b)",
            r"(?:(?:it|that|this) )?(?:fail(?:s|ed)|crash(?:es|ed)|broke) again\b",
        ),
        unless=r"\b(?:if|whether|when|unless|until|in case|ensure|make sure|check (?:that|why|for)|should|so that"
        r"|says?|said|explain|assume|suppose|why|users?|customers?|people|would|where|who|which|because|reports?"
        r"|reported|fix|add"
        r"|write|implement|handle|next|find|nothing is)\b",
        pleased=r"(?:great|perfect|thanks?|thank you|thx|awesome|nice(?! try)|excellent|good(?! try)|cool|lovely"
        r"|wonderful|fantastic|amazing|brilliant|(?:it |that |this |now )?work(?:s|ed)|well done|yes|yep|yeah|yup|lgtm"
        r"|looks good"
        r"|all good)\b(?![^.!?\n]{0,80}\b(?:but|however|except|still|though)\b)",
        task=r"(?:(?:please|pls|now|then|also|okay|ok|so|and|but|first)\b[\s,:]*)*+(?:add|fix|write|create|make"
        r"|implement|translate|explain|refactor|update|rename|move|remove|delete|change|build|check|let'?s|(?:can"
        r"|could|would|will) (?:you|we)|test|document|find|show|summari[sz]e|use|set|put|generate|here(?:'s| is| are)"
        r"|review|investigate|consider|suppose|imagine|we have|there(?:'s| is| are)|our|users?|customers?|next|new"
        r"|read|open|debug|correct|handle|given|how|why|what|where|who|describe|tell|convert|port|migrate|help|improve"
        r"|optimi[sz]e|continue|go on"
        r"|the (?:next|user|customer|app|page|site|button))\b",
    ),
    "zh": Corrections(
        first=(
            r"不[对對](?![称稱齐齊等外内內劲勁的])(?![^。！!，,]{0,4}[吗嗎])",
            r"[错錯]了(?![^。！!，,]{0,4}[吗嗎]|[的就])|[错錯](?:的|误|誤)(?=[，,。！!]|$)|全[错錯]",
            r"重新(?:来|來|做|写|寫|改|生成|执行)(?![^，,。！!]{0,8}的)|重[来來做写寫](?=[，,。！!吧]|$|一)"
            r"|再[试試]一?[次下遍](?![的按])|再[来來做]一[次遍]",
            r"你(?:[弄搞改写寫理解看做]*[错錯]了|忘了(?![^，,。！!]{0,6}也)|漏了"
            r"|[没沒]有?(?:改|修|做|按|看|理解|[听聽]|[运運]行|解[决決])(?![错錯]))",
            r"[别別](?:这样|這樣|[乱亂]改)|不要(?:这样|這樣|[乱亂]改)(?!的)",
            r"撤[销銷回](?=[，,。！!吧]|$|刚|剛|上|这|這|那|你|修改|更改)",
            r"[没沒](?:用|成功|效果|反应|有用)(?=[，,。！!啊]|$)",
            r"[还還]是(?:不(?:行|[对對]|能|可以)|[报報]|[错錯]|失)(?![^，,。！!]{0,8}的)|[还還]是(?:老[问問][题題]|[没沒]有?|有)(?=[，,。！!]|$|[问問]|[错錯]|[变變]|反"
            r"|效|用)",
            r"(?:[报報][错錯]了|回[滚滾]|恢复原[样來来]|[这這][样樣]不行|不要改[这這那我]|[没沒](?:有)?[变變]化)(?=[，,。！!吧]|$|个|個|文|的[文那代])",
            r"(?:[错錯][误誤]|[问問][题題])(?:[还還]在|依旧|依然存在|仍在)(?![的吗嗎])",
            r"我(?:[说說]的|要的|想要的)(?:不)?是|我是[说說要让讓](?!可以|好|行)",
        ),
        denials=(
            r"不行(?!的[话話])|不是(?=[，,。！!]|$)|不是(?:这|這|那|我|[说說]|的)(?![^，,。！!]{0,6}[吗嗎])"
            r"|不(?=[，,。！!])(?![，,。！!]\s*(?:谢|謝|需|客|可以|继|繼|没|沒|就))|[并並]不是",
        ),
        before=r"[^。！？!?\n]{0,40}?",
        within=(
            r"(?:[还還]是|仍然?|依然|依[旧舊])(?:不行|不[对對]|不能|不可以|不[成]功|[报報][错錯]|[错錯]|失[败敗]|[没沒]有?"
            r"(?:[变變]|反|效|用|解|修|改|生)|有[问問][题題]|有[错錯]|[打跑用连連]不|老[问問][题題]|[无無]法|一[样樣]的?[错錯问問]|同[样樣]的)",
            r"[没沒]有?(?:解[决決]|生效|修好|修[复復]|改[对對]|改好|成功|效果|起作用)",
            r"不是(?:这[样樣]的?|這樣|我(?:要|想要?|[说說])的)(?![吗嗎])",
            r"(?<![没沒不会會])(?:做|弄|搞|改|[写寫]|理解|算|[选選]|用|看)[错錯]了(?![吗嗎])",
            r"(?<![对對])不[对对](?![称稱齐齊等外内內劲勁])(?![^。！!，,]{0,4}[吗嗎？?])",
            r"(?:[结結]果|答案|[这這][里裏个個]?|[输輸]出)(?:[还還都也仍就又是]|依然|完全|好像){0,2}(?:不正[确確]|有[误誤]|是[错錯]的)",
            r"又(?:[报報][错錯]|失[败敗]|出[错錯]|[错錯]了|[崩挂掛]了)|(?:[运運]行|跑|用|[编編][译譯])不了",
        ),
        unless=r"如果|要是|假如|是否|有[没沒]有|万一|萬一|的[话話]|[对對]不[对對]|当|當|[确確]保|避免|防止|提示|判[断斷]|[检檢]查|[处處]理|[显顯]示|不[错錯]|修[复復正]|修一下"
        r"|添加|新|增加|加[上一个個]|[写寫][一个個]|[实實][现現]"
        r"|翻[译譯]|把|[请請]|[帮幫]|用[户戶]|客[户戶]|[他她]|解[释釋]|[为為]什|原因|看看|[为為]何|[测測][试試]一下|(?<![你我])[说說]",
        pleased=r"(?:很好|好的|好，|[谢謝][谢謝]|感[谢謝]|不[错錯]|太好了|太棒|完美|可以了|[没沒][问問][题題]|[没沒][错錯]"
        r"|[对對][，,。]|搞定|成功了|嗯)(?![^。！？\n]{0,30}(?:但|可是|不[过過]|然而))(?![^。！？\n]{0,3}[，,][还還]是)",
        task=r"[请請帮幫把给給写寫加改新]|添加|增加|[实實][现現]|修[复復]|翻[译譯]|[现現]在|接下[来來]|下一步|然后|然後|另外"
        r"|[检檢]查|看看|解[释釋]|用[户戶]",
        letters=r"[\u4e00-\u9fff]",
    ),
}
"""Language -> how its speakers say that an answer was wrong."""

# What a sentence tells of, and does not say: "修复登录还是报错的问题".
_ATTRIBUTE = (
    r"(?![^，。！？,!?\n]{0,12}的(?:[问問][题題]|[时時]候|情[况況]|地方|原因|bug|[场場]景|用[户戶]|文件|接口|[页頁]面|[测測][试試]|部分|[请請]求|[订訂][单單]|[话話]"
    r"|[数數]|代[码碼]))"
)


class _Language(NamedTuple):
    """The patterns as one looks for them."""

    letters: re.Pattern[str]
    first: re.Pattern[str]
    denials: re.Pattern[str]
    sentence: re.Pattern[str]
    unless: re.Pattern[str]
    pleased: re.Pattern[str]
    task: re.Pattern[str]


class _Own(NamedTuple):
    """An operator's phrases, wherever they stand, but not behind the words that make a condition of them."""

    phrases: re.Pattern[str]
    unless: re.Pattern[str]


def corrects(text: str, asked: bool = False, words: Words = SHIPPED) -> str:
    """The marker by which the user's text, without wrappers, corrects the answer before; "": it does not.

    ``asked``: the answer ended with a question. Linear: it looks at the head and the tail alone.
    """
    head, tail = _plain(text[:HEAD]), _plain(text[max(HEAD, len(text) - TAIL) :])
    languages, own = _known(words)
    found = next((match for part in (head, tail) for match in _unconditional(own, part)), None) if own else None
    # Quoted words are not the user's own.
    head, tail = (_QUOTED.sub("…", part).strip(_BEFORE) for part in (head, tail))
    for language in languages:
        if found is None and language.letters.search(head):
            found = _found(language, head, tail, asked)
    return found[found.lastgroup or 0].strip(" \t\n.,!:;-")[:LONGEST_MARKER] if found else ""


# Marks that people put before what they say.
_BEFORE = " \t\n\"'*_>-—.…,!?#"
_STRAIGHT = str.maketrans("’‘“”", "''\"\"")
_SENTENCE = re.compile(r"[.!?](?=\s|$)|[\n。！？；]")
# Words of others: quoted lines, and what stands in quotation marks.
_QUOTED = re.compile(r"^>.*$|\"[^\"\n]*\"|`[^`\n]*`|「[^」\n]*」|『[^』\n]*』", re.MULTILINE)


def _plain(text: str) -> str:
    return (text if text.isascii() else text.translate(_STRAIGHT)).lower()


def _found(language: _Language, head: str, tail: str, asked: bool) -> re.Match[str] | None:
    if language.pleased.match(head):
        return None
    found = language.first.match(head) or (None if asked else language.denials.match(head))
    for sentence in _sentences(language, head, tail):
        match = language.sentence.match(sentence)
        if found is None and match and not language.unless.search(sentence, 0, match.start("said")):
            found = match
    return found


def _sentences(language: _Language, head: str, tail: str) -> Iterator[str]:
    """Those that count: the first ones, the last; where the first sets a task, that alone."""
    first, *more = [part.strip(_BEFORE) for part in _SENTENCE.split(head, SENTENCES)[:SENTENCES]]
    yield first
    if not language.task.match(first):
        yield from more
        # The tail may begin in the middle of a sentence.
        yield from _SENTENCE.split(tail)[1:][-1:]


def _unconditional(own: _Own, text: str) -> Iterator[re.Match[str]]:
    """Where a phrase stands and nothing before it in the sentence makes a condition of it."""
    for match in own.phrases.finditer(text):
        ends = [end.end() for end in _SENTENCE.finditer(text, 0, match.start())]
        if not own.unless.search(text, ends[-1] if ends else 0, match.start()):
            yield match


@lru_cache(maxsize=8)
def _known(words: Words) -> tuple[tuple[_Language, ...], _Own | None]:
    known = [CORRECTIONS[language] for language in words.languages if language in CORRECTIONS]
    unless = _any_of(each.unless for each in known)
    own = _Own(_any_of(map(_phrase, words.corrections)), unless) if words.corrections else None
    return tuple(_language(each) for each in known), own


def _language(known: Corrections) -> _Language:
    within = _any_of(known.within).pattern
    after = _ATTRIBUTE if known.letters else ""
    return _Language(
        re.compile(known.letters),
        _any_of(known.first),
        _any_of(known.denials),
        re.compile(f"{known.before}(?P<said>{within}){after}"),
        re.compile(known.unless),
        re.compile(known.pleased),
        re.compile(known.task),
    )


def _any_of(rows: Iterable[str]) -> re.Pattern[str]:
    # With no rows, what matches nothing.
    return re.compile("|".join(f"(?:{row})" for row in rows) or r"(?!)")


def _phrase(phrase: str) -> str:
    """Whole words, where words have bounds."""
    plain = _plain(phrase)
    before = r"(?<![a-z0-9_])" if plain[:1].isascii() and plain[:1].isalnum() else ""
    after = r"(?![a-z0-9_])" if plain[-1:].isascii() and plain[-1:].isalnum() else ""
    return f"{before}{re.escape(plain)}{after}"
