"""Why an answer ended is told in the hub's words, in whatever dialect it passes: telemetry knows no others."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from gateway.chat import Finished, FinishReason
from gateway.dialects import DIALECTS, EGRESS
from gateway.dialects.ollama_passing import Lines
from gateway.errors import Fault
from gateway.passing import Passing
from tests.corpus import ROOT

WORDS = get_args(FinishReason)
NOW = 1_700_000_000.0
ANSWERS = sorted(path for path in ROOT.glob("*/*.response.json") if path.parent.name in DIALECTS)
STREAMS = sorted(
    path for path in ROOT.glob("*/*.stream.*") if path.parent.name in DIALECTS and "error_in_stream" not in path.name
)


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", ANSWERS, ids=name_of)
def test_of_a_whole_answer(path: Path):
    seen = DIALECTS[path.parent.name].read_whole(path.read_bytes(), NOW)
    assert not isinstance(seen, Fault)
    assert seen.finish_reasons
    assert set(seen.finish_reasons) <= {*WORDS}
    if egress := EGRESS.get(path.parent.name):
        read = egress.decode_answer(path.read_bytes(), NOW)
        assert not isinstance(read, Fault)
        assert seen.finish_reasons == tuple(choice.finish_reason for choice in read.choices)


@pytest.mark.parametrize("path", STREAMS, ids=name_of)
def test_of_a_stream(path: Path):
    sent = path.read_bytes()
    passing = Passing(DIALECTS[path.parent.name])
    lines = Lines()
    passing.feed(lines.feed(sent, NOW) + lines.end(NOW) if path.suffix == ".ndjson" else sent, NOW)
    passing.end(NOW)
    told = passing.digest.heard(content=False).finish_reasons
    assert told
    assert set(told) <= {*WORDS}
    if egress := EGRESS.get(path.parent.name):
        decoder = egress.stream_decoder()
        read = [*decoder.feed(sent, NOW), *decoder.end(NOW)]
        assert told == tuple(event.reason for event in read if isinstance(event, Finished))


@pytest.mark.parametrize(
    ("said", "reason"),
    [("function_call", "tool_calls"), ("model_length", "length"), ("sensitive", "content_filter"), ("eos", "stop")],
)
def test_of_vendors_with_words_of_their_own(said: str, reason: str):
    answer = b'{"id":"a","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"%b"}]}' % said.encode()
    seen = DIALECTS["openai_chat"].read_whole(answer, NOW)
    assert not isinstance(seen, Fault)
    assert seen.finish_reasons == (reason,)
