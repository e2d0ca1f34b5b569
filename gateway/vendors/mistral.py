"""Mistral: OpenAI chat with names of its own, refusing every field it does not know."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

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
            "safety_identifier",
            "store",
            "stream_options",
            "user",
            "verbosity",
        }
    ),
    stream_usage=False,  # the last chunk has it anyhow
    prefill={"prefix": True},
    prices="mistral",
)
