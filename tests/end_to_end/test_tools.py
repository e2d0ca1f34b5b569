"""Calls of tools are repaired, or read out of text, before their client sees them; what was done is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anthropic
import httpx  # noqa: F401  (the SDK trips over one that is being imported just then, in the gateway's thread)
import openai
import pytest

from gateway import events
from tests.end_to_end.native import ACCOUNTS, FAMILIES, Call, Said, account
from tests.end_to_end.replaying import Replaying, replaying
from tests.end_to_end.setting import QUICK, Page, eventually
from tests.running import RunningGateway, running_gateway

SCHEMA = {
    "type": "object",
    "properties": {"command": {"type": "string"}, "timeout": {"type": "integer"}},
    "required": ["command"],
}
SHELL = {"name": "shell", "description": "Runs it.", "parameters": SCHEMA}
TOOLS: list[Any] = [{"type": "function", "function": SHELL}]
ASKED: list[Any] = [{"role": "system", "content": "You are an agent."}, {"role": "user", "content": "List the files."}]
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
IN_TEXT = 'I will look.\n<tool_call>\n{"name": "shell", "arguments": {"command": "ls", "timeout": "5"}}\n</tool_call>'


class Raw(Call, frozen=True):
    """A call whose arguments are no JSON, or not what they should be."""

    text: str

    @property
    def json(self) -> str:
        return self.text


class Stand:
    def __init__(self, gateway: RunningGateway, vendors: dict[str, Replaying]) -> None:
        self.gateway, self.vendors = gateway, vendors
        self._client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0)

    def ask(self, model: str, stream: bool, **more: Any) -> Any:
        """The first choice, put together by the SDK where it came in pieces."""
        fields: dict[str, Any] = {"model": model, "messages": ASKED, "tools": TOOLS, **more}
        if not stream:
            return self._client.chat.completions.create(**fields).choices[0]
        with self._client.chat.completions.stream(**fields) as answer:
            return answer.get_final_completion().choices[0]

    def repaired(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        told = self.gateway.of(events.ToolCallsRepaired)
        return [(each.tool, each.kinds, each.flaws) for each in told[-1].repairs] if told else []

    def ended(self) -> events.ExchangeFinished:
        """Of the last exchange: told when its last byte has left."""
        eventually(lambda: self.gateway.of(events.ExchangeFinished))
        return self.gateway.of(events.ExchangeFinished)[-1]

    def counted(self, model: str) -> dict[str, float]:
        return dict(Page(self.gateway.page()).by("skein_tool_repairs_total", "kind", target_model=model))


@contextmanager
def standing(*names: str, **tools: Any) -> Iterator[Stand]:
    with ExitStack() as stack:
        vendors = {name: stack.enter_context(replaying()) for name in names}
        config = {
            "providers": {name: account(name, vendor.url) for name, vendor in vendors.items()},
            "models": {name: {"targets": [f"{name}/{ACCOUNTS[name][0]}"], "tools": tools} for name in names[:1]},
            "resilience": {**QUICK, "retries": 0},
        }
        config["models"] |= {"helper": [f"{name}/{ACCOUNTS[name][0]}" for name in names[1:]]} if names[1:] else {}
        yield Stand(stack.enter_context(running_gateway(json.dumps(config))), vendors)


def called(choice: Any) -> list[tuple[str, Any]]:
    return [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()]


@BOTH
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_a_call_is_repaired(lane: bool, name: str, stream: bool) -> None:
    """A trailing comma, a namespace, and a number in quotes; by a vendor of the client's dialect, and by another."""
    call = Raw("call_1", "functions.shell", {"command": "ls", "timeout": "5"}, '{"command": "ls", "timeout": "5",}')
    # Anthropic's arguments are no text.
    kinds = ("name", "types") if name == "anthropic" else ("name", "trailing_comma", "types")
    with standing(name, repair=True) as s:
        s.vendors[name].reply = FAMILIES[name].reply(Said(text="So:", calls=(call,)), stream)
        choice = s.ask(name, stream)
        assert (choice.message.content, choice.finish_reason) == ("So:", "tool_calls")
        assert called(choice) == [("shell", {"command": "ls", "timeout": 5})]
        assert s.repaired() == [("shell", kinds, ())]
        assert s.counted(ACCOUNTS[name][0]) == dict.fromkeys(kinds, 1)


@BOTH
def test_a_call_that_is_well_is_left_alone(lane: bool, stream: bool) -> None:
    call = Raw("call_1", "shell", {}, '{ "command" :"ls" }')
    with standing("openai", repair=True) as s:
        s.vendors["openai"].reply = FAMILIES["openai"].reply(Said(calls=(call,)), stream)
        choice = s.ask("openai", stream)
        assert choice.message.tool_calls[0].function.arguments == call.text
        assert s.repaired() == []
        # What nobody here knows goes to a vendor of the same dialect as it came.
        s.ask("openai", stream, extra_body={"nonsense": {"x": 1}})
        assert s.vendors["openai"].heard[-1].json["nonsense"] == {"x": 1}


@BOTH
def test_a_call_that_cannot_be_repaired_goes_on_as_it_came(lane: bool, stream: bool) -> None:
    call = Raw("call_1", "shell", {}, '{"timeout": 5}')
    with standing("openai", repair=True) as s:
        s.vendors["openai"].reply = FAMILIES["openai"].reply(Said(calls=(call,)), stream)
        assert called(s.ask("openai", stream)) == [("shell", {"timeout": 5})]
        assert s.repaired() == [("shell", ("invalid",), ("command: missing",))]


@BOTH
@pytest.mark.parametrize("name", ["openai", "ollama", "gemini"])
def test_a_model_without_tools_calls_them(lane: bool, name: str, stream: bool) -> None:
    """It is told of them in its instructions; its words are read; what was called before is text."""
    with standing(name, shim=True) as s:
        s.vendors[name].reply = FAMILIES[name].reply(Said(text=IN_TEXT), stream)
        choice = s.ask(name, stream)
        assert (choice.message.content.strip(), choice.finish_reason) == ("I will look.", "tool_calls")
        assert called(choice) == [("shell", {"command": "ls", "timeout": 5})]
        heard = s.vendors[name].heard[-1].json
        assert "tools" not in heard
        assert '\\"name\\": \\"shell\\"' in json.dumps(heard)
        (call,) = choice.message.tool_calls
        assert ("shell", ("read",), ()) in s.repaired()
        s.vendors[name].reply = FAMILIES[name].reply(Said(text="Two files."), stream)
        result = {"role": "tool", "tool_call_id": call.id, "content": "a.py b.py"}
        again = s.ask(name, stream, messages=[*ASKED, choice.message.model_dump(exclude_none=True), result])
        assert (again.message.content, again.finish_reason, called(again)) == ("Two files.", "stop", [])
        heard = json.dumps(s.vendors[name].heard[-1].json)
        assert "a.py b.py" in heard
        assert "tool_call_id" not in heard


@BOTH
def test_text_that_is_no_call_is_all_there(lane: bool, stream: bool) -> None:
    text = 'Write ```json\n{"a": 1}\n``` or <tool_call> so.\n{"name": "rm", "arguments": {}}'
    with standing("openai", shim=True) as s:
        s.vendors["openai"].reply = FAMILIES["openai"].reply(Said(text=text), stream)
        choice = s.ask("openai", stream)
        assert (choice.message.content, choice.finish_reason, called(choice)) == (text, "stop", [])
        assert s.repaired() == []


@BOTH
@pytest.mark.parametrize("how", ["repair", "shim"])
@pytest.mark.parametrize("name", ["anthropic", "openai", "ollama"])
def test_a_client_of_another_dialect_is_served_the_same(lane: bool, name: str, how: str, stream: bool) -> None:
    call = Raw("call_1", "functions.shell", {"command": "ls", "timeout": "5"}, '{"command": "ls", "timeout": "5",}')
    with standing(name, **{how: True}) as s:
        said = Said(text=IN_TEXT) if how == "shim" else Said(text="So:", calls=(call,))
        s.vendors[name].reply = FAMILIES[name].reply(said, stream)
        client = anthropic.Anthropic(base_url=s.gateway.url, api_key="any", max_retries=0)
        tool = {"name": "shell", "description": "Runs it.", "input_schema": SCHEMA}
        fields: Any = {"model": name, "max_tokens": 100, "messages": ASKED[1:], "tools": [tool]}
        if stream:
            with client.messages.stream(**fields) as answer:
                message = answer.get_final_message()
        else:
            message = client.messages.create(**fields)
        used = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
        assert (used, message.stop_reason) == ([("shell", {"command": "ls", "timeout": 5})], "tool_use")


WORDS = "I would now run ls in the shell."
SAID = json.dumps({"tool_calls": [{"name": "shell", "arguments": {"command": "ls", "timeout": "5"}}]})


@BOTH
def test_an_interpreter_says_what_is_meant(lane: bool, stream: bool) -> None:
    """Its attempt, its tokens and its words are told apart from the answer's."""
    with standing("openai", "anthropic", shim={"interpreter": "helper"}) as s:
        s.vendors["openai"].reply = FAMILIES["openai"].reply(Said(text=WORDS), stream)
        s.vendors["anthropic"].reply = FAMILIES["anthropic"].reply(Said(text=SAID), False)
        choice = s.ask("openai", stream)
        assert (choice.message.content, choice.finish_reason) == (WORDS, "tool_calls")
        assert called(choice) == [("shell", {"command": "ls", "timeout": 5})]
        asked = json.dumps(s.vendors["anthropic"].heard[-1].json)
        assert WORDS in asked
        assert "You are an agent." not in asked
        assert [each.kind for each in s.gateway.of(events.AttemptStarted)] == ["primary", "interpreter"]
        (told,) = s.gateway.of(events.InterpreterAnswered)
        assert not told.failed
        assert s.counted("gpt-4.1") == {"interpreted": 1, "types": 1}
        end = s.ended()
        assert [each.tool for each in end.heard.calls] == ["shell"]
        assert str(end.target) == "openai/gpt-4.1"
        both = [each.spent.usage.output_tokens for each in s.gateway.of(events.AttemptSucceeded)]
        assert end.spent.usage.output_tokens == sum(both)


@BOTH
@pytest.mark.parametrize("said", ["nothing", "no JSON", "overloaded"])
def test_without_an_interpreter_the_answer_stands(lane: bool, said: str, stream: bool) -> None:
    with standing("openai", "anthropic", shim={"interpreter": "helper"}) as s:
        s.vendors["openai"].reply = FAMILIES["openai"].reply(Said(text=WORDS), stream)
        words = '{"tool_calls": []}' if said == "nothing" else "Well, let me see."
        s.vendors["anthropic"].reply = FAMILIES["anthropic"].reply(Said(text=words), False)
        if said == "overloaded":
            s.vendors["anthropic"].reply = FAMILIES["anthropic"].refusals["overloaded"]
        choice = s.ask("openai", stream)
        assert (choice.message.content, choice.finish_reason, called(choice)) == (WORDS, "stop", [])
        (told,) = s.gateway.of(events.InterpreterAnswered)
        assert (told.failed, bool(told.why)) == (said != "nothing", said != "nothing")
        assert s.ended().outcome == "ok"


def test_an_interpreter_is_not_asked_where_calls_were_found(lane: bool) -> None:
    with standing("openai", "anthropic", shim={"interpreter": "helper"}) as s:
        s.vendors["openai"].reply = FAMILIES["openai"].reply(Said(text=IN_TEXT), True)
        assert called(s.ask("openai", True)) == [("shell", {"command": "ls", "timeout": 5})]
        assert s.vendors["anthropic"].heard == []
