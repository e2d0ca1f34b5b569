"""Skein: an observability-first LLM gateway."""

__version__ = "0.1.0"
