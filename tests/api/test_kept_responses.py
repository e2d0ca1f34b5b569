"""Answers that later requests go on with: put together, or left to the vendor, or refused; never for ever."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.api.kept_responses import MOST_BEFORE, Going, KeptResponses
from gateway.errors import CallerError
from gateway.stores.memory import MemoryStore

LIMIT = 10_000


class Kept:
    """What one caller says and hears."""

    def __init__(self) -> None:
        self.responses = KeptResponses(MemoryStore(lambda: 0.0, 60.0, 10 * MOST_BEFORE))

    def go_on(self, previous: str | None, text: str = "Hello?", *, caller: str = "ci") -> Going:
        body = json.dumps({"input": text, "previous_response_id": previous}).encode()
        return asyncio.run(self.responses.going_on(body, caller, LIMIT))

    def say(self, name: str, previous: str | None = None, text: str = "Hello?") -> Going:
        going = self.go_on(previous, text)
        answer = {"id": name, "output": [{"type": "message", "role": "assistant", "content": f"I am {name}."}]}
        self.responses.keep("ci", going, json.dumps(answer).encode())
        return going


def texts(going: Going) -> list[str]:
    asked: dict[str, Any] = json.loads(going.body)
    assert "previous_response_id" not in asked
    return [each["content"] for each in asked["input"]]


def test_all_that_was_said_before() -> None:
    kept = Kept()
    kept.say("one")
    kept.say("two", "one", "And then?")
    assert texts(kept.go_on("two", "So?")) == ["Hello?", "I am one.", "And then?", "I am two.", "So?"]


@pytest.mark.parametrize("why", ["unknown", "another caller's", "a piece is missing", "given twice", "too many"])
def test_what_is_not_all_here_is_left_to_the_vendor(why: str) -> None:
    kept, caller = Kept(), "ci"
    kept.say("one")
    kept.say("two", "one")
    match why:
        case "another caller's":
            caller = "other"
        case "a piece is missing":
            asyncio.run(kept.responses.forget("ci", "one"))
        case "given twice":
            kept.say("one", "two")
        case "too many":
            for number in range(MOST_BEFORE):
                record = {"previous": "two", "input": [], "response": {"id": "two"}}
                record |= {"previous": str(number - 1)} if number else {}
                kept.responses._shelf.put(f"response:ci:{number}", json.dumps(record).encode())
    last = {"unknown": "three", "too many": str(MOST_BEFORE - 1)}.get(why, "two")
    going = kept.go_on(last, caller=caller)
    assert (going.body, going.previous) == (going.said, None)


def test_an_input_that_is_none_is_refused_later() -> None:
    kept = Kept()
    kept.say("one")
    body = b'{"input": {"role": "user"}, "previous_response_id": "one"}'
    going = asyncio.run(kept.responses.going_on(body, "ci", LIMIT))
    assert (going.body, going.previous) == (body, None)


def test_with_keys_nothing_goes_on_that_may_be_anothers() -> None:
    kept = Kept()
    kept.say("one")
    body = json.dumps({"input": "Hello?", "previous_response_id": "one"}).encode()
    assert asyncio.run(kept.responses.going_on(body, "ci", LIMIT, keyed=True)).previous == "one"
    with pytest.raises(CallerError) as refused:
        asyncio.run(kept.responses.going_on(body, "another", LIMIT, keyed=True))
    assert (refused.value.status, refused.value.code) == (400, "previous_response_not_found")


def test_together_they_are_no_larger_than_a_request_may_be() -> None:
    kept = Kept()
    kept.say("one", text="x" * (LIMIT // 2))
    assert len(texts(kept.go_on("one"))) == 3
    with pytest.raises(CallerError) as refused:
        kept.go_on("one", "x" * (LIMIT // 2))
    assert (refused.value.status, refused.value.code) == (413, "request_too_large")
