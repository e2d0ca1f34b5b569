"""The conversations of ``asked``, written by hand for each vendor's own SDK."""

from __future__ import annotations

import base64
from typing import Any

from google.genai import types

from tests.vendors.asked import (
    AND,
    ASKED,
    CITY,
    CLOSED,
    ELSEWHERE,
    FIRST,
    GOOD,
    HOW,
    LOOK,
    PDF,
    PNG,
    REPORT,
    SECOND,
    SIGNATURE,
    TOOLS,
    WAV,
    call,
    result,
    tool,
)

Conversations = dict[str, dict[str, Any]]
"""Case -> what the SDK is called with."""

# Anthropic ------------------------------------------------------------------------------------------------------------


def _claude_tool(name: str) -> dict[str, Any]:
    return {"name": name, "description": f"The {name} there", "input_schema": CITY}


def _claude_use(call_id: str, name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {"city": "Zürich"}}


def _claude_result(call_id: str, said: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": said}


_CLAUDE: dict[str, Any] = {"messages": [{"role": "user", "content": HOW}], "max_tokens": 1000}
_CLAUDE_TOOLS = {"tools": [_claude_tool("weather"), _claude_tool("time")]}
CLAUDE: Conversations = {
    "plain": {**_CLAUDE, "max_tokens": 4000},
    "system": {
        **_CLAUDE,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": GOOD},
            {"role": "user", "content": AND},
        ],
    },
    # The SDK has no words any more for what its own version of the API refuses.
    "limits": {**_CLAUDE, "stop_sequences": ["END", "STOP"], "extra_body": {"temperature": 0.5}},
    "numbers": {**_CLAUDE, "extra_body": {"top_p": 0.75}},
    "tools": {**_CLAUDE, **_CLAUDE_TOOLS},
    "tool required": {**_CLAUDE, **_CLAUDE_TOOLS, "tool_choice": {"type": "any"}},
    "tool named": {
        **_CLAUDE,
        **_CLAUDE_TOOLS,
        "tool_choice": {"type": "tool", "name": "time", "disable_parallel_tool_use": True},
    },
    "no tool": {**_CLAUDE, **_CLAUDE_TOOLS, "tool_choice": {"type": "none"}},
    "result": {
        **_CLAUDE,
        **_CLAUDE_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": [_claude_use(FIRST, "weather")]},
            {"role": "user", "content": [_claude_result(FIRST, GOOD)]},
        ],
    },
    "parallel results": {
        **_CLAUDE,
        **_CLAUDE_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": LOOK}, _claude_use(FIRST, "weather"), _claude_use(SECOND, "time")],
            },
            {
                "role": "user",
                "content": [
                    _claude_result(FIRST, GOOD),
                    _claude_result(SECOND, "12:00"),
                    {"type": "text", "text": AND},
                ],
            },
        ],
    },
    "image": {
        **_CLAUDE,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": HOW},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            }
        ],
    },
    "PDF": {
        **_CLAUDE,
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                        "title": "a.pdf",
                    },
                    {"type": "text", "text": HOW},
                ],
            }
        ],
    },
    "schema": {**_CLAUDE, "output_config": {"format": {"type": "json_schema", "schema": REPORT}}},
    "effort": {
        **_CLAUDE,
        "max_tokens": 9000,
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "low"},
    },
    "budget": {**_CLAUDE, "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2000}},
    "no thinking": {**_CLAUDE, "thinking": {"type": "disabled"}},
    "thoughts": {
        **_CLAUDE,
        **_CLAUDE_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE},
                    _claude_use(FIRST, "weather"),
                ],
            },
            {"role": "user", "content": [_claude_result(FIRST, GOOD)]},
        ],
    },
    "developer": {**_CLAUDE, "system": "Be brief."},
    "cached": {
        **_CLAUDE,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    },
    "image elsewhere": {
        **_CLAUDE,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": HOW},
                    {"type": "image", "source": {"type": "url", "url": ELSEWHERE}},
                ],
            }
        ],
    },
    "image from a tool": {
        **_CLAUDE,
        **_CLAUDE_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": [_claude_use(FIRST, "weather")]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": FIRST,
                        "content": [
                            {"type": "text", "text": GOOD},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                        ],
                    }
                ],
            },
        ],
    },
    "strict tool": {**_CLAUDE, "tools": [{**_claude_tool("weather"), "input_schema": CLOSED, "strict": True}]},
    "about": {**_CLAUDE, "metadata": {"user_id": "u-1"}},
}

# Google ---------------------------------------------------------------------------------------------------------------


def _content(role: str, *parts: types.Part) -> types.Content:
    return types.Content(role=role, parts=list(parts))


def _function(name: str) -> types.FunctionDeclaration:
    return types.FunctionDeclaration(name=name, description=f"The {name} there", parameters_json_schema=CITY)


def _function_call(call_id: str, name: str, signature: bytes | None = None) -> types.Part:
    call = types.FunctionCall(id=call_id, name=name, args={"city": "Zürich"})
    return types.Part(function_call=call, thought_signature=signature)


def _response(call_id: str, name: str, said: str) -> types.Part:
    return types.Part(function_response=types.FunctionResponse(id=call_id, name=name, response={"output": said}))


def _gemini(contents: Any = HOW, **config: Any) -> dict[str, Any]:
    config = {"max_output_tokens": 1000, **config}
    return {"contents": contents, "config": types.GenerateContentConfig(**config)}


def _calling(mode: str, *names: str) -> types.ToolConfig:
    return types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(
            mode=types.FunctionCallingConfigMode(mode), allowed_function_names=list(names) or None
        )
    )


_FUNCTIONS = {"tools": [types.Tool(function_declarations=[_function("weather"), _function("time")])]}
_HOW = types.Part(text=HOW)
GEMINI: Conversations = {
    "plain": {"contents": HOW},
    "system": _gemini(
        [
            _content("user", _HOW),
            _content("model", types.Part(text=GOOD)),
            _content("user", types.Part(text=AND)),
        ],
        system_instruction="Be brief.",
    ),
    "limits": _gemini(temperature=0.5, stop_sequences=["END", "STOP"]),
    "numbers": _gemini(top_p=0.75, seed=7, frequency_penalty=0.5, presence_penalty=0.25),
    "tools": _gemini(**_FUNCTIONS),
    "tool required": _gemini(**_FUNCTIONS, tool_config=_calling("ANY")),
    "tool named": _gemini(**_FUNCTIONS, tool_config=_calling("ANY", "time")),
    "no tool": _gemini(**_FUNCTIONS, tool_config=_calling("NONE")),
    "result": _gemini(
        [
            _content("user", _HOW),
            _content("model", _function_call(FIRST, "weather")),
            _content("user", _response(FIRST, "weather", GOOD)),
        ],
        **_FUNCTIONS,
    ),
    "parallel results": _gemini(
        [
            _content("user", _HOW),
            _content("model", types.Part(text=LOOK), _function_call(FIRST, "weather"), _function_call(SECOND, "time")),
            _content("user", _response(FIRST, "weather", GOOD), _response(SECOND, "time", "12:00")),
            _content("user", types.Part(text=AND)),
        ],
        **_FUNCTIONS,
    ),
    "image": _gemini([_HOW, types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")]),
    "PDF": _gemini([types.Part.from_bytes(data=base64.b64decode(PDF), mime_type="application/pdf"), _HOW]),
    "schema": _gemini(response_mime_type="application/json", response_json_schema=REPORT),
    "effort": _gemini(
        max_output_tokens=9000,
        thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW, include_thoughts=True),
    ),
    "budget": _gemini(
        max_output_tokens=9000, thinking_config=types.ThinkingConfig(thinking_budget=2000, include_thoughts=True)
    ),
    "no thinking": _gemini(thinking_config=types.ThinkingConfig(thinking_budget=0)),
    "thoughts": _gemini(
        [
            _content("user", _HOW),
            _content("model", _function_call(FIRST, "weather", base64.b64decode(SIGNATURE))),
            _content("user", _response(FIRST, "weather", GOOD)),
        ],
        **_FUNCTIONS,
    ),
    "developer": _gemini(system_instruction="Be brief."),
    "image from a tool": _gemini(
        [
            _content("user", _HOW),
            _content("model", _function_call(FIRST, "weather")),
            _content(
                "user",
                types.Part(
                    function_response=types.FunctionResponse(
                        id=FIRST,
                        name="weather",
                        response={"output": GOOD},
                        parts=[
                            types.FunctionResponsePart.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
                        ],
                    )
                ),
            ),
        ],
        **_FUNCTIONS,
    ),
    "sound": _gemini([_HOW, types.Part.from_bytes(data=base64.b64decode(WAV), mime_type="audio/wav")]),
    "JSON": _gemini(response_mime_type="application/json"),
    "two answers": _gemini(candidate_count=2),
}

# Bedrock --------------------------------------------------------------------------------------------------------------


def _spec(name: str) -> dict[str, Any]:
    return {"toolSpec": {"name": name, "description": f"The {name} there", "inputSchema": {"json": CITY}}}


def _use(call_id: str, name: str) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": call_id, "name": name, "input": {"city": "Zürich"}}}


def _used(call_id: str, said: str) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": call_id, "content": [{"text": said}]}}


def _turn(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def _converse(*turns: dict[str, Any], limit: int = 1000, **more: Any) -> dict[str, Any]:
    inference = {"maxTokens": limit, **more.pop("inferenceConfig", {})}
    return {"messages": list(turns or (_turn("user", {"text": HOW}),)), "inferenceConfig": inference, **more}


_SPECS = [_spec("weather"), _spec("time")]
CONVERSE: Conversations = {
    "plain": {"messages": [_turn("user", {"text": HOW})]},
    "system": _converse(
        _turn("user", {"text": HOW}),
        _turn("assistant", {"text": GOOD}),
        _turn("user", {"text": AND}),
        system=[{"text": "Be brief."}],
    ),
    "limits": _converse(inferenceConfig={"temperature": 0.5, "stopSequences": ["END", "STOP"]}),
    "numbers": _converse(inferenceConfig={"topP": 0.75}),
    "tools": _converse(toolConfig={"tools": _SPECS}),
    "tool required": _converse(toolConfig={"tools": _SPECS, "toolChoice": {"any": {}}}),
    "tool named": _converse(toolConfig={"tools": _SPECS, "toolChoice": {"tool": {"name": "time"}}}),
    "no tool": _converse(),
    "result": _converse(
        _turn("user", {"text": HOW}),
        _turn("assistant", _use(FIRST, "weather")),
        _turn("user", _used(FIRST, GOOD)),
        toolConfig={"tools": _SPECS},
    ),
    "parallel results": _converse(
        _turn("user", {"text": HOW}),
        _turn("assistant", {"text": LOOK}, _use(FIRST, "weather"), _use(SECOND, "time")),
        _turn("user", _used(FIRST, GOOD), _used(SECOND, "12:00"), {"text": AND}),
        toolConfig={"tools": _SPECS},
    ),
    "image": _converse(
        _turn("user", {"text": HOW}, {"image": {"format": "png", "source": {"bytes": base64.b64decode(PNG)}}})
    ),
    "PDF": _converse(
        _turn(
            "user",
            {"document": {"format": "pdf", "name": "a", "source": {"bytes": base64.b64decode(PDF)}}},
            {"text": HOW},
        )
    ),
    "schema": _converse(
        outputConfig={
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"name": "report", "schema": REPORT}},
            }
        }
    ),
    "effort": _converse(
        limit=9000,
        additionalModelRequestFields={"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
    ),
    "budget": _converse(
        limit=9000, additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 2000}}
    ),
    "no thinking": _converse(additionalModelRequestFields={"thinking": {"type": "disabled"}}),
    "thoughts": _converse(
        _turn("user", {"text": HOW}),
        _turn(
            "assistant",
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": SIGNATURE}}},
            _use(FIRST, "weather"),
        ),
        _turn("user", _used(FIRST, GOOD)),
        toolConfig={"tools": _SPECS},
    ),
    "developer": _converse(system=[{"text": "Be brief."}]),
    "cached": _converse(system=[{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]),
    "image from a tool": _converse(
        _turn("user", {"text": HOW}),
        _turn("assistant", _use(FIRST, "weather")),
        _turn(
            "user",
            {
                "toolResult": {
                    "toolUseId": FIRST,
                    "content": [
                        {"text": GOOD},
                        {"image": {"format": "png", "source": {"bytes": base64.b64decode(PNG)}}},
                    ],
                }
            },
        ),
        toolConfig={"tools": _SPECS},
    ),
    "sound": _converse(
        _turn("user", {"text": HOW}, {"audio": {"format": "wav", "source": {"bytes": base64.b64decode(WAV)}}})
    ),
    "strict tool": _converse(
        toolConfig={
            "tools": [{"toolSpec": {**_spec("weather")["toolSpec"], "inputSchema": {"json": CLOSED}, "strict": True}}]
        }
    ),
    "about": _converse(requestMetadata={"team": "weather"}),
}

# Mistral --------------------------------------------------------------------------------------------------------------

_MISTRAL: dict[str, Any] = {"messages": [{"role": "user", "content": HOW}], "max_tokens": 1000}
MISTRAL: Conversations = {
    "plain": {"messages": [{"role": "user", "content": HOW}]},
    "system": {
        **_MISTRAL,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": GOOD},
            {"role": "user", "content": [{"type": "text", "text": AND}]},
        ],
    },
    "limits": {**_MISTRAL, "temperature": 0.5, "stop": ["END", "STOP"]},
    "numbers": {**_MISTRAL, "top_p": 0.75, "random_seed": 7, "frequency_penalty": 0.5, "presence_penalty": 0.25},
    "tools": {**_MISTRAL, **TOOLS},
    "tool required": {**_MISTRAL, **TOOLS, "tool_choice": "required"},
    "tool named": {
        **_MISTRAL,
        **TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "time"}},
        "parallel_tool_calls": False,
    },
    "no tool": {**_MISTRAL, **TOOLS, "tool_choice": "none"},
    "result": {
        **_MISTRAL,
        **TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": None, "tool_calls": [call(FIRST, "weather")]},
            result(FIRST, GOOD),
        ],
    },
    "parallel results": {
        **_MISTRAL,
        **TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": LOOK, "tool_calls": [call(FIRST, "weather"), call(SECOND, "time")]},
            result(FIRST, GOOD),
            result(SECOND, "12:00"),
            {"role": "user", "content": AND},
        ],
    },
    "image": {
        **_MISTRAL,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": HOW},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                ],
            }
        ],
    },
    "PDF": {
        **_MISTRAL,
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "document_url",
                        "document_url": f"data:application/pdf;base64,{PDF}",
                        "document_name": "a.pdf",
                    },
                    {"type": "text", "text": HOW},
                ],
            }
        ],
    },
    "schema": {
        **_MISTRAL,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "report", "schema_definition": REPORT, "strict": True},
        },
    },
    "effort": {**_MISTRAL, "max_tokens": 9000, "reasoning_effort": "low"},
    "no thinking": {**_MISTRAL, "reasoning_effort": "none"},
    "developer": {
        **_MISTRAL,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HOW}],
    },
    "image elsewhere": ASKED["image elsewhere"],
    "image from a tool": ASKED["image from a tool"],
    "sound": {
        **_MISTRAL,
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": HOW}, {"type": "input_audio", "input_audio": WAV}],
            }
        ],
    },
    "strict tool": ASKED["strict tool"],
    "JSON": {**_MISTRAL, "response_format": {"type": "json_object"}},
    "two answers": {**_MISTRAL, "n": 2},
    "about": {**_MISTRAL, "metadata": {"team": "weather"}},
}

# Cohere ---------------------------------------------------------------------------------------------------------------

_COHERE: dict[str, Any] = {"messages": [{"role": "user", "content": HOW}], "max_tokens": 1000}
COHERE: Conversations = {
    "plain": {"messages": [{"role": "user", "content": HOW}]},
    "system": {
        **_COHERE,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": GOOD},
            {"role": "user", "content": AND},
        ],
    },
    "limits": {**_COHERE, "temperature": 0.5, "stop_sequences": ["END", "STOP"]},
    "numbers": {**_COHERE, "p": 0.75, "seed": 7, "frequency_penalty": 0.5, "presence_penalty": 0.25},
    "tools": {**_COHERE, **TOOLS},
    "tool required": {**_COHERE, **TOOLS, "tool_choice": "REQUIRED"},
    # There is no word for one of them: only that one is on offer.
    "tool named": {**_COHERE, "tools": [tool("time")], "tool_choice": "REQUIRED"},
    "no tool": {**_COHERE, **TOOLS, "tool_choice": "NONE"},
    "result": {
        **_COHERE,
        **TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "tool_calls": [call(FIRST, "weather")]},
            result(FIRST, GOOD),
        ],
    },
    "parallel results": {
        **_COHERE,
        **TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "tool_plan": LOOK, "tool_calls": [call(FIRST, "weather"), call(SECOND, "time")]},
            result(FIRST, GOOD),
            result(SECOND, "12:00"),
            {"role": "user", "content": AND},
        ],
    },
    "image": MISTRAL["image"],
    "schema": {**_COHERE, "response_format": {"type": "json_object", "schema": REPORT}},
    "effort": {**_COHERE, "max_tokens": 9000, "thinking": {"type": "enabled", "token_budget": 1024}},
    "budget": {**_COHERE, "max_tokens": 9000, "thinking": {"type": "enabled", "token_budget": 2000}},
    "no thinking": {**_COHERE, "thinking": {"type": "disabled"}},
    "developer": {
        **_COHERE,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HOW}],
    },
    "image elsewhere": ASKED["image elsewhere"],
    "strict tool": {
        **_COHERE,
        "tools": [{"type": "function", "function": {**tool("weather")["function"], "parameters": CLOSED}}],
        "strict_tools": True,
    },
    "JSON": {**_COHERE, "response_format": {"type": "json_object"}},
}

# Ollama ---------------------------------------------------------------------------------------------------------------


def _local_call(name: str) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": {"city": "Zürich"}}}


def _ollama(*messages: dict[str, Any], limit: int = 1000, **more: Any) -> dict[str, Any]:
    options = {"num_predict": limit, **more.pop("options", {})}
    return {"messages": list(messages or ({"role": "user", "content": HOW},)), "options": options, **more}


OLLAMA: Conversations = {
    "plain": {"messages": [{"role": "user", "content": HOW}]},
    "system": _ollama(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": HOW},
        {"role": "assistant", "content": GOOD},
        {"role": "user", "content": AND},
    ),
    "limits": _ollama(options={"temperature": 0.5, "stop": ["END", "STOP"]}),
    "numbers": _ollama(options={"top_p": 0.75, "seed": 7, "frequency_penalty": 0.5, "presence_penalty": 0.25}),
    "tools": _ollama(**TOOLS),
    "no tool": _ollama(),
    "result": _ollama(
        {"role": "user", "content": HOW},
        {"role": "assistant", "tool_calls": [_local_call("weather")]},
        {"role": "tool", "content": GOOD, "tool_name": "weather"},
        **TOOLS,
    ),
    "parallel results": _ollama(
        {"role": "user", "content": HOW},
        {"role": "assistant", "content": LOOK, "tool_calls": [_local_call("weather"), _local_call("time")]},
        {"role": "tool", "content": GOOD, "tool_name": "weather"},
        {"role": "tool", "content": "12:00", "tool_name": "time"},
        {"role": "user", "content": AND},
        **TOOLS,
    ),
    "image": _ollama({"role": "user", "content": HOW, "images": [base64.b64decode(PNG)]}),
    "schema": _ollama(format=REPORT),
    "effort": _ollama(limit=9000, think=True),
    "no thinking": _ollama(think=False),
    "developer": _ollama({"role": "system", "content": "Be brief."}, {"role": "user", "content": HOW}),
    "image from a tool": _ollama(
        {"role": "user", "content": HOW},
        {"role": "assistant", "tool_calls": [_local_call("weather")]},
        {"role": "tool", "content": GOOD, "tool_name": "weather", "images": [base64.b64decode(PNG)]},
        **TOOLS,
    ),
    "JSON": _ollama(format="json"),
    "own thoughts": _ollama(
        {"role": "user", "content": HOW},
        {"role": "assistant", "thinking": "Hm.", "tool_calls": [_local_call("weather")]},
        {"role": "tool", "content": GOOD, "tool_name": "weather"},
        **TOOLS,
    ),
}
