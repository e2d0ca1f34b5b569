"""Listings of models in every shape vendors have for them: a page in, its models and where the next is out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

Row = dict[str, Any]
Turn = Callable[[Row, str], str | None]
"""What a page says, and its URL -> the URL of the next."""


class Listed(msgspec.Struct, frozen=True):
    """One model of a listing, as far as the vendor says. ``window`` and ``output`` are in tokens."""

    id: str
    window: int | None = None
    output: int | None = None
    able: Mapping[str, bool] = {}
    """``tools``, ``vision``, ``reasoning``, ``json_schema``: whether it can."""


class Page(NamedTuple):
    models: tuple[Listed, ...]
    next: str | None = None


class Shape(NamedTuple):
    """``rows``: under which names the models may be; ``read`` gives None for what nobody can chat with."""

    rows: tuple[str, ...]
    read: Callable[[Row], Listed | None]
    turn: Turn = lambda said, url: None


def read_page(body: bytes, shape: str = "openai", url: str = "") -> Page | None:
    """One page of a listing; None when it is none. What comes in OpenAI's shape is read whoever it is from."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(said, list):
        said = {"data": said}
    if not isinstance(said, dict):
        return None
    for form in (SHAPES.get(shape, SHAPES["openai"]), SHAPES["openai"]):
        found = [rows for name in form.rows if isinstance(rows := said.get(name), list)]
        if found:
            read = (form.read(row) for rows in found for row in rows if isinstance(row, dict))
            return Page(tuple({each.id: each for each in read if each}.values()), form.turn(said, url))
    return None


# Rows ----------------------------------------------------------------------------------------------------------------


def _named(row: Row, name: Any) -> Listed | None:
    """With all that is said of it, wherever its vendor says it."""
    if not isinstance(name, str) or not name:
        return None
    able = {word: value for word, places in _ABLE.items() if (value := _said(row, places)) is not None}
    return Listed(name, _tokens(row, _WINDOW), _tokens(row, _OUTPUT), able)


def _openai(row: Row) -> Listed | None:
    # GitHub Copilot lists what the account's policy has switched off.
    if _at(row, ("policy", "state")) == ["disabled"]:
        return None
    return _named(row, row.get("id") or row.get("name") or row.get("model"))


def _anthropic(row: Row) -> Listed | None:
    listed = _named(row, row.get("id"))
    output = row.get("max_tokens")
    return msgspec.structs.replace(listed, output=output) if listed and _is_count(output) else listed


def _gemini(row: Row) -> Listed | None:
    methods = row.get("supportedGenerationMethods")
    if isinstance(methods, list) and "generateContent" not in methods:
        return None
    return _named(row, f"{row.get('name') or ''}".removeprefix("models/"))


def _vertex(row: Row) -> Listed | None:
    return _named(row, f"{row.get('name') or ''}".rpartition("/")[2])


def _bedrock(row: Row) -> Listed | None:
    """1. An inference profile; one of the account's own is called by its ARN. 2. A foundation model, if it is called by
    its own name: most of the newer ones are to be had by a profile alone.
    """
    if profile := row.get("inferenceProfileId"):
        own = row.get("type") == "APPLICATION"
        return _named(row, row.get("inferenceProfileArn") if own else profile)
    outputs, ways = row.get("outputModalities"), row.get("inferenceTypesSupported")
    if isinstance(outputs, list) and "TEXT" not in outputs:
        return None
    if isinstance(ways, list) and ways and "ON_DEMAND" not in ways:
        return None
    return _named(row, row.get("modelId"))


def _cohere(row: Row) -> Listed | None:
    endpoints = row.get("endpoints")
    if isinstance(endpoints, list) and "chat" not in endpoints:
        return None
    return _named(row, row.get("name"))


def _databricks(row: Row) -> Listed | None:
    task = row.get("task")
    return _named(row, row.get("name")) if task in (None, "", "llm/v1/chat") else None


# Pages ---------------------------------------------------------------------------------------------------------------


def _by_token(told: str, asked: str) -> Turn:
    def turn(said: Row, url: str) -> str | None:
        token = said.get(told)
        return with_query(url, asked, token) if isinstance(token, str) and token else None

    return turn


def _after_last(said: Row, url: str) -> str | None:
    last = said.get("last_id")
    return with_query(url, "after_id", last) if said.get("has_more") is True and isinstance(last, str) else None


def _bedrock_turn(said: Row, url: str) -> str | None:
    """Foundation models come on one page; the inference profiles are a listing of their own beside it."""
    if following := _by_token("nextToken", "nextToken")(said, url):
        return following
    parts = urlsplit(url)
    above, _, last = parts.path.rpartition("/")
    if last != "foundation-models":
        return None
    return parts._replace(path=f"{above}/inference-profiles", query="").geturl()


def with_query(url: str, name: str, value: str) -> str:
    """The same URL, with this as the one value of the parameter."""
    parts = urlsplit(url)
    others = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] != name]
    return parts._replace(query="&".join([*others, f"{name}={quote(value, safe='')}"])).geturl()


SHAPES: Mapping[str, Shape] = {
    "openai": Shape(("data", "models"), _openai),
    # https://platform.claude.com/docs/en/api/models/list
    "anthropic": Shape(("data",), _anthropic, _after_last),
    # https://ai.google.dev/api/models#method:-models.list
    "gemini": Shape(("models", "tunedModels"), _gemini, _by_token("nextPageToken", "pageToken")),
    # https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/publishers.models/list
    "vertex": Shape(("publisherModels",), _vertex, _by_token("nextPageToken", "pageToken")),
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html (ListInferenceProfiles)
    "bedrock": Shape(("modelSummaries", "inferenceProfileSummaries"), _bedrock, _bedrock_turn),
    # https://docs.cohere.com/reference/list-models
    "cohere": Shape(("models",), _cohere, _by_token("next_page_token", "page_token")),
    # https://docs.databricks.com/api/workspace/servingendpoints/list
    "databricks": Shape(("endpoints",), _databricks, _by_token("next_page_token", "page_token")),
}


# What is said of a model ---------------------------------------------------------------------------------------------

Place = tuple[str, ...]


def _places(*paths: str) -> tuple[Place, ...]:
    return tuple(tuple(path.split(".")) for path in paths)


_WINDOW = _places(
    "context_window",  # Groq
    "context_length",  # OpenRouter, Together, Fireworks, Moonshot, Cohere
    "max_model_len",  # vLLM
    "max_context_length",  # Mistral, LM Studio
    "max_input_tokens",  # Anthropic
    "inputTokenLimit",  # Gemini
    "meta.n_ctx",  # llama.cpp, and gateways of our own kind
    "capabilities.limits.max_context_window_tokens",  # GitHub Copilot
    "model_spec.availableContextTokens",  # Venice
    "providers.*.context_length",  # Hugging Face
)
_OUTPUT = _places(
    "max_completion_tokens",  # Groq
    "top_provider.max_completion_tokens",  # OpenRouter
    "outputTokenLimit",  # Gemini
    "capabilities.limits.max_output_tokens",  # GitHub Copilot
    "model_spec.maxCompletionTokens",  # Venice
    "meta.max_output",
)
# After a colon: the list holds the word; one that does not may only not know it. A star: each of a list.
_ABLE: Mapping[str, tuple[Place, ...]] = {
    "tools": _places(
        "capabilities.function_calling",  # Mistral
        "capabilities.supports.tool_calls",  # GitHub Copilot
        "model_spec.capabilities.supportsFunctionCalling",  # Venice
        "supports_tools",  # Fireworks
        "supported_parameters.:tools",  # OpenRouter
        "features.:tools",  # Cohere
        "providers.*.supports_tools",  # Hugging Face
    ),
    "vision": _places(
        "capabilities.image_input.supported",  # Anthropic
        "capabilities.vision",
        "capabilities.supports.vision",
        "model_spec.capabilities.supportsVision",
        "supports_image_input",
        "architecture.input_modalities.:image",
        "inputModalities.:IMAGE",  # Bedrock
        "features.:vision",
    ),
    "reasoning": _places(
        "capabilities.thinking.supported",
        "capabilities.reasoning",
        "thinking",  # Gemini
        "model_spec.capabilities.supportsReasoning",
        "supported_parameters.:reasoning",
        "features.:reasoning",
    ),
    "json_schema": _places(
        "capabilities.structured_outputs.supported",
        "capabilities.supports.structured_outputs",
        "model_spec.capabilities.supportsResponseSchema",
        "supported_parameters.:structured_outputs",
        "features.:json_schema",
        "providers.*.supports_structured_output",
    ),
}


def _at(row: Any, place: Place) -> list[Any]:
    """What stands there; several, where the way leads through a list."""
    for at, name in enumerate(place):
        if name == "*":
            return [said for each in row for said in _at(each, place[at + 1 :])] if isinstance(row, list) else []
        if name.startswith(":"):
            return [True] if isinstance(row, list) and name[1:] in row else []
        if not isinstance(row, dict) or name not in row:
            return []
        row = row[name]
    return [row]


def _said(row: Row, places: tuple[Place, ...]) -> bool | None:
    """Whether any of those who serve it can."""
    for place in places:
        if said := [each for each in _at(row, place) if isinstance(each, bool)]:
            return any(said)
    return None


def _tokens(row: Row, places: tuple[Place, ...]) -> int | None:
    """What fits everywhere it is served."""
    for place in places:
        if counts := [each for each in _at(row, place) if _is_count(each)]:
            return int(min(counts))
    return None


def _is_count(said: Any) -> bool:
    return isinstance(said, int) and not isinstance(said, bool) and said > 0
