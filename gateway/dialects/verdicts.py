"""What became of a tool call: the call and its result, to a verdict and the marker that told.

The order of evidence: the call itself, structured flags, exit codes, and words last, those at the head or the tail
only: a file that was read may hold any word.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from gateway.dialects.commands import answers, shows
from gateway.dialects.conversation import Call, Said
from gateway.dialects.mending import decoded
from gateway.dialects.signs import (
    ENDS,
    EXCEPTIONS,
    EXIT_BEGINS,
    EXIT_HEAD,
    EXIT_HINTED,
    EXIT_HINTS,
    EXIT_TAIL,
    LAST_LINES,
    MOST_PREFIXES,
    PLACEHOLDERS,
    PREFIXES,
    RPC_CODES,
    SHOWING_TOOL,
    SIGNS,
    TAIL_HINTS,
    Place,
    Verdict,
)
from gateway.dialects.words import SHIPPED, Words
from gateway.dialects.wrappers import unwrapped


class Finding(NamedTuple):
    """``evidence``: the marker that told, 80 characters at most; nothing of what the tool brought."""

    verdict: Verdict
    evidence: str = ""


OK = Finding("ok")
NO_RESULT = Finding("unanswered", "no result")
NOT_OFFERED = Finding("unknown_tool", "not among the tools offered")
NOT_AN_OBJECT = Finding("invalid_args", "arguments are no JSON object")
LONGEST_EVIDENCE = 80


class _Fields(msgspec.Struct):
    """What a result that is a JSON object may say about itself."""

    is_error: Any = None
    isError: Any = None
    success: Any = None
    ok: Any = None
    error: Any = None
    message: Any = None
    exit_code: Any = None
    exitCode: Any = None
    returncode: Any = None
    metadata: Any = None


_fields = msgspec.json.Decoder(_Fields)
# The marker that shows in the evidence, by the field and the value that make a failure of it.
_FLAGS: tuple[tuple[str, bool], ...] = (("is_error", True), ("isError", True), ("success", False), ("ok", False))


class _Result(NamedTuple):
    """A result, made ready to be judged. ``flag``: what the agent said beside the content, if anything."""

    text: str
    tail: str
    """In small letters: words are looked for here before patterns are tried."""
    flag: bool | None
    fields: _Fields | None


class Verdicts:
    """Judges calls and results, by what is known of all agents and by an operator's own words."""

    def __init__(self, words: Words) -> None:
        self._wrappers = words.wrappers
        self._failures, self._excuses = _phrases(words.failures), _phrases(words.not_failures)

    def of(self, call: Call, result: Said | None, offered: frozenset[str] = frozenset()) -> Finding:
        """What the call itself tells comes first: an agent that mends it does not make it a good call.

        ``offered``: names of the tools the call could have been to; nothing in it, nobody knows.
        """
        if offered and call.tool not in offered:
            return NOT_OFFERED
        if not call.readable:
            return NOT_AN_OBJECT
        if call.tool in PLACEHOLDERS:
            return Finding("invalid_args", call.tool)
        return NO_RESULT if result is None else self.told(call, result)

    def told(self, call: Call, said: Said) -> Finding:
        """By the result alone; what is known of the call can only excuse it."""
        text = unwrapped(said.text, self._wrappers)
        fields = decoded(_fields, text.encode(errors="replace")) if text.startswith("{") else None
        result = _Result(text, text[-ENDS:].lower(), said.flag, fields)
        if self._excuses and _at_an_end(self._excuses, text):
            return OK
        found = _by_flag(result, call) or _by_exit_code(result, call) or self._by_words(result, call)
        if not found or found is OK:
            return OK
        return found if len(found.evidence) <= LONGEST_EVIDENCE else found._replace(evidence=found.evidence[:80])

    def _by_words(self, said: _Result, call: Call) -> Finding | None:
        """Nothing where the result was readable as an object or was flagged as good: it has said what it had to."""
        if said.fields is not None or said.flag is False or not said.text:
            return None
        found = _by_signs(said, call)
        if not found and self._failures and (match := _at_an_end(self._failures, said.text)):
            found = Finding("error", match[0])
        return found if found and not _is_shown(said, call) else None


@lru_cache(maxsize=8)
def verdicts(words: Words = SHIPPED) -> Verdicts:
    return Verdicts(words)


def _phrases(phrases: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(re.escape, phrases)), re.IGNORECASE) if phrases else None


def _at_an_end(phrases: re.Pattern[str], text: str) -> re.Match[str] | None:
    """At the beginning of the text, or of one of its last lines."""
    return phrases.match(text) or next(filter(None, map(phrases.match, _last_lines(text))), None)


def _by_flag(said: _Result, call: Call) -> Finding | None:
    """1. Beside the content. 2. In it, where it is an object."""
    if said.flag:
        return _kind(said.text, call) or Finding("error", "is_error: true")
    if said.fields is None or _is_shown(said, call):
        return None
    fields = said.fields
    told = next((f'"{name}": {str(bad).lower()}' for name, bad in _FLAGS if getattr(fields, name) is bad), None)
    if not told and (not fields.error or fields.success is True or fields.ok is True):
        return None
    error = fields.error if isinstance(fields.error, dict) else {}
    words = next((each for each in (error.get("message"), fields.error, fields.message) if isinstance(each, str)), "")
    code = error.get("code")
    by_code = RPC_CODES.get(code) if isinstance(code, int) else None
    return (
        _kind(words, call)
        or (by_code and Finding(by_code, f"error code {code}"))
        or Finding("error", told or '"error": not null')
    )


def _by_exit_code(said: _Result, call: Call) -> Finding | None:
    code, marker = _exit_code(said, call)
    if code is None or (code == 1 and answers(call)):
        return None
    return Finding("error", marker) if code else OK


def _exit_code(said: _Result, call: Call) -> tuple[int | None, str]:
    """1. A field. 2. Before the output. 3. After it, unless that is the end of a file somebody wrote."""
    if said.fields is not None:
        inner = said.fields.metadata if isinstance(said.fields.metadata, dict) else {}
        given = (said.fields.exit_code, said.fields.exitCode, said.fields.returncode, inner.get("exit_code"))
        code = next((each for each in given if isinstance(each, int) and not isinstance(each, bool)), None)
        return code, f"exit code {code}"
    told = EXIT_HEAD.match(said.text[: 2 * ENDS]) if said.text[:1].lower() in EXIT_BEGINS else None
    # Looking for its words first is ten times faster.
    if told is None and _holds(said.tail, EXIT_HINTS) and not _shows(said, call):
        # Counted from the end: lower() may make a text longer.
        hint = max(map(said.tail.rfind, EXIT_HINTS))
        if EXIT_HINTED.match(said.tail, hint):
            tail = said.text[-ENDS:]
            told = EXIT_TAIL.search(tail, max(0, len(tail) - len(said.tail) + hint - 60))
    return (int(told["code"]), told["marker"].strip()) if told else (None, "")


def _by_signs(said: _Result, call: Call) -> Finding | None:
    """1. How it begins. 2. All of it, where that is short. 3. One of its last lines. 4. Its last line.

    How a text ends that was only shown says how that text ends: a log, another's output.
    """
    text, match = said.text, None
    if _BEGINS(text, 0, ENDS):
        if found := _kind(text, call):
            return found
        match = _FAILED_HEAD(text[:ENDS])
    if not match and len(text) <= ENDS:
        match = _FAILED_WHOLE(text)
    if not match and _holds(said.tail, TAIL_HINTS) and not (SHOWING_TOOL.search(call.tool) or shows(call)):
        lines = _last_lines(text)
        match = next(filter(None, map(_FAILED_TAIL, lines)), None) or (_FAILED_LAST(lines[-1]) if lines else None)
    return _failure(match) if match else None


def _holds(text: str, hints: tuple[str, ...]) -> bool:
    for hint in hints:  # noqa: SIM110  (twice as fast as any(), and asked of every result)
        if hint in text:
            return True
    return False


def _last_lines(text: str) -> list[str]:
    """Whole lines: where the tail begins inside one, that is left out."""
    lines = text[-ENDS:].rsplit("\n", LAST_LINES)
    whole = len(text) <= ENDS and len(lines) <= LAST_LINES
    return [line.strip() for line in (lines if whole else lines[1:])]


_GROUP = re.compile(r"\(\?P<\w+>")
_SHOWN = re.compile(r"\(\?P<(marker|more|thrown)>")


def _compiled(verdict: Verdict, place: Place) -> re.Pattern[str]:
    # A name may stand once in a pattern: each row's groups get a number of their own. There is but one ``named``.
    rows = (_SHOWN.sub(rf"(?P<\g<1>{number}>", row) for number, row in enumerate(SIGNS[verdict, place]))
    return re.compile("|".join(f"(?:{row})" for row in rows), re.IGNORECASE)


_BEGINNINGS = (*SIGNS["unknown_tool", "head"], *SIGNS["invalid_args", "head"], *SIGNS["error", "head"], *PREFIXES)
_UNKNOWN = _compiled("unknown_tool", "head")
_INVALID = _compiled("invalid_args", "head")
_FAILED_HEAD, _FAILED_WHOLE = _compiled("error", "head").match, _compiled("error", "whole").match
_FAILED_TAIL, _FAILED_LAST = _compiled("error", "tail").match, _compiled("error", "last").match
# Most results begin in none of these ways: one look tells.
_BEGINS = re.compile("|".join(_GROUP.sub("(?:", row) for row in _BEGINNINGS), re.IGNORECASE).match
_PREFIX = re.compile(rf"\s*(?:{'|'.join(PREFIXES)})\s*", re.IGNORECASE)


def _failure(match: re.Match[str]) -> Finding:
    return Finding("error", _evidence(match))


def _evidence(match: re.Match[str]) -> str:
    """Words of the row that matched, and nothing of what stands between them."""
    groups = {name: words for name, words in match.groupdict().items() if words and name != "named"}
    shown = (_class(words) if name.startswith("thrown") else words.strip() for name, words in groups.items())
    return " … ".join(shown) if groups else match[0].strip()


def _class(thrown: str) -> str:
    name = thrown.rpartition(".")[2]
    return name if name in EXCEPTIONS else "Exception" if name.lower().endswith("exception") else "Error"


def _kind(text: str, call: Call) -> Finding | None:
    """Is it the call's own fault? Looked for behind the words that only say that something failed."""
    head, at = text[:ENDS], 0
    for _ in range(MOST_PREFIXES):
        if match := _UNKNOWN.match(head, at):
            named = match["named"]
            # A program or a thing of the user's that was not found is a failure like any other.
            ours = named is None or not call.tool or named == call.tool
            return Finding("unknown_tool" if ours else "error", _evidence(match))
        if match := _INVALID.match(head, at):
            return Finding("invalid_args", _evidence(match))
        if not (prefix := _PREFIX.match(head, at)):
            break
        at = prefix.end()
    return None


def _is_shown(said: _Result, call: Call) -> bool:
    """A long text that somebody else wrote. A short one from the same tool may well be its complaint."""
    return len(said.text) > ENDS and (_shows(said, call) or shows(call))


def _shows(said: _Result, call: Call) -> bool:
    return len(said.text) > ENDS and SHOWING_TOOL.search(call.tool) is not None
