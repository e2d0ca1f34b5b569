"""The official SDKs as clients, all by one interface: a talk that is told something, and keeps what its SDK keeps.

Streams are put together by the SDKs' own accumulators, where they have one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import anthropic
import msgspec
import ollama
import openai
from google import genai
from google.genai import types as google

from tests.end_to_end.native import Call, Family, Said

MAX_TOKENS = 4096
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TAKES: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
}
TOOLS = ("weather", "time")


class Wanted(msgspec.Struct, frozen=True):
    """Of a whole talk."""

    tools: bool = False
    schema: bool = False
    thinking: bool = False


PLAIN = Wanted()


class Told(NamedTuple):
    """What the client has in the end. ``finish`` is in its own words; ``usage`` as OpenAI counts: see ``Said``."""

    text: str
    thought: str
    finish: str
    calls: list[tuple[str, Any]]
    usage: tuple[int, int, int, int]


class Talk:
    """``model`` may be changed between two turns."""

    def __init__(self, sdk: Any, model: str, wanted: Wanted = PLAIN) -> None:
        self.sdk, self.model, self.wanted = sdk, model, wanted
        self.messages: list[Any] = []

    def say(self, text: str, picture: str = "", *, stream: bool = False) -> Told:
        """``picture``: a PNG in base64."""
        raise NotImplementedError

    def give(self, results: Sequence[str], *, stream: bool = False) -> Told:
        """What the tools answered that were called last, in their order."""
        raise NotImplementedError


# OpenAI ---------------------------------------------------------------------------------------------------------------


class ChatTalk(Talk):
    def say(self, text: str, picture: str = "", *, stream: bool = False) -> Told:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
        content = [{"type": "text", "text": text}, image] if picture else text
        return self._send([{"role": "user", "content": content}], stream)

    def give(self, results: Sequence[str], *, stream: bool = False) -> Told:
        calls = self.messages[-1].tool_calls
        return self._send(
            [
                {"role": "tool", "tool_call_id": call.id, "content": said}
                for call, said in zip(calls, results, strict=True)
            ],
            stream,
        )

    def _send(self, new: list[Any], stream: bool) -> Told:
        self.messages += new
        request = {"model": self.model, "messages": self.messages, **self._settings()}
        if stream:
            with self.sdk.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
                for _ in events:
                    pass
                answer = events.current_completion_snapshot
        else:
            answer = self.sdk.chat.completions.create(**request)
        choice = answer.choices[0]
        self.messages.append(choice.message)
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()]
        thought = getattr(choice.message, "reasoning_content", None) or ""
        return Told(choice.message.content or "", thought, choice.finish_reason, calls, _openai_usage(answer.usage))

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if self.wanted.tools:
            settings["tools"] = [
                {"type": "function", "function": {"name": name, "description": f"The {name}", "parameters": TAKES}}
                for name in TOOLS
            ]
        if self.wanted.schema:
            form = {"name": "place", "schema": SCHEMA, "strict": True}
            settings["response_format"] = {"type": "json_schema", "json_schema": form}
        if self.wanted.thinking:
            settings["reasoning_effort"] = "low"
        return settings


def _openai_usage(usage: Any) -> tuple[int, int, int, int]:
    read = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    thought = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return usage.prompt_tokens, usage.completion_tokens, read or 0, thought or 0


class CompletionTalk(Talk):
    """Of one text each."""

    def say(self, text: str, picture: str = "", *, stream: bool = False) -> Told:
        request: dict[str, Any] = {"model": self.model, "prompt": text, "max_tokens": 100}
        if not stream:
            answer = self.sdk.completions.create(**request)
            choice = answer.choices[0]
            return Told(choice.text, "", choice.finish_reason, [], _openai_usage(answer.usage))
        said, finish, usage = "", "", None
        for chunk in self.sdk.completions.create(**request, stream=True, stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                said += choice.text
                finish = choice.finish_reason or finish
        return Told(said, "", finish, [], _openai_usage(usage))


class ResponsesTalk(Talk):
    """Stateless, as Codex has it: everything is sent again, sealed thoughts included."""

    def say(self, text: str, picture: str = "", *, stream: bool = False) -> Told:
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{picture}", "detail": "auto"}
        content = [{"type": "input_text", "text": text}, *([image] if picture else [])]
        return self._send([{"role": "user", "content": content}], stream)

    def give(self, results: Sequence[str], *, stream: bool = False) -> Told:
        calls = [item for item in self.messages if getattr(item, "type", "") == "function_call"][-len(results) :]
        return self._send(
            [
                {"type": "function_call_output", "call_id": call.call_id, "output": said}
                for call, said in zip(calls, results, strict=True)
            ],
            stream,
        )

    def _send(self, new: list[Any], stream: bool) -> Told:
        self.messages += new
        request = {"model": self.model, "input": self.messages, "store": False, **self._settings()}
        if stream:
            with self.sdk.responses.stream(**request) as events:
                # The SDK's own last word is for answers that are whole.
                ends = [event for event in events if event.type in ("response.completed", "response.incomplete")]
                answer = ends[-1].response if ends[-1].type.endswith("incomplete") else events.get_final_response()
        else:
            answer = self.sdk.responses.create(**request)
        self.messages += answer.output
        return told_of_response(answer)

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if self.wanted.tools:
            settings["tools"] = [
                {"type": "function", "name": name, "description": f"The {name}", "parameters": TAKES, "strict": False}
                for name in TOOLS
            ]
        if self.wanted.schema:
            settings["text"] = {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}
        if self.wanted.thinking:
            settings |= {
                "reasoning": {"effort": "low", "summary": "auto"},
                "include": ["reasoning.encrypted_content"],
            }
        return settings


def told_of_response(answer: Any) -> Told:
    thought = "".join(part.text for item in answer.output if item.type == "reasoning" for part in item.summary)
    calls = [(item.name, json.loads(item.arguments)) for item in answer.output if item.type == "function_call"]
    finish = answer.incomplete_details.reason if answer.status == "incomplete" else answer.status
    usage = answer.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    read, thinking = usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens
    return Told(answer.output_text, thought, finish, calls, (usage.input_tokens, usage.output_tokens, read, thinking))


# Anthropic ------------------------------------------------------------------------------------------------------------


class MessagesTalk(Talk):
    def say(self, text: str, picture: str = "", *, stream: bool = False) -> Told:
        source = {"type": "base64", "media_type": "image/png", "data": picture}
        image = [{"type": "image", "source": source}] if picture else []
        return self._send([{"type": "text", "text": text}, *image], stream)

    def give(self, results: Sequence[str], *, stream: bool = False) -> Told:
        calls = [block for block in self.messages[-1]["content"] if block.type == "tool_use"]
        return self._send(
            [
                {"type": "tool_result", "tool_use_id": call.id, "content": said}
                for call, said in zip(calls, results, strict=True)
            ],
            stream,
        )

    def _send(self, content: list[Any], stream: bool) -> Told:
        self.messages.append({"role": "user", "content": content})
        request = {"model": self.model, "max_tokens": MAX_TOKENS, "messages": self.messages, **self._settings()}
        if stream:
            with self.sdk.messages.stream(**request) as events:
                answer = events.get_final_message()
        else:
            answer = self.sdk.messages.create(**request)
        self.messages.append({"role": "assistant", "content": answer.content})
        usage = answer.usage
        read = usage.cache_read_input_tokens or 0
        prompt = usage.input_tokens + read + (usage.cache_creation_input_tokens or 0)
        thought = usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else 0
        return Told(
            "".join(block.text for block in answer.content if block.type == "text"),
            "".join(block.thinking for block in answer.content if block.type == "thinking"),
            answer.stop_reason,
            [(block.name, block.input) for block in answer.content if block.type == "tool_use"],
            (prompt, usage.output_tokens, read, thought),
        )

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if self.wanted.tools:
            settings["tools"] = [{"name": name, "description": f"The {name}", "input_schema": TAKES} for name in TOOLS]
        if self.wanted.schema:
            settings["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if self.wanted.thinking:
            settings["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        return settings


# Google ---------------------------------------------------------------------------------------------------------------


class GeminiTalk(Talk):
    """A chat session of the SDK, which keeps the history itself."""

    def __init__(self, sdk: Any, model: str, wanted: Wanted = PLAIN) -> None:
        super().__init__(sdk, model, wanted)
        self._called: list[Any] = []

    def say(self, text: str, picture: str = "", *, stream: bool = False) -> Told:
        image = [google.Part.from_bytes(data=base64.b64decode(picture), mime_type="image/png")] if picture else []
        return self._send([google.Part.from_text(text=text), *image], stream)

    def give(self, results: Sequence[str], *, stream: bool = False) -> Told:
        answers = [
            google.FunctionResponse(id=call.id, name=call.name, response={"output": said})
            for call, said in zip(self._called, results, strict=True)
        ]
        return self._send([google.Part(function_response=each) for each in answers], stream)

    def _send(self, parts: list[Any], stream: bool) -> Told:
        chat = self.sdk.chats.create(model=self.model, config=self._settings(), history=self.messages)
        answers = [*chat.send_message_stream(parts)] if stream else [chat.send_message(parts)]
        self.messages = chat.get_history(curated=True)
        candidates = [answer.candidates[0] for answer in answers if answer.candidates]
        said = [part for each in candidates if each.content for part in each.content.parts or ()]
        self._called = [part.function_call for part in said if part.function_call]
        usage = [answer.usage_metadata for answer in answers if answer.usage_metadata][-1]
        thought = usage.thoughts_token_count or 0
        completion = (usage.candidates_token_count or 0) + thought
        assert usage.total_token_count == usage.prompt_token_count + completion
        return Told(
            "".join(part.text for part in said if part.text and not part.thought),
            "".join(part.text for part in said if part.text and part.thought),
            next((each.finish_reason.value for each in candidates if each.finish_reason), ""),
            [(call.name, call.args) for call in self._called],
            (usage.prompt_token_count, completion, usage.cached_content_token_count or 0, thought),
        )

    def _settings(self) -> Any:
        settings: dict[str, Any] = {"automatic_function_calling": {"disable": True}}
        if self.wanted.tools:
            tools = [{"name": name, "description": f"The {name}", "parameters_json_schema": TAKES} for name in TOOLS]
            settings["tools"] = [{"function_declarations": tools}]
        if self.wanted.schema:
            settings |= {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
        if self.wanted.thinking:
            settings["thinking_config"] = {"include_thoughts": True, "thinking_level": "low"}
        return google.GenerateContentConfig(**settings)


# Ollama ---------------------------------------------------------------------------------------------------------------


class OllamaTalk(Talk):
    """Its SDK has no ids of calls: results are told apart by the tool."""

    def say(self, text: str, picture: str = "", *, stream: bool = False) -> Told:
        return self._send([{"role": "user", "content": text, **({"images": [picture]} if picture else {})}], stream)

    def give(self, results: Sequence[str], *, stream: bool = False) -> Told:
        calls = self.messages[-1].tool_calls
        return self._send(
            [
                {"role": "tool", "tool_name": call.function.name, "content": said}
                for call, said in zip(calls, results, strict=True)
            ],
            stream,
        )

    def _send(self, new: list[Any], stream: bool) -> Told:
        self.messages += new
        request = {"model": self.model, "messages": self.messages, **self._settings()}
        answers = [*self.sdk.chat(**request, stream=True)] if stream else [self.sdk.chat(**request)]
        assert [answer.done for answer in answers] == [False] * (len(answers) - 1) + [True]
        calls = [call for answer in answers for call in answer.message.tool_calls or ()]
        text = "".join(answer.message.content or "" for answer in answers)
        thought = "".join(answer.message.thinking or "" for answer in answers)
        self.messages.append(
            ollama.Message(role="assistant", content=text, thinking=thought or None, tool_calls=calls or None)
        )
        last = answers[-1]
        return Told(
            text,
            thought,
            last.done_reason,
            [(call.function.name, dict(call.function.arguments)) for call in calls],
            (last.prompt_eval_count, last.eval_count, 0, 0),
        )

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if self.wanted.tools:
            settings["tools"] = [
                {"type": "function", "function": {"name": name, "description": f"The {name}", "parameters": TAKES}}
                for name in TOOLS
            ]
        if self.wanted.schema:
            settings["format"] = SCHEMA
        if self.wanted.thinking:
            settings["think"] = True
        return settings


# The table ------------------------------------------------------------------------------------------------------------

KEY = "sk-client-of-ours"


def _openai(url: str, key: str = KEY) -> Any:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)


def _anthropic(url: str, key: str = KEY) -> Any:
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=30)


def _google(url: str, key: str = KEY) -> Any:
    return genai.Client(api_key=key, http_options=google.HttpOptions(base_url=url, timeout=30_000))


def _ollama(url: str, key: str = KEY) -> Any:
    return ollama.Client(host=url, timeout=30, headers={"authorization": f"Bearer {key}"})


class Client(NamedTuple):
    """``hears``: what of a meaning it has words for, beside text, finish, prompt and completion."""

    made: Callable[..., Any]
    talk: type[Talk]
    finishes: Mapping[str, str]
    hears: frozenset[str] = frozenset(("thought", "calls", "ids", "cached", "reasoning"))


_OPENAI = {each: each for each in ("stop", "length", "tool_calls", "content_filter")}
CLIENTS: Mapping[str, Client] = {
    "openai_chat": Client(_openai, ChatTalk, _OPENAI),
    "openai_responses": Client(
        _openai,
        ResponsesTalk,
        {
            "stop": "completed",
            "length": "max_output_tokens",
            "tool_calls": "completed",
            "content_filter": "content_filter",
        },
    ),
    "openai_completions": Client(_openai, CompletionTalk, _OPENAI, frozenset(("cached", "reasoning"))),
    "anthropic": Client(
        _anthropic,
        MessagesTalk,
        {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"},
    ),
    "google": Client(
        _google,
        GeminiTalk,
        {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"},
    ),
    "ollama": Client(
        _ollama,
        OllamaTalk,
        {"stop": "stop", "length": "length", "tool_calls": "stop", "content_filter": "content_filter"},
        frozenset(("thought", "calls")),
    ),
}


def expected(client: Client, family: Family, said: Said) -> Told:
    """Of what was said, as much as the vendor can tell and the client can hear."""
    tells = family.tells & client.hears
    if "calls" not in client.hears:
        assert not said.calls
    usage = (
        said.prompt,
        said.completion,
        said.cached if "cached" in tells else 0,
        said.reasoning if "reasoning" in tells else 0,
    )
    return Told(
        said.text,
        said.thought if "thought" in tells else "",
        client.finishes[said.reason],
        [_read(call) for call in said.calls],
        usage,
    )


def _read(call: Call) -> tuple[str, Any]:
    return call.name, call.arguments
