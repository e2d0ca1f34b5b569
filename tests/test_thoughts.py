"""What models thought is kept for its caller alone, and not without end."""

from __future__ import annotations

from gateway.chat import Kept, Reasoning
from gateway.thoughts import Thoughts

KEPT = Kept((Reasoning("because", "signed", None, "anthropic"),))


def test_a_call_brings_back_what_was_thought_before_it():
    thoughts = Thoughts()
    thoughts.keep("ci", "call_1", KEPT)
    assert thoughts.recall("ci", "call_1") == KEPT
    assert thoughts.recall("ci", "call_2") is None


def test_one_caller_does_not_see_what_belongs_to_another():
    thoughts = Thoughts()
    thoughts.keep("ci", "call_1", KEPT)
    assert thoughts.recall("other", "call_1") is None
    assert thoughts.recall(None, "call_1") is None


def test_what_was_used_longest_ago_goes_first():
    thoughts = Thoughts(limit=1000)
    for number in range(3):
        thoughts.keep(None, f"call_{number}", Kept((Reasoning("x" * 100),)))
    assert thoughts.recall(None, "call_0")
    thoughts.keep(None, "call_3", Kept((Reasoning("x" * 100),)))
    assert [bool(thoughts.recall(None, f"call_{number}")) for number in range(4)] == [True, False, True, True]


def test_what_is_too_large_is_not_kept_and_drives_nothing_out():
    thoughts = Thoughts(limit=1000)
    thoughts.keep(None, "call_0", KEPT)
    thoughts.keep(None, "call_1", Kept((Reasoning("x" * 2000),)))
    assert thoughts.recall(None, "call_0")
    assert thoughts.recall(None, "call_1") is None


def test_the_same_call_again_is_counted_once():
    thoughts = Thoughts(limit=1000)
    for _ in range(50):
        thoughts.keep(None, "call_0", KEPT)
    thoughts.keep(None, "call_1", KEPT)
    assert thoughts.recall(None, "call_0")


OTHER = Kept((Reasoning("otherwise", None, None, None),))


def test_an_id_that_is_counted_belongs_to_its_conversation():
    thoughts = Thoughts()
    for call_id in ("functions.f:0", "call_1"):
        thoughts.keep("ci", call_id, KEPT, "ci:a")
    assert thoughts.recall("ci", "functions.f:0", "ci:a") == KEPT
    assert thoughts.recall("ci", "functions.f:0", "ci:b") is None
    assert thoughts.recall("ci", "functions.f:0") is None
    # Any other is one of a kind, and known to who names no conversation, too.
    assert thoughts.recall("ci", "call_1") == KEPT


def test_a_counted_id_of_two_conversations_without_names_is_nobodys():
    thoughts = Thoughts()
    thoughts.keep("ci", "functions.f:0", KEPT)
    thoughts.keep("ci", "functions.f:0", KEPT)
    assert thoughts.recall("ci", "functions.f:0") == KEPT
    for _ in range(2):
        thoughts.keep("ci", "functions.f:0", OTHER)
        assert thoughts.recall("ci", "functions.f:0") is None
    # With names, and for ids that are one of a kind, the later answer is to the same question.
    for call_id, session in (("functions.f:0", "ci:a"), ("call_1", None)):
        thoughts.keep("ci", call_id, KEPT, session)
        thoughts.keep("ci", call_id, OTHER, session)
        assert thoughts.recall("ci", call_id, session) == OTHER
