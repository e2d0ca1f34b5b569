"""What holds for every dialect that vendors speak, whatever they say, and however the bytes come."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.abilities import UNKNOWN
from gateway.chat import (
    Began,
    CallBegan,
    CallDelta,
    ChatEvent,
    ChatResponse,
    Choice,
    Damaged,
    Failed,
    Finished,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
    Usage,
)
from gateway.dialects import EGRESS, INGRESS
from gateway.dialects.glimpse import Whole
from gateway.dialects.mending import mended
from gateway.errors import Fault, FaultKind
from gateway.tools import Caring
from gateway.transcoding import Naming, Transcoding, transcoded
from tests.corpus import answers as pairs
from tests.corpus import cases, messages_of, streams

OPENAI = INGRESS["openai_chat"]
DIALECTS = sorted(EGRESS)
NOW = 1_700_000_000.0
STREAMS = [
    pytest.param(dialect, stream, id=f"{dialect}-{name}")
    for dialect in DIALECTS
    for name, stream in streams(dialect).items()
]
PAIRS = [
    pytest.param(dialect, *pair.values, id=f"{dialect}-{pair.id}") for dialect in DIALECTS for pair in pairs(dialect)
]


def decoded(dialect: str, pieces: Iterator[bytes] | list[bytes]) -> list[ChatEvent]:
    decoder = EGRESS[dialect].stream_decoder()
    events = [event for piece in pieces for event in decoder.feed(piece, NOW)]
    return events + decoder.end(NOW)


def transcoding(dialect: str, choices: int = 1) -> Transcoding:
    encoder = OPENAI.stream_encoder(id="x1", model="asked", created=int(NOW), usage=True, asked=b"")
    return Transcoding(EGRESS[dialect].stream_decoder(), encoder, Naming(), choices=choices, keep_text=True)


def handed_on(read: ChatResponse) -> tuple[bytes, Whole]:
    return transcoded(OPENAI, read, Naming(), "x1", "asked", NOW, b"", Caring((), []))


def passed_on(dialect: str, pieces: list[bytes], choices: int = 1) -> tuple[bytes, Transcoding]:
    made = transcoding(dialect, choices)
    out = [made.feed(piece, NOW) for piece in pieces]
    return b"".join(out) + made.end(NOW), made


def test_the_corpus_has_every_dialect():
    needed = {"plain", "tools", "length", "error_in_stream"}
    assert not {name for name in DIALECTS if name != "tgi" and not needed <= streams(name).keys()}


# However it is cut ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dialect", "stream"), STREAMS)
def test_how_a_stream_is_cut_changes_nothing(dialect: str, stream: bytes):
    """Fed at once, in two at every byte, one byte at a time: the same events, and the same bytes for the client."""
    whole, (said, _) = decoded(dialect, [stream]), passed_on(dialect, [stream])
    assert any(not isinstance(event, Damaged) for event in whole)
    single = [stream[at : at + 1] for at in range(len(stream))]
    assert decoded(dialect, single) == whole
    assert passed_on(dialect, single)[0] == said
    for at in range(1, len(stream)):
        assert decoded(dialect, [stream[:at], b"", stream[at:]]) == whole


# Whole and in pieces --------------------------------------------------------------------------------------------------


def assembled(out: bytes, number: int = 0) -> dict[str, Any]:
    """What a client puts together of a stream's choice, as an answer that came whole would have it."""
    frames = [line[6:] for line in out.split(b"\n\n") if line.startswith(b"data: ")]
    assert frames.pop() == b"[DONE]"
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    answer: dict[str, Any] = {"finish": None, "usage": None}
    calls: list[dict[str, Any]] = []
    for frame in map(json.loads, frames):
        answer |= {"id": frame["id"], "model": frame["model"], "usage": frame.get("usage") or answer["usage"]}
        for choice in frame["choices"]:
            if choice["index"] != number:
                continue
            answer["finish"] = choice["finish_reason"] or answer["finish"]
            delta = choice["delta"]
            for name in ("content", "refusal", "reasoning_content"):
                if delta.get(name):
                    message[name] = (message.get(name) or "") + delta[name]
            if "reasoning_details" in delta:
                message.setdefault("reasoning_details", []).extend(delta["reasoning_details"])
            for piece in delta.get("tool_calls", ()):
                if piece["index"] == len(calls):
                    calls.append({key: value for key, value in piece.items() if key != "index"})
                else:
                    calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    if calls:
        message["tool_calls"] = calls
    return {**answer, "message": message}


def tidy(answer: dict[str, Any]) -> dict[str, Any]:
    """Arguments as values; an empty text is none; thoughts that nobody signed are where their text is."""
    message = {name: value for name, value in answer["message"].items() if value}
    for call in message.get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return {**answer, "message": message}


@pytest.mark.parametrize(("dialect", "response", "stream"), PAIRS)
def test_a_stream_put_together_is_the_whole_answer(dialect: str, response: bytes, stream: bytes):
    read = EGRESS[dialect].decode_answer(response, NOW)
    assert isinstance(read, ChatResponse)
    body = json.loads(handed_on(read)[0])
    said, made = passed_on(dialect, [stream], len(body["choices"]))
    for choice in body["choices"]:
        whole = {"id": body["id"], "model": body["model"], "usage": body.get("usage")}
        whole |= {"finish": choice["finish_reason"], "message": choice["message"]}
        assert tidy(assembled(said, choice["index"])) == tidy(whole)
    assert made.done
    assert made.fault is None
    assert not made.digest.skipped
    # What is told of it, and kept for the next turn, is the same.
    seen, heard = handed_on(read)[1], made.digest
    assert heard.usage == seen.usage
    assert dict(heard.kept()) == dict(seen.kept())
    assert [part.tool for part in heard.calls.values()] == [part.tool for part in seen.calls]


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dialect", "stream"), STREAMS)
def test_a_stream_that_breaks_off_is_never_taken_for_whole(dialect: str, stream: bytes):
    choices = len({event.choice for event in decoded(dialect, [stream]) if isinstance(event, Finished)}) or 1
    whole, last = passed_on(dialect, [stream], choices)
    for at in range(len(stream)):
        said, made = passed_on(dialect, [stream[:at]], choices)
        if made.complete and made.fault is None:
            # All was there but what ends it, or counts it.
            assert last.complete
            assert made.digest.reasons == last.digest.reasons
            assert _without_usage(said) == _without_usage(whole)
        else:
            assert b"[DONE]" not in said
            assert whole.startswith(said) or made.digest.skipped or last.fault


def _without_usage(said: bytes) -> list[bytes]:
    return [frame for frame in said.split(b"\n\n") if b'"choices":[],"usage"' not in frame]


@pytest.mark.parametrize(
    ("dialect", "response"),
    [
        pytest.param(dialect, *each.values, id=f"{dialect}-{each.id}")
        for dialect in DIALECTS
        for each in cases(dialect, "response.json")
    ],
)
def test_half_an_answer_is_a_fault(dialect: str, response: bytes):
    decode = EGRESS[dialect].decode_answer
    for at in range(len(response.rstrip())):
        assert isinstance(decode(response[:at], NOW), Fault), response[:at]


DAMAGES = (b"\x00", b'"', b"{", b"}", b"\n", b"\xff", b"0", b"\\", b",", b":", b"[", b"n")


def damaged(raw: bytes, rounds: int) -> Iterator[bytes]:
    """Each byte in turn made another: which, changes from place to place and from round to round."""
    for turn in range(rounds):
        for at in range(len(raw)):
            other = DAMAGES[(at * 5 + turn * 7) % len(DAMAGES)]
            if raw[at : at + 1] != other:
                yield raw[:at] + other + raw[at + 1 :]


@pytest.mark.parametrize(("dialect", "stream"), [each for each in STREAMS if each.values[0] != "bedrock_converse"])
def test_a_damaged_byte_of_a_stream_raises_nothing(dialect: str, stream: bytes):
    for raw in damaged(stream, 1):
        said, made = passed_on(dialect, [raw])
        assert (b"[DONE]" in said) == (made.complete and made.fault is None)


@pytest.mark.parametrize(
    ("dialect", "response"),
    [
        pytest.param(dialect, *each.values, id=f"{dialect}-{each.id}")
        for dialect in DIALECTS
        for each in cases(dialect, "response.json")
    ],
)
def test_a_damaged_byte_of_an_answer_raises_nothing(dialect: str, response: bytes):
    for raw in damaged(response, 2):
        read = EGRESS[dialect].decode_answer(raw, NOW)
        if isinstance(read, ChatResponse):
            json.loads(handed_on(read)[0])


BEDROCK = [pytest.param(stream, id=name) for name, stream in streams("bedrock_converse").items()]


@pytest.mark.parametrize("stream", BEDROCK)
def test_a_damaged_byte_of_a_checked_stream_is_a_fault(stream: bytes):
    """AWS's messages carry checksums: no byte may change unseen."""
    for raw in damaged(stream, 1):
        events = decoded("bedrock_converse", [raw])
        assert [each for each in events if isinstance(each, Failed | Damaged)], raw


def test_a_faulty_message_fails_the_stream_but_once():
    stream = messages_of('messageStart {"role":"assistant"}\n') + b"\x00" * 64
    events = decoded("bedrock_converse", [stream, stream, b"more"])
    assert [type(each) for each in events] == [Failed]
    assert events[0].fault.kind == FaultKind.GARBLED  # type: ignore[union-attr]


ODD = [b"", b" ", b"null", b"[]", b"{}", b"0", b'"x"', b"[[]]", b'{"error":null}', b"\xff\xfe", b"<html>oops</html>"]
ODD += [b"[" * 100_000, b'{"error":{"message":"no","code":503}}', b'{"message":"no"}', b'{"error":"no"}']


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_what_is_no_answer_is_a_fault(dialect: str, body: bytes):
    assert isinstance(EGRESS[dialect].decode_answer(body, NOW), Fault)
    said, made = passed_on(dialect, [b"data: " + body + b"\n\n"])
    assert b"[DONE]" not in said
    assert not made.complete
    said, made = passed_on(dialect, [body + b"\n"])
    assert not made.complete


MENDED = {
    rb'"\ud83e\uddf5 \ud83e"': "🧵 \ufffd",
    rb'"\uddf5\ud83e\uddf5"': "\ufffd🧵",
    rb'"\\ud83e \\\ud83e"': "\\ud83e \\\ufffd",
    b'"\xf0\x9f\xa7\xb5 \xf0\x9f"': "🧵 \ufffd",
}


@pytest.mark.parametrize("raw", MENDED)
def test_half_a_character_costs_no_whole_one(raw: bytes):
    assert json.loads(mended(raw)) == MENDED[raw]


# Answers for OpenAI's clients -----------------------------------------------------------------------------------------

WORDS = st.text(st.sampled_from('aZ 0"\\\n{é世🧵\u2028'), max_size=6)
SAID = WORDS.filter(bool)
SEALS = st.sampled_from(("c2VhbA==", "bG9vbQ==", "a/+b=="))


@st.composite
def thoughts(draw: Any) -> list[Reasoning]:
    """As one vendor's answers have them: all signed, none, or (Gemini) a text and then a seal of its own."""
    whose = draw(st.sampled_from(("anthropic", "gemini", "openai", "cohere", None)))
    count = draw(st.integers(0, 3))
    if whose is None:
        return [Reasoning(draw(SAID)) for _ in range(min(count, 1))]
    if whose == "gemini" and draw(st.booleans()):
        return [Reasoning(draw(SAID)), Reasoning(signature=draw(SEALS), format=whose)][2 - min(count, 2) :]
    if whose == "cohere" and draw(st.booleans()):
        return [Reasoning(draw(SAID), format=whose), Reasoning(opaque=draw(SEALS), format=whose)][2 - min(count, 2) :]
    sealed = st.builds(Reasoning, WORDS, SEALS, st.none(), st.just(whose))
    hidden = st.builds(Reasoning, WORDS, st.none(), SEALS, st.just(whose))
    return [draw(st.one_of(sealed, hidden)) for _ in range(count)]


@st.composite
def whole_answers(draw: Any) -> ChatResponse:
    texts = draw(st.lists(st.builds(Text, SAID), max_size=3))
    refusals = draw(st.lists(st.builds(Refusal, SAID), max_size=1))
    names = draw(st.lists(st.sampled_from(("a", "b-c", "ü")), max_size=3))
    inputs = st.sampled_from(("{}", '{"a": [1, "ü"]}', '{"deep": {"x": "\\"}"}}'))
    calls = [
        ToolCall(f"call_{at}", name, draw(inputs), draw(st.one_of(st.none(), SEALS))) for at, name in enumerate(names)
    ]
    usage = Usage(input_tokens=9, output_tokens=5, cached_tokens=4, cache_write_tokens=1, reasoning_tokens=2)
    reason = "tool_calls" if calls else draw(st.sampled_from(("stop", "length", "content_filter")))
    parts = (*draw(thoughts()), *texts, *refusals, *calls)
    name = draw(st.sampled_from(("", "vendor-1")))
    return ChatResponse(
        id=name, model=name, choices=(Choice(parts, reason),), usage=draw(st.sampled_from((None, usage)))
    )


def streamed(answer: ChatResponse, draw: Any) -> bytes:
    """The same answer event by event, its texts in pieces."""
    encoder = OPENAI.stream_encoder(id="x1", model="asked", created=int(NOW), usage=True, asked=b"")
    out = [encoder.feed(Began(answer.id, answer.model))]
    place = 0
    for part in answer.choices[0].parts:
        events: list[ChatEvent] = []
        match part:
            case Reasoning():
                events = [*(ReasoningDelta(piece) for piece in pieces(part.content, draw)), ReasoningSealed(part)]
            case Text():
                events = [TextDelta(piece) for piece in pieces(part.content, draw)]
            case Refusal():
                events = [RefusalDelta(part.content)]
            case ToolCall():
                said = [] if part.arguments == "{}" and draw(st.booleans()) else pieces(part.arguments, draw)
                began = CallBegan(place, part.id, part.name, part.signature)
                events, place = [began, *(CallDelta(place, piece) for piece in said)], place + 1
        out += map(encoder.feed, events)
    out.append(encoder.feed(Finished(answer.choices[0].finish_reason or "stop")))
    return b"".join(out) + encoder.end(answer.usage, None)


def pieces(text: str, draw: Any) -> list[str]:
    at = draw(st.integers(0, len(text)))
    return [piece for piece in (text[:at], text[at:]) if piece]


@settings(max_examples=300, deadline=None)
@given(answer=whole_answers(), data=st.data())
def test_an_answer_reads_alike_whole_and_in_chunks(answer: ChatResponse, data: st.DataObject):
    body = json.loads(OPENAI.encode_answer(answer, id="x1", model="asked", created=int(NOW), asked=b""))
    [choice] = body["choices"]
    whole = {"id": body["id"], "model": body["model"], "usage": body.get("usage")}
    whole |= {"finish": choice["finish_reason"], "message": choice["message"]}
    said = assembled(streamed(answer, data.draw))
    assert tidy({**said, "message": renumbered(said["message"])}) == tidy(whole)


def renumbered(message: dict[str, Any]) -> dict[str, Any]:
    """Details are numbered as they come, which is the same."""
    details = message.get("reasoning_details", [])
    assert [each["index"] for each in details] == list(range(len(details)))
    return message


@settings(max_examples=300, deadline=None)
@given(answer=whole_answers())
def test_an_answer_sent_back_is_what_was_answered(answer: ChatResponse):
    """Clients that keep the message as it came lose nothing: texts, thoughts with their seals, calls with theirs."""
    body = json.loads(OPENAI.encode_answer(answer, id="x1", model="asked", created=int(NOW), asked=b""))
    message = body["choices"][0]["message"]
    [read] = OPENAI.decode_request(json.dumps({"model": "m", "messages": [message]}).encode()).messages
    said = answer.choices[0].parts
    assert [part for part in read.parts if isinstance(part, ToolCall)] == [
        part for part in said if isinstance(part, ToolCall)
    ]
    for kind in (Text, Refusal):
        assert "".join(part.content for part in read.parts if isinstance(part, kind)) == "".join(
            part.content for part in said if isinstance(part, kind)
        )
    assert [part for part in read.parts if isinstance(part, Reasoning)] == [
        part for part in said if isinstance(part, Reasoning)
    ]
    again = OPENAI.encode_answer(
        ChatResponse(id=answer.id, model=answer.model, choices=(Choice(read.parts, "stop"),)),
        id="x1",
        model="asked",
        created=int(NOW),
        asked=b"",
    )
    assert json.loads(again)["choices"][0]["message"] == message


# Linear ---------------------------------------------------------------------------------------------------------------


def steps(act: Callable[[], Any]) -> int:
    """How many lines of Python run, loops within lines included: a measure of work that no other load changes."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def long_talk(turns: int) -> bytes:
    """Many turns of calls whose ids begin anew, with foreign thoughts, results late, odd and twice."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "s"}]
    for turn in range(turns):
        calls = [
            {"id": f"call_{at}", "type": "function", "function": {"name": "my.tool", "arguments": "{}"}}
            for at in (0, 1)
        ]
        messages += [
            {"role": "user", "content": [{"type": "text", "text": f"{turn}", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": "c", "reasoning_content": "hm", "tool_calls": calls, "name": "n"},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"a": 1}'},
            {"role": "tool", "tool_call_id": "call_1", "content": "again"},
            {"role": "tool", "tool_call_id": "call_0", "content": "b"},
            {"role": "tool", "tool_call_id": f"lost_{turn}", "content": "c"},
        ]
    return json.dumps({"model": "m", "messages": messages}).encode()


def many_calls(calls: int) -> bytes:
    """One turn with many calls, all of one id or none."""
    made = [{"id": "c", "type": "function", "function": {"name": f"t{at}", "arguments": "{}"}} for at in range(calls)]
    results = [{"role": "tool", "tool_call_id": "c", "content": f"{at}"} for at in range(calls)]
    said = {"role": "assistant", "content": None, "tool_calls": made}
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "u"}, said, *results]}).encode()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("talk", [long_talk, many_calls])
def test_writing_a_request_takes_as_long_as_it_is(dialect: str, talk: Callable[[int], bytes]):
    def work(size: int) -> int:
        body = talk(size)
        return steps(lambda: EGRESS[dialect].encode_request(OPENAI.decode_request(body), UNKNOWN))

    work(2)  # what is only done once
    assert work(160) < 10 * work(20)


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "tgi"])
def test_reading_a_stream_takes_as_long_as_it_is(dialect: str):
    stream = streams(dialect)["plain"]
    cut = {
        "bedrock_converse": b"\0\0\0",
        "ollama_chat": b"\n",
    }.get(dialect, b"\n\n" if dialect != "gemini" else b"\r\n\r\n")

    def work(times: int) -> int:
        # Everything but the end, over and over: it never says that it is done.
        pieces = stream.split(cut)
        body = cut.join([*pieces[:1], *(pieces[1:-3] * times)]) if dialect != "bedrock_converse" else stream * times
        decoder = EGRESS[dialect].stream_decoder()
        return steps(lambda: [decoder.feed(body[at : at + 7], NOW) for at in range(0, len(body), 7)])

    work(1)
    assert work(40) < 10 * work(5)
