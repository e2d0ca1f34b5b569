"""What was said in a Gemini request, turn by turn: https://ai.google.dev/api/caching#Content"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.chat import Blob, File, Message, Modality, Part, Reasoning, Text, ToolCall, ToolCallResponse, Uri
from gateway.dialects.fields import elements, mapping, string, words
from gateway.dialects.gemini_contents import FILES, SIGNED, mime_type_of
from gateway.dialects.gemini_marks import unmarked
from gateway.dialects.gemini_results import result_of
from gateway.dialects.gemini_schema import tidy
from gateway.dialects.openai_parts import Fields, text_in, wrong
from gateway.dialects.openai_request import MOST_PARTS
from gateway.errors import CallerError

_ROLES = {"user": "user", "model": "assistant", "function": "user"}
"""``function`` is an older word for who brings results."""
_DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
_READ = words("text inlineData fileData functionCall functionResponse thought thoughtSignature")


class Turns:
    """Contents in, ``messages`` out: a result is a message of its own, the model's contents in a row are one."""

    def __init__(self, extra: Fields) -> None:
        self.messages: list[Message] = []
        self._extra = extra
        self._room = MOST_PARTS
        self._calls = _Calls()
        self._turn = _Turn()

    def instruct(self, said: Any) -> None:
        """A content, or a mere text."""
        parts = [{"text": said}] if isinstance(said, str) else self._parts(said, "systemInstruction")
        found = [part for part in self._all_read(parts, "systemInstruction") if part]
        if found:
            self.messages.append(Message("system", tuple(found)))

    def read(self, contents: Any) -> None:
        """Raises ``CallerError`` (400), also where there are none."""
        if isinstance(contents, dict):
            contents = [contents]
        if contents is not None and not isinstance(contents, list):
            raise wrong("contents", "an array", contents)
        if not contents:
            raise CallerError(400, "missing_required_parameter", "contents: at least one is needed", param="contents")
        self._take(len(contents))
        for place, content in enumerate(contents):
            where = f"contents[{place}]"
            parts = self._parts(content, where)
            self._take(len(parts))
            if self._role(content, where) == "assistant":
                self._model_said(parts, where)
            else:
                self._end_turn()
                self._user_said(parts, where)
        self._end_turn()

    def _take(self, parts: int) -> None:
        self._room -= parts
        if self._room < 0:
            raise CallerError(400, "too_many_parts", f"more than {MOST_PARTS} contents and parts", param="contents")

    def _parts(self, content: Any, where: str) -> list[Any]:
        if content is None and where == "systemInstruction":
            return []
        if not isinstance(content, dict):
            raise wrong(where, "an object", content)
        said = tidy(content)
        if isinstance(said.get("parts"), dict):
            return [said["parts"]]
        return elements(said, "parts", f"{where}.")

    def _role(self, content: Fields, where: str) -> str:
        said = string(content, "role", f"{where}.") or "user"
        if said not in _ROLES:
            raise CallerError(
                400, "invalid_value", f"{where}.role: {said!r} is neither user nor model", param=f"{where}.role"
            )
        return _ROLES[said]

    # Who says it ------------------------------------------------------------------------------------------------------

    def _user_said(self, said: Sequence[Any], where: str) -> None:
        beside: list[Part] = []
        for part in self._all_read(said, where):
            if isinstance(part, ToolCall):
                raise CallerError(400, "invalid_value", f"{where}: only the model calls functions", param=where)
            if isinstance(part, ToolCallResponse):
                if beside:
                    self.messages.append(Message("user", tuple(beside)))
                    beside = []
                self.messages.append(Message("tool", (part,)))
            elif part and not isinstance(part, Reasoning):
                beside.append(part)
        if beside:
            self.messages.append(Message("user", tuple(beside)))

    def _model_said(self, said: Sequence[Any], where: str) -> None:
        """Several contents in a row are one turn: SDKs keep each event of a stream as one."""
        for place, each in enumerate(said):
            self._modelled(each, f"{where}.parts[{place}]")

    def _modelled(self, said: Any, where: str) -> None:
        """One part of the model's, its signature taken apart."""
        part = self._read(said, where)
        signature = string(tidy(said), "thoughtSignature", f"{where}.")
        if signature and (kept := unmarked(signature)):
            self._turn.replace_shown(kept.thoughts)
            signature = kept.signature
        match part:
            case ToolCall():
                self._turn.add(msgspec.structs.replace(part, signature=signature))
                return
            case Reasoning(content=content):
                self._turn.add(Reasoning(content, signature, format=SIGNED if signature else None))
                return
            case Text(content=content):
                self._turn.say(content)
            case Blob() | Uri() | File():
                self._turn.add(part)
        if signature:
            self._turn.add(Reasoning(signature=signature, format=SIGNED))

    def _end_turn(self) -> None:
        if parts := self._turn.parts():
            self.messages.append(Message("assistant", parts))
            self._turn = _Turn()

    # What is said -----------------------------------------------------------------------------------------------------

    def _all_read(self, said: Sequence[Any], where: str) -> list[Part | None]:
        return [self._read(part, f"{where}.parts[{place}]") for place, part in enumerate(said)]

    def _read(self, said: Any, where: str) -> Part | None:
        """None for an empty text, and for what the hub has no word for."""
        if not isinstance(said, dict):
            raise wrong(where, "an object", said)
        part = tidy(said)
        if not part.keys() <= _READ:
            left = {f"{where}.{name}": value for name, value in part.items() if name not in _READ}
            self._extra.update(left)
        kind = next((name for name in _DATA if name in part), None)
        match kind:
            case None:
                return None
            case "text":
                text = text_in(part, "text", where)
                if part.get("thought") is True:
                    return Reasoning(text) if text or part.get("thoughtSignature") else None
                return Text(text) if text else None
            case "functionCall":
                return self._call(part, where)
            case "functionResponse":
                return self._answer(part, where)
        return media(part, where)

    def _call(self, part: Fields, where: str) -> ToolCall:
        said = tidy(mapping(part, "functionCall", f"{where}.") or {})
        name, args = text_in(said, "name", f"{where}.functionCall"), said.get("args")
        arguments = msgspec.json.encode(args).decode() if args else "{}"
        self._note(said, _READ_OF_CALL, f"{where}.functionCall")
        # Many are sent back without an id, and many models give none: the place is as good a name.
        call_id = string(said, "id", f"{where}.functionCall.") or f"call_{'_'.join(_numbers(where))}"
        self._calls.made(call_id, name)
        return ToolCall(call_id, name, arguments)

    def _answer(self, part: Fields, where: str) -> ToolCallResponse:
        where = f"{where}.functionResponse"
        said = tidy(mapping(part, "functionResponse", where.removesuffix("functionResponse")) or {})
        name = string(said, "name", f"{where}.") or ""
        self._note(said, _READ_OF_ANSWER, where)
        call_id = string(said, "id", f"{where}.") or self._calls.waiting(name) or f"call_{'_'.join(_numbers(where))}"
        found = result_of(said.get("response"))
        parts: list[Text | Blob | Uri | File] = [Text(found.text)] if found.text else []
        for place, each in enumerate(elements(said, "parts", f"{where}.")):
            within = f"{where}.parts[{place}]"
            if not isinstance(each, dict):
                raise wrong(within, "an object", each)
            if made := media(tidy(each), within):
                parts.append(made)
            else:
                self._extra[within] = each
        return ToolCallResponse(call_id, self._calls.answered(call_id) or name, tuple(parts), found.failed)

    def _note(self, said: Fields, read: frozenset[str], where: str) -> None:
        if not said.keys() <= read:
            self._extra.update({f"{where}.{name}": value for name, value in said.items() if name not in read and value})


_READ_OF_CALL = words("name args id")
_READ_OF_ANSWER = words("name response id parts")


class _Turn:
    """The model's, part by part; texts that follow each other are one text in pieces."""

    def __init__(self) -> None:
        self._found: list[Part] = []
        self._pieces: list[str] = []

    def say(self, text: str) -> None:
        self._pieces.append(text)

    def add(self, part: Part) -> None:
        self._settle()
        self._found.append(part)

    def replace_shown(self, thoughts: Sequence[Reasoning]) -> None:
        """Thoughts whole and signed, in the place of the same ones as they were shown."""
        self._settle()
        while thoughts and self._found and isinstance(last := self._found[-1], Reasoning) and not last.signature:
            self._found.pop()
        self._found += thoughts

    def parts(self) -> tuple[Part, ...]:
        self._settle()
        return tuple(self._found)

    def _settle(self) -> None:
        if self._pieces:
            self._found.append(Text("".join(self._pieces)))
            self._pieces = []


class _Calls:
    """Which call a result is for: the one with its id, else the first that waits for that tool, else the first."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        # Ordered ones: the first of a dict is far away when many before it are gone.
        self._open: OrderedDict[str, None] = OrderedDict()
        self._open_by_name: dict[str, OrderedDict[str, None]] = {}

    def made(self, call_id: str, name: str) -> None:
        self.answered(call_id)
        self._names[call_id] = name
        self._open[call_id] = None
        self._open_by_name.setdefault(name, OrderedDict())[call_id] = None

    def waiting(self, name: str) -> str | None:
        return next(iter(self._open_by_name.get(name, ())), None) or next(iter(self._open), None)

    def answered(self, call_id: str) -> str | None:
        """The tool's name, where the call is known."""
        name = self._names.get(call_id)
        if name is not None and call_id in self._open:
            del self._open[call_id]
            del self._open_by_name[name][call_id]
        return name


def _numbers(where: str) -> list[str]:
    return [piece.partition("]")[0] for piece in where.split("[")[1:]]


# Media ----------------------------------------------------------------------------------------------------------------


def media(part: Fields, where: str) -> Blob | Uri | File | None:
    """``inlineData`` or ``fileData``; None for neither."""
    if "inlineData" in part:
        said = tidy(mapping(part, "inlineData", f"{where}.") or {})
        data, mime_type = text_in(said, "data", f"{where}.inlineData"), said.get("mimeType")
        if not isinstance(mime_type, str) or not mime_type:
            raise wrong(f"{where}.inlineData.mimeType", "a string", mime_type)
        return Blob(modality_of(mime_type), mime_type, _plain(data), string(said, "displayName", f"{where}."))
    if "fileData" not in part:
        return None
    said = tidy(mapping(part, "fileData", f"{where}.") or {})
    uri = text_in(said, "fileUri", f"{where}.fileData")
    mime_type = string(said, "mimeType", f"{where}.fileData.") or mime_type_of(uri)
    modality = modality_of(mime_type or "")
    if uri.startswith(("files/", FILES)):
        return File(modality, uri.removeprefix(FILES))
    return Uri(modality, uri, mime_type, string(said, "displayName", f"{where}.fileData."))


def modality_of(mime_type: str) -> Modality:
    match mime_type.partition("/")[0].lower():
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
    return "document"


def _plain(data: str) -> str:
    """Google takes base64 for URLs, too, and without its end; others do not."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)
