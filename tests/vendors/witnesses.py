"""The same conversations, written by hand in OpenAI's words and in those of each vendor's own SDK."""

from __future__ import annotations

import base64
from typing import Any

from google.genai import types

PNG, PDF, SIGNATURE = (base64.b64encode(each).decode() for each in (b"\x89PNG not really", b"%PDF-1.7 \xff", b"signed"))
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
REPORT = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "As it is written there"},
        "degrees": {"type": "array", "items": {"type": "number"}},
        "sky": {"anyOf": [{"type": "string", "enum": ["sun", "rain"]}, {"type": "null"}]},
    },
    "required": ["city", "degrees", "sky"],
    "additionalProperties": False,
}
HOW, AND, GOOD = "How is Zürich? 🌞", "And in short?", "Sunny\n21°C"
LOOK = "I look it up."
FIRST, SECOND = "call00001", "call00002"
"""Ids that every vendor takes: those of other shapes are in ``tests/dialects``."""

# OpenAI ---------------------------------------------------------------------------------------------------------------


def _tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": f"The {name} there", "parameters": CITY}}


def _call(call_id: str, name: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": '{"city": "Zürich"}'}}


def _result(call_id: str, said: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": said}


_ASK: dict[str, Any] = {"messages": [{"role": "user", "content": HOW}], "max_tokens": 1000}
_TOOLS = {"tools": [_tool("weather"), _tool("time")]}
ASKED: dict[str, dict[str, Any]] = {
    "plain": {"messages": [{"role": "user", "content": HOW}]},
    "system": {
        **_ASK,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": GOOD},
            {"role": "user", "content": [{"type": "text", "text": AND}]},
        ],
    },
    "limits": {**_ASK, "max_tokens": None, "max_completion_tokens": 1000, "temperature": 0.5, "stop": ["END", "STOP"]},
    "numbers": {**_ASK, "top_p": 0.75, "seed": 7, "frequency_penalty": 0.5, "presence_penalty": 0.25},
    "tools": {**_ASK, **_TOOLS},
    "tool required": {**_ASK, **_TOOLS, "tool_choice": "required"},
    "tool named": {
        **_ASK,
        **_TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "time"}},
        "parallel_tool_calls": False,
    },
    "no tool": {**_ASK, **_TOOLS, "tool_choice": "none"},
    "result": {
        **_ASK,
        **_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": None, "tool_calls": [_call(FIRST, "weather")]},
            _result(FIRST, GOOD),
        ],
    },
    "parallel results": {
        **_ASK,
        **_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": LOOK, "tool_calls": [_call(FIRST, "weather"), _call(SECOND, "time")]},
            _result(FIRST, GOOD),
            _result(SECOND, "12:00"),
            {"role": "user", "content": AND},
        ],
    },
    "image": {
        **_ASK,
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
        **_ASK,
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                    },
                    {"type": "text", "text": HOW},
                ],
            }
        ],
    },
    "schema": {
        **_ASK,
        "response_format": {"type": "json_schema", "json_schema": {"name": "report", "schema": REPORT, "strict": True}},
    },
    "effort": {**_ASK, "max_tokens": 9000, "reasoning_effort": "low"},
    "budget": {**_ASK, "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2000}},
    "no thinking": {**_ASK, "reasoning_effort": "none"},
    "thoughts": {
        **_ASK,
        **_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {
                "role": "assistant",
                "content": None,
                "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}],
                "tool_calls": [
                    {
                        **_call(FIRST, "weather"),
                        "extra_content": {"google": {"thought_signature": SIGNATURE}},
                    }
                ],
            },
            _result(FIRST, GOOD),
        ],
    },
}
"""Case -> what the gateway's client says. The model and ``stream`` are said with it."""

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
    return types.Part(
        function_response=types.FunctionResponse(id=call_id, name=name, response={"output": said})
    )


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
            _content(
                "model", types.Part(text=LOOK), _function_call(FIRST, "weather"), _function_call(SECOND, "time")
            ),
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
            {"document": {"format": "pdf", "name": "a pdf", "source": {"bytes": base64.b64decode(PDF)}}},
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
    "tools": {**_MISTRAL, **_TOOLS},
    "tool required": {**_MISTRAL, **_TOOLS, "tool_choice": "required"},
    "tool named": {
        **_MISTRAL,
        **_TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "time"}},
        "parallel_tool_calls": False,
    },
    "no tool": {**_MISTRAL, **_TOOLS, "tool_choice": "none"},
    "result": {
        **_MISTRAL,
        **_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "tool_calls": [_call(FIRST, "weather")]},
            _result(FIRST, GOOD),
        ],
    },
    "parallel results": {
        **_MISTRAL,
        **_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": LOOK, "tool_calls": [_call(FIRST, "weather"), _call(SECOND, "time")]},
            _result(FIRST, GOOD),
            _result(SECOND, "12:00"),
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
    "tools": {**_COHERE, **_TOOLS},
    "tool required": {**_COHERE, **_TOOLS, "tool_choice": "REQUIRED"},
    # There is no word for one of them: only that one is on offer.
    "tool named": {**_COHERE, "tools": [_tool("time")], "tool_choice": "REQUIRED"},
    "no tool": {**_COHERE, **_TOOLS, "tool_choice": "NONE"},
    "result": {
        **_COHERE,
        **_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "tool_calls": [_call(FIRST, "weather")]},
            _result(FIRST, GOOD),
        ],
    },
    "parallel results": {
        **_COHERE,
        **_TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "tool_plan": LOOK, "tool_calls": [_call(FIRST, "weather"), _call(SECOND, "time")]},
            _result(FIRST, GOOD),
            _result(SECOND, "12:00"),
            {"role": "user", "content": AND},
        ],
    },
    "image": MISTRAL["image"],
    "schema": {**_COHERE, "response_format": {"type": "json_object", "schema": REPORT}},
    "effort": {**_COHERE, "max_tokens": 9000, "thinking": {"type": "enabled", "token_budget": 1024}},
    "budget": {**_COHERE, "max_tokens": 9000, "thinking": {"type": "enabled", "token_budget": 2000}},
    "no thinking": {**_COHERE, "thinking": {"type": "disabled"}},
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
    "tools": _ollama(**_TOOLS),
    "no tool": _ollama(),
    "result": _ollama(
        {"role": "user", "content": HOW},
        {"role": "assistant", "tool_calls": [_local_call("weather")]},
        {"role": "tool", "content": GOOD, "tool_name": "weather"},
        **_TOOLS,
    ),
    "parallel results": _ollama(
        {"role": "user", "content": HOW},
        {"role": "assistant", "content": LOOK, "tool_calls": [_local_call("weather"), _local_call("time")]},
        {"role": "tool", "content": GOOD, "tool_name": "weather"},
        {"role": "tool", "content": "12:00", "tool_name": "time"},
        {"role": "user", "content": AND},
        **_TOOLS,
    ),
    "image": _ollama({"role": "user", "content": HOW, "images": [base64.b64decode(PNG)]}),
    "schema": _ollama(format=REPORT),
    "effort": _ollama(limit=9000, think=True),
    "no thinking": _ollama(think=False),
}
