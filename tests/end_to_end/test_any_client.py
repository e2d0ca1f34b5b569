"""Every official SDK as client, against vendors of every family: each hears the same, each vendor is asked the same."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx  # noqa: F401  (SDKs trip over one that the gateway is importing just then, in a thread of its own)
import msgspec
import pydantic
import pytest

from tests.dialects import validity
from tests.dialects.reading_back import READERS, Meaning
from tests.end_to_end.clients import CLIENTS, SCHEMA, Talk, Wanted, expected
from tests.end_to_end.native import (
    ACCOUNTS,
    FAMILIES,
    OPENAI,
    OPENAI_IN_PARTS,
    TGI,
    Call,
    Family,
    Said,
    signature,
)
from tests.end_to_end.native_responses import RESPONSES, at_path
from tests.end_to_end.replaying import Heard, Replaying, Reply, replaying
from tests.end_to_end.setting import QUICK, merged
from tests.running import RunningGateway, running_gateway

KEY = "sk-native-Xq7vR2mB9"
SAGEMAKER = {
    "vendor": "sagemaker",
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "secret_access_key": KEY,
    "region": "us-east-1",
}


class Vendor(NamedTuple):
    """``family``: of chats: some other paths have their own (``at_path``)."""

    family: Family
    model: str
    settings: dict[str, Any]


def _known(name: str) -> Vendor:
    model, settings = ACCOUNTS[name]
    return Vendor(FAMILIES[name], model, {"api_key": KEY, **settings})


VENDORS: dict[str, Vendor] = {
    **{name: _known(name) for name in ACCOUNTS},
    "compatible": Vendor(OPENAI, "some-model", {"vendor": "openai_compatible", "api_key": KEY}),
    "responses": Vendor(RESPONSES, "gpt-5", {"vendor": "openai", "dialect": "openai_responses", "api_key": KEY}),
    "in_parts": Vendor(OPENAI_IN_PARTS, "my-endpoint", SAGEMAKER),
    "tgi": Vendor(TGI, "my-endpoint", {**SAGEMAKER, "dialect": "tgi"}),
}
FILTERING = ("anthropic", "gemini", "bedrock", "openai", "compatible", "in_parts", "mistral", "responses")
"""Vendors that say by the finish that they have withheld something."""
BLIND = ("tgi",)
ASK: list[Any] = [{"role": "user", "content": "Where? ⟦1⟧"}]
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"picture" * 9).decode()

TEXT = Said(text="Grüezi! It is 21°C — sunny. 🌞", thought="Let me see: Zürich, now.", signature=signature("text"))
PLACE = Said(text='{"city": "Zürich"}', cached=0, reasoning=0)
CUT = Said(text="It is", finish="length", cached=0, reasoning=0)
FILTERED = Said(text="It is", finish="content_filter", cached=0, reasoning=0)
_numbers = itertools.count()


def calls(vendor: str) -> Said:
    """Two at once. Their ids are new, so nothing is remembered of them; the signature is the vendor's own."""
    number = next(_numbers)
    return Said(
        thought="Both are to be asked for.",
        signature=signature(f"by {vendor}"),
        calls=(
            Call(f"call_Aa1B{number:05}", "weather", {"city": "Zürich", "days": [1, 2]}),
            Call(f"call_Dd4E{number:05}", "time", {}),
        ),
    )


CHATTING = [name for name, client in CLIENTS.items() if "calls" in client.hears]
CALLING = [name for name, vendor in VENDORS.items() if "calls" in vendor.family.tells]


class Stand:
    """``others``: SDKs that call another replica of the gateway, which has seen nothing yet."""

    def __init__(self, gateway: RunningGateway, other: RunningGateway, vendor: Replaying) -> None:
        self.vendor = vendor
        self.sdks = {name: client.made(gateway.url) for name, client in CLIENTS.items()}
        self.others = {name: client.made(other.url) for name, client in CLIENTS.items()}
        self.family, self.client = OPENAI, ""

    def talk(self, client: str, vendor: str, **wanted: bool) -> Talk:
        self.client = client
        return CLIENTS[client].talk(self.sdks[client], named(vendor), Wanted(**wanted))

    def says(self, vendor: str, said: Said, stream: bool) -> None:
        """From now on; the family is the one whose path is called."""
        self.vendor.heard.clear()

        def answer(heard: Heard) -> Reply:
            self.family = at_path(VENDORS[vendor].family, heard.path)
            return self.family.reply(said, stream, piece=11 if stream else None)

        self.vendor.answers = answer

    @property
    def heard(self) -> Heard:
        (one,) = self.vendor.heard
        return one

    def asked(self) -> Meaning:
        """What the vendor was asked, which it must be able to take. What its own SDK has written it can."""
        body, dialect = self.heard.json, self.family.dialect
        if own := OWN_WORDS.get((self.client, dialect)):
            own(body)
        else:
            validity.check(dialect, body)
        return READERS[{"gemini_3": "gemini", "mistral": "openai_chat"}.get(dialect, dialect)](body)


def _as_items(body: dict[str, Any]) -> None:
    """Messages need not say that they are, nor have parts."""
    for item in body["input"]:
        if isinstance(said := item.get("content"), str):
            item["content"] = [{"type": "input_text", "text": said}]
        item.setdefault("type", "message")


def _in_camels(body: dict[str, Any]) -> None:
    """Google takes both spellings."""
    for content in body["contents"]:
        for part in content["parts"]:
            if data := part.get("inlineData"):
                data["mimeType"] = data.pop("mime_type")


def _with_ids(body: dict[str, Any]) -> None:
    """Ollama tells calls apart by the names of their tools."""
    for message in body["messages"]:
        for call in message.get("tool_calls", ()):
            call["id"] = call["function"]["name"]
        if message["role"] == "tool":
            message["tool_call_id"] = message["tool_name"]


# (client, what the vendor is asked in) -> what makes it readable for a reader of what the gateway itself writes.
OWN_WORDS: dict[tuple[str, str], Callable[[dict[str, Any]], None]] = {
    ("openai_responses", "openai_responses"): _as_items,
    ("google", "gemini_3"): _in_camels,
    ("ollama", "ollama_chat"): _with_ids,
}


def named(vendor: str) -> str:
    return f"{vendor}/{VENDORS[vendor].model}"


@pytest.fixture(scope="module")
def stand(lane: bool) -> Iterator[Stand]:
    with ExitStack() as stack:
        vendor = stack.enter_context(replaying())
        config = {
            "providers": {name: {"base_url": vendor.url, **row.settings} for name, row in VENDORS.items()},
            "resilience": merged(QUICK, {"retries": 0}),
        }
        gateway, other = (stack.enter_context(running_gateway(json.dumps(config))) for _ in range(2))
        yield Stand(gateway, other, vendor)


STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@STREAM
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_the_client_hears(stand: Stand, client: str, vendor: str, stream: bool) -> None:
    for said in (TEXT, CUT, *((FILTERED,) if vendor in FILTERING else ())):
        stand.says(vendor, said, stream)
        told = stand.talk(client, vendor, thinking=said is TEXT).say("How is Zürich? ⟦1⟧", stream=stream)
        assert told == expected(CLIENTS[client], stand.family, said)


@STREAM
@pytest.mark.parametrize("vendor", CALLING)
@pytest.mark.parametrize("client", CHATTING)
def test_tools(stand: Stand, client: str, vendor: str, stream: bool) -> None:
    """Two at once, and what they answered, with what the SDK itself has kept of the calls."""
    talk = stand.talk(client, vendor, tools=True, thinking=True)
    called = calls(vendor)
    stand.says(vendor, called, stream)
    told = talk.say("How is Zürich? ⟦1⟧", stream=stream)
    assert told == expected(CLIENTS[client], stand.family, called)
    assert stand.asked().settings["tools"] == ["weather", "time"]

    stand.says(vendor, TEXT, stream)
    told = talk.give(["21 degrees ⟦2⟧", "noon ⟦3⟧"], stream=stream)
    assert told == expected(CLIENTS[client], stand.family, TEXT)
    asked = stand.asked()
    assert asked.groups[0].lines == ["How is Zürich? ⟦1⟧"]
    assert [call for group in asked.groups for call in group.calls] == [(c.name, c.arguments) for c in called.calls]
    assert [asked.results[place].lines for place in (0, 1)] == [["21 degrees ⟦2⟧"], ["noon ⟦3⟧"]]
    if "signature" in stand.family.tells and "ids" in CLIENTS[client].hears:
        assert signed(asked) == [called.signature]
    assert b"skein" not in stand.heard.body


def signed(asked: Meaning) -> list[str]:
    seals = [seal for group in asked.groups for seal in group.seals if seal]
    return seals + [seal for group in asked.groups for _, seal in group.thoughts if seal]


# Gemini signs the call itself, which has a place of its own with Google's clients alone: elsewhere it is remembered.
KEEPING = [
    *(
        (client, vendor)
        for client in CHATTING
        for vendor in ("anthropic", "bedrock", "responses")
        if client != "ollama"
    ),
    ("google", "gemini"),
]


@STREAM
@pytest.mark.parametrize(("client", "vendor"), KEEPING)
def test_the_client_itself_keeps_signatures(stand: Stand, client: str, vendor: str, stream: bool) -> None:
    """So that they go back where they came from by way of another replica, too."""
    talk, called = stand.talk(client, vendor, tools=True, thinking=True), calls(vendor)
    stand.says(vendor, called, stream)
    talk.say("How is Zürich? ⟦1⟧", stream=stream)
    talk.sdk = stand.others[client]
    stand.says(vendor, TEXT, stream)
    talk.give(["21 degrees ⟦2⟧", "noon ⟦3⟧"], stream=stream)
    assert signed(stand.asked()) == [called.signature]


# Claude's signatures are as good at Bedrock; nobody has signed what ``compatible`` thinks.
ELSEWHERE = [
    *(("anthropic", "gemini"), ("anthropic", "responses"), ("gemini", "anthropic"), ("gemini", "responses")),
    *(("responses", "bedrock"), ("responses", "anthropic"), ("responses", "gemini"), ("bedrock", "responses")),
    *(("compatible", "anthropic"), ("compatible", "gemini"), ("compatible", "responses")),
]


@STREAM
@pytest.mark.parametrize(("vendor", "other"), ELSEWHERE)
@pytest.mark.parametrize("client", CHATTING)
def test_no_signature_goes_to_another_vendor(stand: Stand, client: str, vendor: str, other: str, stream: bool) -> None:
    """Nor one that is marked; and back at its own it is as it was, without the other's."""
    talk = stand.talk(client, vendor, tools=True, thinking=True)
    called, heard = calls(vendor), calls(other)
    stand.says(vendor, called, stream)
    talk.say("How is Zürich? ⟦1⟧", stream=stream)
    talk.model = named(other)
    stand.says(other, msgspec.structs.replace(heard, text=TEXT.text, calls=()), stream)
    assert talk.give(["21 degrees ⟦2⟧", "noon ⟦3⟧"], stream=stream).text == TEXT.text
    asked = stand.asked()
    assert [asked.results[place].lines for place in (0, 1)] == [["21 degrees ⟦2⟧"], ["noon ⟦3⟧"]]
    is_sent_without(stand, called.signature)
    talk.model = named(vendor)
    stand.says(vendor, TEXT, stream)
    talk.say("And now? ⟦4⟧", stream=stream)
    assert "And now? ⟦4⟧" in stand.asked().everything()
    home = "signature" in stand.family.tells and "ids" in CLIENTS[client].hears
    assert (called.signature in stand.heard.body.decode()) == home
    if "signature" in stand.family.tells:
        is_sent_without(stand, heard.signature)


def is_sent_without(stand: Stand, seal: str) -> None:
    said = stand.heard.body.decode()
    for each in (seal, "skein", base64.b64encode(b"skein:").decode()):
        assert each not in said


@pytest.mark.parametrize("vendor", [name for name in VENDORS if name not in BLIND])
@pytest.mark.parametrize("client", CHATTING)
def test_a_picture(stand: Stand, client: str, vendor: str) -> None:
    stand.says(vendor, CUT, stream=False)
    stand.talk(client, vendor).say("What is it? ⟦1⟧", PICTURE)
    first = stand.asked().groups[0]
    assert (first.lines, first.media) == (["What is it? ⟦1⟧"], [PICTURE])


@STREAM
@pytest.mark.parametrize("vendor", [name for name in VENDORS if name not in BLIND])
@pytest.mark.parametrize("client", CHATTING)
def test_a_schema(stand: Stand, client: str, vendor: str, stream: bool) -> None:
    stand.says(vendor, PLACE, stream)
    told = stand.talk(client, vendor, schema=True).say("Where? ⟦1⟧", stream=stream)
    assert told == expected(CLIENTS[client], stand.family, PLACE)
    assert stand.asked().settings["response_format"] == sorted(SCHEMA["properties"])


class Place(pydantic.BaseModel):
    city: str


PARSED: dict[str, Callable[[Any, str], Any]] = {
    "openai_chat": lambda sdk, model: (
        sdk.chat.completions.parse(model=model, messages=ASK, response_format=Place).choices[0].message.parsed
    ),
    "openai_responses": lambda sdk, model: (
        sdk.responses.parse(model=model, input=ASK, text_format=Place, store=False).output_parsed
    ),
    "anthropic": lambda sdk, model: (
        sdk.messages.parse(model=model, messages=ASK, max_tokens=100, output_format=Place).parsed_output
    ),
    "google": lambda sdk, model: (
        sdk.models.generate_content(
            model=model,
            contents=ASK[0]["content"],
            config={"response_mime_type": "application/json", "response_schema": Place},
        ).parsed
    ),
    "ollama": lambda sdk, model: Place.model_validate_json(
        sdk.chat(model=model, messages=ASK, format=Place.model_json_schema()).message.content
    ),
}


@pytest.mark.parametrize("vendor", [name for name in VENDORS if name not in BLIND])
@pytest.mark.parametrize("client", PARSED)
def test_a_class_of_the_client_s(stand: Stand, client: str, vendor: str) -> None:
    """As the SDKs write its schema, and read it back."""
    stand.client = client
    stand.says(vendor, PLACE, stream=False)
    assert PARSED[client](stand.sdks[client], named(vendor)) == Place(city="Zürich")
    if (client, vendor) != ("google", "gemini"):
        assert stand.asked().settings["response_format"] == ["city"]
        assert "STRING" not in stand.heard.body.decode()


def weather(city: str, days: list[int]) -> str:
    """The weather somewhere.

    Args:
        city: where
        days: which
    """
    return f"{city}: 21 degrees ⟦2⟧"


@pytest.mark.parametrize("vendor", CALLING)
def test_a_function_called_by_the_sdk_itself(stand: Stand, vendor: str) -> None:
    """Google's SDK describes a function, calls it, and sends what it returned, all by itself."""
    said = calls(vendor)
    answers = [msgspec.structs.replace(said, calls=said.calls[:1]), CUT]
    stand.says(vendor, answers[0], stream=False)
    family = VENDORS[vendor].family

    def answer(heard: Heard) -> Reply:
        stand.family = at_path(family, heard.path)
        return stand.family.reply(answers[len(stand.vendor.heard) - 1], stream=False)

    stand.vendor.answers, stand.client = answer, "google"
    config = {"tools": [weather]}
    told = stand.sdks["google"].models.generate_content(model=named(vendor), contents="How is it? ⟦1⟧", config=config)
    assert told.text == CUT.text
    stand.vendor.heard[:] = stand.vendor.heard[1:]
    asked = stand.asked()
    assert "Zürich: 21 degrees ⟦2⟧" in asked.results[0].lines[0]
