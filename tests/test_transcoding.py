"""By way of the hub: a vendor's answer, whole or in events, as the client reads it, and what is told of it."""

from __future__ import annotations

import json
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.abilities import Abilities
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
    Damaged,
    Encoded,
    Ended,
    Facts,
    Failed,
    Finished,
    Kept,
    Message,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Text,
    TextDelta,
    ToolCall,
    Uri,
    Usage,
)
from gateway.dialects import DIALECTS, INGRESS, openai_chat
from gateway.dialects.glimpse import CallPart
from gateway.errors import CallerError, Fault, FaultKind
from gateway.sse import DONE, Splitter
from gateway.transcoding import ContinuingTranscoded, Naming, Transcoding, whole_of
from gateway.translate import Asked, Transcode, translator
from gateway.vendors import VENDORS, Vendor
from gateway.vendors.vendor import Adapted

CHAT = INGRESS["openai_chat"]
VENDOR = Vendor(name="fake", title="", docs="", base_url=None, paths={}, dialect="fake")
USAGE = Usage(input_tokens=10, output_tokens=5)
BROKEN = Fault(kind=FaultKind.OVERLOADED, message="too busy")
THOUGHT = Reasoning("hm", "s", format="fake")


class Script:
    """A stream in which each byte stands for the events at its place in a table."""

    def __init__(self, table: list[list[ChatEvent]], last: list[ChatEvent] | None = None) -> None:
        self._table, self._last = table, last or []

    def feed(self, chunk: bytes, now: float) -> list[ChatEvent]:
        return [event for byte in chunk for event in self._table[byte]]

    def end(self, now: float) -> list[ChatEvent]:
        return self._last


def transcoding(*events: ChatEvent, usage: bool = True, last: list[ChatEvent] | None = None, **more: Any) -> Any:
    """A stream whose nth byte is the nth event."""
    encoder = CHAT.stream_encoder(id="1", model="m", created=5, usage=usage)
    tool_names = more.pop("tool_names", {})
    return Transcoding(Script([[event] for event in events], last), encoder, Naming(tool_names), **more)


def run(stream: Any, size: int, end: bool = True) -> bytes:
    out = b"".join(stream.feed(bytes([place]), 0.0) for place in range(size))
    return out + (stream.end(0.0) if end else b"")


def chunks_of(out: bytes) -> list[Any]:
    frames = [frame.data for frame in Splitter().feed(out) if frame.data]
    return [data if data == b"[DONE]" else json.loads(data) for data in frames]


def text_of(out: bytes) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for chunk in chunks_of(out)
        if isinstance(chunk, dict)
        for choice in chunk["choices"]
    )


# Streams --------------------------------------------------------------------------------------------------------------

ANSWER: tuple[ChatEvent, ...] = (
    Began("msg_1", "fake-1"),
    ReasoningDelta("hm"),
    ReasoningSealed(THOUGHT),
    TextDelta("so"),
    CallBegan(0, "c", "f_", "sig"),
    CallDelta(0, "{}"),
    Counted(Usage(input_tokens=10)),
    Finished("tool_calls"),
    Counted(USAGE),
    Ended(),
)


def test_a_whole_stream():
    stream = transcoding(*ANSWER, tool_names={"f_": "f"}, keep_text=True)
    stream.price = lambda usage: 0.5
    out = run(stream, len(ANSWER))
    said = chunks_of(out)
    assert said[-1] == b"[DONE]"
    assert (said[-2]["choices"], said[-2]["usage"]["cost"]) == ([], 0.5)
    assert out.count(DONE) == 1
    assert b'"name":"f"' in out
    assert b"f_" not in out
    assert (stream.done, stream.complete, stream.fault) == (True, True, None)
    digest = stream.digest
    assert (digest.id, digest.model, digest.output, digest.usage) == ("msg_1", "fake-1", True, USAGE)
    assert digest.reasons == {0: "tool_calls"}
    assert digest.identity == {"id": "msg_1", "created": 5, "model": "fake-1"}
    assert [*digest.kept()] == [("c", Kept((THOUGHT,), "sig"))]
    heard = digest.heard(content=True)
    assert (heard.text, heard.calls[0].tool, heard.calls[0].arguments) == ("so", "f", "{}")


@given(st.lists(st.integers(0, len(ANSWER)), max_size=6))
def test_it_does_not_depend_on_the_cut(cuts: list[int]):
    places = [0, *sorted(cuts), len(ANSWER)]
    stream = transcoding(*ANSWER)
    fed = bytes(range(len(ANSWER)))
    out = b"".join(stream.feed(fed[begin:end], 0.0) for begin, end in pairwise(places))
    assert out + stream.end(0.0) == run(transcoding(*ANSWER), len(ANSWER))


# events, what the client reads last, (complete, fault)
ENDS: dict[str, tuple[list[ChatEvent], bool, FaultKind | None]] = {
    "as it should be": ([TextDelta("a"), Finished("stop"), Ended()], True, None),
    "no sign of an end": ([TextDelta("a"), Finished("stop")], True, None),
    "no finish": ([TextDelta("a")], False, None),
    "an end without a finish": ([TextDelta("a"), Ended()], False, None),
    "nothing": ([], False, None),
    "an error": ([TextDelta("a"), Failed(BROKEN)], False, FaultKind.OVERLOADED),
    "an error after the end": ([TextDelta("a"), Finished("stop"), Failed(BROKEN)], True, None),
    "an empty answer": ([Finished("stop"), Ended()], True, None),
}


@pytest.mark.parametrize(("events", "complete", "fault"), ENDS.values(), ids=ENDS)
def test_only_an_answer_that_is_whole_is_closed(events: list[ChatEvent], complete: bool, fault: FaultKind | None):
    stream = transcoding(*events)
    out = run(stream, len(events))
    assert out.endswith(DONE) == complete
    assert (stream.complete, stream.done) == (complete, complete)
    assert (stream.fault and stream.fault.kind) == fault
    assert stream.digest.output == any(isinstance(each, TextDelta | Finished) for each in events)


def test_nothing_is_handed_on_after_an_error():
    stream = transcoding(TextDelta("a"), Failed(BROKEN), TextDelta("b"), Finished("stop"))
    assert text_of(run(stream, 4)) == "a"
    assert not stream.complete


def test_all_choices_have_to_finish():
    stream = transcoding(TextDelta("a"), Finished("stop"), TextDelta("b", 1), Finished("stop", 1), choices=2)
    run(stream, 2, end=False)
    assert not stream.complete
    stream.feed(b"\x02\x03", 0.0)
    assert stream.complete


def test_damaged_events_are_counted():
    stream = transcoding(Damaged(), TextDelta("a"), Damaged())
    run(stream, 3)
    assert stream.digest.skipped == 2


def test_what_the_decoder_held_back_comes_at_the_end():
    stream = transcoding(TextDelta("a"), last=[TextDelta("b"), Finished("stop"), Counted(USAGE)])
    out = run(stream, 1)
    assert text_of(out) == "ab"
    assert chunks_of(out)[-2]["usage"]["total_tokens"] == 15


def test_usage_is_told_only_to_who_asked():
    assert b"usage" not in run(transcoding(*ANSWER, usage=False), len(ANSWER))


def test_a_continuation_says_nothing_twice():
    delivered = "The lead goose tires and falls back"
    inner = transcoding(
        TextDelta(delivered + ", and"), TextDelta(" another leads."), Finished("stop"), Counted(USAGE), Ended()
    )
    going_on = ContinuingTranscoded(inner, DIALECTS["openai_chat"], delivered, {"id": "first"}, withhold_usage=True)
    out = run(going_on, 5)
    assert text_of(out) == ", and another leads."
    assert {chunk["id"] for chunk in chunks_of(out) if isinstance(chunk, dict)} == {"first"}
    assert out.endswith(DONE)
    assert out.count(DONE) == 1
    assert b"usage" not in out
    assert going_on.digest.usage == USAGE
    assert going_on.complete


def test_a_continuation_that_fails_says_so():
    inner = transcoding(TextDelta("x" * 80), Failed(BROKEN))
    going_on = ContinuingTranscoded(inner, DIALECTS["openai_chat"], "abc", {}, withhold_usage=True)
    run(going_on, 2)
    assert going_on.fault == BROKEN


# Whole answers, and requests ------------------------------------------------------------------------------------------


def fake(**more: Any) -> Any:
    """A dialect that writes down what it is given."""
    written: dict[str, Any] = {}

    def encode_request(request: ChatRequest, able: Abilities) -> Encoded:
        written["request"], written["able"] = request, able
        return Encoded(
            body={"model": request.model}, dropped=("seed",), headers=(("x-a", "b"),), tool_names={"f_": "f"}
        )

    parts = {"NAME": "fake", "SIGNED": "fake", "REFERS": ("gs://",), "encode_request": encode_request}
    return SimpleNamespace(written=written, **parts, **more)


def body_of(*messages: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [*messages], **more}).encode()


def asked(body: bytes, **more: Any) -> Asked:
    return Asked(body, Facts(model="m"), "target", "deployed", **more)


def test_a_request_by_way_of_the_hub():
    dialect = fake()
    made = Transcode(CHAT, dialect, VENDOR, "1").request(
        asked(body_of({"role": "user", "content": "hi"}, max_tokens=700), max_tokens=100, cache=True)
    )
    assert (json.loads(made.body), made.headers, made.dropped) == ({"model": "deployed"}, (("x-a", "b"),), ("seed",))
    request = dialect.written["request"]
    assert (request.model, request.max_tokens, request.cache_automatically) == ("deployed", 100, True)
    assert request.messages == (Message("user", (Text("hi"),)),)


def test_a_vendor_has_the_last_word():
    vendor = msgspec.structs.replace(
        VENDOR, adapt=lambda body, model: Adapted({**body, "for": model}, (("x-c", "d"),), ("n",))
    )
    made = Transcode(CHAT, fake(), vendor, "1").request(asked(body_of({"role": "user", "content": "hi"})))
    assert json.loads(made.body) == {"model": "deployed", "for": "target"}
    assert (made.headers, made.dropped) == ((("x-a", "b"), ("x-c", "d")), ("seed", "n"))


@pytest.mark.parametrize(("dropped", "complete"), [(("n",), True), ((), False)])
def test_an_answer_of_a_vendor_that_gives_but_one_is_whole(dropped: tuple[str, ...], complete: bool):
    dialect = fake(stream_decoder=lambda: Script([[event] for event in ANSWER]))
    dialect.encode_request = lambda request, able: Encoded(body={}, dropped=dropped)
    translator = Transcode(CHAT, dialect, VENDOR, "1")
    translator.request(asked(body_of({"role": "user", "content": "hi"}, n=2)))
    stream = translator.stream(Facts(model="m", stream=True, choices=2), 5.0, keep_text=False)
    assert run(stream, len(ANSWER)).endswith(DONE) is complete
    assert stream.complete is complete


def test_mistakes_of_the_caller_are_raised():
    for act in (Transcode(CHAT, fake(), VENDOR, "1").fetches, Transcode(CHAT, fake(), VENDOR, "1").request):
        with pytest.raises(CallerError):
            act(asked(body_of({"role": "goose"})))


def test_what_the_vendor_would_not_fetch_is_sent_as_bytes():
    url, own = "https://a/b.png", "gs://a/b.png"
    images = [{"type": "image_url", "image_url": {"url": each, "detail": "low"}} for each in (url, own, url)]
    body = body_of({"role": "user", "content": images}, {"role": "tool", "tool_call_id": "c", "content": images[:1]})
    dialect = fake()
    translator = Transcode(CHAT, dialect, VENDOR, "1")
    assert [each.uri for each in translator.fetches(asked(body))] == [url]
    translator.request(asked(body, media={url: Blob("image", "image/png", "aGk=")}))
    messages = dialect.written["request"].messages
    brought = Blob("image", "image/png", "aGk=", detail="low")
    assert messages[0].parts == (brought, Uri("image", own, detail="low"), brought)
    assert messages[1].parts[0].parts == (brought,)


KEPT = {"c": Kept((THOUGHT, Reasoning("other", "t", format="gemini")), "sig"), "d": Kept((), "sig2")}
CALLS = [{"id": each, "type": "function", "function": {"name": "f", "arguments": "{}"}} for each in "cd"]
SIGNED = [{"type": "reasoning.text", "text": "mine", "signature": "u", "format": "anthropic-claude-v1", "index": 0}]
# What the client sends back, the thoughts that go to the vendor, and the signatures of the calls.
RECALLED: dict[str, tuple[dict[str, Any], tuple[Reasoning, ...], list[str | None]]] = {
    "nothing": ({}, (THOUGHT,), ["sig", "sig2"]),
    "the text alone": ({"reasoning_content": "hm"}, (THOUGHT,), ["sig", "sig2"]),
    "all of it": ({"reasoning_details": SIGNED}, (Reasoning("mine", "u", format="anthropic"),), [None, None]),
}


@pytest.mark.parametrize(("said", "thoughts", "signatures"), RECALLED.values(), ids=RECALLED)
def test_thoughts_the_client_did_not_send_back_are_remembered(
    said: dict[str, Any], thoughts: tuple[Reasoning, ...], signatures: list[str | None]
):
    dialect = fake()
    body = body_of({"role": "assistant", "content": "so", "tool_calls": CALLS, **said})
    Transcode(CHAT, dialect, VENDOR, "1").request(asked(body, recall=KEPT.get))
    calls = tuple(ToolCall(each, "f", signature=mark) for each, mark in zip("cd", signatures, strict=True))
    assert dialect.written["request"].messages[0].parts == (*thoughts, Text("so"), *calls)


def test_what_nobody_remembers_is_left_as_it_came():
    dialect = fake()
    body = body_of({"role": "assistant", "content": None, "tool_calls": CALLS, "reasoning_content": "hm"})
    Transcode(CHAT, dialect, VENDOR, "1").request(asked(body))
    assert dialect.written["request"].messages[0].parts[0] == Reasoning("hm")


def test_a_whole_answer():
    parts = (THOUGHT, Text("so"), ToolCall("c", "f_", "{}", "sig"))
    answer = ChatResponse(id="msg_1", model="fake-1", choices=(Choice(parts, "tool_calls"),), usage=USAGE)
    translator = Transcode(CHAT, fake(decode_answer=lambda body, now: answer), VENDOR, "1")
    translator.request(asked(body_of({"role": "user", "content": "hi"})))
    made = translator.whole(b"...", 7.9)
    assert isinstance(made, tuple)
    said, whole = made
    message = json.loads(said)["choices"][0]["message"]
    assert (message["content"], message["tool_calls"][0]["function"]["name"]) == ("so", "f")
    assert json.loads(said)["created"] == 7
    assert (whole.id, whole.model, whole.finish_reasons, whole.usage) == ("msg_1", "fake-1", ("tool_calls",), USAGE)
    assert whole.calls == (CallPart("0.0", "c", "f", "{}"),)
    assert [*whole.kept()] == [("c", Kept((THOUGHT,), "sig"))]
    failing = Transcode(CHAT, fake(decode_answer=lambda body, now: BROKEN), VENDOR, "1")
    assert failing.whole(b"...", 0.0) == BROKEN


def test_an_answer_of_nothing_tells_nothing():
    whole = whole_of(ChatResponse(choices=(Choice((), None),)))
    assert (whole.id, whole.usage, whole.finish_reasons, whole.calls) == (None, None, (None,), ())


@pytest.mark.parametrize("wants", [True, False])
def test_a_stream_by_way_of_the_hub(wants: bool):
    script = lambda: Script([[event] for event in ANSWER])  # noqa: E731
    translator = Transcode(CHAT, fake(stream_decoder=script), VENDOR, "1")
    translator.request(asked(body_of({"role": "user", "content": "hi"})))
    facts = Facts(model="m", stream=True, wants_usage=wants)
    out = run(translator.stream(facts, 5.0, keep_text=False), len(ANSWER))
    assert (b'"usage":{' in out) == wants
    assert b'"name":"f"' in out
    delivered = "so it goes on for a while"
    going_on = translator.resumed(facts, delivered, {"id": "first"}, 5.0)
    assert isinstance(going_on, ContinuingTranscoded)
    resumed = translator.resume(body_of({"role": "user", "content": "hi"}), delivered)
    assert [each["role"] for each in json.loads(resumed)["messages"]] == ["user", "assistant", "user"]


SIGNED_TURN = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": "c2ln", "format": "anthropic-claude-v1"}
            ],
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    ],
}


@pytest.mark.parametrize("vendor", ["anthropic", "openrouter"])
def test_thoughts_that_were_refused_are_left_out_and_named(vendor: str):
    body = json.dumps(SIGNED_TURN).encode()
    asked = Asked(body, openai_chat.peek(body), "m", "m")
    row = VENDORS[vendor]
    assert b"c2ln" in translator(openai_chat, row).request(asked).body
    bare = translator(openai_chat, row).request(asked._replace(bare=True))
    assert b"c2ln" not in bare.body
    assert b"call_1" in bare.body
    assert any(name.startswith("messages[1].reasoning") for name in bare.dropped), bare.dropped
