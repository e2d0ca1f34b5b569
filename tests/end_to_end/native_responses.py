"""OpenAI's other two ways to say the same: Responses, and completions of a text.

https://platform.openai.com/docs/api-reference/responses-streaming and …/completions/object
"""

from __future__ import annotations

from typing import Any

from tests.end_to_end.native import ANSWER_ID, Call, Family, Said, data, pieces
from tests.end_to_end.refusals import OPENAI_OVERLOADED

_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}


def _usage(said: Said) -> dict[str, Any]:
    return {
        "input_tokens": said.prompt,
        "input_tokens_details": {"cached_tokens": said.cached},
        "output_tokens": said.completion,
        "output_tokens_details": {"reasoning_tokens": said.reasoning},
        "total_tokens": said.prompt + said.completion,
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def _call(place: int, call: Call, arguments: str, status: str) -> dict[str, Any]:
    head = {"id": f"fc_{place}", "type": "function_call", "status": status}
    return {**head, "arguments": arguments, "call_id": call.id, "name": call.name}


def _thinking(said: Said, summary: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": said.signature or None}


def _message(content: list[dict[str, Any]], status: str) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "status": status, "content": content, "role": "assistant"}


def _output(said: Said) -> list[dict[str, Any]]:
    """Its items, whole."""
    thought = [_thinking(said, [_summary(said.thought)])] if said.thought else []
    status = "incomplete" if said.reason in _CUT else "completed"
    text = [_message([_text(said.text)], status)] if said.text else []
    calls = [_call(place, call, call.json, "completed") for place, call in enumerate(said.calls)]
    return [*thought, *text, *calls]


def _response(status: str, output: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    head = {"id": f"resp_{ANSWER_ID}", "object": "response", "created_at": 1763779200, "status": status}
    settings = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}, "temperature": 1.0}
    empty = {"error": None, "incomplete_details": None, "instructions": None, "previous_response_id": None}
    return {
        **head,
        "model": "gpt-of-the-day",
        "output": output,
        "usage": None,
        **settings,
        **empty,
        "top_p": 1.0,
        **more,
    }


def responses_whole(said: Said) -> dict[str, Any]:
    cut = _CUT.get(said.reason)
    ended = {"incomplete_details": {"reason": cut}} if cut else {}
    return _response("incomplete" if cut else "completed", _output(said), usage=_usage(said), **ended)


def responses_events(said: Said) -> list[bytes]:
    begun = _response("in_progress", [])
    events = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
    calls = iter(said.calls)
    for index, item in enumerate(_output(said)):
        at = {"output_index": index}
        match item["type"]:
            case "reasoning":
                # What is sealed is whole only at the end.
                events.append({"type": "response.output_item.added", **at, "item": {**item, "summary": []}})
                events += _summed(said.thought, {"item_id": item["id"], **at, "summary_index": 0})
            case "message":
                started = _message([], "in_progress")
                events.append({"type": "response.output_item.added", **at, "item": started})
                events += _told(said.text, {"item_id": item["id"], **at, "content_index": 0})
            case _:
                call = next(calls)
                started = {**item, "arguments": "", "status": "in_progress"}
                events.append({"type": "response.output_item.added", **at, "item": started})
                events += _argued(call, {"item_id": item["id"], **at})
        events.append({"type": "response.output_item.done", **at, "item": item})
    whole = responses_whole(said)
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return [data({**event, "sequence_number": place}, str(event["type"])) for place, event in enumerate(events)]


def _summed(text: str, where: dict[str, Any]) -> list[dict[str, Any]]:
    name = "response.reasoning_summary"
    return [
        {"type": f"{name}_part.added", **where, "part": _summary("")},
        *({"type": f"{name}_text.delta", **where, "delta": each} for each in pieces(text)),
        {"type": f"{name}_text.done", **where, "text": text},
        {"type": f"{name}_part.done", **where, "part": _summary(text)},
    ]


def _told(text: str, where: dict[str, Any]) -> list[dict[str, Any]]:
    deltas = ({"type": "response.output_text.delta", **where, "delta": each, "logprobs": []} for each in pieces(text))
    return [
        {"type": "response.content_part.added", **where, "part": _text("")},
        *deltas,
        {"type": "response.output_text.done", **where, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **where, "part": _text(text)},
    ]


def _argued(call: Call, where: dict[str, Any]) -> list[dict[str, Any]]:
    name = "response.function_call_arguments"
    deltas = [{"type": f"{name}.delta", **where, "delta": each} for each in pieces(call.json)]
    return [*deltas, {"type": f"{name}.done", **where, "name": call.name, "arguments": call.json}]


RESPONSES = Family(
    name="responses",
    dialect="openai_responses",
    whole=responses_whole,
    events=responses_events,
    tells=frozenset(("thought", "signature", "calls", "cached", "reasoning")),
    failed=data({**OPENAI_OVERLOADED["error"], "type": "error", "sequence_number": 9}, "error"),
)


def _completion(text: str, reason: str | None, **more: Any) -> dict[str, Any]:
    head = {"id": ANSWER_ID, "object": "text_completion", "created": 1763719200, "model": "gpt-of-the-day"}
    return {**head, "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": reason}], **more}


def _completion_usage(said: Said) -> dict[str, Any]:
    return {
        "prompt_tokens": said.prompt,
        "completion_tokens": said.completion,
        "total_tokens": said.prompt + said.completion,
        "prompt_tokens_details": {"cached_tokens": said.cached},
        "completion_tokens_details": {"reasoning_tokens": said.reasoning},
    }


def completions_whole(said: Said) -> dict[str, Any]:
    return _completion(said.text, said.reason, usage=_completion_usage(said))


def completions_events(said: Said) -> list[bytes]:
    chunks = [*(_completion(each, None) for each in pieces(said.text)), _completion("", said.reason)]
    counted = {**_completion("", None, usage=_completion_usage(said)), "choices": []}
    return [*map(data, chunks), data(counted), b"data: [DONE]\n\n"]


COMPLETIONS = Family(
    name="completions",
    dialect="openai_completions",
    whole=completions_whole,
    events=completions_events,
    tells=frozenset(("cached", "reasoning")),
)


def at_path(family: Family, path: str) -> Family:
    """The family that answers there: whoever has OpenAI's other paths has their shapes."""
    if path.endswith("/responses"):
        return RESPONSES
    return COMPLETIONS if path.endswith("/completions") and not path.endswith("/chat/completions") else family
