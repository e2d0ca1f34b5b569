"""A planner is asked before the first answer: its plan goes along, its questions are handed on, its faults hide."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx  # noqa: F401  (the SDK trips over one that is being imported just then, in the gateway's thread)
import openai
import pytest

from gateway import events
from gateway.consulting import MOST
from tests.dialects import validity
from tests.end_to_end.native import ACCOUNTS, ANTHROPIC, GEMINI, OPENAI, Family, Said, account
from tests.end_to_end.replaying import Heard, Replaying, Reply, replaying
from tests.running import running_gateway
from tests.scripted import (
    Answer,
    InBandError,
    Malformed,
    Received,
    Reset,
    Silent,
    Slow,
    Status,
    ToolCall,
    play,
    policy_refused,
    rate_limited,
)

from .setting import SHORT, Stand, Told, body, stand

PLAN = "# Plan\n1. Read a.py with the tool shell.\n2. Mend it."
TEXT = "Hello from the scripted vendor."
ASKS = "Which of the two files do you mean?"
MODEL = {"strategy": "plan_first", "planner": "planner/gpt-4.1", "executor": "executor/gpt-4.1"}
SESSION = {"x_skein_session": "s-1"}
SYSTEM = {"role": "system", "content": "You are an agent."}
TASK = {"role": "user", "content": "Mend it."}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "shell", "description": "Runs a command.", "parameters": {"type": "object"}},
    }
]
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
PATIENT = {"connect": "5s", "first_token": "30s", "whole": "30s", "idle": "30s", "total": "60s"}


def called(result: str, number: int = 0) -> list[dict[str, Any]]:
    call = {"id": f"c{number}", "type": "function", "function": {"name": "shell", "arguments": '{"command":"make"}'}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": result},
    ]


def planning(*names: str, **settings: Any) -> Any:
    model = {**MODEL, **settings.pop("model", {})}
    return stand(*(names or ("planner", "executor")), model=model, **settings)


def ask(
    s: Stand, *messages: dict[str, Any], stream: bool = False, headers: Mapping[str, str] = {}, **more: Any
) -> Told:
    return s.ask(stream, {**SESSION, **headers}, messages=[SYSTEM, TASK, *messages], tools=TOOLS, **more)


def planned_by(call: Received) -> bool:
    """Was it asked for a plan?"""
    return "tools" not in call.fields and "<agent-tools>" in call.fields["messages"][0]["content"]


def system(call: Received) -> str:
    return call.fields["messages"][0]["content"]


def advice(s: Stand) -> list[events.PlannerAnswered]:
    return s.of(events.PlannerAnswered)


# --- a plan is made, and followed


@BOTH
def test_a_plan_is_made_once_and_goes_along(stream: bool) -> None:
    with planning() as s:
        s.planner.otherwise = Answer(PLAN)
        told = ask(s, stream=stream)
        assert (told.status, told.text) == (200, TEXT)
        later = ask(s, *called("done"), stream=stream)
        assert later.status == 200
        assert [call.fields.get("stream", False) for call in s.planner.received] == [stream]
        first, second = s.executor.received
        assert PLAN in system(first)
        assert system(first) == system(second)
        assert system(first).startswith("You are an agent.\n\n<plan>")
        assert first.fields["tools"] == TOOLS
        # The vendor finds again what it has kept: everything up to the end of what was said before.
        end = first.body.index(b"]", first.body.index(b'"Mend it."'))
        start = first.body.index(b'"messages"'), second.body.index(b'"messages"')
        assert second.body[start[1] :].startswith(first.body[start[0] : end])
        assert told.headers["x-skein-provider"] == "executor"
        assert told.headers["x-skein-attempts"] == "2"
        assert "planned by planner/gpt-4.1" in told.headers["x-skein-route"]
        assert (later.headers["x-skein-attempts"], later.headers["x-skein-route"]) == (
            "1",
            "plan_first; turn=2; the plan is followed",
        )


def test_the_planner_is_told_all_and_can_call_nothing() -> None:
    with planning() as s:
        s.planner.otherwise = Answer(PLAN)
        ask(s, response_format={"type": "json_object"}, tool_choice="required", n=2, max_tokens=7, temperature=0)
        (call,) = s.planner.received
        assert planned_by(call)
        assert sorted(call.fields) == ["messages", "model"]
        assert "You are an agent." in system(call)
        assert "- shell: Runs a command." in system(call)
        assert call.fields["messages"][1]["content"].startswith("Mend it.")
        # Who wants JSON has no use for a question.
        assert "Ask nothing" in system(call)
        (executed,) = s.executor.received
        assert (executed.fields["n"], executed.fields["max_tokens"]) == (2, 7)
        assert executed.fields["response_format"] == {"type": "json_object"}


def test_settings_of_the_operator() -> None:
    with planning(model={"prompt": "Plan as we do.", "max_tokens": 99, "questions": 0}) as s:
        s.planner.otherwise = Answer(PLAN)
        ask(s)
        (call,) = s.planner.received
        assert system(call).startswith('Plan as we do.\n\nBegin the plan with the line "# Plan". Ask nothing')
        assert call.fields["max_completion_tokens"] == 99
        assert "max_completion_tokens" not in s.executor.received[0].fields


def test_the_plan_is_charged_to_the_planner() -> None:
    with planning() as s:
        s.planner.otherwise = Answer(PLAN, usage={"prompt_tokens": 1000, "completion_tokens": 200})
        s.executor.otherwise = Answer(usage={"prompt_tokens": 50, "completion_tokens": 5})
        told = ask(s)
        assert told.json["usage"]["prompt_tokens"] == 50, "the client is told of the answer it has"
        spent = s.finished().spent.usage
        assert spent is not None
        assert (spent.input_tokens, spent.output_tokens) == (1050, 205)
        page = s.metrics()
        kinds = page.by("skein_attempts_total", "provider", "kind", "outcome")
        assert kinds == {("planner", "planner", "ok"): 1, ("executor", "primary", "ok"): 1}
        assert page.by("skein_tokens_total", "provider") == {"planner": 1200, "executor": 55}
        assert not page.by("skein_wasted_tokens_total", "provider")
        assert not page.by("skein_model_switches_total", "reason"), "nobody has changed places"
        assert page.total("skein_context_tokens_sum") == 50


@pytest.mark.parametrize("command", ["/replan", "  /replan\n"])
def test_the_user_has_the_plan_made_anew(command: str) -> None:
    with planning() as s:
        s.planner.script(Answer(PLAN), Answer("# Plan B"))
        ask(s)
        ask(s, *called("done"), {"role": "user", "content": command})
        ask(s, *called("done"), {"role": "user", "content": command}, *called("done", 1))
        again = s.planner.received[1]
        assert PLAN in again.fields["messages"][-1]["content"]
        assert "the user asked for a new plan" in again.fields["messages"][-1]["content"]
        assert ["# Plan B" in system(call) for call in s.executor.received] == [False, True, True]
        assert not any(PLAN in system(call) for call in s.executor.received[1:])


def test_turns_that_keep_failing_have_it_made_anew() -> None:
    failed = "Command exited with code 1"
    with planning() as s:
        s.planner.script(Answer(PLAN), Answer("# Plan B"))
        history: list[dict[str, Any]] = []
        rules = []
        for number, result in enumerate(["", "done", failed, failed, failed, "done"]):
            history += called(result, number) if result else []
            assert ask(s, *history).status == 200
            rules.append(s.of(events.PlanMade)[-1].plan.rule)
        assert rules == ["first_turn", "plan_kept", "plan_kept", "replan", "plan_kept", "plan_kept"]
        again = s.planner.received[1].fields["messages"]
        assert all(set(each) == {"role", "content"} for each in again)
        assert "[shell answered]\n\nCommand exited with code 1" in again[-1]["content"]
        assert "turn 3: shell: Command exited with code 1" in again[-1]["content"]
        assert "# Plan B" in system(s.executor.received[-1])


def test_calls_on_the_side_go_to_the_executor_alone() -> None:
    with planning() as s:
        s.planner.otherwise = Answer(PLAN)
        title = [{"role": "system", "content": "Generate a short title (four words or less) for this."}, TASK]
        s.ask(headers=SESSION, messages=title)
        s.ask(headers={**SESSION, "x_openai_subagent": "collab_spawn"}, messages=[SYSTEM, TASK], tools=TOOLS)
        assert s.planner.count == 0
        ask(s)
        s.ask(headers=SESSION, messages=title)
        assert s.planner.count == 1
        assert ["<plan>" in system(call) for call in s.executor.received] == [False, False, True, False]


def test_a_first_request_that_comes_again_is_planned_once() -> None:
    with planning() as s:
        s.planner.otherwise = Answer(PLAN)
        s.executor.script(Status(400), Answer())
        assert [ask(s).status for _ in range(2)] == [400, 200]
        assert s.planner.count == 1
        assert len({system(call) for call in s.executor.received}) == 1


def test_without_a_name_for_the_session_its_beginning_stands_for_it() -> None:
    with planning() as s:
        s.planner.otherwise = Answer(PLAN)
        s.ask(messages=[SYSTEM, TASK], tools=TOOLS)
        s.ask(messages=[SYSTEM, TASK, *called("done")], tools=TOOLS)
        assert s.planner.count == 1
        assert all(PLAN in system(call) for call in s.executor.received)


def test_one_users_conversations_have_plans_of_their_own() -> None:
    with planning() as s:
        s.planner.decide = lambda call: Answer(f"# Plan {call.number}")
        for result in ("", "done", "done"):
            for task in ("one", "two"):
                history = called(result) if result else []
                s.ask(messages=[SYSTEM, {"role": "user", "content": task}, *history], tools=TOOLS, user="ann")
        plans = ["# Plan 1" in system(call) for call in s.executor.received]
        assert plans == [True, False] * 3
        assert s.planner.count == 2


# --- questions


@BOTH
def test_questions_are_handed_on_as_they_came(stream: bool) -> None:
    answer = Answer(ASKS, extra={"system_fingerprint": "fp_x"}, extra_message={"annotations": []})
    with planning() as s, planning() as bare:
        s.planner.otherwise = bare.planner.otherwise = answer
        told = ask(s, stream=stream)
        as_it_came = bare.ask(stream, {"x_skein_model": "planner/gpt-4.1"}, messages=[SYSTEM, TASK])
        assert (told.text, told.finish, told.status) == (ASKS, "stop", 200)
        said = [told.chunks, as_it_came.chunks] if stream else [[told.json], [as_it_came.json]]
        for chunk in (*said[0], *said[1]):
            for name in ("id", "created", "usage"):
                chunk.pop(name, None)
        assert said[0] == said[1]
        if stream:
            assert told.done
        assert s.executor.count == 0
        assert told.headers["x-skein-provider"] == "planner"
        assert told.headers["x-skein-route"].endswith("; questions by planner/gpt-4.1")
        ended = s.finished()
        assert (ended.outcome, ended.begun) == ("ok", True)
        assert str(ended.target) == "planner/gpt-4.1"
        assert [each.advice for each in advice(s)] == ["questions"]


def test_questions_are_answered_and_then_there_is_a_plan() -> None:
    with planning(model={"questions": 1}) as s:
        s.planner.script(Answer(ASKS), Answer(PLAN))
        assert ask(s).text == ASKS
        told = ask(s, {"role": "assistant", "content": ASKS}, {"role": "user", "content": "The first."})
        assert PLAN in system(s.executor.received[0])
        assert ["Ask nothing" in system(call) for call in s.planner.received] == [False, True]
        assert "planned by" in told.headers["x-skein-route"]


def test_a_planner_that_asks_once_too_often_is_left_out() -> None:
    with planning(model={"questions": 1}) as s:
        s.planner.otherwise = Answer(ASKS)
        ask(s)
        told = ask(s, {"role": "assistant", "content": ASKS}, {"role": "user", "content": "The first."})
        assert told.headers["x-skein-provider"] == "executor"
        assert "it asked once more" in told.headers["x-skein-route"]
        assert "<plan>" not in system(s.executor.received[0])


# --- planners that fail

CANNOT: dict[str, tuple[Any, str]] = {
    "rate_limited": (rate_limited("seconds", 60), "rate_limited"),
    "down": (Status(503), "overloaded"),
    "key refused": (Status(401), "bad_credentials"),
    "no such model": (Status(404), "model_missing"),
    "refused": (policy_refused(), "refused"),
    "bad request": (Status(400), "bad_request"),
    "reset": (Reset("before_head"), "unreachable"),
    "broken": (play(Answer(PLAN), Reset("after_output")), "broken_stream garbled"),
    "error in the stream": (play(Answer(PLAN), InBandError("mid")), "broken_stream server_error"),
    "silent": (Silent("before_head"), "timeout_first_token"),
    "nothing": (Answer(""), "it said nothing"),
    "tool call": (Answer(tool_calls=(ToolCall("shell", {"command": "rm"}),)), "it called a tool"),
    "filtered": (Answer(PLAN, finish="content_filter"), "it was filtered"),
    "neither": (Answer("I would rather not."), "neither a plan nor a question"),
}


@BOTH
@pytest.mark.parametrize("name", CANNOT)
def test_without_a_plan_the_executor_is_alone(name: str, stream: bool) -> None:
    step, why = CANNOT[name]
    with planning(timeouts={"first_token": SHORT, "whole": SHORT}) as s:
        s.planner.otherwise = step
        told = ask(s, stream=stream)
        assert (told.status, told.headers["x-skein-provider"]) == (200, "executor")
        assert told.text == TEXT
        assert s.executor.count == 1
        assert "<plan>" not in system(s.executor.received[0])
        (said,) = advice(s)
        assert said.advice == "failed"
        assert said.why in why.split() or said.why == why
        assert f"({said.why}): the executor is alone" in told.headers["x-skein-route"]
        assert int(told.headers["x-skein-attempts"]) == s.planner.count + 1
        ended = s.finished()
        assert (ended.outcome, ended.attempts) == ("ok", s.planner.count + 1)
        assert [each.number for each in s.of(events.AttemptStarted)] == list(range(1, ended.attempts + 1))


@BOTH
def test_planners_fall_over_to_each_other(stream: bool) -> None:
    with planning(
        "one",
        "two",
        "executor",
        model={"planner": "smart"},
        extra={"models": {"smart": {"targets": ["one/gpt-4.1", "two/gpt-4.1"]}}},
    ) as s:
        s.one.otherwise = play(Answer("# Plan\n" + "wrong " * 20), Reset("after_output"))
        s.two.otherwise = Answer(PLAN)
        told = ask(s, stream=stream)
        assert told.status == 200
        assert PLAN in system(s.executor.received[0])
        assert s.tried()[-2:] == ["two", "executor"]
        assert {each.kind for each in s.of(events.AttemptStarted)[:-1]} == {"planner"}
        assert s.of(events.AttemptStarted)[-1].kind == "primary"


def test_when_all_fail_the_executors_fault_is_told() -> None:
    with planning(retries=0) as s:
        s.planner.otherwise, s.executor.otherwise = rate_limited("seconds", 60), Status(500)
        told = ask(s)
        assert told.status == 502
        assert told.error["provider"] == "executor"
        assert [each["provider"] for each in told.error["attempts"]] == ["planner", "executor"]
        assert [each["number"] for each in told.error["attempts"]] == [1, 2]
        s.keeps_its_secrets(told)


@BOTH
def test_a_plan_is_no_answer(stream: bool) -> None:
    with planning(retries=0) as s:
        s.planner.otherwise, s.executor.otherwise = Answer(PLAN), Status(500)
        told = ask(s, stream=stream)
        assert (told.status, told.headers["x-skein-attempts"]) == (502, "2")
        ended = s.finished()
        assert (ended.begun, ended.target, ended.heard.id, ended.heard.bytes) == (False, None, None, 0)
        assert not s.of(events.OutputStarted)
        assert s.metrics().total("skein_time_to_first_token_seconds_count") == 0


def test_no_fallback_asks_one_planner_and_one_executor() -> None:
    models = {"smart": {"targets": ["one/gpt-4.1", "two/gpt-4.1"]}, "fast": {"targets": ["a/gpt-4.1", "b/gpt-4.1"]}}
    with planning(
        "one", "two", "a", "b", model={"planner": "smart", "executor": "fast"}, extra={"models": models}, retries=0
    ) as s:
        s.one.otherwise = s.a.otherwise = Status(500)
        assert ask(s, headers={"x_skein_no_fallback": "1"}).status == 502
        assert s.tried() == ["one", "a"]


def test_a_plan_of_a_megabyte_is_cut_and_that_is_told() -> None:
    with planning() as s:
        s.planner.otherwise = Answer("# Plan\n" + "step by step " * 80_000)
        told = ask(s)
        assert told.status == 200
        assert MOST < len(system(s.executor.received[0])) < MOST + 1000
        assert f"cut to {MOST} characters" in told.headers["x-skein-route"]
        assert f"cut to {MOST} characters" in advice(s)[0].why


@pytest.mark.parametrize("step", [play(Answer(PLAN), Malformed("after_output"))])
def test_an_event_nobody_can_read_loses_no_plan(step: Any) -> None:
    with planning() as s:
        s.planner.otherwise = step
        assert ask(s, stream=True).status == 200
        assert "<plan>" in system(s.executor.received[0])


def test_an_executor_that_fails_keeps_the_plan_on_its_next_target() -> None:
    models = {"fast": {"targets": ["a/gpt-4.1", "b/gpt-4.1"]}}
    with planning("planner", "a", "b", model={"executor": "fast"}, extra={"models": models}, retries=0) as s:
        s.planner.otherwise, s.a.otherwise = Answer(PLAN), Status(500)
        told = ask(s)
        assert told.headers["x-skein-provider"] == "b"
        assert PLAN in system(s.b.received[0])
        assert s.planner.count == 1
        assert [each.kind for each in s.of(events.AttemptStarted)] == ["planner", "primary", "fallback"]


# --- time, and clients that leave


@BOTH
@pytest.mark.parametrize("at", ["before_head", "after_output"])
def test_a_client_that_leaves_ends_the_planning(at: Any, stream: bool) -> None:
    with planning(timeouts=PATIENT) as s:
        s.planner.otherwise = play(Answer(PLAN), Silent(at))
        client = s.client()
        client.post(body(stream, messages=[SYSTEM, TASK], tools=TOOLS))
        s.planner.wait_until(lambda vendor: vendor.counts_by_step)
        if at == "after_output":
            assert client.silent(0.05)  # nothing of a plan is for the client
        closed = client.leave()
        s.planner.wait_until(lambda vendor: vendor.aborted)
        assert s.planner.aborted[0].delay(closed) < 1.0
        ended = s.finished()
        assert (ended.outcome, ended.attempts, ended.begun) == ("cancelled", 1, False)
        assert s.executor.count == 0
        assert not advice(s)
        assert s.counted("planner") == 0


def test_a_waiting_client_is_kept_alive_while_it_is_planned() -> None:
    with planning(keepalive="100ms", timeouts=PATIENT) as s:
        s.planner.otherwise = play(Answer(PLAN), Slow(head=0.5))
        told = ask(s, stream=True)
        assert told.comments >= 2
        assert (told.done, told.text) == (True, TEXT)
        assert "x-skein-provider" not in told.headers
        assert "nothing is planned yet" in told.headers["x-skein-route"]


def test_questions_come_after_keep_alives_too() -> None:
    with planning(keepalive="100ms", timeouts=PATIENT) as s:
        s.planner.otherwise = play(Answer(ASKS), Slow(head=0.4))
        told = ask(s, stream=True)
        assert told.comments
        assert (told.done, told.text) == (True, ASKS)


@BOTH
def test_the_clients_own_deadline_holds(stream: bool) -> None:
    with planning(timeouts=PATIENT) as s:
        s.planner.otherwise = Silent("before_head")
        began = time.monotonic()
        told = ask(s, stream=stream, headers={"x_skein_timeout": "500ms"})
        assert time.monotonic() - began < 5
        assert told.status == 504
        assert (told.error["provider"], s.executor.count) == ("planner", 0)
        assert s.finished().fault is not None


def test_the_planners_time_is_nobodys_overhead() -> None:
    with planning(timeouts=PATIENT) as s:
        s.planner.otherwise = play(Answer(PLAN), Slow(head=0.5))
        ask(s)
        ended = s.finished()
        assert ended.seconds >= 0.5
        assert ended.overhead < 0.4
        assert advice(s)[0].seconds >= 0.5


# --- several at once


def test_first_requests_at_once_all_have_a_plan_and_then_one() -> None:
    with planning() as s:
        s.planner.decide = lambda call: play(Answer(f"# Plan {call.number}"), Slow(head=0.2))
        with ThreadPoolExecutor(4) as pool:
            assert {told.status for told in pool.map(lambda _: ask(s), range(4))} == {200}
        later = [ask(s, *called("done")) for _ in range(2)]
        assert {told.status for told in later} == {200}
        assert s.planner.count <= 4
        assert all("# Plan" in system(call) for call in s.executor.received)
        assert len({system(call) for call in s.executor.received[-2:]}) == 1


def test_a_hundred_sessions_mixed_keep_their_own_plans() -> None:
    with planning(timeouts=PATIENT) as s:

        def plan(call: Received) -> Any:
            return Answer(f"# Plan for {call.fields['messages'][1]['content'].partition(chr(10))[0]}")

        s.planner.decide = plan
        chance = random.Random(5)
        steps = [number for number in range(100) for _ in range(3)]
        chance.shuffle(steps)
        turns = dict.fromkeys(range(100), 0)
        with s.client() as client:
            for number in steps:
                task = {"role": "user", "content": f"task {number}"}
                history = [each for turn in range(turns[number]) for each in called("done", turn)]
                sent = body(messages=[SYSTEM, task, *history], tools=TOOLS)
                client.post(sent, x_skein_session=f"session-{number}")
                assert client.reply().status == 200
                turns[number] += 1
                assert f"# Plan for task {number}\n" in system(s.executor.received[-1]) + "\n"
        assert s.planner.count == 100


def test_a_reload_while_it_is_planned_changes_nothing_of_it(tmp_path: Path) -> None:
    file = tmp_path / "skein.yaml"
    with planning(path=str(file), timeouts=PATIENT) as s:
        s.planner.otherwise = play(Answer(PLAN), Slow(head=0.6))
        runtime = s.gateway.runtime
        config = {
            "providers": {
                name: {"vendor": "openai_compatible", "base_url": s.vendors[name].base_url, "api_key": "sk-other-key-1"}
                for name in ("planner", "executor")
            },
            "models": {"m": {"targets": ["planner/gpt-4.1"]}},
        }
        with s.client() as client:
            client.post(body(messages=[SYSTEM, TASK], tools=TOOLS), **SESSION)
            s.planner.wait_until(lambda vendor: vendor.playing)
            file.write_text(json.dumps(config))
            assert s.gateway.call(runtime.reload)
            assert client.reply().status == 200
        assert PLAN in system(s.executor.received[0])


# --- what is told of it, and what is not


def test_neither_plan_nor_questions_are_told_to_anybody_else() -> None:
    marked = "# Plan\nThe secret word is Rumpelstilzchen"
    replan = {"role": "user", "content": "/replan"}
    with planning(model={"prompt": "Our own Rumpelstilzchen."}) as s:
        s.planner.otherwise = Answer(marked)
        history: list[Any] = []
        for messages in ([], called("done"), [*called("done", 1), replan]):
            history += messages
            assert ask(s, *history).status == 200
        assert "Rumpelstilzchen" in system(s.executor.received[-1])
        finished = s.finished(3)
        said = [*advice(s), finished, *s.of(events.AttemptSucceeded)]
        observability = s.gateway.runtime.observability

        def kept() -> str:
            observability.settle()
            return repr([observability.live.request(each.exchange_id) for each in advice(s)]) + repr(
                vars(observability.live)
            )

        assert "Rumpelstilzchen" not in repr(said) + s.gateway.call(kept)
        assert "Rumpelstilzchen" not in s.gateway.page()


# --- families of vendors, and the official client

FAMILIES = {"anthropic": ANTHROPIC, "gemini": GEMINI, "openai": OPENAI}


def reply_of(family: Family, said: Said) -> Any:
    def answer(heard: Heard) -> Reply:
        streamed = b'"stream":true' in heard.body.replace(b" ", b"") or "stream" in heard.path
        return family.reply(said, streamed)

    return answer


@BOTH
@pytest.mark.parametrize(
    ("planner", "executor"), [("anthropic", "openai"), ("openai", "anthropic"), ("gemini", "anthropic")]
)
def test_planner_and_executor_of_two_families(planner: str, executor: str, stream: bool) -> None:
    with ExitStack() as stack:
        vendors: dict[str, Replaying] = {name: stack.enter_context(replaying()) for name in (planner, executor)}
        config = {
            "providers": {name: account(name, each.url) for name, each in vendors.items()},
            "models": {
                "architect": {
                    "strategy": "plan_first",
                    "planner": f"{planner}/{ACCOUNTS[planner][0]}",
                    "executor": f"{executor}/{ACCOUNTS[executor][0]}",
                }
            },
        }
        gateway = stack.enter_context(running_gateway(json.dumps(config)))
        client = stack.enter_context(
            openai.OpenAI(
                base_url=gateway.base_url, api_key="sk-x", max_retries=0, default_headers={"x-skein-session": "s"}
            )
        )

        def chat(*messages: Any) -> Any:
            asked: Any = {"model": "architect", "messages": [SYSTEM, TASK, *messages], "tools": TOOLS}
            if not stream:
                return client.chat.completions.create(**asked).choices[0].message
            with client.chat.completions.stream(**asked) as pieces:
                for _ in pieces:
                    pass
                return pieces.get_final_completion().choices[0].message

        vendors[planner].answers = reply_of(FAMILIES[planner], Said(text=ASKS))
        vendors[executor].answers = reply_of(FAMILIES[executor], Said(text="Done."))
        asked = chat()
        assert asked.content == ASKS
        assert not vendors[executor].heard
        vendors[planner].answers = reply_of(FAMILIES[planner], Said(text=PLAN, thought="hm", signature="c2ln"))
        answered = {"role": "assistant", "content": ASKS}, {"role": "user", "content": "The first."}
        assert chat(*answered).content == "Done."
        assert chat(*answered, *called("done")).content == "Done."
        assert len(vendors[planner].heard) == 2
        for name in (planner, executor):
            for heard in vendors[name].heard:
                validity.check(FAMILIES[name].dialect, heard.json)
        for heard in vendors[planner].heard:
            assert "tools" not in heard.json
        for heard in vendors[executor].heard:
            assert json.dumps(PLAN)[1:-1] in heard.body.decode()
