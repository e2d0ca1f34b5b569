"""A conversation as turns, read from its request: what kind of request it is, what became of each turn."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from gateway.chat import LONGEST_NAME
from gateway.dialects.conversation import Call, Conversation, Message, Said, answered
from gateway.dialects.reports import Report, report
from gateway.dialects.verdicts import verdicts
from gateway.dialects.words import SHIPPED, Words
from gateway.dialects.wrappers import spoken
from gateway.routing import openings
from gateway.routing.corrections import corrects

Kind = Literal["main", "aux", "subagent"]
"""An agent's own turn; a call on the side (a title, a summary); a turn of an agent that another one has started."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One tool call of a turn and what came of it. ``evidence`` is the marker that told, never content."""

    tool: str
    verdict: str
    evidence: str = ""


class Turn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One answer of the model, in one assistant message or several in a row, and what followed it."""

    calls: tuple[Outcome, ...] = ()
    corrected: str = ""
    """The marker by which the user's text right after it corrects it; empty: it does not."""
    tokens: int = 0
    """An estimate of the context up to and including it."""
    pinned: bool = False
    """Made under a ``/model NAME`` that is in force no longer: no word on the models a strategy chooses.

    One that led nowhere counts as well: from the conversation alone nobody can tell.
    """

    @property
    def failed(self) -> bool:
        return bool(self.corrected) or any(call.verdict not in ("ok", "unanswered") for call in self.calls)

    @property
    def evidence(self) -> str:
        """What told that it failed, in one line; empty where it did not."""
        bad = next((call for call in self.calls if call.verdict not in ("ok", "unanswered")), None)
        if bad:
            return f"{bad.tool}: {bad.evidence or bad.verdict}" if bad.tool else bad.evidence or bad.verdict
        return f"the user: {self.corrected}" if self.corrected else ""


AUTO = "auto"
"""The name that takes a pin back."""


class Command(msgspec.Struct, frozen=True):
    """A user message that is exactly ``/model NAME`` or ``/replan``. ``last``: nothing was said after it."""

    name: Literal["model", "replan"]
    argument: str = ""
    last: bool = False
    turn: int = 0
    """How many turns there were before it."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's conversation tells routing."""

    kind: Kind = "main"
    why: str = ""
    """What told the kind, where it is not ``main``."""
    turns: tuple[Turn, ...] = ()
    tokens: int = 0
    """An estimate of the whole request's input."""
    compacted: bool = False
    """It begins with a summary of what was said before."""
    commands: tuple[Command, ...] = ()
    """Oldest first."""
    origin: str = ""
    """A digest of how the conversation begins: the same for all its requests, for clients that do not name it."""
    setting: str = ""
    """A digest of how the system prompt begins, without digits: two conversations may begin with the same words."""
    planning: bool = False
    """An agent asks for a plan of the work, as goose's ``/plan`` does: without tools, yet it is no aside."""
    looping: bool = False
    """What a tool said came last: an agent goes on, and nobody waits to be asked."""
    fingerprint: str = ""
    """A digest of all its messages: the same when the request is sent again."""
    asked: str = ""
    """The user's last words, without wrappers and commands, cut to 4000 characters. Content."""
    images: bool = False
    tools: tuple[str, ...] = ()
    """Names of the tools on offer."""


NOTHING = Reading()
"""Of a request that holds no conversation."""


MOST_EVIDENCE = 10
"""Turns that a decision names as what made it."""


def last_failures(turns: Sequence[Turn], since: int) -> tuple[str, ...]:
    """What told of each of the last turns that they failed, as far as there was no success between, oldest first.

    None of the first ``since`` turns. Those of a model that the user had chosen by hand are passed over.
    """
    found: list[str] = []
    for number in range(len(turns), since, -1):
        turn = turns[number - 1]
        if turn.pinned:
            continue
        if not turn.failed:
            break
        found.append(f"turn {number}: {turn.evidence}")
    return tuple(reversed(found))


# Reading --------------------------------------------------------------------------------------------------------------

BYTES_PER_TOKEN = 4
"""English and code have between 3.5 and 4.5 bytes a token, Chinese 3 to 5; JSON and base64 in a text fewer."""
TOKENS_PER_FILE = 1000
"""An image, a recording or a document: between 85 and some thousands, by vendor and size."""
TOKENS_PER_MESSAGE = 4
LONGEST_ASKED = 4000
MOST_OUTCOMES = 200  # of one turn: no agent makes more calls at once, but a body may claim anything
MOST_JUDGED, STEP = 1000, 500
"""Messages, the newest, whose outcomes are looked at: some 500 turns; older turns count as gone well, with no calls.
The bound moves by ``STEP`` messages: it must not go along with every request, or a replay would stand still.
"""
# Messages of which the first may be a summary; agents put their instructions and a user's old words before it.
FIRST_MESSAGES = 50

SETTING = 200
"""Characters of the system prompt that tell whose conversation it is: further on agents put time, mode and files."""

NOBODYS = Call("", "")
_DIGITS = re.compile(r"\d+")
_COMMAND = re.compile(r"/(?:(?P<replan>replan)|model +(?P<model>\S{1,256}))")


def read(conversation: Conversation, words: Words = SHIPPED, *, subagent: bool = False, aside: str = "") -> Reading:
    """Reads a conversation once, from its beginning: never raises, linear in it, and the same wherever it is read.

    ``subagent``: the request's headers say that another agent has started this one; ``aside``: what they say it is for,
    where it is no turn. Calls are judged by what came of them, not by the tools on offer now: those change over a
    session, and a turn must not be judged anew.
    """
    judged_from = max(0, len(conversation.messages) - MOST_JUDGED) // STEP * STEP
    walk = _Walk(words, conversation.size_of_tools // BYTES_PER_TOKEN, judged_from)
    for place, message in enumerate(conversation.messages):
        walk.take(place, message)
    walk.end()
    kind, why = _kind(walk, bool(conversation.tools), subagent, aside, words)
    return Reading(
        kind=kind,
        why=why,
        turns=walk.judged(),
        tokens=walk.tokens,
        compacted=walk.compacted,
        commands=walk.commands(),
        origin=_digest(walk.first),
        setting=_digest(_DIGITS.sub("", walk.system[:SETTING])),
        planning=openings.is_planning(walk.system),
        looping=walk.looping,
        fingerprint=conversation.fingerprint(),
        asked=walk.last[:LONGEST_ASKED],
        images=walk.images,
        tools=conversation.tools,
    )


def correction(conversation: Conversation, words: Words = SHIPPED) -> str:
    """The marker by which the user's words after the last answer correct it; "": they do not. Reads no more of it."""
    messages = conversation.messages
    last = next((place for place in range(len(messages) - 1, -1, -1) if messages[place].role == "assistant"), None)
    if last is None:
        return ""
    walk = _Walk(words)
    walk.answered = any(message.role == "assistant" for message in messages[:last])
    for place in range(last, len(messages)):
        if messages[place].role in ("assistant", "user"):
            walk.take(place, messages[place])
    return walk.corrected


def _kind(walk: _Walk, tools: bool, subagent: bool, aside: str, words: Words) -> tuple[Kind, str]:
    """1. A header that says what it is for. 2. How it begins. 3. Tools were called and none is on offer. 4. A header
    that says who sends it. 5. How a sub-agent's begins.
    """
    if aside:
        return "aux", aside
    if what := openings.auxiliary(walk.system, walk.first, walk.last, tools, words):
        return "aux", what
    if walk.called and not tools and not openings.is_planning(walk.system):
        return "aux", "tools were called, and none is on offer"
    if subagent:
        return "subagent", "a header"
    what = openings.subagent(walk.system, walk.first)
    return ("subagent", what) if what else ("main", "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace"), usedforsecurity=False).hexdigest()[:32] if text else ""


class _Walk:
    """From message to message; what belongs to the turn under way is kept until the next one begins."""

    def __init__(self, words: Words, tokens: int = 0, judged_from: int = 0) -> None:
        self._words, self._judge, self._judged_from = words, verdicts(words), judged_from
        self.turns: list[Turn] = []
        self.tokens = tokens
        self.system = self.first = self.last = self.corrected = ""
        self.compacted = self.images = self.called = self.looping = False
        self._commands: list[Command] = []
        self._choices: list[tuple[int, str]] = []  # from which turn on which model was chosen by hand
        self._silent = False  # nothing was said since the last command
        self._before = ""  # whose message the last one was
        self.answered = False  # a model has: what comes now is no summary
        self._begun: int | None = None
        self._ending = ""  # its last characters
        self._calls: list[Call] = []
        self._results: list[Message] = []
        self._reports: list[Outcome] = []

    def take(self, place: int, message: Message) -> None:
        said = message.said()
        size = said.size
        if said.images or said.files:
            self.images = self.images or said.images > 0
            size += BYTES_PER_TOKEN * TOKENS_PER_FILE * (said.images + said.files)
        self.tokens += TOKENS_PER_MESSAGE + size // BYTES_PER_TOKEN
        before, self._before = self._before, message.role
        match message.role:
            case "tool":
                self._silent, self.looping = False, True
                if place >= self._judged_from and len(self._results) < MOST_OUTCOMES:
                    self._results.append(message)
            case "assistant":
                self._answer(place, message, said, goes_on=before == "assistant")
            case "user":
                self._user(place, said)
            case "system" if self._begun is None:
                self._system(said)

    def _system(self, said: Said) -> None:
        if len(self.system) < openings.HEAD:
            self.system = f"{self.system}\n{said.text[: openings.HEAD]}".strip()

    def _answer(self, place: int, message: Message, said: Said, goes_on: bool) -> None:
        """``goes_on``: nothing was said since the last one: a text and its calls may come in messages of their own."""
        calling = message.size_of_calls()
        self.tokens += calling // BYTES_PER_TOKEN
        if not self.answered and not calling and place < FIRST_MESSAGES and self._notes(said.text.strip()):
            return
        if not goes_on:
            self.close()
        self._begun, self._silent, self.answered = self.tokens, False, True
        self._ending = said.text[-20:]
        if calling and (place >= self._judged_from or not self.called):
            self._calls += message.calls(place)[: MOST_OUTCOMES - len(self._calls)]
            self.called = self.called or bool(self._calls)
            if place < self._judged_from:
                self._calls = []

    def _notes(self, text: str) -> bool:
        """Is it no answer, but what an agent, or who summarised for it, has put into the model's mouth?"""
        summary = openings.is_summary(text, False)
        self.compacted = self.compacted or summary
        if openings.asks_for_summary(self.last):
            # Those are the agent's own words, the same in every conversation; the summary is what it begins with.
            self.first = text
        elif openings.is_acknowledgement(text):
            self.first = ""
        else:
            return summary
        return True

    def _user(self, place: int, said: Said) -> None:
        text = spoken(said.text, self._words.wrappers)
        if not text:
            return
        self.looping = False
        if command := _COMMAND.fullmatch(text):
            self._command(command["model"])
            return
        self._silent = False
        if place < self._judged_from and self.answered:
            self.first, self.last = self.first or text, text
            return
        if told := report(text):
            self.looping = True
            self._report(told, text)
            return
        if not self.answered:
            self.compacted = self.compacted or (place < FIRST_MESSAGES and openings.is_summary(text, not self.first))
        elif not self.corrected:
            self.corrected = corrects(text, self._has_asked(), self._words)
        begins = not self.first or openings.is_preamble(self.first)
        self.first, self.last = text if begins and not self.answered else self.first or text, text

    def _command(self, model: str | None) -> None:
        self._silent = True
        turn = len(self.turns) + (self._begun is not None)
        self._commands.append(Command("model" if model else "replan", model or "", turn=turn))
        if model:
            self._choices.append((turn, model))

    def _has_asked(self) -> bool:
        return self._ending.rstrip(" \n*_\"')").endswith(("?", "？"))

    def _report(self, told: Report, text: str) -> None:
        if len(self._reports) == MOST_OUTCOMES:
            return
        if told.failed:
            self._reports.append(Outcome(told.tool, "error", told.failed))
        else:
            found = self._judge.told(Call("", told.tool), Said(text[told.begins :]))
            self._reports.append(Outcome(told.tool, found.verdict, found.evidence))

    def close(self) -> None:
        """The turn under way is over: what came of it is known."""
        if self._begun is not None:
            calls = (*self._outcomes(), *self._reports)
            self.turns.append(Turn(calls=calls, corrected=self.corrected, tokens=self._begun))
        self._calls, self._results, self._reports, self.corrected = [], [], [], ""

    def end(self) -> None:
        """A last message of the model's is the beginning of the answer that is asked for, and no turn yet."""
        if self._before != "assistant":
            self.close()

    def judged(self) -> tuple[Turn, ...]:
        """The turns; with those marked that another model has made than the one that is chosen by hand now."""
        if not self._choices:
            return tuple(self.turns)
        turns, (_, now) = list(self.turns), self._choices[-1]
        ends = [begins for begins, _ in self._choices[1:]]
        for (begins, name), end in zip(self._choices, [*ends, len(turns)], strict=True):
            if name not in (AUTO, now):
                turns[begins:end] = [msgspec.structs.replace(turn, pinned=True) for turn in turns[begins:end]]
        return tuple(turns)

    def _outcomes(self) -> list[Outcome]:
        """Of its calls in order, then of results that are nobody's."""
        if not self._calls and not self._results:
            return []
        results, left = answered(self._calls, self._results)
        judged = [
            (call, self._judge.of(call, result.said() if result else None))
            for call, result in zip(self._calls, results, strict=True)
        ]
        judged += [(NOBODYS, self._judge.told(NOBODYS, result.said())) for result in left]
        return [Outcome(call.tool[:LONGEST_NAME], found.verdict, found.evidence) for call, found in judged]

    def commands(self) -> tuple[Command, ...]:
        if self._silent:
            return (*self._commands[:-1], msgspec.structs.replace(self._commands[-1], last=True))
        return tuple(self._commands)
