"""Which results of a conversation answer which calls, for vendors that want them right behind each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.chat import Message, ToolCall, ToolCallResponse


class Results:
    """The results in a conversation, each of which answers one call at most."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self.placed: set[int] = set()
        """Places of those that answer a call."""
        self._given: dict[int, dict[str, deque[int]]] = {}
        self._ends: list[int] = [len(messages)] * len(messages)
        for at in range(len(messages) - 2, -1, -1):
            self._ends[at] = at + 1 if messages[at + 1].role != "assistant" else self._ends[at + 1]

    def answering(self, place: int, calls: Sequence[tuple[str, str]]) -> dict[int, str]:
        """Of the calls of the message at a place (the client's id, the vendor's): a result's place -> the vendor's id.

        Some clients give several calls one id: the results answer them in order.
        """
        given = self._after(place)
        answers = {places.popleft(): own for said, own in calls if (places := given.get(said))}
        self.placed.update(answers)
        return answers

    def _after(self, place: int) -> dict[str, deque[int]]:
        """Where they are, by the calls' ids: after the assistant's turn (which may be several messages), up to the next
        turn with calls."""
        end = self._ends[place]
        if end not in self._given:
            given = self._given[end] = {}
            for at in range(end, len(self._messages)):
                message = self._messages[at]
                if message.role == "assistant" and any(isinstance(part, ToolCall) for part in message.parts):
                    break
                for part in message.parts:
                    if isinstance(part, ToolCallResponse):
                        given.setdefault(part.id, deque()).append(at)
        return self._given[end]
