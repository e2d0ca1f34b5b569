"""Who chooses the model, and what becomes of a choice that cannot be followed."""

from __future__ import annotations

import asyncio
import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from gateway.app import Runtime
from gateway.attempt import Exchange
from gateway.chat import Facts
from gateway.config import parse
from gateway.consulting import Advised, kept
from gateway.deciding import Decider
from gateway.dialects import openai_chat, openai_embeddings
from gateway.errors import CallerError
from gateway.relay import for_header, route_of
from gateway.routing import Plan
from gateway.routing.pins import MOST_OLDER

CONFIG = """
providers:
  openai: {api_key: sk-0123456789}
  claude: {vendor: anthropic, api_key: sk-0123456789}
models:
  fast: openai/gpt-5-mini
  smart: claude/claude-sonnet-4-5
  coder: {strategy: lead_worker, lead: smart, worker: fast}
aliases: {gpt-4o: fast}
"""
SESSION = "ci:s-1"


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


ANSWER = {"role": "assistant", "content": "Done."}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "shell", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "ok"}


class Desk:
    def __init__(self) -> None:
        self.runtime = Runtime(parse(CONFIG, {}), None, {}, told=False)

    def plan(
        self,
        *messages: dict[str, Any],
        model: str = "coder",
        header: str | None = None,
        operator: str | None = None,
        only: str | None = None,
        body: bytes | None = None,
    ) -> Plan:
        """``only``: the models the caller may use, a glob."""
        if operator:
            self.runtime.pinned.pin(SESSION, operator)
        sent = body or json.dumps({"model": model, "messages": messages or [user("Go.")]}).encode()
        restricted: dict[str, Any] = {}
        if only:
            allowed = only
            restricted["allowed"] = lambda asked, resolved: any(
                fnmatchcase(name, allowed) for name in (asked, resolved)
            )
        exchange = Exchange(
            id="r",
            dialect=openai_chat,
            body=sent,
            caller="ci",
            session=SESSION,
            pin=header,
            restricted=bool(only),
            **restricted,
        )
        return asyncio.run(self.runtime.gateway.plan(exchange, openai_chat.peek(sent, header)))

    def adopt(self, config: str) -> None:
        """Puts another configuration to work, as a reload does."""
        runtime = self.runtime
        runtime.gateway, runtime.planner, runtime._world = runtime._compose(
            parse(config, {}), runtime.gateway.providers
        )

    def refused(self, *messages: dict[str, Any], **how: Any) -> tuple[int, str, str]:
        with pytest.raises(CallerError) as refused:
            self.plan(*messages, **how)
        return refused.value.status, refused.value.code, refused.value.message


@pytest.fixture
def desk() -> Desk:
    return Desk()


TYPED = (user("/model fast"), ANSWER, user("Go on."))
WHO: dict[str, tuple[dict[str, Any], tuple[str | None, str]]] = {
    "nobody": ({}, (None, "coder")),
    "the header": ({"header": "smart"}, ("x-skein-model", "smart")),
    "the header over the operator": ({"header": "smart", "operator": "fast"}, ("x-skein-model", "smart")),
    "the operator": ({"operator": "openai/gpt-5"}, ("admin", "openai/gpt-5")),
    "the operator over the conversation": ({"operator": "smart", "messages": TYPED}, ("admin", "smart")),
    "the conversation": ({"messages": TYPED}, ("/model", "fast")),
    "the header over all": ({"header": "smart", "operator": "fast", "messages": TYPED}, ("x-skein-model", "smart")),
}


@pytest.mark.parametrize("who", WHO)
def test_who_chooses(who: str, desk: Desk):
    how, expected = WHO[who]
    plan = desk.plan(*how.pop("messages", ()), **how)
    assert (plan.pinned, plan.asked) == expected
    said = for_header(route_of(plan))
    if plan.pinned:
        assert plan.reason.startswith(f"pinned by {plan.pinned}; ")
        assert said.startswith(f"pinned by {plan.pinned}; {plan.strategy}; ")
        assert said.count("pinned") == 1
    else:
        assert said.startswith("lead_worker; role=lead; turn=1")


NAMES = {
    "a configured model": ("smart", "smart", "claude/claude-sonnet-4-5"),
    "an alias": ("gpt-4o", "fast", "openai/gpt-5-mini"),
    "a target": ("openai/gpt-5", "openai/gpt-5", "openai/gpt-5"),
    "a bare name of one provider": ("claude-opus-4-1", "claude/claude-opus-4-1", "claude/claude-opus-4-1"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by", ["header", "operator", "/model"])
def test_what_may_be_named(name: str, by: str, desk: Desk):
    asked, model, target = NAMES[name]
    plan = desk.plan(user(f"/model {asked}")) if by == "/model" else desk.plan(**{by: asked})
    assert (plan.asked, plan.model, str(plan.targets[0])) == (asked, model, target)


def test_a_command_in_the_middle_of_a_tool_loop_holds(desk: Desk):
    loop = (user("Build it."), CALL, RESULT, user("/model fast"), ANSWER, user("Now."), CALL, RESULT)
    assert desk.plan(*loop).asked == "fast"
    assert desk.plan(*loop[:4]).asked == "fast"
    assert desk.plan(*loop, user("/model auto")).pinned is None
    # Said between a call and its result, as agents queue what users type.
    assert desk.plan(user("Build it."), CALL, user("/model fast"), RESULT).asked == "fast"


def test_json_may_escape_the_slash(desk: Desk):
    said = b'{"model": "coder", "messages": [{"role": "user", "content": "\\/model fast"}]}'
    assert desk.plan(body=said).asked == "fast"


def test_nobody_reads_a_conversation_without_commands(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    read: list[bytes] = []
    conversation = openai_chat.conversation
    monkeypatch.setattr(openai_chat, "conversation", lambda body: read.append(body) or conversation(body))
    desk.plan(user("What is a model?"), model="fast")
    assert read == []
    desk.plan(user("/model smart"), model="fast")
    desk.plan(user("What does /model smart do?"), model="fast")
    assert len(read) == 2
    desk.plan(user("/model smart"), model="fast", header="fast")
    assert len(read) == 2, "nor where the header has chosen"


# What cannot be followed


def test_an_unknown_model_is_refused_where_it_is_named(desk: Desk):
    status, code, said = desk.refused(user("/model smrat"))
    assert (status, code) == (404, "model_not_found")
    assert said.startswith("/model smrat: ")
    assert '"smart"' in said or "smart" in said.partition("nearest")[2]
    assert desk.refused(header="smrat")[:2] == (404, "model_not_found")
    with pytest.raises(CallerError) as refused:
        desk.runtime.pinned.pin(SESSION, "smrat")
    assert refused.value.status == 404


def test_later_it_is_passed_over_and_what_was_said_before_holds(desk: Desk):
    after = (user("/model smrat"), user("Go on."))
    plan = desk.plan(*after)
    assert (plan.pinned, plan.model) == (None, "coder")
    assert plan.evidence == ("/model: passed over, model_not_found",)
    plan = desk.plan(user("/model fast"), ANSWER, *after)
    assert (plan.pinned, plan.asked) == ("/model", "fast")
    assert desk.plan(user("/model fast"), ANSWER, user("/model auto"), ANSWER, *after).pinned is None


def test_however_many_cannot_be_followed_few_are_tried(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    tried: list[str] = []
    resolve = desk.runtime.planner.resolve
    monkeypatch.setattr(desk.runtime.planner, "resolve", lambda name: tried.append(name) or resolve(name))
    told = [message for number in range(500) for message in (user(f"/model none-{number}"), ANSWER)]
    assert desk.plan(*told, user("Go on.")).pinned is None
    assert len([name for name in set(tried) if name.startswith("none-")]) == MOST_OLDER


def test_what_the_caller_may_not_use_is_refused_by_every_way_to_say_it(desk: Desk):
    assert desk.refused(header="smart", only="fast")[:2] == (403, "model_not_allowed")
    status, code, said = desk.refused(user("/model smart"), model="fast", only="fast")
    assert (status, code) == (403, "model_not_allowed")
    assert said.startswith("/model smart: ")
    # Whoever is restricted learns of nothing: neither what there is nor what an operator has chosen.
    assert desk.refused(user("/model smrat"), model="fast", only="fast")[1] == "model_not_allowed"
    status, code, said = desk.refused(model="fast", only="fast", operator="smart")
    assert (status, code) == (403, "model_not_allowed")
    assert "smart" not in said


def test_a_forbidden_model_of_long_ago_is_passed_over(desk: Desk):
    plan = desk.plan(user("/model smart"), ANSWER, user("Go on."), model="fast", only="fast")
    assert (plan.pinned, plan.model) == (None, "fast")
    assert plan.evidence == ("/model: passed over, model_not_allowed",)


def test_an_operators_model_that_is_gone_since_a_reload_is_passed_over(desk: Desk):
    desk.runtime.pinned.pin(SESSION, "smart")
    desk.adopt(CONFIG.replace("smart", "clever"))
    plan = desk.plan(model="fast")
    assert (plan.pinned, plan.model) == (None, "fast")
    assert plan.evidence == ("admin: passed over, model_not_found",)
    plan = desk.plan(model="fast", only="fast")
    assert (plan.pinned, plan.model) == (None, "fast")


def test_a_model_without_the_operation_is_no_reason_to_refuse_the_session(desk: Desk):
    """A session may ask for vectors too; of these an operator has said nothing."""
    desk.runtime.pinned.pin(SESSION, "smart")
    sent = b'{"model": "openai/text-embedding-3-small", "input": "hi"}'
    exchange = Exchange(id="r", dialect=openai_embeddings, body=sent, caller="ci", session=SESSION)
    plan = asyncio.run(desk.runtime.gateway.plan(exchange, openai_embeddings.peek(sent)))
    assert (plan.pinned, str(plan.targets[0])) == (None, "openai/text-embedding-3-small")
    assert plan.evidence == ("admin: passed over, unsupported_operation",)


def test_facts_without_a_session_ask_no_operator(desk: Desk):
    planner, asked = desk.runtime.planner, list[str]()
    decider = Decider(planner, None, desk.runtime.store, lambda session: asked.append(session))  # type: ignore[arg-type]
    exchange = Exchange(id="r", dialect=openai_chat, body=b"{}", caller="ci")
    assert list(decider._pins(exchange, Facts(model="fast"), lambda: None)) == []  # type: ignore[arg-type,return-value]
    assert asked == []


def test_what_is_the_same_for_all_is_worked_out_once_and_refused_to_some(desk: Desk):
    plain = desk.plan(model="gpt-4o")
    assert desk.plan(model="gpt-4o") is plain
    assert desk.plan(model="gpt-4o", only="fast") is plain
    assert desk.refused(model="gpt-4o", only="smart")[:2] == (403, "model_not_allowed")
    assert desk.plan(model="gpt-4o", operator="smart").pinned == "admin"
    assert desk.plan(user("/model smart"), model="gpt-4o", header="coder").asked == "coder"


# How the conversation is read -----------------------------------------------------------------------------------------


def test_an_operators_own_words_and_a_subagents_header_are_heard():
    turns = "turns: {corrections: [that is rubbish], failures: [BUILD BROKEN]}\n"
    runtime = Runtime(parse(CONFIG + turns, {}), None, {}, told=False)
    broken = RESULT | {"content": "Build broken"}
    messages = [user("Go."), *[CALL, RESULT] * 3, CALL, broken, ANSWER, user("That is rubbish!")]
    body = json.dumps({"model": "coder", "messages": messages, "tools": [{"name": "shell"}]}).encode()
    exchange = Exchange(id="r", dialect=openai_chat, body=body, caller="ci", session=SESSION, subagent=True)
    plan = asyncio.run(runtime.gateway.plan(exchange, openai_chat.peek(body)))
    assert (plan.kind, plan.role, plan.rule) == ("subagent", "lead", "tool_failures")
    assert plan.evidence == ("turn 4: shell: Build broken", "turn 5: the user: that is rubbish")


# What is kept of conversations ----------------------------------------------------------------------------------------


PLANNED = """
providers:
  openai: {api_key: sk-0123456789}
models:
  architect: {strategy: plan_first, planner: openai/gpt-5, executor: openai/gpt-5-mini}
  other: {strategy: plan_first, planner: openai/gpt-5, executor: openai/gpt-5-mini}
"""
FIRST = user("Fix the tests.")


class Planned:
    """Conversations with a model that plans first; planners answer at once."""

    def __init__(self, config: str = PLANNED) -> None:
        self.runtime = Runtime(parse(config, {}), None, {}, told=False)

    def note(
        self, *messages: dict[str, Any], session: str | None = None, planned: str = "", **more: Any
    ) -> tuple[str, str | None]:
        """The rule and the plan that is followed. ``planned``: what the planner says if it is asked."""
        caller, model = more.pop("caller", "ci"), more.pop("model", "architect")
        body = json.dumps({"model": model, "messages": messages, "tools": [{"name": "shell"}], **more}).encode()
        exchange = Exchange(id="r", dialect=openai_chat, body=body, caller=caller, session=session)
        gateway, facts = self.runtime.gateway, openai_chat.peek(body)
        if session is None and facts.session:
            exchange.session = f"{caller}:{facts.session}"
        plan = asyncio.run(gateway.plan(exchange, facts))
        if plan.memory:
            gateway.keep(plan.memory, plan.remember)
            found = kept(plan, Advised("plan" if planned else "failed", text=planned))
            if found is not None:
                gateway.keep(plan.memory, found)
        return plan.rule, plan.note


OVER_DYNAMIC = """
providers:
  openai: {api_key: sk-0123456789}
models:
  architect: {strategy: plan_first, planner: openai/gpt-5, executor: auto}
  auto: {strategy: dynamic, candidates: [openai/gpt-5-mini, openai/gpt-4.1], explore: 0}
"""


@pytest.mark.parametrize("session", [SESSION, None])
def test_a_plan_outlives_a_store_that_did_not_answer_in_time(session: str | None, monkeypatch: pytest.MonkeyPatch):
    """Of what it could not ask for, the request knows nothing, and so says nothing of it."""
    planned = Planned(OVER_DYNAMIC)
    assert planned.note(FIRST, session=session, planned="# Plan A")[0] == "first_turn"

    async def late(key: str) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr(planned.runtime.store, "get", late)
        assert planned.note(FIRST, CALL, RESULT, session=session) == ("no_plan", None)
    assert planned.note(FIRST, CALL, RESULT, CALL, RESULT, session=session) == ("plan_kept", "# Plan A")


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


@pytest.mark.parametrize("named", [{}, {"user": "ada"}], ids=["by nobody", "by its user"])
def test_conversations_without_a_name_are_told_apart_by_the_systems_words(named: dict[str, str]):
    here = Planned()
    a, b = (system("In /repo/a"), FIRST), (system("In /repo/b"), FIRST)
    assert here.note(*a, planned="# Plan of A", **named) == ("first_turn", None)
    assert here.note(*b, planned="# Plan of B", **named) == ("first_turn", None)
    assert here.note(*a, CALL, RESULT, **named) == ("plan_kept", "# Plan of A")
    assert here.note(*b, CALL, RESULT, **named) == ("plan_kept", "# Plan of B")
    assert here.note(*a, **named) == ("plan_kept", "# Plan of A"), "the same request came again"


def test_a_plan_that_was_made_later_is_not_that_of_a_conversation_that_begins():
    here = Planned()
    hello = user("Hi.")
    here.note(hello, ANSWER, user("Customer 4711."), ANSWER, user("/replan"), planned="# Customer 4711")
    assert here.note(hello) == ("first_turn", None)


def test_in_a_named_session_the_systems_words_may_change():
    here = Planned()
    here.note(system("version=1"), FIRST, session="ci:s", planned="# Plan A")
    assert here.note(system("version=2"), FIRST, CALL, RESULT, session="ci:s") == ("plan_kept", "# Plan A")


def test_what_is_kept_is_nobody_elses():
    here = Planned()
    for session in ("ci:s", None):
        here.note(FIRST, session=session, planned="# Plan A")
        later = (FIRST, CALL, RESULT)
        assert here.note(*later, session=session)[1] == "# Plan A"
        assert here.note(*later, session=session and "ci:t")[1] == (None if session else "# Plan A")
        assert here.note(*later, session=session and "dev:s", caller="dev")[1] is None
        assert here.note(*later, session=session, model="other")[1] is None
        assert here.note(user("Go."), CALL, RESULT, session=session)[1] is None


SUMMARY = user("This session is being continued from a previous conversation. We fixed three tests.")


def test_after_a_summary_a_session_goes_on_with_the_plan_it_had_last():
    here = Planned()
    other = user("Write a letter.")
    here.note(FIRST, session="ci:s", planned="# Plan A")
    here.note(other, session="ci:s", planned="# Plan B")
    here.note(FIRST, CALL, RESULT, session="ci:s")
    assert here.note(SUMMARY, session="ci:s") == ("plan_kept", "# Plan A")
    # It is its own from then on, whatever goes on beside it.
    here.note(other, CALL, RESULT, session="ci:s")
    assert here.note(SUMMARY, CALL, RESULT, session="ci:s") == ("plan_kept", "# Plan A")
    assert here.note(SUMMARY, session="ci:t")[1] is None


def test_what_a_restricted_key_may_not_use_is_refused_before_anything_is_told_of_it(desk: Desk):
    """Neither what operations it has nor what its strategy says."""
    for name in ("smart", "claude/claude-opus-4-1", "none"):
        body = json.dumps({"model": name, "input": "hi"}).encode()
        exchange = Exchange(
            id="r",
            dialect=openai_embeddings,
            body=body,
            caller="ci",
            restricted=True,
            allowed=lambda asked, resolved: "fast" in (asked, resolved),
        )
        with pytest.raises(CallerError) as refused:
            asyncio.run(desk.runtime.gateway.plan(exchange, openai_embeddings.peek(body)))
        assert (refused.value.status, refused.value.code) == (403, "model_not_allowed")
