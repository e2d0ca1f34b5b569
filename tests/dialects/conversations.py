"""Random conversations as OpenAI's clients write them, beside what they mean."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.dialects.reading_back import Group


@dataclass
class Said:
    """A message's content that may not be lost unnamed. ``where``: the beginning of its name in ``dropped``."""

    where: str
    side: str
    lines: list[str] = field(default_factory=list)
    media: list[tuple[str, str, str]] = field(default_factory=list)
    """(where, content, what it is)"""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """(name, arguments as text)"""
    thoughts: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(text, seal, whose)"""
    seals: list[str | None] = field(default_factory=list)
    markers: int = 0
    answers: int | None = None
    """The number of the call that it answers in time; None: it comes late, again, or for no call at all."""
    is_result: bool = False
    failed: bool = False

    def group(self) -> Group:
        side = "assistant" if self.side == "assistant" else "user"
        return Group(side, self.lines, [content for _, content, _ in self.media], [], [], [])


@dataclass
class Conversation:
    request: dict[str, Any]
    said: list[Said]
    named: list[int]
    """The messages that say who speaks."""


TOOLS = ("get_weather", "get-time", "search.web", "naïve tool", "4ever", "x" * 80)
# An id of each kind that vendors give, and those that numbered calls have in every turn.
IDS = ("call_0", "call_1", "toolu_01Ab", "functions.search:0", "chatcmpl-tool-" + "9" * 64, "ä/1", "", "a" * 9)
ODD_ARGUMENTS = ("", "{}", "not json", "[1]", '"text"', "null", '{"deep": {"list": [1, 2.5, null, "ü"]}}', "12")
AROUND = st.text(st.sampled_from("aZ 09\"'\\{}<>&é世🧵\t\u2028\u200b\x7f"), max_size=5)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


class Writer:
    """Draws one conversation. Every text and file is another, so that none can stand for another unseen."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.messages: list[dict[str, Any]] = []
        self.said: list[Said] = []
        self.named: list[int] = []
        self.calls = 0
        self._count = 0
        self._open: list[tuple[int, str, int]] = []
        """(number, id, in which turn it was called): calls nobody has answered."""
        self._turn = 0
        self._unclear: set[tuple[int, str]] = set()
        """Ids that two calls of a turn have."""

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def chance(self, of: int) -> bool:
        """One in ``of``."""
        return bool(self.draw(st.integers(0, of - 1)) == of - 1)

    def number(self) -> int:
        self._count += 1
        return self._count

    def line(self) -> str:
        return f"{self.draw(AROUND)}⟦{self.number()}⟧{self.draw(AROUND)}"

    # Parts

    def text(self, said: Said) -> str:
        """Mostly something; at times nothing at all, or only space."""
        if self.chance(8):
            return str(self.one_of("", " ", "\n\t"))
        lines = [self.line() for _ in range(self.one_of(1, 1, 1, 2))]
        said.lines += [line.strip() for line in lines]
        return "\n".join(lines)

    def mark(self, said: Said, holder: dict[str, Any]) -> dict[str, Any]:
        if self.chance(12):
            holder["cache_control"] = {"type": "ephemeral", **self.one_of({}, {"ttl": "1h"})}
            said.markers += 1
        return holder

    def file(self, said: Said, place: int) -> dict[str, Any]:
        number, where = self.number(), f"{said.where}.content[{place}]"
        data = base64.b64encode(f"file {number}".encode()).decode()
        url = f"https://files.example/{number}"
        kind = self.one_of("image", "link", "pdf", "text", "sound", "given")
        part: dict[str, Any]
        match kind:
            case "image":
                detail = self.one_of({}, {"detail": "high"}, {"detail": "auto"})
                part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}", **detail}}
            case "link":
                part, data = {"type": "image_url", "image_url": {"url": f"{url}.png"}}, f"{url}.png"
            case "pdf":
                held = {"filename": f"on {number}.pdf", "file_data": f"data:application/pdf;base64,{data}"}
                part = {"type": "file", "file": held}
            case "text":
                part = {"type": "file", "file": {"filename": "n.txt", "file_data": f"data:text/plain;base64,{data}"}}
            case "sound":
                part = {"type": "input_audio", "input_audio": {"data": data, "format": self.one_of("mp3", "wav")}}
            case _:
                part, data = {"type": "file", "file": {"file_id": f"file-{number}"}}, f"file-{number}"
        said.media.append((where, data, kind))
        return self.mark(said, part)

    def content(self, said: Said, files: bool) -> Any:
        if self.chance(2):
            return self.text(said)
        parts: list[dict[str, Any]] = []
        for place in range(self.draw(st.integers(0, 3))):
            if files and self.chance(2):
                parts.append(self.file(said, place))
            else:
                text = self.text(said)
                part = {"type": "text", "text": text}
                # A marker on nothing marks nothing.
                parts.append(self.mark(said, part) if text.strip() else part)
        return parts

    # Messages

    def message(self) -> None:
        role = self.one_of("user", "user", "assistant", "assistant", "assistant", "tool", "tool", "system", "developer")
        if role == "tool":
            self.result()
            return
        said = Said(f"messages[{len(self.messages)}]", role)
        written: dict[str, Any] = {"role": role}
        if role == "assistant":
            self.assistant(said, written)
        else:
            written["content"] = self.content(said, files=role == "user")
        if self.chance(9):
            written["name"] = "ann"
            self.named.append(len(self.messages))
        self.messages.append(written)
        self.said.append(said)

    def assistant(self, said: Said, written: dict[str, Any]) -> None:
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self._turn += 1
        written["content"] = self.one_of(None, "") if self.chance(3) else self.content(said, files=False)
        self.thoughts(said, written)
        if self.chance(12):
            said.lines.append((line := self.line()).strip())
            written["refusal"] = line
        if self.chance(2):
            written["tool_calls"] = [self.call(said) for _ in range(self.draw(st.integers(1, 3)))]

    def thoughts(self, said: Said, written: dict[str, Any]) -> None:
        kind = self.one_of(None, None, None, "plain", "anthropic", "redacted", "gemini", "openai", "blocks")
        line, seal = self.line().strip(), base64.b64encode(f"seal {self.number()}".encode()).decode()
        one = {"id": "r1", "index": 0}
        match kind:
            case "plain":
                written["reasoning_content"] = line
                said.thoughts.append((line, "", None))
            case "anthropic":
                detail = {"type": "reasoning.text", "text": line, "signature": seal, "format": "anthropic-claude-v1"}
                written["reasoning_details"] = [{**detail, **one}]
                said.thoughts.append((line, seal, "anthropic"))
            case "redacted":
                detail = {"type": "reasoning.encrypted", "data": seal, "format": "anthropic-claude-v1"}
                written["reasoning_details"] = [{**detail, **one}]
                said.thoughts.append(("", seal, "anthropic"))
            case "gemini":
                detail = {"type": "reasoning.text", "text": line, "signature": seal, "format": "google-gemini-v1"}
                written["reasoning_details"] = [{**detail, **one}]
                said.thoughts.append((line, seal, "gemini"))
            case "openai":
                detail = {"type": "reasoning.encrypted", "data": seal, "format": "openai-responses-v1"}
                written["reasoning_details"] = [{**detail, **one}]
                said.thoughts.append(("", seal, "openai"))
            case "blocks":
                written["thinking_blocks"] = [{"type": "thinking", "thinking": line, "signature": seal}]
                written["reasoning_content"] = line
                said.thoughts.append((line, seal, "anthropic"))

    def call(self, said: Said) -> dict[str, Any]:
        name, call_id = self.one_of(*TOOLS), self.one_of(*IDS)
        arguments = self.one_of(*ODD_ARGUMENTS) if self.chance(3) else json.dumps({"q": self.line()})
        call: dict[str, Any] = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        seal = None
        if self.chance(4):
            seal = base64.b64encode(f"call {self.number()}".encode()).decode()
            call["extra_content"] = {"google": {"thought_signature": seal}}
        said.calls.append((name, arguments))
        said.seals.append(seal)
        if any(each[1] == call_id for each in self._open):
            self._unclear.add((self._turn, call_id))
        self._open.append((self.calls, call_id, self._turn))
        self.calls += 1
        return self.mark(said, call)

    def result(self) -> None:
        said = Said(f"messages[{len(self.messages)}]", "tool", is_result=True)
        written: dict[str, Any] = {"role": "tool"}
        if self._open and not self.chance(6):
            number, call_id, turn = chosen = self.one_of(*self._open)
            self._open.remove(chosen)
            # In time: of the assistant's last turn, and it is clear which call is meant.
            if turn == self._turn and call_id and (turn, call_id) not in self._unclear:
                said.answers = number
            if not call_id:
                self._open = []
            written["tool_call_id"] = call_id
        else:
            written["tool_call_id"] = self.one_of(*IDS, "call_nobody_made")
            hit = next((each for each in self._open if each[1] == written["tool_call_id"]), None)
            if hit or not written["tool_call_id"]:
                # It hits one by chance, or is for whichever is open.
                self._open = []
        written["content"] = self.content(said, files=True)
        if self.chance(6):
            written["is_error"] = said.failed = True
        self.messages.append(written)
        self.said.append(said)


SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}, "required": ["q"]}
SETTINGS: dict[str, tuple[Any, ...]] = {
    "max_tokens": (1, 1000, 4096, 100_000),
    "max_completion_tokens": (50, 20_000),
    "temperature": (0, 0.3, 1, 1.7),
    "top_p": (0.1, 0.97, 1),
    "top_k": (1, 40),
    "stop": ("END", ["a", "b"], ["1", "2", "3", "4", "5", "6"], [" "]),
    "seed": (7, 1 << 40),
    "n": (1, 2),
    "frequency_penalty": (0.5, -1),
    "presence_penalty": (0.5, 2),
    "logprobs": (True,),
    "top_logprobs": (3,),
    "user": ("ann", "ann@example.com"),
    "metadata": ({"team": "loom"},),
    "service_tier": ("auto", "flex", "priority"),
    "verbosity": ("low",),
    "parallel_tool_calls": (True, False),
    "reasoning_effort": ("none", "minimal", "low", "medium", "high", "xhigh"),
    "thinking": ({"type": "enabled", "budget_tokens": 2000}, {"type": "adaptive"}, {"type": "disabled"}),
    "response_format": (
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "an answer", "schema": SCHEMA, "strict": True}},
    ),
    "logit_bias": ({"50": 3},),
    "prediction": ({"type": "content", "content": "x"},),
    "safety_identifier": ("u1",),
    "stream": (True, False),
}
NAMES = {"max_completion_tokens": "max_tokens"}


@st.composite
def conversations(draw: Any) -> Conversation:
    writer = Writer(draw)
    for _ in range(draw(st.integers(1, 9))):
        writer.message()
    request: dict[str, Any] = {"model": "m", "messages": writer.messages}
    for name in draw(st.lists(st.sampled_from([*SETTINGS]), max_size=6, unique=True)):
        request[name] = draw(st.sampled_from(SETTINGS[name]))
    names = draw(st.lists(st.sampled_from(TOOLS), max_size=3, unique=True))
    if names:
        request["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": name,
                    **draw(st.sampled_from(({}, {"parameters": SCHEMA}, {"parameters": SCHEMA, "strict": True}))),
                },
            }
            for name in names
        ]
        named = [{"type": "function", "function": {"name": name}} for name in names]
        request["tool_choice"] = draw(st.sampled_from((None, "auto", "none", "required", *named)))
    return Conversation(request, writer.said, writer.named)
