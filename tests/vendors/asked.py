"""Conversations in OpenAI's words. ``witnesses`` has them in those of each vendor's own SDK."""

from __future__ import annotations

import base64
from typing import Any

PNG, PDF, WAV, SIGNATURE = (
    base64.b64encode(each).decode() for each in (b"\x89PNG not really", b"%PDF-1.7 \xff", b"RIFF", b"signed")
)
ELSEWHERE = "https://example.com/a.png"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = {**CITY, "additionalProperties": False}
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


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": f"The {name} there", "parameters": CITY}}


def call(call_id: str, name: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": '{"city": "Zürich"}'}}


def result(call_id: str, said: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": said}


_ASK: dict[str, Any] = {"messages": [{"role": "user", "content": HOW}], "max_tokens": 1000}
TOOLS = {"tools": [tool("weather"), tool("time")]}
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
    "tools": {**_ASK, **TOOLS},
    "tool required": {**_ASK, **TOOLS, "tool_choice": "required"},
    "tool named": {
        **_ASK,
        **TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "time"}},
        "parallel_tool_calls": False,
    },
    "no tool": {**_ASK, **TOOLS, "tool_choice": "none"},
    "result": {
        **_ASK,
        **TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": None, "tool_calls": [call(FIRST, "weather")]},
            result(FIRST, GOOD),
        ],
    },
    "parallel results": {
        **_ASK,
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
        **TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {
                "role": "assistant",
                "content": None,
                "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}],
                "tool_calls": [
                    {
                        **call(FIRST, "weather"),
                        "extra_content": {"google": {"thought_signature": SIGNATURE}},
                    }
                ],
            },
            result(FIRST, GOOD),
        ],
    },
    "developer": {
        **_ASK,
        "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": HOW}],
    },
    "cached": {
        **_ASK,
        "messages": [
            {
                "role": "system",
                "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            },
            {"role": "user", "content": HOW},
        ],
    },
    "image elsewhere": {
        **_ASK,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": HOW},
                    {"type": "image_url", "image_url": {"url": ELSEWHERE}},
                ],
            }
        ],
    },
    "image from a tool": {
        **_ASK,
        **TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "content": None, "tool_calls": [call(FIRST, "weather")]},
            {
                "role": "tool",
                "tool_call_id": FIRST,
                "content": [
                    {"type": "text", "text": GOOD},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                ],
            },
        ],
    },
    "sound": {
        **_ASK,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": HOW},
                    {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
                ],
            }
        ],
    },
    "strict tool": {
        **_ASK,
        "tools": [
            {"type": "function", "function": {**tool("weather")["function"], "parameters": CLOSED, "strict": True}}
        ],
    },
    "JSON": {**_ASK, "response_format": {"type": "json_object"}},
    "two answers": {**_ASK, "n": 2},
    "about": {**_ASK, "user": "u-1", "metadata": {"team": "weather"}},
    "own thoughts": {
        **_ASK,
        **TOOLS,
        "messages": [
            {"role": "user", "content": HOW},
            {"role": "assistant", "reasoning_content": "Hm.", "tool_calls": [call(FIRST, "weather")]},
            result(FIRST, GOOD),
        ],
    },
}
"""Case -> what the gateway's client says. The model and ``stream`` are said with it."""
