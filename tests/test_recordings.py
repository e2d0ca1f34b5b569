"""Real answers of real vendors, read as the gateway reads them. They lie beside the repository, if at all."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects import DIALECTS
from gateway.dialects.faults import read_fault
from gateway.dialects.glimpse import Whole
from gateway.dialects.openai_seen import reason_of
from gateway.errors import FaultKind
from gateway.passing import Passing
from gateway.sse import Splitter

ROOT = Path(__file__).parents[2] / "shared" / "recordings"
CHAT = DIALECTS["openai_chat"]
EMBEDDINGS = DIALECTS["openai_embeddings"]


def found() -> list[dict[str, Any]]:
    recordings = (json.loads(file.read_bytes()) for file in sorted(ROOT.glob("*/*.json")))
    return [each for each in recordings if each["wire"] in ("openai", "azure") and each["op"] in ("chat", "embeddings")]


RECORDINGS = found()


def body_of(recording: dict[str, Any]) -> bytes:
    return recording["body"].encode() if "body" in recording else base64.b64decode(recording["body_b64"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test of each kind for every recording it fits: without recordings there is nothing to collect."""
    chosen = {
        "whole": lambda each: each["status"] == 200 and not each["stream"] and each["op"] == "chat",
        "streamed": lambda each: each["status"] == 200 and each["stream"] and each["op"] == "chat",
        "embedded": lambda each: each["status"] == 200 and each["op"] == "embeddings",
        "refused": lambda each: each["status"] != 200,
    }
    for name, fits in chosen.items():
        if name in metafunc.fixturenames:
            cases = [pytest.param(each, id=each["id"]) for each in RECORDINGS if fits(each)]
            metafunc.parametrize(name, cases or [None])


def counted(usage: Any, expect: dict[str, Any]) -> None:
    """Token counts as expected; a vendor that reported none is not given any."""
    if not expect.get("prompt"):
        assert usage is None or (usage.input_tokens, usage.output_tokens) == (0, 0)
        return
    assert usage.input_tokens in expect["prompt"]
    assert usage.output_tokens in expect["completion"]
    # Not said: whoever wrote it down did not look where this vendor says it.
    assert expect["cached"] is None or usage.cached_tokens == expect["cached"]
    assert usage.reasoning_tokens == (expect["reasoning_tokens"] or 0)


def test_whole_answers(whole: dict[str, Any] | None):
    if whole is None:
        return
    expect = whole["expect"]
    read = CHAT.read_whole(body_of(whole), 0.0)
    assert isinstance(read, Whole)
    assert read.finish_reason == reason_of(expect["finish"], bool(read.calls))
    counted(read.usage, expect)


def passed(stream: bytes, size: int | None, withhold: bool) -> tuple[bytes, Passing]:
    passing = Passing(CHAT, withhold_usage=withhold, keep_text=True)
    step = size or len(stream)
    out = [passing.feed(stream[at : at + step], 0.0) for at in range(0, len(stream), step)]
    return b"".join(out) + passing.end(0.0), passing


def assembled(stream: bytes) -> tuple[str, list[dict[str, str]]]:
    """What a client puts together: text, and tool calls by index."""
    splitter = Splitter()
    text, calls = "", {}
    for frame in (*splitter.feed(stream), *splitter.end()):
        if frame.data in (None, b"[DONE]"):
            continue
        for choice in json.loads(frame.data).get("choices") or ():
            delta = choice.get("delta") or {}
            said = delta.get("content") or ""
            text += said if isinstance(said, str) else "".join(part.get("text") or "" for part in said)
            for call in delta.get("tool_calls") or ():
                known = calls.setdefault((choice["index"], call.get("index", 0)), {"name": "", "arguments": ""})
                known["name"] += call["function"].get("name") or ""
                known["arguments"] += call["function"].get("arguments") or ""
    return text, list(calls.values())


@pytest.mark.parametrize("size", [None, 7], ids=["at once", "seven bytes at a time"])
def test_streams(streamed: dict[str, Any] | None, size: int | None):
    if streamed is None:
        return
    expect, stream = streamed["expect"], body_of(streamed)
    out, passing = passed(stream, size, withhold=False)
    text, calls = assembled(out)
    assert text == expect["text"]
    assert len(calls) == len(expect["calls"])
    assert passing.fault is None
    assert passing.complete
    assert passing.digest.skipped == 0
    assert passing.digest.tool == bool(expect["calls"])
    assert passing.digest.finish_reason == reason_of(expect["finish"], passing.digest.tool)
    counted(passing.digest.usage, expect)


def test_streams_are_handed_on_as_they_came(streamed: dict[str, Any] | None):
    if streamed is None:
        return
    stream = body_of(streamed)
    out, _ = passed(stream, None, withhold=False)
    if b"\n:" not in stream and not stream.startswith(b":"):
        assert out.startswith(stream.rstrip())
    withheld, passing = passed(stream, None, withhold=True)
    assert assembled(withheld) == assembled(out)
    assert b'"usage":null' not in withheld
    assert passing.digest.usage == passed(stream, None, withhold=False)[1].digest.usage


def test_embeddings(embedded: dict[str, Any] | None):
    if embedded is None:
        return
    read = EMBEDDINGS.read_whole(body_of(embedded), 0.0)
    assert isinstance(read, Whole)
    assert read.usage
    assert read.usage.input_tokens > 0


# What each of the statuses meant, where the status alone does not say it.
KINDS = {
    400: FaultKind.BAD_REQUEST,
    401: FaultKind.BAD_CREDENTIALS,
    403: FaultKind.BAD_CREDENTIALS,
    404: FaultKind.MODEL_MISSING,
}
CODES = {
    "context_length_exceeded": FaultKind.CONTEXT_TOO_LONG,
    "content_filter": FaultKind.REFUSED,
    "insufficient_quota": FaultKind.OUT_OF_CREDIT,
    "rate_limit_exceeded": FaultKind.RATE_LIMITED,
    "model_not_found": FaultKind.MODEL_MISSING,
    "invalid_api_key": FaultKind.BAD_CREDENTIALS,
}


def test_refusals(refused: dict[str, Any] | None):
    if refused is None:
        return
    fault = read_fault(
        refused["status"], {name.lower(): value for name, value in refused["headers"].items()}, body_of(refused), 0.0
    )
    assert fault.kind is (CODES.get(fault.code or "") or KINDS[refused["status"]])
    assert fault.message
    expect = refused["expect"]
    if "code" in expect:
        assert fault.code == expect["code"]
        assert expect["error"] in (fault.message, fault.type, fault.code) or expect["error"] in fault.message
