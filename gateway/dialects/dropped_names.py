"""What a target could not be told, in the words of the client that said it.

Egress dialects name it in OpenAI's words, which are the hub's, and by the place it has in the hub
(``messages[3].reasoning_content``). What stands in the request under a name of its own keeps that; of the rest a client
of another dialect would not know the words, nor the numbers: its messages are split and put together on the way.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping

_NUMBER = re.compile(r"\[\d+\]")
_CACHE = "cache_control"
_IN = "generationConfig."

# A name -> the client's; of a name that is not here what comes before a dot or a bracket is looked up.
_WORDS: Mapping[str, Mapping[str, str]] = {
    "anthropic_messages": {
        "reasoning_effort": "thinking",
        "response_format": "output_config.format",
        "user": "metadata.user_id",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
        "stop": "stop_sequences",
        "tools[].function.strict": "tools[].strict",
        "messages[].is_error": "messages[].content[].is_error",
    },
    "openai_responses": {
        "reasoning_effort": "reasoning.effort",
        "thinking": "reasoning",
        "response_format": "text.format",
        "verbosity": "text.verbosity",
        "max_tokens": "max_output_tokens",
        "tools[].function.strict": "tools[].strict",
        "messages[].is_error": "input[].status",
        "messages[].content[].image_url.detail": "input[].content[].detail",
        "messages[].content[].file.filename": "input[].content[].filename",
        "messages": "input",
    },
    "gemini": {
        "reasoning_effort": f"{_IN}thinkingConfig",
        "thinking": f"{_IN}thinkingConfig",
        "response_format": f"{_IN}responseMimeType",
        "response_format.json_schema": f"{_IN}responseJsonSchema",
        "temperature": f"{_IN}temperature",
        "top_p": f"{_IN}topP",
        "top_k": f"{_IN}topK",
        "max_tokens": f"{_IN}maxOutputTokens",
        "stop": f"{_IN}stopSequences",
        "seed": f"{_IN}seed",
        "frequency_penalty": f"{_IN}frequencyPenalty",
        "presence_penalty": f"{_IN}presencePenalty",
        "n": f"{_IN}candidateCount",
        "logprobs": f"{_IN}responseLogprobs",
        "top_logprobs": f"{_IN}logprobs",
        "service_tier": "serviceTier",
        "tool_choice": "toolConfig.functionCallingConfig",
        "messages[].is_error": "contents[].parts[].functionResponse.response",
        "messages[].content[]": "contents[].parts[]",
        "messages[].content[].file.filename": "contents[].parts[].displayName",
        "messages": "contents",
    },
    "ollama_chat": {
        "reasoning_effort": "think",
        "thinking": "think",
        "response_format": "format",
        "max_tokens": "options.num_predict",
        **{
            name: f"options.{name}"
            for name in ("temperature", "top_p", "top_k", "seed", "stop", "frequency_penalty", "presence_penalty")
        },
    },
}
_WORDS = {**_WORDS, "ollama_generate": _WORDS["ollama_chat"]}

_THOUGHTS: Mapping[str, str] = {
    "anthropic_messages": "messages[].content[].thinking",
    "openai_responses": "input[].reasoning",
    "gemini": "contents[].parts[].thoughtSignature",
    "ollama_chat": "messages[].thinking",
    "ollama_generate": "messages[].thinking",
}
_OF_THOUGHTS = re.compile(
    r"messages\[\]\.(?:.*\.)?"
    r"(?:reasoning_content|reasoning_details|reasoning|thinking_blocks|extra_content|thought_signature)"
)


def for_client(client: str, dropped: Iterable[str], own: Container[str]) -> tuple[str, ...]:
    """``client``: its dialect; ``own``: what the request names itself, ``ChatRequest.extra``. Each name once."""
    words = _WORDS.get(client)
    return tuple(dict.fromkeys(name if name in own else _named(client, name, words) for name in dropped))


def _named(client: str, name: str, words: Mapping[str, str] | None) -> str:
    """1. OpenAI's clients know the words. 2. A marker is one wherever it stands. 3. The longest name that is known."""
    if words is None:
        return name
    if name == _CACHE or name.endswith(f".{_CACHE}"):
        return _CACHE
    name = _NUMBER.sub("[]", name)
    if _OF_THOUGHTS.fullmatch(name):
        return _THOUGHTS[client]
    for end in range(len(name), 0, -1):
        if (end == len(name) or name[end] in ".[") and (known := words.get(name[:end])):
            # Below a field of another shape the rest of the name means nothing.
            return known + (name[end:] if name.startswith("messages") else "")
    return name
