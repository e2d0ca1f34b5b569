"""How vendors' chat streams differ from OpenAI's own and are right all the same: chunks in, chunks out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Mark = Literal["prelude", "role", "output", "finish", "usage", "done"]
Usage = dict[str, Any]


@dataclass
class Chunk:
    """One event of a stream: what it is in the story, and its body."""

    mark: Mark
    body: dict[str, Any]

    def with_choices(self, mark: Mark, choices: list[dict[str, Any]]) -> Chunk:
        return Chunk(mark, self.body | {"choices": choices})

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [choice["delta"] for choice in self.body["choices"]]

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        return [call for delta in self.deltas for call in delta.get("tool_calls", ())]


Quirk = Callable[[list[Chunk], Usage], list[Chunk]]


# --- around the text


def role_everywhere(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    for chunk in chunks:
        for delta in chunk.deltas:
            delta["role"] = "assistant"
    return chunks


def no_role(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk.mark != "role"]


def azure_first(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    safe = {"filtered": False, "severity": "safe"}
    results = {"hate": safe, "self_harm": safe, "sexual": safe, "violence": safe}
    filtered = [{"prompt_index": 0, "content_filter_results": results}]
    body = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": filtered}
    return [Chunk("prelude", body), *chunks]


def finish_on_last_output(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    """The last output carries the finish reason, so the stream has no chunk that finishes and says nothing."""
    for place, chunk in enumerate(chunks):
        if chunk.mark == "finish" and place and chunks[place - 1].mark == "output":
            output = chunks[place - 1]
            output.mark = "finish"
            output.body["choices"][0]["finish_reason"] = chunk.body["choices"][0]["finish_reason"]
            chunk.body = {}
    return [chunk for chunk in chunks if chunk.body]


def one_chunk(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    """Role, text and finish reason in one chunk."""
    text = "".join(delta.get("content") or "" for chunk in chunks for delta in chunk.deltas)
    finish = next(chunk for chunk in chunks if chunk.mark == "finish")
    choice = finish.body["choices"][0] | {"delta": {"role": "assistant", "content": text}}
    return [finish.with_choices("finish", [choice]), *(chunk for chunk in chunks if chunk.mark == "usage")]


def more_after_finish(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    """After the chunk that finishes comes one more with text: " And more."."""
    return _after_finish(chunks, "output", " And more.")


def empty_after_finish(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    return _after_finish(chunks, "finish", "")


# --- usage


def usage_with_choice(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    """The usage chunk has a choice with an empty delta, asked for or not."""
    last = chunks[-1].with_choices("usage", [{"index": 0, "delta": {}}])
    last.body["usage"] = usage
    return [*_without(chunks, "usage"), last]


def usage_on_finish(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    for chunk in chunks:
        if chunk.mark == "finish":
            chunk.body["usage"] = usage
    return _without(chunks, "usage")


def usage_twice(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    last = chunks[-1].with_choices("usage", [])
    last.body["usage"] = usage
    return [*_without(chunks, "usage"), last, copy.deepcopy(last)]


def usage_always(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    """A running count on every chunk, as vLLM's continuous_usage_stats; the last is the true one."""
    said = 0
    for chunk in chunks:
        said += chunk.mark == "output"
        chunk.body["usage"] = {"prompt_tokens": usage.get("prompt_tokens", 1), "completion_tokens": said}
    chunks[-1].body["usage"] = usage
    return chunks


def no_usage(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    return _without(chunks, "usage")


# --- tool calls


def tools_in_one_chunk(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    """Every call complete, all of them in one delta."""
    calls: dict[int, dict[str, Any]] = {}
    for call in _calls(chunks):
        known = calls.setdefault(call["index"], copy.deepcopy(call))
        if "id" not in call:
            known["function"]["arguments"] += call["function"]["arguments"]
    first = next(place for place, chunk in enumerate(chunks) if chunk.tool_calls)
    together = chunks[first].with_choices("output", [_choice({"tool_calls": list(calls.values())})])
    return [*chunks[:first], together, *(chunk for chunk in chunks[first:] if not chunk.tool_calls)]


def tool_id_apart(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    """First the id alone, then the name alone, then the arguments."""
    made: list[Chunk] = []
    for chunk in chunks:
        for call in chunk.tool_calls:
            if "id" in call:
                alone = {"index": call["index"], "id": call["id"], "type": "function"}
                made.append(chunk.with_choices("output", [_choice({"tool_calls": [alone]})]))
                del call["id"], call["type"]
        made.append(chunk)
    return made


def tool_without_index(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    for call in _calls(chunks):
        del call["index"]
    return chunks


def tool_index_from_one(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    for call in _calls(chunks):
        call["index"] += 1
    return chunks


def tool_empty_ids(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    """The id once, and empty in every later delta, which means no new call."""
    for call in _calls(chunks):
        call.setdefault("id", "")
        call["function"].setdefault("name", "")
    return chunks


def tool_ids_everywhere(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    known: dict[int, str] = {}
    for call in _calls(chunks):
        call["id"] = known.setdefault(call["index"], call.get("id", ""))
    return chunks


def tool_characters(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    """Arguments character by character, so that escapes in them are split."""
    made: list[Chunk] = []
    for chunk in chunks:
        calls = chunk.tool_calls
        if not calls or "id" in calls[0]:
            made.append(chunk)
            continue
        for character in calls[0]["function"]["arguments"]:
            call = {"index": calls[0]["index"], "function": {"arguments": character}}
            made.append(chunk.with_choices("output", [_choice({"tool_calls": [call]})]))
    return made


def tool_finish_stop(chunks: list[Chunk], usage: Usage) -> list[Chunk]:
    for chunk in chunks:
        if chunk.mark == "finish":
            chunk.body["choices"][0]["finish_reason"] = "stop"
    return chunks


QUIRKS: dict[str, Quirk] = {
    quirk.__name__: quirk
    for quirk in (
        role_everywhere, no_role, azure_first, finish_on_last_output, one_chunk, more_after_finish, empty_after_finish,
        usage_with_choice, usage_on_finish, usage_twice, usage_always, no_usage,
        tools_in_one_chunk, tool_id_apart, tool_without_index, tool_index_from_one, tool_empty_ids, tool_ids_everywhere,
        tool_characters, tool_finish_stop,
    )
}  # fmt: skip


def _calls(chunks: list[Chunk]) -> Iterator[dict[str, Any]]:
    return (call for chunk in chunks for call in chunk.tool_calls)


def _choice(delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}


def _without(chunks: list[Chunk], mark: Mark) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk.mark != mark]


def _after_finish(chunks: list[Chunk], mark: Mark, text: str) -> list[Chunk]:
    last = max(place for place, chunk in enumerate(chunks) if chunk.mark == "finish")
    more = chunks[last].with_choices(mark, [_choice({"content": text})])
    return [*chunks[: last + 1], more, *chunks[last + 1 :]]
