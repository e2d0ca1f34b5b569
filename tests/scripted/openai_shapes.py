"""What OpenAI would say: chat answers whole and as chunks, embeddings, the listing, and errors. Pure functions."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from typing import Any

from .quirks import QUIRKS, Chunk, Mark
from .received import Received
from .steps import Answer, InBandError, ToolCall

DEFAULT_TEXT = "Hello from the scripted vendor."
EPOCH = 1_750_000_000

HTML_PAGE = (
    "<html>\r\n<head><title>{code} {reason}</title></head>\r\n<body>\r\n<center><h1>{code} {reason}</h1></center>\r\n"
    "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)
PAGES = {502, 504, 520, 522, 524}  # a proxy in front of the vendor says these, in HTML


@dataclass(frozen=True)
class Saying:
    """The four fields of an OpenAI error. ``{model}`` in the message is the model asked for."""

    message: str
    type: str = "invalid_request_error"
    code: str | int | None = None
    param: str | None = None

    def body(self, model: str) -> dict[str, Any]:
        message = self.message.replace("{model}", model or "none")
        return {"error": {"message": message, "type": self.type, "param": self.param, "code": self.code}}


SAYINGS: dict[int, Saying] = {
    400: Saying(
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
        code="invalid_type",
        param="temperature",
    ),
    401: Saying(
        "Incorrect API key provided: sk-scrip********rong. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
    ),
    402: Saying("Insufficient Balance", "unknown_error", "invalid_request_error"),
    403: Saying("You are not allowed to sample from this model.", "invalid_request_error"),
    404: Saying("The model `{model}` does not exist or you do not have access to it.", code="model_not_found"),
    408: Saying("Request timed out.", "timeout", "request_timeout"),
    409: Saying("The resource is being changed by another request.", code="conflict"),
    413: Saying("Request body too large.", code="request_too_large"),
    422: Saying("Unprocessable request: messages.0.content: field required", code="unprocessable_entity"),
    429: Saying(
        "Rate limit reached for {model} in organization org-scripted on requests per min (RPM): Limit 3, Used 3, "
        "Requested 1.",
        "requests",
        "rate_limit_exceeded",
    ),
    500: Saying("The server had an error while processing your request. Sorry about that!", "server_error"),
    501: Saying("This is not implemented.", "server_error"),
    503: Saying("The engine is currently overloaded, please try again later", "server_error", "server_is_overloaded"),
    529: Saying("Overloaded", "overloaded_error"),
}

# Said with one of the codes above, but meaning something else.
QUOTA = Saying(
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
    "insufficient_quota",
    "insufficient_quota",
)
CONTEXT = Saying(
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
    "Please reduce the length of the messages.",
    code="context_length_exceeded",
    param="messages",
)
FILTERED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "Please modify your prompt and retry.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
        },
    }
}
POLICY = Saying(
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
    code="content_policy_violation",
)


def error(code: int, reason: str, call: Received) -> str | dict[str, Any]:
    """The body a status usually comes with."""
    if code in PAGES:
        return HTML_PAGE.format(code=code, reason=reason)
    unusual = Saying(reason, "server_error" if code >= 500 else "invalid_request_error")
    return SAYINGS.get(code, unusual).body(call.model)


def no_such_path(call: Received) -> dict[str, Any]:
    return Saying(f"Invalid URL ({call.method} {call.path})").body("")


# --- whole answers


def whole(answer: Answer, call: Received) -> dict[str, Any]:
    if call.operation == "embeddings":
        return embeddings(answer, call)
    return chat_completion(answer, call)


def chat_completion(answer: Answer, call: Received) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": _text(answer), "refusal": None, "annotations": []}
    if answer.reasoning:
        message[answer.reasoning_field] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = [_tool_call(tool, call, place) for place, tool in enumerate(answer.tool_calls)]
    choice = {"message": message | answer.extra_message, "logprobs": None, "finish_reason": _finish(answer)}
    body = _frame(answer, call, "chat.completion")
    body["choices"] = [{"index": index, **choice, **answer.extra_choice} for index in range(answer.n)]
    if "no_usage" not in answer.quirks:
        body["usage"] = _usage(answer, call)
    return body | {"service_tier": "default"} | answer.extra


def embeddings(answer: Answer, call: Received) -> dict[str, Any]:
    asked = call.fields.get("input", "")
    several = isinstance(asked, list) and bool(asked) and not isinstance(asked[0], int)
    inputs = asked if several else [asked]
    vectors = [[(len(str(text)) + place) / 1024 for place in range(8)] for text in inputs]
    as_base64 = call.fields.get("encoding_format") == "base64"
    tokens = max(1, len(call.body) // 4)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if as_base64 else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": answer.model or call.model,
        "usage": answer.usage or {"prompt_tokens": tokens, "total_tokens": tokens},
    } | answer.extra


def model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": EPOCH, "owned_by": "scripted"}


def listing(names: list[str]) -> dict[str, Any]:
    return {"object": "list", "data": [model(name) for name in names]}


# --- streams


def chunks(answer: Answer, call: Received) -> list[Chunk]:
    """The chunks of a stream, quirks and all; what ends it on the wire (``[DONE]``) is not among them."""
    made: list[Chunk] = []
    for index in range(answer.n):
        content = None if answer.tool_calls else ""
        made.append(_delta("role", {"role": "assistant", "content": content, "refusal": None}, index))
        made += [_delta("output", delta | answer.extra_message, index) for delta in _deltas(answer, call)]
        made.append(_delta("finish", {}, index, _finish(answer)))
    usage = _usage(answer, call)
    wanted = call.include_usage and "no_usage" not in answer.quirks
    if wanted:
        made.append(Chunk("usage", {"choices": [], "usage": usage}))
    for chunk in made:
        for choice in chunk.body["choices"]:
            choice.update(answer.extra_choice)
        if wanted:
            chunk.body.setdefault("usage", None)
        chunk.body = _frame(answer, call, "chat.completion.chunk") | chunk.body | answer.extra
    for name in answer.quirks:
        made = QUIRKS[name](made, usage)
    return made


def in_band(error: InBandError, call: Received) -> dict[str, Any]:
    """The body of an error that comes after a 200."""
    said: dict[str, Any] = {"message": error.message, "type": error.type, "param": None, "code": error.code}
    base = _base(call, "chat.completion.chunk")
    if error.style == "top_level_choice":
        code = error.code if isinstance(error.code, int) else 502
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
        return base | {"error": {"code": code, "message": error.message}, "choices": [choice]}
    if error.style == "x_groq":
        return base | {"choices": [], "x_groq": {"error": error.message}}
    return {"error": said}


# --- parts


def _deltas(answer: Answer, call: Received) -> list[dict[str, Any]]:
    """The output deltas of one choice: reasoning, text, then tool calls (id and name once, arguments in pieces)."""
    deltas: list[dict[str, Any]] = [{answer.reasoning_field: piece} for piece in _words(answer.reasoning)]
    deltas += [{"content": piece} for piece in answer.chunks or _words(_text(answer) or "")]
    for place, tool in enumerate(answer.tool_calls):
        known = _tool_call(tool, call, place)
        arguments = known["function"]["arguments"]
        deltas.append({"tool_calls": [{"index": place, **known, "function": {"name": tool.name, "arguments": ""}}]})
        for start in range(0, len(arguments), answer.fragment):
            fragment = arguments[start : start + answer.fragment]
            deltas.append({"tool_calls": [{"index": place, "function": {"arguments": fragment}}]})
    return deltas


def _delta(mark: Mark, delta: dict[str, Any], index: int, finish: str | None = None) -> Chunk:
    return Chunk(mark, {"choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]})


def _tool_call(tool: ToolCall, call: Received, place: int) -> dict[str, Any]:
    arguments = tool.arguments if isinstance(tool.arguments, str) else json.dumps(tool.arguments)
    made = tool.id or f"call_{call.number:06d}_{place}"
    return {"id": made, "type": "function", "function": {"name": tool.name, "arguments": arguments}}


def _base(call: Received, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{call.number:06d}", "object": kind, "created": EPOCH + call.number, "model": call.model}


def _frame(answer: Answer, call: Received, kind: str) -> dict[str, Any]:
    frame = _base(call, kind) | {"system_fingerprint": "fp_scripted"}
    return frame | {"model": answer.model} if answer.model else frame


def _text(answer: Answer) -> str | None:
    if answer.chunks:
        return "".join(answer.chunks)
    return answer.text if answer.text is not None or answer.tool_calls else DEFAULT_TEXT


def _finish(answer: Answer) -> str:
    return answer.finish or ("tool_calls" if answer.tool_calls else "stop")


def _usage(answer: Answer, call: Received) -> dict[str, Any]:
    if answer.usage is not None:
        return answer.usage
    prompt, completion = max(1, len(call.body) // 4), len(_deltas(answer, call)) * answer.n
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(_words(answer.reasoning)), "audio_tokens": 0},
    }


def _words(text: str) -> list[str]:
    """A text as a vendor's tokens might cut it: before each space. A text without any is one piece."""
    first, *rest = text.split(" ")
    return [piece for piece in (first, *(f" {word}" for word in rest)) if piece]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
