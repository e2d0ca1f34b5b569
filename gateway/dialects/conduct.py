"""What became of the tool calls a model made, read from the request that brings their results: for telemetry.

How a call is judged is in ``verdicts.py``; a whole conversation, turn by turn, is read by ``gateway.routing.turns``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.chat import LONGEST_NAME
from gateway.dialects.conversation import Conversation, Message, answered
from gateway.dialects.signs import Verdict
from gateway.dialects.verdicts import Verdicts, verdicts
from gateway.dialects.words import SHIPPED, Words

MOST_CALLS = 200  # of one message: no agent makes more at once, but a body may claim anything


class Judged(msgspec.Struct, frozen=True):
    """One tool call. ``id`` is made of its place in the conversation where the call has none."""

    id: str
    tool: str
    outcome: Verdict
    evidence: str
    """The marker that told, 80 characters at most; nothing of what the tool brought."""
    repeated: bool
    """The tool's last result before this call was a failure."""


def judged(conversation: Conversation, words: Words = SHIPPED) -> tuple[Judged, ...]:
    """The calls of the last assistant message, in order; () where it made none, or nothing follows it yet.

    Over a session each call is judged once: its results first travel in the request that follows the answer that
    called, and there that answer is the last assistant message; in every later request a newer answer is. A request
    sent again, or one after an answer that got lost, tells the same once more: the ids say so. (A call whose agent puts
    an assistant message of its own behind the results is not judged at all.) Never raises.
    """
    messages = conversation.messages
    last = next((place for place in range(len(messages) - 1, -1, -1) if messages[place].role == "assistant"), None)
    if last is None or last == len(messages) - 1 or not messages[last].size_of_calls():
        return ()
    calls = messages[last].calls(last)[:MOST_CALLS]
    if not calls:
        return ()
    judge, offered = verdicts(words), frozenset(conversation.tools)
    failed = _failed_before(messages[:last], {call.tool for call in calls}, offered, judge)
    results, _ = answered(calls, (message for message in messages[last + 1 :] if message.role == "tool"))
    return tuple(
        Judged(
            call.id[:LONGEST_NAME],
            call.tool[:LONGEST_NAME],
            *judge.of(call, result.said() if result else None, offered),
            call.tool in failed,
        )
        for call, result in zip(calls, results, strict=True)
    )


def _failed_before(messages: Sequence[Message], tools: set[str], offered: frozenset[str], judge: Verdicts) -> set[str]:
    """Those of the tools whose last result was a failure. Reads backwards, as far as it must."""
    failed: set[str] = set()
    wanted = set(tools)
    following: list[Message] = []
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if message.role == "tool":
            following.append(message)
        elif message.role == "assistant":
            calls = message.calls(place) if following and message.may_call(wanted) else []
            results, _ = answered(calls, reversed(following))
            for call, result in zip(reversed(calls), reversed(results), strict=True):
                if call.tool in wanted and result is not None:
                    wanted.remove(call.tool)
                    if judge.of(call, result.said(), offered).verdict != "ok":
                        failed.add(call.tool)
            following = []
        if not wanted:
            break
    return failed
