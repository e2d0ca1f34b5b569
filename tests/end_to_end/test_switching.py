"""A conversation with tools that goes from one family of vendors to another and back, as failures have it.

Each vendor is told the same conversation in a way it accepts, its own signatures with it and nobody else's, whether the
client gives back all it was given or keeps nothing but role, content and tool calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby, permutations
from typing import Any

import httpx  # noqa: F401  (the SDK trips over one that is being imported just then, in the gateway's thread)
import openai
import pytest

from tests.dialects import validity
from tests.end_to_end.native import (
    ACCOUNTS,
    ANTHROPIC,
    BEDROCK,
    FAMILIES,
    GEMINI,
    MISTRAL,
    OPENAI,
    Call,
    Family,
    Said,
    account,
    signature,
)
from tests.end_to_end.replaying import Replaying, replaying
from tests.running import RunningGateway, running_gateway

KINDRED = {"bedrock": "anthropic"}
"""Claude signs for both."""
SIGNS = ("anthropic", "gemini", "bedrock")
SWITCHED = ("anthropic", "gemini", "bedrock", "openai", "mistral")
PAIRS = [*permutations(SWITCHED, 2)]
CALLERS = {"ann": "sk-caller-ann-1", "bob": "sk-caller-bob-2"}

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
    for name in ("weather", "time")
]
SYSTEM, QUESTION, LOOKING, ANSWER = "Be brief.", "How is Zürich?", "I will look.", "Sunny, 21°C, and two o'clock."
WEATHER, HOUR = "21°C, sunny ☀", '{"hour":14}'


class Stand:
    def __init__(self, gateway: RunningGateway, vendors: dict[str, Replaying]) -> None:
        self.gateway, self.vendors = gateway, vendors
        self.clients = {
            name: openai.OpenAI(base_url=gateway.base_url, api_key=key, max_retries=0, timeout=30)
            for name, key in CALLERS.items()
        }

    def forget(self) -> None:
        for vendor in self.vendors.values():
            vendor.heard.clear()
            vendor.replies.clear()

    def ask(self, model: str, messages: list[Any], stream: bool, caller: str = "ann") -> Any:
        """The message of the answer, as the SDK has it."""
        chat = self.clients[caller].chat.completions
        if not stream:
            return chat.create(model=model, messages=messages, tools=TOOLS).choices[0].message
        with chat.stream(model=model, messages=messages, tools=TOOLS) as events:
            for _ in events:
                pass
            return events.get_final_completion().choices[0].message

    def warm(self, name: str) -> None:
        """A new pool of keys: none of them is cooling."""
        keys = self.gateway.runtime.gateway.providers[name].keys
        self.gateway.call(keys._cooling.clear)

    def told(self, name: str) -> Any:
        """What a vendor was told last."""
        return self.vendors[name].heard[-1].json


@pytest.fixture(scope="module")
def stand(lane: bool) -> Iterator[Stand]:
    with ExitStack() as stack:
        vendors = {name: stack.enter_context(replaying()) for name in (*SWITCHED, "deepseek")}
        providers = {name: account(name, vendors[name].url) for name in SWITCHED}
        providers["deepseek"] = {"vendor": "deepseek", "base_url": vendors["deepseek"].url, "api_key": "sk-deepseek-1"}
        target = {**{name: f"{name}/{ACCOUNTS[name][0]}" for name in SWITCHED}, "deepseek": "deepseek/deepseek-chat"}
        models = {f"{one}-{other}": {"targets": [target[one], target[other]]} for one, other in permutations(target, 2)}
        keys = [{"name": name, "key": key} for name, key in CALLERS.items()]
        config = {
            "providers": providers,
            "models": models,
            "access": {"mode": "keys", "keys": keys},
            "resilience": {
                "retries": 0,
                "retry_budget": 1000,
                "spike": {"error_rate": 1},
                "breaker": {"consecutive": 1000, "min_requests": 1000},
            },
        }
        gateway = stack.enter_context(running_gateway(json.dumps(config)))
        made = Stand(gateway, vendors)
        for client in made.clients.values():
            stack.enter_context(client)
        yield made


@pytest.fixture(autouse=True)
def nothing_heard(stand: Stand) -> None:
    stand.forget()


# --- what is said


def calling(name: str, marked: str) -> Said:
    """Two calls at once, with thoughts from those that have them. Ids are no two alike, and each vendor's own."""
    thoughts = {"thought": f"Thought by {name}.", "signature": signature(f"{name} {marked}")} if name in SIGNS else {}
    if name == "mistral":
        thoughts = {"thought": "Thought by mistral."}
    calls = (
        Call(_id(name, f"{marked}1"), "weather", {"city": "Zürich", "days": [1, 2.5, None]}),
        Call(_id(name, f"{marked}2"), "time", {}),
    )
    return Said(text=LOOKING, calls=calls, **thoughts)


def calling_again(name: str, marked: str) -> Said:
    thoughts = {"thought": "Once more.", "signature": signature(f"{name} {marked} again")} if name in SIGNS else {}
    return Said(calls=(Call(_id(name, f"{marked}3"), "time", {"city": "Zürich"}),), **thoughts)


def _id(name: str, marked: str) -> str:
    if name == "mistral":
        return f"{marked}abcdefghi"[:9]
    return {"anthropic": "toolu_01", "gemini": "", "bedrock": "tooluse_", "openai": "call_"}.get(name, "call_") + marked


def results(message: Any, *texts: str) -> list[Any]:
    """The last call is answered first."""
    answers = zip(message.tool_calls, texts, strict=True)
    return [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in answers][::-1]


def kept(message: Any) -> dict[str, Any]:
    return message.model_dump(exclude_none=True)


def dropped(message: Any) -> dict[str, Any]:
    """As a client keeps it that knows nothing but OpenAI's own fields."""
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in message.tool_calls
    ]
    return {"role": "assistant", "content": message.content, "tool_calls": calls}


# --- what is understood, read off each family's requests

Entry = tuple[Any, ...]


def understood(family: Family, body: Any) -> list[Entry]:
    """Who said what; the results of one turn in the order of their tools' names."""
    found: list[Entry] = []
    for is_result, run in groupby(_READ[family.name](body), key=lambda entry: entry[0] == "result"):
        entries = list(run)
        found += sorted(entries) if is_result else entries
    return found


def _texts(content: Any) -> list[dict[str, Any]]:
    """A text is short for a list of one."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _of_anthropic(body: Any) -> Iterator[Entry]:
    names: dict[str, str] = {}
    yield from (("system", block["text"]) for block in _texts(body["system"]))
    for message in body["messages"]:
        for block in _texts(message["content"]):
            match block["type"]:
                case "text":
                    yield message["role"], block["text"]
                case "tool_use":
                    names[block["id"]] = block["name"]
                    yield "called", block["name"], block["input"]
                case "tool_result":
                    text = "".join(each["text"] for each in _texts(block["content"]))
                    yield "result", names[block["tool_use_id"]], text


def _of_gemini(body: Any) -> Iterator[Entry]:
    names: dict[str, str] = {}
    yield from (("system", part["text"]) for part in body["systemInstruction"]["parts"])
    for content in body["contents"]:
        for part in content["parts"]:
            if part.get("thought"):
                continue
            if "text" in part:
                yield "assistant" if content["role"] == "model" else "user", part["text"]
            if call := part.get("functionCall"):
                names[call["id"]] = call["name"]
                yield "called", call["name"], call["args"]
            if answer := part.get("functionResponse"):
                assert names[answer["id"]] == answer["name"]
                said = answer["response"]
                text = said["output"] if said.keys() == {"output"} else json.dumps(said, separators=(",", ":"))
                yield "result", answer["name"], text


def _of_bedrock(body: Any) -> Iterator[Entry]:
    names: dict[str, str] = {}
    yield from (("system", block["text"]) for block in body["system"])
    for message in body["messages"]:
        for block in message["content"]:
            if "text" in block:
                yield message["role"], block["text"]
            if call := block.get("toolUse"):
                names[call["toolUseId"]] = call["name"]
                yield "called", call["name"], call["input"]
            if answer := block.get("toolResult"):
                texts = (
                    each.get("text") or json.dumps(each["json"], separators=(",", ":")) for each in answer["content"]
                )
                yield "result", names[answer["toolUseId"]], "".join(texts)


def _of_openai(body: Any) -> Iterator[Entry]:
    names: dict[str, str] = {}
    for message in body["messages"]:
        if message["role"] == "tool":
            yield "result", names[message["tool_call_id"]], message["content"]
            continue
        for part in _texts(message.get("content")):
            if part["type"] == "text" and part["text"]:
                yield message["role"], part["text"]
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
            yield "called", call["function"]["name"], json.loads(call["function"]["arguments"])


_READ = {
    "anthropic": _of_anthropic,
    "gemini": _of_gemini,
    "bedrock": _of_bedrock,
    "openai": _of_openai,
    "mistral": _of_openai,
}
ASKED: list[Entry] = [("system", SYSTEM), ("user", QUESTION)]
FIRST: list[Entry] = [
    ("assistant", LOOKING),
    ("called", "weather", {"city": "Zürich", "days": [1, 2.5, None]}),
    ("called", "time", {}),
    ("result", "time", HOUR),
    ("result", "weather", WEATHER),
]
SECOND: list[Entry] = [("called", "time", {"city": "Zürich"}), ("result", "time", HOUR)]

# What the strict ones among OpenAI's kind know of a message: the rest is refused.
KNOWN = {
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "refusal",
    "annotations",
    "audio",
    "function_call",
    "prefix",
}
PARTS = {"openai": {"text"}, "mistral": {"text", "thinking"}}


def fits(name: str, body: Any, entries: list[Entry]) -> None:
    """Valid for this vendor, and the same conversation."""
    family = FAMILIES[name]
    validity.check(family.dialect, body)
    assert understood(family, body) == entries
    if family in (OPENAI, MISTRAL):
        for message in body["messages"]:
            assert message.keys() <= KNOWN
            assert {part["type"] for part in _texts(message.get("content"))} <= PARTS[name]
            assert all(call.keys() <= {"id", "type", "function", "index"} for call in message.get("tool_calls") or ())


def signed_by(name: str, said: Said, body: Any) -> bool:
    return bool(said.signature) and said.signature in json.dumps(body)


# --- the stories


@pytest.mark.parametrize("keep", [kept, dropped], ids=["kept", "dropped"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("one", "other"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_a_conversation_goes_elsewhere_and_back(stand: Stand, one: str, other: str, stream: bool, keep: Any) -> None:
    model = f"{one}-{other}"
    here, there = stand.vendors[one], stand.vendors[other]
    marked = f"{'s' if stream else 'w'}{PAIRS.index((one, other)):02}{keep.__name__[0]}"
    first, second = calling(one, marked), calling_again(other, marked)
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]

    here.reply = FAMILIES[one].reply(first, stream)
    said = stand.ask(model, messages, stream)
    fits(one, stand.told(one), ASKED)
    messages += [keep(said), *results(said, WEATHER, HOUR)]

    # It is overloaded: the other one goes on.
    here.reply, there.reply = FAMILIES[one].refusals["overloaded"], FAMILIES[other].reply(second, stream)
    said = stand.ask(model, messages, stream)
    assert [(call.function.name, json.loads(call.function.arguments)) for call in said.tool_calls] == [
        ("time", {"city": "Zürich"})
    ]
    alike = KINDRED.get(one, one) == KINDRED.get(other, other)
    for name in (one, other):
        fits(name, stand.told(name), [*ASKED, *FIRST])
        assert signed_by(one, first, stand.told(name)) == (one in SIGNS and (name == one or alike))
    messages += [keep(said), *results(said, HOUR)]

    # And back.
    here.reply = FAMILIES[one].reply(Said(text=ANSWER), stream)
    said = stand.ask(model, messages, stream)
    assert said.content == ANSWER
    assert len(there.heard) == 1
    fits(one, stand.told(one), [*ASKED, *FIRST, *SECOND])
    assert signed_by(one, first, stand.told(one)) == (one in SIGNS)
    assert signed_by(other, second, stand.told(one)) == (other in SIGNS and alike)


@pytest.mark.parametrize(("one", "other"), [("mistral", "gemini"), ("anthropic", "bedrock")])
def test_who_is_over_its_limit_is_left_alone_for_a_while(stand: Stand, one: str, other: str) -> None:
    """The other has the conversation until then, with what it has called itself."""
    first, second = calling(one, "limit"), calling_again(other, "limit")
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    here, there, model = stand.vendors[one], stand.vendors[other], f"{one}-{other}"
    here.reply = FAMILIES[one].reply(first, stream=False)
    said = stand.ask(model, messages, stream=False)
    messages += [kept(said), *results(said, WEATHER, HOUR)]
    here.reply, there.reply = FAMILIES[one].refusals["rate"], FAMILIES[other].reply(second, stream=False)
    try:
        said = stand.ask(model, messages, stream=False)
        messages += [kept(said), *results(said, HOUR)]
        there.reply = FAMILIES[other].reply(Said(text=ANSWER), stream=False)
        assert stand.ask(model, messages, stream=False).content == ANSWER
    finally:
        stand.warm(one)
    assert (len(here.heard), len(there.heard)) == (2, 2)
    fits(other, stand.told(other), [*ASKED, *FIRST, *SECOND])
    assert signed_by(other, second, stand.told(other))


REMEMBERED = [ANTHROPIC, GEMINI, BEDROCK]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("family", REMEMBERED, ids=[each.name for each in REMEMBERED])
def test_one_caller_does_not_get_the_thoughts_of_another(stand: Stand, family: Family, stream: bool) -> None:
    name, marked = family.name, f"private{stream}"
    model = f"{name}-openai"
    first = calling(name, marked)
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    stand.vendors[name].reply = family.reply(first, stream)
    said = stand.ask(model, messages, stream, caller="ann")
    messages += [dropped(said), *results(said, WEATHER, HOUR)]
    for caller, known in (("bob", False), ("ann", True), ("bob", False)):
        stand.vendors[name].reply = family.reply(Said(text=ANSWER), stream)
        stand.ask(model, messages, stream, caller=caller)
        fits(name, stand.told(name), [*ASKED, *FIRST])
        assert signed_by(name, first, stand.told(name)) is known
        assert (first.thought in json.dumps(stand.told(name))) is (known and family is not GEMINI)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_deepseek_gets_its_reasoning_back(stand: Stand, stream: bool) -> None:
    """Whether it is its own or another's: it refuses a turn that calls tools without any."""
    vendor, ids = stand.vendors["deepseek"], f"ds{stream}"
    first = Said(text=LOOKING, thought="Think, think.", calls=calling("deepseek", ids).calls)
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    vendor.reply = OPENAI.reply(first, stream)
    said = stand.ask("deepseek-openai", messages, stream)
    for keep in (kept, dropped):
        vendor.reply = OPENAI.reply(Said(text=ANSWER), stream)
        stand.ask("deepseek-openai", [*messages, keep(said), *results(said, WEATHER, HOUR)], stream)
        told = stand.told("deepseek")["messages"][2]
        assert told["reasoning_content"] == "Think, think."
    stand.ask("deepseek-openai", [*messages, dropped(said), *results(said, WEATHER, HOUR)], stream, caller="bob")
    told = stand.told("deepseek")["messages"][2]
    assert told["reasoning_content"]
    assert "Think, think." not in told["reasoning_content"]
