"""The official OpenAI SDK: an application that points it at the gateway sees what it would see at the vendor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.scripted import (
    TEXT,
    TOOLS,
    Answer,
    InBandError,
    Reset,
    ScriptedVendor,
    Silent,
    Status,
    fault,
    play,
    rate_limited,
)
from tests.scripted.openai_shapes import listing

from .setting import MESSAGES, MOMENT, SHORT, Stand, eventually, stand

TOOL = {
    "type": "function",
    "function": {
        "name": "shell",
        "description": "Run a command",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
            "additionalProperties": False,
        },
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
)
CALL = {"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": '{"command": "é😀\\n"}'}}

# What is asked, and what the vendor says to it.
CASES: dict[str, tuple[dict[str, Any], Answer]] = {
    "text": ({}, Answer(TEXT)),
    "empty": ({}, Answer("")),
    "tools": ({"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False}, Answer(tool_calls=TOOLS)),
    "tools_in_one_chunk": ({"tools": [TOOL]}, Answer(tool_calls=TOOLS, quirks=("tools_in_one_chunk",))),
    "tool_results": (
        {
            "messages": [
                *MESSAGES,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "exit code 0"}]},
            ],
            "tools": [TOOL],
        },
        Answer("Done."),
    ),
    "vision": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                    ],
                }
            ]
        },
        Answer("A pixel."),
    ),
    "json_schema": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "it", "strict": True, "schema": TOOL["function"]["parameters"]},  # type: ignore[index]
            }
        },
        Answer('{"command": "ls"}'),
    ),
    "several": ({"n": 3, "seed": 7, "temperature": 0.5, "stop": ["x"]}, Answer(TEXT, n=3)),
    "logprobs": (
        {"logprobs": True, "top_logprobs": 2},
        Answer("Hi", extra_choice={"logprobs": {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}]}}),
    ),
    "reasoning": (
        {"reasoning_effort": "low", "max_completion_tokens": 99, "messages": [{"role": "developer", "content": "Hm"}]},
        Answer(TEXT, reasoning="Let me think."),
    ),
    "unknown_fields": (
        {"extra_body": {"x_of_the_future": {"deep": [1, None, "é"]}, "model_hint": "model"}, "user": "model"},
        Answer(TEXT, extra={"x_new": {"a": [1]}}, extra_choice={"y_new": None}, extra_message={"z_new": "z"}),
    ),
    "length": ({"max_tokens": 2}, Answer("Cut", finish="length")),
    "large": ({"messages": [{"role": "user", "content": "é" * 200_000}]}, Answer("x" * 200_000)),
}
ASK: dict[str, Any] = {"model": "gpt-4.1", "messages": MESSAGES}


class Pair:
    """The same vendor twice: behind the gateway, and to be asked directly."""

    def __init__(self, s: Stand, twin: ScriptedVendor) -> None:
        self.s, self.twin = s, twin

    @property
    def urls(self) -> tuple[str, str]:
        return self.twin.base_url, self.s.gateway.base_url

    def says(self, step: Any) -> None:
        self.s.primary.otherwise = self.twin.otherwise = step

    def client(self, url: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=url, api_key="sk-client", max_retries=0, timeout=20)


@pytest.fixture
def pair() -> Iterator[Pair]:
    config = {"models": {"gpt-4.1": {"targets": ["primary/gpt-4.1"]}}}
    with stand("primary", extra=config) as s, ScriptedVendor.in_thread() as twin:
        yield Pair(s, twin)


def sent(vendor: ScriptedVendor) -> dict[str, Any]:
    return vendor.received[-1].json


@pytest.mark.parametrize("name", CASES)
def test_a_whole_answer_is_the_vendors(pair: Pair, name: str) -> None:
    fields, answer = CASES[name]
    pair.says(answer)
    truth, told = (pair.client(url).chat.completions.create(**ASK | fields).model_dump() for url in pair.urls)
    assert told == truth
    assert pair.s.primary.received[0].body == pair.twin.received[0].body  # not a byte is different


@pytest.mark.parametrize("usage", [False, True], ids=["plain", "usage"])
@pytest.mark.parametrize("name", CASES)
def test_a_streamed_answer_is_the_vendors(pair: Pair, name: str, usage: bool) -> None:
    fields, answer = CASES[name]
    pair.says(answer)
    asked = ASK | fields | {"stream": True} | ({"stream_options": {"include_usage": True}} if usage else {})
    truth, told = (
        [chunk.model_dump() for chunk in pair.client(url).chat.completions.create(**asked)] for url in pair.urls
    )
    assert told == truth
    expected = sent(pair.twin) | {"stream_options": {"include_usage": True}}
    assert sent(pair.s.primary) == expected


@pytest.mark.parametrize("name", CASES)
def test_the_async_client_sees_the_same(pair: Pair, name: str) -> None:
    fields, answer = CASES[name]
    pair.says(answer)

    async def ask(url: str) -> list[Any]:
        async with openai.AsyncOpenAI(base_url=url, api_key="sk-client", max_retries=0) as client:
            whole = await client.chat.completions.create(**ASK | fields)
            stream = await client.chat.completions.create(**ASK | fields, stream=True)
            return [whole.model_dump(), *[chunk.model_dump() async for chunk in stream]]

    truth, told = (asyncio.run(ask(url)) for url in pair.urls)
    assert told == truth


@pytest.mark.parametrize("name", ["text", "tools", "tools_in_one_chunk", "json_schema", "reasoning"])
def test_the_sdk_puts_a_stream_together(pair: Pair, name: str) -> None:
    fields, answer = CASES[name]
    pair.says(answer)
    put_together = []
    for url in pair.urls:
        with pair.client(url).chat.completions.stream(**ASK | fields) as stream:
            put_together.append(stream.get_final_completion().model_dump())
    assert put_together[0] == put_together[1]


def test_only_the_model_is_another_where_the_name_is_ours(pair: Pair) -> None:
    fields, _ = CASES["unknown_fields"]
    pair.client(pair.urls[1]).chat.completions.create(**ASK | fields | {"model": "m"})
    pair.client(pair.urls[0]).chat.completions.create(**ASK | fields | {"model": "m"})
    assert sent(pair.s.primary) == sent(pair.twin) | {"model": "gpt-4.1"}


def test_raw_and_streaming_responses(pair: Pair) -> None:
    client = pair.client(pair.urls[1])
    raw = client.chat.completions.with_raw_response.create(**ASK)
    assert raw.parse().choices[0].message.content == "Hello from the scripted vendor."
    assert raw.headers["x-skein-provider"] == "primary"
    assert raw.request_id == raw.headers["x-request-id"]
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as streamed:
        lines = [line for line in streamed.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert streamed.headers["x-skein-model"] == "gpt-4.1"


@pytest.mark.parametrize("fields", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}], ids=str)
@pytest.mark.parametrize("given", ["hello", ["a", "b"], [1, 2, 3]], ids=str)
def test_embeddings(pair: Pair, given: Any, fields: dict[str, Any]) -> None:
    truth, told = (
        pair.client(url).embeddings.create(model="gpt-4.1", input=given, **fields).model_dump() for url in pair.urls
    )
    assert told == truth
    assert pair.s.primary.received[0].body == pair.twin.received[0].body
    assert pair.s.primary.received[0].path == "/v1/embeddings"


def test_models(pair: Pair) -> None:
    client = pair.client(pair.urls[1])
    names = {model.id: model.owned_by for model in client.models.list()}
    assert names["m"] == "skein"
    assert names["primary/gpt-4.1-mini"] == "primary"
    assert client.models.retrieve("m").id == "m"
    assert client.models.retrieve("primary/gpt-4.1").owned_by == "primary"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


def test_a_listing_of_many_models(pair: Pair) -> None:
    pair.s.primary.listing = Status(200, listing([f"model-{number}" for number in range(2000)]))
    pair.s.gateway.call(lambda: pair.s.gateway.runtime.listings.adopt(pair.s.gateway.runtime.gateway.providers))
    client = pair.client(pair.urls[1])
    client.models.list()
    pair.s.primary.wait_until(lambda vendor: vendor.listed)
    eventually(lambda: len(list(client.models.list())) >= 2000)


# --- Azure


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_azure_client(pair: Pair, stream: bool) -> None:
    client = openai.AzureOpenAI(
        azure_endpoint=pair.s.gateway.url, api_key="sk-client", api_version="2024-10-21", max_retries=0
    )
    answer = client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
    said = (
        "".join(chunk.choices[0].delta.content or "" for chunk in answer)
        if stream
        else answer.choices[0].message.content
    )
    assert said == "Hello from the scripted vendor."
    assert sent(pair.s.primary)["model"] == "gpt-4.1"
    assert client.embeddings.create(model="m", input="x").data[0].embedding


def test_the_azure_client_with_a_deployment_of_its_own_and_a_key() -> None:
    access = {"access": {"mode": "keys", "keys": [{"name": "ci", "key": "sk-caller-key"}]}}
    with stand("primary", extra=access) as s:

        def client(key: str) -> openai.AzureOpenAI:
            return openai.AzureOpenAI(
                azure_endpoint=s.gateway.url,
                azure_deployment="m",
                api_key=key,
                api_version="2024-10-21",
                max_retries=0,
            )

        assert client("sk-caller-key").chat.completions.create(model="m", messages=MESSAGES).choices
        assert "sk-caller-key" not in repr(s.primary.received[0].header_list)
        with pytest.raises(openai.AuthenticationError):
            client("sk-wrong-key").chat.completions.create(model="m", messages=MESSAGES)


# --- errors


def said(code: int, **fields: Any) -> Status:
    return Status(code, {"error": {"message": "No.", "type": "t", "param": "p", "code": "c"} | fields})


ERRORS = [
    ("400", said(400), openai.BadRequestError, 400, "c", "p"),
    ("400 context", fault("context_too_long"), openai.BadRequestError, 400, "context_length_exceeded", "messages"),
    ("401", Status(401), openai.InternalServerError, 502, "upstream_auth", None),
    ("403", said(403), openai.InternalServerError, 502, "upstream_auth", None),
    ("404", Status(404), openai.NotFoundError, 404, "model_not_found", None),
    ("422", said(422), openai.UnprocessableEntityError, 422, "c", "p"),
    ("429", rate_limited("seconds", 60), openai.RateLimitError, 429, "rate_limit_exceeded", None),
    ("500", said(500), openai.InternalServerError, 502, "c", "p"),
    ("503", Status(503), openai.InternalServerError, 503, "server_is_overloaded", None),
    ("502 html", Status(502), openai.InternalServerError, 502, "server_error", None),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("step", "kind", "status", "code", "param"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])  # fmt: skip  # noqa: E501
def test_errors_are_the_right_exceptions(
    pair: Pair, step: Any, kind: Any, status: int, code: str, param: str | None, stream: bool
) -> None:
    pair.says(step)
    with pytest.raises(kind) as raised:
        pair.client(pair.urls[1]).chat.completions.create(**ASK, stream=stream)
    error = raised.value
    assert (error.status_code, error.code, error.param) == (status, code, param)
    assert error.request_id == error.response.headers["x-request-id"]
    assert error.body["upstream"]["status"] == int(pair.s.primary.received[0].status)
    pair.s.keeps_its_secrets()


def test_a_timeout_is_a_server_error() -> None:
    with stand("primary", timeouts={"whole": SHORT}) as s:
        s.primary.otherwise = Silent("before_head")
        client = openai.OpenAI(base_url=s.gateway.base_url, api_key="x", max_retries=0)
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model="m", messages=MESSAGES)
        assert raised.value.status_code == 504


@pytest.mark.parametrize("step", [Reset(), InBandError("mid")], ids=["reset", "in band"])
def test_a_stream_that_breaks_raises(pair: Pair, step: Any) -> None:
    pair.says(play(Silent("after_output", seconds=MOMENT), step))
    stream = pair.client(pair.urls[1]).chat.completions.create(**ASK, stream=True)
    assert next(stream).choices[0].delta.role == "assistant"
    with pytest.raises(openai.APIError) as raised:
        list(stream)
    assert "primary/gpt-4.1" in raised.value.message


def test_a_stream_that_is_cut_raises() -> None:
    with stand("primary", on_broken_stream="abort") as s:
        s.primary.otherwise = play(Silent("after_output", seconds=MOMENT), Reset())
        client = openai.OpenAI(base_url=s.gateway.base_url, api_key="x", max_retries=0)
        with pytest.raises(Exception, match=r"(?i)incomplete|closed|peer|connection"):
            list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))


RETRIED = [(Status(401), 1), (Status(400), 1), (Status(404), 1), (Status(402), 1), (Status(500), 3), (Status(503), 3)]


@pytest.mark.parametrize(("step", "requests"), RETRIED, ids=[str(step.code) for step, _ in RETRIED])
def test_the_sdk_retries_what_is_worth_it(step: Status, requests: int) -> None:
    with stand("primary", retries=0) as s:
        s.primary.otherwise = step
        client = openai.OpenAI(
            base_url=s.gateway.base_url, api_key="x", max_retries=2, _strict_response_validation=True
        )
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(model="m", messages=MESSAGES)
        s.finished(requests)


def test_the_sdk_waits_as_the_vendor_asked() -> None:
    with stand("primary", retries=0) as s:
        s.primary.script(rate_limited("retry_after_ms", 2.0))
        client = openai.OpenAI(base_url=s.gateway.base_url, api_key="x", max_retries=1)
        assert client.chat.completions.create(model="m", messages=MESSAGES).choices
        first, second = s.primary.received
        assert second.began - first.began > 1.5  # of its own accord it waits half a second


def test_our_own_refusals() -> None:
    keys = [
        {"name": "ci", "key": "sk-caller-key", "models": ["primary/gpt-4.1-mini"]},
        {"name": "all", "key": "sk-caller-all"},
    ]
    with stand("primary", extra={"access": {"mode": "keys", "keys": keys}}) as s:

        def ask(key: str, model: str = "m", **fields: Any) -> None:
            client = openai.OpenAI(base_url=s.gateway.base_url, api_key=key, max_retries=0)
            client.chat.completions.create(model=model, messages=MESSAGES, **fields)

        with pytest.raises(openai.AuthenticationError) as unknown:
            ask("sk-nobody-knows")
        assert (unknown.value.code, unknown.value.body["origin"]) == ("invalid_api_key", "gateway")  # type: ignore[index,call-overload]
        with pytest.raises(openai.PermissionDeniedError) as forbidden:
            ask("sk-caller-key")
        assert forbidden.value.code == "model_not_allowed"
        with pytest.raises(openai.NotFoundError) as missing:
            ask("sk-caller-all", model="mm")
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError) as wrong:
            ask("sk-caller-all", extra_body={"n": "many"})
        assert wrong.value.param == "n"
        assert s.primary.count == 0
