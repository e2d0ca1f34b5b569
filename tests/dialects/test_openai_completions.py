"""Completions of a text: passed through where a vendor has them, and by way of a chat where it has not."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.abilities import UNKNOWN
from gateway.chat import (
    Began,
    ChatEvent,
    ChatResponse,
    Choice,
    Finished,
    Message,
    Reasoning,
    ReasoningDelta,
    Refusal,
    Text,
    TextDelta,
    Usage,
)
from gateway.dialects import DIALECTS, EGRESS, INGRESS
from gateway.dialects.openai_completions import USUAL_LENGTH
from gateway.errors import CallerError, Fault
from gateway.passing import Passing
from gateway.sse import Splitter, event
from gateway.transcoding import Naming, Transcoding
from tests.corpus import answers as pairs
from tests.corpus import case

FACE, INTO = DIALECTS["openai_completions"], INGRESS["openai_completions"]
NOW = 1_700_000_000.0
PLAIN = case("openai_completions", "plain.request.json")
RESPONSE, STREAM = case("openai_completions", "plain.response.json"), case("openai_completions", "plain.stream.sse")


def body(**said: Any) -> bytes:
    return json.dumps({"model": "m", "prompt": "Once", **said}).encode()


# Request --------------------------------------------------------------------------------------------------------------


def test_what_routing_needs_is_seen():
    facts = FACE.peek(PLAIN)
    assert (facts.operation, facts.model, facts.stream, facts.wants_usage) == ("completions", "davinci", True, True)
    assert (facts.choices, facts.user, facts.tools, facts.structured) == (1, "u-1", False, False)
    assert facts.parameters == {"max_tokens": 20, "temperature": 0.7, "stop_sequences": ["\n"]}


@pytest.mark.parametrize(
    ("prompt", "n", "choices"),
    [
        ("one", None, 1), ("one", 3, 3), (["one"], 2, 2), (["one", "two"], 2, 4), ([1, 2, 3], 2, 2),
        ([[1, 2], [3]], None, 2), ([], None, 1), (None, None, 1), (5, None, 1),
    ],
)  # fmt: skip
def test_each_prompt_of_several_is_answered(prompt: Any, n: int | None, choices: int):
    assert FACE.peek(body(prompt=prompt, n=n)).choices == choices


def test_the_prompt_is_what_a_user_says():
    read = INTO.decode_request(PLAIN)
    assert read.messages == (Message("user", (Text("Once upon a time"),)),)
    assert (read.model, read.max_tokens, read.temperature, read.stop, read.stream) == (
        "davinci",
        20,
        0.7,
        ("\n",),
        True,
    )
    assert (read.user, read.extra) == ("u-1", {})
    assert [(each.role, each.said().text) for each in FACE.conversation(PLAIN).messages] == [
        ("user", "Once upon a time")
    ]
    assert INTO.decode_request(body(prompt=["alone"])).messages == (Message("user", (Text("alone"),)),)


def test_without_a_length_an_answer_is_short():
    assert (
        INTO.decode_request(body()).max_tokens == USUAL_LENGTH == INTO.decode_request(body(max_tokens=None)).max_tokens
    )


def test_what_cannot_be_done_is_named():
    said = {"suffix": "end", "best_of": 3, "logit_bias": {"1": 2}, "tools": [], "messages": [{"role": "x"}]}
    read = INTO.decode_request(body(**said, n=2, logprobs=2))
    assert read.extra == {**said}
    assert (read.choices, read.logprobs, read.top_logprobs) == (2, True, 2)
    assert set(said) <= set(EGRESS["ollama_chat"].encode_request(read, UNKNOWN).dropped)


def test_what_asks_for_nothing_is_not_named():
    read = INTO.decode_request(
        body(suffix="", echo=False, best_of=2, n=2, logit_bias={}, logprobs=None, user=None, stop=None)
    )
    assert read.extra == {}
    assert INTO.decode_request(body(best_of=1, echo=True)).extra == {}


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no prompt": ({"prompt": None}, "missing_required_parameter", "prompt"),
    "an empty prompt": ({"prompt": ""}, "missing_required_parameter", "prompt"),
    "several prompts": ({"prompt": ["a", "b"]}, "unsupported_value", "prompt"),
    "tokens": ({"prompt": [1, 2]}, "unsupported_value", "prompt"),
    "lists of tokens": ({"prompt": [[1, 2]]}, "unsupported_value", "prompt"),
    "a prompt that is an object": ({"prompt": {}}, "invalid_type", "prompt"),
    "a length that is text": ({"max_tokens": "5"}, "invalid_type", "max_tokens"),
    "logprobs that are a boolean": ({"logprobs": True}, "invalid_type", "logprobs"),
    "an echo that is text": ({"echo": "yes"}, "invalid_type", "echo"),
}


@pytest.mark.parametrize(("said", "code", "param"), REFUSED.values(), ids=REFUSED)
def test_what_a_chat_cannot_do_is_refused(said: dict[str, Any], code: str, param: str):
    with pytest.raises(CallerError) as caught:
        INTO.decode_request(body(**said))
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


@given(st.binary(max_size=30) | st.recursive(st.none() | st.integers() | st.text(max_size=4), st.lists, max_leaves=5))
def test_nothing_else_is_raised(anything: Any):
    sent = anything if isinstance(anything, bytes) else body(prompt=anything)
    for work in (INTO.decode_request, FACE.peek):
        try:
            work(sent)
        except CallerError as error:
            refused = error
            assert refused.status == 400
    FACE.conversation(sent)
    assert isinstance(FACE.read_whole(sent, NOW), Fault)


def test_only_the_vendors_deltas_are_other():
    written = json.loads(FACE.rewrite(PLAIN, "theirs", drop=frozenset(("user",)), max_tokens=5))
    expected = {**json.loads(PLAIN), "model": "theirs", "max_tokens": 5}
    del expected["user"]
    assert written == expected
    asked = json.loads(FACE.rewrite(body(), "m", ask_usage=True, rename={"max_completion_tokens": "max_tokens"}))
    assert asked["stream_options"] == {"include_usage": True}
    assert json.loads(FACE.rewrite(body(), "m", max_tokens=7))["max_tokens"] == 7


def test_a_managed_prompt_comes_before():
    prompt = [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": "Well."}]
    assert json.loads(FACE.prepended(body(), prompt))["prompt"] == "Rhyme.\n\nWell.\n\nOnce"
    assert json.loads(FACE.prepended(body(prompt=["a", "b"]), prompt[:1]))["prompt"] == ["Rhyme.\n\na", "Rhyme.\n\nb"]
    tokens = body(prompt=[1, 2])
    assert FACE.prepended(tokens, prompt) is tokens


# Passed through -------------------------------------------------------------------------------------------------------


def test_a_whole_answer_is_seen():
    seen = FACE.read_whole(RESPONSE, NOW)
    assert not isinstance(seen, Fault)
    assert (seen.finish_reasons, seen.usage) == (("length",), Usage(input_tokens=5, output_tokens=7))
    assert FACE.spoken(RESPONSE) == " there was a test."


def test_a_stream_passes_as_it_came_however_it_is_cut():
    for pieces in ([STREAM], [STREAM[at : at + 1] for at in range(len(STREAM))], STREAM.splitlines(keepends=True)):
        passing = Passing(FACE, keep_text=True)
        out = b"".join(passing.feed(piece, NOW) for piece in pieces) + passing.end(NOW)
        assert (out, passing.complete, passing.done) == (STREAM, True, True)
        assert "".join(passing.digest.text) == " there was a test."
        assert (passing.digest.finish_reason, passing.digest.usage) == (
            "length",
            Usage(input_tokens=5, output_tokens=7),
        )


def test_the_quick_look_sees_what_the_careful_one_does():
    chunk = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "usage": None}
    choice = {"text": " there", "index": 0, "logprobs": None, "finish_reason": None}
    events = [json.dumps({**chunk, "choices": [choice]}).encode()]
    assert FACE.skim(events, False) == [" there"]
    others = [
        {**chunk, "choices": [{**choice, "index": 1}]},
        {**chunk, "choices": [{**choice, "finish_reason": "stop"}]},
        {**chunk, "choices": [choice, {**choice, "index": 1}]},
        {**chunk, "choices": [choice], "usage": {"prompt_tokens": 1}},
        {**chunk, "choices": [{**choice, "text": ""}]},
        {**chunk, "choices": [], "error": {"message": "broken"}},
    ]
    assert FACE.skim([json.dumps(each).encode() for each in others] + [b"[DONE]", b"no"], False) == [None] * 8
    seen = FACE.glimpse(Splitter().feed(event(events[0]))[0], NOW)
    assert (seen.output, seen.text, seen.reasons) == (True, " there", {0: None})
    broken = FACE.glimpse(Splitter().feed(event(json.dumps(others[-1]).encode()))[0], NOW)
    assert broken.fault
    assert broken.fault.message == "broken"


# Answers, as OpenAI's own SDK reads them ------------------------------------------------------------------------------

USAGE = Usage(input_tokens=5, output_tokens=7, cached_tokens=2)


def client(answer: bytes, status: int = 200, kind: str = "application/json") -> openai.OpenAI:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=answer, headers={"content-type": kind})

    transport = httpx.Client(transport=httpx.MockTransport(handle))
    return openai.OpenAI(api_key="k", base_url="http://gateway/v1", max_retries=0, http_client=transport)


def whole(*choices: Choice, asked: bytes = b"") -> openai.types.Completion:
    answer = ChatResponse(id="a-1", model="served", choices=choices, usage=USAGE)
    written = INTO.encode_answer(answer, id="x", model="asked", created=int(NOW), asked=asked)
    return client(written).completions.create(model="asked", prompt="?")


def test_a_whole_answer_is_read_by_the_sdk():
    read = whole(Choice((Reasoning("Hm."), Text(" there")), "stop"), Choice((Refusal("No."),), "content_filter"))
    assert (read.id, read.model, read.object, read.created) == ("a-1", "served", "text_completion", int(NOW))
    assert [(each.index, each.text, each.finish_reason) for each in read.choices] == [
        (0, " there", "stop"), (1, "No.", "content_filter"),
    ]  # fmt: skip
    assert read.usage
    assert (read.usage.prompt_tokens, read.usage.completion_tokens, read.usage.total_tokens) == (5, 7, 12)
    assert whole(Choice((), "tool_calls")).choices[0].finish_reason == "stop"


def test_logprobs_are_lists():
    content = [
        {
            "token": "Hé",
            "logprob": -0.5,
            "top_logprobs": [{"token": "Hé", "logprob": -0.5}, {"token": "A", "logprob": -2}],
        },
        {"token": "llo", "logprob": -0.1, "top_logprobs": []},
    ]
    found = whole(Choice((Text("Héllo"),), "stop", {"content": content})).choices[0].logprobs
    assert found
    assert (found.tokens, found.token_logprobs, found.text_offset) == (["Hé", "llo"], [-0.5, -0.1], [0, 2])
    assert found.top_logprobs == [{"Hé": -0.5, "A": -2}, {}]


def test_the_prompt_is_repeated_for_who_wants_it():
    asked = body(echo=True)
    assert whole(Choice((Text(" upon"),), "stop"), asked=asked).choices[0].text == "Once upon"
    assert "".join(streamed([TextDelta(" up"), TextDelta("on"), Finished("stop")], asked)[0]) == "Once upon"
    assert "".join(streamed([Finished("stop")], asked)[0]) == "Once"
    assert whole(Choice((Text("x"),), "stop"), asked=body(echo=False)).choices[0].text == "x"


def streamed(events: list[ChatEvent], asked: bytes = b"", usage: bool = True) -> tuple[list[str], list[Any]]:
    """Texts, and all chunks, as the SDK reads them."""
    encoder = INTO.stream_encoder(id="x", model="asked", created=int(NOW), usage=usage, asked=asked)
    out = b"".join(map(encoder.feed, events)) + encoder.end(USAGE, 0.25)
    read = list(client(out, kind="text/event-stream").completions.create(model="asked", prompt="?", stream=True))
    assert encoder.place == len(read)
    return [choice.text for each in read for choice in each.choices], read


def test_a_stream_is_read_by_the_sdk():
    told: list[ChatEvent] = [Began("a-1", "served"), ReasoningDelta("Hm."), TextDelta(" there"), Finished("length")]
    texts, read = streamed(told)
    assert texts == [" there", ""]
    assert {(each.id, each.model, each.object) for each in read} == {("a-1", "served", "text_completion")}
    assert [each.choices[0].finish_reason for each in read[:-1]] == [None, "length"]
    assert (read[-1].choices, read[-1].usage.total_tokens, read[-1].usage.cost) == ([], 12, 0.25)
    _, without = streamed(told, usage=False)
    assert all("usage" not in each.model_fields_set for each in without)


def test_an_error_is_raised_by_the_sdk():
    error = {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found", "param": "model"}
    with pytest.raises(openai.NotFoundError, match="no such model") as caught:
        client(FACE.error_body(error, 404), 404).completions.create(model="m", prompt="?")
    assert caught.value.code == "model_not_found"
    broken = STREAM[: STREAM.index(b"\n\n") + 2] + FACE.error_frame(error, 502, 1)
    with pytest.raises(openai.APIError, match="no such model"):
        list(client(broken, kind="text/event-stream").completions.create(model="m", prompt="?", stream=True))


ARROWS = [
    pytest.param(dialect, *pair.values, id=f"{dialect}-{pair.id}") for dialect in EGRESS for pair in pairs(dialect)
]


@pytest.mark.parametrize(("dialect", "response", "stream"), ARROWS)
def test_every_vendors_stream_put_together_is_its_whole_answer(dialect: str, response: bytes, stream: bytes):
    answer = EGRESS[dialect].decode_answer(response, NOW)
    assert isinstance(answer, ChatResponse)
    encoder = INTO.stream_encoder(id="x", model="m", created=int(NOW), usage=True, asked=b"")
    made = Transcoding(EGRESS[dialect].stream_decoder(), encoder, Naming())
    out = made.feed(stream, NOW) + made.end(NOW)
    written = INTO.encode_answer(answer, id="x", model="m", created=int(NOW), asked=b"")
    *said, done = [frame.data or b"" for frame in Splitter().feed(out)]
    assert done == b"[DONE]"
    choices = [choice for each in said for choice in json.loads(each)["choices"]]
    whole = json.loads(written)["choices"][0]
    assert "".join(choice["text"] for choice in choices if not choice["index"]) == whole["text"] == FACE.spoken(written)
    assert next(choice["finish_reason"] for choice in choices if choice["finish_reason"]) == whole["finish_reason"]
    assert not isinstance(FACE.read_whole(written, NOW), Fault)
