"""Answers as OpenAI's Responses has them, whole and as typed events.

https://developers.openai.com/api/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.chat import (
    Began,
    Blob,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Choice,
    Finished,
    FinishReason,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
    Uri,
    Usage,
)
from gateway.dialects.free_text import FreeText
from gateway.dialects.openai_answer import call_id as made_up_id
from gateway.dialects.responses_object import (
    OURS,
    Asked,
    Item,
    call_item,
    call_item_id,
    item_id,
    message_item,
    reasoning_item,
    refusal_part,
    response_id,
    response_object,
    sealed_of,
    status_of,
    summary_part,
    text_part,
    usage_of,
)
from gateway.dialects.responses_tools import ACTIONS, Known, Toolbox
from gateway.sse import event

_encode = msgspec.json.Encoder().encode


# Whole ----------------------------------------------------------------------------------------------------------------


def encode_answer(answer: ChatResponse, *, id: str, model: str, created: int, asked: bytes) -> bytes:
    """``id``, ``model``: of this exchange; the model is the vendor's own word where it has one."""
    request, name = Asked(asked), response_id(id)
    choice = answer.choices[0] if answer.choices else Choice((), "stop")
    has_calls = any(isinstance(part, ToolCall) for part in choice.parts)
    return _encode(
        response_object(
            id=name,
            created=created,
            model=answer.model or model,
            told=request.told(),
            status=status_of(choice.finish_reason),
            output=_items(choice, name, request.tools() if has_calls else Toolbox()),
            usage=usage_of(answer.usage) if answer.usage else None,
            reason=choice.finish_reason,
        )
    )


def _items(choice: Choice, answer_id: str, tools: Toolbox) -> list[Item]:
    """What is said in a row is one message; thoughts and calls are items of their own. The last may be cut off."""
    items: list[Item] = []
    said: list[Item] = []

    def end_message() -> None:
        if said:
            items.append(message_item(item_id("msg_", answer_id, len(items)), [*said], "completed"))
            said.clear()

    for part in choice.parts:
        if (spoken := _spoken(part, choice.logprobs)) is not None:
            said.append(spoken)
            continue
        end_message()
        items += _item(part, answer_id, len(items), tools)
    end_message()
    if items and items[-1].get("status") and status_of(choice.finish_reason) == "incomplete":
        items[-1]["status"] = "incomplete"
    return items


def _spoken(part: Part, logprobs: Any) -> Item | None:
    match part:
        case Text():
            held = logprobs.get("content") if isinstance(logprobs, dict) else None
            return text_part(part.content, held if isinstance(held, list) else None)
        case Refusal():
            return refusal_part(part.content)
        case Uri():
            return text_part(part.uri)
        case _:
            return None


def _item(part: Part, answer_id: str, index: int, tools: Toolbox) -> list[Item]:
    match part:
        case Reasoning():
            return [reasoning_item(item_id(OURS, answer_id, index), part.content, sealed_of(part))]
        case ToolCall():
            known = tools.called(part.name)
            call_id = part.id or made_up_id(answer_id, 0, index)
            return [call_item(known, call_item_id(known, answer_id, index), call_id, part.arguments, "completed")]
        case Blob(modality="image"):
            form = part.mime_type.rpartition("/")[2]
            id = item_id("ig_", answer_id, index)
            image = {"result": part.content, "output_format": form}
            return [{"id": id, "type": "image_generation_call", "status": "completed", **image}]
        case _:
            # Nothing that an answer can say; no request asks for sound.
            return []


# Stream ---------------------------------------------------------------------------------------------------------------


class _Said:
    """A message that is being said: parts that are whole, and the one that is not."""

    def __init__(self, id: str, index: int) -> None:
        self.id, self.index = id, index
        self.parts: list[Item] = []
        self.kind = ""
        self.texts: list[str] = []
        self.head = b""
        """Of a delta of this part, up to what it says."""


class _Thought:
    def __init__(self, id: str, index: int) -> None:
        self.id, self.index = id, index
        self.texts: list[str] = []


class _Call:
    def __init__(self, known: Known, id: str, index: int, call_id: str) -> None:
        self.known, self.id, self.index, self.call_id = known, id, index, call_id
        self.arguments: list[str] = []
        self.free = FreeText() if known.kind == "custom" else None
        self.input: list[str] = []
        self.goes_on = False
        """Others have begun, and it was not whole."""

    def is_whole(self) -> bool:
        """No more can follow: the arguments are an object that is closed."""
        if self.free:
            return self.free.over
        try:
            return isinstance(msgspec.json.decode("".join(self.arguments)), dict)
        except (ValueError, RecursionError):
            return False

    def item(self, status: str) -> Item:
        return call_item(self.known, self.id, self.call_id, "".join(self.arguments), status)


class StreamEncoder:
    """Typed events with sequence numbers. An item is closed before the next begins; calls that come interleaved stay
    open side by side."""

    def __init__(self, *, id: str, model: str, created: int, asked: bytes) -> None:
        self.place = 0
        self._id, self._model, self._created = response_id(id), model, created
        self._asked = Asked(asked)
        self._told: Mapping[str, Any] = {}
        self._tools: Toolbox | None = None
        self._output: list[Item] = []
        """By index: what is not closed yet is empty."""
        self._said: _Said | None = None
        self._thought: _Thought | None = None
        self._calls: dict[int, _Call] = {}
        self._reason: FinishReason | None = None

    def feed(self, event: ChatEvent) -> bytes:
        write = _WRITTEN.get(type(event))
        # Responses has one answer.
        if write is None or getattr(event, "choice", None):
            return b""
        return write(self, event)

    def end(self, usage: Usage | None, cost: float | None) -> bytes:
        out = self._opened() + self._close_all(status_of(self._reason))
        status = status_of(self._reason)
        counted = usage_of(usage, cost) if usage else None
        whole = self._response(status, self._output, counted, self._reason)
        return out + self._event(f"response.{status}", response=whole)

    def identity(self) -> dict[str, Any]:
        return {"id": self._id, "created_at": self._created, "model": self._model}

    # What all events are made of

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = _encode({"type": kind, "sequence_number": self.place, **fields})
        self.place += 1
        return event(data, kind.encode())

    def _response(
        self,
        status: str,
        output: Sequence[Item] = (),
        usage: Mapping[str, Any] | None = None,
        reason: FinishReason | None = None,
    ) -> dict[str, Any]:
        return response_object(
            id=self._id,
            created=self._created,
            model=self._model,
            told=self._told,
            status=status,
            output=output,
            usage=usage,
            reason=reason,
        )

    def _opened(self) -> bytes:
        if self.place:
            return b""
        self._told = self._asked.told()
        begun = self._response("in_progress")
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def _next(self) -> int:
        self._output.append({})
        return len(self._output) - 1

    def _added(self, index: int, item: Item) -> bytes:
        return self._event("response.output_item.added", output_index=index, item=item)

    def _done(self, index: int, item: Item) -> bytes:
        self._output[index] = item
        return self._event("response.output_item.done", output_index=index, item=item)

    def _close_all(self, status: str = "completed") -> bytes:
        out = [self._close_thought(), self._close_said(status)]
        for place, call in [*self._calls.items()]:
            out.append(self._close_call(place, "completed" if call.is_whole() else status))
        return b"".join(out)

    def _make_room(self) -> bytes:
        """Before the next item begins: a call that is not whole goes on beside it. Each is looked at once."""
        out = self._close_thought() + self._close_said("completed")
        last = next(reversed(self._calls.items()), None)
        if last is None or last[1].goes_on:
            return out
        last[1].goes_on = not last[1].is_whole()
        return out if last[1].goes_on else out + self._close_call(last[0], "completed")

    def _began(self, event: Began) -> bytes:
        if not self.place:
            self._model = event.model or self._model
        return b""

    # Messages

    def _text(self, event: TextDelta) -> bytes:
        return self._say("output_text", event.text)

    def _refusal(self, event: RefusalDelta) -> bytes:
        return self._say("refusal", event.text)

    def _say(self, kind: str, text: str) -> bytes:
        if not text:
            return b""
        out, said = b"", self._said
        if said is None or said.kind != kind:
            out, said = self._open_part(kind)
        said.texts.append(text)
        number = str(self.place).encode()
        self.place += 1
        tail = b',"logprobs":[]}\n\n' if kind == "output_text" else b"}\n\n"
        return b"".join((out, said.head, number, b',"delta":', _encode(text), tail))

    def _open_part(self, kind: str) -> tuple[bytes, _Said]:
        out = self._opened()
        if (said := self._said) is None:
            out += self._make_room()
            index = self._next()
            said = self._said = _Said(item_id("msg_", self._id, index), index)
            out += self._added(index, message_item(said.id, [], "in_progress"))
        else:
            out += self._close_part(said)
        said.kind = kind
        where = {"item_id": said.id, "output_index": said.index, "content_index": len(said.parts)}
        name = f"response.{kind}.delta"
        fields = _encode({"type": name, **where})[:-1]
        said.head = b"".join((b"event: ", name.encode(), b"\ndata: ", fields, b',"sequence_number":'))
        return out + self._event("response.content_part.added", **where, part=_part(kind, "")), said

    def _close_part(self, said: _Said) -> bytes:
        text, where = "".join(said.texts), {"item_id": said.id, "output_index": said.index}
        where["content_index"] = len(said.parts)
        part = _part(said.kind, text)
        said.parts.append(part)
        said.texts = []
        whole = {"refusal": text} if said.kind == "refusal" else {"text": text, "logprobs": []}
        done = self._event(f"response.{said.kind}.done", **where, **whole)
        return done + self._event("response.content_part.done", **where, part=part)

    def _close_said(self, status: str) -> bytes:
        said, self._said = self._said, None
        if said is None:
            return b""
        out = self._close_part(said)
        return out + self._done(said.index, message_item(said.id, said.parts, status))

    # Thoughts

    def _think(self, event: ReasoningDelta) -> bytes:
        if not event.text:
            return b""
        out, thought = (b"", self._thought) if self._thought else self._open_thought()
        return out + self._think_on(thought, event.text)

    def _open_thought(self) -> tuple[bytes, _Thought]:
        out = self._opened() + self._make_room()
        index = self._next()
        thought = self._thought = _Thought(item_id(OURS, self._id, index), index)
        return out + self._added(index, reasoning_item(thought.id, "", None)), thought

    def _think_on(self, thought: _Thought, text: str) -> bytes:
        where = {"item_id": thought.id, "output_index": thought.index, "summary_index": 0}
        out = b""
        if not thought.texts:
            out = self._event("response.reasoning_summary_part.added", **where, part=summary_part(""))
        thought.texts.append(text)
        return out + self._event("response.reasoning_summary_text.delta", **where, delta=text)

    def _sealed(self, event: ReasoningSealed) -> bytes:
        part = event.part
        if self._thought is None and not (part.content or part.signature or part.opaque):
            return b""
        out, thought = (b"", self._thought) if self._thought else self._open_thought()
        if part.content and not thought.texts:
            out += self._think_on(thought, part.content)
        return out + self._close_thought(sealed_of(part))

    def _close_thought(self, sealed: str | None = None) -> bytes:
        thought, self._thought = self._thought, None
        if thought is None:
            return b""
        text, out = "".join(thought.texts), b""
        if thought.texts:
            where = {"item_id": thought.id, "output_index": thought.index, "summary_index": 0}
            out = self._event("response.reasoning_summary_text.done", **where, text=text)
            out += self._event("response.reasoning_summary_part.done", **where, part=summary_part(text))
        item = reasoning_item(thought.id, text, sealed or sealed_of(Reasoning()))
        return out + self._done(thought.index, item)

    # Calls

    def _call(self, event: CallBegan) -> bytes:
        out = self._opened() + self._make_room()
        if self._tools is None:
            self._tools = self._asked.tools()
        known, index = self._tools.called(event.name), self._next()
        call_id = event.id or made_up_id(self._id, 0, index)
        call = self._calls[event.place] = _Call(known, call_item_id(known, self._id, index), index, call_id)
        return out if known.kind in ACTIONS else out + self._added(index, _begun(call))

    def _arguments(self, event: CallDelta) -> bytes:
        call = self._calls.get(event.place)
        if call is None or not event.arguments:
            return b""
        call.arguments.append(event.arguments)
        if call.free:
            return self._input(call, call.free.feed(event.arguments))
        return b"" if call.known.kind in ACTIONS else self._more(call, event.arguments)

    def _more(self, call: _Call, arguments: str) -> bytes:
        where = {"item_id": call.id, "output_index": call.index}
        return self._event("response.function_call_arguments.delta", **where, delta=arguments)

    def _input(self, call: _Call, text: str) -> bytes:
        if not text:
            return b""
        call.input.append(text)
        where = {"item_id": call.id, "output_index": call.index}
        return self._event("response.custom_tool_call_input.delta", **where, delta=text)

    def _close_call(self, place: int, status: str) -> bytes:
        call = self._calls.pop(place)
        where = {"item_id": call.id, "output_index": call.index}
        if call.free:
            out = self._input(call, call.free.end())
            out += self._event("response.custom_tool_call_input.done", **where, input="".join(call.input))
        elif call.known.kind in ACTIONS:
            out = self._added(call.index, call.item("in_progress"))
        else:
            # A call without arguments is one with none, and clients parse them.
            if not call.arguments:
                call.arguments.append("{}")
                out = self._more(call, "{}")
            else:
                out = b""
            said = {"name": call.known.name, "arguments": "".join(call.arguments)}
            out += self._event("response.function_call_arguments.done", **where, **said)
        return out + self._done(call.index, call.item(status))

    def _finish(self, event: Finished) -> bytes:
        self._reason = event.reason
        return self._opened() + self._close_all(status_of(event.reason))


def _part(kind: str, text: str) -> Item:
    return refusal_part(text) if kind == "refusal" else text_part(text)


def _begun(call: _Call) -> Item:
    item = call.item("in_progress")
    return {**item, "input": ""} if call.free else {**item, "arguments": ""}


_WRITTEN: Mapping[type, Callable[[StreamEncoder, Any], bytes]] = {
    Began: StreamEncoder._began,
    TextDelta: StreamEncoder._text,
    RefusalDelta: StreamEncoder._refusal,
    ReasoningDelta: StreamEncoder._think,
    ReasoningSealed: StreamEncoder._sealed,
    CallBegan: StreamEncoder._call,
    CallDelta: StreamEncoder._arguments,
    Finished: StreamEncoder._finish,
}


def stream_encoder(*, id: str, model: str, created: int, usage: bool, asked: bytes) -> StreamEncoder:
    """Usage is told always, whether the client has asked or not."""
    return StreamEncoder(id=id, model=model, created=created, asked=asked)
