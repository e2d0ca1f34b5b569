"""The paths agents call, and the routes they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.fronts import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    GEMINI,
    GEMINI_COUNT,
    GEMINI_EMBED,
    GEMINI_EMBED_MANY,
    GEMINI_STREAM,
    MESSAGES,
    MESSAGES_COUNT,
    OLLAMA_CHAT,
    OLLAMA_EMBED,
    OLLAMA_EMBED_ONE,
    OLLAMA_GENERATE,
    RESPONSES,
    RESPONSES_COUNT,
)
from gateway.api.inbound import GEMINI_MODELS, MODEL_INFO, MODELS, ROUTES, Route, nearest_route, normalise

# What agents call when a base URL of ours is pasted into them, in all the ways people do.
PATHS: dict[str, Route] = {
    "/v1/chat/completions": Route(CHAT),
    "/v1/v1/chat/completions": Route(CHAT),
    "/v1/v1/v1/chat/completions": Route(CHAT),
    "/chat/completions": Route(CHAT),
    "//v1//chat/completions": Route(CHAT),
    "/v1/chat/completions/": Route(CHAT),
    "v1/chat/completions": Route(CHAT),
    "/gw/team/chat/completions": Route(CHAT),
    "/gw/v1/chat/completions": Route(CHAT),
    "/api/v1/chat/completions": Route(CHAT),
    "/api/paas/v4/chat/completions": Route(CHAT),
    "/v4/chat/completions": Route(CHAT),
    "/engines/v1/chat/completions": Route(CHAT),
    "/engines/llama.cpp/v1/chat/completions": Route(CHAT),
    "/openai/v1/chat/completions": Route(CHAT),
    "/models/chat/completions": Route(CHAT),
    "/openai/deployments/dep1/chat/completions": Route(CHAT, "dep1"),
    "/openai/v1/openai/deployments/dep1/chat/completions": Route(CHAT, "dep1"),
    "/v1/openai/deployments/dep1/chat/completions": Route(CHAT, "dep1"),
    "/deployments/dep1/chat/completions": Route(CHAT, "dep1"),
    "/openai/deployments/my%20deploy%2F4.1/chat/completions": Route(CHAT, "my deploy/4.1"),
    "/openai/deployments/g%C3%A4nse/chat/completions": Route(CHAT, "gänse"),
    "/openai/deployments/dep1/embeddings": Route(EMBEDDINGS, "dep1"),
    "/v1/embeddings": Route(EMBEDDINGS),
    "/embeddings": Route(EMBEDDINGS),
    "/openai/v1/embeddings": Route(EMBEDDINGS),
    "/v1/models": Route(MODELS),
    "/v1/models/": Route(MODELS),
    "/v1/v1/models": Route(MODELS),
    "/models": Route(MODELS),
    "/gw/team/models": Route(MODELS),
    "/openai/models": Route(MODELS),
    "/openai/v1/models": Route(MODELS),
    "/deployments/dep1/models": Route(MODELS),
    "/openai/deployments/dep1/models": Route(MODELS),
    "/engines/llama.cpp/v1/models": Route(MODELS),
    "/v1/models/gpt-5": Route("/v1/models/gpt-5"),
    "/openai/v1/models/gpt-5": Route("/v1/models/gpt-5"),
    "/v1/models/openai/gpt-5": Route("/v1/models/openai/gpt-5"),
    "/v1/models/openai%2Fgpt-5": Route("/v1/models/openai/gpt-5"),
    "/v1/models/a%20b": Route("/v1/models/a b"),
    "/v1/completions": Route(COMPLETIONS),
    "/completions": Route(COMPLETIONS),
    "/openai/deployments/dep1/completions": Route(COMPLETIONS, "dep1"),
    "/serving-endpoints/databricks-claude/invocations": Route(CHAT, "databricks-claude"),
    "/v1/responses": Route(RESPONSES),
    "/responses": Route(RESPONSES),
    "/openai/responses": Route(RESPONSES),
    "/openai/v1/responses": Route(RESPONSES),
    "/v1/v1/responses/": Route(RESPONSES),
    "/v1/responses/input_tokens": Route(RESPONSES_COUNT),
    "/v1/responses/resp_1": Route("/v1/responses/resp_1"),
    "/openai/v1/responses/resp_1": Route("/v1/responses/resp_1"),
    "/v1/responses/resp_1/input_items": Route("/v1/responses/resp_1/input_items"),
    "/v1/messages": Route(MESSAGES),
    "/v1/v1/messages": Route(MESSAGES),
    "/anthropic/v1/messages": Route(MESSAGES),
    "/messages": Route(MESSAGES),
    "/v1/messages/count_tokens": Route(MESSAGES_COUNT),
    "/v1/v1/messages/count_tokens": Route(MESSAGES_COUNT),
    "/v1beta/models/gemini-3-pro:generateContent": Route(GEMINI, "gemini-3-pro", False),
    "/v1/models/gemini-3-pro:generateContent": Route(GEMINI, "gemini-3-pro", False),
    "/v1beta/models/gemini-3-pro:streamGenerateContent": Route(GEMINI_STREAM, "gemini-3-pro", True),
    "/v1beta/models/gemini-3-pro%3AstreamGenerateContent": Route(GEMINI_STREAM, "gemini-3-pro", True),
    "/v1beta/v1beta/models/a:generateContent": Route(GEMINI, "a", False),
    "/v1beta/models/openai/gpt-5:generateContent": Route(GEMINI, "openai/gpt-5", False),
    "/v1beta/models/qwen3:8b:generateContent": Route(GEMINI, "qwen3:8b", False),
    "/v1/projects/p/locations/l/publishers/google/models/m:generateContent": Route(GEMINI, "m", False),
    "/v1beta/models/m:countTokens": Route(GEMINI_COUNT, "m"),
    "/v1beta/models/m:embedContent": Route(GEMINI_EMBED, "m"),
    "/v1beta/models/m:batchEmbedContents": Route(GEMINI_EMBED_MANY, "m"),
    "/v1beta/models": Route(GEMINI_MODELS),
    "/gw/v1beta/models": Route(GEMINI_MODELS),
    "/v1beta/models/gemini-3-pro": Route("/v1beta/models/gemini-3-pro"),
    "/v1/models/qwen3:8b": Route("/v1/models/qwen3:8b"),
    "/model/info": Route(MODEL_INFO),
    "/v1/model/info": Route(MODEL_INFO),
    "/api/chat": Route(OLLAMA_CHAT),
    "/ollama/api/chat": Route(OLLAMA_CHAT),
    "/api/generate": Route(OLLAMA_GENERATE),
    "/api/embed": Route(OLLAMA_EMBED),
    "/api/embeddings": Route(OLLAMA_EMBED_ONE),
    "/api/v1/embeddings": Route(EMBEDDINGS),
    "/api/tags": Route("/api/tags"),
    "/api/show": Route("/api/show"),
    "/api/version": Route("/api/version"),
    "/": Route("/"),
    "": Route("/"),
    "//": Route("/"),
    "/health/live": Route("/health/live"),
    "/health/ready/": Route("/health/ready"),
    "/health/providers": Route("/health/providers"),
    "/schema": Route("/schema"),
    "/schema/openapi.json": Route("/schema/openapi.json"),
}

# Not ours: the route a person may have meant.
UNKNOWN = {
    "/v1/responses/compact": RESPONSES,
    "/v1/chat/completion": CHAT,
    "/v1/message": MESSAGES,
    "/v1/response": RESPONSES,
    "/v1/chat": CHAT,
    "/chat/completions/stream": CHAT,
    "/v1/embedding": EMBEDDINGS,
    "/v1/model": MODELS,
    "/v1/modles": MODELS,
    "/health": "/health/live",
    "/healthz/ready": "/health/ready",
    "/wp-login.php": CHAT,
    "/favicon.ico": CHAT,
    "/v1/xchat/completions ": CHAT,
}


@pytest.mark.parametrize(("path", "route"), PATHS.items(), ids=lambda each: each if isinstance(each, str) else "")
def test_the_route_a_path_means(path: str, route: Route):
    assert normalise(path) == route


@pytest.mark.parametrize(("path", "nearest"), UNKNOWN.items(), ids=lambda each: str(each))
def test_what_means_nothing_is_told_the_nearest(path: str, nearest: str):
    assert normalise(path) is None
    assert nearest_route(path) == nearest


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_means_itself(route: str):
    assert normalise(route) == Route(route)


@given(st.text(alphabet="/v1chatompleinsdyGW%2F.?", max_size=60))
def test_any_path_means_something_or_nothing(path: str):
    route = normalise(path)
    if route is not None and not route.path.startswith("/v1/models/"):
        assert normalise(route.path) == Route(route.path), "what it means, it means for good"
    assert nearest_route(path) in ROUTES


def test_a_long_path_is_no_work():
    assert normalise("/a" * 20_000) is None
    assert normalise("/" * 20_000) == Route("/")
    assert normalise("/models" * 2_000 + "/x").path.endswith("/x")
