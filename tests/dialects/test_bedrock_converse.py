"""Bedrock's Converse: requests that botocore's own model of the service takes, and answers as real models gave them."""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from gateway.abilities import abilities
from gateway.chat import (
    Blob,
    Cache,
    CallBegan,
    CallDelta,
    ChatRequest,
    ChatResponse,
    Counted,
    Damaged,
    Encoded,
    Ended,
    Failed,
    File,
    Finished,
    Message,
    Output,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningSealed,
    Refusal,
    Text,
    TextDelta,
    Thinking,
    Tool,
    ToolCall,
    ToolCallResponse,
    ToolChoice,
    Uri,
    Usage,
)
from gateway.dialects import INGRESS
from gateway.dialects import bedrock_converse as converse
from gateway.dialects.anthropic_turns import LEFT_OUT, NO_RESULT, NOTHING_SAID
from gateway.dialects.bedrock_contents import DOCUMENT, GO_ON, NO_OUTPUT
from gateway.dialects.faults import read_fault
from gateway.errors import Fault, FaultKind
from tests.test_event_stream import framed

ROOT = Path(__file__).parents[3] / "shared" / "recordings" / "bedrock"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE_5 = "global.anthropic.claude-opus-5-v1:0"
OLD_CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA, NOVA_2 = "us.amazon.nova-pro-v1:0", "us.amazon.nova-2-lite-v1:0"
LLAMA, MISTRAL, KIMI = (
    "us.meta.llama4-maverick-17b-instruct-v1:0",
    "mistral.mistral-large-2402-v1:0",
    "moonshot.kimi-k2",
)
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"

# Requests -------------------------------------------------------------------------------------------------------------


@lru_cache
def shape() -> Any:
    service = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
    return service.operation_model("Converse").input_shape


def valid(encoded: Encoded) -> dict[str, Any]:
    """The body as it goes out; botocore finds nothing wrong with it, and neither would Bedrock."""
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(encoded.body))
    report = ParamValidator().validate({**body, "modelId": "m"}, shape())
    assert not report.has_errors(), report.generate_report()
    turns = body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2)
    calls: list[str] = []
    for turn in turns:
        blocks = turn["content"]
        assert blocks
        assert not any("text" in block and not block["text"].strip() for block in blocks)
        assert "cachePoint" not in blocks[0]
        results = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
        assert results == calls[len(calls) - len(results) :]
        if turn["role"] == "user":
            assert len(results) == open_calls(turns, turn)
            kinds = ["toolResult" in block for block in blocks if "cachePoint" not in block]
            assert kinds == sorted(kinds, reverse=True), "results come first"
        calls += [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
        if any("document" in block for block in blocks):
            assert any("text" in block for block in blocks)
    assert len(calls) == len(set(calls))
    assert not calls or body["toolConfig"]["tools"]
    return body


def open_calls(turns: list[Any], turn: Any) -> int:
    at = next(at for at, each in enumerate(turns) if each is turn)
    return sum("toolUse" in block for block in turns[at - 1]["content"]) if at else 0


def asked(*messages: Message, model: str = CLAUDE, **settings: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = ChatRequest(model=model, messages=messages or (said("user", "hi"),), **settings)
    encoded = converse.encode_request(request, abilities(model))
    return valid(encoded), encoded.dropped


def said(role: Any, *parts: Part | str) -> Message:
    return Message(role, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def result(id: str, *parts: Part | str, **more: Any) -> Message:
    content: Any = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Message("tool", (ToolCallResponse(id, "f", content, **more),))


CALL = ToolCall("c1", "f", '{"a": 1}')
PNG = Blob("image", "image/png", "AAAA")
USE = {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1}}}
TOOL = Tool("f", "does it", {"type": "object", "properties": {"a": {"type": "integer"}}})


def answered(*content: Any, id: str = "c1", **more: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": id, "content": list(content), **more}}


HI = said("user", "hi")
CONVERSATIONS: dict[str, tuple[tuple[Message, ...], list[Any], list[str]]] = {
    # what is said: the turns that come out, and what is named as dropped
    "turns of one role become one": (
        (HI, said("user", "there"), said("assistant", "a"), said("assistant", "b"), HI),
        [("user", "hi", "there"), ("assistant", "a", "b"), ("user", "hi")],
        [],
    ),
    "the user begins": ((said("assistant", "a"), HI), [("user", NOTHING_SAID), ("assistant", "a"), ("user", "hi")], []),
    "instructions in the middle stay there": (
        (HI, said("assistant", "a"), said("system", "be brief"), HI),
        [("user", "hi"), ("assistant", "a"), ("user", "be brief", "hi")],
        ["messages[2].role"],
    ),
    "nothing said": ((said("user", " "),), [("user", NOTHING_SAID)], []),
    "an empty answer is none": ((HI, said("assistant"), HI), [("user", "hi", "hi")], []),
    "a call and its result": (
        (HI, said("assistant", "wait", CALL), result("c1", "ok"), HI),
        [("user", "hi"), ("assistant", "wait", USE), ("user", answered({"text": "ok"}), "hi")],
        [],
    ),
    "results in the order of the calls": (
        (HI, said("assistant", CALL, ToolCall("c2", "f", "")), result("c2", "2"), result("c1", "1")),
        [
            ("user", "hi"),
            ("assistant", USE, {"toolUse": {"toolUseId": "c2", "name": "f", "input": {}}}),
            ("user", answered({"text": "1"}), answered({"text": "2"}, id="c2")),
        ],
        [],
    ),
    "calls in messages of their own": (
        (
            HI,
            said("assistant", CALL),
            said("assistant", ToolCall("c2", "f", "{}")),
            result("c1", "1"),
            result("c2", "2"),
        ),
        [
            ("user", "hi"),
            ("assistant", USE, {"toolUse": {"toolUseId": "c2", "name": "f", "input": {}}}),
            ("user", answered({"text": "1"}), answered({"text": "2"}, id="c2")),
        ],
        [],
    ),
    "a result that is missing": (
        (HI, said("assistant", CALL), HI),
        [("user", "hi"), ("assistant", USE), ("user", answered({"text": NO_RESULT}, status="error"), "hi")],
        [],
    ),
    "a result of no call": ((HI, result("c9", "ok")), [("user", "hi", "A result of the tool f:", "ok")], []),
    "a stray result between those of calls": (
        (HI, said("assistant", CALL), result("c9", "stray"), result("c1", "ok")),
        [("user", "hi"), ("assistant", USE), ("user", answered({"text": "ok"}), "A result of the tool f:", "stray")],
        [],
    ),
    "a result given twice": (
        (HI, said("assistant", CALL), result("c1", "ok"), result("c1", "again", failed=True)),
        [("user", "hi"), ("assistant", USE), ("user", answered({"text": "ok"}), "An error of the tool f:", "again")],
        [],
    ),
    "a result without a word": (
        (HI, said("assistant", CALL), result("c1", "")),
        [("user", "hi"), ("assistant", USE), ("user", answered({"text": NO_OUTPUT}))],
        [],
    ),
    "a failure": (
        (HI, said("assistant", CALL), result("c1", "no", failed=True)),
        [("user", "hi"), ("assistant", USE), ("user", answered({"text": "no"}, status="error"))],
        [],
    ),
    "an image in a result": (
        (HI, said("assistant", CALL), result("c1", "see", PNG)),
        [
            ("user", "hi"),
            ("assistant", USE),
            ("user", answered({"text": "see"}, {"image": {"format": "png", "source": {"bytes": "AAAA"}}})),
        ],
        [],
    ),
    "arguments that are no object": (
        (HI, said("assistant", ToolCall("c1", "f", "[1")), result("c1", "ok")),
        [
            ("user", "hi"),
            ("assistant", {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"arguments": "[1"}}}),
            ("user", answered({"text": "ok"})),
        ],
        [],
    ),
    "thoughts of Claude's go back, before what they led to": (
        (
            HI,
            said(
                "assistant",
                "so",
                CALL,
                Reasoning("hm", "sig", None, "anthropic"),
                Reasoning("", None, "Eq", "anthropic"),
            ),
            result("c1", "ok"),
        ),
        [
            ("user", "hi"),
            (
                "assistant",
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": base64.b64encode(b"Eq").decode()}},
                "so",
                USE,
            ),
            ("user", answered({"text": "ok"})),
        ],
        [],
    ),
    "others' thoughts do not": (
        (HI, said("assistant", Reasoning("hm"), Reasoning("", "s", None, "gemini"), "so"), HI),
        [("user", "hi"), ("assistant", "so"), ("user", "hi")],
        ["messages[1].reasoning_content"],
    ),
    "a refusal was said": (
        (HI, said("assistant", Refusal("no")), HI),
        [("user", "hi"), ("assistant", "no"), ("user", "hi")],
        [],
    ),
    "what cannot be shown": (
        (
            said("user", File("document", "file-1")),
            said("assistant", "ok", PNG),
            said("user", Uri("image", "https://x/y.png"), "?"),
        ),
        [("user", LEFT_OUT), ("assistant", "ok"), ("user", "?")],
        ["messages[0].content[0]", "messages[1].content[1]", "messages[2].content[0]"],
    ),
    "who of them": ((Message("user", (Text("hi"),), name="Ann"),), [("user", "hi")], ["messages[0].name"]),
}


@pytest.mark.parametrize(("messages", "turns", "dropped"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_conversation(messages: tuple[Message, ...], turns: list[Any], dropped: list[str]):
    body, named = asked(*messages)
    shown = [
        (turn["role"], *(block["text"] if block.keys() == {"text"} else block for block in turn["content"]))
        for turn in body["messages"]
    ]
    assert shown == turns
    assert list(named) == dropped


def test_instructions_come_first():
    body, _ = asked(said("system", "a"), said("developer", "b", " "), HI)
    assert body["system"] == [{"text": "a"}, {"text": "b"}]
    assert asked(said("system", "a"))[0]["messages"] == [{"role": "user", "content": [{"text": NOTHING_SAID}]}]


@pytest.mark.parametrize(("model", "last"), [(CLAUDE, "{"), (CLAUDE_5, GO_ON), (NOVA, GO_ON), (OLD_CLAUDE, "{")])
def test_an_answer_that_is_begun(model: str, last: str):
    body, _ = asked(HI, said("assistant", "{ "), model=model)
    assert body["messages"][-1]["content"][-1] == {"text": last}


@pytest.mark.parametrize(
    ("model", "id", "kept"),
    [
        (CLAUDE, "tooluse_a-1", True),
        (CLAUDE, "functions.f:0", False),
        (KIMI, "functions.f:0", True),
        (KIMI, "a/b", False),
        (ARN, "a" * 65, False),
        (NOVA, "", False),
    ],
)
def test_ids_of_calls(model: str, id: str, kept: bool):
    body, _ = asked(HI, said("assistant", ToolCall(id, "f", "{}")), result(id, "ok"), model=model)
    own = body["messages"][1]["content"][0]["toolUse"]["toolUseId"]
    assert (own == id) is kept
    assert body["messages"][2]["content"][0]["toolResult"]["toolUseId"] == own


def test_an_id_used_again_is_another():
    turn = (said("assistant", ToolCall("call_0", "f", "{}")), result("call_0", "ok"))
    body, _ = asked(HI, *turn, *turn, *turn)
    assert len({block["toolUse"]["toolUseId"] for turn in body["messages"][1::2] for block in turn["content"]}) == 3


def test_names_of_tools_come_back():
    request = ChatRequest(
        model=CLAUDE,
        messages=(HI, said("assistant", ToolCall("c", "fs.read", "{}")), result("c", "ok")),
        tools=(Tool("fs.read"), Tool("x" * 70)),
        tool_choice=ToolChoice("named", ("fs.read",)),
    )
    encoded = converse.encode_request(request, abilities(CLAUDE))
    body = valid(encoded)
    own, long = [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]]
    assert encoded.tool_names == {own: "fs.read", long: "x" * 70}
    assert len(long) <= 64
    assert body["messages"][1]["content"][0]["toolUse"]["name"] == own
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": own}}


def test_what_some_families_take_otherwise():
    history = (HI, said("assistant", CALL), result("c1", '{"ok": true}', PNG, failed=True))
    body, dropped = asked(*history, model=MISTRAL)
    image = {"image": {"format": "png", "source": {"bytes": "AAAA"}}}
    assert body["messages"][2]["content"] == [answered({"json": {"ok": True}}), image]
    assert dropped == ("messages[2].is_error",)
    body, dropped = asked(*history, model=NOVA)
    assert body["messages"][2]["content"] == [answered({"text": '{"ok": true}'}, image, status="error")]
    assert dropped == ()


MEDIA: dict[str, tuple[Part, dict[str, Any] | None]] = {
    "jpg": (Blob("image", "image/jpg", "AA"), {"image": {"format": "jpeg", "source": {"bytes": "AA"}}}),
    "no image of theirs": (Blob("image", "image/svg+xml", "AA"), None),
    "pdf": (
        Blob("document", "application/pdf", "AA", name="My report_v2 (final).pdf"),
        {"document": {"format": "pdf", "name": "My report v2 (final)", "source": {"bytes": "AA"}}},
    ),
    "no name": (
        Blob("document", "text/plain; charset=utf-8", "AA"),
        {"document": {"format": "txt", "name": "document", "source": {"bytes": "AA"}}},
    ),
    "json": (
        Blob("document", "application/json", "AA", name="§.json"),
        {"document": {"format": "txt", "name": "document", "source": {"bytes": "AA"}}},
    ),
    "by its ending": (
        Blob("document", "application/octet-stream", "AA", name="a.docx"),
        {"document": {"format": "docx", "name": "a", "source": {"bytes": "AA"}}},
    ),
    "s3": (
        Uri("video", "s3://bucket/a.mp4"),
        {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/a.mp4"}}}},
    ),
    "3gp": (Blob("video", "video/3gpp", "AA"), {"video": {"format": "three_gp", "source": {"bytes": "AA"}}}),
    "sound": (Blob("audio", "audio/mpeg", "AA"), {"audio": {"format": "mp3", "source": {"bytes": "AA"}}}),
    "empty": (Blob("image", "image/png", ""), None),
}


@pytest.mark.parametrize(("part", "block"), MEDIA.values(), ids=MEDIA)
def test_media(part: Part, block: dict[str, Any] | None):
    body, dropped = asked(said("user", "see", part))
    assert body["messages"][0]["content"][1:] == ([block] if block else [])
    assert dropped == (() if block else ("messages[0].content[1]",))


def test_documents_have_names_of_their_own_and_a_text_with_them():
    pdf = Blob("document", "application/pdf", "AA", name="a.pdf")
    body, _ = asked(said("user", pdf, pdf))
    blocks = body["messages"][0]["content"]
    assert [block["document"]["name"] for block in blocks[:2]] == ["a", "a 2"]
    assert blocks[2] == {"text": DOCUMENT}


ALL = (TOOL, Tool("g"))
USED = (HI, said("assistant", CALL), result("c1", "ok"))
CHOICES: dict[str, tuple[str, tuple[Message, ...], tuple[Tool, ...], ToolChoice | None, Any, list[str], list[str]]] = {
    # model, messages, tools, choice: toolChoice, tools on offer, dropped
    "none asked": (CLAUDE, (HI,), ALL, None, None, ["f", "g"], []),
    "auto": (CLAUDE, (HI,), ALL, ToolChoice("auto"), {"auto": {}}, ["f", "g"], []),
    "required": (CLAUDE, (HI,), ALL, ToolChoice("required"), {"any": {}}, ["f", "g"], []),
    "named": (CLAUDE, (HI,), ALL, ToolChoice("named", ("g",)), {"tool": {"name": "g"}}, ["f", "g"], []),
    "one of these": (CLAUDE, (HI,), (*ALL, Tool("h")), ToolChoice("required", ("f", "g")), {"any": {}}, ["f", "g"], []),
    "none": (CLAUDE, (HI,), ALL, ToolChoice("none"), None, [], []),
    "none, but used": (CLAUDE, USED, ALL, ToolChoice("none"), None, ["f", "g"], ["tool_choice"]),
    "used, and not sent along": (CLAUDE, USED, (), None, None, ["f"], []),
    "used, not sent along, required": (CLAUDE, USED, (), ToolChoice("required"), None, ["f"], ["tool_choice"]),
    "no tools": (CLAUDE, (HI,), (), ToolChoice("auto"), None, [], []),
    "named where none can be named": (MISTRAL, (HI,), ALL, ToolChoice("named", ("g",)), {"any": {}}, ["g"], []),
    "required where nothing can be": (LLAMA, (HI,), ALL, ToolChoice("required"), None, ["f", "g"], ["tool_choice"]),
}


@pytest.mark.parametrize("case", CHOICES.values(), ids=CHOICES)
def test_tools_and_the_choice(case: Any):
    model, messages, tools, choice, written, offered, dropped = case
    body, named = asked(*messages, model=model, tools=tools, tool_choice=choice)
    config = body.get("toolConfig", {})
    assert config.get("toolChoice") == written
    assert [tool["toolSpec"]["name"] for tool in config.get("tools", ())] == offered
    assert list(named) == dropped


def test_a_tool_is_described():
    body, dropped = asked(tools=(TOOL, Tool("g", " "), Tool("h", "x", {"properties": {}}, strict=True)))
    assert [tool["toolSpec"] for tool in body["toolConfig"]["tools"]] == [
        {"name": "f", "description": "does it", "inputSchema": {"json": TOOL.parameters}},
        {"name": "g", "inputSchema": {"json": {"type": "object", "properties": {}}}},
        {
            "name": "h",
            "description": "x",
            "inputSchema": {"json": {"type": "object", "properties": {}, "additionalProperties": False}},
            "strict": True,
        },
    ]
    assert dropped == ()
    assert asked(model=NOVA, tools=(Tool("h", strict=True),))[1] == ("tools[0].function.strict",)


VARIANTS = [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}}]


@pytest.mark.parametrize(("model", "flat"), [(CLAUDE, True), (ARN, True), (NOVA, False)])
def test_claude_takes_no_variants_at_the_top_of_a_tool(model: str, flat: bool):
    body, dropped = asked(model=model, tools=(Tool("f", None, {"type": ["object", "null"], "anyOf": VARIANTS}),))
    schema = body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert (schema["type"], "anyOf" in schema, bool(schema["properties"])) == ("object", not flat, flat)
    assert dropped == (("tools[0].function.parameters.anyOf",) if flat else ())


SETTINGS: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[str]]] = {
    # model, what is asked for: what is in the body beside the messages, what is dropped
    "limits": (
        NOVA,
        {"max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "stop": ("a", " ")},
        {"inferenceConfig": {"temperature": 0.5, "topP": 0.9, "maxTokens": 5, "stopSequences": ["a"]}},
        ["stop"],
    ),
    "too hot": (NOVA, {"temperature": 1.5}, {"inferenceConfig": {"temperature": 1}}, ["temperature"]),
    "one of two": (CLAUDE, {"temperature": 0.5, "top_p": 0.9}, {"inferenceConfig": {"temperature": 0.5}}, ["top_p"]),
    "both, before": (
        OLD_CLAUDE,
        {"temperature": 0.5, "top_p": 0.9},
        {"inferenceConfig": {"temperature": 0.5, "topP": 0.9}},
        [],
    ),
    "no sampling any more": (CLAUDE_5, {"temperature": 0.5, "top_p": 1, "top_k": 5}, {}, ["temperature", "top_k"]),
    "top_k": (CLAUDE, {"top_k": 5}, {"additionalModelRequestFields": {"top_k": 5}}, []),
    "top_k of Nova's": (NOVA, {"top_k": 5}, {"additionalModelRequestFields": {"inferenceConfig": {"topK": 5}}}, []),
    "top_k of nobody's": (LLAMA, {"top_k": 5}, {}, ["top_k"]),
    "a budget": (
        CLAUDE,
        {"thinking": Thinking(budget=2000), "max_tokens": 4000, "temperature": 0.2},
        {
            "inferenceConfig": {"maxTokens": 4000},
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        },
        ["temperature"],
    ),
    "no thoughts": (CLAUDE, {"thinking": Thinking(effort="none")}, {}, []),
    "thoughts and a forced tool": (
        CLAUDE,
        {"thinking": Thinking(effort="high"), "tools": (Tool("f"),), "tool_choice": ToolChoice("required")},
        {
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}],
                "toolChoice": {"any": {}},
            }
        },
        ["reasoning_effort"],
    ),
    "an effort": (
        CLAUDE_5,
        {"thinking": Thinking(effort="low")},
        {
            "additionalModelRequestFields": {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low"},
            }
        },
        [],
    ),
    "an effort of Nova's": (
        NOVA_2,
        {"thinking": Thinking(effort="low"), "max_tokens": 9},
        {
            "inferenceConfig": {"maxTokens": 9},
            "additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
        },
        [],
    ),
    "a high one takes no limit": (
        NOVA_2,
        {"thinking": Thinking(effort="max"), "max_tokens": 9},
        {
            "inferenceConfig": {"maxTokens": 9},
            "additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
        },
        ["reasoning_effort"],
    ),
    "a high one takes no temperature": (
        NOVA_2,
        {"thinking": Thinking(budget=20000), "temperature": 0.5},
        {"additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}},
        ["temperature"],
    ),
    "none of Nova's": (NOVA_2, {"thinking": Thinking(effort="none")}, {}, []),
    "of gpt-oss": (
        "openai.gpt-oss-120b-1:0",
        {"thinking": Thinking(effort="minimal")},
        {"additionalModelRequestFields": {"reasoning_effort": "low"}},
        [],
    ),
    "of OpenAI's others": (
        "openai.gpt-6-luna",
        {"thinking": Thinking(effort="none")},
        {"additionalModelRequestFields": {"reasoning": {"effort": "none"}}},
        [],
    ),
    "of Qwen": (
        "qwen.qwen3-32b-v1:0",
        {"thinking": Thinking(effort="medium")},
        {"additionalModelRequestFields": {"reasoning_config": "high"}},
        [],
    ),
    "of nobody's": (LLAMA, {"thinking": Thinking(effort="low")}, {}, ["reasoning_effort"]),
    "a schema is text": (
        CLAUDE,
        {"output": Output({"type": "object", "properties": {}}, "my answer", "what")},
        {
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {
                        "jsonSchema": {
                            "schema": '{"type":"object","properties":{},"additionalProperties":false}',
                            "name": "my_answer",
                            "description": "what",
                        }
                    },
                }
            }
        },
        [],
    ),
    "any JSON": (CLAUDE, {"output": Output()}, {}, ["response_format"]),
    "a schema it cannot be held to": (OLD_CLAUDE, {"output": Output({"type": "object"})}, {}, ["response_format"]),
    "tier and marks": (
        NOVA,
        {"service_tier": "flex", "metadata": {"team": "a b"}},
        {"requestMetadata": {"team": "a b"}, "serviceTier": {"type": "flex"}},
        [],
    ),
    "no such tier, no such mark": (
        NOVA,
        {"service_tier": "scale", "metadata": {"team": "é"}},
        {},
        ["metadata", "service_tier"],
    ),
    "tier of their choice": (NOVA, {"service_tier": "auto"}, {}, []),
    "Converse's own": (
        NOVA,
        {"extra": {"guardrailConfig": {"guardrailIdentifier": "g"}, "store": False, "logit_bias": {"1": 1}}},
        {"guardrailConfig": {"guardrailIdentifier": "g"}},
        ["logit_bias"],
    ),
    "Claude's own": (
        CLAUDE,
        {
            "extra": {
                "anthropic_beta": ["b"],
                "additionalModelRequestFields": {"x": 1},
                "output_config": {"effort": "low"},
            }
        },
        {"additionalModelRequestFields": {"anthropic_beta": ["b"], "x": 1, "output_config": {"effort": "low"}}},
        [],
    ),
    "what it has no words for": (
        NOVA,
        {
            "seed": 1,
            "choices": 2,
            "logprobs": True,
            "top_logprobs": 0,
            "frequency_penalty": 1,
            "presence_penalty": 1,
            "user": "u",
            "verbosity": "low",
            "parallel_tool_calls": True,
        },
        {},
        ["user", "seed", "frequency_penalty", "presence_penalty", "n", "logprobs", "top_logprobs", "verbosity"],
    ),
}


@pytest.mark.parametrize(("model", "settings", "written", "dropped"), SETTINGS.values(), ids=SETTINGS)
def test_settings(model: str, settings: dict[str, Any], written: dict[str, Any], dropped: list[str]):
    body, named = asked(model=model, **settings)
    del body["messages"]
    assert body == written
    assert list(named) == dropped


def test_a_budget_needs_the_thought_that_led_here():
    thought = Reasoning("hm", "sig", None, "anthropic")
    asks: dict[str, Any] = {"thinking": Thinking(budget=2000), "max_tokens": 9000}
    with_it, _ = asked(HI, said("assistant", thought, CALL), result("c1", "ok"), **asks)
    assert with_it["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2000
    without, dropped = asked(HI, said("assistant", CALL), result("c1", "ok"), **asks)
    assert "additionalModelRequestFields" not in without
    assert dropped == ("thinking",)


POINT = {"cachePoint": {"type": "default"}}


def test_cache_points_where_the_client_marks():
    mark = Cache("1h")
    body, dropped = asked(
        said("system", Text("s", mark)),
        said("user", Text("a", mark), "b"),
        said("assistant", ToolCall("c1", "f", "{}")),
        result("c1", "ok", cache=mark),
        tools=(Tool("f", cache=Cache("2h")),),
    )
    long = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert body["system"] == [{"text": "s"}, long]
    assert body["messages"][0]["content"] == [{"text": "a"}, long, {"text": "b"}]
    assert body["messages"][2]["content"][1] == long
    assert body["toolConfig"]["tools"][1] == POINT
    assert dropped == ()


def test_cache_points_where_models_take_them():
    messages = (said("system", Text("s", Cache("1h"))), said("user", Blob("image", "image/png", "AA", cache=Cache())))
    assert asked(*messages, model=NOVA)[1] == ("messages[1].content[0].cache_control",)
    assert asked(*messages, model=NOVA)[0]["system"] == [{"text": "s"}, POINT]
    for model in (LLAMA, OLD_CLAUDE):
        body, dropped = asked(*messages, model=model, tools=(Tool("f", cache=Cache()),), cache_automatically=True)
        assert "cachePoint" not in json.dumps(body)
        assert len(dropped) == 3


def test_at_most_four_cache_points_the_first_of_the_conversation_go():
    many = tuple(Text(str(number), Cache()) for number in range(5))
    body, dropped = asked(said("system", Text("s", Cache())), said("user", *many))
    assert [POINT in body["system"], body["messages"][0]["content"].count(POINT)] == [True, 3]
    assert body["messages"][0]["content"][:3] == [{"text": "0"}, {"text": "1"}, {"text": "2"}]
    assert dropped == ("cache_control",)


def test_cache_points_by_themselves():
    messages = (said("system", "s"), HI, said("assistant", CALL), result("c1", "ok"), said("assistant", "a"), HI)
    body, _ = asked(*messages, tools=(TOOL,), cache_automatically=True)
    assert [body["system"][-1], body["toolConfig"]["tools"][-1]] == [POINT, POINT]
    assert [turn["content"][-1] == POINT for turn in body["messages"]] == [False, False, True, False, True]
    body, _ = asked(*messages, model=NOVA, tools=(TOOL,), cache_automatically=True)
    assert [body["system"][-1] == POINT, body["toolConfig"]["tools"][-1] == POINT] == [True, False]
    assert [turn["content"][-1] == POINT for turn in body["messages"]] == [False, False, False, False, True]
    assert "cachePoint" not in json.dumps(asked(*messages, model=ARN, cache_automatically=True)[0])


def test_behind_an_arn_is_whom_the_client_named():
    request = ChatRequest(model=ARN, messages=(HI,), thinking=Thinking(budget=2000))
    body = converse.encode_request(request, abilities("claude-sonnet-4-5", ARN)).body
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2000}}


texts = st.sampled_from(["", " ", "hi", "a\n", '{"a": 1}'])
ids = st.sampled_from(["", "c1", "c2", "functions.f:0", "x" * 70])
caches = st.none() | st.just(Cache()) | st.just(Cache("1h"))
media = st.sampled_from(
    [
        PNG,
        Blob("document", "application/pdf", "AA"),
        Uri("image", "s3://bucket/a.png"),
        Uri("image", "https://x"),
        File("image", "f"),
    ]
)
shown = st.lists(st.builds(Text, texts, caches) | media, max_size=3).map(tuple)
thoughts = st.builds(
    Reasoning,
    texts,
    st.none() | st.just("sig"),
    st.none() | st.just("Eq"),
    st.sampled_from([None, "anthropic", "gemini"]),
)
calls = st.builds(
    ToolCall, ids, st.sampled_from(["f", "fs.read", ""]), st.sampled_from(["{}", "", "[", "1"]), st.none(), caches
)
answers = st.builds(lambda id, parts, failed: ToolCallResponse(id, "f", parts, failed), ids, shown, st.booleans())
spoken = st.builds(
    Message,
    st.just("assistant"),
    st.lists(st.builds(Text, texts, caches) | thoughts | calls | calls | st.builds(Refusal, texts), max_size=4).map(
        tuple
    ),
)
conversations = st.lists(
    st.builds(Message, st.sampled_from(["system", "developer", "user"]), shown)
    | spoken
    | st.builds(lambda answer: Message("tool", (answer,)), answers),
    max_size=8,
)
models = st.sampled_from([CLAUDE, CLAUDE_5, OLD_CLAUDE, NOVA, LLAMA, MISTRAL, KIMI, ARN])


@given(
    messages=conversations,
    model=models,
    tools=st.lists(
        st.builds(Tool, st.sampled_from(["f", "g", "fs.read"]), strict=st.none() | st.booleans(), cache=caches),
        max_size=2,
    ),
    choice=st.none() | st.builds(ToolChoice, st.sampled_from(["auto", "none", "required", "named"]), st.just(("f",))),
    thinking=st.none() | st.builds(Thinking, st.sampled_from([None, "none", "low", "max"]), st.none() | st.just(3000)),
    cache=st.booleans(),
)
def test_any_conversation_is_valid(messages: Any, model: str, tools: Any, choice: Any, thinking: Any, cache: bool):
    asked(*messages, model=model, tools=tuple(tools), tool_choice=choice, thinking=thinking, cache_automatically=cache)


# Answers --------------------------------------------------------------------------------------------------------------


def whole(*content: Any, reason: str = "end_turn", usage: Any = None) -> ChatResponse:
    said = {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": reason,
        "usage": usage,
    }
    answer = converse.decode_answer(json.dumps(said).encode(), 0.0)
    assert isinstance(answer, ChatResponse)
    return answer


REDACTED = base64.b64encode(b"EqkKCkYIBx").decode()
FOREIGN = base64.b64encode(b"\xff\xfe").decode()
PARTS: dict[str, tuple[dict[str, Any], Part | None]] = {
    "text": ({"text": "hi"}, Text("hi")),
    "no text": ({"text": ""}, None),
    "call": ({"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1.0}}}, ToolCall("t", "f", '{"a": 1.0}')),
    "call without input": ({"toolUse": {"toolUseId": "t", "name": "f"}}, ToolCall("t", "f", "{}")),
    "what ran there": ({"toolUse": {"toolUseId": "t", "name": "f", "input": {}, "type": "server_tool_use"}}, None),
    "thought": ({"reasoningContent": {"reasoningText": {"text": "hm"}}}, Reasoning("hm")),
    "signed": (
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        Reasoning("hm", "s", None, "anthropic"),
    ),
    "redacted": ({"reasoningContent": {"redactedContent": REDACTED}}, Reasoning("", None, "EqkKCkYIBx", "anthropic")),
    "redacted by others": (
        {"reasoningContent": {"redactedContent": FOREIGN}},
        Reasoning("", None, FOREIGN, "bedrock_converse"),
    ),
    "cited": ({"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [{}]}}, Text("ab")),
    "unknown": ({"somethingNew": {"x": 1}}, None),
}


@pytest.mark.parametrize(("block", "part"), PARTS.values(), ids=PARTS)
def test_a_block(block: dict[str, Any], part: Part | None):
    assert whole(block).choices[0].parts == ((part,) if part else ())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_tool_use", "error"),
        ("something_new", "stop"),
    ],
)
def test_why_it_ended(said: str, reason: str):
    assert whole(reason=said).choices[0].finish_reason == reason
    assert finish(frame("messageStop", stopReason=said)) == reason


def finish(*frames: bytes) -> str | None:
    return next((event.reason for event in decoded(*frames) if isinstance(event, Finished)), None)


def test_calls_are_told_as_such():
    call = {"toolUseId": "t", "name": "f"}
    assert whole({"toolUse": {**call, "input": {}}}).choices[0].finish_reason == "tool_calls"
    begun = frame("contentBlockStart", contentBlockIndex=0, start={"toolUse": call})
    assert finish(begun, frame("messageStop", stopReason="end_turn")) == "tool_calls"


USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 20, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 2}


def test_what_was_cached_is_counted_inside():
    counted = Usage(input_tokens=15, output_tokens=5, cached_tokens=3, cache_write_tokens=2)
    assert whole(usage=USAGE).usage == counted
    assert decoded(frame("metadata", usage=USAGE)) == [Counted(counted), Ended()]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", FaultKind.GARBLED),
        (b"<html>", FaultKind.GARBLED),
        (b'{"output": 1}', FaultKind.GARBLED),
        (b'{"message": "Input is too long for requested model."}', FaultKind.CONTEXT_TOO_LONG),
        (
            b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}',
            FaultKind.GARBLED,
        ),
        (b"[" * 10_000, FaultKind.GARBLED),
    ],
)
def test_a_200_that_is_no_answer(body: bytes, kind: FaultKind):
    fault = converse.decode_answer(body, 0.0)
    assert isinstance(fault, Fault)
    assert fault.kind is kind


# Streams --------------------------------------------------------------------------------------------------------------


def frame(event: str, **said: Any) -> bytes:
    return framed(json.dumps({**said, "p": "abcdef"}).encode(), event_type=event, message_type="event")


def decoded(*frames: bytes, size: int | None = None) -> list[Any]:
    decoder, raw = converse.stream_decoder(), b"".join(frames)
    step = size or max(1, len(raw))
    events = [event for at in range(0, len(raw), step) for event in decoder.feed(raw[at : at + step], 0.0)]
    return events + decoder.end(0.0)


def delta(index: int, **said: Any) -> bytes:
    return frame("contentBlockDelta", contentBlockIndex=index, delta=said)


STREAM = (
    frame("messageStart", role="assistant"),
    delta(0, reasoningContent={"text": "h"}),
    delta(0, reasoningContent={"text": "m"}),
    delta(0, reasoningContent={"signature": "sig"}),
    frame("contentBlockStop", contentBlockIndex=0),
    delta(1, text="hi"),
    delta(1, citation={"title": "t"}),
    frame("contentBlockStop", contentBlockIndex=1),
    frame("contentBlockStart", contentBlockIndex=2, start={"toolUse": {"toolUseId": "a", "name": "f"}}),
    delta(2, toolUse={"input": ""}),
    delta(2, toolUse={"input": '{"a":'}),
    frame("contentBlockStart", contentBlockIndex=3, start={"toolUse": {"toolUseId": "b", "name": "g"}}),
    delta(2, toolUse={"input": "1}"}),
    frame("contentBlockStop", contentBlockIndex=2),
    frame("contentBlockStop", contentBlockIndex=3),
    frame("messageStop", stopReason="tool_use"),
    frame("metadata", usage=USAGE, metrics={"latencyMs": 1}),
)
EVENTS = [
    ReasoningDelta("h"),
    ReasoningDelta("m"),
    ReasoningSealed(Reasoning("hm", "sig", None, "anthropic")),
    TextDelta("hi"),
    CallBegan(0, "a", "f"),
    CallDelta(0, '{"a":'),
    CallBegan(1, "b", "g"),
    CallDelta(0, "1}"),
    Finished("tool_calls"),
    Counted(Usage(input_tokens=15, output_tokens=5, cached_tokens=3, cache_write_tokens=2)),
    Ended(),
]


@pytest.mark.parametrize("size", [None, 1, 7, 64])
def test_a_stream(size: int | None):
    assert decoded(*STREAM, size=size) == EVENTS


def test_thoughts_that_nobody_closed():
    thought = delta(0, reasoningContent={"text": "hm"})
    sealed = ReasoningSealed(Reasoning("hm"))
    assert decoded(thought, delta(1, text="a"))[1:] == [sealed, TextDelta("a")]
    assert decoded(thought, frame("messageStop", stopReason="end_turn"))[1:] == [sealed, Finished("stop")]
    redacted = delta(0, reasoningContent={"redactedContent": REDACTED})
    assert decoded(redacted, frame("contentBlockStop", contentBlockIndex=0)) == [
        ReasoningSealed(Reasoning("", None, "EqkKCkYIBx", "anthropic"))
    ]


def test_what_ran_there_is_not_told():
    ran = {"toolUse": {"toolUseId": "a", "name": "f", "type": "server_tool_use"}}
    assert decoded(frame("contentBlockStart", contentBlockIndex=0, start=ran), delta(0, toolUse={"input": "{}"})) == []


def test_what_is_not_known_is_looked_past():
    assert (
        decoded(frame("somethingNew", x=1), delta(0, image={"source": {}}), frame("contentBlockStart", start={})) == []
    )


def test_an_event_that_cannot_be_read():
    damaged = framed(b'{"delta": 1', event_type="contentBlockDelta", message_type="event")
    assert decoded(delta(0, text="a"), damaged, delta(0, text="b")) == [TextDelta("a"), Damaged(), TextDelta("b")]


@pytest.mark.parametrize("at", [0, 9, 20, -1])
def test_a_frame_that_was_changed_ends_it(at: int):
    raw = bytearray(delta(0, text="a"))
    raw[at] ^= 1
    events = decoded(delta(0, text="x"), bytes(raw), delta(0, text="b"))
    assert events[0] == TextDelta("x")
    assert TextDelta("b") not in events
    if at:  # a longer length alone is waited for
        assert isinstance(events[1], Failed)
        assert events[1].fault.kind is FaultKind.GARBLED


def test_a_stream_that_ends_in_a_frame():
    assert decoded(delta(0, text="a")[:-1]) == [Damaged()]


EXCEPTIONS = {
    "throttlingException": ({"message": "Too many tokens, please wait"}, FaultKind.RATE_LIMITED),
    "validationException": ({"message": "Input is too long for requested model."}, FaultKind.CONTEXT_TOO_LONG),
    "internalServerException": ({"message": "?"}, FaultKind.SERVER_ERROR),
    "serviceUnavailableException": ({"message": "Bedrock is unable to process"}, FaultKind.OVERLOADED),
    "modelStreamErrorException": ({"message": "m", "originalStatusCode": 500}, FaultKind.SERVER_ERROR),
    "modelTimeoutException": ({}, FaultKind.SERVER_ERROR),
    "somethingNewException": ({"message": "?"}, FaultKind.SERVER_ERROR),
}


@pytest.mark.parametrize(("name", "said", "kind"), [(name, *case) for name, case in EXCEPTIONS.items()])
def test_an_exception_in_the_stream(name: str, said: dict[str, Any], kind: FaultKind):
    raw = framed(json.dumps(said).encode(), exception_type=name, message_type="exception")
    (event,) = decoded(raw)
    assert isinstance(event, Failed)
    assert event.fault.kind is kind
    assert event.fault.type == name[0].upper() + name[1:]
    assert decoded(delta(0, text="a"), raw)[1] == event


@given(st.lists(st.sampled_from(STREAM), max_size=12), st.binary(max_size=20))
def test_any_order_of_events_is_survived(frames: list[bytes], junk: bytes):
    decoded(*frames, framed(junk, event_type="contentBlockDelta"), junk, size=50)


# Real models ----------------------------------------------------------------------------------------------------------

RECORDINGS = [json.loads(file.read_bytes()) for file in sorted(ROOT.glob("*.json"))]


def body_of(recording: dict[str, Any]) -> bytes:
    return recording["body"].encode() if "body" in recording else base64.b64decode(recording["body_b64"])


def test_what_real_models_were_asked():
    """Without what the client of the recordings adds of its own; results in words and as JSON mean the same."""
    for recording in RECORDINGS:
        body, _ = _asked_as(recording)
        wanted = recording["recorded_request"]
        assert body.get("system", []) == _plain(wanted.get("system", [])), recording["id"]
        if len(wanted["messages"]) == len(body["messages"]) and '"json": {"weather' not in json.dumps(wanted):
            assert body["messages"] == _plain(wanted["messages"]), recording["id"]
        tools = [tool["toolSpec"] for tool in wanted.get("toolConfig", {}).get("tools", ()) if "toolSpec" in tool]
        for tool in tools:
            tool.pop("strict", None)
        assert [tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", ())] == tools, recording["id"]
        assert body.get("toolConfig", {}).get("toolChoice") == wanted.get("toolConfig", {}).get("toolChoice")


def _asked_as(recording: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    model = recording["model"]
    request = INGRESS["openai_chat"].decode_request(json.dumps({**recording["ingress"], "model": model}).encode())
    encoded = converse.encode_request(request, abilities(model))
    return valid(encoded), encoded.dropped


def _plain(said: Any) -> Any:
    if isinstance(said, list):
        return [_plain(each) for each in said if not (isinstance(each, dict) and "cachePoint" in each)]
    if isinstance(said, dict):
        return {key: _plain(value) for key, value in said.items() if (key, value) != ("status", "success")}
    return said


def test_nothing_of_theirs_is_dropped():
    assert {name for recording in RECORDINGS for name in _asked_as(recording)[1]} == set()


@pytest.mark.parametrize("size", [None, 7])
def test_what_real_models_answered(size: int | None):
    for recording in RECORDINGS:
        expect, raw = recording["expect"], body_of(recording)
        if recording["status"] != 200:
            fault = read_fault(recording["status"], recording["headers"], raw, 0.0)
            assert (fault.message, fault.code) == (expect["error"], expect["code"])
            continue
        text, thought, called, reason, usage = _told(recording, raw, size)
        assert (text, thought, reason) == (expect["text"], expect["reasoning"], expect["finish"]), recording["id"]
        assert [[name, json.loads(arguments or "{}")] for _, name, arguments in called] == expect["calls"]
        assert [id for id, _, _ in called] == expect["call_ids"]
        assert usage is not None
        assert (usage.input_tokens, usage.cached_tokens) == (max(expect["prompt"]), expect["cached"])
        assert usage.output_tokens in expect["completion"]


def _told(recording: dict[str, Any], raw: bytes, size: int | None) -> Any:
    if not recording["stream"]:
        answer = converse.decode_answer(raw, 0.0)
        assert isinstance(answer, ChatResponse)
        (choice,) = answer.choices
        text = "".join(part.content for part in choice.parts if isinstance(part, Text))
        thought = "".join(part.content for part in choice.parts if isinstance(part, Reasoning))
        called = [(part.id, part.name, part.arguments) for part in choice.parts if isinstance(part, ToolCall)]
        return text, thought, called, choice.finish_reason, answer.usage
    events = decoded(raw, size=size)
    assert not [event for event in events if isinstance(event, Failed | Damaged)], recording["id"]
    assert events[-1] == Ended()
    begun = [event for event in events if isinstance(event, CallBegan)]
    arguments = [
        "".join(event.arguments for event in events if isinstance(event, CallDelta) and event.place == call.place)
        for call in begun
    ]
    return (
        "".join(event.text for event in events if isinstance(event, TextDelta)),
        "".join(event.text for event in events if isinstance(event, ReasoningDelta)),
        [(call.id, call.name, said) for call, said in zip(begun, arguments, strict=True)],
        next(event.reason for event in events if isinstance(event, Finished)),
        next(event.usage for event in events if isinstance(event, Counted)),
    )
