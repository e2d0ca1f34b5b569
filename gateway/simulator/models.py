"""The simulator's models: a closed grammar of names, and what each of them says to a request.

echo tools agent planner json reasoning  what is said; echo unless said otherwise
long-<n>                                 n words
slow-<duration> paced-<duration>         after that long, with that pause between its events,
pause-<duration>                         or with one pause in its middle
fail-<fault> flaky-<fault>               fails always, or on every other call beginning with the first,
every-<n>-<fault>                        on every n-th call beginning with the first,
wave-<duration>-<fault>                  or works for that long, fails for as long, and so on

Names of different lines, and of different words in a line, can be joined: ``agent+slow-300ms+every-9-503``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.dialects.openai_chat import GO_ON, text_of
from gateway.errors import CallerError
from gateway.simulator.agent import call_of, work
from gateway.simulator.faults import FAULTS, Failing
from gateway.simulator.requests import Answer, ChatRequest, Message
from gateway.simulator.values import value_for
from gateway.units import parse_duration

MOST_WORDS = 100_000
ECHOED = 64 * 1024
"""Bytes of a text that are repeated."""
LONGEST_NAME = 256


# Names ----------------------------------------------------------------------------------------------------------------


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What a name means. ``delay``, ``pace``, ``pause`` and ``wave`` are seconds."""

    name: str
    answer: Callable[[ChatRequest], Answer]
    delay: float = 0.0
    pace: float = 0.0
    pause: float = 0.0
    fault: Failing | None = None
    every: int = 1
    """Fails on its first call, and on every so many-th one after it."""
    wave: float = 0.0
    """Works for so long, then fails for as long."""

    def fails(self, calls: int, seconds: float) -> bool:
        """Does the n-th call to it fail, so long after the first?"""
        if self.wave:
            return seconds % (2 * self.wave) >= self.wave
        return (calls - 1) % self.every == 0


_DURATION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?(ms|s|m|h)")
_COUNT = re.compile(r"[1-9][0-9]{0,5}")


def find(name: str) -> Model:
    """The model of this name. Raises ``CallerError`` when the grammar has no such name."""
    if not name:
        raise CallerError(400, "missing_model", "you must provide a model parameter", param="model")
    meant: dict[str, Any] = {}
    for word in name.split("+") if len(name) <= LONGEST_NAME else [""]:
        said = _meaning(word)
        # Nothing is said twice: neither an answer, nor a pace, nor a fault.
        if not said or meant.keys() & said.keys():
            raise CallerError(
                404, "model_not_found", f"The model `{name[:200]}` does not exist or you do not have access to it."
            )
        meant |= said
    return Model(name=name, **{"answer": echo, **meant})


def _meaning(word: str) -> dict[str, Any] | None:
    """The fields of ``Model`` that one word of a name stands for, or None when it stands for nothing."""
    if word in FIXED:
        return {"answer": FIXED[word]}
    kind, _, value = word.partition("-")
    if kind in _KINDS:
        return _KINDS[kind](value)
    return None


def _seconds(field: str, text: str) -> dict[str, Any] | None:
    return {field: parse_duration(text)} if _DURATION.fullmatch(text) else None


def _long(value: str) -> dict[str, Any] | None:
    if not _COUNT.fullmatch(value) or int(value) > MOST_WORDS:
        return None
    return {"answer": functools.partial(long, count=int(value))}


def _failing(value: str, every: int = 1) -> dict[str, Any] | None:
    return {"fault": FAULTS[value], "every": every} if value in FAULTS else None


def _every(value: str) -> dict[str, Any] | None:
    count, _, fault = value.partition("-")
    return _failing(fault, int(count)) if _COUNT.fullmatch(count) else None


def _wave(value: str) -> dict[str, Any] | None:
    length, _, fault = value.partition("-")
    wave, failing = _seconds("wave", length), _failing(fault)
    return {**wave, **failing} if wave and wave["wave"] and failing else None


_KINDS: Mapping[str, Callable[[str], dict[str, Any] | None]] = {
    "slow": functools.partial(_seconds, "delay"),
    "paced": functools.partial(_seconds, "pace"),
    "pause": functools.partial(_seconds, "pause"),
    "long": _long,
    "fail": _failing,
    "flaky": functools.partial(_failing, every=2),
    "every": _every,
    "wave": _wave,
}


# Answers --------------------------------------------------------------------------------------------------------------


def echo(request: ChatRequest) -> Answer:
    wants_text = request.response_format is None or request.response_format.type == "text"
    return Answer(text=_echoed(request)) if wants_text else structured(request)


def structured(request: ChatRequest) -> Answer:
    wanted = request.response_format
    schema = wanted.json_schema.schema if wanted and wanted.type == "json_schema" and wanted.json_schema else None
    value = {"echo": _echoed(request)} if schema is None else value_for(schema)
    return Answer(text=msgspec.json.encode(value).decode())


def tools(request: ChatRequest) -> Answer:
    last = request.messages[-1]
    if last.role == "tool":
        return Answer(text=f'The tool answered: "{_bounded(text_of(last.content))}"')
    if not request.offered:
        return Answer(text="There is no tool to call.")
    return Answer(calls=(call_of(request.offered[0]),), finish="tool_calls")


def agent(request: ChatRequest) -> Answer:
    return work(request) or echo(request)


def planner(request: ChatRequest) -> Answer:
    steps = (
        "Look at what is there.",
        "Do what is asked, a step at a time.",
        "See that it works, and say what was done.",
    )
    numbered = (f"{number}. {step}" for number, step in enumerate(steps, 1))
    return Answer(text="\n".join(("# Plan", "", *numbered)))


def reasoning(request: ChatRequest) -> Answer:
    text = _echoed(request)
    return Answer(reasoning=f"The last user message has {len(text)} characters; I repeat them.", text=text)


def long(request: ChatRequest, count: int) -> Answer:
    return Answer(text=" ".join(f"word{number}" for number in range(1, count + 1)))


FIXED: Mapping[str, Callable[[ChatRequest], Answer]] = {
    "echo": echo,
    "tools": tools,
    "agent": agent,
    "planner": planner,
    "json": structured,
    "reasoning": reasoning,
}
EXAMPLES = (
    *("slow-2s", "paced-50ms", "pause-6s", "long-1000", "fail-503", "fail-cut", "flaky-429", "flaky-503"),
    *("every-9-503", "wave-20s-503", "agent+slow-300ms+paced-10ms"),
)


def _echoed(request: ChatRequest) -> str:
    """The last user text; of an answer that broke off, what is still missing."""
    asked, said = _begun(request.messages)
    text = _repeated(asked)
    return text[len(said) :] if text.startswith(said) else text


def _begun(messages: list[Message]) -> tuple[list[Message], str]:
    """What was asked, and what of the answer is there already: by a prefill, or before the request to go on."""
    asked = messages[:-1] if messages[-1].content == GO_ON else messages
    if asked and asked[-1].role == "assistant":
        return asked[:-1], text_of(asked[-1].content)
    return messages, ""


def _repeated(messages: list[Message]) -> str:
    content = next((message.content for message in reversed(messages) if message.role == "user"), None)
    parts = content if isinstance(content, list) else []
    images = sum(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)
    seen = f"[{images} image{'s' if images > 1 else ''}]" if images else ""
    return " ".join(filter(None, (_bounded(text_of(content)), seen))) or "There is nothing to repeat."


def _bounded(text: str) -> str:
    return text[:ECHOED].encode(errors="replace")[:ECHOED].decode(errors="ignore")
