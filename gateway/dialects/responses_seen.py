"""What is seen of Responses that are passed on: what is said and called, usage, how it ends, errors.

https://developers.openai.com/api/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from gateway.dialects.faults import garbled
from gateway.dialects.glimpse import DAMAGED, CallPart, Glimpse, Whole
from gateway.dialects.mending import decoded, mended
from gateway.dialects.money import with_cost as with_cost_in
from gateway.dialects.openai_seen import short
from gateway.dialects.responses_answer import failure, read_usage
from gateway.dialects.responses_tools import full_name
from gateway.errors import Fault
from gateway.sse import Frame


class _Content(msgspec.Struct):
    text: Any = None
    refusal: Any = None


class _Item(msgspec.Struct):
    type: Any = None
    id: Any = None
    call_id: Any = None
    name: Any = None
    namespace: Any = None
    arguments: Any = None
    input: Any = None
    content: Any = None


class _Incomplete(msgspec.Struct):
    reason: Any = None


class _Response(msgspec.Struct):
    id: Any = None
    model: Any = None
    object: Any = None
    status: Any = None
    output: list[_Item] | None = None
    incomplete_details: _Incomplete | None = None
    error: Any = None
    usage: Any = None


_response = msgspec.json.Decoder(_Response)

_GOES_ON = ("queued", "in_progress")
_CUT = {"max_output_tokens": "length", "content_filter": "content_filter", "max_messages": "stop", "steered": "stop"}


def _reason(response: _Response) -> str | None:
    """1. It was cut short, and why. 2. It called tools. 3. It was done. None: it goes on, in the background."""
    if response.status == "incomplete":
        cut = response.incomplete_details.reason if response.incomplete_details else None
        return _CUT.get(cut, "length") if isinstance(cut, str) else "length"
    if response.status in _GOES_ON:
        return None
    return "tool_calls" if any(_is_call(item) for item in response.output or ()) else "stop"


def _is_call(item: _Item) -> bool:
    """Of a tool that the client runs: only those are answered by an item that names the call."""
    return isinstance(item.call_id, str) and isinstance(item.type, str) and item.type.endswith("_call")


def _call(item: _Item, place: int) -> CallPart:
    kind = item.type.removesuffix("_call") if isinstance(item.type, str) else ""
    name = item.name if isinstance(item.name, str) and item.name else kind
    said = item.arguments if isinstance(item.arguments, str) else item.input
    return CallPart(
        f"0.{place}",
        short(item.call_id) or "",
        short(full_name(item.namespace, name)) or "",
        said if isinstance(said, str) else "",
    )


# Whole answers --------------------------------------------------------------------------------------------------------


def read_whole(body: bytes, now: float) -> Whole | Fault:
    """A whole answer, checked: a 200 that holds an error, or nothing readable, is a fault."""
    try:
        response = _response.decode(body)
        if response.status == "failed" or response.error:
            return failure(body, now)
    except (ValueError, RecursionError) as error:
        return garbled(f"the answer is not a response: {error}", body)
    if response.output is None:
        return garbled("the answer has no output", body)
    return Whole(
        usage=read_usage(response.usage),
        finish_reasons=(_reason(response),),
        id=short(response.id),
        model=short(response.model),
        calls=tuple(_call(item, place) for place, item in enumerate(response.output) if _is_call(item)),
    )


def spoken(body: bytes) -> str:
    """The text of a whole answer's messages."""
    response = decoded(_response, body)
    items = response.output or () if response else ()
    return "".join(_text(item) for item in items if item.type == "message")


def _text(item: _Item) -> str:
    parts = item.content if isinstance(item.content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))


# Stream ---------------------------------------------------------------------------------------------------------------


class _Event(msgspec.Struct):
    type: str = ""
    delta: Any = None
    output_index: Any = 0
    item: msgspec.Raw = msgspec.Raw(b"")
    response: msgspec.Raw = msgspec.Raw(b"")


_event = msgspec.json.Decoder(_Event)
_item = msgspec.json.Decoder(_Item)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def glimpse(frame: Frame, now: float) -> Glimpse:
    """One event of the stream: is it output, is it the end, does it carry usage or an error?"""
    data = frame.data or b""
    if data.strip() == b"[DONE]":
        # Some vendors end so too; what was said before tells if it was all.
        return Glimpse()
    try:
        return _seen(frame, data, now)
    except (ValueError, RecursionError):
        readable = mended(data)
        return DAMAGED if readable == data else glimpse(frame._replace(data=readable), now)


def _seen(frame: Frame, data: bytes, now: float) -> Glimpse:
    try:
        event = _event.decode(data)
    except msgspec.ValidationError:
        # JSON of a shape that nobody knows: not ours to judge.
        return Glimpse()
    kind = event.type or frame.name.decode(errors="replace")
    if kind == "error" or (not kind and b'"error"' in data):
        return Glimpse(fault=failure(data, now))
    see = _SEEN.get(kind)
    if see is not None:
        return see(event, data, now)
    # What a tool of OpenAI's own is doing is a sign of life; the frame around what is said is none yet.
    return Glimpse(output=kind.startswith("response.") and not kind.startswith(_SILENT))


_SILENT = (
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.content_part",
    "response.reasoning_summary_part.added",
    "response.output_text.annotation",
)


def _says(event: _Event, data: bytes, now: float) -> Glimpse:
    said = event.delta if isinstance(event.delta, str) else ""
    return Glimpse(output=bool(said), text=said)


def _speaks(event: _Event, data: bytes, now: float) -> Glimpse:
    """A thought, or a refusal."""
    return Glimpse(output=bool(event.delta))


def _calls(event: _Event, data: bytes, now: float) -> Glimpse:
    said = event.delta if isinstance(event.delta, str) else ""
    return Glimpse(output=True, tool=True, calls=(CallPart(f"0.{_place(event)}", arguments=said),))


def _place(event: _Event) -> int:
    return event.output_index if isinstance(event.output_index, int) else 0


def _adds(event: _Event, data: bytes, now: float) -> Glimpse:
    """An item begins, or is whole: of a call its name is told, the arguments came before."""
    item = _item.decode(event.item) if bytes(event.item) else _Item()
    if _is_call(item):
        return Glimpse(output=True, tool=True, calls=(_call(item, _place(event))._replace(arguments=""),))
    is_spoken = item.type == "message" and bool(_text(item))
    return Glimpse(output=is_spoken or item.type not in ("message", "reasoning", None))


def _begins(event: _Event, data: bytes, now: float) -> Glimpse:
    response = _whole(event)
    return Glimpse(id=short(response.id), model=short(response.model))


def _ends(event: _Event, data: bytes, now: float) -> Glimpse:
    response = _whole(event)
    if response.status == "failed" or response.error:
        return Glimpse(fault=failure(data, now))
    if event.type == "response.incomplete":
        response.status = "incomplete"
    return Glimpse(
        reasons={0: _reason(response) or "stop"},
        usage=read_usage(response.usage),
        done=True,
        id=short(response.id),
        model=short(response.model),
    )


def _fails(event: _Event, data: bytes, now: float) -> Glimpse:
    return Glimpse(fault=failure(data, now))


def _whole(event: _Event) -> _Response:
    return _response.decode(event.response) if bytes(event.response) not in (b"", b"null") else _Response()


_SEEN: Mapping[str, Callable[[_Event, bytes, float], Glimpse]] = {
    "response.output_text.delta": _says,
    "response.refusal.delta": _speaks,
    "response.reasoning_summary_text.delta": _speaks,
    "response.reasoning_text.delta": _speaks,
    "response.function_call_arguments.delta": _calls,
    "response.custom_tool_call_input.delta": _calls,
    "response.output_item.added": _adds,
    "response.output_item.done": _adds,
    "response.created": _begins,
    "response.queued": _begins,
    "response.in_progress": _begins,
    "response.completed": _ends,
    "response.incomplete": _ends,
    "response.failed": _fails,
    "response.cancelled": _fails,
}


class _Delta(msgspec.Struct, tag_field="type", gc=False):
    delta: str


class _TextDelta(_Delta, tag="response.output_text.delta"):
    pass


class _RefusalDelta(_Delta, tag="response.refusal.delta"):
    pass


class _SummaryDelta(_Delta, tag="response.reasoning_summary_text.delta"):
    pass


class _ThoughtDelta(_Delta, tag="response.reasoning_text.delta"):
    pass


class _ArgumentsDelta(_Delta, tag="response.function_call_arguments.delta"):
    pass


class _InputDelta(_Delta, tag="response.custom_tool_call_input.delta"):
    pass


_delta = msgspec.json.Decoder(
    _TextDelta | _RefusalDelta | _SummaryDelta | _ThoughtDelta | _ArgumentsDelta | _InputDelta
)
_CALLING = (_ArgumentsDelta, _InputDelta)


def skim(events: Sequence[bytes], calling: bool) -> list[str | None]:
    """Of each event the text it adds, "" for thoughts and the like; None: to be read with care."""
    read = _delta.decode
    said: list[str | None] = []
    for data in events:
        try:
            event = read(data)
        except (ValueError, RecursionError):
            said.append(None)
            continue
        if type(event) is _TextDelta:
            said.append(event.delta or None)
        elif not event.delta or (isinstance(event, _CALLING) and not calling):
            said.append(None)
        else:
            said.append("")
    return said


# Cost -----------------------------------------------------------------------------------------------------------------


class _Outer(msgspec.Struct):
    type: Literal["response.completed", "response.incomplete"]
    response: msgspec.Raw


_outer = msgspec.json.Decoder(_Outer)


def with_cost(body: bytes, cost: float) -> bytes:
    """An answer, or the event that ends one, whose usage also says ``cost``, in dollars; else the same object."""
    try:
        inner = bytes(_outer.decode(body).response)
    except (ValueError, RecursionError):
        return with_cost_in(body, cost)
    priced = with_cost_in(inner, cost)
    if priced is inner:
        return body
    return msgspec.json.encode({**_fields.decode(body), "response": msgspec.Raw(priced)})
