"""Perplexity: models that search; chat has no version in its path, the rest has."""

from __future__ import annotations

from gateway.vendors.foreign import DEVELOPER
from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="perplexity",
    title="Perplexity",
    docs="https://docs.perplexity.ai/docs/sonar/openai-compatibility",
    base_url="https://api.perplexity.ai",
    key_env=("PERPLEXITY_API_KEY",),
    host_env=("PERPLEXITY_BASE_URL",),
    paths={"chat": "/chat/completions", "models": "/v1/models", "embeddings": "/v1/embeddings"},
    owns=("sonar", "sonar-*"),
    strip=("/v1",),
    rename={"max_completion_tokens": "max_tokens"},
    stream_usage=False,  # every chunk has it anyhow
    roles=DEVELOPER,
    prices="perplexity",
)
