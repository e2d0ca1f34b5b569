"""The models on offer as each kind of client lists them: Anthropic's, Google's, Ollama's and LiteLLM's shapes.

Made of the entries of ``/v1/models`` (``catalogue.Offers``). What is not known is null or left out. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gateway.errors import CallerError

Entry = dict[str, Any]


class Price(NamedTuple):
    """Dollars per token."""

    input: float
    output: float


MOST = 1000
"""Models of one page, with Anthropic and with Google alike; so many, too, where the client does not say."""


def _meta(entry: Entry, name: str) -> Any:
    return entry.get("meta", {}).get(name)


def _can(entry: Entry, capability: str) -> bool:
    return capability in (_meta(entry, "capabilities") or ())


def _embeds(entry: Entry) -> bool:
    """By its name, which is all that is known of what it is for."""
    return "embed" in entry["id"].lower()


def _created(entry: Entry) -> str:
    return datetime.fromtimestamp(entry["created"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _place(entries: Sequence[Entry], id: str, param: str) -> int:
    """Where in the list it stands. Raises ``CallerError`` (400)."""
    found = next((place for place, entry in enumerate(entries) if entry["id"] == id), None)
    if found is None:
        raise CallerError(400, "invalid_cursor", f"{param}: there is no model {id[:80]!r} to go on from", param=param)
    return found


def _length(asked: int | None, param: str) -> int:
    if asked is not None and asked < 1:
        raise CallerError(400, "invalid_value", f"{param}: at least 1", param=param)
    return min(asked or MOST, MOST)


# Anthropic: https://platform.claude.com/docs/en/api/models/list -----------------------------------------------------


def anthropic(
    entries: Sequence[Entry], limit: int | None = None, after_id: str | None = None, before_id: str | None = None
) -> dict[str, Any]:
    """One page: the first, the one after a model, or the one before it. Raises ``CallerError`` (400)."""
    length = _length(limit, "limit")
    if before_id:
        end = _place(entries, before_id, "before_id")
        begin = max(0, end - length)
        more = begin > 0
    else:
        begin = _place(entries, after_id, "after_id") + 1 if after_id else 0
        end = begin + length
        more = end < len(entries)
    page = [anthropic_model(entry) for entry in entries[begin:end]]
    return {
        "data": page,
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def anthropic_model(entry: Entry) -> dict[str, Any]:
    """When it was released is not known: then it is 1970, as with Anthropic itself."""
    return {
        "type": "model",
        "id": entry["id"],
        "display_name": entry["id"],
        "created_at": _created(entry),
        "lifecycle": "active",
        "max_input_tokens": _meta(entry, "n_ctx"),
        "max_tokens": _meta(entry, "max_output"),
    }


# Google: https://ai.google.dev/api/models ----------------------------------------------------------------------------


def gemini(entries: Sequence[Entry], page_size: int | None = None, page_token: str | None = None) -> dict[str, Any]:
    """One page; the token is the last model of the page before. Raises ``CallerError`` (400)."""
    begin = _place(entries, page_token, "pageToken") + 1 if page_token else 0
    end = begin + _length(page_size, "pageSize")
    listed: dict[str, Any] = {"models": [gemini_model(entry) for entry in entries[begin:end]]}
    return {**listed, "nextPageToken": entries[end - 1]["id"]} if end < len(entries) else listed


def gemini_model(entry: Entry) -> dict[str, Any]:
    limits = {"inputTokenLimit": _meta(entry, "n_ctx"), "outputTokenLimit": _meta(entry, "max_output")}
    told: dict[str, Any] = {
        "name": f"models/{entry['id']}",
        "baseModelId": entry["id"],
        "displayName": entry["id"],
        **{name: limit for name, limit in limits.items() if limit},
        "supportedGenerationMethods": ["embedContent", "batchEmbedContents"]
        if _embeds(entry)
        else ["generateContent", "streamGenerateContent", "countTokens"],
    }
    return {**told, "thinking": True} if _can(entry, "reasoning") else told


# Ollama: https://docs.ollama.com/api/tags, https://docs.ollama.com/api-reference/show-model-details -------------------

FAMILY = "skein"
"""What a model is made of is not known; clients look for its window under the name of its family."""


def ollama_tags(entries: Sequence[Entry]) -> dict[str, Any]:
    return {"models": [_tag(entry) for entry in entries]}


def _tag(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry["id"],
        "model": entry["id"],
        "modified_at": _created(entry),
        "size": 0,
        # Clients show how it begins, and take it for an id: of the name, since of the model there is none.
        "digest": hashlib.sha256(entry["id"].encode(), usedforsecurity=False).hexdigest(),
        "details": _details(),
    }


def _details() -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "",
        "family": FAMILY,
        "families": [FAMILY],
        "parameter_size": "",
        "quantization_level": "",
    }


def ollama_show(entry: Entry) -> dict[str, Any]:
    info: dict[str, Any] = {"general.architecture": FAMILY, "general.basename": entry["id"]}
    if window := _meta(entry, "n_ctx"):
        info[f"{FAMILY}.context_length"] = window
    able = [told for word, told in _OLLAMA_WORDS.items() if _can(entry, word)]
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "license": "",
        "modified_at": _created(entry),
        "details": _details(),
        "model_info": info,
        "capabilities": ["embedding"] if _embeds(entry) else ["completion", *able],
    }


_OLLAMA_WORDS = {"tools": "tools", "vision": "vision", "reasoning": "thinking"}


# LiteLLM: https://docs.litellm.ai/docs/proxy/model_management -----------------------------------------------------


def model_info(entries: Sequence[Entry], price: Callable[[str], Price | None] = lambda id: None) -> dict[str, Any]:
    """What LiteLLM's clients (goose, Cline) read of a model's window, abilities and price."""
    return {"data": [_info(entry, price(entry["id"])) for entry in entries]}


def _info(entry: Entry, price: Price | None) -> dict[str, Any]:
    output = _meta(entry, "max_output")
    return {
        "model_name": entry["id"],
        "litellm_params": {"model": entry["id"]},
        "model_info": {
            "id": entry["id"],
            "mode": "embedding" if _embeds(entry) else "chat",
            "litellm_provider": entry["owned_by"],
            "max_input_tokens": _meta(entry, "n_ctx"),
            "max_output_tokens": output,
            "max_tokens": output,
            "input_cost_per_token": price.input if price else None,
            "output_cost_per_token": price.output if price else None,
            # Not known is not the same as not able.
            **{told: _can(entry, word) or None for word, told in _LITELLM_WORDS.items()},
            "supports_prompt_caching": None,
        },
    }


_LITELLM_WORDS = {
    "tools": "supports_function_calling",
    "vision": "supports_vision",
    "reasoning": "supports_reasoning",
    "json_schema": "supports_response_schema",
}
