"""What a vendor says is left of its rate limits, by the headers of its answer.

https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers (OpenAI and those that follow it);
https://docs.anthropic.com/en/api/rate-limits#response-headers
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_HEADER = re.compile(
    r"(?:x-ratelimit-(?P<what>limit|remaining)-(?P<kind>requests|tokens)"
    r"|anthropic-ratelimit-(?P<kind2>requests|tokens)-(?P<what2>limit|remaining))"
)


def remaining(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, float]]:
    """``requests`` and ``tokens``, where both a limit and what remains of it were said, as a share from 0 to 1."""
    said: dict[tuple[str, str], float] = {}
    for name, value in headers:
        found = _HEADER.fullmatch(name)
        if found and value.isascii() and value.isdigit():
            said[found["kind"] or found["kind2"], found["what"] or found["what2"]] = float(value[:15])
    for kind in ("requests", "tokens"):
        limit, left = said.get((kind, "limit")), said.get((kind, "remaining"))
        if limit and left is not None:
            yield kind, min(1.0, left / limit)
