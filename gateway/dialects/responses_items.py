"""A conversation as the items of a Responses request: https://platform.openai.com/docs/api-reference/responses/create

Every call is followed by its output and every output follows its call, as OpenAI insists ("No tool output found for
function call …", "No tool call found for function call output …").
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from gateway.chat import Blob, File, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolCallResponse, Uri
from gateway.dialects.anthropic_turns import LEFT_OUT, NO_RESULT, NOTHING_SAID, digest

Item = dict[str, Any]
SIGNED = "openai"

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
AS_JSON = "Answer in JSON."
LONGEST_ID = 64
"""Of a call: "Expected a string with maximum length 64"."""


class Names:
    """Tools' names as OpenAI takes them. ``changed``: its name -> the client's."""

    def __init__(self, freeform: Iterable[str] = ()) -> None:
        """``freeform``: the tools whose one argument is a text that is not JSON."""
        self.changed: dict[str, str] = {}
        self.freeform = frozenset(freeform)

    def of(self, name: str) -> str:
        if _LEGAL_NAME.fullmatch(name):
            return name
        legal = f"{_ILLEGAL.sub('_', name)[:48] or 'tool'}_{digest(name)[:8]}"
        self.changed[legal] = name
        return legal


class Items:
    """The conversation as written. ``instructions``: what the system said before anyone else spoke."""

    def __init__(self, names: Names, dropped: list[str]) -> None:
        self.instructions = ""
        self.written: list[Item] = []
        self._names, self._dropped = names, dropped
        self._thought_at: list[int] = []
        """The places of the messages that the thoughts written so far are of."""
        self._ids: set[str] = set()
        self._repeats: dict[str, int] = {}
        self._pending: dict[str, deque[Item]] = {}
        """A client's id -> the calls under it that nothing has answered, the oldest first."""

    def write(self, messages: Sequence[Message]) -> None:
        self._dropped += [f"messages[{at}].name" for at, message in enumerate(messages) if message.name]
        rest = list(enumerate(messages))[self._instruct(messages) :]
        for assistant, turn in groupby(rest, key=lambda each: each[1].role == "assistant"):
            if assistant:
                self._assistants(turn)
            else:
                self._others(turn)
        self._others(())
        if not self.written:
            self.written.append(_said("user", NOTHING_SAID))

    def _instruct(self, messages: Sequence[Message]) -> int:
        """How many messages at the beginning are instructions: those of the system, if they are text alone."""
        count = 0
        for message in messages:
            if message.role not in ("system", "developer") or not all(isinstance(part, Text) for part in message.parts):
                break
            count += 1
        if count == len(messages):
            # There has to be an input besides: all are messages then.
            return 0
        texts = [self._text(part) for message in messages[:count] for part in message.parts if isinstance(part, Text)]
        self.instructions = "\n\n".join(filter(None, texts))
        return count

    def _text(self, part: Text) -> str:
        if part.cache:
            self._dropped.append("cache_control")
        return part.content

    def speak_of_json(self) -> None:
        """JSON without a schema is refused where nobody in the input speaks of JSON; the instructions are none of it:
        "Response input messages must contain the word 'json' in some form"."""
        texts = (block.get("text") for item in self.written for block in _blocks(item.get("content")))
        if not any("json" in text.lower() for text in texts if text):
            self.written.insert(0, _said("developer", AS_JSON))

    # The assistant's --------------------------------------------------------------------------------------------------

    def _assistants(self, turn: Iterable[tuple[int, Message]]) -> None:
        """A turn; but no thought at its end, for it would be "without its required following item"."""
        for at, message in turn:
            self._assistant(message, at)
        while self.written and self.written[-1]["type"] == "reasoning":
            self.written.pop()
            self._dropped.append(f"messages[{self._thought_at.pop()}].reasoning_content")

    def _assistant(self, message: Message, at: int) -> None:
        """Thoughts, words and calls, in the order they came in."""
        begin = len(self.written)
        for place, part in enumerate(message.parts):
            if isinstance(part, Reasoning):
                self._think(part, at)
            elif isinstance(part, Text | Refusal):
                self._speak(part, begin)
            elif isinstance(part, ToolCall):
                self._call(part)
            else:
                self._dropped.append(f"messages[{at}].content[{place}]")

    def _think(self, part: Reasoning, at: int) -> None:
        """Without an id: nothing is stored that it could name, and Codex sends none either."""
        if part.format != SIGNED or not part.opaque:
            self._dropped.append(f"messages[{at}].reasoning_content")
            return
        summary = [{"type": "summary_text", "text": part.content}] if part.content else []
        self.written.append({"type": "reasoning", "summary": summary, "encrypted_content": part.opaque})
        self._thought_at.append(at)

    def _speak(self, part: Text | Refusal, begin: int) -> None:
        if not part.content:
            return
        if isinstance(part, Refusal):
            block = {"type": "refusal", "refusal": part.content}
        else:
            block = {"type": "output_text", "text": self._text(part)}
        last = self.written[-1] if len(self.written) > begin else None
        if last is not None and last["type"] == "message":
            last["content"].append(block)
        else:
            self.written.append({"type": "message", "role": "assistant", "content": [block]})

    def _call(self, call: ToolCall) -> None:
        if call.cache:
            self._dropped.append("cache_control")
        item: Item = {"type": "function_call", "call_id": self._legal_id(call.id), "name": self._names.of(call.name)}
        if call.name in self._names.freeform and (text := _freeform(call.arguments)) is not None:
            item |= {"type": "custom_tool_call", "input": text}
        else:
            item["arguments"] = call.arguments.strip() or "{}"
        self._pending.setdefault(call.id, deque()).append(item)
        self.written.append(item)

    def _legal_id(self, client: str) -> str:
        """Unique within the conversation: some vendors number the calls of each turn from 0."""
        legal = client if 0 < len(client) <= LONGEST_ID else f"call_{digest(client)[:24]}"
        unique, again = legal, self._repeats.get(legal, 1)
        while unique in self._ids:
            again += 1
            unique = f"{legal[:56]}_{again}"
        self._repeats[legal] = again
        self._ids.add(unique)
        return unique

    # Everybody else's -------------------------------------------------------------------------------------------------

    def _others(self, turn: Iterable[tuple[int, Message]]) -> None:
        """Results first; what nothing has answered by then, nothing will. Then what was said."""
        said: list[Item] = []
        for at, message in turn:
            if message.role == "tool":
                said += self._answered(message, at)
            elif content := self._content(message.parts, f"messages[{at}]"):
                said.append({"type": "message", "role": message.role, "content": content})
        for calls in self._pending.values():
            self.written += [_output(call, NO_RESULT) for call in calls]
        self._pending = {}
        self.written += said

    def _answered(self, message: Message, at: int) -> list[Item]:
        """Writes the results; what comes back are those of no call that is here, in words."""
        strays: list[Item] = []
        for part in message.parts:
            if not isinstance(part, ToolCallResponse):
                continue
            if part.failed:
                self._dropped.append(f"messages[{at}].is_error")
            if part.cache:
                self._dropped.append("cache_control")
            content = self._content(part.parts, f"messages[{at}]")
            if calls := self._pending.get(part.id):
                self.written.append(_output(calls.popleft(), _plain(content)))
            else:
                what = {"type": "input_text", "text": f"A result of the tool {part.name or part.id}:"}
                strays.append({"type": "message", "role": "user", "content": [what, *content]})
        return strays

    # What is shown ----------------------------------------------------------------------------------------------------

    def _content(self, parts: Sequence[Part], where: str) -> list[Item]:
        blocks: list[Item] = []
        for place, part in enumerate(parts):
            if getattr(part, "cache", None):
                self._dropped.append("cache_control")
            write = _SHOWN.get(type(part))
            block = write(part) if write else None
            if block is None:
                self._dropped.append(f"{where}.content[{place}]")
            else:
                blocks.append(block)
        if parts and not blocks:
            return [{"type": "input_text", "text": LEFT_OUT}]
        return blocks


def _blocks(content: Any) -> list[Item]:
    return content if isinstance(content, list) else []


def _said(role: str, text: str) -> Item:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def _output(call: Item, output: Any) -> Item:
    return {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": output}


def _plain(content: list[Item]) -> list[Item] | str:
    """Text alone as a string: not every server that has this API takes a list."""
    if all(block["type"] == "input_text" for block in content):
        return "\n".join(block["text"] for block in content)
    return content


def _freeform(arguments: str) -> str | None:
    """The text that a custom tool was called with; None where that is not what the arguments are."""
    try:
        said = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return None
    text = said.get("input") if isinstance(said, dict) else None
    return text if isinstance(text, str) else None


def _input_text(part: Text | Refusal) -> Item:
    return {"type": "input_text", "text": part.content}


def _blob(part: Blob) -> Item | None:
    url = f"data:{part.mime_type};base64,{part.content}"
    if part.modality == "image":
        return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
    if part.modality == "document":
        return {"type": "input_file", "filename": part.name or _filename(part.mime_type), "file_data": url}
    return None


def _uri(part: Uri) -> Item | None:
    if not part.uri.startswith(("https://", "http://")):
        return None
    if part.modality == "image":
        return {"type": "input_image", "image_url": part.uri, "detail": part.detail or "auto"}
    return {"type": "input_file", "file_url": part.uri} if part.modality == "document" else None


def _file(part: File) -> Item | None:
    if part.modality == "image":
        return {"type": "input_image", "file_id": part.file_id, "detail": "auto"}
    return {"type": "input_file", "file_id": part.file_id} if part.modality == "document" else None


def _filename(mime_type: str) -> str:
    """What it is, is told by its name."""
    return f"file.{_ENDINGS.get(mime_type, 'txt' if mime_type.startswith('text/') else 'pdf')}"


_ENDINGS: Mapping[str, str] = {
    "application/json": "json",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}

_SHOWN: Mapping[type, Callable[[Any], Item | None]] = {
    Text: _input_text,
    Refusal: _input_text,
    Blob: _blob,
    Uri: _uri,
    File: _file,
}
