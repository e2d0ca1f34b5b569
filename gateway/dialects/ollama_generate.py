"""Ollama's answer to a single prompt: https://docs.ollama.com/api/generate. No vendor is spoken to in it.

In the hub it is a chat of one message. What only a bare model could be told (``raw``, ``template``, ``context``, the
``suffix`` to fill in before) has no place there, and is dropped by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from gateway.chat import ChatRequest, Facts, Message, Operation, Text
from gateway.dialects import ollama_asked
from gateway.dialects.conversation import NO_CONVERSATION, Conversation
from gateway.dialects.fields import object_of, string, words
from gateway.dialects.mending import decoded
from gateway.dialects.ollama_passing import glimpse as glimpse
from gateway.dialects.ollama_passing import read_whole as read_whole
from gateway.dialects.ollama_passing import rewrite as rewrite
from gateway.dialects.ollama_passing import spoken as spoken
from gateway.dialects.ollama_told import encode_answer as _encode_answer
from gateway.dialects.ollama_told import error_body as error_body
from gateway.dialects.ollama_told import error_frame as error_frame
from gateway.dialects.ollama_told import of_generate
from gateway.dialects.ollama_told import stream_encoder as _stream_encoder
from gateway.dialects.openai_conversation import conversation as openai_conversation
from gateway.dialects.openai_planning import appended
from gateway.dialects.unresumed import continuation as continuation
from gateway.dialects.unresumed import identity as identity
from gateway.dialects.unresumed import restamp as restamp
from gateway.dialects.unresumed import without_usage as without_usage
from gateway.dialects.unstreamed import cleared as cleared
from gateway.dialects.unstreamed import skim as skim
from gateway.dialects.unstreamed import with_cost as with_cost
from gateway.errors import CallerError

NAME = "ollama_generate"
OPERATION: Operation = "chat"
FORMAT = NAME
RESUMES = False
CLOSING = b""
KEEPALIVE = b""


# Request --------------------------------------------------------------------------------------------------------------


def peek(body: bytes, named: str | None = None) -> Facts:
    """Raises ``CallerError`` (400)."""
    # There are no tools; what is called so is a field like any other.
    return msgspec.structs.replace(ollama_asked.peek(body, named), tools=False)


class _Prompt(msgspec.Struct):
    system: Any = None
    prompt: Any = None
    images: list[msgspec.Raw] | None = None


_prompt = msgspec.json.Decoder(_Prompt)


def conversation(body: bytes) -> Conversation:
    """The prompt as the one message of a user."""
    asked = decoded(_prompt, body)
    if asked is None or not isinstance(asked.prompt, str):
        return NO_CONVERSATION
    said = [{"role": "system", "content": asked.system}] if asked.system else []
    image = {"type": "image"}
    content = [{"type": "text", "text": asked.prompt}, *(image for _ in asked.images or ())]
    return openai_conversation(msgspec.json.encode({"messages": [*said, {"role": "user", "content": content}]}))


_READ = words("model prompt system images stream format options think logprobs top_logprobs")
_IDLE: Mapping[str, Any] = {"suffix": "", "template": "", "raw": False, "context": []}
"""What asks for nothing: no reason to tell anyone that it was dropped."""


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``CallerError`` (400) with where and what."""
    said = object_of(body)
    prompt, system = string(said, "prompt") or "", string(said, "system")
    images = ollama_asked.images_of(said)
    if not (prompt or images):
        # Ollama takes it as a wish to have the model loaded.
        what = "prompt: something must be asked; the gateway loads no models"
        raise CallerError(400, "missing_required_parameter", what, param="prompt")
    extra = {
        name: value
        for name, value in said.items()
        if name not in _READ and value is not None and not (name in _IDLE and value == _IDLE[name])
    }
    asked = Message("user", (Text(prompt), *images) if prompt else images)
    instructed = (Message("system", (Text(system),)),) if system else ()
    return ollama_asked.request_of(said, (*instructed, asked), extra)


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str | None)


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """Instructions go before the client's own; what was said otherwise, before its prompt."""
    instructions = [each["content"] for each in messages if each["role"] in ("system", "developer")]
    others = [each["content"] for each in messages if each["role"] not in ("system", "developer")]
    try:
        fields: dict[str, Any] = dict(_fields.decode(body))
        for name, before in (("system", instructions), ("prompt", others)):
            own = _text.decode(fields[name]) if name in fields else None
            if before:
                fields[name] = "\n\n".join([*before, own] if own else before)
        return msgspec.json.encode(fields)
    except (ValueError, RecursionError):
        return body


def planning(body: bytes, instructions: str, request: str) -> bytes | None:
    """A single prompt is nobody's conversation: nothing in it is planned."""
    return None


def noted(body: bytes, note: str) -> bytes | None:
    try:
        fields: dict[str, Any] = dict(_fields.decode(body))
        fields["system"] = appended(_text.decode(fields["system"]) if "system" in fields else None, note)
        return msgspec.json.encode(fields)
    except (ValueError, RecursionError):
        return None


# Answer ---------------------------------------------------------------------------------------------------------------

encode_answer = partial(_encode_answer, shape=of_generate)
stream_encoder = partial(_stream_encoder, shape=of_generate)
