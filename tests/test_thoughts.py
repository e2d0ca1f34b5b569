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
