"""OpenAI's completions of a text: https://platform.openai.com/docs/api-reference/completions/create

Vendors that have a path for them get them as they are. For all others the prompt is what a user says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from gateway.chat import ChatRequest, Facts, Operation
from gateway.dialects import openai_chat
from gateway.dialects.completions_told import encode_answer as encode_answer
from gateway.dialects.completions_told import stream_encoder as stream_encoder
from gateway.dialects.conversation import NO_CONVERSATION, Conversation
from gateway.dialects.fields import object_of
from gateway.dialects.glimpse import Glimpse
from gateway.dialects.mending import decoded
from gateway.dialects.money import with_cost as with_cost
from gateway.dialects.openai_chat import CLOSING as CLOSING
from gateway.dialects.openai_chat import KEEPALIVE as KEEPALIVE
from gateway.dialects.openai_chat import error_body as error_body
from gateway.dialects.openai_chat import error_frame as error_frame
from gateway.dialects.openai_chat import without_usage as without_usage
from gateway.dialects.openai_conversation import conversation as openai_conversation
from gateway.dialects.openai_parts import Fields, wrong
from gateway.dialects.openai_request import read_request
from gateway.dialects.openai_seen import glimpse as openai_glimpse
from gateway.dialects.openai_seen import read_whole as read_whole
from gateway.dialects.unresumed import continuation as continuation
from gateway.dialects.unresumed import identity as identity
from gateway.dialects.unresumed import restamp as restamp
from gateway.dialects.unstreamed import cleared as cleared
from gateway.dialects.unstreamed import noted as noted
from gateway.dialects.unstreamed import planning as planning
from gateway.errors import CallerError
from gateway.sse import Frame

NAME = "openai_completions"
OPERATION: Operation = "completions"
FORMAT = NAME
RESUMES = False


# Request --------------------------------------------------------------------------------------------------------------


class _Prompt(msgspec.Struct):
    prompt: msgspec.Raw = msgspec.Raw(b"")


_prompt = msgspec.json.Decoder(_Prompt)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str | list[str])


def peek(body: bytes, named: str | None = None) -> Facts:
    """Raises ``CallerError`` (400). Each prompt of several is answered ``n`` times."""
    facts = openai_chat.peek(body, named)
    return msgspec.structs.replace(
        facts, operation=OPERATION, tools=False, structured=False, choices=facts.choices * _prompts(body)
    )


def _prompts(body: bytes) -> int:
    """How many: a list is one prompt where it is made of tokens."""
    raw = bytes((decoded(_prompt, body) or _Prompt()).prompt)
    many = (decoded(_list, raw) or []) if raw.startswith(b"[") else []
    return len(many) if many and bytes(many[0])[:1] in (b'"', b"[") else 1


def conversation(body: bytes) -> Conversation:
    """The prompt as the one message of a user; of tokens nobody here knows what they say."""
    said = decoded(_text, (decoded(_prompt, body) or _Prompt()).prompt)
    if said is None:
        return NO_CONVERSATION
    content = said if isinstance(said, str) else "\n".join(said)
    return openai_conversation(msgspec.json.encode({"messages": [{"role": "user", "content": content}]}))


def rewrite(
    body: bytes,
    model: str,
    *,
    ask_usage: bool = False,
    rename: Mapping[str, str] = {},
    drop: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> bytes:
    """The same object with the vendor's deltas. Here ``max_tokens`` never had another name."""
    named = {**rename, "max_completion_tokens": "max_tokens"}
    return openai_chat.rewrite(body, model, ask_usage=ask_usage, rename=named, drop=drop, max_tokens=max_tokens)


def prepended(body: bytes, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """There are no messages: what they say comes before a prompt that is a text."""
    try:
        fields: dict[str, Any] = dict(openai_chat.fields_of(body))
        said = _text.decode(fields.get("prompt", b'""'))
    except (ValueError, RecursionError):
        return body
    before = [each["content"] for each in messages]
    prompts = ["\n\n".join([*before, each]) for each in ([said] if isinstance(said, str) else said)]
    return msgspec.json.encode({**fields, "prompt": prompts[0] if isinstance(said, str) else prompts})


# What an answer has at most where nothing is said: https://platform.openai.com/docs/api-reference/completions/create
USUAL_LENGTH = 16
# What there is in chat alone: no words for it here, so nothing is asked for by it.
_OF_CHAT = ("messages", "tools", "functions", "tool_choice", "function_call")
_IDLE: Mapping[str, Any] = {"suffix": "", "echo": False, "best_of": 1}


def decode_request(body: bytes) -> ChatRequest:
    """For a vendor that has only chat. ``echo`` is done by the encoder. Raises ``CallerError`` (400)."""
    said = object_of(body)
    messages = [{"role": "user", "content": prompt_of(said)}]
    asked: Fields = {"max_tokens": USUAL_LENGTH, **{name: value for name, value in said.items() if value is not None}}
    left = {name: asked.pop(name) for name in _OF_CHAT if name in asked}
    del asked["prompt"]
    echo = asked.pop("echo", False)
    if not isinstance(echo, bool):
        raise wrong("echo", "a boolean", echo)
    idle = {**_IDLE, "best_of": asked.get("n", 1)}
    for name in idle:
        if asked.get(name) == idle[name]:
            del asked[name]
    if (logprobs := asked.pop("logprobs", None)) is not None:
        if isinstance(logprobs, bool) or not isinstance(logprobs, int):
            raise wrong("logprobs", "an integer", logprobs)
        asked |= {"logprobs": True, "top_logprobs": logprobs}
    request = read_request({**asked, "messages": messages})
    return msgspec.structs.replace(request, extra={**request.extra, **left})


def prompt_of(said: Fields) -> str:
    """The one text to be gone on with. Raises ``CallerError`` (400) for several, and for tokens."""
    prompt = said.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if prompt is None or prompt == "":
        raise CallerError(400, "missing_required_parameter", "prompt: a text is needed", param="prompt")
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and all(isinstance(each, str) for each in prompt):
        what = "several prompts in one request are not possible with this model: send them one by one"
        raise CallerError(400, "unsupported_value", f"prompt: {what}", param="prompt")
    if isinstance(prompt, list | int):
        what = "this model takes no tokens, only a text"
        raise CallerError(400, "unsupported_value", f"prompt: {what}", param="prompt")
    raise wrong("prompt", "a string", prompt)


# Answer ---------------------------------------------------------------------------------------------------------------


class _Choice(msgspec.Struct):
    text: str | None = None
    index: int | None = 0


class _Texts(msgspec.Struct):
    choices: list[_Choice] | None = None


_texts = msgspec.json.Decoder(_Texts)


def spoken(body: bytes) -> str:
    """The text of a whole answer's first choice."""
    return _first((decoded(_texts, body) or _Texts()).choices or [])


def _first(choices: Sequence[_Choice]) -> str:
    return "".join(choice.text or "" for choice in choices if not choice.index)


def glimpse(frame: Frame, now: float) -> Glimpse:
    """As of a chat's chunk, which differs only in where the text is."""
    seen = openai_glimpse(frame, now)
    if not seen.reasons:
        return seen
    choices = (decoded(_texts, frame.data or b"") or _Texts()).choices or []
    return seen._replace(output=seen.output or any(choice.text for choice in choices), text=_first(choices))


class _PlainChoice(msgspec.Struct, gc=False):
    text: str
    index: Literal[0] = 0
    finish_reason: Literal["", None] = None


class _PlainChunk(msgspec.Struct, gc=False):
    """An event that does no more than let the first choice say something; one that does not fit may mean anything."""

    choices: tuple[_PlainChoice]
    id: str | None = None
    model: str | None = None
    usage: None = None
    error: None = None
    x_groq: None = None
    object: Literal["text_completion", "", None] = None
    type: None = None


_plain = msgspec.json.Decoder(_PlainChunk)


def skim(events: Sequence[bytes], calling: bool) -> list[str | None]:
    """Of each event the text it adds to the first choice; None: to be read with care."""
    said: list[str | None] = []
    for data in events:
        try:
            said.append(_plain.decode(data).choices[0].text or None)
        except (ValueError, RecursionError):
            said.append(None)
    return said
