"""What kind of work a request is, from features that cost little: a small closed set of words, and how each is known.

A sign is a word or a mark in the user's last text; a table says which sign speaks for which task, and how much. The
text decides, not the step: within one job (a tool loop) it stays the same, and so does the task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.chat import Facts
from gateway.routing.turns import Reading

TASKS: Mapping[str, str] = {
    "chat": "nothing below",
    "code": "writing, reading or mending programs",
    "reasoning": "weighing, explaining, planning",
    "maths": "calculating, proving",
    "writing": "texts for people: drafts, translations, summaries",
    "tools": "tools are on offer, and the text says nothing more",
    "vision": "images are in the request",
    "structured": "JSON is to come out (`response_format`)",
    "embeddings": "vectors are asked for",
}
"""Task -> what it means; the values of the metric label ``task_type``."""

HEAD, TAIL = 600, 400
"""Characters of a text that are looked at: what is pasted stands in the middle, what is wanted at an end."""

SHORT = 160
"""A text of at most so many characters that says nothing of its own ("go on", "still wrong") goes on with the job."""

ENOUGH = 2
"""The weight a task needs to be believed."""

# Where two tasks weigh the same, the first of them is it.
_WORDS: Mapping[str, Mapping[int, str]] = {
    "maths": {
        2: "integral integrate derivative differentiate equation equations theorem lemma probability eigenvalue "
        "eigenvalues polynomial factorial permutations logarithm trigonometry algebra calculus geometry "
        "arithmetic maths math mathematics quadratic hypotenuse divisor gcd modulo variance calculate "
        "perimeter",
        1: "solve prove proof compute expected number numbers area matrix vector prime primes triangle percent "
        "percentage sum ratio average median interest dice angle radius circle square root many much times",
    },
    "code": {
        2: "code codebase refactor refactoring debug traceback stacktrace exception compile compiler compiles "
        "unittest pytest jest regex sql python javascript typescript rust golang java kotlin swift c++ c# "
        "php ruby bash html css react django flask fastapi async dockerfile docker kubernetes terraform npm "
        "pip cargo webpack git rebase repo repository linter lint mypy segfault endpoint endpoints "
        "middleware api backend frontend goroutine struct enum typeerror keyerror nullpointerexception "
        "makefile hotfix codegen tsconfig eslint mutex deadlock",
        1: "function functions method class classes bug bugs test tests variable variables script scripts "
        "library module package dependency dependencies commit branch merge pr fix implement implementation "
        "crash crashes error errors fails failing failed pass passes build database query migration schema "
        "parser server client handler component loop array json yaml log logs ci deploy config type types "
        "import imports parameter cli flag algorithm cache",
    },
    "writing": {
        2: "essay poem haiku story blog email e-mail letter translate translation proofread paraphrase rewrite "
        "reword slogan headline speech article paragraph summarize summarise summary grammar copywriting "
        "newsletter lyrics tweet obituary tagline rephrase eulogy toast linkedin",
        1: "write draft description reply complaint tone polite polish shorten formal announcement caption "
        "title sentence words english german french spanish chinese japanese",
    },
    "reasoning": {
        2: "trade-offs tradeoffs trade-off tradeoff compare analyze analyse evaluate weigh pros cons assess "
        "implications riddle puzzle deduce logic argue diagnose hypothesis strategy hypotheses prioritise "
        "prioritize fallacy recommend",
        1: "why explain decide should consider versus vs better plan reason reasoning think risk risks cause "
        "causes consequences options approach argument difference if assumptions which",
    },
}
# Found anywhere in the text: words of several, and those of a script that puts no blanks between them.
_PHRASES: Mapping[str, Mapping[int, str]] = {
    "maths": {
        2: "how many ways|解方程|求导|积分|概率|矩阵|几何|数学|极限|多项式|证明|平方根|求和|定理|计算|阶乘",
    },
    "code": {
        2: "stack trace|unit test|pull request|代码|报错|重构|编译|单元测试|脚本|调试|仓库|接口|数据库|程序",
        1: "函数|实现|测试|修复|提交|变量|日志|运行失败",
    },
    "writing": {
        2: "cover letter|写一封|写一篇|写一首|写一份|翻译|润色|作文|文案|总结|摘要|邮件|改写|演讲稿",
    },
    "reasoning": {
        2: "what if|step by step|root cause|should we|think through|分析|比较|权衡|推理|利弊|评估|优缺点|区别",
        1: "为什么|原因|如果|应该|哪个更",
    },
}
_MARKS: Mapping[str, tuple[tuple[re.Pattern[str], int], ...]] = {
    "maths": (
        (re.compile(r"[∫∑√∂∞≤≥≠∈∀∃π]|\\(?:frac|int|sum|sqrt|lim|begin)\b"), 2),
        (re.compile(r"\d\s*[*^×÷]\s*\(?\d"), 2),
        (re.compile(r"\d\s*[-+/]\s*\(?\d|\b[a-z]\^\d|\b[a-z]\s*=\s*-?\d"), 1),
        (re.compile(r"\d+(?:\.\d+)?\s*%"), 1),
    ),
    "code": (
        (re.compile(r"```|Traceback \(most recent|\bat [\w.$]+\([\w.]+:\d+\)"), 3),
        (
            re.compile(
                r"\b[\w-]+\.(?:pyi?|jsx?|tsx?|rs|go|java|kt|swift|cs|cc|cpp|hpp|c|h|rb|php|sh|sql|ya?ml|toml|lock|html|s?css|vue|"
                r"ipynb|gradle|proto|tf)\b"
            ),
            2,
        ),
        (
            re.compile(
                r"\b(?:def|fn|func|class|const|import|SELECT|FROM)\s+\w+\s*[({*=:]|\w\(\)|print\(|=>|::|!=|==|</\w+>"
            ),
            2,
        ),
        (re.compile(r"`[^`\n]{1,80}`|(?:^|\s)(?:\./|~/|/)?(?:[\w.-]+/)+[\w.-]+"), 1),
        (re.compile(r"\b[a-z]+_[a-z_]+\b|\b[a-z]{2,}[A-Z][a-z]+"), 2),
    ),
}

_WORD = re.compile(r"[a-z][a-z0-9+#-]*")
# Letters beyond Latin.
_FOREIGN = re.compile(r"[\u0370-\u1dff\u3040-\ud7ff]")


def _weights() -> Mapping[str, tuple[tuple[str, int], ...]]:
    """Word -> the tasks it speaks for, and how much."""
    found: dict[str, tuple[tuple[str, int], ...]] = {}
    for task, by_weight in _WORDS.items():
        for weight, words in by_weight.items():
            for word in words.split():
                found[word] = (*found.get(word, ()), (task, weight))
    return found


_WEIGHTS = _weights()
_SPLIT = {
    task: tuple((phrase, weight) for weight, phrases in by_weight.items() for phrase in phrases.split("|"))
    for task, by_weight in _PHRASES.items()
}


def task_of(facts: Facts, reading: Reading, before: str | None = None) -> str:
    """One of ``TASKS``. ``before``: the task of the session so far.

    1. What is asked of the gateway says it: vectors, images to look at, JSON. 2. The user's last text says it. 3. A
    short text that says nothing goes on with what was. 4. Tools on offer, or none.
    """
    if facts.operation == "embeddings":
        return "embeddings"
    if reading.images:
        return "vision"
    if facts.structured:
        return "structured"
    if told := _told(reading.asked):
        return told
    if before and before in _WORDS and len(reading.asked) <= SHORT:
        return before
    return "tools" if facts.tools else "chat"


def is_foreign(text: str) -> bool:
    """Is it written in letters other than Latin ones, as far as its beginning shows?"""
    text = text[:HEAD]
    return not text.isascii() and 4 * len(_FOREIGN.findall(text)) > sum(map(len, text.split()))


def _told(text: str) -> str | None:
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]}\n{text[-TAIL:]}"
    lower = text.lower()
    weights = dict.fromkeys(_WORDS, 0)
    for word in set(_WORD.findall(lower)):
        for task, weight in _WEIGHTS.get(word, ()):
            weights[task] += weight
    for task, phrases in _SPLIT.items():
        weights[task] += sum(weight for phrase, weight in phrases if phrase in lower)
    for task, marks in _MARKS.items():
        weights[task] += sum(weight for mark, weight in marks if mark.search(text))
    best = max(weights, key=weights.__getitem__)
    return best if weights[best] >= ENOUGH else None
