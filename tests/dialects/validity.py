"""What each vendor refuses, as rules over a request's body: ``problems`` names what it would answer 400 to.

Written from the vendors' documentation and error messages, without a look at how our requests are made.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Body = Mapping[str, Any]
Found = Iterator[str]


def problems(dialect: str, body: Body) -> list[str]:
    """Nothing found: as far as is known here, the vendor takes it."""
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError) as error:
        return [f"not JSON: {error}"]
    return list(RULES[dialect](body))


def check(dialect: str, body: Body) -> None:
    found = problems(dialect, body)
    assert not found, f"{dialect} refuses this: {found}\n{json.dumps(body, indent=1, ensure_ascii=False)[:6000]}"


def unknown(holder: Body, known: str, where: str) -> Found:
    yield from (f"{where}: unknown field {name}" for name in holder.keys() - set(known.split()))


def is_base64(text: Any) -> bool:
    try:
        return isinstance(text, str) and bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False


def is_count(value: Any, least: int = 0) -> bool:
    return type(value) is int and value >= least


def within(value: Any, least: float, most: float) -> bool:
    return type(value) in (int, float) and least <= value <= most


# Anthropic ------------------------------------------------------------------------------------------------------------

_ANTHROPIC_TOP = (
    "model max_tokens messages system tools tool_choice thinking output_config temperature top_p top_k stop_sequences "
    "stream metadata service_tier cache_control container context_management mcp_servers speed inference_geo "
    "anthropic_version anthropic_beta"
)
_ANTHROPIC_BLOCKS = {
    "user": {"text", "image", "document", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
    "tool_result": {"text", "image", "document"},
}
_ANTHROPIC_FIELDS = {
    "text": "type text cache_control",
    "image": "type source cache_control",
    "document": "type source title context cache_control",
    "tool_result": "type tool_use_id content is_error cache_control",
    "tool_use": "type id name input cache_control",
    "thinking": "type thinking signature",
    "redacted_thinking": "type data",
}
_ANTHROPIC_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ANTHROPIC_ID = re.compile(r"[a-zA-Z0-9_-]+")


def anthropic(body: Body) -> Found:
    yield from unknown(body, _ANTHROPIC_TOP, "body")
    if not is_count(body.get("max_tokens"), 1):
        yield "max_tokens: required, at least 1"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages: at least one"
        return
    turns = [(turn.get("role"), _anthropic_blocks(turn.get("content"))) for turn in messages]
    yield from _by_turns([role for role, _ in turns], "assistant")
    for at, (role, blocks) in enumerate(turns):
        if not blocks:
            yield f"messages.{at}: content must be non-empty"
        for place, block in enumerate(blocks):
            yield from _anthropic_block(block, role, f"messages.{at}.content.{place}")
        if at + 1 == len(turns) and role == "assistant" and blocks and blocks[-1].get("type") == "text":
            text = blocks[-1].get("text", "")
            if text != text.rstrip():
                yield "final assistant content cannot end with trailing whitespace"
    yield from _anthropic_calls(turns)
    system = _anthropic_blocks(body.get("system", []))
    for place, block in enumerate(system):
        if block.get("type") != "text":
            yield f"system.{place}: text alone"
        yield from _anthropic_block(block, "user", f"system.{place}")
    yield from _anthropic_settings(body, turns)
    marked = [*_marked_blocks(body.get("tools") or []), *_marked_blocks(system)]
    marked += [each for _, blocks in turns for each in _marked_blocks(blocks)]
    if len(marked) + ("cache_control" in body) > 4:
        yield "a maximum of 4 blocks with cache_control may be provided"


def _anthropic_blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return list(content) if isinstance(content, list) else []


def _marked_blocks(blocks: list[Any]) -> Iterator[Any]:
    for block in blocks:
        if "cache_control" in block:
            yield block
        if isinstance(inner := block.get("content"), list):
            yield from _marked_blocks(inner)


def _by_turns(roles: list[Any], other: str) -> Found:
    if roles[0] != "user":
        yield "the first message must be the user's"
    for at, role in enumerate(roles):
        if role not in ("user", other):
            yield f"messages.{at}: role {role}"
        if at and role == roles[at - 1]:
            yield f"messages.{at}: roles must alternate"


def _anthropic_block(block: dict[str, Any], holder: str, where: str) -> Found:
    kind = block.get("type", "")
    if kind not in _ANTHROPIC_BLOCKS.get(holder, ()):
        yield f"{where}: {kind} is not allowed here"
        return
    yield from unknown(block, _ANTHROPIC_FIELDS[kind], where)
    if kind == "text" and not (isinstance(block.get("text"), str) and block["text"].strip()):
        yield f"{where}: text content blocks must contain non-whitespace text"
    elif kind == "thinking" and not (isinstance(block.get("thinking"), str) and block.get("signature")):
        yield f"{where}: thinking and signature are required"
    elif kind == "redacted_thinking" and not block.get("data"):
        yield f"{where}: data is required"
    elif kind in ("image", "document"):
        yield from _anthropic_source(kind, block.get("source") or {}, where)
    elif kind == "tool_use":
        if not isinstance(block.get("input"), dict):
            yield f"{where}.input: should be a valid dictionary"
        if not _ANTHROPIC_NAME.fullmatch(block.get("name", "")) or not _ANTHROPIC_ID.fullmatch(block.get("id", "")):
            yield f"{where}: id and name should match their patterns"
    elif kind == "tool_result":
        inner = _anthropic_blocks(block.get("content", []))
        if isinstance(block.get("content"), str) and not block["content"].strip():
            inner = []
        for place, each in enumerate(inner):
            yield from _anthropic_block(each, "tool_result", f"{where}.content.{place}")


_ANTHROPIC_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def _anthropic_source(kind: str, source: Body, where: str) -> Found:
    match source.get("type"):
        case "url":
            if not str(source.get("url")).startswith(("https://", "http://")):
                yield f"{where}: only HTTP(S) URLs"
        case "file":
            if not source.get("file_id"):
                yield f"{where}: file_id is required"
        case "base64":
            types = _ANTHROPIC_IMAGES if kind == "image" else ("application/pdf",)
            if source.get("media_type") not in types or not is_base64(source.get("data")):
                yield f"{where}: media_type and data"
        case "text" if kind == "document":
            if source.get("media_type") != "text/plain" or not source.get("data"):
                yield f"{where}: media_type and data"
        case other:
            yield f"{where}: source {other}"


def _anthropic_calls(turns: list[tuple[Any, list[dict[str, Any]]]]) -> Found:
    seen: set[str] = set()
    for at, (role, blocks) in enumerate(turns):
        kinds = [block.get("type") for block in blocks]
        if role == "user":
            before = turns[at - 1][1] if at else []
            called = [block["id"] for block in before if block.get("type") == "tool_use"]
            given = [block.get("tool_use_id") for block in blocks if block.get("type") == "tool_result"]
            if sorted(called) != sorted(given):
                yield f"messages.{at}: calls {called} and results {given} do not match"
            if kinds[: len(given)].count("tool_result") < len(given):
                yield f"messages.{at}: tool_result blocks must come first"
        else:
            ids = [block["id"] for block in blocks if block.get("type") == "tool_use"]
            if len(set(ids)) < len(ids) or seen & set(ids):
                yield f"messages.{at}: `tool_use` ids must be unique"
            seen |= set(ids)
            if ids and at + 1 == len(turns):
                yield f"messages.{at}: tool_use without tool_result"


def _anthropic_settings(body: Body, turns: list[tuple[Any, list[dict[str, Any]]]]) -> Found:
    tools, choice, thinking = body.get("tools"), body.get("tool_choice"), body.get("thinking") or {}
    names = [tool.get("name") for tool in tools or []]
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique"
    for place, tool in enumerate(tools or []):
        yield from unknown(tool, "name description input_schema strict cache_control type", f"tools.{place}")
        schema = tool.get("input_schema") or {}
        if schema.get("type") != "object" or schema.keys() & {"oneOf", "anyOf", "allOf"}:
            yield f"tools.{place}.input_schema: type object, and no variants at the top level"
        if not _ANTHROPIC_NAME.fullmatch(tool.get("name", "")):
            yield f"tools.{place}.name: should match its pattern"
    if not tools and any(block.get("type") == "tool_use" for _, blocks in turns for block in blocks):
        yield "Requests which include `tool_use` or `tool_result` blocks must define tools"
    if choice is not None:
        if not tools or choice.get("type") not in ("auto", "any", "tool", "none"):
            yield "tool_choice: may only be specified while providing tools"
        if choice.get("type") == "tool" and choice.get("name") not in names:
            yield f"tool_choice: Tool '{choice.get('name')}' not found in provided tools"
        if choice.get("type") in ("any", "tool") and thinking.get("type") in ("enabled", "adaptive"):
            yield "Thinking may not be enabled when tool_choice forces tool use."
    yield from _anthropic_thinking(body, thinking, turns)
    for name, most in (("temperature", 1), ("top_p", 1), ("top_k", 1 << 31)):
        if name in body and not within(body[name], 0, most):
            yield f"{name}: range"
    if not all(isinstance(each, str) and each.strip() for each in body.get("stop_sequences", [])):
        yield "stop_sequences: each stop sequence must contain non-whitespace"
    if body.get("service_tier", "auto") not in ("auto", "standard_only"):
        yield "service_tier"
    if "metadata" in body and body["metadata"].keys() - {"user_id"}:
        yield "metadata: Extra inputs are not permitted"


def _anthropic_thinking(body: Body, thinking: Body, turns: list[tuple[Any, list[dict[str, Any]]]]) -> Found:
    if not thinking:
        return
    on = thinking.get("type") in ("enabled", "adaptive")
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if not is_count(budget, 1024) or budget >= body.get("max_tokens", 0):
            yield "`max_tokens` must be greater than `thinking.budget_tokens`, which is at least 1024"
        last = turns[-1][1]
        if any(block.get("type") == "tool_result" for block in last):
            begin = len(turns) - 1
            while begin > 1 and any(block.get("type") == "tool_result" for block in turns[begin][1]):
                begin -= 2
            first = turns[begin + 1][1][0].get("type")
            if first not in ("thinking", "redacted_thinking"):
                yield f"Expected `thinking` or `redacted_thinking`, but found `{first}`"
    if on and turns[-1][0] == "assistant":
        yield "pre-filling is not supported while thinking"
    if on and (body.get("temperature", 1) != 1 or "top_k" in body or body.get("top_p", 1) < 0.95):
        yield "`temperature` may only be set to 1 when thinking is enabled"


# Bedrock --------------------------------------------------------------------------------------------------------------

_BEDROCK_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_BEDROCK_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_BEDROCK_DOCUMENT = re.compile(r"(?!.*\s\s)[A-Za-z0-9\s()\[\]-]{1,200}")


def bedrock(body: Body) -> Found:
    yield from _bedrock_shape(body)
    messages = body.get("messages") or []
    if not messages:
        yield "messages: at least one"
        return
    yield from _by_turns([message.get("role") for message in messages], "assistant")
    ids: set[str] = set()
    documents: list[str] = []
    called: list[str] = []
    used = False
    for at, message in enumerate(messages):
        content = message.get("content") or []
        if not content:
            yield f"messages.{at}: The content field in the Message object is empty"
        results = [block["toolResult"] for block in content if "toolResult" in block]
        if sorted(each["toolUseId"] for each in results) != sorted(called):
            yield f"messages.{at}: toolUse {called} and toolResult {[each['toolUseId'] for each in results]}"
        first = [block for block in content if "cachePoint" not in block][: len(results)]
        if not all("toolResult" in block for block in first):
            yield f"messages.{at}: results come before anything else"
        uses = [block["toolUse"] for block in content if "toolUse" in block]
        called = [use["toolUseId"] for use in uses]
        if ids & set(called) or len(set(called)) < len(called):
            yield f"messages.{at}: toolUse blocks contain duplicate Ids"
        ids |= set(called)
        used = used or bool(uses)
        for use in uses:
            if not isinstance(use.get("input"), dict):
                yield f"messages.{at}: the value at toolUse.input is not an object"
            if not (_BEDROCK_ID.fullmatch(use["toolUseId"]) and _BEDROCK_NAME.fullmatch(use["name"])):
                yield f"messages.{at}: toolUse {use} does not match the patterns"
        for block in content:
            yield from _bedrock_block(block, message["role"], f"messages.{at}", documents)
    if called:
        yield "the last toolUse has no toolResult"
    if len(set(documents)) < len(documents):
        yield "document names must be unique"
    if used and not body.get("toolConfig"):
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    for block in body.get("system") or ():
        if "text" in block and not block["text"].strip():
            yield "system: The text field is blank"
    yield from _bedrock_tools(body.get("toolConfig") or {})


def _bedrock_shape(body: Body) -> Found:
    """By AWS's own description of the operation: required fields, types, unions, and fields it does not know."""
    from botocore.session import get_session
    from botocore.validate import ParamValidator

    global _converse
    if _converse is None:
        _converse = get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
    report = ParamValidator().validate({"modelId": "a", **body}, _converse)
    if report.has_errors():
        yield report.generate_report()


_converse: Any = None


def _bedrock_block(block: Body, role: str, where: str, documents: list[str]) -> Found:
    if len(block) != 1:
        yield f"{where}: a block is one of a union, not {sorted(block)}"
    if "text" in block and not block["text"].strip():
        yield f"{where}: The text field in the ContentBlock object is blank"
    if ("toolUse" in block or "reasoningContent" in block) and role != "assistant":
        yield f"{where}: {sorted(block)} in a user's turn"
    if block.keys() & {"toolResult", "image", "document", "video", "audio"} and role != "user":
        yield f"{where}: {sorted(block)} in an assistant's turn"
    if "document" in block:
        documents.append(block["document"]["name"])
        if not _BEDROCK_DOCUMENT.fullmatch(block["document"]["name"]):
            yield f"{where}: document name {block['document']['name']!r}"
    for inner in (block.get("toolResult") or {}).get("content", ()):
        yield from _bedrock_block(inner, role, f"{where}.toolResult", documents)
        if "json" in inner and not isinstance(inner["json"], dict):
            yield f"{where}: json must be an object"


def _bedrock_tools(config: Body) -> Found:
    if not config:
        return
    specs = [tool["toolSpec"] for tool in config.get("tools") or () if "toolSpec" in tool]
    names = [spec["name"] for spec in specs]
    if not names or len(set(names)) < len(names):
        yield f"toolConfig.tools: at least one, no duplicates: {names}"
    for spec in specs:
        if not _BEDROCK_NAME.fullmatch(spec["name"]):
            yield f"toolConfig: name {spec['name']!r}"
        if spec["inputSchema"]["json"].get("type") != "object":
            yield "toolConfig: The value at inputSchema.json.type must be one of the following: object."
        if "description" in spec and not spec["description"]:
            yield "toolConfig: description is empty"
    named = (config.get("toolChoice") or {}).get("tool")
    if named and named["name"] not in names:
        yield f"toolChoice: no tool {named['name']}"


# Gemini ---------------------------------------------------------------------------------------------------------------

_GEMINI_TOP = (
    "contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent serviceTier labels model"
)
_GEMINI_GENERATION = (
    "maxOutputTokens temperature topP topK seed frequencyPenalty presencePenalty candidateCount stopSequences "
    "responseLogprobs logprobs responseMimeType responseJsonSchema responseModalities thinkingConfig speechConfig "
    "mediaResolution imageConfig audioTimestamp routingConfig modelSelectionConfig enableAffectiveDialog "
    "enableEnhancedCivicAnswers"
)
_GEMINI_DATA = {"text", "inlineData", "fileData", "functionCall", "functionResponse"}
_GEMINI_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")


def gemini(body: Body) -> Found:
    yield from unknown(body, _GEMINI_TOP, "body")
    contents = body.get("contents") or []
    if not contents:
        yield "contents is not specified"
        return
    if contents[0].get("role") != "user":
        yield "the first content must be the user's"
    for at, content in enumerate(contents):
        where = f"contents[{at}]"
        yield from unknown(content, "role parts", where)
        if content.get("role") not in ("user", "model"):
            yield f"{where}: Please use a valid role: user, model."
        if not content.get("parts"):
            yield f"{where}.parts must not be empty"
        for part in content.get("parts") or ():
            yield from _gemini_part(part, content.get("role"), where)
        yield from _gemini_calls(contents, at)
    for part in (body.get("systemInstruction") or {}).get("parts", [{"text": "."}]) or [{}]:
        yield from _gemini_part(part, "user", "systemInstruction")
    yield from _gemini_tools(body)
    generation = body.get("generationConfig") or {}
    yield from unknown(generation, _GEMINI_GENERATION, "generationConfig")
    if len(generation.get("stopSequences", ())) > 5:
        yield "stopSequences: at most 5"
    thinking = generation.get("thinkingConfig") or {}
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        yield "You can only set only one of thinking budget and thinking level."


def _gemini_part(part: Body, role: Any, where: str) -> Found:
    data = part.keys() & _GEMINI_DATA
    yield from unknown(part, "text inlineData fileData functionCall functionResponse thought thoughtSignature", where)
    if len(data) != 1:
        yield f"{where}: required oneof field 'data' must have one initialized field, not {sorted(data)}"
    if part.get("text") == "" and "thoughtSignature" not in part:
        yield f"{where}: Unable to submit request because it must have a text parameter that is not empty"
    if "thoughtSignature" in part and not is_base64(part["thoughtSignature"]):
        yield f"{where}.thoughtSignature: Base64 decoding failed"
    if "inlineData" in part and not (part["inlineData"].get("mimeType") and is_base64(part["inlineData"].get("data"))):
        yield f"{where}.inlineData: mimeType and data"
    if "fileData" in part and not part["fileData"].get("fileUri"):
        yield f"{where}.fileData: fileUri"
    if ("functionCall" in part or "thought" in part) and role != "model":
        yield f"{where}: {sorted(part)} in a user's turn"
    call, response = part.get("functionCall"), part.get("functionResponse")
    if call is not None:
        yield from unknown(call, "name args id", where)
        if not _GEMINI_NAME.fullmatch(call.get("name", "")) or not isinstance(call.get("args", {}), dict):
            yield f"{where}.functionCall: name and args: {call}"
    if response is not None:
        yield from unknown(response, "name response id parts", where)
        if not _GEMINI_NAME.fullmatch(response.get("name", "")) or not isinstance(response.get("response"), dict):
            yield f"{where}.functionResponse: name and response: {response}"
        for inner in response.get("parts", ()):
            yield from _gemini_part(inner, role, f"{where}.functionResponse")


def _gemini_calls(contents: list[Any], at: int) -> Found:
    parts = contents[at].get("parts") or ()
    called = [
        (each["functionCall"]["name"], each["functionCall"].get("id")) for each in parts if "functionCall" in each
    ]
    answers = [each["functionResponse"] for each in parts if "functionResponse" in each]
    if called:
        if contents[at - 1]["role"] != "user":
            yield "function call turn comes immediately after a user turn or after a function response turn"
        after = contents[at + 1]["parts"] if at + 1 < len(contents) else ()
        given = [
            (each["functionResponse"]["name"], each["functionResponse"].get("id"))
            for each in after
            if "functionResponse" in each
        ]
        if given != called:
            yield f"the number of function response parts must equal the function call parts: {called}, {given}"
    if answers:
        if len(answers) < len(parts):
            yield f"contents[{at}]: function responses stand alone"
        if not any("functionCall" in each for each in contents[at - 1]["parts"]):
            yield "function response turn comes immediately after a function call turn"


def _gemini_tools(body: Body) -> Found:
    declared = [each for tool in body.get("tools", ()) for each in tool["functionDeclarations"]]
    names = [each["name"] for each in declared]
    if ("tools" in body and not names) or len(set(names)) < len(names):
        yield f"tools: at least one, no duplicates: {names}"
    for each in declared:
        yield from unknown(each, "name description parametersJsonSchema", "functionDeclarations")
        if not _GEMINI_NAME.fullmatch(each["name"]):
            yield f"functionDeclarations: Invalid function name {each['name']!r}"
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if calling and (not names or calling.get("mode") not in ("AUTO", "ANY", "NONE")):
        yield "Function calling config is set without function_declarations."
    allowed = calling.get("allowedFunctionNames", [])
    if allowed and (calling["mode"] != "ANY" or set(allowed) - set(names)):
        yield f"allowedFunctionNames {allowed} should be a subset of {names}, with mode ANY"


def gemini_3(body: Body) -> Found:
    """Of Gemini 3 and later: the first call of every step of the current turn has to be signed."""
    yield from gemini(body)
    for at, content in enumerate(body.get("contents") or ()):
        calls = [part for part in content.get("parts") or () if "functionCall" in part]
        if calls and "thoughtSignature" not in calls[0]:
            yield f"Function call is missing a thought_signature in functionCall parts: contents[{at}]"


# Cohere ---------------------------------------------------------------------------------------------------------------

_COHERE_TOP = (
    "model messages stream tools tool_choice strict_tools response_format thinking max_tokens temperature seed p k "
    "frequency_penalty presence_penalty stop_sequences logprobs safety_mode documents citation_options priority"
)
_COHERE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def cohere(body: Body) -> Found:
    yield from unknown(body, _COHERE_TOP, "body")
    messages = body.get("messages") or []
    if not messages:
        yield "messages: must not be empty"
    waiting: list[str] = []
    for at, message in enumerate(messages):
        where, role = f"messages[{at}]", message.get("role")
        if role == "tool":
            yield from unknown(message, "role tool_call_id content", where)
            if message.get("tool_call_id") not in waiting:
                yield f"{where}: no call before it is named {message.get('tool_call_id')!r}"
            else:
                waiting.remove(message["tool_call_id"])
        elif waiting:
            yield f"{where}: calls {waiting} have no result"
            waiting = []
        yield from _cohere_content(message, where)
        if role == "assistant":
            yield from unknown(message, "role content tool_plan tool_calls", where)
            calls = message.get("tool_calls", ())
            waiting = [call["id"] for call in calls]
            if len(set(waiting)) < len(waiting) or ("tool_calls" in message and not calls):
                yield f"{where}: tool_calls {waiting}"
            for call in calls:
                yield from _cohere_call(call, where)
        elif role not in ("system", "user", "tool"):
            yield f"{where}: role {role}"
    if waiting:
        yield f"calls {waiting} have no result"
    yield from _cohere_settings(body)


def _cohere_content(message: Body, where: str) -> Found:
    content = message.get("content")
    if content is None and message.get("tool_calls"):
        return
    if not content:
        yield f"{where}: content must not be empty"
    kinds = {"user": {"text", "image_url"}, "assistant": {"text", "thinking"}}.get(message.get("role", ""), {"text"})
    for block in content if isinstance(content, list) else ():
        kind = block.get("type")
        if kind not in kinds or not block.get(kind):
            yield f"{where}: content {block}"
    if message.get("role") == "assistant" and message.get("tool_calls") and isinstance(content, str):
        yield f"{where}: what is said beside calls is the tool_plan"


def _cohere_call(call: Body, where: str) -> Found:
    function = call.get("function") or {}
    try:
        read = json.loads(function.get("arguments", ""))
    except ValueError:
        read = None
    if not isinstance(read, dict) or not _COHERE_NAME.fullmatch(function.get("name", "")) or not call.get("id"):
        yield f"{where}: tool_calls {call}"


def _cohere_settings(body: Body) -> Found:
    names = [tool["function"]["name"] for tool in body.get("tools", ())]
    if len(set(names)) < len(names) or not all(_COHERE_NAME.fullmatch(name) for name in names):
        yield f"tools: {names}"
    if body.get("tool_choice", "NONE") not in ("NONE", "REQUIRED") or ("tool_choice" in body and not names):
        yield f"tool_choice: {body.get('tool_choice')}"
    if names and "response_format" in body:
        yield "response_format is not supported with tools"
    ranges = {"p": (0.01, 0.99), "k": (0, 500), "frequency_penalty": (0, 1), "presence_penalty": (0, 1)}
    for name, (least, most) in ranges.items():
        if name in body and not within(body[name], least, most):
            yield f"{name}: {body[name]}"
    if len(body.get("stop_sequences", ())) > 5:
        yield "stop_sequences: at most 5"
    if body.get("response_format", {}).get("type", "json_object") != "json_object":
        yield "response_format.type"


# Ollama ---------------------------------------------------------------------------------------------------------------


def ollama(body: Body) -> Found:
    """What its server can decode into its types."""
    yield from unknown(
        body, "model messages stream tools format think options keep_alive logprobs top_logprobs", "body"
    )
    if not isinstance(body.get("stream"), bool):
        yield "stream: it streams unless told not to"
    if not body.get("messages"):
        yield "messages: at least one"
    for at, message in enumerate(body.get("messages", ())):
        where = f"messages[{at}]"
        yield from unknown(message, "role content images thinking tool_calls tool_name tool_call_id", where)
        if message.get("role") not in ("system", "user", "assistant", "tool"):
            yield f"{where}: role {message.get('role')}"
        if not isinstance(message.get("content", "" if message.get("tool_calls") else None), str):
            yield f"{where}: content is a string"
        if not all(is_base64(image) for image in message.get("images", ())):
            yield f"{where}: images are base64"
        for call in message.get("tool_calls", ()):
            if not isinstance(call["function"].get("arguments"), dict) or not call["function"].get("name"):
                yield f"{where}: {call}"
    for tool in body.get("tools", ()):
        parameters = tool["function"]["parameters"]
        if not isinstance(parameters, dict) or not all(
            isinstance(each, dict) for each in parameters.get("properties", {}).values()
        ):
            yield f"tools: {tool['function']['name']}: properties are objects"
    if not isinstance(body.get("format", "json"), dict) and body.get("format", "json") != "json":
        yield "format"
    if not isinstance(body.get("think", True), bool) and body["think"] not in ("low", "medium", "high", "max"):
        yield "think"
    if not isinstance(body.get("options", {}).get("stop", []), list):
        yield "options.stop"


# Text generation ------------------------------------------------------------------------------------------------------

_TGI = (
    "return_full_text details max_new_tokens do_sample temperature top_p top_k seed frequency_penalty stop grammar "
    "repetition_penalty typical_p truncate watermark best_of"
)


def tgi(body: Body) -> Found:
    yield from unknown(body, "inputs parameters stream", "body")
    if not isinstance(body.get("inputs"), str) or not body["inputs"].strip():
        yield "`inputs` cannot be empty"
    said = body.get("parameters") or {}
    yield from unknown(said, _TGI, "parameters")
    if "temperature" in said and not said["temperature"] > 0:
        yield "`temperature` must be strictly positive"
    if "top_p" in said and not 0 < said["top_p"] < 1:
        yield "`top_p` must be > 0.0 and < 1.0"
    if "top_k" in said and not is_count(said["top_k"], 1):
        yield "`top_k` must be strictly positive"
    if len(said.get("stop", ())) > 4:
        yield "`stop` supports up to 4 stop sequences"


# OpenAI and those that are like it ------------------------------------------------------------------------------------


def openai(body: Body) -> Found:
    """A conversation only: what else is said is passed on as it came."""
    waiting: list[str] = []
    for at, message in enumerate(body.get("messages") or ()):
        where, role = f"messages[{at}]", message.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            yield f"{where}: role {role}"
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                yield f"{where}: messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
            else:
                waiting.remove(message["tool_call_id"])
        elif waiting:
            yield f"{where}: tool_call_ids {waiting} did not have response messages"
            waiting = []
        calls = message.get("tool_calls") or ()
        if role == "assistant" and message.get("content") is None and not calls and not message.get("refusal"):
            yield f"{where}: content or tool_calls"
        elif role != "assistant" and message.get("content") is None:
            yield f"{where}: content is required"
        for call in calls:
            waiting.append(call["id"])
            if not isinstance(call["function"].get("arguments"), str) or not call["function"].get("name"):
                yield f"{where}: {call}"
    if waiting:
        yield f"tool_call_ids {waiting} did not have response messages"


_OPENAI_TOP = (
    "model messages stream stream_options tools tool_choice parallel_tool_calls response_format max_completion_tokens "
    "temperature top_p stop seed frequency_penalty presence_penalty n logprobs top_logprobs reasoning_effort user "
    "metadata service_tier verbosity logit_bias prediction modalities audio web_search_options prompt_cache_key "
    "prompt_cache_retention safety_identifier store"
)
_OPENAI_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OPENAI_PARTS = {
    "user": {"text", "image_url", "input_audio", "file", "video_url"},
    "assistant": {"text"},
    "system": {"text"},
    "developer": {"text"},
    "tool": {"text"},
}


def openai_itself(body: Body) -> Found:
    """All of a request that is written for OpenAI; videos are for others that are like it."""
    yield from openai(body)
    yield from unknown(body, _OPENAI_TOP, "body")
    for at, message in enumerate(body["messages"]):
        content, role = message.get("content"), message["role"]
        for part in content if isinstance(content, list) else ():
            if part["type"] not in _OPENAI_PARTS[role]:
                yield f"messages[{at}]: {part['type']} is no part of {role}"
        if content == []:
            yield f"messages[{at}]: an empty array"
        calls = message.get("tool_calls") or ()
        if len({call["id"] for call in calls}) < len(calls):
            yield f"messages[{at}]: two calls of one id"
        for call in calls:
            yield from _openai_call(call, f"messages[{at}]")
    yield from _openai_tools(body)
    yield from _openai_settings(body)


def _openai_call(call: Body, where: str) -> Found:
    if len(call["id"]) > 40 or not call["id"]:
        yield f"{where}: string too long: {call['id']}"
    if not _OPENAI_NAME.fullmatch(call["function"]["name"]):
        yield f"{where}: {call['function']['name']} does not match the pattern"
    if not isinstance(json.loads(call["function"]["arguments"]), dict):
        yield f"{where}: arguments that are no object are no good for models' templates"


def _openai_tools(body: Body) -> Found:
    functions = [tool["function"] for tool in body.get("tools") or ()]
    for each in functions:
        if not _OPENAI_NAME.fullmatch(each["name"]):
            yield f"tools: {each['name']} does not match the pattern"
        if "parameters" in each and not (each["parameters"]["type"] == "object" and "properties" in each["parameters"]):
            yield f"tools: {each['name']}: object schema missing properties"
    if "tools" in body and not functions:
        yield "tools: an empty array"
    if not functions and body.keys() & {"tool_choice", "parallel_tool_calls"}:
        yield "tool_choice and parallel_tool_calls are only allowed when tools are specified"
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["function"]["name"] not in [each["name"] for each in functions]:
        yield "tool_choice: not among the tools"


def _openai_settings(body: Body) -> Found:
    if len(body.get("stop", ())) > 4:
        yield "stop: at most 4"
    if "top_logprobs" in body and not body.get("logprobs"):
        yield "top_logprobs without logprobs"
    if "metadata" in body and not body.get("store"):
        yield "the metadata parameter is only allowed when store is enabled"
    if len(body.get("user", "")) > 64:
        yield "user: string too long"
    form = body.get("response_format") or {}
    if form.get("type") == "json_object" and "json" not in json.dumps(body["messages"]).lower():
        yield "messages must contain the word json in some form"
    if form.get("type") == "json_schema" and not _OPENAI_NAME.fullmatch(form["json_schema"]["name"]):
        yield "response_format.json_schema.name does not match the pattern"
    if "stream_options" in body and not body.get("stream"):
        yield "stream_options is only allowed when stream is enabled"
    if body.get("reasoning_effort", "low") not in ("none", "minimal", "low", "medium", "high", "xhigh"):
        yield "reasoning_effort"


_MISTRAL_ID = re.compile(r"[A-Za-z0-9]{9}")


def mistral(body: Body) -> Found:
    yield from openai(body)
    for at, message in enumerate(body.get("messages") or ()):
        ids = [message.get("tool_call_id"), *(call["id"] for call in message.get("tool_calls") or ())]
        for each in ids:
            if each is not None and not _MISTRAL_ID.fullmatch(each):
                yield f"messages[{at}]: Tool call id was {each} but must be a-z, A-Z, 0-9, with a length of 9."
    foreign = body.keys() & {"user", "logit_bias", "stream_options", "seed", "max_completion_tokens", "store"}
    yield from (f"{name}: Extra inputs are not permitted" for name in sorted(foreign))


_RESPONSES_TOP = (
    "model input instructions tools tool_choice parallel_tool_calls text reasoning max_output_tokens temperature top_p "
    "top_logprobs include store stream metadata user service_tier prompt_cache_key prompt_cache_options "
    "prompt_cache_retention safety_identifier truncation max_tool_calls moderation access_programs context_management "
    "image"
)
_RESPONSES_ITEMS = {
    "message": "type role content",
    "reasoning": "type summary encrypted_content",
    "function_call": "type call_id name arguments",
    "custom_tool_call": "type call_id name input",
    "function_call_output": "type call_id output",
    "custom_tool_call_output": "type call_id output",
}
_RESPONSES_PARTS = {
    "input_text": "type text",
    "input_image": "type image_url file_id detail",
    "input_file": "type file_id file_data file_url filename",
    "output_text": "type text",
    "refusal": "type refusal",
}
_RESPONSES_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def responses(body: Body) -> Found:
    yield from unknown(body, _RESPONSES_TOP, "body")
    items = body.get("input")
    if not isinstance(items, list) or not items:
        yield 'input: One of "input" or "previous_response_id" must be provided'
        return
    waiting: list[str] = []
    seen: set[str] = set()
    for at, item in enumerate(items):
        where, kind = f"input[{at}]", str(item.get("type"))
        yield from unknown(item, _RESPONSES_ITEMS.get(kind, ""), where)
        if kind.endswith("_output"):
            if item["call_id"] not in waiting:
                yield f"{where}: No tool call found for function call output with call_id {item['call_id']}"
            else:
                waiting.remove(item["call_id"])
            parts = (
                item["output"] if isinstance(item["output"], list) else [{"type": "input_text", "text": item["output"]}]
            )
            yield from _responses_parts(parts, ("input_text", "input_image", "input_file"), where)
        elif kind.endswith("_call"):
            if not 0 < len(item["call_id"]) <= 64 or item["call_id"] in seen:
                yield f"{where}.call_id: {item['call_id']}"
            if not _RESPONSES_NAME.fullmatch(item["name"]) or not isinstance(
                item.get("arguments", item.get("input")), str
            ):
                yield f"{where}: {item}"
            seen.add(item["call_id"])
            waiting.append(item["call_id"])
        elif kind == "message":
            yield from _responses_message(item, waiting, where)
        elif kind == "reasoning" and (at + 1 == len(items) or items[at + 1].get("role", "assistant") != "assistant"):
            yield f"{where}: Item of type 'reasoning' was provided without its required following item."
    yield from (f"No tool output found for function call {each}" for each in waiting)
    yield from _responses_settings(body)


def _responses_message(item: Body, waiting: list[str], where: str) -> Found:
    role = item.get("role")
    if role == "assistant":
        yield from _responses_parts(item["content"], ("output_text", "refusal"), where)
    elif role in ("user", "system", "developer"):
        yield from (f"{where}: No tool output found for function call {each}" for each in waiting)
        yield from _responses_parts(item["content"], ("input_text", "input_image", "input_file"), where)
    else:
        yield f"{where}: role {role}"


def _responses_parts(parts: Any, kinds: tuple[str, ...], where: str) -> Found:
    if not isinstance(parts, list):
        yield f"{where}: {parts}"
        return
    for part in parts:
        kind = part.get("type")
        yield from unknown(part, _RESPONSES_PARTS.get(kind, ""), where)
        if kind not in kinds:
            yield f"{where}: Invalid value: '{kind}'. Supported values are: {kinds}"
        given = part.keys() & {"text", "refusal", "image_url", "file_id", "file_data", "file_url"}
        if len(given) != 1 or not all(isinstance(part[name], str) for name in given):
            yield f"{where}: {part}"
        if "file_data" in part and not part.get("filename"):
            yield f"{where}: Missing required parameter: 'filename'"


def _responses_settings(body: Body) -> Found:
    names = []
    for tool in body.get("tools", ()):
        if tool["type"] == "function":
            yield from unknown(tool, "type name description parameters strict", "tools")
            if tool["parameters"].get("type") != "object" or "properties" not in tool["parameters"]:
                yield f"tools: Invalid schema for function: {tool['parameters']}"
            if not isinstance(tool.get("strict"), bool):
                yield "tools: strict is true where it is not said"
        if tool["type"] in ("function", "custom"):
            names.append(tool["name"])
    yield from (f"tools: name {name}" for name in names if not _RESPONSES_NAME.fullmatch(name))
    choice = body.get("tool_choice", "auto")
    chosen = choice.get("tools", [choice]) if isinstance(choice, dict) else []
    if any(each["name"] not in names for each in chosen) or ("tool_choice" in body and not body.get("tools")):
        yield f"tool_choice: {choice} is not among {names}"
    if "max_output_tokens" in body and not is_count(body["max_output_tokens"], 16):
        yield "max_output_tokens: Expected a value >= 16"
    if len(body.get("user", "")) > 64:
        yield "user: string too long"
    if not all(isinstance(value, str) and len(value) <= 512 for value in body.get("metadata", {}).values()):
        yield "metadata: strings alone"
    form = body.get("text", {}).get("format", {})
    if form.get("type") == "json_schema" and not _RESPONSES_NAME.fullmatch(form["name"]):
        yield "text.format.name"


RULES: Mapping[str, Callable[[Body], Found]] = {
    "anthropic_messages": anthropic,
    "bedrock_converse": bedrock,
    "gemini": gemini,
    "gemini_3": gemini_3,
    "cohere_chat": cohere,
    "ollama_chat": ollama,
    "tgi": tgi,
    "openai_chat": openai,
    "openai": openai_itself,
    "openai_responses": responses,
    "mistral": mistral,
}
"""By dialect; ``gemini_3``, ``openai`` and ``mistral`` are stricter readers of one."""
