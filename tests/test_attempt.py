"""What goes along with a call."""

from __future__ import annotations

from gateway.provider import joined


def test_each_header_goes_once_and_no_beta_is_lost():
    files, caching = ("anthropic-beta", "files-api-2025-04-14"), ("anthropic-beta", "context-1m, files-api-2025-04-14")
    assert joined((("accept", "a"), files, ("accept", "b"), caching)) == (
        ("accept", "b"),
        ("anthropic-beta", "files-api-2025-04-14,context-1m"),
    )
    assert joined((("accept", "a"),)) == (("accept", "a"),)
