"""What can go wrong, and whose fault it is.

    SkeinError
    ├── CallerError      the request cannot be served as asked: 4xx, told in the caller's dialect
    ├── OutOfOptions     every option was tried: 4xx/5xx decided by the most telling fault of the history
    └── OperatorError    the configuration is wrong: every problem at once, before anything starts

A ``Fault`` is a value: why one attempt failed. It is weighed, recorded and reported, never raised.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Origin = Literal["caller", "gateway", "vendor", "network"]


class FaultKind(enum.Enum):
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_FIRST_TOKEN = "timeout_first_token"
    TIMEOUT_IDLE = "timeout_idle"
    TIMEOUT_TOTAL = "timeout_total"
    BAD_CREDENTIALS = "bad_credentials"
    OUT_OF_CREDIT = "out_of_credit"
    MODEL_MISSING = "model_missing"
    GARBLED = "garbled"
    BROKEN_STREAM = "broken_stream"
    BAD_REQUEST = "bad_request"
    CONTEXT_TOO_LONG = "context_too_long"
    REFUSED = "refused"


class Fault(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why one attempt failed.

    ``status``, ``type``, ``code``, ``param`` and ``body`` are the vendor's own words where it said any (``body`` cut
    to 2 KiB); ``retry_after`` is in seconds; ``url`` is the exact URL called, without secrets.
    """

    kind: FaultKind
    message: str
    origin: Origin = "vendor"
    status: int | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None
    url: str | None = None
    body: str | None = None


class SkeinError(Exception):
    """The root of everything this package raises on purpose."""


class CallerError(SkeinError):
    """The request cannot be served as asked. ``status`` is a 4xx (or 503 while draining)."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        origin: Origin = "caller",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.type, self.param, self.origin, self.retry_after = type, param, origin, retry_after


class Problem(msgspec.Struct, frozen=True):
    """One mistake in the configuration: where (a path such as ``models.fast.targets[1]``), what, and what to do."""

    path: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        said = f"{self.path}: {self.what}" if self.path else self.what
        return f"{said} ({self.remedy})" if self.remedy else said


class OperatorError(SkeinError):
    """The configuration cannot be used. Carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names a mistyped one may have meant, best first."""
    folded = {candidate.lower(): candidate for candidate in known}
    return [folded[match] for match in difflib.get_close_matches(name.lower(), folded, most, 0.5)]


def did_you_mean(name: str, known: Iterable[str], most: int = 2) -> str:
    """``did you mean "a" or "b"?``, or nothing when no known name is near."""
    names = [f'"{candidate}"' for candidate in nearest(name, known, most)]
    return f"did you mean {' or '.join(names)}?" if names else ""
