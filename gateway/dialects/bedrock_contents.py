"""A conversation as Bedrock takes it: turns of user and assistant by turns, results right after their calls.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.chat import (
    Blob,
    Cache,
    ChatRequest,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolCallResponse,
    Uri,
)
from gateway.dialects.anthropic_turns import LEFT_OUT, NO_RESULT, NOTHING_SAID
from gateway.dialects.bedrock_models import CachePlace, Family

Block = dict[str, Any]

NO_OUTPUT = "(no output)"
# A document does not stand without a text.
DOCUMENT = "The document is attached."
GO_ON = "Continue."
MOST_CACHE_POINTS = 4

_LONGEST = 64
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ANY_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_NOT_IN_A_TOOL = re.compile(r"[^A-Za-z0-9_-]")
_NOT_IN_A_DOCUMENT = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")


class _Call:
    """A call of the last turn, that is to be answered next. ``own``: its id at Bedrock."""

    __slots__ = ("cache", "own", "result")

    def __init__(self, own: str) -> None:
        self.own = own
        self.result: Block | None = None
        self.cache: Cache | None = None


class Contents:
    """Written once: ``system`` and ``messages`` for the body, and what came up on the way."""

    def __init__(self, request: ChatRequest, family: Family, signed: str) -> None:
        """``signed``: whose thoughts go back."""
        self.system: list[Block] = []
        self.messages: list[Block] = []
        self.dropped: list[str] = []
        self.tool_names: dict[str, str] = {}
        """Bedrock's name of a tool -> the client's, where they differ."""
        self.called: dict[str, None] = {}
        """The tools that were called, by Bedrock's names."""
        self.points = 0
        """Cache points written because the client marked them."""
        self._family, self._signed = family, signed
        self._documents: set[str] = set()
        self._ids: set[str] = set()
        self._repeats: dict[str, int] = {}
        """How often an id was asked for again."""
        self._open: list[_Call] = []
        self._by_id: dict[str, list[_Call]] = {}
        """The client's ids -> open calls without a result."""
        self._answered = False
        """One of the open calls has its result."""
        self._beside: list[Block] = []
        """What came with the results that may not stand in or before them."""
        self._begun = False
        for place, message in enumerate(request.messages):
            self._message(message, f"messages[{place}]")
        self._close()

    # Turns

    def _message(self, message: Message, where: str) -> None:
        if message.name:
            self.dropped.append(f"{where}.name")
        if message.role in ("system", "developer") and not self._begun:
            self._system(message.parts, where)
            return
        self._begun = True
        if message.role == "assistant":
            self._assistant(message.parts, where)
        elif message.role == "tool":
            self._results(message.parts, where)
        else:
            if message.role != "user":
                # Instructions stay where they were said; few models know a role for them there.
                self.dropped.append(f"{where}.role")
            blocks = self._blocks(message.parts, where)
            left_out = not blocks and any(not isinstance(part, Text) for part in message.parts)
            self._say([{"text": LEFT_OUT}] if left_out else blocks)

    def _say(self, blocks: list[Block]) -> None:
        """The user's words; between calls and their results they wait for these."""
        if self._open:
            self._beside += blocks
        else:
            self._add("user", blocks)

    def _close(self) -> None:
        self._answer()
        if not self.messages or self.messages[0]["role"] != "user":
            self.messages.insert(0, {"role": "user", "content": []})
        for turn in self.messages:
            if not turn["content"]:
                # Empty texts are refused, and so is a conversation that does not begin with the user.
                turn["content"].append({"text": NOTHING_SAID})
            if any("document" in block for block in turn["content"]) and not any(
                "text" in block for block in turn["content"]
            ):
                turn["content"].append({"text": DOCUMENT})
        last = self.messages[-1]
        if last["role"] == "assistant":
            if not self._family.continues:
                self.messages.append({"role": "user", "content": [{"text": GO_ON}]})
            elif "text" in last["content"][-1]:
                # "final assistant content cannot end with trailing whitespace"
                last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()

    def _add(self, role: str, blocks: list[Block]) -> None:
        """To the turn that is on, if it is this role's."""
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"].extend(blocks)
        elif blocks or role == "user":
            self.messages.append({"role": role, "content": blocks})

    def _system(self, parts: Iterable[Part], where: str) -> None:
        for place, part in enumerate(parts):
            if not isinstance(part, Text):
                self.dropped.append(f"{where}.content[{place}]")
            elif part.content.strip():
                self.system.append({"text": part.content})
                self._mark(self.system, part.cache, f"{where}.content[{place}]", "system")

    def _assistant(self, parts: tuple[Part, ...], where: str) -> None:
        if self._beside or self._answered:
            self._answer()
        blocks: list[Block] = []
        for place, part in enumerate(parts):
            if isinstance(part, ToolCall):
                blocks.append(self._call(part))
                self._mark(blocks, part.cache, f"{where}.tool_calls", "any")
            elif isinstance(part, Reasoning):
                thought = self._thought(part)
                if thought is None:
                    self._drop(f"{where}.reasoning_content")
                else:
                    blocks.append(thought)
            elif isinstance(part, Text | Refusal):
                if part.content.strip():
                    blocks.append({"text": part.content})
                    self._mark(blocks, getattr(part, "cache", None), f"{where}.content[{place}]", "text")
            else:
                self.dropped.append(f"{where}.content[{place}]")
        if blocks and "reasoningContent" not in blocks[0]:
            # Thoughts come before what they led to.
            blocks.sort(key=lambda block: "reasoningContent" not in block)
        self._add("assistant", blocks)

    def _thought(self, part: Reasoning) -> Block | None:
        if part.format != self._signed or not (part.signature or part.opaque):
            return None
        if part.opaque:
            return {"reasoningContent": {"redactedContent": base64.b64encode(part.opaque.encode()).decode()}}
        return {"reasoningContent": {"reasoningText": {"text": part.content, "signature": part.signature}}}

    # Calls and their results

    def _call(self, call: ToolCall) -> Block:
        name = self.tool_name(call.name)
        self.called[name] = None
        own = self._call_id(call.id)
        self._open.append(opened := _Call(own))
        self._by_id.setdefault(call.id, []).append(opened)
        return {"toolUse": {"toolUseId": own, "name": name, "input": arguments_of(call.arguments)}}

    def _call_id(self, said: str) -> str:
        """Legal, and used once in the conversation: vendors that count their calls begin anew with every turn."""
        legal = _PLAIN_ID if self._family.plain_ids else _ANY_ID
        own = said if legal.fullmatch(said) else f"call_{_hash(said)}"
        again = self._repeats.get(said, 1)
        while own in self._ids:
            again += 1
            own = f"call_{_hash(f'{said} {again}')}"
        self._repeats[said] = again
        self._ids.add(own)
        return own

    def tool_name(self, said: str) -> str:
        if len(said) <= _LONGEST and said and not _NOT_IN_A_TOOL.search(said):
            return said
        own = f"{_NOT_IN_A_TOOL.sub('_', said)[:50]}_{_hash(said)[:12]}"
        self.tool_names[own] = said
        return own

    def _results(self, parts: Iterable[Part], where: str) -> None:
        for part in parts:
            if not isinstance(part, ToolCallResponse):
                self._beside += self._blocks((part,), where)
                continue
            if calls := self._by_id.get(part.id):
                call = calls.pop(0)
                self._answered = True
                call.result, call.cache = self._result(part, call.own, where), _cache_of(part)
            else:
                # It answers no call there is, or one that was answered.
                what = "An error" if part.failed else "A result"
                told = {"text": f"{what} of the tool {part.name or part.id}:"}
                self._beside += [told, *self._blocks(part.parts, where)]
        if not self._open:
            self._answer()

    def _result(self, part: ToolCallResponse, own: str, where: str) -> Block:
        content: list[Block] = []
        parts = [msgspec.structs.replace(each, cache=None) if each.cache else each for each in part.parts]
        for block in self._blocks(parts, where):
            if "text" in block:
                content.append(self._as_json(block))
            elif "document" in block or "video" in block or ("image" in block and self._family.media_in_results):
                content.append(block)
            else:
                self._beside.append(block)
        if not content:
            content.append({"text": NO_OUTPUT if all(isinstance(each, Text) for each in part.parts) else LEFT_OUT})
        result: Block = {"toolUseId": own, "content": content}
        if part.failed:
            if self._family.tells_failure:
                result["status"] = "error"
            else:
                self.dropped.append(f"{where}.is_error")
        return {"toolResult": result}

    def _as_json(self, block: Block) -> Block:
        if not self._family.json_results:
            return block
        try:
            said = msgspec.json.decode(block["text"])
        except (ValueError, RecursionError):
            return block
        return {"json": said} if isinstance(said, dict) else block

    def _answer(self) -> None:
        """The results of the last turn's calls, in the order of the calls, before anything else that is said."""
        blocks: list[Block] = []
        for call in self._open:
            blocks.append(call.result or self._missing(call.own))
            self._mark(blocks, call.cache, "tool", "any")
        blocks += self._beside
        self._open, self._by_id, self._beside, self._answered = [], {}, [], False
        if blocks:
            self._add("user", blocks)

    def _missing(self, own: str) -> Block:
        status = {"status": "error"} if self._family.tells_failure else {}
        return {"toolResult": {"toolUseId": own, "content": [{"text": NO_RESULT}], **status}}

    # Parts

    def _blocks(self, parts: Iterable[Part], where: str) -> list[Block]:
        """What cannot be said is named."""
        blocks: list[Block] = []
        for place, part in enumerate(parts):
            at = f"{where}.content[{place}]"
            block = self._block(part)
            if block is not None:
                blocks.append(block)
                self._mark(blocks, getattr(part, "cache", None), at, "text" if "text" in block else "any")
                if getattr(part, "detail", None) not in (None, "auto"):
                    self.dropped.append(f"{at}.image_url.detail")
            elif not isinstance(part, Text | Refusal):
                self.dropped.append(at)
        return blocks

    def _block(self, part: Part) -> Block | None:
        if isinstance(part, Text | Refusal):
            return {"text": part.content} if part.content.strip() else None
        if isinstance(part, Blob):
            return self._medium(part, {"bytes": part.content}) if part.content else None
        if isinstance(part, Uri) and part.uri.startswith("s3://"):
            return self._medium(part, {"s3Location": {"uri": part.uri}})
        return None

    def _medium(self, part: Blob | Uri, source: Block) -> Block | None:
        ending = (part.uri if isinstance(part, Uri) else part.name or "").rpartition(".")[2].lower()
        mime = (part.mime_type or "").partition(";")[0].strip().lower()
        formats = FORMATS[part.modality]
        form = formats.get(mime) or (ending if ending in formats.values() else formats.get(ending))
        if form is None and part.modality == "document" and (mime.startswith("text/") or mime in _TEXTUAL):
            form = "txt"
        if form is None:
            return None
        if part.modality == "document":
            return {"document": {"format": form, "name": self._document_name(part.name), "source": source}}
        return {part.modality: {"format": form, "source": source}}

    def _document_name(self, said: str | None) -> str:
        """Letters, digits, single spaces, hyphens and brackets; no two documents may have the same."""
        words = _NOT_IN_A_DOCUMENT.sub(" ", (said or "").rpartition(".")[0] or said or "")
        name = own = " ".join(words.split())[:180] or "document"
        number = 1
        while own in self._documents:
            number += 1
            own = f"{name} {number}"
        self._documents.add(own)
        return own

    def _mark(self, blocks: list[Block], cache: Cache | None, where: str, place: CachePlace) -> None:
        if cache is None:
            return
        if place not in self._family.caches:
            self._drop(f"{where}.cache_control")
        else:
            blocks.append(cache_point(cache, self._family))
            self.points += 1

    def _drop(self, name: str) -> None:
        if name not in self.dropped[-1:]:
            self.dropped.append(name)


def _cache_of(result: ToolCallResponse) -> Cache | None:
    """A point stands after a result, never in one."""
    return result.cache or next((each.cache for each in result.parts if each.cache), None)


def cache_point(cache: Cache, family: Family) -> Block:
    longer = family.caches_longer and cache.ttl in ("5m", "1h")
    return {"cachePoint": {"type": "default", **({"ttl": cache.ttl} if longer else {})}}


def thin_out(holders: Iterable[list[Block]], most: int) -> int:
    """Takes out cache points beyond ``most``, the earliest ones of the messages first; how many were taken."""
    holders = list(holders)
    spare = sum("cachePoint" in block for blocks in holders for block in blocks) - most
    taken = 0
    for blocks in holders:
        for at in [at for at, block in enumerate(blocks) if "cachePoint" in block][: max(0, spare - taken)][::-1]:
            del blocks[at]
            taken += 1
    return taken


def arguments_of(text: str) -> Any:
    """A call's input is an object; what is none is wrapped into one."""
    if not text.strip():
        return {}
    try:
        said = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        said = None
    return said if isinstance(said, dict) else {"arguments": text}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:24]


_TEXTUAL = frozenset(("application/json", "application/xml", "application/yaml", "application/x-yaml"))
_WORD = "application/vnd.openxmlformats-officedocument"
FORMATS: dict[str, dict[str, str]] = {
    "image": {
        "image/jpeg": "jpeg",
        "image/jpg": "jpeg",
        "jpg": "jpeg",
        "image/png": "png",
        "image/gif": "gif",
        "image/webp": "webp",
    },
    "document": {
        "application/pdf": "pdf",
        "text/csv": "csv",
        "application/msword": "doc",
        f"{_WORD}.wordprocessingml.document": "docx",
        "application/vnd.ms-excel": "xls",
        f"{_WORD}.spreadsheetml.sheet": "xlsx",
        "text/html": "html",
        "htm": "html",
        "text/plain": "txt",
        "text/markdown": "md",
        "text/x-markdown": "md",
    },
    "video": {
        "video/x-matroska": "mkv",
        "video/quicktime": "mov",
        "video/mp4": "mp4",
        "video/webm": "webm",
        "video/x-flv": "flv",
        "video/mpeg": "mpeg",
        "mpg": "mpg",
        "video/x-ms-wmv": "wmv",
        "video/wmv": "wmv",
        "video/3gpp": "three_gp",
        "3gp": "three_gp",
    },
    "audio": {
        "audio/mpeg": "mp3",
        "audio/mp3": "mp3",
        "audio/opus": "opus",
        "audio/wav": "wav",
        "audio/x-wav": "wav",
        "audio/wave": "wav",
        "audio/aac": "aac",
        "audio/flac": "flac",
        "audio/x-flac": "flac",
        "audio/mp4": "mp4",
        "audio/m4a": "m4a",
        "audio/x-m4a": "m4a",
        "audio/ogg": "ogg",
        "audio/webm": "webm",
        "audio/pcm": "pcm",
    },
}
"""Modality -> MIME type or ending -> Bedrock's word for it."""
