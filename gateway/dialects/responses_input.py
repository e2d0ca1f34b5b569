"""The items of a Responses request, read as messages: https://developers.openai.com/api/docs/api-reference/responses/create

What one answer of the model said lies in many items, one after another: thoughts, messages, calls. Together they are
one message of the assistant.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.chat import (
    Blob,
    File,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolCallResponse,
    Uri,
)
from gateway.dialects.fields import words
from gateway.dialects.marks import is_marked, unmarked
from gateway.dialects.openai_parts import Fields, cache_of, read_part, text_in, wrong
from gateway.dialects.openai_request import MOST_PARTS
from gateway.dialects.responses_tools import ACTIONS, Toolbox
from gateway.errors import CallerError


class Items:
    """Reads items in their order. What the hub has no word for goes into ``extra`` by its place."""

    def __init__(self, extra: Fields, tools: Toolbox) -> None:
        self._extra, self._tools = extra, tools
        self._messages: list[Message] = []
        self._thoughts: list[Reasoning] = []
        self._said: list[Part] = []
        self._calls: list[ToolCall] = []
        self._names: dict[str, str] = {}
        self._open: OrderedDict[str, None] = OrderedDict()
        """Calls without a result so far."""
        self._room = MOST_PARTS

    def read(self, items: list[Any]) -> list[Message]:
        """Raises ``CallerError`` (400)."""
        self._take(items)
        for place, said in enumerate(items):
            where = f"input[{place}]"
            if isinstance(said, str):
                said = {"role": "user", "content": said}
            if not isinstance(said, dict):
                raise wrong(where, "an object", said)
            self._item(said, where)
        self._end_turn()
        return self._messages

    def _take(self, parts: list[Any]) -> None:
        self._room -= len(parts)
        if self._room < 0:
            said = f"more than {MOST_PARTS} items and parts of items"
            raise CallerError(400, "too_many_parts", said, param="input")

    def _item(self, said: Fields, where: str) -> None:
        kind = said.get("type") or ("message" if "role" in said else "item_reference")
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is None:
            # What OpenAI's own tools did, and what only it can look up.
            self._extra[where] = said
        else:
            read(self, said, where)

    # Messages

    def _message(self, said: Fields, where: str) -> None:
        role = _ROLES.get(said["role"]) if isinstance(said.get("role"), str) else None
        if role is None:
            known = f"{said.get('role')!r} is none of {', '.join(_ROLES)}"
            raise CallerError(400, "invalid_value", f"{where}.role: {known}", param=f"{where}.role")
        self._leave(said, where, _MESSAGE_READ)
        parts = self._content(said, "content", where)
        if role == "assistant":
            if self._calls:
                # Something was said beside a call: it must not come between the call and its result.
                parts = tuple(part for part in parts if not isinstance(part, Text) or part.content)
            self._said += parts
            return
        self._end_turn()
        self._messages.append(Message(role, parts))

    def _content(self, said: Fields, key: str, where: str) -> tuple[Part, ...]:
        content = said.get(key)
        if content is None:
            return ()
        if isinstance(content, str):
            return (Text(content, cache_of(said)),)
        if not isinstance(content, list):
            raise wrong(f"{where}.{key}", "a string or an array of parts", content)
        self._take(content)
        parts = []
        for place, part in enumerate(content):
            within = f"{where}.{key}[{place}]"
            if isinstance(part, dict):
                self._leave(part, within, _PART_READ)
            parts.append(read_part(part, within))
        return tuple(parts)

    def _leave(self, said: Fields, where: str, read: frozenset[str]) -> None:
        if not said.keys() <= read:
            self._extra.update({f"{where}.{key}": value for key, value in said.items() if value and key not in read})

    # What the model thought

    def _reasoning(self, said: Fields, where: str) -> None:
        texts = [_texts(said.get(key)) for key in ("content", "summary")]
        content = "".join(texts[0]) or "\n\n".join(texts[1])
        sealed = said.get("encrypted_content")
        if not isinstance(sealed, str) or not sealed:
            if content:
                self._thoughts.append(Reasoning(content))
            else:
                # A name for what OpenAI keeps.
                self._extra[where] = said
        elif is_marked(sealed):
            self._thoughts.append(unmarked(sealed, content))
        else:
            self._thoughts.append(Reasoning(content, opaque=sealed, format="openai"))

    # Calls

    def _call(self, said: Fields, where: str) -> None:
        arguments = said.get("arguments")
        if not isinstance(arguments, str):
            arguments = "{}" if arguments is None else _json(arguments)
        self._called(said, where, text_in(said, "name", where), (arguments.strip() and arguments) or "{}")

    def _custom_call(self, said: Fields, where: str) -> None:
        self._called(said, where, text_in(said, "name", where), _json({"input": said.get("input") or ""}))

    def _action(self, said: Fields, where: str) -> None:
        kind = said["type"].removesuffix("_call")
        if kind == "tool_search" and said.get("execution") != "client":
            self._extra[where] = said
            return
        arguments = ACTIONS[kind].arguments(said)
        self._called(said, where, kind, arguments if isinstance(arguments, str) else _json(arguments or {}))

    def _called(self, said: Fields, where: str, name: str, arguments: str) -> None:
        self._leave(said, where, _CALL_READ)
        name = self._tools.hub_name(said.get("namespace"), name)
        call_id = _id_of(said) or f"call_{where[6:-1]}"
        self._names[call_id] = name
        self._open.pop(call_id, None)
        self._open[call_id] = None
        self._calls.append(ToolCall(call_id, name, arguments))

    # Results

    def _result(self, said: Fields, where: str) -> None:
        self._leave(said, where, _RESULT_READ)
        output = said.get("output")
        if isinstance(output, dict):
            parts: tuple[Part, ...] = (Text(_json(output)),)
        else:
            parts = self._content(said, "output", where)
        self._answered(said, where, parts, failed=said.get("status") == "failed")

    def _shell_result(self, said: Fields, where: str) -> None:
        self._leave(said, where, _RESULT_READ)
        self._answered(said, where, (Text(shell_text(said.get("output"))),))

    def _search_result(self, said: Fields, where: str) -> None:
        """The tools that were found are on offer from here on: the model is told their names."""
        if said.get("execution") != "client" and not isinstance(said.get("call_id"), str):
            return
        found = said.get("tools")
        names = [each.get("name") for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        self._answered(said, where, (Text(_json({"tools": names})),))

    def _answered(self, said: Fields, where: str, parts: tuple[Part, ...], failed: bool = False) -> None:
        self._end_turn()
        call_id = self._call_of(said) or f"call_{where[6:-1]}"
        self._open.pop(call_id, None)
        kept = tuple(part for part in parts if isinstance(part, Text | Blob | Uri | File))
        if len(kept) < len(parts):
            self._extra[f"{where}.output"] = said.get("output")
        name = said.get("name")
        name = self._names.get(call_id) or (name if isinstance(name, str) else "")
        self._messages.append(Message("tool", (ToolCallResponse(call_id, name, kept, failed),)))

    def _call_of(self, said: Fields) -> str | None:
        """The call that a result is for: the one it names, else the first one open. A local shell's has no other id."""
        if isinstance(call_id := said.get("call_id"), str) and call_id:
            return call_id
        own = said.get("id")
        return own if isinstance(own, str) and own in self._names else next(iter(self._open), None)

    # Turns

    def _end_turn(self) -> None:
        """Thoughts first, then what was said, then what was called: so it is in every vendor's answers."""
        if not (self._thoughts or self._said or self._calls):
            return
        said = [part for part in self._said if not (self._calls and isinstance(part, Text) and not part.content)]
        self._messages.append(Message("assistant", (*self._thoughts, *said, *self._calls)))
        self._thoughts, self._said, self._calls = [], [], []

    def _refused(self, said: Fields, where: str) -> None:
        what = "only OpenAI can compact a conversation in its own way"
        raise CallerError(400, "unsupported_value", f"{where}: {what}", param=where)

    def _known_elsewhere(self, said: Fields, where: str) -> None:
        """Tools that came along: they were read with the others."""


def _id_of(said: Fields) -> str | None:
    """Of a call: those that have no name for their results have an id of their own."""
    named = (said.get("call_id"), said.get("id"))
    return next((each for each in named if isinstance(each, str) and each), None)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _texts(parts: Any) -> list[str]:
    if isinstance(parts, str):
        return [parts]
    found = (part.get("text") for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()
    return [text for text in found if isinstance(text, str) and text]


def shell_text(output: Any) -> str:
    """What commands printed, as one text: each with its exit code at its head, where agents' results have it."""
    if not isinstance(output, list):
        return output if isinstance(output, str) else ""
    return "\n".join(_one_command(each) for each in output if isinstance(each, dict))


def _one_command(said: Fields) -> str:
    outcome = said.get("outcome")
    outcome = outcome if isinstance(outcome, dict) else {}
    head = "command timed out" if outcome.get("type") == "timeout" else f"Exit code: {outcome.get('exit_code', 0)}"
    printed = (said.get(key) for key in ("stdout", "stderr"))
    return "\n".join((head, *(text for text in printed if isinstance(text, str) and text)))


_Read = Callable[[Items, Fields, str], None]
_READERS: Mapping[str, _Read] = {
    "message": Items._message,
    "reasoning": Items._reasoning,
    "function_call": Items._call,
    "function_call_output": Items._result,
    "custom_tool_call": Items._custom_call,
    "custom_tool_call_output": Items._result,
    **{f"{kind}_call": Items._action for kind in ACTIONS},
    "local_shell_call_output": Items._result,
    "shell_call_output": Items._shell_result,
    "apply_patch_call_output": Items._result,
    "tool_search_output": Items._search_result,
    "additional_tools": Items._known_elsewhere,
    "compaction_trigger": Items._refused,
}
_ROLES: Mapping[str, Role] = {"user": "user", "developer": "developer", "system": "system", "assistant": "assistant"}


_MESSAGE_READ = words("type role content id status cache_control")
_PART_READ = words(
    "type text refusal image_url file_id detail file_data file_url filename input_audio cache_control format id index"
)
_CALL_READ = words("type id call_id name namespace arguments input status action operation execution environment")
_RESULT_READ = words("type id call_id name namespace output status execution max_output_length")
