"""Markers of what is to be cached, on their way to vendors that know none."""

from __future__ import annotations

import json

import pytest

from gateway.dialects import DIALECTS
from gateway.translate import Asked, translator
from gateway.vendors import VENDORS
from gateway.vendors.foreign import MARKERS
from tests.corpus import case

MESSAGES = DIALECTS["anthropic_messages"]
CLAUDE_CODE = case("anthropic_messages", "claude_code.request.json")
CHAT = {name: vendor for name, vendor in VENDORS.items() if vendor.dialect == "openai_chat"}


@pytest.mark.parametrize("name", [name for name, vendor in CHAT.items() if vendor.drop_from_messages >= MARKERS])
def test_who_refuses_them_gets_plain_strings(name: str):
    """Of instructions and results: some of these vendors read no lists there."""
    assert b"cache_control" in CLAUDE_CODE
    asked = Asked(CLAUDE_CODE, MESSAGES.peek(CLAUDE_CODE), "m", "m")
    made = translator(MESSAGES, CHAT[name]).request(asked)
    assert b"cache_control" not in made.body
    for message in json.loads(made.body)["messages"]:
        if message["role"] != "user":
            assert isinstance(message["content"], str)
    assert [each for each in made.dropped if "cache_control" in each] == ["cache_control"]


def test_others_get_them_where_they_are():
    asked = Asked(CLAUDE_CODE, MESSAGES.peek(CLAUDE_CODE), "m", "m")
    made = translator(MESSAGES, VENDORS["openrouter"]).request(asked)
    assert made.body.count(b"cache_control") == CLAUDE_CODE.count(b"cache_control")
    assert "cache_control" not in made.dropped
