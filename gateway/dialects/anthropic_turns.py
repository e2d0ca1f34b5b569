"""A conversation in Anthropic's turns: system first, user and assistant by turns, every tool call answered at once.

Whatever vendor's history it is: what is written here is valid for all Claude models. What they refuse is either said in
another way or named in ``dropped``.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec

from gateway.chat import (
    Blob,
    Cache,
    File,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolCallResponse,
    Uri,
)

Block = dict[str, Any]
SIGNED = "anthropic"

# Texts must hold something that is not white space; these stand where nothing is left to say.
NOTHING_SAID = "(no message)"
LEFT_OUT = "(content left out: this model cannot read it)"
NO_RESULT = "No result: the call was interrupted."

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_LEGAL_ID = re.compile(r"[a-zA-Z0-9_-]{1,256}")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_IMAGES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_READ_AS_TEXT = frozenset(("application/json", "application/xml", "application/yaml", "application/x-yaml"))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def legal_id(given: str) -> str:
    """The id of a call as Anthropic takes it."""
    return given if _LEGAL_ID.fullmatch(given) else f"toolu_{digest(given)[:24]}"


class Names:
    """Tools' names as Anthropic takes them. ``changed``: its name -> the client's."""

    def __init__(self) -> None:
        self.changed: dict[str, str] = {}
        self.called: dict[str, None] = {}
        """Those that the history calls, in order."""

    def of(self, name: str) -> str:
        if _LEGAL_NAME.fullmatch(name):
            return name
        legal = f"{_ILLEGAL.sub('_', name)[:100]}_{digest(name)[:8]}"
        self.changed[legal] = name
        return legal


class Turns:
    """The conversation as written. Contents are lists of blocks here."""

    def __init__(self, names: Names, dropped: list[str], *, thinks: bool, sees: bool = True) -> None:
        """``thinks``: the model takes back what it thought before. ``sees``: images and documents too."""
        self.system: list[Block] = []
        self.messages: list[Block] = []
        self.has_files = False
        self._names, self._dropped, self._thinks, self._sees = names, dropped, thinks, sees
        self._ids: set[str] = set()
        self._repeats: dict[str, int] = {}
        """How often an id was asked for again."""
        self._pending: list[tuple[str, str]] = []
        """Calls of the assistant's last turn: the client's id, and ours."""

    def write(self, messages: Sequence[Message]) -> None:
        first = next(
            (at for at, each in enumerate(messages) if each.role not in ("system", "developer")), len(messages)
        )
        for at, message in enumerate(messages[:first]):
            self._named(message, at)
            self.system += self._texts(message.parts, at)
        rest = list(enumerate(messages))[first:]
        for assistant, turn in groupby(rest, key=lambda each: each[1].role == "assistant"):
            if assistant:
                self._say("assistant", self._assistant(turn))
            else:
                self._say("user", self._user(list(turn)))
        if self._pending:
            self._say("user", self._answered({}))
        if not self.messages or self.messages[0]["role"] != "user":
            self.messages.insert(0, {"role": "user", "content": [{"type": "text", "text": NOTHING_SAID}]})

    def _say(self, role: str, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _assistant(self, turn: Iterable[tuple[int, Message]]) -> list[Block]:
        """Thoughts go before what they led to, calls last: their results follow at once."""
        said: list[Block] = []
        calls: list[Block] = []
        for at, message in turn:
            self._named(message, at)
            thoughts = [
                each for part in message.parts if isinstance(part, Reasoning) if (each := self._thought(part, at))
            ]
            said += thoughts
            for place, part in enumerate(message.parts):
                if isinstance(part, ToolCall):
                    calls.append(self._call(part))
                elif isinstance(part, Text | Refusal):
                    said += _text(part)
                elif not isinstance(part, Reasoning):
                    self._dropped.append(f"messages[{at}].content[{place}]")
        return said + calls

    def _thought(self, part: Reasoning, at: int) -> Block | None:
        if part.format == SIGNED and self._thinks:
            if part.signature:
                return {"type": "thinking", "thinking": part.content, "signature": part.signature}
            if part.opaque:
                return {"type": "redacted_thinking", "data": part.opaque}
        self._dropped.append(f"messages[{at}].reasoning_content")
        return None

    def _call(self, call: ToolCall) -> Block:
        name = self._names.of(call.name)
        self._names.called[name] = None
        legal = self._legal_id(call.id)
        self._pending.append((call.id, legal))
        block = {"type": "tool_use", "id": legal, "name": name, "input": _input(call.arguments)}
        return _marked(block, call.cache)

    def _legal_id(self, client: str) -> str:
        """Unique within the conversation: some vendors number the calls of each turn from 0."""
        legal = legal_id(client)
        unique, again = legal, self._repeats.get(legal, 1)
        while unique in self._ids:
            again += 1
            unique = f"{legal}_{again}"
        self._repeats[legal] = again
        self._ids.add(unique)
        return unique

    def _user(self, turn: list[tuple[int, Message]]) -> list[Block]:
        """Results first, in the order of the calls; then what was said, in the order it was said."""
        results: dict[int, Block] = {}
        said: list[Block] = []
        lost = len(self._dropped)
        waiting = self._waiting([message for _, message in turn])
        for at, message in turn:
            self._named(message, at)
            if message.role in ("system", "developer"):
                # The role within a conversation is known to models from Claude Opus 4.8 on, and to them after a user's
                # turn only: as the user's words it is valid for all, and stays where it was said.
                self._dropped.append(f"messages[{at}].role")
            for place, part in enumerate(message.parts):
                if not isinstance(part, ToolCallResponse):
                    said += self._shown(part, at, place)
                    continue
                if calls := waiting.get(part.id):
                    call = calls.pop(0)
                    results[call] = self._result(part, self._pending[call][1], at)
                else:
                    said += self._told(part, at)
        blocks = self._answered(results) + said
        if not blocks and len(self._dropped) > lost:
            return [{"type": "text", "text": LEFT_OUT}]
        return blocks

    def _waiting(self, messages: list[Message]) -> dict[str, list[int]]:
        """A result's id -> the calls it may answer, in order: some vendors give several the same id, or none.

        Results with ids of no call (some clients make their own) answer the calls that are left, if they are as many.
        """
        waiting: dict[str, list[int]] = {}
        for place, (client, _) in enumerate(self._pending):
            waiting.setdefault(client, []).append(place)
        given = [part.id for message in messages for part in message.parts if isinstance(part, ToolCallResponse)]
        strays = [each for each in given if each not in waiting]
        counted = Counter(given)
        left = sorted(place for client, places in waiting.items() for place in places[counted[client] :])
        if len(strays) == len(left):
            for stray, place in zip(strays, left, strict=True):
                waiting.setdefault(stray, []).append(place)
        return waiting

    def _answered(self, results: dict[int, Block]) -> list[Block]:
        """A result for each pending call: a call without one is refused."""
        pending, self._pending = self._pending, []
        return [
            results.get(place) or {"type": "tool_result", "tool_use_id": legal, "content": NO_RESULT, "is_error": True}
            for place, (_, legal) in enumerate(pending)
        ]

    def _result(self, part: ToolCallResponse, call_id: str, at: int) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": call_id}
        if content := self._content(part, at):
            block["content"] = plain(content)
        if part.failed:
            block["is_error"] = True
        return _marked(block, part.cache)

    def _told(self, part: ToolCallResponse, at: int) -> list[Block]:
        """A result of no call that is here: in words."""
        what = "An error" if part.failed else "A result"
        return [{"type": "text", "text": f"{what} of the tool {part.name or part.id}:"}, *self._content(part, at)]

    def _content(self, part: ToolCallResponse, at: int) -> list[Block]:
        content = [block for place, each in enumerate(part.parts) for block in self._shown(each, at, place)]
        if not content and any(not isinstance(each, Text) for each in part.parts):
            return [{"type": "text", "text": LEFT_OUT}]
        return content

    def _shown(self, part: Part, at: int, place: int) -> list[Block]:
        """A part of what a user, or a tool, shows."""
        if isinstance(part, Text | Refusal):
            return _text(part)
        block = self._media(part) if self._sees else None
        if block is None:
            self._dropped.append(f"messages[{at}].content[{place}]")
            return []
        if getattr(part, "detail", None) not in (None, "auto"):
            self._dropped.append(f"messages[{at}].content[{place}].image_url.detail")
        return [_marked(block, getattr(part, "cache", None))]

    def _media(self, part: Part) -> Block | None:
        if isinstance(part, File) and part.modality in ("image", "document"):
            self.has_files = True
            return {"type": part.modality, "source": {"type": "file", "file_id": part.file_id}}
        if isinstance(part, Uri) and part.uri.startswith(("https://", "http://")):
            source = {"type": "url", "url": part.uri}
            if part.modality == "image":
                return {"type": "image", "source": source}
            if part.modality == "document" and part.mime_type in (None, "application/pdf"):
                return _titled({"type": "document", "source": source}, part.name)
        if isinstance(part, Blob):
            return _blob(part)
        return None

    def _texts(self, parts: Iterable[Part], at: int) -> list[Block]:
        """Of a system message, which is text alone."""
        blocks: list[Block] = []
        for place, part in enumerate(parts):
            if isinstance(part, Text | Refusal):
                blocks += _text(part)
            else:
                self._dropped.append(f"messages[{at}].content[{place}]")
        return blocks

    def _named(self, message: Message, at: int) -> None:
        if message.name:
            self._dropped.append(f"messages[{at}].name")


def _text(part: Text | Refusal) -> list[Block]:
    """Nothing for white space alone, which is refused."""
    if not part.content.strip():
        return []
    return [_marked({"type": "text", "text": part.content}, getattr(part, "cache", None))]


def _marked(block: Block, cache: Cache | None) -> Block:
    return {**block, "cache_control": cache_control(cache)} if cache else block


def cache_control(cache: Cache) -> Block:
    return {"type": "ephemeral", "ttl": cache.ttl} if cache.ttl in ("5m", "1h") else {"type": "ephemeral"}


def _input(arguments: str) -> Block:
    """An object; what is none is kept in one."""
    if not arguments.strip():
        return {}
    try:
        read = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        read = None
    return read if isinstance(read, dict) else {"arguments": arguments}


def _blob(part: Blob) -> Block | None:
    mime = part.mime_type.lower().partition(";")[0].strip()
    if part.modality == "image":
        mime = "image/jpeg" if mime == "image/jpg" else mime
        source = {"type": "base64", "media_type": mime, "data": part.content}
        return {"type": "image", "source": source} if mime in _IMAGES else None
    if part.modality != "document":
        return None
    if mime == "application/pdf":
        source = {"type": "base64", "media_type": mime, "data": part.content}
    elif mime.startswith("text/") or mime in _READ_AS_TEXT:
        try:
            text = binascii.a2b_base64(part.content).decode()
        except ValueError:
            return None
        if not text.strip():
            return None
        source = {"type": "text", "media_type": "text/plain", "data": text}
    else:
        return None
    return _titled({"type": "document", "source": source}, part.name)


def _titled(block: Block, name: str | None) -> Block:
    return {**block, "title": name} if name else block


def plain(content: list[Block]) -> list[Block] | str:
    """A text alone, as most clients write it."""
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        text: str = content[0]["text"]
        return text
    return content


def goes_on_thoughtless(messages: list[Block]) -> bool:
    """Is a tool being used, by an assistant's turn that did not begin with a thought?

    With a budget to think, Anthropic wants that thought back: "Expected `thinking` or `redacted_thinking`".
    """
    first: Block | None = None
    for at in range(len(messages) - 1, 0, -2):
        if messages[at]["role"] != "user" or messages[at]["content"][0]["type"] != "tool_result":
            break
        first = messages[at - 1]
    return first is not None and first["content"][0]["type"] not in ("thinking", "redacted_thinking")
