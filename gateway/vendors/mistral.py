"""Mistral: OpenAI chat with names of its own, refusing every field it does not know, and histories out of order."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from gateway.chat import Blob, File, Uri
from gateway.dialects.openai_parts import read_part
from gateway.vendors.foreign import ANSWERED, DEVELOPER, MARKERS, THOUGHTS
from gateway.vendors.vendor import Adapted, Vendor

# Conversations of other vendors --------------------------------------------------------------------------------------

_OWN_ID = re.compile(r"[A-Za-z0-9]{9}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

BRIDGE = "I have the results."
UNANSWERED = "(no result)"


def adapt(body: dict[str, Any], model: str) -> Adapted:
    """The same conversation in an order that is accepted: 400 "Unexpected role 'user' after role 'tool'" (3230),
    "Not the same number of function calls and responses" (3230), "Tool call id was … but must be a-z, A-Z, 0-9, with a
    length of 9" (3280): https://docs.mistral.ai/capabilities/function_calling
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        return Adapted(body)
    messages = [_written(each, f"messages[{place}]") for place, each in enumerate(messages)]
    history = _History(messages)
    for place in range(len(messages)):
        history.add(place)
    return Adapted({**body, "messages": history.closed()}, (), tuple(history.dropped))


class _History:
    """The messages so far. A call stays open until its answer comes; another message closes it."""

    def __init__(self, said: list[dict[str, Any]]) -> None:
        self.dropped: list[str] = []
        self._said = said
        self._taken: set[int] = set()
        """Places of answers that were brought forward."""
        self._messages: list[dict[str, Any]] = []
        self._open: dict[str, str] = {}
        """Ids of calls without an answer -> the tool's name."""

    def add(self, place: int) -> None:
        message, where = self._said[place], f"messages[{place}]"
        role, calls = message.get("role"), message.get("tool_calls")
        if role == "tool":
            if place not in self._taken and not self._answer(message):
                # "Unexpected role 'tool' after role 'user'": an answer to nothing.
                self.dropped.append(where)
            return
        self._close(place)
        before = self._messages[-1].get("role") if self._messages else None
        if role == "assistant":
            if not calls and not message.get("content"):
                # "Assistant message must have either content or tool_calls, but not none."
                self.dropped.append(where)
                return
            message = self._calling(message, calls) if isinstance(calls, list) else message
        elif before == "tool":
            self._messages.append({"role": "assistant", "content": BRIDGE})
            before = "assistant"
        if role == "system" and before == "assistant":
            # Between the turns there is no other role that may speak.
            message = {**message, "role": "user"}
        self._messages.append(message)

    def closed(self) -> list[dict[str, Any]]:
        """All of them. "Expected last role User or Tool (or Assistant with prefix True)"."""
        self._close(len(self._said))
        last = self._messages[-1] if self._messages else {}
        if last.get("role") == "assistant" and not last.get("tool_calls") and "prefix" not in last:
            self._messages[-1] = {**last, "prefix": True}
        return self._messages

    def _calling(self, message: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
        made = []
        for call in calls:
            if isinstance(call, dict) and isinstance(call.get("id"), str):
                call = {**call, "id": own_id(call["id"])}
                function = call.get("function")
                self._open[call["id"]] = str(function.get("name") or "") if isinstance(function, dict) else ""
            made.append(call)
        return {**message, "tool_calls": made}

    def _answer(self, message: dict[str, Any]) -> bool:
        given = message.get("tool_call_id")
        call_id = own_id(given) if isinstance(given, str) else None
        if call_id is None or self._open.pop(call_id, None) is None:
            return False
        self._messages.append({**message, "tool_call_id": call_id})
        return True

    def _close(self, place: int) -> None:
        """Answers that come after something else (the image another tool returned, say) are brought forward; what was
        called and never answered gets an answer that says so."""
        while self._open and place < len(self._said) and self._said[place].get("role") != "assistant":
            if self._said[place].get("role") == "tool" and self._answer(self._said[place]):
                self._taken.add(place)
            place += 1
        for call_id, name in self._open.items():
            self._messages.append({"role": "tool", "tool_call_id": call_id, "name": name, "content": UNANSWERED})
        self._open.clear()


def own_id(call_id: str) -> str:
    """Nine letters and digits; the same for the same id, in calls and in answers."""
    if _OWN_ID.fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode(errors="replace")).digest()[:8])
    letters = []
    for _ in range(9):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return "".join(letters)


# Parts ----------------------------------------------------------------------------------------------------------------


def _written(message: dict[str, Any], where: str) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts = [_part(part, f"{where}.content[{place}]") for place, part in enumerate(content)]
    return (
        message if all(new is old for new, old in zip(parts, content, strict=True)) else {**message, "content": parts}
    )


def _part(said: Any, where: str) -> Any:
    """Files and sounds have shapes of their own: https://docs.mistral.ai/api (``DocumentURLChunk``, ``AudioChunk``).

    Raises ``CallerError`` for what is neither.
    """
    if not isinstance(said, dict) or said.get("type") not in ("file", "input_audio"):
        return said
    part = read_part(said, where)
    if isinstance(part, File):
        return {"type": "file", "file_id": part.file_id}
    if not isinstance(part, Blob | Uri):
        return said
    if isinstance(part, Blob) and part.modality == "audio":
        return {"type": "input_audio", "input_audio": part.content}
    url = part.uri if isinstance(part, Uri) else f"data:{part.mime_type};base64,{part.content}"
    if part.modality == "audio":
        return {"type": "input_audio", "input_audio": url}
    if part.modality == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "document_url", "document_url": url, **({"document_name": part.name} if part.name else {})}


VENDOR = Vendor(
    name="mistral",
    title="Mistral",
    docs="https://docs.mistral.ai/api",
    base_url="https://api.mistral.ai/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("MISTRAL_API_KEY",),
    owns=(
        "mistral-*",
        "ministral-*",
        "magistral-*",
        "codestral-*",
        "devstral-*",
        "pixtral-*",
        "voxtral-*",
        "open-mistral-*",
        "open-mixtral-*",
    ),
    rename={"max_completion_tokens": "max_tokens", "seed": "random_seed"},
    # 422 extra_forbidden: https://github.com/mistralai/platform-docs-public/issues/7. Dropped is only what leaves the
    # meaning of an answer alone; functions or audio are better refused.
    drop=frozenset(
        {
            "logit_bias",
            "prompt_cache_options",
            "prompt_cache_retention",
            "reasoning",  # other vendors' ways to say how much to think
            "safety_identifier",
            "store",
            "stream_options",
            "thinking",
            "user",
            "verbosity",
        }
    ),
    # Its own thoughts are parts of the content, and stay.
    drop_from_messages=(THOUGHTS | MARKERS | ANSWERED | {"is_error"}) - {"thinking"},
    roles=DEVELOPER,
    adapt=adapt,
    stream_usage=False,  # the last chunk has it anyhow
    prefill={"prefix": True},
    flatten=True,
    prices="mistral",
)
