"""The built-in vendor: OpenAI's shapes, every model of the grammar, every fault, and the contract of a reply."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import struct
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects.faults import read_fault
from gateway.dialects.openai_chat import GO_ON, glimpse, read_whole
from gateway.errors import CallerError, Fault, FaultKind
from gateway.simulator import SimulatedReply, Simulator
from gateway.simulator.faults import FAULTS, Break, NoHead, Refusal
from gateway.simulator.models import ECHOED, EXAMPLES, FIXED, find
from gateway.simulator.replies import DIMENSIONS
from gateway.simulator.values import value_for
from gateway.sse import Splitter
from gateway.upstream import Call, Opener, Upstream
from tests.running import running_gateway

PAGE = Path(__file__).parents[1] / "docs" / "simulator.md"
SAID = "one two three four"


class World:
    """A clock that moves only when somebody sleeps, and a simulator that lives by it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.opener: Opener = Upstream({"simulator": Simulator(lambda: self.now, self.sleep)})

    async def sleep(self, seconds: float) -> None:
        assert seconds != math.inf, "slept for ever"
        self.now += seconds

    def open(self, path: str, body: Any = None, *, head: float = 60.0) -> Any:
        method = "GET" if body is None else "POST"
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        call = Call(method=method, url=f"simulator://local{path}", body=raw, head=head)
        return asyncio.run(self.opener.open(call))

    def read(self, reply: SimulatedReply, wait: float | None = 1000.0) -> bytes | Fault | None:
        return asyncio.run(reply.read(wait))

    def chat(self, model: str, content: Any = SAID, *, head: float = 60.0, **fields: Any) -> Any:
        messages = [{"role": "user", "content": content}]
        return self.open("/chat/completions", {"model": model, "messages": messages, **fields}, head=head)

    def items(self, reply: SimulatedReply) -> Iterator[bytes | Fault | None]:
        """What comes, until the end, a fault, or a silence of a thousand seconds."""
        while True:
            said = self.read(reply)
            if said == b"":
                return
            yield said
            if said is None or isinstance(said, Fault):
                return

    def all(self, reply: SimulatedReply) -> bytes:
        items = list(self.items(reply))
        assert all(isinstance(item, bytes) for item in items)
        return b"".join(item for item in items if isinstance(item, bytes))

    def whole(self, model: str, content: Any = SAID, **fields: Any) -> dict[str, Any]:
        reply = self.chat(model, content, **fields)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        answer = json.loads(self.all(reply))
        assert isinstance(answer, dict)
        return answer

    def text(self, model: str, content: Any = SAID, **fields: Any) -> Any:
        return self.whole(model, content, **fields)["choices"][0]["message"]["content"]

    def chunks(self, model: str, content: Any = SAID, **fields: Any) -> list[dict[str, Any]]:
        """The chunks of a good stream, ``[DONE]`` checked and gone."""
        reply = self.chat(model, content, stream=True, **fields)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        *data, done = [frame.data for frame in Splitter().feed(self.all(reply))]
        assert done == b"[DONE]"
        return [json.loads(each or b"") for each in data]


def deltas(chunks: list[dict[str, Any]], index: int = 0) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]


def streamed_text(chunks: list[dict[str, Any]], index: int = 0) -> str:
    return "".join(delta.get("content") or "" for delta in deltas(chunks, index))


@pytest.fixture
def world() -> World:
    return World()


# What is said ---------------------------------------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
ECHOES = [
    (SAID, SAID),
    ("  a\n\n b ", "  a\n\n b "),
    ("", "There is nothing to repeat."),
    ([{"type": "text", "text": "look"}, IMAGE, IMAGE], "look [2 images]"),
    ([IMAGE], "[1 image]"),
    ("世界" * 40, "世界" * 40),
    ("x" * (ECHOED + 5), "x" * ECHOED),
    ("é" * ECHOED, "é" * (ECHOED // 2)),
]


@pytest.mark.parametrize(("content", "text"), ECHOES)
def test_echo_repeats_the_last_user_text_streamed_or_not(world: World, content: Any, text: str):
    assert world.text("echo", content) == text
    assert streamed_text(world.chunks("echo", content)) == text


USER = {"role": "user", "content": SAID}


@pytest.mark.parametrize("go_on", [{"role": "user", "content": GO_ON}, None])
@pytest.mark.parametrize(
    ("said", "rest"),
    [
        ("one two", " three four"),
        ("", SAID),
        (SAID, ""),
        ("something else", SAID),
        ([{"text": "one"}], " two three four"),
    ],
)
def test_echo_goes_on_where_an_answer_broke_off(world: World, said: Any, rest: str, go_on: Any):
    messages = [USER, {"role": "assistant", "content": said}, *filter(None, [go_on])]
    body = {"model": "echo", "messages": messages}
    reply = world.open("/chat/completions", body)
    answer = json.loads(b"".join(world.items(reply)))
    assert answer["choices"][0]["message"]["content"] == rest


def test_an_answer_that_is_cut_is_whole_when_echo_goes_on_with_it():
    config = """
providers: {simulator: {}}
models: {resumed: {targets: [simulator/fail-cut, simulator/echo], resilience: {on_broken_stream: resume}}}
"""
    body = json.dumps({"model": "resumed", "stream": True, "messages": [USER]}).encode()
    with (
        running_gateway(config) as gateway,
        urllib.request.urlopen(f"{gateway.base_url}/chat/completions", body, timeout=20) as reply,
    ):
        *data, done = [frame.data for frame in Splitter().feed(reply.read())]
    assert done == b"[DONE]"
    assert streamed_text([json.loads(each or b"") for each in data]) == SAID


def test_who_only_says_to_go_on_hears_it_again(world: World):
    assert world.text("echo", GO_ON) == GO_ON


def test_a_whole_answer_has_the_shape_of_openai(world: World):
    answer = world.whole("echo", n=2)
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "echo"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"stop"}
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (4, 8, 12)


def test_a_stream_begins_with_the_role_and_ends_with_the_reason_of_every_choice(world: World):
    chunks = world.chunks("echo", n=2)
    assert all("usage" not in chunk for chunk in chunks)
    assert len({chunk["id"] for chunk in chunks}) == 1
    for index in (0, 1):
        assert deltas(chunks, index)[0] == {"role": "assistant", "content": "", "refusal": None}
        assert streamed_text(chunks, index) == SAID
    ends = [choice for chunk in chunks[-2:] for choice in chunk["choices"]]
    assert [(end["index"], end["delta"], end["finish_reason"]) for end in ends] == [(0, {}, "stop"), (1, {}, "stop")]


def test_usage_comes_in_a_last_chunk_without_choices_and_only_if_asked_for(world: World):
    *others, last = world.chunks("echo", stream_options={"include_usage": True})
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in others)
    assert last["choices"] == []
    assert last["usage"] == world.whole("echo")["usage"]
    assert all("usage" not in chunk for chunk in world.chunks("echo", stream_options={"include_usage": False}))


def test_the_same_calls_get_the_same_answers_and_every_call_its_own_id():
    stories = []
    for _ in range(2):
        world = World()
        stories.append([world.whole("echo"), world.whole("echo")])
    assert stories[0] == stories[1]
    assert stories[0][0]["id"] != stories[0][1]["id"]


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_cut_at_the_tokens_allowed(world: World, limit: str):
    choice = world.whole("echo", **{limit: 2})["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two", "length")
    assert world.chunks("echo", **{limit: 2})[-1]["choices"][0]["finish_reason"] == "length"
    assert world.whole("echo", **{limit: 4})["choices"][0]["finish_reason"] == "stop"


def test_long_says_so_many_words(world: World):
    assert len(world.text("long-300").split()) == 300
    assert len(streamed_text(world.chunks("long-300")).split()) == 300


def test_reasoning_comes_before_the_text(world: World):
    keys = [next(iter(delta)) for delta in deltas(world.chunks("reasoning"))[1:-1]]
    assert keys == sorted(keys, reverse=True)
    assert set(keys) == {"reasoning_content", "content"}
    message = world.whole("reasoning")["choices"][0]["message"]
    assert message["reasoning_content"]
    assert message["content"] == SAID


SHELL = {
    "type": "function",
    "function": {
        "name": "shell",
        "parameters": {
            "properties": {"command": {"type": "string"}, "timeout": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["command", "timeout"],
        },
    },
}


def test_tools_calls_the_first_tool_with_arguments_of_the_right_types(world: World):
    choice = world.whole("tools", tools=[{"type": "custom"}, SHELL])["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert (call["type"], call["function"]["name"]) == ("function", "shell")
    assert json.loads(call["function"]["arguments"]) == {"command": "echo skein", "timeout": 1}


def test_a_streamed_tool_call_says_its_id_and_name_once(world: World):
    chunks = world.chunks("tools", tools=[SHELL], n=2)
    for index in (0, 1):
        first, *rest = [delta["tool_calls"][0] for delta in deltas(chunks, index) if "tool_calls" in delta]
        assert first["id"].endswith(f"_{index}")
        assert first["function"]["name"] == "shell"
        assert not any("id" in call or "name" in call["function"] for call in rest)
        arguments = json.loads("".join(call["function"]["arguments"] for call in rest))
        assert arguments == {"command": "echo skein", "timeout": 1}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_tools_quotes_the_result_once_there_is_one(world: World):
    messages = [{"role": "user", "content": "go"}, {"role": "tool", "tool_call_id": "x", "content": "skein\n"}]
    reply = world.open("/chat/completions", {"model": "tools", "messages": messages, "tools": [SHELL]})
    choice = json.loads(world.all(reply))["choices"][0]
    assert choice["message"]["content"] == 'The tool answered: "skein\n"'
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("fields", [{}, {"tools": []}, {"tools": [SHELL], "tool_choice": "none"}])
def test_tools_without_a_tool_says_so(world: World, fields: dict[str, Any]):
    assert world.text("tools", **fields) == "There is no tool to call."


def test_only_tools_calls_tools(world: World):
    assert world.text("echo", tools=[SHELL]) == SAID


def calls_of(reply: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and arguments of a whole answer's tool calls."""
    calls = reply["choices"][0]["message"].get("tool_calls", ())
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


def turn_of_an_agent(world: World, messages: list[dict[str, Any]], tools: list[Any]) -> list[tuple[str, str]]:
    """One answer, after which every call has a result: an error for the first one of the conversation."""
    answer = json.loads(
        world.all(world.open("/chat/completions", {"model": "agent", "messages": messages, "tools": tools}))
    )
    message = answer["choices"][0]["message"]
    said = "Error: no luck" if len(messages) == 1 else "fine"
    messages.append(message)
    messages.extend(
        {"role": "tool", "tool_call_id": call["id"], "content": said} for call in message.get("tool_calls", ())
    )
    return calls_of(answer)


def test_an_agent_works_at_its_task_and_not_always_well(world: World):
    tools = [SHELL, {"type": "function", "function": {"name": "look"}}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "x" * 22}]
    seen = []
    for _ in range(11):
        seen.append(turn_of_an_agent(world, messages, tools))
        if not seen[-1]:
            messages.append({"role": "user", "content": "next"})
    shell, look = ("shell", '{"command":"echo skein","timeout":1}'), ("look", "{}")
    again, cut, made_up = shell, ("shell", shell[1][:-1]), ("consult_oracle", "{}")
    assert seen == [[shell], [again], [shell, look], [look], [], [look], [shell], [look], [made_up], [look], []]
    assert turn_of_an_agent(world, [{"role": "user", "content": "x" * 4}], tools) == [cut]
    assert "Done after 5 steps" in messages[-2]["content"]


def test_an_agent_thinks_and_its_calls_are_streamed_each_at_its_place(world: World):
    chunks = world.chunks("agent", "xx", tools=[SHELL])
    said = [call for delta in deltas(chunks) for call in delta.get("tool_calls", ())]
    assert [(call["index"], call["id"]) for call in said if "id" in call] == [
        (0, "call_simulated00000001_0"),
        (1, "call_simulated00000001_0_1"),
    ]
    assert any(delta.get("reasoning_content") for delta in deltas(chunks))
    assert world.text("agent") == SAID


def test_what_was_said_before_is_read_from_the_cache(world: World):
    def cached(*roles: str) -> tuple[int, int, int]:
        messages = [{"role": role, "content": "a b c"} for role in roles]
        answer = json.loads(world.all(world.open("/chat/completions", {"model": "echo", "messages": messages})))
        usage = answer["usage"]
        details = usage["prompt_tokens_details"]
        return usage["prompt_tokens"], details["cached_tokens"], details["cache_write_tokens"]

    assert cached("user") == (3, 0, 0)
    assert cached("user", "assistant", "user") == (9, 0, 6)
    assert cached("user", "assistant", "user", "assistant", "tool", "tool") == (18, 3, 9)


def test_structured_answers(world: World):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for model in ("json", "echo"):
        assert json.loads(world.text(model, response_format=wanted)) == {"ok": True}
        assert json.loads(world.text(model, response_format={"type": "json_object"})) == {"echo": SAID}
    assert json.loads(world.text("json")) == {"echo": SAID}


SCHEMAS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string"}, "skein"),
    ({"type": "string", "minLength": 7}, "skein.."),
    ({"type": "string", "maxLength": 2}, "sk"),
    ({"type": "string", "format": "date"}, "2025-06-15"),
    ({"type": ["null", "integer"]}, 1),
    ({"type": "integer", "minimum": 3}, 3),
    ({"type": "integer", "exclusiveMinimum": 3}, 4),
    ({"type": "integer", "maximum": -3}, -3),
    ({"type": "integer", "exclusiveMaximum": 1}, 0),
    ({"type": "integer", "multipleOf": 5}, 5),
    ({"type": "integer", "multipleOf": 5, "maximum": 3}, 0),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
    ({"type": "number", "minimum": 0.5}, 1.0),
    ({"type": "number", "multipleOf": 1e-300}, 1.0),
    ({"type": "boolean"}, True),
    ({"type": "null"}, None),
    ({"enum": ["red", "green"]}, "red"),
    ({"const": 7}, 7),
    ({"type": "array", "items": {"type": "integer"}}, []),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
    ({"type": "object", "properties": {"a": {"type": "string"}}}, {}),
    ({"properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"], "$defs": {"A": {"type": "integer"}}}, {"a": 1}),
    ({"properties": {"command": {"enum": ["view"]}}, "required": ["command"]}, {"command": "view"}),
    ({"properties": {"command": {"type": "array"}}, "required": ["command"]}, {"command": ["echo", "skein"]}),
    ({"properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}, {"cmd": "echo skein"}),
]


@pytest.mark.parametrize(("schema", "value"), SCHEMAS)
def test_a_value_fits_its_schema(schema: dict[str, Any], value: Any):
    assert value_for(schema) == value


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
        {"type": "array", "minItems": 10**15, "items": {"$ref": "#"}},
        {"type": "string", "minLength": 10**15},
        {"type": "integer", "minimum": 10**300},
        {"type": {"odd": 1}, "enum": "x", "required": 3, "properties": 4},
    ],
)
def test_any_schema_comes_to_an_end_soon(schema: dict[str, Any]):
    assert len(json.dumps(value_for(schema))) < 100_000


# When it is said ------------------------------------------------------------------------------------------------------


def test_reading_may_stop_waiting_and_loses_nothing(world: World):
    reply = world.chat("slow-2s", stream=True)
    assert world.now == 100.0
    assert b'"role"' in (world.read(reply, 0.0) or b"")
    assert [world.read(reply, wait) for wait in (0.0, 0.5, 1.0)] == [None, None, None]
    assert world.now == 101.5
    assert b'"one"' in (world.read(reply, 0.5) or b"")
    assert world.now == 102.0
    assert b'" two"' in (world.read(reply) or b"")
    rest = world.all(reply)
    assert rest.endswith(b"data: [DONE]\n\n")
    assert [world.read(reply, 0.0), world.read(reply, None)] == [b"", b""]


def test_paced_pauses_between_its_events(world: World):
    reply = world.chat("paced-50ms", "a b c", stream=True)
    times = []
    while world.read(reply):
        times.append(round(world.now - 100.0, 3))
    assert times == [0.0, 0.05, 0.1, 0.15, 0.2, 0.25]


def test_a_pause_is_in_the_middle_of_the_answer(world: World):
    reply = world.chat("pause-6s", "a b c", stream=True)
    times = []
    while world.read(reply):
        times.append(round(world.now - 100.0, 3))
    assert times == [0.0, 0.0, 6.0, 6.0, 6.0, 6.0]


@pytest.mark.parametrize(
    ("model", "seconds"), [("pause-6s", 6.0), ("slow-500ms", 0.5), ("paced-50ms", 0.2), ("echo", 0.0)]
)
def test_an_answer_that_is_not_streamed_takes_as_long(world: World, model: str, seconds: float):
    world.whole(model)
    assert world.now == pytest.approx(100.0 + seconds)


def test_a_head_that_takes_too_long_is_a_timeout(world: World):
    fault = world.chat("slow-2s", head=1.5)
    assert (fault.kind, fault.origin) == (FaultKind.TIMEOUT_FIRST_TOKEN, "network")
    assert fault.message == "no answer within 1.5 s"
    assert world.now == 101.5


def test_closing_is_noted_and_may_be_repeated(world: World):
    reply = world.chat("echo")
    assert not reply.closed
    asyncio.run(reply.close())
    asyncio.run(reply.close(linger=True))
    assert reply.closed


# Names ----------------------------------------------------------------------------------------------------------------

NO_MODELS = [
    *("gpt-5", "Echo", "echo-", "echo-503", "fail", "fail-", "fail-418", "fail-slow-2s", "flaky-", "flaky-nothing"),
    *("slow", "slow-", "slow-2", "slow-2d", "slow--2s", "slow-1e9s", "slow-٣s", "paced-x"),
    *("pause", "pause-2", "every-503", "every-0-503", "every-2-nothing", "wave-503", "wave-0s-503", "wave-2s-nothing"),
    *(
        "+",
        "echo+",
        "+echo",
        "echo+echo",
        "echo+agent",
        "slow-1s+slow-2s",
        "fail-503+flaky-429",
    ),
    *("long", "long-0", "long-01", "long-100001", "long-٣", "long--1"),
]


@pytest.mark.parametrize("name", NO_MODELS)
def test_a_name_outside_the_grammar_is_missing(world: World, name: str):
    with pytest.raises(CallerError):
        find(name)
    for path, body in (("/chat/completions", {"messages": []}), ("/embeddings", {"input": "x"})):
        reply = world.open(path, {"model": name, **body})
        assert reply.status == 404
        assert json.loads(world.all(reply))["error"] == {
            "message": f"The model `{name}` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }


def test_the_listing_has_every_fixed_name_and_nothing_that_is_not_served(world: World):
    answer = json.loads(world.all(world.open("/models")))
    names = [model["id"] for model in answer["data"]]
    assert (answer["object"], names) == ("list", [*FIXED, *EXAMPLES])
    assert [find(name).name for name in names] == names


BAD_REQUESTS = [
    (b"{", 400, "invalid_json"),
    (b"[]", 400, "invalid_type"),
    ({"messages": []}, 400, "missing_model"),
    ({"model": "echo"}, 400, "missing_required_parameter"),
    ({"model": "echo", "messages": "hi"}, 400, "invalid_type"),
    ({"model": "echo", "messages": [{"role": "user", "content": "x"}], "n": 17}, 400, "invalid_type"),
    ({"model": "echo", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}, 400, "invalid_type"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_REQUESTS)
def test_a_bad_request_is_refused_with_an_error_object(world: World, body: Any, status: int, code: str):
    reply = world.open("/chat/completions", body)
    error = json.loads(world.all(reply))["error"]
    assert (reply.status, error["code"], error["type"]) == (status, code, "invalid_request_error")


@pytest.mark.parametrize("content", [None, 5, {"a": 1}, [1, "x", {"type": "text"}, {"type": "text", "text": 3}]])
def test_odd_content_is_nothing_to_repeat(world: World, content: Any):
    assert world.text("echo", content) == "There is nothing to repeat."


def test_another_path_is_an_unknown_url(world: World):
    assert world.open("/v1/nowhere", {}).status == 404


# Faults ---------------------------------------------------------------------------------------------------------------

REFUSALS = {
    "400": (400, FaultKind.BAD_REQUEST, None),
    "401": (401, FaultKind.BAD_CREDENTIALS, None),
    "402": (402, FaultKind.OUT_OF_CREDIT, None),
    "403": (403, FaultKind.BAD_CREDENTIALS, None),
    "404": (404, FaultKind.MODEL_MISSING, None),
    "429": (429, FaultKind.RATE_LIMITED, 1.0),
    "429-long": (429, FaultKind.RATE_LIMITED, 60.0),
    "500": (500, FaultKind.SERVER_ERROR, None),
    "503": (503, FaultKind.OVERLOADED, None),
    "529": (529, FaultKind.OVERLOADED, None),
    "html": (502, FaultKind.SERVER_ERROR, None),
    "context": (400, FaultKind.CONTEXT_TOO_LONG, None),
    "refused": (400, FaultKind.REFUSED, None),
}
ROLE, ONE, TWO, REST = b'"role"', b'"one"', b'" two"', b'" three"'
USAGE = b'"choices":[],"usage":{"prompt_tokens":4,'
ERROR, DONE, FINISH = b'{"error":{', b"[DONE]", b'"finish_reason":"stop"'
# Streamed, something every event holds; None is silence.
STREAMS: dict[str, list[bytes | None]] = {
    "stall": [ROLE, ONE, TWO, None],
    "cut": [ROLE, ONE, TWO],
    "cut-billed": [ROLE, ONE, TWO, USAGE],
    "die": [],
    "error-first": [ERROR],
    "error-mid": [ROLE, ONE, TWO, ERROR],
    "garbled": [b"}{"],
    "malformed": [ROLE, ONE, TWO, b'[{"delta":\n', REST, b'" four"', FINISH, USAGE, DONE],
    "nodone": [ROLE, ONE, TWO, REST, b'" four"', FINISH, USAGE],
    "nousage": [ROLE, ONE, TWO, REST, b'" four"', FINISH, DONE],
}
# Not streamed, how the body ends.
ENDS: dict[str, type[Fault] | str | None] = {
    "stall": None,
    "cut": Fault,
    "cut-billed": Fault,
    "die": "unreadable",
    "error-first": "unreadable",
    "error-mid": "unreadable",
    "garbled": "unreadable",
    "malformed": "unreadable",
    "nodone": "good",
    "nousage": "good",
}


def test_every_fault_is_in_one_of_the_tables():
    kinds = {Refusal: REFUSALS.keys(), Break: STREAMS.keys(), NoHead: {"silent", "reset"}}
    for kind, names in kinds.items():
        assert {name for name, fault in FAULTS.items() if isinstance(fault, kind)} == set(names)
    assert STREAMS.keys() == ENDS.keys()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_is_read_as_what_it_stands_for(world: World, fault: str, stream: bool):
    status, kind, seconds = REFUSALS[fault]
    reply = world.chat(f"fail-{fault}", stream=stream)
    read = read_fault(reply.status, reply.headers, world.all(reply), 0.0)
    assert (read.status, read.kind, read.retry_after) == (status, kind, seconds)
    assert reply.headers["content-type"] == ("text/html" if fault == "html" else "application/json")


@pytest.mark.parametrize("fault", STREAMS)
def test_a_stream_breaks_where_its_name_says(world: World, fault: str):
    said = list(world.items(world.chat(f"fail-{fault}", stream=True, stream_options={"include_usage": True})))
    assert len(said) == len(STREAMS[fault])
    for each, expected in zip(said, STREAMS[fault], strict=True):
        assert each is None if expected is None else isinstance(each, bytes) and expected in each


def test_a_broken_stream_has_said_something_even_of_a_single_word(world: World):
    reply = world.chat("fail-cut", "hi", stream=True, n=2)
    seen = [glimpse(frame, 0.0) for frame in Splitter().feed(world.all(reply))]
    assert [each.text for each in seen] == ["", "", "hi", "hi"]
    assert all(reason is None for each in seen for reason in each.reasons.values())


@pytest.mark.parametrize("fault", ENDS)
def test_an_answer_that_is_not_streamed_breaks_likewise(world: World, fault: str):
    reply = world.chat(f"fail-{fault}")
    said = list(world.items(reply))
    assert reply.status == 200
    match ENDS[fault]:
        case None:
            assert said[-1] is None
        case "good":
            assert not isinstance(read_whole(b"".join(said), 0.0), Fault)
        case "unreadable":
            assert isinstance(read_whole(b"".join(said), 0.0), Fault)
        case _:
            assert isinstance(said[-1], Fault)
            assert world.read(reply) is said[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_no_head_comes_from_silent_and_reset(world: World, stream: bool):
    reset = world.chat("fail-reset", stream=stream)
    assert (reset.kind, reset.origin, world.now) == (FaultKind.UNREACHABLE, "network", 100.0)
    silent = world.chat("fail-silent", stream=stream, head=30.0)
    assert (silent.kind, world.now) == (FaultKind.TIMEOUT_FIRST_TOKEN, 130.0)


def test_flaky_fails_on_every_other_call_each_model_by_its_own_count(world: World):
    calls = ["flaky-503", "flaky-429", "flaky-503", "flaky-503", "echo", "flaky-429", "flaky-503"]
    assert [world.chat(model).status for model in calls] == [503, 429, 200, 503, 200, 200, 200]
    assert [isinstance(world.chat("flaky-reset"), Fault) for _ in range(4)] == [True, False, True, False]


def test_every_fails_on_each_nth_call_beginning_with_the_first(world: World):
    assert [world.chat("every-3-503").status for _ in range(7)] == [503, 200, 200, 503, 200, 200, 503]


def test_a_wave_works_and_fails_for_as_long_each_from_its_first_call_on(world: World):
    seen = []
    for second in (0, 19, 1, 19, 1, 20):
        world.now += second
        seen.append(world.chat("wave-20s-503").status)
    assert seen == [200, 200, 503, 503, 200, 503]


def test_joined_names_mean_all_of_their_words(world: World):
    assert world.chat("json+slow-2s+every-2-429").status == 429
    began = world.now
    assert json.loads(world.text("json+slow-2s+every-2-429")) == {"echo": SAID}
    assert world.now - began == pytest.approx(2.0)


def test_a_thousand_and_one_models_are_counted_and_no_more(world: World):
    counts = [world.chat(f"every-{number}-503").status for number in (*range(2, 1003), 2)]
    assert set(counts) == {503}, "the oldest begins anew"


def test_the_limits_of_an_account_tell_what_is_left_of_the_minute(world: World):
    def left(model: str = "echo") -> tuple[str, str]:
        headers = world.chat(model).headers
        return headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-remaining-tokens"]

    assert (left(), left(), left("fail-429")[0]) == (("999", "999992"), ("998", "999984"), "0")
    world.now += 60
    assert left() == ("999", "999992")


# Embeddings -----------------------------------------------------------------------------------------------------------


def embed(world: World, **fields: Any) -> dict[str, Any]:
    answer = json.loads(world.all(world.open("/embeddings", {"model": "echo", **fields})))
    assert isinstance(answer, dict)
    return answer


def test_embeddings_are_unit_vectors_that_depend_on_the_text_alone(world: World):
    answer = embed(world, input=["a b", "c", "a b"])
    vectors = [each["embedding"] for each in answer["data"]]
    assert [each["index"] for each in answer["data"]] == [0, 1, 2]
    assert vectors[0] == vectors[2] != vectors[1]
    assert all(len(vector) == DIMENSIONS and math.hypot(*vector) == pytest.approx(1.0) for vector in vectors)
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_embeddings_in_base64_are_the_same_numbers_as_little_endian_floats(world: World):
    plain = embed(world, input="skein", dimensions=12)["data"][0]["embedding"]
    packed = embed(world, input="skein", dimensions=12, encoding_format="base64")["data"][0]["embedding"]
    assert struct.unpack("<12f", base64.b64decode(packed)) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize(("asked", "count", "tokens"), [([1, 2, 3], 1, 3), ([[1], [2, 3]], 2, 3), ("x y", 1, 2)])
def test_embeddings_take_texts_and_token_ids(world: World, asked: Any, count: int, tokens: int):
    answer = embed(world, input=asked)
    assert (len(answer["data"]), answer["usage"]["total_tokens"]) == (count, tokens)


BAD_INPUTS = [
    {"input": ""},
    {"input": []},
    {"input": [""]},
    {"input": ["x"] * 2049},
    {"input": ["x"] * 2048, "dimensions": 3072},
    {"input": "x", "dimensions": 0},
    {"input": {"a": 1}},
    {},
]


@pytest.mark.parametrize("fields", BAD_INPUTS)
def test_embeddings_refuse_what_openai_would_and_what_is_too_much(world: World, fields: dict[str, Any]):
    assert world.open("/embeddings", {"model": "echo", **fields}).status == 400


@pytest.mark.parametrize(("model", "status"), [("fail-503", 503), ("flaky-429", 429), ("fail-refused", 400)])
def test_embeddings_fail_as_chat_does(world: World, model: str, status: int):
    assert world.open("/embeddings", {"model": model, "input": "x"}).status == status


# The page for operators -----------------------------------------------------------------------------------------------


def test_the_page_names_every_model_and_every_fault():
    page = PAGE.read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([^`]+)`", page, re.MULTILINE))
    forms = {"slow-<duration>", "paced-<duration>", "pause-<duration>", "long-<n>", "fail-<fault>", "flaky-<fault>"}
    forms |= {"every-<n>-<fault>", "wave-<duration>-<fault>"}
    assert rows == set(FIXED) | set(FAULTS) | forms
