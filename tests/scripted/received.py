"""What a scripted vendor has received: one record per request, from its first byte to what became of it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

# How far the answer had come. A whole answer is "body" once its head is out, a stream "mid_stream" once output is.
Phase = Literal["before_head", "before_output", "mid_stream", "body"]
Operation = Literal["chat", "embeddings", "models", "unknown"]
# What became of a call: playing still, played to its end, cut by a step, broken off by the client or the vendor's end.
Outcome = Literal["playing", "answered", "cut", "aborted", "stopped"]

OPERATIONS: dict[str, Operation] = {"/chat/completions": "chat", "/embeddings": "embeddings", "/models": "models"}


@dataclass(eq=False)
class Received:
    """One request and how its answer went. Times are the vendor's clock, ``time.monotonic()``.

    ``number`` counts calls from one (a listing has none: 0), ``nth`` the requests of its connection. ``sent`` is how
    many bytes of the answer, head included, the operating system has taken.
    """

    connection: int
    nth: int
    method: str
    target: str
    header_list: list[tuple[str, str]]
    body: bytes
    began: float
    number: int = 0
    finished: float | None = None
    aborted: float | None = None
    step: str = ""
    status: int = 0
    sent: int = 0
    phase: Phase = "before_head"
    outcome: Outcome = "playing"
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {name.lower(): value for name, value in self.header_list}

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query, True).items()}

    @cached_property
    def json(self) -> Any:
        """The body as JSON, ungzipped where it says so; ``None`` when it is no JSON."""
        try:
            return msgspec.json.decode(gzip.decompress(self.body) if self._is_gzip else self.body)
        except (ValueError, OSError, EOFError):
            return None

    @property
    def fields(self) -> dict[str, Any]:
        return self.json if isinstance(self.json, dict) else {}

    @property
    def model(self) -> str:
        return str(self.fields.get("model", ""))

    @property
    def stream(self) -> bool:
        return self.fields.get("stream") is True

    @property
    def include_usage(self) -> bool:
        return bool((self.fields.get("stream_options") or {}).get("include_usage"))

    @property
    def operation(self) -> Operation:
        path = self.path.rstrip("/")
        for ending, operation in OPERATIONS.items():
            if path.endswith(ending):
                return operation
        return "models" if "/models/" in path else "unknown"

    @property
    def duration(self) -> float | None:
        ended = self.finished or self.aborted
        return None if ended is None else ended - self.began

    @property
    def _is_gzip(self) -> bool:
        return self.headers.get("content-encoding") == "gzip"


@dataclass(frozen=True)
class Aborted:
    """A call the client broke off: how far the answer was, when that was noticed, and how long after the request."""

    call: Received
    phase: Phase
    noticed: float
    after: float

    def delay(self, closed: float) -> float:
        """Seconds between the client's close (its ``time.monotonic()``, the same clock on one machine) and noticing."""
        return self.noticed - closed
