"""How the simulator fails: refusals with a status, broken answers, no answer. One name each, in ``FAULTS``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple

import msgspec

from gateway.dialects.openai_chat import error_body, error_frame
from gateway.errors import Fault, FaultKind
from gateway.sse import DONE, event

Said = bytes | Fault | None
"""A piece of a reply, how the reply broke, or silence from here on."""


class Refusal(NamedTuple):
    """An answer with a status, in OpenAI's words."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = {}
    page: bytes | None = None
    """HTML in place of an error object."""

    @property
    def error(self) -> dict[str, str | None]:
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}


class Break(NamedTuple):
    """What becomes of a good answer. Of a stream also its middle is known: how many events come before it."""

    stream: Callable[[Iterator[bytes], int], Iterable[Said]]
    whole: Callable[[bytes], Iterable[Said]]


class NoHead(NamedTuple):
    """The call ends like this, at once; without a fault it does not end."""

    fault: Fault | None


Failing = Refusal | Break | NoHead

_RATE = "Rate limit reached for simulated requests per min (RPM): Limit 3, Used 3, Requested 1."
_NONE_LEFT = {"x-ratelimit-remaining-requests": "0"}
_CONTEXT = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
    "Please reduce the length of the messages."
)
_PAGE = b"<html>\n<head><title>502 Bad Gateway</title></head>\n<body><h1>502 Bad Gateway</h1></body>\n</html>\n"
_SERVER_ERROR = Refusal(500, "The server had an error while processing your request.", "server_error", "server_error")
_IN_BAND = _SERVER_ERROR.error
_RUBBISH = b"%$ this is no answer }{"
_RESET = Fault(kind=FaultKind.UNREACHABLE, message="the connection was reset before an answer", origin="network")
_BROKE = Fault(kind=FaultKind.UNREACHABLE, message="the connection broke in the middle of the answer", origin="network")


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _tells_usage(event: bytes) -> bool:
    return b'"choices":[]' in event


def _without_usage(body: bytes) -> bytes:
    said = msgspec.json.decode(body)
    said.pop("usage", None)
    return msgspec.json.encode(said)


FAULTS: Mapping[str, Failing] = {
    "400": Refusal(400, "Invalid value for 'temperature'.", code="invalid_value", param="temperature"),
    "401": Refusal(401, "Incorrect API key provided.", code="invalid_api_key"),
    "402": Refusal(402, "Insufficient balance", "unknown_error", "insufficient_balance"),
    "403": Refusal(403, "You are not allowed to sample from this model.", code="permission_denied"),
    "404": Refusal(404, "The model does not exist or you do not have access to it.", code="model_not_found"),
    "429": Refusal(429, _RATE, "requests", "rate_limit_exceeded", headers={"retry-after": "1", **_NONE_LEFT}),
    "429-long": Refusal(429, _RATE, "requests", "rate_limit_exceeded", headers={"retry-after": "60", **_NONE_LEFT}),
    "500": _SERVER_ERROR,
    "503": Refusal(503, "The engine is currently overloaded, please try again later.", "server_error", "overloaded"),
    "529": Refusal(529, "Overloaded", "overloaded_error"),
    "html": Refusal(502, "Bad Gateway", page=_PAGE),
    "context": Refusal(400, _CONTEXT, code="context_length_exceeded", param="messages"),
    "refused": Refusal(
        400, "Your prompt was flagged as potentially violating our usage policy.", code="content_policy_violation"
    ),
    "reset": NoHead(_RESET),
    "silent": NoHead(None),
    "stall": Break(
        stream=lambda events, middle: chain(islice(events, middle), (None,)),
        whole=lambda body: (_half(body), None),
    ),
    "cut": Break(
        stream=lambda events, middle: islice(events, middle),
        whole=lambda body: (_half(body), _BROKE),
    ),
    "cut-billed": Break(
        stream=lambda events, middle: chain(islice(events, middle), islice(filter(_tells_usage, events), 1)),
        whole=lambda body: (_half(body), _BROKE),
    ),
    "die": Break(
        stream=lambda events, middle: (),
        whole=lambda body: (),
    ),
    "error-first": Break(
        stream=lambda events, middle: (error_frame(_IN_BAND),),
        whole=lambda body: (error_body(_IN_BAND),),
    ),
    "error-mid": Break(
        stream=lambda events, middle: chain(islice(events, middle), (error_frame(_IN_BAND),)),
        whole=lambda body: (error_body(_IN_BAND),),
    ),
    "garbled": Break(
        stream=lambda events, middle: (event(_RUBBISH),),
        whole=lambda body: (_RUBBISH,),
    ),
    "malformed": Break(
        stream=lambda events, middle: chain(islice(events, middle), (event(b'{"choices":[{"delta":'),), events),
        whole=lambda body: (body[:-1],),
    ),
    "nodone": Break(
        stream=lambda events, middle: (each for each in events if each != DONE),
        whole=lambda body: (body,),
    ),
    "nousage": Break(
        stream=lambda events, middle: (each for each in events if not _tells_usage(each)),
        whole=lambda body: (_without_usage(body),),
    ),
}
