"""How many tokens a request probably has, where nobody can be asked who knows.

A token is about a word, or four characters of English (https://ai.google.dev/gemini-api/docs/tokens), and about one
character of Chinese, Japanese or Korean (https://api-docs.deepseek.com/quick_start/token_usage). What stands around
messages and tools differs from model to model; the longer a conversation is, the less it matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.chat import (
    Blob,
    ChatRequest,
    File,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolCallResponse,
    Uri,
)

_LETTERS = 4
"""Characters of a token, where nobody looks closer."""
_LONG, _LONGER = re.compile(r"[^\W\d_]{10,}"), 6
"""Words that are more than one token, and how many of their letters are one."""
_PIECES = re.compile(r"[^\W\d_]+|\d{1,3}|[^\w\s]{1,3}|_+|\n\s*|[ \t]{2,}")
"""As tokenizers cut a text before they look at it closely: words, digits by three, signs, the blanks of an indentation;
the one blank before a word is part of it (https://github.com/openai/tiktoken)."""
_WHOLE_SIGNS = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
"""Chinese, Japanese and Korean, and their punctuation."""
# Of longer texts, samples from all over them: to look at all of many megabytes would hold up everybody else.
_CLOSELY, _SAMPLES = 2**16, 32
# https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken
_MESSAGE, _BEGINNING = 4, 3

# What a model is told of how tools are called, beside what they are: "tool use system prompt token count",
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing
_CLAUDE_TOOLS = 497
# "Claude automatically receives an additional system prompt", so long in recorded answers:
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs
_CLAUDE_SCHEMA = 140

# An image that fills one tile: https://developers.openai.com/api/docs/guides/images-vision (85, and 170 for each of
# four tiles), https://platform.claude.com/docs/en/build-with-claude/vision (a token for 750 pixels),
# https://ai.google.dev/gemini-api/docs/tokens (258 a tile).
_IMAGE, _GEMINI_IMAGE = 765, 258
# A page of a document, as text and as an image: https://platform.claude.com/docs/en/build-with-claude/pdf-support
_PAGE, _PAGE_BYTES = 2000, 60_000
# https://ai.google.dev/gemini-api/docs/audio: 32 tokens a second; of MP3 at 128 kbit/s.
_SOUND_BYTES_PER_TOKEN = 500


def estimate(request: ChatRequest) -> int:
    """Of all that the model would read. Linear in the request; never raises."""
    model = request.model.lower()
    messages = sum(_MESSAGE + _tokens_of(message.parts, model) for message in request.messages)
    is_claude = "claude" in model
    tools = sum(_tool(tool, is_claude) for tool in request.tools)
    if request.tools and is_claude:
        tools += _CLAUDE_TOOLS
    output = _output(request.output.schema, is_claude) if request.output and request.output.schema else 0
    return _BEGINNING + messages + tools + output


def _tokens_of(parts: Iterable[Part], model: str) -> int:
    return sum(_part(part, model) for part in parts)


def _part(part: Part, model: str) -> int:
    match part:
        case Text() | Refusal():
            return _text(part.content)
        case Reasoning():
            # What cannot be read is as long as what it hides: base64 of about as many bytes.
            return _text(part.content) or len(part.opaque or "") // (_LETTERS + 1)
        case ToolCall():
            return _text(part.name) + _text(part.arguments)
        case ToolCallResponse():
            return _tokens_of(part.parts, model)
        case _:
            return _medium(part, model)


def _medium(part: Blob | Uri | File, model: str) -> int:
    """Its size tells little of a picture, and of what lies elsewhere nothing is known."""
    if part.modality == "image" or not isinstance(part, Blob):
        return _GEMINI_IMAGE if "gemini" in model else _IMAGE
    size = len(part.content) * 3 // 4
    if part.mime_type.startswith("text/"):
        return size // _LETTERS
    if part.modality == "document":
        return _PAGE * (1 + size // _PAGE_BYTES)
    return size // _SOUND_BYTES_PER_TOKEN


def _tool(tool: Tool, as_json: bool) -> int:
    """Claude reads it as it is written; others are shown it with fewer signs."""
    said = _json({"name": tool.name, "description": tool.description, "parameters": tool.parameters})
    return _text(said if as_json else _SIGNS.sub(" ", said))


_SIGNS = re.compile(r"[^\w\s]+")


def _output(schema: dict[str, Any], is_claude: bool) -> int:
    return _text(_json(schema)) + (_CLAUDE_SCHEMA if is_claude else 0)


def _text(text: str) -> int:
    if len(text) <= _CLOSELY:
        return _closely(text)
    size = _CLOSELY // _SAMPLES
    sample = " ".join(text[at : at + size] for at in range(0, len(text), len(text) // _SAMPLES))
    return _closely(sample) * len(text) // len(sample)


def _closely(text: str) -> int:
    signs = 0 if text.isascii() else len(_WHOLE_SIGNS.findall(text))
    rest = _WHOLE_SIGNS.sub(" ", text) if signs else text
    more = sum((len(word) - 1) // _LONGER for word in _LONG.findall(rest))
    return signs + len(_PIECES.findall(rest)) + more


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
