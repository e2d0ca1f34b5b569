"""What Copilot is told besides the body: who began the turn, and whether there is something to see."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.vendors import VENDORS, Account, routes
from gateway.vendors.github_copilot import adapt

ROW = VENDORS["github_copilot"]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TEXT = {"type": "text", "text": "look"}
USER, TOOL = {"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "c", "content": "ok"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
SYSTEM = {"role": "system", "content": "be brief"}


def shows(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


CASES: dict[str, tuple[list[Any], str, bool]] = {
    # messages, who began the turn, something to see
    "a first word": ([SYSTEM, USER], "user", False),
    "a tool's result": ([USER, CALL, TOOL], "agent", False),
    "several results": ([USER, CALL, TOOL, TOOL], "agent", False),
    "a function's result": ([USER, {"role": "function", "content": "ok"}], "agent", False),
    "the user again, after answers": (
        [USER, CALL, TOOL, {"role": "assistant", "content": "done"}, USER],
        "user",
        False,
    ),
    "the user interrupts": ([USER, CALL, TOOL, USER], "user", False),
    "an answer to go on with": ([USER, {"role": "assistant", "content": "so"}], "agent", False),
    "instructions behind the user's word": ([USER, SYSTEM], "user", False),
    "instructions behind a result": ([USER, CALL, TOOL, {"role": "developer", "content": "x"}], "agent", False),
    "an image": ([shows(TEXT, IMAGE)], "user", True),
    "an image alone": ([shows(IMAGE)], "user", True),
    "an image alone, after an answer": ([USER, {"role": "assistant", "content": "so"}, shows(IMAGE)], "user", True),
    "a tool's image, in a message of its own": ([USER, CALL, TOOL, shows(IMAGE)], "agent", True),
    "an older image": ([shows(TEXT, IMAGE), CALL, TOOL], "agent", True),
    "a result as Anthropic words it": (
        [USER, CALL, shows({"type": "tool_result", "tool_use_id": "c", "content": "ok"})],
        "agent",
        False,
    ),
    "an image in one": (
        [USER, CALL, shows({"type": "tool_result", "content": [{"type": "image", "source": {}}]})],
        "agent",
        True,
    ),
    "nothing": ([], "user", False),
    "nonsense": (["x", None, {"role": "user", "content": ["x", 1]}, {"role": 3}], "agent", False),
}


@pytest.mark.parametrize(("messages", "initiator", "vision"), CASES.values(), ids=CASES)
def test_headers(messages: list[Any], initiator: str, vision: bool):
    body = {"model": "gpt-4.1", "messages": messages}
    adapted = adapt(body, "gpt-4.1")
    assert adapted.body is body
    said = dict(adapted.headers)
    assert said.pop("x-initiator") == initiator
    assert said == ({"copilot-vision-request": "true"} if vision else {})


@pytest.mark.parametrize("body", [{}, {"messages": "x"}, {"input": "embed me"}])
def test_what_is_no_chat_is_the_users(body: dict[str, Any]):
    assert adapt(body, "m").headers == (("x-initiator", "user"),)


HOST = "https://api.githubcopilot.com"


@pytest.mark.parametrize(
    ("pasted", "base"),
    [
        (None, HOST),
        (HOST + "/", HOST),
        (HOST + "/v1", HOST),
        (HOST + "/chat/completions", HOST),
        (HOST + "/v1/messages", HOST),
        ("https://copilot-api.acme.ghe.com", "https://copilot-api.acme.ghe.com"),
        ("http://127.0.0.1:9999", "http://127.0.0.1:9999"),
        ("https://gw.corp/copilot", "https://gw.corp/copilot"),
    ],
)
def test_urls_have_no_version_but_for_messages(pasted: str | None, base: str):
    account = Account(base_url=pasted)
    assert routes(ROW, account).urls == {
        "chat": base + "/chat/completions",
        "models": base + "/models",
        "embeddings": base + "/embeddings",
    }
    messages, responses = ROW.faces
    assert routes(messages, account).url("chat") == base + "/v1/messages"
    assert routes(responses, account).url("chat") == base + "/responses"


def test_claude_is_to_be_had_both_ways():
    messages, _ = ROW.faces
    assert (ROW.dialect, messages.dialect) == ("openai_chat", "anthropic_messages")
    assert [row.has("claude-sonnet-4.5") for row in (ROW, messages)] == [True, True]
    assert [row.has("gpt-4.1") for row in (ROW, messages)] == [True, False]
    assert {"editor-version", "copilot-integration-id", "anthropic-version"} <= set(messages.headers)
    assert all(name == name.lower() for name in messages.headers)
