"""``POST /v1/feedback``: somebody judges an answer they were given."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request

from gateway import events
from gateway.api.bodies import whole_body
from gateway.api.service import Service
from gateway.errors import CallerError

MOST_BYTES = 64 * 1024
SCORES = {"good": 1.0, "neutral": 0.5, "bad": 0.0}


class Feedback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """About the answer with this ``x-request-id``, or of this trace: a score from 0 to 1, or a verdict."""

    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    trace_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-fA-F]{32}$")] | None = None
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    verdict: Literal["good", "neutral", "bad"] | None = None
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "feedback"
    """What is judged, such as ``helpful``."""
    comment: Annotated[str, msgspec.Meta(max_length=4000)] | None = None
    source: Annotated[str, msgspec.Meta(pattern="^[a-z0-9_-]{1,32}$")] = "api"
    """Who judges, such as ``user`` or ``eval``."""


# Verdicts that are remembered, so that none counts twice.
MOST_GIVEN = 10_000


async def take_feedback(service: Service, request: Request[Any, Any, Any], caller: str | None) -> bool:
    """Whether the verdict counts: the first of its name and source on an answer does.

    ``caller``: only answers to this caller may be judged; None: all. Raises ``CallerError``: 400 for what is no
    feedback, 404 for an answer nobody knows, or one that was somebody else's.
    """
    given = read_feedback(await whole_body(service, request))
    score = SCORES[given.verdict] if given.verdict else given.score
    trace = given.trace_id.lower() if given.trace_id else None
    known = service.live.known(given.request_id, trace, caller) if service.live else None
    # Of several workers each knows only its own.
    if known is None and service.live and service.worker is None:
        raise CallerError(404, "request_not_found", _unknown(given), origin="gateway")
    id, trace = known or (given.request_id or "", trace)
    key = (id or trace or "", given.name, given.source)
    if key in service.judged:
        return False
    service.judged[key] = None
    if len(service.judged) > MOST_GIVEN:
        del service.judged[next(iter(service.judged))]
    event = events.FeedbackGiven(
        at=service.gateway.clock(),
        exchange_id=id,
        name=given.name,
        score=score or 0.0,
        source=given.source,
        comment=given.comment,
    )
    service.emit(event)
    if service.feedback:
        service.feedback(event, trace)
    return True


def read_feedback(body: bytes) -> Feedback:
    """Raises ``CallerError`` (400)."""
    try:
        given = msgspec.json.decode(body, type=Feedback)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (ValueError, RecursionError):
        raise _invalid("the body is not valid JSON") from None
    if given.request_id is None and given.trace_id is None:
        raise _invalid("say which answer it is about: request_id (its x-request-id header) or trace_id")
    if (given.score is None) == (given.verdict is None):
        raise _invalid("give either a score from 0 to 1 or a verdict: good, neutral or bad")
    return given


def _unknown(given: Feedback) -> str:
    named = [f'{name} "{value}"' for name, value in (("request", given.request_id), ("trace", given.trace_id)) if value]
    return f"there is no {' of '.join(named)} among the last exchanges of this gateway"


def _invalid(why: str) -> CallerError:
    return CallerError(400, "invalid_feedback", why, origin="gateway")
