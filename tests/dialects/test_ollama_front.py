"""Ollama's API as clients speak it: requests read, answers written as its own SDK reads them, lines passed through."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

import httpx
import ollama
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.abilities import UNKNOWN, abilities
from gateway.api.framing import Lines as Framed
from gateway.chat import (
    Began,
    Blob,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatRequest,
    ChatResponse,
    Choice,
    Counted,
    Finished,
    Message,
    Output,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolCallResponse,
    Usage,
)
from gateway.dialects import DIALECTS, EGRESS, INGRESS
from gateway.dialects.ollama_answer import LONGEST_LINE
from gateway.dialects.ollama_chat import Lines
from gateway.errors import CallerError, Fault
from gateway.passing import Passing
from gateway.sse import Splitter
from gateway.transcoding import Naming, Transcoding
from tests.corpus import answers as pairs
from tests.corpus import case, cases, streams

CHAT, GENERATE = INGRESS["ollama_chat"], INGRESS["ollama_generate"]
FACE, PROMPT = DIALECTS["ollama_chat"], DIALECTS["ollama_generate"]
NOW = 1_700_000_000.0
MOMENT = "2023-11-14T22:13:20Z"
AGENT, STRUCTURED = case("ollama_chat", "agent.request.json"), case("ollama_chat", "structured.request.json")
EVERYTHING = case("ollama_generate", "everything.request.json")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def body(**said: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **said}).encode()


# At a glance ----------------------------------------------------------------------------------------------------------


def test_what_routing_needs_is_seen():
    facts = FACE.peek(AGENT)
    assert (facts.model, facts.named, facts.stream, facts.wants_usage, facts.tools) == (
        "gpt-oss",
        True,
        True,
        True,
        True,
    )
    assert facts.parameters == {
        "max_tokens": 300, "temperature": 0.5, "top_k": 40, "top_p": 0.9, "seed": 0,
        "stop_sequences": ["END"], "reasoning.level": "high",
    }  # fmt: skip
    facts = FACE.peek(STRUCTURED)
    assert (facts.stream, facts.structured, facts.tools, facts.parameters) == (False, True, False, {})
    assert PROMPT.peek(EVERYTHING).operation == "chat"


@pytest.mark.parametrize(("stream", "streams"), [(None, True), (True, True), (False, False)])
def test_it_streams_unless_told_not_to(stream: bool | None, streams: bool):
    assert FACE.peek(body(stream=stream)).stream is CHAT.decode_request(body(stream=stream)).stream is streams


def test_odd_options_are_told_of_nobody():
    facts = FACE.peek(body(options={"temperature": "hot", "stop": 5, "seed": True}, format="", think={}))
    assert (facts.parameters, facts.structured) == ({}, False)
    assert FACE.peek(body(options=[1])).parameters == {}


# Into the hub ---------------------------------------------------------------------------------------------------------


def test_a_conversation_is_read():
    read = CHAT.decode_request(AGENT)
    calls = (
        ToolCall("call_a", "read", '{"path":"a.txt"}'),
        ToolCall("call_2_1", "read", '{"path":"ü.txt","deep":{"list":[1,2.5,null]}}'),
    )
    assert read.messages == (
        Message("system", (Text("You write files."),)),
        Message("user", (Text("What is in this?"), Blob("image", "image/png", PNG))),
        Message("assistant", (Reasoning("I should look."), *calls)),
        Message("tool", (ToolCallResponse("call_a", "read", (Text("first"),)),)),
        Message("tool", (ToolCallResponse("call_2_1", "read", (Text("second"),)),)),
        Message("assistant", (Text("Two files."),)),
        Message("user", (Text("Thanks; go on."),)),
    )
    assert (read.model, read.stream, read.max_tokens, read.temperature, read.top_k) == ("gpt-oss", True, 300, 0.5, 40)
    assert (read.top_p, read.seed, read.stop, read.thinking) == (0.9, 0, ("END",), Thinking("high"))
    assert [tool.name for tool in read.tools] == ["read"]
    assert read.extra == {"options.num_ctx": 8192, "keep_alive": "5m"}


def test_what_else_can_be_asked_for_is_read():
    read = CHAT.decode_request(STRUCTURED)
    assert read.output == Output(json.loads(STRUCTURED)["format"])
    assert (read.thinking, read.max_tokens, read.logprobs, read.top_logprobs) == (Thinking("none"), None, True, 3)
    assert CHAT.decode_request(body(format="json")).output == Output()
    assert CHAT.decode_request(body(think=True)).thinking == Thinking("medium")
    assert CHAT.decode_request(body(format="", think=None, options=None, tools=None)).extra == {}


def test_images_are_known_by_their_first_bytes():
    images = ["/9j/4AAQ", "R0lGODlh", "UklGRiQA", "Qk02", "data:image/webp;base64,AAAA", "anything"]
    read = CHAT.decode_request(body(messages=[{"role": "user", "content": "?", "images": images}]))
    said = read.messages[0].parts[1:]
    assert [part.mime_type for part in said if isinstance(part, Blob)] == [
        "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/webp", "image/png",
    ]  # fmt: skip


def test_a_tool_may_answer_with_an_image():
    read = CHAT.decode_request(body(messages=[{"role": "tool", "content": "see", "images": [PNG], "tool_name": "t"}]))
    assert read.messages[0].parts[0].parts == (Text("see"), Blob("image", "image/png", PNG))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "messages"),
    "a role that is none": ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    "content that is a number": ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    "images that are text": ({"messages": [{"role": "user", "content": "", "images": "x"}]}, "messages[0].images"),
    "an image that is none": ({"messages": [{"role": "user", "images": [5]}]}, "messages[0].images[0]"),
    "options that are a list": ({"options": []}, "options"),
    "a limit that is text": ({"options": {"num_predict": "5"}}, "options.num_predict"),
    "a stop that is a number": ({"options": {"stop": 5}}, "options.stop"),
    "a format that is none": ({"format": "xml"}, "format"),
    "a level that is none": ({"think": "enormous"}, "think"),
    "a think that is a number": ({"think": 5}, "think"),
    "tools that are text": ({"tools": "x"}, "tools"),
}


@pytest.mark.parametrize(("said", "param"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_the_callers_fault(said: dict[str, Any], param: str):
    with pytest.raises(CallerError) as caught:
        CHAT.decode_request(body(**said))
    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_prompt_is_what_a_user_says():
    read = GENERATE.decode_request(case("ollama_generate", "plain.request.json"))
    assert read.messages == (Message("system", (Text("Be brief."),)), Message("user", (Text("Why is the sky blue?"),)))
    assert (read.model, read.stream, read.temperature, read.extra) == ("llama3.1", True, 0, {})


def test_what_only_a_bare_model_can_be_told_is_named():
    read = GENERATE.decode_request(EVERYTHING)
    assert read.messages == (Message("user", (Text("def f():"), Blob("image", "image/jpeg", "/9j/4AAQSkZJRg=="))),)
    assert (read.output, read.stop, read.thinking, read.stream) == (Output(), ("\n\n",), Thinking("medium"), False)
    told = EGRESS["ollama_chat"].encode_request(read, UNKNOWN)
    assert set(told.dropped) == {"suffix", "template", "raw", "context"}
    assert told.body["keep_alive"] == 0
    assert told.body["options"] == {"stop": ["\n\n"], "num_ctx": 4096}
    others = EGRESS["anthropic_messages"].encode_request(read, abilities("claude-sonnet-4-5"))
    assert {"suffix", "template", "raw", "context", "options.num_ctx", "keep_alive"} <= set(others.dropped)


def test_a_prompt_is_needed():
    with pytest.raises(CallerError, match="loads no models") as caught:
        GENERATE.decode_request(b'{"model":"m"}')
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("sent", cases("ollama_chat", "request.json"))
def test_what_is_read_and_written_again_reads_the_same(sent: bytes):
    read = CHAT.decode_request(sent)
    written = EGRESS["ollama_chat"].encode_request(read, UNKNOWN)
    assert written.dropped == ()
    again = CHAT.decode_request(json.dumps(written.body).encode())
    assert again == read


KEYS = st.sampled_from(["role", "content", "images", "tool_calls", "function", "options", "stop", "x"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(anything=ANYTHING)
@pytest.mark.parametrize("name", ["messages", "options", "tools", "format", "think", "prompt", "images", "system"])
def test_whatever_comes_is_read_or_refused(name: str, anything: Any):
    sent = body(**{"prompt": "x", name: anything})
    for dialect in (CHAT, GENERATE):
        with contextlib.suppress(CallerError):
            assert isinstance(dialect.decode_request(sent), ChatRequest)
    for face in (FACE, PROMPT):
        for message in face.conversation(sent).messages:
            message.said()
        with contextlib.suppress(CallerError):
            face.peek(sent)


# Turns ----------------------------------------------------------------------------------------------------------------


def test_the_conversation_is_told():
    read = FACE.conversation(AGENT)
    assert [each.role for each in read.messages] == [
        "system", "user", "assistant", "tool", "tool", "assistant", "user",
    ]  # fmt: skip
    assert read.tools == ("read",)
    assert (read.messages[1].said().text, read.messages[1].said().images) == ("What is in this?", 1)
    calls = read.messages[2].calls(2)
    assert [(call.id, call.tool, call.readable) for call in calls] == [("call_a", "read", True), ("2.1", "read", True)]
    assert [each.answers for each in read.messages[3:5]] == ["call_a", ""]
    other = AGENT.replace(b"iVBORw0KGgo", b"iVBORw0KGgp")
    assert FACE.conversation(other).fingerprint() != read.fingerprint() == FACE.conversation(AGENT).fingerprint()


def test_a_prompt_is_a_conversation_of_one():
    read = PROMPT.conversation(case("ollama_generate", "plain.request.json"))
    assert [(each.role, each.said().text) for each in read.messages] == [
        ("system", "Be brief."), ("user", "Why is the sky blue?"),
    ]  # fmt: skip
    assert PROMPT.conversation(EVERYTHING).messages[0].said().images == 1


# Changed for a vendor -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", cases("ollama_chat", "request.json"))
def test_only_the_model_is_another(sent: bytes):
    written = json.loads(FACE.rewrite(sent, "theirs"))
    assert written == {**json.loads(sent), "model": "theirs"}


@pytest.mark.parametrize(
    ("options", "limit"), [(None, 50), ({"num_predict": 300}, 50), ({"num_predict": 10}, 10), ({"num_predict": -1}, 50)]
)
def test_a_limit_is_put_among_the_options(options: Any, limit: int):
    sent = body(options={**options, "seed": 1}) if options else body()
    told = json.loads(FACE.rewrite(sent, "m", max_tokens=50))["options"]
    assert told == {**({"seed": 1} if options else {}), "num_predict": limit}


def test_thoughts_stay_unless_there_are_to_be_none():
    assert FACE.cleared(AGENT, False).body is AGENT
    bare = FACE.cleared(AGENT, True)
    assert bare.dropped == ("messages[2].thinking",)
    assert "thinking" not in json.loads(bare.body)["messages"][2]
    assert FACE.cleared(STRUCTURED, True).body is STRUCTURED


def test_instructions_come_first():
    prompt = [{"role": "developer", "content": "one"}, {"role": "user", "content": "two"}]
    written = json.loads(FACE.prepended(STRUCTURED, prompt))["messages"]
    assert [(each["role"], each["content"]) for each in written] == [
        ("system", "one"), ("user", "two"), ("user", "A colour, please"),
    ]  # fmt: skip
    written = json.loads(PROMPT.prepended(case("ollama_generate", "plain.request.json"), prompt))
    assert (written["system"], written["prompt"]) == ("one\n\nBe brief.", "two\n\nWhy is the sky blue?")
    assert PROMPT.prepended(b"no", prompt) == b"no"


def test_a_plan_is_asked_for_with_the_images():
    asked = json.loads(FACE.planning(AGENT, "Plan.", "The plan?") or b"")
    assert "tools" not in asked
    assert "stream" not in asked
    first, *others = asked["messages"]
    assert first["content"].startswith("Plan.")
    assert others[0] == {"role": "user", "content": "What is in this?", "images": [PNG]}
    assert "[called read" in others[1]["content"]
    assert others[-1]["content"].endswith("The plan?")
    assert FACE.planning(b"{}", "Plan.", "?") is None
    CHAT.decode_request(json.dumps(asked).encode())


def test_a_note_is_among_the_instructions():
    assert json.loads(FACE.noted(AGENT, "Note.") or b"")["messages"][0]["content"] == "You write files.\n\nNote."
    told = json.loads(PROMPT.noted(EVERYTHING, "Note.") or b"")
    assert told == {**json.loads(EVERYTHING), "system": "Note."}


def test_what_broke_off_is_gone_on_with():
    asked = json.loads(FACE.continuation(STRUCTURED, "Bl", None))
    assert asked["messages"][1] == {"role": "assistant", "content": "Bl"}
    assert [each["role"] for each in asked["messages"]] == ["user", "assistant", "user"]


# The wire -------------------------------------------------------------------------------------------------------------

STREAMS = [pytest.param(stream, id=name) for name, stream in streams("ollama_chat").items()]


def events_of(pieces: list[bytes]) -> bytes:
    lines = Lines()
    return b"".join(lines.feed(piece, NOW) for piece in pieces) + lines.end(NOW)


@pytest.mark.parametrize("stream", STREAMS)
def test_lines_become_events_and_lines_again_however_they_are_cut(stream: bytes):
    whole = events_of([stream])
    assert events_of([stream[at : at + 1] for at in range(len(stream))]) == whole
    for at in range(1, len(stream), 7):
        assert events_of([stream[:at], stream[at:]]) == whole
    assert events_of([stream.replace(b"\n", b"\r\n")]) != b""
    framed = Framed()
    back = framed.feed(whole) + framed.end()
    assert back.split() == stream.split()


def test_a_line_without_end_is_a_fault():
    lines = Lines()
    assert lines.feed(b"x" * LONGEST_LINE, NOW) == b""
    assert lines.fault is None
    lines.feed(b"x", NOW)
    assert isinstance(lines.fault, Fault)
    assert lines.feed(b"{}\n", NOW) == b""


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_passes_as_it_came(stream: bytes):
    sent = events_of([stream])
    passing = Passing(FACE, keep_text=True)
    out = passing.feed(sent, NOW) + passing.end(NOW)
    if passing.fault:
        assert passing.fault.message
        return
    assert passing.complete
    assert [json.loads(frame.data or b"") for frame in Splitter().feed(out)] == [
        line for line in map(loaded, stream.splitlines()) if line
    ]
    decoder = EGRESS["ollama_chat"].stream_decoder()
    read = [*decoder.feed(stream, NOW), *decoder.end(NOW)]
    assert "".join(passing.digest.text) == "".join(each.text for each in read if isinstance(each, TextDelta))
    assert len(passing.digest.calls) == sum(isinstance(each, CallBegan) for each in read)
    assert passing.digest.usage == next((each.usage for each in read if isinstance(each, Counted)), None)
    assert passing.digest.finish_reason is not None


def loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


@pytest.mark.parametrize(("response", "stream"), pairs("ollama_chat"))
def test_a_whole_answer_is_seen_as_it_is(response: bytes, stream: bytes):
    seen, read = FACE.read_whole(response, NOW), EGRESS["ollama_chat"].decode_answer(response, NOW)
    assert not isinstance(seen, Fault)
    assert isinstance(read, ChatResponse)
    parts = read.choices[0].parts
    assert FACE.spoken(response) == "".join(part.content for part in parts if isinstance(part, Text))
    assert [(call.tool, call.arguments) for call in seen.calls] == [
        (part.name, part.arguments) for part in parts if isinstance(part, ToolCall)
    ]
    assert (seen.usage, seen.finish_reasons) == (read.usage, (read.choices[0].finish_reason,))


@pytest.mark.parametrize("said", [b"", b"[]", b'{"model":"m"}', b'{"error":"model \\"m\\" not found"}', b"\xff"])
def test_what_is_no_answer_is_a_fault(said: bytes):
    assert isinstance(FACE.read_whole(said, NOW), Fault)
    assert FACE.spoken(said) == ""


# Answers, as Ollama's own SDK reads them ------------------------------------------------------------------------------

ARGUMENTS = {"city": "Zürich", "days": [1, 2]}
PARTS = (
    Reasoning("Let me see. ", "signed", format="anthropic"),
    Text("Two calls."),
    ToolCall("call_1", "weather", json.dumps(ARGUMENTS)),
    ToolCall("", "clock", ""),
)
USAGE = Usage(input_tokens=11, output_tokens=5)
EVENTS: list[ChatEvent] = [
    Began("answer-1", "served"),
    ReasoningDelta("Let me "),
    ReasoningDelta("see. "),
    TextDelta("Two "),
    CallBegan(0, "call_1", "weather"),
    CallDelta(0, '{"city": "Zür'),
    CallBegan(1, "", "clock"),
    TextDelta("calls."),
    CallDelta(0, 'ich", "days": [1, 2]}'),
    Counted(USAGE),
    Finished("tool_calls"),
]


def client(answer: bytes, status: int = 200) -> ollama.Client:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=answer, headers={"content-type": "application/json"})

    return ollama.Client("http://gateway", transport=httpx.MockTransport(handle))


def lines_of(events: list[ChatEvent], dialect: Any = CHAT, usage: Usage | None = USAGE) -> bytes:
    encoder, framed = dialect.stream_encoder(id="x", model="asked", created=int(NOW), usage=True, asked=b""), Framed()
    out = b"".join(framed.feed(encoder.feed(each)) for each in events)
    out += framed.feed(encoder.end(usage, None)) + framed.end()
    assert encoder.place == out.count(b"\n")
    return out


def test_a_whole_answer_is_read_by_the_sdk():
    answer = ChatResponse(id="a", model="", choices=(Choice(PARTS, "tool_calls"),), usage=USAGE)
    written = CHAT.encode_answer(answer, id="x", model="asked", created=int(NOW), asked=b"")
    read = client(written).chat("asked", [{"role": "user", "content": "?"}])
    assert (read.model, read.created_at, read.done, read.done_reason) == ("asked", MOMENT, True, "stop")
    assert (read.prompt_eval_count, read.eval_count) == (11, 5)
    assert (read.message.content, read.message.thinking) == ("Two calls.", "Let me see. ")
    assert [(call.function.name, call.function.arguments) for call in read.message.tool_calls or ()] == [
        ("weather", ARGUMENTS), ("clock", {}),
    ]  # fmt: skip
    ids = [call["id"] for call in json.loads(written)["message"]["tool_calls"]]
    assert ids[0] == "call_1"
    assert ids[1].startswith("call_")


def test_a_stream_is_read_by_the_sdk():
    read = list(client(lines_of(EVENTS)).chat("asked", [{"role": "user", "content": "?"}], stream=True))
    assert {(each.model, each.created_at) for each in read} == {("served", MOMENT)}
    assert "".join(each.message.content or "" for each in read) == "Two calls."
    assert "".join(each.message.thinking or "" for each in read) == "Let me see. "
    calls = [call for each in read for call in each.message.tool_calls or ()]
    assert [(call.function.name, call.function.arguments) for call in calls] == [("weather", ARGUMENTS), ("clock", {})]
    assert [each.done for each in read] == [False] * (len(read) - 1) + [True]
    assert (read[-1].done_reason, read[-1].prompt_eval_count, read[-1].eval_count) == ("stop", 11, 5)


def test_a_prompts_answer_is_read_by_the_sdk():
    answer = ChatResponse(choices=(Choice((Reasoning("Hm."), Text("Blue")), "length"),), usage=USAGE)
    written = GENERATE.encode_answer(answer, id="x", model="asked", created=int(NOW), asked=b"")
    read = client(written).generate("asked", "?")
    assert (read.response, read.thinking, read.done, read.done_reason) == ("Blue", "Hm.", True, "length")
    told: list[ChatEvent] = [ReasoningDelta("Hm."), TextDelta("Bl"), TextDelta("ue"), Finished("length")]
    streamed = list(client(lines_of(told, GENERATE)).generate("asked", "?", stream=True))
    assert "".join(each.response or "" for each in streamed) == "Blue"
    assert "".join(each.thinking or "" for each in streamed) == "Hm."
    assert (streamed[-1].done, streamed[-1].done_reason, streamed[-1].eval_count) == (True, "length", 5)


def test_logprobs_are_where_ollama_has_them():
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1, "top_logprobs": [{"token": "Hi", "logprob": -0.1}]}]}
    answer = ChatResponse(choices=(Choice((Text("Hi"),), "stop", logprobs),))
    written = CHAT.encode_answer(answer, id="x", model="m", created=0, asked=b"")
    read = client(written).chat("m", [])
    assert read.logprobs
    assert (read.logprobs[0].token, read.prompt_eval_count) == ("Hi", None)


def test_a_refusal_is_what_was_said():
    answer = ChatResponse(choices=(Choice((Refusal("I will not."),), "content_filter"),))
    read = client(CHAT.encode_answer(answer, id="x", model="m", created=0, asked=b"")).chat("m", [])
    assert (read.message.content, read.done_reason) == ("I will not.", "content_filter")
    told: list[ChatEvent] = [RefusalDelta("No."), Finished("content_filter")]
    first, *_ = client(lines_of(told, usage=None)).chat("m", [], stream=True)
    assert first.message.content == "No."


@pytest.mark.parametrize("arguments", ["[1]", '"text"', "not json", "12"])
def test_arguments_that_are_no_object_are_put_into_one(arguments: str):
    answer = ChatResponse(choices=(Choice((ToolCall("c", "t", arguments),), "tool_calls"),))
    read = client(CHAT.encode_answer(answer, id="x", model="m", created=0, asked=b"")).chat("m", [])
    assert list((read.message.tool_calls or [])[0].function.arguments) == ["arguments"]


ERROR = {
    "message": "no such model", "type": "invalid_request_error", "code": "model_not_found", "param": "model",
    "origin": "vendor", "provider": "p", "model": "m", "upstream": None, "attempts": [], "request_id": "x",
}  # fmt: skip


def test_an_error_is_raised_by_the_sdk():
    with pytest.raises(ollama.ResponseError) as caught:
        client(FACE.error_body(ERROR, 404), 404).chat("m", [])
    assert (caught.value.error, caught.value.status_code) == ("no such model", 404)
    with pytest.raises(ollama.ResponseError) as caught:
        list(client(FACE.error_body(ERROR, 404), 404).chat("m", [], stream=True))
    assert (caught.value.error, caught.value.status_code) == ("no such model", 404)
    framed = Framed()
    broken = lines_of(EVENTS[:5]).rpartition(b'{"model"')[0] + framed.feed(FACE.error_frame(ERROR, 502, 3))
    heard = []
    with pytest.raises(ollama.ResponseError, match="no such model"):
        heard += client(broken).chat("m", [], stream=True)
    assert json.loads(FACE.error_body(ERROR, 404))["request_id"] == "x"


def test_another_gateway_understands_the_error():
    fault = FACE.glimpse(Splitter().feed(FACE.error_frame(ERROR, 404, 0))[0], NOW).fault
    assert fault
    assert (fault.message, fault.code, fault.type) == ("no such model", "model_not_found", "invalid_request_error")


def assembled(out: bytes) -> tuple[str, str, list[Any], Any]:
    """What a client puts together of the events of a stream."""
    said = [json.loads(frame.data or b"") for frame in Splitter().feed(out)]
    messages = [line["message"] for line in said]
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    text = "".join(message["content"] for message in messages)
    assert [line["done"] for line in said] == [False] * (len(said) - 1) + [True]
    return text, "".join(message.get("thinking", "") for message in messages), calls, said[-1]["done_reason"]


ARROWS = [
    pytest.param(dialect, *pair.values, id=f"{dialect}-{pair.id}") for dialect in EGRESS for pair in pairs(dialect)
]


@pytest.mark.parametrize(("dialect", "response", "stream"), ARROWS)
def test_every_vendors_stream_put_together_is_its_whole_answer(dialect: str, response: bytes, stream: bytes):
    whole = EGRESS[dialect].decode_answer(response, NOW)
    assert isinstance(whole, ChatResponse)
    encoder = CHAT.stream_encoder(id="x", model="m", created=int(NOW), usage=True, asked=b"")
    made = Transcoding(EGRESS[dialect].stream_decoder(), encoder, Naming())
    out = made.feed(stream, NOW) + made.end(NOW)
    written = CHAT.encode_answer(whole, id="x", model="m", created=int(NOW), asked=b"")
    message = json.loads(written)["message"]
    text, thinking, calls, reason = assembled(out)
    assert (text, thinking) == (message["content"], message.get("thinking", ""))
    assert [call["function"] for call in calls] == [call["function"] for call in message.get("tool_calls", ())]
    assert reason == json.loads(written)["done_reason"]
    assert not isinstance(FACE.read_whole(written, NOW), Fault)


# Going on -------------------------------------------------------------------------------------------------------------


def test_lines_of_a_continuation_are_those_of_the_first_answer():
    first, second = Splitter().feed(events_of([case("ollama_chat", "plain.stream.ndjson")]))[:2]
    shared = FACE.identity(first)
    assert shared.keys() == {"model", "created_at"}
    stamped = Splitter().feed(FACE.restamp(second, {**shared, "model": "one"}, "new"))[0]
    said = json.loads(stamped.data or b"")
    assert (said["model"], said["created_at"], said["message"]["content"]) == ("one", shared["created_at"], "new")
    assert FACE.identity(first._replace(data=b"no")) == {}
    assert FACE.restamp(first._replace(data=b"no"), shared, None) == first.raw


# Cost -----------------------------------------------------------------------------------------------------------------


def steps(work: Callable[[], Any]) -> int:
    """Python's own calls, which a quadratic loop multiplies."""
    count = 0

    def seen(frame: Any, what: str, arg: Any) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_long_stream_costs_as_much_as_its_length():
    def work(calls: int) -> int:
        told: list[ChatEvent] = [CallBegan(at, f"c{at}", "t") for at in range(calls)]
        told += [CallDelta(at, "{}") for at in range(calls)]
        return steps(lambda: lines_of([*told, Finished("tool_calls")]))

    assert work(400) < 2.5 * work(200)
