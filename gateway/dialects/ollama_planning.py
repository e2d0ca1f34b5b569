"""What is put into a request of Ollama's: instructions, a plan, or the question for one. As with OpenAI's messages, but
for the images, which stand beside the content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.dialects import openai_chat, openai_planning

Fields = dict[str, Any]

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_messages = msgspec.json.Decoder(list[Any])
_INSTRUCT = ("system", "developer")


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """The request with more messages before its own. What cannot be read is left as it is, to be refused later."""
    return openai_chat.prepended(body, [{**each, "role": _role(each.get("role"))} for each in messages])


def _role(said: Any) -> Any:
    return "system" if said in _INSTRUCT else said


def noted(body: bytes, note: str) -> bytes | None:
    """The request with a note at the end of the instructions it begins with. None: it cannot be read."""
    return openai_planning.noted(body, note)


def planning(body: bytes, instructions: str, request: str) -> bytes | None:
    """A request for a plan, as ``openai_planning`` makes it; left unsaid, it is streamed, as the client's own."""
    try:
        fields: dict[str, Any] = dict(openai_chat.fields_of(body))
        fields["messages"] = [_with_parts(each) for each in _messages.decode(fields["messages"])]
        made = openai_planning.planning(msgspec.json.encode(fields), instructions, request)
        if made is None:
            return None
        asked: dict[str, Any] = dict(_fields.decode(made))
        asked["messages"] = [_with_images(each) for each in _messages.decode(asked["messages"])]
        return msgspec.json.encode(asked)
    except (ValueError, KeyError, RecursionError):
        return None


def _with_parts(message: Any) -> Any:
    images = message.get("images") if isinstance(message, dict) else None
    if not isinstance(images, list) or not images:
        return message
    said = [{"type": "text", "text": openai_planning.text_of(message.get("content"))}]
    return {**message, "content": [*said, *({"type": "image", "image": image} for image in images)]}


def _with_images(message: Fields) -> Fields:
    content = message["content"]
    if isinstance(content, str):
        return message
    said: Fields = {**message, "content": openai_planning.text_of(content)}
    images = [part["image"] for part in content if isinstance(part, dict) and "image" in part]
    return {**said, "images": images} if images else said
