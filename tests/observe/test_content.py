"""Conversations wait as they came, in little room, and are put into words by who sends them, once and in bounds."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from gateway.abilities import UNKNOWN
from gateway.chat import Called, Heard
from gateway.dialects import DIALECTS, EGRESS, INGRESS
from gateway.observe import content
from gateway.observe.content import (
    FIRST,
    LONGEST,
    MOST_MESSAGES,
    MOST_TEXT,
    Messages,
    Room,
    input_messages,
    output_messages,
)
from gateway.observe.export import TAKEN, Answer
from gateway.observe.protobuf import encode
from gateway.observe.traces import Audience
from tests.backends.otlp import spans_in
from tests.observe.test_export import Ledger, shipper
from tests.observe.test_traces import CANARY, HEARD, Story, telling, traces

WAYS = ("gen_ai.input.messages", "gen_ai.output.messages")


class Packing:
    """An exporter that keeps what it would send."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def pack(self, spans: Sequence[ReadableSpan]) -> bytes:
        return encode(spans)

    def send(self, packed: bytes, timeout: float) -> Answer:
        self.sent.append(packed)
        return TAKEN

    def close(self) -> None: ...

    def told(self) -> list[dict[str, Any]]:
        return [
            span.attributes
            for packed in self.sent
            for span in spans_in(packed)
            if "gen_ai.operation.name" in span.attributes
        ]


def test_two_ways_out_share_one_reading_in_a_thread_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    redacted = content.redacted

    def reading(text: str) -> str:
        read.append(threading.current_thread().name)
        return redacted(text)

    monkeypatch.setattr(content, "redacted", reading)
    exporters = [Packing(), Packing()]
    shippers = [shipper(each, Ledger()) for each in exporters]
    sink = traces(*(Audience(each.offer) for each in shippers), content="full")
    record = telling().record
    assert record.finished is not None
    sink.take(record.finished, record)
    in_the_loop = len(read)
    sink.settle()
    for each in shippers:
        each.close(20)
    # Three texts asked, a text and a call's arguments answered.
    assert (in_the_loop, len(read)) == (0, 5)
    assert all(name.startswith("export-") for name in read)
    assert [CANARY in call[way] for each in exporters for call in each.told() for way in WAYS] == [True] * 4


def test_what_was_told_is_let_go_of() -> None:
    room, body = Room(1000), b'{"messages":[{"role":"user","content":"' + b"x" * 500 + b'"}]}'
    before = sys.getrefcount(body)
    assert room.take(len(body))
    messages = Messages(lambda body=body: input_messages(body, "truncated"), len(body), room, _nobody)
    assert sys.getrefcount(body) > before
    assert not room.take(600)
    written = messages.written()
    assert sys.getrefcount(body) == before
    assert written is not None
    assert messages.written() is written
    assert not room.take(1001 - len(written)), "what was made of it takes room in its place"
    assert room.take(1000 - len(written))
    room.give_back(1000 - len(written))
    del messages
    assert room.take(1000)


def _nobody(sink: str, reason: str, count: int) -> None:
    raise AssertionError((sink, reason, count))


def _story(body: bytes, heard: Heard = HEARD) -> Story:
    return Story().understood(body=body).attempt().output().answered(heard=heard).finished(heard=heard)


def test_past_so_many_bytes_content_is_left_out() -> None:
    """That of one exchange, whether it is worked out, sent or thrown away, makes room for that of another."""
    lost: list[tuple[str, str, int]] = []
    kept: list[ReadableSpan] = []
    room = Room(1000)
    sink = traces(Audience(kept.extend), content="full", room=room, lost=lambda *what: lost.append(what))
    asked = msgspec.json.encode({"messages": [{"role": "user", "content": CANARY * 30}]})

    def told() -> set[str]:
        record = _story(asked, Heard(text="x" * 100)).record
        assert record.finished is not None
        sink.take(record.finished, record)
        sink.settle()
        return {name for name in kept[-2].attributes if "content" in name or name in WAYS}

    assert (told(), lost) == (set(WAYS), [])
    assert told() == {"skein.content.left_out"}
    assert lost == [("content", "queue_full", 1)]
    assert kept[-2].attributes["skein.content.left_out"] == "queue_full"
    kept.clear()
    assert (told(), len(lost)) == (set(WAYS), 1)
    encode(kept)
    kept.clear()
    assert (told(), len(lost)) == (set(WAYS), 1)


def test_a_defect_in_the_reading_costs_the_content_alone() -> None:
    lost: list[tuple[str, str, int]] = []

    def fails() -> bytes:
        raise RuntimeError(CANARY)

    (span, *_) = spans_of(_story(b""))
    span._attributes = {WAYS[0]: Messages(fails, 0, Room(), lambda *what: lost.append(what)), "a": "b"}
    for _ in range(2):
        (sent,) = spans_in(encode([span]))
        assert sent.attributes == {"a": "b"}
    assert lost == [("content", "crashed", 1)]


def spans_of(story: Story) -> list[ReadableSpan]:
    kept: list[ReadableSpan] = []
    sink = traces(Audience(kept.extend), content="full")
    assert story.record.finished is not None
    sink.take(story.record.finished, story.record)
    sink.settle()
    return kept


# Bounds


def texts(written: bytes | None) -> list[str]:
    """The texts of a conversation of texts."""
    assert written is not None
    return [part["content"] for message in json.loads(written) for part in message["parts"]]


def conversation(lengths: Sequence[int], letter: str = "x") -> bytes:
    said = [{"role": "user", "content": f"{place} ".ljust(length, letter)} for place, length in enumerate(lengths)]
    return msgspec.json.encode({"messages": said})


SMALL, LARGE, HUGE = 100, 20_000, 2_000_000

# lengths of the messages, level -> how many are told at the start and at the end, and how many are not
BOUNDS: dict[str, tuple[list[int], Any, int, int, int]] = {
    "a few": ([SMALL] * 5, "full", 5, 0, 0),
    "a hundred, truncated": ([SMALL] * MOST_MESSAGES, "truncated", MOST_MESSAGES, 0, 0),
    "more, truncated": ([LARGE] * 1000, "truncated", FIRST, MOST_MESSAGES - FIRST, 900),
    "as many as there is room for": ([SMALL] * 500, "full", 500, 0, 0),
    "large ones": ([SMALL] * FIRST + [LARGE] * 50, "full", FIRST, 7, 43),
    "a huge beginning": ([HUGE] * FIRST + [SMALL] * 50, "full", FIRST + 50, 0, 0),
    "a huge end": ([SMALL] * 50 + [HUGE], "full", FIRST, 1, 46),
    "one": ([HUGE], "full", 1, 0, 0),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_middle_is_left_out(name: str) -> None:
    lengths, level, first, last, left_out = BOUNDS[name]
    written = texts(input_messages(conversation(lengths), level))
    longest = LONGEST if level == "truncated" else MOST_TEXT
    assert sum(len(text.encode()) - len("…".encode()) for text in written) <= MOST_TEXT
    assert all(len(text) <= longest + 1 for text in written)
    between = [f"[{left_out} messages left out]"] if left_out else []
    assert written[first : len(written) - last] == between
    places = [text.split(" ")[0] for text in written if text not in between]
    expected = [*range(first), *range(len(lengths) - last, len(lengths))]
    assert [int(place) for place in places if place != "…"] == [
        each for each, place in zip(expected, places, strict=True) if place != "…"
    ]
    assert written[-1] != "…", "what was said last is told"


@pytest.mark.parametrize(
    "body",
    [
        conversation([HUGE], "蛇"),
        msgspec.json.encode(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 50}] * 100_000}]}
        ),
        msgspec.json.encode(
            {"messages": [{"role": "tool", "content": [{"type": "text", "text": "x" * 50}] * 100_000}]}
        ),
        msgspec.json.encode({"messages": [{"role": "x" * HUGE, "content": ""}] * 100}),
        msgspec.json.encode({"messages": [{}] * 1_000_000}),
        msgspec.json.encode({"input": ["x" * 50] * 100_000}),
        msgspec.json.encode(
            {
                "messages": [
                    {"tool_calls": [{"id": "x" * HUGE, "function": {"name": "x" * HUGE, "arguments": "x" * HUGE}}]},
                    {"role": "tool", "tool_call_id": {"x": "x" * HUGE}, "content": "x"},
                    {"role": "user", "content": [{"type": "x" * HUGE}] * 3},
                    {"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "x" * HUGE}}]},
                ]
            }
        ),
    ],
    ids=["wide", "parts", "results", "roles", "nothing", "embeddings", "names"],
)
@pytest.mark.parametrize("level", ["truncated", "full"])
def test_an_attribute_is_bounded_whatever_is_asked(body: bytes, level: Any) -> None:
    written = input_messages(body, level)
    assert written is not None
    # What is around the last text comes on top.
    assert len(written) < MOST_TEXT + 64 * 1024


def test_an_attribute_is_bounded_whatever_is_answered() -> None:
    heard = Heard(text="x" * HUGE, calls=tuple(Called("x" * HUGE, "x" * HUGE, "x" * HUGE) for _ in range(100)))
    for level in ("truncated", "full"):
        written = output_messages(heard, level)
        assert written is not None
        assert len(written) < MOST_TEXT + 64 * 1024
        assert json.loads(written)[0]["parts"][-1] == {"type": "text", "content": "[more parts left out]"}


def test_no_more_is_looked_at_than_may_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut out as a file in a URL leaves little: it is the looking that costs."""
    looked: list[int] = []
    redacted = content.redacted
    monkeypatch.setattr(content, "redacted", lambda text: looked.append(len(text)) or redacted(text))
    file = "data:image/png;base64," + "x" * MOST_TEXT
    input_messages(msgspec.json.encode({"messages": [{"content": file}] * 100}), "full")
    assert sum(looked) <= MOST_TEXT + 1000 * len(looked)


def test_a_secret_on_the_cut_does_not_leave() -> None:
    secret = "sk-proj-abcdefghij0123456789"
    for level, longest in (("truncated", LONGEST), ("full", MOST_TEXT)):
        body = msgspec.json.encode({"messages": [{"content": "x " * (longest // 2 - 5) + secret + " x" * longest}]})
        (text,) = texts(input_messages(body, level))  # type: ignore[arg-type]
        assert "sk-proj" not in text
        assert text.endswith("…")


SECRET = "sk-proj-abcdefghij0123456789"
SIGNED = "c2lnbmVk" * 10
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAAN"}}
ASKED = {
    "model": "m",
    "max_tokens": 100,
    "messages": [
        {"role": "system", "content": f"You are an agent. Your key is {SECRET}."},
        {"role": "user", "content": "List the files."},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "A shell is at hand.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "shell", "arguments": f'{{"command":"TOKEN={SECRET} ls"}}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": f"{SECRET}\na.txt"},
        {"role": "user", "content": [{"type": "text", "text": "And this?"}, IMAGE]},
    ],
    "tools": [{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}],
}


@pytest.mark.parametrize("dialect", [dialect for dialect in INGRESS if dialect in EGRESS])
def test_a_conversation_is_told_whatever_dialect_it_comes_in(dialect: str) -> None:
    request = INGRESS["openai_chat"].decode_request(msgspec.json.encode(ASKED))
    body = msgspec.json.encode(EGRESS[dialect].encode_request(request, UNKNOWN).body)
    written = input_messages(body, "full", dialect)
    assert written is not None
    assert SECRET.encode() not in written
    assert b"iVBORw0KGgo" not in written
    said = [(each["role"], part) for each in json.loads(written) for part in each["parts"]]
    texts = [(role, part["content"]) for role, part in said if part["type"] == "text"]
    assert texts == [
        ("system", "You are an agent. Your key is [redacted]."),
        ("user", "List the files."),
        ("user", "And this?"),
    ]
    assert [json.loads(part["arguments"]) for _, part in said if part["type"] == "tool_call"] == [
        {"command": "TOKEN=[redacted] ls"}
    ]
    assert [(role, part["response"]) for role, part in said if part["type"] == "tool_call_response"] == [
        ("tool", "[redacted]\na.txt")
    ]


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name not in INGRESS and name != "openai_embeddings"])
def test_what_asks_for_counts_or_vectors_holds_no_conversation(dialect: str) -> None:
    assert (
        input_messages(b'{"input":"x","contents":[],"messages":[{"role":"user","content":"x"}]}', "full", dialect)
        is None
    )


@pytest.mark.parametrize("dialect", INGRESS)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"messages":3,"contents":3,"input":3,"prompt":3}'])
def test_what_cannot_be_read_in_a_dialect_is_not_told(dialect: str, body: bytes) -> None:
    assert input_messages(body, "full", dialect) in (None, b"[]")


THINKING = {
    "anthropic_messages": {
        "max_tokens": 9,
        "messages": [
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "A thought.", "signature": SIGNED}]},
            {"role": "user", "content": "x" * HUGE},
        ],
    },
    "gemini": {
        "contents": [
            {"role": "model", "parts": [{"text": "A thought.", "thought": True, "thoughtSignature": SIGNED}]},
            {"role": "user", "parts": [{"text": "x" * HUGE}]},
        ]
    },
    "openai_responses": {
        "input": [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "A thought."}],
                "encrypted_content": SIGNED,
            },
            {"role": "user", "content": "x" * HUGE},
        ]
    },
}


@pytest.mark.parametrize("dialect", THINKING)
@pytest.mark.parametrize("level", ["truncated", "full"])
def test_thoughts_are_told_and_their_signatures_are_not(dialect: str, level: Any) -> None:
    written = input_messages(msgspec.json.encode({"model": "m", **THINKING[dialect]}), level, dialect)
    assert written is not None
    assert b'{"type":"reasoning","content":"A thought."}' in written
    assert SIGNED.encode() not in written
    assert len(written) < MOST_TEXT + 64 * 1024


def test_spans_tell_what_was_asked_in_the_dialect_of_the_client() -> None:
    body = msgspec.json.encode({"contents": [{"parts": [{"text": "Hello."}]}]})
    story = Story().understood(dialect="gemini", body=body).attempt().output().answered().finished()
    told = {name: str(value) for span in spans_of(story) for name, value in span.attributes.items() if name in WAYS}
    assert json.loads(told[WAYS[0]]) == [{"role": "user", "parts": [{"type": "text", "content": "Hello."}]}]
