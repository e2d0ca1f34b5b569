"""Answers and errors as Google's own SDK reads them, and what it sends back after them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.genai import errors, types
from pydantic import BaseModel

from gateway.api.framing import Array
from gateway.chat import (
    Began,
    Blob,
    CallBegan,
    CallDelta,
    ChatResponse,
    Choice,
    Finished,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Refusal,
    Text,
    TextDelta,
    ToolCall,
    Uri,
)
from gateway.dialects import gemini
from gateway.dialects.glimpse import Whole
from gateway.sse import Splitter
from gateway.transcoding import whole_of
from tests.corpus import answers
from tests.dialects.gemini_clients import (
    HIDDEN,
    NOW,
    SHOWN,
    SIGNED,
    USAGE,
    client,
    message,
    result,
    streamed,
    whole,
)

# Answers, as the SDK reads them ---------------------------------------------------------------------------------------


def test_an_answer_is_read_by_the_sdk():
    with client(whole(Text("Looms weave."), usage=USAGE, id="r1", model="claude")) as (google, _):
        answer = google.models.generate_content(model="m", contents="hi")
    assert (answer.text, answer.response_id, answer.model_version) == ("Looms weave.", "r1", "claude")
    assert answer.candidates
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    told = answer.usage_metadata
    assert told
    assert (told.prompt_token_count, told.candidates_token_count, told.total_token_count) == (10, 5, 19)
    assert (told.thoughts_token_count, told.cached_content_token_count) == (4, 3)
    details = [(each.modality, each.token_count) for each in told.prompt_tokens_details or ()]
    assert details == [(types.MediaModality.TEXT, 8), (types.MediaModality.AUDIO, 2)]


@pytest.mark.parametrize(
    ("reason", "theirs"),
    [("stop", "STOP"), ("tool_calls", "STOP"), ("length", "MAX_TOKENS"), ("content_filter", "SAFETY")],
)
def test_finish_reasons(reason: Any, theirs: str):
    for said in (Text("x"), None):
        body = whole(*filter(None, [said]), reason=reason)
        assert json.loads(body)["candidates"][0]["finishReason"] == theirs
        last = streamed(*([TextDelta("x")] if said else []), Finished(reason)).split(b"\n\n")[-2]
        assert json.loads(last.removeprefix(b"data: "))["candidates"][0]["finishReason"] == theirs


def test_a_schema_is_asked_for_and_parsed():
    class Loom(BaseModel):
        name: str
        shafts: int | None

    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Loom)
    with client(whole(Text('{"name":"Jacquard","shafts":null}'))) as (google, requests):
        answer = google.models.generate_content(model="m", contents="hi", config=config)
    assert answer.parsed == Loom(name="Jacquard", shafts=None)
    output = gemini.decode_request(json.dumps(requests[0]).encode()).output
    assert output
    assert output.schema
    assert output.schema["type"] == "object"
    assert output.schema["properties"]["shafts"]["type"] == ["integer", "null"]


def test_an_image_is_sent():
    picture = types.Part.from_bytes(data=b"\xfb\xff\xfe" * 4, mime_type="image/png")
    with client(whole(Text("x"))) as (google, requests):
        google.models.generate_content(model="m", contents=["What?", picture])
    sent = gemini.decode_request(json.dumps(requests[0]).encode()).messages[0].parts
    assert sent == (Text("What?"), Blob("image", "image/png", base64.b64encode(b"\xfb\xff\xfe" * 4).decode()))


def shelf(row: int, side: str) -> str:
    """What lies there.

    Args:
        row: from above
        side: left or right
    """
    return f"{row} {side}"


PARALLEL = (
    ToolCall("toolu_1", "shelf", '{"row": 1, "side": "left"}'),
    ToolCall("toolu_2", "shelf", '{"row": 2, "side": "right"}'),
)
INTERLEAVED = (
    CallBegan(0, "toolu_1", "shelf"),
    CallDelta(0, '{"row": 1, '),
    CallBegan(1, "toolu_2", "shelf"),
    CallDelta(1, '{"row": 2, "side":'),
    CallDelta(0, '"side": "left"}'),
    CallDelta(1, ' "right"}'),
    Finished("tool_calls"),
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_sdk_calls_functions_by_itself(stream: bool):
    """Two calls at once, signed thoughts before them, the results sent back, and all of it read again."""
    config = types.GenerateContentConfig(tools=[shelf])
    if stream:
        first = streamed(ReasoningDelta("hm"), ReasoningSealed(SIGNED), *INTERLEAVED, usage=USAGE)
        replies = first, streamed(TextDelta("Do"), TextDelta("ne."), Finished("stop"), usage=USAGE)
    else:
        replies = whole(SIGNED, *PARALLEL, reason="tool_calls"), whole(Text("Done."))
    with client(*replies) as (google, requests):
        chat = google.chats.create(model="m", config=config)
        if stream:
            said = "".join(chunk.text or "" for chunk in chat.send_message_stream("Both."))
        else:
            said = chat.send_message("Both.").text or ""
    assert said == "Done."
    request = gemini.decode_request(json.dumps(requests[1]).encode())
    assert [tool.name for tool in request.tools] == ["shelf"]
    calls = tuple(
        ToolCall(call.id, call.name, json.dumps(json.loads(call.arguments), separators=(",", ":"))) for call in PARALLEL
    )
    assert request.messages == (
        message("user", Text("Both.")),
        message("assistant", SIGNED, *calls),
        result("toolu_1", Text("1 left"), name="shelf"),
        result("toolu_2", Text("2 right"), name="shelf"),
    )


@pytest.mark.parametrize("shown", [False, True], ids=["hidden", "shown"])
def test_a_chat_remembers_what_was_thought_by_another_vendor(shown: bool):
    thought = [ReasoningDelta("h"), ReasoningDelta("m"), ReasoningSealed(SIGNED), ReasoningSealed(HIDDEN)]
    reply = streamed(Began("r1", "claude"), *thought, TextDelta("Lo"), TextDelta("oms."), Finished("stop"), shown=shown)
    with client(reply, whole(Text("x"))) as (google, requests):
        chat = google.chats.create(model="m")
        chunks = list(chat.send_message_stream("hi"))
        chat.send_message("and?")
    thoughts = [part.text for chunk in chunks for part in chunk.parts or () if part.thought]
    assert thoughts == (["h", "m"] if shown else [])
    assert {(chunk.response_id, chunk.model_version) for chunk in chunks} == {("r1", "claude")}
    again = gemini.decode_request(json.dumps(requests[1]).encode())
    assert again.messages[1] == message("assistant", SIGNED, HIDDEN, Text("Looms."))


def test_choices_keep_apart():
    out = streamed(
        TextDelta("a"), TextDelta("b", 1), CallBegan(0, "c", "f", choice=1), Finished("stop"), Finished("tool_calls", 1)
    )
    with client(out) as (google, _):
        chunks = list(google.models.generate_content_stream(model="m", contents="hi"))
    found: dict[Any, list[Any]] = {}
    for candidate in (each for chunk in chunks for each in chunk.candidates or ()):
        parts = (candidate.content and candidate.content.parts) or ()
        found.setdefault(candidate.index, []).extend(
            part.text or part.function_call for part in parts if part.text != ""
        )
    assert found == {0: ["a"], 1: ["b", types.FunctionCall(id="c", name="f", args={})]}


def test_made_media_and_refusals_are_parts():
    body = json.loads(whole(Refusal("No."), Blob("image", "image/png", "YQ=="), Uri("image", "https://x/y.png")))
    assert body["candidates"][0]["content"]["parts"] == [
        {"text": "No."},
        {"inlineData": {"mimeType": "image/png", "data": "YQ=="}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png"}},
    ]


def test_logprobs():
    tops = [{"token": "a", "logprob": -0.5, "bytes": [97]}, {"token": "b", "logprob": -1.0, "bytes": [98]}]
    choice = Choice((Text("a"),), "stop", {"content": [{**tops[0], "top_logprobs": tops}], "refusal": None})
    body = gemini.encode_answer(ChatResponse(choices=(choice,)), id="i", model="m", created=0, asked=b"")
    with client(body) as (google, _):
        answer = google.models.generate_content(model="m", contents="hi")
    found = answer.candidates and answer.candidates[0].logprobs_result
    assert found
    assert found.chosen_candidates
    assert found.chosen_candidates[0].log_probability == -0.5
    assert found.top_candidates
    assert [each.token for each in found.top_candidates[0].candidates or ()] == ["a", "b"]


@pytest.mark.parametrize(("response", "stream"), answers("gemini"))
def test_an_answer_read_and_written_means_the_same(response: bytes, stream: bytes):
    answer = gemini.decode_answer(response, NOW)
    assert isinstance(answer, ChatResponse)
    again = gemini.decode_answer(gemini.encode_answer(answer, id="i", model="m", created=0, asked=SHOWN), NOW)
    assert isinstance(again, ChatResponse)
    assert meaning(again) == meaning(answer)
    encoder, decoder = (
        gemini.stream_encoder(id="i", model="m", created=0, usage=True, asked=SHOWN),
        gemini.stream_decoder(),
    )
    out = b"".join(encoder.feed(each) for each in [*decoder.feed(stream, NOW), *decoder.end(NOW)])
    told = gemini.read_whole(joined(out + encoder.end(answer.usage, None)), NOW)
    assert isinstance(told, Whole)
    assert told.usage == answer.usage
    assert [(call.id, call.tool, json.loads(call.arguments)) for call in told.calls] == [
        (call.id, call.tool, json.loads(call.arguments)) for call in whole_of(answer).calls
    ]


def meaning(answer: ChatResponse) -> Any:
    """All that was said, whatever the pieces."""
    said = [
        (
            "".join(part.content for part in choice.parts if isinstance(part, Text)),
            "".join(part.content for part in choice.parts if isinstance(part, Reasoning)),
            [
                (part.id, part.name, json.loads(part.arguments), part.signature)
                for part in choice.parts
                if isinstance(part, ToolCall)
            ],
            choice.finish_reason,
            choice.logprobs,
        )
        for choice in answer.choices
    ]
    return answer.id, answer.model, said, answer.usage


def joined(out: bytes) -> bytes:
    """The events of a stream as one answer: the parts of its first candidate together."""
    chunks = [json.loads(frame.data) for frame in Splitter().feed(out) if frame.data]
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    last = chunks[-1]
    return json.dumps({**last, "candidates": [{**last["candidates"][0], "content": {"parts": parts}}]}).encode()


# Errors ---------------------------------------------------------------------------------------------------------------

ERROR = {
    "message": "slow down",
    "type": "rate_limit_error",
    "code": "rate_limit_exceeded",
    "param": None,
    "origin": "vendor",
    "provider": "claude",
    "model": "m",
    "upstream": {"status": 429, "url": "https://x", "body": '{"error":{"details":[{"retryDelay":"7s"}]}}'},
    "attempts": [],
    "request_id": "q1",
}
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "INTERNAL",
}


@pytest.mark.parametrize("status", STATUSES)
def test_an_error_is_raised_by_the_sdk(status: int):
    kind = errors.ClientError if status < 500 else errors.ServerError
    with client(gemini.error_body(ERROR, status), status=status) as (google, _), pytest.raises(kind) as caught:
        google.models.generate_content(model="m", contents="hi")
    assert (caught.value.code, caught.value.status, caught.value.message) == (status, STATUSES[status], "slow down")


def test_an_error_tells_whose_fault_it_is_and_when_to_come_back():
    info, wait, ours = json.loads(gemini.error_body(ERROR, 429))["error"]["details"]
    assert (info["reason"], info["domain"]) == ("rate_limit_exceeded", "skein")
    assert wait == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    assert {key: ours[key] for key in ("origin", "provider", "request_id")} == {
        "origin": "vendor",
        "provider": "claude",
        "request_id": "q1",
    }


@pytest.mark.parametrize("before", [b"", streamed(TextDelta("Lo"), end=False)], ids=["at once", "after output"])
def test_an_error_within_a_stream_is_raised_by_the_sdk(before: bytes):
    said: list[str | None] = []
    with client(before + gemini.error_frame(ERROR, 503, 1)) as (google, _), pytest.raises(errors.ServerError) as caught:
        said += [chunk.text for chunk in google.models.generate_content_stream(model="m", contents="hi")]
    assert (caught.value.code, caught.value.message) == (503, "slow down")


def test_an_error_within_a_stream_is_no_event_for_the_sdk_that_takes_events_for_answers():
    """Google's JavaScript SDK raises on JSON that comes by itself, and on what is left when the stream closes."""
    frame = gemini.error_frame(ERROR, 503, 1)
    assert "error" in json.loads(frame)
    assert not frame.endswith(b"\n\n")


@pytest.mark.parametrize("end", [b"", b"}"], ids=["an error", "no error"])
def test_a_stream_as_one_array(end: bytes):
    framing = Array()
    said = streamed(TextDelta("Lo"), TextDelta("om"), end=False) + (b"" if end else gemini.error_frame(ERROR, 503, 2))
    out = b"".join(framing.feed(said[at : at + 7]) for at in range(0, len(said), 7)) + framing.end()
    assert [*map(sorted, json.loads(out))][:2] == [["candidates", "modelVersion", "responseId"]] * 2
    assert ("error" in json.loads(out)[-1]) is not bool(end)
