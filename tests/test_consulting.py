"""What is made of a planner's answer."""

from __future__ import annotations

import time

import pytest

from gateway.consulting import MOST, Advised, judged, kept, settled
from gateway.routing import Consult, Plan, Target

PLANS = {
    "# Plan\n1. Look.": "# Plan\n1. Look.",
    "#Plan\n1. Look.": "#Plan\n1. Look.",
    "## Implementation plan\n\n1. Look.": "## Implementation plan\n\n1. Look.",
    "### 1. The Plan:\n- Look.": "### 1. The Plan:\n- Look.",
    "**Plan**\n1. Look.": "**Plan**\n1. Look.",
    "**Plan:**\n1. Look.": "**Plan:**\n1. Look.",
    "Plan:\n1. Look.": "Plan:\n1. Look.",
    "PLAN\n1. Look.": "PLAN\n1. Look.",
    "Here is the plan:\n1. Look.": "Here is the plan:\n1. Look.",
    "# 计划\n1. 看。": "# 计划\n1. 看。",
    "计划：\n1. 看。": "计划：\n1. 看。",
    "Sure!\n\n# Plan\n1. Look.\n": "# Plan\n1. Look.",
    "```markdown\n# Plan\n1. Look.\n```": "# Plan\n1. Look.",
    "Here it is:\n```\n# Plan\n1. Run ```x```\n```": "# Plan\n1. Run ```x```",
    "<think>Should I ask? # Plan B\n# Plan\n</think>\n# Plan\n1. Look.": "# Plan\n1. Look.",
    "# Plan\r\n1. Look.": "# Plan\r\n1. Look.",
    # A plan wins over questions.
    "Which one?\n# Plan\n1. Ask: which one?": "# Plan\n1. Ask: which one?",
    # Steps without the heading.
    "1. Look at a.py.\n2. Mend it.": "1. Look at a.py.\n2. Mend it.",
    "- Look.\n- Mend.": "- Look.\n- Mend.",
}
QUESTIONS = [
    "Which database is it?",
    "1. Which database?\n2. Which port?",
    "# Which plan do you mean?\nA or B",
    "What is your plan?",
    "用哪个数据库？",
]
FAILURES = {
    "": "it said nothing",
    "  \n": "it said nothing",
    "<think># Plan</think>": "it said nothing",
    "I cannot help with that.": "neither a plan nor a question",
    "I planned nothing.": "neither a plan nor a question",
    "1. Only one line": "neither a plan nor a question",
}


@pytest.mark.parametrize(("said", "plan"), PLANS.items())
def test_a_plan(said: str, plan: str) -> None:
    for may_ask in (True, False):
        told = judged(said, may_ask=may_ask)
        assert (told.kind, told.text) == ("plan", plan)


@pytest.mark.parametrize("said", QUESTIONS)
def test_questions(said: str) -> None:
    assert judged(said).kind == "questions"
    assert judged(said, may_ask=False).why == "it asked once more"


@pytest.mark.parametrize(("said", "why"), FAILURES.items())
def test_nothing_of_use(said: str, why: str) -> None:
    assert judged(said) == judged(said, may_ask=False)
    assert (judged(said).kind, judged(said).why) == ("failed", why)


@pytest.mark.parametrize(("said", "kind"), [("# Plan\n1. Look.", "plan"), ("Which?", "failed"), ("", "failed")])
def test_a_tool_it_does_not_have(said: str, kind: str) -> None:
    told = judged(said, calls=True)
    assert (told.kind, told.why) == (kind, "" if kind == "plan" else "it called a tool")


def test_a_plan_that_is_too_long_is_cut_and_says_so() -> None:
    told = judged("# Plan\n" + "x" * 1_000_000)
    assert told.kind == "plan"
    assert told.why == f"cut to {MOST} characters"
    assert len(told.text) < MOST + 100
    assert told.text.endswith("is cut off here.]")


@pytest.mark.parametrize("piece", ["# ", "#", "**", "a ", "\n", "1.\n", "# plan?\n", "<think>", "```"])
def test_long_answers_are_read_in_time_that_grows_with_them(piece: str) -> None:
    """A bound of two orders of magnitude above what it takes: what grows with the square takes minutes."""
    began = time.process_time()
    judged(piece * (600_000 // len(piece)))
    assert time.process_time() - began < 5


PLAN = Plan(
    model="m", targets=(Target("e", "m"),), reason="turn=1; why", note="# Old", remember={"at": "x", "turns": 1}
)


def test_what_is_kept() -> None:
    remember = {"plan": {"e": {"at": "x"}, "m": {"turns": 2}}, "questions": {"e": {"at": "x"}, "m": {"rounds": 1}}}
    plan = Plan(model="m", targets=(), reason="", consult=Consult((), "why", by="m", remember=remember))  # type: ignore[arg-type]
    assert kept(plan, Advised("plan", text="# P")) == {"e": {"at": "x"}, "m": {"turns": 2, "plan": "# P"}}
    assert kept(plan, Advised("questions")) == {"e": {"at": "x"}, "m": {"rounds": 1}}
    assert kept(plan, Advised("failed")) is None


def test_the_reason_tells_what_came_of_it() -> None:
    assert settled(PLAN, Advised("plan", text="# New"), None).note == "# New"
    assert settled(PLAN, Advised("failed", "rate_limited"), None).reason == (
        "turn=1; why; no plan (rate_limited): the plan so far is followed"
    )
