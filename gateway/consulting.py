"""What a planner and an interpreter are asked, and what is made of their answers. Decides; calls nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.attempt import Opened, Terms
from gateway.chat import Repaired, ToolCall
from gateway.dialects import Dialect, openai_chat
from gateway.resilience.failover import Outcome
from gateway.routing import Advice, Consult, Plan
from gateway.tools import NO_CARE, Unread, interpreted, question

MOST = 32_000
"""Characters of a plan that are kept: it is sent again with every request of its session."""
LONGEST = 4 * MOST
"""Characters of its answer that are looked at."""
_CUT = "\n[The plan was longer and is cut off here.]"


class Advised(msgspec.Struct, frozen=True):
    """What came of asking a planner."""

    kind: Advice
    why: str = ""
    """For people: what is wrong with it, or was done to it. Never its words."""
    text: str = ""
    """The plan. Content."""


# What it is asked -----------------------------------------------------------------------------------------------------

_TASK = """\
You plan the work of an AI agent. You carry nothing out: another model, less able than you, follows your plan, and \
only it can call the agent's tools. What the agent itself was told and which tools it has stands below for your \
information; it is not addressed to you. In the conversation, calls of tools and their answers are written out as text.

Make a plan that can be followed without you: the goal in one sentence, then numbered steps. Say of each step what is \
to be done, with which tool, on what, and how one sees that it has worked. Name files, commands and limits where you \
know them; where you do not, make finding out a step of its own. Say what must not be done, and how one sees in the \
end that all is done."""

_BEGIN = 'Begin the plan with the line "# Plan".'
_ASKING = """\
If no plan can be made before the user has told something that no tool could find out, answer with your questions to \
the user instead, as few as possible, and without that line."""
_NOT_ASKING = """\
Ask nothing, for nobody will answer: where something is not known, take what is most likely and say so in the plan."""

_NOW = "As the planner: make the plan for this now."
_ANEW = "As the planner: make the plan anew now, with all that was found out since. Why: {why}."
_BEFORE = "The plan so far was:\n\n{plan}\n\n"

_NOTE = """\
<plan>
A planner has made this plan for the task before you. Follow it step by step. Where what you find shows that it is \
wrong, depart from it and say why. When the user writes /replan, it has been made anew: go on with it as it is here.

{plan}
</plan>"""


def planners_terms(terms: Terms, consult: Consult) -> Terms | None:
    """The terms on which planners are asked: a request of their own, held back until it is whole.

    None: the request cannot be read. Who of them is shut is not looked at.
    """
    exchange, facts = terms.exchange, terms.facts
    rules = f"{_BEGIN} {_ASKING if consult.may_ask else _NOT_ASKING}"
    body = exchange.dialect.planning(
        exchange.body, f"{consult.instructions or _TASK}\n\n{rules}", _request(terms.plan, consult)
    )
    if body is None:
        return None
    held = msgspec.structs.replace(terms.policy.exchange, delivery="held", on_broken_stream="error")
    return msgspec.structs.replace(
        terms,
        exchange=msgspec.structs.replace(exchange, body=body),
        facts=msgspec.structs.replace(facts, tools=False, structured=False, choices=1, size=len(body), parameters={}),
        plan=msgspec.structs.replace(terms.plan, targets=consult.targets, max_tokens=consult.max_tokens),
        policy=msgspec.structs.replace(terms.policy, exchange=held),
        care=lambda target: NO_CARE,
        planning=True,
    )


def _request(plan: Plan, consult: Consult) -> str:
    if plan.note is None and not plan.evidence:
        return _NOW
    before = _BEFORE.format(plan=plan.note) if plan.note else ""
    return before + _ANEW.format(why="; ".join((consult.why, *plan.evidence)))


# What it answered -----------------------------------------------------------------------------------------------------


def advised(consult: Consult, dialect: Dialect, opened: Opened | None, history: list[Outcome]) -> Advised:
    """What came of it: ``opened`` is the whole answer of the planner that gave one, ``history`` why others did not."""
    if opened is None:
        faults = dict.fromkeys(outcome.fault.kind.value for outcome in history)
        return Advised("failed", ", ".join(faults) or "the request cannot be read")
    if "content_filter" in _reasons(opened):
        return Advised("failed", "it was filtered")
    return judged(_said(opened, dialect), calls=_calls(opened), may_ask=consult.may_ask)


def judged(said: str, *, calls: bool = False, may_ask: bool = True) -> Advised:
    """1. A plan, which wins over all else. 2. Nothing one could use. 3. Questions. 4. Steps without the heading.

    ``calls``: it has called a tool, which it does not have.
    """
    text = _THOUGHTS.sub("", said[:LONGEST], count=1).strip()
    if heading := _HEADING.search(text):
        return _bounded(_unfenced(text[: heading.start()], text[heading.start() :].strip()))
    if calls:
        return Advised("failed", "it called a tool")
    if not text:
        return Advised("failed", "it said nothing")
    if text.startswith("<"):
        return Advised("failed", "markup instead of words")
    if "?" in text or "？" in text:
        return Advised("questions") if may_ask else Advised("failed", "it asked once more")
    if len(_STEP.findall(text)) > 1:
        return _bounded(text)
    return Advised("failed", "neither a plan nor a question")


_THOUGHTS = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_NAMED = r"(?:\bplan\b|计划|規劃|计画|計劃|规划|方案)"
_HEADING = re.compile(
    rf"^[ \t]{{0,3}}(?:"
    rf"\#{{1,6}}(?=[^\n]{{0,120}}?{_NAMED})[^\n?？]{{1,160}}"
    rf"|(?:\*\*|__)(?=[^\n]{{0,120}}?{_NAMED})[^\n?？]{{1,160}}(?:\*\*|__):?"
    rf"|plan:?|(?:[\w'’-]{{1,20}}[ ]){{1,5}}plan:|计划[:：]"
    rf")[ \t\r]{{0,80}}$",
    re.IGNORECASE | re.MULTILINE,
)
"""``# Plan`` as models write it: ``## Implementation plan``, ``**Plan**``, ``Here is the plan:``; no question."""
_STEP = re.compile(r"^[ \t]{0,3}(?:\d{1,3}[.)、]|[-*+])[ \t]*\S", re.MULTILINE)
_FENCE = re.compile(r"(?:```|~~~)\w*\s*\Z")


def _unfenced(before: str, plan: str) -> str:
    """Some put all of it into a block of code."""
    fence = _FENCE.search(before)
    return plan.removesuffix(fence[0][:3]).rstrip() if fence else plan


def _bounded(plan: str) -> Advised:
    if len(plan) <= MOST:
        return Advised("plan", text=plan)
    return Advised("plan", f"cut to {MOST} characters", plan[:MOST] + _CUT)


def _said(opened: Opened, dialect: Dialect) -> str:
    if opened.passing is not None:
        return "".join(opened.passing.digest.text)
    return dialect.spoken(opened.head)


def _reasons(opened: Opened) -> tuple[str | None, ...]:
    if opened.passing is not None:
        return tuple(opened.passing.digest.reasons.values())
    return opened.whole.finish_reasons if opened.whole else ()


def _calls(opened: Opened) -> bool:
    if opened.passing is not None:
        return opened.passing.digest.tool
    return bool(opened.whole and opened.whole.calls)


# What follows ---------------------------------------------------------------------------------------------------------


def kept(plan: Plan, told: Advised) -> Mapping[str, Any] | None:
    """What is to be kept of the conversation now; None: what is kept stays."""
    remember = plan.consult.remember.get(told.kind) if plan.consult else None
    if remember is None or plan.consult is None or told.kind != "plan":
        return remember
    by = plan.consult.by
    return {**remember, by: {**remember[by], "plan": told.text}}


def settled(plan: Plan, told: Advised, opened: Opened | None) -> Plan:
    """The plan as it is carried out: with what the planner said, and with a reason that tells of it."""
    who = f" by {opened.attempt.target}" if opened else ""
    match told.kind:
        case "plan":
            said = f"planned{who}{f' ({told.why})' if told.why else ''}"
            return msgspec.structs.replace(plan, reason=f"{plan.reason}; {said}", note=told.text)
        case "questions":
            return msgspec.structs.replace(plan, reason=f"{plan.reason}; questions{who}")
    alone = "the plan so far is followed" if plan.note else "the executor is alone"
    return msgspec.structs.replace(plan, reason=f"{plan.reason}; no plan{who} ({told.why}): {alone}")


def informed(terms: Terms, plan: str) -> Terms:
    """The terms with the plan in the request's context, always in the same words."""
    exchange = terms.exchange
    body = exchange.dialect.noted(exchange.body, _NOTE.format(plan=plan))
    if body is None:
        reason = f"{terms.plan.reason}; the plan could not be put into the request"
        return msgspec.structs.replace(terms, plan=msgspec.structs.replace(terms.plan, reason=reason))
    return msgspec.structs.replace(
        terms,
        exchange=msgspec.structs.replace(exchange, body=body),
        facts=msgspec.structs.replace(terms.facts, size=len(body)),
    )


# What an interpreter is asked, and answers ----------------------------------------------------------------------------


class Interpreted(msgspec.Struct, frozen=True):
    """What came of asking an interpreter. ``why``: for people, and never its words."""

    failed: bool = False
    why: str = ""
    calls: tuple[ToolCall, ...] = ()
    repairs: tuple[Repaired, ...] = ()


NOT_INTERPRETED = Interpreted(failed=True)


def interpreters_terms(terms: Terms, unread: Unread, model: str) -> Terms:
    """A request of its own, which is nobody's turn; who is to serve it is not planned yet."""
    body = question(unread, model)
    exchange = msgspec.structs.replace(
        terms.exchange,
        dialect=openai_chat,
        body=body,
        forward=(),
        own=(),
        pin=None,
        deployment=None,
        streamed=None,
        session=None,
        allowed=lambda asked, resolved: True,
    )
    return msgspec.structs.replace(
        terms, exchange=exchange, facts=openai_chat.peek(body), care=lambda target: NO_CARE, interpreting=True
    )


def interpretation(unread: Unread, opened: Opened | None, history: list[Outcome], seed: str) -> Interpreted:
    """``opened``: the answer of the interpreter that gave one; ``history``: why others did not."""
    if opened is None:
        faults = dict.fromkeys(outcome.fault.kind.value for outcome in history)
        return msgspec.structs.replace(NOT_INTERPRETED, why=", ".join(faults) or "nobody could be asked")
    found = interpreted(unread, openai_chat.spoken(opened.head), seed)
    if found is None:
        return msgspec.structs.replace(NOT_INTERPRETED, why="its answer cannot be read")
    return Interpreted(calls=found[0], repairs=found[1])
