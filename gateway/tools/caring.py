"""How a model's tool calls are looked after, as configured, and what does it to one answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from gateway.chat import ChatEvent, ChatResponse, Repaired, Tool
from gateway.tools.mending import Mending
from gateway.tools.reading import Reading


class Care(msgspec.Struct, frozen=True):
    """``shim`` is for models that cannot be told of tools; what it reads is repaired, too."""

    repair: bool = False
    shim: bool = False
    interpreter: str | None = None
    """The name of the model that reads calls out of answers in which the shim finds none."""

    @property
    def wanted(self) -> bool:
        return self.repair or self.shim


NO_CARE = Care()


class Stage(Protocol):
    def answer(self, answer: ChatResponse, /) -> ChatResponse: ...
    def feed(self, event: ChatEvent, /) -> list[ChatEvent]: ...
    def end(self) -> list[ChatEvent]: ...


class Caring:
    """One answer on its way through: first its calls are read, then they are repaired."""

    def __init__(self, stages: Sequence[Stage], repairs: list[Repaired], asks: bool = False) -> None:
        self.repairs = repairs
        """Grows on the way."""
        self.asks = asks
        """An interpreter is asked where no calls are found."""
        self._stages = stages

    def answer(self, answer: ChatResponse) -> ChatResponse:
        """The very same object where nothing was to be done."""
        for stage in self._stages:
            answer = stage.answer(answer)
        return answer

    def feed(self, event: ChatEvent) -> list[ChatEvent]:
        """What is to be handed on now."""
        return _through(self._stages, [event])

    def end(self) -> list[ChatEvent]:
        """What is still held back of an answer that has ended, or broken off."""
        out: list[ChatEvent] = []
        for place, stage in enumerate(self._stages):
            out += _through(self._stages[place + 1 :], stage.end())
        return out


def _through(stages: Sequence[Stage], events: list[ChatEvent]) -> list[ChatEvent]:
    for stage in stages:
        events = [each for event in events for each in stage.feed(event)]
    return events


def caring(care: Care, tools: Sequence[Tool], *, seed: str, renamed: Mapping[str, str] = {}) -> Caring:
    """``tools``: those on offer; ``seed``: what tells this answer from others; ``renamed``: the vendor's name of a tool
    -> the client's, where they differ."""
    repairs: list[Repaired] = []
    if not tools or not care.wanted:
        return Caring((), repairs)
    mending = Mending(tools, renamed, repairs)
    if not care.shim:
        return Caring((mending,), repairs)
    return Caring((Reading(tools, seed, repairs), mending), repairs, asks=care.interpreter is not None)
