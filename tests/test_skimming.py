"""Skimming tells and hands on the very same as reading every event with care, whatever comes and however it is cut."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gateway.dialects import DIALECTS, Dialect, openai_chat
from gateway.passing import Passing
from gateway.sse import Splitter, event, plain_events
from tests.corpus import cases

CHAT = DIALECTS["openai_chat"]
STREAMS = [each.values[0] for each in cases("openai_chat", "stream.sse")]


class Careful(Passing):
    skims = False


# Every way of passing; each must tell the same skimmed and read.
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "usage withheld": {"withhold_usage": True},
    "text kept": {"keep_text": True},
    "text kept, usage withheld": {"keep_text": True, "withhold_usage": True},
    "two choices": {"choices": 2, "keep_text": True},
    "thoughts replayed": {"replays": frozenset(("reasoning_content", "reasoning_details"))},
    "flattened": {"flatten": True, "keep_text": True},
    "priced": {},
}


def passed(kind: type[Passing], way: str, reads: list[bytes], dialect: Dialect = CHAT) -> list[Any]:
    """All that can be seen of a stream's passing, read by read."""
    passing = kind(dialect, **WAYS[way])
    if dialect is not CHAT:
        # Their events do not name the one choice there is, which is no difference to anybody.
        passing.digest.reasons[0] = None
    if way == "priced":
        passing.price = lambda usage: usage.output_tokens / 8
    seen: list[Any] = []
    for number, read in enumerate(reads):
        out = passing.feed(read, number * 4.0)
        seen.append((out, out is read, passing.fault, passing.done, passing.complete, told(passing)))
    return [*seen, passing.end(0.0), passing.fault, told(passing)]


def told(passing: Passing) -> Any:
    digest = passing.digest
    return (
        msgspec.to_builtins(digest, str_keys=True),
        list(digest.reasons),
        list(digest.calls),
        digest.heard(content=True),
    )


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, *(place % (len(stream) + 1) for place in cuts)})
    return [stream[begin:end] for begin, end in zip(places, [*places[1:], None], strict=True)]


def same(stream: bytes, cuts: list[int]) -> None:
    for way in WAYS:
        for reads in (cut(stream, []), cut(stream, cuts)):
            assert passed(Passing, way, reads) == passed(Careful, way, reads), way


OTHERS = [
    (DIALECTS[name], each.values[0])
    for name in ("anthropic_messages", "openai_responses", "gemini")
    for each in cases(name, "stream.sse")
]


@pytest.mark.parametrize(("dialect", "stream"), OTHERS)
@pytest.mark.parametrize("way", ["plain", "text kept"])
def test_the_other_dialects_streams(dialect: Dialect, stream: bytes, way: str):
    """Those whose events have names, too: whole, event by event, and cut within them."""
    events = [part + b"\n\n" for part in stream.split(b"\n\n") if part]
    pairs = [b"".join(events[place : place + 2]) for place in range(0, len(events), 2)]
    for reads in ([stream], events, pairs, cut(stream, [7, 300, 301, 555, 1201])):
        assert passed(Passing, way, reads, dialect) == passed(Careful, way, reads, dialect)


# Events as they should be, and what may stand at each place of one in place of that.

PLAIN: list[dict[str, Any]] = [
    {"content": " word"},
    {"role": "assistant", "content": "鵞", "refusal": None},
    {"content": None, "reasoning_content": "hm"},
    {"content": "", "reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
]
PLACES: list[tuple[Any, ...]] = [
    *((name,) for name in ("id", "model", "object", "type", "error", "usage", "x_groq", "choices", "later")),
    *(("choices", 0, name) for name in ("index", "finish_reason", "delta", "message", "logprobs")),
    *(
        ("choices", 0, "delta", name)
        for name in ("content", "role", "refusal", "obfuscation", "function_call", "later")
    ),
    *(("choices", 0, "delta", name) for name in ("reasoning_content", "reasoning", "reasoning_details", "tool_calls")),
    *(("choices", 0, "delta", "tool_calls", 0, name) for name in ("index", "id", "type", "function", "later")),
    *(("choices", 0, "delta", "tool_calls", 0, "function", name) for name in ("name", "arguments", "later")),
]
NOBODY_SAYS = [None, "", "error", "stop", 0, 1, -1, 1.5, True, False, [], {}, [1], {"a": "b"}, "\ud83e"]
ODD: list[Any] = [
    *NOBODY_SAYS,
    *("read", "call_1", '"usage"', ',"usage":null}\n\n', "\n\ndata: {}"),
    [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"}],
    {"content": [{"type": "text", "text": "a"}]},
    {"content": "a", "usage": None},
    {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    {"error": "over capacity"},
    {"usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}],
]


def changed(delta: dict[str, Any], changes: list[tuple[tuple[Any, ...], Any]]) -> dict[str, Any]:
    said = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}], "usage": None}
    said = deepcopy(said)
    for place, value in changes:
        inner: Any = said
        with suppress(LookupError, TypeError):
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = deepcopy(value)
    return said


def written(said: dict[str, Any], as_escapes: bool) -> bytes:
    separators = (",", ":") if as_escapes else None
    return json.dumps(said, separators=separators, ensure_ascii=as_escapes).encode("utf-8", "surrogatepass")


CHANGES = st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), max_size=2)
CHUNKS = st.builds(written, st.builds(changed, st.sampled_from(PLAIN), CHANGES), st.booleans())
FIRST = b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"I"}}],"usage":null}'
WORD = b'{"id":"c","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}'
CALL = b'{"id":"c","choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"f"}}]}}]}'
MORE = b'{"id":"c","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}'
STOP = b'{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
NULLED = WORD[:-1] + b',"usage":null}'
HOSTILE = st.sampled_from(
    [
        b"1,2",
        b"{}]",
        b"[{}",
        b'{"x":"',
        b'"}',
        WORD + b"," + WORD,
        b"{" + NULLED[-14:],
        b"[DONE]",
        b" [DONE] ",
        b"",
        b" " + WORD + b" ",
        WORD.replace(b",", b",\t"),
        WORD.replace(b" word", b"\\ud83e"),
        WORD.replace(b" word", b"\xf0\x9f"),
        WORD.replace(b'"c"', b'"\xff"'),
        WORD.replace(b'"c"', b"1e999"),
        WORD.replace(b'"id"', b'"model":1e999,"id"'),
        WORD.replace(b'"delta"', b'"delta":{"content":"twice"},"delta"'),
        WORD.replace(b'"content"', b'"cont\\u0065nt"'),
        WORD.replace(b'"index":0', b'"index":0.0'),
        WORD.replace(b'"index":0', b'"index":-0'),
        NULLED.replace(b'"index"', b'"usage":null,"index"'),
        b'{"error":{"message":"no","type":"server_error"}}',
        b'{"status":503,"message":"no healthy upstream"}',
    ]
)
DATA = st.sampled_from([WORD, NULLED, CALL, MORE, STOP]) | CHUNKS | CHUNKS | HOSTILE
LINES = st.sampled_from(
    [
        b": hello\n\n",
        b"\n",
        b"\r\n",
        b"event: error\n",
        b"id: 5\n",
        b"data: {\n",
        b"data:{}\n\n",
        b"data",
        b"\xef\xbb\xbf",
    ]
)
FRAMES = DATA.map(event) | DATA.map(event) | DATA.map(event) | LINES | st.binary(max_size=9)
CUTS = st.lists(st.integers(0, 5000), max_size=4)


@pytest.mark.parametrize("delta", PLAIN, ids=lambda delta: " ".join(delta))
def test_any_value_at_any_place(delta: dict[str, Any]):
    """Between events that are plain, so that it is skimmed if anything ever is."""
    for place in PLACES:
        for value in ODD:
            data = written(changed(delta, [(place, value)]), as_escapes=True)
            begun = event(FIRST) + event(CALL)
            same(begun + event(data) + event(NULLED) + event(data), [len(begun)])


@given(st.booleans(), st.lists(FRAMES, max_size=7), CUTS)
@example(True, [event(b'{"x":"'), event(b'"}'), event(WORD + b"," + WORD)], [])
@example(True, [event(WORD), event(b"{" + NULLED[-14:])], [])
@example(True, [event(WORD.replace(b'"id"', b'"model":1e999,"id"')), event(WORD)], [])
@example(True, [event(b"[DONE]"), event(WORD)], [])
@example(False, [event(b'{"id":"c","choices":[{"index":1,"delta":{}}]}'), event(WORD)], [])
@examples(max_examples=600, deadline=None)
def test_any_stream(begun: bool, frames: list[bytes], cuts: list[int]):
    same((event(FIRST) if begun else b"") + b"".join(frames), cuts)


@given(st.sampled_from(STREAMS), CUTS)
@examples(max_examples=200, deadline=None)
def test_the_streams_of_the_corpus(stream: bytes, cuts: list[int]):
    same(stream, cuts)


@given(st.lists(FRAMES, max_size=5))
def test_a_plain_read_is_its_frames(frames: list[bytes]):
    read = b"".join(frames)
    events = Splitter().plain(read)
    if events is not None:
        assert plain_events(events) == read
        assert events == [frame.data for frame in Splitter().feed(read)]


# An event -> what the skimming makes of it while no call has begun, and while one has.
SKIMMED: dict[str, tuple[bytes, str | None, str | None]] = {
    "a word": (WORD, " word", " word"),
    "a word beside null usage": (NULLED, " word", " word"),
    "a word beside what vendors add": (
        b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"default","choices":[{'
        b'"index":0,"delta":{"role":"assistant","content":"a","refusal":null},"logprobs":null,"finish_reason":null}],'
        b'"usage":null,"obfuscation":"xyz"}',
        "a",
        "a",
    ),
    "a thought": (b'{"choices":[{"delta":{"content":null,"reasoning_content":"hm"}}]}', "", ""),
    "more of a call": (MORE, None, ""),
    "a new call": (CALL, None, None),
    "nothing": (b'{"choices":[{"delta":{"role":"assistant","content":""}}]}', None, None),
    "the end": (STOP, None, None),
    "[DONE]": (b"[DONE]", None, None),
}


@pytest.mark.parametrize(("data", "idle", "calling"), SKIMMED.values(), ids=SKIMMED)
def test_what_is_skimmed(data: bytes, idle: str | None, calling: str | None):
    assert openai_chat.skim([data], False) == [idle]
    assert openai_chat.skim([data], True) == [calling]


class _Counting:
    """The dialect, and how many events it was asked to read with care."""

    def __init__(self) -> None:
        self.careful = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(openai_chat, name)

    def glimpse(self, *given: Any) -> Any:
        self.careful += 1
        return openai_chat.glimpse(*given)


@pytest.mark.parametrize("cuts", [[], [3000, 6100]], ids=["one read", "cut inside events"])
@pytest.mark.parametrize("way", WAYS)
def test_the_common_middle_of_a_stream_is_skimmed(way: str, cuts: list[int]):
    dialect = _Counting()
    passing = Passing(dialect, **WAYS[way])  # type: ignore[arg-type]
    for read in cut(event(FIRST) + event(NULLED) * 100 + event(STOP) + event(b"[DONE]"), cuts):
        passing.feed(read, 0.0)
    assert passing.done
    assert dialect.careful == 3 + len(cuts)
