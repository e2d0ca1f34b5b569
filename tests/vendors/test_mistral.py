"""Mistral takes histories in its own order only, and ids of its own kind."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import DIALECTS
from gateway.translate import Asked, PassThrough
from gateway.vendors import VENDORS
from gateway.vendors.mistral import BRIDGE, UNANSWERED, adapt, own_id

CHAT = DIALECTS["openai_chat"]
USER = {"role": "user", "content": "go"}
SYSTEM = {"role": "system", "content": "be brief"}
SAID = {"role": "assistant", "content": "done"}
BRIDGED = {"role": "assistant", "content": BRIDGE}


def calls(*ids: str) -> dict[str, Any]:
    made = [{"id": each, "type": "function", "function": {"name": "f", "arguments": "{}"}} for each in ids]
    return {"role": "assistant", "content": "", "tool_calls": made}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "ok"}


def missing(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "name": "f", "content": UNANSWERED}


A, B = "abcdefghi", "ABCDEFGH1"
HISTORIES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], tuple[str, ...]]] = {
    "its own": ([SYSTEM, USER, *(both := (calls(A, B), result(A), result(B)))], [SYSTEM, USER, *both], ()),
    "results in another order": ([USER, *(other := (calls(A, B), result(B), result(A)))], [USER, *other], ()),
    "a user after a tool": ([USER, calls(A), result(A), USER], [USER, calls(A), result(A), BRIDGED, USER], ()),
    "an unanswered call": (
        [USER, calls(A, B), result(A), USER],
        [USER, calls(A, B), result(A), missing(B), BRIDGED, USER],
        (),
    ),
    "an image between the results": (
        [USER, calls(A, B), result(A), USER, result(B)],
        [USER, calls(A, B), result(A), result(B), BRIDGED, USER],
        (),
    ),
    "an answer that comes a turn too late": (
        [calls(A), SAID, result(A), USER],
        [calls(A), missing(A), SAID, USER],
        ("messages[2]",),
    ),
    "an unanswered call at the end": ([USER, calls(A)], [USER, calls(A), missing(A)], ()),
    "an answer to nothing": ([USER, result(A), USER], [USER, USER], ("messages[1]",)),
    "an answer given twice": ([calls(A), result(A), result(A)], [calls(A), result(A)], ("messages[2]",)),
    "an empty answer": ([USER, {"role": "assistant", "content": None}, USER], [USER, USER], ("messages[1]",)),
    "a system message between": ([USER, SAID, SYSTEM], [USER, SAID, {**SYSTEM, "role": "user"}], ()),
    "a system message after a tool": (
        [USER, calls(A), result(A), SYSTEM],
        [USER, calls(A), result(A), BRIDGED, {**SYSTEM, "role": "user"}],
        (),
    ),
    "the last word is the assistant's": ([USER, SAID], [USER, {**SAID, "prefix": True}], ()),
    "the same, as the client wants it": ([USER, {**SAID, "prefix": False}], [USER, {**SAID, "prefix": False}], ()),
    "nothing": ([], [], ()),
}


@pytest.mark.parametrize(("sent", "expected", "dropped"), HISTORIES.values(), ids=HISTORIES)
def test_histories(sent: list[Any], expected: list[Any], dropped: tuple[str, ...]):
    before = json.dumps(sent)
    made = adapt({"model": "m", "messages": sent}, "m")
    assert made.body == {"model": "m", "messages": expected}
    assert made.dropped == dropped
    assert json.dumps(sent) == before


PARTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a file": (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "document_url", "document_url": "data:application/pdf;base64,AA==", "document_name": "a.pdf"},
    ),
    "a file without its type": (
        {"type": "file", "file": {"file_data": "AA==", "filename": "a.txt"}},
        {"type": "document_url", "document_url": "data:text/plain;base64,AA==", "document_name": "a.txt"},
    ),
    "a file elsewhere": (
        {"type": "file", "file": {"file_id": "https://example.com/a.pdf"}},
        {"type": "document_url", "document_url": "https://example.com/a.pdf"},
    ),
    "a file that is an image": (
        {"type": "file", "file": {"file_data": "data:image/png;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ),
    "a file given before": ({"type": "file", "file": {"file_id": "f-1"}}, {"type": "file", "file_id": "f-1"}),
    "the same in its own words": ({"type": "file", "file_id": "f-1"}, {"type": "file", "file_id": "f-1"}),
    "a sound": (
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_audio", "input_audio": "AA=="},
    ),
    "a sound elsewhere": (
        {"type": "input_audio", "input_audio": "https://example.com/a.mp3"},
        {"type": "input_audio", "input_audio": "https://example.com/a.mp3"},
    ),
    "anything else": ({"type": "image_url", "image_url": "https://x"}, {"type": "image_url", "image_url": "https://x"}),
}


@pytest.mark.parametrize(("sent", "expected"), PARTS.values(), ids=PARTS)
def test_files_and_sounds_have_shapes_of_its_own(sent: dict[str, Any], expected: dict[str, Any]):
    (message,) = adapt({"messages": [{"role": "user", "content": [sent]}]}, "m").body["messages"]
    assert message["content"] == [expected]


def test_ids_are_mapped_in_calls_and_results_alike():
    foreign = ["toolu_01A", "call_abcdefghijkl", "functions.f:0"]
    sent = [USER, calls(*foreign), *(result(each) for each in foreign)]
    _, called, *answers = adapt({"messages": sent}, "m").body["messages"]
    ids = [each["id"] for each in called["tool_calls"]]
    assert ids == [each["tool_call_id"] for each in answers]
    assert len(set(ids)) == 3


@given(st.text())
def test_an_id_is_nine_letters_and_digits(call_id: str):
    assert re.fullmatch(r"[A-Za-z0-9]{9}", own_id(call_id))
    assert own_id(own_id(call_id)) == own_id(call_id)


@pytest.mark.parametrize("messages", [None, 5, [5], ["a"], {}])
def test_what_is_no_history_is_left_to_mistral(messages: Any):
    assert adapt({"messages": messages}, "m").body == {"messages": messages}


ORDER = {
    # who may speak after whom
    None: {"system", "user", "assistant"},
    "system": {"system", "user", "assistant"},
    "user": {"system", "user", "assistant"},
    "assistant": {"assistant", "user", "tool"},
    "tool": {"assistant", "tool"},
}


@given(
    st.lists(
        st.sampled_from([USER, SYSTEM, SAID, calls("a"), calls("b", "c"), result("a"), result("b"), result("c")]),
        max_size=12,
    )
)
def test_any_history_ends_up_in_order(sent: list[dict[str, Any]]):
    messages = adapt({"messages": sent}, "m").body["messages"]
    before, unanswered = None, set[str]()
    for message in messages:
        assert message["role"] in ORDER[before]
        before = message["role"]
        if before == "tool":
            unanswered.remove(message["tool_call_id"])
            continue
        assert not unanswered
        unanswered = {call["id"] for call in message.get("tool_calls", ())}
    assert not unanswered


def test_embeddings_are_none_of_its_business():
    body = b'{"model":"mistral-embed","input":["a"]}'
    embeddings = DIALECTS["openai_embeddings"]
    sent = PassThrough(embeddings, VENDORS["mistral"]).request(Asked(body, embeddings.peek(body), "m", "mistral-embed"))
    assert json.loads(sent.body) == json.loads(body)


def test_a_request_that_can_only_be_passed_on_is():
    body = b'{"model":"m","messages":[{"role":"user","content":"a"}],"x":1e999}'
    sent = PassThrough(CHAT, VENDORS["mistral"]).request(Asked(body, CHAT.peek(body), "m", "n"))
    assert sent.body == body.replace(b'"m"', b'"n"')
