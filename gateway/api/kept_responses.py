"""Answers of ``/v1/responses`` that clients refer to later: by ``previous_response_id``, ``GET`` and ``DELETE``.

Each is kept with what was new in its request, and with the id of the one before it. A request that goes on with one is
put together here, with all that was said before, so that any target can serve it; an id that is not kept here is left
in the request, for the vendor that may know it.

https://platform.openai.com/docs/guides/conversation-state
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.errors import CallerError
from gateway.sse import Frame, Splitter

MOST_BEFORE = 1000
"""Answers that one goes on with, all the way back."""
LONGEST_ID = 256


class Shelf(Protocol):
    """Where they are kept for a while: a ``Store``."""

    async def get(self, key: str, /) -> bytes | None: ...
    def put(self, key: str, value: bytes | None, /) -> None: ...


class _Request(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw(b"")
    previous_response_id: Any = None
    store: Any = None


class _Record(msgspec.Struct):
    previous: str | None
    input: list[msgspec.Raw]
    response: msgspec.Raw


class _Named(msgspec.Struct):
    id: Any = None
    output: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: Any = None
    response: msgspec.Raw = msgspec.Raw(b"")


_request = msgspec.json.Decoder(_Request)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_record = msgspec.json.Decoder(_Record)
_named = msgspec.json.Decoder(_Named)
_event = msgspec.json.Decoder(_Event)
# A quotation mark inside a text is escaped: this is a key wherever it stands. OpenAI's own whole answers are indented.
_UNNAMED = re.compile(rb'"previous_response_id"\s*:\s*null')
_ENDS = ("response.completed", "response.incomplete")


class Going(NamedTuple):
    """A request on its way."""

    body: bytes
    """With all that was said before."""
    said: bytes
    """As the client sent it."""
    previous: str | None = None
    """The answer it goes on with, if that is kept here."""
    keeps: bool = False
    """Its answer is to be kept."""


class KeptResponses:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def going_on(self, body: bytes, caller: str, limit: int, *, keyed: bool = False) -> Going:
        """The request with what came before it. What cannot be read is left as it is, to be refused later.

        ``keyed``: callers have keys, and share the accounts with the vendors: what a vendor keeps may be another's.
        Raises ``CallerError``: 413 where both together are larger than a client might have sent them, 400 for an
        answer that is not this caller's, as far as is known here.
        """
        try:
            asked = _request.decode(body)
            new = _input(asked.input)
        except (ValueError, RecursionError):
            return Going(body, body)
        keeps = asked.store is not False
        if not isinstance(asked.previous_response_id, str):
            return Going(body, body, keeps=keeps)
        chain = await self._chain(caller, asked.previous_response_id, limit - len(body))
        if not chain and keyed:
            said = f'no response "{asked.previous_response_id[:LONGEST_ID]}" of this key is kept here: send all of it'
            raise CallerError(400, "previous_response_not_found", said, param="previous_response_id", origin="gateway")
        if not chain:
            # What came before is the vendor's to know: alone, this would be half a conversation.
            return Going(body, body)
        fields = _fields.decode(body)
        del fields["previous_response_id"]
        fields["input"] = msgspec.Raw(msgspec.json.encode([*chain, *new]))
        return Going(msgspec.json.encode(fields), body, asked.previous_response_id, keeps)

    async def _chain(self, caller: str, last: str, room: int) -> list[msgspec.Raw]:
        """The items of all that was said up to an answer; none where a piece of it is missing."""
        turns: dict[str, list[msgspec.Raw]] = {}
        wanted: str | None = last
        while wanted is not None:
            record = await self._find(caller, wanted)
            # A vendor that gives an id twice has made a chain that ends nowhere.
            if record is None or wanted in turns or len(turns) >= MOST_BEFORE:
                return []
            turns[wanted] = said = [*record.input, *(_named.decode(record.response).output or ())]
            room -= sum(memoryview(item).nbytes for item in said)
            if room < 0:
                what = "with all that was said before it the request is too large: begin a new conversation"
                raise CallerError(413, "request_too_large", what, param="previous_response_id", origin="gateway")
            wanted = record.previous
        return [item for turn in reversed(turns.values()) for item in turn]

    def keep(self, caller: str, going: Going, response: bytes) -> None:
        """Unless the client said ``store: false``, or goes on with what is not kept here."""
        if not going.keeps:
            return
        try:
            asked, name = _request.decode(going.said), _named.decode(response).id
            if not isinstance(name, str) or len(name) > LONGEST_ID:
                return
            record = _Record(going.previous, _input(asked.input), msgspec.Raw(response))
        except (ValueError, RecursionError):
            return
        self._shelf.put(_key(caller, name), msgspec.json.encode(record))

    async def response(self, caller: str, name: str) -> bytes:
        """Raises ``CallerError`` (404)."""
        return bytes((await self._known(caller, name)).response)

    async def inputs(self, caller: str, name: str) -> list[msgspec.Raw]:
        """What its own request said. Raises ``CallerError`` (404)."""
        return (await self._known(caller, name)).input

    async def forget(self, caller: str, name: str) -> None:
        """Raises ``CallerError`` (404)."""
        await self._known(caller, name)
        self._shelf.put(_key(caller, name), None)

    async def _known(self, caller: str, name: str) -> _Record:
        record = await self._find(caller, name)
        if record is None:
            said = f'no response "{name[:LONGEST_ID]}" is kept here: it is unknown, another key\'s, or too old'
            raise CallerError(404, "response_not_found", said, param="response_id", origin="gateway")
        return record

    async def _find(self, caller: str, name: str) -> _Record | None:
        found = await self._shelf.get(_key(caller, name)) if len(name) <= LONGEST_ID else None
        try:
            return _record.decode(found) if found else None
        except (ValueError, RecursionError):
            return None


def _key(caller: str, name: str) -> str:
    return f"response:{caller}:{name}"


def _input(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """A text alone is what a user says. Raises ``ValueError`` for what is no input."""
    said = bytes(raw)
    if said.startswith(b'"'):
        message: Mapping[str, Any] = {"type": "message", "role": "user", "content": msgspec.Raw(said)}
        return [msgspec.Raw(msgspec.json.encode(message))]
    return _items.decode(said) if said and said != b"null" else []


class Listener:
    """Hears an answer pass by, and knows the whole of it once it has ended."""

    def __init__(self, previous: str | None) -> None:
        self.response = b""
        self._splitter = Splitter()
        self._named = b'"previous_response_id":' + msgspec.json.encode(previous)
        self._goes_on = previous is not None

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, with the id of what it goes on with: whoever answered was not told it."""
        for frame in self._splitter.feed(chunk):
            self._look(frame)
        return self.named(chunk)

    def named(self, said: bytes) -> bytes:
        return _UNNAMED.sub(lambda _: self._named, said) if self._goes_on else said

    def _look(self, frame: Frame) -> None:
        data = frame.data or b""
        if not any(name.encode() in data[:200] for name in _ENDS):
            return
        try:
            event = _event.decode(data)
        except (ValueError, RecursionError):
            return
        if event.type in _ENDS:
            self.response = self.named(bytes(event.response))
