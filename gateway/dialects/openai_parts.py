"""The parts of OpenAI-shaped messages, read into the hub: text, images, sounds, files, and thoughts however spelled."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.chat import Blob, Cache, File, Modality, Part, Reasoning, Refusal, Text, Uri
from gateway.errors import CallerError

Fields = dict[str, Any]


def wrong(param: str, wanted: str, said: Any) -> CallerError:
    """The caller's mistake: where it is, and what should be there."""
    kind = "null" if said is None else _JSON_NAMES.get(type(said), type(said).__name__)
    return CallerError(400, "invalid_type", f"{param}: expected {wanted}, got {kind}", param=param)


_JSON_NAMES = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
}


def text_in(fields: Mapping[str, Any], key: str, where: str) -> str:
    said = fields.get(key)
    if not isinstance(said, str):
        raise wrong(f"{where}.{key}", "a string", said)
    return said


def cache_of(fields: Mapping[str, Any]) -> Cache | None:
    """Anthropic's marker, as OpenRouter, LiteLLM and their clients write it."""
    said = fields.get("cache_control")
    if not isinstance(said, dict) or said.get("type", "ephemeral") != "ephemeral":
        return None
    ttl = said.get("ttl")
    return Cache(ttl if isinstance(ttl, str) else None)


# Parts ----------------------------------------------------------------------------------------------------------------


def read_part(said: Any, where: str) -> Part:
    """One element of a content list. Raises ``CallerError`` where it is none."""
    if isinstance(said, str):
        return Text(said)
    if not isinstance(said, dict):
        raise wrong(where, "an object", said)
    kind = said.get("type")
    read = _PARTS.get(kind) if isinstance(kind, str) else None
    if read is None:
        known = ", ".join(_PARTS)
        raise CallerError(400, "invalid_value", f"{where}.type: {kind!r} is none of {known}", param=f"{where}.type")
    return read(said, where)


def _text(said: Fields, where: str) -> Part:
    return Text(text_in(said, "text", where), cache_of(said))


def _refusal(said: Fields, where: str) -> Part:
    return Refusal(text_in(said, "refusal", where))


def _linked(key: str, modality: Modality) -> Callable[[Fields, str], Part]:
    """``{key: {url}}``, or as Mistral and Responses write it ``{key: url}``."""

    def read(said: Fields, where: str) -> Part:
        inner = said.get(key)
        if inner is None and isinstance(said.get("file_id"), str):
            return File(modality, said["file_id"], cache_of(said))
        held = inner if isinstance(inner, dict) else {"url": inner}
        url = held.get("url")
        if not isinstance(url, str):
            raise wrong(f"{where}.{key}", "an object with a url", inner)
        detail, name = held.get("detail") or said.get("detail"), said.get("document_name")
        return located(
            url,
            modality,
            mime_type=_word(held.get("format")),
            name=_word(name),
            detail=_word(detail),
            cache=cache_of(said),
        )

    return read


def _sound(said: Fields, where: str) -> Part:
    """``{data, format}``; Mistral has a mere string, a URL or base64."""
    inner = said.get("input_audio")
    held = inner if isinstance(inner, dict) else {"data": inner}
    data, form = held.get("data"), held.get("format")
    if not isinstance(data, str):
        raise wrong(f"{where}.input_audio", "an object with data and format", inner)
    if data.startswith(("data:", "https://", "http://")):
        return located(data, "audio", cache=cache_of(said))
    mime_type = _SOUNDS.get(form, f"audio/{form}") if isinstance(form, str) else "audio/mpeg"
    return Blob("audio", mime_type, data, cache=cache_of(said))


_SOUNDS = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "pcm16": "audio/pcm"}


def _file(said: Fields, where: str) -> Part:
    held = said.get("file", said)
    if not isinstance(held, dict):
        raise wrong(f"{where}.file", "an object", held)
    name, cache = _word(held.get("filename")), cache_of(said)
    # 1. Given before. 2. Elsewhere. 3. Here: as a data URL, or the bare base64.
    if isinstance(file_id := held.get("file_id"), str):
        if file_id.startswith(("https://", "http://", "gs://", "s3://")):
            return located(file_id, "document", name=name, mime_type=_word(held.get("format")), cache=cache)
        return File("document", file_id, cache)
    if isinstance(url := held.get("file_url"), str):
        return located(url, "document", name=name, cache=cache)
    data = held.get("file_data")
    if not isinstance(data, str):
        raise wrong(f"{where}.file", "an object with a file_id or file_data", held)
    mime_type = _word(held.get("format")) or _ENDINGS.get((name or "").rpartition(".")[2].lower())
    if data.startswith(("data:", "https://", "http://", "gs://", "s3://")):
        return located(data, "document", mime_type=mime_type, name=name, cache=cache)
    mime_type = mime_type or _DEFAULTS["document"]
    return Blob(_modality(mime_type, "document"), mime_type, data, name=name, cache=cache)


def _source(modality: Modality) -> Callable[[Fields, str], Part]:
    """As Anthropic writes images and documents, which clients of LiteLLM send through this format too."""

    def read(said: Fields, where: str) -> Part:
        source, cache = said.get("source"), cache_of(said)
        held = source if isinstance(source, dict) else {}
        name, mime_type = _word(said.get("title")), _word(held.get("media_type"))
        if isinstance(url := held.get("url"), str):
            return located(url, modality, mime_type=mime_type, name=name, cache=cache)
        if isinstance(file_id := held.get("file_id"), str):
            return File(modality, file_id, cache)
        if not isinstance(data := held.get("data"), str):
            raise wrong(f"{where}.source", "an object with data, a url or a file_id", source)
        if held.get("type") == "text":
            data = base64.b64encode(data.encode(errors="replace")).decode()
        return Blob(modality, mime_type or _DEFAULTS[modality], data, name=name, cache=cache)

    return read


_DEFAULTS: Mapping[Modality, str] = {
    "image": "image/png",
    "audio": "audio/mpeg",
    "video": "video/mp4",
    "document": "application/pdf",
}


def located(
    url: str,
    modality: Modality,
    *,
    mime_type: str | None = None,
    name: str | None = None,
    detail: str | None = None,
    cache: Cache | None = None,
) -> Blob | Uri:
    """What a URL stands for: the bytes in it (``data:``), or what lies there."""
    if url[:5].lower() != "data:":
        return Uri(modality, url, mime_type, name, detail, cache)
    head, _, content = url[5:].partition(",")
    said, *parameters = head[:_LONGEST_HEAD].split(";")
    found = said.strip().lower() or mime_type or _DEFAULTS[modality]
    named = next((each[5:] for each in parameters if each.startswith("name=")), None)
    if "base64" not in parameters and not head.endswith(";base64"):
        content = _in_base64(content)
    return Blob(_modality(found, modality), found, content, name or named, detail, cache)


_LONGEST_HEAD = 1024
MOST_ESCAPES = 100_000
"""Of a URL with its bytes in it: each costs as much as hundreds of bytes do."""


def _in_base64(escaped: str) -> str:
    if escaped.count("%") > MOST_ESCAPES:
        raise CallerError(400, "invalid_value", f"a data: URL has more than {MOST_ESCAPES} escapes: send it as base64")
    return base64.b64encode(unquote_to_bytes(escaped)).decode()


def _modality(mime_type: str, otherwise: Modality) -> Modality:
    """What it is told by what it is made of: people send PDFs as ``image_url``."""
    for modality in ("image", "audio", "video"):
        if mime_type.startswith(modality):
            return modality
    return "document" if mime_type.startswith(("application/", "text/")) else otherwise


_ENDINGS = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
}


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


# Thoughts -------------------------------------------------------------------------------------------------------------


FORMATS = {"anthropic": "anthropic-claude-v1", "gemini": "google-gemini-v1", "openai": "openai-responses-v1"}
"""Whose a signature is, and what OpenRouter calls it. Others keep OpenRouter's name: nobody else can read them."""

UNSIGNED = frozenset(("cohere",))
"""Those who take their thoughts back without a signature."""

_WHOSE = {
    **{name: whose for whose, name in FORMATS.items()},
    "azure-openai-responses-v1": "openai",
    "unknown": None,
}


def _thought(said: Fields, where: str) -> Part:
    """Mistral: a list of texts. Anthropic: a text and its signature. Databricks and Responses: summaries."""
    texts = said.get("thinking", said.get("summary", said.get("text", said.get("reasoning", ""))))
    signature = _word(said.get("signature"))
    if isinstance(texts, list):
        pieces = [each for each in texts if isinstance(each, dict)]
        signature = signature or next((_word(each.get("signature")) for each in pieces), None)
        content = "".join(each["text"] for each in pieces if isinstance(each.get("text"), str))
        # Mistral's own signatures are nobody else's to read.
        whose = "mistral" if "thinking" in said else "anthropic"
    else:
        content, whose = texts if isinstance(texts, str) else "", "anthropic"
    return Reasoning(content, signature, format=whose if signature else None)


def _redacted(said: Fields, where: str) -> Part:
    return Reasoning(opaque=text_in(said, "data", where), format="anthropic")


def thoughts_of(message: Fields) -> tuple[list[Reasoning], dict[str, str]]:
    """What an assistant's message says it thought, and the signatures that belong to its calls, by their ids.

    The same thoughts may stand in several fields: the one that says most is believed.
    """
    signatures: dict[str, str] = {}
    found: list[Reasoning] = []
    if isinstance(details := message.get("reasoning_details"), list):
        found = _detailed(details, _ids(message), signatures)
    if not found and isinstance(blocks := message.get("thinking_blocks"), list):
        found = [block for each in blocks if isinstance(each, dict) and (block := _block(each))]
    if not any(each.content for each in found):
        texts = (message.get(key) for key in ("reasoning_content", "reasoning", "thinking"))
        if text := next(filter(None, map(_word, texts)), None):
            found.insert(0, Reasoning(text))
    return found, signatures


def signature_of(call: Fields) -> str | None:
    """Of the thought that led to a call, as Google's OpenAI-compatible endpoints and LiteLLM spell it."""
    extra = call.get("extra_content")
    held = [extra[key] for key in ("google", "vertex") if key in extra] if isinstance(extra, dict) else []
    for fields in (*held, call.get("provider_specific_fields"), call):
        if isinstance(fields, dict) and isinstance(signature := fields.get("thought_signature"), str) and signature:
            return signature
    return None


def _ids(message: Fields) -> set[str]:
    calls = message.get("tool_calls")
    named = (call.get("id") for call in calls if isinstance(call, dict)) if isinstance(calls, list) else ()
    return {each for each in named if isinstance(each, str)}


def _block(said: Fields) -> Reasoning | None:
    """LiteLLM keeps Anthropic's own blocks."""
    if isinstance(data := said.get("data"), str) and data:
        return Reasoning(opaque=data, format="anthropic")
    text, signature = _word(said.get("thinking")), _word(said.get("signature"))
    return Reasoning(text or "", signature, format="anthropic" if signature else None) if text or signature else None


def _detailed(details: list[Any], calls: set[str], signatures: dict[str, str]) -> list[Reasoning]:
    """OpenRouter's list. What is of one thought has one id (or came in pieces of one index): it is put together."""
    found: dict[Any, dict[str, Any]] = {}
    for place, said in enumerate(details):
        if not isinstance(said, dict):
            continue
        name, data = said.get("id"), _word(said.get("data"))
        if data and isinstance(name, str) and name in calls:
            # Gemini signs the call, and OpenRouter tells by the call's id.
            signatures[name] = data
            continue
        index = said.get("index")
        key = name if isinstance(name, str) else index if isinstance(index, int) else (place,)
        thought = found.setdefault(key, {"texts": [], "signature": None, "opaque": None, "format": None})
        thought["texts"] += filter(None, map(_word, (said.get("text"), said.get("summary"))))
        thought["signature"] = _word(said.get("signature")) or thought["signature"]
        thought["opaque"] = data or thought["opaque"]
        thought["format"] = _word(said.get("format")) or thought["format"]
    made = (_put_together(each) for each in found.values())
    return [each for each in made if each.content or each.signature or each.opaque]


def _put_together(thought: dict[str, Any]) -> Reasoning:
    signed = thought["signature"] or thought["opaque"]
    whose = _WHOSE.get(thought["format"], thought["format"])
    if signed and thought["format"] is None:
        whose = "anthropic" if thought["signature"] else "openai"
    return Reasoning(
        "".join(thought["texts"]),
        thought["signature"],
        thought["opaque"],
        whose if signed or whose in UNSIGNED else None,
    )


_PARTS: Mapping[str, Callable[[Fields, str], Part]] = {
    "text": _text,
    "image_url": _linked("image_url", "image"),
    "input_audio": _sound,
    "file": _file,
    "refusal": _refusal,
    # Those of other APIs that clients send through this one.
    "input_text": _text,
    "output_text": _text,
    "input_image": _linked("image_url", "image"),
    "input_file": _file,
    "audio_url": _linked("audio_url", "audio"),
    "video_url": _linked("video_url", "video"),
    "document_url": _linked("document_url", "document"),
    "image": _source("image"),
    "document": _source("document"),
    "thinking": _thought,
    "reasoning": _thought,
    "redacted_thinking": _redacted,
}
