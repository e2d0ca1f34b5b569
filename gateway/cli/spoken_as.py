"""Which dialect a request in a file is in: as one is told, by the path it is sent to, or by what the body holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from gateway.api.fronts import FRONTS
from gateway.api.inbound import nearest_route, normalise
from gateway.cli import UsageError
from gateway.dialects import DIALECTS, Dialect


class SpokenAs(NamedTuple):
    dialect: Dialect
    model: str | None = None
    """What the path names, for a body that does not."""
    streamed: bool | None = None
    """Whether the path asks for a stream, where that is not for the body to say."""


class Sign(NamedTuple):
    """A body is in ``dialect`` if it has the field and, where there are any, one of ``others`` or of ``words``."""

    dialect: str
    field: str
    others: frozenset[str] = frozenset()
    """Fields beside it."""
    words: tuple[bytes, ...] = ()
    """Keys anywhere within it."""


def _any_of(names: str) -> frozenset[str]:
    return frozenset(names.split())


# The first that fits. What several dialects have in common comes last, as the dialect that most clients speak.
SIGNS: tuple[Sign, ...] = (
    Sign("gemini_embeddings", "requests"),
    Sign("gemini_embedding", "content"),
    Sign("gemini_count", "generateContentRequest"),
    Sign("gemini", "contents"),
    Sign(
        "anthropic_messages",
        "messages",
        _any_of("system thinking stop_sequences output_config context_management mcp_servers anthropic_version"),
        (b'"input_schema"', b'"media_type"', b'"tool_use_id"'),
    ),
    Sign("ollama_chat", "messages", _any_of("options keep_alive think format")),
    Sign("openai_chat", "messages"),
    Sign(
        "openai_responses",
        "input",
        _any_of("instructions max_output_tokens previous_response_id reasoning text include store tools stream"),
        (b'"content"',),
    ),
    Sign("openai_embeddings", "input"),
    Sign("ollama_generate", "prompt", _any_of("options keep_alive think format system template raw images")),
    Sign("openai_completions", "prompt"),
)


def spoken_as(body: bytes, named: str | None, path: str | None) -> SpokenAs:
    """``named``: a dialect; ``path``: what the client calls. Raises ``UsageError``."""
    if path is not None:
        return _by_path(path)
    if named is not None and named not in DIALECTS:
        raise UsageError("--as", "is no dialect of clients", f"it is one of {', '.join(DIALECTS)}")
    return SpokenAs(DIALECTS[named or _by_signs(body)])


def _by_path(path: str) -> SpokenAs:
    route = normalise(path.partition("?")[0])
    front = FRONTS.get(route.path) if route else None
    if route is None or front is None:
        nearest = nearest_route(path.partition("?")[0])
        what = f"the nearest route is {nearest}" if nearest in FRONTS else f"one that is: {next(iter(FRONTS))}"
        raise UsageError("--path", "is not where requests to models are sent", what)
    return SpokenAs(DIALECTS[front.dialect], route.deployment, route.streamed)


def _by_signs(body: bytes) -> str:
    try:
        fields: Mapping[str, msgspec.Raw] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        fields = {}
    return next((sign.dialect for sign in SIGNS if _fits(sign, fields, body)), "openai_chat")


def _fits(sign: Sign, fields: Mapping[str, msgspec.Raw], body: bytes) -> bool:
    if sign.field not in fields:
        return False
    if not sign.others:
        return True
    return not sign.others.isdisjoint(fields) or any(word in body for word in sign.words)
