"""Tool calls repaired before the client sees them: names that were meant, arguments as JSON, of their tool's types.

A call that is as it should be is handed on as it came. One that cannot be put right is handed on as it came, too: its
agent tells the model what is wrong with it, which is better than a guess.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
    RepairKind,
    Tool,
    ToolCall,
)
from gateway.tools.loose_json import MOST, mended
from gateway.tools.names import Offered
from gateway.tools.schemas import TooMuch, fitted

MOST_TOLD = 200
"""Repairs of one answer that are told."""
MOST_HELD = 16 * 2**20
"""Characters of one choice that are held back until its calls are whole."""


class Mending:
    """One answer's calls. ``renamed``: the vendor's name of a tool -> the client's, where they differ."""

    def __init__(
        self, tools: Sequence[Tool], renamed: Mapping[str, str] = {}, repairs: list[Repaired] | None = None
    ) -> None:
        self.repairs = [] if repairs is None else repairs
        self._tools = {tool.name: tool for tool in tools}
        self._offered, self._renamed = Offered(self._tools), renamed
        self._held: dict[int, _Held] = {}

    # A whole answer

    def answer(self, answer: ChatResponse) -> ChatResponse:
        """The very same object where nothing was to be done."""
        choices = tuple(self._choice(choice) for choice in answer.choices)
        if all(new is old for new, old in zip(choices, answer.choices, strict=True)):
            return answer
        return msgspec.structs.replace(answer, choices=choices)

    def _choice(self, choice: Choice) -> Choice:
        complete = choice.finish_reason != "length"
        parts: list[Part] = []
        for part in choice.parts:
            parts += self.calls(part, complete) if isinstance(part, ToolCall) else (part,)
        if len(parts) == len(choice.parts) and all(new is old for new, old in zip(parts, choice.parts, strict=True)):
            return choice
        return msgspec.structs.replace(choice, parts=tuple(parts))

    # A stream

    def feed(self, event: ChatEvent) -> list[ChatEvent]:
        """What is to be handed on now. From a choice's first call on, all of it is held back until it is finished."""
        choice: int | None = getattr(event, "choice", None)
        if choice is None:
            return [event]
        held = self._held.get(choice)
        if held is None:
            if not isinstance(event, CallBegan):
                return [event]
            held = self._held[choice] = _Held()
        if isinstance(event, Finished) and not held.given_up:
            return [*self._released(choice, complete=event.reason != "length"), event]
        if held.given_up:
            return [event]
        held.take(event)
        return self._given_up(held) if held.size > MOST_HELD else []

    def end(self) -> list[ChatEvent]:
        """What is still held back of an answer that has ended without saying so."""
        return [event for choice in list(self._held) for event in self._released(choice, complete=False)]

    def _released(self, choice: int, *, complete: bool) -> list[ChatEvent]:
        held = self._held.pop(choice)
        out: list[ChatEvent] = []
        place = 0
        for event in held.events:
            if not isinstance(event, CallBegan):
                out.append(event)
                continue
            for call in self.calls(held.call(event), complete):
                out += _as_events(call, place, choice)
                place += 1
        return out

    def _given_up(self, held: _Held) -> list[ChatEvent]:
        """From now on all of the choice is handed on as it comes."""
        held.given_up = True
        self._tell("", ["unchecked"])
        out: list[ChatEvent] = []
        for event in held.events:
            out += _as_events(held.call(event), event.place, event.choice) if isinstance(event, CallBegan) else [event]
        held.events.clear()
        return out

    # One call

    def calls(self, call: ToolCall, complete: bool = True) -> tuple[ToolCall, ...]:
        """The call as it was meant: usually the very same object; several, where their arguments came as those of one.

        ``complete``: the answer was not cut off.
        """
        kinds: list[RepairKind] = []
        called = self._renamed.get(call.name, call.name)
        name = self._offered.meant(called)
        if name is not None and name != called:
            kinds.append("name")
        tool = self._tools.get(name) if name else None
        arguments, flaws = self._arguments(call.arguments, tool, kinds, complete)
        if name is None and self._tools:
            flaws = ("not on offer",)
        if flaws:
            kinds.append("invalid")
        if kinds:
            self._tell(name or "", kinds, flaws)
        if name in (None, call.name) and arguments == (call.arguments,):
            return (call,)
        return tuple(
            msgspec.structs.replace(call, id=_numbered(call.id, at), name=name or call.name, arguments=each)
            for at, each in enumerate(arguments)
        )

    def _arguments(
        self, text: str, tool: Tool | None, kinds: list[RepairKind], complete: bool
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """As they are to be handed on, and what is wrong with them all the same."""
        schema = (tool.parameters if tool else None) or {}
        if not text.strip() or text.strip() in ("null", "None"):
            if not complete or fitted({}, schema).flaws:
                return (text,), ("empty",)
            kinds.append("empty")
            return ("{}",), ()
        value = _read(text)
        if isinstance(value, dict):
            return self._fitting(text, value, schema, kinds)
        found = mended(text, complete=complete)
        objects = [_read(each) for each in found.values] if found else []
        if found is None or not all(isinstance(each, dict) for each in objects):
            kinds += ["unchecked"] if len(text) > MOST else []
            return (text,), ("not a JSON object",)
        return self._mended(text, found.values, objects, schema, kinds, sorted(found.kinds))

    def _mended(
        self,
        text: str,
        written: Sequence[str],
        objects: Sequence[Any],
        schema: Mapping[str, Any],
        kinds: list[RepairKind],
        done: Iterable[RepairKind],
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """1. One object. 2. Several, each of which is a call by itself. 3. Several that are not: as they came."""
        coerced: list[RepairKind] = []
        each = [self._fitting(one, value, schema, coerced) for one, value in zip(written, objects, strict=True)]
        flaws = tuple(flaw for _, wrong in each for flaw in wrong)
        if flaws and len(each) > 1:
            return (text,), ("several objects",)
        kinds += [*done, *dict.fromkeys(coerced)]
        return tuple(one for ones, _ in each for one in ones), flaws

    def _fitting(
        self, text: str, value: dict[str, Any], schema: Mapping[str, Any], kinds: list[RepairKind]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        try:
            found = fitted(value, schema)
            if found.value is value:
                return (text,), found.flaws
            written = json.dumps(found.value, ensure_ascii=False, allow_nan=False)
        except (TooMuch, RecursionError, ValueError):
            kinds.append("unchecked")
            return (text,), ()
        kinds.append("types")
        return (written,), found.flaws

    def _tell(self, tool: str, kinds: Sequence[RepairKind], flaws: tuple[str, ...] = ()) -> None:
        if len(self.repairs) < MOST_TOLD:
            self.repairs.append(Repaired(tool, tuple(dict.fromkeys(kinds)), flaws))


class _Held:
    """What is held back of one choice, and the arguments of its calls by their places."""

    def __init__(self) -> None:
        self.events: list[ChatEvent] = []
        self.arguments: dict[int, list[str]] = {}
        self.size = 0
        self.given_up = False
        """It was too large."""

    def take(self, event: ChatEvent) -> None:
        if isinstance(event, CallDelta):
            self.arguments.setdefault(event.place, []).append(event.arguments)
            self.size += len(event.arguments)
        else:
            self.events.append(event)
            self.size += len(getattr(event, "text", ""))

    def call(self, began: CallBegan) -> ToolCall:
        return ToolCall(began.id, began.name, "".join(self.arguments.pop(began.place, ())), began.signature)


def _as_events(call: ToolCall, place: int, choice: int) -> list[ChatEvent]:
    began = CallBegan(place, call.id, call.name, call.signature, choice)
    return [began, CallDelta(place, call.arguments, choice)] if call.arguments else [began]


def _numbered(call_id: str, at: int) -> str:
    return f"{call_id}_{at + 1}" if at else call_id


def _read(text: str) -> Any:
    """None where it is not JSON."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
