"""What holds for every dialect that vendors speak, whatever they say, and however the bytes come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.chat import (
    ChatEvent,
    ChatResponse,
    Damaged,
    Failed,
)
from gateway.dialects import EGRESS, INGRESS
from gateway.errors import Fault, FaultKind
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


def transcoding(dialect: str) -> Transcoding:
    encoder = OPENAI.stream_encoder(id="x1", model="asked", created=int(NOW), usage=True)
    return Transcoding(EGRESS[dialect].stream_decoder(), encoder, Naming(), keep_text=True)


def passed_on(dialect: str, pieces: list[bytes]) -> tuple[bytes, Transcoding]:
    made = transcoding(dialect)
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


def assembled(out: bytes) -> dict[str, Any]:
    """What a client puts together of a stream, as an answer that came whole would have it."""
    frames = [line[6:] for line in out.split(b"\n\n") if line.startswith(b"data: ")]
    assert frames.pop() == b"[DONE]"
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    answer: dict[str, Any] = {"finish": None, "usage": None}
    calls: list[dict[str, Any]] = []
    for frame in map(json.loads, frames):
        answer |= {"id": frame["id"], "model": frame["model"], "usage": frame.get("usage") or answer["usage"]}
        for choice in frame["choices"]:
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
    body = json.loads(transcoded(OPENAI, read, Naming(), "x1", "asked", NOW)[0])
    [choice] = body["choices"]
    whole = {"id": body["id"], "model": body["model"], "usage": body.get("usage")}
    whole |= {"finish": choice["finish_reason"], "message": choice["message"]}
    said, made = passed_on(dialect, [stream])
    assert tidy(assembled(said)) == tidy(whole)
    assert made.done
    assert made.fault is None
    assert not made.digest.skipped
    # What is told of it, and kept for the next turn, is the same.
    seen, heard = transcoded(OPENAI, read, Naming(), "x1", "asked", NOW)[1], made.digest
    assert heard.usage == seen.usage
    assert dict(heard.kept()) == dict(seen.kept())
    assert [part.tool for part in heard.calls.values()] == [part.tool for part in seen.calls]


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dialect", "stream"), STREAMS)
def test_a_stream_that_breaks_off_is_never_taken_for_whole(dialect: str, stream: bytes):
    whole, last = passed_on(dialect, [stream])
    for at in range(len(stream)):
        said, made = passed_on(dialect, [stream[:at]])
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
            json.loads(transcoded(OPENAI, read, Naming(), "x1", "asked", NOW)[0])


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
