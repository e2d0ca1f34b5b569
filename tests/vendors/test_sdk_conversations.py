"""One conversation, sent by the vendor's own SDK and by the gateway: what arrives is the same, or differs for a reason.

Not witnessed: ``AnthropicBedrock`` calls InvokeModel, where the gateway calls Converse.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import anthropic
import boto3
import cohere
import httpx
import ollama
import pytest
from anthropic import transform_schema
from botocore.config import Config
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials
from mistralai.client import Mistral

from gateway.dialects.anthropic_schema import enforceable
from tests.end_to_end import native
from tests.end_to_end.replaying import Heard, Replaying, replaying
from tests.running import RunningGateway, running_gateway
from tests.vendors import witnesses
from tests.vendors.asked import AND, ASKED, FIRST, REPORT, SECOND
from tests.vendors.witnesses import Conversations

KEY, SECRET, REGION = "sk-witness-Xq7vR2mB9", "wJalrXUtnFEMI/K7MDENG", "us-east-1"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# How each SDK is set up and called ------------------------------------------------------------------------------------


def by_anthropic(client: Any, model: str, said: dict[str, Any], stream: bool) -> None:
    answer = client.messages.create(model=model, **said, **({"stream": True} if stream else {}))
    if stream:
        list(answer)


def by_google(client: genai.Client, model: str, said: dict[str, Any], stream: bool) -> None:
    if stream:
        list(client.models.generate_content_stream(model=model, **said))
    else:
        client.models.generate_content(model=model, **said)


def by_boto3(client: Any, model: str, said: dict[str, Any], stream: bool) -> None:
    if "outputConfig" in said:
        said = copy.deepcopy(said)
        schema = said["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
        schema["schema"] = json.dumps(schema["schema"])
    if stream:
        list(client.converse_stream(modelId=model, **said)["stream"])
    else:
        client.converse(modelId=model, **said)


def by_mistral(client: Mistral, model: str, said: dict[str, Any], stream: bool) -> None:
    if not stream:
        client.chat.complete(model=model, **said)
        return
    with client.chat.stream(model=model, **said) as events:
        list(events)


def by_cohere(client: cohere.ClientV2, model: str, said: dict[str, Any], stream: bool) -> None:
    if stream:
        list(client.chat_stream(model=model, **said))
    else:
        client.chat(model=model, **said)


def by_ollama(client: ollama.Client, model: str, said: dict[str, Any], stream: bool) -> None:
    answer = client.chat(model=model, stream=stream, **said)
    if stream:
        list(answer)


def gemini_api(url: str) -> genai.Client:
    return genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=url))


def vertex(url: str) -> genai.Client:
    options = types.HttpOptions(base_url=url)
    return genai.Client(
        vertexai=True, project="p-1", location=REGION, credentials=Credentials(KEY), http_options=options
    )


def converse(url: str) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 1}),
    )


# The table ------------------------------------------------------------------------------------------------------------

ABSENT = "(absent)"
DAY, SIGNATURE = "20260102", "0" * 64


class Differs(NamedTuple):
    theirs: Any
    ours: Any
    why: str


class Witness(NamedTuple):
    """``models``: case -> the model that it is asked of, where that is not ``model``.

    ``differs``: case (or ``""``, all of them) -> where it differs. ``dropped``: case -> what the gateway says it could
    not tell this vendor.
    """

    family: native.Family
    conversations: Conversations
    client: Callable[[str], Any]
    say: Callable[[Any, str, dict[str, Any], bool], None]
    model: str
    settings: Mapping[str, Any] = {}
    models: Mapping[str, str] = {}
    differs: Mapping[str, Mapping[str, Differs]] = {}
    dropped: Mapping[str, str] = {}


OLD_VERSION = "the new version refuses temperature and top_p for every model; older models take them in the old one"
HAS_TO_BE_SAID = "the client named no limit, and here there must be one"
LIMIT = {"body.max_tokens": Differs(4000, 32000, HAS_TO_BE_SAID)}
CLAUDE_DROPS = {
    "numbers": "seed, frequency_penalty, presence_penalty",
    "JSON": "response_format",
    "two answers": "n",
    "about": "metadata",
    "sound": "messages[0].content[1]",
    "own thoughts": "messages[1].reasoning_content",
}
CLAUDE_MODELS = {"effort": "claude-opus-4-7", "no thinking": "claude-sonnet-5"}
CLAUDE = Witness(native.ANTHROPIC, witnesses.CLAUDE, anthropic.Anthropic, by_anthropic, "claude-sonnet-4-5")
CLAUDE = CLAUDE._replace(models=CLAUDE_MODELS, dropped=CLAUDE_DROPS)
URL_SAFE = "Google takes base64 of both alphabets: its SDK writes the URL-safe one, clients of OpenAI's the other"
GEMINI = Witness(
    native.GEMINI,
    witnesses.GEMINI,
    gemini_api,
    by_google,
    "gemini-2.5-flash",
    models={"effort": "gemini-3-pro-preview", "image from a tool": "gemini-3-pro-preview"},
    dropped={
        "tool named": "parallel_tool_calls",
        "PDF": "messages[0].content[0].file.filename",
        "thoughts": "messages[1].reasoning_content",
        "own thoughts": "messages[1].reasoning_content",
        "strict tool": "tools[0].function.strict",
        "cached": "cache_control",
        "about": "user, metadata",
    },
)
UNSIGNED = "without a signature Gemini 3 refuses the call; with this it does not look: https://ai.google.dev/gemini-api/docs/thought-signatures"
NOT_CHECKED = base64.b64encode(b"skip_thought_signature_validator").decode()
UNSIGNED_CALL = {"body.contents[1].parts[0].thoughtSignature": Differs(ABSENT, NOT_CHECKED, UNSIGNED)}
PDF_DATA = {"body.contents[0].parts[0].inlineData.data": Differs("JVBERi0xLjcg_w==", "JVBERi0xLjcg/w==", URL_SAFE)}
SAID_IN_BETWEEN = (
    "400 \"Unexpected role 'user' after role 'tool'\": https://docs.mistral.ai/capabilities/function_calling"
)
NO_IDS = "the SDK's types have no ids; models here that number their calls are given them"

WITNESSES: dict[str, Witness] = {
    "anthropic": CLAUDE._replace(
        client=lambda url: anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0),
        differs={
            "": {
                "headers.anthropic-version": Differs("2026-10-21", "2023-06-01", OLD_VERSION),
                "headers.authorization": Differs(f"Bearer {KEY}", ABSENT, "both ways to send a key are good"),
                "headers.x-api-key": Differs(ABSENT, KEY, "both ways to send a key are good"),
            },
            "plain": LIMIT,
        },
    ),
    "vertex-claude": CLAUDE._replace(
        client=lambda url: anthropic.AnthropicVertex(
            project_id="p-1", region=REGION, access_token=KEY, base_url=f"{url}/v1", max_retries=0
        ),
        settings={"vendor": "vertex", "project": "p-1", "location": REGION, "ad_token": KEY, "api_key": None},
        differs={
            "": {"body.anthropic_version": Differs("2026-10-21", "vertex-2023-10-16", OLD_VERSION)},
            "plain": LIMIT,
        },
    ),
    "foundry": CLAUDE._replace(
        client=lambda url: anthropic.AnthropicFoundry(api_key=KEY, base_url=f"{url}/anthropic", max_retries=0),
        settings={"vendor": "azure_openai"},
        differs={
            "": {
                "headers.anthropic-version": Differs("2026-10-21", "2023-06-01", OLD_VERSION),
                "headers.x-api-key": Differs(KEY, ABSENT, "the SDK sends both, either will do"),
            },
            "plain": LIMIT,
        },
    ),
    "google": GEMINI._replace(
        differs={
            "": {"path[1]": Differs("v1", "v1beta", "it has all of v1, and the preview models besides")},
            "PDF": PDF_DATA,
            "image from a tool": UNSIGNED_CALL,
        }
    ),
    "vertex": GEMINI._replace(
        client=vertex,
        settings={"project": "p-1", "location": REGION, "ad_token": KEY, "api_key": None},
        differs={"PDF": PDF_DATA, "image from a tool": UNSIGNED_CALL},
    ),
    "bedrock": Witness(
        native.BEDROCK,
        witnesses.CONVERSE,
        converse,
        by_boto3,
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        settings={
            "region": REGION,
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": SECRET,
            "api_key": None,
        },
        models={"effort": "us.anthropic.claude-opus-4-6-v1", "no thinking": "us.anthropic.claude-sonnet-5"},
        dropped={
            **{case: names for case, names in CLAUDE_DROPS.items() if case != "sound"},
            "tool named": "parallel_tool_calls",
            "about": "user",
        },
    ),
    "mistral": Witness(
        native.MISTRAL,
        witnesses.MISTRAL,
        lambda url: Mistral(api_key=KEY, server_url=url),
        by_mistral,
        "mistral-medium-latest",
        differs={
            "parallel results": {
                "body.messages[4].content": Differs(AND, "I have the results.", SAID_IN_BETWEEN),
                "body.messages[4].role": Differs("user", "assistant", SAID_IN_BETWEEN),
                "body.messages[5].content": Differs(ABSENT, AND, SAID_IN_BETWEEN),
                "body.messages[5].role": Differs(ABSENT, "user", SAID_IN_BETWEEN),
            },
        },
        dropped={
            "budget": "thinking",
            "thoughts": "messages[1].thinking_blocks, messages[1].tool_calls[0].extra_content",
            "own thoughts": "messages[1].reasoning_content",
            "cached": "messages[0].content[0].cache_control",
            "about": "user",
        },
    ),
    "cohere": Witness(
        native.COHERE,
        witnesses.COHERE,
        lambda url: cohere.ClientV2(api_key=KEY, base_url=url, log_warning_experimental_features=False),
        by_cohere,
        "command-a-reasoning-08-2025",
        dropped={
            "tool named": "parallel_tool_calls",
            "PDF": "messages[0].content[0]",
            "sound": "messages[0].content[1]",
            "image from a tool": "messages[2].content[1]",
            "thoughts": "messages[1].reasoning_content",
            "own thoughts": "messages[1].reasoning_content",
            "cached": "messages[0].content[0].cache_control",
            "two answers": "n",
            "about": "user, metadata",
        },
    ),
    "ollama": Witness(
        native.OLLAMA,
        witnesses.OLLAMA,
        lambda url: ollama.Client(host=url, headers={"authorization": f"Bearer {KEY}"}),
        by_ollama,
        "qwen3",
        settings={"dialect": "ollama_chat"},
        differs={
            "": {
                "body.options.num_ctx": Differs(
                    ABSENT,
                    32768,
                    "left out, a few thousand tokens are all that is read, and the rest is cut in silence",
                )
            },
            "result": {
                "body.messages[1].tool_calls[0].id": Differs(ABSENT, FIRST, NO_IDS),
                "body.messages[2].tool_call_id": Differs(ABSENT, FIRST, NO_IDS),
            },
            "image from a tool": {
                "body.messages[1].tool_calls[0].id": Differs(ABSENT, FIRST, NO_IDS),
                "body.messages[2].tool_call_id": Differs(ABSENT, FIRST, NO_IDS),
            },
            "own thoughts": {
                "body.messages[1].tool_calls[0].id": Differs(ABSENT, FIRST, NO_IDS),
                "body.messages[2].tool_call_id": Differs(ABSENT, FIRST, NO_IDS),
            },
            "parallel results": {
                "body.messages[1].tool_calls[0].id": Differs(ABSENT, FIRST, NO_IDS),
                "body.messages[1].tool_calls[1].id": Differs(ABSENT, SECOND, NO_IDS),
                "body.messages[2].tool_call_id": Differs(ABSENT, FIRST, NO_IDS),
                "body.messages[3].tool_call_id": Differs(ABSENT, SECOND, NO_IDS),
            },
        },
        dropped={
            "tool required": "tool_choice",
            "tool named": "tool_choice, parallel_tool_calls",
            "PDF": "messages[0].content[0]",
            "sound": "messages[0].content[1]",
            "budget": "thinking.budget_tokens",
            "thoughts": "messages[1].reasoning_content",
            "strict tool": "tools[0].function.strict",
            "cached": "messages[0].content[0].cache_control",
            "two answers": "n",
            "about": "user, metadata",
        },
    ),
}
FETCHED = {("google", "image elsewhere"), ("vertex", "image elsewhere"), ("bedrock", "image elsewhere")}
FETCHED |= {("ollama", "image elsewhere")}
"""What the gateway brings itself: ``tests/end_to_end/test_native_media.py``."""

# What arrives ---------------------------------------------------------------------------------------------------------

SIGN_IN = {"authorization", "x-api-key", "api-key", "x-goog-api-key", "x-goog-user-project", "x-amz-security-token"}
TELLING = {*SIGN_IN, "content-type", "anthropic-version", "anthropic-beta"}
"""The headers that mean something; what a client says of itself and of how it reads is not compared."""


Uniform = Mapping[str, Callable[[Any], Any]]


def told(heard: Heard, family: native.Family, uniform: Uniform) -> dict[str, Any]:
    """Place -> what is said there."""
    url = urlsplit(heard.path)
    headers = {name: value for name, value in heard.headers.items() if name in TELLING}
    if headers.get("authorization", "").startswith("AWS4"):
        # Not all their headers are ours, and they are not signed in the same second.
        headers["authorization"] = re.sub(r"/\d{8}/", f"/{DAY}/", headers["authorization"])
        headers["authorization"] = re.sub(r"Signature=\w{64}$", f"Signature={SIGNATURE}", headers["authorization"])
    return flat(
        {
            "method": heard.method,
            "path": [unquote(part) for part in url.path.split("/")],
            "query": dict(parse_qsl(url.query)),
            "headers": headers,
            "body": uniform.get(family.name, dict)(heard.json),
        }
    )


def flat(said: Any, at: str = "") -> dict[str, Any]:
    if isinstance(said, dict) and said:
        within = ((f"{at}.{key}" if at else key, value) for key, value in said.items())
    elif isinstance(said, list) and said:
        within = ((f"{at}[{place}]", value) for place, value in enumerate(said))
    else:
        return {at: said}
    return {place: found for each, value in within for place, found in flat(value, each).items()}


def without_stream(body: dict[str, Any]) -> dict[str, Any]:
    """Left out, it is false."""
    return {name: value for name, value in body.items() if name != "stream" or value}


def with_a_read_schema(body: dict[str, Any]) -> dict[str, Any]:
    """It is a string."""
    if "outputConfig" in body:
        schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
        schema["schema"] = json.loads(schema["schema"])
    return body


def without_tools(body: dict[str, Any]) -> dict[str, Any]:
    """The SDK says that there are none."""
    return {name: value for name, value in body.items() if name != "tools" or value}


def without_what_is_so_anyhow(body: dict[str, Any]) -> dict[str, Any]:
    """The SDK numbers all calls 0, and says of each answer that it is none to be gone on with."""
    for message in body["messages"]:
        if message.get("prefix") is False:
            del message["prefix"]
        for call in message.get("tool_calls", ()):
            if call.get("index") == 0:
                del call["index"]
    return body


SCHEMAS = ("args", "response", "parametersJsonSchema", "responseJsonSchema")


def in_camel_case(said: Any, within: str = "") -> Any:
    """The SDK mixes spellings, and says who gives the instruction."""
    if isinstance(said, list):
        return [in_camel_case(each, within) for each in said]
    if not isinstance(said, dict) or within in SCHEMAS:
        return said
    renamed = {re.sub(r"_([a-z])", lambda found: found[1].upper(), key): value for key, value in said.items()}
    if within == "systemInstruction":
        renamed.pop("role", None)
    return {key: in_camel_case(value, key) for key, value in renamed.items()}


THEIRS: Uniform = {
    "anthropic": without_stream,
    "bedrock": with_a_read_schema,
    "cohere": without_stream,
    "gemini": in_camel_case,
    "mistral": without_what_is_so_anyhow,
    "ollama": without_tools,
}
OURS: Uniform = {"bedrock": with_a_read_schema}


class Stand:
    def __init__(self, gateway: RunningGateway, vendor: Replaying, http: httpx.Client) -> None:
        self.vendor, self._http = vendor, http
        self._clients: dict[str, Any] = {}
        self._base = gateway.base_url

    def theirs(self, name: str, model: str, said: dict[str, Any], stream: bool) -> Heard:
        witness = WITNESSES[name]
        if name not in self._clients:
            self._clients[name] = witness.client(self.vendor.url)
        self._answers(witness, stream)
        witness.say(self._clients[name], model, said, stream)
        (heard,) = self.vendor.heard
        return heard

    def ours(self, name: str, model: str, said: dict[str, Any], stream: bool) -> tuple[Heard, str]:
        """What came, and what could not be told."""
        self._answers(WITNESSES[name], stream)
        asked = {**said, "model": f"{name}/{model}", "stream": stream}
        answer = self._http.post(f"{self._base}/chat/completions", json=asked)
        assert answer.status_code == 200, answer.text
        (heard,) = self.vendor.heard
        return heard, answer.headers.get("x-skein-dropped", "")

    def _answers(self, witness: Witness, stream: bool) -> None:
        self.vendor.heard.clear()
        self.vendor.reply = witness.family.reply(native.Said(text="hi"), stream)


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with ExitStack() as stack:
        vendor = stack.enter_context(replaying())
        providers = {
            name: {
                key: value
                for key, value in {
                    "vendor": name,
                    "base_url": vendor.url,
                    "api_key": KEY,
                    **witness.settings,
                }.items()
                if value is not None
            }
            for name, witness in WITNESSES.items()
        }
        once = {"retries": 0, "breaker": {"consecutive": 1000, "min_requests": 1000}}
        gateway = stack.enter_context(running_gateway(json.dumps({"providers": providers, "resilience": once})))
        yield Stand(gateway, vendor, stack.enter_context(httpx.Client(timeout=30)))


CASES = [(name, case) for name in WITNESSES for case in ASKED if (name, case) not in FETCHED]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_gateway_says_what_the_sdk_says(stand: Stand, name: str, case: str, stream: bool):
    witness = WITNESSES[name]
    model = witness.models.get(case, witness.model)
    heard, dropped = stand.ours(name, model, ASKED[case], stream)
    assert dropped == witness.dropped.get(case, "")
    if case not in witness.conversations:
        return
    ours = told(heard, witness.family, OURS)
    theirs = told(stand.theirs(name, model, witness.conversations[case], stream), witness.family, THEIRS)
    places = [place for place in {**ours, **theirs} if ours.get(place, ABSENT) != theirs.get(place, ABSENT)]
    found = {place: (theirs.get(place, ABSENT), ours.get(place, ABSENT)) for place in places}
    known = {**witness.differs.get("", {}), **witness.differs.get(case, {})}
    assert found == {place: (each.theirs, each.ours) for place, each in known.items()}


def test_what_no_sdk_can_say_is_dropped_by_name():
    for name, case in CASES:
        witness = WITNESSES[name]
        assert case in witness.conversations or case in witness.dropped, (name, case)
        assert witness.dropped.keys() | witness.differs.keys() | witness.models.keys() <= {"", *ASKED}
    assert {case for witness in WITNESSES.values() for case in witness.conversations} == set(ASKED)


# Schemas, as Anthropic's SDK writes them ------------------------------------------------------------------------------

TEXT = {"type": "string"}
SCHEMAS_OF_ANSWERS: dict[str, dict[str, Any]] = {
    # But for types beside enums, which the SDK leaves out since 2.0, and which say no more than the enum does.
    "plain": REPORT["properties"]["degrees"],
    "open": {"type": "object", "properties": {"a": TEXT}, "additionalProperties": True},
    "limits": {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 5, "description": "How many"}},
    },
    "texts": {"type": "string", "minLength": 1, "pattern": "^a", "format": "date"},
    "an unknown format": {"type": "string", "format": "phone"},
    "a list": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 9},
    "a long list": {"type": "array", "items": TEXT, "minItems": 4},
    "variants": {"oneOf": [TEXT, {"type": "object", "properties": {"a": TEXT}}]},
    "all of": {"allOf": [{"type": "object", "properties": {"a": TEXT}}]},
    "definitions": {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"type": "object", "properties": {"b": TEXT}, "title": "A"}},
    },
    "required": {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["b"]},
    "nested": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {}}}}},
}


@pytest.mark.parametrize("schema", SCHEMAS_OF_ANSWERS.values(), ids=SCHEMAS_OF_ANSWERS)
def test_a_schema_is_made_enforceable_as_the_sdk_does(schema: dict[str, Any]):
    assert enforceable(copy.deepcopy(schema)) == transform_schema(copy.deepcopy(schema))
