"""What Ollama's clients ask for, read: at a glance for routing, and into the hub: https://docs.ollama.com/api/chat.

What the hub has no word for is in ``extra`` under its own name (``keep_alive``) or place (``options.num_ctx``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.chat import Blob, ChatRequest, Facts, Message, Output, Thinking, Tool, ToolCallResponse
from gateway.dialects.conversation import Call, Conversation, Said
from gateway.dialects.conversation import Message as Spoken
from gateway.dialects.fields import elements, flag, mapping, number, object_of, strings, whole, words
from gateway.dialects.mending import decoded
from gateway.dialects.openai_chat import GO_ON, decode, fields_of, model_of, short
from gateway.dialects.openai_conversation import conversation as openai_conversation
from gateway.dialects.openai_parts import Fields, located, wrong
from gateway.dialects.openai_request import MOST_PARTS, read_messages, read_tools
from gateway.dialects.replaying import Fitted, without_foreign
from gateway.errors import CallerError

_ABSENT = msgspec.Raw(b"")

# At a glance ----------------------------------------------------------------------------------------------------------


class _Peek(msgspec.Struct):
    """Fields that are only told, and decide nothing, are looked at later: they must not make a request fail."""

    model: str | None = None
    stream: bool | None = None
    tools: list[msgspec.Raw] | None = None
    format: msgspec.Raw = _ABSENT
    options: msgspec.Raw = _ABSENT
    think: msgspec.Raw = _ABSENT


_peek = msgspec.json.Decoder(_Peek)
_LATEST = ":latest"
_NOTHING = (b"", b"null", b'""')


def peek(body: bytes, named: str | None = None) -> Facts:
    """Raises ``CallerError`` (400). Without a word about it, Ollama streams, and always says what was used."""
    asked = decode(_peek, body)
    return Facts(
        model=model_of(asked.model, named).removesuffix(_LATEST),
        named=bool(asked.model),
        stream=asked.stream is not False,
        wants_usage=True,
        tools=bool(asked.tools),
        structured=bytes(asked.format) not in _NOTHING,
        size=len(body),
        parameters=_parameters(asked),
    )


# Ollama's option -> the name under which it is told, which is also the hub's.
_NUMBERS = {
    "num_predict": "max_tokens",
    "top_k": "top_k",
    "seed": "seed",
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
_WHOLE = frozenset(("num_predict", "top_k", "seed"))
# As many stops as are told of OpenAI's requests; longer ones may be content.
_MOST_STOPS, _LONGEST_STOP = 4, 64


def _parameters(asked: _Peek) -> dict[str, Any]:
    found: dict[str, Any] = {}
    options = _any(asked.options)
    for name, known in _NUMBERS.items() if isinstance(options, dict) else ():
        value = options.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and not _is_no_limit(name, value):
            found[known] = value
    stop = options.get("stop") if isinstance(options, dict) else None
    told = [each[:_LONGEST_STOP] for each in (stop if isinstance(stop, list) else [stop]) if isinstance(each, str)]
    if told:
        found["stop_sequences"] = told[:_MOST_STOPS]
    if level := short(_any(asked.think)):
        found["reasoning.level"] = level
    return found


def _is_no_limit(name: str, value: float) -> bool:
    """-1: without end; -2: until the window is full."""
    return name == "num_predict" and value < 0


def _any(raw: msgspec.Raw) -> Any:
    return decoded(_anything, raw) if raw is not _ABSENT else None


_anything = msgspec.json.Decoder()


class _Pictured(msgspec.Struct):
    """A message's images, beside its role."""

    role: Any = None
    images: msgspec.Raw = _ABSENT


class _Pictures(msgspec.Struct):
    messages: list[_Pictured] | None = None


_pictures = msgspec.json.Decoder(_Pictures)
_list = msgspec.json.Decoder(list[msgspec.Raw] | None)


def conversation(body: bytes) -> Conversation:
    """As OpenAI's, which has all but one thing in the same places: images stand beside a message's content."""
    read = openai_conversation(body)
    if b'"images"' not in body or (asked := decoded(_pictures, body)) is None:
        return read
    told = [each for each in asked.messages or () if isinstance(each.role, str)]
    if len(told) != len(read.messages):
        return read
    messages = [
        _WithImages(each.role, each.answers, inner=each, images=of.images) if bytes(of.images) not in _NOTHING else each
        for each, of in zip(read.messages, told, strict=True)
    ]
    return msgspec.structs.replace(read, messages=messages)


class _WithImages(Spoken, kw_only=True, gc=False):
    inner: Spoken
    images: msgspec.Raw

    def read(self) -> Said:
        return self.inner.read()._replace(images=len(decoded(_list, self.images) or ()))

    def calls(self, place: int) -> list[Call]:
        return self.inner.calls(place)

    def size_of_calls(self) -> int:
        return self.inner.size_of_calls()

    def parts(self) -> list[bytes | memoryview | msgspec.Raw]:
        return [*self.inner.parts(), self.images]


# Into the hub ---------------------------------------------------------------------------------------------------------

_READ = words("model messages stream tools format options think logprobs top_logprobs")
_OPTIONS = frozenset((*_NUMBERS, "stop"))


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``CallerError`` (400) with where and what."""
    said = object_of(body)
    extra = {name: value for name, value in said.items() if name not in _READ and value is not None}
    messages = elements(said, "messages")
    if not messages:
        # Ollama takes it as a wish to have the model loaded.
        what = "messages: at least one message is needed; the gateway loads no models"
        raise CallerError(400, "missing_required_parameter", what, param="messages")
    return request_of(said, _messages(messages, extra), extra, read_tools(said, extra))


def request_of(said: Fields, messages: tuple[Message, ...], extra: Fields, tools: tuple[Tool, ...] = ()) -> ChatRequest:
    """What a conversation and a single prompt have in common. Raises ``CallerError`` (400)."""
    options = mapping(said, "options") or {}
    extra.update(
        {f"options.{name}": value for name, value in options.items() if name not in _OPTIONS and value is not None}
    )
    model = said.get("model")
    numbers: dict[str, Any] = {
        hub: whole(options, name, where="options.") if name in _WHOLE else number(options, name, "options.")
        for name, hub in _NUMBERS.items()
    }
    if (numbers["max_tokens"] or 0) < 0:
        numbers["max_tokens"] = None
    return ChatRequest(
        model=model.removesuffix(_LATEST) if isinstance(model, str) else "",
        messages=messages,
        stream=flag(said, "stream") is not False,
        tools=tools,
        output=_output(said.get("format")),
        stop=strings(options, "stop", "options."),
        thinking=_thinking(said.get("think")),
        logprobs=flag(said, "logprobs") or False,
        top_logprobs=whole(said, "top_logprobs") or None,
        extra=extra,
        **numbers,
    )


def _output(form: Any) -> Output | None:
    if form is None or form == "":
        return None
    if form == "json":
        return Output()
    if isinstance(form, dict):
        return Output(form)
    raise wrong("format", '"json" or a JSON schema', form)


_LEVELS = words("none minimal low medium high xhigh max")


def _thinking(think: Any) -> Thinking | None:
    if think is None or think == "":
        return None
    if isinstance(think, bool):
        return Thinking("medium" if think else "none")
    if isinstance(think, str) and think in _LEVELS:
        return Thinking(think)
    if isinstance(think, str):
        known = ", ".join(sorted(_LEVELS))
        raise CallerError(400, "invalid_value", f"think: {think[:40]!r} is none of {known}", param="think")
    raise wrong("think", "a boolean or a level", think)


def _messages(said: list[Any], extra: Fields) -> tuple[Message, ...]:
    """As OpenAI's are read; images beside the content become parts after it."""
    pictures: dict[int, tuple[Blob, ...]] = {}
    plain = list(said)
    for place, each in enumerate(said):
        if isinstance(each, dict) and "images" in each:
            plain[place] = {name: value for name, value in each.items() if name != "images"}
            pictures[place] = images_of(each, f"messages[{place}].")
    if sum(map(len, pictures.values())) > MOST_PARTS:
        raise CallerError(400, "too_many_parts", f"more than {MOST_PARTS} images", param="messages")
    messages = read_messages(plain, extra)
    return tuple(_pictured(each, pictures.get(place, ())) for place, each in enumerate(messages))


def _pictured(message: Message, images: tuple[Blob, ...]) -> Message:
    if not images:
        return message
    *before, last = message.parts or (None,)
    if isinstance(last, ToolCallResponse):
        result = msgspec.structs.replace(last, parts=(*last.parts, *images))
        return msgspec.structs.replace(message, parts=(*before, result))
    return msgspec.structs.replace(message, parts=(*message.parts, *images))


def images_of(said: Fields, where: str = "") -> tuple[Blob, ...]:
    """Base64 without a word about what it is: its first bytes tell. Raises ``CallerError`` (400)."""
    return tuple(
        _image(image, f"{where}images[{place}]") for place, image in enumerate(elements(said, "images", where))
    )


def _image(said: Any, where: str) -> Blob:
    if not isinstance(said, str) or not said:
        raise wrong(where, "an image in base64", said)
    if said[:5].lower() == "data:" and isinstance(blob := located(said, "image"), Blob):
        return blob
    kind = next((kind for begin, kind in _KINDS.items() if said.startswith(begin)), "image/png")
    return Blob("image", kind, said)


# How files of each kind begin, in base64.
_KINDS: Mapping[str, str] = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "Qk": "image/bmp",
}


# Changed for a vendor -------------------------------------------------------------------------------------------------


def cleared(body: bytes, bare: bool) -> Fitted:
    """Nobody signs here: another's signed thoughts have no place in it."""
    return without_foreign(body, frozenset(("thinking",))) if bare else Fitted(body)


def continuation(body: bytes, delivered: str, prefill: Mapping[str, Any] | None) -> bytes:
    """A request that asks another model to go on where a text answer broke off."""
    fields = fields_of(body)
    said: list[Any] = [*(_list.decode(fields.get("messages", b"[]")) or ())]
    said += [{"role": "assistant", "content": delivered}, {"role": "user", "content": GO_ON}]
    return msgspec.json.encode({**fields, "messages": said})
