"""A conversation as Gemini reads it: who said what, and the tools' results right after the turn that called them.

https://ai.google.dev/api/caching#Content and, for signatures, https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from gateway.abilities import Abilities
from gateway.chat import (
    Blob,
    File,
    Message,
    Modality,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolCallResponse,
    Uri,
)

SIGNED = "gemini"
# For calls that no Gemini made, where Gemini 3 answers 400 without a signature: the documented stand-in
# ``skip_thought_signature_validator``, written as bytes are in JSON.
FOREIGN_CALL = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
UNANSWERED = "the tool gave no result"
# Vertex refuses an empty text, and a conversation has to begin with the user.
NOTHING_SAID = " "

Content = dict[str, Any]


class Names:
    """Names of tools as Gemini takes them, always the same for the same name."""

    # "Must start with a letter or an underscore. Must be alphanumeric, underscores, dots, colons or dashes, with a
    # maximum length of 64": from its own error message.
    LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")

    def __init__(self) -> None:
        self.changed: dict[str, str] = {}
        """Gemini's name -> the client's."""

    def of(self, name: str) -> str:
        if self.LEGAL.fullmatch(name):
            return name
        tidy = re.sub(r"[^A-Za-z0-9_.:-]", "_", name)[:54].lstrip("0123456789.:-")
        legal = f"{tidy or 'tool'}_{sha256(name.encode(errors='replace')).hexdigest()[:8]}"
        self.changed[legal] = name
        return legal


class Conversation:
    """Messages in, ``system`` and ``contents`` out; what could not be said is in ``lost``."""

    def __init__(self, able: Abilities, names: Names) -> None:
        self.system: list[Content] = []
        self.contents: list[Content] = []
        self.lost: dict[str, None] = {}
        # Gemini 3 checks signatures and reads images in results; a model we do not know is taken for a new one.
        self._is_new = able.thinking not in ("none", "budget")
        self._names = names
        self._waiting: list[ToolCall] = []
        self._called: set[str] = set()
        """Their ids."""
        self._results: dict[str, list[tuple[str, ToolCallResponse]]] = {}
        self._held: list[Content] = []
        """What was said between a call and its result: it has to come after the result."""

    def read(self, messages: Sequence[Message]) -> None:
        for number, message in enumerate(messages):
            where = f"messages[{number}]"
            if message.name:
                self.lost[f"{where}.name"] = None
            if message.role == "assistant":
                if self._results or self._held:
                    # Until then it is one turn, in however many messages.
                    self._answer()
                self._model_said(message.parts, where)
            elif message.role in ("system", "developer") and not (self.contents or self._waiting):
                self.system += self._parts(message.parts, where)
            elif message.role == "tool":
                self._tools_said(message.parts, where)
            else:
                if message.role != "user":
                    # There is no system role within a conversation: what was said there keeps its place.
                    self.lost[f"{where}.role"] = None
                self._user_said(self._parts(message.parts, where))
        self._answer()
        if not self.contents:
            parts, self.system = self.system, []
            self.contents = [{"role": "user", "parts": parts or [{"text": NOTHING_SAID}]}]
        elif self.contents[0]["role"] == "model":
            self.contents.insert(0, {"role": "user", "parts": [{"text": NOTHING_SAID}]})

    # Who says it ------------------------------------------------------------------------------------------------------

    def _user_said(self, parts: list[Content]) -> None:
        if parts:
            (self._held if self._waiting else self.contents).append({"role": "user", "parts": parts})

    def _model_said(self, said: Sequence[Part], where: str) -> None:
        parts = self._parts(said, where)
        if not parts:
            return
        first = None if self._waiting else next((part for part in parts if "functionCall" in part), None)
        calls = [part for part in said if isinstance(part, ToolCall)]
        self._waiting += calls
        self._called.update(call.id for call in calls)
        if self.contents and self.contents[-1]["role"] == "model":
            # "Function call turn comes immediately after a user turn": two messages of the model are one turn.
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": "model", "parts": parts})
        if first and self._is_new:
            # Of parallel calls only the first is signed.
            first.setdefault("thoughtSignature", FOREIGN_CALL)

    def _tools_said(self, said: Sequence[Part], where: str) -> None:
        for part in said:
            if isinstance(part, ToolCallResponse) and part.id in self._called:
                self._results.setdefault(part.id, []).append((where, part))
            elif isinstance(part, ToolCallResponse):
                # Nobody has called for it here: it is still something the model should know.
                parts = self._parts(part.parts, where)
                self._user_said([{"text": f"Result of the tool {part.name or part.id}:"}, *parts] if parts else [])
            else:
                self._user_said(self._parts((part,), where))

    def _answer(self) -> None:
        """All results of a turn in one content, in the order of the calls, none missing; then what came meanwhile."""
        parts, beside = [], []
        for call in self._waiting:
            given = self._results.get(call.id)
            where, result = given.pop(0) if given else ("", None)
            answer, media = self._response(call, result, where)
            parts.append(answer)
            beside += media
        for again in self._results.values():
            for where, result in again:
                beside += self._parts(result.parts, where)
        if parts:
            self.contents.append({"role": "user", "parts": parts})
        if beside:
            self.contents.append({"role": "user", "parts": beside})
        self.contents += self._held
        self._waiting, self._called, self._results, self._held = [], set(), {}, []

    def _response(self, call: ToolCall, result: ToolCallResponse | None, where: str) -> tuple[Content, list[Content]]:
        """A result, and the media that cannot be within it."""
        name = self._names.of(call.name)
        answer: Content = {"name": name, "response": {"error": UNANSWERED}}
        if call.id:
            answer["id"] = call.id
        if result is None:
            return {"functionResponse": answer}, []
        text = "\n".join(part.content for part in result.parts if isinstance(part, Text))
        answer["response"] = {"error": text} if result.failed else _as_object(text)
        if result.cache or any(part.cache for part in result.parts):
            self.lost["cache_control"] = None
        within, beside = [], []
        for place, part in enumerate(result.parts):
            if isinstance(part, Text):
                continue
            media = self._part(part, f"{where}.content[{place}]")
            # https://ai.google.dev/gemini-api/docs/function-calling#multimodal: from Gemini 3 on, and these kinds.
            if self._is_new and isinstance(part, Blob) and part.mime_type in _WITHIN_RESULTS:
                within.append(media)
            elif media:
                beside.append(media)
        if within:
            answer["parts"] = within
        if beside:
            beside.insert(0, {"text": f"Of the result of the tool {name}:"})
        return {"functionResponse": answer}, beside

    # What is said -----------------------------------------------------------------------------------------------------

    def _parts(self, said: Sequence[Part], where: str) -> list[Content]:
        found: list[Content] = []
        signature, of_call = None, None
        for place, part in enumerate(said):
            if isinstance(part, Reasoning):
                if part.format != SIGNED or not (part.signature or part.opaque):
                    self.lost[f"{where}.reasoning_content"] = None
                elif part.content and part.signature:
                    found.append({"text": part.content, "thought": True, "thoughtSignature": part.signature})
                elif part.signature:
                    signature = part.signature
                else:
                    of_call = part.opaque
            elif written := self._part(part, f"{where}.content[{place}]"):
                found.append(written)
        if of_call:
            called = next((part for part in found if "functionCall" in part), None)
            if called is None:
                signature = signature or of_call
            else:
                called.setdefault("thoughtSignature", of_call)
        if signature:
            _sign_text(found, signature)
        return found

    def _part(self, part: Part, where: str) -> Content | None:
        if getattr(part, "cache", None):
            # Its cache works by itself, or by name: https://ai.google.dev/gemini-api/docs/caching
            self.lost["cache_control"] = None
        match part:
            case Text(content=text) | Refusal(content=text):
                return {"text": text} if text else None
            case ToolCall():
                return self._call(part)
            case Blob():
                return {"inlineData": {"mimeType": part.mime_type, "data": part.content}, **self._extras(part, where)}
            case Uri():
                mime_type = part.mime_type or guessed(part.uri, part.modality)
                return {"fileData": {"mimeType": mime_type, "fileUri": part.uri}, **self._extras(part, where)}
            case File(file_id=file_id) if file_id.startswith(("files/", "https://", "gs://")):
                uri = f"{FILES}{file_id}" if file_id.startswith("files/") else file_id
                return {"fileData": {"fileUri": uri}}
        self.lost[where] = None
        return None

    def _extras(self, part: Blob | Uri, where: str) -> Content:
        if part.name:
            self.lost[f"{where}.file.filename"] = None
        if part.detail in ("low", "high"):
            self.lost[f"{where}.image_url.detail"] = None
        return {}

    def _call(self, call: ToolCall) -> Content:
        function: Content = {"name": self._names.of(call.name), "args": as_arguments(call.arguments)}
        if call.id:
            function["id"] = call.id
        return {"functionCall": function, **({"thoughtSignature": call.signature} if call.signature else {})}


_WITHIN_RESULTS = frozenset(("image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"))
FILES = "https://generativelanguage.googleapis.com/v1beta/"


def _sign_text(parts: list[Content], signature: str) -> None:
    """Where there are no calls the signature is on the last text; it may be an empty one."""
    texts = [part for part in parts if "text" in part and not part.get("thought")]
    if texts:
        texts[-1].setdefault("thoughtSignature", signature)
    else:
        place = next((place for place, part in enumerate(parts) if "functionCall" in part), len(parts))
        parts.insert(place, {"text": "", "thoughtSignature": signature})


def as_arguments(text: str) -> dict[str, Any]:
    """An object, whatever the model wrote."""
    try:
        said = msgspec.json.decode(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return {"arguments": text}
    return said if isinstance(said, dict) else {"arguments": said}


# A result is a protobuf Struct: its numbers are doubles, and the digits of a long id would be lost.
_LONG_NUMBER = re.compile(r"[0-9]{16}")


def _as_object(text: str) -> dict[str, Any]:
    """A JSON object as it is; everything else under the key that Gemini reads as the result."""
    if text.lstrip().startswith("{") and not _LONG_NUMBER.search(text):
        try:
            said = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict):
            return said
    return {"output": text}


_MIME_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "htm": "text/html",
    "xml": "text/xml",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "avi": "video/x-msvideo",
    "webm": "video/webm",
    "wmv": "video/x-ms-wmv",
    "flv": "video/x-flv",
    "3gp": "video/3gpp",
}
_USUAL: Mapping[Modality, str] = {
    "image": "image/jpeg",
    "audio": "audio/mpeg",
    "video": "video/mp4",
    "document": "application/pdf",
}
_YOUTUBE = re.compile(r"https?://(?:(?:www|m|music)\.)?(?:youtube\.com|youtu\.be)/")


def guessed(uri: str, modality: Modality) -> str:
    """A MIME type has to be said: by the name, else the usual one of its kind."""
    return mime_type_of(uri) or _USUAL[modality]


def mime_type_of(uri: str) -> str | None:
    """As the name has it."""
    if _YOUTUBE.match(uri):
        return "video/mp4"
    name = uri.partition("?")[0].partition("#")[0].rpartition("/")[2]
    return _MIME_TYPES.get(name.rpartition(".")[2].lower()) if "." in name else None
