"""Cohere: chat in a dialect of its own; embeddings by its OpenAI-compatible half."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

_STRIP = ("/v1", "/v2", "/v1/chat", "/v2/chat", "/v2/embed", "/compatibility/v1")

EMBEDDINGS = Vendor(
    name="cohere",
    title="Cohere",
    docs="https://docs.cohere.com/docs/compatibility-api",
    base_url="https://api.cohere.ai",
    paths={"embeddings": "/compatibility/v1/embeddings"},
    strip=_STRIP,
)

VENDOR = Vendor(
    name="cohere",
    title="Cohere",
    docs="https://docs.cohere.com/reference/chat",
    base_url="https://api.cohere.com",
    # The listing is of the first version still, and leaves out most without this page size.
    paths={"chat": "/v2/chat", "models": "/v1/models?endpoint=chat&page_size=1000"},
    dialect="cohere_chat",
    faces=(EMBEDDINGS,),
    listing="cohere",
    key_env=("COHERE_API_KEY", "CO_API_KEY"),
    base_env=("CO_API_URL",),
    owns=("command-*", "c4ai-*", "embed-v4*", "embed-english-*", "embed-multilingual-*"),
    strip=_STRIP,
    prices="cohere",
)
