"""The messages of a request to OpenAI-shaped vendors: https://platform.openai.com/docs/api-reference/chat/create.

Right after the calls of a message comes one result for each, and there is no result without a call: whatever history
it is, what is written here is not refused for its order.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
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
from gateway.dialects.openai_answer import message_of
from gateway.dialects.pairing import Results

Block = dict[str, Any]
NO_RESULT = "No result: the call was interrupted."
SHOWN_NEXT = "(shown in the next message)"

LONGEST_ID = 40
_LEGAL = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_LEGAL_SPEAKER = re.compile(r"[^\s<|\\/>]{1,64}")
_READ_AS_TEXT = frozenset(("application/json", "application/xml", "application/yaml", "application/x-yaml"))
_SOUNDS = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/mp4": "m4a"}
_ENDINGS = {"application/pdf": "pdf"}


def legal(name: str) -> str:
    """A name of a tool, or of a schema, as OpenAI takes it."""
    if _LEGAL.fullmatch(name):
        return name
    return f"{_ILLEGAL.sub('_', name)[:55]}_{_digest(name)[:8]}"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Names:
    """Tools' names as OpenAI takes them. ``changed``: its name -> the client's."""

    def __init__(self) -> None:
        self.changed: dict[str, str] = {}

    def of(self, name: str) -> str:
        written = legal(name)
        if written != name:
            self.changed[written] = name
        return written


def cache_control(cache: Cache) -> Block:
    return {"type": "ephemeral", "ttl": cache.ttl} if cache.ttl else {"type": "ephemeral"}


class Turns:
    """The conversation of one request. ``dropped`` gets the names of what cannot be said."""

    def __init__(self, names: Names, dropped: list[str]) -> None:
        self._names, self._dropped = names, dropped
        self._messages: Sequence[Message] = ()
        self._results = Results(())

    def written(self, messages: Sequence[Message]) -> list[Block]:
        self._messages, self._results = messages, Results(messages)
        out: list[Block] = []
        for place, message in enumerate(messages):
            if message.role == "tool":
                out += [] if place in self._results.placed else self._without_call(place)
            elif message.role == "assistant":
                out += self._assistant(place)
            else:
                out.append(self._spoken(place))
        return out

    def _spoken(self, place: int) -> Block:
        message = self._messages[place]
        media = message.role == "user"
        blocks = self._blocks(message.parts, f"messages[{place}].content", media=media)
        # Where there can be but text, many servers read nothing but a string.
        content = _short(blocks) if media else _plain(blocks)
        return {"role": message.role, "content": content, **self._speaker(place)}

    def _speaker(self, place: int) -> Block:
        name = self._messages[place].name
        if name and not _LEGAL_SPEAKER.fullmatch(name):
            self._dropped.append(f"messages[{place}].name")
        return {"name": name} if name and _LEGAL_SPEAKER.fullmatch(name) else {}

    # Assistant

    def _assistant(self, place: int) -> list[Block]:
        parts = self._messages[place].parts
        calls = [part for part in parts if isinstance(part, ToolCall)]
        blocks = self._blocks(parts, f"messages[{place}].content", media=False)
        said: Block = {"role": "assistant", "content": _plain(blocks) or (None if calls else "")}
        said |= self._speaker(place) | self._thoughts(place)
        if not calls:
            return [said]
        ids = _unique([call.id for call in calls])
        said["tool_calls"] = [self._call(call, own) for call, own in zip(calls, ids, strict=True)]
        return [said, *self._answers(place, [(call.id, own) for call, own in zip(calls, ids, strict=True)])]

    def _thoughts(self, place: int) -> Block:
        """As answers have them; but for those that the vendor has refused before (``Asked.bare``)."""
        thoughts = [part for part in self._messages[place].parts if isinstance(part, Reasoning)]
        kept = [part for part in thoughts if part.format != "refused"]
        if len(kept) < len(thoughts):
            self._dropped.append(f"messages[{place}].reasoning_content")
        said = message_of(kept, "")
        return {key: said[key] for key in ("reasoning_content", "reasoning_details") if key in said}

    def _call(self, call: ToolCall, own: str) -> Block:
        [written] = message_of([call], "")["tool_calls"]
        function = {"name": self._names.of(call.name), "arguments": _arguments(call.arguments)}
        marker = {"cache_control": cache_control(call.cache)} if call.cache else {}
        return {**written, "id": own, "function": function, **marker}

    # Results

    def _answers(self, place: int, calls: list[tuple[str, str]]) -> list[Block]:
        """The results of these calls (the client's id, ours); a call that nobody answered is told to be one.

        What they show follows in the user's place: tools say but text.
        """
        answers = self._results.answering(place, calls)
        out: list[Block] = []
        shown: list[Block] = []
        for at in sorted(answers):
            for part in self._messages[at].parts:
                if isinstance(part, ToolCallResponse):
                    content, media = self._result(at, part)
                    out.append({"role": "tool", "tool_call_id": answers[at], "content": content})
                    shown += media
        answered = set(answers.values())
        out += [{"role": "tool", "tool_call_id": own, "content": NO_RESULT} for _, own in calls if own not in answered]
        return [*out, {"role": "user", "content": shown}] if shown else out

    def _result(self, at: int, part: ToolCallResponse) -> tuple[Any, list[Block]]:
        """Its text, and what it shows."""
        blocks = self._result_blocks(at, part)
        texts = [block for block in blocks if block["type"] == "text"]
        media = [block for block in blocks if block["type"] != "text"]
        if not media:
            return _plain(texts), []
        whose = {"type": "text", "text": f"Shown by the tool {part.name or part.id}:"}
        return _plain(texts) or SHOWN_NEXT, [whose, *media]

    def _without_call(self, place: int) -> list[Block]:
        """A result whose call is gone (cut off with the start of a long conversation) is something that was said."""
        out = []
        for part in self._messages[place].parts:
            if isinstance(part, ToolCallResponse):
                what = "An error" if part.failed else "A result"
                told = {"type": "text", "text": f"{what} of the tool {part.name or part.id}:"}
                out.append({"role": "user", "content": [told, *self._result_blocks(place, part, told=True)]})
        return out

    def _result_blocks(self, at: int, part: ToolCallResponse, told: bool = False) -> list[Block]:
        """``told``: whether it failed is."""
        if part.failed and not told:
            self._dropped.append(f"messages[{at}].is_error")
        blocks = self._blocks(part.parts, f"messages[{at}].content", media=True)
        if part.cache and blocks:
            blocks[-1].setdefault("cache_control", cache_control(part.cache))
        elif part.cache:
            self._dropped.append(f"messages[{at}].cache_control")
        return blocks

    # Parts

    def _blocks(self, parts: Sequence[Part], where: str, *, media: bool) -> list[Block]:
        """``media``: what is no text may stand here."""
        blocks: list[Block] = []
        said = [part for part in parts if not isinstance(part, Reasoning | ToolCall | ToolCallResponse)]
        for at, part in enumerate(said):
            block = _text(part) or (_medium(part) if media else None)
            if block is None:
                self._dropped.append(f"{where}[{at}]")
                continue
            if cache := getattr(part, "cache", None):
                block["cache_control"] = cache_control(cache)
            blocks.append(block)
        return blocks


def _unique(ids: list[str]) -> list[str]:
    """Short enough, and no two alike in one message, as some clients have them."""
    unique: dict[str, None] = {}
    repeats: Counter[str] = Counter()
    for each in ids:
        short = each if 0 < len(each) <= LONGEST_ID else f"call_{_digest(each)[:24]}"
        own = short
        while own in unique:
            repeats[short] += 1
            own = f"{short[: LONGEST_ID - 8]}_{repeats[short] + 1}"
        unique[own] = None
    return [*unique]


def _arguments(text: str) -> str:
    """A JSON object: servers that fill it into the model's own template refuse anything else."""
    if not text.strip():
        return "{}"
    try:
        said = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        said = text
    if isinstance(said, dict):
        return text
    return msgspec.json.encode({"arguments": said}).decode()


def _short(blocks: list[Block]) -> Any:
    """A text alone, as most clients write it. Nothing is refused as a list, and by some as a part of one."""
    blocks = [block for block in blocks if block.get("text") != ""]
    if not blocks:
        return ""
    return blocks[0]["text"] if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} else blocks


def _plain(blocks: list[Block]) -> Any:
    """Texts alone as one, unless they are marked."""
    if all(block.keys() == {"type", "text"} for block in blocks):
        return "\n".join(block["text"] for block in blocks)
    return [block for block in blocks if block["text"]] or ""


def _text(part: Part) -> Block | None:
    """A refusal is one, too: a field for it is OpenAI's alone, and others refuse it. So is a document made of text."""
    if isinstance(part, Text | Refusal):
        return {"type": "text", "text": part.content}
    if isinstance(part, Blob) and part.modality == "document":
        mime = part.mime_type.lower().partition(";")[0].strip()
        if mime.startswith("text/") or mime in _READ_AS_TEXT:
            try:
                text = base64.b64decode(part.content, validate=True).decode()
            except ValueError:
                return None
            named = f' name="{part.name}"' if part.name else ""
            return {"type": "text", "text": f"<document{named}>\n{text}\n</document>"}
    return None


def _medium(part: Part) -> Block | None:
    """None for what no OpenAI-shaped vendor has a word for."""
    if isinstance(part, File):
        return {"type": "file", "file": {"file_id": part.file_id}} if part.modality == "document" else None
    if not isinstance(part, Blob | Uri):
        return None
    url = part.uri if isinstance(part, Uri) else f"data:{part.mime_type};base64,{part.content}"
    if part.modality == "image":
        detail = {"detail": part.detail} if part.detail else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}}
    if part.modality == "video":
        # Not OpenAI's, and alike at all that take videos: https://openrouter.ai/docs/features/multimodal/videos
        return {"type": "video_url", "video_url": {"url": url}}
    if isinstance(part, Uri):
        return None
    if part.modality == "audio":
        mime = part.mime_type.lower().partition(";")[0].strip()
        form = _SOUNDS.get(mime) or mime.rpartition("/")[2]
        return {"type": "input_audio", "input_audio": {"data": part.content, "format": form}}
    name = part.name or f"document.{_ENDINGS.get(part.mime_type, part.mime_type.rpartition('/')[2])}"
    return {"type": "file", "file": {"filename": name, "file_data": url}}
