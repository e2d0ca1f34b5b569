"""Cohere: chat and embeddings in dialects of its own."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

_STRIP = ("/v1", "/v2", "/v1/chat", "/v2/chat", "/v2/embed", "/compatibility/v1")

VENDOR = Vendor(
    name="cohere",
    title="Cohere",
    docs="https://docs.cohere.com/reference/chat",
    base_url="https://api.cohere.com",
    # The listing is of the first version still, and leaves out most without this page size.
    paths={
        "chat": "/v2/chat",
        "models": "/v1/models?endpoint=chat&page_size=1000",
        # Its OpenAI-compatible half is told neither sizes of vectors nor what they are for, and has no images:
        # https://docs.cohere.com/docs/compatibility-api
        "embeddings": "/v2/embed",
    },
    dialect="cohere_chat",
    embeds="cohere_embeddings",
    listing="cohere",
    key_env=("COHERE_API_KEY", "CO_API_KEY"),
    base_env=("CO_API_URL",),
    owns=("command-*", "c4ai-*", "embed-v4*", "embed-english-*", "embed-multilingual-*"),
    strip=_STRIP,
    prices="cohere",
)
