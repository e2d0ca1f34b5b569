"""Histories made to fit: what a vendor refuses is taken out, the thoughts it wants are put in, all else stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import Kept, Reasoning
from gateway.dialects import DIALECTS
from gateway.dialects.glimpse import Whole
from gateway.dialects.replaying import OPENROUTER, Fitted, remembered, with_roles, with_thoughts, without_foreign
from gateway.passing import Passing
from gateway.sse import event
from gateway.translate import Asked, PassThrough
from gateway.vendors import VENDORS

CHAT = DIALECTS["openai_chat"]
KEYS = frozenset({"reasoning_content", "thinking", "cache_control", "extra_content", "refusal"})


def request(*messages: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": messages, **more}).encode()


def messages_of(body: bytes) -> list[dict[str, Any]]:
    return json.loads(body)["messages"]


def call(call_id: str, name: str = "f", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


# Taken out ------------------------------------------------------------------------------------------------------------

SAID = {"role": "assistant", "content": "so"}
CUT: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    # message, what is left of it, what was dropped
    "a key": ({**SAID, "reasoning_content": "hm"}, SAID, ("messages[1].reasoning_content",)),
    "a key that says nothing": ({**SAID, "refusal": None}, SAID, ()),
    "a key of a call": (
        {**SAID, "tool_calls": [call("a"), call("b", extra_content={"google": 1})]},
        {**SAID, "tool_calls": [call("a"), call("b")]},
        ("messages[1].tool_calls[1].extra_content",),
    ),
    "a key of a part": (
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        ("messages[1].content[0].cache_control",),
    ),
    "a part": (
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "so"}]},
        ("messages[1].content[0]",),
    ),
    "a part without such a key": (
        {"role": "assistant", "content": [{"type": "thinking", "data": "hm"}, {"type": "text", "text": "so"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "so"}]},
        ("messages[1].content[0]",),
    ),
    "the only part": (
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]},
        {"role": "assistant", "content": ""},
        ("messages[1].content[0]",),
    ),
    "the only part beside calls": (
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}], "tool_calls": [call("a")]},
        {"role": "assistant", "content": None, "tool_calls": [call("a")]},
        ("messages[1].content[0]",),
    ),
}
FIRST = {"role": "user", "content": 'say "reasoning_content" and \\"thinking\\"'}


@pytest.mark.parametrize(("message", "left", "dropped"), CUT.values(), ids=CUT)
def test_what_a_vendor_refuses_is_taken_out(message: dict[str, Any], left: dict[str, Any], dropped: tuple[str, ...]):
    fitted = without_foreign(request(FIRST, message, seed=5), KEYS)
    assert json.loads(fitted.body) == {"model": "m", "messages": [FIRST, left], "seed": 5}
    assert fitted.dropped == dropped


def test_markers_of_tools_are_taken_out_too():
    tools = [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]
    fitted = without_foreign(request(FIRST, tools=tools), KEYS)
    assert json.loads(fitted.body)["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert fitted.dropped == ("tools[0].cache_control",)


def test_other_messages_keep_their_bytes():
    first = b'{ "role":"user", "content":"\\u0068i", "x": 1e400 }'
    body = b'{"model":"m","messages":[' + first + b',{"role":"assistant","content":"","reasoning_content":"hm"}]}'
    assert first in without_foreign(body, KEYS).body


UNTOUCHED = {
    "nothing of it": request(FIRST, SAID),
    "words in a text": request(FIRST, {"role": "user", "content": '"thinking": {"cache_control": 1}'}),
    "no JSON": b'{"thinking":',
    "no messages": b'{"thinking": 1, "input": ["reasoning_content"]}',
    "messages that are none": b'{"messages": [5, "thinking", null, ["thinking"]]}',
    "messages of a wrong type": b'{"messages": {"thinking": 1}}',
    "contents of a wrong type": b'{"messages": [{"content": {"thinking": 1}, "tool_calls": {"thinking": 1}}]}',
    "calls of a wrong type": b'{"messages": [{"role": "assistant", "tool_calls": ["thinking", 5]}]}',
}


@pytest.mark.parametrize("body", UNTOUCHED.values(), ids=UNTOUCHED)
def test_where_nothing_is_to_be_done_the_same_object_comes_back(body: bytes):
    assert without_foreign(body, KEYS) == Fitted(body)
    assert without_foreign(body, KEYS).body is body
    assert with_roles(body, {"developer": "system"}) is body
    assert with_thoughts(body, frozenset({"reasoning_content"}), lambda call_id: None) is body


def test_roles_are_renamed():
    body = request({"role": "developer", "content": "developer"}, FIRST)
    expected = [{"role": "system", "content": "developer"}, FIRST]
    assert messages_of(with_roles(body, {"developer": "system"})) == expected


# Put in ---------------------------------------------------------------------------------------------------------------

WANTED = frozenset({"reasoning_content"})
KEPT = {"a": Kept((Reasoning("let me "), Reasoning("see"))), "sealed": Kept((Reasoning(opaque="x"),))}

PUT: dict[str, tuple[dict[str, Any], str | None]] = {
    # message, the reasoning_content it has in the end
    "remembered": ({"tool_calls": [call("a")]}, "let me see"),
    "remembered by the second call": ({"tool_calls": [call("b"), call("a")]}, "let me see"),
    "sent back": ({"tool_calls": [call("a")], "reasoning_content": "mine"}, "mine"),
    "sent back in another spelling": ({"tool_calls": [call("a")], "reasoning": "mine"}, "mine"),
    "sent back in OpenRouter's spelling": (
        {"tool_calls": [call("a")], "reasoning_details": [{"type": "reasoning.text", "text": "mine"}]},
        "mine",
    ),
    "of a call nobody knows": ({"tool_calls": [call("z", "g", '{"x":1}')]}, 'Next: g {"x":1}'),
    "thoughts that cannot be read": ({"tool_calls": [call("sealed")]}, "Next: f {}"),
    "an empty one": ({"tool_calls": [call("z")], "reasoning_content": ""}, "Next: f {}"),
    "the answer at the end": ({"content": "It is sunny."}, "To say: It is sunny."),
    "nothing at all": ({"content": ""}, None),
}


@pytest.mark.parametrize(("message", "thought"), PUT.values(), ids=PUT)
def test_thoughts_are_put_back(message: dict[str, Any], thought: str | None):
    before = {"role": "assistant", "content": None, "tool_calls": [call("first")], "reasoning_content": "x"}
    body = request(FIRST, before, {"role": "assistant", **message})
    after = messages_of(with_thoughts(body, WANTED, KEPT.get))
    assert after[:2] == [FIRST, before]
    assert after[2].get("reasoning_content") == thought
    assert {key: value for key, value in after[2].items() if key != "reasoning_content"} == {
        key: value for key, value in {"role": "assistant", **message}.items() if key != "reasoning_content"
    } | ({"reasoning_content": ""} if thought is None and "reasoning_content" in message else {})


def test_no_thoughts_are_made_up_where_no_tools_were_called():
    body = request(FIRST, SAID)
    assert with_thoughts(body, WANTED, KEPT.get) is body


DETAILS = [
    {"type": "reasoning.text", "text": "let me", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "x", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
]


def test_details_go_back_as_they_came():
    (thought,) = remembered([{"reasoning_details": DETAILS}])
    assert (thought.content, thought.format) == ("let me", OPENROUTER)
    body = request(FIRST, {"role": "assistant", "content": None, "tool_calls": [call("a")]})
    (_, put) = messages_of(with_thoughts(body, frozenset({"reasoning_details"}), {"a": Kept((thought,))}.get))
    assert put["reasoning_details"] == DETAILS
    unknown = with_thoughts(body, frozenset({"reasoning_details"}), KEPT.get)
    assert unknown is body, "what others thought is not OpenRouter's, and none is made up"


def test_details_in_pieces_are_put_together():
    first, second = DETAILS
    pieces = [{**first, "text": "let", "signature": None}, {**first, "text": " me", "signature": None}]
    pieces += [{"type": "reasoning.text", "signature": "s", "index": 0}, second, {**second, "data": "y"}]
    (thought,) = remembered([{"reasoning_details": [piece]} for piece in pieces])
    assert json.loads(thought.opaque or "") == [first, second, {**second, "data": "y"}]


# As it passes ---------------------------------------------------------------------------------------------------------


def chunk(delta: dict[str, Any], reason: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return event(json.dumps({"id": "c", "choices": [choice]}).encode())


STREAM = b"".join(
    (
        chunk({"role": "assistant", "content": None, "reasoning_content": "let me "}),
        chunk({"reasoning_content": "see"}),
        chunk({"reasoning_content": "another"}, index=1),
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
    )
)


def test_what_is_thought_in_a_stream_is_kept_for_who_wants_it():
    for replays, kept in ((WANTED, [("a", Kept((Reasoning("let me see"),)))]), (frozenset(), [])):
        passing = Passing(CHAT, replays=frozenset(replays))
        assert passing.feed(STREAM, 0.0) is STREAM
        assert [*passing.digest.kept()] == kept


def test_what_is_thought_in_a_whole_answer_is_kept_for_who_wants_it():
    message = {"role": "assistant", "content": None, "reasoning_content": "let me see", "tool_calls": [call("a")]}
    body = json.dumps(
        {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    ).encode()
    for vendor, kept in (("deepseek", [("a", Kept((Reasoning("let me see"),)))]), ("openai", [])):
        answer = PassThrough(CHAT, VENDORS[vendor]).whole(body, 0.0)
        assert isinstance(answer, tuple)
        said, whole = answer
        assert said is body
        assert isinstance(whole, Whole)
        assert [*whole.kept()] == kept


# The vendors ----------------------------------------------------------------------------------------------------------

FOREIGN = request(
    {"role": "developer", "content": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]},
    {"role": "user", "content": "go"},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "reasoning": "hm",
        "reasoning_details": DETAILS,
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
        "refusal": None,
        "annotations": [],
        "tool_calls": [call("toolu_1", extra_content={"google": {"thought_signature": "s"}})],
    },
    {"role": "tool", "tool_call_id": "toolu_1", "content": "done"},
)
FOREIGN_KEYS = {"reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "refusal", "annotations"}
LEFT: dict[str, set[str]] = {
    # vendor: what it takes of these
    "openai": {"refusal", "annotations"},
    "azure_openai": {"refusal", "annotations"},
    "groq": {"reasoning"},
    "cerebras": {"reasoning"},
    "mistral": set(),
    "openrouter": FOREIGN_KEYS,
    "deepseek": FOREIGN_KEYS,
    "vllm": FOREIGN_KEYS,
}


@pytest.mark.parametrize(("vendor", "left"), LEFT.items(), ids=LEFT)
def test_a_foreign_history_fits_each_vendor(vendor: str, left: set[str]):
    sent = PassThrough(CHAT, VENDORS[vendor]).request(Asked(FOREIGN, CHAT.peek(FOREIGN), "m", "m"))
    messages = messages_of(sent.body)
    assert set(messages[2]) & FOREIGN_KEYS == left
    strict = left != FOREIGN_KEYS
    assert (b"cache_control" in sent.body, b"extra_content" in sent.body) == (not strict, not strict)
    assert ("messages[2].reasoning_content" in sent.dropped) == strict
    assert messages[0]["role"] == ("system" if vendor in ("mistral", "deepseek") else "developer")
