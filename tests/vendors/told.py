"""What a target can be told of a request: one thing said at a time, through the translation a call goes through."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from gateway.chat import Blob
from gateway.dialects import DIALECTS
from gateway.errors import CallerError
from gateway.translate import Asked, Outgoing, translator
from gateway.vendors import Vendor

CHAT = DIALECTS["openai_chat"]
Body = dict[str, Any]
Told = Literal["yes", "fetched", "no"]

DATA = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
TOOL = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
CALLED = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


class Saying(NamedTuple):
    """``said`` and the same request without it; ``named``: what a loss has to be called by, or begin with."""

    named: str
    said: Body
    without: Body = {}


def user(*parts: Body, **message: Any) -> Body:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, *parts], **message}]}


def tools(*functions: Body, **more: Any) -> Body:
    return {"tools": [{"type": "function", "function": each} for each in functions], **more}


def answered(*content: Body) -> Body:
    called = {"role": "assistant", "content": None, "tool_calls": [CALLED]}
    result = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "done"}, *content]}
    return tools(TOOL, messages=[{"role": "user", "content": "Hi"}, called, result])


def image(url: str, **more: Any) -> Body:
    return {"type": "image_url", "image_url": {"url": url, **more}}


PNG = f"data:image/png;base64,{DATA}"
MARKED = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
ALLOWED = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "look"}}]}

SAYINGS: Mapping[str, Saying] = {
    "`max_tokens`, `max_completion_tokens`": Saying("max_tokens", {"max_completion_tokens": 100}),
    "`temperature`": Saying("temperature", {"temperature": 0.5}),
    "`top_p`": Saying("top_p", {"top_p": 0.9}),
    "`top_k`": Saying("top_k", {"top_k": 40}),
    "`stop`": Saying("stop", {"stop": ["END"]}),
    "`seed`": Saying("seed", {"seed": 1}),
    "`frequency_penalty`": Saying("frequency_penalty", {"frequency_penalty": 0.5}),
    "`presence_penalty`": Saying("presence_penalty", {"presence_penalty": 0.5}),
    "`n`": Saying("n", {"n": 2}),
    "`logprobs`": Saying("logprobs", {"logprobs": True}),
    "`top_logprobs`": Saying("top_logprobs", {"logprobs": True, "top_logprobs": 3}, {"logprobs": True}),
    "`logit_bias`": Saying("logit_bias", {"logit_bias": {"1": 2}}),
    "`response_format`: any JSON": Saying("response_format", {"response_format": {"type": "json_object"}}),
    "`response_format`: a schema": Saying(
        "response_format",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}},
    ),
    "`tools`": Saying("tools", tools(TOOL)),
    "`strict` of a tool": Saying("tools", tools({**TOOL, "strict": True}), tools(TOOL)),
    "`tool_choice`: none": Saying("tool", tools(TOOL, tool_choice="none"), tools(TOOL)),
    "`tool_choice`: required, or a name": Saying("tool", tools(TOOL, tool_choice="required"), tools(TOOL)),
    "`tool_choice`: some of them": Saying(
        "tool",
        tools(TOOL, {"name": "b"}, tool_choice={"type": "allowed_tools", "allowed_tools": ALLOWED}),
        tools(TOOL, {"name": "b"}),
    ),
    "`parallel_tool_calls`: false": Saying("", tools(TOOL, parallel_tool_calls=False), tools(TOOL)),
    "`reasoning_effort`": Saying("reasoning_effort", {"reasoning_effort": "high"}),
    "`user`": Saying("user", {"user": "ann"}),
    "`metadata`": Saying("metadata", {"metadata": {"a": "b"}}),
    "`service_tier`": Saying("service_tier", {"service_tier": "priority"}),
    "`verbosity`": Saying("verbosity", {"verbosity": "low"}),
    "`store`": Saying("store", {"store": True}),
    "`prompt_cache_key`": Saying("prompt_cache_key", {"prompt_cache_key": "k"}),
    "`safety_identifier`": Saying("safety_identifier", {"safety_identifier": "s"}),
    "`prediction`": Saying("prediction", {"prediction": {"type": "content", "content": "x"}}),
    "`web_search_options`": Saying("web_search_options", {"web_search_options": {"search_context_size": "low"}}),
    "`name` of a message": Saying("messages[0].name", user(name="ann"), user()),
    "image as bytes": Saying("messages[0].content[1]", user(image(PNG)), user()),
    "image by URL": Saying("messages[0].content[1]", user(image("https://a.example/x.png")), user()),
    "`detail` of an image": Saying("messages[0].content[1]", user(image(PNG, detail="low")), user(image(PNG))),
    "image in a tool's result": Saying("messages[2].content[1]", answered(image(PNG)), answered()),
    "PDF as bytes": Saying(
        "messages[0].content[1]",
        user({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{DATA}"}}),
        user(),
    ),
    "file by the vendor's id": Saying(
        "messages[0].content[1]", user({"type": "file", "file": {"file_id": "file_1"}}), user()
    ),
    "sound": Saying(
        "messages[0].content[1]",
        user({"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}),
        user(),
    ),
    "`cache_control`": Saying("", {"messages": [{"role": "user", "content": [MARKED]}]}),
}

MODELS: Mapping[str, tuple[str, ...]] = {
    "openai_chat": ("gpt-5", "mistral-large-3", "some-model"),
    "anthropic_messages": ("claude-opus-5-5", "claude-sonnet-4-5", "claude-3-5-haiku-20241022"),
    "gemini": ("gemini-3-pro-preview", "gemini-2.5-flash", "gemini-2.0-flash"),
    "bedrock_converse": (
        "us.anthropic.claude-opus-5-5-v1:0",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "amazon.nova-pro-v1:0",
        "meta.llama3-3-70b-instruct-v1:0",
    ),
    "cohere_chat": ("command-a-03-2025", "command-a-reasoning-08-2025", "command-a-vision-07-2025"),
    "ollama_chat": ("llama3.2", "qwen3", "gpt-oss:20b"),
    "openai_responses": ("gpt-5-codex", "gpt-4.1", "some-model"),
    "tgi": ("an-endpoint",),
}
"""Models that differ in what can be said to them."""


def models_of(row: Vendor) -> list[str]:
    """Those of the dialect's that are to be had in this way, or that stand for what is."""
    return [model for model in MODELS[row.dialect] if row.has(model)] or list(MODELS[row.dialect])


def sent(row: Vendor, model: str, said: Body) -> tuple[Outgoing, bool]:
    """What goes to the vendor, and whether something had to be fetched for it."""
    body = json.dumps({"model": model, **user(), **said}).encode()
    made = translator(CHAT, row, "x1")
    asked = Asked(body, CHAT.peek(body), model, model)
    wanted = made.fetches(asked)
    media = {each.uri: Blob(each.modality, "image/png", DATA) for each in wanted}
    return made.request(asked._replace(media=media)), bool(wanted)


def told(row: Vendor, model: str, saying: Saying) -> Told:
    """Whether it is. Raises ``AssertionError`` where it is neither told nor named: a silent loss."""
    try:
        (made, fetched), (without, _) = sent(row, model, saying.said), sent(row, model, saying.without)
    except CallerError:
        return "no"
    new = [name for name in made.dropped if name.startswith(saying.named) and name not in without.dropped]
    # What it would have been said of may be lost as a whole.
    if new or {saying.named, *(saying.said.keys() & {"tools"})} & {*made.dropped}:
        return "no"
    assert (made.body, made.headers) != (without.body, without.headers), f"{row.name}, {model}: {saying} is lost"
    return "fetched" if fetched else "yes"


def unsaid(row: Vendor) -> dict[str, str]:
    """What it cannot be told, or is told otherwise -> of which models: ``no``, ``fetched``, ``some``."""
    return {label: how for label, how in all_told(row) if how != "yes"}


def all_told(row: Vendor) -> Iterator[tuple[str, str]]:
    for label, saying in SAYINGS.items():
        found = {told(row, model, saying) for model in models_of(row)}
        yield label, found.pop() if len(found) == 1 else "some"
