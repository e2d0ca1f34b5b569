"""A conversation in nobody's dialect, for a look at it: what was said, called and answered, decoded when asked for.

The hub (``gateway.chat``) is for translating a request and loses nothing; this is for reading one quickly, whatever it
holds. Nothing here raises.
"""

from __future__ import annotations

import hashlib
from abc import ABCMeta, abstractmethod
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

Role = Literal["system", "user", "assistant", "tool", "other"]


class Said(NamedTuple):
    """A message's content. ``flag``: what stands beside a result's content, true for a failure, if anything does."""

    text: str
    images: int = 0
    files: int = 0
    """Other content that is no text."""
    flag: bool | None = None

    @property
    def size(self) -> int:
        """Bytes of the text; what is in images and files is not counted."""
        return len(self.text) if self.text.isascii() else len(self.text.encode(errors="replace"))


class Call(NamedTuple):
    """A tool call. ``id`` is made of its place in the conversation where the call has none."""

    id: str
    tool: str
    arguments: Any = None
    readable: bool = True
    """The arguments are a JSON object, or free text where the tool wants that."""


class _Abstract(msgspec.StructMeta, ABCMeta):
    """Of structs that cannot be made before what is missing is filled in."""


class Message(msgspec.Struct, gc=False, metaclass=_Abstract):
    """One message; a tool's result is a message of its own, in whatever way a dialect packs several together.

    A dialect fills in what it takes to decode one later. Reading it twice costs as much as once.
    """

    role: Role
    answers: str = ""
    """The id of the call that this is the result of."""
    kept: Said | None = None

    def said(self) -> Said:
        if self.kept is None:
            self.kept = self.read()
        return self.kept

    @abstractmethod
    def read(self) -> Said: ...

    @abstractmethod
    def calls(self, place: int) -> list[Call]:
        """Of an assistant message, in order. ``place``: its index in the conversation."""

    @abstractmethod
    def size_of_calls(self) -> int:
        """Bytes of its calls as they came; 0: it makes none."""

    def may_call(self, tools: Collection[str]) -> bool:
        """Without decoding the calls: could one of the tools be among them?"""
        return True

    @abstractmethod
    def parts(self) -> Iterable[bytes | memoryview | msgspec.Raw]:
        """The bytes that tell it from other messages."""


class Conversation(msgspec.Struct, frozen=True, gc=False):
    """``messages`` in order, without those that are none; ``tools``: names of those on offer."""

    messages: Sequence[Message] = ()
    tools: tuple[str, ...] = ()
    size_of_tools: int = 0
    """Bytes of their descriptions."""

    def fingerprint(self) -> str:
        """A digest of all messages; "" where there are none. The same when they are sent again byte for byte."""
        if not self.messages:
            return ""
        digest = hashlib.sha256(usedforsecurity=False)
        for message in self.messages:
            digest.update(b"\0".join((message.role.encode(), *message.parts())))
        return digest.hexdigest()[:32]


NO_CONVERSATION = Conversation()


def text_of(content: Any, between: str = "") -> str:
    """The text of a message's content, be it a string or a list of parts."""
    if isinstance(content, list):
        texts = (part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
        return between.join(texts)
    return content if isinstance(content, str) else ""


def answered(calls: Sequence[Call], results: Iterable[Message]) -> tuple[list[Message | None], list[Message]]:
    """Each call's result, the next with its id or the next without any; and the results that are left."""
    results = list(results)
    if len(calls) == 1 == len(results) and results[0].answers in (calls[0].id, ""):
        return list(results), []
    named: dict[str, deque[Message]] = {}
    for message in results:
        named.setdefault(message.answers, deque()).append(message)
    nameless = named.get("") or deque()
    found: list[Message | None] = []
    for call in calls:
        queue = named.get(call.id) or nameless
        found.append(queue.popleft() if queue else None)
    return found, [message for queue in named.values() for message in queue]
