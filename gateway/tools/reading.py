"""Reads calls of tools out of the text of an answer, whole or streamed: text goes on as it comes, up to where a call
may begin; what turns out to be none is text, all of it. Only the names on offer are calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import msgspec

from gateway.chat import (
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Choice,
    Finished,
    Part,
    Repaired,
    Text,
    TextDelta,
    Tool,
    ToolCall,
)
from gateway.tools.loose_json import MOST
from gateway.tools.names import Offered
from gateway.tools.schemas import only_text
from gateway.tools.textual import FORMS, LEFT_OVER, LINE_FORMS, LONGEST_HEAD, MOST_CALLS, Ends, Form, Read

_BY_OPENER = {form.opener: form for form in (*FORMS, *LINE_FORMS)}
_OPENER = re.compile(
    "|".join(sorted((re.escape(form.opener) for form in FORMS), key=len, reverse=True))
    + r"|(?<=\n)[ \t]{0,8}(?:Action:|\{|\[(?=[ \t]{0,8}\n?[ \t]{0,8}\{))"
)
_LONGEST_LINE = 30
_LONGEST_OPENER = max(map(len, _BY_OPENER))
_LINE = re.compile(r"(?<=\n)[ \t]{0,8}(?:\[[ \t]{0,8}\n?[ \t]{0,8}|A(?:c(?:t(?:i(?:o(?:n)?)?)?)?)?)?\Z")
"""What may become the opening of a line."""
_MARKS = re.compile(r"[{}\[\]\"\\]")


MOST_OPENINGS = 5000
MOST_SEEN = 4 * 2**20
"""Openings, and characters, of one text after which nothing more of it is read as a call."""
PIECE = 4096
"""Characters that are looked at together: what follows an opening that was none is looked at again."""


class Reading:
    """One answer's calls. ``seed`` makes their ids: other answers have others, the same answer the same."""

    def __init__(self, tools: Sequence[Tool], seed: str, repairs: list[Repaired] | None = None) -> None:
        self.repairs = [] if repairs is None else repairs
        self._tools, self._seed = {tool.name: tool for tool in tools}, seed
        self._offered = Offered(self._tools)
        self._choices: dict[int, _Scan] = {}
        self._called: dict[int, int] = {}

    def answer(self, answer: ChatResponse) -> ChatResponse:
        """The very same object where nothing is called."""
        if not self._tools:
            return answer
        choices = tuple(self._choice(at, choice) for at, choice in enumerate(answer.choices))
        if all(new is old for new, old in zip(choices, answer.choices, strict=True)):
            return answer
        return msgspec.structs.replace(answer, choices=choices)

    def _choice(self, at: int, choice: Choice) -> Choice:
        parts: list[Part] = []
        for part in choice.parts:
            if not isinstance(part, Text):
                parts.append(part)
                continue
            scan = _Scan(self)
            parts += self._parts([*scan.feed(part.content), *scan.end(choice.finish_reason != "length")], at)
        if not self._called.get(at):
            return choice
        reason = "tool_calls" if choice.finish_reason == "stop" else choice.finish_reason
        return msgspec.structs.replace(choice, parts=tuple(parts), finish_reason=reason)

    def _parts(self, said: list[str | Read], at: int) -> Iterator[Part]:
        text = ""
        for each in said:
            if isinstance(each, str):
                text += each
                continue
            if text.strip():
                yield Text(text)
            text = ""
            yield self._call(each, at)
        if text:
            yield Text(text)

    def feed(self, event: ChatEvent) -> list[ChatEvent]:
        """What is to be handed on now."""
        choice: int | None = getattr(event, "choice", None)
        if not self._tools or choice is None:
            return [event]
        scan = self._choices.setdefault(choice, _Scan(self))
        if isinstance(event, TextDelta):
            return self._events(scan.feed(event.text), choice)
        if not isinstance(event, Finished):
            return [event]
        rest = self._events(scan.end(event.reason != "length"), choice)
        if self._called.get(choice) and event.reason == "stop":
            event = Finished("tool_calls", choice)
        return [*rest, event]

    def end(self) -> list[ChatEvent]:
        """What is still held back of an answer that has ended without saying so."""
        return [each for choice, scan in self._choices.items() for each in self._events(scan.end(False), choice)]

    def _events(self, said: list[str | Read], choice: int) -> list[ChatEvent]:
        out: list[ChatEvent] = []
        for each in said:
            if isinstance(each, str):
                out.append(TextDelta(each, choice))
                continue
            place = self._called.get(choice, 0)
            call = self._call(each, choice)
            out += (CallBegan(place, call.id, call.name, None, choice), CallDelta(place, call.arguments, choice))
        return out

    def _call(self, read: Read, choice: int) -> ToolCall:
        place = self._called[choice] = self._called.get(choice, 0) + 1
        self.repairs.append(Repaired(self._offered.meant(read.name) or "", ("read",)))
        return ToolCall(made_id(self._seed, choice, place, read), read.name, read.arguments)

    def known(self, found: list[Read]) -> list[Read]:
        """Those whose tools are on offer, if all are."""
        known = []
        for read in found[:MOST_CALLS]:
            name = self._offered.meant(read.name)
            if name is None:
                return []
            known.append(Read(name, self._in_json(name, read.arguments)))
        return known

    def _in_json(self, name: str, said: str) -> str:
        """A tool that takes one text is often called by that text alone."""
        only = only_text(self._tools[name].parameters or {})
        if only is None or said.lstrip().startswith(("{", "[", '"', "`")) or not said.strip():
            return said
        return msgspec.json.encode({only: said}).decode()


def made_id(seed: str, choice: int, place: int, read: Read) -> str:
    said = "\0".join((seed, str(choice), str(place), read.name, read.arguments))
    return f"call_{blake2b(said.encode(errors='surrogatepass'), digest_size=12).hexdigest()}"


class _Scan:
    """One choice's text on its way through."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._text = ""
        """Not looked at yet, or what may become an opening."""
        self._before = "\n"
        """The character before it."""
        self._span: _Span | None = None
        self._calling = False
        """The last that came was a call: what it leaves behind is not wanted."""
        self._openings = self._seen = 0

    def feed(self, text: str) -> list[str | Read]:
        if len(text) > PIECE and not self._seen_enough:
            pieces = (text[at : at + PIECE] for at in range(0, len(text), PIECE))
            return [each for piece in pieces for each in self.feed(piece)]
        self._seen += len(text)
        return [*self.end(complete=False), text] if self._seen_enough else self._fed(text)

    @property
    def _seen_enough(self) -> bool:
        return self._seen > MOST_SEEN or self._openings > MOST_OPENINGS

    def _fed(self, text: str) -> list[str | Read]:
        out: list[str | Read] = []
        while text or self._text:
            if self._span is None:
                text = self._look(self._text + text, out)
                if self._span is None:
                    return out
            end = self._span.feed(text)
            if end is None:
                return out
            text = self._close(self._span, end, out)
        return out

    def end(self, complete: bool) -> list[str | Read]:
        out: list[str | Read] = []
        while self._span is not None:
            span, self._span = self._span, None
            found = self._reading.known(list(span.form.calls(span.text))) if complete and span.decided else []
            if found:
                self._call(found, out)
            elif span.decided or not span.rest:
                self._say(span.text, out)
            else:
                # It had not shown yet what it is: there may be another in what follows.
                self._say(span.opening, out)
                out += self.feed(span.rest)
        self._say(self._text, out)
        self._text = ""
        return out

    def _look(self, text: str, out: list[str | Read]) -> str:
        """Says what is certainly text; begins a span where a call may begin, and returns what follows the opening."""
        self._text = ""
        if self._calling:
            left = LEFT_OVER.match(text)
            text = text[left.end() :] if left else text
            if not text or _may_be_left_over(text):
                self._text = text
                return ""
        found = _OPENER.search(self._before + text, 1)
        if found is None:
            keep = _held_from(self._before + text) - 1
            self._say(text[: max(0, keep)], out)
            self._text = text[max(0, keep) :]
            return ""
        start, end = found.start() - 1, found.end() - 1
        self._say(text[:start], out)
        self._openings += 1
        self._span = _Span(_BY_OPENER[found[0].lstrip(" \t")], text[start:end])
        return text[end:]

    def _close(self, span: _Span, end: int, out: list[str | Read]) -> str:
        """What came after the span; ``end`` < 0: it is no call, and only its opening is passed over."""
        self._span = None
        if end < 0:
            self._say(span.opening, out)
            return span.rest
        all_of_it = span.text
        said, rest = all_of_it[:end], all_of_it[end:]
        found = self._reading.known(list(span.form.calls(said))) if len(said) <= MOST else []
        if found:
            self._call(found, out)
        else:
            self._say(said, out)
        return rest

    def _call(self, found: list[Read], out: list[str | Read]) -> None:
        out += found
        self._calling, self._before = True, "\n"

    def _say(self, text: str, out: list[str | Read]) -> None:
        if self._calling:
            left = LEFT_OVER.match(text)
            text = text[left.end() :] if left else text
        if text:
            out.append(text)
            self._before, self._calling = text[-1], False


def _held_from(text: str) -> int:
    """Where what may become an opening begins, after the first character; the length of the text where nothing may."""
    if line := _LINE.search(text, max(0, len(text) - _LONGEST_LINE)):
        return line.start()
    for start in range(max(1, len(text) - _LONGEST_OPENER + 1), len(text)):
        if text[start] in "<[`" and any(form.opener.startswith(text[start:]) for form in FORMS):
            return start
    return len(text)


def _may_be_left_over(text: str) -> bool:
    """A mark that has not come to its end."""
    return len(text) < 40 and (text in ("`", "``", "~", "~~") or (text[0] == "<" and ">" not in text))


class _Span:
    """What an opening has begun, piece by piece, up to its end."""

    def __init__(self, form: Form, opening: str) -> None:
        self.form, self.opening = form, opening
        self._pieces: list[str] = []
        self._size = len(opening)
        self._ends: Ends = "wait"
        self._tail = ""
        self._json = _JsonEnd()

    @property
    def decided(self) -> bool:
        return self._ends != "wait"

    @property
    def rest(self) -> str:
        return "".join(self._pieces)

    @property
    def text(self) -> str:
        return self.opening + self.rest

    def feed(self, piece: str) -> int | None:
        """The length of all of it once it has ended; -1: it is no call; None: it goes on."""
        if not self.decided:
            return self._begin(piece)
        self._pieces.append(piece)
        return self._more(piece)

    def _begin(self, piece: str) -> int | None:
        self._pieces = [self.rest + piece]
        head = self._pieces[0]
        self._ends = self.form.ends(head[:LONGEST_HEAD])
        if self._ends == "wait" and len(head) < LONGEST_HEAD:
            return None
        if self._ends in ("wait", "never"):
            self._ends = "never"
            return -1
        if self._ends == "json" and self.form.opener in "{[":
            self._json.feed(self.form.opener)
        return self._more(head)

    def _more(self, piece: str) -> int | None:
        before = self._size
        self._size += len(piece)
        if self._ends == "json":
            end = self._json.feed(piece)
            return None if end is None else before + end
        closer = self.form.closer
        looked = self._tail + piece
        found = looked.find(closer)
        if found >= 0:
            return before - len(self._tail) + found + len(closer)
        self._tail = looked[-(len(closer) - 1) :]
        return self._size if self._size > MOST else None


_JSON = re.compile(r"\{|\[(?!ARGS\]|CALL_ID\])")


class _JsonEnd:
    """Where the JSON value ends that begins with the first brace or bracket."""

    def __init__(self) -> None:
        self._depth = self._seen = 0
        self._quoted = self._escaped = self._begun = False

    def feed(self, piece: str) -> int | None:
        """The place after its last character within this piece."""
        self._seen += len(piece)
        start = self._start(piece)
        if start is not None and (end := self._end(piece, start)) is not None:
            return end
        return len(piece) if self._seen > MOST else None

    def _start(self, piece: str) -> int | None:
        if not self._begun:
            begin = _JSON.search(piece)
            self._begun = begin is not None
            return begin.start() if begin else None
        passed = 1 if self._escaped and piece else 0
        self._escaped = self._escaped and not piece
        return passed

    def _end(self, piece: str, start: int) -> int | None:
        passed = -1
        for found in _MARKS.finditer(piece, start):
            at, mark = found.start(), found[0]
            if at == passed:
                continue
            if self._quoted:
                if mark == "\\":
                    passed = at + 1
                    self._escaped = passed == len(piece)
                elif mark == '"':
                    self._quoted = False
            elif mark == '"':
                self._quoted = True
            elif mark in "{[":
                self._depth += 1
            elif mark in "}]":
                self._depth -= 1
                if not self._depth:
                    return at + 1
        return None
