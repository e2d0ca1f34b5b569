"""Typed settings from one file or the environment; every mistake at once, each with its place and a remedy."""

from gateway.config.loading import from_environment, load, parse, problems
from gateway.config.settings import (
    Access,
    Config,
    CustomVendor,
    Key,
    Langfuse,
    Logs,
    Media,
    Model,
    Observe,
    Otlp,
    Price,
    Provider,
    Server,
)

__all__ = [
    "Access", "Config", "CustomVendor", "Key", "Langfuse", "Logs", "Media", "Model", "Observe", "Otlp", "Price",
    "Provider", "Server",
    "from_environment", "load", "parse", "problems", "schema",
]  # fmt: skip


def schema() -> dict[str, object]:
    """The JSON Schema of the file."""
    from gateway.config.json_schema import schema as written  # reads sources: not for every start

    return written()
