"""Requests in the vendors' words read back into what they mean: by readers that know the vendors' documentation alone.

What is compared is made of *lines*: pieces of text that carry a mark (``⟦7⟧``). What an encoder adds of its own (a
placeholder, a result that nobody gave) carries none, and is not read.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MARK = "⟦"


@dataclass
class Group:
    """What one side said in a row. Media are by their content, calls by (name, input), thoughts by (text, seal)."""

    side: str
    lines: list[str] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    thoughts: list[tuple[str, str]] = field(default_factory=list)
    seals: list[str | None] = field(default_factory=list)
    """Of the calls themselves."""


@dataclass
class Result:
    lines: list[str]
    failed: bool = False
    media: list[str] = field(default_factory=list)


@dataclass
class Meaning:
    system: list[str] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    results: dict[int, Result] = field(default_factory=dict)
    """By the number of the call they answer, counted over the conversation."""
    markers: int = 0
    """Of the cache."""
    settings: dict[str, Any] = field(default_factory=dict)

    def group(self, side: str) -> Group:
        if not self.groups or self.groups[-1].side != side:
            self.groups.append(Group(side))
        return self.groups[-1]

    def everything(self) -> list[str]:
        """All lines, wherever they stand."""
        said = [line for group in self.groups for line in group.lines]
        return [*self.system, *said, *(line for result in self.results.values() for line in result.lines)]


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if MARK in line]


def _settings(said: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """``their_name="ours"``."""
    return {name: said[own] for own, name in names.items() if own in said}


# Anthropic ------------------------------------------------------------------------------------------------------------


def anthropic(body: Mapping[str, Any]) -> Meaning:
    meaning = Meaning()
    numbers: dict[str, int] = {}
    for block in _blocks(body.get("system", [])):
        meaning.system += lines_of(block["text"])
        meaning.markers += "cache_control" in block
    for message in body["messages"]:
        group = meaning.group(message["role"])
        for block in _blocks(message["content"]):
            meaning.markers += "cache_control" in block
            match block["type"]:
                case "text":
                    group.lines += lines_of(block["text"])
                case "image" | "document":
                    group.media.append(_anthropic_media(block))
                case "thinking":
                    group.thoughts.append((block["thinking"], block["signature"]))
                case "redacted_thinking":
                    group.thoughts.append(("", block["data"]))
                case "tool_use":
                    numbers[block["id"]] = len(numbers)
                    group.calls.append((block["name"], block["input"]))
                    group.seals.append(None)
                case "tool_result":
                    inner = _blocks(block.get("content", []))
                    meaning.markers += sum("cache_control" in each for each in inner)
                    texts = [line for each in inner if each["type"] == "text" for line in lines_of(each["text"])]
                    media = [_anthropic_media(each) for each in inner if each["type"] != "text"]
                    failed = block.get("is_error", False)
                    meaning.results[numbers[block["tool_use_id"]]] = Result(texts, failed, media)
    meaning.settings = _settings(
        body, max_tokens="max_tokens", temperature="temperature", top_p="top_p", top_k="top_k", stop_sequences="stop"
    )
    if "tools" in body:
        meaning.settings["tools"] = [tool["name"] for tool in body["tools"]]
        meaning.markers += sum("cache_control" in tool for tool in body["tools"])
    choice = body.get("tool_choice", {})
    if choice:
        modes = {"auto": "auto", "any": "required", "none": "none", "tool": choice.get("name")}
        meaning.settings["tool_choice"] = modes[choice["type"]]
        meaning.settings["parallel_tool_calls"] = not choice.get("disable_parallel_tool_use", False)
    if "metadata" in body:
        meaning.settings["user"] = body["metadata"]["user_id"]
    form = body.get("output_config", {}).get("format")
    if form:
        meaning.settings["response_format"] = sorted(form["schema"].get("properties", {}))
    return meaning


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _anthropic_media(block: Mapping[str, Any]) -> str:
    source = block["source"]
    if source["type"] == "text":
        return base64.b64encode(source["data"].encode()).decode()
    return str(source.get("data") or source.get("url") or source.get("file_id"))


# Bedrock --------------------------------------------------------------------------------------------------------------


def bedrock(body: Mapping[str, Any]) -> Meaning:
    meaning = Meaning()
    numbers: dict[str, int] = {}
    for block in body.get("system", []):
        meaning.markers += "cachePoint" in block
        meaning.system += lines_of(block.get("text", ""))
    for message in body["messages"]:
        group = meaning.group(message["role"])
        for block in message["content"]:
            meaning.markers += "cachePoint" in block
            group.lines += lines_of(block.get("text", ""))
            group.media += _bedrock_media(block)
            if use := block.get("toolUse"):
                numbers[use["toolUseId"]] = len(numbers)
                group.calls.append((use["name"], use["input"]))
                group.seals.append(None)
            if thought := block.get("reasoningContent"):
                if "redactedContent" in thought:
                    group.thoughts.append(("", base64.b64decode(thought["redactedContent"]).decode()))
                else:
                    read = thought["reasoningText"]
                    group.thoughts.append((read["text"], read["signature"]))
            if given := block.get("toolResult"):
                texts = [
                    each["text"] if "text" in each else json.dumps(each.get("json", "")) for each in given["content"]
                ]
                texts = [line for text in texts for line in lines_of(text if MARK in text else _unescaped(text))]
                media = [each for inner in given["content"] for each in _bedrock_media(inner)]
                meaning.results[numbers[given["toolUseId"]]] = Result(texts, given.get("status") == "error", media)
    meaning.settings = _settings(
        body.get("inferenceConfig", {}),
        maxTokens="max_tokens",
        temperature="temperature",
        topP="top_p",
        stopSequences="stop",
    )
    config = body.get("toolConfig", {})
    if config:
        meaning.settings["tools"] = [each["toolSpec"]["name"] for each in config["tools"] if "toolSpec" in each]
        meaning.markers += sum("cachePoint" in each for each in config["tools"])
    for mode, inner in config.get("toolChoice", {}).items():
        meaning.settings["tool_choice"] = {"auto": "auto", "any": "required"}.get(mode) or inner["name"]
    additional = body.get("additionalModelRequestFields", {})
    if "top_k" in additional:
        meaning.settings["top_k"] = additional["top_k"]
    elif "topK" in additional.get("inferenceConfig", {}):
        meaning.settings["top_k"] = additional["inferenceConfig"]["topK"]
    elif "k" in additional:
        meaning.settings["top_k"] = additional["k"]
    if "outputConfig" in body:
        schema = json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
        meaning.settings["response_format"] = sorted(schema.get("properties", {}))
    return meaning


def _unescaped(text: str) -> str:
    """JSON as it is written anew: its marks may be escaped."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        return text


def _bedrock_media(block: Mapping[str, Any]) -> list[str]:
    held = [block[kind] for kind in ("image", "document", "video", "audio") if kind in block]
    return [each["source"].get("bytes") or each["source"]["s3Location"]["uri"] for each in held]


# Gemini ---------------------------------------------------------------------------------------------------------------


def gemini(body: Mapping[str, Any]) -> Meaning:
    meaning = Meaning()
    for part in body.get("systemInstruction", {}).get("parts", []):
        meaning.system += lines_of(part["text"])
    count, waiting = 0, list[int]()
    for content in body["contents"]:
        group = meaning.group("assistant" if content["role"] == "model" else "user")
        for part in content["parts"]:
            seal = part.get("thoughtSignature")
            if part.get("thought"):
                group.thoughts.append((part["text"], seal))
            elif "text" in part:
                group.lines += lines_of(part["text"])
                if seal:
                    group.thoughts.append(("", seal))
            if "functionCall" in part:
                call = part["functionCall"]
                group.calls.append((call["name"], call["args"]))
                group.seals.append(seal)
                waiting.append(count)
                count += 1
            if "functionResponse" in part:
                given = part["functionResponse"]
                said, failed = given["response"], set(given["response"]) == {"error"}
                text = next(iter(said.values())) if set(said) in ({"output"}, {"error"}) else None
                text = text if isinstance(text, str) else json.dumps(said, ensure_ascii=False)
                media = [each for inner in given.get("parts", ()) for each in _gemini_media(inner)]
                meaning.results[waiting.pop(0)] = Result(lines_of(text), failed, media)
            group.media += _gemini_media(part)
    generation = body.get("generationConfig", {})
    meaning.settings = _settings(
        generation,
        maxOutputTokens="max_tokens",
        temperature="temperature",
        topP="top_p",
        topK="top_k",
        stopSequences="stop",
        seed="seed",
        frequencyPenalty="frequency_penalty",
        presencePenalty="presence_penalty",
        candidateCount="n",
        responseLogprobs="logprobs",
        logprobs="top_logprobs",
    )
    if "tools" in body:
        meaning.settings["tools"] = [each["name"] for each in body["tools"][0]["functionDeclarations"]]
    calling = body.get("toolConfig", {}).get("functionCallingConfig")
    if calling:
        mode = {"AUTO": "auto", "NONE": "none", "ANY": "required"}[calling["mode"]]
        meaning.settings["tool_choice"] = next(iter(calling.get("allowedFunctionNames", [mode])))
    if "responseMimeType" in generation:
        meaning.settings["response_format"] = sorted(generation.get("responseJsonSchema", {}).get("properties", {}))
    return meaning


def _gemini_media(part: Mapping[str, Any]) -> list[str]:
    if "inlineData" in part:
        return [part["inlineData"]["data"]]
    return [part["fileData"]["fileUri"]] if "fileData" in part else []


# Cohere ---------------------------------------------------------------------------------------------------------------


def cohere(body: Mapping[str, Any]) -> Meaning:
    meaning = Meaning()
    numbers: dict[str, int] = {}
    count = 0
    for message in body["messages"]:
        role, blocks = message["role"], _blocks(message.get("content", []))
        texts = [line for each in blocks if each["type"] == "text" for line in lines_of(each["text"])]
        if role == "tool":
            meaning.results[numbers[message["tool_call_id"]]] = Result(texts)
            continue
        if role == "system" and not meaning.groups:
            meaning.system += texts
            continue
        group = meaning.group("user" if role == "system" else role)
        group.thoughts += [(each["thinking"], "") for each in blocks if each["type"] == "thinking"]
        group.lines += lines_of(message.get("tool_plan", "")) + texts
        group.media += [_of_data_url(each["image_url"]["url"]) for each in blocks if each["type"] == "image_url"]
        for call in message.get("tool_calls", ()):
            numbers[call["id"]], count = count, count + 1
            group.calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
            group.seals.append(None)
    meaning.settings = _settings(
        body,
        max_tokens="max_tokens",
        temperature="temperature",
        p="top_p",
        k="top_k",
        stop_sequences="stop",
        seed="seed",
        frequency_penalty="frequency_penalty",
        presence_penalty="presence_penalty",
        logprobs="logprobs",
    )
    if "tools" in body:
        meaning.settings["tools"] = [each["function"]["name"] for each in body["tools"]]
    if "tool_choice" in body:
        alone = meaning.settings["tools"] if len(meaning.settings["tools"]) == 1 else []
        meaning.settings["tool_choice"] = {"NONE": "none"}.get(body["tool_choice"]) or (alone or ["required"])[0]
    if "response_format" in body:
        meaning.settings["response_format"] = sorted(body["response_format"].get("schema", {}).get("properties", {}))
    return meaning


def _of_data_url(url: str) -> str:
    return url.partition(";base64,")[2] if url.startswith("data:") else url


# Ollama ---------------------------------------------------------------------------------------------------------------


def ollama(body: Mapping[str, Any]) -> Meaning:
    meaning = Meaning()
    count, waiting = 0, list[tuple[str, int]]()
    for message in body["messages"]:
        role, texts = message["role"], lines_of(message.get("content", ""))
        if role == "tool":
            hit = next((each for each in waiting if each[0] == message["tool_call_id"]), None)
            if hit is None:
                meaning.group("user").lines += texts
                meaning.group("user").media += message.get("images", [])
            else:
                waiting.remove(hit)
                meaning.results[hit[1]] = Result(texts, media=list(message.get("images", ())))
            continue
        if role == "system" and not meaning.groups:
            meaning.system += texts
            continue
        group = meaning.group("user" if role == "system" else role)
        group.lines += texts
        group.media += message.get("images", [])
        if "thinking" in message:
            group.thoughts.append((message["thinking"], ""))
        for call in message.get("tool_calls", ()):
            waiting.append((call["id"], count))
            count += 1
            group.calls.append((call["function"]["name"], call["function"]["arguments"]))
            group.seals.append(None)
    meaning.settings = _settings(
        {**body, **body.get("options", {})},
        num_predict="max_tokens",
        temperature="temperature",
        top_p="top_p",
        top_k="top_k",
        stop="stop",
        seed="seed",
        frequency_penalty="frequency_penalty",
        presence_penalty="presence_penalty",
        logprobs="logprobs",
        top_logprobs="top_logprobs",
    )
    if "tools" in body:
        meaning.settings["tools"] = [each["function"]["name"] for each in body["tools"]]
    if "format" in body:
        schema = body["format"] if isinstance(body["format"], dict) else {}
        meaning.settings["response_format"] = sorted(schema.get("properties", {}))
    return meaning


# Responses ------------------------------------------------------------------------------------------------------------


def responses(body: Mapping[str, Any]) -> Meaning:
    meaning = Meaning(lines_of(body.get("instructions", "")))
    numbers: dict[str, int] = {}
    for item in body["input"]:
        if item["type"].endswith("_output"):
            parts = _responses_parts(item["output"])
            meaning.results[numbers[item["call_id"]]] = Result(_responses_lines(parts), media=_responses_media(parts))
            continue
        if item["type"] == "message" and item["role"] in ("system", "developer") and not meaning.groups:
            meaning.system += _responses_lines(item["content"])
            continue
        group = meaning.group("assistant" if item.get("role", "assistant") == "assistant" else "user")
        if item["type"] == "message":
            group.lines += _responses_lines(item["content"])
            group.media += _responses_media(item["content"])
        elif item["type"] == "reasoning":
            group.thoughts.append(("".join(each["text"] for each in item["summary"]), item["encrypted_content"]))
        else:
            numbers[item["call_id"]] = len(numbers)
            group.calls.append((item["name"], _object(item["arguments"])))
            group.seals.append(None)
    meaning.settings = _settings(
        body, max_output_tokens="max_tokens", temperature="temperature", top_p="top_p", top_logprobs="top_logprobs"
    )
    if "message.output_text.logprobs" in body.get("include", ()):
        meaning.settings["logprobs"] = True
    if "tools" in body:
        meaning.settings["tools"] = [tool["name"] for tool in body["tools"]]
    if choice := body.get("tool_choice"):
        meaning.settings["tool_choice"] = choice if isinstance(choice, str) else choice.get("name")
    if form := body.get("text", {}).get("format"):
        meaning.settings["response_format"] = sorted(form.get("schema", {}).get("properties", {}))
    return meaning


def _object(arguments: str) -> dict[str, Any]:
    """Arguments are whatever text the model wrote."""
    try:
        read = json.loads(arguments)
    except ValueError:
        read = arguments
    return read if isinstance(read, dict) else {"arguments": arguments}


def _responses_parts(output: Any) -> list[dict[str, Any]]:
    return [{"type": "input_text", "text": output}] if isinstance(output, str) else output


def _responses_lines(parts: Iterable[Mapping[str, Any]]) -> list[str]:
    return [line for part in parts for line in lines_of(part.get("text", part.get("refusal", "")))]


def _responses_media(parts: Iterable[Mapping[str, Any]]) -> list[str]:
    found = [
        part.get("image_url") or part.get("file_data") or part.get("file_url") or part.get("file_id") for part in parts
    ]
    return [_of_data_url(each) for each in found if each]


# OpenAI and those that are like it ------------------------------------------------------------------------------------

_TOLD = re.compile(r'<document(?: name="[^"]*")?>\n(.*?)\n</document>', re.DOTALL)


def openai(body: Mapping[str, Any]) -> Meaning:
    meaning = Meaning()
    numbers: dict[str, int] = {}
    count = 0
    shown: list[int] = []
    for message in body["messages"]:
        role, blocks = message["role"], _blocks(message.get("content") or [])
        meaning.markers += sum("cache_control" in each for each in (*blocks, *(message.get("tool_calls") or ())))
        texts, media = _openai_content(blocks)
        if role == "tool":
            number = numbers[message["tool_call_id"]]
            meaning.results[number] = Result(texts, media=media)
            shown.append(number)
            continue
        if shown and role == "user" and blocks and blocks[0].get("text", "").startswith("Shown by the tool"):
            meaning.results[shown[-1]].media += media
            meaning.results[shown[-1]].lines += texts
            continue
        shown = []
        if role in ("system", "developer") and not meaning.groups:
            meaning.system += texts
            continue
        group = meaning.group("assistant" if role == "assistant" else "user")
        group.lines += texts
        group.media += media
        group.thoughts += _openai_thoughts(message)
        for call in message.get("tool_calls") or ():
            numbers[call["id"]], count = count, count + 1
            group.calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
            group.seals.append(call.get("extra_content", {}).get("google", {}).get("thought_signature"))
    meaning.settings = _settings(
        body,
        max_completion_tokens="max_tokens",
        **{
            name: name
            for name in (
                *("temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty", "n"),
                *("logprobs", "top_logprobs", "user", "metadata", "parallel_tool_calls"),
            )
        },
    )
    if "tools" in body:
        meaning.settings["tools"] = [each["function"]["name"] for each in body["tools"]]
        meaning.markers += sum("cache_control" in each for each in body["tools"])
    choice = body.get("tool_choice")
    if choice is not None:
        meaning.settings["tool_choice"] = choice["function"]["name"] if isinstance(choice, dict) else choice
    if "response_format" in body:
        schema = body["response_format"].get("json_schema", {}).get("schema", {})
        meaning.settings["response_format"] = sorted(schema.get("properties", {}))
    return meaning


def _openai_content(blocks: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    texts: list[str] = []
    media: list[str] = []
    for block in blocks:
        match block["type"]:
            case "text":
                media += [base64.b64encode(told.encode()).decode() for told in _TOLD.findall(block["text"])]
                texts += lines_of(_TOLD.sub("", block["text"]))
            case "image_url":
                media.append(_of_data_url(block["image_url"]["url"]))
            case "input_audio":
                media.append(block["input_audio"]["data"])
            case "file":
                held = block["file"]
                media.append(held["file_id"] if "file_id" in held else _of_data_url(held["file_data"]))
    return texts, media


def _openai_thoughts(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    """As OpenRouter documents them; a text that no detail has was signed by nobody."""
    found = [
        (each.get("text") or each.get("summary") or "", each.get("signature") or each.get("data") or "")
        for each in message.get("reasoning_details", ())
    ]
    text = message.get("reasoning_content", "")
    return found if any(said == text for said, _ in found) or not text else [*found, (text, "")]


READERS: Mapping[str, Callable[[Mapping[str, Any]], Meaning]] = {
    "anthropic_messages": anthropic,
    "bedrock_converse": bedrock,
    "gemini": gemini,
    "cohere_chat": cohere,
    "ollama_chat": ollama,
    "openai_chat": openai,
    "openai_responses": responses,
}


# Comparing ------------------------------------------------------------------------------------------------------------


def merged(groups: Iterable[Group], without: frozenset[str] = frozenset()) -> list[Group]:
    """Without these lines and media; what has nothing left is gone, and its neighbours are one."""
    made: list[Group] = []
    for each in groups:
        lines = [line for line in each.lines if line not in without]
        media = [one for one in each.media if one not in without]
        if not (lines or media or each.calls or each.thoughts):
            continue
        if not made or made[-1].side != each.side:
            made.append(Group(each.side))
        last = made[-1]
        last.lines += lines
        last.media += media
        last.calls += each.calls
        last.thoughts += each.thoughts
        last.seals += each.seals
    return made
