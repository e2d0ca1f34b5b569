"""Contents that are lists of parts become a text, with the reasoning beside it; all else stays as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects import openai_chat
from gateway.dialects.flattening import flattened
from gateway.passing import Passing
from gateway.sse import event

THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm, "}, {"type": "text", "text": "yes"}]}
SUMMARY = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm", "signature": "s"}]}
TEXT = {"type": "text", "text": "4"}
FLAT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Mistral": ({"content": [THINKING, TEXT]}, {"content": "4", "reasoning_content": "hm, yes"}),
    "Databricks": ({"content": [SUMMARY, TEXT]}, {"content": "4", "reasoning_content": "hm"}),
    "texts": ({"content": [TEXT, TEXT]}, {"content": "44"}),
    "empty": ({"content": []}, {"content": []}),
    "a text": ({"content": "text"}, {"content": "text"}),
    "an image too": ({"content": [TEXT, {"type": "image_url"}]}, {"content": [TEXT, {"type": "image_url"}]}),
    "odd pieces": (
        {"content": [{"type": "thinking", "thinking": [1, None, [], {}, "hm"]}]},
        {"content": "", "reasoning_content": "hm"},
    ),
    "an odd thought": ({"content": [{"type": "thinking", "thinking": True}]}, {"content": ""}),
    "odd": ({"content": [{"type": "thinking", "thinking": None}]}, {"content": ""}),
}


@pytest.mark.parametrize("where", ["message", "delta"])
@pytest.mark.parametrize(("said", "told"), FLAT.values(), ids=FLAT)
def test_content(where: str, said: dict[str, Any], told: dict[str, Any]):
    body = json.dumps({"choices": [{where: said}, {where: said}]}).encode()
    if where == "message" and said == told:
        assert flattened(body) is body or said["content"] == []
    assert json.loads(flattened(body)) == {"choices": [{where: told}, {where: told}]}


@pytest.mark.parametrize("body", [b'{"text"', b'"text"', b'{"text":1,"choices":3}', b'{"text":1,"choices":[null,{}]}'])
def test_what_cannot_be_read_stays(body: bytes):
    assert flattened(body) is body


def test_a_stream():
    chunks = [{"choices": [{"index": 0, "delta": {"content": [part]}}]} for part in (THINKING, TEXT)]
    chunks.append({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]})
    passing = Passing(openai_chat, keep_text=True, flatten=True)
    out = b"".join(passing.feed(event(json.dumps(chunk).encode()), 0.0) for chunk in chunks) + passing.end(0.0)
    assert b'"reasoning_content":"hm, yes"' in out
    assert "".join(passing.digest.text) == "4"
    assert passing.complete
