"""Tetrate Agent Router Service: many vendors behind one key; an error may come inside a 200."""

from __future__ import annotations

from gateway.vendors.vendor import Vendor

VENDOR = Vendor(
    name="tetrate",
    title="Tetrate Agent Router Service",
    docs="https://docs.tetrate.io/agent-router-service",
    base_url="https://api.router.tetrate.ai/v1",
    paths={"chat": "/chat/completions", "models": "/models", "embeddings": "/embeddings"},
    key_env=("TETRATE_API_KEY",),
    host_env=("TETRATE_HOST",),
)
