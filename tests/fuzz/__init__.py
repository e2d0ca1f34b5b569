"""Fuzzers run by hand, with atheris in an environment of its own (docs/architecture.md says how). Not run by pytest."""
